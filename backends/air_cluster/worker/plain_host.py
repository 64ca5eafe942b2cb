"""An actor whose methods run one after the other in the main thread.

A streaming method whose consumer does not take what was yielded steps aside: its generator is kept,
in its own context, and other calls run, among them those that the consumer may wait for before it
goes on. It has its turn again, between two calls, once there is room or nobody wants more of it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from air_cluster.worker.reporter import Job, Production

if TYPE_CHECKING:
    from air_cluster.worker.actor_host import ActorHost


class _Stream(msgspec.Struct, eq=False):
    """A streaming call that has begun."""

    job: Job
    items: Iterator[Any]
    production: Production
    context: Context | None = None
    cancelled: bool = False


class PlainHost:
    """Takes calls from the queue, and goes on with streams that have stepped aside."""

    def __init__(self, host: ActorHost) -> None:
        self._host = host
        self._interruptible = host.interruptible
        self._current: bytes | None = None
        self._begun: _Stream | None = None  # by the call that runs
        self._aside: dict[bytes, _Stream] = {}
        self._ready: deque[_Stream] = deque()  # of those: there is room, or they are to end

    def serve(self) -> None:
        """Run calls until told to end."""
        host, ready, queue = self._host, self._ready, self._host.queue
        host.alone_in_this_thread()
        host.cancel, host.is_own = self._cancel, self._is_own
        take_turns = False
        while True:
            if not queue and not ready:
                self._wait()
            with host.lock:
                if ready and not (queue and take_turns):
                    stream, job = ready.popleft(), None
                    del self._aside[stream.job.message.task_id]
                    self._current = stream.job.message.task_id
                elif queue:
                    job = queue.popleft()
                    self._current = job.message.task_id
                else:
                    return
                self._interruptible.begin()
            if job is None:
                self._resume(stream)
                take_turns = True
                continue
            take_turns = False
            context = copy_context()
            try:
                ended = context.run(host.run_job, job, self._interruptible, self._produce)
                if self._begun is not None:
                    self._left(self._begun, ended, context)
            finally:
                self._current = self._begun = None

    def _wait(self) -> None:
        host, client, queue, ready = self._host, self._host.client, self._host.queue, self._ready
        if not self._aside:
            host.reactor.wait_for(lambda: queue or host.ending or client.closed)
            return
        # They are not ended before their consumers have all, and need no CPU meanwhile.
        client.waiting.wait_until(lambda: bool(queue or ready or client.closed), None)
        if client.closed:
            with host.lock:
                for stream in list(self._aside.values()):
                    self._end(stream)

    # Streams ------------------------------------------------------------------------------

    def _produce(self, job: Job, items: Iterator[Any]) -> bool:
        production = self._host.reporter.open_production(job)
        self._begun = stream = _Stream(job, items, production)
        return self._advance(stream)

    def _advance(self, stream: _Stream) -> bool:
        """Run a stream, in its context, until it has ended or there is no room."""
        return self._host.reporter.advance(stream.job, stream.production, stream.items)

    def _left(self, stream: _Stream, ended: bool, context: Context) -> None:
        """A stream has ended, or steps aside."""
        if ended:
            self._host.reporter.close_production(stream.job)
            return
        stream.context = context
        with self._host.lock:
            self._aside[stream.job.message.task_id] = stream
            stream.production.resume = partial(self._look, stream)
            if self._interruptible.is_cancelled:  # too late to be interrupted
                stream.cancelled = True
                self._end(stream)
            else:
                self._look(stream)

    def _look(self, stream: _Stream) -> None:
        """Let a stream go on if it can; called under the lock, whenever that may have changed."""
        aside = self._aside.get(stream.job.message.task_id) is stream
        if aside and stream.production.has_room and stream not in self._ready:
            self._ready.append(stream)

    def _end(self, stream: _Stream) -> None:
        """Have a stream that has stepped aside closed; called under the lock."""
        stream.production.closed = True
        self._look(stream)

    def _resume(self, stream: _Stream) -> None:
        host, job = self._host, stream.job
        context, advance = stream.context, partial(self._advance, stream)
        assert context is not None
        try:
            ended = context.run(host.go_on, job, self._interruptible, advance, stream.cancelled)
            self._left(stream, ended, context)
        finally:
            self._current = None

    # Calls --------------------------------------------------------------------------------

    def _is_own(self, task_id: bytes) -> bool:
        here = threading.current_thread() is threading.main_thread()
        return here and task_id == self._current

    def _cancel(self, task_id: bytes, recursive: bool) -> None:
        """See :attr:`ActorHost.cancel`; called under the lock."""
        # It is not to see the end of one of its children in place of its own.
        children = partial(self._host.cancel_children, task_id) if recursive else bool
        if task_id == self._current:
            self._interruptible.cancel(children)
        elif task_id in self._aside:
            stream = self._aside[task_id]
            stream.cancelled = True
            self._end(stream)
            children()
