from __future__ import annotations

import gzip
import lzma
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv, fs, parquet

from air import data
from air.data.datasource import Partitioning
from air.data.datasources import csv as csv_module
from air.data.datasources import files as files_module
from air.data.datasources import parquet as parquet_module
from air.data.datasources.paths import resolve_paths
from air.data.errors import UnsupportedValue
from air.data.optimizer import optimize
from air.errors import InvalidOption

FRAME = pd.DataFrame({"a": range(6), "b": list("uvwxyz"), "c": [0.5, None, 1.5, 2.5, 3.5, 4.5]})


def write_csv(path, frame=FRAME):
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return path


def write_parquet(path, frame=FRAME, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, **options)
    return path


# Paths ----------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path):
    for name in ("b.csv", "a.csv", "sub/c.csv", "sub/.hidden/x.csv", "_log/y.csv", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n1\n")
    return tmp_path


def found(tree, paths):
    files = resolve_paths(paths, None, (".csv",))
    return [path.removeprefix(f"{tree}/") for path in files.paths]


def test_a_directory_gives_its_visible_files_sorted(tree):
    assert found(tree, tree) == ["a.csv", "b.csv", "sub/c.csv"]
    assert found(tree, f"{tree}/") == ["a.csv", "b.csv", "sub/c.csv"]


def test_patterns_and_lists(tree):
    assert found(tree, f"{tree}/*.csv") == ["a.csv", "b.csv"]
    assert found(tree, f"{tree}/**/c.csv") == ["sub/c.csv"]
    assert found(tree, [tree / "b.csv", str(tree / "a.csv")]) == ["b.csv", "a.csv"]
    assert found(tree, tree / "notes.txt") == ["notes.txt"]


def test_a_hidden_directory_may_be_named(tree):
    assert found(tree, tree / "_log") == ["_log/y.csv"]


def test_files_without_or_with_double_extension_are_taken(tmp_path):
    for name in ("part-0", "x.csv.gz", "x.json"):
        (tmp_path / name).write_text("")
    assert found(tmp_path, tmp_path) == ["part-0", "x.csv.gz"]


def test_a_file_may_have_a_wildcard_in_its_name(tmp_path):
    (tmp_path / "a[1].csv").write_text("x\n1\n")
    assert found(tmp_path, tmp_path / "a[1].csv") == ["a[1].csv"]


def test_relative_paths_uris_and_file_systems(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert found(tree, "a.csv") == ["a.csv"]
    assert found(tree, f"file://{tree}/a.csv") == ["a.csv"]
    inside = fs.SubTreeFileSystem(str(tree), fs.LocalFileSystem())
    assert resolve_paths("sub", inside, (".csv",)).paths == ("sub/c.csv",)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("b.cvs", r"b.cvs' does not exist. Did you mean 'b.csv'"),
        ("nowhere/b.csv", r"nowhere/b.csv' does not exist"),
        ("*.parquet", r"no file matches the pattern"),
    ],
)
def test_what_is_not_there_is_named(tree, path, message):
    with pytest.raises(FileNotFoundError, match=message):
        found(tree, f"{tree}/{path}")


def test_a_directory_without_fitting_files_is_named(tmp_path):
    (tmp_path / "x.json").write_text("")
    with pytest.raises(FileNotFoundError, match=r"none ends with \.csv"):
        found(tmp_path, tmp_path)


@pytest.mark.parametrize("path", ["foo://x/a.csv", "http://x/a.csv"])
def test_unknown_kinds_of_paths_are_named_with_a_way_out(path):
    with pytest.raises(InvalidOption, match=f"{path}.*filesystem=fsspec|{path}.*fsspec"):
        data.read_csv(path)


def test_what_is_no_file_system_is_refused(tmp_path):
    with pytest.raises(
        TypeError, match=r"filesystem must be a pyarrow\.fs\.FileSystem or an fsspec"
    ):
        data.read_csv("x.csv", filesystem=3)
    with pytest.raises(TypeError, match="filesystem must be"):
        data.range(3).write_csv(tmp_path, filesystem=3)


@pytest.mark.parametrize(
    ("paths", "error"), [([], InvalidOption), (3, TypeError), ([3], TypeError)]
)
def test_what_is_no_path_is_refused(paths, error):
    with pytest.raises(error, match="path"):
        data.read_csv(paths)


# CSV ------------------------------------------------------------------------------------------


def test_csv_gives_what_pandas_gives(tmp_path):
    path = write_csv(tmp_path / "x.csv")
    ds = data.read_csv(path)
    pd.testing.assert_frame_equal(ds.to_pandas(), pd.read_csv(path))
    assert ds.count() == 6
    assert ds.schema() == pa.schema({"a": pa.int64(), "b": pa.string(), "c": pa.float64()})


