"""The result of a calibration: the winner, what is left of the prior, the history, the emulators."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hetcal.calibrate.held_out_locations import HELD_OUT
from hetcal.calibrate.not_ruled_out import NotRuledOut, not_ruled_out
from hetcal.calibrate.study_runs import TRAINING, StudyRuns, of_purpose
from hetcal.calibrate.winner import Winner, fresh_block
from hetcal.emulators.total import WeightedTotal
from hetcal.ledger import Ledger
from hetcal.simulators.base import split_outputs

if TYPE_CHECKING:
    from hetcal.calibrate.search import Search
    from hetcal.problem import Problem


@dataclass(frozen=True, eq=False)
class CalibrationResult:
    """What a calibration found.

    Attributes
    ----------
    method : BayesianCalibration
        The settings, with the problem.
    seed : int
    study : str
        The study's name in the ledger.
    ledger : Ledger
    best : Winner
        Re-evaluated on fresh seeds.
    emulator : WeightedTotal
        The weighted total on the loss's scale.
    history : pandas.DataFrame
        One row a location and round, those held out included: round, purpose, the parameters, replicates, valid, loss
        (weighted total), loss_se, believed, believed_sd, believed_best (lowest believed mean of any location after
        that round; it may rise); where there are several targets also the mean loss of each, "loss of <target>".
    stopped : str
        "budget", "no improvement" or "satisfactory".
    seconds : dict of float
        simulating, fitting, total: of this process.
    held_out : pandas.DataFrame
        How the emulators predict locations that they never learn from, where the method holds some out. One row a
        round and target: round, target, locations, r2, log_score, log_score_se, coverage_50, coverage_90; of location
        means on the emulator's own scale, their noise counted.

    Examples
    --------
    >>> import hetcal as hc
    >>> problem = hc.studies.flu1978.study().problem
    >>> method = hc.BayesianCalibration(problem, initial=20, batch=2, rounds=1)
    >>> result = method.run(seed=1)
    >>> result.runs["failed"], list(result.best.theta)
    (0, ['R0', 'infectious_days', 'I0'])
    """

    method: Any
    seed: int
    study: str
    ledger: Ledger
    best: Winner
    emulator: WeightedTotal
    history: pd.DataFrame
    stopped: str
    seconds: dict[str, float] = field(default_factory=dict)
    held_out: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def problem(self) -> Problem:
        """The problem that was calibrated."""
        return self.method.problem

    @property
    def emulators(self) -> dict[str, Any]:
        """Fitted emulators by target name."""
        return dict(self.emulator.emulators)

    @cached_property
    def ranges(self) -> NotRuledOut:
        """For each parameter the set that is not ruled out yet; no percentage belongs to it."""
        return not_ruled_out(self.emulator, self.problem.space, self.best, self.seed)

    @cached_property
    def runs(self) -> dict[str, int]:
        """Number of runs the study asked for: total, failed, and reused (in the ledger before they were asked)."""
        runs = self.ledger.runs(self.problem.simulator, self.study)
        known = self.ledger.checkpoints(self.study)
        reused = sum(count for name, count in known.items() if name.startswith("reused "))
        asks = self.ledger.asks(self.study, self.problem.simulator)
        given = asks.loc[asks["purpose"] == "given", "seeds"].map(len).sum()
        return {
            "total": len(runs),
            "failed": int((runs["status"] == "failed").sum()),
            "reused": int(reused + given),
        }

    def winner_outputs(self) -> dict[str, np.ndarray]:
        """Outputs of the winner's fresh runs that have a loss, by name, shape (n, *shape); NaN where missing."""
        simulator = self.problem.simulator
        asks = self.ledger.asks(self.study, simulator)
        row = fresh_block(asks, self.best.theta).iloc[0]
        theta = np.array([[row[name] for name in simulator.parameters]], dtype=float)
        _, flat, _ = self.ledger.lookup(simulator, np.repeat(theta, len(row["seeds"]), axis=0), row["seeds"])
        outputs = split_outputs(simulator.outputs, flat)
        valid = np.isfinite(self.problem.evaluate(outputs)["total"].to_numpy())
        return {name: values[valid] for name, values in outputs.items()}

    def design_losses(self) -> tuple[np.ndarray, pd.DataFrame]:
        """Runs of the first design, which are spread over the prior: unit-cube points (N, d) and their losses, a
        column a target and ``total``."""
        study = StudyRuns(self.problem, self.ledger, self.study, lambda text: None)
        runs = study.runs(of_purpose(study.asks(), "design"))
        return self.problem.space.to_unit(runs.theta), runs.losses

    def diagnostics(self) -> pd.DataFrame:
        """Leave-one-out diagnostics of every emulator, each with value, band and advice."""
        from hetcal.diagnostics import diagnose

        return diagnose(self.emulators)

    def report(self, folder: str | Path) -> Path:
        """Write report.html, summary.json, figures and emulators into a folder; returns the report's path.

        Parameters
        ----------
        folder : str or pathlib.Path
            Made where missing.
        """
        from hetcal.report import write_report

        return write_report(self, folder)

    def __repr__(self) -> str:
        ranges = "\n".join("  " + line for line in repr(self.ranges).splitlines())
        runs = self.runs
        return (
            f"CalibrationResult of study {self.study}, seed {self.seed}\n  {self.best!r}\n{ranges}\n"
            f"  {runs['total']} runs, {runs['failed']} failed, {runs['reused']} reused; stopped: {self.stopped}"
        )


def build_history(search: Search, last: int) -> pd.DataFrame:
    """Tidy history of a study: one row a location and round, what was believed of it and what came."""
    known = search.ledger.checkpoints(search.study)
    asks = search.asks()
    shown = asks["purpose"].isin([*TRAINING, HELD_OUT]) & (asks["round"] <= last)
    runs = search.runs(asks[shown].reset_index(drop=True))
    table = runs.asks.drop(columns=["seeds", "position"]).copy()
    losses = pd.Series(runs.total).groupby(runs.ask)
    table["replicates"] = [len(s) for s in runs.asks["seeds"]]
    table["valid"] = losses.count()
    table["loss"] = losses.mean()
    table["loss_se"] = losses.std() / np.sqrt(losses.count())
    table["believed"] = np.nan
    table["believed_sd"] = np.nan
    for round in sorted(set(table.loc[table["purpose"] == "search", "round"])):
        rows = (table["purpose"] == "search") & (table["round"] == round)
        note = known[f"believed search {round}"]
        table.loc[rows, "believed"], table.loc[rows, "believed_sd"] = note["mean"], note["sd"]
    table["believed_best"] = [known[f"round {round}"]["mean"] for round in table["round"]]
    targets = search.problem.run_targets
    if len(targets) > 1:
        each = runs.losses.groupby(runs.ask).mean()
        table = table.assign(**{f"loss of {t.name}": each[t.name] for t in targets})
    front = ["round", "purpose", *search.problem.space.names]
    return table[front + [c for c in table.columns if c not in front]]
