"""Exceptions that are meant for the program, and not only for the task in which they arise."""

from __future__ import annotations

import threading
import traceback


def is_for_the_program(error: BaseException) -> bool:
    """Whether somebody at the keyboard wants the program to end: Ctrl-C, or ``q`` in a debugger.

    The task runs in the program's own thread, so what a signal handler or a trace function
    raises there comes out of the task. Python runs signal handlers in the main thread only; a
    ``KeyboardInterrupt`` in another one is the user's code's own.
    """
    if isinstance(error, KeyboardInterrupt):
        return threading.current_thread() is threading.main_thread()
    # pdb raises BdbQuit, pytest's pdb something else: both out of a trace function.
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__") == "bdb" for frame, _ in frames)