def test_csv_files_are_read_in_order(tmp_path):
    for index in (2, 0, 1):
        write_csv(tmp_path / f"{index}.csv", FRAME.assign(a=index))
    ds = data.read_csv(tmp_path)
    assert ds.num_blocks() == 3
    assert ds.unique("a") == [0, 1, 2]
    assert data.read_csv(tmp_path, parallelism=1).num_blocks() == 1
    assert data.read_csv(tmp_path, parallelism=1).count() == 18


def test_compressed_csv(tmp_path):
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"a,b\n1,x\n2,y\n"))
    assert data.read_csv(tmp_path / "x.csv.gz").sum("a") == 3


def test_a_large_csv_is_streamed(tmp_path, monkeypatch):
    path = write_csv(tmp_path / "x.csv", pd.DataFrame({"a": range(10_000)}))
    monkeypatch.setattr(csv_module, "_WHOLE_FILE_BYTES", 1)
    monkeypatch.setattr(csv_module, "_STREAM_BLOCK_BYTES", 4096)
    ds = data.read_csv(path).materialize()
    assert ds.num_blocks() > 5
    assert ds.sum("a") == sum(range(10_000))


def test_csv_options_are_those_of_arrow(tmp_path):
    (tmp_path / "x.csv").write_text("1;2\n3;4\n")
    ds = data.read_csv(
        tmp_path / "x.csv",
        read_options=csv.ReadOptions(column_names=["p", "q"]),
        parse_options=csv.ParseOptions(delimiter=";"),
        convert_options=csv.ConvertOptions(column_types={"q": pa.string()}),
    )
    assert ds.take_all() == [{"p": 1, "q": "2"}, {"p": 3, "q": "4"}]
    assert ds.select_columns("q").take_all() == [{"q": "2"}, {"q": "4"}]


def test_only_the_selected_csv_columns_are_converted(tmp_path):
    path = write_csv(tmp_path / "x.csv")
    ds = data.read_csv(path).select_columns(["c", "a"])
    assert optimize(ds.plan).input.source.selected == ("c", "a")
    assert ds.to_arrow().column_names == ["c", "a"]


def test_columns_are_known_before_reading(tmp_path):
    path = write_csv(tmp_path / "x.csv")
    with pytest.raises(data.ColumnNotFound, match=r"no column 'bb'\. Did you mean 'b'"):
        data.read_csv(path).drop_columns("bb")


@pytest.mark.parametrize("use_threads", [True, False])
def test_a_line_that_does_not_parse_is_named(tmp_path, use_threads):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n3\n4,5\n")
    options = csv.ReadOptions(use_threads=use_threads)
    for given in ({}, {"read_options": options}):
        with pytest.raises(data.ReadError) as raised:
            data.read_csv(path, **given)
        assert f"{path} cannot be read as CSV" in str(raised.value)
        assert "Row #3: Expected 2 columns, got 1: 3" in str(raised.value)


def test_a_later_file_that_does_not_parse_is_named(tmp_path):
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "2.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(data.ReadError, match=r"2\.csv cannot be read as CSV.*Row #3"):
        data.read_csv(tmp_path)
    # Behind its beginning a large one is looked at when it is read.
    (tmp_path / "2.csv").write_text("a,b\n" + "1,2\n" * 20_000 + "3\n")
    ds = data.read_csv(tmp_path)
    with pytest.raises(data.ReadError, match=r"2\.csv cannot be read as CSV.*Row #20002"):
        ds.take_all()


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("large", [False, True])
def test_values_may_go_over_several_lines(tmp_path, monkeypatch, large, delimiter):
    text = 'one\r\ntwo, "three"; ' + 80 * "x" + "\nfour"
    frame = pd.DataFrame({"a": range(20_000), "t": text})  # more than Arrow parses at a time
    frame.to_csv(tmp_path / "x.csv", index=False, sep=delimiter)
    if large:
        monkeypatch.setattr(csv_module, "_WHOLE_FILE_BYTES", 1)
        monkeypatch.setattr(csv_module, "_STREAM_BLOCK_BYTES", 100_000)
    options = {} if delimiter == "," else {"parse_options": csv.ParseOptions(delimiter=";")}
    table = data.read_csv(tmp_path, **options).to_arrow()
    assert table["a"].to_pylist() == list(range(20_000))
    assert set(table["t"].to_pylist()) == {text}


def test_of_a_large_file_the_beginning_is_looked_at_first(tmp_path, monkeypatch):
    monkeypatch.setattr("air.data.datasources.csv._CHECKED_BYTES", 4)
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n3\n")
    with pytest.raises(data.ReadError, match=r"x\.csv cannot be read as CSV"):
        data.read_csv(path)


