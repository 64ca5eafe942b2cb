"""Scenarios of a node's copies, as transcripts: event, then expected instructions.

Processes are A, B, C; a number behind one is its request. ``A1 wants v from 2 of 100``: a value
of 100 MiB that lies in the memory of node 2 (``from 2/7``: in its segment 7, ``from 2 disk``: in
a file there). Fetches are numbered from 1. What ``1 arrived`` brings lies in segment 1.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest

from air_cluster.core.copies import (
    Cancel,
    Copies,
    Drop,
    Fail,
    FailureKind,
    Fetch,
    Instruction,
    Ready,
    Source,
)

MIB = 1 << 20


class Script:
    """Feeds transcripts to the copies of a node and compares what they say."""

    def __init__(self, **limits: float) -> None:
        self.copies = Copies(**limits)  # type: ignore[arg-type]
        self.now = 0.0
        self.names: dict[int, str] = {}  # fetch -> value
        self.at: dict[tuple[int, int], str] = {}  # segment, offset -> value

    def __call__(self, transcript: str) -> None:
        for line in textwrap.dedent(transcript).strip().splitlines():
            event, _, expected = (part.strip() for part in line.partition("->"))
            said = "; ".join(self.render(i) for i in self.feed(event.split()))
            assert said == expected, f"{event}: {said!r}, expected {expected!r}"
            self.copies.check()

    def feed(self, words: list[str]) -> list[Instruction]:
        copies, now = self.copies, self.now
        match words:
            case [who, "wants", value, "from", where, *disk, "of", size]:
                node, _, place = where.partition("/")
                nbytes = int(float(size) * MIB)
                source = Source(int(node), bool(disk), int(place or 1), 0, (nbytes,), nbytes)
                request = int(who[1:] or 0)
                return copies.wanted(value.encode(), source, who[:1].encode(), request, now)
            case [number, "fits"]:
                return copies.found_room(int(number))
            case [number, "arrived"]:
                self.at[1, int(number)] = self.names[int(number)]
                return copies.fetched(int(number), 1, int(number))
            case [number, "on", "disk"]:
                return copies.fetch_failed(int(number), FailureKind.ON_DISK, "is on disk", now)
            case [number, ("lost" | "cut" | "full") as kind]:
                return copies.fetch_failed(int(number), FailureKind(kind), f"is {kind}", now)
            case [who, "releases", value]:
                return copies.released(value.encode(), who.encode(), now, was_read=True)
            case [who, "gives", "up", value]:
                return copies.released(value.encode(), who.encode(), now, was_read=False)
            case [who, "dies"]:
                return copies.process_gone(who.encode(), now)
            case ["node", node, "dies"]:
                return copies.node_gone(int(node))
            case ["others", "want", size]:
                return copies.memory_wanted(int(size) * MIB)
            case ["others", "free"]:
                return copies.memory_freed()
            case [value, "is", "freed"]:
                return copies.forget(value.encode())
            case ["after", seconds]:
                self.now += float(seconds)
                return copies.tick(self.now)
        raise AssertionError(f"no event: {words}")

    def render(self, instruction: Instruction) -> str:
        match instruction:
            case Fetch(number, object_id, source):
                self.names[number] = object_id.decode()
                disk = " disk" if source.spilled else ""
                place = f"/{source.place}" if source.place != 1 else ""
                return f"fetch {number} {object_id.decode()} from {source.node}{place}{disk}"
            case Cancel(number):
                return f"cancel {number}"
            case Ready(process, request, segment, offset, _):
                return f"ready {process.decode()}{request} {self.at[segment, offset]}"
            case Fail(process, request, kind, reason):
                assert reason
                return f"fail {process.decode()}{request} {kind.value}"
            case Drop(segment, offset, lengths, nbytes):
                assert lengths == (nbytes,)
                return f"drop {self.at[segment, offset]}"


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def make_script() -> Callable[..., Script]:
    return Script


# One fetch for all ------------------------------------------------------------------------


def test_one_fetch_serves_all_who_wait_and_who_come_later(script: Script) -> None:
    script("""
        A1 wants v from 2 of 100    -> fetch 1 v from 2
        B1 wants v from 2 of 100    ->
        A2 wants v from 2 of 100    ->
        1 arrived                   -> ready A1 v; ready A2 v; ready B1 v
        C9 wants v from 2 of 100    -> ready C9 v
        A3 wants v from 2 of 100    -> ready A3 v
    """)


def test_a_claim_that_needs_no_answer_gets_none(script: Script) -> None:
    script("""
        A wants v from 2 of 10      -> fetch 1 v from 2
        A wants w from 2 of 10      -> fetch 2 w from 2
        1 arrived                   ->
        A1 wants v from 2 of 10     -> ready A1 v
        others want 100             ->
        A1 wants w from 2 of 10     ->
        2 arrived                   -> ready A1 w
        A wants w from 2 of 10      ->
    """)


def test_a_copy_says_its_own_lengths_whatever_the_question_says(script: Script) -> None:
    script("""
        A1 wants v from 2 of 100    -> fetch 1 v from 2
        1 arrived                   -> ready A1 v
    """)
    other = Source(2, False, 1, 0, (7,), 7)
    (ready,) = script.copies.wanted(b"v", other, b"B", 1, 0.0)
    assert ready == Ready(b"B", 1, 1, 1, (100 * MIB,))


def test_an_unused_copy_gives_way_to_one_of_the_value_that_was_made_anew(script: Script) -> None:
    script("""
        A1 wants v from 2 of 10     -> fetch 1 v from 2
        1 arrived                   -> ready A1 v
        A releases v                ->
        A2 wants v from 3 of 11     -> drop v; fetch 2 v from 3
        2 arrived                   -> ready A2 v
        A releases v                ->
        node 4 dies                 ->
        A3 wants v from 4 of 12     -> drop v; fail A3 lost
    """)


def test_a_spilled_value_comes_from_a_file(script: Script) -> None:
    script("""
        A1 wants v from 1 disk of 3    -> fetch 1 v from 1 disk
        1 arrived                      -> ready A1 v
    """)


# Claims -----------------------------------------------------------------------------------


def test_a_copy_is_kept_until_memory_is_needed_and_while_it_is_claimed(script: Script) -> None:
    script("""
        A1 wants v from 2 of 10    -> fetch 1 v from 2
        B1 wants v from 2 of 10    ->
        1 arrived                  -> ready A1 v; ready B1 v
        A releases v               ->
        A releases v               ->
        others want 10             ->
        B releases v               ->
        C1 wants v from 2 of 10    -> ready C1 v
        others want 10             ->
        C releases v               ->
        others want 10             -> drop v
        C2 wants v from 2 of 10    -> fetch 2 v from 2
    """)


def test_the_longest_unused_copies_go_first_and_no_more_than_needed(script: Script) -> None:
    script("""
        A1 wants u from 2 of 10    -> fetch 1 u from 2
        A2 wants v from 2 of 10    -> fetch 2 v from 2
        A3 wants w from 2 of 10    -> fetch 3 w from 2
        1 arrived                  -> ready A1 u
        2 arrived                  -> ready A2 v
        3 arrived                  -> ready A3 w
        A releases u               ->
        A releases v               ->
        A releases w               ->
        A4 wants u from 2 of 10    -> ready A4 u
        after 1                    ->
        A releases u               ->
        others want 11             -> drop v; drop w
        others want 1              -> drop u
        others want 1              ->
    """)


def test_copies_that_nobody_reads_do_not_stay_for_ever(make_script: Callable[..., Script]) -> None:
    script = make_script(keep_s=60.0)
    script("""
        A1 wants u from 2 of 10    -> fetch 1 u from 2
        A2 wants v from 2 of 10    -> fetch 2 v from 2
        1 arrived                  -> ready A1 u
        2 arrived                  -> ready A2 v
        A releases u               ->
        after 30                   ->
        A releases v               ->
        after 30                   -> drop u
        after 29                   ->
        after 1                    -> drop v
    """)


def test_a_fetch_that_nobody_wants_any_more_is_cancelled_and_its_fruit_dropped(
    script: Script,
) -> None:
    script("""
        A1 wants v from 2 of 10    -> fetch 1 v from 2
        B1 wants v from 2 of 10    ->
        A releases v               -> fail A1 lost
        B dies                     -> cancel 1
        1 arrived                  -> drop v
        A2 wants w from 2 of 10    -> fetch 2 w from 2
        A dies                     -> cancel 2
        2 cut                      ->
    """)


def test_who_wants_a_value_again_gets_it_afresh_while_the_cancelled_fetch_ends(
    script: Script,
) -> None:
    script("""
        A1 wants v from 2 of 10    -> fetch 1 v from 2
        A dies                     -> cancel 1
        B1 wants v from 2 of 10    -> fetch 2 v from 2
        1 arrived                  -> drop v
        2 arrived                  -> ready B1 v
    """)


def test_a_dead_process_claims_nothing(script: Script) -> None:
    script("""
        A1 wants v from 2 of 10     -> fetch 1 v from 2
        A2 wants w from 2 of 10     -> fetch 2 w from 2
        B1 wants w from 2 of 10     ->
        1 arrived                   -> ready A1 v
        A dies                      -> drop v
        2 arrived                   -> ready B1 w
        others want 100             ->
        A dies                      ->
    """)


def test_what_nobody_says_to_have_read_is_not_kept_for_others(script: Script) -> None:
    script("""
        A1 wants u from 2 of 10     -> fetch 1 u from 2
        1 arrived                   -> ready A1 u
        A gives up u                -> drop u
        A2 wants v from 2 of 10     -> fetch 2 v from 2
        B1 wants v from 2 of 10     ->
        2 arrived                   -> ready A2 v; ready B1 v
        B releases v                ->
        A gives up v                ->
        C1 wants v from 2 disk of 10    -> ready C1 v
        C dies                      ->
        others want 10              -> drop v
    """)


def test_a_freed_value_is_dropped_as_soon_as_nobody_reads_it(script: Script) -> None:
    script("""
        A1 wants v from 2 of 10     -> fetch 1 v from 2
        A2 wants w from 2 of 10     -> fetch 2 w from 2
        v is freed                  ->
        1 arrived                   -> ready A1 v
        2 arrived                   -> ready A2 w
        v is freed                  ->
        A releases v                -> drop v
        A releases w                ->
        w is freed                  -> drop w
        w is freed                  ->
    """)


# What goes wrong at the source ------------------------------------------------------------


def test_a_value_that_is_lost_fails_for_all_who_wait(script: Script) -> None:
    script("""
        A1 wants v from 2 of 10     -> fetch 1 v from 2
        B1 wants v from 2 of 10     ->
        C wants v from 2 of 10      ->
        1 lost                      -> fail A1 lost; fail B1 lost
        A2 wants v from 3 of 10     -> fetch 2 v from 3
        C releases v                ->
        2 arrived                   -> ready A2 v
    """)


def test_a_cut_link_is_tried_again_a_few_times(make_script: Callable[..., Script]) -> None:
    script = make_script(retries=2, rest_s=1.0)
    script("""
        A1 wants v from 2 of 10     -> fetch 1 v from 2
        1 cut                       ->
        after 0.5                   ->
        after 0.5                   -> fetch 2 v from 2
        2 cut                       ->
        B1 wants v from 2 of 10     ->
        after 1.5                   ->
        after 0.5                   -> fetch 3 v from 2
        3 cut                       -> fail A1 cut; fail B1 cut
        after 10                    ->
    """)


def test_who_stops_waiting_for_another_attempt_ends_it(script: Script) -> None:
    script("""
        A1 wants v from 2 of 10     -> fetch 1 v from 2
        1 cut                       ->
        A dies                      ->
        after 10                    ->
    """)


def test_a_dead_node_fails_what_was_to_come_from_it(script: Script) -> None:
    script("""
        A1 wants u from 2 of 10     -> fetch 1 u from 2
        1 arrived                   -> ready A1 u
        A2 wants v from 2 of 10     -> fetch 2 v from 2
        A3 wants w from 3 of 10     -> fetch 3 w from 3
        A4 wants x from 2 of 10     -> fetch 4 x from 2
        4 cut                       ->
        node 2 dies                 -> fail A2 lost; cancel 2; fail A4 lost
        2 cut                       ->
        3 arrived                   -> ready A3 w
        B1 wants v from 2 of 10     -> fail B1 lost
        B2 wants u from 2 of 10     -> ready B2 u
        after 10                    ->
    """)


def test_a_value_made_anew_elsewhere_is_fetched_from_there(script: Script) -> None:
    script("""
        A1 wants v from 2 of 10     -> fetch 1 v from 2
        B1 wants v from 3 of 10     -> cancel 1; fetch 2 v from 3
        1 lost                      ->
        2 arrived                   -> ready A1 v; ready B1 v
        A2 wants w from 2 of 10     -> fetch 3 w from 2
        3 cut                       ->
        A3 wants w from 3 of 10     ->
        node 2 dies                 ->
        B2 wants w from 2 of 10     ->
        after 10                    -> fetch 4 w from 3
        4 arrived                   -> ready A2 w; ready A3 w; ready B2 w
    """)


def test_a_value_that_went_to_disk_is_fetched_from_there_and_not_where_it_was(
    script: Script,
) -> None:
    script("""
        A1 wants v from 2 of 10          -> fetch 1 v from 2
        B1 wants v from 2/7 disk of 10   -> cancel 1; fetch 2 v from 2/7 disk
        C1 wants v from 2 of 10          ->
        1 arrived                        -> drop v
        2 arrived                        -> ready A1 v; ready B1 v; ready C1 v
    """)


def test_what_is_queued_follows_the_latest_news(make_script: Callable[..., Script]) -> None:
    script = make_script(max_per_node=1)
    script("""
        A1 wants u from 2 of 10       -> fetch 1 u from 2
        A2 wants v from 2 of 10       ->
        A3 wants v from 2/9 of 10     ->
        1 arrived                     -> ready A1 u; fetch 2 v from 2/9
    """)


# How much at a time -----------------------------------------------------------------------


def test_bytes_under_way_are_limited_and_the_rest_waits_in_order(
    make_script: Callable[..., Script],
) -> None:
    script = make_script(max_bytes=100 * MIB)  # 75 for the large ones
    script("""
        A1 wants u from 2 of 50     -> fetch 1 u from 2
        A2 wants v from 3 of 30     ->
        A3 wants w from 4 of 10     ->
        1 arrived                   -> ready A1 u; fetch 2 v from 3; fetch 3 w from 4
    """)


def test_neither_small_nor_large_values_keep_the_others_waiting(
    make_script: Callable[..., Script],
) -> None:
    script = make_script(max_bytes=40 * MIB)  # 10 for small ones, 30 for large
    script("""
        A1 wants large from 2 of 30    -> fetch 1 large from 2
        A2 wants huge from 2 of 500    ->
        A3 wants small from 2 of 4     -> fetch 2 small from 2
        A4 wants tiny from 2 of 4      -> fetch 3 tiny from 2
        A5 wants more from 2 of 3      ->
        A6 wants wee from 2 of 1       ->
        1 arrived                      -> ready A1 large; fetch 4 huge from 2
        A7 wants next from 2 of 30     ->
        2 arrived                      -> ready A3 small; fetch 5 more from 2; fetch 6 wee from 2
        4 arrived                      -> ready A2 huge; fetch 7 next from 2
    """)


def test_nodes_take_turns_and_one_that_stalls_does_not_keep_the_others_waiting(
    make_script: Callable[..., Script],
) -> None:
    script = make_script(max_per_node=2)
    script("""
        A1 wants a from 2 of 1     -> fetch 1 a from 2
        A2 wants b from 2 of 1     -> fetch 2 b from 2
        A3 wants c from 2 of 1     ->
        A4 wants d from 2 of 1     ->
        A5 wants e from 3 of 1     -> fetch 3 e from 3
        A6 wants f from 3 of 1     -> fetch 4 f from 3
        A7 wants g from 3 of 1     ->
        3 arrived                  -> ready A5 e; fetch 5 g from 3
        2 arrived                  -> ready A2 b; fetch 6 c from 2
        A dies                     -> cancel 1; drop b; cancel 6; drop e; cancel 4; cancel 5
        6 cut                      ->
    """)


def test_what_is_queued_can_be_given_up(make_script: Callable[..., Script]) -> None:
    script = make_script(max_per_node=1)
    script("""
        A1 wants u from 2 of 10     -> fetch 1 u from 2
        B1 wants v from 2 of 10     ->
        C1 wants w from 2 of 10     ->
        B dies                      ->
        1 arrived                   -> ready A1 u; fetch 2 w from 2
    """)


def test_a_cancelled_fetch_counts_until_it_has_ended(make_script: Callable[..., Script]) -> None:
    script = make_script(max_per_node=1)
    script("""
        A1 wants u from 2 of 10     -> fetch 1 u from 2
        B1 wants v from 2 of 10     ->
        A dies                      -> cancel 1
        1 cut                       -> fetch 2 v from 2
    """)


# Without memory ---------------------------------------------------------------------------


def test_without_memory_and_without_hope_a_value_fails(script: Script) -> None:
    script("""
        A1 wants v from 2 of 10     -> fetch 1 v from 2
        1 full                      -> fail A1 full
        A2 wants u from 2 of 10     -> fetch 2 u from 2
        2 arrived                   -> ready A2 u
        A3 wants v from 2 of 10     -> fetch 3 v from 2
        3 full                      -> fail A3 full
    """)


def test_what_can_be_read_where_it_is_waits_for_no_memory(script: Script) -> None:
    script("""
        A1 wants u from 2 of 10     -> fetch 1 u from 2
        1 arrived                   -> ready A1 u
        B1 wants v from 1 of 10     -> fetch 2 v from 1
        C1 wants v from 1 of 10     ->
        2 on disk                   -> fail B1 on disk; fail C1 on disk
    """)


def test_the_failure_says_how_much_is_in_use(script: Script) -> None:
    script("""
        A2 wants u from 2 of 10     -> fetch 1 u from 2
        1 arrived                   -> ready A2 u
        A3 wants v from 2 of 20     -> fetch 2 v from 2
    """)
    (fail,) = script.copies.fetch_failed(2, FailureKind.FULL, "20 MiB are needed", 0.0)
    assert isinstance(fail, Fail)
    assert fail.reason == (
        f"20 MiB are needed ({10 * MIB} bytes are copies of values from elsewhere that are in use)"
    )


def test_a_value_waits_for_memory_that_others_may_give_back(script: Script) -> None:
    script("""
        A1 wants u from 2 of 10     -> fetch 1 u from 2
        1 arrived                   -> ready A1 u
        B1 wants v from 2 of 10     -> fetch 2 v from 2
        2 full                      ->
        C1 wants v from 2 of 10     ->
        A releases u                -> fetch 3 v from 2
        others want 10              -> drop u
        3 arrived                   -> ready B1 v; ready C1 v
    """)


def test_a_value_waits_for_memory_that_a_fetch_under_way_may_not_need(script: Script) -> None:
    script("""
        A1 wants u from 2 of 10     -> fetch 1 u from 2
        B1 wants v from 2 of 10     -> fetch 2 v from 2
        2 full                      ->
        A dies                      -> cancel 1
        1 cut                       -> fetch 3 v from 2
        3 arrived                   -> ready B1 v
    """)


def test_nothing_else_is_fetched_meanwhile_so_that_small_values_starve_no_large_one(
    script: Script,
) -> None:
    script("""
        A1 wants u from 2 of 50        -> fetch 1 u from 2
        1 arrived                      -> ready A1 u
        B1 wants large from 2 of 60    -> fetch 2 large from 2
        2 full                         ->
        C1 wants small from 2 of 1     ->
        others free                    -> fetch 3 large from 2
        3 full                         ->
        A releases u                   -> fetch 4 large from 2
        C2 wants tiny from 2 of 1      ->
        4 fits                         -> fetch 5 small from 2; fetch 6 tiny from 2
        5 fits                         ->
        4 arrived                      -> ready B1 large
    """)


def test_one_that_was_hungry_counts_among_those_from_its_node(
    make_script: Callable[..., Script],
) -> None:
    script = make_script(max_per_node=1)
    script("""
        A1 wants u from 3 of 50     -> fetch 1 u from 3
        1 arrived                   -> ready A1 u
        B1 wants v from 2 of 60     -> fetch 2 v from 2
        C1 wants w from 2 of 60     ->
        2 full                      ->
        A releases u                -> fetch 3 v from 2
        3 fits                      ->
        3 arrived                   -> ready B1 v; fetch 4 w from 2
    """)


def test_patience_ends_even_while_there_is_hope(make_script: Callable[..., Script]) -> None:
    script = make_script(patience_s=10.0)
    script("""
        A1 wants u from 2 of 50     -> fetch 1 u from 2
        1 arrived                   -> ready A1 u
        B1 wants v from 2 of 60     -> fetch 2 v from 2
        2 full                      ->
        C1 wants w from 2 of 1      ->
        after 9                     ->
        others free                 -> fetch 3 v from 2
        3 full                      ->
        after 1                     -> fail B1 full; fetch 4 w from 2
    """)


def test_two_processes_that_hold_a_copy_and_want_another_do_not_wait_for_ever(
    script: Script,
) -> None:
    script("""
        A1 wants u from 2 of 40     -> fetch 1 u from 2
        B1 wants v from 2 of 40     -> fetch 2 v from 2
        1 arrived                   -> ready A1 u
        2 arrived                   -> ready B1 v
        A2 wants w from 2 of 40     -> fetch 3 w from 2
        3 full                      ->
        B2 wants x from 2 of 40     -> fetch 4 x from 2
        4 full                      -> fail B2 full
        B releases v                -> fetch 5 w from 2
        5 arrived                   -> ready A2 w
    """)


def test_a_smaller_value_that_the_holder_of_memory_waits_for_goes_past_a_hungry_one(
    script: Script,
) -> None:
    script("""
        A1 wants u from 2 of 90        -> fetch 1 u from 2
        1 arrived                      -> ready A1 u
        B1 wants large from 2 of 60    -> fetch 2 large from 2
        2 full                         ->
        A2 wants small from 2 of 1     -> fetch 3 small from 2
        3 arrived                      -> ready A2 small; fetch 4 large from 2
        4 full                         ->
        A releases u                   -> fetch 5 large from 2
        5 fits                         ->
        5 arrived                      -> ready B1 large
    """)


def test_without_hope_not_all_that_wait_are_tried(script: Script) -> None:
    script("A1 wants v1 from 1 of 10 -> fetch 1 v1 from 1")
    for count in range(2, 5):
        script(f"A{count} wants v{count} from 1 of 10 -> fetch {count} v{count} from 1")
    for count in range(5, 100):
        script(f"A{count} wants v{count} from 1 of 10 ->")
    tried = 4
    for count in range(1, 8):  # seven are hungry, and the next are tried in the hope of less
        out = script.copies.fetch_failed(count, FailureKind.FULL, "full", 0.0)
        script.copies.check()
        tried += sum(isinstance(i, Fetch) for i in out)
        assert not any(isinstance(i, Fail) for i in out)
    assert tried == 8
    script("8 full -> fail A8 full; fetch 9 v9 from 1")


def test_hungry_processes_that_die_are_not_waited_for(script: Script) -> None:
    script("""
        A1 wants u from 2 of 50     -> fetch 1 u from 2
        1 arrived                   -> ready A1 u
        B1 wants v from 2 of 60     -> fetch 2 v from 2
        2 full                      ->
        C1 wants w from 2 of 1      ->
        B dies                      -> fetch 3 w from 2
        3 full                      ->
        A dies                      -> drop u; fetch 4 w from 2
    """)
