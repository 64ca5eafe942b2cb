"""A worker that lives as an actor: one thread, several threads, or an event loop."""

from __future__ import annotations

import inspect
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from air.errors import ActorDied
from air.executor.failures import forget_frames, trim
from air.executor.interface import outside_of_actors
from air.executor.serialization import loads_code
from air_cluster.client import context
from air_cluster.client.arguments import unpack_arguments
from air_cluster.client.client import Client
from air_cluster.client.context import TaskContext
from air_cluster.client.copies import CopyFailed
from air_cluster.client.endings import CANCELLED, FAILED, FINISHED, Running, position
from air_cluster.protocol.ids import owner_of
from air_cluster.protocol.messages import (
    STREAMING,
    ActorCall,
    ActorExit,
    ActorStarted,
    Blocked,
    CancelTask,
    CreateActor,
    StartActor,
    TaskDone,
)
from air_cluster.transport.connection import Connection
from air_cluster.worker.aftermath import end_forked_child, forks
from air_cluster.worker.cancellation import Interruptible
from air_cluster.worker.devices import show_gpus
from air_cluster.worker.iteration import as_iterator
from air_cluster.worker.plain_host import PlainHost
from air_cluster.worker.reporter import Job, Reporter
from air_cluster.worker.thread_host import ThreadGroups, ThreadHost
from air_cluster.worker.thread_interrupts import InterruptibleCall
from air_cluster.worker.voice import Voice

LEAVING_S = 5.0
"""What runs beside a method that ends the actor may take so long to clean up."""


class ExitActor(BaseException):
    """Raised by ``air.exit_actor()`` to leave the running method."""


