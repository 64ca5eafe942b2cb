"""How what was printed reaches the programs that it was printed for, as far as they keep up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from air_cluster.protocol import head_messages as wire
from air_cluster.protocol.codec import Message
from air_cluster.protocol.messages import LogLines
from air_cluster.transport.reactor import Reactor

if TYPE_CHECKING:
    from air_cluster.core.printed import Label
    from air_cluster.daemon.head import HeadService, NodeRecord
    from air_cluster.daemon.node import NodeDaemon

_MOST_UNSENT = 8 << 20
_AGAIN_S = 0.5
_GATHER_S = 1.0


class Outflow:
    """Lines on their way to one process.

    What that does not take in time is dropped, as much as it takes: it must not pile up here.
    The lines are in the workers' files still. How many were dropped is said as soon as there is
    room.

    Args:
        unsent: how many bytes wait to be sent to it.
        send: sends a message with lines.
        notice: the message under which it is told what was dropped.
    """

    def __init__(
        self,
        reactor: Reactor,
        unsent: Callable[[], int],
        send: Callable[[Message, bytes], None],
        notice: Message,
    ) -> None:
        self._reactor = reactor
        self._unsent = unsent
        self._send = send
        self._notice = notice
        self._dropped_lines = 0
        self._dropped_bytes = 0
        self._looking = False

    def offer(self, message: Message, lines: bytes) -> None:
        """Send lines, or drop them."""
        if self._unsent() <= _MOST_UNSENT:
            self.settle()
            self._send(message, lines)
            return
        self._dropped_lines += lines.count(b"\n")
        self._dropped_bytes += len(lines)
        self._look_later()

    def settle(self) -> None:
        """Say what was dropped, if something was."""
        if self._dropped_lines:
            text = describe_dropped(self._dropped_lines, self._dropped_bytes)
            self._dropped_lines = self._dropped_bytes = 0
            self._send(self._notice, text.encode())

    def _look_later(self) -> None:
        if not self._looking:
            self._looking = True
            self._reactor.call_later(_AGAIN_S, self._look)

    def _look(self) -> None:
        self._looking = False
        if self._unsent() <= _MOST_UNSENT:
            self.settle()
        else:
            self._look_later()


def describe_dropped(lines: int, nbytes: int) -> str:
    """A line for people."""
    return (
        f"{lines:,} lines ({nbytes / 1e6:.1f} MB) of what was printed are not shown here, because"
        " they came faster than they were taken; the log files have them\n"
    )


class Printed:
    """A node's part: from its workers to the head, and from there to its programs."""

    def __init__(self, node: NodeDaemon) -> None:
        self._node = node
        self._flows: dict[bytes, Outflow] = {}  # to programs
        self._leaving: dict[bytes, Callable[[], None]] = {}
        self._to_head = Outflow(
            node.reactor,
            lambda: node.uplink.unsent,
            lambda message, lines: node.uplink.send(message, [lines]),
            wire.Printed(b"", f"node {node.name}", True),
        )
        node.on_head(wire.Show, self._on_show)
        node.on_head(wire.Gather, self._on_gather)
        node.on_head(wire.Gathered, lambda message, _payload: self._gathered(message.process))

    def from_worker(self, label: Label, source: str, is_error: bool, lines: bytes) -> None:
        """A worker of this node has printed something."""
        self._to_head.offer(wire.Printed(label.job, source, is_error), lines)

    def gather(self, program: bytes, then: Callable[[], None]) -> None:
        """Do *then* when a program of this node was shown all that was printed up to now.

        A node that does not answer is not waited for longer than a second.
        """
        self._leaving[program] = then
        self._node.uplink.send(wire.Gather(program))
        self._node.reactor.call_later(_GATHER_S, lambda: self._gathered(program))

    def program_gone(self, process: bytes) -> None:
        """Nothing has to be shown to it any more."""
        self._flows.pop(process, None)
        self._leaving.pop(process, None)

    def _gathered(self, program: bytes) -> None:
        then = self._leaving.pop(program, None)
        if then is not None:
            then()

    def _on_gather(self, message: wire.Gather, _payload: bytes) -> None:
        self._node.workers.pool.pass_on()
        self._node.uplink.send(wire.Gathered(message.process))

    def _on_show(self, message: wire.Show, lines: bytes) -> None:
        record = self._node.clients.get(message.process)
        if record is None:
            return
        flow = self._flows.get(message.process)
        if flow is None:
            connection = record.connection
            flow = self._flows[message.process] = Outflow(
                self._node.reactor,
                lambda: connection.unsent,
                lambda shown, text: connection.send(shown, [text]),
                LogLines("air", True),
            )
        flow.offer(LogLines(message.source, message.is_error), lines)


class Printing:
    """The head's part: from all nodes to those of the programs."""

    def __init__(self, head: HeadService) -> None:
        self._head = head
        self._flows: dict[bytes, Outflow] = {}
        self._leaving: dict[bytes, set[int]] = {}  # program -> nodes that have not passed on yet
        head.on_node(wire.Printed, self.printed)
        head.on_node(wire.Gather, self._on_gather)
        head.on_node(wire.Gathered, self._on_gathered)

    def printed(self, node: NodeRecord, message: wire.Printed, lines: bytes) -> None:
        """Something was printed on a node."""
        if message.job:
            wanting = [message.job] if self._head.drivers.get(message.job) else []
        else:
            wanting = [process for process, wants in self._head.drivers.items() if wants]
        for process in wanting:
            home = self._head.node_of_process(process)
            if home is not None:
                away = "" if home is node else f", ip={node.entry.host}"
                show = wire.Show(process, message.source + away, message.is_error)
                self._flow(process, home).offer(show, lines)

    def program_gone(self, process: bytes) -> None:
        """Nothing has to be shown to it any more."""
        self._flows.pop(process, None)
        self._leaving.pop(process, None)

    def _on_gather(self, _node: NodeRecord, message: wire.Gather, _payload: bytes) -> None:
        self._leaving[message.process] = set(self._head.nodes)
        for node in self._head.nodes.values():
            node.link.send(message)

    def _on_gathered(self, node: NodeRecord, message: wire.Gathered, _payload: bytes) -> None:
        left = self._leaving.get(message.process)
        if left is None:
            return
        left.discard(node.entry.number)
        home = self._head.node_of_process(message.process)
        if not left and home is not None:
            del self._leaving[message.process]
            home.link.send(message)

    def _flow(self, process: bytes, home: NodeRecord) -> Outflow:
        flow = self._flows.get(process)
        if flow is None:
            link = home.link
            flow = self._flows[process] = Outflow(
                self._head.reactor,
                lambda: link.unsent,
                lambda message, lines: link.tell(message, [lines]),
                wire.Show(process, "air", True),
            )
        return flow
