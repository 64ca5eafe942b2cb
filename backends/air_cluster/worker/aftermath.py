"""What the user's code may have done to its process, put in order after it has run."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback

_forks = 0
"""How often this process was forked from another one since this module was loaded."""


def _forked() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_forked)


def forks() -> int:
    """What differs between a process and its forked children, without a system call."""
    return _forks


def end_forked_child(worker_forks: int, error: BaseException | None) -> None:
    """End this process if it is not the worker, but a child that the user's code forked.

    It came back from that code, or raised *error*, as it would at the end of a script.
    """
    if _forks == worker_forks:
        return
    code = 0
    if isinstance(error, SystemExit) and isinstance(error.code, int | None):
        code = error.code or 0
    elif error is not None:
        traceback.print_exception(error)
        code = 1
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
