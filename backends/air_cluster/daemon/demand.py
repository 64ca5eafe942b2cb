"""The head's service of demand: finds nodes for what a node cannot meet, and for actors."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from air.executor.resources import Resources
from air_cluster.core.cluster import ClusterScheduler
from air_cluster.core.cluster_instructions import (
    ClusterInstruction,
    RecallActor,
    Redirect,
    Refuse,
    RefuseActor,
    SendActor,
)
from air_cluster.core.cluster_shapes import ClusterShape, NodeView
from air_cluster.daemon.shapes import REFUSALS, cluster_shape
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol.ids import node_of
from air_cluster.protocol.messages import Shape

if TYPE_CHECKING:
    from air_cluster.daemon.head import HeadService, NodeRecord


class DemandService:
    """Does what the cluster's scheduler says."""

    def __init__(self, head: HeadService) -> None:
        self._head = head
        self._scheduler = ClusterScheduler()
        self._shape_ids: dict[tuple[bytes, ClusterShape], int] = {}
        self._actors: dict[bytes, tuple[Shape, bytes, int]] = {}  # shape, owner and depth
        self._stale: dict[int, NodeRecord] = {}  # something else is free there than is known
        head.on_node(wire.Unmet, self._on_unmet)
        head.on_node(wire.NoRoom, self._on_no_room)

    # Nodes --------------------------------------------------------------------------------

    def node_joined(self, node: NodeRecord) -> None:
        """There is a new node, empty."""
        entry = node.entry
        view = NodeView(entry.number, entry.name, node.total, entry.labels, entry.is_guest)
        self._follow(self._scheduler.node_joined(view, time.monotonic()))

    def node_lost(self, node: NodeRecord) -> None:
        """A node is gone, with its clients."""
        number = node.entry.number
        self._stale.pop(number, None)
        self._follow(self._scheduler.node_lost(number, time.monotonic()))
        for key in [key for key in self._shape_ids if node_of(key[0]) == number]:
            del self._shape_ids[key]

    def load_changed(self, node: NodeRecord) -> None:
        """Something else is free on a node.

        That happens with every task, and matters only to those who wait.
        """
        self._stale[node.entry.number] = node
        if self._scheduler.anybody_waits:
            self._look_again()

    def _look_again(self) -> None:
        """Tell the scheduler what is free where that may have changed."""
        stale, self._stale = self._stale, {}
        now = time.monotonic()
        for number, node in stale.items():
            self._follow(self._scheduler.load(number, node.free(), now))

    def tick(self) -> None:
        """Time passes."""
        self._follow(self._scheduler.tick(time.monotonic()))

    # Placement groups ---------------------------------------------------------------------

    def group_created(self, group_id: bytes, bundles: Sequence[Resources]) -> None:
        """There is a placement group, whose bundles are being reserved."""
        self._follow(self._scheduler.group_created(group_id, bundles, time.monotonic()))

    def bundles_at(self, group_id: bytes, nodes: Sequence[str | None]) -> None:
        """Where the bundles of a group are now, by names of nodes."""
        now = time.monotonic()
        for index, name in enumerate(nodes):
            node = None if name is None else self._head.node_named(name)
            number = None if node is None else node.entry.number
            self._follow(self._scheduler.bundle_at(group_id, index, number, now))

    def group_hopeless(self, group_id: bytes, why: str) -> None:
        """No node could ever hold a placement group; or one could, without *why*."""
        self._follow(self._scheduler.group_hopeless(group_id, why, time.monotonic()))

    def group_gone(self, group_id: bytes) -> None:
        """A placement group was removed."""
        self._follow(self._scheduler.group_gone(group_id, time.monotonic()))

    # Demand of clients --------------------------------------------------------------------

    def _on_unmet(self, node: NodeRecord, message: wire.Unmet, _payload: bytes) -> None:
        shape = cluster_shape(message.shape)
        key = message.owner, shape
        if message.count:
            self._shape_ids[key] = message.shape_id
            self._look_again()
        now = time.monotonic()
        self._follow(
            self._scheduler.unmet(
                node.entry.number,
                message.owner,
                shape,
                message.count,
                message.depth,
                now,
                came=message.came,
            )
        )
        if not message.count:
            # Once what that has led to is said.
            self._head.agenda.add(self._forget_shape, [key])

    def _on_no_room(self, node: NodeRecord, message: wire.NoRoom, _payload: bytes) -> None:
        now, shape = time.monotonic(), cluster_shape(message.shape)
        self._follow(
            self._scheduler.busy(message.owner, shape, node.entry.number, message.count, now)
        )

    def _forget_shape(self, key: tuple[bytes, ClusterShape]) -> None:
        self._shape_ids.pop(key, None)

    # Actors -------------------------------------------------------------------------------

    def place(self, actor_id: bytes, shape: Shape, owner: bytes, depth: int) -> None:
        """Find a worker for an actor."""
        self._actors[actor_id] = shape, owner, depth
        self._look_again()
        now = time.monotonic()
        self._follow(
            self._scheduler.place(
                actor_id,
                cluster_shape(shape),
                home=node_of(owner),
                owner=owner,
                depth=depth,
                now=now,
            )
        )

    def placed(self, actor_id: bytes, node: NodeRecord) -> None:
        """It has one, on this node."""
        self._actors.pop(actor_id, None)
        now = time.monotonic()
        self._follow(self._scheduler.placed(actor_id, node.entry.number, now))

    def refused(self, actor_id: bytes, node: NodeRecord) -> None:
        """The node that it was sent to has no room after all."""
        now = time.monotonic()
        self._follow(self._scheduler.place_refused(actor_id, node.entry.number, now))

    def cancel(self, actor_id: bytes) -> None:
        """It needs none any more."""
        self._actors.pop(actor_id, None)
        self._follow(self._scheduler.cancel_place(actor_id, time.monotonic()))

    # Following the scheduler --------------------------------------------------------------

    def _follow(self, instructions: Iterable[ClusterInstruction]) -> None:
        self._head.agenda.add(self._carry_out, instructions)

    def _carry_out(self, instruction: ClusterInstruction) -> None:
        if isinstance(instruction, Redirect):
            shape_id = self._shape_ids.get((instruction.client, instruction.shape))
            home = self._head.nodes.get(node_of(instruction.client))
            if shape_id is not None and home is not None:
                home.link.send(
                    wire.Redirect(
                        instruction.client,
                        shape_id,
                        instruction.number,
                        instruction.count,
                        instruction.pinned,
                    )
                )
        elif isinstance(instruction, Refuse):
            shape_id = self._shape_ids.pop((instruction.client, instruction.shape), None)
            home = self._head.nodes.get(node_of(instruction.client))
            if shape_id is not None and home is not None:
                kind = REFUSALS[instruction.reason]
                home.link.send(
                    wire.RefuseDemand(instruction.client, shape_id, kind, instruction.message)
                )
        elif isinstance(instruction, SendActor):
            self._send_actor(instruction)
        elif isinstance(instruction, RecallActor):
            node = self._head.nodes.get(instruction.number)
            if node is not None:
                node.link.send(wire.CancelPlacement(instruction.actor_id))
        elif isinstance(instruction, RefuseActor):
            self._actors.pop(instruction.actor_id, None)
            kind = REFUSALS[instruction.reason]
            self._head.actors.refused(instruction.actor_id, kind, instruction.message)

    def _send_actor(self, instruction: SendActor) -> None:
        node = self._head.nodes.get(instruction.number)
        asked = self._actors.get(instruction.actor_id)
        if node is None or asked is None:
            return
        shape, owner, depth = asked
        once = not instruction.pinned
        node.link.send(wire.PlaceActor(instruction.actor_id, shape, owner, depth, once))
