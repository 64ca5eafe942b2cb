"""What a process knows of the way to the head: whether it pays to wait for answers from there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from air.errors import BackendError
from air_cluster.protocol.messages import HeadState
from air_cluster.transport.reactor import Reactor

if TYPE_CHECKING:
    from air_cluster.transport.connection import Connection

_PATIENCE_S = 1.0
"""A link that breaks is there again sooner, as a rule."""


class HeadWatch:
    """Hears from the node when its head is away, and when it is back.

    Attributes:
        missing: once it has been away for longer than a moment, what the node says of that. Who
            only looks, as the commands do, waits no longer then; programs do.
    """

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._state = HeadState()
        self.missing = ""

    def on_state(self, _connection: Connection, message: HeadState, _payload: object) -> None:
        """The node tells; a handler of messages."""
        self._state, self.missing = message, ""
        if message.away:
            self._reactor.call_later(_PATIENCE_S, partial(self._give_up, message))

    def _give_up(self, message: HeadState) -> None:
        if self._state is message:
            self.missing = message.away

    def wait(self) -> None:
        """Let a head that is away come back.

        Raises:
            BackendError: it does not, within seconds.
        """
        self._reactor.wait_for(lambda: self.missing or not self._state.away)
        self.check()

    def check(self) -> None:
        """Complain about a head that has been away for longer than a moment.

        Raises:
            BackendError: it has; says since when, and what to do.
        """
        if self.missing:
            raise BackendError(self.missing)
