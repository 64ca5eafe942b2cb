"""How datasets are made from files of arrays: Arrow's, numpy's, and images."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from air.data.arguments import check_names
from air.data.dataset import Dataset
from air.data.datasources.arrow import ArrowDatasource
from air.data.datasources.images import EXTENSIONS, MODES, ImageDatasource
from air.data.datasources.npy import NumpyDatasource
from air.data.datasources.partitioning import HIVE, Partitioning
from air.data.datasources.paths import PathLike
from air.data.errors import require_columns
from air.data.reading.arguments import REFUSED_BY_READS, given_files
from air.data.reading.datasets import read_datasource
from air.errors import InvalidOption
from air.executor.keywords import refuses, suggests_keywords
from air.executor.validation import (
    check_number,
    listing,
    nearest,
    reject_unknown,
)

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
    given = given_files(
        "read_arrow",
        (".arrow", ".arrows", ".feather", ".ipc"),
        paths,
        filesystem=filesystem,
        partitioning=partitioning,
        ignore_missing_paths=ignore_missing_paths,
        include_paths=include_paths,
    )
    source = ArrowDatasource(given.files, includes_path=given.includes_path).checked()
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
    given = given_files(
        "read_numpy",
        (".npy",),
        paths,
        filesystem=filesystem,
        partitioning=partitioning,
        ignore_missing_paths=ignore_missing_paths,
        include_paths=include_paths,
        arrow_open_stream_args=arrow_open_stream_args,
    )
    source = NumpyDatasource(
        given.files,
        includes_path=given.includes_path,
        opening=given.opening,
        loading=numpy_load_args,
    )
    return read_datasource(source.checked(), parallelism=parallelism)


@suggests_keywords
@refuses(
    **REFUSED_BY_READS,
    arrow_open_file_args="files are opened as they are",
    arrow_open_stream_args="files are opened as they are; compressed ones are known by the ending",
)
def read_images(
    paths: PathLike | Sequence[PathLike],
    *,
    filesystem: Any = None,
    parallelism: int = -1,
    partitioning: Partitioning | None = None,
    size: tuple[int, int] | None = None,
    mode: str | None = None,
    include_paths: bool = False,
    ignore_missing_paths: bool = False,
) -> Dataset:
    """Images as arrays ``(height, width, channels)`` in the column ``image``; needs Pillow.

    Images of grey have the shape ``(height, width)``. Numbers are ``uint8``, save those of images
    of one bit (``bool``), of 16 (``uint16``) or 32 bits (``int32``, ``float32``). Colours of a
    palette are looked up. Of several frames the first one is read, and pixels are as they are
    stored, whatever the file says of orientation.

    If all have one shape, the column holds arrays of that shape (a tensor column); else lists of
    lists, which ``numpy.array(row["image"], "uint8")`` turns into arrays. Where sizes differ,
    *size* and *mode* make them one, and are much faster to work with.

    Args:
        paths, filesystem, parallelism, partitioning, ignore_missing_paths, include_paths: as for
            :func:`read_csv`; a directory's files are those that end with ``.png``, ``.jpg``,
            ``.jpeg``, ``.tif``, ``.tiff``, ``.bmp``, ``.gif`` or ``.webp``.
        size: ``(height, width)`` that images are resized to (bicubic).
        mode: that images are converted to: ``"RGB"``, ``"L"`` (grey), ``"RGBA"``, or another one of
            Pillow's.

    Raises:
        FileNotFoundError: there is no such path; names it and the nearest.
        InvalidOption: an unknown mode, or no size.
        ReadError: a file is no image, or is broken; names it. What comes before the pixels is
            looked at now, of the first 256 files.
        ImportError: Pillow is not installed; says how to install it.
    """
    if mode is not None and mode not in MODES:
        raise InvalidOption(
            f"read_images: unknown mode {mode!r:.80}.{nearest(mode, list(MODES))} It may be"
            f" {listing(list(MODES))}"
        )
    if size is not None:
        if not isinstance(size, (tuple, list)) or len(size) != 2:
            raise InvalidOption(f"read_images: size must be (height, width), got {size!r:.80}")
        what = "read_images: height and width in size"
        height, width = (int(check_number(n, what, minimum=1, integer=True)) for n in size)
        size = (height, width)
    given = given_files(
        "read_images",
        EXTENSIONS,
        paths,
        filesystem=filesystem,
        partitioning=partitioning,
        ignore_missing_paths=ignore_missing_paths,
        include_paths=include_paths,
    )
    source = ImageDatasource(given.files, includes_path=given.includes_path, size=size, mode=mode)
    return read_datasource(source.checked(), parallelism=parallelism)
