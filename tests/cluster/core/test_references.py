"""Who keeps a value alive, one paragraph of the protocol after the other.

Processes are A, B and C; ``A1`` is the first value of A. Instructions read ``free A1``,
``register A1 with A (7)`` (7 is the token) and ``unregister A1 with A``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import pytest

from air_cluster.core.references import Entry, Free, Instruction, References, Register

A, B, C = (name * 8 for name in (b"A", b"B", b"C"))


def value(name: str) -> bytes:
    """``A1``: the first value of process A."""
    return name[0].encode() * 8 + int(name[1:]).to_bytes(10, "big")


def values(names: str) -> list[bytes]:
    return [value(name) for name in names.split()]


def name_of(identity: bytes) -> str:
    return f"{identity[:1].decode()}{int.from_bytes(identity[8:], 'big')}"


def said(instructions: Iterable[Instruction]) -> str:
    """What the reference counts ask for, readably."""
    parts = []
    for instruction in instructions:
        if isinstance(instruction, Free):
            parts.append(f"free {name_of(instruction.entry.id)}")
            continue
        assert instruction.address == f"at {instruction.owner[:1].decode()}"
        owner = instruction.owner[:1].decode()
        if isinstance(instruction, Register):
            names = " ".join(map(name_of, instruction.object_ids))
            parts.append(f"register {names} with {owner} ({instruction.token})")
        else:
            parts.append(f"unregister {name_of(instruction.object_id)} with {owner}")
    return "; ".join(parts)


class Process:
    """A process's references, by name; checks the invariants after each step."""

    def __init__(self, identity: bytes = A) -> None:
        self.references = References(identity)

    def own(self, name: str, contains: str = "") -> Entry:
        """A value with one local reference."""
        entry = self.references.own(value(name))
        entry.local = 1
        self.references.contain(entry, values(contains))
        return entry

    def borrow(self, *names: str) -> None:
        for name in names:
            self.references.borrow(value(name), f"at {name[0]}")
        self.references.check()

    def drop(self, name: str) -> str:
        return self.check(self.references.drop_local(value(name)))

    def hold(self, names: str) -> None:
        self.references.hold(values(names))

    def unhold(self, names: str) -> str:
        return self.check(self.references.unhold(values(names)))

    def settle(self, caller: bytes) -> tuple[str, set[int]]:
        out, tokens = self.references.settle(caller)
        return self.check(out), tokens

    def register(self, names: str, guard: str | None) -> str:
        inside = None if guard is None else value(guard)
        return self.check(self.references.register(values(names), inside))

    def acknowledged(self, token: int) -> str:
        return self.check(self.references.acknowledged(token))

    def lend(self, borrower: bytes, names: str) -> None:
        self.references.lend(borrower, values(names))
        self.references.check()

    def give_back(self, borrower: bytes, names: str) -> str:
        return self.check(self.references.give_back(borrower, values(names)))

    def check(self, instructions: Iterable[Instruction]) -> str:
        self.references.check()
        return said(instructions)

    @property
    def has(self) -> str:
        return " ".join(sorted(map(name_of, self.references.entries)))

    @property
    def is_empty(self) -> bool:
        r = self.references
        return not (r.entries or r._fresh or r._waiting or r._unconfirmed or r._lent)


@pytest.fixture
def process() -> Process:
    return Process(A)


# Owned values -----------------------------------------------------------------------------


def test_a_value_goes_with_its_last_local_reference(process: Process) -> None:
    process.own("A1").local = 2
    assert process.drop("A1") == ""
    assert process.drop("A1") == "free A1"
    assert process.drop("A1") == ""
    assert process.is_empty


def test_many_local_references_are_counted_off_at_once(process: Process) -> None:
    for name in ("A1", "A2", "A3"):
        process.own(name)
    process.references.hold([value("A2")])
    process.references.get(value("A3")).local += 1  # type: ignore[union-attr]
    dropped = deque(values("A3 A1 A2 A9 A3"))
    assert said(process.references.drop_all(dropped)) == "free A1; free A3"
    process.references.check()
    assert not dropped
    assert process.references.get(value("A2"))


def test_a_task_in_flight_keeps_its_arguments(process: Process) -> None:
    process.own("A1")
    process.hold("A1")
    process.hold("A1")
    assert process.drop("A1") == ""
    assert process.unhold("A1") == ""
    assert process.unhold("A1") == "free A1"
    assert process.unhold("A1") == ""


def test_a_value_keeps_what_it_contains(process: Process) -> None:
    process.own("A1")
    process.own("A2")
    process.own("A3", contains="A1 A2")
    assert process.drop("A1") == ""
    assert process.drop("A3") == "free A3; free A1"
    assert process.drop("A2") == "free A2"


