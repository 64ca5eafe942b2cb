"""Scenarios of the placement groups, as transcripts: event, then expected instructions.

``create g PACK 1,2`` asks for bundles of 1 and 2 CPUs; ``free a=2 b=0`` reports free CPUs;
``reserved g0`` and ``refused g0`` answer the latest attempt for the first bundle of g.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from air.errors import InvalidOption, Unschedulable
from air.executor.resources import Resources
from air.executor.scheduling import PLACEMENT_STRATEGIES, PlacementGroupSpec
from air_cluster.core.group_instructions import (
    Commit,
    ExpectGroup,
    GroupChanged,
    GroupHopeless,
    GroupInstruction,
    GroupSnapshot,
    GroupState,
    RemoveGroup,
    Reserve,
    Unreserve,
)
from air_cluster.core.placement_groups import PlacementGroups


def cpus(amount: float) -> Resources:
    return Resources({"CPU": amount})


def render(instruction: GroupInstruction) -> str:
    match instruction:
        case ExpectGroup(group):
            return f"expect {group.decode()}"
        case Reserve(group, index, node, _, wait, _):
            return f"{'await' if wait else 'reserve'} {group.decode()}{index} {node}"
        case Unreserve(group, index, node):
            return f"unreserve {group.decode()}{index} {node}"
        case Commit(group, node):
            return f"commit {group.decode()} {node}"
        case RemoveGroup(group):
            return f"remove {group.decode()}"
        case GroupChanged(group, state, nodes):
            where = "".join(node or "-" for node in nodes)
            return f"tell {group.decode()} {state.value} {where}"
        case GroupHopeless(group, why, was_there):
            assert not why or "no nodes could ever hold" in why
            said = "hopeless" if why else "hope"
            return f"{said} {group.decode()}" + (" lost" if was_there else "")


class Script:
    """Feeds transcripts to the groups and compares what they say."""

    def __init__(self, **options: bool) -> None:
        self.groups = PlacementGroups(**options)
        self.now = 0.0
        self.attempts: dict[tuple[bytes, int], int] = {}

    def play(self, transcript: str) -> None:
        for line in transcript.strip().splitlines():
            event, _, expected = (part.strip() for part in line.partition("->"))
            out = self._feed(event)
            for instruction in out:
                if isinstance(instruction, Reserve):
                    key = instruction.group_id, instruction.index
                    self.attempts[key] = instruction.attempt
            said = "; ".join(map(render, out))
            assert said == expected, f"\n{event}\n said:     {said}\n expected: {expected}"
            self.groups.check()

    def _feed(self, event: str) -> list[GroupInstruction]:
        word, *args = event.split()
        groups, name = self.groups, args[0][:1].encode()
        match word:
            case "at":
                self.now = float(args[0])
                return groups.tick(self.now)
            case "join":
                return groups.node_joined(args[0], cpus(float(args[1])), now=self.now)
            case "lost":
                return groups.node_lost(args[0], now=self.now)
            case "free":
                pairs = (arg.split("=") for arg in args)
                free = {node: cpus(float(amount)) for node, amount in pairs}
                return groups.resources_changed(free, now=self.now)
            case "create":
                spec = PlacementGroupSpec(
                    tuple(cpus(float(amount)) for amount in args[2].split(",")),
                    args[1],
                    detached="detached" in args,
                )
                return groups.create(name, spec, b"O", now=self.now)
            case "reserved" | "refused":
                index = int(args[0][1:])
                answer = groups.reserved if word == "reserved" else groups.refused
                return answer(name, index, self.attempts[name, index], now=self.now)
            case "remove":
                return groups.remove(name, now=self.now)
            case "gone":
                return groups.owner_gone(name, now=self.now)
        raise AssertionError(event)


@pytest.fixture
def script() -> Iterator[Script]:
    made = Script()
    yield made
    made.groups.check()


def test_two_phases(script: Script) -> None:
    script.play(
        """
        join a 2             ->
        join b 2             ->
        create g SPREAD 1,1,1 -> reserve g0 a; reserve g1 b; reserve g2 a
        reserved g0          ->
        reserved g0          ->
        reserved g2          ->
        reserved g1          -> commit g a; commit g b; tell g CREATED aba
        reserved g1          ->
        remove g             -> remove g; tell g REMOVED ---
        remove g             ->
        """
    )
    (info,) = script.groups.infos()
    assert (info.state, info.strategy) == ("REMOVED", "SPREAD")
    assert info.bundles == ({"CPU": 1},) * 3


def test_a_refusal_gives_back_the_others_and_waits_where_it_would_fit(script: Script) -> None:
    script.play(
        """
        join a 2                   ->
        join b 1                   ->
        create g STRICT_SPREAD 1,1 -> reserve g0 a; reserve g1 b
        reserved g0                ->
        refused g1                 -> unreserve g0 a; await g0 a; await g1 b
        reserved g0                ->
        reserved g1                -> commit g a; commit g b; tell g CREATED ab
        """
    )


def test_a_node_that_has_refused_is_passed_over_until_it_reports(script: Script) -> None:
    """As one with half of each of its GPUs free, where a whole one is asked for."""
    script.play(
        """
        join a 1                ->
        join b 2                ->
        create g PACK 1         -> reserve g0 a
        refused g0              -> reserve g0 b
        refused g0              -> await g0 a
        free b=2                -> unreserve g0 a; reserve g0 b
        reserved g0             -> commit g b; tell g CREATED b
        """
    )


def test_a_group_without_room_waits_for_tasks_to_end(script: Script) -> None:
    script.play(
        """
        join a 2        ->
        free a=0        ->
        create g PACK 2 -> expect g; await g0 a
        create h PACK 1 -> expect h
        free a=1        ->
        reserved g0     -> commit g a; tell g CREATED a
        remove g        -> remove g; tell g REMOVED -; await h0 a
        """
    )
    (unmet,) = script.groups.unmet()
    assert (unmet.group_id, unmet.bundles, unmet.strategy) == (b"h", (cpus(1),), "PACK")


def test_groups_wait_one_at_a_time_in_the_order_of_creation(script: Script) -> None:
    script.play(
        """
        join a 2        ->
        join b 2        ->
        free a=0 b=0    ->
        create g STRICT_SPREAD 1,1 -> expect g; await g0 a; await g1 b
        create h STRICT_SPREAD 1,1 -> expect h
        reserved g0     ->
        reserved g1     -> commit g a; commit g b; tell g CREATED ab; await h0 a; await h1 b
        """
    )


def test_small_groups_pass_large_ones_that_cannot_be_placed_yet(script: Script) -> None:
    script.play(
        """
        join a 4        ->
        create g PACK 2 -> reserve g0 a
        reserved g0     -> commit g a; tell g CREATED a
        create h PACK 4 -> expect h
        create i PACK 1 -> reserve i0 a
        reserved i0     -> commit i a; tell i CREATED a
        remove g        -> remove g; tell g REMOVED -
        free a=3        ->
        remove i        -> remove i; tell i REMOVED -; await h0 a
        """
    )


def test_a_waiting_group_moves_to_where_there_is_room(script: Script) -> None:
    script.play(
        """
        join a 2        ->
        free a=0        ->
        create g PACK 2 -> expect g; await g0 a
        free a=1        ->
        join b 2        -> unreserve g0 a; reserve g0 b
        reserved g0     -> commit g b; tell g CREATED b
        """
    )


def test_answers_to_old_attempts_are_ignored(script: Script) -> None:
    script.play(
        """
        join a 1        ->
        create g PACK 1 -> reserve g0 a
        """
    )
    old = script.attempts[b"g", 0]
    script.play("refused g0 -> await g0 a")
    assert script.groups.reserved(b"g", 0, old, now=0.0) == []
    script.play("reserved g0 -> commit g a; tell g CREATED a")


def test_lost_bundles_are_placed_again(script: Script) -> None:
    script.play(
        """
        join a 1                   ->
        join b 1                   ->
        create g STRICT_SPREAD 1,1 -> reserve g0 a; reserve g1 b
        reserved g0                ->
        reserved g1                -> commit g a; commit g b; tell g CREATED ab
        lost a                     -> tell g PENDING -b
        lost a                     ->
        free b=1                   ->
        join c 1                   -> reserve g0 c
        reserved g0                -> commit g c; tell g CREATED cb
        """
    )


def test_a_node_lost_in_an_attempt_ends_the_attempt(script: Script) -> None:
    script.play(
        """
        join a 1                   ->
        join b 1                   ->
        create g STRICT_SPREAD 1,1 -> reserve g0 a; reserve g1 b
        reserved g1                ->
        lost a                     -> unreserve g1 b
        reserved g0                ->
        join c 1                   -> await g0 b; await g1 c
        free b=1                   ->
        """
    )


def test_owners_take_their_groups_along_but_not_detached_ones(script: Script) -> None:
    script.play(
        """
        join a 4                 ->
        create g PACK 1          -> reserve g0 a
        create h PACK 1 detached -> reserve h0 a
        gone O                   -> remove g; tell g REMOVED -
        reserved g0              ->
        reserved h0              -> commit h a; tell h CREATED a
        """
    )
    assert script.groups.state(b"h") is GroupState.CREATED


def test_what_can_never_be_placed_is_refused_at_once(script: Script) -> None:
    script.play("join a 2 ->")
    spec = PlacementGroupSpec((cpus(2), cpus(1)), "PACK")
    with pytest.raises(Unschedulable, match=r"\{'CPU': 2\}, \{'CPU': 1\} .* 'a' has \{'CPU': 2\}"):
        script.groups.create(b"g", spec, b"O", now=0.0)
    assert script.groups.infos() == []
    assert script.groups.state(b"g") is None


def test_what_loses_all_hope_later_says_so_after_a_while(script: Script) -> None:
    script.play(
        """
        join a 2                   ->
        join b 4                   ->
        free b=0                   ->
        create g PACK 4            -> expect g; await g0 b
        create h PACK 3            -> expect h
        create i PACK 1            -> reserve i0 a
        reserved i0                -> commit i a; tell i CREATED a
        at 1                       ->
        lost b                     ->
        at 1.9                     ->
        at 2                       -> hopeless g; hopeless h
        at 9                       ->
        join c 3                   -> hope h; reserve h0 c
        lost c                     ->
        at 9.9                     ->
        join d 4                   -> hope g; reserve g0 d
        remove g                   -> remove g; tell g REMOVED -; await h0 d
        at 20                      ->
        """
    )
    assert script.groups.why_hopeless(b"h") == ""


def test_what_has_lost_its_place_waits_for_a_node(script: Script) -> None:
    script.play(
        """
        join a 1                   ->
        join b 1                   ->
        create g STRICT_SPREAD 1,1 -> reserve g0 a; reserve g1 b
        reserved g0                ->
        reserved g1                -> commit g a; commit g b; tell g CREATED ab
        lost b                     -> tell g PENDING a-
        at 1                       -> hopeless g lost
        """
    )
    assert script.groups.lost(b"g") == [None, "b"]
    assert script.groups.why_hopeless(b"g") == ""
    kept = script.groups.snapshot(b"g")
    assert kept is not None
    again = PlacementGroups()
    again.node_joined("a", cpus(1), now=0.0)
    again.restore(kept, now=0.0)
    again.check()
    assert again.lost(b"g") == [None, "b"]
    assert [(i.group_id, i.was_there) for i in again.tick(1.0)] == [(b"g", True)]
    script.play(
        """
        join c 1                   -> hope g lost; reserve g1 c
        reserved g1                -> commit g c; tell g CREATED ac
        """
    )
    assert script.groups.lost(b"g") == [None, None]


def test_with_an_autoscaler_there_is_always_hope() -> None:
    script = Script(expects_nodes=True)
    script.play(
        """
        join a 1        ->
        create g PACK 4 -> expect g
        lost a          ->
        at 9            ->
        join b 4        -> reserve g0 b
        """
    )


def test_names(script: Script) -> None:
    script.play("join a 4 ->")
    spec = PlacementGroupSpec((cpus(1),), name="mine", namespace="here")
    script.groups.create(b"g", spec, b"O", now=0.0)
    assert script.groups.create(b"g", spec, b"O", now=0.0) == []
    with pytest.raises(InvalidOption, match="'mine' is taken"):
        script.groups.create(b"h", spec, b"O", now=0.0)
    script.groups.create(b"i", replace(spec, namespace="there"), b"O", now=0.0)
    script.groups.remove(b"g", now=0.0)
    script.groups.create(b"h", spec, b"O", now=0.0)
    found = [(info.group_id, info.namespace) for info in script.groups.infos()]
    assert found == [(b"g", "here"), (b"i", "there"), (b"h", "here")]


def test_old_removed_groups_are_forgotten() -> None:
    groups = PlacementGroups(max_removed=1)
    groups.node_joined("a", cpus(1), now=0.0)
    for name in (b"g", b"h"):
        groups.create(name, PlacementGroupSpec((cpus(1),)), b"O", now=0.0)
        groups.remove(name, now=0.0)
        groups.check()
    assert [info.group_id for info in groups.infos()] == [b"h"]


NODES = st.sampled_from(["a", "b", "c"])


class Cluster(RuleBasedStateMachine):
    """Nodes that reserve what they have and are asked for, with tasks coming and going."""

    def __init__(self) -> None:
        super().__init__()
        self.groups = PlacementGroups()
        self.nodes: dict[str, float] = {}  # free, outside bundles
        self.busy: dict[str, float] = {}  # used by tasks
        self.bundles: dict[tuple[str, bytes, int], float] = {}
        self.asked: list[Reserve] = []
        self.states: dict[bytes, GroupState] = {}
        self.kept: dict[bytes, GroupSnapshot] = {}
        self.serial = 0

    def obey(self, instructions: list[GroupInstruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Reserve(_, _, node, _, _, _):
                    assert node in self.nodes
                    self.asked.append(instruction)
                case Unreserve(group, index, node):
                    self._drop(group, index, node)
                case Commit(group, node):
                    assert any(key[:2] == (node, group) for key in self.bundles)
                case RemoveGroup(group):
                    for node, other, index in list(self.bundles):
                        if other == group:
                            self._drop(group, index, node)
                    self.asked = [ask for ask in self.asked if ask.group_id != group]
                case GroupChanged(group, state, nodes):
                    if state is GroupState.CREATED:
                        assert all((n, group, i) in self.bundles for i, n in enumerate(nodes))
                    self.states[group] = state
                case ExpectGroup(group):
                    assert self.states[group] is GroupState.PENDING

    def _drop(self, group: bytes, index: int, node: str) -> None:
        self.asked = [a for a in self.asked if (a.group_id, a.index) != (group, index)]
        self.nodes[node] += self.bundles.pop((node, group, index), 0)

    @rule(node=NODES, amount=st.integers(1, 4))
    def join(self, node: str, amount: int) -> None:
        if node not in self.nodes:
            self.nodes[node], self.busy[node] = amount, 0
            self.obey(self.groups.node_joined(node, cpus(amount), now=0.0))

    @rule(node=NODES)
    def lose(self, node: str) -> None:
        if node in self.nodes:
            del self.nodes[node], self.busy[node]
            self.bundles = {key: n for key, n in self.bundles.items() if key[0] != node}
            self.asked = [ask for ask in self.asked if ask.node_id != node]
            self.obey(self.groups.node_lost(node, now=0.0))

    @rule(node=NODES, change=st.sampled_from([-1, 1, 2]))
    def tasks(self, node: str, change: int) -> None:
        if node in self.nodes:
            change = max(-self.busy[node], min(change, self.nodes[node]))
            self.busy[node] += change
            self.nodes[node] -= change

    @rule()
    def report(self) -> None:
        free = {node: cpus(amount) for node, amount in self.nodes.items()}
        self.obey(self.groups.resources_changed(free, now=0.0))

    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        if self.asked:
            self._answer(data.draw(st.sampled_from(self.asked)))

    def _answer(self, ask: Reserve) -> None:
        amount = ask.resources["CPU"]
        fits = self.nodes[ask.node_id] >= amount
        if ask.wait and not fits:
            return
        self.asked.remove(ask)
        if fits:
            self.nodes[ask.node_id] -= amount
            self.bundles[ask.node_id, ask.group_id, ask.index] = amount
        reply = self.groups.reserved if fits else self.groups.refused
        self.obey(reply(ask.group_id, ask.index, ask.attempt, now=0.0))

    @rule(
        strategy=st.sampled_from(PLACEMENT_STRATEGIES),
        amounts=st.lists(st.integers(1, 2), min_size=1, max_size=3),
        owner=st.sampled_from([b"O", b"P"]),
        detached=st.booleans(),
    )
    def create(self, strategy: str, amounts: list[int], owner: bytes, detached: bool) -> None:
        self.serial += 1
        spec = PlacementGroupSpec(tuple(map(cpus, amounts)), strategy, detached=detached)
        try:
            out = self.groups.create(b"%d" % self.serial, spec, owner, now=0.0)
        except Unschedulable as error:
            assert "no nodes could ever hold" in str(error)  # noqa: PT017
        else:
            self.states[b"%d" % self.serial] = GroupState.PENDING
            self.obey(out)

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        serial = data.draw(st.integers(0, self.serial))
        self.obey(self.groups.remove(b"%d" % serial, now=0.0))

    @rule()
    def start_again(self) -> None:
        """The head is killed, and another one takes up what it has kept."""
        self._keep()
        self.groups = PlacementGroups(attempts=self.serial << 32)
        for node, free in self.nodes.items():
            in_bundles = sum(n for key, n in self.bundles.items() if key[0] == node)
            total = free + self.busy[node] + in_bundles
            self.obey(self.groups.node_joined(node, cpus(total), now=0.0))
        for kept in self.kept.values():
            self.obey(self.groups.restore(kept, now=0.0))
        alive = {info.group_id for info in self.groups.infos()}
        self.states = {group: state for group, state in self.states.items() if group in alive}
        assert len(self.bundles) == sum(
            node is not None for info in self.groups.infos() for node in info.bundle_nodes
        )

    def _keep(self) -> None:
        for group_id in self.groups.take_changed():
            snapshot = self.groups.snapshot(group_id)
            if snapshot is None:
                self.kept.pop(group_id, None)
            else:
                self.kept[group_id] = snapshot

    @rule(owner=st.sampled_from([b"O", b"P"]))
    def gone(self, owner: bytes) -> None:
        self.obey(self.groups.owner_gone(owner, now=0.0))

    @invariant()
    def consistent(self) -> None:
        self.groups.check()
        self._keep()
        living = [i.group_id for i in self.groups.infos() if i.state != GroupState.REMOVED.value]
        assert self.kept == {group_id: self.groups.snapshot(group_id) for group_id in living}
        for info in self.groups.infos():
            assert self.states[info.group_id].value == info.state

    def teardown(self) -> None:
        """When tasks end and there are nodes enough, every group is created."""
        for name in ("x", "y", "z"):
            self.nodes[name], self.busy[name] = 100, 0
            self.obey(self.groups.node_joined(name, cpus(100), now=0.0))
        for node in self.nodes:
            self.nodes[node] += self.busy[node]
        for _ in range(200):
            for ask in list(self.asked):
                if ask in self.asked:
                    self._answer(ask)
            self.report()
            self.groups.check()
            if not self.groups.unmet():
                break
        assert self.groups.unmet() == []


TestCluster = Cluster.TestCase
TestCluster.settings = settings(
    max_examples=300, stateful_step_count=50, deadline=None, derandomize=True
)
