"""Scenarios of the actor registry, as transcripts: event, then expected instructions.

``create a [name=..] [restarts=..] [detached]`` is by owner O; subscriber S hears of everything
that is published.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from air.errors import InvalidOption
from air.executor.resources import Resources
from air_cluster.core.actor_states import (
    ActorInstruction,
    ActorSnapshot,
    ActorSpec,
    ActorState,
    CancelPlacement,
    DeathCause,
    Publish,
    RequestPlacement,
    StartActor,
    StopActor,
)
from air_cluster.core.actors import ActorRegistry
from air_cluster.core.shapes import ShapeKey

SHAPE = ShapeKey(Resources({"CPU": 1}))


def spec_of(words: list[str], owner: bytes = b"O") -> ActorSpec:
    options = dict(word.partition("=")[::2] for word in words[1:])
    return ActorSpec(
        actor_id=words[0].encode(),
        owner=owner,
        shape=SHAPE,
        name=options.get("name", ""),
        max_restarts=int(options.get("restarts", 0)),
        detached="detached" in options,
        job=b"J",
    )


def render(instruction: ActorInstruction) -> str:
    match instruction:
        case RequestPlacement(actor, shape, _, _):
            assert shape == SHAPE
            return f"request {actor.decode()}"
        case CancelPlacement(actor):
            return f"cancel {actor.decode()}"
        case StartActor(actor, worker):
            return f"start {actor.decode()} {worker}"
        case StopActor(actor, worker, graceful):
            return f"stop {actor.decode()} {worker}{' gracefully' if graceful else ''}"
        case Publish(actor, who, state, address, reason, _, _, cause):
            extra = [address, reason.value if reason else None, cause.decode() if cause else None]
            words = [actor.decode(), state.value, *(word for word in extra if word)]
            names = ",".join(w.decode() for w in who) or "nobody"
            return f"tell {names} {' '.join(words)}"


class Script:
    """Feeds transcripts to a registry and compares what it says."""

    def __init__(self) -> None:
        self.registry = ActorRegistry()

    def play(self, transcript: str) -> None:
        for line in transcript.strip().splitlines():
            event, _, expected = (part.strip() for part in line.partition("->"))
            said = "; ".join(map(render, self._feed(event)))
            assert said == expected, f"\n{event}\n said:     {said}\n expected: {expected}"
            self.registry.check()

    def _feed(self, event: str) -> list[ActorInstruction]:
        word, *args = event.split()
        registry, name = self.registry, args[0].encode()
        match word:
            case "create":
                actor_id, out = registry.create(spec_of(args), now=0.0)
                assert actor_id == name
                return out
            case "placed":
                return registry.placed(name, args[1], now=1.0)
            case "refused":
                return registry.refused(name, "no room", now=1.0)
            case "started":
                return registry.started(name, args[1], now=1.0)
            case "failed":
                return registry.failed(name, args[1].encode(), now=1.0)
            case "died":
                if "recalled" in args:
                    return registry.worker_died(args[0], now=1.0, message="")
                return registry.worker_died(args[0], now=1.0)
            case "kill":
                return registry.kill(name, no_restart="again" not in args, now=1.0)
            case "released":
                return registry.released(name, now=1.0)
            case "exiting":
                return registry.exiting(name, now=1.0)
            case "gone":
                return registry.owner_gone(name, now=1.0)
            case "over":
                return registry.job_gone(name, now=1.0)
            case "at":
                return registry.tick(float(args[0]))
            case "subscribe":
                return registry.subscribe(name, args[1].encode())
            case "unsubscribe":
                return registry.unsubscribe(name, args[1].encode())
        raise AssertionError(event)


@pytest.fixture
def script() -> Iterator[Script]:
    made = Script()
    yield made
    made.registry.check()


def test_an_actor_that_was_recalled_as_it_was_placed_is_placed_again(script: Script) -> None:
    script.play(
        """
        create a restarts=1 -> request a
        subscribe a S       -> tell S a PENDING
        placed a w1         -> start a w1; tell S a PLACED
        died w1 recalled    -> tell S a PENDING; request a
        placed a w2         -> start a w2; tell S a PLACED
        placed a w3         -> stop a w3
        started a :2        -> tell S a ALIVE :2
        died w2             -> tell S a RESTARTING worker_died; request a
        placed a w4         -> start a w4; tell S a PLACED
        died w4 recalled    -> tell S a RESTARTING; request a
        placed a w5         -> start a w5; tell S a PLACED
        started a :5        -> tell S a ALIVE :5
        died w5 recalled    -> tell S a DEAD worker_died
        """
    )


def test_the_life_of_an_actor(script: Script) -> None:
    script.play(
        """
        create a      -> request a
        subscribe a S -> tell S a PENDING
        placed a w1   -> start a w1; tell S a PLACED
        placed a w1   ->
        started a :1  -> tell S a ALIVE :1
        subscribe a T -> tell T a ALIVE :1
        unsubscribe a S ->
        released a    -> stop a w1 gracefully
        released a    ->
        died w1       -> tell T a DEAD released
        subscribe a S -> tell S a DEAD released
        """
    )
    info = script.registry.info(b"a")
    assert info is not None
    assert info.message == "actor (61) ended: its last handle is gone"


def test_restarts_until_they_are_used_up(script: Script) -> None:
    script.play(
        """
        create a restarts=2 -> request a
        subscribe a S -> tell S a PENDING
        placed a w1   -> start a w1; tell S a PLACED
        started a :1  -> tell S a ALIVE :1
        died w1       -> tell S a RESTARTING worker_died; request a
        died w1       ->
        placed a w2   -> start a w2; tell S a PLACED
        died w2       -> tell S a RESTARTING worker_died; request a
        placed a w3   -> start a w3; tell S a PLACED
        started a :3  -> tell S a ALIVE :3
        died w3       -> tell S a DEAD worker_died
        """
    )
    info = script.registry.info(b"a")
    assert info is not None
    assert info.message == "actor (61) is dead after 2 restarts: its worker process died"


def test_restarts_without_end(script: Script) -> None:
    script.play("create a restarts=-1 -> request a")
    for round_ in range(50):
        script.play(f"placed a w{round_} -> start a w{round_}\ndied w{round_} -> request a")


def test_a_constructor_that_raises_is_not_run_again(script: Script) -> None:
    script.play(
        """
        create a restarts=5 -> request a
        placed a w1     -> start a w1
        failed a boom   -> stop a w1 gracefully; tell nobody a DEAD constructor_failed boom
        died w1         ->
        started a :1    ->
        subscribe a S   -> tell S a DEAD constructor_failed boom
        """
    )


def test_kill(script: Script) -> None:
    script.play(
        """
        create a restarts=1 -> request a
        placed a w1   -> start a w1
        started a :1  ->
        kill a again  -> stop a w1; request a
        died w1       ->
        kill a again  ->
        placed a w2   -> start a w2
        started a :2  ->
        kill a again  -> stop a w2; tell nobody a DEAD killed
        kill a        ->
        create b restarts=9 -> request b
        kill b        -> cancel b; tell nobody b DEAD killed
        create c restarts=9 -> request c
        placed c w3   -> start c w3
        kill c        -> stop c w3; tell nobody c DEAD killed
        placed c w4   -> stop c w4
        placed x w5   -> stop x w5
        """
    )


def test_an_actor_without_handles_is_not_started_at_all(script: Script) -> None:
    script.play(
        """
        create a    -> request a
        released a  -> cancel a; tell nobody a DEAD released
        create d detached -> request d
        released d  ->
        placed d w1 -> start d w1
        """
    )


def test_an_actor_released_in_its_constructor_ends_after_it(script: Script) -> None:
    script.play(
        """
        create a restarts=1 -> request a
        placed a w1  -> start a w1
        released a   -> stop a w1 gracefully
        started a :1 ->
        died w1      -> tell nobody a DEAD released
        subscribe a S -> tell S a DEAD released
        """
    )


def test_exit_actor_is_not_a_death_to_restart_from(script: Script) -> None:
    script.play(
        """
        create a restarts=9 name=x -> request a
        placed a w1   -> start a w1
        started a :1  ->
        exiting a     ->
        create b name=x -> request b
        died w1       -> tell nobody a DEAD exited
        subscribe a S -> tell S a DEAD exited
        """
    )


def test_an_ending_actor_can_be_killed(script: Script) -> None:
    script.play(
        """
        create a restarts=9 -> request a
        placed a w1   -> start a w1
        released a    -> stop a w1 gracefully
        kill a again  -> stop a w1; tell nobody a DEAD killed
        subscribe a S -> tell S a DEAD killed
        """
    )


def test_owners_take_their_actors_along_but_not_detached_ones(script: Script) -> None:
    script.play(
        """
        create a     -> request a
        create b     -> request b
        create d detached -> request d
        subscribe d O -> tell O d PENDING
        subscribe b S -> tell S b PENDING
        placed b w1  -> start b w1; tell S b PLACED
        gone O       -> cancel a; tell nobody a DEAD owner_gone; stop b w1; tell S b DEAD owner_gone
        placed d w2  -> start d w2
        """
    )


def test_what_ends_already_may_finish_after_its_owner_but_not_after_its_program(
    script: Script,
) -> None:
    script.play(
        """
        create a     -> request a
        placed a w1  -> start a w1
        started a :1 ->
        released a   -> stop a w1 gracefully
        gone O       ->
        over J       -> stop a w1; tell nobody a DEAD owner_gone
        create b     -> request b
        create d detached -> request d
        over K       ->
        over J       -> cancel b; tell nobody b DEAD owner_gone
        """
    )


def test_refusals(script: Script) -> None:
    script.play(
        """
        create a      -> request a
        subscribe a S -> tell S a PENDING
        refused a     -> tell S a DEAD refused
        refused a     ->
        """
    )
    info = script.registry.info(b"a")
    assert info is not None
    assert info.message == "no room"


def test_names(script: Script) -> None:
    registry = script.registry
    script.play("create a name=trainer -> request a")
    assert registry.find("trainer", "default") == b"a"
    with pytest.raises(InvalidOption, match=r"'trainer' exists already .* get_if_exists=True"):
        registry.create(spec_of(["b", "name=trainer"]), now=0.0)
    assert registry.info(b"b") is None
    again = registry.create(spec_of(["b", "name=trainer"]), get_if_exists=True, now=0.0)
    assert again == (b"a", [])
    with pytest.raises(ValueError, match=r"'traner' .* Did you mean 'trainer'\?.*'trainer'"):
        registry.find("traner", "default")
    with pytest.raises(ValueError, match=r"in namespace 'other'\. \(no actor there has a name"):
        registry.find("trainer", "other")
    script.play(
        """
        kill a                -> cancel a; tell nobody a DEAD killed
        create b name=trainer -> request b
        create b name=other   ->
        """
    )
    assert registry.names("default") == ["trainer"]


def test_unknown_actors_are_dead(script: Script) -> None:
    script.play(
        """
        subscribe x S ->
        subscribe x T ->
        unsubscribe x T ->
        at 1          ->
        at 5.9        ->
        at 6          -> tell S x DEAD
        at 99         ->
        """
    )


def test_a_subscription_may_arrive_before_the_actor(script: Script) -> None:
    script.play(
        """
        subscribe a S ->
        subscribe a T ->
        at 1          ->
        gone T        ->
        create a      -> request a; tell S a PENDING
        at 99         ->
        placed a w1   -> start a w1; tell S a PLACED
        """
    )


def test_old_dead_actors_are_forgotten() -> None:
    registry = ActorRegistry(max_dead=2)
    for name in ("a", "b", "c"):
        registry.create(spec_of([name]), now=0.0)
        registry.kill(name.encode(), no_restart=True, now=0.0)
        registry.check()
    assert [info.spec.actor_id for info in registry.actors()] == [b"b", b"c"]


WHO = st.sampled_from([b"O", b"P"])


class Registry(RuleBasedStateMachine):
    """Any order of events; subscribers see only states that may follow one another."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = ActorRegistry(max_dead=2)
        self.serial = 0
        self.workers: dict[str, bytes] = {}
        self.placements: set[bytes] = set()
        self.seen: dict[tuple[bytes, bytes], ActorState] = {}
        self.kept: dict[bytes, tuple[ActorSpec, ActorSnapshot]] = {}

    def obey(self, instructions: list[ActorInstruction]) -> None:
        for instruction in instructions:
            match instruction:
                case RequestPlacement(actor, _, _, _):
                    assert actor not in self.placements
                    self.placements.add(actor)
                case CancelPlacement(actor):
                    self.placements.remove(actor)
                case StartActor(actor, worker) | StopActor(actor, worker, _):
                    assert self.workers[worker] == actor
                case Publish(actor, who, state, address, reason, _, _):
                    assert (address is not None) == (state is ActorState.ALIVE)
                    if state is ActorState.RESTARTING:
                        assert reason in (DeathCause.WORKER_DIED, DeathCause.KILLED)
                    for each in who:
                        before = self.seen.get((actor, each))
                        assert before is not ActorState.DEAD or state is ActorState.DEAD
                        self.seen[actor, each] = state

    @rule(
        owner=WHO,
        name=st.sampled_from(["", "x"]),
        restarts=st.sampled_from([0, 1, -1]),
        detached=st.booleans(),
    )
    def create(self, owner: bytes, name: str, restarts: int, detached: bool) -> None:
        self.serial += 1
        spec = ActorSpec(
            b"%d" % self.serial,
            owner,
            SHAPE,
            name,
            max_restarts=restarts,
            detached=detached,
            job=owner,
        )
        _, out = self.registry.create(spec, get_if_exists=True, now=0.0)
        self.obey(out)

    def _actor(self, data: st.DataObject) -> bytes:
        return data.draw(st.integers(max(1, self.serial - 3), self.serial + 1).map(b"%d".__mod__))

    @rule(data=st.data(), refuse=st.booleans())
    def answer(self, data: st.DataObject, refuse: bool) -> None:
        if not self.placements:
            return
        actor = data.draw(st.sampled_from(sorted(self.placements)))
        self.placements.remove(actor)
        if refuse:
            self.obey(self.registry.refused(actor, "no", now=0.0))
        else:
            worker = f"w{len(self.workers)}"
            self.workers[worker] = actor
            self.obey(self.registry.placed(actor, worker, now=0.0))

    @rule(data=st.data())
    def died(self, data: st.DataObject) -> None:
        if self.workers:
            worker = data.draw(st.sampled_from(sorted(self.workers)))
            self.obey(self.registry.worker_died(worker, now=0.0))

    @rule(data=st.data(), event=st.sampled_from(["start", "fail", "kill", "again", "drop", "exit"]))
    def event(self, data: st.DataObject, event: str) -> None:
        actor, registry = self._actor(data), self.registry
        match event:
            case "start":
                self.obey(registry.started(actor, "addr", now=0.0))
            case "fail":
                self.obey(registry.failed(actor, b"boom", now=0.0))
            case "kill" | "again":
                self.obey(registry.kill(actor, event == "kill", now=0.0))
            case "drop":
                self.obey(registry.released(actor, now=0.0))
            case "exit":
                self.obey(registry.exiting(actor, now=0.0))

    @rule(data=st.data(), who=WHO, leave=st.booleans())
    def subscribe(self, data: st.DataObject, who: bytes, leave: bool) -> None:
        method = self.registry.unsubscribe if leave else self.registry.subscribe
        self.obey(method(self._actor(data), who))

    @rule(who=WHO, job=st.booleans())
    def gone(self, who: bytes, job: bool) -> None:
        event = self.registry.job_gone if job else self.registry.owner_gone
        self.obey(event(who, now=0.0))

    @rule()
    def start_again(self) -> None:
        """The head is killed, and another one takes up what it has kept."""
        self.registry, self.placements = ActorRegistry(max_dead=2), set()
        for spec, kept in self.kept.values():
            self.obey(self.registry.restore(spec, kept, now=0.0))

    @invariant()
    def kept_is_what_is(self) -> None:
        registry = self.registry
        for actor_id in registry.take_changed():
            info, snapshot = registry.info(actor_id), registry.snapshot(actor_id)
            if info is None or snapshot is None:
                self.kept.pop(actor_id, None)
            else:
                self.kept[actor_id] = info.spec, snapshot
        living = {i.spec.actor_id for i in registry.actors() if i.state is not ActorState.DEAD}
        assert self.kept.keys() == living
        for actor_id, (_, kept) in self.kept.items():
            assert kept == registry.snapshot(actor_id)

    @invariant()
    def consistent(self) -> None:
        self.registry.check()
        waiting = {
            info.spec.actor_id
            for info in self.registry.actors()
            if info.state in (ActorState.PENDING, ActorState.RESTARTING)
        }
        assert waiting == self.placements


