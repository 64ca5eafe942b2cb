"""Rows and blocks by chance."""

from __future__ import annotations

from typing import Self

from air.data.arguments import check_seed
from air.data.consumption import Consumption
from air.data.plan import RandomizeBlockOrder, RandomSample
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_number


@methods_suggest_keywords
class SampleMethods(Consumption):
    """The part of :class:`air.data.Dataset` that draws."""

    def random_sample(self, fraction: float, *, seed: int | None = None) -> Self:
        """About *fraction* of the rows, in their order; each is drawn for itself.

        Args:
            fraction: from 0 to 1.
            seed: the same seed gives the same rows of the same data, however they are divided
                into blocks and wherever they are. ``None`` draws one now.

        Raises:
            InvalidOption: *fraction* is not from 0 to 1, or *seed* is negative or no whole number.
        """
        share = float(check_number(fraction, "random_sample: fraction", minimum=0))
        if not share <= 1:
            raise InvalidOption(f"random_sample: fraction must be from 0 to 1, got {fraction!r}")
        drawn = check_seed(seed)
        return self.over(lambda plan: RandomSample(plan, share, drawn))

    def randomize_block_order(self, *, seed: int | None = None) -> Self:
        """The same blocks in random order, each as it is; blocks that are read are read so.

        Cheap beside :meth:`random_shuffle`, and less random.

        Args:
            seed: the same seed gives the same order of the same number of blocks. ``None``
                draws one now.

        Raises:
            InvalidOption: *seed* is negative or no whole number.
        """
        drawn = check_seed(seed)
        return self.over(lambda plan: RandomizeBlockOrder(plan, drawn))
