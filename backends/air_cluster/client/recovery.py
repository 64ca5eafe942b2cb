"""Values that were lost with a node's memory, or on its disk: their tasks run again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from air.errors import ObjectLost
from air_cluster.client.streams import Stream
from air_cluster.core.lineage import Lineage, Unrecoverable
from air_cluster.core.references import Entry
from air_cluster.core.stream_losses import StreamLosses
from air_cluster.protocol.ids import PUT_INDEX, index_of, object_id, owner_of, task_of
from air_cluster.protocol.messages import INLINE, SHARED, STREAMING, StreamClose, ValueLost
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.client.client import Client
    from air_cluster.client.contents import Content
    from air_cluster.client.submitter import TaskRecord

CAPACITY_BYTES = 32 << 20
"""What is remembered of tasks takes no more than about this."""

_RECORD_BYTES = 1000
_RESULT_BYTES = 100

_PUT = (
    "air.put has stored it, and nothing makes that anew. Store it again, or return it from a task,"
    " which runs again when its values are lost"
)
_OF_AN_ACTOR = (
    "it came from a method of an actor, and these are not called again for what they returned."
    " Call it again, or have a task make what must outlive a node"
)


class _Remembered(msgspec.Struct):
    """A task that has ended, without the large values that it was given."""

    record: TaskRecord
    slots: list[bytes]
    inside: list[bytes]  # references inside its arguments
    kept: list[bytes]  # those of them that are small: they cost nothing, and cannot be lost


class Recovery:
    """Remembers tasks whose results lie in shared memory; all methods are under the lock.

    Not remembered, but for the reason: tasks that may not be tried again (``max_retries=0``), and
    those with large arguments of their own (references to large values are fine) or with values of
    other processes. Of a stream that runs again, values that are there still are thrown away.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._remembered: dict[bytes, _Remembered] = {}
        self._lineage = Lineage(CAPACITY_BYTES, self._forgotten)
        self._losses = StreamLosses()
        self._codes: Counter[bytes] = Counter()  # key of a function -> tasks remembered
        self._feeds: dict[bytes, Stream] = {}  # of streams that run again after their end
        # Values in shared memory -> why they cannot be made anew.
        self._reasons: dict[bytes, str] = {}
        client.peers.handle(ValueLost, self._on_value_lost)

    # What is remembered -------------------------------------------------------------------

    def finished(self, record: TaskRecord) -> None:
        """A task has ended well, or has at least yielded values; its arguments are still held."""
        living, large = self._results(record)
        if not large:
            return
        if record.task_id in self._remembered:  # it ran again
            self._lineage.finished(record.task_id, [], living, 0)
            return
        reason = self._why_not(record)
        if reason:
            self._reasons.update(dict.fromkeys(large, reason))
            return
        references, arguments = self._client.references, record.arguments
        slots = [entry.id for entry in arguments.slots]
        inside = [ref.id for ref in arguments.content.refs]
        cost = _RECORD_BYTES + sum(map(len, arguments.content.pieces))
        kept = []
        for identity in (*slots, *inside):
            entry = references.entries[identity]
            if entry.content is not None and entry.content.kind == INLINE and not entry.contains:
                kept.append(identity)
                cost += _RESULT_BYTES + entry.content.size_bytes
        references.hold(kept)
        if not self._codes[record.code.key]:
            cost += len(record.code.pickled)
        self._codes[record.code.key] += 1
        if record.returns == STREAMING:
            cost += _RESULT_BYTES * len(living)
        again = msgspec.structs.replace(
            record,
            arguments=msgspec.structs.replace(arguments, slots=[], held=[]),
            retries_left=record.options.max_retries,
            missing=0,
            undelivered=False,
        )
        self._remembered[record.task_id] = _Remembered(again, slots, inside, kept)
        self._lineage.finished(record.task_id, [*slots, *inside], living, cost)

    def _results(self, record: TaskRecord) -> tuple[list[bytes], list[bytes]]:
        """The results that somebody refers to, and those in shared memory."""
        get = self._client.references.get
        if record.stream is not None:
            # Streams are long: nobody looks at all the small ones.
            kept = [object_id(record.task_id, index) for index in record.stream.large]
            kept = [identity for identity in kept if get(identity) is not None]
            return kept, kept
        living, large = [], []
        for index in range(record.returns):
            entry = get(object_id(record.task_id, index))
            if entry is not None:
                living.append(entry.id)
                if entry.content is not None and entry.content.kind == SHARED:
                    large.append(entry.id)
        return living, large

    def _why_not(self, record: TaskRecord) -> str:
        """Why a task cannot run again once it has ended; empty if it can."""
        task = f"task {record.name}, which made it,"
        if record.cancelled:
            return f"{task} was cancelled"
        if record.options.max_retries == 0:
            return f"{task} runs once only (max_retries=0)"
        if record.arguments.content.location is not None:
            return (
                f"{task} was given large arguments, which are not kept for another run. Store them"
                " with air.put and give it the references"
            )
        if any(owner_of(held) != self._client.process_id for held in record.arguments.held):
            return (
                f"{task} was given references to values of other processes, which may be gone."
                " Values are made anew where the same process owns arguments and results"
            )
        return ""

    def _forgotten(self, task_id: bytes, needed: Iterable[bytes]) -> None:
        remembered = self._remembered.pop(task_id)
        code = remembered.record.code.key
        self._codes[code] -= 1
        if not self._codes[code]:
            del self._codes[code]
        for identity in needed:
            self._reasons[identity] = (
                f"task {remembered.record.name}, which made it, ended long ago: what a process"
                f" remembers of its tasks takes no more than {CAPACITY_BYTES >> 20} MiB"
            )
        if remembered.kept:
            objects = self._client.objects
            objects.follow(self._client.references.unhold(remembered.kept))

    def freed(self, identity: bytes) -> None:
        """Nobody refers to a value of ours any more."""
        if self._remembered:
            self._lineage.freed(identity)
        if self._reasons:
            self._reasons.pop(identity, None)
        if self._losses.tasks:
            self._losses.settled(task_of(identity), index_of(identity))

    # What was lost ------------------------------------------------------------------------

    def lost(self, entries: Iterable[Entry], where: str = "with the node that held it") -> None:
        """The memory in which values of ours lay is gone."""
        entries = list(entries)
        for entry in entries:
            entry.content = None
        started: set[bytes] = set()
        for entry in entries:
            if self._is_streamed(entry.id, started):
                self._want(entry.id, started)
                continue
            try:
                plan = self._lineage.plan(entry.id, self._is_there)
            except Unrecoverable as missing:
                self._give_up(entry, missing.object_id, where)
                continue
            self._want(entry.id, started | set(plan))
            for task_id in plan:
                self._run_again(task_id, started)

    def _is_streamed(self, identity: bytes, started: set[bytes]) -> bool:
        """Whether a value is of a stream that is being made, by a task that may run again."""
        record = self._client.submitter.records.get(task_of(identity))
        if record is None or not _has_yielded(record, identity):
            return False
        return record.task_id in started or record.options.max_retries != 0

    def _want(self, identity: bytes, started: set[bytes]) -> None:
        """If a value is one of a stream: it has to come again."""
        task_id = task_of(identity)
        record = self._client.submitter.records.get(task_id)
        runs = record is not None and task_id not in started
        if record is None and task_id in self._remembered:
            record = self._remembered[task_id].record
        if record is not None and _has_yielded(record, identity):
            self._losses.lost(task_id, index_of(identity), runs=runs)

    def came_again(
        self, connection: Connection, task_id: bytes, index: int, content: Content, size: int
    ) -> None:
        """A value has come that the stream had before: it was lost, or is not wanted."""
        self._losses.settled(task_id, index)
        self._client.objects.fulfil(object_id(task_id, index), content, connection)
        stream = self._client.submitter.streams.get(task_id)
        if stream is None or stream.ended:  # nobody waits for what has not come before
            if not self._losses.wants_more(task_id, index):
                connection.send(StreamClose(task_id))
                return
            stream = self._feeds.setdefault(task_id, Stream(task_id, "", ahead=1))
        stream.connection = connection
        stream.made_again(index, size)

    def stream_ended(self, record: TaskRecord, failed: Content | None) -> None:
        """A streaming task has ended, and may have to run again."""
        task_id = record.task_id
        assert record.stream is not None
        record.stream.connection = None
        self._feeds.pop(task_id, None)
        if task_id not in self._losses:
            return
        if failed is not None:
            for index in self._losses.given_up(task_id):
                self._client.objects.fulfil(object_id(task_id, index), failed, None)
            return
        hopeless, again = self._losses.ended(task_id)
        for index in hopeless:
            entry = self._client.references.get(object_id(task_id, index))
            if entry is not None:
                why = f"task {record.name} has yielded {index} values or less when it ran again"
                self._fail(entry, "with the node that held it", why)
        if again:
            identities = [object_id(task_id, index) for index in self._losses.given_up(task_id)]
            entries = map(self._client.references.get, identities)
            self.lost([entry for entry in entries if entry is not None])

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
        why = self._reason(missing)
        if missing != entry.id:
            why = f"making it anew takes {missing.hex()}, which was lost as well; {why}"
        self._fail(entry, where, why)

    def _reason(self, identity: bytes) -> str:
        """Why a value cannot be made anew."""
        if index_of(identity) == PUT_INDEX:
            return _PUT
        record = self._client.submitter.records.get(task_of(identity))
        if record is not None:
            return self._why_not(record)
        entry = self._client.references.get(identity)
        if entry is None:
            return "nothing is remembered of the task that made that"
        return self._reasons.get(identity, _OF_AN_ACTOR)

    def _fail(self, entry: Entry, where: str, why: str) -> None:
        entry.content = self._client.system_failure(
            ObjectLost(f"the value {entry.id.hex()} was lost {where}: {why}")
        )
        self._client.objects.notify(entry)

    def _run_again(self, task_id: bytes, started: set[bytes]) -> None:
        submitter, references = self._client.submitter, self._client.references
        if task_id in submitter.records:
            return
        started.add(task_id)
        remembered = self._remembered[task_id]
        for identity in (*remembered.slots, *remembered.inside):
            entry = references.get(identity)
            if entry is None:  # it is on the plan as well
                entry = references.own(identity)
            if entry.content is None:
                self._want(identity, started)
        record = remembered.record
        slots = [references.entries[identity] for identity in remembered.slots]
        held = [*remembered.slots, *remembered.inside]
        references.hold(held)
        arguments = msgspec.structs.replace(record.arguments, slots=slots, held=held)
        submitter.resubmit(
            msgspec.structs.replace(record, arguments=arguments, since=time.monotonic())
        )


def _has_yielded(record: TaskRecord, identity: bytes) -> bool:
    """Whether a value is one that a stream has given out, and not the arguments of its task."""
    return record.stream is not None and index_of(identity) < record.stream.produced
