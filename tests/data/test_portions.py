from __future__ import annotations

import pytest

from air import data
from air.data.budget import Budget
from air.data.datasources import csv as csv_module
from air.data.datasources.portions import is_taken_whole, portion

MIB = 1 << 20
TIGHT = Budget.of(64 * MIB, 2, 128 * MIB)
AMPLE = Budget.of(1024 * MIB, 2, 128 * MIB)


def test_as_much_is_read_at_a_time_as_an_eighth_of_a_small_budget_holds():
    assert portion(TIGHT, 4 * MIB, 16) == MIB // 2
    assert portion(TIGHT, MIB // 4, 16) == MIB // 4
    assert portion(TIGHT, 4 * MIB, 1000) == 64 << 10
    assert portion(AMPLE, 4 * MIB, 16) == portion(None, 4 * MIB, 16) == 4 * MIB


@pytest.mark.parametrize(
    ("budget", "size", "is_compressed", "is_whole"),
    [
        (TIGHT, 2 * MIB, False, True),
        (TIGHT, 2 * MIB + 1, False, False),
        (TIGHT, MIB, True, False),
        (AMPLE, 128 * MIB, False, True),
        (AMPLE, 128 * MIB + 1, False, False),
        (AMPLE, 26 * MIB, True, False),
        (AMPLE, -1, False, False),
    ],
)
def test_a_file_is_parsed_whole_if_what_that_takes_is_a_share_of_a_cpu(
    budget, size, is_compressed, is_whole
):
    assert is_taken_whole(budget, size, 4, is_compressed=is_compressed) is is_whole


def test_a_stream_of_csv_has_the_types_of_its_beginning_and_rows_of_any_length(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(csv_module, "_WHOLE_FILE_BYTES", 1)
    monkeypatch.setattr(csv_module, "_AHEAD", 1 << 30)  # so blocks are as small as may be
    texts = [*(str(n) for n in range(30_000)), "x" * 500_000, *(str(n) for n in range(30_000))]
    rows = [f"{n + 0.5 if n == 50_000 else n},{text}" for n, text in enumerate(texts)]
    (tmp_path / "x.csv").write_text("\n".join(["n,t", *rows]))
    table = data.read_csv(tmp_path).to_arrow()
    assert table["t"].to_pylist() == texts
    assert table["n"].to_pylist() == [n + 0.5 if n == 50_000 else n for n in range(len(rows))]
