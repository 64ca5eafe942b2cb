"""Checks that public calls share, and the wording of their complaints."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Iterable, Mapping

from air.errors import InvalidOption

_LONGEST_WAIT_S = 1e9
"""Thirty years; locks of the standard library take no more than a multiple of that."""


def nearest(name: object, options: Iterable[object]) -> str:
    """Return ``" Did you mean 'x'?"`` for the option closest to *name*, or ``""``.

    Upper and lower case are compared as equal when nothing is close otherwise.
    """
    known = [str(option) for option in options]
    close = difflib.get_close_matches(str(name), known, n=1)
    if not close:
        folded = {option.casefold(): option for option in reversed(known)}
        found = difflib.get_close_matches(str(name).casefold(), folded, n=1)
        close = [folded[option] for option in found]
    return f" Did you mean {close[0]!r}?" if close else ""


def listing(names: Iterable[object], limit: int = 12) -> str:
    """Render names for an error message, shortened past *limit*."""
    shown = [repr(name) for name in names]
    rest = len(shown) - limit
    return ", ".join(shown[:limit]) + (f" and {rest} more" if rest > 0 else "")


def show(value: object) -> str:
    """``str(value)``, also of what raises when it is asked for that."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__} without a text>"


def show_repr(value: object) -> str:
    """``repr(value)``, also of what raises when it is asked for that."""
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__} without a repr>"


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


def check_labels(labels: object) -> dict[str, str]:
    """Return a copy of a node's labels; raise :class:`InvalidOption` if they are none."""
    if not isinstance(labels, Mapping):
        raise InvalidOption(f"labels must map text to text, got {labels!r:.80}")
    for key, value in labels.items():
        check_text(key, "a key of labels")
        check_text(value, f"labels[{key!r}]", empty=True)
    return dict(labels)


def check_text(value: object, name: str, *, empty: bool = False) -> str:
    """Return *value* if it is text; raise :class:`InvalidOption` otherwise.

    Args:
        empty: whether it may be empty.
    """
    if not isinstance(value, str) or not (value or empty):
        kind = "text" if empty else "non-empty text"
        raise InvalidOption(f"{name} must be {kind}, got {value!r:.80}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            # Half of a surrogate pair, such as what reading a broken file name gives: what goes
            # to other processes is UTF-8, which has no such characters.
            raise InvalidOption(
                f"{name} must be text that UTF-8 can encode, got {value!r:.80} ({error.reason})"
            ) from None
    return value


def check_timeout(value: object, name: str = "timeout") -> float | None:
    """Return a time limit in seconds as backends take it: ``None`` waits as long as it takes.

    What is more than a lock can wait for, infinity for one, is ``None`` too.

    Raises:
        InvalidOption: *value* is neither ``None`` nor a number, or it is negative or NaN.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or value != value:
        raise InvalidOption(f"{name} must be seconds or None, got {value!r:.80}")
    if value < 0:
        raise InvalidOption(f"{name} must not be negative, got {value!r}")
    return float(value) if value < _LONGEST_WAIT_S else None


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
    if (
        type(value) is int
        and (minimum is None or value >= minimum)
        and (maximum is None or value <= maximum)
    ):
        return value  # the usual case, without the words for the others
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
