from __future__ import annotations

import numpy as np
import pyarrow as pa

import air
from air.data.blocks import handle as handle_module
from air.data.blocks.handle import BlockHandle, cut
from air.executor.serialization import dumps, loads


def sent(value):
    """What another process would get."""
    serialized = dumps(value)
    return loads(serialized.stream, serialized.buffers)


def test_small_blocks_travel_by_value_and_need_no_backend():
    handle = BlockHandle.of_block(pa.table({"a": [1, 2, 3]}), "somewhere")
    copy = sent(handle.slice(1, 3))
    assert copy.get().to_pydict() == {"a": [2, 3]}
    assert copy.metadata.source == "somewhere"
    assert copy.num_rows == 2
    assert not air.is_initialized()


def test_slices_know_their_rows_and_size():
    handle = BlockHandle.of_block(pa.table({"a": np.arange(100)}))
    part = handle.slice(10, 60)
    assert (part.num_rows, part.size_bytes) == (50, 400)
    assert part.slice(0, 50) is part
    assert part.slice(10, 20).get()["a"].to_pylist() == list(range(20, 30))
    assert handle.slice(0, 0).num_rows == 0


def test_large_blocks_are_put_once_and_shared(air_local, monkeypatch):
    monkeypatch.setattr(handle_module, "BY_VALUE_BYTES", 100)
    handle = BlockHandle.of_block(pa.table({"a": np.arange(100)}))
    assert not handle.travels_by_value
    assert handle.ref() is handle.ref()

    @air.remote
    def rows(part):
        return part.is_here, part.slice(2, 4).get()["a"].to_pylist()

    assert air.get(rows.remote(handle.slice(50, 100))) == (False, [52, 53])


def test_slices_of_a_stored_block_refer_to_it(air_local):
    ref = air.put([1, 2, 3, 4, 5])
    whole = BlockHandle.of_ref(ref, BlockHandle.of_block([1, 2, 3, 4, 5]).metadata)
    part = whole.slice(1, 5).slice(1, 3)
    assert part.get() == [3, 4]
    assert part.ref() is ref
    assert cut([1, 2, 3, 4, 5], part.offset, part.num_rows) == [3, 4]
    assert not part.is_here


def test_a_block_of_this_process_outlives_the_backend(monkeypatch):
    handle = BlockHandle.of_block([1, 2])
    for _ in range(2):
        air.init(backend="local")
        assert air.get(handle.ref()) == [1, 2]
        air.shutdown()
