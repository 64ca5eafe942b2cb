"""Checkpoints: what training leaves behind, wherever it is kept."""

from __future__ import annotations

import os
import pickle
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from air._files import path_of_uri, uri_of_path, whole_directory
from air.errors import InvalidOption, SerializationError
from air.executor.keywords import methods_suggest_keywords

if TYPE_CHECKING:
    from air.data.preprocessor import Preprocessor

C = TypeVar("C", bound="Checkpoint")

DATA_FILE = "data.pkl"
PREPROCESSOR_FILE = "preprocessor.pkl"
PREPROCESSOR_KEY = "_preprocessor"
FILES_KEY = "_files"


@methods_suggest_keywords
class Checkpoint:
    """A model's state: a tree of files, or a dict, that a run can go on from.

    It is kept in one of three places, and every method works for each of them:

    * a directory on this machine (:meth:`from_directory`), which is not copied: the checkpoint
      is good for as long as the directory is, and pickles as its path;
    * memory (:meth:`from_dict`, :meth:`from_bytes`), which pickles with its content;
    * a remote file system (:meth:`from_uri`), which is read each time that it is needed.

    It may carry the preprocessor that the model was trained with (:meth:`set_preprocessor`).
    A dict is written to a directory as one pickle; a checkpoint from a source that is not
    trusted must not be loaded.
    """

    _path: str | None = None
    _uri: str | None = None
    _data: dict[str, Any] | None = None
    _files: dict[str, bytes] | None = None
    # Set on the object and not yet in its directory: it goes along wherever this is written.
    _preprocessor: Preprocessor | None = None

    def __init__(
        self,
        local_path: str | os.PathLike[str] | None = None,
        data_dict: Mapping[str, Any] | None = None,
        uri: str | None = None,
    ) -> None:
        given = [source for source in (local_path, data_dict, uri) if source is not None]
        if len(given) != 1:
            raise InvalidOption(
                "A Checkpoint is made from exactly one of local_path, data_dict and uri, got "
                f"{len(given)} of them. Use Checkpoint.from_directory, from_dict or from_uri."
            )
        if local_path is not None:
            self._path = _existing_directory(local_path)
        elif data_dict is not None:
            self._from_mapping(data_dict)
        elif uri is not None:
            if not isinstance(uri, str) or "://" not in uri:
                raise InvalidOption(
                    f"The uri of a checkpoint looks like 's3://bucket/path', got {uri!r}. For a "
                    "directory on this machine use Checkpoint.from_directory."
                )
            if uri.startswith("file://"):
                self._path = _existing_directory(_local_path(uri))
            else:
                self._uri = uri.rstrip("/")

    @classmethod
    def from_directory(cls: type[C], path: str | os.PathLike[str]) -> C:
        """A checkpoint that lives in the directory *path*, which is not copied.

        Raises:
            FileNotFoundError: there is no such directory.
        """
        return cls(local_path=path)

    @classmethod
    def from_dict(cls: type[C], data: Mapping[str, Any]) -> C:
        """A checkpoint in memory that holds *data*, whose values can be pickled."""
        return cls(data_dict=data)

    @classmethod
    def from_uri(cls: type[C], uri: str) -> C:
        """A checkpoint at ``s3://``, ``gs://``, ``file://`` or what else pyarrow can read."""
        return cls(uri=uri)

    @classmethod
    def from_bytes(cls: type[C], data: bytes) -> C:
        """The checkpoint that :meth:`to_bytes` wrote, in memory.

        Raises ``ValueError`` for other bytes.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"from_bytes() takes what to_bytes() gave, got {type(data).__name__}")
        reason = "they hold something else"
        try:
            files = pickle.loads(data)
        except Exception as error:  # what other bytes do to the unpickler can be anything
            files, reason = None, str(error)
        if not _is_tree(files):
            raise ValueError(
                f"from_bytes() takes what to_bytes() gave, which these {len(data)} bytes are not: "
                f"{reason}"
            )
        return cls._in_memory(files)

    @classmethod
    def from_checkpoint(cls: type[C], other: Checkpoint) -> C:
        """The same checkpoint as one of this class, sharing the other's place."""
        if not isinstance(other, Checkpoint):
            raise TypeError(f"A Checkpoint is expected, got {type(other).__name__}: {other!r}")
        new = cls.__new__(cls)
        new.__dict__.update(other.__dict__)
        return new

    @classmethod
    def _in_memory(cls: type[C], files: Mapping[str, bytes]) -> C:
        new = cls.__new__(cls)
        new._files = dict(files)
        return new

    def _from_mapping(self, data: Mapping[str, Any]) -> None:
        if not isinstance(data, Mapping):
            raise TypeError(f"from_dict() takes a dict, got {type(data).__name__}: {data!r}")
        content = dict(data)
        self._preprocessor = content.pop(PREPROCESSOR_KEY, None)
        if set(content) == {FILES_KEY} and _is_tree(content[FILES_KEY]):
            self._files = dict(content[FILES_KEY])
        else:
            self._data = content

    @property
    def path(self) -> str | None:
        """The directory that it lives in; ``None`` if it is in memory or remote."""
        return self._path

    @property
    def uri(self) -> str | None:
        """Where it lives, as a URI; ``None`` if it is in memory."""
        return uri_of_path(self._path) if self._path is not None else self._uri

    def to_dict(self) -> dict[str, Any]:
        """Its content as a dict; made from a directory of files, it holds them by name.

        A preprocessor that it carries is there too, under ``"_preprocessor"``. The dict makes
        the same checkpoint again through :meth:`from_dict`.
        """
        if self._data is not None:
            content = dict(self._data)
        else:
            files = self._tree()
            files.pop(PREPROCESSOR_FILE, None)
            data = files.get(DATA_FILE)
            content = {FILES_KEY: files} if data is None else pickle.loads(data)
        preprocessor = self.get_preprocessor()
        if preprocessor is not None:
            content[PREPROCESSOR_KEY] = preprocessor
        return content

    def to_bytes(self) -> bytes:
        """Its whole content as bytes, for :meth:`from_bytes`."""
        return pickle.dumps(self._tree(), protocol=5)

    def to_directory(self, path: str | os.PathLike[str] | None = None) -> str:
        """Write it to *path*, which appears whole or not at all, and return the absolute path.

        Without a path it goes to a new temporary directory, which is the caller's to delete.

        Raises:
            FileExistsError: *path* exists and is no empty directory.
            FileNotFoundError: the directory that the checkpoint lives in is gone.
        """
        if path is None:
            target = os.path.join(tempfile.gettempdir(), f"air-checkpoint-{secrets.token_hex(4)}")
        else:
            target = os.path.abspath(os.path.expanduser(os.fspath(path)))
        with whole_directory(target) as unfinished:
            self._write(unfinished)
        return target

    @contextmanager
    def as_directory(self) -> Iterator[str]:
        """Yield a directory that holds it, to read from: its own, or a temporary one."""
        if self._path is not None and self._preprocessor is None:
            yield self._directory()
            return
        with tempfile.TemporaryDirectory(prefix="air-checkpoint-") as path:
            self._write(path)
            yield path

    def to_uri(self, uri: str) -> str:
        """Write it to ``s3://``, ``gs://``, ``file://`` or what else pyarrow can write.

        Local directories appear whole or not at all; elsewhere the files appear one by one.
        """
        if not isinstance(uri, str) or "://" not in uri:
            raise InvalidOption(f"to_uri() takes a URI like 's3://bucket/path', got {uri!r}")
        if uri.startswith("file://"):
            return uri_of_path(self.to_directory(_local_path(uri)))
        from pyarrow import fs

        filesystem, remote = _located(uri)
        filesystem.create_dir(remote, recursive=True)
        with self.as_directory() as path:
            fs.copy_files(path, remote, destination_filesystem=filesystem)
        return uri

    def get_preprocessor(self) -> Preprocessor | None:
        """The preprocessor that it carries, ``None`` without one."""
        if self._preprocessor is not None or self._data is not None:
            return self._preprocessor
        content = self._read(PREPROCESSOR_FILE)
        preprocessor: Preprocessor | None = None if content is None else pickle.loads(content)
        return preprocessor

    def set_preprocessor(self, preprocessor: Preprocessor) -> None:
        """Make it carry *preprocessor* from here on.

        A directory that it lives in is not changed; what is written from it has the preprocessor.
        """
        if not callable(getattr(preprocessor, "transform_batch", None)):
            raise TypeError(
                "set_preprocessor() takes one of air.data.preprocessors, or of one's own, got "
                f"{preprocessor!r}"
            )
        self._preprocessor = preprocessor

    def get_internal_representation(self) -> tuple[str, Any]:
        """Where it lives: ``("local_path", path)``, ``("uri", uri)``, ``("data_dict", dict)``."""
        if self._path is not None:
            return "local_path", self._path
        if self._uri is not None:
            return "uri", self._uri
        return "data_dict", self.to_dict()

    def in_memory(self: C) -> C:
        """The same checkpoint with its content in memory, to be sent to another machine."""
        return type(self)._in_memory(self._tree())

    def __repr__(self) -> str:
        if self._path is not None or self._uri is not None:
            return f"{type(self).__name__}({self._path or self._uri!r})"
        held = self._data if self._data is not None else self._files
        return f"{type(self).__name__}(in memory: {', '.join(map(str, held or {}))})"

    def _directory(self) -> str:
        """The directory that it lives in, which is there."""
        assert self._path is not None
        if not os.path.isdir(self._path):
            raise FileNotFoundError(
                f"The checkpoint at {self._path} is gone: its directory was deleted or moved. "
                "checkpoint.to_directory(path) makes a copy that stays."
            )
        return self._path

    def _read(self, name: str) -> bytes | None:
        """The content of one of its files, ``None`` if there is no such file."""
        if self._path is not None:
            path = os.path.join(self._directory(), name)
            try:
                with open(path, "rb") as file:
                    return file.read()
            except FileNotFoundError:
                return None
        if self._uri is not None:
            with _downloaded(self._uri) as path:
                return Checkpoint(path)._read(name)
        return self._tree().get(name)

    def _tree(self) -> dict[str, bytes]:
        """Its files, by their path relative to its directory."""
        if self._path is not None:
            files = _read_tree(self._directory())
        elif self._uri is not None:
            with _downloaded(self._uri) as path:
                files = _read_tree(path)
        elif self._files is not None:
            files = dict(self._files)
        else:
            files = {DATA_FILE: _pickled(self._data)}
        return files | self._preprocessor_files()

    def _write(self, directory: str) -> None:
        """Write its files into an existing, empty directory."""
        if self._path is not None:
            shutil.copytree(self._directory(), directory, dirs_exist_ok=True)
            files = self._preprocessor_files()
        else:
            files = self._tree()
        for name, content in files.items():
            target = os.path.join(directory, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(content)

    def _preprocessor_files(self) -> dict[str, bytes]:
        if self._preprocessor is None:
            return {}
        return {PREPROCESSOR_FILE: _pickled(self._preprocessor)}


def _is_tree(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(content, bytes) for name, content in value.items()
    )


def _pickled(value: object) -> bytes:
    import cloudpickle

    from air.executor.serialization import find_culprit

    try:
        content: bytes = cloudpickle.dumps(value, protocol=5)
    except (TypeError, pickle.PicklingError) as error:
        path, culprit = find_culprit(value)
        raise SerializationError(
            f"a checkpoint cannot be written: its content{path} is a {type(culprit).__qualname__} "
            f"({error}); leave it out"
        ) from None
    return content


def _existing_directory(path: str | os.PathLike[str]) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"A checkpoint's directory is given by its path, got {path!r}")
    absolute = os.path.abspath(os.path.expanduser(os.fspath(path)))
    if os.path.isdir(absolute):
        return absolute
    if os.path.exists(absolute):
        raise NotADirectoryError(f"A checkpoint is a directory, and {absolute} is a file")
    raise FileNotFoundError(f"There is no checkpoint at {absolute}: no such directory")


