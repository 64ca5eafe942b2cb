"""How a daemon becomes a node: with the head in its own process, or by joining another's."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from air_cluster.daemon.head import HeadService
from air_cluster.daemon.hosts import LOOPBACK, local_host
from air_cluster.daemon.local_link import LocalLink
from air_cluster.protocol.head_messages import NodeEntry
from air_cluster.protocol.ids import NO_NODE

if TYPE_CHECKING:
    from air_cluster.daemon.membership import Membership
    from air_cluster.daemon.node import NodeDaemon
    from air_cluster.daemon.values import RemoteValues


class Member:
    """What ties a node to its head.

    Args:
        host: the node's address for others; empty if there are none.
        address: where it listens for other machines, as ``HOST:PORT``; empty likewise.
        head: where the head does.
    """

    def __init__(self, node: NodeDaemon, host: str, address: str, head: str) -> None:
        self._node = node
        self._host = host
        self._address = address
        self._head = head

    def ready(self) -> dict[str, Any]:
        """What whoever started the daemon wants to know of it."""
        return {
            "number": self._node.number,
            "name": self._node.name,
            "host": self._host,
            "address": self._address,
            "head": self._head,
        }

    def about(self) -> dict[str, Any]:
        """What other programs on this machine have to know; see ``directories.RunningNode``."""
        return {
            "pid": os.getpid(),
            "number": self._node.number,
            "head": self._head,
            "host": self._host,
            "is_head": self._head == self._address,
        }

    def leave(self) -> None:
        """Tell the head, if that is elsewhere, that this node ends."""


class _Remote(Member):
    def __init__(self, node: NodeDaemon, host: str, address: str, head: str) -> None:
        super().__init__(node, host, address, head)
        from air_cluster.daemon.uplink import Uplink

        where = f"tcp:{head}"
        self._uplink = Uplink(node.reactor, node.peers, where, node)
        node.uplink = self._uplink
        node.on_changed = partial(self._uplink.report_load, node.scheduler.available)
        node.on_promised = self._uplink.report_anyway
        node.on_connection_lost.append(self._uplink.connection_lost)

    def join(self, entry: NodeEntry) -> None:
        self._uplink.join(entry)

    def leave(self) -> None:
        self._uplink.close()


def make_member(
    node: NodeDaemon, network: dict[str, Any] | None, token: bytes, session: str
) -> Member:
    """Have the node join; it has its number once the head has answered.

    Args:
        network: see ``launch.Network``; ``None`` for a cluster of this machine alone.
        token: what members of the cluster know.
        session: the directory of this daemon.
    """
    host, address, transfer = "", "", ""
    node.make_values = partial(_make_values, node, local_host(network), token, session)
    if network is not None:
        from air_cluster.transport.addresses import TcpAddress

        host = local_host(network)
        listening = node.peers.listen(str(TcpAddress(host, network["port"])))
        address = listening.removeprefix("tcp:")
        node.values = node.make_values()
        transfer = node.values.address
    entry = NodeEntry(
        number=NO_NODE,
        name=node.name,
        host=host or LOOPBACK,
        daemon=node.peers.process_id,
        address=f"tcp:{address}" if address else "",
        transfer=transfer,
        resources=node.total.to_dict(),
        labels=dict(node.labels),
        is_guest=node.is_guest,
    )
    if network is not None and network["head"]:
        remote = _Remote(node, host, address, network["head"])
        remote.join(entry)
        return remote
    _join_own_head(node, entry, network)
    return Member(node, host, address, address)


def _remember(head: HeadService, members: Membership, path: str) -> None:
    from air_cluster.daemon.head_memory import HeadMemory
    from air_cluster.daemon.head_store import HeadStore

    head.memory = HeadMemory(head, HeadStore(path))
    head.memory.restore(members)


def _make_values(node: NodeDaemon, host: str, token: bytes, session: str) -> RemoteValues:
    from air_cluster.daemon.values import RemoteValues

    return RemoteValues(node, host, token, session)


def _join_own_head(node: NodeDaemon, entry: NodeEntry, network: dict[str, Any] | None) -> None:
    head = HeadService(node.reactor)
    if network is not None:
        from air_cluster.daemon.membership import Membership

        members = Membership(head, node.peers)
        node.on_connection_lost.append(members.lost)
        if network["state"]:
            _remember(head, members, network["state"])
    link = LocalLink(node.reactor, node.from_head)
    record = head.admit(entry, link, node.scheduler.available)
    head.own = record.entry
    node.uplink = LocalLink(node.reactor, partial(head.receive, record))
    node.on_changed = partial(head.load_changed, record)
    node.reactor.run_soon()
