"""Values of streams that were lost and are to come again, without I/O.

A streaming task that runs again makes all its values anew, from the first one on. Those that are
there still are thrown away by who receives them; this keeps the others in mind. Values may be
lost while their task runs (for the first time, or once more): it may have made them already, so
they are *late*, and if they have not come by its end, it runs again for them.
"""

from __future__ import annotations

import msgspec


class _Losses(msgspec.Struct):
    missing: set[int] = msgspec.field(default_factory=set)  # the run makes them
    late: set[int] = msgspec.field(default_factory=set)  # it may have made them before
    last: int = -1  # none behind this one is wanted


class StreamLosses:
    """Events in, answers out; values are named by their task and their place in its stream.

    Attributes:
        tasks: those whose values were lost. Empty nearly always, and looked at whenever a value is
            freed.
    """

    def __init__(self) -> None:
        self.tasks: dict[bytes, _Losses] = {}

    def __contains__(self, task_id: bytes) -> bool:
        return task_id in self.tasks

    def lost(self, task_id: bytes, index: int, *, runs: bool) -> None:
        """A value was lost.

        Args:
            runs: whether its task does so, or waits to be sent to a worker.
        """
        losses = self.tasks.setdefault(task_id, _Losses())
        (losses.late if runs else losses.missing).add(index)
        losses.last = max(losses.last, index)

    def settled(self, task_id: bytes, index: int) -> None:
        """A value has come again, or nobody wants it any more."""
        losses = self.tasks.get(task_id)
        if losses is not None:
            losses.missing.discard(index)
            losses.late.discard(index)

    def wants_more(self, task_id: bytes, index: int) -> bool:
        """Whether a value behind this one, or this one, is still to come."""
        losses = self.tasks.get(task_id)
        if losses is None or not (losses.missing or losses.late):
            return False
        return index < losses.last or index in losses.missing or index in losses.late

    def ended(self, task_id: bytes) -> tuple[list[int], bool]:
        """The task has ended well.

        Returns:
            What it should have made and has not, and whether it has to run again.
        """
        losses = self.tasks.get(task_id)
        if losses is None:
            return [], False
        hopeless = sorted(losses.missing)
        if not losses.late:
            del self.tasks[task_id]
            return hopeless, False
        losses.missing, losses.late = losses.late, set()
        losses.last = max(losses.missing)
        return hopeless, True

    def given_up(self, task_id: bytes) -> list[int]:
        """The task will not run any more; returns what will not come."""
        losses = self.tasks.pop(task_id, None)
        return [] if losses is None else sorted(losses.missing | losses.late)

    def check(self) -> None:
        """Assert the invariants."""
        for losses in self.tasks.values():
            assert all(index <= losses.last for index in losses.missing | losses.late)
