"""Writing files of numpy arrays (``.npy``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks import tensor
from air.data.blocks.convert import column_to_numpy
from air.data.blocks.infer import column_from_values
from air.data.formats import cannot_hold, column_for


@dataclass(frozen=True, slots=True)
class NumpyFormat:
    """One column as an array, without pickled objects in it."""

    name: ClassVar[str] = "numpy"
    column: str | None = None
    compression: str | None = None

    @property
    def extension(self) -> str:
        return "npy"

    def write(self, table: pa.Table, file: Any) -> None:
        np.lib.format.write_array(file, array_of(table, self.column), allow_pickle=False)


def array_of(table: pa.Table, name: str | None) -> np.ndarray:
    """The values of a column, by default of the only one, as an array that numpy can write.

    Raises:
        WriteError: an array cannot hold them without a change of their type; names the column.
        ColumnNotFound: there is no such column.
    """
    field = column_for("write_numpy", table, name)
    column = table[field.name]
    kind = field.type
    if column.null_count and not pa.types.is_temporal(kind):  # numpy has a time that is none
        raise cannot_hold("write_numpy", field, "an array", "for there are nulls in it: fill them")
    if _is_text(kind):
        return _text(field, column)
    values = column_to_numpy(column)
    if values.dtype.hasobject or not _comes_back(kind, values):
        raise cannot_hold(
            "write_numpy", field, "an array", "turn it into numbers or text, or use write_parquet"
        )
    return values


def _comes_back(kind: pa.DataType, values: np.ndarray) -> bool:
    """Whether reading the array gives a column of the same type."""
    return tensor.is_tensor(kind) or column_from_values("", values[:0]).type == kind


def _is_text(kind: pa.DataType) -> bool:
    of_text = (pa.types.is_string, pa.types.is_large_string)
    of_bytes = (pa.types.is_binary, pa.types.is_large_binary)
    return any(check(kind) for check in (*of_text, *of_bytes))


def _text(field: pa.Field, column: pa.ChunkedArray) -> np.ndarray:
    """Text or bytes as items of one size; numpy takes zeros at their end for padding."""
    is_bytes = pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)
    zero = b"\0" if is_bytes else "\0"
    if is_bytes:
        ends_in_zero = any(value.endswith(zero) for value in column.to_pylist())
    else:
        ends_in_zero = pc.any(pc.ends_with(column, pattern=zero)).as_py()
    if ends_in_zero:
        raise cannot_hold(
            "write_numpy", field, "an array", "for there are zeros at the end of values"
        )
    return np.array(column.to_pylist(), "S" if is_bytes else "U")
