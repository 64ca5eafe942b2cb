"""Which pools of a plan are there at the same time, though in segments of their own.

A segment takes the blocks of another as they are made, so the pools of both are there together,
unless a step between them begins only when all rows are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from air.data.execution.shares import Beside, request_of
from air.data.execution.stages import Stage
from air.data.plan import (
    Aggregate,
    Distinct,
    GroupRows,
    Map,
    Node,
    RandomizeBlockOrder,
    RandomShuffle,
    Repartition,
    Sort,
    TopOf,
)
from air.executor.resources import Resources

BEGIN_LATE: tuple[type[Node], ...] = (
    Aggregate,
    Distinct,
    GroupRows,
    RandomShuffle,
    RandomizeBlockOrder,
    Repartition,
    Sort,
    TopOf,
)
"""Steps that begin when all rows of the steps before are there."""


@dataclass(slots=True)
class Held:
    """What the pools of a segment hold when they have grown; known when it has begun."""

    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What there is beside the segments in one place of a plan.

    Attributes:
        above: the segments that take what is made there, as it is made.
        are_later: whether those have no pools yet while any of these has.
        needed: what the segments need whose blocks it takes.
        takes_made: whether there are any.
    """

    above: tuple[Held, ...] = ()
    are_later: bool = False
    needed: Resources = field(default_factory=Resources)
    takes_made: bool = False

    def within(self, node: Node) -> Neighbours:
        """What there is beside the segments that a step other than a map runs by itself."""
        is_late = isinstance(node, BEGIN_LATE)
        below = () if is_late else node.inputs
        needed = most_of([needed_for(one) for one in below])
        return replace(
            self, are_later=self.are_later or is_late, needed=needed, takes_made=bool(below)
        )

    def taking(self, node: Node) -> Neighbours:
        """What there is beside a chain of maps in this place that takes the blocks of *node*."""
        return replace(self, needed=needed_for(node), takes_made=bool(node.inputs))

    def below(self, held: Held) -> Neighbours:
        """What there is beside those whose blocks a segment here takes, which holds *held*."""
        return Neighbours((*(() if self.are_later else self.above), held))

    def beside(self, has_pools: bool) -> Beside:
        """What others need while its tasks run, and its pools if it has any.

        Tasks keep nothing from those whose blocks they take: they end.
        """
        held = Resources()
        if not (self.are_later and has_pools):
            for one in self.above:
                held += one.resources
        return Beside(held, self.needed, self.takes_made) if has_pools else Beside(held)


def needed_for(node: Node) -> Resources:
    """What one actor of each pool needs that makes blocks of *node* as they are taken.

    Of several inputs one is worked on at a time.
    """
    needed = Resources()
    while isinstance(node, Map):
        if node.compute.pool is not None or node.compute.asked:
            needed += request_of(Stage(compute=node.compute))
        node = node.input
    if isinstance(node, BEGIN_LATE):
        return needed
    return needed + most_of([needed_for(below) for below in node.inputs])


def most_of(several: Sequence[Resources]) -> Resources:
    """Enough for any one of several."""
    most: dict[str, float] = {}
    for one in several:
        for name, quantity in one.items():
            most[name] = max(most.get(name, 0.0), quantity)
    return Resources(most)
