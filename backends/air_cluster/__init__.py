"""The ``cluster`` backend: a runtime of tasks and actors in processes of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from air.executor.interface import InitConfig
    from air_cluster.executor import ClusterExecutor


def connect(config: InitConfig) -> ClusterExecutor:
    """Start the runtime on this machine; the entry point of the backend."""
    from air_cluster import session

    return session.connect(config)
