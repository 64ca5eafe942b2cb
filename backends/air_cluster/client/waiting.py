"""Waiting for values, and reading them: ``get``, ``wait``, futures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from air.errors import GetTimeout, ObjectLost
from air.executor.handles import ObjectRef
from air_cluster.client.contents import Content
from air_cluster.client.objects import Objects
from air_cluster.core.lateness import FIRST_S
from air_cluster.core.references import Entry
from air_cluster.protocol.ids import task_of
from air_cluster.protocol.messages import FAILED

if TYPE_CHECKING:
    from concurrent.futures import Future

    from air_cluster.client.client import Client

BLOCKED_AFTER_S = 0.001
"""Who waits for longer gives its CPU back meanwhile."""

_NEWS_S = 10.0

_ON_ITS_WAY_S = 0.1
"""So long may the answer of a method take to come to another one of its own actor."""

LATE_S = FIRST_S
"""Who has waited for longer may have to be told why."""


class Waiting:
    """What this process waits for."""

    def __init__(self, client: Client, objects: Objects) -> None:
        self._client = client
        self._objects = objects
        self._reactor = client.reactor
        self._lock = client.reactor.lock

    def get(self, refs: Sequence[ObjectRef[Any]], timeout: float | None) -> list[Any]:
        """The values in order; see :meth:`Executor.get`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        entries = self._wait_for_all(refs, timeout)
        if len(entries) > 1:
            self._client.copies.prefetch((entry.id, entry.content) for entry in entries)
        try:
            return [self.load(entry, deadline, timeout) for entry in entries]
        except BaseException:  # what was fetched for nothing need not stay where it lies
            with self._lock:
                for entry in entries:
                    if not entry.pins:
                        self._client.copies.unread(entry.id)
            raise

    def _wait_for_all(self, refs: Sequence[ObjectRef[Any]], timeout: float | None) -> list[Entry]:
        position = 0
        with self._lock:
            if self._objects.dropped:
                self._objects.drain()
            entries = [self._objects.entry(ref) for ref in refs]
            for entry in entries:
                if entry.content is None and not entry.owned:
                    self._objects.fetch(entry)
            self._client.flush()

        def settled() -> bool:
            nonlocal position
            while position < len(entries):
                content = entries[position].content
                if content is None:
                    return False
                if content.kind == FAILED:
                    return True
                position += 1
            return True

        if not settled():
            if timeout is None:
                self.check_no_deadlock(
                    settled, lambda: [task_of(e.id) for e in entries if e.content is None]
                )
            if not self._wait_long(settled, entries, timeout):
                raise self._timed_out(entries, timeout)
        return entries[: position + 1]

    def check_no_deadlock(
        self, ready: Callable[[], bool], pending: Callable[[], Iterable[bytes]]
    ) -> None:
        """Complain about a method that would wait for ever for another one of its own actor.

        Args:
            ready: whether it has to wait no longer.
            pending: the tasks and calls that it waits for.

        Raises:
            DeadlockError: that one runs in the calling thread as well, after this one.
        """
        calls = self._client.calls
        # What an earlier method has answered may still be on its way.
        if calls.run_here and not self.wait_until(ready, _ON_ITS_WAY_S):
            with self._lock:
                calls.check_no_deadlock(pending())

    def _wait_long(
        self, ready: Callable[[], bool], entries: list[Entry], timeout: float | None
    ) -> bool:
        """Wait, and speak of what is missing after a while, and then ever more seldom."""
        started, patience = time.monotonic(), LATE_S
        while timeout is None or timeout > patience:
            if self.wait_until(ready, started + patience - time.monotonic()):
                return True
            if self._client.closed:
                return False
            missing = [entry for entry in entries if entry.content is None]
            self._client.explaining.late(missing, time.monotonic() - started)
            patience *= 2
        return self.wait_until(ready, max(0.0, started + timeout - time.monotonic()))

    def wait_until(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Wait, telling the node that this worker is blocked if it takes longer."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if ready():
            return True
        if not self._client.can_block():
            return self._reactor.wait_for(ready, deadline)
        soon = time.monotonic() + BLOCKED_AFTER_S
        if self._reactor.wait_for(ready, soon if deadline is None else min(soon, deadline)):
            return True
        with self._client.blocked():
            return self._reactor.wait_for(ready, deadline)

    def _timed_out(self, entries: list[Entry], timeout: float | None) -> Exception:
        if self._client.closed:
            return self._client.not_initialized()
        missing = [entry for entry in entries if entry.content is None]
        told = self._client.explaining.all_of(missing, timeout or 0.0)
        return GetTimeout(
            f"{len(missing)} of {len(entries)} values were not there after {timeout} s: {told}"
        )

    def load(
        self, entry: Entry, deadline: float | None = None, timeout: float | None = None
    ) -> Any:
        """The value of an entry that is there, or raise its error.

        Raises:
            GetTimeout: it was not in this node's memory before *deadline*, in seconds of the
                monotonic clock; *timeout* says how many these were in all.
        """
        while True:
            content = entry.content
            if content is None:  # it was lost, and is being made anew
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                if not self.wait_until(lambda: entry.content is not None, left):
                    raise self._timed_out([entry], timeout)
                continue
            try:
                value, refs = self._objects.unpack(content, entry.id, deadline)
            except ObjectLost as error:
                if self._renewed(entry, content, deadline):
                    continue
                if deadline is not None and time.monotonic() >= deadline:
                    raise GetTimeout(
                        f"a value could not be read within {timeout} s: {error}"
                    ) from None
                raise ObjectLost(str(error)) from None
            if refs:
                with self._lock:
                    self._objects.follow(self._objects.references.register(refs, entry.id))
            if content.kind == FAILED:
                raise value
            return value

    def _renewed(self, entry: Entry, content: Content, deadline: float | None) -> bool:
        """Whether a value that could not be read turns out to be somewhere else.

        That its node is gone is noticed here before the head has said so.
        """
        left = _NEWS_S
        if deadline is not None:
            left = min(left, max(0.0, deadline - time.monotonic()))
        return self.wait_until(lambda: entry.content is not content, left)

    def wait(
        self, refs: Sequence[ObjectRef[Any]], count: int, timeout: float | None
    ) -> tuple[list[ObjectRef[Any]], list[ObjectRef[Any]]]:
        """Split by readiness; see :meth:`Executor.wait`."""
        with self._lock:
            self._objects.drain()
            found = self._split(refs, count)
            if found is not None:
                self._client.flush()
                return found
            entries = [self._objects.entry(ref) for ref in refs]
            pending = [entry for entry in entries if entry.content is None]
            arrived = len(entries) - len(pending)

            def note(_entry: Entry) -> None:
                nonlocal arrived
                arrived += 1

            for entry in pending:
                self._objects.watch(entry, note)
            self._client.flush()
        try:
            if timeout == 0:
                self._reactor.poll()
            else:
                self.wait_until(lambda: arrived >= count, timeout)
        finally:
            with self._lock:
                for entry in pending:
                    self._objects.unwatch(entry, note)
        ready: list[ObjectRef[Any]] = []
        rest: list[ObjectRef[Any]] = []
        for ref, entry in zip(refs, entries, strict=True):
            is_ready = entry.content is not None and len(ready) < count
            (ready if is_ready else rest).append(ref)
        return ready, rest

    def _split(
        self, refs: Sequence[ObjectRef[Any]], count: int
    ) -> tuple[list[ObjectRef[Any]], list[ObjectRef[Any]]] | None:
        """The first *count* that are ready, and all others; ``None`` if there are fewer.

        Looks at no more than it has to: the references that are waited for one by one are many.
        """
        ready: list[ObjectRef[Any]] = []
        rest: list[ObjectRef[Any]] = []
        for position, ref in enumerate(refs, start=1):
            if self._objects.entry(ref).content is None:
                rest.append(ref)
                continue
            ready.append(ref)
            if len(ready) == count:
                return ready, [*rest, *refs[position:]]
        return None

    def future(self, ref: ObjectRef[Any]) -> Future[Any]:
        """A future of the value; the reference lives until the value is in it."""
        from air_cluster.client.futures import ValueFuture

        future = ValueFuture(self._client, ref)
        with self._lock:
            entry = self._objects.entry(ref)
            if entry.content is None:
                future.watch(entry)
                self._client.flush()
                return future
        future.settle()
        return future
