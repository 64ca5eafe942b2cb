"""Files of samples as values, and values as files: what the last part of a suffix says."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from air.data.errors import ReadError, WriteError
from air.data.webdataset.samples import KEY, Sample
from air.errors import InvalidOption
from air.executor.extras import import_extra

TEXTS = frozenset({"txt", "text", "transcript"})
INTS = frozenset({"cls", "cls2", "class", "count", "id", "index", "inx"})
JSON = frozenset({"json", "jsn"})
IMAGES = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "pgm": "PPM", "ppm": "PPM", "webp": "WEBP"}
"""Suffixes of images, with the formats of Pillow."""

Coder = bool | Callable[[Sample], Sample] | Sequence[Callable[[Sample], Sample]] | None


def decoded(sample: Sample, path: str) -> Sample:
    """The sample with text, numbers, JSON, arrays and images in place of those files.

    Raises:
        ReadError: a file is not what its suffix says; names the sample and the file.
    """
    result = {}
    for suffix, content in sample.items():
        try:
            result[suffix] = content if suffix == KEY else _value(suffix, content)
        except ImportError:
            raise
        except Exception as error:  # decoders raise errors of any kind
            raise ReadError(
                f"{path}, sample {sample[KEY]!r}: its file {suffix!r} cannot be decoded:"
                f" {error or type(error).__name__}; decoder=None leaves files as bytes"
            ) from None
    return result


def encoded(sample: Sample) -> Sample:
    """The sample with a file of bytes for each value.

    Raises:
        WriteError: there is no way for a value; names the column.
    """
    return {
        suffix: value if suffix.startswith("__") else _content(suffix, value)
        for suffix, value in sample.items()
        if value is not None
    }


def check_coder(what: str, coder: Any) -> Coder:
    """A decoder or encoder of samples, as it was given.

    Raises:
        InvalidOption: it is none.
    """
    steps = coder if isinstance(coder, (list, tuple)) else [coder]
    if coder is None or isinstance(coder, bool) or all(callable(step) for step in steps):
        given: Callable[[Sample], Sample] | bool | None = coder
        return given
    raise InvalidOption(
        f"{what} must be True, None, or a function of a sample or a list of those, got"
        f" {coder!r:.80}"
    )


def applied(coder: Coder, standard: Callable[[Sample], Sample], sample: Sample) -> Sample:
    """What *coder*, as the user gave it, makes of a sample; ``True`` is for *standard*."""
    if coder is None or coder is False:
        return sample
    if coder is True:
        return standard(sample)
    for step in (coder,) if callable(coder) else coder:
        sample = step(sample)
    return sample


def _value(suffix: str, content: bytes) -> Any:
    *others, kind = suffix.split(".")
    if kind == "gz":
        return _value(".".join(others), gzip.decompress(content)) if others else content
    if kind in TEXTS:
        return content.decode()
    if kind in INTS:
        return int(content)
    if kind in JSON:
        return json.loads(content)
    if kind == "npy":
        return np.load(io.BytesIO(content), allow_pickle=False)
    if kind in IMAGES:
        pillow = import_extra("PIL.Image", "read_webdataset, for images,", "airloom[image]")
        with pillow.open(io.BytesIO(content)) as image:
            colours = "RGB" if image.mode in ("P", "CMYK", "YCbCr") else image.mode
            return np.asarray(image.convert(colours) if colours != image.mode else image)
    return content


def _content(suffix: str, value: Any) -> bytes:
    *others, kind = suffix.split(".")
    if isinstance(value, bytes):
        return value
    if kind == "gz" and others:
        return gzip.compress(_content(".".join(others), value), mtime=0)
    if kind in JSON:
        return json.dumps(value, ensure_ascii=False, default=_plain).encode()
    if isinstance(value, str):
        return value.encode()
    if kind in INTS and isinstance(value, (int, np.integer)):
        return str(int(value)).encode()
    try:
        array = _array(kind, value)
    except (TypeError, ValueError, IndexError) as error:
        raise WriteError(
            f"write_webdataset: column {suffix!r} holds {value!r:.80}, of which no .{kind} can be"
            f" made ({error}): make an array of numbers of it, or bytes"
        ) from None
    if array is not None:
        return array
    raise WriteError(
        f"write_webdataset: column {suffix!r} holds {value!r:.80}, and its name says no way to"
        " write that: name it for one (.txt, .cls, .json, .npy, .png ...), or make bytes of it"
    )


def _array(kind: str, value: Any) -> bytes | None:
    """An array as the content of a file; ``None`` where the suffix is not one of arrays."""
    made = io.BytesIO()
    if kind == "npy":
        np.save(made, np.asarray(value), allow_pickle=False)
        return made.getvalue()
    if kind in IMAGES:
        pillow = import_extra("PIL.Image", "write_webdataset, for images,", "airloom[image]")
        pillow.fromarray(np.asarray(value, np.uint8)).save(made, IMAGES[kind])
        return made.getvalue()
    return None


def _plain(value: Any) -> Any:
    """A value that JSON does not know as one that it does."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise WriteError(f"write_webdataset: JSON cannot hold {value!r:.80}")
