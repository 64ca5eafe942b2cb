"""What only the local backend promises: one process, one thread, in order, debuggable."""

from __future__ import annotations

import asyncio
import bdb
import contextvars
import gc
import io
import logging
import os
import pdb  # noqa: T100 - for a test of it
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import air
from air.errors import (
    ActorDied,
    ActorPlacementError,
    DeadlockError,
    GetTimeout,
    NotInitialized,
    TaskCancelled,
    TaskError,
    UnsupportedByBackend,
)
from air.executor.current import get_executor
from air_local.streams import Step, Stream

pytestmark = pytest.mark.usefixtures("air_local")


@air.remote
def identity(item):
    return item


@air.remote
class Gate:
    def __init__(self):
        self.event = asyncio.Event()

    async def wait(self, result="through"):
        await self.event.wait()
        return result

    async def open(self):
        self.event.set()


def stored() -> int:
    """How many values the backend keeps."""
    gc.collect()
    return len(get_executor()._store)


# Where and when things run ---------------------------------------------------------------


def test_runs_at_the_call_in_the_calling_thread(tmp_path):
    @air.remote
    def leave(path):
        Path(path).write_text("ran")
        return os.getpid(), threading.get_ident()

    ref = leave.remote(str(tmp_path / "trace"))
    assert (tmp_path / "trace").read_text() == "ran"
    assert air.get(ref) == (os.getpid(), threading.get_ident())
    with ThreadPoolExecutor(1) as pool:
        ident = pool.submit(lambda: air.get(leave.remote(str(tmp_path / "trace")))[1]).result()
    assert ident != threading.get_ident()


def test_methods_and_constructors_run_at_the_call(tmp_path):
    @air.remote
    class Writer:
        def __init__(self, path):
            self.path = Path(path)
            self.path.write_text("made")

        def write(self):
            self.path.write_text("written")

    path = tmp_path / "trace"
    writer = Writer.remote(str(path))
    assert path.read_text() == "made"
    writer.write.remote()
    assert path.read_text() == "written"


def test_async_methods_start_at_the_call(tmp_path):
    @air.remote
    class Writer:
        async def write(self, path, gate):
            Path(path).write_text("started")
            await gate.wait.remote()

    Writer.remote().write.remote(str(tmp_path / "trace"), Gate.remote())
    assert (tmp_path / "trace").read_text() == "started"


def test_generators_run_when_they_are_pulled(tmp_path):
    @air.remote
    def steps(path):
        for number in range(3):
            Path(path).write_text(str(number))
            yield number

    path = tmp_path / "trace"
    stream = steps.remote(str(path))
    assert not path.exists()
    for number in range(3):
        ref = next(stream)
        assert path.read_text() == str(number)
        assert air.get(ref) == number


def test_breakpoints_stop_in_user_code(monkeypatch):
    stops = []
    monkeypatch.setattr(
        sys, "breakpointhook", lambda: stops.append(sys._getframe(1).f_code.co_name)
    )

    @air.remote
    def debug_me():
        breakpoint()  # noqa: T100 - that is the test

    @air.remote
    class Debug:
        async def debug_me_too(self):
            breakpoint()  # noqa: T100 - that is the test

    debug_me.remote()
    Debug.remote().debug_me_too.remote()
    assert stops == ["debug_me", "debug_me_too"]


def test_errors_keep_live_frames():
    @air.remote
    def fail(number):
        halved = number / 2
        raise ValueError(f"oops {halved}")

    with pytest.raises(ValueError, match="oops") as caught:
        air.get(fail.remote(3))
    last = list(traceback.walk_tb(caught.value.__traceback__))[-1][0]
    assert last.f_locals == {"number": 3, "halved": 1.5}


def test_no_machinery_between_get_and_user_code():
    @air.remote
    def fail():
        raise ValueError("oops")

    with pytest.raises(ValueError, match="oops") as caught:
        air.get(fail.remote())
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[-2:] == ["value", "fail"], "get's own frames, then the user's"


def test_errors_forget_what_the_caller_was_handling():
    @air.remote
    def fail():
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("oops")  # noqa: B904 - the context is what this is about

    try:
        raise LookupError("the caller's")
    except LookupError:
        ref = fail.remote()
    with pytest.raises(ValueError, match="oops") as caught:
        air.get(ref)
    assert isinstance(caught.value.__context__, KeyError)
    assert caught.value.__context__.__context__ is None


