"""How wrong the mean of a stack may be, learned from what held-out locations show.

The variance of level 1 knows nothing of what the learners below it get wrong. A location that was held out shows it:
the squared residual of its mean, less the noise of that mean, estimates the variance of the emulated mean there.
These estimates are smoothed over two predictors, the learners' disagreement and the mean, by the log-linear variance
of greatest likelihood; where the smooth exceeds level 1's own variance the excess is added. Level 1 takes what the
learners miss for noise, so the noise of a run is first learned from what replicates show of it, over the same
predictors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack
from scipy.optimize import minimize, minimize_scalar

from hetcal.emulators.gaussian_process import correlation
from hetcal.threads import one_blas_thread

_LARGEST_FACTOR = 16.0
_LENGTHSCALES = (0.1, 0.2, 0.4, 0.8, 1.6)  # times the square root of the dimension
# Replicates beyond the first, needed before what they show of the noise may differ from place to place.
_FREE = 20
# Least noise variance, as a share of the variance between locations: of a simulator without noise.
_LEAST = 1e-12
_LOCATIONS = 800  # the likelihood of a lengthscale costs their cube


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What held-out locations show.

    Attributes
    ----------
    X : numpy.ndarray
        Locations, (n, d).
    residual : numpy.ndarray
        Mean of the replicates less the prediction from all other locations, (n,).
    mean_var : numpy.ndarray
        Variance that level 1 claims for that prediction, (n,).
    noise_var : numpy.ndarray
        Noise variance of one run as level 1 has it, (n,).
    squares : numpy.ndarray
        Squared deviations of the replicates from their mean, summed, (n,).
    replicates : numpy.ndarray
        (n,).
    mean : numpy.ndarray
        The prediction, (n,).
    disagreement : numpy.ndarray
        Variance between the learners, (n,).
    fold : numpy.ndarray
        (n,)
    """

    X: np.ndarray
    residual: np.ndarray
    mean_var: np.ndarray
    noise_var: np.ndarray
    squares: np.ndarray
    replicates: np.ndarray
    mean: np.ndarray
    disagreement: np.ndarray
    fold: np.ndarray


