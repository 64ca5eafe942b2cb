"""Columns of every type that Arrow has, through every operator that makes columns anew."""

from __future__ import annotations

import datetime
import decimal
import uuid

import numpy as np
import pyarrow as pa
import pytest

from air import data
from air.data import col
from air.data.blocks import list_views
from air.data.blocks.restoring import restored
from air.data.errors import UnsupportedValue

WHEN = [1, None, 3, 2]
WORDS = ["b", None, "a", "a text too long for a view"]
DIGITS = [decimal.Decimal("1.50"), None, decimal.Decimal("-2.25"), decimal.Decimal(3)]
LISTS = [[1, 2], None, [], [3]]


def stored(kind, values):
    return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))


def categories(ordered):
    return pa.DictionaryArray.from_arrays(
        pa.array([1, None, 0, 1], pa.int8()), pa.array(["lo", "hi"]), ordered=ordered
    )


COLUMNS = {
    "bool": pa.array([True, None, False, True]),
    "uint8": pa.array([1, None, 3, 200], pa.uint8()),
    "uint64": pa.array([1, None, 2**64 - 1, 7], pa.uint64()),
    "float16": pa.array(np.array([1.5, 0, 2, 3], np.float16), mask=np.array([0, 1, 0, 0], bool)),
    "float32": pa.array([1.5, None, 2, 3], pa.float32()),
    "null": pa.nulls(4),
    "string": pa.array(WORDS),
    "large_string": pa.array(WORDS, pa.large_string()),
    "string_view": pa.array(WORDS, pa.string_view()),
    "binary": pa.array([b"b", None, b"a", b""]),
    "large_binary": pa.array([b"b", None, b"a", b""], pa.large_binary()),
    "binary_view": pa.array([b"b", None, b"a", b"x" * 20], pa.binary_view()),
    "fixed_binary": pa.array([b"bb", None, b"aa", b"cc"], pa.binary(2)),
    "categories": pa.array(["b", None, "a", "b"]).dictionary_encode(),
    "ordered": categories(True),
    "numbered": pa.DictionaryArray.from_arrays(pa.array([1, None, 0, 1]), pa.array([10, 20])),
    "decimal32": pa.array(DIGITS, pa.decimal32(5, 2)),
    "decimal64": pa.array(DIGITS, pa.decimal64(12, 2)),
    "decimal128": pa.array(DIGITS, pa.decimal128(10, 2)),
    "decimal256": pa.array(DIGITS, pa.decimal256(50, 2)),
    "timestamp": pa.array([datetime.datetime(2020, 1, 2), None, *WHEN[2:]], pa.timestamp("us")),
    "nanoseconds": pa.array(WHEN, pa.timestamp("ns")),
    "zoned": pa.array(WHEN, pa.timestamp("us", "Europe/Zurich")),
    "duration": pa.array(WHEN, pa.duration("us")),
    "seconds": pa.array(WHEN, pa.duration("s")),
    "date32": pa.array(WHEN, pa.date32()),
    "date64": pa.array(WHEN, pa.date32()).cast(pa.date64()),
    "time32": pa.array(WHEN, pa.time32("s")),
    "time64": pa.array(WHEN, pa.time64("us")),
    "list": pa.array(LISTS, pa.list_(pa.int32())),
    "nulls_inside": pa.array([[1, None], None, [], [3]], pa.list_(pa.int64())),
    "large_list": pa.array(LISTS, pa.large_list(pa.int32())),
    "list_view": pa.array(LISTS, pa.list_view(pa.int32())),
    "texts": pa.array([["a", "b"], None, [], ["c"]]),
    "nested": pa.array([[[1], [2, 3]], None, [], [[3]]]),
    "structs": pa.array([[{"a": 1}], None, [], [{"a": 3}]]),
    "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}, {"a": 3, "b": None}]),
    "map": pa.array(
        [[("a", 1)], None, [], [("b", 2), ("c", None)]], pa.map_(pa.string(), pa.int32())
    ),
    "tensor": stored(pa.fixed_shape_tensor(pa.float32(), (2, 2)), [[1, 2, 3, 4]] * 4),
    "some_tensors": stored(
        pa.fixed_shape_tensor(pa.float32(), (2, 1)), [[1, 2], None, [1, 2], [5, 6]]
    ),
    "fixed_list": pa.array([[1, 2], None, [3, 4], [5, 6]], pa.list_(pa.int16(), 2)),
    "full_list": pa.array([[1, 2], [7, 8], [3, 4], [5, 6]], pa.list_(pa.int16(), 2)),
    "uuid": stored(pa.uuid(), [uuid.UUID(int=3).bytes, None, *[uuid.UUID(int=1).bytes] * 2]),
    "json": stored(pa.json_(pa.string()), ['{"a":1}', None, "1", "2"]),
    "bool8": stored(pa.bool8(), [1, None, 0, 1]),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2, 4], pa.int32()), pa.array(["a", "b"])),
    "runs_of_numbers": pa.RunEndEncodedArray.from_arrays(
        pa.array([1, 2, 4], pa.int32()), pa.array([5, None, 7])
    ),
}
TABLE = pa.table({"i": [3, 1, 2, 0], **COLUMNS})
OF_POLARS = {"ordered": pa.dictionary(pa.int32(), pa.string())}
"""Categories lose their order in Polars."""