def test_a_value_may_contain_another_twice(process: Process) -> None:
    process.own("A1")
    process.own("A2", contains="A1 A1")
    process.drop("A1")
    assert process.drop("A2") == "free A2; free A1"


def test_a_long_chain_of_values_is_freed_at_once(process: Process) -> None:
    process.own("A1")
    for number in range(2, 5000):
        process.own(f"A{number}", contains=f"A{number - 1}")
        process.references.drop_local(value(f"A{number - 1}"))
    assert len(process.references.entries) == 4999
    freed = process.references.drop_local(value("A4999"))
    assert [name_of(step.entry.id) for step in freed if isinstance(step, Free)] == [
        f"A{number}" for number in range(4999, 0, -1)
    ]
    assert process.is_empty


def test_the_content_is_told_when_freed(process: Process) -> None:
    process.own("A1").content = "content"
    [instruction] = process.references.drop_local(value("A1"))
    assert isinstance(instruction, Free)
    assert instruction.entry.content == "content"


# Lending, the owner's side ----------------------------------------------------------------


def test_a_borrower_keeps_a_value(process: Process) -> None:
    process.own("A1")
    process.lend(B, "A1")
    process.lend(B, "A1")  # said twice, counts once
    process.lend(C, "A1")
    assert process.references.lends
    assert process.drop("A1") == ""
    assert process.give_back(B, "A1") == ""
    assert process.give_back(C, "A1") == "free A1"
    assert not process.references.lends
    assert process.is_empty


def test_what_is_not_there_cannot_be_lent(process: Process) -> None:
    process.lend(B, "A1")
    assert process.give_back(B, "A1") == ""
    assert process.is_empty


def test_what_was_never_lent_cannot_be_given_back(process: Process) -> None:
    process.own("A1")
    process.lend(C, "A1")
    process.drop("A1")
    assert process.give_back(B, "A1") == ""
    assert process.has == "A1"


def test_a_process_does_not_lend_to_itself(process: Process) -> None:
    process.own("A1")
    process.lend(A, "A1")
    assert process.drop("A1") == "free A1"


# Borrowing through the arguments of a task --------------------------------------------------


def test_what_a_task_lets_go_of_is_never_registered(process: Process) -> None:
    process.borrow("B1", "B1")
    assert process.drop("B1") == ""
    assert process.drop("B1") == "free B1"
    assert process.settle(B) == ("", set())
    assert process.is_empty


def test_what_a_task_keeps_of_its_callers_is_registered_ahead_of_the_report(
    process: Process,
) -> None:
    process.borrow("B1", "B2")
    assert process.settle(B) == ("register B1 B2 with B (0)", set())
    assert process.settle(B) == ("", set())
    assert process.drop("B1") == "free B1; unregister B1 with B"


def test_what_a_task_keeps_of_others_is_waited_for(process: Process) -> None:
    process.borrow("B1", "C1", "C2")
    registered = "register B1 with B (0); register C1 C2 with C (1)"
    assert process.settle(B) == (registered, {1})
    assert process.acknowledged(1) == ""
    assert process.drop("C1") == "free C1; unregister C1 with C"


def test_what_a_task_passes_on_is_kept(process: Process) -> None:
    process.borrow("C1")
    process.hold("C1")  # a task of its own has it as an argument
    assert process.drop("C1") == ""
    assert process.settle(B) == ("register C1 with C (1)", {1})
    process.acknowledged(1)
    assert process.unhold("C1") == "free C1; unregister C1 with C"
    assert process.is_empty


def test_a_reference_dropped_before_the_acknowledgement(process: Process) -> None:
    process.borrow("C1")
    process.settle(B)
    assert process.drop("C1") == "free C1; unregister C1 with C"
    assert process.acknowledged(1) == ""
    assert process.is_empty


def test_a_reference_that_comes_back_before_the_acknowledgement(process: Process) -> None:
    process.borrow("C1")
    process.settle(B)
    process.drop("C1")
    process.borrow("C1")
    assert process.acknowledged(1) == ""  # of the registration that was withdrawn
    assert process.settle(B) == ("register C1 with C (2)", {2})
    assert process.acknowledged(1) == ""
    assert process.acknowledged(2) == ""


def test_two_tasks_at_a_time_both_wait_for_what_either_settled(process: Process) -> None:
    """The second's caller would let go of C1 before its owner knows of us."""
    process.borrow("C1")
    assert process.settle(B) == ("register C1 with C (1)", {1})
    assert process.settle(B) == ("register C1 with C (2)", {2})
    process.acknowledged(1)
    assert process.settle(B) == ("register C1 with C (3)", {3})
    process.acknowledged(2)
    process.acknowledged(3)
    assert process.settle(B) == ("", set())


