"""AIR: load, train, tune, predict - the same program on one machine or many.

``import air`` loads nothing but the standard library; the rest comes when it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "ActorClass": "air.core.actor",
    "ActorHandle": "air.executor.handles",
    "Checkpoint": "air.checkpoint",
    "CheckpointConfig": "air.config",
    "DatasetConfig": "air.config",
    "FailureConfig": "air.config",
    "ObjectRef": "air.executor.handles",
    "ObjectRefGenerator": "air.executor.handles",
    "RemoteFunction": "air.core.remote_function",
    "Result": "air.result",
    "RunConfig": "air.config",
    "ScalingConfig": "air.config",
    "available_resources": "air.core.api",
    "cancel": "air.core.api",
    "cluster_resources": "air.core.api",
    "exit_actor": "air.core.api",
    "get": "air.core.api",
    "get_actor": "air.core.api",
    "get_gpu_ids": "air.core.api",
    "get_runtime_context": "air.core.runtime_context",
    "init": "air.core.api",
    "is_initialized": "air.core.api",
    "kill": "air.core.api",
    "method": "air.core.actor",
    "nodes": "air.core.api",
    "put": "air.core.api",
    "remote": "air.core.api",
    "shutdown": "air.core.api",
    "timeline": "air.util.timeline",
    "wait": "air.core.api",
}
_SUBMODULES = {"data", "errors", "runtime_env", "session", "testing", "train", "tune", "util"}

__all__ = sorted((*_HOME, *_SUBMODULES))

if TYPE_CHECKING:
    from air import data, errors, runtime_env, session, testing, train, tune, util
    from air.checkpoint import Checkpoint
    from air.config import (
        CheckpointConfig,
        DatasetConfig,
        FailureConfig,
        RunConfig,
        ScalingConfig,
    )
    from air.core.actor import ActorClass, method
    from air.core.api import (
        available_resources,
        cancel,
        cluster_resources,
        exit_actor,
        get,
        get_actor,
        get_gpu_ids,
        init,
        is_initialized,
        kill,
        nodes,
        put,
        remote,
        shutdown,
        wait,
    )
    from air.core.remote_function import RemoteFunction
    from air.core.runtime_context import get_runtime_context
    from air.executor.handles import ActorHandle, ObjectRef, ObjectRefGenerator
    from air.result import Result
    from air.util.timeline import timeline


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f"air.{name}")
    else:
        from air.executor.validation import nearest

        raise AttributeError(f"module 'air' has no attribute {name!r}.{nearest(name, __all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
