"""Questions, most of them to the daemon, that a thread waits for the answers of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from air.errors import NodeDied
from air_cluster.protocol.codec import Message
from air_cluster.protocol.frames import Buffer
from air_cluster.transport.connection import Connection
from air_cluster.transport.reactor import Reactor

Make = Callable[[int], tuple[Message, Sequence[Buffer]]]


class Requests:
    """Numbers questions and keeps the answers until their askers have taken them."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._next = 0
        self._answers: dict[int, Any] = {}
        self._lost: str | None = None

    def ask(self, connection: Connection, make: Make) -> Any:
        """Send what *make* gives for a fresh number, and wait for the answer.

        Raises:
            NodeDied: the daemon is gone.
        """
        return self.ask_daemon(connection, make, None)

    def ask_daemon(self, connection: Connection, make: Make, deadline: float | None) -> Any:
        """The same, but ``None`` if there is no answer before *deadline*.

        Raises:
            NodeDied: the daemon is gone.
        """
        answer = self.ask_peer(connection, make, deadline)
        if answer is None and (deadline is None or self._lost or connection.is_lost):
            raise NodeDied(f"the daemon of this node is gone ({self._lost or 'shut down'})")
        return answer

    def ask_peer(
        self,
        connection: Connection,
        make: Make,
        deadline: float | None = None,
        hopeless: Callable[[], object] = lambda: False,
    ) -> Any:
        """The same of another process; ``None`` if it ends, or time does, before it has answered.

        Args:
            deadline: in seconds of the monotonic clock.
            hopeless: whether to wait no longer; called under the lock after events.
        """
        with self._reactor.lock:
            self._next += 1
            number = self._next
            self._answers[number] = None
            message, payload = make(number)
            connection.send(message, payload)
        self._reactor.wait_for(
            lambda: (
                self._lost or connection.is_lost or self._answers[number] is not None or hopeless()
            ),
            deadline,
        )
        with self._reactor.lock:
            return self._answers.pop(number)

    def answered(self, number: int, answer: Any) -> None:
        """An answer came; called under the lock."""
        if number in self._answers:
            self._answers[number] = answer

    def fail(self, reason: str) -> None:
        """No answers will come any more."""
        self._lost = reason
