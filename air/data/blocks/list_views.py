"""Lists that say where in memory each of them is, from and to lists one behind the other."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc


def list_type(kind: pa.DataType) -> pa.DataType:
    """The type of lists one behind the other for a type of views."""
    lists = pa.large_list if pa.types.is_large_list_view(kind) else pa.list_
    return lists(kind.value_field)


def as_lists(views: pa.Array) -> pa.Array:
    """The lists of :func:`list_type`. Arrow's own cast (26) gives one offset too few."""
    sizes = pc.fill_null(pc.list_value_length(views), 0).to_numpy()
    made = pa.LargeListArray if pa.types.is_large_list_view(views.type) else pa.ListArray
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(sizes.dtype)
    missing = views.is_null() if views.null_count else None
    kind = list_type(views.type)
    return made.from_arrays(pa.array(offsets), views.flatten(), type=kind, mask=missing)


def as_views(lists: pa.Array, kind: pa.DataType) -> pa.Array:
    """Views of the type *kind* of the lists of the type :func:`list_type` has for it."""
    sizes = pc.fill_null(pc.list_value_length(lists), 0)
    view = pa.LargeListViewArray if pa.types.is_large_list_view(kind) else pa.ListViewArray
    missing = lists.is_null() if lists.null_count else None
    offsets = pa.array(lists.offsets.to_numpy()[:-1])  # of a slice, they would begin elsewhere
    return view.from_arrays(offsets, sizes, lists.values, type=kind, mask=missing)
