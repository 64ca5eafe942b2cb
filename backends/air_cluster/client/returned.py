"""References inside what a task returns or raises, on their way from worker to caller.

The worker *holds* them until the caller says (``ReleaseReturned``) that it has made sure of
them, which is once their owners have it on record as a borrower, or that it does not want them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from air_cluster.client.contents import Content, failure
from air_cluster.core.references import Entry, Register
from air_cluster.protocol.ids import object_id, owner_of
from air_cluster.protocol.messages import Ref, ReleaseReturned
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.client.client import Client

_FAILURE_INDEX = 0xFFFFFFFD
"""In place of a result's index, for an exception: one stands for all results of a call."""


def failure_id(task_id: bytes) -> bytes:
    """What the references in an exception of a task are held for."""
    return object_id(task_id, _FAILURE_INDEX)


class Returned:
    """Both sides of the way; all methods are called under the lock."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._held: dict[bytes, list[bytes]] = {}  # result -> references
        client.peers.handle(ReleaseReturned, lambda _c, message, _p: self.drop(message.object_id))

    @property
    def are_awaited(self) -> bool:
        """Whether callers have yet to make sure of references that went to them."""
        return bool(self._held)

    # The worker ---------------------------------------------------------------------------

    def hold(self, result_id: bytes, refs: Sequence[Ref]) -> None:
        """Keep references, which packing has held, until the caller has its own."""
        ids = [ref.id for ref in refs]
        if self._client.references.is_dead(owner_of(result_id)):
            self._client.objects.follow(self._client.references.unhold(ids))
        else:
            self._held[result_id] = ids

    def drop(self, result_id: bytes) -> None:
        """The caller has its own, or the result is not returned after all."""
        held = self._held.pop(result_id, None)
        if held is not None:
            self._client.objects.follow(self._client.references.unhold(held))

    def hold_for_creator(self, actor_id: bytes, refs: Sequence[Ref]) -> None:
        """The constructor of an actor, which ends now, has raised: keep what only we know."""
        mine = [ref for ref in refs if owner_of(ref.id) == self._client.process_id]
        if mine:
            self.hold(failure_id(actor_id), mine)

    def caller_gone(self, process_id: bytes) -> None:
        """A process died, and with it whatever waited for results."""
        for result_id in [i for i in self._held if owner_of(i) == process_id]:
            self.drop(result_id)

    # The caller ---------------------------------------------------------------------------

    def adopt(self, entry: Entry, content: Content, by: Connection | None) -> None:
        """A value of ours is there, and keeps the references in it.

        Args:
            by: the worker that holds them; ``None`` if they are known here.
        """
        if by is None:
            self._contain(entry, content)
        else:
            with self._borrowed(content.refs, entry.id, by):
                self._contain(entry, content)

    def _contain(self, entry: Entry, content: Content) -> None:
        references = self._client.references
        references.contain(entry, [ref.id for ref in content.refs if references.get(ref.id)])

    def refuse(self, content: Content, result_id: bytes, by: Connection) -> None:
        """What a worker has returned is not wanted."""
        if content.refs:
            by.send(ReleaseReturned(result_id))

    @contextlib.contextmanager
    def failing(self, content: Content, task_id: bytes, by: Connection) -> Iterator[None]:
        """Keep the references in what a task has raised, until its results do."""
        if content.refs:
            with self._borrowed(content.refs, failure_id(task_id), by):
                yield
        else:
            yield

    def load_cause(self, actor_id: bytes, pickled: bytes) -> BaseException:
        """What the constructor of an actor has raised; its process stays until we say so."""
        references, objects = self._client.references, self._client.objects
        error, ids = objects.unpack(failure(pickled), None)
        out = references.register(ids, None)
        if owner_of(actor_id) == self._client.process_id:
            release = ReleaseReturned(failure_id(actor_id))
            holders = {
                (made.owner, made.address): made.token for made in out if isinstance(made, Register)
            }

            def let_go() -> None:
                for process_id, address in holders:
                    self._client.peers.send_to(process_id, address, release)

            objects.when_acknowledged(set(holders.values()), let_go)
        objects.follow(out)
        assert isinstance(error, BaseException)
        return error

    @contextlib.contextmanager
    def _borrowed(self, refs: Sequence[Ref], result_id: bytes, by: Connection) -> Iterator[None]:
        """Make sure of references that *by* holds; meanwhile each of them has an entry."""
        references, objects = self._client.references, self._client.objects
        foreign = [ref for ref in refs if owner_of(ref.id) != self._client.process_id]
        for ref in foreign:
            references.borrow(ref.id, ref.address)
        yield
        out = references.register([ref.id for ref in foreign], None)
        for ref in foreign:
            out += references.drop_local(ref.id)
        tokens = {made.token for made in out if isinstance(made, Register)}
        release = ReleaseReturned(result_id)
        objects.when_acknowledged(tokens, lambda: by.send(release))
        objects.follow(out)
