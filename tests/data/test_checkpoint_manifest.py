"""What is said of results that were made from something else; and which files make a unit done."""

from __future__ import annotations

import pytest

from air import data
from air.data.checkpointing.keepers import finished_files, key_of, lineages
from air.data.checkpointing.manifest import Manifest, StepMark, differences, manifest_of

A = ("a", 10, 1_700_000_000_000_000_000)
DAY = "2023-11-14 22:13"
B = ("b", 20, 1_700_000_000_000_000_000)


def manifest(*steps, **versions):
    return Manifest(tuple(steps), **versions)


def test_it_is_read_as_it_was_written():
    one = manifest(StepMark("ReadCSV", "x", (A, B)), StepMark("map(f)", "y"))
    assert Manifest.from_json(one.as_json()) == one
    assert differences(one, one) == []


@pytest.mark.parametrize("found", [{}, [], {"format": 0}, {"format": 1, "steps": []}])
def test_what_is_no_manifest(found):
    with pytest.raises((ValueError, KeyError)):
        Manifest.from_json(found)


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (
            manifest(StepMark("map(f)", "1")),
            manifest(StepMark("map(f)", "2")),
            ["map(f) is another: its code, its arguments or the values that it uses differ"],
        ),
        (
            manifest(StepMark("map(f)", "1")),
            manifest(StepMark("map(f)", "1"), StepMark("sort('a')", "1")),
            ["the steps were map(f), and are map(f) -> sort('a')"],
        ),
        (
            manifest(StepMark("Read", "1", (A,))),
            manifest(StepMark("Read", "2", (A, B))),
            ["b is read now"],
        ),
        (
            manifest(StepMark("Read", "1", (A, B))),
            manifest(StepMark("Read", "2", (B,))),
            ["a is read no more"],
        ),
        (
            manifest(StepMark("Read", "1", (A,))),
            manifest(StepMark("Read", "2", (("a", 11, A[2] + 1_500_000_000),))),
            [f"a was changed: 10 bytes of {DAY}:20.000000 then, 11 bytes of {DAY}:21.500000 now"],
        ),
        (
            manifest(StepMark("Read", "1", (A, B))),
            manifest(StepMark("Read", "2", (B, A))),
            ["the same files are read in another order"],
        ),
        (
            manifest(StepMark("ReadCSV", "1", (A,))),
            manifest(StepMark("ReadCSV", "2", (A,))),
            ["ReadCSV reads the same files in another way"],
        ),
        (
            manifest(air_version="0.0.1"),
            manifest(air_version="0.0.2"),
            ["it was made with air 0.0.1, and this is 0.0.2"],
        ),
        (
            manifest(python_version="3.11"),
            manifest(python_version="3.12"),
            ["it was made with Python 3.11, and this is 3.12, whose functions cannot be compared"],
        ),
    ],
)
def test_what_differs_is_said(then, now, said):
    assert differences(then, now) == said


def test_of_many_files_a_few_are_named():
    many = tuple((f"{number}.csv", 1, 1) for number in range(9))
    said = differences(manifest(StepMark("Read", "1")), manifest(StepMark("Read", "2", many)))
    assert said[0] == "0.csv is read now"
    assert said[-1] == "4 more files differ"


def test_where_functions_run_makes_no_difference():
    def f(row):
        return row

    one = data.range(10).map(f, num_cpus=2)
    other = data.range(10).map(f, concurrency=1)
    assert manifest_of(one.plan) == manifest_of(other.plan)


@pytest.mark.parametrize(
    "other",
    [
        data.range(11).map(abs),
        data.range(10, parallelism=2).map(abs),
        data.from_items(list(range(10))).map(abs),
        data.range(10).map(abs).limit(5),
        data.range(10).map(int),
        data.range(10).map_batches(abs),
    ],
)
def test_plans_that_differ(other):
    assert differences(manifest_of(data.range(10).map(abs).plan), manifest_of(other.plan))


def test_values_in_memory_count():
    same, other = data.from_items([1, 2, 3]), data.from_items([1, 2, 4])
    assert manifest_of(same.plan) == manifest_of(data.from_items([1, 2, 3]).plan)
    assert differences(manifest_of(same.plan), manifest_of(other.plan)) == [
        "from_items is another: its code, its arguments or the values that it uses differ"
    ]


def test_lineages_hold_the_numbers_and_rows_of_blocks():
    assert lineages("u", [3, 0, 2]) == ["u.0-0-3", "u.1-3-0", "u.2-3-2"]
    assert key_of("u.2-3-2.0-0-2") == key_of("u") == "u"


NOTES = {"u.parts": [3, 2], "u.0-0-3.parts": [3], "u.1-3-2.parts": [1, 1], "v.parts": []}
FILES = {"u.0-0-3.0-0-3.blocks", "u.1-3-2.0-0-1.blocks", "u.1-3-2.1-1-1.blocks"}


def test_a_unit_of_one_stage_is_done_when_its_file_is_there():
    assert finished_files("u", 1, {"u.blocks"}, NOTES.__getitem__) == ["u.blocks"]
    assert finished_files("u", 1, {"v.blocks"}, NOTES.__getitem__) is None


def test_a_unit_of_several_stages_is_done_when_all_that_came_of_it_is_there():
    names = {*NOTES, *FILES}
    assert finished_files("u", 3, names, NOTES.__getitem__) == sorted(FILES)
    assert finished_files("v", 3, names, NOTES.__getitem__) == []
    for missing in names - {"v.parts"}:
        assert finished_files("u", 3, names - {missing}, NOTES.__getitem__) is None
