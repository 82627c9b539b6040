"""Posterior from emulated outputs: an interval that can be defended, from the runs that are there or few more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.calibrate.likelihood import Alive, EmulatedLikelihood, fit_likelihood
from hetcal.calibrate.method import Method
from hetcal.calibrate.posterior_result import PosteriorResult, sample_posterior
from hetcal.calibrate.study_runs import TRAINING, StudyRuns
from hetcal.calibrate.summaries import observe
from hetcal.designs import sobol
from hetcal.emulators.hetgp import HetGP
from hetcal.ledger import Ledger
from hetcal.problem import Problem
from hetcal.streams import generator, simulator_seeds
from hetcal.targets import Target

if TYPE_CHECKING:
    import pandas as pd

_COUNTS = {"initial": 4, "replicates": 2, "predictive": 0}


@dataclass(eq=False)
class Learning(StudyRuns):
    """A posterior's study in a ledger, with the likelihoods fitted so far."""

    fits: dict[int, EmulatedLikelihood] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Posterior(Method[Learning, PosteriorResult]):
    """Posterior of the parameters from emulated outputs.

    For any simulator with a Problem; no likelihood of the simulator is needed. Works on the runs that a ledger holds
    and simulates only where there are none. Targets of weight 0 are held out: they are checked, not fitted.

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
    predictive : int
        Fresh runs at draws from the posterior, which show what it predicts.

    Raises
    ------
    ValueError
        If the discrepancy is negative, an observation model belongs to no target, or no target is fitted.

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
    predictive: int = 500

    def __post_init__(self) -> None:
        if not (np.isfinite(self.discrepancy) and self.discrepancy >= 0):
            raise ValueError(f"discrepancy is a standard deviation of at least 0, not {self.discrepancy!r}")
        self._check_counts(_COUNTS)
        names = {t.name for t in self.problem.run_targets}
        unknown = sorted(set(self.observation) - names)
        if unknown:
            raise ValueError(
                f"observation models for {', '.join(unknown)}, which are no targets: there are "
                f"{', '.join(sorted(names))}"
            )
        if not self.targets:
            raise ValueError("every target has weight 0: give at least one to be fitted a weight above 0")

    @property
    def targets(self) -> tuple[Target, ...]:
        """Targets that are fitted."""
        return tuple(t for t in self.problem.run_targets if t.weight > 0)

    @property
    def held_out(self) -> tuple[Target, ...]:
        """Targets that are only checked."""
        return tuple(t for t in self.problem.run_targets if t.weight == 0)

    def _view(self, ledger: Ledger, seed: int, say: Callable[[str], None]) -> Learning:
        return Learning(self.problem, ledger, self.study_name(seed), say)

    def _place(self, round: int) -> str:
        return f"round {round}"

    def _decide(self, study: Learning, asks: pd.DataFrame, seed: int) -> bool:
        purposes = set(asks["purpose"])
        if "predictive" in purposes or (len(asks) and not self.predictive):
            return False
        if len(asks):
            self._ask_predictive(study, seed)
            return True
        study.take_over(self._runs_there(study))
        if not len(study.asks()):
            design = sobol(self.problem.space, self.initial, seed).frame
            seeds = [simulator_seeds(seed, "calibration", 0, i, self.replicates) for i in range(self.initial)]
            study.ask(0, "design", self.problem.theta(design), seeds)
        return True

    def _runs_there(self, study: Learning) -> pd.DataFrame:
        """Runs of the ledger that emulators may learn from: those whose seed no other location shares."""
        import pandas as pd

        ledger, simulator = study.ledger, self.problem.simulator
        kinds = [ledger.given(simulator), *(ledger.runs(simulator, purpose=p) for p in TRAINING)]
        runs = pd.concat(kinds).drop_duplicates("run_id").sort_values("run_id")
        if not len(runs):
            return runs
        places = runs.groupby("seed")[list(self.problem.space.names)].transform("nunique").max(axis=1)
        return runs[(places == 1) & (runs["status"] == "ok")]

    def _ask_predictive(self, study: Learning, seed: int) -> None:
        result = self._result(study, seed)
        draws = result.samples.iloc[: self.predictive]
        seeds = [simulator_seeds(seed, "predictive", 0, i, 1) for i in range(len(draws))]
        study.ask(1, "predictive", self.problem.theta(draws), seeds)

    def _likelihood(self, study: Learning, round: int, seed: int) -> EmulatedLikelihood:
        if round not in study.fits:
            study.say("fitting")
            runs = study.training(round)
            good = runs.status == "ok"
            if not good.any():
                raise ValueError(
                    f"no run of {self.problem.simulator.name!r} gave every output: see their errors"
                )
            data = {t.name: t.compared(runs.outputs[t.output][good]) for t in self.targets}
            rng = generator(seed, "truth", 1)
            seen = observe(self.targets, data, self.observation, self.discrepancy, rng)
            _, location = np.unique(runs.theta[good], axis=0, return_inverse=True)
            study.fits[round] = fit_likelihood(
                self.targets,
                seen,
                self.problem.space.to_unit(runs.theta[good]),
                location.reshape(-1),
                self.problem.space.names,
                self.alive,
                self.emulator,
            )
        return study.fits[round]

    def _result(self, study: Learning, seed: int) -> PosteriorResult:
        likelihood = self._likelihood(study, 0, seed)
        observed = {t.name: t.observed[None] for t in self.targets}
        if self.alive is not None and not bool(self.alive(observed)[0]):
            raise ValueError(
                "the observed data are not alive by the rule given: there is no take-off to explain"
            )
        summaries = likelihood.summaries(observed)
        samples, effective = sample_posterior(likelihood, self.problem.space, summaries, seed)
        return PosteriorResult(
            method=self,
            seed=seed,
            study=study.study,
            ledger=study.ledger,
            likelihood=likelihood,
            observed=summaries,
            samples=samples,
            effective=effective,
            seconds=study.seconds,
        )
