"""Scenarios of the submitter's scheduling, as transcripts: event, then expected instructions.

Tasks are written ``name:function``; functions ``f``, ``g`` ... have no known duration before a
task of theirs has ended.
"""

from __future__ import annotations

import pytest

from air_cluster.core.tasks import (
    LINGER_S,
    MAX_DEMAND,
    MAX_DEMAND_WITHOUT_RESOURCES,
    MAX_IN_FLIGHT,
    PIPELINE_S,
    SPREAD_PARTS,
    Demand,
    Dispatch,
    GiveBack,
    Instruction,
    Site,
    TaskScheduler,
)
from air_cluster.protocol.ids import lease_of_node, lease_on_wire

SHORT = PIPELINE_S / 8


def render(instruction: Instruction) -> str:
    match instruction:
        case Dispatch(task, lease):
            return f"send {task.decode()} L{lease_of_node(lease)}"
        case Demand(shape, count, came):
            return f"demand s{shape} x{count}" + f" ({came} came)" * bool(came)
        case GiveBack(lease):
            return f"give back L{lease_of_node(lease)}"


class Script:
    """Feeds transcripts to a scheduler and compares what it says."""

    def __init__(self) -> None:
        self.tasks = TaskScheduler()
        self.now = 0.0
        for shape in (0, 1):
            self.tasks.add_shape(shape, takes_resources=True)
        self.tasks.add_shape(2, takes_resources=False)
        self.tasks.add_shape(3, takes_resources=True, near=7)
        self.tasks.add_shape(4, takes_resources=True, site=Site.SPREAD)
        self.tasks.add_shape(5, takes_resources=True, site=Site.PREFERRED)

    def play(self, transcript: str) -> None:
        for line in transcript.strip().splitlines():
            event, _, expected = (part.strip() for part in line.partition("->"))
            said = self._feed(event)
            shown = "; ".join(item if isinstance(item, str) else render(item) for item in said)
            assert shown == expected, f"\n{event}\n said:     {shown}\n expected: {expected}"
            self.tasks.check()

    def _feed(self, event: str) -> list[Instruction] | list[str]:
        word, *args = event.split()
        tasks = self.tasks
        if word == "at":
            self.now = float(args[0])
            return tasks.tick(self.now)
        if word == "submit":
            task, _, function = args[0].partition(":")
            shape = int(args[1][1:]) if len(args) > 1 else 0
            return tasks.submit(task.encode(), function.encode(), shape, self.now)
        if word == "grant":
            lease, _, node = args[1][1:].partition("@")
            lease_id = lease_on_wire(int(node or 0), int(lease))
            return tasks.granted(
                int(args[0][1:]),
                lease_id,
                self.now,
                elsewhere="elsewhere" in args,
                dealt="dealt" in args,
            )
        if word == "done":
            seconds = {"short": SHORT, "long": 1.0, "cancelled": None}[args[1]]
            return tasks.finished(args[0].encode(), seconds, self.now)
        if word == "returned":
            return tasks.returned([name.encode() for name in args], self.now)
        if word == "reclaim":
            return tasks.reclaim(int(args[0][1:]))
        if word == "forget":
            tasks.forget(args[0].encode())
            return []
        if word == "lost":
            return [task.decode() for task in tasks.lost(int(args[0][1:]))]
        assert word == "refused", event
        return [task.decode() for task in tasks.refused(int(args[0][1:]))]


@pytest.fixture
def script() -> Script:
    return Script()


LEARN_SHORT = """
    submit t0:f     -> demand s0 x1
    grant s0 L1     -> send t0 L1
    done t0 short   ->
"""
"""After this the function ``f`` is known to be short, and lease L1 is idle."""


def test_a_task_asks_for_a_worker_and_goes_to_it(script: Script) -> None:
    script.play("""
        submit a:f      -> demand s0 x1
        grant s0 L1     -> send a L1
        done a long     ->
        submit b:f      -> send b L1
        done b long     ->
        at 0.049        ->
        at 0.05         -> give back L1
        submit c:f      -> demand s0 x1
    """)


