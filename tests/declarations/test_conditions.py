"""What the reader of declarations says of conditions on attributes of the key: the cases of conditions.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sync_engine import declared
from tests.declarations.test_refused import faults_of, network

__all__ = ["network"]
HERE = Path(__file__).parent
CASES = {name: case for entry in yaml.safe_load((HERE / "conditions.yaml").read_text("utf-8")) for name, case in entry.items()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_conditions(case: dict[str, Any], network: Path) -> None:  # the fixture
    file = network / "schemas" / "entities" / "person.yaml"
    entry = yaml.safe_load(file.read_text("utf-8"))
    entry["key"]["type"] = "uscc"
    del entry["compare"]
    entry |= {part: case[part] for part in ("existence", "authority", "compare") if part in case}
    file.write_text(yaml.safe_dump(entry, allow_unicode=True), "utf-8")

    if case["faults"]:
        assert faults_of(network) == [f"schemas/entities/person.yaml: {fault}" for fault in case["faults"]]
    else:
        assert declared.read(network)
