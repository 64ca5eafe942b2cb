"""Batches of arrays as batches of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from air.data.block import VALUE_COLUMN
from air.data.errors import UnsupportedValue
from air.errors import InvalidOption
from air.executor.extras import import_extra
from air.executor.validation import nearest


class Tensors:
    """Makes tensors of what ``iter_batches`` gives in NumPy's format.

    Args:
        what: the method, for messages.
        dtypes: of all tensors, or by column; as the arrays have them where there is none.
        device: to put the tensors on; ``None`` leaves them in memory.

    Raises:
        ImportError: torch is not installed.
        InvalidOption: *dtypes* are none, or *device* is none that torch knows.
    """

    def __init__(self, what: str, dtypes: Any = None, device: Any = None) -> None:
        self._torch = torch = import_extra("torch", what, "torch")
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
        try:
            self._device = None if device is None else torch.device(device)
        except (RuntimeError, TypeError) as error:
            raise InvalidOption(f"{what}: device={device!r} is none that torch knows") from error

    def of_batch(self, batch: Any) -> Any:
        """A dictionary of tensors for records; one tensor for plain objects."""
        if not isinstance(batch, Mapping):
            return self.of_column(VALUE_COLUMN, np.asarray(batch))
        unknown = next((name for name in self._by_column if name not in batch), None)
        if unknown is not None:
            raise InvalidOption(
                f"{self._what}: dtypes names the column {unknown!r}, which there is not."
                f"{nearest(unknown, list(batch))}"
            )
        return {name: self.of_column(name, values) for name, values in batch.items()}

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
        if not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
        # Columns of one batch may be parts of one array, which torch takes as they are.
        made = self._torch.from_numpy(np.ascontiguousarray(values))
        if dtype is None and self._device is None:
            return made
        if self._device is not None and self._device.type == "cuda":
            made = made.pin_memory()  # only from there the copy goes on beside the computation
        return made.to(device=self._device, dtype=dtype, non_blocking=True)


def _kind(values: np.ndarray) -> str:
    """What a column holds, in words."""
    if values.dtype != object:
        return {"M": "points in time", "m": "spans of time"}.get(values.dtype.kind, "text")
    if any(each is None for each in values):
        return "missing values"
    return f"objects such as {next(iter(values), None)!r:.40}"
