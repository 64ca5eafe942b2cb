"""Scenarios of the node scheduler, as transcripts: event, then expected instructions.

Workers and leases are numbered from 1 in the order in which they appear. A shape is written
``CPU=1,GPU=0.5`` (``-`` for nothing) with ``@g0`` for bundle 0 of group g, ``@g*`` for any, and
``!e`` for the runtime environment e.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from air.executor.resources import Resources
from air_cluster.core.instructions import (
    BundleReserved,
    Grant,
    Instruction,
    LeaseLost,
    Place,
    Reclaim,
    Refuse,
    RefusePlacement,
    StartWorker,
    StopWorker,
)
from air_cluster.core.leases import NodeScheduler
from air_cluster.core.shapes import ANY_BUNDLE, RefusalKind, ShapeKey
from air_cluster.core.waiting import Kind
from air_cluster.core.workers import WorkerState


def parse_resources(text: str) -> Resources:
    pairs = [] if text == "-" else [item.split("=") for item in text.split(",")]
    return Resources({name: float(amount) for name, amount in pairs})


def parse_shape(text: str) -> ShapeKey:
    text, _, environment = text.partition("!")
    quantities, _, bundle = text.partition("@")
    pool = None
    if bundle:
        index = ANY_BUNDLE if bundle[1:] == "*" else int(bundle[1:])
        pool = bundle[:1].encode(), index
    return ShapeKey(parse_resources(quantities), pool, environment.encode())


def worker_id(name: str) -> str:
    return f"n{int(name.removeprefix('w')):08x}"


def render(instruction: Instruction) -> str:
    def short(identity: str) -> str:
        return f"w{int(identity[1:], 16)}"

    def gpus(ids: tuple[int, ...]) -> str:
        return f" gpus {','.join(map(str, ids))}" if ids else ""

    match instruction:
        case StartWorker(worker, dedicated, environment):
            kind = " dedicated" if dedicated else ""
            return (
                f"start {short(worker)}{kind}{' in ' if environment else ''}{environment.decode()}"
            )
        case StopWorker(worker):
            return f"stop {short(worker)}"
        case Grant(owner, _, lease, worker, ids):
            return f"grant {owner.decode()} L{lease} {short(worker)}{gpus(ids)}"
        case Refuse(owner, _, reason, _):
            return f"refuse {owner.decode()} {reason.value}"
        case Reclaim(lease, owner):
            return f"reclaim L{lease} {owner.decode()}"
        case LeaseLost(lease, owner, reason):
            return f"lost L{lease} {owner.decode()} {reason.value}"
        case Place(actor, worker, ids):
            return f"place {actor.decode()} {short(worker)}{gpus(ids)}"
        case RefusePlacement(actor, reason, _):
            return f"refuse-actor {actor.decode()} {reason.value}"
        case BundleReserved(group, index):
            return f"reserved {group.decode()}{index}"


class Script:
    """Feeds transcripts to a scheduler and compares what it says."""

    def __init__(self, total: str, **options: float) -> None:
        self.node = NodeScheduler(
            "n",
            parse_resources(total),
            int(options.pop("max_idle", 2)),
            **options,  # type: ignore[arg-type]
        )
        self.now = 0.0

    def play(self, transcript: str) -> None:
        for line in transcript.strip().splitlines():
            event, _, expected = (part.strip() for part in line.partition("->"))
            said = "; ".join(map(render, self._feed(event)))
            assert said == expected, f"\n{event}\n said:     {said}\n expected: {expected}"
            self.node.check()

    def _feed(self, event: str) -> list[Instruction]:
        word, *args = event.split()
        node = self.node
        if word == "at":
            self.now = float(args[0])
            return node.tick(self.now)
        if word == "demand":
            depth = int(args[3].removeprefix("depth=")) if len(args) > 3 else 0
            count = int(args[2].removeprefix("x"))
            return node.set_demand(args[0].encode(), parse_shape(args[1]), count, depth, self.now)
        if word == "place":
            owner, depth = b"head", int(args[2]) if len(args) > 2 else 0
            shape = parse_shape(args[1])
            return node.place(args[0].encode(), shape, owner=owner, depth=depth, now=self.now)
        if word == "reserve":
            group, index = args[0][:1].encode(), int(args[0][1:])
            took = node.reserve(group, index, parse_resources(args[1]), self.now)
            assert took == (args[2] == "yes"), event
            return []
        if word == "await":
            group, index = args[0][:1].encode(), int(args[0][1:])
            resources = parse_resources(args[1])
            return node.await_reservation(group, index, resources, owner=b"pg", now=self.now)
        if word == "unreserve":
            return node.unreserve(args[0][:1].encode(), int(args[0][1:]), self.now)
        if word == "expect":
            node.expect_group(args[0].encode())
            return []
        if word == "return":
            return node.return_lease(int(args[0].removeprefix("L")), self.now)
        by_worker: dict[str, Callable[[str, float], list[Instruction]]] = {
            "ready": node.worker_ready,
            "died": node.worker_died,
            "blocked": node.blocked,
            "unblocked": node.unblocked,
            "dismissed": node.dismissed,
            "retired": node.retired,
        }
        if word == "broken":
            return node.environment_failed(worker_id(args[0]), "no such package", self.now)
        if word in by_worker:
            return by_worker[word](worker_id(args[0]), self.now)
        by_name: dict[str, Callable[[bytes, float], list[Instruction]]] = {
            "gone": node.owner_gone,
            "cancel": node.cancel_placement,
            "commit": node.commit,
            "remove": node.remove_group,
            "over": node.environment_over,
        }
        return by_name[word](args[0].encode(), self.now)


@pytest.fixture
def script() -> Iterator[Callable[..., Script]]:
    made: list[Script] = []

    def make(total: str, **options: float) -> Script:
        made.append(Script(total, **options))
        return made[-1]

    yield make
    for each in made:
        each.node.check()


def test_workers_are_started_lent_returned_and_lent_again(script: Callable[..., Script]) -> None:
    script("CPU=2").play(
        """
        demand A CPU=1 x3 -> start w1; start w2
        ready w1          -> grant A L1 w1
        ready w2          -> grant A L2 w2
        return L1         -> grant A L3 w1
        return L2         ->
        demand A CPU=1 x1 -> grant A L4 w2
        """
    )


def test_demand_is_a_level_not_an_increment(script: Callable[..., Script]) -> None:
    script("CPU=4").play(
        """
        demand A CPU=1 x2 -> start w1; start w2
        demand A CPU=1 x2 ->
        demand A CPU=1 x3 -> start w3
        demand A CPU=1 x1 ->
        ready w1          -> grant A L1 w1
        ready w2          ->
        ready w3          ->
        demand A CPU=1 x0 ->
        """
    )


def test_a_returned_worker_serves_who_waits_for_a_start(script: Callable[..., Script]) -> None:
    script("CPU=2").play(
        """
        demand A CPU=1 x1 -> start w1
        ready w1          -> grant A L1 w1
        demand B CPU=1 x1 -> start w2
        return L1         -> grant B L2 w1
        ready w2          ->
        demand C CPU=1 x1 -> grant C L3 w2
        """
    )


def test_a_demand_that_can_never_be_met_is_refused_at_once(script: Callable[..., Script]) -> None:
    run = script("CPU=2,memory=100")
    run.play("demand A CPU=1,trumpet=1 x5 -> refuse A infeasible")
    (refusal,) = run.node.set_demand(
        b"A", ShapeKey(Resources({"CPU": 1, "memroy": 3})), 1, 0, now=0.0
    )
    assert isinstance(refusal, Refuse)
    assert refusal.message == (
        "nothing could ever provide {'CPU': 1, 'memroy': 3}: node n has"
        " {'CPU': 2, 'memory': 100}. No node has any 'memroy'. Did you mean 'memory'?"
    )
    assert run.node.unmet() == []


def test_a_cluster_may_know_better_what_is_feasible() -> None:
    class Patient(NodeScheduler):
        def feasibility(self, shape: ShapeKey) -> tuple[RefusalKind, str] | None:
            return None

    node = Patient("n", Resources({"CPU": 1}), 1)
    shape = ShapeKey(Resources({"CPU": 8}))
    assert node.set_demand(b"A", shape, 3, 0, now=1.0) == []
    (unmet,) = node.unmet()
    assert (unmet.kind, unmet.subject, unmet.count, unmet.since) == (Kind.LEASE, b"A", 3, 1.0)
    node.check()


def test_a_backlog_does_not_starve_a_small_demand(script: Callable[..., Script]) -> None:
    script("CPU=2").play(
        """
        demand A CPU=1 x1000000 -> start w1; start w2
        ready w1                -> grant A L1 w1
        ready w2                -> grant A L2 w2
        demand B CPU=1 x1       -> reclaim L1 A
        demand B CPU=1 x1       ->
        return L2               -> grant B L3 w2
        return L1               -> grant A L4 w1
        """
    )


def test_owners_of_equal_depth_take_turns(script: Callable[..., Script]) -> None:
    script("CPU=1").play(
        """
        demand A CPU=1 x9 -> start w1
        ready w1          -> grant A L1 w1
        demand B CPU=1 x9 ->
        demand C CPU=1 x9 ->
        return L1         -> grant B L2 w1
        return L2         -> grant C L3 w1
        return L3         -> grant A L4 w1
        return L4         -> grant B L5 w1
        """
    )


def test_children_of_blocked_parents_come_first(script: Callable[..., Script]) -> None:
    script("CPU=1").play(
        """
        demand driver CPU=1 x9       -> start w1
        ready w1                     -> grant driver L1 w1
        demand parent CPU=1 x1 depth=1 -> reclaim L1 driver
        blocked w1                   -> start w2
        ready w2                     -> grant parent L2 w2
        unblocked w1                 ->
        return L2                    ->
        return L1                    -> grant driver L3 w1
        """
    )


def test_unblocking_may_overdraw_and_then_nothing_is_granted(
    script: Callable[..., Script],
) -> None:
    run = script("CPU=1")
    run.play(
        """
        demand A CPU=1 x1 -> start w1
        ready w1          -> grant A L1 w1
        blocked w1        ->
        blocked w1        ->
        demand B CPU=1 x2 -> start w2
        ready w2          -> grant B L2 w2
        unblocked w1      ->
        """
    )
    assert run.node.available().to_dict() == {"CPU": -1}
    run.play(
        """
        unblocked w1      ->
        return L1         ->
        return L2         -> grant B L3 w2
        """
    )


def test_blocking_gives_back_cpu_and_nothing_else(script: Callable[..., Script]) -> None:
    run = script("CPU=1,GPU=1,memory=100")
    run.play(
        """
        demand A CPU=1,GPU=1,memory=60 x1 -> start w1
        ready w1   -> grant A L1 w1 gpus 0
        blocked w1 ->
        """
    )
    assert run.node.available().to_dict() == {"CPU": 1, "memory": 40}
    run.play("died w1 -> lost L1 A worker_died")
    assert run.node.available() == run.node.total


def test_a_return_while_blocked_gives_back_the_rest(script: Callable[..., Script]) -> None:
    run = script("CPU=1,disk=1")
    run.play(
        """
        demand A CPU=1,disk=1 x1 -> start w1
        ready w1     -> grant A L1 w1
        blocked w1   ->
        return L1    ->
        unblocked w1 ->
        """
    )
    assert run.node.available() == run.node.total


def test_fractions_of_gpus_share_a_slot_and_whole_ones_do_not(
    script: Callable[..., Script],
) -> None:
    script("CPU=8,GPU=3").play(
        """
        demand A GPU=0.5 x3 -> start w1; start w2; start w3
        ready w1            -> grant A L1 w1 gpus 0
        ready w2            -> grant A L2 w2 gpus 0
        ready w3            -> grant A L3 w3 gpus 1
        demand B GPU=2 x1   -> reclaim L1 A; reclaim L2 A
        demand C GPU=1 x1   -> start w4
        ready w4            -> grant C L4 w4 gpus 2
        demand D GPU=0.25 x1 -> start w5
        ready w5            -> grant D L5 w5 gpus 1
        """
    )


def test_workers_that_had_gpus_are_not_used_again(script: Callable[..., Script]) -> None:
    script("CPU=2,GPU=1").play(
        """
        demand A GPU=1 x2 -> start w1
        ready w1          -> grant A L1 w1 gpus 0
        return L1         -> stop w1
        died w1           -> start w2
        ready w2          -> grant A L2 w2 gpus 0
        demand B CPU=1 x1 -> start w3
        ready w3          -> grant B L3 w3
        return L3         ->
        return L2         -> stop w2
        died w2           ->
        demand A GPU=1 x1 -> start w4
        """
    )


def test_a_worker_that_dies_while_starting_is_replaced_twice_then_demands_are_refused(
    script: Callable[..., Script],
) -> None:
    run = script("CPU=1,cards=1")
    run.play(
        """
        demand A CPU=1 x5 -> start w1
        demand B CPU=1 x1 ->
        died w1           -> start w2
        died w2           -> start w3
        died w3           -> refuse A worker_start_failed; start w4
        died w4           -> refuse B worker_start_failed
        demand A CPU=1 x1 -> start w5
        ready w5          -> grant A L3 w5
        return L3         ->
        """
    )
    assert run.node.available() == run.node.total


def test_failed_starts_of_actors_are_refused_too(script: Callable[..., Script]) -> None:
    script("CPU=2").play(
        """
        place a CPU=1 -> start w1 dedicated
        died w1       -> start w2 dedicated
        died w2       -> start w3 dedicated
        died w3       -> refuse-actor a worker_start_failed
        place a CPU=1 -> start w4 dedicated
        ready w4      -> place a w4
        """
    )


def test_a_gone_owner_takes_its_demands_and_leases_along(script: Callable[..., Script]) -> None:
    run = script("CPU=2")
    run.play(
        """
        demand A CPU=1 x3 -> start w1; start w2
        ready w1          -> grant A L1 w1
        demand B CPU=2 x1 ->
        gone A            -> stop w1
        ready w2          ->
        return L1         ->
        died w1           -> grant B L3 w2
        """
    )


def test_actors_get_fresh_workers_of_their_own(script: Callable[..., Script]) -> None:
    run = script("CPU=1,GPU=1")
    run.play(
        """
        demand A CPU=1 x1  -> start w1
        ready w1           -> grant A L1 w1
        return L1          ->
        place a CPU=1,GPU=1 -> start w2 dedicated
        place a CPU=1,GPU=1 ->
        ready w2           -> place a w2 gpus 0
        place a CPU=1,GPU=1 -> place a w2 gpus 0
        demand A CPU=1 x1  ->
        blocked w2         -> grant A L3 w1
        unblocked w2       ->
        cancel a           -> stop w2
        died w2            ->
        """
    )
    assert run.node.available().to_dict() == {"GPU": 1}


def test_an_actor_is_not_placed_again_on_the_worker_that_was_killed_for_it(
    script: Callable[..., Script],
) -> None:
    script("CPU=2").play(
        """
        place a CPU=1 -> start w1 dedicated
        ready w1      -> place a w1
        dismissed w1  -> stop w1
        dismissed w1  ->
        place a CPU=1 -> start w2 dedicated
        died w1       ->
        ready w2      -> place a w2
        place a CPU=1 -> place a w2
        """
    )


def test_what_an_actor_held_is_free_while_its_process_stays(script: Callable[..., Script]) -> None:
    run = script("CPU=1,GPU=1")
    run.play(
        """
        place a CPU=1,GPU=1 -> start w1 dedicated
        ready w1            -> place a w1 gpus 0
        place b GPU=1       ->
        demand A CPU=1 x1   ->
        retired w1          -> start w2; start w3 dedicated
        retired w1          ->
        ready w2            -> grant A L2 w2
        ready w3            -> place b w3 gpus 0
        cancel a            ->
        blocked w1          ->
        unblocked w1        ->
        retired w2          ->
        died w1             ->
        """
    )
    assert run.node.available().to_dict() == {}


def test_placements_are_cancelled_at_any_stage(script: Callable[..., Script]) -> None:
    run = script("CPU=1")
    run.play(
        """
        place a CPU=1 -> start w1 dedicated
        place b CPU=1 ->
        cancel b      ->
        cancel a      -> stop w1
        ready w1      ->
        died w1       ->
        place a CPU=1 -> start w2 dedicated
        ready w2      -> place a w2
        cancel a      -> stop w2
        died w2       ->
        """
    )
    assert run.node.available() == run.node.total
    assert run.node.workers() == []


def test_large_requests_do_not_hold_up_small_ones_until_they_starve(
    script: Callable[..., Script],
) -> None:
    script("CPU=2").play(
        """
        demand A CPU=1 x9 -> start w1; start w2
        ready w1          -> grant A L1 w1
        ready w2          -> grant A L2 w2
        demand B CPU=2 x1 ->
        return L1         -> grant A L3 w1
        at 1              ->
        at 2              -> reclaim L2 A; reclaim L3 A
        return L2         ->
        return L3         -> grant B L4 w1
        return L4         -> grant A L5 w1; grant A L6 w2
        """
    )


def test_children_pass_a_holder(script: Callable[..., Script]) -> None:
    script("CPU=2").play(
        """
        demand A CPU=1 x3       -> start w1; start w2
        ready w1                -> grant A L1 w1
        ready w2                -> grant A L2 w2
        demand B CPU=2 x1       ->
        at 2                    -> reclaim L1 A; reclaim L2 A
        blocked w1              ->
        demand C CPU=1 x1 depth=1 -> start w3
        ready w3                -> grant C L3 w3
        """
    )


def test_a_hold_ends_and_comes_back_twice_as_long(script: Callable[..., Script]) -> None:
    script("CPU=2").play(
        """
        demand A CPU=1 x9 -> start w1; start w2
        ready w1          -> grant A L1 w1
        ready w2          -> grant A L2 w2
        demand B CPU=2 x1 ->
        at 2              -> reclaim L1 A; reclaim L2 A
        return L1         ->
        at 11             ->
        at 12             -> grant A L3 w1
        at 13.9           ->
        at 14             -> reclaim L3 A
        return L3         ->
        at 33             ->
        at 34             -> grant A L4 w1
        """
    )


def test_nothing_is_held_for_what_waits_for_an_actor_to_end(script: Callable[..., Script]) -> None:
    script("CPU=2").play(
        """
        place a CPU=1     -> start w1 dedicated
        ready w1          -> place a w1
        demand B CPU=2 x1 ->
        at 5              ->
        demand A CPU=1 x9 -> start w2
        ready w2          -> grant A L2 w2
        at 9              ->
        return L2         -> grant A L3 w2
        cancel a          -> stop w1
        died w1           -> start w3
        """
    )


def test_two_owners_with_endless_work_share_one_cpu_in_slices(
    script: Callable[..., Script],
) -> None:
    script("CPU=1").play(
        """
        demand A CPU=1 x99 -> start w1
        ready w1           -> grant A L1 w1
        demand B CPU=1 x99 ->
        at 1               ->
        at 2               -> reclaim L1 A
        return L1          -> grant B L2 w1
        at 3               ->
        at 4               -> reclaim L2 B
        return L2          -> grant A L3 w1
        """
    )


def test_idle_leases_are_asked_back_from_whoever_keeps_them(script: Callable[..., Script]) -> None:
    script("CPU=2").play(
        """
        demand A CPU=1 x2 -> start w1; start w2
        ready w1          -> grant A L1 w1
        ready w2          -> grant A L2 w2
        demand A CPU=2 x1 -> reclaim L1 A; reclaim L2 A
        demand A CPU=2 x1 ->
        return L1         ->
        return L2         -> grant A L3 w2
        """
    )


def test_another_lease_is_asked_back_when_the_first_does_not_come(
    script: Callable[..., Script],
) -> None:
    script("CPU=3").play(
        """
        demand A CPU=1 x99 -> start w1; start w2; start w3
        ready w1           -> grant A L1 w1
        ready w2           -> grant A L2 w2
        ready w3           -> grant A L3 w3
        demand B CPU=1 x1  -> reclaim L1 A
        at 1.9             ->
        at 2               -> reclaim L2 A
        """
    )


def test_surplus_idle_workers_are_stopped_after_a_while(script: Callable[..., Script]) -> None:
    script("CPU=3", max_idle=1, idle_timeout=10).play(
        """
        demand A CPU=1 x3 -> start w1; start w2; start w3
        ready w1          -> grant A L1 w1
        ready w2          -> grant A L2 w2
        ready w3          -> grant A L3 w3
        return L2         ->
        at 5              ->
        return L1         ->
        return L3         ->
        at 10             -> stop w2
        at 14             ->
        at 15             -> stop w1
        died w1           ->
        died w2           ->
        at 99             ->
        """
    )


def test_leases_without_resources_are_bounded(script: Callable[..., Script]) -> None:
    script("CPU=1", max_weightless=2).play(
        """
        demand A - x1000000 -> start w1; start w2
        ready w1            -> grant A L1 w1
        ready w2            -> grant A L2 w2
        blocked w1          -> start w3
        ready w3            -> grant A L3 w3
        """
    )


def test_bundles_have_accounts_of_their_own(script: Callable[..., Script]) -> None:
    run = script("CPU=4,GPU=2")
    run.play(
        """
        reserve g0 CPU=2,GPU=1 yes  ->
        reserve g0 CPU=2,GPU=1 yes  ->
        reserve g1 CPU=2,GPU=1 yes  ->
        reserve h0 CPU=1 no         ->
        demand A CPU=1 x1           ->
        demand A CPU=2@g1 x1        ->
        commit g                    -> start w1
        ready w1                    -> grant A L1 w1
        demand A CPU=2,GPU=1@g* x1  -> start w2
        ready w2                    -> grant A L2 w2 gpus 0
        demand A GPU=1@g1 x1        -> start w3
        ready w3                    -> grant A L3 w3 gpus 1
        demand A CPU=3@g0 x1        -> refuse A infeasible
        demand A CPU=3@g* x1        -> refuse A infeasible
        """
    )
    assert run.node.describe().splitlines()[:3] == [
        "node n: {} free of {'CPU': 4, 'GPU': 2}",
        "bundle 0 of placement group 67: {} free of {'CPU': 2, 'GPU': 1}",
        "bundle 1 of placement group 67: {} free of {'CPU': 2, 'GPU': 1}",
    ]


def test_demands_wait_for_their_group_and_end_with_it(script: Callable[..., Script]) -> None:
    run = script("CPU=2")
    run.play(
        """
        demand A CPU=1@g0 x1 -> refuse A group_removed
        expect g             ->
        demand A CPU=1@g0 x3 ->
        place a CPU=1@g0     ->
        reserve g0 CPU=2 yes ->
        commit g             -> start w1; start w2 dedicated
        ready w1             -> grant A L1 w1
        ready w2             -> place a w2
        remove g             -> refuse A group_removed; stop w1; lost L1 A group_removed; stop w2
        demand B CPU=2 x1    ->
        died w1              ->
        died w2              -> start w3
        place a CPU=1@g0     -> refuse-actor a group_removed
        """
    )


def test_demands_that_fit_no_bundle_are_refused_on_commit(script: Callable[..., Script]) -> None:
    script("CPU=2").play(
        """
        expect g             ->
        demand A CPU=2@g0 x1 ->
        place a CPU=2@g*     ->
        reserve g0 CPU=1 yes ->
        commit g             -> refuse A infeasible; refuse-actor a infeasible
        """
    )


def test_a_bundle_given_back_stops_what_is_in_it(script: Callable[..., Script]) -> None:
    run = script("CPU=2")
    run.play(
        """
        reserve g0 CPU=1 yes ->
        reserve g1 CPU=1 yes ->
        commit g             ->
        demand A CPU=1@g* x2 -> start w1; start w2
        place a CPU=1@g1     ->
        ready w1             -> grant A L1 w1
        unreserve g0         -> stop w1; lost L1 A group_removed
        unreserve g1         ->
        """
    )
    assert run.node.available().to_dict() == {"CPU": 1}
    run.play("died w1 ->")
    assert run.node.available() == run.node.total
    assert [unmet.count for unmet in run.node.unmet()] == [1, 1]


def test_an_actor_being_started_in_a_bundle_given_back_waits_on(
    script: Callable[..., Script],
) -> None:
    script("CPU=1").play(
        """
        reserve g0 CPU=1 yes ->
        commit g             ->
        place a CPU=1@g0     -> start w1 dedicated
        unreserve g0         -> stop w1
        died w1              ->
        reserve g0 CPU=1 yes ->
        commit g             -> start w2 dedicated
        ready w2             -> place a w2
        """
    )


def test_a_reservation_that_waits_is_not_starved_by_a_backlog(
    script: Callable[..., Script],
) -> None:
    script("CPU=2").play(
        """
        demand A CPU=1 x1000000 -> start w1; start w2
        ready w1                -> grant A L1 w1
        ready w2                -> grant A L2 w2
        reserve g0 CPU=2 no     ->
        await g0 CPU=2          ->
        return L1               -> grant A L3 w1
        at 2                    -> reclaim L2 A; reclaim L3 A
        return L2               ->
        reserve g0 CPU=2 no     ->
        return L3               -> reserved g0
        await g0 CPU=2          -> reserved g0
        demand B CPU=2@g0 x1    ->
        commit g                -> grant B L4 w1
        """
    )


def test_a_reservation_that_waits_can_be_withdrawn(script: Callable[..., Script]) -> None:
    run = script("CPU=1")
    run.play(
        """
        await g0 CPU=1 -> reserved g0
        await g1 CPU=1 ->
        unreserve g1   ->
        await g2 CPU=1 ->
        remove g       ->
        """
    )
    assert run.node.available() == run.node.total
    assert run.node.unmet() == []


def test_environments_have_workers_of_their_own(script: Callable[..., Script]) -> None:
    script("CPU=4", max_idle=4).play(
        """
        demand A CPU=1 x1   -> start w1
        demand A CPU=1!e x1 -> start w2 in e
        demand B CPU=1!f x1 -> start w3 in f
        ready w2            -> grant A L2 w2
        ready w3            -> grant B L3 w3
        ready w1            -> grant A L1 w1
        return L1           ->
        return L2           ->
        demand B CPU=1!e x2 -> grant B L4 w2; start w4 in e
        place a CPU=1!f     -> start w5 dedicated in f
        ready w4            -> grant B L5 w4
        ready w5            -> place a w5
        """
    )


def test_idle_workers_make_room_for_other_environments(script: Callable[..., Script]) -> None:
    script("CPU=4", max_idle=2).play(
        """
        demand A CPU=1!e x2 -> start w1 in e; start w2 in e
        ready w1            -> grant A L1 w1
        ready w2            -> grant A L2 w2
        return L1           ->
        demand B CPU=1!f x1 -> start w3 in f
        ready w3            -> grant B L3 w3
        return L2           ->
        demand C CPU=1 x1   -> start w4; stop w1
        place a CPU=1!e     -> start w5 dedicated in e
        """
    )


def test_what_waits_for_a_broken_environment_is_refused(script: Callable[..., Script]) -> None:
    script("CPU=2").play(
        """
        demand A CPU=1!e x5 -> start w1 in e; start w2 in e
        demand C CPU=1!e x1 ->
        demand B CPU=1 x1   ->
        broken w1  -> refuse A environment; refuse C environment; stop w1; stop w2; start w3
        died w1             ->
        broken w2           ->
        died w2             ->
        ready w3            -> grant B L3 w3
        return L3           ->
        demand A CPU=1!e x1 -> start w4 in e
        place a CPU=1!e     -> start w5 dedicated in e
        broken w5           -> refuse A environment; refuse-actor a environment; stop w5; stop w4
        broken w3           ->
        """
    )


def test_workers_of_an_environment_that_is_over_end(script: Callable[..., Script]) -> None:
    script("CPU=3", max_idle=3).play(
        """
        demand A CPU=1!e x2 -> start w1 in e; start w2 in e
        ready w1            -> grant A L1 w1
        ready w2            -> grant A L2 w2
        return L1           ->
        over e              -> stop w1
        died w1             ->
        return L2           -> stop w2
        died w2             ->
        demand A CPU=1!e x1 -> start w3 in e
        ready w3            -> grant A L3 w3
        return L3           ->
        over f              ->
        """
    )


def test_an_actor_that_outlives_its_program_has_workers(script: Callable[..., Script]) -> None:
    script("CPU=3", max_idle=3).play(
        """
        place a CPU=1!e     -> start w1 dedicated in e
        ready w1            -> place a w1
        over e              ->
        demand B CPU=1!e x1 -> start w2 in e
        ready w2            -> grant B L2 w2
        return L2           ->
        died w1             -> stop w2
        died w2             ->
        """
    )


def test_late_events_do_nothing(script: Callable[..., Script]) -> None:
    script("CPU=1").play(
        """
        ready w9     ->
        died w9      ->
        blocked w9   ->
        unblocked w9 ->
        retired w9   ->
        return L9    ->
        gone X       ->
        cancel x     ->
        unreserve g0 ->
        commit g     ->
        remove g     ->
        """
    )


def test_listing_of_workers(script: Callable[..., Script]) -> None:
    run = script("CPU=2,GPU=1")
    run.play(
        """
        demand A CPU=1 x1 -> start w1
        ready w1          -> grant A L1 w1
        place a GPU=1     -> start w2 dedicated
        ready w2          -> place a w2 gpus 0
        blocked w1        ->
        """
    )
    leased, dedicated = run.node.workers()
    assert (leased.state, leased.lease_id, leased.owner) == (WorkerState.LEASED, 1, b"A")
    assert leased.blocked
    assert (dedicated.actor_id, dedicated.gpu_ids) == (b"a", (0,))
    assert run.node.describe().splitlines()[-1] == "workers: 1 leased, 1 dedicated"
