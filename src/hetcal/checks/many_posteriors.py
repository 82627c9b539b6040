"""Posteriors of many data sets from one set of emulators, in seconds."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np

from hetcal.calibrate.ensemble_likelihood import EnsembleLikelihood
from hetcal.calibrate.likelihood import EmulatedLikelihood
from hetcal.calibrate.sampler import effective_number, importance_sample, normalised
from hetcal.checks.known_truths import KnownTruths
from hetcal.designs import sobol_points
from hetcal.threads import one_blas_thread

# Points that all data sets share: about as many as each would else need for itself, within what memory holds.
_EACH, _FEWEST, _MOST, _VALUES = 2**8, 2**12, 2**16, 2**24
_CHUNK = 2**13
_POINTS = 2**11
# Fewer weighted points than this would show in ranks among 99 draws.
_ENOUGH = 300
_LEAST = 100


@dataclass(frozen=True, eq=False)
class ManyPosteriors:
    """Where each truth lies in its data set's posterior.

    Attributes
    ----------
    mean : numpy.ndarray
        Posterior means in the unit cube, (t, d).
    below : numpy.ndarray
        Posterior probability below the truth, (t, d).
    ranks : numpy.ndarray
        Independent draws below the truth, (t, d).
    effective : numpy.ndarray
        Effective number of weighted points of each, (t,).
    """

    mean: np.ndarray
    below: np.ndarray
    ranks: np.ndarray
    effective: np.ndarray

    @property
    def resolved(self) -> np.ndarray:
        """Posteriors whose effective number of points is enough, (t,)."""
        return self.effective >= _LEAST

    def rows(self, chosen: np.ndarray) -> ManyPosteriors:
        """Those of some of the data sets."""
        return ManyPosteriors(*(getattr(self, f.name)[chosen] for f in fields(self)))

    @classmethod
    def joined(cls, parts: list[ManyPosteriors]) -> ManyPosteriors:
        """Parts one after the other."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


@one_blas_thread
def many_posteriors(
    likelihood: EmulatedLikelihood | EnsembleLikelihood,
    sets: KnownTruths,
    draws: int,
    rng: np.random.Generator,
    also: np.ndarray | None = None,
    dead: EmulatedLikelihood | None = None,
    summaries: tuple[np.ndarray, np.ndarray] | None = None,
    box: np.ndarray | None = None,
) -> ManyPosteriors:
    """Posterior of each data set, and where its truth lies in it.

    The likelihood is evaluated once on points spread evenly over the cube for all data sets; where that leaves a
    posterior too few effective points, more are drawn from multivariate t fitted to it, in rounds.

    Parameters
    ----------
    likelihood : EmulatedLikelihood or EnsembleLikelihood
    sets : KnownTruths
    draws : int
        Draws among which each truth is ranked.
    rng : numpy.random.Generator
    also : numpy.ndarray, optional
        Summaries (1, k) of data that are known besides, as for truths drawn from the posterior that they gave.
    dead : EmulatedLikelihood, optional
        Of data sets that died out; where there is none, the posterior of those is the prior times the probability of
        dying out.
    summaries : tuple of numpy.ndarray, optional
        Of the data sets, by `likelihood` and by `dead`, where they must be others than those two learned.
    box : numpy.ndarray, optional
        Ends (2, d) of the part of the cube that the prior is cut to.
    """
    low, high = box if box is not None else np.array([[0.0], [1.0]])
    if summaries is None:
        of_dead = np.empty((len(sets), 0)) if dead is None else dead.summaries(sets.data)
        summaries = likelihood.summaries(sets.data), of_dead
    observed, of_dead = summaries

    def log_density(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
        unit = low + (high - low) * points
        out = np.empty((len(rows), len(unit)))
        living = sets.alive[rows]
        if living.any():
            out[living] = likelihood.log_likelihood(unit, observed[rows[living]])
        if not living.all():
            if dead is None:
                out[~living] = _log_death(likelihood, unit)
            else:
                out[~living] = dead.log_likelihood(unit, of_dead[rows[~living]])
        return out if also is None else out + likelihood.log_likelihood(unit, also)

    def of_one(i: int, points: np.ndarray) -> np.ndarray:
        return log_density(points, np.array([i]))[0]

    t, d = sets.unit.shape
    grid = sobol_points(d, min(max(_EACH * t, _FEWEST), _MOST, max(_VALUES // t, _FEWEST)), rng)
    chunks = [grid[i : i + _CHUNK] for i in range(0, len(grid), _CHUNK)]
    first = np.concatenate([log_density(chunk, np.arange(t)) for chunk in chunks], axis=1)
    mean, below, effective = np.empty((t, d)), np.empty((t, d)), np.empty(t)
    ranks = np.empty((t, d), dtype=int)
    for i, truth in enumerate(sets.unit):
        points, log_weight = importance_sample(grid, first[i], partial(of_one, i), rng, _POINTS, _ENOUGH)
        points, weight = low + (high - low) * points, normalised(log_weight)
        effective[i] = effective_number(weight)
        mean[i] = weight @ points
        below[i] = weight @ (points < truth)
        ranks[i] = (points[rng.choice(len(points), draws, p=weight)] < truth).sum(axis=0)
    return ManyPosteriors(mean, below, ranks, effective)


def _log_death(likelihood: Any, unit: np.ndarray) -> np.ndarray:
    """Log probability of dying out, up to a constant where no run did; (m,)."""
    if likelihood.alive is None:
        return np.zeros(len(unit))
    return np.log(np.maximum(1.0 - likelihood.alive.probability(unit), 1e-12))
