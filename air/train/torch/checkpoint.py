"""A trained PyTorch model, kept."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from air.checkpoint import Checkpoint
from air.errors import InvalidOption
from air.train.torch.library import Model, import_torch
from air.train.torch.precision import without_autocast

if TYPE_CHECKING:
    from air.data.preprocessor import Preprocessor

MODEL_FILE = "model.pt"
STATE_FILE = "state_dict.pt"


class TorchCheckpoint(Checkpoint):
    """A checkpoint that holds a PyTorch model or its parameters, and possibly a preprocessor.

    A whole model is a pickle, which must not be read from a source that is not trusted;
    parameters alone are read without running anything.
    """

    @classmethod
    def from_model(
        cls, model: Model, *, preprocessor: Preprocessor | None = None
    ) -> TorchCheckpoint:
        """A checkpoint in memory that holds *model*, without what ``prepare_model`` put around it.

        The model's class must be found where it is read again. For a sharded model keep its
        parameters: ``from_state_dict(full_state_dict(model))``.

        Raises:
            InvalidOption: it is no ``torch.nn.Module``.
        """
        torch = import_torch(cls.__name__)
        if not isinstance(model, torch.nn.Module):
            raise InvalidOption(
                f"{cls.__name__}.from_model takes a torch.nn.Module, got {model!r:.80}. For"
                " parameters use from_state_dict."
            )
        is_wrapped = isinstance(model, torch.nn.parallel.DistributedDataParallel)
        inner = without_autocast(model.module if is_wrapped else model)
        return cls._kept(MODEL_FILE, inner, preprocessor)

    @classmethod
    def from_state_dict(
        cls, state_dict: Mapping[str, Any], *, preprocessor: Preprocessor | None = None
    ) -> TorchCheckpoint:
        """A checkpoint in memory that holds parameters.

        Those of a model in a ``DistributedDataParallel`` lose the ``module.`` of their names.

        Raises:
            InvalidOption: it is no dict.
        """
        if not isinstance(state_dict, Mapping):
            raise InvalidOption(
                f"{cls.__name__}.from_state_dict takes what model.state_dict() gives, got"
                f" {state_dict!r:.80}"
            )
        state = dict(state_dict)
        if state and all(str(name).startswith("module.") for name in state):
            state = {name.removeprefix("module."): value for name, value in state.items()}
        return cls._kept(STATE_FILE, state, preprocessor)

    @classmethod
    def _kept(cls, name: str, value: Any, preprocessor: Preprocessor | None) -> TorchCheckpoint:
        content = io.BytesIO()
        import_torch(cls.__name__).save(value, content)
        checkpoint = cls._in_memory({name: content.getvalue()})
        if preprocessor is not None:
            checkpoint.set_preprocessor(preprocessor)
        return checkpoint

    def get_model(self, model: Model | None = None) -> Model:
        """The model, on the CPU.

        Args:
            model: to load the parameters into, where the checkpoint holds these alone; it is
                changed and returned.

        Raises:
            InvalidOption: the checkpoint holds parameters and there is no *model*; or neither.
        """
        torch = import_torch(type(self).__name__)
        content = self._read(MODEL_FILE)
        if content is not None:
            kept: Model = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
            return kept
        state = self.get_state_dict()
        if model is None:
            raise InvalidOption(
                f"{self!r} holds parameters, and no model that they are of: give one,"
                " get_model(model)."
            )
        model.load_state_dict(state)
        return model

    def get_state_dict(self) -> dict[str, Any]:
        """The parameters, on the CPU.

        Raises:
            InvalidOption: the checkpoint holds none.
        """
        if self._read(MODEL_FILE) is not None:
            whole: dict[str, Any] = self.get_model().state_dict()
            return whole
        content = self._read(STATE_FILE)
        if content is None:
            raise InvalidOption(
                f"{self!r} holds no PyTorch model: it has neither {MODEL_FILE} nor {STATE_FILE}."
                " Is it the checkpoint of another library, or one of from_dict?"
            )
        torch = import_torch(type(self).__name__)
        found: dict[str, Any] = torch.load(
            io.BytesIO(content), map_location="cpu", weights_only=True
        )
        return found
