"""How datasets are made from files of arrays: Arrow's and numpy's."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from air.data.arguments import check_names, check_opening
from air.data.dataset import Dataset
from air.data.datasources.arrow import ArrowDatasource
from air.data.datasources.npy import NumpyDatasource
from air.data.datasources.partitioning import HIVE, Partitioning
from air.data.datasources.paths import PathLike
from air.data.errors import require_columns
from air.data.read_api import REFUSED_BY_READS, files_of, read_datasource
from air.errors import InvalidOption
from air.executor.keywords import refuses, suggests_keywords
from air.executor.validation import check_flag, reject_unknown

_REFUSED_BY_NUMPY = {
    **REFUSED_BY_READS,
    "mmap_mode": "files may be on any file system; large arrays are read piece by piece",
}


@suggests_keywords
@refuses(**REFUSED_BY_READS, memory_map="files may be on any file system; batches are read apart")
def read_arrow(
    paths: PathLike | Sequence[PathLike],
    *,
    filesystem: Any = None,
    columns: Sequence[str] | None = None,
    parallelism: int = -1,
    partitioning: Partitioning | None = HIVE,
    ignore_missing_paths: bool = False,
    include_paths: bool = False,
) -> Dataset:
    """The rows of Arrow IPC files and streams, and of Feather files (version 2: the same format).

    Every type comes back as it was. Record batches of a file are read in parallel. Files may
    differ in their columns and types, as those of :func:`read_csv` may.

    Args:
        paths, filesystem, parallelism, partitioning, ignore_missing_paths, include_paths: as for
            :func:`read_csv`; a directory's files are those that end with ``.arrow``, ``.arrows``,
            ``.feather`` or ``.ipc``.
        columns: the columns to read; ``select_columns`` right after has the same effect.

    Raises:
        FileNotFoundError: there is no such path; names it and the nearest.
        ColumnNotFound: no file has such a column.
        ReadError: a file is in neither format, or a column has types in two files that do not go
            together; of the first 256 files this is found out now.
    """
    wanted = None if columns is None else check_names("read_arrow: columns", columns)
    extensions = (".arrow", ".arrows", ".feather", ".ipc")
    files = files_of(
        "read_arrow", paths, filesystem, extensions, partitioning, ignore_missing_paths
    )
    includes = check_flag(include_paths, "read_arrow: include_paths")
    source = ArrowDatasource(files, includes_path=includes).checked()
    if wanted is not None:
        assert source.common is not None
        require_columns(wanted, source.common.names, "read_arrow")
        source = source.with_columns(wanted)
    return read_datasource(source, parallelism=parallelism)


def read_numpy(
    paths: PathLike | Sequence[PathLike],
    *,
    filesystem: Any = None,
    parallelism: int = -1,
    partitioning: Partitioning | None = None,
    ignore_missing_paths: bool = False,
    include_paths: bool = False,
    arrow_open_stream_args: Mapping[str, Any] | None = None,
    **numpy_load_args: Any,
) -> Dataset:
    """The items of numpy arrays (``.npy``) along their first dimension, as the column ``data``.

    Arrays with more dimensions give arrays of one shape. Files are pieces of the data; within one,
    large arrays are read bit by bit.

    Args:
        paths, filesystem, parallelism, partitioning, ignore_missing_paths, include_paths,
            arrow_open_stream_args: as for :func:`read_csv`; a directory's files are those that end
            with ``.npy``.
        numpy_load_args: as ``numpy.load`` takes; ``allow_pickle=True`` for arrays of objects, from
            sources that you trust: unpickling runs code.

    Raises:
        FileNotFoundError: there is no such path; names it and the nearest.
        InvalidOption: an unknown option; names the nearest.
        ReadError: a file is no ``.npy`` file, is cut short, holds objects or a single value, or
            numbers that Arrow has no type for, such as complex ones; names it. Of the first 256
            files most of this is found out now.
    """
    for name in numpy_load_args:
        if name in _REFUSED_BY_NUMPY:
            raise InvalidOption(f"read_numpy has no option {name!r}: {_REFUSED_BY_NUMPY[name]}")
    own = set(inspect.signature(read_numpy).parameters) - {"paths", "numpy_load_args"}
    known = set(inspect.signature(np.load).parameters) - {"file", *_REFUSED_BY_NUMPY}
    reject_unknown(numpy_load_args, sorted(own | known), what="read_numpy")
    opening = check_opening("read_numpy", arrow_open_stream_args)
    files = files_of("read_numpy", paths, filesystem, (".npy",), partitioning, ignore_missing_paths)
    source = NumpyDatasource(
        files,
        includes_path=check_flag(include_paths, "read_numpy: include_paths"),
        opening=opening,
        loading=numpy_load_args,
    )
    return read_datasource(source.checked(), parallelism=parallelism)
