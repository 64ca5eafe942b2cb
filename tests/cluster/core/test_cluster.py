"""Scenarios of the head's scheduler, as transcripts: event, then expected instructions.

Nodes are called n1, n2, ... after their numbers. A shape is written ``CPU=1,GPU=0.5`` (``-`` for
nothing), with ``@g0`` for bundle 0 of group g, ``@g*`` for any; then may come ``on=n2`` (tied to
a node), ``soft=n2``, ``near=n2`` (arguments are there), ``spread``, and label rules ``zone=a``,
``zone!=a|b``, ``?zone`` (exists), preferred ones with ``~`` before.

``A->n2 x3`` redirects client A there for three workers, for which there seems to be room;
``A..n2 x3`` has it wait there for three (``x0``: no more). The same for actor a: ``a->n2``,
``a..n2``, and ``a<-n2`` recalls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from air.executor.labels import LabelRule, Operator
from air.executor.resources import Resources
from air_cluster.core.cluster import ClusterScheduler
from air_cluster.core.cluster_instructions import (
    ClusterInstruction,
    RecallActor,
    Redirect,
    Refuse,
    RefuseActor,
    SendActor,
)
from air_cluster.core.cluster_shapes import ClusterShape, NodeView
from air_cluster.core.shapes import ANY_BUNDLE


def parse_resources(text: str) -> Resources:
    pairs = [] if text == "-" else [item.split("=") for item in text.split(",")]
    return Resources({name: float(amount) for name, amount in pairs})


def parse_rule(text: str) -> LabelRule:
    if text.startswith("?"):
        return LabelRule(text[1:], Operator.EXISTS)
    if "!=" in text:
        key, _, values = text.partition("!=")
        return LabelRule(key, Operator.NOT_IN, tuple(values.split("|")))
    key, _, values = text.partition("=")
    return LabelRule(key, Operator.IN, tuple(values.split("|")))


def parse_shape(text: str, *options: str) -> ClusterShape:
    quantities, _, bundle = text.partition("@")
    pool = None
    if bundle:
        pool = bundle[:1].encode(), ANY_BUNDLE if bundle[1:] == "*" else int(bundle[1:])
    node: str | None = None
    preferred, soft, spread = None, False, False
    hard, wished = [], []
    for option in options:
        word, _, value = option.partition("=")
        if word in ("on", "soft"):
            node, soft = value, word == "soft"
        elif word == "near":
            preferred = int(value[1:])
        elif word == "spread":
            spread = True
        elif option.startswith("~"):
            wished.append(parse_rule(option[1:]))
        else:
            hard.append(parse_rule(option))
    return ClusterShape(
        parse_resources(quantities),
        pool,
        node=node,
        soft=soft,
        spread=spread,
        preferred=preferred,
        labels=tuple(hard),
        preferred_labels=tuple(wished),
    )


def render(instruction: ClusterInstruction) -> str:
    match instruction:
        case Redirect(client, _, number, count, pinned):
            return f"{client.decode()}{'..' if pinned else '->'}n{number} x{count}"
        case SendActor(actor, number, pinned):
            return f"{actor.decode()}{'..' if pinned else '->'}n{number}"
        case RecallActor(actor, number):
            return f"{actor.decode()}<-n{number}"
        case Refuse(who, _, reason, message) | RefuseActor(who, reason, message):
            assert message
            return f"refuse {who.decode()} {reason.value}"


class Script:
    """Feeds transcripts to a scheduler and compares what it says."""

    def __init__(self, **options: float) -> None:
        self.cluster = ClusterScheduler(**options)  # type: ignore[arg-type]
        self.now = 0.0
        self.messages: list[str] = []

    def play(self, transcript: str) -> None:
        for line in transcript.strip().splitlines():
            event, _, expected = (part.strip() for part in line.partition(" =>"))
            out = self._feed(event)
            said = "; ".join(map(render, out))
            assert said == expected, f"\n{event}\n said:     {said}\n expected: {expected}"
            self.messages += [i.message for i in out if isinstance(i, (Refuse, RefuseActor))]
            self.cluster.check()

    def _feed(self, event: str) -> list[ClusterInstruction]:
        word, *args = event.split()
        cluster, now = self.cluster, self.now
        match word:
            case "at":
                self.now = float(args[0])
                return cluster.tick(self.now)
            case "join":
                labels = dict(label.split("=") for label in args[2:])
                total = parse_resources(args[1])
                return cluster.node_joined(NodeView(int(args[0][1:]), args[0], total, labels), now)
            case "lost":
                return cluster.node_lost(int(args[0][1:]), now)
            case "load":
                free, *more = args[1:]
                gpus, bundles = None, {}
                for each in more:
                    if each.startswith("gpus="):
                        gpus = [float(share) for share in each[5:].split(",")]
                    else:
                        name, _, left = each.partition(":")
                        bundles[name[:1].encode(), int(name[1:])] = parse_resources(left)
                return cluster.load(
                    int(args[0][1:]), parse_resources(free), now, gpus=gpus, bundles=bundles
                )
            case "unmet":
                client, home = args[0].split("@")
                numbers = {"depth": 0, "came": 0}
                for each in [a for a in args[3:] if a.partition("=")[0] in numbers]:
                    name, _, number = each.partition("=")
                    numbers[name] = int(number)
                    args.remove(each)
                shape, count = parse_shape(args[1], *args[3:]), int(args[2][1:])
                return cluster.unmet(
                    int(home[1:]), client.encode(), shape, count, now=now, **numbers
                )
            case "busy":
                shape, count = parse_shape(args[2], *args[4:]), int(args[3][1:])
                return cluster.busy(args[0].encode(), shape, int(args[1][1:]), count, now)
            case "actor":
                actor, home = args[0].split("@")
                return cluster.place(
                    actor.encode(),
                    parse_shape(*args[1:]),
                    home=int(home[1:]),
                    owner=b"O",
                    depth=0,
                    now=now,
                )
            case "placed":
                return cluster.placed(args[0].encode(), int(args[1][1:]), now)
            case "refused":
                return cluster.place_refused(args[0].encode(), int(args[1][1:]), now)
            case "cancel":
                return cluster.cancel_place(args[0].encode(), now)
            case "group":
                bundles_of = [parse_resources(text) for text in args[1:]]
                return cluster.group_created(args[0].encode(), bundles_of, now)
            case "bundle":
                number = None if args[1] == "-" else int(args[1][1:])
                return cluster.bundle_at(args[0][:1].encode(), int(args[0][1:]), number, now)
            case "hopeless" | "hope":
                why = "there is no node for it" if word == "hopeless" else ""
                return cluster.group_hopeless(args[0].encode(), why, now)
            case "gone":
                return cluster.group_gone(args[0].encode(), now)
        raise AssertionError(event)


@pytest.fixture
def script() -> Iterator[Callable[..., Script]]:
    made: list[Script] = []

    def make(**options: float) -> Script:
        made.append(Script(**options))
        return made[-1]

    yield make
    for each in made:
        each.cluster.check()


def test_what_a_node_cannot_grant_goes_where_there_is_room(script: Callable[..., Script]) -> None:
    script().play(
        """
        join n1 CPU=2            =>
        join n2 CPU=4            =>
        join n3 CPU=1            =>
        load n1 -                =>
        unmet A@n1 CPU=1 x10     => A->n3 x1; A->n2 x4
        unmet A@n1 CPU=1 x5      =>
        load n2 -                =>
        load n3 CPU=1            => A->n3 x1
        unmet A@n1 CPU=1 x0      =>
        """
    )


def test_many_at_once_are_spread_evenly(script: Callable[..., Script]) -> None:
    script().play(
        """
        join n1 CPU=4                       =>
        join n2 CPU=4                       =>
        join n3 CPU=4                       =>
        unmet A@n1 CPU=1 x6 spread          => A->n1 x2; A->n2 x2; A->n3 x2
        unmet A@n1 CPU=1 x0 spread          =>
        load n1 CPU=4                       =>
        load n2 CPU=4                       =>
        load n3 CPU=4                       =>
        unmet A@n1 - x1 spread              => A->n1 x1
        unmet A@n1 - x0 spread              =>
        load n2 CPU=4                       =>
        unmet A@n1 - x1 spread              => A->n2 x1
    """
    )


def test_what_takes_nothing_goes_where_it_should_be_as_often_as_it_comes(
    script: Callable[..., Script],
) -> None:
    script().play(
        """
        join n1 CPU=4                       =>
        join n2 CPU=4 zone=b                =>
        join n3 CPU=4                       =>
        unmet A@n1 - x1 soft=n2             => A->n2 x1
        unmet A@n1 - x0 soft=n2             =>
        unmet A@n1 - x3 soft=n2             => A->n2 x3
        unmet A@n1 - x0 soft=n2             =>
        unmet A@n1 - x2 ~zone=b             => A->n2 x2
        unmet A@n1 - x0 ~zone=b             =>
        unmet A@n1 - x1 ~zone=b             => A->n2 x1
        unmet B@n1 - x7 spread              => B->n1 x3; B->n2 x2; B->n3 x2
        unmet B@n1 - x0 spread              =>
        busy A n2 - x1 ~zone=b              => A->n1 x1
        unmet A@n1 - x0 ~zone=b             =>
        at 1                                =>
        unmet A@n1 - x1 ~zone=b             => A->n2 x1
        """
    )


def test_what_takes_nothing_is_spread_in_turn_whatever_the_load(
    script: Callable[..., Script],
) -> None:
    script().play(
        """
        join n1 CPU=4                       =>
        join n2 CPU=4                       =>
        join n3 CPU=4                       =>
        load n1 CPU=1                       =>
        load n3 CPU=3                       =>
        unmet A@n1 - x6 spread              => A->n1 x2; A->n2 x2; A->n3 x2
        unmet A@n1 - x0 spread              =>
        unmet A@n1 CPU=1 x2 spread          => A->n2 x1; A->n3 x1
    """
    )


def test_requests_go_where_they_leave_least_and_gpus_are_kept(
    script: Callable[..., Script],
) -> None:
    script().play(
        """
        join n1 -                =>
        join n2 CPU=8            =>
        join n3 CPU=4,GPU=2      =>
        join n4 CPU=4            =>
        unmet A@n1 CPU=2 x1      => A->n4 x1
        unmet B@n1 CPU=2 x1      => B->n4 x1
        unmet C@n1 CPU=2 x1      => C->n2 x1
        unmet D@n1 CPU=8 x1      => D..n2 x1
        unmet E@n1 CPU=6 x1      => E->n2 x1
        unmet F@n1 CPU=2 x1      => F->n3 x1
        unmet G@n1 CPU=1,GPU=1 x1 => G->n3 x1
        """
    )


def test_what_waits_for_a_group_without_hope_is_refused(script: Callable[..., Script]) -> None:
    made = script()
    made.play(
        """
        join n1 CPU=2             =>
        group g CPU=1             =>
        unmet A@n1 CPU=1@g0 x1    =>
        actor a@n1 CPU=1@g*       =>
        hopeless g                => refuse A infeasible; refuse a infeasible
        unmet A@n1 CPU=1@g0 x1    =>
        at 0.9                    =>
        at 1                      => refuse A infeasible
        unmet A@n1 CPU=1@g* x1    =>
        hope g                    =>
        at 9                      =>
        bundle g0 n1              =>
        hope h                    =>
        """
    )
    assert made.messages == ["there is no node for it"] * 3


def test_what_came_is_not_waited_for_though_more_is_wanted(script: Callable[..., Script]) -> None:
    script().play(
        """
        join n1 CPU=1                       =>
        join n2 CPU=4                       =>
        load n1 -                           =>
        unmet A@n1 CPU=1 x3                 => A->n2 x3
        load n2 CPU=1                       =>
        unmet A@n1 CPU=1 x3 came=2          => A->n2 x1
        load n2 CPU=2                       => A->n2 x1
        unmet A@n1 CPU=1 x0 came=3          =>
        """
    )
