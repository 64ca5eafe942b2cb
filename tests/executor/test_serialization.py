"""Values as bytes, and finding what cannot be pickled."""

from __future__ import annotations

import collections
import functools
import pickle
import threading
import types

import numpy as np
import pytest

from air.errors import SerializationError
from air.executor.serialization import (
    OUT_OF_BAND_BYTES,
    dumps,
    dumps_code,
    find_culprit,
    is_plain,
    loads,
)


class Slots:
    __slots__ = ("lock", "name")

    def __init__(self):
        self.name, self.lock = "a", threading.Lock()


class Holder:
    def __init__(self, held):
        self.held = held

    def method(self):
        return self.held


class _PrivateSlot:
    __slots__ = ("__lock",)

    def __init__(self, lock):
        self.__lock = lock


def _with_super(lock):
    class Model:
        def work(self):  # refers to Model, and fails because that does: not to blame
            return super().__init__()

        bad = lock

    return Model


@pytest.mark.parametrize(
    "value",
    [None, 1, 1.5, "text", b"bytes", (1, 2), [1, [2, {"a": 3}]], {"a": (1,)}, {1, 2}, Ellipsis],
    ids=repr,
)
def test_round_trip(value):
    assert loads(*dumps(value)) == value


def test_large_buffers_stay_beside_the_stream():
    array = np.arange(100_000)
    stream, buffers = dumps({"array": array})
    assert len(stream) < 1000
    assert [buffer.nbytes for buffer in buffers] == [array.nbytes]
    assert dumps({"array": array}).size > array.nbytes
    back = loads(stream, [bytes(buffer) for buffer in buffers])["array"]
    np.testing.assert_array_equal(back, array)
    assert not back.flags.writeable


def test_small_buffers_stay_in_the_stream():
    assert dumps(np.zeros(OUT_OF_BAND_BYTES - 1, dtype=np.uint8)).buffers == []
    assert len(dumps(np.zeros(OUT_OF_BAND_BYTES, dtype=np.uint8)).buffers) == 1


def test_buffers_are_views():
    array = np.zeros(100_000)
    stream, buffers = dumps(array)
    array[0] = 1
    assert loads(stream, buffers)[0] == 1


def test_strided_arrays():
    array = np.arange(100_000)[::2]
    np.testing.assert_array_equal(loads(*dumps(array)), array)


def test_functions_are_pickled_by_value():
    offset = 2
    shift = loads(*dumps(lambda x: x + offset))
    assert shift(1) == 3


def test_what_is_plain():
    assert is_plain([1, "a", (2.5, None, {"b": b"c"})])
    assert not is_plain([len])
    assert not is_plain({"a": {1}})
    assert not is_plain([[[[[1]]]]])
    assert not is_plain([0] * 1000)
    assert not is_plain(type("Number", (int,), {})(1))


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda lock: {"a": [1, lock]}, "['a'][1]"),
        (lambda lock: ({"a": 1}, {"b": Holder(lock)}), "[1]['b'].held"),
        (lambda lock: Holder(Holder(lock)), ".held.held"),
        (lambda lock: Slots(), ".lock"),
        (lambda lock: Holder(lock).method, ".__self__.held"),
        (lambda lock: lambda: lock, ".__closure__['lock']"),
        (lambda lock: lambda x=lock: x, ".__defaults__[0]"),
        (lambda lock: lambda *, x=lock: x, ".__kwdefaults__['x']"),
        (lambda lock: functools.partial(print, lock), ".args[0]"),
        (lambda lock: type("Local", (), {"lock": lock, "__module__": "__main__"}), ".lock"),
        (lambda lock: type("Local", (), {"lock": lock, "__module__": "__main__"})(), None),
        (lambda lock: collections.deque([1, lock]), "[1]"),
        (lambda lock: types.MappingProxyType({"a": lock}), "['a']"),
        (lambda lock: ValueError("oops", lock), ".args[1]"),
        (lambda lock: [*range(10_000), lock, *range(10_000)], "[10000]"),
        (lambda lock: np.array([lock], dtype=object), ".__reduce_ex__(4)[2][4][0]"),
        (_PrivateSlot, "._PrivateSlot__lock"),
        (_with_super, ".bad"),
        (lambda lock: type("Derived", (_with_super(lock),), {}), ".__bases__[0].bad"),
    ],
)
def test_find_culprit(make, path):
    found, culprit = find_culprit(make(threading.Lock()))
    assert found == (path or ".__class__.lock")
    assert type(culprit) is type(threading.Lock())


def test_find_culprit_in_cycles():
    holder = Holder(None)
    holder.held = [holder, threading.Lock()]
    assert find_culprit(holder)[0].endswith("[1]")


def test_nothing_to_find():
    assert find_culprit([1, 2]) == ("", [1, 2])


def test_error_names_value_path_and_kind():
    with pytest.raises(SerializationError) as caught:
        dumps([Holder(threading.Lock())], "an argument of task work")
    message = str(caught.value)
    assert "cannot serialize an argument of task work: value[0].held is a _thread.lock" in message
    assert "Make it inside the task" in message
    assert isinstance(caught.value.__cause__, TypeError)


def test_error_names_the_argument():
    args = (1, {"model": threading.Lock()})
    with pytest.raises(SerializationError, match=r"of work: args\[1\]\['model'\] is a"):
        dumps((args, {}), "an argument of work", ("args", "kwargs"))
    with pytest.raises(SerializationError, match=r"of work: kwargs\['lock'\] is a"):
        dumps(((), {"lock": threading.Lock()}), "an argument of work", ("args", "kwargs"))


class Hostile:
    """Has nothing that does not raise."""

    def __init__(self):
        object.__setattr__(self, "lock", threading.Lock())

    def __repr__(self):
        raise RuntimeError("repr")

    def __hash__(self):
        return 1

    def __getattr__(self, name):
        raise RuntimeError(name)


def test_error_of_what_cannot_be_shown():
    for value, path in (
        (Hostile(), "hostile.lock"),
        ({"a": Hostile()}, r"value\['a'\].lock"),
        ({Hostile()}, "lock"),
        ({Hostile(): 1}, "lock"),
    ):
        with pytest.raises(SerializationError, match=path):
            dumps(value)


def test_error_that_leads_back_to_the_value():
    class Endless:
        def __reduce__(self):
            return list, (self,)

    with pytest.raises(SerializationError, match=r"value\[0\].*recursion"):
        dumps([Endless()])


def test_error_of_the_value_itself():
    with pytest.raises(SerializationError, match=r"cannot serialize the thing: a _thread\.lock"):
        dumps(threading.Lock(), lambda: "the thing")


def test_error_of_code():
    lock = threading.Lock()

    def work():
        return lock

    with pytest.raises(SerializationError, match=r"work\.__closure__\['lock'\]"):
        dumps_code(work, "tests.work")


def test_error_raised_by_reduce():
    class Refuses:
        def __reduce__(self):
            raise RuntimeError("not me")

    with pytest.raises(SerializationError, match="not me"):
        dumps({"a": Refuses()})


def test_pickling_error_of_recursion():
    value = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(SerializationError):
        dumps(value)
    while value:  # taken apart step by step: freeing it at once would recurse as deeply
        value = value.pop()


def test_stream_is_plain_pickle():
    assert pickle.loads(dumps([1]).stream) == [1]
