"""Calls of actors: in order, straight to their processes, until they have ended."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from air.errors import (
    ActorDied,
    DeadlockError,
    PendingCallsLimitExceeded,
    SerializationError,
    TaskCancelled,
)
from air.executor.handles import ActorHandle, ObjectRef, ObjectRefGenerator
from air.executor.options import MethodOptions
from air.executor.validation import show_repr
from air_cluster.client import context
from air_cluster.client.actor_records import (
    ALIVE,
    DEAD,
    STATES,
    Call,
    CalledActor,
    CallQueue,
    handle_id,
)
from air_cluster.client.arguments import Arguments, pack_arguments
from air_cluster.client.contents import Content, from_wire
from air_cluster.protocol.frames import FrameError
from air_cluster.protocol.messages import FAILED, STREAMING, ActorCall, CancelTask, TaskDone
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.client.client import Client


class Calls:
    """The calls of this process that have not ended."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = client.reactor.lock
        self._calls: dict[bytes, CalledActor] = {}  # task -> actor

    def call(
        self,
        handle: ActorHandle,
        method: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: MethodOptions,
    ) -> list[ObjectRef[Any]] | ObjectRefGenerator:
        """See :meth:`Executor.call_actor`."""
        client = self._client
        task_id = client.ids.task()
        name = options.name or f"{handle._class_name}.{method}"
        arguments = pack_arguments(client, task_id, args, kwargs, name)
        parent = context.current.get()
        returns = STREAMING if options.num_returns == "streaming" else options.num_returns
        group = options.concurrency_group or ""
        assert isinstance(returns, int)
        with self._lock:
            client.check_alive()
            if client.objects.dropped:
                client.objects.drain()
            actor = client.actors.known[handle._actor_id]
            pending = len(actor.waiting) + len(actor.sent)
            if actor.lanes:
                pending += sum(map(len, actor.lanes.values()))
            if 0 <= actor.max_pending_calls <= pending:
                self.give_up(arguments)
                raise PendingCallsLimitExceeded(
                    f"{name}: the actor has max_pending_calls={pending}, and that many calls of"
                    " this process are unfinished; wait for some of them"
                )
            # The handle may be dropped before the call is done.
            held = handle_id(actor.actor_id)
            client.references.entries[held].holds += 1
            arguments.held.append(held)
            made = client.submitter.make_returns(task_id, returns, name, options.bytes_ahead)
            call = Call(
                task_id,
                method,
                name,
                returns,
                1 if parent is None else parent.depth + 1,
                b"" if parent is None else parent.task_id,
                arguments,
                actor.max_task_retries,
                group,
                options.bytes_ahead,
            )
            self._calls[task_id] = actor
            if actor.state == DEAD:
                self.finish_dead(actor, call)
                return made
            lane = actor.lane(group) if group else actor.waiting
            if lane or arguments.slots or not self._send(actor, call):
                lane[task_id] = call
                for entry in arguments.missing:
                    client.objects.watch(entry, lambda _entry: self.send_ready(actor, lane))
                self.send_ready(actor, lane)
            is_full = client.gathering.is_full
        if is_full:
            client.gathering.pause()
        return made

    def give_up(self, arguments: Arguments) -> None:
        """Let go of what a call was given; called under the lock."""
        arguments.take_back(self._client.references)
        free = self._client.references.unhold(arguments.held)
        if free:
            self._client.objects.follow(free)

    def send_ready(self, actor: CalledActor, lane: CallQueue) -> None:
        """Send calls of a lane in order, up to the first whose arguments are not there yet."""
        while lane:
            task_id, call = next(iter(lane.items()))
            if call.arguments.slots:
                if call.arguments.missing:
                    return
                failed = call.arguments.failed
                if failed is not None:
                    del lane[task_id]
                    self.finish(actor, call, failed)
                    continue
            if not self._send(actor, call):
                return
            del lane[task_id]

    def _send(self, actor: CalledActor, call: Call) -> bool:
        """Send a call whose arguments are there; false if the actor cannot be reached now."""
        connection = actor.connection
        if actor.state != ALIVE or connection is None or connection.is_lost:
            return False
        client = self._client
        call.arguments.lend(client.references)
        args, slots, slot_refs, payload = call.arguments.to_wire(client.address)
        if actor.sent:
            client.gathering.add(connection)
        else:
            client.gathering.flush()
        message = ActorCall(
            call.task_id,
            actor.actor_id,
            call.method,
            call.name,
            call.returns,
            call.depth,
            client.address,
            args,
            slots,
            slot_refs,
            call.group,
            call.ahead,
        )
        try:
            connection.send(message, payload)
        except FrameError as error:
            # All arguments together are too much for one message.
            failed = client.system_failure(SerializationError(f"{call.name}: {error}"))
            client.reactor.call_soon(partial(self.finish, actor, call, failed))
            return True
        if connection.is_lost:
            return False
        actor.sent[call.task_id] = call
        return True

    def on_done(self, connection: Connection, message: TaskDone, payload: bytes) -> None:
        """A call has ended; called under the lock."""
        actor = self._calls.get(message.task_id)
        if actor is None:
            return
        call = actor.sent.pop(message.task_id, None)
        if call is None:
            return
        if message.cancelled:
            self.finish(actor, call, self._cancelled(call), connection.peer)
        elif message.results and message.results[0].kind == FAILED:
            content, _ = from_wire(message.results[0], payload, 0, connection.peer)
            with self._client.objects.returned.failing(content, call.task_id, connection):
                self.finish(actor, call, content, connection.peer)
        else:
            self._client.submitter.take_results(message, payload, connection)
            self.finish(actor, call, None)

    def finish(
        self, actor: CalledActor, call: Call, failed: Content | None, worker: bytes = b""
    ) -> None:
        """The call has ended; with *failed* all results that are missing hold that error.

        *worker* is who ran it, of one that failed.
        """
        self._calls.pop(call.task_id, None)
        if failed is not None:
            function = f"{actor.class_name}.{call.method}"
            endings = self._client.endings
            endings.failed(call.task_id, call.name, function, failed, worker, actor.actor_id)
        if failed is not None or call.returns == STREAMING:
            self._client.submitter.settle_returns(call.task_id, call.returns, call.name, failed)
        self.give_up(call.arguments)

    def cancel(self, task_id: bytes, *, force: bool, recursive: bool) -> bool:
        """Cancel a call; false if it is none of ours. Called under the lock."""
        actor = self._calls.get(task_id)
        if actor is None:
            return False
        if force:
            raise TypeError(
                "air.cancel(force=True) is not for methods of actors; air.kill ends the actor"
            )
        call = actor.waits(task_id)
        if call is not None:
            lane = actor.lane(call.group)
            del lane[task_id]
            self.finish(actor, call, self._cancelled(call))
            self.send_ready(actor, lane)  # it may have held up others
        elif actor.connection is not None:
            actor.connection.send(CancelTask(task_id, recursive))
        return True

    def cancel_children(self, parent: bytes) -> None:
        """Cancel the calls that a task has made; called under the lock."""
        for actor in set(self._calls.values()):
            unfinished = [*actor.queues(), actor.sent]
            for call in [call for queue in unfinished for call in queue.values()]:
                if call.parent == parent:
                    self.cancel(call.task_id, force=False, recursive=True)

    def _cancelled(self, call: Call) -> Content:
        return self._client.system_failure(TaskCancelled(f"call {call.name} was cancelled"))

    def died_under(self, actor: CalledActor, name: str) -> Content:
        """The failure of a call that is not made again."""
        return self._client.system_failure(
            ActorDied(f"actor {actor.class_name} died while it ran {name}, and is restarting")
        )

    def finish_dead(self, actor: CalledActor, call: Call, *, sent: bool = False) -> None:
        """The call has ended because its actor has."""
        cause = actor.cause
        if actor.refusal is not None:
            error = actor.refusal
        else:
            why = actor.reason if cause is None else f"{actor.reason} {show_repr(cause)}"
            died = ActorDied(f"{call.name} {'did not finish' if sent else 'cannot run'}: {why}")
            died.__cause__ = cause
            died.death, died.death_kind = actor.death, actor.death_kind
            error = died
        error.dead_actor = actor.actor_id.hex()
        failed = self._client.objects.pack_failure(error, "")
        self.finish(actor, call, failed, actor.worker if sent else b"")
        self._client.objects.give_up(failed)

    @property
    def run_here(self) -> bool:
        """Whether the calling thread is the one that all methods of this actor run in."""
        return threading.get_ident() == self._client.actors.lone_thread

    def check_no_deadlock(self, pending: Iterable[bytes]) -> None:
        """Complain about a method that is about to wait for another one of its own actor.

        Args:
            pending: the tasks and calls that it is about to wait for.

        Raises:
            DeadlockError: that one runs in the calling thread as well, after this one.
        """
        actors = self._client.actors
        if threading.get_ident() != actors.lone_thread or actors.me is None:
            return
        for task_id in pending:
            actor = self._calls.get(task_id)
            if actor is not None and actor.actor_id == actors.me[0]:
                name = self._name_of(actor, task_id)
                raise DeadlockError(
                    f"waiting for {name} in another method of the same actor would never end: all"
                    " of them run in one thread. `await` the reference, if this is an async"
                    " method; else call the method directly, or give the actor a max_concurrency"
                    " above 1"
                )

    def _name_of(self, actor: CalledActor, task_id: bytes) -> str:
        call = actor.sent.get(task_id) or actor.waits(task_id)
        return actor.class_name if call is None else call.name

    # For listings and messages ------------------------------------------------------------

    def unfinished(self) -> Iterator[tuple[CalledActor, Call]]:
        """All calls of this process that have not ended; under the lock."""
        for actor in self._client.actors.known.values():
            for calls in (actor.sent, *actor.queues()):
                for call in calls.values():
                    yield actor, call

    def call_of(self, task_id: bytes) -> tuple[CalledActor, Call] | None:
        """A call that has not ended, and its actor."""
        actor = self._calls.get(task_id)
        if actor is None:
            return None
        call = actor.sent.get(task_id) or actor.waits(task_id)
        return None if call is None else (actor, call)

    def situation(self, actor: CalledActor, call: Call) -> str:
        """The state of a call as listings name it."""
        if call.task_id in actor.sent:
            return "SUBMITTED_TO_WORKER"
        return "PENDING_ARGS_AVAIL" if call.arguments.missing else "PENDING_NODE_ASSIGNMENT"

    def waits_for(self, actor: CalledActor, call: Call) -> str | None:
        """What keeps a call from being sent, in words."""
        if call.task_id in actor.sent:
            return None
        missing = call.arguments.missing
        if missing:
            return self._client.describe_missing(missing)
        if actor.state != ALIVE:
            return f"its actor, which is {STATES[actor.state]}"
        return "the arguments of an earlier call"
