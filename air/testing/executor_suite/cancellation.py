"""Cancelling what has not started, what waits, and what has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import air
from air.errors import TaskCancelled
from air.executor.capabilities import Capability
from air.testing.executor_suite.harness import TIMEOUT, guarded_by, has, need, value
from air.testing.executor_suite.tools import Counter, Gate, Recorder, add, identity
from air.util import placement_group, remove_placement_group


@air.remote
class Worker:
    async def wait(self, gate: Any, recorder: Any, name: str) -> None:
        try:
            await gate.wait.remote()
        except asyncio.CancelledError:
            recorder.add.remote(f"{name} was cancelled")
            raise
        recorder.add.remote(f"{name} is through")

    async def delegate(self, gate: Any, recorder: Any, other: Any) -> None:
        await other.wait.remote(gate, recorder, "child")


@air.remote
def count(counter: Any, _: Any) -> None:
    air.get(counter.add.remote())


@air.remote
def wait_for(gate: Any) -> Any:
    return air.get(gate.wait.remote())


@air.remote
def cancel_all(refs: list[Any], force: bool = False) -> None:
    for ref in refs:
        air.cancel(ref, force=force)


@air.remote
def make_inside() -> Any:
    return air.put("made inside")


@air.remote
def stream_of(item: Any) -> Iterator[Any]:
    while True:
        yield item


@air.remote
class Canceller:
    def cancel(self, refs: list[Any]) -> None:
        for ref in refs:
            air.cancel(ref)


@air.remote
class Starter:
    def start(self, gate: Any) -> list[Any]:
        return [add.remote(gate.wait.remote(1), 1)]


@air.remote
class Busy:
    """Waits or computes until it is interrupted."""

    def ping(self) -> str:
        return "pong"

    def wait(self, gate: Any, recorder: Any) -> Any:
        try:
            air.get(recorder.add.remote("runs"))
            return air.get(gate.wait.remote())
        except KeyboardInterrupt:
            recorder.add.remote("cleaned up")
            raise

    def compute(self, _gate: Any, recorder: Any) -> Any:
        try:
            air.get(recorder.add.remote("runs"))
            while True:
                sum(range(100))
        finally:
            recorder.add.remote("cleaned up")

    def catch(self, gate: Any, recorder: Any) -> str:
        try:
            self.wait(gate, recorder)
        except KeyboardInterrupt:
            return "caught it"
        return "was not interrupted"

    @air.method(num_returns="streaming")
    def wait_in_a_stream(self, gate: Any, recorder: Any) -> Any:
        yield 0
        yield self.wait(gate, recorder)

    @air.method(num_returns="streaming")
    def compute_in_a_stream(self, gate: Any, recorder: Any) -> Any:
        yield 0
        yield self.compute(gate, recorder)


@pytest.mark.usefixtures("session")
class TestCancellation:
    def test_a_stream_before_its_first_value(self) -> None:
        gate = Gate.remote()
        stream = stream_of.remote(gate.wait.remote())
        air.cancel(stream)
        (ref,) = stream
        with pytest.raises(TaskCancelled, match="stream_of"):
            value(ref)
        gate.open.remote()
        assert list(stream) == []

    @pytest.mark.parametrize("recursive", [True, False])
    def test_a_stream_in_the_middle(self, recursive: bool) -> None:
        stream = stream_of.remote("item")
        refs = [next(stream), next(stream)]
        air.cancel(stream, recursive=recursive)
        *more, last = stream
        assert set(value(refs + more)) == {"item"}
        with pytest.raises(TaskCancelled, match="stream_of"):
            value(last)
        assert list(stream) == []
        air.cancel(stream)  # does nothing any more

    def test_a_stream_that_computes(self) -> None:
        need(Capability.PARALLEL_TASKS)
        gate, recorder = Gate.remote(), Recorder.remote()
        stream = Busy.remote().wait_in_a_stream.remote(gate, recorder)
        assert value(next(stream)) == 0
        value(recorder.wait_for.remote("runs"))
        air.cancel(stream)
        (last,) = stream
        with pytest.raises(TaskCancelled):
            value(last)
        value(recorder.wait_for.remote("cleaned up"))

    def test_a_stream_with_force(self) -> None:
        stream = stream_of.remote("item")
        assert value(next(stream)) == "item"
        with guarded_by(Capability.FORCED_CANCEL):
            air.cancel(stream, force=True)
            with pytest.raises(TaskCancelled):
                value(list(stream)[-1])
        method = Busy.remote().wait_in_a_stream.remote(None, None)
        with pytest.raises(TypeError, match=r"air\.kill"):
            air.cancel(method, force=True)

    def test_a_task_that_waits_for_its_arguments_never_runs(self) -> None:
        gate, counter = Gate.remote(), Counter.remote()
        waiting = count.options(name="patient").remote(counter, gate.wait.remote())
        dependent = add.remote(waiting, 1)
        air.cancel(waiting)
        for ref in (waiting, dependent):
            with pytest.raises(TaskCancelled, match="patient"):
                value(ref)
        value(gate.open.remote())
        assert value(counter.get.remote()) == 0

    def test_async_method(self) -> None:
        gate, recorder, worker = Gate.remote(), Recorder.remote(), Worker.remote()
        ref = worker.wait.remote(gate, recorder, "parent")
        value(gate.arrived.remote(1))
        air.cancel(ref)
        with pytest.raises(TaskCancelled):
            value(ref)
        value(recorder.wait_for.remote("parent was cancelled"))

    def test_not_the_children(self) -> None:
        gate, recorder = Gate.remote(), Recorder.remote()
        parent, child = Worker.remote(), Worker.remote()
        ref = parent.delegate.remote(gate, recorder, child)
        value(gate.arrived.remote(1))
        air.cancel(ref, recursive=False)
        with pytest.raises(TaskCancelled):
            value(ref)
        gate.open.remote()
        value(recorder.wait_for.remote("child is through"))

    def test_async_task(self) -> None:
        gate, recorder = Gate.remote(), Recorder.remote()

        @air.remote(max_retries=2, retry_exceptions=True)
        async def wait(gate: Any, recorder: Any) -> None:
            try:
                await gate.wait.remote()
            finally:
                await recorder.add.remote("cleaned up")

        ref = wait.remote(gate, recorder)
        value(gate.arrived.remote(1))
        air.cancel(ref)
        with pytest.raises(TaskCancelled):
            value(ref)
        value(recorder.wait_for.remote("cleaned up"))
        gate.open.remote()

    def test_children_too(self) -> None:
        gate, recorder = Gate.remote(), Recorder.remote()
        parent, child = Worker.remote(), Worker.remote()
        ref = parent.delegate.remote(gate, recorder, child)
        value(gate.arrived.remote(1))
        air.cancel(ref)
        with pytest.raises(TaskCancelled):
            value(ref)
        value(recorder.wait_for.remote("child was cancelled"))

    @pytest.mark.parametrize("is_there", [False, True])
    def test_a_cancelled_call_does_not_hold_up_the_next(self, is_there: bool) -> None:
        gate, counter = Gate.remote(), Counter.remote()
        if is_there:
            value(counter.get.remote())
        first = counter.add.remote(gate.wait.remote(10))
        second = counter.add.remote(1)
        air.cancel(first)
        assert value(second) == 1
        with pytest.raises(TaskCancelled):
            value(first)

    def test_the_actor_goes_on(self) -> None:
        gate = Gate.remote()
        ref = gate.wait.remote()
        air.cancel(ref)
        with pytest.raises(TaskCancelled):
            value(ref)
        gate.open.remote()
        assert value(gate.wait.remote()) == "through"

    def test_what_has_ended_keeps_its_value(self) -> None:
        ref = identity.remote(1)
        assert value(ref) == 1
        air.cancel(ref)
        assert value(ref) == 1

    def test_twice(self) -> None:
        gate = Gate.remote()
        ref = gate.wait.remote()
        air.cancel(ref)
        air.cancel(ref)
        with pytest.raises(TaskCancelled):
            value(ref)

    def test_all_returns(self) -> None:
        gate = Gate.remote()
        first, second = identity.options(num_returns=2).remote(gate.wait.remote((1, 2)))
        air.cancel(second)
        for ref in (first, second):
            with pytest.raises(TaskCancelled):
                value(ref)

    @pytest.mark.parametrize("through_an_actor", [False, True])
    def test_by_another_process(self, through_an_actor: bool) -> None:
        gate, counter = Gate.remote(), Counter.remote()
        task = count.remote(counter, gate.wait.remote())
        call = counter.add.remote(gate.wait.remote(1))
        if through_an_actor:
            value(Canceller.remote().cancel.remote([task, call]))
        else:
            value(cancel_all.remote([task, call]))
        for ref in (task, call):
            with pytest.raises(TaskCancelled):
                value(ref)
        gate.open.remote()
        assert value(counter.get.remote()) == 0

    def test_by_another_process_at_the_wrong_time_or_place(self) -> None:
        gate = Gate.remote()
        done, call = identity.remote(1), gate.wait.remote()
        value(done)
        value(cancel_all.remote([done]))
        assert value(done) == 1
        for refs in ([air.put(1)], [value(make_inside.remote())]):
            with pytest.raises(TypeError, match=r"air\.put"):
                value(cancel_all.remote(refs))
        with pytest.raises(TypeError, match="method"):
            value(cancel_all.remote([call], force=True))
        gate.open.remote()
        assert value(call) == "through"

    def test_of_a_task_that_another_one_has_started(self) -> None:
        gate = Gate.remote()
        starter = Starter.remote()
        (inner,) = value(starter.start.remote(gate))
        air.cancel(inner)
        with pytest.raises(TaskCancelled):
            value(inner)
        gate.open.remote()

    def test_put_values_have_no_task(self) -> None:
        with pytest.raises(TypeError, match=r"air\.put"):
            air.cancel(air.put(1))

    def test_placement_groups_have_no_task(self) -> None:
        group = placement_group([{"CPU": 1}])
        with pytest.raises(TypeError, match="no task"):
            air.cancel(group.ready())
        assert group.wait(TIMEOUT)
        remove_placement_group(group)

    def test_only_references(self) -> None:
        with pytest.raises(TypeError, match="takes an ObjectRef"):
            air.cancel("ref")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "options", [{}, {"max_concurrency": 2}, {"concurrency_groups": {"io": 1}}]
    )
    @pytest.mark.parametrize("what", ["wait", "compute", "wait_in_a_stream", "compute_in_a_stream"])
    def test_a_running_method(self, what: str, options: dict[str, Any]) -> None:
        need(Capability.PARALLEL_TASKS)
        gate, recorder = Gate.remote(), Recorder.remote()
        busy = Busy.options(**options).remote()
        method = getattr(busy, what)
        if "concurrency_groups" in options:
            method = method.options(concurrency_group="io")
        is_stream = what.endswith("stream")
        made = method.remote(gate, recorder)
        ref = next(made) if is_stream else made
        value(recorder.wait_for.remote("runs"))
        if is_stream:
            assert value(ref) == 0
        air.cancel(ref)
        with pytest.raises(TaskCancelled):
            value(list(made) if is_stream else ref)
        value(recorder.wait_for.remote("cleaned up"))
        assert value(busy.ping.remote()) == "pong"
        value(gate.open.remote())
        assert value(busy.wait.remote(gate, recorder)) == "through"

    @pytest.mark.parametrize("options", [{}, {"max_concurrency": 2}])
    def test_a_method_that_goes_on(self, options: dict[str, Any]) -> None:
        need(Capability.PARALLEL_TASKS)
        gate, recorder = Gate.remote(), Recorder.remote()
        busy = Busy.options(**options).remote()
        ref = busy.catch.remote(gate, recorder)
        value(recorder.wait_for.remote("runs"))
        air.cancel(ref)
        assert value(ref) == "caught it"

    def test_one_thread_of_several(self) -> None:
        need(Capability.THREADED_ACTORS)
        gate, recorder = Gate.remote(), Recorder.remote()
        busy = Busy.options(max_concurrency=3).remote()
        refs = [busy.wait.remote(gate, recorder) for _ in range(3)]
        value(gate.arrived.remote(3))
        queued = busy.ping.remote()
        air.cancel(refs[1])
        assert value(queued) == "pong"
        value(gate.open.remote())
        assert value([refs[0], refs[2]]) == ["through", "through"]
        with pytest.raises(TaskCancelled):
            value(refs[1])

    def test_force_is_not_for_methods(self) -> None:
        gate = Gate.remote()
        ref = gate.wait.remote()
        with pytest.raises(TypeError, match="method"):
            air.cancel(ref, force=True)
        gate.open.remote()
        assert value(ref) == "through"

    def test_force(self) -> None:
        gate = Gate.remote()
        ref = add.remote(gate.wait.remote(1), 1)
        with guarded_by(Capability.FORCED_CANCEL):
            air.cancel(ref, force=True)
        if has(Capability.FORCED_CANCEL):
            with pytest.raises(TaskCancelled):
                value(ref)

    @pytest.mark.parametrize("force", [False, True])
    def test_a_running_task(self, force: bool) -> None:
        need(Capability.PARALLEL_TASKS)
        if force:
            need(Capability.FORCED_CANCEL)
        gate = Gate.remote()
        ref = wait_for.remote(gate)
        value(gate.arrived.remote(1))
        air.cancel(ref, force=force)
        with pytest.raises(TaskCancelled):
            value(ref)
        assert value(identity.remote(1)) == 1
