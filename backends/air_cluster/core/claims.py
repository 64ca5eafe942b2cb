"""The book of claims: which resources are taken, for whom, with which worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from air_cluster.core.homes import Home
from air_cluster.core.shapes import ShapeKey
from air_cluster.core.waiting import Kind, Waiter
from air_cluster.core.workers import Claim, WorkerState


class ClaimBook:
    """All claims.

    A claim is made when a request is served, *owned* until its lease is returned or lost or
    its actor is gone, and released when its resources are back in the account: later than
    it is disowned where its worker has to be stopped first.
    """

    def __init__(self) -> None:
        self.awaiting: dict[int, Claim] = {}
        """Claims of leases that no worker is ready for, oldest first."""
        self._claims: dict[int, Claim] = {}
        self._leases_of: dict[bytes, dict[int, Claim]] = {}
        self._actors: dict[bytes, Claim] = {}
        self._held: Counter[tuple[bytes, ShapeKey]] = Counter()
        self._serial = 0
        self.weightless = 0
        """Leases that take no resources and run: are not blocked, and not released."""

    def __iter__(self) -> Iterator[Claim]:
        """All claims that are not released, oldest first."""
        return iter(self._claims.values())

    def lease(self, lease_id: int) -> Claim | None:
        """The claim behind a granted lease that has not been returned or lost."""
        claim = self._claims.get(lease_id)
        granted = claim and claim.worker and claim.worker.state is WorkerState.LEASED
        return claim if granted else None

    def leases_of(self, owner: bytes) -> list[Claim]:
        """Leases of an owner, also those for which a worker is being started."""
        return list(self._leases_of.get(owner, {}).values())

    def owners(self) -> set[bytes]:
        """Who has leases, also such for which a worker is being started."""
        return set(self._leases_of)

    def actor(self, actor_id: bytes) -> Claim | None:
        """The claim of an actor."""
        return self._actors.get(actor_id)

    def held(self, owner: bytes, shape: ShapeKey) -> int:
        """How many leases of a shape an owner has, or has workers being started for."""
        return self._held[owner, shape]

    def make(self, waiter: Waiter, home: Home) -> Claim:
        """Take what *waiter* wants from *home*, where it fits."""
        allocation = home.account.take(waiter.shape.resources)
        assert allocation is not None, f"{waiter} does not fit in {home.account.free}"
        home.claims += 1
        self._serial += 1
        claim = Claim(
            claim_id=self._serial,
            kind=waiter.kind,
            owner=waiter.owner,
            shape=waiter.shape,
            depth=waiter.depth,
            home=home,
            allocation=allocation,
            waiter=waiter,
        )
        self._claims[claim.claim_id] = claim
        if waiter.kind is Kind.ACTOR:
            assert isinstance(waiter.subject, bytes)
            claim.actor_id = waiter.subject
            self._actors[waiter.subject] = claim
        else:
            self._leases_of.setdefault(waiter.owner, {})[claim.claim_id] = claim
            self._held[waiter.owner, waiter.shape] += 1
            self.awaiting[claim.claim_id] = claim
            self.weightless += _is_weightless(claim)
        return claim

    def block(self, claim: Claim) -> None:
        """What runs in its worker waits."""
        claim.blocked = True
        self.weightless -= _is_weightless(claim)

    def unblock(self, claim: Claim) -> None:
        """It goes on."""
        claim.blocked = False
        self.weightless += _is_weightless(claim)

    def disown(self, claim: Claim) -> None:
        """The lease is returned or lost, or the actor has ended."""
        if claim.actor_id is not None:
            del self._actors[claim.actor_id]
            return
        self.awaiting.pop(claim.claim_id, None)
        leases = self._leases_of[claim.owner]
        del leases[claim.claim_id]
        if not leases:
            del self._leases_of[claim.owner]
        key = claim.owner, claim.shape
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]

    def release(self, claim: Claim) -> None:
        """Put the resources of a disowned claim back."""
        del self._claims[claim.claim_id]
        claim.home.account.give(claim.held)
        claim.home.claims -= 1
        self.weightless -= _is_weightless(claim) and not claim.blocked

    def check(self) -> None:
        """Assert that the indexes agree with the claims."""
        owned = [claim for leases in self._leases_of.values() for claim in leases.values()]
        held = Counter((claim.owner, claim.shape) for claim in owned)
        assert held == self._held, (held, self._held)
        assert all(self._leases_of.values())
        for claim in owned:
            assert self._claims[claim.claim_id] is claim
            assert claim.kind is Kind.LEASE, claim
            assert (claim.worker is None) == (claim.claim_id in self.awaiting), claim
            assert (claim.waiter is None) == (claim.worker is not None), claim
        for actor_id, claim in self._actors.items():
            assert self._claims[claim.claim_id] is claim
            assert claim.actor_id == actor_id, claim
        for claim in self:
            if claim.worker is None:
                assert claim.claim_id in self.awaiting, claim
            else:
                assert claim.worker.claim is claim, claim
        users = Counter(id(claim.home) for claim in self)
        assert all(claim.home.claims == users[id(claim.home)] for claim in self)
        running = [claim for claim in self if _is_weightless(claim) and not claim.blocked]
        assert self.weightless == len(running), (self.weightless, running)


def _is_weightless(claim: Claim) -> bool:
    return claim.kind is Kind.LEASE and not claim.shape.resources
