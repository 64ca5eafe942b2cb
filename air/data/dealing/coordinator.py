"""An actor that runs a plan once for several consumers, each of which asks it for its blocks."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from air.core.api import get, remote
from air.data.blocks.block import Schema
from air.data.blocks.handle import BlockHandle
from air.data.consumption import Consumption
from air.data.dealing.deal import Deal, End, Pull, Take, Wait
from air.data.viewing.shown import Shown
from air.errors import AirError
from air.executor.handles import ActorHandle
from air.executor.validation import check_flag

PATIENCE_SECONDS = 30.0
"""How long a consumer waits for others before it says for which."""


class Coordinator:
    """Runs the plan as far as consumers want blocks, and tells who waits for whom."""

    def __init__(self, dataset: Consumption, consumers: int, equal: bool, patience: float) -> None:
        self._dataset = dataset
        self._deal = Deal(consumers, equal)
        self._patience = patience
        self._changed = threading.Condition()
        self._pulling = False
        self._running: tuple[int, Generator[BlockHandle, None, None]] | None = None
        self._error: Exception | None = None
        self._first: BlockHandle | None = None  # of what runs, if it was made to be looked at
        self._schema: Schema | None = None

    def schema(self) -> Schema | None:
        """What rows look like; the first block is made if need be, and is that of the first epoch.

        ``None`` if there are no rows.
        """
        with self._changed:
            while self._pulling:
                self._changed.wait()
            self._schema = self._schema or self._dataset.schema(fetch_if_missing=False)
            if self._schema is None and self._running is None:
                try:
                    self._first = next(self._handles(0), None)
                except Exception:
                    self._running = None  # whoever wants rows is to get the error as well
                    raise
                self._note(self._first)
            return self._schema

    def _note(self, handle: BlockHandle | None) -> None:
        if handle is not None and handle.num_rows and self._schema is None:
            self._schema = handle.metadata.schema

    def next(self, consumer: int, epoch: int) -> BlockHandle | str | None:
        """A block; ``None`` at the end of the epoch; a text that says who is waited for."""
        with self._changed:
            while True:
                answer = self._deal.ask(consumer, epoch)
                self._changed.notify_all()  # a block was taken, or an epoch begun
                if isinstance(answer, Take):
                    return answer.handle
                if isinstance(answer, End):
                    if self._error is not None:
                        raise self._error
                    return None
                if isinstance(answer, Pull) and not self._pulling:
                    self._pull(answer.epoch)
                elif not self._changed.wait(self._patience) and isinstance(answer, Wait):
                    return _waits(consumer, epoch, answer)

    def leave(self, consumer: int, epoch: int) -> None:
        """Nobody is to wait for *consumer* in *epoch* any more."""
        with self._changed:
            self._deal.leave(consumer, epoch)
            self._changed.notify_all()

    def stats(self) -> str:
        """What the last run took up to now."""
        return str(self._dataset.stats())

    def _pull(self, epoch: int) -> None:
        """Make one block, without the lock: others may take what is there."""
        self._pulling = True
        self._changed.release()
        handle, error = None, None
        try:
            handle = self._next(epoch)
        except Exception as raised:
            error = raised
        finally:
            self._changed.acquire()
            self._pulling = False
        self._error = error
        self._note(handle)
        if handle is None:
            self._deal.end(epoch)
        else:
            self._deal.feed(epoch, handle)

    def _next(self, epoch: int) -> BlockHandle | None:
        handles = self._handles(epoch)
        if self._first is None:
            return next(handles, None)
        handle, self._first = self._first, None
        return handle

    def _handles(self, epoch: int) -> Generator[BlockHandle, None, None]:
        if self._running is None or self._running[0] != epoch:
            if self._running is not None:
                self._running[1].close()
            self._first = None
            self._running = (epoch, self._dataset.run())
        return self._running[1]


def _waits(consumer: int, epoch: int, wait: Wait) -> str:
    who = " and ".join(f"consumer {number}" for number in wait.consumers)
    what = f"to begin epoch {epoch}" if wait.for_epoch else "to take rows that are there for it"
    return (
        f"streaming_split: consumer {consumer} waits for {who} {what}. All consumers must go"
        " through their iterators at the same time; is one slow, or has it died?"
    )


class Share(Consumption):
    """What one consumer gets; each run of it is an epoch, which all consumers begin together."""

    def __init__(
        self, whole: Consumption, coordinator: ActorHandle, number: int, rows: int | None
    ) -> None:
        super().__init__(whole.plan)
        self._coordinator = coordinator
        self._number = number
        self._rows = rows
        self._epoch = -1

    def known_rows(self) -> int | None:
        return self._rows

    def schema(self, fetch_if_missing: bool = True) -> Schema | None:
        check_flag(fetch_if_missing, "schema: fetch_if_missing")
        if self._schema is None and fetch_if_missing:
            # Found here it would take a run of the plan for each consumer.
            self._schema = get(self._coordinator.schema.remote())
        return self._schema or super().schema(fetch_if_missing=False)

    def of_columns(self, names: tuple[str, ...]) -> Consumption:
        return self  # rows are made for all consumers alike, who may want different columns

    def stats(self) -> str:
        return Shown(get(self._coordinator.stats.remote()))

    def run(
        self, *, stay: bool = False, any_blocks: bool = False
    ) -> Generator[BlockHandle, None, None]:
        self._epoch += 1
        return self._blocks(self._epoch)

    def _blocks(self, epoch: int) -> Generator[BlockHandle, None, None]:
        while True:
            answer = get(self._coordinator.next.remote(self._number, epoch))
            if isinstance(answer, str):
                warnings.warn(answer, RuntimeWarning, stacklevel=2)
            elif answer is None:
                return
            else:
                try:
                    yield answer
                except GeneratorExit:  # it stops before the end, and others are not to wait for it
                    with suppress(AirError):  # the cluster may be gone by now
                        self._coordinator.leave.remote(self._number, epoch)
                    raise

    def __getstate__(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("_coordinator", "_number", "_rows", "_epoch")}
        return {**super().__getstate__(), **own}


def shares(dataset: Consumption, consumers: int, equal: bool) -> list[Share]:
    """A share for each consumer, dealt out by an actor that lives as long as one of them."""
    options: dict[str, Any] = {"num_cpus": 0, "max_concurrency": consumers + 1}
    actor = remote(Coordinator).options(**options)
    coordinator = actor.remote(dataset, consumers, equal, PATIENCE_SECONDS)
    whole = dataset.known_rows()
    each = whole // consumers if equal and whole is not None else None
    return [Share(dataset, coordinator, number, each) for number in range(consumers)]
