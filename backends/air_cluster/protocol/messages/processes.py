"""Between clients and daemons: processes that join and end, questions, what is printed."""

from __future__ import annotations

from typing import Any

import msgspec


class Register(msgspec.Struct, tag=1, array_like=True, frozen=True):
    """First message of a client: who it is and where it listens; of a program, what it is."""

    kind: str
    os_pid: int
    address: str
    namespace: str = "default"
    log_to_driver: bool = False
    worker_id: bytes = b""
    entrypoint: str = ""


class Welcome(msgspec.Struct, tag=2, array_like=True, frozen=True):
    """Answer to ``Register``. A worker with a *setup* reports ``EnvironmentReady``."""

    node_id: str
    address: str
    setup: bytes = b""


class EnvironmentReady(msgspec.Struct, tag=130, array_like=True, frozen=True):
    """From a worker: its runtime environment is set up, or cannot be, because of *error*.

    *process* says what has changed in the process, for templates.
    """

    error: str = ""
    process: str = ""


OF_PACKAGE = "package "
"""Before the key of a package in the topic of a question; answered by its content, or nil."""


class Ask(msgspec.Struct, tag=23, array_like=True, frozen=True):
    """A question: ``nodes``, ``usage``, ``available``, ``actors`` and others, see the head."""

    request: int
    topic: str


class Reply(msgspec.Struct, tag=24, array_like=True, frozen=True):
    """Answer to ``Ask``, ``CreateGroup`` and ``RemoveGroup``; a non-empty error says why not."""

    request: int
    error: str
    content: Any = None


class Preload(msgspec.Struct, tag=29, array_like=True, frozen=True):
    """Have these modules imported where new workers are forked from."""

    modules: list[str]


class LogLines(msgspec.Struct, tag=30, array_like=True, frozen=True):
    """What a worker printed. Payload: the text."""

    source: str
    is_error: bool


class ProcessGone(msgspec.Struct, tag=31, array_like=True, frozen=True):
    """A client's process ended."""

    process: bytes
    reason: str


class Exit(msgspec.Struct, tag=32, array_like=True, frozen=True):
    """To a worker: end (with *graceful*, once nobody wants values of yours any more).

    To the daemon: this program leaves; *failure* is what it has failed with, if it knows.
    """

    graceful: bool = False
    failure: str = ""


class Orphans(msgspec.Struct, tag=35, array_like=True, frozen=True):
    """Answer to ``ProcessGone``: the segments of that process in which I own values.

    Followed, for each of them, by a ``DropSegment`` when the last of these is freed.
    """

    process: bytes
    segments: list[int]


class NodeGone(msgspec.Struct, tag=56, array_like=True, frozen=True):
    """A node is dead, and with it all its processes and what is in its memory."""

    number: int
    reason: str


class Notice(msgspec.Struct, tag=206, array_like=True, frozen=True):
    """From the head: something that people should know of; for the log."""

    text: str


class HeadState(msgspec.Struct, tag=208, array_like=True, frozen=True):
    """From a node to its clients: the head is *away*, and why, in words; empty: it is back."""

    away: str = ""


class NodeEnds(msgspec.Struct, tag=209, array_like=True, frozen=True):
    """From a node to programs on it: it ends without being asked to, for this reason."""

    reason: str