class ActorHost:
    """Makes the instance, then runs its methods in the order in which calls arrive."""

    def __init__(
        self,
        client: Client,
        reporter: Reporter,
        voice: Voice,
        start: StartActor,
        payload: bytes,
    ) -> None:
        self.client = client
        self._voice = voice
        self.reactor = client.reactor
        self.lock = client.reactor.lock
        self.reporter = reporter
        self.spec: CreateActor = start.spec
        self._start = start
        self._payload = payload
        self._forks = forks()
        self._instance: Any = None
        self.queue: deque[Job] = deque()
        self.ending = False
        self._leaving = False  # by air.exit_actor(): nothing begins any more, nor ends well
        self.left = False  # and all callers have been told
        self.leaver = b""  # the call that has called it, if it is one that runs
        self._why = ""
        self._constructing = True
        # Since when each call runs, the constructor among them. Whoever takes an entry out, the
        # call when it ends or air.exit_actor(), is the one to tell the caller.
        self._running: dict[bytes, tuple[float, Job | None]] = {}
        self._ran = client.endings.ran
        client.endings.runs = self._runs
        client.endings.class_name = self.spec.class_name
        client.endings.ahead = self._ahead
        # Calls that wait in front of one, where they are taken from the queue at once.
        self.ahead: Callable[[bytes], int | None] = lambda _task_id: None
        self.arrived: Callable[[Job], object] = self.queue.append
        # Cancels a call that has been taken from the queue, and with True what it started.
        self.cancel: Callable[[bytes, bool], object] = lambda _task_id, _recursive: None
        # Takes out the calls that have not begun, besides those in the queue.
        self.take_waiting: Callable[[], list[Job]] = list
        # Whether a call is what the calling thread, or coroutine, runs.
        self.is_own: Callable[[bytes], bool] = lambda _task_id: False
        # Has the main loop look whether it has to end; a reactor's own loop looks anyway.
        self.wake: Callable[[], object] = bool
        # Of the main thread, in which nothing else is to be interrupted either.
        self.interruptible = Interruptible(client.reactor)
        client.on_block = lambda blocked: client.daemon.send(Blocked(blocked))
        client.executor.leave_actor = self._leave
        voice.become_actor(self.spec.job_id, self.spec.class_name)
        client.namespace = self.spec.job_namespace
        # One that outlives its program is what ends with it that it makes, as a program is.
        client.job_id = client.process_id if self.spec.detached else self.spec.job_id
        client.actors.me = (
            self.spec.actor_id,
            self.spec.class_name,
            *pickle.loads(self.spec.methods),
            self.spec.address,
        )
        handle = client.peers.handle
        handle(ActorCall, self._on_call)
        handle(CancelTask, self._on_cancel)
        handle(ActorExit, self._on_exit)

    # Life ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Construct, serve calls until told to end."""
        try:
            cls = self._load_class()
        except BaseException as error:
            self._construction_failed(error)
            return
        if any(_is_async(member) for _, member in inspect.getmembers(cls)):
            from air_cluster.worker import loop_host

            loop_host.serve(self, cls)
        elif self.construct(cls):
            if self.spec.max_concurrency > 1 or self.spec.groups:
                self._serve_threads()
            else:
                PlainHost(self).serve()
        # The instance's own clean-up runs while the cluster can still be reached.
        self._instance = None

    def _load_class(self) -> type:
        spec = self.spec
        show_gpus(self._start.gpu_ids)
        cls: type = loads_code(self._payload[: spec.code_bytes], f"actor class {spec.class_name}")
        return cls

    def construct(self, cls: type) -> bool:
        """Make the instance and say so; false if that failed, which is said as well."""
        spec = self.spec
        token = context.current.set(self._context(spec.actor_id, spec.class_name, 0))
        name, started, outcome = f"{spec.class_name}.__init__", time.perf_counter(), FAILED
        self._running[spec.actor_id] = started, None
        try:
            caller = (owner_of(spec.actor_id), spec.address)
            args, kwargs = unpack_arguments(
                self.client, spec.actor_id, caller, spec, self._payload, spec.code_bytes
            )
            self._payload = b""
            self._instance = cls(*args, **kwargs)
            del args, kwargs
            end_forked_child(self._forks, None)
            with self.lock:
                if self._leaving:
                    raise ExitActor  # again: the constructor has caught it
                self._constructing = False
            self._voice.rename_actor(self._instance)
            outcome = FINISHED
        except BaseException as error:
            end_forked_child(self._forks, error)
            self._construction_failed(error)
            return False
        finally:
            context.current.reset(token)
            del self._running[spec.actor_id]
            seconds = time.perf_counter() - started
            self._ran.append((spec.actor_id, name, started, seconds, outcome, "__init__"))
        self._settled(lambda: self.client.daemon.send(ActorStarted(spec.actor_id, False)))
        return True

    def _construction_failed(self, error: BaseException) -> None:
        trim(error)
        if isinstance(error, ExitActor):
            error = ActorDied(f"{self.spec.class_name}.__init__ called air.exit_actor()")
        objects = self.client.objects
        failed = objects.pack_failure(error, f"{self.spec.class_name}.__init__")
        forget_frames(error)
        with self.lock:
            if not self.spec.detached:  # else the creator may be gone, and not come for them
                objects.returned.hold_for_creator(self.spec.actor_id, failed.refs)
            self.client.daemon.send(ActorStarted(self.spec.actor_id, True), failed.pieces)

    def _settled(self, then: Callable[[], None]) -> None:
        """Do *then* once the references that the constructor kept are on record."""
        objects = self.client.objects
        with self.lock:
            objects.drain()
            registrations, tokens = self.client.references.settle(b"")
            objects.when_acknowledged(tokens, then)
            objects.follow(registrations)

    def _context(self, task_id: bytes, name: str, depth: int) -> TaskContext:
        shape = self.spec.shape
        return TaskContext(
            task_id=task_id,
            name=name,
            depth=depth,
            actor_id=self.spec.actor_id,
            group=shape.group,
            capture=self.spec.capture,
            resources=shape.resources,
            gpu_ids=tuple(self._start.gpu_ids),
            was_restarted=self._start.restarted,
        )

    # Leaving ------------------------------------------------------------------------------

    def _leave(self) -> None:
        running = context.current.get()
        if running is None or running.actor_id != self.spec.actor_id:
            raise outside_of_actors("air.exit_actor()")
        if not self._leaving:  # before the lock, which others may hold, and begin calls meanwhile
            self._why = f"{running.name} called air.exit_actor()"
            self._leaving = True
        with self.lock:
            if not self.left and not self._constructing:
                self._give_up(running.task_id)
        raise ExitActor

    def _give_up(self, leaver: bytes) -> None:
        """End all calls but the one that leaves, and take no more; called under the lock."""
        self.reporter.flush()  # or the callers hear of the end before
        self.client.daemon.send(ActorExit(self.spec.actor_id))
        self.left = True
        if self.is_own(leaver):
            self.leaver = leaver
        self.arrived = self._refuse
        waiting = [*self.queue, *self.take_waiting()]
        self.queue.clear()
        for job in waiting:
            self._refuse(job)
        for task_id in list(self._running):
            if task_id != self.leaver:
                _, running = self._running.pop(task_id, (0.0, None))
                if running is not None:
                    self._refuse(running)
                    self.cancel(task_id, False)
        self._end()

    def _refuse(self, job: Job) -> None:
        """Tell the caller that a call will not end; called under the lock."""
        self.reporter.refuse(job, self.client.system_failure(self._died_under(job)))

    def _died_under(self, job: Job) -> ActorDied:
        error = ActorDied(f"{job.message.name} did not finish: {self._why}")
        error.death, error.death_kind = self._why, "exited"
        error.dead_actor = self.spec.actor_id.hex()
        return error

    # Listings -----------------------------------------------------------------------------

    def is_running(self, task_id: bytes) -> bool:
        """Whether a call has begun and not ended."""
        return task_id in self._running

    def _ahead(self, task_id: bytes) -> int | None:
        queued = position(task_id, (job.message.task_id for job in self.queue))
        return self.ahead(task_id) if queued is None else queued

    def _runs(self) -> list[Running]:
        now, actor_id = time.perf_counter(), self.spec.actor_id
        constructor = f"{self.spec.class_name}.__init__"
        return [
            Running(
                task_id,
                constructor if job is None else job.message.name,
                actor_id,
                now - since,
                self.reporter.waits_for(task_id),
            )
            for task_id, (since, job) in self._running.copy().items()
        ]

    def _on_exit(self, _connection: Connection, _message: ActorExit, _payload: object) -> None:
        self._end()

    def _end(self) -> None:
        """End after what has arrived; called under the lock."""
        self.ending = True
        self.wake()

    # Calls --------------------------------------------------------------------------------

    def _on_call(self, connection: Connection, message: ActorCall, payload: bytes) -> None:
        self.arrived(Job(connection, message, payload, None))

    def _on_cancel(self, connection: Connection, message: CancelTask, _payload: object) -> None:
        for job in self.queue:
            if job.message.task_id == message.task_id:
                self.queue.remove(job)
                connection.send(TaskDone(message.task_id, 0.0, [], True))
                return
        self.cancel(message.task_id, message.recursive)

    def cancel_children(self, task_id: bytes) -> None:
        """Cancel what a call has started; called under the lock."""
        self.client.cancelling.children(task_id)

    def begin(self, job: Job) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """Note that a call runs, in this context; returns the method and its arguments.

        Raises:
            ExitActor: it has come too late.
        """
        message = job.message
        assert isinstance(message, ActorCall)
        self._running[message.task_id] = (time.perf_counter(), job)
        if self._leaving:
            raise ExitActor
        context.current.set(self._context(message.task_id, message.name, message.depth))
        caller = (job.connection.peer, message.address)
        args, kwargs = unpack_arguments(
            self.client, message.task_id, caller, message, job.payload, 0
        )
        job.payload = b""
        return getattr(self._instance, message.method), args, kwargs

    def finish(
        self,
        job: Job,
        contents: list[Any],
        *,
        cancelled: bool = False,
        unread: bool = False,
        outcome: str = FINISHED,
        may_wait: bool = False,
    ) -> None:
        """Report a call that has ended; see :meth:`Reporter.report`."""
        assert isinstance(job.message, ActorCall)
        task_id, name, now = job.message.task_id, job.message.name, time.perf_counter()
        running = self._running.pop(task_id, None)
        if self._leaving and (running is None or outcome != FAILED):
            self.reporter.take_back(job, contents)
            if running is None:
                return  # its caller has been told
            contents, cancelled, outcome = self._left_by(job, None), False, FAILED
        since = now if running is None else running[0]
        seconds = now - since
        outcome = CANCELLED if cancelled else outcome
        self._ran.append((task_id, name, since, seconds, outcome, job.message.method))
        self.reporter.report(
            job, contents, seconds, cancelled=cancelled, unread=unread, may_wait=may_wait
        )

    def fail(self, job: Job, error: BaseException) -> None:
        """Report a call that has raised, or left the actor."""
        unread = False
        if not self._leaving:
            contents, unread = self.reporter.failed(job, error), isinstance(error, CopyFailed)
        elif self.is_running(job.message.task_id):
            contents = self._left_by(job, error)
        else:
            contents = []  # its caller has been told
        self.finish(job, contents, unread=unread, outcome=FAILED)

    def _left_by(self, job: Job, error: BaseException | None) -> list[Any]:
        """What stands for the results of the call that has left the actor."""
        died = self._died_under(job)
        if error is not None and not isinstance(error, ExitActor):
            died.__cause__ = error  # of its clean-up
        return self.reporter.failed(job, died)

    def run_job(
        self,
        job: Job,
        running: Interruptible | InterruptibleCall,
        produce: Callable[[Job, Iterator[Any]], bool],
    ) -> bool:
        """Run one call in this thread; the user's code by means of *running*.

        Args:
            produce: sends what a streaming one yields; whether that was all.

        Returns:
            whether it has ended; else :meth:`go_on` goes on with it.
        """
        run: Callable[[Callable[[], Any]], Any] = running.run
        ended = True
        try:
            method, args, kwargs = self.begin(job)
            value = run(partial(method, *args, **kwargs))
            del args, kwargs
            if inspect.iscoroutine(value):
                from air_cluster.worker import coroutines

                value = run(partial(coroutines.run, value))
            if job.message.returns == STREAMING:
                items = as_iterator(value, job.message.name)
                ended = run(partial(produce, job, items))
                contents = []
            else:
                contents = self.reporter.pack_results(job, value)
                del value
            end_forked_child(self._forks, None)
        except BaseException as error:
            self._raised(job, error, running)
            return True
        if ended:
            self.finish(job, contents)
        return ended

    def go_on(
        self, job: Job, running: Interruptible, step: Callable[[], bool], cancelled: bool
    ) -> bool:
        """Go on with a call that had not ended; see :meth:`run_job`.

        Args:
            step: as far as it comes now; whether it has ended.
            cancelled: which is why it ends.
        """
        try:
            ended = running.run(step)
            end_forked_child(self._forks, None)
        except BaseException as error:
            self._raised(job, error, running)
            return True
        if ended:
            self.finish(job, [], cancelled=cancelled)
        return ended

    def _raised(
        self, job: Job, error: BaseException, running: Interruptible | InterruptibleCall
    ) -> None:
        end_forked_child(self._forks, error)
        if running.ended_by(error):
            self.finish(job, [], cancelled=True)
        else:
            self.fail(job, error)

    def alone_in_this_thread(self) -> None:
        """All methods run in this thread: one that waits for another here waits for ever."""
        self.client.actors.lone_thread = threading.get_ident()

    # Several threads ----------------------------------------------------------------------

    def _serve_threads(self) -> None:
        threads = ThreadHost(self, self.spec.max_concurrency)
        hosts = [threads]
        with self.lock:
            if self.left:
                return
            self.arrived = threads.arrived
            self.cancel = threads.cancel
            self.ahead = threads.ahead
            if self.spec.groups:
                groups = ThreadGroups(self, threads, self.spec.groups)
                hosts = groups.hosts
                self.arrived, self.cancel = groups.arrived, groups.cancel
                self.ahead = groups.ahead
            self.take_waiting = lambda: [job for host in hosts for job in host.take_waiting()]
            self.is_own = lambda task_id: any(host.is_own(task_id) for host in hosts)
            self.wake = self.reactor.nudge
            while self.queue:
                self.arrived(self.queue.popleft())

        def is_over() -> bool:
            return self.ending and all(host.is_idle for host in hosts)

        def is_left() -> bool:
            return self.left and not any(host.runs(self.leaver) for host in hosts)

        self.reactor.wait_for(lambda: is_over() or is_left() or self.client.closed)
        if self.left:
            self.reactor.wait_for(is_over, time.monotonic() + LEAVING_S)
        for host in hosts:
            host.close()


def _is_async(member: object) -> bool:
    return inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member)
