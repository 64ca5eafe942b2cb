"""What to start next: a state machine without clock, thread or I/O.

A *segment* is a row of stages. Units of work enter at the first; what a task of one stage gives
becomes input of the next; what the last gives is output. Everything keeps its order: blocks
leave a stage in the order in which its tasks were started, and those of one task in the order
in which it gave them. A task that is ahead of its turn may run and finish; its blocks wait.

The machine is told what happens (``input_arrived``, ``block_arrived``, ``task_ended``,
``output_taken``) and asked what to do (``next_launch``, ``wants_input``, ``next_output``).

Memory. ``held`` counts every block that a task has given and nobody is done with, and what
running tasks are expected to give. Input of the first stage does not count: it is not read yet,
or stored by someone else. A task starts if that keeps the sum within the budget; later stages
go first, and are charged only what they give beyond what they use up, so that memory drains
towards the output. If nothing runs and nothing waits to be taken, one task starts whatever it
costs, so there is always progress.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StageLimits:
    """What the machine must know of a stage.

    Attributes:
        max_in_flight: tasks that may run or wait for a process at the same time.
        min_rows: blocks from the stage before are put together until they have so many rows.
    """

    max_in_flight: int
    min_rows: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of data between stages; the caller's ``key`` says which.

    ``rows`` and ``size`` are ``None`` where they are not known before reading.
    """

    key: int
    rows: int | None
    size: int | None


@dataclass(frozen=True, slots=True)
class Launch:
    """Start a task of a stage on some items."""

    task: int
    stage: int
    keys: tuple[int, ...]


@dataclass(slots=True)
class _Task:
    stage: int
    inputs: tuple[Item, ...]
    expected: int
    given: int = 0
    waiting: deque[Item] = field(default_factory=deque)
    ended: bool = False


@dataclass(slots=True)
class _StageState:
    limits: StageLimits
    queue: deque[Item] = field(default_factory=deque)
    order: deque[int] = field(default_factory=deque)
    in_flight: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    tasks_ended: int = 0


class Scheduler:
    """Decides for one segment; see the module's text."""

    def __init__(
        self, stages: Sequence[StageLimits], *, budget_bytes: int, unknown_bytes: int
    ) -> None:
        """Begin without any input.

        Args:
            budget_bytes: for :attr:`held`.
            unknown_bytes: what the first task with input of unknown size may give.
        """
        self._stages = [_StageState(limits) for limits in stages]
        self._tasks: dict[int, _Task] = {}
        self._outputs: deque[Item] = deque()
        self._taken: dict[int, Item] = {}
        self._budget = budget_bytes
        self._unknown = unknown_bytes
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
        self.held += size - min(size, self._still_expected(state))
        state.given += size
        state.waiting.append(item)
        self._pass_on(state.stage)

    def task_ended(self, task: int) -> None:
        """A task gave its last block; what it was working on is free."""
        state = self._tasks[task]
        stage = self._stages[state.stage]
        self.held -= self._still_expected(state)
        state.ended = True
        stage.in_flight -= 1
        stage.tasks_ended += 1
        stage.bytes_in += sum(item.size or 0 for item in state.inputs)
        stage.bytes_out += state.given
        if state.stage:
            self.held -= sum(item.size or 0 for item in state.inputs)
        self._pass_on(state.stage)

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
        return self._is_idle() or self.held + self._expected(first, None) <= self._budget

    def next_output(self) -> int | None:
        """The key of the next block of the result, if it is there; then it is being used."""
        if not self._outputs:
            return None
        item = self._outputs.popleft()
        self._taken[item.key] = item
        return item.key

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
        expected = sum(self._still_expected(t) for t in self._tasks.values() if not t.ended)
        inside = [item for stage in self._stages[1:] for item in stage.queue]
        inside += [i for t in self._tasks.values() if t.stage and not t.ended for i in t.inputs]
        inside += [item for task in self._tasks.values() for item in task.waiting]
        inside += [*self._outputs, *self._taken.values()]
        assert self.held == expected + sum(item.size or 0 for item in inside)

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
        extra = self._expected(self._stages[position], group)
        if position:
            extra -= sum(item.size or 0 for item in group)
        return extra <= 0 or self.held + extra <= self._budget or self._is_idle()

    def _is_idle(self) -> bool:
        running = any(stage.in_flight for stage in self._stages)
        return not running and not self._outputs and not self._taken

    def _expected(self, stage: _StageState, group: tuple[Item, ...] | None) -> int:
        """Bytes that a task would give, by what the stage's tasks gave so far."""
        sizes = [item.size for item in group] if group else [None]
        if None in sizes or (stage.tasks_ended and not stage.bytes_in):
            return stage.bytes_out // stage.tasks_ended if stage.tasks_ended else self._unknown
        total = sum(size for size in sizes if size is not None)
        return total * stage.bytes_out // stage.bytes_in if stage.bytes_in else total

    def _still_expected(self, task: _Task) -> int:
        return max(task.expected - task.given, 0)

    def _launch(self, position: int, group: tuple[Item, ...]) -> Launch:
        stage = self._stages[position]
        for _ in group:
            stage.queue.popleft()
        task = self._next_task
        self._next_task += 1
        expected = self._expected(stage, group)
        self._tasks[task] = _Task(position, group, expected)
        self.held += expected
        stage.order.append(task)
        stage.in_flight += 1
        return Launch(task, position, tuple(item.key for item in group))
