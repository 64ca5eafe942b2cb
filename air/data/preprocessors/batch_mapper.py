"""A preprocessor that applies a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from air.data.arguments import check_batch_size
from air.data.batching.batch_format import check_batch_format
from air.data.blocks.block import accessor
from air.data.blocks.making import block_from_batch
from air.data.dataset import Dataset
from air.data.preprocessor import Preprocessor, batch_kind


class BatchMapper(Preprocessor):
    """Apply a function to batches. There is nothing to fit.

    Args:
        fn: takes and returns a batch.
        batch_format: what *fn* gets: ``"pandas"``, ``"numpy"`` or ``"pyarrow"``.
        batch_size: as for ``Dataset.map_batches``; a batch given to :meth:`transform_batch` is
            not divided.
    """

    _is_fittable = False

    def __init__(
        self,
        fn: Callable[[Any], Any],
        batch_format: str,
        batch_size: int | str | None = "default",
    ) -> None:
        self.fn = fn
        self.batch_format = batch_format
        self.batch_size = batch_size
        if not callable(fn):
            raise TypeError(f"BatchMapper: fn must be a function of a batch, got {fn!r:.80}")
        check_batch_format(batch_format)
        check_batch_size("BatchMapper", batch_size)

    def preferred_batch_format(self) -> str:
        return check_batch_format(self.batch_format)

    def _transform(self, ds: Dataset) -> Dataset:
        return ds.map_batches(
            self.fn, batch_format=self.preferred_batch_format(), batch_size=self.batch_size
        )

    def _transform_batch(self, data: Any) -> Any:
        kind = batch_kind(data)
        batch = accessor(block_from_batch(data)).to_batch(self.preferred_batch_format())
        return accessor(block_from_batch(self.fn(batch))).to_batch(kind)
