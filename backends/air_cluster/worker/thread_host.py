"""An actor whose methods run in several threads, or in several groups of threads."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from air_cluster.client.endings import position
from air_cluster.protocol.messages import ActorCall, TaskDone
from air_cluster.worker.reporter import Job
from air_cluster.worker.thread_interrupts import InterruptibleCall

if TYPE_CHECKING:
    from air_cluster.worker.actor_host import ActorHost


class ThreadHost:
    """Hands calls to threads, in the order in which they arrived.

    A call that waits is taken out by whoever removes it from :attr:`_waiting` first: the thread
    that runs it, or its cancellation. So neither needs a lock.
    """

    def __init__(self, host: ActorHost, size: int, group: str = "") -> None:
        self._host = host
        self._size = size
        self._name = f"air-actor_{group}_" if group else "air-actor_"
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._waiting: dict[bytes, Job] = {}
        self._active: dict[bytes, InterruptibleCall] = {}
        self._started = 0

    @property
    def is_idle(self) -> bool:
        """Whether no call waits or runs."""
        return not self._waiting and not self._active

    def arrived(self, job: Job) -> None:
        """One more call; called under the lock."""
        self._waiting[job.message.task_id] = job
        self._jobs.put(job)
        if self._started < min(self._size, len(self._waiting) + len(self._active)):
            self._started += 1
            name = f"{self._name}{self._started}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def cancel(self, task_id: bytes, recursive: bool) -> None:
        """Take a call out that waits, or interrupt one that runs; called under the lock."""
        job = self._waiting.pop(task_id, None)
        if job is not None:
            job.connection.send(TaskDone(task_id, 0.0, [], True))
            return
        running = self._active.get(task_id)
        if running is not None:
            # It is not to see the end of one of its children in place of its own.
            children = partial(self._host.cancel_children, task_id) if recursive else bool
            running.cancel(children)

    def ahead(self, task_id: bytes) -> int | None:
        """How many calls wait in front of one that waits."""
        return position(task_id, list(self._waiting))

    def take_waiting(self) -> list[Job]:
        """Take out all calls that wait."""
        taken = (self._waiting.pop(task_id, None) for task_id in list(self._waiting))
        return [job for job in taken if job is not None]

    def runs(self, task_id: bytes) -> bool:
        """Whether one of the threads has taken a call, and is not done with it."""
        return task_id in self._active

    def is_own(self, task_id: bytes) -> bool:
        """Whether a call runs in the calling thread."""
        running = self._active.get(task_id)
        return running is not None and running.is_here

    def close(self) -> None:
        """Let the threads end that have nothing to do."""
        for _ in range(self._started):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            task_id = job.message.task_id
            self._active[task_id] = running = InterruptibleCall(self._host.reactor)
            if self._waiting.pop(task_id, None) is None:  # it was cancelled
                del self._active[task_id]
                continue
            try:
                copy_context().run(self._host.run_job, job, running)
            finally:
                del self._active[task_id]
                del job
                if self._host.ending:
                    self._host.wake()  # the main thread looks again


class ThreadGroups:
    """Concurrency groups: each has threads of its own, and so have the calls that are in none."""

    def __init__(self, host: ActorHost, others: ThreadHost, sizes: Mapping[str, int]) -> None:
        self._by_name = {"": others}
        self._by_name.update({name: ThreadHost(host, size, name) for name, size in sizes.items()})
        self.hosts = list(self._by_name.values())

    def arrived(self, job: Job) -> None:
        """One more call; called under the lock."""
        assert isinstance(job.message, ActorCall)
        self._by_name[job.message.group].arrived(job)

    def ahead(self, task_id: bytes) -> int | None:
        """See :meth:`ThreadHost.ahead`."""
        found = (host.ahead(task_id) for host in self.hosts)
        return next((number for number in found if number is not None), None)

    def cancel(self, task_id: bytes, recursive: bool) -> None:
        """See :meth:`ThreadHost.cancel`; only one of them knows the call."""
        for host in self.hosts:
            host.cancel(task_id, recursive)
