from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from air_cluster.store.arena import ALIGNMENT, Arena

SIZE = 64 * ALIGNMENT


class ArenaAgainstAList(RuleBasedStateMachine):
    """The arena must find room exactly when a walk over all gaps does."""

    def __init__(self) -> None:
        super().__init__()
        self.arena = Arena(SIZE)
        self.live: dict[int, int] = {}
        self.withdrawn: dict[int, int] = {}
        self.size = SIZE

    def gaps(self, end: int) -> list[int]:
        position, sizes = 0, []
        taken = {**self.live, **self.withdrawn}
        for start, size in [*sorted(taken.items()), (end, 0)]:
            sizes.append(max(min(start, end) - position, 0))
            position = start + size
        return sizes

    @rule(nbytes=st.one_of(st.integers(0, SIZE + 1), st.integers(0, 6 * ALIGNMENT)))
    def allocate(self, nbytes: int) -> None:
        size = max(-(-nbytes // ALIGNMENT), 1) * ALIGNMENT
        touched = self.arena.touched
        has_warm = max(self.gaps(touched)) >= size
        offset = self.arena.allocate(nbytes)
        assert (offset is not None) == (max(self.gaps(self.size)) >= size)
        if offset is not None:
            assert offset % ALIGNMENT == 0
            assert offset + size <= self.size
            others = [*self.live.items(), *self.withdrawn.items()]
            assert all(offset + size <= start or start + n <= offset for start, n in others)
            self.live[offset] = size
        assert (self.arena.touched == touched) == (has_warm or offset is None)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.live)))
        del self.live[offset]
        self.arena.free(offset)

    @rule(offset=st.integers(-1, SIZE))
    def free_what_is_not_taken(self, offset: int) -> None:
        if offset not in self.live:
            with pytest.raises(ValueError, match=f"offset {offset}"):
                self.arena.free(offset)

    @precondition(lambda self: len(self.withdrawn) < 3)
    @rule(unit=st.sampled_from([ALIGNMENT, 2 * ALIGNMENT, 8 * ALIGNMENT]))
    def withdraw(self, unit: int) -> None:
        taken = sorted({**self.live, **self.withdrawn}.items())
        gaps = [*self.gaps(self.arena.touched)]
        starts = [0, *(start + size for start, size in taken)]
        expected = []
        for start, size in zip(starts, gaps, strict=True):
            first, last = -(-start // unit) * unit, (start + size) // unit * unit
            if first < last:
                expected.append((first, last - first))
        assert self.arena.withdraw(unit) == expected
        self.withdrawn.update(expected)
        self.size = self.arena.size
        assert self.arena.touched <= self.size < self.arena.touched + unit
        assert self.arena.withdrawn == SIZE - self.size + sum(self.withdrawn.values())

    @invariant()
    def agrees(self) -> None:
        self.arena.check()
        assert self.arena.used == sum(self.live.values())
        assert self.arena.largest_free == max(self.gaps(self.size))


TestArenaAgainstAList = ArenaAgainstAList.TestCase
TestArenaAgainstAList.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, derandomize=True
)


def test_what_was_freed_is_used_before_fresh_memory() -> None:
    arena = Arena(1 << 20)
    first, second, third = (arena.allocate(1000) for _ in range(3))
    assert second is not None
    arena.free(second)
    assert arena.allocate(900) == second
    assert (first, third) == (0, 2048)
    assert arena.touched == 3072


def test_a_free_end_grows_into_fresh_memory() -> None:
    arena = Arena(1 << 20)
    offset = arena.allocate(1000)
    assert offset == 0
    arena.free(offset)
    assert arena.allocate(5000) == 0


def test_a_whole_arena_can_be_taken_again_after_any_order_of_frees() -> None:
    arena = Arena(1 << 20)
    chance = random.Random(0)
    for _ in range(3):
        offsets = []
        while (offset := arena.allocate(chance.randrange(20_000))) is not None:
            offsets.append(offset)
        chance.shuffle(offsets)
        for offset in offsets:
            arena.free(offset)
        assert arena.used == 0
        assert arena.largest_free == 1 << 20
    arena.check()
    assert arena.allocate(1 << 20) == 0


def test_stale_entries_do_not_pile_up() -> None:
    """The bins of many objects stay about as long as there are free ranges: check() counts."""
    arena = Arena(20_000 * 640)
    chance = random.Random(1)
    live = [arena.allocate(chance.randrange(64, 640)) for _ in range(20_000)]
    for _ in range(40_000):
        index = chance.randrange(len(live))
        old = live[index]
        assert old is not None
        arena.free(old)
        live[index] = arena.allocate(chance.randrange(64, 640))
    arena.check()


@pytest.mark.parametrize("size", [-1, 0, 63])
def test_an_arena_too_small_for_one_range_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"got {size}"):
        Arena(size)


def test_a_tail_below_a_cache_line_is_not_used() -> None:
    assert Arena(200).size == 192


def test_a_negative_request_is_refused() -> None:
    with pytest.raises(ValueError, match="-5 bytes"):
        Arena(64).allocate(-5)


def test_what_is_withdrawn_is_never_handed_out_again() -> None:
    arena = Arena(10_000)
    for _ in range(6):
        assert arena.allocate(1000) is not None  # of 1024 bytes, each
    arena.free(1024)
    arena.free(2048)
    arena.free(4096)
    assert arena.withdraw(512) == [(1024, 2048), (4096, 1024)]
    arena.check()
    assert arena.size == arena.touched == 6 * 1024
    assert arena.withdrawn == (9984 - 6 * 1024) + 3 * 1024
    assert arena.used == 3 * 1024
    assert arena.largest_free == 0
    assert arena.allocate(64) is None
    arena.free(0)
    arena.free(3072)
    arena.check()
    assert arena.largest_free == 1024
    assert arena.allocate(1024) == 0
    assert arena.withdraw(512) == [(3072, 1024)]


def test_only_whole_units_are_withdrawn() -> None:
    arena = Arena(8192)
    first = [arena.allocate(1000) for _ in range(5)]
    for offset in first[1:4]:
        assert offset is not None
        arena.free(offset)
    # 1024 to 4096 is free: of pages of 2048 that is the second one and half of the first.
    assert arena.withdraw(2048) == [(2048, 2048)]
    arena.check()
    assert arena.size == 6144
    assert arena.allocate(1024) == 1024
    assert arena.allocate(1024) == 5120
    assert arena.allocate(64) is None
    arena.check()


def test_nothing_is_withdrawn_twice() -> None:
    arena = Arena(4096)
    arena.allocate(4096)
    assert arena.withdraw(64) == []
    assert arena.withdrawn == 0
    arena.free(0)
    assert arena.withdraw(64) == [(0, 4096)]
    assert arena.withdraw(64) == []
    assert arena.withdrawn == 4096
    arena.check()
