"""Losses: how far a simulated output is from the observed one, all runs at once.

Each loss states its lowest possible value and a natural unit, so that a target can say on which scale it may be
emulated: a logarithm needs a bound that the loss never reaches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

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
        Name of the further argument that the family needs (trials, dispersion, sd).
    likelihood : bool
        Whether its unit is that of a log likelihood (or a deviance).

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

    def evaluate(
        self, observed: np.ndarray, simulated: np.ndarray, floor: float | None, extra: np.ndarray
    ) -> np.ndarray:
        """Loss of each run: observed has shape ``s``, simulated (n, *s); returns (n,)."""
        if floor is not None:
            simulated = np.maximum(simulated, floor)
            observed = np.maximum(observed, floor) if self.name == "log_rss" else observed
        with np.errstate(divide="ignore", invalid="ignore"):
            each = self.pointwise(observed, simulated, extra)
        return each.reshape(len(simulated), -1).sum(axis=1)

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


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("rss", lambda y, mu, _: (y - mu) ** 2),
        Loss("log_rss", lambda y, mu, _: np.log(mu / y) ** 2, floor=0.5),
        Loss("sqrt_rss", lambda y, mu, _: (np.sqrt(mu) - np.sqrt(y)) ** 2),
        Loss("binomial", _binomial, extra="trials", likelihood=True),
        Loss("poisson_deviance", _poisson_deviance, floor=0.5, likelihood=True),
        Loss("negative_binomial", _negative_binomial, floor=0.5, extra="dispersion", likelihood=True),
        Loss("gaussian", lambda y, mu, sd: 0.5 * ((y - mu) / sd) ** 2, extra="sd", likelihood=True),
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
    counts = loss.name in ("binomial", "poisson_deviance", "negative_binomial")
    if (counts or loss.name in ("sqrt_rss", "log_rss")) and np.any(observed < 0):
        raise ValueError(f"target {name!r}: {loss.name} needs data of at least 0, not {observed.min():g}")
    if loss.extra is not None:
        if not np.all(np.isfinite(extra)) or np.any(extra <= 0):
            raise ValueError(f"target {name!r}: {loss.name} needs {loss.extra}=, a positive number or array")
        if loss.name == "binomial" and np.any(observed > extra):
            raise ValueError(
                f"target {name!r}: {observed.max():g} observed of {float(np.min(extra)):g} trials"
            )
    if not math.isfinite(loss.lowest(observed, loss.floor, extra)):
        raise ValueError(f"target {name!r}: {loss.name} is not finite even for a perfect simulation")
