from __future__ import annotations

import datetime
import gzip
from decimal import Decimal
from json import dumps

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow.json import ParseOptions

from air import data
from air.data.datasources import json, whole_files
from air.data.datasources.paths import resolve_paths
from air.data.datasources.whole_files import TextDatasource
from air.errors import InvalidOption

pytestmark = pytest.mark.usefixtures("placement")

ROWS = [
    {"a": 1, "b": "ü\n", "c": [1.5, None], "d": {"x": True}},
    {"a": None, "b": None, "c": None, "d": {"x": None}},
    {"a": -(2**62), "b": "", "c": [], "d": {"x": False}},
]


@pytest.mark.parametrize("codec", [None, "gzip", "zstd"])
def test_json_comes_back(tmp_path, codec):
    opening = {"compression": codec} if codec else None
    data.from_items(ROWS, parallelism=2).write_json(tmp_path, arrow_open_stream_args=opening)
    assert data.read_json(tmp_path).take_all() == ROWS


def test_lines_of_json_are_the_same_under_a_small_budget(tmp_path, monkeypatch):
    lines = [
        f'{{"a": {n}, "d": {{"x": {n % 3}}}, "n": [null, null], "t": "2020-01-01"}}'
        for n in range(40_000)
    ]
    lines += ['{"a": 1.5, "d": {"y": [null]}, "b": "é"}', "", '{"d": {"y": ["z"]}}']
    (tmp_path / "a.json").write_text("\n".join(lines))
    expected = pa.concat_tables([h.get() for h in data.read_json(tmp_path).run()])
    (tmp_path / "b.json").write_text("[" + ",".join(lines[:40_000]) + "]")
    monkeypatch.setattr(data.DataContext.get_current(), "memory_budget", 1)
    tables = [handle.get() for handle in data.read_json(tmp_path / "a.json").run()]
    assert len(tables) > 1
    assert pa.concat_tables(tables).equals(expected)
    assert tables[0]["n"][0].as_py() == [None, None]
    assert data.read_json(tmp_path / "b.json").count() == 40_000
    assert data.read_json(tmp_path).select_columns(["b"]).columns() == ["b"]
    (tmp_path / "a.json").write_text("\n".join([*lines, "{"]))
    with pytest.raises(data.ReadError, match=r"a\.json cannot be read as JSON"):
        data.read_json(tmp_path / "a.json").count()


def test_json_may_be_an_array_or_lines_and_files_differ_in_columns(tmp_path):
    (tmp_path / "a.json").write_text('\ufeff [{"a": 1}, {"a": 2, "b": "x"}]')
    (tmp_path / "b.jsonl").write_text('{"a": 1.5}\n\n{"c": [1]}\n')
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(b'{"a": 3}'))
    (tmp_path / "d.json").write_text("")
    ds = data.read_json(tmp_path)
    empty = {"a": None, "b": None, "c": None}
    assert ds.take_all() == [
        {**empty, "a": 1.0},
        {**empty, "a": 2.0, "b": "x"},
        {**empty, "a": 1.5},
        {**empty, "c": [1]},
        {**empty, "a": 3.0},
    ]
    assert ds.select_columns(["b"]).take(2) == [{"b": None}, {"b": "x"}]


def rows_of(path, numbers):
    path.write_text("".join(f'{{"a": {number}}}\n' for number in numbers))


def test_json_that_is_little_is_read_once(tmp_path):
    for number in range(20):
        rows_of(tmp_path / f"{number:02}.json", [number, number + 0.5])
    ds = data.read_json(tmp_path, include_paths=True)
    for path in tmp_path.iterdir():
        path.unlink()
    assert ds.count() == 40
    expected = [number for each in range(20) for number in (each, each + 0.5)]
    for _ in range(2):
        assert [row["a"] for row in ds.map(lambda row: row).take_all()] == expected
    assert ds.select_columns("a").filter(data.col("a") > 19).take_all() == [{"a": 19.5}]


def test_one_large_file_of_json_is_read_when_its_rows_are_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(json, "KEPT_BYTES", 10)
    path = tmp_path / "x.json"
    path.write_text("this is no JSON")
    ds = data.read_json(path)
    with pytest.raises(data.ReadError, match=r"x\.json cannot be read as JSON"):
        ds.take_all()
    rows_of(path, [1, 2])
    assert ds.take_all() == [{"a": 1}, {"a": 2}]


