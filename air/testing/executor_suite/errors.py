"""How a user's exception gets back to the caller: as itself, ending on the user's line."""

from __future__ import annotations

import dataclasses
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import air
from air.errors import ActorDied, SerializationError, TaskError
from air.executor.capabilities import Capability
from air.testing.executor_suite.harness import eventually, has, last_frame, value
from air.testing.executor_suite.tools import Counter, Gate, add, identity


class PlainError(Exception):
    pass


class TwoArguments(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class KeywordOnly(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(code)
        self.code = code


class HoldsALock(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()
        self.message = message


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Final(Exception):
    def __init_subclass__(cls) -> None:
        raise TypeError("Final cannot be subclassed")


class KeywordNew(Exception):
    def __new__(cls, message: str, *, code: int) -> KeywordNew:
        error = super().__new__(cls, message)
        error.code = code
        return error

    def __init__(self, message: str, *, code: int) -> None:
        self.code = code


@dataclasses.dataclass
class Data(Exception):
    code: int
    reason: str = "oops"


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenData(Exception):
    code: int
    reason: str = "oops"


class NoAttributes(Exception):
    def __setattr__(self, name: str, value: Any) -> None:
        raise RuntimeError(f"{name} cannot be set")


class BadReduce(Exception):
    def __reduce__(self) -> Any:
        raise RuntimeError("no pickle of me")


class BadState(Exception):
    def __setstate__(self, state: Any) -> None:
        raise RuntimeError("no state for me")


class FinalTwoArguments(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code

    def __init_subclass__(cls) -> None:
        raise TypeError("cannot be subclassed")


@air.remote
def throw(make: Any) -> None:
    raise make()


@air.remote
class Thrower:
    def __init__(self, make: Any = None) -> None:
        if make is not None:
            raise make()

    def throw(self, make: Any) -> None:
        raise make()

    def stream(self, make: Any) -> Iterator[int]:
        yield 1
        raise make()

    def ping(self) -> str:
        return "pong"


@air.remote
class AsyncThrower:
    async def throw(self, make: Any) -> None:
        raise make()

    async def ping(self) -> str:
        return "pong"


def caught_from(ref: Any) -> Any:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - the callers look closer
        value(ref)
    return caught.value


@pytest.mark.usefixtures("session")
class TestErrors:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: PlainError("oops"),
            lambda: TwoArguments(7, "oops"),
            lambda: KeywordOnly(code=7),
            lambda: HoldsALock("oops"),
            lambda: Slotted(7),
            lambda: KeywordNew("oops", code=7),
            lambda: Data(7),
            lambda: FrozenData(7),
            lambda: NoAttributes("oops"),
            lambda: BadReduce("oops"),
            lambda: BadState("oops"),
            lambda: AttributeError("oops", name="colour"),
            lambda: RecursionError("oops"),
            lambda: KeyError("oops"),
            lambda: ValueError(),
            lambda: OSError(2, "oops", "a file"),
            lambda: UnicodeDecodeError("utf-8", b"x", 0, 1, "oops"),
            lambda: ExceptionGroup("oops", [ValueError("a"), KeyError("b")]),
            lambda: StopIteration(1),
            lambda: AssertionError("oops"),
        ],
        ids=lambda make: type(make()).__name__,
    )
    def test_arrives_as_its_own_class(self, make: Any) -> None:
        original = make()
        error = caught_from(throw.remote(make))
        assert isinstance(error, type(original))
        assert isinstance(error, TaskError)
        assert type(error).__name__ == type(original).__name__
        assert str(error) == str(original)
        assert isinstance(error.cause, type(original))
        assert "throw" in error.task_name
        assert last_frame(error) == "throw"
        for name in ("code", "reason", "message", "errno", "filename", "encoding", "name"):
            assert getattr(error, name, None) == getattr(original, name, None)

    def test_members_of_groups(self) -> None:
        def make() -> Exception:
            try:
                raise HoldsALock("in the group")
            except HoldsALock as member:
                return ExceptionGroup("oops", [member, KeyError("other")])

        error = caught_from(throw.remote(make))
        assert [type(member) for member in error.exceptions] == [HoldsALock, KeyError]
        assert error.exceptions[0].message == "in the group"
        assert last_frame(error.exceptions[0]) == "make"

    def test_endless_recursion(self) -> None:
        @air.remote(max_retries=0)
        def descend() -> Any:
            def deeper() -> Any:
                return deeper()

            return deeper()

        error = caught_from(descend.remote())
        assert isinstance(error, RecursionError)
        assert last_frame(error) == "deeper"

    @pytest.mark.parametrize("make", [lambda: Final("oops"), lambda: FinalTwoArguments(7, "oops")])
    def test_class_that_cannot_be_subclassed(self, make: Any) -> None:
        error = caught_from(throw.remote(make))
        assert type(error) is type(make())
        assert str(error) == "oops"
        assert getattr(error, "code", None) == getattr(make(), "code", None)
        assert last_frame(error) == "throw"

    def test_class_of_the_callers_own_function(self) -> None:
        class Local(Exception):
            pass

        @air.remote
        def fail() -> None:
            raise Local("oops")

        with pytest.raises(Local, match="oops"):
            value(fail.remote())

    def test_traceback_ends_on_the_users_line(self) -> None:
        def helper() -> None:
            raise PlainError("oops")  # this line

        @air.remote
        def fail() -> None:
            helper()

        error = caught_from(fail.remote())
        frames = traceback.extract_tb(error.__traceback__)
        assert [frame.name for frame in frames][-2:] == ["fail", "helper"]
        assert frames[-1].line == 'raise PlainError("oops")  # this line'

    def test_each_get_raises_afresh(self) -> None:
        ref = throw.remote(lambda: PlainError("oops"))
        errors = [caught_from(ref) for _ in range(3)]
        assert len({len(traceback.extract_tb(error.__traceback__)) for error in errors}) == 1
        assert len({id(error) for error in errors}) == 3

    def test_each_get_raises_afresh_what_the_system_raised(self) -> None:
        @air.remote
        def lock() -> Any:
            return threading.Lock()

        ref = lock.remote()
        errors = [caught_from(ref) for _ in range(3)]
        assert len({len(traceback.extract_tb(error.__traceback__)) for error in errors}) == 1
        assert len({id(error) for error in errors}) == 3

    def test_each_get_raises_afresh_what_cannot_be_subclassed(self) -> None:
        ref = throw.remote(lambda: Final("oops"))
        errors = [caught_from(ref) for _ in range(3)]
        assert len({len(traceback.extract_tb(error.__traceback__)) for error in errors}) == 1
        assert len(getattr(errors[-1], "__notes__", [])) <= 1

    def test_cause_is_kept(self) -> None:
        @air.remote
        def fail() -> None:
            try:
                dict[str, int]()["missing"]
            except KeyError as error:
                raise PlainError("oops") from error

        error = caught_from(fail.remote())
        assert isinstance(error.__cause__, KeyError)
        assert last_frame(error.__cause__) == "fail"
        assert error.__suppress_context__

    def test_context_is_kept(self) -> None:
        @air.remote
        def fail() -> None:
            try:
                dict[str, int]()["missing"]
            except KeyError:
                raise PlainError("oops")  # noqa: B904 - that is what the test is about

        error = caught_from(fail.remote())
        assert error.__cause__ is None
        assert isinstance(error.__context__, KeyError)

    def test_what_the_caller_handles_is_no_context(self) -> None:
        try:
            dict[str, int]()["missing"]
        except KeyError:
            ref = throw.remote(lambda: PlainError("oops"))
        assert caught_from(ref).__context__ is None

    def test_notes_are_kept(self) -> None:
        @air.remote
        def fail() -> None:
            error = PlainError("oops")
            error.add_note("a note")
            raise error

        assert "a note" in caught_from(fail.remote()).__notes__

    @pytest.mark.parametrize("make", [lambda: SystemExit(3), lambda: GeneratorExit()])
    def test_exits_end_the_task_alone(self, make: Any) -> None:
        name = type(make()).__name__
        with pytest.raises(TaskError, match=name):
            value(throw.remote(make))
        assert value(identity.remote(1)) == 1
        for actor in (Thrower.remote(), AsyncThrower.remote()):
            with pytest.raises(TaskError, match=name):
                value(actor.throw.remote(make))
            assert value(actor.ping.remote()) == "pong"
        with pytest.raises(TaskError, match=name):
            value(list(Thrower.remote().stream.remote(make)))

    def test_exits_in_a_constructor(self) -> None:
        with pytest.raises(ActorDied, match="SystemExit") as caught:
            value(Thrower.remote(lambda: SystemExit(3)).ping.remote())
        assert isinstance(caught.value.__cause__, TaskError)

    @pytest.mark.parametrize("retry", [True, [SystemExit]])
    def test_exits_are_tried_again_only_if_named(self, retry: Any) -> None:
        counter = Counter.remote()

        @air.remote(max_retries=2, retry_exceptions=retry)
        def leave(counter: Any) -> None:
            air.get(counter.add.remote())
            raise SystemExit(3)

        with pytest.raises(TaskError, match="SystemExit"):
            value(leave.remote(counter))
        assert value(counter.get.remote()) == (1 if retry is True else 3)

    def test_keyboard_interrupts(self) -> None:
        """They are the program's where tasks run in its main thread, else the task's alone."""
        actor = Thrower.remote()
        calls = [
            lambda: throw.remote(KeyboardInterrupt),
            lambda: actor.throw.remote(KeyboardInterrupt),
            lambda: list(actor.stream.remote(KeyboardInterrupt)),
            lambda: AsyncThrower.remote().throw.remote(KeyboardInterrupt),
        ]
        for call in calls:
            if has(Capability.PARALLEL_TASKS):
                with pytest.raises(TaskError, match="KeyboardInterrupt"):
                    value(call())
            else:
                with pytest.raises(KeyboardInterrupt):
                    call()
        with ThreadPoolExecutor(1) as pool:
            for call in calls:
                with pytest.raises(TaskError, match="KeyboardInterrupt"):
                    value(pool.submit(call).result())
        assert value([actor.ping.remote(), identity.remote(1)]) == ["pong", 1]

    def test_what_no_reference_tells_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        gate, actor = Gate.remote(), Thrower.remote()
        caplog.set_level(logging.WARNING, "air")
        failing = throw.options(num_returns=0, name="the lost task")
        assert failing.remote(lambda: PlainError("unseen")) is None
        assert failing.remote(gate.wait.remote(lambda: PlainError("unseen later"))) is None
        actor.throw.options(num_returns=0, name="the lost call").remote(lambda: PlainError("oops"))
        value([gate.open.remote(), actor.ping.remote()])
        assert eventually(lambda: len(caplog.records) >= 3)
        told = [(record.getMessage(), record.exc_info or ((), "")) for record in caplog.records]
        assert sorted((text.partition(" failed")[0], str(info[1])) for text, info in told) == [
            ("the lost call", "oops"),
            ("the lost task", "unseen"),
            ("the lost task", "unseen later"),
        ]

    def test_passes_through_dependent_tasks(self) -> None:
        bad = throw.remote(lambda: PlainError("oops"))
        for ref in (add.remote(bad, 1), add.remote(1, right=add.remote(bad, bad))):
            error = caught_from(ref)
            assert isinstance(error, PlainError)
            assert last_frame(error) == "throw"

    def test_dependent_task_does_not_run(self) -> None:
        counter = Counter.remote()

        @air.remote(retry_exceptions=True)
        def touch(_: Any, counter: Any) -> None:
            air.get(counter.add.remote())

        bad = throw.remote(lambda: PlainError("oops"))
        with pytest.raises(PlainError):
            value(touch.remote(bad, counter))
        assert value(counter.get.remote()) == 0

    def test_passes_through_nested_tasks(self) -> None:
        @air.remote
        def outer() -> Any:
            return air.get(throw.remote(lambda: TwoArguments(7, "oops")))

        error = caught_from(outer.remote())
        assert isinstance(error, TwoArguments)
        assert error.code == 7
        assert last_frame(error) == "throw"
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert "outer" in names

    def test_can_be_caught_inside_a_task(self) -> None:
        @air.remote
        def outer() -> str:
            try:
                air.get(throw.remote(lambda: PlainError("oops")))
            except PlainError as error:
                return f"caught {error}"
            return "nothing"

        assert value(outer.remote()) == "caught oops"

    def test_all_returns_hold_the_error(self) -> None:
        refs = throw.options(num_returns=2).remote(lambda: PlainError("oops"))
        for ref in refs:
            assert isinstance(caught_from(ref), PlainError)

    def test_actor_methods(self) -> None:
        counter = Counter.remote()
        error = caught_from(counter.fail.remote("oops"))
        assert isinstance(error, ValueError)
        assert isinstance(error, TaskError)
        assert error.task_name.endswith("Counter.fail")
        assert last_frame(error) == "fail"
        assert value(counter.add.remote()) == 1

    def test_result_that_cannot_be_pickled(self) -> None:
        @air.remote
        def lock() -> Any:
            return {"the": [threading.Lock()]}

        with pytest.raises(SerializationError, match=r"return value.*\['the'\]\[0\].*lock"):
            value(lock.remote())

    def test_references_inside(self) -> None:
        @air.remote
        def fail(refs: list[Any]) -> None:
            error = PlainError("oops", refs[0], {"made": air.put("made inside")})
            error.counter = Counter.remote(5)
            raise error from KeyError(refs[0])

        ref = air.put("given")
        failed = fail.remote([ref])
        for reference in (failed, add.remote(failed, 1)):
            error = caught_from(reference)
            _, given, more = error.args
            assert given == ref
            assert value([given, more["made"], error.__cause__.args[0]]) == [
                "given",
                "made inside",
                "given",
            ]
            assert value(error.counter.get.remote()) == 5

    def test_references_inside_outlive_the_one_that_failed(self) -> None:
        @air.remote(num_returns=2)
        def fail() -> None:
            raise PlainError(air.put("made inside"))

        first, second = fail.remote()
        air.wait([second], timeout=30)
        del first
        inside = caught_from(second).args[0]
        del second
        assert value(value(identity.remote([inside]))[0]) == "made inside"

    def test_references_inside_seen_by_another_task(self) -> None:
        @air.remote
        def fail() -> None:
            raise PlainError(air.put("made inside"))

        @air.remote
        def look(refs: list[Any]) -> Any:
            try:
                air.get(refs[0])
            except PlainError as error:
                return air.get(error.args[0])

        failed = fail.remote()
        assert value(look.remote([failed])) == "made inside"

    def test_references_inside_outlive_the_actors_that_passed_them_on(self) -> None:
        @air.remote
        class Back:
            def fail(self) -> None:
                raise PlainError(air.put("made inside"))

        @air.remote
        class Front:
            def __init__(self) -> None:
                self.back = Back.remote()

            def fail(self) -> None:
                air.get(self.back.fail.remote())

        for _ in range(10):
            error = caught_from(Front.remote().fail.remote())
            assert value(error.args[0]) == "made inside"

    def test_references_inside_what_streams_and_constructors_raise(self) -> None:
        ref = air.put("given")

        @air.remote
        def stream(refs: list[Any]) -> Iterator[Any]:
            yield air.put("yielded")
            raise PlainError(refs[0], air.put("made inside"))

        @air.remote
        class Failing:
            def __init__(self, refs: list[Any]) -> None:
                raise PlainError(refs[0], air.put("made inside"), Counter.remote(5))

            def ping(self) -> None: ...

        good, bad = list(stream.remote([ref]))
        assert value(value(good)) == "yielded"
        assert value(list(caught_from(bad).args)) == ["given", "made inside"]
        for call in (failing := Failing.remote([ref])).ping.remote(), failing.ping.remote():
            died: Any = caught_from(call)
            assert isinstance(died, ActorDied)
            cause: Any = died.__cause__
            given, made, counter = cause.args
            assert value([given, made]) == ["given", "made inside"]
        assert value(counter.add.remote()) == 6

    def test_an_error_can_be_a_value(self) -> None:
        error = value(identity.remote(PlainError("oops")))
        assert type(error) is PlainError

    def test_a_caught_error_can_be_sent_on(self) -> None:
        error = caught_from(throw.remote(lambda: TwoArguments(7, "oops")))
        back = value(identity.remote(error))
        assert isinstance(back, TwoArguments)
        assert back.code == 7

    def test_what_tests_end_with_keeps_its_class(self) -> None:
        @air.remote
        def end(how: str) -> None:
            getattr(pytest, how)("not today")

        for how in ("skip", "fail", "xfail"):
            error = caught_from(end.remote(how))
            assert isinstance(error, TaskError)
            assert isinstance(
                error, pytest.skip.Exception if how == "skip" else pytest.fail.Exception
            )
            assert "not today" in str(error)

    @pytest.mark.parametrize(
        "error", [SystemExit(1), GeneratorExit(), BaseException("all of them")]
    )
    def test_what_would_end_its_caller_does_not(self, error: BaseException) -> None:
        @air.remote(max_retries=0)
        def end() -> None:
            raise error

        caught = caught_from(end.remote())
        assert isinstance(caught, Exception)
        assert not isinstance(caught, type(error)) or type(error) is BaseException

    def test_very_deep_recursion(self) -> None:
        @air.remote
        def deep() -> None:
            def again(number: int) -> int:
                return again(number + 1)

            limit = sys.getrecursionlimit()
            sys.setrecursionlimit(100_000)
            try:
                again(0)
            finally:
                sys.setrecursionlimit(limit)

        assert isinstance(caught_from(deep.remote()), RecursionError)
