"""`--version` says which core does the work; SYNC_ENGINE_CORE=pure leaves the compiled one aside."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

BUILT = "compiled" if find_spec("sync_engine._core") else "pure"


@pytest.mark.parametrize(("asked", "core"), [("", BUILT), ("pure", "pure")])
def test_the_core_is_told(asked: str, core: str) -> None:
    environment = {**os.environ, "SYNC_ENGINE_CORE": asked, "LC_ALL": "C"}
    command = [sys.executable, "-m", "sync_engine", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.splitlines()
    assert ", version " in said[0]
    assert said[1] == f"core: {core}"
