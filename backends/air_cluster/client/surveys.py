"""Asking every process of the cluster; see :mod:`air_cluster.daemon.surveys` for the way there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from air_cluster.protocol.ids import node_of
from air_cluster.protocol.messages import LastWords, Look, Present, Roll, Sight, Survey
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.client.client import Client
    from air_cluster.client.observing import Observing

_LISTED_SILENT = 20


class Place(msgspec.Struct, frozen=True):
    """Where a process is."""

    node_id: str
    host: str
    pid: int
    kind: str


class Gathered(msgspec.Struct):
    """What a survey has brought in.

    Attributes:
        nodes: which were asked, by number; ``None`` until the head has said so.
        rolls: what came of them, by their numbers.
        sights: what processes said, by their identities.
        gone: processes that ended meanwhile.
    """

    nodes: dict[int, str] | None = None
    rolls: dict[int, Roll] = msgspec.field(default_factory=dict)
    sights: dict[bytes, bytes] = msgspec.field(default_factory=dict)
    gone: set[bytes] = msgspec.field(default_factory=set)

    @property
    def present(self) -> dict[bytes, tuple[Roll, Present]]:
        """All processes that nodes have told of."""
        return {one.process: (roll, one) for roll in self.rolls.values() for one in roll.processes}

    @property
    def places(self) -> dict[bytes, Place]:
        """Where they are."""
        return {
            process: Place(roll.name, roll.host, one.pid, one.kind)
            for process, (roll, one) in self.present.items()
        }

    def missing(self) -> list[bytes]:
        """Processes that were asked, and have not answered."""
        return [
            process
            for process, (_, one) in self.present.items()
            if one.answers and process not in self.sights and process not in self.gone
        ]

    def is_complete(self, but_for: frozenset[bytes]) -> bool:
        """Whether all have answered, except perhaps some."""
        if self.nodes is None or not self.rolls.keys() >= self.nodes.keys():
            return False
        return but_for.issuperset(self.missing())

    def silent(self) -> list[str]:
        """Who has not answered, in words."""
        if self.nodes is None:
            return ["the head"]
        found = [f"node {name}" for number, name in self.nodes.items() if number not in self.rolls]
        places = self.places
        for process in self.missing():
            place = places[process]
            found.append(f"{place.kind} {process.hex()} (pid {place.pid} on node {place.node_id})")
        return found[:_LISTED_SILENT] + (["..."] if len(found) > _LISTED_SILENT else [])


class Surveys:
    """Asks, and answers others."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._next = 0
        self._under_way: dict[int, Gathered] = {}
        self._observing: Observing | None = None
        handle = client.peers.handle
        handle(Look, self._on_look)
        handle(Roll, self._on_roll)
        handle(Sight, self._on_sight)

    def ask(
        self,
        topic: str,
        question: bytes,
        deadline: float,
        *,
        processes: bool = True,
        but_for: frozenset[bytes] = frozenset(),
    ) -> Gathered:
        """What all have to say until *deadline*, in seconds of the monotonic clock.

        Args:
            processes: whether to ask these, or nodes alone.
            but_for: processes whose answer is not waited for.
        """
        client, gathered = self._client, Gathered()
        with client.reactor.lock:
            self._next += 1
            number = self._next
            self._under_way[number] = gathered
            if processes:
                gathered.sights[client.process_id] = self._answer(topic, question)
            client.daemon.send(Survey(number, topic, processes, question))
        try:
            client.waiting.wait_until(
                lambda: (
                    gathered.is_complete(but_for)
                    or client.daemon.closed
                    or bool(client.head.missing)
                ),
                max(0.0, deadline - time.monotonic()),
            )
        finally:
            with client.reactor.lock:
                del self._under_way[number]
        return gathered

    def last_words(self) -> None:
        """Leave with the node what this process has run, for whoever asks later."""
        client = self._client
        if client.endings.ran:
            me = client.actors.me
            actor_id = b"" if me is None else bytes(me[0])
            told = client.endings.slices(actor_id, client.node_id, client.pid)
            with client.reactor.lock:
                client.daemon.send(LastWords(), [msgspec.msgpack.encode(told)])

    def process_gone(self, process: bytes) -> None:
        """A process has ended: it will not answer; called under the lock."""
        for gathered in self._under_way.values():
            gathered.gone.add(process)

    def node_gone(self, number: int) -> None:
        """A node is dead, with its processes; called under the lock."""
        for gathered in self._under_way.values():
            gathered.gone.update(p for p in gathered.present if node_of(p) == number)
            if gathered.nodes is not None:
                gathered.nodes.pop(number, None)

    def _answer(self, topic: str, question: bytes) -> bytes:
        if self._observing is None:
            # Most programs never ask, and start sooner for it.
            from air_cluster.client.observing import Observing

            self._observing = Observing(self._client)
        return msgspec.msgpack.encode(self._observing.answer(topic, question))

    def _on_look(self, connection: Connection, message: Look, _payload: object) -> None:
        sight = Sight(message.asker, message.request, self._client.process_id)
        connection.send(sight, [self._answer(message.topic, message.question)])

    def _on_roll(self, _connection: Connection, message: Roll, _payload: object) -> None:
        gathered = self._under_way.get(message.request)
        if gathered is None:
            return
        if message.number:
            gathered.rolls[message.number] = message
        else:
            gathered.nodes = dict(zip(message.numbers, message.nodes, strict=True))

    def _on_sight(self, _connection: Connection, message: Sight, payload: bytes) -> None:
        gathered = self._under_way.get(message.request)
        if gathered is not None:
            gathered.sights[message.process] = bytes(payload)