def test_ctrl_c_reaches_the_program():
    @air.remote
    def interrupted():
        signal.raise_signal(signal.SIGINT)
        time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        interrupted.remote()
    assert air.get(identity.remote(1)) == 1


def test_ctrl_c_in_async_code_is_reported_once(caplog):
    @air.remote
    async def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted.remote()
    gc.collect()
    assert not caplog.records  # asyncio would complain of an exception that was never retrieved


@pytest.mark.parametrize("kind", ["task", "async task", "stream"])
def test_quitting_the_debugger_ends_the_program(kind, monkeypatch, tmp_path):
    def stop():
        debugger = pdb.Pdb(stdin=io.StringIO("q\n"), stdout=io.StringIO(), nosigint=True)
        debugger.set_trace(sys._getframe(1))

    monkeypatch.setattr(sys, "breakpointhook", stop)

    @air.remote(retry_exceptions=True)
    def debug_me(path):
        with open(path, "a") as file:
            file.write("ran ")
        breakpoint()  # noqa: T100 - that is the test
        file.write("went on")

    @air.remote(retry_exceptions=True)
    async def debug_me_async(path):
        debug_me._function(path)

    @air.remote
    def debug_me_in_a_stream(path):
        yield debug_me._function(path)

    calls = {
        "task": debug_me.remote,
        "async task": debug_me_async.remote,
        "stream": lambda path: list(debug_me_in_a_stream.remote(path)),
    }
    with pytest.raises(bdb.BdbQuit):
        calls[kind](tmp_path / "trace")
    assert (tmp_path / "trace").read_text() == "ran "
    assert air.get(identity.remote(1)) == 1


def test_ctrl_c_while_waiting():
    @air.remote
    class Interrupting:
        async def wait(self):
            asyncio.get_running_loop().call_later(0.01, lambda: signal.raise_signal(signal.SIGINT))
            await asyncio.sleep(60)

    ref = Interrupting.remote().wait.remote()
    with pytest.raises(KeyboardInterrupt):
        air.get(ref)
    assert air.get(identity.remote(1)) == 1


def test_context_variables_stay_with_the_caller():
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("the caller's")

    @air.remote
    def look():
        # The variable itself cannot be pickled; the context can still be looked at.
        return [str(value) for value in contextvars.copy_context().values()]

    assert "the caller's" not in air.get(look.remote())


def test_tasks_do_not_see_the_callers_event_loop():
    @air.remote
    def run():
        return asyncio.run(asyncio.sleep(0, "ran"))

    @air.remote
    class Async:
        async def run(self):
            return await run.remote()

    async def main():
        return await run.remote(), await Async.remote().run.remote()

    assert asyncio.run(main()) == ("ran", "ran")
    assert air.get(Async.remote().run.remote()) == "ran"


def test_threads_pull_a_stream_at_the_same_time(monkeypatch):
    """The next step may be asked for before the last one has left the generator's context."""
    delivered, overtaken = threading.Event(), threading.Event()
    finish, advance = Step._finish_step, Stream.advance
    steps = []

    def finish_and_linger(step):
        finish(step)
        if not delivered.is_set():
            delivered.set()
            assert overtaken.wait(30)

    def note(stream):
        step = advance(stream)
        steps.append(step)
        if len(set(steps)) == 2:
            overtaken.set()
        return step

    monkeypatch.setattr(Step, "_finish_step", finish_and_linger)
    monkeypatch.setattr(Stream, "advance", note)

    @air.remote
    def count():
        yield from range(3)

    stream = count.remote()
    with ThreadPoolExecutor(1) as pool:
        try:
            slow = pool.submit(list, stream)
            assert delivered.wait(30)
            refs = list(stream)
        finally:
            overtaken.set()
        refs += slow.result(30)
    assert sorted(air.get(refs)) == [0, 1, 2]


# Waiting ---------------------------------------------------------------------------------


def test_waiting_for_ones_own_actor():
    @air.remote
    class Selfish:
        def outer(self):
            return air.get(air.get_runtime_context().current_actor.inner.remote())

        def inner(self):
            return 1

    with pytest.raises(DeadlockError, match=r"inner.*its turn: its actor runs another method"):
        air.get(Selfish.remote().outer.remote())


