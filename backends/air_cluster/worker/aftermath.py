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
