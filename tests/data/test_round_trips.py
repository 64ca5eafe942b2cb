"""Values of every type through batches of every format, and through files of every format.

What a format does not keep is refused by name, or comes back as its writer's docstring says.
"""

from __future__ import annotations

import datetime
import functools
import json as standard

import duckdb
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyarrow import json

from air import data

WHEN = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1))
WHOLE_SECONDS = WHEN.map(lambda t: t.replace(microsecond=0))
TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
NUMBERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)
SINGLES = st.floats(allow_nan=False, width=32)

KINDS = {
    "int64": (pa.int64(), st.integers(-9, 9) | NUMBERS),
    "int8": (pa.int8(), st.integers(-128, 127)),
    "uint64": (pa.uint64(), st.integers(0, 2**63 - 1)),
    "float64": (pa.float64(), FLOATS),
    "float32": (pa.float32(), SINGLES),
    "bool": (pa.bool_(), st.booleans()),
    "text": (pa.string(), TEXT.map("x{}".format)),
    "large_text": (pa.large_string(), TEXT.map("x{}".format)),
    "bytes": (pa.binary(), st.binary(max_size=4) | st.just(b"\0a\0")),
    "fixed_bytes": (pa.binary(2), st.binary(min_size=2, max_size=2)),
    "date": (pa.date32(), st.dates()),
    "time": (pa.time64("us"), st.times()),
    "time_s": (pa.time32("s"), st.times().map(lambda t: t.replace(microsecond=0))),
    "timestamp": (pa.timestamp("us"), WHEN),
    "timestamp_s": (pa.timestamp("s"), WHOLE_SECONDS),
    "zoned": (
        pa.timestamp("us", "Europe/Zurich"),
        WHEN.map(lambda t: t.replace(tzinfo=datetime.UTC)),
    ),
    "duration": (pa.duration("us"), st.timedeltas(datetime.timedelta(-9), datetime.timedelta(9))),
    "decimal": (pa.decimal128(15, 3), st.decimals(-(10**9), 10**9, places=3)),
    "list": (pa.list_(pa.int64()), st.lists(st.none() | NUMBERS, max_size=3)),
    "singles": (pa.list_(pa.float32()), st.lists(SINGLES, max_size=3)),
    "nested": (pa.list_(pa.list_(pa.string())), st.lists(st.lists(TEXT, max_size=2), max_size=2)),
    "struct": (
        pa.struct({"x": pa.int64(), "y": pa.string()}),
        st.fixed_dictionaries({"x": st.none() | NUMBERS, "y": st.none() | TEXT}),
    ),
    "map": (pa.map_(pa.string(), pa.int8()), st.dictionaries(TEXT, st.integers(0, 9), max_size=2)),
    "category": (pa.dictionary(pa.int32(), pa.string()), st.sampled_from(["x", "ü", "xyz"])),
    "ragged": (
        pa.list_(pa.list_(pa.uint8())),
        st.tuples(st.integers(1, 3), st.integers(1, 3)).map(lambda s: [[7] * s[1]] * s[0]),
    ),
    "tensor": (
        pa.fixed_shape_tensor(pa.float32(), (2, 3)),
        st.lists(SINGLES, min_size=6, max_size=6),
    ),
    "vector": (pa.fixed_shape_tensor(pa.int64(), (2,)), st.lists(NUMBERS, min_size=2, max_size=2)),
    "flags": (pa.list_(pa.bool_(), 2), st.lists(st.booleans(), min_size=2, max_size=2)),
}

WAYS = {
    "default": lambda ds: ds.map_batches(lambda batch: batch),
    "numpy": lambda ds: ds.map_batches(lambda batch: batch, batch_format="numpy"),
    "pandas": lambda ds: ds.map_batches(lambda batch: batch, batch_format="pandas"),
    "polars": lambda ds: ds.map_batches(lambda batch: batch, batch_format="polars"),
    "pyarrow": lambda ds: ds.map_batches(lambda batch: batch, batch_format="pyarrow"),
    "map": lambda ds: ds.map(lambda row: row),
    "flat_map": lambda ds: ds.flat_map(lambda row: [row]),
}
"""Functions that give back what they are given."""


def column_of(kind, values):
    """A column of Arrow; of maps from dictionaries."""
    made = KINDS[kind][0]
    if isinstance(made, pa.FixedShapeTensorType):
        return pa.ExtensionArray.from_storage(made, pa.array(values, made.storage_type))
    if pa.types.is_map(made):
        values = [None if value is None else list(value.items()) for value in values]
    return pa.array(values, made)


