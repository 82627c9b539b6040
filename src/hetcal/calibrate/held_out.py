"""Scores on held-out days: how probable a model makes data that it was not fitted to."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hetcal.calibrate.chains import effective_sample_size
from hetcal.calibrate.particle import ObservedSeries, filter_log_likelihood
from hetcal.calibrate.particle_mcmc import ParticleMCMC
from hetcal.streams import generator
from hetcal.threads import one_blas_thread

if TYPE_CHECKING:
    import pandas as pd


def day_folds(days: int, last: int = 4, every: int = 3) -> dict[str, list[int]]:
    """Days to hold out: the last few, which asks for a forecast, and every third from each of the first three.

    Examples
    --------
    >>> from hetcal.calibrate.held_out import day_folds
    >>> day_folds(7, last=2)
    {'last 2 days': [5, 6], 'days 0, 3, 6': [0, 3, 6], 'days 1, 4': [1, 4], 'days 2, 5': [2, 5]}
    """
    folds = {f"last {last} days": list(range(days - last, days))}
    for first in range(every):
        chosen = list(range(first, days, every))
        folds[f"days {', '.join(map(str, chosen))}"] = chosen
    return folds


@one_blas_thread
def held_out_scores(
    method: ParticleMCMC,
    folds: Mapping[str, Sequence[int]] | None = None,
    outputs: Collection[str] | None = None,
    draws: int = 1_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Log predictive density of the data of held-out days, given those of the other days.

    Use it to compare models and observation models on the same data: the higher, the better. Unlike the
    likelihood at a best fit it rewards nobody for parameters. A difference of 1 makes the data e times as
    probable; scores of different data are not comparable.

    For each fold all series are hidden on its days and the posterior is sampled from the others. Over its draws the
    particle filter's estimate of the likelihood with the hidden data, made afresh, is divided by the estimate
    without them that the chain kept. The mean of these ratios is the density sought, exactly and for any number
    of particles: the chain visits a draw in proportion to the estimate that it is divided by.

    Parameters
    ----------
    method : ParticleMCMC
        With all the data.
    folds : dict of str to sequence of int, optional
        Days to hide, by the fold's name; `day_folds` where left out.
    outputs : collection of str, optional
        Series whose hidden data are scored; all that are observed where left out. Models that see other series
        beside the one they share are compared on that one.
    draws : int
        Posterior draws that the density is averaged over.
    seed : int

    Returns
    -------
    pandas.DataFrame
        A row a fold: fold, data (number scored), score, error (Monte-Carlo standard error of the score), score per
        datum, effective (effective number of draws behind it; below about 30 the error is not to be believed),
        rhat (the worst parameter's) and seconds.

    Raises
    ------
    ValueError
        For folds that hide nothing, all, or days that there are not; for series that are not observed.

    References
    ----------
    Andrieu, Roberts (2009), Annals of Statistics 37, 697, for the chain's law with an estimated likelihood.
    Gneiting, Raftery (2007), Journal of the American Statistical Association 102, 359, for the logarithmic score.

    Examples
    --------
    >>> import hetcal as hc
    >>> from hetcal.calibrate.held_out import held_out_scores
    >>> problem = hc.studies.flu1978.study().problem
    >>> in_bed = {"in_bed": hc.data.flu1978()["in_bed"]}
    >>> method = hc.ParticleMCMC(
    ...     problem.space,
    ...     problem.simulator,
    ...     in_bed,
    ...     hc.observation.NegativeBinomialObservation(10),
    ...     particles=50,
    ...     iterations=20,
    ...     burn_in=30,
    ... )
    >>> scores = held_out_scores(method, {"last 4 days": [10, 11, 12, 13]}, draws=40)
    >>> int(scores["data"][0])
    4
    """
    import pandas as pd

    observed = {name: np.asarray(values, dtype=float) for name, values in method.observed.items()}
    scored = tuple(observed) if outputs is None else tuple(outputs)
    days = len(next(iter(observed.values())))
    folds = day_folds(days) if folds is None else folds
    _check(observed, folds, scored, draws)
    rows = []
    for k, (fold, hidden) in enumerate(folds.items()):
        known = np.ones(days, dtype=bool)
        known[list(hidden)] = False
        shown = {name: np.where(known, values, math.nan) for name, values in observed.items()}
        number = sum(int(np.isfinite(observed[name][~known]).sum()) for name in scored)
        posterior = replace(method, observed=shown).run(seed)
        chains, iterations = posterior.log_likelihood.shape
        kept = np.unique(np.linspace(0, iterations - 1, max(draws // chains, 4)).astype(int))
        unit = posterior.unit[:, kept].reshape(-1, method.space.dimension)
        data = ObservedSeries.of(
            method.simulator, shown | {name: observed[name] for name in scored}, method.observation
        )
        rng = generator(seed, "validation", k)
        together = [
            filter_log_likelihood(
                method.simulator, dict(zip(method.space.names, row)), data, posterior.particles, rng
            )
            for row in method.space.from_unit(unit).tolist()
        ]
        ratio = np.reshape(together, (chains, -1)) - posterior.log_likelihood[:, kept]
        score, error, effective = _log_mean(ratio)
        rows.append(
            {
                "fold": fold,
                "data": number,
                "score": score,
                "error": error,
                "score per datum": score / number,
                "effective": effective,
                "rhat": float(posterior.summary["rhat"].max()),
                "seconds": posterior.seconds,
            }
        )
    return pd.DataFrame(rows)


def _log_mean(log_values: np.ndarray) -> tuple[float, float, float]:
    """Log of the mean of exp of chains (chains, n), its standard error, and the effective number of draws."""
    highest = log_values.max()
    if highest == -math.inf:
        return -math.inf, math.nan, 0.0
    values = np.exp(log_values - highest)
    mean = values.mean()
    variance = values.var() / max(effective_sample_size(values), 1.0)
    kish = values.sum() ** 2 / (values**2).sum()
    return float(highest + math.log(mean)), float(math.sqrt(variance) / mean), float(kish)


def _check(
    observed: Mapping[str, np.ndarray],
    folds: Mapping[str, Sequence[int]],
    scored: Collection[str],
    draws: int,
) -> None:
    if not scored or not set(scored) <= set(observed):
        raise ValueError(f"outputs is {', '.join(scored) or 'empty'}: observed are {', '.join(observed)}")
    if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < 1:
        raise ValueError(f"draws is {draws!r}: give a whole number of at least 1")
    if not isinstance(folds, Mapping) or not folds:
        raise ValueError(
            f"folds is {folds!r}: give a dict of name to days, such as {{'last days': [12, 13]}}"
        )
    days = len(next(iter(observed.values())))
    for fold, hidden in folds.items():
        strange = [day for day in hidden if day not in range(days)]
        if strange:
            raise ValueError(f"fold {fold!r} hides day {strange[0]!r}: days are 0 to {days - 1}")
        if not any(np.isfinite(observed[name][list(hidden)]).any() for name in scored):
            raise ValueError(f"fold {fold!r} hides no datum of {', '.join(scored)}")
