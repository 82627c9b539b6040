"""Jansen's estimators of Sobol' indices, with bootstrap intervals whose coverage is tested.

The bootstrap of all indices at once is one matrix product: each resample is a vector of counts (how often a
row was drawn), and every sum that the estimators need is those counts times the rows' squared differences.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numba
import numpy as np

from hetcal.streams import generator

_BLOCK_COUNTS = 2**21  # bootstrap counts held at once: 16 MiB


class Indices(NamedTuple):
    """Indices of d parameters with bootstrap intervals; each of shape (d,), or (d, k) for k outputs.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.sensitivity import jansen
    >>> a, b = np.random.default_rng(0).random((2, 1000, 2))
    >>> mixed = np.column_stack([b[:, 0] + a[:, 1], a[:, 0] + b[:, 1]])
    >>> jansen(a.sum(axis=1), b.sum(axis=1), mixed).total.round(1)
    array([0.5, 0.5])
    """

    first: np.ndarray
    first_low: np.ndarray
    first_high: np.ndarray
    total: np.ndarray
    total_low: np.ndarray
    total_high: np.ndarray


def jansen(
    f_a: Any, f_b: Any, f_ab: Any, bootstrap: int = 1000, seed: int = 0, level: float = 0.95
) -> Indices:
    """Jansen's first-order and total indices from evaluations that are already there.

    With V the variance of f(A),

        S_i = 1 - sum (f(B) - f(AB_i))^2 / ((2n - 1) V),    T_i = sum (f(A) - f(AB_i))^2 / ((2n - 1) V),

    as ``soboljansen`` of the R package sensitivity, with "basic" bootstrap intervals over rows. hetcal's R
    package has the same estimators as ``jansen()``.

    Parameters
    ----------
    f_a, f_b : array
        The output on the independent samples A and B, shape (n,) or (n, k).
    f_ab : array
        The output on A with column i taken from B, shape (n, d) or (n, d, k).
    bootstrap : int
        Resamples for the intervals; all outputs share them.
    seed : int
        Seed of the resamples, at least 0.
    level : float
        Level of the intervals, between 0 and 1.

    Returns
    -------
    Indices
        Arrays of shape (d,) or (d, k).

    Raises
    ------
    ValueError
        If shapes do not fit together, or an output is not finite or constant.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.sensitivity import jansen
    >>> a, b = np.random.default_rng(0).random((2, 1000, 2))
    >>> mixed = np.column_stack([b[:, 0] + a[:, 1], a[:, 0] + b[:, 1]])
    >>> jansen(a.sum(axis=1), b.sum(axis=1), mixed).first.shape
    (2,)
    """
    check_bootstrap(bootstrap, level)
    f_a, f_b, f_ab = (np.asarray(f, dtype=float) for f in (f_a, f_b, f_ab))
    if f_a.ndim not in (1, 2) or f_b.shape != f_a.shape:
        raise ValueError(f"f_a and f_b need one shape, (n,) or (n, k), not {f_a.shape} and {f_b.shape}")
    if f_ab.ndim != f_a.ndim + 1 or f_ab.shape[:1] + f_ab.shape[2:] != f_a.shape:
        raise ValueError(f"f_ab needs the shape of f_a, {f_a.shape}, with d after n, not {f_ab.shape}")
    several = f_a.ndim == 2
    if not several:
        f_a, f_b, f_ab = f_a[:, None], f_b[:, None], f_ab[:, :, None]
    check_varies(f_a, f_b, f_ab, several)

    d = f_ab.shape[1]
    estimate, resampled = resample(f_a, f_b, f_ab, bootstrap, generator(seed, "bootstrap"))
    # The "basic" interval, at the order statistics that R's boot.ci takes.
    tail = (1 - level) / 2
    below, above = np.quantile(resampled, [tail, 1 - tail], axis=0, method="weibull")
    columns = []
    for kind in (slice(0, d), slice(d, None)):
        for values in (estimate, 2 * estimate - above, 2 * estimate - below):
            columns.append(values[:, kind].T if several else values[0, kind])
    return Indices(*columns)


def resample(
    f_a: np.ndarray, f_b: np.ndarray, f_ab: np.ndarray, bootstrap: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of k outputs, first-order then total, (k, 2d), and of resamples of the rows, (bootstrap, k, 2d)."""
    n, d, k = f_ab.shape
    terms = _terms(f_a, f_b, f_ab)
    resampled = np.empty((bootstrap, k, 2 * d))
    flat = terms.reshape(n, -1)
    for rows, counts in _resamples(n, bootstrap, random):
        resampled[rows] = _indices((counts @ flat).reshape(-1, *terms.shape[1:]), n)
    if not np.all(np.isfinite(resampled)):
        raise ValueError(
            f"the output differs in so few of the n = {n} rows that some resamples are constant: raise n, or "
            "transform the output"
        )
    return _indices(terms.sum(axis=0), n), resampled


