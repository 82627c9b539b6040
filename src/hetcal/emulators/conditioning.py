"""Fitted hyperparameters with other runs: which locations to fit to, and what all others then add.

R's optimisation costs the third power of the number of locations at every step, and of the noise and the lengthscales
together it takes hundreds. So R fits all hyperparameters to some locations; those of the mean, of which some locations
tell too little where there are many parameters, are then moved to where all runs are likeliest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import digamma, polygamma

from hetcal.emulators.base import Replicates, find_replicates
from hetcal.emulators.gaussian_process import GaussianProcess
from hetcal.emulators.hetgp_state import HetGPState
from hetcal.emulators.hyperparameters import HyperparameterLikelihood
from hetcal.threads import one_blas_thread

# A nugget of the noise process that keeps its matrix well-conditioned at thousands of locations.
_NOISE_NUGGET = 1e-3

# Locations that lengthscales and the level of the noise are moved to; each step costs their third power.
_MOST_MOVED_TO = 1000

_BOUNDS = (0.01, 100.0)

# Of the locations that are fitted to, the share that is taken from the lowest fifth of all.
_LOW = 0.25
_LOWEST = 0.2


def spread_locations(data: Replicates, n: int) -> np.ndarray:
    """Choose locations that are spread over the space, and over where the values are low.

    Farthest points first: each next one is farthest from all chosen. The first is the location with the most
    replicates, which tells most of the noise; then come a quarter of all from the fifth of the locations with the
    lowest means, where a calibration looks closest; then the others. No draw is involved.

    Parameters
    ----------
    data : Replicates
    n : int
        How many, at most the number of locations.

    Returns
    -------
    numpy.ndarray
        Their rows in ascending order, (n,).
    """
    order = np.argsort(data.mean, kind="stable")
    lowest = order[: max(1, int(_LOWEST * len(order)))]
    chosen = [int(np.argmax(data.count))]
    distance = np.full(len(data.X), np.inf)

    def add(among: np.ndarray, until: int) -> None:
        nonlocal distance
        while len(chosen) < until:
            distance = np.minimum(distance, ((data.X - data.X[chosen[-1]]) ** 2).sum(axis=1))
            distance[chosen[-1]] = -1.0  # locations may nearly coincide; none is taken twice
            chosen.append(int(among[np.argmax(distance[among])]))

    add(lowest, min(1 + int(_LOW * n), len(lowest), n))
    add(np.arange(len(data.X)), n)
    return np.sort(chosen)


def at_locations(data: Replicates, rows: np.ndarray) -> Replicates:
    """The runs at some of the locations."""
    kept = np.isin(np.repeat(np.arange(len(data.X)), data.count), rows)
    location = np.repeat(np.arange(len(rows)), data.count[rows])
    return Replicates(data.X[rows], data.mean[rows], data.count[rows], data.y[kept], location)


@one_blas_thread
def carried_to_all(
    state: HetGPState,
    data: Replicates,
    rows: np.ndarray,
    covariance: str,
    bounds: tuple[Any, Any] | None = None,
) -> HetGPState:
    """The state of a fit to some locations, carried to all.

    The noise process keeps its hyperparameters; lengthscales and the level of the noise move to where all runs are
    likeliest (those of 1,000 locations at most). Without it a fit to 120 of 1,000 locations of 23 parameters predicts
    worse than R's to all, with it better.

    Parameters
    ----------
    state : HetGPState
        Fitted to the locations ``rows``.
    data : Replicates
        All runs.
    rows : numpy.ndarray
        Rows of ``data`` that were fitted to, ascending, (m,).
    covariance : str
    bounds : (lower, upper), optional
        Of the lengthscales, numbers or arrays (d,); .01 and 100 where not given.

    Returns
    -------
    HetGPState
    """
    whole = seen = condition_on_all(state, data, rows, covariance)
    if len(data.X) > _MOST_MOVED_TO:
        some = spread_locations(data, _MOST_MOVED_TO)
        Lambda = None if whole.Lambda is None else whole.Lambda[some]
        part = at_locations(data, some)
        seen = replace(whole, X0=part.X, Z0=part.mean, mult=part.count, Z=part.y, Lambda=Lambda)
    likelihood = HyperparameterLikelihood(seen, covariance)
    moved = replace(
        likelihood.moved(whole, likelihood.highest(*(_BOUNDS if bounds is None else bounds))),
        message="CONVERGENCE: likeliest lengthscales and level of noise, after R's fit to some locations",
    )
    return _with_trend_and_variance(moved, covariance)


def condition_on_all(state: HetGPState, data: Replicates, rows: np.ndarray, covariance: str) -> HetGPState:
    """The state of a fit to the locations ``rows``, conditioned on all with hyperparameters fixed.

    Trend and process variance have closed forms, which are evaluated with all runs; so is, to the second order, the
    posterior of the log noise (`_log_noise`). Parameters as of `carried_to_all`.
    """
    whole = replace(state, X0=data.X, Z0=data.mean, mult=data.count, Z=data.y)
    noise = state.noise_process(covariance)
    if noise is not None:
        whole = replace(whole, g=max(state.g, _NOISE_NUGGET))
        Delta, log_ratio = _log_noise(state, whole.g, state.process(covariance), noise, data, rows)
        whole = replace(whole, Delta=Delta, Lambda=np.exp(log_ratio))
    return _with_trend_and_variance(whole, covariance)


def _with_trend_and_variance(state: HetGPState, covariance: str) -> HetGPState:
    """With the trend and the process variance under which its runs are likeliest."""
    process, of_runs = state.process(covariance), np.repeat(np.arange(len(state.Z0)), state.mult)
    ones = process.solve(np.ones(len(state.Z0)))
    trend = float(ones @ state.Z0 / ones.sum())
    residual = state.Z0 - trend
    within = ((state.Z - state.Z0[of_runs]) ** 2 / state.noise_ratio[of_runs]).sum()
    scale = float((within + residual @ process.solve(residual)) / len(state.Z))
    return replace(state, beta0=trend, nu_hat=scale)


def _log_noise(
    state: HetGPState,
    nugget: float,
    process: GaussianProcess,
    noise: GaussianProcess,
    data: Replicates,
    rows: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Latent log noise ratios of all locations as hetGP stores them, and smoothed; each (n,).

    The noise process is given what the runs of each location say of its log noise, with that statement's variance.
    At a fitted location the statement is the one whose posterior mode hetGP found, with the Fisher information r / 2
    of r runs. At any other it is the log of the mean squared distance from the fit's prediction, corrected for the
    prediction's own variance and by digamma(r / 2) for bias, with variance trigamma(r / 2), as in hetGP's
    ``update(method = "mixed")``. What is stored is such that hetGP's own formula, with its nugget, gives this process.
    """
    assert state.nu_hat_var is not None
    n = len(data.X)
    mean, mean_var = process.predict(data.X)
    ratio = np.exp(noise.predict(data.X, variance=False)[0])
    own_share = 1 / (1 + mean_var / (state.nu_hat * ratio))
    of_runs = np.repeat(np.arange(n), data.count)
    squares = np.bincount(of_runs, weights=(data.y - mean[of_runs]) ** 2) / data.count
    half = data.count / 2
    said = np.log(np.maximum(squares / state.nu_hat, 1e-300) * own_share) - digamma(half) + np.log(half)
    variance = polygamma(1, half) / own_share**2
    variance[rows] = 1 / half[rows]
    said[rows] = noise.Z + variance[rows] * noise.weights / state.nu_hat_var
    conditioned = replace(noise, X=data.X, Z=said, nugget=variance / state.nu_hat_var)
    smoothed = conditioned.predict(data.X, variance=False)[0]
    return smoothed + (state.eps + nugget / data.count) * conditioned.weights, smoothed


def with_runs(state: HetGPState, noise: GaussianProcess | None, X: np.ndarray, z: np.ndarray) -> HetGPState:
    """A state of that noise process with runs at X (N, d) of latent values z (N,) added, all hyperparameters fixed.

    As hetGP's ``update(model, Xnew, Znew, maxit = 0)``: a new location takes its noise from the noise process.
    """
    rows = np.repeat(np.arange(len(state.Z0)), state.mult)
    data = find_replicates(np.vstack([state.X0[rows], X]), np.concatenate([state.Z, z]))
    latent: dict[str, Any] = {}
    if noise is not None and state.Delta is not None and state.Lambda is not None:
        log_ratio = noise.predict(data.X[len(state.Z0) :], variance=False)[0]
        latent = {
            "Delta": np.concatenate([state.Delta, log_ratio]),
            "Lambda": np.concatenate([state.Lambda, np.exp(log_ratio)]),
        }
    return replace(state, X0=data.X, Z0=data.mean, mult=data.count, Z=data.y, message="updated", **latent)
