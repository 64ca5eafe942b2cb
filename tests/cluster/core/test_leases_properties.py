"""Any order of events leaves the node scheduler consistent, and draining it leaves it empty."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from air.executor.resources import Resources
from air_cluster.core.instructions import (
    BundleReserved,
    Grant,
    Instruction,
    LeaseLost,
    Place,
    Reclaim,
    Refuse,
    RefusePlacement,
    StartWorker,
    StopWorker,
)
from air_cluster.core.leases import NodeScheduler
from air_cluster.core.shapes import RefusalKind, ShapeKey

OWNERS = st.sampled_from([b"A", b"B", b"C"])
ACTORS = st.sampled_from([b"a", b"b", b"c"])
GROUPS = st.sampled_from([b"g", b"h"])
INDEXES = st.integers(0, 1)
DEPTHS = st.integers(0, 2)
QUANTITIES = st.sampled_from(
    [
        {},
        {"CPU": 1},
        {"CPU": 0.5},
        {"CPU": 3},
        {"GPU": 0.5},
        {"GPU": 1, "CPU": 1},
        {"GPU": 2},
        {"memory": 5},
        {"CPU": 1, "memory": 6},
    ]
).map(Resources)
POOLS = st.none() | st.tuples(GROUPS, st.integers(-1, 1))
SHAPES = st.builds(ShapeKey, QUANTITIES, POOLS, st.sampled_from([b"", b"", b"e", b"f"]))
TOTAL = Resources({"CPU": 4, "GPU": 2, "memory": 10})


class Node(RuleBasedStateMachine):
    """A daemon that obeys: it starts and kills what it is told to, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.node = NodeScheduler("n", TOTAL, 1, max_weightless=3)
        self.now = 0.0
        self.starting: list[str] = []
        self.stopping: list[str] = []
        self.running: dict[str, object] = {}  # worker -> lease, actor or None
        self.environments: dict[str, bytes] = {}
        self.leases: dict[int, tuple[bytes, str]] = {}
        self.reclaimed: set[int] = set()
        self.demands: dict[tuple[bytes, ShapeKey], int] = {}

    def obey(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case StartWorker(worker, _, environment):
                    self.environments[worker] = environment
                    assert worker not in [*self.starting, *self.running, *self.stopping]
                    self.starting.append(worker)
                case StopWorker(worker):
                    assert worker not in self.stopping
                    if worker in self.starting:
                        self.starting.remove(worker)
                    else:
                        del self.running[worker]
                    self.stopping.append(worker)
                case Grant(owner, shape, lease, worker, _):
                    assert self.running[worker] is None
                    assert self.environments[worker] == shape.environment
                    self.running[worker] = lease
                    self.leases[lease] = owner, worker
                    self.demands[owner, shape] -= 1
                    assert self.demands[owner, shape] >= 0
                case Place(actor, worker, _):
                    assert self.running[worker] in (None, actor)
                    self.running[worker] = actor
                case LeaseLost(lease, owner, _):
                    assert self.leases.pop(lease)[0] == owner
                case Reclaim(lease, owner):
                    assert self.leases[lease][0] == owner
                    assert lease not in self.reclaimed
                    self.reclaimed.add(lease)
                case Refuse(owner, shape, reason, message, _):
                    assert message
                    assert self.demands[owner, shape] > 0 or reason is RefusalKind.INFEASIBLE
                    self.demands[owner, shape] = 0
                case RefusePlacement() | BundleReserved():
                    pass

    @rule(owner=OWNERS, shape=SHAPES, count=st.integers(0, 4), depth=DEPTHS)
    def demand(self, owner: bytes, shape: ShapeKey, count: int, depth: int) -> None:
        self.demands[owner, shape] = count
        self.obey(self.node.set_demand(owner, shape, count, depth, self.now))

    @rule(data=st.data())
    def return_lease(self, data: st.DataObject) -> None:
        if self.leases:
            lease = data.draw(st.sampled_from(sorted(self.leases)))
            self._return(lease)

    def _return(self, lease: int) -> None:
        _, worker = self.leases.pop(lease)
        self.running[worker] = None
        self.obey(self.node.return_lease(lease, self.now))

    @rule(owner=OWNERS)
    def owner_gone(self, owner: bytes) -> None:
        for lease in [lease for lease, (who, _) in self.leases.items() if who == owner]:
            del self.leases[lease]
        for key in self.demands:
            if key[0] == owner:
                self.demands[key] = 0
        self.obey(self.node.owner_gone(owner, self.now))

    @rule(data=st.data())
    def ready(self, data: st.DataObject) -> None:
        if self.starting:
            self._ready(data.draw(st.sampled_from(self.starting)))

    def _ready(self, worker: str) -> None:
        self.starting.remove(worker)
        self.running[worker] = None
        self.obey(self.node.worker_ready(worker, self.now))

    @rule(data=st.data())
    def died(self, data: st.DataObject) -> None:
        workers = [*self.starting, *self.running, *self.stopping]
        if workers:
            self._died(data.draw(st.sampled_from(workers)))

    def _died(self, worker: str) -> None:
        self.starting = [w for w in self.starting if w != worker]
        self.stopping = [w for w in self.stopping if w != worker]
        self.running.pop(worker, None)
        self.obey(self.node.worker_died(worker, self.now))

    @rule(data=st.data())
    def broken(self, data: st.DataObject) -> None:
        if self.starting:
            worker = data.draw(st.sampled_from(self.starting))
            self.obey(self.node.environment_failed(worker, "no such package", self.now))

    @rule(environment=st.sampled_from([b"e", b"f"]))
    def over(self, environment: bytes) -> None:
        self.obey(self.node.environment_over(environment, self.now))

    @rule(data=st.data(), stop=st.booleans())
    def block(self, data: st.DataObject, stop: bool) -> None:
        if self.running:
            worker = data.draw(st.sampled_from(sorted(self.running)))
            event = self.node.unblocked if stop else self.node.blocked
            self.obey(event(worker, self.now))

    @rule(actor=ACTORS, shape=SHAPES, depth=DEPTHS)
    def place(self, actor: bytes, shape: ShapeKey, depth: int) -> None:
        self.obey(self.node.place(actor, shape, owner=b"head", depth=depth, now=self.now))

    @rule(actor=ACTORS)
    def cancel(self, actor: bytes) -> None:
        self.obey(self.node.cancel_placement(actor, self.now))

    @rule(data=st.data())
    def dismissed(self, data: st.DataObject) -> None:
        if self.running:
            worker = data.draw(st.sampled_from(sorted(self.running)))
            self.obey(self.node.dismissed(worker, self.now))

    @rule(data=st.data())
    def retired(self, data: st.DataObject) -> None:
        if self.running:
            worker = data.draw(st.sampled_from(sorted(self.running)))
            if isinstance(self.running[worker], bytes):
                del self.running[worker]
                self.stopping.append(worker)
            self.obey(self.node.retired(worker, self.now))

    @rule(group=GROUPS, index=INDEXES, resources=QUANTITIES, wait=st.booleans())
    def reserve(self, group: bytes, index: int, resources: Resources, wait: bool) -> None:
        if wait:
            self.obey(
                self.node.await_reservation(group, index, resources, owner=b"pg", now=self.now)
            )
        else:
            self.node.reserve(group, index, resources, self.now)

    @rule(group=GROUPS, owner=OWNERS, index=st.integers(-1, 0))
    def use_group(self, group: bytes, owner: bytes, index: int) -> None:
        """What a program does: reserve, commit, run something inside."""
        self.node.reserve(group, 0, Resources({"CPU": 1}), self.now)
        self.commit(group)
        self.demand(owner, ShapeKey(Resources({"CPU": 0.5}), (group, index)), 2, 0)
        for worker in list(self.starting):
            self._ready(worker)

    @rule(group=GROUPS)
    def commit(self, group: bytes) -> None:
        self.obey(self.node.commit(group, self.now))

    @rule(group=GROUPS, index=INDEXES)
    def unreserve(self, group: bytes, index: int) -> None:
        self.obey(self.node.unreserve(group, index, self.now))

    @rule(group=GROUPS)
    def remove_group(self, group: bytes) -> None:
        self.obey(self.node.remove_group(group, self.now))

    @rule(seconds=st.sampled_from([0.5, 2.0, 11.0]))
    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.obey(self.node.tick(self.now))

    @invariant()
    def consistent(self) -> None:
        self.node.check()
        known = {info.worker_id: info for info in self.node.workers()}
        assert set(known) == {*self.starting, *self.running, *self.stopping}
        for lease, (owner, worker) in self.leases.items():
            assert (known[worker].lease_id, known[worker].owner) == (lease, owner)
        waiting = sum(unmet.count for unmet in self.node.unmet())
        assert waiting >= 0
        self.node.describe()

    def teardown(self) -> None:
        """When everybody is served or gone, everything is free again."""
        for group in (b"g", b"h"):
            self.obey(self.node.remove_group(group, self.now))
        for _ in range(500):
            for worker in list(self.starting):
                self._ready(worker)
            for worker in list(self.stopping):
                self._died(worker)
            for user in list(self.running.values()):
                if isinstance(user, int):
                    self._return(user)
                elif isinstance(user, bytes):
                    self.obey(self.node.cancel_placement(user, self.now))
            self.tick(2.0)
            self.node.check()
            if not any([self.starting, self.stopping, self.leases, *self.running.values()]):
                break
        assert self.node.unmet() == []
        assert not any(self.demands.values()), self.demands
        assert self.node.available() == TOTAL


TestNode = Node.TestCase
TestNode.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True
)
