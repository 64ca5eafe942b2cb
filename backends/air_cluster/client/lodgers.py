"""Memory of this process in which values of others lie, given back when those die."""

from __future__ import annotations

from collections.abc import Callable

from air_cluster.protocol.ids import node_of
from air_cluster.store.layout import Location
from air_cluster.store.writer import Writer


class Lodgers:
    """What tasks have returned lies where they ran, and is the caller's: all under the lock.

    A caller says when it needs a value no more. If it dies, nobody would ever say so. Others may
    still read what it has handed on to them, so the memory is not used again, and goes with the
    other values beside it.
    """

    def __init__(self, writer: Writer, is_dead: Callable[[bytes], bool]) -> None:
        self._writer = writer
        self._is_dead = is_dead
        self._of: dict[bytes, dict[tuple[int, int], Location]] = {}

    def add(self, owner: bytes, location: Location) -> None:
        """A value of *owner* was written here."""
        if self._is_dead(owner):
            self._writer.abandon(location)
            return
        self._of.setdefault(owner, {})[location.segment, location.offset] = location

    def freed(self, owner: bytes, location: Location) -> None:
        """It is needed no more."""
        found = self._of.get(owner)
        if found is not None:
            found.pop((location.segment, location.offset), None)
            if not found:
                del self._of[owner]

    def owner_gone(self, owner: bytes) -> None:
        """A process died, and what it owned is lost."""
        for location in self._of.pop(owner, {}).values():
            self._writer.abandon(location)

    def node_gone(self, number: int) -> None:
        """All processes of a node died."""
        for owner in [owner for owner in self._of if node_of(owner) == number]:
            self.owner_gone(owner)
