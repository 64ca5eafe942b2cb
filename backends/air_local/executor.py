"""The executor: the seam's methods, put together from the other modules."""

from __future__ import annotations

import dataclasses
import inspect
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from air.errors import GetTimeout, NotInitialized, SerializationError
from air.executor.capabilities import Capability
from air.executor.code import Code, MethodInfo, body_of
from air.executor.environments import Environment
from air.executor.handles import ActorHandle, ObjectRef, ObjectRefGenerator
from air.executor.interface import (
    ContextInfo,
    Executor,
    InitConfig,
    NodeInfo,
    PlacementGroupInfo,
    outside_of_actors,
)
from air.executor.options import ActorOptions, MethodOptions, NumReturns, TaskOptions
from air.executor.scheduling import PlacementGroupSpec
from air.executor.serialization import loads_code
from air_local import interrupts
from air_local import listing as listing_of
from air_local.actors import Actor, Actors, MethodCall
from air_local.calls import ActorExit, Arguments, Call, Frame, ValueCall, cancelled, current_frame
from air_local.engine import Engine, names_of
from air_local.listing import History
from air_local.placement import Node
from air_local.store import Entry, Ids, Store, collect, collecting, pack
from air_local.streams import Step, Stream
from air_local.surroundings import NONE, Surroundings
from air_local.turns import NO_GROUP

if TYPE_CHECKING:
    from air.executor.records import Answer, Query

_CODE_CACHE = 512


