"""What AIR says on the logger ``air`` of a program that has not set up logging itself."""

from __future__ import annotations

import contextlib
import logging
import sys

from air.errors import InvalidOption
from air.executor.validation import nearest

DEFAULT_LEVEL = "info"
DEFAULT_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def check_level(level: object) -> int:
    """The number of a level that is given by number or name.

    Raises:
        InvalidOption: it is neither.
    """
    names = logging.getLevelNamesMapping()
    if isinstance(level, int) and not isinstance(level, bool) and level >= 0:
        return level
    if isinstance(level, str) and level.upper() in names:
        return names[level.upper()]
    hint = nearest(level.upper(), list(names)) if isinstance(level, str) else ""
    raise InvalidOption(
        f"logging_level must be the name of a level such as 'info', or its number, got {level!r}"
        f"{hint}"
    )


def check_format(text: object) -> logging.Formatter:
    """A formatter, with the default format for ``None``.

    Raises:
        InvalidOption: *text* is not a format of :mod:`logging` in the style of ``%``.
    """
    try:
        if text is None or isinstance(text, str):
            return logging.Formatter(DEFAULT_FORMAT if text is None else text)
    except ValueError:
        pass
    raise InvalidOption(f"logging_format must be a format such as {DEFAULT_FORMAT!r}, got {text!r}")


def configure(level: int, formatter: logging.Formatter) -> None:
    """Show what is logged from *level* on, unless the program does that in its own way."""
    logger = logging.getLogger("air")
    logger.setLevel(level)
    ours = next((h for h in logger.handlers if isinstance(h, _ToStandardError)), None)
    if ours is None:
        ours = _ToStandardError()
        logger.addHandler(ours)
    ours.setFormatter(formatter)


class _ToStandardError(logging.Handler):
    """Writes to the stream that ``sys.stderr`` is at that time.

    It has nothing to do where the root logger has handlers: these show the same.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if logging.getLogger().handlers:
            return
        with contextlib.suppress(Exception):  # a stream that is closed is nobody's business
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
