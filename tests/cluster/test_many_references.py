"""Values with many references, which are counted together once the value is there."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest

import air
from air.executor.current import get_executor
from air.testing.executor_suite.harness import eventually, value
from air.testing.executor_suite.tools import identity

pytestmark = pytest.mark.usefixtures("cluster")

MANY = 100


def entries() -> int:
    """How many values this process knows."""
    client = get_executor()._client  # type: ignore[attr-defined]
    gc.collect()
    with client.reactor.lock:
        client.objects.drain()
        return len(client.references.entries)


@air.remote
def many() -> list[Any]:
    return [air.put(number) for number in range(MANY)]


@air.remote
def total(refs: Any) -> int:
    return sum(air.get(list(refs)))


class Eager:
    """Uses the references in it while it is being unpickled."""

    def __init__(self, refs: list[Any], how: str) -> None:
        self.refs, self.how = refs, how

    def __getstate__(self) -> tuple[list[Any], str]:
        return self.refs, self.how

    def __setstate__(self, state: tuple[list[Any], str]) -> None:
        self.refs, self.how = state
        if self.how == "get":
            self.found = sum(air.get(self.refs))
        elif self.how == "wait":
            self.found = len(air.wait(self.refs, num_returns=MANY)[0])
        elif self.how == "send":
            self.found = air.get(total.remote(self.refs))
        elif self.how == "put":
            self.found = air.get(total.remote(air.put(self.refs)))
        elif self.how == "thread":
            found: list[int] = []
            thread = threading.Thread(target=lambda: found.append(sum(air.get(self.refs))))
            thread.start()
            thread.join()
            self.found = found[0]
        elif self.how == "drop":
            self.refs = self.refs[-1:]
            gc.collect()
            self.found = 0
        else:
            raise ValueError("cannot be made")


@air.remote
def eager(how: str) -> Any:
    return Eager([air.put(number) for number in range(MANY)], how)


SUM = sum(range(MANY))


@pytest.mark.parametrize(
    ("how", "found"),
    [("get", SUM), ("wait", MANY), ("send", SUM), ("put", SUM), ("thread", SUM), ("drop", 0)],
)
def test_references_are_used_before_the_value_is_there(how: str, found: int) -> None:
    before = entries()
    made = value(eager.remote(how))
    assert made.found == found
    assert air.get(made.refs[-1]) == MANY - 1
    own = value(air.put(Eager([air.put(number) for number in range(MANY)], how)))
    assert own.found == found
    assert air.get(own.refs[-1]) == MANY - 1
    del made, own
    assert eventually(lambda: entries() == before)


def test_a_value_that_cannot_be_made_keeps_nothing() -> None:
    before = entries()
    for ref in (eager.remote("fail"), air.put(Eager([air.put(n) for n in range(MANY)], "fail"))):
        with pytest.raises(ValueError, match="cannot be made"):
            value(ref)
    del ref
    assert eventually(lambda: entries() == before)


def test_the_same_reference_many_times() -> None:
    before = entries()
    ref = air.put(7)
    found = value(identity.remote([ref] * MANY))
    del ref
    assert value(found[3:]) == [7] * (MANY - 3)
    del found[1:]
    assert value(found) == [7]
    del found
    assert eventually(lambda: entries() == before)


def test_each_is_freed_by_itself() -> None:
    before = entries()
    refs = value(many.remote())
    assert eventually(lambda: entries() == before + MANY)
    while refs:
        assert value(refs.pop()) == len(refs)
        del refs[-11:]
        assert eventually(lambda: entries() == before + len(refs))


def test_threads_that_read_and_drop_the_same_value() -> None:
    before = entries()
    holder = [many.remote()]
    wrong: list[Any] = []

    def read() -> None:
        for _ in range(30):
            refs = air.get(holder[0])
            if air.get(refs[::10]) != list(range(0, MANY, 10)):
                wrong.append(refs)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert air.get(total.remote(holder.pop())) == SUM
    assert eventually(lambda: entries() == before)
