"""A process's membership of the cluster: the same in drivers and workers."""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from air.errors import AirError, BackendError, NodeDied, NotInitialized, ObjectLost, ObjectStoreFull
from air.executor.failures import dump_failure
from air_cluster.client.actors import Actors
from air_cluster.client.calls import Calls
from air_cluster.client.cancelling import Cancelling
from air_cluster.client.contents import Content, failure
from air_cluster.client.copies import Copies
from air_cluster.client.endings import Endings
from air_cluster.client.environments import Environments
from air_cluster.client.gathering import Gathering
from air_cluster.client.groups import Groups
from air_cluster.client.head import HeadWatch
from air_cluster.client.helper import Helper
from air_cluster.client.late import LateTasks
from air_cluster.client.objects import Objects
from air_cluster.client.recovery import Recovery
from air_cluster.client.requests import Requests
from air_cluster.client.spilling import OwnedSpilling
from air_cluster.client.submitter import Submitter
from air_cluster.client.surveys import Surveys
from air_cluster.client.waiting import Waiting
from air_cluster.core.references import Entry, References
from air_cluster.protocol.ids import IdMaker, node_of, task_of
from air_cluster.protocol.messages import (
    Ask,
    DropSegment,
    Explain,
    HeadState,
    LogLines,
    NeedSegment,
    NodeEnds,
    NodeGone,
    OpenSegment,
    Orphans,
    ProcessGone,
    Register,
    Reply,
    SegmentGone,
    SegmentReply,
    ShrinkSegment,
    Situation,
    StoreTrimmed,
    TrimStore,
    Welcome,
)
from air_cluster.session_files import SOCKET
from air_cluster.store.reader import Reader
from air_cluster.store.writer import Writer
from air_cluster.transport.addresses import TcpAddress
from air_cluster.transport.connection import Connection
from air_cluster.transport.encryption import contexts_in
from air_cluster.transport.peers import Peers
from air_cluster.transport.reactor import Reactor

if TYPE_CHECKING:
    from air_cluster.client.console import Console
    from air_cluster.client.explaining import Explaining
    from air_cluster.executor import ClusterExecutor


_LISTED_ARGUMENTS = 3


