"""Runtime environments: what tasks and actors are to find in the processes that run them.

``runtime_env={...}`` becomes an :class:`Environment` at the call, checked. Directories are read
when the first task needs them, by :mod:`air.executor.packages`.
"""

from __future__ import annotations

import os
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from air.errors import InvalidOption
from air.executor.validation import (
    check_flag,
    check_number,
    check_text,
    reject_unknown,
)

FIELDS = ("config", "env_vars", "excludes", "pip", "py_modules", "working_dir")
PIP_FIELDS = ("packages", "pip_check", "pip_install_options")
CONFIG_FIELDS = ("setup_timeout_seconds",)
SETUP_TIMEOUT_S = 600.0

_ELSEWHERE = {
    "conda": "use 'pip', or start the cluster in a conda environment",
    "container": "start the nodes in containers with `air start`",
    "image_uri": "start the nodes in containers with `air start`",
    "worker_process_setup_hook": "call the function at the start of the task",
    "uv": "use 'pip'",
}
_WITH_PATH = re.compile(
    r"^(-[rcef]|--requirement|--constraint|--editable|--find-links)(?:\s+|=)(.+)$"
)
_REFERENCE = re.compile(r"\$\{(\w+)\}")


class PipRequirements(NamedTuple):
    """What pip is to install.

    Attributes:
        packages: the lines of a requirements file.
        check: whether ``pip check`` must find no conflict afterwards.
        options: further arguments of ``pip install``.
        unreadable: why the file that lists the packages cannot be read, if so.
    """

    packages: tuple[str, ...]
    check: bool = False
    options: tuple[str, ...] = ()
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class Environment:
    """A runtime environment, checked; ``None`` where a field was not given.

    Attributes:
        env_vars: names and values, sorted by name. ``${NAME}`` in a value stands for what the
            variable was before.
        working_dir: absolute path of a directory or zip file.
        excludes: patterns of what to leave out of directories; see
            :mod:`air.executor.packages`.
        py_modules: absolute paths of packages, modules, wheels and zip files.
        pip: what to install.
        setup_timeout: seconds that setting it up may take.
    """

    env_vars: tuple[tuple[str, str], ...] | None = None
    working_dir: str | None = None
    excludes: tuple[str, ...] | None = None
    py_modules: tuple[str, ...] | None = None
    pip: PipRequirements | None = None
    setup_timeout: float | None = None

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return bool(
            self.env_vars
            or self.working_dir
            or self.py_modules
            or (self.pip is not None and (self.pip.packages or self.pip.unreadable))
        )

    def over(self, parent: Environment | None) -> Environment:
        """This one, with what it does not say taken from *parent*; variables are merged."""
        if parent is None:
            return self
        given = {
            option.name: getattr(self, option.name)
            for option in fields(self)
            if getattr(self, option.name) is not None
        }
        if self.env_vars is not None and parent.env_vars is not None:
            merged = {**dict(parent.env_vars), **dict(self.env_vars)}
            given["env_vars"] = tuple(sorted(merged.items()))
        return replace(parent, **given)

    def to_dict(self) -> dict[str, Any]:
        """As a person gives it, with absolute paths; :func:`read_environment` takes it again."""
        found: dict[str, Any] = {}
        if self.env_vars:
            found["env_vars"] = dict(self.env_vars)
        if self.working_dir is not None:
            found["working_dir"] = self.working_dir
        if self.excludes:
            found["excludes"] = list(self.excludes)
        if self.py_modules:
            found["py_modules"] = list(self.py_modules)
        if self.pip is not None and self.pip.packages:
            found["pip"] = {"packages": list(self.pip.packages), "pip_check": self.pip.check}
            if self.pip.options:
                found["pip"]["pip_install_options"] = list(self.pip.options)
        if self.setup_timeout is not None:
            found["config"] = {"setup_timeout_seconds": self.setup_timeout}
        return found

    def check_files(self) -> None:
        """Look whether the files are there that it names.

        Raises:
            InvalidOption: one is not, or is of a kind that does not fit.
        """
        if self.pip is not None and self.pip.unreadable:
            raise InvalidOption(self.pip.unreadable)
        path = self.working_dir
        if path is not None and not os.path.isdir(path):
            if not os.path.isfile(path):
                raise _missing("working_dir", path)
            if not path.endswith(".zip"):
                raise InvalidOption(
                    f"working_dir must be a directory or a .zip file, got the file {path!r}"
                )
        for path in self.py_modules or ():
            if os.path.isdir(path):
                continue
            if not os.path.isfile(path):
                raise _missing("py_modules", path)
            if not path.endswith((".py", ".whl", ".zip")):
                raise InvalidOption(
                    "py_modules takes packages (directories), modules (.py), wheels (.whl) and"
                    f" .zip files, got the file {path!r}"
                )


