"""Exceptions as bytes, whatever their classes do: with tracebacks, causes and members of groups.

Pickle alone loses tracebacks and causes, fails where ``__init__`` wants other arguments than
``args`` holds, and takes nothing of an exception that carries a lock.
"""

from __future__ import annotations

import builtins
import importlib
import pickle
import sys
import types
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

from air.errors import TaskError
from air.executor.pickling import dumps
from air.executor.serialization import is_plain
from air.executor.validation import show, show_repr

_MAX_CHAIN = 64
_MAX_FRAMES = 400
_MAX_TEXT = 2000
_TOO_LARGE_A_FIELD = "obj"  # of AttributeError: the whole object that lacked the attribute

_GLOBALS = ("__file__", "__name__")
"""What traceback and warnings want to know of a frame's module."""

Frame = tuple[str, str, int, dict[str, Any]]


class _Node(NamedTuple):
    """One exception of a tree. The list of all has parents before children."""

    pickled: bytes
    frames: list[Frame]
    parent: int
    relation: str  # what it is to its parent: "", "cause", "context" or "member"
    suppress_context: bool
    text: str  # for where its class cannot be loaded


def dump_exception(error: BaseException) -> bytes:
    """Pickle an exception with its traceback, its chain of causes, and the members of groups."""
    nodes: list[_Node] = []
    seen: dict[int, BaseException] = {}
    waiting: list[tuple[BaseException, int, str, int]] = [(error, -1, "", 0)]
    while waiting:
        current, parent, relation, length = waiting.pop(0)
        seen[id(current)] = current
        position = len(nodes)
        nodes.append(
            _Node(
                _dump_one(current),
                _frames(current.__traceback__),
                parent,
                relation,
                current.__suppress_context__,
                _text(current)[:_MAX_TEXT],
            )
        )
        if isinstance(current, BaseExceptionGroup):
            waiting += [(member, position, "member", length) for member in current.exceptions]
        cause, kind = current.__cause__, "cause"
        if cause is None:
            cause, kind = current.__context__, "context"
        if cause is not None and id(cause) not in seen and length < _MAX_CHAIN:
            waiting.append((cause, position, kind, length + 1))
    return pickle.dumps([tuple(node) for node in nodes], protocol=5)


def load_exception(data: bytes | memoryview) -> BaseException:
    """The exception that :func:`dump_exception` saw, of its own class where that can be loaded."""
    nodes = [_Node(*fields) for fields in pickle.loads(data)]
    children: dict[int, list[tuple[str, BaseException]]] = {}
    for position in range(len(nodes) - 1, -1, -1):
        node = nodes[position]
        related = children.pop(position, [])[::-1]
        members = [other for kind, other in related if kind == "member"]
        try:
            error = _load_one(node.pickled, members)
        except Exception as reason:  # the task had a module that is not here
            why = f"{type(reason).__name__}: {show(reason)}"
            error = TaskError(f"{node.text} (its class cannot be loaded here: {why})")
        set_plainly(error, "__traceback__", _traceback(node.frames))
        for kind, other in related:
            if kind != "member":
                set_plainly(error, f"__{kind}__", other)
        set_plainly(error, "__suppress_context__", node.suppress_context)
        children.setdefault(node.parent, []).append((node.relation, error))
    ((_, first),) = children[-1]
    return first


def set_plainly(error: BaseException, name: str, value: Any) -> None:
    """Set an attribute, whatever the class of *error* has to say: it may be a frozen dataclass."""
    BaseException.__setattr__(error, name, value)


def rebuild(cause: BaseException, cls: type[BaseException]) -> BaseException:
    """An instance of *cls*, the class of *cause* or one derived from it, with its state."""
    error = _build(cls, cause.args)
    for name, value in _fields(cause):
        try:
            # OSError shows "-> None" once filename2 has been set, even to None.
            if getattr(error, name, None) is not value:
                set_plainly(error, name, value)
        except (AttributeError, TypeError, ValueError):
            continue  # a read-only field
    error.__dict__.update(vars(cause))
    return error


def _dump_one(error: BaseException) -> bytes:
    """Pickle one exception, or as much of it as can be pickled."""
    fields = {name: value for name, value in _fields(error) if name != _TOO_LARGE_A_FIELD}
    group = isinstance(error, BaseExceptionGroup)
    if not group and not _is_misnamed(type(error)):  # their members travel apart
        plain = {name: value for name, value in fields.items() if is_plain(value)}
        try:
            pickled = dumps(("whole", error, plain))
            if type(pickle.loads(pickled)[1]) is type(error):
                return pickled
        except Exception:
            # Many exceptions cannot be rebuilt because __init__ takes other arguments than
            # ``args`` holds, or carry sockets and locks: fall back to class and state.
            group = False
    args = error.args[:1] if group else error.args
    args = tuple(item if _can_travel(item) else show_repr(item) for item in args)
    state = {name: item for name, item in vars(error).items() if _can_travel(item)}
    fields = {name: item for name, item in fields.items() if not group and _can_travel(item)}
    module = _module_under_another_name(type(error))
    try:
        if module:
            found = (module, type(error).__name__)
            pickled = dumps(("named", found, args, fields, state))
        else:
            pickled = dumps(("parts", type(error), args, fields, state))
        pickle.loads(pickled)
        return pickled
    except Exception:
        notes = [show(note) for note in getattr(error, "__notes__", ())]
        return pickle.dumps(("text", _text(error), notes))


