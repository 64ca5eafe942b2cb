"""Distributed reference counting: who still wants a value, without I/O.

A value has one *owner*: the process that submitted the task or put the value. The owner
keeps it while any of these is left:

* *local* references: ``ObjectRef`` objects in its own process, and buffers that map it;
* *holds*: tasks in flight that have it as an argument, other kept values that contain it;
* *borrowers*: other processes that have told the owner that they hold references.

A process that receives a reference to somebody else's value becomes a borrower. Until its
owner knows, something else protects the value:

* received in the arguments of a task: the caller's hold, which lasts until the caller hears
  that the task is done. What is still referenced then is registered first
  (:meth:`References.settle`);
* received inside another value: that *outer* value, which contains it. The receiver holds
  the outer value until the owner has acknowledged (:meth:`References.acknowledged`).

States of a borrowed entry: *fresh* (protected by a caller) -> *asked* (registration sent) ->
*registered* (acknowledged); it vanishes when nothing local is left, and the owner is told
unless it never knew. Of *uncounted* entries (handles of detached actors, which live until they
are killed) no owner is ever told.

A process may run several tasks at a time, and does not note which task a reference came in
with: each settles what all of them have left so far.

As with every reference count, values that contain one another in a ring (which takes results
that contained a reference before they were there) are never freed.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from air_cluster.protocol.ids import node_of, owner_of

FRESH, ASKED, REGISTERED = "fresh", "asked", "registered"
UNCOUNTED = "uncounted"

_DEAD_KEPT = 1024
"""So many of the last processes that died are known to be dead: what they had said before may
arrive a moment later. Forgetting the others keeps a program small that makes actors for days."""


class Entry(msgspec.Struct, eq=False):
    """One value, as this process sees it; ``content``, ``pins`` and ``lent`` are the client's."""

    id: bytes
    owned: bool
    state: str
    address: str = ""
    token: int = 0  # of the registration that must be acknowledged, if any
    local: int = 0
    pins: int = 0  # those of the local references that are buffers
    holds: int = 0
    lent: int = 0  # to calls that are under way: how many of these may read it
    borrowers: set[bytes] | None = None
    contains: Sequence[bytes] = ()
    content: Any = None


class Free(msgspec.Struct, frozen=True):
    """Nobody wants this value any more: its content can go."""

    entry: Entry


class Register(msgspec.Struct, frozen=True):
    """Tell an owner that we borrow its values; *token* 0 wants no acknowledgement."""

    owner: bytes
    address: str
    object_ids: list[bytes]
    token: int


class Unregister(msgspec.Struct, frozen=True):
    """Tell an owner that we borrow this value no longer."""

    owner: bytes
    address: str
    object_id: bytes


Instruction = Free | Register | Unregister


