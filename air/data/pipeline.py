"""A dataset gone through several times, or a part at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from air.data.arguments import check_seed
from air.data.blocks.handle import BlockHandle
from air.data.plan import InputBlocks
from air.data.viewing.shown import counted, head
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_number

_SEEDS = 1 << 63

if TYPE_CHECKING:
    from air.data.dataset import Dataset


@dataclass(frozen=True, slots=True)
class WindowSize:
    """How much of a dataset is there at a time; all of it if neither is given."""

    blocks: int | None = None
    size_bytes: int | None = None


@methods_suggest_keywords
class DatasetPipeline:
    """The rows of a dataset window by window, for one epoch, several, or without end.

    Made by ``Dataset.window`` and ``Dataset.repeat``. Going through it runs the dataset's plan once
    for each epoch, and of a window that is over nothing is kept. Like a dataset it never changes.
    """

    def __init__(
        self,
        dataset: Dataset,
        size: WindowSize,
        epochs: range | None,
        steps: tuple[Callable[[Dataset, int], Dataset], ...] = (),
    ) -> None:
        """Use ``Dataset.window()`` or ``Dataset.repeat()``."""
        self._dataset = dataset
        self._size = size
        self._epochs = epochs  # without end if there are none
        self._steps = steps

    def foreach_window(self, fn: Callable[[Dataset], Dataset]) -> DatasetPipeline:
        """Replace each window, which is a dataset, by the dataset that *fn* makes of it."""
        if not callable(fn):
            raise TypeError(f"foreach_window takes a function of a dataset, got {fn!r:.80}")
        return self._with(lambda window, _: fn(window))

    def random_shuffle_each_window(self, *, seed: int | None = None) -> DatasetPipeline:
        """Shuffle the rows of each window, in another order in each.

        Args:
            seed: the same seed gives the same orders; a fresh one if ``None``.
        """
        first = check_seed(seed)
        return self._with(
            lambda window, number: window.random_shuffle(seed=(first + number) % _SEEDS)
        )

    def repeat(self, times: int | None = None) -> DatasetPipeline:
        """Go through all this *times* times, or without end if ``None``.

        Raises:
            InvalidOption: *times* is below 1, or this has no end already.
        """
        if self._epochs is None:
            raise InvalidOption("repeat: this is repeated without end already")
        epochs = epochs_of(times, len(self._epochs))
        return DatasetPipeline(self._dataset, self._size, epochs, self._steps)

    def iter_epochs(self, max_epoch: int = -1) -> Iterator[DatasetPipeline]:
        """A pipeline of one epoch after the other.

        Args:
            max_epoch: epochs at most; -1 for all.
        """
        most = int(check_number(max_epoch, "iter_epochs: max_epoch", minimum=-1, integer=True))
        for epoch in itertools.islice(self._numbers(), None if most < 0 else most):
            yield DatasetPipeline(self._dataset, self._size, range(epoch, epoch + 1), self._steps)

    def iter_datasets(self) -> Iterator[Dataset]:
        """Each window as a dataset. That of a whole epoch is not run before it is used."""
        for epoch in self._numbers():
            for number, window in enumerate(self._windows()):
                made = window
                for step in self._steps:
                    # Windows of all epochs have numbers of their own.
                    made = step(made, (epoch << 32) + number)
                yield made

    def iter_rows(self) -> Iterator[Any]:
        """All rows in order; see :meth:`Dataset.iter_rows`."""
        return itertools.chain.from_iterable(one.iter_rows() for one in self.iter_datasets())

    def iter_batches(self, **options: Any) -> Iterator[Any]:
        """All rows in batches, which end where windows do; see :meth:`Dataset.iter_batches`."""
        windows = self.iter_datasets()
        return itertools.chain.from_iterable(one.iter_batches(**options) for one in windows)

    def iter_torch_batches(self, **options: Any) -> Iterator[Any]:
        """The same in tensors; see :meth:`Dataset.iter_torch_batches`."""
        windows = self.iter_datasets()
        return itertools.chain.from_iterable(one.iter_torch_batches(**options) for one in windows)

    def take(self, limit: int = 20) -> list[Any]:
        """The first rows, at most *limit*."""
        count = int(check_number(limit, "take: limit", minimum=0, integer=True))
        return list(itertools.islice(self.iter_rows(), count))

    def count(self) -> int:
        """The rows of all windows of all epochs.

        Raises:
            InvalidOption: it has no end.
        """
        if self._epochs is None:
            raise InvalidOption("count: the pipeline has no end; give repeat a number")
        return sum(window.count() for window in self.iter_datasets())

    def __repr__(self) -> str:
        times = "endless" if self._epochs is None else counted(len(self._epochs), "epoch")
        return f"DatasetPipeline({times} of {head(self._dataset)})"

    def _numbers(self) -> Iterator[int]:
        return itertools.count() if self._epochs is None else iter(self._epochs)

    def _with(self, step: Callable[[Dataset, int], Dataset]) -> DatasetPipeline:
        return DatasetPipeline(self._dataset, self._size, self._epochs, (*self._steps, step))

    def _windows(self) -> Iterator[Dataset]:
        if self._size == WindowSize():
            yield self._dataset
            return
        with closing(self._dataset.run()) as handles:
            for number, group in enumerate(grouped(handles, self._size)):
                yield type(self._dataset)(InputBlocks(tuple(group), "window", str(number)))


def epochs_of(times: int | None, each: int = 1) -> range | None:
    """The numbers of *times* times *each* epochs; ``None`` for no end.

    Raises:
        InvalidOption: *times* is below 1.
    """
    if times is None:
        return None
    return range(each * int(check_number(times, "repeat: times", minimum=1, integer=True)))


def grouped(handles: Iterable[BlockHandle], size: WindowSize) -> Iterator[list[BlockHandle]]:
    """Neighbouring blocks, as many as a window may have, and at least one."""
    group: list[BlockHandle] = []
    held = 0
    for handle in handles:
        beyond = size.size_bytes is not None and held + handle.size_bytes > size.size_bytes
        if group and (len(group) == size.blocks or beyond):
            yield group
            group, held = [], 0
        group.append(handle)
        held += handle.size_bytes
    if group:
        yield group
