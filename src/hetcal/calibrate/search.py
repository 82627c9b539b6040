"""What a calibration has learned so far: emulators of the losses, round by round."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hetcal.calibrate.study_runs import Runs, StudyRuns
from hetcal.emulators.fit_many import FitTask, fit_many
from hetcal.emulators.total import WeightedTotal, replicate_correlation
from hetcal.emulators.transforms import as_transform


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
        """Emulators of all targets after a round; each starts from the hyperparameters of the round before."""
        if round in self._fits:
            return self._fits[round]
        began = time.perf_counter()
        runs = self.training(round)
        X = self.problem.space.to_unit(runs.theta)
        known = self.ledger.checkpoints(self.study)
        start = known.get(f"fit {round - 1}", {})
        tasks, weights = {}, {}
        for target in self.problem.run_targets:
            if target.weight == 0:
                continue
            y = runs.losses[target.name].to_numpy()
            valid = np.isfinite(y)
            if not valid.any():
                raise ValueError(
                    f"no run has a valid {target.name!r}: "
                    f"{self.ledger.runs(self.problem.simulator, self.study)['error'].dropna().iloc[0]}"
                )
            pattern = copy.copy(self.emulator)
            if pattern.transform is None:
                pattern.transform = target.emulated_scale
            tasks[target.name] = FitTask(
                pattern, X[valid], y[valid], runs.seeds[valid], start.get(target.name), repr(target.name)
            )
            weights[target.name] = target.weight
        emulators = dict(zip(tasks, fit_many(list(tasks.values()), self.fitters), strict=True))
        total = WeightedTotal(emulators, weights, self._correlation(runs, emulators))
        if f"fit {round}" not in known:
            fitted = {name: e.hyperparameters for name, e in emulators.items()}
            self.ledger.checkpoint(self.study, f"fit {round}", fitted)
        self.seconds["fitting"] += time.perf_counter() - began
        self._fits = {round: total}
        return total

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
