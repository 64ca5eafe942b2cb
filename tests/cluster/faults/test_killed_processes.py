"""Processes that are killed: the daemon, workers in a task and idle ones, actors."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import air
from air.errors import ActorDied, ObjectLost, OwnerDied, WorkerDied
from air.executor import current
from air.testing.executor_suite.harness import eventually, value
from air.testing.executor_suite.tools import Counter, Gate, Recorder, identity
from air.util import get_placement_group, placement_group, remove_placement_group

pytestmark = pytest.mark.usefixtures("cluster")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    # A zombie may still have threads that hold its sockets open.
    assert eventually(lambda: not psutil.pid_exists(pid))


@air.remote
class Named:
    """Tells who it is."""

    def __init__(self) -> None:
        self.calls = 0

    def pid(self) -> int:
        return os.getpid()

    def count(self) -> int:
        self.calls += 1
        return self.calls

    def die(self, number: int) -> None:
        os.kill(os.getpid(), number)

    def wait_at(self, gate: Any) -> int:
        air.get(gate.wait.remote())
        return os.getpid()

    def record(self, recorder: Any, item: Any) -> None:
        air.get(recorder.add.remote(item))

    def stream(self, stop: int, gate: Any) -> Iterator[int]:
        for number in range(stop):
            yield number
            if number == 2:
                air.get(gate.wait.remote())


@air.remote
def end_once(mark: str, how: str) -> str:
    """Ends its worker the first time, and says what it is told to the second."""
    if not os.path.exists(mark):
        Path(mark).touch()
        if how == "exit":
            os._exit(3)
        os.kill(os.getpid(), getattr(signal, how))
    return "again"


# Workers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV", "SIGTERM", "exit"])
def test_a_task_whose_worker_dies_is_tried_again(how: str, tmp_path: Path) -> None:
    assert value(end_once.remote(str(tmp_path / "mark"), how)) == "again"


@pytest.mark.parametrize(
    ("how", "words"), [("SIGKILL", "was killed by SIGKILL"), ("exit", "exited with code 3")]
)
def test_without_retries_the_error_names_the_task_and_the_cause(
    how: str, words: str, tmp_path: Path
) -> None:
    dying = end_once.options(max_retries=0, name="fragile")
    with pytest.raises(WorkerDied, match=f"fragile ended: it {words}"):
        value(dying.remote(str(tmp_path / "mark"), how))


def test_retries_are_counted(tmp_path: Path) -> None:
    @air.remote(max_retries=2)
    def die(path: str) -> None:
        with open(path, "a") as file:
            file.write("x")
        os._exit(1)

    with pytest.raises(WorkerDied):
        value(die.remote(str(tmp_path / "runs")))
    assert (tmp_path / "runs").read_text() == "xxx"


def test_tasks_that_were_sent_ahead_are_not_lost(tmp_path: Path) -> None:
    """Short tasks queue at the worker: those behind the one that kills it are run elsewhere."""
    mark = str(tmp_path / "mark")
    value([identity.remote(i) for i in range(100)])  # known to be short from now on
    refs = [identity.remote(i) for i in range(200)]
    refs.insert(100, end_once.remote(mark, "SIGKILL"))
    found = value(refs)
    assert found.pop(100) == "again"
    assert found == list(range(200))


def test_a_task_that_is_not_tried_again_dies_of_nothing_but_itself(tmp_path: Path) -> None:
    short = identity.options(max_retries=0)
    value([identity.remote(i) for i in range(100)] + [short.remote(i) for i in range(20)])
    refs = [short.remote(i) for i in range(100)]
    for position in (20, 50, 80):
        mark = str(tmp_path / f"mark{position}")
        refs.insert(position, end_once.options(max_retries=0).remote(mark, "SIGKILL"))
    for position in (20, 50, 80):
        with pytest.raises(WorkerDied, match="end_once"):
            value(refs[position])
    del refs[80], refs[50], refs[20]
    assert value(refs) == list(range(100))


def test_idle_workers() -> None:
    @air.remote
    def pid() -> int:
        return os.getpid()

    for worker in set(value([pid.remote() for _ in range(8)])):
        kill(worker)
    assert len(value([pid.remote() for _ in range(8)])) == 8


def test_a_worker_that_died_before_a_task_was_sent_costs_no_retry() -> None:
    @air.remote(max_retries=0)
    def pid() -> int:
        return os.getpid()

    for _ in range(10):
        first = value(pid.remote())
        kill(first)
        assert value(pid.remote()) != first


def test_an_actor_that_died_before_a_call_was_sent_costs_no_retry() -> None:
    actor = Named.options(max_restarts=-1).remote()
    for _ in range(10):
        first = value(actor.pid.remote())
        kill(first)
        assert value(actor.pid.remote()) != first


def test_a_running_task_killed_from_outside_is_run_again(tmp_path: Path) -> None:
    @air.remote
    def tell_and_wait(recorder: Any, gate: Any) -> int:
        air.get(recorder.add.remote(os.getpid()))
        air.get(gate.wait.remote())
        return os.getpid()

    recorder, gate = Recorder.remote(), Gate.remote()
    ref = tell_and_wait.remote(recorder, gate)
    value(gate.arrived.remote(1))
    (first,) = value(recorder.items.remote())
    kill(first)
    value(gate.arrived.remote(2))
    value(gate.open.remote())
    assert value(ref) == value(recorder.items.remote())[1] != first


def test_what_a_killed_worker_returned_can_be_read(tmp_path: Path) -> None:
    import numpy as np

    def make(number: int) -> tuple[int, Any]:
        return os.getpid(), np.full(100_000, number)

    refs = [air.remote(make).remote(i) for i in range(4)]
    assert len(air.wait(refs, num_returns=4, timeout=30)[0]) == 4
    kill(value(refs[0])[0])
    for number, ref in enumerate(refs):
        found = value(ref)[1]
        assert (found == number).all()
    # The memory is the program's now: it comes back when nobody wants it any more.
    del refs, found, ref


def test_the_children_of_a_killed_task_end() -> None:
    """A task's worker dies: what it has submitted is not wanted any more."""

    @air.remote(max_retries=0)
    def parent(gate: Any, recorder: Any) -> None:
        child = Named.remote()
        air.get(recorder.add.remote((os.getpid(), air.get(child.pid.remote()))))
        air.get(gate.wait.remote())

    gate, recorder = Gate.remote(), Recorder.remote()
    ref = parent.remote(gate, recorder)
    value(gate.arrived.remote(1))
    ((pid, child),) = value(recorder.items.remote())
    child_process = psutil.Process(child)
    kill(pid)
    with pytest.raises(WorkerDied, match="SIGKILL"):
        value(ref)
    assert eventually(lambda: not child_process.is_running())


