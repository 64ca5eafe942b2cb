"""Samples of sorted runs: no more than there is memory for, and parts that are found with them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air.data.blocks.metadata import Sampled
from air.data.execution.exchange.partitioners import Cut, Spread, cuts
from air.data.execution.exchange.samples import (
    FEWEST_SAMPLES,
    SAMPLES,
    FewSamples,
    even_rows,
    thinned,
)

ROWS = 4 * SAMPLES


def samples(*, varied: bool) -> Sampled:
    rows = np.asarray(even_rows(ROWS))
    keys = pa.table({"k": rows})
    return Sampled(keys, rows, np.append(10 * rows, 10 * ROWS)) if varied else Sampled(keys)


@pytest.mark.parametrize("varied", [False, True])
def test_samples_are_halved_until_they_fit(varied):
    few = FewSamples(3 * SAMPLES * 8)
    for _ in range(10):
        few.add(samples(varied=varied), ROWS)
    assert sum(one.keys.nbytes for one in few.found) <= 3 * SAMPLES * 8
    for one in few.found:
        rows = np.asarray(one.rows)
        assert rows.tolist() == one.keys["k"].to_pylist()
        assert np.diff(rows).tolist() == [16] * (SAMPLES // 4 - 1)  # of all runs alike
        assert rows[0] == 0
        if varied:
            assert one.before.tolist() == [*(10 * rows).tolist(), 10 * ROWS]
        else:
            assert one.before is None


def test_each_run_keeps_a_few_samples_and_all_are_kept_where_memory_is_not_short():
    few, all_kept = FewSamples(1), FewSamples(None)
    for _ in range(5):
        few.add(samples(varied=False), ROWS)
        all_kept.add(samples(varied=False), ROWS)
    assert {len(one.keys) for one in few.found} == {FEWEST_SAMPLES}
    assert {len(one.keys) for one in all_kept.found} == {SAMPLES}


def test_samples_of_plain_objects_are_thinned_as_well():
    found = thinned(Sampled([str(i) for i in range(SAMPLES)], range(SAMPLES)))
    assert found.keys[:3] == ["0", "2", "4"]
    assert list(found.rows) == list(range(0, SAMPLES, 2))


@settings(max_examples=25)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=40), min_size=1, max_size=5),
    st.integers(1, 6),
    st.integers(1, 7),
)
def test_rows_that_are_evenly_spread_need_no_numbers_of_each(values, parts, step):
    runs = [sorted(run) for run in values]
    order = np.argsort([value for run in runs for value in run[::step]], kind="stable")
    sizes = [len(run) for run in runs]
    rows = [range(0, size, step) for size in sizes]
    told = [np.append(at, size) for at, size in zip(rows, sizes, strict=True)]
    one, other = Spread(sizes, rows, sizes), Spread(sizes, rows, told)
    assert one.weights().tolist() == other.weights().tolist()
    for run, size in enumerate(sizes):
        assert one.bytes_of(run, 1, size) == other.bytes_of(run, 1, size)
    for mine, its in zip(cuts(one, order, parts), cuts(other, order, parts), strict=True):
        assert mine.slices.tolist() == its.slices.tolist()
        assert (mine.first, mine.last) == (its.first, its.last)


def test_a_part_knows_where_among_its_rows_it_begins_and_ends():
    slices = np.array([[0, 5, 9], [2, 0, 3], [4, 7, 8]])
    assert Cut(slices, (2, 1), (4, 7)).ends == (4 + 1, 4 + 3)
    assert Cut(slices, None, (0, 5)).ends == (None, 0)
