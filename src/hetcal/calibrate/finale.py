"""The end of a cascade: its best trials on common fresh seeds, and the winner on others that nobody has seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hetcal.calibrate.method import Method
from hetcal.calibrate.stage_search import StageSearch, Trial
from hetcal.calibrate.study_runs import StudyRuns, of_purpose
from hetcal.calibrate.winner import Comparison, Winner, compare_finalists, fresh_block, honest_winner
from hetcal.ledger import Ledger
from hetcal.problem import Problem
from hetcal.simulators.identity import content_hash
from hetcal.streams import simulator_seeds


@dataclass(eq=False)
class FinaleRuns(StudyRuns):
    """The end of a cascade in a ledger: see `StudyRuns`; `stage` is the last stage there."""

    stage: Any = None

    def best(self, n: int) -> list[Trial]:
        """The best trials of the last stage, one of each parameter set."""
        found: dict[tuple[float, ...], Trial] = {}
        for trial in self.stage.ranked():
            found.setdefault(tuple(trial.theta.values()), trial)
        return list(found.values())[:n]


@dataclass(frozen=True, eq=False)
class Finale(Method[FinaleRuns, tuple[Winner, dict[str, float]]]):
    """Choice and report of a cascade's winner.

    Parameters
    ----------
    problem : Problem
        That of the last stage.
    last : StageSearch
        The last stage.
    finalists, finalist_replicates, winner_replicates : int
        See `Cascade`.
    """

    problem: Problem
    last: StageSearch
    finalists: int
    finalist_replicates: int
    winner_replicates: int

    def settings(self) -> dict[str, Any]:
        """Its settings by name, for reports."""
        counts = ("finalists", "finalist_replicates", "winner_replicates")
        return {name: getattr(self, name) for name in counts} | {"debias": self.last.stage.debias}

    def _identity(self, seed: int) -> str:
        return content_hash([super()._identity(seed), self.last._identity(seed)], "finale")

    def _place(self, round: int) -> str:
        return "end"

    def _view(self, ledger: Ledger, seed: int, say: Callable[[str], None]) -> FinaleRuns:
        last = self.last._view(ledger, seed, say)
        return FinaleRuns(self.problem, ledger, self.study_name(seed), say, stage=last)

    def _decide(self, study: FinaleRuns, asks: pd.DataFrame, seed: int) -> bool:
        """Ask for the finalists, then for the winner's fresh block. Failed runs made again can change the winner."""
        if self.finalists > 1 and not len(asks):
            seeds = simulator_seeds(seed, "finalists", 0, 0, self.finalist_replicates)
            trials = study.best(self.finalists)
            theta = self.problem.theta(pd.DataFrame([trial.theta for trial in trials]))
            study.ask(0, "finalists", theta, [seeds] * len(trials))
            return True
        points, comparison = self._compared(study, asks)
        winner = points[comparison.winner]
        if len(fresh_block(asks, winner)):
            return False
        study.say("choosing the winner")
        seeds = simulator_seeds(seed, "reporting", 0, 0, self.winner_replicates)
        round = int(asks["round"].max()) + 1 if len(asks) else 1
        study.ask(round, "reporting", self.problem.theta(pd.DataFrame([winner])), [seeds])
        return True

    def _compared(self, study: FinaleRuns, asks: pd.DataFrame) -> tuple[list[dict[str, float]], Comparison]:
        """The finalists, and how they compare by what each common seed adds to their losses."""
        if self.finalists == 1:
            return [study.best(1)[0].theta], Comparison(0, [])
        runs = study.runs(of_purpose(asks, "finalists"))
        totals = []
        for i in range(len(runs.asks)):
            outputs = {name: values[runs.ask == i] for name, values in runs.outputs.items()}
            totals.append(self.problem.contributions(outputs, self.last.stage.debias)["total"].to_numpy())
        points = [dict(row) for row in runs.asks[list(self.problem.space.names)].to_dict("records")]
        return points, compare_finalists(np.array(totals))

    def _result(self, study: FinaleRuns, seed: int) -> tuple[Winner, dict[str, float]]:
        """The winner, and where the time went."""
        asks = study.asks()
        points, comparison = self._compared(study, asks)
        theta = points[comparison.winner]
        believed = next(trial.value for trial in study.stage.ranked() if trial.theta == theta)
        outputs = study.runs(fresh_block(asks, theta)).outputs
        losses = self.problem.contributions(outputs, self.last.stage.debias)
        ties = [points[j] for j in comparison.ties]
        return honest_winner(self.problem, theta, ties, believed, outputs, losses), study.seconds
