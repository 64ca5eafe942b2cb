"""Values of references: kept as bytes, rebuilt by every ``get``, freed with the last reference."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from air.errors import ObjectLost, SerializationError
from air.executor.failures import as_task_error, clone, trim
from air.executor.handles import ObjectRef
from air.executor.portable_exceptions import set_plainly
from air.executor.serialization import dumps, loads

if TYPE_CHECKING:
    from air.executor.interface import Executor
    from air_local.calls import Call


class Ids:
    """Makes 16-byte identities: random for the session, then counted, so that they sort."""

    def __init__(self) -> None:
        self._session = os.urandom(8)
        self._counter = itertools.count(1)

    def new(self) -> bytes:
        """An identity that nothing else has."""
        return self._session + next(self._counter).to_bytes(8, "big")


@dataclass(frozen=True, slots=True)
class Parcel:
    """A pickled value. The references and handles inside it live as long as it does."""

    stream: bytes
    buffers: tuple[bytes, ...]
    keep: tuple[object, ...]

    def unpack(self) -> Any:
        """The value, made anew; its arrays share memory with the parcel and are read-only."""
        return loads(self.stream, self.buffers)


_collecting = threading.local()


@contextlib.contextmanager
def collecting() -> Iterator[list[object]]:
    """Collects the references and handles that are pickled meanwhile in this thread."""
    outer = getattr(_collecting, "kept", None)
    kept: list[object] = []
    _collecting.kept = kept
    try:
        yield kept
    finally:
        _collecting.kept = outer


def pack(value: Any, what: str | Callable[[], str], parts: tuple[str, ...] = ()) -> Parcel:
    """Pickle a value; *what* and *parts* name it in the error, see :func:`dumps`.

    Raises:
        SerializationError: names the path to what cannot be pickled.
    """
    with collecting() as kept:
        serialized = dumps(value, what, parts)
    return Parcel(
        serialized.stream, tuple(bytes(buffer) for buffer in serialized.buffers), tuple(kept)
    )


def collect(item: object) -> None:
    """Note a reference or handle that is inside the value that is being packed.

    Raises:
        SerializationError: nothing is being packed.
    """
    kept: list[object] | None = getattr(_collecting, "kept", None)
    if kept is None:
        raise SerializationError(
            f"{item!r} can only be sent inside arguments, results and values of air.put:"
            " pickled by other means, nobody would know that it is still wanted"
        )
    kept.append(item)


class Failure:
    """An error as a reference holds it: with live frames, and raised afresh by every ``get``."""

    __slots__ = ("_task_name", "_traceback", "original")

    def __init__(self, error: BaseException, task_name: str) -> None:
        trim(error)
        self.original = error
        self._task_name = task_name
        self._traceback = error.__traceback__

    def to_raise(self) -> BaseException:
        """What ``get`` raises. A new object each time: raising makes a traceback longer."""
        error = as_task_error(self.original, self._task_name)
        if error is self.original:
            error = clone(error)
        set_plainly(error, "__traceback__", self._traceback)
        return error


class Entry:
    """The state of one value: pending until it gets a parcel or a failure.

    Lives as long as a reference to it, or a call that will resolve it.
    """

    __slots__ = (
        "__weakref__",
        "call",
        "callbacks",
        "cancellable",
        "done",
        "failure",
        "id",
        "label",
        "parcel",
    )

    def __init__(self, object_id: bytes, label: str, call: Call | None) -> None:
        self.id = object_id
        self.label = label
        self.call = call
        self.callbacks: list[Callable[[], None]] = []
        self.cancellable = True
        self.done = False
        self.parcel: Parcel | None = None
        self.failure: Failure | None = None

    def value(self) -> Any:
        """The value, made anew, or its error, raised afresh. Only once it is done."""
        if self.failure is not None:
            raise self.failure.to_raise()
        if self.parcel is None:
            raise _lost(self.id)
        return self.parcel.unpack()


class LocalRef(ObjectRef[Any]):
    """A reference that holds its entry.

    So Python itself frees the entry with the last reference, also where a cycle leads through
    it. There is one for every task that fails: its error has live frames, which lead to the
    frame of the caller, which holds the reference to the error.
    """

    __slots__ = ("entry",)

    def __init__(self, entry: Entry, executor: Executor) -> None:
        super().__init__(entry.id, executor)
        self.entry = entry


class Store:
    """Makes entries and references to them, and finds them by identity.

    Attributes:
        closing: whether the backend is being shut down, so that what fails now is no news.
    """

    def __init__(
        self, executor: Executor, ids: Ids, lock: threading.RLock, on_change: Callable[[], None]
    ) -> None:
        self._executor = executor
        self._ids = ids
        self._lock = lock
        self._on_change = on_change
        self._entries: weakref.WeakValueDictionary[bytes, Entry] = weakref.WeakValueDictionary()
        self.closing = False

    def __len__(self) -> int:
        return len(self._entries)

    def create(self, label: str, call: Call | None = None) -> Entry:
        """A pending entry."""
        entry = Entry(self._ids.new(), label, call)
        self._entries[entry.id] = entry
        return entry

    def put(
        self, label: str, parcel: Parcel | None = None, failure: Failure | None = None
    ) -> Entry:
        """An entry that is done already."""
        entry = self.create(label)
        self.resolve(entry, parcel, failure)
        return entry

    def reference(self, entry: Entry) -> ObjectRef[Any]:
        """A new reference to an entry."""
        return LocalRef(entry, self._executor)

    def find(self, object_id: bytes) -> Entry:
        """The entry of that identity, which something else keeps alive.

        Raises:
            ObjectLost: there is no such entry.
        """
        entry = self._entries.get(object_id)
        if entry is None:
            raise _lost(object_id)
        return entry

    def entry(self, ref: ObjectRef[Any]) -> Entry:
        """The entry that a reference stands for.

        Raises:
            ObjectLost: the reference was made before the last shutdown.
        """
        if not isinstance(ref, LocalRef) or ref._executor is not self._executor:
            raise _lost(ref.id)
        return ref.entry

    def resolve(
        self, entry: Entry, parcel: Parcel | None = None, failure: Failure | None = None
    ) -> None:
        """Give an entry its value or error. The first one counts, later ones are dropped."""
        with self._lock:
            if entry.done:
                return
            entry.parcel, entry.failure, entry.done = parcel, failure, True
            entry.call = None
            callbacks, entry.callbacks = entry.callbacks, []
        for callback in callbacks:
            callback()
        self._on_change()

    def entries(self) -> list[Entry]:
        """All that something refers to, in the order in which they were made."""
        return sorted(self._entries.values(), key=lambda entry: entry.id)

    def when_done(self, entry: Entry, callback: Callable[[], None]) -> None:
        """Run *callback* when the entry is done: at once if it is done already."""
        with self._lock:
            if not entry.done:
                entry.callbacks.append(callback)
                return
        callback()

    def forget(self, entry: Entry, callback: Callable[[], None]) -> None:
        """Undo :meth:`when_done`, if the callback has not run."""
        with self._lock, contextlib.suppress(ValueError):
            entry.callbacks.remove(callback)

    def clear(self) -> None:
        """Free all values, although references to them may live on."""
        for entry in list(self._entries.values()):
            entry.parcel = None
        self._entries.clear()


def _lost(object_id: bytes) -> ObjectLost:
    return ObjectLost(
        f"the value of ObjectRef({object_id.hex()}) is gone: it belongs to a backend that was"
        " shut down. References cannot outlive air.shutdown()"
    )