def test_a_value_of_another_type_is_named_with_a_way_out(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a\n1\nx\n")
    as_int = csv.ConvertOptions(column_types={"a": pa.int64()})
    with pytest.raises(data.ReadError, match=r"Row #3.*int64.*'x'.*column_types"):
        data.read_csv(path, convert_options=as_int).take_all()


def test_an_empty_csv_is_named(tmp_path):
    (tmp_path / "x.csv").write_text("")
    with pytest.raises(data.ReadError, match=r"x\.csv is empty"):
        data.read_csv(tmp_path / "x.csv")
    (tmp_path / "y.csv").write_text("a,b\n")
    assert data.read_csv(tmp_path / "y.csv").take_all() == []
    assert data.read_csv(tmp_path / "y.csv").columns() == ["a", "b"]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('a,b\n"x,1","he said ""hi"""\n', [{"a": "x,1", "b": 'he said "hi"'}]),
        ('a,b\n"x\ny",1\nz,2\n', [{"a": "x\ny", "b": 1}, {"a": "z", "b": 2}]),
        (b"\xef\xbb\xbfa,b\n1,2\n", [{"a": 1, "b": 2}]),
        ("a,b\r\n1,x\r\n", [{"a": 1, "b": "x"}]),
        ("a,b\n1,x", [{"a": 1, "b": "x"}]),
        ("a,b\n", []),
        ("a,b", []),
        ("a\n1\n\n2\n", [{"a": 1}, {"a": 2}]),
        (
            "a,b\n18446744073709551615,1.5\n1,1e300\n",
            [{"a": 2**64 - 1, "b": 1.5}, {"a": 1, "b": 1e300}],
        ),
        ("a\n9223372036854775807\n\n", [{"a": 2**63 - 1}]),
    ],
)
def test_csv_as_it_is_found(tmp_path, text, rows):
    ds = data.read_csv(write(tmp_path / "x.csv", text))
    assert ds.take_all() == rows
    assert ds.columns() == (["a", "b"] if "b" in str(text) else ["a"])


def test_csv_with_rows_longer_than_what_is_read_at_a_time(tmp_path):
    long = "x" * (3 << 20)
    path = write(tmp_path / "long.csv", f'a,b\n1,"{long}"\n2,y\n')
    assert [row["b"] for row in data.read_csv(path).take_all()] == [long, "y"]
    names = [f"column{index}" for index in range(20_000)]
    wide = ",".join(names) + "\n" + ",".join("1" * len(names)) + "\n"
    write(tmp_path / "wide" / "1.csv", wide)
    write(tmp_path / "wide" / "2.csv", wide)
    ds = data.read_csv(tmp_path / "wide")
    assert ds.columns() == names
    assert ds.select_columns("column7").take_all() == [{"column7": 1}] * 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("é\n1\n".encode("latin-1"), r"x\.csv cannot .*name the encoding.*ReadOptions"),
        ("a\né\n".encode("latin-1"), r"x\.csv .*column 'a' is no text in UTF-8; name the enc"),
        ("a\n1\n".encode("utf-16"), r"x\.csv cannot .*name the encoding"),
        ("a,a\n1,2\n", r"x\.csv cannot .* several columns named 'a'; rename them in the file"),
        ("\n\n", r"x\.csv is empty"),
        ("a,b\n1,2,3\n", r"x\.csv cannot .*Row #2: Expected 2 columns, got 3: 1,2,3"),
    ],
)
def test_csv_that_cannot_be_read_is_named_at_the_call(tmp_path, content, message):
    with pytest.raises(data.ReadError, match=message):
        data.read_csv(write(tmp_path / "x.csv", content))


def test_csv_in_another_encoding(tmp_path):
    path = write(tmp_path / "x.csv", "é\nü\n".encode("latin-1"))
    ds = data.read_csv(path, read_options=csv.ReadOptions(encoding="latin-1"))
    assert ds.take() == [{"é": "ü"}]


@pytest.mark.parametrize("content", [b"a\n1\n", gzip.compress(b"a\n" + b"1\n" * 999)[:-9]])
def test_what_does_not_decompress_is_named(tmp_path, content):
    with pytest.raises(data.ReadError, match=r"x\.csv\.gz cannot be read as CSV"):
        data.read_csv(write(tmp_path / "x.csv.gz", content))


def test_options_about_columns_that_are_not_there(tmp_path):
    path = write(tmp_path / "x.csv", "alpha\n1\n")
    for option in ({"column_types": {"alpa": pa.int64()}}, {"include_columns": ["alpa"]}):
        with pytest.raises(data.ColumnNotFound, match=r"no column 'alpa'\. Did you mean 'alpha'"):
            data.read_csv(path, convert_options=csv.ConvertOptions(**option))


