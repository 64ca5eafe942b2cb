"""Parts of larger arrays, and how they are pickled without the rest.

* Arrow arrays have the buffers of what they were cut from: see ``arrow_slices``. Tables of many
  small columns are pickled as one: see ``arrow_tables``.
* So have tensors of torch: see ``tensors``.
* A numpy array that does not lie in memory as one piece is copied into one, as pickle would do
  inside its stream: so the buffer is kept beside that, like any other.
"""

from __future__ import annotations

import sys
from typing import Any

Shared = dict[tuple[int, int], Any]
"""Buffers of one pickle by address and size: those that several slices have are in it once."""

MIN_BYTES = 4096
"""What is smaller is pickled as it is."""

# No library is imported for this: one that is not loaded has made no array.
_LIBRARIES = {
    "numpy": ("ndarray",),
    "pyarrow.lib": ("Array", "Table", "Schema"),
    "torch": ("Tensor",),
}
_classes: tuple[type, ...] = ()
_modules = 0  # how many were loaded when these were looked up


def classes() -> tuple[type, ...]:
    """Whose instances may be slices, or have some."""
    global _classes, _modules
    if _modules != len(sys.modules):
        found = ((sys.modules.get(m), name) for m, names in _LIBRARIES.items() for name in names)
        # One that is just being imported may have none yet.
        _classes = tuple(getattr(module, name) for module, name in found if hasattr(module, name))
        _modules = len(sys.modules)
    return _classes


def reduce(obj: Any, shared: Shared) -> Any:
    """How to pickle an instance of one of them; ``NotImplemented`` if that is as ever.

    Args:
        shared: the buffers that are in the same pickle already; more are added.
    """
    library = sys.modules
    if "numpy" in library and isinstance(obj, library["numpy"].ndarray):
        return _reduce_ndarray(obj)
    if "torch" in library and isinstance(obj, library["torch"].Tensor):
        from air.executor.tensors import reduce_tensor

        return reduce_tensor(obj)
    if isinstance(obj, library["pyarrow.lib"].Table):
        from air.executor.arrow_tables import reduce_table

        return reduce_table(obj)
    if isinstance(obj, library["pyarrow.lib"].Schema):
        from air.executor.arrow_tables import reduce_schema

        return reduce_schema(obj)
    if obj.get_total_buffer_size() < MIN_BYTES or not obj.is_cpu:
        return NotImplemented
    from air.executor.arrow_slices import reduce_array

    return reduce_array(obj, shared)


def _reduce_ndarray(array: Any) -> Any:
    if array.nbytes < MIN_BYTES or array.flags.forc or array.dtype.hasobject:
        return NotImplemented
    if type(array) is not sys.modules["numpy"].ndarray:
        return NotImplemented
    whole = array.copy(order="K")  # the order in which it lies there, where that has no gaps
    if not whole.flags.forc:
        whole = array.copy(order="C")
    return whole.__reduce_ex__(5)
