"""Tasks: arguments, results, options, retries."""

from __future__ import annotations

import functools
import os
from typing import Any

import pytest

import air
from air.errors import InvalidOption, TaskError, WorkerDied
from air.executor.capabilities import Capability
from air.executor.current import get_executor
from air.testing.executor_suite.harness import need, value
from air.testing.executor_suite.tools import Counter, Gate, Recorder, add, identity, with_session

FACTOR = 3


@air.remote
def times_factor(number: int) -> int:
    return FACTOR * number


def _twice(number: int) -> int:
    return 2 * number


@pytest.mark.usefixtures("session")
class TestTasks:
    def test_returns_a_value(self) -> None:
        assert value(add.remote(1, 2)) == 3

    def test_none_is_a_value(self) -> None:
        assert value(identity.remote(None)) is None

    def test_positional_keyword_and_default_arguments(self) -> None:
        @air.remote
        def show(a: int, b: int = 2, *rest: int, c: int, d: int = 4, **more: int) -> Any:
            return a, b, rest, c, d, more

        assert value(show.remote(1, c=3)) == (1, 2, (), 3, 4, {})
        assert value(show.remote(1, 5, 6, 7, c=8, e=9)) == (1, 5, (6, 7), 8, 4, {"e": 9})

    def test_references_are_replaced_by_their_values(self) -> None:
        one, two = air.put(1), identity.remote(2)
        assert value(add.remote(one, two)) == 3
        assert value(add.remote(left=one, right=two)) == 3

    def test_nested_references_stay_references(self) -> None:
        @air.remote
        def look(items: list[Any]) -> tuple[bool, Any]:
            return isinstance(items[0], air.ObjectRef), air.get(items[0])

        assert value(look.remote([identity.remote(7)])) == (True, 7)

    def test_waits_for_its_arguments(self) -> None:
        gate = Gate.remote()
        later = add.remote(gate.wait.remote(1), 2)
        gate.open.remote()
        assert value(later) == 3

    def test_chain_of_dependent_tasks(self) -> None:
        ref = identity.remote(0)
        for _ in range(50):
            ref = add.remote(ref, 1)
        assert value(ref) == 50

    def test_same_reference_twice(self) -> None:
        ref = identity.remote(4)
        assert value(add.remote(ref, ref)) == 8

    def test_many_small_tasks(self) -> None:
        refs = [identity.remote(number) for number in range(1000)]
        assert value(refs) == list(range(1000))

    def test_several_returns(self) -> None:
        @air.remote(num_returns=3)
        def three() -> tuple[int, ...]:
            return 1, 2, 3

        refs = three.remote()
        assert [value(ref) for ref in refs] == [1, 2, 3]
        assert value(refs[::-1]) == [3, 2, 1]

    def test_a_list_can_be_several_returns(self) -> None:
        first, second = identity.options(num_returns=2).remote([1, 2])
        assert value([first, second]) == [1, 2]

    def test_a_generator_can_be_several_returns(self) -> None:
        @air.remote(num_returns=2)
        def two() -> Any:
            yield "a"
            yield "b"

        assert value(two.remote()) == ["a", "b"]

    def test_no_returns(self) -> None:
        recorder = Recorder.remote()

        @air.remote(num_returns=0)
        def run(recorder: Any) -> None:
            air.get(recorder.add.remote("ran"))

        @air.remote(num_returns=0)
        def generate(recorder: Any) -> Any:
            for number in range(3):
                air.get(recorder.add.remote(number))
                yield number

        assert run.remote(recorder) is None
        assert generate.remote(recorder) is None
        value([recorder.wait_for.remote(item) for item in ("ran", 2)])

    @pytest.mark.parametrize("count", [1, 2])
    def test_async_generators_are_no_fixed_number_of_values(self, count: int) -> None:
        @air.remote(num_returns=count)
        async def numbers() -> Any:
            yield 1
            yield 2

        with pytest.raises(TypeError, match="num_returns='streaming'"):
            value(numbers.remote())

    def test_generators_are_no_single_value(self) -> None:
        @air.remote(num_returns=1)
        def numbers() -> Any:
            yield 1

        with pytest.raises(TypeError, match="num_returns='streaming'"):
            value(numbers.remote())

    @pytest.mark.parametrize("returned", [1, (1,), (1, 2, 3), None, "ab"])
    def test_wrong_number_of_returns(self, returned: Any) -> None:
        refs = identity.options(num_returns=2, name="pair").remote(returned)
        for ref in refs:
            with pytest.raises(ValueError, match="pair has num_returns=2"):
                value(ref)

    def test_options_leave_the_original_alone(self) -> None:
        changed = identity.options(num_returns=2)
        assert value(changed.remote((1, 2))) == [1, 2]
        assert value(identity.remote((1, 2))) == (1, 2)

    @pytest.mark.parametrize(
        "function",
        [
            lambda x: x + 1,
            functools.partial(lambda x, y: x + y, 1),
            (1).__add__,
            type("Adder", (), {"__call__": lambda self, x: x + 1})(),
        ],
        ids=["lambda", "partial", "builtin", "object"],
    )
    def test_any_callable(self, function: Any) -> None:
        assert value(air.remote(function).remote(2)) == 3

    def test_closures_and_globals(self) -> None:
        offset = 10

        @air.remote
        def shift(number: int) -> int:
            return number + offset

        assert value(shift.remote(1)) == 11
        assert value(times_factor.remote(2)) == 6

    def test_coroutine_function(self) -> None:
        @air.remote
        async def twice(ref: Any) -> int:
            return 2 * await ref[0]

        assert value(twice.remote([identity.remote(4)])) == 8

    def test_coroutine_of_a_plain_function(self) -> None:
        async def add_one(number: int) -> int:
            return await identity.remote(number) + 1

        assert value(air.remote(lambda number: add_one(number)).remote(4)) == 5
        assert value(air.remote(functools.partial(add_one, 5)).remote()) == 6

    def test_arguments_are_copies(self) -> None:
        @air.remote
        def spoil(items: list[int]) -> list[int]:
            items.append(99)
            return items

        items = [1]
        assert value(spoil.remote(items)) == [1, 99]
        assert items == [1]

    def test_arguments_are_copied_at_the_call(self) -> None:
        gate = Gate.remote()
        items = [1]
        later = add.remote(items, gate.wait.remote([2]))
        items.append(99)
        gate.open.remote()
        assert value(later) == [1, 2]

    def test_default_values_are_shared_by_nobody_outside(self) -> None:
        seen: list[int] = []

        @air.remote
        def remember(number: int) -> int:
            seen.append(number)
            return len(seen)

        value(remember.remote(1))
        assert seen == []

    def test_name_shows_in_errors(self) -> None:
        @air.remote(name="the loader")
        def fail() -> None:
            raise ValueError("no")

        with pytest.raises(TaskError) as caught:
            value(fail.remote())
        assert caught.value.task_name == "the loader"

    def test_arguments_must_fit_the_signature(self) -> None:
        with pytest.raises(TypeError, match="missing a required argument: 'right'"):
            add.remote(1)
        with pytest.raises(TypeError, match="unexpected keyword argument 'middle'"):
            add.remote(1, 2, middle=3)

    def test_arguments_that_a_decorator_supplies(self) -> None:
        @air.remote
        @with_session
        def load(session: str, name: str) -> str:
            return f"{name} by {session}"

        assert value(load.remote("it")) == "it by a session"
        assert value(load.remote(name="that")) == "that by a session"

    def test_arguments_of_cached_and_partial_functions_must_fit_too(self) -> None:
        cached = air.remote(functools.lru_cache(_twice))
        partial = air.remote(functools.partial(_twice, number=2))
        assert value([cached.remote(3), partial.remote()]) == [6, 4]
        with pytest.raises(TypeError, match="missing a required argument: 'number'"):
            cached.remote()
        with pytest.raises(TypeError, match="unexpected keyword argument 'much'"):
            partial.remote(much=1)

    def test_misspelt_option(self) -> None:
        with pytest.raises(InvalidOption, match="Did you mean 'num_returns'"):
            identity.options(num_return=2)

    def test_no_retry_unless_asked(self) -> None:
        counter = Counter.remote()
        with pytest.raises(ConnectionError, match="attempt 1"):
            value(_flaky.remote(counter, good=3))
        assert value(counter.get.remote()) == 1

    @pytest.mark.parametrize("retry", [True, [ConnectionError], [KeyError, OSError]])
    def test_retries(self, retry: Any) -> None:
        counter = Counter.remote()
        flaky = _flaky.options(max_retries=2, retry_exceptions=retry)
        assert value(flaky.remote(counter, good=3)) == "attempt 3"

    def test_retries_end(self) -> None:
        counter = Counter.remote()
        flaky = _flaky.options(max_retries=2, retry_exceptions=True)
        with pytest.raises(ConnectionError, match="attempt 3"):
            value(flaky.remote(counter, good=9))
        assert value(counter.get.remote()) == 3

    def test_retries_without_limit(self) -> None:
        counter = Counter.remote()
        flaky = _flaky.options(max_retries=-1, retry_exceptions=True)
        assert value(flaky.remote(counter, good=9)) == "attempt 9"

    def test_no_retry_of_other_exceptions(self) -> None:
        counter = Counter.remote()
        flaky = _flaky.options(retry_exceptions=[KeyError])
        with pytest.raises(ConnectionError, match="attempt 1"):
            value(flaky.remote(counter, good=3))

    def test_retry_after_results_that_do_not_fit(self) -> None:
        @air.remote(num_returns=2, max_retries=2, retry_exceptions=[ValueError])
        def split(counter: Any) -> Any:
            return range(air.get(counter.add.remote()) - 1) and (1, 2)

        assert value(split.remote(Counter.remote())) == [1, 2]

    def test_retry_gets_fresh_arguments(self) -> None:
        counter = Counter.remote()

        @air.remote(retry_exceptions=True)
        def spoil(items: list[int], counter: Any) -> list[int]:
            items.append(air.get(counter.add.remote()))
            if len(items) == 1 and items[0] == 1:
                raise ConnectionError
            return items

        assert value(spoil.remote([], counter)) == [2]

    def test_death_of_the_process(self) -> None:
        need(Capability.FORCED_CANCEL)  # else there is no process that could die alone
        with pytest.raises(WorkerDied, match="_crash"):
            value(_crash.options(max_retries=0).remote(Counter.remote(), good=2))
        assert value(identity.remote(1)) == 1

    def test_retries_after_the_death_of_the_process(self) -> None:
        need(Capability.FORCED_CANCEL)
        crash = _crash.options(max_retries=2)
        assert value(crash.remote(Counter.remote(), good=3)) == "attempt 3"

    def test_preload_is_a_hint(self) -> None:
        get_executor().preload(["json", "no_module_of_that_name"])
        assert value(identity.remote(1)) == 1


@air.remote
def _crash(counter: Any, good: int) -> str:
    attempt = air.get(counter.add.remote())
    if attempt < good:
        os._exit(1)
    return f"attempt {attempt}"


@air.remote
def _flaky(counter: Any, good: int) -> str:
    attempt = air.get(counter.add.remote())
    if attempt < good:
        raise ConnectionError(f"attempt {attempt}")
    return f"attempt {attempt}"
