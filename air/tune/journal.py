"""The journal of an experiment: one file, to which every event is appended as it happens.

Format: the line ``MAGIC``, then records. A record is an 8 byte header (little-endian: length of the
body, CRC-32 of the body) and a body, an event in MessagePack. Values of configurations and metrics
that MessagePack does not have (tuples, arrays, objects) travel inside as pickles.

What survives. A record reaches the operating system before the event has any consequence, so a
process that is killed at any moment loses nothing. The disk is told to write it down (``fsync``)
when a trial has ended, but at most once in ``SYNC_INTERVAL_S``, and when the journal is closed: a
machine that loses power may lose the last seconds.

What is tolerated. A record that was cut off by the end is dropped when the journal is opened
again. Damage anywhere before that raises ``JournalDamaged``.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import struct
import time
import zlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any, BinaryIO

import cloudpickle
import msgspec

from air.errors import AirError
from air.executor import serialization
from air.train.storage import EXPERIMENT_FILE as FILE_NAME
from air.tune.events import JOURNAL_VERSION, Ended, Event, Failed, Opened, Reported, Suggested

MAGIC = b"air tune journal 1\n"
SYNC_INTERVAL_S = 1.0

_HEADER = struct.Struct("<II")
_PICKLE = 1
_PLAIN = frozenset({type(None), bool, float, str, bytes})
_INT64 = range(-(2**63), 2**63)


class JournalDamaged(AirError):
    """The journal is not what was written; says where it stops to make sense."""


class JournalBusy(AirError):
    """Another process runs the experiment right now."""


def read(path: str | os.PathLike[str]) -> Iterator[Event]:
    """The events of a journal, up to the last whole one. The experiment may be running.

    Raises ``FileNotFoundError``, ``JournalDamaged``.
    """
    with open(path, "rb") as file:
        for event, _ in _records(file, os.fspath(path)):
            yield event


def exists(directory: str | os.PathLike[str]) -> bool:
    """Whether there is an experiment in ``directory``."""
    return os.path.isfile(os.path.join(directory, FILE_NAME))


class Journal:
    """A journal that is open for writing; no other process can open it meanwhile."""

    def __init__(self, file: BinaryIO, path: str, end: int) -> None:
        self._file = file
        self._path = path
        self._end = end
        self._synced_at = time.monotonic()

    @classmethod
    def create(cls, directory: str | os.PathLike[str], opened: Opened) -> Journal:
        """Begin the journal of a new experiment in an existing directory.

        Raises ``FileExistsError`` if there is one already.
        """
        path = os.path.join(directory, FILE_NAME)
        unfinished = os.path.join(directory, f".{FILE_NAME}.{os.getpid()}")
        file = open(unfinished, "w+b", buffering=0)  # noqa: SIM115 - closed by close()
        try:
            _lock(file, path)
            file.write(MAGIC)
            journal = cls(file, path, len(MAGIC))
            journal.append(opened)
            journal.sync()
            # Unlike a rename, a link never replaces a journal that is there already.
            os.link(unfinished, path)
        except BaseException:
            file.close()
            raise
        finally:
            os.unlink(unfinished)
        return journal

    @classmethod
    def reopen(cls, directory: str | os.PathLike[str]) -> tuple[Journal, list[Event]]:
        """Open the journal of an experiment to go on with it, and the events so far.

        Raises ``FileNotFoundError``, ``JournalBusy``, ``JournalDamaged``.
        """
        path = os.path.join(directory, FILE_NAME)
        file = open(path, "r+b", buffering=0)  # noqa: SIM115 - closed by close()
        try:
            _lock(file, path)
            with open(path, "rb") as reader:
                records = list(_records(reader, path))
            end = records[-1][1] if records else len(MAGIC)
            file.truncate(end)
            file.seek(end)
        except BaseException:
            file.close()
            raise
        return cls(file, path, end), [event for event, _ in records]

    @property
    def path(self) -> str:
        return self._path

    def append(self, event: Event) -> None:
        """Write one event; whole, or (a full disk) an ``OSError`` and not at all."""
        body = _encode(event)
        record = memoryview(_HEADER.pack(len(body), zlib.crc32(body)) + body)
        try:
            written = 0
            while written < len(record):
                written += self._file.write(record[written:])
        except OSError as error:
            self._file.truncate(self._end)
            self._file.seek(self._end)
            error.add_note(
                f"The journal {self._path} could not be written. It holds everything up to here: "
                "once there is room, Tuner.restore goes on from it."
            )
            raise
        self._end += len(record)
        if isinstance(event, (Ended, Failed)):
            now = time.monotonic()
            if now - self._synced_at >= SYNC_INTERVAL_S:
                self.sync()

    def sync(self) -> None:
        """Return when everything so far is on the disk."""
        os.fsync(self._file.fileno())
        self._synced_at = time.monotonic()

    def close(self) -> None:
        """Sync, and let others open the journal."""
        if not self._file.closed:
            self.sync()
            self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _lock(file: BinaryIO, path: str) -> None:
    # The lock belongs to the open file: the system takes it back however the process ends.
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise JournalBusy(
            f"The experiment in {os.path.dirname(path)} is being run by another process right now. "
            "Wait for it to end, or stop it, before you go on with the experiment here."
        ) from None


# --- records ------------------------------------------------------------------------------------


def _records(file: BinaryIO, path: str) -> Iterator[tuple[Event, int]]:
    """The whole records, each with the position at which it ends."""
    size = os.fstat(file.fileno()).st_size
    if file.read(len(MAGIC)) != MAGIC:
        raise JournalDamaged(f"{path} is no journal of an experiment that this version can read.")
    position = len(MAGIC)
    while position + _HEADER.size <= size:
        length, checksum = _HEADER.unpack(file.read(_HEADER.size))
        end = position + _HEADER.size + length
        if end > size:
            return  # cut off while it was written
        body = file.read(length)
        if not length:
            return  # zeros, as a file system leaves them behind that lost power
        if zlib.crc32(body) != checksum:
            if end == size:
                return  # the file had grown, but its data had not arrived
            raise JournalDamaged(
                f"{path} is damaged at byte {position}: the record there is not what was written. "
                f"Cut the file to {position} bytes to go on with what came before."
            )
        yield _decode(body, path, position), end
        position = end


def _encode(event: Event) -> bytes:
    if isinstance(event, Suggested):
        config = _packed(event.config, f"the config of trial {event.name}")
        event = msgspec.structs.replace(event, config=config)
    elif isinstance(event, Reported):
        metrics = _packed(event.metrics, f"a result of trial {event.trial_id}")
        event = msgspec.structs.replace(event, metrics=metrics)
    return _encoder.encode(event)


def _decode(body: bytes, path: str, position: int) -> Event:
    try:
        event = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise JournalDamaged(
            f"{path}: the record at byte {position} is of no kind that this version knows: {error}"
        ) from error
    if isinstance(event, Opened) and event.version > JOURNAL_VERSION:
        raise JournalDamaged(
            f"{path} was written by a later version (format {event.version}, this one knows up to "
            f"{JOURNAL_VERSION})."
        )
    return event


def _packed(value: dict[str, Any], what: str) -> Any:
    try:
        return _pack(value)
    except Exception:  # pickling runs the code of whatever is pickled
        serialization.dumps(value, what)  # raises an error that names the culprit
        raise


def _pack(value: Any) -> Any:
    """``value`` in terms of MessagePack: what would not come back the same is pickled."""
    kind = type(value)
    if kind in _PLAIN or (kind is int and value in _INT64):
        return value
    if kind is dict and all(type(key) is str for key in value):
        return {key: _pack(item) for key, item in value.items()}
    if kind is list:
        return [_pack(item) for item in value]
    return msgspec.msgpack.Ext(_PICKLE, cloudpickle.dumps(value))


def _unpack(code: int, data: memoryview) -> Any:
    if code == _PICKLE:
        return pickle.loads(data)
    raise ValueError(f"unknown extension {code}")


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event, ext_hook=_unpack)