class Client:
    """Connects to a node's daemon and holds the parts that do the work.

    Args:
        session: the session's directory, where the sockets are.
        token: what members of this cluster know.
        process_id: this process.
        kind: ``"driver"`` or ``"worker"``.
        host: this machine's address for other nodes; empty if there are none.
        console: shows what is printed for this program; ``None`` to have nothing shown.
        entrypoint: what this program is, for listings; empty for one that is not listed.
    """

    def __init__(
        self,
        session: str,
        token: bytes,
        process_id: bytes,
        kind: str,
        *,
        host: str = "",
        namespace: str = "default",
        console: Console | None = None,
        entrypoint: str = "",
    ) -> None:
        self._entrypoint = entrypoint
        self.session = session
        self.token = token
        self.process_id = process_id
        self.kind = kind
        self.namespace = namespace
        self.job_id = process_id
        self.node_id = ""
        self.setup = b""  # what this worker has to do before it is ready
        self.node_number = node_of(process_id)
        self.closed = False
        self.leaving = False
        """Whether the loss of the daemon is what we asked for."""
        self._loss: str | None = None  # how the daemon was lost
        self._farewell = ""  # what the daemon said of that before
        self.address = ""
        self.fetching: set[bytes] = set()
        self.executor: ClusterExecutor
        self.reactor = Reactor()
        self.ids = IdMaker(process_id)
        self.references = References(process_id)
        self.requests = Requests(self.reactor)
        self.head = HeadWatch(self.reactor)
        self.gathering = Gathering(self.reactor)
        mine = self.node_number
        self.peers = Peers(
            self.reactor,
            token,
            process_id,
            same_machine=lambda other: node_of(other) == mine,
            tls=contexts_in(session) if host else None,
        )
        self.writer = Writer(
            self._need_segment, self._drop_segment, shrink_segment=self._shrink_segment
        )
        self.reader = Reader(self.open_segment)
        self.copies = Copies(self)
        self.spilling = OwnedSpilling(self)
        self.objects = Objects(self)
        self.waiting = Waiting(self, self.objects)
        self.environments = Environments(self)
        self.submitter = Submitter(self)
        self.recovery = Recovery(self)
        self.calls = Calls(self)
        self.actors = Actors(self)
        self.groups = Groups(self)
        self.cancelling = Cancelling(self)
        self.surveys = Surveys(self)
        self.endings = Endings()
        self._explaining: Explaining | None = None
        self.late = LateTasks(self)
        self.on_block: Callable[[bool], None] | None = None
        self.on_daemon_lost: Callable[[str], None] = self._fail_everything
        self.on_peer_lost: Callable[[Connection], None] = lambda _connection: None
        self._blocked = 0
        self._helper = Helper("air-helper")
        self._fds: dict[int, int] = {}
        self._welcome: Welcome | None = None
        self.host = host
        self.console = console
        self.pid = os.getpid()
        self.daemon: Connection
        _clients.add(self)

    def connect(
        self, on_ready: Callable[[], None] = lambda: None, timeout: float | None = None
    ) -> None:
        """Join: listen, register with the daemon and wait for its welcome.

        Args:
            timeout: how many seconds to wait; ``None`` for as long as it takes.
            on_ready: called under the lock between connecting and registering, to install
                further handlers.

        Raises:
            BackendError: the daemon cannot be reached or turns this process away.
        """
        handle = self.peers.handle
        handle(Welcome, self._on_welcome)
        handle(Reply, lambda _c, message, _p: self.requests.answered(message.request, message))
        handle(SegmentReply, self._on_segment)
        handle(TrimStore, self._on_trim)
        handle(SegmentGone, lambda _c, message, _p: self.reader.forget(message.segment))
        handle(ProcessGone, self._on_process_gone)
        handle(NodeGone, self._on_node_gone)
        handle(LogLines, self._on_lines)
        handle(HeadState, self.head.on_state)
        handle(NodeEnds, self._on_farewell)
        handle(Explain, lambda c, message, _p: self.explaining.on_explain(c, message))
        handle(Situation, lambda _c, message, _p: self.requests.answered(message.request, message))
        self.peers.on_lost = self._on_lost
        lost: list[str] = []
        give_up, self.on_daemon_lost = self.on_daemon_lost, lost.append
        with self.reactor.lock:
            try:
                self.peers.listen(f"unix:{self.session}/{self.process_id.hex()}.sock")
                if self.host:
                    self.peers.listen(str(TcpAddress(self.host, 0)))
                self.address = self.peers.address
                self.daemon = self.peers.open(f"unix:{self.session}/{SOCKET}", takes_fds=True)
            except OSError as error:  # its directory is gone with it, perhaps
                raise BackendError(f"the node's daemon cannot be reached: {error}") from error
            on_ready()
            self.daemon.send(
                Register(
                    self.kind,
                    self.pid,
                    self.address,
                    self.namespace,
                    self.console is not None,
                    self.process_id,
                    self._entrypoint,
                )
            )
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self.reactor.wait_for(lambda: self._welcome or lost, deadline):
            raise BackendError(
                f"the node's daemon has not answered for {timeout:g} s: it is stopped, or the"
                " machine is overloaded ('air stop' ends it)"
            )
        self.on_daemon_lost = give_up
        if lost:
            raise BackendError(f"the node's daemon turned this process away: {lost[0]}")

    def _on_welcome(self, _connection: Connection, message: Welcome, _payload: object) -> None:
        self._welcome = message
        self.node_id = message.node_id
        self.setup = message.setup

    @property
    def explaining(self) -> Explaining:
        """Says how far values are; most programs never want to know, and start sooner for it."""
        if self._explaining is None:
            from air_cluster.client.explaining import Explaining

            self._explaining = Explaining(self)
        return self._explaining

    # Waiting ------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send everything that was gathered; called under the lock before waiting."""
        self.submitter.flush()

    @property
    def is_blocked(self) -> bool:
        """Whether this worker waits for a value."""
        return self._blocked > 0

    def can_block(self) -> bool:
        """Whether the node has to know when this process waits."""
        return self.on_block is not None

    @contextlib.contextmanager
    def blocked(self) -> Iterator[None]:
        """Tell the node, meanwhile, that this worker waits and needs no CPU."""
        assert self.on_block is not None
        with self.reactor.lock:
            self._blocked += 1
            if self._blocked == 1:
                self.on_block(True)
        try:
            yield
        finally:
            with self.reactor.lock:
                self._blocked -= 1
                if self._blocked == 0:
                    self.on_block(False)

    def in_helper(self, function: Callable[[], None]) -> None:
        """Run *function* in a helper thread, in order: what must not run under the lock."""
        self._helper.submit(function)

    @property
    def is_needed(self) -> bool:
        """Whether other processes want values of this one, or are about to; under the lock."""
        return (
            self.references.lends
            or self.objects.returned.are_awaited
            or self.actors.may_be_made_anew
        )

    # The daemon ---------------------------------------------------------------------------

    def ask(self, topic: str, deadline: float | None = None) -> Any:
        """What the head knows about *topic*.

        With a *deadline*, ``None`` if it has not answered until then, or is known to be away.
        """
        if deadline is None:
            reply = self.requests.ask(self.daemon, lambda number: (Ask(number, topic), []))
        else:
            reply = self.requests.ask_peer(
                self.daemon,
                lambda number: (Ask(number, topic), []),
                deadline,
                lambda: self.head.missing,
            )
        return None if reply is None else reply.content

    def _need_segment(self, size: int, at_least: int) -> tuple[int, int, int]:
        reply = self.requests.ask(
            self.daemon, lambda number: (NeedSegment(number, size, at_least), [])
        )
        if reply.error:
            raise ObjectStoreFull(reply.error)
        return reply.segment, self._fds.pop(reply.request), reply.size

    def open_segment(self, segment: int, *, on_disk: bool = False) -> tuple[int, int]:
        """A descriptor, and the size, of a segment of this node or of a file of spilled values.

        Raises:
            ObjectLost: it is gone; says why.
        """
        reply = self.requests.ask(
            self.daemon, lambda number: (OpenSegment(number, segment, on_disk), [])
        )
        if reply.error:
            raise ObjectLost(reply.error)
        return self._fds.pop(reply.request), reply.size

    def _drop_segment(self, segment: int) -> None:
        self.reactor.call_soon(lambda: self.daemon.send(DropSegment(self.node_number, segment)))

    def _shrink_segment(self, segment: int, nbytes: int) -> None:
        self.reactor.call_soon(lambda: self.daemon.send(ShrinkSegment(segment, nbytes)))

    def _on_trim(self, _connection: Connection, message: TrimStore, _p: object) -> None:
        def trim() -> None:
            self.objects.drain()
            self.writer.trim()
            self.reactor.call_soon(lambda: self.daemon.send(StoreTrimmed(message.number)))

        # When what came at the same time is done: it may say that values are free.
        self.reactor.call_soon(trim)

    def _on_process_gone(self, _connection: Connection, message: ProcessGone, _p: object) -> None:
        def act() -> None:
            self.surveys.process_gone(message.process)
            segments = self.objects.process_gone(message.process)
            self.daemon.send(Orphans(message.process, segments))

        self.peers.hear_out(message.process, act)

    def _on_node_gone(self, _connection: Connection, message: NodeGone, _p: object) -> None:
        self.peers.end_node(message.number)
        self.submitter.node_gone(message.number, message.reason)
        self.objects.node_gone(message.number)
        self.surveys.node_gone(message.number)

    def _on_segment(self, connection: Connection, message: SegmentReply, _p: object) -> None:
        if not message.error:
            self._fds[message.request] = connection.fds.popleft()
        self.requests.answered(message.request, message)

    def _on_lines(self, _connection: Connection, message: LogLines, payload: bytes) -> None:
        if self.console is not None:
            self.console.show(message.source, message.is_error, bytes(payload))

    def _on_farewell(self, _connection: Connection, message: NodeEnds, _p: object) -> None:
        self._farewell = message.reason

    # Failing ------------------------------------------------------------------------------

    def system_failure(self, error: BaseException) -> Content:
        """An error of the system in the place of a value."""
        return failure(dump_failure(error, ""))

    def _on_lost(self, connection: Connection, reason: str) -> None:
        if self.closed or self.leaving:
            return
        if connection is getattr(self, "daemon", None):
            reason = self._farewell or reason
            self.requests.fail(reason)
            self.on_daemon_lost(reason)
            return
        self.on_peer_lost(connection)
        if connection.link is not None and connection.link.gave_up:
            self._unreachable(connection, reason)
        elif not connection.established:
            self.objects.owner_unreachable(connection.peer)

    def _unreachable(self, connection: Connection, reason: str) -> None:
        """A process lives, as far as anybody knows, and there is no way to it: wait no longer."""
        why = f"process {connection.peer.hex()} cannot be reached: {reason}"
        self.objects.owner_unreachable(connection.peer)
        self.submitter.unreachable(connection, why)
        self.actors.unreachable(connection, why)

    @property
    def is_lost(self) -> bool:
        """Whether the daemon is gone, though nobody asked it to go."""
        return self._loss is not None

    def check_alive(self) -> None:
        """Refuse what only a daemon could ever do; called under the lock.

        Raises:
            NodeDied: the daemon is gone.
        """
        if self._loss is not None:
            raise self._node_died(self._loss)

    def _node_died(self, reason: str) -> NodeDied:
        return NodeDied(f"the daemon of this node is gone ({reason}); call air.shutdown()")

    def _fail_everything(self, reason: str) -> None:
        self._loss = reason
        content = self.system_failure(self._node_died(reason))
        self.submitter.fail_all(content)
        self.actors.fail_all(f"the daemon of the actor's node is gone ({reason})")
        self._let_nobody_wait(content)

    def _let_nobody_wait(self, content: Content) -> None:
        """No value will come any more; called under the lock."""
        for entry in list(self.references.entries.values()):
            if entry.content is None and not self.actors.is_actor(entry.id):
                entry.content = content
                self.objects.notify(entry)

    def not_initialized(self) -> AirError:
        """The error of a call after ``air.shutdown()``, or in a forked child."""
        if os.getpid() != self.pid:
            return NotInitialized(
                "this process was forked from one that uses air, and cannot use the same"
                " connection; start it with multiprocessing's 'spawn', or call air.shutdown()"
                " and air.init() here to start another cluster"
            )
        return NotInitialized("this cluster was shut down; call air.init() to start another")

    # Smaller things -----------------------------------------------------------------------

    def entry_freed(self, entry: Entry) -> None:
        """A value is free; if it stands for an actor's handles, so is the actor."""
        if self.actors.is_actor(entry.id):
            self.actors.freed(entry)
        elif entry.owned:
            self.recovery.freed(entry.id)

    def describe_missing(self, entries: Sequence[Entry]) -> str:
        """Arguments that are not there yet, and what makes them, for messages."""
        if not entries:
            return "its arguments"  # which were lost, and are being made anew
        shown = [self.label(entry.id) for entry in entries[:_LISTED_ARGUMENTS]]
        more = len(entries) - len(shown)
        listed = ", ".join(shown) + (f" and {more} more" if more else "")
        return f"{len(entries)} of its arguments: {listed}"

    def label(self, object_id: bytes) -> str:
        """What a value comes from, in words."""
        task_id = task_of(object_id)
        record = self.submitter.records.get(task_id)
        if record is not None:
            return f"task {record.name}"
        found = self.calls.call_of(task_id)
        if found is not None:
            return f"call {found[1].name}"
        return self.groups.label(object_id) or f"a value of another process ({object_id.hex()})"

    def close(self) -> None:
        """Leave the cluster: close sockets, end threads, unmap memory."""
        with self.reactor.lock:
            if self.closed:
                return
            content = self.system_failure(self.not_initialized())
            self._let_nobody_wait(content)
            self.submitter.end_streams(content)
            self.flush()  # detached actors go on
            self.closed = True
            self.peers.close()
            if hasattr(self, "daemon"):
                self.daemon.close("shut down")
        self.reactor.close()
        if self.console is not None:
            self.console.close()
        self._helper.close()
        self.writer.close()
        self.reader.close()

    def abandon(self) -> None:
        """In a forked child: it could only disturb what the parent sends and receives."""
        self.closed = True
        self.peers.abandon()
        if self.console is not None:
            self.console.abandon()
        self.reactor.abandon()


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _forked() -> None:
    for client in list(_clients):
        client.abandon()


os.register_at_fork(after_in_child=_forked)
