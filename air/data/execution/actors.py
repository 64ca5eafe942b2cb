"""Does a stage's work on a pool of actors, as :class:`Pool` decides."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from air.core.api import remote
from air.data.blocks.allocation import keep_pieces
from air.data.blocks.block import Block
from air.data.budget import Budget
from air.data.execution.pool import Action, Assign, Fail, Pool, PoolLimits, StartActor, StopActor
from air.data.execution.shares import Share
from air.data.execution.stages import OpenStage, Stage
from air.data.execution.work import Work, results
from air.errors import ActorDied, ActorUnreachable, Unschedulable
from air.executor.current import get_executor, is_initialized
from air.executor.handles import ActorHandle, ObjectRef, ObjectRefGenerator
from air.executor.options import actor_options
from air.executor.resources import describe

logger = logging.getLogger("air")

_PATIENCE_SECONDS = 30.0
"""How long work waits for its first actor before that is said, and said again."""

_BEGUN = "begun"
"""What comes of a unit before its blocks, so that one that an actor never began can be told."""


class StageActor:
    """Keeps a stage open, with its instances of callable classes.

    What a constructor of the user raises is raised by :meth:`ready`: as itself, which it would not
    be if this constructor raised it.
    """

    def __init__(self, stage: Stage, budget: Budget) -> None:
        self._stage: OpenStage | None = None
        self._error: Exception | None = None
        keep_pieces(budget.kept_piece_bytes)
        try:
            self._stage = stage.open(budget)
        except Exception as error:
            self._error = error

    def ready(self) -> None:
        """Nothing, when it is ready."""
        if self._error is not None:
            raise self._error

    def run(self, work: Work, *given: Block) -> Iterator[Any]:
        """That it has begun, and what :func:`results` gives."""
        yield _BEGUN
        assert self._stage is not None
        yield from results(self._stage, work, given)


@dataclass(slots=True)
class _Job:
    """A unit until it is done; what is needed to do it again is kept so long."""

    work: Work
    refs: Sequence[ObjectRef[Any]]
    had: list[int] = field(default_factory=list)
    actor: int = -1
    stream: ObjectRefGenerator | None = None
    has_begun: bool = False
    death: ActorDied | None = None


class ActorStage:
    """Starts a stage's work on a pool of actors.

    There are none before the first unit is there: until then those that make it may need all that
    they would hold.
    """

    def __init__(self, stage: Stage, budget: Budget, share: Share) -> None:
        assert stage.compute.pool is not None
        self._stage = stage
        self._budget = budget
        self._options = dict(share.options)
        self._executor = get_executor()
        self._class = remote(StageActor).options(**self._options)
        self._arguments: tuple[Any, ...] = ()
        limits = PoolLimits(
            share.smallest, share.largest, stage.compute.pool.in_flight, stage.compute.max_retries
        )
        self.pool = Pool(limits)
        self.actors: dict[int, ActorHandle] = {}
        self._ready: dict[int, ObjectRef[Any]] = {}
        self._jobs: dict[int, _Job] = {}
        self._trouble: Exception | None = None
        self._said = 0

    def start(self, task: int, work: Work, refs: Sequence[ObjectRef[Any]]) -> None:
        """Work on a unit as soon as there is an actor for it; see :meth:`advance`."""
        self._jobs[task] = _Job(work, refs)
        self.pool.wanted(task)

    def block_taken(self, task: int, num_rows: int) -> None:
        """A block of a unit has been taken, so it must not be given again."""
        self._jobs[task].had.append(num_rows)

    def ended(self, task: int) -> None:
        """A unit is done, or nobody wants it any more."""
        if self._jobs.pop(task, None) is not None:
            self.pool.ended(task, time.monotonic())

    def advance(self) -> Iterator[tuple[int, ObjectRefGenerator | Exception]]:
        """Do what is to be done now.

        Yields:
            Units with the stream that gives their blocks from now on, or what they failed with.
        """
        self._look_at_starting()
        while (action := self.pool.next_action(time.monotonic())) is not None:
            yield from self._done(action)
        self._say_what_it_waits_for()

    def see_begin(self, task: int, timeout: float | None) -> None:
        """Take in that the actor of a unit has begun with it, before any of its blocks.

        Raises:
            GetTimeout: it has not.
            Exception: what a block would raise in its place.
        """
        job = self._jobs[task]
        if job.has_begun or job.stream is None:
            return
        first = next(job.stream) if timeout is None else job.stream.next_within(timeout)
        self._executor.get([first], None)
        self._begins(task)

    def _begins(self, task: int) -> None:
        self._jobs[task].has_begun = True
        self.pool.began(task)

    def died(self, task: int, error: Exception) -> list[int]:
        """The units that wait for another actor, if *error* says that that of *task* is lost."""
        job = self._jobs[task]
        handle = self.actors.get(job.actor)
        if handle is None or not _tells_of(error, handle):
            return []
        theirs = [other for other, one in self._jobs.items() if one.actor == job.actor]
        for other in theirs:
            if isinstance(error, ActorUnreachable):  # it may have: nobody can tell
                self._begins(other)
            else:
                with contextlib.suppress(Exception):
                    self.see_begin(other, 0.0)
        if isinstance(error, ActorUnreachable):
            self._executor.kill_actor(handle, no_restart=True)
        del self.actors[job.actor]
        waiting = self.pool.died(job.actor)
        logger.warning(
            "%s: an actor died: %s. What it worked on goes to another, if max_retries allows it",
            self._stage.name,
            error.death,
        )
        for other in waiting:
            given_up = self._jobs[other]
            given_up.actor, given_up.stream, given_up.has_begun = -1, None, False
            given_up.death = error
        return waiting

    @property
    def starting(self) -> list[ObjectRef[Any]]:
        """References that are there when actors are ready."""
        return list(self._ready.values())

    def close(self) -> None:
        """End all actors."""
        # An iterator may be closed long after the backend it ran on.
        if is_initialized() and get_executor() is self._executor:
            for handle in self.actors.values():
                self._executor.kill_actor(handle, no_restart=True)

    # ------------------------------------------------------------------------------------

    def _done(self, action: Action) -> Iterator[tuple[int, ObjectRefGenerator | Exception]]:
        if isinstance(action, StartActor):
            if not self._arguments:
                self._arguments = (self._executor.put(self._stage), self._budget)
            handle = self._class.remote(*self._arguments)
            self.actors[action.actor] = handle
            self._ready[action.actor] = handle.ready.remote()
        elif isinstance(action, StopActor):
            self._executor.kill_actor(self.actors.pop(action.actor), no_restart=True)
        elif isinstance(action, Fail):
            job = self._jobs.pop(action.unit)
            yield action.unit, self._trouble or self._died_of(job, action)
        else:
            yield action.unit, self._assigned(action)

    def _assigned(self, action: Assign) -> ObjectRefGenerator:
        job = self._jobs[action.unit]
        job.actor = action.actor
        method = self.actors[action.actor].run.options(
            num_returns="streaming",
            bytes_ahead=self._budget.ahead_bytes,
            name=f"data: {self._stage.name}"[:200],
        )
        stream: ObjectRefGenerator = method.remote(replace(job.work, had=tuple(job.had)), *job.refs)
        job.stream = stream
        return stream

    def _look_at_starting(self) -> None:
        if not self._ready:
            return
        refs = list(self._ready.values())
        there = set(self._executor.wait(refs, len(refs), 0, False)[0])
        for actor, ref in list(self._ready.items()):
            if ref in there:
                del self._ready[actor]
                self._has_started(actor, ref)

    def _has_started(self, actor: int, ref: ObjectRef[Any]) -> None:
        try:
            self._executor.get([ref], None)
        except Exception as error:
            handle = self.actors.pop(actor)
            if _tells_of(error, handle) and error.death_kind != "constructor_failed":
                self.pool.died(actor)
                if self.pool.broken:
                    self._trouble = self._never_ready(error)
                return
            self._executor.kill_actor(handle, no_restart=True)
            self.pool.unusable(actor)
            self._trouble = self._named(error)
            return
        self.pool.ready(actor, time.monotonic())

    def _named(self, error: Exception) -> Exception:
        """What keeps an actor from being made, with the name of the operator."""
        if isinstance(error, (Unschedulable, ActorDied)):
            named = type(error)(f"{self._stage.name}: its actors cannot be made: {error}")
            named.__cause__ = error.__cause__ or error
            return named
        note = f"while an actor of {self._stage.name} was started"
        if note not in getattr(error, "__notes__", []):
            error.add_note(note)
        return error

    def _never_ready(self, error: ActorDied) -> Exception:
        died = ActorDied(
            f"{self._stage.name}: its actors die while they are started, one after the other; the"
            f" last one: {error.death}. {_advice(error.death_kind, 'in the constructor')}"
        )
        died.__cause__ = error
        return died

    def _died_of(self, job: _Job, action: Fail) -> Exception:
        death = job.death or ActorDied()
        often = f"{action.deaths} actors have" if action.deaths > 1 else "an actor has"
        died = ActorDied(
            f"{self._stage.name}: {often} died while working on {job.work.context.source}; the last"
            f" one: {death.death}. {_advice(death.death_kind, 'in the function')}. max_retries="
            f"{self._stage.compute.max_retries} says how often it is tried again"
        )
        died.__cause__ = job.death
        return died

    def _say_what_it_waits_for(self) -> None:
        since = self.pool.waiting_since()
        if since is None:
            self._said = 0
            return
        seconds = time.monotonic() - since
        if seconds < _PATIENCE_SECONDS * (self._said + 1):
            return
        self._said += 1
        request = actor_options(self._options).resources
        free = self._executor.available_resources()
        logger.warning(
            "%s has waited for %.0f s for the first of its actors to be ready. Each needs %s; free"
            " on all nodes: %s. If that is enough, its constructor takes so long; otherwise ask for"
            " less, or end what holds it",
            self._stage.name,
            seconds,
            describe(request),
            describe({name: free.get(name, 0.0) for name in request}),
        )


def _tells_of(error: Exception, handle: ActorHandle) -> TypeGuard[ActorDied]:
    """Whether *error* says that the actor of *handle* is dead or out of reach, and no other."""
    if isinstance(error, ActorUnreachable):
        return error.actor == handle._actor_id.hex()
    return isinstance(error, ActorDied) and error.dead_actor == handle._actor_id.hex()


def _advice(kind: str, where: str) -> str:
    """What to do about actors that die in this way; see ``ActorDied.death_kind``."""
    if kind == "out_of_memory":
        return (
            "Give it fewer rows at a time (batch_size), have fewer actors (concurrency), or set"
            " memory aside for each (memory=BYTES)"
        )
    if kind == "unreachable":
        return "Look at what breaks connections between the nodes"
    if kind == "worker_killed":
        return (
            f"Look for native code that crashes {where}, or for the system's log of processes that"
            " it ended for want of memory"
        )
    return f"Look for what ends the process {where}, such as os._exit or air.exit_actor"
