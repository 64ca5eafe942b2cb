"""The code that computes each type of step, a module for those that belong together."""

from __future__ import annotations

from collections.abc import Mapping

from air.data.execution.physical import exchanges, rows
from air.data.execution.run import Operator
from air.data.plan import InputBlocks, Limit, Node, RandomShuffle, Repartition, Sort, TopOf, Union

OPERATORS: Mapping[type[Node], Operator] = {
    InputBlocks: rows.given,
    Limit: rows.limit,
    RandomShuffle: exchanges.random_shuffle,
    Repartition: exchanges.repartition,
    Sort: exchanges.sort,
    TopOf: exchanges.top,
    Union: rows.union,
}
"""All but chains of maps on a source, which :class:`Run` does itself."""
