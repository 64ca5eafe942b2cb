"""Exceptions on their way from a task to its caller."""

from __future__ import annotations

import asyncio
import pickle
import sys
import threading
import traceback
import types

import pytest

from air.errors import ActorDied, NotInitialized, TaskCancelled, TaskError
from air.executor.failures import (
    as_task_error,
    clone,
    dump_failure,
    load_failure,
    load_raised,
    log_unseen,
)


class Plain(Exception):
    pass


class NeedsTwo(Exception):
    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")
        self.code = code


class Sealed(Exception):
    def __init_subclass__(cls):
        raise TypeError("sealed")


def raised(error, cause=None):
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def travelled(error):
    return load_failure(dump_failure(error, "work"))


def here(error):
    return as_task_error(error, "work")


@pytest.mark.parametrize("send", [here, travelled])
class TestBothWays:
    """With live frames (one process) and after a journey (two processes)."""

    def test_mixed_class(self, send):
        error = send(raised(Plain("oops")))
        assert isinstance(error, Plain)
        assert isinstance(error, TaskError)
        assert type(error).__name__ == "Plain"
        assert type(error).__module__ == __name__
        assert str(error) == "oops"
        assert error.task_name == "work"
        assert type(error.cause) is Plain

    def test_same_mixed_class_each_time(self, send):
        assert type(send(raised(Plain("a")))) is type(send(raised(Plain("b"))))

    def test_traceback(self, send):
        error = send(raised(Plain("oops")))
        assert traceback.extract_tb(error.__traceback__)[-1].name == "raised"

    def test_attributes_without_init(self, send):
        error = send(raised(NeedsTwo(7, "oops")))
        assert error.code == 7
        assert str(error) == "7: oops"

    def test_fields_of_c_classes(self, send):
        error = send(raised(FileNotFoundError(2, "No such file", "a.csv")))
        assert (error.errno, error.filename) == (2, "a.csv")
        assert str(error) == "[Errno 2] No such file: 'a.csv'"
        error = send(raised(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")))
        assert (error.object, error.start, error.reason) == (b"\xff", 0, "bad")

    def test_sealed_class(self, send):
        error = send(raised(Sealed("oops")))
        assert type(error) is Sealed
        assert error.__notes__ == ["raised in task work"]

    def test_causes(self, send):
        error = send(raised(Plain("oops"), cause=raised(KeyError("why"))))
        assert isinstance(error.__cause__, KeyError)
        assert error.__suppress_context__

    def test_own_errors_stay_what_they_are(self, send):
        error = send(raised(ActorDied("gone")))
        assert type(error) is ActorDied

    def test_exits_become_task_errors(self, send):
        error = send(raised(SystemExit(3)))
        assert type(error) is TaskError
        assert "SystemExit(3)" in str(error)

    def test_nested_tasks_keep_the_inner_name(self, send):
        inner = send(raised(Plain("oops")))
        outer = as_task_error(inner, "outer")
        assert outer.task_name == "work"


class KeywordNew(Exception):
    def __new__(cls, message, *, code):
        error = super().__new__(cls, message)
        error.code = code
        return error

    def __init__(self, message, *, code):
        pass


class Layout(OSError, ValueError):
    """Only one of its bases may make an instance: that with fields of C."""


class Group(ExceptionGroup):
    def __new__(cls, message, errors, code):
        made = super().__new__(cls, message, errors)
        made.code = code
        return made

    def __init__(self, message, errors, code):
        pass

    def derive(self, errors):
        return Group(self.message, errors, self.code)


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class MuteExit(SystemExit):
    def __repr__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize("send", [here, travelled])
class TestOddClasses:
    def test_new_that_wants_more(self, send):
        error = send(raised(KeywordNew("oops", code=7)))
        assert isinstance(error, KeywordNew)
        assert (str(error), error.code) == ("oops", 7)

    def test_several_bases(self, send):
        error = send(raised(Layout(2, "oops", "file")))
        assert isinstance(error, Layout)
        assert (error.errno, error.filename) == (2, "file")

    def test_fields_that_pickle_forgets(self, send):
        assert send(raised(AttributeError("oops", name="colour", obj=3))).name == "colour"
        assert send(raised(NameError("oops", name="colour"))).name == "colour"

    def test_groups(self, send):
        bad = Plain("locked")
        bad.lock = threading.Lock()
        inner = ExceptionGroup("inner", [raised(bad, cause=KeyError("why"))])
        error = send(raised(Group("outer", [inner, raised(NeedsTwo(7, "oops"))], code=3)))
        assert isinstance(error, Group)
        assert (error.message, error.code) == ("outer", 3)
        assert [type(member) for member in error.exceptions] == [ExceptionGroup, NeedsTwo]
        (locked,) = error.exceptions[0].exceptions
        assert type(locked) is Plain
        assert isinstance(locked.__cause__, KeyError)
        assert traceback.extract_tb(locked.__traceback__)[-1].name == "raised"
        assert error.exceptions[1].code == 7

    def test_no_text(self, send):
        assert isinstance(send(raised(Mute("oops"))), Mute)
        assert "MuteExit" in str(send(raised(MuteExit())))

    def test_no_text_and_no_pickle(self, send):
        class Local(Mute):
            lock = threading.Lock()

        assert isinstance(send(raised(Local("oops"))), TaskError)

    def test_what_is_no_exception_and_no_exit(self, send):
        class Outcome(BaseException):
            pass

        Outcome.__module__ = "builtins"  # as pytest has it
        error = send(raised(Outcome("so be it")))
        assert isinstance(error, TaskError)
        assert type(error).__name__ == "Outcome"
        assert str(error) == "so be it"
        for ends in (
            asyncio.CancelledError(),
            GeneratorExit(),
            BaseExceptionGroup("", [Outcome()]),
        ):
            assert not isinstance(send(raised(ends)), type(ends))

    def test_of_a_long_traceback_both_ends_are_kept(self, send):
        def again(number):
            return again(number - 1) if number else 1 / 0

        error = None
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(5000)
        try:
            again(3000)
        except ZeroDivisionError as caught:
            error = send(caught)
        finally:
            sys.setrecursionlimit(limit)
        frames = traceback.extract_tb(error.__traceback__)
        assert frames[0].name == "test_of_a_long_traceback_both_ends_are_kept"
        assert "1 / 0" in frames[-1].line
        assert len(frames) in (400, 3002)

    def test_long_chains(self, send):
        error = None
        for number in range(20):
            error = raised(Plain(number), cause=error)
        error = send(error)
        for number in range(19, -1, -1):
            assert str(error) == str(number)
            error = error.__cause__

    def test_chain_in_a_circle(self, send):
        first, second = Plain("first"), Plain("second")
        first.__cause__, second.__cause__ = second, first
        assert str(send(first).__cause__) == "second"

    def test_deep_recursion(self, send):
        def descend(depth):
            return descend(depth + 1)

        def start():
            try:
                descend(0)
            except RecursionError as error:
                return error

        error = send(start())
        assert isinstance(error, RecursionError)
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert names[0] == "start"
        assert names[-1] == "descend"


def test_what_cannot_be_pickled_travels_in_parts():
    error = raised(Plain("oops", threading.Lock()))
    error.lock, error.size = threading.Lock(), 3
    back = travelled(error)
    assert isinstance(back, Plain)
    assert back.args[0] == "oops"
    assert "lock" in back.args[1]
    assert back.size == 3
    assert not hasattr(back, "lock")


def test_class_that_cannot_be_pickled_travels_as_text():
    class Local(Exception):
        lock = threading.Lock()

    back = travelled(raised(Local("oops")))
    assert type(back) is TaskError
    assert "Local: oops" in str(back)


def test_mixed_errors_can_be_pickled():
    error = pickle.loads(pickle.dumps(travelled(raised(NeedsTwo(7, "oops")))))
    assert isinstance(error, NeedsTwo)
    assert isinstance(error, TaskError)
    assert error.code == 7
    assert error.task_name == "work"


def test_clone_leaves_the_traceback_alone():
    error = here(raised(Plain("oops"), cause=KeyError("why")))
    frames = len(traceback.extract_tb(error.__traceback__))
    for _ in range(3):
        copy = clone(error)
        assert copy is not error
        assert type(copy) is type(error)
        assert copy.__cause__ is error.__cause__
        assert copy.__dict__ == error.__dict__
        assert len(traceback.extract_tb(raised(copy, copy.__cause__).__traceback__)) > frames - 1
    assert len(traceback.extract_tb(error.__traceback__)) == frames


def test_what_can_be_made_only_once():
    class Once(Exception):
        made = 0

        def __new__(cls, *args):
            cls.made += 1
            if cls.made > 1:
                raise RuntimeError("only once")
            return super().__new__(cls, *args)

    error = raised(Once("oops"))
    for copy in (clone(error), here(error)):
        assert isinstance(copy, Once)
        assert str(copy) == "oops"


def test_failures_that_nobody_sees_are_logged_with_their_traceback(caplog):
    log_unseen(travelled(raised(Plain("oops"))), "work")
    log_unseen(TaskCancelled("work was cancelled"), "work")
    log_unseen(NotInitialized("shut down"), "work")
    (record,) = caplog.records
    assert record.name == "air"
    assert record.getMessage() == "work failed, and gives no reference that could tell"
    assert "Plain: oops" in caplog.text
    assert "in raised" in caplog.text


@pytest.mark.parametrize("error", [Plain("oops"), SystemExit(3), KeyboardInterrupt()])
def test_what_was_raised_comes_back_unmixed(error):
    assert type(load_raised(dump_failure(raised(error), "work"))) is type(error)


def test_a_class_that_cannot_be_loaded_where_it_arrives(monkeypatch):
    module = types.ModuleType("only_there")
    exec("class Odd(Exception): pass", vars(module))
    monkeypatch.setitem(sys.modules, "only_there", module)
    error = raised(module.Odd("oops", 7), cause=Plain("why"))
    group = raised(ExceptionGroup("all", [error, KeyError("b")]))
    dumped, in_group = dump_failure(error, "work"), dump_failure(group, "work")
    monkeypatch.delitem(sys.modules, "only_there")
    for back in (load_failure(dumped), load_failure(in_group).exceptions[0]):
        assert type(back) is TaskError
        assert "only_there.Odd: ('oops', 7)" in str(back)
        assert "No module named 'only_there'" in str(back)
        assert isinstance(back.__cause__, Plain)
        assert traceback.extract_tb(back.__traceback__)[-1].name == "raised"
    assert type(load_failure(in_group).exceptions[1]) is KeyError
