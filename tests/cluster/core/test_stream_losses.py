"""Which values of a stream are waited for once more."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from air_cluster.core.stream_losses import StreamLosses

TASK = b"task"


def test_what_a_fresh_run_must_make() -> None:
    losses = StreamLosses()
    losses.lost(TASK, 3, runs=False)
    losses.lost(TASK, 7, runs=False)
    assert losses.wants_more(TASK, 0)
    losses.settled(TASK, 3)
    assert losses.wants_more(TASK, 3)
    losses.settled(TASK, 7)
    assert not losses.wants_more(TASK, 7)
    assert losses.ended(TASK) == ([], False)
    assert TASK not in losses


def test_nothing_is_wanted_behind_the_last_one() -> None:
    losses = StreamLosses()
    losses.lost(TASK, 2, runs=True)  # the run is past that already
    assert losses.wants_more(TASK, 1)
    assert not losses.wants_more(TASK, 9)
    assert losses.ended(TASK) == ([], True)
    assert losses.wants_more(TASK, 2)


def test_what_does_not_come_though_it_should() -> None:
    losses = StreamLosses()
    losses.lost(TASK, 5, runs=True)
    assert losses.ended(TASK) == ([], True)
    losses.lost(TASK, 1, runs=True)
    assert losses.ended(TASK) == ([5], True)
    assert losses.ended(TASK) == ([1], False)
    assert losses.ended(TASK) == ([], False)


def test_what_nobody_wants_any_more_is_not_made_for() -> None:
    losses = StreamLosses()
    losses.lost(TASK, 5, runs=False)
    losses.settled(TASK, 5)
    losses.settled(b"other", 5)
    assert not losses.wants_more(TASK, 0)
    assert losses.ended(TASK) == ([], False)


def test_a_task_that_will_not_run() -> None:
    losses = StreamLosses()
    losses.lost(TASK, 5, runs=False)
    losses.lost(TASK, 1, runs=True)
    assert losses.given_up(TASK) == [1, 5]
    assert losses.given_up(TASK) == []
    assert not losses.tasks


class Machine(RuleBasedStateMachine):
    """One stream of ten values; whatever is lost, everything is there or given up in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.losses = StreamLosses()
        self.wanted: set[int] = set()
        self.next: int | None = None  # what the run makes next; None: it does not run

    @rule(index=st.integers(0, 9))
    def lose(self, index: int) -> None:
        self.wanted.add(index)
        self.losses.lost(TASK, index, runs=self.next is not None)
        self.next = self.next or 0

    @rule()
    def make(self) -> None:
        if self.next is None:
            return
        self.wanted.discard(self.next)
        self.losses.settled(TASK, self.next)
        if self.losses.wants_more(TASK, self.next):
            assert self.next < 9
            self.next += 1
        else:
            hopeless, again = self.losses.ended(TASK)
            assert not hopeless
            assert again == bool(self.wanted)
            self.next = 0 if again else None

    @rule()
    def worker_dies(self) -> None:
        if self.next is not None:
            self.next = 0

    @invariant()
    def holds(self) -> None:
        self.losses.check()
        assert (self.next is not None) == (TASK in self.losses)

    def teardown(self) -> None:
        for _ in range(50):
            self.make()
        assert not self.wanted


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, deadline=None)