def test_what_was_settled_with_one_caller_is_waited_for_by_tasks_of_another(
    process: Process,
) -> None:
    process.borrow("B1")
    assert process.settle(B) == ("register B1 with B (0)", set())
    assert process.settle(C) == ("register B1 with B (1)", {1})
    assert process.settle(B) == ("", set())
    process.acknowledged(1)
    assert process.settle(C) == ("", set())
    assert process.drop("B1") == "free B1; unregister B1 with B"
    assert process.is_empty


# Borrowing through values -----------------------------------------------------------------


def test_the_outer_value_is_held_until_the_owner_of_the_inner_one_knows(
    process: Process,
) -> None:
    process.own("A1")  # contains B1 and C1, as its content says
    process.borrow("B1", "C1")
    assert process.register("B1 C1", "A1") == "register B1 with B (1); register C1 with C (2)"
    assert process.drop("A1") == ""
    assert process.acknowledged(1) == ""
    assert process.acknowledged(2) == "free A1"
    assert process.acknowledged(2) == ""


def test_an_outer_value_of_another_process(process: Process) -> None:
    process.borrow("B1")
    process.register("B1", None)
    process.acknowledged(1)
    process.borrow("C1")
    assert process.register("C1", "B1") == "register C1 with C (2)"
    assert process.drop("B1") == ""
    assert process.drop("C1") == "free C1; unregister C1 with C"
    assert process.acknowledged(2) == "free B1; unregister B1 with B"
    assert process.is_empty


def test_what_is_known_already_is_not_registered_again(process: Process) -> None:
    process.own("A1")
    process.own("A2")
    process.borrow("B1")
    assert process.register("B1 B1 A2", "A1") == "register B1 with B (1)"
    process.acknowledged(1)
    process.borrow("B1")
    assert process.register("B1", "A1") == ""
    assert process.drop("A1") == "free A1"


def test_what_was_dropped_at_once_is_not_registered(process: Process) -> None:
    process.own("A1")
    process.borrow("B1")
    process.drop("B1")
    assert process.register("B1", "A1") == ""
    assert process.drop("A1") == "free A1"


def test_an_outer_value_that_is_gone_guards_nothing(process: Process) -> None:
    process.borrow("B1")
    assert process.register("B1", "A1") == "register B1 with B (1)"
    assert process.acknowledged(1) == ""


def test_the_outer_value_is_held_too_if_another_thread_settled_the_inner_one(
    process: Process,
) -> None:
    process.own("A1")
    process.borrow("B1")
    process.settle(C)  # a task that ends at that very moment
    assert process.register("B1", "A1") == ""
    assert process.drop("A1") == ""
    assert process.acknowledged(1) == "free A1"


# Processes that die -----------------------------------------------------------------------


def gone(process: Process, other: bytes) -> tuple[str, list[int], str]:
    lost, tokens, out = process.references.process_gone(other)
    return " ".join(name_of(entry.id) for entry in lost), tokens, process.check(out)


def test_a_dead_borrower_keeps_nothing(process: Process) -> None:
    process.own("A1")
    process.own("A2")
    process.own("A3")
    process.lend(B, "A1 A2")
    process.lend(C, "A2")
    for name in ("A1", "A2", "A3"):
        process.drop(name)
    assert gone(process, B) == ("", [], "free A1")
    assert process.has == "A2"
    assert gone(process, B) == ("", [], "")


def test_what_a_dead_borrower_said_before_its_death_is_ignored(process: Process) -> None:
    process.own("A1")
    gone(process, B)
    process.lend(B, "A1")
    assert process.drop("A1") == "free A1"
    assert process.is_empty


def test_values_of_a_dead_owner_are_lost(process: Process) -> None:
    process.borrow("B1", "B2", "C1")
    process.register("B1 C1", None)
    assert gone(process, B) == ("B1 B2", [1], "")
    assert process.has == "B1 B2 C1"
    assert process.acknowledged(1) == ""
    assert process.drop("B2") == "free B2"


def test_a_dead_owner_will_not_acknowledge(process: Process) -> None:
    process.own("A1")
    process.borrow("B1")
    process.register("B1", "A1")
    process.drop("A1")
    _, [token], _ = gone(process, B)
    assert process.acknowledged(token) == "free A1"
    assert process.drop("B1") == "free B1; unregister B1 with B"
    assert process.is_empty


def test_what_nobody_counts_is_only_counted_here(process: Process) -> None:
    process.borrow("B1", "B2")
    process.references.uncounted(value("B1"))
    assert process.settle(C) == ("register B2 with B (1)", {1})
    assert process.register("B1", None) == ""
    assert gone(process, B) == ("B2", [1], "")
    process.borrow("B1")
    assert process.drop("B1") == ""
    assert process.drop("B1") == "free B1"
