"""What cannot be sent is refused at the call, with the path to the culprit."""

from __future__ import annotations

import dataclasses
import functools
import pickle
import threading
from typing import Any

import pytest

import air
from air.errors import ActorDied, SerializationError
from air.testing.executor_suite.harness import value
from air.testing.executor_suite.tools import Counter, identity
from air.util import deregister_serializer, register_serializer


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


class Unloadable:
    """Can be pickled, and that is all."""

    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}

    def __setstate__(self, state: Any) -> None:
        raise LookupError("cannot be loaded")


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

        @air.remote
        def stream() -> Any:
            yield 1

        with pytest.raises(SerializationError, match=r"args\[0\]\['a'\] is a .*ObjectRefGenerator"):
            identity.remote({"a": stream.remote()})

    def test_custom_reduce_is_respected(self) -> None:
        assert value(identity.remote(Custom(3))).number == 3

    def test_local_classes_and_functions(self) -> None:
        class Point:
            def __init__(self, x: int) -> None:
                self.x = x

        point = value(identity.remote(Point(3)))
        assert point.x == 3
        assert value(identity.remote(lambda: 4))() == 4

    def test_local_classes_with_slots(self) -> None:
        @dataclasses.dataclass(slots=True)
        class Point:
            x: int
            y: int = 2

        @air.remote
        def has_room(point: Any) -> bool:
            return hasattr(point, "__dict__")

        assert value(identity.remote(Point(1))) == Point(1, 2)
        assert value(has_room.remote(Point(1))) is False

    def test_local_classes_at_home_stay_as_they_are(self) -> None:
        class Model:
            level = 1

            def work(self) -> int:
                return self.level

        work, ref = Model.work, identity.remote(Model())
        Model.level = 2
        assert type(value(ref)) is Model
        assert Model.work is work
        assert Model.level == 2
        assert value(air.remote(lambda model: model.work()).remote(Model())) == 2

    def test_local_functions_with_a_cache(self) -> None:
        @functools.cache
        def fibonacci(number: int) -> int:
            return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

        class Model:
            @functools.cached_property
            def size(self) -> int:
                return fibonacci(60)

        assert value(air.remote(fibonacci).remote(60)) == 1548008755920
        assert value(air.remote(lambda model: model.size).remote(Model())) == 1548008755920

    def test_what_cannot_be_loaded(self) -> None:
        counter = Counter.remote()
        for ref in (identity.remote(Unloadable()), counter.add.remote(Unloadable())):
            with pytest.raises(LookupError, match="cannot be loaded"):
                value(ref)
        stored = air.put(Unloadable())
        for ref in (stored, identity.remote(stored)):
            with pytest.raises(LookupError, match="cannot be loaded"):
                value(ref)
        assert value(counter.add.remote()) == 1

    def test_serializers_of_the_program(self) -> None:
        class Handle:
            def __init__(self, number: int) -> None:
                self.number = number
                self.lock = threading.Lock()

        @air.remote
        def look(handles: list[Any]) -> int:
            return sum(handle.number for handle in handles)

        register_serializer(Handle, serializer=lambda it: it.number, deserializer=Handle)
        try:
            assert value(look.remote([Handle(1), Handle(2)])) == 3
            assert value(air.put(Handle(3))).number == 3
        finally:
            deregister_serializer(Handle)
        with pytest.raises(SerializationError, match=r"\.lock"):
            look.remote([Handle(1)])

    def test_code_that_cannot_be_loaded(self) -> None:
        weights = Unloadable()

        @air.remote(max_retries=0)
        def predict() -> Any:
            return weights

        @air.remote
        class Predictor:
            model = weights

            def predict(self) -> None: ...

        with pytest.raises(SerializationError, match=r"predict.*LookupError: cannot be loaded"):
            value(predict.remote())
        with pytest.raises(ActorDied, match=r"Predictor.*LookupError: cannot be loaded") as caught:
            value(Predictor.remote().predict.remote())
        assert isinstance(caught.value.__cause__, SerializationError)
        assert isinstance(caught.value.__cause__.__cause__, LookupError)
        assert value(identity.remote(1)) == 1

    def test_references_are_only_sent_by_the_backend(self) -> None:
        ref, counter = air.put(1), Counter.remote()
        for item in (ref, [ref], counter):
            with pytest.raises(SerializationError):
                pickle.dumps(item)
