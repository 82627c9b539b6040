"""What runs say of a HetGP's lengthscales, variance and level of noise: the likeliest, and draws of what is left open.

An emulator with one best set of lengthscales is too sure of itself: where a parameter matters little its lengthscale
is hardly known, and its index takes all of that uncertainty.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numba import njit
from scipy import optimize
from scipy.linalg import lapack

from hetcal.emulators.gaussian_process import COVARIANCES, correlation
from hetcal.emulators.hetgp_state import HetGPState
from hetcal.threads import one_blas_thread

_STEPS, _STEP, _BURN_IN = 3, 0.6, 10
_NOISE_PRIOR = (
    3.0  # sd of the log of the noise against the fit's: wide, and proper where runs are not repeated
)
_FARTHEST = 12.0  # lengthscales lie between e^-12 and e^12 cubes


@njit(cache=True, fastmath=True)
def _slopes(X, inverse, weights, kind):  # pragma: no cover - compiled
    """Sum over pairs of weights x d log correlation / d log inverse lengthscale, (d,)."""
    out = np.zeros(X.shape[1])
    for i in range(X.shape[0]):
        for j in range(i):
            for k in range(X.shape[1]):
                a = abs(X[i, k] - X[j, k]) * inverse[k]
                if kind == 0:
                    slope = 2.0 * a * a
                elif kind == 1:
                    slope = a * a / (1.0 + a)
                else:
                    slope = a * a * (1.0 + a) / (3.0 + a * (3.0 + a))
                out[k] -= 2.0 * weights[i, j] * slope
    return out


class HyperparameterLikelihood:
    """Log likelihood of log inverse lengthscales (d) and the log of the noise against the fit's, with its gradient.

    Trend and process variance are integrated out under their reference priors.

    Parameters
    ----------
    state : HetGPState
    covariance : str
    """

    def __init__(self, state: HetGPState, covariance: str) -> None:
        self.state, self.covariance = state, covariance
        n = len(state.Z0)
        location = np.repeat(np.arange(n), state.mult)
        self.runs = len(state.Z)
        noise = state.noise_ratio
        # Sum over a location's runs of squared deviations from their mean, in units of the noise there.
        self.within = float(np.sum((state.Z - state.Z0[location]) ** 2 / noise[location]))
        self.nugget = noise / state.mult

    def theta(self, point: np.ndarray) -> np.ndarray:
        """Lengthscales, as hetGP has them, of a point."""
        length = np.exp(-point[:-1])
        return length**2 if self.covariance == "Gaussian" else length

    def start(self) -> np.ndarray:
        """The fit's own values."""
        return np.append(self._log_inverse(self.state.theta), 0.0)

    def _log_inverse(self, theta: np.ndarray) -> np.ndarray:
        return -np.log(np.sqrt(theta) if self.covariance == "Gaussian" else theta)

    def moved(self, state: HetGPState, point: np.ndarray) -> HetGPState:
        """A state of this one's noise model with the lengthscales and the level of the noise at a point."""
        level = float(point[-1])
        changes: dict[str, Any] = {"theta": self.theta(point)}
        if state.Lambda is None or state.Delta is None or state.nmean is None:
            changes["g"] = np.exp(level) * state.g
        else:
            changes["Lambda"] = np.exp(level) * state.Lambda
            changes |= {"Delta": state.Delta + level, "nmean": state.nmean + level}
        return replace(state, **changes)

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray, tuple[float, float]]:
        """Log likelihood, gradient, and what the process variance and trend need: sum of squares, trend."""
        state, n = self.state, len(self.state.Z0)
        inverse, gamma = np.exp(point[:-1]), float(np.exp(point[-1]))
        K = correlation(state.X0, state.X0, self.theta(point), self.covariance)
        noisy = K.copy()
        noisy[np.diag_indices(n)] += gamma * self.nugget + state.eps
        L, info = lapack.dpotrf(noisy.T, lower=1, clean=1)
        if info != 0:
            return -np.inf, np.zeros_like(point), (np.nan, np.nan)
        ones, weights = lapack.dpotrs(L, np.column_stack([np.ones(n), state.Z0]), lower=1)[0].T
        trend = weights.sum() / ones.sum()
        weights = weights - trend * ones
        within = self.within / gamma
        squares = float(state.Z0 @ weights + within)
        more = self.runs - n
        value = -np.log(np.diag(L)).sum() - 0.5 * (
            np.log(ones.sum()) + (self.runs - 1) * np.log(squares) + more * point[-1]
        )
        lower = lapack.dpotri(L, lower=1)[0]
        inverse_K = lower + np.tril(lower, -1).T
        share = (self.runs - 1) / squares
        G = 0.5 * (share * np.outer(weights, weights) + np.outer(ones, ones) / ones.sum() - inverse_K)
        scaled = (
            inverse * {"Gaussian": 1.0, "Matern3_2": np.sqrt(3), "Matern5_2": np.sqrt(5)}[self.covariance]
        )
        slopes = _slopes(state.X0, scaled, G * K, COVARIANCES.index(self.covariance))
        gradient = np.append(slopes, gamma * np.diag(G) @ self.nugget + 0.5 * (share * within - more))
        return float(value), gradient, (squares, float(trend))

    def highest(self, shortest: Any = None, longest: Any = None) -> np.ndarray:
        """Where it is highest, from the fit's values; bounds are lengthscales as hetGP has them, (d,) or numbers."""

        def downhill(point: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient, _ = self(point)
            return (-value, -gradient) if np.isfinite(value) else (1e10, gradient)

        start = self.start()
        limits = np.tile([-_FARTHEST, _FARTHEST], (len(start), 1))
        for column, bound in ((0, longest), (1, shortest)):
            if bound is not None:
                limits[:-1, column] = self._log_inverse(bound)
        # Of a log likelihood of thousands a millionth part moves no prediction.
        how = {"jac": True, "method": "L-BFGS-B", "options": {"ftol": 1e-6}}
        found = optimize.minimize(downhill, start, bounds=limits, **how)
        return found.x


class HyperparameterPosterior(HyperparameterLikelihood):
    """Log posterior of the same.

    Each inverse lengthscale has a gamma prior of shape 2, flat in the share of variance that its parameter takes where
    that share is small, so that a parameter is believed inert only where the runs say so; their sum is about 12
    whatever d, since log correlations add up over parameters.
    """

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray, tuple[float, float]]:
        """As of the likelihood, of the log density."""
        value, gradient, rest = super().__call__(point)
        inverse, level = np.exp(point[:-1]), point[-1] / _NOISE_PRIOR
        rate = len(inverse) / 6
        prior = 2 * point[:-1].sum() - rate * inverse.sum() - 0.5 * level**2
        return value + prior, gradient + np.append(2 - rate * inverse, -level / _NOISE_PRIOR), rest

    def spread(self, mode: np.ndarray) -> np.ndarray:
        """A square root of the covariance of Laplace's approximation at the mode, no direction wider than 2."""
        step = 1e-3
        rows = [(self(mode + step * e)[1] - self(mode - step * e)[1]) / (2 * step) for e in np.eye(len(mode))]
        values, vectors = np.linalg.eigh(-0.5 * (np.array(rows) + np.array(rows).T))
        return vectors / np.sqrt(np.maximum(values, 0.25))