# Files that differ ----------------------------------------------------------------------------


def differing(tmp_path, kind, *frames):
    for index, frame in enumerate(frames):
        path = tmp_path / f"{index}.{kind}"
        table = data.from_pandas(frame).to_arrow()
        path.parent.mkdir(parents=True, exist_ok=True)
        csv.write_csv(table, path) if kind == "csv" else parquet.write_table(table, path)
    return getattr(data, f"read_{kind}")(tmp_path)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_give_rows_of_one_schema(tmp_path, kind):
    ds = differing(
        tmp_path, kind, pd.DataFrame({"a": [1], "b": ["x"]}), pd.DataFrame({"a": [0.5], "c": [2]})
    )
    assert ds.columns() == ["a", "b", "c"]
    assert ds.take_all() == [
        {"a": 1.0, "b": "x", "c": None},
        {"a": 0.5, "b": None, "c": 2},
    ]
    assert str(ds.schema()) == "a: double\nb: string\nc: int64"
    assert ds.select_columns(["c", "b"]).take_all() == [
        {"c": None, "b": "x"},
        {"c": 2, "b": None},
    ]
    assert ds.select_columns("b").take_all() == [{"b": "x"}, {"b": None}]
    assert ds.drop_columns("b").take_all() == [{"a": 1.0, "c": None}, {"a": 0.5, "c": 2}]
    with pytest.raises(data.ColumnNotFound):
        ds.select_columns("d")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_numbers_in_one_file_and_text_in_another_name_both(tmp_path, kind):
    numbers, texts = pd.DataFrame({"a": [1]}), pd.DataFrame({"a": ["x"]})
    with pytest.raises(data.ReadError) as raised:
        differing(tmp_path, kind, numbers, numbers, texts)
    message = str(raised.value)
    assert message.startswith(
        f"column 'a' has the types int64 in {tmp_path}/0.{kind} and string in {tmp_path}/2.{kind},"
        " which do not go together: make it one type"
    )
    assert ("ConvertOptions(column_types={...})" in message) == (kind == "csv")


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("text", "kind", "values"),
    [
        ("18446744073709551615\n1\n", pa.uint64(), [2**64 - 1, 1]),
        ("9223372036854775808\n-1\n", pa.string(), ["9223372036854775808", "-1"]),
        ("99999999999999999999999\n7\n", pa.string(), ["99999999999999999999999", "7"]),
        ("-9223372036854775809\n7\n", pa.string(), ["-9223372036854775809", "7"]),
        ("1e20\n7\n", pa.float64(), [1e20, 7.0]),
        ("100000000000000000000.5\n7\n", pa.float64(), [1e20, 7.0]),
    ],
)
def test_no_whole_number_of_a_csv_is_rounded(tmp_path, monkeypatch, large, text, kind, values):
    (tmp_path / "x.csv").write_text("b,a\n" + "".join(f"x,{line}\n" for line in text.split()))
    if large:
        monkeypatch.setattr(csv_module, "_WHOLE_FILE_BYTES", 1)
    for ds in (data.read_csv(tmp_path), data.read_csv(tmp_path).select_columns(["a"])):
        table = ds.to_arrow()
        assert table.schema.field("a").type == kind
        assert table["a"].to_pylist() == values


def test_unsigned_numbers_of_one_file_and_signed_ones_of_another(tmp_path):
    write(tmp_path / "1.csv", "a\n5\n")
    write(tmp_path / "2.csv", "a\n18446744073709551615\n")
    ds = data.read_csv(tmp_path)
    assert ds.take_all() == [{"a": 5}, {"a": 2**64 - 1}]
    assert ds.schema() == pa.schema([("a", pa.uint64())])
    write(tmp_path / "1.csv", "a\n-5\n")
    with pytest.raises(data.ReadError) as raised:
        data.read_csv(tmp_path).take_all()
    message = str(raised.value)
    assert f"column 'a' has the types int64 in {tmp_path}/1.csv and uint64 in" in message
    assert f"{tmp_path}/2.csv, and uint64, which they become together" in message
    assert "ConvertOptions(column_types={...})" in message


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (gzip.compress(b"a\n1\n"), "it is compressed with gzip; let its name end with '.gz'"),
        (b"PK\x03\x04\xff", "it is a zip archive; unpack it first"),
        (b"PAR1\xff\xfePAR1", "it is a Parquet file; use read_parquet"),
        ("a\n\u00e9\n".encode("utf-16"), "ReadOptions(encoding='utf-16')"),
        ("a\n\u00e9\n".encode("latin-1"), "ReadOptions(encoding='latin-1')"),
    ],
)
def test_what_is_no_text_says_what_it_may_be(tmp_path, content, advice):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(data.ReadError) as raised:
        data.read_csv(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path}/x.csv cannot be read as CSV: ")
    assert advice in str(raised.value)


