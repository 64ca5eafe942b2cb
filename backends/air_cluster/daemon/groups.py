"""The placement group service of a daemon: does what the groups' state machine says."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from air.errors import InvalidOption, Unschedulable
from air.executor.resources import Resources
from air.executor.scheduling import PlacementGroupSpec
from air_cluster.core.instructions import BundleReserved
from air_cluster.core.placement_groups import (
    Commit,
    ExpectGroup,
    GroupChanged,
    GroupInstruction,
    GroupState,
    PlacementGroups,
    RemoveGroup,
    Reserve,
    Unreserve,
)
from air_cluster.protocol import messages
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.daemon.node import NodeDaemon


class GroupService:
    """Creates and removes placement groups, and reserves their bundles on this node."""

    def __init__(self, node: NodeDaemon) -> None:
        self._node = node
        self._groups = PlacementGroups()
        self._watchers: dict[bytes, set[bytes]] = {}  # group -> processes that want to know
        self._attempts: dict[tuple[bytes, int], int] = {}
        self._follow(self._groups.node_joined(node.node_id, node.total, time.monotonic()))
        handle = node.peers.handle
        handle(messages.CreateGroup, self._on_create)
        handle(messages.RemoveGroup, self._on_remove)
        handle(messages.WatchGroup, self._on_watch)

    # Events -------------------------------------------------------------------------------

    def bundle_reserved(self, instruction: BundleReserved) -> None:
        """The node has set a bundle aside that had to wait."""
        key = (instruction.group_id, instruction.index)
        attempt = self._attempts.get(key)
        if attempt is not None:
            self._follow(self._groups.reserved(*key, attempt, time.monotonic()))

    def resources_changed(self) -> None:
        """Something may have become free on the node."""
        if self._groups.unmet():
            free = {self._node.node_id: self._node.scheduler.available()}
            self._follow(self._groups.resources_changed(free, time.monotonic()))

    def owner_gone(self, process: bytes) -> None:
        """A process is gone, and its groups with it."""
        for watchers in self._watchers.values():
            watchers.discard(process)
        self._follow(self._groups.owner_gone(process, time.monotonic()))

    def infos(self) -> list[dict[str, Any]]:
        """All groups, for a listing."""
        return [
            {
                "group_id": info.group_id,
                "name": info.name,
                "strategy": info.strategy,
                "bundles": [dict(bundle) for bundle in info.bundles],
                "state": info.state,
                "nodes": list(info.bundle_nodes),
            }
            for info in self._groups.infos()
        ]

    # Messages -----------------------------------------------------------------------------

    def _on_create(self, connection: Connection, message: messages.CreateGroup, _p: object) -> None:
        now = time.monotonic()
        spec = PlacementGroupSpec(
            bundles=tuple(Resources(bundle) for bundle in message.bundles),
            strategy=message.strategy,
            name=message.name,
            detached=message.detached,
        )
        # What is free decides whether it goes to the nodes at once.
        free = {self._node.node_id: self._node.scheduler.available()}
        self._follow(self._groups.resources_changed(free, now))
        try:
            out = self._groups.create(message.group_id, spec, connection.peer, now)
        except (InvalidOption, Unschedulable) as error:
            kind = "unschedulable" if isinstance(error, Unschedulable) else "invalid"
            connection.send(messages.Reply(message.request, str(error), kind))
            return
        connection.send(messages.Reply(message.request, ""))
        self._follow(out)

    def _on_remove(self, _c: Connection, message: messages.RemoveGroup, _p: object) -> None:
        self._follow(self._groups.remove(message.group_id, time.monotonic()))

    def _on_watch(self, connection: Connection, message: messages.WatchGroup, _p: object) -> None:
        state = self._groups.state(message.group_id)
        if state is GroupState.PENDING:
            self._watchers.setdefault(message.group_id, set()).add(connection.peer)
            return
        known = GroupState.REMOVED if state is None else state
        connection.send(messages.GroupEvent(message.group_id, known.value))

    # Following the machine ----------------------------------------------------------------

    def _follow(self, instructions: Iterable[GroupInstruction]) -> None:
        self._node.agenda.add(self._carry_out, instructions)

    def _carry_out(self, instruction: GroupInstruction) -> None:
        scheduler, now = self._node.scheduler, time.monotonic()
        if isinstance(instruction, Reserve):
            self._reserve(instruction)
        elif isinstance(instruction, Unreserve):
            self._attempts.pop((instruction.group_id, instruction.index), None)
            self._node.follow(scheduler.unreserve(instruction.group_id, instruction.index, now))
        elif isinstance(instruction, ExpectGroup):
            scheduler.expect_group(instruction.group_id)
        elif isinstance(instruction, Commit):
            self._node.follow(scheduler.commit(instruction.group_id, now))
        elif isinstance(instruction, RemoveGroup):
            self._node.follow(
                scheduler.remove_group(instruction.group_id, now),
                why_stop="its placement group was removed",
            )
            # Once those who asked for workers in it have been told.
            self._node.agenda.add(self._node.forget_group, [instruction.group_id])
        else:
            self._changed(instruction)

    def _reserve(self, instruction: Reserve) -> None:
        scheduler, now = self._node.scheduler, time.monotonic()
        group_id, index = instruction.group_id, instruction.index
        self._attempts[group_id, index] = instruction.attempt
        if instruction.wait:
            self._node.follow(
                scheduler.await_reservation(
                    group_id, index, instruction.resources, owner=group_id, now=now
                )
            )
        elif scheduler.reserve(group_id, index, instruction.resources, now):
            self._follow(self._groups.reserved(group_id, index, instruction.attempt, now))
        else:
            self._follow(self._groups.refused(group_id, index, instruction.attempt, now))

    def _changed(self, instruction: GroupChanged) -> None:
        group_id, state = instruction.group_id, instruction.state
        if state is GroupState.PENDING:
            return
        if state is GroupState.REMOVED:
            for key in [key for key in self._attempts if key[0] == group_id]:
                del self._attempts[key]
        event = messages.GroupEvent(group_id, state.value)
        for process in sorted(self._watchers.pop(group_id, ())):
            record = self._node.clients.get(process)
            if record is not None:
                record.connection.send(event)
