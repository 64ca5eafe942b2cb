"""Prediction with a PyTorch model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from air.checkpoint import Checkpoint
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_flag
from air.train.predictor import PREDICTIONS, Predictor
from air.train.torch.checkpoint import TorchCheckpoint
from air.train.torch.library import Model, import_torch

if TYPE_CHECKING:
    from air.data.preprocessor import Preprocessor


@methods_suggest_keywords
class TorchPredictor(Predictor):
    """A PyTorch model that predicts, with its preprocessor.

    The model is given one tensor where there is one column, and a dictionary of them by column
    otherwise. What it returns becomes the column ``"predictions"``, and several columns where that
    is a dictionary; the first of each has a row for each row. Override :meth:`call_model` for
    models that take or give anything else.
    """

    def __init__(
        self,
        model: Model,
        preprocessor: Preprocessor | None = None,
        use_gpu: bool = False,
    ) -> None:
        """*use_gpu* puts the model on a GPU."""
        super().__init__(preprocessor)
        torch = import_torch(type(self).__name__)
        if not isinstance(model, torch.nn.Module):
            hint = ""
            if isinstance(model, Checkpoint):
                hint = " Of a checkpoint make one by from_checkpoint."
            raise InvalidOption(
                f"{type(self).__name__} takes a torch.nn.Module, got {model!r:.80}.{hint}"
            )
        check_flag(use_gpu, f"{type(self).__name__}: use_gpu")
        if use_gpu and not torch.cuda.is_available():
            raise InvalidOption(
                f"{type(self).__name__}: use_gpu is True, and this process sees no GPU. Give"
                " BatchPredictor.predict num_gpus_per_worker=1, or leave use_gpu out."
            )
        self.use_gpu = use_gpu
        self._device = torch.device("cuda" if use_gpu else "cpu")
        self.model = model.to(self._device).eval()

    @classmethod
    def from_checkpoint(  # type: ignore[override]  # it takes these options
        cls,
        checkpoint: Checkpoint,
        model: Model | None = None,
        use_gpu: bool = False,
    ) -> TorchPredictor:
        """The model and the preprocessor of a checkpoint.

        Args:
            model: to load parameters into, where the checkpoint holds these alone.
            use_gpu: put the model on a GPU.
        """
        kept = TorchCheckpoint.from_checkpoint(checkpoint)
        return cls(kept.get_model(model), checkpoint.get_preprocessor(), use_gpu)

    def call_model(self, inputs: Any) -> Any:
        """What the model makes of a tensor, or of a dictionary of tensors."""
        return self.model(inputs)

    def predict(self, data: Any, dtype: Any = None) -> Any:  # type: ignore[override]
        """The predictions for *data*, as data of the same kind.

        Args:
            data: see :meth:`Predictor.predict`.
            dtype: a ``torch.dtype`` for the tensors that the model is given, or a dictionary of
                them by column; as the columns are where there is none.

        Raises:
            UnsupportedValue: a column holds no numbers; names it.
        """
        return super().predict(data, dtype=dtype)

    def _predict_numpy(self, columns: Mapping[str, np.ndarray], dtype: Any) -> dict[str, Any]:
        from air.data.torch.tensors import Tensors

        made = Tensors("TorchPredictor.predict", dtype, self._device)
        tensors = {name: _stacked(made.of_column(name, it)) for name, it in columns.items()}
        inputs = tensors if len(tensors) > 1 else next(iter(tensors.values()))
        return _as_columns(self._called(inputs))

    def _predict_rows(  # type: ignore[override]
        self, rows: np.ndarray, dtype: Any = None
    ) -> np.ndarray:
        if self._preprocessor is not None:
            raise TypeError(
                "The preprocessor goes by the names of columns: give a DataFrame, an Arrow table"
                " or a dict of arrays instead of an array."
            )
        torch = import_torch("TorchPredictor.predict")
        found = self._called(torch.as_tensor(rows, dtype=dtype, device=self._device))
        if isinstance(found, Mapping):
            raise TypeError("The model gives several values: give it a dict of arrays instead.")
        return _array(found)

    def _called(self, inputs: Any) -> Any:
        with import_torch("TorchPredictor.predict").inference_mode():
            return self.call_model(inputs)


def _stacked(column: Any) -> Any:
    """One tensor of several of one shape, which a DataFrame has in its cells."""
    if isinstance(column, list) and len({tensor.shape for tensor in column}) == 1:
        return import_torch("TorchPredictor.predict").stack(column)
    return column


def _as_columns(outputs: Any) -> dict[str, np.ndarray]:
    if isinstance(outputs, Mapping):
        return {str(name): _array(value) for name, value in outputs.items()}
    return {PREDICTIONS: _array(outputs)}


def _array(tensor: Any) -> np.ndarray:
    array: np.ndarray = tensor.detach().cpu().numpy()
    return array
