"""What a node spills, as transcripts: event, then expected instructions.

Owners are A, B, C; ``A1`` is a value of A. ``A offers A1 10 idle 5``: a value of 10 MiB that was
not used for five seconds. Writes are numbered from 1. What write 3 wrote lies at 3 of file 1.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest

from air_cluster.core.spilling import (
    Ask,
    Candidate,
    Finished,
    Instruction,
    Offers,
    Remove,
    Spilling,
    Tell,
    Write,
)

MIB = 1 << 20


def value(name: str) -> bytes:
    return name[0].encode() * 8 + int(name[1:]).to_bytes(10, "big")


def name_of(object_id: bytes) -> str:
    return f"{object_id[:1].decode()}{int.from_bytes(object_id[8:], 'big')}"


def owner(name: str) -> bytes:
    return name.encode() * 8


class Script:
    """Feeds transcripts to a node's spilling and compares what it says."""

    def __init__(self, **limits: float) -> None:
        self.spilling = Spilling(**limits)  # type: ignore[arg-type]
        self.now = 100.0

    def __call__(self, transcript: str) -> None:
        for line in textwrap.dedent(transcript).strip().splitlines():
            event, _, expected = (part.strip() for part in line.partition("->"))
            said = "; ".join(self.render(i) for i in self.feed(event.split()))
            assert said == expected, f"{event}: {said!r}, expected {expected!r}"
            self.spilling.check()

    def feed(self, words: list[str]) -> list[Instruction]:
        spilling, now = self.spilling, self.now
        match words:
            case ["need", size, "of", *owners]:
                return spilling.start(int(size) * MIB, map(owner, owners), now)
            case [who, "offers", *offers]:
                # Names, sizes and ages, each after the other; the latest run is meant.
                found = [
                    Candidate(value(name), 7, 64, int(size) * MIB, float(idle))
                    for name, size, _, idle in zip(*[iter(offers)] * 4, strict=True)
                ]
                return spilling.offered(owner(who), spilling._runs, found, now)
            case [number, "written"]:
                return spilling.written(int(number), 1, int(number), now)
            case [number, "fails", *problem]:
                return spilling.write_failed(int(number), " ".join(problem), now)
            case ["removed"]:
                return spilling.removed(now)
            case [who, ("accepts" | "declines") as answer, name]:
                return spilling.settled(owner(who), value(name), answer == "accepts", now)
            case [who, "frees", name]:
                return spilling.freed(owner(who), value(name))
            case [who, "dies"]:
                return spilling.owner_gone(owner(who), now)
            case ["after", seconds]:
                self.now += float(seconds)
                return spilling.tick(self.now)
        raise AssertionError(f"no event: {words}")

    def render(self, instruction: Instruction) -> str:
        match instruction:
            case Ask(who, run, nbytes):
                assert run == self.spilling._runs
                return f"ask {who[:1].decode()} for {nbytes // MIB}"
            case Write(number, object_id, 7, 64, _):
                return f"write {number} {name_of(object_id)}"
            case Tell(who, object_id, 1, offset):
                return f"tell {who[:1].decode()} {name_of(object_id)} at {offset}"
            case Remove(object_id, 1, offset):
                return f"remove {name_of(object_id)} at {offset}"
            case Finished(nbytes, problem):
                return f"freed {nbytes // MIB}" + (f" ({problem})" if problem else "")
        raise AssertionError(instruction)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def make_script() -> Callable[..., Script]:
    return Script


def test_what_was_not_used_for_longest_goes_first_whoever_owns_it(script: Script) -> None:
    script("""
        need 30 of A B                            -> ask A for 30; ask B for 30
        A offers A1 10 idle 50 A2 10 idle 5       ->
        B offers B1 10 idle 20 B2 10 idle 10      -> write 1 A1; write 2 B1; write 3 B2
        1 written                                 -> tell A A1 at 1
        2 written                                 -> tell B B1 at 2
        A accepts A1                              ->
        3 written                                 -> tell B B2 at 3
        B accepts B2                              ->
        B accepts B1                              -> freed 30
    """)


def test_no_more_is_spilled_than_needed(script: Script) -> None:
    script("""
        need 11 of A                              -> ask A for 11
        A offers A1 10 idle 9 A2 10 idle 8 A3 10 idle 7    -> write 1 A1; write 2 A2
        1 written                                 -> tell A A1 at 1
        2 written                                 -> tell A A2 at 2
        A accepts A1                              ->
        A accepts A2                              -> freed 20
    """)


def test_a_node_without_owners_or_candidates_is_done_at_once(script: Script) -> None:
    script("""
        need 10 of                                -> freed 0
        need 10 of A                              -> ask A for 10
        A offers                                  -> freed 0
    """)


