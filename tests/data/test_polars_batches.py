"""Batches as data frames of Polars, whose types come back as what they were."""

from __future__ import annotations

import datetime
import decimal
import sys

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from air import data
from air.data.errors import UnsupportedValue
from air.data.polars.batches import from_batch, to_batch

settings.register_profile("data", deadline=None, max_examples=25)
settings.load_profile("data")

NOON = datetime.datetime(2024, 5, 6, 12, 30, 15, 123456)
TENSORS = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(12.0).reshape(3, 2, 2))

SURVIVE = {
    "int8": pa.array([1, None, -3], pa.int8()),
    "uint64": pa.array([2**64 - 1, None, 0], pa.uint64()),
    "float": pa.array([1.5, None, -0.0], pa.float32()),
    "half": pa.array(np.array([1, 2, 3], np.float16)),
    "bool": pa.array([True, None, False]),
    "text": pa.array(["ü", None, ""]),
    "bytes": pa.array([b"\xff", None, b""]),
    "category": pa.array(["x", None, "y"]).dictionary_encode(),
    "decimal": pa.array(
        [decimal.Decimal("1.50"), None, decimal.Decimal("-2")], pa.decimal128(9, 2)
    ),
    "date": pa.array([datetime.date(2024, 2, 29), None, datetime.date(1, 1, 1)]),
    "time": pa.array([datetime.time(1, 2, 3, 4), None, None], pa.time64("ns")),
    "naive": pa.array([NOON, None, NOON], pa.timestamp("us")),
    "zone": pa.array([NOON, None, NOON], pa.timestamp("ns", "Europe/Berlin")),
    "duration": pa.array([5, None, -1], pa.duration("us")),
    "list": pa.array([[1, None], None, []]),
    "lists of text": pa.array([[["a"], []], None, [["b", None]]]),
    "struct": pa.array([{"a": 1, "b": ["x"]}, None, {"a": None, "b": None}]),
    "tensor": TENSORS,
    "tensor with a hole": pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.int8(), (2,)),
        pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)),
    ),
    "nothing": pa.nulls(3),
}
NEAREST = {
    "seconds": (pa.array([1, None], pa.timestamp("s")), pa.timestamp("ms")),
    "time of day": (pa.array([1, None], pa.time32("s")), pa.time64("ns")),
    "offset": (pa.array([NOON, None], pa.timestamp("us", "+05:30")), pa.timestamp("us", "UTC")),
    "two bytes": (pa.array([b"ab", None], pa.binary(2)), pa.binary()),
    "large text": (pa.array(["a", None], pa.large_string()), pa.string()),
    "numbers": (pa.array([5, 6]).dictionary_encode(), pa.int64()),
    "days": (pa.array([86_400_000, None], pa.date64()), pa.date32()),
}


@pytest.fixture(scope="module", autouse=True)
def _polars_is_warm():
    """Polars keeps what it waits for files with from its first use on; it is no leak of a test."""
    pl.from_arrow(pa.table({"a": pa.chunked_array([[1], [2]])})).filter(pl.col("a") > 1).to_dicts()
    pl.DataFrame({"a": [1]}).lazy().collect()


# Types ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SURVIVE)
def test_types_survive(name):
    table = pa.table({name: SURVIVE[name]})
    for part in (table, table.slice(1), table.slice(0, 0), pa.concat_tables([table, table])):
        again = from_batch(to_batch(part))
        assert again.schema.equals(table.schema)
        assert again[name].combine_chunks().to_pylist() == part[name].to_pylist()


@pytest.mark.parametrize("name", NEAREST)
def test_others_become_the_nearest(name):
    values, kind = NEAREST[name]
    again = from_batch(to_batch(pa.table({name: values})))
    assert again.schema.field(name).type == kind
    cast = values.cast(kind) if not pa.types.is_dictionary(values.type) else values
    assert again[name].to_pylist() == cast.to_pylist()


