"""The registry of actors (head service): their life cycle, names and who hears about them.

See :class:`ActorRegistry`.
"""

from __future__ import annotations

import msgspec

from air.errors import InvalidOption
from air.executor.validation import listing, nearest
from air_cluster.core.actor_states import (
    TRANSITIONS,
    UNLIMITED_RESTARTS,
    ActorInfo,
    ActorInstruction,
    ActorSnapshot,
    ActorSpec,
    ActorState,
    CancelPlacement,
    DeathCause,
    Publish,
    RequestPlacement,
    StartActor,
    StopActor,
)


class _Actor(msgspec.Struct, eq=False):
    spec: ActorSpec
    since: float
    state: ActorState = ActorState.PENDING
    worker_id: str | None = None
    address: str | None = None
    restarts: int = 0
    ending: DeathCause | None = None  # it was asked to end, or is about to
    reason: DeathCause | None = None
    message: str = ""
    death: str = ""  # what ended it, without its name
    loss: str = ""  # of the worker before, in words
    cause: bytes | None = None
    subscribers: dict[bytes, None] = msgspec.field(default_factory=dict)

    @property
    def label(self) -> str:
        of = f" {self.spec.class_name}" if self.spec.class_name else ""
        name = f" {self.spec.name!r}" if self.spec.name else ""
        return f"actor{of}{name} ({self.spec.actor_id.hex()})"


class _Early(msgspec.Struct, eq=False):
    """Those who want to hear of an actor that is not known yet."""

    subscribers: dict[bytes, None] = msgspec.field(default_factory=dict)
    since: float | None = None  # the first tick after they came


