"""How datasets are made from files of JSON, text and bytes."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from typing import Any

from air.data.dataset import Dataset
from air.data.datasources.json import JSONDatasource
from air.data.datasources.partitioning import HIVE, Partitioning
from air.data.datasources.paths import PathLike, require_text
from air.data.datasources.whole_files import BinaryDatasource, TextDatasource
from air.data.reading.arguments import REFUSED_BY_READS, given_files
from air.data.reading.datasets import read_datasource
from air.errors import InvalidOption
from air.executor.keywords import refuses, suggests_keywords
from air.executor.validation import check_flag


@suggests_keywords
@refuses(
    **REFUSED_BY_READS,
    lines="both lines of objects and arrays are read, as the file begins",
    orient="lines of objects and arrays of them are read",
)
def read_json(
    paths: PathLike | Sequence[PathLike],
    *,
    filesystem: Any = None,
    parallelism: int = -1,
    partitioning: Partitioning | None = HIVE,
    ignore_missing_paths: bool = False,
    include_paths: bool = False,
    arrow_open_stream_args: Mapping[str, Any] | None = None,
    read_options: Any = None,
    parse_options: Any = None,
) -> Dataset:
    """The objects of JSON files, in the order of the files: one after the other, or in an array.

    A key is a column, null in rows that lack it, and in files that do; an object inside is a
    struct. Text stays text, also where it looks like a time, and whole numbers beyond 64 bits that
    floats would round are refused:
    ``parse_options=pyarrow.json.ParseOptions(explicit_schema=...)`` says otherwise.

    A file is read by one task: divide large ones. Where memory does not let it be parsed whole,
    some rows of it are at a time, whatever its layout, and first all of it for their types. Any row
    may have other columns, so the first 256 files are read at the call. The first 16 MiB of rows
    are kept; other files are read again when their rows are wanted, unless ``explicit_schema`` says
    what there is, with ``unexpected_field_behavior="ignore"`` (or ``"error"``), or there is one
    file only: these are read when their rows are wanted.

    Args:
        paths, filesystem, parallelism, partitioning, ignore_missing_paths, include_paths,
            arrow_open_stream_args: as for :func:`read_csv`; a directory's files are those that
            end with ``.json``, ``.jsonl`` or ``.ndjson``, compressed or not.
        read_options: a ``pyarrow.json.ReadOptions``; parse_options likewise. Both are for files
            of lines.

    Raises:
        FileNotFoundError: there is no such path; names it and the nearest.
        ReadError: a file is no JSON, or a column has types in two files that do not go together;
            of files that are read at the call this is found out now.
    """
    given = given_files(
        "read_json",
        (".json", ".jsonl", ".ndjson"),
        paths,
        filesystem=filesystem,
        partitioning=partitioning,
        ignore_missing_paths=ignore_missing_paths,
        include_paths=include_paths,
        arrow_open_stream_args=arrow_open_stream_args,
    )
    require_text(given.files, "read_json")
    source = JSONDatasource(
        given.files,
        includes_path=given.includes_path,
        opening=given.opening,
        read_options=read_options,
        parse_options=parse_options,
    )
    return read_datasource(source.checked(), parallelism=parallelism)


@suggests_keywords
@refuses(**REFUSED_BY_READS)
def read_text(
    paths: PathLike | Sequence[PathLike],
    *,
    encoding: str = "utf-8",
    errors: str = "ignore",
    drop_empty_lines: bool = True,
    filesystem: Any = None,
    parallelism: int = -1,
    partitioning: Partitioning | None = None,
    ignore_missing_paths: bool = False,
    include_paths: bool = False,
    arrow_open_stream_args: Mapping[str, Any] | None = None,
) -> Dataset:
    """The lines of files, in order, as the column ``text``, without ``\\n`` or ``\\r\\n``.

    Args:
        encoding: of the files.
        errors: what to do about bytes that are no text, as for ``bytes.decode``.
        drop_empty_lines: leave out lines without a character.
        paths, filesystem, parallelism, partitioning, ignore_missing_paths, include_paths,
            arrow_open_stream_args: as for :func:`read_csv`; a directory's files are all of them.

    Raises:
        FileNotFoundError: there is no such path; names it and the nearest.
        InvalidOption: an unknown encoding or way with errors.
        ReadError: a file is packed as ``.xz``, ``.lzma``, ``.zip`` or ``.7z``; or, when read, is no
            text, with ``errors="strict"``. Names it.
    """
    try:
        codecs.getincrementaldecoder(encoding)
        codecs.lookup_error(errors)
    except (LookupError, TypeError) as error:
        raise InvalidOption(
            f"read_text: encoding={encoding!r:.80}, errors={errors!r:.80}: {error}"
        ) from None
    given = given_files(
        "read_text",
        (),
        paths,
        filesystem=filesystem,
        partitioning=partitioning,
        ignore_missing_paths=ignore_missing_paths,
        include_paths=include_paths,
        arrow_open_stream_args=arrow_open_stream_args,
    )
    require_text(given.files, "read_text")
    source = TextDatasource(
        given.files,
        includes_path=given.includes_path,
        encoding=encoding,
        errors=errors,
        drops_empty=check_flag(drop_empty_lines, "read_text: drop_empty_lines"),
        opening=given.opening,
    )
    return read_datasource(source.checked(), parallelism=parallelism)


@suggests_keywords
@refuses(**REFUSED_BY_READS, output_arrow_format="rows are records with the column 'bytes'")
def read_binary_files(
    paths: PathLike | Sequence[PathLike],
    *,
    include_paths: bool = False,
    filesystem: Any = None,
    parallelism: int = -1,
    partitioning: Partitioning | None = None,
    ignore_missing_paths: bool = False,
    arrow_open_stream_args: Mapping[str, Any] | None = None,
) -> Dataset:
    """The content of each file as a row, in the column ``bytes``; of compressed ones unpacked.

    Args:
        paths, filesystem, parallelism, partitioning, ignore_missing_paths, include_paths,
            arrow_open_stream_args: as for :func:`read_csv`; a directory's files are all of them.

    Raises:
        FileNotFoundError: there is no such path; names it and the nearest.
    """
    given = given_files(
        "read_binary_files",
        (),
        paths,
        filesystem=filesystem,
        partitioning=partitioning,
        ignore_missing_paths=ignore_missing_paths,
        include_paths=include_paths,
        arrow_open_stream_args=arrow_open_stream_args,
    )
    source = BinaryDatasource(given.files, includes_path=given.includes_path, opening=given.opening)
    return read_datasource(source.checked(), parallelism=parallelism)
