from __future__ import annotations

import gc
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from air.executor.serialization import Serialized, dumps
from air_cluster.store import Location
from air_cluster.store.segment import Mapping

N = 4096
ARRAYS = {
    "float": np.arange(N, dtype=float),
    "matrix": np.arange(N, dtype=np.int32).reshape(64, -1),
    "fortran": np.asfortranarray(np.arange(N, dtype=float).reshape(64, -1)),
    "strided": np.arange(4 * N, dtype=float)[::3],
    "reversed": np.arange(N, dtype=float)[::-1],
    "transposed": np.arange(N, dtype=float).reshape(64, -1).T,
    "empty": np.empty((0, 5)),
    "scalar": np.array(3.5),
    "structured": np.zeros(N, dtype=[("a", "i4"), ("b", "f8")]),
    "objects": np.array([None, "x", {}] * N, dtype=object),
    "booleans": np.arange(N) % 3 == 0,
}
PLAIN = [
    None,
    {"a": [1, 2.5, ("x", b"y" * 10_000)], 3: {"nested": {"deep": [None]}}},
    b"\0" * 100_000,
    bytearray(b"abc" * 10_000),
    "text" * 10_000,
]


class Released:
    """Counts the calls of a release callback."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


@pytest.fixture
def released() -> Released:
    return Released()


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back(node: Any, released: Released, name: str) -> None:
    array = ARRAYS[name]
    value = node.reader().load(node.writer().write(dumps(array)), released)
    assert type(value) is np.ndarray
    assert value.dtype == array.dtype
    assert value.shape == array.shape
    np.testing.assert_array_equal(value, array)
    del value
    assert released.calls == 1


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_a_value_without_buffers_is_released_at_once(
    node: Any, released: Released, value: object
) -> None:
    loaded = node.reader().load(node.writer().write(dumps(value)), released)
    assert loaded == value
    assert type(loaded) is type(value)
    assert released.calls == 1


def test_arrays_lie_in_the_segment(node: Any) -> None:
    writer = node.writer()
    serialized = dumps(np.zeros(N))
    location = writer.write(serialized)
    first, second = (node.reader().load(location, lambda: None) for _ in range(2))
    reader = node.reader()
    assert np.shares_memory(
        reader.load(location, lambda: None), reader.load(location, lambda: None)
    )
    # What is written to the segment shows in every array that was read from it.
    fd, size = node.open(location.segment)
    mapping = Mapping(fd, size, writable=True)
    buffer_at = location.offset + 64 * -(-len(serialized.stream) // 64)
    mapping.write(buffer_at + 8 * 5, memoryview(np.array([7.5])).cast("B"), fresh=False)
    assert first[5] == second[5] == 7.5
    mapping.close()


def test_buffers_are_aligned(node: Any) -> None:
    writer, reader = node.writer(1 << 20), node.reader()
    for size in (4097, 5000, 9999):
        array = reader.load(writer.write(dumps(np.zeros(size, np.uint8))), lambda: None)
        assert array.ctypes.data % 64 == 0


def test_what_is_read_cannot_be_written(node: Any) -> None:
    array = node.reader().load(node.writer().write(dumps(np.zeros(N))), lambda: None)
    assert array.flags.writeable is False
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True
    with pytest.raises(ValueError, match="WRITEABLE"):
        array[10:].flags.writeable = True
    copy = array.copy()
    copy[0] = 1


def test_pandas_frames_are_not_copied_and_stay_pinned(node: Any, released: Released) -> None:
    frame = pd.DataFrame({"a": np.arange(N), "b": np.arange(N) * 0.5, "c": np.arange(N) * 2})
    location = node.writer(1 << 20).write(dumps(frame))
    reader = node.reader()
    value = reader.load(location, released)
    pd.testing.assert_frame_equal(value, frame)
    assert np.shares_memory(
        value["b"].to_numpy(), reader.load(location, lambda: None)["b"].to_numpy()
    )
    column = value["b"]
    del value
    gc.collect()
    assert released.calls == 0
    assert column.sum() == frame["b"].sum()
    del column
    gc.collect()
    assert released.calls == 1


def test_arrow_tables_are_not_copied_and_stay_pinned(node: Any, released: Released) -> None:
    table = pa.table({"a": pa.array(range(N)), "s": pa.array([f"text {i}" for i in range(N)])})
    location = node.writer(1 << 20).write(dumps(table))
    reader = node.reader()
    value = reader.load(location, released)
    assert value.equals(table)
    buffer = value["a"].chunk(0).buffers()[1]
    again = reader.load(location, lambda: None)["a"].chunk(0).buffers()[1]
    assert buffer.address == again.address
    assert not buffer.is_mutable
    text = value["s"].slice(100, 10)
    del value, buffer
    gc.collect()
    assert released.calls == 0
    assert text[0].as_py() == "text 100"
    del text
    gc.collect()
    assert released.calls == 1


def test_what_is_made_from_an_array_keeps_the_value_pinned(node: Any, released: Released) -> None:
    value = node.reader().load(node.writer().write(dumps(np.arange(N))), released)
    derived: list[Any] = [
        value[100:200],
        value.reshape(64, -1).T,
        memoryview(value)[5:],
        value.view(np.uint8),
        pa.py_buffer(value),
        pickle.PickleBuffer(value),
        np.from_dlpack(value),
    ]
    del value
    while derived:
        gc.collect()
        assert released.calls == 0
        derived.pop()
    gc.collect()
    assert released.calls == 1


@pytest.mark.parametrize("last", ["first", "second"])
def test_the_last_array_of_a_value_releases_it(node: Any, released: Released, last: str) -> None:
    value = {"first": np.zeros(N), "second": np.ones(N), "text": "x"}
    loaded = node.reader().load(node.writer(1 << 20).write(dumps(value)), released)
    kept = loaded[last]
    del loaded
    assert released.calls == 0
    assert kept.shape == (N,)
    del kept
    assert released.calls == 1


def test_arrays_in_a_cycle_are_released_by_the_collector(node: Any, released: Released) -> None:
    value = node.reader().load(node.writer().write(dumps({"a": np.zeros(N)})), released)
    value["self"] = value
    del value
    gc.collect()
    assert released.calls == 1


def test_two_loads_are_released_apart(node: Any) -> None:
    reader, location = node.reader(), node.writer().write(dumps(np.zeros(N)))
    first, second = Released(), Released()
    one, two = reader.load(location, first), reader.load(location, second)
    del two
    assert (first.calls, second.calls) == (0, 1)
    del one
    assert (first.calls, second.calls) == (1, 1)


def _refuse(*parts: object) -> None:
    raise RuntimeError("cannot be rebuilt")


class _Stubborn:
    def __init__(self, part: object) -> None:
        self.part = part

    def __reduce__(self) -> Any:
        return _refuse, (self.part,)


@pytest.mark.parametrize("part", [1, np.zeros(N)], ids=["plain", "with buffers"])
def test_a_load_that_fails_releases_once(node: Any, released: Released, part: object) -> None:
    location = node.writer().write(dumps(_Stubborn(part)))
    with pytest.raises(RuntimeError, match="cannot be rebuilt"):
        node.reader().load(location, released)
    gc.collect()
    assert released.calls == 1


@pytest.mark.parametrize("lengths", [(64,), (64, 5000)])
def test_a_range_outside_the_segment_is_refused(
    node: Any, released: Released, lengths: tuple[int, ...]
) -> None:
    location = node.writer().write(dumps(1))
    wrong = Location(location.segment, 65_000, lengths, 5128)
    with pytest.raises(ValueError, match="no range of 5128 bytes at offset 65000"):
        node.reader().load(wrong, released)
    assert released.calls == 1


def test_a_segment_that_cannot_be_opened_releases_too(node: Any, released: Released) -> None:
    with pytest.raises(KeyError):
        node.reader().load(Location(99, 0, (1, 5000), 5064), released)
    assert released.calls == 1


def test_values_outlive_reader_writer_and_segment(
    node: Any, released: Released, count_fds: Callable[[], int]
) -> None:
    before = count_fds()
    writer, reader = node.writer(), node.reader()
    array = reader.load(writer.write(dumps(np.arange(N))), released)
    reader.forget(1)
    reader.forget(1)
    reader.close()
    writer.close()
    node.close()
    del reader, writer
    assert array.sum() == N * (N - 1) // 2
    assert released.calls == 0
    del array
    assert released.calls == 1
    assert count_fds() == before


def test_a_segment_is_opened_once_until_it_is_forgotten(node: Any) -> None:
    writer, reader = node.writer(), node.reader()
    opened: list[int] = []
    inner = node.open
    reader._open_segment = lambda id: (opened.append(id), inner(id))[1]
    location = writer.write(dumps(1))
    for _ in range(3):
        assert reader.load(location, lambda: None) == 1
    assert opened == [1]
    reader.forget(1)
    assert reader.load(location, lambda: None) == 1
    assert opened == [1, 1]


def test_empty_buffers_come_back(node: Any, released: Released) -> None:
    stream = pickle.dumps(pickle.PickleBuffer(b""), protocol=5, buffer_callback=lambda b: False)
    location = node.writer().write(Serialized(stream, [memoryview(b"")]))
    value = node.reader().load(location, released)
    assert bytes(value) == b""
    del value
    assert released.calls == 1


def test_plain_values_need_no_numpy() -> None:
    program = """
import sys
from air_cluster.store import Reader, Writer
from air_cluster.store.segment import create
from air.executor.serialization import dumps
import os
fd = create(1 << 20)
writer = Writer(lambda *_sizes: (1, os.dup(fd), 1 << 20), print, segment_bytes=1 << 20)
reader = Reader(lambda id: (os.dup(fd), 1 << 20))
assert reader.load(writer.write(dumps([1, "x"])), lambda: None) == [1, "x"]
assert "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
