"""Which Arrow types go together, where Arrow itself asks for each of them by name."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

Check = Callable[[pa.DataType], bool]

TEXTS: tuple[Check, ...] = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
BYTES: tuple[Check, ...] = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_binary_view,
)


def is_one(kind: pa.DataType, checks: tuple[Check, ...]) -> bool:
    """Whether any of *checks* is true of the type."""
    return any(check(kind) for check in checks)


def is_text(kind: pa.DataType) -> bool:
    """Text or bytes."""
    return is_one(kind, TEXTS) or is_one(kind, BYTES)


def is_list(kind: pa.DataType) -> bool:
    """Lists of any length, one behind the other in memory."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def is_list_view(kind: pa.DataType) -> bool:
    """Lists of any length, anywhere in memory."""
    return bool(pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind))


def is_list_in_order(kind: pa.DataType) -> bool:
    """Lists of any or of a fixed length, one behind the other in memory."""
    return is_list(kind) or bool(pa.types.is_fixed_size_list(kind))


def is_any_list(kind: pa.DataType) -> bool:
    """Lists of any or of a fixed length, wherever they are."""
    return is_list_in_order(kind) or is_list_view(kind)


def holds(kind: pa.DataType, is_such: Check) -> bool:
    """Whether the type, or one inside it, is such a one."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if is_such(kind):
        return True
    if not pa.types.is_nested(kind):
        return False
    return any(holds(kind.field(number).type, is_such) for number in range(kind.num_fields))
