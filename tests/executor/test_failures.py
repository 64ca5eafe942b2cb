"""Exceptions on their way from a task to its caller."""

from __future__ import annotations

import pickle
import threading
import traceback

import pytest

from air.errors import ActorDied, TaskError
from air.executor.failures import as_task_error, clone, dump_failure, load_failure


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


def test_clone_of_what_cannot_be_built():
    class Once(Exception):
        made = 0

        def __new__(cls, *args):
            cls.made += 1
            if cls.made > 1:
                raise RuntimeError("only once")
            return super().__new__(cls, *args)

    error = Once("oops")
    assert clone(error) is error