def test_large_files_of_json_have_the_columns_of_all(tmp_path, monkeypatch):
    monkeypatch.setattr(json, "KEPT_BYTES", 20)
    rows_of(tmp_path / "a.json", [1, 2, 3])
    (tmp_path / "b.json").write_text('{"b": "x"}\n')
    ds = data.read_json(tmp_path)
    rows_of(tmp_path / "a.json", [4])  # nothing was kept
    assert ds.take_all() == [{"a": 4, "b": None}, {"a": None, "b": "x"}]


@pytest.mark.parametrize("is_array", [False, True])
def test_json_is_not_looked_at_if_it_is_told_what_there_is(tmp_path, is_array):
    schema = pa.schema({"a": pa.float32(), "b": pa.string()})
    options = [
        ParseOptions(explicit_schema=schema, unexpected_field_behavior=behavior)
        for behavior in ("ignore", "error")
    ]
    for name in ("x.json", "y.json"):
        (tmp_path / name).write_text("this is no JSON")
    found = [data.read_json(tmp_path, parse_options=one) for one in options]
    rows = ['{"a": 1, "c": 3}', '{"b": "x"}']
    text = f"[{','.join(rows)}]" if is_array else "\n".join(rows)
    for name in ("x.json", "y.json"):
        (tmp_path / name).write_text(text)
    ignoring, complaining = found
    table = ignoring.to_arrow()
    assert table.schema == schema
    assert table.to_pylist() == 2 * [{"a": 1.0, "b": None}, {"a": None, "b": "x"}]
    with pytest.raises(data.ReadError, match=r"x\.json cannot be read as JSON: .*"):
        complaining.take_all()


LARGE = [2**63, -(2**63) - 1, 10**30 + 1, 10**400]


@pytest.mark.parametrize("number", LARGE)
@pytest.mark.parametrize("budget", [None, 1 << 20])
def test_whole_numbers_beyond_64_bits_are_refused_instead_of_rounded(
    tmp_path, monkeypatch, number, budget
):
    monkeypatch.setattr(data.DataContext.get_current(), "memory_budget", budget)
    for row in ({"n": number}, {"l": [0, number]}, {"s": {"x": [{"y": number}]}}):
        text = dumps({"t": "x", "f": 1.5, **row}) + "\n"
        (tmp_path / "x.json").write_text(text * (20_000 if budget else 1))
        with pytest.raises(
            data.ReadError, match=rf"whole numbers that 64 bits.*{str(number)[:30]}"
        ):
            data.read_json(tmp_path / "x.json").take_all()


def test_large_floats_and_texts_of_digits_are_no_whole_numbers(tmp_path):
    rows = [{"f": 1e300, "t": f'"{2**70}, {2**70}'}, {"f": -(10**20), "n": 2**63 - 1}]
    (tmp_path / "x.json").write_text("\n".join(map(dumps, rows)))
    assert data.read_json(tmp_path / "x.json").take_all() == [
        {"f": 1e300, "t": f'"{2**70}, {2**70}', "n": None},
        {"f": -1e20, "t": None, "n": 2**63 - 1},
    ]


def test_text_that_looks_like_a_time_stays_text(tmp_path):
    rows = [{"a": "2024-01-01 00:00:00", "b": ["2024-01-01"], "c": {"x": "2024-01-01T00:00:00Z"}}]
    data.from_items(rows).write_json(tmp_path)
    assert data.read_json(tmp_path).take_all() == rows


