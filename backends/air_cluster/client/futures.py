"""Futures of values that are not there yet."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from air.executor.handles import ObjectRef
    from air_cluster.client.client import Client
    from air_cluster.core.references import Entry


class ValueFuture(Future[Any]):
    """Ends with the value of a reference, which lives until then.

    A future that is cancelled leaves nothing behind, nor does one that is dropped, unless it has
    callbacks: these are called all the same. Neither does anything to the value.
    """

    def __init__(self, client: Client, ref: ObjectRef[Any]) -> None:
        super().__init__()
        self._client = client
        self._ref: ObjectRef[Any] | None = ref
        self._watcher: _Watcher | None = None

    def watch(self, entry: Entry) -> None:
        """Wait for the value; called under the lock."""
        self._watcher = _Watcher(self, entry)
        self._client.objects.watch(entry, self._watcher)

    def settle(self) -> None:
        """Take the value, which is there; not under the lock: unpickling may run user code."""
        self._watcher = None
        ref, self._ref = self._ref, None
        if ref is None or not self.set_running_or_notify_cancel():
            return
        try:
            self.set_result(self._client.waiting.load(self._client.objects.entry(ref)))
        except BaseException as error:
            self.set_exception(error)

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """See :class:`concurrent.futures.Future`."""
        watcher = self._watcher
        if watcher is not None:
            watcher.kept = self
        super().add_done_callback(fn)

    def cancel(self) -> bool:
        """See :class:`concurrent.futures.Future`; the task goes on."""
        if not super().cancel():
            return False
        watcher, self._watcher, self._ref = self._watcher, None, None
        if watcher is not None:
            with self._client.reactor.lock:
                watcher.stop()
        return True

    def __del__(self) -> None:
        watcher = getattr(self, "_watcher", None)
        if watcher is not None and not self._client.closed:
            self._client.reactor.call_soon(watcher.stop)  # it may be anywhere, also under the lock


class _Watcher:
    """Calls a future when the value is there, as long as anybody else knows the future."""

    __slots__ = ("_client", "_entry", "_future", "kept")

    def __init__(self, future: ValueFuture, entry: Entry) -> None:
        self._client = future._client
        self._entry = entry
        self._future = weakref.ref(future)
        self.kept: ValueFuture | None = None

    def __call__(self, _entry: Entry) -> None:
        future = self._future()
        self.kept = None
        if future is not None:
            self._client.in_helper(future.settle)

    def stop(self) -> None:
        """Do not wait any more; called under the lock."""
        self.kept = None
        self._client.objects.unwatch(self._entry, self)
