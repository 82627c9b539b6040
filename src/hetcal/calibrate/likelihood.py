"""The likelihood of learned summaries, emulated: what a posterior needs where the simulator has no likelihood.

    log L = log N(s_obs; m, D C D + diag(mean_var)) + log P(alive)

with one HetGP a summary for its mean m and its noise D, one pooled residual correlation C, and a Bernoulli emulator for
the share of runs that are alive (that take off), of which the summaries are conditional. The law of the observation and
a stated discrepancy are part of the noise: each run is observed once, as the data were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hetcal.calibrate.summaries import Summaries, learn_summaries
from hetcal.emulators.bernoulli import BernoulliGP, fit_bernoulli
from hetcal.emulators.hetgp import HetGP
from hetcal.emulators.total import replicate_correlation
from hetcal.targets import Target

Alive = Callable[[dict[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True, eq=False)
class EmulatedLikelihood:
    """Likelihood of observed summaries over the unit cube.

    Attributes
    ----------
    summaries : Summaries
    emulators : dict of HetGP
        One a summary.
    correlation : numpy.ndarray
        Pooled residual correlation of the summaries of one run, (k, k).
    alive : BernoulliGP or None
        Probability that a run is alive; None where every run is.
    """

    summaries: Summaries
    emulators: dict[str, HetGP]
    correlation: np.ndarray
    alive: BernoulliGP | None

    def log_likelihood(self, unit: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Log likelihood of alive data sets.

        Parameters
        ----------
        unit : numpy.ndarray
            Points of the unit cube, (m, d).
        observed : numpy.ndarray
            Summaries of t data sets, (t, k).

        Returns
        -------
        numpy.ndarray
            (t, m).
        """
        parts = [e.predict(unit) for e in self.emulators.values()]
        mean = np.stack([p.mean for p in parts], axis=1)
        noise_sd = np.sqrt(np.stack([p.noise_var for p in parts], axis=1))
        covariance = noise_sd[:, :, None] * self.correlation * noise_sd[:, None, :]
        k = np.arange(mean.shape[1])
        covariance[:, k, k] += np.stack([p.mean_var for p in parts], axis=1)
        root = np.linalg.inv(np.linalg.cholesky(covariance))
        log_volume = np.log(root[:, k, k]).sum(axis=1) - 0.5 * len(k) * np.log(2 * np.pi)
        out = np.empty((len(observed), len(unit)))
        for i, s in enumerate(observed):
            z = np.einsum("mij,mj->mi", root, s - mean)
            out[i] = log_volume - 0.5 * np.einsum("mi,mi->m", z, z)
        if self.alive is not None:
            out += np.log(np.maximum(self.alive.probability(unit), 1e-12))
        return out


def fit_likelihood(
    targets: tuple[Target, ...],
    data: dict[str, np.ndarray],
    unit: np.ndarray,
    location: np.ndarray,
    names: tuple[str, ...],
    rule: Alive | None,
    pattern: HetGP,
) -> EmulatedLikelihood:
    """Learn summaries from runs and emulate them.

    Parameters
    ----------
    targets : tuple of Target
        Those that are fitted.
    data : dict of numpy.ndarray
        By target name, what would have been observed of each run, (N, *shape).
    unit : numpy.ndarray
        Parameters of each run in the unit cube, (N, d).
    location : numpy.ndarray
        Location of each run, (N,).
    names : tuple of str
        Names of the d parameters.
    rule : callable or None
        Which data are alive; None: all.
    pattern : HetGP
        Unfitted, copied for each summary.

    Returns
    -------
    EmulatedLikelihood

    Raises
    ------
    ValueError
        If all runs are dead, or `learn_summaries` finds nothing to learn.
    """
    living = np.ones(len(unit), dtype=bool) if rule is None else np.asarray(rule(data))
    if not living.any():
        raise ValueError(
            f"all {len(living)} runs are dead by the rule given: widen the priors or mend the rule"
        )
    alive = None
    if not living.all():
        first = np.unique(location, return_index=True)[1]
        events = np.bincount(location, weights=living)
        alive = fit_bernoulli(unit[first], events, np.bincount(location))
    kept = {name: values[living] for name, values in data.items()}
    summaries = learn_summaries(targets, kept, unit[living], location[living], names)
    values = summaries(kept)
    emulators = {}
    residuals = np.empty_like(values)
    for j, name in enumerate(summaries.names):
        emulator = HetGP(pattern.covariance, pattern.noise, None, pattern.bounds)
        emulators[name] = emulator.fit(unit[living], values[:, j], name=f"summary {name!r}")
        residuals[:, j] = values[:, j] / np.sqrt(emulator.predict(unit[living]).noise_var)
    _, place = np.unique(location[living], return_inverse=True)
    correlation = replicate_correlation(residuals, place.reshape(-1))
    return EmulatedLikelihood(summaries, emulators, correlation, alive)
