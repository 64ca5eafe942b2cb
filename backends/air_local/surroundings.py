"""Runtime environments within one process: in force while a call runs, and undone after it.

Variables, current directory and ``sys.path`` are the process's, so what other threads do
meanwhile finds them too, and calls with environments in several threads run one after the other.
Modules that come from an environment are its own: put aside when its call is over, and back for
the next one, so that two environments may bring different modules of one name.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

from air.executor.environments import Environment, expand
from air.executor.packages import pack, unpack_once

_PYTHONPATH = "PYTHONPATH"
NONE = Environment()


class _Process(NamedTuple):
    """What an environment changes."""

    variables: dict[str, str]
    directory: str
    path: list[str]
    modules: dict[str, ModuleType]


class _Places(NamedTuple):
    """Where the files of an environment are, and the names of the modules that they bring."""

    working_dir: str | None
    path: list[str]
    names: frozenset[str]


class Surroundings:
    """Enters and leaves environments."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._current = NONE
        self._outside: _Process | None = None  # as the program has it, while a call is inside
        self._owner = 0  # the thread of that call
        self._places: dict[Environment, _Places] = {}
        self._modules: dict[Environment, dict[str, ModuleType]] = {}
        self._directory = ""

    def prepare(self, environment: Environment) -> None:
        """Read the files of an environment, once.

        Raises:
            RuntimeEnvSetupError: one cannot be read.
        """
        with self._lock:
            if environment and environment not in self._places:
                self._places[environment] = self._unpack(environment)

    @contextlib.contextmanager
    def within(self, environment: Environment) -> Iterator[None]:
        """Have the process be as *environment* says; what is inside leaves no trace in it."""
        if not environment and self._owner != threading.get_ident():
            yield
            return
        with self._lock:
            if environment == self._current:
                yield
                return
            before = self._current, self._outside, self._leave()
            if self._outside is None:
                self._outside, self._owner = before[2], threading.get_ident()
            try:
                self._enter(environment)
                yield
            finally:
                self._leave()
                self._current, self._outside, process = before
                if self._outside is None:
                    self._owner = 0
                self._put(process)

    def close(self) -> None:
        """Forget everything."""
        self._modules.clear()
        self._places.clear()
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _enter(self, environment: Environment) -> None:
        self._current = environment
        assert self._outside is not None
        variables, directory, path, modules = self._outside
        places = self._places.get(environment)
        if places is not None:
            given = {name: expand(value, variables) for name, value in environment.env_vars or ()}
            variables = {**variables, **given}
            first = list(places.path)
            if _PYTHONPATH in given:
                first += [part for part in given[_PYTHONPATH].split(os.pathsep) if part]
            path = [*first, *path]
            directory = places.working_dir or directory
            kept = {
                name: module
                for name, module in modules.items()
                if name.partition(".")[0] not in places.names
            }
            modules = {**kept, **self._modules.get(environment, {})}
        self._put(_Process(variables, directory, path, modules))
        importlib.invalidate_caches()

    def _leave(self) -> _Process:
        """What the process is like now; what came from the current environment is kept for it."""
        modules = dict(sys.modules)
        places = self._places.get(self._current)
        if places is not None and places.names:
            self._modules[self._current] = {
                name: module
                for name, module in modules.items()
                if name.partition(".")[0] in places.names
            }
        return _Process(dict(os.environ), os.getcwd(), list(sys.path), modules)

    def _put(self, process: _Process) -> None:
        for name in os.environ.keys() - process.variables.keys():
            del os.environ[name]
        for name, value in process.variables.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        if os.getcwd() != process.directory:
            os.chdir(process.directory)
        sys.path[:] = process.path
        names = self._names()
        for name in [name for name in sys.modules if name.partition(".")[0] in names]:
            if name not in process.modules:
                del sys.modules[name]
        for name, module in process.modules.items():
            if name.partition(".")[0] in names:
                sys.modules[name] = module

    def _names(self) -> set[str]:
        return {name for places in self._places.values() for name in places.names}

    def _unpack(self, environment: Environment) -> _Places:
        if not self._directory and (environment.working_dir or environment.py_modules):
            self._directory = tempfile.mkdtemp(prefix="air-local-")
        excludes = environment.excludes or ()
        working_dir, path = None, []
        if environment.working_dir is not None:
            working_dir = self._unpack_one(environment.working_dir, excludes, "")
            path.append(working_dir)
        for module in environment.py_modules or ():
            path.append(self._unpack_one(module, excludes, os.path.basename(module)))
        names = {name.partition(".")[0] for place in path for name in os.listdir(place)}
        return _Places(working_dir, path, frozenset(names - {"", "__main__"}))

    def _unpack_one(self, source: str, excludes: tuple[str, ...], within: str) -> str:
        package = pack(source, excludes, within=within)
        return unpack_once(self._directory, package.key, lambda: package.content)
