"""Directories as zips: what is in them, how they are known, how they are unpacked."""

from __future__ import annotations

import os
import socket
import threading
import zipfile
from pathlib import Path

import pytest

from air.errors import RuntimeEnvSetupError
from air.executor import packages
from air.executor.packages import pack, unpack_once


def fill(directory: Path, *names: str) -> Path:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return directory


def files_in(directory: str) -> list[str]:
    top = Path(directory)
    return sorted(str(p.relative_to(top)) for p in top.rglob("*") if not p.is_dir())


def unpacked(tmp_path: Path, package: packages.Package) -> str:
    return unpack_once(str(tmp_path / "unpacked"), package.key, lambda: package.content)


def test_content_comes_back(tmp_path: Path) -> None:
    source = fill(tmp_path / "src", "a.txt", "sub/b.txt", "sub/__pycache__/c.pyc", ".git/config")
    fill(source, ".venv/pyvenv.cfg", ".venv/lib/large.py")
    (source / "empty").mkdir()
    (source / "tool.sh").write_text("#!/bin/sh\n")
    (source / "tool.sh").chmod(0o755)
    place = unpacked(tmp_path, pack(str(source)))
    assert files_in(place) == ["a.txt", "sub/b.txt", "tool.sh"]
    assert Path(place, "sub/b.txt").read_text() == "sub/b.txt"
    assert Path(place, "empty").is_dir()
    assert os.access(Path(place, "tool.sh"), os.X_OK)
    assert not os.access(Path(place, "a.txt"), os.X_OK)
    inside = unpacked(tmp_path, pack(str(source), within="src"))
    assert files_in(inside) == ["src/a.txt", "src/sub/b.txt", "src/tool.sh"]


def test_equal_content_has_an_equal_key(tmp_path: Path) -> None:
    one = fill(tmp_path / "one", "a.txt", "sub/b.txt")
    two = fill(tmp_path / "two", "sub/b.txt", "a.txt")
    os.utime(two / "a.txt", (1, 1))
    assert pack(str(one)) == pack(str(two))
    keys = {pack(str(one)).key, pack(str(one), within="one").key}
    (two / "a.txt").write_text("other")
    keys.add(pack(str(two)).key)
    (one / "a.txt").chmod(0o700)
    keys.add(pack(str(one)).key)
    (one / "a.txt").rename(one / "c.txt")
    keys.add(pack(str(one)).key)
    assert len(keys) == 5


def test_the_key_does_not_change_from_one_release_to_the_next(tmp_path: Path) -> None:
    source = fill(tmp_path / "src", "a.txt", "sub/b.txt")
    assert pack(str(source)).key == "42026e75990f26074d84b9ef274badfc"


@pytest.mark.parametrize(
    ("excludes", "left"),
    [
        (["*.bin"], ["data/d.txt", "keep/data/e.txt", "x.txt"]),
        (["data/"], ["a.bin", "keep/b.bin", "x.txt"]),
        (["keep/data"], ["a.bin", "data/d.txt", "keep/b.bin", "x.txt"]),
        (["/x.txt", "./keep/*.bin"], ["a.bin", "data/d.txt", "keep/data/e.txt"]),
        (["x.txt/", "nothing"], ["a.bin", "data/d.txt", "keep/b.bin", "keep/data/e.txt", "x.txt"]),
    ],
)
def test_what_is_left_out(tmp_path: Path, excludes: list[str], left: list[str]) -> None:
    names = ["a.bin", "data/d.txt", "keep/b.bin", "keep/data/e.txt", "x.txt"]
    source = fill(tmp_path / "src", *names)
    assert files_in(unpacked(tmp_path, pack(str(source), excludes))) == left


def test_links_count_as_what_they_point_to(tmp_path: Path) -> None:
    source = fill(tmp_path / "src", "sub/a.txt")
    fill(tmp_path / "other", "b.txt")
    (source / "file").symlink_to(tmp_path / "other" / "b.txt")
    (source / "directory").symlink_to(tmp_path / "other")
    (source / "sub" / "circle").symlink_to(source)
    (source / "broken").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(source / "socket"))
        place = unpacked(tmp_path, pack(str(source)))
    assert files_in(place) == ["directory/b.txt", "file", "sub/a.txt"]


def test_single_files(tmp_path: Path) -> None:
    fill(tmp_path, "module.py", "broken.whl")
    assert files_in(unpacked(tmp_path, pack(str(tmp_path / "module.py")))) == ["module.py"]
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("x/y.txt", "")
    assert files_in(unpacked(tmp_path, pack(str(tmp_path / "some.zip")))) == ["x/y.txt"]
    with pytest.raises(RuntimeEnvSetupError, match="no zip file"):
        pack(str(tmp_path / "broken.whl"))
    with pytest.raises(RuntimeEnvSetupError, match="No such file"):
        pack(str(tmp_path / "missing"))


def test_what_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "MAX_BYTES", 3 << 20)
    source = fill(tmp_path / "src", "small")
    (source / "weights.bin").write_bytes(bytes(4 << 20))
    with pytest.raises(RuntimeEnvSetupError, match=r"4 MiB.*at most 3 MiB.*weights\.bin \(4 MiB\)"):
        pack(str(source))
    assert pack(str(source), ["*.bin"])


def test_it_is_unpacked_once(tmp_path: Path) -> None:
    package = pack(str(fill(tmp_path / "src", "a.txt")))
    asked = []

    def content() -> bytes:
        asked.append(1)
        return package.content

    def unpack() -> None:
        unpack_once(str(tmp_path / "unpacked"), package.key, content)

    threads = [threading.Thread(target=unpack) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1


def test_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    with pytest.raises(zipfile.BadZipFile):
        unpack_once(str(tmp_path / "unpacked"), "key", lambda: b"no zip file")
    assert os.listdir(tmp_path / "unpacked") == ["key.lock"]
