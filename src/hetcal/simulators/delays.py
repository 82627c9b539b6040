"""Laws of whole numbers of ticks: a continuous law rounded, at least one tick."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hetcal.simulators.chain_binomial import GOLDEN, kernel, mix

# What a law leaves out in its upper tail.
TAIL = 1e-12


def lognormal_ticks(mean: float, sd: float) -> np.ndarray:
    """Distribution function at 1, 2, ... of max(1, round(X)), X lognormal of this mean and standard deviation.

    With sigma^2 = log(1 + (sd/mean)^2) and mu = log(mean) - sigma^2/2; sd 0 is the rounded mean itself.

    Examples
    --------
    >>> from hetcal.simulators.delays import lognormal_ticks
    >>> lognormal_ticks(6.0, 2.0)[[2, 5, 8]].round(4).tolist()
    [0.067, 0.6587, 0.9427]
    """
    from scipy.special import ndtr, ndtri

    sigma = max(math.sqrt(math.log1p((sd / mean) ** 2)), 1e-9)
    mu = math.log(mean) - sigma**2 / 2
    longest = math.exp(mu - sigma * float(ndtri(TAIL)))
    return _complete(ndtr((np.log(_edges(longest)) - mu) / sigma))


def gamma_ticks(mean: float, sd: float) -> np.ndarray:
    """Distribution function at 1, 2, ... of max(1, round(X)), X gamma of this mean and standard deviation.

    Shape (mean/sd)^2 and scale sd^2/mean; sd 0 is the rounded mean itself.

    Examples
    --------
    >>> from hetcal.simulators.delays import gamma_ticks
    >>> gamma_ticks(8.0, 2.0)[[4, 7, 10]].round(4).tolist()
    [0.0926, 0.6285, 0.948]
    """
    from scipy.special import gammainc, gammaincinv

    sd = max(sd, 1e-6 * mean)
    shape, scale = (mean / sd) ** 2, sd**2 / mean
    longest = float(gammaincinv(shape, 1.0 - TAIL)) * scale
    return _complete(gammainc(shape, _edges(longest) / scale))


def probabilities(law: np.ndarray) -> np.ndarray:
    """Probabilities of 1, 2, ... ticks from a distribution function (..., K)."""
    return np.diff(law, axis=-1, prepend=0.0)


def delay_laws(
    latent_mean: np.ndarray, infectious_mean: np.ndarray, latent_sd: np.ndarray, infectious_sd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distribution functions (n, K) of the latent (lognormal) and infectious (gamma) ticks of n runs, ended by ones."""
    return _stacked(lognormal_ticks, latent_mean, latent_sd), _stacked(
        gamma_ticks, infectious_mean, infectious_sd
    )


def _stacked(law: Callable[[float, float], np.ndarray], means: np.ndarray, sds: np.ndarray) -> np.ndarray:
    pairs, row = np.unique(np.column_stack([means, sds]), axis=0, return_inverse=True)
    laws = [law(float(mean), float(sd)) for mean, sd in pairs]
    table = np.ones((len(laws), max(len(one) for one in laws)))
    for filled, one in zip(table, laws):
        filled[: len(one)] = one
    return table[row.ravel()]


def _edges(longest: float) -> np.ndarray:
    """1.5, 2.5, ... to beyond the longest time."""
    return np.arange(1, max(math.ceil(longest), 1) + 1) + 0.5


def _complete(law: np.ndarray) -> np.ndarray:
    law[-1] = 1.0
    return law


@kernel()
def guide_of(law: np.ndarray) -> np.ndarray:
    """Where to start looking for a uniform of these first ten bits (1024,)."""
    guide = np.empty(1024, dtype=np.int64)
    x = 0
    for first_bits in range(1024):
        while law[x] <= first_bits / 1024.0:
            x += 1
        guide[first_bits] = x
    return guide


@kernel()
def cell_key(key: np.uint64, tick: int) -> np.uint64:
    """Key of those who begin to wait on a tick, -1 for the seeds."""
    return mix(key + np.uint64(tick + 2) * GOLDEN)


@kernel()
def ticks(law: np.ndarray, guide: np.ndarray, cell: np.uint64, person: int) -> int:
    """How long the n-th person of a cell waits, by inversion of a uniform of 53 bits."""
    bits = mix(cell + np.uint64(person + 1) * GOLDEN)
    u = float(bits >> np.uint64(11)) * 2.0**-53
    x = guide[bits >> np.uint64(54)]
    while law[x] <= u:
        x += 1
    return x + 1
