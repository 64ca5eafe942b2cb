"""The runtime environments of a process: its own, which its tasks inherit, and theirs."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import sysconfig
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from air.errors import ObjectLost, OwnerDied, RuntimeEnvSetupError
from air.executor.environments import Environment, PipRequirements
from air.executor.handles import ObjectRef
from air_cluster.protocol import messages
from air_cluster.protocol.messages import OF_PACKAGE

if TYPE_CHECKING:
    from air_cluster.client.client import Client

_KEY_BYTES = 16
_REMEMBERED = 1024

KEPT_MAX_BYTES = 256 << 20
"""So much the head keeps of what a detached actor's environment consists of."""


class Package(msgspec.Struct, array_like=True, frozen=True):
    """A directory or file that goes along, stored as a value.

    Attributes:
        source: its path where it was read.
        excludes: what was left out of it.
        within: the directory in the zip that a package has, by which it is found.
        key: equal content has an equal key.
        object_id: the value, a zip.
        address: where the owner of that listens.
    """

    source: str
    excludes: list[str]
    within: str
    key: str
    object_id: bytes
    address: str


class Paths(msgspec.Struct, array_like=True, frozen=True):
    """The directories that a program imports from, but for those of the interpreter.

    Attributes:
        before: those that come before the interpreter's, the one of its script first.
        after: those that come behind, the current one last.
    """

    before: list[str]
    after: list[str]


class Setup(msgspec.Struct, array_like=True, frozen=True):
    """What a worker does before it is ready.

    Attributes:
        env_vars: variables to set; see :func:`air.executor.environments.expand`.
        working_dir: where to start.
        py_modules: what to make importable.
        pip: requirements, and how to install them.
        timeout_s: seconds that this may take.
        paths: what the program can import.
        declared: the environment as a person would give it.
        job: the program.
    """

    env_vars: dict[str, str]
    working_dir: Package | None
    py_modules: list[Package]
    pip: tuple[list[str], bool, list[str]] | None
    timeout_s: float | None
    paths: Paths
    declared: dict[str, Any]
    job: bytes

    @property
    def packages(self) -> list[Package]:
        """All that goes along, the working directory first."""
        return [*([self.working_dir] if self.working_dir else []), *self.py_modules]

    @property
    def environment(self) -> Environment:
        """What children inherit."""
        working_dir, pip = self.working_dir, self.pip
        excludes = self.declared.get("excludes")
        return Environment(
            env_vars=tuple(sorted(self.env_vars.items())),
            working_dir=None if working_dir is None else working_dir.source,
            excludes=None if excludes is None else tuple(excludes),
            py_modules=tuple(package.source for package in self.py_modules),
            pip=None if pip is None else PipRequirements(tuple(pip[0]), pip[1], tuple(pip[2])),
            setup_timeout=self.timeout_s,
        )


