"""What to start next: a state machine without clock, thread or I/O.

A *segment* is a row of stages. Units of work enter at the first; what a task of one stage gives
becomes input of the next; what the last gives is output. Everything keeps its order: blocks
leave a stage in the order in which its tasks were started, and those of one task in the order
in which it gave them. A task that is ahead of its turn may run and finish; its blocks wait.

The machine is told what happens (``input_arrived``, ``block_arrived``, ``task_ended``,
``task_failed``, ``output_taken``) and asked what to do (``next_launch``, ``wants_input``,
``next_output``).

Failure keeps the order too: what comes before the task that failed is still made and given out,
so that nobody learns of an error in rows that they never ask for, and of two errors the first in
the data is the one that is told.

Memory. ``held`` counts every block that a task has given and nobody is done with, what running
tasks are expected to give, and what they take beside that to work on their input. Input of the
first stage does not count: it is not read yet, or stored by someone else. A task starts if that
keeps the sum within the budget; later stages go first, and are charged only what they give beyond
what they use up, so that memory drains towards the output. Where tasks give more than was expected,
their blocks are left with them (``takes_from``), and they stop by themselves. Segments of which
one works on what another gives share a budget. For there always to be progress, a stage gets one
task, and the first task of a stage one block, whatever it costs, if nothing after it has anything
to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from air.data.execution.expectations import (
    Item,
    StageLimits,
    StageState,
    TaskState,
    size_of,
    work_of,
)


@dataclass(frozen=True, slots=True)
class Launch:
    """Start a task of a stage on some items."""

    task: int
    stage: int
    keys: tuple[int, ...]


class Scheduler:
    """Decides for one segment; see the module's text."""

    def __init__(
        self,
        stages: Sequence[StageLimits],
        *,
        budget_bytes: int,
        unknown_bytes: int,
        elsewhere: Callable[[], int] = lambda: 0,
    ) -> None:
        """Begin without any input.

        Args:
            budget_bytes: for :attr:`held`.
            unknown_bytes: what the first task with input of unknown size may give.
            elsewhere: what other segments hold that run at the same time, of the same budget.
        """
        self._stages = [StageState(limits) for limits in stages]
        self._tasks: dict[int, TaskState] = {}
        self._outputs: deque[Item] = deque()
        self._taken: dict[int, Item] = {}
        self._budget = budget_bytes
        self._unknown = unknown_bytes
        self._elsewhere = elsewhere
        self._next_task = 0
        self._input_ended = False
        self.held = 0

    # What happens -----------------------------------------------------------------------

    def input_arrived(self, item: Item) -> None:
        """A unit for the first stage."""
        assert not self._input_ended
        self._stages[0].queue.append(item)

    def input_ended(self) -> None:
        """No more units will come."""
        self._input_ended = True

    def block_arrived(self, task: int, item: Item) -> None:
        """A running task gave a block; its size is known."""
        size = item.size or 0
        state = self._tasks[task]
        self.held += size - min(size, state.still_expected)
        state.given += size
        state.waiting.append(item)
        self._pass_on(state.stage)

    def task_ended(self, task: int) -> None:
        """A task gave its last block; what it was working on is free."""
        state = self._tasks[task]
        stage = self._stages[state.stage]
        self.held -= state.still_expected + work_of(state.inputs)
        state.ended = True
        stage.in_flight -= 1
        stage.tasks_ended += 1
        stage.bytes_in += size_of(state.inputs)
        stage.bytes_out += state.given
        if state.stage:
            self.held -= size_of(state.inputs)
        self._pass_on(state.stage)

    def task_failed(self, task: int) -> list[int]:
        """A task ended with an error: no input, task or block that comes after it is wanted.

        Returns:
            Tasks that are still running and no longer count: end them.
        """
        position = self._tasks[task].stage
        unwanted = [
            other
            for other, state in self._tasks.items()
            if state.stage < position or (state.stage == position and other > task)
        ]
        running = [other for other in unwanted if not self._tasks[other].ended]
        for other in unwanted:
            self._forget(other)
        for index, stage in enumerate(self._stages[: position + 1]):
            if index:
                self.held -= size_of(stage.queue)
            stage.queue.clear()
        self._input_ended = True
        self.task_ended(task)
        return running

    def output_taken(self, key: int) -> None:
        """Nobody needs this output's memory counted any more."""
        self.held -= self._taken.pop(key).size or 0

    # What to do -------------------------------------------------------------------------

    def next_launch(self) -> Launch | None:
        """The task to start now, if any; it counts as started."""
        for position in reversed(range(len(self._stages))):
            group = self._group(position)
            if group and self._admits(position, group):
                return self._launch(position, group)
        return None

    def wants_input(self) -> bool:
        """Whether a unit for the first stage would be started at once, as far as one can tell."""
        first = self._stages[0]
        if self._input_ended or first.queue or first.in_flight >= first.limits.max_in_flight:
            return False
        return self._is_idle() or self._has_room(self._expected(0, None))

    def next_output(self) -> int | None:
        """The key of the next block of the result, if it is there; then it is being used."""
        if not self._outputs:
            return None
        item = self._outputs.popleft()
        self._taken[item.key] = item
        return item.key

    @property
    def has_output(self) -> bool:
        """Whether a block of the result is there to be given out."""
        return bool(self._outputs)

    def takes_from(self, task: int) -> bool:
        """Whether the next block of a running task is wanted now."""
        return self._has_room(0) or task == self.awaited

    @property
    def awaited(self) -> int | None:
        """The task whose next block is wanted even if there is no room: all else waits for it.

        There is one whenever a task runs, no other can start, and no output is there or in use.
        """
        if self._outputs:
            return None
        for position in reversed(range(len(self._stages))):
            if self._stages[position].in_flight:
                return self._stages[position].order[0]
            if self._group(position):
                return None
        return None

    @property
    def is_done(self) -> bool:
        """Whether all output has been given out and nothing can come any more."""
        return (
            self._input_ended
            and not self._tasks
            and not self._outputs
            and not any(stage.queue for stage in self._stages)
        )

    def check(self) -> None:
        """Assert what must always hold; for tests."""
        for position, stage in enumerate(self._stages):
            running = [t for t in self._tasks.values() if t.stage == position and not t.ended]
            assert stage.in_flight == len(running) <= stage.limits.max_in_flight
            assert list(stage.order) == sorted(stage.order)
            assert not stage.order or not self._tasks[stage.order[0]].waiting
        running_tasks = [task for task in self._tasks.values() if not task.ended]
        expected = sum(t.still_expected + work_of(t.inputs) for t in running_tasks)
        inside = [item for stage in self._stages[1:] for item in stage.queue]
        inside += [i for t in self._tasks.values() if t.stage and not t.ended for i in t.inputs]
        inside += [item for task in self._tasks.values() for item in task.waiting]
        inside += [*self._outputs, *self._taken.values()]
        assert self.held == expected + size_of(inside)

    # ------------------------------------------------------------------------------------

    def _pass_on(self, position: int) -> None:
        """Move what the stage's first tasks gave to the next stage or to the output."""
        stage = self._stages[position]
        is_last = position == len(self._stages) - 1
        target = self._outputs if is_last else self._stages[position + 1].queue
        while stage.order:
            first = self._tasks[stage.order[0]]
            target.extend(first.waiting)
            first.waiting.clear()
            if not first.ended:
                return
            del self._tasks[stage.order.popleft()]

    def _forget(self, task: int) -> None:
        state = self._tasks.pop(task)
        stage = self._stages[state.stage]
        stage.order.remove(task)
        self.held -= size_of(state.waiting)
        if state.ended:
            return
        stage.in_flight -= 1
        self.held -= state.still_expected + work_of(state.inputs)
        if state.stage:
            self.held -= size_of(state.inputs)

    def _group(self, position: int) -> tuple[Item, ...]:
        """The items that the stage's next task would get; none if it has to wait for more."""
        stage = self._stages[position]
        if not stage.queue or stage.in_flight >= stage.limits.max_in_flight:
            return ()
        if position == 0 or not stage.limits.min_rows:
            return (stage.queue[0],)
        group: list[Item] = []
        rows = 0
        for item in stage.queue:
            group.append(item)
            rows += item.rows or 0
            if rows >= stage.limits.min_rows:
                return tuple(group)
        return tuple(group) if self._is_drained(position) else ()

    def _is_drained(self, position: int) -> bool:
        """Whether nothing more can come into the stage's queue."""
        before = self._stages[:position]
        return self._input_ended and not any(stage.queue or stage.order for stage in before)

    def _admits(self, position: int, group: tuple[Item, ...]) -> bool:
        extra = self._expected(position, group) + work_of(group)
        if position:
            extra -= size_of(group)
        return extra <= 0 or self._has_room(extra) or self._is_idle(position)

    def _has_room(self, extra: int) -> bool:
        return self.held + extra + self._elsewhere() <= self._budget

    def _is_idle(self, position: int = 0) -> bool:
        """Whether there is nothing to do at this stage and after it."""
        running = any(stage.in_flight for stage in self._stages[position:])
        return not running and not self._outputs and not self._taken

    def _expected(self, position: int, group: tuple[Item, ...] | None) -> int:
        return self._stages[position].expected(group, self._unknown)

    def _launch(self, position: int, group: tuple[Item, ...]) -> Launch:
        stage = self._stages[position]
        for _ in group:
            stage.queue.popleft()
        task = self._next_task
        self._next_task += 1
        expected = self._expected(position, group)
        self._tasks[task] = TaskState(position, group, expected)
        self.held += expected + work_of(group)
        stage.order.append(task)
        stage.in_flight += 1
        return Launch(task, position, tuple(item.key for item in group))
