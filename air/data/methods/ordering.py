"""Which rows there are in which blocks, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from air.data.arguments import check_names, check_seed
from air.data.consumption import Consumption
from air.data.errors import require_columns
from air.data.execution.exchange.ordering import SortKey
from air.data.plan import RandomShuffle, Repartition, Sort
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords, refuses
from air.executor.validation import check_flag, check_number


@methods_suggest_keywords
class OrderMethods(Consumption):
    """The part of :class:`air.data.Dataset` that puts rows elsewhere.

    What has to wait until all input is there, and is more than half of
    ``DataContext.memory_budget`` (an eighth of a small one), waits in files in the directory for
    temporary ones, which are removed with the last block; what a killed program has left there is
    removed by the next one that needs such files. On a cluster of several nodes it stays in the
    object store, which goes to disk by itself.
    """

    def limit(self, limit: int) -> Self:
        """The first *limit* rows; no more than needed is read.

        Raises:
            InvalidOption: *limit* is negative or no whole number.
        """
        return self.over(lambda _: self._limited(limit, "limit"))

    def repartition(self, num_blocks: int, *, shuffle: bool = False) -> Self:
        """The same rows in *num_blocks* blocks of equal size, in the same order.

        All input is made before the first block comes out. A block is whole in the memory of a
        worker and of whoever takes it, so there should not be fewer of them than the budget
        (``DataContext.memory_budget``) holds a few of.

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

        All input is made before the first block comes out. Blocks have equal sizes.

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

    def sort(
        self,
        key: str | Sequence[str] | None = None,
        descending: bool | Sequence[bool] = False,
    ) -> Self:
        """All rows in the order of a column, or of several; equal rows stay in their order.

        Nulls and NaN come last in either direction, as in pandas, NaN before null. Texts go by
        the code points of their characters, and categories by their values, also those of which
        pandas knows another order: each block has categories of its own, and two may be the other
        way round in another one. Where all have the same, a column of their codes has that order:
        ``add_column("code", lambda frame: frame["size"].cat.codes)``.

        All input is made before the first block comes out; ``sort(...).limit(n)`` and ``take(n)``
        keep only the first rows of each block meanwhile, if *n* is 65,536 at most.

        Args:
            key: names of columns, the first counts most; ``None`` for rows that are plain objects,
                which are compared with each other.
            descending: the largest first; a list has one flag for each key.

        Raises:
            InvalidOption: a key is no name or is given twice, or *descending* does not fit them.
            ColumnNotFound: a key is no column; when it is run, if columns are not known before.
            UnsupportedValue: when it is run, and there is no order among the values of a key, or
                rows are records and there is no key.
        """
        names: tuple[str | None, ...] = (None,) if key is None else check_names("sort", key)
        if isinstance(descending, (list, tuple)):
            if len(descending) != len(names):
                raise InvalidOption(
                    f"sort: descending must be one flag, or one for each of the {len(names)} keys,"
                    f" got {len(descending)}"
                )
            flags = [check_flag(flag, "sort: descending") for flag in descending]
        else:
            flags = [check_flag(descending, "sort: descending")] * len(names)
        known = self.known_columns()
        if key is not None and known is not None:
            require_columns([name for name in names if name is not None], known, "sort")
        keys = tuple(SortKey(name, flag) for name, flag in zip(names, flags, strict=True))
        return self.over(lambda plan: Sort(plan, keys))
