"""Finds the part of a value that cannot be pickled, and the path to it."""

from __future__ import annotations

import reprlib
import types
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from air.executor.handles import ActorHandle, ObjectRef, ObjectRefGenerator
from air.executor.pickling import can_pickle

_DEPTH = 12
_WIDTH = 1000
_BISECT_FROM = 64
_MISSING = object()

_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = 60


def find_culprit(value: Any) -> tuple[str, Any]:
    """The path from *value* to the innermost part of it that cannot be pickled.

    Returns:
        The path as Python would write it, such as ``.__closure__['model'].logger.lock``
        (empty if *value* itself is to blame, or nothing is), and the part.
    """
    if can_pickle(value):
        return "", value
    search = _Search()
    return search.into("", value, _DEPTH) or search.dead_end or ("", value)


def find_failures(value: Any, depth: int) -> list[tuple[str, Any, Any]]:
    """All innermost parts of *value* that cannot be pickled, at most *depth* levels down.

    Of a long list that is the first. Each comes as in :func:`find_culprit`, and with what it is
    a part of.
    """
    found: list[tuple[str, Any, Any]] = []
    dead_ends: list[tuple[str, Any, Any]] = []  # all of whose parts are looked into already
    seen: dict[int, Any] = {}

    def into(path: str, value: Any, parent: Any, left: int) -> None:
        seen[id(value)] = value
        failing = [(step, part) for step, part in _parts(value) if not can_pickle(part)]
        fresh = [(step, part) for step, part in failing if id(part) not in seen]
        if not failing or (fresh and not left):
            found.append((path, value, parent))
        elif not fresh:
            dead_ends.append((path, value, parent))
        for step, part in fresh if left else ():
            if id(part) not in seen:
                into(path + step, part, value, left - 1)

    if not can_pickle(value):
        into("", value, None, depth)
    return found or dead_ends[:1]


def root_name(value: Any) -> str:
    """What a path into *value* starts with."""
    if isinstance(value, (types.FunctionType, type)):
        return value.__name__
    return "value" if isinstance(value, (tuple, list, dict)) else type(value).__name__.lower()


class _Search:
    """Looks into parts of parts, and passes over those that only lead back."""

    def __init__(self) -> None:
        self.dead_end: tuple[str, Any] | None = None
        self._seen: dict[int, Any] = {}

    def into(self, path: str, value: Any, depth: int) -> tuple[str, Any] | None:
        """The culprit inside *value*.

        ``None`` where all that cannot be pickled is what is being looked into already: a method
        fails because its class does, which fails because of something else.
        """
        self._seen[id(value)] = value
        fails = False
        for step, part in _parts(value):
            if id(part) in self._seen:
                fails = True
            elif not can_pickle(part):
                if depth == 0:
                    return path + step, part
                found = self.into(path + step, part, depth - 1)
                if found is not None:
                    return found
                fails = True
        if fails:
            self.dead_end = self.dead_end or (path, value)
            return None
        return path, value


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """The parts that pickling *value* would visit, with the path step to each."""
    if isinstance(value, (ActorHandle, ObjectRef, ObjectRefGenerator)):
        return  # what they are made of is not the user's
    if isinstance(value, (dict, types.MappingProxyType)):
        for key, item in list(value.items())[:_WIDTH]:
            yield f"[{_shown.repr(key)}]", item
        for key in list(value)[:_WIDTH]:
            yield f".key({_shown.repr(key)})", key
    elif isinstance(value, (list, tuple, deque)):
        yield from _parts_of_sequence(value)
    elif isinstance(value, (set, frozenset)):
        for item in list(value)[:_WIDTH]:
            yield f".item({_shown.repr(item)})", item
    elif isinstance(value, types.FunctionType):
        yield from _parts_of_function(value)
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
        yield ".__func__", value.__func__
    elif isinstance(value, type):
        for name, item in list(vars(value).items()):
            if name not in ("__dict__", "__weakref__", "__doc__", "__module__"):
                yield f".{name}", item
        for index, base in enumerate(value.__bases__):
            yield f".__bases__[{index}]", base
    else:
        yield from _parts_of_object(value)


def _parts_of_sequence(value: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    if len(value) <= _BISECT_FROM:
        for index, item in enumerate(value):
            yield f"[{index}]", item
        return
    items = list(value)
    low, high = 0, len(items)
    while high - low > 1:
        middle = (low + high) // 2
        if can_pickle(items[low:middle]):
            low = middle
        else:
            high = middle
    yield f"[{low}]", items[low]


def _parts_of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    names = function.__code__.co_freevars
    for name, cell in zip(names, function.__closure__ or (), strict=False):
        try:
            yield f".__closure__[{name!r}]", cell.cell_contents
        except ValueError:  # the cell is still empty
            continue
    for name in _global_names(function.__code__):
        if name in function.__globals__:
            yield f".__globals__[{name!r}]", function.__globals__[name]
    for index, item in enumerate(function.__defaults__ or ()):
        yield f".__defaults__[{index}]", item
    for name, item in (function.__kwdefaults__ or {}).items():
        yield f".__kwdefaults__[{name!r}]", item
    for name, item in vars(function).items():
        yield f".{name}", item


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def _parts_of_object(value: Any) -> Iterator[tuple[str, Any]]:
    for name, item in list(_attribute(value, "__dict__", {}).items()):
        yield f".{name}", item
    for cls in type(value).__mro__:
        slots: str | Sequence[str] = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{cls.__name__.lstrip('_')}{name}"
            if name not in ("__dict__", "__weakref__"):
                item = _attribute(value, name, _MISSING)
                if item is not _MISSING:
                    yield f".{name}", item
    if isinstance(value, BaseException):
        for index, item in enumerate(value.args):
            yield f".args[{index}]", item
    elif type(value).__module__ == "functools":  # partial
        for name in ("func", "args", "keywords"):
            item = _attribute(value, name, None)
            if item is not None:
                yield f".{name}", item
    else:
        yield ".__class__", type(value)
        yield from _reduced(value)


def _reduced(value: Any) -> Iterator[tuple[str, Any]]:
    """What the value says of itself how to pickle it: arrays of objects, types of C."""
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:
        return
    if isinstance(reduced, tuple):
        for index, part in enumerate(reduced[1:3], start=1):
            if part is not None:
                yield f".__reduce_ex__(4)[{index}]", part


def _attribute(value: Any, name: str, default: Any) -> Any:
    try:
        return getattr(value, name, default)
    except Exception:  # the user's own __getattr__ may raise anything
        return default
