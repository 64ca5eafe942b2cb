"""Values that go with their node: made anew, streams too, or lost with the reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import air
from air.errors import ObjectLost
from air.testing.executor_suite.harness import eventually, value

MB = 1_000_000


def widget(thing: Any, **options: Any) -> Any:
    return thing.options(resources={"widget": 0.1}, **options)


@air.remote
def stream(log: str, count: int, megabytes: int = 1, wait_at: int = -1, pipe: str = "") -> Any:
    """Arrays of 0, 1, 2 and so on; says in a file each time it begins."""
    with open(log, "a") as file:
        file.write("begun\n")
    for number in range(count):
        if number == wait_at:
            with open(pipe) as opened:
                opened.read()
        yield np.full(megabytes * MB // 8, float(number))


@air.remote
def total(found: Any) -> float:
    return float(found.sum())


def sums(refs: Any) -> list[float]:
    return [float(found[0]) for found in value(list(refs))]


def runs(log: Path) -> int:
    return len(log.read_text().splitlines())


def kill(machines: Any) -> None:
    """Kill the only node that has a widget, once there is another one."""
    alive = len(air.nodes())
    victim = machines.nodes.pop()
    machines.start(resources={"widget": 1})
    assert eventually(lambda: len(air.nodes()) == alive + 1)
    victim.kill()
    assert eventually(lambda: sum(node["Alive"] for node in air.nodes()) == alive)


def test_values_of_a_stream_that_has_ended(two: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    refs = list(widget(stream).remote(str(log), 200))
    kept = refs[3::40]
    small = total.remote(refs[199])
    assert value(small) == 199 * MB / 8
    del refs
    kill(two)
    assert sums(kept) == [3, 43, 83, 123, 163]
    assert runs(log) == 2


def test_values_of_a_stream_that_has_failed(two: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"

    @air.remote
    def fail(log: str) -> Iterator[Any]:
        with open(log, "a") as file:
            file.write("begun\n")
        for number in range(3):
            yield np.full(MB, float(number))
        raise LookupError("oops")

    @air.remote
    def go_on(log: str) -> Iterator[Any]:
        for number in range(1000):
            yield np.full(MB, float(number))

    *refs, last = widget(fail).remote(str(log))
    endless = widget(go_on).remote(str(log))
    ended = next(endless)
    air.cancel(endless)
    for _ in endless:
        pass
    kill(two)
    assert sums(refs) == [0, 1, 2]
    assert runs(log) == 2
    with pytest.raises(LookupError, match="oops"):
        value(last)
    with pytest.raises(ObjectLost, match="go_on, which made it, was cancelled"):
        value(ended)


def test_a_stream_goes_on_where_it_was(two: Any, tmp_path: Path) -> None:
    log, pipe = tmp_path / "log", tmp_path / "pipe"
    os.mkfifo(pipe)
    produced = widget(stream).remote(str(log), 90, 1, 20, str(pipe))
    taken: list[Any] = [next(produced) for _ in range(10)]
    air.wait([next(produced) for _ in range(10)][-1:])
    kill(two)
    with open(pipe, "w"):  # as soon as it has come there again
        pass
    taken += produced
    assert sums(taken) == [*range(10), *range(20, 90)]
    assert runs(log) == 2


def test_a_stream_without_end_that_nobody_reads_on(two: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    produced = widget(stream).remote(str(log), 10**9)
    kept = [next(produced) for _ in range(100)][60:]
    del produced
    kill(two)
    assert sums(kept) == [*range(60, 100)]
    assert runs(log) == 2
    # It has ended once more, and what it took is free.
    assert value(widget(total, num_cpus=1).remote(kept[0])) == 60 * MB / 8


def test_what_is_made_of_a_lost_value_of_a_stream(two: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"

    @air.remote
    def double(found: Any) -> Any:
        return found * 2

    last = list(widget(stream).remote(str(log), 5))[4]
    doubled = widget(double).remote(last)
    air.wait([doubled])
    del last
    kill(two)
    assert sums([doubled]) == [8]
    assert runs(log) == 2


def test_small_arguments_that_nobody_refers_to_any_more(two: Any) -> None:
    @air.remote
    def number() -> float:
        return 7.0

    @air.remote
    def fill(found: float, others: list[Any]) -> Any:
        return np.full(MB, found + air.get(others[0]))

    made = widget(fill).remote(number.remote(), [air.put(1.0)])
    air.wait([made])
    kill(two)
    assert sums([made]) == [8]


def test_a_stream_that_is_shorter_the_second_time(two: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"

    @air.remote
    def fickle() -> Iterator[Any]:
        with open(log, "a") as file:
            file.write("begun\n")
        for number in range(30 // runs(log)):
            yield np.full(MB // 8, float(number))

    refs = list(widget(fickle).remote())
    kill(two)
    assert sums(refs[:15]) == [*range(15)]
    for lost in refs[15:]:
        with pytest.raises(ObjectLost, match=r"fickle.* has yielded .* values or less when it ran"):
            value(lost)
    assert runs(log) == 2


@air.remote
class Maker:
    def make(self) -> Any:
        return np.ones(MB)

    def stream(self) -> Iterator[Any]:
        yield np.ones(MB)


@air.remote
def ones(*_: Any) -> Any:
    return np.ones(MB)


@air.remote
def store() -> Any:
    return [air.put(np.ones(MB))]


def test_why_a_value_cannot_be_made_anew(two: Any, tmp_path: Path) -> None:
    maker = widget(Maker).remote()
    lost = {
        r"task .*ones, which made it, runs once only \(max_retries=0\)": widget(
            ones, max_retries=0
        ).remote(),
        r"task .*stream, which made it, runs once only": next(
            widget(stream, max_retries=0).remote(str(tmp_path / "log"), 1)
        ),
        r"large arguments, which are not kept.*air\.put": widget(ones).remote(np.zeros(MB)),
        r"method of an actor.* Call it again": maker.make.remote(),
        r"method of an actor": next(maker.stream.remote()),
    }
    air.wait(list(lost.values()), num_returns=len(lost), fetch_local=False)
    kill(two)
    for reason, ref in lost.items():
        with pytest.raises(ObjectLost, match=f"was lost with the node that held it: .*{reason}"):
            value(ref)
