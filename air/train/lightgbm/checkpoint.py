"""A trained LightGBM model, kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from air.checkpoint import Checkpoint
from air.errors import InvalidOption
from air.train.lightgbm.library import check_booster, import_lightgbm

if TYPE_CHECKING:
    import lightgbm

    from air.data.preprocessor import Preprocessor

FEATURES_FILE = "features.json"
MODEL_FILE = "model.txt"
"""The model in LightGBM's own text format, which its other language bindings read too."""


class LightGBMCheckpoint(Checkpoint):
    """A checkpoint that holds a LightGBM model, and possibly a preprocessor."""

    @classmethod
    def from_model(
        cls,
        booster: lightgbm.Booster,
        *,
        preprocessor: Preprocessor | None = None,
        feature_columns: Sequence[str] | None = None,
    ) -> LightGBMCheckpoint:
        """A checkpoint in memory that holds *booster*: all its rounds.

        Args:
            feature_columns: the columns that it was trained on, in their order; those with the
                names that it keeps unless given, which have ``_`` in the place of spaces.

        Raises:
            InvalidOption: it is no ``lightgbm.Booster``.
        """
        check_booster(booster, f"{cls.__name__}.from_model")
        text = booster.model_to_string(num_iteration=-1)
        names = booster.feature_name() if feature_columns is None else list(feature_columns)
        files = {MODEL_FILE: text.encode(), FEATURES_FILE: json.dumps(names).encode()}
        checkpoint = cls._in_memory(files)
        if preprocessor is not None:
            checkpoint.set_preprocessor(preprocessor)
        return checkpoint

    def get_model(self) -> lightgbm.Booster:
        """The model.

        Raises:
            InvalidOption: the checkpoint holds none, or one of another library.
        """
        content = self._read(MODEL_FILE)
        if content is None:
            raise InvalidOption(
                f"{self!r} holds no LightGBM model: it has no {MODEL_FILE}. Is it the checkpoint "
                "of another library?"
            )
        booster: lightgbm.Booster = import_lightgbm().Booster(model_str=content.decode())
        return booster

    def get_feature_columns(self) -> list[str]:
        """The columns that the model was trained on, in their order."""
        content = self._read(FEATURES_FILE)
        if content is None:
            return list(self.get_model().feature_name())
        return [str(name) for name in json.loads(content)]
