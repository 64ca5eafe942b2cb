"""Plans come to an end of being rewritten and give what they gave: any steps, any source."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air import data
from air.data import col
from air.data.blocks.metadata import BlockMetadata
from air.data.datasource import Datasource, ReadTask
from air.data.optimizer import optimize
from air.data.plan import Map, Read
from air.data.preprocessors import StandardScaler
from air.data.transforms import SelectColumns

FRAME = pd.DataFrame({"a": range(12), "b": [n % 4 for n in range(12)], "c": [3, 1, 2] * 4})
OTHER = pd.DataFrame({"b": [0, 2, 3], "d": [5, 7, 9]})
CUT = 1


class Source(Datasource):
    """The rows of a frame, in two pieces."""

    def __init__(self, frame, can_narrow):
        self.frame, self.can_narrow = frame, can_narrow

    def get_read_tasks(self, parallelism):
        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        half = len(self.frame) // 2
        parts = [table.slice(0, half), table.slice(half)]
        return [ReadTask(lambda part=part: [part], BlockMetadata(len(part))) for part in parts]

    def columns(self):
        return list(self.frame.columns)

    def with_columns(self, columns):
        return Source(self.frame[list(columns)], True) if self.can_narrow else None


SOURCES = {
    "blocks": lambda frame: data.from_pandas([frame[:5], frame[5:]]),
    "source": lambda frame: data.read_datasource(Source(frame, False)),
    "narrow source": lambda frame: data.read_datasource(Source(frame, True)),
    "sorted": lambda frame: data.from_pandas(frame).sort("a"),
}


def _where(name, bound):
    return (
        lambda ds: ds.filter(col(name) > bound),
        lambda frame: frame[frame[name] > bound],
    )


def _where_two(one, other):
    return (
        lambda ds: ds.filter(col(one) + col(other) > 4),
        lambda frame: frame[frame[one] + frame[other] > 4],
    )


def _pick(names):
    return lambda ds: ds.select_columns(names), lambda frame: frame[names]


def _drop(name):
    return lambda ds: ds.drop_columns(name), lambda frame: frame.drop(columns=name)


def _rename(name, new):
    names = {name: new}
    return lambda ds: ds.rename_columns(names), lambda frame: frame.rename(columns=names)


def _make(name, column):
    return (
        lambda ds: ds.with_column(column, col(name) * 2 - 3),
        lambda frame: frame.assign(**{column: frame[name] * 2 - 3}),
    )


def _ordered(name, descending):
    return (
        lambda ds: ds.sort(name, descending=descending),
        lambda frame: frame.sort_values(name, ascending=not descending, kind="stable"),
    )


def _divided(blocks):
    return lambda ds: ds.repartition(blocks), lambda frame: frame


def _first(count):
    return lambda ds: ds.limit(count), lambda frame: frame.head(count)


def _twice():
    return lambda ds: ds.union(ds), lambda frame: pd.concat([frame, frame])


def _join(how):
    return (
        lambda ds: ds.join(data.from_pandas(OTHER), on="b", how=how),
        lambda frame: frame.merge(OTHER, on="b", how=how),
    )


@st.composite
def jobs(draw):
    """Some steps that can follow one another, each for a dataset and for a frame."""
    names = list(FRAME.columns)
    steps = []
    for _ in range(draw(st.integers(1, 7))):
        name, other = draw(st.sampled_from(names)), draw(st.sampled_from(names))
        kinds = ["where", "where", "two", "pick", "make", "first", "twice", "order", "divide"]
        kinds += ["drop", "rename"] if len(names) > 1 else []
        kinds += ["join"] if "b" in names and "d" not in names else []
        kind = draw(st.sampled_from(kinds))
        if kind == "where":
            steps.append(_where(name, draw(st.integers(-1, 6))))
        elif kind == "two":
            steps.append(_where_two(name, other))
        elif kind == "pick":
            names = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
            steps.append(_pick(names))
        elif kind == "drop":
            names = [one for one in names if one != name]
            steps.append(_drop(name))
        elif kind == "rename":
            new = draw(st.sampled_from([one for one in "abcefg" if one not in names]))
            names = [new if one == name else one for one in names]
            steps.append(_rename(name, new))
        elif kind == "make":
            column = draw(st.sampled_from([*names, "z"]))
            names = names if column in names else [*names, column]
            steps.append(_make(name, column))
        elif kind == "first":
            steps.append(_first(draw(st.integers(0, 8))))
        elif kind == "order":
            steps.append(_ordered(name, draw(st.booleans())))
        elif kind == "divide":
            steps.append(_divided(draw(st.integers(1, 4))))
        elif kind == "twice":
            steps.append(_twice())
        else:
            names = [*names, "d"]
            steps.append(_join(draw(st.sampled_from(["inner", "left"]))))
    return steps


@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=25, deadline=None)
@given(steps=jobs())
def test_rewritten_plans_give_what_pandas_gives(source, steps):
    ds, frame = SOURCES[source](FRAME), FRAME
    for of_ds, of_frame in steps:
        ds, frame = of_ds(ds), of_frame(frame)
    found = ds.to_pandas()
    assert list(found.columns) == list(frame.columns)
    expected = frame.reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    plan = optimize(ds.plan)
    assert optimize(plan) is plan


def test_fewer_columns_are_kept_while_rows_are_looked_for():
    for source in SOURCES.values():
        plan = optimize(source(FRAME).filter(col("a") > 1).select_columns(["b"]).plan)
        *_, narrowed = (node.columns() for node in plan.walk() if isinstance(node, Map))
        assert sorted(narrowed) in (["a", "b"], ["a", "b", "c"])


def test_conditions_stay_above_a_choice_of_columns_that_they_cannot_pass():
    narrow = data.from_pandas(FRAME).select_columns(["a", "b"])
    plan = optimize(narrow.filter(col("a") > 1).plan)
    assert isinstance(plan.input.transform, SelectColumns)
    read = data.read_datasource(Source(FRAME, True)).select_columns(["a", "b"])
    plan = optimize(read.filter(col("a") > 1).plan)
    assert isinstance(plan.transform, SelectColumns)
    assert isinstance(plan.input.input, Read)


@pytest.mark.parametrize(
    ("step", "columns"),
    [
        (lambda ds: ds.groupby("b").mean("a"), ["b", "mean(a)"]),
        (lambda ds: ds.groupby(["b", "c"]).count(), ["b", "c", "count()"]),
        (lambda ds: ds.zip(ds), ["a", "b", "c", "a_1", "b_1", "c_1"]),
        (lambda ds: ds.join(ds, on="a"), ["a", "b_x", "c_x", "b_y", "c_y"]),
        (lambda ds: ds.sort("a").limit(0), ["a", "b", "c"]),
        (lambda ds: ds.random_sample(0.5, seed=1), ["a", "b", "c"]),
    ],
)
@pytest.mark.parametrize("source", SOURCES)
def test_columns_are_there_without_rows(source, step, columns):
    ds = step(SOURCES[source](FRAME[:0]))
    assert ds.to_pandas().columns.tolist() == columns == ds.columns()
    assert ds.to_arrow().column_names == columns


def test_no_plain_objects_have_no_columns():
    assert data.range(0).to_arrow().num_rows == 0
    assert data.range(3).limit(0).map(str).take_all() == []
    assert data.from_items([]).to_pandas().empty


class OnlySome(Source):
    """A source that must not be read whole."""

    def get_read_tasks(self, parallelism):
        assert len(self.frame.columns) < len(FRAME.columns)
        return super().get_read_tasks(parallelism)

    def with_columns(self, columns):
        return OnlySome(self.frame[list(columns)], True)


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda ds: ds.sum("a"), 66),
        (lambda ds: ds.mean(["a", "b"]), {"mean(a)": 5.5, "mean(b)": 1.5}),
        (lambda ds: ds.unique("b"), [0, 1, 2, 3]),
        (lambda ds: StandardScaler(["b"]).fit(ds).stats_["mean(b)"], 1.5),
        (lambda ds: ds.sort("b", descending=True).select_columns(["a"]).take(2), [3, 7]),
        (lambda ds: ds.sort("b").select_columns(["a"]).take_all()[:2], [0, 4]),
        (lambda ds: ds.repartition(3).select_columns(["c"]).take(2), [3, 1]),
        (lambda ds: ds.limit(3).select_columns(["b"]).take_all(), [0, 1, 2]),
        (lambda ds: ds.limit(4).limit(2).drop_columns(["b", "c"]).take_all(), [0, 1]),
        (lambda ds: ds.filter(col("a") > 2).limit(2).select_columns(["b"]).take_all(), [3, 0]),
        (lambda ds: ds.union(ds).limit(13).select_columns(["a"]).take_all()[-2:], [11, 0]),
        (lambda ds: ds.union(ds).select_columns(["c"]).take(2), [3, 1]),
        (lambda ds: ds.random_sample(1.0, seed=1).select_columns(["b"]).take(2), [0, 1]),
        (lambda ds: sorted(ds.random_shuffle(seed=1).select_columns(["a"]).to_pandas()["a"]), None),
    ],
)
def test_columns_that_nobody_asks_for_are_not_read(ask, answer):
    found = ask(data.read_datasource(OnlySome(FRAME, True)))
    if answer is None:
        assert found == list(range(12))
    elif isinstance(found, list) and isinstance(found[0], dict):
        assert [value for row in found for value in row.values()] == answer
    else:
        assert found == answer


def test_the_same_rows_are_chosen_of_fewer_columns():
    whole = data.read_datasource(Source(FRAME, True)).random_sample(0.5, seed=2).limit(4)
    assert whole.select_columns(["c"]).to_pandas().equals(whole.to_pandas()[["c"]])


def test_columns_of_a_union_stay_where_some_plans_lack_them():
    other = data.from_pandas(FRAME.rename(columns={"c": "d"}))
    both = data.from_pandas(FRAME).union(other).select_columns(["c"])
    assert both.to_pandas()["c"].tolist()[:3] == [3, 1, 2]
    assert both.to_pandas()["c"].isna().sum() == len(FRAME)
    plan = optimize(both.plan)
    assert optimize(plan) is plan


def test_a_shuffle_of_fewer_columns_is_in_the_order_of_all():
    whole = data.from_pandas(FRAME).random_shuffle(seed=4)
    assert whole.select_columns(["c"]).to_pandas().equals(whole.to_pandas()[["c"]])
