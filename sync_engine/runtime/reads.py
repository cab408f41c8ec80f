"""Point reads and health of one worker, on loopback: records, explanations, status (with a token), metrics and health (without).

Where it listens and the token are in a file of the state folder that only its owner may read; the command line finds them there.
A record that is another worker's partition is answered with 421, so that the caller asks the next one.
"""

import asyncio
import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sync_engine.ingest.values import normal_key
from sync_engine.model import names
from sync_engine.model.golden import CONFIRMED
from sync_engine.resolve.content import compile_rules, resolve
from sync_engine.resolve.decide import RecordState
from sync_engine.resolve.explain import explain

if TYPE_CHECKING:
    from sync_engine.runtime.worker import Worker

STALLED_SECONDS = 30.0
"""A lane, or the observer, without a turn for so long makes the worker not ready: it watches progress, not that a process lives."""
OBSERVE = "observe"


def address_file(state_dir: Path, node: str, instance: str) -> Path:
    return state_dir / "workers" / f"{node}.{instance}.json"


class Reads:
    """Serves between `start` and `stop`."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._token = secrets.token_urlsafe(32)
        self._rules = {
            entity.entity: compile_rules(entity, lambda source: worker.declarations.sources[source].department_class)
            for entity in worker.declarations.entities.values()
        }
        self._file = address_file(worker.settings.state.dir, worker.node, worker.instance)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/livez", self._live),
                web.get("/readyz", self._ready),
                web.get("/status", self._with_token(self._status)),
                web.get("/records/{entity}/{key}", self._with_token(self._record)),
                web.get("/records/{entity}/{key}/explanation", self._with_token(self._explanation)),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._worker.settings.worker.listen_host, self._worker.settings.worker.listen_port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self._write_address(f"http://{host}:{port}")

    async def stop(self) -> None:
        self._file.unlink(missing_ok=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def _write_address(self, url: str) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"url": url, "token": self._token, "pid": os.getpid(), "node": self._worker.node}, file)
        temporary.replace(self._file)

    def _with_token(self, handler: Any) -> Any:
        async def guarded(request: web.Request) -> web.Response:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not secrets.compare_digest(given.encode(), self._token.encode()):
                return web.json_response({"error": "a token is needed"}, status=401)
            answer: web.Response = await handler(request)
            return answer

        return guarded

    # --- health ---

    async def _live(self, request: web.Request) -> web.Response:
        return web.Response(text="live\n")

    async def _ready(self, request: web.Request) -> web.Response:
        late = self.late()
        return web.json_response({"ready": not late, "without_progress": late}, status=503 if late else 200)

    def late(self) -> list[str]:
        """Lanes that have not turned for long, waiting for the world or stuck; and the observer, whom alone a lost broker stops at rest."""
        since = {lane.name: lane.progressed_at for lane in self._worker.lanes} | {OBSERVE: self._worker.observed_at}
        now = asyncio.get_running_loop().time()
        return [name for name, at in since.items() if now - at > STALLED_SECONDS]

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._worker.metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    # --- status ---

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(self.status())

    def status(self) -> dict[str, Any]:
        """Lag per source and place, alerts firing, what is parked: no record's key or value."""
        worker, observer = self._worker, self._worker.observer
        now_ms = worker.clock.now_ms()
        node = worker.declarations.nodes[worker.node]
        return {
            "node": node.name,
            "tier": node.tier,
            "title": asdict(node.title),
            "at_ms": now_ms,
            "ready": not self.late(),
            "without_progress": self.late(),
            "lags": [] if observer is None else [asdict(lag) for lag in observer.lags(now_ms)],
            "alerts": [] if observer is None else [alert.datum() for alert in observer.firing],
        }

    # --- records ---

    async def _record(self, request: web.Request) -> web.Response:
        found = self._find(request)
        if isinstance(found, web.Response):
            return found
        entity, key, record = found
        resolved = resolve(self._rules[entity], key, record.slots)
        content = resolved.content
        return web.json_response(
            {
                "entity": entity,
                "key": key,
                "node": self._worker.node,
                "version": record.version,
                "digest": record.digest.hex(),
                "life_cycle": content.life_cycle,
                "moved_to": content.moved_to,
                "jurisdiction": content.jurisdiction,
                "items": {
                    item: {"value": value, "status": status, "source": resolved.sources.get(item)} for item, status, value in content.items
                },
                "unconfirmed": [item for item, status, _ in content.items if status != CONFIRMED],
                "findings": [{"kind": finding.kind, "rule": finding.rule, "item": finding.item} for finding in resolved.findings],
            }
        )

    async def _explanation(self, request: web.Request) -> web.Response:
        found = self._find(request)
        if isinstance(found, web.Response):
            return found
        entity, key, record = found
        explained = asdict(explain(self._rules[entity], key, record.slots))
        labels = {slot.source: self._worker.declarations.labels.get(slot.source, {}) for slot in record.slots}
        return web.json_response({"version": record.version, "labels": labels, **explained}, dumps=_dumps)

    def _find(self, request: web.Request) -> web.Response | tuple[str, str, RecordState]:
        entity, key = request.match_info["entity"], request.match_info["key"]
        if entity not in self._rules:
            allowed = sorted(self._rules)
            return web.json_response({"error": "unknown entity", "allowed": allowed}, status=404)
        key = normal_key(self._worker.declarations.entities[entity].key_type, key)
        lane = next(lane for lane in self._worker.lanes if lane.name == f"{self._worker.node}.resolve.{entity}")
        partitions = self._worker.declarations.topics["claim"].partitions
        partition = names.partition_of(key.encode(), partitions)
        try:
            state = None if lane.loop_of_stage is None else lane.loop_of_stage.peek(partition, key.encode())
        except KeyError:
            return web.json_response({"error": "another worker has this partition, or it is being restored"}, status=421)
        if state is None or state.record is None:
            return web.json_response({"error": "this node has no such record"}, status=404)
        return entity, key, state.record


def _dumps(value: Any) -> str:
    return json.dumps(value, default=lambda other: other.pairs if hasattr(other, "pairs") else str(other), ensure_ascii=False)
