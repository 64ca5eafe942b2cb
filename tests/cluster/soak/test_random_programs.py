"""Random programs that pass references around: in the end nobody holds anything, anywhere."""

from __future__ import annotations

import gc
import random
from typing import Any

import numpy as np
import pytest

import air
from air.executor.current import get_executor
from air.testing.executor_suite.harness import eventually, value
from air.util.queue import Queue
from air_cluster.core.inventory import count_entries

STEPS = 150


@pytest.fixture(scope="module")
def small() -> Any:
    """A store that is full now and then, so that values go to disk as well."""
    air.init(backend="cluster", num_cpus=2, object_store_memory=60_000_000, log_to_driver=False)
    yield
    air.shutdown()


class Nested:
    """A value, references inside, and what they should come to together."""

    def __init__(self, weight: int, refs: list[Any], blob: Any = None) -> None:
        self.weight = weight
        self.refs = refs
        self.blob = blob


class Failed(Exception):
    def __init__(self, nested: Nested) -> None:
        super().__init__("on purpose")
        self.nested = nested


def weigh(nested: Nested) -> int:
    """All weights inside, followed through references."""
    assert nested.blob is None or nested.blob.min() == nested.blob.max() == nested.weight % 100
    return nested.weight + sum(weigh(found) for found in air.get(nested.refs))


def blob_of(weight: int) -> Any:
    return np.full(300_000, weight % 100, np.int32) if weight % 3 == 0 else None


@air.remote
def make(weight: int) -> Nested:
    """References to what this worker owns."""
    return Nested(weight, [air.put(Nested(1, [])), inner.remote(2)], blob_of(weight))


@air.remote
def inner(weight: int) -> Nested:
    return Nested(weight, [])


@air.remote
def wrap(weight: int, one: Nested, refs: list[Any]) -> Nested:
    """A value and a list of references, back in one; the value is put again."""
    return Nested(weight, [air.put(one), *refs])


@air.remote
def weighed(refs: list[Any]) -> int:
    return sum(weigh(nested) for nested in air.get(refs))


@air.remote
def stream(refs: list[Any]) -> Any:
    yield from (Nested(1, [ref]) for ref in refs)


@air.remote
def fail(refs: list[Any]) -> None:
    raise Failed(Nested(1, refs))


@air.remote
def entries() -> dict[str, int]:
    return _entries_here()


@air.remote(num_cpus=0)
class Keeper:
    def __init__(self) -> None:
        self.kept: dict[int, list[Any]] = {}

    def keep(self, key: int, refs: list[Any]) -> None:
        self.kept[key] = refs

    def give(self, key: int) -> list[Any]:
        return self.kept.pop(key)

    def entries(self) -> dict[str, int]:
        return _entries_here()


COUNTED = ("references.", "objects.", "submitter.records", "submitter.streams", "calls._calls")


def _entries_here() -> dict[str, int]:
    gc.collect()
    client = get_executor()._client  # type: ignore[attr-defined]
    with client.reactor.lock:
        client.reactor.run_soon()
        client.objects.drain()
        found = count_entries(client)
    found = {name: size for name, size in found.items() if name.startswith(COUNTED)}
    found.pop("references._dead", None)
    return {**found, "used": client.writer.used_bytes}


class Program:
    """Holds references with the weights that they should have; each step does something."""

    def __init__(self, seed: int, keepers: list[Any], queue: Any) -> None:
        self._random = random.Random(seed)
        self._keepers = keepers
        self._queue = queue
        self._held: list[tuple[Any, int]] = []
        self._away: list[tuple[Any, int, int]] = []  # keeper, key, weight
        self._queued: list[int] = []

    def some(self) -> tuple[list[Any], int]:
        chosen = self._random.sample(self._held, min(len(self._held), self._random.randrange(1, 4)))
        return [ref for ref, _ in chosen], sum(weight for _, weight in chosen)

    def step(self, number: int) -> None:
        refs, weight = self.some()
        match self._random.randrange(11):
            case 0:
                self._held.append((air.put(Nested(number, [], blob_of(number))), number))
            case 1:
                self._held.append((make.remote(number), number + 3))
            case 2:
                self._held.append((air.put(Nested(number, refs)), number + weight))
            case 3 if refs:
                one, its = self._random.choice(self._held)
                self._held.append((wrap.remote(number, one, refs), number + its + weight))
            case 4:
                assert value(weighed.remote(refs)) == weight
            case 5:
                keeper = self._random.choice(self._keepers)
                value(keeper.keep.remote(number, refs))
                self._away.append((keeper, number, weight))
            case 6 if self._away:
                keeper, key, weight = self._away.pop(self._random.randrange(len(self._away)))
                back = value(keeper.give.remote(key))
                assert value(weighed.remote(back)) == weight
            case 7:
                self._queue.put(refs)
                self._queued.append(weight)
            case 8 if self._queued:
                assert value(weighed.remote(self._queue.get())) == self._queued.pop(0)
            case 9:
                items = stream.options(num_returns="streaming").remote(refs)
                taken = [value(ref) for ref, _ in zip(items, range(2), strict=False)]
                assert all(weigh(found) >= 1 for found in taken)
            case 10:
                with pytest.raises(Failed) as caught:
                    value(fail.remote(refs))
                assert weigh(caught.value.nested) == 1 + weight
        while len(self._held) > 12:
            self._held.pop(self._random.randrange(len(self._held)))

    def end(self) -> None:
        for keeper, key, weight in self._away:
            assert value(weighed.remote(value(keeper.give.remote(key)))) == weight
        for weight in self._queued:
            assert value(weighed.remote(self._queue.get())) == weight
        for ref, weight in self._held:
            assert value(weighed.remote([ref])) == weight


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_held_in_the_end(seed: int, small: None) -> None:
    keepers = [Keeper.remote() for _ in range(2)]
    queue: Any = Queue()

    def all_entries() -> list[dict[str, int]]:
        workers: dict[str, int] = {}
        for found in value([entries.remote() for _ in range(6)]):
            for name, size in found.items():
                workers[name] = max(size, workers.get(name, 0))
        return [_entries_here(), workers, *value([keeper.entries.remote() for keeper in keepers])]

    Program(seed, keepers, queue).step(1)
    before = all_entries()
    program = Program(seed, keepers, queue)
    for number in range(STEPS):
        program.step(number)
    program.end()
    del program
    left: list[Any] = []

    def is_empty() -> bool:
        left[:] = [
            {name: size for name, size in now.items() if size > old.get(name, 0) + 8}
            for old, now in zip(before, all_entries(), strict=True)
        ]
        return not any(left)

    assert eventually(is_empty), left
    queue.shutdown()
