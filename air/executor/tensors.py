"""Tensors of torch in pickles: their numbers lie beside the stream, as those of arrays do.

Torch knows no tensors that are read-only, so memory that others read as well must not become one:
writing to it would end the process. A backend that has the numbers in shared memory may lend them
*privately*: pages of its own are made for what is written, as the system does it for a forked
process. Otherwise they are copied, once.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from typing import Any

MIN_BYTES = 4096
"""What is smaller is pickled as torch does it."""


class Lender(threading.local):
    """Who lends memory to tensors that this thread unpickles now.

    Attributes:
        lend: takes an array of bytes, as it was pickled. Gives a writable array of the same bytes
            which nobody else sees and which keeps the other one alive, or ``None``.
    """

    lend: Callable[[Any], Any] | None = None


lender = Lender()


def reduce_tensor(tensor: Any) -> Any:
    """How to pickle a tensor; ``NotImplemented`` if that is as ever."""
    torch = sys.modules["torch"]
    if type(tensor) is not torch.Tensor or vars(tensor):  # Parameters have one inside
        return NotImplemented
    if tensor.layout is not torch.strided or tensor.device.type != "cpu":
        return NotImplemented
    count, plain = tensor.numel(), tensor.detach()
    nbytes = count * tensor.element_size()
    is_plain = not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg())
    if nbytes < MIN_BYTES or not is_plain:
        if tensor.untyped_storage().nbytes() < nbytes + MIN_BYTES:
            return NotImplemented
        return plain.clone().requires_grad_(tensor.requires_grad).__reduce_ex__(5)
    span = 1 + sum((n - 1) * step for n, step in zip(plain.shape, plain.stride(), strict=True))
    if span != count:  # it has gaps, or repeats
        plain = plain.contiguous()
    flat = plain.as_strided((count,), (1,))
    content = flat.view(torch.uint8).numpy()
    shape, steps = tuple(plain.shape), plain.stride()
    return _make_tensor, (content, tensor.dtype, shape, steps, tensor.requires_grad)


def _make_tensor(content: Any, dtype: Any, shape: Any, steps: Any, requires_grad: bool) -> Any:
    torch = importlib.import_module("torch")
    lent = None if lender.lend is None else lender.lend(content)
    if lent is None:
        flat = torch.empty(content.nbytes, dtype=torch.uint8)
        flat.numpy()[:] = content
    else:
        flat = torch.from_numpy(lent)
    return flat.view(dtype).as_strided(shape, steps).requires_grad_(requires_grad)
