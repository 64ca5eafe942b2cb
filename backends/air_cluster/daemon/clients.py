"""The processes that are connected to a daemon."""

from __future__ import annotations

import msgspec

from air_cluster.transport.connection import Connection


class ClientRecord(msgspec.Struct):
    """A registered driver or worker; *failure* is what a driver has failed with if it ends now."""

    process: bytes
    kind: str
    connection: Connection
    address: str
    namespace: str
    wants_logs: bool
    os_pid: int = 0
    failure: str = "it ended without leaving the cluster: it was killed, or crashed"


class Clients:
    """Clients by identity."""

    def __init__(self) -> None:
        self._by_process: dict[bytes, ClientRecord] = {}

    def add(self, record: ClientRecord) -> None:
        """A client has registered."""
        self._by_process[record.process] = record

    def remove(self, connection: Connection) -> ClientRecord | None:
        """A connection is gone; returns the client behind it, if it had registered."""
        record = self._by_process.get(connection.peer)
        if record is None or record.connection is not connection:
            return None
        return self._by_process.pop(connection.peer)

    def get(self, process: bytes) -> ClientRecord | None:
        """The client of that identity, if it is connected."""
        return self._by_process.get(process)

    def all(self) -> list[ClientRecord]:
        """All clients."""
        return list(self._by_process.values())

    def others(self, process: bytes) -> list[ClientRecord]:
        """All clients but one."""
        return [record for key, record in self._by_process.items() if key != process]

    def drivers(self) -> list[ClientRecord]:
        """All drivers."""
        return [record for record in self._by_process.values() if record.kind == "driver"]
