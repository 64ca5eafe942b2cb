"""What a lease, an actor or a bundle asks of a node, and why it may be refused."""

from __future__ import annotations

import enum

import msgspec

from air.executor.resources import Resources, describe

ANY_BUNDLE = -1


class ShapeKey(msgspec.Struct, frozen=True):
    """What a worker must be given. Requests of equal shape can use each other's workers.

    Attributes:
        resources: quantities that are held while the worker is lent.
        pool: ``None`` to take them from the node, or ``(group_id, bundle_index)`` to take
            them from a bundle of a placement group; index -1 stands for any of its bundles.
        environment: key of the runtime environment that it belongs to; empty for none.
    """

    resources: Resources
    pool: tuple[bytes, int] | None = None
    environment: bytes = b""

    def __str__(self) -> str:
        text = describe(self.resources)
        if self.pool is None:
            return text
        group, index = self.pool
        bundle = "any bundle" if index == ANY_BUNDLE else f"bundle {index}"
        return f"{text} in {bundle} of placement group {group.hex()}"


class RefusalKind(enum.Enum):
    """Why a request will not be met, now or later."""

    INFEASIBLE = "infeasible"
    """It asks for more than there is altogether."""

    GROUP_REMOVED = "group_removed"
    """Its placement group was removed, or never existed."""

    WORKER_START_FAILED = "worker_start_failed"
    """Worker processes die before they are ready."""

    ENVIRONMENT = "environment"
    """Its runtime environment cannot be set up."""

    BUSY = "busy"
    """It was to be met at once or not at all, and there is no room now."""


class LossKind(enum.Enum):
    """Why a lease ended without its owner having returned it."""

    WORKER_DIED = "worker_died"
    GROUP_REMOVED = "group_removed"
    """Its bundle was taken back; the worker is being stopped."""
