"""Random and grid search."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from air.executor.keywords import methods_suggest_keywords
from air.tune.search.sample import RandomState, as_seed
from air.tune.search.searcher import Searcher
from air.tune.search.space import Space


@methods_suggest_keywords
class BasicVariantGenerator(Searcher):
    """Runs all combinations of the grids, ``num_samples`` times, and draws everything else anew.

    The configuration of trial i depends on the seed and on i alone: not on the backend, on what
    earlier trials reported or on how many ran at the same time.

    Args:
        points_to_evaluate: configurations to start with, in place of the first samples; at most
            ``num_samples`` of them. A point may leave parameters out, which are then drawn, or
            run through if they are grids.
        max_concurrent: the most trials to run at a time; 0 leaves that to ``TuneConfig``.
        constant_grid_search: draw the random parameters once for each sample, the same for all
            combinations of the grids.
        random_state: a seed, or a generator of numpy's that one is drawn from; unless given,
            one is drawn from numpy's global generator (set by ``numpy.random.seed``). The
            experiment's journal keeps the seed, so that a restored experiment goes on in the
            same sequence.
    """

    def __init__(
        self,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        max_concurrent: int = 0,
        constant_grid_search: bool = False,
        random_state: RandomState = None,
    ) -> None:
        super().__init__()
        if not isinstance(max_concurrent, int) or max_concurrent < 0:
            raise ValueError(
                f"max_concurrent must be a whole number >= 0 (0: no limit), got {max_concurrent!r}."
            )
        points = () if points_to_evaluate is None else points_to_evaluate
        if not isinstance(points, (list, tuple)) or not all(
            isinstance(point, Mapping) for point in points
        ):
            raise TypeError(f"points_to_evaluate is a list of dicts, got {points!r:.200}.")
        self._points = [dict(point) for point in points]
        self._max_concurrent = max_concurrent
        self._constant_grid_search = constant_grid_search
        self._seed = as_seed(random_state)
        self._next = 0
        self._running: set[str] = set()
        self._space = Space.nothing()
        self._samples: int | None = 0
        self._pointed: list[Space] = []
        self._ends: list[int] = []

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Mapping[str, Any], *, num_samples: int
    ) -> bool:
        """Take the space; raises ``ValueError`` for points that do not fit in."""
        super().set_search_properties(metric, mode, config, num_samples=num_samples)
        self._samples = None if num_samples == -1 else num_samples
        if self._samples is not None and len(self._points) > self._samples:
            raise ValueError(
                f"points_to_evaluate has {len(self._points)} points, more than "
                f"num_samples={num_samples} can run. Raise num_samples."
            )
        self._space = Space(config) if config else Space.nothing()
        self._pointed = [self._space.fix(point) for point in self._points]
        # Trial number at which each point's variants end.
        self._ends = list(accumulate(space.variants for space in self._pointed))
        return True

    def total_trials(self, num_samples: int) -> int | None:
        if num_samples == -1:
            return None
        pointed = self._ends[-1] if self._ends else 0
        return pointed + (num_samples - len(self._points)) * self._space.variants

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        total = None if self._samples is None else self.total_trials(self._samples)
        if total is not None and self._next >= total:
            return self.FINISHED
        if self._max_concurrent and len(self._running) >= self._max_concurrent:
            return None
        config = self._variant(self._next)
        self._next += 1
        self._running.add(trial_id)
        return config

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        self._running.discard(trial_id)

    def get_state(self) -> dict[str, Any]:
        return {"seed": self._seed, "next": self._next, "running": sorted(self._running)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._seed, self._next = state["seed"], state["next"]
        self._running = set(state["running"])

    def _variant(self, number: int) -> dict[str, Any]:
        """The configuration of trial ``number``."""
        sample = bisect_right(self._ends, number)
        if sample < len(self._pointed):
            space = self._pointed[sample]
            variant = number - (self._ends[sample - 1] if sample else 0)
        else:
            space = self._space
            rounds, variant = divmod(number - (self._ends[-1] if self._ends else 0), space.variants)
            sample += rounds
        key = sample if self._constant_grid_search else number
        return space.resolve(np.random.default_rng([self._seed, key]), variant)
