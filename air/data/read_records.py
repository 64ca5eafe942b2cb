"""How datasets are made from files of records that training programs read one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from air.data.arguments import check_opening
from air.data.dataset import Dataset
from air.data.datasources.partitioning import Partitioning
from air.data.datasources.paths import PathLike
from air.data.read_api import REFUSED_BY_READS, files_of, read_datasource
from air.data.tfrecords.framing import checksum
from air.data.tfrecords.source import TFRecordsDatasource
from air.errors import InvalidOption
from air.executor.keywords import refuses, suggests_keywords
from air.executor.validation import check_flag


@suggests_keywords
@refuses(
    **REFUSED_BY_READS,
    tf_schema="say what columns there are: schema=pyarrow.schema(...)",
)
def read_tfrecords(
    paths: PathLike | Sequence[PathLike],
    *,
    filesystem: Any = None,
    parallelism: int = -1,
    partitioning: Partitioning | None = None,
    ignore_missing_paths: bool = False,
    include_paths: bool = False,
    arrow_open_stream_args: Mapping[str, Any] | None = None,
    schema: pa.Schema | None = None,
) -> Dataset:
    """The ``Example`` messages of TFRecord files, in order; TensorFlow is not needed.

    A feature is a column of whole numbers (``int64``), floats (``float32``) or bytes, text too.
    Its rows are single values if no message has several, lists otherwise; null where a message
    lacks it. What columns there are is found out from the first 16 MiB of each of the first 256
    files, so that types do not depend on how the files are divided; a message that does not go
    with them is an error. Every checksum is checked.

    Args:
        paths, filesystem, parallelism, partitioning, ignore_missing_paths, include_paths,
            arrow_open_stream_args: as for :func:`read_csv`; a directory's files are all of them.
            Files that end with ``.gz`` (GZIP), or ``.zlib`` or ``.zz`` (ZLIB) are unpacked.
        schema: the columns to read, in place of those that are found: lists
            (``pyarrow.list_(pyarrow.float32())``) or single values; ``pyarrow.string()`` for text.

    Raises:
        FileNotFoundError: there is no such path; names it and the nearest.
        ReadError: a file is damaged or holds something else; names it and the byte at which the
            record begins. Of the beginning of the first 256 files this is found out now.
        ImportError: the extra ``tfrecords`` is not installed.
    """
    if schema is not None and not isinstance(schema, pa.Schema):
        raise InvalidOption(f"read_tfrecords: schema must be a pyarrow.Schema, got {schema!r:.80}")
    checksum()
    opening = check_opening("read_tfrecords", arrow_open_stream_args)
    files = files_of("read_tfrecords", paths, filesystem, (), partitioning, ignore_missing_paths)
    includes = check_flag(include_paths, "read_tfrecords: include_paths")
    source = TFRecordsDatasource(
        files, includes_path=includes, schema_given=schema, opening=opening
    )
    return read_datasource(source.checked(), parallelism=parallelism)