def read_environment(given: object, what: str = "runtime_env") -> Environment | None:
    """What ``runtime_env=`` was given, checked; ``None`` for ``None``.

    Files are looked for when they are needed: a module whose functions name some may be imported
    by processes that have them not, and start no such tasks.

    Raises:
        InvalidOption: an unknown field (names the nearest), or a value of another type.
    """
    if given is None or isinstance(given, Environment):
        return given
    if not isinstance(given, Mapping):
        raise InvalidOption(
            f"{what} must be a dict, such as {{'env_vars': {{'NAME': 'value'}}}},"
            f" or an air.runtime_env.RuntimeEnv, got {given!r:.80}"
        )
    for name in given:
        if name in _ELSEWHERE:
            raise InvalidOption(f"{what} has no field {name!r}: {_ELSEWHERE[name]}")
    reject_unknown(given, FIELDS, what=what)
    return Environment(
        env_vars=_check_env_vars(given.get("env_vars")),
        working_dir=_check_path(given.get("working_dir"), "working_dir"),
        excludes=_check_texts(given.get("excludes"), "excludes"),
        py_modules=_check_modules(given.get("py_modules")),
        pip=_check_pip(given.get("pip")),
        setup_timeout=_check_config(given.get("config")),
    )


def expand(value: str, before: Mapping[str, str]) -> str:
    """The value of a variable, with ``${NAME}`` replaced by what *before* says, or nothing."""
    return _REFERENCE.sub(lambda match: before.get(match[1], ""), value)


def _check_env_vars(given: object) -> tuple[tuple[str, str], ...] | None:
    if given is None:
        return None
    _check_mapping(given, "env_vars")
    assert isinstance(given, Mapping)
    for name, value in given.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise InvalidOption(
                f"env_vars maps names of variables to text, and {name!r:.80} is no such name"
            )
        if not isinstance(value, str):
            raise InvalidOption(
                f"env_vars[{name!r}] must be text, got {value!r:.80}: write"
                f" {{{name!r}: {str(value)!r:.60}}}"
            )
        check_text(value, f"env_vars[{name!r}]", empty=True)
        if "\0" in value:
            raise InvalidOption(f"env_vars[{name!r}] must not hold a NUL character")
    return tuple(sorted(given.items()))


def _check_path(given: object, name: str) -> str | None:
    if given is None:
        return None
    if isinstance(given, os.PathLike):
        given = os.fspath(given)
    path = check_text(given, name)
    if "://" in path:
        raise InvalidOption(
            f"{name} must be a path of this machine, got {path!r}: download it first"
        )
    return os.path.abspath(os.path.expanduser(path))


def _check_modules(given: object) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, (list, tuple)):
        raise InvalidOption(
            "py_modules must be a list of paths or modules, such as ['./my_package'], got"
            f" {given!r:.80}"
        )
    found = []
    for item in given:
        if isinstance(item, types.ModuleType):
            found.append(_path_of(item))
        elif isinstance(item, (str, os.PathLike)):
            path = _check_path(item, "py_modules")
            assert path is not None
            found.append(path)
        else:
            raise InvalidOption(f"py_modules takes paths and modules, got {item!r:.80}")
    return tuple(found)


