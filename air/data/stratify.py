"""Which rows are for testing if every class shall have its share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from air.data.blocks.block import Block, accessor
from air.data.errors import UnsuitableData
from air.data.grouping.keys import groups_of
from air.data.transforms import BlockFunction, Transform
from air.data.udf.functions import TaskContext


def shares(counts: np.ndarray, total: int) -> np.ndarray:
    """*total* divided in proportion to *counts*: rounded down, the largest remainders get one more.

    Of equal remainders the first are taken. This is the mode of the multivariate hypergeometric
    distribution to within rounding, which scikit-learn's stratified splits use, where ties are
    drawn.
    """
    exact = counts * (total / counts.sum())
    whole = np.floor(exact).astype(np.int64)
    missing = total - int(whole.sum())
    order = np.argsort(-(exact - whole), kind="stable")
    whole[order[:missing]] += 1
    return whole


def rows_to_test(classes: np.ndarray, test_rows: int) -> np.ndarray:
    """For each row whether it is for testing: of each class the last ones.

    Args:
        classes: the number of each row's class, from 0 in the order of their first rows.

    Raises:
        UnsuitableData: a class has one row only, or there are more classes than rows in a part.
    """
    counts = np.bincount(classes)
    for part, rows in (("train", len(classes) - test_rows), ("test", test_rows)):
        if rows < len(counts):
            raise UnsuitableData(
                f"train_test_split: there are {rows} rows to {part} on, and {len(counts)} classes,"
                " each of which must be among them"
            )
    if counts.min() < 2:
        raise UnsuitableData(
            "train_test_split: a class has one row only, which cannot be among those to train and"
            " those to test on; leave it out, or do not stratify"
        )
    # As scikit-learn: first what trains gets its shares, then what tests out of the rest.
    to_train = shares(counts, len(classes) - test_rows)
    to_test = shares(counts - to_train, test_rows)
    order = np.argsort(classes, kind="stable")
    ends = np.cumsum(counts)
    chosen = np.zeros(len(classes), bool)
    for end, number in zip(ends, to_test, strict=True):
        chosen[order[end - number : end]] = True
    return chosen


def classes_of(name: str, column: pa.ChunkedArray) -> np.ndarray:
    """The class of each row, by its value; rows without one are a class of their own.

    Raises:
        UnsupportedValue: its values cannot be compared; names the column.
    """
    return groups_of(pa.table({name: column}), [name], "train_test_split: stratify").of_row


@dataclass(frozen=True)
class PickRows(Transform):
    """Some rows of each block.

    Attributes:
        chosen: for each unit, which of its rows.
        label: the step that does it.
    """

    chosen: tuple[np.ndarray, ...]
    label: str

    @property
    def name(self) -> str:
        return self.label

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            for block in blocks:
                yield accessor(block).filter(self.chosen[context.index])

        return run
