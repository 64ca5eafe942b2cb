"""Which rows there are in which blocks, and in which order."""

from __future__ import annotations

from typing import Self

from air.data.arguments import check_seed
from air.data.consumption import Consumption
from air.data.plan import RandomShuffle, Repartition
from air.executor.keywords import methods_suggest_keywords, refuses
from air.executor.validation import check_flag, check_number


@methods_suggest_keywords
class OrderMethods(Consumption):
    """The part of :class:`air.data.Dataset` that puts rows elsewhere."""

    def limit(self, limit: int) -> Self:
        """The first *limit* rows; no more than needed is read.

        Raises:
            InvalidOption: *limit* is negative or no whole number.
        """
        return self._head(limit, "limit")

    def repartition(self, num_blocks: int, *, shuffle: bool = False) -> Self:
        """The same rows in *num_blocks* blocks of equal size, in the same order.

        All input is made before the first block comes out.

        Args:
            shuffle: bring the rows into random order as well, so that each block has some of
                every part of the data: :meth:`random_shuffle` with *num_blocks*.

        Raises:
            InvalidOption: *num_blocks* is below 1 or no whole number.
        """
        count = int(check_number(num_blocks, "num_blocks", minimum=1, integer=True))
        if check_flag(shuffle, "repartition: shuffle"):
            return self.random_shuffle(num_blocks=count)
        return self.over(lambda plan: Repartition(plan, count))

    @refuses(ray_remote_args="shuffling takes a CPU for each block")
    def random_shuffle(self, *, seed: int | None = None, num_blocks: int | None = None) -> Self:
        """All rows in random order.

        All input is made before the first block comes out.

        Args:
            seed: the same seed gives the same order for the same rows, however they are
                divided into blocks and wherever they are. ``None`` draws one now, so this
                dataset has one order, whenever it is looked at.
            num_blocks: blocks of the result; as many as there were if ``None``.

        Raises:
            InvalidOption: *seed* is negative or no whole number, or *num_blocks* is below 1.
        """
        drawn = check_seed(seed)
        count = None
        if num_blocks is not None:
            count = int(check_number(num_blocks, "num_blocks", minimum=1, integer=True))
        return self.over(lambda plan: RandomShuffle(plan, drawn, count))