class ActorRegistry:
    """All actors of a cluster.

    ============  ===========  ==========  ===========  ===========
    event         PENDING      PLACED      ALIVE        RESTARTING
    ============  ===========  ==========  ===========  ===========
    placed        PLACED       (repeat)    (repeat)     PLACED
    refused       DEAD                                  DEAD
    started                    ALIVE
    failed                     DEAD
    worker_died                lost        lost
    kill          DEAD         DEAD        DEAD         DEAD
    kill, again   (stays)      lost        lost         (stays)
    released      DEAD         ending      ending       DEAD
    exiting                    ending      ending
    owner_gone    DEAD         DEAD        DEAD         DEAD
    job_gone      DEAD         DEAD        DEAD         DEAD
    ============  ===========  ==========  ===========  ===========

    *kill, again* is ``kill`` with ``no_restart=False``. *lost* means RESTARTING while there
    are restarts left, else DEAD; *ending* that it finishes what it has and is DEAD once its
    worker is gone, without a restart (either ``kill`` ends it at once). An ending actor has
    given up its name. ``owner_gone``, ``job_gone`` and ``released`` spare detached actors,
    ``owner_gone`` also those that are ending.

    Events that do not fit the state (they cross with others on the wire) do nothing, except
    that a worker placed for an actor that does not want it any more is stopped.
    Every change of state is published. The last *max_dead* dead actors are remembered, so
    that a late subscriber is told why. One that comes early (its handle was faster than the
    creation of the actor, which comes from another process) waits for *grace* seconds.
    """

    def __init__(self, *, max_dead: int = 10_000, grace: float = 5.0) -> None:
        self._max_dead = max_dead
        self._grace = grace
        self._early: dict[bytes, _Early] = {}
        self._actors: dict[bytes, _Actor] = {}
        self._dead: dict[bytes, None] = {}
        self._names: dict[tuple[str, str], bytes] = {}
        self._workers: dict[str, bytes] = {}
        self._owned: dict[bytes, dict[bytes, None]] = {}
        self._subscriptions: dict[bytes, set[bytes]] = {}
        self._changed: dict[bytes, None] = {}

    # Life -------------------------------------------------------------------------------

    def create(
        self, spec: ActorSpec, *, get_if_exists: bool = False, now: float
    ) -> tuple[bytes, list[ActorInstruction]]:
        """A new actor; or, with *get_if_exists*, the one that has its name.

        Returns:
            The identity of the actor to use, which is not that of *spec* if another one has
            the name already, and instructions.

        Raises:
            InvalidOption: the name is taken; nothing has changed.
        """
        key = spec.namespace, spec.name
        if spec.name and (holder := self._names.get(key)) is not None:
            if get_if_exists:
                return holder, []
            raise InvalidOption(
                f"an actor named {spec.name!r} exists already in namespace"
                f" {spec.namespace!r}: take another name, or get_if_exists=True"
            )
        if spec.actor_id in self._actors:  # the request was sent again
            return spec.actor_id, []
        self._add(_Actor(spec, now))
        out: list[ActorInstruction] = [_request(spec)]
        early = self._early.pop(spec.actor_id, None)
        for who in early.subscribers if early is not None else ():
            out += self.subscribe(spec.actor_id, who)
        return spec.actor_id, out

    def placed(self, actor_id: bytes, worker_id: str, now: float) -> list[ActorInstruction]:
        """There is a worker for the actor."""
        actor = self._actors.get(actor_id)
        if actor is not None and actor.worker_id == worker_id:
            return []
        if actor is None or actor.state not in (ActorState.PENDING, ActorState.RESTARTING):
            return [StopActor(actor_id, worker_id, graceful=False)]
        actor.worker_id = worker_id
        self._workers[worker_id] = actor_id
        out = self._move(actor, ActorState.PLACED, now)
        return [StartActor(actor_id, worker_id), *out]

    def refused(self, actor_id: bytes, message: str, now: float) -> list[ActorInstruction]:
        """There will be no worker for the actor, not even if it has had one before."""
        actor = self._actors.get(actor_id)
        if actor is None or actor.state not in (ActorState.PENDING, ActorState.RESTARTING):
            return []
        if actor.state is ActorState.RESTARTING:
            name = f", named {actor.spec.name!r}," if actor.spec.name else ""
            lost = actor.loss or "it lost its process"
            message = (
                f"it{name} had to be restarted ({lost}), and cannot be: {message.rstrip('.')}."
                " Create it again once that has changed"
            )
        return self._die(actor, DeathCause.REFUSED, message, now, message)

    def started(self, actor_id: bytes, address: str, now: float) -> list[ActorInstruction]:
        """The constructor has returned; calls go to *address*."""
        actor = self._actors.get(actor_id)
        if actor is None or actor.state is not ActorState.PLACED:
            return []
        actor.address = address
        return self._move(actor, ActorState.ALIVE, now)

    def failed(self, actor_id: bytes, cause: bytes, now: float) -> list[ActorInstruction]:
        """The constructor has raised. That is not tried again: it would raise again."""
        actor = self._actors.get(actor_id)
        if actor is None or actor.state is not ActorState.PLACED:
            return []
        actor.cause = cause
        message = f"the constructor of {actor.label} raised"
        death = "its constructor raised"
        return self._die(actor, DeathCause.CONSTRUCTOR_FAILED, message, now, death, graceful=True)

    def worker_died(
        self,
        worker_id: str,
        now: float,
        message: str = "its worker process died",
        reason: DeathCause = DeathCause.WORKER_DIED,
    ) -> list[ActorInstruction]:
        """A worker process is gone; *message* says what is known about why, as *reason* does.

        It is empty if its node was asked to end it. If it has not started the actor by then, that
        was recalled from there to go somewhere else just as it was placed: it is placed again.
        """
        actor_id = self._workers.get(worker_id)
        if actor_id is None:
            return []
        actor = self._actors[actor_id]
        self._leave_worker(actor)
        if actor.ending is not None:
            ended = {DeathCause.RELEASED: "its last handle is gone"}
            why = ended.get(actor.ending, "it called air.exit_actor()")
            return self._die(actor, actor.ending, f"{actor.label} ended: {why}", now, why)
        if not message and actor.state is ActorState.PLACED:
            back = ActorState.RESTARTING if actor.restarts else ActorState.PENDING
            return [*self._move(actor, back, now), _request(actor.spec)]
        return self._lose(actor, reason, message, now)

    def kill(self, actor_id: bytes, no_restart: bool, now: float) -> list[ActorInstruction]:
        """End an actor at once; without *no_restart* it may use up a restart to come back."""
        actor = self._actors.get(actor_id)
        if actor is None or actor.state is ActorState.DEAD:
            return []
        if no_restart or actor.ending is not None:
            message = f"{actor.label} was killed"
            return self._die(actor, DeathCause.KILLED, message, now, "it was killed")
        if actor.worker_id is None:
            return []
        stop = StopActor(actor_id, actor.worker_id, graceful=False)
        self._leave_worker(actor)
        return [stop, *self._lose(actor, DeathCause.KILLED, "it was killed", now)]

    def released(self, actor_id: bytes, now: float) -> list[ActorInstruction]:
        """Nobody holds a handle or waits for a call that has not been sent.

        Calls that were delivered are finished. Detached actors do not mind.
        """
        actor = self._actors.get(actor_id)
        if actor is None or actor.spec.detached or actor.ending is not None:
            return []
        if actor.state in (ActorState.PENDING, ActorState.RESTARTING):
            why = "its last handle is gone"
            return self._die(actor, DeathCause.RELEASED, f"{actor.label} ended: {why}", now, why)
        if actor.worker_id is None:
            return []
        self._end(actor, DeathCause.RELEASED)
        return [StopActor(actor_id, actor.worker_id, graceful=True)]

    def exiting(self, actor_id: bytes, now: float) -> list[ActorInstruction]:
        """The actor has called ``exit_actor``: its worker is about to end by itself."""
        actor = self._actors.get(actor_id)
        if actor is not None and actor.worker_id is not None and actor.ending is None:
            self._end(actor, DeathCause.EXITED)
        return []

    def owners(self) -> list[bytes]:
        """The processes that actors would go with, or that subscribe to one."""
        return list({**dict.fromkeys(self._owned), **dict.fromkeys(self._subscriptions)})

    def workers(self) -> list[str]:
        """The workers that actors live on."""
        return list(self._workers)

    def job_gone(self, job: bytes, now: float) -> list[ActorInstruction]:
        """A program has ended: so do all its actors, save detached ones."""
        out: list[ActorInstruction] = []
        for actor in list(self._actors.values()):
            spec = actor.spec
            if spec.job == job and actor.state is not ActorState.DEAD and not spec.detached:
                how = "ended with its program"
                message = f"{actor.label} {how}"
                out += self._die(actor, DeathCause.OWNER_GONE, message, now, f"it {how}")
        return out

    def owner_gone(self, owner: bytes, now: float) -> list[ActorInstruction]:
        """A process is dead: its actors die, save detached ones, and its subscriptions end.

        Those that are ending already may finish what they have.
        """
        for actor_id in [*self._subscriptions.get(owner, ()), *self._early]:
            self.unsubscribe(actor_id, owner)
        out: list[ActorInstruction] = []
        for actor_id in list(self._owned.get(owner, ())):
            actor = self._actors[actor_id]
            if actor.ending is None:
                how = "ended with the process that created it"
                message = f"{actor.label} {how}"
                out += self._die(actor, DeathCause.OWNER_GONE, message, now, f"it {how}")
        return out

    # Subscriptions ----------------------------------------------------------------------

    def subscribe(self, actor_id: bytes, who: bytes) -> list[ActorInstruction]:
        """*who* wants to know the state of an actor: now, and whenever it changes."""
        actor = self._actors.get(actor_id)
        if actor is None:
            self._early.setdefault(actor_id, _Early()).subscribers[who] = None
            return []
        if actor.state is not ActorState.DEAD:
            self._changed[actor_id] = None
            actor.subscribers[who] = None
            self._subscriptions.setdefault(who, set()).add(actor_id)
        return [_publication(actor, (who,))]

    def unsubscribe(self, actor_id: bytes, who: bytes) -> list[ActorInstruction]:
        """*who* does not care any more."""
        actor = self._actors.get(actor_id)
        if (early := self._early.get(actor_id)) is not None:
            early.subscribers.pop(who, None)
            if not early.subscribers:
                del self._early[actor_id]
        if actor is not None and who in actor.subscribers:
            self._changed[actor_id] = None
            del actor.subscribers[who]
            self._subscriptions[who].discard(actor_id)
            if not self._subscriptions[who]:
                del self._subscriptions[who]
        return []

    def tick(self, now: float) -> list[ActorInstruction]:
        """Time has passed: call this about once a second.

        Those who have waited for long enough for an actor to be created are told that it is
        dead.
        """
        out: list[ActorInstruction] = []
        for actor_id, early in list(self._early.items()):
            if early.since is None:
                early.since = now
            elif now - early.since >= self._grace:
                del self._early[actor_id]
                message = f"actor {actor_id.hex()} is not known: it ended long ago, or never was"
                who = tuple(early.subscribers)
                out.append(Publish(actor_id, who, ActorState.DEAD, message=message))
        return out

    # Keeping it -------------------------------------------------------------------------

    def take_changed(self) -> list[bytes]:
        """The actors of which :meth:`snapshot` may have changed since this was last asked."""
        changed, self._changed = self._changed, {}
        return list(changed)

    def snapshot(self, actor_id: bytes) -> ActorSnapshot | None:
        """What has to be kept of an actor; ``None`` if it is dead."""
        actor = self._actors.get(actor_id)
        if actor is None or actor.state is ActorState.DEAD:
            return None
        return ActorSnapshot(
            actor.state,
            actor.worker_id,
            actor.address,
            actor.restarts,
            actor.ending,
            actor.reason,
            actor.message,
            list(actor.subscribers),
        )

    def restore(self, spec: ActorSpec, kept: ActorSnapshot, now: float) -> list[ActorInstruction]:
        """Take up an actor that another registry has known, as it was then.

        One that waits for a worker is waited for anew.
        """
        actor = _Actor(
            spec,
            now,
            kept.state,
            kept.worker_id,
            kept.address,
            kept.restarts,
            kept.ending,
            kept.reason,
            kept.message,
        )
        self._add(actor)
        if actor.worker_id is not None:
            self._workers[actor.worker_id] = spec.actor_id
        for who in kept.subscribers:
            actor.subscribers[who] = None
            self._subscriptions.setdefault(who, set()).add(spec.actor_id)
        return [] if actor.worker_id is not None else [_request(spec)]

    # Queries ----------------------------------------------------------------------------

    def find(self, name: str, namespace: str) -> bytes:
        """The living actor of that name.

        Raises:
            ValueError: there is none; names those that there are.
        """
        actor_id = self._names.get((namespace, name))
        if actor_id is not None:
            return actor_id
        names = self.names(namespace)
        known = f"names there: {listing(names)}" if names else "no actor there has a name"
        raise ValueError(
            f"no living actor is named {name!r} in namespace {namespace!r}."
            f"{nearest(name, names)} ({known})"
        )

    def names(self, namespace: str) -> list[str]:
        """Names of the living in a namespace, sorted."""
        return sorted(name for space, name in self._names if space == namespace)

    def all_names(self) -> list[tuple[str, str]]:
        """Namespaces and names of the living, sorted."""
        return sorted(self._names)

    def info(self, actor_id: bytes) -> ActorInfo | None:
        """What is known of an actor."""
        actor = self._actors.get(actor_id)
        return _info(actor) if actor is not None else None

    def actors(self) -> list[ActorInfo]:
        """All actors that are remembered, in the order of their creation."""
        return [_info(actor) for actor in self._actors.values()]

    def check(self) -> None:
        """Assert that states and indexes agree."""
        dead = set()
        for actor_id, actor in self._actors.items():
            spec, state = actor.spec, actor.state
            assert spec.actor_id == actor_id
            has_worker = state in (ActorState.PLACED, ActorState.ALIVE)
            assert (actor.worker_id is not None) == has_worker, actor
            assert not has_worker or self._workers[actor.worker_id or ""] == actor_id, actor
            assert (actor.address is not None) == (state is ActorState.ALIVE), actor
            assert has_worker or actor.ending is None, actor
            named = self._names.get((spec.namespace, spec.name)) == actor_id
            living = state is not ActorState.DEAD
            assert named == (bool(spec.name) and living and actor.ending is None), actor
            assert (actor_id in self._owned.get(spec.owner, {})) == (living and not spec.detached)
            assert spec.max_restarts < 0 or actor.restarts <= spec.max_restarts, actor
            if not living:
                dead.add(actor_id)
                assert actor.reason is not None, actor
                assert not actor.subscribers, actor
            for who in actor.subscribers:
                assert actor_id in self._subscriptions[who]
        assert dead == set(self._dead)
        assert self._early.keys().isdisjoint(self._actors)
        assert all(early.subscribers for early in self._early.values())
        assert len(dead) <= self._max_dead
        assert len(self._workers) == sum(a.worker_id is not None for a in self._actors.values())
        assert all(self._names[a.spec.namespace, a.spec.name] for a in self._named())
        assert len(self._names) == len(self._named())
        assert all(self._owned.values())
        assert sum(map(len, self._subscriptions.values())) == sum(
            len(actor.subscribers) for actor in self._actors.values()
        )

    # Changes ----------------------------------------------------------------------------

    def _add(self, actor: _Actor) -> None:
        spec = actor.spec
        self._actors[spec.actor_id] = actor
        self._changed[spec.actor_id] = None
        if spec.name and actor.ending is None:
            self._names[spec.namespace, spec.name] = spec.actor_id
        if not spec.detached:
            self._owned.setdefault(spec.owner, {})[spec.actor_id] = None

    def _named(self) -> list[_Actor]:
        return [
            actor
            for actor in self._actors.values()
            if actor.spec.name and actor.state is not ActorState.DEAD and actor.ending is None
        ]

    def _move(self, actor: _Actor, state: ActorState, now: float) -> list[ActorInstruction]:
        assert state in TRANSITIONS[actor.state], f"{actor.label}: {actor.state} to {state}"
        actor.state = state
        actor.since = now
        self._changed[actor.spec.actor_id] = None
        if state in (ActorState.PLACED, ActorState.ALIVE):
            actor.reason, actor.message = None, ""
        if not actor.subscribers and state is not ActorState.DEAD:
            return []
        return [_publication(actor, tuple(actor.subscribers))]

    def _lose(
        self, actor: _Actor, reason: DeathCause, message: str, now: float
    ) -> list[ActorInstruction]:
        """The actor has lost its worker: restart it if that is allowed."""
        allowed = actor.spec.max_restarts
        if allowed != UNLIMITED_RESTARTS and actor.restarts >= allowed:
            used = f" after {allowed} restart{'s' * (allowed != 1)}" if allowed else ""
            told = f"{actor.label} is dead{used}: {message}"
            return self._die(actor, reason, told, now, message)
        actor.restarts += 1
        actor.loss = message
        actor.reason, actor.message = reason, f"{actor.label} is being restarted: {message}"
        return [*self._move(actor, ActorState.RESTARTING, now), _request(actor.spec)]

    def _die(
        self,
        actor: _Actor,
        reason: DeathCause,
        message: str,
        now: float,
        death: str,
        *,
        graceful: bool = False,
    ) -> list[ActorInstruction]:
        spec = actor.spec
        out: list[ActorInstruction] = []
        if actor.worker_id is not None:
            out.append(StopActor(spec.actor_id, actor.worker_id, graceful))
            self._leave_worker(actor)
        elif reason is not DeathCause.REFUSED and actor.state in (
            ActorState.PENDING,
            ActorState.RESTARTING,
        ):
            out.append(CancelPlacement(spec.actor_id))
        self._give_up_name(actor)
        if not spec.detached:
            owned = self._owned[spec.owner]
            del owned[spec.actor_id]
            if not owned:
                del self._owned[spec.owner]
        actor.reason, actor.message, actor.death, actor.ending = reason, message, death, None
        out += self._move(actor, ActorState.DEAD, now)
        for who in list(actor.subscribers):
            self.unsubscribe(spec.actor_id, who)
        self._dead[spec.actor_id] = None
        if len(self._dead) > self._max_dead:
            oldest = next(iter(self._dead))
            del self._dead[oldest], self._actors[oldest]
        return out

    def _end(self, actor: _Actor, reason: DeathCause) -> None:
        actor.ending = reason
        self._changed[actor.spec.actor_id] = None
        self._give_up_name(actor)

    def _give_up_name(self, actor: _Actor) -> None:
        key = actor.spec.namespace, actor.spec.name
        if self._names.get(key) == actor.spec.actor_id:
            del self._names[key]

    def _leave_worker(self, actor: _Actor) -> None:
        if actor.worker_id is not None:
            del self._workers[actor.worker_id]
        actor.worker_id = actor.address = None


def _request(spec: ActorSpec) -> RequestPlacement:
    return RequestPlacement(spec.actor_id, spec.shape, spec.owner, spec.depth)


def _publication(actor: _Actor, subscribers: tuple[bytes, ...]) -> Publish:
    return Publish(
        actor_id=actor.spec.actor_id,
        subscribers=subscribers,
        state=actor.state,
        address=actor.address,
        reason=actor.reason,
        message=actor.message,
        death=actor.death,
        cause=actor.cause,
        restarts=actor.restarts,
    )


def _info(actor: _Actor) -> ActorInfo:
    return ActorInfo(
        spec=actor.spec,
        state=actor.state,
        worker_id=actor.worker_id,
        address=actor.address,
        restarts=actor.restarts,
        reason=actor.reason,
        message=actor.message,
        since=actor.since,
    )
