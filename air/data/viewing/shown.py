"""Texts that are made to be looked at."""

from __future__ import annotations


class Shown(str):
    """A text that looks at a prompt and in a notebook as it does when it is printed."""

    def __repr__(self) -> str:
        return str(self)


def head(value: object) -> str:
    """How *value* looks, in one line: rows and plans, which come below it, are left out."""
    return repr(value).partition("\n")[0]


def counted(number: int, what: str) -> str:
    """A number of things: ``1 row``, ``1,500 rows``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def size_text(size_bytes: float) -> str:
    """Bytes for people: ``12.5 KiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"