def _path_of(module: types.ModuleType) -> str:
    """Where the code of a module is: a package's directory, or a file."""
    if hasattr(module, "__path__"):
        places = list(module.__path__)
        if len(places) == 1 and os.path.isdir(places[0]):
            return os.path.abspath(places[0])
    elif module.__name__ != "__main__" and str(getattr(module, "__file__", "")).endswith(".py"):
        return os.path.abspath(str(module.__file__))
    raise InvalidOption(
        f"py_modules cannot send the module {module.__name__!r}, which is not one directory or"
        " file of Python code; give a path, or use 'pip'"
    )


def _check_pip(given: object) -> PipRequirements | None:
    if given is None:
        return None
    if isinstance(given, PipRequirements):
        return given
    if not isinstance(given, Mapping):
        given = {"packages": given}
    reject_unknown(given, PIP_FIELDS, what="runtime_env's pip")
    if "packages" not in given:
        raise InvalidOption("runtime_env's pip needs 'packages', a list of requirements")
    packages, unreadable = given["packages"], ""
    if isinstance(packages, (str, os.PathLike)):
        try:
            packages = _requirements_in(os.fspath(packages))
        except OSError as error:
            unreadable = (
                "pip must be a list of requirements or the path of a requirements file, and"
                f" {error.filename!r} cannot be read: {error.strerror}"
            )
            packages = ()
    else:
        lines = _check_texts(packages, "pip's packages") or ()
        packages = tuple(_absolute(line.strip(), os.getcwd()) for line in lines)
    return PipRequirements(
        packages,
        check_flag(given.get("pip_check", False), "pip_check"),
        _check_texts(given.get("pip_install_options"), "pip_install_options") or (),
        unreadable,
    )


def _requirements_in(path: str) -> tuple[str, ...]:
    """The lines of a requirements file that say something."""
    path = os.path.abspath(os.path.expanduser(path))
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    said = [re.sub(r"(^|\s)#.*$", "", line).strip() for line in lines]
    return tuple(_absolute(line, os.path.dirname(path)) for line in said if line)


def _absolute(line: str, directory: str) -> str:
    """A line of requirements whose relative path does not depend on where pip is started."""
    match = _WITH_PATH.match(line)
    option, value = (match[1], match[2].strip()) if match else ("", line)
    if "://" in value or value.startswith("-"):
        return line
    is_path = bool(option) or value.startswith((".", "/", "~")) or value.endswith(".whl")
    if not is_path:
        return line
    value = os.path.abspath(os.path.join(directory, os.path.expanduser(value)))
    return f"{option} {value}" if option else value


def _check_texts(given: object, name: str) -> tuple[str, ...] | None:
    if given is None and not name.startswith("pip's"):
        return None
    if not isinstance(given, (list, tuple)):
        raise InvalidOption(f"{name} must be a list of text, got {given!r:.80}")
    for item in given:
        check_text(item, f"an item of {name}")
    return tuple(given)


def _check_config(given: object) -> float | None:
    if given is None:
        return None
    _check_mapping(given, "config")
    assert isinstance(given, Mapping)
    reject_unknown(given, CONFIG_FIELDS, what="runtime_env's config")
    seconds = given.get("setup_timeout_seconds")
    if seconds is None:
        return None
    return float(check_number(seconds, "setup_timeout_seconds", minimum=1))


def _check_mapping(given: object, name: str) -> None:
    if not isinstance(given, Mapping):
        raise InvalidOption(f"runtime_env's {name} must be a dict, got {given!r:.80}")


def _missing(name: str, path: str) -> InvalidOption:
    return InvalidOption(
        f"runtime_env's {name} names {path!r}, which is not there on this machine (relative paths"
        f" start at {os.getcwd()!r})"
    )
