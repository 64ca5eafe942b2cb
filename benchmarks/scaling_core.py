"""How long one decision of the schedulers takes, by the number of nodes; no machine is needed.

The state machines of ``air_cluster.core`` decide without I/O: 10,000 nodes are objects in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from air.executor.labels import LabelRule, Operator
from air.executor.resources import Resources
from air.executor.scheduling import PLACEMENT_STRATEGIES, PlacementGroupSpec
from air_cluster.core.cluster import ClusterScheduler
from air_cluster.core.cluster_instructions import Redirect, SendActor
from air_cluster.core.cluster_shapes import ClusterShape, NodeView
from air_cluster.core.group_instructions import Reserve
from air_cluster.core.instructions import Grant, Instruction, StartWorker
from air_cluster.core.leases import NodeScheduler
from air_cluster.core.placement_groups import PlacementGroups
from air_cluster.core.shapes import ShapeKey

CPUS, ZONES, BUNDLES = 8, 10, 8
ONE = Resources({"CPU": 1})
TINY = Resources({"CPU": 0.001})
ALL = Resources({"CPU": CPUS})
ZONE = LabelRule("zone", Operator.IN, ("3",))


def nodes(count: int) -> Iterator[NodeView]:
    """Nodes of 8 CPUs in ten zones; every tenth has a widget."""
    for number in range(1, count + 1):
        widget = {"widget": 1} if number % 10 == 0 else {}
        yield NodeView(
            number,
            f"node-{number}",
            Resources({"CPU": CPUS, "memory": 64e9, **widget}),
            {"zone": str(number % ZONES)},
        )


class Demands:
    """A cluster of *count* nodes on which almost everything is free."""

    def __init__(self, count: int) -> None:
        self.scheduler = ClusterScheduler()
        self.nodes = list(nodes(count))
        self.free = {node.number: node.total for node in self.nodes}
        self.now = 0.0
        started = time.process_time()
        for node in self.nodes:
            self.scheduler.node_joined(node, 0.0)
        self.join_s = (time.process_time() - started) / count
        self._client = 0

    def demand(self, shape: ClusterShape) -> None:
        """A client's node cannot meet what it wants: another one is found, grants and reports."""
        self._client += 1
        client, scheduler = b"%d" % self._client, self.scheduler
        home = 1
        [sent] = scheduler.unmet(home, client, shape, 1, 1, self.now)
        assert isinstance(sent, Redirect), sent
        scheduler.load(sent.number, self.free[sent.number] - ONE, self.now)
        scheduler.unmet(home, client, shape, 0, 1, self.now)
        scheduler.load(sent.number, self.free[sent.number], self.now)

    def actor(self, shape: ClusterShape) -> None:
        """An actor is sent to a node, which has a worker for it."""
        self._client += 1
        actor = b"%d" % self._client
        home = 1
        [sent] = self.scheduler.place(
            actor, shape, home=home, owner=b"owner", depth=1, now=self.now
        )
        assert isinstance(sent, SendActor), sent
        self.scheduler.placed(actor, sent.number, self.now)
        self.scheduler.load(sent.number, self.free[sent.number], self.now)


def full(count: int) -> Callable[[], object]:
    """All nodes are full and a thousand clients wait; one CPU becomes free, and is taken."""
    demands = Demands(count)
    scheduler = demands.scheduler
    nothing = demands.free[1] - ALL
    for node in demands.nodes:
        scheduler.load(node.number, demands.free[node.number] - ALL, 0.0)
    shape = ClusterShape(ONE)
    for client in range(1000):
        scheduler.unmet(1 + client % count, b"%d" % client, shape, 8, 1, 0.0)
    turn = 0

    def one() -> None:
        nonlocal turn
        turn += 1
        number = 1 + turn % count
        for sent in scheduler.load(number, nothing + ONE, 0.0):
            if isinstance(sent, Redirect):
                scheduler.unmet(1 + int(sent.client) % count, sent.client, sent.shape, 7, 1, 0.0)
                scheduler.unmet(1 + int(sent.client) % count, sent.client, sent.shape, 8, 1, 0.0)
        scheduler.load(number, nothing, 0.0)

    return one


