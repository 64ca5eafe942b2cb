"""The workers of a node: processes that its scheduler knows by names."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from air_cluster.core.actor_states import DeathCause
from air_cluster.core.instructions import StartWorker, StopWorker
from air_cluster.core.memory_watch import Victim
from air_cluster.daemon.clients import ClientRecord
from air_cluster.daemon.environments import Environments
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol import messages
from air_cluster.protocol.ids import new_process_id
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.daemon.node import NodeDaemon
    from air_cluster.daemon.pool import WorkerPool


logger = logging.getLogger(__name__)

ENDED_WELL = "it exited with code 0"
"""How a worker ends that was idle for long."""


class End(msgspec.Struct, frozen=True):
    """How a worker ended, for whoever loses what it did.

    Attributes:
        how: for people.
        kind: what ended it, in a word.
        is_hopeless: whether that would happen again.
    """

    how: str
    kind: DeathCause = DeathCause.WORKER_DIED
    is_hopeless: bool = False

    @property
    def is_for_memory(self) -> bool:
        return self.kind is DeathCause.OUT_OF_MEMORY


class _Worker(msgspec.Struct):
    """A worker process: the scheduler's name for it, and its own identity."""

    name: str
    process: bytes
    end: End = End("it ended")
    why_stopped: End | None = None
    dedicated: bool = False
    busy: bool = False
    environment: messages.Environment | None = None


