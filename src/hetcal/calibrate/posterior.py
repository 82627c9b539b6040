"""Posterior from emulated outputs: an interval that can be defended, from the runs that are there.

A loss gives a best point; an interval needs a likelihood. Here it is that of learned summaries of the data:

    log L = log N(s_obs; m, D C D + diag(mean_var)) + log P(alive)

with one HetGP a summary for its mean m and its noise D, one pooled residual correlation C, and a Bernoulli emulator for
the share of runs that are alive (that take off), of which the summaries are conditional. The law of the observation and
a stated discrepancy are part of the noise: each run is observed once, as the data were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.calibrate.chains import central_intervals
from hetcal.calibrate.summaries import Summaries, learn_summaries, observe
from hetcal.designs import sobol, sobol_points
from hetcal.emulators.bernoulli import BernoulliGP, fit_bernoulli
from hetcal.emulators.hetgp import HetGP
from hetcal.emulators.total import replicate_correlation
from hetcal.ensemble import run_ensemble
from hetcal.ledger import Ledger
from hetcal.problem import Problem
from hetcal.streams import generator

if TYPE_CHECKING:
    import pandas as pd

Alive = Callable[[dict[str, np.ndarray]], np.ndarray]

_GRID = 2**14
_BOXES = 4


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


@dataclass(frozen=True, eq=False)
class Posterior:
    """Posterior of the parameters from emulated outputs.

    For any simulator with a Problem; no likelihood of the simulator is needed. Works on the runs that a ledger holds
    and simulates only where there are none.

    Parameters
    ----------
    problem : Problem
        Its targets say which outputs are data; their losses say how counts are made of stable variance.
    observation : dict, optional
        Law of each target's data given the simulator's output, by target name: hetcal.observation's models or any
        object with ``draw(expected, rng)``. A target without one is taken as observed without error.
    alive : callable, optional
        Takes data by target name, (n, *shape) each, to a bool array (n,): runs that took off. Summaries are conditional
        on it and P(alive) enters the likelihood. None: every run is alive.
    discrepancy : float
        Standard deviation of what the model lacks, on the stabilised scale of a datum (roots of counts), independent
        from datum to datum. 0: the model is taken as right.
    emulator : HetGP
        Unfitted pattern, copied for each summary.
    initial, replicates : int
        Design that is run where the ledger holds no runs of this simulator.

    Raises
    ------
    ValueError
        If the discrepancy is negative, or an observation model belongs to no target.

    References
    ----------
    Fearnhead and Prangle (2012); Wood (2010), synthetic likelihood; Binois et al. (2018) for the emulators.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> @hc.simulator(parameters=["rate"], outputs={"cases": (3,)}, version="1")
    ... def model(theta, seed):
    ...     return {"cases": np.random.default_rng(seed).poisson(theta["rate"], 3)}
    ...
    >>> space = hc.Space([hc.Parameter("rate", hc.uniform(1, 5))])
    >>> problem = hc.Problem(space, model, [hc.Target("cases", observed=[2, 3, 4])])
    >>> posterior = hc.Posterior(problem, initial=24).run(hc.Ledger(), seed=1)
    >>> posterior.intervals(0.9).columns.tolist()
    ['parameter', 'median', 'low', 'high']
    """

    problem: Problem
    observation: dict[str, Any] = field(default_factory=dict)
    alive: Alive | None = None
    discrepancy: float = 0.0
    emulator: HetGP = field(default_factory=lambda: HetGP(noise="heteroskedastic"))
    initial: int = 200
    replicates: int = 10

    def __post_init__(self) -> None:
        if not (np.isfinite(self.discrepancy) and self.discrepancy >= 0):
            raise ValueError(f"discrepancy is a standard deviation of at least 0, not {self.discrepancy!r}")
        names = {t.name for t in self.problem.run_targets}
        unknown = sorted(set(self.observation) - names)
        if unknown:
            raise ValueError(
                f"observation models for {', '.join(unknown)}, which are no targets: there are "
                f"{', '.join(sorted(names))}"
            )

    def run(
        self, ledger: Ledger, seed: int = 0, workers: int = 1, progress: bool | None = None
    ) -> PosteriorResult:
        """Fit the likelihood to the runs that are there (or to a first design) and sample the posterior.

        Parameters
        ----------
        ledger : Ledger
        seed : int
        workers : int
            For the first design.
        progress : bool, optional

        Returns
        -------
        PosteriorResult

        Raises
        ------
        ValueError
            If runs are too few, constant or all dead, or the observed data are dead.
        """
        simulator = self.problem.simulator
        if not len(ledger.runs(simulator)):
            design = sobol(self.problem.space, self.initial, seed)
            run_ensemble(
                self.problem, design, self.replicates, ledger, seed=seed, workers=workers, progress=progress
            )
        likelihood = self.fit(ledger, seed)
        observed = {t.name: t.observed[None] for t in self.problem.run_targets}
        if self.alive is not None and not bool(self.alive(observed)[0]):
            raise ValueError(
                "the observed data are not alive by the rule given: there is no take-off to explain"
            )
        return PosteriorResult.sample(self, likelihood, likelihood.summaries(observed), seed)

    def training_data(
        self, ledger: Ledger, seed: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
        """Unit-cube parameters (N, d), data as they might have been observed by target, and location (N,).

        Runs whose seed is used at several locations are left out: their noise is not independent.
        """
        simulator, space = self.problem.simulator, self.problem.space
        runs = ledger.runs(simulator)
        theta = runs[list(space.names)].to_numpy(dtype=float)
        own = runs.groupby("seed")[list(space.names)].transform("nunique").max(axis=1).to_numpy() == 1
        good = (runs["status"] == "ok").to_numpy() & own & space.contains(theta)
        if not good.any():
            raise ValueError(
                f"the ledger holds no usable runs of {simulator.name!r} inside of the priors (each location needs "
                "seeds of its own): give it a design first"
            )
        order = np.flatnonzero(good)[np.lexsort((runs["seed"][good], *theta[good].T[::-1]))]
        data = {t.name: ledger.outputs(simulator, t.output)[order] for t in self.problem.run_targets}
        _, location = np.unique(theta[order], axis=0, return_inverse=True)
        observed = observe(
            self.problem, data, self.observation, self.discrepancy, generator(seed, "truth", 1)
        )
        return space.to_unit(theta[order]), observed, location.reshape(-1)

    def fit(self, ledger: Ledger, seed: int = 0) -> EmulatedLikelihood:
        """The emulated likelihood from the runs of a ledger."""
        unit, data, location = self.training_data(ledger, seed)
        living = np.ones(len(unit), dtype=bool) if self.alive is None else np.asarray(self.alive(data))
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
        summaries = learn_summaries(self.problem, kept, unit[living], location[living])
        values = summaries(kept)
        emulators = {}
        residuals = np.empty_like(values)
        for j, name in enumerate(summaries.names):
            emulator = HetGP(self.emulator.covariance, self.emulator.noise, None, self.emulator.bounds)
            emulators[name] = emulator.fit(unit[living], values[:, j], name=f"summary {name!r}")
            residuals[:, j] = values[:, j] / np.sqrt(emulator.predict(unit[living]).noise_var)
        _, place = np.unique(location[living], return_inverse=True)
        correlation = replicate_correlation(residuals, place.reshape(-1))
        return EmulatedLikelihood(summaries, emulators, correlation, alive)


@dataclass(frozen=True, eq=False)
class PosteriorResult:
    """A posterior.

    Attributes
    ----------
    method : Posterior
    likelihood : EmulatedLikelihood
    samples : pandas.DataFrame
        Equally weighted draws, natural units, a column a parameter.
    effective : float
        Effective number of the weighted grid points behind them.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> @hc.simulator(parameters=["rate"], outputs={"cases": (3,)}, version="1")
    ... def model(theta, seed):
    ...     return {"cases": np.random.default_rng(seed).poisson(theta["rate"], 3)}
    ...
    >>> space = hc.Space([hc.Parameter("rate", hc.uniform(1, 5))])
    >>> problem = hc.Problem(space, model, [hc.Target("cases", observed=[2, 3, 4])])
    >>> method = hc.Posterior(problem, alive=lambda data: data["cases"].sum(axis=1) > 0, initial=16, replicates=20)
    >>> result = method.run(hc.Ledger(), seed=1)
    >>> result.samples.shape
    (4000, 1)
    """

    method: Posterior
    likelihood: EmulatedLikelihood
    samples: pd.DataFrame
    effective: float

    @classmethod
    def sample(
        cls, method: Posterior, likelihood: EmulatedLikelihood, observed: np.ndarray, seed: int, n: int = 4000
    ) -> PosteriorResult:
        """Draw from the posterior given observed summaries (1, k).

        In few dimensions by points spread evenly over a box that closes in on the posterior; where that leaves too few
        effective points, by emcee from where it ended.
        """
        space, rng = method.problem.space, generator(seed, "emulator", 2)
        low, high = np.zeros(space.dimension), np.ones(space.dimension)
        for _ in range(_BOXES):
            points = low + sobol_points(space.dimension, _GRID, rng) * (high - low)
            log_likelihood = likelihood.log_likelihood(points, observed)[0]
            weight = np.exp(log_likelihood - log_likelihood.max())
            weight /= weight.sum()
            effective = 1.0 / float((weight**2).sum())
            if effective >= n:
                break
            inside = points[weight > 1e-5 * weight.max()]
            margin = 0.1 * np.ptp(inside, axis=0) + 0.01
            low, high = np.maximum(inside.min(axis=0) - margin, 0), np.minimum(inside.max(axis=0) + margin, 1)
        chosen = points[rng.choice(len(points), size=n, p=weight)]
        if effective < n / 10:
            chosen, effective = _emcee(likelihood, observed, chosen, n, rng)
        return cls(method, likelihood, space.frame(space.from_unit(chosen)), effective)

    def intervals(self, level: float = 0.9) -> pd.DataFrame:
        """Central intervals.

        Parameters
        ----------
        level : float
            Posterior probability inside, between 0 and 1.

        Returns
        -------
        pandas.DataFrame
            parameter, median, low, high, natural units.
        """
        return central_intervals(self.samples, level)


def _emcee(
    likelihood: EmulatedLikelihood, observed: np.ndarray, start: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Draws by emcee's ensemble of walkers (Foreman-Mackey et al. 2013), and their effective number."""
    import emcee

    def log_posterior(unit: np.ndarray) -> np.ndarray:
        inside = np.all((unit >= 0) & (unit <= 1), axis=1)
        out = np.full(len(unit), -np.inf)
        out[inside] = likelihood.log_likelihood(unit[inside], observed)[0]
        return out

    d = start.shape[1]
    walkers = 8 * d
    first = start[rng.choice(len(start), size=walkers)] + 1e-3 * rng.standard_normal((walkers, d))
    sampler = emcee.EnsembleSampler(walkers, d, log_posterior, vectorize=True)
    sampler.random_state = np.random.RandomState(int(rng.integers(2**31))).get_state()
    sampler.run_mcmc(np.clip(first, 1e-6, 1 - 1e-6), 2000, progress=False)
    chain = sampler.get_chain(discard=500, flat=True)
    time = float(np.max(sampler.get_autocorr_time(discard=500, tol=0)))
    return chain[np.linspace(0, len(chain) - 1, n).astype(int)], len(chain) / max(time, 1.0)
