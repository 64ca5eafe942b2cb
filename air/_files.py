"""Files and directories that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def whole_directory(path: str) -> Iterator[str]:
    """Yield an empty directory that becomes *path* when the ``with`` block ends well.

    It is made beside *path*, so that the rename stays in one file system; directories above
    *path* are made where they are missing. If the block raises, nothing is left.

    Raises:
        FileExistsError: *path* exists and is no empty directory.
    """
    path = os.path.abspath(path)
    if os.path.lexists(path) and not (os.path.isdir(path) and not os.listdir(path)):
        raise FileExistsError(f"{path} exists already; give the path of a new directory")
    unfinished = _beside(path)
    try:
        # Inside, for an interrupt that comes when the directory has just been made.
        os.mkdir(unfinished)
        yield unfinished
        # Takes the place of an empty directory; fails if it has been filled meanwhile.
        os.rename(unfinished, path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def write_whole(path: str, content: bytes) -> None:
    """Write *content* to the file *path*, which holds either what it held before or all of it."""
    unfinished = _beside(os.path.abspath(path))
    try:
        with open(unfinished, "xb") as file:
            file.write(content)
        os.replace(unfinished, path)
    except BaseException:
        if os.path.exists(unfinished):
            os.unlink(unfinished)
        raise


def path_of_uri(uri: str) -> str | None:
    """The absolute path that a ``file://`` URI names; ``None`` if it names none on this machine."""
    from urllib.parse import unquote

    host, slash, rest = uri.removeprefix("file://").partition("/")
    return unquote(slash + rest) if slash and host in ("", "localhost") else None


def uri_of_path(path: str) -> str:
    """The ``file://`` URI of an absolute path."""
    from pathlib import Path

    return Path(path).as_uri()


def _beside(path: str) -> str:
    parent, name = os.path.split(path)
    os.makedirs(parent, exist_ok=True)
    return os.path.join(parent, f".{name}.{secrets.token_hex(4)}.unfinished")
