"""Where the calling code runs: which job, node, worker, task and actor."""

from __future__ import annotations

import json

from air.executor.current import get_executor
from air.executor.handles import ActorHandle
from air.executor.interface import ContextInfo, outside_of_actors
from air.runtime_env import RuntimeEnv, unchecked


class RuntimeContext:
    """A snapshot of the caller's surroundings, made by :func:`get_runtime_context`.

    Identities are hexadecimal text.
    """

    def __init__(self, info: ContextInfo) -> None:
        self._info = info

    def get_job_id(self) -> str:
        """The program that all this belongs to."""
        return self._info.job_id

    def get_node_id(self) -> str:
        """The machine."""
        return self._info.node_id

    def get_worker_id(self) -> str:
        """The process."""
        return self._info.worker_id

    def get_task_id(self) -> str | None:
        """The running task or method call; ``None`` in the driver."""
        return self._info.task_id

    def get_task_name(self) -> str | None:
        """The name of the running task or method; ``None`` in the driver."""
        return self._info.task_name

    def get_actor_id(self) -> str | None:
        """The actor whose method is running, if any."""
        return self._info.actor_id

    def get_placement_group_id(self) -> str | None:
        """The placement group in which this runs, if any."""
        return self._info.placement_group_id

    def get_assigned_resources(self) -> dict[str, float]:
        """What the running task or actor holds."""
        return dict(self._info.resources)

    @property
    def runtime_env(self) -> RuntimeEnv:
        """The environment of the running task or actor; in the driver, what its tasks inherit."""
        return unchecked(dict(self._info.runtime_env))

    def get_runtime_env_string(self) -> str:
        """:attr:`runtime_env` as JSON, with sorted keys."""
        return json.dumps(dict(self._info.runtime_env), sort_keys=True)

    @property
    def namespace(self) -> str:
        """Where this program's actors register their names."""
        return self._info.namespace

    @property
    def current_actor(self) -> ActorHandle:
        """A handle to the actor whose method is running.

        Raises:
            RuntimeError: this is not a method of an actor.
        """
        if self._info.actor_id is None:
            raise outside_of_actors("current_actor")
        return get_executor().current_actor()

    @property
    def was_current_actor_reconstructed(self) -> bool:
        """Whether the running actor was made anew after its process had died."""
        return self._info.was_restarted

    @property
    def should_capture_child_tasks_in_placement_group(self) -> bool:
        """Whether tasks started from here run in the same placement group."""
        return self._info.capture_child_tasks

    def __repr__(self) -> str:
        return f"RuntimeContext({self._info})"


def get_runtime_context() -> RuntimeContext:
    """Where the calling code runs."""
    return RuntimeContext(get_executor().context())
