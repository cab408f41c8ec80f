"""An alert: that something is wrong now, or is right again. Its labels and summaries never hold a record's key or value."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from sync_engine.model.declaration import Department

FIRING, RESOLVED = "firing", "resolved"
CONFLICT, TIER_LAG, SUBSCRIBER_LAG, SOURCE_DARK = "conflict", "tier_lag", "subscriber_lag", "source_dark"
DEAD_LETTERS, CAPTURE_FAILED, CAPTURE_LOST, BRAKE = "dead_letters", "capture_failed", "capture_lost", "brake"


class Responsible(msgspec.Struct, frozen=True):
    """Whom an alert is for, of one department that it is about: its data officer first, in the end the first responsible (第一责任人)."""

    source: str
    """The department's id."""
    unit: str
    data_officer: str
    data_officer_phone: str
    first_responsible: str
    first_responsible_phone: str
    labels: dict[str, str]


class Alert(msgspec.Struct, frozen=True):
    """The value of an alert record; its key is `id`, so that firing and resolved of one alert stand in one place of a compacted topic."""

    id: str
    kind: str
    status: str
    severity: str
    node: str
    labels: dict[str, str]
    summary_zh: str
    summary_en: str
    since_ms: int
    resolved_ms: int | None = None
    responsible: tuple[Responsible, ...] = ()

    def datum(self) -> dict[str, Any]:
        datum: dict[str, Any] = msgspec.to_builtins(self, builtin_types=(tuple,))
        return {**datum, "responsible": list(datum["responsible"])}


def alert_of(datum: Mapping[str, Any]) -> Alert:
    return msgspec.convert(datum, Alert)


def addressed(alert: Alert, about: Iterable[str], departments: Mapping[str, Department]) -> Alert:
    """The alert with those who answer for the departments (ids) that it is about; an unknown id has nobody."""
    known = [departments[each] for each in sorted(set(about)) if each in departments]
    return msgspec.structs.replace(alert, responsible=tuple(_responsible(department) for department in known))


def _responsible(department: Department) -> Responsible:
    officer, first = department.data_officer, department.first_responsible
    return Responsible(
        department.id,
        department.unit,
        officer.get("name", ""),
        officer.get("phone", ""),
        first.get("title", ""),
        first.get("phone", ""),
        {**department.labels, "department": department.title.zh},
    )
