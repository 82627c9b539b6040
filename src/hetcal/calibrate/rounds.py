"""Rounds of a posterior: learn from the runs that are there, place more where they tell most, until it stands still.

What all posteriors from emulated outputs do alike, whatever their data are.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.calibrate.chains import central_intervals
from hetcal.calibrate.method import Method
from hetcal.calibrate.placement import candidates, place_runs
from hetcal.calibrate.posterior_result import PosteriorResult
from hetcal.calibrate.sampler import sample_posterior
from hetcal.calibrate.study_runs import TRAINING, StudyRuns
from hetcal.calibrate.summaries import least_locations
from hetcal.designs import sobol
from hetcal.ledger import Ledger
from hetcal.streams import generator, simulator_seeds

if TYPE_CHECKING:
    import pandas as pd

COUNTS = {"initial": 4, "replicates": 2, "batch": 2, "rounds": 0, "predictive": 0}

# Rounds of placement after a first design, where none are given.
_ROUNDS = 8

# What stopping needs: ends of 90 % intervals move by less than this share of the width, twice, and the emulators'
# standard deviation of log L over the posterior is below the other.
_STILL = 0.05
_SURE = 0.5


@dataclass(frozen=True, eq=False)
class Fit:
    """What the runs up to a round say."""

    likelihood: Any
    observed: np.ndarray
    samples: pd.DataFrame
    effective: float


@dataclass(eq=False)
class Learning(StudyRuns):
    """A posterior's study in a ledger, with its last fit."""

    fits: dict[int, Fit] = field(default_factory=dict)


class Rounds(Method[Learning, PosteriorResult]):
    """A posterior that learns in rounds.

    Settings, which a method has as fields: initial, replicates, batch, rounds, predictive; see `Posterior`. How data
    come from runs: observation, alive and discrepancy, which a method without a choice has as constants.
    """

    initial: int
    replicates: int
    batch: int
    rounds: int | None
    predictive: int
    observation: Mapping[str, Any]
    alive: Any
    discrepancy: float

    # What a posterior decides

    @property
    @abstractmethod
    def targets(self) -> tuple[Any, ...]:
        """Targets that are fitted."""

    @property
    def held_out(self) -> tuple[Any, ...]:
        """Targets that are only checked."""
        return tuple(t for t in self.problem.targets if t.weight == 0)

    @abstractmethod
    def data_sets(
        self, points: np.ndarray, outputs: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """What runs would be as data, before they are observed.

        Parameters
        ----------
        points : numpy.ndarray
            Parameters of N runs, (N, d).
        outputs : dict of numpy.ndarray
            Of these, by name, (N, *shape).

        Returns
        -------
        points : numpy.ndarray
            Of n data sets, (n, d).
        data : dict of numpy.ndarray
            By target name, those of weight 0 included, (n, *shape).
        """

    @abstractmethod
    def besides(
        self, points: np.ndarray, outputs: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """As `data_sets`: what one might know besides, of data sets that are alive, by what it is called."""

    def fit_dead(self, ledger: Ledger, seed: int = 0) -> Any:
        """The likelihood of data that are not alive; None where there are none, or too few to learn from."""
        return None

    @abstractmethod
    def _observed(self) -> dict[str, np.ndarray]:
        """The data, (1, *shape) by target name."""

    @abstractmethod
    def _learn(self, study: Learning, round: int, seed: int, before: dict[str, Any]) -> Any:
        """The likelihood from the runs up to a round; `before` is what was noted of the round before."""

    @abstractmethod
    def _outside(self, likelihood: Any) -> tuple[str, ...]:
        """Sentences on what in the data lies outside of everything simulated."""

    @property
    @abstractmethod
    def assumed(self) -> str:
        """How the data were observed, in words."""

    @property
    @abstractmethod
    def realisations(self) -> int:
        """Runs of one data set."""

    def _note(self, fit: Fit) -> dict[str, Any]:
        """What else to note of a round, for the next one."""
        return {}

    # Asking

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
        seeds = [simulator_seeds(seed, "predictive", 0, i, self.realisations) for i in range(len(draws))]
        study.ask(done + 1, "predictive", self.problem.theta(draws), seeds)

    def _fit(self, study: Learning, round: int, seed: int) -> Fit:
        """What the runs up to a round say; emulators start from the hyperparameters of the round before."""
        if round in study.fits:
            return study.fits[round]
        study.say(f"{self._place(round)}: fitting")
        began, simulated = time.perf_counter(), study.seconds["simulating"]
        known = study.ledger.checkpoints(study.study)
        likelihood = self._learn(study, round, seed, known.get(f"round {round - 1}", {}))
        summaries = likelihood.summaries(self._observed())
        samples, effective = sample_posterior(
            likelihood,
            self.problem.space,
            summaries,
            seed,
            box=likelihood.box,
            locations=likelihood.locations,
        )
        simulated = study.seconds["simulating"] - simulated
        study.seconds["fitting"] += time.perf_counter() - began - simulated
        study.fits = {round: Fit(likelihood, summaries, samples, effective)}
        if f"round {round}" not in known:
            ends = central_intervals(samples, 0.9)
            some = self.problem.space.to_unit(samples.iloc[:1000].to_numpy())
            note = {
                "fits": {name: e.hyperparameters for name, e in likelihood.emulators.items()},
                "low": ends["low"].tolist(),
                "high": ends["high"].tolist(),
                "sd": float(np.sqrt(likelihood.variance(some, summaries).mean())),
            } | self._note(study.fits[round])
            study.ledger.checkpoint(study.study, f"round {round}", note)
        return study.fits[round]

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
            outside=self._outside(fit.likelihood),
            seconds=study.seconds,
        )
