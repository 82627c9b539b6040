"""How much of a posterior's uncertainty is the emulators': what more runs could take away at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hetcal.calibrate.ensemble_likelihood import EnsembleLikelihood
from hetcal.calibrate.likelihood import EmulatedLikelihood

if TYPE_CHECKING:
    from hetcal.calibrate.posterior_result import PosteriorResult

_FUNCTIONS = 200
_POINTS = 1000


def function_posteriors(
    likelihood: EmulatedLikelihood | EnsembleLikelihood,
    unit: np.ndarray,
    observed: np.ndarray,
    functions: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Posteriors under functions drawn from the emulators' uncertainty, as weights of draws from their mixture.

    Each function of what is emulated has a likelihood of its own, of which the emulated one is the mean.

    Parameters
    ----------
    likelihood : EmulatedLikelihood or EnsembleLikelihood
    unit : numpy.ndarray
        Draws from the emulated posterior in the unit cube, (m, d).
    observed : numpy.ndarray
        Summaries of the data, (1, k).
    functions : int
    rng : numpy.random.Generator

    Returns
    -------
    weight : numpy.ndarray
        (functions, m), each row adding up to 1; functions that count for nothing at any point are left out.
    evidence : numpy.ndarray
        What each function counts for, (functions,).
    """
    logs = likelihood.by_function(unit, observed, functions, rng)
    ratio = np.exp(logs - logs.max(axis=0))
    ratio /= ratio.mean(axis=0)
    ratio = ratio[ratio.any(axis=1)]
    return ratio / ratio.sum(axis=1, keepdims=True), ratio.mean(axis=1) / ratio.mean()


def remaining_width(result: PosteriorResult, rng: np.random.Generator) -> dict[str, float]:
    """By parameter: root of the share of its variance that would remain if the emulators were exact.

    The variance of a parameter is that within the posteriors of single functions plus that between their means; more
    runs take away the second.
    """
    space = result.problem.space
    unit = space.to_unit(result.samples.to_numpy())[:_POINTS]
    weight, evidence = function_posteriors(result.likelihood, unit, result.observed, _FUNCTIONS, rng)
    means = weight @ unit
    within = np.average(weight @ unit**2 - means**2, axis=0, weights=evidence)
    share = np.clip(within / np.maximum(unit.var(axis=0), 1e-300), 0.0, 1.0)
    return dict(zip(space.names, np.sqrt(share).tolist(), strict=True))
