"""Identifiers by their standards, GB 11643 and GB 32100: known numbers, and that one changed character is always seen."""

import string
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_engine.ingest.identifiers import is_resident_id, is_uscc, resident_check
from sync_engine.ingest.values import Refused, normal_key, read_key
from tests.oracle import normal

USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
quick = settings(deadline=None, max_examples=200)

RESIDENT_IDS = {
    "11010519491231002X": True,  # the standard's own examples
    "440524188001010014": True,
    "34150220000229001X": True,  # a leap day
    "11010519491231002x": False,  # the check character is a capital; who reads a key makes it one
    "110105194912310021": False,
    "1101051949123100": False,
    "11010549123100": False,  # the 15 digits of before 1999
    " 11010519491231002X": False,
    "": False,
}
USCCS = {
    "91350100M000100Y43": True,  # the standard's own example
    "91350100M000100Y44": False,
    "91350100M000100Y4": False,
    "91350100m000100y43": False,
    "91350100I000100Y43": False,  # I, O, S, V and Z are not in its alphabet
    "": False,
}


@pytest.mark.parametrize(("number", "valid"), RESIDENT_IDS.items())
def test_resident_ids(number: str, valid: bool) -> None:
    assert is_resident_id(number) is valid


@pytest.mark.parametrize(("code", "valid"), USCCS.items())
def test_usccs(code: str, valid: bool) -> None:
    assert is_uscc(code) is valid


@pytest.mark.parametrize(
    ("key_type", "written", "key"),
    [
        ("resident_id", " 11010519491231002x", "11010519491231002X"),
        ("resident_id", "\u3000１１０１０５１９４９１２３１００２ｘ", "11010519491231002X"),
        ("resident_id", "110105491231002", "11010519491231002X"),
        ("resident_id", "１１０１０５４９１２３１００２", "11010519491231002X"),
        ("resident_id", "110105491231996", None),  # born in 18.. or 19..: it does not tell
        ("resident_id", "110105490230002", None),
        ("resident_id", "11010549123100", None),
        ("resident_id", None, None),
        ("uscc", "９１３５０１００m000100y43 ", "91350100M000100Y43"),
        ("string", " Ａ1 ", "Ａ1"),
        ("string", "110105491231002", "110105491231002"),
    ],
)
def test_a_key_as_it_is_written_and_as_it_is_read(key_type: str, written: str | None, key: str | None) -> None:
    for read, refused in ((read_key, Refused), (normal.normal_key, normal.Refused)):
        try:
            assert read(key_type, written) == key
        except refused:
            assert key is None


@pytest.mark.parametrize("day", ["19900230", "19901301", "19900100", "20230229", "17991231"])
def test_a_day_of_birth_that_nobody_has(day: str) -> None:
    first = f"341502{day}001"

    assert not is_resident_id(first + resident_check(first))


resident_ids = st.builds(
    lambda region, born, sequence: f"{region:06d}{born:%Y%m%d}{sequence:03d}",
    st.integers(110000, 659999),
    st.dates(date(1800, 1, 1), date(2200, 12, 31)),
    st.integers(0, 999),
).map(lambda first: first + resident_check(first))


def uscc_of(first: str) -> str:
    """The code with its check character, by the definition: the weighted sum of all 18 is a multiple of 31."""
    total = sum(USCC_ALPHABET.index(character) * 3**place for place, character in enumerate(first))
    return first + next(check for check in USCC_ALPHABET if (total + USCC_ALPHABET.index(check)) % 31 == 0)


usccs = st.text(USCC_ALPHABET, min_size=17, max_size=17).map(uscc_of)


@quick
@given(resident_ids)
def test_a_made_resident_id_is_valid_here_and_by_the_oracle(number: str) -> None:
    assert is_resident_id(number)
    assert normal.is_resident_id(number)


@quick
@given(st.dates(date(1900, 1, 1), date(1999, 12, 31)), st.integers(0, 995))
def test_both_numbers_of_a_person_are_one_key(born: date, sequence: int) -> None:
    first = f"341502{born:%Y%m%d}{sequence:03d}"
    assert normal_key("resident_id", first[:6] + first[8:]) == first + resident_check(first)


@quick
@given(resident_ids, st.integers(0, 17), st.sampled_from(string.digits + "X"))
def test_one_changed_character_of_a_resident_id_is_seen(number: str, place: int, character: str) -> None:
    changed = number[:place] + character + number[place + 1 :]

    assert is_resident_id(changed) is (changed == number)


@quick
@given(resident_ids, st.integers(0, 16))
def test_two_neighbours_changed_over_in_a_resident_id_are_seen(number: str, place: int) -> None:
    changed = number[:place] + number[place + 1] + number[place] + number[place + 2 :]

    assert is_resident_id(changed) is (changed == number)


@quick
@given(usccs)
def test_a_made_uscc_is_valid_here_and_by_the_oracle_whatever_it_begins_with(code: str) -> None:
    assert is_uscc(code)
    assert normal.is_uscc(code)


@quick
@given(usccs, st.integers(0, 17), st.sampled_from(USCC_ALPHABET))
def test_one_changed_character_of_a_uscc_is_seen(code: str, place: int, character: str) -> None:
    changed = code[:place] + character + code[place + 1 :]

    assert is_uscc(changed) is (changed == code)


@quick
@given(usccs, st.integers(0, 16))
def test_two_neighbours_changed_over_in_a_uscc_are_seen(code: str, place: int) -> None:
    changed = code[:place] + code[place + 1] + code[place] + code[place + 2 :]

    assert is_uscc(changed) is (changed == code)


@quick
@given(st.text(max_size=20))
def test_any_text_is_judged_and_never_raises(text: str) -> None:
    assert is_resident_id(text) in (True, False)
    assert is_uscc(text) in (True, False)
