"""Questions that everybody answers: what runs, what waits, who owns what.

No process knows that of others. The head passes a question on to all nodes, a node to all
processes on it, and the answers come back the same way, each by itself: nobody on the way waits
for anybody or keeps anything. Who asks is told how many answers there will be, and decides how
long to wait.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from air_cluster.core.listings import WorkerInfo
from air_cluster.core.workers import WorkerState
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol import messages
from air_cluster.protocol.codec import encode
from air_cluster.protocol.log_questions import LOGS_TOPIC, Question, Told
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.daemon.head import ClientRoute, HeadService, NodeRecord
    from air_cluster.daemon.node import NodeDaemon

SLICES_TOPIC = "slices"
"""What processes have run: of those that have ended, the node tells it."""

_KEPT, _KEPT_BYTES = 1000, 2 << 20
"""Of so many of them, and no more than that of what they said."""

_STATES = {
    WorkerState.STARTING: "STARTING",
    WorkerState.IDLE: "IDLE",
    WorkerState.LEASED: "LEASED",
    WorkerState.DEDICATED: "ACTOR",
    WorkerState.STOPPING: "STOPPING",
}


class HeadSurveys:
    """Passes questions on to nodes, and answers on to who asked."""

    def __init__(self, head: HeadService) -> None:
        self._head = head
        head.on_client(messages.Survey, self._on_survey)
        head.on_node(wire.PassOn, self._on_pass_on)

    def _on_survey(self, client: ClientRoute, message: messages.Survey, _p: bytes) -> None:
        nodes = list(self._head.nodes.values())
        names = [node.entry.name for node in nodes]
        client.send(messages.Roll(message.request, 0, names, list(self._head.nodes)))
        look = wire.LookAround(
            client.peer, message.request, message.topic, message.processes, message.question
        )
        for node in nodes:
            node.link.send(look)

    def _on_pass_on(self, _node: NodeRecord, message: wire.PassOn, payload: bytes) -> None:
        self._head.pass_to_client(message.process, message.body, [payload])


class NodeSurveys:
    """Passes questions on to the processes of a node, and says which there are."""

    def __init__(self, node: NodeDaemon) -> None:
        self._node = node
        self._last_words: deque[tuple[bytes, bytes]] = deque()
        self._kept_bytes = 0
        node.peers.handle(messages.LastWords, self._on_last_words)
        node.on_head(wire.LookAround, self._on_look_around)
        node.peers.handle(messages.Sight, self._on_sight)

    def _on_look_around(self, message: wire.LookAround, _payload: bytes) -> None:
        node = self._node
        asked = {}
        if message.processes:  # the asker answers itself
            asked = {r.process: r for r in node.clients.others(message.asker)}
        # Before the roll: with that, and the answers of all who are on it, the asker is content.
        if message.topic == SLICES_TOPIC:
            for process, told in self._last_words:
                sight = messages.Sight(message.asker, message.request, process)
                node.uplink.send(wire.PassOn(message.asker, encode(sight)), [told])
        present = self._present(set(asked))
        entry = node.nodes.get(node.number)
        host = "" if entry is None else entry.host
        if message.topic == LOGS_TOPIC:
            self._tell_of_logs(message)
        roll = messages.Roll(message.request, node.number, [], [], node.name, host, present)
        node.uplink.send(wire.PassOn(message.asker, encode(roll)))
        look = messages.Look(message.asker, message.request, message.topic, message.question)
        for record in asked.values():
            record.connection.send(look)

    def _on_last_words(self, connection: Connection, _m: messages.LastWords, told: bytes) -> None:
        self._last_words.append((connection.peer, bytes(told)))
        self._kept_bytes += len(told)
        while self._kept_bytes > _KEPT_BYTES or len(self._last_words) > _KEPT:
            self._kept_bytes -= len(self._last_words.popleft()[1])

    def _tell_of_logs(self, message: wire.LookAround) -> None:
        """What the node itself has to say; it comes before its list, which ends the answer."""
        from air_cluster.daemon import log_reading

        node, directory = self._node, self._node.workers.pool.outputs.files.path
        question = msgspec.msgpack.decode(message.question, type=Question)
        if not question.name:
            told = Told(log_reading.listed(directory))
        elif question.node == node.name:
            told = Told(text=log_reading.read(directory, question))
        else:
            return
        sight = messages.Sight(message.asker, message.request, node.number.to_bytes(8, "big"))
        node.uplink.send(wire.PassOn(message.asker, encode(sight)), [msgspec.msgpack.encode(told)])

    def _present(self, answering: set[bytes]) -> list[messages.Present]:
        node = self._node
        found = {
            record.process: messages.Present(
                record.process, record.kind, record.os_pid, "DRIVER", record.process in answering
            )
            for record in node.clients.drivers()
        }
        for info in node.scheduler.workers():
            process = node.workers.process(info.worker_id)
            if process:
                pid = node.workers.pool.pid_of(process)
                found[process] = _worker(info, process, pid, process in answering)
        return list(found.values())

    def _on_sight(self, _c: Connection, message: messages.Sight, payload: bytes) -> None:
        self._node.uplink.send(wire.PassOn(message.asker, encode(message)), [payload])


def _worker(info: WorkerInfo, process: bytes, pid: int, answers: bool) -> messages.Present:
    return messages.Present(
        process,
        "worker",
        pid,
        _STATES[info.state],
        answers,
        info.actor_id or b"",
        info.blocked,
        {} if info.shape is None else info.shape.resources.to_dict(),
    )
