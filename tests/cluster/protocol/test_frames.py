"""Frames come out as they went in, however the stream was cut; anything else is refused."""

from __future__ import annotations

import random
import struct
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air_cluster.protocol import frames
from air_cluster.protocol.codec import Message
from air_cluster.protocol.frames import MAX_FRAME_BYTES, FrameDecoder, FrameError, pack
from air_cluster.protocol.messages import (
    Blocked,
    LogLines,
    Reply,
    StreamCredit,
    TasksReturned,
)

Received = list[tuple[Message, bytes]]

MESSAGES = st.one_of(
    st.builds(Blocked, st.booleans()),
    st.builds(StreamCredit, st.binary(max_size=20), st.integers(0, 2**63 - 1)),
    st.builds(TasksReturned, st.lists(st.binary(max_size=20), max_size=5)),
    st.builds(LogLines, st.text(max_size=20), st.booleans()),
)
PAYLOADS = st.lists(st.binary(max_size=50), max_size=4)
STREAMS = st.lists(st.tuples(MESSAGES, PAYLOADS), max_size=6)


def packed(stream: list[tuple[Message, list[bytes]]]) -> bytes:
    return b"".join(bytes(part) for message, parts in stream for part in pack(message, parts))


def feed_in_pieces(data: bytes, cuts: list[int]) -> Received:
    decoder = FrameDecoder()
    received: Received = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        received += decoder.feed(data[start:end])
    assert decoder.pending == 0
    return received


@pytest.mark.parametrize("gather_from", [1, 20, frames._GATHER_FROM])
@given(stream=STREAMS, cuts=st.lists(st.integers(0, 10_000), max_size=10))
@settings(max_examples=80)
def test_any_cut_of_the_stream_gives_the_same_messages(
    gather_from: int, stream: list[tuple[Message, list[bytes]]], cuts: list[int]
) -> None:
    expected = [(message, b"".join(parts)) for message, parts in stream]
    with mock.patch.object(frames, "_GATHER_FROM", gather_from):
        assert feed_in_pieces(packed(stream), cuts) == expected


def test_one_byte_at_a_time() -> None:
    stream: list[tuple[Message, list[bytes]]] = [
        (Blocked(True), []),
        (LogLines("w", False), [b"some ", b"", b"text"]),
        (Blocked(False), [b""]),
    ]
    data = packed(stream)
    received = feed_in_pieces(data, list(range(len(data))))
    assert received == [(message, b"".join(parts)) for message, parts in stream]


def test_a_frame_without_payload_is_one_part() -> None:
    assert len(pack(Blocked(True))) == 1


def test_payload_parts_are_passed_on_without_a_copy() -> None:
    part = bytes(1000)
    assert pack(Blocked(True), [part])[1] is part


def test_payloads_outlive_the_buffer_they_came_in() -> None:
    data = bytearray(packed([(Blocked(True), [b"abc"]), (Blocked(False), [b"def"])]))
    decoder = FrameDecoder()
    received = list(decoder.feed(data))
    data[:] = bytes(len(data))
    assert [payload for _, payload in received] == [b"abc", b"def"]
    assert all(type(payload) is bytes for _, payload in received)


def test_bytes_behind_the_last_frame_are_kept_when_the_reader_stops_early() -> None:
    decoder = FrameDecoder()
    messages = decoder.feed(packed([(Blocked(True), []), (Blocked(False), [])]))
    assert next(messages) == (Blocked(True), b"")
    messages.close()
    assert list(decoder.feed(b"")) == [(Blocked(False), b"")]


def test_a_long_payload_is_gathered_and_what_is_behind_it_is_kept() -> None:
    payload = random.Random(1).randbytes(1 << 20)
    data = packed([(Blocked(True), [payload]), (Blocked(False), [b"short"])])
    decoder = FrameDecoder()
    received: Received = []
    piece = bytearray(1000)
    for start in range(0, len(data), len(piece)):
        piece[:] = data[start : start + len(piece)].ljust(len(piece), b"?")
        received += decoder.feed(memoryview(piece)[: len(data) - start])
        if not received:
            # Nothing is moved a second time while it grows.
            assert decoder.pending == start + len(piece) - 8 - len(b"\x92\x09\xc3")
            assert len(decoder._buffer) <= len(piece)
    assert received == [(Blocked(True), payload), (Blocked(False), b"short")]
    assert decoder.pending == 0


def test_what_is_behind_a_long_payload_is_kept_when_the_reader_stops_early() -> None:
    payload = bytes(1 << 20)
    data = packed([(Blocked(True), [payload]), (Blocked(False), [])])
    decoder = FrameDecoder()
    assert list(decoder.feed(data[: 1 << 19])) == []
    messages = decoder.feed(data[1 << 19 :])
    assert next(messages) == (Blocked(True), payload)
    messages.close()
    assert list(decoder.feed(b"")) == [(Blocked(False), b"")]


