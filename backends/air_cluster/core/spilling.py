"""Which values leave a node's shared memory for its disk, when memory is short.

Only the owner of a value knows whether anybody reads it. So the node asks owners what it may
take (``Ask``), takes what was not used for longest over all of them, writes it (``Write``) and
tells the owner where it is now (``Tell``). The owner has gone on meanwhile: it *accepts*, and
frees the memory, or *declines* because the value was touched or is in use, and the file is given
up again (``Remove``). Nothing is locked, and nobody waits for anybody: what was written while its
memory was freed and used anew is declined.

Writes that go on side by side may take the last of a disk from each other, where it has room for
one of them. So the disk is full only if it was too small for a write that had it to itself, after
all that was to be removed is gone.

Memory that is freed is gone at once: the next value is put there, or the system takes it back.
So whether a value is in use is asked again when it is let go. It may have been given to a task
since it was offered, and another node be in the middle of fetching it for that.

:class:`Spilling` is the node's side. :class:`Offers` is the owner's.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from air_cluster.protocol.ids import owner_of


class Candidate(msgspec.Struct, frozen=True):
    """A value that its owner would let go.

    Attributes:
        segment, offset, nbytes: where it lies in the node's shared memory.
        idle_s: how long it was not used.
    """

    object_id: bytes
    segment: int
    offset: int
    nbytes: int
    idle_s: float


class Ask(msgspec.Struct, frozen=True):
    """Ask an owner for candidates of *nbytes* together, to be ``offered`` for *run*."""

    owner: bytes
    run: int
    nbytes: int


class Write(msgspec.Struct, frozen=True):
    """Write a range to disk; report ``written`` or ``write_failed`` with *number*."""

    number: int
    object_id: bytes
    segment: int
    offset: int
    nbytes: int


class Tell(msgspec.Struct, frozen=True):
    """Tell an owner where its value is on disk; it answers whether it agrees (``settled``)."""

    owner: bytes
    object_id: bytes
    file: int
    offset: int


class Remove(msgspec.Struct, frozen=True):
    """Nobody wants this value on disk; report when it is ``removed``."""

    object_id: bytes
    file: int
    offset: int


class Finished(msgspec.Struct, frozen=True):
    """A run is over.

    Attributes:
        nbytes: what owners have agreed to free.
        problem: why the disk took no more, or empty.
    """

    nbytes: int
    problem: str


Instruction = Ask | Write | Tell | Remove | Finished


class _OnDisk(msgspec.Struct):
    owner: bytes
    nbytes: int
    file: int
    offset: int
    is_settled: bool = False


_Ranked = tuple[float, int, Candidate]  # by when it was used last; in doubt as they were offered


class _Run(msgspec.Struct):
    number: int
    goal: int
    unheard: set[bytes]
    deadline: float
    candidates: list[_Ranked] = msgspec.field(default_factory=list)
    offered: set[bytes] = msgspec.field(default_factory=set)
    writing: dict[int, _Ranked] = msgspec.field(default_factory=dict)
    told: dict[bytes, int] = msgspec.field(default_factory=dict)  # value -> bytes
    freed: int = 0
    is_tight: bool = False  # a write has failed: now one at a time
    alone: int = 0  # the write that has, or had, the disk to itself
    problem: str = ""

    @property
    def nbytes_writing(self) -> int:
        return sum(candidate.nbytes for _, _, candidate in self.writing.values())


class Spilling:
    """What one node spills, and what it has on disk; events in, instructions out.

    Args:
        patience_s: how long owners are waited for that do not answer. One that is busy in
            foreign code may accept later, which then counts for nobody.
        max_writing: so many bytes are written at a time.
    """

    def __init__(self, *, patience_s: float = 2.0, max_writing: int = 64 << 20) -> None:
        self._patience_s = patience_s
        self._max_writing = max_writing
        self._run: _Run | None = None
        self._on_disk: dict[bytes, _OnDisk] = {}
        self._by_owner: dict[bytes, set[bytes]] = {}  # owner -> its values on disk
        self._dead: set[bytes] = set()  # owners that died during the run
        self._removing = 0  # values that still are on disk, and go
        self._runs = 0
        self._writes = 0
        self._offers = 0

    @property
    def is_running(self) -> bool:
        """Whether a run is under way."""
        return self._run is not None

    def start(self, nbytes: int, owners: Iterable[bytes], now: float) -> list[Instruction]:
        """Memory of *nbytes* is needed; no run is under way.

        Args:
            owners: all processes that may own values in this node's memory.
        """
        assert self._run is None
        self._runs += 1
        self._dead.clear()
        self._run = _Run(self._runs, nbytes, set(owners), now + self._patience_s)
        asked = sorted(self._run.unheard)
        return [*(Ask(owner, self._runs, nbytes) for owner in asked), *self._go_on(now)]

    def offered(
        self, owner: bytes, run: int, candidates: Iterable[Candidate], now: float
    ) -> list[Instruction]:
        """An owner has answered ``Ask``."""
        current = self._run
        if current is None or current.number != run or owner in self._dead:
            return []
        current.unheard.discard(owner)
        for candidate in candidates:
            object_id = candidate.object_id
            is_known = object_id in self._on_disk or object_id in current.offered
            if not is_known and owner_of(object_id) == owner:
                current.offered.add(object_id)
                self._offers += 1
                entry = (now - candidate.idle_s, self._offers, candidate)
                heapq.heappush(current.candidates, entry)
        return self._go_on(now)

    def written(self, number: int, file: int, offset: int, now: float) -> list[Instruction]:
        """A value is on disk."""
        run = self._run
        assert run is not None
        candidate = run.writing.pop(number)[2]
        object_id = candidate.object_id
        owner = owner_of(object_id)
        if owner in self._dead:
            self._removing += 1
            return [Remove(object_id, file, offset), *self._go_on(now)]
        self._on_disk[object_id] = _OnDisk(owner, candidate.nbytes, file, offset)
        self._by_owner.setdefault(owner, set()).add(object_id)
        run.told[object_id] = candidate.nbytes
        run.deadline = now + self._patience_s
        return [Tell(owner, object_id, file, offset), *self._go_on(now)]

    def write_failed(self, number: int, problem: str, now: float) -> list[Instruction]:
        """A value is not on disk.

        Args:
            problem: what is wrong with the disk, so that there is no use to go on if nothing
                else was written or removed at the time; empty if the value was no longer where
                it was.
        """
        run = self._run
        assert run is not None
        ranked = run.writing.pop(number)
        if problem and number == run.alone:
            run.problem = problem
        elif problem:
            run.is_tight = True
            if owner_of(ranked[2].object_id) not in self._dead:
                heapq.heappush(run.candidates, ranked)
        return self._go_on(now)

    def removed(self, now: float) -> list[Instruction]:
        """A value that was to be removed is gone from the disk."""
        self._removing -= 1
        return self._go_on(now)

    def settled(
        self, owner: bytes, object_id: bytes, accepted: bool, now: float
    ) -> list[Instruction]:
        """An owner has answered ``Tell``."""
        found = self._on_disk.get(object_id)
        if found is None or found.owner != owner or found.is_settled:
            return []
        found.is_settled = True
        run = self._run
        if run is not None and run.told.pop(object_id, 0) and accepted:
            run.freed += found.nbytes
        out = [] if accepted else [self._remove(object_id)]
        return out + self._go_on(now)

    def freed(self, owner: bytes, object_id: bytes) -> list[Instruction]:
        """An owner needs a value on disk no more."""
        found = self._on_disk.get(object_id)
        if found is None or found.owner != owner or not found.is_settled:
            return []
        return [self._remove(object_id)]

    def owner_gone(self, owner: bytes, now: float) -> list[Instruction]:
        """An owner died, and all of its values with it."""
        out: list[Instruction] = []
        for object_id in sorted(self._by_owner.get(owner, ())):
            out.append(self._remove(object_id))
            if self._run is not None:
                self._run.told.pop(object_id, None)
        if self._run is not None:
            self._dead.add(owner)
            self._run.unheard.discard(owner)
            self._run.candidates = [
                entry for entry in self._run.candidates if owner_of(entry[2].object_id) != owner
            ]
            heapq.heapify(self._run.candidates)
        return out + self._go_on(now)

    def owners(self) -> list[bytes]:
        """Whose values are on disk."""
        return list(self._by_owner)

    def tick(self, now: float) -> list[Instruction]:
        """Time has passed; to be called about twice a second."""
        return self._go_on(now)

    def _go_on(self, now: float) -> list[Instruction]:
        run = self._run
        if run is None:
            return []
        out: list[Instruction] = []
        is_late = now >= run.deadline
        if run.unheard and not is_late:
            return out  # others may have what was not used for longer
        run.unheard.clear()
        while self._wants_more(run) and self._may_write(run, is_late):
            ranked = heapq.heappop(run.candidates)
            self._writes += 1
            if run.is_tight:
                run.alone = self._writes
            run.writing[self._writes] = ranked
            candidate = ranked[2]
            at = (candidate.segment, candidate.offset, candidate.nbytes)
            out.append(Write(self._writes, candidate.object_id, *at))
        if not run.writing and not self._wants_more(run) and (not run.told or is_late):
            self._run = None
            out.append(Finished(run.freed, run.problem))
        return out

    def _wants_more(self, run: _Run) -> bool:
        if not run.candidates or run.problem:
            return False
        return run.freed + run.nbytes_writing + sum(run.told.values()) < run.goal

    def _may_write(self, run: _Run, is_late: bool) -> bool:
        if run.is_tight:  # what owners do not agree to goes from the disk again
            return not run.writing and not self._removing and (not run.told or is_late)
        return run.nbytes_writing < self._max_writing

    def _remove(self, object_id: bytes) -> Remove:
        found = self._on_disk.pop(object_id)
        owned = self._by_owner[found.owner]
        owned.remove(object_id)
        if not owned:
            del self._by_owner[found.owner]
        self._removing += 1
        return Remove(object_id, found.file, found.offset)

    def check(self) -> None:
        """Assert the invariants."""
        by_owner: dict[bytes, set[bytes]] = {}
        for object_id, found in self._on_disk.items():
            assert owner_of(object_id) == found.owner
            by_owner.setdefault(found.owner, set()).add(object_id)
        assert by_owner == self._by_owner
        if self._run is not None:
            run = self._run
            waits = run.unheard or run.writing or run.told or (run.is_tight and self._removing)
            assert waits, "waits for nothing"
            assert run.told.keys() <= self._on_disk.keys()
            assert all(not self._on_disk[object_id].is_settled for object_id in run.told)
            assert not {c.object_id for _, _, c in run.writing.values()} & self._on_disk.keys()
            assert run.alone not in run.writing or len(run.writing) == 1, "is not alone"
            assert self._dead.isdisjoint(run.unheard)


class Offers:
    """The values that a process owns in shared memory, and which of them were offered.

    Values are *touched* whenever their place is looked up or told to anybody.
    """

    def __init__(self) -> None:
        self._last_use: OrderedDict[bytes, float] = OrderedDict()  # the longest unused first
        self._offered: set[bytes] = set()

    def touched(self, object_id: bytes, now: float) -> None:
        """A value is in shared memory, and was made, read or told of now."""
        self._last_use[object_id] = now
        self._last_use.move_to_end(object_id)
        self._offered.discard(object_id)

    def gone(self, object_id: bytes) -> None:
        """A value is in shared memory no more."""
        self._last_use.pop(object_id, None)
        self._offered.discard(object_id)

    def offer(
        self, nbytes: int, size_if_idle: Callable[[bytes], int], now: float
    ) -> list[tuple[bytes, float]]:
        """What the node may take: values that were not used for longest, *nbytes* if possible.

        Args:
            size_if_idle: bytes of a value, or 0 if it must stay: somebody maps it, or knows
                its place and may still map it, or it is not in the memory of that node.

        Returns:
            Identities, and for how long (in seconds) each was not used.
        """
        found: list[tuple[bytes, float]] = []
        for object_id, last_use in self._last_use.items():
            if nbytes <= 0:
                break
            size = size_if_idle(object_id)
            if size:
                nbytes -= size
                found.append((object_id, now - last_use))
                self._offered.add(object_id)
        return found

    def settle(self, object_id: bytes, size_if_idle: Callable[[bytes], int]) -> bool:
        """A value was written; whether it was not touched since it was offered, and is idle.

        If so, it is in shared memory no more.

        Args:
            size_if_idle: as for :meth:`offer`.
        """
        if object_id not in self._offered:
            return False
        if not size_if_idle(object_id):
            self._offered.discard(object_id)
            return False
        self.gone(object_id)
        return True
