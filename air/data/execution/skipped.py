"""Rows that operators of a run leave out: counted, and published, in the order of the data.

Where results are kept, so are these counts, with the blocks; and the rows, until all is done. A
program that goes on after another counts them again when it comes to the blocks.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from air.data.blocks.handle import BlockHandle
from air.data.checkpointing.keepers import SaveBlocks
from air.data.errors import StaleCheckpoint
from air.data.execution.stages import Stage
from air.data.execution.stats import StageStats
from air.data.transforms import Transform
from air.data.udf.calling import Call
from air.data.udf.dead_letters import DeadLetters
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

    def __init__(
        self, stages: Sequence[Stage], stats: Sequence[StageStats], place: str = ""
    ) -> None:
        """Begin.

        Args:
            place: in which part of what was divided the stages work, if it was.
        """
        self._operators: dict[int, _Operator] = {}
        self._place = f"{place}-" if place else ""
        keeper = stages[-1].keeper if stages else None
        self._keeper = keeper if isinstance(keeper, SaveBlocks) else None
        self._keys = itertools.count()
        self.stages = [
            replace(stage, transforms=tuple(self._of_run(t, one) for t in stage.transforms))
            for stage, one in zip(stages, stats, strict=True)
        ]

    def _of_run(self, transform: Transform, stats: StageStats) -> Transform:
        key = next(self._keys)
        if not isinstance(transform, Call) or transform.skips is None:
            return transform
        skips = transform.skips
        letters = skips.letters and self._letters(skips.letters, transform.name)
        skips = replace(skips, key=key, letters=letters)
        self._operators[key] = _Operator(transform.name, skips, stats)
        return transform.with_skips(skips)

    def _letters(self, letters: DeadLetters, name: str) -> DeadLetters:
        operator = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()  # no two have one name
        prefix = f"{self._place}{operator}-"
        if self._keeper is None:
            return letters.of_run(secrets.token_hex(8), prefix)
        return letters.kept(self._keeper.filesystem, self._keeper.directory, prefix)

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
            operator = self._operators.get(one.key)
            if operator is None:
                raise StaleCheckpoint(
                    f"checkpointed: {one.count} rows of what is kept were left out by an operator"
                    f" (the first with {one.first}) that does not leave out any now. Say"
                    " on_error='skip' again, or give another directory"
                )
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
        for operator in self._operators.values():
            if operator.skips.letters is not None:
                operator.skips.letters.clean()
