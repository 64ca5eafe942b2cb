"""What this process runs and has run, as far as it is remembered, for whoever asks later."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from air.executor.failures import load_raised
from air_cluster.client.contents import Content

FAILURES_KEPT = 200
"""Of the tasks and calls that this process has submitted and that have failed."""

SLICES_KEPT = 4096
"""Of the tasks and calls that this process has run; about 1 MB once they are all there."""

_MAX_FAILURE_BYTES = 8 << 10
_MESSAGE_CHARS = 200

Ran = tuple[bytes, str, float, float, str, str]
"""Identity, name, when it began (``time.perf_counter``), how long it took, what came of it, and the
name of the function or method."""

FINISHED, FAILED, CANCELLED = "finished", "failed", "cancelled"


class Running(msgspec.Struct, frozen=True):
    """A task or call that runs in the process that says so, for so many seconds.

    *waits_for* says, in words, what keeps it from going on; empty if nothing of ours does.
    """

    task_id: bytes
    name: str
    actor_id: bytes
    seconds: float
    waits_for: str = ""


class ToldSlice(msgspec.Struct, frozen=True):
    """Something that was run, or runs; times in seconds of the Unix clock."""

    task_id: bytes
    name: str
    start: float
    end: float
    outcome: str
    actor_id: bytes
    node_id: str
    pid: int


def position(task_id: bytes, queue: Iterable[bytes]) -> int | None:
    """How many are in front of a task in a queue; ``None`` if it is not in it."""
    return next((number for number, other in enumerate(queue) if other == task_id), None)


class Failure(msgspec.Struct):
    """A task or a call that has failed.

    *worker* is the process that ran it, if any did; *pickled* is the failure, if it is short.
    """

    task_id: bytes
    name: str
    function: str
    actor_id: bytes
    worker: bytes
    ended: float
    pickled: bytes

    def explain(self) -> tuple[str | None, str | None]:
        """The class of what was raised, and the beginning of what it says."""
        with contextlib.suppress(Exception):  # its class may not be here
            error = load_raised(self.pickled)
            return type(error).__name__, str(error)[:_MESSAGE_CHARS]
        return None, None


class Endings:
    """What a process remembers.

    Attributes:
        ran: what it has run.
        runs: says what it runs now.
        ahead: how many wait here in front of a task or call that waits, if it does.
        class_name: of the actor that lives here, if one does.
        failures: of what it has submitted, the last that have failed.
    """

    def __init__(self) -> None:
        self.ran: deque[Ran] = deque(maxlen=SLICES_KEPT)
        self.runs: Callable[[], list[Running]] = list
        self.ahead: Callable[[bytes], int | None] = lambda _task_id: None
        self.class_name = ""
        self.failures: deque[Failure] = deque(maxlen=FAILURES_KEPT)

    def slices(self, actor_id: bytes, node_id: str, pid: int) -> list[ToldSlice]:
        """What this process has run and runs, for others."""
        mine, now = (actor_id, node_id, pid), time.time()
        offset = now - time.perf_counter()
        told = [
            ToldSlice(task_id, name, start + offset, start + offset + seconds, outcome, *mine)
            for task_id, name, start, seconds, outcome, _ in list(self.ran)
        ]
        for one in self.runs():
            told.append(ToldSlice(one.task_id, one.name, now - one.seconds, now, "running", *mine))
        return told

    def failed(
        self,
        task_id: bytes,
        name: str,
        function: str,
        content: Content,
        worker: bytes,
        actor_id: bytes = b"",
    ) -> None:
        """A task or a call has failed."""
        piece = content.pieces[0]
        # What holds references would count as their holder, if only it were looked into.
        is_short = len(piece) <= _MAX_FAILURE_BYTES and not content.refs
        pickled = bytes(piece) if is_short else b""
        self.failures.append(
            Failure(task_id, name, function, actor_id, worker, time.time(), pickled)
        )
