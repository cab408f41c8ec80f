"""Every metric of the engine, named here and nowhere else. Labels are stages, sources, places, reasons: never a record's key.

`Metrics` is what the loop, the observer and the pusher tell; prometheus-client does the rest.
"""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sync_engine import __version__
from sync_engine.model.outcome import DeadLetter
from sync_engine.observe.lag import STATES, Lag


class Metrics:
    """The metrics of one worker process of one node."""

    def __init__(self, node: str) -> None:
        self.registry = registry = CollectorRegistry()
        self._node = node
        build = Gauge("syncengine_build_info", "Version of this process.", ["version", "node"], registry=registry)
        build.labels(__version__, node).set(1)
        self._transactions = Counter("syncengine_transactions_total", "Kafka transactions committed.", ["node", "stage"], registry=registry)
        self._records = Counter("syncengine_records_total", "Records decided and committed.", ["node", "stage"], registry=registry)
        self._emits = Counter("syncengine_emits_total", "Records written by a stage.", ["node", "stage"], registry=registry)
        self._letters = Counter(
            "syncengine_dlq_messages_total", "Records put aside, by reason.", ["node", "stage", "reason"], registry=registry
        )
        self._aborts = Counter(
            "syncengine_batch_aborts_total", "Batches that were aborted and tried again.", ["node", "stage"], registry=registry
        )
        self._restored = Counter(
            "syncengine_restored_records_total", "Changelog records read at assignments.", ["node", "stage"], registry=registry
        )
        self._watermark = Gauge(
            "syncengine_watermark_timestamp_seconds",
            "Every change committed at the source before this time of its clock is applied at the place.",
            ["node", "source", "place"],
            registry=registry,
        )
        self._lag = Gauge(
            "syncengine_lag_seconds", "Now minus the watermark; absent while unknown.", ["node", "source", "place"], registry=registry
        )
        self._state = Gauge("syncengine_sync_state", "1 for the state that holds.", ["node", "source", "place", "state"], registry=registry)
        self._beat = Gauge(
            "syncengine_heartbeat_timestamp_seconds", "When the source was last heard of.", ["node", "source"], registry=registry
        )
        self._captures = Gauge(
            "syncengine_capture_failed", "1 while a connector or a task of it is FAILED in Connect.", ["node", "source"], registry=registry
        )
        self._lost = Gauge(
            "syncengine_capture_lost",
            "Slots that the capture has lost, as the last comparisons found them; 0 when they were healed.",
            ["node", "source", "kind"],
            registry=registry,
        )
        self._healed = Counter(
            "syncengine_capture_healed_total",
            "Slots that the capture had lost and that were healed.",
            ["node", "source"],
            registry=registry,
        )
        self._alerts = Gauge("syncengine_alerts_firing", "Alerts firing now, by kind.", ["node", "kind"], registry=registry)
        self._standing = Gauge(
            "syncengine_dead_letters", "Records put aside, neither put back nor given up.", ["node", "source"], registry=registry
        )
        self._cases = Gauge("syncengine_conflicts", "Disagreements pending or open.", ["node", "state"], registry=registry)
        self._pending = Gauge(
            "syncengine_delivery_pending", "Records that a subscriber has not acknowledged.", ["node", "subscriber"], registry=registry
        )
        self._deliveries = Counter(
            "syncengine_deliveries_total", "Attempts of a delivery.", ["node", "subscriber", "outcome"], registry=registry
        )
        self._duration = Histogram(
            "syncengine_delivery_duration_seconds", "Time of one attempt.", ["node", "subscriber"], registry=registry
        )

    def committed(self, stage: str, records: int, emits: int, letters: Sequence[DeadLetter]) -> None:
        self._records.labels(self._node, stage).inc(records)
        self._emits.labels(self._node, stage).inc(emits)
        self._transactions.labels(self._node, stage).inc()
        for letter in letters:
            self._letters.labels(self._node, stage, letter.reason.value).inc()

    def aborted(self, stage: str) -> None:
        self._aborts.labels(self._node, stage).inc()

    def restored(self, stage: str, records: int) -> None:
        self._restored.labels(self._node, stage).inc(records)

    def beat(self, source: str, at_ms: int) -> None:
        self._beat.labels(self._node, source).set(at_ms / 1000)

    def capture(self, source: str, failed: bool) -> None:
        self._captures.labels(self._node, source).set(failed)

    def lost(self, source: str, kind: str, slots: int) -> None:
        self._lost.labels(self._node, source, kind).set(slots)

    def healed(self, source: str, slots: int) -> None:
        self._healed.labels(self._node, source).inc(slots)

    def lag(self, lag: Lag) -> None:
        labels = (self._node, lag.source, lag.place)
        for state in STATES:
            self._state.labels(*labels, state).set(state == lag.state)
        if lag.watermark_ms is not None:
            self._watermark.labels(*labels).set(lag.watermark_ms / 1000)
        if lag.lag_seconds is None:
            # A gauge that keeps its last value would say 0 of a source that nobody hears of.
            self._lag.remove_by_labels({"node": self._node, "source": lag.source, "place": lag.place})
        else:
            self._lag.labels(*labels).set(lag.lag_seconds)

    def alerts(self, kind: str, firing: int) -> None:
        self._alerts.labels(self._node, kind).set(firing)

    def letters(self, source: str, standing: int) -> None:
        self._standing.labels(self._node, source).set(standing)

    def cases(self, pending: int, opened: int) -> None:
        self._cases.labels(self._node, "pending").set(pending)
        self._cases.labels(self._node, "open").set(opened)

    def pending(self, subscriber: str, records: int) -> None:
        self._pending.labels(self._node, subscriber).set(records)

    def delivered(self, subscriber: str, acknowledged: bool, seconds: float) -> None:
        self._deliveries.labels(self._node, subscriber, "acknowledged" if acknowledged else "failed").inc()
        self._duration.labels(self._node, subscriber).observe(seconds)

    def text(self) -> bytes:
        """The exposition, text format 0.0.4."""
        return generate_latest(self.registry)
