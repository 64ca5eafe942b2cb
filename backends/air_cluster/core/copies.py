"""Copies, in one node's shared memory, of values that lie elsewhere: on other nodes, or on disk.

A process that wants to read such a value *claims* a copy of it. The first claim has it
fetched, all others wait for the same fetch. A process keeps its claim for as long as it may
read the copy.

States of a copy: *queued* (see ``fetch_queue``) -> *fetching* -> *here*. From fetching it goes
to *resting* if the link was cut (and is queued again after a moment, a few times), and to
*hungry* if there is no memory for it.

* A copy that is here without claims is kept as long as memory lasts: see
  :meth:`Copies.memory_wanted`. A copy that is claimed is never dropped.
* A fetch without claims is cancelled, and what it brought is dropped: the claims were what
  kept the value in its place while it was fetched. For the same reason a copy stays for those who
  come later only if somebody says that it has read it: who gave up, or died, may have done so, and
  the value be gone from its place, before the fetch had ended.
* A value goes from its place, to disk for instance, only while nobody reads it. So a question that
  knows another place than the fetch under way starts that anew, from there; and a copy that came
  from memory, of a value that is on disk since, is of no use before somebody says that he has read
  it: those who claim it all gave up before it was moved.
* While a copy is hungry, or is tried again, no other fetch is started, so that what is given
  back is for it. It waits only while there is hope: a fetch is under way, or some process
  reads copies and waits for none. Without hope the others are tried all the same, since they
  may be smaller; if that does not help either, the last one to become hungry fails. That ends
  a deadlock of processes that each hold a copy and want another.
"""

from __future__ import annotations

import enum
from collections import OrderedDict

import msgspec

from air_cluster.core.copy_instructions import (
    Cancel,
    Drop,
    Fail,
    FailureKind,
    Fetch,
    Instruction,
    Ready,
    Source,
)
from air_cluster.core.fetch_queue import FetchQueue

__all__ = [
    "Cancel",
    "Copies",
    "Drop",
    "Fail",
    "FailureKind",
    "Fetch",
    "Instruction",
    "Ready",
    "Source",
    "State",
]

_MOST_HUNGRY = 8
"""So many are without memory before one fails because there is no hope."""


class State(enum.Enum):
    """Of a copy; see the module's docstring."""

    QUEUED = "queued"
    FETCHING = "fetching"
    RESTING = "resting"
    HUNGRY = "hungry"
    HERE = "here"


class _Copy:
    __slots__ = (
        "attempts", "claims", "due", "hungry_since", "id", "last_use", "number", "place",
        "reason", "source", "state", "unwanted", "was_read",
    )  # fmt: skip

    def __init__(self, object_id: bytes, source: Source) -> None:
        self.id = object_id
        self.source = source
        self.state = State.QUEUED
        self.claims: dict[bytes, list[int]] = {}  # process -> its requests that wait
        self.number = 0  # of the fetch under way
        self.attempts = 0  # that were cut
        self.due = 0.0  # when to try again
        self.hungry_since: float | None = None
        self.reason = ""  # why it is hungry
        self.place = (0, 0)  # segment, offset
        self.last_use = 0.0
        self.unwanted = False  # once it is not read any more
        self.was_read = False  # so that it is what it should be

    @property
    def node(self) -> int:
        return self.source.node

    @property
    def nbytes(self) -> int:
        return self.source.nbytes


class _Flight(msgspec.Struct, frozen=True):
    """A fetch under way, which outlives its copy if it is cancelled."""

    object_id: bytes
    source: Source


class _Reader(msgspec.Struct):
    """A process with claims: on copies that are here, and on others that it waits for."""

    claims: set[bytes] = msgspec.field(default_factory=set)
    reading: int = 0
    waiting: int = 0


