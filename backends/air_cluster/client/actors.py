"""Actors as their callers see them: handles, ordered calls, death."""

from __future__ import annotations

import pickle
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from air.errors import (
    ActorDied,
    ActorPlacementError,
    AirError,
    DeadlockError,
    InvalidOption,
    PendingCallsLimitExceeded,
    RuntimeEnvSetupError,
    SerializationError,
    TaskCancelled,
    Unschedulable,
)
from air.executor.code import Code, MethodInfo
from air.executor.handles import ActorHandle, ObjectRef, ObjectRefGenerator
from air.executor.options import DEFAULT_ASYNC_CONCURRENCY, ActorOptions, MethodOptions
from air.executor.scheduling import GroupPlacement
from air.executor.validation import show_repr
from air_cluster.client import context
from air_cluster.client.arguments import Arguments, pack_arguments, pack_durable
from air_cluster.client.contents import Content, from_wire
from air_cluster.client.shapes import shape_on_wire
from air_cluster.core.references import Entry
from air_cluster.protocol.frames import FrameError
from air_cluster.protocol.ids import TASK_BYTES, object_id, task_of
from air_cluster.protocol.messages import (
    FAILED,
    STREAMING,
    ActorCall,
    ActorEvent,
    ActorReply,
    CancelTask,
    CreateActor,
    FindActor,
    KeptPackage,
    KillActor,
    ReleaseActor,
    TaskDone,
    WatchActor,
)
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.client.client import Client

PENDING, ALIVE, RESTARTING, DEAD = "PENDING", "ALIVE", "RESTARTING", "DEAD"

_STATES = {PENDING: "being created", RESTARTING: "being restarted", DEAD: "dead"}

REFUSALS: dict[str, type[AirError]] = {
    "unschedulable": Unschedulable,
    "removed": ActorPlacementError,
    "environment": RuntimeEnvSetupError,
}

_KILLED_S = 1.0
"""So long is waited for the end of a process that was killed."""


def handle_id(actor_id: bytes) -> bytes:
    """The object that stands for an actor's handles in the reference counts."""
    return object_id(actor_id, 0)


class _Call(msgspec.Struct, eq=False):
    task_id: bytes
    method: str
    name: str
    returns: int
    depth: int
    parent: bytes
    arguments: Arguments
    retries_left: int
    group: str


_Calls = OrderedDict[bytes, _Call]


class _Actor(msgspec.Struct, eq=False):
    """What this process knows of an actor that it has called.

    Calls that have not been sent wait in the order in which they were made: in *waiting*, or, those
    of a concurrency group, which no others hold up, in one of *lanes*.
    """

    actor_id: bytes
    class_name: str
    methods: Mapping[str, MethodInfo]
    max_task_retries: int = 0
    max_pending_calls: int = -1
    restartable: bool = False
    named: bool = False
    detached: bool = False  # it lives until it is killed, and nobody counts its handles
    state: str = PENDING
    connection: Connection | None = None
    worker: bytes = b""
    address: str = ""  # where that listens
    reason: str = ""
    cause: BaseException | None = None
    groups: tuple[str, ...] = ()
    waiting: _Calls = msgspec.field(default_factory=OrderedDict)
    lanes: dict[str, _Calls] = msgspec.field(default_factory=dict)
    sent: _Calls = msgspec.field(default_factory=OrderedDict)
    creation: Arguments | None = None

    def lane(self, group: str) -> _Calls:
        """Where the calls of a group wait."""
        return self.lanes.setdefault(group, OrderedDict()) if group else self.waiting

    def queues(self) -> list[_Calls]:
        """All that wait, lane by lane."""
        return [self.waiting, *self.lanes.values()]

    def waits(self, task_id: bytes) -> _Call | None:
        """The call of that identity, if it has not been sent."""
        found = (queue[task_id] for queue in self.queues() if task_id in queue)
        return next(found, None)


