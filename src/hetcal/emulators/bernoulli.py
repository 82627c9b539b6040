"""A Bernoulli emulator: the probability of an event (take-off, say) over the space, from counts at locations.

A Gaussian process on the logit with binomial counts, by Laplace's approximation; the mean, the variance and one common
lengthscale are those with the highest evidence on a small grid, so that a fit is quick and never stuck.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, special

from hetcal.emulators.base import Prediction
from hetcal.emulators.gaussian_process import correlation, square_root

_SCALES = (1.0, 4.0, 16.0, 64.0)
_LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
_COVARIANCE = "Matern5_2"


@dataclass(frozen=True, eq=False)
class BernoulliGP:
    """Probability of an event at points of the unit cube.

    Attributes
    ----------
    X : numpy.ndarray
        Locations, (n, d).
    mean, scale, length : float
        Of the logit.
    evidence : float
        Log evidence by Laplace's approximation.
    trend : callable, optional
        What is known of the logit beforehand, at points (m, d); added to the mean.

    References
    ----------
    Rasmussen and Williams (2006), chapter 3; MacKay (1992) for the probability averaged over the logit.
    """

    X: np.ndarray
    mean: float
    scale: float
    length: float
    evidence: float
    _weights: np.ndarray
    _root: np.ndarray
    _factor: np.ndarray
    trend: Callable[[np.ndarray], np.ndarray] | None = None

    def predict_logit(self, X: np.ndarray) -> Prediction:
        """The logit at points (m, d): mean, mean_var, and as noise_var the inverse of what one run tells of it."""
        X = np.atleast_2d(np.asarray(X, dtype=float))
        k, v = self._whiten(X)
        mean = self._known(X) + k @ self._weights
        mean_var = np.maximum(self.scale - np.einsum("ij,ij->j", v, v), 0.0)
        p = special.expit(mean)
        return Prediction(mean, mean_var, 1 / np.maximum(p * (1 - p), 1e-12))

    def logit(self, X: np.ndarray) -> np.ndarray:
        """The logit's mean at points (m, d), (m,)."""
        return self.predict_logit(X).mean

    def _known(self, X: np.ndarray) -> np.ndarray:
        return np.full(len(X), self.mean) if self.trend is None else self.mean + self.trend(X)

    def covariance_between(self, X1: np.ndarray, X2: np.ndarray) -> np.ndarray:
        """Posterior covariance of the logit between points (m1, d) and (m2, d); (m1, m2)."""
        prior = self.scale * correlation(X1, X2, np.full(X1.shape[1], self.length), _COVARIANCE)
        return prior - self._whiten(X1)[1].T @ self._whiten(X2)[1]

    def sample(self, X: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Joint draws of the logit at points (m, d) from standard normals (n, m); (n, m)."""
        return self.predict_logit(X).mean + normals @ square_root(self.covariance_between(X, X)).T

    def _whiten(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Covariance (m, n) with the locations, and the same divided by the root of the data's, (n, m)."""
        k = self.scale * correlation(X, self.X, np.full(X.shape[1], self.length), _COVARIANCE)
        return k, linalg.solve_triangular(self._factor, (k * self._root).T, lower=True, check_finite=False)

    def probability(self, X: np.ndarray) -> np.ndarray:
        """Probability of the event at points (m, d), averaged over what is not known of the logit; (m,)."""
        logit = self.predict_logit(X)
        return special.expit(logit.mean / np.sqrt(1 + np.pi * logit.mean_var / 8))


def fit_bernoulli(
    X: np.ndarray,
    events: np.ndarray,
    trials: np.ndarray,
    trend: Callable[[np.ndarray], np.ndarray] | None = None,
) -> BernoulliGP:
    """Fit to counts.

    Parameters
    ----------
    X : numpy.ndarray
        Unique locations in the unit cube, (n, d).
    events, trials : numpy.ndarray
        Events among the runs of each location, (n,).
    trend : callable, optional
        What is known of the logit beforehand, up to a constant: takes points (m, d), gives (m,).

    Returns
    -------
    BernoulliGP

    Raises
    ------
    ValueError
        If counts are impossible.
    """
    events, trials = np.asarray(events, dtype=float), np.asarray(trials, dtype=float)
    if np.any(trials < 1) or np.any((events < 0) | (events > trials)):
        raise ValueError("events must lie between 0 and the number of trials at each location")
    known = np.zeros(len(X)) if trend is None else trend(X)
    mean = _common(known, events, trials)
    fits = []
    for length in _LENGTHS:
        R = correlation(X, X, np.full(X.shape[1], length), _COVARIANCE)
        fits += [_laplace(X, R, mean, scale, length, events, trials, trend, known) for scale in _SCALES]
    return max(fits, key=lambda fit: fit.evidence)


def _common(known: np.ndarray, events: np.ndarray, trials: np.ndarray) -> float:
    """The constant that makes logits (n,) add up to the events, half a success and half a failure more."""
    wanted, n = events.sum() + 0.5, trials.sum() + 1
    if not known.any():
        return float(special.logit(wanted / n))
    low, high = -60.0 - known.max(), 60.0 - known.min()

    def excess(constant: float) -> float:
        return float((trials * special.expit(known + constant)).sum() + wanted / n - wanted)

    return float(optimize.brentq(excess, low, high))


def _laplace(
    X: np.ndarray,
    R: np.ndarray,
    constant: float,
    scale: float,
    length: float,
    k: np.ndarray,
    n: np.ndarray,
    trend: Callable[[np.ndarray], np.ndarray] | None,
    known: np.ndarray,
) -> BernoulliGP:
    K = scale * R
    mean = constant + known
    f = np.zeros(len(k))
    for _ in range(100):
        p = special.expit(f + mean)
        W = np.maximum(n * p * (1 - p), 1e-12)
        root = np.sqrt(W)
        L = np.linalg.cholesky(np.eye(len(k)) + root[:, None] * K * root)
        b = W * f + k - n * p
        a = b - root * linalg.cho_solve((L, True), root * (K @ b), check_finite=False)
        change = np.abs(K @ a - f).max()
        f = K @ a
        if change < 1e-6:
            break
    p = special.expit(f + mean)
    likelihood = special.xlogy(k, p).sum() + special.xlog1py(n - k, -p).sum()
    evidence = likelihood - 0.5 * a @ f - np.log(np.diag(L)).sum()
    return BernoulliGP(X, constant, scale, length, float(evidence), a, root, L, trend)
