from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air import data
from air.data.datasources import json as json_module
from air.data.datasources.json_layouts import LAYOUTS, items_of, layouts_of, objects_of, structure
from air.data.datasources.paths import resolve_paths

TEXTS = st.text('aü\\"{}[],:\n 0', max_size=6)
VALUES = st.one_of(st.none(), st.integers(-9, 9), TEXTS)
ROWS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), max_size=8)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(1, 40), st.sampled_from([None, 2]), st.booleans())
def test_no_row_is_cut(rows, size, indent, is_ascii):
    texts = [json.dumps(row, indent=indent, ensure_ascii=is_ascii) for row in rows]
    array = f" [{','.join(texts)}]\n".encode()
    pieces = list(items_of(io.BytesIO(array), size))
    assert [row for piece in pieces for row in json.loads(b"[%b]" % piece)] == rows
    objects = "\n".join(texts).encode()
    pieces = list(objects_of(io.BytesIO(objects), size))
    assert b"".join(pieces) == objects
    assert [row for piece in pieces for row in each_of(piece.decode())] == rows


def each_of(text):
    place = 0
    while text[place:].strip():
        place += len(text[place:]) - len(text[place:].lstrip())
        value, place = json.JSONDecoder().raw_decode(text, place)
        yield value


def test_quotes_behind_backslashes_end_a_text_if_these_come_in_pairs():
    content = rb'{"a": "\\", "b": "\"}", "c": "\\\"]"}'
    places, depths = structure(content)
    assert bytes(content[place] for place in places) == b"{,,}"
    assert depths.tolist() == [1, 1, 1, 0]
    assert structure(b"")[0].tolist() == []
    assert structure(b'"')[0].tolist() == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1, 2", "has no end"),
        ('["]', "has no end"),
        ("[1, ]", "no item behind its last comma"),
        ("[1] 2", "something behind the array: b'2'"),
        ("[1]\n" + 20 * " " + "[", "something behind the array"),
    ],
)
def test_an_array_must_be_whole(text, why):
    with pytest.raises(ValueError, match=why):
        list(items_of(io.BytesIO(text.encode()), 2))


@pytest.mark.parametrize("text", ["[]", " [ ] \n\n", "\ufeff[ ]"])
def test_an_empty_array_has_no_rows(text):
    assert not [each for each in items_of(io.BytesIO(text.encode()), 1) if each.strip()]


def test_what_a_file_begins_with_says_how_its_rows_may_lie():
    assert layouts_of(b"\xef\xbb\xbf [") == ("array",)
    assert layouts_of(b"{") == ("lines", "objects")
    assert layouts_of("[".encode("utf-16-le")) == layouts_of(b" \n") == ()


def test_rows_in_pieces_have_one_schema():
    content = b'[{"a": 1}, {"b": [null]}, {"a": 1.5, "b": ["x"]}, {}]'
    layout = LAYOUTS["array"]
    schema = layout.schema(io.BytesIO(content), 1)
    assert schema == pa.schema({"a": pa.float64(), "b": pa.list_(pa.string())})
    tables = list(layout.tables(io.BytesIO(content), 1, schema))
    assert len(tables) == 4
    assert pa.concat_tables(tables).to_pylist() == [
        {"a": 1.0, "b": None},
        {"a": None, "b": [None]},
        {"a": 1.5, "b": ["x"]},
        {"a": None, "b": None},
    ]
    assert layout.schema(io.BytesIO(b'[{"a": 1}, {"a": "x"}]'), 1) is None
    assert layout.schema(io.BytesIO(b"[{}, {}]"), 1) is None
    with pytest.raises(data.UnsupportedValue, match="item 2 of the array is no object: 3"):
        list(layout.tables(io.BytesIO(b'[{"a": 1}, {"a": 2}, 3]'), 1, schema))


def forms(rows):
    """The same rows in files of every layout."""
    yield "lines", "\n".join(map(json.dumps, rows))
    yield "objects", "\n".join(json.dumps(row, indent=1) for row in rows)
    yield "array", json.dumps(rows, indent=1)


@pytest.mark.usefixtures("placement")
def test_files_are_the_same_in_pieces_as_whole(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    rows = [
        {
            "i": n if n < 9_000 else n + 0.5,
            "t": 'é"\\{' * int(random.integers(0, 60)),
            "l": [None, *range(n % 3)] if n % 5 else None,
            "d": {"x": n % 2 == 0, **({"y": str(n)} if n > 9_000 else {})},
            **({"late": "2020-01-01"} if n == 11_999 else {}),
        }
        for n in range(12_000)
    ]
    parsed = json_module.LAYOUTS
    for form, text in forms(rows):
        path = tmp_path / f"{form}.json"
        path.write_text(text)
        whole = data.read_json(path).to_arrow()
        with monkeypatch.context() as patch:
            patch.setattr(data.DataContext.get_current(), "memory_budget", 1)
            patch.setattr(json_module, "LAYOUTS", {form: parsed[form], "lines": parsed["lines"]})
            blocks = [handle.get() for handle in data.read_json(path).run()]
        assert len(blocks) > 1
        assert pa.concat_tables(blocks).equals(whole), form


def test_a_file_is_parsed_twice_at_most(tmp_path, monkeypatch):
    (tmp_path / "x.json").write_text("\n".join(f'{{"a": {n}}}' for n in range(200_000)))
    monkeypatch.setattr(data.DataContext.get_current(), "memory_budget", 1)
    source = json_module.JSONDatasource(resolve_paths([str(tmp_path)], None, [".json"])).checked()
    (task,) = source.get_read_tasks(1)
    schemas = []
    lines = LAYOUTS["lines"]

    def parse(content, schema, first):
        schemas.append(schema)
        return lines.parse(content, schema, first)

    monkeypatch.setitem(LAYOUTS, "lines", type(lines)(lines.cut, parse))
    assert sum(len(block) for block in task.read_fn()) == 200_000
    assert set(schemas) == {pa.schema({"a": pa.int64()})}  # which the look had found
