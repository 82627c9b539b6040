"""Are ranks uniform? The simultaneous envelope of their empirical distribution, exact.

If a posterior is right, the rank of the truth among independent draws from it is uniform. The envelope holds the whole
empirical distribution of the ranks of n data sets with a stated probability, and not each of its points by itself.

    Säilynoja, Bürkner and Vehtari (2022), Graphical test for discrete uniformity and its applications in
    goodness-of-fit evaluation and multiple sample comparison, Statistics and Computing 32:32.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def ecdf_band(n: int, draws: int = 99, level: float = 0.95) -> pd.DataFrame:
    """Band that holds the empirical distribution of n uniform ranks as a whole.

    Use it behind a plot of ranks: a curve that leaves the band anywhere shows that the posterior is wrong, at a
    false-alarm rate of 1 - level at most.

    Parameters
    ----------
    n : int
        Ranks, one a data set.
    draws : int
        Draws among which each truth is ranked: ranks are 0 to draws.
    level : float
        Probability that the whole curve of a right posterior stays inside.

    Returns
    -------
    pandas.DataFrame
        z (share of the ranks' range), low, high (of the share of ranks below z x (draws + 1)).

    Examples
    --------
    >>> from hetcal.checks.ecdf import ecdf_band
    >>> band = ecdf_band(200)
    >>> band.iloc[49].round(3).tolist()    # at the middle
    [0.5, 0.395, 0.605]
    """
    import pandas as pd

    _check(n, draws)
    if not 0 < level < 1:
        raise ValueError(f"level is {level!r}: give a probability between 0 and 1, such as 0.95")
    low, high = _limits(n, draws, _critical(n, draws, level))
    z = np.arange(1, draws + 1) / (draws + 1)
    return pd.DataFrame({"z": z, "low": low / n, "high": high / n})


def uniformity_p(ranks: np.ndarray, draws: int = 99) -> float:
    """Chance that uniform ranks stray as far as these from uniformity at their worst point.

    Parameters
    ----------
    ranks : numpy.ndarray
        Whole numbers from 0 to draws, (n,).
    draws : int

    Returns
    -------
    float
        At most .05 exactly where the curve leaves the band of `ecdf_band`.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.checks.ecdf import uniformity_p
    >>> uniformity_p(np.arange(100)), uniformity_p(np.arange(50)) < 1e-6
    (1.0, True)
    """
    ranks = np.asarray(ranks)
    n = len(ranks)
    _check(n, draws)
    if np.any((ranks < 0) | (ranks > draws) | (ranks != np.floor(ranks))):
        raise ValueError(f"ranks are whole numbers from 0 to {draws}")
    counts = np.cumsum(np.bincount(ranks.astype(int), minlength=draws + 1))[:draws]
    tails = _tails(n, draws)[np.arange(draws), counts]
    # Rounding must not tell apart two tails that are equal.
    return min(1.0, 1.0 - _inside(n, draws, float(tails.min()) * (1 + 1e-9)))


def _check(n: int, draws: int) -> None:
    if n < 1 or draws < 1:
        raise ValueError(f"an envelope needs at least one rank and one draw, not {n} and {draws}")


@lru_cache(maxsize=16)
def _tails(n: int, draws: int) -> np.ndarray:
    """Two-sided tail of each count of ranks up to each point, (draws, n + 1)."""
    from scipy.stats import binom

    z = np.arange(1, draws + 1)[:, None] / (draws + 1)
    counts = np.arange(n + 1)
    return np.minimum(1.0, 2 * np.minimum(binom.cdf(counts, n, z), binom.sf(counts - 1, n, z)))


def _limits(n: int, draws: int, tail: float) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest counts whose tail is above a number, at each point."""
    inside = _tails(n, draws) > tail
    return inside.argmax(axis=1), n - inside[:, ::-1].argmax(axis=1)


def _inside(n: int, draws: int, tail: float) -> float:
    """Probability that all counts of n uniform ranks have tails above a number: the recursion of the paper."""
    from scipy.special import gammaln

    if not np.all((_tails(n, draws) > tail).any(axis=1)):
        return 0.0
    low, high = _limits(n, draws, tail)
    log_factorial = gammaln(np.arange(n + 2) + 1.0)
    before, probability = np.zeros(1, dtype=int), np.ones(1)
    for i in range(draws):
        after = np.arange(low[i], high[i] + 1)
        # Of the ranks above the last point, each falls below this one with the same chance.
        share = 1.0 / (draws + 1 - i)
        left, new = n - before[:, None], after - before[:, None]
        possible = new >= 0
        new = np.where(possible, new, 0)
        log_chance = (
            log_factorial[left]
            - log_factorial[new]
            - log_factorial[np.maximum(left - new, 0)]
            + new * np.log(share)
            + (left - new) * np.log1p(-share)
        )
        probability = probability @ np.where(possible, np.exp(log_chance), 0.0)
        before = after
    return float(probability.sum())


@lru_cache(maxsize=64)
def _critical(n: int, draws: int, level: float) -> float:
    """The largest tail outside of which the curve of uniform ranks strays with probability 1 - level at most."""
    candidates = np.unique(_tails(n, draws))
    low, high = 0, len(candidates) - 1
    # The curve stays inside more often the smaller the tail that is allowed.
    if _inside(n, draws, candidates[0]) < level:
        return 0.0
    while high - low > 1:
        middle = (low + high) // 2
        if _inside(n, draws, candidates[middle]) >= level:
            low = middle
        else:
            high = middle
    return float(candidates[low])
