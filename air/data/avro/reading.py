"""How datasets are made from Avro files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from air.data.avro.source import AvroDatasource
from air.data.dataset import Dataset
from air.data.datasources.partitioning import HIVE, Partitioning
from air.data.datasources.paths import PathLike
from air.data.reading.arguments import REFUSED_BY_READS, given_files
from air.data.reading.datasets import read_datasource
from air.executor.extras import import_extra
from air.executor.keywords import refuses, suggests_keywords


@suggests_keywords
@refuses(**REFUSED_BY_READS, arrow_open_stream_args="Avro files say how they are compressed")
def read_avro(
    paths: PathLike | Sequence[PathLike],
    *,
    filesystem: Any = None,
    parallelism: int = -1,
    partitioning: Partitioning | None = HIVE,
    ignore_missing_paths: bool = False,
    include_paths: bool = False,
) -> Dataset:
    """The records of Avro object container files, in the order of the files.

    Times with a zone are in UTC, which is all that Avro has; symbols of an enum and UUIDs are text.
    Files may differ in their columns and types, as those of :func:`read_csv` may.

    Args:
        paths, filesystem, parallelism, partitioning, ignore_missing_paths, include_paths: as for
            :func:`read_csv`; a directory's files are those that end with ``.avro``.

    Raises:
        FileNotFoundError: there is no such path; names it and the nearest.
        ReadError: a file is no Avro file, or has a union of several types or a type that holds
            itself (names the field), or a column has types in two files that do not go together;
            of the first 256 files this is found out now.
        ImportError: the extra ``avro`` is not installed.
    """
    import_extra("fastavro", "read_avro", "airloom[avro]")
    given = given_files(
        "read_avro",
        (".avro",),
        paths,
        filesystem=filesystem,
        partitioning=partitioning,
        ignore_missing_paths=ignore_missing_paths,
        include_paths=include_paths,
    )
    source = AvroDatasource(given.files, includes_path=given.includes_path)
    return read_datasource(source.checked(), parallelism=parallelism)
