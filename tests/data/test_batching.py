from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from air.data.batching.batches import Batches
from air.data.batching.regrouping import (
    RowQueue,
    at_least,
    first_rows,
    joined,
    joined_bytes,
    rebatch,
    shuffled,
)
from air.data.blocks.block import accessor, concat

sizes = st.lists(st.integers(0, 7), max_size=8)


def make_blocks(lengths: list[int], as_tables: bool) -> tuple[list, list[int]]:
    """Blocks of the given lengths, numbered through, and the numbers."""
    blocks, start = [], 0
    for length in lengths:
        numbers = list(range(start, start + length))
        blocks.append(pa.table({"n": pa.array(numbers, pa.int64())}) if as_tables else numbers)
        start += length
    return blocks, list(range(start))


def numbers_in(block) -> list[int]:
    return [row["n"] if isinstance(row, dict) else row for row in accessor(block).rows()]


@given(sizes, st.booleans(), st.integers(1, 9), st.booleans())
def test_batches_have_one_size_and_all_rows_in_order(lengths, as_tables, batch_size, drop_last):
    blocks, numbers = make_blocks(lengths, as_tables)
    batches = [numbers_in(b) for b in rebatch(blocks, batch_size, drop_last=drop_last)]
    expected = [numbers[i : i + batch_size] for i in range(0, len(numbers), batch_size)]
    if drop_last and expected and len(expected[-1]) < batch_size:
        expected.pop()
    assert batches == expected


def test_without_a_size_blocks_pass_as_they_are():
    blocks, _ = make_blocks([2, 0, 3], as_tables=True)
    assert list(rebatch(blocks, None)) == [blocks[0], blocks[2]]


@given(sizes, st.booleans(), st.integers(0, 30))
def test_first_rows(lengths, as_tables, count):
    blocks, numbers = make_blocks(lengths, as_tables)
    found = [n for block in first_rows(blocks, count) for n in numbers_in(block)]
    assert found == numbers[:count]


def test_first_rows_asks_for_no_more_blocks_than_it_needs():
    def blocks():
        yield [1, 2]
        yield [3, 4]
        pytest.fail("asked for a third block")

    assert [*first_rows(blocks(), 4)] == [[1, 2], [3, 4]]


@given(sizes, st.booleans(), st.integers(1, 5), st.integers(1, 9), st.integers(0, 3))
def test_shuffling_keeps_every_row_once(lengths, as_tables, batch_size, buffer_size, seed):
    blocks, numbers = make_blocks(lengths, as_tables)
    batches = [
        numbers_in(b) for b in shuffled(blocks, batch_size, buffer_size=buffer_size, seed=seed)
    ]
    assert sorted(n for batch in batches for n in batch) == numbers
    assert all(len(batch) == batch_size for batch in batches[:-1])


@given(st.integers(0, 40), st.integers(1, 39), st.integers(1, 5), st.integers(1, 9))
def test_the_order_does_not_depend_on_the_blocks(rows, cut, batch_size, buffer_size):
    one, _ = make_blocks([rows], as_tables=True)
    two, _ = make_blocks([min(cut, rows), rows - min(cut, rows)], as_tables=True)
    orders = [
        [numbers_in(b) for b in shuffled(blocks, batch_size, buffer_size=buffer_size, seed=1)]
        for blocks in (one, two)
    ]
    assert orders[0] == orders[1]


def test_shuffling_mixes_and_leaves_out_the_last():
    blocks, numbers = make_blocks([100], as_tables=False)
    batches = list(shuffled(blocks, 30, buffer_size=50, seed=7, drop_last=True))
    assert [len(batch) for batch in batches] == [30, 30, 30]
    assert concat(batches) != numbers[:90]


def test_a_queue_gives_parts_of_one_block_without_copying():
    table = pa.table({"n": [1, 2, 3]})
    queue = RowQueue()
    queue.push(table)
    assert queue.take(3) is table
    queue.push(table)
    part = queue.take(2)
    assert part["n"].chunk(0).buffers()[1].address == table["n"].chunk(0).buffers()[1].address
    assert queue.num_rows == 1


