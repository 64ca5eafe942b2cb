"""Shows a program what its tasks and actors print."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TextIO

from air.errors import InvalidOption
from air_cluster.core.echoes import Echoes, Line

_MOST_BYTES = 16 << 20
_CLOSE_S = 5.0
_COLOUR, _PLAIN = "\x1b[36m", "\x1b[0m"


class ConsoleOptions(NamedTuple):
    """How lines are shown.

    Attributes:
        window_s: lines that workers print alike within so many seconds are shown once; 0 to show
            them all.
        colour: whether what stands in front of each line is coloured; ``None`` where there is a
            terminal.
    """

    window_s: float = 5.0
    colour: bool | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ConsoleOptions:
        """What ``AIR_DEDUP_LOGS``, ``AIR_DEDUP_LOGS_AGG_WINDOW_S`` and ``AIR_COLOR_PREFIX`` say.

        Raises:
            InvalidOption: one of them holds something else than it may.
        """
        window_s = cls().window_s
        text = environment.get("AIR_DEDUP_LOGS_AGG_WINDOW_S", "").strip()
        if text:
            try:
                window_s = float(text)
            except ValueError:
                window_s = -1.0
            if not 0 <= window_s <= 3600:
                raise InvalidOption(
                    f"AIR_DEDUP_LOGS_AGG_WINDOW_S must be a number of seconds from 0 to 3600,"
                    f" got {text!r}"
                )
        if _flag(environment, "AIR_DEDUP_LOGS") is False:
            window_s = 0.0
        colour = _flag(environment, "AIR_COLOR_PREFIX")
        if colour is None and environment.get("NO_COLOR"):
            colour = False
        return cls(window_s, colour)


def _flag(environment: Mapping[str, str], name: str) -> bool | None:
    text = environment.get(name, "").strip()
    if text not in ("", "0", "1"):
        raise InvalidOption(f"{name} must be 0 or 1, got {text!r}")
    return text == "1" if text else None


class Console:
    """Writes lines to the standard streams that the program has at that time.

    A thread does that: whoever reads these streams may be slow, and nothing else waits for it.
    What piles up beyond 16 MiB is dropped, and how much that was is said.
    """

    def __init__(self, options: ConsoleOptions) -> None:
        self._options = options
        self._echoes = Echoes(options.window_s)
        self._changed = threading.Condition()
        self._waiting: deque[tuple[str, bool, bytes]] = deque()
        self._nbytes = 0
        self._dropped_lines = 0
        self._thread: threading.Thread | None = None
        self._closing = False

    def show(self, source: str, is_error: bool, text: bytes) -> None:
        """Show lines soon."""
        with self._changed:
            if self._closing:
                return
            if self._nbytes > _MOST_BYTES:
                self._dropped_lines += text.count(b"\n")
                return
            self._nbytes += len(text)
            self._waiting.append((source, is_error, text))
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="air-console", daemon=True)
                with contextlib.suppress(RuntimeError):  # no more threads; perhaps for next lines
                    thread.start()
                    self._thread = thread
            self._changed.notify()

    def close(self) -> None:
        """Show what is left, if somebody takes it, and no more."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_CLOSE_S)

    def abandon(self) -> None:
        """In a forked child: the thread is the parent's."""
        self._changed = threading.Condition()
        self._closing = True

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._closing or self._dropped_lines):
                    due = self._echoes.next_due
                    if due is not None and due <= time.monotonic():
                        break
                    self._changed.wait(None if due is None else due - time.monotonic())
                taken = list(self._waiting)
                self._waiting.clear()
                self._nbytes = 0
                dropped, self._dropped_lines = self._dropped_lines, 0
                closing = self._closing
            lines = self._lines(taken)
            if dropped:
                lines.append(Line("air", True, _describe_dropped(dropped)))
            lines += self._echoes.settle() if closing else self._echoes.due(time.monotonic())
            self._write(lines)
            if closing:
                return

    def _lines(self, taken: Iterable[tuple[str, bool, bytes]]) -> list[Line]:
        lines: list[Line] = []
        now = time.monotonic()
        for source, is_error, text in taken:
            for line in text.decode(errors="replace").removesuffix("\n").split("\n"):
                lines += self._echoes.add(Line(source, is_error, _as_on_a_screen(line)), now)
        return lines

    def _write(self, lines: list[Line]) -> None:
        """Show lines: those for one stream that follow one another at once."""
        at = 0
        while at < len(lines):
            is_error, end = lines[at].is_error, at + 1
            while end < len(lines) and lines[end].is_error == is_error:
                end += 1
            stream = sys.stderr if is_error else sys.stdout
            before, behind = self._brackets(stream)
            write(stream, "".join(f"{before}{o.source}{behind} {o.text}\n" for o in lines[at:end]))
            at = end

    def _brackets(self, stream: TextIO | None) -> tuple[str, str]:
        colour = self._options.colour
        if colour is None:
            try:
                colour = stream is not None and stream.isatty()
            except (AttributeError, OSError, ValueError):
                colour = False
        return (f"{_COLOUR}(", f"){_PLAIN}") if colour else ("(", ")")


def write(stream: TextIO | None, text: str) -> None:
    """Write to a stream of the program; never fails, whatever that has done to it."""
    with contextlib.suppress(Exception):
        if stream is None:
            return
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = getattr(stream, "encoding", None) or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()


def _as_on_a_screen(line: str) -> str:
    """What is to be seen of a line in which others were overwritten, such as a progress bar."""
    return line.rstrip("\r").rpartition("\r")[2] if "\r" in line else line


def _describe_dropped(lines: int) -> str:
    return (
        f"{lines:,} lines of what was printed are not shown here, because they came faster than"
        " they were taken; the log files have them"
    )
