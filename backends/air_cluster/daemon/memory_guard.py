"""Ends the worker that uses most before the kernel ends something when memory runs out."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from air_cluster.core.memory_watch import MemoryWatch, Victim
from air_cluster.daemon.memory_use import MemoryUse, private_bytes
from air_cluster.marks import node_of_session

if TYPE_CHECKING:
    from air_cluster.daemon.node import NodeDaemon

logger = logging.getLogger(__name__)


class MemoryGuard:
    """Looks at a node's memory now and then, the more often the less there is left.

    Args:
        session: the directory of the node's session.
        limit: bytes that the workers of this node may use together; ``None`` for all there are.
    """

    def __init__(self, node: NodeDaemon, session: str, limit: int | None) -> None:
        self._node = node
        self._mark = node_of_session(session)
        self._use = MemoryUse(limit)
        self._watch = MemoryWatch(node.name)
        self._look()

    def ended(self, worker: str) -> None:
        """A worker is gone."""
        self._watch.ended(worker)

    def _look(self) -> None:
        now = time.monotonic()
        usages = self._use.now(self._workers)
        if self._watch.is_short(usages, now):
            victim = self._watch.choose(usages, self._workers().items(), now)
            if victim is not None:
                self._end(victim)
        self._node.reactor.call_later(self._watch.next_look(usages), self._look)

    def _workers(self) -> Mapping[str, int]:
        return private_bytes(self._node.workers.working(), self._mark)

    def _end(self, victim: Victim) -> None:
        logger.warning("worker %s is ended: %s", victim.worker, victim.why)
        self._node.workers.end_for_memory(victim)