def test_a_long_payload_of_a_message_that_does_not_parse_is_not_waited_for() -> None:
    decoder = FrameDecoder()
    with pytest.raises(FrameError, match="bad message"):
        list(decoder.feed(struct.pack("<II", 1 << 20, 1) + b"\xc0"))


@given(
    data=st.binary(max_size=200)
    | st.builds(
        lambda head, body: struct.pack("<II", *head) + body,
        st.tuples(st.integers(0, 2**32 - 1) | st.integers(0, 300), st.integers(0, 300)),
        st.binary(max_size=300),
    ),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_arbitrary_bytes_in_arbitrary_cuts(data: bytes, cuts: list[int]) -> None:
    decoder = FrameDecoder()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        try:
            for _message, payload in decoder.feed(data[start:end]):
                assert type(payload) is bytes
        except FrameError:
            return
        assert decoder.pending <= end


def test_what_was_read_is_dropped_from_the_buffer() -> None:
    frame = packed([(Blocked(True), [bytes(300 << 10)])])
    stream = frame * 10
    decoder = FrameDecoder()
    count = 0
    # Cut so that there is always the beginning of another frame left.
    for start in range(0, len(stream), 1 << 18):
        count += len(list(decoder.feed(stream[start : start + (1 << 18)])))
        assert len(decoder._buffer) < (1 << 20) + (1 << 18) + len(frame)
    assert count == 10


def test_too_long_a_frame_is_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 100)
    with pytest.raises(FrameError, match=r"LogLines of \d+ bytes is longer than 100"):
        pack(LogLines("w", False), [bytes(100)])
    with pytest.raises(FrameError, match="TasksReturned"):
        pack(TasksReturned([bytes(50), bytes(50)]))


@pytest.mark.parametrize(
    ("total", "size"), [(MAX_FRAME_BYTES + 1, 1), (2**32 - 1, 2**32 - 1), (1, 2), (0, 1)]
)
def test_impossible_lengths_are_refused_before_the_rest_arrives(total: int, size: int) -> None:
    decoder = FrameDecoder()
    with pytest.raises(FrameError, match="bad frame"):
        list(decoder.feed(struct.pack("<II", total, size)))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xc0",
        b"\x90",
        b"\x91\x7f",  # an unknown tag
        b"\x92\x09\xc0",  # Blocked(None)
        b"\x92\x09\xc3\xc3",  # Blocked(True) and a byte more
        b"\xdd\xff\xff\xff\xff\x09",  # an array of four billion
        b"\x94\x18\x01\xa0\xdd\xff\xff\xff\xff",  # Reply with a list of four billion
        b"\x94\x18\x01\xa2\xff\xfe\x01",  # text that is not UTF-8
        b"\x94\x18\x01\xa0\x81\x80\x01",  # a mapping as a key
        b"\x94\x18\x01\xa0" + b"\x91" * 100_000,  # nested too deeply
    ],
)
def test_messages_that_do_not_parse_are_refused(message: bytes) -> None:
    decoder = FrameDecoder()
    with pytest.raises(FrameError, match="bad message"):
        list(decoder.feed(struct.pack("<II", len(message), len(message)) + message))


def feed_garbage(data: bytes, generator: random.Random) -> None:
    """Feed in random pieces; only ``FrameError`` may be raised, and little may be kept."""
    decoder = FrameDecoder()
    position = 0
    while position < len(data):
        piece = data[position : position + generator.randint(1, 40)]
        position += len(piece)
        try:
            for message, payload in decoder.feed(piece):
                assert type(payload) is bytes
                assert isinstance(message, Message.__args__)  # type: ignore[attr-defined]
        except FrameError:
            return
        assert len(decoder._buffer) <= position


def test_random_bytes_are_refused_or_waited_for() -> None:
    generator = random.Random(1)
    for _ in range(1000):
        feed_garbage(generator.randbytes(generator.randint(1, 200)), generator)


def test_mutated_frames_are_refused_or_still_frames() -> None:
    generator = random.Random(2)
    examples: list[tuple[Message, list[bytes]]] = [
        (Reply(3, "", {"nodes": [{"id": "a", "labels": {}}], "n": 1.5, "b": b"x"}), []),
        (TasksReturned([b"a" * 14, b"b" * 14]), []),
        (LogLines("pid=3", True), [b"text\n" * 10]),
    ]
    original = packed(examples)
    for _ in range(3000):
        data = bytearray(original)
        for _ in range(generator.randint(1, 4)):
            index = generator.randrange(len(data))
            choice = generator.random()
            if choice < 0.6:
                data[index] = generator.randrange(256)
            elif choice < 0.8:
                del data[index : index + generator.randint(1, 8)]
            else:
                data[index:index] = generator.randbytes(generator.randint(1, 8))
            if not data:
                break
        feed_garbage(bytes(data), generator)
