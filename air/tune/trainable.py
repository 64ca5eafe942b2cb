"""What a ``Tuner`` can run, brought into one form."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from air.config import RunConfig, ScalingConfig
from air.errors import InvalidOption
from air.executor.handles import ObjectRef
from air.executor.keywords import suggests_keywords
from air.executor.signatures import fits
from air.executor.validation import check_number, nearest
from air.train.base_trainer import BaseTrainer
from air.train.functions import check_kind
from air.train.sharing import share
from air.train.variants import Trainable, unknown_parameter
from air.tune.execution import TrialFunction

Bundle: TypeAlias = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A trainable, and what a trial of it needs.

    ``make_function`` gives what every trial calls; it does whatever is to be done once for all of
    them, so it may take its time, and raise. ``bundles_of`` gives what a trial with a config
    reserves: first what the function itself holds, then a bundle for each worker that it starts.
    """

    name: str
    make_function: Callable[[], TrialFunction]
    run_config: RunConfig
    bundles_of: Callable[[Mapping[str, Any]], Sequence[Bundle]]
    strategy: str = "PACK"
    modules: Sequence[str] = ()
    """What the processes of trials will import."""


class _Wrapped:
    """A trainable with something attached; it goes by the name of what it wraps."""

    def __init__(self, trainable: Callable[..., Any]) -> None:
        self.trainable = trainable
        self.__name__ = _name_of(trainable)
        self.__doc__ = trainable.__doc__


class _WithParameters(_Wrapped):
    def __init__(self, trainable: Callable[..., Any], refs: dict[str, ObjectRef[Any]]) -> None:
        super().__init__(trainable)
        self._refs = refs

    def __call__(self, config: dict[str, Any]) -> Any:
        from air.core.api import get

        values = get(list(self._refs.values()))
        return self.trainable(config, **dict(zip(self._refs, values, strict=True)))


class _WithResources(_Wrapped):
    def __init__(
        self, trainable: Callable[..., Any], bundles: Sequence[Bundle], strategy: str
    ) -> None:
        super().__init__(trainable)
        self.bundles = bundles
        self.strategy = strategy

    def __call__(self, config: dict[str, Any]) -> Any:
        return self.trainable(config)


def with_parameters(trainable: Callable[..., Any], **kwargs: Any) -> Callable[..., Any]:
    """``trainable`` with keyword arguments that all trials share, such as a dataset.

    The values are stored once and read by every trial, where closing over them would send them
    along with the function. They belong to the running backend: to restore an experiment in
    another program, call this again.

    Raises ``TypeError`` for a trainable that is no function, or does not take one of the arguments;
    ``SerializationError`` for a value that cannot be sent to another process.
    """
    if not _is_function(trainable):
        raise TypeError(f"with_parameters takes a function, got {trainable!r}.")
    name = _name_of(trainable)
    if not isinstance(trainable, _Wrapped):
        _check_takes(trainable, name, kwargs)
    refs = {
        key: share(value, f"the parameter {key!r} of the trainable {name}")
        for key, value in kwargs.items()
    }
    if isinstance(trainable, _WithResources):
        inner = _WithParameters(trainable.trainable, refs)
        return _WithResources(inner, trainable.bundles, trainable.strategy)
    return _WithParameters(trainable, refs)


def _check_takes(trainable: Callable[..., Any], name: str, kwargs: Mapping[str, Any]) -> None:
    if fits(trainable, {}, **kwargs):
        return
    signature = inspect.signature(trainable)
    try:
        signature.bind({}, **kwargs)
    except TypeError as error:
        unknown = next((key for key in kwargs if key not in signature.parameters), None)
        hint = "" if unknown is None else nearest(unknown, list(signature.parameters)[1:])
        raise TypeError(
            f"{name}{signature} cannot be called with a config and "
            f"{', '.join(f'{key}=...' for key in kwargs)}: {error}.{hint}"
        ) from None


@suggests_keywords
def with_resources(
    trainable: Callable[..., Any], resources: Mapping[str, float] | ScalingConfig
) -> Callable[..., Any]:
    """``trainable`` with the resources that each trial of it holds; 1 CPU unless told.

    ``resources`` is a dict such as ``{"cpu": 2, "gpu": 0.5}`` (in either case), or a
    ``ScalingConfig`` for a function that starts workers of its own, which then run in the trial's
    placement group.
    """
    if not _is_function(trainable):
        raise TypeError(
            f"with_resources takes a function, got {trainable!r}. A trainer says what it needs by "
            "its scaling_config."
        )
    bundles: Sequence[Bundle]
    strategy = "PACK"
    if isinstance(resources, ScalingConfig):
        bundles, strategy = resources.bundles, resources.placement_strategy
    elif isinstance(resources, Mapping):
        bundles = [_bundle(resources)]
    else:
        raise InvalidOption(
            'with_resources: resources must be a dict like {"cpu": 2, "gpu": 1} or a '
            f"ScalingConfig, got {resources!r}"
        )
    inner = trainable.trainable if isinstance(trainable, _WithResources) else trainable
    return _WithResources(inner, bundles, strategy)


