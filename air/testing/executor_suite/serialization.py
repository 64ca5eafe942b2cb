"""What cannot be sent is refused at the call, with the path to the culprit."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest

import air
from air.errors import SerializationError
from air.testing.executor_suite.harness import value
from air.testing.executor_suite.tools import Counter, identity


class Logger:
    def __init__(self) -> None:
        self.lock = threading.Lock()


class Model:
    def __init__(self) -> None:
        self.logger = Logger()


class Custom:
    """Says itself how it is pickled."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Custom, (self.number,)


@pytest.mark.usefixtures("session")
class TestSerialization:
    def test_closure_of_a_function(self) -> None:
        model = Model()

        @air.remote
        def predict() -> Any:
            return model

        with pytest.raises(
            SerializationError, match=r"predict\.__closure__\['model'\]\.logger\.lock"
        ) as caught:
            predict.remote()
        assert isinstance(caught.value, TypeError)

    def test_default_of_a_function(self) -> None:
        lock = threading.Lock()

        @air.remote
        def work(lock: Any = lock) -> None: ...

        with pytest.raises(SerializationError, match=r"work\.__defaults__\[0\]"):
            work.remote()

    def test_class_attribute_of_an_actor(self) -> None:
        @air.remote
        class Holder:
            lock = threading.Lock()

            def work(self) -> None: ...

        with pytest.raises(SerializationError, match=r"Holder\.lock"):
            Holder.remote()

    def test_arguments_of_a_task(self) -> None:
        with pytest.raises(SerializationError, match=r"an argument of .*identity.*\.logger\.lock"):
            identity.remote(Model())
        with pytest.raises(SerializationError, match=r"\['model'\]\[1\]\.logger\.lock"):
            identity.remote({"model": [1, Model()]})

    def test_arguments_of_an_actor(self) -> None:
        with pytest.raises(SerializationError, match=r"an argument of .*Counter"):
            Counter.remote(threading.Lock())
        counter = Counter.remote()
        with pytest.raises(SerializationError, match=r"an argument of .*add"):
            counter.add.remote(threading.Lock())
        assert value(counter.add.remote()) == 1

    def test_put(self) -> None:
        with pytest.raises(SerializationError, match=r"air\.put.*\[2\]\.logger\.lock"):
            air.put((1, 2, Model()))

    def test_results(self) -> None:
        @air.remote
        def make() -> Any:
            return [Model()]

        with pytest.raises(SerializationError, match=r"return value of .*make.*\.logger\.lock"):
            value(make.remote())

    def test_one_bad_result_of_two(self) -> None:
        @air.remote(num_returns=2)
        def make() -> Any:
            return 1, threading.Lock()

        for ref in make.remote():
            with pytest.raises(SerializationError):
                value(ref)

    def test_generator_objects(self) -> None:
        with pytest.raises(SerializationError, match="generator"):
            identity.remote(number for number in range(3))

    def test_custom_reduce_is_respected(self) -> None:
        assert value(identity.remote(Custom(3))).number == 3

    def test_local_classes_and_functions(self) -> None:
        class Point:
            def __init__(self, x: int) -> None:
                self.x = x

        point = value(identity.remote(Point(3)))
        assert point.x == 3
        assert value(identity.remote(lambda: 4))() == 4

    def test_references_are_only_sent_by_the_backend(self) -> None:
        ref, counter = air.put(1), Counter.remote()
        for item in (ref, [ref], counter):
            with pytest.raises(SerializationError):
                pickle.dumps(item)
