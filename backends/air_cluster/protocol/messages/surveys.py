"""Questions that go to everybody: listings, timelines, explanations."""

from __future__ import annotations

import msgspec


class Survey(msgspec.Struct, tag=200, array_like=True, frozen=True):
    """To the head: have all nodes, and with *processes* those on them, answer a question.

    Each node answers with a ``Roll``, each process with a ``Sight``.
    """

    request: int
    topic: str
    processes: bool
    question: bytes = b""


class Look(msgspec.Struct, tag=201, array_like=True, frozen=True):
    """From the node: a process, *asker*, has asked everybody this."""

    asker: bytes
    request: int
    topic: str
    question: bytes


class Present(msgspec.Struct, array_like=True, frozen=True):
    """A process on a node, as its daemon knows it; *answers* if it was asked."""

    process: bytes
    kind: str
    pid: int
    state: str
    answers: bool
    actor_id: bytes = b""
    blocked: bool = False
    resources: dict[str, float] = {}


class Roll(msgspec.Struct, tag=202, array_like=True, frozen=True):
    """To the asker. From the head, with number 0: which nodes were asked.

    From a node: the processes on it.
    """

    request: int
    number: int
    nodes: list[str] = []
    numbers: list[int] = []
    name: str = ""
    host: str = ""
    processes: list[Present] = []


class Sight(msgspec.Struct, tag=203, array_like=True, frozen=True):
    """To the asker: what *process* has to say. Payload: MessagePack, as the topic has it."""

    asker: bytes
    request: int
    process: bytes


class LastWords(msgspec.Struct, tag=207, array_like=True, frozen=True):
    """From a worker that ends: what it has run. Payload: MessagePack, as of a ``Sight``."""


class Explain(msgspec.Struct, tag=204, array_like=True, frozen=True):
    """To the owner of a value, or with *runs* to whom its task was sent: how far is it?"""

    request: int
    object_id: bytes
    runs: bool


class Situation(msgspec.Struct, tag=205, array_like=True, frozen=True):
    """Answer to ``Explain``: how far it is, and who can tell more.

    Attributes:
        what: what is to make the value.
        state: what it does, to be put behind that.
        worker: the process that it was sent to, which listens at *address*.
        resources: what it needs a worker with, on the node *tied_to* alone if that is not empty.
        actor_id: the actor that it waits for.
        group_id: the placement group that it waits for, or for *bundle* of it (-1 for any).
        needs: an argument of it that is not there, owned by who listens at *needs_address*.
    """

    request: int
    what: str
    state: str
    worker: bytes = b""
    address: str = ""
    resources: dict[str, float] = {}
    actor_id: bytes = b""
    group_id: bytes = b""
    needs: bytes = b""
    needs_address: str = ""
    bundle: int = -1
    tied_to: str = ""
