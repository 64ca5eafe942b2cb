"""The ``cluster`` backend as the libraries see it: the executor interface over a client."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from air.executor.capabilities import Capability
from air.executor.code import Code, MethodInfo
from air.executor.handles import ActorHandle, ObjectRef, ObjectRefGenerator
from air.executor.interface import (
    ContextInfo,
    Executor,
    NodeInfo,
    PlacementGroupInfo,
    outside_of_actors,
)
from air.executor.log_records import BEGINNING, LogListing, LogText
from air.executor.options import ActorOptions, MethodOptions, TaskOptions
from air.executor.scheduling import PlacementGroupSpec
from air_cluster.client import context
from air_cluster.client.actor_records import handle_id
from air_cluster.client.client import Client
from air_cluster.client.waiting import BLOCKED_AFTER_S
from air_cluster.core.references import Entry
from air_cluster.protocol.messages import Preload

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

    from air.executor.records import Answer, Query


_USAGE_S = 30.0


class ClusterExecutor(Executor):
    """One process's access to the cluster, in a driver or in a worker."""

    name: ClassVar[str] = "cluster"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.PARALLEL_TASKS,
            Capability.THREADED_ACTORS,
            Capability.FORCED_CANCEL,
            Capability.ACTOR_RESTARTS,
            Capability.INSTALLED_PACKAGES,
            Capability.ASYNC_ENVIRONMENTS,
            Capability.DETACHED_ACTORS,
        }
    )

    def __init__(self, client: Client, stop: Callable[[], None]) -> None:
        self._client = client
        self._stop = stop
        self._pid = os.getpid()
        self.leave_actor: Callable[[], None] | None = None
        client.executor = self

    # Tasks and actors ---------------------------------------------------------------------

    def submit_task(
        self, code: Code, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: TaskOptions
    ) -> list[ObjectRef[Any]] | ObjectRefGenerator:
        self._check()
        return self._client.submitter.submit(code, args, kwargs, options)

    def create_actor(
        self,
        code: Code,
        methods: Mapping[str, MethodInfo],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: ActorOptions,
    ) -> ActorHandle:
        self._check()
        return self._client.actors.create(code, methods, args, kwargs, options)

    def call_actor(
        self,
        handle: ActorHandle,
        method: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: MethodOptions,
    ) -> list[ObjectRef[Any]] | ObjectRefGenerator:
        self._check()
        return self._client.calls.call(handle, method, args, kwargs, options)

    def kill_actor(self, handle: ActorHandle, *, no_restart: bool) -> None:
        self._check()
        self._client.actors.kill(handle, no_restart)

    def find_actor(self, name: str, namespace: str | None) -> ActorHandle:
        self._check()
        return self._client.actors.find(name, namespace)

    def actor_names(self) -> list[tuple[str, str]]:
        self._check()
        return [(namespace, name) for namespace, name in self._client.ask("actor names")]

    def exit_actor(self) -> None:
        if self.leave_actor is None:
            raise outside_of_actors("air.exit_actor()")
        self.leave_actor()

    def current_actor(self) -> ActorHandle:
        running = context.current.get()
        if running is None or not running.actor_id:
            raise outside_of_actors("current_actor")
        return self._client.actors.own_handle()

    # Values -------------------------------------------------------------------------------

    def put(self, value: Any) -> ObjectRef[Any]:
        self._check()
        return ObjectRef(self._client.objects.put(value), self)

    def get(self, refs: Sequence[ObjectRef[Any]], timeout: float | None) -> list[Any]:
        self._check()
        return self._client.waiting.get(refs, timeout)

    def wait(
        self,
        refs: Sequence[ObjectRef[Any]],
        num_returns: int,
        timeout: float | None,
        fetch_local: bool,
    ) -> tuple[list[ObjectRef[Any]], list[ObjectRef[Any]]]:
        self._check()
        return self._client.waiting.wait(refs, num_returns, timeout)

    def cancel(
        self, ref: ObjectRef[Any] | ObjectRefGenerator, *, force: bool, recursive: bool
    ) -> None:
        self._check()
        self._client.cancelling.cancel(ref, force=force, recursive=recursive)

    def as_future(self, ref: ObjectRef[Any]) -> Future[Any]:
        self._check()
        return self._client.waiting.future(ref)

    async def await_ref(self, ref: ObjectRef[Any]) -> Any:
        self._check()
        client = self._client
        import asyncio

        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[None] = loop.create_future()

        def wake(_entry: Entry) -> None:
            _wake(loop, arrived)

        with client.reactor.lock:
            entry = client.objects.entry(ref)
            if entry.content is None:
                client.objects.watch(entry, wake)
                client.flush()
            else:
                arrived.set_result(None)
        try:
            await self._arrival(arrived)
        except BaseException:  # whoever gives up may try again, and again
            with client.reactor.lock:
                client.objects.unwatch(entry, wake)
            raise
        if client.copies.is_here(entry.id, entry.content):
            return client.waiting.load(entry)
        return await loop.run_in_executor(None, client.waiting.load, entry)

    # Streams ------------------------------------------------------------------------------

    def next_in_stream(
        self, stream: ObjectRefGenerator, timeout: float | None
    ) -> ObjectRef[Any] | None:
        self._check()
        identity = self._client.submitter.next_in_stream(stream.id, timeout)
        return None if identity is None else ObjectRef(identity, self)

    async def await_next_in_stream(self, stream: ObjectRefGenerator) -> ObjectRef[Any] | None:
        self._check()
        client = self._client
        import asyncio

        loop = asyncio.get_running_loop()
        while True:
            arrived: asyncio.Future[None] = loop.create_future()
            with client.reactor.lock:
                client.flush()
                found = client.submitter.streams.get(stream.id)
                if found is None or found.ready or found.ended:
                    identity = found.take() if found is not None else None
                    return None if identity is None else ObjectRef(identity, self)
                wake = partial(_wake, loop, arrived)
                found.watchers.append(wake)
            try:
                await self._arrival(arrived)
            except BaseException:
                with client.reactor.lock:
                    if wake in found.watchers:
                        found.watchers.remove(wake)
                raise

    async def _arrival(self, arrived: asyncio.Future[None]) -> None:
        """Wait for a value; who has a CPU lends it to others meanwhile, as in ``get``."""
        running = context.current.get()
        if (
            running is not None
            and self._client.can_block()
            and not arrived.done()
            and (not running.actor_id or running.resources.get("CPU"))
        ):
            import asyncio

            await asyncio.wait([arrived], timeout=BLOCKED_AFTER_S)
            if not arrived.done():
                with self._client.blocked():
                    await arrived
        await arrived

    def close_stream(self, stream_id: bytes) -> None:
        client = self._client
        if not client.closed and os.getpid() == self._pid:
            with client.reactor.lock:
                client.submitter.close_stream(stream_id)
            client.reactor.nudge()  # another thread may wait for its next value

    # References and handles ---------------------------------------------------------------

    def release_ref(self, object_id: bytes) -> None:
        client = self._client
        if not client.closed:
            # What `drop` does, without the call: references are dropped by the thousand.
            objects = client.objects
            objects.dropped.append(object_id)
            if not objects.drain_planned:
                objects.plan_drain()

    def release_stream(self, stream_id: bytes) -> None:
        client = self._client
        if not client.closed and os.getpid() == self._pid:
            # Garbage is found anywhere, where the lock must not be waited for.
            client.reactor.call_soon(lambda: client.submitter.close_stream(stream_id))

    def release_actor(self, actor_id: bytes) -> None:
        if not self._client.closed:
            self._client.objects.drop(handle_id(actor_id))

    def export_ref(self, ref: ObjectRef[Any]) -> Any:
        return self._client.objects.export(ref.id)

    def import_ref(self, state: Any) -> ObjectRef[Any]:
        object_id, address = state
        self._client.objects.imported(object_id, address)
        return ObjectRef(object_id, self)

    def export_actor(self, handle: ActorHandle) -> Any:
        return self._client.actors.export_handle(handle)

    def import_actor(self, state: Any) -> ActorHandle:
        return self._client.actors.import_handle(state)

    # Placement groups ---------------------------------------------------------------------

    def create_placement_group(self, spec: PlacementGroupSpec) -> bytes:
        self._check()
        return self._client.groups.create(spec)

    def placement_group_ready(self, group_id: bytes) -> ObjectRef[bool]:
        self._check()
        return self._client.groups.ready(group_id)

    def remove_placement_group(self, group_id: bytes) -> None:
        self._check()
        self._client.groups.remove(group_id)

    def placement_groups(self) -> list[PlacementGroupInfo]:
        self._check()
        return self._client.groups.infos()

    # The cluster --------------------------------------------------------------------------

    def nodes(self) -> list[NodeInfo]:
        self._check()
        return [NodeInfo(**node) for node in self._client.ask("nodes")]

    def usage(self) -> list[dict[str, Any]]:
        """The nodes as :meth:`nodes` gives them, with what is ``free`` on each.

        Raises:
            BackendError: the head is out of reach, or says nothing.
        """
        self._check()
        from air_cluster.client.look import Looking

        return Looking(self._client, _USAGE_S).usage()

    def cluster_resources(self) -> Mapping[str, float]:
        total: dict[str, float] = {}
        for node in self.nodes():
            if node.alive:
                for name, value in node.resources.items():
                    total[name] = total.get(name, 0) + value
        return total

    def available_resources(self) -> Mapping[str, float]:
        self._check()
        found: Mapping[str, float] = self._client.ask("available")
        return found

    def look(self, query: Query) -> Answer:
        self._check()
        from air_cluster.client.look import Looking

        return Looking(self._client, query.timeout).look(query)

    def slices(self, timeout: float) -> Answer:
        self._check()
        from air_cluster.client.look import Looking

        return Looking(self._client, timeout).slices()

    def log_files(self, timeout: float) -> LogListing:
        self._check()
        from air_cluster.client import log_files

        return log_files.list_files(self._client, timeout)

    def read_log(
        self,
        node_id: str,
        name: str,
        *,
        place: tuple[int, int] = BEGINNING,
        tail: int = -1,
        timeout: float = 30.0,
    ) -> LogText:
        self._check()
        from air_cluster.client import log_files

        return log_files.read_file(self._client, node_id, name, place, tail, timeout)

    def context(self) -> ContextInfo:
        self._check()
        client = self._client
        running = context.current.get()
        known = ContextInfo(
            job_id=client.job_id.hex(),
            node_id=client.node_id,
            worker_id=client.process_id.hex(),
            namespace=client.namespace,
            host=client.host,
            runtime_env=client.environments.declared,
        )
        if running is None:
            return known
        return ContextInfo(
            job_id=known.job_id,
            node_id=known.node_id,
            worker_id=known.worker_id,
            namespace=known.namespace,
            task_id=running.task_id.hex(),
            task_name=running.name,
            actor_id=running.actor_id.hex() or None,
            placement_group_id=running.group.hex() or None,
            capture_child_tasks=running.capture,
            resources=running.resources,
            gpu_ids=running.gpu_ids,
            was_restarted=running.was_restarted,
            host=known.host,
            runtime_env=known.runtime_env,
        )

    def preload(self, modules: Sequence[str]) -> None:
        self._check()
        with self._client.reactor.lock:
            self._client.daemon.send(Preload(list(modules)))

    def shutdown(self) -> None:
        if os.getpid() == self._pid:
            self._stop()

    def _check(self) -> None:
        if self._client.closed:
            raise self._client.not_initialized()


def _wake(loop: asyncio.AbstractEventLoop, arrived: asyncio.Future[None]) -> None:
    import asyncio

    if asyncio._get_running_loop() is loop:  # in the thread that serves events, as in an actor
        _set_once(arrived)
        return
    with contextlib.suppress(RuntimeError):  # nobody runs this loop any more
        loop.call_soon_threadsafe(_set_once, arrived)


def _set_once(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
