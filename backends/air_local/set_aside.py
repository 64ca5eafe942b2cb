"""Several event loops in one thread, one at a time."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def running_loop_set_aside() -> Iterator[None]:
    """Let another loop run in this thread while one runs already, as in ``asyncio.run(main())``.

    asyncio forbids that because the outer loop stands still meanwhile, which is what happens in
    every call of a backend that runs tasks in the calling thread.
    """
    if "asyncio" not in sys.modules:  # and so no loop: importing it takes longer than many a task
        yield
        return
    import asyncio

    outer = asyncio._get_running_loop()
    if outer is None:
        yield
        return
    task = asyncio.current_task(outer)
    if task is not None:
        asyncio.tasks._leave_task(outer, task)
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(outer)
        if task is not None:
            asyncio.tasks._enter_task(outer, task)
