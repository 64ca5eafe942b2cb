"""Reading files: what the formats have in common."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from air.data.block import Block, BlockMetadata, accessor, concat
from air.data.datasource import Datasource, ReadTask
from air.data.datasources.paths import FileSet

_SMALL_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a file that can be read by itself.

    Attributes:
        path: the file.
        parts: which parts of it, as the format counts them; ``None`` for the whole file.
        size_bytes: in memory, roughly; for dividing work evenly.
        num_rows: if known.
    """

    path: str
    parts: tuple[int, ...] | None = None
    size_bytes: int = 0
    num_rows: int | None = None


@dataclass(frozen=True)
class FileDatasource(Datasource):
    """Base of sources that read files, each by itself, in the order of :attr:`files`.

    A format says how to read a fragment, and may say how a large file divides into several.

    Attributes:
        files: what to read.
        selected: the columns to read, ``None`` for all.
    """

    files: FileSet
    selected: tuple[str, ...] | None = None

    @abc.abstractmethod
    def read_fragment(self, fragment: Fragment) -> Iterable[Block]:
        """The rows of *fragment*, with at least the selected columns.

        Raises:
            ReadError: it cannot be parsed; names the file.
        """

    def fragments(self) -> list[Fragment]:
        """The parts that can be read independently, in order."""
        sizes = (max(size, 0) for size in self.files.sizes)
        return [
            Fragment(path, size_bytes=round(size * self.expansion))
            for path, size in zip(self.files.paths, sizes, strict=True)
        ]

    @property
    def expansion(self) -> float:
        """Bytes in memory for each byte on disk, as a rule."""
        return 1.0

    def get_read_tasks(self, parallelism: int) -> list[ReadTask]:
        return [self._read_task(group) for group in _balanced(self.fragments(), parallelism)]

    def estimate_inmemory_data_size(self) -> int | None:
        total = self.files.total_bytes
        return None if total is None else round(total * self.expansion)

    def with_columns(self, columns: tuple[str, ...]) -> Self:
        return replace(self, selected=columns)

    def _read_task(self, group: Sequence[Fragment]) -> ReadTask:
        rows = [fragment.num_rows for fragment in group]
        metadata = BlockMetadata(
            num_rows=sum(n for n in rows if n is not None) if None not in rows else None,
            size_bytes=sum(fragment.size_bytes for fragment in group),
            source=_describe(group),
        )
        return ReadTask(_ReadFragments(self, tuple(group)), metadata)


@dataclass(frozen=True, slots=True)
class _ReadFragments:
    """A read function that can be pickled."""

    source: FileDatasource
    group: tuple[Fragment, ...]

    def __call__(self) -> Iterator[Block]:
        blocks = (block for f in self.group for block in self.source.read_fragment(f))
        return blocks if len(self.group) == 1 else _joined(blocks)


def _joined(blocks: Iterable[Block]) -> Iterator[Block]:
    """The same rows, with small neighbouring blocks put together."""
    pending: list[Block] = []
    size = 0
    for block in blocks:
        pending.append(block)
        size += accessor(block).size_bytes()
        if size >= _SMALL_BLOCK_BYTES:
            yield concat(pending)
            pending, size = [], 0
    if pending:
        yield concat(pending)


def _balanced(fragments: Sequence[Fragment], parallelism: int) -> list[list[Fragment]]:
    """Neighbours put together into at most *parallelism* groups of about the same size."""
    groups: list[list[Fragment]] = []
    total = sum(max(fragment.size_bytes, 1) for fragment in fragments)
    before = 0
    current = -1
    for fragment in fragments:
        group = before * parallelism // total
        if group != current:
            groups.append([])
            current = group
        groups[-1].append(fragment)
        before += max(fragment.size_bytes, 1)
    return groups


def _describe(group: Sequence[Fragment]) -> str:
    paths = list(dict.fromkeys(fragment.path for fragment in group))
    if len(paths) > 1:
        return f"{paths[0]} to {paths[-1]} ({len(paths)} files)"
    parts = group[0].parts
    if parts is None:
        return paths[0]
    last = group[-1].parts or parts
    return f"{paths[0]} (row groups {parts[0]}-{last[-1]})"


def open_file(files: FileSet, path: str) -> Any:
    """The file opened for reading anywhere in it."""
    return files.filesystem.open_input_file(path)
