"""What a parameter may be drawn from: ranges, categories, functions, grids.

A domain is a value: made once, checked when made, sampled any number of times. ``tune.uniform``
and its kin are the short way to write one.

Upper bounds: ``randint`` and ``lograndint`` leave theirs out, as ``range`` does; everything else
includes it. The quantized kinds (``q...``) draw from the multiples of ``q`` between the bounds,
both included; bounds of real numbers have to be multiples of ``q`` themselves.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np

from air.executor.keywords import suggests_keywords

RandomState: TypeAlias = "int | np.random.Generator | np.random.RandomState | None"
"""What ``random_state`` takes: a seed, a generator of numpy's that a seed is drawn from, or
``None``, which draws one from numpy's global generator (so ``numpy.random.seed`` governs it).
"""


def as_seed(random_state: RandomState) -> int:
    """The seed for a ``random_state``.

    Raises:
        TypeError: it is none of what it may be.
        ValueError: it is a negative number.
    """
    match random_state:
        case bool():
            pass
        case int() | np.integer():
            if random_state < 0:
                raise ValueError(f"random_state must be a seed >= 0, got {random_state}.")
            return int(random_state)
        case np.random.Generator():
            return int(random_state.integers(2**32))
        case np.random.RandomState():
            return int(random_state.randint(2**32, dtype=np.int64))
        case None:
            return int(np.random.randint(2**32, dtype=np.int64))
    raise TypeError(
        "random_state takes a seed (int >= 0), a numpy Generator or RandomState, or None, "
        f"got {random_state!r}."
    )


class Domain(ABC):
    """Base of everything a parameter can be drawn from."""

    __slots__ = ()

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Any:
        """One value. The same state of ``rng`` gives the same value."""

    @abstractmethod
    def is_valid(self, value: object) -> bool:
        """Whether ``value`` could have been drawn from this domain."""

    def sample(self, random_state: RandomState = None, *, size: int | None = None) -> Any:
        """One value, or with ``size`` a list of so many independent ones."""
        rng = np.random.default_rng(as_seed(random_state))
        if size is None:
            return self.draw(rng)
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ValueError(f"size must be a whole number >= 0, got {size!r}.")
        return [self.draw(rng) for _ in range(size)]


@dataclass(frozen=True, slots=True)
class Float(Domain):
    """Real numbers from ``lower`` to ``upper``, evenly on a linear or (``log``) logarithmic scale.

    ``q`` rounds to its multiples. ``base`` is the base that the logarithmic scale is computed in;
    the distribution is the same for every base.
    """

    lower: float
    upper: float
    log: bool = False
    q: float | None = None
    base: float = 10

    def __post_init__(self) -> None:
        kind = _range_name("uniform", self.log, self.q)
        _check_numbers(kind, lower=self.lower, upper=self.upper)
        _check_range(kind, self.lower, self.upper, self.log, self.base)
        if self.q is not None:
            _check_quantum(kind, self.lower, self.upper, self.q)

    def draw(self, rng: np.random.Generator) -> float:
        if self.q is not None and not self.log:
            first, last = round(self.lower / self.q), round(self.upper / self.q)
            return _multiple(int(rng.integers(first, last, endpoint=True)), self.q)
        if self.log:
            value = _draw_log(rng, self.lower, self.upper, self.base)
            if self.q is not None:
                value = _multiple(round(value / self.q), self.q)
        else:
            value = float(rng.uniform(self.lower, self.upper))
        return min(max(value, float(self.lower)), float(self.upper))

    def is_valid(self, value: object) -> bool:
        return (
            _is_number(value)
            and self.lower <= value <= self.upper  # type: ignore[operator]
            and (self.q is None or _divides(self.q, value))  # type: ignore[arg-type]
        )

    def __repr__(self) -> str:
        return _range_repr(_range_name("uniform", self.log, self.q), self)


@dataclass(frozen=True, slots=True)
class Integer(Domain):
    """Whole numbers from ``lower`` up to, without, ``upper``.

    ``q`` rounds to its multiples, and then ``upper`` is included.
    """

    lower: int
    upper: int
    log: bool = False
    q: int | None = None
    base: float = 10

    def __post_init__(self) -> None:
        kind = _range_name("randint", self.log, self.q)
        for name, value in (("lower", self.lower), ("upper", self.upper)):
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
                raise TypeError(
                    f"{kind}: {name} must be a whole number, got {value!r}. "
                    "For real numbers there is tune.uniform."
                )
            object.__setattr__(self, name, int(value))
        _check_range(kind, self.lower, self.upper, self.log, self.base)
        if self.q is not None:
            if not isinstance(self.q, (int, np.integer)) or isinstance(self.q, bool):
                raise TypeError(f"{kind}: q must be a whole number, got {self.q!r}.")
            object.__setattr__(self, "q", int(self.q))
            if self.q <= 0:
                raise ValueError(f"{kind}: q must be > 0, got {self.q}.")
            first, last = self._multiples(self.q)
            if first > last:
                raise ValueError(
                    f"{kind}: there is no multiple of q={self.q} from {self.lower} to {self.upper}."
                )

    def _multiples(self, q: int) -> tuple[int, int]:
        """The first and the last multiple of *q* in the range, divided by *q*."""
        return -(-self.lower // q), self.upper // q

    def draw(self, rng: np.random.Generator) -> int:
        if self.log:
            value = _draw_log(rng, self.lower, self.upper, self.base)
            if self.q is not None:
                first, last = self._multiples(self.q)
                return min(max(round(value / self.q), first), last) * self.q
            return min(max(math.floor(value), self.lower), self.upper - 1)
        if self.q is not None:
            first, last = self._multiples(self.q)
            return int(rng.integers(first, last, endpoint=True)) * self.q
        return int(rng.integers(self.lower, self.upper))

    def is_valid(self, value: object) -> bool:
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            return False
        if self.q is not None:
            return bool(self.lower <= value <= self.upper and value % self.q == 0)
        return bool(self.lower <= value < self.upper)

    def __repr__(self) -> str:
        return _range_repr(_range_name("randint", self.log, self.q), self)


@dataclass(frozen=True, slots=True)
class Normal(Domain):
    """Real numbers around ``mean`` with deviation ``sd``, rounded to multiples of ``q``."""

    mean: float = 0.0
    sd: float = 1.0
    q: float | None = None

    def __post_init__(self) -> None:
        kind = "randn" if self.q is None else "qrandn"
        _check_numbers(kind, mean=self.mean, sd=self.sd)
        if self.sd <= 0:
            raise ValueError(f"{kind}: sd must be > 0, got {self.sd!r}.")
        if self.q is not None:
            _check_numbers(kind, q=self.q)
            if self.q <= 0:
                raise ValueError(f"{kind}: q must be > 0, got {self.q!r}.")

    def draw(self, rng: np.random.Generator) -> float:
        value = float(rng.normal(self.mean, self.sd))
        return value if self.q is None else _multiple(round(value / self.q), self.q)

    def is_valid(self, value: object) -> bool:
        return _is_number(value) and (
            self.q is None or _divides(self.q, value)  # type: ignore[arg-type]
        )

    def __repr__(self) -> str:
        if self.q is None:
            return f"randn({self.mean!r}, {self.sd!r})"
        return f"qrandn({self.mean!r}, {self.sd!r}, {self.q!r})"


@dataclass(frozen=True, slots=True)
class Categorical(Domain):
    """One of ``categories``, each as likely as the next.

    A category may hold domains itself, which are drawn from once it is chosen.
    """

    categories: Sequence[Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "categories", _check_values("choice", self.categories))

    def draw(self, rng: np.random.Generator) -> Any:
        return self.categories[int(rng.integers(len(self.categories)))]

    def is_valid(self, value: object) -> bool:
        return any(_matches(category, value) for category in self.categories)

    def __repr__(self) -> str:
        return f"choice({list(self.categories)!r})"


@dataclass(frozen=True, slots=True)
class Function(Domain):
    """What ``func(spec)`` returns; called once the parameters that it asks for are known."""

    func: Callable[[Any], Any]

    def __post_init__(self) -> None:
        if not callable(self.func):
            raise TypeError(
                f"sample_from: takes a function of the other parameters, got {self.func!r}, e.g. "
                "sample_from(lambda spec: spec.config.width * 2)."
            )

    def draw(self, rng: np.random.Generator) -> Any:
        raise TypeError(
            f"{self!r} needs the other parameters: it can be sampled only as part of a param_space."
        )

    def is_valid(self, value: object) -> bool:
        return True

    def __repr__(self) -> str:
        return f"sample_from({getattr(self.func, '__qualname__', self.func)!s})"


@dataclass(frozen=True, slots=True)
class Grid:
    """Every one of ``values`` in turn, combined with every other grid of the space."""

    values: Sequence[Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _check_values("grid_search", self.values))

    def is_valid(self, value: object) -> bool:
        """Whether ``value`` is one of the grid's."""
        return any(_matches(own, value) for own in self.values)

    def __repr__(self) -> str:
        return f"grid_search({list(self.values)!r})"


