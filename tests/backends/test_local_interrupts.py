"""Ctrl-C on the local backend."""

from __future__ import annotations

import signal
import threading

import pytest

import air


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def drop(kept):
    kept.clear()
    threading.Event().wait(20)


class Finalized:
    """Ctrl-C is pressed while it goes."""

    def __init__(self):
        self.went = threading.Event()

    def __del__(self):
        press_ctrl_c()
        self.went.set()


@pytest.mark.usefixtures("air_local")
def test_in_a_finalizer_it_waits():
    """What is raised there, Python prints and forgets."""
    kept = [Finalized()]
    went = kept[0].went
    with pytest.raises(KeyboardInterrupt):
        drop(kept)
    assert went.is_set()


@pytest.mark.usefixtures("air_local")
def test_at_the_end_of_an_actor_it_waits():
    """The last handle's finalizer ends the actor, which is not left half ended."""

    @air.remote(num_cpus=3)
    class Actor:
        def __init__(self):
            self.finalized = Finalized()

    kept = [Actor.remote()]
    assert air.available_resources()["CPU"] == 1
    with pytest.raises(KeyboardInterrupt):
        drop(kept)
    assert air.available_resources()["CPU"] == 4


def test_the_handler_comes_and_goes_with_the_backend():
    before = signal.getsignal(signal.SIGINT)
    assert before is signal.default_int_handler
    air.init(backend="local")
    assert signal.getsignal(signal.SIGINT) is not before
    air.shutdown()
    assert signal.getsignal(signal.SIGINT) is before


def test_while_the_backend_ends_it_ends_all_the_same():
    @air.remote(num_returns="streaming")
    def produce(at_the_end):
        try:
            yield 1
        finally:
            at_the_end()

    @air.remote
    class Actor:
        pass

    air.init(backend="local")
    streams = [produce.remote(end) for end in (lambda: None, press_ctrl_c, lambda: None)]
    for stream in streams:
        next(stream)
    actor = Actor.options(name="actor").remote()
    with pytest.raises(KeyboardInterrupt):
        air.shutdown()
    del streams, stream, actor
    assert not air.is_initialized()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    air.init(backend="local")
    with pytest.raises(ValueError, match="actor"):
        air.get_actor("actor")
    air.shutdown()


def test_a_handler_of_the_program_is_left_alone():
    def own(_number, _frame):
        pass

    before = signal.signal(signal.SIGINT, own)
    try:
        air.init(backend="local")
        assert signal.getsignal(signal.SIGINT) is own
        air.shutdown()
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_that_was_set_meanwhile_stays():
    def own(_number, _frame):
        pass

    air.init(backend="local")
    before = signal.signal(signal.SIGINT, own)
    try:
        air.shutdown()
        assert signal.getsignal(signal.SIGINT) is own
        # As a debugger does that has found it: it serves as the plain one.
        signal.signal(signal.SIGINT, before)
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_in_another_thread_the_backend_leaves_it_alone():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def use():
        air.init(backend="local")
        seen.append(signal.getsignal(signal.SIGINT))
        air.shutdown()

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [before]