TestRegistry = Registry.TestCase
TestRegistry.settings = settings(
    max_examples=200, stateful_step_count=50, deadline=None, derandomize=True
)


@pytest.mark.parametrize(
    ("event", "kind", "death"),
    [
        (lambda r: r.worker_died("w", 1.0, "it got lost"), "worker_died", "it got lost"),
        (
            lambda r: r.worker_died("w", 1.0, "it was too large", DeathCause.OUT_OF_MEMORY),
            "out_of_memory",
            "it was too large",
        ),
        (lambda r: r.kill(b"a", True, 1.0), "killed", "it was killed"),
        (
            lambda r: r.owner_gone(b"O", 1.0),
            "owner_gone",
            "it ended with the process that created it",
        ),
        (
            lambda r: [*r.exiting(b"a", 1.0), *r.worker_died("w", 1.0, "it exited with code 0")],
            "exited",
            "it called air.exit_actor()",
        ),
    ],
)
def test_who_asks_is_told_what_ended_an_actor(event, kind, death) -> None:
    registry = ActorRegistry()
    registry.create(spec_of(["a"]), now=0.0)
    registry.placed(b"a", "w", 0.0)
    registry.started(b"a", "here", 0.0)
    event(registry)
    (told,) = registry.subscribe(b"a", b"S")
    assert isinstance(told, Publish)
    assert (told.state, told.death) == (ActorState.DEAD, death)
    assert told.reason is not None
    assert told.reason.value == kind