def test_an_unknown_function_goes_one_at_a_time(script: Script) -> None:
    script.play("""
        submit a:f      -> demand s0 x1
        submit b:f      ->
        submit c:f      -> demand s0 x3
        grant s0 L1     -> send a L1
        done a long     -> send b L1
        grant s0 L2     -> send c L2; demand s0 x0
        done b long     ->
    """)


def test_a_long_function_goes_one_at_a_time(script: Script) -> None:
    script.play("""
        submit a:f      -> demand s0 x1
        grant s0 L1     -> send a L1
        done a long     ->
        submit b:f      -> send b L1
        submit c:f      -> demand s0 x1
        grant s0 L2     -> send c L2
        done c long     ->
    """)


def test_short_tasks_are_sent_ahead(script: Script) -> None:
    script.play(LEARN_SHORT)
    script.play("""
        submit a:f      -> send a L1
        submit b:f      -> send b L1
        submit c:f      -> send c L1
        done a short    ->
        done b short    ->
        done c short    ->
    """)


def test_as_many_are_sent_ahead_as_keep_a_worker_busy_for_a_while(script: Script) -> None:
    script.play(LEARN_SHORT)
    sent = 0
    while not isinstance(said := script.tasks.submit(b"t%d" % (sent + 1), b"f", 0, 0.0)[0], Demand):
        assert said == Dispatch(b"t%d" % (sent + 1), 1)
        sent += 1
    assert sent == PIPELINE_S / SHORT


def test_there_is_a_limit_to_what_is_sent_ahead(script: Script) -> None:
    tasks = script.tasks
    script.play("submit t:f -> demand s0 x1\ngrant s0 L1 -> send t L1")
    tasks.finished(b"t", 1e-9, 0.0)
    for number in range(MAX_IN_FLIGHT):
        assert tasks.submit(b"%d" % number, b"f", 0, 0.0) == [Dispatch(b"%d" % number, 1)]
    assert tasks.submit(b"more", b"f", 0, 0.0) == [Demand(0, 1)]
    tasks.check()


def test_the_least_loaded_worker_gets_the_next(script: Script) -> None:
    script.play(LEARN_SHORT)
    script.play("""
        grant s0 L2     ->
        submit a:f      -> send a L1
        submit b:f      -> send b L2
        submit c:f      -> send c L1
        submit d:f      -> send d L2
        done b short    ->
        submit e:f      -> send e L2
    """)


def test_unknown_ones_do_not_go_behind_short_ones(script: Script) -> None:
    script.play(LEARN_SHORT)
    script.play("""
        submit a:f      -> send a L1
        submit b:g      -> demand s0 x1
        submit c:f      ->
        done a short    -> send b L1
        done b short    -> send c L1; demand s0 x0
    """)


def test_estimates_follow_what_tasks_take(script: Script) -> None:
    script.play(LEARN_SHORT)
    script.play("""
        submit a:f      -> send a L1
        done a long     ->
        submit b:f      -> send b L1
        submit c:f      -> demand s0 x1
        done b short    -> send c L1; demand s0 x0
    """)


def test_a_cancelled_task_says_nothing_about_its_function(script: Script) -> None:
    script.play("""
        submit a:f          -> demand s0 x1
        grant s0 L1         -> send a L1
        done a cancelled    ->
        submit b:f          -> send b L1
        submit c:f          -> demand s0 x1
    """)


def test_shapes_do_not_share_workers(script: Script) -> None:
    script.play("""
        submit a:f      -> demand s0 x1
        submit b:f s1   -> demand s1 x1
        grant s1 L1     -> send b L1
        done b short    ->
        grant s0 L2     -> send a L2
    """)


# Tasks that a worker hands back -----------------------------------------------------------


def test_tasks_behind_a_long_one_go_elsewhere_in_their_old_order(script: Script) -> None:
    script.play(LEARN_SHORT)
    script.play("""
        submit a:f      -> send a L1
        submit b:f      -> send b L1
        submit c:f      -> send c L1
        submit x:g      -> demand s0 x1
        returned b c    -> demand s0 x3
        grant s0 L2     -> send b L2; send c L2
        done b short    ->
        done c short    -> send x L2; demand s0 x0
    """)


