"""Indices of an emulated response: what sampling leaves open, what the emulator leaves open, and the seed's share."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from hetcal.sensitivity.jansen import Indices, resample
from hetcal.streams import generator

_BLOCK_DRAWS = 20  # functions whose terms are held at once


class SeedShare(NamedTuple):
    """The seed's own total index, E[noise_var] / (Var m + E[noise_var]), with its interval.

    The share of the variance of single runs that stays when all parameters are known. It is no error of the other
    indices, which speak of the mean response.

    Examples
    --------
    >>> from hetcal.sensitivity import SeedShare
    >>> SeedShare(0.2, 0.15, 0.25, 0.02, 0.015).share
    0.2
    """

    share: float
    low: float
    high: float
    emulator_sd: float
    sampling_sd: float


class Spreads(NamedTuple):
    """Standard deviations of the indices by where they come from, each (d,)."""

    first_emulator_sd: np.ndarray
    first_sampling_sd: np.ndarray
    total_emulator_sd: np.ndarray
    total_sampling_sd: np.ndarray


def indices_of_draws(
    f_a: np.ndarray, f_b: np.ndarray, f_ab: np.ndarray, bootstrap: int, seed: int, level: float
) -> tuple[Indices, Spreads]:
    """Mean of each index over functions drawn from an emulator, with intervals that hold both errors.

    Parameters
    ----------
    f_a, f_b : numpy.ndarray
        Each function on the samples A and B, (n, draws).
    f_ab : numpy.ndarray
        On A with column i from B, (n, d, draws).
    bootstrap : int
        Resamples of the rows for each function.
    seed : int
    level : float

    Returns
    -------
    Indices, Spreads
    """
    estimates, within = [], []
    for start in range(0, f_a.shape[1], _BLOCK_DRAWS):
        block = slice(start, start + _BLOCK_DRAWS)
        rng = generator(seed, "bootstrap", start // _BLOCK_DRAWS)
        estimate, resampled = resample(f_a[:, block], f_b[:, block], f_ab[:, :, block], bootstrap, rng)
        estimates.append(estimate)
        within.append(resampled.var(axis=0, ddof=1))
    drawn = np.concatenate(estimates)
    centre, emulator = drawn.mean(axis=0), drawn.std(axis=0, ddof=1)
    sampling = np.sqrt(np.concatenate(within).mean(axis=0))
    half = _quantile(level) * np.hypot(emulator, sampling)
    d = f_ab.shape[1]
    first, total = slice(0, d), slice(d, None)
    columns = [x[kind] for kind in (first, total) for x in (centre, centre - half, centre + half)]
    return Indices(*columns), Spreads(emulator[first], sampling[first], emulator[total], sampling[total])


def seed_share(mean: np.ndarray, noise_var: np.ndarray, level: float) -> SeedShare:
    """The seed's total index from mean response and noise variance of each function, both (rows, draws).

    Of one function only the sampling error is known, and emulator_sd is NaN.
    """
    squares = (mean - mean.mean(axis=0)) ** 2
    variance, noise = squares.mean(axis=0), noise_var.mean(axis=0)
    shares = noise / (variance + noise)
    # Sampling error by the delta method: what each row adds to the ratio.
    influence = (variance * noise_var - noise * squares) / (variance + noise) ** 2
    sampling = math.sqrt(float(influence.var(axis=0, ddof=1).mean()) / len(mean))
    centre, emulator = float(shares.mean()), float(shares.std(ddof=1)) if len(shares) > 1 else math.nan
    half = _quantile(level) * math.hypot(np.nan_to_num(emulator), sampling)
    return SeedShare(centre, max(0.0, centre - half), min(1.0, centre + half), emulator, sampling)


def _quantile(level: float) -> float:
    return NormalDist().inv_cdf(0.5 + level / 2)
