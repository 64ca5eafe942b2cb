"""What pip installs for runtime environments: once a machine, kept for later programs.

Each set of requirements has a directory with a virtual environment on top of what this
interpreter finds, in the user's cache. Who needs one that is not there builds it, and others
wait for that. A file that is written last says that it is whole; what is left of a build that
was interrupted is removed by the next one. Who uses one holds its lock together with the others who
do; a build removes what nobody holds, and nobody has asked for in a month.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Sequence
from typing import NamedTuple

from air.errors import RuntimeEnvSetupError

_READY = ".air-ready"
_REQUIREMENTS = "air-requirements.txt"
_SEEN = "_air_base.pth"
_LAST_LINES = 15
_POLL_S = 0.05
_KEPT_S = 30 * 24 * 3600.0


class Venv(NamedTuple):
    """A virtual environment that is whole."""

    directory: str
    packages: str

    @property
    def ready(self) -> str:
        """The file that says so."""
        return os.path.join(self.directory, _READY)

    def enter(self) -> list[str]:
        """Have this process use it; returns what is to come first in ``sys.path``."""
        known = list(sys.path)
        site.addsitedir(self.packages)  # minds .pth files
        added = [path for path in sys.path if path not in known]
        sys.path[:] = known
        scripts = os.path.join(self.directory, "bin")
        os.environ["VIRTUAL_ENV"] = self.directory
        os.environ["PATH"] = f"{scripts}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        # For what starts other interpreters.
        sys.executable = os.path.join(scripts, "python")
        return added


def provide(packages: Sequence[str], check: bool, options: Sequence[str], deadline: float) -> Venv:
    """The environment of these requirements, built if it is not there yet.

    Args:
        packages: lines of a requirements file.
        check: whether ``pip check`` must find no conflict.
        options: further arguments of ``pip install``.
        deadline: on the monotonic clock.

    Raises:
        RuntimeEnvSetupError: pip fails, with the last lines of what it says; or it takes longer
            than the deadline.
    """
    directory = os.path.join(cache_directory(), _key(packages, check, options))
    library = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    made = Venv(directory, os.path.join(directory, library))
    try:
        os.makedirs(cache_directory(), mode=0o700, exist_ok=True)
        lock = _open_lock(directory)
        _lock(lock, fcntl.LOCK_SH, deadline)
        while not os.path.exists(made.ready):
            _lock(lock, fcntl.LOCK_EX, deadline)
            if not os.path.exists(made.ready):
                try:
                    _build(made, packages, check, options, deadline)
                except BaseException:
                    shutil.rmtree(directory, ignore_errors=True)
                    os.close(lock)
                    raise
                with open(made.ready, "w", encoding="utf-8"):
                    pass
                _remove_unused()
            _lock(lock, fcntl.LOCK_SH, deadline)
        os.utime(made.ready)
    except OSError as error:
        raise RuntimeEnvSetupError(
            f"a virtual environment cannot be made in {cache_directory()!r}: {error}"
        ) from error
    return made  # the lock goes with this process


def cache_directory() -> str:
    """Where environments are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "air", "environments")


def _key(packages: Sequence[str], check: bool, options: Sequence[str]) -> str:
    """Equal for what gives the same environment on this machine."""
    machine = [sys.version, sys.prefix, sysconfig.get_platform()]
    what = [list(packages), check, list(options), *machine]
    digest = hashlib.blake2b(json.dumps(what).encode(), digest_size=16)
    for line in packages:
        path = line.rpartition(" ")[2]
        if os.path.isfile(path):  # a wheel, or a further list, that may be another one tomorrow
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def _build(
    made: Venv, packages: Sequence[str], check: bool, options: Sequence[str], deadline: float
) -> None:
    has_pip = importlib.util.find_spec("pip") is not None
    shutil.rmtree(made.directory, ignore_errors=True)
    builder = venv.EnvBuilder(system_site_packages=True, with_pip=not has_pip)
    try:
        builder.create(made.directory)
    except subprocess.CalledProcessError as error:  # only if there is no pip
        raise RuntimeEnvSetupError(
            f"pip is not installed beside {sys.executable!r}, and cannot be put into a virtual"
            f" environment either; install it there: {_last_lines(error.output)}"
        ) from error
    seen = [path for path in sys.path if os.path.basename(path).endswith("-packages")]
    with open(os.path.join(made.packages, _SEEN), "w", encoding="utf-8") as file:
        # Of a virtual environment only what is below it would be seen otherwise.
        file.writelines(f"import site; site.addsitedir({path!r})\n" for path in seen)
    requirements = os.path.join(made.directory, _REQUIREMENTS)
    with open(requirements, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in packages)
    python = os.path.join(made.directory, "bin", "python")
    pip = [sys.executable, "-m", "pip", "--python", python] if has_pip else [python, "-m", "pip"]
    pip += ["--disable-pip-version-check", "--no-input"]
    _run([*pip, "install", *options, "-r", requirements], "pip install", deadline)
    if check:
        _run([*pip, "check"], "pip check", deadline)


def _run(command: list[str], what: str, deadline: float) -> None:
    # Not what is imported here: pip looks at the environment that it installs into.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=max(0.1, deadline - time.monotonic()),
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _too_late(f"{what} did not end; it said: {_last_lines(error.output)}") from None
    if done.returncode:
        raise RuntimeEnvSetupError(
            f"{what} ended with code {done.returncode}: {_last_lines(done.stdout)}"
        )


def _last_lines(output: bytes | None) -> str:
    lines = (output or b"").decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-_LAST_LINES:]) or "nothing"


def _open_lock(directory: str) -> int:
    return os.open(f"{directory}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock(fd: int, kind: int, deadline: float) -> None:
    """Share a lock, or keep others out; what was held before is let go meanwhile."""
    fcntl.flock(fd, fcntl.LOCK_UN)  # or two who share it would wait for one another
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise _too_late("another process is still building it") from None
            time.sleep(_POLL_S)


def _remove_unused() -> None:
    before = time.time() - _KEPT_S
    for entry in list(os.scandir(cache_directory())):
        ready = os.path.join(entry.path, _READY)
        if entry.is_dir() and os.path.exists(ready) and os.stat(ready).st_mtime < before:
            lock = _open_lock(entry.path)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(ready)
                shutil.rmtree(entry.path, ignore_errors=True)
            os.close(lock)


def _too_late(what: str) -> RuntimeEnvSetupError:
    return RuntimeEnvSetupError(
        f"{what}. That is all the time it has; config={{'setup_timeout_seconds': ...}} gives it"
        " more"
    )