def test_named_actors_and_groups_do_not_go_with_the_worker_that_made_them() -> None:
    @air.remote(max_retries=0)
    def make() -> Any:
        Counter.options(name="for all").remote(5)
        return os.getpid(), placement_group([{"widget": 1}], name="for all")

    pid, group = value(make.remote())
    assert group.wait(30)
    kill(pid)
    assert value(identity.remote(1)) == 1
    counter = air.get_actor("for all")
    assert value(counter.add.remote()) == 6
    assert get_placement_group("for all") == group
    air.kill(counter)
    remove_placement_group(group)


def test_a_worker_that_has_made_an_actor_stays_while_that_may_be_made_anew() -> None:
    """What the actor was given lies in the worker's memory."""

    @air.remote
    class Sum:
        def __init__(self, data: Any) -> None:
            self.total = int(data.sum())

        def get(self) -> tuple[int, int]:
            return self.total, os.getpid()

    def is_needed() -> bool:
        client = current.get_executor()._client  # type: ignore[attr-defined]
        with client.reactor.lock:
            return bool(client.is_needed)

    @air.remote(num_cpus=2)
    def make(restarts: int) -> tuple[int, bool]:
        actor = Sum.options(name="sum", max_restarts=restarts).remote(np.ones(100_000))
        value(actor.get.remote())
        del actor
        gc.collect()
        assert eventually(lambda: is_needed() == bool(restarts))
        return os.getpid(), is_needed()

    maker, needed = value(make.remote(-1))
    assert needed
    actor = air.get_actor("sum")
    kill(value(actor.get.remote())[1])
    assert value(actor.get.remote())[0] == 100_000
    air.kill(actor)
    needed_by = air.remote(num_cpus=2)(lambda: (os.getpid(), eventually(lambda: not is_needed())))
    assert value(needed_by.remote()) == (maker, True)
    assert not value(make.remote(0))[1]
    air.kill(air.get_actor("sum"))


