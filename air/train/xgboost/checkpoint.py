"""A trained XGBoost model, kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from air.checkpoint import Checkpoint
from air.errors import InvalidOption
from air.train.xgboost.library import check_booster, import_xgboost

if TYPE_CHECKING:
    import xgboost

    from air.data.preprocessor import Preprocessor

MODEL_FILE = "model.ubj"
"""The model in XGBoost's own binary format, which its other language bindings read too."""


class XGBoostCheckpoint(Checkpoint):
    """A checkpoint that holds an XGBoost model, and possibly a preprocessor."""

    @classmethod
    def from_model(
        cls, booster: xgboost.Booster, *, preprocessor: Preprocessor | None = None
    ) -> XGBoostCheckpoint:
        """A checkpoint in memory that holds *booster*.

        Raises:
            InvalidOption: it is no ``xgboost.Booster``.
        """
        check_booster(booster, f"{cls.__name__}.from_model")
        checkpoint = cls._in_memory({MODEL_FILE: bytes(booster.save_raw("ubj"))})
        if preprocessor is not None:
            checkpoint.set_preprocessor(preprocessor)
        return checkpoint

    def get_model(self) -> xgboost.Booster:
        """The model.

        Raises:
            InvalidOption: the checkpoint holds none, or one of another library.
        """
        content = self._read(MODEL_FILE)
        if content is None:
            raise InvalidOption(
                f"{self!r} holds no XGBoost model: it has no {MODEL_FILE}. Is it the checkpoint "
                "of another library?"
            )
        booster = import_xgboost().Booster()
        booster.load_model(bytearray(content))
        return booster