@dataclass(frozen=True, eq=False)
class MeanVariance:
    """Variance of a stack's mean: ``factor`` x the larger of level 1's own and of the smooth.

    Attributes
    ----------
    coefficients : numpy.ndarray
        Of the log variance: constant, log disagreement, mean; (3,).
    noise_coefficients : numpy.ndarray
        Of the log of the noise variance over `noise_base`, likewise.
    noise_range : numpy.ndarray
        Lowest and highest of that logarithm in training, beyond which it is held, (2,).
    noise_base : float or None
        Pooled variance of the replicates; None where there are none, and level 1's noise is all that is known.
    low, high : numpy.ndarray
        Ranges of the two predictors in training, beyond which they are held, (2,).
    factor : float
        Calibrated by the log score of locations whose fold the smooth has not seen.
    lengthscale : float
        Over which the excess is one error, in the unit cube.
    """

    coefficients: np.ndarray
    noise_coefficients: np.ndarray
    noise_range: np.ndarray
    noise_base: float | None
    low: np.ndarray
    high: np.ndarray
    factor: float
    lengthscale: float

    def smooth(self, disagreement: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Smoothed variance of the mean, (m,)."""
        return np.exp(self._at(disagreement, mean) @ self.coefficients)

    def noise_var(self, level1: np.ndarray, disagreement: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Noise variance of one run where level 1 has ``level1``, (m,)."""
        log_ratio = self._at(disagreement, mean) @ self.noise_coefficients
        base = level1 if self.noise_base is None else self.noise_base
        return base * np.exp(np.clip(log_ratio, *self.noise_range))

    def _at(self, disagreement: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return _design(_predictors(disagreement, mean, self.low[0]), self.low, self.high)

    def excess(self, mean_var: np.ndarray, disagreement: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """What is added to ``factor`` x level 1's own variance, (m,)."""
        return self.factor * np.maximum(0.0, self.smooth(disagreement, mean) - mean_var)


def fit_mean_variance(held_out: HeldOut) -> tuple[MeanVariance, np.ndarray, np.ndarray]:
    """Learn the variance of the mean, and what it says of each location when its fold is left out.

    Parameters
    ----------
    held_out : HeldOut

    Returns
    -------
    MeanVariance, numpy.ndarray, numpy.ndarray
        And of each location the variance of the mean and the noise variance of one run, each (n,).
    """
    floor = np.log(np.maximum(held_out.disagreement, 1e-300)).max() - 30.0
    predictors = _predictors(held_out.disagreement, held_out.mean, floor)
    low, high = predictors.min(axis=0), predictors.max(axis=0)
    design = _design(predictors, low, high)
    base = _pooled_noise(held_out)
    reference = held_out.noise_var if base is None else np.full(len(design), base)
    noise_coefficients = np.zeros(3)
    if base is not None and _free(held_out) >= _FREE:
        noise_coefficients = _log_linear_noise(design, base, held_out)
    log_ratio = design @ noise_coefficients
    noise_var = reference * np.exp(log_ratio)
    noise = noise_var / held_out.replicates
    squares = held_out.residual**2
    coefficients = _log_linear(design, squares, noise)
    smooth = np.empty(len(design))
    for fold in np.unique(held_out.fold):
        own = held_out.fold == fold
        smooth[own] = np.exp(design[own] @ _log_linear(design[~own], squares[~own], noise[~own]))
    claimed = np.maximum(held_out.mean_var, smooth)
    factor = _factor(squares, noise, claimed)
    lengthscale = _lengthscale(held_out, noise, factor, claimed)
    noise_range = np.array([log_ratio.min(), log_ratio.max()])
    learned = MeanVariance(
        coefficients, noise_coefficients, noise_range, base, low, high, factor, lengthscale
    )
    return learned, factor * claimed, noise_var


def _predictors(disagreement: np.ndarray, mean: np.ndarray, floor: float) -> np.ndarray:
    return np.column_stack([np.log(np.maximum(disagreement, math.exp(max(floor, -690.0)))), mean])


def _design(predictors: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Constant and both predictors from -1 to 1 over their training range, (m, 3)."""
    width = np.where(high > low, high - low, 1.0)
    return np.column_stack([np.ones(len(predictors)), 2 * (np.clip(predictors, low, high) - low) / width - 1])


def _pooled_noise(held_out: HeldOut) -> float | None:
    """Variance of replicates about the means of their locations; None without any."""
    free = _free(held_out)
    least = _LEAST * float(np.var(held_out.mean + held_out.residual))
    return max(float(held_out.squares.sum()) / free, least) if free else None


def _free(held_out: HeldOut) -> int:
    """Replicates beyond the first of each location."""
    return int((held_out.replicates - 1).sum())


def _log_linear_noise(design: np.ndarray, base: float, held_out: HeldOut) -> np.ndarray:
    """Coefficients of the log noise variance over ``base`` under which the replicates' deviations are likeliest."""
    free, relative = held_out.replicates - 1, held_out.squares / base

    def minus_log_likelihood(b: np.ndarray) -> tuple[float, np.ndarray]:
        log_ratio = design @ b
        scaled = relative * np.exp(-log_ratio)
        value = 0.5 * np.sum(free * log_ratio + scaled) + 0.5 * np.sum(b[1:] ** 2) / 4
        slope = 0.5 * design.T @ (free - scaled)
        slope[1:] += b[1:] / 4
        return float(value), slope

    start, bounds = np.zeros(3), [(-10.0, 10.0)] * 3
    return np.asarray(minimize(minus_log_likelihood, start, jac=True, bounds=bounds, method="L-BFGS-B").x)


def _log_linear(A: np.ndarray, squares: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Coefficients of the log variance of greatest likelihood; more disagreement never means less variance."""
    total = float(squares.mean())

    def minus_log_likelihood(b: np.ndarray) -> tuple[float, np.ndarray]:
        variance = np.exp(A @ b)
        whole = variance + noise
        value = 0.5 * np.sum(np.log(whole) + squares / whole) + 0.5 * np.sum(b[1:] ** 2) / 4
        slope = 0.5 * A.T @ (variance * (1 / whole - squares / whole**2))
        slope[1:] += b[1:] / 4
        return float(value), slope

    start = math.log(max(total - float(noise.mean()), 0.05 * total))
    constant = (math.log(1e-6 * total), math.log(100 * total))
    found = minimize(
        minus_log_likelihood,
        [start, 0.0, 0.0],
        jac=True,
        bounds=[constant, (0.0, 10.0), (-10.0, 10.0)],
        method="L-BFGS-B",
    )
    return np.asarray(found.x)


def _factor(squares: np.ndarray, noise: np.ndarray, claimed: np.ndarray) -> float:
    def minus_log_score(log_factor: float) -> float:
        whole = math.exp(log_factor) * claimed + noise
        return float(np.sum(np.log(whole) + squares / whole))

    most = math.log(_LARGEST_FACTOR)
    return math.exp(minimize_scalar(minus_log_score, bounds=(-most, most), method="bounded").x)


@one_blas_thread
def _lengthscale(held_out: HeldOut, noise: np.ndarray, factor: float, claimed: np.ndarray) -> float:
    """The lengthscale under which the held-out residuals, as one error over the space, are likeliest."""
    rows = slice(0, _LOCATIONS)
    X, residual = held_out.X[rows], held_out.residual[rows]
    excess = np.sqrt(factor * np.maximum(0.0, claimed - held_out.mean_var)[rows])
    rest = (factor * np.minimum(claimed, held_out.mean_var) + noise)[rows]
    root = math.sqrt(X.shape[1])

    def log_likelihood(lengthscale: float) -> float:
        K = correlation(X, X, np.full(X.shape[1], lengthscale), "Matern5_2")
        K *= np.outer(excess, excess)
        K[np.diag_indices_from(K)] += rest + 1e-9 * float(residual.var())
        L, info = lapack.dpotrf(K, lower=1)
        if info:
            return -math.inf
        white = lapack.dtrtrs(L, residual, lower=1)[0]
        return -float(np.log(np.diag(L)).sum() + 0.5 * white @ white)

    return max((length * root for length in _LENGTHSCALES), key=log_likelihood)
