"""Types of CSV files that are streamed: those of all values, as if they had been read at once."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv

import air.data
from air.data import DataContext
from air.data.datasources.csv_parsing import as_text, with_large_numbers
from air.data.datasources.csv_types import types_of

VALUES = [
    *("", "NA", "1", "-7", "1.5", "1e300", "inf", "nan", "true", "0", "a", "é b"),
    *("2020-01-01", "12:30:00", "2020-01-01 00:00:00", "2020-01-01T00:00:00.123"),
    *("2020-01-01 00:00:00Z", "2020-01-01 00:00:00.5Z"),
    *("9223372036854775808", "18446744073709551616", "-9223372036854775809", '"x, y"'),
]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.sampled_from(VALUES), min_size=1, max_size=12), min_size=1, max_size=3))
def test_types_are_those_of_all_values(columns):
    rows = max(map(len, columns))
    # The first columns are as long as the blocks, so that each row is in another one.
    lines = ["pad," + ",".join(f"c{n}" for n in range(len(columns)))]
    for row in range(rows):
        values = [column[row] if row < len(column) else "" for column in columns]
        lines.append("p" * 250 + "," + ",".join(values))
    content = ("\n".join(lines) + "\n").encode()
    names = lines[0].split(",")

    def blocks(types, conversion=None):
        conversion = conversion or csv.ConvertOptions(column_types=types)
        reading = csv.ReadOptions(block_size=400, use_threads=False)
        with csv.open_csv(io.BytesIO(content), reading, convert_options=conversion) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])

    def whole(conversion=None):
        return csv.read_csv(io.BytesIO(content), convert_options=conversion)

    expected = with_large_numbers(whole(), whole)
    told = types_of(names, blocks, lambda name: (b[name] for b in blocks({}, as_text(name))))
    found = pa.concat_tables(list(blocks(told)))
    assert found.schema == expected.schema
    # NaN is equal to itself as text; which texts are missing values is seen to later.
    seen = [str(table.to_pylist()).replace("'NA'", "''") for table in (found, expected)]
    assert seen[0].replace("''", "None") == seen[1].replace("''", "None")


def test_a_file_is_the_same_under_a_small_budget(tmp_path, monkeypatch):
    rows = 60_000
    with open(tmp_path / "a.csv", "w") as file:
        file.write("n,late,large,text\n")
        for n in range(rows):
            late = "x" if n == rows - 1 else n % 10
            file.write(
                f"{n},{late},{(1 << 64) - 1 if n == rows // 2 else n},{'' if n % 2 else 'é'}\n"
            )
        file.write(f"1.5,,,{'w' * 300_000}\n")  # longer than a block
    expected = air.data.read_csv(str(tmp_path)).materialize()
    monkeypatch.setattr(DataContext.get_current(), "memory_budget", 1)
    found = air.data.read_csv(str(tmp_path))
    tables = [handle.get() for handle in found.run()]
    assert len(tables) > 1
    assert pa.concat_tables(tables).equals(pa.concat_tables([h.get() for h in expected.run()]))
    kinds = dict(zip(tables[0].column_names, tables[0].schema.types, strict=True))
    assert kinds == {"n": pa.float64(), "late": "string", "large": pa.uint64(), "text": "string"}
    some = found.select_columns(["large", "n"])
    assert next(h.get().column_names for h in some.run()) == ["large", "n"]


def test_what_cannot_be_parsed_is_told_as_always(tmp_path, monkeypatch):
    monkeypatch.setattr(DataContext.get_current(), "memory_budget", 1)
    lines = ["a,b"] + ["1,2"] * 400_000 + ["1,2,3"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(air.data.ReadError, match=r"a\.csv.*Expected 2 columns, got 3"):
        air.data.read_csv(str(tmp_path)).count()
