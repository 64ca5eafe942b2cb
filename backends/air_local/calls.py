"""One run of user code: its surroundings, its arguments, and where its outcome goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from air.errors import TaskCancelled
from air.executor.environments import Environment
from air.executor.failures import log_unseen
from air.executor.handles import ObjectRef
from air.executor.options import TaskOptions
from air.executor.resources import Resources
from air.executor.returns import split_returns
from air.executor.validation import listing
from air_local.store import Failure, Parcel, Store, pack
from air_local.surroundings import NONE

if TYPE_CHECKING:
    import asyncio

    from air_local.actors import Actor
    from air_local.placement import Group


@dataclass(slots=True, eq=False)
class Frame:
    """The surroundings of one run of user code: what ``context()`` says there.

    ``lane`` is the concurrency group of its actor in which it waits for its turn.
    """

    task_id: bytes
    name: str
    resources: Resources = Resources()
    actor: Actor | None = None
    group: Group | None = None
    bundle: int = -1
    capture: bool = False
    gpu_ids: tuple[int, ...] = ()
    parent_id: bytes | None = None
    lane: str = ""
    function: str = ""
    environment: Environment = NONE


current_frame: ContextVar[Frame | None] = ContextVar("air_local_frame", default=None)


class ActorExit(BaseException):
    """Raised by ``air.exit_actor()``, which has ended the actor, to leave what runs."""


class Arguments:
    """A copy of a call's arguments; references at the top level are filled in when it runs."""

    __slots__ = ("_args", "_parcel", "_slots")

    def __init__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str) -> None:
        self._slots: list[tuple[int | str, ObjectRef[Any]]] = []
        for index, value in enumerate(args):
            if isinstance(value, ObjectRef):
                self._slots.append((index, value))
        for key, value in kwargs.items():
            if isinstance(value, ObjectRef):
                self._slots.append((key, value))
        filled = {key for key, _ in self._slots}
        plain_args = [None if index in filled else value for index, value in enumerate(args)]
        plain_kwargs = {key: value for key, value in kwargs.items() if key not in filled}
        self._parcel = pack(
            (plain_args, plain_kwargs), lambda: f"an argument of {name}", ("args", "kwargs")
        )

    def failure(self, store: Store) -> Failure | None:
        """The error that one of the references holds, if any."""
        failures = (store.entry(ref).failure for ref in self.references())
        return next((failure for failure in failures if failure is not None), None)

    def references(self) -> list[ObjectRef[Any]]:
        """The references at the top level."""
        return [ref for _, ref in self._slots]

    def unpack(self, store: Store) -> tuple[list[Any], dict[str, Any]]:
        """The arguments, made anew."""
        args, kwargs = self._parcel.unpack()
        for key, ref in self._slots:
            if isinstance(key, int):
                args[key] = store.entry(ref).value()
            else:
                kwargs[key] = store.entry(ref).value()
        return args, kwargs


