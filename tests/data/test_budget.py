"""How a memory budget is divided."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air.data import DataContext
from air.data.blocks.metadata import BlockMetadata
from air.data.budget import Budget, current_budget
from air.data.datasource import ReadTask
from air.data.execution.stages import Stage, Unit, working_bytes

MIB = 1 << 20


@given(st.integers(1, 1 << 40), st.integers(1, 1000), st.integers(1, 1 << 30))
def test_parts_of_a_budget_are_within_it(total, cpus, largest):
    budget = Budget.of(total, cpus, largest)
    assert 0 < budget.block_bytes <= largest
    assert budget.ahead_bytes <= budget.block_bytes <= budget.piece_bytes
    assert 0 <= budget.waiting_bytes <= total // 2
    for apart in (0, budget.waiting_bytes, total):
        assert total // 2 <= budget.beside(apart) <= total
    if total >= 64 * MIB:  # several tasks can do something at the same time
        assert 8 * budget.block_bytes <= total


def test_a_large_budget_has_large_blocks_and_takes_whole_pieces():
    budget = Budget.of(2 << 30, 2, 128 * MIB)
    assert not budget.is_tight
    assert budget.block_bytes == 64 * MIB
    assert budget.waiting_bytes == 1 << 30
    assert budget.reading(100 * MIB) == 100 * MIB
    assert budget.beside(0) == 2 << 30


def test_a_small_budget_counts_what_reading_and_processes_take():
    budget = Budget.of(64 * MIB, 2, 128 * MIB)
    assert budget.is_tight
    assert budget.block_bytes == 2 * MIB
    assert budget.piece_bytes == budget.waiting_bytes == 8 * MIB
    assert budget.reading(10 * MIB) == 15 * MIB
    assert budget.decodes_whole(10 * MIB)
    assert not budget.decodes_whole(100 * MIB)
    assert budget.reading(100 * MIB) == budget.reading(None) < 64 * MIB
    assert budget.beside(0) < 64 * MIB
    # The memory of texts grows by copying, that of one column after the other.
    assert budget.decodes_whole(16 * MIB, largest_varying=8 * MIB)
    assert not budget.decodes_whole(16 * MIB, largest_varying=16 * MIB)


def test_what_readers_hold_is_within_the_smallest_budgets():
    budget = Budget.of(16 * MIB, 2, 128 * MIB)
    assert budget.reading(100 * MIB) == budget.reading(None) == 12 * MIB
    assert budget.decodes_whole(8 * MIB)
    assert not budget.decodes_whole(9 * MIB)


def test_what_a_unit_takes_while_it_is_worked_on():
    budget = Budget.of(64 * MIB, 2, 128 * MIB)
    read = ReadTask(list, BlockMetadata(size_bytes=10 * MIB))
    unknown = ReadTask(list, BlockMetadata())
    assert working_bytes(Unit((read,)), Stage(), budget) == (15 + 8) * MIB
    # One after the other, but for stages that must have all of it.
    assert working_bytes(Unit((read, read)), Stage(), budget) == (15 + 8) * MIB
    gather = Stage(divides=False)
    assert working_bytes(Unit((read, read)), gather, budget) == 4 * 10 * MIB
    assert working_bytes(Unit((unknown,)), Stage(), budget) > budget.reading(None)


@pytest.mark.parametrize("chosen", [1, 64 * MIB])
def test_the_budget_is_what_the_context_says(air_local, monkeypatch, chosen):
    monkeypatch.setattr(DataContext.get_current(), "memory_budget", chosen)
    assert current_budget().total_bytes == chosen


def test_processes_keep_smaller_pieces_of_memory_the_smaller_the_budget_is():
    sizes = [Budget.of(total * MIB, 2, 128 * MIB).kept_piece_bytes for total in (16, 64, 2048)]
    assert sizes == [128 << 10, 512 << 10, None]
