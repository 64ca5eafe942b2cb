from __future__ import annotations

import sys

import pyarrow as pa
import pytest

from air import data
from air.data.blocks.metadata import BlockMetadata
from air.data.datasource import ReadTask
from air.data.each_block import through
from air.data.execution.placement import (
    SMALL_BYTES,
    Placement,
    Probation,
    decide,
)
from air.data.execution.stages import Stage, Unit, fuse, grouped
from air.data.plan import Map


class Adder:
    def __call__(self, row):
        return row


def stages_of(ds, *, reads=False, limit=None):
    maps = [node for node in ds.plan.walk() if isinstance(node, Map)]
    return fuse(maps[::-1], reads=reads, limit=limit)


def names_of(stages):
    return [stage.name for stage in stages]


items = data.from_items([{"a": 1}])


def test_operators_that_ask_for_nothing_share_a_stage():
    stages = stages_of(items.map(dict).filter(bool).select_columns("a"), reads=True)
    assert names_of(stages) == ["map(dict) -> filter(bool) -> select_columns('a')"]


def test_reading_alone_is_a_stage():
    assert names_of(stages_of(items, reads=True)) == ["read"]
    assert stages_of(items) == []


def test_a_pool_begins_a_stage_and_what_runs_no_user_code_joins_it():
    ds = items.map(dict).map(Adder, concurrency=2).select_columns("a").map(dict)
    assert names_of(stages_of(ds, reads=True)) == [
        "map(dict)",
        "map(Adder) -> select_columns('a')",
        "map(dict)",
    ]


def test_a_pool_gets_blocks_not_read_tasks():
    ds = items.map(Adder, concurrency=2)
    assert names_of(stages_of(ds, reads=True)) == ["read", "map(Adder)"]
    assert names_of(stages_of(ds)) == ["map(Adder)"]


def test_operators_share_a_stage_only_with_equal_resources():
    ds = items.map(dict, num_cpus=2).map(dict, num_cpus=2).map(dict, num_cpus=1).map(dict)
    assert names_of(stages_of(ds)) == ["map(dict) -> map(dict)", "map(dict)", "map(dict)"]


def test_no_unit_gives_more_than_a_limit():
    assert names_of(stages_of(items.filter(bool), limit=5)) == ["filter(bool) -> limit(5)"]


def test_the_first_batch_size_decides_how_blocks_are_put_together():
    assert Stage().min_rows == 0
    (stage,) = stages_of(items.map(dict).map_batches(dict, batch_size=10))
    assert stage.min_rows == 10
    (stage,) = stages_of(items.filter(bool).map_batches(dict, batch_size=10))
    assert stage.min_rows == 0
    (stage,) = stages_of(items.map_batches(dict))
    assert stage.min_rows == 0


def unit(rows):
    return Unit((ReadTask(list, BlockMetadata(num_rows=rows)),))


def test_small_units_are_put_together_in_order():
    units = [unit(n) for n in (1, 2, 3, 10, 1, None, 4)]
    sizes = [[p.metadata.num_rows for p in u.pieces] for u in grouped(units, 5)]
    assert sizes == [[1, 2, 3], [10], [1, None], [4]]
    assert list(grouped(units, 0)) == units


# Where stages run -----------------------------------------------------------------------------


def placed(ds, *, size, units, limited=False, stay=False, parallel=True, reads=False):
    def can_run_in_parallel():
        assert parallel is not None, "asked although it does not matter"
        return parallel

    return decide(
        stages_of(ds, reads=reads),
        size_bytes=size,
        num_units=units,
        limited=limited,
        stay=stay,
        can_run_in_parallel=can_run_in_parallel,
    )


LARGE = SMALL_BYTES + 1


def test_small_data_stays_here_without_asking_for_a_backend():
    here = Placement.HERE
    assert placed(items.select_columns("a"), size=SMALL_BYTES, units=9, parallel=None) is here
    assert placed(items.map(dict), size=SMALL_BYTES, units=1, parallel=None) is here
    assert placed(items.map(Adder), size=10, units=1, parallel=None) is here
    assert placed(items, size=None, units=None, parallel=None) is here


def test_user_code_on_several_small_units_is_on_probation():
    assert placed(items.map(dict), size=10, units=2, parallel=None) is Placement.PROBE
    assert placed(items.map(dict), size=None, units=2, parallel=None) is Placement.PROBE
    few = placed(items.filter(bool), size=LARGE, units=2, limited=True, parallel=None)
    assert few is Placement.PROBE


def test_large_data_goes_to_tasks_where_they_run_in_parallel():
    assert placed(items.select_columns("a"), size=LARGE, units=1) is Placement.TASKS
    assert placed(items.map(dict), size=LARGE, units=4) is Placement.TASKS
    assert placed(items.map(dict), size=LARGE, units=4, parallel=False) is Placement.HERE
    assert placed(items.map(dict), size=LARGE, units=4, stay=True, parallel=None) is Placement.HERE


