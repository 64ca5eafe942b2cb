"""What travels back to a caller, and what is left behind when it does not."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import air
from air.errors import DeadlockError, SerializationError
from air.executor.current import get_executor
from air.testing.executor_suite.harness import eventually, value
from air.testing.executor_suite.tools import identity

pytestmark = pytest.mark.usefixtures("cluster")


def entries() -> int:
    """How many values this process knows of."""
    client = get_executor()._client  # type: ignore[attr-defined]
    with client.reactor.lock:
        client.objects.drain()
        return len(client.references.entries)


def after_collection(count: Callable[[], int]) -> int:
    """Exceptions are in cycles: their tracebacks lead to the frames that hold them."""
    gc.collect()
    return count()


@air.remote
def used_in_worker() -> tuple[int, int]:
    """Bytes of shared memory and references that the worker still holds for callers."""
    client = get_executor()._client  # type: ignore[attr-defined]
    with client.reactor.lock:
        client.objects.drain()
        return client.writer.used_bytes, len(client.objects.returned._held)


class PutsItself:
    """Its pickle holds a reference that nothing else does."""

    def __reduce__(self) -> Any:
        return _get, (air.put("inside"),)


def _get(ref: Any) -> Any:
    return ref


def test_a_reference_that_is_made_while_it_is_pickled_lives() -> None:
    before = entries()
    for _ in range(50):
        assert value(value(identity.remote(PutsItself()))) == "inside"
        assert value(value(air.put(PutsItself()))) == "inside"
    assert eventually(lambda: entries() == before)


def test_a_reference_that_is_made_while_a_result_is_pickled_lives() -> None:
    @air.remote
    def make() -> PutsItself:
        return PutsItself()

    for _ in range(50):
        assert value(value(make.remote())) == "inside"


def test_a_value_that_cannot_be_pickled_lets_go_of_what_it_holds() -> None:
    before = entries()
    for _ in range(5):
        with pytest.raises(SerializationError, match="lock"):
            air.put([PutsItself(), threading.Lock()])
        with pytest.raises(SerializationError, match="lock"):
            identity.remote([air.put(1), threading.Lock()])
    assert eventually(lambda: entries() == before)


def test_results_before_one_that_cannot_be_pickled_are_given_up() -> None:
    @air.remote(num_returns=3, num_cpus=2)
    def make() -> Any:
        return np.zeros(1_000_000), [air.put(1)], threading.Lock()

    for _ in range(3):
        for ref in make.remote():
            with pytest.raises(SerializationError, match="lock"):
                value(ref)
    assert value([used_in_worker.options(num_cpus=2).remote()]) == [(0, 0)]


class Broken(Exception):
    pass


@pytest.mark.parametrize("returns", [0, 1, 3])
def test_references_in_an_exception_are_given_back(returns: int, monkeypatch: Any) -> None:
    monkeypatch.setattr("air.executor.failures.logger.disabled", True)  # it would keep them

    @air.remote(num_returns=returns, num_cpus=2, max_retries=1, retry_exceptions=True)
    def fail(refs: Any) -> None:
        raise Broken(refs[0], air.put("made inside"), [PutsItself()])

    before = after_collection(entries)
    for _ in range(3):
        made = fail.remote([air.put("given")])
        refs = [] if made is None else [made] if returns == 1 else made
        while len(refs) > 1:
            refs.pop(0)
        for ref in refs:
            with pytest.raises(Broken) as caught:
                value(ref)
            assert value(list(caught.value.args[:2])) == ["given", "made inside"]
            del caught, ref
        del made, refs
    assert eventually(lambda: value(used_in_worker.options(num_cpus=2).remote()) == (0, 0))
    assert eventually(lambda: after_collection(entries) <= before)


def test_references_in_the_exception_of_a_stream_are_given_back() -> None:
    @air.remote(num_cpus=2)
    def fail() -> Any:
        yield [air.put("yielded")]
        raise Broken(air.put("made inside"))

    before = after_collection(entries)
    for _ in range(3):
        good, bad = list(fail.remote())
        with pytest.raises(Broken) as caught:
            value(bad)
        assert value([*value(good), caught.value.args[0]]) == ["yielded", "made inside"]
        del good, bad, caught
    assert eventually(lambda: value(used_in_worker.options(num_cpus=2).remote()) == (0, 0))
    assert eventually(lambda: after_collection(entries) <= before)


def test_a_thousand_small_results_that_are_large_together() -> None:
    count = 1200

    @air.remote(num_returns=count)
    def make() -> Any:
        return [bytes([number % 256]) * 60_000 for number in range(count)]

    found = value(make.remote())
    assert all(found[n] == bytes([n % 256]) * 60_000 for n in range(count))


def test_a_thousand_small_arguments_that_are_large_together() -> None:
    refs = [air.put(bytes([number % 256]) * 60_000) for number in range(1200)]

    @air.remote
    def check(*values: bytes) -> int:
        return sum(len(v) for v in values if v[0] == v[-1])

    assert value(check.remote(*refs)) == 1200 * 60_000


def test_shapes_that_are_used_no_more_are_forgotten() -> None:
    submitter = get_executor()._client.submitter  # type: ignore[attr-defined]
    known = []
    for number in range(600):
        task = identity.options(resources={"widget": 1 - number / 1000})
        assert value(task.remote(number)) == number
        known.append(len(submitter._shapes))
    assert max(known) < 400


@air.remote
class Introvert:
    """Calls itself, and asks later what came of it."""

    def start(self) -> None:
        self.ran = False
        me = air.get_runtime_context().current_actor
        self.ref = me.work.remote()

    def work(self) -> int:
        self.ran = True
        return 7

    def ask(self) -> str:
        try:
            return f"got {air.get(self.ref)}"
        except DeadlockError:
            return "cannot get what has been answered" if self.ran else "asked too early"


def test_an_answer_of_the_actor_itself_may_be_on_its_way() -> None:
    actor = Introvert.remote()
    for _ in range(60):
        value(actor.start.remote())
        # The two calls have different callers, and so no certain order.
        assert value(actor.ask.remote()) in ("got 7", "asked too early")
