from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from air_cluster.daemon.memory import NodeMemory
from air_cluster.store.writer import Reserved, Writer
from air_cluster.transport.certificates import make_cluster_certificates
from air_cluster.transport.reactor import Reactor
from air_cluster.transport.tls import TlsContexts, load_contexts

PATIENCE_S = 20.0
"""How long a test waits for what must happen; only a failure takes that long."""


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    made.start_background("air-reactor")
    yield made
    made.close()


@pytest.fixture
def wait_for(reactor: Reactor) -> Callable[[Callable[[], Any]], None]:
    """Waits until something is true, serving events."""

    def wait_for(ready: Callable[[], Any]) -> None:
        assert reactor.wait_for(ready, time.monotonic() + PATIENCE_S), "it did not happen"

    return wait_for


@pytest.fixture
def count_fds() -> Callable[[], int]:
    def count() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    return count


@pytest.fixture
def count_threads() -> Callable[[], int]:
    return threading.active_count


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsContexts:
    return load_contexts(make_cluster_certificates(tmp_path_factory.mktemp("certificates")))


@pytest.fixture(scope="session")
def other_tls(tmp_path_factory: pytest.TempPathFactory) -> TlsContexts:
    """As of a member of another cluster."""
    return load_contexts(make_cluster_certificates(tmp_path_factory.mktemp("others")))


class Memory:
    """A node's memory, and a process there that writes into it."""

    def __init__(self, cap: int = 1 << 30) -> None:
        self.node = NodeMemory(cap)
        self.writer = Writer(self._request, self._release, segment_bytes=1 << 20)

    def _request(self, size: int, at_least: int) -> tuple[int, int, int]:
        granted = self.node.grant(b"writer", size, at_least)
        assert granted is not None
        segment, size, fd = granted
        return segment, os.dup(fd), size

    def _release(self, segment: int) -> None:
        self.node.drop(b"writer", segment)

    def put(self, nbytes: int, seed: int = 1) -> tuple[Reserved, bytes]:
        """A value of random bytes."""
        data = np.random.default_rng(seed).bytes(nbytes)
        reserved = self.writer.reserve((nbytes,))
        reserved.view[:] = data
        return reserved, data

    def close(self) -> None:
        self.writer.close()
        self.node.close()


@pytest.fixture
def make_memory() -> Iterator[Callable[..., Memory]]:
    made: list[Memory] = []

    def make(cap: int = 1 << 30) -> Memory:
        made.append(Memory(cap))
        return made[-1]

    yield make
    for memory in made:
        memory.close()


@pytest.fixture
def memory(make_memory: Callable[..., Memory]) -> Memory:
    return make_memory()