@st.composite
def tables(draw, kinds, max_size=6):
    """Tables of columns of *kinds*, some of them without any value, or without nulls."""
    rows = draw(st.integers(1, max_size))
    columns = {}
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=5, unique=True)):
        each = st.none() | KINDS[kind][1]
        values = st.lists(each, min_size=rows, max_size=rows)
        full = st.lists(KINDS[kind][1], min_size=rows, max_size=rows)
        columns[kind] = column_of(kind, draw(values | full | st.just([None] * rows)))
    return pa.table(columns)


def is_less(found, kind):
    """Whether a type is another one, but for parts of which there is no value at all."""
    if found == kind or pa.types.is_null(found):
        return True
    if pa.types.is_struct(found) and pa.types.is_struct(kind):
        return all(is_less(one.type, other.type) for one, other in zip(found, kind, strict=True))
    is_list = pa.types.is_list(found) and pa.types.is_list(kind)
    return is_list and is_less(found.value_type, kind.value_type)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=12, deadline=None)
@given(tables(list(KINDS)), st.integers(1, 3))
def test_types_and_nulls_survive_batches(way, table, blocks):
    found = WAYS[way](data.from_arrow(table).repartition(blocks)).to_arrow()
    assert found.column_names == table.column_names
    for name in table.column_names:
        assert repr(found[name].to_pylist()) == repr(table[name].to_pylist()), name
        assert is_less(found[name].type, table[name].type), name


@pytest.mark.parametrize("way", WAYS)
def test_the_type_of_a_column_does_not_depend_on_the_values_of_a_block(way):
    values = [1, None, 2**62 + 1, None, 3, 4]
    ds = WAYS[way](data.from_arrow(pa.table({"x": values})).repartition(3)).materialize()
    assert ds.to_arrow() == pa.table({"x": values})
    each = [block.to_arrow().schema for block in ds.split(3)]
    assert [kind.field("x").type for kind in each] == [pa.int64()] * 3


@pytest.mark.parametrize("batch_format", ["numpy", "pandas"])
def test_selected_rows_keep_types(batch_format):
    table = pa.table(
        {"n": pa.array([1, None, 3, None], pa.int16()), "x": [1.5, None, float("nan"), 2]}
    )

    def turned(batch):
        if batch_format == "pandas":
            return batch.iloc[::-1]
        return {name: values[::-1] for name, values in batch.items()}

    found = data.from_arrow(table).map_batches(turned, batch_format=batch_format).to_arrow()
    assert found.schema == table.schema
    assert found["n"].to_pylist() == [None, 3, None, 1]
    # pandas has one thing for what is missing and what is no number.
    third = "None" if batch_format == "pandas" else "nan"
    assert str(found["x"].to_pylist()) == f"[2.0, {third}, None, 1.5]"


def test_categories_of_which_there_are_none():
    table = pa.table({"c": pa.nulls(2, pa.dictionary(pa.int32(), pa.string()))})
    ds = data.from_arrow(table).map_batches(lambda batch: batch, batch_format="pandas")
    assert ds.to_arrow() == table


def test_what_numpy_computes_is_plain():
    ds = data.from_arrow(pa.table({"n": [1, None, 3]}))
    found = ds.map_batches(lambda batch: {"n": batch["n"] * 2}).to_arrow()
    assert str(found["n"].to_pylist()) == "[2.0, nan, 6.0]"


def test_what_pandas_computes_is_of_one_type_with_nulls_and_without():
    ds = data.from_arrow(pa.table({"n": [1, None, 3, 4]})).repartition(2)
    made = ds.map_batches(lambda frame: frame.assign(n=frame.n * 2), batch_format="pandas")
    assert made.to_arrow() == pa.table({"n": [2, None, 6, 8]})


@pytest.mark.parametrize("way", ["map", "pandas"])
def test_values_that_do_not_fit_get_a_type_that_they_fit(way):
    table = pa.table(
        {"n": pa.array([1, 2], pa.int8()), "d": pa.array(["a", "b"]).dictionary_encode()}
    )
    ds = data.from_arrow(table)
    if way == "map":
        made = ds.map(lambda row: {"n": row["n"] + 127, "d": 1})
    else:
        made = ds.map_batches(
            lambda frame: frame.assign(n=frame.n.astype("int64") + 127, d=1), batch_format="pandas"
        )
    assert made.to_arrow() == pa.table({"n": [128, 129], "d": [1, 1]})


