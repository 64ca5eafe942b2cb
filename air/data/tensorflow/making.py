"""Datasets made from those of TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.blocks.block import Block, concat
from air.data.blocks.ragged import column_of
from air.data.dataset import Dataset
from air.data.errors import UnsupportedValue
from air.data.reading.datasets import divided
from air.errors import InvalidOption
from air.executor.extras import import_extra
from air.executor.keywords import suggests_keywords

_ROWS_AT_A_TIME = 1024


@suggests_keywords
def from_tf(dataset: Any, *, parallelism: int = -1) -> Dataset:
    """A row for each element of a ``tf.data.Dataset``, which is gone through at the call.

    Elements that are dictionaries become records: tensors of a known shape are columns of
    arrays, ragged ones and those of unknown sizes lists, dictionaries inside structs. Any other
    element, such as a pair, is a plain object of Python values and arrays. ``tf.string`` is
    bytes. All of it has to fit into this process's memory: a dataset of TensorFlow cannot be
    sent to others.

    Args:
        dataset: not batched, or its batches are the rows.
        parallelism: blocks; -1 chooses.

    Raises:
        TypeError: *dataset* is none of TensorFlow's.
        InvalidOption: it repeats for ever.
        UnsupportedValue: a part of its elements is no tensor, or a sparse one; names it.
        ImportError: TensorFlow is not installed.
    """
    tf = import_extra("tensorflow", "from_tf", "tensorflow")
    if not isinstance(dataset, tf.data.Dataset):
        raise TypeError(f"from_tf takes a tf.data.Dataset, got {type(dataset).__name__}")
    if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise InvalidOption("from_tf: the dataset repeats for ever; give it an end: .take(n)")
    spec = dataset.element_spec
    if isinstance(spec, Mapping):
        _check_parts(tf, spec, "")
        rows = concat(list(_tables(tf, dataset)))
    else:
        rows = [_object(tf, item) for item in dataset]
    return divided(rows, "from_tf", parallelism)


def _check_parts(tf: Any, spec: Any, name: str) -> None:
    """Complain about parts of records that are no tensors."""
    if isinstance(spec, Mapping):
        for key, part in spec.items():
            _check_parts(tf, part, f"{name}.{key}" if name else str(key))
    elif not isinstance(spec, (tf.TensorSpec, tf.RaggedTensorSpec)):
        raise UnsupportedValue(
            f"from_tf: {name!r} holds {type(spec).__name__.removesuffix('Spec')}, which no column"
            " can; .map the dataset so that it is a tensor (tf.sparse.to_dense) or a dictionary"
        )
    elif spec.shape.rank is None:
        raise UnsupportedValue(
            f"from_tf: {name!r} has tensors of any number of dimensions, which no column can; give"
            " it a shape: .map with tf.ensure_shape"
        )


def _tables(tf: Any, dataset: Any) -> Iterator[Block]:
    """The records, many at a time."""
    tables = 0
    for batch in dataset.ragged_batch(_ROWS_AT_A_TIME):
        tables += 1
        yield pa.table({name: _column(tf, str(name), part) for name, part in batch.items()})
    if not tables:
        yield []


def _column(tf: Any, name: str, part: Any) -> pa.Array:
    if isinstance(part, Mapping):
        columns = {str(key): _column(tf, f"{name}.{key}", value) for key, value in part.items()}
        return pa.StructArray.from_arrays(list(columns.values()), list(columns))
    if isinstance(part, tf.RaggedTensor):
        splits = [each.numpy() for each in part.nested_row_splits]
        return column_of(name, part.flat_values.numpy(), splits)
    return column_of(name, part.numpy())


def _object(tf: Any, item: Any) -> Any:
    """An element as Python's and numpy's values."""
    if isinstance(item, tuple):
        parts = [_object(tf, part) for part in item]
        is_named = hasattr(item, "_fields")
        return type(item)(*parts) if is_named else tuple(parts)
    if isinstance(item, Mapping):
        return {name: _object(tf, part) for name, part in item.items()}
    if isinstance(item, tf.RaggedTensor):
        return item.to_list()
    if not isinstance(item, tf.Tensor):
        kind = type(item).__name__
        raise UnsupportedValue(
            f"from_tf: an element holds a {kind}, which no row can; .map the dataset so that it is"
            " a tensor (tf.sparse.to_dense)"
        )
    array = item.numpy()
    return array if isinstance(array, np.ndarray) and array.ndim else _scalar(array)


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, (np.ndarray, np.generic)) else value
