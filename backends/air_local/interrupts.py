"""Ctrl-C while the backend runs: as always, but that it is never lost."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from types import FrameType

from air.executor.interrupts import is_lost_in

_RESEND_S = 0.002


def install() -> None:
    """Handle SIGINT from now on, if the program leaves it to Python."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _handle)


def remove() -> None:
    """Leave it to Python again. The handler does no harm where this is not possible."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is _handle
    ):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _handle(_number: int, frame: FrameType | None) -> None:
    if is_lost_in(frame):
        # No threading.Thread, whose locks the main thread may hold just now.
        _thread.start_new_thread(_send_again, ())
    else:
        raise KeyboardInterrupt


def _send_again() -> None:
    time.sleep(_RESEND_S)
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)
