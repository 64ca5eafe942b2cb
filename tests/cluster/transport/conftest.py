from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from air_cluster.transport.certificates import make_cluster_certificates
from air_cluster.transport.reactor import Reactor
from air_cluster.transport.tls import ClusterFiles, TlsContexts, load_contexts

PATIENCE_S = 20.0
"""How long a test waits for what must happen; only a failure takes that long."""


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


@pytest.fixture
def serve(reactor: Reactor) -> Callable[[Callable[[], Any]], None]:
    """Serves events in the calling thread until something is true."""

    def serve(until: Callable[[], Any]) -> None:
        assert reactor.wait_for(until, time.monotonic() + PATIENCE_S), "it did not happen"

    return serve


@pytest.fixture
def count_fds() -> Callable[[], int]:
    def count() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    return count


@pytest.fixture(scope="session")
def cluster_files(tmp_path_factory: pytest.TempPathFactory) -> ClusterFiles:
    """The certificates of a cluster."""
    return make_cluster_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def tls(cluster_files: ClusterFiles) -> TlsContexts:
    return load_contexts(cluster_files)


@pytest.fixture(scope="session")
def other_tls(tmp_path_factory: pytest.TempPathFactory) -> TlsContexts:
    """As of a member of another cluster."""
    return load_contexts(make_cluster_certificates(tmp_path_factory.mktemp("others")))


class Threads:
    """Threads that a test has started; what they raise is raised by :meth:`join`."""

    def __init__(self) -> None:
        self._started: list[threading.Thread] = []
        self._raised: list[BaseException] = []

    def start(self, function: Callable[[], object]) -> None:
        def run() -> None:
            try:
                function()
            except BaseException as error:
                self._raised.append(error)

        thread = threading.Thread(target=run, daemon=True)
        self._started.append(thread)
        thread.start()

    def join(self) -> None:
        while self._started:
            thread = self._started.pop()
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a thread hangs"
        if self._raised:
            raise self._raised.pop()


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads()
    yield made
    made.join()


class Bell:
    """A pipe that is watched; what happens when it rings happens under the lock."""

    def __init__(self, reactor: Reactor, on_ring: Callable[[], object] = bool) -> None:
        self._reactor = reactor
        self._reader, self._writer = os.pipe()
        self.on_ring = on_ring
        self.rung = 0
        with reactor.lock:
            reactor.register(self, 1)

    def fileno(self) -> int:
        return self._reader

    def on_events(self, _mask: int) -> None:
        assert self._reactor.owns_lock()
        os.read(self._reader, 1)
        self.rung += 1
        self.on_ring()

    def ring(self) -> None:
        os.write(self._writer, b"\0")

    def close(self) -> None:
        with self._reactor.lock:
            self._reactor.unregister(self)
        os.close(self._reader)
        os.close(self._writer)


@pytest.fixture
def make_bell(reactor: Reactor) -> Iterator[Callable[..., Bell]]:
    made: list[Bell] = []

    def make(on_ring: Callable[[], object] = bool) -> Bell:
        made.append(Bell(reactor, on_ring))
        return made[-1]

    yield make
    for bell in made:
        bell.close()
