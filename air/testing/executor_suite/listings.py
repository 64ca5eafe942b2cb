"""What is it doing: tasks, actors, values and the rest, as listings show them."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

import air
from air.errors import InvalidOption
from air.executor.capabilities import Capability
from air.testing.executor_suite.harness import eventually, need, value
from air.testing.executor_suite.tools import Counter, Gate, identity
from air.util import placement_group, remove_placement_group, state


@air.remote
class Sleeper:
    """Waits for nothing until it is told to go on."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def wait(self) -> int:
        await self.event.wait()
        return 1

    async def wake(self) -> None:
        self.event.set()


@air.remote
def fail() -> None:
    raise ArithmeticError("it was to fail")


CLASS = f"{Counter.__module__}.Counter"


def tasks(name: str) -> list[state.TaskState]:
    return state.list_tasks(filters=[("name", "=", name)], detail=True)


@pytest.mark.usefixtures("session")
class TestListings:
    def test_a_method_that_runs_and_a_task_that_waits_for_it(self) -> None:
        sleeper = Sleeper.remote()
        running = sleeper.wait.options(name="the long one").remote()
        waiting = identity.options(name="the next one").remote(running)
        assert eventually(lambda: [t.state for t in tasks("the long one")] == ["RUNNING"])
        [call] = tasks("the long one")
        assert call.type == "ACTOR_TASK"
        assert str(call.func_or_class_name).endswith("Sleeper.wait")
        assert call.worker_pid
        assert call.start_time_ms
        assert call.owner_worker_id == air.get_runtime_context().get_worker_id()
        [task] = tasks("the next one")
        assert (task.state, task.type) == ("PENDING_ARGS_AVAIL", "NORMAL_TASK")
        assert str(task.func_or_class_name).endswith("identity")
        assert task.waits_for
        assert task.worker_id is None
        assert task.required_resources == {"CPU": 1}
        value(sleeper.wake.remote())
        assert value(waiting) == 1
        assert [one.state for one in tasks("the next one")] == ["FINISHED"]
        [call] = tasks("the long one")
        assert call.state == "FINISHED"
        assert call.start_time_ms is not None
        assert call.end_time_ms is not None
        assert call.end_time_ms >= call.start_time_ms
        assert str(call.func_or_class_name).endswith("Sleeper.wait")
        [task] = tasks("the next one")
        assert str(task.func_or_class_name).endswith("identity")

    def test_a_task_that_has_failed(self) -> None:
        ref = fail.options(name="a failure", max_retries=0).remote()
        with pytest.raises(ArithmeticError):
            value(ref)
        [task] = tasks("a failure")
        assert (task.state, task.error_type) == ("FAILED", "ArithmeticError")
        assert "it was to fail" in str(task.error_message)
        assert task.node_id == air.nodes()[0]["NodeID"]
        assert task.worker_id
        assert state.get_task(task.task_id) == task
        assert state.get_task("0123") is None

    def test_what_is_of_no_use_in_a_list_takes_detail(self) -> None:
        value(identity.options(name="plain").remote(1))
        [task] = state.list_tasks(filters=[("name", "=", "plain")])
        assert task.start_time_ms is None
        assert task.worker_pid

    def test_the_program_is_a_job(self) -> None:
        mine = air.get_runtime_context().get_job_id()
        [job] = [job for job in state.list_jobs() if job.job_id == mine]
        assert (job.status, job.type) == ("RUNNING", "DRIVER")
        assert "python" in job.entrypoint
        assert job.driver_pid == os.getpid()
        assert job.driver_node_id == air.get_runtime_context().get_node_id()
        assert job.start_time is not None
        assert job.end_time is None
        assert state.get_job(mine) == job
        value(identity.options(name="of the job").remote(1))
        assert [task.job_id for task in tasks("of the job")] == [mine]

    def test_filters_and_limits(self, caplog: pytest.LogCaptureFixture) -> None:
        value([identity.options(name="one of many").remote(number) for number in range(5)])
        mine = ("name", "=", "one of many")
        assert len(state.list_tasks(filters=[mine])) == 5
        assert len(state.list_tasks(filters=[mine], limit=2)) == 2
        assert "are shown" not in caplog.text  # that many were asked for
        assert state.list_tasks(filters=[mine, ("state", "!=", "FINISHED")]) == []

    @pytest.mark.parametrize(
        ("filters", "complaint"),
        [
            ([("nmae", "=", 1)], "Did you mean 'name'"),
            ([("name", "<", 1)], "'=' or '!='"),
            ([("name", "=")], "a filter must be"),
            ("name=1", "filters must be a list"),
            ([("name", "=", [])], "a filter's value"),
            ([("required_resources", "=", "1")], "no field"),
        ],
    )
    def test_filters_that_are_none(self, filters: Any, complaint: str) -> None:
        with pytest.raises(InvalidOption, match=complaint):
            state.list_tasks(filters=filters)

    def test_arguments_that_are_none(self) -> None:
        with pytest.raises(InvalidOption, match="limit"):
            state.list_actors(limit=0)
        with pytest.raises(InvalidOption, match="timeout"):
            state.list_actors(timeout=-1)
        with pytest.raises(InvalidOption, match="detail"):
            state.list_actors(detial=True)  # type: ignore[call-arg]

    def test_actors(self) -> None:
        counter = Counter.options(name="listed", num_cpus=1).remote()
        value(counter.add.remote())
        [actor] = state.list_actors(filters=[("name", "=", "listed")], detail=True)
        assert (actor.class_name, actor.state) == (CLASS, "ALIVE")
        assert actor.pid
        assert actor.node_id == air.nodes()[0]["NodeID"]
        assert actor.required_resources == {"CPU": 1}
        assert actor.namespace == air.get_runtime_context().namespace
        assert state.get_actor(actor.actor_id) == actor
        air.kill(counter)

        def is_dead() -> bool:
            found = state.get_actor(actor.actor_id)
            return found is None or (found.state == "DEAD" and "kill" in str(found.death_cause))

        assert eventually(is_dead)

    def test_values(self) -> None:
        ref = air.put(bytes(200_000))
        [found] = state.get_objects(ref.hex())
        assert found.object_size is not None
        assert found.object_size >= 200_000
        assert (found.task_status, found.reference_type) == ("FINISHED", "LOCAL_REFERENCE")
        assert found.pid == os.getpid()
        assert state.get_objects("0123") == []
        gate = Gate.remote()
        del ref
        assert eventually(lambda: state.get_objects(found.object_id) == [])
        value(gate.open.remote())

    def test_the_rest(self) -> None:
        [node] = state.list_nodes(detail=True)
        assert (node.state, node.is_head_node) == ("ALIVE", True)
        assert node.resources_total["CPU"] == 2
        assert node.resources_available is not None
        assert state.get_node(node.node_id) is not None
        [program] = state.list_workers(filters=[("worker_type", "=", "DRIVER")])
        assert (program.pid, program.is_alive) == (os.getpid(), True)
        assert program.worker_id == air.get_runtime_context().get_worker_id()
        assert state.get_worker(program.worker_id) is not None
        group = placement_group([{"CPU": 1}], name="listed")
        assert group.wait(30)
        [found] = state.list_placement_groups(filters=[("name", "=", "listed")], detail=True)
        assert (found.placement_group_id, found.state) == (group.id, "CREATED")
        assert found.bundles is not None
        assert found.bundles[0]["node_id"] == node.node_id
        assert state.get_placement_group(group.id) == found
        remove_placement_group(group)

    def test_summaries(self) -> None:
        value([identity.options(name="counted").remote(number) for number in range(3)])
        counted = state.summarize_tasks()["cluster"]["summary"]["counted"]
        assert counted["state_counts"] == {"FINISHED": 3}
        counters = [Counter.remote() for _ in range(2)]
        value([counter.add.remote() for counter in counters])
        by_class = state.summarize_actors()["cluster"]["summary"]
        assert by_class[CLASS]["state_counts"]["ALIVE"] == 2
        refs = [air.put(bytes(1 << 20)) for _ in range(2)]
        objects = state.summarize_objects()["cluster"]
        assert objects["summary"]["LOCAL_REFERENCE"]["total_objects"] >= 2
        assert objects["total_size_mb"] >= 2
        del refs

    def test_log_files(self) -> None:
        nodes = {node.node_id for node in state.list_nodes()}
        for file in state.list_logs():
            assert file.node_id in nodes
            "".join(state.get_log(filename=file.name, node_id=file.node_id, errors="replace"))
        with pytest.raises(InvalidOption, match=r"there is no log file 'missing.out'"):
            list(state.get_log(filename="missing.out"))

    def test_a_listing_from_inside_a_task(self) -> None:
        @air.remote(name="the one that looks")
        def look() -> list[tuple[str, str]]:
            return [(one.name, one.state) for one in state.list_tasks()]

        assert ("the one that looks", "RUNNING") in value(look.remote())

    def test_a_task_that_waits_for_resources(self) -> None:
        need(Capability.PARALLEL_TASKS)
        holder = Counter.options(resources={"widget": 2}).remote()
        value(holder.add.remote())
        waiting = identity.options(name="greedy", resources={"widget": 1}).remote(1)
        assert eventually(lambda: [t.state for t in tasks("greedy")] == ["PENDING_NODE_ASSIGNMENT"])
        assert "widget" in str(tasks("greedy")[0].waits_for)
        air.kill(holder)
        assert value(waiting) == 1

    def test_a_timeline(self) -> None:
        sleeper = Sleeper.remote()
        running = sleeper.wait.options(name="a long slice").remote()
        value(identity.options(name="a short slice").remote(1))
        with pytest.raises(ArithmeticError):
            value(fail.options(name="a failed slice", max_retries=0).remote())
        value(sleeper.wake.remote())
        value(running)
        events = air.timeline()
        assert events is not None
        slices = {event["name"]: event for event in events if event["ph"] == "X"}
        assert slices["a short slice"]["args"]["result"] == "finished"
        assert slices["a failed slice"]["args"]["result"] == "failed"
        long = slices["a long slice"]
        assert (long["cat"], slices["a short slice"]["cat"]) == ("actor_task", "task")
        assert long["ts"] + long["dur"] > slices["a short slice"]["ts"]
        rows = {(event["pid"], event["tid"]) for event in events if event["ph"] == "M"}
        assert {(event["pid"], event["tid"]) for event in slices.values()} <= rows
