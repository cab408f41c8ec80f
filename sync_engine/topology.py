"""READ FIRST. The stages of a node in the order that data takes, and the topics between them.

    department DBs ─Debezium─▶ cdc.*
    ingest    cdc.* | <neighbour>.edge.<me>.<entity>  ─▶ claim.<entity> | dead
    resolve   claim.<entity>                          ─▶ state.<entity> | golden.<entity> | edge.<neighbour>.<entity> | finding | dead
    deliver   golden.<entity>                         ─▶ subscriber | parked.<subscriber> | receipt
    case      finding                                 ─▶ case | alert
    observe   beats, cuts of neighbours               ─▶ cut | alert

Every node runs the same topology. One loop runs every stage (runtime/loop); nothing here touches the world.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sync_engine.case.stage import CaseStage, Watermark
from sync_engine.deliver.stage import DeliverStage
from sync_engine.ingest.stage import IngestStage
from sync_engine.model import names
from sync_engine.model.claim import Claim
from sync_engine.model.declaration import Declarations, Department, Node
from sync_engine.model.outcome import Sent
from sync_engine.model.stage import Codec, Stage
from sync_engine.observe.cuts import CLAIM, GOLDEN, Step
from sync_engine.propagate.route import compile_routes, route
from sync_engine.resolve.content import compile_rules
from sync_engine.resolve.decide import RecordState
from sync_engine.resolve.stage import ResolveStage

NewCodec = Callable[[], Codec]
"""A codec for one lane: codecs are not shared between threads."""


def group_of(node: str, stage: str) -> str:
    """The consumer group of a stage of a node; also the prefix of its transactional ids."""
    return f"{node}.{stage}"


def stages_of(declarations: Declarations, node: str, generation: int, new_codec: NewCodec, watermark: Watermark) -> Iterator[Stage]:
    """Every stage of a node. `generation` = of its golden log, raised when that was lost; `watermark` = of a source at this node."""
    partitions = dict.fromkeys(declarations.entities, declarations.topics["claim"].partitions)
    yield IngestStage(declarations, node, partitions, new_codec())
    for entity in declarations.entities:
        yield resolve_stage(declarations, node, entity, generation, new_codec())
    for subscriber in declarations.subscribers_of(node):
        yield DeliverStage(subscriber, new_codec(), declarations.labels)
    yield CaseStage(declarations, node, new_codec(), watermark)


def resolve_stage(declarations: Declarations, node: str, entity: str, generation: int, codec: Codec) -> ResolveStage:
    """Resolve of one entity, with propagate inside its loop: only there is the record before and after known."""
    classes = {source.id: source.department_class for source in declarations.sources.values()}
    rules = compile_rules(declarations.entities[entity], classes.__getitem__)
    routes = compile_routes(declarations, node, entity)

    def to_neighbours(key: str, before: RecordState, after: RecordState, changed: Sequence[Claim]) -> list[Sent]:
        return route(routes, key, before, after, changed)

    neighbours = [neighbour.name for neighbour in declarations.neighbours(node)]
    return ResolveStage(node, rules, generation, codec, neighbours, to_neighbours)


@dataclass(frozen=True)
class Hops:
    """How cuts go through a node: the steps of every department's watermark, own and from afar."""

    declarations: Declarations
    node: str

    def step_of(self, source: str, place: str) -> Step:
        """The step of the department `source` to `place`: claim, golden, edge.<neighbour> or deliver.<subscriber>."""
        if place == CLAIM:
            return Step(((group_of(self.node, "ingest"), self._entry_topics(source)),), (GOLDEN,))
        if place == GOLDEN:
            waits = tuple(
                (group_of(self.node, f"resolve.{entity}"), (names.claim(self.node, entity),)) for entity in self.declarations.entities
            )
            return Step(waits, tuple(self.places(source))[2:])
        if place.startswith("edge."):
            return Step(())  # written in the transaction that resolved it
        subscriber = next(one for one in self.declarations.subscribers_of(self.node) if place == f"deliver.{one.name}")
        return Step(((group_of(self.node, place), (names.golden(self.node, subscriber.entity),)),))

    def places(self, source: str) -> Iterator[str]:
        """The places of this node that a watermark of `source` passes, in flow order."""
        yield CLAIM
        yield GOLDEN
        came_from = self.next_hop(source)
        for neighbour in self.declarations.neighbours(self.node):
            if neighbour.name != came_from:
                yield f"edge.{neighbour.name}"
        for subscriber in self.declarations.subscribers_of(self.node):
            yield f"deliver.{subscriber.name}"

    def next_hop(self, source: str) -> str | None:
        """The neighbour through which what `source` captures comes here; None for this node's own department."""
        origin = self.declarations.departments[source].node
        if origin == self.node:
            return None
        line = _line(self.declarations, origin)
        if self.node in line:
            return line[line.index(self.node) - 1]
        return self.declarations.nodes[self.node].parent

    def _entry_topics(self, source: str) -> tuple[str, ...]:
        department = self.declarations.departments[source]
        if department.node == self.node:
            return tuple(names.cdc(department, captured.table) for captured in department.sources)
        hop = self.next_hop(source)
        assert hop is not None, "a node that is not the source's own has a neighbour towards it"
        return tuple(names.edge(hop, self.node, entity) for entity in self.declarations.entities)

    def beats(self) -> dict[str, str]:
        """Topic of beats -> department id, of this node's own departments."""
        return {beat_topic(department): department.id for department in self.declarations.departments_of(self.node)}

    def neighbours(self) -> tuple[Node, ...]:
        return self.declarations.neighbours(self.node)


def beat_topic(department: Department) -> str:
    return names.cdc(department, department.heartbeat_table)


def _line(declarations: Declarations, node: str) -> list[str]:
    """The node and its ancestors."""
    line = [node]
    while (parent := declarations.nodes[line[-1]].parent) is not None:
        line.append(parent)
    return line
