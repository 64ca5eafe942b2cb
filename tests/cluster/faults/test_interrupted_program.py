"""Ctrl-C: a wait ends at once, and the cluster works as before."""

from __future__ import annotations

import signal
from typing import Any

import psutil
import pytest


def test_it_ends_a_wait_and_nothing_else(program: Any) -> None:
    running = program(
        """
        import threading

        @air.remote
        class Gate:
            def __init__(self):
                self.open = threading.Event()
            def wait(self):
                return self.open.wait()
            def set(self):
                self.open.set()

        start()
        gate = Gate.options(max_concurrency=4).remote()
        ref = gate.wait.remote()
        for wait in (
            lambda: air.get(ref),
            lambda: air.wait([ref]),
            lambda: air.get(ref, timeout=100),
            lambda: next(iter(ref for ref in gate.wait.options(num_returns="streaming").remote())),
        ):
            try:
                tell("waiting")
                wait()
            except KeyboardInterrupt:
                tell("interrupted")
        gate.set.remote()
        tell(air.get(ref, timeout=30))
        """
    )
    for _ in range(4):
        assert running.hear() == "waiting"
        running.process.send_signal(signal.SIGINT)
        assert running.hear() == "interrupted"
    assert running.hear() is True
    assert running.end() == 0


def test_it_ends_a_program(program: Any, survivors: Any) -> None:
    running = program(
        """
        import time

        start()
        tell(0)
        air.get(air.remote(lambda: time.sleep(1000)).remote())
        """
    )
    running.hear()
    processes = running.descendants()
    running.process.send_signal(signal.SIGINT)
    assert running.end() == -signal.SIGINT
    complaints = running.complaints()
    assert complaints.rstrip().endswith("KeyboardInterrupt"), complaints
    assert complaints.count("Traceback") == 1, complaints
    assert survivors(processes) == []


def test_the_terminal_interrupts_the_program_alone(program: Any) -> None:
    """Ctrl-C goes to the whole group of a terminal: workers and daemon do not take part."""
    running = program(
        """
        start()
        pid = air.get(air.remote(os.getpid).remote())
        try:
            os.killpg(0, signal.SIGINT)
        except KeyboardInterrupt:
            pass
        tell(air.get(air.remote(os.getpid).remote()) == pid)
        """
    )
    assert running.hear() is True


@pytest.mark.parametrize(
    "moment",
    [
        "Session.of_its_own",  # a daemon was started, and nobody has noted it yet
        "DaemonProcess.wait_until_ready",
        "Client.connect",
        "Reactor.start_background",
    ],
)
def test_while_a_cluster_starts_nothing_is_left(moment: str, program: Any, survivors: Any) -> None:
    running = program(
        f"""
        import psutil
        from air_cluster import session
        from air_cluster.client.client import Client
        from air_cluster.launch import DaemonProcess
        from air_cluster.session import Session
        from air_cluster.transport.reactor import Reactor

        session._STOP_TIMEOUT_S = 1000  # nobody waits for a daemon that waits for somebody
        function = {moment}

        def interrupted(*args, **kwargs):
            value = function(*args, **kwargs)
            tell([child.pid for child in psutil.Process().children(recursive=True)])
            signal.raise_signal(signal.SIGINT)
            return value

        {moment} = interrupted
        start()
        """
    )
    processes = [psutil.Process(pid) for pid in running.hear() if psutil.pid_exists(pid)]
    assert running.end() == -signal.SIGINT
    assert running.complaints().rstrip().endswith("KeyboardInterrupt")
    assert survivors(processes) == []
    assert running.sessions() == []


@pytest.mark.parametrize("moment", ["Reactor.close", "DaemonProcess.wait"])
def test_while_a_cluster_ends_it_is_raised_afterwards(
    moment: str, program: Any, survivors: Any
) -> None:
    running = program(
        f"""
        from air_cluster.launch import DaemonProcess
        from air_cluster.transport.reactor import Reactor

        function = {moment}

        def interrupted(*args, **kwargs):
            {moment} = function
            signal.raise_signal(signal.SIGINT)
            return function(*args, **kwargs)

        start()
        before = air.get(air.remote(os.getpid).remote())
        tell(0)
        {moment} = interrupted
        try:
            air.shutdown()
        except KeyboardInterrupt:
            tell(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        start()
        tell(air.get(air.remote(os.getpid).remote()) != before)
        """
    )
    running.hear()
    processes = running.descendants()
    assert running.hear() is True
    assert survivors(processes) == []
    assert running.hear() is True
    assert running.end() == 0, running.complaints()
    assert running.sessions() == []


def test_at_the_end_of_a_program_there_is_nothing_to_say(program: Any) -> None:
    running = program(
        """
        from air_cluster.launch import DaemonProcess

        wait = DaemonProcess.wait

        def interrupted(*args):
            signal.raise_signal(signal.SIGINT)
            wait(*args)

        start()
        DaemonProcess.wait = interrupted
        """
    )
    assert running.end() == 0
    assert running.complaints() == ""
    assert running.sessions() == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_at_any_moment_it_leaves_everything_in_order(seed: int, program: Any) -> None:
    """Interrupts come from a thread, hundreds of times, in the middle of everything."""
    running = program(
        f"""
        import gc, random, threading, time
        import numpy as np
        from air.executor.current import get_executor

        @air.remote
        def same(x):
            return x

        @air.remote
        class Actor:
            def same(self, x):
                return x

        def work(actor, what):
            if what == 0:
                assert air.get([same.remote(i) for i in range(20)], timeout=30) == list(range(20))
            elif what == 1:
                refs = [actor.same.remote(i) for i in range(20)]
                assert air.get(refs, timeout=30) == list(range(20))
            elif what == 2:
                assert air.get(air.put(np.arange(20_000)), timeout=30)[-1] == 19_999
            elif what == 3:
                assert air.get(same.remote(np.arange(20_000)), timeout=30)[-1] == 19_999
            elif what == 4:
                air.wait([same.remote(i) for i in range(10)], num_returns=10, timeout=30)
            else:
                air.cancel(same.remote(1))

        def interrupt(stop, seed):
            pause = random.Random(seed)
            while not stop.wait(pause.random() * 0.004):
                os.kill(os.getpid(), signal.SIGINT)

        def undisturbed(function):
            while True:
                try:
                    return function()
                except KeyboardInterrupt:
                    continue

        sys.unraisablehook = lambda unraisable: None  # an interrupt in a finalizer is lost
        start()
        actor = Actor.remote()
        air.get([same.remote(0), actor.same.remote(0)])
        choice, stop, hits = random.Random({seed}), threading.Event(), 0
        thread = threading.Thread(target=interrupt, args=(stop, {seed}))
        thread.start()
        for _ in range(400):
            try:
                work(actor, choice.randrange(6))
            except KeyboardInterrupt:
                hits += 1
        undisturbed(stop.set)
        undisturbed(thread.join)
        for what in range(5):
            undisturbed(lambda: work(actor, what))  # the last of them may be late
        client = get_executor()._client
        deadline = time.monotonic() + 30  # a task that was cancelled ends when it gets to it
        while (client.submitter.records or client.calls._calls) and time.monotonic() < deadline:
            time.sleep(0.01)
        tell([hits > 20, len(client.submitter.records), len(client.calls._calls)])
        air.shutdown()
        """
    )
    assert running.hear() == [True, 0, 0]
    assert running.end() == 0, running.complaints()
