"""Parts of larger arrays are pickled without the rest."""

from __future__ import annotations

import datetime
import decimal
import sys
import types

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from air.data.blocks import tensor
from air.executor import slices
from air.executor.arrow_slices import reduce_array
from air.executor.serialization import dumps, loads

ROWS = 20_000


class Coordinates(pa.ExtensionType):
    """One that Arrow has not been told of."""

    def __init__(self):
        super().__init__(pa.struct([("x", pa.float64()), ("tags", pa.list_(pa.string()))]), "test")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls()

    def __reduce__(self):
        return Coordinates, ()


def _some(make):
    return lambda number: None if number % 7 == 3 else make(number)


_TYPES = {
    pa.null(): lambda i: None,
    pa.bool_(): _some(lambda i: i % 3 == 0),
    pa.int8(): _some(lambda i: i % 100),
    pa.uint64(): lambda i: i,
    pa.float16(): _some(lambda i: np.float16(i % 100)),
    pa.float64(): _some(float),
    pa.decimal128(12, 2): _some(lambda i: decimal.Decimal(i)),
    pa.timestamp("us", "UTC"): _some(lambda i: datetime.datetime.fromtimestamp(i, tz=datetime.UTC)),
    pa.month_day_nano_interval(): _some(lambda i: (i, 1, 2)),
    pa.binary(5): _some(lambda i: b"%05d" % i),
    pa.binary(): _some(lambda i: b"x" * (i % 30)),
    pa.string(): _some(lambda i: "é" * (i % 30)),
    pa.large_string(): lambda i: str(i),
    pa.string_view(): _some(lambda i: str(i) * (1 + i % 9)),
    pa.list_(pa.int32()): _some(lambda i: [i, None][: i % 3]),
    pa.large_list(pa.string()): _some(lambda i: [str(i)] * (i % 4)),
    pa.list_(pa.list_(pa.string()), 2): _some(lambda i: [["a" * (i % 5)], None]),
    pa.list_view(pa.int64()): _some(lambda i: [i] * (i % 3)),
    pa.large_list_view(pa.string()): _some(lambda i: [str(i)] * (i % 3)),
    pa.map_(pa.string(), pa.int16()): _some(lambda i: [(str(i), i % 5)] * (i % 2)),
    pa.struct([("a", pa.string()), ("b", pa.struct([("c", pa.bool_())]))]): _some(
        lambda i: {"a": _some(str)(i + 1), "b": _some(lambda i: {"c": i % 2 == 0})(i + 2)}
    ),
}


def _array(kind, rows=ROWS):
    return pa.array([_TYPES[kind](number) for number in range(rows)], kind)


