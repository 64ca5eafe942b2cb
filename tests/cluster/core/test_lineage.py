"""Which tasks run again: ``x1`` is the first result of task x."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from air_cluster.core.lineage import Lineage, Unrecoverable
from air_cluster.protocol.ids import object_id


def task(name: str) -> bytes:
    return name[0].encode().rjust(14, b"_")


def value(name: str) -> bytes:
    return object_id(task(name), int(name[1:]))


def values(names: str) -> list[bytes]:
    return [value(name) for name in names.split()]


class Book:
    """A lineage, by names; checks the invariants after each step."""

    def __init__(self, capacity: int = 100) -> None:
        self.forgotten: list[str] = []
        self.lineage = Lineage(
            capacity, lambda task_id, _: self.forgotten.append(task_id.decode().lstrip("_"))
        )

    def finished(self, results: str, arguments: str = "", living: str | None = None) -> None:
        made = values(results if living is None else living)
        self.lineage.finished(task(results), values(arguments), made, 10)
        self.lineage.check()

    def freed(self, name: str) -> None:
        self.lineage.freed(value(name))
        self.lineage.check()

    def plan(self, name: str, there: Collection[str] = ()) -> str:
        have = {value(other) for other in there}
        found = self.lineage.plan(value(name), have.__contains__)
        return " ".join(task_id.decode().lstrip("_") for task_id in found)


def test_a_lost_result_takes_its_task() -> None:
    book = Book()
    book.finished("a0 a1")
    assert book.plan("a0") == book.plan("a1") == "a"


def test_what_is_there_is_not_made_again() -> None:
    book = Book()
    book.finished("a0")
    book.finished("b0", "a0")
    assert book.plan("b0", there=["a0"]) == "b"
    assert book.plan("b0") == "a b"


def test_arguments_that_were_freed_are_made_again() -> None:
    book = Book()
    book.finished("a0")
    book.finished("b0", "a0")
    book.finished("c0", "b0")
    book.freed("a0")
    book.freed("b0")
    assert book.forgotten == []
    assert book.plan("c0") == "a b c"


def test_a_task_that_two_need_runs_once_and_first() -> None:
    book = Book()
    book.finished("a0 a1")
    book.finished("b0", "a0")
    book.finished("c0", "a1")
    book.finished("d0", "b0 c0")
    assert book.plan("d0") == "a b c d"


def test_a_chain_is_forgotten_with_its_end() -> None:
    book = Book()
    book.finished("a0")
    book.finished("b0", "a0")
    book.finished("c0", "b0")
    for name in ("a0", "b0", "c0"):
        book.freed(name)
    assert book.forgotten == ["c", "b", "a"]
    assert not book.lineage


def test_a_task_whose_results_are_free_already_is_not_remembered() -> None:
    book = Book()
    book.finished("a0", living="")
    assert book.forgotten == ["a"]


def test_what_was_put_cannot_be_made_anew() -> None:
    book = Book()
    book.finished("b0", "a0")
    assert book.plan("b0", there=["a0"]) == "b"
    with pytest.raises(Unrecoverable) as caught:
        book.plan("b0")
    assert caught.value.object_id == value("a0")


def test_the_oldest_is_forgotten_when_there_is_no_room() -> None:
    book = Book(capacity=25)
    book.finished("a0")
    book.finished("b0", "a0")
    book.finished("c0")
    assert book.forgotten == ["a"]
    with pytest.raises(Unrecoverable):
        book.plan("b0")


def test_a_task_that_ran_again_is_remembered_once() -> None:
    book = Book()
    book.finished("a0 a1", living="a0")
    book.finished("a0 a1", living="a1")
    book.freed("a0")
    assert book.forgotten == []
    book.freed("a1")
    assert book.forgotten == ["a"]


def test_a_chain_of_ten_thousand_is_planned_without_recursion() -> None:
    lineage = Lineage(1 << 30, lambda task_id, living: None)
    before: list[bytes] = []
    for number in range(10_000):
        made = object_id(number.to_bytes(14, "big"), 0)
        lineage.finished(made[:14], before, [made], 1)
        before = [made]
    assert len(lineage.plan(before[0], lambda _object_id: False)) == 10_000
    lineage.check()


class LineageMachine(RuleBasedStateMachine):
    """Any order of events keeps the invariants, and plans run what they need first."""

    made = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.lineage = Lineage(60, lambda task_id, living: None)
        self.serial = 0

    @initialize(target=made)
    def first(self) -> bytes:
        return self.finish([], 1)

    @rule(target=made, arguments=st.lists(made, max_size=3), returns=st.integers(1, 2))
    def finish(self, arguments: list[bytes], returns: int) -> bytes:
        self.serial += 1
        task_id = self.serial.to_bytes(14, "big")
        results = [object_id(task_id, index) for index in range(returns)]
        self.lineage.finished(task_id, arguments, results, 7)
        return results[0]

    @rule(result=made)
    def free(self, result: bytes) -> None:
        self.lineage.freed(result)

    @rule(result=made)
    def plan(self, result: bytes) -> None:
        try:
            found = self.lineage.plan(result, lambda _object_id: False)
        except Unrecoverable:
            return
        assert len(set(found)) == len(found)
        assert found[-1] == result[:14]

    @invariant()
    def holds(self) -> None:
        self.lineage.check()


TestLineage = LineageMachine.TestCase
TestLineage.settings = settings(max_examples=50, stateful_step_count=30)
