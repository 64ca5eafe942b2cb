"""Messages to those who are busy anyway are sent several at a time: calls, and async answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from air_cluster.transport.connection import Connection
    from air_cluster.transport.reactor import Reactor

_MAX_CALLS = 32


class Gathering:
    """Connections on which calls wait for more, to go out in one write.

    The answers of async actors wait in one of their own (``worker/reporter.py``), until the last of
    those that arrived together has begun.

    To hand one message to the kernel takes a fifth of the time that a call takes its caller, and
    the actor is woken for each. So the calls of an actor that has others in flight wait for the
    next of these moments:

    * this process waits, or serves events: at the latest when the background thread does, a few
      milliseconds after the call;
    * enough have been made: then the caller itself looks for answers too, see :meth:`pause`;
    * something else is sent that may count on their effects: a call of an idle actor, a task, a
      result. What different processes hear of this one is in no certain order, but it should not
      be milliseconds apart.

    All methods but :meth:`pause` are called under the reactor's lock.
    """

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._connections: dict[Connection, None] = {}
        self._calls = 0
        self._is_due = False

    @property
    def is_full(self) -> bool:
        """Whether enough wait to be sent."""
        return self._calls >= _MAX_CALLS

    def add(self, connection: Connection) -> None:
        """The call that is sent next on a connection may wait."""
        self._calls += 1
        if connection in self._connections:
            return
        connection.cork()
        self._connections[connection] = None
        if not self._is_due:
            self._is_due = True
            self._reactor.call_last(self._end_of_round)

    def _end_of_round(self) -> None:
        self._is_due = False
        self.flush()

    def flush(self) -> None:
        """Send all that waits."""
        if self._connections:
            connections, self._connections = self._connections, {}
            self._calls = 0
            for connection in connections:
                connection.uncork()

    def pause(self) -> None:
        """Send all, and take in the answers that are there; called without the lock.

        Who makes many calls does this better itself now and then than the background thread, which
        would wake up for each answer and take the lock and the interpreter from it.
        """
        self._reactor.serve()
        with self._reactor.lock:
            self.flush()