# --- the short way to write them ----------------------------------------------------------------


@suggests_keywords
def uniform(lower: float, upper: float) -> Float:
    """A real number between ``lower`` and ``upper``."""
    return Float(lower, upper)


@suggests_keywords
def quniform(lower: float, upper: float, q: float) -> Float:
    """A multiple of ``q`` from ``lower`` to ``upper``, both included."""
    return Float(lower, upper, q=_require_quantum("quniform", q))


@suggests_keywords
def loguniform(lower: float, upper: float, base: float = 10) -> Float:
    """A real number between ``lower`` and ``upper``, every order of magnitude as likely."""
    return Float(lower, upper, log=True, base=base)


@suggests_keywords
def qloguniform(lower: float, upper: float, q: float, base: float = 10) -> Float:
    """``loguniform``, rounded to a multiple of ``q``."""
    return Float(lower, upper, log=True, q=_require_quantum("qloguniform", q), base=base)


@suggests_keywords
def randn(mean: float = 0.0, sd: float = 1.0) -> Normal:
    """A normally distributed number."""
    return Normal(mean, sd)


@suggests_keywords
def qrandn(mean: float, sd: float, q: float) -> Normal:
    """``randn``, rounded to a multiple of ``q``."""
    return Normal(mean, sd, _require_quantum("qrandn", q))


