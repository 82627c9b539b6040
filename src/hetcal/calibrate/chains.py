"""What posterior draws say: whether chains have met (split R-hat, effective sample size), and intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def split_rhat(draws: np.ndarray) -> float:
    """Split R-hat of one quantity: near 1 when the halves of all chains look alike.

    Use it beside the effective sample size before any number of a chain is believed; above 1.01 to 1.05 the
    chains need more iterations.

    Parameters
    ----------
    draws : (chains, n) array
        At least 4 draws a chain.

    Returns
    -------
    float
        inf when no chain moved and they differ; 1 when all draws are equal.

    References
    ----------
    Gelman et al. (2013), Bayesian Data Analysis, 3rd edition, section 11.4.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.calibrate.chains import split_rhat
    >>> round(split_rhat(np.random.default_rng(1).normal(size=(4, 1000))), 1)
    1.0
    """
    halves = _halves(draws)
    n = halves.shape[1]
    within = halves.var(axis=1, ddof=1).mean()
    between = halves.mean(axis=1).var(ddof=1)
    if within == 0.0:
        return 1.0 if between == 0.0 else np.inf
    return float(np.sqrt((n - 1) / n + between / within))


def effective_sample_size(draws: np.ndarray) -> float:
    """Number of independent draws that give a mean as exact as these chains do.

    Parameters
    ----------
    draws : (chains, n) array
        At least 4 draws a chain.

    Returns
    -------
    float
        0 when no chain moved.

    References
    ----------
    Gelman et al. (2013), section 11.5; Geyer (1992), Statistical Science 7, 473, for where the sum of
    autocorrelations ends.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.calibrate.chains import effective_sample_size
    >>> 3000 < effective_sample_size(np.random.default_rng(1).normal(size=(4, 1000))) < 5000
    True
    """
    halves = _halves(draws)
    m, n = halves.shape
    centred = halves - halves.mean(axis=1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(centred, 2 * n, axis=1)) ** 2
    covariance = np.fft.irfft(spectrum, axis=1)[:, :n].mean(axis=0) / n
    within = covariance[0] * n / (n - 1)
    if within == 0.0:
        return 0.0
    total = covariance[0] + halves.mean(axis=1).var(ddof=1)
    correlation = 1.0 - (within - covariance * n / (n - 1)) / total
    correlation[0] = 1.0
    pairs = correlation[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs < 0.0)
    pairs = np.minimum.accumulate(pairs[: ends[0] if len(ends) else len(pairs)])
    return float(m * n / max(2.0 * pairs.sum() - 1.0, 1.0 / np.log10(m * n)))


def _halves(draws: np.ndarray) -> np.ndarray:
    """Each chain cut in two, (2 chains, n // 2)."""
    n = draws.shape[1] // 2
    return np.concatenate([draws[:, :n], draws[:, -n:]])


def central_intervals(samples: pd.DataFrame, level: float) -> pd.DataFrame:
    """Median and ends of the equal-tailed intervals of each column of samples: parameter, median, low, high."""
    import pandas as pd

    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}: give a probability between 0 and 1, such as 0.9")
    low, median, high = samples.quantile([0.5 - 0.5 * level, 0.5, 0.5 + 0.5 * level]).to_numpy()
    return pd.DataFrame({"parameter": list(samples.columns), "median": median, "low": low, "high": high})
