"""Parts of a segment that a process may write to for itself: so larger tensors are read."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from air.executor.serialization import dumps
from air.executor.tensors import lender
from air_cluster.store.private import MIN_BYTES

N = MIN_BYTES + 12_345


class Numbers:
    """Bytes that are read as a tensor's are: what is lent, or a copy."""

    def __init__(self, content: Any) -> None:
        lent = None if lender.lend is None else lender.lend(content)
        self.is_lent = lent is not None
        self.array = content.copy() if lent is None else lent

    def __reduce__(self) -> Any:
        return Numbers, (self.array,)


@pytest.fixture
def stored(node: Any) -> Callable[..., Any]:
    """Writes values and gives what reads them again, each time anew."""
    writer, reader = node.writer(segment_bytes=8 << 20), node.reader()
    released: list[None] = []

    def store(value: Any) -> Any:
        location = writer.write(dumps(value))
        read = lambda: reader.load(location, lambda: released.append(None))  # noqa: E731
        read.released = released  # type: ignore[attr-defined]
        return read

    return store


def pattern(count: int = N, start: int = 0) -> Any:
    return (np.arange(start, start + count) % 251).astype(np.uint8)


def test_what_is_written_to_it_nobody_else_sees(stored: Callable[..., Any]) -> None:
    read = stored(Numbers(pattern()))
    mine, other = read(), read()
    assert mine.is_lent
    np.testing.assert_array_equal(mine.array, pattern())
    mine.array[:] = 1
    mine.array[-1] = 2
    np.testing.assert_array_equal(other.array, pattern())
    np.testing.assert_array_equal(read().array, pattern())
    assert mine.array[-1] == 2


def test_several_in_one_value_wherever_they_lie(stored: Callable[..., Any]) -> None:
    value = [b"odd" * 1357, *(Numbers(pattern(N + 777 * i, i)) for i in range(5)), np.ones(999)]
    _, *numbers, ones = stored(value)()
    for i, found in enumerate(numbers):
        assert found.is_lent
        np.testing.assert_array_equal(found.array, pattern(N + 777 * i, i))
        found.array[:] = 0
    assert not ones.flags.writeable
    assert ones.sum() == 999


def test_small_ones_are_copied(stored: Callable[..., Any]) -> None:
    found = stored([Numbers(pattern(10_000)), np.ones(100_000)])()[0]
    assert not found.is_lent
    np.testing.assert_array_equal(found.array, pattern(10_000))


def test_the_value_is_kept_for_as_long_as_any_part_is_used(stored: Callable[..., Any]) -> None:
    read = stored(Numbers(pattern()))
    part = read().array[10:20]
    gc.collect()
    assert read.released == []
    np.testing.assert_array_equal(part, pattern()[10:20])
    del part
    gc.collect()
    assert read.released == [None]


def test_many_take_no_descriptors(stored: Callable[..., Any]) -> None:
    read = stored(Numbers(pattern()))
    kept = [read()]
    before = len(os.listdir("/proc/self/fd"))
    kept += [read() for _ in range(200)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert len({found.array.__array_interface__["data"][0] for found in kept}) == 201


def test_when_nothing_can_be_mapped_it_is_copied(
    stored: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(12, "no memory can be mapped")

    monkeypatch.setattr("air_cluster.store.private.private_array", refuse)
    found = stored(Numbers(pattern()))()
    assert not found.is_lent
    np.testing.assert_array_equal(found.array, pattern())


def test_memory_that_lies_elsewhere_is_not_lent(stored: Callable[..., Any]) -> None:
    class Elsewhere(Numbers):
        def __init__(self, content: Any) -> None:
            super().__init__(content.copy())

    assert not _rebuilt(stored, Elsewhere)
    assert _rebuilt(stored, Numbers)


def _rebuilt(stored: Callable[..., Any], kind: type) -> bool:
    made: list[Any] = []
    read = stored(_Deferred(pattern()))
    _Deferred.make = lambda content: made.append(kind(content))
    read()
    return bool(made[0].is_lent)


class _Deferred:
    """Calls :attr:`make` with its bytes when it is unpickled."""

    make: Callable[[Any], object] = staticmethod(lambda content: content)

    def __init__(self, content: Any) -> None:
        self.content = content

    def __reduce__(self) -> Any:
        return _made, (self.content,)


def _made(content: Any) -> Any:
    return _Deferred.make(content)


def test_threads_do_not_lend_to_one_another(stored: Callable[..., Any]) -> None:
    found: list[bool] = []
    _Deferred.make = lambda content: _in_thread(lambda: found.append(Numbers(content).is_lent))
    stored(_Deferred(pattern()))()
    assert found == [False]
    assert lender.lend is None


def _in_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()
