"""Datasets of Hugging Face: in memory, in files, streamed; nothing is downloaded."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from tqdm import tqdm

from air import data
from air.data.huggingface.columns import plain_schema, plain_table
from air.data.huggingface.source import MappedDatasource
from air.errors import InvalidOption

FEATURES = datasets.Features(
    {
        "i": datasets.Value("int64"),
        "text": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["no", "yes"]),
        "box": datasets.Array2D((2, 2), "float32"),
    }
)
ROWS = [{"i": i, "text": f"ü{i}", "label": i % 2, "box": [[i, 1.0], [2.0, 3.0]]} for i in range(20)]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(tqdm, "monitor_interval", 0)  # no thread that stays
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.fixture
def in_memory() -> datasets.Dataset:
    return datasets.Dataset.from_list(ROWS, features=FEATURES)


@pytest.fixture
def in_files(in_memory: datasets.Dataset, tmp_path: Path) -> datasets.Dataset:
    in_memory.save_to_disk(tmp_path / "saved", num_shards=3)
    return datasets.load_from_disk(tmp_path / "saved")


def numbers(ds: Any) -> list[int]:
    return [row["i"] for row in ds.iter_rows()]


def check_all(ds: Any) -> None:
    rows = ds.take_all()
    assert [row["i"] for row in rows] == list(range(20))
    assert rows[3]["text"] == "ü3"
    assert [row["label"] for row in rows[:3]] == [0, 1, 0]
    assert rows[5]["box"].tolist() == [[5, 1], [2, 3]]
    kind = pa.fixed_shape_tensor(pa.float32(), (2, 2))
    assert (ds.schema().field("box").type, ds.schema().metadata) == (kind, None)


def test_in_memory(in_memory: datasets.Dataset, placement: str) -> None:
    ds = data.from_huggingface(in_memory, parallelism=4)
    assert (ds.count(), ds.num_blocks()) == (20, 4)
    check_all(ds)
    check_all(ds.map(dict))


def test_what_is_in_memory_is_not_copied(in_memory: datasets.Dataset) -> None:
    (handle,) = data.from_huggingface(in_memory, parallelism=1).run()
    theirs = in_memory.data.table["i"].chunk(0).buffers()[1]
    assert handle.get()["i"].chunk(0).buffers()[1].address == theirs.address


def test_in_files(in_files: datasets.Dataset, placement: str) -> None:
    ds = data.from_huggingface(in_files)
    assert (ds.count(), ds.num_blocks()) == (20, 16)
    check_all(ds)
    check_all(ds.map(dict))


def test_what_is_in_files_travels_as_their_names(tmp_path: Path) -> None:
    many = datasets.Dataset.from_dict({"i": list(range(100_000))})
    many.save_to_disk(tmp_path / "many")
    source = MappedDatasource(datasets.load_from_disk(tmp_path / "many").with_format("arrow"))
    tasks = source.get_read_tasks(4)
    assert max(len(pickle.dumps(task)) for task in tasks) < 10_000
    again = pickle.loads(pickle.dumps(tasks[1]))
    (block,) = again.read_fn()
    assert block["i"].to_pylist() == list(range(25_000, 50_000))


def test_only_the_columns_that_are_wanted_are_read(in_files: datasets.Dataset) -> None:
    ds = data.from_huggingface(in_files.rename_column("text", "t")).select_columns(["t", "i"])
    assert ds.take(1) == [{"t": "ü0", "i": 0}]
    source = MappedDatasource(in_files.with_format("arrow")).with_columns(("label",))
    assert source is not None
    assert source.columns() == ["label"]


@pytest.mark.parametrize("where", ["in_memory", "in_files"])
def test_rows_come_in_the_order_that_was_asked_for(
    request: pytest.FixtureRequest, where: str, tmp_path: Path
) -> None:
    dataset = request.getfixturevalue(where)
    assert numbers(data.from_huggingface(dataset.select([3, 1, 1, 19]))) == [3, 1, 1, 19]
    kept = {"keep_in_memory": True, "load_from_cache_file": False}
    even = dataset.filter(lambda row: row["i"] % 2 == 0, **kept)
    assert numbers(data.from_huggingface(even)) == list(range(0, 20, 2))
    cache = {"indices_cache_file_name": str(tmp_path / f"{where}.arrow")}
    mixed = dataset.shuffle(seed=3, **cache)
    assert numbers(data.from_huggingface(mixed)) == [row["i"] for row in mixed] != list(range(20))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 19)), st.integers(1, 5))
def test_any_selection(chosen: list[int], parallelism: int) -> None:
    dataset = datasets.Dataset.from_list(ROWS, features=FEATURES).select(chosen)
    assert numbers(data.from_huggingface(dataset, parallelism=parallelism)) == chosen
    source = MappedDatasource(dataset.with_format("arrow"))
    blocks = [block for task in source.get_read_tasks(parallelism) for block in task.read_fn()]
    assert [i for block in blocks for i in block["i"].to_pylist()] == chosen


def test_errors_name_the_row(in_files: datasets.Dataset, placement: str) -> None:
    ds = data.from_huggingface(in_files).map(lambda row: {"x": 1 // (row["i"] - 13)})
    with pytest.raises(ZeroDivisionError) as caught:
        ds.take_all()
    assert "row 13 of HuggingFace" in str(caught.value.__notes__)


def test_formats_and_transforms_are_not_applied(in_memory: datasets.Dataset) -> None:
    check_all(data.from_huggingface(in_memory.with_format("numpy", columns=["i"])))
    check_all(data.from_huggingface(in_memory.with_transform(lambda batch: {"i": [0]})))


def test_parts_of_a_dataset_are_a_dictionary(in_memory: datasets.Dataset) -> None:
    parts = datasets.DatasetDict({"train": in_memory, "test": in_memory.select([4])})
    made = data.from_huggingface(parts)
    assert isinstance(made, dict)
    assert {name: part.count() for name, part in made.items()} == {"train": 20, "test": 1}


def test_no_rows(in_memory: datasets.Dataset) -> None:
    none = data.from_huggingface(in_memory.select([]))
    assert (none.take_all(), none.columns()) == ([], ["i", "text", "label", "box"])


def test_pictures_are_their_bytes() -> None:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (2, 3)).save(file, "png")
    rows = [{"image": {"bytes": file.getvalue(), "path": None}}]
    features = datasets.Features({"image": datasets.Image()})
    ds = data.from_huggingface(datasets.Dataset.from_list(rows, features=features))
    assert ds.take_all() == rows
    sizes = ds.map(lambda row: {"size": Image.open(io.BytesIO(row["image"]["bytes"])).size})
    assert sizes.take_all() == [{"size": [2, 3]}]


def streamed(shards: int = 4) -> datasets.IterableDataset:
    return datasets.Dataset.from_list(ROWS, features=FEATURES).to_iterable_dataset(shards)


def test_streams(placement: str) -> None:
    check_all(data.from_huggingface(streamed()))
    ds = data.from_huggingface(streamed(), parallelism=4)
    assert ds.num_blocks() == 4
    check_all(ds)


def test_streams_that_were_changed(placement: str) -> None:
    changed = streamed().map(lambda row: {"i": -row["i"]}).filter(lambda row: row["i"] % 3 == 0)
    assert numbers(data.from_huggingface(changed)) == [0, -3, -6, -9, -12, -15, -18]
    assert numbers(data.from_huggingface(streamed().take(7))) == list(range(7))
    assert data.from_huggingface(streamed().take(0)).take_all() == []

    def numbered() -> Iterator[dict[str, int]]:
        yield from ({"i": i} for i in range(3000))

    made = datasets.IterableDataset.from_generator(numbered)
    assert numbers(data.from_huggingface(made)) == list(range(3000))


def test_what_from_huggingface_refuses(in_memory: datasets.Dataset) -> None:
    with pytest.raises(TypeError, match=r"takes a datasets\.Dataset, .* got list"):
        data.from_huggingface(ROWS)
    with pytest.raises(InvalidOption, match="parallelism=9, but the IterableDataset has 4 shards"):
        data.from_huggingface(streamed(), parallelism=9)
    with pytest.raises(InvalidOption, match="parallelism"):
        data.from_huggingface(streamed(), parallelism=0)


def array_column(shape: tuple[int | None, ...], dtype: str, rows: list[Any]) -> pa.Table:
    features = datasets.Features({"x": datasets.Array2D(shape, dtype)})
    return datasets.Dataset.from_list([{"x": row} for row in rows], features=features).data.table


def test_arrays_keep_their_shape_where_they_have_one() -> None:
    table = array_column((2, 2), "int32", [[[1, 2], [3, 4]], None, [[5, 6], [7, 8]]])
    made = plain_table(table)
    assert made.schema.field("x").type == pa.fixed_shape_tensor(pa.int32(), (2, 2))
    assert made["x"].null_count == 1
    ds = data.from_arrow(made.slice(1))
    assert [row["x"] if row["x"] is None else row["x"].tolist() for row in ds.take_all()] == [
        None,
        [[5, 6], [7, 8]],
    ]
    sliced = plain_table(table.slice(2))
    assert data.from_arrow(sliced).take_all()[0]["x"].tolist() == [[5, 6], [7, 8]]
    flags = plain_table(array_column((1, 2), "bool", [[[True, False]]]))
    assert np.array(data.from_arrow(flags).take_all()[0]["x"]).tolist() == [[True, False]]
    ragged = plain_table(array_column((None, 2), "int32", [[[1, 2]], [[3, 4], [5, 6]]]))
    assert ragged["x"].to_pylist() == [[[1, 2]], [[3, 4], [5, 6]]]
    assert plain_schema(table.schema) == made.schema
