"""Signals of a process that somebody else has started, who may block or ignore some."""

from __future__ import annotations

import signal

_KEPT = (signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)
"""``nohup`` means all that is below; Python itself ignores the others, but not for its children."""


def reset_signals() -> None:
    """Block none, and ignore none but those that are ignored with good reason.

    Programs that wait for signals (``sigwait``, ``signalfd``) block them in all that they start,
    and an ignored one is so also behind ``exec``.
    """
    for number in signal.valid_signals():
        if number not in _KEPT and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
