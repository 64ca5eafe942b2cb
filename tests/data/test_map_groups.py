"""Functions on whole groups: those of pandas, however rows lie in blocks and wherever they wait."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from air import data
from air.data import ColumnNotFound, UnsupportedValue
from air.data.execution.exchange.partitioners import Spread, key_parts
from air.errors import InvalidOption

FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def in_blocks(table: pa.Table, cuts: list[int]) -> data.Dataset:
    edges = [0, *sorted(cut % (len(table) + 1) for cut in cuts), len(table)]
    return data.from_arrow([table.slice(a, b - a) for a, b in itertools.pairwise(edges)])


@FEW
@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=40), min_size=1, max_size=5),
    st.integers(1, 6),
    st.integers(1, 7),
)
def test_parts_of_runs_have_all_rows_of_their_keys(values, parts, step):
    runs = [sorted(run) for run in values]
    samples = np.array([value for run in runs for value in run[::step]])
    order = np.argsort(samples, kind="stable")
    is_new = np.diff(samples[order], prepend=-1) != 0
    rows = [np.arange(0, len(run), step) for run in runs]
    before = [np.append(at, len(run)) for at, run in zip(rows, runs, strict=True)]
    spread = Spread([len(run) for run in runs], rows, before)
    found = key_parts(spread, order, is_new, parts)
    given_out: list[int] = []
    for part in found:
        near = sorted(runs[r][i] for r, begin, end in part.slices for i in range(begin, end))
        first = -1 if part.first is None else samples[part.first]
        last = 99 if part.last is None else samples[part.last]
        given_out += [value for value in near if first <= value < last]
    assert given_out == sorted(itertools.chain.from_iterable(runs))
    assert len(found) <= 2 * parts
    # With keys of many rows by themselves the same rows are given out, in as many parts more.
    given_out = []
    for part in key_parts(spread, order, is_new, parts, apart=True):
        near = sorted(runs[r][i] for r, begin, end in part.slices for i in range(begin, end))
        first = -1 if part.first is None else samples[part.first] + part.is_after
        last = 99 if part.last is None else samples[part.last] + part.is_one_key
        chosen = [value for value in near if first <= value < last]
        assert not part.is_one_key or set(chosen) <= {samples[part.last]}
        for run in part.sampled:
            assert samples[part.last] in runs[run][::step]
        given_out += chosen
    assert given_out == sorted(itertools.chain.from_iterable(runs))


def test_a_key_of_many_rows_is_a_part_by_itself():
    runs = [[1, 7, 7, 7, 7, 8], [2, 7, 7, 7, 9, 9], [3, 3, 8, 9, 9, 9]]
    samples = np.array([value for run in runs for value in run[::2]])  # 1 7 7 | 2 7 9 | 3 8 9
    order = np.argsort(samples, kind="stable")
    is_new = np.diff(samples[order], prepend=-1) != 0
    rows = [range(0, 6, 2)] * 3
    found = key_parts(Spread([6] * 3, rows, [6] * 3), order, is_new, 4, apart=True)
    keys = [
        (
            None if part.first is None else int(samples[part.first]),
            None if part.last is None else int(samples[part.last]),
        )
        for part in found
    ]
    alone = [at for at, part in enumerate(found) if part.is_one_key]
    assert [keys[at] for at in alone] == [(7, 7)]
    assert [found[at].sampled for at in alone] == [(0, 1)]
    assert [keys[at + 1] for at in alone] == [(7, 8)]
    assert all(found[at + 1].is_after for at in alone)
    # Behind the last 7 of each run up to its next sample: the row that may be an 8 already.
    assert found[alone[0] + 1].slices.tolist() == [[0, 5, 6], [1, 3, 4], [2, 1, 2]]


KEYS = st.one_of(st.none(), st.just(float("nan")), st.sampled_from([0.0, -0.0, 1.0, 1.0, 7.5]))
ROWS = st.lists(st.tuples(KEYS, st.sampled_from(["", "a", "ü", "日本", None])), max_size=40)


def numbers_of(group: pa.Table) -> list[dict[str, Any]]:
    return [{"rows": group["row"].to_pylist()}]


@FEW
@given(rows=ROWS, cuts=st.lists(st.integers(0, 40), max_size=4), two=st.booleans())
def test_groups_are_those_of_pandas(waiting, rows, cuts, two):
    table = pa.table(
        {
            "k": pa.array([k for k, _ in rows], pa.float64()),
            "t": pa.array([t for _, t in rows], pa.string()),
            "row": pa.array(range(len(rows)), pa.int64()),
        }
    )
    names = ["k", "t"] if two else ["k"]
    frame = table.to_pandas()
    expected = [g["row"].tolist() for _, g in frame.groupby(names, dropna=False, sort=True)]
    grouped = in_blocks(table, cuts).groupby(names)
    found = grouped.map_groups(numbers_of, batch_format="pyarrow").take_all()
    assert [row["rows"] for row in found] == expected


def test_large_and_small_groups_are_whole(waiting):
    random = np.random.default_rng(5)
    frame = pd.DataFrame({"k": random.zipf(1.2, 20_000) % 1000, "x": random.random(20_000)})
    ds = in_blocks(pa.Table.from_pandas(frame), [5000, 5001, 9000]).map_batches(dict)

    def summed(group: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"k": [group["k"].iloc[0]], "x": [group["x"].sum()]})

    found = ds.groupby("k").map_groups(summed).to_pandas()
    expected = frame.groupby("k", as_index=False)["x"].sum()
    pd.testing.assert_frame_equal(found, expected)


class Offset:
    def __init__(self, start: int) -> None:
        self.start = start

    def __call__(self, group: dict[str, np.ndarray], more: int) -> Any:
        for value in group["v"]:
            yield {"v": [value + self.start + more]}


def test_classes_on_actors_and_functions_that_yield(placement):
    ds = data.from_items([{"k": i % 3, "v": i} for i in range(9)], parallelism=3)
    made = ds.groupby("k").map_groups(
        Offset, fn_constructor_args=[100], fn_args=[1000], concurrency=(1, 2)
    )
    assert [row["v"] for row in made.take_all()] == [1100 + i for i in (0, 3, 6, 1, 4, 7, 2, 5, 8)]
    assert made.limit(2).take_all() == [{"v": 1100}, {"v": 1103}]


def test_one_group_of_all_rows_also_of_plain_objects(placement):
    ds = data.range(10, parallelism=4)
    assert ds.groupby(None).map_groups(lambda group: [sum(group)]).take_all() == [45]
    table = data.range_table(10, parallelism=4).groupby(None)
    assert table.map_groups(lambda g: {"n": [len(g["value"])]}).take_all() == [{"n": 10}]


def test_nothing_and_one_row(waiting):
    none = data.from_arrow(pa.table({"k": pa.array([], pa.int64())}))
    assert none.groupby("k").map_groups(lambda group: 1 / 0).take_all() == []
    assert data.from_items([]).groupby("k").map_groups(lambda group: 1 / 0).take_all() == []
    one = data.from_items([{"k": None}])
    assert one.groupby("k").map_groups(lambda g: {"n": [len(g["k"])]}).take_all() == [{"n": 1}]


@pytest.mark.parametrize(
    "keys",
    [
        pa.array([True, False, True]),
        pa.array(["b", "a", "b"]).dictionary_encode(),
        pa.array(np.array([2, 1, 2], np.float16)),
        pa.array([2**63, 1, 2**63], pa.uint64()),
        pa.array([b"b", b"a", b"b"]),
        pa.array([3, 1, 3], pa.duration("s")),
        pa.array([3, 1, 3], pa.timestamp("us", "Europe/Paris")),
        pa.nulls(3),
    ],
    ids=lambda keys: str(keys.type),
)
def test_types_of_keys(keys):
    ds = in_blocks(pa.table({"k": keys, "row": [0, 1, 2]}), [1, 2])
    found = ds.groupby("k").map_groups(numbers_of, batch_format="pyarrow").take_all()
    expected = [[0, 1, 2]] if pa.types.is_null(keys.type) else [[1], [0, 2]]
    assert [row["rows"] for row in found] == expected


def test_errors_name_the_group(placement):
    def broken(group: pa.Table) -> pa.Table:
        if group["k"][0].as_py() == "ü":
            raise ValueError("a bad group")
        return group

    ds = data.from_items([{"k": k, "v": 1} for k in "aübü"], parallelism=2)
    with pytest.raises(ValueError, match="a bad group") as caught:
        ds.groupby("k").map_groups(broken, batch_format="pyarrow").take_all()
    assert any("map_groups(broken), at the group {'k': 'ü'}" in n for n in caught.value.__notes__)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda g: g.map_groups(3), TypeError, "map_groups takes a function"),
        (lambda g: g.map_groups(dict, batch_format="panda"), InvalidOption, "pandas"),
        (lambda g: g.map_groups(dict, num_cpu=1), InvalidOption, "num_cpus"),
        (lambda g: g.map_groups(dict, concurrency=0), InvalidOption, "concurrency"),
        (lambda g: g.map_groups(lambda group: 3).take_all(), UnsupportedValue, "map_groups"),
    ],
)
def test_what_cannot_be_done_says_why(call, error, message):
    with pytest.raises(error, match=message):
        call(data.from_items([{"k": 1}]).groupby("k"))


def test_keys_that_are_none():
    lists = data.from_items([{"k": [1]}]).groupby("k").map_groups(dict)
    with pytest.raises(UnsupportedValue, match=r"map_groups\(dict\): column 'k' has the type list"):
        lists.take_all()
    mapped = data.range(3).map(lambda n: {"n": n}).groupby("k").map_groups(dict)
    with pytest.raises(ColumnNotFound, match="'k'"):
        mapped.take_all()
    plain = data.range(3).map(lambda n: n).groupby("k").map_groups(dict)
    with pytest.raises(UnsupportedValue, match="plain int objects"):
        plain.take_all()