class Environments:
    """Makes of what ``runtime_env=`` says what daemons and workers have to know.

    Attributes:
        own: the environment of this process; a program has one for its tasks.
        declared: that as a person would give it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._inherited: Environment | None = None
        self._paths = Paths([], [])
        self._job = b""
        self._packages: dict[tuple[str, tuple[str, ...], str], Package] = {}
        self._made: dict[Environment, messages.Environment] = {}
        self.own = messages.Environment()
        self.declared: dict[str, Any] = {}

    def of_program(self, given: Environment | None, *, shared: bool) -> None:
        """This process is a program.

        Args:
            shared: whether other programs use the same cluster. Then its workers are its own, and
                find what this program can import, as far as that is on their machine.
        """
        if shared:
            self._job, self._paths = self._client.job_id, paths_of_program()
        self._inherit(given or Environment())
        self.declared = (given or Environment()).to_dict()

    def of_worker(self, setup: Setup) -> None:
        """This process is a worker that is set up."""
        self._job, self._paths = setup.job, setup.paths
        self.declared = setup.declared
        for package in setup.packages:
            self._packages[package.source, tuple(package.excludes), package.within] = package
        self._inherit(setup.environment)

    def _inherit(self, environment: Environment) -> None:
        self._inherited = environment
        self.own = self.on_wire(Environment())
        self._client.submitter.inherit(self.own)

    def on_wire(self, given: Environment) -> messages.Environment:
        """The environment of a task or an actor that is given this one.

        Raises:
            InvalidOption: a file that it names is not there.
            RuntimeEnvSetupError: one cannot be read, or is too large.
        """
        with self._lock:
            if given not in self._made:
                self._only_unknown(given).check_files()
                if len(self._made) >= _REMEMBERED:
                    del self._made[next(iter(self._made))]
                self._made[given] = self._make(given.over(self._inherited))
            return self._made[given]

    def _only_unknown(self, given: Environment) -> Environment:
        """An environment without the files that this process has inherited."""
        known = {source for source, _excludes, _within in self._packages}
        working_dir = None if given.working_dir in known else given.working_dir
        modules = tuple(path for path in given.py_modules or () if path not in known)
        return replace(given, working_dir=working_dir, py_modules=modules)

    def _make(self, environment: Environment) -> messages.Environment:
        if not environment and not self._job:
            return messages.Environment()
        excludes = environment.excludes or ()
        working_dir = None
        if environment.working_dir is not None:
            working_dir = self._package(environment.working_dir, excludes, within="")
        modules = [
            self._package(path, excludes, within=os.path.basename(path))
            for path in environment.py_modules or ()
        ]
        pip = environment.pip
        setup = Setup(
            env_vars=dict(environment.env_vars or ()),
            working_dir=working_dir,
            py_modules=modules,
            pip=None if pip is None else (list(pip.packages), pip.check, list(pip.options)),
            timeout_s=environment.setup_timeout,
            paths=self._paths,
            declared=environment.to_dict(),
            job=self._job,
        )
        # What it says of itself counts too: whose workers these are may ask for that.
        files = [package.key for package in (working_dir, *modules) if package is not None]
        what = [setup.declared, files, setup.paths.before, setup.paths.after, setup.job.hex()]
        digest = hashlib.blake2b(json.dumps(what).encode(), digest_size=_KEY_BYTES).digest()
        encoded = msgspec.msgpack.encode(setup)
        return messages.Environment(digest, self._job, bool(environment), encoded)

    def _package(self, path: str, excludes: tuple[str, ...], *, within: str) -> Package:
        key = path, excludes, within
        if key not in self._packages:
            from air.executor.packages import pack

            packed = pack(path, excludes, within=within)
            # Never dropped: workers that are started later want it too.
            value = self._client.objects.put(packed.content)
            self._packages[key] = Package(
                path, list(excludes), within, packed.key, value, self._client.address
            )
        return self._packages[key]

    def packages(self, environment: messages.Environment, name: str) -> dict[str, bytes]:
        """The content of all packages of an environment, by their keys.

        Raises:
            RuntimeEnvSetupError: it is more than is kept for the detached actor *name*, or cannot
                be had.
        """
        if not environment.setup:
            return {}
        setup = msgspec.msgpack.decode(environment.setup, type=Setup)
        found = {package.key: self.content(package, None) for package in setup.packages}
        size = sum(map(len, found.values()))
        if size > KEPT_MAX_BYTES:
            raise RuntimeEnvSetupError(
                f"working_dir and py_modules of the detached actor {name} are {size} bytes when"
                f" packed, and the cluster keeps no more than {KEPT_MAX_BYTES} to make it anew"
                " without this program. Leave files out (excludes=...), or have them on every"
                " machine"
            )
        return found

    def content(self, package: Package, timeout: float | None) -> bytes:
        """A package, from its owner, or from the head if that keeps it for a detached actor.

        Raises:
            AirError: it cannot be had.
        """
        client = self._client
        client.objects.imported(package.object_id, package.address)
        with client.reactor.lock:
            # Its owner keeps it anyway; this is so that the counts are right.
            client.objects.follow(client.references.register([package.object_id], None))
        ref = ObjectRef[bytes](package.object_id, client.executor)
        try:
            found: bytes = client.waiting.get([ref], timeout)[0]
        except (OwnerDied, ObjectLost):
            kept: bytes | None = client.ask(OF_PACKAGE + package.key)
            if kept is None:
                raise
            return kept
        return found


def paths_of_program() -> Paths:
    """What this program can import, and what is in the current directory."""
    before: dict[str, None] = {}
    after: dict[str, None] = {}
    found = before
    for path in map(os.path.abspath, sys.path):
        if _is_of_interpreter(path):
            found = after  # what of them is shadowed here is shadowed there, and no more
        elif path not in before:
            found[path] = None
    here = os.getcwd()
    if here not in before:
        after[here] = None
    return Paths(list(before), list(after))


def _is_of_interpreter(path: str) -> bool:
    if os.path.basename(path) in ("site-packages", "dist-packages") or path.endswith(".zip"):
        return True
    library = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    return any(path == place or path.startswith(f"{place}{os.sep}") for place in library)
