"""Losses: how far a simulated output is from the observed one, all runs at once.

Each loss states its lowest possible value and a natural unit, so that a target can say on which scale it may be
emulated: a logarithm needs a bound that the loss never reaches. `LogRelativeRisk` and `CurveResidual` are statistics:
they turn an output into what the sum of squares ("rss") of a target then counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Loss:
    """A family of losses.

    Attributes
    ----------
    name : str
    pointwise : callable
        (observed, simulated, extra) to the loss of each datum; shapes broadcast.
    floor : float or None
        Least simulated mean that counts and logarithms take, None where the loss needs none.
    extra : str or None
        Name of the further argument that the family needs (trials, dispersion, sd, least_sd).
    likelihood : bool
        Whether its unit is that of a log likelihood (or a deviance).
    logs : bool
        Whether data and means enter by their logarithms: then both take the floor, and a target may have a bias.
    total : callable
        (loss of each datum (n, k), extra) to the loss of each run (n,); their sum where none is given.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.losses import LOSSES
    >>> LOSSES["rss"].evaluate(np.array([1.0, 2.0]), np.array([[1.0, 4.0]]), None, np.nan)
    array([4.])
    """

    name: str
    pointwise: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    floor: float | None = None
    extra: str | None = None
    likelihood: bool = False
    logs: bool = False
    total: Callable[[np.ndarray, np.ndarray], np.ndarray] = lambda each, _: each.sum(axis=1)

    def evaluate(
        self, observed: np.ndarray, simulated: np.ndarray, floor: float | None, extra: np.ndarray
    ) -> np.ndarray:
        """Loss of each run: observed has shape ``s``, simulated (n, *s); returns (n,)."""
        if floor is not None:
            simulated = np.maximum(simulated, floor)
            observed = np.maximum(observed, floor) if self.logs else observed
        with np.errstate(divide="ignore", invalid="ignore"):
            each = self.pointwise(observed, simulated, extra)
        return self.total(each.reshape(len(simulated), -1), extra)

    def lowest(self, observed: np.ndarray, floor: float | None, extra: np.ndarray) -> float:
        """The loss of a simulated output that equals the observed one."""
        return float(self.evaluate(observed, observed[None], floor, extra)[0])

    def unit(self, observed: np.ndarray, floor: float | None, extra: np.ndarray) -> float:
        """A small step of this loss: 1 for likelihoods, a thousandth of the spread about the mean for squares."""
        if self.likelihood:
            return 1.0
        spread = float(
            self.evaluate(observed, np.full_like(observed, observed.mean())[None], floor, extra)[0]
        )
        return 1e-3 * (spread or max(1.0, float(np.max(observed**2))))


def _xlogy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(x == 0, 0.0, x * np.log(np.where(x == 0, 1.0, y)))


def _binomial(k: np.ndarray, mean: np.ndarray, trials: np.ndarray) -> np.ndarray:
    p = np.clip(mean / trials, 0.001, 0.999)
    return -(k * np.log(p) + (trials - k) * np.log1p(-p))


def _poisson_deviance(y: np.ndarray, mean: np.ndarray, _: np.ndarray) -> np.ndarray:
    return 2.0 * (_xlogy(y, y / mean) - (y - mean))


def _negative_binomial(y: np.ndarray, mean: np.ndarray, k: np.ndarray) -> np.ndarray:
    return 2.0 * (_xlogy(y, y / mean) - (y + k) * np.log((y + k) / (mean + k)))


def _log_ratio_squared(y: np.ndarray, mean: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.log(mean / y) ** 2


def _log_gaussian(squares: np.ndarray, least_sd: np.ndarray) -> np.ndarray:
    n = squares.shape[1]
    sd = np.maximum(np.sqrt(squares.sum(axis=1) / (n - 1)), least_sd)
    return n * (0.5 * math.log(2 * math.pi) + np.log(sd)) + (n - 1) / 2


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("rss", lambda y, mu, _: (y - mu) ** 2),
        Loss("log_rss", _log_ratio_squared, floor=0.5, logs=True),
        Loss("sqrt_rss", lambda y, mu, _: (np.sqrt(mu) - np.sqrt(y)) ** 2),
        Loss("binomial", _binomial, extra="trials", likelihood=True),
        Loss("poisson_deviance", _poisson_deviance, floor=0.5, likelihood=True),
        Loss("half_poisson_deviance", lambda *a: 0.5 * _poisson_deviance(*a), floor=0.5, likelihood=True),
        Loss("negative_binomial", _negative_binomial, floor=0.5, extra="dispersion", likelihood=True),
        Loss("gaussian", lambda y, mu, sd: 0.5 * ((y - mu) / sd) ** 2, extra="sd", likelihood=True),
        Loss(
            "log_gaussian",
            _log_ratio_squared,
            floor=0.5,
            extra="least_sd",
            likelihood=True,
            logs=True,
            total=_log_gaussian,
        ),
    )
}


def check_observed(loss: Loss, observed: np.ndarray, extra: np.ndarray, name: str) -> None:
    """Raise where the observed data cannot belong to the family.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.losses import LOSSES, check_observed
    >>> check_observed(LOSSES["poisson_deviance"], np.array([1.0, -2.0]), np.nan, "cases")
    Traceback (most recent call last):
    ...
    ValueError: target 'cases': poisson_deviance needs data of at least 0, not -2
    """
    signed = loss.name in ("rss", "gaussian")
    if not signed and np.any(observed < 0):
        raise ValueError(f"target {name!r}: {loss.name} needs data of at least 0, not {observed.min():g}")
    if loss.extra is not None:
        if not np.all(np.isfinite(extra)) or np.any(extra <= 0):
            raise ValueError(f"target {name!r}: {loss.name} needs {loss.extra}=, a positive number or array")
        if loss.name == "log_gaussian" and (extra.ndim or observed.size < 2):
            raise ValueError(
                f"target {name!r}: log_gaussian needs at least 2 data, and one least_sd= for all of them"
            )
        if loss.name == "binomial" and np.any(observed > extra):
            raise ValueError(
                f"target {name!r}: {observed.max():g} observed of {float(np.min(extra)):g} trials"
            )
    if not math.isfinite(loss.lowest(observed, loss.floor, extra)):
        raise ValueError(f"target {name!r}: {loss.name} is not finite even for a perfect simulation")


@dataclass(frozen=True)
class LogRelativeRisk:
    """Logarithms of the rates of all groups but one over the rate of that one: a target's `statistic`.

    With the logarithms of the observed relative risks and the loss "rss" the target is the sum of
    log^2(simulated / observed relative risk).

    Parameters
    ----------
    reference : int
        Place of the group to which the others are compared, on the output's last axis.
    floor : float
        Least rate that is taken, so that a run without a case in a group has a large loss, not an infinite one.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> by_age = hc.losses.LogRelativeRisk(reference=0, floor=0.1)
    >>> np.exp(by_age(np.array([20.0, 10.0, 0.0]))).round(3)
    array([0.5  , 0.005])
    >>> target = hc.Target("severe", observed=np.log([0.5, 0.1]), loss="rss", statistic=by_age)
    >>> target.losses(np.array([[20.0, 10.0, 2.0]])).round(9)
    array([0.])
    """

    reference: int
    floor: float

    def __post_init__(self) -> None:
        if not (self.floor > 0 and math.isfinite(self.floor)):
            raise ValueError(f"floor is {self.floor!r}: give the least rate that is taken, above 0")

    def __call__(self, rates: np.ndarray) -> np.ndarray:
        """Log relative risks of rates (..., groups), shape (..., groups - 1)."""
        logs = np.log(np.maximum(rates, self.floor))
        if not -logs.shape[-1] <= self.reference < logs.shape[-1]:
            raise ValueError(f"reference is group {self.reference} of {logs.shape[-1]}")
        others = np.delete(logs, self.reference, axis=-1)
        return others - logs[..., self.reference, None]


@dataclass(frozen=True)
class CurveResidual:
    """Simulated points less a curve that was observed at other abscissae: a target's `statistic`.

    The output holds the points as two rows, x and y; the curve is interpolated linearly at each x and holds its end
    values beyond its ends. With zeros as observed data and the loss "rss" the target is the sum of squared residuals.

    Parameters
    ----------
    x, y : sequence of float
        The curve, x ascending.
    floor : float, optional
        Where it is given, residuals are logarithms of the ratio of point to curve, and this is the least value that
        either takes.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> curve = hc.losses.CurveResidual(x=[0.0, 50.0, 100.0], y=[0.0, 20.0, 10.0])
    >>> points = np.array([[25.0, 75.0], [12.0, 14.0]])  # prevalence and rate of two settings
    >>> curve(points)
    array([ 2., -1.])
    >>> hc.Target("points", observed=np.zeros(2), loss="rss", statistic=curve).losses(points[None])
    array([5.])
    """

    x: Any
    y: Any
    floor: float | None = None

    def __post_init__(self) -> None:
        x, y = (np.asarray(values, dtype=float) for values in (self.x, self.y))
        if (
            x.ndim != 1
            or x.shape != y.shape
            or len(x) < 2
            or not np.isfinite([x, y]).all()
            or (np.diff(x) <= 0).any()
        ):
            raise ValueError(
                f"the curve has x {self.x!r} and y {self.y!r}: give two lists of at least two finite numbers each, "
                "as long as each other, x ascending"
            )
        if self.floor is not None and not (self.floor > 0 and math.isfinite(self.floor)):
            raise ValueError(f"floor is {self.floor!r}: give the least value that a logarithm takes, above 0")
        object.__setattr__(self, "x", tuple(x.tolist()))
        object.__setattr__(self, "y", tuple(y.tolist()))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Residuals of n points, (2, n) to (n,)."""
        if np.ndim(points) != 2 or len(points) != 2:
            raise ValueError(f"points have shape {np.shape(points)}: give two rows, x and y")
        curve, y = np.interp(points[0], self.x, self.y), points[1]
        if self.floor is None:
            return y - curve
        return np.log(np.maximum(y, self.floor) / np.maximum(curve, self.floor))
