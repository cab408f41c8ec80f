"""A column's value as the catalogue wants it: trimmed, NFC, coded, dated; or refused with the reason.

Knows one column at a time. The surprise: an empty string is *null*, also where it was only blanks.
"""

import re
import unicodedata
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from tests.oracle.claims import Cell

RESIDENT_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
RESIDENT_ID_CHECKS = "10X98765432"
USCC_DIGITS = "0123456789ABCDEFGHJKLMNPQRTUWXY"


class Refused(Exception):
    """The row makes no claim; the message is the reason."""


def normal_key(key_type: str, raw: object) -> str:
    key = "" if raw is None else str(raw).strip().upper()
    if key_type != "string":
        key = unicodedata.normalize("NFKC", key)
    if key_type == "resident_id" and re.fullmatch("[0-9]{15}", key) and int(key[12:]) < 996:
        key = with_check(key[:6] + "19" + key[6:])
    if not key:
        raise Refused("missing_key")
    if key_type == "resident_id" and not is_resident_id(key):
        raise Refused("invalid_identifier")
    if key_type == "uscc" and not is_uscc(key):
        raise Refused("invalid_identifier")
    if key_type == "parcel" and not is_parcel(key):
        raise Refused("invalid_identifier")
    return key


def is_parcel(key: str) -> bool:
    """TD/T 1001: 12 digits of place, ownership and use, a number that is not 0."""
    return bool(re.fullmatch(r"[1-9][0-9]{11}[GJZ][A-HSWXY][0-9]{5}", key)) and int(key[14:]) > 0


def is_resident_id(key: str) -> bool:
    """GB 11643: 17 digits of which the 7th to 14th are a day of birth, then ISO 7064 MOD 11-2."""
    if not re.fullmatch(r"[0-9]{17}[0-9X]", key) or not is_day(key[6:14]):
        return False
    total = sum(weight * int(digit) for weight, digit in zip(RESIDENT_ID_WEIGHTS, key[:17], strict=True))
    return RESIDENT_ID_CHECKS[total % 11] == key[17]


def with_check(first: str) -> str:
    return next(first + check for check in RESIDENT_ID_CHECKS if is_resident_id(first + check) or not is_day(first[6:14]))


def is_day(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True


def is_uscc(key: str) -> bool:
    """GB 32100: 17 of 31 characters, each weighed with a power of 3, and a check character modulo 31."""
    if len(key) != 18 or any(character not in USCC_DIGITS for character in key):
        return False
    total = sum(USCC_DIGITS.index(character) * 3**place for place, character in enumerate(key[:17]))
    return USCC_DIGITS[-total % 31] == key[17]


def normal_cell(item: dict[str, Any], code_table: str | None, codes: dict[str, Any], raw: object) -> Cell:
    """The cell of a column that is mapped to `item`, by the code table of the mapping if it names one."""
    if raw is None or (isinstance(raw, str) and not text_of(raw)):
        return "null"
    if item["type"] == "code":
        return {"value": normal_code(item, code_table, codes, raw)}
    value = NORMAL[item["type"]](raw)
    if item["type"] == "decimal" and not fits(str(value), item.get("precision", 38), item.get("scale")):
        raise Refused("invalid_value")
    if isinstance(value, str) and len(value) > item.get("max_length", len(value)):
        raise Refused("invalid_value")
    return {"value": value}


def fits(number: str, precision: int, scale: int | None) -> bool:
    """As SQL's numeric(precision, scale); without a scale, as many digits as precision says, wherever the point is."""
    whole, _, fraction = number.lstrip("-").partition(".")
    whole = whole.lstrip("0")
    if scale is None:
        return len(whole) + len(fraction) <= precision
    return len(fraction) <= scale and len(whole) <= precision - scale


def normal_code(item: dict[str, Any], code_table: str | None, codes: dict[str, Any], raw: object) -> str:
    """The code in the item's own closed set."""
    code = text_of(raw)
    table = codes[code_table or item["codes"]]
    if "maps_to" in table:
        code = table["map"].get(code)
    if code not in codes[item["codes"]]["values"]:
        raise Refused("unknown_code")
    return code


def text_of(raw: object) -> str:
    return unicodedata.normalize("NFC", str(raw).strip())


def normal_date(raw: object) -> str:
    if isinstance(raw, datetime):
        return raw.date().isoformat()
    if isinstance(raw, date):
        return raw.isoformat()
    try:
        return date.fromisoformat(text_of(raw)).isoformat()
    except ValueError:
        raise Refused("invalid_value") from None


def normal_region(raw: object) -> str:
    region = text_of(raw)
    if not re.fullmatch(r"[0-9]{6}", region):
        raise Refused("invalid_value")
    return region


def normal_integer(raw: object) -> int:
    text = text_of(raw)
    if not (text.lstrip("+-").isascii() and text.lstrip("+-").isdigit() and len(text.lstrip("+-")) >= len(text) - 1):
        raise Refused("invalid_value")
    if int(text).bit_length() > 63 and int(text) != -(2**63):
        raise Refused("invalid_value")
    return int(text)


def normal_boolean(raw: object) -> bool:
    """MariaDB has no booleans: its 0 and 1 are meant too."""
    word = text_of(raw).lower()
    if word not in ("0", "1", "false", "true"):
        raise Refused("invalid_value")
    return word in ("1", "true")


def normal_decimal(raw: object) -> str:
    """Without exponent and without trailing zeros: 1.50 and 1.5 are one value."""
    try:
        number = Decimal(text_of(raw))
    except ArithmeticError:
        raise Refused("invalid_value") from None
    if not number.is_finite():
        raise Refused("invalid_value")
    sign, digits, exponent = number.as_tuple()
    whole = "".join(map(str, digits)) + "0" * max(0, int(exponent))
    places = max(0, -int(exponent))
    whole = whole.rjust(places + 1, "0")
    whole, fraction = (whole[:-places], whole[-places:].rstrip("0")) if places else (whole, "")
    text = (whole.lstrip("0") or "0") + ("." + fraction if fraction else "")
    return f"-{text}" if sign and text != "0" else text


NORMAL = {
    "string": text_of,
    "date": normal_date,
    "region": normal_region,
    "integer": normal_integer,
    "boolean": normal_boolean,
    "decimal": normal_decimal,
}


def breaks_a_rule(entity: dict[str, Any], cells: dict[str, Cell]) -> bool:
    """Whether what a row says breaks a validation rule of the entity."""
    said = {item: cell["value"] for item, cell in cells.items() if isinstance(cell, dict)}
    return any(
        item in said and not keeps(rule, entity["items"][item]["type"], said[item], said.get(rule.get("not_before")))
        for rule in entity.get("validation", [])
        for item in rule["items"]
    )


def keeps(rule: dict[str, Any], item_type: str, value: Any, other: Any) -> bool:
    """`other` = what the row says of the item that `not_before` names, None if nothing."""
    if "matches" in rule:
        return re.compile(f"^(?:{rule['matches']})\\Z").match(value) is not None
    if "not_before" in rule:
        return other is None or date.fromisoformat(other) <= date.fromisoformat(value)
    number = {"integer": int, "decimal": Decimal, "date": date.fromisoformat}[item_type]
    return ("at_least" not in rule or number(rule["at_least"]) <= number(value)) and (
        "at_most" not in rule or number(value) <= number(rule["at_most"])
    )
