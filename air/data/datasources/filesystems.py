"""The file systems that paths are in: local ones, Arrow's, fsspec's and the package's examples."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from air.errors import InvalidOption
from air.executor.extras import import_extra
from air.executor.validation import listing, nearest

PathLike = str | os.PathLike[str]

EXAMPLE = "example://"
"""How paths of the tables begin that come with the package."""

_EXAMPLES = Path(__file__).parents[1] / "examples"
_OF_ARROW = frozenset({"file", "s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss", "mock"})
_OF_BUCKETS = frozenset({"s3", "gs", "gcs"})
_SCHEMES_OF = {
    "local": ("file",),
    "s3": ("s3",),
    "gcs": ("gs", "gcs"),
    "hdfs": ("hdfs", "viewfs"),
    "abfs": ("abfs", "abfss"),
}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_OPTIONS = re.compile(r"\w+=[^&]*(&\w+=[^&]*)*")


def filesystem_of(path: PathLike, filesystem: Any) -> tuple[Any, str]:
    """The file system that *path* is in, and the path there; local ones made absolute.

    URIs that Arrow does not know are fsspec's, such as ``memory://``; ``example://iris.csv`` is a
    table that comes with the package.

    Raises:
        TypeError: no path, or no file system.
        FileNotFoundError: there is no such example; names those that there are.
        InvalidOption: nothing knows such URIs, or fsspec lacks a library for them; names it. Or
            *path* is a URI of another file system than *filesystem*.
        ImportError: fsspec is needed and not installed; says how to install it.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise TypeError(f"path must be text or a pathlib.Path, got {path!r:.80}")
    text = os.fspath(path)
    if text.startswith(EXAMPLE):
        return fs.LocalFileSystem(), _example(text)
    if filesystem is not None:
        system = _as_arrow(filesystem)
        return system, _inside(system, text)
    scheme, separator, _ = text.partition("://")
    if not separator:
        return fs.LocalFileSystem(), os.path.abspath(os.path.expanduser(text))
    if scheme not in _OF_ARROW:
        return _of_fsspec(text)
    if scheme in _OF_BUCKETS:
        return _in_bucket(text)
    return _from_uri(text, text)


def _in_bucket(text: str) -> tuple[Any, str]:
    """The place of ``s3://bucket/key?options``; keys are what they are, with blanks and ``%``."""
    scheme, _, rest = text.partition("://")
    rest, mark, options = rest.rpartition("?")
    if not mark or not _OPTIONS.fullmatch(options):
        rest, options = f"{rest}{mark}{options}", ""
    bucket, slash, key = rest.partition("/")
    if not bucket:
        raise InvalidOption(f"path {text!r} names no bucket: it is {scheme}://bucket/key")
    system, inside = _from_uri(f"{scheme}://{bucket}" + (f"?{options}" if options else ""), text)
    return system, inside.rstrip("/") + slash + key.strip("/") if key else inside.rstrip("/")


def _from_uri(uri: str, text: str) -> tuple[Any, str]:
    try:
        system, inside = fs.FileSystem.from_uri(uri)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidOption(f"path {text!r}: {error}") from None
    return system, inside


def _inside(system: Any, text: str) -> str:
    """The path that *text*, which may be a URI, is in *system*."""
    scheme, separator, rest = text.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        return text
    if isinstance(system, fs.PyFileSystem) and isinstance(system.handler, fs.FSSpecHandler):
        inner = system.handler.fs
        protocols = (inner.protocol,) if isinstance(inner.protocol, str) else inner.protocol
        if scheme in protocols:
            return str(inner._strip_protocol(text))
    elif scheme in _SCHEMES_OF.get(system.type_name, ()):
        return rest
    raise InvalidOption(
        f"path {text!r} is not in the file system that filesystem= gives"
        f" ({system.type_name.removeprefix('py::')}): leave filesystem= out, or give the path in it"
    )


def _example(text: str) -> str:
    name = text.removeprefix(EXAMPLE)
    known = sorted(path.name for path in _EXAMPLES.iterdir() if path.suffix in (".csv", ".parquet"))
    if name not in known:
        raise FileNotFoundError(
            f"there is no example {text!r}.{nearest(name, known)} Examples are: {listing(known)}"
        )
    return str(_EXAMPLES / name)


def _of_fsspec(text: str) -> tuple[Any, str]:
    fsspec = import_extra("fsspec", f"path {text!r}", "airloom[fsspec]")
    try:
        system, inside = fsspec.core.url_to_fs(text)
    except (ValueError, ImportError) as error:
        raise InvalidOption(
            f"path {text!r}: {error}; file://, s3://, gs://, abfs:// and hdfs:// are known, others"
            " are fsspec's, with what it needs for each; or give filesystem="
        ) from None
    return _as_arrow(system), inside


def _as_arrow(filesystem: Any) -> Any:
    if isinstance(filesystem, fs.FileSystem):
        return filesystem
    # The ways of fsspec's file systems on which Arrow builds.
    if all(callable(getattr(filesystem, name, None)) for name in ("info", "find", "open")):
        return fs.PyFileSystem(fs.FSSpecHandler(filesystem))
    raise TypeError(
        "filesystem must be a pyarrow.fs.FileSystem or an fsspec file system, got"
        f" {filesystem!r:.80}"
    )
