"""What a program does again and again leaves no entry behind, in any table of any process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable
from typing import Any

import pytest

import air
from air.errors import GetTimeout, TaskCancelled
from air.executor.current import get_executor
from air.testing.executor_suite.harness import eventually, value
from air.util import placement_group, remove_placement_group
from air.util.queue import Queue
from air.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from air_cluster.core.inventory import count_entries

pytestmark = pytest.mark.usefixtures("cluster")

REPEATS = 60
SLACK = REPEATS // 4
"""So much may a table have grown by chance, such as those of what is under way."""

BOUNDED = {
    "references._dead": 1024,  # the processes that died last
    # What has been run, and what has failed, is remembered for listings: the last of it.
    "endings.ran": 4096,
    "endings.ran[]": 5 * 4096,
    "endings.failures": 200,
    "surveys._last_words": 1000,
    "surveys._last_words[]": 2000,
    # Kinds of demand, which each placement group makes anew: unused ones are looked for now and
    # then (256 each in the program and in the daemon).
    "submitter.scheduler._shapes": 300,
    "submitter.scheduler._shapes[].alike": 1500,
    "submitter._shapes._by_wire": 300,
    "submitter._shapes._by_key": 300,
    "submitter._shapes._by_id": 300,
    "submitter._shapes._by_key[].wire.resources": 300,
    "_leasing._owners": 300,
    "_leasing._owners[].shape_ids": 600,
    "_leasing._owners[].shapes": 600,
    "_leasing._owners[].shapes[].resources": 600,
}
"""Tables that may grow, but not for ever."""


@air.remote
def echo(thing: Any = None) -> Any:
    return thing


@air.remote
def put_inside(depth: int) -> Any:
    """A reference of the worker's own, in as many values as that."""
    ref = air.put(bytes(10))
    for _ in range(depth):
        ref = air.put([ref])
    return [ref]


@air.remote
def get_inside(things: Any) -> int:
    while isinstance(things, list):
        things = air.get(things[0])
    return len(things)


@air.remote
def fail_with(thing: Any) -> None:
    raise ValueError(thing)


@air.remote
def count(number: int) -> Any:
    yield from range(number)


@air.remote
def nested(number: int) -> Any:
    return air.get([echo.remote(i) for i in range(number)])


@air.remote
def entries_here() -> dict[str, int]:
    return _entries_of_this_process()


@air.remote
class Keeper:
    def __init__(self) -> None:
        self.kept: Any = None

    def keep(self, things: Any) -> None:
        self.kept = things

    def give(self) -> Any:
        return self.kept

    async def later(self, thing: Any) -> Any:
        return thing

    def entries(self) -> dict[str, int]:
        return _entries_of_this_process()


@air.remote
class Plain:
    def echo(self, thing: Any) -> Any:
        return thing


def _entries_of_this_process() -> dict[str, int]:
    gc.collect()
    client = get_executor()._client  # type: ignore[attr-defined]
    with client.reactor.lock:
        client.reactor.run_soon()
        client.objects.drain()
        return count_entries(client)


def tasks() -> None:
    value([echo.remote(i) for i in range(10)])


def large_values() -> None:
    value(echo.remote(air.put(bytes(200_000))))
    value(echo.remote(bytes(200_000)))


def nested_tasks() -> None:
    assert value(nested.remote(3)) == [0, 1, 2]


def references_inside_values() -> None:
    assert value(get_inside.remote(put_inside.remote(3))) == 10


def references_in_an_actor(actor: Any) -> None:
    value(actor.keep.remote([air.put(1), put_inside.remote(1)]))
    value(get_inside.remote(value(actor.give.remote())[1:]))
    value(actor.keep.remote(None))


def references_in_exceptions() -> None:
    with pytest.raises(ValueError, match="ObjectRef"):
        value(fail_with.remote([air.put(1)]))


def references_through_a_queue(queue: Any) -> None:
    queue.put([put_inside.remote(1)])
    assert value(get_inside.remote(queue.get())) == 10


def streams() -> None:
    refs = count.options(num_returns="streaming").remote(20)
    assert [value(ref) for ref in refs] == list(range(20))


