"""What a study has learned so far, as a view of the ledger; no state of its own beside a cache of fits."""

from __future__ import annotations

import copy
import math
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from hetcal.emulators.base import Prediction
from hetcal.emulators.total import WeightedTotal, replicate_correlation
from hetcal.emulators.transforms import as_transform
from hetcal.ensemble import execute
from hetcal.ledger import Ledger
from hetcal.problem import Problem
from hetcal.simulators.base import split_outputs

TRAINING = ("given", "design", "search")


def of_purpose(asks: pd.DataFrame, purpose: str) -> pd.DataFrame:
    """Those asks that were made for a purpose, in order."""
    return asks[asks["purpose"] == purpose].reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs that a study asked for, in that order, with their losses.

    Attributes
    ----------
    asks : pandas.DataFrame
        The asks, one row a location and round.
    ask : numpy.ndarray
        Row of `asks` that each run belongs to, shape (N,).
    theta, seeds, status
        Of each run: (N, d) in the space's order, (N,), (N,).
    outputs : dict of numpy.ndarray
        By name, shape (N, *shape), NaN where missing.
    losses : pandas.DataFrame
        A column a target and ``total``.
    """

    asks: pd.DataFrame
    ask: np.ndarray
    theta: np.ndarray
    seeds: np.ndarray
    status: np.ndarray
    outputs: dict[str, np.ndarray]
    losses: pd.DataFrame

    @property
    def total(self) -> np.ndarray:
        """Weighted total loss, (N,)."""
        return self.losses["total"].to_numpy()


@dataclass(eq=False)
class Search:
    """A study in a ledger.

    Parameters
    ----------
    problem : Problem
    emulator : HetGP
        Unfitted; copied for each target.
    ledger : Ledger
    study : str
        The study's name in the ledger.
    say : callable
        Takes one line of text about what is going on.
    """

    problem: Problem
    emulator: Any
    ledger: Ledger
    study: str
    say: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=lambda: {"simulating": 0.0, "fitting": 0.0})
    _fits: dict[int, WeightedTotal] = field(default_factory=dict)

    def asks(self) -> pd.DataFrame:
        """All asks of the study."""
        return self.ledger.asks(self.study, self.problem.simulator)

    def ask(self, round: int, purpose: str, theta: np.ndarray, seeds: list[np.ndarray]) -> None:
        """Ask for runs, noting first how many of them the ledger holds already."""
        ledger, simulator, note = self.ledger, self.problem.simulator, f"reused {round} {purpose}"
        if note not in ledger.checkpoints(self.study):
            rows = np.repeat(theta, [len(s) for s in seeds], axis=0)
            there = int((~ledger.missing(simulator, rows, np.concatenate(seeds))).sum())
            ledger.checkpoint(self.study, note, there)
        ledger.ask(self.study, round, purpose, simulator, theta, seeds)

    def believe(self, name: str, prediction: Prediction) -> None:
        """Keep what the emulators believed of points when they were chosen."""
        if f"believed {name}" not in self.ledger.checkpoints(self.study):
            note = {"mean": prediction.mean.tolist(), "sd": np.sqrt(prediction.mean_var).tolist()}
            self.ledger.checkpoint(self.study, f"believed {name}", note)

    def runs(self, asks: pd.DataFrame) -> Runs:
        """The runs of some asks; status "missing" where they are still to be made."""
        simulator = self.problem.simulator
        counts = [len(s) for s in asks["seeds"]]
        ask = np.repeat(np.arange(len(asks)), counts)
        seeds = np.concatenate([*asks["seeds"], np.empty(0, dtype=np.int64)])
        theta = self.problem.theta(asks)[ask]
        status, flat, _ = self.ledger.lookup(simulator, theta, seeds)
        outputs = split_outputs(simulator.outputs, flat)
        own = asks[list(self.problem.space.names)].to_numpy(dtype=float)[ask]
        return Runs(asks, ask, own, seeds, status, outputs, self.problem.evaluate(outputs))

    def missing(self, asks: pd.DataFrame) -> pd.DataFrame:
        """Runs of these asks that are not in the ledger: parameters, seed, purpose, round."""
        runs = self.runs(asks)
        return self._as_frame(runs, runs.status == "missing")

    def asked_runs(self) -> pd.DataFrame:
        """All runs that the study asked for so far, in the same form."""
        runs = self.runs(self.asks())
        return self._as_frame(runs, np.ones(len(runs.seeds), dtype=bool))

    def _as_frame(self, runs: Runs, rows: np.ndarray) -> pd.DataFrame:
        names = list(self.problem.space.names)
        frame = pd.DataFrame(runs.theta[rows].reshape(-1, len(names)), columns=names)
        frame["seed"] = runs.seeds[rows]
        frame["purpose"] = runs.asks["purpose"].to_numpy()[runs.ask[rows]]
        frame["round"] = runs.asks["round"].to_numpy()[runs.ask[rows]]
        return frame.drop_duplicates([*names, "seed"], ignore_index=True)

    def check_repeatable(self, made: pd.DataFrame, executor: Any) -> None:
        """Once a study, make one of its first runs again; other outputs than before raise ``ValueError``."""
        if "repeatable" in self.ledger.checkpoints(self.study):
            return
        simulator = self.problem.simulator
        theta, seeds = self.problem.theta(made), made["seed"].to_numpy()
        status, flat, _ = self.ledger.lookup(simulator, theta, seeds)
        good = np.flatnonzero(status == "ok")
        if not len(good):
            return
        first = good[:1]
        with Ledger() as again:
            execute(simulator, theta[first], seeds[first], again, executor=executor)
            _, repeated, _ = again.lookup(simulator, theta[first], seeds[first])
        if not np.array_equal(repeated, flat[first], equal_nan=True):
            raise ValueError(
                f"simulator {simulator.name!r} gave other outputs when its run with seed {seeds[first][0]} was made "
                "again: all its randomness must come from the seed, as in rng = numpy.random.default_rng(seed)"
            )
        self.ledger.checkpoint(self.study, "repeatable", True)

    def training(self, round: int) -> Runs:
        """Runs that emulators learn from after a round; finalists share seeds and are no training points."""
        asks = self.asks()
        kept = asks[asks["purpose"].isin(TRAINING) & (asks["round"] <= round)]
        return self.runs(kept.reset_index(drop=True))

    def natural(self, unit: np.ndarray) -> np.ndarray:
        """Simulator's theta (n, d) of unit points; a location keeps its own to the bit, so that it gets replicates."""
        space = self.problem.space
        theta = space.from_unit(unit)
        known = self.asks()[list(space.names)].to_numpy(dtype=float)
        locations = space.to_unit(known)
        for i, point in enumerate(unit):
            # The way through the quantiles and back is exact to rounding only.
            apart = np.abs(locations - point).max(axis=1)
            if apart.min() < 1e-12:
                theta[i] = known[np.argmin(apart)]
        return self.problem.theta(space.frame(theta))

    def failed_locations(self, round: int) -> np.ndarray:
        """Unit-cube locations (f, d) that were run and have no valid total."""
        runs = self.training(round)
        valid = pd.Series(np.isfinite(runs.total)).groupby(runs.ask).any()
        asks = runs.asks.iloc[valid.index[~valid.to_numpy()]]
        unit = (
            self.problem.space.to_unit(asks[list(self.problem.space.names)].to_numpy(dtype=float))
            if len(asks)
            else np.empty((0, self.problem.space.dimension))
        )
        return unit

    def fit(self, round: int) -> WeightedTotal:
        """Emulators of all targets after a round; each starts from the hyperparameters of the round before."""
        if round in self._fits:
            return self._fits[round]
        began = time.perf_counter()
        runs = self.training(round)
        X = self.problem.space.to_unit(runs.theta)
        known = self.ledger.checkpoints(self.study)
        start = known.get(f"fit {round - 1}", {})
        emulators, weights = {}, {}
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
            emulator = copy.copy(self.emulator)
            if emulator.transform is None:
                emulator.transform = target.emulated_scale
            emulators[target.name] = emulator.fit(
                X[valid],
                y[valid],
                seeds=runs.seeds[valid],
                start=start.get(target.name),
                name=f"{target.name!r}",
            )
            weights[target.name] = target.weight
        total = WeightedTotal(emulators, weights, self._correlation(runs, emulators))
        if f"fit {round}" not in known:
            fitted = {name: e.hyperparameters for name, e in emulators.items()}
            self.ledger.checkpoint(self.study, f"fit {round}", fitted)
        self.seconds["fitting"] += time.perf_counter() - began
        self._fits = {round: total}
        return total

    @staticmethod
    def _correlation(runs: Runs, emulators: dict[str, Any]) -> np.ndarray:
        complete = np.isfinite(runs.losses[list(emulators)].to_numpy()).all(axis=1)
        latent = [
            as_transform(e.transform).forward(runs.losses[name].to_numpy()[complete])
            for name, e in emulators.items()
        ]
        _, location = np.unique(runs.theta[complete], axis=0, return_inverse=True)
        return replicate_correlation(np.column_stack(latent), location.reshape(-1))

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


def warn_of_other_versions(ledger: Ledger, simulator: Any) -> None:
    """Warn where a ledger holds runs of this simulator's name that were made with other code or settings."""
    others = ledger.other_versions(simulator)
    if len(others):
        warnings.warn(
            f"the ledger holds {int(others['runs'].sum())} runs of {simulator.name!r} made with other code or "
            "settings; they are kept but not used here",
            stacklevel=3,
        )


def speaker(progress: bool | None) -> Callable[[str], None]:
    """What says lines on stderr: where asked to, or by default on a terminal."""
    if progress is None:
        progress = sys.stderr.isatty()
    return (lambda text: print(text, file=sys.stderr, flush=True)) if progress else (lambda text: None)
