"""Exceptions of trials, kept in a form that outlives the process."""

from __future__ import annotations

import pickle
import traceback

import cloudpickle

from air.errors import AirError, TaskError
from air.tune.events import Failure


class TuneError(AirError):
    """An experiment could not go on, or a question to its results has no answer."""


class TrialError(TuneError):
    """Stands for the exception of a trial, where that cannot be made again from the journal.

    Its text holds the traceback. ``kind`` is the name of the exception's class.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type[TrialError], tuple[str, str]]:
        return TrialError, (self.kind, str(self))


def capture(error: BaseException) -> Failure:
    """What to keep of an exception."""
    cause = error.cause if isinstance(error, TaskError) else error
    return Failure(
        kind=type(cause).__qualname__,
        message=str(cause),
        traceback="".join(traceback.format_exception(error)),
        pickled=_pickled(error),
    )


def revive(failure: Failure) -> Exception:
    """The exception that was captured; of its own class wherever that can be had."""
    if failure.pickled is not None:
        try:
            error = pickle.loads(failure.pickled)
        except Exception:  # its class may be gone, or fail to load in any way it likes
            error = None
        if isinstance(error, Exception):
            return error
    return TrialError(failure.kind, f"{failure.kind}: {failure.message}\n\n{failure.traceback}")


def _pickled(error: BaseException) -> bytes | None:
    try:
        content: bytes = cloudpickle.dumps(error)
        pickle.loads(content)  # many exceptions pickle and cannot be loaded again
    except Exception:  # whatever the class does when it is pickled
        return None
    return content
