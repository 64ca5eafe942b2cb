"""Both ends of a connection strike out the same functions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from air_cluster.core.code_book import CodeBook


def small() -> CodeBook[int]:
    return CodeBook(max_count=4, max_bytes=100)


def test_the_longest_known_goes_first() -> None:
    book = small()
    for number in range(6):
        book.add(bytes([number]), 1, number)
        book.check()
    assert book.entries == {bytes([number]): number for number in (2, 3, 4, 5)}


def test_large_ones_make_room_for_one_another() -> None:
    book = small()
    book.add(b"a", 60, 1)
    book.add(b"b", 30, 2)
    book.add(b"c", 40, 3)
    assert list(book.entries) == [b"b", b"c"]
    book.add(b"d", 1000, 4)
    assert list(book.entries) == [b"d"]
    book.check()
    book.add(b"e", 1, 5)
    assert list(book.entries) == [b"e"]


@given(st.lists(st.tuples(st.sampled_from(b"abcdefgh"), st.integers(0, 60))))
def test_the_receiver_has_whatever_is_not_sent_again(used: list[tuple[int, int]]) -> None:
    sender, receiver = small(), small()
    for letter, nbytes in used:
        key = bytes([letter])
        if key not in sender.entries:
            sender.add(key, nbytes, 0)
            receiver.add(key, nbytes, 0)
        assert key in receiver.entries
        assert sender.entries == receiver.entries
        sender.check()
