"""The values that a process owns or borrows: put, get, wait, fetch, free."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from air.errors import ObjectLost, OwnerDied, SerializationError
from air.executor.code import Code
from air.executor.failures import dump_failure, load_failure
from air.executor.handles import ObjectRef
from air.executor.serialization import dumps, loads
from air_cluster.client.arrivals import Arrivals
from air_cluster.client.contents import (
    INLINE_MAX_BYTES,
    Content,
    failure,
    from_wire,
    inline,
    shared_location,
)
from air_cluster.client.copies import CopyFailed
from air_cluster.client.lodgers import Lodgers
from air_cluster.client.returned import Returned
from air_cluster.core.references import FRESH, Entry, Free, Instruction, Register, Unregister
from air_cluster.protocol.ids import PUT_INDEX, node_of, object_id, owner_of
from air_cluster.protocol.messages import (
    FAILED,
    SHARED,
    BorrowAck,
    BorrowAdd,
    BorrowRemove,
    DropSegment,
    FetchObject,
    FreeShared,
    ObjectValue,
    Ref,
)
from air_cluster.store.layout import Location
from air_cluster.store.reader import load
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.client.client import Client

_NEWS_S = 10.0
_MANY_REFS = 4
"""So many references in one value are counted together."""

_BURST, _BURST_S = 32, 0.002
"""After so many references were dropped at once, the next are looked for so much later."""

CODE_MAX_BYTES = 32 << 20
"""A pickled function or class must fit into a message together with small arguments."""


class _Pickling(threading.local):
    """Which references the value that this thread is pickling or unpickling holds."""

    exported: list[Ref] | None = None
    imported: list[bytes] | None = None


class Objects:
    """Values and the references to them; see :mod:`air_cluster.core.references`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reactor = client.reactor
        self._lock = client.reactor.lock
        self.references = client.references
        self._pickling = _Pickling()
        self._watchers: dict[bytes, list[Callable[[Entry], None]]] = {}
        self._fetchers: dict[bytes, list[Connection]] = {}  # who wants a value of ours
        self._arriving: list[Arrivals] = []
        self.dropped: deque[bytes] = deque()
        self._unpinned: deque[bytes] = deque()
        self.drain_planned = False
        # Node and segment of a dead process -> how many values of ours are in it.
        self._orphaned: dict[tuple[int, int], int] = {}
        self._on_token: dict[int, Callable[[], None]] = {}
        peers = client.peers
        peers.handle(FetchObject, self._on_fetch)
        peers.handle(ObjectValue, self._on_value)
        peers.handle(BorrowAdd, self._on_borrow_add)
        peers.handle(BorrowAck, lambda _c, message, _p: self._token_done(message.token))
        peers.handle(BorrowRemove, self._on_borrow_remove)
        peers.handle(FreeShared, self._on_free_shared)
        self.returned = Returned(client)
        self.lodgers = Lodgers(client.writer, client.references.is_dead)

    # Pickling -----------------------------------------------------------------------------

    def pack(
        self,
        value: Any,
        what: str | Callable[[], str],
        *,
        parts: tuple[str, ...] = (),
        inline_max: int = INLINE_MAX_BYTES,
    ) -> Content:
        """Pickle a value; one larger than *inline_max* bytes is written to shared memory.

        Takes no lock while it copies. The references inside are held, once each, for whoever
        takes the content: see :meth:`give_up`.
        """
        outer, self._pickling.exported = self._pickling.exported, []
        refs = self._pickling.exported
        try:
            serialized = dumps(value, what, parts)
            if serialized.size <= inline_max:
                return inline(serialized, refs)
            if self.dropped:
                # The memory of what was dropped just now is warm, and may be the room for this.
                with self._lock:
                    self.drain()
            location = self._client.writer.write(serialized)
        except BaseException:
            self._unhold(refs)
            raise
        finally:
            self._pickling.exported = outer
        me = self._client.process_id
        return Content(SHARED, location=location, holder=me, node=node_of(me), refs=refs)

    def pack_failure(self, error: BaseException, task_name: str) -> Content:
        """Pickle an exception in the place of a value; never fails.

        The references inside are held, as those of :meth:`pack` are.
        """
        outer, self._pickling.exported = self._pickling.exported, []
        refs = self._pickling.exported
        try:
            return failure(dump_failure(error, task_name), refs)
        finally:
            self._pickling.exported = outer

    def give_up(self, content: Content) -> None:
        """Undo :meth:`pack` or :meth:`pack_failure`: nobody takes this content."""
        if content.location is not None:
            self._client.writer.free(content.location)
        self._unhold(content.refs)

    def _unhold(self, refs: Sequence[Ref]) -> None:
        if refs:
            with self._lock:
                self.follow(self.references.unhold([ref.id for ref in refs]))

    def unpack(
        self, content: Content, pin: bytes | None, deadline: float | None = None
    ) -> tuple[Any, list[bytes]]:
        """The value, and the references that came in with it (not yet registered).

        Of a failure the value is the exception to raise.

        Args:
            pin: the value's identity; its entry is kept while buffers map shared memory.
        """
        outer, self._pickling.imported = self._pickling.imported, []
        imported, rebuild, arriving = self._pickling.imported, loads, None
        if content.refs and len(content.refs) >= _MANY_REFS:
            arriving = Arrivals(content.refs)
            rebuild = partial(arriving.load, executor=self._client.executor)
            self._arriving.append(arriving)
        try:
            if content.kind == FAILED:
                value = load_failure(content.pieces[0])
            elif content.location is not None:
                value = self._load_shared(content, pin, deadline, rebuild)
            else:
                value = rebuild(content.pieces[0], content.pieces[1:])
        finally:
            self._pickling.imported = outer
            if arriving is not None:
                with self._lock:
                    self._count(arriving)
                    self._arriving.remove(arriving)
                imported += arriving.unknown
        return value, imported

    def _count(self, arriving: Arrivals) -> None:
        """Count the references that have come so far; called under the lock."""
        entries = self.references.entries
        start, end = arriving.counted, len(arriving.refs)
        for ref in islice(arriving.refs, start, end):
            entry = entries.get(ref.id)
            if entry is None:
                entry = self._receive(ref.id, arriving.address_of(ref.id))
            else:
                entry.local += 1
            if entry.token or entry.state == FRESH:
                arriving.unknown.append(ref.id)
        arriving.counted = end

    def _receive(self, object_id: bytes, address: str) -> Entry:
        """A reference came to a value that has no entry here; counts it."""
        if owner_of(object_id) != self._client.process_id:
            return self.references.borrow(object_id, address)
        entry = self.references.own(object_id)
        entry.content = self._lost(object_id)
        entry.local = 1
        return entry

    def _load_shared(
        self,
        content: Content,
        pin: bytes | None,
        deadline: float | None,
        rebuild: Callable[..., Any],
    ) -> Any:
        assert content.location is not None
        if pin is None:
            return self._client.reader.load(content.location, lambda: None, rebuild)
        with self._lock:
            # It may have gone to disk since its content was looked up.
            entry = self.references.get(pin)
            if entry is not None:
                if entry.content is not None and entry.content.location is not None:
                    content = entry.content
                entry.local += 1
                entry.pins += 1
                self._client.spilling.touched(entry)
        location: Location | None = content.location
        try:
            if content.node != self._client.node_number or content.spilled:
                location = self._client.copies.fetch(pin, content, deadline)
            if location is None:
                view = self._client.copies.map_file(pin, content)
        except CopyFailed:
            self._client.recovery.unreadable(pin, content)
            self._unpin(pin)
            raise
        except BaseException:
            self._unpin(pin)
            raise
        if location is None:
            assert content.location is not None
            return load(view, content.location.lengths, lambda: self._unpin(pin), rebuild)
        return self._client.reader.load(location, lambda: self._unpin(pin), rebuild)

    def pack_code(self, code: Code) -> bytes:
        """Pickle a function or class, at its first use.

        References that it captures are kept alive by the code itself.

        Raises:
            SerializationError: it cannot be pickled, or captures too much.
        """
        outer, self._pickling.exported = self._pickling.exported, []
        try:
            pickled = code.pickled
        finally:
            self._unhold(self._pickling.exported)
            self._pickling.exported = outer
        if len(pickled) > CODE_MAX_BYTES:
            raise SerializationError(
                f"{code.name} is {len(pickled) >> 20} MiB when pickled, because of the data that"
                f" it captures; the limit is {CODE_MAX_BYTES >> 20} MiB. Store the data with"
                " air.put and pass the reference as an argument"
            )
        return pickled

    def export(self, object_id: bytes) -> tuple[bytes, str]:
        """Note that the value being pickled holds this reference, and hold it.

        The reference itself may be gone in a moment: ``__reduce__`` may have made it.
        """
        exported = self.check_pickling(object_id)
        with self._lock:
            entry = self.references.get(object_id) or self._arrived(object_id)
            entry.holds += 1
            address = self._client.address if entry.owned else entry.address
        exported.append(Ref(object_id, address))
        return object_id, address

    def check_pickling(self, object_id: bytes) -> list[Ref]:
        """Where to note what the value holds that this thread is pickling.

        Raises:
            SerializationError: it pickles none that somebody receives.
            ObjectLost: the reference or handle is one of a cluster that was shut down.
        """
        if self._client.closed:
            raise _of_another_cluster(object_id)
        if self._pickling.exported is None:
            raise SerializationError(
                "a reference or an actor's handle can only be pickled as part of an argument,"
                " a result or a value for air.put: pass it to a task or an actor"
            )
        return self._pickling.exported

    def imported(self, object_id: bytes, address: str) -> None:
        """A reference was unpickled; counts one local reference."""
        with self._lock:
            entry = self.references.entries.get(object_id)
            if entry is not None:
                entry.local += 1
            else:
                self._receive(object_id, address)
        if self._pickling.imported is not None:
            self._pickling.imported.append(object_id)

    def _lost(self, object_id: bytes) -> Content:
        return self._client.system_failure(
            ObjectLost(f"the value of {object_id.hex()} was freed: no reference to it was left")
        )

    # Making and freeing -------------------------------------------------------------------

    def put(self, value: Any) -> bytes:
        """Store a value of this process; counts one local reference."""
        content = self.pack(value, "the value of air.put")
        made = object_id(self._client.ids.task(), PUT_INDEX)
        with self._lock:
            self.drain()
            entry = self.references.own(made)
            entry.local = 1
            entry.content = content
            entry.contains = [ref.id for ref in content.refs]
            self._client.spilling.touched(entry)
        return made

    def entry(self, ref: ObjectRef[Any]) -> Entry:
        """The entry of a reference; called under the lock.

        Raises:
            ObjectLost: the reference was made before ``air.shutdown()``.
        """
        entry = self.references.get(ref.id)
        return self._arrived(ref.id) if entry is None else entry

    def _arrived(self, object_id: bytes) -> Entry:
        """The entry of a value of which there is none, as far as is counted.

        Raises:
            ObjectLost: there is none.
        """
        # Who makes an object of its pickled state may use the references in that at once.
        for arriving in self._arriving:
            self._count(arriving)
        entry = self.references.get(object_id)
        if entry is None:
            raise _of_another_cluster(object_id)
        return entry

    def drop(self, identity: bytes) -> None:
        """A local reference is garbage; may be called by the garbage collector, anywhere."""
        self.dropped.append(identity)
        if not self.drain_planned:
            self.plan_drain()

    def plan_drain(self) -> None:
        """Have what was dropped counted off soon."""
        self.drain_planned = True
        self._reactor.call_soon(self._drain_as_planned)

    def _drain_as_planned(self) -> None:
        is_burst = len(self.dropped) >= _BURST
        self.drain_planned = False
        self.drain()
        if is_burst and not self.drain_planned:
            # More will come, while another thread drops them: do not be woken for each.
            self.drain_planned = True
            self._reactor.call_later(_BURST_S, self._drain_as_planned)

    def _unpin(self, identity: bytes) -> None:
        """A buffer that mapped a value is garbage; may be called anywhere, like :meth:`drop`."""
        self._unpinned.append(identity)
        self.drop(identity)

    def drain(self) -> None:
        """Count off what was dropped; called under the lock.

        What is planned stays so: who drops one reference at a time would plan anew each time, and
        wake the background thread for it.
        """
        dropped = self.dropped
        while self._unpinned:
            entry = self.references.get(self._unpinned.popleft())
            if entry is not None:
                entry.pins -= 1
                if not entry.pins:
                    self._client.copies.unread(entry.id)
        while dropped:
            self.follow(self.references.drop_all(dropped))

    def follow(self, instructions: Iterable[Instruction]) -> None:
        """Do what the reference counts ask for; called under the lock."""
        for instruction in instructions:
            if isinstance(instruction, Free):
                self._free(instruction.entry)
            elif isinstance(instruction, Unregister):
                message = BorrowRemove([instruction.object_id])
                self._client.peers.send_to(instruction.owner, instruction.address, message)
            else:
                self._register(instruction)

    def _register(self, instruction: Register) -> None:
        message = BorrowAdd(instruction.object_ids, instruction.token)
        sent = self._client.peers.send_to(instruction.owner, instruction.address, message)
        if not sent and instruction.token:
            self._token_done(instruction.token)

    def _free(self, entry: Entry) -> None:
        content = entry.content
        if entry.owned and isinstance(content, Content) and content.location is not None:
            self._client.spilling.freed(entry.id, content)
            if not content.spilled:
                self.free_shared(content.location, content.holder)
        # Only they hold on to it, who are dead or have said that they want it no more.
        self._fetchers.pop(entry.id, None)
        self._client.fetching.discard(entry.id)
        self._client.copies.unread(entry.id)
        self._client.entry_freed(entry)

    def free_shared(self, location: Location, holder: bytes) -> None:
        """Tell whoever wrote a value that its memory is free."""
        if holder == self._client.process_id:
            self._client.writer.free(location)
            return
        place = node_of(holder), location.segment
        if place in self._orphaned:
            self._orphaned[place] -= 1
            if self._orphaned[place] == 0:
                del self._orphaned[place]
                self._client.daemon.send(DropSegment(*place))
            return
        connection = self._client.peers.known(holder)
        if connection is not None:
            connection.send(FreeShared(location.segment, location.offset, list(location.lengths)))

    # Arriving values ----------------------------------------------------------------------

    def fulfil(self, identity: bytes, content: Content, returned_by: Connection | None) -> None:
        """A value of ours is there; called under the lock.

        Args:
            returned_by: the worker that returned it, which holds the references inside
                until we have made sure of them.
        """
        entry = self.references.get(identity)
        if entry is None or entry.content is not None:
            # Nobody waits for it any more, or it was cancelled meanwhile.
            self.discard(identity, content, returned_by)
            return
        if content.refs:
            self.returned.adopt(entry, content, returned_by)
        entry.content = content
        if content.location is not None:
            self._client.spilling.touched(entry)
        self.notify(entry)

    def discard(self, identity: bytes, content: Content, returned_by: Connection | None) -> None:
        """A value came that nobody wants; called under the lock."""
        if content.location is not None:
            self.free_shared(content.location, content.holder)
        if returned_by is not None:
            self.returned.refuse(content, identity, returned_by)

    def notify(self, entry: Entry) -> None:
        """A value is there: tell everybody who waits for it; called under the lock."""
        for watcher in self._watchers.pop(entry.id, ()):
            watcher(entry)
        content = entry.content
        for connection in self._fetchers.pop(entry.id, ()):
            connection.send(ObjectValue(entry.id, content.to_wire()), content.pieces)

    def watch(self, entry: Entry, watcher: Callable[[Entry], None]) -> None:
        """Call *watcher* when a pending value is there; called under the lock."""
        self._watchers.setdefault(entry.id, []).append(watcher)
        if not entry.owned:
            self.fetch(entry)

    def unwatch(self, entry: Entry, watcher: Callable[[Entry], None]) -> None:
        """Do not call *watcher* any more; called under the lock."""
        watchers = self._watchers.get(entry.id)
        if watchers is not None and watcher in watchers:
            watchers.remove(watcher)
            if not watchers:
                del self._watchers[entry.id]

    def watched(self) -> Iterable[bytes]:
        """What somebody waits for by :meth:`watch`; under the lock."""
        return self._watchers

    def fetch(self, entry: Entry) -> None:
        """Ask the owner of a borrowed value for it, if need be; called under the lock."""
        if entry.content is None and entry.id not in self._client.fetching:
            self._client.fetching.add(entry.id)
            if not self._client.peers.send_to(
                owner_of(entry.id), entry.address, FetchObject(entry.id)
            ):
                self.owner_died(entry)

    def owner_died(self, entry: Entry) -> None:
        """The owner of a borrowed value is gone, and soon its memory.

        What stays is a small one that we have, and buffers that map a large one already.
        """
        self._client.fetching.discard(entry.id)
        if entry.content is None or entry.content.location is not None:
            entry.content = self._client.system_failure(
                OwnerDied(f"the process that owned {entry.id.hex()} ended; its value is lost")
            )
            self.notify(entry)

    # References of others -----------------------------------------------------------------

    def when_acknowledged(self, tokens: set[int], function: Callable[[], None]) -> None:
        """Call *function* once all registrations are on record; under the lock."""
        if not tokens:
            function()
            return

        def one_done(token: int) -> None:
            tokens.discard(token)
            if not tokens:
                function()

        for token in tokens:
            self._on_token[token] = lambda token=token: one_done(token)  # type: ignore[misc]

    def _token_done(self, token: int) -> None:
        self.follow(self.references.acknowledged(token))
        callback = self._on_token.pop(token, None)
        if callback is not None:
            callback()

    def process_gone(self, process_id: bytes) -> list[int]:
        """Another process died; called under the lock.

        Returns:
            The segments that it wrote in which values of ours lie.
        """
        lost, tokens, out = self.references.process_gone(process_id)
        self.follow(out)
        # Counted after what went with the process, which nobody has to be told of.
        found: Counter[int] = Counter()
        for entry in self.references.entries.values():
            content = entry.content
            if entry.owned and content is not None and content.holder == process_id:
                assert content.location is not None
                found[content.location.segment] += 1
        node = node_of(process_id)
        self._orphaned.update({(node, segment): count for segment, count in found.items()})
        for entry in lost:
            self.owner_died(entry)
        for token in tokens:
            self._token_done(token)
        self.returned.caller_gone(process_id)
        self.lodgers.owner_gone(process_id)
        return sorted(found)

    def owner_unreachable(self, process_id: bytes) -> None:
        """A process never heard what was sent to it; called under the lock.

        It may have ended before this one began, so that nobody tells us of its end.
        """
        for token in self.references.awaited_from(process_id):
            self._token_done(token)
        for identity in [i for i in self._client.fetching if owner_of(i) == process_id]:
            entry = self.references.get(identity)
            if entry is not None:
                self.owner_died(entry)

    def node_gone(self, number: int) -> None:
        """A node is dead; called under the lock, after what it had sent is handled.

        Values of ours that were in its memory are lost. Those of others we ask for again:
        their owners may be able to make them anew.
        """
        for process_id in self.references.processes_of(number):
            self.process_gone(process_id)
        self.lodgers.node_gone(number)
        self._orphaned = {p: count for p, count in self._orphaned.items() if p[0] != number}
        lost: list[Entry] = []
        for entry in list(self.references.entries.values()):
            content = entry.content
            if content is None or content.location is None or content.node != number:
                continue
            if entry.owned:
                lost.append(entry)
                continue
            entry.content = None
            if node_of(entry.id) == number:  # nobody is left who could make it anew
                self.owner_died(entry)
            elif entry.id in self._watchers:
                self.fetch(entry)
        self._client.recovery.lost(lost)

    # Messages -----------------------------------------------------------------------------

    def _on_fetch(self, connection: Connection, message: FetchObject, _payload: object) -> None:
        entry = self.references.get(message.object_id)
        if entry is None:
            content = self._lost(message.object_id)
        elif entry.content is None:
            self._fetchers.setdefault(entry.id, []).append(connection)
            return
        else:
            content = entry.content
            self._client.spilling.touched(entry)
        connection.send(ObjectValue(message.object_id, content.to_wire()), content.pieces)

    def _on_value(self, connection: Connection, message: ObjectValue, payload: bytes) -> None:
        self._client.fetching.discard(message.object_id)
        entry = self.references.get(message.object_id)
        if entry is not None and entry.content is None:
            entry.content, _ = from_wire(message.value, payload, 0, connection.peer)
            self.notify(entry)

    def _on_borrow_add(self, connection: Connection, message: BorrowAdd, _payload: object) -> None:
        self.references.lend(connection.peer, message.object_ids)
        if message.token:
            connection.send(BorrowAck(message.token))

    def _on_borrow_remove(self, connection: Connection, message: BorrowRemove, _p: object) -> None:
        self.follow(self.references.give_back(connection.peer, message.object_ids))

    def _on_free_shared(self, connection: Connection, message: FreeShared, _p: object) -> None:
        location = shared_location(message.segment, message.offset, message.lengths)
        if self.references.is_dead(connection.peer):
            return  # what it had here was given back when it died
        self.lodgers.freed(connection.peer, location)
        self._client.writer.free(location)


def _of_another_cluster(object_id: bytes) -> ObjectLost:
    return ObjectLost(f"the reference {object_id.hex()} belongs to a cluster that was shut down")
