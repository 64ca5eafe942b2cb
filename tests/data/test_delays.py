"""Operators give what pandas gives, in its order, whichever blocks take how long."""

from __future__ import annotations

import random
import time

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from air import data
from air.data.execution.physical import joining

ALL = list(HealthCheck)
settings.register_profile("delays", deadline=None, max_examples=5)

rows = st.lists(
    st.fixed_dictionaries(
        {"k": st.sampled_from(["a", "a", "a", "ü", "b"]), "n": st.integers(-9, 9)}
    ),
    min_size=1,
    max_size=24,
)


class Late:
    """Calls another function after a moment that depends on its seed and what it is given."""

    def __init__(self, fn, seed):
        self.fn = fn
        self.seed = seed

    def __call__(self, item):
        time.sleep(random.Random(f"{self.seed} {item}").choice([0, 0, 0.001, 0.002]))
        return self.fn(item)


def with_m(row):
    return {**row, "m": row["n"] + 1}


def pair(row):
    return [row, with_m(row)]


def positive(row):
    return row["n"] > 0


def doubled(batch):
    return batch.assign(n=batch["n"] * 2)


def same(batch):
    return batch


def sorted_frame(frame):
    return frame.sort_values(["k", "n"], kind="stable")


def grouped_sum(frame):
    made = frame.groupby("k", as_index=False)["n"].sum()
    return made.rename(columns={"n": "sum(n)"})


OPERATORS = {
    "map": (lambda ds, late: ds.map(late(with_m)), lambda f: f.assign(m=f["n"] + 1)),
    "flat_map": (
        lambda ds, late: ds.flat_map(late(pair)).select_columns("n"),
        lambda f: f.loc[f.index.repeat(2), ["n"]],
    ),
    "filter": (lambda ds, late: ds.filter(late(positive)), lambda f: f[f["n"] > 0]),
    "map_batches": (
        lambda ds, late: ds.map_batches(late(doubled), batch_format="pandas", batch_size=3),
        lambda f: f.assign(n=f["n"] * 2),
    ),
    "add_column": (
        lambda ds, late: ds.add_column("m", late(lambda f: f["n"] + 1)),
        lambda f: f.assign(m=f["n"] + 1),
    ),
    "pools": (
        lambda ds, late: ds.map(late(with_m), compute=POOL).map(late(dict), compute=POOL),
        lambda f: f.assign(m=f["n"] + 1),
    ),
    "sort": (lambda ds, late: slow(ds, late).sort(["k", "n"]), sorted_frame),
    "groupby": (lambda ds, late: slow(ds, late).groupby("k").sum("n"), grouped_sum),
    "repartition": (lambda ds, late: slow(ds, late).repartition(3), lambda f: f),
    "limit": (lambda ds, late: slow(ds, late).limit(7), lambda f: f.head(7)),
    "union": (
        lambda ds, late: slow(ds, late).union(slow(ds, late)),
        lambda f: pd.concat([f, f]),
    ),
    "zip": (
        lambda ds, late: slow(ds, late).zip(slow(ds, late).rename_columns({"k": "l", "n": "o"})),
        lambda f: pd.concat([f, f.set_axis(["l", "o"], axis=1)], axis=1),
    ),
    "distinct": (lambda ds, late: slow(ds, late).distinct(), lambda f: f.drop_duplicates()),
    "distinct of a column": (
        lambda ds, late: slow(ds, late).distinct("k"),
        lambda f: f.drop_duplicates("k"),
    ),
    "windows": (
        lambda ds, late: windows(slow(ds, late), late),
        lambda f: f.assign(m=f["n"] + 1),
    ),
}
POOL = data.ActorPoolStrategy(min_size=1, max_size=2)


def slow(ds, late):
    return ds.map_batches(late(same), batch_format="pandas", batch_size=4)


def windows(ds, late):
    """The rows of all windows, each with a step of its own."""
    first, *others = ds.window(blocks_per_window=2).iter_datasets()
    return first.union(*others).map(late(with_m))


@pytest.mark.parametrize("operator", OPERATORS)
@given(rows, st.integers(1, 6), st.integers(0, 1000))
@settings(settings.get_profile("delays"), suppress_health_check=ALL)
def test_whichever_block_is_late(placement, operator, items, blocks, seed):
    frame = pd.DataFrame(items, columns=["k", "n"]).astype({"k": "str"})
    run, expect = OPERATORS[operator]
    ds = run(data.from_pandas(frame).repartition(blocks), lambda fn: Late(fn, seed))
    expected = expect(frame).reset_index(drop=True)
    found = ds.to_pandas()
    if not len(expected):
        assert len(found) == 0
        return
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)


@given(rows, st.integers(0, 1000))
@settings(settings.get_profile("delays"), suppress_health_check=ALL)
def test_a_shuffle_goes_by_its_seed_alone(placement, items, seed):
    frame = pd.DataFrame(items)
    found = [
        slow(data.from_pandas(frame).repartition(blocks), lambda fn, s=blocks: Late(fn, s))
        .random_shuffle(seed=seed)
        .to_pandas()
        for blocks in (1, 4)
    ]
    pd.testing.assert_frame_equal(*found)


@pytest.mark.parametrize("held", ["whole", "in parts"])
@pytest.mark.parametrize("how", ["inner", "left", "right", "outer", "semi", "anti"])
@given(rows, rows, st.integers(1, 4), st.integers(0, 1000))
@settings(settings.get_profile("delays"), max_examples=3, suppress_health_check=ALL)
def test_joins_go_by_order_not_by_time(placement, how, held, left, right, blocks, seed):
    frame, other = pd.DataFrame(left), pd.DataFrame(right).rename(columns={"n": "o"})
    sides = [
        slow(data.from_pandas(one).repartition(blocks), lambda fn: Late(fn, seed))
        for one in (frame, other)
    ]
    with pytest.MonkeyPatch.context() as patch:
        if held == "in parts":
            patch.setattr(joining, "_HELD_BYTES", -1)
        found = sides[0].join(sides[1], on="k", how=how).to_pandas()
    is_there = frame["k"].isin(other["k"])
    if how in ("semi", "anti"):
        expected = frame[is_there if how == "semi" else ~is_there].reset_index(drop=True)
    else:
        expected = frame.merge(other, on="k", how=how)
    if not len(expected):
        assert len(found) == 0
        return
    pd.testing.assert_frame_equal(found, expected.astype({"k": "str"}), check_dtype=how == "inner")


@given(rows, st.integers(0, 1000))
@settings(settings.get_profile("delays"), suppress_health_check=ALL)
def test_a_sample_goes_by_its_seed_alone(placement, items, seed):
    frame = pd.DataFrame(items)
    found = [
        slow(data.from_pandas(frame).repartition(blocks), lambda fn, s=blocks: Late(fn, s))
        .random_sample(0.5, seed=seed)
        .take_all()
        for blocks in (1, 4)
    ]
    assert found[0] == found[1]
    kept = iter(items)
    assert all(row in kept for row in found[0])
