"""An owner's side of spilling: which of its values may go to disk; see ``core.spilling``."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from air_cluster.client.contents import Content, shared_location
from air_cluster.core.references import Entry
from air_cluster.core.spilling import Offers
from air_cluster.protocol.messages import (
    Spilled,
    SpillFreed,
    SpillOffer,
    SpillOffers,
    SpillSettled,
    SpillWanted,
)
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.client.client import Client


class OwnedSpilling:
    """Offers values that nobody reads to nodes that are short of memory.

    A value stays if a buffer of this process maps it, if this process has its node fetch it, if
    another process has a reference to it, or if a call that is under way was given it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._offers = Offers()
        handle = client.peers.handle
        handle(SpillWanted, self._on_wanted)
        handle(Spilled, self._on_spilled)

    def touched(self, entry: Entry) -> None:
        """A value of ours was made, read or told of; called under the lock."""
        content = entry.content
        if entry.owned and content.location is not None and not content.spilled:
            self._offers.touched(entry.id, time.monotonic())

    def freed(self, object_id: bytes, content: Content) -> None:
        """A value of ours is needed no more; called under the lock."""
        if not content.spilled:
            self._offers.gone(object_id)
            return
        daemon = self._client.peers.known(content.holder)
        if daemon is not None:
            daemon.send(SpillFreed(object_id))

    def _on_wanted(self, daemon: Connection, message: SpillWanted, _payload: object) -> None:
        client = self._client
        client.objects.drain()
        size_if_idle = partial(self._size_if_idle, message.node)
        found = self._offers.offer(message.nbytes, size_if_idle, time.monotonic())
        offers = []
        for object_id, idle_s in found:
            location = client.references.entries[object_id].content.location
            offers.append(
                SpillOffer(object_id, location.segment, location.offset, location.nbytes, idle_s)
            )
        daemon.send(SpillOffers(message.run, offers))

    def _on_spilled(self, daemon: Connection, message: Spilled, _payload: object) -> None:
        self._client.objects.drain()
        entry = self._client.references.get(message.object_id)
        size_if_idle = partial(self._size_if_idle, message.node)
        accepted = entry is not None and self._offers.settle(message.object_id, size_if_idle)
        if accepted and entry is not None:
            before: Content = entry.content
            assert before.location is not None
            entry.content = msgspec.structs.replace(
                before,
                location=shared_location(message.file, message.offset, before.location.lengths),
                holder=daemon.peer,
                node=message.node,
                spilled=True,
            )
            self._client.objects.free_shared(before.location, before.holder)
        daemon.send(SpillSettled(message.object_id, accepted))

    def _size_if_idle(self, node: int, object_id: bytes) -> int:
        """Bytes of a value in a node's memory, or 0 if it is not there, or must stay."""
        client = self._client
        entry = client.references.get(object_id)
        if entry is None or entry.pins or entry.lent or entry.borrowers:
            return 0
        if client.copies.is_asked(object_id):
            return 0
        content: Content | None = entry.content
        if content is None or content.location is None or content.node != node or content.spilled:
            return 0
        return content.location.nbytes
