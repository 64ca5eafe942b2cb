"""The ``local`` backend: one process, in order, deterministic. The reference semantics."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from air.executor.interface import Executor, InitConfig


def connect(config: InitConfig) -> Executor:
    """Start the backend in this process; see :class:`air_local.executor.LocalExecutor`."""
    from air_local.executor import LocalExecutor

    return LocalExecutor(config)