@pytest.mark.parametrize("read", [data.read_csv, data.read_json, data.read_text])
@pytest.mark.parametrize("ending", ["xz", "ZIP"])
def test_what_cannot_be_unpacked_is_not_taken_for_text(tmp_path, read, ending):
    path = tmp_path / f"x.csv.{ending}"
    path.write_bytes(lzma.compress(b"a\n1\n"))
    with pytest.raises(data.ReadError) as raised:
        read(path)
    assert f"{path} is packed in a way that is not read here" in str(raised.value)
    assert ".gz, .bz2, .zst" in str(raised.value)


def test_text_behind_the_beginning_of_a_file_names_both_when_it_is_read(tmp_path):
    write(tmp_path / "1.csv", "a\n1\n")
    write(tmp_path / "2.csv", "a\n" + "1\n" * 50_000 + "x\n")
    ds = data.read_csv(tmp_path)
    for use in (ds.count, ds.materialize, lambda: list(ds.iter_batches())):
        with pytest.raises(data.ReadError, match=r"int64 in .*1\.csv and string in .*2\.csv"):
            use()


def test_fractions_behind_the_beginning_of_a_file_make_floats(tmp_path):
    write(tmp_path / "1.csv", "a\n1\n")
    write(tmp_path / "2.csv", "a\n" + "1\n" * 50_000 + "0.5\n")
    assert data.read_csv(tmp_path).sum("a") == 50_001.5


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_directories_may_hold_columns(tmp_path, kind):
    frames = {
        "year=2023/kind=a": pd.DataFrame({"x": [1, 2]}),
        "year=2024/kind=b%2Fc": pd.DataFrame({"x": [3]}),
        "year=__HIVE_DEFAULT_PARTITION__/kind=7": pd.DataFrame({"x": [4]}),
    }
    for where, frame in frames.items():
        writer = write_csv if kind == "csv" else write_parquet
        writer(tmp_path / where / f"part.{kind}", frame)
    read = getattr(data, f"read_{kind}")
    ds = read(tmp_path)
    assert ds.columns() == ["x", "year", "kind"]
    assert ds.take_all() == [
        {"x": 1, "year": 2023, "kind": "a"},
        {"x": 2, "year": 2023, "kind": "a"},
        {"x": 3, "year": 2024, "kind": "b/c"},
        {"x": 4, "year": None, "kind": "7"},
    ]
    assert ds.select_columns(["year"]).take_all() == [
        {"year": year} for year in (2023, 2023, 2024, None)
    ]
    assert ds.select_columns(["kind", "x"]).take(1) == [{"kind": "a", "x": 1}]
    assert ds.drop_columns(["year", "kind"]).take(1) == [{"x": 1}]
    assert read(tmp_path / "year=2024").take() == [{"x": 3, "kind": "b/c"}]
    file = tmp_path / "year=2024" / "kind=b%2Fc" / f"part.{kind}"
    assert read(file).take() == [{"x": 3}]


