"""Batches of rows as batches of TensorFlow's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.blocks.block import VALUE_COLUMN, Block, accessor
from air.data.blocks.ragged import Layout, require_layout, values_of
from air.data.errors import UnsupportedValue
from air.errors import InvalidOption
from air.executor.extras import import_extra
from air.executor.validation import listing, nearest


class Tensors:
    """Makes tensors of the columns of a batch.

    Args:
        what: the method, for messages.
        dtypes: of all tensors, or by column; as the columns have them where there is none.

    Raises:
        ImportError: TensorFlow is not installed.
        InvalidOption: *dtypes* are none.
    """

    def __init__(self, what: str, dtypes: Any = None) -> None:
        self._tf = tf = import_extra("tensorflow", what, "tensorflow")
        self._what = what
        self._by_column = dict(dtypes) if isinstance(dtypes, Mapping) else {}
        self._for_all = None if isinstance(dtypes, Mapping) else dtypes
        for dtype in [*self._by_column.values(), self._for_all]:
            if dtype is not None and not isinstance(dtype, tf.DType):
                raise InvalidOption(
                    f"{what}: dtypes takes a tf.DType, or a dictionary of them by column, got"
                    f" {dtype!r:.80}"
                )

    def of_rows(self, rows: Block) -> Any:
        """A dictionary of tensors for records; one tensor for plain objects."""
        table = accessor(rows).to_arrow()
        unknown = next((name for name in self._by_column if name not in table.column_names), None)
        if unknown is not None:
            raise InvalidOption(
                f"{self._what}: dtypes names the column {unknown!r}, which there is not."
                f"{nearest(unknown, table.column_names)}"
                f" Columns are: {listing(table.column_names, limit=40)}"
            )
        tensors = {name: self.of_column(name, table[name]) for name in table.column_names}
        return tensors[VALUE_COLUMN] if isinstance(rows, list) else tensors

    def of_column(self, name: str, column: pa.ChunkedArray, *, keeps_type: bool = False) -> Any:
        """A tensor, or a ``tf.RaggedTensor`` for lists.

        Args:
            keeps_type: make no floats of whole numbers that are missing in part.

        Raises:
            UnsupportedValue: it holds what there are no tensors of, or what has no place in
                the dtype that is asked for.
        """
        tf = self._tf
        values = values_of(self._what, name, column, keeps_type=keeps_type)
        flat = tf.constant(values.flat, tf.string if values.flat.dtype == object else None)
        wanted = self._by_column.get(name, self._for_all)
        if wanted is not None and wanted != flat.dtype:
            self._check_cast(name, values.flat, wanted)
            flat = tf.cast(flat, wanted)
        if not values.splits:
            return flat
        return tf.RaggedTensor.from_nested_row_splits(flat, values.splits, validate=False)

    def spec(self, name: str, kind: pa.DataType, rows: int | None) -> Any:
        """What tensors of a column are like: a ``tf.TensorSpec`` or ``tf.RaggedTensorSpec``.

        Args:
            rows: of each batch, ``None`` if they differ.

        Raises:
            UnsupportedValue: there are no tensors of such columns.
        """
        tf = self._tf
        layout: Layout = require_layout(self._what, name, kind)
        shape = (rows, *layout.shape)
        dtype = tf.string if layout.dtype == object else tf.as_dtype(layout.dtype)
        if layout.ragged_rank:
            return tf.RaggedTensorSpec(shape, dtype, ragged_rank=layout.ragged_rank)
        return tf.TensorSpec(shape, dtype, name=None)

    def _check_cast(self, name: str, flat: np.ndarray, wanted: Any) -> None:
        is_text = flat.dtype == object
        if is_text or wanted == self._tf.string:
            raise UnsupportedValue(
                f"{self._what}: the column {name!r} holds {'text' if is_text else 'numbers'}, of"
                f" which no {wanted.name} is made; leave it out of dtypes, or convert it before"
            )
        if wanted.is_integer and flat.dtype.kind == "f" and not np.isfinite(flat).all():
            raise UnsupportedValue(
                f"{self._what}: the column {name!r} holds missing or infinite values, which"
                f" {wanted.name} has none for; fill them (air.data.preprocessors.SimpleImputer)"
            )
