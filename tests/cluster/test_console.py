"""How a program shows what was printed for it, and what becomes of what nobody takes."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from air.errors import InvalidOption
from air_cluster.client.console import Console, ConsoleOptions
from air_cluster.daemon.printing import Outflow
from air_cluster.protocol.messages import LogLines

PLAIN = ConsoleOptions(window_s=0.0)


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def put_out(monkeypatch: pytest.MonkeyPatch) -> Callable[[], io.StringIO]:
    """Has standard output written to the stream that it returns; pytest undoes it in a fixture."""

    def put() -> io.StringIO:
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stdout", stream)
        return stream

    return put


def show(options: ConsoleOptions, *shown: tuple[str, bool, bytes]) -> None:
    console = Console(options)
    for one in shown:
        console.show(*one)
    console.close()


def test_each_line_says_whose_it_is(
    put_out: Callable[[], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = put_out()
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    show(PLAIN, ("f pid=1", False, b"a\n\nb\n"), ("f pid=1", True, b"c\n"), ("g", False, b"d\n"))
    assert out.getvalue() == "(f pid=1) a\n(f pid=1) \n(f pid=1) b\n(g) d\n"
    assert err.getvalue() == "(f pid=1) c\n"


def test_only_newlines_end_lines_and_what_was_overwritten_is_not_shown(
    put_out: Callable[[], io.StringIO],
) -> None:
    out = put_out()
    show(PLAIN, ("f", False, "a\x0bb\u2028c\n".encode()), ("f", False, b"\r10 %\r20 %\r\n"))
    assert out.getvalue() == "(f) a\x0bb\u2028c\n(f) 20 %\n"


@pytest.mark.parametrize(
    ("colour", "terminal", "expected"),
    [
        (None, True, "\x1b[36m(f)\x1b[0m a\n"),
        (None, False, "(f) a\n"),
        (True, False, "\x1b[36m(f)\x1b[0m a\n"),
        (False, True, "(f) a\n"),
    ],
)
def test_colours(
    monkeypatch: pytest.MonkeyPatch, colour: bool | None, terminal: bool, expected: str
) -> None:
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    show(ConsoleOptions(0.0, colour), ("f", False, b"a\n"))
    assert stream.getvalue() == expected


def test_a_stream_that_knows_few_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    show(PLAIN, ("f", False, "é\n".encode()), ("f", False, b"\xff\n"))
    assert raw.getvalue() == b"(f) \\xe9\n(f) \\ufffd\n"


@pytest.mark.parametrize("stream", [None, "closed", object()])
def test_no_stream_is_no_error(monkeypatch: pytest.MonkeyPatch, stream: object) -> None:
    if stream == "closed":
        stream = io.StringIO()
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    show(PLAIN, ("f", False, b"a\n"))


def test_what_waits_to_be_taken_together_is_shown_at_the_end(
    put_out: Callable[[], io.StringIO],
) -> None:
    out = put_out()
    same = [(f"f pid={number}", False, b"same\n") for number in range(5)]
    show(ConsoleOptions(3600.0), *same)
    assert out.getvalue() == "(f pid=0) same\n(f pid=4) same [repeated 4x across cluster]\n"


def test_and_when_its_time_is_over(put_out: Callable[[], io.StringIO]) -> None:
    out = put_out()
    console = Console(ConsoleOptions(0.01))
    console.show("a", False, b"same\n")
    console.show("b", False, b"same\n")
    while out.getvalue().count("\n") < 2:
        pass
    console.close()
    assert out.getvalue() == "(a) same\n(b) same\n"


class Blocked(io.StringIO):
    """A stream that nobody reads for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.release = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        assert self.release.wait(60)
        return super().write(text)


def test_what_piles_up_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, err = Blocked(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", err)
    console = Console(PLAIN)
    console.show("f", False, b"first\n")
    assert stream.reached.wait(60)
    for _ in range(40):
        console.show("f", False, b"x" * 999_999 + b"\n")
    assert console._nbytes < 20 << 20
    stream.release.set()
    console.close()
    kept = stream.getvalue().count("\n") - 1
    assert err.getvalue().startswith(f"(air) {40 - kept} lines of what was printed are not shown")


def test_after_the_end_nothing_is_shown(put_out: Callable[[], io.StringIO]) -> None:
    out = put_out()
    console = Console(PLAIN)
    console.close()
    console.show("f", False, b"late\n")
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (5.0, None)),
        ({"AIR_DEDUP_LOGS": "0"}, (0.0, None)),
        ({"AIR_DEDUP_LOGS": "1", "AIR_DEDUP_LOGS_AGG_WINDOW_S": "0.5"}, (0.5, None)),
        ({"AIR_COLOR_PREFIX": "1"}, (5.0, True)),
        ({"AIR_COLOR_PREFIX": "0"}, (5.0, False)),
        ({"NO_COLOR": "1"}, (5.0, False)),
    ],
)
def test_the_environment_decides(environment: dict[str, str], expected: object) -> None:
    assert ConsoleOptions.from_environment(environment) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AIR_DEDUP_LOGS", "yes"),
        ("AIR_COLOR_PREFIX", "red"),
        ("AIR_DEDUP_LOGS_AGG_WINDOW_S", "-1"),
        ("AIR_DEDUP_LOGS_AGG_WINDOW_S", "nan"),
        ("AIR_DEDUP_LOGS_AGG_WINDOW_S", "soon"),
    ],
)
def test_what_the_environment_must_not_say(name: str, value: str) -> None:
    with pytest.raises(InvalidOption, match=f"{name} must be .* got '{value}'"):
        ConsoleOptions.from_environment({name: value})


# On the way there -----------------------------------------------------------------------------


class Timers:
    """A reactor's timers, which are due when they are told to be."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def call_later(self, _delay: float, function: Callable[[], None]) -> None:
        self.waiting.append(function)

    def run(self) -> None:
        waiting, self.waiting = self.waiting, []
        for function in waiting:
            function()


def test_who_does_not_keep_up_is_told_how_much_was_dropped() -> None:
    timers, sent = Timers(), []
    unsent = 0

    def send(message: Any, lines: bytes) -> None:
        sent.append((message.source, lines))

    flow = Outflow(timers, lambda: unsent, send, LogLines("air", True))  # type: ignore[arg-type]
    shown = LogLines("f", False)
    flow.offer(shown, b"one\n")
    unsent = 100 << 20
    flow.offer(shown, b"two\nthree\n")
    flow.offer(shown, b"four\n")
    assert sent == [("f", b"one\n")]
    timers.run()
    assert sent == [("f", b"one\n")]
    unsent = 0
    timers.run()
    (_, (source, notice)) = sent
    assert source == "air"
    assert notice.startswith(b"3 lines (0.0 MB) of what was printed are not shown here")
    flow.offer(shown, b"five\n")
    assert sent[2:] == [("f", b"five\n")]
    assert not timers.waiting
