"""What a worker prints, as it comes out of a pipe: in whose name, and line by line.

A worker serves one program after another, and runs one task after another. So that everybody
knows what was printed by which of them, it writes a *mark* into its own output where that
changes. Marks are in line with the text, so nothing is taken for something else however late it
is read. They are written at once and are short, so nothing of another process gets in between.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_LINE_BYTES = 64 << 10
"""Longer lines are passed on in pieces."""

_BEGIN = b"\x1e\x1eair:"
_END = b"\x1e\n"
_MAX_NAME_BYTES = 120
_JOB_HEX = 16
_MAX_MARK_BYTES = len(_BEGIN) + _JOB_HEX + 1 + _MAX_NAME_BYTES + len(_END)
_CONTINUATION = 0xC0  # of the bytes of a character in UTF-8, the first two bits


class Label(NamedTuple):
    """Whose output something is.

    Attributes:
        job: the program that it was printed for; empty if that is not known.
        name: of the task's function or the actor's class; empty if that is not known.
    """

    job: bytes = b""
    name: str = ""


class Printed(NamedTuple):
    """What one read has brought.

    Attributes:
        text: as it was printed.
        lines: whole lines, each part with the label that it was printed under.
    """

    text: bytes
    lines: list[tuple[Label, bytes]]


def mark(label: Label) -> bytes:
    """What to write where another label begins."""
    name = "".join(c if c.isprintable() else " " for c in label.name).encode(errors="replace")
    name = name[: _whole_characters(name, _MAX_NAME_BYTES)]
    return b"".join((_BEGIN, label.job.hex().encode(), b":", name, _END))


class Printout:
    """Takes one stream apart: marks are taken out, and lines kept whole.

    Args:
        label: what is printed before the first mark.
    """

    def __init__(self, label: Label) -> None:
        self.label = label
        self._rest = b""
        self._held = b""  # what may be the beginning of a mark

    @property
    def has_rest(self) -> bool:
        """Whether something was printed that is no whole line yet."""
        return bool(self._rest or self._held)

    def feed(self, data: bytes) -> Printed:
        """Some more was printed."""
        data, self._held = self._held + data, b""
        if b"\x1e" not in data:
            return Printed(data, self._lines(data))
        texts, lines = [], []
        at = 0
        while (begin := data.find(_BEGIN, at)) >= 0:
            end = data.find(_END, begin, begin + _MAX_MARK_BYTES)
            label = None if end < 0 else _parse(data[begin + len(_BEGIN) : end])
            if label is None:
                if len(data) - begin < _MAX_MARK_BYTES and end < 0:
                    break  # the rest of it is on its way
                begin += len(_BEGIN)  # somebody's own text
                texts.append(data[at:begin])
                lines += self._lines(data[at:begin])
                at = begin
                continue
            texts.append(data[at:begin])
            lines += self._lines(data[at:begin])
            if label != self.label:
                lines += self._flush()
                self.label = label
            at = end + len(_END)
        text, self._held = _split_held(data[at:])
        texts.append(text)
        lines += self._lines(text)
        return Printed(b"".join(texts), lines)

    def flush(self) -> Printed:
        """No more is expected, at least for a while: take what there is for a whole line."""
        held, self._held = self._held, b""
        return Printed(held, [*self._lines(held), *self._flush()])

    def _lines(self, data: bytes) -> list[tuple[Label, bytes]]:
        text = self._rest + data if self._rest else data
        end = text.rfind(b"\n") + 1
        lines = [(self.label, text[:end])] if end else []
        while len(text) - end > MAX_LINE_BYTES:
            cut = end + _whole_characters(text[end:], MAX_LINE_BYTES)
            lines.append((self.label, text[end:cut] + b"\n"))
            end = cut
        self._rest = text[end:]
        return lines

    def _flush(self) -> list[tuple[Label, bytes]]:
        rest, self._rest = self._rest, b""
        return [(self.label, rest + b"\n")] if rest else []


def _parse(body: bytes) -> Label | None:
    job, colon, name = body.partition(b":")
    try:
        return Label(bytes.fromhex(job.decode()), name.decode()) if colon else None
    except ValueError:
        return None


def _split_held(data: bytes) -> tuple[bytes, bytes]:
    """Text, and what may be the beginning of a mark behind it."""
    begin = data.find(_BEGIN)
    if begin < 0:
        size = next((n for n in range(len(_BEGIN) - 1, 0, -1) if data.endswith(_BEGIN[:n])), 0)
        begin = len(data) - size
    return data[:begin], data[begin:]


def _whole_characters(text: bytes, size: int) -> int:
    """At most *size*, and so many bytes that no character in UTF-8 is cut."""
    if len(text) <= size:
        return len(text)
    for back in range(min(4, size)):
        if text[size - back] & _CONTINUATION != 0x80:
            return size - back
    return size
