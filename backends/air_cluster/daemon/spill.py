"""Spills values to disk and restores them: see ``core.spilling`` and ``store.files``."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from air_cluster.core.copies import FailureKind
from air_cluster.core.spilling import (
    Ask,
    Candidate,
    Finished,
    Instruction,
    Remove,
    Spilling,
    Tell,
    Write,
)
from air_cluster.daemon.agenda import Agenda
from air_cluster.daemon.blocking import Threads
from air_cluster.daemon.transfer import Failure
from air_cluster.protocol.ids import node_of
from air_cluster.store.files import SpillFiles
from air_cluster.store.writer import Reserved

logger = logging.getLogger(__name__)

_THREADS = 4
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Owners(Protocol):
    """Speaks to the processes that own values in this node's memory."""

    def all(self) -> Iterable[bytes]:
        """Who they are, on this node and on others."""
        ...

    def ask(self, owner: bytes, run: int, nbytes: int) -> None:
        """Ask for values of *nbytes* together; the answer is ``offered`` with *run*."""
        ...

    def tell(self, owner: bytes, object_id: bytes, file: int, offset: int) -> None:
        """A value is on disk; the answer is ``settled``."""
        ...


class SpillService:
    """What one node has on disk. All methods are called under the reactor's lock.

    Args:
        files: where values go; closed with this.
        lend: gives a descriptor of a segment, which is closed here, and its size, or says why
            there is none (:meth:`NodeMemory.lend`). Called in any thread.
        owners: asks owners and tells them.
        call_soon: has a function called under the reactor's lock; from any thread.
    """

    def __init__(
        self,
        files: SpillFiles,
        *,
        lend: Callable[[int], tuple[int, int] | str],
        owners: Owners,
        call_soon: Callable[[Callable[[], None]], None],
        spilling: Spilling | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._lend = lend
        self._owners = owners
        self._call_soon = call_soon
        self._spilling = spilling if spilling is not None else Spilling()
        self._clock = clock
        self._agenda = Agenda()
        self._waiting: list[Callable[[int, str], None]] = []
        self._threads = Threads(_THREADS, "air-spill")
        self._closed = False

    def spill(self, nbytes: int, done: Callable[[int, str], None]) -> None:
        """Spill values of *nbytes* together, those that were not used for longest.

        If values are being spilled already, wait for the end of that.

        Args:
            done: called once, with how many bytes their owners have agreed to free, and what
                is wrong with the disk, if anything is.
        """
        self._waiting.append(done)
        if not self._spilling.is_running:
            self._follow(self._spilling.start(nbytes, self._owners.all(), self._clock()))

    def offered(self, owner: bytes, run: int, candidates: Iterable[Candidate]) -> None:
        """An owner has answered :meth:`Owners.ask`."""
        self._follow(self._spilling.offered(owner, run, candidates, self._clock()))

    def settled(self, owner: bytes, object_id: bytes, *, accepted: bool) -> None:
        """An owner has answered :meth:`Owners.tell`: it frees the memory, or goes on using it."""
        self._follow(self._spilling.settled(owner, object_id, accepted, self._clock()))

    def freed(self, owner: bytes, object_id: bytes) -> None:
        """An owner needs a value on disk no more."""
        self._follow(self._spilling.freed(owner, object_id))

    def owner_gone(self, owner: bytes) -> None:
        """A process died, here or on another node."""
        self._follow(self._spilling.owner_gone(owner, self._clock()))

    def node_gone(self, number: int) -> None:
        """Another node is dead, and with it the owners there."""
        for owner in [owner for owner in self._spilling.owners() if node_of(owner) == number]:
            self.owner_gone(owner)

    def tick(self) -> None:
        """Time has passed; to be called about twice a second."""
        self._follow(self._spilling.tick(self._clock()))

    def open(self, file: int) -> tuple[int, int] | str:
        """A descriptor of a file, for the caller to close, and its size; or why there is none.

        May be called from any thread.
        """
        return self._files.open(file)

    def restore(
        self, file: int, offset: int, target: Reserved, done: Callable[[Failure | None], None]
    ) -> None:
        """Fill *target* with a value on disk; *done* is called in some thread."""
        self._threads.submit(self._restore, file, offset, target, done)

    def close(self) -> None:
        """Remove everything from disk. What is under way ends soon, and is not told any more."""
        self._closed = True
        self._threads.close()
        self._files.close()

    def join(self) -> None:
        """Wait until all threads have ended, after :meth:`close`."""
        self._threads.join()

    # Following ----------------------------------------------------------------------------

    def _follow(self, instructions: list[Instruction]) -> None:
        self._agenda.add(self._carry_out, instructions)

    def _carry_out(self, instruction: Instruction) -> None:
        match instruction:
            case Ask(owner, run, nbytes):
                self._owners.ask(owner, run, nbytes)
            case Write():
                self._threads.submit(self._write, instruction)
            case Tell(owner, object_id, file, offset):
                self._owners.tell(owner, object_id, file, offset)
            case Remove(_, file, offset):
                self._threads.submit(self._remove, file, offset)
            case Finished(nbytes, problem):
                waiting, self._waiting = self._waiting, []
                for done in waiting:
                    done(nbytes, problem)

    def _write(self, write: Write) -> None:
        """Called in a thread."""
        try:
            place = self._write_range(write.segment, write.offset, write.nbytes)
        except OSError as error:
            event = partial(self._spilling.write_failed, write.number, self._problem(error))
        else:
            if place is None:
                event = partial(self._spilling.write_failed, write.number, "")
            else:
                event = partial(self._spilling.written, write.number, *place)
        self._call_soon(partial(self._happened, event))

    def _remove(self, file: int, offset: int) -> None:
        """Called in a thread."""
        try:
            self._files.free(file, offset)
        finally:
            self._call_soon(partial(self._happened, self._spilling.removed))

    def _write_range(self, segment: int, offset: int, nbytes: int) -> tuple[int, int] | None:
        """Where a range is on disk now; ``None`` if it is no longer in memory."""
        lent = self._lend(segment)
        if isinstance(lent, str):  # its writer has ended, and nobody keeps it
            return None
        fd, size = lent
        try:
            if offset < 0 or offset + nbytes > size:
                logger.error("no %d bytes at %d of segment %d", nbytes, offset, segment)
                return None
            return self._files.write(fd, offset, nbytes)
        finally:
            os.close(fd)

    def _happened(self, event: Callable[[float], list[Instruction]]) -> None:
        if not self._closed:
            self._follow(event(self._clock()))

    def _restore(
        self, file: int, offset: int, target: Reserved, done: Callable[[Failure | None], None]
    ) -> None:
        """Called in a thread."""
        failure = None
        try:
            self._files.read(file, offset, target)
        except OSError as error:
            reason = f"a value on disk cannot be read: {self._problem(error)}"
            failure = Failure(FailureKind.LOST, reason)
        if not self._closed:
            done(failure)

    def _problem(self, error: OSError) -> str:
        where = self._files.directory
        if error.errno not in _FULL:
            return f"{error.strerror or error} ({where})"
        try:
            disk = os.statvfs(where)
        except OSError:
            return f"the disk is full ({where})"
        free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        return (
            f"the disk is full ({where}: {free} of {size} bytes are free; make room there, or"
            " start with TMPDIR set to a directory on a larger one)"
        )
