"""How datasets are made from files of records that training programs read one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from air.data.dataset import Dataset
from air.data.datasources.partitioning import Partitioning
from air.data.datasources.paths import PathLike
from air.data.reading.arguments import REFUSED_BY_READS, given_files
from air.data.reading.datasets import read_datasource
from air.data.tfrecords.framing import checksum
from air.data.tfrecords.source import TFRecordsDatasource
from air.data.webdataset.coding import Coder, check_coder
from air.data.webdataset.samples import Selection
from air.data.webdataset.source import WebDatasetDatasource
from air.errors import InvalidOption
from air.executor.keywords import refuses, suggests_keywords


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
    lacks it. What columns there are is found out from the beginning of each of the first 256
    files (1 MiB or more, 64 MiB of all together), so that types do not depend on how the files are
    divided; a message that does not go with them is an error. Every checksum is checked.

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
    given = given_files(
        "read_tfrecords",
        (),
        paths,
        filesystem=filesystem,
        partitioning=partitioning,
        ignore_missing_paths=ignore_missing_paths,
        include_paths=include_paths,
        arrow_open_stream_args=arrow_open_stream_args,
    )
    source = TFRecordsDatasource(
        given.files,
        includes_path=given.includes_path,
        schema_given=schema,
        opening=given.opening,
    )
    return read_datasource(source.checked(), parallelism=parallelism)


@suggests_keywords
@refuses(**REFUSED_BY_READS, verbose_open="errors name the file; include_paths=True each row's")
def read_webdataset(
    paths: PathLike | Sequence[PathLike],
    *,
    filesystem: Any = None,
    parallelism: int = -1,
    partitioning: Partitioning | None = None,
    ignore_missing_paths: bool = False,
    include_paths: bool = False,
    arrow_open_stream_args: Mapping[str, Any] | None = None,
    decoder: Coder = True,
    fileselect: Sequence[str] | Callable[[str], bool] | None = None,
    filerename: Sequence[tuple[str, str]] | Callable[[str], str] | None = None,
    suffixes: Sequence[str] | None = None,
) -> Dataset:
    """The samples of WebDataset archives, in order: a row for each.

    A sample is the files next to one another in a tar archive whose names are the same up to the
    first dot, which is its ``__key__``; what follows, in small letters, names a column. Directories
    in names are part of the key; files without a dot, or whose name begins with ``__`` or a dot,
    are left out. What columns there are, and of what type, is found out from the beginning of each
    of the first 256 archives (1 MiB or more, 64 MiB of all together); a sample that does not go
    with them is an error. An archive is read from its beginning to its end, by one task.

    Args:
        paths, filesystem, parallelism, partitioning, ignore_missing_paths, include_paths,
            arrow_open_stream_args: as for :func:`read_csv`; a directory's files are those that end
            with ``.tar`` or ``.tgz``, compressed or not.
        decoder: ``True`` makes values of files by the last part of their suffix: text of ``txt``,
            ``text`` and ``transcript``, an int of ``cls``, ``cls2``, ``class``, ``count``, ``id``,
            ``index`` and ``inx``, objects of ``json`` and ``jsn``, arrays of ``npy``, and of
            ``jpg``, ``jpeg``, ``png``, ``pgm``, ``ppm`` and ``webp`` (with the extra ``image``), of
            what ``gz`` unpacks likewise; others stay bytes, pickles too, which may run anything.
            ``None`` or ``False`` leaves all of them bytes. A function, or a list of them in turn,
            gets a sample as a dictionary of bytes, and gives the row.
        fileselect: patterns of names of files in an archive (``"*.jpg"``), or a function of a name.
        filerename: pairs of old and new parts of those names, or a function of a name; before
            they are divided into keys and suffixes.
        suffixes: the files of samples to read, such as ``["jpg", "cls"]``; the only ones there are.

    Raises:
        FileNotFoundError: there is no such path; names it and the nearest.
        ReadError: an archive is damaged, or a file in it cannot be decoded; names the archive, the
            sample and the file. Of the beginning of the first 256 this is found out now.
        ImportError: there are images, and the extra ``image`` is not installed.
    """
    what = "read_webdataset"
    selection = Selection(
        _texts(f"{what}: fileselect", fileselect, "patterns"),
        _renaming(filerename),
        _texts(f"{what}: suffixes", suffixes, "suffixes, such as 'jpg'", callables=False),
    )
    given = given_files(
        what,
        (".tar", ".tgz"),
        paths,
        filesystem=filesystem,
        partitioning=partitioning,
        ignore_missing_paths=ignore_missing_paths,
        include_paths=include_paths,
        arrow_open_stream_args=arrow_open_stream_args,
    )
    source = WebDatasetDatasource(
        given.files,
        includes_path=given.includes_path,
        selection=selection,
        decoder=check_coder(f"{what}: decoder", decoder),
        opening=given.opening,
    )
    return read_datasource(source.checked(), parallelism=parallelism)


def _texts(what: str, given: Any, kind: str, *, callables: bool = True) -> Any:
    """A list of texts as a tuple; a function and ``None`` as they are.

    Raises:
        InvalidOption: something else.
    """
    if given is None or (callables and callable(given)):
        return given
    if isinstance(given, (list, tuple)) and all(isinstance(item, str) for item in given):
        return tuple(item.removeprefix(".") for item in given) if not callables else tuple(given)
    raise InvalidOption(f"{what} must be a list of {kind}, got {given!r:.80}")


def _renaming(given: Any) -> Any:
    if given is None or callable(given):
        return given
    pairs: list[Any] = list(given) if isinstance(given, (list, tuple)) else [None]
    for pair in pairs:
        is_pair = isinstance(pair, (list, tuple)) and len(pair) == 2
        if not is_pair or not all(isinstance(part, str) for part in pair):
            raise InvalidOption(
                "read_webdataset: filerename must be a list of pairs of old and new parts of names,"
                f" got {given!r:.80}"
            )
    return tuple((old, new) for old, new in pairs)
