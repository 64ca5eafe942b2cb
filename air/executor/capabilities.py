"""What a backend may lack. Asking for it there raises, it is never silently ignored."""

from __future__ import annotations

import enum


class Capability(enum.Enum):
    """A feature of the seam that not every execution backend can offer."""

    PARALLEL_TASKS = "tasks that run while their caller goes on"
    THREADED_ACTORS = "several methods of a synchronous actor at the same time"
    FORCED_CANCEL = "cancel(force=True), which ends the process of a running task"
    ACTOR_RESTARTS = "actors that are restarted after their process died (max_restarts)"
    DETACHED_ACTORS = (
        "actors and placement groups that outlive the program that made them (lifetime='detached')"
    )
    INSTALLED_PACKAGES = "packages that pip installs for tasks (runtime_env={'pip': ...})"
    ASYNC_ENVIRONMENTS = "a runtime_env for async functions and actors"
    REMOTE_ADDRESS = "connecting to a cluster that runs already (address=...)"
    MULTIPLE_NODES = "more than one node"
