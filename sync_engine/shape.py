"""The shape of a YAML file as a table of fields, and the interpreter that reads data by it. Knows no file and no declaration of ours.

A kind reads one raw value: it gives a value of its type, or notes a fault and gives REFUSED. The surprise: a refused part is left out or
blank and reading goes on, so that one run finds every fault; checks further on must let blanks pass.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Protocol

from sync_engine.fault import Fault, Message

REFUSED: Any = object()
REQUIRED: Any = object()

NAME_PATTERN = r"[a-z][a-z0-9]*(_[a-z0-9]+)*"
"""Names stand in topics, consumer groups, replication slots and environment variables. A single `_` between words leaves `__` and `.`
free as separators."""

Names = Mapping[str, frozenset[str]]
"""What may be referred to: "node" -> {anhui, luan}. A group that is not here is not known, for instance as its file cannot be read."""


@dataclass(frozen=True)
class Place:
    """Where the interpreter stands: for messages, for references, and for the key under which a record stands."""

    file: str
    names: Names
    faults: list[Fault]
    path: str = ""
    key: str = ""
    around: tuple[Mapping[Any, Any], ...] = ()
    """The raw mappings that enclose this place, innermost first."""

    def step(self, key: object) -> "Place":
        return replace(self, path=f"{self.path}.{key}" if self.path else str(key), key=str(key))

    def index(self, number: int) -> "Place":
        return replace(self, path=f"{self.path}[{number}]")

    def within(self, raw: Mapping[Any, Any]) -> "Place":
        return replace(self, around=(raw, *self.around))

    def refuse(self, message: Message, allowed: Iterable[str] = ()) -> Any:
        self.faults.append(Fault(self.file, self.path, message, tuple(allowed)))
        return REFUSED

    def nearest(self, field: str) -> object:
        return next((raw[field] for raw in self.around if field in raw), None)


class Kind(Protocol):
    @property
    def blank(self) -> Any:
        """What stands for a value that was refused or is missing."""

    def read(self, raw: Any, place: Place) -> Any:
        """The value, or REFUSED after a fault was noted."""


A_FLAG, A_NUMBER, A_WHOLE_NUMBER = Message("true or false"), Message("a number"), Message("a whole number")
A_SCALAR = Message("text, a whole number, or true or false")
A_TEXT, A_LIST, A_MAPPING = Message("text"), Message("a list"), Message("a mapping")
_TYPE_NAMES = {bool: A_FLAG, int: A_NUMBER, float: A_NUMBER, str: A_TEXT, list: A_LIST, dict: A_MAPPING}


def _type_name(raw: object) -> str:
    if isinstance(raw, date):
        return Message("a date (quote it)")
    return Message("nothing") if raw is None else _TYPE_NAMES.get(type(raw), type(raw).__name__)


def _not_a(wanted: Message, raw: object, place: Place) -> Any:
    if wanted == A_TEXT and isinstance(raw, bool | int | float):
        return place.refuse(Message("must be {wanted}, not {found} (quote it)", wanted=wanted, found=_type_name(raw)))
    return place.refuse(Message("must be {wanted}, not {found}", wanted=wanted, found=_type_name(raw)))


def _not_within(raw: object, least: object, most: object, place: Place) -> Any:
    return place.refuse(Message("{value} is not within {least} to {most}", value=raw, least=least, most=most))


@dataclass(frozen=True)
class Text:
    pattern: str = r"\S(.*\S)?"
    means: Message = Message("text without blanks around it")  # noqa: RUF009  (immutable)
    reserved: tuple[str, ...] = ()
    blank = ""

    def read(self, raw: Any, place: Place) -> Any:
        if not isinstance(raw, str):
            return _not_a(A_TEXT, raw, place)
        if not re.fullmatch(self.pattern, raw, re.DOTALL):
            return place.refuse(Message('"{value}" is not {means}', value=raw, means=self.means))
        return place.refuse(Message('"{value}" is reserved', value=raw)) if raw in self.reserved else raw


@dataclass(frozen=True)
class Scalar:
    """Text, a whole number, or true or false."""

    blank = ""

    def read(self, raw: Any, place: Place) -> Any:
        if isinstance(raw, str):
            return Text().read(raw, place)
        return raw if isinstance(raw, int) else _not_a(A_SCALAR, raw, place)


@dataclass(frozen=True)
class FileName:
    """Text that repeats the name of its file."""

    blank = ""

    def read(self, raw: Any, place: Place) -> Any:
        stem = place.file.rpartition("/")[2].partition(".")[0]
        if raw != stem:
            place.refuse(Message('must be "{stem}", as the file is named', stem=stem))
        return stem


@dataclass(frozen=True)
class Whole:
    least: int
    most: int
    blank = 0

    def read(self, raw: Any, place: Place) -> Any:
        if isinstance(raw, bool) or not isinstance(raw, int):
            return _not_a(A_WHOLE_NUMBER, raw, place)
        return raw if self.least <= raw <= self.most else _not_within(raw, self.least, self.most, place)


@dataclass(frozen=True)
class Number:
    least: float
    most: float
    blank = 0.0

    def read(self, raw: Any, place: Place) -> Any:
        if isinstance(raw, bool) or not isinstance(raw, int | float):
            return _not_a(A_NUMBER, raw, place)
        return float(raw) if self.least <= raw <= self.most else _not_within(raw, f"{self.least:g}", f"{self.most:g}", place)


@dataclass(frozen=True)
class Flag:
    blank = False

    def read(self, raw: Any, place: Place) -> Any:
        return raw if isinstance(raw, bool) else _not_a(A_FLAG, raw, place)


@dataclass(frozen=True)
class OneOf:
    """One of some words; each stands for its value."""

    values: Mapping[str, Any]
    blank: Any = ""

    def read(self, raw: Any, place: Place) -> Any:
        if isinstance(raw, str) and raw in self.values:
            return self.values[raw]
        return place.refuse(Message('unknown value "{value}"', value=raw), self.values)


def one_of(*words: str) -> OneOf:
    return OneOf({word: word for word in words})


@dataclass(frozen=True)
class Ref:
    """The name of something declared. `of` = the field of an enclosing mapping that says whose: the items of an entity."""

    what: str
    of: str = ""
    blank = ""

    def read(self, raw: Any, place: Place) -> Any:
        if not isinstance(raw, str):
            return _not_a(A_TEXT, raw, place)
        group = f"{self.what} of {place.nearest(self.of)}" if self.of else self.what
        known = place.names.get(group)
        if known is None or raw in known:
            return raw
        return place.refuse(Message('unknown {what} "{name}"', what=Message(self.what), name=raw), sorted(known))


@dataclass(frozen=True)
class ListOf:
    kind: Kind
    least: int = 1
    blank = ()

    def read(self, raw: Any, place: Place) -> Any:
        if not isinstance(raw, list):
            return _not_a(A_LIST, raw, place)
        if len(raw) < self.least:
            place.refuse(Message("must have at least {least}", least=self.least))
        for index, value in enumerate(raw):
            if value in raw[:index]:
                place.index(index).refuse(Message('"{value}" stands here twice', value=value))
        read = [self.kind.read(value, place.index(index)) for index, value in enumerate(raw) if value not in raw[:index]]
        return tuple(value for value in read if value is not REFUSED)


@dataclass(frozen=True)
class AllOr:
    """The word `all`, read as None, or a list."""

    kind: ListOf
    blank = ()

    def read(self, raw: Any, place: Place) -> Any:
        return None if raw == "all" else self.kind.read(raw, place)


@dataclass(frozen=True)
class WordOr:
    """A word, which stands for a list that `make` makes of it, or the list."""

    word: Kind
    make: Callable[[Any], Any]
    several: ListOf
    blank = ()

    def read(self, raw: Any, place: Place) -> Any:
        if isinstance(raw, list):
            return self.several.read(raw, place)
        word = self.word.read(raw, place)
        return word if word is REFUSED else self.make(word)


@dataclass(frozen=True)
class MapOf:
    key: Kind
    value: Kind
    least: int = 1

    @property
    def blank(self) -> Any:
        return {}

    def read(self, raw: Any, place: Place) -> Any:
        if not isinstance(raw, dict):
            return _not_a(A_MAPPING, raw, place)
        if len(raw) < self.least:
            place.refuse(Message("must have at least {least}", least=self.least))
        read = {self.key.read(key, place.step(key)): self.value.read(value, place.step(key)) for key, value in raw.items()}
        return {key: value for key, value in read.items() if key is not REFUSED and value is not REFUSED}


@dataclass(frozen=True)
class Field:
    """One row of a table: the field's name, its kind, and its default if it may be missing. `to` = the attribute that it fills."""

    name: str
    kind: Kind
    default: Any = REQUIRED
    to: str = ""

    def read(self, raw: Mapping[Any, Any], place: Place) -> Any:
        if self.name in raw:
            value = self.kind.read(raw[self.name], place.step(self.name))
            # Not the default: to further checks, what was refused is not what is missing.
            return self.kind.blank if value is REFUSED else value
        if self.default is REQUIRED:
            place.step(self.name).refuse(Message("missing field"))
        return self.blank

    @property
    def blank(self) -> Any:
        return self.kind.blank if self.default is REQUIRED else self.default


class Record:
    """A mapping with declared fields. `make` gets their values, and its key in the enclosing mapping as `named`."""

    def __init__(self, make: Callable[..., Any], *fields: Field, named: str = "") -> None:
        self._make = make
        self._fields = {field.name: field for field in fields}
        self._named = named

    @property
    def blank(self) -> Any:
        return self._made("", {field.to or name: field.blank for name, field in self._fields.items()})

    def read(self, raw: Any, place: Place) -> Any:
        if not isinstance(raw, dict):
            return _not_a(A_MAPPING, raw, place)
        inner = place.within(raw)
        for name in raw:
            if name not in self._fields:
                inner.step(name).refuse(Message("unknown field"), sorted(self._fields))
        return self._made(place.key, {field.to or name: field.read(raw, inner) for name, field in self._fields.items()})

    def _made(self, key: str, values: dict[str, Any]) -> Any:
        return self._make(**values, **({self._named: key} if self._named else {}))
