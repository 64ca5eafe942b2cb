"""What the user's code may have done to its process, put in order after it has run."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback


def end_forked_child(worker_pid: int, error: BaseException | None) -> None:
    """End this process if it is not the worker, but a child that the user's code forked.

    It came back from that code, or raised *error*, as it would at the end of a script.
    """
    if os.getpid() == worker_pid:
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


class StandardStreams:
    """Standard output and error, which a task may close and the next one needs."""

    def __init__(self) -> None:
        self._spare = {number: os.dup(number) for number in (1, 2)}

    def repair(self) -> None:
        """Open again what was closed."""
        for number, name in ((1, "stdout"), (2, "stderr")):
            if getattr(getattr(sys, name), "closed", True):
                self._reopen(number, name)

    def _reopen(self, number: int, name: str) -> None:
        try:
            os.fstat(number)
        except OSError:
            os.dup2(self._spare[number], number)
        stream = os.fdopen(number, "w", buffering=1, errors="backslashreplace", closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
