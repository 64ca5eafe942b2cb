"""Placement groups as a client sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from air.errors import ActorPlacementError, InvalidOption, Unschedulable
from air.executor.handles import ObjectRef
from air.executor.interface import PlacementGroupInfo
from air.executor.scheduling import PlacementGroupSpec
from air_cluster.client.contents import Content
from air_cluster.protocol.ids import PUT_INDEX, object_id
from air_cluster.protocol.messages import CreateGroup, GroupEvent, RemoveGroup, Reply, WatchGroup
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.client.client import Client

CREATED, HOPELESS = "CREATED", "HOPELESS"


class Groups:
    """Creates placement groups and tells when they are ready."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = client.reactor.lock
        self._waiting: dict[bytes, list[bytes]] = {}  # group -> references that wait for it
        self._latest = b""  # the group that was made last, and what the head has told of it
        self._latest_event: GroupEvent | None = None
        self._made_in_round = 0
        client.peers.handle(GroupEvent, self._on_event)

    def create(self, spec: PlacementGroupSpec) -> bytes:
        """See :meth:`Executor.create_placement_group`."""
        client = self._client
        group_id = client.ids.task()
        bundles = [bundle.to_dict() for bundle in spec.bundles]
        # A worker ends when it is not needed any more: what its tasks have made is not its own.
        owner = client.process_id if client.actors.me is not None else client.job_id
        with self._lock:
            self._latest, self._latest_event = group_id, None
        reply: Reply = client.requests.ask(
            client.daemon,
            lambda number: (
                CreateGroup(
                    number,
                    group_id,
                    bundles,
                    spec.strategy,
                    spec.name,
                    spec.detached,
                    owner,
                    spec.namespace,
                ),
                [],
            ),
        )
        if reply.error:
            error = InvalidOption if reply.content == "invalid" else Unschedulable
            raise error(reply.error)
        self._made_in_round = client.reactor.rounds
        return group_id

    def ready(self, group_id: bytes) -> ObjectRef[bool]:
        """A reference that becomes true once the bundles are reserved."""
        client = self._client
        identity = object_id(client.ids.task(), PUT_INDEX)
        with self._lock:
            client.check_alive()
            entry = client.references.own(identity)
            entry.local = 1
            event = self._news(group_id)
            if event is not None:
                client.objects.fulfil(identity, self._content(event), None)
            else:
                self._waiting.setdefault(group_id, []).append(identity)
        return ObjectRef(identity, client.executor)

    def _news(self, group_id: bytes) -> GroupEvent | None:
        """What we know of a group already; if that is nothing, it is on its way.

        The head tells of a group that we have made without being asked. That holds as long as
        nothing has arrived here since: who removed it meanwhile could not have told us.
        """
        client = self._client
        if group_id == self._latest and client.reactor.rounds == self._made_in_round:
            return self._latest_event
        client.daemon.send(WatchGroup(group_id))
        return None

    def remove(self, group_id: bytes) -> None:
        """Give the bundles back.

        A worker waits until that is known: whoever gets the result of its task may ask for the
        group at once, and would be told that it is there.
        """
        client = self._client
        with self._lock:
            self._latest = b""
            if not client.can_block():
                client.daemon.send(RemoveGroup(group_id))
                return
        client.requests.ask(client.daemon, lambda number: (RemoveGroup(group_id, number), []))

    def infos(self) -> list[PlacementGroupInfo]:
        """All groups that the cluster knows."""
        return [
            PlacementGroupInfo(
                group_id=found["group_id"],
                name=found["name"],
                strategy=found["strategy"],
                bundles=tuple(found["bundles"]),
                state=found["state"],
                bundle_nodes=tuple(found["nodes"]),
                namespace=found["namespace"],
            )
            for found in self._client.ask("groups")
        ]

    def group_of(self, identity: bytes) -> bytes | None:
        """The placement group that a reference waits for, if it is one's."""
        return next((group for group, ids in self._waiting.items() if identity in ids), None)

    def label(self, identity: bytes) -> str | None:
        """That group, in words."""
        group_id = self.group_of(identity)
        return None if group_id is None else f"placement group {group_id.hex()}"

    def _content(self, event: GroupEvent) -> Content:
        if event.state == CREATED:
            return self._client.objects.pack(True, "the answer")
        if event.state == HOPELESS:
            return self._client.system_failure(Unschedulable(event.reason))
        return self._client.system_failure(
            ActorPlacementError(f"placement group {event.group_id.hex()} was removed")
        )

    def _on_event(self, _connection: Connection, message: GroupEvent, _payload: object) -> None:
        if message.group_id == self._latest:
            self._latest_event = message
        for identity in self._waiting.pop(message.group_id, ()):
            self._client.objects.fulfil(identity, self._content(message), None)
