"""Who asks a node for workers, and what they are told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from air.executor.labels import all_match
from air_cluster.core.cluster_map import ClusterMap
from air_cluster.core.cluster_reasons import why_never
from air_cluster.core.cluster_shapes import NodeView
from air_cluster.core.instructions import Grant, LeaseLost, Reclaim, Refuse
from air_cluster.core.shapes import LossKind, RefusalKind, ShapeKey
from air_cluster.core.waiting import Kind
from air_cluster.daemon.shapes import KINDS, REFUSALS, cluster_shape, shape_key
from air_cluster.daemon.workers import End
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol import messages
from air_cluster.protocol.codec import Message
from air_cluster.protocol.ids import lease_of_node, lease_on_wire, node_of
from air_cluster.protocol.messages import HOME, ONCE, Shape
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.daemon.node import NodeDaemon

_FORGET_ABOVE = 256
"""So many owners, and shapes of one, are kept before those are looked for that nobody needs."""


class _Owner(msgspec.Struct):
    """One depth of tasks of one client, as the scheduler sees demand.

    What has conditions on where it runs has an owner of its own, as the scheduler knows shapes by
    their resources: the same ones may be wanted with several conditions at a time.

    Attributes:
        key: what the scheduler calls it.
        home_key: what the client's own node calls it, which speaks for it with the head.
        shape_ids: what the client calls the shapes that the scheduler knows of.
        shapes: and how it describes all of them.
        left: shape -> how many workers only the head can find, since it matters where.
        reported: shape -> how many workers the head knows to be wanting.
        came: shape -> how many have come to which the head has led, without knowing it yet.
    """

    key: bytes
    home_key: bytes
    process: bytes
    depth: int
    connection: Connection
    shape_ids: dict[ShapeKey, int] = msgspec.field(default_factory=dict)
    shapes: dict[int, Shape] = msgspec.field(default_factory=dict)
    left: dict[int, int] = msgspec.field(default_factory=dict)
    reported: dict[int, int] = msgspec.field(default_factory=dict)
    came: dict[int, int] = msgspec.field(default_factory=dict)
    forget_above: int = _FORGET_ABOVE

    @property
    def is_home(self) -> bool:
        """Whether this is the client's own node."""
        return self.key == self.home_key


