"""Binomials by inversion from keyed uniforms: what the chain-binomial models share.

Every event is drawn by inversion from a uniform that is a hash of (seed, event), so runs of one seed stay in
step as theta moves; samplers that reject lose step.
"""

from __future__ import annotations

import math
import numbers
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numba
import numpy as np

# Above this variance a binomial is inverted by expansion, below it exactly.
LARGE_VARIANCE = 100.0

# 1, 1/2, 1/3, ...: a product with one costs a fifth of a division. A binomial of that variance and p <= 1/2 has a
# mean of 200 at most and never gets as far as the end.
RECIPROCALS = 1.0 / np.arange(1.0, 1025.0)

# Some of numba's threading layers end the process when two threads start a parallel kernel at once.
one_parallel_call = threading.Lock()

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # the increment of splitmix64


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile by numba; keep the machine code on disk where a folder for it can be written."""

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # no folder to keep it in
            return numba.njit(**options)(function)

    return compiled


@kernel()
def mix(z: np.uint64) -> np.uint64:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): a bijection that scatters 64 bits."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel()
def seed_key(seed: int) -> np.uint64:
    """Where a seed's sequence of uniforms starts."""
    return mix(mix(np.uint64(seed) + GOLDEN))


@kernel()
def keyed_uniform(key: np.uint64, event: int) -> float:
    """Uniform on the open interval (0, 1) that belongs to one event of one seed's key."""
    bits = mix(key + np.uint64(event + 1) * GOLDEN)
    return (float(bits >> np.uint64(11)) + 0.5) * 2.0**-53


@kernel()
def normal_quantile(u: float) -> float:
    """Standard normal quantile by Acklam's rational approximation, relative error below 1.2e-9."""
    if u < 0.02425 or u > 0.97575:
        q = math.sqrt(-2.0 * math.log(min(u, 1.0 - u)))
        top = -7.784894002430293e-03 * q - 3.223964580411365e-01
        top = ((top * q - 2.400758277161838) * q - 2.549732539343734) * q + 4.374664141464968
        top = top * q + 2.938163982698783
        bottom = (7.784695709041462e-03 * q + 3.224671290700398e-01) * q + 2.445134137142996
        bottom = (bottom * q + 3.754408661907416) * q + 1.0
        return top / bottom if u < 0.5 else -top / bottom
    q = u - 0.5
    r = q * q
    top = (-3.969683028665376e01 * r + 2.209460984245205e02) * r - 2.759285104469687e02
    top = ((top * r + 1.383577518672690e02) * r - 3.066479806614716e01) * r + 2.506628277459239
    bottom = (-5.447609879822406e01 * r + 1.615858368580409e02) * r - 1.556989798598866e02
    bottom = ((bottom * r + 6.680131188771972e01) * r - 1.328068155288572e01) * r + 1.0
    return q * top / bottom


@kernel()
def cornish_fisher(z: float, variance: float, pq: float, skew: float) -> float:
    """Deviation from the mean of the binomial's quantile at normal deviate z; skew is 1 - 2p."""
    k2 = variance - 1.0 / 12.0
    k4 = variance * (1.0 - 6.0 * pq) + 1.0 / 120.0
    s = math.sqrt(k2)
    g1 = variance * skew / (k2 * s)
    g2 = k4 / (k2 * k2)
    g3 = variance * skew * (1.0 - 12.0 * pq) / (k2 * k2 * s)
    z2 = z * z
    first = g1 * (z2 - 1.0) / 6.0
    second = z * (g2 * (z2 - 3.0) / 24.0 - g1 * g1 * (2.0 * z2 - 5.0) / 36.0)
    third = g3 * ((z2 - 6.0) * z2 + 3.0) / 120.0 - g1 * g2 * ((z2 - 5.0) * z2 + 2.0) / 24.0
    third += g1**3 * ((12.0 * z2 - 53.0) * z2 + 17.0) / 324.0
    return s * (z + first + second + third)


@kernel()
def lower_binomial_quantile(u: float, n: int, p: float, log_q: float) -> int:
    """binomial_quantile for p <= 1/2."""
    q = 1.0 - p
    variance = n * p * q
    if variance > LARGE_VARIANCE:
        x = math.ceil(n * p - 0.5 + cornish_fisher(normal_quantile(u), variance, p * q, q - p))
        return min(max(int(x), 0), n)
    odds = p / q
    probability = math.exp(n * log_q)
    reached = probability
    x = 0
    last = min(n, len(RECIPROCALS))
    while reached < u and x < last:
        probability *= odds * (n - x) * RECIPROCALS[x]
        x += 1
        reached += probability
    return x


