"""Brings values from other nodes, and from disk, into this node's memory: see ``core.copies``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec

from air.errors import ObjectStoreFull
from air_cluster.core.copies import (
    Cancel,
    Copies,
    Drop,
    Fail,
    FailureKind,
    Fetch,
    Instruction,
    Ready,
    Source,
)
from air_cluster.daemon.agenda import Agenda
from air_cluster.daemon.memory import NodeMemory
from air_cluster.daemon.segments import Wanted
from air_cluster.daemon.transfer import Failure, Peer, Range, Transfer, Transfers
from air_cluster.store import layout
from air_cluster.store.layout import Location
from air_cluster.store.writer import Reserved, Writer

_ATTEMPTS = 3
"""So often are copies dropped to make room for another one in their place, and it is tried again.

What is free after that may be in too many pieces: it is given back, to be had anew in one."""

Done = Callable[[Failure | None], None]


class Answers(Protocol):
    """Tells processes what became of their questions."""

    def ready(self, process: bytes, request: int, location: Location) -> None:
        """The copy is there, until the process releases it."""
        ...

    def failed(self, process: bytes, request: int, kind: FailureKind, reason: str) -> None:
        """There will be no copy.

        ``FULL`` and ``TOO_LARGE`` are an ``ObjectStoreFull``; what is ``ON_DISK`` the process reads
        there; all else is an ``ObjectLost``.
        """
        ...


class _Job(msgspec.Struct, eq=False):
    """A fetch, from the search for memory to the end of the transfer."""

    fetch: Fetch
    reserved: Reserved | None = None
    transfer: Transfer | None = None
    is_over: bool = False


class CopyService:
    """The copies of one node. All methods are called under the reactor's lock.

    Args:
        node: this node's number.
        process_id: the daemon's identity, as which it holds segments.
        memory: grants these.
        want_room: meets a request for memory in its turn (:meth:`SegmentService.want`).
        transfers: fetches from other nodes.
        restore: fills a range, in some thread, from an offset of a file of spilled values.
        peer: who serves the values of a node, if that is known.
        answers: where answers go.
        call_soon: has a function called under the reactor's lock; from any thread.
    """

    def __init__(
        self,
        node: int,
        process_id: bytes,
        memory: NodeMemory,
        *,
        want_room: Callable[[Wanted], None],
        transfers: Transfers,
        restore: Callable[[int, int, Reserved, Done], None],
        peer: Callable[[int], Peer | None],
        answers: Answers,
        call_soon: Callable[[Callable[[], None]], None],
        copies: Copies | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._process_id = process_id
        self._memory = memory
        self._want_room = want_room
        self._transfers = transfers
        self._restore = restore
        self._peer = peer
        self._answers = answers
        self._call_soon = call_soon
        self._copies = copies if copies is not None else Copies()
        self._clock = clock
        self._agenda = Agenda()
        self._jobs: dict[int, _Job] = {}
        self._writer = Writer(
            self._request_segment,
            lambda segment: memory.drop(process_id, segment),
            shrink_segment=partial(memory.shrink, process_id),
        )

    # What processes say -------------------------------------------------------------------

    def wanted(
        self,
        process: bytes,
        request: int,
        object_id: bytes,
        *,
        node: int,
        spilled: bool,
        place: int,
        offset: int,
        lengths: tuple[int, ...],
    ) -> None:
        """A process wants to read a value, until it has ``released`` it.

        Args:
            request: what to answer to; 0 if no answer is needed.
            node, spilled, place, offset, lengths: where the value is, see ``Source``.
        """
        source = Source(node, spilled, place, offset, lengths, layout.extent(lengths))
        self._follow(self._copies.wanted(object_id, source, process, request, self._clock()))

    def released(self, process: bytes, object_id: bytes, *, was_read: bool) -> None:
        """A process reads a copy no more, and waits for it no longer; *was_read* if it ever did."""
        now = self._clock()
        self._follow(self._copies.released(object_id, process, now, was_read=was_read))

    def process_gone(self, process: bytes) -> None:
        """A process of this node died."""
        self._follow(self._copies.process_gone(process, self._clock()))

    # What else happens --------------------------------------------------------------------

    def node_gone(self, number: int) -> None:
        """Another node is dead."""
        self._follow(self._copies.node_gone(number))
        peer = self._peer(number)
        if peer is not None:
            self._transfers.forget(peer)

    def forget(self, object_id: bytes) -> None:
        """A value was freed by its owner."""
        self._follow(self._copies.forget(object_id))

    @property
    def readers(self) -> set[bytes]:
        """The processes that read copies, or wait for some."""
        return self._copies.readers

    def memory_freed(self) -> None:
        """Memory was given back that nobody waited for."""
        self._follow(self._copies.memory_freed())

    def drop_unused(self, nbytes: int) -> bool:
        """Drop copies of *nbytes* that nobody reads, or all there are; whether any memory came."""
        before = self._memory.left
        dropped = self._drop_copies(nbytes)
        self._writer.trim()
        return dropped or self._memory.left > before

    def tick(self) -> None:
        """Time has passed; to be called about twice a second."""
        self._follow(self._copies.tick(self._clock()))
        self._transfers.tick()

    def close(self) -> None:
        """Let go of all memory. The threads that fill it must have ended."""
        self._writer.close()

    # Following ----------------------------------------------------------------------------

    def _follow(self, instructions: list[Instruction]) -> None:
        self._agenda.add(self._carry_out, instructions)

    def _carry_out(self, instruction: Instruction) -> None:
        match instruction:
            case Fetch():
                self._fetch(instruction)
            case Cancel(number):
                self._cancel(self._jobs[number])
            case Ready(process, request, segment, offset, lengths):
                location = _location(segment, offset, lengths)
                self._answers.ready(process, request, location)
            case Fail(process, request, kind, reason):
                self._answers.failed(process, request, kind, reason)
            case Drop(segment, offset, lengths, nbytes):
                self._writer.free(Location(segment, offset, lengths, nbytes))

    def _fetch(self, fetch: Fetch) -> None:
        job = self._jobs[fetch.number] = _Job(fetch)
        nbytes = fetch.source.nbytes
        self._want_room(Wanted(nbytes, nbytes, partial(self._start, job), partial(self._full, job)))

    def _start(self, job: _Job) -> bool:
        """Find memory and start the transfer; false if there is none."""
        if job.is_over:
            return True
        source = job.fetch.source
        job.reserved = self._reserve(source)
        if job.reserved is None:
            return False
        done = partial(self._later, job)
        if source.node == self._node:
            self._restore(source.place, source.offset, job.reserved, done)
        elif (peer := self._peer(source.node)) is not None:
            wanted = Range(source.spilled, source.place, source.offset, source.nbytes)
            job.transfer = self._transfers.fetch(peer, wanted, job.reserved, done)
        else:  # the news of it may be on their way
            unknown = Failure(FailureKind.CUT, f"node {source.node} is not known here")
            self._over(job, unknown)
            return True
        self._follow(self._copies.found_room(job.fetch.number))
        return True

    def _reserve(self, source: Source) -> Reserved | None:
        """Memory for a value, if need be that of copies which nobody reads."""
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(ObjectStoreFull):
                return self._writer.reserve(source.lengths)
            if not self._drop_copies(source.nbytes):
                break
        return None

    def _drop_copies(self, nbytes: int) -> bool:
        # At once: what is queued on the agenda may wait for just this memory.
        dropped = self._copies.memory_wanted(nbytes)
        for instruction in dropped:
            self._carry_out(instruction)
        return bool(dropped)

    def _full(self, job: _Job, reason: str) -> None:
        source = job.fetch.source
        kind = FailureKind.FULL if source.nbytes <= self._memory.cap else FailureKind.TOO_LARGE
        if source.node == self._node:
            kind = FailureKind.ON_DISK
        self._over(job, Failure(kind, reason))

    def _cancel(self, job: _Job) -> None:
        if job.transfer is not None:
            job.transfer.cancel()
        elif job.reserved is None:
            self._over(job, Failure(FailureKind.CUT, "it was cancelled"))

    def _later(self, job: _Job, failure: Failure | None) -> None:
        """A transfer has ended, in its own thread."""
        self._call_soon(partial(self._over, job, failure))

    def _over(self, job: _Job, failure: Failure | None) -> None:
        if job.is_over:
            return
        job.is_over = True
        number = job.fetch.number
        del self._jobs[number]
        reserved, job.reserved = job.reserved, None
        if failure is None:
            assert reserved is not None
            at = reserved.location
            self._follow(self._copies.fetched(number, at.segment, at.offset))
            return
        if reserved is not None:
            self._writer.free(reserved.location)
        now = self._clock()
        self._follow(self._copies.fetch_failed(number, failure.kind, failure.reason, now))

    def _request_segment(self, size: int, at_least: int) -> tuple[int, int, int]:
        granted = self._memory.grant(self._process_id, size, at_least)
        if granted is None:
            raise ObjectStoreFull(self._memory.why_not(at_least))
        segment, size, _ = granted
        lent = self._memory.lend(segment)
        assert not isinstance(lent, str)
        return segment, lent[0], size


def _location(segment: int, offset: int, lengths: tuple[int, ...]) -> Location:
    return Location(segment, offset, lengths, layout.extent(lengths))
