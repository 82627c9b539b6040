"""Posterior from emulated outputs: an interval that can be defended, from the runs that are there or few more.

After a first design, rounds of placement: each puts a batch of runs where they lessen most what the emulators do not
know of the likelihood of the data (`hetcal.calibrate.placement`), and learns summaries and emulators anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.calibrate.chains import central_intervals
from hetcal.calibrate.likelihood import Alive, EmulatedLikelihood, fit_likelihood, living
from hetcal.calibrate.method import Method
from hetcal.calibrate.outside import outside_of_runs
from hetcal.calibrate.placement import candidates, place_runs
from hetcal.calibrate.posterior_result import PosteriorResult
from hetcal.calibrate.sampler import sample_posterior
from hetcal.calibrate.study_runs import TRAINING, StudyRuns, speaker
from hetcal.calibrate.summaries import NothingToLearnError, least_locations, observe
from hetcal.designs import sobol
from hetcal.emulators.hetgp import HetGP
from hetcal.ledger import Ledger
from hetcal.problem import Problem
from hetcal.streams import generator, simulator_seeds
from hetcal.targets import Target

if TYPE_CHECKING:
    import pandas as pd

_COUNTS = {"initial": 4, "replicates": 2, "batch": 2, "rounds": 0, "predictive": 0}

# Rounds of placement after a first design, where none are given.
_ROUNDS = 8

# What stopping needs: ends of 90 % intervals move by less than this share of the width, twice, and the emulators'
# standard deviation of log L over the posterior is below the other.
_STILL = 0.05
_SURE = 0.5


@dataclass(frozen=True, eq=False)
class Fit:
    """What the runs up to a round say."""

    likelihood: EmulatedLikelihood
    observed: np.ndarray
    samples: pd.DataFrame
    effective: float


@dataclass(eq=False)
class Learning(StudyRuns):
    """A posterior's study in a ledger, with its last fit."""

    fits: dict[int, Fit] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Posterior(Method[Learning, PosteriorResult]):
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
        self._check_counts(_COUNTS, optional=("rounds",))
        names = {t.name for t in self.problem.run_targets}
        unknown = sorted(set(self.observation) - names)
        if unknown:
            raise ValueError(
                f"observation models for {', '.join(unknown)}, which are no targets: there are "
                f"{', '.join(sorted(names))}"
            )
        if self.problem.ensemble_targets:
            raise ValueError(
                f"target {self.problem.ensemble_targets[0].name!r} is a statistic of an ensemble, and the likelihood "
                "is that of single runs: give hetcal.Target with a statistic of the run"
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

    def alive_runs(self, outputs: dict[str, np.ndarray]) -> np.ndarray:
        """Which runs are alive by the rule, (n,), from their outputs by name, (n, *shape), taken as data."""
        return living(self.alive, {t.name: t.compared(outputs[t.output]) for t in self.targets})

    def _view(self, ledger: Ledger, seed: int, say: Callable[[str], None]) -> Learning:
        return Learning(self.problem, ledger, self.study_name(seed), say)

    def _place(self, round: int) -> str:
        return f"round {round}"

    def _decide(self, study: Learning, asks: pd.DataFrame, seed: int) -> bool:
        purposes = set(asks["purpose"])
        if "predictive" in purposes:
            return False
        if not len(asks):
            self._observed()
            there = self._runs_there(study)
            study.take_over(there)
            names = list(self.problem.space.names)
            # Too few locations to learn from are topped up.
            if len(there[names].drop_duplicates()) < least_locations(self.problem.space.dimension):
                design = sobol(self.problem.space, self.initial, seed).frame
                seeds = [
                    simulator_seeds(seed, "calibration", 0, i, self.replicates) for i in range(self.initial)
                ]
                study.ask(0, "design", self.problem.theta(design), seeds)
            return True
        done = int(asks["round"].max())
        if done < self._rounds(asks) and not self._stands_still(study, done, seed):
            self._ask_placement(study, done + 1, seed)
        elif self.predictive:
            self._ask_predictive(study, done, seed)
        else:
            return False
        return True

    def _rounds(self, asks: pd.DataFrame) -> int:
        if self.rounds is not None:
            return self.rounds
        return _ROUNDS if "design" in set(asks["purpose"]) else 0

    def _observed(self) -> dict[str, np.ndarray]:
        """The data, (1, *shape) by target name."""
        observed = {t.name: t.observed[None] for t in self.targets}
        if not living(self.alive, observed)[0]:
            raise ValueError(
                "the observed data are not alive by the rule given: there is no take-off to explain"
            )
        return observed

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

    def _ask_placement(self, study: Learning, round: int, seed: int) -> None:
        fit = self._fit(study, round - 1, seed)
        draws = self.problem.space.to_unit(fit.samples.to_numpy())
        rng = generator(seed, "candidates", round)
        runs = study.training(round - 1)
        tried, place = np.unique(runs.theta, axis=0, return_inverse=True)
        works = np.bincount(place.reshape(-1), weights=runs.status == "ok") > 0
        tried = self.problem.space.to_unit(tried)
        new = candidates(draws, tried[works], tried[~works], rng)
        chosen, count, known = place_runs(fit.likelihood, fit.observed, draws, new, self.batch)
        new_locations, more = len(chosen) - known, int(count[:known].sum())
        study.say(f"{self._place(round)}: {new_locations} new locations, {more} runs more at known ones")
        # Two posteriors of one seed in a ledger place runs of their own: their seeds must not meet.
        branch = (int(study.study.rpartition("-")[2][:6], 16) << 8) + round
        seeds = [simulator_seeds(seed, "placement", branch, i, n) for i, n in enumerate(count)]
        study.ask(round, "placement", study.natural(chosen), seeds)

    def _ask_predictive(self, study: Learning, done: int, seed: int) -> None:
        draws = self._fit(study, done, seed).samples.iloc[: self.predictive]
        seeds = [simulator_seeds(seed, "predictive", 0, i, 1) for i in range(len(draws))]
        study.ask(done + 1, "predictive", self.problem.theta(draws), seeds)

    def _fit(self, study: Learning, round: int, seed: int) -> Fit:
        """What the runs up to a round say; emulators start from the hyperparameters of the round before."""
        if round in study.fits:
            return study.fits[round]
        study.say(f"{self._place(round)}: fitting")
        began = time.perf_counter()
        observed = self._observed()
        known = study.ledger.checkpoints(study.study)
        seen, unit, location = self._training_data(study, round, seed)
        likelihood = fit_likelihood(
            self.targets,
            seen,
            unit,
            location,
            self.problem.space.names,
            self.alive,
            self.emulator,
            known.get(f"round {round - 1}", {}).get("fits"),
        )
        summaries = likelihood.summaries(observed)
        samples, effective = sample_posterior(likelihood, self.problem.space, summaries, seed)
        study.seconds["fitting"] += time.perf_counter() - began
        study.fits = {round: Fit(likelihood, summaries, samples, effective)}
        if f"round {round}" not in known:
            ends = central_intervals(samples, 0.9)
            some = self.problem.space.to_unit(samples.iloc[:1000].to_numpy())
            note = {
                "fits": {name: e.hyperparameters for name, e in likelihood.emulators.items()},
                "low": ends["low"].tolist(),
                "high": ends["high"].tolist(),
                "sd": float(np.sqrt(likelihood.variance(some, summaries).mean())),
            }
            study.ledger.checkpoint(study.study, f"round {round}", note)
        return study.fits[round]

    def _training_data(
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
        seen, unit, location = self._training_data(study, last, seed)
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

    def _history(self, study: Learning, last: int, seed: int) -> pd.DataFrame:
        """A row a round up to the last; what is not noted yet is fitted."""
        import pandas as pd

        known = study.ledger.checkpoints(study.study)
        if f"round {last}" not in known:
            self._fit(study, last, seed)
            known = study.ledger.checkpoints(study.study)
        asks = study.asks()
        asks = asks[asks["purpose"].isin(TRAINING)]
        names, rows = list(self.problem.space.names), []
        before: dict[str, Any] | None = None
        for round in range(last + 1):
            note, now = known[f"round {round}"], asks[asks["round"] <= round]
            low, high = np.array(note["low"]), np.array(note["high"])
            moved = np.nan
            if before is not None:
                apart = np.abs([low - before["low"], high - before["high"]]).max(axis=0)
                moved = float((apart / np.maximum(high - low, 1e-300)).max())
            new = ~now.duplicated(names) & (now["round"] == round)
            count = now["seeds"].map(len)
            rows.append(
                {
                    "round": round,
                    "runs": int(count.sum()),
                    "locations": len(now[names].drop_duplicates()),
                    "new_locations": int(new.sum()),
                    "more_replicates": int(count[(now["round"] == round) & ~new].sum()),
                }
                | dict(zip((f"{name} low" for name in names), note["low"], strict=True))
                | dict(zip((f"{name} high" for name in names), note["high"], strict=True))
                | {"moved": moved, "sd_log_likelihood": note["sd"]}
            )
            before = note
        return pd.DataFrame(rows)

    def _stands_still(self, study: Learning, done: int, seed: int) -> bool:
        """Whether intervals stopped moving and the emulators are sure enough of log L."""
        history = self._history(study, done, seed)
        moved, sd = history["moved"].to_numpy(), history["sd_log_likelihood"].iloc[-1]
        return bool(len(moved) > 2 and moved[-2:].max() < _STILL and sd < _SURE)

    def _result(self, study: Learning, seed: int) -> PosteriorResult:
        asks = study.asks()
        last = int(asks.loc[asks["purpose"].isin(TRAINING), "round"].max())
        fit = self._fit(study, last, seed)
        stopped = "no rounds asked"
        if self._rounds(asks):
            still = self._stands_still(study, last, seed)
            stopped = "the interval stopped moving" if still else "budget ended first"
        return PosteriorResult(
            method=self,
            seed=seed,
            study=study.study,
            ledger=study.ledger,
            likelihood=fit.likelihood,
            observed=fit.observed,
            samples=fit.samples,
            effective=fit.effective,
            history=self._history(study, last, seed),
            stopped=stopped,
            outside=outside_of_runs(fit.likelihood, self._observed()),
            seconds=study.seconds,
        )
