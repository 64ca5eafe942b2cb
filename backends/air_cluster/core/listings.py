"""What a node shows of itself: values for listings, log lines and autoscalers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from air.executor.resources import describe
from air_cluster.core.homes import Home
from air_cluster.core.shapes import ShapeKey
from air_cluster.core.waiting import Kind, Subject
from air_cluster.core.workers import Worker, WorkerState


class Unmet(msgspec.Struct, frozen=True):
    """A request for which there is no room now.

    Attributes:
        kind: what it is for.
        subject: the owner of a lease demand, the actor, or ``(group_id, index)``.
        shape: what it needs.
        count: how many of it are wanting.
        since: when it last made progress: was made, was served in part, or lost what it had.
    """

    kind: Kind
    subject: Subject
    shape: ShapeKey
    count: int
    since: float


class WorkerInfo(msgspec.Struct, frozen=True):
    """One worker process.

    ``lease_id``, ``owner``, ``shape`` and ``actor_id`` are ``None`` where there is none.
    """

    worker_id: str
    state: WorkerState
    lease_id: int | None = None
    owner: bytes | None = None
    shape: ShapeKey | None = None
    actor_id: bytes | None = None
    gpu_ids: tuple[int, ...] = ()
    blocked: bool = False


def worker_info(worker: Worker) -> WorkerInfo:
    """The listing of *worker*."""
    claim = worker.claim
    if claim is None:
        return WorkerInfo(worker.worker_id, worker.state)
    return WorkerInfo(
        worker_id=worker.worker_id,
        state=worker.state,
        lease_id=claim.claim_id if claim.kind is Kind.LEASE else None,
        owner=claim.owner,
        shape=claim.shape,
        actor_id=claim.actor_id,
        gpu_ids=claim.allocation.gpu_ids,
        blocked=claim.blocked,
    )


def describe_node(
    node_id: str, homes: Iterable[Home], unmet: Iterable[Unmet], workers: Iterable[Worker]
) -> str:
    """A line for the node, each bundle and each request that waits, and one for workers."""
    lines = []
    for home in homes:
        where = f"node {node_id}"
        if home.key is not None:
            where = f"bundle {home.key[1]} of placement group {home.key[0].hex()}"
        free, total = describe(home.account.free), describe(home.account.total)
        lines.append(f"{where}: {free} free of {total}")
    for waiting in unmet:
        subject = waiting.subject if isinstance(waiting.subject, bytes) else waiting.subject[0]
        lines.append(
            f"waiting: {waiting.count} x {waiting.shape} ({waiting.kind.value} for"
            f" {subject.hex()}) since {waiting.since:g}"
        )
    states = Counter(worker.state.value for worker in workers)
    lines.append("workers: " + (", ".join(f"{n} {s}" for s, n in states.items()) or "none"))
    return "\n".join(lines)
