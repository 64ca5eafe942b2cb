"""Rows that are left out where results are kept, and the names of the files that hold them."""

from __future__ import annotations

import os

import pytest

from air import data
from air.data.errors import TooManyErrors

BAD = {3, 4, 17, 29, 30, 31}  # within a piece, at the end of one, at the beginning


def doubled(row):
    if row["value"] in BAD:
        raise ValueError(f"bad {row['value']} {object()}")  # another text each time
    return {"v": row["value"] * 2}


class Checked:
    def __call__(self, row):
        if row["v"] in (10, 58):
            raise KeyError(row["v"])
        return row


def table(rows=40, blocks=4):
    return data.range_table(rows, parallelism=blocks)


@pytest.fixture
def dead(tmp_path):
    return tmp_path / "dead"


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "kept"


def left_out(dead):
    return data.read_parquet(str(dead)).drop_columns("_error").take_all()


PLANS = {
    "a function": (
        lambda dead: table().map(doubled, on_error="skip", dead_letter=dead),
        [{"value": i} for i in sorted(BAD)],
        [2 * i for i in range(40) if i not in BAD],
    ),
    "a function and a pool": (
        lambda dead: (
            table()
            .map(doubled, on_error="skip", num_cpus=1)
            .map(Checked, on_error="skip", concurrency=2, dead_letter=dead)
        ),
        [{"v": 10}],
        [2 * i for i in range(40) if i not in BAD | {5}],
    ),
    "nothing else in a piece": (
        lambda dead: table(32, 16).map(doubled, on_error="skip", dead_letter=dead),
        [{"value": i} for i in sorted(BAD)],
        [2 * i for i in range(32) if i not in BAD],
    ),
}


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("taken", [1, 14, 26])
def test_who_goes_on_leaves_out_the_same(placement, dead, kept, plan, taken):
    made, letters, expected = PLANS[plan]
    rows = made(dead).checkpointed(kept).iter_rows()
    for _ in range(taken):
        next(rows)
    rows.close()
    ds = made(dead).checkpointed(kept)
    assert [row["v"] for row in ds.take_all()] == expected
    assert left_out(dead) == letters
    assert f"{len(letters)} rows skipped by" in ds.stats()
    assert not [name for name in os.listdir(kept) if name.endswith(".parquet")]
    again = made(dead).checkpointed(kept)
    assert [row["v"] for row in again.take_all()] == expected
    assert left_out(dead) == letters
    assert "skipped" not in again.stats()  # nothing but files was read
    assert sorted(os.listdir(kept.parent)) == ["dead", "kept"]


def test_how_many_may_be_left_out_counts_for_all_that_is_kept(placement, dead, kept):
    def checked(most):
        ds = table().map(doubled, on_error="skip", dead_letter=dead, max_errors=most)
        return ds.checkpointed(kept)

    for _ in range(2):
        with pytest.raises(TooManyErrors, match="more than max_errors=3"):
            checked(3).take_all()
    # It may be more now: what is kept is good all the same.
    assert checked(len(BAD)).count() == 40 - len(BAD)
    assert left_out(dead) == [{"value": i} for i in sorted(BAD)]


def test_what_was_kept_before_an_error_is_good_when_such_rows_are_left_out(dead, kept):
    calls = []

    def counted(row):
        calls.append(row["value"])
        return doubled(row)

    with pytest.raises(ValueError, match="bad 17"):
        table().filter(lambda row: row["value"] > 4).map(counted).checkpointed(kept).take_all()
    calls.clear()
    ds = table().filter(lambda row: row["value"] > 4).map(counted, on_error="skip")
    found = [row["v"] for row in ds.checkpointed(kept).take_all()]
    assert found == [2 * i for i in range(5, 40) if i not in BAD]
    assert calls == list(range(10, 40))


def test_rows_that_were_left_out_are_not_forgotten(kept):
    rows = table().map(doubled, on_error="skip").checkpointed(kept).iter_rows()
    for _ in range(20):
        next(rows)
    rows.close()
    with pytest.raises(data.StaleCheckpoint, match="2 rows of what is kept were left out by an op"):
        table().map(doubled).checkpointed(kept).take_all()


def test_what_comes_after_has_its_own(placement, dead, kept):
    kept_rows = table().map(doubled, on_error="skip").checkpointed(kept)
    for _ in range(3):
        ds = kept_rows.map(Checked, concurrency=1, on_error="skip", dead_letter=dead)
        assert ds.count() == 40 - len(BAD) - 1
        assert left_out(dead) == [{"v": 10}]


# Names of files ---------------------------------------------------------------------------------


def refuse(row):
    raise ValueError(f"no {object()}")


def refused(ds, dead):
    return ds.map(refuse, on_error="skip", dead_letter=dead)


SHARDS = {
    "split": lambda ds: ds.split(2),
    "split at an index": lambda ds: ds.split_at_indices([3]),
    "parts of parts": lambda ds: [part for half in ds.split(2) for part in half.split(2)],
    "kept parts": lambda ds: [part.materialize().repartition(1) for part in ds.split(3)],
    "windows": lambda ds: list(ds.window(blocks_per_window=1).iter_datasets()),
    "train and test": lambda ds: ds.train_test_split(0.5),
}


@pytest.mark.parametrize("shards", SHARDS)
def test_equal_rows_of_parts_have_their_own(placement, dead, shards):
    whole = data.from_items([{"a": 1}] * 6).repartition(2)
    for _ in range(2):
        for part in SHARDS[shards](whole):
            assert refused(part, dead).count() == 0
        assert left_out(dead) == [{"a": 1}] * 6


def test_equal_rows_of_shares_have_their_own(placement, dead, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(4):
        (tmp_path / "in" / f"{number}.csv").write_text("a\n1\n1\n")
    whole = refused(data.read_csv(str(tmp_path / "in")), dead)
    for _ in range(2):
        for share in whole.streaming_split(2):
            assert list(share.iter_rows()) == []
        assert left_out(dead) == [{"a": 1}] * 8


def test_equal_rows_of_operators_have_their_own(placement, dead):
    def at(numbers):
        def check(row):
            if row["n"] in numbers:
                raise ValueError
            return {**row, "n": 0} if row["n"] == 7 else row

        return check

    ds = data.from_items([{"n": 0}, {"n": 7}, {"n": 1}])
    ds = ds.map(at({0}), on_error="skip", dead_letter=dead)
    ds = ds.map(at({0}), on_error="skip", dead_letter=dead).sort("n")
    ds = ds.map(at({1}), on_error="skip", dead_letter=dead)
    for _ in range(2):
        assert ds.count() == 0
        assert sorted(row["n"] for row in left_out(dead)) == [0, 0, 1]
