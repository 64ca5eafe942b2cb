"""The memory service of a daemon: grants segments, after unused ones were given back if need be."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from air_cluster.protocol import messages
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.daemon.node import NodeDaemon

_ROUNDS = 2
"""In the first, owners tell writers what is free; in the second, writers give that back."""

_PATIENCE_S = 2.0
"""A process that is busy in foreign code may not answer for long: it is not waited for."""


class _Wanting(msgspec.Struct, eq=False):
    """A request that there is no room for yet."""

    connection: Connection
    message: messages.NeedSegment
    rounds_left: int = _ROUNDS
    unheard: set[bytes] = msgspec.field(default_factory=set)  # who has not answered this round


class SegmentService:
    """Passes the processes' requests for shared memory to :class:`NodeMemory`.

    Processes keep segments whose values are all free, because their pages are warm. When a
    request does not fit, all are asked to give these back before it is refused. A segment
    that is given back is unmapped wherever it was read: the kernel frees it after that.
    """

    def __init__(self, node: NodeDaemon) -> None:
        self._node = node
        self._memory = node.memory
        self._memory.on_closed = self._closed
        self._numbers = itertools.count(1)
        self._wanting: dict[int, _Wanting] = {}
        handle = node.peers.handle
        handle(messages.NeedSegment, self._on_need)
        handle(messages.OpenSegment, self._on_open)
        handle(messages.DropSegment, self._on_drop)
        handle(messages.StoreTrimmed, lambda c, m, _p: self._answered(m.number, c.peer))
        handle(messages.Orphans, self._on_orphans)

    def process_gone(self, process: bytes) -> None:
        """A process died."""
        others = {record.process for record in self._node.clients.others(process)}
        self._memory.process_gone(process, others)
        for number in list(self._wanting):
            self._answered(number, process)
        self._serve()

    def _on_need(self, connection: Connection, message: messages.NeedSegment, _p: object) -> None:
        wanting = _Wanting(connection, message)
        if self._grant(wanting):
            return
        if message.at_least > self._memory.cap:
            self._refuse(wanting)
            return
        number = next(self._numbers)
        self._wanting[number] = wanting
        self._node.reactor.call_later(_PATIENCE_S, partial(self._give_up, number))
        self._ask_around(number, wanting)

    def _on_open(self, c: Connection, message: messages.OpenSegment, _p: object) -> None:
        opened = self._memory.open(message.segment, c.peer)
        if isinstance(opened, str):
            c.send(messages.SegmentReply(message.request, 0, 0, opened))
        else:
            fd, size = opened
            c.send_with_fd(messages.SegmentReply(message.request, message.segment, size, ""), fd)

    def _on_drop(self, c: Connection, message: messages.DropSegment, _p: object) -> None:
        self._memory.drop(c.peer, message.segment)
        self._serve()

    def _on_orphans(self, c: Connection, message: messages.Orphans, _p: object) -> None:
        self._memory.keeps(c.peer, message.process, message.segments)
        self._serve()

    def _grant(self, wanting: _Wanting) -> bool:
        message, connection = wanting.message, wanting.connection
        granted = self._memory.grant(connection.peer, message.size, message.at_least)
        if granted is None:
            return False
        segment, size, fd = granted
        connection.send_with_fd(messages.SegmentReply(message.request, segment, size, ""), fd)
        return True

    def _serve(self) -> None:
        """Something was given back: who can be served now?"""
        for number, wanting in list(self._wanting.items()):
            if wanting.connection.closed or self._grant(wanting):
                del self._wanting[number]

    def _ask_around(self, number: int, wanting: _Wanting) -> None:
        wanting.rounds_left -= 1
        everybody = self._node.clients.all()
        wanting.unheard = {record.process for record in everybody}
        for record in everybody:
            record.connection.send(messages.TrimStore(number))

    def _answered(self, number: int, process: bytes) -> None:
        wanting = self._wanting.get(number)
        if wanting is None:
            return
        wanting.unheard.discard(process)
        if wanting.unheard:
            return
        if wanting.rounds_left:
            self._ask_around(number, wanting)
        else:
            self._give_up(number)

    def _give_up(self, number: int) -> None:
        wanting = self._wanting.pop(number, None)
        if wanting is not None:
            self._refuse(wanting)

    def _refuse(self, wanting: _Wanting) -> None:
        message = wanting.message
        reason = self._memory.why_not(message.at_least)
        wanting.connection.send(messages.SegmentReply(message.request, 0, 0, reason))

    def _closed(self, segment: int, readers: set[bytes]) -> None:
        for process in readers:
            record = self._node.clients.get(process)
            if record is not None:
                record.connection.send(messages.SegmentGone(segment))
