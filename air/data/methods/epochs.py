"""Datasets gone through several times, or a part at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from air.data.consumption import Consumption
from air.data.pipeline import DatasetPipeline, WindowSize, epochs_of
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_number

if TYPE_CHECKING:
    from air.data.dataset import Dataset


@methods_suggest_keywords
class EpochMethods(Consumption):
    """The part of :class:`air.data.Dataset` for training in epochs and windows."""

    def repeat(self, times: int | None = None) -> DatasetPipeline:
        """Go through the rows *times* times, or without end if ``None``.

        The plan runs anew in each epoch; :meth:`materialize` first to keep the rows.

        Raises:
            InvalidOption: *times* is below 1.
        """
        return DatasetPipeline(cast("Dataset", self), WindowSize(), epochs_of(times))

    def window(
        self, *, blocks_per_window: int | None = None, bytes_per_window: int | None = None
    ) -> DatasetPipeline:
        """Go through the rows in parts, of which one is in memory at a time.

        Args:
            blocks_per_window: blocks of a part; 10 if neither is given.
            bytes_per_window: bytes of a part at most, save that each has one block at least.

        Raises:
            InvalidOption: both are given, or one is below 1.
        """
        if blocks_per_window is not None and bytes_per_window is not None:
            raise InvalidOption("window takes blocks_per_window or bytes_per_window, not both")
        if bytes_per_window is not None:
            check_number(bytes_per_window, "window: bytes_per_window", minimum=1, integer=True)
            size = WindowSize(size_bytes=int(bytes_per_window))
        else:
            blocks = 10 if blocks_per_window is None else blocks_per_window
            check_number(blocks, "window: blocks_per_window", minimum=1, integer=True)
            size = WindowSize(blocks=int(blocks))
        return DatasetPipeline(cast("Dataset", self), size, range(1))