def _terms(f_a: np.ndarray, f_b: np.ndarray, f_ab: np.ndarray) -> np.ndarray:
    """What the estimators sum over rows, (n, k, 2 + 2d); centred, so that the variance loses no digits."""
    n, d, k = f_ab.shape
    f_ab = f_ab.transpose(0, 2, 1)
    terms = np.empty((n, k, 2 + 2 * d))
    terms[:, :, 0] = f_a - f_a.mean(axis=0)
    np.subtract(f_b[:, :, None], f_ab, out=terms[:, :, 2 : 2 + d])
    np.subtract(f_a[:, :, None], f_ab, out=terms[:, :, 2 + d :])
    terms[:, :, 1] = terms[:, :, 0]
    np.square(terms[:, :, 1:], out=terms[:, :, 1:])
    return terms


def _indices(sums: np.ndarray, n: int) -> np.ndarray:
    """First-order then total indices, (..., 2d), from sums of terms, (..., 2 + 2d); NaN where V is 0."""
    d = sums.shape[-1] // 2 - 1
    variance = (sums[..., 1] - sums[..., 0] ** 2 / n) / (n - 1)
    shares = sums[..., 2:] / ((2 * n - 1) * np.where(variance > 0, variance, np.nan)[..., None])
    shares[..., :d] = 1 - shares[..., :d]
    return shares


def _resamples(n: int, bootstrap: int, random: np.random.Generator) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of resamples as counts of the n rows, (block, n)."""
    block = min(bootstrap, max(16, _BLOCK_COUNTS // n))
    counts = np.empty((block, n))
    for start in range(0, bootstrap, block):
        part = counts[: bootstrap - start]
        _tally(random.integers(0, n, size=part.shape, dtype=np.uint32), part)
        yield slice(start, start + len(part)), part


@numba.njit(cache=True)
def _tally(drawn: np.ndarray, counts: np.ndarray) -> None:
    """Count in each row of ``counts`` how often ``drawn`` names each column."""
    counts[:] = 0.0
    for resample in range(drawn.shape[0]):
        for i in range(drawn.shape[1]):
            counts[resample, drawn[resample, i]] += 1.0


def check_whole(name: str, value: Any, least: int) -> None:
    """Raise unless the value is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def check_bootstrap(bootstrap: Any, level: Any) -> None:
    """Raise unless the resamples suffice for intervals at this level."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level!r}: 0.95 for 95 % intervals")
    check_whole("bootstrap", bootstrap, int(np.ceil(2 / (1 - level) - 1e-9)) - 1)


def check_varies(f_a: np.ndarray, f_b: np.ndarray, f_ab: np.ndarray, several: bool) -> None:
    """Raise unless every output is finite and varies."""
    for name, f in (("f_a", f_a), ("f_b", f_b), ("f_ab", f_ab)):
        if not np.all(np.isfinite(f)):
            count = np.count_nonzero(~np.isfinite(f))
            raise ValueError(
                f"{name} is not finite in {count} of {f.size} values: drop those rows everywhere"
            )
    if len(f_a) < 2:
        raise ValueError(f"indices need at least 2 rows, not {len(f_a)}")
    constant = np.ptp(f_a, axis=0) <= 1e-12 * np.abs(f_a).max(axis=0)
    if constant.any():
        j = int(np.argmax(constant))
        raise ValueError(
            (f"output {j}" if several else "the output")
            + f" is constant ({f_a[0, j]:.6g}), so there is no variance to share out: "
            + ("leave it out" if several else "check the function and the priors")
        )