@one_blas_thread
def draw_hyperparameters(
    state: HetGPState, covariance: str, n: int, rng: np.random.Generator
) -> list[HetGPState]:
    """The state with n draws of its lengthscales, process variance, trend and noise level from their posterior.

    Hamiltonian Monte Carlo in the coordinates of Laplace's approximation: some hundred likelihoods in all. Lengthscales
    are not held to the bounds of the fit, which stop most where a parameter matters least. How the noise varies over
    the space stays as fitted.

    Parameters
    ----------
    state : HetGPState
    covariance : str
    n : int
    rng : numpy.random.Generator

    Returns
    -------
    list of HetGPState

    References
    ----------
    Neal (2011), MCMC using Hamiltonian dynamics.
    """
    posterior = HyperparameterPosterior(state, covariance)
    point = posterior.highest()
    root = posterior.spread(point)
    value, gradient, rest = posterior(point)
    drawn = []
    for step in range(_BURN_IN + n):
        momentum = rng.standard_normal(len(point))
        energy = value - 0.5 * momentum @ momentum
        length = _STEP * rng.uniform(0.7, 1.3)
        new, new_value, new_gradient, new_rest = point, value, gradient, rest
        for _ in range(_STEPS):
            momentum = momentum + 0.5 * length * (root.T @ new_gradient)
            new = new + length * (root @ momentum)
            if np.any(np.abs(new) > _FARTHEST):
                new_value = -np.inf
                break
            new_value, new_gradient, new_rest = posterior(new)
            momentum = momentum + 0.5 * length * (root.T @ new_gradient)
        if np.log(rng.random()) < new_value - 0.5 * momentum @ momentum - energy:
            point, value, gradient, rest = new, new_value, new_gradient, new_rest
        if step >= _BURN_IN:
            squares, trend = rest
            variance = squares / rng.chisquare(posterior.runs - 1)
            drawn.append(replace(posterior.moved(state, point), nu_hat=variance, beta0=trend))
    return drawn
