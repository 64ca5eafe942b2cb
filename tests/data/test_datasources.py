from __future__ import annotations

import gzip
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv, fs, parquet

from air import data
from air.data.datasources import csv as csv_module
from air.data.datasources import parquet as parquet_module
from air.data.datasources.paths import resolve_paths
from air.data.optimizer import optimize

FRAME = pd.DataFrame({"a": range(6), "b": list("uvwxyz"), "c": [0.5, None, 1.5, 2.5, 3.5, 4.5]})


def write_csv(path, frame=FRAME):
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return path


def write_parquet(path, frame=FRAME, **options):
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


@pytest.mark.parametrize(("paths", "error"), [([], ValueError), (3, TypeError), ([3], TypeError)])
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


def test_a_later_file_that_does_not_parse_is_named_when_it_is_read(tmp_path):
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "2.csv").write_text("a,b\n1,2\n3\n")
    ds = data.read_csv(tmp_path)
    with pytest.raises(data.ReadError, match=r"2\.csv cannot be read as CSV.*Row #3"):
        ds.take_all()


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
    monkeypatch.setattr(parquet_module, "_FOOTERS", 1)
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


def test_what_is_no_parquet_is_named(tmp_path):
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(data.ReadError, match=r"x\.parquet cannot be read as Parquet"):
        data.read_parquet(tmp_path / "x.parquet").count()


def test_planning_does_not_travel(tmp_path):
    source = data.read_parquet(write_parquet(tmp_path / "x.parquet")).plan.source
    assert source.num_rows() == 6
    assert source.schema()
    assert "_footers" not in vars(pickle.loads(pickle.dumps(source)))


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


def test_what_is_no_source_is_refused():
    with pytest.raises(TypeError, match=r"takes an air\.data\.Datasource"):
        data.read_datasource(Squares)
