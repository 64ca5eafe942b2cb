"""Shuffle, repartition and sort, here and on tasks, in memory and through files."""

from __future__ import annotations

import itertools
import math
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import air.data
from air.data import ColumnNotFound, DataContext, UnsupportedValue
from air.data.execution.exchange.ordering import SortKey, stable_order
from air.data.execution.exchange.partitioners import Spread, by_part, cuts, equal_edges, ranks
from air.data.execution.exchange.permutation import Permutation
from air.data.execution.exchange.transforms import together
from air.data.optimizer import optimize
from air.data.plan import TopOf
from air.errors import InvalidOption

FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def blocks_of(table: pa.Table, sizes: list[int]) -> air.data.Dataset:
    """A dataset of *table* in blocks of so many rows, and of what is left."""
    edges = np.minimum(np.cumsum([0, *sizes, table.num_rows]), table.num_rows).tolist()
    return air.data.from_arrow([table.slice(a, b - a) for a, b in itertools.pairwise(edges)])


# -- Permutations and partitions


@pytest.mark.parametrize("rows", [0, 1, 2, 1000, 65_536, 65_537, 70_000])
def test_a_permutation_is_one_and_can_be_turned_around(rows):
    permutation = Permutation(rows, 3)
    places = permutation.places(0, rows)
    assert np.array_equal(np.sort(places), np.arange(rows))
    assert np.array_equal(permutation.origins(0, rows)[places], np.arange(rows))
    half = rows // 2
    assert np.array_equal(permutation.places(half, rows), places[half:])


def test_a_large_permutation_depends_on_its_seed_and_mixes():
    one, other = (Permutation(100_000, seed).places(0, 100_000) for seed in (0, 1))
    assert not np.array_equal(one, other)
    assert abs(np.corrcoef(one, np.arange(100_000))[0, 1]) < 0.02
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.02
    counts = np.bincount(one[:10_000] // 1000, minlength=100)  # 100 expected in each
    assert ((counts - 100) ** 2 / 100).sum() < 160


def test_rows_of_a_part_stay_in_their_order():
    order, bounds = by_part(np.array([7, 0, 5, 2, 9, 1]), [0, 3, 3, 10])
    assert (order.tolist(), bounds) == ([1, 3, 5, 0, 2, 4], (0, 3, 3, 6))
    assert ranks(np.array([40, 7, 1 << 62, 9])).tolist() == [2, 0, 3, 1]
    assert equal_edges(7, 3) == [0, 2, 4, 7]


def spread(runs: list[list[int]], step: int) -> Spread:
    """Runs of which every so many rows one is a sample, and whose rows take a byte each."""
    rows = [np.arange(0, len(run), step) for run in runs]
    before = [np.append(at, len(run)) for at, run in zip(rows, runs, strict=True)]
    return Spread([len(run) for run in runs], rows, before)


@FEW
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=40), min_size=1, max_size=5),
    st.integers(1, 6),
    st.integers(1, 7),
)
def test_cuts_of_runs_give_every_row_once_and_in_order(values, parts, step):
    runs = [sorted(run) for run in values]
    samples = [value for run in runs for value in run[::step]]
    order = np.argsort(samples, kind="stable")
    given_out = []
    for cut in cuts(spread(runs, step), order, parts):
        near = [(runs[r][i], r, i) for r, begin, end in cut.slices for i in range(begin, end)]
        near.sort()
        places = [(r, i) for _, r, i in near]
        first = 0 if cut.first is None else places.index(cut.first)
        last = len(places) if cut.last is None else places.index(cut.last)
        given_out += near[first:last]
    assert given_out == sorted((v, r, i) for r, run in enumerate(runs) for i, v in enumerate(run))


@pytest.mark.parametrize(
    ("rows", "columns", "chunks"), [(30, 3, 10), (100, 500, 10), (9000, 3, 100)]
)
def test_many_small_tables_are_put_together_some_at_a_time(rows, columns, chunks):
    block = pa.table({f"x{n}": np.arange(rows) for n in range(columns)})
    made = together(iter([block] * 100))
    assert made.column(0).num_chunks == chunks  # 16 at a time, or none
    assert made.equals(pa.concat_tables([block] * 100))


def test_plain_objects_are_put_together_as_they_are():
    assert together([[n] for n in range(40)]) == list(range(40))
    assert together([]) == []


# -- Order of a block


@FEW
@given(
    st.lists(st.sampled_from([0.0, -0.0, 1.5, -2.0, math.inf, -math.inf, math.nan, None])),
    st.booleans(),
)
def test_the_order_of_floats_is_that_of_pandas(values, descending):
    table = pa.table({"a": pa.array(values, pa.float64())})
    there = [v for v in values if v is not None]
    order = stable_order(table, [SortKey("a", descending)])
    expected = pd.Series(there, dtype=float).sort_values(
        ascending=not descending, kind="stable", na_position="last"
    )
    positions = [i for i, v in enumerate(values) if v is not None]
    missing = [i for i, v in enumerate(values) if v is None]
    assert order.tolist() == [positions[i] for i in expected.index] + missing


