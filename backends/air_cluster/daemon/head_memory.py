"""What a head remembers when it is started again, and how it takes that up.

Kept are the nodes with the messages that they have not acknowledged, actors, placement groups
and programs. What is wanted and what is free, nodes say anew.

A change is on disk before anybody hears of it: what a message to a node is due to is committed
together with the message, then it is sent. So whatever a node has heard, the head still knows;
and what it has not, it hears when it comes back (see ``protocol.channel``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from air.executor.resources import Resources
from air_cluster.daemon.head_store import HeadStore
from air_cluster.daemon.jobs import Job
from air_cluster.daemon.kept import KeptActor, KeptGroup, KeptHead, KeptNode
from air_cluster.daemon.node_link import NodeLink
from air_cluster.protocol.channel import Outbox
from air_cluster.protocol.codec import Message
from air_cluster.protocol.frames import Buffer, FrameDecoder, pack
from air_cluster.protocol.head_messages import Joined, NodeEntry

if TYPE_CHECKING:
    from air_cluster.daemon.head import HeadService
    from air_cluster.daemon.membership import Membership

_HEAD = b"head"


class HeadMemory:
    """Writes what changes, after each round of events, and reads it once, at the start."""

    def __init__(self, head: HeadService, store: HeadStore) -> None:
        self._head = head
        self._store = store
        self._changed_links: dict[NodeLink, None] = {}
        self._saved: dict[int, int] = {}  # node -> how many messages to it were ever on disk
        self._planned = False

    # Writing ------------------------------------------------------------------------------

    def changed(self, link: NodeLink | None = None) -> None:
        """Something has to be kept; of a link: what was sent, received or acknowledged by it."""
        if link is not None:
            self._changed_links[link] = None
        if not self._planned:
            self._planned = True
            self._head.reactor.call_soon(self.save)

    def save(self) -> None:
        """Write what has changed, then let it be known."""
        self._planned = False
        head, store = self._head, self._store
        encode = msgspec.msgpack.encode
        kept = KeptHead(head.cluster, head.incarnation, head.next_number, head.own, head.drivers)
        store.put("head", _HEAD, encode(kept))
        for actor_id in head.actors.take_changed():
            actor = head.actors.kept(actor_id)
            if actor is None:
                store.delete("actor", actor_id)
            else:
                store.put("actor", actor_id, encode(actor))
        for group_id in head.groups.take_changed():
            group = head.groups.kept(group_id)
            if group is None:
                store.delete("group", group_id)
            else:
                store.put("group", group_id, encode(group))
        for process in head.jobs.take_changed():
            job = head.jobs.kept(process)
            if job is None:
                store.delete("job", process)
            else:
                store.put("job", process, encode(job))
        links, self._changed_links = self._changed_links, {}
        by_link = {record.link: record for record in head.nodes.values()}
        for link in links:
            record = by_link.get(link)
            if record is not None:
                self._save_link(record.entry, link)
        for number in head.take_gone():
            self._saved.pop(number, None)
            store.delete("node", _name(number))
            store.delete_range("sent", _name(number), _name(number, (1 << 64) - 1))
        store.commit()
        for link in links:
            link.flush()

    def _save_link(self, entry: NodeEntry, link: NodeLink) -> None:
        number, outbox, store = entry.number, link.outbox, self._store
        kept = KeptNode(entry, link.received, outbox.acknowledged)
        store.put("node", _name(number), msgspec.msgpack.encode(kept))
        before = max(self._saved.get(number, 0), outbox.acknowledged)
        for position, (message, payload) in enumerate(outbox.after(before), start=before + 1):
            store.put("sent", _name(number, position), b"".join(pack(message, payload)))
        self._saved[number] = outbox.sent
        store.delete_range("sent", _name(number), _name(number, outbox.acknowledged))

    # Reading ------------------------------------------------------------------------------

    def restore(self, members: Membership) -> None:
        """Take up what another head has left, if there is anything; before any node joins."""
        decode = msgspec.msgpack.decode
        found = dict(self._store.all("head")).get(_HEAD)
        if found is None:
            self.changed()
            return
        kept = decode(found, type=KeptHead)
        head, now = self._head, time.monotonic()
        head.take_up(kept.cluster, kept.incarnation + 1, kept.next_number)
        head.drivers = kept.drivers
        head.jobs.restore([decode(value, type=Job) for _, value in self._store.all("job")])
        for _, value in self._store.all("node"):
            self._restore_node(decode(value, type=KeptNode), members, now)
        if kept.own is not None:
            head.restore_node(kept.own, _NoLink(), Resources)
        for _, value in self._store.all("group"):
            head.groups.restore(decode(value, type=KeptGroup))
        for _, value in self._store.all("actor"):
            head.actors.restore(decode(value, type=KeptActor))
        # It has ended with the process that it shared with the head.
        if kept.own is not None:
            head.node_lost(kept.own.number, "the head was started again")
        self.changed()

    def _restore_node(self, kept: KeptNode, members: Membership, now: float) -> None:
        entry = kept.entry
        outbox: Outbox[tuple[Message, Sequence[Buffer]]] = Outbox(kept.acknowledged)
        decoder = FrameDecoder()
        low, high = _name(entry.number, kept.acknowledged + 1), _name(entry.number, (1 << 64) - 1)
        for name, frame in self._store.all("sent"):
            if low <= name <= high:
                for message, payload in decoder.feed(frame):
                    outbox.add((message, [payload]))
        self._saved[entry.number] = outbox.sent
        link = NodeLink(self._head.commit, now, outbox, kept.received)
        members.expect(entry, link)


class _NoLink:
    """To a node that is gone already."""

    unsent = 0

    def tell(self, message: Message, payload: Sequence[Buffer] = ()) -> None:
        """Nobody is there to hear it."""

    def send(self, message: Message, payload: Sequence[Buffer] = ()) -> None:
        """Nobody is there to hear it."""

    def greet(self, hello: Joined) -> None:
        """Nobody is there to hear it."""


def _name(number: int, position: int = 0) -> bytes:
    return number.to_bytes(8, "big") + position.to_bytes(8, "big")
