"""ActorPool on the selected backend."""

from __future__ import annotations

import asyncio
import itertools

import pytest

import air
from air.errors import GetTimeout, InvalidOption
from air.util import ActorPool


@air.remote
class Worker:
    def __init__(self):
        self.gate = asyncio.Event()

    async def double(self, number):
        if number < 0:
            raise ValueError(f"negative: {number}")
        return 2 * number

    async def wait(self, number):
        await self.gate.wait()
        return number

    async def open(self):
        self.gate.set()


def double(actor, number):
    return actor.double.remote(number)


@pytest.fixture
def actors(air_backend):
    return [Worker.remote() for _ in range(2)]


@pytest.fixture
def pool(actors):
    return ActorPool(actors)


def test_map_keeps_order(pool):
    assert list(pool.map(double, range(10))) == [2 * number for number in range(10)]
    assert list(pool.map(double, [])) == []


def test_map_unordered_gives_all(pool):
    assert sorted(pool.map_unordered(double, range(10))) == [2 * number for number in range(10)]


def test_map_is_lazy(pool):
    results = pool.map(double, itertools.count())
    assert list(itertools.islice(results, 5)) == [0, 2, 4, 6, 8]


def test_map_refuses_to_mix_with_earlier_work(pool):
    pool.submit(double, 1)
    with pytest.raises(RuntimeError, match="not been taken"):
        pool.map(double, [2])
    assert pool.get_next() == 2


def test_submit_beyond_the_number_of_actors(pool):
    for number in range(5):
        pool.submit(double, number)
    assert not pool.has_free()
    assert [pool.get_next() for _ in range(5)] == [0, 2, 4, 6, 8]
    assert pool.has_free()
    assert not pool.has_next()
    with pytest.raises(StopIteration):
        pool.get_next()
    with pytest.raises(StopIteration):
        pool.get_next_unordered()


def test_unordered_gives_what_is_ready(actors, pool):
    pool.submit(lambda actor, number: actor.wait.remote(number), 1)
    pool.submit(double, 2)
    assert pool.get_next_unordered() == 4
    air.get([actor.open.remote() for actor in actors])
    assert pool.get_next_unordered() == 1


def test_timeout(actors, pool):
    pool.submit(lambda actor, number: actor.wait.remote(number), 1)
    for get_next in (pool.get_next, pool.get_next_unordered):
        with pytest.raises(GetTimeout, match=r"within 0\.01 s"):
            get_next(timeout=0.01)
    assert pool.has_next()
    air.get([actor.open.remote() for actor in actors])
    assert pool.get_next(timeout=30) == 1


def test_giving_up_frees_the_actor(pool):
    for number in range(2):
        pool.submit(lambda actor, number: actor.wait.remote(number), number)
    pool.submit(double, 5)
    with pytest.raises(GetTimeout):
        pool.get_next(timeout=0.01, ignore_if_timedout=True)
    assert pool.get_next_unordered() == 10


def test_errors_come_through_and_free_the_actor(pool):
    for number in (-1, 1, 2):
        pool.submit(double, number)
    with pytest.raises(ValueError, match="negative: -1"):
        pool.get_next()
    assert [pool.get_next(), pool.get_next()] == [2, 4]


def test_push_and_pop(pool, actors):
    assert pool.pop_idle() == actors[0]
    assert pool.pop_idle() == actors[1]
    assert pool.pop_idle() is None
    pool.submit(double, 3)
    assert not pool.has_next()
    pool.push(actors[0])
    assert pool.get_next() == 6


def test_bad_input(pool, actors):
    with pytest.raises(ValueError, match="in the pool already"):
        pool.push(actors[0])
    with pytest.raises(TypeError, match="takes handles of actors, got int"):
        ActorPool([1])
    with pytest.raises(TypeError, match="must return the ObjectRef of a call, it returned int"):
        pool.submit(lambda actor, number: number, 1)
    assert pool.has_free()


def test_pool_without_actors(air_backend):
    with pytest.raises(RuntimeError, match="no actors"):
        list(ActorPool([]).map(double, [1]))


def test_function_that_raises_loses_no_result(pool):
    pool.submit(double, 1)
    pool.submit(double, 2)
    pool.submit(lambda actor, number: actor.missing.remote(number), 3)
    with pytest.raises(AttributeError, match="missing"):
        pool.get_next()
    assert pool.get_next() == 4
    assert pool.has_free()


def test_iteration_that_ends_early_leaves_the_pool_usable(pool):
    results = pool.map(double, range(6))
    next(results)
    results.close()
    assert not pool.has_next()
    with pytest.raises(ValueError, match="negative"):
        list(pool.map(double, [1, -1, 2, 3, 4]))
    assert sorted(pool.map_unordered(double, range(4))) == [0, 2, 4, 6]


def test_arguments_are_checked(pool):
    pool.submit(double, 1)
    with pytest.raises(InvalidOption, match="timeout must not be negative"):
        pool.get_next(timeout=-1)
    with pytest.raises(InvalidOption, match="ignore_if_timedout must be True or False"):
        pool.get_next_unordered(ignore_if_timedout="yes")
    with pytest.raises(InvalidOption, match="Did you mean 'timeout'"):
        pool.get_next(timout=1)
    assert pool.get_next(timeout=float("inf")) == 2
    with pytest.raises(TypeError, match="a list of handles, got int"):
        ActorPool(3)
