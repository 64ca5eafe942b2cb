"""Datasets and PyTorch: batches of tensors, datasets for its loaders, rows from its datasets."""

from __future__ import annotations

import pickle
from multiprocessing import resource_tracker
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from air import data
from air.data import ColumnNotFound, UnsupportedValue
from air.errors import InvalidOption

torch: Any = pytest.importorskip("torch")

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")]


@pytest.fixture(scope="session", autouse=True)
def _multiprocessing_is_warm() -> None:
    """It keeps a process of its own from the first one on that it starts anew."""
    resource_tracker.ensure_running()


def table(rows: int = 10) -> data.Dataset:
    return data.from_items(
        [{"a": i, "b": i / 2, "flag": i % 2 == 0, "y": -i} for i in range(rows)], parallelism=3
    )


def test_batches_of_tensors(placement: str) -> None:
    batches = list(table().iter_torch_batches(batch_size=4))
    assert [len(batch["a"]) for batch in batches] == [4, 4, 2]
    assert torch.cat([batch["a"] for batch in batches]).tolist() == list(range(10))
    first = batches[0]
    assert {name: tensor.dtype for name, tensor in first.items()} == {
        "a": torch.int64,
        "b": torch.float64,
        "flag": torch.bool,
        "y": torch.int64,
    }
    first["a"] += 1  # they are the caller's own
    assert table().take(1)[0]["a"] == 0


def test_dtypes_for_all_and_by_column() -> None:
    batch = next(iter(table().iter_torch_batches(dtypes=torch.float32)))
    assert {tensor.dtype for tensor in batch.values()} == {torch.float32}
    batch = next(iter(table().iter_torch_batches(dtypes={"a": torch.int8}, device="cpu")))
    assert (batch["a"].dtype, batch["b"].dtype) == (torch.int8, torch.float64)


def test_plain_objects_are_one_tensor() -> None:
    (batch,) = data.range(5).iter_torch_batches()
    assert batch.tolist() == [0, 1, 2, 3, 4]


