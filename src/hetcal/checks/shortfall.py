"""How large a discrepancy would carry a misfit, and how large the model's own scatter is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hetcal.calibrate.summaries import observe, stabilise
from hetcal.checks.statistics import adjusted, deviations, looked_at
from hetcal.observed import Observed
from hetcal.streams import generator

_DOUBLINGS = 12
_HALVINGS = 8


def own_scatter(target: Observed, seen: np.ndarray) -> float:
    """Standard deviation of single data of runs (n, *shape) given their neighbours, on the stabilised scale.

    What a discrepancy that is independent from datum to datum adds to. When an outbreak takes off shifts all days
    together and is no scatter of single days, so each datum is regressed on the one before and the one after.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from hetcal.checks.shortfall import own_scatter
    >>> rng = np.random.default_rng(1)
    >>> level, error = 9 * rng.standard_normal((500, 1)), rng.standard_normal((500, 30))
    >>> own_scatter(hc.Target("y", observed=np.zeros(30), loss="rss"), level + error) < 1.3
    True
    """
    z = stabilise((target,), {target.name: seen})
    z = z - z.mean(axis=0)
    residual = np.empty_like(z)
    for i in range(z.shape[1]):
        near = [j for j in (i - 1, i + 1) if 0 <= j < z.shape[1]]
        residual[:, i] = z[:, i] - z[:, near] @ np.linalg.lstsq(z[:, near], z[:, i], rcond=None)[0]
    return float(np.sqrt((residual**2).mean()))


def in_units(target: Observed, sd: float) -> str:
    """What a standard deviation on the stabilised scale is at the largest datum, in words.

    Examples
    --------
    >>> import hetcal as hc
    >>> from hetcal.checks.shortfall import in_units
    >>> in_units(hc.Target("cases", observed=[3, 100]), 0.5)
    'about 10 at 100'
    """
    largest = float(target.observed.flat[np.abs(target.observed).argmax()])
    step = 1e-3 * max(abs(largest), 1.0)
    ends = {target.name: np.array([[largest - step], [largest + step]])}
    slope = float(np.diff(stabilise((target,), ends)[:, 0])[0]) / (2 * step)
    if not slope > 0:
        return f"{sd:.2g} on the stabilised scale"
    return f"about {float(f'{sd / slope:.2g}'):g} at {largest:g}"


def needed(
    result: Any, target: Observed, expected: np.ndarray, names: list[str], alpha: float, others: np.ndarray
) -> float:
    """Least discrepancy, on the stabilised scale, at which what failed of a target is inside the simultaneous band.

    Infinite where none does it, as for data that scatter less than the model does.

    Parameters
    ----------
    result : PosteriorResult
    target : Target or EnsembleTarget
    expected : numpy.ndarray
        What is compared, of fresh runs before observation, (n, *shape).
    names : list of str
        What failed, by name as in `Predictive.table`.
    alpha : float
        The band's chance of being left by a run.
    others : numpy.ndarray
        What is looked at of other targets, (n, m), which widens the band.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from types import SimpleNamespace
    >>> from hetcal.checks.shortfall import needed
    >>> result = SimpleNamespace(seed=1, method=SimpleNamespace(observation={}))
    >>> target = hc.Target("y", observed=[0.0], loss="rss")
    >>> runs = np.random.default_rng(1).normal(10.0, 1.0, (2_000, 1))
    >>> bool(4 < needed(result, target, runs, [""], 0.05, np.empty((2_000, 0))) < 6)  # 10 / 1.96, less the runs' own
    True
    """

    def carries(sd: float) -> bool:
        rng = generator(result.seed, "predictive", 2, 0, 0, 0)
        data = observe((target,), {target.name: expected}, result.method.observation, sd, rng)[target.name]
        there, _, observed, simulated = looked_at(target, data)
        kept = [there.index(name) for name in names if name in there]
        deviation = deviations(observed[None], simulated)[0, kept]
        return bool(np.all(adjusted(deviation, np.hstack([simulated, others])) > alpha))

    size = float(np.abs(stabilise((target,), {target.name: expected})).max())
    low, high = 0.0, max(own_scatter(target, expected) / 4, 1e-3 * size, 1e-9)
    for _ in range(_DOUBLINGS):
        if carries(high):
            break
        low, high = high, 2 * high
    else:
        return math.inf
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if carries(middle) else (middle, high)
    return high
