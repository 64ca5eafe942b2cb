"""Cancelling the task behind a reference, whichever process has submitted it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from air.executor.handles import ObjectRef, ObjectRefGenerator
from air_cluster.protocol.ids import PUT_INDEX, object_id, owner_of, task_of
from air_cluster.protocol.messages import CancelOwned, CancelReply
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.client.client import Client


class Cancelling:
    """The owner of a value has submitted its task, and cancels it for everybody."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = client.reactor.lock
        client.peers.handle(CancelOwned, self._on_cancel)
        client.peers.handle(
            CancelReply, lambda _c, message, _p: client.requests.answered(message.request, message)
        )

    def cancel(
        self, ref: ObjectRef[Any] | ObjectRefGenerator, *, force: bool, recursive: bool
    ) -> None:
        """See :meth:`Executor.cancel`."""
        client = self._client
        with self._lock:
            if isinstance(ref, ObjectRefGenerator):
                self._cancel_own(ref.id, force=force, recursive=recursive)
                return
            entry = client.objects.entry(ref)
            if ref.id == object_id(task_of(ref.id), PUT_INDEX):
                raise TypeError(
                    f"{ref} was made by air.put or stands for a placement group: there is no task"
                    " to cancel"
                )
            if entry.owned:
                self._cancel_own(ref.id, force=force, recursive=recursive)
                return
            if entry.content is not None:
                return
            try:
                owner = client.peers.to(owner_of(ref.id), entry.address)
            except OSError:
                return  # it is gone, which is what the value will say
        reply: CancelReply | None = client.requests.ask_peer(
            owner, lambda number: (CancelOwned(number, ref.id, force, recursive), [])
        )
        if reply is not None and reply.error:
            raise TypeError(reply.error)

    def children(self, parent: bytes) -> None:
        """Cancel what a task has started here; called under the lock."""
        self._client.submitter.cancel_children(parent)
        self._client.calls.cancel_children(parent)

    def _cancel_own(self, identity: bytes, *, force: bool, recursive: bool) -> None:
        """Cancel what a value is of, or a stream."""
        client, task_id = self._client, task_of(identity)
        if client.submitter.cancel(
            task_id, force=force, recursive=recursive
        ) or client.calls.cancel(task_id, force=force, recursive=recursive):
            client.reactor.nudge()

    def _on_cancel(self, connection: Connection, message: CancelOwned, _payload: object) -> None:
        error = ""
        try:
            self._cancel_own(message.object_id, force=message.force, recursive=message.recursive)
        except TypeError as refusal:
            error = str(refusal)
        connection.send(CancelReply(message.request, error))
