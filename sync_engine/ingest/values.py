"""A captured column's value as the item's value: trimmed, normalised, mapped by code table, checked against the item's type.

Refuses by raising `Refused` within this package only; the stage turns it into a dead letter. A message never holds the value.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from datetime import time as wall_time
from decimal import Decimal
from unicodedata import normalize

from sync_engine.ingest.identifiers import is_parcel, is_resident_id, is_uscc, normal_resident_id
from sync_engine.model.claim import Value
from sync_engine.model.declaration import MAX_DIGITS, CodeTable, Item
from sync_engine.model.outcome import Reason

_DECIMAL = re.compile(r"[+-]?[0-9]{1,100}(\.[0-9]{0,100})?([eE](?P<exponent>[+-]?[0-9]{1,3}))?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")
_LONG = 1 << 63
"""Avro's long holds no more."""
_EPOCH_DAY = date(1970, 1, 1)

Read = Callable[[object], Value]
"""From what the capture gives to the item's value; raises Refused."""


@dataclass(frozen=True)
class Refused(Exception):
    reason: Reason
    detail: str


def reader(item: Item, codes: CodeTable | None, tables: Mapping[str, CodeTable]) -> Read:
    """The function that reads a column into this item; `codes` is the table that the mapping names, if it names one."""
    if item.type == "code":
        return _code_reader(item, codes or tables[item.codes or ""])
    convert = _CONVERTERS[item.type]

    def read(raw: object) -> Value:
        if raw is None:
            return None
        if isinstance(raw, str):
            raw = normalize("NFC", raw.strip())
            if not raw:
                return None
        value = convert(item, raw)
        if isinstance(value, str) and item.max_length is not None and len(value) > item.max_length:
            raise Refused(Reason.INVALID_VALUE, f"{item.name}: longer than {item.max_length} characters")
        return value

    return read


def _code_reader(item: Item, codes: CodeTable) -> Read:
    table = codes.map if codes.maps_to else {code: code for code in codes.values}

    def read(raw: object) -> Value:
        if raw is None:
            return None
        # A code in a column of truth values: SQL Server's bit, PostgreSQL's boolean.
        text = normalize("NFC", str(int(raw) if isinstance(raw, bool) else raw).strip())
        if not text:
            return None
        if text not in table:
            raise Refused(Reason.UNKNOWN_CODE, f"{item.name}: not in code table {codes.name}")
        return table[text]

    return read


def _invalid(item: Item) -> Refused:
    return Refused(Reason.INVALID_VALUE, f"{item.name}: not a {item.type}")


def _string(item: Item, raw: object) -> Value:
    return raw if isinstance(raw, str) else str(raw)


def _date(item: Item, raw: object) -> Value:
    # Debezium's io.debezium.time.Date is days since 1970-01-01; text columns hold ISO 8601 or the compact form. A date with a time of day
    # (Oracle's DATE) must come as text (time.precision.mode = isostring): a number of milliseconds is no date of the calendar and refused.
    try:
        if isinstance(raw, int):
            return (_EPOCH_DAY + timedelta(days=raw)).isoformat()
        day, at, time = str(raw).removesuffix("Z").partition("T")
        if at:
            wall_time.fromisoformat(time)
        return date.fromisoformat(day).isoformat()
    except (ValueError, OverflowError):
        raise _invalid(item) from None


def _region(item: Item, raw: object) -> Value:
    text = str(raw)
    if len(text) != 6 or not (text.isascii() and text.isdigit()):
        raise _invalid(item)
    return text


def _integer(item: Item, raw: object) -> Value:
    # What Python takes for one besides (1_000, full-width digits) is a slip of the pen in a department's column.
    if _INTEGER.fullmatch(str(raw)) is None or not -_LONG <= int(str(raw)) < _LONG:
        raise _invalid(item)
    return int(str(raw))


def _boolean(item: Item, raw: object) -> Value:
    if isinstance(raw, bool):
        return raw
    try:
        return {"0": False, "1": True, "false": False, "true": True}[str(raw).lower()]
    except KeyError:
        raise _invalid(item) from None


def _decimal(item: Item, raw: object) -> Value:
    # Never through a context: it would round to 28 digits in silence.
    match = _DECIMAL.fullmatch(str(raw))
    if match is None or abs(int(match["exponent"] or 0)) > 2 * MAX_DIGITS:
        raise _invalid(item)
    number = Decimal(str(raw))
    whole, _, fraction = f"{number.copy_abs():f}".partition(".")
    whole, fraction = whole.lstrip("0"), fraction.rstrip("0")
    precision = MAX_DIGITS if item.precision is None else item.precision
    scale = precision if item.scale is None else item.scale
    behind = len(fraction) if item.scale is None else item.scale
    if len(fraction) > scale or len(whole) > precision - behind:
        raise Refused(Reason.INVALID_VALUE, f"{item.name}: more digits than numeric({precision}, {scale}) holds")
    text = f"{whole or '0'}.{fraction}" if fraction else whole or "0"
    return f"-{text}" if number.is_signed() and text != "0" else text


_CONVERTERS: Mapping[str, Callable[[Item, object], Value]] = {
    "string": _string,
    "date": _date,
    "region": _region,
    "integer": _integer,
    "boolean": _boolean,
    "decimal": _decimal,
}

_IDENTIFIERS: Mapping[str, Callable[[str], bool]] = {"resident_id": is_resident_id, "uscc": is_uscc, "parcel": is_parcel, "string": bool}


def normal_key(key_type: str, written: str) -> str:
    """The entity key as the engine writes it; valid or not."""
    text = written.strip().upper()
    if key_type == "string":
        return text
    text = normalize("NFKC", text)
    return normal_resident_id(text) if key_type == "resident_id" else text


def read_key(key_type: str, raw: object) -> str:
    """The entity key as the engine writes it; raises Refused if it breaks its standard."""
    text = "" if raw is None else normal_key(key_type, str(raw))
    if not _IDENTIFIERS[key_type](text) or any(ord(character) < 0x20 for character in text):
        raise Refused(Reason.INVALID_IDENTIFIER, f"the key is not a valid {key_type}")
    return text
