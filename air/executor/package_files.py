"""Which files of a directory go into a package.

What is left out, besides ``.git``, ``__pycache__`` and virtual environments, say patterns as in a
``.gitignore``: ``*.bin`` is any file or directory of such a name, ``data/`` a directory, and what
has a slash before its end is a path from the top. What is neither file nor directory, such as a
socket, is left out too.

Links count as what they point to. Those that lead out of the directory are named in a warning on
the log ``air``, as more may come along by them than meant; those to nothing, and to directories
that the link itself lies in, are left out. What lets others into a cluster never goes along: token
files, and the directories in which nodes keep theirs.
"""

from __future__ import annotations

import fnmatch
import logging
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from air.errors import RuntimeEnvSetupError

logger = logging.getLogger("air")

MOST_FILES = 200_000
"""More than so many are taken for links that multiply."""

_ALWAYS = (".git/", "__pycache__/")
_OF_VENVS = "pyvenv.cfg"
_SESSION = re.compile(r"air-[0-9]+-([0-9]+|crashed)-\w+")
_TOKEN = re.compile(rb"[0-9a-f]{64}\n?(-----BEGIN .*)?", re.DOTALL)
_MAX_TOKEN_BYTES = 1 << 16
_TOKEN_FILE = "AIR_TOKEN_FILE"
_SHOWN = 5


class PackedFile(NamedTuple):
    """A file, or a directory that is empty.

    Attributes:
        name: within the package; of a directory it ends with a slash.
        path: where it is now.
    """

    name: str
    path: str
    is_executable: bool
    nbytes: int


def files_of(top: str, excludes: Sequence[str], within: str) -> list[PackedFile]:
    """The files below *top*; says on the log what about its links may not be meant.

    Args:
        excludes: patterns of what to leave out.
        within: the directory in the package that they get; empty for none.

    Raises:
        OSError: a directory cannot be read.
        RuntimeEnvSetupError: there are too many.
    """
    walk = _Walk(top, (*_ALWAYS, *excludes), within)
    found = []
    for file in walk.files():
        found.append(file)
        if len(found) > MOST_FILES:
            raise RuntimeEnvSetupError(
                f"{top!r} holds more than {MOST_FILES} files, too many for a runtime environment;"
                f" leave some out by 'excludes' (the last that was found is {file.name!r})"
            )
    walk.warn()
    return found


class _Walk:
    def __init__(self, top: str, patterns: Sequence[str], within: str) -> None:
        self._top = top
        self._real = os.path.realpath(top)
        self._patterns = patterns
        self._within = within
        token = os.environ.get(_TOKEN_FILE)
        self._token = os.path.realpath(token) if token else ""
        self._outside: dict[str, str] = {}
        self._to_nothing: dict[str, str] = {}
        self._circles: dict[str, str] = {}
        self._secret: list[str] = []

    def files(self) -> Iterator[PackedFile]:
        """All that go along."""
        above: dict[str, tuple[str, ...]] = {self._top: (self._real,)}  # links may lead in circles
        for directory, names, files in os.walk(self._top, followlinks=True, onerror=_complain):
            inside = os.path.relpath(directory, self._top)
            inside = "" if inside == "." else inside.replace(os.sep, "/") + "/"
            kept = []
            for name in sorted(names):
                path = os.path.join(directory, name)
                real = os.path.realpath(path)
                if not self._enters(inside + name, path, real, above[directory]):
                    continue
                above[path] = (*above[directory], real)
                kept.append(name)
            names[:] = kept
            found = [file for name in sorted(files) for file in self._file(directory, inside, name)]
            yield from found
            if not found and not kept and inside:
                yield PackedFile(self._join(inside), directory, False, 0)

    def _enters(self, name: str, path: str, real: str, above: tuple[str, ...]) -> bool:
        """Whether the content of a directory goes along."""
        if _matches(name, self._patterns, True) or os.path.exists(os.path.join(path, _OF_VENVS)):
            return False
        if self._is_of_session(real):
            self._secret.append(f"{name}/")
            return False
        if os.path.islink(path):
            if any(_holds(real, one) for one in above):
                self._circles[name] = os.readlink(path)
                return False
            if not _holds(self._real, real):
                self._outside[name] = os.readlink(path)
        return True

    def _file(self, directory: str, inside: str, name: str) -> Iterator[PackedFile]:
        """The file, if it goes along."""
        path = os.path.join(directory, name)
        if _matches(inside + name, self._patterns, False):
            return
        try:
            about = os.stat(path)
        except OSError as error:
            if os.path.islink(path):
                self._to_nothing[inside + name] = os.readlink(path)
            elif not isinstance(error, FileNotFoundError):  # it is removed just now
                raise
            return
        if not stat.S_ISREG(about.st_mode):
            return
        real = os.path.realpath(path) if os.path.islink(path) else ""
        if self._is_token(path, about) or (real and self._is_of_session(real)):
            self._secret.append(inside + name)
            return
        if real and not _holds(self._real, real):
            self._outside[inside + name] = os.readlink(path)
        executable = bool(about.st_mode & stat.S_IXUSR)
        yield PackedFile(self._join(inside + name), path, executable, about.st_size)

    def _is_of_session(self, real: str) -> bool:
        """Whether a path leads to a node's own directory, or into it, and the top does not."""
        below = os.path.relpath(real, self._real) if _holds(self._real, real) else real
        return any(_SESSION.fullmatch(part) for part in below.split(os.sep))

    def _is_token(self, path: str, about: os.stat_result) -> bool:
        """Whether a file lets its readers into a cluster; nobody but its user may read it then."""
        if self._token and os.path.realpath(path) == self._token:
            return True
        if about.st_mode & 0o077 or not 64 <= about.st_size <= _MAX_TOKEN_BYTES:
            return False
        with open(path, "rb") as file:
            return bool(_TOKEN.fullmatch(file.read(_MAX_TOKEN_BYTES)))

    def _join(self, name: str) -> str:
        return f"{self._within}/{name}" if self._within else name

    def warn(self) -> None:
        """Say what may not be meant."""
        for links, what in (
            (self._outside, "what these links outside it point to goes along"),
            (self._to_nothing, "these links to nothing are left out"),
            (self._circles, "these links to what they lie in are left out"),
        ):
            if links:
                shown = [f"{name} -> {target}" for name, target in list(links.items())[:_SHOWN]]
                self._say(what, shown, len(links))
        if self._secret:
            what = "these let others into a cluster, and are left out"
            self._say(what, self._secret[:_SHOWN], len(self._secret))

    def _say(self, what: str, shown: list[str], count: int) -> None:
        more = f" and {count - len(shown)} more" if count > len(shown) else ""
        logger.warning(
            "%r for a runtime environment: %s: %s%s. What is not meant to be there can be named in"
            " 'excludes'",
            self._top,
            what,
            ", ".join(shown),
            more,
        )


def _holds(directory: str, path: str) -> bool:
    """Whether *path* is *directory* or in it; both without links."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _complain(error: OSError) -> None:
    raise error


def _matches(path: str, patterns: Sequence[str], is_directory: bool) -> bool:
    name = path.rpartition("/")[2]
    for pattern in patterns:
        if pattern.endswith("/") and not is_directory:
            continue
        bare = pattern.rstrip("/")
        whole = "/" in bare
        if fnmatch.fnmatchcase(path if whole else name, bare.removeprefix("./").lstrip("/")):
            return True
    return False
