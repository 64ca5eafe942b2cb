"""Queue on the selected backend."""

from __future__ import annotations

import asyncio
import queue as standard

import numpy as np
import pytest

import air
from air.errors import ActorDied, AirError, InvalidOption
from air.util.queue import Empty, Full, Queue

pytestmark = pytest.mark.usefixtures("air_backend")


def test_first_in_first_out():
    queue = Queue()
    assert queue.empty()
    for number in range(3):
        queue.put(number)
    assert len(queue) == queue.size() == queue.qsize() == 3
    assert [queue.get() for _ in range(3)] == [0, 1, 2]
    assert queue.empty()
    assert not queue.full()


def test_empty():
    queue = Queue()
    for get in (queue.get_nowait, lambda: queue.get(timeout=0.01), lambda: queue.get(timeout=0)):
        with pytest.raises(Empty) as caught:
            get()
        assert isinstance(caught.value, standard.Empty)
        assert isinstance(caught.value, AirError)


def test_full():
    queue = Queue(maxsize=1)
    queue.put("a")
    assert queue.full()
    for put in (queue.put_nowait, lambda item: queue.put(item, timeout=0.01)):
        with pytest.raises(Full, match="maxsize=1") as caught:
            put("b")
        assert isinstance(caught.value, standard.Full)
    assert queue.get() == "a"
    queue.put("b")
    assert queue.get() == "b"


def test_batches_are_all_or_none():
    queue = Queue(maxsize=3)
    queue.put_nowait_batch(range(3))
    with pytest.raises(Full, match="no room for 1 items more"):
        queue.put_nowait_batch(["x"])
    with pytest.raises(Empty, match="fewer than 4"):
        queue.get_nowait_batch(4)
    assert queue.get_nowait_batch(3) == [0, 1, 2]
    assert queue.get_nowait_batch(0) == []


def test_tasks_share_it():
    @air.remote
    def fill(queue, start):
        for number in range(start, start + 3):
            queue.put(number)

    queue = Queue()
    air.get([fill.remote(queue, 0), fill.remote(queue, 10)])
    assert sorted(queue.get() for _ in range(6)) == [0, 1, 2, 10, 11, 12]


def test_async():
    async def main():
        queue = Queue(maxsize=1)
        got = asyncio.gather(*(queue.get_async(timeout=30) for _ in range(3)))
        await asyncio.sleep(0)
        for number in range(3):
            await queue.put_async(number)
        assert sorted(await got) == [0, 1, 2]
        with pytest.raises(Empty):
            await queue.get_async(block=False)

    asyncio.run(main())


def test_shutdown():
    queue = Queue()
    queue.put(1)
    queue.shutdown()
    with pytest.raises(ActorDied):
        queue.get()
    queue.shutdown()


def test_shutdown_does_not_wait_for_ever_for_a_reader():
    queue = Queue()
    waiting = queue.actor.get.remote(None)
    queue.shutdown(grace_period_s=0.05)
    with pytest.raises(ActorDied):
        air.get(waiting, timeout=30)


def test_options_of_the_actor():
    queue = Queue(actor_options={"name": "the queue"})
    assert air.get_actor("the queue") == queue.actor
    queue.shutdown(force=True)


def test_bad_input():
    with pytest.raises(InvalidOption, match="maxsize must be a whole number >= 0, got -1"):
        Queue(maxsize=-1)
    with pytest.raises(InvalidOption, match="Did you mean 'num_cpus'"):
        Queue(actor_options={"num_cpu": 1})
    queue = Queue()
    with pytest.raises(InvalidOption, match="timeout"):
        queue.get(timeout=-1)
    with pytest.raises(InvalidOption, match="block=False does not wait"):
        queue.put(1, block=False, timeout=1)
    with pytest.raises(InvalidOption, match="num_items"):
        queue.get_nowait_batch(-1)


def test_arguments_are_checked():
    queue = Queue(np.int64(1))
    queue.put("a", timeout=float("inf"))
    assert queue.full() is True
    for call, message in (
        (lambda: queue.get(block="no"), "block must be True or False"),
        (lambda: queue.get(timeout="soon"), "timeout must be seconds or None"),
        (lambda: queue.get(timeot=1), "Did you mean 'timeout'"),
        (lambda: queue.shutdown(force="yes"), "force must be True or False"),
        (lambda: queue.shutdown(grace_period_s=-1), "grace_period_s must not be negative"),
        (lambda: Queue(max_size=1), "Did you mean 'maxsize'"),
        (lambda: Queue(actor_options=3), "actor_options must map names to values, got 3"),
        (lambda: Queue(actor_options={"num_cpu": 1}), "Did you mean 'num_cpus'"),
    ):
        with pytest.raises(InvalidOption, match=message):
            call()
    assert queue.get() == "a"


def test_those_who_wait_for_items_do_not_hold_up_those_who_bring_them():
    queue = Queue(maxsize=1, actor_options={"max_concurrency": 1})
    waiting = [queue.actor.get.remote(None) for _ in range(3)]
    with pytest.raises(Empty):
        queue.get_nowait()
    for number in range(3):
        queue.put(number, timeout=30)
    assert air.get(waiting, timeout=30) == [(0,), (1,), (2,)]
    queue.put(3)
    waiting = [queue.actor.put.remote(number, None) for number in (4, 5)]
    with pytest.raises(Full):
        queue.put_nowait(6)
    assert [queue.get() for _ in range(3)] == [3, 4, 5]
    assert air.get(waiting) == [True, True]


def test_groups_are_its_own():
    with pytest.raises(InvalidOption, match="a queue has its own"):
        Queue(actor_options={"concurrency_groups": {"get": 1}})


def test_who_waits_when_it_ends_is_told():
    queue = Queue()
    waiting = queue.actor.get.remote(None)
    queue.shutdown(force=True)
    with pytest.raises(ActorDied):
        air.get(waiting)
    with pytest.raises(ActorDied):
        queue.put(1)
    with pytest.raises(ActorDied):
        queue.qsize()
