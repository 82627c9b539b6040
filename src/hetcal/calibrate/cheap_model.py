"""A cheap model beside the dear one: its runs, where the dear one is looked at, and emulators of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hetcal.calibrate.ensemble_likelihood import in_or_near
from hetcal.calibrate.ensemble_statistics import RunNumber
from hetcal.calibrate.study_runs import StudyRuns
from hetcal.designs import sobol_points
from hetcal.emulators.bernoulli import BernoulliGP, fit_bernoulli
from hetcal.emulators.hetgp import HetGP
from hetcal.ensemble import execute
from hetcal.streams import generator, simulator_seeds

if TYPE_CHECKING:
    import pandas as pd

# Locations of the cheap model in a box, those that are made when fewer than the least lie there, and runs of each.
_LEAST, _LOCATIONS, _REPLICATES = 50, 100, 10

# Nearer than this, locations are the same: the way through the quantiles and back is exact to rounding only.
_SAME = 1e-12


@dataclass(frozen=True, eq=False)
class CheapRuns:
    """Runs of a cheap model in or near a box.

    Attributes
    ----------
    unit : numpy.ndarray
        Points of the unit cube, (N, d); equal rows are replicates.
    outputs : dict of numpy.ndarray
        By name, (N, *shape).
    """

    unit: np.ndarray
    outputs: dict[str, np.ndarray]

    def mean(self, number: RunNumber) -> HetGP | None:
        """Emulator of a number's mean; None where it never varies.

        How it varies between runs of a location is not asked, so its noise is taken as constant.
        """
        y = number.of(self.outputs)
        if not np.ptp(y):
            return None
        return HetGP(noise="homoskedastic").fit(self.unit, y, name=f"{number.name!r} of the cheap model")

    def share(self, number: RunNumber) -> BernoulliGP:
        """Emulator of the share of runs in which it happens."""
        _, first, location = np.unique(self.unit, axis=0, return_index=True, return_inverse=True)
        location = location.reshape(-1)
        events = np.bincount(location, weights=number.of(self.outputs))
        return fit_bernoulli(self.unit[first], events, np.bincount(location))


def cheap_runs(study: StudyRuns, round: int, box: np.ndarray, beside: np.ndarray, seed: int) -> CheapRuns:
    """Runs of the cheap model in a box and wherever the dear one was run for it; what is missing is made.

    They are in the ledger like all runs.

    Parameters
    ----------
    study : StudyRuns
        Of the cheap model, in the ledger of the dear one.
    round : int
        For which the emulators learn.
    box : numpy.ndarray
        Ends, (2, d), in the unit cube.
    beside : numpy.ndarray
        Locations of the dear model, (n, d).
    seed : int

    Returns
    -------
    CheapRuns
    """
    space, simulator = study.problem.space, study.problem.simulator
    asks = study.asks()
    if not (asks["round"] == round).any():
        known = space.to_unit(asks[list(space.names)].to_numpy(dtype=float).reshape(-1, space.dimension))
        unit = beside[[not len(known) or np.abs(known - x).max(axis=1).min() > _SAME for x in beside]]
        if np.all((known >= box[0]) & (known <= box[1]), axis=1).sum() < _LEAST:
            spread = sobol_points(space.dimension, _LOCATIONS, generator(seed, "cheap", round))
            unit = np.vstack([unit, box[0] + (box[1] - box[0]) * spread])
        seeds = [simulator_seeds(seed, "cheap", round, i, _REPLICATES) for i in range(len(unit))]
        if len(unit):
            study.ask(round, "design", study.problem.theta(space.frame(space.from_unit(unit))), seeds)
    make(study, study.missing(study.asks()))
    runs = study.training(round)
    good = runs.status == "ok"
    if not good.any():
        raise ValueError(f"no run of the cheap model {simulator.name!r} gave every output: see their errors")
    unit = space.to_unit(runs.theta[good])
    kept = in_or_near(box, unit)
    return CheapRuns(unit[kept], {name: values[good][kept] for name, values in runs.outputs.items()})


def make(study: StudyRuns, todo: pd.DataFrame, retry_failed: bool = False) -> None:
    """Make runs of the cheap model, or those of them that failed."""
    if not len(todo):
        return
    study.say(f"{len(todo)} runs of the cheap model")
    problem, seeds, began = study.problem, todo["seed"].to_numpy(), time.perf_counter()
    how = study.where | {"retry_failed": retry_failed, "progress": False}
    execute(problem.simulator, problem.theta(todo), seeds, study.ledger, **how)
    study.seconds["simulating"] += time.perf_counter() - began
