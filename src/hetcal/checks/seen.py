"""Data sets of runs as they would have been observed, and how far data are from all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hetcal.calibrate.likelihood import living
from hetcal.calibrate.summaries import observe, stabilise
from hetcal.checks.statistics import FEW
from hetcal.observed import Observed
from hetcal.streams import generator

_MOST = 2_000


@dataclass(frozen=True, eq=False)
class Seen:
    """Data sets of runs that are alive as the data are: one a run, or one an ensemble of runs.

    Attributes
    ----------
    theta : numpy.ndarray
        Their parameters, (n, d).
    expected, seen : dict of numpy.ndarray
        By target, what is compared with the data, before and after it is observed, (n, *shape).
    dead : int
        Data sets that were not alive.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.checks.seen import Seen
    >>> Seen(np.ones((5, 1)), {}, {}, dead=0).n
    5
    """

    theta: np.ndarray
    expected: dict[str, np.ndarray]
    seen: dict[str, np.ndarray]
    dead: int

    @property
    def n(self) -> int:
        """Number of data sets."""
        return len(self.theta)


def see(result: Any, runs: dict[str, Any], discrepancy: dict[str, float], stream: int) -> Seen:
    """Observe runs as the data were, with a discrepancy by target, and keep what is alive by the method's rule.

    Data sets of which something is not finite are left out. The same stream gives the same errors, whatever the
    discrepancy.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from types import SimpleNamespace
    >>> from hetcal.checks.seen import see
    >>> model = hc.simulator(parameters=["rate"], outputs={"cases": (2,)}, version="1")(lambda theta, seed: None)
    >>> space = hc.Space([hc.Parameter("rate", hc.uniform(1, 5))])
    >>> problem = hc.Problem(space, model, [hc.Target("cases", observed=[2, 3])])
    >>> method = hc.Posterior(problem, alive=lambda data: data["cases"].sum(axis=1) > 0)
    >>> result = SimpleNamespace(problem=problem, method=method, seed=1)
    >>> runs = {"theta": np.ones((3, 1)), "outputs": {"cases": np.array([[1, 2], [0, 0], [4, 1]])}}
    >>> see(result, runs, {"cases": 0.0}, 0).n
    2
    """
    targets, method = result.problem.targets, result.method
    theta, expected = method.data_sets(runs["theta"], runs["outputs"])
    finite = np.ones(len(theta), dtype=bool)
    for values in expected.values():
        finite &= np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    expected = {name: values[finite] for name, values in expected.items()}
    seen: dict[str, np.ndarray] = {}
    for i, target in enumerate(targets):
        rng = generator(result.seed, "predictive", stream, i, 0, 0)
        seen |= observe((target,), expected, method.observation, discrepancy[target.name], rng)
    alive = finite[finite]
    if len(alive):
        alive = living(method.alive, {t.name: seen[t.name] for t in method.targets})
    return Seen(
        theta[finite][alive],
        {name: values[alive] for name, values in expected.items()},
        {name: values[alive] for name, values in seen.items()},
        int((~alive).sum()),
    )


def far_from_all(targets: tuple[Observed, ...], first: Seen) -> float:
    """How often a run is as far from the nearest run at another location as the data are from the nearest run.

    On the stabilised scale, each datum in standard deviations of the runs of a location; of 2,000 runs at most. NaN
    without two locations.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from hetcal.checks.seen import Seen, far_from_all
    >>> cases = np.random.default_rng(1).poisson(5, (200, 3)).astype(float)
    >>> first = Seen(np.arange(200.0)[:, None], {}, {"cases": cases}, dead=0)
    >>> far_from_all((hc.Target("cases", observed=[5, 60, 5]),), first) < 0.01
    True
    """
    _, place = np.unique(first.theta, axis=0, return_inverse=True)
    place = place.reshape(-1)
    if first.n < 2 or place.max() == 0:
        return float("nan")
    z = stabilise(targets, first.seen)
    counts = np.bincount(place)
    within = z - np.stack([np.bincount(place, column) / counts for column in z.T], axis=1)[place]
    free = first.n - len(counts)
    sd = np.sqrt((within**2).sum(axis=0) / free) if free >= FEW else z.std(axis=0)
    observed = stabilise(targets, {t.name: t.observed[None] for t in targets})
    z, observed = z / np.maximum(sd, 1e-9), observed / np.maximum(sd, 1e-9)
    chosen = np.linspace(0, first.n - 1, min(first.n, _MOST)).astype(int)
    z, place = z[chosen], place[chosen]
    square = (z**2).sum(axis=1)
    apart = square[:, None] + square - 2 * z @ z.T
    apart[place[:, None] == place] = np.inf
    nearest = apart.min(axis=1)
    own = ((z - observed) ** 2).sum(axis=1).min()
    return float((1 + (nearest >= own).sum()) / (len(z) + 1))