@given(sizes, st.booleans(), st.integers(1, 200), st.booleans())
def test_joined_blocks_hold_the_same_rows(lengths, as_tables, target, at_once):
    blocks, numbers = make_blocks(lengths, as_tables)
    made = list(joined(blocks, target, at_once=at_once))
    assert [number for block in made for number in numbers_in(block)] == numbers
    assert len(made) <= max(len(blocks), 1)
    if not any(lengths):
        assert len(made) == min(len(blocks), 1)


@given(sizes, st.booleans(), st.integers(1, 9))
def test_blocks_of_at_least_so_many_rows_hold_the_same_rows(lengths, as_tables, num_rows):
    blocks, numbers = make_blocks(lengths, as_tables)
    made = list(at_least(blocks, num_rows))
    assert [number for block in made for number in numbers_in(block)] == numbers
    assert all(num_rows <= len(block) < num_rows + 7 for block in made[:-1])


@pytest.mark.parametrize(
    ("block_mib", "joined_mib"), [(1, 2), (8, 2), (16, 4), (32, 8), (128, 8), (1 << 40, 8)]
)
def test_how_large_joined_blocks_become_follows_from_the_budget(block_mib, joined_mib):
    assert joined_bytes(block_mib << 20) == joined_mib << 20


def test_joined_blocks_grow():
    blocks, _ = make_blocks([1] * 40, as_tables=True)  # 8 bytes each
    assert [len(block) for block in joined(blocks, 80)] == [1, 1, 2, 4, 8, 10, 10, 4]
    assert [len(block) for block in joined(blocks, 80, at_once=False)] == [10, 10, 10, 10]
    assert next(joined(blocks, 80))["n"].num_chunks == 1


def test_blocks_of_different_kinds_are_not_joined():
    kinds = [pa.table({"n": [1]}), pa.table({"n": ["x"]}), [1], [2]]
    assert [len(block) for block in at_least(kinds, 1000)] == [1, 1, 2]
    assert [len(block) for block in joined(kinds, 1000, at_once=False)] == [1, 1, 2]


def test_what_is_there_before_an_error_comes_out():
    def broken():
        yield from make_blocks([1, 1, 1], as_tables=True)[0]
        raise KeyError("broken")

    for made in (joined(broken(), 1000, at_once=False), at_least(broken(), 1000)):
        assert numbers_in(next(made)) == [0, 1, 2]
        with pytest.raises(KeyError):
            next(made)


@pytest.mark.parametrize(
    ("rows", "batch_size", "drop_last", "count"),
    [
        (10, 4, False, 3),
        (10, 4, True, 2),
        (8, 4, False, 2),
        (0, 4, False, 0),
        (None, 4, False, None),
        (10, None, False, None),
    ],
)
def test_the_number_of_batches_is_known_where_that_of_rows_is(
    rows: int | None, batch_size: int | None, drop_last: bool, count: int | None
) -> None:
    options = Batches(
        prefetch_batches=1,
        batch_size=batch_size,
        drop_last=drop_last,
        local_shuffle_buffer_size=None,
        local_shuffle_seed=None,
    )
    assert options.count(rows) == count
    if rows is not None and count is not None:
        assert len(list(options.of_blocks([list(range(rows))]))) == count


def test_shares_of_batches_are_all_of_them() -> None:
    options = Batches(
        prefetch_batches=1,
        batch_size=3,
        drop_last=False,
        local_shuffle_buffer_size=5,
        local_shuffle_seed=7,
    )

    def numbers(options: Batches) -> list[list[int]]:
        return [cut.to_batch("default") for cut in options.of_blocks([list(range(20))])]

    shares = [numbers(replace(options, share=(index, 3))) for index in range(3)]
    assert [len(share) for share in shares] == [3, 2, 2]
    assert [shares[i % 3][i // 3] for i in range(7)] == numbers(options)
