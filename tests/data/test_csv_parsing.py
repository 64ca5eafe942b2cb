"""What Arrow's parser would get wrong without a word: compared with the standard library's."""

from __future__ import annotations

import csv as standard
import io
import itertools
import pickle
import random

import pyarrow as pa
import pytest
from pyarrow import csv

from air.data.datasources.csv_parsing import Parser, _WholeLineEnds
from air.data.errors import UnsupportedValue

TEXT = csv.ConvertOptions(column_types={"i": pa.string(), "t": pa.string()})


def lines(seed: int) -> tuple[bytes, list[list[str]]]:
    """A CSV file, and its rows."""
    chance = random.Random(seed)
    parts = ["a", "b,", '"', " ", "\n", "\r\n", "\r"]
    rows = [
        [str(i), "".join(chance.choices(parts, k=chance.randrange(12)))]
        for i in range(chance.randrange(1, 40))
    ]
    text = io.StringIO(newline="")
    end = chance.choice(["\n", "\r\n"])
    writer = standard.writer(text, lineterminator=end, quoting=standard.QUOTE_ALL)
    writer.writerows([["i", "t"], *rows])
    return text.getvalue().encode(), rows


def rows_of(table: pa.Table) -> list[list[str]]:
    return [list(row.values()) for row in table.to_pylist()]


@pytest.mark.parametrize("seeds", [range(start, start + 100) for start in range(0, 500, 100)])
def test_ends_of_lines_inside_quotes_stay_there(seeds):
    for seed in seeds:
        content, rows = lines(seed)
        assert rows_of(Parser().whole(content, TEXT)) == rows
        size = random.Random(seed).randrange(100, 400)  # more than the longest row
        blocks = list(Parser().blocks(io.BytesIO(content), TEXT, size))
        assert [row for block in blocks for row in rows_of(block)] == rows
        start = rows_of(Parser().start(io.BytesIO(content), TEXT, size))
        assert start == rows[: len(start)]


@pytest.mark.parametrize("content", [b"a\r\nb\rc\n\r\n\r\r\nd", b"\r\r\r\n\r", b"\r", b""])
def test_pieces_do_not_end_inside_the_end_of_a_line(content):
    for size in range(2, len(content) + 3):
        file = _WholeLineEnds(io.BytesIO(content))
        pieces = list(iter(lambda file=file, size=size: file.read(size), b""))
        assert b"".join(pieces) == content
        assert all(len(piece) <= size for piece in pieces)
        for piece, after in itertools.pairwise(pieces):
            assert not (piece.endswith(b"\r") and after.startswith(b"\n"))


def test_options_that_were_sent_can_be_used():
    options = csv.ParseOptions(delimiter=";", quote_char=False)
    parser = pickle.loads(pickle.dumps(Parser(csv.ReadOptions(column_names=["i", "t"]), options)))
    assert parser.whole(b'1;"x\n2;y"\n', None).to_pylist() == [
        {"i": 1, "t": '"x'},
        {"i": 2, "t": 'y"'},
    ]
    with pytest.raises(pa.ArrowInvalid, match="Expected 2 columns, got 3"):
        parser.whole(b"1;2;3\n", None, use_threads=False)
    skipping = Parser(None, csv.ParseOptions(invalid_row_handler=lambda row: "skip"))
    assert skipping.whole(b"i\n1\n2,3\n4\n", None)["i"].to_pylist() == [1, 4]
    (block,) = skipping.blocks(io.BytesIO(b"i\n1\n2,3\n4\n"), None, 100)
    assert block["i"].to_pylist() == [1, 4]


def test_a_header_alone_and_names_that_are_there_twice():
    assert Parser().whole(b"i,t", None).column_names == ["i", "t"]
    with pytest.raises(pa.ArrowInvalid, match="Empty CSV file"):
        Parser().whole(b"\n", None)
    for parse in (
        lambda content: Parser().whole(content, None),
        lambda content: Parser().start(io.BytesIO(content), None, 100),
        lambda content: list(Parser().blocks(io.BytesIO(content), None, 100)),
    ):
        with pytest.raises(UnsupportedValue, match="several columns named 'a'"):
            parse(b"a,a\n1,2\n")
