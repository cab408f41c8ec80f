"""What a setting may hold: addresses, paths, secrets, options; the kinds of `shape` that only settings have.

No message of these kinds shows the value that it refuses: it may be, or hold, a secret.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sync_engine.fault import Message
from sync_engine.shape import REFUSED, Place

MASK = "****"


class Secret:
    """A secret that is not shown by accident: only `reveal` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return MASK


class Address(str):
    """A URL that may hold a password: shown without it."""

    __slots__ = ()

    def __repr__(self) -> str:
        parts = urlsplit(self)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=host if host == parts.netloc else f"{MASK}@{host}"))


@dataclass(frozen=True)
class Url:
    """An address. Its text is in no message: it may hold a password (then it must be a secret's reference)."""

    schemes: tuple[str, ...]
    blank = Address()

    def read(self, raw: Any, place: Place) -> Any:
        parts = urlsplit(raw) if isinstance(raw, str) else None
        if parts is None or parts.scheme not in self.schemes or not parts.hostname:
            return place.refuse(Message("is not an address"), tuple(f"{scheme}://host…" for scheme in self.schemes))
        return Address(raw)


@dataclass(frozen=True)
class PathText:
    blank = Path()

    def read(self, raw: Any, place: Place) -> Any:
        return Path(raw) if isinstance(raw, str) and raw else place.refuse(Message("must be a path"))


@dataclass(frozen=True)
class SecretText:
    blank = None

    def read(self, raw: Any, place: Place) -> Any:
        return Secret(raw) if isinstance(raw, str) and raw else place.refuse(Message("must be text, and not empty"))


DATABASE_SCHEMES = ("postgresql", "mariadb", "mysql")


@dataclass(frozen=True)
class DatabaseUrl(SecretText):
    """The address of a database, as a secret: it holds a password."""

    def read(self, raw: Any, place: Place) -> Any:
        parts = urlsplit(raw) if isinstance(raw, str) else None
        try:
            given = parts is not None and parts.scheme in DATABASE_SCHEMES and parts.hostname and parts.path.strip("/") and parts.port != 0
        except ValueError:
            given = False
        if not given:
            return place.refuse(
                Message("is not the address of a database"), tuple(f"{name}://user:password@host:port/name" for name in DATABASE_SCHEMES)
            )
        return Secret(raw)


@dataclass(frozen=True)
class SecretTexts:
    """A list of secrets. Not ListOf: its messages show values."""

    blank = ()

    def read(self, raw: Any, place: Place) -> Any:
        if not isinstance(raw, list) or not raw:
            return place.refuse(Message("must be a list of at least one secret"))
        read = [SecretText().read(text, place.index(index)) for index, text in enumerate(raw)]
        return tuple(secret for secret in read if secret is not REFUSED)


@dataclass(frozen=True)
class ConnectReference:
    blank = None

    def read(self, raw: Any, place: Place) -> Any:
        if isinstance(raw, str) and re.fullmatch(r"\$\{[\w.-]+:.+\}", raw):
            return raw
        return place.refuse(Message("is not a reference that Kafka Connect resolves"), ("${file:PATH:KEY}", "${env:NAME}", "${…:…}"))


# The promises of delivery rest on these: the engine sets them itself.
OWN_OPTIONS = (
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "group.id",
    "isolation.level",
    "partition.assignment.strategy",
    "session.timeout.ms",
    "transaction.timeout.ms",
    "transactional.id",
)
_SENSITIVE_OPTION = re.compile(r"password|secret|token|jaas|key\.pem|oauthbearer\.config", re.IGNORECASE)


@dataclass(frozen=True)
class Options:
    """librdkafka's options by name, as text; a sensitive one is a Secret."""

    @staticmethod
    def is_sensitive(name: str) -> bool:
        return _SENSITIVE_OPTION.search(name) is not None

    @property
    def blank(self) -> Any:
        return {}

    def read(self, raw: Any, place: Place) -> Any:
        if not isinstance(raw, dict):
            return place.refuse(Message("must be a table of options"))
        read: dict[str, str | Secret] = {}
        for name, value in raw.items():
            if name in OWN_OPTIONS:
                place.step(name).refuse(Message("is set by the engine itself"))
            elif not isinstance(value, str | int | float):
                place.step(name).refuse(Message("must be text, a number, true or false"))
            else:
                text = str(value).lower() if isinstance(value, bool) else str(value)
                read[name] = Secret(text) if self.is_sensitive(name) else text
        return read
