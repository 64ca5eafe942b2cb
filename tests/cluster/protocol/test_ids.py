"""Who owns something can be read off its identity."""

from __future__ import annotations

from air_cluster.protocol.ids import (
    NO_NODE,
    OBJECT_BYTES,
    PROCESS_BYTES,
    TASK_BYTES,
    IdMaker,
    lease_of_node,
    lease_on_wire,
    new_process_id,
    node_of,
    node_of_lease,
    object_id,
    owner_of,
    task_of,
)


def test_the_owner_comes_first() -> None:
    process = new_process_id(1)
    task = IdMaker(process).task()
    value = object_id(task, 7)
    assert (len(process), len(task), len(value)) == (PROCESS_BYTES, TASK_BYTES, OBJECT_BYTES)
    assert task_of(value) == task
    assert owner_of(value) == owner_of(task) == process


def test_identities_are_never_used_twice() -> None:
    maker = IdMaker(new_process_id(1))
    assert len({maker.task() for _ in range(1000)}) == 1000
    assert new_process_id(1) != new_process_id(1)
    task = maker.task()
    assert object_id(task, 0) != object_id(task, 1)


def test_the_node_of_anything_is_known() -> None:
    process = new_process_id(70_000)
    assert len(process) == PROCESS_BYTES
    assert node_of(process) == node_of(object_id(IdMaker(process).task(), 3)) == 70_000
    assert node_of(new_process_id(NO_NODE)) == NO_NODE


def test_leases_of_nodes_are_different_in_the_cluster() -> None:
    on_wire = lease_on_wire(3, 17)
    assert on_wire != lease_on_wire(4, 17)
    assert (node_of_lease(on_wire), lease_of_node(on_wire)) == (3, 17)
