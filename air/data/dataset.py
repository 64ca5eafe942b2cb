"""Datasets: what a user holds of data that may be large, elsewhere, or not computed yet."""

from __future__ import annotations

from air.data.aggregation import Aggregations
from air.data.methods.access import AccessMethods
from air.data.methods.array_writers import ArrayWriteMethods
from air.data.methods.batch_mapping import BatchMapMethods
from air.data.methods.checkpoints import CheckpointMethods
from air.data.methods.columns import ColumnMethods
from air.data.methods.combining import CombineMethods
from air.data.methods.conversion import ConversionMethods
from air.data.methods.databases import DatabaseMethods
from air.data.methods.epochs import EpochMethods
from air.data.methods.grouping import GroupMethods
from air.data.methods.joining import JoinMethods
from air.data.methods.lakes import LakeWriteMethods
from air.data.methods.mapping import MapMethods
from air.data.methods.plain_writers import PlainWriteMethods
from air.data.methods.sampling import SampleMethods
from air.data.methods.splitting import SplitMethods
from air.data.methods.viewing import ViewMethods


class Dataset(
    MapMethods,
    BatchMapMethods,
    ColumnMethods,
    CombineMethods,
    ConversionMethods,
    SampleMethods,
    GroupMethods,
    JoinMethods,
    SplitMethods,
    ArrayWriteMethods,
    PlainWriteMethods,
    AccessMethods,
    DatabaseMethods,
    LakeWriteMethods,
    CheckpointMethods,
    EpochMethods,
    Aggregations,
    ViewMethods,
):
    """Rows in blocks, with what is to be done to them.

    A row is a dictionary (of a table with columns) or any other plain object. A dataset never
    changes: each method that transforms gives a new one, and runs nothing. Methods that need
    rows (``take``, ``count``, iteration, writing ...) run the plan, streaming, and keep nothing
    of it; :meth:`materialize` keeps the result. The order of rows is always kept.

    Datasets can be sent to tasks and actors.
    """
