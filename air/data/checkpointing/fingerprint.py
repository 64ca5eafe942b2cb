"""Whether a function is the same as in another program: a digest of its code and of what it uses.

Pickles do not tell: they name functions of modules, whose code may have changed, and those of sets
differ from one process to the next. So functions are taken apart: byte code, constants, defaults,
closures, and what they use of the program's own modules. What belongs to Python or to an installed
package counts by its name.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import struct
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

import air
from air.executor.handles import ActorHandle, ObjectRef

_PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray)
_CONSTANT = (tuple, frozenset, types.CodeType)
_INSTALLED = tuple(
    os.path.realpath(place)
    for place in (
        *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")),
        os.path.dirname(air.__file__),
    )
)
_MADE_BY_PROGRAMS = 1 << 9
"""Set in ``__flags__`` of classes that are no part of the interpreter."""

_CODE = (types.FunctionType, types.MethodType, functools.partial, type)
_OF_CLASSES = frozenset(
    {"__dict__", "__weakref__", "__module__", "__doc__", "__annotations__", "__firstlineno__"}
    | {"__static_attributes__"}
)
_LRU_CACHE = type(functools.lru_cache(maxsize=0)(len))


def digest(value: Any) -> str:
    """A text that is the same for values that do and are the same, in any process.

    Of what has no state that could be told (locks, open files, references) only the class counts.
    """
    walk = _Walk()
    walk.add(value)
    return walk.hash.hexdigest()


class _Walk:
    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=16)
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no other object gets the id of one that was seen

    def add(self, value: Any) -> None:
        if isinstance(value, _PLAIN) and type(value) in _PLAIN:
            self._text(type(value).__name__, repr(value))
            return
        # Whether two equal constants are one object depends on how a module was loaded.
        if not isinstance(value, _CONSTANT):
            if id(value) in self._seen:
                self._text("again", str(self._seen[id(value)]))
                return
            self._seen[id(value)] = len(self._seen)
            self._kept.append(value)
        self._add_object(value)

    def _add_object(self, value: Any) -> None:
        if isinstance(value, (list, tuple)):
            self._text(type(value).__name__, str(len(value)))
            if all(type(item) in _PLAIN for item in value):
                self._text("plain", repr(list(value)))
            else:
                self._all(value)
        elif isinstance(value, dict):
            self._text(type(value).__name__, str(len(value)))
            for key, item in value.items():
                self._all((key, item))
        elif isinstance(value, (set, frozenset)):
            self._text("set", str(len(value)))
            self._all(sorted(digest(item) for item in value))
        elif isinstance(value, types.CodeType):
            self._add_code(value)
        elif isinstance(value, types.ModuleType):
            self._text("module", value.__name__)
        elif isinstance(value, _LRU_CACHE):
            self.add(value.__wrapped__)
        elif isinstance(value, _CODE):
            self._add_callable(value)
        elif isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject:
            self._text(str(value.dtype), str(value.shape))
            self.hash.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, (pa.Table, pa.RecordBatch)):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, value.schema) as writer:
                writer.write(value)
            self._text("table", str(value.num_rows))
            self.hash.update(memoryview(sink.getvalue()))
        elif isinstance(value, (ObjectRef, ActorHandle)):
            self._text("reference", type(value).__name__)
        elif dataclasses.is_dataclass(value):  # which may have remembered what it worked out
            self.add(type(value))
            self._all(getattr(value, field.name, None) for field in dataclasses.fields(value))
        else:
            self._add_state(value)

    def _add_callable(self, value: Any) -> None:
        if isinstance(value, functools.partial):
            self._all(("partial", value.func, value.args, value.keywords))
        elif isinstance(value, types.MethodType):
            self._all(("method", value.__func__, value.__self__))
        else:
            self._text("code", f"{value.__module__}.{value.__qualname__}")
            if isinstance(value, types.FunctionType):
                self._add_function(value)
            elif is_own(value.__module__) or (
                value.__module__ == "builtins" and value.__flags__ & _MADE_BY_PROGRAMS
            ):
                self._add_class(value)

    def _add_function(self, function: types.FunctionType) -> None:
        if _is_own_file(function.__code__.co_filename):
            self._add_code(function.__code__)
            self._add_names(function.__code__, function.__globals__)
        self._all((function.__defaults__, function.__kwdefaults__))
        for cell in function.__closure__ or ():  # of a decorator it holds the decorated function
            try:
                self.add(cell.cell_contents)
            except ValueError:  # not filled yet
                self._text("cell", "")

    def _add_code(self, code: types.CodeType) -> None:
        self.hash.update(code.co_code)
        self._all((code.co_names, code.co_varnames, code.co_freevars, code.co_consts))

    def _add_names(self, code: types.CodeType, scope: dict[str, Any]) -> None:
        """What is used of the module's names, and of modules among them that are the user's."""
        for name in code.co_names:
            if name in scope:
                used = scope[name]
                self.add(used)
                if isinstance(used, types.ModuleType) and is_own(used.__name__):
                    self._all(vars(used)[one] for one in code.co_names if one in vars(used))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._add_names(constant, scope)

    def _add_class(self, cls: type) -> None:
        self._all(cls.__bases__)
        for name in sorted(vars(cls).keys() - _OF_CLASSES):
            member = vars(cls)[name]
            if isinstance(member, (staticmethod, classmethod)):
                member = member.__func__
            elif isinstance(member, property):
                member = (member.fget, member.fset, member.fdel)
            elif isinstance(member, functools.cached_property):
                member = member.func
            self._text("member", name)
            if not isinstance(member, (types.MemberDescriptorType, types.GetSetDescriptorType)):
                self.add(member)

    def _add_state(self, value: Any) -> None:
        self.add(type(value))
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:  # it cannot be pickled, for whatever reason of its own
            return
        if isinstance(reduced, str):
            self._text("name", reduced)
            return
        self._all(list(part) if isinstance(part, Iterator) else part for part in reduced)

    def _all(self, values: Iterable[Any]) -> None:
        for value in values:
            self.add(value)

    def _text(self, kind: str, text: str) -> None:
        data = f"{kind}:{text}".encode("utf-8", "surrogatepass")
        self.hash.update(struct.pack("<Q", len(data)))
        self.hash.update(data)


def is_own(module_name: str | None) -> bool:
    """Whether a module is the program's: none of Python's, of an installed package or of air."""
    name = module_name or "builtins"
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return False
    if top == "air":
        return False
    if name == "__main__":
        return True
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    return file is None or _is_own_file(file)


def _is_own_file(file: str) -> bool:
    if file.startswith("<frozen "):
        return False
    path = os.path.realpath(file)
    return not any(path.startswith(place + os.sep) for place in _INSTALLED)