def _bundle(resources: Mapping[str, float]) -> Bundle:
    bundle: dict[str, float] = {}
    for name, amount in resources.items():
        if not isinstance(name, str) or not name:
            raise InvalidOption(f"with_resources: {name!r} is not the name of a resource")
        check_number(amount, f"with_resources: {name}", minimum=0)
        bundle[name.upper() if name.lower() in ("cpu", "gpu") else name] = amount
    if not any(bundle.values()):
        raise InvalidOption(f"with_resources: a trial must hold something, got {resources!r}")
    return {name: amount for name, amount in bundle.items() if amount}


def prepare(
    trainable: Any, param_space: Mapping[str, Any] | None, run_config: RunConfig | None
) -> Prepared:
    """Check a trainable, and bring it into its one form.

    Raises ``TypeError`` for what is neither a trainer nor a function of one argument;
    ``InvalidOption`` for a parameter that the trainer does not have, or settings that only a
    trainer could follow.
    """
    if isinstance(trainable, Trainable):
        trainable = trainable.trainer
    if isinstance(trainable, BaseTrainer):
        return _prepare_trainer(trainable, param_space, run_config)
    if not _is_function(trainable):
        shown = type(trainable).__name__
        if isinstance(trainable, type):
            hint = ": give an instance" if issubclass(trainable, BaseTrainer) else ""
            shown = f"the class {trainable.__name__}{hint}"
        raise TypeError(
            "A trainable is a function of a config, which calls air.train.report, or a trainer; "
            f"got {shown}."
        )
    _check_signature(trainable)
    run_config = run_config or RunConfig()
    checkpoints = run_config.checkpoint_config
    if checkpoints.checkpoint_frequency or checkpoints.checkpoint_at_end is not None:
        raise InvalidOption(
            "checkpoint_frequency and checkpoint_at_end of the CheckpointConfig are for trainers "
            "that make checkpoints themselves. A function makes its own: pass checkpoint= to "
            "air.train.report where one is due."
        )
    name = _name_of(trainable)
    bundles: Sequence[Bundle] = ({"CPU": 1.0},)
    strategy = "PACK"
    if isinstance(trainable, _WithResources):
        bundles, strategy = trainable.bundles, trainable.strategy
    return Prepared(name, lambda: trainable, run_config, lambda config: bundles, strategy)


def _prepare_trainer(
    trainer: BaseTrainer, param_space: Mapping[str, Any] | None, run_config: RunConfig | None
) -> Prepared:
    parameters = trainer.tunable_parameters()
    for name in param_space or {}:
        if name not in parameters:
            raise unknown_parameter(name, f"param_space: {type(trainer).__name__}", parameters)
    if run_config is not None:
        trainer = copy.copy(trainer)
        trainer.run_config = run_config  # it is asked how often to make checkpoints
    return Prepared(
        name=type(trainer).__name__,
        make_function=lambda: trainer.preprocessed().as_trainable(),
        run_config=trainer.run_config,
        bundles_of=lambda config: trainer.variant(config).scaling_config.bundles,
        strategy=trainer.scaling_config.placement_strategy,
        modules=trainer.required_modules(),
    )


def _is_function(trainable: object) -> bool:
    return callable(trainable) and not isinstance(trainable, type)


def _check_signature(function: Callable[..., Any]) -> None:
    if isinstance(function, _WithResources):
        function = function.trainable
    if isinstance(function, _WithParameters):
        return  # checked when it was made
    try:
        signature = inspect.signature(function)
    except ValueError:  # written in C: the call will show
        return
    check_kind(function, "A trainable")
    if not fits(function, {}):
        raise TypeError(
            f"A trainable is called with one argument, its config; {_name_of(function)}{signature} "
            "cannot be. Give other arguments with tune.with_parameters."
        )


def _name_of(trainable: Callable[..., Any]) -> str:
    while isinstance(trainable, functools.partial):
        trainable = trainable.func
    name = getattr(trainable, "__name__", None) or type(trainable).__name__
    return "lambda" if name == "<lambda>" else name
