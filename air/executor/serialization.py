"""Values as bytes: pickle protocol 5 with the large buffers kept beside the stream.

Backends use :func:`dumps` and :func:`loads`; both are cheap for small plain values.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from air.errors import AirError, SerializationError
from air.executor.culprits import find_culprit as find_culprit
from air.executor.culprits import root_name
from air.executor.pickling import PROTOCOL, Pickler
from air.executor.pickling import dumps as dumps_whole
from air.executor.validation import show

OUT_OF_BAND_BYTES = 4096
"""Buffers below this size stay inside the stream: handling them apart costs more."""

_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})
_PLAIN_DEPTH = 3
_PLAIN_ITEMS = 64
_ADVICE = "Make it inside the task, or leave it out of what is sent"


class Serialized(NamedTuple):
    """A pickle stream and the buffers that it refers to, in order."""

    stream: bytes
    buffers: list[memoryview]

    @property
    def size(self) -> int:
        """Bytes of stream and buffers together."""
        return len(self.stream) + sum(buffer.nbytes for buffer in self.buffers)


_ADVICE_ON_MODULES = (
    " Modules that it needs must be importable there. On the program's own machine those are that"
    " the program itself can import; other machines get them by"
    " runtime_env={'working_dir': DIRECTORY} or {'py_modules': [...]}, or by installing them"
)


def dumps(
    value: Any, what: str | Callable[[], str] = "value", parts: tuple[str, ...] = ()
) -> Serialized:
    """Pickle a value.

    The buffers are views of the value's own memory: copy them before the value changes.

    Args:
        value: anything that :class:`air.executor.pickling.Pickler` takes.
        what: names the value in the error, e.g. ``"an argument of task f"``.
        parts: names for the items of a tuple that only holds several values together, for the
            path in the error: ``("args", "kwargs")`` makes it start with ``args[0]``.

    Raises:
        SerializationError: names the attribute path to what cannot be pickled.
    """
    if is_plain(value):
        return Serialized(pickle.dumps(value, protocol=PROTOCOL), [])
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
        Pickler(file, protocol=PROTOCOL, buffer_callback=keep_apart).dump(value)
        return Serialized(file.getvalue(), buffers)
    except AirError:
        raise
    except Exception as error:
        name = what if isinstance(what, str) else what()
        raise _explain(value, name, error, parts) from error


def loads(stream: bytes | memoryview, buffers: Iterable[Any] = ()) -> Any:
    """Rebuild a value; arrays in it share memory with *buffers*."""
    return pickle.loads(stream, buffers=buffers)


def dumps_code(target: Callable[..., Any], name: str) -> bytes:
    """Pickle a function or class; see :func:`dumps` for errors."""
    try:
        return dumps_whole(target)
    except AirError:
        raise
    except Exception as error:
        raise _explain(target, name, error) from error


def loads_code(pickled: bytes | memoryview, what: str) -> Any:
    """Rebuild a function or class that :func:`dumps_code` has pickled.

    Args:
        what: names it in the error, e.g. ``"task f"``.

    Raises:
        SerializationError: it cannot be loaded here; says why.
    """
    try:
        return pickle.loads(pickled)
    except (Exception, SystemExit) as error:  # a module may end the program when it is imported
        advice = _ADVICE_ON_MODULES if isinstance(error, ImportError) else ""
        raise SerializationError(
            f"{what} cannot be loaded where it is to run: {type(error).__name__}: {show(error)}."
            f"{advice}"
        ) from error


def is_plain(value: Any, depth: int = _PLAIN_DEPTH) -> bool:
    """Whether the C pickler alone is enough: numbers, text and small nests of them.

    Anything that might hold a function or class must go through our own, because what
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


def _explain(
    value: Any, name: str, error: Exception, parts: tuple[str, ...] = ()
) -> SerializationError:
    root, path, culprit = root_name(value), "", value
    for part, item in zip(parts, value if parts else (), strict=False):
        path, culprit = find_culprit(item)
        if path:
            root = part
            break
    else:
        path, culprit = find_culprit(value)
    reason = f"{type(error).__name__}: {show(error)}"
    if not path:
        return SerializationError(
            f"cannot serialize {name}: a {_kind(value)} cannot be sent to another process"
            f" ({reason}). {_ADVICE}"
        )
    return SerializationError(
        f"cannot serialize {name}: {root}{path} is a {_kind(culprit)}, which cannot be sent"
        f" to another process ({reason}). {_ADVICE}"
    )


def _kind(value: Any) -> str:
    kind = type(value)
    # Of what Python has built in, the name alone says what it is.
    prefix = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return prefix + kind.__qualname__