def test_a_value_that_a_dead_worker_owned_is_lost_by_name() -> None:
    @air.remote
    class Owner:
        def put(self) -> tuple[int, Any]:
            return os.getpid(), air.put(bytes(200_000))

    owner = Owner.remote()
    pid, ref = value(owner.put.remote())
    kill(pid)
    with pytest.raises(OwnerDied, match=ref.hex()):
        value(ref)
    assert issubclass(OwnerDied, ObjectLost)


def test_a_stream_whose_worker_dies_starts_again() -> None:
    @air.remote
    def stream(gate: Any, recorder: Any) -> Any:
        for number in range(5):
            yield number
            if number == 2:
                air.get(recorder.add.remote(os.getpid()))
                air.get(gate.wait.remote())

    gate, recorder = Gate.remote(), Recorder.remote()
    generator = stream.remote(gate, recorder)
    found = [value(next(generator)) for _ in range(3)]
    value(gate.arrived.remote(1))
    kill(value(recorder.items.remote())[0])
    value(gate.open.remote())
    found += [value(ref) for ref in generator]
    assert found == [0, 1, 2, 3, 4]


# Actors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_an_actor_that_dies_in_a_call(number: signal.Signals) -> None:
    actor = Named.remote()
    with pytest.raises(ActorDied, match=f"Named.*{number.name}") as caught:
        value(actor.die.remote(int(number)))
    assert caught.value.death_kind == "worker_killed"
    assert caught.value.death.startswith(f"it was killed by {number.name}")
    with pytest.raises(ActorDied, match=rf"Named\.count .*{number.name}"):
        value(actor.count.remote())


def test_an_idle_actor_that_dies() -> None:
    actor = Named.remote()
    kill(value(actor.pid.remote()))
    with pytest.raises(ActorDied, match="SIGKILL"):
        value(actor.count.remote())


def test_an_actor_comes_back_as_often_as_allowed() -> None:
    actor = Named.options(max_restarts=2).remote()
    for _ in range(2):
        assert value(actor.count.remote()) == 1
        with pytest.raises(ActorDied, match="restarting"):
            value(actor.die.remote(9))
    assert value(actor.count.remote()) == 1
    with pytest.raises(ActorDied, match=r"after 2 restarts.*SIGKILL"):
        value(actor.die.remote(9))


def test_calls_are_made_again_in_order() -> None:
    actor = Named.options(max_restarts=1, max_task_retries=1).remote()
    gate = Gate.remote()
    first = value(actor.pid.remote())
    refs = [actor.wait_at.remote(gate), *(actor.count.remote() for _ in range(20))]
    value(gate.arrived.remote(1))
    kill(first)
    value(gate.arrived.remote(2))
    value(gate.open.remote())
    found = value(refs)
    assert found[0] != first
    assert found[1:] == list(range(1, 21))


def test_calls_of_groups_are_made_again_in_the_order_of_each_group() -> None:
    groups = {"one": 1, "two": 1}
    actor = Named.options(max_restarts=1, max_task_retries=1, concurrency_groups=groups).remote()
    recorder, gate = Recorder.remote(), Gate.remote()
    first = value(actor.pid.remote())

    def calls(group: str | None) -> list[Any]:
        wait = actor.wait_at.options(concurrency_group=group)
        record = actor.record.options(concurrency_group=group)
        return [wait.remote(gate), *(record.remote(recorder, (group, n)) for n in range(20))]

    refs = [*calls("one"), *calls("two"), *calls(None)]
    value(gate.arrived.remote(3))
    kill(first)
    value(gate.arrived.remote(6))
    value(gate.open.remote())
    value(refs)
    items = value(recorder.items.remote())
    for group in ("one", "two", None):
        assert [n for where, n in items if where == group] == list(range(20))


def test_a_stream_whose_actor_dies_starts_again() -> None:
    actor = Named.options(max_restarts=1, max_task_retries=1).remote()
    gate = Gate.remote()
    first = value(actor.pid.remote())
    stream = actor.stream.remote(200, gate)
    found = [value(next(stream)) for _ in range(3)]
    value(gate.arrived.remote(1))
    kill(first)
    value(gate.open.remote())
    found += [value(ref) for ref in stream]
    assert found == list(range(200))
    assert value(actor.pid.remote()) != first