def _is_misnamed(cls: type) -> bool:
    """Whether a class claims to be a built-in one that does not exist, as pytest's do."""
    return cls.__module__ == "builtins" and getattr(builtins, cls.__name__, None) is not cls


def _module_under_another_name(cls: type) -> str:
    """The module in which such a class is found all the same; empty if it is in none."""
    if not _is_misnamed(cls):
        return ""
    for name, module in list(sys.modules.items()):
        if name != "__main__" and getattr(module, "__dict__", {}).get(cls.__name__) is cls:
            return name
    return ""


def _text(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}: {show(error)}"


def _load_one(pickled: bytes, members: list[BaseException]) -> BaseException:
    kind, *parts = pickle.loads(pickled)
    if kind == "whole":
        error, fields = parts
        _set_fields(error, fields)
    elif kind in ("parts", "named"):
        cls, args, fields, state = parts
        if kind == "named":
            module, name = cls
            cls = getattr(importlib.import_module(module), name)
        error = _build(cls, (*args, members) if members else args)
        _set_fields(error, fields)
        error.__dict__.update(state)
    else:
        message, notes = parts
        error = TaskError(message)
        for note in notes:
            error.add_note(note)
    assert isinstance(error, BaseException)
    return error


def _set_fields(error: BaseException, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        try:
            if value is not None and getattr(error, name, None) is not value:
                set_plainly(error, name, value)
        except (AttributeError, TypeError, ValueError):
            continue  # a read-only field


def _fields(error: BaseException) -> Iterator[tuple[str, Any]]:
    """What lives in slots or in C fields (errno, start, name ...), not in ``__dict__``."""
    for cls in type(error).__mro__:
        for name, member in vars(cls).items():
            if isinstance(member, (types.MemberDescriptorType, types.GetSetDescriptorType)):
                if name.startswith("__") or name in ("args", "with_traceback"):
                    continue
                try:
                    yield name, getattr(error, name)
                except AttributeError:  # a slot that was never set
                    continue


def _build(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """An instance of *cls* without running the user's ``__new__`` and ``__init__``.

    They may want other arguments than ``args`` holds, or do things that must not be done twice.
    Those of the built-in base class do run: fields of C live there.
    """
    refusal: TypeError | None = None
    bases: list[Any] = [base for base in cls.__mro__ if base.__module__ == "builtins"]
    for base in bases:
        try:
            error: BaseException = base.__new__(cls, *args)
        except TypeError as caught:  # of several, only the one with the C fields may
            refusal = refusal or caught
            continue
        try:
            base.__init__(error, *args)
        except TypeError:
            error.args = args
        return error
    assert refusal is not None
    raise refusal


def _can_travel(value: Any) -> bool:
    try:
        pickle.loads(dumps(value))
    except Exception:
        return False
    return True


# Tracebacks -----------------------------------------------------------------------------


def _frames(traceback: types.TracebackType | None) -> list[Frame]:
    """The frames, outermost first; of very many the middle is left out."""
    half = _MAX_FRAMES // 2
    outer: list[types.TracebackType] = []
    inner: deque[types.TracebackType] = deque(maxlen=half)  # there may be a million
    while traceback is not None:
        if len(outer) < half:
            outer.append(traceback)
        else:
            inner.append(traceback)
        traceback = traceback.tb_next
    return [_frame(link) for link in (*outer, *inner)]


def _frame(link: types.TracebackType) -> Frame:
    code, known = link.tb_frame.f_code, link.tb_frame.f_globals
    names = {name: known[name] for name in _GLOBALS if name in known and is_plain(known[name])}
    return code.co_filename, code.co_name, link.tb_lineno, names


def _traceback(frames: list[Frame]) -> types.TracebackType | None:
    if not frames:
        return None
    from tblib import Traceback

    link: Any = None
    for filename, name, line, names in reversed(frames):
        code = SimpleNamespace(co_filename=filename, co_name=name)
        frame = SimpleNamespace(f_globals=names, f_code=code, f_lineno=line)
        link = SimpleNamespace(tb_frame=frame, tb_lineno=line, tb_next=link)
    made: types.TracebackType = Traceback(link).as_traceback()
    return made
