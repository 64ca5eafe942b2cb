from __future__ import annotations

import os
import pickle
import shutil
import tempfile
import threading
from pathlib import Path

import pytest

from air.checkpoint import Checkpoint
from air.errors import InvalidOption, SerializationError


class Scale:
    """Stands in for a preprocessor; only its way through a checkpoint matters here."""

    def __init__(self, by: float) -> None:
        self.by = by

    def transform_batch(self, batch: float) -> float:
        return batch * self.by

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scale) and other.by == self.by

    def __hash__(self) -> int:
        return hash(self.by)


@pytest.fixture
def tree(tmp_path):
    directory = tmp_path / "made"
    (directory / "parts").mkdir(parents=True)
    (directory / "model.bin").write_bytes(b"\x00\x01")
    (directory / "parts" / "a.txt").write_text("a")
    return directory


def test_a_dict_comes_back_from_every_place(tmp_path):
    data = {"weights": [1.0, 2.0], "step": 7}
    checkpoint = Checkpoint.from_dict(data)

    assert checkpoint.to_dict() == data
    assert Checkpoint.from_bytes(checkpoint.to_bytes()).to_dict() == data
    path = checkpoint.to_directory(tmp_path / "c")
    assert Checkpoint.from_directory(path).to_dict() == data
    uri = checkpoint.to_uri(f"file://{tmp_path}/u")
    assert Checkpoint.from_uri(uri).to_dict() == data
    assert pickle.loads(pickle.dumps(checkpoint)).to_dict() == data


def test_files_come_back_from_every_place(tree, tmp_path):
    checkpoint = Checkpoint.from_directory(tree)
    assert checkpoint.path == str(tree)
    assert checkpoint.uri == f"file://{tree}"

    for same in (
        Checkpoint.from_bytes(checkpoint.to_bytes()),
        Checkpoint.from_dict(checkpoint.to_dict()),
        Checkpoint.from_directory(checkpoint.to_directory(tmp_path / "copy")),
        checkpoint.in_memory(),
    ):
        with same.as_directory() as path:
            assert Path(path, "model.bin").read_bytes() == b"\x00\x01"
            assert Path(path, "parts", "a.txt").read_text() == "a"


def test_a_uri_of_a_directory_is_written_as_uris_are(tree, tmp_path):
    target = tmp_path / "50 % of it, ü"
    uri = Checkpoint.from_directory(tree).to_uri(target.as_uri())
    assert uri == target.as_uri()
    assert os.listdir(target)
    for given in (uri, f"file://{target}", f"file://localhost{target}"):
        assert Checkpoint.from_uri(given).path == str(target)
    assert Checkpoint.from_directory(target).uri == uri
    for given in ("file://made", "file://elsewhere/made", "file://"):
        with pytest.raises(InvalidOption, match="like 'file:///data/model', got"):
            Checkpoint.from_uri(given)


def test_reading_does_not_copy_a_directory_and_cleans_up_a_temporary_one(tree):
    with Checkpoint.from_directory(tree).as_directory() as path:
        assert path == str(tree)
    with Checkpoint.from_dict({"a": 1}).as_directory() as path:
        assert Checkpoint.from_directory(path).to_dict() == {"a": 1}
    with pytest.raises(FileNotFoundError):
        Checkpoint.from_directory(path)


def test_the_preprocessor_goes_wherever_the_checkpoint_goes(tree, tmp_path):
    for number, checkpoint in enumerate(
        [Checkpoint.from_dict({"a": 1}), Checkpoint.from_directory(tree)]
    ):
        assert checkpoint.get_preprocessor() is None
        checkpoint.set_preprocessor(Scale(2.0))
        written = Checkpoint.from_directory(checkpoint.to_directory(tmp_path / str(number)))
        assert written.get_preprocessor() == Scale(2.0)
        assert Checkpoint.from_bytes(checkpoint.to_bytes()).get_preprocessor() == Scale(2.0)
        assert Checkpoint.from_dict(checkpoint.to_dict()).get_preprocessor() == Scale(2.0)
        with checkpoint.as_directory() as path:
            assert Checkpoint.from_directory(path).get_preprocessor() == Scale(2.0)
    assert sorted(p.name for p in tree.iterdir()) == ["model.bin", "parts"]


def test_a_checkpoint_of_another_class_shares_the_place(tree):
    class Mine(Checkpoint):
        pass

    mine = Mine.from_checkpoint(Checkpoint.from_directory(tree))
    assert isinstance(mine, Mine)
    assert mine.path == str(tree)


