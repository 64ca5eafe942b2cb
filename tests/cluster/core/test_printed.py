"""Marks and lines in what a worker prints."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_cluster.core.printed import MAX_LINE_BYTES, Label, Printout, mark

JOB, OTHER = b"12345678", b"87654321"
F, G = Label(JOB, "f"), Label(OTHER, "g")


def feed(printout: Printout, *pieces: bytes) -> tuple[bytes, list[tuple[Label, bytes]]]:
    """All that comes out, to the end."""
    results = [*map(printout.feed, pieces), printout.flush()]
    return b"".join(r.text for r in results), [line for r in results for line in r.lines]


def test_lines_are_kept_whole() -> None:
    printout = Printout(F)
    assert printout.feed(b"one\ntw").lines == [(F, b"one\n")]
    assert printout.has_rest
    assert printout.feed(b"o\nthree\n").lines == [(F, b"two\nthree\n")]
    assert not printout.has_rest


def test_text_comes_out_as_it_was_printed_and_marks_do_not() -> None:
    text, lines = feed(Printout(F), b"a\nb" + mark(G) + b"c\n" + mark(F) + mark(G) + b"d")
    assert text == b"a\nbc\nd"
    assert lines == [(F, b"a\n"), (F, b"b\n"), (G, b"c\n"), (G, b"d\n")]


def test_a_mark_that_changes_nothing_cuts_no_line() -> None:
    assert feed(Printout(F), b"a" + mark(F) + b"b\n") == (b"ab\n", [(F, b"ab\n")])


def test_what_waits_is_shown_when_asked_for() -> None:
    printout = Printout(F)
    printout.feed(b"50 %")
    assert printout.flush().lines == [(F, b"50 %\n")]
    assert printout.flush() == (b"", [])
    assert printout.feed(b" done\n").lines == [(F, b" done\n")]


def test_long_lines_come_in_pieces_of_whole_characters() -> None:
    line = "é".encode() * MAX_LINE_BYTES
    text, lines = feed(Printout(F), b"x" + line)
    assert text == b"x" + line
    assert b"".join(part.removesuffix(b"\n") for _, part in lines) == text
    for _, part in lines:
        assert len(part) <= MAX_LINE_BYTES + 1
        part.decode()


def test_a_long_line_that_is_no_text_comes_in_pieces_too() -> None:
    line = b"\x80" * (2 * MAX_LINE_BYTES + 5)
    _, lines = feed(Printout(F), line)
    assert b"".join(part.removesuffix(b"\n") for _, part in lines) == line


@pytest.mark.parametrize(
    "text",
    [
        b"\x1e\n",
        b"\x1e\x1eair:\n",
        b"\x1e\x1eair:zz:f\x1e\n",
        b"\x1e\x1eair:12\x1e\n",
        b"\x1e\x1eair:00:\xff\x1e\n",
        b"\x1e\x1eair:" + b"x" * 500 + b"\n",
        b"\x1e\x1eair:\x1e\x1eair:",
    ],
)
def test_what_only_looks_like_a_mark_is_text(text: bytes) -> None:
    out, lines = feed(Printout(F), text)
    assert out == text
    assert {label for label, _ in lines} == {F}


def test_names_are_short_and_hold_no_control_characters() -> None:
    text, lines = feed(Printout(F), mark(Label(JOB, "é" * 500)) + b"x\n")
    assert (text, lines) == (b"x\n", [(Label(JOB, "é" * 60), b"x\n")])
    _, lines = feed(Printout(F), mark(Label(JOB, "a\x1e\nb")) + b"x\n")
    assert lines == [(Label(JOB, "a  b"), b"x\n")]


LABELS = st.sampled_from([Label(), F, G, Label(JOB, "a name (with) é")])
PARTS = st.lists(st.one_of(LABELS, st.binary(max_size=20), st.just(b"\x1e"), st.just(b"line\n")))


@given(parts=PARTS, cuts=st.lists(st.integers(0, 300)))
def test_it_does_not_matter_how_it_is_cut(parts: list[Label | bytes], cuts: list[int]) -> None:
    data = b"".join(mark(part) if isinstance(part, Label) else part for part in parts)
    whole = feed(Printout(Label()), data)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    text, lines = feed(Printout(Label()), *pieces)
    assert text == whole[0]
    assert _joined(lines) == _joined(whole[1])


def _joined(lines: list[tuple[Label, bytes]]) -> list[tuple[Label, bytes]]:
    """One line each."""
    return [(label, line) for label, text in lines for line in text.split(b"\n")[:-1]]


@given(st.binary(max_size=400), st.lists(st.integers(1, 50), max_size=10))
def test_any_bytes_without_marks_come_out_as_they_are(data: bytes, sizes: list[int]) -> None:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    text, lines = feed(Printout(F), *pieces, data[at:])
    if b"\x1e\x1eair:" not in data:
        assert text == data
        shown = b"".join(part for _, part in lines)
        assert shown == data + b"\n" * bool(data and not data.endswith(b"\n"))
