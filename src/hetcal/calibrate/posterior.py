"""Posterior from emulated outputs: an interval that can be defended, from the runs that are there or few more.

After a first design, rounds of placement: each puts a batch of runs where they lessen most what the emulators do not
know of the likelihood of the data (`hetcal.calibrate.placement`), and learns summaries and emulators anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hetcal.calibrate.likelihood import Alive, EmulatedLikelihood, fit_likelihood, living
from hetcal.calibrate.outside import outside_of_runs
from hetcal.calibrate.rounds import COUNTS, Learning, Rounds
from hetcal.calibrate.study_runs import TRAINING, speaker
from hetcal.calibrate.summaries import NothingToLearnError, observe
from hetcal.emulators.hetgp import HetGP
from hetcal.ledger import Ledger
from hetcal.problem import Problem
from hetcal.streams import generator
from hetcal.targets import Target


@dataclass(frozen=True, eq=False)
class Posterior(Rounds):
    """Posterior of the parameters from emulated outputs.

    For any simulator with a Problem; no likelihood of the simulator is needed. Works on the runs that a ledger holds
    and simulates more only where there are none or rounds are asked for. Targets of weight 0 are held out: they are
    checked, not fitted.

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
        Design that is run where the ledger holds no runs of this simulator: locations spread over the space, and seeds
        of each.
    batch : int
        Runs that each round of placement adds: how many new locations that makes, and how many more seeds at which
        known ones, is decided by what lessens the uncertainty of log L most.
    rounds : int, optional
        At most so many rounds of placement. They end sooner when the ends of all 90 % intervals moved by less than 5 %
        of their widths for two rounds and the emulators' standard deviation of log L is below 0.5 over the posterior.
        None: 8 after a design of its own, 0 where the ledger holds runs already.
    predictive : int
        Fresh runs at draws from the posterior, which show what it predicts.

    Raises
    ------
    ValueError
        If the discrepancy is no finite number of at least 0, an observation model belongs to no target, no target is
        fitted or one is of an ensemble, or the observed data are dead by the rule given.

    References
    ----------
    Fearnhead and Prangle (2012); Wood (2010), synthetic likelihood; Binois et al. (2018) for the emulators, (2019) for
    new locations against replicates.

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
    >>> posterior = hc.Posterior(problem, initial=24, rounds=1).run(hc.Ledger(), seed=1)
    >>> posterior.intervals(0.9).columns.tolist()
    ['parameter', 'median', 'low', 'high']
    """

    problem: Problem
    observation: dict[str, Any] = field(default_factory=dict)
    alive: Alive | None = None
    discrepancy: float = 0.0
    emulator: HetGP = field(default_factory=lambda: HetGP(noise="heteroskedastic"))
    initial: int = 100
    replicates: int = 4
    batch: int = 100
    rounds: int | None = None
    predictive: int = 500

    def __post_init__(self) -> None:
        number = isinstance(self.discrepancy, (int, float, np.number)) and not isinstance(
            self.discrepancy, bool
        )
        if not (number and np.isfinite(self.discrepancy) and self.discrepancy >= 0):
            raise ValueError(
                "discrepancy is a standard deviation of at least 0 on the stabilised scale of a datum, not "
                f"{self.discrepancy!r}"
            )
        self._check_counts(COUNTS, optional=("rounds",))
        names = {t.name for t in self.problem.run_targets}
        models = list(self.observation.values()) if isinstance(self.observation, Mapping) else [None]
        if not all(hasattr(model, "draw") for model in models):
            raise ValueError(
                f"observation is {self.observation!r}: give a dict of target to how it is observed, for instance "
                f"{{{self.problem.targets[0].name!r}: hetcal.PoissonObservation()}}"
            )
        unknown = sorted(set(self.observation) - names)
        if unknown:
            raise ValueError(
                f"observation models for {', '.join(unknown)}, which are no targets: there are "
                f"{', '.join(sorted(names))}"
            )
        if self.problem.ensemble_targets:
            raise ValueError(
                f"target {self.problem.ensemble_targets[0].name!r} is a statistic of an ensemble, and the likelihood "
                "is that of single runs: use hetcal.EnsemblePosterior, or give a hetcal.Target"
            )
        if not self.targets:
            raise ValueError("every target has weight 0: give at least one to be fitted a weight above 0")

    @property
    def targets(self) -> tuple[Target, ...]:
        """Targets that are fitted."""
        return tuple(t for t in self.problem.run_targets if t.weight > 0)

    def data_sets(
        self, points: np.ndarray, outputs: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Every run is a data set: see `Rounds.data_sets`."""
        return points, {t.name: t.compared(outputs[t.output]) for t in self.problem.run_targets}

    def besides(
        self, points: np.ndarray, outputs: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Outputs that are no target's."""
        alive = self.alive_runs(outputs)
        compared = {t.output for t in self.problem.run_targets}
        return points[alive], {name: y[alive] for name, y in outputs.items() if name not in compared}

    def alive_runs(self, outputs: dict[str, np.ndarray]) -> np.ndarray:
        """Which runs are alive by the rule, (n,), from their outputs by name, (n, *shape), taken as data."""
        return living(self.alive, {t.name: t.compared(outputs[t.output]) for t in self.targets})

    @property
    def assumed(self) -> str:
        """How the data were observed, in words."""
        laws = ", ".join(f"{t.name} {self.observation.get(t.name, 'without error')}" for t in self.targets)
        return f"{laws}; discrepancy {self.discrepancy:g}"

    def _observed(self) -> dict[str, np.ndarray]:
        """The data, (1, *shape) by target name."""
        observed = {t.name: t.observed[None] for t in self.targets}
        if not living(self.alive, observed)[0]:
            raise ValueError(
                "the observed data are not alive by the rule given: there is no take-off to explain"
            )
        return observed

    def _learn(self, study: Learning, round: int, seed: int, before: dict[str, Any]) -> EmulatedLikelihood:
        self._observed()
        seen, unit, location = self.training_data(study, round, seed)
        return fit_likelihood(
            self.targets,
            seen,
            unit,
            location,
            self.problem.space.names,
            self.alive,
            self.emulator,
            before.get("fits"),
        )

    def _outside(self, likelihood: EmulatedLikelihood) -> tuple[str, ...]:
        return outside_of_runs(likelihood, self._observed())

    @property
    def realisations(self) -> int:
        return 1

    def training_data(
        self, study: Learning, round: int, seed: int
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Data as they might have been observed of the runs up to a round, their parameters (N, d) and locations."""
        runs = study.training(round)
        good = runs.status == "ok"
        if not good.any():
            raise ValueError(f"no run of {self.problem.simulator.name!r} gave every output: see their errors")
        data = {t.name: t.compared(runs.outputs[t.output][good]) for t in self.targets}
        seen = observe(self.targets, data, self.observation, self.discrepancy, generator(seed, "truth", 1))
        _, location = np.unique(runs.theta[good], axis=0, return_inverse=True)
        return seen, self.problem.space.to_unit(runs.theta[good]), location.reshape(-1)

    def fit_dead(self, ledger: Ledger, seed: int = 0) -> EmulatedLikelihood | None:
        """The likelihood of data that are not alive, with summaries of their own, from the runs that are there.

        Returns
        -------
        EmulatedLikelihood or None
            None where every run is alive, or too few are dead to learn from.
        """
        study = self._view(ledger, seed, speaker(False))
        asks = study.asks()
        last = int(asks.loc[asks["purpose"].isin(TRAINING), "round"].max())
        seen, unit, location = self.training_data(study, last, seed)
        if living(self.alive, seen).all():
            return None

        def dead(data: dict[str, np.ndarray]) -> np.ndarray:
            return ~living(self.alive, data)

        try:
            return fit_likelihood(
                self.targets, seen, unit, location, self.problem.space.names, dead, self.emulator
            )
        except NothingToLearnError:  # too few dead runs, or their data say no more than that they are dead
            return None
