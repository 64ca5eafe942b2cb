"""Functions on their way to workers, and how long those keep them."""

from __future__ import annotations

import gc
import os
import types
from typing import Any

import psutil
import pytest

import air
from air.errors import SerializationError
from air.executor.current import get_executor
from air.testing.executor_suite.harness import value
from air_cluster.core.code_book import MAX_COUNT
from air_cluster.core.inventory import count_entries
from air_cluster.protocol import frames

MB = 1 << 20


@pytest.fixture(autouse=True)
def one_worker() -> Any:
    air.init(backend="cluster", num_cpus=1, log_to_driver=False)
    yield
    air.shutdown()


@air.remote
def pid() -> int:
    return os.getpid()


@air.remote
def known() -> int:
    """How many functions like those of the loop this worker has."""
    gc.collect()
    found = (thing for thing in gc.get_objects() if type(thing) is types.FunctionType)
    return sum(function.__name__ == "made_in_a_loop" for function in found)


def make(blob: bytes) -> Any:
    @air.remote
    def made_in_a_loop() -> int:
        return len(blob)

    return made_in_a_loop


def test_functions_that_are_made_in_a_loop_are_forgotten() -> None:
    here, worker = psutil.Process(), psutil.Process(value(pid.remote()))
    value([make(bytes([n % 256]) * 30_000).remote() for n in range(300)])
    before = worker.memory_info().rss, here.memory_info().rss
    for start in range(0, 2000, 50):
        refs = [make(b"%05d" % number + os.urandom(50_000)).remote() for number in range(50)]
        assert value(refs) == [50_005] * 50, start
        assert value(pid.remote()) == worker.pid  # known for long, and sent again now and then
    assert value(known.remote()) <= MAX_COUNT
    after = worker.memory_info().rss, here.memory_info().rss
    assert max(new - old for new, old in zip(after, before, strict=True)) < 40 * MB  # of 100
    client = get_executor()._client  # type: ignore[attr-defined]
    assert max(count_entries(client).values()) <= 4096


def test_large_ones_are_forgotten_sooner() -> None:
    worker = psutil.Process(value(pid.remote()))
    before = worker.memory_info().rss
    for _ in range(30):
        assert value(make(os.urandom(8 * MB)).remote()) == 8 * MB
    assert value(known.remote()) <= 8
    assert worker.memory_info().rss - before < 140 * MB  # of 240


def test_one_that_could_not_be_sent_is_sent_later(monkeypatch: pytest.MonkeyPatch) -> None:
    function = air.remote(lambda *found: len(found))
    value(pid.remote())
    part = air.put(bytes(50_000))
    with monkeypatch.context() as patched:
        patched.setattr(frames, "MAX_FRAME_BYTES", MB)
        with pytest.raises(SerializationError, match="longer than"):
            value(function.remote(*[part] * 30))
    assert value(function.remote(*[part] * 30)) == 30


def test_two_callers_with_the_same_function() -> None:
    function = make(b"same")

    @air.remote(num_cpus=0)
    class Caller:
        def call(self, count: int) -> int:
            for number in range(count):
                value(make(b"%d" % number).remote())
            return int(value(function.remote()))

    caller = Caller.remote()
    assert value(function.remote()) == value(caller.call.remote(300)) == 4
    assert value([function.remote(), caller.call.remote(0)]) == [4, 4]


def test_a_worker_that_is_not_sent_a_function_ends_and_its_task_goes_elsewhere() -> None:
    """The books of both ends must not differ. If they do, nobody waits for ever."""
    worker = value(pid.remote())
    other = air.remote(lambda: os.getpid())
    client = get_executor()._client  # type: ignore[attr-defined]
    with client.reactor.lock:
        [lease] = client.submitter._leases.values()
        lease.connection.data.sent.add(other._code.key, 1, None)  # it never went there
    assert value(other.remote()) != worker