TYPED = ("parquet", "arrow", "stream")
"""Formats that say of what type a column is."""

REFUSED = {
    "csv": {
        *("bytes", "fixed_bytes", "duration", "list", "singles", "nested", "struct", "map"),
        *("ragged", "tensor", "vector", "flags"),
    },
    "json": {"bytes", "fixed_bytes", "duration", "map", "tensor", "vector"},
    "avro": {"uint64", "time_s", "duration", "tensor", "vector", "flags"},
    "tfrecords": {
        *("date", "time", "time_s", "timestamp", "timestamp_s", "zoned", "duration", "decimal"),
        *("nested", "struct", "map", "ragged", "tensor", "vector"),
    },
}
"""What each format refuses, by name."""

STORED = {
    "parquet": {"timestamp_s": pa.timestamp("ms"), "time_s": pa.time32("ms")},
    "avro": {
        "int8": pa.int32(),
        "large_text": pa.string(),
        "timestamp_s": pa.timestamp("ms"),
        "zoned": pa.timestamp("us", "UTC"),
        "category": pa.string(),
        "ragged": pa.list_(pa.list_(pa.int32())),
        "map": pa.map_(pa.string(), pa.int32()),
    },
}
"""What becomes of types that a format lacks."""


def written(ds, form, path):
    """*ds* written in a format and read again."""
    if form == "stream":
        ds.write_arrow(path, format="stream")
    else:
        getattr(ds, f"write_{form}")(path)
    return getattr(data, f"read_{'arrow' if form == 'stream' else form}")(path).to_arrow()


@pytest.mark.parametrize("form", [*TYPED, "avro"])
@settings(max_examples=15, deadline=None, phases=[Phase.generate])
@given(st.data(), st.sampled_from(list(WAYS)), st.integers(1, 2))
def test_typed_files(tmp_path_factory, form, draw, way, blocks):
    kinds = [kind for kind in KINDS if kind not in REFUSED.get(form, ())]
    table = draw.draw(tables(kinds))
    ds = WAYS[way](data.from_arrow(table).repartition(blocks)).materialize()
    given_, found = ds.to_arrow(), written(ds, form, tmp_path_factory.mktemp("x"))
    assert found.column_names == table.column_names
    for name in table.column_names:
        kind = STORED.get(form, {}).get(name, given_[name].type)
        if not pa.types.is_null(given_[name].type):
            assert is_less(found[name].type, kind), name
            assert repr(found[name].to_pylist()) == repr(given_[name].cast(kind).to_pylist()), name


@pytest.mark.parametrize("form", ["csv", "json"])
@settings(max_examples=15, deadline=None, phases=[Phase.generate])
@given(st.data(), st.sampled_from(list(WAYS)), st.integers(1, 2))
def test_files_without_types(tmp_path_factory, form, draw, way, blocks):
    """Brought back to the types that they had, values are what they were."""
    unfit = {"float64", "float32", "singles"} if form == "json" else {"large_text", "text"}
    kinds = [kind for kind in KINDS if kind not in REFUSED[form] | unfit]
    table = draw.draw(tables(kinds))
    ds = WAYS[way](data.from_arrow(table).repartition(blocks)).materialize()
    given_, found = ds.to_arrow(), written(ds, form, tmp_path_factory.mktemp("x"))
    assert found.column_names == table.column_names
    for name in table.column_names:
        if pa.types.is_null(given_[name].type):
            continue
        assert back(found[name], table[name].type).to_pylist() == table[name].to_pylist(), name


def back(column, kind):
    if pa.types.is_time(kind) and pa.types.is_string(column.type):
        values = column.to_pylist()
        times = [None if v is None else datetime.time.fromisoformat(v) for v in values]
        return pa.chunked_array([pa.array(times, kind)])
    if pa.types.is_nested(kind) or pa.types.is_null(column.type):
        return column
    return column.cast(kind)


def test_old_times_of_zones_in_csv(tmp_path):
    """Until 1972 there were zones whose offsets have seconds, which CSV would be without."""
    when = pa.array([-(10**15), None], pa.timestamp("us", "Europe/Zurich"))
    found = written(data.from_arrow(pa.table({"a": [1, 2], "t": when})), "csv", tmp_path)
    assert found["t"].cast(when.type).to_pylist() == when.to_pylist()


