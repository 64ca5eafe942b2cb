"""cloudpickle, and what programs expect of it that it does not do by itself.

* Classes with ``__slots__`` keep them: otherwise an instance comes back from another process
  with attributes that its class at home has no room for.
* A class that this process has defined stays as it is when an instance of it comes back.
  Otherwise its methods would be replaced by copies that no longer see the program's globals.
* Functions under :func:`functools.lru_cache` in ``__main__`` or inside a function are sent like
  other functions, with an empty cache.
* So are those under :func:`functools.singledispatch`, which have weak references in them.
* Classes may have a :func:`functools.cached_property`, which has a lock in it before Python 3.12.
* A program may say itself how instances of a class travel (:data:`custom`).
* Of arrays and tables that are parts of larger ones nothing is sent but the parts
  (:mod:`air.executor.slices`).
"""

from __future__ import annotations

import enum
import functools
import io
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import cloudpickle

from air.executor import slices
from air.executor.handles import ActorHandle, ObjectRef
from air.executor.validation import show

PROTOCOL = 5

_Cached = type(functools.lru_cache(maxsize=0)(len))

BUILT_IN = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        bytearray,
        tuple,
        list,
        dict,
        set,
        frozenset,
    }
)
"""What pickle does not ask us about."""

custom: dict[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {}
"""Classes, each with what makes something that can be pickled of an instance, and the reverse."""

_received: weakref.WeakSet[type] = weakref.WeakSet()
_defined_here: weakref.WeakSet[type] = weakref.WeakSet()
"""Classes that have been sent by value, save those that came from elsewhere."""


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Takes whatever ``cloudpickle.Pickler`` takes, and more; anybody can unpickle it who has
    this module."""

    _shared: slices.Shared | None = None

    def reducer_override(self, obj: Any) -> Any:
        """How to pickle *obj*, called for all but the commonest kinds of values."""
        if type(obj) is ObjectRef:  # thousands may be in one value
            return NotImplemented
        if type(obj) in custom:
            serializer, deserializer = custom[type(obj)]
            return deserializer, (serializer(obj),)
        if isinstance(obj, slices.classes()):
            if self._shared is None:
                self._shared = {}
            part = slices.reduce(obj, self._shared)
            if part is not NotImplemented:
                return part
        if type(obj) is _Cached:
            return _reduce_cached(obj)
        if type(obj) is types.FunctionType and "_clear_cache" in vars(obj):
            return _reduce_dispatcher(obj) or super().reducer_override(obj)
        if type(obj) is functools.cached_property:
            return _make_cached_property, (obj.func, obj.attrname, obj.__doc__)
        reduced = super().reducer_override(obj)
        # By value it is: maker, its arguments, state, no items, no pairs, who sets the state.
        if isinstance(obj, type) and isinstance(reduced, tuple) and len(reduced) == 6:
            return _reduce_class(obj, reduced)
        return reduced


def dumps(value: Any) -> bytes:
    """The pickle of a value, all buffers inside."""
    file = io.BytesIO()
    Pickler(file, protocol=PROTOCOL).dump(value)
    return file.getvalue()


class _Probe(Pickler):
    """Finds out whether something can be pickled, and sends no references along."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (ObjectRef, ActorHandle)):
            return str, ()
        return super().reducer_override(obj)


def why_not(value: Any) -> str:
    """What keeps a value from being pickled; empty if nothing does. Copies no large buffers."""
    try:
        _Probe(io.BytesIO(), protocol=PROTOCOL, buffer_callback=lambda _: None).dump(value)
    except Exception as error:
        return f"{type(error).__name__}: {show(error)}"
    return ""


def can_pickle(value: Any) -> bool:
    """Whether a value can be pickled; references inside are no obstacle."""
    return not why_not(value)


def _reduce_class(cls: type, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    if cls not in _received:
        _defined_here.add(cls)
    make, arguments, state, _, _, fill = reduced
    slots = vars(cls).get("__slots__")
    # Named tuples have empty ones, and refuse to be told.
    if slots and not issubclass(cls, enum.Enum):
        namespace = next(item for item in arguments if isinstance(item, dict))
        extended = {**namespace, "__slots__": slots}
        arguments = tuple(extended if item is namespace else item for item in arguments)
    return make, arguments, state, None, None, functools.partial(_fill_class, fill)


def _fill_class(fill: Callable[[type, Any], type], cls: type, state: Any) -> type:
    """Give a class that was unpickled its attributes, unless it is at home here."""
    if cls in _defined_here:
        return cls
    _received.add(cls)
    return fill(cls, state)


def _reduce_dispatcher(function: Any) -> Any:
    """A function of ``singledispatch``; ``None`` if it is another, or goes by its name."""
    if not hasattr(function, "registry") or _goes_by_name(function):
        return None
    # Its functions may call it: it is made first, and filled afterwards.
    return _make_dispatcher, (), dict(function.registry), None, None, _fill_dispatcher


def _make_dispatcher() -> Any:
    return functools.singledispatch(_nothing)


def _nothing(_value: object) -> None:
    """In the place of the function for all classes that have none, until that is there."""


def _fill_dispatcher(function: Any, registry: dict[type, Callable[..., Any]]) -> Any:
    for cls, implementation in registry.items():
        function.register(cls, implementation)
    functools.update_wrapper(function, registry[object], updated=())
    return function


def _reduce_cached(function: Any) -> Any:
    if _goes_by_name(function):
        return NotImplemented
    parameters = function.cache_parameters()
    return _make_cached, (function.__wrapped__, parameters["maxsize"], parameters["typed"])


def _goes_by_name(function: Any) -> bool:
    if function.__module__ == "__main__":
        return False
    found: Any = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function


def _make_cached_property(
    function: Callable[[Any], Any], name: str | None, doc: str | None
) -> functools.cached_property[Any]:
    made = functools.cached_property(function)
    made.attrname, made.__doc__ = name, doc  # without a class body, nobody else tells it its name
    return made


def _make_cached(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    return functools.lru_cache(maxsize, typed)(function)