class Groups:
    """The placement groups of a cluster of *count* nodes."""

    def __init__(self, count: int) -> None:
        self.groups = PlacementGroups()
        self._totals = {node.name: node.total for node in nodes(count)}
        for name, total in self._totals.items():
            self.groups.node_joined(name, total, 0.0)
        self._serial = 0

    def create_and_remove(self, strategy: str) -> None:
        """A group of 8 bundles is planned, reserved, committed and removed."""
        self._serial += 1
        group = b"%d" % self._serial
        spec = PlacementGroupSpec((ONE,) * BUNDLES, strategy)
        asked: dict[str, Resources] = {}
        for said in self.groups.create(group, spec, b"owner", 0.0):
            if isinstance(said, Reserve):
                asked[said.node_id] = self._totals[said.node_id]
                self.groups.reserved(group, said.index, said.attempt, 0.0)
        assert all(self.groups.places(group))
        self.groups.remove(group, 0.0)
        self.groups.resources_changed(asked, 0.0)


class Node:
    """The scheduler of one node with room for everything, and as many actors or bundles."""

    def __init__(self, *, actors: int = 0, bundles: int = 0) -> None:
        self._scheduler = NodeScheduler("n", Resources({"CPU": 1e6}), max_idle_workers=4)
        for number in range(actors):
            started = self._scheduler.place(
                b"%d" % number, ShapeKey(TINY), owner=b"owner", depth=1, now=0.0
            )
            self._up(started)
        for number in range(bundles):
            group = b"%d" % number
            assert self._scheduler.reserve(group, 0, TINY, 0.0)
            self._scheduler.commit(group, 0.0)

    def lease(self) -> None:
        """A client wants a worker, gets it and gives it back."""
        said = self._scheduler.set_demand(b"client", ShapeKey(ONE), 1, 1, 0.0)
        [grant] = [each for each in [*said, *self._up(said)] if isinstance(each, Grant)]
        self._scheduler.return_lease(grant.lease_id, 0.0)

    def bundle(self) -> None:
        """A bundle is reserved, committed and given back."""
        assert self._scheduler.reserve(b"group", 0, TINY, 0.0)
        self._scheduler.commit(b"group", 0.0)
        self._scheduler.remove_group(b"group", 0.0)

    def _up(self, said: list[Instruction]) -> list[Instruction]:
        started = [each.worker_id for each in said if isinstance(each, StartWorker)]
        return [each for name in started for each in self._scheduler.worker_ready(name, 0.0)]


def decisions(count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is timed, by name, in a cluster of *count* nodes."""
    demands = Demands(count)
    spread = ClusterShape(ONE, spread=True)
    labelled = ClusterShape(ONE, labels=(ZONE,))
    widget = ClusterShape(Resources({"CPU": 1, "widget": 0.1}))
    yield "demand, default", lambda: demands.demand(ClusterShape(ONE))
    yield "demand, SPREAD", lambda: demands.demand(spread)
    yield "demand, labels", lambda: demands.demand(labelled)
    yield "demand, custom resource", lambda: demands.demand(widget)
    yield "actor, default", lambda: demands.actor(ClusterShape(ONE))
    yield "a CPU is free, 1,000 clients wait", full(count)
    yield "half a second passes", lambda: demands.scheduler.tick(0.0)
    groups = Groups(count)
    for strategy in PLACEMENT_STRATEGIES:
        if strategy != "STRICT_SPREAD" or count >= BUNDLES:
            yield (
                f"group of {BUNDLES}, {strategy}",
                lambda strategy=strategy: groups.create_and_remove(strategy),
            )
    yield "lease on a node with so many actors", Node(actors=count).lease
    yield "lease on a node with so many bundles", Node(bundles=count).lease
    yield "bundle on a node with so many bundles", Node(bundles=count).bundle


def seconds_each(work: Callable[[], object], budget_s: float) -> float:
    """How long *work* takes, from as many repetitions as fit into *budget_s*; the first is not
    counted, which makes indexes."""
    work()
    repeats, spent = 1, 0.0
    while True:
        started = time.process_time()
        for _ in range(repeats):
            work()
        spent = time.process_time() - started
        if spent >= budget_s / 2:
            return spent / repeats
        repeats = max(2 * repeats, int(repeats * budget_s / 2 / max(spent, 1e-9)))


def measure(counts: list[int], budget_s: float) -> dict[str, dict[int, float]]:
    """Seconds for one of each decision, by its name and the number of nodes."""
    table: dict[str, dict[int, float]] = {}
    for count in counts:
        for name, work in decisions(count):
            table.setdefault(name, {})[count] = seconds_each(work, budget_s)
        table.setdefault("a node joins", {})[count] = Demands(count).join_s
    return table
