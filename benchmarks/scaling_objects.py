"""What one object costs, by the number of objects that are alive in the program.

Costs are processor time, of the program and, where one takes part, of the actor: so they do not
depend on what else runs on the machine.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from typing import Any

_WAITED_FOR = 100


def measure(counts: list[int], operations: int) -> dict[str, dict[int, float]]:
    """Seconds for one of each operation, by its name and the number of live objects.

    Args:
        counts: numbers of live objects, rising.
        operations: how many of each operation are made.
    """
    import air

    air.init(num_cpus=1, log_to_driver=False)
    try:
        program = Program(operations)
        table: dict[str, dict[int, float]] = {}
        for count in counts:
            for name, work, times in program.operations(count):
                started = program.cpu_s()
                work()
                table.setdefault(name, {})[count] = (program.cpu_s() - started) / times
        return table
    finally:
        air.shutdown()


class Program:
    """A program with many references to small values."""

    def __init__(self, operations: int) -> None:
        import air

        @air.remote
        def small() -> int:
            return 1

        @air.remote(num_cpus=0)
        class Borrower:
            def __init__(self) -> None:
                self._kept: list[Any] = []

            def keep(self, refs: list[Any]) -> None:
                self._kept = refs

            def drop(self) -> None:
                self._kept = []

            def cpu_s(self) -> float:
                return time.process_time()

        self._air, self._small, self._times = air, small, operations
        self._borrower = Borrower.remote()
        self._live: list[Any] = []
        self._made: list[Any] = []
        self.tasks()
        self.cpu_s()

    def cpu_s(self) -> float:
        """Processor time so far."""
        there: float = self._air.get(self._borrower.cpu_s.remote())
        return time.process_time() + there

    def operations(self, count: int) -> Iterator[tuple[str, Callable[[], object], int]]:
        """Names, what to do, and for how many objects that is, with *count* live ones."""
        air, times, few = self._air, self._times, min(self._times, count)
        self._live += [air.put(number) for number in range(count - len(self._live))]
        live = self._live
        gc.collect()
        yield "put", self.put, times
        yield "get", lambda: [air.get(ref) for ref in live[:few]], few
        yield "release", self._made.clear, times
        yield "wait, each of 100", self.wait, 20 * _WAITED_FOR
        yield "task and its result", self.tasks, times
        yield "get of all, each", lambda: air.get(live), count
        yield "wait for all, each", lambda: air.wait(live, num_returns=count), count
        yield "lend to an actor, each", lambda: air.get(self._borrower.keep.remote(live)), count
        self.calls()  # what the actor has said is taken in
        yield "call of the actor, all lent", self.calls, times
        yield "put and release, all lent", self.put_and_release, times
        yield "give back by the actor, each", lambda: air.get(self._borrower.drop.remote()), count

    def put(self) -> None:
        """Make more objects."""
        self._made += [self._air.put(number) for number in range(self._times)]

    def put_and_release(self) -> None:
        """Make more objects and drop them."""
        self.put()
        self._made.clear()

    def calls(self) -> None:
        """Call the actor."""
        self._air.get([self._borrower.cpu_s.remote() for _ in range(self._times)])

    def wait(self) -> None:
        """Wait for the last hundred, which are ready."""
        last = self._live[-_WAITED_FOR:]
        for _ in range(20):
            self._air.wait(last, num_returns=len(last))

    def tasks(self) -> None:
        """Run tasks and take their results."""
        self._air.get([self._small.remote() for _ in range(self._times)])
