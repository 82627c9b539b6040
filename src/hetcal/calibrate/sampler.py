"""Draws from an emulated posterior over the unit cube, and how many independent ones they are worth."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from hetcal.calibrate.likelihood import EmulatedLikelihood
from hetcal.designs import sobol_points
from hetcal.parameters import Space
from hetcal.streams import generator

if TYPE_CHECKING:
    import pandas as pd

LEAST_EFFECTIVE = 400

# Points of the boxes that close in, and of the last.
_COARSE, _GRID = 2**12, 2**14
_BOXES = 3
_STEPS = 500
_STAGES = 10


def sample_posterior(
    likelihood: EmulatedLikelihood, space: Space, observed: np.ndarray, seed: int, n: int = 4000
) -> tuple[pd.DataFrame, float]:
    """Equally weighted draws from the posterior given observed summaries (1, k), and their effective number.

    In few dimensions by points spread evenly over a box that closes in on the posterior; where that leaves too few
    effective points, by emcee from where it ended. Warns where the draws are worth fewer than 400 independent ones.
    """
    rng = generator(seed, "emulator", 2)
    low, high = np.zeros(space.dimension), np.ones(space.dimension)
    for number in [_COARSE] * _BOXES + [_GRID]:
        points = low + sobol_points(space.dimension, number, rng) * (high - low)
        log_likelihood = likelihood.log_likelihood(points, observed)[0]
        weight = np.exp(log_likelihood - log_likelihood.max())
        weight /= weight.sum()
        inside = points[weight > 1e-5 * weight.max()]
        margin = 0.1 * np.ptp(inside, axis=0) + 0.01
        low, high = np.maximum(inside.min(axis=0) - margin, low), np.minimum(
            inside.max(axis=0) + margin, high
        )
    effective = 1.0 / float((weight**2).sum())
    if effective < LEAST_EFFECTIVE:
        best = points[np.argsort(-log_likelihood, kind="stable")]
        chosen, effective = _emcee(likelihood, observed, best, n, rng)
    else:
        # Systematic: equally spaced positions on the cumulated weights, less noisy than independent draws.
        positions = (rng.random() + np.arange(n)) / n
        chosen = rng.permutation(
            points[np.searchsorted(np.cumsum(weight), positions).clip(max=len(points) - 1)]
        )
    effective = min(effective, float(n))
    if effective < LEAST_EFFECTIVE:
        warnings.warn(
            f"the {n} draws from the posterior are worth {effective:.0f} independent ones: ends of intervals are "
            "uncertain; give fewer parameters or narrower priors",
            stacklevel=2,
        )
    return space.frame(space.from_unit(chosen)), effective


def _emcee(
    likelihood: EmulatedLikelihood, observed: np.ndarray, best: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Draws by emcee's ensemble of walkers (Foreman-Mackey et al. 2013), and their effective number.

    Walkers start at the best points known. Stages are added, the first third of all steps left out, until the draws are
    worth enough.
    """
    import emcee

    def log_posterior(unit: np.ndarray) -> np.ndarray:
        inside = np.all((unit >= 0) & (unit <= 1), axis=1)
        out = np.full(len(unit), -np.inf)
        out[inside] = likelihood.log_likelihood(unit[inside], observed)[0]
        return out

    d = best.shape[1]
    walkers = max(8 * d, 32)
    moves = [
        (emcee.moves.DEMove(), 0.7),
        (emcee.moves.DESnookerMove(), 0.1),
        (emcee.moves.StretchMove(), 0.2),
    ]
    sampler = emcee.EnsembleSampler(walkers, d, log_posterior, moves=moves, vectorize=True)
    sampler.random_state = np.random.RandomState(int(rng.integers(2**31))).get_state()
    state = np.clip(best[:walkers], 1e-6, 1 - 1e-6)
    for _ in range(_STAGES):
        state = sampler.run_mcmc(state, _STEPS, progress=False)
        discard = sampler.iteration // 3
        time = float(np.max(sampler.get_autocorr_time(discard=discard, tol=0)))
        chain = sampler.get_chain(discard=discard, flat=True)
        # A chain of less than 20 autocorrelation times does not know them.
        known = sampler.iteration - discard >= 20 * time
        effective = len(chain) / max(time, 1.0) if known else 0.0
        if effective >= n / 4:
            break
    return chain[np.linspace(0, len(chain) - 1, n).astype(int)], effective
