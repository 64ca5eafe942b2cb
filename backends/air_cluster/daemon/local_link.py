"""The link between a node and the head in one process."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

from air_cluster.protocol.codec import Message
from air_cluster.protocol.frames import Buffer
from air_cluster.protocol.head_messages import Joined
from air_cluster.transport.reactor import Reactor

logger = logging.getLogger(__name__)


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
        if len(self._queue) == 1:
            self._reactor.call_soon(self._deliver_all)

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

    def _deliver_all(self) -> None:
        while self._queue:
            message, payload = self._queue[0]
            try:
                self._deliver(message, payload)
            except Exception:
                # As of those that come over a socket: the messages behind it must not wait for it.
                logger.exception("handling %s failed", type(message).__name__)
            self._queue.popleft()
