"""How many bytes rows take, and runs that are divided by that."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import air.data
from air.data import DataContext
from air.data.blocks.weights import bytes_before, varies
from air.data.execution.exchange.ordering import SortKey, stable_order
from air.data.execution.exchange.partitioners import Spread, cuts
from air.data.execution.exchange.samples import SAMPLES
from air.data.execution.exchange.transforms import sampled
from air.data.execution.physical import exchanges

LONG = "x" * 1000
COLUMNS = {
    "texts": pa.array(["a", None, LONG, "", "é"]),
    "large": pa.array([b"a", b"", None, LONG.encode(), b"b"], pa.large_binary()),
    "views": pa.array(["a", None, LONG, "", "b"], pa.string_view()),
    "lists": pa.array([[1], None, list(range(100)), [], [2]]),
    "deep": pa.array(
        [[["a"]], [], [[LONG, "b"], []], None, [["c"]]], pa.list_(pa.large_list(pa.string()))
    ),
    "maps": pa.array([[("a", 1)], [], [(LONG, 2)], None, []], pa.map_(pa.string(), pa.int64())),
    "structs": pa.array([{"t": LONG, "n": 1}, None, {"t": "a", "n": 2}, {"t": None, "n": 3}, {}]),
    "fixed lists": pa.array(
        [["a", LONG], None, ["", ""], ["b", None], ["c", "d"]], pa.list_(pa.string(), 2)
    ),
    "numbers": pa.array([1, None, 3, 4, 5]),
    "truths": pa.array([True, None, False, True, True]),
    "decimals": pa.array([1, 2, None, 4, 5], pa.decimal128(5)),
    "nothing": pa.nulls(5),
    "codes": pa.array(["a", LONG, "a", None, "b"]).dictionary_encode(),
    "tensors": pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((5, 2, 3))),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_bytes_of_rows_add_up_wherever_they_are_cut(name):
    table = pa.table({"a": pa.chunked_array([COLUMNS[name], COLUMNS[name].slice(1, 3)])})
    before = bytes_before(table, np.arange(9))
    assert before[0] == 0
    assert (np.diff(before) >= 0).all()
    for begin in range(8):
        for end in range(begin, 9):
            part = bytes_before(table.slice(begin, end - begin), np.array([0, end - begin]))
            assert abs(part[1] - (before[end] - before[begin])) <= 1  # bits are parts of bytes
    is_wide = [LONG in str(value) or len(str(value)) > 200 for value in table["a"].to_pylist()]
    if varies(table):
        assert [size > 100 for size in np.diff(before)] == is_wide


def test_samples_of_rows_of_different_sizes_have_as_many_bytes_between_them():
    texts = ["x" * (5000 if row >= 9900 else 5) for row in range(10_000)]
    run = pa.table({"row": range(10_000), "text": texts})
    samples = sampled(run, run.select(["row"]))
    assert samples.rows is not None
    assert samples.before is not None
    assert np.diff(samples.before).max() < 2 * 5100
    assert (samples.rows >= 9900).sum() >= 99
    same = sampled(run.select(["row"]), run.select(["row"]))
    assert same.before is None
    assert len(same.keys) <= SAMPLES
    # Keys that are most of the rows would be kept for all of these.
    wide = sampled(run, run.select(["text"]))
    assert wide.rows is not None
    assert len(wide.rows) <= 64


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=30), min_size=1, max_size=4))
def test_parts_have_about_as_many_bytes(sizes):
    spread = Spread(
        [len(run) for run in sizes],
        [np.arange(len(run)) for run in sizes],
        [np.concatenate([[0], np.cumsum(run)]) for run in sizes],
    )
    keys = [(place, run) for run, own in enumerate(sizes) for place in range(len(own))]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__))
    total = sum(map(sum, sizes))
    found = cuts(spread, order, 4)
    assert spread.bytes_of(0, 0, len(sizes[0])) == sum(sizes[0])
    for cut in found:
        # Beside the part itself up to two rows of each run, and what one row is too much.
        part = sum(spread.bytes_of(*one) for one in cut.slices)
        assert part <= total / 4 + (2 * len(sizes) + 1) * 50


def test_a_sort_holds_no_more_of_wide_rows_than_of_others(waiting, monkeypatch):
    monkeypatch.setattr(exchanges, "_SMALLEST_PART", 64 << 10)
    keys = np.random.default_rng(0).permutation(4000)
    # The hundred largest keys have nearly all bytes.
    table = pa.table({"key": keys, "text": ["y" * (10_000 if key >= 3900 else 9) for key in keys]})
    blocks = [table.slice(begin, 500) for begin in range(0, 4000, 500)]
    ds = air.data.from_arrow(blocks).map_batches(lambda batch: batch, batch_format="pyarrow")
    handles = list(ds.sort("key").run())
    order = stable_order(table, [SortKey("key")])
    found = pa.concat_tables([handle.get() for handle in handles])
    assert found.equals(table.take(order))
    if DataContext.get_current().memory_budget == 1:
        assert max(handle.size_bytes for handle in handles) < 4 * (64 << 10)
