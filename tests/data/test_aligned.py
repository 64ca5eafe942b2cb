"""Rows side by side, and rows and blocks by chance: the same wherever they are."""

from __future__ import annotations

import itertools

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

import air.data
from air.data.optimizer import optimize
from air.data.plan import RandomizeBlockOrder, apart
from air.errors import InvalidOption


@settings(max_examples=25)
@given(rows=st.integers(0, 40), left=st.integers(1, 7), right=st.integers(1, 7))
def test_zip_is_that_of_python(rows, left, right):
    ds = air.data.range_table(rows).repartition(left)
    other = air.data.range(rows).map(lambda n: {"value": n * n, "b": str(n)}).repartition(right)
    expected = [{"value": n, "value_1": n * n, "b": str(n)} for n in range(rows)]
    assert ds.zip(other).take_all() == expected
    objects = air.data.range(rows).repartition(left).zip(air.data.range(rows).repartition(right))
    assert objects.take_all() == [(n, n) for n in range(rows)]


@settings(max_examples=25)
@given(st.lists(st.integers(0, 3), min_size=1), st.lists(st.integers(0, 3), min_size=1))
def test_zip_of_blocks_of_any_size(left, right):
    rows = min(sum(left), sum(right))

    def divided(sizes, name):
        edges = [min(edge, rows) for edge in itertools.accumulate(sizes, initial=0)]
        table = pa.table({name: pa.array(range(rows), pa.int64())})
        parts = [table.slice(low, high - low) for low, high in itertools.pairwise(edges)]
        return air.data.from_arrow(parts)

    made = divided(left, "a").zip(divided(right, "b"))
    assert made.take_all() == [{"a": n, "b": n} for n in range(rows)]


def test_zip_here_and_on_tasks(waiting):
    ds = air.data.range_table(1000).map_batches(lambda b: {"a": b["value"] + 1})
    made = ds.zip(air.data.range_table(1000).repartition(3))
    objects = air.data.range(5).zip(air.data.range(5).map(str).repartition(2))
    assert objects.take_all() == [(n, str(n)) for n in range(5)]
    assert made.columns() == ["a", "value"]
    assert made.filter(lambda row: row["a"] != row["value"] + 1).count() == 0
    assert made.count() == 1000


def test_zip_of_different_lengths():
    ds = air.data.range(10)
    with pytest.raises(air.data.UnsupportedValue, match="got 10 and 9"):
        ds.zip(air.data.range(9))
    some = ds.filter(lambda n: n < 7)
    with pytest.raises(air.data.UnsupportedValue, match="got 7 and 10"):
        some.zip(ds).take_all()
    with pytest.raises(air.data.UnsupportedValue, match=r"at least .* and 7"):
        ds.zip(some).take_all()
    with pytest.raises(air.data.UnsupportedValue, match="records"):
        ds.zip(air.data.range_table(10)).take_all()
    with pytest.raises(TypeError, match="takes a dataset"):
        ds.zip([1])


def test_names_that_are_taken_get_numbers():
    assert apart(["a", "a_1", "b"], ["a", "c"]) == ["a_2", "a_1", "b"]


@settings(max_examples=25)
@given(
    rows=st.integers(0, 60),
    blocks=st.integers(1, 7),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 2**40),
)
def test_a_sample_does_not_depend_on_blocks(rows, blocks, fraction, seed):
    whole = air.data.range(rows).repartition(1).random_sample(fraction, seed=seed).take_all()
    divided = air.data.range(rows).repartition(blocks).random_sample(fraction, seed=seed)
    assert divided.take_all() == whole == sorted(whole)
    assert divided.count() == len(whole)


def test_samples_here_and_on_tasks(placement):
    ds = air.data.range_table(10_000).random_sample(0.3, seed=1)
    found = ds.take_all()
    assert 2800 < len(found) < 3200
    assert [row["value"] for row in found[:5]] == [2, 9, 16, 18, 19]
    assert air.data.range(10).random_sample(1).take_all() == list(range(10))
    assert air.data.range(10).random_sample(0).take_all() == []


@pytest.mark.parametrize("fraction", [-0.1, 1.5, "a", None, float("nan")])
def test_fractions_that_are_none(fraction):
    with pytest.raises(InvalidOption, match="fraction"):
        air.data.range(3).random_sample(fraction)


def test_block_order(tmp_path, waiting):
    for part in range(6):
        parquet.write_table(pa.table({"n": [part, part]}), tmp_path / f"{part}.parquet")
    ds = air.data.read_parquet(str(tmp_path)).randomize_block_order(seed=3)
    found = [row["n"] for row in ds.take_all()]
    assert found[::2] == found[1::2]
    assert sorted(found[::2]) == list(range(6))
    assert found[::2] != list(range(6))
    mapped = ds.map(lambda row: {"m": row["n"]})
    assert [row["m"] for row in mapped.take_all()] == found
    again = air.data.read_parquet(str(tmp_path)).materialize().randomize_block_order(seed=3)
    assert [row["n"] for row in again.take_all()] == found
    filtered = ds.filter(air.data.col("n") > 2)
    assert [row["n"] for row in filtered.take_all()] == [n for n in found if n > 2]
    assert ds.select_columns(["n"]).count() == 12
    late = air.data.range(100).repartition(5).random_shuffle(seed=0).randomize_block_order(seed=1)
    blocks = [handle.get() for handle in late.run()]
    assert sorted(itertools.chain.from_iterable(blocks)) == list(range(100))


def test_the_order_of_blocks_is_told_to_what_reads_them():
    ds = air.data.range(100).map(str).randomize_block_order(seed=1)
    assert not any(isinstance(node, RandomizeBlockOrder) for node in optimize(ds.plan).walk())
    late = air.data.range(100).repartition(5).randomize_block_order(seed=1)
    blocks = [handle.get() for handle in late.run()]
    assert sorted(blocks) == [list(range(i, i + 20)) for i in range(0, 100, 20)]
    assert blocks != sorted(blocks)


def test_zip_of_records_and_plain_objects():
    with pytest.raises(
        air.data.UnsupportedValue, match="zip: one side has records and the other plain"
    ):
        air.data.range(3).zip(air.data.range_table(3)).take_all()
