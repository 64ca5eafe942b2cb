"""Actors: an instance, a queue of calls, and the handles that keep it alive.

Calls start in the order in which they were made, each at once if it can. A synchronous actor
runs one method at a time, whatever its ``max_concurrency`` and its concurrency groups: these are
upper bounds. A call that arrives while a method runs (from inside that method, or from another
thread) waits in the queue of its group. An actor with an async method runs all its methods on the
event loop, in each group as many at the same time as the group allows.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from air.errors import ActorDied, InvalidOption, PendingCallsLimitExceeded
from air.executor.code import MethodInfo
from air.executor.environments import Environment
from air.executor.handles import ActorHandle
from air.executor.options import DEFAULT_ASYNC_CONCURRENCY, ActorOptions
from air.executor.validation import listing, nearest, show_repr
from air_local.calls import Arguments, Call, Frame, ValueCall
from air_local.engine import Engine
from air_local.placement import Group, Node
from air_local.store import Failure, Ids, Store
from air_local.turns import NO_GROUP, Turns

if TYPE_CHECKING:
    import asyncio

    from air.executor.interface import Executor
    from air_local.streams import Stream

Load = Callable[[], Callable[..., Any]]


class Actor:
    """One actor. Its tables are changed by :class:`Actors`, under its lock."""

    def __init__(
        self,
        actor_id: bytes,
        class_name: str,
        methods: Mapping[str, MethodInfo],
        options: ActorOptions,
        namespace: str,
        group: Group | None,
        bundle: int,
        capture: bool,
        environment: Environment,
    ) -> None:
        self.id = actor_id
        self.class_name = class_name
        self.methods = methods
        self.options = options
        self.namespace = namespace
        self.group = group
        self.bundle = bundle
        self.capture = capture
        self.environment = environment
        self.gpu_ids: tuple[int, ...] = ()
        self.is_async = any(info.is_async for info in methods.values())
        limits = {NO_GROUP: options.max_concurrency or DEFAULT_ASYNC_CONCURRENCY}
        limits.update(options.concurrency_groups)
        self.turns = Turns(sum(limits.values()) if self.is_async else 1, limits)
        self.instance: Any = None
        self.state = "STARTING"
        self.handles = 0
        self.unfinished: dict[Call, None] = {}
        self.streams: set[Stream] = set()
        self.background: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self.groups: list[bytes] = []  # that its methods have made
        self.death = ""
        self.death_kind = ""
        self.cause: BaseException | None = None

    def died(self, call_name: str) -> Failure:
        """What calls of this actor hold now that it is dead."""
        error = ActorDied(
            f"{call_name} was not finished: actor {self.class_name} ({self.id.hex()}) is dead:"
            f" {self.death}"
        )
        error.__cause__ = self.cause
        error.dead_actor = self.id.hex()
        error.death, error.death_kind = self.death, self.death_kind
        return Failure(error, call_name)

    def frame(
        self,
        task_id: bytes,
        name: str,
        parent_id: bytes | None,
        method: str = "",
        lane: str = NO_GROUP,
    ) -> Frame:
        """The surroundings of one of its methods, or of its constructor."""
        return Frame(
            task_id,
            name,
            self.options.resources,
            actor=self,
            group=self.group,
            bundle=self.bundle,
            capture=self.capture,
            gpu_ids=self.gpu_ids,
            parent_id=parent_id,
            lane=lane,
            function=f"{self.class_name}.{method}" if method else "",
            environment=self.environment,
        )


class LocalHandle(ActorHandle):
    """A handle that holds its actor, for the same reason as ``LocalRef`` holds its entry."""

    __slots__ = ("_air_actor", "_air_release")

    def __init__(self, actor: Actor, executor: Executor, release: Callable[[Actor], None]) -> None:
        groups = actor.options.concurrency_groups
        super().__init__(actor.id, actor.class_name, actor.methods, executor, groups)
        # The user's methods are looked up on the handle too, and may have the plain names.
        self._air_actor = actor
        self._air_release = release

    def __del__(self) -> None:
        self._air_release(self._air_actor)


class Construction(Call):
    """The run of an actor's constructor."""

    def __init__(self, store: Store, actors: Actors, actor: Actor, load: Load, **common: Any):
        super().__init__(store, f"{actor.class_name}.__init__", **common)
        self._actors, self._actor, self._load = actors, actor, load

    def invoke(self) -> Any:
        args, kwargs = self.unpack_arguments()
        self._actor.instance = self._load()(*args, **kwargs)

    def succeed(self, value: Any) -> None:
        if self._actor.state != "DEAD":
            self._actor.state = "ALIVE"
        self.finish()

    def fail(self, failure: Failure) -> None:
        if self._actor.state != "DEAD":
            why = f"its constructor raised {show_repr(failure.original)}"
            self._actors.end(self._actor, why, "constructor_failed", failure.to_raise())
        self.finish()


