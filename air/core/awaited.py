"""What ``air.wait`` is given, which is often what it has left the last time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from air.errors import InvalidOption
from air.executor.handles import ObjectRef

_FEW, _MANY = 8, 10_000


class Awaited:
    """Refuses references that occur twice.

    Programs wait for one after the other of many, and give back each time what was left. To see
    that a list is the one that is known takes a third of the time of finding out that no two of its
    members are equal; so identities are kept, as long as there are not very many.
    """

    def __init__(self) -> None:
        self._distinct: list[bytes] = []

    def check(self, refs: Sequence[ObjectRef[Any]]) -> list[bytes]:
        """The identities of *refs*.

        Raises:
            InvalidOption: one of them occurs twice.
        """
        identities = [ref.id for ref in refs]
        if identities != self._distinct and len(set(identities)) != len(identities):
            raise InvalidOption("air.wait got the same reference more than once")
        return identities

    def keep(self, identities: list[bytes], ready: Sequence[ObjectRef[Any]]) -> None:
        """These were checked, and all but *ready* are left."""
        if len(ready) > _FEW or len(identities) > _MANY:
            self._distinct = []
            return
        for ref in ready:
            identities.remove(ref.id)
        self._distinct = identities