def test_directories_count_below_what_all_paths_have_in_common(tmp_path):
    for year in (2023, 2024):
        write_csv(tmp_path / "lr=1" / f"year={year}" / "x.csv", pd.DataFrame({"x": [year]}))
    rows = [{"x": 2023, "year": 2023}, {"x": 2024, "year": 2024}]
    run = tmp_path / "lr=1"
    files = [run / "year=2023" / "x.csv", run / "year=2024" / "x.csv"]
    for paths in (run, f"{run}/*", f"{run}/*/x.csv", files, [file.parent for file in files]):
        assert data.read_csv(paths).take_all() == rows
    assert data.read_csv(f"{run.parent}/*/*/*").take(1) == [{"x": 2023, "lr": 1, "year": 2023}]
    assert data.read_csv(run, partitioning=None).take_all() == [{"x": 2023}, {"x": 2024}]
    below = Partitioning("hive", base_dir=str(tmp_path))
    assert data.read_csv(files[0], partitioning=below).take() == [
        {"x": 2023, "lr": 1, "year": 2023}
    ]
    assert data.read_csv(
        "year=2023/x.csv",
        filesystem=fs.SubTreeFileSystem(str(run), fs.LocalFileSystem()),
        partitioning=Partitioning("hive", base_dir=""),
    ).take() == [{"x": 2023}]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_directories_may_hold_values_alone(tmp_path, kind):
    writer = write_csv if kind == "csv" else write_parquet
    for where in ("2023/a", "2024/b%2Fc"):
        writer(tmp_path / where / f"x.{kind}", pd.DataFrame({"x": [1]}))
    read = getattr(data, f"read_{kind}")
    by_position = Partitioning("dir", field_names=["year", "name"])
    assert read(tmp_path, partitioning=by_position).take_all() == [
        {"x": 1, "year": 2023, "name": "a"},
        {"x": 1, "year": 2024, "name": "b/c"},
    ]
    assert read(tmp_path).columns() == ["x"]
    with pytest.raises(InvalidOption, match=r"field_names are 'year', and .* is in 2 directories"):
        read(tmp_path, partitioning=Partitioning("dir", field_names=["year"]))
    with pytest.raises(InvalidOption, match=r"field_names are 'year', and .* name nothing"):
        read(tmp_path, partitioning=Partitioning("hive", field_names=["year"]))
    with pytest.raises(InvalidOption, match="is not in base_dir='/elsewhere'"):
        read(tmp_path, partitioning=Partitioning("hive", base_dir="/elsewhere"))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rows_can_tell_which_file_they_are_from(tmp_path, kind):
    writer = write_csv if kind == "csv" else write_parquet
    files = [writer(tmp_path / f"{i}.{kind}", pd.DataFrame({"x": [i] * 2})) for i in range(2)]
    read = getattr(data, f"read_{kind}")
    ds = read(tmp_path, include_paths=True)
    rows = [{"x": i, "path": str(files[i])} for i in (0, 0, 1, 1)]
    assert ds.columns() == ["x", "path"]
    assert ds.take_all() == rows
    assert (
        ds.filter(lambda row: row["x"]).select_columns("path").take()
        == [{"path": str(files[1])}] * 2
    )
    assert ds.select_columns(["path", "x"]).take(1) == [{"path": str(files[0]), "x": 0}]
    assert ds.select_columns(["path"]).count() == 4
    assert read(files[0], include_paths=True).take(1) == rows[:1]
    writer(tmp_path / f"2.{kind}", pd.DataFrame({"path": [1]}))
    with pytest.raises(data.ReadError, match=rf"2\.{kind} has a column 'path' itself"):
        read(tmp_path, include_paths=True)


def test_columns_come_in_the_order_in_which_they_were_asked_for(tmp_path):
    path = write_parquet(tmp_path / "year=1" / "x.parquet")
    ds = data.read_parquet(path.parent.parent, columns=["year", "b", "a"], include_paths=True)
    assert list(ds.take(1)[0]) == ds.columns() == ["year", "b", "a"]
    ds = data.read_parquet(path, columns=["path", "b"], include_paths=True)
    assert list(ds.take(1)[0]) == ds.columns() == ["path", "b"]


def test_paths_that_do_not_exist_can_be_left_out(tmp_path):
    there = write_csv(tmp_path / "a.csv")
    paths = [tmp_path / "b.csv", there, "/no/such/directory/x.csv", f"{tmp_path}/*.tsv"]
    assert data.read_csv(paths, ignore_missing_paths=True).count() == len(FRAME)
    with pytest.raises(FileNotFoundError, match=r"b.csv' does not exist. Did you mean 'a.csv'"):
        data.read_csv(paths)
    with pytest.raises(FileNotFoundError, match=r"There is no directory '/no'"):
        data.read_csv(paths[2])
    with pytest.raises(FileNotFoundError, match="none of the paths exists; of the last one: path"):
        data.read_csv(paths[:1], ignore_missing_paths=True)
    with pytest.raises(FileNotFoundError, match=r"x.csv' does not exist. '.*a.csv' is a file"):
        data.read_csv(there / "x.csv")


def test_files_may_be_compressed_without_saying_so(tmp_path):
    (tmp_path / "x.csv").write_bytes(gzip.compress(b"a\n1\n"))
    opening = {"compression": "gzip", "buffer_size": 1 << 16}
    ds = data.read_csv(tmp_path, arrow_open_stream_args=opening)
    assert ds.take_all() == [{"a": 1}]
    with pytest.raises(
        data.ReadError, match=r"x.csv .* compressed with gzip; .*'compression': 'gzip'"
    ):
        data.read_csv(tmp_path)


def test_what_other_programs_divide_into_directories_is_read_whole(tmp_path):
    frame = pd.DataFrame({"x": [1, 2, 3], "p": ["u", "v", "u"]})
    frame.to_parquet(tmp_path / "t", partition_cols=["p"])
    back = data.read_parquet(tmp_path / "t").to_pandas().sort_values("x", ignore_index=True)
    pd.testing.assert_frame_equal(back, frame)


def test_a_column_of_the_file_goes_before_that_of_its_directory(tmp_path):
    write_csv(tmp_path / "a=1" / "x.csv", pd.DataFrame({"a": [5]}))
    assert data.read_csv(tmp_path).take() == [{"a": 5}]


