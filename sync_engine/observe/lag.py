"""Lag as a state and a time: caught_up, behind, stalled, dark, held. Never zero when unknown.

Pure: told the watermarks, when each beat was seen, what is parked, and now. The surprise: a state is about one source at one place, and
the first blocked hop is the first place whose lag is over its limit while the place before it is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CAUGHT_UP, BEHIND, STALLED, DARK, HELD = "caught_up", "behind", "stalled", "dark", "held"
STATES = (CAUGHT_UP, BEHIND, STALLED, DARK, HELD)

DARK_AFTER_MS = 10_000
"""Without a beat for so long a source is dark: ten beats missed in a row."""


@dataclass(frozen=True)
class Seen:
    """What is known of one source at one place."""

    watermark_ms: int | None
    moved_ms: int | None
    """When the watermark last rose, by this node's clock."""


@dataclass(frozen=True)
class Lag:
    source: str
    place: str
    state: str
    lag_seconds: float | None
    """None while unknown."""
    watermark_ms: int | None
    incomplete: int
    """Records parked or put aside before this place: they do not hold the watermark, but nothing with any is caught up."""
    on_time: bool = False
    """Whether the watermark keeps its objective, whatever is put aside."""


def is_dark(beat_ms: int | None, now_ms: int) -> bool:
    """Whether a source that was last heard of at `beat_ms` is dark."""
    return beat_ms is None or now_ms - beat_ms > DARK_AFTER_MS


def lag_of(
    source: str,
    place: str,
    seen: Seen,
    beat_ms: int | None,
    objective_seconds: float,
    incomplete: int,
    now_ms: int,
    *,
    is_held: bool = False,
) -> Lag:
    """The lag of one source at one place. One that is held says so whatever else is true: only a person ends that.

    `beat_ms` = when this node last heard of the source (a beat, or a neighbour's statement), by this node's clock.
    """
    if is_held:
        known = None if seen.watermark_ms is None else max(0.0, (now_ms - seen.watermark_ms) / 1000)
        return Lag(source, place, HELD, known, seen.watermark_ms, incomplete, on_time=known is not None and known <= objective_seconds)
    if is_dark(beat_ms, now_ms):
        known = None if seen.watermark_ms is None else max(0.0, (now_ms - seen.watermark_ms) / 1000)
        return Lag(source, place, DARK, known, seen.watermark_ms, incomplete)
    if seen.watermark_ms is None:
        return Lag(source, place, BEHIND, None, None, incomplete)
    # A source's clock that runs ahead would make this negative: the watermark is then not in the past of this node's clock.
    lag_seconds = max(0.0, (now_ms - seen.watermark_ms) / 1000)
    if lag_seconds <= objective_seconds:
        return Lag(source, place, CAUGHT_UP if incomplete == 0 else BEHIND, lag_seconds, seen.watermark_ms, incomplete, on_time=True)
    stalled = seen.moved_ms is not None and now_ms - seen.moved_ms > DARK_AFTER_MS
    return Lag(source, place, STALLED if stalled else BEHIND, lag_seconds, seen.watermark_ms, incomplete)


def first_blocked(lags: Mapping[str, Lag], places: Sequence[str]) -> str | None:
    """The first place in flow order that is not caught up: the hop that owns the lag."""
    return next((place for place in places if place in lags and lags[place].state != CAUGHT_UP), None)
