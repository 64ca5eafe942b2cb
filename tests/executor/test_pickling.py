"""What pickling does beyond cloudpickle; a second process stands for a worker."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import subprocess
import sys
import textwrap
import typing

import pytest

from air.executor.pickling import can_pickle, dumps
from air.executor.serialization import loads

# What is not importable is pickled by value: hence all the classes inside functions.


def there_and_back(value, action="value"):
    """*value* as another process sends it back; *action* is what that does with it."""
    code = """
        import sys
        from air.executor.pickling import dumps
        from air.executor.serialization import loads
        value = loads(sys.stdin.buffer.read())
        sys.stdout.buffer.write(dumps({action}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code).replace("{action}", action)],
        input=dumps(value),
        capture_output=True,
        check=True,
        timeout=60,
    )
    return loads(done.stdout)


def test_slots_come_back():
    @dataclasses.dataclass(slots=True)
    class Point:
        x: int
        y: int = 2

    class Private:
        __slots__ = ("__hidden", "__weakref__")

        def __init__(self):
            self.__hidden = 3

        def show(self):
            return self.__hidden

    class Base:
        __slots__ = "a"

    class Derived(Base):
        __slots__ = ("__dict__", "b")

    class Open(Base):
        pass

    derived, opened = Derived(), Open()
    derived.a, derived.b, derived.c = 1, 2, 3
    opened.a, opened.c = 1, 3
    back = there_and_back([Point(1), Private(), derived, opened])
    assert back[0] == Point(1, 2)
    assert back[1].show() == 3
    assert (back[2].a, back[2].b, back[2].c) == (1, 2, 3)
    assert (back[3].a, back[3].c) == (1, 3)


def test_slots_hold_elsewhere_too():
    class Point:
        __slots__ = ("x",)

    assert there_and_back(Point, "hasattr(value(), '__dict__')") is False


def test_classes_that_have_empty_slots_or_none():
    class Named(typing.NamedTuple):
        a: int

    class Color(enum.Enum):
        RED = 1

    pair = collections.namedtuple("pair", "a b")
    back = there_and_back([Named(1), Color.RED, pair(1, 2)])
    assert back == [Named(1), Color.RED, pair(1, 2)]
    assert back[1] is Color.RED


def test_class_at_home_stays_as_it_is():
    count = 0

    class Model:
        level = 1

        def bump(self):
            nonlocal count
            count += 1

    bump = Model.bump
    data = dumps(Model())
    Model.level = 2
    assert type(loads(data)) is Model
    assert type(there_and_back(Model())) is Model
    assert Model.bump is bump
    assert Model.level == 2
    Model().bump()
    assert count == 1


def test_class_elsewhere_is_brought_up_to_date():
    class Model:
        level = 1

    first = dumps(Model)
    Model.level = 2
    again = "[loads(data)().level for data in value]"
    assert there_and_back([first, dumps(Model)], again) == [1, 2]


def test_cached_functions():
    @functools.lru_cache(maxsize=3, typed=True)
    def double(number):
        return 2 * number

    @functools.cache
    def fibonacci(number):
        return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

    class Model:
        @functools.lru_cache  # noqa: B019 - what users write
        def work(self, number):
            return number + 1

    assert there_and_back(double, "value(4)") == 8
    parameters = {"maxsize": 3, "typed": True}
    assert there_and_back(double, "value.cache_parameters()") == parameters
    assert there_and_back(fibonacci, "value(60)") == 1548008755920
    assert there_and_back(Model, "value().work(1)") == 2


def test_cached_properties():
    class Model:
        def __init__(self):
            self.made = 0

        @functools.cached_property
        def size(self):
            self.made += 1
            return 7

    assert there_and_back(Model(), "(value.size, value.size, value.made)") == (7, 7, 1)


def test_functions_that_dispatch_on_the_class():
    @functools.singledispatch
    def size(value):
        """How large it is."""
        return 1

    @size.register
    def _(value: list):
        return sum(size(item) for item in value)

    class Box:
        @functools.singledispatchmethod
        def put(self, value):
            return "a thing"

        @put.register
        def _(self, value: int):
            return "a number"

    assert there_and_back(size, "(value([1, [2, 3]]), value.__name__, value.__doc__)") == (
        3,
        "size",
        "How large it is.",
    )
    assert there_and_back(Box(), "(value.put(1), value.put(''))") == ("a number", "a thing")


@functools.lru_cache
def importable():
    return 1


@functools.singledispatch
def importable_dispatcher(value):
    return value


def test_functions_of_modules_go_by_name():
    assert loads(dumps(importable)) is importable
    assert loads(dumps(importable_dispatcher)) is importable_dispatcher


@pytest.mark.parametrize(("value", "expected"), [(1, True), (lambda: 1, True), (iter, True)])
def test_can_pickle(value, expected):
    assert can_pickle(value) is expected
    assert not can_pickle(x for x in [value])
