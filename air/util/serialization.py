"""How values of one's own classes travel, and why some do not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from air.errors import InvalidOption
from air.executor.keywords import suggests_keywords
from air.executor.validation import check_number, check_text

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class FailureTuple:
    """A part of a value that cannot be sent, as :func:`inspect_serializability` finds it.

    Attributes:
        obj: the part.
        name: the path to it, as Python would write it.
        parent: what it is a part of; ``None`` if it is the whole.
        why: what pickle says.
    """

    obj: Any
    name: str
    parent: Any
    why: str


@suggests_keywords
def register_serializer(
    cls: type[T], *, serializer: Callable[[T], Any], deserializer: Callable[[Any], T]
) -> None:
    """From now on, send instances of *cls* by means of *serializer* and *deserializer*.

    For instances of exactly this class, not of subclasses, that leave this process: in
    arguments, in results, by ``air.put``. What receives them needs no registration, but has to
    register the class too if it is to send some in its turn. A second registration replaces
    the first.

    Args:
        serializer: takes an instance, gives something that can be pickled.
        deserializer: takes that, gives an instance. It travels with the values.

    Raises:
        InvalidOption: *cls* is one that pickle takes care of itself, such as ``dict``.
        TypeError: *cls* is no class, or one of the others cannot be called.
    """
    from air.executor.pickling import BUILT_IN, custom

    _check_class(cls, "register_serializer")
    if cls in BUILT_IN:
        raise InvalidOption(
            f"register_serializer cannot change how {cls.__name__} is pickled: derive a class"
            " from it, or wrap it in one"
        )
    for name, function in (("serializer", serializer), ("deserializer", deserializer)):
        if not callable(function):
            raise TypeError(f"{name} must be a function, got {function!r:.80}")
    custom[cls] = serializer, deserializer


@suggests_keywords
def deregister_serializer(cls: type) -> None:
    """Undo :func:`register_serializer`; does nothing if *cls* was not registered."""
    from air.executor.pickling import custom

    _check_class(cls, "deregister_serializer")
    custom.pop(cls, None)


@suggests_keywords
def inspect_serializability(
    base_obj: Any, name: str | None = None, depth: int = 3, print_file: IO[str] | None = None
) -> tuple[bool, set[FailureTuple]]:
    """Find out whether something can be sent to another process, and which parts of it cannot.

    Prints what it finds. No backend is needed.

    Args:
        base_obj: a function, a class or a value.
        name: what to call it in the report; its own name when ``None``.
        depth: how many levels of parts of parts to look into, at least 1.
        print_file: where to print the report; the standard output when ``None``.

    Returns:
        Whether it can be sent, and the innermost parts that cannot.

    Raises:
        InvalidOption: a value that an argument cannot take.
    """
    from air.executor.culprits import find_failures, root_name
    from air.executor.pickling import why_not

    depth = int(check_number(depth, "depth", minimum=1, integer=True))
    shown = root_name(base_obj) if name is None else check_text(name, "name")
    if print_file is not None and not hasattr(print_file, "write"):
        raise InvalidOption(f"print_file must be a file, got {print_file!r:.80}")
    failures = {
        FailureTuple(part, shown + path, parent, why_not(part))
        for path, part, parent in find_failures(base_obj, depth)
    }
    out = sys.stdout if print_file is None else print_file
    if not failures:
        print(f"{shown} can be sent to other processes", file=out)
    for failure in sorted(failures, key=lambda failure: failure.name):
        print(f"{failure.name} cannot be sent to other processes: {failure.why}", file=out)
    return not failures, failures


def _check_class(cls: object, what: str) -> None:
    if not isinstance(cls, type):
        raise TypeError(f"{what} takes a class, got {cls!r:.80}")