class LocalExecutor(Executor):
    """Runs everything in this process, in the thread that asks for it.

    A task runs at the call and its caller sees it finished, unless its arguments wait for an
    async method. It works on copies of its function and arguments, as it would on a cluster.

    ``log_to_driver`` and ``object_store_memory`` have nothing to act on here: there is one
    process, which prints for itself, and no shared memory.
    """

    name = "local"
    capabilities = frozenset()

    def __init__(self, config: InitConfig) -> None:
        self._lock = threading.RLock()
        self._ids = Ids()
        self._namespace = config.namespace
        self._job_id = self._ids.new().hex()
        self._began = time.time()
        self._worker_id = self._ids.new().hex()
        self._code: OrderedDict[tuple[bytes, Environment], Callable[..., Any]] = OrderedDict()
        self._streams: dict[bytes, Stream] = {}
        self._store = Store(self, self._ids, self._lock, lambda: self._engine.notify())
        self._node = Node(config, self._ids, self._store, self._lock)
        self._surroundings = Surroundings()
        self._environment = NONE
        if config.runtime_env is not None:
            try:
                self._environment = self._inherited(config.runtime_env, None)
            except BaseException:
                self._surroundings.close()
                raise
        self._engine = Engine(self._node, self._surroundings, self._lock)
        self._history = History()
        self._engine.ended = self._history.add
        self._actors = Actors(self, self._engine, self._node, self._store, self._ids, self._lock)
        self._open = True
        self._ended = False
        interrupts.install()

    # Tasks ------------------------------------------------------------------------------

    def submit_task(
        self,
        code: Code,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: TaskOptions,
    ) -> list[ObjectRef[Any]] | ObjectRefGenerator:
        self._check_open()
        name = options.name or code.name
        parent = current_frame.get()
        what = f"task {name}"
        group, bundle, capture = self._node.place(
            what, options.resources, options.placement, parent
        )
        environment = self._inherited(options.runtime_env, parent)
        function = self._load(code, what, environment)
        self._refuse_async(environment, _runs_on_loop(function), what)
        frame = Frame(
            self._ids.new(),
            name,
            options.resources,
            group=group,
            bundle=bundle,
            capture=capture,
            parent_id=_id_of(parent),
            function=code.name,
            environment=environment,
        )
        arguments = Arguments(args, kwargs, what)
        assert options.num_returns is not None
        if options.num_returns == "streaming":
            return self._open_stream(
                Stream(
                    self._store,
                    self._engine,
                    name,
                    frame,
                    arguments,
                    lambda: function,
                    is_async=inspect.isasyncgenfunction(body_of(function)),
                    retries=options,
                )
            )
        call = ValueCall(
            self._store,
            name,
            frame,
            arguments,
            lambda: function,
            options.num_returns,
            is_async=inspect.iscoroutinefunction(body_of(function)),
            retries=options,
        )
        refs = call.references()
        self._engine.when_arguments_are_there(
            call, self._store, lambda: self._engine.run(call, lambda: None)
        )
        self._engine.progress()
        return refs

    # Actors -----------------------------------------------------------------------------

    def create_actor(
        self,
        code: Code,
        methods: Mapping[str, MethodInfo],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: ActorOptions,
    ) -> ActorHandle:
        self._check_open()
        if options.detached:
            self.require(Capability.DETACHED_ACTORS)
        if options.max_restarts != 0:
            self.require(Capability.ACTOR_RESTARTS)
        namespace = options.namespace or self._namespace
        if options.get_if_exists and options.name is not None:
            existing = self._actors.find_existing(options.name, namespace)
            if existing is not None:
                return existing
        parent = current_frame.get()
        what = f"actor {code.name}"
        group, bundle, capture = self._node.place(
            what, options.resources, options.placement, parent
        )
        environment = self._inherited(options.runtime_env, parent)
        cls = self._load(code, f"actor class {code.name}", environment)
        arguments = Arguments(args, kwargs, what)
        actor = Actor(
            self._ids.new(),
            code.name,
            methods,
            options,
            namespace,
            group,
            bundle,
            capture,
            environment,
        )
        self._refuse_async(environment, actor.is_async, what)
        handle = self._actors.create(actor, lambda: cls, arguments, _id_of(parent))
        self._engine.progress()
        return handle

    def call_actor(
        self,
        handle: ActorHandle,
        method: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: MethodOptions,
    ) -> list[ObjectRef[Any]] | ObjectRefGenerator:
        self._check_open()
        actor = self._actors.of(handle)
        self._actors.check_pending_calls(actor)
        name = options.name or f"{actor.class_name}.{method}"
        lane = options.concurrency_group or NO_GROUP
        frame = actor.frame(self._ids.new(), name, _id_of(current_frame.get()), method, lane)
        arguments = Arguments(args, kwargs, name)
        num_returns: NumReturns = 1 if options.num_returns is None else options.num_returns
        if num_returns == "streaming":
            return self._open_stream(
                Stream(
                    self._store,
                    self._engine,
                    name,
                    frame,
                    arguments,
                    lambda: getattr(actor.instance, method),
                    is_async=actor.is_async,
                    actors=self._actors,
                )
            )
        call = MethodCall(
            actor,
            method,
            store=self._store,
            name=name,
            frame=frame,
            arguments=arguments,
            num_returns=num_returns,
            is_async=actor.is_async,
        )
        refs = call.references()
        self._actors.enqueue(actor, call)
        self._engine.progress()
        return refs

    def kill_actor(self, handle: ActorHandle, *, no_restart: bool) -> None:
        self._check_open()
        # Nothing is restarted here (see capabilities), so no_restart makes no difference.
        self._actors.end(self._actors.of(handle), "it was killed by air.kill()", "killed")
        self._engine.progress()

    def find_actor(self, name: str, namespace: str | None) -> ActorHandle:
        self._check_open()
        return self._actors.find_named(name, namespace or self._namespace)

    def actor_names(self) -> list[tuple[str, str]]:
        self._check_open()
        return self._actors.names()

    # Values -----------------------------------------------------------------------------

    def put(self, value: Any) -> ObjectRef[Any]:
        self._check_open()
        parcel = pack(value, "the value of air.put")
        entry = self._store.put("a value of air.put", parcel)
        entry.cancellable = False
        return self._store.reference(entry)

    def get(self, refs: Sequence[ObjectRef[Any]], timeout: float | None) -> list[Any]:
        self._check_open()
        deadline = _deadline(timeout)
        entries = [self._entry(ref) for ref in refs]
        values = []
        for entry in entries:
            if not entry.done and not self._wait_for(_is_done(entry), deadline, entries):
                raise self._timeout(timeout, entries)
            values.append(entry.value())
        return values

    def wait(
        self,
        refs: Sequence[ObjectRef[Any]],
        num_returns: int,
        timeout: float | None,
        fetch_local: bool,
    ) -> tuple[list[ObjectRef[Any]], list[ObjectRef[Any]]]:
        self._check_open()
        entries = [self._entry(ref) for ref in refs]
        self._wait_for(
            lambda: sum(entry.done for entry in entries) >= num_returns,
            _deadline(timeout),
            entries,
        )
        ready: list[ObjectRef[Any]] = []
        rest: list[ObjectRef[Any]] = []
        for ref, entry in zip(refs, entries, strict=True):
            (ready if entry.done and len(ready) < num_returns else rest).append(ref)
        return ready, rest

    def cancel(
        self, ref: ObjectRef[Any] | ObjectRefGenerator, *, force: bool, recursive: bool
    ) -> None:
        self._check_open()
        if isinstance(ref, ObjectRefGenerator):
            self._cancel_stream(ref, force, recursive)
            return
        entry = self._entry(ref)
        if not entry.cancellable:
            raise TypeError(
                f"{ref} was made by air.put or stands for a placement group: there is no task to"
                " cancel"
            )
        call = entry.call
        if call is None:
            return
        if force:
            self._check_force(call.name, call.frame)
        self._cancel(call, recursive)
        self._engine.progress()

    def _cancel_stream(self, generator: ObjectRefGenerator, force: bool, recursive: bool) -> None:
        stream = self._streams.get(generator.id)
        if stream is None or stream.ended:
            return
        if force:
            self._check_force(stream.name, stream.frame)
        step = stream.step
        if step is not None and not step.finished:
            self._cancel(step, recursive)
        else:
            stream.cancel()
            if recursive:
                self._cancel_children(stream.frame)
        self._engine.progress()

    def _check_force(self, name: str, frame: Frame) -> None:
        if frame.actor is not None:
            raise TypeError(
                f"{name} is an actor's method: force=True would end the actor;"
                " use air.kill for that"
            )
        self.require(Capability.FORCED_CANCEL)

    def as_future(self, ref: ObjectRef[Any]) -> Future[Any]:
        self._check_open()
        entry = self._entry(ref)
        # The future holds the reference, so that the value is not freed before it is there.
        future = _DrivenFuture(lambda timeout: self.wait([ref], 1, timeout, True))

        def deliver() -> None:
            if not future.set_running_or_notify_cancel():
                return  # which has not stopped what computes the value
            try:
                future.set_result(entry.value())
            except BaseException as error:
                future.set_exception(error)

        self._store.when_done(entry, deliver)
        return future

    async def await_ref(self, ref: ObjectRef[Any]) -> Any:
        self._check_open()
        entry = self._entry(ref)
        await self._engine.until_done(entry, self._store)
        return entry.value()

    # Streaming generators ---------------------------------------------------------------

    def next_in_stream(
        self, stream: ObjectRefGenerator, timeout: float | None
    ) -> ObjectRef[Any] | None:
        self._check_open()
        deadline = _deadline(timeout)
        state = self._streams.get(stream.id)
        while state is not None and (step := state.advance()) is not None:
            if not self._wait_for(_is_done(step.done), deadline, [step.done]):
                raise self._timeout(timeout, [step.done])
            if state.take(step):
                return self._outcome(stream.id, state, step)
        return None

    async def await_next_in_stream(self, stream: ObjectRefGenerator) -> ObjectRef[Any] | None:
        self._check_open()
        state = self._streams.get(stream.id)
        while state is not None and (step := state.advance()) is not None:
            await self._engine.until_done(step.done, self._store)
            if state.take(step):
                return self._outcome(stream.id, state, step)
        return None

    def close_stream(self, stream_id: bytes) -> None:
        stream = self._streams.pop(stream_id, None)
        if stream is not None and self._open:
            stream.close()

    def _outcome(self, stream_id: bytes, stream: Stream, step: Step) -> ObjectRef[Any] | None:
        self._check_open()  # the end of everything is no end of a stream
        if stream.ended:
            self._streams.pop(stream_id, None)
        return step.ref

    def _open_stream(self, stream: Stream) -> ObjectRefGenerator:
        stream_id = self._ids.new()
        self._streams[stream_id] = stream
        return ObjectRefGenerator(stream_id, self)

    # References and handles -------------------------------------------------------------

    def release_ref(self, object_id: bytes) -> None:
        # Nothing to count: see LocalRef.
        return

    def release_stream(self, stream_id: bytes) -> None:
        self.close_stream(stream_id)

    def release_actor(self, actor_id: bytes) -> None:
        # LocalHandle does it: the handle knows its actor also where a table no longer does.
        return

    def export_ref(self, ref: ObjectRef[Any]) -> Any:
        self._check_open()
        self._entry(ref)
        collect(ref)
        return ref.id

    def import_ref(self, state: Any) -> ObjectRef[Any]:
        self._check_open()
        return self._store.reference(self._store.find(state))

    def export_actor(self, handle: ActorHandle) -> Any:
        self._check_open()
        self._actors.of(handle)
        collect(handle)
        return handle._actor_id

    def import_actor(self, state: Any) -> ActorHandle:
        self._check_open()
        return self._actors.handle(self._actors.find(state))

    # Placement groups -------------------------------------------------------------------

    def create_placement_group(self, spec: PlacementGroupSpec) -> bytes:
        self._check_open()
        if spec.detached:
            self.require(Capability.DETACHED_ACTORS)
        group_id = self._node.create_group(spec)
        frame = current_frame.get()
        if frame is not None and frame.actor is not None:
            frame.actor.groups.append(group_id)
        return group_id

    def placement_group_ready(self, group_id: bytes) -> ObjectRef[bool]:
        self._check_open()
        return self._node.group_ready(group_id)

    def remove_placement_group(self, group_id: bytes) -> None:
        self._check_open()
        group = self._node.remove_group(group_id)
        if group is not None:
            self._actors.end_group(group)
            self._engine.progress()

    def placement_groups(self) -> list[PlacementGroupInfo]:
        self._check_open()
        return self._node.group_infos()

    # The cluster ------------------------------------------------------------------------

    def nodes(self) -> list[NodeInfo]:
        self._check_open()
        return [self._node.info()]

    def cluster_resources(self) -> Mapping[str, float]:
        self._check_open()
        return self._node.totals

    def available_resources(self) -> Mapping[str, float]:
        self._check_open()
        return self._node.available()

    def look(self, query: Query) -> Answer:
        from air.executor.records import select  # many types, which few programs ask for

        self._check_open()
        return select((partial(dict, one) for one in self._records(query.kind)), query)

    def slices(self, timeout: float) -> Answer:
        from air.executor.records import Answer

        self._check_open()
        found = self._history.slices(self._here())
        return Answer(slices=sorted(found, key=lambda one: one.start))

    def _records(self, kind: str) -> Iterable[dict[str, Any]]:
        here, host = self._here(), self._node.info().address
        if kind == "tasks":
            calls = self._engine.unfinished()
            return chain(listing_of.unfinished(calls, here), self._history.tasks(here))
        if kind == "actors":
            return listing_of.actors(self._actors.all(), here)
        if kind == "objects":
            return listing_of.objects(self._store.entries(), here, host)
        if kind == "nodes":
            return [listing_of.node(self._node.info(), self._node.available())]
        if kind == "workers":
            return [listing_of.worker(here, host)]
        if kind == "jobs":
            return [listing_of.job(here, self._began)]
        return listing_of.groups(self._node.group_infos())

    def _here(self) -> ContextInfo:
        return ContextInfo(
            job_id=self._job_id,
            node_id=self._node.node_id,
            worker_id=self._worker_id,
            namespace=self._namespace,
            runtime_env=self._environment.to_dict(),
        )

    def context(self) -> ContextInfo:
        self._check_open()
        here = self._here()
        frame = current_frame.get()
        if frame is None:
            return here
        return dataclasses.replace(
            here,
            task_id=frame.task_id.hex(),
            task_name=frame.name,
            actor_id=None if frame.actor is None else frame.actor.id.hex(),
            placement_group_id=None if frame.group is None else frame.group.id.hex(),
            capture_child_tasks=frame.capture,
            resources=frame.resources,
            gpu_ids=frame.gpu_ids,
            runtime_env=frame.environment.to_dict(),
        )

    def preload(self, modules: Sequence[str]) -> None:
        # Tasks run in this process: there is no worker to warm, and importing here what a
        # task may never use would only make the program slower.
        self._check_open()

    def exit_actor(self) -> None:
        self._check_open()
        actor = self._running_actor("air.exit_actor()")
        self._actors.end(actor, "it called air.exit_actor()", "exited")
        raise ActorExit

    def current_actor(self) -> ActorHandle:
        self._check_open()
        return self._actors.handle(self._running_actor("current_actor"))

    def shutdown(self) -> None:
        if current_frame.get() is not None:
            raise RuntimeError("air.shutdown() is for the program, not for its tasks and actors")
        with self._lock:
            if self._ended:
                return
            self._open = False
            self._store.closing = True
        # Ctrl-C may end the user's code in any of this; a second call goes on from there.
        while self._streams:
            _, stream = self._streams.popitem()
            stream.close()
        self._actors.end_all()
        self._engine.close()
        self._code.clear()
        self._node.clear()
        self._store.clear()
        self._surroundings.close()
        self._ended = True
        interrupts.remove()

    # Helpers ----------------------------------------------------------------------------

    def _check_open(self) -> None:
        if not self._open:
            raise NotInitialized(
                "this belongs to a local backend that air.shutdown() has ended; references,"
                " actors and placement groups do not outlive it"
            )

    def _inherited(self, given: Environment | None, parent: Frame | None) -> Environment:
        """The environment of what a call starts, read and ready."""
        inherited = self._environment if parent is None else parent.environment
        if given is None:
            return inherited
        environment = given.over(inherited)
        if environment.pip is not None and environment.pip.packages:
            self.require(Capability.INSTALLED_PACKAGES)
        given.check_files()
        self._surroundings.prepare(environment)
        return environment if environment else NONE

    def _refuse_async(self, environment: Environment, is_async: bool, what: str) -> None:
        if environment and is_async:
            hint = f"{what} is one, and others run in this process while it waits"
            self.require(Capability.ASYNC_ENVIRONMENTS, hint)

    def _load(self, code: Code, what: str, environment: Environment) -> Callable[..., Any]:
        """The function or class as a worker would have it: unpickled, once for equal code."""
        with collecting():
            key = code.key, environment
        loaded = self._code.get(key)
        if loaded is None:
            try:
                with self._surroundings.within(environment):
                    loaded = loads_code(code.pickled, what)
            except SerializationError as error:
                return _raiser(error)  # to raise where a worker would
            self._code[key] = loaded
            while len(self._code) > _CODE_CACHE:
                self._code.popitem(last=False)
        else:
            self._code.move_to_end(key)
        return cast("Callable[..., Any]", loaded)

    def _entry(self, ref: ObjectRef[Any]) -> Entry:
        return self._store.entry(ref)

    def _cancel(self, call: Call, recursive: bool) -> None:
        if call.started and not call.is_async:
            self.require(
                Capability.PARALLEL_TASKS,
                f"{call.name} runs in a thread of the program, where nothing can interrupt it",
            )
        running = call.running
        call.fail(cancelled(call.name))
        if running is not None:
            self._engine.on_loop(running.cancel)
        if recursive:
            self._cancel_children(call.frame)

    def _cancel_children(self, frame: Frame) -> None:
        for child in self._engine.unfinished():
            if child.frame.parent_id == frame.task_id:
                self._cancel(child, recursive=True)

    def _running_actor(self, what: str) -> Actor:
        frame = current_frame.get()
        if frame is None or frame.actor is None:
            raise outside_of_actors(what)
        return frame.actor

    def _wait_for(
        self, done: Callable[[], bool], deadline: float | None, entries: Sequence[Entry]
    ) -> bool:
        came = self._engine.wait_until(
            done, deadline, lambda: [entry for entry in entries if not entry.done]
        )
        if not came:
            self._check_open()  # it may have been shut down meanwhile
        return came

    def _timeout(self, timeout: float | None, entries: Sequence[Entry]) -> GetTimeout:
        pending = [entry for entry in entries if not entry.done]
        return GetTimeout(
            f"{len(pending)} of {len(entries)} values were not there after {timeout} s:"
            f" {names_of(pending)}"
        )


