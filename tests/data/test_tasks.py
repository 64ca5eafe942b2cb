"""What running on tasks and actors leaves behind: nothing."""

from __future__ import annotations

import os
from typing import ClassVar

import pytest

import air
from air import data
from air.data.execution import run
from air.data.execution.actors import ActorStage
from air.errors import ActorDied, ActorUnreachable, InvalidOption, WorkerDied
from air.util.state import list_actors


class Passing:
    def __call__(self, row):
        return row


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many actors each pool ended, in the order of the pools' ends."""
    counts: list[int] = []
    close = ActorStage.close

    def noting(self):
        counts.append(len(self.actors))
        close(self)

    monkeypatch.setattr(ActorStage, "close", noting)
    monkeypatch.setattr(run, "can_run_in_parallel", lambda: True)
    return counts


def pooled():
    return data.range(20, parallelism=10).map(Passing, concurrency=2)


def test_pools_end_when_everything_is_out(air_local, killed):
    assert pooled().take_all() == list(range(20))
    assert killed == [2]


def test_pools_end_when_nobody_wants_more(air_local, killed):
    rows = pooled().iter_rows()
    assert next(rows) == 0
    assert killed == []
    rows.close()
    assert killed == [2]
    assert pooled().take(3) == [0, 1, 2]
    assert killed == [2, 2]


def test_pools_end_with_an_error(air_local, killed):
    def refuse(row):
        raise ValueError(row)

    with pytest.raises(ValueError, match="0"):
        pooled().map(refuse).take_all()
    assert killed == [2]


def test_an_iterator_may_be_closed_after_its_backend(killed):
    air.init(backend="local")
    rows = pooled().iter_rows()
    assert next(rows) == 0
    air.shutdown()
    rows.close()
    assert killed == [2]
    assert not air.is_initialized()


def test_pools_grow_only_when_there_is_work(air_local, killed):
    pool = data.ActorPoolStrategy(min_size=1, max_size=8)
    assert data.range(1).map(Passing, compute=pool).take_all() == [0]
    assert killed == [1]


class Leaves:
    """Ends its actor at some rows, each the first time."""

    left: ClassVar[set[int]] = set()

    def __call__(self, row):
        if row in (3, 4, 17) and row not in self.left:
            self.left.add(row)
            air.exit_actor()
        return row


def test_what_a_process_worked_on_that_died_is_told(air_cluster):
    def leave(row):
        os._exit(row["value"])

    ds = data.range_table(4, parallelism=2).limit(2).map(leave, num_cpus=1, max_retries=0)
    with pytest.raises(WorkerDied, match=r"map\(leave\) ended") as raised:
        ds.take_all()
    assert raised.value.__notes__ == ["while it worked on range 0-1"]


def test_actors_that_leave_have_successors(air_local, killed):
    Leaves.left.clear()
    ds = data.range(20, parallelism=10).map(Leaves, concurrency=2)
    assert ds.take_all() == list(range(20))
    assert Leaves.left == {3, 4, 17}


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first actor that a block is taken from, to which there is no way any more."""
    found: list[str] = []
    see_begin = ActorStage.see_begin

    def unreachable(self, task, timeout):
        if not found:
            found.append(self.actors[self._jobs[task].actor]._actor_id.hex())
            error = ActorUnreachable("it may have run or not: the cable is cut")
            error.actor, error.death, error.death_kind = found[0], "the cable is cut", "unreachable"
            raise error
        see_begin(self, task, timeout)

    monkeypatch.setattr(ActorStage, "see_begin", unreachable)
    return found


def test_work_of_an_actor_out_of_reach_goes_to_another(air_local, killed, lost):
    assert pooled().take_all() == list(range(20))
    assert lost[0] in {one.actor_id for one in list_actors() if one.state == "DEAD"}


def test_work_of_an_actor_out_of_reach_may_have_begun(air_local, killed, lost):
    ds = data.range(20, parallelism=10).map(Passing, concurrency=2, max_retries=0)
    with pytest.raises(
        ActorDied, match=r"range 0-1; the last one: the cable is cut\. Look at what"
    ):
        ds.take_all()


class Refuses:
    def __init__(self):
        raise ValueError("no model")

    def __call__(self, row):
        return row


def test_a_constructor_that_fails_is_told_by_name(air_local, killed):
    with pytest.raises(ValueError, match="no model") as caught:
        data.range(20, parallelism=10).map(Refuses, concurrency=2).take_all()
    assert "while an actor of map(Refuses) was started" in caught.value.__notes__


def test_options_that_are_for_tasks_alone():
    with pytest.raises(InvalidOption, match=r"map: retry_exceptions is for functions on tasks; Pa"):
        data.range(3).map(Passing, concurrency=1, retry_exceptions=True)
    with pytest.raises(InvalidOption, match="max_retries must be"):
        data.range(3).map(Passing, concurrency=1, max_retries=-2)
