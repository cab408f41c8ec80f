# All there is to do with this project. `make demo` and `make test` do all the set-up they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test test-fast check bench drill format fetch clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

$(READY): pyproject.toml requirements.lock hatch_build.py sync_engine/_core.c
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[dev]'
	@touch $(READY)

demo: $(READY) ## The real servers, six nodes and their subscribers; one change goes all the way; Ctrl-C ends everything
	@$(BIN)/sync-engine demo

test: $(READY) ## All tests, on the real stack (budgets: docs/testing.md)
	$(BIN)/python -m pytest

test-fast: $(READY) ## Tests that start no server
	$(BIN)/python -m pytest -m "not broker and not stack"

check: $(READY) ## Types, lint, layers, declarations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/sync-engine check

bench: $(READY) ## Resolve against Kafka Streams, Quix, Faust and a plain loop; each stage alone; a million keys (needs a JDK and Maven; 40 minutes)
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.lanes
	$(BIN)/python -m tests.bench.scale

drill: $(READY) ## Reliability tests in their full sizes, hours (DRILLS="R22 storm" for some); writes docs/results/drill.json
	$(BIN)/python -m tests.drill $(DRILLS)

format: $(READY) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fetch: $(READY) ## Bring the servers of the local stack into the cache; later runs need no network
	$(BIN)/python -m sync_engine.runtime.localstack fetch

clean: ## Remove the virtual environment, the compiled core and the demo's data
	rm -rf $(VENV) .sync-engine sync_engine/_core.*.so
