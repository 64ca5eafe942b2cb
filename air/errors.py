"""Every error that AIR raises, under one root.

Three families, so that a program can tell whose fault it was:

* your code failed: :class:`TaskError`, mixed into the class of the exception that the
  task raised, so that ``except MyError`` and ``except TaskError`` both catch it;
* the system failed: :class:`WorkerDied`, :class:`ActorDied`, :class:`NodeDied`,
  :class:`ObjectLost`, :class:`OwnerDied`, :class:`OutOfMemory`, :class:`ObjectStoreFull`;
* the API was misused: subclasses of ``ValueError`` or ``TypeError``, raised at the call.

This module imports nothing.
"""

from __future__ import annotations


class AirError(Exception):
    """Root of all errors that AIR itself raises.

    Attributes:
        dead_actor: of an error that a call of an actor raises because that is dead, whatever has
            ended it or kept it from being started: its identity, in hexadecimal digits. Empty in
            all other errors, and while an actor is being restarted.
    """

    dead_actor: str = ""


class TaskError(AirError):
    """A task or an actor method raised an exception.

    What ``air.get`` raises is an instance of a class that derives from both the class of
    the user's exception and ``TaskError``; its traceback ends on the line that raised.
    An exception whose class refuses to be subclassed arrives as itself, unmixed; for one that
    is no ``Exception``, such as ``SystemExit``, a plain ``TaskError`` stands.

    Attributes:
        task_name: qualified name of the function or ``Class.method`` that raised.
        cause: the user's exception, of its own class.
    """

    task_name: str
    cause: BaseException


class WorkerDied(AirError):
    """The process that ran a task ended before the task did."""


class ActorDied(AirError):
    """The actor that was called is dead, and its restarts (if any) are used up.

    Attributes:
        death: what has ended it, in words, without which actor it was: ``"it was killed by
            SIGKILL"``. Empty if nobody knows, and while it is being restarted.
        death_kind: the same in a word. ``"out_of_memory"``: its node ended it because memory ran
            out; ``"worker_killed"``: a signal ended its process; ``"worker_died"``: its process
            ended by itself, or with its node; ``"killed"``: ``air.kill`` ended it; ``"exited"``: it
            called ``air.exit_actor``; ``"released"``: nobody had a handle any more;
            ``"owner_gone"``: the program or process that created it ended;
            ``"constructor_failed"``; ``"refused"``: no node could run it (again);
            ``"unreachable"``: see :class:`ActorUnreachable`. Empty otherwise.
    """

    death: str = ""
    death_kind: str = ""


class ActorUnreachable(ActorDied):
    """There was no way to the actor's process any more after a call had been sent to it.

    The call may have run or not, or run still; the actor may live, and other calls reach it later.

    Attributes:
        actor: its identity, in hexadecimal digits.
    """

    actor: str = ""


class PendingCallsLimitExceeded(AirError):
    """An actor has as many unfinished calls as its ``max_pending_calls`` allows."""


class NodeDied(AirError):
    """The node that ran a task or held an actor left the cluster."""


class ObjectLost(AirError):
    """The value of a reference exists nowhere any more and cannot be computed again.

    What was lost with a node, or on its disk, is made anew by the task that it came from, and that
    is noticed as a wait only; the values of a stream are, too. This error says why it was not
    possible: ``air.put`` and methods of actors are not repeated, nor are tasks with
    ``max_retries=0``, with large arguments that are no references, or with references to values
    of other processes.
    """


class OwnerDied(ObjectLost):
    """The process that owned a reference ended; nobody knows its value any more."""


class OutOfMemory(AirError):
    """A task was ended because its machine ran out of memory."""


class ObjectStoreFull(AirError):
    """Shared memory for objects is used up by objects that are still referenced.

    Raised after up to ten seconds in which other processes might have let go of some; at once if
    the value is larger than all of it, or if the program uses all that is taken itself.
    """


class TaskCancelled(AirError):
    """The task behind a reference was cancelled."""


class GetTimeout(AirError, TimeoutError):
    """``air.get`` did not see its values within ``timeout``.

    Names the tasks and calls that it waited for, and how far they are: what they wait for, who has
    it, or where they run and since when. Where others have to be asked for that, which is done for
    waits of 0.1 s and more, it takes as long again as ``timeout`` at most, and never more than a
    second.
    """


class IncompleteListing(AirError):
    """Not all processes have answered a listing in time; names those that have not.

    Attributes:
        records: what the others have said.
    """

    def __init__(self, message: str, records: list[object] | None = None) -> None:
        super().__init__(message)
        self.records = records or []


class DeadlockError(AirError):
    """Waiting would never end: nothing that runs could make the value appear."""


class ActorPlacementError(AirError):
    """The placement group that an actor or a task was bound to has been removed."""


class BackendError(AirError):
    """A backend could not be started or reached."""


class RuntimeEnvSetupError(AirError):
    """A runtime environment could not be set up; says on which node, and why."""


class Unschedulable(AirError, ValueError):
    """No node could ever meet a request; names the demand and every node's supply."""


class UnsupportedByBackend(AirError, NotImplementedError):
    """The running backend lacks a capability that the call needs."""

    def __init__(self, backend: str, capability: str, hint: str = "") -> None:
        self.backend = backend
        self.capability = capability
        message = f"backend {backend!r} does not support {capability}"
        super().__init__(f"{message}; {hint}" if hint else message)


class SerializationError(AirError, TypeError):
    """A value cannot be sent to another process, or code cannot be loaded there; says why."""


class InvalidOption(AirError, ValueError):
    """An option has an unknown name or a value that it cannot take."""


class NotInitialized(AirError, RuntimeError):
    """The call needs a running backend and may not start one itself."""
