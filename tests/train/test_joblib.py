"""joblib's calls as tasks."""

from __future__ import annotations

import os

import joblib
import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from scipy import sparse

import air
from air.errors import InvalidOption
from air.util.joblib import register_air
from air.util.joblib.backend import SHARED_BYTES, AirBackend, _size_of


@pytest.fixture(autouse=True)
def backend(air_backend):
    """joblib runs on the selected backend."""
    register_air()
    register_air()  # again, which changes nothing
    with joblib.parallel_config(backend="air"):
        yield air_backend


def square(number):
    if number < 0:
        raise ValueError(f"negative: {number}")
    return number * number


def test_results_come_in_the_order_of_the_calls():
    assert Parallel(n_jobs=-1)(delayed(square)(i) for i in range(50)) == [i * i for i in range(50)]
    results = Parallel(n_jobs=2, return_as="generator")(delayed(square)(i) for i in range(5))
    assert list(results) == [0, 1, 4, 9, 16]


def test_calls_are_made_in_other_processes_where_there_are_any(backend):
    seen = set(Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(4)))
    assert (os.getpid() in seen) == (backend == "local")


def test_an_error_is_that_of_the_call_and_more_calls_can_be_made():
    with pytest.raises(ValueError, match="negative: -3"):
        Parallel(n_jobs=2)(delayed(square)(i if i != 3 else -3) for i in range(40))
    assert Parallel(n_jobs=2)(delayed(square)(i) for i in range(3)) == [0, 1, 4]


def test_a_large_argument_is_stored_once_for_all_calls(monkeypatch):
    stored = []
    monkeypatch.setattr(
        "air.util.joblib.backend.put", lambda value: stored.append(value) or air.put(value)
    )
    large = np.arange(SHARED_BYTES // 8)

    def total(values, factor, *, again):
        return int(values.sum()) * factor + int(again[-1])

    expected = [int(large.sum()) * i + len(large) - 1 for i in range(6)]
    calls = (delayed(total)(large, i, again=large) for i in range(6))
    assert Parallel(n_jobs=2)(calls) == expected
    assert len(stored) <= 1


def test_what_counts_as_large():
    assert _size_of(np.zeros(10)) == 80
    assert _size_of(pd.DataFrame({"a": np.zeros(1000)})) >= 8000
    assert _size_of(pd.Series(np.zeros(1000))) >= 8000
    assert _size_of(sparse.csr_matrix(np.eye(1000))) >= 8000
    assert _size_of("text") == _size_of(None) == _size_of([np.zeros(10)]) == 0


def test_calls_within_calls_run_in_order():
    def outer(number):
        return Parallel(n_jobs=2)(delayed(square)(i) for i in range(number))

    assert Parallel(n_jobs=2)(delayed(outer)(i) for i in range(4)) == [[], [0], [0, 1], [0, 1, 4]]


def test_how_many_calls_are_made_at_a_time(backend):
    jobs = AirBackend().effective_n_jobs
    parallel = backend == "cluster"
    assert jobs(None) == jobs(1) == 1
    assert jobs(-1) == (2 if parallel else 1)
    assert jobs(-2) == 1
    assert jobs(7) == (7 if parallel else 1)
    assert AirBackend(num_cpus=2).effective_n_jobs(-1) == 1
    with pytest.raises(ValueError, match="n_jobs is 0"):
        jobs(0)


def test_calls_hold_what_the_options_say(backend):
    def held():
        return air.get_runtime_context().get_assigned_resources().get("CPU")

    if backend == "local":
        pytest.skip("calls are made in this process")
    with joblib.parallel_config(backend="air", num_cpus=0.5):
        assert Parallel(n_jobs=2)(delayed(held)() for _ in range(3)) == [0.5] * 3
    with (
        pytest.raises(InvalidOption, match="num_cpu"),
        joblib.parallel_config(backend="air", num_cpu=2),
    ):
        Parallel(n_jobs=2)(delayed(held)() for _ in range(3))


def test_a_task_that_holds_every_cpu_makes_its_calls_itself(backend):
    @air.remote(num_cpus=4 if backend == "local" else 2)
    def whole():
        register_air()
        with joblib.parallel_config(backend="air"):
            return Parallel(n_jobs=-1)(delayed(square)(i) for i in range(3))

    assert air.get(whole.remote()) == [0, 1, 4]
