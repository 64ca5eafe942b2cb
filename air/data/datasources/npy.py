"""Files of numpy arrays (``.npy``), see NEP 1."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy

from air.data.blocks.convert import table_from_columns
from air.data.datasources.files import FileDatasource, Fragment
from air.data.datasources.range import ARRAY_COLUMN
from air.data.errors import ReadError, UnsupportedValue

_PIECE_BYTES = 32 << 20
_HELD = 4
"""Bytes that are held for each byte of an array, at most."""
_ARCHIVE = b"PK"
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@dataclass(frozen=True)
class NumpyDatasource(FileDatasource):
    """The items of arrays along their first dimension, in the column ``data``.

    Large arrays are read a piece after the other, unless they are in Fortran's order or of
    objects. ``opening`` are arguments of ``open_input_stream``, ``loading`` of ``numpy.load``.
    """

    opening: Mapping[str, Any] = field(default_factory=dict)
    loading: Mapping[str, Any] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    """How many items each file has that was looked at, by path."""

    @property
    def name(self) -> str:
        return f"Numpy({self.files.describe()})"

    def num_rows(self) -> int | None:
        if any(path not in self.lengths for path in self.files.paths):
            return None
        return sum(self.lengths[path] for path in self.files.paths)

    def look(self, path: str) -> pa.Schema:
        return next(self._arrays(path, is_look=True)).schema

    def fragments(self) -> list[Fragment]:
        return [replace(f, num_rows=self.lengths.get(f.path)) for f in super().fragments()]

    def read_fragment(self, fragment: Fragment) -> Iterator[pa.Table]:
        for table in self._arrays(fragment.path):
            wanted = self.selected is None or ARRAY_COLUMN in self.selected
            yield table if wanted else table.select([])

    def _arrays(self, path: str, *, is_look: bool = False) -> Iterator[pa.Table]:
        try:
            with self.files.filesystem.open_input_stream(path, **self.opening) as file:
                start = file.read(npy.MAGIC_LEN)
                if start.startswith(_ARCHIVE):
                    raise UnsupportedValue("it is an archive of arrays (.npz): save each by itself")
                version = npy.read_magic(io.BytesIO(start))
                header = _HEADERS[version](file) if version in _HEADERS else None
                if header is None or header[1] or header[2].hasobject or not header[0]:
                    array = np.load(io.BytesIO(self._content(path)), **self.loading)
                    self.lengths[path] = len(_with_rows(array))
                    yield _table(array)
                    return
                shape, _, dtype = header
                self.lengths[path] = shape[0]
                if is_look:
                    yield _table(np.empty((0, *shape[1:]), dtype))
                    return
                size = math.prod(shape[1:]) * dtype.itemsize
                for rows in _pieces(shape[0], size, self.portion(_PIECE_BYTES, _HELD)):
                    content = file.read(rows * size)
                    if len(content) < rows * size:
                        raise UnsupportedValue("it ends before its array does")
                    flat = np.frombuffer(content, dtype) if size else np.empty(0, dtype)
                    yield _table(flat.reshape(rows, *shape[1:]))
        except (UnsupportedValue, ValueError, EOFError) as error:
            raise ReadError(f"{path} cannot be read as an array of numpy: {error}") from None

    def _content(self, path: str) -> bytes:
        with self.files.filesystem.open_input_stream(path, **self.opening) as file:
            content: bytes = file.read()
        return content

    def __getstate__(self) -> dict[str, Any]:
        # What was seen for planning is not needed where the data is read.
        return {**self.__dict__, "lengths": {}}


def _pieces(rows: int, row_bytes: int, piece_bytes: int) -> Iterator[int]:
    """Numbers of rows that are read at once; at least one number."""
    step = max(piece_bytes // max(row_bytes, 1), 1)
    for start in range(0, max(rows, 1), step):
        yield min(step, rows - start)


def _with_rows(array: np.ndarray) -> np.ndarray:
    """*array* if it has rows.

    Raises:
        UnsupportedValue: it is a single value.
    """
    if not array.ndim:
        raise UnsupportedValue("it is a single value, without a dimension to be rows")
    return array


def _table(array: np.ndarray) -> pa.Table:
    if array.dtype.names:
        raise UnsupportedValue(
            f"its items have fields ({', '.join(array.dtype.names)}): save an array for each"
        )
    return table_from_columns({ARRAY_COLUMN: _with_rows(array)})
