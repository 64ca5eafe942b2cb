"""Between clients and daemons: placement groups."""

from __future__ import annotations

import msgspec


class CreateGroup(msgspec.Struct, tag=20, array_like=True, frozen=True):
    """Reserve bundles. The group ends with *owner* (its sender, if empty), unless *detached*."""

    request: int
    group_id: bytes
    bundles: list[dict[str, float]]
    strategy: str
    name: str
    detached: bool
    owner: bytes = b""
    namespace: str = ""


class GroupEvent(msgspec.Struct, tag=21, array_like=True, frozen=True):
    """A placement group is CREATED, REMOVED, or HOPELESS: no node could ever hold it.

    *reason* says why, in the last case.
    """

    group_id: bytes
    state: str
    reason: str = ""


class RemoveGroup(msgspec.Struct, tag=22, array_like=True, frozen=True):
    """Give the bundles back. Answered by ``Reply`` if *request* is not 0."""

    group_id: bytes
    request: int = 0


class WatchGroup(msgspec.Struct, tag=34, array_like=True, frozen=True):
    """Tell me when this placement group is created or removed."""

    group_id: bytes
