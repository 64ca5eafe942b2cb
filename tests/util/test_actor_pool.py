"""ActorPool on the selected backend."""

from __future__ import annotations

import asyncio
import itertools
import os

import pytest

import air
from air.errors import ActorDied, GetTimeout, InvalidOption, Unschedulable
from air.executor.capabilities import Capability
from air.testing.executor_suite.harness import guarded_by
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


@air.remote
class Mortal:
    def double(self, number):
        if number < 0:
            air.exit_actor()
        return 2 * number

    def ask(self, other):
        return air.get(other.double.remote(1))


def test_a_dead_actor_leaves_the_pool(air_backend):
    pool = ActorPool([Mortal.remote() for _ in range(2)])
    for number in (1, -1, 2, 3, 4):
        pool.submit(double, number)
    assert pool.get_next() == 2
    with pytest.raises(ActorDied, match=r"Mortal.*exit_actor"):
        pool.get_next()
    assert [pool.get_next() for _ in range(3)] == [4, 6, 8]
    assert list(pool.map(double, range(4))) == [0, 2, 4, 6]
    assert pool.pop_idle() is not None
    assert pool.pop_idle() is None


def test_one_that_was_killed_leaves_when_it_is_used(air_backend):
    killed, other = Mortal.remote(), Mortal.remote()
    pool = ActorPool([killed, other])
    air.kill(killed)
    failed, done = 0, []
    for number in range(6):
        pool.submit(double, number)
    while pool.has_next():
        try:
            done.append(pool.get_next_unordered())
        except ActorDied:
            failed += 1
    assert failed == 1
    assert sorted(done) == [2, 4, 6, 8, 10]


def test_when_all_are_dead(air_backend):
    pool = ActorPool([Mortal.remote()])
    for number in (-1, 1, 2):
        pool.submit(double, number)
    with pytest.raises(ActorDied, match=r"air\.exit_actor"):
        pool.get_next()
    assert pool.has_next()
    with pytest.raises(ActorDied, match=r"all actors of the pool are dead; push others.*Mortal"):
        pool.get_next()
    pool.push(Mortal.remote())
    assert pool.get_next() == 4
    assert not pool.has_next()
    air.kill(pool.pop_idle())
    with pytest.raises(ActorDied, match="all actors of the pool are dead"):
        list(pool.map(double, [1]))


def test_errors_about_other_actors_do_not_count(air_backend):
    dead, alive = Mortal.remote(), Mortal.remote()
    air.kill(dead)
    pool = ActorPool([alive])
    lost = dead.double.remote(1)
    for fn in (lambda actor, _: actor.ask.remote(dead), lambda actor, _: actor.double.remote(lost)):
        pool.submit(fn, None)
        with pytest.raises(ActorDied):
            pool.get_next()
    assert list(pool.map(double, [1])) == [2]


def test_one_whose_constructor_fails(air_backend):
    @air.remote
    class Broken:
        def __init__(self):
            raise ValueError("no")

        def double(self, number): ...

    pool = ActorPool([Broken.remote(), Mortal.remote()])
    pool.submit(double, 1)
    with pytest.raises(ActorDied, match="no"):
        pool.get_next()
    assert list(pool.map(double, range(3))) == [0, 2, 4]


def test_one_that_is_restarted_stays(air_backend):
    @air.remote(max_restarts=1)
    class Risen:
        def double(self, number):
            if number < 0:
                os._exit(1)
            return 2 * number

    with guarded_by(Capability.ACTOR_RESTARTS):
        pool = ActorPool([Risen.remote()])
        pool.submit(double, -1)
        with pytest.raises(ActorDied, match="is restarting"):
            pool.get_next()
        assert list(pool.map(double, range(3))) == [0, 2, 4]


def test_one_that_no_node_could_host(air_backend):
    pool = ActorPool([])

    def use_it():
        pool.push(Mortal.options(resources={"unobtainable": 1}).remote())
        pool.submit(double, 1)
        pool.get_next()

    with pytest.raises(Unschedulable):  # at the first step where there is one node for ever
        use_it()
    assert pool.pop_idle() is None