class Actors:
    """Creates and calls actors."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = client.reactor.lock
        self._actors: dict[bytes, _Actor] = {}
        self._calls: dict[bytes, _Actor] = {}  # task -> actor
        self.me: tuple[Any, ...] | None = None  # of the actor that lives in this process
        self.lone_thread = 0  # which runs all of its methods, if one does
        client.peers.handle(ActorEvent, self._on_event)
        client.peers.handle(
            ActorReply, lambda _c, message, _p: client.requests.answered(message.request, message)
        )

    # Creating and finding -----------------------------------------------------------------

    def create(
        self,
        code: Code,
        methods: Mapping[str, MethodInfo],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: ActorOptions,
    ) -> ActorHandle:
        """See :meth:`Executor.create_actor`."""
        client = self._client
        pickled = client.objects.pack_code(code)
        environment = client.environments.own
        if options.runtime_env is not None:
            environment = client.environments.on_wire(options.runtime_env)
        actor_id = client.ids.task()
        packages: dict[str, bytes] = {}
        if options.detached:
            packages = client.environments.packages(environment, code.name)
            arguments = pack_durable(client, args, kwargs, code.name)
        else:
            arguments = pack_arguments(client, actor_id, args, kwargs, code.name, later=True)
        parent = context.current.get()
        placement = options.placement
        if placement is None and parent is not None and parent.capture:
            placement = GroupPlacement(parent.group, -1, True)
        concurrency = options.max_concurrency
        if concurrency is None:
            is_async = any(info.is_async for info in methods.values())
            concurrency = DEFAULT_ASYNC_CONCURRENCY if is_async else 1
        groups = tuple(options.concurrency_groups)
        wire_args, slots, slot_refs, payload = arguments.to_wire(client.address)

        def make(request: int) -> tuple[CreateActor, list[Any]]:
            return (
                CreateActor(
                    request=request,
                    actor_id=actor_id,
                    class_name=code.name,
                    methods=_pack_methods(methods, options),
                    name=options.name or "",
                    namespace=options.namespace or client.namespace,
                    detached=options.detached,
                    get_if_exists=options.get_if_exists,
                    max_restarts=options.max_restarts,
                    max_concurrency=concurrency,
                    shape=shape_on_wire(options.resources, placement, environment),
                    capture=isinstance(placement, GroupPlacement) and placement.capture_child_tasks,
                    code=code.key,
                    code_bytes=len(pickled),
                    depth=1 if parent is None else parent.depth + 1,
                    address="" if options.detached else client.address,
                    args=wire_args,
                    slots=slots,
                    slot_refs=slot_refs,
                    job_id=client.job_id,
                    job_namespace=client.namespace,
                    groups=dict(options.concurrency_groups),
                    packages=[KeptPackage(key, len(kept)) for key, kept in packages.items()],
                ),
                [pickled, *payload, *packages.values()],
            )

        with self._lock:
            client.check_alive()
            client.objects.drain()
            client.references.own(handle_id(actor_id)).local = 1
            arguments.lend(client.references)
            self._actors[actor_id] = _Actor(
                actor_id,
                code.name,
                methods,
                options.max_task_retries,
                options.max_pending_calls,
                restartable=options.max_restarts != 0,
                named=options.name is not None,
                detached=options.detached,
                groups=groups,
                creation=arguments,
            )
            handle = ActorHandle(actor_id, code.name, methods, client.executor, groups)
            client.gathering.flush()
            if options.name is None:
                message, parts = make(0)
                client.daemon.send(message, parts)
                return handle
        reply: ActorReply = client.requests.ask(client.daemon, make)
        if reply.error:
            self._abandon(actor_id)
            raise InvalidOption(reply.error)
        if reply.actor_id != actor_id:  # get_if_exists found one
            self._abandon(actor_id)
            return self._found(reply)
        return handle

    def _abandon(self, actor_id: bytes) -> None:
        """The cluster did not make this actor after all."""
        with self._lock:
            self._release_creation(self._actors.pop(actor_id))

    def find(self, name: str, namespace: str | None) -> ActorHandle:
        """See :meth:`Executor.find_actor`."""
        client = self._client
        where = namespace or client.namespace
        reply: ActorReply = client.requests.ask(
            client.daemon, lambda number: (FindActor(number, name, where), [])
        )
        if reply.error:
            raise ValueError(reply.error)
        return self._found(reply)

    def _found(self, reply: ActorReply) -> ActorHandle:
        state = (
            reply.actor_id,
            reply.class_name,
            *pickle.loads(reply.methods),
            reply.owner_address,
        )
        handle = self.import_handle(state)
        with self._lock:
            references = self._client.references
            out = references.register([handle_id(reply.actor_id)], None)
            self._client.objects.follow(out)
        return handle

    def own_handle(self) -> ActorHandle:
        """A handle to the actor that lives in this process."""
        assert self.me is not None
        return self.import_handle(self.me)

    def export_handle(self, handle: ActorHandle) -> tuple[Any, ...]:
        """What stands for a handle inside a pickled value; no address: nobody counts it."""
        actor_id = handle._actor_id
        actor = self._actors.get(actor_id)
        if actor is not None and actor.detached:
            self._client.objects.check_pickling(handle_id(actor_id))
            address = ""
        else:
            _, address = self._client.objects.export(handle_id(actor_id))
            actor = self._actors[actor_id]
        return (
            actor_id,
            actor.class_name,
            handle._methods,
            actor.max_task_retries,
            actor.max_pending_calls,
            actor.groups,
            address,
        )

    def import_handle(self, state: tuple[Any, ...]) -> ActorHandle:
        """The handle that :meth:`export_handle` described."""
        actor_id, class_name, methods, retries, pending, groups, address = state
        with self._lock:
            if actor_id not in self._actors:
                self._actors[actor_id] = _Actor(
                    actor_id,
                    class_name,
                    methods,
                    retries,
                    pending,
                    detached=not address,
                    groups=groups,
                )
                self._client.daemon.send(WatchActor(actor_id))
            self._client.objects.imported(handle_id(actor_id), address)
            if not address:
                self._client.references.uncounted(handle_id(actor_id))
        return ActorHandle(actor_id, class_name, methods, self._client.executor, groups)

    @property
    def may_be_made_anew(self) -> bool:
        """Whether this process keeps what actors were given, which may be made once more."""
        return any(
            actor.creation is not None and actor.creation.held for actor in self._actors.values()
        )

    def is_actor(self, identity: bytes) -> bool:
        """Whether an object stands for an actor's handles."""
        return identity[:TASK_BYTES] in self._actors and identity[TASK_BYTES:] == b"\0\0\0\0"

    def fail_all(self, reason: str) -> None:
        """The cluster is gone; called under the lock."""
        for actor in list(self._actors.values()):
            self._die(actor, reason)

    def freed(self, entry: Entry) -> None:
        """The last reference to a handle in this process is gone; called under the lock."""
        actor_id = entry.id[:TASK_BYTES]
        actor = self._actors.get(actor_id)
        if actor is None:
            return
        if entry.owned and actor.state != DEAD and not (actor.named or actor.detached):
            self._client.daemon.send(ReleaseActor(actor_id))
        if not entry.owned:
            # Calls that are under way hold the handle, so none are left here.
            del self._actors[actor_id]
        elif actor.state == DEAD:
            del self._actors[actor_id]

    def kill(self, handle: ActorHandle, no_restart: bool) -> None:
        """See :meth:`Executor.kill_actor`.

        Waits for a moment until the process has ended, which closes its connection: what it was
        doing would be in the way of what comes next, such as of tidying up after it.
        """
        with self._lock:
            self._client.gathering.flush()
            self._client.daemon.send(KillActor(handle._actor_id, no_restart))
            actor = self._actors.get(handle._actor_id)
            if actor is None:
                return
            connection = actor.connection
            if no_restart:
                self._die(actor, f"actor {actor.class_name} was killed by air.kill")
            elif actor.state == ALIVE:  # what is called from now on is for the next one
                self._restarting(actor)
            self._client.reactor.nudge()
            in_handler = self._client.reactor.in_handler()
        if connection is not None and not in_handler:
            deadline = time.monotonic() + _KILLED_S
            self._client.reactor.wait_for(lambda: connection.closed, deadline)

    # Calling ------------------------------------------------------------------------------

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
            client.objects.drain()
            actor = self._actors[handle._actor_id]
            pending = len(actor.waiting) + len(actor.sent)
            if actor.lanes:
                pending += sum(map(len, actor.lanes.values()))
            if 0 <= actor.max_pending_calls <= pending:
                self._give_up(arguments)
                raise PendingCallsLimitExceeded(
                    f"{name}: the actor has max_pending_calls={pending}, and that many calls of"
                    " this process are unfinished; wait for some of them"
                )
            # The handle may be dropped before the call is done.
            held = handle_id(actor.actor_id)
            client.references.hold([held])
            arguments.held.append(held)
            made = client.submitter.make_returns(task_id, returns, name)
            call = _Call(
                task_id,
                method,
                name,
                returns,
                1 if parent is None else parent.depth + 1,
                b"" if parent is None else parent.task_id,
                arguments,
                actor.max_task_retries,
                group,
            )
            self._calls[task_id] = actor
            if actor.state == DEAD:
                self._finish_dead(actor, call)
                return made
            lane = actor.lane(group) if group else actor.waiting
            if lane or arguments.slots or not self._send(actor, call):
                lane[task_id] = call
                for entry in arguments.missing:
                    client.objects.watch(entry, lambda _entry: self._send_ready(actor, lane))
                self._send_ready(actor, lane)
            is_full = client.gathering.is_full
        if is_full:
            client.gathering.pause()
        return made

    def _give_up(self, arguments: Arguments) -> None:
        arguments.take_back(self._client.references)
        self._client.objects.follow(self._client.references.unhold(arguments.held))

    def _send_ready(self, actor: _Actor, lane: _Calls) -> None:
        """Send calls of a lane in order, up to the first whose arguments are not there yet."""
        while lane:
            task_id, call = next(iter(lane.items()))
            if call.arguments.slots:
                if call.arguments.missing:
                    return
                failed = call.arguments.failed
                if failed is not None:
                    del lane[task_id]
                    self._finish(actor, call, failed)
                    continue
            if not self._send(actor, call):
                return
            del lane[task_id]

    def _send(self, actor: _Actor, call: _Call) -> bool:
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
        )
        try:
            connection.send(message, payload)
        except FrameError as error:
            # All arguments together are too much for one message.
            failed = client.system_failure(SerializationError(f"{call.name}: {error}"))
            client.reactor.call_soon(partial(self._finish, actor, call, failed))
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
            self._finish(actor, call, self._cancelled(call))
        elif message.results and message.results[0].kind == FAILED:
            content, _ = from_wire(message.results[0], payload, 0, connection.peer)
            with self._client.objects.returned.failing(content, call.task_id, connection):
                self._finish(actor, call, content)
        else:
            self._client.submitter.take_results(message, payload, connection)
            self._finish(actor, call, None)

    def _finish(self, actor: _Actor, call: _Call, failed: Content | None) -> None:
        self._calls.pop(call.task_id, None)
        if failed is not None:
            function = f"{actor.class_name}.{call.method}"
            endings = self._client.endings
            endings.failed(call.task_id, call.name, function, failed, actor.actor_id)
        self._client.submitter.settle_returns(call.task_id, call.returns, call.name, failed)
        self._give_up(call.arguments)

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
            self._finish(actor, call, self._cancelled(call))
            self._send_ready(actor, lane)  # it may have held up others
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

    def _cancelled(self, call: _Call) -> Content:
        return self._client.system_failure(TaskCancelled(f"call {call.name} was cancelled"))

    # Life and death -----------------------------------------------------------------------

    def _on_event(self, _connection: Connection, message: ActorEvent, payload: bytes) -> None:
        actor = self._actors.get(message.actor_id)
        cause = None
        if payload:
            cause = self._client.objects.returned.load_cause(message.actor_id, payload)
        if actor is None or actor.state == DEAD:
            return
        if message.state == ALIVE:
            self._alive(actor, message)
        elif message.state == RESTARTING:
            self._restarting(actor)
        elif message.state == DEAD:
            if message.refusal in REFUSALS:
                why = f"actor {actor.class_name} cannot run: {message.reason}"
                cause = REFUSALS[message.refusal](why)
            actor.cause = cause
            self._die(actor, message.reason)

    def _alive(self, actor: _Actor, message: ActorEvent) -> None:
        try:
            actor.connection = self._client.peers.to(message.worker, message.address)
        except OSError:
            return  # it died already; the daemon will say so
        actor.state = ALIVE
        actor.worker, actor.address = message.worker, message.address
        if not actor.restartable:
            self._release_creation(actor)
        for lane in actor.queues():
            self._send_ready(actor, lane)

    def unreachable(self, connection: Connection, reason: str) -> None:
        """There is no way to an actor's process; called under the lock.

        Calls that were sent may have run or not: they fail. Later ones try to connect anew.
        """
        for actor in [a for a in self._actors.values() if a.connection is connection]:
            sent, actor.sent = list(actor.sent.values()), OrderedDict()
            for call in sent:
                error = ActorDied(f"{call.name} may have run or not: {reason}")
                self._finish(actor, call, self._client.system_failure(error))
            try:
                actor.connection = self._client.peers.to(actor.worker, actor.address)
            except OSError:
                continue  # the daemon will say that it has died
            for lane in actor.queues():
                self._send_ready(actor, lane)

    def _restarting(self, actor: _Actor) -> None:
        """The actor's process died: send calls again that may be, in their old order."""
        actor.state = RESTARTING
        actor.connection = None
        for call in reversed(actor.sent.values()):
            if call.retries_left != 0:
                call.retries_left -= 1
                lane = actor.lane(call.group)
                lane[call.task_id] = call
                lane.move_to_end(call.task_id, last=False)
            else:
                self._finish(actor, call, self._died_under(actor, call.name))
        actor.sent.clear()

    def _died_under(self, actor: _Actor, name: str) -> Content:
        return self._client.system_failure(
            ActorDied(f"actor {actor.class_name} died while it ran {name}, and is restarting")
        )

    def _die(self, actor: _Actor, reason: str) -> None:
        if actor.state == DEAD:
            return
        actor.state = DEAD
        actor.reason = reason
        actor.connection = None
        sent = list(actor.sent.values())
        waiting = [call for queue in actor.queues() for call in queue.values()]
        actor.sent.clear()
        actor.waiting.clear()
        actor.lanes.clear()
        for call in sent:
            self._finish_dead(actor, call, sent=True)
        for call in waiting:
            self._finish_dead(actor, call)
        self._release_creation(actor)
        if self._client.references.get(handle_id(actor.actor_id)) is None:
            self._actors.pop(actor.actor_id, None)

    def _release_creation(self, actor: _Actor) -> None:
        if actor.creation is not None:
            creation, actor.creation = actor.creation, None
            self._give_up(creation)

    def _finish_dead(self, actor: _Actor, call: _Call, *, sent: bool = False) -> None:
        cause = actor.cause
        if cause is not None and isinstance(cause, tuple(REFUSALS.values())):
            error: BaseException = cause
        else:
            why = actor.reason if cause is None else f"{actor.reason} {show_repr(cause)}"
            error = ActorDied(f"{call.name} {'did not finish' if sent else 'cannot run'}: {why}")
            error.__cause__ = cause
        failed = self._client.objects.pack_failure(error, "")
        self._finish(actor, call, failed)
        self._client.objects.give_up(failed)

    def check_no_deadlock(self, pending: Iterable[Entry]) -> None:
        """Complain about a method that is about to wait for another one of its own actor.

        Raises:
            DeadlockError: that one runs in the calling thread as well, after this one.
        """
        if threading.get_ident() != self.lone_thread or self.me is None:
            return
        for entry in pending:
            actor = self._calls.get(task_of(entry.id))
            if actor is not None and actor.actor_id == self.me[0]:
                name = self._name_of(actor, task_of(entry.id))
                raise DeadlockError(
                    f"waiting for {name} in another method of the same actor would never end: all"
                    " of them run in one thread. `await` the reference, if this is an async"
                    " method; else call the method directly, or give the actor a max_concurrency"
                    " above 1"
                )

    def _name_of(self, actor: _Actor, task_id: bytes) -> str:
        call = actor.sent.get(task_id) or actor.waits(task_id)
        return actor.class_name if call is None else call.name

    # For listings and messages ------------------------------------------------------------

    def unfinished(self) -> Iterator[tuple[_Actor, _Call]]:
        """All calls of this process that have not ended; under the lock."""
        for actor in self._actors.values():
            for calls in (actor.sent, *actor.queues()):
                for call in calls.values():
                    yield actor, call

    def call_of(self, task_id: bytes) -> tuple[_Actor, _Call] | None:
        """A call that has not ended, and its actor."""
        actor = self._calls.get(task_id)
        if actor is None:
            return None
        call = actor.sent.get(task_id) or actor.waits(task_id)
        return None if call is None else (actor, call)

    def situation(self, actor: _Actor, call: _Call) -> str:
        """The state of a call as listings name it."""
        if call.task_id in actor.sent:
            return "SUBMITTED_TO_WORKER"
        return "PENDING_ARGS_AVAIL" if call.arguments.missing else "PENDING_NODE_ASSIGNMENT"

    def waits_for(self, actor: _Actor, call: _Call) -> str | None:
        """What keeps a call from being sent, in words."""
        if call.task_id in actor.sent:
            return None
        missing = call.arguments.missing
        if missing:
            return self._client.describe_missing(missing)
        if actor.state != ALIVE:
            return f"its actor, which is {_STATES[actor.state]}"
        return "the arguments of an earlier call"


def _pack_methods(methods: Mapping[str, MethodInfo], options: ActorOptions) -> bytes:
    groups = tuple(options.concurrency_groups)
    return pickle.dumps(
        (dict(methods), options.max_task_retries, options.max_pending_calls, groups)
    )
