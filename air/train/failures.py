"""What becomes of the exceptions of training functions."""

from __future__ import annotations

import bdb
from collections.abc import Callable

from air.errors import InvalidOption, SerializationError, Unschedulable, UnsupportedByBackend
from air.executor.failures import as_task_error

NOT_TO_BE_TRIED_AGAIN = (InvalidOption, SerializationError, Unschedulable, UnsupportedByBackend)
"""What goes wrong at the next attempt as it did at this one: a run is refused, it does not fail."""


def failure_of(call: Callable[[], object], name: str) -> BaseException | None:
    """Make a call in this thread, and return what it raised as ``air.get`` would have raised it.

    So an ``except`` clause that works with processes works without them. ``None`` if the call went
    well. An interrupt, or leaving the debugger, ends the program as always.
    """
    try:
        call()
    except bdb.BdbQuit:
        raise
    except (Exception, SystemExit) as error:
        return as_task_error(error, name)
    return None
