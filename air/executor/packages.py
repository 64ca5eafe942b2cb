"""Directories on their way to other machines: zipped, known by a hash of their content.

What is left out of a directory, besides ``.git``, ``__pycache__`` and virtual environments, say
patterns as in a ``.gitignore``: ``*.bin`` is any file or directory of such a name, ``data/`` a
directory, and what has a slash before its end is a path from the top. Links count as what they
point to; what is neither file nor directory, such as a socket, is left out.
"""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import hashlib
import io
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from air.errors import RuntimeEnvSetupError

MAX_BYTES = 512 << 20
"""How much a directory or file may hold."""

_ALWAYS = (".git/", "__pycache__/")
_OF_VENVS = "pyvenv.cfg"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_SHOWN = 3


class Package(NamedTuple):
    """The content of a directory or file, as a zip.

    Attributes:
        key: equal content has an equal key, on every machine.
    """

    key: str
    content: bytes


class _File(NamedTuple):
    name: str  # within the package
    path: str
    is_executable: bool
    nbytes: int


def pack(path: str, excludes: Sequence[str] = (), *, within: str = "") -> Package:
    """Read a directory, a Python file, a wheel or a zip file.

    Args:
        excludes: patterns of what to leave out of a directory.
        within: the directory in the package that the content gets; a package is found by its
            name, the content of a working directory is not.

    Raises:
        RuntimeEnvSetupError: it cannot be read, or is larger than :data:`MAX_BYTES`.
    """
    try:
        if os.path.isdir(path):
            return _pack_files(path, list(_files_of(path, excludes, within)))
        about = os.stat(path)
        if path.endswith(".py"):
            name = os.path.basename(path)
            return _pack_files(path, [_File(name, path, False, about.st_size)])
        _check_size(path, [_File(path, path, False, about.st_size)])
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise RuntimeEnvSetupError(
            f"{error.filename or path!r} cannot be read for a runtime environment:"
            f" {error.strerror or error}"
        ) from error
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise RuntimeEnvSetupError(f"{path!r} is no zip file")
    return Package(hashlib.blake2b(content, digest_size=16).hexdigest(), content)


def unpack_once(directory: str, key: str, content: Callable[[], bytes]) -> str:
    """The directory with the content of a package, made by whoever is first.

    It appears whole or not at all.

    Args:
        directory: where such directories are.
        content: gives the zip; called if it is needed.
    """
    place = os.path.join(directory, key)
    if os.path.isdir(place):
        return place
    os.makedirs(directory, mode=0o700, exist_ok=True)
    with locked(f"{place}.lock"):
        if os.path.isdir(place):
            return place
        draft = tempfile.mkdtemp(prefix=f"{key}.", dir=directory)
        try:
            with zipfile.ZipFile(io.BytesIO(content())) as archive:
                for entry in archive.infolist():
                    made = archive.extract(entry, draft)
                    mode = entry.external_attr >> 16
                    if mode & stat.S_IXUSR and not entry.is_dir():
                        os.chmod(made, stat.S_IMODE(os.stat(made).st_mode) | 0o100)
            os.rename(draft, place)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return place


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Keep other processes of this machine out, meanwhile."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _pack_files(path: str, files: list[_File]) -> Package:
    _check_size(path, files)
    digest = hashlib.blake2b(digest_size=16)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(files):
            about = zipfile.ZipInfo(file.name, _LONG_AGO)
            about.compress_type = zipfile.ZIP_DEFLATED
            is_directory = file.name.endswith("/")
            kind = stat.S_IFDIR if is_directory else stat.S_IFREG
            mode = 0o700 if is_directory or file.is_executable else 0o600
            about.external_attr = (kind | mode) << 16
            content = b""
            if not is_directory:
                with open(file.path, "rb") as source:
                    content = source.read()
            archive.writestr(about, content)
            for part in (file.name.encode(), b"\0x" if file.is_executable else b"\0", content):
                digest.update(len(part).to_bytes(8, "big"))
                digest.update(part)
    return Package(digest.hexdigest(), out.getvalue())


def _files_of(top: str, excludes: Sequence[str], within: str) -> Iterator[_File]:
    patterns = (*_ALWAYS, *excludes)
    above: dict[str, tuple[str, ...]] = {top: (os.path.realpath(top),)}  # links may lead in circles
    for directory, names, files in os.walk(top, followlinks=True, onerror=_complain):
        inside = os.path.relpath(directory, top)
        inside = "" if inside == "." else inside.replace(os.sep, "/") + "/"
        kept = []
        for name in sorted(names):
            path = os.path.join(directory, name)
            real = os.path.realpath(path)
            if _matches(inside + name, patterns, True) or real in above[directory]:
                continue
            if os.path.exists(os.path.join(path, _OF_VENVS)):
                continue
            above[path] = (*above[directory], real)
            kept.append(name)
        names[:] = kept
        found = list(_plain_files(directory, inside, files, patterns, within))
        yield from found
        if not found and not kept and inside:
            yield _File(_join(within, inside), directory, False, 0)


def _plain_files(
    directory: str, inside: str, names: list[str], patterns: Sequence[str], within: str
) -> Iterator[_File]:
    for name in names:
        path = os.path.join(directory, name)
        if _matches(inside + name, patterns, False):
            continue
        try:
            about = os.stat(path)
        except FileNotFoundError:  # a link to nothing
            continue
        if stat.S_ISREG(about.st_mode):
            executable = bool(about.st_mode & stat.S_IXUSR)
            yield _File(_join(within, inside + name), path, executable, about.st_size)


def _complain(error: OSError) -> None:
    raise error


def _join(within: str, name: str) -> str:
    return f"{within}/{name}" if within else name


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


def _check_size(path: str, files: list[_File]) -> None:
    total = sum(file.nbytes for file in files)
    if total <= MAX_BYTES:
        return
    largest = sorted(files, key=lambda file: -file.nbytes)[:_SHOWN]
    shown = ", ".join(f"{file.name} ({file.nbytes >> 20} MiB)" for file in largest)
    raise RuntimeEnvSetupError(
        f"{path!r} holds {total >> 20} MiB, and a runtime environment takes at most"
        f" {MAX_BYTES >> 20} MiB of it. The largest files are {shown}. Leave out what tasks do"
        " not need by 'excludes', and have them read data from shared storage"
    )
