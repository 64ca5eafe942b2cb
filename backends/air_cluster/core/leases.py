"""The scheduler of one node: who gets its workers and resources, and when.

See :class:`NodeScheduler`.
"""

from __future__ import annotations

from collections import Counter

from air.executor.resources import Resources, describe, missing_hint
from air_cluster.core.claims import ClaimBook
from air_cluster.core.homes import Home, Homes
from air_cluster.core.instructions import (
    BundleReserved,
    Grant,
    Instruction,
    LeaseLost,
    Place,
    Refuse,
    RefusePlacement,
)
from air_cluster.core.listings import Unmet, WorkerInfo, describe_node, worker_info
from air_cluster.core.shapes import LossKind, RefusalKind, ShapeKey
from air_cluster.core.starvation import FIRST_HOLD, Starvation
from air_cluster.core.waiting import Kind, Subject, Waiter, WaitingList
from air_cluster.core.workers import Claim, Worker, WorkerState, WorkerTable

MAX_START_FAILURES = 3
MAX_WEIGHTLESS = 32


class NodeScheduler:
    """Workers, resources and waiting requests of one node.

    Owners (processes that submit tasks) state how many more workers of a shape they could
    use; the node lends them workers, which they use for as many tasks as they like until
    they return them. Actors get workers of their own. Bundles of placement groups are cut
    out of the node's account and have accounts of their own.

    Events are the methods below; all but the queries return instructions, to be carried out
    in order. Events about leases, workers, actors and groups that are unknown (any more) do
    nothing: they cross with others on the wire.

    Serving. Whenever something changes, requests that fit are served in the order that
    :mod:`~air_cluster.core.waiting` describes; one that does not fit holds nobody up. So
    that it does not starve either, one that got nothing for ``patience`` seconds becomes
    the *holder* of its home (at most one a home, the deepest and then the longest waiting):
    others may no longer take what it is short of, save deeper ones. It becomes holder only
    if it would fit once all leases were returned, so an actor that lives for ever is not
    waited for. Should that take longer than :data:`FIRST_HOLD` seconds, the others get
    another ``patience`` seconds, then it is held for twice as long, and so on. Leases are
    asked back from their owners by the rules in :mod:`~air_cluster.core.reclaim`.

    Workers. What a request needs is set aside as soon as it fits; if no worker is idle, one
    is started for it. After :data:`MAX_START_FAILURES` starts in a row that ended before
    ``worker_ready``, each further one makes the requests that wait for a worker be refused,
    until a start succeeds. Each runtime environment has workers of its own; where one cannot be
    set up, what waits for its workers is refused, and what comes later is tried anew.

    Shapes without resources would allow any number of workers: at most ``max_weightless``
    of their leases are out at a time, blocked ones not counted.

    Alone or not. A node that is alone refuses what it can never meet. One of several cannot
    tell: it keeps such requests on record, where they hold nobody up, until they are withdrawn
    or the head service, which knows the others, says :meth:`refuse`. What the head sends here
    because there seemed to be room comes with ``once``: it is met now or not at all.
    """

    def __init__(
        self,
        node_id: str,
        total: Resources,
        max_idle_workers: int,
        *,
        patience: float = 2.0,
        idle_timeout: float = 10.0,
        max_weightless: int = MAX_WEIGHTLESS,
        alone: bool = True,
    ) -> None:
        """A node with everything free and no workers.

        Args:
            node_id: names the node in messages; the first part of its workers' identities.
            total: what the node offers. GPUs become slots numbered from 0.
            max_idle_workers: how many idle workers are kept for ever.
            patience: seconds after which a request that got nothing counts as starving.
            idle_timeout: seconds after which other idle workers are stopped.
            max_weightless: see above.
            alone: whether what this node can never meet, nobody can.
        """
        self.node_id = node_id
        self.total = total
        self._max_idle = max_idle_workers
        self._idle_timeout = idle_timeout
        self._max_weightless = max_weightless
        self._alone = alone
        self._homes = Homes(total)
        self._waiting = WaitingList()
        self._workers = WorkerTable(node_id)
        self._claims = ClaimBook()
        self._starvation = Starvation(self._homes, self._waiting, self._claims, patience)
        self._start_failures = 0
        self._over: set[bytes] = set()  # environments that nobody new will ask for

    # Demands and leases -----------------------------------------------------------------

    def set_demand(
        self,
        owner: bytes,
        shape: ShapeKey,
        count: int,
        depth: int,
        now: float,
        *,
        once: bool = False,
    ) -> list[Instruction]:
        """*owner* could use *count* more workers of *shape*, besides those granted so far.

        Replaces what it said before about that shape; each grant takes one off; 0 withdraws.
        *depth* is the number of blocked tasks above those that wait.

        With *once*, replaces nothing: as many of these *count* as there is room for now are
        granted, as soon as there are workers, and the others refused as BUSY and forgotten.
        """
        if once:
            return self._grant_now(owner, shape, count, depth, now)
        waiter = self._waiting.find(Kind.LEASE, owner, shape)
        refusal = self.feasibility(shape) if count > 0 else None
        if count <= 0 or refusal is not None:
            if waiter is not None:
                self._withdraw(waiter)
            refused = [] if refusal is None else [Refuse(owner, shape, *refusal, count)]
            return [*refused, *self._serve(now)]
        if waiter is None:
            waiter = self._add(Kind.LEASE, owner, shape, owner, depth, count, now)
        else:
            waiter.depth = depth
            self._cancel_set_aside(waiter, keep=count)
            waiter.count = count
            self._waiting.refresh(waiter)
        return self._serve(now) + self._starvation.reclaim_for(waiter, now)

    def refuse(
        self, owner: bytes, shape: ShapeKey, reason: RefusalKind, message: str, now: float
    ) -> list[Instruction]:
        """The head service knows that no node can ever meet a demand that waits here."""
        waiter = self._waiting.find(Kind.LEASE, owner, shape)
        if waiter is None:
            return []
        return self._refuse(waiter, now, reason, message) + self._serve(now)

    def return_lease(self, lease_id: int, now: float) -> list[Instruction]:
        """The owner of a lease does not use its worker any more."""
        claim = self._claims.lease(lease_id)
        if claim is None:
            return []
        assert claim.worker is not None
        if claim.allocation.gpus:
            return self._stop(claim, now) + self._serve(now)
        self._disown(claim, now)
        self._release(claim)
        return self._make_idle(claim.worker, now) + self._serve(now)

    def owner_gone(self, owner: bytes, now: float) -> list[Instruction]:
        """A process that made demands is dead: its demands and leases go.

        Its leased workers are stopped. Placements of its actors are not touched; those are
        for the actor registry to withdraw.
        """
        for waiter in [w for w in self._waiting if w.kind is Kind.LEASE and w.owner == owner]:
            self._withdraw(waiter)
        out: list[Instruction] = []
        for claim in self._claims.leases_of(owner):
            out += self._stop(claim, now)
        self._waiting.forget(owner)
        return out + self._serve(now)

    # Actors -----------------------------------------------------------------------------

    def place(
        self,
        actor_id: bytes,
        shape: ShapeKey,
        *,
        owner: bytes,
        depth: int,
        now: float,
        once: bool = False,
    ) -> list[Instruction]:
        """An actor needs a worker; answered by ``Place`` or ``RefusePlacement``.

        Repeating it while it waits does nothing; once placed, ``Place`` is repeated. With
        *once*, it is refused as BUSY if there is no room now.
        """
        if (claim := self._claims.actor(actor_id)) is not None:
            return [] if claim.waiter is not None else [_placed(claim)]
        if self._waiting.find(Kind.ACTOR, actor_id) is not None:
            return []
        if (refusal := self.feasibility(shape)) is not None:
            return [RefusePlacement(actor_id, *refusal)]
        waiter = self._add(Kind.ACTOR, owner, shape, actor_id, depth, 1, now)
        out = self._serve(now)
        if once and waiter.wanting:
            self._waiting.remove(waiter)
            return [*out, RefusePlacement(actor_id, *self._no_room(shape))]
        return out + self._starvation.reclaim_for(waiter, now)

    def cancel_placement(self, actor_id: bytes, now: float) -> list[Instruction]:
        """An actor needs no worker any more; if it has one, that is stopped."""
        if (waiter := self._waiting.find(Kind.ACTOR, actor_id)) is not None:
            self._waiting.remove(waiter)
        claim = self._claims.actor(actor_id)
        out = self._stop(claim, now) if claim is not None else []
        return out + self._serve(now)

    def dismissed(self, worker_id: str, now: float) -> list[Instruction]:
        """The actor in a dedicated worker is killed: the worker is stopped.

        From now on that is not the worker of the actor any more, which may be placed again.
        """
        claim = self._lent(worker_id)
        if claim is None or claim.kind is not Kind.ACTOR:
            return []
        return self._stop(claim, now) + self._serve(now)

    def retired(self, worker_id: str, now: float) -> list[Instruction]:
        """The actor in a dedicated worker has ended; the process stays for what others want of it.

        What the actor held is free. The process ends by itself, which ``worker_died`` tells.
        """
        claim = self._lent(worker_id)
        if claim is None or claim.kind is not Kind.ACTOR:
            return []
        assert claim.worker is not None
        self._workers.retire(claim.worker)
        self._disown(claim, now)
        self._release(claim)
        return self._serve(now)

    # Workers ----------------------------------------------------------------------------

    def worker_ready(self, worker_id: str, now: float) -> list[Instruction]:
        """A worker that was started is up."""
        worker = self._workers.get(worker_id)
        if worker is None or worker.state is not WorkerState.STARTING:
            return []
        self._start_failures = 0
        claim = worker.claim
        if claim is None:
            return self._make_idle(worker, now) + self._serve(now)
        assert claim.waiter is not None
        self._waiting.remove(claim.waiter)
        claim.waiter = None
        self._workers.lend(worker, claim)
        return [_placed(claim)]

    def worker_died(self, worker_id: str, now: float, how: str = "") -> list[Instruction]:
        """A worker process is gone, for whatever reason; *how* tells people of it."""
        worker = self._workers.get(worker_id)
        if worker is None:
            return []
        self._workers.remove(worker)
        out: list[Instruction] = []
        out += self._end_over(worker.environment)
        claim = worker.claim
        if worker.state is WorkerState.STARTING:
            self._start_failures += 1
            out += self._start_failed(worker.environment, claim, now, how)
        elif claim is not None:
            if worker.state is WorkerState.LEASED:
                out.append(LeaseLost(claim.claim_id, claim.owner, LossKind.WORKER_DIED))
            if worker.state is not WorkerState.STOPPING:
                self._disown(claim, now)
            self._release(claim)
        return out + self._serve(now)

    def environment_failed(self, worker_id: str, message: str, now: float) -> list[Instruction]:
        """The environment of a worker that is being started cannot be set up.

        It is not tried again for what waits now. The worker is stopped, and so are others that
        are being started in it.
        """
        failed = self._workers.get(worker_id)
        if failed is None or failed.state is not WorkerState.STARTING:
            return []
        out: list[Instruction] = []
        for waiter in [w for w in self._waiting if w.shape.environment == failed.environment]:
            out += self._refuse(waiter, now, RefusalKind.ENVIRONMENT, message)
        for worker in self._workers.of_environment(failed.environment):
            if worker.state is WorkerState.STARTING:
                out.append(self._workers.stop(worker))
        return out + self._serve(now)

    def environment_over(self, environment: bytes, now: float) -> list[Instruction]:
        """The program is gone that an environment was made for.

        Its workers end when they are idle, unless actors live in it, which may start tasks.
        """
        self._over.add(environment)
        return self._end_over(environment) + self._serve(now)

    def blocked(self, worker_id: str, now: float) -> list[Instruction]:
        """What runs in a lent worker waits in ``get``: its CPU is free for others."""
        claim = self._lent(worker_id)
        if claim is None or claim.blocked:
            return []
        claim.home.account.lend_cpu(claim.allocation)
        self._claims.block(claim)
        return self._serve(now)

    def unblocked(self, worker_id: str, now: float) -> list[Instruction]:
        """It goes on, and takes its CPU at once; free CPU may be negative for a while."""
        claim = self._lent(worker_id)
        if claim is None or not claim.blocked:
            return []
        claim.home.account.overdraw_cpu(claim.allocation)
        self._claims.unblock(claim)
        return self._serve(now)

    def tick(self, now: float) -> list[Instruction]:
        """Time has passed: call this about once a second, or more often.

        Stops surplus idle workers, chooses holders and asks for leases back.
        """
        self._starvation.choose_holders(now)
        reaped = self._workers.reap(self._max_idle, now - self._idle_timeout)
        return [*reaped, *self._serve(now), *self._starvation.reclaim(now)]

    # Bundles of placement groups --------------------------------------------------------

    def expect_group(self, group_id: bytes) -> None:
        """A group exists: requests for its bundles wait for them instead of being refused."""
        self._homes.expect(group_id)

    def reserve(self, group_id: bytes, index: int, resources: Resources, now: float) -> bool:
        """Phase one: cut a bundle out of the node now, if it fits; ``False`` if it does not.

        True again if that bundle is there already; ``False`` while it waits by
        :meth:`await_reservation`. Nothing can use it before :meth:`commit`.
        """
        self._homes.expect(group_id)
        if self._homes.find(group_id, index) is not None:
            return True
        waits = self._waiting.find(Kind.BUNDLE, (group_id, index)) is not None
        if waits or not self._homes.node.room_for(resources, depth=0):
            return False
        self._homes.open(group_id, index, resources)
        return True

    def await_reservation(
        self, group_id: bytes, index: int, resources: Resources, *, owner: bytes, now: float
    ) -> list[Instruction]:
        """Phase one, as soon as it fits: answered by ``BundleReserved``.

        The bundle waits in line with demands and actors. :meth:`unreserve` withdraws it.
        """
        self._homes.expect(group_id)
        if self._homes.find(group_id, index) is not None:
            return [BundleReserved(group_id, index)]
        if self._waiting.find(Kind.BUNDLE, (group_id, index)) is not None:
            return []
        shape = ShapeKey(resources)
        waiter = self._add(Kind.BUNDLE, owner, shape, (group_id, index), 0, 1, now)
        return self._serve(now) + self._starvation.reclaim_for(waiter, now)

    def commit(self, group_id: bytes, now: float) -> list[Instruction]:
        """Phase two: requests may be served from the bundles of a group that are here."""
        for home in self._homes.of_group(group_id):
            home.committed = True
        out: list[Instruction] = []
        for waiter in self._waiting_in(group_id):
            if (refusal := self.feasibility(waiter.shape)) is not None:
                out += self._refuse(waiter, now, *refusal)
        return out + self._serve(now)

    def unreserve(self, group_id: bytes, index: int, now: float) -> list[Instruction]:
        """Give one bundle back to the node; workers inside are stopped.

        Requests for the group go on waiting.
        """
        if (waiter := self._waiting.find(Kind.BUNDLE, (group_id, index))) is not None:
            self._waiting.remove(waiter)
        home = self._homes.find(group_id, index)
        out = self._close_bundle(home, now) if home is not None else []
        return out + self._serve(now)

    def remove_group(self, group_id: bytes, now: float) -> list[Instruction]:
        """Give all bundles of a group back and refuse what waits for them."""
        for waiter in [w for w in self._waiting if w.kind is Kind.BUNDLE]:
            if isinstance(waiter.subject, tuple) and waiter.subject[0] == group_id:
                self._waiting.remove(waiter)
        out: list[Instruction] = []
        for waiter in self._waiting_in(group_id):
            out += self._refuse(waiter, now, *_no_group(group_id))
        for home in self._homes.of_group(group_id):
            out += self._close_bundle(home, now)
        self._homes.forget(group_id)
        return out + self._serve(now)

    # Queries ----------------------------------------------------------------------------

    def feasibility(self, shape: ShapeKey) -> tuple[RefusalKind, str] | None:
        """Why *shape* can never be met, or ``None`` if it can or might be, here or elsewhere."""
        if not self._alone:
            return None
        if shape.pool is not None and not self._homes.knows(shape.pool[0]):
            return _no_group(shape.pool[0])
        homes = self._homes.of_shape(shape)
        if not homes or any(
            not home.committed or home.account.could_fit(shape.resources) for home in homes
        ):
            return None
        if shape.pool is None:
            supplies = f"node {self.node_id} has {describe(self.total)}"
        else:
            supplies = " and ".join(
                f"bundle {home.key[1]} of its placement group has {describe(home.account.total)}"
                for home in homes
                if home.key is not None
            )
        known = dict.fromkeys(name for home in homes for name in home.account.total)
        hint = missing_hint(shape.resources, known, "node" if shape.pool is None else "bundle")
        return (
            RefusalKind.INFEASIBLE,
            f"nothing could ever provide {describe(shape.resources)}: {supplies}.{hint}",
        )

    def available(self) -> Resources:
        """What is free on the node, outside bundles. CPU may be negative for a while."""
        return self._homes.node.account.free

    def unmet(self) -> list[Unmet]:
        """What waits for room (not: for a worker that is being started), first come first."""
        return [
            Unmet(w.kind, w.subject, w.shape, w.wanting, w.since)
            for w in self._waiting
            if w.wanting > 0
        ]

    def owners(self) -> set[bytes]:
        """Who waits for workers or has some."""
        waiting = {w.owner for w in self._waiting if w.kind is Kind.LEASE}
        return waiting | self._claims.owners()

    def leases_of(self, owner: bytes) -> list[int]:
        """The leases that *owner* has, or that workers are being started for."""
        return [claim.claim_id for claim in self._claims.leases_of(owner)]

    def wanted_by(self, owner: bytes) -> set[ShapeKey]:
        """The shapes of the workers that *owner* waits for or has."""
        waiting = {w.shape for w in self._waiting if w.kind is Kind.LEASE and w.owner == owner}
        return waiting.union(claim.shape for claim in self._claims.leases_of(owner))

    def environments(self) -> set[bytes]:
        """Those of workers and of what waits for workers."""
        waiting = {waiter.shape.environment for waiter in self._waiting}
        return waiting | {worker.environment for worker in self._workers}

    def workers(self) -> list[WorkerInfo]:
        """All workers, in the order of their start."""
        return [worker_info(worker) for worker in self._workers]

    def describe(self) -> str:
        """Some lines of text about supply, bundles, waiting requests and workers."""
        return describe_node(self.node_id, self._homes, self.unmet(), self._workers)

    def check(self) -> None:
        """Assert every invariant: accounts add up, states agree, nothing that fits waits."""
        self._waiting.check()
        self._workers.check()
        self._claims.check()
        bundles = self._homes.bundle_allocations()
        for home in [*self._homes, *self._homes.closing]:
            held = [claim.held for claim in self._claims if claim.home is home]
            home.account.check(held + (bundles if home.key is None else []))
            assert home.claims == len(held), home
        assert all(home.claims for home in self._homes.closing)
        awaiting = Counter(claim.shape.environment for claim in self._claims.awaiting.values())
        assert not awaiting - self._workers.starting
        set_aside = Counter(id(claim.waiter) for claim in self._claims if claim.waiter is not None)
        assert all(waiter.set_aside == set_aside[id(waiter)] for waiter in self._waiting)
        assert sum(set_aside.values()) == sum(waiter.set_aside for waiter in self._waiting)
        assert set(self._homes.held) == {home for home in self._homes if home.holder is not None}
        assert self._next_to_serve() is None, "a request that fits is waiting"

    # Serving ----------------------------------------------------------------------------

    def _serve(self, now: float) -> list[Instruction]:
        out: list[Instruction] = []
        while (found := self._next_to_serve()) is not None:
            waiter, home = found
            if home.holder is waiter:
                self._homes.let_go(home)
            self._waiting.served(waiter)
            if isinstance(waiter.subject, tuple):
                self._homes.open(*waiter.subject, waiter.shape.resources)
                self._waiting.remove(waiter)
                out.append(BundleReserved(*waiter.subject))
            else:
                out += self._set_aside(waiter, home, now)
        return out

    def _next_to_serve(self) -> tuple[Waiter, Home] | None:
        """The first request that fits: a holder if one does, else by rank."""
        for home in list(self._homes.held):
            holder = home.holder
            assert holder is not None
            if holder.wanting <= 0:  # served elsewhere, or withdrawn
                self._homes.let_go(home)
            elif home.room_for(holder.shape.resources, holder.depth, holder):
                return holder, home
        best: tuple[Waiter, Home] | None = None
        for waiter in self._waiting.heads():
            if best is None or self._waiting.rank(waiter) < self._waiting.rank(best[0]):
                room = self._room(waiter)
                best = best if room is None else (waiter, room)
        return best

    def _room(self, waiter: Waiter) -> Home | None:
        request = waiter.shape.resources
        weightless = waiter.kind is Kind.LEASE and not request
        if weightless and self._claims.weightless >= self._max_weightless:
            return None
        for home in self._homes.of_shape(waiter.shape):
            if home.committed and home.room_for(request, waiter.depth, waiter):
                return home
        return None

    def _set_aside(self, waiter: Waiter, home: Home, now: float) -> list[Instruction]:
        """Take what one of *waiter* needs, and find or start a worker for it."""
        claim = self._claims.make(waiter, home)
        waiter.set_aside += 1
        self._waiting.refresh(waiter)
        environment = claim.shape.environment
        if claim.kind is Kind.ACTOR:
            return [self._workers.start(environment, claim)]
        worker = self._workers.last_idle(environment, unused=bool(claim.allocation.gpus))
        if worker is not None:
            return [self._grant(claim, worker, now)]
        return self._start_workers(environment)

    def _start_workers(self, environment: bytes) -> list[Instruction]:
        """Start as many workers as there are claims that nothing is being started for."""
        awaiting = self._claims.awaiting.values()
        missing = sum(claim.shape.environment == environment for claim in awaiting)
        out: list[Instruction] = []
        for _ in range(missing - self._workers.starting[environment]):
            out.append(self._workers.start(environment))
            out += self._workers.displace(environment, self._max_idle)
        return out

    def _make_idle(self, worker: Worker, now: float) -> list[Instruction]:
        """A worker is free: lend it to the first claim that can use it."""
        self._workers.make_idle(worker, now)
        for claim in self._claims.awaiting.values():
            fits = claim.shape.environment == worker.environment
            if fits and not (worker.used and claim.allocation.gpus):
                return [self._grant(claim, worker, now)]
        return self._end_over(worker.environment)

    def _end_over(self, environment: bytes) -> list[Instruction]:
        if environment not in self._over:
            return []
        workers = self._workers.of_environment(environment)
        if not workers:
            self._over.remove(environment)
        if any(worker.dedicated and worker.claim is not None for worker in workers):
            return []
        return [
            self._workers.stop(worker) for worker in workers if worker.state is WorkerState.IDLE
        ]

    def _grant(self, claim: Claim, worker: Worker, now: float) -> Grant:
        waiter = claim.waiter
        assert waiter is not None
        claim.waiter = None
        del self._claims.awaiting[claim.claim_id]
        self._workers.lend(worker, claim)
        waiter.count -= 1
        waiter.set_aside -= 1
        waiter.since = waiter.aging_since = now
        waiter.hold_for = FIRST_HOLD
        if not waiter.count:
            self._waiting.remove(waiter)
        gpu_ids = claim.allocation.gpu_ids
        return Grant(claim.owner, claim.shape, claim.claim_id, worker.worker_id, gpu_ids)

    def _start_failed(
        self, environment: bytes, claim: Claim | None, now: float, how: str
    ) -> list[Instruction]:
        """A worker died while it was being started; *claim* is that of its actor, if any."""
        if self._start_failures < MAX_START_FAILURES:
            if claim is not None:
                return [self._workers.start(environment, claim)]
            return self._start_workers(environment)
        waiters = [
            awaiting.waiter
            for awaiting in self._claims.awaiting.values()
            if awaiting.shape.environment == environment
        ]
        if claim is not None:
            waiters.insert(0, claim.waiter)
            claim.worker = None
        out: list[Instruction] = []
        for waiter in dict.fromkeys(waiters):
            assert waiter is not None
            out += self._refuse(
                waiter,
                now,
                RefusalKind.WORKER_START_FAILED,
                f"node {self.node_id} cannot start workers: {self._start_failures} in a row"
                f" ended before they were ready. Of the last: {how}",
            )
        return out

    def _grant_now(
        self, owner: bytes, shape: ShapeKey, count: int, depth: int, now: float
    ) -> list[Instruction]:
        """Serve *count* more of a demand as far as there is room, and refuse the others."""
        if count <= 0:
            return []
        waiter = self._waiting.find(Kind.LEASE, owner, shape)
        on_record = 0 if waiter is None else waiter.wanting
        if waiter is None:
            waiter = self._add(Kind.LEASE, owner, shape, owner, depth, count, now)
        else:
            waiter.count += count
            self._waiting.refresh(waiter)
        out = self._serve(now)
        refused = max(0, waiter.wanting - on_record)
        if refused:
            waiter.count -= refused
            if not waiter.count:
                self._waiting.remove(waiter)
            out.append(Refuse(owner, shape, *self._no_room(shape), refused))
        return out

    def _no_room(self, shape: ShapeKey) -> tuple[RefusalKind, str]:
        return RefusalKind.BUSY, f"node {self.node_id} has no room for {shape} now"

    # Ending -----------------------------------------------------------------------------

    def _add(
        self,
        kind: Kind,
        owner: bytes,
        shape: ShapeKey,
        subject: Subject,
        depth: int,
        count: int,
        now: float,
    ) -> Waiter:
        return self._waiting.add(
            kind, owner, shape, subject, depth=depth, count=count, now=now, hold_for=FIRST_HOLD
        )

    def _lent(self, worker_id: str) -> Claim | None:
        """The claim of a worker that is leased or dedicated."""
        worker = self._workers.get(worker_id)
        lent = worker and worker.state in (WorkerState.LEASED, WorkerState.DEDICATED)
        return worker.claim if worker and lent else None

    def _waiting_in(self, group_id: bytes) -> list[Waiter]:
        """What waits for bundles of a group."""
        return [w for w in self._waiting if w.shape.pool and w.shape.pool[0] == group_id]

    def _cancel_set_aside(self, waiter: Waiter, *, keep: int) -> None:
        """Release what was set aside for *waiter*, newest first, but for *keep*."""
        mine = [claim for claim in self._claims.awaiting.values() if claim.waiter is waiter]
        for claim in mine[keep:]:
            self._claims.disown(claim)
            self._release(claim)
            waiter.set_aside -= 1

    def _withdraw(self, waiter: Waiter) -> None:
        """Drop a demand for leases."""
        self._cancel_set_aside(waiter, keep=0)
        self._waiting.remove(waiter)

    def _refuse(
        self, waiter: Waiter, now: float, reason: RefusalKind, message: str
    ) -> list[Instruction]:
        """Drop a request and say so; a worker that is being started for it is stopped."""
        if waiter.kind is Kind.LEASE:
            count = waiter.count
            self._withdraw(waiter)
            return [Refuse(waiter.owner, waiter.shape, reason, message, count)]
        assert isinstance(waiter.subject, bytes)
        self._waiting.remove(waiter)
        claim = self._claims.actor(waiter.subject)
        out = self._stop(claim, now) if claim is not None else []
        return [RefusePlacement(waiter.subject, reason, message), *out]

    def _stop(self, claim: Claim, now: float) -> list[Instruction]:
        """End a claim that has a worker, or had one that is dead."""
        self._disown(claim, now)
        if claim.worker is None:
            self._release(claim)
            return []
        claim.waiter = None
        return [self._workers.stop(claim.worker)]

    def _disown(self, claim: Claim, now: float) -> None:
        self._claims.disown(claim)
        if claim.kind is not Kind.LEASE:
            return
        waiter = self._waiting.find(Kind.LEASE, claim.owner, claim.shape)
        if waiter is not None and not self._claims.held(claim.owner, claim.shape):
            waiter.since = waiter.aging_since = now

    def _release(self, claim: Claim) -> None:
        self._claims.release(claim)
        self._homes.settle(claim.home)

    def _close_bundle(self, home: Home, now: float) -> list[Instruction]:
        """Take a bundle out of use and stop the workers in it."""
        assert home.key is not None
        out: list[Instruction] = []
        inside = [claim for claim in self._claims if claim.home is home] if home.claims else []
        for claim in inside:
            waiter = claim.waiter
            if waiter is not None and claim.kind is Kind.LEASE:  # its request waits on
                self._claims.disown(claim)
                self._release(claim)
            elif claim.worker is not None and claim.worker.state is not WorkerState.STOPPING:
                out += self._stop(claim, now)
                if claim.kind is Kind.LEASE:
                    out.append(LeaseLost(claim.claim_id, claim.owner, LossKind.GROUP_REMOVED))
            if waiter is not None:
                waiter.set_aside -= 1
                self._waiting.refresh(waiter)
        self._homes.close(*home.key)
        return out


def _placed(claim: Claim) -> Place:
    assert claim.actor_id is not None
    assert claim.worker is not None
    return Place(claim.actor_id, claim.worker.worker_id, claim.allocation.gpu_ids)


def _no_group(group_id: bytes) -> tuple[RefusalKind, str]:
    return (
        RefusalKind.GROUP_REMOVED,
        f"placement group {group_id.hex()} has been removed, or never existed",
    )