def given():
    return data.from_arrow(TABLE).repartition(2)


def other():
    return data.from_arrow(pa.table({"i": [3, 1, 2, 0], "z": [1, 2, 3, 4]}))


def same(found, order=(0, 1, 2, 3), table=TABLE, becomes=()):
    for name in table.column_names:
        kind = dict(becomes).get(name, table[name].type)
        assert found[name].type == kind, name
        values = table[name].to_pylist()
        assert repr(found[name].to_pylist()) == repr([values[at] for at in order]), name


IN_ORDER = {
    "default": lambda ds: ds.map_batches(lambda batch: batch),
    "pandas": lambda ds: ds.map_batches(lambda batch: batch, batch_format="pandas"),
    "pyarrow": lambda ds: ds.map_batches(lambda batch: batch, batch_format="pyarrow"),
    "map": lambda ds: ds.map(lambda row: row),
    "flat_map": lambda ds: ds.flat_map(lambda row: [row]),
    "filter": lambda ds: ds.filter(lambda row: True),
    "repartition": lambda ds: ds.repartition(3).repartition(1),
    "union": lambda ds: ds.union(ds).limit(4),
    "zip": lambda ds: ds.select_columns(["i"]).zip(ds.drop_columns(["i"])),
    "join": lambda ds: ds.join(other(), on="i"),
    "held": lambda ds: other().join(ds, on="i"),
    "add_column": lambda ds: ds.add_column("y", lambda batch: batch["i"] * 2),
    "with_column": lambda ds: ds.with_column("y", col("i") + 1),
    "materialize": lambda ds: ds.materialize(),
}
SORTED = {
    "sort": lambda ds: ds.sort("i"),
    "shuffle": lambda ds: ds.random_shuffle(seed=1).sort("i"),
    "groups": lambda ds: ds.groupby("i").map_groups(lambda batch: batch),
    "groups_of_pandas": lambda ds: ds.groupby("i").map_groups(
        lambda batch: batch, batch_format="pandas"
    ),
}


@pytest.mark.parametrize("step", IN_ORDER)
def test_rows_keep_types_and_values(step, placement):
    same(IN_ORDER[step](given()).to_arrow())


@pytest.mark.parametrize("step", SORTED)
def test_types_and_values_in_another_order(step, placement):
    same(SORTED[step](given()).to_arrow(), (3, 1, 2, 0))


def test_chosen_rows():
    same(given().filter(col("i") != 1).to_arrow(), (0, 2, 3))
    same(given().filter(lambda row: row["i"] != 1).to_arrow(), (0, 2, 3))
    joined = data.from_arrow(pa.table({"i": [9, 2]})).join(given(), on="i", how="left").to_arrow()
    for name in COLUMNS:
        assert joined[name].to_pylist() == [None, TABLE[name][2].as_py()], name
        assert joined[name].type == TABLE[name].type


