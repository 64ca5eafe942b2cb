"""Batches of rows as batches of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.batching.cutting import Cut
from air.data.blocks import tensor
from air.data.blocks.block import VALUE_COLUMN, accessor
from air.data.blocks.ragged import arrays_of, layout_of, values_of
from air.data.errors import UnsupportedValue
from air.errors import InvalidOption
from air.executor.extras import import_extra
from air.executor.validation import listing, nearest


class Tensors:
    """Makes tensors of the columns of a batch.

    Args:
        what: the method, for messages.
        dtypes: of all tensors, or by column; as the arrays have them where there is none.
        device: to put the tensors on; ``None`` leaves them in memory.

    Raises:
        ImportError: torch is not installed.
        InvalidOption: *dtypes* are none, or *device* is none that there is.
    """

    def __init__(self, what: str, dtypes: Any = None, device: Any = None) -> None:
        torch = import_extra("torch", what, "torch")
        self._what = what
        by_column = dtypes if isinstance(dtypes, Mapping) else {}
        for dtype in by_column.values() if isinstance(dtypes, Mapping) else [dtypes]:
            if dtype is not None and not isinstance(dtype, torch.dtype):
                raise InvalidOption(
                    f"{what}: dtypes takes a torch.dtype, or a dictionary of them by column, got"
                    f" {dtype!r:.80}"
                )
        self._by_column = dict(by_column)
        self._for_all = None if isinstance(dtypes, Mapping) else dtypes
        self._device = None if device is None else _checked_device(torch, what, device)

    def of_cut(self, cut: Cut) -> Any:
        """A dictionary of tensors for records; one tensor for plain objects."""
        if isinstance(cut.block, list):
            return self.of_column(VALUE_COLUMN, self._plain(cut.to_batch("default")))
        self._check_names(cut.block.column_names)
        return {
            name: self.of_column(name, values) for name, values in batch_of(self._what, cut).items()
        }

    def _plain(self, values: list[Any]) -> np.ndarray:
        try:
            return np.asarray(values)
        except (TypeError, ValueError):
            raise UnsupportedValue(
                f"{self._what}: the rows are {type(values[0]).__name__} objects, of which torch"
                " makes no tensor; make them records (.map), or give a collate_fn, such as"
                " torch.utils.data.default_collate"
            ) from None

    def _check_names(self, known: Sequence[str]) -> None:
        unknown = next((name for name in self._by_column if name not in known), None)
        if unknown is not None:
            raise InvalidOption(
                f"{self._what}: dtypes names the column {unknown!r}, which there is not."
                f"{nearest(unknown, known)} Columns are: {listing(known, limit=40)}"
            )

    def of_column(self, name: str, values: np.ndarray) -> Any:
        """The tensor of a column; a list of tensors where its arrays have different shapes.

        Raises:
            UnsupportedValue: there are no numbers in it.
        """
        dtype = self._by_column.get(name, self._for_all)
        if values.dtype == object and len(values) and self._are_arrays(values):
            return [self._tensor(name, each, dtype) for each in values]
        return self._tensor(name, values, dtype)

    def _are_arrays(self, values: np.ndarray) -> bool:
        return all(isinstance(each, np.ndarray) for each in values)

    def _tensor(self, name: str, values: np.ndarray, dtype: Any) -> Any:
        if values.dtype.kind not in "biufc":
            raise UnsupportedValue(
                f"{self._what}: the column {name!r} holds {_kind(values)}, of which torch makes no"
                " tensors; leave it out (drop_columns), encode it (an encoder of"
                " air.data.preprocessors), or give a collate_fn"
            )
        if dtype is not None and values.dtype.kind == "f" and _is_whole(dtype):
            self._check_finite(name, values, dtype)
        if not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
        # Columns of one batch may be parts of one array, which torch takes as they are.
        torch = import_extra("torch", self._what, "torch")
        made = torch.from_numpy(np.ascontiguousarray(values))
        if dtype is None and self._device is None:
            return made
        if self._device is not None and self._device.type == "cuda":
            made = made.pin_memory()  # only from there the copy goes on beside the computation
        return made.to(device=self._device, dtype=dtype, non_blocking=True)

    def _check_finite(self, name: str, values: np.ndarray, dtype: Any) -> None:
        if not np.isfinite(values).all():
            raise UnsupportedValue(
                f"{self._what}: the column {name!r} holds missing or infinite values, which"
                f" {dtype} has none for; fill them (air.data.preprocessors.SimpleImputer)"
            )


def batch_of(what: str, cut: Cut) -> dict[str, Any]:
    """The rows of a cut, which holds records, as arrays; *what* is the method, for messages.

    Columns of lists of numbers are arrays of arrays, each of its own shape and of the type that
    the column has; they are lists of lists otherwise where they are nested.
    """
    assert isinstance(cut.block, pa.Table)
    ragged = [field.name for field in cut.block.schema if _is_ragged(field.type)]
    if not ragged:
        batch: dict[str, Any] = cut.to_batch("default")
        return batch
    table = cut.block.slice(cut.offset, cut.num_rows)
    plain = accessor(table.drop_columns(ragged)).to_batch("default")
    return {
        name: _arrays(what, name, table[name]) if name in ragged else plain[name]
        for name in table.column_names
    }


def _arrays(what: str, name: str, column: pa.ChunkedArray) -> np.ndarray:
    values = values_of(what, name, column)
    return tensor.objects(each.copy() for each in arrays_of(what, name, values))


def _is_ragged(kind: pa.DataType) -> bool:
    layout = layout_of(kind)
    return layout is not None and layout.ragged_rank > 0 and layout.dtype != object


def _is_whole(dtype: Any) -> bool:
    return not dtype.is_floating_point and not dtype.is_complex


def _checked_device(torch: Any, what: str, device: Any) -> Any:
    """The device; which one it is, if there are several, is decided now.

    Batches are made in a thread, which has a current device of its own.
    """
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidOption(f"{what}: device={device!r} is none that torch knows") from error
    if found.type != "cuda":
        return found
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = found.index if found.index is not None else torch.cuda.current_device() if count else 0
    if index >= count:
        raise InvalidOption(f"{what}: device={device!r}, but torch finds {count} CUDA devices")
    return torch.device("cuda", index)


def _kind(values: np.ndarray) -> str:
    """What a column holds, in words."""
    if values.dtype != object:
        return {"M": "points in time", "m": "spans of time"}.get(values.dtype.kind, "text")
    if any(each is None for each in values):
        return "missing values"
    return f"objects such as {next(iter(values), None)!r:.40}"
