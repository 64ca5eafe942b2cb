"""Scenarios of the scheduler as transcripts, and random ones that must keep its promises."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air.data.execution.expectations import Item, StageLimits
from air.data.execution.scheduling import Launch, Scheduler


class Segment:
    """A scheduler with sizes of input and a log of what it decided."""

    def __init__(self, *limits: StageLimits, budget: int = 1000, unknown: int = 100) -> None:
        self.scheduler = Scheduler(limits, budget_bytes=budget, unknown_bytes=unknown)
        self.next_key = 0

    def give(self, size: int | None = 10, rows: int | None = 1) -> int:
        key = self.next_key
        self.next_key += 1
        self.scheduler.input_arrived(Item(key, rows, size))
        return key

    def block(self, task: int, size: int = 10, rows: int = 1) -> int:
        key = self.next_key
        self.next_key += 1
        self.scheduler.block_arrived(task, Item(key, rows, size))
        return key

    def done(self, task: int, *sizes: int) -> list[int]:
        """The task gives blocks of these sizes and ends."""
        keys = [self.block(task, size) for size in sizes]
        self.scheduler.task_ended(task)
        return keys

    def launches(self) -> list[tuple[int, int]]:
        """(task, stage) of all that starts now."""
        started = []
        while launch := self.scheduler.next_launch():
            started.append((launch.task, launch.stage))
        self.scheduler.check()
        return started

    def outputs(self) -> list[int]:
        """All output that is there, taken and used up."""
        taken = []
        while (key := self.scheduler.next_output()) is not None:
            taken.append(key)
            self.scheduler.output_taken(key)
        self.scheduler.check()
        return taken


def test_units_become_tasks_up_to_the_limit_of_their_stage():
    segment = Segment(StageLimits(2))
    for _ in range(3):
        segment.give()
    assert segment.launches() == [(0, 0), (1, 0)]
    segment.done(0, 10)
    assert segment.launches() == [(2, 0)]


def test_segments_that_run_at_the_same_time_share_a_budget():
    before = Scheduler([StageLimits(4)], budget_bytes=100, unknown_bytes=10)
    after = Scheduler(
        [StageLimits(4)], budget_bytes=100, unknown_bytes=10, elsewhere=lambda: before.held
    )
    for key in range(2):
        before.input_arrived(Item(key, 1, 40))
        after.input_arrived(Item(key, 1, 40))
    assert before.next_launch() is not None
    assert before.next_launch() is not None
    assert after.next_launch() is not None  # whoever has nothing else to do gets one
    assert after.next_launch() is None
    before.task_ended(0)
    before.task_ended(1)
    assert after.next_launch() is not None


def test_output_keeps_the_order_of_the_input():
    segment = Segment(StageLimits(3))
    for _ in range(3):
        segment.give()
    segment.launches()
    late = segment.done(1, 10, 10)
    assert segment.outputs() == []
    first = segment.done(0, 10)
    assert segment.outputs() == [*first, *late]
    last = segment.done(2, 10)
    assert segment.outputs() == last


def test_blocks_of_the_first_task_come_out_before_it_ends():
    segment = Segment(StageLimits(2))
    segment.give()
    segment.give()
    segment.launches()
    key = segment.block(0)
    segment.block(1)
    assert segment.outputs() == [key]


def test_a_task_may_give_nothing():
    segment = Segment(StageLimits(2))
    segment.give()
    segment.give()
    segment.launches()
    segment.done(0)
    key = segment.done(1, 10)
    assert segment.outputs() == key


def test_later_stages_go_first():
    segment = Segment(StageLimits(1), StageLimits(1))
    for _ in range(2):
        segment.give()
    assert segment.launches() == [(0, 0)]
    segment.done(0, 10)
    assert segment.launches() == [(1, 1), (2, 0)]


def test_nothing_is_done_until_everything_is_out():
    segment = Segment(StageLimits(1))
    assert segment.scheduler.wants_input()
    segment.give()
    segment.launches()
    segment.scheduler.input_ended()
    assert not segment.scheduler.is_done
    (key,) = segment.done(0, 10)
    assert not segment.scheduler.is_done
    assert segment.outputs() == [key]
    assert segment.scheduler.is_done
    assert segment.scheduler.held == 0


def test_input_is_wanted_only_when_it_could_start():
    segment = Segment(StageLimits(1))
    assert segment.scheduler.wants_input()
    segment.give()
    assert not segment.scheduler.wants_input()
    segment.launches()
    assert not segment.scheduler.wants_input()
    segment.done(0, 10)
    assert segment.scheduler.wants_input()


def test_the_budget_holds_back_what_does_not_fit():
    segment = Segment(StageLimits(8), budget=25)
    for _ in range(4):
        segment.give(size=10)
    assert segment.launches() == [(0, 0), (1, 0)]
    segment.done(0, 10)
    assert segment.launches() == []  # 10 given, 10 expected, 10 more would be too much
    segment.outputs()
    assert segment.launches() == [(2, 0)]


def test_what_tasks_gave_tells_what_others_will_give():
    segment = Segment(StageLimits(8), budget=100)
    segment.give(size=10)
    segment.launches()
    segment.done(0, 90)  # nine times its input
    segment.outputs()
    segment.give(size=10)
    segment.give(size=10)
    assert segment.launches() == [(1, 0)]


def test_input_of_unknown_size_is_reckoned_with_too():
    segment = Segment(StageLimits(8), budget=100, unknown=60)
    segment.give(size=None)
    segment.give(size=None)
    assert segment.launches() == [(0, 0)]
    segment.done(0, 20)
    assert segment.launches() == [(1, 0)]


def test_one_task_runs_even_if_it_is_larger_than_the_budget():
    segment = Segment(StageLimits(8), budget=5)
    segment.give(size=10)
    segment.give(size=10)
    assert segment.launches() == [(0, 0)]
    segment.done(0, 10)
    assert segment.launches() == []  # the output can be taken: that is progress
    segment.outputs()
    assert segment.launches() == [(1, 0)]


def test_a_block_counts_until_its_taker_is_done_with_it():
    segment = Segment(StageLimits(1), budget=10)
    segment.give(size=10)
    segment.launches()
    segment.done(0, 10)
    segment.give(size=10)
    key = segment.scheduler.next_output()
    assert segment.launches() == []
    segment.scheduler.output_taken(key)
    assert segment.launches() == [(1, 0)]


def test_later_stages_are_charged_only_for_what_they_add():
    segment = Segment(StageLimits(2), StageLimits(2), budget=20)
    segment.give(size=10)
    segment.give(size=10)
    segment.launches()
    segment.done(0, 10)
    assert segment.launches() == [(2, 1)]  # the budget is used up, but this makes no more of it


def test_blocks_are_put_together_for_a_stage_that_wants_rows():
    segment = Segment(StageLimits(4), StageLimits(4, min_rows=3))
    for _ in range(4):
        segment.give()
    segment.launches()
    keys = [segment.block(task) for task in (0, 1)]
    segment.scheduler.task_ended(0)
    segment.scheduler.task_ended(1)
    assert segment.launches() == []
    keys += segment.done(2, 10)
    assert segment.scheduler.next_launch() == Launch(4, 1, tuple(keys))
    last = segment.done(3, 10)
    assert segment.launches() == []  # more might come
    segment.scheduler.input_ended()
    assert segment.scheduler.next_launch() == Launch(5, 1, tuple(last))


@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0, 0, 3])), min_size=1, max_size=3),
    st.integers(0, 12),
    st.integers(1, 200),
    st.sets(st.integers(0, 20), max_size=2),
    st.randoms(use_true_random=False),
)
def test_any_order_of_events_keeps_the_promises(
    limits, num_units, budget, failing, rng: random.Random
):
    """Everything comes out once and in order, and the machine never stops half-way.

    An item's payload is the list of the units it is made from; a task gives its input's list,
    in one piece or cut into several. A task that comes to a failing unit fails: all units
    before the first of these come out.
    """
    stages = [
        StageLimits(n, rows if position else 0, rng.choice([5, 1000]))
        for position, (n, rows) in enumerate(limits)
    ]
    scheduler = Scheduler(stages, budget_bytes=budget, unknown_bytes=20)
    payload: dict[int, list[int]] = {}
    running: dict[int, list[list[int]]] = {}
    out: list[int] = []
    given = 0

    def item(content: list[int], size: int | None) -> Item:
        key = len(payload)
        payload[key] = content
        return Item(key, len(content), size, rng.choice([0, 10, 300]))

    while not scheduler.is_done:
        moves = []
        if scheduler.wants_input():
            moves.append("input")
        moves += [("block", task) for task in running if scheduler.takes_from(task)]
        launch = scheduler.next_launch()
        if launch is not None:
            content = [unit for key in launch.keys for unit in payload[key]]
            cut = rng.randrange(len(content) + 1)
            running[launch.task] = [part for part in (content[:cut], content[cut:]) if part]
            scheduler.check()
            continue
        key = scheduler.next_output()
        if key is not None:
            out += payload[key]
            if rng.random() < 0.8:
                scheduler.output_taken(key)
            else:  # the taker keeps it while other things happen
                moves = [("block", task) for task in running if scheduler.takes_from(task)]
                if moves:
                    _step(rng.choice(moves), scheduler, running, failing, item, rng)
                scheduler.output_taken(key)
            scheduler.check()
            continue
        assert moves, "nothing runs, nothing waits, and nothing is wanted"
        assert not running or scheduler.awaited in running
        move = rng.choice(moves)
        if move != "input":
            _step(move, scheduler, running, failing, item, rng)
        elif given == num_units:
            scheduler.input_ended()
        else:
            scheduler.input_arrived(item([given], rng.choice([None, 5, 30])))
            given += 1
        scheduler.check()
    assert out == list(range(min({num_units, *failing})))
    assert scheduler.held == 0


def _step(move, scheduler, running, failing, item, rng):
    _, task = move
    if running[task] and failing.intersection(running[task][0]):
        del running[task]
        for other in scheduler.task_failed(task):
            del running[other]
    elif running[task]:
        scheduler.block_arrived(task, item(running[task].pop(0), rng.randrange(1, 60)))
    else:
        del running[task]
        scheduler.task_ended(task)


def test_what_tasks_take_to_work_counts_while_they_run():
    segment = Segment(StageLimits(4), budget=100)
    for key in range(3):
        segment.scheduler.input_arrived(Item(key, 1, 10, work=40))
        segment.next_key += 1
    assert segment.launches() == [(0, 0), (1, 0)]
    assert segment.scheduler.held == 100
    segment.done(0, 10)
    assert segment.launches() == []  # what is there has not been taken yet
    segment.outputs()
    assert segment.launches() == [(2, 0)]


def test_no_more_is_set_aside_for_a_task_than_its_stage_allows():
    segment = Segment(StageLimits(4, most_expected=20), budget=100)
    for _ in range(6):
        segment.give(size=1000)
    assert [task for task, _ in segment.launches()] == [0, 1, 2, 3]
    assert segment.scheduler.held == 80
    segment.block(1, 60)  # more than was set aside: the task behind keeps the rest
    assert segment.scheduler.held == 120
    assert not segment.scheduler.takes_from(1)
    assert segment.scheduler.takes_from(0)


def test_check_notices_a_broken_account():
    segment = Segment(StageLimits(1))
    segment.scheduler.held += 1
    with pytest.raises(AssertionError):
        segment.scheduler.check()


def test_what_comes_before_a_failure_is_still_given_out():
    segment = Segment(StageLimits(4), StageLimits(2))
    for _ in range(5):
        segment.give()
    assert segment.launches() == [(0, 0), (1, 0), (2, 0), (3, 0)]
    segment.done(1, 10)
    segment.done(3, 10)
    assert segment.scheduler.task_failed(2) == []
    assert segment.launches() == []
    assert not segment.scheduler.is_done
    segment.done(0, 10)
    assert segment.launches() == [(4, 1), (5, 1)]
    first, second = segment.done(4, 10), segment.done(5, 10)
    assert segment.outputs() == [*first, *second]
    assert segment.scheduler.is_done
    assert segment.scheduler.held == 0


def test_a_failure_ends_what_comes_after_it_in_every_stage():
    segment = Segment(StageLimits(3), StageLimits(2))
    for _ in range(4):
        segment.give()
    segment.launches()
    segment.done(0, 10)
    segment.done(1, 10)
    assert segment.launches() == [(3, 1), (4, 1), (5, 0)]
    segment.block(3, 5)
    # Task 4 comes after it in its stage; tasks 2 and 5 of the stage before give more of the same.
    assert sorted(segment.scheduler.task_failed(3)) == [2, 4, 5]
    assert segment.launches() == []
    assert not segment.scheduler.wants_input()
    assert len(segment.outputs()) == 1
    assert segment.scheduler.is_done
    assert segment.scheduler.held == 0


def test_an_earlier_failure_replaces_a_later_one():
    segment = Segment(StageLimits(3))
    for _ in range(3):
        segment.give()
    segment.launches()
    assert segment.scheduler.task_failed(2) == []
    assert segment.scheduler.task_failed(0) == [1]
    assert segment.scheduler.is_done


def test_over_the_budget_blocks_are_left_with_their_tasks():
    segment = Segment(StageLimits(2), budget=100)
    segment.give(40)
    segment.give(40)
    segment.launches()
    segment.block(0, 110)  # more than expected
    # There is something to give out first; then the first task may go on, the other has to wait.
    assert not segment.scheduler.takes_from(0)
    taken = segment.scheduler.next_output()
    segment.block(1, 110)
    assert segment.scheduler.takes_from(0)
    assert not segment.scheduler.takes_from(1)
    segment.scheduler.output_taken(taken)
    segment.scheduler.task_ended(0)
    assert not segment.scheduler.takes_from(1)
    segment.outputs()
    assert segment.scheduler.takes_from(1)


def test_over_the_budget_one_task_is_waited_for_whatever_happens():
    segment = Segment(StageLimits(2), StageLimits(1, min_rows=2), budget=10)
    for _ in range(2):
        segment.give(size=5)
    segment.launches()
    assert segment.scheduler.awaited == 0
    segment.block(1, 50)
    assert [segment.scheduler.takes_from(task) for task in (0, 1)] == [True, False]
    segment.done(0, 50)
    assert segment.scheduler.awaited is None  # there is something to start
    assert segment.launches() == [(2, 1)]
    assert segment.scheduler.awaited == 2
    segment.scheduler.task_failed(2)  # nothing comes after it
    assert segment.scheduler.awaited is None
    assert segment.scheduler.is_done


def test_over_the_budget_a_later_stage_goes_first():
    segment = Segment(StageLimits(1), StageLimits(1), budget=50)
    segment.give(40)
    segment.launches()
    segment.block(0, 60)
    # It may not be admitted by its size, but there is nothing else to do with the block.
    assert segment.launches() == [(1, 1)]
    assert not segment.scheduler.takes_from(0)
    assert segment.scheduler.takes_from(1)
    segment.done(1, 60)
    assert not segment.scheduler.takes_from(0)
    segment.outputs()
    assert segment.scheduler.takes_from(0)
