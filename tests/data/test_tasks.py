"""What running on tasks and actors leaves behind: nothing."""

from __future__ import annotations

import pytest

import air
from air import data
from air.data.execution import run
from air.data.execution.tasks import _ActorStage


class Passing:
    def __call__(self, row):
        return row


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many actors each pool ended, in the order of the pools' ends."""
    counts: list[int] = []
    close = _ActorStage.close

    def noting(self):
        counts.append(len(self._actors))
        close(self)

    monkeypatch.setattr(_ActorStage, "close", noting)
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