def test_little_is_written_at_a_time(make_script: Callable[..., Script]) -> None:
    script = make_script(max_writing=15 * MIB)
    script("""
        need 40 of A                              -> ask A for 40
        A offers A1 10 idle 9 A2 10 idle 8 A3 10 idle 7 A4 10 idle 6    -> write 1 A1; write 2 A2
        2 written                                 -> tell A A2 at 2; write 3 A3
        1 written                                 -> tell A A1 at 1; write 4 A4
    """)


def test_a_value_that_was_touched_stays_and_another_one_goes(script: Script) -> None:
    script("""
        need 10 of A                              -> ask A for 10
        A offers A1 10 idle 9 A2 10 idle 8        -> write 1 A1
        1 written                                 -> tell A A1 at 1
        A declines A1                             -> remove A1 at 1; write 2 A2
        2 written                                 -> tell A A2 at 2
        A accepts A2                              -> freed 10
    """)


def test_a_value_that_went_while_it_was_written_is_made_up_for(script: Script) -> None:
    script("""
        need 10 of A                              -> ask A for 10
        A offers A1 10 idle 9 A2 10 idle 8        -> write 1 A1
        1 fails                                   -> write 2 A2
        2 written                                 -> tell A A2 at 2
        A accepts A2                              -> freed 10
    """)


def test_a_full_disk_ends_the_run_and_is_told(script: Script) -> None:
    script("""
        need 30 of A                              -> ask A for 30
        A offers A1 10 idle 9 A2 10 idle 8 A3 10 idle 7    -> write 1 A1; write 2 A2; write 3 A3
        1 written                                 -> tell A A1 at 1
        2 fails the disk is full                  ->
        3 fails the disk is full                  ->
        A accepts A1                              -> write 4 A2
        4 fails the disk is full                  -> freed 10 (the disk is full)
        need 10 of A                              -> ask A for 10
        A offers                                  -> freed 0
    """)


def test_writes_that_take_the_last_room_from_each_other_are_tried_one_by_one(
    script: Script,
) -> None:
    script("""
        need 20 of A                              -> ask A for 20
        A offers A1 10 idle 9 A2 10 idle 8        -> write 1 A1; write 2 A2
        2 fails the disk is full                  ->
        1 fails the disk is full                  -> write 3 A1
        3 written                                 -> tell A A1 at 3
        A accepts A1                              -> write 4 A2
        4 fails the disk is full                  -> freed 10 (the disk is full)
    """)


def test_one_that_fails_beside_another_one_that_does_not_is_tried_again(script: Script) -> None:
    script("""
        need 20 of A                              -> ask A for 20
        A offers A1 10 idle 9 A2 10 idle 8        -> write 1 A1; write 2 A2
        2 fails the disk is full                  ->
        1 written                                 -> tell A A1 at 1
        A accepts A1                              -> write 3 A2
        3 written                                 -> tell A A2 at 3
        A accepts A2                              -> freed 20
    """)


def test_a_disk_is_not_full_while_something_is_removed_from_it(script: Script) -> None:
    script("""
        need 10 of A                              -> ask A for 10
        A offers A1 10 idle 9 A2 10 idle 8        -> write 1 A1
        1 written                                 -> tell A A1 at 1
        A declines A1                             -> remove A1 at 1; write 2 A2
        2 fails the disk is full                  ->
        removed                                   -> write 3 A2
        3 written                                 -> tell A A2 at 3
        A accepts A2                              -> freed 10
    """)


def test_one_that_failed_is_not_tried_again_when_its_owner_is_dead(script: Script) -> None:
    script("""
        need 10 of A                              -> ask A for 10
        A offers A1 10 idle 9                     -> write 1 A1
        A dies                                    ->
        1 fails the disk is full                  -> freed 0
    """)


def test_what_is_on_disk_goes_when_its_owner_says_so(script: Script) -> None:
    script("""
        need 10 of A                              -> ask A for 10
        A offers A1 10 idle 9                     -> write 1 A1
        1 written                                 -> tell A A1 at 1
        A frees A1                                ->
        A accepts A1                              -> freed 10
        B frees A1                                ->
        B declines A1                             ->
        A frees A1                                -> remove A1 at 1
        A frees A1                                ->
    """)


def test_an_owner_that_dies_leaves_nothing_on_disk(script: Script) -> None:
    script("""
        need 50 of A B                            -> ask A for 50; ask B for 50
        A offers A1 10 idle 9 A2 10 idle 8 A3 10 idle 7    ->
        B offers B1 10 idle 6                     -> write 1 A1; write 2 A2; write 3 A3; write 4 B1
        1 written                                 -> tell A A1 at 1
        2 written                                 -> tell A A2 at 2
        A accepts A1                              ->
        A dies                                    -> remove A1 at 1; remove A2 at 2
        3 written                                 -> remove A3 at 3
        A accepts A2                              ->
        4 written                                 -> tell B B1 at 4
        B accepts B1                              -> freed 20
        B dies                                    -> remove B1 at 4
    """)