def test_a_directory_appears_whole_or_not_at_all(tmp_path):
    checkpoint = Checkpoint.from_dict({"a": 1})
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").touch()
    with pytest.raises(FileExistsError, match="taken exists already"):
        checkpoint.to_directory(taken)

    class Unpicklable:
        def __reduce__(self):
            raise ValueError("not me")

    with pytest.raises(ValueError, match="not me"):
        Checkpoint.from_dict({"a": Unpicklable()}).to_directory(tmp_path / "new")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Checkpoint(), InvalidOption, "exactly one of"),
        (lambda: Checkpoint("x", {"a": 1}), InvalidOption, "got 2 of them"),
        (lambda: Checkpoint.from_directory("/nowhere/c"), FileNotFoundError, "/nowhere/c"),
        (lambda: Checkpoint.from_directory(__file__), NotADirectoryError, "is a file"),
        (lambda: Checkpoint.from_uri("bucket/path"), InvalidOption, "s3://"),
        (lambda: Checkpoint.from_dict([1]), TypeError, "takes a dict, got list"),
        (lambda: Checkpoint.from_checkpoint("c"), TypeError, "got str"),
    ],
)
def test_what_is_no_checkpoint_is_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_repr_says_where_it_is(tree):
    assert repr(Checkpoint.from_directory(tree)) == f"Checkpoint({str(tree)!r})"
    assert repr(Checkpoint.from_dict({"step": 1})) == "Checkpoint(in memory: step)"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c: Checkpoint(data_dct={}), InvalidOption, "Did you mean 'data_dict'"),
        (lambda c: Checkpoint.from_directory(5), TypeError, "given by its path, got 5"),
        (lambda c: Checkpoint.from_uri(5), InvalidOption, "looks like 's3://bucket/path', got 5"),
        (lambda c: Checkpoint.from_bytes("x"), TypeError, "what to_bytes"),
        (lambda c: Checkpoint.from_bytes(b"xx"), ValueError, "which these 2 bytes are not"),
        (lambda c: Checkpoint.from_bytes(pickle.dumps(3)), ValueError, "they hold something else"),
        (
            lambda c: Checkpoint.from_bytes(pickle.dumps({"a": 3})),
            ValueError,
            "they hold something else",
        ),
        (lambda c: Checkpoint.from_uri("zzz://a/b").to_dict(), InvalidOption, "'zzz://a/b'"),
        (lambda c: c.to_uri(5), InvalidOption, "takes a URI"),
        (lambda c: c.set_preprocessor(5), TypeError, "one of air.data.preprocessors"),
    ],
)
def test_misuse_is_explained(call, error, message):
    with pytest.raises(error, match=message):
        call(Checkpoint.from_dict({"a": 1}))


def test_content_that_cannot_be_pickled_is_named_and_nothing_is_written(tmp_path):
    checkpoint = Checkpoint.from_dict({"a": [1, threading.Lock()]})
    with pytest.raises(SerializationError, match=r"its content\['a'\]\[1\] is a lock"):
        checkpoint.to_directory(tmp_path / "made")
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_gone_is_said_to_be(tree, tmp_path):
    checkpoint = Checkpoint.from_directory(tree)
    shutil.rmtree(tree)
    with pytest.raises(FileNotFoundError, match=f"The checkpoint at {tree} is gone"):
        checkpoint.to_dict()
    with pytest.raises(FileNotFoundError, match="is gone"):
        checkpoint.get_preprocessor()
    with pytest.raises(FileNotFoundError, match="is gone"):
        checkpoint.to_directory(tmp_path / "copy")
    with pytest.raises(FileNotFoundError, match="is gone"), checkpoint.as_directory():
        pass
    assert not list(tmp_path.iterdir())


def test_a_dict_with_the_key_of_files_is_a_dict():
    data = {"_files": 3}
    assert Checkpoint.from_dict(data).to_dict() == data


def test_a_tilde_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = Checkpoint.from_dict({"a": 1}).to_directory("~/kept")
    assert path == str(tmp_path / "kept")
    assert Checkpoint.from_directory("~/kept").to_dict() == {"a": 1}


def test_an_interrupt_at_any_moment_leaves_nothing_half_written(tmp_path, monkeypatch):
    def interrupted(path, mode=0o777):
        mkdir(path, mode)
        if path.endswith("unfinished"):
            raise KeyboardInterrupt

    mkdir = os.mkdir
    monkeypatch.setattr(os, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Checkpoint.from_dict({"a": 1}).to_directory(tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_leaves_no_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SerializationError):
        Checkpoint.from_dict({"a": threading.Lock()}).to_directory()
    assert not list(tmp_path.iterdir())
