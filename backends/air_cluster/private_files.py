"""Files that only this user can read."""

from __future__ import annotations

import os


def write_private(path: str, content: bytes) -> None:
    """Write a file that only this user can read; it appears whole or not at all."""
    draft = f"{path}.{os.getpid()}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(content)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
