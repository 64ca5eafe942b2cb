"""A system that gives no more threads."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from air.executor import threads


@pytest.fixture
def huge_stacks() -> Iterator[None]:
    """No machine has room for these."""
    before = threading.stack_size(1 << 46)
    yield
    threading.stack_size(before)


def test_a_thread_starts() -> None:
    started = threading.Event()
    thread = threading.Thread(target=started.set)
    threads.start_thread(thread)
    thread.join(20)
    assert started.is_set()


@pytest.mark.usefixtures("huge_stacks")
def test_a_thread_that_cannot_start_says_what_is_limited() -> None:
    thread = threading.Thread(target=print, name="reader")
    with pytest.raises(RuntimeError, match=r"cannot start the thread reader: .*processes"):
        threads.start_thread(thread)


@pytest.mark.parametrize(
    ("group", "user", "told"),
    [
        (float("inf"), -1, "no limit of processes and threads is set"),
        (30, -1, r"together: 30 in its control group, such as a container \(pids.max\)"),
        (float("inf"), 90, r"together: 90 of its user \(ulimit -u\)"),
        (30, 90, r"30 in its .*, 90 of its user"),
    ],
)
def test_limits_in_words(
    monkeypatch: pytest.MonkeyPatch, group: float, user: int, told: str
) -> None:
    monkeypatch.setattr(threads, "process_limit", lambda: group)
    monkeypatch.setattr(threads.resource, "getrlimit", lambda _which: (user, user))
    assert re.search(told, threads.process_limits())
