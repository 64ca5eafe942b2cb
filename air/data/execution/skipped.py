"""Rows that operators of a run leave out: counted, and published, in the order of the data."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from air.data.blocks.handle import BlockHandle
from air.data.execution.stages import Stage
from air.data.execution.stats import StageStats
from air.data.transforms import Transform
from air.data.udf.skipping import Skips, too_many, without_rejected


@dataclass(slots=True)
class _Operator:
    name: str
    skips: Skips
    stats: StageStats
    count: int = 0


class SkippedRun:
    """What the operators of some stages leave out while they run once.

    Attributes:
        stages: to run in place of those given; their operators know where to write.
    """

    def __init__(self, stages: Sequence[Stage], stats: Sequence[StageStats]) -> None:
        self._operators: list[_Operator] = []
        self.stages = [
            replace(stage, transforms=tuple(self._of_run(t, one) for t in stage.transforms))
            if any(transform.skips is not None for transform in stage.transforms)
            else stage
            for stage, one in zip(stages, stats, strict=True)
        ]

    def _of_run(self, transform: Transform, stats: StageStats) -> Transform:
        skips = transform.skips
        if skips is None:
            return transform
        letters = skips.letters and skips.letters.of_run(secrets.token_hex(8))
        skips = replace(skips, key=len(self._operators), letters=letters)
        self._operators.append(_Operator(transform.name, skips, stats))
        return transform.with_skips(skips)

    def __enter__(self) -> Self:
        return self

    def counted(self, handle: BlockHandle) -> bool:
        """Count what was left out before this block; whether there is more to it than that.

        Raises:
            TooManyErrors: an operator has left out more rows than it may, all its tasks together.
        """
        rejected = handle.metadata.rejected
        if not rejected:
            return True
        for one in rejected:
            operator = self._operators[one.key]
            operator.count += one.count
            operator.stats.skip(operator.name, one.count, one.first)
            if operator.skips.letters is not None:
                operator.skips.letters.publish(one.files)
            most = operator.skips.max_errors
            if most is not None and operator.count > most:
                raise too_many(operator.name, most, one.first)
        handle.metadata = without_rejected(handle.metadata)
        return handle.num_rows > 0 or handle.metadata.schema is not None

    def __exit__(self, *error: object) -> None:
        for operator in self._operators:
            if operator.skips.letters is not None:
                operator.skips.letters.clean()
