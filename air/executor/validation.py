"""Checks that public calls share, and the wording of their complaints."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Iterable, Mapping

from air.errors import InvalidOption


def nearest(name: object, options: Iterable[object]) -> str:
    """Return ``" Did you mean 'x'?"`` for the option closest to *name*, or ``""``."""
    close = difflib.get_close_matches(str(name), [str(option) for option in options], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def listing(names: Iterable[object], limit: int = 12) -> str:
    """Render names for an error message, shortened past *limit*."""
    shown = [repr(name) for name in names]
    rest = len(shown) - limit
    return ", ".join(shown[:limit]) + (f" and {rest} more" if rest > 0 else "")


def reject_unknown(given: Mapping[str, object], known: Iterable[str], *, what: str) -> None:
    """Raise :class:`InvalidOption` for the first key of *given* that is not in *known*."""
    known = sorted(known)
    for name in given:
        if name not in known:
            raise InvalidOption(
                f"{what} has no option {name!r}.{nearest(name, known)}"
                f" Options are: {listing(known, limit=40)}"
            )


def check_flag(value: object, name: str) -> bool:
    """Return *value* if it is ``True`` or ``False``; raise :class:`InvalidOption` otherwise."""
    if not isinstance(value, bool):
        raise InvalidOption(f"{name} must be True or False, got {value!r:.80}")
    return value


def check_number(
    value: object,
    name: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    integer: bool = False,
) -> float:
    """Return *value* if it is a finite number within the bounds; raise otherwise.

    Raises:
        InvalidOption: *value* is not a number (``bool`` is none), not whole where
            *integer* is asked, not finite, or out of bounds.
    """
    kind = "a whole number" if integer else "a number"
    bounds = ""
    if minimum is not None:
        bounds += f" >= {minimum:g}"
    if maximum is not None:
        bounds += f"{' and' if bounds else ''} <= {maximum:g}"
    expected = f"{name} must be {kind}{bounds}, got {value!r}"
    # The abstract classes let numbers of numpy through, which programs compute options with.
    if isinstance(value, bool) or not isinstance(
        value, numbers.Integral if integer else numbers.Real
    ):
        raise InvalidOption(expected)
    if not isinstance(value, (int, float)):
        value = int(value) if isinstance(value, numbers.Integral) else float(value)
    if value != value or value in (float("inf"), float("-inf")):
        raise InvalidOption(expected)
    if (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
        raise InvalidOption(expected)
    return value
