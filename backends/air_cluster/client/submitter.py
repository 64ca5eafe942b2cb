"""Tasks of this process: from the call to their results."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from air.errors import (
    AirError,
    GetTimeout,
    OutOfMemory,
    SerializationError,
    TaskCancelled,
    WorkerDied,
)
from air.executor.code import Code
from air.executor.failures import load_failure, load_raised, log_unseen
from air.executor.handles import ObjectRef, ObjectRefGenerator
from air.executor.options import TaskOptions
from air.executor.resources import describe
from air.executor.scheduling import GroupPlacement, Placement
from air_cluster.client import context
from air_cluster.client.actor_records import REFUSALS
from air_cluster.client.arguments import Arguments, pack_arguments
from air_cluster.client.contents import Content, from_wire
from air_cluster.client.returned import failure_id
from air_cluster.client.shapes import Shapes, may_be_drawn
from air_cluster.client.streams import Stream
from air_cluster.client.task_links import TaskLink, task_link
from air_cluster.core.locality import node_with_most
from air_cluster.core.tasks import LINGER_S, Demand, Dispatch, Instruction, TaskScheduler
from air_cluster.protocol.frames import FrameError
from air_cluster.protocol.ids import node_of_lease, object_id
from air_cluster.protocol.messages import (
    FAILED,
    ONCE,
    PINNED,
    STREAMING,
    Assign,
    CancelTask,
    Environment,
    KillWorker,
    LeaseGranted,
    LeaseLost,
    LeaseReclaim,
    LeaseRefused,
    LeaseReturn,
    Redirected,
    SetDemand,
    Shape,
    StreamItem,
    Task,
    TaskDone,
    TasksReturned,
)
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.client.client import Client

logger = logging.getLogger("air")

_GATHER_PARTS = 64
_ALONE = b"alone"  # in place of a code's key
_UNREAD_S, _MAX_UNREAD = 0.5, 20
"""An argument that was on a node which is gone is known to be lost after that long at most."""


class TaskRecord(msgspec.Struct):
    """A task whose results are not there yet."""

    task_id: bytes
    code: Code
    name: str
    returns: int
    shape_id: int
    placement: Placement
    depth: int
    capture: bool
    options: TaskOptions
    arguments: Arguments
    parent: bytes
    retries_left: int
    since: float
    environment: Environment | None = None
    missing: int = 0
    stream: Stream | None = None
    cancelled: bool = False
    undelivered: bool = False  # it was given to a worker that was dead already
    unread: int = 0  # how often its arguments could not be read


class _Lease(msgspec.Struct):
    lease_id: int
    worker: bytes
    address: str  # where it listens
    daemon: Connection  # of the node that has granted it
    connection: Connection | None
    in_flight: int = 0
    gathering: bool = False
    killed: bool = False  # we have asked for that; until then it stays ours


class Submitter:
    """Submits tasks, follows the scheduler's instructions, takes results in."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reactor = client.reactor
        self._lock = client.reactor.lock
        self.scheduler = TaskScheduler()
        self.records: dict[bytes, TaskRecord] = {}
        self.streams: dict[bytes, Stream] = {}
        self._shapes = Shapes(
            added=lambda info: self.scheduler.add_shape(
                info.shape_id,
                takes_resources=bool(info.resources),
                alike=info.alike,
                near=info.preferred,
                site=info.site,
            ),
            forget=lambda info: self.scheduler.forget_shape(info.shape_id),
        )
        self._leases: dict[int, _Lease] = {}
        self._gathering: list[_Lease] = []
        self._ticking = False
        handle = client.peers.handle
        handle(LeaseGranted, self._on_granted)
        handle(LeaseRefused, self._on_refused)
        handle(LeaseReclaim, lambda _c, m, _p: self._follow(self.scheduler.reclaim(m.lease_id)))
        handle(LeaseLost, self._on_lost)
        handle(Redirected, self._on_redirected)
        handle(TaskDone, self._on_done)
        handle(TasksReturned, self._on_returned)
        handle(StreamItem, self._on_stream_item)

    # Submitting ---------------------------------------------------------------------------

    def submit(
        self, code: Code, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: TaskOptions
    ) -> list[ObjectRef[Any]] | ObjectRefGenerator:
        """See :meth:`Executor.submit_task`."""
        client = self._client
        client.objects.pack_code(code)
        environment = None
        if options.runtime_env is not None:
            environment = client.environments.on_wire(options.runtime_env)
        task_id = client.ids.task()
        name = options.name or code.name
        arguments = pack_arguments(client, task_id, args, kwargs, name)
        parent = context.current.get()
        placement, capture = options.placement, False
        if placement is None:
            if parent is not None and parent.capture:
                placement, capture = GroupPlacement(parent.group), True
        elif isinstance(placement, GroupPlacement) and placement.capture_child_tasks:
            # To the node that is one and the same shape, with or without it.
            placement, capture = replace(placement, capture_child_tasks=False), True
        depth = 1 if parent is None else parent.depth + 1
        returns = STREAMING if options.num_returns == "streaming" else options.num_returns
        assert isinstance(returns, int)
        with self._lock:
            client.check_alive()
            client.objects.drain()
            record = TaskRecord(
                task_id=task_id,
                code=code,
                name=name,
                returns=returns,
                shape_id=self._shapes.use(
                    options.resources, placement, depth, environment=environment
                ).shape_id,
                placement=placement,
                environment=environment,
                depth=depth,
                capture=capture,
                options=options,
                arguments=arguments,
                parent=b"" if parent is None else parent.task_id,
                retries_left=options.max_retries,
                since=time.monotonic(),
            )
            self.records[task_id] = record
            made = self.make_returns(task_id, returns, name, options.bytes_ahead)
            if isinstance(made, ObjectRefGenerator):
                record.stream = self.streams[task_id]
            self._resolve(record)
        return made

    def resubmit(self, record: TaskRecord) -> None:
        """Run a task again that had ended; called under the lock."""
        self._shape(record)
        self.records[record.task_id] = record
        self._resolve(record)

    def inherit(self, environment: Environment) -> None:
        """What tasks have that name no environment."""
        self._shapes.inherited = environment

    def make_returns(
        self, task_id: bytes, returns: int, name: str, ahead: int
    ) -> list[ObjectRef[Any]] | ObjectRefGenerator:
        """The references that a call gives out; called under the lock."""
        if returns == STREAMING:
            self.streams[task_id] = Stream(task_id, name, ahead)
            return ObjectRefGenerator(task_id, self._client.executor)
        refs: list[ObjectRef[Any]] = []
        for index in range(returns):
            identity = object_id(task_id, index)
            self._client.references.own(identity).local = 1
            refs.append(ObjectRef(identity, self._client.executor))
        return refs

    def _resolve(self, record: TaskRecord) -> None:
        """Wait for arguments that are references, then queue the task."""
        if record.task_id not in self.records:
            return  # cancelled meanwhile
        missing = record.arguments.missing
        record.missing = len(missing)
        for entry in missing:
            self._client.objects.watch(entry, lambda _entry: self._one_there(record))
        if missing:
            self._start_ticking()
        else:
            self._queue(record)

    def _one_there(self, record: TaskRecord) -> None:
        record.missing -= 1
        if record.missing == 0:
            self._queue(record)

    def _queue(self, record: TaskRecord) -> None:
        if record.task_id not in self.records:
            return
        failed = record.arguments.failed
        if failed is not None:
            self._finish(record, failed)
            return
        if record.arguments.slots:
            self._prefer(record)
        now = time.monotonic()
        record.since = now
        # What is not tried again shares its worker with nothing, or would die with that. The
        # scheduler never learns how long such tasks take, and so sends one of them at a time.
        code = record.code.key if record.retries_left else _ALONE
        self._follow(self.scheduler.submit(record.task_id, code, record.shape_id, now))
        self._start_ticking()

    def _prefer(self, record: TaskRecord) -> None:
        """Have a task run where most of its arguments are, if it may run there."""
        large = [
            (entry.content.node, entry.content.size_bytes)
            for entry in record.arguments.slots
            if entry.content is not None and entry.content.location is not None
        ]
        placement, info = record.placement, self._shapes[record.shape_id]
        if (not large and not info.preferred) or not may_be_drawn(placement):
            return
        preferred = node_with_most(large, self._client.node_number) or 0
        if preferred != info.preferred:
            self._shapes.release(record.shape_id)
            self._shape(record, preferred)

    def _shape(self, record: TaskRecord, preferred: int = 0) -> None:
        resources, placement = record.options.resources, record.placement
        info = self._shapes.use(resources, placement, record.depth, preferred, record.environment)
        record.shape_id = info.shape_id

    # Following the scheduler --------------------------------------------------------------

    def _follow(self, instructions: Iterable[Instruction]) -> None:
        for instruction in instructions:
            if isinstance(instruction, Dispatch):
                self._dispatch(instruction.task_id, self._leases[instruction.lease_id])
            elif isinstance(instruction, Demand):
                info = self._shapes[instruction.shape_id]
                self._client.daemon.send(
                    SetDemand(
                        info.shape_id,
                        info.wire,
                        instruction.count,
                        info.depth,
                        came=instruction.came,
                    )
                )
            else:
                lease = self._leases.pop(instruction.lease_id, None)
                if lease is not None and not lease.killed:
                    lease.daemon.send(LeaseReturn(instruction.lease_id))

    def _dispatch(self, task_id: bytes, lease: _Lease) -> None:
        connection = lease.connection
        record = self.records[task_id]
        lease.in_flight += 1
        record.undelivered = connection is None or connection.is_lost
        if connection is None or connection.is_lost:
            return  # the daemon will tell that the worker is lost
        if record.arguments.slots and record.arguments.missing:
            # Lost since the task was queued, such as with their node, and being made anew.
            record.undelivered = True
            self._reactor.call_soon(partial(self._wait_again, record))
            return
        known = connection.data
        assert isinstance(known, TaskLink)
        record.arguments.lend(self._client.references)
        args, slots, slot_refs, payload = record.arguments.to_wire(self._client.address)
        code_bytes = 0
        if record.code.key not in known.sent.entries:
            pickled = record.code.pickled
            code_bytes = len(pickled)
            payload.insert(0, pickled)
        message = Task(
            record.task_id,
            record.code.key,
            code_bytes,
            record.name,
            record.returns,
            record.depth,
            record.capture,
            self._client.address,
            args,
            slots,
            slot_refs,
            record.options.bytes_ahead,
        )
        # The first task of an idle worker goes out at once. More are gathered: the worker is
        # busy, and its next answer (at the latest) sends them off.
        if lease.in_flight == 1:
            self._client.gathering.flush()
        elif not lease.gathering:
            lease.gathering = True
            connection.cork()
            self._gathering.append(lease)
        try:
            connection.send(message, payload)
            record.undelivered = connection.is_lost
            if code_bytes:
                known.sent.add(record.code.key, code_bytes, None)
        except FrameError as error:
            # All arguments together are too much for one message.
            failed = self._client.system_failure(SerializationError(f"{record.name}: {error}"))
            self._reactor.call_soon(partial(self._give_up, record, failed))
        if lease.gathering and connection.gathered > _GATHER_PARTS:
            self._client.gathering.flush()
            connection.uncork(force=True)

    def _give_up(self, record: TaskRecord, failed: Content) -> None:
        """A task that was assigned to a worker cannot be sent to it after all."""
        self._unassign(record)
        self._finish(record, failed)

    def _wait_again(self, record: TaskRecord) -> None:
        """A task that was assigned to a worker has to wait for arguments once more."""
        if not self._unassign(record):
            return  # the worker died, and others see to the task
        if record.cancelled:  # a moment ago, and the worker does not know the task
            self._finish(record, self._cancelled(record))
        else:
            self._resolve(record)

    def _unassign(self, record: TaskRecord) -> bool:
        """Take a task back that was not sent; false if its worker's end has done so."""
        lease_id = self.scheduler.lease_of(record.task_id)
        if lease_id is None:
            return False
        self._leases[lease_id].in_flight -= 1
        self._follow(self.scheduler.finished(record.task_id, None, time.monotonic()))
        return True

    def flush(self) -> None:
        """Send what was gathered; called under the lock."""
        self._client.gathering.flush()
        while self._gathering:
            lease = self._gathering.pop()
            lease.gathering = False
            if lease.connection is not None:
                lease.connection.uncork()

    # Leases -------------------------------------------------------------------------------

    def _on_granted(self, daemon: Connection, message: LeaseGranted, _p: object) -> None:
        info = self._shapes.get(message.shape_id)
        if info is None:  # it was granted while we said that it is not needed
            daemon.send(LeaseReturn(message.lease_id))
            return
        connection: Connection | None
        try:
            connection = self._client.peers.to(message.worker, message.address)
        except OSError:
            connection = None  # it died already; the daemon will say so
        else:
            task_link(connection)
            connection.send(
                Assign(
                    info.wire.resources,
                    message.gpu_ids,
                    info.wire.group,
                    self._client.job_id,
                    self._client.namespace,
                )
            )
        self._leases[message.lease_id] = _Lease(
            message.lease_id, message.worker, message.address, daemon, connection
        )
        now = time.monotonic()
        elsewhere, dealt = daemon is not self._client.daemon, info.dealt
        self._follow(
            self.scheduler.granted(
                message.shape_id, message.lease_id, now, elsewhere=elsewhere, dealt=dealt
            )
        )
        self.flush()
        self._start_ticking()

    def _on_redirected(self, _connection: Connection, message: Redirected, _p: object) -> None:
        info = self._shapes.get(message.shape_id)
        if info is None:
            return
        info.dealt = True
        count = min(message.count, self.scheduler.queued(message.shape_id))
        if count == 0 and not message.pinned:
            return
        try:
            daemon = self._client.peers.to(message.daemon, message.address)
        except OSError:
            return  # it is gone; the head will find out
        mode = PINNED if message.pinned else ONCE
        daemon.send(SetDemand(message.shape_id, info.wire, count, info.depth, mode))

    def node_gone(self, number: int, reason: str) -> None:
        """A node is dead, and with it the workers that it has lent us; under the lock."""
        for lease_id in [i for i in self._leases if node_of_lease(i) == number]:
            self._lease_lost(lease_id, LeaseLost(lease_id, reason))

    def unreachable(self, connection: Connection, reason: str) -> None:
        """There is no way to a worker, or to the daemon that has lent it; under the lock.

        What runs there is taken for lost, and is ended as far as that can be said to anybody.
        """
        for lease_id, lease in list(self._leases.items()):
            if lease.connection is connection:
                lease.daemon.send(KillWorker(lease_id))
            if connection in (lease.connection, lease.daemon):
                self._lease_lost(lease_id, LeaseLost(lease_id, reason))

    def _on_refused(self, _connection: Connection, message: LeaseRefused, _p: object) -> None:
        if self._shapes.get(message.shape_id) is None:
            return
        kind = REFUSALS.get(message.kind, WorkerDied)
        for task_id in self.scheduler.refused(message.shape_id):
            record = self.records[task_id]
            error = kind(f"task {record.name} cannot run: {message.message}")
            self._finish(record, self._client.system_failure(error))

    def _on_lost(self, _connection: Connection, message: LeaseLost, _p: object) -> None:
        self._lease_lost(message.lease_id, message)

    def _lease_lost(self, lease_id: int, loss: LeaseLost) -> None:
        lease = self._leases.pop(lease_id, None)
        tasks = self.scheduler.lost(lease_id)
        # A worker runs its tasks in the order in which they were sent: the first of them was
        # running when it died, the others may not have been.
        for position, task_id in enumerate(tasks):
            record = self.records.get(task_id)
            if record is None:
                continue
            record.arguments.take_back(self._client.references)
            if record.cancelled:
                self._finish(record, self._cancelled(record))
            elif record.undelivered:  # the worker was dead before
                self._queue(record)
            elif record.retries_left != 0 and not (position == 0 and loss.is_hopeless):
                if position == 0:
                    record.retries_left -= 1
                self._queue(record)
            else:
                worker = b"" if lease is None else lease.worker
                self._finish(record, self._died(record, lease, loss), worker)

    def _died(self, record: TaskRecord, lease: _Lease | None, loss: LeaseLost) -> Content:
        if loss.out_of_memory:
            error: AirError = OutOfMemory(f"task {record.name} was ended because {loss.reason}")
        else:
            worker = "?" if lease is None else lease.worker.hex()
            error = WorkerDied(
                f"the worker {worker} that ran task {record.name} ended: {loss.reason}"
            )
        return self._client.system_failure(error)

    # Results ------------------------------------------------------------------------------

    def _on_done(self, connection: Connection, message: TaskDone, payload: bytes) -> None:
        record = self.records.get(message.task_id)
        if record is None:
            self._client.calls.on_done(connection, message, payload)
            return
        record.arguments.take_back(self._client.references)
        lease_id = self.scheduler.lease_of(message.task_id)
        if lease_id is not None:
            self._leases[lease_id].in_flight -= 1
        now = time.monotonic()
        unknown = message.cancelled or message.unread or not record.retries_left
        seconds = None if unknown else message.seconds
        self._follow(self.scheduler.finished(message.task_id, seconds, now))
        if self._gathering:
            self.flush()
        self._end(record, message, payload, connection)
        if self._gathering:
            # What waited for these results was gathered together with the first task that this
            # worker, which has nothing left to do, would answer.
            self.flush()

    def _end(
        self, record: TaskRecord, message: TaskDone, payload: bytes, connection: Connection
    ) -> None:
        """Take in what a task came to."""
        if message.cancelled:
            self._finish(record, self._cancelled(record), connection.peer)
            return
        if message.results and message.results[0].kind == FAILED:
            content, _ = from_wire(message.results[0], payload, 0, connection.peer)
            self._failed(record, content, connection, unread=message.unread)
            return
        self.take_results(message, payload, connection)
        self._finish(record, None)

    def take_results(self, message: TaskDone, payload: bytes, connection: Connection) -> None:
        """Store the results that came with a report; called under the lock."""
        start = 0
        for index, value in enumerate(message.results):
            content, start = from_wire(value, payload, start, connection.peer)
            identity = object_id(message.task_id, index)
            self._client.objects.fulfil(identity, content, connection)

    def _failed(
        self, record: TaskRecord, content: Content, by: Connection, *, unread: bool
    ) -> None:
        returned = self._client.objects.returned
        if unread and record.unread < _MAX_UNREAD:
            record.unread += 1
            self._reactor.call_later(_UNREAD_S, partial(self._resolve, record))
        elif self._is_retried(record, content):
            # Before it is sent again: should it fail again, that is another exception.
            returned.refuse(content, failure_id(record.task_id), by)
            record.retries_left -= 1
            self._queue(record)
        else:
            with returned.failing(content, record.task_id, by):
                self._finish(record, content, by.peer)

    def _is_retried(self, record: TaskRecord, content: Content) -> bool:
        wanted = record.options.retried
        if not wanted or record.retries_left == 0:
            return False
        return isinstance(load_raised(content.pieces[0]), wanted)

    def _finish(self, record: TaskRecord, failed: Content | None, worker: bytes = b"") -> None:
        """The task is over; with *failed* all results that are missing hold that error.

        *worker* is who ran it, of one that failed.
        """
        if self.records.pop(record.task_id, None) is not None:
            self._shapes.release(record.shape_id)
            if failed is None or record.stream is not None:  # which has yielded something before
                self._client.recovery.finished(record)
            if failed is not None:
                endings = self._client.endings
                endings.failed(record.task_id, record.name, record.code.name, failed, worker)
        self.settle_returns(record.task_id, record.returns, record.name, failed)
        if record.arguments.held:
            record.arguments.take_back(self._client.references)
            self._client.objects.follow(self._client.references.unhold(record.arguments.held))
        if record.stream is not None:
            self._client.recovery.stream_ended(record, failed)

    def settle_returns(
        self, task_id: bytes, returns: int, name: str, failed: Content | None
    ) -> None:
        """End a call's stream, or put its failure in the place of its results."""
        if returns == STREAMING:
            stream = self.streams.get(task_id)
            if stream is not None and not stream.ended:  # else it ran again, for lost values
                if failed is not None:
                    self._add_item(stream, failed, None)
                stream.ended = True
                stream.notify()
            return
        if failed is not None:
            for index in range(returns):
                self._client.objects.fulfil(object_id(task_id, index), failed, None)
            if returns == 0:
                self._client.in_helper(lambda: log_unseen(load_failure(failed.pieces[0]), name))

    def _on_returned(self, connection: Connection, message: TasksReturned, _p: object) -> None:
        for task_id in message.task_ids:
            lease_id = self.scheduler.lease_of(task_id)
            if lease_id is not None:
                self._leases[lease_id].in_flight -= 1
            record = self.records.get(task_id)
            if record is not None:
                record.arguments.take_back(self._client.references)
        self._follow(self.scheduler.returned(message.task_ids, time.monotonic()))
        self.flush()
        for task_id in message.task_ids:
            record = self.records.get(task_id)
            if record is not None and record.cancelled:
                self.scheduler.forget(task_id)
                self._finish(record, self._cancelled(record))

    # Streams ------------------------------------------------------------------------------

    def _on_stream_item(self, connection: Connection, message: StreamItem, payload: bytes) -> None:
        content, _ = from_wire(message.value, payload, 0, connection.peer)
        stream = self.streams.get(message.task_id)
        if stream is None or stream.ended or message.index < stream.produced:
            # It is made again, or was closed before we knew who makes it.
            size = sum(message.value.lengths)
            self._client.recovery.came_again(
                connection, message.task_id, message.index, content, size
            )
            return
        stream.connection = connection
        self._add_item(stream, content, connection)

    def _add_item(self, stream: Stream, content: Content, by: Connection | None) -> None:
        identity = stream.add(content.size_bytes)
        references = self._client.references
        references.own(identity).local = 1  # the stream's own, until it is taken
        if content.location is not None:
            stream.note_large(lambda index: references.get(object_id(stream.task_id, index)))
        self._client.objects.fulfil(identity, content, by)
        stream.notify()

    def next_in_stream(self, stream_id: bytes, timeout: float | None) -> bytes | None:
        """The identity of the next value, which the caller's reference takes over."""
        with self._lock:
            self._client.flush()
            stream = self.streams.get(stream_id)
        if stream is None:
            return None

        def has_come() -> bool:
            return bool(stream.ready) or stream.ended

        waiting = self._client.waiting
        if timeout is None:
            waiting.check_no_deadlock(has_come, lambda: [stream_id])
        if not waiting.wait_until(has_come, timeout):
            if self._client.closed:
                raise self._client.not_initialized()
            told = self._client.explaining.task(stream_id, timeout or 0.0)
            raise GetTimeout(f"{stream.name} yielded nothing within {timeout} s: {told}")
        with self._lock:
            return stream.take()

    def close_stream(self, stream_id: bytes) -> None:
        """Nobody wants more of it; called under the lock."""
        stream = self.streams.pop(stream_id, None)
        if stream is None:
            return
        for identity in stream.close():
            self._client.objects.follow(self._client.references.drop_local(identity))
        record = self.records.get(stream_id)
        if record is not None and not stream.ended and stream.connection is None:
            self.cancel(stream_id, force=False, recursive=False)
        stream.ended = True  # also for who waits for the next value
        stream.notify()

    def end_streams(self, content: Content) -> None:
        """Nothing will be yielded any more; called under the lock."""
        for stream in [stream for stream in self.streams.values() if not stream.ended]:
            self.settle_returns(stream.task_id, STREAMING, stream.name, content)

    # Cancelling ---------------------------------------------------------------------------

    def cancel(self, task_id: bytes, *, force: bool, recursive: bool) -> bool:
        """Cancel a task of this process; false if it is none. Called under the lock."""
        record = self.records.get(task_id)
        if record is None:
            return False
        record.cancelled = True
        record.retries_left = 0
        lease_id = self.scheduler.lease_of(task_id)
        if lease_id is None:
            self.scheduler.forget(task_id)
            self._finish(record, self._cancelled(record))
            return True
        lease = self._leases[lease_id]
        if force and self.scheduler.is_first(task_id):  # another one must not die for it
            lease.daemon.send(KillWorker(lease_id))
            lease.killed = True
            # It may end before that, and what was sent there meanwhile would die for it.
            self._follow(self.scheduler.reclaim(lease_id))
        elif lease.connection is not None:
            self.flush()
            lease.connection.send(CancelTask(task_id, recursive))
        return True

    def cancel_children(self, parent: bytes) -> None:
        """Cancel what a task has started; called under the lock."""
        for record in [r for r in self.records.values() if r.parent == parent]:
            self.cancel(record.task_id, force=False, recursive=True)

    def _cancelled(self, record: TaskRecord) -> Content:
        return self._client.system_failure(TaskCancelled(f"task {record.name} was cancelled"))

    def fail_all(self, content: Content) -> None:
        """The cluster is gone; called under the lock."""
        for record in list(self.records.values()):
            self.scheduler.forget(record.task_id)
            self._finish(record, content)

    # Housekeeping -------------------------------------------------------------------------

    def _start_ticking(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._reactor.call_later(LINGER_S, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        now = time.monotonic()
        self._follow(self.scheduler.tick(now))
        self._client.late.tick(now)
        if self.scheduler.has_leases or self.records:
            self._start_ticking()

    # For listings and messages ------------------------------------------------------------

    def wanted(self, record: TaskRecord) -> str:
        """What a task asks of a worker."""
        resources = describe(record.options.resources)
        if not self.shape_of(record).environment.fresh:
            return resources
        return f"{resources} and its runtime environment, which may have to be set up"

    def situation(self, record: TaskRecord) -> tuple[str, bytes]:
        """The state of a task as listings call it, and the worker that it was sent to, if any."""
        lease_id = self.scheduler.lease_of(record.task_id)
        if lease_id is not None:
            lease = self._leases.get(lease_id)
            return "SUBMITTED_TO_WORKER", b"" if lease is None else lease.worker
        if self.scheduler.state_of(record.task_id) == "queued":
            return "PENDING_NODE_ASSIGNMENT", b""
        return "PENDING_ARGS_AVAIL", b""

    def waits_for(self, record: TaskRecord) -> str | None:
        """What keeps a task from being sent, in words."""
        state, _ = self.situation(record)
        if state == "PENDING_NODE_ASSIGNMENT":
            return f"a worker with {describe(record.options.resources)}"
        if state == "PENDING_ARGS_AVAIL":
            return self._client.describe_missing(record.arguments.missing)
        return None

    def address_of(self, record: TaskRecord) -> str:
        """Where the worker listens that a task was sent to; empty if there is none any more."""
        lease = self._leases.get(self.scheduler.lease_of(record.task_id) or -1)
        return "" if lease is None else lease.address

    def shape_of(self, record: TaskRecord) -> Shape:
        """What a worker must offer for a task."""
        return self._shapes[record.shape_id].wire
