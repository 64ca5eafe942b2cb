"""The executor interface: the smallest thing that the libraries need from a backend.

These docstrings are the contract. The ``local`` backend is its reference implementation and
:mod:`air.testing.executor_suite` its test; a backend that passes the suite can run every
library of AIR.

Terms. The *caller* is the thread that calls a method here. The *owner* of a reference is
the process that submitted the task or called ``put``. A *value* given to a task or to
``put`` is copied at the call (pickle protocol 5): what the caller does to it afterwards
changes nothing. Of a part of a larger array or table only that part is copied. Large buffers
(numpy, Arrow, pandas, bytes) may be shared instead of copied on the way back and are read-only
then.

Threads. Every method may be called from any thread.

Errors. Misuse raises at the call. A task's own exception is raised by ``get`` on each of
its references, as an instance of its own class mixed with ``TaskError``, with a traceback
that ends on the user's line; references inside it can be used. A failure that no reference
holds (``num_returns=0``) is a warning on the logger ``air`` of the process that made the call.
Failures of the system are the other subclasses of ``AirError``.

Exits. What is no ``Exception`` (``SystemExit``, ``KeyboardInterrupt``, ``GeneratorExit``) ends
the task or the call that raised it, not its process: ``get`` raises a plain ``TaskError`` that
names it, and the actor goes on. There is one difference between backends. One without
``PARALLEL_TASKS`` runs tasks in the program's own threads, where the person's Ctrl-C comes out
of whatever task is running: there a ``KeyboardInterrupt`` in the main thread also leaves the
call that ran the task, at once, and so ends the program; so does leaving a debugger by ``q``.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from air.errors import BackendError, UnsupportedByBackend
from air.executor.capabilities import Capability
from air.executor.code import Code, MethodInfo
from air.executor.handles import ActorHandle, ObjectRef, ObjectRefGenerator
from air.executor.info import ContextInfo, InitConfig, NodeInfo, PlacementGroupInfo
from air.executor.log_records import BEGINNING, LogListing, LogText
from air.executor.options import ActorOptions, MethodOptions, TaskOptions
from air.executor.scheduling import PlacementGroupSpec

if TYPE_CHECKING:
    from concurrent.futures import Future

    from air.executor.records import Answer, Query

__all__ = ["ContextInfo", "Executor", "InitConfig", "NodeInfo", "PlacementGroupInfo"]


class Executor(abc.ABC):
    """Runs tasks and actors and keeps their values."""

    name: ClassVar[str]
    """The backend's name, as in ``air.init(backend=...)``."""

    capabilities: ClassVar[frozenset[Capability]]
    """What this backend offers beyond the common part."""

    # Tasks ------------------------------------------------------------------------------

    @abc.abstractmethod
    def submit_task(
        self,
        code: Code,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: TaskOptions,
    ) -> list[ObjectRef[Any]] | ObjectRefGenerator:
        """Run a function with a copy of the arguments.

        Arguments that are references (at the top level of ``args`` and ``kwargs``) are
        replaced by their values before the function runs, and the task waits for them; if
        one of them holds an error, so do all results of this task. References deeper inside
        stay references.

        ``options.num_returns`` (never ``None`` here) is the length of the list that is
        returned. With 0 what the function returned is dropped; with 1 the reference stands
        for it; with more, it must be a tuple, list or generator of that many values, else
        every reference raises ``ValueError``. ``"streaming"`` gives a generator instead: the
        function must then return an iterable or be a generator function, sync or async.

        ``options.runtime_env`` changes the environment of the caller, which the task has
        otherwise: variables are merged, other fields replaced. Files that it names are copied
        when they are first needed. A process that runs the task has that environment from its
        start; one process for all, as on ``local``, has it while the task runs.

        A coroutine that the function returns is awaited, on an event loop of the backend's; so
        a coroutine function gives what it returns in the end.

        ``options.retry_exceptions`` runs the function again, on a new copy of the arguments;
        a streaming one skips as many values as it has yielded before. An error among the
        arguments is never retried.

        Does not block, save on backends without ``PARALLEL_TASKS``, which run the task
        before they return (streaming ones when they are pulled).

        Raises:
            InvalidOption, RuntimeEnvSetupError: a file of ``options.runtime_env`` is not there or
                cannot be read. The latter comes from ``get`` if the environment cannot be set up
                where the task is to run.
            SerializationError: the function or an argument cannot be sent; names the path
                to the culprit. Comes from ``get`` if the function cannot be loaded where it
                is to run.
            Unschedulable: no node could ever meet the request. May come from ``get``
                instead, within 2 s of the call. Names the task (or the actor's class), the
                demand and every node's supply. The same comes from ``get`` of what still
                waits when the last node is gone that could have met it.
        """

    # Actors -----------------------------------------------------------------------------

    @abc.abstractmethod
    def create_actor(
        self,
        code: Code,
        methods: Mapping[str, MethodInfo],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: ActorOptions,
    ) -> ActorHandle:
        """Make an instance of a class that lives in a process of its own.

        Does not wait for the constructor; if that raises, or one of its arguments holds an
        error, or the class cannot be loaded where the actor is to live, every call raises
        ``ActorDied`` with that exception as its ``__cause__``.

        An actor ends when its last handle is dropped and its calls are finished, unless it
        has a name: then it ends with the program at the latest. What it has made, values and
        actors, outlives that for as long as there are references to it.

        A *detached* actor lives until it is killed, exits or dies, whoever has made it, and does
        not need its maker for a restart: arguments that are references are waited for at the
        call, and their values are kept with the cluster, as are the files of its environment. What
        references stand for that lie deeper in the arguments is lost with its owner
        (``OwnerDied``). What is started from a detached actor ends with the actor's process at the
        latest, as it would with a program.

        A class with an async method is an async actor: all its methods run on
        one event loop, up to ``max_concurrency`` at a time.

        Methods, and calls, may be put into one of ``options.concurrency_groups``: each runs as many
        at a time as its size says, and its calls, in the order of each caller, wait for none that
        is not in it. Those that are in none are bounded by ``max_concurrency``. Of an async actor
        all share the one loop. Sizes are upper bounds: without ``THREADED_ACTORS`` methods of a
        plain class run one at a time.

        Raises:
            InvalidOption: the name is taken (and ``get_if_exists`` is not set).
            SerializationError, Unschedulable: as for :meth:`submit_task`; or the arguments of a
                detached actor are more than the backend keeps (on ``cluster`` 128 MiB).
            RuntimeEnvSetupError: so are the files of its environment (256 MiB).
        """

    @abc.abstractmethod
    def call_actor(
        self,
        handle: ActorHandle,
        method: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: MethodOptions,
    ) -> list[ObjectRef[Any]] | ObjectRefGenerator:
        """Call a method; arguments and results as for :meth:`submit_task`.

        Calls from one thread of one process start in the order in which they were made (those of
        each concurrency group, if there are any): one whose arguments are not there yet holds up
        the next. On an actor with one thread each also ends before the next one starts, so an
        actor that calls itself gets the result after its method has ended; between two steps of a
        streaming method others may run. Calls on a dead actor give references that raise
        ``ActorDied``. Errors of a method leave the actor alive.

        Raises:
            SerializationError: an argument cannot be sent.
            PendingCallsLimitExceeded: ``max_pending_calls`` of this process's calls of the
                actor are not finished.
        """

    @abc.abstractmethod
    def kill_actor(self, handle: ActorHandle, *, no_restart: bool) -> None:
        """End an actor at once. Calls that were not finished raise ``ActorDied``.

        Where it has a process of its own, what it has made is lost with it: values raise
        ``OwnerDied``, actors end.
        """

    @abc.abstractmethod
    def find_actor(self, name: str, namespace: str | None) -> ActorHandle:
        """The live actor of that name.

        Raises:
            ValueError: there is none; names those that there are.
        """

    @abc.abstractmethod
    def actor_names(self) -> list[tuple[str, str]]:
        """Namespace and name of each live actor that has a name, sorted."""

    # Values -----------------------------------------------------------------------------

    @abc.abstractmethod
    def put(self, value: Any) -> ObjectRef[Any]:
        """Store a copy of a value.

        Raises:
            SerializationError: it cannot be pickled.
            ObjectStoreFull: there is no room for it.
        """

    @abc.abstractmethod
    def get(self, refs: Sequence[ObjectRef[Any]], timeout: float | None) -> list[Any]:
        """The values, in order, waiting for them.

        Raises the first error, in the order of *refs*, that one of them holds, as soon as
        all before it are there.

        Raises:
            GetTimeout: not all were there within *timeout* seconds; names what makes those that
                are missing, and how far that is. To find out takes a second more at most.
            DeadlockError: a backend without ``PARALLEL_TASKS`` saw that none ever will be.
        """

    @abc.abstractmethod
    def wait(
        self,
        refs: Sequence[ObjectRef[Any]],
        num_returns: int,
        timeout: float | None,
        fetch_local: bool,
    ) -> tuple[list[ObjectRef[Any]], list[ObjectRef[Any]]]:
        """Split *refs* into those that are ready and the others, both in the given order.

        Returns as soon as *num_returns* are ready (never more are reported), or after
        *timeout* seconds. A reference that holds an error is ready. With *fetch_local* a
        value must be on this node to count as ready.
        """

    @abc.abstractmethod
    def cancel(
        self, ref: ObjectRef[Any] | ObjectRefGenerator, *, force: bool, recursive: bool
    ) -> None:
        """Cancel the task that computes *ref*; then ``get`` raises ``TaskCancelled``.

        What a streaming task has yielded stays valid; the reference behind that, its last, raises.

        Any process that holds the reference may do so. A task that has not started never
        will. One that runs gets a ``KeyboardInterrupt`` (async: ``CancelledError``) in user
        code; with *force* its process is ended. With *recursive* the tasks it started are
        cancelled too. Does nothing if the task has ended already, or what was raised in it is
        caught: then the value is what it returns.

        In an actor with several threads only Python code can be interrupted, and what waits for
        values: what waits otherwise (``time.sleep``, a lock, a socket) does so to its end first.

        Raises:
            TypeError: *ref* was made by ``put`` or stands for a placement group, or *force*
                on an actor's method.
            UnsupportedByBackend: *force* without ``FORCED_CANCEL``, or a task that runs
                without ``PARALLEL_TASKS``.
        """

    @abc.abstractmethod
    def as_future(self, ref: ObjectRef[Any]) -> Future[Any]:
        """A future that ends with the value or error of *ref*.

        Cancelling it does nothing to the task. If it is pending when the backend is shut down, or
        the program ends, it ends with an error that says so.
        """

    @abc.abstractmethod
    async def await_ref(self, ref: ObjectRef[Any]) -> Any:
        """The value of *ref*, without blocking the running event loop where possible."""

    # Streaming generators ---------------------------------------------------------------

    @abc.abstractmethod
    def next_in_stream(
        self, stream: ObjectRefGenerator, timeout: float | None
    ) -> ObjectRef[Any] | None:
        """The next reference, or ``None`` at the end and after :meth:`close_stream`.

        A producer that runs elsewhere is no further ahead than :mod:`air.executor.streaming`
        says.

        Raises:
            GetTimeout: nothing was yielded within *timeout* seconds.
        """

    @abc.abstractmethod
    async def await_next_in_stream(self, stream: ObjectRefGenerator) -> ObjectRef[Any] | None:
        """:meth:`next_in_stream` for async code."""

    @abc.abstractmethod
    def close_stream(self, stream_id: bytes) -> None:
        """End the generator task at its next ``yield``. Never raises.

        Who waits for its next value is told that there is none. Calls that the same thread makes
        later do not overtake the news.
        """

    # References and handles -------------------------------------------------------------

    @abc.abstractmethod
    def release_ref(self, object_id: bytes) -> None:
        """One ``ObjectRef`` in this process is garbage. Never blocks, never raises."""

    @abc.abstractmethod
    def release_stream(self, stream_id: bytes) -> None:
        """One ``ObjectRefGenerator`` in this process is garbage: its task ends as if it was closed.

        Never blocks, never raises.
        """

    @abc.abstractmethod
    def release_actor(self, actor_id: bytes) -> None:
        """One ``ActorHandle`` in this process is garbage. Never blocks, never raises."""

    @abc.abstractmethod
    def export_ref(self, ref: ObjectRef[Any]) -> Any:
        """What stands for *ref* inside a pickled value.

        Raises:
            SerializationError: not called while a value for a task or ``put`` is pickled.
        """

    @abc.abstractmethod
    def import_ref(self, state: Any) -> ObjectRef[Any]:
        """The reference that :meth:`export_ref` described, in the process that reads it."""

    @abc.abstractmethod
    def export_actor(self, handle: ActorHandle) -> Any:
        """What stands for *handle* inside a pickled value; see :meth:`export_ref`."""

    @abc.abstractmethod
    def import_actor(self, state: Any) -> ActorHandle:
        """The handle that :meth:`export_actor` described."""

    # Placement groups -------------------------------------------------------------------

    @abc.abstractmethod
    def create_placement_group(self, spec: PlacementGroupSpec) -> bytes:
        """Ask for bundles to be reserved, all or none; returns the group's identity.

        While others hold what it needs the group is PENDING, and so is all that is started
        inside it. It lasts until it is removed, or, unless it is detached, the actor has ended
        whose method has made it, or the program.

        Raises:
            Unschedulable: the bundles could never be placed on the nodes that there are.
            InvalidOption: another group that has not been removed has the name in its namespace.
        """

    @abc.abstractmethod
    def placement_group_ready(self, group_id: bytes) -> ObjectRef[bool]:
        """A reference that becomes ``True`` once the bundles are reserved.

        For a group that was removed, or is not known, it raises ``ActorPlacementError``; for one
        that was never reserved and that no node could hold any more, ``Unschedulable``.
        """

    @abc.abstractmethod
    def remove_placement_group(self, group_id: bytes) -> None:
        """Give the bundles back. What runs inside them is ended. Unknown groups are fine.

        What is started in a removed group raises ``ActorPlacementError``, at the call or from
        ``get``.
        """

    @abc.abstractmethod
    def placement_groups(self) -> list[PlacementGroupInfo]:
        """All groups that are known, in the order of their creation."""

    # The cluster ------------------------------------------------------------------------

    @abc.abstractmethod
    def nodes(self) -> list[NodeInfo]:
        """The machines, alive or dead, in the order in which they joined."""

    @abc.abstractmethod
    def cluster_resources(self) -> Mapping[str, float]:
        """Everything that live nodes offer."""

    @abc.abstractmethod
    def available_resources(self) -> Mapping[str, float]:
        """What of it is free now."""

    @abc.abstractmethod
    def look(self, query: Query) -> Answer:
        """What there is, and in which state: see :mod:`air.executor.records`.

        Tasks and calls are listed until they have ended, and then for as long as they are
        remembered: those that have failed by who has submitted them, those that went well by who
        has run them, the last few hundred or thousand of each, and none of processes that are
        gone. Nothing is written down for this while tasks run, besides that.

        Who has not answered within ``query.timeout`` is named in the answer.

        Raises:
            BackendError: nobody has answered.
        """

    @abc.abstractmethod
    def slices(self, timeout: float) -> Answer:
        """What the processes that live have run, the last few thousand each, by start."""

    def log_files(self, timeout: float) -> LogListing:
        """The files with what workers print and nodes log; none where there are none.

        Raises:
            BackendError: nobody has answered.
        """
        return LogListing()

    def read_log(
        self,
        node_id: str,
        name: str,
        *,
        place: tuple[int, int] = BEGINNING,
        tail: int = -1,
        timeout: float = 30.0,
    ) -> LogText:
        """A part of a log file, as it was written.

        Args:
            place: where to go on, as a part before has said.
            tail: if it is not negative, that many lines before the end, in place of *place*.

        Raises:
            BackendError: there is no such file, or its node does not answer.
        """
        raise BackendError(f"backend {self.name!r} keeps no log files")

    @abc.abstractmethod
    def context(self) -> ContextInfo:
        """Where the caller runs."""

    @abc.abstractmethod
    def preload(self, modules: Sequence[str]) -> None:
        """A hint that coming tasks will import *modules*, so that workers may start warm.

        Never fails because of a module that cannot be imported: the task that needs it will.
        """

    @abc.abstractmethod
    def exit_actor(self) -> None:
        """End the actor that calls this, and raise an exception that leaves its method.

        That is no subclass of ``Exception``; the actor ends too if somebody catches it. From this
        call on nothing is accepted: it raises ``ActorDied`` itself, and so do all calls that have
        not ended, queued or running, whatever they still return. What had ended before keeps its
        value, and so does what streaming methods have yielded before. There is no restart.

        May be called where the context of a method has gone: in coroutines and tasks that it has
        started, and in threads by way of ``asyncio.to_thread`` or ``contextvars.copy_context``. In
        a constructor it fails that.

        Where the actor has a process of its own, that ends when the method that has called this
        is left. Others that run are interrupted as by :meth:`cancel`, and have five seconds to
        clean up.

        Raises:
            RuntimeError: not called from a method of an actor.
        """

    @abc.abstractmethod
    def current_actor(self) -> ActorHandle:
        """A handle to the actor that calls this.

        Raises:
            RuntimeError: not called from a method of an actor.
        """

    @abc.abstractmethod
    def shutdown(self) -> None:
        """End everything this program started. Safe to call twice.

        Afterwards no process, file or shared memory of it is left. Where tasks run in processes of
        their own, that includes what they have started, also in sessions and process groups of its
        own: it ends with the process of the task or actor, by SIGTERM, and a second later by
        SIGKILL. A program that is to stay is started by somebody else, such as ``systemd-run``.
        Other methods then raise ``NotInitialized``.

        Raises:
            RuntimeError: called by a task or an actor.
        """

    def require(self, capability: Capability, hint: str = "") -> None:
        """Raise :class:`UnsupportedByBackend` unless this backend has *capability*."""
        if capability not in self.capabilities:
            raise UnsupportedByBackend(self.name, capability.value, hint)


def outside_of_actors(what: str) -> RuntimeError:
    """The error of what only an actor can ask for, asked for by somebody else."""
    return RuntimeError(
        f"{what} is only there inside a method of an actor; a thread that a method has started does"
        " not count as one, unless it runs in a copy of the method's context:"
        " contextvars.copy_context().run(...), or asyncio.to_thread"
    )