@pytest.mark.parametrize(
    "kind",
    [pa.decimal256(50, 2), pa.month_day_nano_interval(), pa.list_(pa.decimal256(50, 2))],
)
def test_what_polars_cannot_hold_is_named(placement, kind):
    ds = data.from_arrow(pa.table({"x": pa.nulls(2, kind)}))
    for use in (
        lambda: ds.take_batch(batch_format="polars"),
        ds.map_batches(lambda f: f, batch_format="polars").take_all,
    ):
        with pytest.raises(UnsupportedValue, match=r"the column 'x' holds .*no type for; cast it"):
            use()


def test_what_arrow_cannot_hold_is_named(placement):
    def odd(frame):
        return pl.DataFrame({"x": [object()]})

    with pytest.raises(UnsupportedValue, match="the column 'x' is of the type Object"):
        data.range_table(1).map_batches(odd).take_all()


# Datasets -------------------------------------------------------------------------------------


def everything():
    return data.from_arrow(pa.table(SURVIVE)).repartition(2)


def test_all_types_through_a_function(placement):
    ds = everything().map_batches(lambda frame: frame, batch_format="polars", batch_size=2)
    again, table = ds.to_arrow(), pa.table(SURVIVE)
    assert again.schema.equals(table.schema)
    for name in table.column_names:  # categories may have other numbers
        assert again[name].to_pylist() == table[name].to_pylist()


def annotated(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(double=pl.col("value") * 2).filter(pl.col("value") % 2 == 1)


def named(frame: "pl.DataFrame"):  # noqa: UP037
    assert isinstance(frame, pl.DataFrame)
    return {"v": frame["value"], "w": frame["value"] + 1}


def test_the_format_is_read_off_the_annotation(placement):
    ds = data.range_table(6, parallelism=2)
    assert ds.map_batches(annotated).take_all() == [
        {"value": i, "double": 2 * i} for i in (1, 3, 5)
    ]
    assert ds.map_batches(named).take(1) == [{"v": 0, "w": 1}]
    added = ds.add_column("v", lambda frame: frame["value"] * 3, batch_format="polars")
    assert [row["v"] for row in added.take_all()] == [0, 3, 6, 9, 12, 15]


def test_plain_objects_are_a_column():
    ds = data.range(3)
    batches = list(ds.iter_batches(batch_size=2, batch_format="polars"))
    assert [batch["value"].to_list() for batch in batches] == [[0, 1], [2]]


def test_what_is_no_frame_is_refused(placement):
    ds = data.range_table(2).map_batches(lambda frame: frame.lazy(), batch_format="polars")
    with pytest.raises(UnsupportedValue, match=r"got LazyFrame; collect\(\) it"):
        ds.take_all()
    ds = data.range_table(2).add_column("v", lambda frame: frame, batch_format="polars")
    with pytest.raises(UnsupportedValue, match="must return the values of one column"):
        ds.take_all()


def test_where_it_is_not_installed_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    ds = data.range_table(2)
    uses = (
        lambda: next(ds.iter_batches(batch_format="polars")),
        lambda: ds.map_batches(dict, batch_format="polars"),
    )
    for use in uses:
        with pytest.raises(ImportError, match=r'pip install "airloom\[polars\]"'):
            use()


rows = st.fixed_dictionaries(
    {
        "n": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        "s": st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=3)),
        "l": st.one_of(st.none(), st.lists(st.one_of(st.none(), st.booleans()), max_size=3)),
    }
)
SCHEMA = pa.schema([("n", pa.int64()), ("s", pa.string()), ("l", pa.list_(pa.bool_()))])


@given(st.lists(rows, max_size=12), st.integers(1, 4), st.integers(1, 5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows(placement, items, blocks, batch_size):
    table = pa.Table.from_pylist(items, SCHEMA)
    ds = data.from_arrow(table).repartition(blocks)
    same = ds.map_batches(lambda frame: frame, batch_format="polars", batch_size=batch_size)
    assert same.to_arrow().equals(table) or not items