def test_batches_of_polars():
    table = TABLE.drop_columns(["decimal256"])
    ds = data.from_arrow(table).repartition(2)
    made = ds.map_batches(lambda batch: batch, batch_format="polars")
    same(made.to_arrow(), table=table, becomes=OF_POLARS)
    assert ds.to_polars().shape == table.shape


KEYS = [
    *("bool", "uint8", "uint64", "float16", "float32", "null", "string", "large_string"),
    *("string_view", "binary", "large_binary", "binary_view", "fixed_binary", "categories"),
    *("ordered", "numbered", "decimal32", "decimal64", "decimal128", "decimal256", "timestamp"),
    *("nanoseconds", "zoned", "duration", "seconds", "date32", "date64", "time32", "time64"),
]


@pytest.mark.parametrize("key", COLUMNS)
def test_keys_of_every_type(key):
    """Groups, joins and sorts by each have its type again; others are refused by name."""
    ds = data.from_arrow(TABLE.select(["i", key])).repartition(2)
    steps = {
        "sort": lambda: ds.sort(key),
        "groupby": lambda: ds.groupby(key).count(),
        "join": lambda: ds.join(other().zip(ds.select_columns([key])), on=key),
        "distinct": lambda: ds.distinct([key]),
        "train_test_split": lambda: ds.union(ds).union(ds).train_test_split(4, stratify=key)[1],
    }
    for name, step in steps.items():
        if key in KEYS:
            found = step().to_arrow()
            assert found[key].type == TABLE[key].type, name
            assert {*found[key].to_pylist()} == {*TABLE[key].to_pylist()}, name
        else:
            with pytest.raises(UnsupportedValue, match=rf"{name}.*'{key}' has the type"):
                step().to_arrow()


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 2, 1)])
def test_tensors_may_lie_in_memory_in_any_order(placement, tmp_path, axes):
    """Arrow notes the order of their axes in the type, also where it is the usual one."""
    values = np.arange(24.0).reshape(4, 2, 3).transpose(axes)
    table = pa.table({"t": pa.FixedShapeTensorArray.from_numpy_ndarray(values), "i": range(4)})
    assert table.schema.field("t").type.permutation is not None
    data.from_arrow(table).write_parquet(str(tmp_path))
    for ds in (data.from_arrow(table), data.read_parquet(str(tmp_path))):
        for made in (
            ds,
            ds.map_batches(dict),
            ds.map(dict),
            ds.sort("i").filter(data.col("i") >= 0),
            ds.union(ds).limit(4),
            ds.repartition(3),
        ):
            assert np.array_equal(np.stack(list(made.take_batch(4)["t"])), values)
        none = ds.filter(data.col("i") > 9)
        assert none.to_arrow().schema == none.map_batches(pyarrow_identity).schema() == table.schema


def pyarrow_identity(batch: pa.Table) -> pa.Table:
    return batch


VIEWS = pa.ListViewArray.from_arrays(
    pa.array([2, 0, 0, 1], pa.int32()),
    pa.array([1, 2, 0, 1], pa.int32()),
    pa.array([1, 2, 3]),
    mask=pa.array([False, False, True, False]),
)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.int64()),
        pa.large_list(pa.int32()),
        pa.list_view(pa.int32()),
        pa.large_list_view(pa.int64()),
    ],
    ids=str,
)
def test_views_of_lists_become_the_lists_that_there_were_before(kind):
    made = restored(VIEWS.slice(1), kind)
    made.validate(full=True)
    assert made.type == kind
    assert made.to_pylist() == VIEWS.to_pylist()[1:]
    both = restored(pa.chunked_array([VIEWS, VIEWS.slice(2)]), kind)
    assert both.type == kind
    assert both.to_pylist() == [*VIEWS.to_pylist(), *VIEWS.to_pylist()[2:]]


def test_lists_are_the_same_as_views_and_back():
    lists = list_views.as_lists(VIEWS)
    lists.validate(full=True)
    assert lists.to_pylist() == VIEWS.to_pylist()
    views = list_views.as_views(lists.slice(1), VIEWS.type)
    views.validate(full=True)
    assert views.type == VIEWS.type
    assert views.to_pylist() == VIEWS.to_pylist()[1:]
