"""What a freshly forked worker does."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import os
import random
import signal
import sys

from air.errors import RuntimeEnvSetupError
from air.executor.current import install
from air_cluster.client.client import Client
from air_cluster.executor import ClusterExecutor
from air_cluster.protocol.messages import (
    ActorExit,
    ActorOver,
    EnvironmentReady,
    Exit,
    StartActor,
)
from air_cluster.transport.connection import Connection
from air_cluster.worker.actor_host import ActorHost
from air_cluster.worker.devices import hide_gpus
from air_cluster.worker.lifeline import outlive_template
from air_cluster.worker.reporter import Reporter
from air_cluster.worker.runner import TaskRunner
from air_cluster.worker.voice import Voice

_LOOK_AGAIN_S = 0.5


def run_worker(
    session: str,
    token: bytes,
    host: str,
    has_gpus: bool,
    in_environment: bool,
    lifeline: int,
    worker_id: bytes,
) -> None:
    """Join the cluster, run what comes, and leave. Never returns."""
    code = 1
    try:
        _fresh_process()
        if has_gpus:
            hide_gpus()
        voice = Voice()
        voice.install()
        client = Client(session, token, worker_id, "worker", host=host)
        _serve(voice, client, in_environment, lifeline)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        # The interpreter's own teardown takes long with large libraries loaded, and threads
        # of theirs that were forked away can hang it.
        os._exit(code)


def _fresh_process() -> None:
    """Undo what a process shares with the one that it was forked from."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    faulthandler.enable(2, all_threads=False)
    random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.seed()


def _serve(voice: Voice, client: Client, in_environment: bool, lifeline: int) -> None:
    executor = ClusterExecutor(client, _no_shutdown)
    install(executor)
    reporter = Reporter(client)
    runner = TaskRunner(client, reporter, voice)
    become: list[tuple[StartActor, bytes]] = []
    early: list[ActorExit] = []  # its last handle was gone before it began

    def start_actor(_connection: Connection, message: StartActor, payload: bytes) -> None:
        become.append((message, bytes(payload)))
        runner.stop = True

    def stop(_connection: Connection, message: Exit, _payload: object) -> None:
        if message.graceful and client.is_needed:  # look again in a while
            client.reactor.call_later(_LOOK_AGAIN_S, lambda: stop(_connection, message, b""))
            return
        # What runs is not waited for: its results have no taker any more.
        _run_exit_functions()
        if message.graceful:
            client.surveys.last_words()
            client.daemon.drain()
        os._exit(0)

    client.on_daemon_lost = lambda _reason: os._exit(1)
    client.peers.handle(StartActor, start_actor)
    client.peers.handle(ActorExit, lambda _c, message, _p: early.append(message))
    client.peers.handle(Exit, stop)
    client.reactor.start_background("air-background")  # if there are threads, or nobody joins
    client.connect()
    outlive_template(lifeline)  # before that, nobody but the template knows of this process
    if client.setup and not _set_up_environment(client, in_environment):
        return
    runner.run()
    if become:
        message, payload = become[0]
        runner.interruptible.remove()
        with client.reactor.lock:
            actor = ActorHost(client, reporter, voice, message, payload)
            actor.ending = bool(early)
        actor.run()
    _run_exit_functions()
    client.surveys.last_words()
    client.reactor.wait_for(lambda: reporter.is_idle or client.closed)
    if become:
        _outlive_actor(client, become[0][0].spec.actor_id)
    with client.reactor.lock:
        client.peers.drain()


def _set_up_environment(client: Client, is_done: bool) -> bool:
    """Do what has to be done before any of the user's code; tell how that went.

    Args:
        is_done: whether it was done in the process that this one was forked from.
    """
    import msgspec

    from air_cluster.client.environments import Setup
    from air_cluster.worker.environment import adjust, set_up

    error = process = ""
    try:
        setup = msgspec.msgpack.decode(client.setup, type=Setup)
        if is_done:
            adjust(setup)
        else:
            process = set_up(client, setup)
        client.environments.of_worker(setup)
    except Exception as failure:
        is_known = isinstance(failure, RuntimeEnvSetupError)
        error = str(failure) if is_known else f"{type(failure).__name__}: {failure}"
    with client.reactor.lock:
        client.daemon.send(EnvironmentReady(error, process))
        if error:
            client.peers.drain()
    return not error


def _outlive_actor(client: Client, actor_id: bytes) -> None:
    """Stay as long as others hold references to values that only this process knows.

    An actor that is killed takes them along; one that ends by itself, or with its last handle,
    may have handed them out with its last result.
    """
    with client.reactor.lock:
        client.objects.drain()
        if not client.is_needed:
            return
        client.daemon.send(ActorOver(actor_id))
    gc.collect()  # what the actor has left in cycles may hold values of others
    client.reactor.wait_for(lambda: not client.is_needed)


def _run_exit_functions() -> None:
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()


def _no_shutdown() -> None:
    raise RuntimeError("air.shutdown() is for the program that started the cluster")
