"""Directories on their way to other machines: zipped, known by a hash of their content.

What of a directory goes with it says :mod:`air.executor.package_files`.
"""

from __future__ import annotations

import contextlib
import fcntl
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
from air.executor.package_files import PackedFile, files_of

MAX_BYTES = 512 << 20
"""How much a directory or file may hold."""

_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_SHOWN = 3


class Package(NamedTuple):
    """The content of a directory or file, as a zip.

    Attributes:
        key: equal content has an equal key, on every machine.
    """

    key: str
    content: bytes


def pack(path: str, excludes: Sequence[str] = (), *, within: str = "") -> Package:
    """Read a directory, a Python file, a wheel or a zip file.

    Args:
        excludes: patterns of what to leave out of a directory.
        within: the directory in the package that the content gets; a package is found by its
            name, the content of a working directory is not.

    Raises:
        RuntimeEnvSetupError: it cannot be read, is larger than :data:`MAX_BYTES`, or holds too
            many files.
    """
    try:
        if os.path.isdir(path):
            return _pack_files(path, files_of(path, excludes, within))
        about = os.stat(path)
        if path.endswith(".py"):
            name = os.path.basename(path)
            return _pack_files(path, [PackedFile(name, path, False, about.st_size)])
        _check_size(path, [PackedFile(path, path, False, about.st_size)])
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


def _pack_files(path: str, files: list[PackedFile]) -> Package:
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


def _check_size(path: str, files: list[PackedFile]) -> None:
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