@pytest.mark.parametrize("text", ['{"a": 1', "[1]", '[{"a": 1}', '{"a": 1}\n3', '{"a":1}{"a":"x"}'])
def test_what_is_no_json_is_named(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(data.ReadError, match=r"x\.json cannot be read as JSON: "):
        data.read_json(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([b"x"], "type binary, which JSON cannot hold"),
        ([datetime.timedelta(1)], "type duration.*, which JSON cannot hold"),
        ([{"x": b""}], "type struct<.*, which JSON cannot hold"),
        ([1.0, float("nan")], "holds NaN or an infinite number"),
        ([[1.0, float("inf")]], "holds NaN or an infinite number"),
    ],
)
def test_what_json_cannot_hold_is_named(tmp_path, column, message):
    with pytest.raises(data.WriteError, match=f"column 'a' .*{message}"):
        data.from_arrow(pa.table({"a": column})).write_json(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_times_decimals_and_categories_are_text_in_json(tmp_path):
    noon = datetime.datetime(2024, 7, 1, 12, 0, 0, 500)
    zoned = pa.array([noon, None], pa.timestamp("us", "Europe/Zurich"))
    table = pa.table(
        {
            "date": [noon.date(), None],
            "timestamp": pa.array([noon, None], pa.timestamp("us")),
            "zoned": zoned,
            "nanoseconds": pa.array([1, None], pa.timestamp("ns")),
            "time": [noon.time(), None],
            "decimal": pa.array([Decimal("1E+2"), None], pa.decimal128(9, 3)),
            "category": pa.array(["é", None]).dictionary_encode(),
            "view": pa.array(["v", None], pa.string_view()),
            "inside": [{"when": [noon.date()]}, None],
        }
    )
    data.from_arrow(table).write_json(tmp_path / "x")
    found = data.read_json(tmp_path / "x").to_arrow()
    assert found.to_pylist()[0] == {
        "date": "2024-07-01",
        "timestamp": "2024-07-01T12:00:00.000500",
        "zoned": "2024-07-01T12:00:00.000500+00:00",
        "nanoseconds": "1970-01-01T00:00:00.000000001",
        "time": "12:00:00.000500",
        "decimal": "100.000",
        "category": "é",
        "view": "v",
        "inside": {"when": ["2024-07-01"]},
    }
    assert set(found.to_pylist()[1].values()) == {None}
    for name in ("date", "timestamp", "zoned", "nanoseconds", "decimal"):
        assert found[name].cast(table[name].type) == table[name]


def test_years_that_python_has_not_are_told(tmp_path):
    far = pa.table({"t": pa.array([10**12], pa.timestamp("s"))})
    with pytest.raises(data.WriteError, match=r"write_json: .*; cast the column, or use write_pa"):
        data.from_arrow(far).write_json(tmp_path / "x")


def test_lines_of_text(tmp_path):
    (tmp_path / "a.txt").write_bytes("ü\r\n\nb \n".encode())
    (tmp_path / "b.log.gz").write_bytes(gzip.compress(b"c\xff\nd"))
    (tmp_path / "c").write_bytes(b"")
    lines = [row["text"] for row in data.read_text(tmp_path).take_all()]
    assert lines == ["ü", "b ", "c", "d"]
    kept = data.read_text(tmp_path / "a.txt", drop_empty_lines=False)
    assert kept.take_all() == [{"text": "ü"}, {"text": ""}, {"text": "b "}]
    with pytest.raises(data.ReadError, match=r"b\.log\.gz is no text in 'utf-8'.*errors='ignore'"):
        data.read_text(tmp_path, errors="strict").count()
    with pytest.raises(InvalidOption, match="unknown encoding: utf-9"):
        data.read_text(tmp_path, encoding="utf-9")


@settings(max_examples=25, deadline=None)
@given(st.text("aü\n\r", max_size=20), st.integers(1, 5))
def test_lines_do_not_depend_on_pieces(tmp_path_factory, text, size):
    path = tmp_path_factory.mktemp("x") / "x.txt"
    path.write_bytes(text.encode())
    source = TextDatasource(resolve_paths(path, None, ()), drops_empty=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole_files, "_PIECE_BYTES", size)
        tables = [t for f in source.fragments() for t in source.read_fragment(f)]
    lines = text.split("\n")
    expected = lines if lines[-1] else lines[:-1]
    found = [line for table in tables for line in table["text"].to_pylist()]
    assert found == [line.removesuffix("\r") for line in expected]


def test_files_as_bytes(tmp_path):
    content = np.arange(256, dtype=np.uint8).tobytes()
    (tmp_path / "a.bin").write_bytes(content)
    (tmp_path / "b").write_bytes(b"")
    rows = data.read_binary_files(tmp_path, include_paths=True).take_all()
    assert rows == [
        {"bytes": content, "path": str(tmp_path / "a.bin")},
        {"bytes": b"", "path": str(tmp_path / "b")},
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty' holds no files to read$"):
        data.read_binary_files(tmp_path / "empty")