def test_returned_tasks_go_to_idle_workers_at_once(script: Script) -> None:
    script.play(LEARN_SHORT)
    script.play("""
        grant s0 L2     ->
        submit a:f      -> send a L1
        submit b:f      -> send b L2
        submit c:f      -> send c L1
        done b short    ->
        returned c      -> send c L2
    """)


def test_nothing_is_sent_behind_a_task_that_holds_its_worker_up(script: Script) -> None:
    script.play(LEARN_SHORT)
    script.play("""
        submit a:f      -> send a L1
        submit b:f      -> send b L1
        returned b      -> demand s0 x1
        grant s0 L2     -> send b L2
        submit c:f      -> send c L2
        done b short    ->
        done c short    ->
        submit d:f      -> send d L2
        submit e:f      -> send e L2
        done a short    ->
        submit g:f      -> send g L1
        submit h:f      -> send h L1
    """)


def test_a_worker_may_hand_back_all_it_has(script: Script) -> None:
    script.play(LEARN_SHORT)
    script.play("""
        submit a:f      -> send a L1
        submit b:f      -> send b L1
        returned a b    -> send a L1; send b L1
    """)


def test_a_reclaimed_worker_that_hands_back_all_it_has_is_given_back(script: Script) -> None:
    script.play(LEARN_SHORT)
    script.play("""
        submit a:f      -> send a L1
        reclaim L1      ->
        returned a      -> give back L1; demand s0 x1
    """)


def test_what_has_ended_cannot_be_handed_back(script: Script) -> None:
    script.play(LEARN_SHORT)
    script.play("""
        submit a:f      -> send a L1
        done a short    ->
        returned a      ->
        returned never  ->
        done never long ->
    """)


# Leases that end --------------------------------------------------------------------------


def test_a_reclaimed_lease_is_given_back_when_its_tasks_are_done(script: Script) -> None:
    script.play(LEARN_SHORT)
    script.play("""
        submit a:f      -> send a L1
        submit b:f      -> send b L1
        reclaim L1      ->
        submit c:f      -> demand s0 x1
        done a short    ->
        done b short    -> give back L1
        grant s0 L2     -> send c L2
    """)


def test_an_idle_lease_is_given_back_at_once_when_reclaimed(script: Script) -> None:
    script.play(LEARN_SHORT)
    script.play("""
        reclaim L1      -> give back L1
        reclaim L1      ->
    """)


def test_tasks_of_a_lost_worker_are_told_in_the_order_in_which_they_were_sent(
    script: Script,
) -> None:
    script.play(LEARN_SHORT)
    script.play("""
        submit a:f      -> send a L1
        submit b:f      -> send b L1
        submit c:f      -> send c L1
        done a short    ->
        lost L1         -> b; c
        lost L1         ->
        done b short    ->
        submit b:f      -> demand s0 x1
    """)
    assert script.tasks.state_of(b"b") == "queued"
    assert script.tasks.state_of(b"c") == "unknown"


def test_what_is_queued_stays_when_a_worker_is_lost(script: Script) -> None:
    script.play("""
        submit a:f      -> demand s0 x1
        submit b:f      ->
        grant s0 L1     -> send a L1; demand s0 x1
        lost L1         -> a
        grant s0 L2     -> send b L2
    """)


def test_refused_tasks_are_forgotten(script: Script) -> None:
    script.play("""
        submit a:f      -> demand s0 x1
        submit b:f      ->
        submit x:f s1   -> demand s1 x1
        refused s0      -> a; b
        refused s0      ->
        grant s1 L1     -> send x L1
        submit c:f      -> demand s0 x1
    """)


def test_a_worker_that_comes_too_late_is_kept_for_a_while(script: Script) -> None:
    script.play("""
        submit a:f      -> demand s0 x1
        refused s0      -> a
        grant s0 L1     ->
        submit b:f      -> send b L1
        at 9            ->
        done b long     ->
        at 9.04         ->
        at 9.06         -> give back L1
    """)


# Cancelling -------------------------------------------------------------------------------


