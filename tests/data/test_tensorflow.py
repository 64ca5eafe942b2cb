"""Datasets and TensorFlow: batches of tensors, ``tf.data`` both ways, training on them."""

from __future__ import annotations

import datetime
import os
import pickle
import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import air
from air import data
from air.data import ColumnNotFound, UnsuitableData, UnsupportedValue
from air.errors import InvalidOption

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # it greets everybody otherwise
tf: Any = pytest.importorskip("tensorflow")

pytestmark = pytest.mark.tensorflow


def table(rows: int = 10) -> data.Dataset:
    return data.from_items(
        [{"a": i, "b": i / 2, "flag": i % 2 == 0, "name": f"ü{i}"} for i in range(rows)],
        parallelism=3,
    )


def ragged(rows: int = 5) -> data.Dataset:
    column = pa.array([list(range(i % 3)) for i in range(rows)], pa.list_(pa.int64()))
    nested = pa.array([[["x"] * i, []] for i in range(rows)], pa.list_(pa.list_(pa.string())))
    return data.from_arrow(pa.table({"x": column, "words": nested, "y": list(range(rows))}))


def test_batches_of_tensors(placement: str) -> None:
    batches = list(table().iter_tf_batches(batch_size=4))
    assert [len(batch["a"]) for batch in batches] == [4, 4, 2]
    assert tf.concat([batch["a"] for batch in batches], 0).numpy().tolist() == list(range(10))
    assert {name: tensor.dtype for name, tensor in batches[0].items()} == {
        "a": tf.int64,
        "b": tf.float64,
        "flag": tf.bool,
        "name": tf.string,
    }
    assert batches[1]["name"].numpy()[0].decode() == "ü4"


def test_dtypes_for_all_and_by_column() -> None:
    numbers = table().select_columns(["a", "flag"])
    batch = next(numbers.iter_tf_batches(dtypes=tf.float32))
    assert {tensor.dtype for tensor in batch.values()} == {tf.float32}
    batch = next(table().iter_tf_batches(dtypes={"a": tf.int8}))
    assert (batch["a"].dtype, batch["b"].dtype) == (tf.int8, tf.float64)


def test_plain_objects_are_one_tensor() -> None:
    (batch,) = data.range(5).iter_tf_batches()
    assert batch.numpy().tolist() == [0, 1, 2, 3, 4]
    assert list(data.range(0).iter_tf_batches()) == []


