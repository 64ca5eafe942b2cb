"""Values in the memory of other nodes, or on disk: copies of them in this node's memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from air.errors import GetTimeout, ObjectLost, ObjectStoreFull
from air_cluster.client.contents import Content, shared_location
from air_cluster.protocol.messages import CopyReleased, CopyReply, FetchCopy
from air_cluster.store.layout import Location
from air_cluster.store.segment import Mapping

if TYPE_CHECKING:
    from air_cluster.client.client import Client


class CopyFailed(ObjectLost):
    """A value could not be brought here; its owner may be about to make it anew."""


class Copies:
    """Has the node fetch values, and tells it when they are read no more.

    The node keeps a copy for as long as buffers of this process map it; and after that until
    it needs the memory, so that who reads a value again and again need not wait for it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = client.reactor.lock
        self._here: dict[bytes, Location] = {}
        self._asked: set[bytes] = set()
        client.peers.handle(
            CopyReply, lambda _c, message, _p: client.requests.answered(message.request, message)
        )

    def fetch(self, object_id: bytes, content: Content, deadline: float | None) -> Location | None:
        """Where the copy of a value lies; waits until it is here. Its entry must be pinned.

        Returns:
            The place, or ``None`` if there is no memory for a copy now, but the value is on this
            node's disk: see :meth:`map_file`.

        Raises:
            GetTimeout: it was not here before *deadline*.
            CopyFailed: it cannot be had from there.
            ObjectStoreFull: there is no memory for it.
        """
        with self._lock:
            location = self._here.get(object_id)
            self._asked.add(object_id)
        if location is not None:
            return location
        reply: CopyReply | None = self._client.requests.ask_daemon(
            self._client.daemon,
            lambda number: (_question(number, object_id, content), []),
            deadline,
        )
        if reply is None:
            raise GetTimeout(_on_its_way(object_id, content))
        if reply.on_disk:
            return None
        if reply.full:
            raise ObjectStoreFull(reply.error)
        if reply.error:
            raise CopyFailed(f"the value {object_id.hex()} cannot be read: {reply.error}")
        location = shared_location(reply.segment, reply.offset, reply.lengths)
        with self._lock:
            self._here[object_id] = location
        return location

    def map_file(self, object_id: bytes, content: Content) -> memoryview:
        """The bytes of a value on this node's disk, in its file, for as long as the view lives.

        Files do not change while a value lies in them, and what is mapped stays when they go.

        Raises:
            CopyFailed: the file is gone, or shorter than it was.
        """
        location = content.location
        assert location is not None
        try:
            mapping = Mapping(*self._client.open_segment(location.segment, on_disk=True))
        except (ObjectLost, OSError, ValueError) as error:
            raise CopyFailed(f"the value {object_id.hex()} cannot be read: {error}") from None
        try:
            return mapping.view(location.offset, location.nbytes)
        finally:
            mapping.close()  # with the view

    def is_here(self, object_id: bytes, content: Content) -> bool:
        """Whether a value can be read without waiting for another node."""
        if content.location is None or object_id in self._here:
            return True
        return content.node == self._client.node_number and not content.spilled

    def prefetch(self, values: Iterable[tuple[bytes, Content]]) -> None:
        """Have the node fetch these values at the same time; does not wait."""
        with self._lock:
            for object_id, content in values:
                if not self.is_here(object_id, content):
                    self._asked.add(object_id)
                    self._client.daemon.send(_question(0, object_id, content))

    def is_asked(self, object_id: bytes) -> bool:
        """Whether the node fetches a value for this process, or has; called under the lock."""
        return object_id in self._asked

    def unread(self, object_id: bytes) -> None:
        """Nothing here reads a value any more; called under the lock."""
        was_read = self._here.pop(object_id, None) is not None
        if object_id in self._asked:
            self._asked.remove(object_id)
            self._client.daemon.send(CopyReleased(object_id, was_read))


def _on_its_way(object_id: bytes, content: Content) -> str:
    size = f"the value {object_id.hex()} ({content.size_bytes} bytes)"
    if content.spilled:
        return f"{size} was not read from disk in time, where it went when memory was short"
    return f"{size} is there, and did not get from its node to this one in time"


def _question(number: int, object_id: bytes, content: Content) -> FetchCopy:
    location = content.location
    assert location is not None
    return FetchCopy(
        number,
        object_id,
        content.node,
        location.segment,
        location.offset,
        list(location.lengths),
        content.spilled,
    )
