"""Log files of a cluster: which there are, and what is in them."""

from __future__ import annotations

import codecs
import fnmatch
import time
from collections.abc import Iterator

from air.errors import InvalidOption
from air.executor.interface import Executor
from air.executor.keywords import suggests_keywords
from air.executor.log_records import BEGINNING, LogFile
from air.executor.records import EQUAL, Query
from air.executor.validation import check_flag, check_number, check_text, listing

SUFFIXES = ("out", "err")
_PAUSE_S = 0.5


@suggests_keywords
def list_logs(
    address: str | None = None,
    node_id: str | None = None,
    node_ip: str | None = None,
    glob_filter: str | None = None,
    timeout: float = 30,
) -> list[LogFile]:
    """The files with what workers have printed, and what nodes log, by node and name.

    Workers that have printed nothing have none. Those of workers that have ended stay as long as
    the node runs, and as there is room for them.

    Args:
        address: of another cluster; see the module.
        node_id, node_ip: only files of this node.
        glob_filter: only files with such names, as in ``"worker-*.err"``.
        timeout: seconds for all nodes to answer; who has not is left out, and said on the log.

    Raises:
        BackendError: there is no cluster, or its head does not answer.
    """
    from air.util.state import check_seconds, executor_at, logger

    for name, value in (("node_id", node_id), ("node_ip", node_ip), ("glob_filter", glob_filter)):
        if value is not None:
            check_text(value, name)
    seconds = check_seconds(timeout)
    with executor_at(address) as executor:
        found = executor.log_files(seconds)
    if found.silent:
        logger.warning("listing logs: no answer in time from %s", ", ".join(found.silent))
    return [
        file
        for file in found.files
        if node_id in (None, file.node_id)
        and node_ip in (None, file.node_ip)
        and fnmatch.fnmatchcase(file.name, glob_filter or "*")
    ]


@suggests_keywords
def get_log(
    address: str | None = None,
    node_id: str | None = None,
    node_ip: str | None = None,
    filename: str | None = None,
    actor_id: str | None = None,
    pid: int | None = None,
    follow: bool = False,
    tail: int = -1,
    timeout: float = 30,
    suffix: str = "out",
    encoding: str | None = "utf-8",
    errors: str = "strict",
) -> Iterator[str]:
    """What is in a log file, piece by piece; with *follow* also what is written to it from now on.

    One of *filename*, *actor_id* and *pid* says which file; a node is needed only where several
    have such a one.

    Args:
        address: of another cluster; see the module.
        node_id, node_ip: of which node.
        filename: as :func:`list_logs` gives it.
        actor_id: of an actor that lives: what its process prints.
        pid: of a worker.
        follow: go on for ever, until the node ends.
        tail: begin so many lines before the end; -1 for the beginning.
        timeout: seconds for each answer.
        suffix: of an actor or a worker, ``"out"`` or ``"err"``.
        encoding, errors: how bytes become text, as for :meth:`bytes.decode`.

    Raises:
        InvalidOption: the arguments do not name one file; says which there are.
        BackendError: there is no cluster, or it does not answer.
    """
    named = [value for value in (filename, actor_id, pid) if value is not None]
    if len(named) != 1:
        raise InvalidOption("get_log takes one of filename=, actor_id= and pid=")
    if suffix not in SUFFIXES:
        raise InvalidOption(f"suffix must be 'out' or 'err', got {suffix!r}")
    check_flag(follow, "follow")
    check_number(tail, "tail", minimum=-1, integer=True)
    try:
        decoder = codecs.getincrementaldecoder(encoding or "utf-8")(errors)
    except LookupError as error:
        raise InvalidOption(f"encoding must be one that Python knows, got {encoding!r}") from error
    return _read(
        address, (node_id, node_ip), filename, actor_id, pid, suffix, decoder, follow, tail, timeout
    )


def _read(
    address: str | None,
    where: tuple[str | None, str | None],
    filename: str | None,
    actor_id: str | None,
    pid: int | None,
    suffix: str,
    decoder: codecs.IncrementalDecoder,
    follow: bool,
    tail: int,
    timeout: float,
) -> Iterator[str]:
    from air.util.state import check_seconds, executor_at

    seconds = check_seconds(timeout)
    with executor_at(address) as executor:
        if actor_id is not None:
            pid = _pid_of(executor, actor_id, seconds)
        pattern = filename if filename is not None else f"worker-*-{pid}.{suffix}"
        file = _find(executor, where, pattern, seconds)
        place, first = BEGINNING, tail
        while True:
            part = executor.read_log(
                file.node_id, file.name, place=place, tail=first, timeout=seconds
            )
            place, first = part.place, -1
            done = part.at_end and not follow
            text = decoder.decode(part.data, done)
            if text:
                yield text
            if done:
                return
            if part.at_end:
                time.sleep(_PAUSE_S)


def _find(
    executor: Executor, where: tuple[str | None, str | None], pattern: str, timeout: float
) -> LogFile:
    node_id, node_ip = where
    files = executor.log_files(timeout).files
    found = [
        file
        for file in files
        if node_id in (None, file.node_id)
        and node_ip in (None, file.node_ip)
        and (file.name == pattern or fnmatch.fnmatchcase(file.name, pattern))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = listing([f"{file.name} of {file.node_id}" for file in found])
        raise InvalidOption(f"there is more than one log file {pattern!r}: {names}; give node_id=")
    names = listing([file.name for file in files]) or "none"
    raise InvalidOption(f"there is no log file {pattern!r}; the files are: {names}")


def _pid_of(executor: Executor, actor_id: str, timeout: float) -> int:
    wanted = (("actor_id", EQUAL, actor_id),)
    answer = executor.look(Query("actors", wanted, 1, timeout=timeout))
    pid = answer.records[0].get("pid") if answer.records else None
    if not pid:
        raise InvalidOption(f"no actor {actor_id!r} lives: its files are found by list_logs()")
    return int(pid)