def streams_that_nobody_ends() -> None:
    refs = count.options(num_returns="streaming").remote(1000)
    assert value(next(refs)) == 0


def cancelled_tasks() -> None:
    refs = [echo.remote(i) for i in range(4)]
    for ref in refs:
        air.cancel(ref)
    for ref in refs:
        with contextlib.suppress(TaskCancelled):
            value(ref)


def time_limits() -> None:
    hopeless = echo.options(num_cpus=2).remote(echo.options(num_cpus=2).remote())
    with contextlib.suppress(GetTimeout):
        air.get(hopeless, timeout=0)
    air.wait([hopeless], timeout=0)


def futures() -> None:
    assert echo.remote(3).future().result(30) == 3

    async def main() -> Any:
        return await echo.remote(4)

    assert asyncio.run(main()) == 4


def actors() -> None:
    actor = Plain.options(num_cpus=0).remote()
    assert value(actor.echo.remote(1)) == 1


def killed_actors() -> None:
    actor = Plain.options(num_cpus=0, max_restarts=1).remote()
    assert value(actor.echo.remote(1)) == 1
    air.kill(actor)


def named_actors() -> None:
    actor = Plain.options(num_cpus=0, name="somebody").remote()
    assert value(air.get_actor("somebody").echo.remote(1)) == 1
    air.kill(actor)
    assert eventually(lambda: not _is_there("somebody"))


def _is_there(name: str) -> bool:
    try:
        air.get_actor(name)
    except ValueError:
        return False
    return True


def placement_groups() -> None:
    group = placement_group([{"widget": 1}, {"CPU": 1}])
    assert group.wait(30)
    strategy = PlacementGroupSchedulingStrategy(group)
    value(echo.options(scheduling_strategy=strategy).remote())
    remove_placement_group(group)


ALONE = [
    tasks, large_values, nested_tasks, references_inside_values, references_in_exceptions, streams,
    streams_that_nobody_ends, cancelled_tasks, time_limits, futures, actors, killed_actors,
    named_actors, placement_groups,
]  # fmt: skip


def everything(actor: Any) -> list[dict[str, int]]:
    """The entries of all processes: the program, the daemon with the head, workers, an actor."""
    mine = _entries_of_this_process()
    daemon = get_executor()._client.ask("entries")  # type: ignore[attr-defined]
    workers: dict[str, int] = {}
    for found in value([entries_here.remote() for _ in range(4)]):
        for name, size in found.items():
            workers[name] = max(size, workers.get(name, 0))
    return [mine, daemon, workers, value(actor.entries.remote())]


def growth(before: list[dict[str, int]], after: list[dict[str, int]]) -> dict[str, int]:
    """What has become more by more than chance."""
    found = {}
    for who, old, new in zip(("program", "daemon", "worker", "actor"), before, after, strict=True):
        for name, size in new.items():
            if size > max(old.get(name, 0) + SLACK, BOUNDED.get(name, 0)):
                found[f"{who}: {name}"] = size - old.get(name, 0)
    return found


def check(scenario: Callable[[], object], actor: Any, repeats: int = REPEATS) -> None:
    for _ in range(4):
        scenario()
    before = everything(actor)
    for _ in range(repeats):
        scenario()
    grown: list[Any] = []

    def settled() -> bool:
        grown[:] = [growth(before, everything(actor))]
        return not grown[0]

    assert eventually(settled), grown


@pytest.fixture(scope="module")
def keeper(cluster: None) -> Any:
    return Keeper.options(num_cpus=0).remote()


@pytest.mark.parametrize("scenario", ALONE, ids=lambda scenario: scenario.__name__)
def test_scenarios(scenario: Callable[[], None], keeper: Any) -> None:
    check(scenario, keeper)


def test_references_in_the_state_of_an_actor(keeper: Any) -> None:
    check(lambda: references_in_an_actor(keeper), keeper)


def test_references_that_pass_through_a_queue(keeper: Any) -> None:
    queue: Any = Queue()
    check(lambda: references_through_a_queue(queue), keeper)
    queue.shutdown()
