"""From Arrow tables to LightGBM's datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from air.train.columns import Columns, array_of, as_numbers
from air.train.lightgbm.library import import_lightgbm

if TYPE_CHECKING:
    import lightgbm


def build_dataset(
    tables: Iterable[pa.Table],
    columns: Columns,
    params: Mapping[str, Any],
    categories: Sequence[str],
    reference: lightgbm.Dataset | None,
) -> lightgbm.Dataset:
    """The dataset of a shard; values go straight from its blocks into bins.

    Args:
        categories: features whose whole numbers are names only, and not more or less.
        reference: the dataset to train on, whose bins the others take over.
    """
    table = pa.concat_tables(tables)  # which refers to the blocks, and copies nothing
    roles = {role: array_of(table, column) for role, column in columns.roles.items()}
    qid = roles.pop("qid", None)
    return import_lightgbm().Dataset(
        as_numbers(table, columns.features),
        label=array_of(table, columns.label),
        group=None if qid is None else sizes_of_groups(qid),
        weight=roles.get("weight"),
        init_score=roles.get("init_score"),
        reference=reference,
        feature_name=list(columns.features),
        categorical_feature=list(categories),
        params=dict(params),
        free_raw_data=True,
    )


def sizes_of_groups(ids: np.ndarray) -> np.ndarray:
    """How many rows each group has, of rows in the order of their groups."""
    if not len(ids):
        return np.array([], dtype=np.int32)
    starts = np.flatnonzero(ids[1:] != ids[:-1]) + 1
    return np.diff(np.concatenate([[0], starts, [len(ids)]])).astype(np.int32)
