"""Any order of events leaves the head's scheduler consistent, with indexes that tell the truth."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from air.executor.labels import LabelRule, Operator
from air.executor.resources import Resources
from air_cluster.core.cluster import ClusterScheduler
from air_cluster.core.cluster_index import FitIndex, MaxTree, level_of
from air_cluster.core.cluster_instructions import (
    ClusterInstruction,
    RecallActor,
    Redirect,
    Refuse,
    RefuseActor,
    SendActor,
)
from air_cluster.core.cluster_shapes import ClusterShape, NodeView

NUMBERS = st.integers(1, 5)
CLIENTS = st.sampled_from([b"A", b"B", b"C", b"D"])
ACTORS = st.sampled_from([b"a", b"b", b"c"])
GROUPS = st.sampled_from([b"g", b"h"])
TOTALS = [
    Resources(),
    Resources({"CPU": 4, "memory": 10}),
    Resources({"CPU": 2, "memory": 100, "horn": 1}),
    Resources({"CPU": 8, "GPU": 2, "memory": 50}),
    Resources({"CPU": 4, "GPU": 1.5, "horn": 3, "harp": 1}),
]
LABELS = [{}, {"zone": "a"}, {"zone": "b"}, {"zone": "a", "fast": "yes"}, {"zone": "c"}]
QUANTITIES = st.sampled_from(
    [
        {},
        {"CPU": 1},
        {"CPU": 0.5},
        {"CPU": 3},
        {"CPU": 100},
        {"GPU": 0.5},
        {"GPU": 1, "CPU": 1},
        {"GPU": 2},
        {"memory": 60},
        {"horn": 1, "CPU": 1},
        {"harp": 0.5, "horn": 2},
        {"lute": 1},
    ]
).map(Resources)
RULES = st.sampled_from(
    [
        (),
        (LabelRule("zone", Operator.IN, ("a",)),),
        (LabelRule("zone", Operator.IN, ("b", "c")),),
        (LabelRule("zone", Operator.NOT_IN, ("a",)), LabelRule("fast", Operator.DOES_NOT_EXIST)),
        (LabelRule("fast", Operator.EXISTS),),
    ]
)
POOLED = st.builds(
    ClusterShape, QUANTITIES, st.tuples(GROUPS, st.integers(-1, 2)), preferred=st.none() | NUMBERS
)
TIED = st.builds(
    ClusterShape,
    QUANTITIES,
    node=st.sampled_from(["n1", "n2", "n9"]),
    soft=st.booleans(),
    labels=RULES,
)
FREE = st.builds(
    ClusterShape,
    QUANTITIES,
    spread=st.booleans(),
    preferred=st.none() | NUMBERS,
    labels=RULES,
    preferred_labels=RULES,
)
SHAPES = FREE | FREE | TIED | POOLED


class Cluster(RuleBasedStateMachine):
    """A head that believes everything, and keeps the books of what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = ClusterScheduler()
        self.now = 0.0
        self.nodes: dict[int, NodeView] = {}
        self.next_number = 6
        self.demands: dict[tuple[bytes, ClusterShape], int] = {}
        self.homes: dict[tuple[bytes, ClusterShape], int] = {}
        self.actors: dict[bytes, dict[int, bool]] = {}  # where it was sent, and whether to wait
        self.waits: dict[tuple[bytes, ClusterShape], dict[int, int]] = {}

    def obey(self, instructions: list[ClusterInstruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Redirect(client, shape, number, count, pinned):
                    waits = self.waits.setdefault((client, shape), {})
                    assert count > 0 or (pinned and number in waits)
                    if count:
                        assert number in self.nodes
                        assert count <= self.demands[client, shape]
                    if pinned:
                        waits[number] = count
                        if not count:
                            del waits[number]
                case SendActor(actor, number, pinned):
                    assert number in self.nodes
                    assert not self.actors[actor], "it is somewhere already"
                    self.actors[actor][number] = pinned
                case RecallActor(actor, number):
                    del self.actors[actor][number]
                case Refuse(client, shape, _, message):
                    assert message
                    assert not self.waits.pop((client, shape), {})
                    del self.demands[client, shape], self.homes[client, shape]
                case RefuseActor(actor, _, message):
                    assert message
                    assert not self.actors.pop(actor)

    @rule(number=NUMBERS)
    def join(self, number: int) -> None:
        if number not in self.nodes:
            total, labels = TOTALS[number - 1], LABELS[number - 1]
            self.nodes[number] = NodeView(number, f"n{number}", total, labels)
        self.obey(self.cluster.node_joined(self.nodes[number], self.now))

    @rule(number=NUMBERS)
    def lose(self, number: int) -> None:
        self.nodes.pop(number, None)
        for waits in (*self.waits.values(), *self.actors.values()):
            waits.pop(number, None)
        for key in [key for key, home in self.homes.items() if home == number]:
            del self.demands[key], self.homes[key]
            self.waits.pop(key, None)
        self.obey(self.cluster.node_lost(number, self.now))

    @rule(number=NUMBERS, share=st.sampled_from([0.0, 0.25, 0.5, 1.0]), slots=st.booleans())
    def report(self, number: int, share: float, slots: bool) -> None:
        total = TOTALS[number - 1]
        free = Resources({name: amount * share for name, amount in total.items()})
        gpus = None
        if slots:
            gpus = [min(1, total["GPU"] - i) * share for i in range(2)] if "GPU" in total else []
        bundles = {(b"g", 0): Resources({"CPU": 4 * share}), (b"h", 1): Resources()}
        self.obey(self.cluster.load(number, free, self.now, gpus=gpus, bundles=bundles))

    @rule(
        client=CLIENTS, home=NUMBERS, shape=SHAPES, count=st.integers(0, 9), depth=st.integers(0, 2)
    )
    def unmet(self, client: bytes, home: int, shape: ClusterShape, count: int, depth: int) -> None:
        key = client, shape
        home = self.homes.get(key, home)
        if count and home in self.nodes:
            self.demands[key], self.homes[key] = count, home
        elif not count:
            self.demands.pop(key, None)
            self.homes.pop(key, None)
        self.obey(self.cluster.unmet(home, client, shape, count, depth, self.now))
        if not count:
            assert not self.waits.pop(key, {})

    @rule(data=st.data(), number=NUMBERS, count=st.integers(1, 3))
    def busy(self, data: st.DataObject, number: int, count: int) -> None:
        if self.demands:
            client, shape = data.draw(st.sampled_from(list(self.demands)))
            self.obey(self.cluster.busy(client, shape, number, count, self.now))

    @rule(actor=ACTORS, home=NUMBERS, shape=SHAPES)
    def place(self, actor: bytes, home: int, shape: ClusterShape) -> None:
        if actor not in self.actors:
            self.actors[actor] = {}
        self.obey(self.cluster.place(actor, shape, home=home, owner=actor, depth=0, now=self.now))

    @rule(actor=ACTORS, number=NUMBERS, refuse=st.booleans())
    def answer(self, actor: bytes, number: int, refuse: bool) -> None:
        if actor not in self.actors:
            return
        sent = self.actors[actor]
        if refuse:
            if sent.get(number) is False:
                del sent[number]
            self.obey(self.cluster.place_refused(actor, number, self.now))
            return
        sent.pop(number, None)
        self.obey(self.cluster.placed(actor, number, self.now))
        assert not self.actors.pop(actor)

    @rule(actor=ACTORS)
    def cancel(self, actor: bytes) -> None:
        self.obey(self.cluster.cancel_place(actor, self.now))
        assert not self.actors.pop(actor, {})

    @rule(group=GROUPS)
    def create_group(self, group: bytes) -> None:
        bundles = [Resources({"CPU": 4}), Resources({"GPU": 1, "CPU": 1})]
        self.obey(self.cluster.group_created(group, bundles, self.now))

    @rule(group=GROUPS, index=st.integers(0, 1), number=st.none() | NUMBERS)
    def bundle(self, group: bytes, index: int, number: int | None) -> None:
        self.obey(self.cluster.bundle_at(group, index, number, self.now))

    @rule(group=GROUPS)
    def group_gone(self, group: bytes) -> None:
        self.obey(self.cluster.group_gone(group, self.now))

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 20.0]))
    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.obey(self.cluster.tick(self.now))

    @rule(expects=st.booleans())
    def expect_nodes(self, expects: bool) -> None:
        self.cluster.expects_nodes = expects

    @invariant()
    def consistent(self) -> None:
        self.cluster.check()
        demands = self.cluster.demands()
        assert sum(demand.workers for demand in demands) == sum(self.demands.values())
        assert sum(demand.actors for demand in demands) == len(self.actors)

    def teardown(self) -> None:
        """Once all want nothing any more, nothing is left."""
        self.cluster.expects_nodes = False
        for client, shape in list(self.demands):
            self.obey(self.cluster.unmet(0, client, shape, 0, 0, self.now))
        for actor in list(self.actors):
            self.cancel(actor)
        assert not any(self.waits.values())
        self.tick(100.0)
        assert self.cluster.demands() == []
        self.cluster.check()