def test_waiting_names_what_a_call_waits_for():
    gate = Gate.remote()
    with pytest.raises(DeadlockError, match=r"later.*waits for its arguments"):
        air.get(identity.options(name="later").remote(gate.wait.remote()))


def test_a_timeout_ends_early_when_nothing_can_happen():
    gate = Gate.remote()
    start = time.monotonic()
    with pytest.raises(GetTimeout):
        air.get(gate.wait.remote(), timeout=600)
    assert air.wait([gate.wait.remote()], timeout=600)[0] == []
    assert time.monotonic() - start < 60


def test_waiting_inside_an_async_method():
    @air.remote
    class Blocking:
        async def get(self, refs, timeout):
            return air.get(refs[0], timeout=timeout)

        async def wait(self, refs, timeout):
            return [len(part) for part in air.wait(refs, timeout=timeout)]

        async def sync_task(self, refs):
            return await wait_for.remote(refs)

    @air.remote
    def wait_for(refs):
        return air.get(refs[0])

    blocking, pending = Blocking.remote(), [Gate.remote().wait.remote()]
    with pytest.raises(DeadlockError, match="await ref"):
        air.get(blocking.get.remote(pending, 5))
    with pytest.raises(GetTimeout):
        air.get(blocking.get.remote(pending, 0))
    with pytest.raises(DeadlockError, match="await ref"):
        air.get(blocking.sync_task.remote(pending))
    with pytest.raises(DeadlockError, match="await ref"):
        air.get(blocking.wait.remote(pending, 5))
    assert air.get(blocking.wait.remote(pending, 0)) == [0, 1]


def test_code_that_never_rests_does_not_stop_the_program():
    @air.remote
    class Busy:
        def __init__(self):
            self.stop = False

        async def spin(self):
            while not self.stop:
                await asyncio.sleep(0)
            return "stopped"

        async def halt(self):
            self.stop = True

    busy = Busy.remote()
    spinning = busy.spin.remote()
    assert air.get(identity.remote(1)) == 1
    with pytest.raises(GetTimeout):
        air.get(spinning, timeout=0.01)
    busy.halt.remote()
    assert air.get(spinning) == "stopped"


def test_another_thread_may_end_the_wait():
    @air.remote
    class Outside:
        async def wait(self):
            loop, future = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
            self.thread = threading.Thread(
                target=lambda: loop.call_soon_threadsafe(future.set_result, "from outside")
            )
            loop.call_later(0.01, self.thread.start)
            return await future

        async def pool(self):
            with ThreadPoolExecutor(1) as pool:
                return await asyncio.get_running_loop().run_in_executor(pool, lambda: "pooled")

    outside = Outside.remote()
    assert air.get(outside.wait.remote()) == "from outside"
    assert air.get(outside.pool.remote()) == "pooled"


def test_subprocesses_and_sockets_in_async_methods():
    @air.remote
    class Outside:
        async def run(self):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "print(3)", stdout=asyncio.subprocess.PIPE
            )
            return (await process.communicate())[0].strip()

        async def talk(self):
            async def answer(reader, writer):
                writer.write(await reader.readline())
                writer.close()
                await writer.wait_closed()

            server = await asyncio.start_server(answer, "127.0.0.1")
            async with server:
                host, port = server.sockets[0].getsockname()
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(b"hello\n")
                line = await reader.readline()
                writer.close()
                await writer.wait_closed()
            return line

    outside = Outside.remote()
    assert air.get(outside.run.remote()) == b"3"
    assert air.get(outside.talk.remote()) == b"hello\n"

    async def main():
        return await outside.talk.remote()

    assert asyncio.run(main()) == b"hello\n"


def test_await_with_a_timeout_can_be_repeated():
    async def main():
        gate = Gate.remote()
        waiting = gate.wait.remote()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(_await(waiting), 0.001)
        entry = get_executor()._entry(waiting)
        assert entry.callbacks == []
        await gate.open.remote()
        return await waiting

    async def _await(ref):
        return await ref

    assert asyncio.run(main()) == "through"


def test_a_wait_of_half_a_minute_is_logged(monkeypatch, caplog):
    monkeypatch.setattr("air_local.engine._WARN_AFTER", 0.01)

    @air.remote
    class Slow:
        async def nap(self):
            await asyncio.sleep(0.05)

    with caplog.at_level(logging.WARNING, "air.local"):
        air.get(Slow.remote().nap.remote())
    assert "still waiting for" in caplog.text
    assert "Slow.nap" in caplog.text