def test_a_cancelled_task_is_not_sent_and_the_node_hears_soon(script: Script) -> None:
    script.play("""
        submit a:f      -> demand s0 x1
        submit b:f      ->
        submit c:f      -> demand s0 x3
        forget a        ->
        forget b        ->
        forget c        ->
        forget c        ->
        at 0.05         -> demand s0 x0
        at 0.1          ->
    """)


def test_a_sent_task_cannot_be_taken_back(script: Script) -> None:
    script.play("""
        submit a:f      -> demand s0 x1
        grant s0 L1     -> send a L1
        forget a        ->
    """)
    assert script.tasks.state_of(b"a") == "sent"
    assert script.tasks.lease_of(b"a") == 1


# Demand -----------------------------------------------------------------------------------


def demands(said: list[Instruction]) -> list[int]:
    return [instruction.count for instruction in said if isinstance(instruction, Demand)]


def test_a_thousand_tasks_cost_ten_messages(script: Script) -> None:
    tasks = script.tasks
    stated: list[int] = []
    for number in range(1000):
        stated += demands(tasks.submit(b"%d" % number, b"f", 0, 0.0))
    assert len(stated) <= 10
    assert stated == sorted(stated)
    assert stated[-1] >= 500


def test_working_them_off_costs_few_messages_too(script: Script) -> None:
    tasks = script.tasks
    for number in range(1000):
        tasks.submit(b"%d" % number, b"f", 0, 0.0)
    stated: list[int] = []
    for lease in range(4):
        stated += demands(tasks.granted(0, lease, 0.0))
    for number in range(1000):
        stated += demands(tasks.finished(b"%d" % number, 1.0, 0.0))
        tasks.check()
    assert len(stated) <= 14
    assert stated[-1] == 0


def test_demand_has_a_limit(script: Script) -> None:
    tasks = script.tasks
    said: list[Instruction] = []
    for number in range(3 * MAX_DEMAND):
        said += tasks.submit(b"%d" % number, b"f", 0, 0.0)
    assert MAX_DEMAND // 2 < demands(said)[-1] <= MAX_DEMAND


def test_tasks_without_resources_do_not_ask_for_a_thousand_workers(script: Script) -> None:
    tasks = script.tasks
    said: list[Instruction] = []
    for number in range(1000):
        said += tasks.submit(b"%d" % number, b"f", 2, 0.0)
    assert demands(said)[-1] <= MAX_DEMAND_WITHOUT_RESOURCES


def test_the_demand_that_was_not_met_is_stated_again(script: Script) -> None:
    script.play("""
        submit a:f      -> demand s0 x1
        submit b:f      ->
        submit c:f      -> demand s0 x3
        grant s0 L1     -> send a L1
        grant s0 L2     -> send b L2
        grant s0 L3     -> send c L3
        submit d:f      -> demand s0 x1
    """)


# Queries ----------------------------------------------------------------------------------


def test_what_can_be_asked(script: Script) -> None:
    tasks = script.tasks
    assert not tasks.has_leases
    script.play("""
        submit a:f      -> demand s0 x1
        submit b:f      ->
    """)
    assert tasks.queued(0) == 2
    assert tasks.lease_of(b"a") is None
    script.play("grant s0 L7 -> send a L7; demand s0 x1")
    assert tasks.has_leases
    assert tasks.queued(0) == 1
    assert tasks.lease_of(b"a") == 7
    states = [tasks.state_of(task) for task in (b"a", b"b", b"c")]
    assert states == ["sent", "queued", "unknown"]
    assert LINGER_S == 0.05


def test_what_is_drawn_to_a_node_takes_over_an_idle_worker_there(script: Script) -> None:
    script.play("""
        submit a:f      -> demand s0 x1
        grant s0 L1@6   -> send a L1
        submit b:f      -> demand s0 x1
        grant s0 L2@7   -> send b L2
        submit c:f s3   -> demand s3 x1
        done a long     ->
        done b long     ->
        submit d:f s3   ->
        grant s3 L3@6   -> send c L3; demand s3 x1
        done c long     -> send d L3; demand s3 x0
        done d long     ->
        submit e:f s3   -> send e L2
        submit g:f s3   -> send g L3
        submit h:f      -> send h L1
        done e long     ->
        done g long     ->
        submit i:f s3   -> send i L2
        submit k:f s3   -> send k L3
    """)