def test_arrays_of_one_shape_and_of_many() -> None:
    images = data.from_numpy(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    (batch,) = images.iter_torch_batches()
    assert (batch["data"].shape, batch["data"].dtype) == ((2, 3, 4), torch.uint8)
    ragged = data.from_items([{"x": np.arange(2)}, {"x": np.arange(3)}])
    (batch,) = ragged.iter_torch_batches()
    assert [tensor.tolist() for tensor in batch["x"]] == [[0, 1], [0, 1, 2]]


def test_missing_numbers_are_nan() -> None:
    ds = data.from_items([{"a": 1}, {"a": None}])
    (batch,) = ds.iter_torch_batches()
    assert batch["a"][0] == 1
    assert batch["a"][1].isnan()
    with pytest.raises(UnsupportedValue, match=r"'a' holds missing .* torch.int32 has none for"):
        next(ds.iter_torch_batches(dtypes=torch.int32))
    with pytest.raises(UnsupportedValue, match=r"'a' holds missing .* torch.int8 has none for"):
        next(
            iter(ds.to_torch(feature_columns=["a"], feature_column_dtypes=torch.int8, batch_size=2))
        )


def test_plain_objects_that_are_no_numbers() -> None:
    pairs = data.from_items([(1, torch.zeros(2)), (2, torch.ones(2))])
    with pytest.raises(UnsupportedValue, match=r"rows are tuple objects.*default_collate"):
        next(pairs.iter_torch_batches())
    collate = torch.utils.data.default_collate
    ((numbers, tensors),) = pairs.iter_torch_batches(collate_fn=collate)
    assert (numbers.tolist(), tensors.shape) == ([1, 2], (2, 2))


def test_devices() -> None:
    (batch,) = table().iter_torch_batches(device=torch.device("meta"))
    assert batch["a"].device.type == "meta"
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(InvalidOption, match=r"torch finds \d+ CUDA devices"):
        table().iter_torch_batches(device=missing)


def test_lists_are_tensors_of_their_own_shape_and_type(placement: str) -> None:
    kind = pa.list_(pa.list_(pa.uint8()))
    column = pa.array([[[1, 2], [3, 4]], [[5, 6]], [[7]]], kind)
    table = pa.table({"image": column, "l": [[1], [], [2, 3]], "y": [0, 1, 2]})
    ds = data.from_arrow([table[:2], table[2:]])
    first, second = ds.iter_torch_batches(batch_size=2)
    assert [tuple(image.shape) for image in first["image"]] == [(2, 2), (1, 2)]
    assert first["image"][0].dtype == torch.uint8
    assert [each.tolist() for each in first["l"]] == [[1], []]
    assert second["image"][0].tolist() == [[7]]
    first["image"][0] += 1  # they are the caller's own
    assert ds.take(1)[0]["image"] == [[1, 2], [3, 4]]
    with pytest.raises(UnsupportedValue, match="lists of different lengths inside of one row"):
        next(data.from_items([{"x": [[1], [2, 3]]}]).iter_torch_batches())
    with pytest.raises(UnsupportedValue, match="iter_torch_batches: the column 'x' holds missing"):
        next(data.from_items([{"x": [1, None]}]).iter_torch_batches())


@pytest.mark.parametrize(
    ("value", "held"),
    [
        ("x", "objects such as 'x'"),
        (None, "missing values"),
        (np.datetime64("2026-01-01"), "points in time"),
    ],
)
def test_columns_without_numbers_are_named(value: Any, held: str) -> None:
    ds = data.from_items([{"name": value, "a": 1}])
    with pytest.raises(UnsupportedValue, match=f"column 'name' holds {held}"):
        list(ds.iter_torch_batches())
    assert len(list(ds.drop_columns(["name"]).iter_torch_batches())) == 1


def test_a_collate_fn_decides() -> None:
    batches = table().iter_torch_batches(collate_fn=lambda batch: torch.as_tensor(batch["a"]).sum())
    assert [int(one) for one in batches] == [45]
    with pytest.raises(InvalidOption, match="leave dtypes and device out"):
        table().iter_torch_batches(collate_fn=len, device="cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtypes": "float32"}, "takes a torch.dtype"),
        ({"dtypes": {"a": np.float32}}, "takes a torch.dtype"),
        ({"device": "nowhere"}, "device='nowhere'"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_options_are_refused_at_the_call(options: Any, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        table().iter_torch_batches(**options)


def test_an_unknown_column_of_dtypes_is_named() -> None:
    with pytest.raises(InvalidOption, match=r"the column 'flg', which there is not\. Did you mean"):
        list(table().iter_torch_batches(dtypes={"flg": torch.int8}))


def batches_of(dataset: Any, **loading: Any) -> list[Any]:
    return list(torch.utils.data.DataLoader(dataset, batch_size=None, **loading))


def test_features_side_by_side_and_labels() -> None:
    made = table().to_torch(label_column="y", feature_columns=["a", "b"], batch_size=4)
    batches = batches_of(made)
    assert [features.shape for features, _ in batches] == [(4, 2), (4, 2), (2, 2)]
    assert [label.shape for _, label in batches] == [(4, 1), (4, 1), (2, 1)]
    assert batches[1][0].tolist() == [[i, i / 2] for i in range(4, 8)]
    assert len(batches_of(made)) == 3  # as often as one likes


def test_all_columns_but_the_label() -> None:
    ((features, label),) = (
        table()
        .drop_columns(["flag"])
        .to_torch(label_column="y", batch_size=10, label_column_dtype=torch.float32)
    )
    assert features.shape[1] == 2
    assert label.dtype == torch.float32
    ((features, label),) = data.range_table(3).to_torch(batch_size=3)
    assert (features.tolist(), label) == ([[0], [1], [2]], None)


def test_several_tensors_of_features() -> None:
    as_list = table().to_torch(
        feature_columns=[["a"], ["b", "y"]],
        feature_column_dtypes=[torch.int8, torch.float32],
        batch_size=10,
    )
    (((first, second), _),) = as_list
    assert (first.dtype, first.shape, second.dtype, second.shape) == (
        torch.int8,
        (10, 1),
        torch.float32,
        (10, 2),
    )
    as_dict = table().to_torch(
        feature_columns={"x": ["a"], "z": ["b", "y"]},
        feature_column_dtypes={"x": torch.float32, "z": torch.float64},
        unsqueeze_feature_tensors=False,
        label_column="flag",
        unsqueeze_label_tensor=False,
        batch_size=10,
    )
    ((features, label),) = as_dict
    assert {key: tuple(tensor.shape) for key, tensor in features.items()} == {
        "x": (10,),
        "z": (10, 2),
    }
    assert label.shape == (10,)


@pytest.mark.parametrize(
    "options",
    [
        {"feature_columns": "a"},
        {"feature_columns": []},
        {"feature_columns": [[]]},
        {"feature_columns": {"x": "a"}},
        {"feature_columns": [["a"]], "feature_column_dtypes": [torch.int8, torch.int8]},
        {"feature_columns": {"x": ["a"]}, "feature_column_dtypes": {"y": torch.int8}},
        {"feature_column_dtypes": [torch.int8]},
    ],
)
def test_other_forms_are_refused(options: Any) -> None:
    with pytest.raises(InvalidOption, match="to_torch"):
        table().to_torch(**options)


def test_unknown_columns_are_refused_at_the_call() -> None:
    with pytest.raises(ColumnNotFound, match="lable"):
        table().to_torch(label_column="lable")


def test_features_that_make_no_tensor() -> None:
    rows = data.from_items([{"l": [1], "box": np.zeros((2, 2)), "x": 1.0}] * 2)
    with pytest.raises(UnsupportedValue, match="'l' holds arrays of different shapes"):
        next(iter(rows.to_torch(feature_columns=["l"])))
    with pytest.raises(UnsupportedValue, match="'l' holds arrays of different shapes"):
        next(iter(rows.to_torch(feature_columns=["x"], label_column="l")))
    message = r"'box': \(1, 2, 2\).* cannot be put side by side"
    for unsqueeze in (True, False):
        made = rows.to_torch(feature_columns=["box", "x"], unsqueeze_feature_tensors=unsqueeze)
        with pytest.raises(UnsupportedValue, match=message):
            next(iter(made))
    with pytest.raises(InvalidOption, match="there is no column but the label, 'x'"):
        next(iter(rows.select_columns(["x"]).to_torch(label_column="x")))
    with pytest.raises(UnsupportedValue, match="to_torch works on columns"):
        next(iter(data.range(3).map(lambda x: x).to_torch()))


def test_only_the_columns_that_are_named_are_made(placement: str) -> None:
    ds = data.from_items([{"a": 1, "y": 2, "name": "x", "l": [[1], [2, 3]]}])
    ((features, label),) = ds.to_torch(feature_columns=["a"], label_column="y")
    assert (features.tolist(), label.tolist()) == ([[1]], [[2]])


def test_a_length_that_is_known() -> None:
    made = table(10).to_torch(batch_size=4)
    assert (len(made), len(torch.utils.data.DataLoader(made, batch_size=None))) == (3, 3)
    with pytest.raises(TypeError, match="not known"):
        len(table().filter(lambda row: True).to_torch())


def test_every_epoch_and_every_worker_of_a_loader_sees_each_row_once() -> None:
    made = table(40).to_torch(feature_columns=["a"], batch_size=3, local_shuffle_buffer_size=20)
    loader = torch.utils.data.DataLoader(made, batch_size=None, num_workers=2)
    orders = [[int(x) for features, _ in loader for x in features] for _ in range(2)]
    assert orders[0] != orders[1]
    assert [sorted(order) for order in orders] == [list(range(40))] * 2


def test_workers_of_a_loader_that_are_started_anew() -> None:
    ds = table().map(lambda row: {"a": row["a"] + 1})  # a function that pickle does not know
    made = ds.to_torch(feature_columns=["a"], batch_size=2)
    loading = {"num_workers": 1, "multiprocessing_context": "spawn"}
    found = batches_of(made, **loading)
    assert [int(x) for features, _ in found for x in features] == list(range(1, 11))
    again = pickle.loads(pickle.dumps(made))
    assert len(list(again)) == 5


def test_workers_of_a_loader_share_the_batches() -> None:
    made = table().to_torch(feature_columns=["a"], batch_size=2)
    found = batches_of(made, num_workers=2)
    assert sorted(int(x) for features, _ in found for x in features) == list(range(10))


class Squares(torch.utils.data.Dataset):  # type: ignore[misc]
    def __init__(self, count: int, *, records: bool = False) -> None:
        self.count, self.records = count, records

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self.count:
            raise IndexError(index)
        value = torch.tensor([index, index * index])
        return {"x": value, "i": torch.tensor(index)} if self.records else (index, value)


class CountdownOfKnownLength(torch.utils.data.IterableDataset):  # type: ignore[misc]
    def __iter__(self) -> Any:
        return iter([3, 2, 1])

    def __len__(self) -> int:
        return 3


class Countdown(torch.utils.data.IterableDataset):  # type: ignore[misc]
    def __iter__(self) -> Any:
        return iter([3, 2, 1])


def test_items_by_number_are_read_in_pieces(placement: str) -> None:
    ds = data.from_torch(Squares(20))
    assert (ds.num_blocks(), ds.count()) == (16, 20)
    rows = ds.take_all()
    assert [index for index, _ in rows] == list(range(20))
    assert rows[7][1].tolist() == [7, 49]


def test_tensors_of_records_are_columns_of_arrays(placement: str) -> None:
    ds = data.from_torch(Squares(5, records=True), parallelism=2)
    (batch,) = ds.iter_batches()
    assert batch["x"].tolist() == [[i, i * i] for i in range(5)]
    assert batch["i"].tolist() == list(range(5))
    assert data.from_torch(Squares(0, records=True)).take_all() == []


def test_what_has_no_length_is_gone_through() -> None:
    assert data.from_torch(Countdown()).take_all() == [3, 2, 1]
    assert data.from_torch(CountdownOfKnownLength()).take_all() == [3, 2, 1]
    with pytest.raises(TypeError, match=r"from_torch takes a torch.utils.data.Dataset, got int"):
        data.from_torch(3)


def test_iterators_of_tensors_travel() -> None:
    iterator = pickle.loads(pickle.dumps(table().iterator()))
    assert sum(int(batch["a"].sum()) for batch in iterator.iter_torch_batches()) == 45
