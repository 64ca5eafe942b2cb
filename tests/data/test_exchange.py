"""Shuffles on tasks: the order that a shuffle in one process gives, and memory that is let go."""

from __future__ import annotations

import weakref

import numpy as np
import pyarrow as pa
import pytest

import air
from air.data.execution import exchange
from air.data.execution.exchange import shuffle_here, shuffle_on_tasks
from air.data.handle import BlockHandle

pytestmark = pytest.mark.usefixtures("backend")


def stored(*sizes: int) -> list[BlockHandle]:
    """Handles to stored blocks of so many rows, which hold the numbers from 0 on."""
    handles = []
    start = 0
    for size in sizes:
        block = pa.table({"a": np.arange(start, start + size), "b": np.ones(size)})
        handles.append(BlockHandle.of_ref(air.put(block), BlockHandle.of_block(block).metadata))
        start += size
    return handles


def rows_of(handles):
    return [row["a"] for handle in handles for row in handle.get().to_pylist()]


@pytest.mark.parametrize("sizes", [(5,), (3, 0, 4), (1, 1, 1, 1), (300, 2)])
@pytest.mark.parametrize("parts", [1, 3, 40])
def test_tasks_give_the_order_that_one_process_gives(sizes, parts):
    here = list(shuffle_here(stored(*sizes), 7, parts))
    made = list(shuffle_on_tasks(stored(*sizes), 7, parts))
    assert rows_of(made) == rows_of(here)
    assert sorted(rows_of(made)) == list(range(sum(sizes)))
    assert [handle.num_rows for handle in made] == [handle.num_rows for handle in here]
    assert len(made) == parts


def test_parts_of_blocks_are_shuffled_too():
    parts = [handle.slice(1, 3) for handle in stored(4, 4)]
    assert sorted(rows_of(shuffle_on_tasks(parts, 0, 2))) == [1, 2, 5, 6]


def test_blocks_and_pieces_are_let_go_when_they_have_been_used(monkeypatch):
    handles = stored(4, 4, 4)
    blocks = [weakref.ref(handle.ref()) for handle in handles]
    pieces: list[weakref.ref] = []
    scattered = exchange._scattered

    def noting(*args):
        made = scattered(*args)
        pieces.extend(weakref.ref(piece) for of_block in made for piece in of_block)
        return made

    monkeypatch.setattr(exchange, "_scattered", noting)
    shuffled = shuffle_on_tasks(handles, 0, 3)
    first = next(shuffled)
    assert handles == []
    assert len(pieces) == 9
    assert [reference() for reference in (*blocks, *pieces)] == [None] * 12
    result = weakref.ref(first.ref())
    del first
    assert next(shuffled).num_rows == 4
    assert result() is None
