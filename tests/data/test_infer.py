"""Columns from values of any kind: nothing of a value is lost on the way in."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from air.data.blocks.infer import column_from_values
from air.data.errors import UnsupportedValue

NANOSECOND = pd.Timestamp("2020-01-01 00:00:00.000000001")


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([2**63, 1, None], pa.uint64(), [2**63, 1, None]),
        ([NANOSECOND, pd.NaT], pa.timestamp("ns"), [NANOSECOND, None]),
        ([pd.Timedelta(1, "ns"), None], pa.duration("ns"), [pd.Timedelta(1, "ns"), None]),
        ([pd.NA, 1], pa.int64(), [None, 1]),
        ([float("nan"), "x"], pa.string(), [None, "x"]),
        (np.ma.array([1, 2], mask=[True, False]), pa.int64(), [None, 2]),
        (np.array([1, 2], dtype=">i4"), pa.int32(), [1, 2]),
        (np.array(["2020"], dtype="M8[Y]"), pa.date32(), [dt.date(2020, 1, 1)]),
        (np.array([1], dtype="m8[h]"), pa.duration("s"), [dt.timedelta(hours=1)]),
        ([np.ones(1, "f4"), np.ones(2, "f4")], pa.list_(pa.float32()), [[1.0], [1.0, 1.0]]),
        ([np.ones(1, "i2"), None], pa.fixed_shape_tensor(pa.int16(), [1]), [[1], None]),
        (pd.Series([2**63, None], dtype=object), pa.uint64(), [2**63, None]),
        (pd.Series([NANOSECOND, None], dtype=object), pa.timestamp("ns"), [NANOSECOND, None]),
        (pd.Series(pd.arrays.SparseArray([0, 1])), pa.int64(), [0, 1]),
    ],
)
def test_values_are_kept_whole(values, kind, expected):
    made = column_from_values("a", values)
    assert made.type == kind
    assert made.to_pylist() == expected


def test_nan_among_numbers_is_a_number():
    first, second = column_from_values("a", [float("nan"), None]).to_pylist()
    assert first != first
    assert second is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([2**64], "holds whole numbers that 64 bits cannot hold"),
        ([-1, 2**63], "holds whole numbers that 64 bits cannot hold"),
        ([dt.date(2020, 1, 1), dt.datetime(2020, 1, 1, 5)], "mixes values of the types date"),
        (
            [dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)],
            "times with a zone and times without one",
        ),
        (["a", b"b"], "mixes values of the types str (first in row 0), bytes (first in row 1)"),
        ([np.zeros(2), 1], "mixes values of the types ndarray (first in row 0), int"),
        (["a", "\ud800"], "holds text that UTF-8 cannot encode"),
        (np.ma.array([[1, 2]], mask=[[True, False]]), "a masked array must have one dimension"),
        (pd.DataFrame({"x": [1]}), "must be the values of one column, got a DataFrame"),
    ],
)
def test_what_would_be_lost_is_refused(values, message):
    with pytest.raises(UnsupportedValue) as raised:
        column_from_values("a", values)
    assert f"column 'a' {message}" in str(raised.value) or message in str(raised.value)


class Tensor:
    """An array of a library that Arrow does not know."""

    def __init__(self, values):
        self._values = np.array(values)

    def __array__(self, dtype=None, copy=None):
        return self._values.astype(dtype or self._values.dtype)


def test_arrays_of_other_libraries_are_arrays():
    arrays = [np.array([1.5, 2]), np.array([3.0, 4])]
    tensors = [Tensor(array) for array in arrays]
    assert column_from_values("a", tensors).equals(column_from_values("a", arrays))
    assert column_from_values("a", [None, *tensors]).equals(
        column_from_values("a", [None, *arrays])
    )
    assert column_from_values("a", [Tensor(1), None, Tensor(2)]).to_pylist() == [1, None, 2]
    ragged = [Tensor([1]), Tensor([2, 3])]
    assert column_from_values("a", ragged).to_pylist() == [[1], [2, 3]]
    with pytest.raises(UnsupportedValue, match="column 'a'"):
        column_from_values("a", [Tensor(1), object()])
