"""What is looked at when data are held against predictions: every datum, and of a series what a reader would ask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hetcal.calibrate.summaries import stabilise
from hetcal.observed import Observed

TOGETHER = "all days together"
_SHORTEST = 4

# Runs below which their quantiles and their largest deviations say too little.
FEW = 100


def _half_way(x: np.ndarray) -> np.ndarray:
    """Day, with its fraction, by which half of a series' total is reached; NaN without a total."""
    running = np.cumsum(x, axis=1)
    half = running[:, -1:] / 2
    day = np.argmax(running >= half, axis=1)
    rows = np.arange(len(x))
    before = running[rows, day] - x[rows, day]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(half[:, 0] > 0, day + (half[:, 0] - before) / x[rows, day], np.nan)


SERIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "total": lambda x: x.sum(axis=1),
    "peak": lambda x: x.max(axis=1),
    "day of the peak": lambda x: x.argmax(axis=1).astype(float),
    "day by which half is reached": _half_way,
    "steepest fall in a day": lambda x: -np.diff(x, axis=1).min(axis=1),
    "total of the last third": lambda x: x[:, -(x.shape[1] // 3) :].sum(axis=1),
    "ups and downs from day to day": lambda x: np.abs(np.diff(x, n=2, axis=1)).mean(axis=1),
}


def looked_at(target: Observed, simulated: np.ndarray) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    """Names, kinds ("datum" or "statistic"), observed values (m,) and simulated ones (n, m) of a target's data.

    A series of at least four days has its statistics beside its days; those that some run or the data do not have (half
    of a total of nothing, of numbers below 0) are left out. A single number has the name "". Elements of an ensemble's
    statistic are no series.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from hetcal.checks.statistics import looked_at
    >>> target = hc.Target("cases", observed=[1, 4, 2, 0])
    >>> names, kinds, observed, simulated = looked_at(target, np.ones((3, 4)))
    >>> float(dict(zip(names, observed))["peak"])
    4.0
    """
    observed = target.observed
    everything = np.concatenate([observed[None], simulated])
    values = everything.reshape(len(everything), -1)
    names = list(target.data_names)
    columns = dict(zip(names, values.T, strict=True))
    if target.is_series and observed.size >= _SHORTEST:
        columns |= {name: statistic(everything) for name, statistic in SERIES.items()}
        columns[TOGETHER] = _distances(stabilise((target,), {target.name: everything}))
        if values.min() < 0:
            del columns["day by which half is reached"]
    kinds = ["datum" if name in names else "statistic" for name, column in columns.items() if _finite(column)]
    columns = {name: column for name, column in columns.items() if _finite(column)}
    found = np.stack(list(columns.values()), axis=1)
    return list(columns), kinds, found[0], found[1:]


def _finite(column: np.ndarray) -> bool:
    return bool(np.isfinite(column).all())


def _distances(z: np.ndarray) -> np.ndarray:
    """Distance of each row from the others in their own standard deviations (Mahalanobis), the first being the data.

    The data are compared with all runs, a run with all others. Days are joined to no more blocks than a fifth of the
    runs, so that covariances are known; NaN where there are fewer than two of either.
    """
    n = len(z) - 1
    z = z[:, z[1:].std(axis=0) > 1e-12]
    blocks = min(z.shape[1], n // 5)
    if blocks < 2:
        return np.full(len(z), np.nan)
    z = np.stack([part.mean(axis=1) for part in np.array_split(z, blocks, axis=1)], axis=1)
    z = z - z[1:].mean(axis=0)
    z = z / np.maximum(z[1:].std(axis=0), 1e-12)
    square = z[1:].T @ z[1:] + 1e-6 * n * np.eye(blocks)
    q = np.einsum("ij,ji->i", z, np.linalg.solve(square, z.T))
    # Leaving a run out of the mean and the covariance that it is compared with, in closed form.
    ratio = n / (n - 1)
    alone = (n - 2) * ratio**2 * q[1:] / np.maximum(1 - ratio * q[1:], 1e-9)
    return np.sqrt(np.concatenate([(n - 1) * q[:1], alone]))


def scales(simulated: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median, downward and upward standard deviation (m,) of simulated values (n, m).

    Each direction has a scale of its own, the distance of the 2.5 % or 97.5 % quantile over 1.96 (the directional
    quantile of Myllymaki et al. 2017), but at least a quarter of the standard deviation (all of it where fewer than 100
    runs say where the quantiles are), and half a count for `whole` numbers. 0 where all runs say the same.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.checks.statistics import scales
    >>> simulated = np.random.default_rng(1).exponential(1.0, (10_000, 1))
    >>> median, down, up = scales(simulated, np.array([False]))
    >>> bool(up > 3 * down)
    True
    """
    low, median, high = np.quantile(simulated, [0.025, 0.5, 0.975], axis=0)
    sd = simulated.std(axis=0)
    least = sd * (0.25 if len(simulated) >= FEW else 1.0)
    least = np.where(whole, np.maximum(least, 0.5), least)
    down, up = (np.maximum(side / 1.96, least) for side in (median - low, high - median))
    constant = sd <= 1e-12 * np.abs(median)
    return median, np.where(constant, 0.0, down), np.where(constant, 0.0, up)


def deviations(values: np.ndarray, simulated: np.ndarray) -> np.ndarray:
    """How far values (k, m) are from the medians of simulated ones (n, m), in standard deviations of the prediction.

    Where all runs say the same, a value is right (0, up to rounding) or infinitely far.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.checks.statistics import deviations
    >>> deviations(np.array([[0.0]]), np.random.default_rng(1).normal(3, 1, (10_000, 1))).round(1)
    array([[3.]])
    """
    whole = (simulated == np.floor(simulated)).all(axis=0) & (values == np.floor(values)).all(axis=0)
    median, down, up = scales(simulated, whole)
    apart = values - median
    scale = np.where(apart > 0, up, down)
    same = np.abs(apart) <= 1e-9 * np.abs(median)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(scale > 0, np.abs(apart) / scale, np.where(same, 0.0, np.inf))


def adjusted(deviation: np.ndarray, simulated: np.ndarray) -> np.ndarray:
    """Adjusted p of deviations (m,): how often the largest deviation of a run, of simulated (n, m), is as large.

    The single-step procedure of Westfall and Young (1993), which keeps the chance of any false alarm. Where fewer than
    100 runs cannot tell such rare ones, Bonferroni's with the t distribution.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.checks.statistics import adjusted
    >>> adjusted(np.array([0.0, 9.0]), np.random.default_rng(1).normal(size=(999, 2))).tolist()
    [1.0, 0.001]
    """
    n, m = simulated.shape
    if n < FEW:
        from scipy import stats

        if n < 2:
            return np.ones(m)
        return np.minimum(1.0, 2 * m * stats.t.sf(deviation / np.sqrt(1 + 1 / n), n - 1))
    largest = np.sort(deviations(simulated, simulated).max(axis=1))
    return (1 + n - np.searchsorted(largest, deviation, side="left")) / (n + 1)


def critical(simulated: np.ndarray, alpha: float) -> float:
    """Deviation that the largest of a run, of simulated (n, m), exceeds with probability alpha.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.checks.statistics import critical
    >>> round(critical(np.random.default_rng(1).normal(size=(20_000, 1)), 0.05), 1)
    2.0
    """
    n, m = simulated.shape
    if n < FEW:
        from scipy import stats

        return float(stats.t.isf(alpha / (2 * m), n - 1) * np.sqrt(1 + 1 / n)) if n > 1 else float("inf")
    return float(np.quantile(deviations(simulated, simulated).max(axis=1), 1 - alpha))


def two_sided(observed: np.ndarray, simulated: np.ndarray) -> np.ndarray:
    """Two-sided p (m,) of each observed value (m,) among simulated (n, m); ties count half.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.checks.statistics import two_sided
    >>> two_sided(np.array([0.0]), np.arange(1.0, 20.0)[:, None])
    array([0.05])
    """
    n = len(simulated)
    below = (simulated < observed).sum(axis=0) + 0.5 * (simulated == observed).sum(axis=0)
    return np.minimum(1.0, 2 * (np.minimum(below, n - below) + 0.5) / (n + 1))


def rounded(value: float, width: float) -> str:
    """A number in words, to about a hundredth of a width.

    Examples
    --------
    >>> from hetcal.checks.statistics import rounded
    >>> rounded(756.3, 31.3), rounded(0.7312, 0.5)
    ('756', '0.73')
    """
    if not (np.isfinite(value) and np.isfinite(width)) or width <= 0:
        return f"{value:.4g}"
    digits = 1 - int(np.floor(np.log10(width)))
    return f"{round(value, max(digits, 0)):.12g}"
