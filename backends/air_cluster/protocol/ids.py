"""Identities: who owns what can be read off them.

A process has 8 random bytes. What it makes - tasks, actors, values - is numbered after
these, so the owner of anything is the first 8 bytes of its identity.
"""

from __future__ import annotations

import itertools
import os

PROCESS_BYTES = 8
TASK_BYTES = 14
OBJECT_BYTES = 18


def new_process_id() -> bytes:
    """A fresh identity of a process."""
    return os.urandom(PROCESS_BYTES)


class IdMaker:
    """Numbers the tasks, actors and values of one process. Safe to use from any thread."""

    def __init__(self, process_id: bytes) -> None:
        self._process_id = process_id
        self._next = itertools.count(1).__next__

    def task(self) -> bytes:
        """A fresh identity of a task, an actor or a placement group."""
        return self._process_id + self._next().to_bytes(6, "big")


def object_id(task_id: bytes, index: int) -> bytes:
    """The identity of the *index*-th result of a task; values that were put are the first."""
    return task_id + index.to_bytes(4, "big")


def task_of(object_id: bytes) -> bytes:
    """The task (or put, or actor) that an object belongs to."""
    return object_id[:TASK_BYTES]


def owner_of(identity: bytes) -> bytes:
    """The process that made a task, an actor or an object."""
    return identity[:PROCESS_BYTES]
