"""The logical plan: what a dataset is made of, as immutable nodes that run nothing.

Each node can say what is known of its result without computing it. ``None`` means that it is
not known: only running the plan would tell.
"""

from __future__ import annotations

from air.data.plan.aligned import RandomizeBlockOrder, RandomSample, Zip, apart
from air.data.plan.exchanges import RandomShuffle, Repartition, Sort, TopOf
from air.data.plan.keyed import Aggregate, Distinct, GroupRows, Join
from air.data.plan.node import InputBlocks, Map, Node, Read, Step, part_of, place_of
from air.data.plan.rewriting import rewritten, told_apart
from air.data.plan.rows import Limit, Union, union
from air.data.plan.services import Checkpointed

__all__ = [
    "Aggregate",
    "Checkpointed",
    "Distinct",
    "GroupRows",
    "InputBlocks",
    "Join",
    "Limit",
    "Map",
    "Node",
    "RandomSample",
    "RandomShuffle",
    "RandomizeBlockOrder",
    "Read",
    "Repartition",
    "Sort",
    "Step",
    "TopOf",
    "Union",
    "Zip",
    "apart",
    "part_of",
    "place_of",
    "rewritten",
    "told_apart",
    "union",
]
