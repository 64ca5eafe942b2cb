"""Query groups: rows that are ranked against one another, and so stay in one worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from air.errors import InvalidOption

if TYPE_CHECKING:
    from air.data import Dataset


def split_by_group(dataset: Dataset, qid: str, name: str, num_parts: int) -> list[Dataset]:
    """Neighbouring rows in *num_parts* parts of about the same size, cut between groups only.

    Raises:
        InvalidOption: a row belongs to no group, the rows are not in the order of their groups, or
            there are fewer groups to train on than parts.
    """
    column = dataset.select_columns([qid]).to_arrow().column(qid)
    if column.null_count:
        raise InvalidOption(
            f"qid is {qid!r}, which has missing values in the dataset {name!r}: every row belongs "
            "to a group."
        )
    ids = column.to_numpy()
    if (ids[1:] < ids[:-1]).any():
        raise InvalidOption(
            f"The rows of the dataset {name!r} are not in the order of {qid!r}, which is its qid: "
            "rows that are ranked against one another stand together. Sort it by that column "
            "before training."
        )
    starts = np.flatnonzero(ids[1:] != ids[:-1]) + 1
    if name == "train" and len(starts) + 1 < num_parts:
        raise InvalidOption(
            f"The dataset {name!r} has {len(starts) + 1} groups of rows (qid is {qid!r}) for "
            f"{num_parts} workers, and a group stays in one. Use fewer workers: "
            "ScalingConfig(num_workers=...)."
        )
    return (
        dataset.split_at_indices(cuts(starts, len(ids), num_parts)) if num_parts > 1 else [dataset]
    )


def cuts(starts: np.ndarray, num_rows: int, num_parts: int) -> list[int]:
    """Where to cut: ``num_parts - 1`` of *starts*, ascending, nearest to parts of equal size.

    Where there are too few of them the last parts are empty.
    """
    chosen: list[int] = []
    first = 0
    for part in range(1, num_parts):
        still_to_come = num_parts - 1 - part
        last = len(starts) - 1 - still_to_come  # so that each that is to come finds one
        wanted = num_rows * part / num_parts
        best = int(np.abs(starts - wanted).argmin()) if len(starts) else 0
        best = min(max(best, first), max(last, first))
        chosen.append(int(starts[best]) if best < len(starts) else num_rows)
        first = best + 1
    return chosen
