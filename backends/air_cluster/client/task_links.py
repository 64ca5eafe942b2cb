"""What caller and worker know of each other, kept with the connection that tasks go over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from air_cluster.core.code_book import CodeBook
from air_cluster.protocol.messages import Assign
from air_cluster.transport.connection import Connection


class Loaded(msgspec.Struct, eq=False, weakref=True):
    """A function of a task: its pickle until it is first called, and then itself and its name."""

    pickled: bytes
    function: Callable[..., Any] | None = None
    name: str = ""


class TaskLink:
    """Both directions: each of the two may be the other's worker.

    Attributes:
        sent: the functions that were sent to the other one.
        got: those that came from it.
        assignment: as what this process is lent to the other one.
    """

    __slots__ = ("assignment", "got", "sent")

    def __init__(self) -> None:
        self.sent: CodeBook[None] = CodeBook()
        self.got: CodeBook[Loaded] = CodeBook()
        self.assignment: Assign | None = None


def task_link(connection: Connection) -> TaskLink:
    """That of a connection."""
    link = connection.data
    if link is None:
        link = connection.data = TaskLink()
    assert isinstance(link, TaskLink)
    return link
