"""Pools of actors on a cluster: processes that are really killed, and pools beside pools.

All rows come once, in order, or an error does.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

import air
from air import data
from air.data.context import DataContext
from air.data.errors import NotRepeatable
from air.data.execution import actors
from air.data.execution.pool import PoolLimits
from air.errors import ActorDied, Unschedulable
from air.testing.executor_suite.harness import eventually
from air.util.state import list_actors, list_tasks


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    air.init(backend="cluster", num_cpus=2, num_gpus=2, log_to_driver=False)
    yield
    air.shutdown()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert eventually(lambda: alive() == [])


def alive():
    return [a for a in list_actors() if a.state != "DEAD" and "StageActor" in a.class_name]


def once(mark):
    """Whether this is the first call with *mark* in any process."""
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def end(how):
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), getattr(signal, how))
    signal.pause()


class Dies:
    """Ends its process at some rows, each the first time or always."""

    def __init__(self, at, mark=None, how="SIGKILL"):
        self.at, self.mark, self.how = at, mark, how

    def __call__(self, row):
        if row in self.at and (self.mark is None or once(f"{self.mark}-{row}")):
            end(self.how)
        return row


class AsyncDies(Dies):
    async def __call__(self, row):
        return super().__call__(row)


def rows(count=100, blocks=10):
    return data.range(count, parallelism=blocks)


@pytest.mark.parametrize(
    ("kind", "how"), [(Dies, "SIGKILL"), (AsyncDies, "SIGSEGV"), (Dies, "exit")]
)
def test_work_is_done_again_by_another(kind, how, tmp_path):
    given = ({7, 8, 55, 99}, str(tmp_path / "mark"), how)
    ds = rows().map(kind, fn_constructor_args=given, concurrency=(1, 3))
    assert ds.take_all() == list(range(100))


class Batches:
    """Gives each batch as a block; dies at a batch when somebody has opened a pipe to it."""

    def __init__(self, pipe):
        self.pipe = pipe

    def __call__(self, batch):
        if batch["value"][0] == 24 and os.path.exists(self.pipe):
            with open(self.pipe):  # waits for somebody to open it
                os.remove(self.pipe)
            end("SIGKILL")
        return {"value": batch["value"], "pid": [os.getpid()] * len(batch["value"])}


def test_blocks_that_were_taken_are_not_given_again(tmp_path, monkeypatch):
    monkeypatch.setattr(DataContext.get_current(), "memory_budget", 1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    ds = data.range_table(40, parallelism=1).map_batches(
        Batches, fn_constructor_args=(str(pipe),), batch_size=4, concurrency=1
    )
    batches = ds.iter_batches(batch_size=4, batch_format="pandas", prefetch_batches=0)
    found = [next(batches) for _ in range(3)]
    pipe.open("w").close()
    whole = pd.concat([*found, *batches])
    assert whole["value"].tolist() == list(range(40))
    assert whole["pid"].nunique() == 2


class TellsPid:
    def __call__(self, row):
        return {"row": row, "pid": os.getpid()}


def test_somebody_kills_all_actors(tmp_path):
    ds = data.range(400, parallelism=200).map(TellsPid, concurrency=2)
    found, killed = [], set()
    for row in ds.iter_rows():
        found.append(row["row"])
        if row["pid"] not in killed and len(killed) < 4:
            killed.add(row["pid"])
            os.kill(row["pid"], signal.SIGKILL)
    assert found == list(range(400))
    assert len(killed) == 4


class OtherTheSecondTime:
    def __init__(self, mark):
        self.mark = mark

    def __call__(self, batch):
        first = batch["value"][0]
        if first == 12 and once(self.mark):
            end("SIGKILL")
        return {"value": batch["value"][: 4 - os.path.exists(self.mark)]}


def test_what_is_not_repeatable_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(DataContext.get_current(), "memory_budget", 1)
    ds = data.range_table(40, parallelism=1).map_batches(
        OtherTheSecondTime,
        fn_constructor_args=(str(tmp_path / "mark"),),
        batch_size=4,
        concurrency=1,
    )
    with pytest.raises(NotRepeatable, match=r"block 0 of what comes of it, which had 4 rows.*3 ro"):
        list(ds.iter_batches(batch_size=4, prefetch_batches=0))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("SIGKILL", "it was killed by SIGKILL. Look for native code"),
        ("exit", "it exited with code 3. Look for what ends the process in the function"),
    ],
)
def test_what_kills_every_actor_is_told_by_name(how, said):
    ds = rows().map(Dies, fn_constructor_args=({57}, None, how), concurrency=2, max_retries=1)
    found = []
    with pytest.raises(ActorDied) as caught:
        found.extend(ds.iter_rows())
    assert found == list(range(50))
    assert str(caught.value).startswith(
        "map(Dies): 2 actors have died while working on range 50-59"
    )
    assert said in str(caught.value)
    assert "max_retries=1" in str(caught.value)


def test_without_retries():
    ds = rows().map(Dies, fn_constructor_args=({3},), concurrency=1, max_retries=0)
    with pytest.raises(ActorDied, match="an actor has died while working on range 0-9"):
        ds.take_all()


class TellsPidBeforeItsEnd(TellsPid):
    """Of a name of its own, by which its calls are found."""


def test_without_retries_work_that_never_began_goes_to_another(tmp_path):
    def second_waits(row):
        while row and not os.path.exists(tmp_path / "go"):
            os.sched_yield()
        return row

    ds = data.range(2, parallelism=2).map(second_waits)
    found = ds.map(TellsPidBeforeItsEnd, concurrency=1, max_retries=0).iter_rows()
    first = next(found)

    def is_idle():
        calls = list_tasks(filters=[("name", "=", "data: map(TellsPidBeforeItsEnd)")])
        return [one.state for one in calls] == ["FINISHED"]

    assert eventually(is_idle)
    os.kill(first["pid"], signal.SIGKILL)
    Path(tmp_path / "go").touch()
    (second,) = found
    assert second["row"] == 1
    assert second["pid"] != first["pid"]


class DiesAtStart:
    def __init__(self):
        os._exit(4)

    def __call__(self, row):
        return row


class Refuses:
    def __init__(self):
        raise ValueError("no model")

    def __call__(self, row):
        return row


def test_actors_that_never_start():
    with pytest.raises(ActorDied, match=r"map\(DiesAtStart\): its actors die while .* code 4"):
        rows().map(DiesAtStart, concurrency=2).take_all()
    with pytest.raises(ValueError, match="no model") as caught:
        rows().map(Refuses, concurrency=(1, 2)).take_all()
    assert "while an actor of map(Refuses) was started" in caught.value.__notes__


# Resources --------------------------------------------------------------------------------------


class Gpus:
    def __call__(self, row):
        return air.get_gpu_ids()


def test_each_actor_has_gpus_of_its_own():
    found = rows().map(Gpus, num_gpus=1, concurrency=2).take_all()
    assert {tuple(ids) for ids in found} <= {(0,), (1,)}
    halves = rows().map(Gpus, num_gpus=0.5, concurrency=(1, 4)).take_all()
    assert all(len(ids) == 1 for ids in halves)


def test_what_no_node_has_is_refused_by_name():
    with pytest.raises(Unschedulable, match=r"map\(Gpus\): .*'GPU': 3"):
        rows().map(Gpus, num_gpus=3, concurrency=1).take_all()


class Holds:
    """Has all CPUs for itself."""


def test_who_waits_for_resources_says_so(monkeypatch, caplog):
    there = rows(20, 4).materialize()
    holder = air.remote(Holds).options(num_cpus=2).remote()
    assert eventually(lambda: air.available_resources().get("CPU", 0) == 0)

    class Ends(logging.Handler):
        """Ends what holds the CPUs when somebody says that they are missing."""

        def emit(self, record):
            if "first of its actors" in record.getMessage():
                air.kill(holder)

    logger, handler = logging.getLogger("air"), Ends()
    logger.addHandler(handler)
    monkeypatch.setattr(actors, "_PATIENCE_SECONDS", 0.01)
    try:
        there.map(Same, num_cpus=1, concurrency=1).take_all()
    finally:
        logger.removeHandler(handler)
    assert re.search(r"map\(Same\) has waited for \d+ s for the first of its actors", caplog.text)
    assert "Each needs {'CPU': 1}; free on all nodes: {'CPU': 0}." in caplog.text


def test_idle_actors_are_let_go(monkeypatch, tmp_path):
    monkeypatch.setattr(actors, "PoolLimits", functools.partial(PoolLimits, idle_seconds=0.0))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def let_go_on():
        assert eventually(lambda: len(alive()) == 3)
        Path(tmp_path / "go").touch()
        assert eventually(lambda: len(alive()) == 1)
        pipe.open("w").close()

    ds = rows(60, 20).map(Waits, fn_constructor_args=(str(tmp_path),), concurrency=(1, 3))
    with ThreadPoolExecutor(1) as thread:
        watching = thread.submit(let_go_on)
        assert ds.take_all() == list(range(60))
        watching.result()


class Waits:
    """Waits in the first piece until there are other actors, and in the last for them to end."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, row):
        if row == 59:
            with open(f"{self.folder}/pipe"):  # waits for somebody to open it
                pass
        while row < 9 and not os.path.exists(f"{self.folder}/go"):
            os.sched_yield()
        return row