TestCluster = Cluster.TestCase
TestCluster.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, derandomize=True
)


VECTORS = st.tuples(st.integers(0, 3), st.integers(0, 3))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.none() | VECTORS, st.booleans()), max_size=60),
    VECTORS,
    st.sets(st.integers(0, 9)),
)
def test_the_first_of_a_row_that_is_large_enough_is_found(
    changes: list[tuple[int, tuple[int, int] | None, bool]],
    wanted: tuple[int, int],
    refused: set[int],
) -> None:
    tree: MaxTree[int] = MaxTree()
    row: dict[int, tuple[int, int]] = {}
    for item, vector, to_the_end in changes:
        if item in row and (vector is None or to_the_end):
            tree.remove(item)
            del row[item]
        if vector is not None and item in row:
            tree.change(item, vector)
            row[item] = vector
        elif vector is not None:
            tree.append(item, vector)
            row[item] = vector
        tree.check()
    assert list(tree) == list(row)
    assert {item: tree.vector(item) for item in row} == row
    fitting = [
        item
        for item, (a, b) in row.items()
        if a >= wanted[0] and b >= wanted[1] and item not in refused
    ]
    assert tree.find(wanted, lambda item: item not in refused) == next(iter(fitting), None)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 5), VECTORS), max_size=60),
    VECTORS,
    st.integers(0, 4),
    st.booleans(),
)
def test_levels_come_in_order(
    changes: list[tuple[int, int | None, tuple[int, int]]],
    wanted: tuple[int, int],
    lowest: int,
    in_turn: bool,
) -> None:
    index: FitIndex[int] = FitIndex(in_turn=in_turn)
    items: dict[int, tuple[int, tuple[int, int]]] = {}
    for item, level, vector in changes:
        if level is None:
            index.remove(item)
            items.pop(item, None)
            continue
        index.put(item, level, vector)
        if item in items and (in_turn or items[item][0] != level):
            del items[item]
        items[item] = level, vector
        index.check()
    fitting = [
        (level, position, item)
        for position, (item, (level, (a, b))) in enumerate(items.items())
        if a >= wanted[0] and b >= wanted[1] and level >= lowest
    ]
    found = index.find(wanted, lambda _: True, lowest)
    assert found == (min(fitting)[2] if fitting else None)
    assert len(index) == len(items)


@pytest.mark.parametrize("amount", [0, 0.25, 0.5, 1, 1.5, 2, 7, 8, 63, 64, 10_000, 1e9])
def test_levels_grow_with_amounts(amount: float) -> None:
    assert 0 <= level_of(amount) <= level_of(amount * 1.2 + 0.001) < 128
    assert level_of(-1.0) == 0
    small = [level_of(number / 2) for number in range(12)]
    assert small == sorted(set(small)), "they tell small numbers apart"
