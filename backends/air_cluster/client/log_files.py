"""The log files of all nodes, as a program asks for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from air.errors import BackendError
from air.executor.log_records import LogFile, LogListing, LogText
from air_cluster.protocol.log_questions import LOGS_TOPIC, Question, Told

if TYPE_CHECKING:
    from air_cluster.client.client import Client
    from air_cluster.client.surveys import Gathered


def list_files(client: Client, timeout: float) -> LogListing:
    """All files that there are."""
    gathered = _ask(client, Question(), timeout)
    listing = LogListing(silent=gathered.silent())
    for number, roll in sorted(gathered.rolls.items()):
        told = _told(gathered, number)
        listing.files += [
            LogFile(roll.name, roll.host, one.name, one.nbytes, one.modified)
            for one in told.entries
        ]
    return listing


def read_file(
    client: Client, node: str, name: str, place: tuple[int, int], tail: int, timeout: float
) -> LogText:
    """A part of one of them."""
    gathered = _ask(client, Question(node, name, place, tail), timeout)
    number = next((number for number, roll in gathered.rolls.items() if roll.name == node), None)
    if number is None:
        known = ", ".join(repr(one) for one in (gathered.nodes or {}).values())
        raise BackendError(f"node {node!r} does not answer, or is gone; the nodes are: {known}")
    text = _told(gathered, number).text
    if text is None or text.error:
        reason = "it does not say why" if text is None else text.error
        raise BackendError(f"node {node!r} cannot show its log file {name!r}: {reason}")
    return LogText(text.data, text.place, text.at_end)


def _ask(client: Client, question: Question, timeout: float) -> Gathered:
    deadline = time.monotonic() + timeout
    asked = msgspec.msgpack.encode(question)
    gathered = client.surveys.ask(LOGS_TOPIC, asked, deadline, processes=False)
    client.head.check()
    if gathered.nodes is None:
        raise BackendError(f"the head has not answered within {timeout:g} s")
    return gathered


def _told(gathered: Gathered, number: int) -> Told:
    """What a node has said; that comes before its list of processes."""
    found = gathered.sights.get(number.to_bytes(8, "big"))
    return Told() if found is None else msgspec.msgpack.decode(found, type=Told)
