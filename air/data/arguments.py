"""Checks of arguments that several methods of a dataset take."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from air.data.transforms import DEFAULT_BATCH_SIZE
from air.errors import InvalidOption
from air.executor.validation import check_number, listing, nearest, reject_unknown

STREAM_CODECS = {"gzip": ".gz", "bz2": ".bz2", "zstd": ".zst", "lz4": ".lz4", "brotli": ".br"}
"""How files can be compressed as a whole, with the endings that tell."""


def check_batch_size(operator: str, batch_size: object) -> tuple[int | None, int]:
    """Rows of a batch, and how many rows small blocks should be put together to.

    Raises:
        InvalidOption: neither a number of rows, nor ``None``, nor ``"default"``.
    """
    if batch_size is None:
        return None, 0
    if batch_size == "default":
        return DEFAULT_BATCH_SIZE, 0
    if isinstance(batch_size, str):
        raise InvalidOption(
            f"{operator}: batch_size must be a number of rows, None or 'default', got"
            f" {batch_size!r}"
        )
    rows = int(check_number(batch_size, f"{operator}: batch_size", minimum=1, integer=True))
    return rows, rows


def check_names(operator: str, cols: object) -> tuple[str, ...]:
    """The columns that an operator was given, as one name or a list of them.

    Raises:
        InvalidOption: something else, or a name twice.
    """
    names = [cols] if isinstance(cols, str) else cols
    if not isinstance(names, (list, tuple)) or not names:
        raise InvalidOption(f"{operator} takes a column's name or a list of them, got {cols!r:.80}")
    for name in names:
        if not isinstance(name, str):
            raise InvalidOption(f"{operator} takes names of columns as text, got {name!r:.80}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidOption(f"{operator} was given column {twice!r} twice")
    return tuple(names)


def check_seed(seed: int | None) -> int:
    """*seed* if it is one; a random one for ``None``.

    Raises:
        InvalidOption: negative or no whole number.
    """
    if seed is None:
        return secrets.randbits(63)
    return int(check_number(seed, "seed", minimum=0, integer=True))


def check_opening(what: str, given: object) -> dict[str, Any]:
    """How files are to be opened, ``arrow_open_stream_args``, checked; nothing for ``None``.

    Raises:
        InvalidOption: no mapping, an unknown option (names the nearest), a compression that
            there is not, or a bad size.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InvalidOption(
            f'{what}: arrow_open_stream_args must be a dict such as {{"compression": "gzip"}}, got'
            f" {given!r:.80}"
        )
    reject_unknown(given, ("compression", "buffer_size"), what=f"{what}: arrow_open_stream_args")
    size, compression = given.get("buffer_size"), given.get("compression")
    if size is not None:
        check_number(size, f"{what}: buffer_size", minimum=1, integer=True)
    known = (None, "detect", *STREAM_CODECS)
    if compression not in known:
        raise InvalidOption(
            f"{what}: unknown compression {compression!r:.80}.{nearest(compression, known)} It may"
            f" be {listing(known)}"
        )
    return dict(given)


def check_compression(what: str, opening: object) -> str | None:
    """The compression that a writer was given in ``arrow_open_stream_args``.

    Raises:
        InvalidOption: as :func:`check_opening` does; or it is to be found out.
    """
    compression: str | None = check_opening(what, opening).get("compression")
    if compression == "detect":
        raise InvalidOption(f"{what}: files get names of their own: name the compression")
    return compression
