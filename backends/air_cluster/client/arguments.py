"""Arguments of tasks and method calls, on the caller's side and on the worker's."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from air.errors import SerializationError
from air.executor.handles import ObjectRef
from air_cluster.client.contents import NOTHING, NOTHING_ON_WIRE, Content, from_wire
from air_cluster.core.references import Entry, References
from air_cluster.protocol.frames import Buffer
from air_cluster.protocol.ids import object_id
from air_cluster.protocol.messages import FAILED, INLINE, Ref, Value

if TYPE_CHECKING:
    from air_cluster.client.client import Client

ARGUMENTS_INDEX = 0xFFFFFFFF
"""Index of the object that large arguments of a task are stored as."""


class Slot(msgspec.Struct, frozen=True):
    """Stands in the pickled arguments for a reference that is replaced by its value."""

    index: int


class Later(msgspec.Struct, frozen=True):
    """Stands for a reference whose value the actor itself waits for, in its process."""

    ref: ObjectRef[Any]


class Arguments(msgspec.Struct):
    """Packed arguments; everything in them is held until :meth:`Arguments.held` is given up.

    Attributes:
        content: the pickled ``(args, kwargs)``.
        slots: entries of the references that were arguments themselves.
        held: all references that must outlive the call.
    """

    content: Content = msgspec.field(default_factory=lambda: NOTHING)
    slots: list[Entry] = msgspec.field(default_factory=list)
    held: list[bytes] = msgspec.field(default_factory=list)
    lent: bool = False  # to a call that is under way

    def lend(self, references: References) -> None:
        """The call is sent: whoever runs it may read what is held, wherever that lies now."""
        if self.held and not self.lent:
            self.lent = True
            for identity in self.held:
                references.entries[identity].lent += 1

    def take_back(self, references: References) -> None:
        """Nobody runs the call any more."""
        if self.lent:
            self.lent = False
            for identity in self.held:
                references.entries[identity].lent -= 1

    @property
    def missing(self) -> list[Entry]:
        """Slots whose values are not there yet."""
        return [entry for entry in self.slots if entry.content is None]

    @property
    def failed(self) -> Content | None:
        """The first slot that holds an error."""
        for entry in self.slots:
            if entry.content is not None and entry.content.kind == FAILED:
                content: Content = entry.content
                return content
        return None

    def to_wire(self, my_address: str) -> tuple[Value, list[Value], list[Ref], list[Buffer]]:
        """For a message: arguments, slots, slots' references, and the payload of all."""
        if not self.slots:
            if self.content is NOTHING:
                return NOTHING_ON_WIRE, [], [], []
            return self.content.to_wire(), [], [], list(self.content.pieces)
        payload: list[Buffer] = list(self.content.pieces)
        values, refs = [], []
        for entry in self.slots:
            values.append(entry.content.to_wire())
            payload += entry.content.pieces
            refs.append(Ref(entry.id, my_address if entry.owned else entry.address))
        return self.content.to_wire(), values, refs, payload


def pack_arguments(
    client: Client,
    task_id: bytes,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    name: str,
    *,
    later: bool = False,
) -> Arguments:
    """Pickle arguments and hold what they refer to.

    Args:
        later: leave it to the receiver to wait for arguments that are references.

    Raises:
        SerializationError: an argument cannot be pickled.
        ObjectLost: a reference is one of a cluster that was shut down.
    """
    if not args and not kwargs:
        return Arguments()
    slots: list[bytes] = []

    def place(value: Any) -> Any:
        if not isinstance(value, ObjectRef):
            return value
        if later:
            return Later(value)
        slots.append(value.id)
        return Slot(len(slots) - 1)

    objects = client.objects
    given = [value for value in (*args, *kwargs.values()) if isinstance(value, ObjectRef)]
    for ref in given:
        objects.entry(ref)
    if given:
        args = tuple(place(value) for value in args)
        kwargs = {key: place(value) for key, value in kwargs.items()}
    content = objects.pack(
        (tuple(args), dict(kwargs)), lambda: f"an argument of {name}", parts=("args", "kwargs")
    )
    made = Arguments(content)
    with client.reactor.lock:
        references = client.references
        made.slots = [references.entries[slot] for slot in slots]
        references.hold(slots)
        made.held = [*slots, *(ref.id for ref in content.refs)]
        if content.location is not None:
            # Buffers that the task keeps map this memory: it is an object like any other.
            entry = references.own(object_id(task_id, ARGUMENTS_INDEX))
            entry.content = content
            references.hold([entry.id])
            made.held.append(entry.id)
    return made


