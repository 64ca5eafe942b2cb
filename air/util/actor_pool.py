"""A fixed set of actors that share work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import air
from air.errors import ActorDied, AirError, GetTimeout
from air.executor.handles import ActorHandle, ObjectRef
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_flag, check_timeout

Work = Callable[[ActorHandle, Any], ObjectRef[Any]]


@methods_suggest_keywords
class ActorPool:
    """Hands out work to actors, one call at a time to each.

    ::

        pool = ActorPool([Worker.remote() for _ in range(4)])
        results = list(pool.map(lambda actor, x: actor.double.remote(x), range(100)))

    An actor is free again once its result has been taken from the pool, so somebody has to
    take results for work beyond the number of actors to start. Not for several threads.

    An actor that has died leaves the pool: the result that it owed raises ``ActorDied`` (or what
    has kept it from being started), once, and the others go on with what waits. What waits when the
    last one is dead raises ``ActorDied`` too, unless an actor is pushed before.
    """

    def __init__(self, actors: Iterable[ActorHandle]) -> None:
        if isinstance(actors, ActorHandle) or not isinstance(actors, Iterable):
            raise TypeError(f"ActorPool takes a list of handles, got {type(actors).__name__}")
        self._idle: deque[ActorHandle] = deque()
        self._running: dict[ObjectRef[Any], ActorHandle] = {}  # in the order of submission
        self._waiting: deque[tuple[Work, Any]] = deque()
        self._death = ""  # of the actor that has left last
        for actor in actors:
            self.push(actor)

    def submit(self, fn: Work, value: Any) -> None:
        """Call ``fn(actor, value)`` with the next free actor: now, or when one is free.

        Args:
            fn: calls a method of the actor and returns the reference to its result.
            value: anything.
        """
        if self._idle:
            self._start(fn, value)
        else:
            self._waiting.append((fn, value))

    def get_next(self, timeout: float | None = None, ignore_if_timedout: bool = False) -> Any:
        """The result of what was submitted first, of all whose result has not been taken.

        Args:
            timeout: seconds to wait; ``None`` waits as long as it takes.
            ignore_if_timedout: when time is up, give up this result; its actor is free again
                and goes on with other work after it.

        Raises:
            StopIteration: there is nothing left to get.
            GetTimeout: time is up. The result can still be had, unless it was given up.
            ActorDied: its actor died, or there is none left for it.
        """
        return self._take(list(self._running)[:1], timeout, ignore_if_timedout)

    def get_next_unordered(
        self, timeout: float | None = None, ignore_if_timedout: bool = False
    ) -> Any:
        """The next result that is ready; otherwise like :meth:`get_next`."""
        return self._take(list(self._running), timeout, ignore_if_timedout)

    def map(self, fn: Work, values: Iterable[Any]) -> Iterator[Any]:
        """Yield ``fn(actor, value)``'s results in the order of *values*.

        Takes from *values* only as fast as results are taken; they may be endless. If the
        iteration ends early, because of an error or a ``break``, results that have not been
        taken are given up.

        Raises:
            RuntimeError: results of earlier work have not been taken.
            ActorDied: from the iterator, as of :meth:`get_next`.
        """
        return self._map(fn, values, self.get_next)

    def map_unordered(self, fn: Work, values: Iterable[Any]) -> Iterator[Any]:
        """Like :meth:`map`, but yields each result as soon as it is ready."""
        return self._map(fn, values, self.get_next_unordered)

    def has_next(self) -> bool:
        """Whether there are results to get."""
        return bool(self._running) or self._is_lost()

    def has_free(self) -> bool:
        """Whether an actor is free, and nothing waits for it."""
        return bool(self._idle)

    def pop_idle(self) -> ActorHandle | None:
        """Take a free actor out of the pool; ``None`` if all are busy."""
        return self._idle.popleft() if self._idle else None

    def push(self, actor: ActorHandle) -> None:
        """Add an actor to the pool.

        Raises:
            TypeError: it is no actor's handle.
            ValueError: it is in the pool already.
        """
        if not isinstance(actor, ActorHandle):
            raise TypeError(f"ActorPool takes handles of actors, got {type(actor).__name__}")
        if actor in self._idle or actor in self._running.values():
            raise ValueError(f"{actor} is in the pool already")
        self._free(actor)

    def _is_lost(self) -> bool:
        """Whether work waits, and nobody is left to do it."""
        return bool(self._waiting and self._death and not self._idle and not self._running)

    def _start(self, fn: Work, value: Any) -> None:
        actor = self._idle.popleft()
        try:
            ref = fn(actor, value)
            if not isinstance(ref, ObjectRef):
                raise TypeError(
                    "the function given to ActorPool must return the ObjectRef of a call,"
                    f" it returned {type(ref).__name__}"
                )
        except BaseException:
            self._idle.appendleft(actor)
            raise
        self._running[ref] = actor

    def _free(self, actor: ActorHandle) -> None:
        self._idle.append(actor)
        if self._waiting:
            self._start(*self._waiting.popleft())

    def _take(
        self, refs: list[ObjectRef[Any]], timeout: float | None, ignore_if_timedout: bool
    ) -> Any:
        seconds = check_timeout(timeout)
        check_flag(ignore_if_timedout, "ignore_if_timedout")
        if not refs and self._is_lost():
            self._waiting.popleft()
            raise self._all_dead()
        if not refs:
            raise StopIteration("the pool has no more results to get")
        ready, _ = air.wait(refs, timeout=seconds)
        if not ready:
            if ignore_if_timedout:
                self._free(self._running.pop(refs[0]))
            raise GetTimeout(f"no result of the pool within {seconds:g} s")
        actor, lives = self._running.pop(ready[0]), True
        try:
            return air.get(ready[0])
        except AirError as error:
            lives = error.dead_actor != actor._actor_id.hex()
            if not lives:
                self._death = str(error)
            raise
        finally:
            if lives:
                self._free(actor)

    def _all_dead(self) -> ActorDied:
        return ActorDied(
            "this work was not done: all actors of the pool are dead; push others. The last one:"
            f" {self._death}"
        )

    def _map(self, fn: Work, values: Iterable[Any], get_next: Callable[[], Any]) -> Iterator[Any]:
        if self._running or self._waiting:
            raise RuntimeError(
                "the pool has results that have not been taken: take them before map,"
                " so that they do not get mixed up"
            )
        return self._map_lazily(fn, values, get_next)

    def _map_lazily(
        self, fn: Work, values: Iterable[Any], get_next: Callable[[], Any]
    ) -> Iterator[Any]:
        try:
            for value in values:
                while not self._idle:
                    if not self._running and self._death:
                        raise self._all_dead()
                    if not self._running:
                        raise RuntimeError("the pool has no actors: push some")
                    yield get_next()
                self._start(fn, value)
            while self._running:
                yield get_next()
        finally:
            # Else nobody could use the pool again before taking what nobody wants any more.
            while self._running:
                self._free(self._running.popitem()[1])