def _local_path(uri: str) -> str:
    """The path that a ``file://`` URI names."""
    path = path_of_uri(uri)
    if path is None:
        raise InvalidOption(
            f"A URI of a directory on this machine looks like 'file:///data/model', got {uri!r}. "
            "For a relative path use from_directory and to_directory."
        )
    return path


def _read_tree(root: str) -> dict[str, bytes]:
    files = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                files[os.path.relpath(path, root)] = file.read()
    return files


def _located(uri: str) -> tuple[Any, str]:
    """The file system that *uri* is in, and the path there."""
    import pyarrow as pa
    from pyarrow import fs

    try:
        filesystem, path = fs.FileSystem.from_uri(uri)
    except pa.ArrowInvalid as error:
        raise InvalidOption(
            f"the checkpoint's URI {uri!r} cannot be used: {error}. Known are file://, s3://, "
            "gs:// and hdfs://."
        ) from None
    return filesystem, path


@contextmanager
def _downloaded(uri: str) -> Iterator[str]:
    from pyarrow import fs

    filesystem, remote = _located(uri)
    if filesystem.get_file_info(remote).type == fs.FileType.NotFound:
        raise FileNotFoundError(f"There is no checkpoint at {uri}")
    with tempfile.TemporaryDirectory(prefix="air-checkpoint-") as path:
        fs.copy_files(remote, path, source_filesystem=filesystem)
        yield path
