"""What a comparison of rows with slots calls lost, what it does not, and what heals it."""

from collections.abc import Sequence

from sync_engine.model.claim import ASSERT, IN_ERROR, Claim, Kind, Position, join
from sync_engine.observe.reconcile import NOTHING, Apart, Comparison, Loss, Lost, Said, SlotId, healing

SOURCE, ENTITY = "east/police/person", "person"
BEAT: Position = (1, 1, 900, 0, 0)


def at(number: int) -> Position:
    return (1, 1, number, 0, 0)


def slot(row: str, key: str = "K1", mapping: str = "self") -> SlotId:
    return SlotId(ENTITY, key, f"[{row}]", mapping)


def claim(of: SlotId, position: Position, kind: int = ASSERT, **values: str | int | None) -> Claim:
    return Claim(SOURCE, of.row, of.mapping, kind, position, dict(values))


def said(*claims: tuple[SlotId, Claim], unreadable: Sequence[str] = ()) -> Said:
    return Said({of.packed(): one for of, one in claims}, frozenset(unreadable))


class Story:
    """One source: its slots, then its rows, then a round."""

    def __init__(self, *slots: tuple[SlotId, Claim | None]) -> None:
        self.comparison = Comparison(SOURCE)
        for of, one in slots:
            self.comparison.slot(of, one)

    def scan(self, **rows: Said) -> "Story":
        for row, one in rows.items():
            self.comparison.scan(f"[{row.removeprefix('r')}]", one)
        self.comparison.scanned()
        return self

    def round(self, moved: Sequence[tuple[SlotId, Claim | None]] = (), put_aside: Sequence[str] = (), **rows: Said) -> list[Lost]:
        self.comparison.begin()
        read = dict.fromkeys(self.comparison.suspects, NOTHING) | {f"[{row.removeprefix('r')}]": one for row, one in rows.items()}
        for of, one in moved:
            self.comparison.slot(of, one)
        return self.comparison.judge(read, put_aside)


ONE, TWO = slot("1"), slot("2", "K2")


def row(of: SlotId, **values: str | int | None) -> Said:
    return said((of, claim(of, BEAT, **values)))


def test_what_is_equal_is_not_suspect() -> None:
    story = Story((ONE, claim(ONE, at(5), name="a", mobile=None))).scan(r1=row(ONE, mobile=None, name="a"))
    assert story.comparison.suspects == {}
    assert (story.comparison.rows, story.comparison.slots) == (1, 1)


def test_a_null_is_another_word_than_none_and_a_number_than_a_text() -> None:
    for held, stands in (({"name": None}, {}), ({"name": "1"}, {"name": 1}), ({"name": ""}, {"name": None})):
        story = Story((ONE, claim(ONE, at(5), **held))).scan(r1=row(ONE, **stands))  # type: ignore[arg-type]
        assert story.round(r1=row(ONE, **stands)) == [Lost(Loss.STALE, ONE)]  # type: ignore[arg-type]


def test_an_update_an_insert_and_a_delete_that_were_lost() -> None:
    story = Story((ONE, claim(ONE, at(5), name="a")), (TWO, claim(TWO, at(6), name="b")))
    three = slot("3", "K3")
    story.scan(r1=row(ONE, name="z"), r3=row(three, name="c"))
    found = story.round(r1=row(ONE, name="z"), r3=row(three, name="c"))
    assert set(found) == {Lost(Loss.STALE, ONE), Lost(Loss.MISSING, three), Lost(Loss.SURPLUS, TWO)}
    assert story.comparison.suspects == {}


def test_a_slot_that_was_withdrawn_is_missing_for_a_row_that_is_there() -> None:
    story = Story((ONE, claim(ONE, at(5), Kind.WITHDRAW))).scan(r1=row(ONE, name="a"))
    assert story.round(r1=row(ONE, name="a")) == [Lost(Loss.MISSING, ONE)]


def test_a_slot_that_was_withdrawn_or_erased_is_not_surplus() -> None:
    erased = [(TWO, claim(TWO, at(6), name="b")), (TWO, None)]
    assert Story((ONE, claim(ONE, at(5), Kind.WITHDRAW)), *erased).scan().comparison.suspects == {}


def test_a_key_that_changed_unseen_is_missing_there_and_surplus_here() -> None:
    there = slot("1", "K9")
    story = Story((ONE, claim(ONE, at(5), name="a"))).scan(r1=row(there, name="a"))
    stands = row(there, name="a")
    found = story.round(r1=stands)
    assert set(found) == {Lost(Loss.MISSING, there), Lost(Loss.SURPLUS, ONE)}
    healed = {one.loss: healing(SOURCE, one, stands, BEAT, 7) for one in found}
    assert healed[Loss.SURPLUS] == Claim(SOURCE, "[1]", "self", Kind.WITHDRAW, BEAT, moved_to="K9", effective_ms=7)
    assert healed[Loss.MISSING] == claim(there, BEAT, name="a")