class References:
    """The reference counts of one process; events in, instructions out."""

    def __init__(self, process_id: bytes) -> None:
        self.entries: dict[bytes, Entry] = {}
        self._me = process_id
        self._tokens = itertools.count(1)
        self._waiting: dict[int, tuple[list[bytes], list[bytes]]] = {}  # token: borrowed, guards
        self._fresh: dict[bytes, None] = {}
        # Settled, and not acknowledged, by owner. What was settled with its owner's own task never
        # is: such values are many, and looked at only when a task of somebody else ends.
        self._unconfirmed: dict[bytes, dict[bytes, None]] = {}
        self._lent: dict[bytes, set[bytes]] = {}  # borrower -> our objects
        self._dead: dict[bytes, None] = {}  # in the order of their deaths

    def own(self, object_id: bytes) -> Entry:
        """A new value of this process, without any reference yet."""
        entry = self.entries[object_id] = Entry(object_id, True, REGISTERED)
        return entry

    def get(self, object_id: bytes) -> Entry | None:
        """The entry of a value that this process owns or borrows."""
        return self.entries.get(object_id)

    def borrow(self, object_id: bytes, address: str) -> Entry:
        """A reference came in; counts one local reference.

        A new entry is *fresh*: the caller must make it safe with :meth:`settle` or
        :meth:`register`.
        """
        entry = self.entries.get(object_id)
        if entry is None:
            # Our own values have entries as long as anybody can send us references to them.
            entry = self.entries[object_id] = Entry(object_id, False, FRESH, address)
            self._fresh[object_id] = None
        entry.local += 1
        return entry

    def uncounted(self, object_id: bytes) -> None:
        """What came in just now lasts whether it is borrowed or not: its owner may be gone."""
        if object_id in self._fresh:
            del self._fresh[object_id]
            self.entries[object_id].state = UNCOUNTED

    @property
    def lends(self) -> bool:
        """Whether other processes hold references to values of this one."""
        return any(self._lent.values())

    def is_dead(self, process_id: bytes) -> bool:
        """Whether :meth:`process_gone` was told of a process."""
        return process_id in self._dead

    # Counting -----------------------------------------------------------------------------

    def drop_local(self, object_id: bytes) -> list[Instruction]:
        """One local reference is garbage."""
        entry = self.entries.get(object_id)
        if entry is None:
            return []
        entry.local -= 1
        return self._gone(entry) if entry.local == 0 else []

    def drop_all(self, object_ids: deque[bytes]) -> list[Instruction]:
        """The same of many, which are taken out of the queue."""
        out: list[Instruction] = []
        get, take = self.entries.get, object_ids.popleft
        for _ in range(len(object_ids)):
            entry = get(take())
            if entry is not None:
                entry.local -= 1
                if not (entry.local or entry.holds):
                    out += self._gone(entry)
        return out

    def hold(self, object_ids: Iterable[bytes]) -> None:
        """Keep values for a task in flight or for a value that contains them."""
        for object_id in object_ids:
            self.entries[object_id].holds += 1

    def unhold(self, object_ids: Iterable[bytes]) -> list[Instruction]:
        """The counterpart of :meth:`hold`."""
        out: list[Instruction] = []
        for entry in self._unhold(object_ids):
            out += self._gone(entry)
        return out

    def _unhold(self, object_ids: Iterable[bytes]) -> list[Entry]:
        """Count down; returns the entries that nothing holds any more."""
        unheld = []
        for object_id in object_ids:
            entry = self.entries.get(object_id)
            if entry is not None:
                entry.holds -= 1
                if entry.holds == 0:
                    unheld.append(entry)
        return unheld

    def contain(self, outer: Entry, object_ids: Sequence[bytes]) -> None:
        """*outer* contains references; they are held until it is freed."""
        self.hold(object_ids)
        outer.contains = [*outer.contains, *object_ids]

    # Borrowing: our side ------------------------------------------------------------------

    def settle(self, caller: bytes) -> tuple[list[Register], set[int]]:
        """A task is about to be reported done: register what it left behind.

        Returns:
            The registrations, and the tokens to wait for before the report may be sent:
            registrations with the caller itself travel before the report and need none.
        """
        # Another task of this process may have settled what came in with this one, and this
        # one's caller protects it no longer than until the report: so ask again.
        again = [i for owner, ids in self._unconfirmed.items() if owner != caller for i in ids]
        fresh: list[bytes] = []
        if self._fresh:  # a dictionary that was large once takes long to look through for ever
            fresh, self._fresh = list(self._fresh), {}
        for object_id in fresh:
            self._unconfirmed.setdefault(owner_of(object_id), {})[object_id] = None
        by_owner = self._ask_for(fresh + again)
        out: list[Register] = []
        tokens: set[int] = set()
        for (owner, address), object_ids in by_owner.items():
            token = 0 if owner == caller else self._await(object_ids, [])
            if token:
                tokens.add(token)
            out.append(Register(owner, address, object_ids, token))
        return out, tokens

    def register(self, object_ids: Iterable[bytes], guard: bytes | None) -> list[Instruction]:
        """Values came in inside *guard*: hold that until their owners have acknowledged."""
        out: list[Instruction] = []
        guards = [] if guard is None or guard not in self.entries else [guard]
        fresh = []
        for object_id in object_ids:
            entry = self.entries.get(object_id)
            if entry is None:
                continue
            if entry.state == FRESH:
                fresh.append(object_id)
            elif entry.token:
                # Settled a moment ago by another thread: as long as that is under way, the
                # value is as badly protected as a fresh one.
                self.hold(guards)
                self._waiting[entry.token][1].extend(guards)
        for (owner, address), asked in self._ask_for(dict.fromkeys(fresh)).items():
            self.hold(guards)
            out.append(Register(owner, address, asked, self._await(asked, list(guards))))
        return out

    def acknowledged(self, token: int) -> list[Instruction]:
        """An owner has our registration on record, or (being dead) never will."""
        borrowed, guards = self._waiting.pop(token, ([], []))
        for object_id in borrowed:
            entry = self.entries.get(object_id)
            if entry is not None and entry.token == token:
                entry.token = 0
                entry.state = REGISTERED
                self._confirm(object_id)
        return self.unhold(guards)

    def _confirm(self, object_id: bytes) -> None:
        """It need not be settled again."""
        owner = owner_of(object_id)
        unconfirmed = self._unconfirmed.get(owner)
        if unconfirmed is not None and object_id in unconfirmed:
            del unconfirmed[object_id]
            if not unconfirmed:
                del self._unconfirmed[owner]

    def _ask_for(self, object_ids: Iterable[bytes]) -> dict[tuple[bytes, str], list[bytes]]:
        by_owner: dict[tuple[bytes, str], list[bytes]] = {}
        for object_id in object_ids:
            self._fresh.pop(object_id, None)
            entry = self.entries[object_id]
            entry.state = ASKED
            by_owner.setdefault((owner_of(object_id), entry.address), []).append(object_id)
        return by_owner

    def _await(self, object_ids: list[bytes], guards: list[bytes]) -> int:
        """Make a token; what guards the values is held until it is acknowledged."""
        token = next(self._tokens)
        self._waiting[token] = (object_ids, guards)
        for object_id in object_ids:
            self.entries[object_id].token = token
        return token

    # Borrowing: the owner's side ----------------------------------------------------------

    def lend(self, borrower: bytes, object_ids: Iterable[bytes]) -> None:
        """A process has told us that it borrows our values."""
        if borrower in self._dead:
            return  # it said so before it died, and we read it after we heard of that
        for object_id in object_ids:
            entry = self.entries.get(object_id)
            if entry is not None and entry.owned and borrower != self._me:
                if entry.borrowers is None:
                    entry.borrowers = set()
                entry.borrowers.add(borrower)
                self._lent.setdefault(borrower, set()).add(object_id)

    def give_back(self, borrower: bytes, object_ids: Iterable[bytes]) -> list[Instruction]:
        """A process borrows our values no longer."""
        out: list[Instruction] = []
        lent = self._lent.get(borrower)
        if lent is None:
            return out
        for object_id in object_ids:
            lent.discard(object_id)
            entry = self.entries.get(object_id)
            if entry is not None and entry.borrowers:
                entry.borrowers.discard(borrower)
                out += self._gone(entry)
        if not lent:
            del self._lent[borrower]
        return out

    def process_gone(self, process_id: bytes) -> tuple[list[Entry], list[int], list[Instruction]]:
        """A process died.

        Returns:
            Its values that we borrow (lost now), the tokens that it will not acknowledge
            any more (to be treated as done), and instructions.
        """
        lost = [
            entry
            for entry in self.entries.values()
            if not entry.owned and owner_of(entry.id) == process_id and entry.state != UNCOUNTED
        ]
        tokens = self.awaited_from(process_id)
        self._dead[process_id] = None
        if len(self._dead) > _DEAD_KEPT:
            del self._dead[next(iter(self._dead))]
        out = self.give_back(process_id, sorted(self._lent.get(process_id, ())))
        return lost, tokens, out

    def awaited_from(self, owner: bytes) -> list[int]:
        """The tokens that *owner* has yet to acknowledge."""
        return [
            token
            for token, (borrowed, _) in self._waiting.items()
            if any(owner_of(object_id) == owner for object_id in borrowed)
        ]

    def processes_of(self, node: int) -> list[bytes]:
        """Processes on a node that own what we borrow, or borrow what we own."""
        found = set(self._lent)
        found.update(owner_of(entry.id) for entry in self.entries.values() if not entry.owned)
        return sorted(process for process in found if node_of(process) == node)

    # Inner workings -----------------------------------------------------------------------

    def _gone(self, entry: Entry) -> list[Instruction]:
        """What to do if nothing is left of an entry."""
        out: list[Instruction] = []
        # A loop and no recursion: values may contain one another a thousand levels deep.
        doubtful = [entry]
        while doubtful:
            entry = doubtful.pop()
            if entry.local > 0 or entry.holds > 0 or entry.borrowers:
                continue
            if self.entries.pop(entry.id, None) is None:
                continue
            out.append(Free(entry))
            if not entry.owned:
                self._confirm(entry.id)
                if entry.state == FRESH:
                    del self._fresh[entry.id]
                elif entry.state != UNCOUNTED:
                    out.append(Unregister(owner_of(entry.id), entry.address, entry.id))
            doubtful += self._unhold(entry.contains)
        return out

    def check(self) -> None:
        """Assert the invariants."""
        for object_id, entry in self.entries.items():
            assert entry.local >= 0, entry.id
            assert entry.holds >= 0, entry.id
            assert entry.owned == (owner_of(object_id) == self._me)
            assert not entry.borrowers or entry.owned
            for borrower in entry.borrowers or ():
                assert object_id in self._lent[borrower]
            assert (entry.state == FRESH) == (object_id in self._fresh)
            assert not entry.token or object_id in self._waiting[entry.token][0]
            unconfirmed = self._unconfirmed.get(owner_of(object_id), {})
            assert (entry.state == ASKED) <= (entry.token > 0 or object_id in unconfirmed)
        assert self._fresh.keys() <= self.entries.keys()
        assert all(self._unconfirmed.values())
        for owner, unconfirmed in self._unconfirmed.items():
            assert unconfirmed.keys() <= self.entries.keys()
            assert {owner_of(object_id) for object_id in unconfirmed} == {owner}
        assert all(self._lent.values())
        assert self._dead.keys().isdisjoint(self._lent)
        contained: dict[bytes, int] = {}
        for entry in self.entries.values():
            for object_id in entry.contains:
                contained[object_id] = contained.get(object_id, 0) + 1
        for object_id, count in contained.items():
            assert self.entries[object_id].holds >= count