# Cancelling ------------------------------------------------------------------------------


def test_a_task_in_another_thread_cannot_be_cancelled():
    gate = threading.Event()
    running = threading.Event()
    # Functions by reference: the task must see these events, not copies of them.
    _events["gate"], _events["running"] = gate, running
    refs = []

    def start():
        refs.append(_later.remote())

    # The reference only comes back when the task has ended; its entry is there before.
    thread = threading.Thread(target=start)
    thread.start()
    assert running.wait(30)
    (call,) = get_executor()._engine.unfinished()
    with pytest.raises(UnsupportedByBackend, match="nothing can interrupt it"):
        get_executor()._cancel(call, recursive=False)
    gate.set()
    thread.join(30)
    assert air.get(refs) == ["done"]


_events: dict[str, threading.Event] = {}


def _wait_for_event():
    from tests.backends.test_local_semantics import _events

    _events["running"].set()
    assert _events["gate"].wait(30)
    return "done"


_later = air.remote(_wait_for_event)


def test_cancelled_code_cleans_up_before_cancel_returns(tmp_path):
    @air.remote
    class Tidy:
        async def work(self, path):
            try:
                await asyncio.sleep(60)
            finally:
                Path(path).write_text("cleaned up")

    ref = Tidy.remote().work.remote(str(tmp_path / "trace"))
    air.cancel(ref)
    assert (tmp_path / "trace").read_text() == "cleaned up"
    with pytest.raises(TaskCancelled):
        air.get(ref)


def test_code_that_cancels_itself():
    @air.remote
    class Odd:
        async def work(self):
            raise asyncio.CancelledError

    with pytest.raises(TaskError, match="CancelledError"):
        air.get(Odd.remote().work.remote())


# Memory ----------------------------------------------------------------------------------


def test_values_are_freed_with_the_last_reference():
    assert stored() == 0
    ref = air.put([1])
    inner = air.put([ref, ref])
    assert stored() == 2
    del ref
    assert stored() == 2
    kept = air.get(inner)[0]
    del inner
    assert stored() == 1
    assert air.get(kept) == [1]
    del kept
    assert stored() == 0


def test_results_and_arguments_are_freed():
    ref = identity.remote([identity.remote(1)])
    for _ in range(5):
        ref = identity.remote(ref)
    assert stored() == 2
    del ref
    assert stored() == 0


def test_results_that_nobody_wants_are_freed():
    identity.remote(1)
    gate = Gate.remote()
    gate.wait.remote()
    later = identity.remote(gate.wait.remote())
    gate.open.remote()
    assert air.get(later) == "through"
    del later
    assert stored() == 0


def test_errors_are_freed():
    @air.remote
    def fail(item):
        raise ValueError("oops")

    ref = fail.remote(air.put(1))
    with pytest.raises(ValueError, match="oops"):
        air.get(ref)
    del ref
    assert stored() == 0


def test_streams_are_freed():
    @air.remote
    def count():
        yield air.put(1)
        yield 2

    stream = count.remote()
    first = next(stream)
    assert stored() == 2
    del stream, first
    assert stored() == 0
    assert get_executor()._streams == {}
    assert len(list(count.remote())) == 2
    assert stored() == 0


def test_calls_leave_nothing_behind():
    gate = Gate.remote()
    refs = [identity.remote(gate.wait.remote(number)) for number in range(3)]
    assert len(get_executor()._engine.unfinished()) == 6
    gate.open.remote()
    assert air.get(refs) == [0, 1, 2]
    assert get_executor()._engine.unfinished() == []


def test_actors_end_with_their_last_handle(tmp_path):
    @air.remote(num_cpus=1)
    class Mortal:
        def __init__(self, path):
            self.path = Path(path)
            self.task = None

        async def start(self):
            self.task = asyncio.create_task(asyncio.sleep(600))

        async def me(self):
            return air.get_runtime_context().current_actor

        def __del__(self):
            self.path.write_text("gone")

    path = tmp_path / "trace"
    mortal = Mortal.remote(str(path))
    air.get(mortal.start.remote())
    again = air.get(mortal.me.remote())
    stored_handle = air.put([again])
    assert air.available_resources()["CPU"] == 3
    del mortal, again
    gc.collect()
    assert not path.exists()
    del stored_handle
    air.get(identity.remote(1))  # the background task is cancelled when the loop turns
    gc.collect()
    assert path.read_text() == "gone"
    assert air.available_resources()["CPU"] == 4
    assert len(get_executor()._actors._actors) == 0


