"""Directories as zips: what is in them, how they are known, how they are unpacked."""

from __future__ import annotations

import logging
import os
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from air.errors import RuntimeEnvSetupError
from air.executor import package_files, packages
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


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    logger = logging.getLogger("air")
    before, logger.propagate = logger.propagate, True
    yield lambda: caplog.text
    logger.propagate = before


def test_what_may_not_be_meant_is_said_by_name(tmp_path: Path, warned: Callable[[], str]) -> None:
    source = fill(tmp_path / "src", "sub/a.txt")
    fill(tmp_path / "other", "b.txt")
    (source / "within").symlink_to("sub")
    (source / "tied").symlink_to("sub/a.txt")
    assert files_in(unpacked(tmp_path, pack(str(source)))) == ["sub/a.txt", "tied", "within/a.txt"]
    assert warned() == ""
    (source / "out").symlink_to(tmp_path / "other")
    (source / "file").symlink_to("../other/b.txt")
    (source / "broken").symlink_to("nowhere")
    (source / "self").symlink_to("self")
    package = pack(str(source), ["within", "tied"])
    assert files_in(unpacked(tmp_path, package)) == ["file", "out/b.txt", "sub/a.txt"]
    text = warned()
    assert (
        f"links outside it point to goes along: out -> {tmp_path}/other, file -> ../other" in text
    )
    assert "links to nothing are left out: broken -> nowhere, self -> self" in text
    pack(str(source), ["within", "tied", "out", "file", "broken", "self"])
    assert warned() == text


def test_a_link_to_what_it_lies_in_is_left_out(tmp_path: Path, warned: Callable[[], str]) -> None:
    source = fill(tmp_path / "src", "a.txt", "sub/b.txt")
    fill(tmp_path, "beside.txt")
    (source / "loop").symlink_to("..")
    (source / "sub" / "root").symlink_to("/")
    assert files_in(unpacked(tmp_path, pack(str(source)))) == ["a.txt", "sub/b.txt"]
    assert "links to what they lie in are left out: loop -> .., sub/root -> /" in warned()


def test_links_that_multiply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_files, "MOST_FILES", 100)
    source = fill(tmp_path / "src", *(f"{name}/file" for name in "abcde"))
    assert len(files_in(unpacked(tmp_path, pack(str(source))))) == 5
    for one in "abcde":
        for other in "abcde":
            (source / one / f"to-{other}").symlink_to(source / other)
    with pytest.raises(RuntimeEnvSetupError, match="more than 100 files"):
        pack(str(source))


def test_what_lets_others_into_a_cluster_never_goes_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warned: Callable[[], str]
) -> None:
    source = fill(tmp_path / "src", "a.txt", "air-0-17-x_y1/token", "air-0-crashed-ab/logs/b.txt")
    fill(tmp_path, "air-1-2-zz/logs/out", "air-1-2-zz/lock")
    secrets = {"cluster.token": "0a" * 32 + "\n", "tls": "0a" * 32 + "\n-----BEGIN X-----\n"}
    for name, content in secrets.items():
        (source / name).touch(0o600)
        (source / name).write_text(content)
    fill(source, "chosen").joinpath("chosen").chmod(0o600)
    monkeypatch.setenv("AIR_TOKEN_FILE", str(source / "chosen"))
    (source / "digest").write_text("0a" * 32)  # everybody may read that
    (source / "logs").symlink_to(tmp_path / "air-1-2-zz" / "logs")
    (source / "lock").symlink_to(tmp_path / "air-1-2-zz" / "lock")
    assert files_in(unpacked(tmp_path, pack(str(source)))) == ["a.txt", "digest"]
    assert "let others into a cluster, and are left out: air-0-17-x_y1/, air-0-cra" in warned()
    inner = fill(source / "air-0-17-x_y1" / "environments" / "key", "c.txt")
    assert files_in(unpacked(tmp_path, pack(str(inner)))) == ["c.txt"]


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