class _DrivenFuture(Future[Any]):
    """A future whose ``result`` turns the event loop, because nobody else would."""

    def __init__(self, drive: Callable[[float | None], object]) -> None:
        super().__init__()
        self._drive: Callable[[float | None], object] | None = drive
        self.add_done_callback(lambda _: self._let_go())

    def result(self, timeout: float | None = None) -> Any:
        self._wait(timeout)
        return super().result(0 if timeout is not None else None)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._wait(timeout)
        return super().exception(0 if timeout is not None else None)

    def _wait(self, timeout: float | None) -> None:
        drive = self._drive
        if drive is not None and not self.done():
            drive(timeout)

    def _let_go(self) -> None:
        self._drive = None


def _runs_on_loop(function: object) -> bool:
    """Whether a function runs on the event loop."""
    body = body_of(function)
    return inspect.iscoroutinefunction(body) or inspect.isasyncgenfunction(body)


def _raiser(error: Exception) -> Callable[..., Any]:
    def cannot_be_loaded(*_args: Any, **_kwargs: Any) -> Any:
        raise error

    return cannot_be_loaded


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _id_of(frame: Frame | None) -> bytes | None:
    return None if frame is None else frame.task_id


def _is_done(entry: Entry) -> Callable[[], bool]:
    return lambda: entry.done
