"""Whose worker ends when memory runs out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_cluster.core.memory_watch import (
    LATEST_S,
    SETTLE_S,
    SOONEST_S,
    MemoryWatch,
    Usage,
    WatchState,
)

GIB = 1 << 30


def usage(used: float, limit: float = 10.0, what: str = "the machine") -> Usage:
    return Usage(int(used * GIB), int(limit * GIB), what)


@pytest.fixture
def watch() -> MemoryWatch:
    return MemoryWatch("n1")


def test_nothing_happens_below_the_limit(watch: MemoryWatch) -> None:
    assert not watch.is_short([usage(9.4), usage(0.5, 1.0, "the container")], 0.0)
    assert watch.state is WatchState.CALM


def test_the_largest_worker_ends(watch: MemoryWatch) -> None:
    usages = [usage(9.6)]
    assert watch.is_short(usages, 0.0)
    victim = watch.choose(usages, [("a", 2 * GIB), ("b", 4 * GIB), ("c", 1 * GIB)], 0.0)
    assert victim is not None
    assert victim.worker == "b"
    assert not victim.is_hopeless
    assert "node n1" in victim.why
    assert "4.0 GiB" in victim.why
    assert "the machine had 9.6 GiB of 10.0 GiB in use" in victim.why


def test_of_equals_the_one_that_was_started_last(watch: MemoryWatch) -> None:
    victim = watch.choose([usage(9.6)], [("w2", GIB), ("w1", GIB)], 0.0)
    assert victim is not None
    assert victim.worker == "w2"


def test_one_that_used_more_than_half_would_do_so_again(watch: MemoryWatch) -> None:
    victim = watch.choose([usage(9.6)], [("a", 6 * GIB)], 0.0)
    assert victim is not None
    assert victim.is_hopeless


def test_the_limit_that_is_nearest_is_named(watch: MemoryWatch) -> None:
    usages = [usage(9.6), usage(1.0, 1.0, "the container")]
    victim = watch.choose(usages, [("a", GIB // 2)], 0.0)
    assert victim is not None
    assert "the container had 1.0 GiB of 1.0 GiB in use" in victim.why


def test_nobody_ends_for_other_programs(watch: MemoryWatch) -> None:
    usages = [usage(9.9)]
    assert watch.is_short(usages, 0.0)
    assert watch.choose(usages, [("a", GIB // 4)], 0.0) is None
    assert watch.choose(usages, [], 0.0) is None
    assert watch.state is WatchState.CALM


def test_one_after_the_other(watch: MemoryWatch) -> None:
    usages, workers = [usage(9.6)], [("a", 3 * GIB), ("b", 2 * GIB)]
    watch.choose(usages, workers, 10.0)
    assert watch.state is WatchState.ENDING
    assert not watch.is_short(usages, 10.1)  # its memory is not free yet
    watch.ended("b")  # another one
    assert not watch.is_short(usages, 10.2)
    watch.ended("a")
    assert watch.state is WatchState.CALM
    assert watch.is_short(usages, 10.3)


def test_one_that_does_not_end_is_not_waited_for(watch: MemoryWatch) -> None:
    usages = [usage(9.6)]
    watch.choose(usages, [("a", 3 * GIB)], 10.0)
    assert watch.is_short(usages, 10.0 + SETTLE_S)


@given(st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(1, 1 << 40)), max_size=3))
def test_looks_come_often_enough(sizes: list[tuple[int, int]]) -> None:
    usages = [Usage(used, limit, "x") for used, limit in sizes]
    wait = MemoryWatch.next_look(usages)
    assert SOONEST_S <= wait <= LATEST_S
    assert wait == LATEST_S or any(u.headroom < 8 * GIB for u in usages)


def test_calm_machines_are_looked_at_seldom() -> None:
    assert MemoryWatch.next_look([usage(1.0, 24.0)]) == LATEST_S
    assert MemoryWatch.next_look([usage(9.4)]) == SOONEST_S
    assert MemoryWatch.next_look([]) == LATEST_S
