"""What a node does for actors: finds workers for them when the head asks for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from air_cluster.core.instructions import Place, RefusePlacement
from air_cluster.daemon.shapes import REFUSALS, shape_key
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol import messages
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.daemon.node import NodeDaemon


class ActorHosting:
    """Actors on the workers of this node."""

    def __init__(self, node: NodeDaemon) -> None:
        self._node = node
        node.on_head(wire.PlaceActor, self._place)
        node.on_head(wire.CancelPlacement, self._cancel)
        node.on_head(wire.RunActor, self._run)
        node.on_head(wire.EndActor, self._end)
        node.peers.handle(messages.ActorStarted, self._on_started)
        node.peers.handle(messages.ActorExit, self._on_exit)
        node.peers.handle(
            messages.ActorOver, lambda connection, _m, _p: node.workers.retired(connection.peer)
        )

    # Instructions of the scheduler --------------------------------------------------------

    def placed(self, instruction: Place) -> None:
        """There is a worker for an actor."""
        worker = instruction.worker_id
        self._node.workers.set_busy(worker, True)
        self._node.uplink.send(
            wire.ActorPlaced(
                instruction.actor_id,
                worker,
                self._node.workers.process(worker),
                list(instruction.gpu_ids),
            )
        )

    def refused(self, instruction: RefusePlacement) -> None:
        """There will be none."""
        kind = REFUSALS[instruction.reason]
        self._node.uplink.send(
            wire.PlacementRefused(instruction.actor_id, kind, instruction.message)
        )

    # Messages of the head -----------------------------------------------------------------

    def _place(self, message: wire.PlaceActor, _payload: bytes) -> None:
        self._node.workers.environments.know(message.shape)
        if message.once:
            self._node.on_promised()
        self._node.follow(
            self._node.scheduler.place(
                message.actor_id,
                shape_key(message.shape),
                owner=message.owner,
                depth=message.depth,
                now=time.monotonic(),
                once=message.once,
            )
        )

    def _cancel(self, message: wire.CancelPlacement, _payload: bytes) -> None:
        now = time.monotonic()
        self._node.follow(self._node.scheduler.cancel_placement(message.actor_id, now))

    def _run(self, message: wire.RunActor, payload: bytes) -> None:
        record = self._node.workers.client(message.worker)
        if record is not None:
            output = self._node.workers.pool.output_of(record.process)
            if output is not None:
                output.relabel(message.spec.job_id, message.spec.class_name)
            start = messages.StartActor(message.spec, message.gpu_ids, message.restarted)
            record.connection.send(start, [payload])

    def _end(self, message: wire.EndActor, _payload: bytes) -> None:
        record = self._node.workers.client(message.worker)
        if message.graceful and record is not None:
            record.connection.send(messages.ActorExit(message.actor_id))
        else:
            now = time.monotonic()
            self._node.follow(self._node.scheduler.dismissed(message.worker, now))
            self._node.workers.kill(message.worker)

    # Messages of workers ------------------------------------------------------------------

    def _on_started(
        self, connection: Connection, message: messages.ActorStarted, payload: bytes
    ) -> None:
        record = self._node.clients.get(connection.peer)
        if record is not None:
            up = wire.ActorUp(message.actor_id, message.failed, record.address)
            self._node.uplink.send(up, [payload])

    def _on_exit(self, _c: Connection, message: messages.ActorExit, _payload: bytes) -> None:
        self._node.uplink.send(wire.ActorLeaves(message.actor_id))
