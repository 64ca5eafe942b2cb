"""What a ``Tuner`` is told about the search itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from air.config import options_class
from air.errors import InvalidOption
from air.executor.validation import check_flag, check_number
from air.tune.schedulers import TrialScheduler
from air.tune.search import Searcher

if TYPE_CHECKING:
    from air.tune.trial import Trial


@options_class
class TuneConfig:
    """How the configurations are found, and how many trials run.

    Attributes:
        mode: ``"min"`` or ``"max"``: whether a low or a high ``metric`` is good.
        metric: what the trials are compared by; a path such as ``"eval/loss"`` for nested
            metrics.
        search_alg: proposes the configurations; random and grid search
            (``BasicVariantGenerator``) unless given.
        scheduler: may end trials early; every trial runs to its end unless given.
        num_samples: how many configurations to try; with grids, how often to run through all
            their combinations. -1 goes on until ``time_budget_s`` is over, or ``stop`` of the
            ``RunConfig`` ends everything.
        max_concurrent_trials: the most trials to run at a time; as many as there is room for
            unless given.
        time_budget_s: seconds (or a ``timedelta``) after which running trials are stopped and
            no new ones start.
        reuse_actors: whether a process runs one trial after the other, as it does unless told;
            with ``False`` every trial gets a new one, so that nothing of it is left behind.
        trial_name_creator: makes the name of a trial, which is also its directory, from the
            trial (``trial_id``, ``config``).

    Raises ``InvalidOption`` for a value that no experiment could use.
    """

    mode: str | None = None
    metric: str | None = None
    search_alg: Searcher | None = None
    scheduler: TrialScheduler | None = None
    num_samples: int = 1
    max_concurrent_trials: int | None = None
    time_budget_s: float | timedelta | None = None
    reuse_actors: bool | None = None
    trial_name_creator: Callable[[Trial], str] | None = None

    _instead: ClassVar[Mapping[str, str]] = {
        "chdir_to_trial_dir": "trials run where the program does; files of a trial's own belong "
        "into air.train.get_trial_dir()",
        "trial_dirname_creator": "a trial's directory bears its name: use trial_name_creator",
    }

    def __post_init__(self) -> None:
        if self.mode not in (None, "min", "max"):
            raise InvalidOption(f'TuneConfig.mode must be "min" or "max", got {self.mode!r}')
        if self.metric is not None and (not isinstance(self.metric, str) or not self.metric):
            raise InvalidOption(
                f"TuneConfig.metric must be the name of a metric, got {self.metric!r}"
            )
        _check_instance(self.search_alg, Searcher, "TuneConfig.search_alg")
        _check_instance(self.scheduler, TrialScheduler, "TuneConfig.scheduler")
        if self.num_samples != -1:
            try:
                check_number(self.num_samples, "num_samples", minimum=1, integer=True)
            except InvalidOption:
                raise InvalidOption(
                    "TuneConfig.num_samples must be a whole number >= 1, or -1 for no limit, got "
                    f"{self.num_samples!r}"
                ) from None
        if self.max_concurrent_trials is not None:
            check_number(
                self.max_concurrent_trials,
                "TuneConfig.max_concurrent_trials",
                minimum=1,
                integer=True,
            )
        if self.budget_s is not None:
            check_number(self.budget_s, "TuneConfig.time_budget_s", minimum=0)
        if self.reuse_actors is not None:
            check_flag(self.reuse_actors, "TuneConfig.reuse_actors")
        if self.trial_name_creator is not None and not callable(self.trial_name_creator):
            raise InvalidOption(
                "TuneConfig.trial_name_creator must be a function of a trial, got "
                f"{self.trial_name_creator!r}"
            )

    @property
    def budget_s(self) -> float | None:
        """``time_budget_s`` in seconds."""
        if isinstance(self.time_budget_s, timedelta):
            return self.time_budget_s.total_seconds()
        return self.time_budget_s


def _check_instance(value: object, base: type, name: str) -> None:
    if value is None or isinstance(value, base):
        return
    hint = f": give an instance, {value.__name__}()" if isinstance(value, type) else ""
    raise InvalidOption(f"{name} must be a {base.__name__}, got {value!r}{hint}")