class Copies:
    """The copies of one node; events in, instructions out.

    Args:
        max_bytes: so many bytes are fetched at a time.
        max_per_node: so many values are, from one node, small and large ones each.
        patience_s: how long a copy is hungry before it fails, even while there is hope.
        keep_s: how long a copy that nobody reads is kept if memory is not short.
        retries: how often a fetch that was cut is tried again.
        rest_s: how long after the first cut; twice as long after each further one.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 256 << 20,
        max_per_node: int = 4,
        patience_s: float = 10.0,
        keep_s: float = 60.0,
        retries: int = 3,
        rest_s: float = 0.5,
    ) -> None:
        self._patience_s = patience_s
        self._keep_s = keep_s
        self._retries = retries
        self._rest_s = rest_s
        self._copies: dict[bytes, _Copy] = {}
        # Here and not claimed, the longest unused first.
        self._unused: OrderedDict[bytes, _Copy] = OrderedDict()
        self._queue = FetchQueue(max_bytes, max_per_node)
        self._flights: dict[int, _Flight] = {}
        self._resting: dict[bytes, _Copy] = {}
        self._hungry: OrderedDict[bytes, _Copy] = OrderedDict()  # the longest hungry first
        self._trying = 0  # the fetch of one that was hungry and may still be
        self._fed = False  # whether memory was given back since the last attempt of a hungry one
        self._readers: dict[bytes, _Reader] = {}
        self._gone: set[int] = set()  # nodes
        self._number = 0

    # Claims -------------------------------------------------------------------------------

    def wanted(
        self, object_id: bytes, source: Source, process: bytes, request: int, now: float
    ) -> list[Instruction]:
        """A process claims a copy.

        Args:
            source: where the value lies, as far as the process knows.
            request: its name for this question, to be answered with ``Ready`` or ``Fail``;
                0 if it needs no answer.
        """
        copy = self._copies.get(object_id)
        out: list[Instruction] = []
        if object_id in self._unused and copy is not None and copy.source.lengths != source.lengths:
            out.append(self._drop(copy))  # of the same value, as it was before it was made anew
            copy = None
        if copy is None:
            if source.node in self._gone:
                why = _gone_text(source.node)
                return out + _refusals(process, [request], FailureKind.LOST, why)
            copy = self._copies[object_id] = _Copy(object_id, source)
            self._queue.add(copy)
        elif copy.state is not State.HERE:
            out += self._correct(copy, source)
        elif not copy.was_read and _went_to_disk(copy.source, source):
            out.append(self._discard(copy, source))
        reader = self._readers.setdefault(process, _Reader())
        reader.claims.add(object_id)
        here = copy.state is State.HERE
        if process not in copy.claims:
            copy.claims[process] = []
            reader.reading += here
            self._unused.pop(object_id, None)
        if here:
            return [_ready(copy, process, request)] if request else []
        if request:
            copy.claims[process].append(request)
            reader.waiting += 1
        return out + self._go_on()

    def _correct(self, copy: _Copy, source: Source) -> list[Instruction]:
        """A later question knows better where a value lies: it was moved, or made anew."""
        known = copy.source
        if source == known or source.node in self._gone:
            return []
        if _went_to_disk(source, known):
            return []  # it was asked before that, and came here later
        if copy.state is State.QUEUED:
            self._queue.remove(copy)
            copy.source = source
            self._queue.add(copy)
            return []
        copy.source = source
        if copy.state is not State.FETCHING:
            return []
        out: list[Instruction] = [Cancel(copy.number)]
        self._requeue(copy)
        return out

    def _discard(self, copy: _Copy, source: Source) -> Drop:
        """A copy that is here, and that nobody reads, may not be what it should be."""
        for process in copy.claims:
            self._readers[process].reading -= 1
        drop = Drop(*copy.place, copy.source.lengths, copy.source.nbytes)
        copy.source = source
        self._requeue(copy)
        return drop

    def released(
        self, object_id: bytes, process: bytes, now: float, *, was_read: bool
    ) -> list[Instruction]:
        """A process reads a copy no more, or does not wait for it any longer.

        Args:
            was_read: it has heard where the copy is, and wanted it still.
        """
        return self._release(object_id, process, now, was_read=was_read) + self._go_on()

    def process_gone(self, process: bytes, now: float) -> list[Instruction]:
        """A process died: its claims go with it."""
        reader = self._readers.get(process)
        if reader is None:
            return []
        out: list[Instruction] = []
        for object_id in sorted(reader.claims):
            released = self._release(object_id, process, now, was_read=False)
            out += [i for i in released if not isinstance(i, Fail)]  # nobody hears it
        return out + self._go_on()

    def _release(
        self, object_id: bytes, process: bytes, now: float, *, was_read: bool
    ) -> list[Instruction]:
        copy = self._copies.get(object_id)
        if copy is None or process not in copy.claims:
            return []
        requests = copy.claims.pop(process)
        self._unclaim(copy, process, len(requests))
        why = "the process said that it does not want the value any more"
        out = _refusals(process, requests, FailureKind.LOST, why)
        copy.was_read |= was_read and copy.state is State.HERE
        if copy.claims:
            return out
        if copy.state is not State.HERE:
            return out + self._abandon(copy)
        self._fed = True
        if copy.unwanted or not copy.was_read:
            return [*out, self._drop(copy)]
        copy.last_use = now
        self._unused[object_id] = copy
        return out

    def _unclaim(self, copy: _Copy, process: bytes, requests: int) -> None:
        reader = self._readers[process]
        reader.claims.remove(copy.id)
        reader.waiting -= requests
        reader.reading -= copy.state is State.HERE
        if not reader.claims:
            del self._readers[process]

    def _abandon(self, copy: _Copy) -> list[Instruction]:
        """Forget a copy that is not here."""
        del self._copies[copy.id]
        if copy.number in self._flights:
            return [Cancel(copy.number)]
        if copy in self._queue:
            self._queue.remove(copy)
        self._resting.pop(copy.id, None)
        self._hungry.pop(copy.id, None)
        return []

    # Fetching -----------------------------------------------------------------------------

    def found_room(self, number: int) -> list[Instruction]:
        """There is memory for what is fetched."""
        if number != self._trying:
            return []
        self._trying = 0
        return self._go_on()

    def fetched(self, number: int, segment: int, offset: int) -> list[Instruction]:
        """A value has arrived, in memory of this node."""
        flight, copy = self._land(number)
        self._fed = True
        if copy is None:
            source = flight.source
            return [Drop(segment, offset, source.lengths, source.nbytes), *self._go_on()]
        out: list[Instruction] = []
        copy.state = State.HERE
        copy.place = (segment, offset)
        for process, requests in copy.claims.items():
            out += [_ready(copy, process, request) for request in requests]
            reader = self._readers[process]
            reader.waiting -= len(requests)
            reader.reading += 1
            requests.clear()
        return out + self._go_on()

    def fetch_failed(
        self, number: int, kind: FailureKind, reason: str, now: float
    ) -> list[Instruction]:
        """A value has not arrived; the memory that was found for it is free again."""
        _, copy = self._land(number)
        if copy is None:
            self._fed = True
            return self._go_on()
        if kind is FailureKind.FULL:
            self._starve(copy, reason, now)
        elif kind is FailureKind.CUT and copy.attempts < self._retries:
            copy.state = State.RESTING
            copy.due = now + self._rest_s * 2**copy.attempts
            copy.attempts += 1
            self._resting[copy.id] = copy
        else:
            return self._fail(copy, kind, reason) + self._go_on()
        return self._go_on()

    def node_gone(self, node: int) -> list[Instruction]:
        """A node is dead: what was to come from there will not. Copies that are here stay."""
        self._gone.add(node)
        out: list[Instruction] = []
        for copy in list(self._copies.values()):
            if copy.state is State.HERE:
                continue
            if copy.source.node == node:
                out += self._fail(copy, FailureKind.LOST, _gone_text(node))
            elif copy.number in self._flights and self._flights[copy.number].source.node == node:
                out.append(Cancel(copy.number))
                self._requeue(copy)
        return out + self._go_on()

    def _land(self, number: int) -> tuple[_Flight, _Copy | None]:
        """A fetch has ended; its copy, unless it was cancelled."""
        flight = self._flights.pop(number)
        if number == self._trying:
            self._trying = 0
        self._queue.arrived(flight.source.node, flight.source.nbytes)
        copy = self._copies.get(flight.object_id)
        if copy is None or copy.state is not State.FETCHING or copy.number != number:
            return flight, None
        return flight, copy

    def _requeue(self, copy: _Copy) -> None:
        copy.state = State.QUEUED
        copy.number = 0
        self._queue.add(copy, first=True)

    def _fail(self, copy: _Copy, kind: FailureKind, reason: str) -> list[Instruction]:
        out: list[Instruction] = []
        for process, requests in copy.claims.items():
            out += _refusals(process, requests, kind, reason)
            self._unclaim(copy, process, len(requests))
        return out + self._abandon(copy)

    def _go_on(self) -> list[Instruction]:
        """Start what can be started."""
        out: list[Instruction] = []
        while not self._trying:
            if self._hungry and self._fed:
                _, copy = self._hungry.popitem(last=False)
                self._queue.depart(copy)
                out.append(self._start(copy))
                self._trying = copy.number
            elif self._hungry and self._is_hopeful():
                break
            elif len(self._hungry) >= _MOST_HUNGRY:
                out += self._fail_hungry(next(reversed(self._hungry.values())))
            elif (object_id := self._queue.take()) is not None:
                out.append(self._start(self._copies[object_id]))
            elif self._hungry:
                out += self._fail_hungry(next(reversed(self._hungry.values())))
            else:
                break
        return out

    def _start(self, copy: _Copy) -> Fetch:
        self._fed = False
        self._number += 1
        copy.number = self._number
        copy.state = State.FETCHING
        self._flights[copy.number] = _Flight(copy.id, copy.source)
        return Fetch(copy.number, copy.id, copy.source)

    # Memory -------------------------------------------------------------------------------

    def memory_wanted(self, nbytes: int) -> list[Instruction]:
        """Others need memory: give up copies that nobody reads, the longest unused first."""
        out: list[Instruction] = []
        while nbytes > 0 and self._unused:
            copy = next(iter(self._unused.values()))
            nbytes -= copy.source.nbytes
            out.append(self._drop(copy))
        return out

    def memory_freed(self) -> list[Instruction]:
        """Others have given memory back."""
        self._fed = True
        return self._go_on()

    def forget(self, object_id: bytes) -> list[Instruction]:
        """A value was freed by its owner: nobody will claim it again."""
        copy = self._copies.get(object_id)
        if copy is None or copy.state is not State.HERE:
            return []
        if copy.claims:
            copy.unwanted = True
            return []
        return [self._drop(copy)]

    def tick(self, now: float) -> list[Instruction]:
        """Time has passed; to be called about twice a second."""
        out: list[Instruction] = []
        for copy in [copy for copy in self._resting.values() if copy.due <= now]:
            del self._resting[copy.id]
            self._requeue(copy)
        for copy in list(self._hungry.values()):
            assert copy.hungry_since is not None
            if copy.hungry_since + self._patience_s <= now:
                out += self._fail_hungry(copy)
        while self._unused:
            copy = next(iter(self._unused.values()))
            if copy.last_use + self._keep_s > now:
                break
            out.append(self._drop(copy))
        return out + self._go_on()

    @property
    def readers(self) -> set[bytes]:
        """The processes that claim copies."""
        return set(self._readers)

    @property
    def nbytes_read(self) -> int:
        """Bytes of the copies that are here and claimed."""
        return sum(
            copy.source.nbytes
            for copy in self._copies.values()
            if copy.state is State.HERE and copy.claims
        )

    def _starve(self, copy: _Copy, reason: str, now: float) -> None:
        copy.state = State.HUNGRY
        copy.reason = reason
        self._hungry[copy.id] = copy
        if copy.hungry_since is None:
            copy.hungry_since = now
        else:  # it was the first of them when it was tried again
            self._hungry.move_to_end(copy.id, last=False)

    def _is_hopeful(self) -> bool:
        """Whether memory may be given back without any hungry copy getting some first."""
        if self._flights:
            return True
        return any(reader.reading and not reader.waiting for reader in self._readers.values())

    def _fail_hungry(self, copy: _Copy) -> list[Instruction]:
        reason = copy.reason
        if nbytes := self.nbytes_read:
            reason += f" ({nbytes} bytes are copies of values from elsewhere that are in use)"
        return self._fail(copy, FailureKind.FULL, reason)

    def _drop(self, copy: _Copy) -> Drop:
        del self._copies[copy.id]
        self._unused.pop(copy.id, None)
        return Drop(*copy.place, copy.source.lengths, copy.source.nbytes)

    def check(self) -> None:
        """Assert the invariants."""
        self._queue.check()
        readers: dict[bytes, _Reader] = {}
        for object_id, copy in self._copies.items():
            here = copy.state is State.HERE
            assert copy.id == object_id
            assert copy.claims or here, "nobody wants it"
            assert (object_id in self._unused) == (here and not copy.claims)
            assert not copy.unwanted or copy.claims
            assert (copy in self._queue) == (copy.state is State.QUEUED)
            assert (object_id in self._resting) == (copy.state is State.RESTING)
            assert (object_id in self._hungry) == (copy.state is State.HUNGRY)
            assert here or copy.source.node not in self._gone
            assert (copy.state is State.FETCHING) == (copy.number in self._flights)
            if copy.state is State.FETCHING:
                assert self._flights[copy.number] == _Flight(object_id, copy.source)
            assert copy.claims or copy.was_read, "kept, and nobody knows what it is"
            for process, requests in copy.claims.items():
                reader = readers.setdefault(process, _Reader())
                reader.claims.add(object_id)
                reader.reading += here
                reader.waiting += len(requests)
                assert not (here and requests), "an answer is due"
        assert readers == self._readers
        for index in (self._unused, self._resting, self._hungry):
            assert index.keys() <= self._copies.keys()
        assert len(self._queue) == sum(c.state is State.QUEUED for c in self._copies.values())
        under_way = sum(flight.source.nbytes for flight in self._flights.values())
        assert under_way == sum(self._queue.under_way)
        assert not self._hungry or self._is_hopeful(), "waits without hope"
        assert not self._trying or self._trying in self._flights
        uses = [copy.last_use for copy in self._unused.values()]
        assert uses == sorted(uses)


def _ready(copy: _Copy, process: bytes, request: int) -> Ready:
    return Ready(process, request, *copy.place, copy.source.lengths)


def _went_to_disk(before: Source, now: Source) -> bool:
    return before.node == now.node and now.spilled and not before.spilled


def _refusals(
    process: bytes, requests: list[int], kind: FailureKind, reason: str
) -> list[Instruction]:
    return [Fail(process, request, kind, reason) for request in requests if request]


def _gone_text(node: int) -> str:
    return f"node {node}, which has the value, is gone"
