"""Sets up the runtime environment of a worker, before any of the user's code is loaded."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING

from air.errors import AirError, RuntimeEnvSetupError
from air.executor.environments import SETUP_TIMEOUT_S, expand
from air.executor.gpus import VISIBLE
from air_cluster.client.environments import Package, Setup
from air_cluster.session_files import ENVIRONMENTS

if TYPE_CHECKING:
    from air_cluster.client.client import Client

_PYTHONPATH = "PYTHONPATH"


def set_up(client: Client, setup: Setup) -> str:
    """Do what a setup says.

    What is unpacked is shared with the other workers of this node, and gone with the session.

    Returns:
        What has changed in this process, for :func:`enter`.

    Raises:
        RuntimeEnvSetupError: something of it cannot be had.
    """
    deadline = time.monotonic() + (setup.timeout_s or SETUP_TIMEOUT_S)
    # First, since pip minds variables too.
    before = dict(os.environ)
    os.environ.update({name: expand(value, before) for name, value in setup.env_vars.items()})
    first = [_unpacked(client, package, deadline) for package in setup.packages]
    if setup.working_dir is not None:
        os.chdir(first[0])
    if _PYTHONPATH in setup.env_vars:
        first += [os.path.abspath(path) for path in _parts(os.environ[_PYTHONPATH])]
    if first:  # also for the programs that tasks start
        inherited = [path for path in _parts(os.environ.get(_PYTHONPATH, "")) if path not in first]
        os.environ[_PYTHONPATH] = os.pathsep.join([*first, *inherited])
    if setup.pip is not None and setup.pip[0]:
        from air_cluster.worker.venvs import provide

        first += provide(*setup.pip, deadline).enter()
    first += [path for path in setup.paths.before if os.path.exists(path)]
    last = [path for path in setup.paths.after if os.path.exists(path)]
    sys.path[:] = dict.fromkeys([*first, *sys.path, *last])
    importlib.invalidate_caches()
    changed = {name: value for name, value in os.environ.items() if before.get(name) != value}
    changed.pop(VISIBLE, None)  # each worker sees its own; see adjust()
    return json.dumps([changed, os.getcwd(), sys.path, sys.executable])


def enter(process: str) -> None:
    """Have this process become like the one that :func:`set_up` has told of."""
    changed, directory, path, executable = json.loads(process)
    os.environ.update(changed)
    os.chdir(directory)
    sys.path[:] = path
    sys.executable = executable
    importlib.invalidate_caches()


def adjust(setup: Setup) -> None:
    """Do what is left to do in a process that was forked from one which has entered."""
    if VISIBLE in setup.env_vars:
        os.environ[VISIBLE] = setup.env_vars[VISIBLE]


def _unpacked(client: Client, package: Package, deadline: float) -> str:
    """Where the content of a package is on this node."""
    from air.executor.packages import unpack_once

    def fetch() -> bytes:
        return client.environments.content(package, max(0.0, deadline - time.monotonic()))

    try:
        directory = os.path.join(client.session, ENVIRONMENTS)
        return unpack_once(directory, package.key, fetch)
    except (AirError, OSError) as error:
        raise RuntimeEnvSetupError(
            f"the content of {package.source!r} cannot be had: {error}"
        ) from error


def _parts(paths: str) -> list[str]:
    return [path for path in paths.split(os.pathsep) if path]
