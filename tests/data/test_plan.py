from __future__ import annotations

import pyarrow as pa
import pytest

from air import data
from air.data import optimizer
from air.data.blocks.metadata import BlockMetadata
from air.data.datasource import Datasource, ReadTask
from air.data.optimizer import optimize
from air.data.plan import InputBlocks, Limit, Map, Node, Read
from air.data.transforms import SelectColumns


class Wide(Datasource):
    """Ten rows of three columns, of which any can be read alone."""

    def __init__(self, names=("a", "b", "c")):
        self.names = names

    def get_read_tasks(self, parallelism):
        table = pa.table({name: list(range(10)) for name in self.names})
        return [ReadTask(lambda: [table], BlockMetadata(num_rows=10))]

    def columns(self):
        return list(self.names)

    def num_rows(self):
        return 10

    def with_columns(self, columns):
        return Wide(columns)


def steps(node: Node) -> list[str]:
    return [step.name for step in node.walk()]


def wide():
    return data.read_datasource(Wide(), parallelism=1)


def test_a_plan_tells_what_it_knows_without_running():
    ds = wide().add_column("d", lambda frame: frame["a"]).drop_columns("b").limit(4)
    assert ds.plan.columns() == ["a", "c", "d"]
    assert ds.plan.num_rows() == 4
    assert wide().rename_columns({"a": "x"}).plan.columns() == ["x", "b", "c"]
    assert wide().union(wide()).plan.num_rows() == 20
    assert wide().random_shuffle(seed=1).repartition(3).plan.num_blocks() == 3


def test_a_plan_does_not_guess():
    ds = wide()
    assert ds.map(dict).plan.columns() is None
    assert ds.filter(bool).plan.columns() == ["a", "b", "c"]
    assert ds.filter(bool).plan.num_rows() is None
    assert ds.map(dict).plan.num_rows() == 10
    assert ds.flat_map(list).plan.num_rows() is None
    assert ds.filter(bool).limit(3).plan.num_rows() is None
    assert ds.filter(bool).union(ds).plan.num_rows() is None


@pytest.mark.parametrize(
    ("pick", "read"),
    [
        (lambda ds: ds.select_columns(["c", "a"]), ("c", "a")),
        (lambda ds: ds.drop_columns(["b"]), ("a", "c")),
        (lambda ds: ds.drop_columns(["b"]).select_columns("c"), ("a", "c")),
    ],
)
def test_columns_that_are_picked_are_the_only_ones_read(pick, read):
    plan = optimize(pick(wide()).plan)
    sources = [node.source.names for node in plan.walk() if isinstance(node, Read)]
    assert sources == [read]
    assert pick(wide()).to_arrow().column_names == pick(wide()).columns()


def test_columns_that_functions_may_use_are_read():
    plan = optimize(wide().map(dict).select_columns("a").plan)
    assert [node.source.names for node in plan.walk() if isinstance(node, Read)] == [
        ("a", "b", "c")
    ]


def test_limits_move_under_operators_that_keep_rows():
    ds = wide().map(dict).select_columns("a").limit(7).limit(3)
    assert steps(optimize(ds.plan)) == ["select_columns('a')", "map(dict)", "limit(3)", "ReadWide"]
    kept = wide().filter(bool).limit(3)
    assert steps(optimize(kept.plan)) == ["limit(3)", "filter(bool)", "ReadWide"]


def test_limits_cut_blocks_that_exist():
    ds = data.from_items(list(range(10)), parallelism=5).map(str).limit(3)
    plan = optimize(ds.plan)
    assert isinstance(plan, Map)
    assert isinstance(plan.input, InputBlocks)
    assert [handle.num_rows for handle in plan.input.handles] == [2, 1]
    assert ds.take_all() == ["0", "1", "2"]
    nothing = optimize(data.from_items([{"a": 1}]).limit(0).plan)
    assert nothing.columns() == ["a"]


def test_optimizing_changes_nothing_that_is_fine():
    plan = wide().map(dict).plan
    assert optimize(plan) is plan
    both = wide().union(wide()).plan
    assert optimize(both) is both
    limited = Limit(wide().union(wide().select_columns("a")).plan, 3)
    union = optimize(limited).inputs[0]
    assert steps(union) == ["union", "ReadWide", "select_columns('a')", "ReadWide"]


def test_a_missing_column_is_left_for_its_operator_to_name():
    node = Map(wide().plan, SelectColumns(("nope",)))
    assert optimize(node) is node


def test_steps_that_no_rule_changes_any_more_are_not_looked_at_again(monkeypatch):
    seen = []
    rules = (*optimizer.RULES, lambda node: seen.append(node))
    monkeypatch.setattr(optimizer, "RULES", rules)
    ds = data.range_table(3)
    for number in range(50):
        ds = ds.with_column(f"c{number}", data.col("value") + number)
    optimizer.optimize(ds.limit(2).plan)
    assert len(seen) < 10 * 50