def test_the_node_is_told_of_workers_that_another_one_has_lent(script: Script) -> None:
    script.play("""
        submit a:f              -> demand s0 x1
        grant s0 L1@7 elsewhere -> send a L1; demand s0 x0 (1 came)
        submit b:f              -> demand s0 x1
        submit c:f              ->
        submit d:f              -> demand s0 x3
        grant s0 L2@8 elsewhere -> send b L2; demand s0 x2 (1 came)
        grant s0 L3@6           -> send c L3
    """)


def test_what_is_spread_asks_for_a_place_for_each_task(script: Script) -> None:
    script.play("""
        submit a:f s4           -> demand s4 x1
        grant s4 L1 elsewhere dealt -> send a L1; demand s4 x0 (1 came)
        done a short            -> give back L1
        submit b:f s4           -> demand s4 x1
        submit c:f s4           ->
        submit d:f s4           -> demand s4 x3
        grant s4 L2 dealt       -> send b L2; demand s4 x2
        grant s4 L3 dealt       -> send c L3; demand s4 x1
        done b short            -> give back L2
        grant s4 L4 dealt       -> send d L4; demand s4 x0
        done c short            -> give back L3
        done d short            -> give back L4
    """)


def test_of_very_many_that_are_spread_each_worker_gets_a_part(script: Script) -> None:
    tasks = script.tasks
    for number in range(4 * SPREAD_PARTS):
        tasks.submit(b"%d" % number, b"f", 4, 0.0)
    tasks.granted(4, 1, 0.0, dealt=True)
    for number in range(3):
        tasks.finished(b"%d" % number, SHORT, 0.0)
        tasks.check()
        assert tasks.lease_of(b"%d" % (number + 1)) == 1
    assert GiveBack(1) in tasks.finished(b"3", SHORT, 0.0)
    tasks.granted(4, 2, 0.0, dealt=True)
    tasks.check()
    assert tasks.lease_of(b"6") == 2, "it is known to be short by now"
    assert tasks.lease_of(b"7") is None


def test_on_one_node_there_is_nothing_to_spread_over(script: Script) -> None:
    script.play("""
        submit a:f s4           -> demand s4 x1
        grant s4 L1             -> send a L1
        done a short            ->
        submit b:f s4           -> send b L1
        at 5                    ->
        done b short            ->
    """)


def test_a_place_that_is_second_best_is_given_up_after_a_while(script: Script) -> None:
    script.play("""
        submit a:f s5           -> demand s5 x1
        grant s5 L1 elsewhere dealt -> send a L1; demand s5 x0 (1 came)
        done a short            ->
        at 0.02                 ->
        submit b:f s5           -> send b L1
        at 0.99                 ->
        done b short            ->
        submit c:f s5           -> send c L1
        at 1                    ->
        submit d:f s5           -> demand s5 x1
        done c short            -> give back L1
    """)


def test_what_came_is_said_apart_from_what_is_wanted_besides(script: Script) -> None:
    script.play("""
        submit a:f s4           -> demand s4 x1
        submit b:f s4           ->
        submit c:f s4           -> demand s4 x3
        submit d:f s4           ->
        submit e:f s4           ->
        grant s4 L1 elsewhere dealt -> send a L1; demand s4 x4 (1 came)
        grant s4 L2 dealt       -> send b L2; demand s4 x3
    """)


def test_where_there_is_no_room_what_is_spread_goes_on_with_the_workers_there_are(
    script: Script,
) -> None:
    script.play("""
        submit a:f s4           -> demand s4 x1
        submit b:f s4           ->
        submit c:f s4           -> demand s4 x3
        submit d:f s4           ->
        grant s4 L1 dealt       -> send a L1; demand s4 x3
        grant s4 L2 dealt       -> send b L2; demand s4 x2
        at 0.009                ->
        done a short            -> give back L1
        at 0.02                 ->
        done b short            -> send c L2
        reclaim L2              ->
        done c short            -> give back L2
        grant s4 L3 dealt       -> send d L3; demand s4 x0
        at 1                    ->
        done d short            -> give back L3
    """)
