from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d+\.\d+")


def run_example(name, tmp_path, backend, *arguments):
    """What an example prints, run as a person would run it."""
    environment = {**os.environ, "AIR_BACKEND": backend, "AIR_RESULTS": str(tmp_path)}
    process = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.parametrize("backend", ["local", pytest.param("cluster", marks=pytest.mark.slow)])
def test_the_quickstart_prints_what_the_readme_shows(tmp_path, backend):
    printed = run_example("quickstart.py", tmp_path, backend)
    [shown] = re.findall(r"```\n\S+python examples/quickstart.py\n(.*?)```", README, re.DOTALL)
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", shown)
    numbers = [float(number) for number in NUMBER.findall(printed)]
    assert numbers == pytest.approx([float(each) for each in NUMBER.findall(shown)], abs=0.002)
    assert numbers[-1] >= 0.94


@pytest.mark.parametrize("backend", ["local", pytest.param("cluster", marks=pytest.mark.slow)])
def test_the_tour_of_datasets(tmp_path, backend):
    assert run_example("data_tour.py", tmp_path, backend).splitlines() == [
        "made 1000 rows, the last one {'n': 999, 'square': 998001}",
        "read 150 rows of sepal.length, sepal.width, petal.length, petal.width, variety",
        "33 flowers have more than 10 cm² of petal: ['Virginica']",
        "saved and read 33 rows, the same: True",
        "four actors got 45 + 45 + 30 + 30 rows",
        "four actors got 37 + 37 + 37 + 37 rows",
    ]


@pytest.mark.parametrize("backend", ["local", pytest.param("cluster", marks=pytest.mark.slow)])
def test_a_forest_of_scikit_learn(tmp_path, backend):
    assert run_example("train_sklearn.py", tmp_path, backend).splitlines() == [
        "accuracy of 5 folds: 0.945 +- 0.020",
        "of new rows: 0.942, area 0.989",
        "sure of 135 of 171 rows, and right in 133 of these",
    ]


@pytest.mark.parametrize("backend", ["local", pytest.param("cluster", marks=pytest.mark.slow)])
def test_trees_of_two_libraries(tmp_path, backend):
    printed = run_example("train_trees.py", tmp_path, backend).splitlines()
    said = [line for line in printed if line.startswith(("XGBoost: ", "LightGBM: "))]
    assert said[0] == "XGBoost: the best of 66 rounds is 61: 0.06"
    # Two workers of LightGBM find bins of their own.
    assert re.fullmatch(r"LightGBM: the best of [2-4]\d rounds is [2-4]\d: 0.06", said[2])
    right = [int(re.search(r"right in (\d+) of 114 new rows", line)[1]) for line in said[1::2]]
    assert len(right) == 2
    assert min(right) >= 106


@pytest.mark.torch
@pytest.mark.parametrize("backend", ["local", pytest.param("cluster", marks=pytest.mark.slow)])
def test_digits_are_told_apart(tmp_path, backend):
    pytest.importorskip("torch")
    assert run_example("train_torch_digits.py", tmp_path, backend).splitlines() == [
        "trained 8 epochs; the loss fell: True",
        "of 360 new images at least 95 % are right: True",
    ]


@pytest.mark.parametrize("backend", ["local", pytest.param("cluster", marks=pytest.mark.slow)])
def test_images_become_tensors(tmp_path, backend):
    assert run_example("data_images_to_tensors.py", tmp_path, backend).splitlines() == [
        "read 1797 images, of the shape (16, 16)",
        "saved tensors of float32",
        "1437 to train with, in batches of (64, 16, 16); 360 to test",
        "wrote 10 average digits; the brightest pixel has 237",
    ]


@pytest.mark.parametrize("backend", ["local", pytest.param("cluster", marks=pytest.mark.slow)])
def test_a_table_of_a_database_becomes_parquet(tmp_path, backend):
    assert run_example("data_sql_to_parquet.py", tmp_path, backend).splitlines() == [
        "read 19000 orders in 8 parts",
        "saved 19000 orders of Basel, Genf, Zürich",
        "Basel: 6272 orders for 392251.25",
        "Genf: 6266 orders for 391633.75",
        "Zürich: 6272 orders for 391740.00",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["local", "cluster"])
def test_data_larger_than_memory_are_sorted(tmp_path, backend):
    assert run_example("data_larger_than_memory.py", tmp_path, backend, "64").splitlines() == [
        "wrote 2796202 rows, 64 MiB of numbers",
        "read 2796202 rows, sorted by sensor and second: True",
    ]


@pytest.mark.slow
def test_the_benchmark_of_scaling_runs(tmp_path):
    process = subprocess.run(
        [sys.executable, "benchmarks/scaling.py", "--quick", "--csv", str(tmp_path / "numbers")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    rows = (tmp_path / "numbers").read_text().splitlines()
    for part in ("nodes", "core", "objects"):
        assert sum(row.startswith(f"{part},") for row in rows) >= 8
    assert process.stdout.count("| growth |") == 3
