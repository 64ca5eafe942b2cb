"""What all readers of files have in common: their arguments, and how these are checked.

Each reader writes the arguments out, for type checkers and ``help``; what they mean is told by
:func:`air.data.read_csv`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from air.data.arguments import check_opening
from air.data.datasources.partitioning import Partitioning
from air.data.datasources.paths import FileSet, PathLike, resolve_paths
from air.errors import InvalidOption
from air.executor.validation import check_flag

REFUSED_BY_READS = {
    "ray_remote_args": "reading takes a CPU for each piece; parallelism says how many there are",
    "meta_provider": "sizes and columns are found out without one",
    "partition_filter": "give the files that are wanted, as a list or a pattern",
}
"""Arguments of other readers that none of ours has, with what to do instead."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the common arguments of a reader stand for.

    Attributes:
        files: to read, in this order.
        includes_path: whether each row tells its file.
        opening: how files are opened, as far as that was said.
    """

    files: FileSet
    includes_path: bool
    opening: dict[str, Any] = field(default_factory=dict)


def given_files(
    what: str,
    extensions: Sequence[str],
    paths: PathLike | Sequence[PathLike],
    *,
    filesystem: Any,
    partitioning: object,
    ignore_missing_paths: object,
    include_paths: object,
    arrow_open_stream_args: Mapping[str, Any] | None = None,
) -> Given:
    """The common arguments of the reader *what*, checked.

    Args:
        extensions: of the files of a directory; all of them if there are none.

    Raises:
        FileNotFoundError: there is no such path.
        InvalidOption: an argument has a wrong type, or an unknown option inside.
    """
    if partitioning is not None and not isinstance(partitioning, Partitioning):
        raise InvalidOption(
            f"{what}: partitioning must be an air.data.Partitioning, such as"
            f" Partitioning('hive'), or None, got {partitioning!r:.80}"
        )
    opening = check_opening(what, arrow_open_stream_args)
    includes_path = check_flag(include_paths, f"{what}: include_paths")
    ignores_missing = check_flag(ignore_missing_paths, f"{what}: ignore_missing_paths")
    files = resolve_paths(
        paths,
        filesystem,
        extensions,
        partitioning=partitioning,
        ignore_missing=ignores_missing,
    )
    return Given(files, includes_path, opening)
