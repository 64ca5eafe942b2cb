"""Identities: who owns what can be read off them.

A process has 8 bytes: the number of its node and random ones. What it makes - tasks, actors,
values - is numbered after these, so the owner of anything is the first 8 bytes of its
identity, and the node of that the first 3.
"""

from __future__ import annotations

import itertools
import os

NODE_BYTES = 3
PROCESS_BYTES = 8
TASK_BYTES = 14
OBJECT_BYTES = 18


NO_NODE = 0
"""In place of a node's number: of daemons, which own nothing."""

FIRST_NODE = 1
"""The number of the first node of a cluster, which is the head's."""


def new_process_id(node: int) -> bytes:
    """A fresh identity of a process on the node of that number."""
    return node.to_bytes(NODE_BYTES, "big") + os.urandom(PROCESS_BYTES - NODE_BYTES)


def node_of(identity: bytes) -> int:
    """The number of the node that a process, or what it made, is on."""
    return int.from_bytes(identity[:NODE_BYTES], "big")


_LEASE_BITS = 40


def lease_on_wire(node: int, lease: int) -> int:
    """What a node's lease is called in the cluster."""
    return node << _LEASE_BITS | lease


def lease_of_node(lease: int) -> int:
    """What the node itself calls a lease."""
    return lease & ((1 << _LEASE_BITS) - 1)


def node_of_lease(lease: int) -> int:
    """The number of the node that has granted a lease."""
    return lease >> _LEASE_BITS


PUT_INDEX = 0xFFFFFFFE
"""Index of objects that no task made, but ``put``."""


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


def index_of(object_id: bytes) -> int:
    """Which of the results of its task an object is."""
    return int.from_bytes(object_id[TASK_BYTES:], "big")


def owner_of(identity: bytes) -> bytes:
    """The process that made a task, an actor or an object."""
    return identity[:PROCESS_BYTES]
