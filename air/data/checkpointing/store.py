"""The directory of kept results: what was made from, what of it is done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pyarrow import fs

from air.data.blocks.block import Block
from air.data.blocks.handle import BlockHandle
from air.data.blocks.metadata import BlockMetadata
from air.data.checkpointing.files import UNFINISHED, read_block_file, write_whole
from air.data.checkpointing.keepers import BLOCKS, finished_files
from air.data.checkpointing.manifest import Manifest, differences
from air.data.datasource import ReadTask
from air.data.errors import StaleCheckpoint
from air.data.udf.dead_letters import SUFFIX
from air.errors import InvalidOption

MANIFEST = "made-from.json"
COMPLETE = "complete.json"
_LISTED = 8


@dataclass(frozen=True, slots=True)
class _ReadFile:
    """Reads a file of blocks where its rows are needed."""

    filesystem: Any
    path: str

    def __call__(self) -> Iterator[Block]:
        for block, known in read_block_file(self.filesystem, self.path):
            if not (known.rejected and isinstance(block, list) and not block):
                yield block  # others only tell what was left out


class CheckpointStore:
    """What is in one directory; :meth:`claim` it first."""

    def __init__(self, filesystem: Any, directory: str) -> None:
        self.filesystem = filesystem
        self.directory = directory
        self._names: set[str] = set()

    def claim(self, manifest: Manifest) -> None:
        """Make the directory that of *manifest*, or see that it is.

        Raises:
            StaleCheckpoint: it holds results of something else; says what differs.
        """
        self.filesystem.create_dir(self.directory, recursive=True)
        for info in self.filesystem.get_file_info(fs.FileSelector(self.directory)):
            if info.base_name.startswith(UNFINISHED):  # of a program that was killed
                self.filesystem.delete_file(info.path)
            else:
                self._names.add(info.base_name)
        if MANIFEST not in self._names:
            content = json.dumps(manifest.as_json(), indent=1).encode()
            write_whole(self.filesystem, self.directory, MANIFEST, content)
            return
        _compare(self.filesystem, self.directory, manifest)

    def files_of(self, key: str, stages: int) -> list[str] | None:
        """The files with all that *stages* stages make of a unit, if they are there."""
        return finished_files(key, stages, self._names, lambda name: json.loads(self._read(name)))

    def read(self, names: list[str]) -> Iterator[BlockHandle]:
        """The blocks in files, as they were when they were made."""
        for name in names:
            path = f"{self.directory}/{name}"
            for block, known in read_block_file(self.filesystem, path):
                handle = BlockHandle.of_block(block, known.source)
                handle.metadata = replace(
                    handle.metadata, lineage=name.removesuffix(BLOCKS), rejected=known.rejected
                )
                yield handle

    def complete(self, files: dict[str, tuple[int, int]]) -> None:
        """Note that all is done: the files in order, each with its rows and bytes.

        What was kept beside, for steps further up and of rows that were left out, is removed.
        """
        content = json.dumps([[name, *sizes] for name, sizes in files.items()]).encode()
        write_whole(self.filesystem, self.directory, COMPLETE, content)
        for info in self.filesystem.get_file_info(fs.FileSelector(self.directory)):
            if info.type == fs.FileType.Directory:
                self.filesystem.delete_dir(info.path)
            elif info.base_name.endswith(SUFFIX):
                self.filesystem.delete_file(info.path)

    def whole(self) -> list[ReadTask] | None:
        """All that was made, as pieces to read; ``None`` if something is still to be done."""
        if COMPLETE not in self._names:
            return None
        return [
            ReadTask(
                _ReadFile(self.filesystem, f"{self.directory}/{name}"),
                BlockMetadata(rows, size, source=f"{self.directory}/{name}"),
            )
            for name, rows, size in json.loads(self._read(COMPLETE))
        ]

    def _read(self, name: str) -> bytes:
        return _read(self.filesystem, f"{self.directory}/{name}")


def _read(filesystem: Any, path: str) -> bytes:
    with filesystem.open_input_stream(path) as file:
        content: bytes = file.read()
        return content


def _compare(filesystem: Any, directory: str, manifest: Manifest) -> None:
    path = f"{directory}/{MANIFEST}"
    try:
        then = Manifest.from_json(json.loads(_read(filesystem, path)))
    except (ValueError, KeyError, TypeError) as error:
        raise StaleCheckpoint(
            f"checkpointed: {path} does not say what the results there were made from ({error});"
            " give another directory, or remove this one"
        ) from None
    differs = differences(then, manifest)
    if differs:
        raise StaleCheckpoint(
            f"checkpointed: {directory!r} holds results of another job: {'; '.join(differs)}. Give"
            " another directory, or remove this one to begin anew"
        )


def check_directory(filesystem: Any, directory: str, manifest: Manifest) -> None:
    """Complain about what could not be the directory of results that *manifest* describes.

    Raises:
        InvalidOption: it is a file, or holds other files.
        StaleCheckpoint: it holds results of something else; says what differs.
    """
    kind = filesystem.get_file_info(directory).type
    if kind == fs.FileType.File:
        raise InvalidOption(f"checkpointed: {directory!r} is a file; give a directory")
    if kind != fs.FileType.Directory:
        return
    found = filesystem.get_file_info(fs.FileSelector(directory))
    names = sorted(info.base_name for info in found)
    if MANIFEST in names:
        _compare(filesystem, directory, manifest)
        return
    others = [name for name in names if not name.startswith(UNFINISHED)]
    if others:
        raise InvalidOption(
            f"checkpointed: {directory!r} holds other files ({', '.join(others[:_LISTED])}); give a"
            " directory of its own"
        )
