"""What a program says of how its values travel, and what it is told of those that do not."""

from __future__ import annotations

import io
import threading

import pytest

import air
from air.errors import InvalidOption
from air.executor.serialization import dumps, loads
from air.util import deregister_serializer, inspect_serializability
from air.util import register_serializer as register


class Connection:
    """Cannot be pickled."""

    def __init__(self, address):
        self.address = address
        self.lock = threading.Lock()


class Special(Connection):
    pass


@pytest.fixture
def registered():
    register(
        Connection, serializer=lambda item: item.address, deserializer=lambda it: Connection(it)
    )
    yield
    deregister_serializer(Connection)


def sent(value):
    stream, buffers = dumps(value)
    return loads(stream, buffers)


def test_a_serializer_is_used_wherever_an_instance_is(registered):
    for value in ([Connection("a")], {"b": (Connection("a"),)}):
        back = sent(value)
        (connection,) = back if isinstance(back, list) else back["b"]
        assert connection.address == "a"
        assert not connection.lock.locked()
    assert inspect_serializability(Connection("a"), print_file=io.StringIO()) == (True, set())


def test_the_last_registration_counts(registered):
    register(Connection, serializer=lambda _: None, deserializer=lambda _: "other")
    assert sent(Connection("a")) == "other"


def test_subclasses_are_others(registered):
    with pytest.raises(TypeError, match=r"special\.lock"):
        dumps(Special("a"))


def test_what_is_deregistered_travels_as_before(registered):
    deregister_serializer(Connection)
    deregister_serializer(Connection)
    with pytest.raises(TypeError, match=r"connection\.lock"):
        dumps(Connection("a"))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: register(dict, serializer=str, deserializer=str), InvalidOption, "dict"),
        (lambda: register(1, serializer=str, deserializer=str), TypeError, "takes a class"),
        (lambda: register(Special, serializer=1, deserializer=str), TypeError, "^serializer"),
        (lambda: register(Special, serializer=str, deserializer=1), TypeError, "^deserializer"),
        (lambda: deregister_serializer("Special"), TypeError, "takes a class"),
        (lambda: inspect_serializability(1, depth=0), InvalidOption, "depth"),
        (lambda: inspect_serializability(1, name=2), InvalidOption, "name"),
        (lambda: inspect_serializability(1, print_file="a path"), InvalidOption, "print_file"),
        (lambda: inspect_serializability(1, deph=1), InvalidOption, "Did you mean 'depth'"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def report(value, **options):
    out = io.StringIO()
    good, failures = inspect_serializability(value, print_file=out, **options)
    assert good is (not failures)
    return failures, out.getvalue()


def test_all_culprits_are_named():
    connection, lock = Connection("a"), threading.Lock()

    def work():
        return connection, lock

    failures, text = report(work)
    named = {failure.name: failure for failure in failures}
    assert sorted(named) == ["work.__closure__['connection'].lock", "work.__closure__['lock']"]
    found = named["work.__closure__['connection'].lock"]
    assert found.obj is connection.lock
    assert found.parent is connection
    assert "cannot pickle '_thread.lock' object" in found.why
    assert text.splitlines()[0] == (f"{found.name} cannot be sent to other processes: {found.why}")


def test_what_stands_in_two_places_is_named_once():
    lock = threading.Lock()
    failures, _ = report({"a": lock, "b": [lock]})
    assert [failure.name for failure in failures] == ["value['a']"]


def test_depth_and_name():
    value = {"a": [Connection("a")]}
    for depth, path in [(1, "['a']"), (2, "['a'][0]"), (3, "['a'][0].lock"), (9, "['a'][0].lock")]:
        (failure,), _ = report(value, depth=depth, name="config")
        assert failure.name == f"config{path}"
    (failure,), _ = report(threading.Lock())
    assert failure.name == "lock"
    assert failure.parent is None


def test_parts_that_lead_back_to_one_another():
    class Stubborn:
        def __reduce__(self):
            raise RuntimeError("no")

    value = [Stubborn()]
    value[0].owner = value
    (failure,), _ = report(value)
    assert failure.name == "value[0]"
    assert failure.why == "RuntimeError: no"


def test_prints_to_the_standard_output(capsys):
    inspect_serializability([1, 2])
    assert capsys.readouterr().out == "value can be sent to other processes\n"


def test_references_and_handles_are_no_obstacle(air_local):
    @air.remote
    class Actor:
        pass

    failures, text = report({"ref": air.put(1), "actor": Actor.remote()})
    assert not failures
    assert "can be sent" in text
