"""Hashes of rows, and rows that are told apart by them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from air import data
from air.data.blocks.choosing import taken
from air.data.grouping import first
from air.data.grouping.first import is_repeated
from air.data.grouping.hashing import row_hashes
from air.data.grouping.keys import groups_of
from air.data.grouping.repeated import RowSet

NOON = dt.datetime(2024, 5, 1, 12)
LONG = "x" * 300
VALUES = [
    pa.array([True, None, False, True]),
    pa.array([3, None, -1, 3], pa.int8()),
    pa.array([3, None, 1 << 63, 3], pa.uint64()),
    pa.array(np.array([1.5, np.nan, -0.0, 1.5], np.float16)),
    pa.array([0.0, None, float("nan"), -0.0]),
    pa.array([Decimal("1.5"), None, Decimal("-1.5"), Decimal("1.5")], pa.decimal32(5, 2)),
    pa.array([Decimal("1.5"), None, Decimal("-1.5"), Decimal("1.5")], pa.decimal128(38, 2)),
    pa.array([Decimal("1.5"), None, Decimal("-1.5"), Decimal("1.5")], pa.decimal256(70, 2)),
    pa.array([NOON, None, NOON + dt.timedelta(1), NOON], pa.timestamp("ns", "UTC")),
    pa.array([NOON.date(), None, dt.date(1, 1, 1), NOON.date()]),
    pa.array([NOON.time(), None, dt.time(1), NOON.time()], pa.time32("s")),
    pa.array([b"ab", None, b"cd", b"ab"], pa.binary(2)),
    pa.array(["", None, "\0", ""]),
    pa.array([LONG + "a", None, LONG + "b", LONG + "a"], pa.large_string()),
    pa.array(["8 bytes.", None, "8 bytes,", "8 bytes."], pa.string_view()),
    pa.array(["ü", None, "日本", "ü"]).dictionary_encode(),
    pa.nulls(4),
]


@pytest.mark.parametrize("values", VALUES, ids=lambda values: str(values.type))
def test_rows_of_every_type(values):
    random = np.random.default_rng(0)
    rows = pa.array(random.integers(0, 4, 50))
    several = taken(pa.table({"a": values}), rows)["a"].slice(3)
    table = pa.table({"a": several, "b": random.integers(0, 3, len(several))})
    for names in (["a"], ["a", "b"]):
        groups = groups_of(table, names, "test")
        expected = np.ones(len(table), bool)
        expected[groups.first_row] = False
        assert is_repeated(table, names, "test").tolist() == expected.tolist()
        hashes = row_hashes(table, names)
        assert len(np.unique(hashes)) == len(groups)
        pieces = pa.concat_tables([table.slice(0, 7), table.slice(7, 0), table.slice(7)])
        assert row_hashes(pieces, names).tolist() == hashes.tolist()


def test_texts_are_hashed_whole():
    texts = ["", "\0", "\0\0", "a", "a\0", "b" * 8, "b" * 9, "b" * 255, "b" * 256, "b" * 257]
    texts += ["c" * at + "d" + "c" * (300 - at) for at in range(301)]
    texts += ["e" * at + "f" + "e" * (30 - at) for at in range(31)]
    assert len(np.unique(row_hashes(pa.table({"a": texts}), ["a"]))) == len(texts)


def test_the_same_number_everywhere():
    """Parts of one exchange are made by several processes, of several machines."""
    table = pa.table({"a": [1, None], "b": ["text", "longer than a word"]})
    assert row_hashes(table, ["a", "b"]).tolist() == [
        0x775A5F327A9E4C28,
        0xCCD42FD41B8B3972,
    ]


def test_rows_that_are_not_equal_though_their_hashes_are(monkeypatch):
    monkeypatch.setattr(first, "row_hashes", lambda table, _names: np.zeros(len(table), np.uint64))
    table = pa.table({"a": [1, 2, 1, None, 2, None], "b": ["x", "y", "x", "y", "x", "y"]})
    assert is_repeated(table, ["a"], "test").tolist() == [False, False, True, False, True, True]
    both = is_repeated(table, ["a", "b"], "test")
    assert both.tolist() == [False, False, True, False, False, True]
    assert data.from_arrow(table).distinct().to_arrow()["b"].to_pylist() == ["x", "y", "y", "x"]


def test_a_set_of_rows():
    rows = RowSet(1000)
    without = [0, 1, 7, 8, 500, 501, 999]
    rows.discard(np.array([1, 8, 501]))
    rows.discard(np.zeros(0, np.int64))
    rows.discard(np.array([0, 7, 500, 999]))
    for start, stop in ((0, 1000), (1, 9), (3, 3), (499, 503), (992, 1000)):
        expected = [row not in without for row in range(start, stop)]
        assert rows.between(start, stop).to_pylist() == expected
