"""How a user's exception gets from the task that raised it to the caller of ``get``.

``except UserError`` must work for any class, also one that cannot be pickled or subclassed,
and the traceback must end on the user's line.
"""

from __future__ import annotations

import pickle
import types
from typing import Any, NamedTuple

import cloudpickle

from air.errors import AirError, TaskError

_MAX_CHAIN = 8
_MACHINERY = ("air_local", "air_cluster", "air.executor", "air.core")


class _Link(NamedTuple):
    """One exception of a chain of causes, as it travels."""

    pickled: bytes
    traceback: dict[str, Any] | None
    relation: str  # how it hangs on the one before: "", "cause" or "context"
    suppress_context: bool


def as_task_error(cause: BaseException, task_name: str) -> BaseException:
    """The exception that ``get`` raises for *cause*, with its traceback and causes.

    An instance of a class derived from the class of *cause* and :class:`TaskError`. An
    error of AIR itself (a nested task's, a lost object) stays what it is. Exits and
    interrupts become plain ``TaskError``, so that a task cannot end its caller.
    """
    if isinstance(cause, AirError):
        return cause
    if not isinstance(cause, Exception):
        error: BaseException = TaskError(f"task {task_name} raised {cause!r}")
    else:
        try:
            error = _mix(cause)
        except Exception:
            # The class refuses to be subclassed or to be built: the original will do.
            note = f"raised in task {task_name}"
            if note not in getattr(cause, "__notes__", ()):
                cause.add_note(note)
            return cause
    error.__dict__.setdefault("task_name", task_name)
    error.__dict__.setdefault("cause", cause)
    error.__traceback__ = cause.__traceback__
    error.__cause__ = cause.__cause__
    error.__context__ = cause.__context__
    error.__suppress_context__ = cause.__suppress_context__
    return error


def clone(error: BaseException) -> BaseException:
    """A copy of *error* to raise, so that raising does not make the traceback of *error* longer.

    An error whose class refuses to be built is returned itself.
    """
    try:
        copy = _rebuild(error, type(error))
    except Exception:
        return error
    copy.__traceback__ = error.__traceback__
    copy.__cause__ = error.__cause__
    copy.__context__ = error.__context__
    copy.__suppress_context__ = error.__suppress_context__
    return copy


def trim(error: BaseException) -> None:
    """Drop the leading frames of AIR's own machinery from the traceback of *error*."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        if not module.startswith(_MACHINERY):
            break
        traceback = traceback.tb_next
    error.__traceback__ = traceback


def dump_failure(error: BaseException, task_name: str) -> bytes:
    """Pickle an exception with its traceback and its chain of causes."""
    from tblib import Traceback

    links: list[_Link] = []
    current: BaseException | None = error
    relation = ""
    while current is not None and len(links) < _MAX_CHAIN:
        traceback = current.__traceback__
        links.append(
            _Link(
                _dump_exception(current),
                Traceback(traceback).to_dict() if traceback is not None else None,
                relation,
                current.__suppress_context__,
            )
        )
        if current.__cause__ is not None:
            current, relation = current.__cause__, "cause"
        else:
            current, relation = current.__context__, "context"
    return pickle.dumps((task_name, links), protocol=5)


def load_failure(data: bytes | memoryview) -> BaseException:
    """What :func:`dump_failure` saw, as :func:`as_task_error` gives it."""
    from tblib import Traceback

    task_name, links = pickle.loads(data)
    first: BaseException | None = None
    previous: BaseException | None = None
    for link in links:
        error = _load_exception(link.pickled)
        if link.traceback is not None:
            error.__traceback__ = Traceback.from_dict(link.traceback).as_traceback()
        if previous is None:
            first = error
        elif link.relation == "cause":
            previous.__cause__ = error
        else:
            previous.__context__ = error
        error.__suppress_context__ = link.suppress_context
        previous = error
    assert first is not None
    return as_task_error(first, task_name)


def _dump_exception(error: BaseException) -> bytes:
    """Pickle one exception, or as much of it as can be pickled."""
    try:
        pickled: bytes = cloudpickle.dumps(("whole", error), protocol=5)
        if type(pickle.loads(pickled)[1]) is type(error):
            return pickled
    except Exception:
        # Many exceptions cannot be rebuilt because __init__ takes other arguments than
        # ``args`` holds, or carry sockets and locks: fall back to class and state.
        state = {name: item for name, item in vars(error).items() if _can_pickle(item)}
    args = tuple(item if _can_pickle(item) else repr(item) for item in error.args)
    try:
        pickled = cloudpickle.dumps(("parts", type(error), args, state), protocol=5)
        pickle.loads(pickled)
        return pickled
    except Exception:
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        return pickle.dumps(("text", f"{name}: {error}", getattr(error, "__notes__", [])))


def _load_exception(pickled: bytes) -> BaseException:
    kind, *parts = pickle.loads(pickled)
    if kind == "whole":
        error = parts[0]
    elif kind == "parts":
        cls, args, state = parts
        error = _build(cls, args)
        error.__dict__.update(state)
    else:
        message, notes = parts
        error = TaskError(message)
        for note in notes:
            error.add_note(note)
    assert isinstance(error, BaseException)
    return error


def _can_pickle(value: Any) -> bool:
    try:
        pickle.loads(cloudpickle.dumps(value, protocol=5))
    except Exception:
        return False
    return True


def _mix(cause: Exception) -> BaseException:
    """An instance of the mixed class with everything that *cause* carries."""
    return _rebuild(cause, _mixed_class(type(cause)))


def _rebuild(cause: BaseException, cls: type[BaseException]) -> BaseException:
    """An instance of *cls*, the class of *cause* or one derived from it, with its state."""
    error = _build(cls, cause.args)
    for cls in type(cause).__mro__:
        for name, member in vars(cls).items():
            # What lives in slots or in C fields (errno, start, name ...) is not in __dict__.
            if isinstance(member, (types.MemberDescriptorType, types.GetSetDescriptorType)):
                if name.startswith("__") or name in ("args", "with_traceback"):
                    continue
                try:
                    value = getattr(cause, name)
                    # OSError shows "-> None" once filename2 has been set, even to None.
                    if getattr(error, name, None) is not value:
                        setattr(error, name, value)
                except (AttributeError, TypeError, ValueError):
                    continue  # unset slot or read-only field
    error.__dict__.update(vars(cause))
    return error


def _build(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """An instance of *cls* without running the user's ``__init__``.

    That may want other arguments than ``args`` holds, or do things that must not be done
    twice. The built-in base class's one does run: fields of C live there.
    """
    error = cls.__new__(cls, *args)
    base: Any = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    try:
        base.__init__(error, *args)
    except TypeError:
        error.args = args
    return error


_mixed: dict[type, type[BaseException]] = {}


def _mixed_class(cls: type[Exception]) -> type[BaseException]:
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
