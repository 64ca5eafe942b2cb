"""Large values: read in place, kept as long as anybody reads them, and then used again."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest

import air
from air.errors import ObjectStoreFull
from air.executor.current import get_executor
from air.testing.executor_suite.harness import eventually, value
from air.testing.executor_suite.tools import identity
from air.util.state import list_objects

pytestmark = pytest.mark.usefixtures("cluster")

MB = 1_000_000
CAP = 400 * MB  # of the fixture


def array(number: float, megabytes: int) -> Any:
    return np.full(megabytes * MB // 8, float(number))


def holds(found: Any, number: float) -> bool:
    return bool(found.min() == found.max() == number)


@air.remote
def make(number: float, megabytes: int) -> Any:
    return np.full(megabytes * MB // 8, float(number))


@air.remote
def first(found: Any) -> float:
    return float(found[0])


@air.remote
class Keeper:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def pid(self) -> int:
        return os.getpid()

    def keep(self, item: Any) -> None:
        self.kept.append(item)

    def keep_part(self, item: Any) -> None:
        self.kept.append(item[::1000])

    def put(self, number: float, megabytes: int) -> list[Any]:
        self.kept = [air.put(np.full(megabytes * MB // 8, float(number)))]
        return self.kept

    def ranges(self) -> list[tuple[float, float]]:
        return [(float(item.min()), float(item.max())) for item in self.kept]

    def firsts(self) -> list[float]:
        return [float(air.get(ref)[0]) for refs in self.kept for ref in refs]

    def forget(self) -> None:
        self.kept = []


def overwrite() -> None:
    """Write what would fill the store twice over, here and in the workers."""
    for number in range(20):
        assert holds(value(air.put(array(-number, 20))), -number)
        assert holds(value(make.remote(-number, 20)), -number)


def used_here() -> int:
    """Bytes of shared memory that values which this process wrote take up."""
    client = get_executor()._client  # type: ignore[attr-defined]
    with client.reactor.lock:
        client.objects.drain()
    return int(client.writer.used_bytes)


# Reading ----------------------------------------------------------------------------------


def test_reading_copies_nothing() -> None:
    ref = air.put(array(1, 1))
    one, other = value(ref), value(ref)
    assert np.shares_memory(one, other)
    assert not one.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        one[0] = 2


@pytest.mark.parametrize("kind", ["numpy", "structured", "fortran", "pandas", "strings", "arrow"])
def test_every_kind_comes_back_as_it_was(kind: str) -> None:
    import pandas as pd
    import pyarrow as pa

    count = 200_000
    made: Any
    if kind == "numpy":
        made = np.arange(count)
    elif kind == "structured":
        made = np.zeros(count, dtype=[("a", "i4"), ("b", "f8")])
    elif kind == "fortran":
        made = np.asfortranarray(np.arange(count).reshape(1000, -1))
    elif kind == "pandas":
        made = pd.DataFrame({"a": np.arange(count), "b": np.arange(count) / 7})
    elif kind == "strings":
        made = pd.DataFrame({"s": [f"row {i % 10}" for i in range(count)]})
        made["c"] = made["s"].astype("category")
    else:
        made = pa.table({"a": np.arange(count), "s": ["text"] * count})
    for found in (value(air.put(made)), value(identity.remote(made))):
        assert type(found) is type(made)
        if hasattr(made, "equals"):
            assert found.equals(made)
        else:
            assert found.dtype == made.dtype
            assert found.flags.f_contiguous == made.flags.f_contiguous
            assert (found == made).all()


def test_ten_megabytes_there_and_back() -> None:
    refs = [identity.remote(array(number, 10)) for number in range(6)]
    for number, found in enumerate(value(refs)):
        assert holds(found, number)


# Freeing ----------------------------------------------------------------------------------


def test_many_times_the_store_passes_through_it() -> None:
    for number in range(100):
        ref = air.put(array(number, 10))
        assert value(ref)[-1] == number
    for number in range(8):
        assert value(air.put(array(number, 150)))[-1] == number
    del ref
    assert used_here() == 0


def test_arguments_and_results_are_freed() -> None:
    for number in range(8):
        assert value(first.remote(array(number, 110))) == number
        assert value(first.remote(make.remote(number, 110))) == number
        assert value(make.remote(number, 110))[0] == number
    assert eventually(lambda: used_here() == 0)


def test_no_process_sits_on_memory_that_others_need() -> None:
    """Processes keep some empty segments for their warm pages; not when memory is short."""
    for number in range(3):
        value(make.remote(number, 300))
        value(air.put(array(number, 300)))
        value([make.remote(number, 40) for _ in range(4)])
        value(air.put(array(number, 300)))


def test_memory_that_is_freed_is_unmapped_where_it_was_read() -> None:
    """Each of these sizes needs a segment of its own, which the reader maps."""

    def mappings() -> int:
        return Path("/proc/self/maps").read_text().count("air-objects")

    for megabytes in range(80, 160, 8):
        assert holds(value(make.remote(1, megabytes)), 1)
    value(air.put(array(0, 390)))  # makes the workers give back what they keep
    assert eventually(lambda: mappings() <= 2)


def test_the_memory_of_a_killed_worker_comes_back() -> None:
    @air.remote
    def second(pair: Any) -> float:
        return float(pair[1][0])

    @air.remote
    class Writer:
        def write(self) -> tuple[int, Any]:
            return os.getpid(), np.ones(250 * MB // 8)

    ref = Writer.remote().write.remote()
    pid, found = value(ref)
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not psutil.pid_exists(pid))
    with pytest.raises(ObjectStoreFull):
        air.put(array(1, 250))
    assert value(second.remote(ref)) == 1
    assert holds(found, 1)
    del found, ref
    assert holds(value(air.put(array(2, 250))), 2)


def test_values_of_an_actor_go_with_it() -> None:
    keeper = Keeper.remote()
    value(keeper.put.remote(1, 150))
    value(keeper.keep.remote(make.remote(1, 100)))
    del keeper
    gc.collect()

    def fits() -> bool:
        try:
            air.put(array(2, 390))
        except ObjectStoreFull:
            return False
        return True

    assert eventually(fits)


# Keeping ----------------------------------------------------------------------------------


def test_what_an_actor_keeps_stays_as_it_was() -> None:
    keeper = Keeper.remote()
    for number in range(3):
        value(
            [
                keeper.keep.remote(array(number, 10)),  # an argument of the call
                keeper.keep.remote(air.put(array(number, 10))),  # a value of this process
                keeper.keep.remote(make.remote(number, 10)),  # in the memory of a third one
                keeper.keep_part.remote(array(number, 10)),
            ]
        )
    gc.collect()
    overwrite()
    expected = [(number, number) for number in range(3) for _ in range(4)]
    assert value(keeper.ranges.remote()) == expected
    value(keeper.forget.remote())
    assert eventually(lambda: used_here() == 0)


def test_anything_made_from_a_value_keeps_it() -> None:
    import pandas as pd
    import pyarrow as pa

    found = value(make.remote(7, 10))
    part, column, frame = found[5:10], pa.array(found), pd.DataFrame({"x": found}, copy=False)
    view = memoryview(found)
    del found
    gc.collect()
    overwrite()
    assert holds(part, 7)
    assert column[9].as_py() == 7
    assert holds(frame["x"], 7)
    assert view[3] == 7


def test_a_reference_inside_a_value_keeps_what_it_stands_for() -> None:
    keeper = Keeper.remote()
    value(keeper.keep.remote([air.put(array(3, 10))]))
    value(keeper.keep.remote(value(air.put([make.remote(4, 10)]))))
    outer = air.put({"deep": [{"down": air.put([air.put(array(5, 10))])}]})
    gc.collect()
    overwrite()
    assert value(keeper.firsts.remote()) == [3, 4]
    inner = value(outer)["deep"][0]["down"]
    del outer
    overwrite()
    assert holds(value(value(inner)[0]), 5)


def test_a_reference_that_passed_through_three_processes() -> None:
    owner, keeper = Keeper.remote(), Keeper.remote()
    refs = value(owner.put.remote(6, 10))
    value(keeper.keep.remote(refs))
    del refs
    gc.collect()
    value(owner.forget.remote())
    value([owner.put.remote(number, 10) for number in range(20)])
    assert value(keeper.firsts.remote()) == [6]


# Being full -------------------------------------------------------------------------------


def test_a_store_full_of_what_is_read_says_so_and_recovers() -> None:
    kept = [value(air.put(array(number, 30))) for number in range(11)]
    with pytest.raises(ObjectStoreFull, match=f"of the {CAP} bytes.*object_store_memory"):
        air.put(array(1, 80))
    with pytest.raises(ObjectStoreFull):
        value(first.remote(array(1, 80)))
    with pytest.raises(ObjectStoreFull):
        value(make.remote(1, 80))
    for number, found in enumerate(kept):
        assert holds(found, number)
    del kept, found
    assert holds(value(make.remote(1, 300)), 1)


def test_a_nearly_full_store_takes_what_fits() -> None:
    kept = air.put(array(1, 380))
    assert holds(value(identity.remote(array(2, 5))), 2)
    assert holds(value(kept), 1)


def test_what_is_larger_than_the_store_is_refused_at_once() -> None:
    message = f"this node's object store has {CAP} altogether"
    for refused in (
        lambda: air.put(array(1, 500)),
        lambda: first.remote(array(1, 500)),
        lambda: value(make.remote(1, 500)),
    ):
        with pytest.raises(ObjectStoreFull, match=message):
            refused()
    assert value(first.remote(array(3, 100))) == 3


@pytest.mark.slow
def test_many_processes_share_a_small_store() -> None:
    """Everybody writes and frees at the same time; together they hold less than there is."""

    @air.remote(num_cpus=0)
    def write(seed: int) -> int:
        random = np.random.default_rng(seed)
        for _ in range(30):
            size = int(random.integers(1, 40))
            found = air.get(air.put(np.full(size * MB // 8, float(seed))))
            assert found.min() == found.max() == seed
            del found
        return seed

    assert value([write.remote(seed) for seed in range(5)]) == list(range(5))


def test_parts_of_large_arrays_and_tables_take_their_own_size_only():
    table = pa.table({"number": np.arange(16 * MB // 8), "text": ["x"] * (16 * MB // 8)})

    @air.remote
    def part(table: Any, array: Any) -> Any:
        return table.slice(700, 20_000), array[:, 5:15]

    refs = [air.put(table.slice(start, 20_000)) for start in range(0, 100_000, 1000)]
    stored = air.put(table)
    refs.append(part.remote(stored, np.zeros((20_000, 100))))
    assert value(refs[7]).equals(table.slice(7000, 20_000))
    assert value(refs[-1])[0].equals(table.slice(700, 20_000))
    sizes = {found.object_id: found.object_size for found in list_objects(limit=1000)}
    kept = [sizes[ref.hex()] for ref in refs]
    assert 20_000 * 12 < min(kept) <= max(kept) < 20_000 * 13 + 20_000 * 10 * 8 + 10_000
    assert sum(kept[:-1]) < 30 * MB < CAP < 100 * table.nbytes
