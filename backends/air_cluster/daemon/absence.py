"""A node whose head is out of reach: what its programs are told."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from air_cluster.protocol import messages
from air_cluster.session_files import waits_for_head

if TYPE_CHECKING:
    from air_cluster.daemon.node import NodeDaemon
    from air_cluster.transport.connection import Connection

logger = logging.getLogger(__name__)


class Absence:
    """Whether the head is away, and for how long already.

    Processes that are there hear of it at once; those that come meanwhile hear of it before they
    are welcomed, so that nobody who has just joined waits for answers that cannot come.
    """

    def __init__(self, node: NodeDaemon) -> None:
        self._node = node
        self._state = messages.HeadState()

    @property
    def is_now(self) -> bool:
        """Whether the head is away."""
        return bool(self._state.away)

    def begins(self, reason: str) -> None:
        """The head cannot be reached."""
        logger.warning("%s; waiting for it", reason)
        self._tell(messages.HeadState(waits_for_head(reason, time.time())))
        self._say(f"{reason}; waiting for it")

    def ends(self) -> None:
        """It can be reached again."""
        logger.warning("the head is back")
        self._tell(messages.HeadState())
        self._say("the head is back")

    def greet(self, connection: Connection) -> None:
        """A process registers."""
        if self._state.away:
            connection.send(self._state)

    def _tell(self, state: messages.HeadState) -> None:
        self._state = state
        for record in self._node.clients.all():
            record.connection.send(state)

    def _say(self, text: str) -> None:
        """Have the programs on this node show something to people."""
        lines = messages.LogLines(f"node {self._node.name}", True)
        for record in self._node.clients.drivers():
            if record.wants_logs:
                record.connection.send(lines, [f"{text}\n".encode()])
