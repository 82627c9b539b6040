"""Predictive checks: the data held against what the fitted model, and the model before fitting, would have shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.checks.seen import Seen, far_from_all, see
from hetcal.checks.statistics import FEW, adjusted, critical, deviations, looked_at, scales, two_sided
from hetcal.observed import Observed

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ["target", "kind", "name", "observed", "median", "low", "high", "p", "adjusted", "prior_p"]


@dataclass(frozen=True, eq=False)
class Predictive:
    """Data against predictions.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a thing looked at: target; kind ("datum", "statistic", or "held out" for either of a target of
        weight 0); name ("day 12", "peak", "" for a single number); observed; median, low and high (90 %) of what fresh
        data sets at posterior draws would have shown; p, two-sided, ties counted half; adjusted, the same for all rows
        at once: the chance that a right model shows any deviation as large; prior_p, two-sided, among the runs of the
        first design, NaN where no data sets are spread as the prior is.
    bands : dict of pandas.DataFrame
        By target, one row a datum: name, observed, median, low_50, high_50, low_90, high_90 (pointwise), low_all and
        high_all (all of a run's data at once with probability 95 %).
    outside : float
        How often a run of the first design is as far from the nearest run at another location as the fitted data are
        from the nearest run. NaN without runs at two locations.
    fresh, first : Seen
        The runs behind: at draws from the posterior, and of the first design.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from hetcal.checks.predictive import predictive_checks
    >>> from types import SimpleNamespace
    >>> @hc.simulator(parameters=["rate"], outputs={"cases": (5,)}, version="1")
    ... def model(theta, seed):
    ...     return {"cases": np.random.default_rng(seed).poisson(theta["rate"], 5)}
    ...
    >>> space = hc.Space([hc.Parameter("rate", hc.uniform(1, 5))])
    >>> problem = hc.Problem(space, model, [hc.Target("cases", observed=[2, 3, 19, 2, 4])])
    >>> runs = {"theta": np.full((200, 1), 3.0), "outputs": {"cases": np.random.default_rng(1).poisson(3, (200, 5))}}
    >>> result = SimpleNamespace(
    ...     problem=problem,
    ...     method=hc.Posterior(problem),
    ...     seed=1,
    ...     predictive_runs=lambda: runs,
    ...     prior_runs=lambda: runs,
    ... )
    >>> table = predictive_checks(result).table
    >>> table.loc[table["adjusted"].idxmin(), "name"]
    'day 2'
    """

    table: pd.DataFrame
    bands: dict[str, pd.DataFrame]
    outside: float
    fresh: Seen = field(repr=False)
    first: Seen = field(repr=False)

    @property
    def n(self) -> int:
        """Fresh data sets that were alive as the data are: a run each, or an ensemble of runs."""
        return self.fresh.n

    @property
    def rough(self) -> bool:
        """Whether so few fresh data sets were made that bands and p are rough."""
        return self.n < FEW


def predictive_checks(result: Any, discrepancy: float | None = None) -> Predictive:
    """Hold each target's data, fitted or held out, against predictions.

    Runs are made into data sets as the data are, one each or an ensemble of runs together, and observed as the data
    were: by the observation's law, with the method's discrepancy, and only where alive by its rule. The first design
    gives data sets where its locations have as many seeds as one needs. What is looked at: every datum, and of a series
    its total, peak, day of the peak, day by which half is reached, steepest fall, total of the last third, ups and
    downs from day to day, and how far all days together are from the middle of the runs (Mahalanobis). Give a target of
    weight 0 with a ``statistic`` to look at something else. p of posterior-predictive checks of fitted data is on the
    high side, since the posterior has seen the data (Gelman, Meng and Stern 1996); that of held-out data and under the
    prior is not.

    Parameters
    ----------
    result : PosteriorResult
    discrepancy : float, optional
        In the place of the method's own; 0 takes the model as right.

    Returns
    -------
    Predictive

    References
    ----------
    Gelman, Meng and Stern (1996); Westfall and Young (1993); Myllymaki et al. (2017), global envelope tests.

    Examples
    --------
    See `Predictive`.
    """
    import pandas as pd

    targets = result.problem.targets
    size = result.method.discrepancy if discrepancy is None else discrepancy
    stated = dict.fromkeys((t.name for t in targets), size)
    fresh = see(result, result.predictive_runs(), stated, 0)
    first = see(result, result.prior_runs(), stated, 1)
    frames, bands, columns = [], {}, []
    for target in targets if fresh.n else ():
        names, kinds, observed, simulated = looked_at(target, fresh.seen[target.name])
        frame = pd.DataFrame({"target": target.name, "kind": kinds, "name": names, "observed": observed})
        if target.weight == 0:
            frame["kind"] = "held out"
        frame["low"], frame["median"], frame["high"] = np.quantile(simulated, [0.05, 0.5, 0.95], axis=0)
        frame["p"] = two_sided(observed, simulated)
        frame["prior_p"] = _prior_p(target, first.seen[target.name], names)
        frames.append(frame)
        columns.append(simulated)
        size = target.observed.size
        bands[target.name] = _bands(names[:size], observed[:size], simulated[:, :size])
    table = pd.DataFrame(columns=_COLUMNS)
    if frames:
        table = pd.concat(frames, ignore_index=True)
        simulated = np.hstack(columns)
        deviation = deviations(table["observed"].to_numpy()[None], simulated)[0]
        table["adjusted"] = adjusted(deviation, simulated)
    return Predictive(table[_COLUMNS], bands, far_from_all(result.method.targets, first), fresh, first)


def _prior_p(target: Observed, seen: np.ndarray, names: list[str]) -> np.ndarray:
    """Two-sided p among the runs of the first design, NaN without them or for what they do not have."""
    if not len(seen):
        return np.full(len(names), np.nan)
    there, _, observed, simulated = looked_at(target, seen)
    p = dict(zip(there, two_sided(observed, simulated), strict=True))
    return np.array([p.get(name, np.nan) for name in names])


def _bands(names: list[str], observed: np.ndarray, simulated: np.ndarray) -> pd.DataFrame:
    """Bands over the data of one target."""
    import pandas as pd

    table = pd.DataFrame({"name": names, "observed": observed})
    ends = np.quantile(simulated, [0.5, 0.25, 0.75, 0.05, 0.95], axis=0)
    for column, values in zip(("median", "low_50", "high_50", "low_90", "high_90"), ends, strict=True):
        table[column] = values
    median, down, up = scales(simulated, (simulated == np.floor(simulated)).all(axis=0))
    width = critical(simulated, 0.05)
    table["low_all"], table["high_all"] = median - width * down, median + width * up
    if simulated.min() >= 0:
        table["low_all"] = table["low_all"].clip(lower=0)
    return table
