"""The runtime environments that a node was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from air_cluster.protocol.ids import node_of
from air_cluster.protocol.messages import Environment, Shape

if TYPE_CHECKING:
    from air_cluster.daemon.node import NodeDaemon

_FORGET_ABOVE = 64


class Environments:
    """Knows them by their keys, as long as there are workers of theirs or somebody waits for some.

    Whoever asks for workers says which environment theirs is each time.
    """

    def __init__(self, node: NodeDaemon) -> None:
        self._node = node
        self._known: dict[bytes, Environment] = {}
        self._forget_above = _FORGET_ABOVE

    def know(self, shape: Shape) -> None:
        """Somebody is about to ask for a worker of this shape."""
        environment = shape.environment
        if environment.key and environment.key not in self._known:
            if len(self._known) >= self._forget_above:
                self._forget_unused()
            self._known[environment.key] = environment

    def get(self, key: bytes) -> Environment | None:
        """The environment of that key, unless it is empty."""
        return self._known[key] if key else None

    def program_gone(self, process: bytes) -> None:
        """A process is gone: if it was a program, its environments are over."""
        self._end(lambda job: job == process)

    def node_gone(self, number: int) -> None:
        """A node is gone, with the programs on it."""
        self._end(lambda job: node_of(job) == number)

    def _end(self, is_gone: Callable[[bytes], bool]) -> None:
        scheduler, now = self._node.scheduler, time.monotonic()
        for environment in self._known.values():
            if environment.job and is_gone(environment.job):
                self._node.follow(scheduler.environment_over(environment.key, now))

    def _forget_unused(self) -> None:
        used = self._node.scheduler.environments()
        self._known = {key: known for key, known in self._known.items() if key in used}
        self._forget_above = max(_FORGET_ABOVE, 2 * len(self._known))
