"""Types of tables as those of blocks."""

from __future__ import annotations

import pyarrow as pa

from air.data.blocks.kinds import is_list


def plain(kind: pa.DataType) -> pa.DataType:
    """*kind* as files of other sources have it: short offsets, and any value inside may be null.

    Identifiers (UUID) are their 16 bytes.
    """
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if isinstance(kind, pa.UuidType):
        return pa.binary(16)
    if is_list(kind):
        return pa.list_(_plain(kind.value_field))
    if pa.types.is_struct(kind):
        return pa.struct([_plain(part) for part in kind])
    if pa.types.is_map(kind):
        return pa.map_(_plain(kind.key_field).with_nullable(False), _plain(kind.item_field))
    return kind


def _plain(field: pa.Field) -> pa.Field:
    return pa.field(field.name, plain(field.type), metadata=field.metadata)


def has_required_parts(kind: pa.DataType) -> bool:
    """Whether a value inside must be there, besides the keys of maps."""
    if is_list(kind):
        parts = [kind.value_field]
    elif pa.types.is_struct(kind):
        parts = list(kind)
    elif pa.types.is_map(kind):
        parts = [kind.item_field]
    else:
        return False
    return any(not part.nullable or has_required_parts(part.type) for part in parts)
