"""Actors: state, handles, names, ends."""

from __future__ import annotations

import gc
import os
from typing import Any

import pytest

import air
from air.errors import (
    ActorDied,
    DeadlockError,
    InvalidOption,
    PendingCallsLimitExceeded,
    TaskError,
    Unschedulable,
)
from air.executor.capabilities import Capability
from air.testing.executor_suite.harness import eventually, guarded_by, last_frame, need, value
from air.testing.executor_suite.tools import Counter, Gate, add, identity, with_session
from air.util import list_named_actors


@air.remote
class Broken:
    def __init__(self) -> None:
        raise LookupError("no such model")

    def work(self) -> None:
        raise AssertionError("must never run")


@air.remote
class Pair:
    @air.method(num_returns=2)
    def split(self, pair: tuple[Any, Any]) -> tuple[Any, Any]:
        return pair

    def __call__(self, item: Any) -> Any:
        return item

    @staticmethod
    def static(item: Any) -> Any:
        return item

    @classmethod
    def of_class(cls, item: Any) -> Any:
        return cls.__name__, item


@air.remote
class Quitter:
    def quit(self) -> None:
        air.exit_actor()
        raise AssertionError("must never run")

    def ping(self) -> str:
        return "pong"

    def restarted(self) -> bool:
        return air.get_runtime_context().was_current_actor_reconstructed

    def die(self) -> None:
        os._exit(1)


