"""References and handles inside values: what they stand for lives as long as they do."""

from __future__ import annotations

import copy
import gc
from typing import Any

import numpy as np
import pytest

import air
from air.errors import ActorDied
from air.testing.executor_suite.harness import TIMEOUT, value
from air.testing.executor_suite.tools import Counter, Gate, identity


@air.remote
class Keeper:
    """Holds on to what it is given."""

    def __init__(self, kept: Any = None) -> None:
        self.kept = kept

    def keep(self, kept: Any) -> None:
        self.kept = kept

    def give(self) -> Any:
        return self.kept

    def read(self) -> Any:
        return air.get(self.kept["ref"])


@air.remote
def make_inside() -> Any:
    return {"ref": air.put("made inside"), "task": identity.remote("also inside")}


@air.remote
class Maker:
    """Hands out what it has made."""

    def make(self) -> list[Any]:
        return [air.put("made inside"), identity.remote("also inside"), Counter.remote(5)]

    def leave(self) -> None:
        air.exit_actor()


@pytest.mark.usefixtures("session")
class TestReferences:
    def test_in_arguments(self) -> None:
        @air.remote
        def total(tree: dict[str, Any]) -> int:
            return sum(air.get([tree["a"], *tree["more"]]))

        refs = [air.put(1), identity.remote(2), air.put(3)]
        assert value(total.remote({"a": refs[0], "more": refs[1:]})) == 6

    def test_in_values(self) -> None:
        inner = air.put("inner")
        outer = air.put([inner, {"again": inner}])
        back, again = value(outer)
        assert back == inner
        assert value([back, again["again"]]) == ["inner", "inner"]

    def test_a_stored_value_keeps_what_it_refers_to(self) -> None:
        outer = air.put([air.put("inner")])
        gc.collect()
        assert value(value(outer)[0]) == "inner"

    def test_through_three_levels(self) -> None:
        ref = air.put("deep")
        for _ in range(3):
            ref = air.put([ref])
        gc.collect()
        for _ in range(3):
            (ref,) = value(ref)
        assert value(ref) == "deep"

    def test_made_inside_a_task(self) -> None:
        made = value(make_inside.remote())
        gc.collect()
        assert value([made["ref"], made["task"]]) == ["made inside", "also inside"]

    def test_made_inside_a_task_and_passed_on_unread(self) -> None:
        made = make_inside.remote()
        copied = identity.remote(made)
        del made
        gc.collect()
        assert value(value(copied)["ref"]) == "made inside"

    def test_borrowed_by_an_actor(self) -> None:
        keeper = Keeper.remote()
        ref = air.put(np.arange(100_000))
        value(keeper.keep.remote({"ref": ref}))
        del ref
        gc.collect()
        assert value(keeper.read.remote()).sum() == 4_999_950_000
        assert value(value(keeper.give.remote())["ref"])[1] == 1

    def test_borrowed_by_an_actors_constructor(self) -> None:
        keeper = Keeper.remote({"ref": identity.remote("kept")})
        gc.collect()
        assert value(keeper.read.remote()) == "kept"

    def test_passed_on_between_actors(self) -> None:
        first, second = Keeper.remote(), Keeper.remote()
        value(first.keep.remote({"ref": air.put("passed on")}))
        value(second.keep.remote(first.give.remote()))
        value(first.keep.remote(None))
        air.kill(first)
        gc.collect()
        assert value(second.read.remote()) == "passed on"

    def test_in_what_nothing_but_a_future_waits_for(self) -> None:
        @air.remote
        def fail() -> None:
            raise KeyError(air.put("made inside"))

        for _ in range(5):
            made = make_inside.remote().future().result(TIMEOUT)
            assert value([made["ref"], made["task"]]) == ["made inside", "also inside"]
            error = fail.remote().future().exception(TIMEOUT)
            assert isinstance(error, KeyError)
            assert value(error.args[0]) == "made inside"

    @pytest.mark.parametrize("leaves", [False, True])
    def test_made_by_an_actor_that_has_ended(self, leaves: bool) -> None:
        maker = Maker.options(resources={"widget": 2}).remote()
        made, task, counter = value(maker.make.remote())
        if leaves:
            with pytest.raises(ActorDied):
                value(maker.leave.remote())
        del maker
        gc.collect()
        # It has what the first one had, which so has ended.
        another = Maker.options(resources={"widget": 2}).remote()
        again = value(another.make.remote())
        assert value([made, task, again[0]]) == ["made inside", "also inside", "made inside"]
        assert value(counter.add.remote()) == 6

    def test_made_by_an_actor_that_nobody_waits_for(self) -> None:
        for _ in range(10):
            made = value(Maker.remote().make.remote())
            assert value(made[:2]) == ["made inside", "also inside"]
            assert value(made[2].add.remote()) == 6

    def test_copies_are_the_same(self) -> None:
        held = {"ref": air.put([1]), "counter": Counter.remote(5)}
        for same in (copy.deepcopy(held), {key: copy.copy(item) for key, item in held.items()}):
            assert same == held
            assert value(same["ref"]) == [1]
        held.clear()
        gc.collect()
        assert value(same["counter"].add.remote()) == 6

    def test_dropped_while_a_task_needs_it(self) -> None:
        gate = Gate.remote()

        @air.remote
        def read(refs: list[Any], _: Any) -> Any:
            return air.get(refs[0])

        later = read.remote([air.put("needed")], gate.wait.remote())
        gc.collect()
        gate.open.remote()
        assert value(later) == "needed"

    def test_argument_dropped_while_a_task_needs_it(self) -> None:
        gate = Gate.remote()
        later = Keeper.remote().keep.remote(gate.wait.remote(air.put("value")))
        gc.collect()
        gate.open.remote()
        assert value(later) is None

    def test_captured_by_a_function(self) -> None:
        ref = air.put("captured")

        @air.remote
        def read() -> Any:
            return air.get(ref)

        assert value([read.remote(), read.remote()]) == ["captured", "captured"]

    def test_of_a_pending_task(self) -> None:
        gate = Gate.remote()
        pending = gate.wait.remote("at last")

        @air.remote
        def give(refs: list[Any]) -> Any:
            return refs

        (back,) = value(give.remote([pending]))
        assert back == pending
        gate.open.remote()
        assert value(back) == "at last"

    def test_handles_in_values(self) -> None:
        stored = air.put({"counter": Counter.remote(5)})
        gc.collect()
        counter = value(stored)["counter"]
        assert value(counter.add.remote()) == 6

    def test_handles_kept_by_an_actor(self) -> None:
        keeper = Keeper.remote()
        value(keeper.keep.remote([Counter.remote(5)]))
        gc.collect()
        (counter,) = value(keeper.give.remote())
        assert value(counter.add.remote()) == 6

    def test_the_same_value_many_times(self) -> None:
        array = air.put(np.ones(100_000))

        @air.remote
        def total(array: Any) -> float:
            return float(array.sum())

        assert value([total.remote(array) for _ in range(20)]) == [100_000.0] * 20

    def test_many_values_come_and_go(self) -> None:
        # 800 MB in all, of which one at a time is wanted: more than is sensible to keep.
        for number in range(200):
            ref = air.put(np.full(500_000, number, dtype=np.float64))
            assert value(ref)[-1] == number