def test_a_stream_that_is_closed_while_its_actor_starts_again_does_not_keep_it_busy() -> None:
    actor = Named.options(max_restarts=1, max_task_retries=1).remote()
    gate = Gate.remote()
    stream = actor.stream.remote(1000, gate)
    assert value(next(stream)) == 0
    value(gate.arrived.remote(1))
    value(gate.open.remote())
    air.kill(actor, no_restart=False)
    stream.close()
    assert value(actor.count.remote()) == 1


def test_a_stream_of_an_actor_without_retries_ends_with_the_error() -> None:
    actor = Named.options(max_restarts=1).remote()
    gate = Gate.remote()
    pid = value(actor.pid.remote())
    stream = actor.stream.remote(1000, gate)
    assert value(next(stream)) == 0
    value(gate.arrived.remote(1))
    kill(pid)
    with pytest.raises(ActorDied, match="stream"):
        value(list(stream))
    assert list(stream) == []


def test_calls_without_retries_fail_and_later_ones_run() -> None:
    actor = Named.options(max_restarts=1).remote()
    with pytest.raises(ActorDied, match="die"):
        value(actor.die.remote(9))
    assert value(actor.count.remote()) == 1


def test_an_actor_of_a_dead_actor_dies_with_it() -> None:
    @air.remote
    class Parent:
        def __init__(self) -> None:
            self.child = Named.remote()

        def get(self) -> tuple[int, Any]:
            return os.getpid(), self.child

    parent = Parent.remote()
    pid, child = value(parent.get.remote())
    process = psutil.Process(value(child.pid.remote()))
    kill(pid)
    assert eventually(lambda: not process.is_running())
    with pytest.raises(ActorDied, match="ended with the process that created it"):
        value(child.count.remote())


def test_a_name_is_free_again_after_a_death() -> None:
    Counter.options(name="short-lived").remote()
    air.kill(air.get_actor("short-lived"))
    assert eventually(lambda: "short-lived" not in _names())
    again = Counter.options(name="short-lived").remote(5)
    assert value(again.get.remote()) == 5


def _names() -> str:
    try:
        air.get_actor("surely there is none of this name")
    except ValueError as error:
        return str(error)
    raise AssertionError


# The daemon -------------------------------------------------------------------------------


def test_the_daemon(program: Any, survivors: Any) -> None:
    running = program(
        """
        import threading, time
        import numpy as np
        import psutil
        from air.errors import NodeDied

        @air.remote
        def forever():
            time.sleep(1000)

        @air.remote
        class Actor:
            def wait(self):
                time.sleep(1000)

        def error_of(function):
            try:
                return repr(function())
            except Exception as error:
                return type(error).__name__

        start()
        small, done = air.put(1), forever.options(num_cpus=0).remote()
        mapped = air.get(air.put(np.ones(100_000)))
        actor = Actor.remote()
        group = air.util.placement_group([{"CPU": 1}])
        refs = [forever.remote(), forever.remote(), actor.wait.remote()]
        tell(0)
        sys.stdin.readline()
        tell(error_of(lambda: air.get(refs)))
        tell([error_of(lambda: air.get(ref)) for ref in refs])
        tell([error_of(lambda: air.get(small)), mapped.sum()])
        tell([error_of(function) for function in (
            lambda: air.get(forever.remote()),
            lambda: list(forever.options(num_returns="streaming").remote()),
            lambda: air.get(actor.wait.remote()),
            lambda: air.get(Actor.remote().wait.remote()),
            lambda: Actor.options(name="named").remote(),
            lambda: air.get_actor("named"),
            lambda: air.put(np.ones(20_000_000)),
            lambda: air.util.placement_group([{"CPU": 1}]),
            lambda: air.get(group.ready()),
            air.nodes,
            air.available_resources,
        )])
        air.cancel(refs[0])
        air.kill(actor)
        air.shutdown()
        start()
        tell(air.get(air.remote(lambda: "again").remote()))
        """
    )
    running.hear()
    processes = running.descendants()
    (daemon,) = (process for process in processes if process.name() == "air-daemon")
    daemon.kill()
    running.answer()
    assert running.hear() == "NodeDied"
    assert running.hear() == ["NodeDied", "NodeDied", "ActorDied"]
    assert running.hear() == ["1", 100_000]
    assert running.hear() == ["NodeDied"] * 11
    assert running.hear() == "again"
    assert running.end() == 0
    assert survivors(processes) == []
    assert running.sessions() == []