@kernel()
def binomial_quantile(u: float, n: int, p: float, log_q: float) -> int:
    """Smallest x whose binomial(n, p) distribution function reaches u; log_q is log(1 - p).

    Up to a variance of LARGE_VARIANCE by summing the probabilities from 0, else by the third-order
    Cornish-Fisher expansion with cumulants corrected for the lattice (Sheppard), which then differs from the
    exact quantile, by one, for fewer than 2 in 100,000 values of u.
    """
    if p > 0.5:
        return n - lower_binomial_quantile(1.0 - u, n, 1.0 - p, math.log(p))
    return lower_binomial_quantile(u, n, p, log_q)


@kernel()
def drawn(n: int, p: float, log_q: float, key: np.uint64, event: int) -> int:
    """How many of n an event of probability p happens to; log_q is log(1 - p)."""
    u = keyed_uniform(key, event)
    if u <= 1.0 - n * p:  # P(0) >= 1 - mean: none, without an exponential
        return 0
    return binomial_quantile(u, n, p, log_q)


@kernel()
def rounded(x: float, key: np.uint64, event: int) -> int:
    """The whole part of x, one more with the probability of the rest."""
    whole = int(math.floor(x))
    return whole + 1 if keyed_uniform(key, event) < x - whole else whole


@kernel()
def isolated_a_step(day: int, isolation_day: int, isolation_rate: float, steps_per_day: int) -> float:
    """Probability that a step of this day isolates an infectious person; a negative isolation_day is never."""
    if isolation_day < 0 or day < isolation_day:
        return 0.0
    return -math.expm1(-isolation_rate / steps_per_day)


def check_counts(model: Any, *names: str) -> None:
    """Refuse a setting that is not a whole number above 0."""
    for name in names:
        value = getattr(model, name)
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
            raise ValueError(f"{name} of {type(model).__name__} is {value!r}: give a whole number above 0")


def check_isolation(model: Any) -> None:
    """Refuse an isolation that is no day from 0 on, or no rate of at least 0."""
    day, rate, label = model.isolation_day, model.isolation_rate, type(model).__name__
    whole = isinstance(day, numbers.Integral) and not isinstance(day, bool)
    if day is not None and not (whole and day >= 0):
        raise ValueError(
            f"isolation_day of {label} is {day!r}: give the whole number of a day, 0 for the first, or None for never"
        )
    number = isinstance(rate, numbers.Real) and not isinstance(rate, bool)
    if not (number and 0.0 <= rate < math.inf):
        raise ValueError(f"isolation_rate of {label} is {rate!r}: give a finite number a day, at least 0")


def isolation(model: Any) -> tuple[int, float]:
    """isolation_day and isolation_rate as kernels take them."""
    return -1 if model.isolation_day is None else int(model.isolation_day), float(model.isolation_rate)


def named_row(model: Any, theta: Mapping[str, float]) -> np.ndarray:
    """The named parameters in a model's order, (d,)."""
    for name in (*model.parameters, *theta):
        if name not in theta or name not in model.parameters:
            problem = "is missing" if name not in theta else "is unknown"
            raise ValueError(
                f"parameter {name!r} {problem}: {type(model).__name__} takes {', '.join(model.parameters)}"
            )
    return np.array([theta[name] for name in model.parameters], dtype=np.float64)


def rows_and_seeds(model: Any, theta: Any, seeds: Any) -> tuple[np.ndarray, np.ndarray]:
    """theta (n, d) and seeds (n,) as kernels take them."""
    theta = np.ascontiguousarray(theta, dtype=np.float64)
    seeds = np.ascontiguousarray(seeds, dtype=np.int64)
    if theta.shape != (len(seeds), len(model.parameters)):
        raise ValueError(
            f"theta has shape {theta.shape}: give one row of {model.parameters} per seed, {len(seeds)} here"
        )
    return theta, seeds


def check_ranges(model: Any, theta: np.ndarray, seeds: np.ndarray, ranges: Mapping[str, Any]) -> None:
    """Refuse the first value outside its parameter's range, (low, high) with None for any finite number."""
    columns = {name: (theta[:, j], *ranges[name]) for j, name in enumerate(model.parameters)}
    for name, (column, low, high) in (columns | {"seed": (seeds, 0, np.iinfo(np.int64).max)}).items():
        bad = np.flatnonzero(~((column >= low) & (column <= (np.finfo(float).max if high is None else high))))
        if len(bad):  # NaN is bad, too
            upper = "and finite" if high is None or name == "seed" else f"and at most {high}"
            raise ValueError(
                f"{name} is {column[bad[0]]} in run {bad[0]}: it must be at least {low:g} {upper}"
            )
