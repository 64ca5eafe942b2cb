"""What the tests of tables of Delta Lake and Iceberg share: rows of every type, and conditions."""

from __future__ import annotations

import datetime
import decimal

import pyarrow as pa
from hypothesis import strategies as st

UTC = datetime.UTC
AT = datetime.datetime(2024, 2, 29, 12, 0, 0, 123456, UTC)

_COLUMNS = {
    "i": pa.array([1, None, -3], pa.int32()),
    "l": pa.array([1 << 60, None, -3], pa.int64()),
    "f": pa.array([0.5, None, -2], pa.float32()),
    "d": pa.array([0.1, None, float("inf")]),
    "b": [True, None, False],
    "t": ["ä", None, ""],
    "raw": [b"\x00", None, b""],
    "day": pa.array([datetime.date(2024, 2, 29), None, datetime.date(1, 1, 1)]),
    "at": pa.array([AT, None, AT.replace(year=9996)], pa.timestamp("us", "UTC")),
    "local": pa.array([1, None, -1], pa.timestamp("us")),
    "money": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("-0.01")]).cast(
        pa.decimal128(12, 2)
    ),
    "many": pa.array([[1, None], None, []], pa.list_(pa.int64())),
    "inner": [{"a": 1, "b": [{"c": "x"}]}, None, {"a": None, "b": None}],
    "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
}
DELTA = pa.table(
    _COLUMNS | {"s": pa.array([1, None, -3], pa.int16()), "y": pa.array([1, None, -3], pa.int8())}
)
"""Rows of all types that tables of Delta Lake have."""

ICEBERG = pa.table(
    _COLUMNS
    | {
        "fixed": pa.array([b"abc", None, b"def"], pa.binary(3)),
        "time": pa.array([1, None, 86_399_999_999], pa.time64("us")),
    }
)
"""Rows of all types that tables of Iceberg have."""

VALUES = {
    "n": st.one_of(st.none(), st.integers(-3, 3)),
    "f": st.one_of(st.none(), st.floats(-2, 2, width=16), st.just(float("nan"))),
    "t": st.one_of(st.none(), st.sampled_from(["", "a", "ä", "b" * 40])),
}
"""What columns to ask may hold."""

TYPES = {"n": pa.int64(), "f": pa.float64(), "t": pa.string()}
LIMITS = {"n": 1, "f": 0.5, "t": "a"}
"""What they are compared with."""