class Workers:
    """Starts and stops workers as the scheduler says, and tells it how they are."""

    def __init__(self, node: NodeDaemon) -> None:
        self._node = node
        self.pool: WorkerPool
        self.on_ended: Callable[[str], None] = lambda name: None
        """Called with the name of a worker that has ended."""
        self._by_name: dict[str, _Worker] = {}
        self._by_process: dict[bytes, _Worker] = {}
        self.environments = Environments(node)
        node.peers.handle(messages.Blocked, self._on_blocked)
        node.peers.handle(messages.EnvironmentReady, self._on_environment)
        node.peers.handle(messages.Preload, lambda _c, m, _p: self.pool.preload(m.modules))

    # Instructions of the scheduler --------------------------------------------------------

    def start(self, instruction: StartWorker) -> None:
        """Start a process."""
        environment = self.environments.get(instruction.environment)
        worker = _Worker(
            instruction.worker_id,
            b"",
            dedicated=instruction.dedicated,
            environment=environment,
        )
        self._by_name[worker.name] = worker
        self._start(worker)

    def _start(self, worker: _Worker) -> None:
        worker.process = new_process_id(self._node.number)
        self._by_process[worker.process] = worker
        environment = worker.environment
        # Where only paths of the program are new, what others have imported will do.
        apart = environment.key if environment is not None and environment.fresh else b""
        self.pool.start(worker.process, dedicated=worker.dedicated, environment=apart)

    def unforked(self, process: bytes) -> None:
        """A worker was not there yet when its template ended: another one forks it.

        Under another identity: it may have been there after all, and just about to join.
        """
        worker = self._by_process.pop(process, None)
        if worker is not None and not self._node.stopping:
            self._start(worker)

    def stop(self, instruction: StopWorker, why: str) -> None:
        """End a process; *why* is for those who lose what it does."""
        worker = self._by_name.get(instruction.worker_id)
        if worker is None:
            return
        worker.why_stopped = End(why)
        record = self._node.clients.get(worker.process)
        if worker.busy or record is None:
            self.pool.kill(worker.process)
        else:
            # It is idle, but others may still want values that it owns.
            record.connection.send(messages.Exit(graceful=True))

    def end_for_memory(self, victim: Victim) -> None:
        """End a process that uses too much memory."""
        worker = self._by_name.get(victim.worker)
        if worker is not None:
            worker.why_stopped = End(victim.why, DeathCause.OUT_OF_MEMORY, victim.is_hopeless)
            self.pool.kill(worker.process)

    # Events -------------------------------------------------------------------------------

    def registered(self, process: bytes, pid: int) -> None:
        """A process has joined, perhaps a worker that was started."""
        self.pool.joined(process, pid)
        worker = self._by_process.get(process)
        if worker is not None and worker.environment is None:
            self._ready(worker)

    def setup_of(self, process: bytes) -> bytes:
        """What a worker has to set up before it is ready."""
        worker = self._by_process.get(process)
        if worker is None or worker.environment is None:
            return b""
        return worker.environment.setup

    def _ready(self, worker: _Worker) -> None:
        now = time.monotonic()
        self._node.follow(self._node.scheduler.worker_ready(worker.name, now))

    def _on_environment(
        self, connection: Connection, message: messages.EnvironmentReady, _p: object
    ) -> None:
        worker = self._by_process.get(connection.peer)
        if worker is None:
            return
        if not message.error:
            self.pool.set_up(worker.process, message.process)
            self._ready(worker)
            return
        node, now = self._node, time.monotonic()
        why = f"its runtime environment cannot be set up on node {node.name}: {message.error}"
        node.follow(node.scheduler.environment_failed(worker.name, why, now))

    def retired(self, process: bytes) -> None:
        """The actor in a worker's process has ended; the process itself stays for a while."""
        worker = self._by_process.get(process)
        if worker is not None:
            node = self._node
            node.follow(node.scheduler.retired(worker.name, time.monotonic()))
            node.uplink.send(_gone(worker))

    def exited(self, process: bytes, how: str, is_signal: bool) -> None:
        """A worker's process is gone, perhaps because a signal ended it."""
        worker = self._by_process.pop(process, None)
        node = self._node
        if worker is None or node.stopping:
            return
        kind = DeathCause.WORKER_KILLED if is_signal else DeathCause.WORKER_DIED
        worker.end = worker.why_stopped or End(how, kind)
        how = worker.end.how
        if how != ENDED_WELL:
            logger.info("worker %s has ended: %s", process.hex(), how)
        self.on_ended(worker.name)
        node.tell_of_end(process, how)
        node.follow(node.scheduler.worker_died(worker.name, time.monotonic(), how))
        node.uplink.send(_gone(worker))
        del self._by_name[worker.name]
        node.forget_process(process, how)

    def _on_blocked(self, connection: Connection, message: messages.Blocked, _p: object) -> None:
        worker = self._by_process.get(connection.peer)
        if worker is not None:
            scheduler = self._node.scheduler
            change = scheduler.blocked if message.blocked else scheduler.unblocked
            self._node.follow(change(worker.name, time.monotonic()))

    # By name ------------------------------------------------------------------------------

    def set_busy(self, name: str, busy: bool) -> None:
        """Note whether a worker is lent out."""
        worker = self._by_name.get(name)
        if worker is not None:
            worker.busy = busy

    def client(self, name: str) -> ClientRecord | None:
        """The connected client that a worker is."""
        worker = self._by_name.get(name)
        return None if worker is None else self._node.clients.get(worker.process)

    def process(self, name: str) -> bytes:
        """The identity of a worker's process."""
        worker = self._by_name.get(name)
        return b"" if worker is None else worker.process

    def end_of(self, name: str) -> End:
        """How a worker ended."""
        worker = self._by_name.get(name)
        return End("it ended") if worker is None else worker.end

    def working(self) -> dict[int, str]:
        """The names of the workers that are lent out, by their process ids."""
        found = {self.pool.pid_of(w.process): w.name for w in self._by_name.values() if w.busy}
        found.pop(0, None)  # not forked yet
        return found

    def kill(self, name: str) -> None:
        """End a worker at once."""
        worker = self._by_name.get(name)
        if worker is not None:
            self.pool.kill(worker.process)


def _gone(worker: _Worker) -> wire.WorkerGone:
    return wire.WorkerGone(worker.name, worker.end.how, worker.end.kind.value)
