"""What to say of CSV files that cannot be read."""

from __future__ import annotations

from air.data.arguments import STREAM_CODECS

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
    b"PAR1": "parquet",
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def no_text(path: str, start: bytes, error: UnicodeError) -> str:
    """What to say of a file that is no text in the encoding that was expected.

    Args:
        start: its first bytes, which may tell what it is instead.
    """
    kind = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)
    if kind == "zip":
        return f"{path} cannot be read as CSV: it is a zip archive; unpack it first"
    if kind == "parquet":
        return f"{path} cannot be read as CSV: it is a Parquet file; use read_parquet"
    if kind is not None:
        return (
            f"{path} cannot be read as CSV: it is compressed with {kind}; let its name end with"
            f" {STREAM_CODECS[kind]!r}, or say so:"
            f" arrow_open_stream_args={{'compression': {kind!r}}}"
        )
    encoding = "utf-16" if start[:2] in _UTF16 else "latin-1"
    return (
        f"{path} cannot be read as CSV: {error}; name the encoding:"
        f" read_options=pyarrow.csv.ReadOptions(encoding={encoding!r})"
    )


def complaint(path: str, text: str) -> str:
    """What Arrow says of a file, with what to do about it."""
    if "Empty CSV file" in text:
        return f"{path} is empty: a CSV file needs at least a line with the columns' names"
    if "conversion error" in text:
        text += (
            "; name the column's type to read it otherwise:"
            " convert_options=pyarrow.csv.ConvertOptions(column_types={...})"
        )
    if "straddling object" in text:
        text = (
            "a row is longer than the blocks in which it is read; give larger ones:"
            " read_options=pyarrow.csv.ReadOptions(block_size=...)"
        )
    return f"{path} cannot be read as CSV: {text}"
