from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from air.errors import ObjectStoreFull
from air_cluster.store import Reader, Writer
from air_cluster.store.segment import create

KIB = 1 << 10


class Node:
    """Grants segments as a node's daemon does, up to a cap, and opens them for readers."""

    def __init__(self, cap: int = 1 << 40) -> None:
        self.cap = cap
        self.segments: dict[int, tuple[int, int]] = {}  # id -> descriptor, size
        self.requested: list[int] = []
        self.released: list[int] = []
        self.shrunk: dict[int, int] = {}  # id -> bytes given back

    @property
    def granted(self) -> int:
        """Bytes that the segments take together."""
        sizes = (size - self.shrunk.get(id, 0) for id, (_, size) in self.segments.items())
        return sum(sizes)

    def shrink(self, id: int, nbytes: int) -> None:
        self.shrunk[id] = self.shrunk.get(id, 0) + nbytes

    def request(self, size: int, at_least: int) -> tuple[int, int, int]:
        self.requested.append(size)
        if self.granted + size > self.cap:
            size = at_least
        if self.granted + size > self.cap:
            raise ObjectStoreFull(f"no room for {size} bytes")
        id = len(self.requested)
        fd = create(size)
        self.segments[id] = (fd, size)
        return id, os.dup(fd), size

    def release(self, id: int) -> None:
        os.close(self.segments.pop(id)[0])
        self.released.append(id)

    def open(self, id: int) -> tuple[int, int]:
        fd, size = self.segments[id]
        return os.dup(fd), size

    def writer(
        self, segment_bytes: int = 64 * KIB, keep_bytes: int = 256 * KIB, *, shrinks: bool = False
    ) -> Writer:
        return Writer(
            self.request,
            self.release,
            shrink_segment=self.shrink if shrinks else None,
            segment_bytes=segment_bytes,
            keep_bytes=keep_bytes,
        )

    def reader(self) -> Reader:
        return Reader(self.open)

    def close(self) -> None:
        for id in list(self.segments):
            self.release(id)


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node()
    yield node
    node.close()


@pytest.fixture
def count_fds() -> Callable[[], int]:
    def count() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    return count
