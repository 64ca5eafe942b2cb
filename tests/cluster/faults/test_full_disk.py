"""A disk that is really full while values are spilled to it: one of 24 MB, in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PRELUDE = """
import glob, os, re
import numpy as np
import air
from air.errors import ObjectLost, ObjectStoreFull
from air.executor.current import get_executor

MB = 1_000_000

def array(number):
    return np.full(5 * MB // 8, float(number))

@air.remote
def make(number):
    return array(number)

@air.remote
def first(found):
    return float(found[0])

def fill():
    "Put until there is no room, neither in memory nor on disk."
    kept = []
    try:
        for number in range(100):
            kept.append(air.put(array(number)))
    except ObjectStoreFull as error:
        return kept, str(error)
    raise SystemExit("the disk is not full")

def refused(function):
    try:
        function()
    except ObjectStoreFull as error:
        return str(error)
    raise SystemExit("there was room")

def files():
    return [p for p in glob.glob(os.environ["TMPDIR"] + "/air-*/spilled/*/*")
            if not p.endswith("lock")]

air.init(num_cpus=2, object_store_memory=60 * MB, log_to_driver=False)
"""


def why_not_here() -> str:
    """Why no file system can be mounted for one program; empty if one can."""
    if shutil.which("unshare") is None:
        return "the command unshare (util-linux) is not installed"
    probe = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    done = subprocess.run(probe, capture_output=True, text=True, timeout=30, check=False)
    return f"nothing can be mounted: {done.stderr.strip()}" if done.returncode else ""


_WHY_NOT = why_not_here()
pytestmark = pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT)


def run(text: str, tmp_path: Path, disk_mb: int = 24) -> list[str]:
    """What a program prints whose temporary directory is a disk of its own."""
    program = tmp_path / "program.py"
    program.write_text(PRELUDE + textwrap.dedent(text))
    disk = f"/tmp/air-disk-{os.getpid()}"  # paths of sockets are short
    os.mkdir(disk)
    try:
        done = subprocess.run(
            [
                "unshare", "-m",
                "sh", "-c", 'mount -t tmpfs -o "size=$1" tmpfs "$2" && exec "$3" "$4"', "sh",
                f"{disk_mb}m", disk, sys.executable, str(program),
            ],
            env={**os.environ, "TMPDIR": disk, "AIR_BACKEND": "cluster"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )  # fmt: skip
    finally:
        os.rmdir(disk)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_error_names_disk_size_and_what_to_do(tmp_path: Path) -> None:
    put, task = run(
        """
        kept, error = fill()
        print(error)
        print(refused(lambda: air.get(make.remote(1), timeout=60)))
        """,
        tmp_path,
    )
    for error in (put, task):
        assert "of the 60000000 bytes of this node's object store are in use" in error
        assert "the disk is full (/tmp/air-disk-" in error
        assert "bytes are free; make room there" in error
        assert "larger object_store_memory" in error


def test_it_goes_on_once_there_is_room(tmp_path: Path) -> None:
    """Room in memory, or on the disk: whichever comes."""
    found = run(
        """
        kept, _ = fill()
        print(len(files()) > 0)
        del kept[:2]
        print(air.get(make.remote(7), timeout=60)[0])
        print(sorted({first for first in air.get([first.remote(ref) for ref in kept])})
              == list(range(2, len(kept) + 2)))
        del kept
        for number in range(50):
            assert air.get(air.put(array(number)))[0] == number
        print(air.get(first.remote(array(3))))
        """,
        tmp_path,
    )
    assert found == ["True", "7.0", "True", "3.0"]


def test_what_is_on_disk_can_be_read_there(tmp_path: Path) -> None:
    """While neither memory nor disk has room, by the program and by tasks; it stays until then."""
    found = run(
        """
        kept, _ = fill()
        all_of_them = air.get(kept, timeout=60)
        print([found[0] for found in all_of_them] == list(range(len(kept))))
        print(sum(found.nbytes for found in all_of_them) > 60 * MB, len(files()) > 0)
        print(all_of_them[0].flags.writeable)
        count = len(kept)
        print(air.get([first.remote(ref) for ref in kept], timeout=60) == list(range(count)))
        del kept
        for number in range(2):
            refused(lambda: air.put(array(number)))
        print([found[-1] for found in all_of_them] == list(range(count)))
        del all_of_them
        print(air.get(air.put(array(3)))[0])
        """,
        tmp_path,
    )
    assert found == ["True", "True True", "False", "True", "True", "3.0"]


def test_a_disk_that_others_have_filled(tmp_path: Path) -> None:
    """Nothing is spilled, nothing is lost; once they have made room it is."""
    found = run(
        """
        file = os.open(os.environ["TMPDIR"] + "/of another program", os.O_CREAT | os.O_WRONLY)
        try:
            while True:
                os.write(file, bytes(1 << 12))
        except OSError:
            os.close(file)
        kept, error = fill()
        print("the disk is full" in error, len(kept), files())
        print([air.get(ref)[0] for ref in kept] == list(range(len(kept))))
        os.unlink(os.environ["TMPDIR"] + "/of another program")
        more = [air.put(array(number)) for number in range(3)]
        print([float(air.get(ref)[0]) for ref in [*kept, *more][-6:]])
        """,
        tmp_path,
    )
    assert found[0] == "True 11 []"
    assert found[1] == "True"
    assert found[2] == "[8.0, 9.0, 10.0, 0.0, 1.0, 2.0]"


@pytest.mark.parametrize("harm", ["os.unlink(path)", "os.truncate(path, 1_000_000)"])
def test_a_file_that_somebody_has_harmed(tmp_path: Path, harm: str) -> None:
    """What a task has made is made again; what was put is lost, by name."""
    found = run(
        f"""
        made = [make.remote(number) for number in range(4)]
        air.wait(made, num_returns=4)
        kept = [air.put(array(number)) for number in range(11)]
        for path in files():
            {harm}
        print([float(air.get(ref, timeout=60)[0]) for ref in made[:2]])
        print(air.get([first.remote(ref) for ref in made], timeout=60))
        more = [air.put(array(number)) for number in range(3)]
        for path in files():
            {harm}
        kept += more
        lost = []
        for number, ref in enumerate(kept):
            try:
                assert air.get(ref, timeout=60)[0] == number % 11
            except ObjectLost as error:
                assert ref.hex() in str(error) and "was lost on disk" in str(error), error
                lost.append(ref)
        print(len(lost) > 0)
        try:
            air.get(first.remote(lost[0]), timeout=60)
        except ObjectLost as error:
            print("was lost on disk" in str(error))
        print(air.get(first.remote(array(3))))
        """,
        tmp_path,
        disk_mb=100,
    )
    assert found == ["[0.0, 1.0]", "[0.0, 1.0, 2.0, 3.0]", "True", "True", "3.0"]