@pytest.mark.parametrize("kind", ["int8", "uint64", "float32", "int64"])
@pytest.mark.parametrize("descending", [False, True])
def test_equal_numbers_stay_in_their_order(kind, descending):
    values = np.random.default_rng(0).integers(0, 5, 1000).astype(kind)
    order = stable_order(pa.table({"a": values}), [SortKey("a", descending)])
    expected = pd.Series(values).sort_values(ascending=not descending, kind="stable").index
    assert order.tolist() == expected.tolist()


# -- Sorting


ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-3, 3)), st.sampled_from(["", "b", "é", "日本", "B"])
    ),
    max_size=60,
)


@FEW
@given(ROWS, st.lists(st.integers(0, 20), max_size=4), st.booleans(), st.booleans())
def test_a_sort_by_two_keys_is_that_of_pandas(waiting, rows, sizes, first, second):
    frame = pd.DataFrame(rows, columns=["a", "b"])
    table = pa.table(
        {
            "a": pa.array([a for a, _ in rows], pa.int64()),
            "b": pa.array([b for _, b in rows], pa.string()),
            "row": pa.array(range(len(rows)), pa.int64()),
        }
    )
    result = blocks_of(table, sizes).sort(["a", "b"], descending=[first, second])
    # Several keys at once pandas sorts as one: in turn, the last key first, is the same.
    kinds = {"kind": "stable", "na_position": "last"}
    expected = frame.sort_values("b", ascending=not second, **kinds)
    expected = expected.sort_values("a", ascending=not first, **kinds)
    assert [row["row"] for row in result.iter_rows()] == expected.index.tolist()
    assert result.schema() == table.schema


@pytest.mark.parametrize("same", [False, True])
def test_a_sort_of_many_rows_is_stable_and_in_as_many_blocks(waiting, same):
    rows = 20_000
    keys = np.zeros(rows, np.int64) if same else np.random.default_rng(1).zipf(1.3, rows)
    table = pa.table({"a": keys, "row": np.arange(rows)})
    result = blocks_of(table, [5000, 100, 0, 9000]).sort("a").materialize()
    expected = np.argsort(keys, kind="stable")
    assert np.array_equal(result.to_arrow()["row"].to_numpy(), expected)
    assert result.num_blocks() == 4


def test_parts_that_are_sorted_together_are_small_where_memory_is(backend, monkeypatch):
    monkeypatch.setattr(DataContext.get_current(), "memory_budget", 32 << 20)
    values = np.random.default_rng(2).random(1 << 20)  # 8 MiB, in parts of 2
    result = blocks_of(pa.table({"a": values}), []).sort("a").materialize()
    assert result.num_blocks() == 4
    assert np.array_equal(result.to_arrow()["a"].to_numpy(), np.sort(values))


def test_plain_objects_are_sorted_too_nulls_last(waiting):
    items = [5, None, 3.5, math.nan, 1, 4, None, 2]
    result = air.data.from_items(items).repartition(3).sort(descending=True).take_all()
    assert result[:5] == [5, 4, 3.5, 2, 1]
    assert math.isnan(result[5])
    assert result[6:] == [None, None]


def test_nothing_is_sorted_to_nothing(waiting):
    assert air.data.from_items([]).sort().take_all() == []
    none = air.data.from_arrow(pa.table({"a": pa.array([], pa.int64())})).sort("a")
    assert none.take_all() == []
    assert none.schema().names == ["a"]


def test_categories_are_sorted_by_value_and_times_in_time():
    texts = pa.array(["b", "a", None, "c"]).dictionary_encode()
    times = pa.array([3, 1, 2, None], pa.timestamp("ms"))
    table = pa.table({"t": texts, "when": times, "nothing": pa.nulls(4)})
    data = air.data.from_arrow(table)
    assert [r["t"] for r in data.sort("t").iter_rows()] == ["a", "b", "c", None]
    assert data.sort("when", descending=True).to_arrow()["when"].to_pylist()[-1] is None
    assert data.sort("nothing").to_arrow()["t"].to_pylist() == ["b", "a", None, "c"]


def test_categories_with_an_order_are_sorted_by_value_as_blocks_may_have_others(placement):
    def sizes(values, categories):
        kind = pd.CategoricalDtype(categories, ordered=True)
        return air.data.from_pandas(pd.DataFrame({"size": pd.Categorical(values, dtype=kind)}))

    ds = sizes(["L", "S", "M", "S"], ["S", "M", "L"])
    both = ds.union(sizes(["XL", "M", "S"], ["XL", "M", "S"]))
    for found in (both.sort("size"), both.groupby("size").count(), both.distinct(["size"])):
        assert found.schema().field("size").type.ordered
    in_order = ["L", "M", "M", "S", "S", "S", "XL"]
    assert [row["size"] for row in both.sort("size").take_all()] == in_order
    assert [row["size"] for row in both.groupby("size").count().take_all()] == ["L", "M", "S", "XL"]
    coded = ds.repartition(2).add_column("code", lambda frame: frame["size"].cat.codes)
    assert [row["size"] for row in coded.sort("code").take_all()] == ["S", "S", "M", "L"]


