"""Listings of a cluster: who is asked, who answers, and who does not."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import air
from air.errors import IncompleteListing
from air.testing.executor_suite.harness import eventually, value
from air.testing.executor_suite.tools import Counter, Gate, identity
from air.util import state

pytestmark = pytest.mark.usefixtures("cluster")


def named(name: str) -> list[state.TaskState]:
    return state.list_tasks(filters=[("name", "=", name)], detail=True)


def test_a_task_of_a_task_is_told_of_by_its_worker() -> None:
    gate = Gate.remote()

    @air.remote(name="the parent")
    def parent(gate: Any) -> int:
        return air.get(identity.options(name="the child").remote(gate.wait.remote(1)))

    ref = parent.remote(gate)
    value(gate.arrived.remote(1))
    [above] = named("the parent")
    assert eventually(lambda: len(named("the child")) == 1)
    [below] = named("the child")
    assert (above.state, below.state) == ("RUNNING", "PENDING_ARGS_AVAIL")
    assert below.parent_task_id == above.task_id
    assert below.owner_worker_id == above.worker_id
    assert str(below.waits_for).startswith("1 of its arguments: call ")
    assert str(below.waits_for).endswith("Gate.wait")
    [worker] = state.list_workers(filters=[("pid", "=", above.worker_pid)], detail=True)
    assert (worker.worker_id, worker.state) == (above.worker_id, "LEASED")
    assert eventually(lambda: state.get_worker(worker.worker_id).is_blocked)  # type: ignore[union-attr]
    value(gate.open.remote())
    assert value(ref) == 1


def test_a_task_that_computes_answers_all_the_same(tmp_path: Path) -> None:
    @air.remote(name="busy")
    def compute(path: str) -> None:
        while not os.path.exists(path):
            pass

    ref = compute.remote(str(tmp_path / "enough"))
    assert eventually(lambda: [task.state for task in named("busy")] == ["RUNNING"])
    (tmp_path / "enough").touch()
    value(ref)


def test_a_process_that_does_not_answer_is_named() -> None:
    counter = Counter.options(name="stopped").remote()
    value(counter.add.remote())
    [actor] = state.list_actors(filters=[("name", "=", "stopped")])
    assert actor.pid is not None
    os.kill(actor.pid, signal.SIGSTOP)
    try:
        with pytest.raises(IncompleteListing, match=f"pid {actor.pid} on node") as caught:
            state.list_tasks(timeout=0.5)
        assert isinstance(caught.value.records, list)
        assert isinstance(state.list_tasks(timeout=0.5, raise_on_missing_output=False), list)
        # What the head and nodes know needs nobody else.
        assert state.get_actor(actor.actor_id) is not None
    finally:
        os.kill(actor.pid, signal.SIGCONT)
    assert isinstance(state.list_tasks(), list)


def test_a_process_that_ends_meanwhile_is_not_waited_for(
    start_thread: Callable[..., Any],
) -> None:
    counter = Counter.options(name="ends").remote()
    value(counter.add.remote())
    [actor] = state.list_actors(filters=[("name", "=", "ends")])
    assert actor.pid is not None
    os.kill(actor.pid, signal.SIGSTOP)
    looking = start_thread(lambda: state.list_tasks(timeout=60))
    os.kill(actor.pid, signal.SIGKILL)
    assert isinstance(looking.outcome(), list)


def test_what_an_actor_has_run_is_in_the_timeline_when_it_is_gone() -> None:
    counter = Counter.remote()
    value(counter.add.options(name="before the end").remote())
    workers = len(state.list_workers())
    del counter
    assert eventually(lambda: len(state.list_workers()) < workers)
    events = air.timeline()
    assert events is not None
    [event] = [event for event in events if event["name"] == "before the end"]
    row = [other for other in events if other["ph"] == "X" and other["tid"] == event["tid"]]
    assert [one["name"].rpartition(".")[2] for one in row] == ["__init__", "before the end"]
    assert event["args"]["node_id"] == air.nodes()[0]["NodeID"]


def test_attempts_and_failures_of_the_system() -> None:
    @air.remote(name="dies", max_retries=1)
    def die() -> None:
        os._exit(1)

    with pytest.raises(air.errors.WorkerDied):
        value(die.remote())
    [task] = named("dies")
    assert (task.state, task.error_type) == ("FAILED", "WorkerDied")


def test_what_an_actor_runs_and_what_waits_for_it() -> None:
    gate = Gate.remote()

    @air.remote
    class Slow:
        def run(self, gate: Any) -> None:
            air.get(gate.wait.remote())

    slow = Slow.remote()
    refs = [slow.run.options(name=f"call {number}").remote(gate) for number in range(3)]
    value(gate.arrived.remote(1))
    states = [named(f"call {number}")[0].state for number in range(3)]
    assert states == ["RUNNING", "SUBMITTED_TO_WORKER", "SUBMITTED_TO_WORKER"]
    calls = [named(f"call {number}")[0] for number in range(3)]
    assert len({call.worker_id for call in calls}) == 1
    value(gate.open.remote())
    value(refs)


def test_values_that_others_hold_and_that_went_to_disk_or_shared_memory() -> None:
    gate = Gate.remote()
    ref = air.put(bytes(1_000_000))
    held = gate.wait.remote([ref])
    identity_of = ref.hex()
    del ref
    value(gate.arrived.remote(1))
    assert eventually(lambda: len(state.get_objects(identity_of)) == 1)
    [found] = state.get_objects(identity_of)
    assert found.is_shared
    assert found.reference_type in ("USED_BY_PENDING_TASK", "BORROWED")
    value(gate.open.remote())
    del held
    assert eventually(lambda: state.get_objects(identity_of) == [])
