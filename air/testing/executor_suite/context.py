"""What code can find out about where it runs."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

import air
from air.testing.executor_suite.harness import value
from air.testing.executor_suite.tools import identity

_variable = contextvars.ContextVar("_variable", default="nobody's")


def _read_variable() -> str:
    return _variable.get()


def describe() -> dict[str, Any]:
    context = air.get_runtime_context()
    return {
        "job": context.get_job_id(),
        "node": context.get_node_id(),
        "worker": context.get_worker_id(),
        "task": context.get_task_id(),
        "name": context.get_task_name(),
        "actor": context.get_actor_id(),
        "group": context.get_placement_group_id(),
        "resources": context.get_assigned_resources(),
        "namespace": context.namespace,
        "restarted": context.was_current_actor_reconstructed,
    }


@air.remote
class Where:
    def __init__(self) -> None:
        self.at_start = describe()

    def started(self) -> dict[str, Any]:
        return self.at_start

    def here(self) -> dict[str, Any]:
        return describe()

    async def here_async(self) -> dict[str, Any]:
        return describe()


@pytest.mark.usefixtures("session")
class TestContext:
    def test_program(self) -> None:
        here = describe()
        assert here["node"] in [node["NodeID"] for node in air.nodes()]
        assert here["job"]
        assert here["worker"]
        assert here["namespace"]
        assert value(air.remote(describe).remote())["namespace"] == here["namespace"]
        assert here["task"] is here["name"] is here["actor"] is here["group"] is None
        with pytest.raises(RuntimeError, match="inside a method"):
            _ = air.get_runtime_context().current_actor

    def test_task(self) -> None:
        first, second = value([air.remote(describe).remote() for _ in range(2)])
        assert first["job"] == describe()["job"]
        assert first["task"] != second["task"]
        assert first["task"] is not None
        assert first["name"].endswith("describe")
        assert first["actor"] is None
        assert first["resources"] == {"CPU": 1}
        assert bytes.fromhex(first["task"])

    def test_options_show(self) -> None:
        task = air.remote(describe).options(name="the task", num_cpus=0.5, resources={"widget": 1})
        found = value(task.remote())
        assert found["name"] == "the task"
        assert found["resources"] == {"CPU": 0.5, "widget": 1}

    def test_actor(self) -> None:
        actor = Where.options(num_cpus=1).remote()
        started, here, here_async = value(
            [actor.started.remote(), actor.here.remote(), actor.here_async.remote()]
        )
        assert started["actor"] == here["actor"] == here_async["actor"] is not None
        assert started["job"] == here["job"] == describe()["job"]
        assert len({started["task"], here["task"], here_async["task"]}) == 3
        assert here["name"].endswith("Where.here")
        assert here["resources"] == {"CPU": 1}
        assert not here["restarted"]
        assert value(Where.remote().here.remote())["actor"] != here["actor"]

    def test_nested(self) -> None:
        @air.remote
        def outer() -> tuple[Any, Any, Any]:
            before = describe()
            inner = air.get(air.remote(describe).remote())
            return before, inner, describe()

        before, inner, after = value(outer.remote())
        assert before == after
        assert inner["task"] != before["task"]

    def test_context_variables_stay_with_the_caller(self) -> None:
        read = air.remote(_read_variable)
        token = _variable.set("of the program")
        try:
            assert value(read.remote()) == "nobody's"
        finally:
            _variable.reset(token)

    def test_event_loop_stays_with_the_caller(self) -> None:
        @air.remote
        def turn() -> int:
            async def main() -> int:
                return await identity.remote(5)

            return asyncio.run(main())

        async def program() -> int:
            return value(turn.remote())

        assert asyncio.run(program()) == 5

    def test_program_is_as_before(self) -> None:
        value(identity.remote(1))
        assert air.get_runtime_context().get_task_id() is None