def test_the_next_step_is_that_for_the_cause_of_death():
    assert "Give it fewer rows" in actors._advice("out_of_memory", "in it")
    assert "native code" in actors._advice("worker_killed", "in it")
    assert "os._exit" in actors._advice("worker_died", "in it")
    assert "connections" in actors._advice("unreachable", "in it")


# Together with others ---------------------------------------------------------------------------


def test_early_stops_leave_no_actors():
    assert rows().map(TellsPid, concurrency=2).limit(3).count() == 3
    assert len(rows().map(TellsPid, concurrency=(1, 4)).take(3)) == 3
    iterator = rows().map(TellsPid, concurrency=2).iter_rows()
    next(iterator)
    assert len(alive()) == 2
    iterator.close()


def test_shares_of_a_split(tmp_path):
    given = ({7, 55}, str(tmp_path / "mark"))
    ds = rows().map(Dies, fn_constructor_args=given, concurrency=(1, 2))
    for equal in (False, True):
        shares = ds.streaming_split(2, equal=equal)
        taken = air.get([take.remote(share) for share in shares])
        assert sorted(taken[0] + taken[1]) == list(range(100))


@air.remote(num_cpus=0)
def take(share):
    return list(share.iter_rows())


class Same:
    def __call__(self, row):
        return row


