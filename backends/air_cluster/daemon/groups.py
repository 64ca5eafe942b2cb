"""The head's service of placement groups: does what the groups' state machine says."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from air.errors import InvalidOption, Unschedulable
from air.executor.resources import Resources
from air.executor.scheduling import PlacementGroupSpec
from air_cluster.core.explanations import group_label, lost_bundles
from air_cluster.core.group_instructions import (
    Commit,
    ExpectGroup,
    GroupChanged,
    GroupHopeless,
    GroupInstruction,
    GroupState,
    RemoveGroup,
    Reserve,
    UnmetGroup,
    Unreserve,
)
from air_cluster.core.placement_groups import PlacementGroups
from air_cluster.daemon.kept import KeptGroup
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol import messages
from air_cluster.protocol.ids import node_of

if TYPE_CHECKING:
    from air_cluster.daemon.head import ClientRoute, HeadService, NodeRecord


class GroupService:
    """Creates and removes placement groups; nodes reserve their bundles."""

    def __init__(self, head: HeadService) -> None:
        self._head = head
        self._groups = PlacementGroups()
        self._watchers: dict[bytes, set[bytes]] = {}  # group -> processes that want to know
        self._stale: dict[str, None] = {}  # nodes where something else may be free than is known
        self._watched: dict[bytes, None] = {}  # somebody began to, since it was last kept
        head.on_client(messages.CreateGroup, self._on_create)
        head.on_client(messages.RemoveGroup, self._on_remove)
        head.on_client(messages.WatchGroup, self._on_watch)
        head.on_node(wire.BundleAnswer, self._on_answer)

    # Events -------------------------------------------------------------------------------

    def node_joined(self, node: NodeRecord) -> None:
        """There is a new node, empty."""
        if node.entry.is_guest:
            return
        now = time.monotonic()
        self._follow(self._groups.node_joined(node.entry.name, node.total, now))

    def node_lost(self, node: NodeRecord) -> None:
        """A node is gone, with the bundles on it and the owners of groups."""
        now = time.monotonic()
        self._follow(self._groups.node_lost(node.entry.name, now))
        for owner in self._groups.owners():
            if node_of(owner) == node.entry.number:
                self.owner_gone(owner)

    def load_changed(self, node: NodeRecord) -> None:
        """Something else is free on a node."""
        self._stale[node.entry.name] = None
        if self._groups.any_unmet:
            self._look_again()

    def tick(self) -> None:
        """Time passes."""
        self._follow(self._groups.tick(time.monotonic()))

    def _look_again(self) -> None:
        """Bring up to date what the groups know of nodes, as far as it may have changed."""
        names, self._stale = self._stale, {}
        records = [node for name in names if (node := self._head.node_named(name)) is not None]
        free = {node.entry.name: node.free() for node in records}
        self._follow(self._groups.resources_changed(free, time.monotonic()))

    def owner_gone(self, process: bytes) -> None:
        """A process is gone, and its groups with it."""
        for watchers in self._watchers.values():
            watchers.discard(process)
        self._follow(self._groups.owner_gone(process, time.monotonic()))

    # Keeping them -------------------------------------------------------------------------

    def take_up(self, incarnation: int) -> None:
        """Be those of a head that was started again: no attempt of the earlier ones counts."""
        self._groups = PlacementGroups(attempts=incarnation << 32)

    def take_changed(self) -> list[bytes]:
        """The groups that may have to be kept anew."""
        changed = {**dict.fromkeys(self._groups.take_changed()), **self._watched}
        self._watched = {}
        return list(changed)

    def kept(self, group_id: bytes) -> KeptGroup | None:
        """What is kept of a group; ``None`` if it was removed."""
        snapshot = self._groups.snapshot(group_id)
        if snapshot is None:
            return None
        return KeptGroup(snapshot, sorted(self._watchers.get(group_id, ())))

    def restore(self, kept: KeptGroup) -> None:
        """Take up a group; the nodes have joined already."""
        group_id = kept.snapshot.group_id
        out = self._groups.restore(kept.snapshot, time.monotonic())
        self._head.demand.group_created(group_id, self._groups.bundles(group_id))
        self._head.demand.bundles_at(group_id, self._groups.places(group_id))
        if kept.watchers:
            self._watchers[group_id] = set(kept.watchers)
        self._follow(out)

    # What waits ---------------------------------------------------------------------------

    def unmet(self) -> list[UnmetGroup]:
        """Groups that are not reserved, oldest first."""
        return self._groups.unmet()

    def owner(self, group_id: bytes) -> bytes:
        """The process that has made a group."""
        return self._groups.owner(group_id)

    def label(self, group_id: bytes) -> str:
        """A group, in words."""
        return group_label(self._groups.name(group_id), group_id)

    # Listing ------------------------------------------------------------------------------

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
                "lost": self._groups.lost(info.group_id),
                "namespace": info.namespace,
            }
            for info in self._groups.infos()
        ]

    # Messages -----------------------------------------------------------------------------

    def _on_create(self, client: ClientRoute, message: messages.CreateGroup, _p: bytes) -> None:
        now = time.monotonic()
        spec = PlacementGroupSpec(
            bundles=tuple(Resources(bundle) for bundle in message.bundles),
            strategy=message.strategy,
            name=message.name,
            detached=message.detached,
            namespace=message.namespace,
        )
        # What is free decides whether it goes to the nodes at once.
        if self._head.own is not None:
            self._stale[self._head.own.name] = None  # it tells at the end of this round only
        self._look_again()
        try:
            owner = message.owner or client.peer
            out = self._groups.create(message.group_id, spec, owner, now)
        except (InvalidOption, Unschedulable) as error:
            kind = "unschedulable" if isinstance(error, Unschedulable) else "invalid"
            client.send(messages.Reply(message.request, str(error), kind))
            return
        # It is told without asking: nearly everybody who makes a group waits for it next.
        self._watchers[message.group_id] = {client.peer}
        # Before the answer: what the client asks for next must find the group known.
        if out:  # else the request has come again
            self._head.demand.group_created(message.group_id, spec.bundles)
        self._follow(out)
        client.send(messages.Reply(message.request, ""))
        if self._head.is_over(owner):
            self.owner_gone(owner)

    def _on_remove(self, client: ClientRoute, message: messages.RemoveGroup, _p: bytes) -> None:
        self._follow(self._groups.remove(message.group_id, time.monotonic()))
        if message.request:
            client.send(messages.Reply(message.request, ""))

    def _on_watch(self, client: ClientRoute, message: messages.WatchGroup, _p: bytes) -> None:
        state = self._groups.state(message.group_id)
        why = self._groups.why_hopeless(message.group_id)
        if why:
            event = self._hopeless(message.group_id, why)
            client.send(event)
            return
        if state is GroupState.PENDING:
            self._watchers.setdefault(message.group_id, set()).add(client.peer)
            self._watched[message.group_id] = None
            return
        known = GroupState.REMOVED if state is None else state
        client.send(messages.GroupEvent(message.group_id, known.value))

    def _on_answer(self, _node: NodeRecord, message: wire.BundleAnswer, _p: bytes) -> None:
        event = self._groups.reserved if message.reserved else self._groups.refused
        now = time.monotonic()
        self._follow(event(message.group_id, message.index, message.attempt, now))

    # Following the machine ----------------------------------------------------------------

    def _follow(self, instructions: Iterable[GroupInstruction]) -> None:
        self._head.agenda.add(self._carry_out, instructions)

    def _carry_out(self, instruction: GroupInstruction) -> None:
        group_id = instruction.group_id
        if isinstance(instruction, Reserve | Unreserve):
            self._stale[instruction.node_id] = None  # it may say no, and report nothing
        if isinstance(instruction, Reserve):
            self._to_node(
                instruction.node_id,
                wire.ReserveBundle(
                    group_id,
                    instruction.index,
                    instruction.attempt,
                    instruction.resources.to_dict(),
                    instruction.wait,
                ),
            )
        elif isinstance(instruction, Unreserve):
            self._to_node(instruction.node_id, wire.UnreserveBundle(group_id, instruction.index))
        elif isinstance(instruction, Commit):
            self._to_node(instruction.node_id, wire.CommitGroup(group_id))
        elif isinstance(instruction, ExpectGroup):
            self._to_all(wire.ExpectGroup(group_id))
        elif isinstance(instruction, RemoveGroup):
            self._head.demand.group_gone(group_id)
            self._to_all(wire.DropGroup(group_id))
        elif isinstance(instruction, GroupHopeless):
            self._doubted(instruction)
        else:
            self._changed(instruction)

    def _to_node(self, name: str, message: wire.HeadMessage) -> None:
        node = self._head.node_named(name)
        if node is not None:
            node.link.send(message)

    def _to_all(self, message: wire.HeadMessage) -> None:
        for node in self._head.nodes.values():
            node.link.send(message)

    def _changed(self, instruction: GroupChanged) -> None:
        places = self._groups.places(instruction.group_id)
        self._head.demand.bundles_at(instruction.group_id, places)
        if instruction.state is GroupState.PENDING:
            return
        self._tell(messages.GroupEvent(instruction.group_id, instruction.state.value))

    def _doubted(self, instruction: GroupHopeless) -> None:
        group_id, why = instruction.group_id, instruction.why
        if not instruction.was_there:
            event = self._hopeless(group_id, why)
            self._head.demand.group_hopeless(group_id, event.reason if why else "")
            if why:
                self._tell(event)
                self._watched[group_id] = None
        elif why:
            lost = lost_bundles(self._groups.lost(group_id))
            text = f"{self.label(group_id)} has lost {lost} and waits for a node: {why}"
            self._head.send_to_client(self._groups.owner(group_id), messages.Notice(text))

    def _hopeless(self, group_id: bytes, why: str) -> messages.GroupEvent:
        return messages.GroupEvent(
            group_id, "HOPELESS", f"{self.label(group_id)} can never be reserved: {why}"
        )

    def _tell(self, event: messages.GroupEvent) -> None:
        for process in sorted(self._watchers.pop(event.group_id, ())):
            self._head.send_to_client(process, event)