@pytest.mark.usefixtures("session")
class TestActors:
    def test_keeps_state(self) -> None:
        counter = Counter.remote(10)
        assert value([counter.add.remote(), counter.add.remote(5)]) == [11, 16]
        assert value(counter.get.remote()) == 16

    def test_actors_are_separate(self) -> None:
        first, second = Counter.remote(), Counter.remote()
        value([first.add.remote(), first.add.remote(), second.add.remote()])
        assert value([first.get.remote(), second.get.remote()]) == [2, 1]

    def test_constructor_arguments(self) -> None:
        assert value(Counter.remote(start=identity.remote(4)).get.remote()) == 4
        gate = Gate.remote()
        counter = Counter.remote(gate.wait.remote(7))
        later = counter.add.remote()
        gate.open.remote()
        assert value(later) == 8

    def test_method_arguments_and_results_are_copies(self) -> None:
        @air.remote
        class Keeper:
            def __init__(self) -> None:
                self.items: list[int] = []

            def keep(self, items: list[int]) -> list[int]:
                self.items = items
                return items

            def get(self) -> list[int]:
                return self.items

        keeper, items = Keeper.remote(), [1]
        back = value(keeper.keep.remote(items))
        items.append(2)
        back.append(3)
        value(keeper.get.remote()).append(4)
        assert value(keeper.get.remote()) == [1]

    def test_references_as_arguments(self) -> None:
        counter = Counter.remote()
        assert value(counter.add.remote(add.remote(1, 2))) == 3
        assert value(counter.add.remote(amount=counter.get.remote())) == 6

    def test_several_returns(self) -> None:
        pair = Pair.remote()
        assert value(pair.split.remote((1, 2))) == [1, 2]
        assert value(pair.split.options(num_returns=1).remote((1, 2))) == (1, 2)
        with pytest.raises(ValueError, match="num_returns=2"):
            value(pair.split.remote((1, 2, 3)))

    def test_names_of_methods(self) -> None:
        @air.remote
        class Named:
            @air.method(name="the first")
            def name(self) -> str | None:
                return air.get_runtime_context().get_task_name()

        named = Named.remote()
        assert value(named.name.remote()) == "the first"
        assert value(named.name.options(name="the second").remote()) == "the second"

    def test_kinds_of_methods(self) -> None:
        pair = Pair.remote()
        assert value(pair.static.remote(1)) == 1
        assert value(pair.of_class.remote(1)) == ("Pair", 1)
        assert value(pair.__call__.remote(1)) == 1

    def test_inherited_methods(self) -> None:
        class Base:
            def hello(self) -> str:
                return f"hello from {type(self).__name__}"

        @air.remote
        class Derived(Base):
            pass

        assert value(Derived.remote().hello.remote()) == "hello from Derived"

    def test_unknown_method(self) -> None:
        counter = Counter.remote()
        with pytest.raises(AttributeError, match="Did you mean 'add'"):
            counter.ad.remote()

    def test_arguments_must_fit_the_signature(self) -> None:
        counter = Counter.remote()
        with pytest.raises(TypeError, match="too many positional"):
            counter.add.remote(1, 2)
        with pytest.raises(TypeError, match="'begin'"):
            Counter.remote(begin=1)

    def test_arguments_that_a_decorator_supplies(self) -> None:
        class Loader:
            @with_session
            def __init__(session: str, self: Any, name: str) -> None:
                self.loaded = f"{name} by {session}"

            @with_session
            def load(session: str, self: Any, name: str) -> list[str]:
                return [self.loaded, f"{name} by {session}"]

        loader = air.remote(Loader).remote("it")
        assert value(loader.load.remote("that")) == ["it by a session", "that by a session"]
        assert value(loader.load.remote(name="this"))[1] == "this by a session"

    def test_handles_can_be_passed_to_tasks(self) -> None:
        counter = Counter.remote()

        @air.remote
        def bump(counters: list[Any], more: Any) -> int:
            air.get(more.add.remote())
            return air.get(counters[0].add.remote())

        assert value(bump.remote([counter], counter)) == 2
        assert value(counter.get.remote()) == 2

    def test_handles_compare_by_identity(self) -> None:
        first, second = Counter.remote(), Counter.remote()
        same = value(identity.remote(first))
        assert same == first
        assert hash(same) == hash(first)
        assert first != second

    def test_handle_to_oneself(self) -> None:
        @air.remote
        class Selfish:
            def __init__(self) -> None:
                self.calls = 0

            def me(self) -> Any:
                return air.get_runtime_context().current_actor

            def touch(self) -> int:
                self.calls += 1
                return self.calls

        actor = Selfish.remote()
        me = value(actor.me.remote())
        assert me == actor
        assert value([actor.touch.remote(), me.touch.remote()]) == [1, 2]

    def test_waiting_for_oneself(self) -> None:
        @air.remote
        class Impatient:
            def outer(self) -> Any:
                return air.get(air.get_runtime_context().current_actor.inner.remote())

            def inner(self) -> str:
                return "inner"

        impatient = Impatient.remote()
        with pytest.raises(DeadlockError, match="inner"):
            value(impatient.outer.remote())
        assert value(impatient.inner.remote()) == "inner"

    def test_exit_actor_in_the_constructor(self) -> None:
        @air.remote
        class Reluctant:
            def __init__(self) -> None:
                air.exit_actor()

            def work(self) -> None: ...

        with pytest.raises(ActorDied, match="exit_actor"):
            value(Reluctant.remote().work.remote())

    def test_calling_oneself_waits_for_the_method_to_end(self) -> None:
        @air.remote
        class Recursive:
            def __init__(self) -> None:
                self.log: list[str] = []

            def outer(self) -> Any:
                self.log.append("outer starts")
                ref = air.get_runtime_context().current_actor.inner.remote()
                self.log.append("outer ends")
                return [ref]

            def inner(self) -> list[str]:
                self.log.append("inner")
                return self.log

        actor = Recursive.remote()
        (ref,) = value(actor.outer.remote())
        assert value(ref) == ["outer starts", "outer ends", "inner"]

    # Names ------------------------------------------------------------------------------

    def test_names(self) -> None:
        counter = Counter.options(name="tally").remote(3)
        same = air.get_actor("tally")
        assert same == counter
        assert value(same.add.remote()) == 4
        air.kill(counter)

    def test_named_actor_outlives_its_handles(self) -> None:
        value(Counter.options(name="lasting").remote(5).add.remote())
        gc.collect()
        lasting = air.get_actor("lasting")
        assert value(lasting.get.remote()) == 6
        air.kill(lasting)

    def test_names_are_listed(self) -> None:
        here = Counter.options(name="b here").remote()
        also = Counter.options(name="a here").remote()
        away = Counter.options(name="away", namespace="another").remote()
        nameless = Counter.remote()
        value([here.get.remote(), also.get.remote(), away.get.remote(), nameless.get.remote()])

        @air.remote
        def listed() -> Any:
            return list_named_actors(), list_named_actors(all_namespaces=True)

        for mine, all_of_them in (value(listed.remote()), listed._function()):
            assert [name for name in mine if name.endswith("here")] == ["a here", "b here"]
            assert "away" not in mine
            assert {"name": "away", "namespace": "another"} in all_of_them
        for actor in (here, also, away):
            air.kill(actor)
        assert eventually(lambda: list_named_actors() == [])
        with pytest.raises(InvalidOption, match="all_namespaces"):
            list_named_actors("another")  # type: ignore[arg-type]

    def test_named_actor_outlives_the_actor_that_made_it(self) -> None:
        @air.remote(resources={"widget": 2})
        class Maker:
            def make(self) -> None:
                Counter.options(name="made by another").remote(5)

        maker = Maker.remote()
        value(maker.make.remote())
        del maker
        gc.collect()
        assert eventually(lambda: air.available_resources().get("widget") == 2)
        made = air.get_actor("made by another")
        assert value(made.add.remote()) == 6
        air.kill(made)

    def test_names_are_found_in_tasks(self) -> None:
        counter = Counter.options(name="shared").remote()

        @air.remote
        def bump() -> int:
            return air.get(air.get_actor("shared").add.remote())

        assert value(bump.remote()) == 1
        air.kill(counter)

    def test_names_are_unique(self) -> None:
        counter = Counter.options(name="only one").remote()
        with pytest.raises(InvalidOption, match="'only one' exists"):
            Counter.options(name="only one").remote()
        air.kill(counter)

    def test_get_if_exists(self) -> None:
        options = Counter.options(name="singleton", get_if_exists=True)
        first = options.remote(1)
        value(first.add.remote())
        assert value(options.remote(100).get.remote()) == 2
        air.kill(first)

    @pytest.mark.parametrize("namespace", ["", 3])
    def test_namespaces_are_checked(self, namespace: Any) -> None:
        with pytest.raises(InvalidOption, match="namespace"):
            air.get_actor("tally", namespace)

    def test_names_can_be_used_again_after_a_failed_constructor(self) -> None:
        broken = Broken.options(name="again").remote()
        with pytest.raises(ActorDied):
            value(broken.work.remote())
        with pytest.raises(ValueError, match="'again'"):
            air.get_actor("again")
        counter = Counter.options(name="again").remote()
        assert value(counter.add.remote()) == 1
        air.kill(counter)

    def test_names_can_be_used_again_after_kill(self) -> None:
        for start in (1, 2):
            counter = Counter.options(name="again").remote(start)
            assert value(counter.get.remote()) == start
            air.kill(counter)

    def test_unknown_name(self) -> None:
        counter = Counter.options(name="known").remote()
        with pytest.raises(ValueError, match=r"'knwon'.*Did you mean 'known'"):
            air.get_actor("knwon")
        air.kill(counter)

    def test_namespaces(self) -> None:
        here = Counter.options(name="tally").remote(1)
        there = Counter.options(name="tally", namespace="elsewhere").remote(2)
        assert air.get_actor("tally") == here
        assert air.get_actor("tally", "elsewhere") == there
        with pytest.raises(ValueError, match="nowhere"):
            air.get_actor("tally", "nowhere")
        air.kill(here)
        air.kill(there)

    # Ends -------------------------------------------------------------------------------

    def test_failing_constructor(self) -> None:
        broken = Broken.remote()
        for _ in range(2):
            with pytest.raises(ActorDied, match="no such model") as caught:
                value(broken.work.remote())
            assert isinstance(caught.value.__cause__, LookupError)
            assert isinstance(caught.value.__cause__, TaskError)
            assert last_frame(caught.value.__cause__) == "__init__"

    def test_a_constructor_with_an_error_of_the_system(self) -> None:
        @air.remote
        class Greedy:
            def __init__(self) -> None:
                raise Unschedulable("nothing has that much")

            def work(self) -> None: ...

        with pytest.raises(ActorDied, match="nothing has that much") as caught:
            value(Greedy.remote().work.remote())
        assert isinstance(caught.value.__cause__, Unschedulable)

    def test_errors_say_which_actor_is_dead_and_what_ended_it(self) -> None:
        counter, broken = Counter.remote(), Broken.remote()
        air.kill(counter)
        for ref, actor, kind, death in (
            (counter.add.remote(), counter, "killed", "it was killed by air.kill"),
            (broken.work.remote(), broken, "constructor_failed", "its constructor raised"),
        ):
            with pytest.raises(ActorDied) as caught:
                value(identity.remote(ref))
            assert repr(actor).endswith(f", {caught.value.dead_actor})")
            assert caught.value.death_kind == kind
            assert caught.value.death.startswith(death)

    def test_failing_constructor_argument(self) -> None:
        @air.remote
        def fail() -> int:
            raise LookupError("no such number")

        counter = Counter.remote(fail.remote())
        with pytest.raises(ActorDied) as caught:
            value(counter.add.remote())
        assert isinstance(caught.value.__cause__, LookupError)

    def test_failing_method_leaves_the_actor_alive(self) -> None:
        counter = Counter.remote()
        value(counter.add.remote())
        with pytest.raises(ValueError, match="oops"):
            value(counter.fail.remote("oops"))
        assert value(counter.add.remote()) == 2

    def test_kill(self) -> None:
        counter = Counter.remote()
        done = counter.add.remote()
        assert value(done) == 1
        air.kill(counter)
        for _ in range(2):
            with pytest.raises(ActorDied, match="Counter"):
                value(counter.add.remote())
        air.kill(counter)  # the second time does nothing
        assert value(done) == 1

    def test_kill_fails_what_is_not_finished(self) -> None:
        gate = Gate.remote()
        pending = [gate.wait.remote() for _ in range(2)]
        air.kill(gate)
        for ref in pending:
            with pytest.raises(ActorDied):
                value(ref)

    def test_kill_wants_a_handle(self) -> None:
        with pytest.raises(TypeError, match="handle"):
            air.kill(air.put(1))  # type: ignore[arg-type]

    def test_exit_actor(self) -> None:
        quitter = Quitter.remote()
        assert value(quitter.ping.remote()) == "pong"
        with pytest.raises(ActorDied, match="exit_actor"):
            value(quitter.quit.remote())
        with pytest.raises(ActorDied):
            value(quitter.ping.remote())

    def test_exit_actor_is_not_caught_by_except_exception(self) -> None:
        @air.remote
        class Careful:
            def quit(self) -> str:
                try:
                    air.exit_actor()
                except Exception:
                    return "caught"
                return "went on"

        careful = Careful.remote()
        with pytest.raises(ActorDied, match="exit_actor"):
            value(careful.quit.remote())

    def test_exit_actor_fails_what_is_not_finished(self) -> None:
        quitter = Quitter.remote()
        refs = [quitter.quit.remote(), quitter.ping.remote(), add.remote(quitter.ping.remote(), 1)]
        for ref in refs:
            with pytest.raises(ActorDied):
                value(ref)

    def test_exit_actor_outside_of_an_actor(self) -> None:
        with pytest.raises(RuntimeError, match="inside a method"):
            air.exit_actor()

    def test_dropping_the_handle_waits_for_the_calls(self) -> None:
        gate = Gate.remote()
        pending = gate.wait.remote("done")
        opened = gate.open.remote()
        del gate
        gc.collect()
        assert value([pending, opened]) == ["done", None]

    def test_dropping_the_last_handle_gives_back_resources(self) -> None:
        greedy = Counter.options(resources={"widget": 2})
        first = greedy.remote(1)
        assert value(first.get.remote()) == 1
        del first
        gc.collect()
        # Where actors have to wait for resources, this one would wait for ever.
        assert value(greedy.remote(2).get.remote()) == 2

    def test_death_of_the_process(self) -> None:
        need(Capability.FORCED_CANCEL)
        quitter = Quitter.remote()
        with pytest.raises(ActorDied):
            value(quitter.die.remote())
        with pytest.raises(ActorDied):
            value(quitter.ping.remote())

    # Options ----------------------------------------------------------------------------

    def test_max_pending_calls(self) -> None:
        gate = Gate.options(max_pending_calls=2).remote()
        pending = [gate.wait.remote(), gate.wait.remote()]
        with pytest.raises(PendingCallsLimitExceeded, match="max_pending_calls=2"):
            gate.wait.remote()
        air.kill(gate)
        for ref in pending:
            with pytest.raises(ActorDied):
                value(ref)

    def test_max_concurrency_is_an_upper_bound(self) -> None:
        counter = Counter.options(max_concurrency=4).remote()
        refs = [counter.add.remote() for _ in range(8)]
        assert sorted(value(refs)) == list(range(1, 9))

    def test_detached(self) -> None:
        with guarded_by(Capability.DETACHED_ACTORS):
            counter = Counter.options(name="detached", lifetime="detached").remote(1)
            assert value(air.get_actor("detached").get.remote()) == 1
            air.kill(counter)

    def test_restarts(self) -> None:
        with guarded_by(Capability.ACTOR_RESTARTS):
            quitter = Quitter.options(max_restarts=1).remote()
            assert value(quitter.restarted.remote()) is False
            with pytest.raises(ActorDied):
                value(quitter.die.remote())
            assert value(quitter.restarted.remote()) is True
            with pytest.raises(ActorDied):
                value(quitter.die.remote())
            with pytest.raises(ActorDied):
                value(quitter.ping.remote())

    def test_kill_uses_up_one_restart(self) -> None:
        with guarded_by(Capability.ACTOR_RESTARTS):
            quitter = Quitter.options(max_restarts=2).remote()
            assert value(quitter.restarted.remote()) is False
            for _ in range(2):
                air.kill(quitter, no_restart=False)
                assert value(quitter.restarted.remote()) is True
            air.kill(quitter, no_restart=False)
            with pytest.raises(ActorDied):
                value(quitter.ping.remote())

    def test_actor_class_is_not_called(self) -> None:
        with pytest.raises(TypeError, match=r"\.remote\("):
            Counter()
        with pytest.raises(TypeError, match=r"\.remote\("):
            Counter.remote().add()