HOLDS_ALL = {"num_cpus": 1, "concurrency": 2}
"""What each of these pools would like to have is all that there is."""


def pool(ds, **options):
    return ds.map(Same, **{**HOLDS_ALL, **options})


def numbers(blocks=10):
    return data.range_table(40, parallelism=blocks)


def odd(row):
    return row["value"] % 2


PLANS = {
    "one after the other": lambda t: pool(pool(numbers())),
    "an exchange between": lambda t: pool(pool(numbers()).sort("value")),
    "before an exchange, with all CPUs at once": lambda t: pool(
        pool(numbers(), num_cpus=2, concurrency=1).random_shuffle(seed=1).sort("value"),
        num_cpus=2,
        concurrency=1,
    ),
    "many parts of an exchange": lambda t: pool(
        numbers(40).repartition(7).random_shuffle(seed=1, num_blocks=40), num_cpus=2, concurrency=1
    ).sort("value"),
    "a limit between": lambda t: pool(pool(numbers()).filter(lambda row: True).limit(40)),
    "a union between": lambda t: pool(
        pool(numbers().filter(lambda row: row["value"] < 20)).union(
            pool(numbers().filter(lambda row: row["value"] >= 20))
        )
    ),
    "a zip between": lambda t: pool(
        pool(numbers()).zip(pool(numbers()).rename_columns({"value": "b"}))
    ).select_columns("value"),
    "a join between": lambda t: pool(pool(numbers()).join(pool(numbers()), on="value")),
    "tasks that ask for all, one after the other": lambda t: (
        numbers().map(dict, num_cpus=2).union(numbers().limit(0)).map(dict, num_cpus=2)
    ),
    "kept between": lambda t: pool(pool(numbers()).checkpointed(t / "kept")),
}


@pytest.mark.parametrize("plan", PLANS)
def test_pools_leave_each_other_room(plan, tmp_path):
    assert PLANS[plan](tmp_path).take_all() == [{"value": i} for i in range(40)]


def test_pools_that_never_fit_together_are_refused():
    wants_all = {"num_cpus": 2, "concurrency": 1}
    kept = pool(numbers(), **wants_all).union(numbers())
    with pytest.raises(Unschedulable, match=r"pools of steps before and after these: \{'CPU': 2\}"):
        pool(kept, **wants_all).take_all()
