"""A case file as it is written, strictly: a word that its stage does not know is refused, so that no misspelt expectation passes.

A shape is a table of words: `{word: shape}` has these words and no other, `Named(shape)` has names of somebody's choice, `[shape]` is a
list, `Either` one of several, `ANY` a value that the loader reads. What the words mean stands in the README of the stage's folder.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent
ANY: Any = object()


@dataclass(frozen=True)
class Named:
    """A mapping whose keys are names: columns, items, keys of records."""

    shape: Any


@dataclass(frozen=True)
class Either:
    shapes: tuple[Any, ...]


class CaseRefused(Exception):
    """The case says what nobody understands."""


def files(folder: str) -> list[Path]:
    return sorted((HERE / folder).glob("*.yaml"))


def load(file: Path, shape: dict[str, Any]) -> dict[str, Any]:
    """The case; raises CaseRefused for a word that its shape does not have."""
    case: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    refuse_unknown(case, {"title": ANY, "not_yet": ANY, **shape}, file.name)
    return case


def parameters(folder: str) -> list[Any]:
    """Every case of the folder for `parametrize`. `not_yet` in a case says what the engine does instead: then it must fail."""
    found = []
    for file in files(folder):
        not_yet = yaml.safe_load(file.read_text(encoding="utf-8")).get("not_yet")
        marks = [pytest.mark.xfail(strict=True, reason=not_yet)] if not_yet else []
        found.append(pytest.param(file, id=file.stem, marks=marks))
    return found


def refuse_unknown(written: Any, shape: Any, where: str) -> None:
    fault = next(_faults(written, shape, where), None)
    if fault is not None:
        raise CaseRefused(fault)


def _faults(written: Any, shape: Any, where: str) -> Iterator[str]:
    if isinstance(shape, Either):
        faults = [list(_faults(written, one, where)) for one in shape.shapes]
        yield from min(faults, key=len)
    elif isinstance(shape, list):
        if not isinstance(written, list):
            yield f"{where}: must be a list"
            return
        for number, one in enumerate(written, start=1):
            yield from _faults(one, shape[0], f"{where}[{number}]")
    elif isinstance(shape, Named | Mapping):
        yield from _faults_of_mapping(written, shape, where)
    elif shape is not ANY and written != shape:
        yield f"{where}: {written!r} is not {shape!r}"
    elif isinstance(written, dict | list):
        yield f"{where}: must be a value"


def _faults_of_mapping(written: Any, shape: Any, where: str) -> Iterator[str]:
    if not isinstance(written, dict):
        yield f"{where}: must be a mapping"
        return
    for word, inner in written.items():
        if isinstance(shape, Named):
            yield from _faults(inner, shape.shape, f"{where}.{word}")
        elif word not in shape:
            yield f"{where}.{word}: unknown; allowed: {', '.join(map(str, shape))}"
        else:
            yield from _faults(inner, shape[word], f"{where}.{word}")


class _Loader(yaml.SafeLoader):
    """Refuses a word that stands twice: YAML itself lets the last one win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        words = [key.value for key, _ in node.value]
        if len(set(words)) != len(words):
            raise CaseRefused(f"line {node.start_mark.line + 1}: a word stands twice in {words}")
        return super().construct_mapping(node, deep)