class MethodCall(ValueCall):
    """A call of an actor's method."""

    def __init__(self, actor: Actor, method: str, **common: Any) -> None:
        super().__init__(function=lambda: getattr(actor.instance, method), **common)


class Actors:
    """All actors of the session."""

    def __init__(
        self,
        executor: Executor,
        engine: Engine,
        node: Node,
        store: Store,
        ids: Ids,
        lock: threading.RLock,
    ) -> None:
        self._executor = executor
        self._engine = engine
        self._node = node
        self._store = store
        self._ids = ids
        self._lock = lock
        # Actors live by their handles, their names, and the calls that are not finished.
        self._actors: weakref.WeakValueDictionary[bytes, Actor] = weakref.WeakValueDictionary()
        self._named: dict[tuple[str, str], Actor] = {}
        engine.task_made = _note_background_task

    # Life -------------------------------------------------------------------------------

    def create(
        self,
        actor: Actor,
        load: Load,
        arguments: Arguments,
        parent_id: bytes | None,
    ) -> ActorHandle:
        """Register an actor and start its constructor.

        Raises:
            InvalidOption: the name is taken.
        """
        with self._lock:
            name = actor.options.name
            if name is not None:
                key = (actor.namespace, name)
                if key in self._named:
                    raise InvalidOption(
                        f"an actor named {name!r} exists already in namespace"
                        f" {actor.namespace!r}: take another name, or get_if_exists=True"
                    )
                self._named[key] = actor
            self._actors[actor.id] = actor
        actor.gpu_ids = self._node.take(actor.options.resources, actor.group)
        handle = self.handle(actor)
        frame = actor.frame(self._ids.new(), f"{actor.class_name}.__init__", parent_id)
        construction = Construction(
            self._store,
            self,
            actor,
            load,
            frame=frame,
            arguments=arguments,
            is_async=actor.is_async,
        )
        self.enqueue(actor, construction)
        return handle

    def end(self, actor: Actor, why: str, kind: str, cause: BaseException | None = None) -> None:
        """End an actor: what is not finished raises ``ActorDied``. Does nothing if it is dead.

        Args:
            why, kind: see ``ActorDied``.
        """
        with self._lock:
            if actor.state == "DEAD":
                return
            actor.state, actor.death, actor.cause = "DEAD", why, cause
            actor.death_kind = kind
            calls = list(actor.unfinished)
            actor.turns.clear()
            name = actor.options.name
            if name is not None:
                self._named.pop((actor.namespace, name), None)
        self._node.give_back(actor.options.resources, actor.group, actor.gpu_ids)
        for call in calls:
            call.fail(actor.died(call.name))
        for stream in list(actor.streams):
            stream.abandon()
        tasks = list(actor.background)
        if tasks:
            self._engine.on_loop(lambda: [task.cancel() for task in tasks])
        for group_id in actor.groups:
            group = self._node.remove_group(group_id)
            if group is not None:
                self.end_group(group)
        # Last, because that may run the user's __del__.
        actor.instance = None

    def end_group(self, group: Group) -> None:
        """End the actors that run in a placement group."""
        with self._lock:
            members = [actor for actor in self._actors.values() if actor.group is group]
        for actor in members:
            self.end(actor, "its placement group was removed", "", group.removed())

    def end_all(self) -> None:
        """End every actor."""
        with self._lock:
            actors = list(self._actors.values())
        for actor in actors:
            self.end(actor, "the program called air.shutdown()", "owner_gone")
        self._actors.clear()

    # Handles ----------------------------------------------------------------------------

    def handle(self, actor: Actor) -> ActorHandle:
        """One more handle to an actor."""
        with self._lock:
            actor.handles += 1
        return LocalHandle(actor, self._executor, self._release)

    def _release(self, actor: Actor) -> None:
        """One handle is gone; an actor without a name ends with the last one."""
        with self._lock:
            actor.handles -= 1
        self.end_if_forgotten(actor)

    def of(self, handle: ActorHandle) -> Actor:
        """The actor of a handle.

        Raises:
            ActorDied: the handle was made before the last shutdown.
        """
        if not isinstance(handle, LocalHandle) or handle._executor is not self._executor:
            raise _gone(handle._actor_id)
        return handle._air_actor

    def find(self, actor_id: bytes) -> Actor:
        """The actor of that identity, which something else keeps alive."""
        actor = self._actors.get(actor_id)
        if actor is None:
            raise _gone(actor_id)
        return actor

    def find_named(self, name: str, namespace: str) -> ActorHandle:
        """The actor of that name; see :meth:`Executor.find_actor`."""
        with self._lock:
            actor = self._named.get((namespace, name))
            known = sorted(known for space, known in self._named if space == namespace)
        if actor is None:
            raise ValueError(
                f"no actor is named {name!r} in namespace {namespace!r}.{nearest(name, known)}"
                f" Named actors there: {listing(known) or 'none'}"
            )
        return self.handle(actor)

    def names(self) -> list[tuple[str, str]]:
        """Namespace and name of each actor that has a name, sorted."""
        with self._lock:
            return sorted(self._named)

    def find_existing(self, name: str, namespace: str) -> ActorHandle | None:
        """The actor of that name, if there is one."""
        actor = self._named.get((namespace, name))
        return None if actor is None else self.handle(actor)

    def all(self) -> list[Actor]:
        """All actors that something refers to, in the order of their creation."""
        with self._lock:
            return sorted(self._actors.values(), key=lambda actor: actor.id)

    # Calls ------------------------------------------------------------------------------

    def check_pending_calls(self, actor: Actor) -> None:
        """Raise if ``max_pending_calls`` is reached."""
        limit = actor.options.max_pending_calls
        if limit >= 0 and sum(isinstance(call, ValueCall) for call in actor.unfinished) >= limit:
            raise PendingCallsLimitExceeded(
                f"actor {actor.class_name} has max_pending_calls={limit}, and that many of its"
                " calls are not finished: get their results before making more"
            )

    def enqueue(self, actor: Actor, call: Call) -> None:
        """Run a call when its turn comes, at once if that is now."""
        with self._lock:
            dead = actor.state == "DEAD"
            if not dead:
                actor.unfinished[call] = None
                actor.turns.add(call)
        if dead:
            call.fail(actor.died(call.name))
            return
        call.on_finish.append(lambda: self._finished(actor, call))
        self._engine.when_arguments_are_there(call, self._store, lambda: self._pump(actor))

    def _pump(self, actor: Actor) -> None:
        """Start what can start now."""
        while True:
            with self._lock:
                call = actor.turns.take(constructing=actor.state == "STARTING")
            if call is None:
                break
            self._engine.run(call, functools.partial(self._ended, actor, call))
        self.end_if_forgotten(actor)

    def _finished(self, actor: Actor, call: Call) -> None:
        """A call has its outcome; if it never started, what it held up may start now."""
        with self._lock:
            actor.unfinished.pop(call, None)
        if not call.started:
            self._engine.soon(lambda: self._pump(actor))

    def _ended(self, actor: Actor, call: Call) -> None:
        with self._lock:
            actor.turns.ended(call)
        if call.is_async:  # else _pump is what runs it, and goes on
            self._pump(actor)

    def end_if_forgotten(self, actor: Actor) -> None:
        """End an actor that nobody can call any more and that has nothing left to do."""
        with self._lock:
            forgotten = (
                actor.handles <= 0
                and actor.options.name is None
                and actor.state != "DEAD"
                and not actor.unfinished
                and not actor.turns.running
                and not actor.streams
            )
        if forgotten:
            self.end(actor, "its last handle was dropped", "released")


def _gone(actor_id: bytes) -> ActorDied:
    return ActorDied(f"actor {actor_id.hex()} belongs to a backend that was shut down")


def _note_background_task(frame: Frame, task: asyncio.Task[Any]) -> None:
    """Tie a task to the actor that made it, so that it does not outlive it."""
    if frame.actor is not None:
        frame.actor.background.add(task)
