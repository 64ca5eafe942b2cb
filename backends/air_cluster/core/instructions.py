"""What :class:`~air_cluster.core.leases.NodeScheduler` tells the daemon to do."""

from __future__ import annotations

from dataclasses import dataclass

from air_cluster.core.shapes import LossKind, RefusalKind, ShapeKey


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Start a process; report ``worker_ready`` or ``worker_died``.

    A dedicated worker will hold one actor for its whole life.
    """

    worker_id: str
    dedicated: bool = False


@dataclass(frozen=True, slots=True)
class StopWorker:
    """Kill a process, whatever it does, and report ``worker_died`` once it is gone.

    What it held stays taken until then: a dying process still has its memory and devices.
    """

    worker_id: str


@dataclass(frozen=True, slots=True)
class Grant:
    """Lend a worker to *owner*, who may send it tasks of *shape* until it returns the lease."""

    owner: bytes
    shape: ShapeKey
    lease_id: int
    worker_id: str
    gpu_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell *owner* that no worker of *shape* will come. Its demand has been dropped."""

    owner: bytes
    shape: ShapeKey
    reason: RefusalKind
    message: str


@dataclass(frozen=True, slots=True)
class Reclaim:
    """Ask *owner* to return a lease after what it has already sent there: others wait.

    Sent once for each lease.
    """

    lease_id: int
    owner: bytes


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """Tell *owner* that the worker behind a lease is gone, or is being stopped."""

    lease_id: int
    owner: bytes
    reason: LossKind


@dataclass(frozen=True, slots=True)
class Place:
    """A fresh worker for an actor is ready: construct the actor there."""

    actor_id: bytes
    worker_id: str
    gpu_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RefusePlacement:
    """No worker will come for an actor. Its placement has been dropped."""

    actor_id: bytes
    reason: RefusalKind
    message: str


@dataclass(frozen=True, slots=True)
class BundleReserved:
    """A bundle for which ``await_reservation`` was called is now set aside (uncommitted)."""

    group_id: bytes
    index: int


Instruction = (
    StartWorker
    | StopWorker
    | Grant
    | Refuse
    | Reclaim
    | LeaseLost
    | Place
    | RefusePlacement
    | BundleReserved
)