@suggests_keywords
def randint(lower: int, upper: int) -> Integer:
    """A whole number from ``lower`` up to, without, ``upper``."""
    return Integer(lower, upper)


@suggests_keywords
def qrandint(lower: int, upper: int, q: int = 1) -> Integer:
    """A multiple of ``q`` from ``lower`` to ``upper``, both included."""
    return Integer(lower, upper, q=_require_quantum("qrandint", q))


@suggests_keywords
def lograndint(lower: int, upper: int, base: float = 10) -> Integer:
    """A whole number from ``lower`` up to, without, ``upper``, evenly on a logarithmic scale."""
    return Integer(lower, upper, log=True, base=base)


@suggests_keywords
def qlograndint(lower: int, upper: int, q: int, base: float = 10) -> Integer:
    """``lograndint``, rounded to a multiple of ``q``; ``upper`` is included."""
    return Integer(lower, upper, log=True, q=_require_quantum("qlograndint", q), base=base)


@suggests_keywords
def choice(categories: Sequence[Any]) -> Categorical:
    """One of ``categories``."""
    return Categorical(categories)


@suggests_keywords
def sample_from(func: Callable[[Any], Any]) -> Function:
    """The result of ``func(spec)``, where ``spec.config.name`` or ``spec["name"]`` is a parameter.

    The other parameters are drawn first, also those that are functions themselves. What ``func``
    returns may hold domains, which are then drawn from with the experiment's seed: that keeps an
    experiment reproducible where a call of ``numpy.random`` in ``func`` would not.
    """
    return Function(func)


