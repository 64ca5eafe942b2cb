"""Which task the calling code belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar

import msgspec


class TaskContext(msgspec.Struct, frozen=True):
    """The running task or method.

    Attributes:
        depth: how many tasks deep its submission was; the driver's own tasks have depth 1.
        group: the placement group that it runs in, or empty.
        capture: whether tasks that it starts run in the group too.
    """

    task_id: bytes
    name: str
    depth: int
    actor_id: bytes = b""
    group: bytes = b""
    capture: bool = False
    resources: Mapping[str, float] = msgspec.field(default_factory=dict)
    gpu_ids: tuple[int, ...] = ()
    was_restarted: bool = False


current: ContextVar[TaskContext | None] = ContextVar("air_cluster_task", default=None)
