"""What an Alertmanager is told, by a receiver that keeps what its API (v2) would: labels make the alert, a later end replaces an earlier.

It is no Alertmanager: none can be had as a package. Its rules are those of the API's description (prometheus/alertmanager, openapi.yaml).
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from aiohttp import web

from sync_engine.model.alert import CONFLICT, FIRING, TIER_LAG, Alert
from sync_engine.runtime.alertmanager import LASTS_SECONDS, REPEAT_SECONDS, Alertmanagers

NOW = 1_700_000_000_000


class Receiver:
    """Its alerts by their labels."""

    def __init__(self) -> None:
        self.status = 200
        self.posts = 0
        self.alerts: dict[frozenset[tuple[str, str]], dict[str, Any]] = {}

    async def post(self, request: web.Request) -> web.Response:
        self.posts += 1
        if self.status == 200:
            for alert in await request.json():
                assert alert.keys() == {"labels", "annotations", "startsAt", "endsAt"}
                assert all(isinstance(value, str) and value for value in alert["labels"].values())
                self.alerts[frozenset(alert["labels"].items())] = alert
        return web.Response(status=self.status)

    def active(self, now_ms: int) -> set[str]:
        ends = {alert["annotations"]["id"]: datetime.fromisoformat(alert["endsAt"]).timestamp() * 1000 for alert in self.alerts.values()}
        return {alert for alert, end in ends.items() if end > now_ms}


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/api/v2/alerts", found.post)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield found, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def alert(alert_id: str, kind: str = TIER_LAG, **labels: str) -> Alert:
    return Alert(alert_id, kind, FIRING, "warning", "luan", {"source": alert_id, **labels}, "滞后", "lags", NOW - 5_000)


async def test_what_fires_is_told_repeated_and_ended(receiver: tuple[Receiver, str]) -> None:
    found, url = receiver
    told = Alertmanagers([url + "/"])
    await told.tell([alert("a"), alert("b")], NOW)
    assert found.active(NOW) == {"a", "b"}
    await told.tell([alert("a"), alert("b")], NOW + 1_000)
    assert found.posts == 1, "nothing is new"
    await told.tell([alert("a"), alert("b")], NOW + int(REPEAT_SECONDS * 1000))
    assert found.posts == 2
    assert found.active(NOW + int(LASTS_SECONDS * 1000)) == {"a", "b"}

    await told.tell([alert("b")], NOW + 40_000)
    assert found.active(NOW + 40_000) == {"b"}
    await told.tell([], NOW + 41_000)
    assert found.active(NOW + 41_000) == set()
    await told.tell([], NOW + 99_000)
    assert found.posts == 4, "nothing fires and nothing has ended"
    await told.close()


async def test_one_alert_keeps_its_labels_and_two_conflicts_of_a_rule_are_two(receiver: tuple[Receiver, str]) -> None:
    found, url = receiver
    told = Alertmanagers([url])
    first, second = (alert(f"{CONFLICT}/{name}", CONFLICT, source="", rule="r") for name in ("f1", "f2"))
    await told.tell([first], NOW)
    await told.tell([first, second], NOW + 1_000)

    assert found.active(NOW + 1_000) == {f"{CONFLICT}/f1", f"{CONFLICT}/f2"}
    assert len(found.alerts) == 2
    labels = [dict(key) for key in found.alerts]
    assert {one["alertname"] for one in labels} == {"SyncConflict"}
    assert all("source" not in one for one in labels), "an empty label is none"
    await told.close()


async def test_one_that_was_away_is_told_what_began_and_what_ended(receiver: tuple[Receiver, str]) -> None:
    found, url = receiver
    told = Alertmanagers([url])
    await told.tell([alert("a")], NOW)
    found.status = 503
    await told.tell([alert("b")], NOW + 1_000)
    await told.tell([], NOW + 2_000)
    assert found.active(NOW + 2_000) == {"a"}
    found.status = 200

    await told.tell([alert("c")], NOW + 3_000)

    assert found.active(NOW + 3_000) == {"c"}
    await told.close()


async def test_each_of_several_is_told_also_when_one_is_gone(receiver: tuple[Receiver, str]) -> None:
    found, url = receiver
    told = Alertmanagers(["http://127.0.0.1:9", url])

    await told.tell([alert("a")], NOW)

    assert found.active(NOW) == {"a"}
    await told.close()
