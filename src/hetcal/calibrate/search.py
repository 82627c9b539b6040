"""What a calibration has learned so far: emulators of the losses, round by round."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hetcal.calibrate.study_runs import TRAINING, Runs, StudyRuns
from hetcal.emulators.fit_many import FitTask, fit_many
from hetcal.emulators.total import WeightedTotal, replicate_correlation
from hetcal.emulators.transforms import as_transform

# Locations up to which R's fit takes seconds, and the growth of their number that asks for a new fit beyond.
_FIT_ALWAYS = 200
_GROWTH = 1.2


@dataclass(eq=False)
class Search(StudyRuns):
    """A calibration's study in a ledger; no state of its own beside a cache of fits.

    Parameters
    ----------
    problem, ledger, study, say
        See `StudyRuns`.
    emulator : HetGP
        Unfitted; copied for each target.
    """

    emulator: Any = None
    _fits: dict[int, WeightedTotal] = field(default_factory=dict)

    def fit(self, round: int) -> WeightedTotal:
        """Emulators of all targets after a round.

        Hyperparameters are fitted in every round while R takes seconds for it, up to 200 locations; beyond, where the
        locations have grown by a fifth since the last fit, from whose hyperparameters the next one starts. In the
        rounds between, the new runs are added with the hyperparameters as they are.
        """
        if round in self._fits:
            return self._fits[round]
        began = time.perf_counter()
        runs = self.training(round)
        fitted = self._fitted_round(round)
        if fitted == round:
            emulators = self._fit(runs, round)
        else:
            before = self.fit(fitted).emulators
            emulators = self._update(before, runs, fitted)
        weights = {t.name: t.weight for t in self._targets}
        total = WeightedTotal(emulators, weights, self._correlation(runs, emulators))
        self._fits = {r: t for r, t in self._fits.items() if r == fitted} | {round: total}
        self.seconds["fitting"] += time.perf_counter() - began
        return total

    @property
    def _targets(self) -> list[Any]:
        return [t for t in self.problem.run_targets if t.weight != 0]

    def _fitted_round(self, round: int) -> int:
        """The last round, up to this one, whose hyperparameters are fitted; it follows from what was asked for."""
        if not hasattr(self.emulator, "update"):
            return round
        asks = self.asks()
        asks = asks[asks["purpose"].isin(TRAINING) & (asks["round"] <= round)]
        first = asks.groupby(list(self.problem.space.names))["round"].min().to_numpy()
        locations = np.cumsum(np.bincount(first, minlength=round + 1))
        fitted = 0
        for r in range(1, round + 1):
            if locations[r] <= _FIT_ALWAYS or locations[r] >= _GROWTH * locations[fitted]:
                fitted = r
        return fitted

    def _fit(self, runs: Runs, round: int) -> dict[str, Any]:
        """Hyperparameters and all."""
        known = self.ledger.checkpoints(self.study)
        start = known.get(f"fit {self._fitted_round(round - 1)}", {}) if round else {}
        X = self.problem.space.to_unit(runs.theta)
        tasks = {}
        for target in self._targets:
            y = runs.losses[target.name].to_numpy()
            valid = np.isfinite(y)
            if not valid.any():
                errors = self.ledger.runs(self.problem.simulator, self.study)["error"].dropna()
                own = errors[errors.str.contains(repr(target.output), regex=False)]
                raise ValueError(
                    f"no run has a valid {target.name!r}; one says: {[*own, *errors][0]}. Mend what fails and run with "
                    "retry_failed=True, or leave the target out"
                )
            pattern = copy.copy(self.emulator)
            if pattern.transform is None:
                pattern.transform = target.emulated_scale
            tasks[target.name] = FitTask(
                pattern, X[valid], y[valid], runs.seeds[valid], start.get(target.name), repr(target.name)
            )
        emulators = dict(zip(tasks, fit_many(list(tasks.values()), self.fitters), strict=True))
        if f"fit {round}" not in known:
            self.ledger.checkpoint(
                self.study, f"fit {round}", {name: e.hyperparameters for name, e in emulators.items()}
            )
        return emulators

    def _update(self, emulators: Mapping[str, Any], runs: Runs, fitted: int) -> dict[str, Any]:
        """Copies of emulators that know the runs of later rounds than the fitted one as well."""
        later = runs.asks["round"].to_numpy()[runs.ask] > fitted
        X = self.problem.space.to_unit(runs.theta[later])
        updated = {}
        for name, emulator in emulators.items():
            y = runs.losses[name].to_numpy()[later]
            valid = np.isfinite(y)
            updated[name] = copy.copy(emulator).update(X[valid], y[valid])
        return updated

    @staticmethod
    def _correlation(runs: Runs, emulators: dict[str, Any]) -> np.ndarray:
        latent = np.full((len(runs.seeds), len(emulators)), np.nan)
        for column, (name, emulator) in enumerate(emulators.items()):
            y = runs.losses[name].to_numpy()
            valid = np.isfinite(y)
            latent[valid, column] = as_transform(emulator.transform).forward(y[valid])
        _, location = np.unique(runs.theta, axis=0, return_inverse=True)
        return replicate_correlation(latent, location.reshape(-1))

    def incumbent(self, round: int) -> dict[str, Any]:
        """The location that is believed best after a round: its theta, mean loss and standard deviation."""
        known = self.ledger.checkpoints(self.study)
        if f"round {round}" in known:
            return known[f"round {round}"]
        total = self.fit(round)
        prediction = total.predict(total.locations)
        best = int(np.argmin(prediction.mean))
        note = {
            "theta": self.problem.space.from_unit(total.locations[best : best + 1])[0].tolist(),
            "mean": float(prediction.mean[best]),
            "sd": math.sqrt(float(prediction.mean_var[best])),
        }
        self.ledger.checkpoint(self.study, f"round {round}", note)
        return note