@pytest.mark.parametrize("parse_options", [None, json.ParseOptions(newlines_in_values=True)])
@pytest.mark.parametrize(
    "values", [[None, -5, None], [None, "a"], [[None, 1.5]], [{"x": [None, 1]}, None], [None] * 3]
)
def test_nulls_at_the_beginning_of_lists_in_json(tmp_path, values, parse_options):
    (tmp_path / "a.json").write_text(standard.dumps({"a": values}) + "\n")
    found = data.read_json(tmp_path, parse_options=parse_options)
    assert found.take_all() == [{"a": values}]


@pytest.mark.parametrize(
    ("form", "kind"), [(form, kind) for form, kinds in REFUSED.items() for kind in sorted(kinds)]
)
def test_what_is_not_held_is_refused_by_name(tmp_path, form, kind):
    column = column_of(kind, [1 if kind == "uint64" else None])
    with pytest.raises(data.WriteError, match=f"write_{form}: column 'c' has the type .* hold; "):
        written(data.from_arrow(pa.table({"a": [1], "c": column})), form, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


HELD_BY_ARRAYS = {"date", "timestamp", "timestamp_s", "duration"}
"""Also where there are nulls: numpy has a time that is none."""
HELD_WITHOUT_NULLS = {
    *("int64", "int8", "uint64", "float64", "float32", "bool", "text", "tensor", "vector", "flags"),
}


@pytest.mark.parametrize("kind", set(KINDS) - {"bytes", "large_text"})
@settings(max_examples=4, deadline=None)
@given(st.data())
def test_arrays_of_numpy(tmp_path_factory, kind, draw):
    column = draw.draw(tables([kind]))[kind]
    ends = any(isinstance(v, str) and v.endswith("\0") for v in column.to_pylist())
    path, ds = tmp_path_factory.mktemp("x"), data.from_arrow(pa.table({"data": column}))
    if kind in HELD_BY_ARRAYS or (
        kind in HELD_WITHOUT_NULLS and not column.null_count and not ends
    ):
        found = written(ds, "numpy", path)["data"]
        assert found.type == column.type
        assert repr(found.to_pylist()) == repr(column.to_pylist())
    else:
        with pytest.raises(data.WriteError, match="write_numpy: column 'data' has the type"):
            ds.write_numpy(path)


@pytest.mark.parametrize(
    ("column", "form", "message"),
    [
        (pa.array([2**63], pa.uint64()), "json", "whole numbers above 9223372036854775807"),
        (pa.array([[2**64 - 1]], pa.list_(pa.uint64())), "json", "whole numbers above"),
        (pa.array([None], pa.month_day_nano_interval()), "csv", "which CSV cannot hold"),
        (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "parquet", "which Parquet cannot"),
        (pa.array([b"ab"]).dictionary_encode(), "csv", "which CSV cannot hold"),
    ],
)
def test_rare_types_are_refused_by_name(tmp_path, column, form, message):
    with pytest.raises(data.WriteError, match=f"write_{form}: column 'c' .*{message}"):
        written(data.from_arrow(pa.table({"c": column})), form, tmp_path / "x")


@pytest.mark.parametrize(
    ("column", "form", "becomes"),
    [
        (pa.array([86_400_000], pa.date64()), "parquet", pa.array([1], pa.date32())),
        (pa.array(["007", "1e5"]), "csv", pa.array([7.0, 1e5])),
        (pa.array(["", "a"]), "csv", pa.array([None, "a"])),
        (pa.array([1.0, 2.0]), "csv", pa.array([1, 2])),
        (pa.array([datetime.time(1)]), "csv", pa.array(["01:00:00.000000"])),
        (pa.array([None, None], pa.int8()), "json", pa.nulls(2)),
        (pa.array(["a", None], pa.string_view()), "tfrecords", pa.array([b"a", None])),
        (pa.array([0.1]), "tfrecords", pa.array([0.1], pa.float32())),
        (pa.array([True]), "tfrecords", pa.array([1])),
    ],
)
def test_what_becomes_something_else_is_what_writers_say(tmp_path, column, form, becomes):
    found = written(data.from_arrow(pa.table({"c": column})), form, tmp_path / "x")
    assert found == pa.table({"c": becomes})


DATABASE = {
    "int64": "BIGINT",
    "int8": "TINYINT",
    "uint64": "UBIGINT",
    "bool": "BOOLEAN",
    "float64": "DOUBLE",
    "float32": "FLOAT",
    "text": "VARCHAR",
    "large_text": "VARCHAR",
    "bytes": "BLOB",
    "fixed_bytes": "BLOB",
    "date": "DATE",
    "time": "TIME",
    "time_s": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamp_s": "TIMESTAMP",
    "zoned": "TIMESTAMPTZ",
    "duration": "INTERVAL",
    "decimal": "DECIMAL(15, 3)",
    "list": "BIGINT[]",
    "singles": "FLOAT[]",
    "nested": "VARCHAR[][]",
    "struct": "STRUCT(x BIGINT, y VARCHAR)",
    "ragged": "UTINYINT[][]",
    "flags": "BOOLEAN[]",
}
"""Types of DuckDB for columns."""


@settings(max_examples=15, deadline=None, phases=[Phase.generate])
@given(tables(list(DATABASE)), st.integers(1, 3))
def test_databases(tmp_path_factory, table, blocks):
    """Read with the types that they had, columns are what they were."""
    path = str(tmp_path_factory.mktemp("x") / "t.duckdb")
    table = table.append_column("place", [range(len(table))])
    columns = ", ".join(f'"{name}" {DATABASE.get(name, "BIGINT")}' for name in table.column_names)
    with duckdb.connect(path) as connection:
        connection.execute(f"CREATE TABLE t ({columns})")
    places = ", ".join("?" for _ in table.column_names)
    ds = data.from_arrow(table).repartition(blocks)
    ds.write_sql(f"INSERT INTO t VALUES ({places})", lambda: duckdb.connect(path))
    read = functools.partial(data.read_sql, "SELECT * FROM t", lambda: duckdb.connect(path))
    for options in ({}, {"shard_keys": "place", "parallelism": 2}):
        found = read(schema=table.schema, **options).sort("place").to_arrow()
        assert found.schema == table.schema
        for name in table.column_names:
            assert repr(found[name].to_pylist()) == repr(table[name].to_pylist()), name


@pytest.mark.parametrize("kind", ["tensor", "vector"])
def test_databases_hold_no_arrays_of_one_shape(kind):
    ds = data.from_arrow(pa.table({"c": column_of(kind, [None])}))
    with pytest.raises(data.WriteError, match=r"write_sql: column 'c' has the type .* hold; "):
        ds.write_sql("INSERT INTO t VALUES (?)", duckdb.connect)


SUFFIXES = {
    "txt": ["text", "large_text", "category"],
    "cls": ["int64", "int8", "uint64"],
    "bin": ["bytes", "fixed_bytes"],
    "json": ["int64", "float64", "bool", "text", "list", "nested", "struct", "ragged", "flags"],
    "npy": ["tensor", "vector", "flags", "list"],
}
"""What the files of samples hold, by the end of their names."""


@settings(max_examples=25, deadline=None, phases=[Phase.generate])
@given(st.data(), st.integers(1, 4), st.integers(1, 2))
def test_samples_in_archives(tmp_path_factory, draw, rows, blocks):
    """A missing file is a null, and a column without any file is not there."""
    columns = {"__key__": pa.array([str(row) for row in range(rows)])}
    for suffix, kinds in SUFFIXES.items():
        kind = draw.draw(st.sampled_from(kinds))
        each = KINDS[kind][1].filter(lambda value: value != [] and not has_null(value))
        if suffix != "npy":
            each = st.none() | each
        columns[suffix] = column_of(kind, draw.draw(st.lists(each, min_size=rows, max_size=rows)))
    table = pa.table(columns)
    path = tmp_path_factory.mktemp("x")
    data.from_arrow(table).repartition(blocks).write_webdataset(path)
    found = data.read_webdataset(path).to_arrow()
    held = [name for name in table.column_names if table[name].null_count < rows]
    assert {*found.column_names} == {*held}
    for name in held:
        assert repr(found[name].to_pylist()) == repr(table[name].to_pylist()), name


def has_null(value):
    if isinstance(value, (list, dict)):
        return any(map(has_null, value.values() if isinstance(value, dict) else value))
    return value is None


@pytest.mark.parametrize("suffix", ["json", "txt", "cls", "png", "npy"])
@pytest.mark.parametrize("kind", ["date", "time", "zoned", "duration", "decimal"])
def test_samples_refuse_what_their_files_do_not_hold(tmp_path, suffix, kind):
    value = {"date": datetime.date(2024, 1, 2), "time": datetime.time(1), "decimal": 1}.get(kind)
    value = datetime.timedelta(1) if kind == "duration" else value
    value = datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC) if value is None else value
    ds = data.from_arrow(pa.table({"__key__": ["a"], suffix: column_of(kind, [value])}))
    with pytest.raises(data.WriteError, match=r"write_webdataset: (column|JSON cannot hold)"):
        ds.write_webdataset(tmp_path)