def _made(rows=ROWS):
    """Arrays of kinds that are not made from plain values."""
    numbers = pa.array([_some(int)(number) for number in range(rows)])
    texts = _array(pa.string(), rows)
    kinds = pa.array([number % 2 for number in range(rows)], pa.int8())
    places = pa.array([number // 2 for number in range(rows)], pa.int32())
    struct = pa.array(
        [{"x": float(i), "tags": [str(i)] * (i % 3)} for i in range(rows)],
        Coordinates().storage_type,
    )
    ends = pa.array(range(3, 3 * rows + 3, 3), pa.int32())
    return {
        "dictionary": pa.array(["a", "b", None, "c"] * (rows // 4)).dictionary_encode(),
        "dense union": pa.UnionArray.from_dense(kinds, places, [numbers, texts]),
        "sparse union": pa.UnionArray.from_sparse(kinds, [numbers, texts]),
        "run ends": pa.RunEndEncodedArray.from_arrays(ends, texts),
        "extension": pa.ExtensionArray.from_storage(Coordinates(), struct),
        "tensor": tensor.from_numpy(np.arange(rows * 6).reshape(rows, 2, 3)),
        "no nulls": pa.array(range(rows)),
        "list of views": pa.ListArray.from_arrays(
            pa.array(range(0, rows + 1, 2), pa.int32()), _array(pa.string_view(), rows)
        ),
    }


_ARRAYS = {**{str(kind): _array(kind) for kind in _TYPES}, **_made()}


@pytest.mark.parametrize("name", _ARRAYS)
def test_a_slice_is_as_large_as_what_it_shows(name):
    array = _ARRAYS[name]
    for part in (array.slice(1003, 50), array.slice(3, 1), array.slice(16), array.slice(5, 0)):
        packed = dumps(part)
        back = loads(*packed)
        back.validate(full=True)
        assert back.type == array.type
        assert back.equals(part)
        assert back.null_count == part.null_count
        if len(part) <= 50:
            assert packed.size < 6000


@st.composite
def _slices(draw):
    """A slice of a slice, of whatever types in one another."""
    rows = draw(st.integers(0, 60)) * 8
    array = draw(st.sampled_from([*_made(rows or 8).values(), *(_array(k, rows) for k in _TYPES)]))
    for _ in range(draw(st.integers(0, 2))):
        array = _cut(draw, array)
        wrap = draw(st.sampled_from(["list", "struct", "fixed", "chunk", "none"]))
        count = len(array)
        mask = pa.array([draw(st.booleans()) and i % 3 == 0 for i in range(count)], pa.bool_())
        if wrap == "list":
            ends = sorted(draw(st.lists(st.integers(0, count), min_size=1, max_size=40)))
            array = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), array)
        elif wrap == "struct":
            array = pa.StructArray.from_arrays([array, array], ["a", "b"], mask=mask)
        elif wrap == "fixed" and not pa.types.is_union(array.type):
            array = pa.FixedSizeListArray.from_arrays(array.slice(0, count // 3 * 3), 3)
        elif wrap == "chunk":
            array = pa.concat_arrays([array])
    return _cut(draw, array)


def _cut(draw, array):
    start = draw(st.integers(0, len(array)))
    return array.slice(start, draw(st.integers(0, len(array) - start)))


@given(_slices())
def test_any_slice_comes_back_as_it_was(part):
    shared: slices.Shared = {}
    restore, arguments = reduce_array(part, shared)  # however small it is
    for back in (restore(*arguments), loads(*dumps(part))):
        back.validate(full=True)
        assert back.type == part.type
        assert back.equals(part)
        assert back.to_pylist() == part.to_pylist()


def test_tables_and_batches():
    columns = {"n": range(ROWS), "t": [str(i) for i in range(ROWS)]}
    schema = pa.schema([pa.field("n", pa.int64(), metadata={"unit": "m"}), ("t", pa.string())])
    table = pa.table(columns, schema.with_metadata({"made": "here"}))
    chunked = pa.concat_tables([table.slice(0, 9000), table.slice(11_000, 9000)])
    for part in (table.slice(777, 100), chunked.slice(8990, 30), table.to_batches()[0].slice(5, 9)):
        packed = dumps({"part": part})
        assert packed.size < 6000
        back = loads(*packed)["part"]
        back.validate(full=True)
        assert back.equals(part)
        assert back.schema.equals(part.schema, check_metadata=True)
    assert loads(*dumps(chunked["n"].slice(8990, 30))).num_chunks == 2


def test_what_is_no_slice_is_not_copied():
    table = pa.table({"n": np.arange(ROWS), "t": _ARRAYS["string"]})
    given_ = {b.address for c in table.columns for b in c.chunk(0).buffers() if b is not None}
    packed = dumps(table)
    sent = {np.frombuffer(b, np.uint8).__array_interface__["data"][0] for b in packed.buffers}
    assert len(sent) == 3
    assert sent <= given_  # and the bits of the text are few
    back = loads(*packed)
    read = {b.address for c in back.columns for b in c.chunk(0).buffers() if b is not None}
    assert sent <= read


def test_what_slices_share_is_stored_once():
    words = pa.array([f"word number {number}" for number in range(ROWS)])
    keys = pa.array(np.arange(ROWS, dtype=np.int32))
    column = pa.DictionaryArray.from_arrays(keys, words)
    parts = pa.chunked_array([column.slice(start, 10) for start in range(0, 1000, 10)])
    packed = dumps(parts)
    assert packed.size < words.nbytes + 60_000
    assert loads(*packed).equals(parts)


def test_arrays_that_have_gaps():
    array = np.arange(1_000_000).reshape(1000, 1000)
    for part in (array[:, 5:15], array[::2, ::3], array.T[3:500], array[::-1]):
        stream, buffers = dumps(part)
        assert len(stream) < 1000
        assert sum(buffer.nbytes for buffer in buffers) == part.nbytes
        np.testing.assert_array_equal(loads(stream, buffers), part)
    cube = np.arange(60_000).reshape(20, 30, 100).transpose(1, 0, 2)
    np.testing.assert_array_equal(loads(*dumps(cube)), cube)
    objects = np.array([str(i) for i in range(9000)], dtype=object)[::2]
    np.testing.assert_array_equal(loads(*dumps(objects)), objects)
    masked = np.ma.masked_array(np.arange(9000), np.arange(9000) % 2)[::3]
    assert (loads(*dumps(masked)).mask == masked.mask).all()


def test_memoryviews_and_parts_of_frames():
    assert dumps(memoryview(bytes(1_000_000))[5:105]).size < 300
    frame = pd.DataFrame(
        {"n": np.arange(ROWS), "m": np.arange(ROWS), "t": [str(i) for i in range(ROWS)]}
    )
    for part in (frame.iloc[50:90], frame["t"].iloc[::500], frame.iloc[10:6000]):
        packed = dumps(part)
        assert packed.size < 4000 + 60 * len(part)
        assert loads(*packed).equals(part)
    assert len(dumps(frame.iloc[10:6000]).stream) < 4000


@pytest.mark.torch
def test_tensors():
    torch = pytest.importorskip("torch")
    whole = torch.arange(4_000_000.0).reshape(2000, 2000)
    parts = [
        whole[5], whole[:, 7], whole[3, :40], whole.to(torch.bfloat16)[3], whole > 5,
        whole[::3, 5:],
        torch.nn.Parameter(whole[2]), whole.t()[:100], whole[:60].reshape(10, 3, 20, 200),
        whole[:64].reshape(2, 20, 40, 80).to(memory_format=torch.channels_last),
        torch.complex(whole, whole)[3].conj(), whole[0].expand(50, 2000), whole[:0], whole[0, 0],
        whole[7].clone().requires_grad_(), torch.arange(9001)[1:].view(100, 90)[:, 3:9],
    ]  # fmt: skip
    for part in parts:
        packed = dumps(part)
        back = loads(*packed)
        assert packed.size < part.numel() * part.element_size() + 3000
        assert (back.dtype, back.shape, type(back)) == (part.dtype, part.shape, type(part))
        assert torch.equal(back, part)
        assert back.requires_grad == part.requires_grad
        with torch.no_grad():
            back.zero_()
        assert not back.any()  # it is writable
    assert parts[9].stride() == loads(*dumps(parts[9])).stride()
    assert len(dumps(whole).stream) < 1000


def test_tables_of_many_small_columns_are_one_piece():
    names = [f"x{number}" for number in range(100)]
    kinds = [pa.int8(), pa.string(), pa.decimal128(21, 2), pa.timestamp("us", "UTC")]
    columns = [pa.array([None, 1, 2], pa.int64()).cast(kinds[n % 4]) for n in range(99)]
    table = pa.table([*columns, pa.nulls(3)], names).replace_schema_metadata({"a": "b"})
    table = pa.concat_tables([table, table])
    packed = dumps(table.slice(1, 4))
    assert len(packed.stream) < 200
    assert len(packed.buffers) == 1
    assert packed.size < 100_000
    back = loads(*packed)
    assert back.equals(table.slice(1, 4))
    assert back.schema.equals(table.schema, check_metadata=True)
    assert loads(*dumps(table.schema)).equals(table.schema, check_metadata=True)
    assert len(dumps(table.schema).stream) < 100 * len(names)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b"]).dictionary_encode(),
        pa.ExtensionArray.from_storage(Coordinates(), pa.nulls(2, Coordinates().storage_type)),
        pa.array([[1], None]),
    ],
    ids=["dictionary", "extension", "list"],
)
def test_tables_with_a_column_that_is_more_than_values_travel_column_by_column(column):
    many = {f"x{number}": [1, None] for number in range(100)}
    table = pa.table({**many, "other": column})
    back = loads(*dumps(table))
    assert back.equals(table)
    assert back.schema == loads(*dumps(table.schema)) == table.schema


def test_tables_of_large_columns_are_not_copied():
    column = np.arange(10_000.0)
    table = pa.table({f"x{number}": column for number in range(100)})
    packed = dumps(table)
    assert {len(buffer) for buffer in packed.buffers} == {column.nbytes}
    assert loads(*packed).equals(table)


def test_a_library_that_is_just_being_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    monkeypatch.setattr(slices, "_modules", 0)
    assert slices.classes() == (np.ndarray, pa.Array, pa.Table, pa.Schema)
