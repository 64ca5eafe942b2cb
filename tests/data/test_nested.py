"""Lists of lists of numbers, such as images of different sizes, as arrays of functions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air import data
from air.data.blocks import nested, tensor
from air.data.blocks.convert import column_to_numpy

DEEP = pa.list_(pa.list_(pa.list_(pa.uint8())))
ROWS = st.none() | st.lists(
    st.lists(st.lists(st.integers(0, 255), max_size=2), max_size=2), max_size=2
)


def images(*sizes):
    random = np.random.default_rng(3)
    return [random.integers(0, 255, (*size, 3)).astype(np.uint8) for size in sizes]


@settings(max_examples=25, deadline=None)
@given(st.lists(ROWS, max_size=5), st.integers(0, 2), st.booleans())
def test_elements_have_the_values_of_the_rows(rows, start, writable):
    whole = pa.array(rows, DEEP)
    chunk = whole.slice(start) if start <= len(rows) else whole
    column = pa.chunked_array([chunk, chunk])
    found = nested.as_arrays(column, writable=writable)
    expected = column.to_pylist()
    for value, row in zip(found, expected, strict=True):
        if row is None:
            assert value is None
        elif isinstance(value, np.ndarray):
            assert (value.ndim, value.dtype) == (3, np.uint8)
            assert value.tolist() == row or value.size == 0
            assert not writable or value.flags.writeable
        else:
            assert value == row
            with pytest.raises(ValueError, match="inhomogeneous"):
                np.array(row, np.uint8)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        (DEEP, [[[[1], [0]]], [[[0], [1]], [[1], [1]]]]),
        (pa.large_list(pa.large_list(pa.bool_())), [[[True, False]], [[False], [True]]]),
        (pa.list_(pa.list_(pa.float32(), 2)), [[[1.5, 0]], [[0, 1], [1, 1]]]),
    ],
)
def test_all_kinds_of_lists(kind, rows):
    found = column_to_numpy(pa.chunked_array([pa.array(rows, kind)]))
    for value, row in zip(found, rows, strict=True):
        np.testing.assert_array_equal(value, np.array(row))
        assert not value.flags.writeable or value.dtype == bool  # which Arrow has in bits


def test_nulls_inside_of_rows_stay_lists():
    column = pa.chunked_array([pa.array([[[1, None]], [None, [2]]])])
    assert nested.as_arrays(column, writable=False) is None
    assert column_to_numpy(column).tolist() == [[[1, None]], [None, [2]]]


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("batch_format", ["numpy", "pandas"])
def test_images_pass_functions_as_arrays(batch_format, blocks, placement):
    """Also where all of a block have one shape, and where there are rows that are no arrays."""
    arrays = images((2, 3), (2, 3), (4, 1), (4, 1), (1, 1))
    column = pa.array([*(a.tolist() for a in arrays), None, [[[1], [2, 3]]], []], DEEP)
    ds = data.from_arrow(pa.table({"image": column})).repartition(blocks)

    def passed(batch):
        kinds = {type(image).__name__ for image in batch["image"]}
        assert kinds <= {"ListElement", "NoneType", "list"}
        return batch

    assert ds.map_batches(passed, batch_format=batch_format).to_arrow()["image"] == (
        pa.chunked_array([column])
    )


@pytest.mark.parametrize("batch_format", ["numpy", "pandas"])
def test_what_is_made_of_images_is_what_it_looks_like(batch_format):
    arrays = images((2, 3), (4, 5), (3, 3))
    ds = data.from_arrow(pa.table({"image": tensor.as_lists(arrays)}))

    def cut(batch):
        made = [image[:2, :2] for image in batch["image"]]
        return pd.DataFrame({"image": made}) if batch_format == "pandas" else {"image": made}

    found = ds.map_batches(cut, batch_format=batch_format)
    assert found.schema().field("image").type == pa.fixed_shape_tensor(pa.uint8(), (2, 2, 3))
    for made, array in zip(found.take_all(), arrays, strict=True):
        np.testing.assert_array_equal(made["image"], array[:2, :2])

    def halved(batch):
        return {"image": [image / 2 for image in batch["image"]]}

    found = ds.map_batches(halved).to_arrow()["image"]
    assert found.type == pa.list_(pa.list_(pa.list_(pa.float64())))
    assert found.to_pylist() == [(array / 2).tolist() for array in arrays]


def test_images_may_be_changed_in_place():
    arrays = images((2, 3), (4, 5))
    ds = data.from_arrow(pa.table({"image": tensor.as_lists(arrays)}))

    def darker(batch):
        for image in batch["image"]:
            image //= 2
        return batch

    assert ds.map_batches(darker).to_arrow()["image"].to_pylist() == [
        (array // 2).tolist() for array in arrays
    ]
    assert ds.to_arrow()["image"].to_pylist() == [array.tolist() for array in arrays]
