"""Actors as their callers see them: creation, handles, life and death; see also ``calls``."""

from __future__ import annotations

import pickle
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from air.errors import (
    ActorUnreachable,
    InvalidOption,
)
from air.executor.code import Code, MethodInfo
from air.executor.handles import ActorHandle
from air.executor.options import DEFAULT_ASYNC_CONCURRENCY, ActorOptions
from air.executor.scheduling import GroupPlacement
from air_cluster.client import context
from air_cluster.client.actor_records import (
    ALIVE,
    DEAD,
    REFUSALS,
    RESTARTING,
    CalledActor,
    handle_id,
)
from air_cluster.client.arguments import pack_arguments, pack_durable
from air_cluster.client.shapes import shape_on_wire
from air_cluster.core.references import Entry
from air_cluster.protocol.ids import TASK_BYTES
from air_cluster.protocol.messages import (
    ActorEvent,
    ActorReply,
    CreateActor,
    FindActor,
    KeptPackage,
    KillActor,
    ReleaseActor,
    WatchActor,
)
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.client.client import Client

_KILLED_S = 1.0
"""So long is waited for the end of a process that was killed."""


class Actors:
    """Creates and calls actors."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = client.reactor.lock
        self.known: dict[bytes, CalledActor] = {}
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
            self.known[actor_id] = CalledActor(
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
            self._release_creation(self.known.pop(actor_id))

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
        actor = self.known.get(actor_id)
        if actor is not None and actor.detached:
            self._client.objects.check_pickling(handle_id(actor_id))
            address = ""
        else:
            _, address = self._client.objects.export(handle_id(actor_id))
            actor = self.known[actor_id]
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
            if actor_id not in self.known:
                self.known[actor_id] = CalledActor(
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
            actor.creation is not None and actor.creation.held for actor in self.known.values()
        )

    def is_actor(self, identity: bytes) -> bool:
        """Whether an object stands for an actor's handles."""
        return identity[:TASK_BYTES] in self.known and identity[TASK_BYTES:] == b"\0\0\0\0"

    def fail_all(self, reason: str) -> None:
        """The cluster is gone; called under the lock."""
        for actor in list(self.known.values()):
            self._die(actor, reason, reason)

    def freed(self, entry: Entry) -> None:
        """The last reference to a handle in this process is gone; called under the lock."""
        actor_id = entry.id[:TASK_BYTES]
        actor = self.known.get(actor_id)
        if actor is None:
            return
        if entry.owned and actor.state != DEAD and not (actor.named or actor.detached):
            self._client.daemon.send(ReleaseActor(actor_id))
        if not entry.owned:
            # Calls that are under way hold the handle, so none are left here.
            del self.known[actor_id]
        elif actor.state == DEAD:
            del self.known[actor_id]

    def kill(self, handle: ActorHandle, no_restart: bool) -> None:
        """See :meth:`Executor.kill_actor`.

        Waits for a moment until the process has ended, which closes its connection: what it was
        doing would be in the way of what comes next, such as of tidying up after it.
        """
        with self._lock:
            self._client.gathering.flush()
            self._client.daemon.send(KillActor(handle._actor_id, no_restart))
            actor = self.known.get(handle._actor_id)
            if actor is None:
                return
            connection = actor.connection
            if no_restart:
                why = "was killed by air.kill"
                self._die(actor, f"actor {actor.class_name} {why}", f"it {why}", "killed")
            elif actor.state == ALIVE:  # what is called from now on is for the next one
                self._restarting(actor)
            self._client.reactor.nudge()
            in_handler = self._client.reactor.in_handler()
        if connection is not None and not in_handler:
            deadline = time.monotonic() + _KILLED_S
            self._client.reactor.wait_for(lambda: connection.closed, deadline)

    # Life and death -----------------------------------------------------------------------

    def _on_event(self, _connection: Connection, message: ActorEvent, payload: bytes) -> None:
        actor = self.known.get(message.actor_id)
        cause = None
        if payload:
            cause = self._client.objects.returned.load_cause(message.actor_id, payload)
        if actor is None or actor.state == DEAD:
            return
        if message.state == ALIVE:
            self._alive(actor, message)
            return
        if actor.sent:  # and may have been answered before the actor ended
            self._client.peers.read_out(actor.worker)
        if message.state == RESTARTING:
            self._restarting(actor)
        elif message.state == DEAD:
            if message.refusal in REFUSALS:
                why = f"actor {actor.class_name} cannot run: {message.reason}"
                actor.refusal = REFUSALS[message.refusal](why)
            actor.cause = cause
            self._die(actor, message.reason, message.death, message.death_kind)

    def _alive(self, actor: CalledActor, message: ActorEvent) -> None:
        try:
            actor.connection = self._client.peers.to(message.worker, message.address)
        except OSError:
            return  # it died already; the daemon will say so
        actor.state = ALIVE
        actor.worker, actor.address = message.worker, message.address
        if not actor.restartable:
            self._release_creation(actor)
        for lane in actor.queues():
            self._client.calls.send_ready(actor, lane)

    def unreachable(self, connection: Connection, reason: str) -> None:
        """There is no way to an actor's process; called under the lock.

        Calls that were sent may have run or not: they fail. Later ones try to connect anew.
        """
        for actor in [a for a in self.known.values() if a.connection is connection]:
            sent, actor.sent = list(actor.sent.values()), OrderedDict()
            for call in sent:
                error = ActorUnreachable(f"{call.name} may have run or not: {reason}")
                error.actor = actor.actor_id.hex()
                error.death, error.death_kind = reason, "unreachable"
                failed = self._client.system_failure(error)
                self._client.calls.finish(actor, call, failed, connection.peer)
            try:
                actor.connection = self._client.peers.to(actor.worker, actor.address)
            except OSError:
                continue  # the daemon will say that it has died
            for lane in actor.queues():
                self._client.calls.send_ready(actor, lane)

    def _restarting(self, actor: CalledActor) -> None:
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
                failed = self._client.calls.died_under(actor, call.name)
                self._client.calls.finish(actor, call, failed, actor.worker)
        actor.sent.clear()

    def _die(self, actor: CalledActor, reason: str, death: str, kind: str = "") -> None:
        if actor.state == DEAD:
            return
        actor.state = DEAD
        actor.reason, actor.death, actor.death_kind = reason, death, kind
        actor.connection = None
        sent = list(actor.sent.values())
        waiting = [call for queue in actor.queues() for call in queue.values()]
        actor.sent.clear()
        actor.waiting.clear()
        actor.lanes.clear()
        for call in sent:
            self._client.calls.finish_dead(actor, call, sent=True)
        for call in waiting:
            self._client.calls.finish_dead(actor, call)
        self._release_creation(actor)
        if self._client.references.get(handle_id(actor.actor_id)) is None:
            self.known.pop(actor.actor_id, None)

    def _release_creation(self, actor: CalledActor) -> None:
        if actor.creation is not None:
            creation, actor.creation = actor.creation, None
            self._client.calls.give_up(creation)


def _pack_methods(methods: Mapping[str, MethodInfo], options: ActorOptions) -> bytes:
    groups = tuple(options.concurrency_groups)
    return pickle.dumps(
        (dict(methods), options.max_task_retries, options.max_pending_calls, groups)
    )