def test_files_beyond_those_that_are_looked_at_may_have_more_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "LOOKED_AT", 1)
    frames = [pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [2], "b": ["x"]})]
    for kind in ("csv", "parquet"):
        ds = differing(tmp_path / kind, kind, *frames)
        assert ds.known_columns() is None
        assert ds.take_all() == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
        assert ds.drop_columns("a").materialize().take_all() == [{"b": None}, {"b": "x"}]


# Parquet --------------------------------------------------------------------------------------


def test_parquet_gives_what_pandas_gives(tmp_path):
    path = write_parquet(tmp_path / "x.parquet")
    ds = data.read_parquet(path)
    pd.testing.assert_frame_equal(ds.to_pandas(), pd.read_parquet(path))
    assert ds.plan.num_rows() == 6
    assert ds.schema().names == ["a", "b", "c"]


def test_row_groups_are_read_apart(tmp_path):
    for name in ("b", "a"):
        write_parquet(tmp_path / f"{name}.parquet", FRAME.assign(d=name), row_group_size=2)
    ds = data.read_parquet(tmp_path)
    assert ds.num_blocks() == 6
    assert ds.to_pandas()["a"].tolist() == [*range(6), *range(6)]
    assert ds.unique("d") == ["a", "b"]
    few = data.read_parquet(tmp_path, parallelism=2)
    assert few.num_blocks() == 2
    assert few.to_pandas().equals(ds.to_pandas())


def test_only_the_selected_parquet_columns_are_read(tmp_path):
    path = write_parquet(tmp_path / "x.parquet")
    ds = data.read_parquet(path, columns=["c", "a"])
    assert ds.columns() == ["c", "a"]
    picked = data.read_parquet(path).drop_columns("b")
    assert optimize(picked.plan).input.source.selected == ("a", "c")
    assert picked.take(1) == [{"a": 0, "c": 0.5}]
    with pytest.raises(data.ColumnNotFound, match="read_parquet: no column 'x'"):
        data.read_parquet(path, columns=["x"])


def test_large_row_groups_and_many_files_are_read_too(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_module, "_STREAM_ROW_GROUP_BYTES", 1)
    monkeypatch.setattr(parquet_module, "_STREAM_ROWS", 2)
    monkeypatch.setattr(files_module, "LOOKED_AT", 1)
    for name in "ab":
        write_parquet(tmp_path / f"{name}.parquet")
    ds = data.read_parquet(tmp_path)
    assert ds.plan.num_rows() is None
    assert ds.count() == 12
    assert ds.materialize().num_blocks() == 6


def test_empty_parquet_files_keep_their_columns(tmp_path):
    path = write_parquet(tmp_path / "x.parquet", FRAME.iloc[:0])
    ds = data.read_parquet(path)
    assert ds.count() == 0
    assert ds.to_arrow().column_names == ["a", "b", "c"]


@pytest.mark.parametrize("content", [b"", b"no", b"a,b\n1,2\n" * 9])
def test_what_is_no_parquet_is_named_at_the_call(tmp_path, content):
    write_parquet(tmp_path / "1.parquet")
    write(tmp_path / "2.parquet", content)
    with pytest.raises(data.ReadError, match=r"2\.parquet cannot be read as Parquet"):
        data.read_parquet(tmp_path)


def test_parquet_that_is_broken_inside_is_named(tmp_path):
    path = write_parquet(tmp_path / "x.parquet", pd.DataFrame({"a": range(1000)}))
    content = bytearray(path.read_bytes())
    content[20:60] = b"\xff" * 40
    ds = data.read_parquet(write(path, bytes(content)))
    with pytest.raises(data.ReadError, match=r"x\.parquet cannot be read as Parquet"):
        ds.take()


def test_parquet_with_a_name_twice(tmp_path):
    parquet.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "x.parquet")
    with pytest.raises(data.ReadError, match=r"x\.parquet cannot .* several columns named 'a'"):
        data.read_parquet(tmp_path / "x.parquet")


@pytest.mark.parametrize("columns", [[], [1], ["a", "a"], 3])
def test_columns_to_read_are_names(tmp_path, columns):
    path = write_parquet(tmp_path / "x.parquet")
    with pytest.raises(InvalidOption, match="read_parquet: columns"):
        data.read_parquet(path, columns=columns)


def test_planning_does_not_travel(tmp_path):
    source = data.read_parquet(write_parquet(tmp_path / "x.parquet")).plan.source
    assert source.num_rows() == 6
    assert source.schema()
    assert source.footers
    assert not pickle.loads(pickle.dumps(source)).footers


