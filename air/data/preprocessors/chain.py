"""Preprocessors one after the other."""

from __future__ import annotations

from typing import Any

from air.data.dataset import Dataset
from air.data.preprocessor import Preprocessor
from air.errors import InvalidOption


class Chain(Preprocessor):
    """Apply preprocessors in turn; each is fitted on what those before it give.

    Args:
        preprocessors: at least one; each that learns is there once.
    """

    def __init__(self, *preprocessors: Preprocessor) -> None:
        self.preprocessors = preprocessors
        if not preprocessors:
            raise InvalidOption("Chain takes at least one preprocessor")
        for preprocessor in preprocessors:
            if not isinstance(preprocessor, Preprocessor):
                raise TypeError(
                    "Chain takes preprocessors, each as an argument of its own, got"
                    f" {preprocessor!r:.80}"
                )
        learning = [
            id(p) for p in preprocessors if p.fit_status() is not self.FitStatus.NOT_FITTABLE
        ]
        if len(set(learning)) < len(learning):
            raise InvalidOption(
                "Chain was given one preprocessor twice, which could learn only one thing; make"
                " another one for the second place"
            )

    def fit_status(self) -> Preprocessor.FitStatus:
        found = {preprocessor.fit_status() for preprocessor in self.preprocessors}
        found.discard(self.FitStatus.NOT_FITTABLE)
        if not found:
            return self.FitStatus.NOT_FITTABLE
        return found.pop() if len(found) == 1 else self.FitStatus.PARTIALLY_FITTED

    def keeps_columns(self) -> bool:
        return all(preprocessor.keeps_columns() for preprocessor in self.preprocessors)

    def preferred_batch_format(self) -> str:
        return self.preprocessors[0].preferred_batch_format()

    def _fit(self, ds: Dataset) -> None:
        last = self.preprocessors[-1]
        for preprocessor in self.preprocessors:
            preprocessor.fit(ds)
            if preprocessor is not last:
                ds = preprocessor.transform(ds)

    def _transform(self, ds: Dataset) -> Dataset:
        for preprocessor in self.preprocessors:
            ds = preprocessor.transform(ds)
        return ds

    def _transform_batch(self, data: Any) -> Any:
        for preprocessor in self.preprocessors:
            data = preprocessor.transform_batch(data)
        return data

    def __repr__(self) -> str:
        return f"Chain({', '.join(repr(preprocessor) for preprocessor in self.preprocessors)})"
