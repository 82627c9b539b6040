"""The likelihood of learned summaries, emulated: what a posterior needs where the simulator has no likelihood.

    log L = log N(s_obs; m, D C D + diag(mean_var)) + log P(alive)

with one HetGP a summary for its mean m and its noise D, one pooled residual correlation C, and a Bernoulli emulator for
the share of runs that are alive (that take off), of which the summaries are conditional. The law of the observation and
a stated discrepancy are part of the noise: each run is observed once, as the data were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit

from hetcal.calibrate.summaries import Summaries, learn_summaries
from hetcal.emulators.base import Prediction
from hetcal.emulators.bernoulli import BernoulliGP, fit_bernoulli
from hetcal.emulators.gaussian_process import GaussianProcess
from hetcal.emulators.hetgp import HetGP
from hetcal.emulators.total import replicate_correlation
from hetcal.targets import Target

# Degrees of freedom within locations below which the correlation is that of residuals about the emulated means.
_LEAST_REPLICATES = 30

# Share of a summary's noise that must be its own.
_LEAST_OWN = 0.01

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

    @property
    def box(self) -> None:
        """The emulators know the whole cube."""
        return None

    @property
    def locations(self) -> None:
        """Posteriors of single data sets are wide enough to be found without."""
        return None

    def noise(self, noise_var: np.ndarray) -> np.ndarray:
        """Covariance of the summaries of one run from their variances (m, k); (m, k, k)."""
        sd = np.sqrt(noise_var)
        return sd[:, :, None] * self.correlation * sd[:, None, :]

    @property
    def processes(self) -> list[GaussianProcess | BernoulliGP]:
        """What log L depends on, K processes: one a summary, then the logit of P(alive) where some runs are dead."""
        return [*(e.process for e in self.emulators.values()), *([] if self.alive is None else [self.alive])]

    def moments(self, unit: np.ndarray) -> Prediction:
        """Mean, mean_var and noise_var of one run by process at points (m, d), each (K, m)."""
        parts = [e.predict(unit) for e in self.emulators.values()]
        if self.alive is not None:
            parts.append(self.alive.predict_logit(unit))
        return Prediction(
            *(np.stack([getattr(p, n) for p in parts]) for n in ("mean", "mean_var", "noise_var"))
        )

    def taught(self, unit: np.ndarray) -> np.ndarray:
        """Probability that a run at points (m, d) teaches each process, (K, m): only those alive have summaries."""
        share = np.ones((len(self.processes), len(unit)))
        if self.alive is not None:
            share[:-1] = self.alive.probability(unit)
        return share

    def variance(self, unit: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Variance of log L that is the emulators', at points (m, d), given summaries (1, k) of one data set; (m,).

        That of a quadratic form in the emulated means and, to second order, in the logit of P(alive).
        """
        moments = self.moments(unit)
        precision, slope = self.slopes(moments, observed)
        out = np.einsum("im,im->m", slope**2, moments.mean_var)
        return out + 0.5 * np.einsum("ijm,im,jm->m", precision**2, moments.mean_var, moments.mean_var)

    def slopes(self, moments: Prediction, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Minus the second derivatives of log L in the processes (K, K, m), and the first ones (K, m)."""
        k, total = len(self.emulators), len(moments.mean)
        precision, slope = np.zeros((total, total, moments.mean.shape[1])), np.empty_like(moments.mean)
        of_run = np.linalg.inv(self.noise(moments.noise_var[:k].T))
        precision[:k, :k] = of_run.transpose(1, 2, 0)
        slope[:k] = np.einsum("mij,mj->im", of_run, observed[0] - moments.mean[:k].T)
        if self.alive is not None:
            slope[-1] = expit(-moments.mean[-1])
            precision[-1, -1] = 1 / moments.noise_var[-1]
        return precision, slope

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
        covariance = self.noise(np.stack([p.noise_var for p in parts], axis=1))
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

    def by_function(
        self, unit: np.ndarray, observed: np.ndarray, functions: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Log likelihood, up to a constant a point, of one data set (1, k) under functions of the summaries' means.

        The functions are drawn from the emulators' uncertainty, jointly at points (m, d); P(alive) is taken as it is.
        Returns (functions, m).
        """
        emulators = list(self.emulators.values())
        noise = self.noise(np.stack([e.predict(unit).noise_var for e in emulators], axis=1))
        root = np.linalg.inv(np.linalg.cholesky(noise))
        drawn = np.stack(
            [e.sample_from(unit, rng.standard_normal((functions, len(unit)))) for e in emulators], axis=2
        )
        z = np.einsum("mij,gmj->gmi", root, observed[0] - drawn)
        return -0.5 * (z**2).sum(axis=2)


def living(rule: Alive | None, data: dict[str, np.ndarray]) -> np.ndarray:
    """Which data sets are alive by a rule, (n,); None: all.

    Raises
    ------
    TypeError, ValueError
        If the rule gives something else than one True or False a data set.
    """
    n = len(next(iter(data.values())))
    if rule is None:
        return np.ones(n, dtype=bool)
    alive = np.asarray(rule(data))
    if alive.dtype != bool:
        raise TypeError(
            f"the alive rule gives {alive.dtype}: it must give a bool array, True for each data set that is alive, as "
            'in lambda data: data["cases"].sum(axis=1) > 10'
        )
    if alive.shape != (n,):
        raise ValueError(
            f"the alive rule gives shape {alive.shape} for {n} data sets: it must give one bool each, shape ({n},)"
        )
    return alive


def fit_likelihood(
    targets: tuple[Target, ...],
    data: dict[str, np.ndarray],
    unit: np.ndarray,
    location: np.ndarray,
    names: tuple[str, ...],
    rule: Alive | None,
    pattern: HetGP,
    start: dict[str, Any] | None = None,
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
    start : dict, optional
        Hyperparameters by summary of an earlier fit to fewer runs, from which these start.

    Returns
    -------
    EmulatedLikelihood

    Raises
    ------
    ValueError
        If all runs are dead, or `learn_summaries` finds nothing to learn.
    TypeError
        If the rule gives no bools.
    """
    lives = living(rule, data)
    if not lives.any():
        raise ValueError(
            f"all {len(lives)} runs are dead by the rule given: widen the priors or mend the rule"
        )
    alive = None
    if not lives.all():
        _, first, place = np.unique(location, return_index=True, return_inverse=True)
        place = place.reshape(-1)
        alive = fit_bernoulli(unit[first], np.bincount(place, weights=lives), np.bincount(place))
    kept = {name: values[lives] for name, values in data.items()}
    unit = unit[lives]
    _, place = np.unique(location[lives], return_inverse=True)
    place = place.reshape(-1)
    summaries = learn_summaries(targets, kept, unit, place, names)
    values = summaries.of_runs
    emulators = {}
    residuals = np.empty_like(values)
    enough = len(place) - place.max() - 1 >= _LEAST_REPLICATES
    for j, name in enumerate(summaries.names):
        emulator = replace(pattern, transform=None)
        before = None if start is None else start.get(name)
        emulators[name] = emulator.fit(unit, values[:, j], start=before, name=f"summary {name!r}")
        prediction = emulator.predict(unit)
        centre = 0.0 if enough else prediction.mean
        residuals[:, j] = (values[:, j] - centre) / np.sqrt(prediction.noise_var)
    correlation = replicate_correlation(residuals, place) if enough else np.corrcoef(residuals.T)
    return _without_redundant(EmulatedLikelihood(summaries, emulators, np.atleast_2d(correlation), alive))


def _without_redundant(likelihood: EmulatedLikelihood) -> EmulatedLikelihood:
    """Leave out, one by one, summaries whose noise is that of the others: their covariance is near to singular."""
    names, correlation = list(likelihood.summaries.names), likelihood.correlation
    summaries = likelihood.summaries
    while len(names) > 1:
        own = 1 / np.diag(np.linalg.pinv(correlation, hermitian=True))
        if np.linalg.eigvalsh(correlation)[0] > _LEAST_OWN and own.min() > _LEAST_OWN:
            break
        # Of the summaries in the near-singular combination, the one that tells least of its parameter goes.
        combined = np.abs(np.linalg.eigh(correlation)[1][:, 0]) > 0.3
        j = min(np.flatnonzero(combined), key=lambda i: summaries.r2[names[i]])
        others = ", ".join(repr(n) for i, n in enumerate(names) if combined[i] and i != j)
        summaries = summaries.without(
            names[j],
            f"the summary of {names[j]!r} is left out: to {100 * (1 - max(own[j], 0)):.1f} % of its variance it says "
            f"the same as that of {others}",
        )
        left = [i for i in range(len(names)) if i != j]
        names, correlation = [names[i] for i in left], correlation[np.ix_(left, left)]
    kept = {name: likelihood.emulators[name] for name in names}
    return replace(likelihood, summaries=summaries, emulators=kept, correlation=correlation)