def test_what_moved_while_the_row_was_read_is_looked_at_again() -> None:
    story = Story((ONE, claim(ONE, at(5), name="a"))).scan(r1=row(ONE, name="b"))
    assert story.round([(ONE, claim(ONE, at(6), name="b"))], r1=row(ONE, name="c")) == []
    assert story.comparison.suspects.keys() == {"[1]"}
    assert story.round([(ONE, claim(ONE, at(7), name="c"))], r1=row(ONE, name="c")) == []
    assert story.comparison.suspects.keys() == {"[1]"}
    assert story.round(r1=row(ONE, name="c")) == []
    assert story.comparison.suspects == {}


def test_a_row_that_came_while_the_table_was_read_is_not_lost() -> None:
    story = Story().scan(r1=row(ONE, name="a"))
    story.comparison.slot(ONE, claim(ONE, at(5), name="a"))
    assert story.round(r1=row(ONE, name="a")) == []


def test_a_row_that_got_another_key_meanwhile_has_left_nothing_behind() -> None:
    there = slot("1", "K9")
    story = Story((ONE, claim(ONE, at(5), name="a"))).scan(r1=row(there, name="a"))
    story.comparison.slot(ONE, claim(ONE, at(6), Kind.WITHDRAW))
    story.comparison.slot(there, claim(there, at(6), name="a"))
    assert story.round(r1=row(there, name="a")) == []


def test_a_sweep_that_has_not_reached_a_slot_yet_has_ended_it() -> None:
    story = Story((ONE, claim(ONE, at(5), name="a")), (TWO, claim(TWO, at(8), name="b")))
    story.comparison.sweep(at(8))
    story.comparison.sweep(at(2))
    assert story.scan(r2=row(TWO, name="b")).comparison.suspects == {}


def test_what_is_told_elsewhere_is_shown_apart() -> None:
    bad, part, aside = slot("3", "K3"), slot("4", "K4"), slot("5", "K5")
    half = Claim(SOURCE, part.row, "self", ASSERT, at(5), {}, unchanged={"name": (*at(5), ASSERT)})
    story = Story(
        (ONE, claim(ONE, at(5), name="a")),
        (bad, join(claim(bad, at(5), name="a"), claim(bad, at(6), IN_ERROR))),
        (part, half),
    )
    rows = {"r1": said(unreadable=["self"]), "r3": row(bad, name="b"), "r4": row(part, name="d"), "r5": row(aside, name="e")}
    story.scan(**rows)
    assert story.comparison.suspects.keys() == {"[5]"}
    assert story.round(put_aside=["[5]"], r5=rows["r5"]) == []
    assert story.comparison.apart == dict.fromkeys(Apart, 1)


def test_of_two_mappings_only_the_one_that_was_lost_is_found() -> None:
    man, woman = slot("1", "K1", "man"), slot("1", "K2", "woman")
    stands = said((man, claim(man, BEAT, name="a")), (woman, claim(woman, BEAT, name="b")))
    story = Story((man, claim(man, at(5), name="a")), (woman, claim(woman, at(5), name="z"))).scan(r1=stands)
    assert story.round(r1=stands) == [Lost(Loss.STALE, woman)]


def test_what_heals_wins_against_what_it_replaces_and_loses_against_what_comes() -> None:
    """The beat was given before the row was read: whatever the row becomes later stands behind it."""
    stands = row(ONE, name="now")
    old, new = claim(ONE, at(5), name="old"), claim(ONE, at(901), name="new")
    heals = healing(SOURCE, Lost(Loss.STALE, ONE), stands, BEAT, 7)
    assert join(old, heals) == heals
    assert join(heals, new) == join(new, heals) == new
    ends = healing(SOURCE, Lost(Loss.SURPLUS, ONE), NOTHING, BEAT, 7)
    assert not join(old, ends).live
    assert join(ends, new) == new


def test_a_mapping_that_cannot_be_read_has_not_lost_its_slot() -> None:
    man, woman = slot("1", "K1", "man"), slot("1", "K2", "woman")
    story = Story((man, claim(man, at(5), name="a")), (woman, claim(woman, at(5), name="b")))
    story.scan(r1=said((man, claim(man, BEAT, name="z")), (woman, claim(woman, BEAT, name="z"))))
    stands = said((man, claim(man, BEAT, name="z")), unreadable=["woman"])
    assert story.round(r1=stands) == [Lost(Loss.STALE, man)]
