"""A posterior: its draws and intervals, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.calibrate.chains import central_intervals
from hetcal.calibrate.likelihood import EmulatedLikelihood
from hetcal.calibrate.study_runs import StudyRuns
from hetcal.designs import sobol_points
from hetcal.ledger import Ledger
from hetcal.parameters import Space
from hetcal.streams import generator

if TYPE_CHECKING:
    import pandas as pd

    from hetcal.calibrate.anchor import Anchor
    from hetcal.problem import Problem

_GRID = 2**14
_BOXES = 4


@dataclass(frozen=True, eq=False)
class PosteriorResult:
    """A posterior.

    Attributes
    ----------
    method : Posterior
        The settings, with the problem.
    seed : int
    study : str
        The study's name in the ledger.
    ledger : Ledger
    likelihood : EmulatedLikelihood
    observed : numpy.ndarray
        Summaries of the data, (1, k).
    samples : pandas.DataFrame
        Equally weighted draws, natural units, a column a parameter.
    effective : float
        Effective number of the weighted grid points behind them.
    seconds : dict of float
        simulating, fitting, total: of this process.

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

    method: Any
    seed: int
    study: str
    ledger: Ledger
    likelihood: EmulatedLikelihood
    observed: np.ndarray
    samples: pd.DataFrame
    effective: float
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def problem(self) -> Problem:
        """The problem whose parameters these are."""
        return self.method.problem

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

    def exact(self, iterations: int = 2_000, burn_in: int = 600) -> Anchor:
        """The exact posterior beside this one, by particle-marginal Metropolis-Hastings; kept in the ledger.

        For simulators that can be stepped, whose fitted targets are series with an observation model.

        Parameters
        ----------
        iterations, burn_in : int
            As of `ParticleMCMC`, whose chains these are.

        Returns
        -------
        Anchor

        Raises
        ------
        TypeError, ValueError
            Where there is no exact posterior to be had, saying why.
        """
        from hetcal.calibrate.anchor import exact_anchor

        return exact_anchor(self, iterations, burn_in)

    def predictive_runs(self) -> dict[str, Any]:
        """Fresh runs at draws from the posterior: theta (n, d) in the space's order, seeds (n,), outputs by name."""
        return self._complete("predictive")

    def prior_runs(self) -> dict[str, Any]:
        """Runs of the first design, or those that were given, in the same form."""
        return self._complete("given", "design")

    def _complete(self, *purposes: str) -> dict[str, Any]:
        study = StudyRuns(self.problem, self.ledger, self.study, lambda text: None)
        asks = study.asks()
        runs = study.runs(asks[asks["purpose"].isin(purposes)].reset_index(drop=True))
        good = runs.status == "ok"
        outputs = {name: values[good] for name, values in runs.outputs.items()}
        return {"theta": runs.theta[good], "seeds": runs.seeds[good], "outputs": outputs}


def sample_posterior(
    likelihood: EmulatedLikelihood, space: Space, observed: np.ndarray, seed: int, n: int = 4000
) -> tuple[pd.DataFrame, float]:
    """Equally weighted draws from the posterior given observed summaries (1, k), and their effective number.

    In few dimensions by points spread evenly over a box that closes in on the posterior; where that leaves too few
    effective points, by emcee from where it ended.
    """
    rng = generator(seed, "emulator", 2)
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
    return space.frame(space.from_unit(chosen)), effective


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
