"""Reads connectors/, topics/ and schemas/ once, strictly, and reports everything that is wrong at once.

The format is in `format`. The surprise: reading goes on after a fault with the faulty part left out, so that one run shows all faults;
nothing is handed out while there is one.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from sync_engine import crosscheck
from sync_engine.fault import Fault, Invalid, Message
from sync_engine.format import FILES, GENERATED, NAME, NETWORK
from sync_engine.model.declaration import Declarations, Department, Source, Subscriber
from sync_engine.shape import REFUSED, Names, Place, Ref

FOLDERS = ("connectors", "topics", "schemas")


class DeclarationsInvalid(Invalid):
    """The declarations cannot be used; `faults` is everything that is wrong with them."""


def read(directory: Path | None = None) -> Declarations:
    """Everything that is declared under `directory`, or by the wheel or checkout; raises DeclarationsInvalid with all faults."""
    declarations, faults = inspect(directory)
    if faults:
        raise DeclarationsInvalid(faults)
    return declarations


def inspect(directory: Path | None = None) -> tuple[Declarations, tuple[Fault, ...]]:
    """What could be read, and every fault. With a fault the declarations are for further checks only: parts of them are missing."""
    root = directory or shipped()
    faults: list[Fault] = []
    raw = dict(_parsed(root, faults))
    known = _names(raw, root)
    values: dict[str, dict[str, Any]] = {pattern: {} for pattern in FILES}
    for file, data in raw.items():
        pattern = _pattern(file)
        assert pattern is not None, "only files that a pattern names were parsed"
        path = PurePosixPath(file)
        if pattern.count("*") == 2:
            _refuse_unless_node(path, known, faults)
        value = FILES[pattern].read(data, Place(file, known, faults, key=path.stem))
        if value is not REFUSED:
            values[pattern][file] = value
    declarations = _declarations(values)
    if "connectors/network.yaml" in raw:
        faults.extend(crosscheck.faults(declarations))
    else:
        faults.append(Fault("connectors/network.yaml", "", Message("missing or unreadable: nothing can be checked against it")))
    return declarations, tuple(sorted(set(faults)))


def shipped() -> Path:
    """The root of the declarations that came with the engine: inside the wheel, or the checkout of an editable install."""
    package = Path(__file__).parent
    inside = package / "_declarations"
    return inside if inside.is_dir() else package.parent


def _parsed(root: Path, faults: list[Fault]) -> Iterator[tuple[str, Any]]:
    """(file, data) of every declared file that is YAML or JSON at all."""
    for folder in FOLDERS:
        if not (root / folder).is_dir():
            faults.append(Fault(folder, "", Message("missing folder"), FOLDERS))
    found = sorted(path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file())
    for path in found:
        file = path.relative_to(root).as_posix()
        if any(part.startswith(".") for part in PurePosixPath(file).parts):
            continue  # what editors and operating systems leave
        if _pattern(file) is None:
            faults.append(Fault(file, "", Message("is no declaration"), tuple(FILES)))
            continue
        try:
            text = path.read_text(encoding="utf-8")
            yield file, json.loads(text) if path.suffix != ".yaml" else _load(text, file, faults)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 0
            faults.append(Fault(file, "", Message("line {line}: {why}", line=line, why=error.problem)))
        except (UnicodeDecodeError, yaml.YAMLError, json.JSONDecodeError) as error:
            faults.append(Fault(file, "", Message("cannot be read: {why}", why=error)))


def _pattern(file: str) -> str | None:
    """The pattern of FILES that names the file; `*` stands for one part, as in a shell."""
    path = PurePosixPath(file)
    return next((pattern for pattern in FILES if path.match(pattern) and len(path.parts) == pattern.count("/") + 1), None)


class _Loader(yaml.SafeLoader):
    """The safe loader, noting keys that stand twice in a mapping: YAML itself lets the last one win in silence."""

    duplicates: list[yaml.ScalarNode]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = sorted((key for key, _ in node.value if isinstance(key, yaml.ScalarNode)), key=lambda key: key.value)
        for _, same in groupby(keys, lambda key: (key.tag, key.value)):
            self.duplicates.extend(list(same)[1:])
        return super().construct_mapping(node, deep)


def _load(text: str, file: str, faults: list[Fault]) -> Any:
    loader = _Loader(text)
    loader.duplicates = []
    try:
        return loader.get_single_data()
    finally:
        for key in loader.duplicates:
            message = Message('line {line}: "{value}" stands here twice', line=key.start_mark.line + 1, value=key.value)
            faults.append(Fault(file, "", message))
        loader.dispose()


def _names(raw: Mapping[str, Any], root: Path) -> Names:
    """What may be referred to. Taken from the raw data, so that a fault in one place is not reported wherever the name is used."""
    known: dict[str, frozenset[str]] = {
        "entity": _stems(root, "schemas/entities/*.yaml"),
        "code table": _stems(root, "schemas/codes/*.yaml"),
        "value schema": frozenset({*GENERATED, "debezium", "json"} | {f"wire:{name}" for name in _stems(root, "schemas/wire/*.avsc")}),
    }
    network = raw.get("connectors/network.yaml")
    for what, section in (("node", "nodes"), ("department class", "department_classes"), ("update cycle", "lag_objectives")):
        if isinstance(network, dict) and isinstance(network.get(section), dict):
            known[what] = frozenset(map(str, network[section]))
    for entity in known["entity"]:
        data = raw.get(f"schemas/entities/{entity}.yaml")
        if isinstance(data, dict) and isinstance(data.get("items"), dict):
            known[f"item of {entity}"] = frozenset(map(str, data["items"]))
    return known


def _stems(root: Path, pattern: str) -> frozenset[str]:
    return frozenset(path.stem for path in root.glob(pattern) if not path.name.startswith("."))


def _refuse_unless_node(path: PurePosixPath, known: Names, faults: list[Fault]) -> None:
    """The folder of a source or subscriber is its node, and its file name is its name."""
    folder = Place(str(path.parent), known, faults)
    Ref("node").read(path.parent.name, folder)
    NAME.read(path.stem, Place(str(path), known, faults))


def _declarations(values: Mapping[str, Mapping[str, Any]]) -> Declarations:
    network = values["connectors/network.yaml"].get("connectors/network.yaml", NETWORK.blank)
    departments = [_department(PurePosixPath(file), data) for file, data in values["connectors/sources/*/*.yaml"].items()]
    subscribers = [_subscriber(PurePosixPath(file), data) for file, data in values["connectors/subscribers/*/*.yaml"].items()]
    return Declarations(
        network["nodes"],
        network["department_classes"],
        {entity.entity: entity for entity in values["schemas/entities/*.yaml"].values()},
        {table.name: table for table in values["schemas/codes/*.yaml"].values()},
        {department.id: department for department in departments},
        {subscriber.id: subscriber for subscriber in subscribers},
        network["demands"],
        network["lag_objectives"],
        {family.name: family for family in values["topics/*.yaml"].values()},
    )


def _department(path: PurePosixPath, data: Mapping[str, Any]) -> Department:
    node, name = path.parent.name, path.stem
    sources = (
        Source(
            f"{node}/{name}/{alias}",
            node,
            name,
            # A merged bureau, or an exchange front-end, keeps the registers of several classes in one database.
            table["class"] or data["class"],
            table["table"],
            table["primary_key"],
            frozenset(table["ignore"]),
            tuple(table["mappings"].values()),
        )
        for alias, table in data["tables"].items()
    )
    return Department(
        name,
        node,
        data["department"],
        data["class"],
        data["database"]["kind"],
        data["database"]["settings"],
        data["epoch"],
        data["heartbeat"],
        tuple(sources),
        data["labels"],
        data["data_officer"],
        data["first_responsible"],
        data["unit"],
    )


def _subscriber(path: PurePosixPath, data: Mapping[str, Any]) -> Subscriber:
    demand = data["demand"]
    return Subscriber(
        path.stem,
        path.parent.name,
        data["title"],
        data["kind"],
        data["settings"],
        demand["entity"],
        demand["area"],
        demand["items"],
        data["topic"],
        data["table"],
    )
