"""The link between a node and the head in one process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from air_cluster.protocol.codec import Message
from air_cluster.protocol.frames import Buffer
from air_cluster.protocol.head_messages import Joined
from air_cluster.transport.reactor import Reactor


class LocalLink:
    """Delivers messages in order and in the same round of events, but never at once.

    Whoever sends one is in the middle of something, as it would be if the other side were on
    another machine.
    """

    def __init__(self, reactor: Reactor, deliver: Callable[[Message, bytes], None]) -> None:
        self._reactor = reactor
        self._deliver = deliver
        self._queue: deque[tuple[Message, bytes]] = deque()

    def send(self, message: Message, payload: Sequence[Buffer] = ()) -> None:
        """Deliver a message soon."""
        self._queue.append((message, b"".join(payload)))
        self._reactor.call_soon(self._next)

    def tell(self, message: Message, payload: Sequence[Buffer] = ()) -> None:
        """Deliver a message soon."""
        self.send(message, payload)

    @property
    def unsent(self) -> int:
        """Nothing waits for longer than a round of events."""
        return 0

    def greet(self, hello: Joined) -> None:
        """Deliver the first message of all."""
        self.send(hello)

    def _next(self) -> None:
        self._deliver(*self._queue.popleft())
