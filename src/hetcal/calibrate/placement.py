"""Placement: where a further run lessens most what emulators do not know of the likelihood of the data.

The variance of log L at a point follows from that of the emulated means (`EmulatedLikelihood.variance`), and how
runs at a location will lessen the latter is known before they are made (it does not depend on what they give). So
runs are placed by blocks of a few seeds, each where the mean variance of log L over draws from the posterior falls
most; a location that is chosen again gets more replicates.
"""

from __future__ import annotations

import numpy as np

from hetcal.calibrate.likelihood import EmulatedLikelihood
from hetcal.threads import one_blas_thread

# A block is the least number of seeds that shows the noise of a location.
BLOCK = 2

# A known location is taken where it helps so much of what the best new one would: replicates show the noise and cost
# no further location of the fit.
_NEARLY = 0.9

_DRAWS = 300
_CANDIDATES = 300
_SPREAD = (0.0, 0.5, 2.0)


def candidates(
    draws: np.ndarray, known: np.ndarray, failed: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """New locations that could be run: draws from the posterior (n, d), as they are and spread about it, (m, d).

    Those nearer to a location that failed (f, d) than to any known one are left out.
    """
    chosen = draws[rng.choice(len(draws), _CANDIDATES)]
    spread = rng.choice(_SPREAD, (_CANDIDATES, 1)) * draws.std(axis=0)
    points = np.clip(chosen + spread * rng.standard_normal(chosen.shape), 0.0, 1.0)
    if not len(failed):
        return points
    from scipy.spatial import cKDTree

    return points[cKDTree(known).query(points)[0] < cKDTree(failed).query(points)[0]]


@one_blas_thread
def place_runs(
    likelihood: EmulatedLikelihood,
    observed: np.ndarray,
    draws: np.ndarray,
    new: np.ndarray,
    runs: int,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Share out runs over new and known locations.

    Parameters
    ----------
    likelihood : EmulatedLikelihood
    observed : numpy.ndarray
        Summaries of the data, (1, k).
    draws : numpy.ndarray
        Draws from the posterior in the unit cube, (n, d).
    new : numpy.ndarray
        New locations that could be run, (m, d).
    runs : int
        How many; rounded up to whole blocks.

    Returns
    -------
    locations : numpy.ndarray
        (l, d), those known first.
    seeds : numpy.ndarray
        Number of seeds of each, (l,).
    known : int
        How many of them are known.

    References
    ----------
    Binois, Huang, Gramacy and Ludkovski (2019), Replication or exploration? Sequential design for stochastic simulation
    experiments, Technometrics 61; Järvenpää et al. (2021) for the variance of log L as what a run should lessen.
    """
    at = draws[np.linspace(0, len(draws) - 1, min(_DRAWS, len(draws))).astype(int)]
    known = _locations(likelihood, at)
    there = np.vstack([known, new])
    both = np.vstack([at, there])
    n = len(at)
    now = likelihood.moments(at)
    precision, slope = (part**2 for part in likelihood.slopes(now, observed))
    noise = likelihood.moments(there).noise_var / (BLOCK * np.maximum(likelihood.taught(there), 1e-3))
    between = np.stack([p.covariance_between(both, there) for p in likelihood.processes])
    variance = now.mean_var
    blocks = np.zeros(len(there), dtype=int)
    taken = np.arange(len(there)) < len(known)
    k = np.arange(len(there))
    for _ in range(-(-runs // BLOCK)):
        # What a block at each place would take from the variance of each mean at each draw.
        total = np.maximum(between[:, n + k, k], 0.0) + noise
        less = between[:, :n] ** 2 / total[:, None, :]
        by = slope + np.einsum("ijn,jn->in", precision, variance)
        # Where log L is quite unknown it matters little by how much: draws count by the logarithm of 1 + variance.
        unknown = np.einsum("in,in->n", by, variance) - 0.5 * np.einsum(
            "ijn,in,jn->n", precision, variance, variance
        )
        weight = 1.0 / (1.0 + unknown)
        gain = np.einsum("in,inc,n->c", by, less, weight, optimize=True)
        gain -= 0.5 * np.einsum("ijn,inc,jnc,n->c", precision, less, less, weight, optimize=True)
        best = int(np.argmax(np.where(taken, gain, _NEARLY * gain)))
        blocks[best] += 1
        taken[best] = True
        step = between[:, :, best] / np.sqrt(total[:, best, None])
        between -= step[:, :, None] * step[:, None, n:]
        variance = np.maximum(variance - step[:, :n] ** 2, 0.0)
    chosen = np.flatnonzero(blocks)
    return there[chosen], BLOCK * blocks[chosen], int((chosen < len(known)).sum())


def _locations(likelihood: EmulatedLikelihood, draws: np.ndarray) -> np.ndarray:
    """Known locations nearest to the draws, at most as many as there are candidates."""
    X = likelihood.processes[0].X
    if len(X) <= _CANDIDATES:
        return X
    spread = np.maximum(draws.std(axis=0), 1e-6)
    apart = np.array([np.min((((draws - x) / spread) ** 2).sum(axis=1)) for x in X])
    return X[np.sort(np.argsort(apart, kind="stable")[:_CANDIDATES])]