class Leasing:
    """Takes demands in, from clients of this node and of others, and grants leases."""

    def __init__(self, node: NodeDaemon) -> None:
        self._node = node
        self._owners: dict[bytes, _Owner] = {}
        self._forget_above = _FORGET_ABOVE
        self._workers: dict[int, str] = {}  # of granted leases
        handle = node.peers.handle
        handle(messages.SetDemand, self._on_demand)
        handle(messages.LeaseReturn, self._on_return)
        handle(messages.KillWorker, self._on_kill_worker)
        node.on_head(wire.Redirect, self._on_redirect)
        node.on_head(wire.RefuseDemand, self._on_refuse_demand)

    # Demand -------------------------------------------------------------------------------

    def _on_demand(self, connection: Connection, message: messages.SetDemand, _p: object) -> None:
        node = self._node
        refusal = self._why_never_here(message.shape) if node.alone else None
        if refusal is not None:
            if message.count:
                connection.send(messages.LeaseRefused(message.shape_id, "unschedulable", refusal))
            return
        node.workers.environments.know(message.shape)
        owner = self._owner_of(connection, message)
        owner.shapes[message.shape_id] = message.shape
        if message.came:
            owner.came[message.shape_id] = owner.came.get(message.shape_id, 0) + message.came
        if message.mode == HOME and not node.alone and not self._starts_here(message.shape):
            owner.left[message.shape_id] = message.count
            node.look_soon()
            return
        shape = shape_key(message.shape)
        owner.shape_ids[shape] = message.shape_id
        now, once = time.monotonic(), message.mode == ONCE
        if once:
            node.on_promised()
        node.follow(
            node.scheduler.set_demand(
                owner.key, shape, message.count, message.depth, now, once=once
            )
        )

    def _owner_of(self, connection: Connection, message: messages.SetDemand) -> _Owner:
        # One for each depth, since depth is priority.
        home_key = connection.peer + message.depth.to_bytes(4, "big")
        number = message.shape_id.to_bytes(4, "big")
        if _has_conditions(message.shape):
            home_key += number
        key = home_key if message.mode == HOME else home_key + number
        owner = self._owners.get(key)
        if owner is None:
            if len(self._owners) >= self._forget_above:
                self._forget_idle()
            owner = _Owner(key, home_key, connection.peer, message.depth, connection)
            self._owners[key] = owner
        elif len(owner.shapes) >= owner.forget_above:
            self._forget_shapes(owner)
        return owner

    def _forget_idle(self) -> None:
        """Every placement group, for one, makes an owner that wants nothing in the end."""
        busy = self._node.scheduler.owners()
        self._forget(
            [
                key
                for key, owner in self._owners.items()
                if key not in busy and not owner.left and not owner.reported
            ]
        )
        self._forget_above = max(_FORGET_ABOVE, 2 * len(self._owners))

    def _forget_shapes(self, owner: _Owner) -> None:
        """Every trial of a sweep, for one, may want something else."""
        wanted = self._node.scheduler.wanted_by(owner.key)
        owner.shape_ids = {s: number for s, number in owner.shape_ids.items() if s in wanted}
        kept = {*owner.shape_ids.values(), *owner.left, *owner.reported}
        owner.shapes = {number: s for number, s in owner.shapes.items() if number in kept}
        owner.forget_above = max(_FORGET_ABOVE, 2 * len(owner.shapes))

    def _starts_here(self, shape: Shape) -> bool:
        """Whether a request of a client of this node is met here if there is room."""
        node = self._node
        return cluster_shape(shape).starts_at(node.number, node.name, node.labels)

    def _why_never_here(self, shape: Shape) -> str | None:
        """Why a request may not be met on this node, if it is the only one; however full it is."""
        if not shape.labels and (not shape.node or shape.soft):
            return None
        node, need = self._node, cluster_shape(shape).need
        where = need.where
        if where.node in (None, node.name) and all_match(where.labels, node.labels):
            return None
        only = ClusterMap()
        only.add_node(NodeView(node.number, node.name, node.total, node.labels))
        return why_never(need, only).message

    # The head -----------------------------------------------------------------------------

    def report(self) -> None:
        """Tell the head what waits here, where that has changed: others may have room."""
        waiting: dict[bytes, dict[int, int]] = {}
        for unmet in self._node.scheduler.unmet():
            if unmet.kind is not Kind.LEASE or not isinstance(unmet.subject, bytes):
                continue
            owner = self._owners.get(unmet.subject)
            if owner is not None and unmet.shape in owner.shape_ids:
                shape_id = owner.shape_ids[unmet.shape]
                waiting.setdefault(owner.key, {})[shape_id] = unmet.count
        for owner in self._owners.values():
            if owner.is_home:
                self._report(owner, {**waiting.get(owner.key, {}), **owner.left})

    def report_again(self) -> None:
        """The head has forgotten what it was told."""
        for owner in self._owners.values():
            owner.reported, owner.came = {}, {}
        self.report()

    def _report(self, owner: _Owner, wanting: dict[int, int]) -> None:
        for shape_id in {**owner.reported, **wanting}:
            count = wanting.get(shape_id, 0)
            if owner.reported.get(shape_id, 0) != count or owner.came.get(shape_id):
                self._report_one(owner, shape_id, count)
        owner.came.clear()  # for what is not wanted any more
        owner.left = {shape_id: count for shape_id, count in owner.left.items() if count}

    def _report_one(self, owner: _Owner, shape_id: int, count: int) -> None:
        shape, came = owner.shapes[shape_id], owner.came.pop(shape_id, 0)
        self._node.uplink.send(wire.Unmet(owner.key, shape_id, shape, count, owner.depth, came))
        owner.reported[shape_id] = count
        if not count:
            del owner.reported[shape_id]

    def _on_redirect(self, message: wire.Redirect, _payload: bytes) -> None:
        owner, other = self._owners.get(message.owner), self._node.nodes.get(message.node)
        if owner is None or other is None:
            return
        is_here = other.number == self._node.number
        owner.connection.send(
            messages.Redirected(
                message.shape_id,
                other.number,
                other.daemon,
                self._node.address if is_here else other.address,
                message.count,
                message.pinned,
            )
        )

    def _on_refuse_demand(self, message: wire.RefuseDemand, _payload: bytes) -> None:
        owner = self._owners.get(message.owner)
        if owner is None or message.shape_id not in owner.shapes:
            return
        owner.reported.pop(message.shape_id, None)  # the head has forgotten it with this
        if owner.left.pop(message.shape_id, None) is not None:
            refused = messages.LeaseRefused(message.shape_id, message.kind, message.message)
            owner.connection.send(refused)
            return
        shape, now = shape_key(owner.shapes[message.shape_id]), time.monotonic()
        self._node.follow(
            self._node.scheduler.refuse(owner.key, shape, KINDS[message.kind], message.message, now)
        )

    # Leases -------------------------------------------------------------------------------

    def _on_return(
        self, _connection: Connection, message: messages.LeaseReturn, _p: object
    ) -> None:
        lease_id = lease_of_node(message.lease_id)
        self._node.workers.set_busy(self._workers.pop(lease_id, ""), False)
        self._node.follow(self._node.scheduler.return_lease(lease_id, time.monotonic()))

    def _on_kill_worker(self, _c: Connection, message: messages.KillWorker, _p: object) -> None:
        self._node.workers.kill(self._workers.get(lease_of_node(message.lease_id), ""))

    # Instructions of the scheduler --------------------------------------------------------

    def grant(self, instruction: Grant) -> None:
        """Lend a worker."""
        owner = self._owners[instruction.owner]
        workers, name = self._node.workers, instruction.worker_id
        workers.set_busy(name, True)
        self._workers[instruction.lease_id] = name
        home = None if owner.is_home else self._owners.get(owner.home_key)
        if home is not None:  # the head has sent a client of ours back to us
            self._granted_after_all(home, owner.shape_ids[instruction.shape])
        record = workers.client(name)
        owner.connection.send(
            messages.LeaseGranted(
                owner.shape_ids[instruction.shape],
                lease_on_wire(self._node.number, instruction.lease_id),
                workers.process(name),
                record.address if record is not None else "",
                list(instruction.gpu_ids),
            )
        )

    def _granted_after_all(self, owner: _Owner, shape_id: int) -> None:
        """One of the workers is here for which the head was to find a node."""
        count = owner.left.get(shape_id, 0)
        if count:
            owner.left[shape_id] = count - 1
            owner.came[shape_id] = owner.came.get(shape_id, 0) + 1
            self._report_one(owner, shape_id, count - 1)

    def reclaim(self, instruction: Reclaim) -> None:
        """Ask for a worker back."""
        lease_id = lease_on_wire(self._node.number, instruction.lease_id)
        self._send(instruction.owner, messages.LeaseReclaim(lease_id))

    def lost(self, instruction: LeaseLost) -> None:
        """A lent worker is gone."""
        end = self._node.workers.end_of(self._workers.pop(instruction.lease_id, ""))
        if instruction.reason is LossKind.GROUP_REMOVED:
            end = End("its placement group was removed")
        lease_id = lease_on_wire(self._node.number, instruction.lease_id)
        self._send(
            instruction.owner,
            messages.LeaseLost(lease_id, end.how, end.is_for_memory, end.is_hopeless),
        )

    def refuse(self, instruction: Refuse) -> None:
        """There will be no worker."""
        owner = self._owners.get(instruction.owner)
        if owner is None:
            return
        if instruction.reason is RefusalKind.BUSY:
            # Its own node still knows what it wants; the head finds another one.
            shape = owner.shapes[owner.shape_ids[instruction.shape]]
            busy = wire.NoRoom(owner.home_key, shape, instruction.count)
            self._node.uplink.send(busy)
            return
        # It states its demand anew if it wants to try again.
        shape_id = owner.shape_ids.pop(instruction.shape)
        kind = REFUSALS[instruction.reason]
        owner.connection.send(messages.LeaseRefused(shape_id, kind, instruction.message))

    def _send(self, owner: bytes, message: Message) -> None:
        found = self._owners.get(owner)
        if found is not None:
            found.connection.send(message)

    def connections(self) -> dict[bytes, Connection]:
        """Who has asked for workers, and how to reach them."""
        return {owner.process: owner.connection for owner in self._owners.values()}

    # Ends ---------------------------------------------------------------------------------

    def forget_group(self, group_id: bytes) -> None:
        """A placement group was removed: no worker in it will be asked for or granted."""
        for owner in self._owners.values():
            for shape in [s for s in owner.shape_ids if s.pool and s.pool[0] == group_id]:
                del owner.shape_ids[shape]

    def forget_owner(self, process: bytes) -> None:
        """A process is gone, and what it demanded and leased goes with it."""
        self._forget([key for key, owner in self._owners.items() if owner.process == process])

    def forget_node(self, number: int) -> None:
        """A node is gone, with all its processes."""
        self._forget([key for key, owner in self._owners.items() if node_of(key) == number])

    def _forget(self, keys: list[bytes]) -> None:
        for key in keys:
            owner = self._owners.pop(key)
            for shape_id in owner.reported:
                shape = owner.shapes[shape_id]
                self._node.uplink.send(wire.Unmet(key, shape_id, shape, 0, owner.depth))
            for lease_id in self._node.scheduler.leases_of(key):
                self._node.workers.set_busy(self._workers.pop(lease_id, ""), False)
            self._node.follow(self._node.scheduler.owner_gone(key, time.monotonic()))


def _has_conditions(shape: Shape) -> bool:
    """Whether a request says more of where it is met than its resources do."""
    labels = shape.labels or shape.preferred_labels
    return bool(shape.node or shape.spread or shape.preferred or labels)
