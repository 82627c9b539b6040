"""A posterior: its draws and intervals, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.calibrate.chains import central_intervals
from hetcal.calibrate.sampler import cut_off
from hetcal.calibrate.study_runs import StudyRuns
from hetcal.ledger import Ledger

if TYPE_CHECKING:
    import pandas as pd

    from hetcal.calibrate.anchor import Anchor
    from hetcal.checks.predictive import Predictive
    from hetcal.checks.verdict import Verdict
    from hetcal.decisions import Scenarios
    from hetcal.problem import Problem

# Standard deviation of what emulators do not know of log L from which on posteriors of the measles chain stood in the
# wrong place: of 159, all that did were above 2.5.
_UNSURE = 2.0


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorResult:
    """A posterior.

    Attributes
    ----------
    method : Posterior or EnsemblePosterior
        The settings, with the problem.
    seed : int
    study : str
        The study's name in the ledger.
    ledger : Ledger
    likelihood : EmulatedLikelihood or EnsembleLikelihood
    observed : numpy.ndarray
        Summaries of the data, (1, k).
    samples : pandas.DataFrame
        Equally weighted draws, natural units, a column a parameter.
    effective : float
        How many independent draws they are worth; a warning tells where that is below 400.
    history : pandas.DataFrame
        A row a round: round, runs and locations so far, new_locations and more_replicates (runs at known locations)
        asked for in this round, ends of the 90 % interval of each parameter ("R0 low", "R0 high"), moved (furthest that
        an end went since the round before, in widths), sd_log_likelihood (of what emulators do not know of log L, over
        the posterior).
    stopped : str
        Why placement ended: "the interval stopped moving", "budget ended first" or "no rounds asked".
    outside : tuple of str
        Sentences on what in the data lies outside of everything simulated; empty where nothing does. The answer, where
        there are any: no parameters give such data, or the priors are too narrow.
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
    >>> method = hc.Posterior(problem, alive=lambda data: data["cases"].sum(axis=1) > 0, initial=16, rounds=0)
    >>> result = method.run(hc.Ledger(), seed=1)
    >>> result.samples.shape
    (4000, 1)
    """

    method: Any
    seed: int
    study: str
    ledger: Ledger
    likelihood: Any
    observed: np.ndarray
    samples: pd.DataFrame
    effective: float
    history: pd.DataFrame
    stopped: str
    outside: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def runs(self) -> dict[str, int]:
        """Runs that the study used: given, placed by this study (design and rounds), predictive and in total."""
        asks = StudyRuns(self.problem, self.ledger, self.study, lambda text: None).asks()
        count = asks["seeds"].map(len).groupby(asks["purpose"]).sum()
        used = {
            "given": int(count.get("given", 0)),
            "placed": int(count.reindex(["design", "placement"]).sum()),
            "predictive": int(count.get("predictive", 0)),
        }
        return used | {"total": sum(used.values())}

    @property
    def problem(self) -> Problem:
        """The problem whose parameters these are."""
        return self.method.problem

    @property
    def unsettled(self) -> tuple[str, ...]:
        """Why intervals may miss the truth altogether before there are more rounds; empty where nothing says so."""
        said, likelihood = [], self.likelihood
        sd = float(self.history["sd_log_likelihood"].iloc[-1])
        if sd > _UNSURE:
            said.append(
                f"the emulators do not know the likelihood yet (standard deviation of log L {sd:.1f})"
            )
        if likelihood.box is not None:
            space = self.problem.space
            cut = cut_off(space.to_unit(self.samples.to_numpy()), likelihood.box).any(axis=0)
            names = ", ".join(name for name, off in zip(space.names, cut, strict=True) if off)
            if names:
                said.append(
                    f"the posterior of {names} ends where the part of the space ends that was emulated last"
                )
        return tuple(said)

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

    def __repr__(self) -> str:
        ends = "; ".join(
            f"{name} {low:.3g} to {high:.3g}"
            for name, _, low, high in self.intervals(0.9).itertuples(index=False, name=None)
        )
        lines = [
            *self.outside,
            f"Posterior, 90 % intervals: {ends}",
            f"observed: {self.method.assumed}",
            f"{self.runs['total']} runs, {self.stopped}; draws worth {self.effective:.0f} independent ones",
        ]
        return "\n".join(lines)

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

    def scenarios(self, scenarios: Mapping[str, Any], outcome: Any, **options: Any) -> Scenarios:
        """Compare what could be done: the same draws from this posterior and the same seeds under every scenario.

        See `hetcal.decisions.compare_scenarios`, which takes these arguments. Where the method has an alive rule, only
        outbreaks count that are alive by it under the first scenario, as the data are; ``only=None`` counts all.
        """
        from hetcal.decisions import compare_scenarios

        if self.method.alive is not None:
            options.setdefault("only", self.method.alive_runs)
        return compare_scenarios(self, scenarios, outcome, **options)

    def report(self, folder: str | Path, scenarios: Scenarios | None = None) -> Path:
        """Write report.html, summary.json, figures and emulators into a folder; returns the report's path.

        Parameters
        ----------
        folder : str or pathlib.Path
            Made where missing.
        scenarios : Scenarios, optional
            Decisions under this posterior, from `scenarios`, to be told in it.
        """
        from hetcal.report import write_report

        return write_report(self, folder, scenarios=scenarios)

    @cached_property
    def predictive(self) -> Predictive:
        """The data, fitted and held out, against what fresh runs at posterior draws would have shown."""
        from hetcal.checks.predictive import predictive_checks

        return predictive_checks(self)

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the model reproduces the data at all, and what it misses."""
        from hetcal.checks.verdict import verdict_of

        return verdict_of(self, self.predictive)

    def predictive_runs(self) -> dict[str, Any]:
        """Fresh runs at draws from the posterior: theta (n, d) in the space's order, seeds (n,), outputs by name."""
        return self._complete("predictive")

    def prior_runs(self) -> dict[str, Any]:
        """Runs spread as the prior is, in the same form: of the first design, or else of those that were given.

        Given runs count where some study's design asked for them, or no study did, and their locations pass
        `spread_as_prior`: what a search or a posterior placed is not spread so.
        """
        import pandas as pd

        design = self._complete("design")
        if len(design["theta"]):
            return design
        given, space, simulator = self._complete("given"), self.problem.space, self.problem.simulator
        names = list(space.names)
        runs = pd.MultiIndex.from_frame(
            pd.DataFrame(given["theta"], columns=names).assign(seed=given["seeds"])
        )
        kept = np.zeros(len(runs), dtype=bool)
        for others in (self.ledger.runs(simulator, purpose="design"), self.ledger.given(simulator)):
            among = runs.isin(pd.MultiIndex.from_frame(others[[*names, "seed"]]))
            if among.any() and spread_as_prior(space.to_unit(given["theta"][among])):
                kept |= among
        outputs = {name: values[kept] for name, values in given["outputs"].items()}
        return {"theta": given["theta"][kept], "seeds": given["seeds"][kept], "outputs": outputs}

    def _complete(self, *purposes: str) -> dict[str, Any]:
        study = StudyRuns(self.problem, self.ledger, self.study, lambda text: None)
        asks = study.asks()
        runs = study.runs(asks[asks["purpose"].isin(purposes)].reset_index(drop=True))
        good = runs.status == "ok"
        outputs = {name: values[good] for name, values in runs.outputs.items()}
        return {"theta": runs.theta[good], "seeds": runs.seeds[good], "outputs": outputs}


def spread_as_prior(unit: np.ndarray) -> bool:
    """Whether locations are spread evenly over each axis of the unit cube, by Kolmogorov tests at 0.1 % together.

    Parameters
    ----------
    unit : numpy.ndarray
        Points (n, d); those that are the same count once.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.calibrate.posterior_result import spread_as_prior
    >>> even = (np.arange(40)[:, None] + 0.5) / 40
    >>> spread_as_prior(even), spread_as_prior(even / 2)
    (True, False)
    """
    from scipy.stats import kstest

    return all(kstest(u, "uniform").pvalue >= 0.001 / unit.shape[1] for u in np.unique(unit, axis=0).T)
