"""Values that were lost with a node's memory, or on its disk: their tasks run again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from air.errors import ObjectLost
from air_cluster.core.lineage import Lineage, Unrecoverable
from air_cluster.core.references import Entry
from air_cluster.protocol.ids import object_id, owner_of, task_of
from air_cluster.protocol.messages import SHARED, STREAMING, ValueLost
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.client.client import Client
    from air_cluster.client.contents import Content
    from air_cluster.client.submitter import TaskRecord

CAPACITY_BYTES = 32 << 20
"""What is remembered of tasks takes no more than about this."""

_RECORD_BYTES = 1000


class _Remembered(msgspec.Struct):
    """A task that has ended, without the values that it was given."""

    record: TaskRecord
    slots: list[bytes]
    inside: list[bytes]  # references inside its arguments


class Recovery:
    """Remembers tasks whose results lie in shared memory; all methods are under the lock.

    Not remembered: tasks that may not be tried again (``max_retries=0``), streams, and tasks
    with large arguments of their own (references to large values are fine).
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._remembered: dict[bytes, _Remembered] = {}
        self._lineage = Lineage(CAPACITY_BYTES, lambda task_id: self._remembered.pop(task_id, None))
        client.peers.handle(ValueLost, self._on_value_lost)

    def finished(self, record: TaskRecord) -> None:
        """A task has ended well; its arguments are still held."""
        if record.options.max_retries == 0 or record.returns == STREAMING:
            return
        references = self._client.references
        living, is_large = [], False
        for index in range(record.returns):
            entry = references.get(object_id(record.task_id, index))
            if entry is not None:
                living.append(entry.id)
                is_large = is_large or (entry.content is not None and entry.content.kind == SHARED)
        arguments = record.arguments
        if not is_large or arguments.content.location is not None:
            return
        if any(owner_of(held) != self._client.process_id for held in arguments.held):
            return
        slots = [entry.id for entry in arguments.slots]
        inside = [ref.id for ref in arguments.content.refs]
        cost = _RECORD_BYTES + sum(map(len, arguments.content.pieces))
        again = msgspec.structs.replace(
            record,
            arguments=msgspec.structs.replace(arguments, slots=[], held=[]),
            retries_left=record.options.max_retries,
            missing=0,
            undelivered=False,
        )
        self._remembered[record.task_id] = _Remembered(again, slots, inside)
        self._lineage.finished(record.task_id, [*slots, *inside], living, cost)

    def freed(self, identity: bytes) -> None:
        """Nobody refers to a value of ours any more."""
        if self._remembered:
            self._lineage.freed(identity)

    def lost(self, entries: Iterable[Entry], where: str = "with the node that held it") -> None:
        """The memory in which values of ours lay is gone."""
        entries = list(entries)
        for entry in entries:
            entry.content = None
        for entry in entries:
            try:
                plan = self._lineage.plan(entry.id, self._is_there)
            except Unrecoverable as missing:
                self._give_up(entry, missing.object_id, where)
                continue
            for task_id in plan:
                self._run_again(task_id)

    def unreadable(self, identity: bytes, content: Content) -> None:
        """A value cannot be read: if that was from this node's disk, its owner is told.

        From other nodes it may be readable in a moment, or nobody hears of it but by their end.
        """
        client = self._client
        if not content.spilled or content.node != client.node_number:
            return
        assert content.location is not None
        lost = ValueLost(identity, content.location.segment, content.location.offset)
        with client.reactor.lock:
            entry = client.references.get(identity)
            if entry is None:
                return
            if entry.owned:
                self._lost_on_disk(entry, lost)
                return
            client.peers.send_to(owner_of(identity), entry.address, lost)
            if entry.content is content:
                entry.content = None
                client.objects.fetch(entry)

    def _on_value_lost(self, _connection: Connection, message: ValueLost, _p: object) -> None:
        entry = self._client.references.get(message.object_id)
        if entry is not None and entry.owned:
            self._lost_on_disk(entry, message)

    def _lost_on_disk(self, entry: Entry, lost: ValueLost) -> None:
        content = entry.content
        if content is None or not content.spilled or content.location is None:
            return  # somebody else has said so before
        if (content.location.segment, content.location.offset) != (lost.file, lost.offset):
            return
        self._client.spilling.freed(entry.id, content)
        self.lost([entry], "on disk: its file was removed or cut short")

    def _is_there(self, identity: bytes) -> bool:
        entry = self._client.references.get(identity)
        if entry is None:
            return False
        return entry.content is not None or task_of(identity) in self._client.submitter.records

    def _give_up(self, entry: Entry, missing: bytes, where: str) -> None:
        if missing == entry.id:
            why = "nothing is remembered of the task that made it"
        else:
            why = f"making it anew takes {missing.hex()}, which was lost as well"
        entry.content = self._client.system_failure(
            ObjectLost(f"the value {entry.id.hex()} was lost {where}: {why}")
        )
        self._client.objects.notify(entry)

    def _run_again(self, task_id: bytes) -> None:
        submitter, references = self._client.submitter, self._client.references
        if task_id in submitter.records:
            return
        remembered = self._remembered[task_id]
        for identity in (*remembered.slots, *remembered.inside):
            if references.get(identity) is None:  # it is on the plan as well
                references.own(identity)
        record = remembered.record
        slots = [references.entries[identity] for identity in remembered.slots]
        held = [*remembered.slots, *remembered.inside]
        references.hold(held)
        arguments = msgspec.structs.replace(record.arguments, slots=slots, held=held)
        submitter.resubmit(
            msgspec.structs.replace(record, arguments=arguments, since=time.monotonic())
        )
