"""Who owns something can be read off its identity."""

from __future__ import annotations

from air_cluster.protocol.ids import (
    OBJECT_BYTES,
    PROCESS_BYTES,
    TASK_BYTES,
    IdMaker,
    new_process_id,
    object_id,
    owner_of,
    task_of,
)


def test_the_owner_comes_first() -> None:
    process = new_process_id()
    task = IdMaker(process).task()
    value = object_id(task, 7)
    assert (len(process), len(task), len(value)) == (PROCESS_BYTES, TASK_BYTES, OBJECT_BYTES)
    assert task_of(value) == task
    assert owner_of(value) == owner_of(task) == process


def test_identities_are_never_used_twice() -> None:
    maker = IdMaker(new_process_id())
    assert len({maker.task() for _ in range(1000)}) == 1000
    assert new_process_id() != new_process_id()
    task = maker.task()
    assert object_id(task, 0) != object_id(task, 1)
