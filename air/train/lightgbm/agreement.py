"""What all workers think of a round, put together.

LightGBM's workers grow the same trees, but each evaluates its own rows only. Metrics that are means
over rows are the weighted mean of theirs, and those of roots the root of the mean of squares; of
others (``auc`` and ``average_precision``) the weighted mean is an approximation.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

_ROOTS = frozenset({"rmse", "root_mean_squared_error", "l2_root"})
"""Metrics that are the root of a mean."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a worker says after a round.

    Attributes:
        values: of each metric, in one order for all workers.
        weights: of the rows that each was computed on.
        names: of the metrics.
        stops: whether it wants to stop.
    """

    values: tuple[float, ...]
    weights: tuple[float, ...]
    names: tuple[str, ...]
    stops: bool


def agreed(opinions: Sequence[Opinion]) -> tuple[list[float], bool]:
    """The metrics of all rows, and whether anyone wants to stop."""
    metrics = []
    for place, name in enumerate(opinions[0].names):
        power = 2 if name in _ROOTS else 1
        parts = [(one.values[place], one.weights[place]) for one in opinions]
        total = sum(weight for _, weight in parts)
        mean = sum(value**power * weight for value, weight in parts if weight) / total
        metrics.append(math.sqrt(mean) if power == 2 else mean)
    return metrics, any(one.stops for one in opinions)


class Agreement:
    """An actor that all workers tell what they think; each learns what comes of it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._opinions: dict[int, Opinion] = {}
        self._result: asyncio.Future[tuple[list[float], bool]] | None = None

    async def reach(self, rank: int, opinion: Opinion) -> tuple[list[float], bool]:
        """Waits for the other workers."""
        if self._result is None:
            self._result = asyncio.get_running_loop().create_future()
        result = self._result
        self._opinions[rank] = opinion
        if len(self._opinions) == self._size:
            opinions = [self._opinions[each] for each in range(self._size)]
            self._opinions, self._result = {}, None
            result.set_result(agreed(opinions))
        return await result
