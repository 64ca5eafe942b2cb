"""What this program is, and how it ends, as far as it knows itself; for listings."""

from __future__ import annotations

import shlex
import sys

_MOST_CHARACTERS = 500


def entrypoint() -> str:
    """The command line that this program was started with, shortened."""
    words = [word if len(word) <= _MOST_CHARACTERS else f"{word[:80]}..." for word in sys.orig_argv]
    return shlex.join(words)[:_MOST_CHARACTERS] or sys.executable


def failure() -> str:
    """What this program ends with that nobody has caught; empty if that is not known.

    It is known while the interpreter ends, but of ``sys.exit``, which says nothing to anybody. At a
    prompt programs go on after errors.
    """
    error = getattr(sys, "last_value", None)
    if error is None or hasattr(sys, "ps1") or sys.flags.interactive:
        return ""
    return f"{type(error).__name__}: {error}"[:_MOST_CHARACTERS]
