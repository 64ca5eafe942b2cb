"""The worker processes of a node: starting, idle, lent out, stopping.

::

    STARTING --ready--> IDLE --lent--> LEASED --returned--> IDLE
        \\--ready, for an actor--> DEDICATED
    any of them --stop--> STOPPING --died--> (forgotten)
    DEDICATED --retired--> STOPPING, and holds nothing any more
    any of them --died--> (forgotten)

A worker that has run something may have initialised CUDA for the devices that it could see
then, so leases with GPUs get unused workers, and these are not used again.

A worker belongs to one runtime environment, or to none, for its whole life. Idle ones make room
for workers of other environments that are started.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator

import msgspec

from air_cluster.core.accounts import Allocation
from air_cluster.core.homes import Home
from air_cluster.core.instructions import StartWorker, StopWorker
from air_cluster.core.shapes import ShapeKey
from air_cluster.core.waiting import Kind, Waiter

SERIAL_DIGITS = 8
"""At the end of a worker's name, behind that of its node."""


class WorkerState(enum.Enum):
    """Where a worker process is in its life."""

    STARTING = "starting"
    IDLE = "idle"
    LEASED = "leased"
    DEDICATED = "dedicated"
    STOPPING = "stopping"


class Claim(msgspec.Struct, eq=False):
    """Resources that are taken for one lease or one actor.

    Attributes:
        claim_id: serial number; the lease's identity.
        kind: LEASE or ACTOR.
        owner: who asked.
        shape: what was asked.
        depth: depth of the request.
        home: whose account the resources were taken from.
        allocation: the resources.
        waiter: the request, while a worker is being started for it.
        actor_id: the actor, if it is for one.
        worker: the worker, once there is one.
        blocked: whether its CPU has been lent back while the worker waits in ``get``.
        reclaimed_at: when its owner was asked to return it.
    """

    claim_id: int
    kind: Kind
    owner: bytes
    shape: ShapeKey
    depth: int
    home: Home
    allocation: Allocation
    waiter: Waiter | None
    actor_id: bytes | None = None
    worker: Worker | None = None
    blocked: bool = False
    reclaimed_at: float | None = None

    @property
    def ends(self) -> bool:
        """Whether it can be expected to end: it is no actor's, or is being stopped."""
        stopping = self.worker is not None and self.worker.state is WorkerState.STOPPING
        return stopping or self.kind is Kind.LEASE

    @property
    def held(self) -> Allocation:
        """What it holds now, and gives back when it ends."""
        return self.allocation.without_cpu() if self.blocked else self.allocation


class Worker(msgspec.Struct, eq=False):
    """A worker process."""

    worker_id: str
    state: WorkerState
    claim: Claim | None = None
    dedicated: bool = False
    used: bool = False
    idle_since: float = 0.0
    environment: bytes = b""


class WorkerTable:
    """All worker processes of a node that are not known to be dead."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._workers: dict[str, Worker] = {}
        self._idle: list[Worker] = []  # used longest ago first
        self._serial = 0
        self.starting: Counter[bytes] = Counter()
        """How many are being started that are not for actors, by environment."""

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._workers.values())

    def get(self, worker_id: str) -> Worker | None:
        """The worker of that identity, if it is alive."""
        return self._workers.get(worker_id)

    def start(self, environment: bytes, claim: Claim | None = None) -> StartWorker:
        """A new worker; with *claim*, for that actor only."""
        self._serial += 1
        worker_id = f"{self._node_id}{self._serial:0{SERIAL_DIGITS}x}"
        dedicated = claim is not None
        worker = Worker(worker_id, WorkerState.STARTING, claim, dedicated, environment=environment)
        self._workers[worker_id] = worker
        if claim is None:
            self.starting[environment] += 1
        else:
            claim.worker = worker
        return StartWorker(worker_id, dedicated, environment)

    def make_idle(self, worker: Worker, now: float) -> None:
        """*worker* is ready, or was returned."""
        self._leave_state(worker)
        worker.claim = None
        worker.state = WorkerState.IDLE
        worker.idle_since = now
        self._idle.append(worker)

    def last_idle(self, environment: bytes, *, unused: bool) -> Worker | None:
        """The worker that was used last (its caches are warm); it stays idle until lent."""
        for worker in reversed(self._idle):
            if worker.environment == environment and not (unused and worker.used):
                return worker
        return None

    def displace(self, environment: bytes, keep: int) -> list[StopWorker]:
        """Where *keep* workers are idle, stop one of another environment to make room."""
        if len(self._idle) < keep:
            return []
        for worker in self._idle:
            if worker.environment != environment:
                return [self.stop(worker)]
        return []

    def of_environment(self, environment: bytes) -> list[Worker]:
        """The workers of an environment."""
        return [worker for worker in self if worker.environment == environment]

    def lend(self, worker: Worker, claim: Claim) -> None:
        """Give *worker* to *claim*."""
        self._leave_state(worker)
        worker.state = WorkerState.DEDICATED if worker.dedicated else WorkerState.LEASED
        worker.used = True
        worker.claim, claim.worker = claim, worker

    def stop(self, worker: Worker) -> StopWorker:
        """*worker* must end; it is remembered until it is dead."""
        self._leave_state(worker)
        worker.state = WorkerState.STOPPING
        return StopWorker(worker.worker_id)

    def retire(self, worker: Worker) -> None:
        """The actor in *worker* has ended, and the process will end by itself."""
        self._leave_state(worker)
        worker.state, worker.claim = WorkerState.STOPPING, None

    def remove(self, worker: Worker) -> None:
        """*worker* is dead."""
        self._leave_state(worker)
        del self._workers[worker.worker_id]

    def reap(self, keep: int, idle_before: float) -> list[StopWorker]:
        """Stop those idle since before a time, but for *keep* of them."""
        surplus = self._idle[: max(0, len(self._idle) - keep)]
        return [self.stop(worker) for worker in surplus if worker.idle_since <= idle_before]

    def _leave_state(self, worker: Worker) -> None:
        if worker.state is WorkerState.IDLE:
            self._idle.remove(worker)
        elif worker.state is WorkerState.STARTING and not worker.dedicated:
            self.starting[worker.environment] -= 1
            if not self.starting[worker.environment]:
                del self.starting[worker.environment]

    def check(self) -> None:
        """Assert that states, claims and counts agree."""
        for worker in self:
            claim = worker.claim
            assert claim is None or claim.worker is worker, worker
            if worker.state is WorkerState.IDLE:
                assert claim is None, worker
                assert worker in self._idle, worker
            elif worker.state in (WorkerState.LEASED, WorkerState.DEDICATED):
                assert claim is not None, worker
                assert (claim.kind is Kind.ACTOR) == worker.dedicated, worker
                assert worker.dedicated == (worker.state is WorkerState.DEDICATED), worker
            elif worker.state is WorkerState.STARTING:
                assert (claim is not None) == worker.dedicated, worker
        idle = [worker for worker in self if worker.state is WorkerState.IDLE]
        assert len(idle) == len(self._idle)
        plain = [w for w in self if w.state is WorkerState.STARTING and not w.dedicated]
        assert Counter(w.environment for w in plain) == self.starting
        assert all(
            worker.claim is None or worker.claim.shape.environment == worker.environment
            for worker in self
        )
