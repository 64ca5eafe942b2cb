"""Load, transform and save data of any size: :class:`Dataset` and what makes one.

Names are imported when they are first used, so ``import air.data`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from air.executor import shielded_imports

if TYPE_CHECKING:
    from air.data import aggregate, preprocessor, preprocessors
    from air.data.avro.reading import read_avro
    from air.data.blocks.metadata import BlockMetadata
    from air.data.context import DataContext, set_progress_bars
    from air.data.dask.source import from_dask
    from air.data.dataset import Dataset
    from air.data.datasink import Datasink, WriteContext
    from air.data.datasource import Datasource, ReadTask
    from air.data.datasources.partitioning import Partitioning
    from air.data.delta.reading import read_delta
    from air.data.errors import (
        ColumnNotFound,
        ReadError,
        StaleCheckpoint,
        TooManyErrors,
        UnsuitableData,
        UnsupportedValue,
        WriteError,
    )
    from air.data.expressions.expr import col, if_else, lit
    from air.data.grouped_data import GroupedData
    from air.data.huggingface.making import from_huggingface
    from air.data.iceberg.reading import read_iceberg
    from air.data.iterator import DataIterator
    from air.data.pipeline import DatasetPipeline
    from air.data.polars.making import from_polars
    from air.data.preprocessor import Preprocessor
    from air.data.random_access.dataset import RandomAccessDataset
    from air.data.reading.arrays import read_arrow, read_images, read_numpy
    from air.data.reading.datasets import read_datasource
    from air.data.reading.files import read_binary_files, read_json, read_text
    from air.data.reading.memory import (
        from_arrow,
        from_items,
        from_numpy,
        from_pandas,
        range,
        range_table,
        range_tensor,
    )
    from air.data.reading.records import read_tfrecords, read_webdataset
    from air.data.reading.refs import from_arrow_refs, from_numpy_refs, from_pandas_refs
    from air.data.reading.tables import read_csv, read_parquet
    from air.data.sql.reading import read_sql
    from air.data.tensorflow.making import from_tf
    from air.data.torch.making import from_torch
    from air.data.udf.compute import ActorPoolStrategy

shielded_imports.install()

_HOME = {
    "ActorPoolStrategy": "air.data.udf.compute",
    "BlockMetadata": "air.data.blocks.block",
    "ColumnNotFound": "air.data.errors",
    "DataContext": "air.data.context",
    "DataIterator": "air.data.iterator",
    "Dataset": "air.data.dataset",
    "Datasink": "air.data.datasink",
    "DatasetPipeline": "air.data.pipeline",
    "Datasource": "air.data.datasource",
    "GroupedData": "air.data.grouped_data",
    "Partitioning": "air.data.datasources.partitioning",
    "Preprocessor": "air.data.preprocessor",
    "RandomAccessDataset": "air.data.random_access.dataset",
    "ReadError": "air.data.errors",
    "ReadTask": "air.data.datasource",
    "StaleCheckpoint": "air.data.errors",
    "TooManyErrors": "air.data.errors",
    "UnsuitableData": "air.data.errors",
    "UnsupportedValue": "air.data.errors",
    "WriteContext": "air.data.datasink",
    "WriteError": "air.data.errors",
    "col": "air.data.expressions.expr",
    "from_arrow": "air.data.reading.memory",
    "from_arrow_refs": "air.data.reading.refs",
    "from_dask": "air.data.dask.source",
    "from_huggingface": "air.data.huggingface.making",
    "from_items": "air.data.reading.memory",
    "from_numpy": "air.data.reading.memory",
    "from_numpy_refs": "air.data.reading.refs",
    "from_pandas": "air.data.reading.memory",
    "from_pandas_refs": "air.data.reading.refs",
    "from_polars": "air.data.polars.making",
    "from_tf": "air.data.tensorflow.making",
    "from_torch": "air.data.torch.making",
    "if_else": "air.data.expressions.expr",
    "lit": "air.data.expressions.expr",
    "range": "air.data.reading.memory",
    "range_table": "air.data.reading.memory",
    "range_tensor": "air.data.reading.memory",
    "read_arrow": "air.data.reading.arrays",
    "read_avro": "air.data.avro.reading",
    "read_binary_files": "air.data.reading.files",
    "read_csv": "air.data.reading.tables",
    "read_datasource": "air.data.reading.datasets",
    "read_delta": "air.data.delta.reading",
    "read_iceberg": "air.data.iceberg.reading",
    "read_images": "air.data.reading.arrays",
    "read_json": "air.data.reading.files",
    "read_numpy": "air.data.reading.arrays",
    "read_parquet": "air.data.reading.tables",
    "read_sql": "air.data.sql.reading",
    "read_text": "air.data.reading.files",
    "read_tfrecords": "air.data.reading.records",
    "read_webdataset": "air.data.reading.records",
    "set_progress_bars": "air.data.context",
}
_SUBMODULES = {"aggregate", "preprocessor", "preprocessors"}

__all__ = sorted((*_HOME, *_SUBMODULES))


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f"air.data.{name}")
    else:
        from air.executor.validation import nearest

        message = f"module 'air.data' has no attribute {name!r}.{nearest(name, __all__)}"
        raise AttributeError(message)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
