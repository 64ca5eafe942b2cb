"""Calling functions that may fail for some rows, which are left out."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from air.data.blocks.block import Block, accessor, records_of
from air.data.blocks.making import block_from_rows
from air.data.errors import UnsupportedValue
from air.data.udf.async_calls import outcomes
from air.data.udf.functions import TaskContext
from air.data.udf.positions import At
from air.data.udf.skipping import Skips, rows_to_try

_Made = TypeVar("_Made")


class Tries:
    """The attempts of one operator at one piece of work.

    Args:
        name: the operator's.
        skips: what it does about failures.
    """

    def __init__(self, name: str, skips: Skips, context: TaskContext) -> None:
        self._name = name
        self._skips = skips
        self._context = context

    def rows(
        self, call: Callable[[Any], _Made], block: Block, start: int
    ) -> Iterator[tuple[int, _Made]]:
        """What *call* returns for each row of *block*, with the row's number in it.

        *start* is the number of its first row in the piece of work.
        """
        for number, outcome in outcomes(call, enumerate(rows_to_try(block))):
            at = At(self._name, block, start + number, self._context, 1)
            try:
                with at:
                    made = outcome()
            except Exception as error:
                self._leave_out(accessor(block).slice(number, number + 1), at, error)
            else:
                yield number, made

    def kept(self, made: list[Any], numbers: list[int], block: Block, start: int) -> Block:
        """The block of rows that were made of those of *block*, without what no block can hold.

        Args:
            numbers: for each the row that it was made of, as :meth:`rows` tells it.

        Raises:
            UnsupportedValue: each of them could be kept alone, but they do not go together.
        """
        like = records_of(block)
        try:
            return block_from_rows(made, like)
        except UnsupportedValue as error:
            fitting: list[Any] = []
            of_rows = itertools.groupby(zip(numbers, made, strict=True), operator.itemgetter(0))
            for number, pairs in of_rows:
                rows = [row for _, row in pairs]
                try:
                    block_from_rows(rows, like)
                    fitting += rows
                except UnsupportedValue as reason:
                    at = At(self._name, block, start + number, self._context, 1)
                    self._leave_out(accessor(block).slice(number, number + 1), at, reason)
            if len(fitting) == len(made):
                raise error from None
            return block_from_rows(fitting, like)

    def halves(
        self,
        call: Callable[[Block], _Made],
        block: Block,
        start: int,
        first: Callable[[], _Made] | None = None,
    ) -> Iterator[_Made]:
        """What *call* makes of all rows of *block* together, or of as many as it does not fail for.

        Where it fails it is called again for each half, down to single rows.

        Args:
            first: in place of the first call.
        """
        todo = [(block, start)]
        while todo:
            part, begin = todo.pop()
            at = At(self._name, part, begin, self._context)
            try:
                with at:
                    made = call(part) if first is None else first()
            except Exception as error:
                if len(part) == 1:
                    self._leave_out(part, at, error)
                else:
                    half = len(part) // 2
                    todo.append((accessor(part).slice(half, len(part)), begin + half))
                    todo.append((accessor(part).slice(0, half), begin))
            else:
                yield made
            first = None

    def _leave_out(self, row: Block, at: At, error: Exception) -> None:
        assert self._context.skipped is not None  # operators run where it is there
        self._context.skipped.add(self._name, self._skips, row, at, error)
