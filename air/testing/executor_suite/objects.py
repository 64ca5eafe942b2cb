"""Values: put, get, wait."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import air
from air.errors import GetTimeout, InvalidOption
from air.testing.executor_suite.harness import value
from air.testing.executor_suite.tools import Gate, identity

BIG = 1_000_000


@air.remote
def fail(message: str) -> None:
    raise ValueError(message)


@pytest.mark.usefixtures("session")
class TestObjects:
    @pytest.mark.parametrize(
        "item",
        [None, 0, -1.5, "text", b"bytes", (1, [2, {"three": 4}]), {1, 2}, b"\0" * BIG, "x" * BIG],
        ids=lambda item: repr(item)[:20],
    )
    def test_round_trip(self, item: Any) -> None:
        assert value(air.put(item)) == item
        assert value(identity.remote(item)) == item

    def test_put_copies(self) -> None:
        items = [1]
        ref = air.put(items)
        items.append(2)
        assert value(ref) == [1]

    def test_each_get_gives_a_new_object(self) -> None:
        ref = air.put([1])
        value(ref).append(2)
        assert value(ref) == [1]

    def test_numpy_arrays_come_back_read_only(self) -> None:
        array = np.arange(BIG, dtype=np.float64)
        for ref in (air.put(array), identity.remote(array)):
            back = value(ref)
            np.testing.assert_array_equal(back, array)
            assert not back.flags.writeable
        array[0] = 1  # the caller's own is as it was

    def test_numpy_put_copies(self) -> None:
        array = np.zeros(BIG)
        ref = air.put(array)
        array[:] = 1
        assert value(ref).sum() == 0

    def test_numpy_arguments_are_not_the_callers(self) -> None:
        @air.remote
        def spoil(array: Any) -> str:
            try:
                array[0] = 1
            except ValueError:
                return "read-only"
            return "changed"

        array = np.zeros(BIG)
        value(spoil.remote(array))
        assert array[0] == 0
        assert value(spoil.remote(air.put(array))) == "read-only"

    def test_numpy_shared_memory_of_one_value(self) -> None:
        array = np.zeros(BIG)
        first, second = value(air.put((array, array[10:])))
        assert first.shape == (BIG,)
        assert second.shape == (BIG - 10,)

    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((0, 3)),
            np.asfortranarray(np.arange(20_000.0).reshape(100, 200)),
            np.arange(20_000.0)[::2],
            np.array([{"a": 1}, None], dtype=object),
            np.arange(20_000, dtype=">i4"),
        ],
        ids=["empty", "fortran", "strided", "objects", "big-endian"],
    )
    def test_numpy_layouts(self, array: Any) -> None:
        back = value(identity.remote(array))
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)

    def test_arrow_tables(self) -> None:
        table = pa.table({"number": range(10_000), "text": ["x"] * 10_000})
        assert value(identity.remote(table)).equals(table)

    def test_parts_of_arrays_and_tables(self) -> None:
        @air.remote
        def middle(table: pa.Table) -> Any:
            numbers = table["number"].to_numpy().reshape(100, 100)
            return table.slice(50, 10), numbers[:, 20:80]

        table = pa.table({"number": np.arange(10_000), "text": [str(i) for i in range(10_000)]})
        part = table.slice(5, 20)
        assert value(air.put(part)).equals(part)
        assert value(identity.remote([part, table.slice(9999)]))[0].equals(part)
        rows, numbers = value(middle.remote(table))
        assert rows.equals(table.slice(50, 10))
        assert numbers.tolist() == np.arange(10_000).reshape(100, 100)[:, 20:80].tolist()
        assert not numbers.flags.writeable

    def test_a_value_outlives_other_references(self) -> None:
        array = value(air.put(np.ones(BIG)))
        assert array.sum() == BIG

    def test_references_compare_by_identity(self) -> None:
        first, second = air.put(1), air.put(1)
        assert first == first
        assert first != second
        assert len({first, second, first}) == 2
        assert first.hex() == first.binary().hex()

    def test_put_refuses_references(self) -> None:
        with pytest.raises(TypeError, match="stored already"):
            air.put(air.put(1))

    def test_get_keeps_order(self) -> None:
        refs = [identity.remote(number) for number in range(5)]
        assert value(refs[::-1]) == [4, 3, 2, 1, 0]
        assert value([]) == []
        assert value([refs[0], refs[0]]) == [0, 0]

    def test_get_raises_the_first_error_in_order(self) -> None:
        refs = [identity.remote(1), fail.remote("first"), fail.remote("second")]
        with pytest.raises(ValueError, match="first"):
            value(refs)

    @pytest.mark.parametrize("wrong", [1, "ref", None, [1], {"a": 1}])
    def test_get_refuses_what_is_no_reference(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match=r"air\.get takes a list of ObjectRef"):
            air.get(wrong)

    @pytest.mark.parametrize("wrong", [-1, "soon", float("nan"), True])
    def test_timeouts_are_checked(self, wrong: Any) -> None:
        with pytest.raises(InvalidOption, match="timeout"):
            air.get(air.put(1), timeout=wrong)
        with pytest.raises(InvalidOption, match="timeout"):
            air.wait([air.put(1)], timeout=wrong)

    def test_get_times_out_and_names_the_task(self) -> None:
        gate = Gate.remote()
        pending = gate.wait.options(name="slow one").remote()
        for timeout in (0, 0.05):
            with pytest.raises(GetTimeout, match="slow one") as caught:
                air.get([air.put(1), pending], timeout=timeout)
            assert isinstance(caught.value, TimeoutError)
        gate.open.remote()
        assert value(pending) == "through"

    @pytest.mark.parametrize("timeout", [np.float32(30), float("inf"), 1e300, 10**400], ids=repr)
    def test_timeouts_of_any_kind_and_size(self, timeout: Any) -> None:
        gate = Gate.remote()
        pending = gate.wait.remote()
        opened = threading.Thread(target=lambda: value(gate.open.remote()))
        opened.start()
        assert air.get(pending, timeout=timeout) == "through"
        assert air.wait([pending], timeout=timeout) == ([pending], [])
        opened.join()

    def test_get_of_what_is_there_needs_no_time(self) -> None:
        ref = air.put(1)
        assert air.get(ref, timeout=0) == 1

    def test_wait_splits_in_the_given_order(self) -> None:
        gate = Gate.remote()
        pending = gate.wait.remote()
        done = [identity.remote(number) for number in range(3)]
        value(done)
        refs = [done[2], pending, done[0], done[1]]
        assert air.wait(refs, num_returns=3) == ([done[2], done[0], done[1]], [pending])
        assert air.wait(refs, num_returns=2) == ([done[2], done[0]], [pending, done[1]])
        assert air.wait(refs, num_returns=4, timeout=0.05) == (
            [done[2], done[0], done[1]],
            [pending],
        )
        assert air.wait([pending], timeout=0) == ([], [pending])
        gate.open.remote()
        assert air.wait([pending], timeout=30) == ([pending], [])
        assert air.wait(refs, num_returns=4, fetch_local=False)[1] == []

    def test_wait_counts_errors_as_ready(self) -> None:
        ref = fail.remote("no")
        assert air.wait([ref], timeout=30) == ([ref], [])

    def test_wait_checks_its_arguments(self) -> None:
        ref = air.put(1)
        with pytest.raises(InvalidOption, match="more than once"):
            air.wait([ref, ref])
        with pytest.raises(InvalidOption, match=r"num_returns is 2, but there is 1 reference$"):
            air.wait([ref], num_returns=2)
        with pytest.raises(InvalidOption, match="num_returns"):
            air.wait([ref], num_returns=0)
        with pytest.raises(TypeError, match=r"air\.wait takes a list of ObjectRef"):
            air.wait(ref)  # type: ignore[arg-type]

    def test_a_future_that_is_cancelled_cancels_nothing_else(self) -> None:
        gate = Gate.remote()
        pending = gate.wait.remote()
        given_up, other = pending.future(), pending.future()
        assert given_up.cancel()
        assert given_up.cancelled()
        with pytest.raises(CancelledError):
            given_up.result(timeout=30)
        assert not other.done()
        gate.open.remote()
        assert other.result(timeout=30) == "through"
        assert value(pending) == "through"
        assert not other.cancel()

    def test_a_future_that_is_dropped_calls_back(self) -> None:
        gate, called = Gate.remote(), threading.Event()
        pending = gate.wait.remote()
        pending.future().add_done_callback(lambda _future: called.set())
        gc.collect()
        gate.open.remote()
        assert value(pending) == "through"
        assert called.wait(30)

    def test_futures(self) -> None:
        assert identity.remote(3).future().result(timeout=30) == 3
        with pytest.raises(ValueError, match="no"):
            fail.remote("no").future().result(timeout=30)
        assert isinstance(fail.remote("no").future().exception(timeout=30), ValueError)

    def test_future_of_what_is_not_there_yet(self) -> None:
        gate = Gate.remote()
        future = gate.wait.remote().future()
        assert not future.done()
        gate.open.remote()
        assert future.result(timeout=30) == "through"