def test_what_is_asked_for_is_given_however_small_the_data():
    for asked in (items.map(dict, num_cpus=2), items.map(Adder, concurrency=1)):
        assert placed(asked, size=1, units=1) is Placement.TASKS
        assert placed(asked, size=1, units=1, parallel=False) is Placement.HERE


def test_units_that_are_put_together_later_do_not_move_midway():
    ds = items.map(dict).map_batches(Adder, batch_size=10)
    assert placed(ds, size=10, units=5, parallel=None) is Placement.HERE
    assert placed(ds, size=None, units=5) is Placement.TASKS


def test_probation_ends_when_much_slow_work_is_left():
    probation = Probation(10, backend_runs=True)
    assert not probation.proves_slow
    probation.unit_took(0.5)
    assert not probation.proves_slow  # it may have been imports
    probation.unit_took(0.1)
    assert probation.proves_slow


def test_probation_forgives_a_slow_start_and_a_slow_end():
    probation = Probation(10, backend_runs=True)
    probation.unit_took(0.5)
    probation.unit_took(0.001)
    assert not probation.proves_slow
    last = Probation(3, backend_runs=True)
    last.unit_took(0.15)
    last.unit_took(0.15)
    assert not last.proves_slow


def test_one_very_slow_unit_is_enough():
    for num_units in (None, 3):
        probation = Probation(num_units, backend_runs=False)
        probation.unit_took(2.0)
        assert probation.proves_slow


def test_starting_a_backend_takes_more_to_be_worth_it():
    for backend_runs in (True, False):
        probation = Probation(10, backend_runs=backend_runs)
        probation.unit_took(0.1)
        probation.unit_took(0.1)
        assert probation.proves_slow == backend_runs


def test_a_chain_of_hundreds_of_steps_for_each_block_is_one_stage(placement):
    limit = sys.getrecursionlimit()
    ds = data.range_table(3)
    for _ in range(300):  # which is 600 steps
        ds = ds.with_column("value", data.col("value") + 1).map(lambda row: row)
    assert len(stages_of(ds)) == 1
    assert [row["value"] for row in ds.take_all()] == [300, 301, 302]
    assert sys.getrecursionlimit() == limit


def test_a_chain_of_hundreds_of_steps_that_ask_for_blocks_is_a_few_stages(placement):
    async def same(row):
        return row

    limit = sys.getrecursionlimit()
    batches = rows = data.range_table(3)
    for _ in range(150):
        batches = batches.map_batches(lambda batch: batch).select_columns("value")
        rows = rows.map(same)
    for ds in (batches, rows):
        assert len(stages_of(ds)) == 3
        assert [row["value"] for row in ds.take_all()] == [0, 1, 2]
    assert sys.getrecursionlimit() == limit


def test_steps_for_each_block_give_in_order_what_they_are_given():
    seen = []

    def noted(block, before, name):
        seen.append((name, before, block))
        return [block[:1], block[1:]] if name == "halves" else [[*block, "x"]]

    steps = [(noted, "halves"), (noted, "longer")]
    made = through(steps, iter([["a", "b"], ["c"]]))
    assert next(made) == ["a", "x"]
    assert seen == [("halves", 0, ["a", "b"]), ("longer", 0, ["a"])]
    assert list(made) == [["b", "x"], ["c", "x"], ["x"]]
    assert [(before, block) for name, before, block in seen if name == "longer"] == [
        (0, ["a"]),
        (1, ["b"]),
        (2, ["c"]),
        (3, []),
    ]


def test_a_step_for_each_block_keeps_what_it_was_told_of_rows(placement):
    # The second function fails for a row that the first one was given as another.
    ds = data.from_arrow(pa.table({"a": range(6)})).filter(lambda row: row["a"] != 1)
    ds = ds.map(lambda row: {"b": 1 // (row["a"] - 4)})
    with pytest.raises(ZeroDivisionError) as raised:
        ds.take_all()
    assert any("at row 3 of its input" in note for note in raised.value.__notes__)


def test_what_many_exchanges_gave_is_named_by_its_ends():
    first, last = (ReadTask(list, BlockMetadata(source=name)) for name in ("a to b", "c"))
    unit = Unit((first, last))
    assert unit.source == "a to b ... c"
    both = Unit((ReadTask(list, BlockMetadata(source=unit.source)), last))
    assert both.source == "a to b ... c"
    ds = data.range_table(8)
    for _ in range(40):  # the name would have as many letters as a large disk has bytes
        ds = ds.sort("value", descending=True)
    assert ds.take(1) == [{"value": 7}]
