"""The pieces of a data source and what they give, looked at before anybody works with it.

Sources may be of users, whose mistakes are told here in terms of what they wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from air.data.blocks.block import Block
from air.data.blocks.making import block_from_batch
from air.data.blocks.origins import Origin, Origins
from air.data.datasource import Datasource, NotedRead, ReadTask
from air.data.errors import UnsupportedValue


def tasks_of(source: Datasource, parallelism: int) -> list[ReadTask]:
    """The pieces of *source*, each with something for messages to call it.

    Raises:
        TypeError: it gives something else.
    """
    tasks: Any = source.get_read_tasks(parallelism)
    if not isinstance(tasks, (list, tuple)):
        raise _no_tasks(source, type(tasks).__name__)
    for task in tasks:
        if not isinstance(task, ReadTask):
            raise _no_tasks(source, f"a list with {type(task).__name__} in it")
    return [_called(task, f"piece {number} of {source.name}") for number, task in enumerate(tasks)]


def read_blocks(task: ReadTask, origins: Origins) -> Iterator[Block]:
    """The blocks of a read task, noted in *origins*; an error says what was being read.

    Raises:
        UnsupportedValue: it gives something else.
    """
    try:
        if isinstance(task.read_fn, NotedRead):
            yield from task.read_fn.noting(origins)
            return
        origin = Origin(task.metadata.source, task.metadata.first_row)
        for block in _blocks_of(task):
            origins.note(len(block), origin)
            yield block
            origin = origin.after(len(block))
    except Exception as error:
        error.add_note(f"while reading {task.metadata.source or 'a custom datasource'}")
        raise


def _blocks_of(task: ReadTask) -> Iterator[Block]:
    made: Any = task.read_fn()
    if not isinstance(made, Iterable):
        raise _no_block(f"{type(made).__name__} where an iterable of blocks was expected")
    for number, batch in enumerate(made):
        if isinstance(batch, list) and not (batch and isinstance(batch[0], Mapping)):
            yield batch  # plain objects: to look at each of them takes longer than to make it
            continue
        try:
            yield block_from_batch(batch)
        except UnsupportedValue as error:
            raise _no_block(f"{type(batch).__name__} as block {number}: {error}") from None


def _called(task: ReadTask, name: str) -> ReadTask:
    if task.metadata.source:
        return task
    return replace(task, metadata=replace(task.metadata, source=name))


def _no_tasks(source: Datasource, what: str) -> TypeError:
    return TypeError(
        f"get_read_tasks of the data source {source.name} gave {what}: it must give a list of"
        " air.data.ReadTask"
    )


def _no_block(what: str) -> UnsupportedValue:
    return UnsupportedValue(
        f"the read_fn of a ReadTask gave {what}. It must give blocks one after the other, as"
        " functions of map_batches do: return [table], [frame] or [list_of_rows], or yield these"
    )
