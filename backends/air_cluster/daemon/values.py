"""Values that are not in this node's shared memory, for the processes that want to read them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from air_cluster.core.copies import FailureKind
from air_cluster.core.spilling import Candidate
from air_cluster.daemon.copies import CopyService
from air_cluster.daemon.spill import SpillService
from air_cluster.daemon.transfer import Peer, Transfers, TransferServer
from air_cluster.protocol import messages
from air_cluster.session_files import SPILLED
from air_cluster.store.files import SpillFiles
from air_cluster.store.layout import Location
from air_cluster.transport.addresses import TcpAddress
from air_cluster.transport.connection import Connection
from air_cluster.transport.encryption import contexts_in

if TYPE_CHECKING:
    from air_cluster.daemon.node import NodeDaemon


class RemoteValues:
    """Keeps values on disk when memory is short, serves this node's to others, fetches theirs.

    Args:
        host: where to listen for other nodes; empty if there are none.
        token: what members of the cluster know.
        session: the directory of the daemon, in which values on disk get one of their own.
    """

    def __init__(self, node: NodeDaemon, host: str, token: bytes, session: str) -> None:
        self._node = node
        identity = node.peers.process_id
        tls = contexts_in(session)
        self._server: TransferServer | None = None
        self.address = ""
        """Where others fetch values of this node."""
        if host:
            listen = TcpAddress(host, 0)
            self._server = TransferServer(
                node.reactor,
                listen,
                token,
                identity,
                self._open_source,
                tls=None if tls is None else tls.server,
            )
            self.address = str(self._server.address)
        call_soon = node.reactor.call_soon
        self._spill = SpillService(
            SpillFiles(os.path.join(session, SPILLED)),
            lend=node.memory.lend,
            owners=_Owners(node),
            call_soon=call_soon,
        )
        self._transfers = Transfers(token, identity, tls=None if tls is None else tls.client)
        self._copies: CopyService
        node.segments.spill = self._spill.spill
        node.segments.open_file = self._spill.open

    def joined(self) -> None:
        """The node has its number; to be called before anything is asked of this."""
        node = self._node
        self._copies = CopyService(
            node.number,
            node.peers.process_id,
            node.memory,
            want_room=node.segments.want,
            transfers=self._transfers,
            restore=self._spill.restore,
            peer=self._peer,
            answers=self,
            call_soon=node.reactor.call_soon,
        )
        node.segments.drop_copies = self._copies.drop_unused
        node.segments.on_freed = self._copies.memory_freed
        node.segments.copy_readers = lambda: self._copies.readers

    def _open_source(self, spilled: bool, place: int) -> tuple[int, int] | str:
        return self._spill.open(place) if spilled else self._node.memory.lend(place)

    def _peer(self, number: int) -> Peer | None:
        entry = self._node.nodes.get(number)
        return None if entry is None else Peer(entry.daemon, entry.transfer)

    def spill(self, nbytes: int, done: Callable[[int, str], None]) -> None:
        """Spill values of so many bytes: see ``SpillService.spill``."""
        self._spill.spill(nbytes, done)

    # Messages of clients ------------------------------------------------------------------

    def on_fetch(self, connection: Connection, message: messages.FetchCopy) -> None:
        """A process wants to read a value."""
        self._copies.wanted(
            connection.peer,
            message.request,
            message.object_id,
            node=message.node,
            spilled=message.spilled,
            place=message.segment,
            offset=message.offset,
            lengths=tuple(message.lengths),
        )

    def on_released(self, connection: Connection, message: messages.CopyReleased) -> None:
        """It reads it no more."""
        self._copies.released(connection.peer, message.object_id, was_read=message.was_read)

    def on_offers(self, connection: Connection, message: messages.SpillOffers) -> None:
        """An owner says what may go to disk."""
        candidates = [
            Candidate(offer.object_id, offer.segment, offer.offset, offer.nbytes, offer.idle_s)
            for offer in message.offers
        ]
        self._spill.offered(connection.peer, message.run, candidates)

    def on_settled(self, connection: Connection, message: messages.SpillSettled) -> None:
        """An owner knows that a value is on disk, and agrees or not."""
        self._spill.settled(connection.peer, message.object_id, accepted=message.accepted)

    def on_freed(self, connection: Connection, message: messages.SpillFreed) -> None:
        """An owner needs a value on disk no more."""
        self._spill.freed(connection.peer, message.object_id)
        self._copies.forget(message.object_id)

    # Answers to them ----------------------------------------------------------------------

    def ready(self, process: bytes, request: int, location: Location) -> None:
        """See ``daemon.copies.Answers``."""
        lengths = list(location.lengths)
        self._answer(
            process, messages.CopyReply(request, location.segment, location.offset, lengths, "")
        )

    def failed(self, process: bytes, request: int, kind: FailureKind, reason: str) -> None:
        """See ``daemon.copies.Answers``."""
        full = kind in (FailureKind.FULL, FailureKind.TOO_LARGE)
        on_disk = kind is FailureKind.ON_DISK
        self._answer(process, messages.CopyReply(request, 0, 0, [], reason, full, on_disk))

    def _answer(self, process: bytes, reply: messages.CopyReply) -> None:
        record = self._node.clients.get(process)
        if record is not None and reply.request:
            record.connection.send(reply)

    # Events -------------------------------------------------------------------------------

    def process_gone(self, process: bytes) -> None:
        """A process died, here or on another node."""
        self._copies.process_gone(process)
        self._spill.owner_gone(process)

    def node_gone(self, number: int) -> None:
        """Another node is dead; called before it is forgotten."""
        self._copies.node_gone(number)
        self._spill.node_gone(number)

    def tick(self) -> None:
        """Time passes."""
        self._copies.tick()
        self._spill.tick()

    def close(self) -> None:
        """Stop serving and fetching."""
        if self._server is not None:
            self._server.close()
        self._transfers.close()
        self._spill.close()

    def join(self) -> None:
        """Wait for the threads to end, after :meth:`close`; not under the reactor's lock."""
        self._transfers.join()
        self._spill.join()
        if self._server is not None:
            self._server.join()
        if self._node.number:  # else it has never joined, and nothing was asked of this
            self._copies.close()


class _Owners:
    """The processes that may own values in this node's memory."""

    def __init__(self, node: NodeDaemon) -> None:
        self._node = node

    def all(self) -> list[bytes]:
        return list(self._node.owners())

    def ask(self, owner: bytes, run: int, nbytes: int) -> None:
        self._send(owner, messages.SpillWanted(run, self._node.number, nbytes))

    def tell(self, owner: bytes, object_id: bytes, file: int, offset: int) -> None:
        self._send(owner, messages.Spilled(object_id, self._node.number, file, offset))

    def _send(self, owner: bytes, message: messages.ClientMessage) -> None:
        connection = self._node.owners().get(owner)
        if connection is not None:
            connection.send(message)
