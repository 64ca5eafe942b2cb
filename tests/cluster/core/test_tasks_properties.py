"""Any order of events leaves the task scheduler consistent, and every task gets its worker."""

from __future__ import annotations

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from air_cluster.core.tasks import (
    LINGER_S,
    PIPELINE_S,
    Demand,
    Dispatch,
    GiveBack,
    Instruction,
    Site,
    TaskScheduler,
)
from air_cluster.protocol.ids import lease_on_wire

SHAPES = st.integers(0, 4)
FUNCTIONS = st.sampled_from([b"f", b"g", b"h"])
SECONDS = st.sampled_from([0.0, PIPELINE_S / 100, PIPELINE_S / 4, PIPELINE_S, 1.0, None])


class Submitter(RuleBasedStateMachine):
    """A submitter, its node and the workers. Messages to and from the node take their time."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks = TaskScheduler()
        self.now = 0.0
        self.serial = 0
        self.function: dict[bytes, tuple[bytes, int]] = {}  # task -> function, shape
        self.queued: set[bytes] = set()
        self.known: set[bytes] = set()  # functions of which a duration was seen
        self.workers: dict[int, deque[bytes]] = {}  # lease -> tasks that were sent
        self.held_up: set[int] = set()
        self.reclaimed: set[int] = set()
        self.to_node: deque[Demand] = deque()
        self.to_us: deque[tuple[str, int, int]] = deque()
        self.wanted = [0] * 5  # what the node knows
        for shape in (0, 1):
            self.tasks.add_shape(shape, takes_resources=bool(shape))
        self.tasks.add_shape(2, takes_resources=True, near=2)
        self.tasks.add_shape(3, takes_resources=True, site=Site.SPREAD)
        self.tasks.add_shape(4, takes_resources=True, site=Site.PREFERRED)

    def obey(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Dispatch(task, lease):
                    self.queued.remove(task)
                    worker = self.workers[lease]
                    function, _ = self.function[task]
                    assert not worker or function in self.known, "queues behind another"
                    assert lease not in self.reclaimed
                    assert lease not in self.held_up
                    worker.append(task)
                case Demand():
                    self.to_node.append(instruction)
                case GiveBack(lease):
                    assert not self.workers.pop(lease)
                    self.reclaimed.discard(lease)

    def end(self, lease: int, seconds: float | None, index: int = 0) -> None:
        """A task ends: the first of a worker, or a cancelled one behind it."""
        task = self.workers[lease][index]
        del self.workers[lease][index]
        if index == 0:
            self.held_up.discard(lease)
        function, _ = self.function.pop(task)
        if seconds is not None:
            self.known.add(function)
        self.obey(self.tasks.finished(task, seconds, self.now))

    def submit_again(self, tasks: list[bytes]) -> None:
        for task in tasks:
            self.queued.add(task)
            function, shape = self.function[task]
            self.obey(self.tasks.submit(task, function, shape, self.now))

    def read(self) -> None:
        """Take one message from the node."""
        kind, shape, lease = self.to_us.popleft()
        if kind in ("grant", "grant elsewhere"):
            self.workers[lease] = deque()
            elsewhere = kind == "grant elsewhere"
            dealt = elsewhere or bool(lease % 2)
            self.obey(self.tasks.granted(shape, lease, self.now, elsewhere=elsewhere, dealt=dealt))
        elif kind == "refuse":
            for task in self.tasks.refused(shape):
                self.queued.remove(task)
                del self.function[task]

    def serve(self, shape: int) -> None:
        """The node grants a lease."""
        self.wanted[shape] -= 1
        self.serial += 1
        node = 1 + self.serial % 2
        self.to_us.append(("grant", shape, lease_on_wire(node, self.serial)))

    @rule(function=FUNCTIONS, shape=SHAPES, count=st.integers(1, 6))
    def submit(self, function: bytes, shape: int, count: int) -> None:
        for _ in range(count):
            self.serial += 1
            task = b"%d" % self.serial
            self.function[task] = function, shape
            self.submit_again([task])

    @precondition(lambda self: any(self.workers.values()))
    @rule(data=st.data(), seconds=SECONDS)
    def finish(self, data: st.DataObject, seconds: float | None) -> None:
        lease = data.draw(st.sampled_from([k for k, worker in self.workers.items() if worker]))
        self.end(lease, seconds)

    @precondition(lambda self: any(len(worker) > 1 for worker in self.workers.values()))
    @rule(data=st.data())
    def hand_back(self, data: st.DataObject) -> None:
        busy = [lease for lease, worker in self.workers.items() if len(worker) > 1]
        lease = data.draw(st.sampled_from(busy))
        first, *others = self.workers[lease]
        self.workers[lease] = deque([first])
        self.queued.update(others)
        self.held_up.add(lease)
        self.obey(self.tasks.returned(others, self.now))

    @precondition(lambda self: any(len(worker) > 1 for worker in self.workers.values()))
    @rule(data=st.data())
    def cancel_sent(self, data: st.DataObject) -> None:
        busy = [lease for lease, worker in self.workers.items() if len(worker) > 1]
        self.end(data.draw(st.sampled_from(busy)), None, index=1)

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def cancel_queued(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(sorted(self.queued)))
        self.queued.remove(task)
        del self.function[task]
        self.tasks.forget(task)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(sorted(self.workers)))
        tasks = list(self.workers.pop(lease))
        self.held_up.discard(lease)
        self.reclaimed.discard(lease)
        assert self.tasks.lost(lease) == tasks
        self.submit_again(tasks)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def reclaim(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(sorted(self.workers)))
        self.reclaimed.add(lease)
        self.obey(self.tasks.reclaim(lease))

    @precondition(lambda self: self.to_node)
    @rule()
    def node_reads(self) -> None:
        demand = self.to_node.popleft()
        self.wanted[demand.shape_id] = demand.count

    @precondition(lambda self: self.to_us)
    @rule()
    def we_read(self) -> None:
        self.read()

    @precondition(lambda self: any(self.wanted))
    @rule(data=st.data())
    def grant(self, data: st.DataObject) -> None:
        self.serve(data.draw(st.sampled_from([s for s in range(5) if self.wanted[s]])))

    @precondition(lambda self: any(self.wanted))
    @rule(data=st.data())
    def grant_elsewhere(self, data: st.DataObject) -> None:
        """Another node grants a lease, of which ours does not know."""
        shape = data.draw(st.sampled_from([s for s in range(5) if self.wanted[s]]))
        self.serial += 1
        self.to_us.append(("grant elsewhere", shape, lease_on_wire(3, self.serial)))

    @precondition(lambda self: any(self.wanted))
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        shape = data.draw(st.sampled_from([s for s in range(5) if self.wanted[s]]))
        self.wanted[shape] = 0
        self.to_us.append(("refuse", shape, 0))

    @rule(seconds=st.sampled_from([LINGER_S / 3, LINGER_S, 10.0]))
    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.obey(self.tasks.tick(self.now))

    @invariant()
    def consistent(self) -> None:
        self.tasks.check()
        for task in self.function:
            assert self.tasks.state_of(task) == ("queued" if task in self.queued else "sent")
        for lease, worker in self.workers.items():
            assert all(self.tasks.lease_of(task) == lease for task in worker)
        assert sum(self.tasks.queued(shape) for shape in range(5)) == len(self.queued)

    def teardown(self) -> None:
        """When the node grants what is wanted, all tasks end and all leases are given back."""
        for _ in range(2000):
            while self.to_node:
                self.node_reads()
            for shape in range(5):
                if self.wanted[shape]:
                    self.serve(shape)
            while self.to_us:
                self.read()
            for lease in list(self.workers):
                if self.workers.get(lease):
                    self.end(lease, PIPELINE_S / 3)
            self.now += LINGER_S
            self.obey(self.tasks.tick(self.now))
            self.consistent()
            if not (self.function or self.workers or self.to_node or any(self.wanted)):
                break
        assert not self.function, "some tasks never got a worker"
        assert not self.tasks.has_leases
        assert self.wanted == [0] * 5


TestSubmitter = Submitter.TestCase
TestSubmitter.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True
)
