"""The decisions of a pool of actors, without any."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from air.data.execution.pool import Assign, Fail, Pool, PoolLimits, StartActor, StopActor


def actions(pool, now=0.0):
    found = []
    while (action := pool.next_action(now)) is not None:
        pool.check()
        found.append(action)
    return found


def pool_with(units, ready=None, now=0.0, **limits):
    """A pool that has been asked for units, and all of whose first actors are ready."""
    pool = Pool(PoolLimits(**{"smallest": 1, "largest": 4, **limits}))
    for unit in range(units):
        pool.wanted(unit)
    started = [action.actor for action in actions(pool, now)]
    for actor in started:
        pool.ready(actor, now)
    return pool


def test_no_actor_before_there_is_work():
    pool = Pool(PoolLimits(2, 4))
    assert actions(pool) == []
    pool.wanted(0)
    assert actions(pool) == [StartActor(0), StartActor(1)]
    assert pool.starting == [0, 1]


def test_units_go_in_order_to_the_least_busy():
    pool = pool_with(5, smallest=2, largest=2)
    assert actions(pool) == [Assign(0, 0), Assign(1, 1), Assign(2, 0), Assign(3, 1)]
    pool.ended(1, 1.0)
    assert actions(pool, 1.0) == [Assign(4, 1)]


def test_it_doubles_while_there_is_more_work_than_actors():
    pool = pool_with(20, smallest=1, largest=7)
    assert actions(pool) == [StartActor(1), Assign(0, 0)]  # and nothing waits behind unit 0
    pool.ready(1, 1.0)
    assert actions(pool, 1.0) == [StartActor(2), StartActor(3), Assign(1, 1)]
    pool.ready(2, 2.0)
    pool.ready(3, 2.0)
    assert [a for a in actions(pool, 2.0) if isinstance(a, StartActor)] == [
        *(StartActor(4), StartActor(5), StartActor(6))
    ]
    for actor in (4, 5, 6):
        pool.ready(actor, 3.0)
    assert len(actions(pool, 3.0)) == 20 - 4 - 6  # seven have two each
    assert actions(pool, 99.0) == []


def test_it_does_not_grow_for_work_that_is_there_already():
    pool = pool_with(1)
    assert actions(pool) == [Assign(0, 0)]
    pool.ended(0, 0.1)
    pool.wanted(1)
    assert actions(pool, 0.1) == [Assign(1, 0)]


def test_idle_ones_end_after_a_while_down_to_the_smallest():
    pool = Pool(PoolLimits(1, 3))
    for unit in range(6):
        pool.wanted(unit)
    actions(pool)
    for actor in range(3):
        pool.ready(actor, 0.0)
        actions(pool)
    for unit in range(5):
        pool.ended(unit, 10.0)
    assert actions(pool, 14.9) == []
    assert actions(pool, 15.1) == [StopActor(1), StopActor(0)]
    pool.ended(5, 20.0)
    assert actions(pool, 99.0) == []  # the last one stays
    for unit in (6, 7):
        pool.wanted(unit)
    assert actions(pool, 99.0) == [StartActor(3), Assign(6, 2)]


def test_one_that_took_long_to_start_is_kept_longer():
    pool = Pool(PoolLimits(1, 2))
    pool.wanted(0)
    pool.wanted(1)
    actions(pool)
    pool.ready(0, 1.0)
    actions(pool, 1.0)
    pool.ready(1, 61.0)
    actions(pool, 61.0)
    pool.ended(0, 61.0)
    pool.ended(1, 61.0)
    assert actions(pool, 67.0) == [StopActor(0)]
    pool = Pool(PoolLimits(1, 2))
    pool.wanted(0)
    pool.wanted(1)
    actions(pool)
    pool.ready(0, 60.0)
    actions(pool, 60.0)
    pool.ready(1, 120.0)
    actions(pool, 120.0)
    pool.ended(0, 120.0)
    pool.ended(1, 120.0)
    assert actions(pool, 179.0) == []
    assert actions(pool, 180.0) == [StopActor(1)]


def test_what_waits_for_an_actor_that_takes_long_to_start_waits_no_more():
    pool = pool_with(3, smallest=1, largest=2)
    assert actions(pool) == [StartActor(1), Assign(0, 0)]
    assert actions(pool, 9.0) == []
    assert actions(pool, 10.0) == [Assign(1, 0)]


# Death ----------------------------------------------------------------------------------------


def test_a_unit_whose_actor_died_is_done_again_first():
    pool = pool_with(6, smallest=2, largest=2)
    actions(pool)
    assert pool.died(0) == [0, 2]
    # Unit 0 has the next actor that has nothing to do for itself, and so has unit 2.
    assert actions(pool, 1.0) == [StartActor(2)]
    pool.ready(2, 2.0)
    assert actions(pool, 2.0) == [Assign(0, 2)]
    pool.ended(0, 3.0)
    assert actions(pool, 3.0) == [Assign(2, 2)]
    pool.ended(1, 4.0)
    assert actions(pool, 4.0) == [Assign(4, 1)]
    pool.ended(2, 5.0)
    assert actions(pool, 5.0) == [Assign(5, 2)]


def test_what_an_actor_began_last_counts():
    pool = pool_with(2, smallest=1, largest=1, max_retries=0)
    assert actions(pool) == [Assign(0, 0), Assign(1, 0)]
    pool.began(0)
    pool.died(0)
    assert actions(pool) == [Fail(0, 1), StartActor(1)]
    pool.ready(1, 1.0)
    assert actions(pool) == [Assign(1, 1)]


def test_what_was_done_before_that_is_done_again_without_being_blamed():
    pool = pool_with(2, smallest=1, largest=1, max_retries=1)
    actions(pool)
    pool.began(0)
    pool.began(1)
    pool.died(0)
    assert actions(pool) == [StartActor(1)]
    pool.ready(1, 1.0)
    assert actions(pool) == [Assign(0, 1)]
    pool.began(0)
    pool.ended(0, 2.0)
    assert actions(pool) == [Assign(1, 1)]
    pool.began(1)
    pool.died(1)
    assert actions(pool) == [Fail(1, 2)]


def test_without_retries_nothing_is_done_twice():
    pool = pool_with(2, smallest=1, largest=1, max_retries=0)
    actions(pool)
    pool.began(0)
    pool.began(1)
    pool.died(0)
    assert actions(pool) == [Fail(0, 1), Fail(1, 1)]


def test_what_never_began_is_no_retry():
    pool = pool_with(1, smallest=1, largest=1, max_retries=0)
    actions(pool)
    pool.began(0)
    pool.ended(0, 1.0)
    pool.wanted(1)
    assert actions(pool) == [Assign(1, 0)]
    pool.died(0)  # it had been killed before, while it had nothing to do
    assert actions(pool) == [StartActor(1)]
    pool.ready(1, 2.0)
    assert actions(pool) == [Assign(1, 1)]


def test_what_never_begins_is_not_given_to_others_for_ever():
    pool = pool_with(1, smallest=1, largest=1, max_retries=0)
    for actor in range(2):
        assert actions(pool) == [Assign(0, actor)]
        pool.died(actor)
        assert actions(pool) == [StartActor(actor + 1)]
        pool.ready(actor + 1, 1.0)
    actions(pool)
    pool.died(2)
    assert actions(pool) == [Fail(0, 1)]


def test_for_ever():
    pool = pool_with(1, largest=1, max_retries=-1)
    actions(pool)
    for actor in range(100):
        pool.began(0)
        pool.died(actor)
        assert actions(pool) == [StartActor(actor + 1)]
        pool.ready(actor + 1, 1.0)
        assert actions(pool) == [Assign(0, actor + 1)]


def test_one_that_dies_idle_has_a_successor_when_there_is_work():
    pool = pool_with(1)
    actions(pool)
    pool.ended(0, 1.0)
    assert pool.died(0) == []
    assert actions(pool) == []
    pool.wanted(1)
    assert actions(pool) == [StartActor(1)]


def test_those_that_die_before_they_are_ready_are_not_replaced_for_ever():
    pool = Pool(PoolLimits(1, 1, max_retries=-1))
    pool.wanted(0)
    pool.wanted(1)
    for actor in range(3):
        assert actions(pool) == [StartActor(actor)]
        pool.died(actor)
    assert pool.broken
    assert actions(pool) == [Fail(0, 0), Fail(1, 0)]


def test_one_that_cannot_be_made_ends_it_behind_what_is_under_way():
    pool = pool_with(4, largest=2)
    assert actions(pool) == [StartActor(1), Assign(0, 0)]
    pool.unusable(1)
    assert actions(pool) == [Fail(1, 0), Fail(2, 0), Fail(3, 0)]
    pool.ended(0, 1.0)
    assert actions(pool) == []


def test_since_when_it_waits():
    pool = Pool(PoolLimits(1, 2))
    assert pool.waiting_since() is None
    pool.wanted(0)
    actions(pool, 5.0)
    assert pool.waiting_since() == 5.0
    pool.ready(0, 7.0)
    actions(pool, 7.0)
    assert pool.waiting_since() is None


@given(
    smallest=st.integers(1, 3),
    more=st.integers(0, 3),
    in_flight=st.integers(1, 3),
    max_retries=st.integers(-1, 2),
    seed=st.integers(0, 10**6),
)
def test_whatever_happens_every_unit_ends_once(smallest, more, in_flight, max_retries, seed):
    """Actors die at any time; blocks of no unit but the first that is not done are taken.

    So a unit other than the first may never end by itself: that is the case that could hang.
    """
    chance = random.Random(seed)
    pool = Pool(PoolLimits(smallest, smallest + more, in_flight, max_retries))
    units = list(range(12))
    coming, ended, failed, begun = list(units), [], [], set()
    starting, living = set(), {}
    deaths = chance.randrange(12)
    now = 0.0
    for _ in range(1000):
        now += chance.choice([0.1, 1.0, 6.0])
        for action in actions(pool, now):
            if isinstance(action, StartActor):
                starting.add(action.actor)
            elif isinstance(action, StopActor):
                assert not living.pop(action.actor)
            elif isinstance(action, Assign):
                living[action.actor].append(action.unit)
            else:
                failed.append(action.unit)
        open_units = [u for u in units if u not in ended and u not in failed]
        if not open_units:
            break
        under_way = [unit for had in living.values() for unit in had]
        # Others may have to wait for the first unit's blocks, so only an actor that starts helps.
        assert starting or open_units[0] in under_way or open_units[0] in coming
        begun &= set(under_way)
        what = chance.choice(["come", "ready", "begin", "end", "die"])
        if what == "come" and coming and len(open_units) - len(coming) < 2 * (smallest + more):
            pool.wanted(coming.pop(0))
        elif what == "ready" and starting:
            actor = chance.choice(sorted(starting))
            starting.remove(actor)
            living[actor] = []
            pool.ready(actor, now)
        elif what == "begin" and any(living.values()):
            had = chance.choice([had for had in living.values() if had])
            unit = next((unit for unit in had if unit not in begun), None)
            if unit is not None:
                begun.add(unit)
                pool.began(unit)
        elif what == "end" and open_units[0] in begun:
            unit = open_units[0]
            next(had for had in living.values() if unit in had).remove(unit)
            pool.ended(unit, now)
            ended.append(unit)
        elif what == "die" and deaths and living:
            deaths -= 1
            actor = chance.choice(sorted(living))
            begun -= set(living[actor])
            assert pool.died(actor) == living.pop(actor)
        pool.check()
    assert sorted(ended + failed) == units
    assert ended == sorted(ended)
    assert max_retries != -1 or not failed
