"""What a node does for placement groups: sets bundles aside when the head asks for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from air.executor.resources import Resources
from air_cluster.core.instructions import BundleReserved
from air_cluster.protocol import head_messages as wire

if TYPE_CHECKING:
    from air_cluster.daemon.node import NodeDaemon


class Bundles:
    """Bundles of placement groups on this node."""

    def __init__(self, node: NodeDaemon) -> None:
        self._node = node
        self._attempts: dict[tuple[bytes, int], int] = {}
        node.on_head(wire.ReserveBundle, self._reserve)
        node.on_head(wire.UnreserveBundle, self._unreserve)
        node.on_head(wire.CommitGroup, self._commit)
        node.on_head(wire.ExpectGroup, self._expect)
        node.on_head(wire.DropGroup, self._drop)

    def reserved(self, instruction: BundleReserved) -> None:
        """A bundle that had to wait is set aside now."""
        key = instruction.group_id, instruction.index
        attempt = self._attempts.get(key)
        if attempt is not None:
            self._node.uplink.send(wire.BundleAnswer(*key, attempt, True))

    def _reserve(self, message: wire.ReserveBundle, _payload: bytes) -> None:
        scheduler, now = self._node.scheduler, time.monotonic()
        group_id, index = message.group_id, message.index
        resources = Resources(message.resources)
        self._attempts[group_id, index] = message.attempt
        if message.wait:
            self._node.follow(
                scheduler.await_reservation(group_id, index, resources, owner=group_id, now=now)
            )
        else:
            reserved = scheduler.reserve(group_id, index, resources, now)
            self._node.uplink.send(wire.BundleAnswer(group_id, index, message.attempt, reserved))

    def _unreserve(self, message: wire.UnreserveBundle, _payload: bytes) -> None:
        self._attempts.pop((message.group_id, message.index), None)
        now = time.monotonic()
        self._node.follow(self._node.scheduler.unreserve(message.group_id, message.index, now))

    def _commit(self, message: wire.CommitGroup, _payload: bytes) -> None:
        self._node.follow(self._node.scheduler.commit(message.group_id, time.monotonic()))

    def _expect(self, message: wire.ExpectGroup, _payload: bytes) -> None:
        self._node.scheduler.expect_group(message.group_id)

    def _drop(self, message: wire.DropGroup, _payload: bytes) -> None:
        group_id = message.group_id
        for key in [key for key in self._attempts if key[0] == group_id]:
            del self._attempts[key]
        self._node.follow(
            self._node.scheduler.remove_group(group_id, time.monotonic()),
            why_stop="its placement group was removed",
        )
        # Once those who asked for workers in it have been told.
        self._node.agenda.add(self._node.forget_group, [group_id])
