"""Values as bytes: pickle protocol 5 with the large buffers kept beside the stream.

Backends use :func:`dumps` and :func:`loads`; both are cheap for small plain values.
"""

from __future__ import annotations

import io
import pickle
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import cloudpickle

from air.errors import AirError, SerializationError

OUT_OF_BAND_BYTES = 4096
"""Buffers below this size stay inside the stream: handling them apart costs more."""

_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})
_PLAIN_DEPTH = 3
_PLAIN_ITEMS = 64
_SEARCH_DEPTH = 12
_SEARCH_WIDTH = 1000
_ADVICE = "Make it inside the task, or leave it out of what is sent"


class Serialized(NamedTuple):
    """A pickle stream and the buffers that it refers to, in order."""

    stream: bytes
    buffers: list[memoryview]

    @property
    def size(self) -> int:
        """Bytes of stream and buffers together."""
        return len(self.stream) + sum(buffer.nbytes for buffer in self.buffers)


def dumps(value: Any, what: str | Callable[[], str] = "value") -> Serialized:
    """Pickle a value.

    The buffers are views of the value's own memory: copy them before the value changes.

    Args:
        value: anything that cloudpickle takes.
        what: names the value in the error, e.g. ``"an argument of task f"``.

    Raises:
        SerializationError: names the attribute path to what cannot be pickled.
    """
    if is_plain(value):
        return Serialized(pickle.dumps(value, protocol=5), [])
    buffers: list[memoryview] = []

    def keep_apart(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous: pickle copies it into the stream
            return True
        if raw.nbytes < OUT_OF_BAND_BYTES:
            return True
        buffers.append(raw)
        return False

    try:
        file = io.BytesIO()
        cloudpickle.Pickler(file, protocol=5, buffer_callback=keep_apart).dump(value)
        return Serialized(file.getvalue(), buffers)
    except AirError:
        raise
    except Exception as error:
        name = what if isinstance(what, str) else what()
        raise _explain(value, name, error) from error


def loads(stream: bytes | memoryview, buffers: Iterable[Any] = ()) -> Any:
    """Rebuild a value; arrays in it share memory with *buffers*."""
    return pickle.loads(stream, buffers=buffers)


def dumps_code(target: Callable[..., Any], name: str) -> bytes:
    """Pickle a function or class; see :func:`dumps` for errors."""
    try:
        pickled: bytes = cloudpickle.dumps(target, protocol=5)
        return pickled
    except AirError:
        raise
    except Exception as error:
        raise _explain(target, name, error) from error


def is_plain(value: Any, depth: int = _PLAIN_DEPTH) -> bool:
    """Whether the C pickler alone is enough: numbers, text and small nests of them.

    Anything that might hold a function or class must go through cloudpickle, because what
    is defined in ``__main__`` would be pickled by a name that workers do not have.
    """
    kind = type(value)
    if kind in _PLAIN:
        return True
    if depth and (kind is tuple or kind is list):
        return len(value) <= _PLAIN_ITEMS and all(is_plain(item, depth - 1) for item in value)
    if depth and kind is dict:
        return len(value) <= _PLAIN_ITEMS and all(
            is_plain(key, 1) and is_plain(item, depth - 1) for key, item in value.items()
        )
    return False


def _explain(value: Any, name: str, error: Exception) -> SerializationError:
    path, culprit = find_culprit(value)
    reason = f"{type(error).__name__}: {error}"
    if not path:
        return SerializationError(
            f"cannot serialize {name}: a {_kind(value)} cannot be sent to another process"
            f" ({reason}). {_ADVICE}"
        )
    return SerializationError(
        f"cannot serialize {name}: {_root(value)}{path} is a {_kind(culprit)}, which cannot be sent"
        f" to another process ({reason}). {_ADVICE}"
    )


def _kind(value: Any) -> str:
    kind = type(value)
    # Of what Python has built in, the name alone says what it is.
    prefix = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return prefix + kind.__qualname__


def _root(value: Any) -> str:
    if isinstance(value, (types.FunctionType, type)):
        return value.__name__
    return "value" if isinstance(value, (tuple, list, dict)) else type(value).__name__.lower()


def find_culprit(value: Any) -> tuple[str, Any]:
    """The path from *value* to the innermost part of it that cannot be pickled.

    Returns:
        The path as Python would write it, such as ``.__closure__['model'].logger.lock``
        (empty if *value* itself is to blame), and the part.
    """
    path = ""
    seen: set[int] = set()
    for _ in range(_SEARCH_DEPTH):
        seen.add(id(value))
        for step, part in _parts(value):
            if id(part) not in seen and not _pickles(part):
                path, value = path + step, part
                break
        else:
            break
    return path, value


def _pickles(value: Any) -> bool:
    try:
        cloudpickle.dumps(value, protocol=5)
    except Exception:
        return False
    return True


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """The parts that pickling *value* would visit, with the path step to each."""
    if isinstance(value, dict):
        for key, item in list(value.items())[:_SEARCH_WIDTH]:
            yield f"[{key!r}]", item
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value[:_SEARCH_WIDTH]):
            yield f"[{index}]", item
    elif isinstance(value, (set, frozenset)):
        for item in list(value)[:_SEARCH_WIDTH]:
            yield f".item({item!r:.40})", item
    elif isinstance(value, types.FunctionType):
        yield from _parts_of_function(value)
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
        yield ".__func__", value.__func__
    elif isinstance(value, type):
        for name, item in vars(value).items():
            if name not in ("__dict__", "__weakref__", "__doc__", "__module__"):
                yield f".{name}", item
    else:
        yield from _parts_of_object(value)


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
    for name, item in getattr(value, "__dict__", {}).items():
        yield f".{name}", item
    for cls in type(value).__mro__:
        slots: str | Sequence[str] = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                yield f".{name}", getattr(value, name)
    for name in ("func", "args", "keywords"):  # functools.partial
        if not hasattr(value, "__dict__") or name not in vars(value):
            part = getattr(value, name, None)
            if part is not None and type(value).__module__ == "functools":
                yield f".{name}", part