DURABLE_MAX_BYTES = 128 << 20
"""So much the head keeps of what a detached actor is made of."""


def pack_durable(
    client: Client, args: Sequence[Any], kwargs: Mapping[str, Any], name: str
) -> Arguments:
    """Pickle arguments so that they are there without this process: values, no places in memory.

    Waits for arguments that are references, and takes their values. One that holds an error
    stays a reference, for the constructor to fail with it.

    Raises:
        SerializationError: an argument cannot be pickled, or they are too large together.
        ObjectLost: a reference is one of a cluster that was shut down.
        DeadlockError: a value comes from the calling actor, which would wait here for itself.
    """
    objects = client.objects

    def settled(value: Any) -> Any:
        if not isinstance(value, ObjectRef):
            return value
        try:
            return client.executor.get([value], None)[0]
        except Exception:
            with client.reactor.lock:
                content = objects.entry(value).content
            if content is None or content.kind != FAILED:
                raise
            return Later(value)

    with client.reactor.lock:
        for value in (*args, *kwargs.values()):
            if isinstance(value, ObjectRef):
                objects.entry(value)
    content = objects.pack(
        (tuple(map(settled, args)), {key: settled(value) for key, value in kwargs.items()}),
        lambda: f"an argument of {name}",
        parts=("args", "kwargs"),
        inline_max=sys.maxsize,
    )
    if content.size_bytes > DURABLE_MAX_BYTES:
        objects.give_up(content)
        raise SerializationError(
            f"the arguments of the detached actor {name} are {content.size_bytes >> 20} MiB when"
            f" pickled, and the cluster keeps no more than {DURABLE_MAX_BYTES >> 20} MiB to make it"
            " anew without this program. Let the constructor read them from a file, or give them"
            " to a method"
        )
    return Arguments(content, held=[ref.id for ref in content.refs])


def unpack_arguments(
    client: Client,
    task_id: bytes,
    caller: tuple[bytes, str],
    message: Any,
    payload: bytes,
    start: int,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """On the worker: the arguments of a ``Task``, an ``ActorCall`` or a ``CreateActor``.

    References that come in are left fresh: the runner settles them when the task is done.
    """
    value: Value = message.args
    if value.kind == INLINE and not value.lengths:
        return (), {}
    holder, address = caller
    content, start = from_wire(value, payload, start, holder)
    pin = None if content.location is None else object_id(task_id, ARGUMENTS_INDEX)
    args, kwargs = _load(client, content, pin, address)
    if not message.slots:
        return _wait_for_later(client, args, kwargs)
    filled: list[Any] = []
    for slot, ref in zip(message.slots, message.slot_refs, strict=True):
        content, start = from_wire(slot, payload, start, holder)
        filled.append(_load(client, content, ref.id if content.location else None, ref.address))
    return (
        tuple(filled[value.index] if isinstance(value, Slot) else value for value in args),
        {k: filled[v.index] if isinstance(v, Slot) else v for k, v in kwargs.items()},
    )


def _wait_for_later(
    client: Client, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    later = [value for value in (*args, *kwargs.values()) if isinstance(value, Later)]
    if not later:
        return args, kwargs
    values = iter(client.executor.get([value.ref for value in later], None))
    return (
        tuple(next(values) if isinstance(value, Later) else value for value in args),
        {k: next(values) if isinstance(v, Later) else v for k, v in kwargs.items()},
    )


def _load(client: Client, content: Content, pin: bytes | None, address: str) -> Any:
    if pin is None:
        return client.objects.unpack(content, None)[0]
    # Our reference lasts until the buffers, if any, have taken their own.
    client.objects.imported(pin, address)
    try:
        return client.objects.unpack(content, pin)[0]
    finally:
        client.objects.drop(pin)
