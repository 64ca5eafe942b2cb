"""Entry of the daemon process.

The configuration comes as JSON on standard input. A line of JSON on standard output says
that it serves (see ``launch.Ready``).
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import signal
import socket
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from air_cluster.daemon.descriptors import take_all, too_few
from air_cluster.daemon.hosts import local_host
from air_cluster.daemon.rejoining import await_head, start_again
from air_cluster.daemon.spawning import Spawned, spawn_template
from air_cluster.daemon.template import WorkerSetup, adopt_orphans, name_process, run_template
from air_cluster.leftovers import end_all
from air_cluster.marks import descendants
from air_cluster.session_files import (
    ABOUT,
    LOGS,
    SOCKET,
    LogLimits,
    hold,
    write_private,
)
from air_cluster.signals import reset_signals

if TYPE_CHECKING:
    from air_cluster.daemon.node import NodeDaemon
    from air_cluster.transport.reactor import Reactor

_HINTS = {
    errno.EADDRINUSE: ": end what listens there ('air stop', if it is a node), or choose another"
    " --port",
    errno.EADDRNOTAVAIL: ": this machine has no such address; name one that it has with --host",
    errno.EACCES: ": only root may listen on ports below 1024; choose another --port",
}

_TEMPLATE_ENDS_S = 3.0
_POLL_S = 0.002
_PROGRAM_S = 0.5
_LOG_S = 2.0
_STRANGERS_SHARE = 4
"""Strangers may take this part of the descriptors, so that members are never kept out by them."""


def main() -> None:
    """Run a node until the program that started it is gone, or says so."""
    reset_signals()
    config = json.load(sys.stdin)
    sys.argv = config["argv"]
    if "lock" not in config:
        config["lock"] = hold(config["session"])
    try:
        if config["rejoins"]:
            await_head(config)
        end = _serve(config)
    except BaseException:
        _remove(config["session"])
        raise
    if end.has_failed:
        sys.exit(
            1
        )  # what it has logged stays: who made the session keeps it, or who makes one next
    if end.lost:
        start_again(config, end.lost)
    _remove(config["session"])


class _End(NamedTuple):
    """How a node has ended: why it has *lost* its head, if it has; whether it *has_failed*."""

    lost: str = ""
    has_failed: bool = False


def _serve(config: dict[str, Any]) -> _End:
    """Run a node."""
    token = bytes.fromhex(config["token"])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # What both need is imported once, before the fork; the rest in parallel after it. The
    # template is forked before anything that a worker must not inherit exists.
    import air_cluster.protocol.messages
    import air_cluster.transport.peers
    import air_cluster.transport.reactor  # noqa: F401

    lifeline, held = os.pipe()
    host = local_host(config["network"])
    has_gpus = "GPU" in config["resources"]
    setup = WorkerSetup(config["session"], token, host, has_gpus, lifeline=lifeline)
    template = os.fork()
    if template == 0:
        ours.close()
        for fd in (config["lock"], held):
            os.close(fd)
        _leave_standard_streams(config["log"])
        run_template(theirs, setup, [])
    theirs.close()
    name_process("air-daemon")
    adopt_orphans()  # should the template be killed
    templates = [Spawned(template, ours)]
    try:
        return _run(config, token, setup, templates)
    finally:
        for one in templates:
            one.control.close()
            _wait_for(one.pid)
        _end_orphans()
        os.close(held)
        os.close(lifeline)


def _run(
    config: dict[str, Any], token: bytes, setup: WorkerSetup, templates: list[Spawned]
) -> _End:
    from air.executor.resources import Resources
    from air_cluster.daemon.joining import make_member
    from air_cluster.daemon.log_files import LogDirectory
    from air_cluster.daemon.memory import NodeMemory
    from air_cluster.daemon.memory_guard import MemoryGuard
    from air_cluster.daemon.node import NodeDaemon
    from air_cluster.daemon.output import Outputs
    from air_cluster.daemon.pool import WorkerPool
    from air_cluster.protocol.ids import NO_NODE, new_process_id
    from air_cluster.transport.encryption import contexts_in
    from air_cluster.transport.peers import MAX_STRANGERS, Peers
    from air_cluster.transport.reactor import Reactor

    # Ctrl-C on the terminal is for the program, which ends us when it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptors = take_all()
    if lack := too_few(descriptors):
        sys.exit(f"air: {lack}")
    reactor = Reactor()

    def spawn() -> Spawned:
        templates[:] = [spawn_template(setup)]  # those before it have ended
        return templates[0]

    with reactor.lock:
        node = NodeDaemon(
            reactor,
            Peers(
                reactor,
                token,
                new_process_id(NO_NODE),
                same_machine=lambda _process: False,
                max_strangers=min(MAX_STRANGERS, max(1, descriptors // _STRANGERS_SHARE)),
                tls=contexts_in(config["session"]),
            ),
            config["node_id"],
            Resources(config["resources"]),
            config["labels"],
            NodeMemory(config["object_store_memory"]),
            alone=config["network"] is None,
            stays=config["stays"],
            is_guest=config["is_guest"],
        )
        node.workers.pool = WorkerPool.over(
            reactor,
            config["session"],
            templates[0],
            Outputs(
                reactor,
                LogDirectory(os.path.join(config["session"], LOGS), LogLimits(*config["logs"])),
                node.printed.from_worker,
                files_stay=config["stays"],
            ),
            exited=node.workers.exited,
            unforked=node.workers.unforked,
            spawn=spawn,
            broken=partial(_fail, node, config["session"]),
        )
        node.address = node.peers.listen(f"unix:{config['session']}/{SOCKET}")
        guard = MemoryGuard(node, config["session"], config["memory"])
        node.workers.on_ended = guard.ended
        try:
            member = make_member(node, config["network"], token, config["session"])
        except OSError as error:  # such as a port that is taken
            sys.exit(f"air: {error.strerror or error}{_HINTS.get(error.errno or 0, '')}")
        if config["program"]:
            _watch_program(node, config["program"])
    signal.signal(signal.SIGTERM, lambda _number, _frame: node.stop())
    reactor.run(lambda: node.number or node.stopping)
    rejoins: bool = config["rejoins"]
    if not node.number:
        with reactor.lock:
            member.leave()
            node.close()
        if rejoins:
            return _End(node.why_stopping if node.is_lost else "")
        sys.exit(f"air: {node.why_stopping}")
    if config["stays"]:
        about = json.dumps(member.about()).encode()
        try:
            write_private(os.path.join(config["session"], ABOUT), about)
        except OSError as error:
            sys.exit(f"air: {config['session']} cannot be written: {error.strerror}")
    if not rejoins:
        sys.stdout.write(json.dumps(member.ready()) + "\n")
        sys.stdout.flush()
        _leave_standard_streams(config["log"])
    _keep_log(reactor, config)
    try:
        reactor.run(lambda: node.stopping)
    finally:
        with reactor.lock:
            member.leave()
            node.close()
        if node.values is not None:
            node.values.join()
    if node.why_stopping:
        print(f"air: node {node.name} has ended: {node.why_stopping}", file=sys.stderr)
    return _End(node.why_stopping if node.is_lost and config["stays"] else "", node.has_failed)


def _fail(node: NodeDaemon, session: str, reason: str) -> None:
    """End a node that is of no use any more."""
    later = os.path.join(os.path.dirname(session), f"air-{os.getuid()}-crashed-*")
    logs = os.path.join(session, LOGS)
    node.fail(
        f"{reason}. The node's log files are in {logs}; they are moved to {later} when another"
        " node or program starts on this machine"
    )


def _watch_program(node: NodeDaemon, program: int) -> None:
    """End the node when the program is gone that it was started for.

    Once that has registered, the end of its connection says so at once. It may be killed before.
    """
    if os.getppid() != program:
        node.stop("the program that started it has ended")
    node.reactor.call_later(_PROGRAM_S, partial(_watch_program, node, program))


def _keep_log(reactor: Reactor, config: dict[str, Any]) -> None:
    """Write down what is logged from now on, with the time; to files of a bounded size."""
    from air_cluster.daemon.log_files import cap

    path, limits = config["log"], LogLimits(*config["logs"])
    level = logging.INFO if path else logging.WARNING
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=level)

    def look() -> None:
        cap(2, path, limits)
        reactor.call_later(_LOG_S, look)

    if path:
        look()


def _wait_for(template: int) -> None:
    """Wait until the template has ended, and with it what it forked, but not for ever."""
    deadline = time.monotonic() + _TEMPLATE_ENDS_S
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(template, os.WNOHANG)[0] == 0:
                time.sleep(_POLL_S)
                continue
        return


def _end_orphans() -> None:
    """End what is left below this process, because a template was killed before."""

    def reap() -> bool:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            return True
        return False

    if reap():
        end_all(lambda: descendants({os.getpid()}), reap)


def _leave_standard_streams(log: str) -> None:
    """Let go of the pipes to the driver; complaints go to the session's log, if it has one."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    if log:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    else:
        out = os.dup(2)
    os.dup2(nothing, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(nothing)
    os.close(out)


def _remove(session: str) -> None:
    import shutil

    shutil.rmtree(session, ignore_errors=True)
