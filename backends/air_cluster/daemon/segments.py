"""The memory service of a daemon: grants segments, and makes room for them if need be.

Whoever needs memory when there is none waits in line, and is served in this order. Meanwhile

1. copies of values from elsewhere that nobody reads are dropped, which costs nothing but to
   fetch them again;
2. all processes give back what is free in their segments (in two rounds: in the first, owners
   tell writers what is free; in the second, writers give that back);
3. values are spilled to disk, and 2. is done once more for what that has freed; and this again,
   for as long as it helps.

Who does not fit then rests for a moment, and all this is done again, for as long as somebody else
has memory that he may let go of: a task that reads a large argument ends, for instance. A process
that rests keeps nobody waiting who needs less. After :data:`PATIENCE_S` it is refused; a program on
a cluster of one node at once, if all that is in use is its own and that of others who wait, which
would wait for one another (of these the youngest is refused).
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from air_cluster.protocol import messages
from air_cluster.store.writer import SEGMENT_BYTES
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.daemon.node import NodeDaemon

logger = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""So long does a process wait for memory that others use, before its value does not fit."""

_AGAIN_S = 0.25
_SILENT_S = 1.0

_ROUNDS = 2

_ANSWER_S = 2.0
"""A process that is busy in foreign code may not answer for long: it is not waited for."""

_SPILLED_SHARE = 16  # of all memory, one part in so many is spilled at a time, or a segment


class Wanted(msgspec.Struct, eq=False):
    """A request for memory.

    Attributes:
        size: bytes that would be best.
        at_least: bytes that would do.
        attempt: meets the request if there is room; whether that is done, or nobody waits for
            it any more.
        refuse: called, at the latest, when all that can be done has not made room; says why.
        process: who rests meanwhile until others let go of what they use. Without one, *refuse* is
            called as soon as nothing can be done.
    """

    size: int
    at_least: int
    attempt: Callable[[], bool]
    refuse: Callable[[str], None]
    process: bytes = b""
    squeeze: int = 0  # the one that it takes part in from the beginning
    since: float | None = None  # when it rested first
    is_told: bool = False


