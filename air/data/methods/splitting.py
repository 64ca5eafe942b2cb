"""One dataset divided into several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, TypeVar

import numpy as np

from air.data import splitting
from air.data.execution.exchange.partitioners import equal_edges
from air.data.execution.run import can_run_in_parallel
from air.data.iterator import DataIterator
from air.data.methods.ordering import OrderMethods
from air.data.plan import InputBlocks, part_of
from air.data.stratify import PickRows, classes_of, rows_to_test
from air.data.transforms import SelectColumns
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords, refuses
from air.executor.validation import check_flag, check_number, check_text

_Split = TypeVar("_Split", bound="SplitMethods")
_NO_HINTS = "parts are the same rows wherever they are read, and are sent there; leave it out"


@methods_suggest_keywords
class SplitMethods(OrderMethods):
    """The part of :class:`air.data.Dataset` that divides rows among several datasets."""

    @refuses(locality_hints=_NO_HINTS)
    def split(self, n: int, *, equal: bool = False) -> list[Self]:
        """Divide the rows, in order, into *n* materialized datasets; runs the plan.

        Sizes differ by one row at most.

        Args:
            equal: make all the same size, leaving out up to ``n - 1`` rows at the end.

        Raises:
            InvalidOption: *n* is below 1, or with *equal* there are fewer than *n* rows.
        """
        parts = int(check_number(n, "split: n", minimum=1, integer=True))
        check_flag(equal, "split: equal")
        whole = self.materialize()
        rows = whole.count()
        if not equal:
            return _cut(whole, equal_edges(rows, parts))
        if rows < parts:
            raise InvalidOption(f"split: {rows} rows cannot be divided equally among {parts} parts")
        return _cut(whole, [rows // parts * index for index in range(parts + 1)])

    def split_at_indices(self, indices: Sequence[int]) -> list[Self]:
        """Cut before the rows at *indices*: ``[2, 5]`` gives rows 0-1, 2-4 and 5 to the end.

        Runs the plan. Parts beyond the last row are empty.

        Raises:
            InvalidOption: *indices* is empty or not ascending whole numbers from 0.
        """
        wanted = splitting.check_indices(indices)
        whole = self.materialize()
        rows = whole.count()
        return _cut(whole, [0, *(min(index, rows) for index in wanted), rows])

    def split_proportionately(self, proportions: Sequence[float]) -> list[Self]:
        """Cut into parts of these shares of the rows, and one part with the rest.

        Runs the plan. Parts are rounded down; ``[0.2, 0.5]`` of 10 rows gives 2, 5 and 3.

        Raises:
            InvalidOption: a share is not above 0, or together they are not below 1.
        """
        splitting.indices_for_proportions(0, proportions)
        whole = self.materialize()
        rows = whole.count()
        return _cut(whole, [0, *splitting.indices_for_proportions(rows, proportions), rows])

    def train_test_split(
        self,
        test_size: float,
        *,
        shuffle: bool = False,
        seed: int | None = None,
        stratify: str | None = None,
    ) -> tuple[Self, Self]:
        """Cut off rows at the end to test on; runs the plan.

        Args:
            test_size: a share between 0 and 1 (rounded up to rows), or a number of rows.
            shuffle: shuffle all rows first.
            seed: of the shuffle, as for :meth:`random_shuffle`.
            stratify: a column; of each of its values both parts have the same share, rounded as
                scikit-learn does (ties go to the value that comes first). The last rows of each
                value are those to test on, and rows stay in their order.

        Returns:
            The rows to train and those to test on, materialized.

        Raises:
            InvalidOption: *test_size* is out of bounds or leaves one part empty, or a seed is
                given without *shuffle*.
            ColumnNotFound: there is no column *stratify*.
            UnsuitableData: a value of *stratify* has one row only, or there are more values than
                rows in a part.
        """
        splitting.check_test_size(test_size)
        check_flag(shuffle, "train_test_split: shuffle")
        if stratify is not None:
            check_text(stratify, "train_test_split: stratify")
            self.check_columns([stratify], "train_test_split")
        if seed is not None and not shuffle:
            raise InvalidOption("train_test_split: seed needs shuffle=True")
        whole = (self.random_shuffle(seed=seed) if shuffle else self).materialize()
        rows = whole.count()
        test_rows = splitting.rows_for_test(rows, test_size)
        if stratify is not None:
            return _stratified(whole, stratify, test_rows)
        train, test = _cut(whole, [0, rows - test_rows, rows])
        return train, test

    @refuses(locality_hints=_NO_HINTS)
    def streaming_split(self, n: int, *, equal: bool = False) -> list[DataIterator]:
        """*n* iterators over parts of the rows, to be sent to as many workers.

        Nothing is kept, and the parts are the same each time. Where operators work on each piece
        by itself, and there are as many pieces as parts, parts are contiguous pieces of the source
        and are read where they are iterated, in that process. Rows that exist, and all rows on a
        backend that does one thing at a time, are divided as :meth:`split` does it.

        Otherwise, and with *equal*, an actor runs the plan once for all, as far as blocks are
        taken: they are dealt out in turn, or with *equal* each in parts of one size, with up to
        ``n - 1`` rows left out in the end. Then all *n* consumers must go through their iterators
        at the same time, each iterator in one process: who is more than 8 blocks ahead of another
        waits for it, and an epoch (each time that they are gone through) begins when all have
        begun it. Nobody waits for who has stopped before the end (``break``). Who waits for more
        than half a minute says for whom, in a ``RuntimeWarning``.

        Raises:
            InvalidOption: *n* is below 1, or rows that exist are fewer than *n*, with *equal*.
        """
        parts = int(check_number(n, "streaming_split: n", minimum=1, integer=True))
        if not equal and parts > 1:
            divided = splitting.divide_source(self._plan, parts)
            if divided is not None:
                return [DataIterator(type(self)(plan), stay=True) for plan in divided]
        if parts > 1 and not self.is_materialized and can_run_in_parallel():
            from air.data.dealing.coordinator import shares  # an actor, which few programs need

            return [DataIterator(share) for share in shares(self, parts, equal)]
        shards = self.split(parts, equal=equal)
        return [DataIterator(shard, stay=True) for shard in shards]


def _stratified(whole: _Split, column: str, test_rows: int) -> tuple[_Split, _Split]:
    """The materialized rows to train and to test on, with equal shares of each value."""
    values = whole.with_transform(SelectColumns((column,))).to_arrow()[column]
    chosen = rows_to_test(classes_of(column, values), test_rows)
    edges = np.cumsum([handle.num_rows for handle in _blocks(whole).handles])
    parts = tuple(np.split(chosen, edges[:-1]))
    label = f"train_test_split(stratify={column!r})"
    kept = PickRows(tuple(~part for part in parts), label), PickRows(parts, label)
    train, test = (whole.with_transform(pick).materialize() for pick in kept)
    return train, test


def _cut(whole: _Split, bounds: Sequence[int]) -> list[_Split]:
    """The materialized rows between each two of *bounds*."""
    blocks = _blocks(whole)
    return [
        whole.of_blocks(InputBlocks(tuple(part), place=part_of(blocks.place, number)))
        for number, part in enumerate(splitting.divide(blocks.handles, bounds))
    ]


def _blocks(whole: SplitMethods) -> InputBlocks:
    assert isinstance(whole.plan, InputBlocks)
    return whole.plan
