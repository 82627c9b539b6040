"""Observation models: the law of a datum given the value that the simulator expects for it.

A simulator's run is the truth of the model; what is written down differs from it by counting and reporting. The
likelihood of data needs that difference stated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Observation(Protocol):
    """What a likelihood asks of an observation model; `observed` and `expected` broadcast.

    Examples
    --------
    >>> import hetcal as hc
    >>> isinstance(hc.observation.PoissonObservation(), hc.observation.Observation)
    True
    """

    def check(self, observed: np.ndarray) -> None:
        """Raise ``ValueError`` for data that the model cannot make, whatever is expected."""

    def log_density(self, observed: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Logarithm of the density (of the probability, for counts) of each datum."""

    def draw(self, expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Data as they might have been observed."""

    def variance(self, expected: np.ndarray) -> np.ndarray:
        """Variance of each datum."""


@dataclass(frozen=True)
class PoissonObservation:
    """Counts that scatter about the expected value by a Poisson law.

    Use it where each person is reported independently of the others. The deviance of this model is the loss
    ``poisson_deviance`` of a `Target`, with the same floor.

    Parameters
    ----------
    floor : float
        Least expected value, so that a count on a day on which the simulator has none is unlikely rather than
        impossible. 0 forbids it.

    Raises
    ------
    ValueError
        For a floor below 0 or not finite.

    Examples
    --------
    >>> import hetcal as hc
    >>> float(hc.observation.PoissonObservation().log_density(0, 2.0))
    -2.0
    """

    floor: float = 0.5

    def __post_init__(self) -> None:
        _check_argument(self, "floor", self.floor, zero=True)

    def check(self, observed: np.ndarray) -> None:
        """Raise for what is no count."""
        _check_counts(self, observed)

    def log_density(self, observed: Any, expected: Any) -> np.ndarray:
        """Logarithm of the probability of each count."""
        from scipy.special import gammaln, xlogy

        mean = np.maximum(expected, self.floor)
        return xlogy(observed, mean) - mean - gammaln(np.asarray(observed) + 1.0)

    def draw(self, expected: Any, rng: np.random.Generator) -> np.ndarray:
        """Counts as they might have been observed."""
        return rng.poisson(np.maximum(expected, self.floor)).astype(float)

    def variance(self, expected: Any) -> np.ndarray:
        """Variance of each count, its mean."""
        return np.maximum(np.asarray(expected, dtype=float), self.floor)


@dataclass(frozen=True)
class NegativeBinomialObservation:
    """Counts that scatter more than by a Poisson law: variance mean + mean^2 / dispersion.

    Use it where reports come in clusters or their rate changes from day to day. The deviance of this model is the
    loss ``negative_binomial`` of a `Target`.

    Parameters
    ----------
    dispersion : float
        Size of the negative binomial, above 0; the larger, the nearer to Poisson. At 20 a large count has a
        coefficient of variation of 22 %.
    floor : float
        As in `PoissonObservation`.

    Raises
    ------
    ValueError
        For a dispersion that is not positive, or a floor below 0.

    Examples
    --------
    >>> import hetcal as hc
    >>> float(hc.observation.NegativeBinomialObservation(20).variance(100.0))
    600.0
    """

    dispersion: float
    floor: float = 0.5

    def __post_init__(self) -> None:
        _check_argument(self, "dispersion", self.dispersion, zero=False)
        _check_argument(self, "floor", self.floor, zero=True)

    def check(self, observed: np.ndarray) -> None:
        """Raise for what is no count."""
        _check_counts(self, observed)

    def log_density(self, observed: Any, expected: Any) -> np.ndarray:
        """Logarithm of the probability of each count."""
        from scipy.special import gammaln, xlog1py, xlogy

        mean, k = np.maximum(expected, self.floor), self.dispersion
        y = np.asarray(observed, dtype=float)
        ways = gammaln(y + k) - gammaln(k) - gammaln(y + 1.0)
        return ways + xlogy(y, mean / (mean + k)) + xlog1py(k, -mean / (mean + k))

    def draw(self, expected: Any, rng: np.random.Generator) -> np.ndarray:
        """Counts as they might have been observed."""
        mean = np.maximum(expected, self.floor)
        return rng.poisson(mean * rng.gamma(self.dispersion, 1.0 / self.dispersion, np.shape(mean))).astype(
            float
        )

    def variance(self, expected: Any) -> np.ndarray:
        """Variance of each count."""
        mean = np.maximum(np.asarray(expected, dtype=float), self.floor)
        return mean + mean**2 / self.dispersion


@dataclass(frozen=True)
class GaussianObservation:
    """Measurements with a normal error of known size.

    Parameters
    ----------
    sd : float
        Standard deviation of the error, in the output's unit, above 0.

    Raises
    ------
    ValueError
        For an sd that is not positive and finite.

    Examples
    --------
    >>> import hetcal as hc
    >>> float(hc.observation.GaussianObservation(2.0).variance(7.0))
    4.0
    """

    sd: float

    def __post_init__(self) -> None:
        _check_argument(self, "sd", self.sd, zero=False)

    def check(self, observed: np.ndarray) -> None:
        """Any number can be observed."""

    def log_density(self, observed: Any, expected: Any) -> np.ndarray:
        """Logarithm of the normal density of each datum."""
        z = (np.asarray(observed, dtype=float) - expected) / self.sd
        return -0.5 * z * z - math.log(self.sd) - 0.5 * math.log(2.0 * math.pi)

    def draw(self, expected: Any, rng: np.random.Generator) -> np.ndarray:
        """Measurements as they might have been made."""
        return np.asarray(rng.normal(expected, self.sd))

    def variance(self, expected: Any) -> np.ndarray:
        """Variance of each datum, the same for all."""
        return np.full(np.shape(expected), self.sd**2, dtype=float)


def _check_argument(model: Any, name: str, value: Any, zero: bool) -> None:
    """Refuse what is not a finite number above 0, or at least 0."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        bound = "of at least 0" if zero else "above 0"
        raise ValueError(f"{name} of {type(model).__name__} is {value!r}: give a finite number {bound}")


def _check_counts(model: Any, observed: np.ndarray) -> None:
    """Refuse what is no count."""
    observed = np.asarray(observed, dtype=float)
    wrong = observed[(observed < 0) | (observed != np.floor(observed))]
    if wrong.size:
        raise ValueError(
            f"{type(model).__name__} is a law of counts and {wrong[0]:g} was observed: use GaussianObservation, "
            "or give the counts"
        )
