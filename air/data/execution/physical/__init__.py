"""The code that computes each type of step, a module for those that belong together.

A module is imported when a plan has one of its steps: most plans have few or none of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import cast

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

OPERATORS: Mapping[type[Node], str] = {
    Aggregate: "keyed.aggregate",
    Distinct: "distinct.distinct",
    GroupRows: "keyed.group_rows",
    Checkpointed: "checkpointed.checkpointed",
    InputBlocks: "rows.given",
    Join: "joining.join",
    Limit: "rows.limit",
    RandomSample: "aligned.random_sample",
    RandomShuffle: "exchanges.random_shuffle",
    RandomizeBlockOrder: "aligned.randomize_block_order",
    Repartition: "exchanges.repartition",
    Sort: "exchanges.sort",
    TopOf: "exchanges.top",
    Union: "rows.union",
    Zip: "aligned.zipped",
}
"""Module and function, of all but chains of maps on a source, which :class:`Run` does itself."""

GATHERING: Collection[type[Node]] = (GroupRows, RandomShuffle, Repartition)
"""Those whose functions can do the maps that follow where they put rows together."""


def operator_of(step: type[Node]) -> Operator | None:
    """What computes steps of this type; ``None`` for a map or a source."""
    return cast(Operator, _function(OPERATORS[step])) if step in OPERATORS else None


def gathering_of(step: type[Node]) -> Gathering | None:
    """What computes steps of this type together with maps; ``None`` if nothing does."""
    return cast(Gathering, _function(OPERATORS[step])) if step in GATHERING else None


def _function(name: str) -> object:
    module, function = name.split(".")
    found: object = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    return found
