"""What tasks and actors are to find in the processes that run them.

``runtime_env=`` of ``air.init``, ``@air.remote(...)`` and ``.options(...)`` takes a dict with
these fields, or a :class:`RuntimeEnv`. Tasks and actors have the environment of whoever starts
them, changed by their own: variables are merged one by one, another field that is given replaces
the inherited one.

env_vars
    Variables by name, all of them text. They are set before any of your modules is imported, so
    that libraries see what they read at import (``OMP_NUM_THREADS``). ``${NAME}`` stands for what
    a variable was before. ``PYTHONPATH`` works; what Python and the dynamic loader read only when
    a program starts (``PYTHONHASHSEED``, ``LD_LIBRARY_PATH``) acts on programs that tasks start.
working_dir
    A directory or ``.zip`` file. Tasks start in a copy of it, which is first in ``sys.path``. All
    processes of a node share the copy; it is gone when the cluster ends.
py_modules
    A list of packages (directories with their own name), modules (``.py``), wheels, ``.zip`` files
    whose content is importable, or imported modules. Wheels are unpacked, not installed: scripts
    and dependencies need ``pip``.
excludes
    Patterns of what to leave out of these directories; see :mod:`air.executor.package_files`. Links
    count as what they point to; those that lead out of the directory, or nowhere, are named in a
    warning.
pip
    A list of requirements, the path of a requirements file, or a dict with ``packages``,
    ``pip_check`` (run ``pip check``; False) and ``pip_install_options`` (arguments for
    ``pip install``). What is installed where the cluster was started can be imported too, and is
    not installed again where it meets the requirements. Each node installs a set of requirements
    once and keeps it for later programs of the same user, in ``~/.cache/air/environments``.
config
    ``setup_timeout_seconds`` (600), or a :class:`RuntimeEnvConfig`.

Files are looked for when tasks and actors are started, and read once a program, when the first of
them needs them: 512 MiB at most each. What cannot be set up raises
:class:`air.errors.RuntimeEnvSetupError`, from ``air.get`` where it happens on a node. On the
``local`` backend an environment is in force while a task runs; functions must be synchronous, and
there is no ``pip``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from types import ModuleType
from typing import Any

from air.errors import RuntimeEnvSetupError
from air.executor.environments import CONFIG_FIELDS, SETUP_TIMEOUT_S, read_environment
from air.executor.validation import check_number, reject_unknown

__all__ = ["RuntimeEnv", "RuntimeEnvConfig", "RuntimeEnvSetupError"]


class RuntimeEnvConfig(dict[str, Any]):
    """How an environment is set up: a dict with the field that is given here.

    Args:
        setup_timeout_seconds: how long setting it up may take on a node.

    Raises:
        InvalidOption: an unknown field, or a value that it cannot take.
    """

    def __init__(self, setup_timeout_seconds: float = SETUP_TIMEOUT_S, **unknown: Any) -> None:
        reject_unknown(unknown, CONFIG_FIELDS, what="RuntimeEnvConfig")
        check_number(setup_timeout_seconds, "setup_timeout_seconds", minimum=1)
        super().__init__(setup_timeout_seconds=setup_timeout_seconds)

    def to_dict(self) -> dict[str, Any]:
        """A plain dict of it."""
        return dict(self)


class RuntimeEnv(dict[str, Any]):
    """A runtime environment: a dict of the fields that are given, checked.

    Raises:
        InvalidOption: an unknown field (names the nearest), or a value of another type.
    """

    def __init__(
        self,
        *,
        py_modules: Sequence[str | PathLike[str] | ModuleType] | None = None,
        working_dir: str | PathLike[str] | None = None,
        pip: Sequence[str] | str | Mapping[str, Any] | None = None,
        env_vars: Mapping[str, str] | None = None,
        excludes: Sequence[str] | None = None,
        config: Mapping[str, Any] | None = None,
        **unknown: Any,
    ) -> None:
        given = {
            "py_modules": py_modules,
            "working_dir": working_dir,
            "pip": pip,
            "env_vars": env_vars,
            "excludes": excludes,
            "config": config,
            **unknown,
        }
        said = {name: value for name, value in given.items() if value is not None}
        read_environment(said, "RuntimeEnv")
        super().__init__(said)

    def to_dict(self) -> dict[str, Any]:
        """A plain dict of it."""
        return dict(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # What it names need not be there where it is unpickled.
        return unchecked, (dict(self),)

    def __setitem__(self, name: str, value: Any) -> None:
        read_environment({name: value}, "RuntimeEnv")
        super().__setitem__(name, value)


def unchecked(given: dict[str, Any]) -> RuntimeEnv:
    """One that was checked already, perhaps on another machine."""
    made = RuntimeEnv()
    dict.update(made, given)
    return made