class SegmentService:
    """Passes the processes' requests for shared memory to :class:`NodeMemory`.

    Processes keep segments whose values are all free, because their pages are warm. They give
    these back when others need them. A segment that is given back is unmapped wherever it was
    read: the kernel frees it after that.

    Attributes:
        drop_copies: drops copies of so many bytes that nobody reads, or all there are; whether
            that has freed anything.
        spill: spills values of so many bytes and calls back, once, with how many bytes are
            being freed and what is wrong with the disk, if anything is.
        patience_s: see :data:`PATIENCE_S`.
        clock: what that is measured by.
        open_file: a descriptor of a file of spilled values, to be closed here, and its size; or
            why there is none.
        copy_readers: the processes that read copies of values from elsewhere, or wait for some.
        on_freed: called when memory was given back and nobody waits for it here.
    """

    def __init__(self, node: NodeDaemon) -> None:
        self._node = node
        self._memory = node.memory
        self._memory.on_closed = self._closed
        self.drop_copies: Callable[[int], bool] = lambda nbytes: False
        self.spill: Callable[[int, Callable[[int, str], None]], None] = _spill_nothing
        self.open_file: Callable[[int], tuple[int, int] | str] = lambda file: "nothing was spilled"
        self.copy_readers: Callable[[], set[bytes]] = set
        self.on_freed: Callable[[], None] = lambda: None
        self.patience_s = PATIENCE_S
        self.clock = time.monotonic
        self._line: deque[Wanted] = deque()
        self._resting: list[Wanted] = []  # the longest waiting first
        self._numbers = itertools.count(1)
        self._squeeze = 0  # number of the one under way: steps 1 to 3 for all who wait
        self._round = 0  # number of the round of step 2 under way
        self._rounds_left = 0
        self._unheard: set[bytes] = set()  # who has not answered in this round
        self._silent: set[bytes] = set()  # who did not answer in time; not waited for again
        self._problem = ""  # with the disk
        handle = node.peers.handle
        handle(messages.NeedSegment, self._on_need)
        handle(messages.OpenSegment, self._on_open)
        handle(messages.ShrinkSegment, lambda c, m, _p: self.shrunk(c.peer, m.segment, m.nbytes))
        handle(messages.StoreTrimmed, lambda c, m, _p: self._answered(m.number, c.peer))

    def process_gone(self, process: bytes) -> None:
        """A process died."""
        self._answered(self._round, process)
        self._silent.discard(process)
        self.room_came()

    def want(self, wanted: Wanted) -> None:
        """Meet a request for memory, now or later, or refuse it."""
        if not self._line and wanted.attempt():
            return
        if wanted.at_least > self._memory.cap:
            wanted.refuse(self._memory.why_not(wanted.at_least))
            return
        self._line.append(wanted)
        if not self._squeeze:
            self._start_squeeze()

    def dropped(self, process: bytes, segment: int) -> None:
        """A process holds nothing in a segment any more."""
        self._memory.drop(process, segment)
        self.room_came()

    def shrunk(self, process: bytes, segment: int, nbytes: int) -> None:
        """A process has given back a part of a segment."""
        self._memory.shrink(process, segment, nbytes)
        self.room_came()

    def _on_need(self, connection: Connection, message: messages.NeedSegment, _p: object) -> None:
        attempt = partial(self._grant, connection, message)
        refuse = partial(_refuse, connection, message)
        self.want(Wanted(message.size, message.at_least, attempt, refuse, connection.peer))

    def _on_open(self, c: Connection, message: messages.OpenSegment, _p: object) -> None:
        if message.on_disk:
            opened = self.open_file(message.segment)
        else:
            opened = self._memory.open(message.segment, c.peer)
        if isinstance(opened, str):
            c.send(messages.SegmentReply(message.request, 0, 0, opened))
            return
        fd, size = opened
        c.send_with_fd(messages.SegmentReply(message.request, message.segment, size, ""), fd)
        if message.on_disk:
            os.close(fd)

    def _grant(self, connection: Connection, message: messages.NeedSegment) -> bool:
        if connection.closed:
            return True
        granted = self._memory.grant(connection.peer, message.size, message.at_least)
        if granted is None:
            return False
        segment, size, fd = granted
        connection.send_with_fd(messages.SegmentReply(message.request, segment, size, ""), fd)
        return True

    # Making room --------------------------------------------------------------------------

    def room_came(self) -> None:
        """Memory may have been given back."""
        if not self._line:
            self._resting = [wanted for wanted in self._resting if not wanted.attempt()]
            self.on_freed()
        self._serve()

    def _serve(self) -> bool:
        """Serve who can be served, in order; whether nobody is left."""
        while self._line and self._line[0].attempt():
            self._line.popleft()
        if not self._line:
            self._squeeze = self._round = 0
        return not self._line

    def _start_squeeze(self) -> None:
        self._squeeze = next(self._numbers)
        self._problem = ""
        for wanted in self._line:
            wanted.squeeze = self._squeeze
        if not self._drop_copies():
            self._trim()

    def _drop_copies(self) -> bool:
        """Step 1; whether nobody waits any more."""
        while not self._serve():
            if not self.drop_copies(self._missing()):
                return False
        return True

    def _missing(self) -> int:
        """How many bytes are needed for all who wait."""
        share = min(SEGMENT_BYTES, self._memory.cap // _SPILLED_SHARE)
        sizes = (max(wanted.at_least, min(wanted.size, share)) for wanted in self._line)
        # Some of what is left may be too little for anybody.
        return max(sum(sizes) - self._memory.left, self._line[0].at_least)

    def _trim(self) -> None:
        """Step 2."""
        self._rounds_left = _ROUNDS
        self._ask_around()

    def _ask_around(self) -> None:
        self._rounds_left -= 1
        number = self._round = next(self._numbers)
        self._node.reactor.call_later(_ANSWER_S, partial(self._round_done, number))
        everybody = self._node.clients.all()
        self._unheard = {record.process for record in everybody} - self._silent
        for record in everybody:
            record.connection.send(messages.TrimStore(number))
        if not self._unheard:
            self._round_done(number)

    def _answered(self, number: int, process: bytes) -> None:
        self._silent.discard(process)
        if number == self._round and process in self._unheard:
            self._unheard.remove(process)
            if not self._unheard:
                self._round_done(number)

    def _round_done(self, number: int) -> None:
        """All have answered, or were waited for long enough."""
        if number != self._round:
            return
        self._silent |= self._unheard
        if self._rounds_left:
            self._ask_around()
            return
        self._round = 0
        if not self._drop_copies():
            self.spill(self._missing(), partial(self._spilled, self._squeeze))

    def _spilled(self, squeeze: int, nbytes: int, problem: str) -> None:
        """Step 3 was done."""
        if squeeze != self._squeeze:
            return
        self._problem = problem
        if nbytes:
            self._trim()
        elif not self._serve():
            self._end_squeeze()

    def _end_squeeze(self) -> None:
        waited = [wanted for wanted in self._line if wanted.squeeze == self._squeeze]
        self._line = deque(wanted for wanted in self._line if wanted.squeeze != self._squeeze)
        self._squeeze = 0
        # Somebody behind the first one may need less.
        unmet = [wanted for wanted in waited if not wanted.attempt()]
        first = len(self._resting)
        while unmet:  # the youngest first: what it has may be what the others wait for
            wanted = unmet.pop()
            why_not = self._why_not_rest(wanted, unmet)
            if why_not is not None:
                wanted.refuse(why_not)
                continue
            if not self._resting:
                self._node.reactor.call_later(_AGAIN_S, self._try_again)
            self._resting.insert(first, wanted)
        if self._line and not self._squeeze:
            self._start_squeeze()

    def _why_not_rest(self, wanted: Wanted, unmet: list[Wanted]) -> str | None:
        """Why it is of no use to wait any longer, or ``None`` if it is."""
        why = self._memory.why_not(wanted.at_least, self._problem)
        if not wanted.process or not self._others_use_some(wanted, unmet):
            return why
        now = self.clock()
        if wanted.since is None:
            wanted.since = now
        waited = now - wanted.since
        if waited >= self.patience_s:
            return f"{why}. Others were waited for, for {waited:.0f} s" if waited else why
        if waited >= _SILENT_S and not wanted.is_told:
            wanted.is_told = True
            logger.warning("a process waits for memory that others use: %s", why)
        return None

    def _others_use_some(self, wanted: Wanted, unmet: list[Wanted]) -> bool:
        """Whether others than those who wait may use memory; in doubt they do."""
        record = self._node.clients.get(wanted.process)
        if record is None or record.kind != "driver":
            return True  # what a worker has written is mostly its callers', who lend it to others
        if any(number != self._node.number for number in self._node.nodes):
            return True  # another node may be fetching it
        # The daemon itself has what others read of copies.
        users = self._memory.users - {self._node.peers.process_id} | self.copy_readers()
        return not users <= {w.process for w in (wanted, *unmet, *self._resting)}

    def _try_again(self) -> None:
        """Those who rested stand in line again, before those who came since."""
        rested, self._resting = self._resting, []
        self._line.extendleft(reversed(rested))
        if self._line and not self._squeeze:
            self._start_squeeze()

    def _closed(self, segment: int, readers: set[bytes]) -> None:
        for process in readers:
            record = self._node.clients.get(process)
            if record is not None:
                record.connection.send(messages.SegmentGone(segment))


def _refuse(connection: Connection, message: messages.NeedSegment, reason: str) -> None:
    connection.send(messages.SegmentReply(message.request, 0, 0, reason))


def _spill_nothing(nbytes: int, done: Callable[[int, str], None]) -> None:
    done(0, "")