def test_an_owner_that_dies_before_it_answers_is_not_waited_for(script: Script) -> None:
    script("""
        need 10 of A B C                          -> ask A for 10; ask B for 10; ask C for 10
        A offers A1 20 idle 9                     ->
        B offers B1 10 idle 1                     ->
        A dies                                    ->
        A offers A2 10 idle 50                    ->
        C dies                                    -> write 1 B1
        1 fails                                   -> freed 0
    """)


def test_an_owner_that_does_not_answer_is_not_waited_for_long(
    make_script: Callable[..., Script],
) -> None:
    script = make_script(patience_s=2.0)
    script("""
        need 20 of A B                            -> ask A for 20; ask B for 20
        A offers A1 10 idle 9 A2 10 idle 8        ->
        after 1                                   ->
        after 1                                   -> write 1 A1; write 2 A2
        1 written                                 -> tell A A1 at 1
        B offers B1 10 idle 100                   ->
        after 1                                   ->
        2 written                                 -> tell A A2 at 2
        A accepts A1                              ->
        after 1                                   ->
        after 1                                   -> freed 10
        A accepts A2                              ->
        A frees A2                                -> remove A2 at 2
    """)


def test_one_that_accepts_late_or_declines_late_is_heard_all_the_same(
    make_script: Callable[..., Script],
) -> None:
    script = make_script(patience_s=2.0)
    script("""
        need 10 of A                              -> ask A for 10
        A offers A1 10 idle 9                     -> write 1 A1
        1 written                                 -> tell A A1 at 1
        after 2                                   -> freed 0
        need 10 of A                              -> ask A for 10
        A declines A1                             -> remove A1 at 1
        A offers A1 10 idle 0                     -> write 2 A1
        2 written                                 -> tell A A1 at 2
        A accepts A1                              -> freed 10
    """)


def test_a_value_is_taken_once_and_from_its_owner_only(script: Script) -> None:
    script("""
        need 30 of A B                            -> ask A for 30; ask B for 30
        B offers A1 10 idle 9                     ->
        A offers A1 10 idle 9 A1 10 idle 9        -> write 1 A1
        A offers A1 10 idle 9                     ->
        1 written                                 -> tell A A1 at 1
        A offers A1 10 idle 9                     ->
        A accepts A1                              -> freed 10
        need 30 of A                              -> ask A for 30
        A offers A1 10 idle 9                     -> freed 0
    """)


def test_answers_to_an_older_question_count_for_nothing(script: Script) -> None:
    script("""
        need 10 of A                              -> ask A for 10
        A offers                                  -> freed 0
        need 10 of A B                            -> ask A for 10; ask B for 10
    """)
    old = Candidate(value("A1"), 7, 64, MIB, 1.0)
    assert script.spilling.offered(owner("A"), 1, [old], 100.0) == []
    script("A offers -> ")
    script("B offers -> freed 0")


# The owner's side -------------------------------------------------------------------------


def sizes(**busy: int) -> Callable[[bytes], int]:
    return lambda object_id: busy.get(name_of(object_id), 10)


def test_an_owner_offers_what_it_has_not_used_for_longest() -> None:
    offers = Offers()
    for now, name in enumerate(["A1", "A2", "A3", "A4", "A1"]):
        offers.touched(value(name), float(now))
    found = offers.offer(15, sizes(), 10.0)
    assert [(name_of(object_id), idle) for object_id, idle in found] == [("A2", 9.0), ("A3", 8.0)]
    assert [name_of(o) for o, _ in offers.offer(100, sizes(A3=0), 10.0)] == ["A2", "A4", "A1"]
    assert offers.offer(0, sizes(), 10.0) == []


def test_a_value_is_let_go_once_and_only_if_it_was_offered_and_not_touched_since() -> None:
    offers = Offers()
    for name in ("A1", "A2", "A3"):
        offers.touched(value(name), 0.0)
    assert not offers.settle(value("A1"), sizes())
    assert len(offers.offer(100, sizes(), 1.0)) == 3
    offers.touched(value("A2"), 2.0)
    offers.gone(value("A3"))
    assert offers.settle(value("A1"), sizes())
    assert not offers.settle(value("A1"), sizes())
    assert not offers.settle(value("A2"), sizes())
    assert not offers.settle(value("A3"), sizes())
    assert [name_of(o) for o, _ in offers.offer(100, sizes(), 3.0)] == ["A2"]


def test_a_value_that_is_given_to_a_call_while_it_is_written_stays() -> None:
    offers = Offers()
    offers.touched(value("A1"), 0.0)
    offers.offer(100, sizes(), 1.0)
    assert not offers.settle(value("A1"), sizes(A1=0))
    assert not offers.settle(value("A1"), sizes()), "it has to be offered anew"
    assert [name_of(o) for o, _ in offers.offer(100, sizes(), 3.0)] == ["A1"]
    assert offers.settle(value("A1"), sizes())
