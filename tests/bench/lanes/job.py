"""What a side of a lane is told, and the names that both sides and their judge share."""

import base64

from tests.bench.job import Job

LANES = ("ingest", "link", "webhook", "postgresql", "mariadb")
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
INPUT_OF = {lane: f"bench-{lane}" for lane in LANES}
"""The node whose topics both sides read; it is the engine's. The plain side writes to topics of a node of its own."""


class LaneJob(Job, frozen=True, kw_only=True):
    """`claims` is not used: what is read follows from the lane. `target` = the address of the receiver, of the database."""

    lane: str
    target: str = ""


def node_of(lane: str, side: str) -> str:
    return INPUT_OF[lane] if side == "engine" else f"{INPUT_OF[lane]}-plain"
