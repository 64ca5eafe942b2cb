"""What writes leave that are killed, at any moment, and what the next write makes of it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal

import pytest

from air import data
from air.data.writing.staging import area, leftovers, moves

pytestmark = pytest.mark.usefixtures("backend")


def write(path, values, **options):
    data.from_items([{"a": value} for value in values], parallelism=2).write_json(path, **options)


def values(path):
    return [row["a"] for row in data.read_json(path).take_all()]


def killed(path, mode, where, patches=()):
    """A write of 8 and 9 that is killed when it comes to the function *where*."""

    def run():
        for module, name, value in patches:
            setattr(module, name, value)
        module, name = where
        setattr(module, name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        write(path, [8, 9], mode=mode)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def cannot(*_):
    return False


STEPS = {
    "before all are there": ("overwrite", (area.Staging, "publish"), (), [1]),
    "after they traded places": ("overwrite", (area, "remove"), (), [8, 9]),
    "append, before any moves": ("append", (leftovers, "move_files"), (), [1, 8, 9]),
    "append, after all moved": ("append", (leftovers, "remove"), (), [1, 8, 9]),
    "one by one, before any moves": (
        "overwrite",
        (leftovers, "move_files"),
        [(area, "renames_directories", cannot)],
        [8, 9],
    ),
    "one by one, before old ones go": (
        "overwrite",
        (leftovers, "delete_files"),
        [(area, "renames_directories", cannot)],
        [8, 9],
    ),
    "two renames, between them": ("overwrite", (area, "move"), [(area, "exchange", cannot)], [1]),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_write_that_is_killed(tmp_path, step):
    mode, where, patches, left = STEPS[step]
    target = tmp_path / "x"
    write(target, [1])
    killed(target, mode, where, patches)
    # The next write finds the old rows or the new ones, whole, and nothing else stays.
    write(target, [5])
    assert values(target) == [*left, 5]
    assert os.listdir(tmp_path) == ["x"]
    assert not [name for name in os.listdir(target) if name.startswith((".", "_"))]


def test_a_missing_directory_says_where_its_files_are(tmp_path):
    write(tmp_path / "x", [1])
    between = STEPS["two renames, between them"]
    killed(tmp_path / "x", *between[:3])
    with pytest.raises(FileNotFoundError, match=r"cut short.*The next write"):
        data.read_json(tmp_path / "x")


def test_what_others_write_at_the_same_time_is_left_alone(tmp_path):
    target = tmp_path / "x"
    for mode in ("append", "overwrite"):
        for start in ([], [1]):

            def write_another(row, start=start):
                write(target, [2])
                return row

            write(target, start, mode="overwrite")
            data.from_items([{"a": 3}]).map(write_another).write_json(target, mode=mode)
            assert values(target) == ([3] if mode == "overwrite" else [*start, 3, 2])
            assert os.listdir(tmp_path) == ["x"]


def test_what_is_not_ours_stays(tmp_path):
    names = [".x", ".x.y-old", ".20240101T000000000000-01234567.txt", ".hidden"]
    for name in names:
        (tmp_path / "x" / name).mkdir(parents=True)
    (tmp_path / ".y.20240101T000000000000-01234567").mkdir()
    write(tmp_path / "x", [1])
    assert set(names) < set(os.listdir(tmp_path / "x"))
    assert sorted(os.listdir(tmp_path)) == [".y.20240101T000000000000-01234567", "x"]


def test_a_plan_that_was_cut_short_is_none(tmp_path):
    hidden = tmp_path / "x" / ".20240101T000000000000-01234567"
    hidden.mkdir(parents=True)
    (hidden / "1.json").write_text('{"a": 1}\n')
    (hidden / "_plan.json").write_text(json.dumps({"moved": ["1.json"]})[:-3])
    write(tmp_path / "x", [2])
    assert values(tmp_path / "x") == [2]
    assert not hidden.exists()


def test_directories_trade_places(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    system = leftovers.fs.LocalFileSystem()
    assert moves.exchange(system, str(tmp_path / "a"), str(tmp_path / "b"))
    assert os.listdir(tmp_path / "a") == ["b"]
    assert not moves.exchange(system, str(tmp_path / "a"), str(tmp_path / "c"))
