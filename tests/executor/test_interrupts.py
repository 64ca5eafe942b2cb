"""Ctrl-C waits where it would be lost, and nowhere else."""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from air.executor.interrupts import HeldInterrupts, called_from_c, is_lost_in


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def go_through(held: HeldInterrupts, *steps: Callable[[], object]) -> None:
    with held:
        for step in steps:
            step()


@pytest.fixture
def handler() -> Iterator[Any]:
    """The handler before the test, which is put back afterwards."""
    before = signal.getsignal(signal.SIGINT)
    yield before
    signal.signal(signal.SIGINT, before)


class TestHeldInterrupts:
    def test_is_raised_at_the_end(self, handler: Any) -> None:
        done: list[str] = []
        with pytest.raises(KeyboardInterrupt):
            go_through(HeldInterrupts(), press_ctrl_c, lambda: done.append("the rest"))
        assert done
        assert signal.getsignal(signal.SIGINT) is handler

    def test_nothing_is_raised_without(self, handler: Any) -> None:
        with HeldInterrupts():
            assert signal.getsignal(signal.SIGINT) is not handler
        assert signal.getsignal(signal.SIGINT) is handler

    def test_comes_before_an_error_of_the_block(self) -> None:
        with pytest.raises(KeyboardInterrupt) as caught:
            go_through(HeldInterrupts(), press_ctrl_c, lambda: 1 / 0)
        assert isinstance(caught.value.__context__, ZeroDivisionError)

    def test_an_error_of_the_block_is_raised(self, handler: Any) -> None:
        with pytest.raises(ValueError, match="half"), HeldInterrupts():
            raise ValueError("half loaded")
        assert signal.getsignal(signal.SIGINT) is handler

    def test_one_in_the_other(self) -> None:
        done: list[str] = []
        with pytest.raises(KeyboardInterrupt):
            go_through(
                HeldInterrupts(),
                lambda: go_through(HeldInterrupts(), press_ctrl_c),
                lambda: done.append("the rest of the outer block"),
            )
        assert done

    def test_run_lets_it_through(self) -> None:
        held = HeldInterrupts()
        with held, pytest.raises(KeyboardInterrupt):
            held.run(press_ctrl_c)

    def test_run_gives_the_value(self) -> None:
        held = HeldInterrupts()
        with held:
            assert held.run(lambda: 3) == 3

    def test_run_raises_what_has_come_before_it_calls(self) -> None:
        held = HeldInterrupts()
        called: list[int] = []
        with held:
            press_ctrl_c()
            with pytest.raises(KeyboardInterrupt):
                held.run(lambda: called.append(1))
        assert not called

    @pytest.mark.parametrize("function", [lambda: None, lambda: 1 / 0, press_ctrl_c])
    def test_after_run_it_is_kept_again(self, function: Callable[[], object]) -> None:
        def run() -> None:
            with contextlib.suppress(ZeroDivisionError, KeyboardInterrupt):
                held.run(function)

        held = HeldInterrupts()
        done: list[str] = []
        with pytest.raises(KeyboardInterrupt):
            go_through(held, run, press_ctrl_c, lambda: done.append("the rest"))
        assert done

    def test_run_is_ended_by_the_first_one_only(self) -> None:
        """Else the second would be raised in the caller, who is about to handle the first."""

        def clean_up() -> None:
            try:
                press_ctrl_c()
            finally:
                press_ctrl_c()
                cleaned.append("in the function")

        def run() -> None:
            with pytest.raises(KeyboardInterrupt):
                held.run(clean_up)
            cleaned.append("by its caller")

        held = HeldInterrupts()
        cleaned: list[str] = []
        with pytest.raises(KeyboardInterrupt):
            go_through(held, run)
        assert cleaned == ["in the function", "by its caller"]

    def test_a_handler_that_does_not_raise_may_be_called_again(self, handler: Any) -> None:
        calls = []
        signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
        held = HeldInterrupts()
        with held:
            held.run(lambda: [press_ctrl_c(), press_ctrl_c()])
        assert len(calls) == 2

    def test_at_any_moment_the_try_around_run_sees_all(self) -> None:
        """Interrupted at each call and return in turn, nothing escapes the ``try``."""

        def step() -> int:
            return sum(map(int, "123"))

        def interrupt_at(moment: int) -> Callable[[FrameType, str, object], None]:
            left = iter(range(moment))

            def profile(_frame: FrameType, _event: str, _argument: object) -> None:
                if next(left, None) is None:
                    sys.setprofile(None)
                    press_ctrl_c()

            return profile

        seen = set()
        for moment in range(20):
            held = HeldInterrupts()
            inside = "nothing"
            after = "nothing"
            try:
                with held:
                    sys.setprofile(interrupt_at(moment))
                    try:
                        held.run(step)
                    except KeyboardInterrupt:
                        inside = "interrupt"
                    finally:
                        sys.setprofile(None)
            except KeyboardInterrupt:
                after = "interrupt"
            seen.add((inside, after))
        assert seen <= {("interrupt", "nothing"), ("nothing", "interrupt"), ("nothing", "nothing")}
        assert ("interrupt", "nothing") in seen

    def test_a_program_that_ignores_it(self, handler: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        held = HeldInterrupts()
        with held:
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            assert held.run(lambda: 3) == 3
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN

    def test_in_another_thread_it_does_nothing(self, handler: Any) -> None:
        seen = []

        def look() -> None:
            held = HeldInterrupts()
            with held:
                seen.append((signal.getsignal(signal.SIGINT), held.run(lambda: 3)))

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert seen == [(handler, 3)]

    def test_a_handler_that_a_debugger_has_set_stays(self, handler: Any) -> None:
        def debugger(_number: int, _frame: FrameType | None) -> None:
            raise LookupError("the debugger's prompt")

        with HeldInterrupts():
            before = signal.signal(signal.SIGINT, debugger)
        assert signal.getsignal(signal.SIGINT) is debugger
        signal.signal(signal.SIGINT, before)  # as it does at its next prompt
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                press_ctrl_c()


class TestIsLostIn:
    def test_the_programs_own_code(self) -> None:
        assert not is_lost_in(sys._getframe())
        assert not is_lost_in(None)

    def test_a_finalizer_and_what_it_calls(self) -> None:
        seen = []

        class Finalized:
            def __del__(self) -> None:
                (lambda: seen.append(is_lost_in(sys._getframe())))()

        Finalized()
        assert seen == [True]

    def test_what_c_code_calls(self) -> None:
        @called_from_c
        def called_back() -> bool:
            return (lambda: is_lost_in(sys._getframe()))()

        assert called_back()

    def test_weak_references(self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """The standard library's callbacks, which it names: Python swallows what they raise."""

        class Thing:
            pass

        (tmp_path / "air_test_module.py").write_text("")
        monkeypatch.syspath_prepend(tmp_path)
        lost: dict[str, bool] = {}

        def profile(frame: FrameType, event: str, _argument: object) -> None:
            if event == "call":
                lost[frame.f_code.co_qualname] = is_lost_in(frame)

        things = [Thing() for _ in range(3)]
        values = weakref.WeakValueDictionary({1: things[0]})
        keys = weakref.WeakKeyDictionary({things[1]: 1})
        members = weakref.WeakSet([things[2]])
        sys.setprofile(profile)
        try:
            things.clear()
            importlib.import_module("air_test_module")
        finally:
            sys.setprofile(None)
        assert (len(values), len(keys), len(members)) == (0, 0, 0)
        assert {name for name, is_lost in lost.items() if is_lost} == {
            "WeakKeyDictionary.__init__.<locals>.remove",
            "WeakSet.__init__.<locals>._remove",
            "WeakValueDictionary.__init__.<locals>.remove",
            "_get_module_lock.<locals>.cb",
        }
