"""A study as a view of the ledger: what it asked for, which runs came, what it noted."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hetcal.emulators.base import Prediction
from hetcal.ensemble import execute
from hetcal.ledger import Ledger
from hetcal.problem import Problem
from hetcal.rbridge import RPool
from hetcal.simulators.base import split_outputs

TRAINING = ("given", "design", "search", "placement")


def of_purpose(asks: pd.DataFrame, purpose: str) -> pd.DataFrame:
    """Those asks that were made for a purpose, in order."""
    return asks[asks["purpose"] == purpose].reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs that a study asked for, in that order, with their losses.

    Attributes
    ----------
    problem : Problem
    asks : pandas.DataFrame
        The asks, one row a location and round.
    ask : numpy.ndarray
        Row of `asks` that each run belongs to, shape (N,).
    theta, seeds, status
        Of each run: (N, d) in the space's order, (N,), (N,).
    outputs : dict of numpy.ndarray
        By name, shape (N, *shape), NaN where missing.
    """

    problem: Problem
    asks: pd.DataFrame
    ask: np.ndarray
    theta: np.ndarray
    seeds: np.ndarray
    status: np.ndarray
    outputs: dict[str, np.ndarray]

    @cached_property
    def losses(self) -> pd.DataFrame:
        """A column a target and ``total``, one row a run."""
        return self.problem.evaluate(self.outputs)

    @property
    def total(self) -> np.ndarray:
        """Weighted total loss, (N,)."""
        return self.losses["total"].to_numpy()


@dataclass(eq=False)
class StudyRuns:
    """A study in a ledger.

    Parameters
    ----------
    problem : Problem
    ledger : Ledger
    study : str
        The study's name in the ledger.
    say : callable
        Takes one line of text about what is going on.
    fitters : int or RPool
        Who fits emulators, see `hetcal.emulators.fit_many`.
    where : dict
        workers, executor and time_limit of `execute`, for runs of a simulator beside the problem's.
    """

    problem: Problem
    ledger: Ledger
    study: str
    say: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=lambda: {"simulating": 0.0, "fitting": 0.0})
    fitters: int | RPool = 1
    where: dict[str, Any] = field(default_factory=dict)
    _number: int | None = None

    @property
    def _simulator(self) -> Any:
        """The simulator, or its number in the ledger once that is known: its fingerprint may cost more than a run."""
        return self.problem.simulator if self._number is None else self._number

    def asks(self) -> pd.DataFrame:
        """All asks of the study."""
        asks = self.ledger.asks(self.study, self._simulator)
        if len(asks) and self._number is None:
            self._number = self.ledger.register(self.problem.simulator)
        return asks

    def ask(self, round: int, purpose: str, theta: np.ndarray, seeds: list[np.ndarray]) -> None:
        """Ask for runs, noting first how many of them the ledger holds already."""
        ledger, simulator, note = self.ledger, self._simulator, f"reused {round} {purpose}"
        if note not in ledger.checkpoints(self.study):
            rows = np.repeat(theta, [len(s) for s in seeds], axis=0)
            there = int((~ledger.missing(simulator, rows, np.concatenate(seeds))).sum())
            ledger.checkpoint(self.study, note, there)
        ledger.ask(self.study, round, purpose, simulator, theta, seeds)

    def take_over(self, runs: pd.DataFrame) -> None:
        """Note runs that the ledger holds already, where inside of the priors, as given to this study."""
        space, simulator = self.problem.space, self.problem.simulator
        if len(runs):
            runs = runs[space.contains(runs[list(space.names)].to_numpy(dtype=float))]
        if not len(runs):
            return
        # Runs come in as workers end them: their order must not decide anything.
        runs = runs.sort_values([*simulator.parameters, "seed"])
        groups = runs.groupby(list(simulator.parameters), sort=False)["seed"]
        theta = np.array([np.atleast_1d(key) for key, _ in groups], dtype=float)
        self.say(f"taking over {len(runs)} runs that the ledger holds already")
        seeds = [s.to_numpy(dtype=np.int64) for _, s in groups]
        self.ledger.ask(self.study, 0, "given", simulator, theta, seeds)

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
        status, flat, _ = self.ledger.lookup(self._simulator, theta, seeds)
        outputs = split_outputs(simulator.outputs, flat)
        own = asks[list(self.problem.space.names)].to_numpy(dtype=float)[ask]
        return Runs(self.problem, asks, ask, own, seeds, status, outputs)

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
