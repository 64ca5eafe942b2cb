"""The code that computes each type of step, a module for those that belong together."""

from __future__ import annotations

from collections.abc import Mapping

from air.data.execution.physical import (
    aligned,
    checkpointed,
    exchanges,
    joining,
    keyed,
    rows,
)
from air.data.execution.run import Gathering, Operator
from air.data.plan import (
    Aggregate,
    Checkpointed,
    Distinct,
    GroupRows,
    InputBlocks,
    Join,
    Limit,
    Node,
    RandomizeBlockOrder,
    RandomSample,
    RandomShuffle,
    Repartition,
    Sort,
    TopOf,
    Union,
    Zip,
)

OPERATORS: Mapping[type[Node], Operator] = {
    Aggregate: keyed.aggregate,
    Distinct: keyed.distinct,
    GroupRows: keyed.group_rows,
    Checkpointed: checkpointed.checkpointed,
    InputBlocks: rows.given,
    Join: joining.join,
    Limit: rows.limit,
    RandomSample: aligned.random_sample,
    RandomShuffle: exchanges.random_shuffle,
    RandomizeBlockOrder: aligned.randomize_block_order,
    Repartition: exchanges.repartition,
    Sort: exchanges.sort,
    TopOf: exchanges.top,
    Union: rows.union,
    Zip: aligned.zipped,
}
"""All but chains of maps on a source, which :class:`Run` does itself."""

GATHERING: Mapping[type[Node], Gathering] = {GroupRows: keyed.group_rows}
"""Those that can do the maps that follow where they put rows together."""