def test_arrays_and_lists() -> None:
    images = data.from_numpy(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    (batch,) = images.iter_tf_batches()
    assert (batch["data"].shape, batch["data"].dtype) == ((2, 3, 4), tf.uint8)
    (batch,) = ragged().iter_tf_batches(dtypes={"x": tf.float32})
    assert isinstance(batch["x"], tf.RaggedTensor)
    assert batch["x"].to_list() == [[], [0.0], [0.0, 1.0], [], [0.0]]
    assert batch["words"].to_list()[2] == [[b"x", b"x"], []]


def test_missing_values() -> None:
    numbers = data.from_items([{"a": 1}, {"a": None}])
    (batch,) = numbers.iter_tf_batches()
    assert batch["a"].dtype == tf.float64
    assert np.isnan(batch["a"].numpy()[1])
    with pytest.raises(UnsupportedValue, match="int32 has none for"):
        next(numbers.iter_tf_batches(dtypes=tf.int32))
    with pytest.raises(UnsupportedValue, match="'a' holds missing values"):
        next(data.from_items([{"a": "x"}, {"a": None}]).iter_tf_batches())


def test_what_no_tensors_are_made_of_is_named() -> None:
    times = data.from_items([{"t": datetime.datetime(2026, 1, 1), "a": 1}])
    with pytest.raises(UnsupportedValue, match="'t' holds timestamp"):
        next(times.iter_tf_batches())
    with pytest.raises(UnsupportedValue, match="to_tf: the column 't' holds timestamp"):
        times.to_tf("t", "a")
    with pytest.raises(UnsupportedValue, match="'name' holds text, of which no int8 is made"):
        next(table().iter_tf_batches(dtypes={"name": tf.int8}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtypes": "float32"}, "takes a tf.DType"),
        ({"dtypes": {"a": np.float32}}, "takes a tf.DType"),
        ({"batch_size": 0}, "batch_size"),
        ({"local_shuffle_seed": 1}, "needs a local_shuffle_buffer_size"),
    ],
)
def test_bad_options_are_refused_at_the_call(options: Any, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        table().iter_tf_batches(**options)


def test_an_unknown_column_of_dtypes_is_named() -> None:
    with pytest.raises(InvalidOption, match=r"the column 'flg', which there is not\. Did you mean"):
        next(table().iter_tf_batches(dtypes={"flg": tf.int8}))


def test_features_and_labels(placement: str) -> None:
    made = table().to_tf("b", "a", batch_size=4)
    assert made.element_spec == (
        tf.TensorSpec((None,), tf.float64),
        tf.TensorSpec((None,), tf.int64),
    )
    for _ in range(2):  # as often as one likes
        batches = list(made)
        assert [len(label) for _, label in batches] == [4, 4, 2]
        assert batches[1][0].numpy().tolist() == [2.0, 2.5, 3.0, 3.5]


def test_several_columns_are_dictionaries() -> None:
    made = table().to_tf(["a", "name"], ["flag"], batch_size=3, drop_last=True)
    assert made.element_spec == (
        {"a": tf.TensorSpec((3,), tf.int64), "name": tf.TensorSpec((3,), tf.string)},
        {"flag": tf.TensorSpec((3,), tf.bool)},
    )
    batches = list(made)
    assert len(batches) == 3
    assert batches[0][0]["name"].numpy()[1].decode() == "ü1"


def test_signatures_of_arrays_and_lists() -> None:
    made = ragged().to_tf(["x", "words"], "y", batch_size=2)
    assert made.element_spec[0] == {
        "x": tf.RaggedTensorSpec((None, None), tf.int64, ragged_rank=1),
        "words": tf.RaggedTensorSpec((None, None, None), tf.string, ragged_rank=2),
    }
    found = [row for features, _ in made for row in features["x"].to_list()]
    assert found == [[], [0], [0, 1], [], [0]]
    images = data.from_numpy(np.zeros((2, 3, 4), np.float32)).add_column("y", lambda df: 1)
    features, _ = images.to_tf("data", "y").element_spec
    assert features == tf.TensorSpec((None, 3, 4), tf.float32)


def test_later_blocks_are_brought_to_the_signature() -> None:
    whole = data.from_items([{"a": 0.5, "y": 1}])
    mixed = whole.union(data.from_items([{"a": 1, "y": 2}]))
    assert [float(a[0]) for a, _ in mixed.to_tf("a", "y")] == [0.5, 1.0]
    missing = data.from_items([{"a": 1, "y": 1}]).union(data.from_items([{"a": None, "y": 1}]))
    made = missing.to_tf("a", "y")
    with pytest.raises(tf.errors.OpError, match=r"to_tf: the column 'a' holds missing values"):
        list(made)


def test_a_length_that_is_known() -> None:
    assert int(table(10).to_tf("a", "b", batch_size=4).cardinality()) == 3
    assert int(table(10).to_tf("a", "b", batch_size=4, drop_last=True).cardinality()) == 2
    unknown = table().filter(lambda row: True).to_tf("a", "b").cardinality()
    assert int(unknown) == tf.data.UNKNOWN_CARDINALITY


def test_what_to_tf_refuses_at_the_call() -> None:
    with pytest.raises(ColumnNotFound, match="lable"):
        table().to_tf("a", "lable")
    with pytest.raises(ColumnNotFound, match="lable"):
        table().map(dict).to_tf("a", "lable")
    with pytest.raises(InvalidOption, match="to_tf: feature_columns takes a column's name"):
        table().to_tf([], "a")
    with pytest.raises(UnsupportedValue, match="to_tf works on columns"):
        data.range(3).to_tf("a", "b")
    with pytest.raises(UnsuitableData, match="nothing is known"):
        table().filter(lambda row: False).map(dict).to_tf("a", "b")


def test_a_local_shuffle_is_fixed_by_its_seed() -> None:
    made = table(50).to_tf(
        "a", "b", batch_size=50, local_shuffle_buffer_size=10, local_shuffle_seed=3
    )
    orders = [a.numpy().tolist() for _ in range(2) for a, _ in made]
    assert orders[0] == orders[1] != list(range(50))
    assert sorted(orders[0]) == list(range(50))


def test_a_loop_that_is_left_leaves_no_thread(placement: str) -> None:
    for made in (table().to_tf("a", "b"), table().iter_tf_batches(batch_size=1)):
        for _ in made:
            break
    assert not [each for each in threading.enumerate() if each.name == "air-data-prefetch"]


def test_a_model_learns() -> None:
    keras = tf.keras
    rows = [{"x": np.array([i / 50, 1.0]), "y": 2 * i / 50 + 1} for i in range(50)]
    model = keras.Sequential([keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    history = model.fit(
        data.from_items(rows).to_tf("x", "y", batch_size=10), epochs=3, verbose=0, shuffle=False
    )
    losses = history.history["loss"]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 3


def in_a_task(iterator: data.DataIterator) -> list[float]:
    return [float(x[0]) for x, _ in iterator.to_tf("b", "a")]


def test_iterators_go_to_tasks(backend: str) -> None:
    assert air.get(air.remote(in_a_task).remote(table(4).iterator())) == [0.0, 0.5, 1.0, 1.5]
    iterator = pickle.loads(pickle.dumps(table().iterator()))
    assert sum(int(tf.reduce_sum(batch["a"])) for batch in iterator.iter_tf_batches()) == 45


def test_records_of_a_dataset() -> None:
    made = tf.data.Dataset.from_tensor_slices(
        {
            "i": tf.range(5),
            "image": tf.zeros((5, 2, 3), tf.uint8),
            "text": [b"a", b"b", "ü".encode(), b"", b"\xff"],
            "words": tf.ragged.constant([["a"], [], ["b", "c"], [], []]),
            "inner": {"x": tf.range(5, dtype=tf.float32)},
        }
    )
    ds = data.from_tf(made)
    assert (ds.count(), ds.num_blocks()) == (5, 5)
    assert ds.schema().field("image").type == pa.fixed_shape_tensor(pa.uint8(), (2, 3))
    rows = ds.take_all()
    assert [row["i"] for row in rows] == list(range(5))
    assert [row["text"] for row in rows] == [b"a", b"b", "ü".encode(), b"", b"\xff"]
    assert [row["words"] for row in rows] == [[b"a"], [], [b"b", b"c"], [], []]
    assert rows[3]["inner"] == {"x": 3.0}


def test_tensors_of_different_shapes() -> None:
    made = tf.data.Dataset.range(4).map(lambda i: {"x": tf.range(i), "empty": tf.zeros((0,))})
    rows = data.from_tf(made).take_all()
    assert [row["x"] for row in rows] == [[], [0], [0, 1], [0, 1, 2]]
    assert rows[0]["empty"].shape == (0,)


def test_other_elements_are_plain_objects() -> None:
    assert data.from_tf(tf.data.Dataset.range(3)).take_all() == [0, 1, 2]
    pairs = tf.data.Dataset.from_tensor_slices((tf.zeros((2, 2)), [b"a", b"b"]))
    (array, text), _ = data.from_tf(pairs).take_all()
    assert (array.tolist(), text) == ([0.0, 0.0], b"a")


def test_no_elements() -> None:
    assert data.from_tf(tf.data.Dataset.range(0).map(lambda i: {"i": i})).take_all() == []
    assert data.from_tf(tf.data.Dataset.range(0)).take_all() == []


def test_many_elements_keep_their_order() -> None:
    ds = data.from_tf(tf.data.Dataset.range(3000).map(lambda i: {"i": i}), parallelism=2)
    assert ds.num_blocks() == 2
    assert [row["i"] for row in ds.iter_rows()] == list(range(3000))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: [1, 2], TypeError, "from_tf takes a tf.data.Dataset, got list"),
        (lambda: tf.data.Dataset.range(3).repeat(), InvalidOption, "repeats for ever"),
        (
            lambda: tf.data.Dataset.from_tensors({"s": tf.sparse.from_dense([[1, 0]])}),
            UnsupportedValue,
            "'s' holds SparseTensor",
        ),
        (
            lambda: tf.data.Dataset.from_tensors({"o": {"p": (1, 2)}}),
            UnsupportedValue,
            "'o.p' holds tuple",
        ),
        (
            lambda: tf.data.Dataset.from_tensors(tf.sparse.from_dense([[1, 0]])),
            UnsupportedValue,
            "an element holds a SparseTensor",
        ),
    ],
)
def test_what_from_tf_refuses(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        data.from_tf(make())


def test_there_and_back() -> None:
    rows = ragged().take_all()
    made = ragged().to_tf(["x", "words", "y"], "y", batch_size=2).map(lambda x, y: x).unbatch()
    back = data.from_tf(made).take_all()
    assert [row["x"] for row in back] == [row["x"] for row in rows]
    assert [[w.decode() for w in row["words"][0]] for row in back] == [
        row["words"][0] for row in rows
    ]
