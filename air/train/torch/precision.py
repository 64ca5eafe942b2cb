"""Mixed precision: half as many bits where that does no harm."""

from __future__ import annotations

import copy
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from air.train.session import Session, require_session
from air.train.torch.library import Device, Model, Optimizer, Tensor, import_torch


@dataclass(slots=True)
class _Precision:
    """What was asked for in one training function.

    Attributes:
        session: of that function.
        scaler: of gradients that half precision would lose; ``None`` where none are lost.
    """

    session: Session
    scaler: Any


_IS_OURS = "_air_autocast"

_asked_for: ContextVar[_Precision | None] = ContextVar("air_torch_precision", default=None)


def accelerate(amp: bool = False) -> None:
    """Have models, optimizers and gradients use mixed precision from here on.

    To be called before :func:`prepare_model`, :func:`prepare_optimizer` and :func:`backward`, which
    see to it. On GPUs numbers have 16 bits (float16) with gradients scaled, on
    CPUs bfloat16, which needs no scaling.

    Args:
        amp: whether to; ``False`` leaves precision alone.

    Raises:
        RuntimeError: outside of a training run.
    """
    from air.train.torch.preparing import get_device

    torch = import_torch("accelerate")
    session = require_session("accelerate")
    scaler = torch.amp.GradScaler("cuda") if amp and get_device().type == "cuda" else None
    _asked_for.set(_Precision(session, scaler) if amp else None)


def _precision_in(function: str) -> _Precision | None:
    """What was asked for in the function that runs now, and not in one before it."""
    session, precision = require_session(function), _asked_for.get()
    return precision if precision is not None and precision.session is session else None


def under_autocast(model: Model, device: Device) -> Model:
    """*model*, whose forward pass has mixed precision if that was asked for."""
    if _precision_in("prepare_model") is None:
        return model
    torch = import_torch("prepare_model")
    dtype = torch.float16 if device.type == "cuda" else torch.bfloat16
    forward = torch.autocast(device.type, dtype=dtype)(model.forward)
    setattr(forward, _IS_OURS, True)
    model.forward = forward
    return model


def without_autocast(model: Model) -> Model:
    """*model*, or one that shares its parameters without what :func:`under_autocast` did to it."""
    if not hasattr(vars(model).get("forward"), _IS_OURS):
        return model
    plain = copy.copy(model)
    del plain.forward
    return plain


def prepare_optimizer(optimizer: Optimizer) -> Any:
    """The optimizer, which undoes the scaling of gradients before its steps where there is any.

    Raises:
        RuntimeError: outside of a training run.
    """
    precision = _precision_in("prepare_optimizer")
    if precision is None or precision.scaler is None:
        return optimizer
    return _Scaled(optimizer, precision.scaler)


def backward(tensor: Tensor) -> None:
    """``tensor.backward()``, with scaled gradients where there are any.

    Raises:
        RuntimeError: outside of a training run.
    """
    precision = _precision_in("backward")
    if precision is not None and precision.scaler is not None:
        tensor = precision.scaler.scale(tensor)
    tensor.backward()


class _Scaled:
    """An optimizer whose steps go through a scaler; all else is its own."""

    def __init__(self, optimizer: Any, scaler: Any) -> None:
        self._optimizer = optimizer
        self._scaler = scaler

    def __getattr__(self, name: str) -> Any:
        if name == "_optimizer":  # of one that is being copied, and has nothing yet
            raise AttributeError(name)
        return getattr(self._optimizer, name)

    def step(self, closure: Any = None) -> Any:
        """Update the parameters, unless gradients were too large for half precision."""
        result = self._scaler.step(self._optimizer, *(() if closure is None else (closure,)))
        self._scaler.update()
        return result
