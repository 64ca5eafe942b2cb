"""What becomes of values whose writer has died, where their owners are on other nodes.

A segment stays as long as a process owns values in it (see :mod:`~air_cluster.daemon.memory`).
Who does is asked of all processes, node by node: those on the node of the dead writer by its own
daemon, the others by theirs, which gather the answers and send them by way of the head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from air_cluster.protocol import head_messages as wire
from air_cluster.protocol import messages
from air_cluster.protocol.ids import node_of
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.daemon.node import NodeDaemon


class Orphans:
    """Answers for the clients of this node, and hears the answers of other nodes."""

    def __init__(self, node: NodeDaemon) -> None:
        self._node = node
        self._memory = node.memory
        # Dead writer on another node -> clients that have not answered, and the answers.
        self._asked: dict[bytes, tuple[set[bytes], list[wire.Keeper]]] = {}
        node.peers.handle(messages.Orphans, self._on_answer)
        node.peers.handle(messages.DropSegment, self._on_drop)
        node.on_head(wire.OrphansKept, self._on_kept)
        node.on_head(wire.OrphanDropped, self._on_dropped)

    # For writers of this node -------------------------------------------------------------

    def writer_gone(self, process: bytes) -> None:
        """A process of this node died: find out who owns what it wrote."""
        here = {record.process for record in self._node.clients.others(process)}
        elsewhere = {n.daemon for n in self._node.nodes.values() if n.number != self._node.number}
        self._memory.process_gone(process, here | elsewhere)
        self.client_gone(process)

    def client_gone(self, process: bytes) -> None:
        """A client of this node will not answer any more.

        It may have been asked after the news of its end, which come from its template, and before
        its connection was lost.
        """
        self._memory.keeps_nothing(process)
        for writer in [w for w, (unheard, _) in self._asked.items() if process in unheard]:
            self._heard(writer, process, [])

    def _on_kept(self, message: wire.OrphansKept, _payload: bytes) -> None:
        """Another node's daemon has asked its clients."""
        for keeper in message.keepers:
            self._memory.keeps(keeper.process, message.writer, keeper.segments)
        self._memory.keeps(message.daemon, message.writer, [])
        self._node.segments.room_came()

    def _on_dropped(self, message: wire.OrphanDropped, _payload: bytes) -> None:
        self._node.segments.dropped(message.process, message.segment)

    # For clients of this node -------------------------------------------------------------

    def ask(self, writer: bytes) -> None:
        """A process of another node died, and left memory behind; clients were told of it."""
        self._asked[writer] = {record.process for record in self._node.clients.all()}, []
        self._answer_if_complete(writer)

    def _on_answer(self, c: Connection, message: messages.Orphans, _payload: bytes) -> None:
        if node_of(message.process) == self._node.number:
            self._memory.keeps(c.peer, message.process, message.segments)
            self._node.segments.room_came()
        else:
            self._heard(message.process, c.peer, message.segments)

    def _heard(self, writer: bytes, client: bytes, segments: list[int]) -> None:
        if writer not in self._asked:
            return
        unheard, keepers = self._asked[writer]
        unheard.discard(client)
        if segments:
            keepers.append(wire.Keeper(client, segments))
        self._answer_if_complete(writer)

    def _answer_if_complete(self, writer: bytes) -> None:
        unheard, keepers = self._asked[writer]
        if not unheard:
            del self._asked[writer]
            me = self._node.peers.process_id
            self._node.uplink.send(wire.OrphansKept(me, writer, keepers))

    def _on_drop(self, c: Connection, message: messages.DropSegment, _payload: bytes) -> None:
        if message.node == self._node.number:
            self._node.segments.dropped(c.peer, message.segment)
        else:
            self._node.uplink.send(wire.OrphanDropped(message.node, c.peer, message.segment))

    # Ends ---------------------------------------------------------------------------------

    def process_of_another_node_gone(self, process: bytes) -> None:
        """It keeps nothing any more."""
        self._memory.process_gone(process, set())
        self._node.segments.room_came()

    def node_gone(self, number: int, daemon: bytes) -> None:
        """Another node is gone: its processes keep nothing, and nobody waits for its answer."""
        for process in [daemon, *self._memory.keepers_of(number)]:
            self._memory.process_gone(process, set())
        for writer in [w for w in self._asked if node_of(w) == number]:
            del self._asked[writer]
        self._node.segments.room_came()
