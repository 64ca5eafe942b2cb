"""Finding one of many nodes that has room, without looking at all of them.

A node's free resources are a *vector*; it has room for a request if no component of that is
larger. :class:`MaxTree` finds the first in a row of nodes that has room: over the row stands a
binary tree whose inner vertices know the largest of each component below them, and what is
below a vertex that is too small need not be looked at. Changing a node and finding one take
logarithmic time; the latter as long as a vertex that is large enough in every component mostly
has a node below it that is, too.

:class:`FitIndex` keeps nodes sorted into coarse levels, each a row, and finds the first in the
lowest level. By free CPUs, that is best fit (up to the width of a level); by load, the
idlest node.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Vector = tuple[float, ...]
T = TypeVar("T")


class MaxTree(Generic[T]):
    """A row of items with vectors; new and renewed ones go to its end."""

    def __init__(self) -> None:
        self._leaves = 1
        self._end = 0
        self._most: list[Vector | None] = [None, None]
        self._items: list[T | None] = [None]
        self._slots: dict[T, int] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[T]:
        """The items, in their order."""
        return (item for item in self._items if item is not None)

    def vector(self, item: T) -> Vector | None:
        """The vector of an item; ``None`` if it is not here."""
        slot = self._slots.get(item)
        return None if slot is None else self._most[self._leaves + slot]

    def append(self, item: T, vector: Vector) -> None:
        """Put an item at the end, where it was not here."""
        if self._end == self._leaves:
            self._rebuild()
        slot = self._end
        self._end += 1
        self._slots[item] = slot
        self._items[slot] = item
        self._set(slot, vector)

    def change(self, item: T, vector: Vector) -> None:
        """Change the vector of an item, which stays where it is."""
        self._set(self._slots[item], vector)

    def remove(self, item: T) -> None:
        """Take an item out."""
        slot = self._slots.pop(item)
        self._items[slot] = None
        self._set(slot, None)

    def find(self, wanted: Vector, accepts: Callable[[T], bool]) -> T | None:
        """The first item that is large enough and accepted."""
        return next(filter(accepts, self.walk(wanted)), None)

    def walk(self, wanted: Vector) -> Iterator[T]:
        """The items that are large enough, in their order; nothing may change meanwhile."""
        most, leaves = self._most, self._leaves
        stack = [1]
        while stack:
            at = stack.pop()
            vector = most[at]
            if vector is None or not all(map(operator.ge, vector, wanted)):
                continue
            if at < leaves:
                stack.append(2 * at + 1)
                stack.append(2 * at)
                continue
            item = self._items[at - leaves]
            assert item is not None
            yield item

    def _set(self, slot: int, vector: Vector | None) -> None:
        most = self._most
        at = self._leaves + slot
        most[at] = vector
        while at > 1:
            at //= 2
            larger = _larger(most[2 * at], most[2 * at + 1])
            if larger == most[at]:
                break
            most[at] = larger

    def _rebuild(self) -> None:
        """Close the gaps, and make room for as many again as there are."""
        rows = [(item, self._most[self._leaves + slot]) for item, slot in self._slots.items()]
        rows.sort(key=lambda row: self._slots[row[0]])
        self._leaves = 1
        while self._leaves < 2 * len(rows):
            self._leaves *= 2
        self._end = len(rows)
        spare = self._leaves - self._end
        self._slots = {item: slot for slot, (item, _) in enumerate(rows)}
        self._items = [*(item for item, _ in rows), *([None] * spare)]
        self._most = [None] * self._leaves + [vector for _, vector in rows] + [None] * spare
        for at in range(self._leaves - 1, 0, -1):
            self._most[at] = _larger(self._most[2 * at], self._most[2 * at + 1])

    def check(self) -> None:
        """Assert that inner vertices stand over what they know of."""
        for item, slot in self._slots.items():
            assert self._items[slot] is item
            assert slot < self._end
        assert sum(item is not None for item in self._items) == len(self._slots)
        for at in range(1, self._leaves):
            assert self._most[at] == _larger(self._most[2 * at], self._most[2 * at + 1])


class FitIndex(Generic[T]):
    """Items with vectors on levels, which are small whole numbers from 0 on.

    Args:
        in_turn: whether items go to the end of their level whenever they change, so that equal
            ones are found in turn; else they stay where they are while they are on a level.
    """

    def __init__(self, *, in_turn: bool = False) -> None:
        self._in_turn = in_turn
        self._trees: list[MaxTree[T]] = []
        self._levels: dict[T, int] = {}
        self._filled = 0  # a bit for each level that is not empty

    def put(self, item: T, level: int, vector: Vector) -> None:
        """Enter an item, or note that it has changed."""
        known = self._levels.get(item)
        if known == level and not self._in_turn:
            self._trees[level].change(item, vector)
            return
        if known is not None:
            self.remove(item)
        while len(self._trees) <= level:
            self._trees.append(MaxTree())
        self._levels[item] = level
        self._filled |= 1 << level
        self._trees[level].append(item, vector)

    def remove(self, item: T) -> None:
        """Take an item out, if it is here."""
        level = self._levels.pop(item, None)
        if level is None:
            return
        tree = self._trees[level]
        tree.remove(item)
        if not tree:
            self._filled &= ~(1 << level)

    def find(self, wanted: Vector, accepts: Callable[[T], bool], lowest: int = 0) -> T | None:
        """The first item, of the lowest level from *lowest* on, that has room and is accepted."""
        return next(filter(accepts, self.walk(wanted, lowest)), None)

    def walk(self, wanted: Vector, lowest: int = 0) -> Iterator[T]:
        """The items that have room, by level from *lowest* on; nothing may change meanwhile."""
        filled = self._filled >> lowest << lowest
        while filled:
            lowest_bit = filled & -filled
            yield from self._trees[lowest_bit.bit_length() - 1].walk(wanted)
            filled ^= lowest_bit

    def entry(self, item: T) -> tuple[int, Vector | None] | None:
        """Level and vector of an item; ``None`` if it is not here."""
        level = self._levels.get(item)
        return None if level is None else (level, self._trees[level].vector(item))

    def __len__(self) -> int:
        return len(self._levels)

    def check(self) -> None:
        """Assert that levels and trees agree."""
        assert sum(map(len, self._trees)) == len(self._levels)
        for item, level in self._levels.items():
            assert self._trees[level].vector(item) is not None
        for level, tree in enumerate(self._trees):
            tree.check()
            assert bool(tree) == bool(self._filled >> level & 1)


LEVELS = 128


def level_of(amount: float) -> int:
    """The level of a free amount: half a unit wide at the bottom, then about a tenth of it."""
    return min(LEVELS - 1, int(8 * math.log2(2 * amount + 1))) if amount > 0 else 0


def _larger(left: Vector | None, right: Vector | None) -> Vector | None:
    if left is None or right is None:
        return right if left is None else left
    return tuple(map(max, left, right))