def test_the_first_of_sorted_rows_are_found_without_sorting_the_others(placement):
    data = air.data.range_table(1000).map_batches(lambda b: {"v": b["value"] % 7})
    top = data.sort("v", descending=True).limit(200)
    assert isinstance(optimize(top._plan), TopOf)
    assert top.take_all() == data.sort("v", descending=True).take_all()[:200]
    assert data.sort("v").take(1) == [{"v": 0}]


def test_what_cannot_be_sorted_is_said():
    data = air.data.from_items([{"a": [1], "b": 1}])
    with pytest.raises(ColumnNotFound, match="sort: no column 'c'"):
        data.sort("c")
    with pytest.raises(ColumnNotFound, match="sort: no column 'c'"):
        data.map(lambda row: row).sort("c").take_all()
    with pytest.raises(UnsupportedValue, match="column 'a' has the type list"):
        data.sort("a").take_all()
    with pytest.raises(UnsupportedValue, match="takes a key"):
        data.sort().take_all()
    with pytest.raises(UnsupportedValue, match="have no column 'a'"):
        air.data.range(3).sort("a").take_all()
    with pytest.raises(UnsupportedValue, match="cannot be compared"):
        air.data.from_items([1, "a"]).sort().take_all()
    with pytest.raises(InvalidOption, match="one for each of the 1 keys, got 2"):
        data.sort("b", descending=[True, False])
    with pytest.raises(InvalidOption, match="sort takes a column's name"):
        data.sort(lambda row: row["b"])


# -- Shuffling and repartitioning


@pytest.mark.parametrize("rows", [0, 1, 500, 70_000])
def test_a_shuffle_depends_on_the_seed_and_the_number_of_rows_only(waiting, rows):
    table = pa.table({"row": np.arange(rows)})
    expected = Permutation(rows, 5).origins(0, rows).tolist()
    for data in (blocks_of(table, [3, 0, rows // 2]), blocks_of(table, []).map_batches(dict)):
        for blocks in (None, 3):
            result = data.random_shuffle(seed=5, num_blocks=blocks).materialize()
            assert [r["row"] for r in result.iter_rows()] == expected
        sizes = [handle.num_rows for handle in result._plan.handles]
        assert not rows or (len(sizes) == 3 and max(sizes) - min(sizes) <= 1)


@pytest.mark.parametrize("parts", [1, 3, 40])
def test_plain_objects_and_records_keep_their_order_in_other_blocks(waiting, parts):
    objects = [("a", n) if n % 2 else n for n in range(100)]
    assert air.data.from_items(objects).repartition(parts).materialize().take_all() == objects
    assert sorted(map(str, air.data.from_items(objects).random_shuffle(seed=1).iter_rows())) == (
        sorted(map(str, objects))
    )
    table = pa.table({"row": np.arange(100)})
    made = blocks_of(table, [7, 0, 50]).map_batches(dict).repartition(parts).materialize()
    assert made.to_arrow()["row"].to_pylist() == list(range(100))
    sizes = [handle.num_rows for handle in made._plan.handles]
    assert len(sizes) == parts
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("operator", ["random_shuffle", "sort", "repartition"])
def test_files_are_removed_when_a_result_is_given_up_or_fails(waiting, operator):
    def applied(data):
        if operator == "sort":
            return data.sort("row")
        return data.repartition(3) if operator == "repartition" else data.random_shuffle(seed=0)

    def broken(batch):
        if batch["row"][-1] == 999:
            raise ValueError("a bad row")
        return batch

    data = blocks_of(pa.table({"row": np.arange(1000)}), [200, 200, 200]).map_batches(dict)
    blocks = iter(applied(data).iter_batches(batch_size=None, prefetch_batches=0))
    next(blocks)
    there = list(Path(tempfile.gettempdir()).glob("air-data-*"))
    assert bool(there) == (waiting == "files")
    blocks.close()
    with pytest.raises(ValueError, match="a bad row"):
        applied(data.map_batches(broken)).take_all()


def test_a_source_that_counts_its_rows_wrongly_is_told():
    class Wrong(air.data.Datasource):
        def get_read_tasks(self, parallelism):
            return [air.data.ReadTask(lambda: [[1, 2, 3]], air.data.BlockMetadata(num_rows=2))]

    with pytest.raises(UnsupportedValue, match="gave 3 rows, and its metadata had said 2"):
        air.data.read_datasource(Wrong()).random_shuffle(seed=0).take_all()