def test_tensors_survive_parquet(tmp_path):
    data.range_tensor(5, shape=(2, 3)).write_parquet(tmp_path / "t")
    ds = data.read_parquet(tmp_path / "t")
    batch = ds.take_batch(5)["data"]
    assert batch.shape == (5, 2, 3)
    np.testing.assert_array_equal(batch[4], np.full((2, 3), 4))


# One's own ------------------------------------------------------------------------------------


class Squares(data.Datasource):
    def get_read_tasks(self, parallelism):
        return [data.ReadTask(lambda i=i: [pa.table({"x": [i * i]})]) for i in range(parallelism)]


def test_a_source_of_ones_own_is_one_method():
    ds = data.read_datasource(Squares(), parallelism=4)
    assert ds.take_all() == [{"x": 0}, {"x": 1}, {"x": 4}, {"x": 9}]
    assert "ReadSquares" in repr(ds)


def test_errors_of_a_source_tell_what_was_read():
    class Broken(data.Datasource):
        def get_read_tasks(self, parallelism):
            def read():
                raise OSError("gone")

            return [data.ReadTask(read, data.BlockMetadata(source="the moon"))]

    with pytest.raises(OSError, match="gone") as raised:
        data.read_datasource(Broken()).take()
    assert raised.value.__notes__ == ["while reading the moon"]


class Gives(data.Datasource):
    """A source of which the only piece is a function that gives this."""

    def __init__(self, given):
        self.given = given

    def get_read_tasks(self, parallelism):
        return [data.ReadTask(lambda: self.given)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "gave NoneType where an iterable of blocks was expected"),
        ([[1], "ab"], "gave str as block 1: a batch must be a pandas.DataFrame"),
        (pa.table({"a": [1]}), "gave Table where an iterable of blocks was expected"),
        ([{"a": 1}], "gave dict as block 0: column 'a' must be an array or a list"),
        ([[{"a": 1}, 2]], "gave list as block 0: row 1 is int where the rows before it"),
    ],
)
def test_what_is_no_block_is_told_with_the_source(given, said, placement):
    with pytest.raises(UnsupportedValue, match=said) as raised:
        data.read_datasource(Gives(given), parallelism=1).take_all()
    assert "as functions of map_batches do: return [table]" in str(raised.value)
    assert raised.value.__notes__ == ["while reading piece 0 of Gives"]


@pytest.mark.parametrize(
    "given",
    [
        [[{"a": 1, "b": "x"}], [{"a": 2, "b": None}]],
        [pd.DataFrame({"a": [1, 2], "b": ["x", None]})],
        [{"a": np.array([1, 2]), "b": ["x", None]}],
        [pa.record_batch({"a": [1, 2], "b": ["x", None]})],
    ],
    ids=["records", "frame", "arrays", "record batch"],
)
def test_what_functions_on_batches_may_return_sources_may_give(given, placement):
    ds = data.read_datasource(Gives(given), parallelism=1)
    assert ds.columns() == ["a", "b"]
    assert ds.sort("a", descending=True).take_all() == [{"a": 2, "b": None}, {"a": 1, "b": "x"}]


def test_functions_that_fail_are_told_with_the_piece_of_a_source():
    with pytest.raises(ZeroDivisionError) as raised:
        data.read_datasource(Squares(), parallelism=3).map(lambda row: 1 // row["x"]).take_all()
    assert any("piece 0 of Squares" in note for note in raised.value.__notes__)


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        (None, "gave NoneType: it must give a list of air.data.ReadTask"),
        ([lambda: [[1]]], "gave a list with function in it"),
    ],
)
def test_what_is_no_read_task_is_told_with_the_source(tasks, said):
    class Odd(data.Datasource):
        def get_read_tasks(self, parallelism):
            return tasks

    with pytest.raises(TypeError, match=f"get_read_tasks of the data source Odd {said}"):
        data.read_datasource(Odd()).take()


def test_what_is_no_source_is_refused():
    with pytest.raises(TypeError, match=r"takes an air\.data\.Datasource"):
        data.read_datasource(Squares)


# Ranges ---------------------------------------------------------------------------------------


def test_a_range_larger_than_any_memory_is_taken_from():
    assert data.range(10**18).take(2) == [0, 1]
    assert data.range(10**18, parallelism=2).take(2) == [0, 1]
    assert data.range_table(10**15).count() == 10**15


def test_pieces_of_a_range_are_made_in_parts(monkeypatch):
    monkeypatch.setattr("air.data.datasources.range._BLOCK_BYTES", 64)
    ds = data.range_table(30, parallelism=2)
    assert [len(batch["value"]) for batch in ds.iter_batches(batch_size=None)] == [8, 7, 8, 7]
    assert [row["value"] for row in ds.take_all()] == list(range(30))
