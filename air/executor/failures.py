"""How a user's exception gets from the task that raised it to the caller of ``get``.

``except UserError`` must work for any class, also one that cannot be pickled or subclassed,
and the traceback must end on the user's line.
"""

from __future__ import annotations

import logging
import pickle
import sys
from typing import Any

from air.errors import AirError, NotInitialized, TaskCancelled, TaskError
from air.executor.portable_exceptions import (
    dump_exception,
    load_exception,
    rebuild,
    set_plainly,
)
from air.executor.validation import show_repr

logger = logging.getLogger("air")

_MACHINERY = ("air_local", "air_cluster", "air.executor", "air.core")


def as_task_error(cause: BaseException, task_name: str) -> BaseException:
    """The exception that ``get`` raises for *cause*, with its traceback and causes.

    An instance of a class derived from the class of *cause* and :class:`TaskError`. An
    error of AIR itself (a nested task's, a lost object) stays what it is. Exits,
    interrupts and cancellations become plain ``TaskError``, so that a task cannot end its caller.
    """
    if isinstance(cause, AirError):
        return cause
    if _ends_its_caller(cause):
        error: BaseException = TaskError(f"task {task_name} raised {show_repr(cause)}")
    else:
        try:
            error = _mix(cause)
        except Exception:
            # The class refuses to be subclassed or to be built: the original will do.
            note = f"raised in task {task_name}"
            notes = getattr(cause, "__notes__", [])
            if note not in notes:
                set_plainly(cause, "__notes__", [*notes, note])
            return cause
    error.__dict__.setdefault("task_name", task_name)
    error.__dict__.setdefault("cause", cause)
    _link(error, cause)
    return error


def _ends_its_caller(error: BaseException) -> bool:
    """Whether an error means more to whoever sees it than that something has failed."""
    if isinstance(error, Exception):
        return False
    asyncio = sys.modules.get("asyncio.exceptions")
    cancelled = () if asyncio is None else (asyncio.CancelledError,)
    ends = (SystemExit, KeyboardInterrupt, GeneratorExit, BaseExceptionGroup, *cancelled)
    return type(error) is BaseException or isinstance(error, ends)


def clone(error: BaseException) -> BaseException:
    """A copy of *error* to raise, so that raising does not make the traceback of *error* longer.

    An error whose class refuses to be built is returned itself.
    """
    try:
        copy = rebuild(error, type(error))
    except Exception:
        return error
    _link(copy, error)
    return copy


def trim(error: BaseException) -> None:
    """Drop the leading frames of AIR's own machinery from the traceback of *error*."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        if not module.startswith(_MACHINERY):
            break
        traceback = traceback.tb_next
    set_plainly(error, "__traceback__", traceback)


def forget_frames(error: BaseException) -> None:
    """Let go of the variables in the traceback of *error*."""
    set_plainly(error, "__traceback__", None)


def dump_failure(error: BaseException, task_name: str) -> bytes:
    """Pickle an exception with its traceback and its chain of causes. Never fails."""
    return pickle.dumps((task_name, dump_exception(error)), protocol=5)


def load_raised(data: bytes | memoryview) -> BaseException:
    """What :func:`dump_failure` saw, of its own class."""
    _, dumped = pickle.loads(data)
    return load_exception(dumped)


def load_failure(data: bytes | memoryview) -> BaseException:
    """What :func:`dump_failure` saw, as :func:`as_task_error` gives it."""
    task_name, dumped = pickle.loads(data)
    return as_task_error(load_exception(dumped), task_name)


def log_unseen(error: BaseException, task_name: str) -> None:
    """Tell of a failure that no reference holds, because of ``num_returns=0``.

    Args:
        error: what ``get`` would raise. That the task was cancelled, or the backend shut down,
            is no news.
    """
    if not isinstance(error, (NotInitialized, TaskCancelled)):
        logger.warning(
            "%s failed, and gives no reference that could tell", task_name, exc_info=error
        )


def _link(error: BaseException, original: BaseException) -> None:
    for name in ("__traceback__", "__cause__", "__context__", "__suppress_context__"):
        set_plainly(error, name, getattr(original, name))


def _mix(cause: BaseException) -> BaseException:
    """An instance of the mixed class with everything that *cause* carries."""
    return rebuild(cause, _mixed_class(type(cause)))


_mixed: dict[type, type[BaseException]] = {}


def _mixed_class(cls: type[BaseException]) -> type[BaseException]:
    """A class that is both *cls* and :class:`TaskError`, shown under the name of *cls*."""
    made = _mixed.get(cls)
    if made is not None:
        return made
    namespace = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__reduce__": _reduce_mixed,
    }
    # The class of the class may be the user's own, and may refuse.
    metaclass: Any = type(cls)
    fresh: type[BaseException] = metaclass(cls.__name__, (cls, TaskError), namespace)
    _mixed[cls] = fresh
    return fresh


def _reduce_mixed(error: Any) -> tuple[Any, ...]:
    return load_failure, (dump_failure(error.cause, error.task_name),)
