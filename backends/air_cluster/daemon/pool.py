"""Starts worker processes from templates and hears of their ends."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from air_cluster.daemon.adopted import Adopted
from air_cluster.daemon.descriptors import lack_of
from air_cluster.daemon.output import Outputs, WorkerOutput
from air_cluster.daemon.spawning import Spawned, status_of
from air_cluster.transport.poller import READ
from air_cluster.transport.reactor import Reactor

logger = logging.getLogger(__name__)

_PACKET_BYTES = 1 << 16
_PROCESS_CHARS = 40_000
"""A command is one packet."""

_MAX_APART = 4
"""Templates of environments, each of which has imported all that is preloaded."""

_MAX_UNANSWERED = 16
"""Commands that a template has at a time: more could overflow its socket."""

_MAX_FAILURES = 10
"""So many first templates in a row may end before they have forked a worker."""


_MAX_UNREADY = 3
"""So many others in a row may end while they import."""


class _Process(msgspec.Struct):
    worker: bytes
    template: TemplateLink
    environment: bytes
    pid: int = 0
    joined: int = 0  # its process id, as it said itself
    unwanted: bool = False
    killed: bool = False
    output: WorkerOutput | None = None


class TemplateLink:
    """The daemon's end of a template process."""

    def __init__(
        self,
        pool: WorkerPool,
        control: socket.socket,
        modules: frozenset[str],
        environment: bytes = b"",
        pid: int = 0,
    ) -> None:
        self.pid = pid
        self._pool = pool
        self.control = control
        self.modules = modules
        self.environment = environment
        self.ready = False
        self.children = 0
        self._waiting: deque[tuple[bytes, list[int]]] = deque()
        self._unanswered = 0
        control.setblocking(False)
        pool.reactor.register(self, READ)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self.control.fileno()

    def command(self, command: dict[str, object], fds: list[int]) -> None:
        """Send a command in its turn; its descriptors are closed here afterwards."""
        self._waiting.append((json.dumps(command).encode(), fds))
        self._send()

    def answered(self) -> None:
        """A command was carried out."""
        self._unanswered -= 1
        self._send()

    @property
    def is_failing(self) -> bool:
        """Whether it has not done what it was asked for."""
        return not self.ready or self._unanswered > 0

    def _send(self) -> None:
        while self._waiting and self._unanswered < _MAX_UNANSWERED:
            data, fds = self._waiting.popleft()
            self._unanswered += 1
            # If the template is gone, the end of its socket will say so.
            with contextlib.suppress(OSError):
                socket.send_fds(self.control, [data], fds)
            _close(fds)

    def on_events(self, _mask: int) -> None:
        """Called by the reactor."""
        while True:
            try:
                data = self.control.recv(_PACKET_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data = b""
            if not data:
                self._pool.template_lost(self)
                return
            self._pool.on_event(self, json.loads(data))

    def close(self) -> None:
        """End the template, which ends its children."""
        self._pool.reactor.unregister(self)
        self.control.close()
        for _, fds in self._waiting:
            _close(fds)
        self._waiting.clear()


class _Hooks(msgspec.Struct):
    exited: Callable[[bytes, str, bool], None]
    unforked: Callable[[bytes], None]
    spawn: Callable[[], Spawned]
    broken: Callable[[str], None]


class WorkerPool(msgspec.Struct):
    """Worker processes of this node, by identity.

    Tasks' workers are forked from the newest template that is ready. Actors' workers are
    forked from the newest one even if it still imports: an actor that needs those modules
    would have to import them itself otherwise, beside everybody else who does.

    Workers of a runtime environment are forked from a template of that environment if there is
    one: variables must be there, and paths, before the modules are imported. It is made when one
    worker has set the environment up and another one is wanted. The others are forked from the
    first template, which has imported nothing of the user's.

    A template that is killed leaves its workers behind, which go on; whom it was about to fork is
    forked by another one. There is always a first one: another is started in its place, unless
    that ends again and again without having forked anybody.
    """

    reactor: Reactor
    session: str
    outputs: Outputs
    hooks: _Hooks
    _templates: list[TemplateLink] = msgspec.field(default_factory=list)
    _prepared: dict[bytes, str] = msgspec.field(default_factory=dict)
    _by_worker: dict[bytes, _Process] = msgspec.field(default_factory=dict)
    _by_pid: dict[int, _Process] = msgspec.field(default_factory=dict)
    _adopted: Adopted | None = None
    _failures: int = 0
    _unready: int = 0
    closing: bool = False

    @classmethod
    def over(
        cls,
        reactor: Reactor,
        session: str,
        first: Spawned,
        outputs: Outputs,
        *,
        exited: Callable[[bytes, str, bool], None],
        unforked: Callable[[bytes], None],
        spawn: Callable[[], Spawned],
        broken: Callable[[str], None],
    ) -> WorkerPool:
        """A pool over the first template.

        Args:
            session: the directory of the node's session.
            first: that one.
            outputs: where what workers print goes.
            exited: called with a worker, how it ended, and whether a signal ended it.
            unforked: called with a worker whose template ended before it was there.
            spawn: makes another first template.
            broken: called when that is of no use, with the reason.
        """
        pool = cls(reactor, session, outputs, _Hooks(exited, unforked, spawn, broken))
        pool._templates.append(TemplateLink(pool, first.control, frozenset(), pid=first.pid))
        return pool

    def start(self, worker: bytes, *, dedicated: bool, environment: bytes = b"") -> None:
        """Fork a worker; it registers with the daemon by itself.

        Args:
            environment: the key of the runtime environment that it will set up.
        """
        if environment in self._prepared:
            self._make_template_of(environment)
        of_kind = [t for t in self._templates if t.environment == environment]
        usable = [t for t in of_kind if t.ready or dedicated]
        template = usable[-1] if usable else self._templates[0]
        process = self._by_worker[worker] = _Process(worker, template, environment)
        template.children += 1
        lack = lack_of(self._descriptors_wanted)
        if lack:
            reason = f"it could not be started: {lack}"
            self.reactor.call_soon(lambda: self._gone(process, reason))
        else:
            process.output, fds = self.outputs.of_worker(worker)
            template.command({"worker": worker.hex()}, fds)

    def _descriptors_wanted(self) -> int:
        """For a new worker's output, and for the connections of those that have yet to join."""
        return 4 + sum(not process.joined for process in self._by_worker.values())

    def preload(self, modules: list[str]) -> None:
        """Make a template that has imported these modules as well."""
        newest = self._newest()
        wanted = newest.modules | frozenset(modules)
        if wanted != newest.modules:
            self._add_template(wanted, {})

    def set_up(self, worker: bytes, process: str) -> None:
        """A worker has set its environment up.

        Args:
            process: what has become of its process, for a template of that environment.
        """
        started = self._by_worker.get(worker)
        if started is not None and started.environment and len(process) <= _PROCESS_CHARS:
            self._prepared[started.environment] = process

    def _make_template_of(self, environment: bytes) -> None:
        """Have one that has imported what others have, unless there are too many."""
        wanted = self._newest().modules
        there = {t.environment: t.modules for t in self._templates}
        is_new = environment not in there
        if wanted == there.get(environment, frozenset()) or (is_new and len(there) > _MAX_APART):
            return
        self._add_template(wanted, {"process": self._prepared[environment]}, environment)

    def _newest(self) -> TemplateLink:
        return [template for template in self._templates if not template.environment][-1]

    def _add_template(
        self, modules: frozenset[str], more: Mapping[str, object], environment: bytes = b""
    ) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._templates[0].command({"modules": sorted(modules), **more}, [theirs.detach()])
        self._templates.append(TemplateLink(self, ours, modules, environment))
        self._retire()

    def kill(self, worker: bytes, *, seems_dead: bool = False) -> None:
        """End a worker at once; ``exited`` is called when it is gone.

        Args:
            seems_dead: it has probably ended by itself, and this is to make sure.
        """
        process = self._by_worker.get(worker)
        if process is None:
            return
        process.killed |= not seems_dead
        if process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        else:
            process.unwanted = True

    def pid_of(self, worker: bytes) -> int:
        """The worker's process id, 0 while it is not known."""
        process = self._by_worker.get(worker)
        return 0 if process is None else process.pid

    def output_of(self, worker: bytes) -> WorkerOutput | None:
        """What a worker prints."""
        process = self._by_worker.get(worker)
        return None if process is None else process.output

    def on_event(self, template: TemplateLink, event: dict[str, object]) -> None:
        """A template has answered."""
        kind = event["event"]
        pid = event.get("pid")
        if kind in ("forked", "failed"):
            template.answered()
        if kind == "ready":
            template.ready = True
            if template is not self._templates[0]:
                self._unready = 0
            self._retire()
        elif kind == "forked" and event["worker"] is not None:
            assert isinstance(pid, int)
            self._forked(self._by_worker[bytes.fromhex(str(event["worker"]))], pid)
            self._failures = 0
        elif kind == "failed" and event["worker"] is not None:
            process = self._by_worker[bytes.fromhex(str(event["worker"]))]
            if process.output is not None:
                process.output.close()
            self._gone(process, f"it could not be started: {event['error']}")
        elif kind == "exited":
            assert isinstance(pid, int)
            gone = self._by_pid.pop(pid, None)
            if gone is not None:
                self._ended(gone, int(str(event["status"])))

    def _forked(self, process: _Process, pid: int) -> None:
        process.pid = pid
        self._by_pid[pid] = process
        if process.output is not None:
            process.output.start(pid)
        if process.unwanted:
            self.kill(process.worker)

    def joined(self, worker: bytes, pid: int) -> None:
        """A worker has registered: from now on it outlives its template."""
        process = self._by_worker.get(worker)
        if process is not None:
            process.joined = pid

    def _ended(self, process: _Process, status: int) -> None:
        self._gone(process, _describe_end(process, status), is_signal=os.WIFSIGNALED(status))

    def _gone(self, process: _Process, how: str, *, is_signal: bool = False) -> None:
        del self._by_worker[process.worker]
        process.template.children -= 1
        environment = process.environment
        if environment in self._prepared and not any(
            other.environment == environment for other in self._by_worker.values()
        ):
            del self._prepared[environment]
        self._retire()
        self.hooks.exited(process.worker, how, is_signal)

    def _retire(self) -> None:
        """End templates that newer ones replace, or nobody needs, once they have no children."""
        newest = {t.environment: t for t in self._templates if t.ready}
        order = {id(template): index for index, template in enumerate(self._templates)}
        for template in self._templates[1:]:
            other = newest.get(template.environment)
            is_replaced = other is not None and order[id(template)] < order[id(other)]
            is_needed = not template.environment or template.environment in self._prepared
            if not template.children and (is_replaced or not is_needed):
                self._templates.remove(template)
                template.close()

    def template_lost(self, template: TemplateLink) -> None:
        """A template died; workers that have joined live on."""
        template.close()
        if self.closing:
            return
        is_first = template is self._templates[0]
        self._templates.remove(template)
        if is_first:
            how = _ended_how(status_of(template.pid))
            logger.warning("the template (pid %d) has ended: %s", template.pid, how)
            self._failures += template.is_failing
            if not self._replace_first(how):
                return
        elif not template.environment:
            self._import_again(template)
        for process in [p for p in self._by_worker.values() if p.template is template]:
            self._left_behind(process)

    def _replace_first(self, how: str) -> bool:
        if self._failures >= _MAX_FAILURES:
            self._break(f"ended {self._failures} times before it had forked one; at last, {how}")
            return False
        try:
            spawned = self.hooks.spawn()
        except OSError as error:
            self._break(f"has ended ({how}), and there can be no other one: {error}")
            return False
        again = TemplateLink(self, spawned.control, frozenset(), pid=spawned.pid)
        self._templates.insert(0, again)
        return True

    def _import_again(self, template: TemplateLink) -> None:
        """Replace one that had imported more, unless that was the end of it again and again."""
        self._unready += not template.ready
        others = [other.modules for other in self._templates if not other.environment]
        if self._unready < _MAX_UNREADY and not any(m >= template.modules for m in others):
            self._add_template(template.modules, {})

    def _break(self, why: str) -> None:
        self.hooks.broken(f"the process that workers are forked from {why}")

    def _left_behind(self, process: _Process) -> None:
        if process.joined or (process.pid and process.unwanted):
            if not process.pid:
                self._forked(process, process.joined)
            if self._adopted is None:
                self._adopted = Adopted(self.reactor, self.session, self._adopted_ended)
            self._adopted.add(process.pid)
            return
        # It dies with its template, if it was forked at all.
        self._by_pid.pop(process.pid, None)
        if process.output is not None:
            process.output.close()
        if process.unwanted:
            self._gone(process, "it was not needed any more")
            return
        del self._by_worker[process.worker]
        self.hooks.unforked(process.worker)

    def _adopted_ended(self, pid: int, status: int | None) -> None:
        gone = self._by_pid.pop(pid, None)
        if gone is not None:
            told = "it ended, some time after the process that it was forked from"
            if status is None:
                self._gone(gone, told)
            else:
                self._ended(gone, status)

    def pass_on(self) -> None:
        """Pass on what workers have printed so far."""
        for process in self._by_worker.values():
            if process.output is not None:
                process.output.read()

    def close(self) -> None:
        """End all workers and templates at once."""
        self.closing = True
        for process in list(self._by_worker.values()):
            self.kill(process.worker)
            if process.output is not None:
                process.output.close()
        for template in self._templates:
            template.close()
        if self._adopted is not None:
            self._adopted.close()

    @property
    def running(self) -> int:
        """How many workers there are."""
        return len(self._by_worker)


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _describe_end(process: _Process, status: int) -> str:
    """How a worker ended, with what it said last if nobody wanted it to end."""
    how, output = describe_exit(status), process.output
    if output is None:
        return how
    output.read()
    words = output.last_words() if status and not process.killed else ""
    if words:
        how = f"{how}; the last that it wrote to standard error:\n{words}"
        if output.outputs.files_stay and output.path():
            how = f"{how}\n    (all of it is in {output.path()})"
    return how


def _ended_how(status: int | None) -> str:
    return "it is not known how" if status is None else describe_exit(status)


def describe_exit(status: int) -> str:
    """What ``waitpid`` says of an end, in words."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        try:
            return f"it was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"it was killed by signal {-code}"
    return f"it exited with code {code}"