@suggests_keywords
def grid_search(values: Sequence[Any]) -> Grid:
    """Run every one of ``values``, ``TuneConfig.num_samples`` times each."""
    return Grid(values)


# --- checks -------------------------------------------------------------------------------------


def _is_number(value: object) -> bool:
    return (
        isinstance(value, (int, float, np.integer, np.floating))
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def _check_numbers(kind: str, **given: Any) -> None:
    for name, value in given.items():
        if not _is_number(value):
            raise TypeError(f"{kind}: {name} must be a finite number, got {value!r}.")


def _check_range(kind: str, lower: float, upper: float, log: bool, base: float) -> None:
    if lower >= upper:
        raise ValueError(f"{kind}: lower must be below upper, got lower={lower}, upper={upper}.")
    if log:
        if lower <= 0:
            raise ValueError(f"{kind}: a logarithmic scale needs lower > 0, got {lower}.")
        _check_numbers(kind, base=base)
        if base <= 1:
            raise ValueError(f"{kind}: base must be > 1, got {base}.")


def _check_quantum(kind: str, lower: float, upper: float, q: float) -> None:
    _check_numbers(kind, q=q)
    if q <= 0:
        raise ValueError(f"{kind}: q must be > 0, got {q}.")
    for name, bound in (("lower", lower), ("upper", upper)):
        if not _divides(q, bound):
            raise ValueError(f"{kind}: {name} must be a multiple of q={q}, got {bound}.")


def _require_quantum(kind: str, q: Any) -> Any:
    if q is None:
        raise TypeError(f"{kind}: q must be a number > 0, got None.")
    return q


def _check_values(kind: str, values: Any) -> tuple[Any, ...]:
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__iter__"):
        raise TypeError(f"{kind}: takes a list of values, got {values!r}.")
    if isinstance(values, (set, frozenset)):
        raise TypeError(
            f"{kind}: takes values in a fixed order, so that a seed gives the same configurations "
            f"again; got a set: {values!r}."
        )
    found = tuple(values)
    if not found:
        raise ValueError(f"{kind}: there is nothing to choose from, the list is empty.")
    return found


def _range_name(plain: str, log: bool, q: float | None) -> str:
    middle = "log" if log else ""
    return f"{'' if q is None else 'q'}{middle}{plain}"


def _range_repr(name: str, domain: Float | Integer) -> str:
    quantum = "" if domain.q is None else f", {domain.q!r}"
    return f"{name}({domain.lower!r}, {domain.upper!r}{quantum})"


def _matches(category: Any, value: Any) -> bool:
    """Whether ``value`` is ``category``, or can come of it where that holds domains itself."""
    if isinstance(category, (Domain, Grid)):
        return category.is_valid(value)
    if isinstance(category, dict) and isinstance(value, Mapping):
        return category.keys() == value.keys() and all(
            _matches(category[key], value[key]) for key in category
        )
    if isinstance(category, list) and isinstance(value, list):
        return len(category) == len(value) and all(map(_matches, category, value))
    if isinstance(category, np.ndarray) or isinstance(value, np.ndarray):
        return np.array_equal(category, value)
    return bool(category is value or category == value)


# --- arithmetic ---------------------------------------------------------------------------------


def _draw_log(rng: np.random.Generator, lower: float, upper: float, base: float) -> float:
    exponent = rng.uniform(math.log(lower, base), math.log(upper, base))
    return float(base**exponent)


def _divides(q: float, value: float) -> bool:
    return math.isclose(value, round(value / q) * q, rel_tol=1e-9, abs_tol=1e-9 * q)


def _multiple(count: int, q: float) -> float:
    """``count * q`` without the noise of binary fractions: 3 * 0.1 is 0.3 here."""
    return float(count * Decimal(repr(float(q))))
