"""The likelihood of ensemble statistics, emulated: for data that are themselves shares, means and spreads of runs.

A reference of n realisations is described by shares of runs in which something happens, by means and by standard
deviations. Each has a sampling law of its own, so that no replicate of a location is wasted and a location with 60
seeds counts for more than one with 5:

    n x share        ~ Binomial(n, p)
    means            ~ N(m, D C D / n + diag(mean_var)), given the shares of the same realisations
    nu sd^2 / noise_var ~ chi^2(nu)

with one Bernoulli emulator a share, one HetGP an output for its mean m and its noise D, and one pooled correlation C of
what differs between runs. nu is n - 1, less where the output has heavier tails than a normal one, and less by what the
emulator does not know of the noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, gammaln, log_expit

from hetcal.calibrate.ensemble_statistics import Statistic, centred, statistics_of, without_own
from hetcal.emulators.base import Prediction
from hetcal.emulators.bernoulli import BernoulliGP
from hetcal.emulators.discrepancy import (
    beside_cheap,
    better_left_out,
    fit_bernoulli_beside,
    location_means,
)
from hetcal.emulators.gaussian_process import GaussianProcess
from hetcal.emulators.hetgp import HetGP
from hetcal.targets import EnsembleTarget

if TYPE_CHECKING:
    from hetcal.calibrate.cheap_model import CheapRuns

# Locations that emulators learn from at least, by dimension.
_LOCATIONS = 15

# Points of the Gauss-Hermite rule over the logit of a share.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)


@dataclass(frozen=True, eq=False)
class EnsembleLikelihood:
    """Likelihood of observed ensemble statistics over the unit cube.

    Attributes
    ----------
    statistics : tuple of Statistic
        Those that count, k of them: shares first, then means, then standard deviations.
    emulators : dict of HetGP
        By number of a run whose mean or spread is compared.
    shares : dict of BernoulliGP
        By number of a run whose share is.
    correlation : numpy.ndarray
        Pooled correlation between the shares' numbers and the emulators' in one run, in this order, (s + q, s + q).
    tails : dict of float
        Excess kurtosis of each emulator's residuals.
    left_out : dict of str
        Statistics that say nothing of their own, and why.
    box : numpy.ndarray
        Ends, (2, d), of the part of the unit cube that the emulators know; the likelihood is 0 outside of it.
    """

    targets: tuple[EnsembleTarget, ...]
    statistics: tuple[Statistic, ...]
    emulators: dict[str, HetGP]
    shares: dict[str, BernoulliGP]
    correlation: np.ndarray
    tails: dict[str, float]
    left_out: dict[str, str]
    box: np.ndarray

    def summaries(self, data: dict[str, np.ndarray]) -> np.ndarray:
        """Statistics (t, k) of t ensembles from their values by target name, (t, *shape) each."""
        every = np.hstack([data[t.name].reshape(len(data[t.name]), -1) for t in self.targets])
        names = [s.name for s in statistics_of(self.targets)]
        return every[:, [names.index(s.name) for s in self.statistics]]

    @property
    def processes(self) -> list[GaussianProcess | BernoulliGP]:
        """What log L depends on, K processes: the emulators' means, then the logits of the shares."""
        return [*(e.process for e in self.emulators.values()), *self.shares.values()]

    @property
    def locations(self) -> np.ndarray:
        """Where the emulators learned, (n, d)."""
        process = self.processes[0]
        return process.X

    def moments(self, unit: np.ndarray) -> Prediction:
        """Mean, mean_var and noise_var of one run by process at points (m, d), each (K, m)."""
        parts = [e.predict(unit) for e in self.emulators.values()]
        parts += [p.predict_logit(unit) for p in self.shares.values()]
        return Prediction(
            *(np.stack([getattr(p, n) for p in parts]) for n in ("mean", "mean_var", "noise_var"))
        )

    def taught(self, unit: np.ndarray) -> np.ndarray:
        """Probability that a run at points (m, d) teaches each process, (K, m): each run teaches all."""
        return np.ones((len(self.processes), len(unit)))

    def variance(self, unit: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Variance of log L that is the emulators' at points (m, d), given statistics (1, k); (m,), to second order."""
        moments = self.moments(unit)
        precision, slope = self.slopes(moments, observed)
        out = np.einsum("im,im->m", slope**2, moments.mean_var)
        return out + 0.5 * np.einsum("ijm,im,jm->m", precision**2, moments.mean_var, moments.mean_var)

    def slopes(self, moments: Prediction, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Minus the second derivatives of log L in the processes (K, K, m), and the first ones (K, m)."""
        q, s, m = len(self.emulators), len(self.shares), moments.mean.shape[1]
        precision, slope = np.zeros((q + s, q + s, m)), np.zeros((q + s, m))
        means, count, positions = self._means()
        if len(positions):
            centre, covariance = self._means_law(moments.mean.T, moments.noise_var.T, observed[0])
            of_means = np.linalg.inv(covariance)
            inner = np.ix_(positions, positions)
            precision[inner] = of_means.transpose(1, 2, 0)
            slope[positions] = np.einsum("mij,mj->im", of_means, observed[0][means] - centre)
        for j, (column, n) in enumerate(self._of_kind("share")):
            p = expit(moments.mean[q + j])
            slope[q + j] = n * (observed[0, column] - p)
            precision[q + j, q + j] = n * p * (1 - p)
        return precision, slope

    def log_likelihood(self, unit: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Log likelihood of ensembles.

        Parameters
        ----------
        unit : numpy.ndarray
            Points of the unit cube, (m, d).
        observed : numpy.ndarray
            Statistics of t ensembles, (t, k).

        Returns
        -------
        numpy.ndarray
            (t, m).
        """
        out = np.full((len(observed), len(unit)), -np.inf)
        inside = np.all((unit >= self.box[0]) & (unit <= self.box[1]), axis=1)
        if not inside.any():
            return out
        unit = unit[inside]
        moments, q = self.moments(unit), len(self.emulators)
        total = np.zeros((len(observed), len(unit)))
        for j, (column, n) in enumerate(self._of_kind("share")):
            total += _log_binomial(n, observed[:, column], moments.mean[q + j], moments.mean_var[q + j])
        means, _, positions = self._means()
        if len(positions):
            _, covariance = self._means_law(moments.mean.T, moments.noise_var.T, observed[0])
            k = np.arange(len(positions))
            covariance[:, k, k] += moments.mean_var[positions].T
            root = np.linalg.inv(np.linalg.cholesky(covariance))
            log_volume = np.log(root[:, k, k]).sum(axis=1) - 0.5 * len(k) * np.log(2 * np.pi)
            for i, seen in enumerate(observed):
                centre, _ = self._means_law(moments.mean.T, moments.noise_var.T, seen)
                z = np.einsum("mij,mj->mi", root, seen[means] - centre)
                total[i] += log_volume - 0.5 * np.einsum("mi,mi->m", z, z)
        for column, n in self._of_kind("sd"):
            name = self.statistics[column].number.name
            j = list(self.emulators).index(name)
            spread = self._log_noise_var(name, unit)
            total += _log_spread(observed[:, column], n, moments.noise_var[j], self.tails[name], spread)
        out[:, inside] = total
        return out

    def by_function(
        self, unit: np.ndarray, observed: np.ndarray, functions: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Log likelihood, up to a constant at each point, of one ensemble (1, k) under functions of means and shares.

        The functions are drawn from the emulators' uncertainty, jointly at points (m, d); standard deviations are taken
        as they are. Returns (functions, m).
        """
        moments, q = self.moments(unit), len(self.emulators)
        drawn = np.stack(
            [p.sample(unit, rng.standard_normal((functions, len(unit)))) for p in self.processes], axis=2
        )
        logs = np.zeros((functions, len(unit)))
        for j, (column, n) in enumerate(self._of_kind("share")):
            k, logit = np.round(n * observed[0, column]), drawn[:, :, q + j]
            logs += k * log_expit(logit) + (n - k) * log_expit(-logit)
        means, _, positions = self._means()
        if len(positions):
            _, covariance = self._means_law(moments.mean.T, moments.noise_var.T, observed[0])
            root = np.linalg.inv(np.linalg.cholesky(covariance))
            for g, values in enumerate(drawn):
                centre, _ = self._means_law(values, moments.noise_var.T, observed[0])
                logs[g] -= 0.5 * (np.einsum("mij,mj->mi", root, observed[0][means] - centre) ** 2).sum(axis=1)
        return logs

    def implausibility(self, unit: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Largest distance of a share or a mean from what it would be at points (m, d), in standard deviations; (m,).

        Observed statistics are (1, k); what is not known of emulators counts as in the likelihood.
        """
        moments, q = self.moments(unit), len(self.emulators)
        z = [np.zeros(len(unit))]
        for j, (column, n) in enumerate(self._of_kind("share")):
            p = expit(moments.mean[q + j])
            spread = p * (1 - p)
            variance = np.maximum(spread, 0.25 / n) / n + spread**2 * moments.mean_var[q + j]
            z.append((observed[0, column] - p) / np.sqrt(variance))
        means, _, positions = self._means()
        if len(positions):
            centre, covariance = self._means_law(moments.mean.T, moments.noise_var.T, observed[0])
            variance = np.einsum("mii->mi", covariance) + moments.mean_var[positions].T
            z += list(((observed[0][means] - centre) / np.sqrt(variance)).T)
        return np.abs(z).max(axis=0)

    def outside(self, observed: np.ndarray) -> tuple[str, ...]:
        """Sentences on observed statistics (k,) that no location comes near to."""
        said = []
        for s, value in zip(self.statistics, observed, strict=True):
            if s.kind != "mean":
                continue
            emulator = self.emulators[s.number.name]
            assert emulator.state is not None
            state = emulator.state
            sd = np.sqrt(state.nu_hat * state.noise_ratio * (1 / state.mult + 1 / s.realisations))
            seen = location_means(emulator)
            low, high = (seen - 4 * sd).min(), (seen + 4 * sd).max()
            if not low <= value <= high:
                said.append(
                    f"{s.name} is {value:.4g}, outside of everything simulated ({low:.4g} to {high:.4g})"
                )
        return tuple(said)

    def _of_kind(self, kind: str) -> list[tuple[int, int]]:
        """Columns of the statistics of a kind, each with its number of realisations."""
        return [(i, s.realisations) for i, s in enumerate(self.statistics) if s.kind == kind]

    def _means(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the means: columns of the statistics, realisations, places of their emulators."""
        names = list(self.emulators)
        found = [
            (i, s.realisations, names.index(s.number.name))
            for i, s in enumerate(self.statistics)
            if s.kind == "mean"
        ]
        columns, count, places = (
            (np.array(part, dtype=int) for part in zip(*found)) if found else ([np.empty(0, int)] * 3)
        )
        return columns, count, places

    def _means_law(
        self, mean: np.ndarray, noise_var: np.ndarray, observed: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Centre (m, r) and covariance (m, r, r) of the means of an ensemble, given its shares; from (m, K) each."""
        _, count, places = self._means()
        s, q = len(self.shares), len(self.emulators)
        sd = np.sqrt(noise_var[:, places] / count)
        own = self.correlation[np.ix_(s + places, s + places)]
        centre = mean[:, places]
        if s:
            # Runs in which it happens differ from the others: the means follow the share of this ensemble.
            across = np.linalg.solve(
                self.correlation[:s, :s], self.correlation[np.ix_(np.arange(s), s + places)]
            )
            p = expit(mean[:, q:])
            seen = np.array([observed[column] for column, _ in self._of_kind("share")])
            n = np.array([n for _, n in self._of_kind("share")])
            z = (seen - p) / np.sqrt(np.maximum(p * (1 - p), 0.25 / n) / n)
            centre = centre + sd * (z @ across)
            own = own - self.correlation[np.ix_(s + places, np.arange(s))] @ across
        return centre, sd[:, :, None] * own * sd[:, None, :]

    def _log_noise_var(self, name: str, unit: np.ndarray) -> np.ndarray:
        """Variance of the emulated log noise variance at points (m, d); (m,)."""
        emulator = self.emulators[name]
        assert emulator.state is not None
        if emulator.noise_process is None:
            free = emulator.state.mult.sum() - len(emulator.state.mult)
            return np.full(len(unit), (2 + self.tails[name]) / max(free, 1))
        return emulator.noise_process.predict(unit)[1]


def _log_binomial(n: int, share: np.ndarray, logit: np.ndarray, logit_var: np.ndarray) -> np.ndarray:
    """Log probability (t, m) of shares (t,) of n, over what is not known of the logit (m,)."""
    k = np.round(n * share)[:, None, None]
    at = logit[:, None] + np.sqrt(logit_var)[:, None] * _NODES
    logs = k * log_expit(at) + (n - k) * log_expit(-at)
    top = logs.max(axis=2, keepdims=True)
    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return (top + choose)[:, :, 0] + np.log(np.exp(logs - top) @ (_WEIGHTS / _WEIGHTS.sum()))


def _log_spread(
    sd: np.ndarray, n: int, noise_var: np.ndarray, tail: float, log_var: np.ndarray
) -> np.ndarray:
    """Log density (t, m), up to a constant, of standard deviations (t,) of n normal-like values of a variance (m,)."""
    free = 2 / (2 / (n - 1) + max(tail, -1.0) / n + log_var)
    ratio = np.maximum(sd, 1e-12)[:, None] ** 2 / noise_var
    return 0.5 * free * (np.log(0.5 * free * ratio) - ratio) - gammaln(0.5 * free)


def fit_ensemble(
    targets: tuple[EnsembleTarget, ...],
    outputs: dict[str, np.ndarray],
    unit: np.ndarray,
    pattern: HetGP,
    start: dict[str, Any] | None = None,
    box: np.ndarray | None = None,
    cheap: CheapRuns | None = None,
) -> EnsembleLikelihood:
    """Emulate what ensembles are compared by.

    Parameters
    ----------
    targets : tuple of EnsembleTarget
        Those that are fitted.
    outputs : dict of numpy.ndarray
        By output name, of N runs, (N, *shape).
    unit : numpy.ndarray
        Their parameters in the unit cube, (N, d); equal rows are replicates.
    pattern : HetGP
        Unfitted, copied for each number.
    start : dict, optional
        Hyperparameters of an earlier fit, by number of a run.
    box : numpy.ndarray, optional
        Ends, (2, d), of the part of the cube that the emulators are for. They learn from what lies in it and, where
        that is little, from what is nearest to it.
    cheap : CheapRuns, optional
        Runs of a cheap model, whose discrepancy is then emulated.

    Returns
    -------
    EnsembleLikelihood

    Raises
    ------
    ValueError
        If every number is the same in all runs.
    """
    if box is None:
        box = np.array([np.zeros(unit.shape[1]), np.ones(unit.shape[1])])
    inside = in_or_near(box, unit)
    unit = unit[inside]
    _, first, location = np.unique(unit, axis=0, return_index=True, return_inverse=True)
    location = location.reshape(-1)
    statistics = sorted(statistics_of(targets), key=lambda s: ("share", "mean", "sd").index(s.kind))
    values = {s.number.name: s.number.of(outputs)[inside] for s in statistics}
    left_out = without_own(statistics, values, location)
    statistics = [s for s in statistics if s.name not in left_out]
    if not statistics:
        raise ValueError(
            "every number that is compared is the same in all runs: there is nothing to learn from"
        )
    trials = np.bincount(location)
    shares, emulators = {}, {}
    for s in statistics:
        name, y = s.number.name, values[s.number.name]
        if s.kind == "share" and name not in shares:
            known = None if cheap is None else cheap.share(s.number)
            shares[name] = fit_bernoulli_beside(known, unit[first], np.bincount(location, weights=y), trials)
        elif s.kind != "share" and name not in emulators:
            plain = replace(pattern, transform=None)
            before = None if start is None else start.get(name)
            emulators[name] = plain.fit(unit, y, start=before, name=repr(name))
            if cheap is not None and (mean := cheap.mean(s.number)) is not None:
                beside = beside_cheap(plain, mean).fit(unit, y, start=before, name=repr(name))
                emulators[name] = better_left_out(emulators[name], beside)
    apart = {name: centred(values[name], location) for name in (*shares, *emulators)}
    scaled = [apart[n] / np.sqrt(_bernoulli_var(p.probability(unit))) for n, p in shares.items()]
    scaled += [apart[n] / np.sqrt(e.predict(unit).noise_var) for n, e in emulators.items()]
    several = trials[location] > 1
    residuals = np.stack(scaled, axis=1)[several]
    square = residuals.T @ residuals
    sd = np.sqrt(np.maximum(np.diag(square), 1e-300))
    correlation = square / np.outer(sd, sd) if len(residuals) else np.eye(len(scaled))
    tails = {
        name: float((z**4).mean() / max((z**2).mean() ** 2, 1e-300) - 3) if len(residuals) else 0.0
        for name, z in zip(emulators, residuals.T[len(shares) :], strict=True)
    }
    return EnsembleLikelihood(
        targets, tuple(statistics), emulators, shares, correlation, tails, left_out, box
    )


def in_or_near(box: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Runs at points (N, d) in a box, and at the nearest locations outside where too few are inside; (N,)."""
    width = np.maximum(box[1] - box[0], 1e-9)
    beyond = np.maximum(np.maximum(box[0] - unit, unit - box[1]) / width, 0.0).max(axis=1)
    of_location = np.sort(beyond[np.unique(unit, axis=0, return_index=True)[1]])
    least = min(_LOCATIONS * unit.shape[1], len(of_location))
    return beyond <= max(of_location[least - 1], 0.0)


def _bernoulli_var(p: np.ndarray) -> np.ndarray:
    return np.maximum(p * (1 - p), 1e-3)
