"""Identifiers by their standards: citizens GB 11643-1999, legal persons GB 32100-2015, parcels TD/T 1001. True or false, never a guess.

Ours, not python-stdnum's: that refuses USCCs that begin with a letter and takes an unknown birthplace for an invalid number.
"""

import re
from calendar import monthrange

from sync_engine.model.key_kind import PARCEL_OWNERSHIP, PARCEL_USE

_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_RESIDENT_CHECKS = "10X98765432"
USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_VALUES = {character: value for value, character in enumerate(USCC_ALPHABET)}
_USCC_WEIGHTS = tuple(pow(3, index, 31) for index in range(17))


def is_resident_id(text: str) -> bool:
    """18 characters, a real date of birth, and the check character of ISO 7064 MOD 11-2 (GB 11643-1999)."""
    if len(text) != 18 or not (text.isascii() and text[:17].isdigit()):
        return False
    return _is_date(int(text[6:10]), int(text[10:12]), int(text[12:14])) and resident_check(text[:17]) == text[17]


def resident_check(first_17: str) -> str:
    """The 18th character of a citizen identification number."""
    return _RESIDENT_CHECKS[sum(int(digit) * weight for digit, weight in zip(first_17, _RESIDENT_WEIGHTS, strict=True)) % 11]


def _is_date(year: int, month: int, day: int) -> bool:
    return 1800 <= year <= 2200 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


def is_uscc(text: str) -> bool:
    """18 characters of the standard's alphabet and its MOD 31 check character (GB 32100-2015); the first may be a letter (N, Y)."""
    if len(text) != 18 or any(character not in _USCC_VALUES for character in text):
        return False
    return uscc_check(text[:17]) == text[17]


def uscc_check(first_17: str) -> str:
    """The 18th character of a unified social credit code. All of `first_17` must be of the standard's alphabet."""
    total = sum(_USCC_VALUES[character] * weight for character, weight in zip(first_17, _USCC_WEIGHTS, strict=True))
    return USCC_ALPHABET[(31 - total % 31) % 31]


def normal_resident_id(text: str) -> str:
    """With 18 characters, where it has the 15 of GB 11643-1989: 19 before the year, the check character behind (GB 11643-1999).

    Sequence numbers from 996 on were those of people born before 1900: these stay as they are, and are no valid number.
    """
    if _FIFTEEN.fullmatch(text) is None or text[12:] >= "996":
        return text
    first = f"{text[:6]}19{text[6:]}"
    return first + resident_check(first)


_FIFTEEN = re.compile("[0-9]{15}")
_PARCEL = re.compile(rf"[1-9][0-9]{{11}}[{''.join(PARCEL_OWNERSHIP)}][{''.join(PARCEL_USE)}][0-9]{{5}}")


def is_parcel(text: str) -> bool:
    """19 characters: county (6), cadastral district (3) and sub-district (3), ownership and use (a letter each), number from 00001.

    There is no check character (TD/T 1001, GB/T 37346).
    """
    return _PARCEL.fullmatch(text) is not None and not text.endswith("00000")