def test_killed_actors_let_go_of_everything(tmp_path):
    @air.remote(num_cpus=1)
    class Mortal:
        def __init__(self, path):
            self.path = Path(path)

        async def wait(self, gate):
            await gate.wait.remote()

        def __del__(self):
            self.path.write_text("gone")

    mortal = Mortal.remote(str(tmp_path / "trace"))
    pending = mortal.wait.remote(Gate.remote())
    air.kill(mortal)
    with pytest.raises(ActorDied):
        air.get(pending)
    gc.collect()
    assert (tmp_path / "trace").read_text() == "gone"
    assert air.available_resources()["CPU"] == 4


# Resources -------------------------------------------------------------------------------


def test_resources_never_wait():
    @air.remote(num_cpus=3)
    class Greedy:
        def ping(self):
            return air.available_resources()

    actors = [Greedy.remote() for _ in range(3)]
    seen = air.get([actor.ping.remote() for actor in actors])
    assert [resources["CPU"] for resources in seen] == [0, 0, 0]
    assert air.get(identity.options(num_cpus=4).remote(1)) == 1


def test_groups_of_an_earlier_backend():
    group = air.util.placement_group([{"CPU": 1}])
    air.shutdown()
    air.init(backend="local")
    with pytest.raises(ActorPlacementError, match="never existed"):
        air.get(group.ready())
    air.util.remove_placement_group(group)


def test_running_tasks_hold_their_resources():
    @air.remote(num_cpus=2)
    def outer():
        return air.available_resources()["CPU"], air.get(inner.remote())

    @air.remote
    def inner():
        return air.available_resources()["CPU"]

    assert air.get(outer.remote()) == (2, 1)
    assert air.available_resources()["CPU"] == 4


def test_capabilities():
    assert get_executor().capabilities == frozenset()
    get_executor().preload(["no_such_module"])


# The end ---------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", [False, True])
def test_no_shutdown_inside_a_task(wait):
    @air.remote
    def end():
        air.shutdown()

    @air.remote
    class Ender:
        async def end(self):
            await asyncio.sleep(0)
            air.shutdown()

    with pytest.raises(RuntimeError, match="not for its tasks"):
        air.get((Ender.remote().end if wait else end).remote())
    assert air.get(identity.remote(1)) == 1


def test_shutdown_lets_code_clean_up(tmp_path):
    @air.remote
    class Tidy:
        async def work(self, path):
            try:
                await asyncio.sleep(600)
            finally:
                await asyncio.sleep(0)
                Path(path).write_text("cleaned up")

    Tidy.remote().work.remote(str(tmp_path / "trace"))
    air.shutdown()
    assert (tmp_path / "trace").read_text() == "cleaned up"


@pytest.mark.parametrize("what", ["call", "group"])
def test_shutdown_frees_waiting_threads(what):
    gate = Gate.remote()
    groups = [air.util.placement_group([{"CPU": 4}]) for _ in range(2)]
    pending = gate.wait.remote() if what == "call" else groups[1].ready()
    waiting = threading.Event()
    original = get_executor()._engine._wait_once

    def note(*args):
        waiting.set()
        return original(*args)

    get_executor()._engine._wait_once = note
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(air.get, pending)
        assert waiting.wait(30)
        air.shutdown()
        with pytest.raises((TaskCancelled, ActorDied, NotInitialized)):
            got.result(30)


def test_a_timeout_names_what_is_waited_for_and_its_state():
    gate = Gate.options(max_concurrency=1).remote()
    running = gate.wait.options(name="first").remote()
    queued = gate.wait.options(name="second").remote()
    dependent = identity.options(name="third").remote(running)
    with pytest.raises(GetTimeout) as caught:
        air.get([running, queued, dependent, air.put(1)], timeout=0.01)
    said = str(caught.value)
    assert said.startswith("3 of 4 values were not there after 0.01 s: first (has run for ")
    assert "second (waits for its turn: its actor runs another method)" in said
    assert "third (waits for its arguments: 'first')" in said
