"""A process speaks of its tasks that have waited for long: once they have, and ever more seldom."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from air_cluster.core.lateness import LOOK_S, Lateness
from air_cluster.core.references import Entry
from air_cluster.protocol.ids import object_id
from air_cluster.protocol.messages import Notice
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.client.client import Client

logger = logging.getLogger("air")

_MAX_LINES = 5
_LOOKED_AT = 100
"""Of the tasks that wait for arguments, the oldest."""

_ASK_S = 1.0
_AWAITED = "a value has been awaited"


class LateTasks:
    """Finds tasks for which nothing moves, and says what they wait for.

    Of tasks that want the same kind of worker, that is the first in their queue: while the queue
    moves, however long it is, nothing has to be said. What waits for arguments is spoken of where
    these are made, save for those that come from other processes: these may not know any more.
    The same goes for what coroutines wait for; ``air.get`` speaks for itself.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.late: Lateness[bytes] = Lateness()
        self._next = 0.0
        client.peers.handle(Notice, _on_notice)

    def tick(self, now: float) -> None:
        """Time passes; called under the lock."""
        if now >= self._next:
            self._next = now + LOOK_S
            self.look(now)

    def look(self, now: float) -> None:
        """Say what has to be said now, from a thread that may wait for answers."""
        submitter = self._client.submitter
        waiting = {task_id: count - 1 for task_id, count in submitter.scheduler.firsts().items()}
        for record in islice(submitter.records.values(), _LOOKED_AT):
            missing = record.arguments.missing if record.missing else ()
            if missing and not missing[0].owned:
                waiting[record.task_id] = 0
        values = self._awaited(waiting)
        due = self.late.due([*waiting, *values], now)
        for key in list(due)[:_MAX_LINES]:
            if key in values:
                say = partial(self._client.explaining.late, [values[key]], due[key], _AWAITED)
            else:
                say = partial(self._say, key, waiting[key])
            self._client.in_helper(say)

    def _awaited(self, late_tasks: Iterable[bytes]) -> dict[bytes, Entry]:
        """Values of other processes that coroutines and futures wait for, or calls of actors."""
        client = self._client
        records = client.submitter.records
        late = [records[task_id] for task_id in late_tasks if task_id in records]
        spoken = {record.arguments.missing[0].id for record in late if record.missing}
        entries = map(client.references.get, islice(client.objects.watched(), _LOOKED_AT))
        return {
            entry.id: entry
            for entry in entries
            if entry is not None and not entry.owned and entry.id not in spoken
        }

    def _say(self, task_id: bytes, others: int) -> None:
        client = self._client
        deadline = time.monotonic() + _ASK_S
        told = client.explaining.one(object_id(task_id, 0), client.address, deadline).text
        with client.reactor.lock:
            if task_id not in client.submitter.records or client.closed:
                return
        more = f"; {others} more tasks wait for the same" if others else ""
        logger.warning("%s%s", told, more)


def _on_notice(_connection: Connection, message: Notice, _payload: object) -> None:
    logger.warning("%s", message.text)