class Call:
    """One run of user code. Subclasses say what it runs and where the outcome goes.

    Attributes:
        name: for messages.
        frame: its surroundings.
        arguments: ``None`` once they are not needed any more.
        waiting_for: how many of its references have no value yet, and one more until they
            have been counted.
        is_async: whether it runs on the event loop.
        started: whether its code runs or has run; a call that was cancelled never starts.
        began: when that was, in seconds of the Unix clock.
        finished: whether it has an outcome.
        error: what that is, if it has failed.
        running: the task on the event loop that runs it, if any.
        context: a new one, so that what the caller set in its own stays there, as it would
            if the code ran in another process.
    """

    def __init__(
        self, store: Store, name: str, frame: Frame, arguments: Arguments, *, is_async: bool
    ) -> None:
        self.store = store
        self.name = name
        self.frame = frame
        self.arguments: Arguments | None = arguments
        self.is_async = is_async
        self.waiting_for = 1
        self.started = False
        self.began: float | None = None
        self.finished = False
        self.error: BaseException | None = None
        self.running: asyncio.Task[None] | None = None
        self.on_finish: list[Callable[[], object]] = []
        self.context = Context()
        self.context.run(current_frame.set, frame)

    @property
    def function(self) -> str:
        """What is called, for listings; empty for what no listing shows."""
        return self.frame.function

    def is_last(self) -> bool:
        """Whether nothing follows this call that belongs to the same task."""
        return True

    def invoke(self) -> Any:
        """Run the code; what it gives may be awaited if the call is async."""
        raise NotImplementedError

    def succeed(self, value: Any) -> None:
        """Deliver what the code returned. May raise: then the call fails with that."""
        raise NotImplementedError

    def fail(self, failure: Failure) -> None:
        """Deliver an error."""
        raise NotImplementedError

    def should_retry(self, error: BaseException) -> bool:
        """Whether to run the code again after *error*."""
        return False

    def obstacle(self) -> Failure | None:
        """Why the code cannot run although all that it waited for is there."""
        group = self.frame.group
        if group is not None and group.state == "REMOVED":
            return Failure(group.removed(), self.name)
        return None if self.arguments is None else self.arguments.failure(self.store)

    def waits_for(self) -> str:
        """For messages: what keeps the call from starting."""
        if self.waiting_for:
            arguments = [] if self.arguments is None else self.arguments.references()
            entries = [self.store.entry(ref) for ref in arguments]
            missing = listing((entry.label for entry in entries if not entry.done), limit=3)
            return f"its arguments: {missing}" if missing else "its placement group"
        actor = self.frame.actor
        if not self.started and actor is not None and actor.turns.running:
            return "its turn: its actor runs another method"
        return ""

    def situation(self) -> str:
        """For messages: how far the call is, behind its name."""
        awaited = self.waits_for()
        if awaited:
            return f" (waits for {awaited})"
        if self.started and self.began is not None:
            return f" (has run for {time.time() - self.began:.1f} s)"
        return ""

    def unpack_arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """The arguments, made anew."""
        assert self.arguments is not None
        return self.arguments.unpack(self.store)

    def finish(self) -> None:
        """Let go of everything that only a running call needs."""
        if self.finished:
            return
        self.finished = True
        self.arguments = None
        self.running = None
        callbacks, self.on_finish = self.on_finish, []
        for callback in callbacks:
            callback()
        self.error = None  # it has live frames


class ValueCall(Call):
    """A task or a method call that gives a fixed number of values."""

    def __init__(
        self,
        store: Store,
        name: str,
        frame: Frame,
        arguments: Arguments,
        function: Callable[[], Callable[..., Any]],
        num_returns: int,
        *,
        is_async: bool,
        retries: TaskOptions | None = None,
    ) -> None:
        super().__init__(store, name, frame, arguments, is_async=is_async)
        self._function = function
        self._retries_left = retries.max_retries if retries is not None else 0
        self._retry_on = () if retries is None else retries.retried
        self._entries = [store.create(name, self) for _ in range(num_returns)]

    def references(self) -> list[ObjectRef[Any]]:
        """A reference to each of the values to come."""
        return [self.store.reference(entry) for entry in self._entries]

    def invoke(self) -> Any:
        args, kwargs = self.unpack_arguments()
        return self._function()(*args, **kwargs)

    def succeed(self, value: Any) -> None:
        values = split_returns(value, len(self._entries), self.name)
        what = f"the return value of {self.name}"
        parcels = [pack(item, what) for item in values]
        self._deliver(parcels)

    def fail(self, failure: Failure) -> None:
        if not self.finished:
            self.error = failure.original
        if not self._entries and not self.store.closing:
            log_unseen(failure.to_raise(), self.name)
        for entry in self._entries:
            self.store.resolve(entry, failure=failure)
        self.finish()

    def should_retry(self, error: BaseException) -> bool:
        if not isinstance(error, self._retry_on) or self._retries_left == 0:
            return False
        self._retries_left -= 1  # -1 stands for no limit and never gets to 0
        return True

    def _deliver(self, parcels: Sequence[Parcel]) -> None:
        for entry, parcel in zip(self._entries, parcels, strict=True):
            self.store.resolve(entry, parcel)
        self.finish()


def cancelled(name: str) -> Failure:
    """What the references of a cancelled call hold."""
    return Failure(TaskCancelled(f"{name} was cancelled"), name)
