from __future__ import annotations

import datetime
import decimal
from uuid import UUID

import pyarrow as pa
import pytest

from air import data
from air.data.errors import ReadError, WriteError
from air.errors import InvalidOption

fastavro = pytest.importorskip("fastavro")
pytestmark = pytest.mark.usefixtures("backend")

UTC = datetime.UTC
TABLE = pa.table(
    {
        "i": pa.array([1, None, -3], pa.int32()),
        "l": pa.array([1 << 40, None, -3], pa.int64()),
        "f": pa.array([0.5, None, -2], pa.float32()),
        "d": pa.array([0.1, None, float("inf")]),
        "b": [True, None, False],
        "t": ["ä", None, ""],
        "y": [b"\x00", None, b""],
        "x": pa.array([b"ab", None, b"cd"], pa.binary(2)),
        "n": pa.nulls(3),
        "day": pa.array([datetime.date(2024, 2, 29), None, datetime.date(1, 1, 1)]),
        "at": pa.array([0, None, 1 << 50], pa.timestamp("us", "UTC")),
        "local": pa.array([1, None, -1], pa.timestamp("ms")),
        "time": pa.array([1, None, 86_399_999_999], pa.time64("us")),
        "money": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("-0.01")]).cast(
            pa.decimal128(12, 2)
        ),
        "many": pa.array([[1, None], None, []], pa.list_(pa.int64())),
        "inner": [{"a": 1, "b": [{"c": "x"}]}, None, {"a": None, "b": None}],
        "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    }
)


@pytest.mark.usefixtures("placement")
@pytest.mark.parametrize("codec", ["null", "deflate", "xz"])
def test_types_come_back(tmp_path, codec):
    data.from_arrow(TABLE).repartition(2).write_avro(tmp_path / "x", codec=codec)
    back = data.read_avro(tmp_path / "x")
    assert back.to_arrow().equals(TABLE)
    assert back.select_columns(["l", "t"]).to_arrow().equals(TABLE.select(["l", "t"]))
    assert back.count() == 3


def test_other_types_become_those_of_avro(tmp_path):
    table = pa.table(
        {
            "a": pa.array([1], pa.uint8()),
            "b": pa.array([1 << 31], pa.uint32()),
            "c": pa.array(["x"]).dictionary_encode(),
            "z": pa.array([0], pa.timestamp("s", "Europe/Zurich")),
        }
    )
    data.from_arrow(table).write_avro(tmp_path)
    back = data.read_avro(tmp_path)
    kinds = [pa.int32(), pa.int64(), pa.string(), pa.timestamp("ms", "UTC")]
    assert back.schema().types == kinds
    day = datetime.datetime(1970, 1, 1, tzinfo=UTC)
    assert back.take_all() == [{"a": 1, "b": 1 << 31, "c": "x", "z": day}]


def written(path, schema, records):
    with path.open("wb") as file:
        fastavro.writer(file, schema, records)


def record(*fields):
    parts = [{"name": name, "type": kind} for name, kind in fields]
    return {"type": "record", "name": "r", "fields": parts}


def test_types_of_other_writers(tmp_path):
    enum = {"type": "enum", "name": "e", "symbols": ["A", "B"]}
    schema = record(("e", enum), ("again", "e"), ("u", ["string", "null"]))
    written(tmp_path / "x.avro", schema, [{"e": "A", "again": "B", "u": None}])
    assert data.read_avro(tmp_path).take_all() == [{"e": "A", "again": "B", "u": None}]
    amount = {"type": "fixed", "name": "m", "size": 4, "logicalType": "decimal", "precision": 5}
    unique = {"type": "string", "logicalType": "uuid"}
    values = {"m": decimal.Decimal(-7), "n": decimal.Decimal(9), "id": UUID(int=1)}
    written(tmp_path / "z", record(("m", amount), ("n", "m"), ("id", unique)), [values])
    assert data.read_avro(tmp_path / "z").take_all() == [{**values, "id": str(UUID(int=1))}]
    written(tmp_path / "y.avro", record(("e", "string"), ("k", "long")), [{"e": "c", "k": 1}])
    rows = data.read_avro([tmp_path / name for name in ("x.avro", "y.avro")]).take_all()
    assert rows[1] == {"e": "c", "again": None, "u": None, "k": 1}


def test_what_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "x.avro"
    written(path, record(("u", ["string", "long"])), [])
    with pytest.raises(ReadError, match=r"x.avro.*field 'u' is a union of several types"):
        data.read_avro(path)
    node = {"type": "record", "name": "n", "fields": [{"name": "next", "type": ["null", "n"]}]}
    written(path, record(("list", node)), [])
    with pytest.raises(ReadError, match=r"field 'list.next' has a type that holds itself"):
        data.read_avro(path)
    written(path, "long", [1])
    with pytest.raises(ReadError, match="no records"):
        data.read_avro(path)
    written(path, record(("a", "long")), [{"a": i} for i in range(1000)])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ReadError, match=r"x.avro cannot be read as Avro"):
        data.read_avro(path).take_all()
    path.write_bytes(b"nothing")
    with pytest.raises(ReadError, match=r"x.avro cannot be read as Avro"):
        data.read_avro(path)


def test_what_cannot_be_written_is_named(tmp_path):
    for name, values, message in [
        ("a", pa.array([1], pa.uint64()), "column 'a' has the type uint64"),
        ("a", pa.array([1], pa.timestamp("ns")), "column 'a' has the type timestamp"),
        ("a", pa.array([1], pa.duration("s")), "column 'a' has the type duration"),
        ("a b", pa.array([1]), "'a b' is no name for a field"),
    ]:
        with pytest.raises(WriteError, match=message):
            data.from_arrow(pa.table({name: values})).write_avro(tmp_path / "x")
    with pytest.raises(WriteError, match="column 'data'"):
        data.range_tensor(3, shape=(2,)).write_avro(tmp_path / "x")
    with pytest.raises(InvalidOption, match=r"unknown codec 'deflat'.*'deflate'"):
        data.range_table(3).write_avro(tmp_path / "x", codec="deflat")
    assert list(tmp_path.iterdir()) == []


def test_no_rows(tmp_path):
    data.from_arrow(TABLE.slice(0, 0)).write_avro(tmp_path)
    assert data.read_avro(tmp_path).to_arrow().equals(TABLE.slice(0, 0))
