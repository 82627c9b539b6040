"""The result of a cascade: the winner, all trials with what they cost, and the Optuna studies."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from hetcal.calibrate.winner import Winner
from hetcal.ledger import Ledger

if TYPE_CHECKING:
    import optuna

    from hetcal.calibrate.stage_search import StageRuns
    from hetcal.problem import Problem


@dataclass(frozen=True, eq=False)
class CascadeResult:
    """What a cascade found.

    Attributes
    ----------
    method : Cascade
        The settings, with the stages.
    seed : int
    ledger : Ledger
    study_name : str
        Under which the ledger has the finalists and the winner's runs; those of the stages stand in `cost`.
    best : Winner
        Chosen among the last stage's best trials, and re-evaluated on fresh seeds. Its loss is debiased where the
        last stage is.
    stages : dict of StageRuns
        The stages as the ledger has them, by name.
    seconds : dict of float
        simulating, fitting, total: of this process.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> @hc.simulator(parameters=["a"], outputs={"y": ()}, version="1")
    ... def model(theta, seed):
    ...     return {"y": theta["a"] + np.random.default_rng(seed).normal()}
    ...
    >>> space = hc.Space([hc.Parameter("a", hc.uniform(-5, 5))])
    >>> target = hc.EnsembleTarget("y", observed=[1.0], loss="rss", statistic="mean")
    >>> problem = hc.Problem(space, model, [target])
    >>> stages = [hc.Stage(problem, trials=8, replicates=4), hc.Stage(problem, trials=6, replicates=10)]
    >>> result = hc.Cascade(stages).run(seed=1)
    >>> result.cost[["stage", "runs", "inherited", "total"]].head(2).values.tolist()
    [['stage 1', 32, 0, 32], ['stage 2', 60, 32, 92]]
    >>> len(result.study.trials), int(result.history["inherited"].sum())
    (14, 8)
    """

    method: Any
    seed: int
    ledger: Ledger
    study_name: str
    best: Winner
    stages: dict[str, StageRuns]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def problem(self) -> Problem:
        """The problem of the last stage."""
        return self.method.problem

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row a stage and trial that its sampler knew.

        stage, trial (its number in the stage's Optuna study), the parameters, replicates, valid, loss, loss_se,
        debiased (the loss without its expected noise), value (what the sampler was told: one of the two), inherited,
        origin (the stage that simulated it), runs (simulator runs behind the stage's study so far, inherited ones
        included).
        """
        tables = [study.table() for study in self.stages.values()]
        return pd.concat([table for table in tables if len(table)], ignore_index=True)

    @cached_property
    def cost(self) -> pd.DataFrame:
        """What was simulated, one row a stage, then finalists and winner.

        stage, simulator, trials, runs (made for it, failed ones included), inherited (runs of the trials it
        inherited), total (both), failed (of `runs`), study (the stage's name in the ledger). A run that several stages
        use is in the runs of one and the inherited of the others.
        """
        rows = []
        for study in self.stages.values():
            rows.append(self._cost(study.stage.name, study.study, study.problem, "search"))
            inherited = {(*t.theta.values(), s) for t in study.inherited for s in t.seeds.tolist()}
            rows[-1]["inherited"] = len(inherited)
        for name, purpose in (("finalists", "finalists"), ("winner", "reporting")):
            rows.append(self._cost(name, self.study_name, self.problem, purpose))
        table = pd.DataFrame(rows)
        table["total"] = table["runs"] + table["inherited"]
        return table[["stage", "simulator", "trials", "runs", "inherited", "total", "failed", "study"]]

    def _cost(self, stage: str, study: str, problem: Problem, purpose: str) -> dict[str, Any]:
        asks = self.ledger.asks(study, problem.simulator)
        asks = asks[asks["purpose"] == purpose]
        seeds = [
            (*row[:-1], seed) for row in asks[[*problem.space.names, "seeds"]].values for seed in row[-1]
        ]
        runs = self.ledger.runs(problem.simulator, study)
        index = pd.MultiIndex.from_frame(runs[[*problem.space.names, "seed"]])
        failed = runs["status"].eq("failed").to_numpy() & index.isin(seeds)
        return {
            "stage": stage,
            "simulator": problem.simulator.name,
            "trials": len(asks),
            "runs": len(set(seeds)),
            "inherited": 0,
            "failed": int(failed.sum()),
            "study": study,
        }

    @property
    def studies(self) -> dict[str, optuna.Study]:
        """The Optuna study of each stage by its name, in memory, for Optuna's own plots and importances."""
        return {name: self._studies[name] for name in self.stages}

    @cached_property
    def _studies(self) -> dict[str, optuna.Study]:
        return {name: study.optuna_study() for name, study in self.stages.items()}

    @property
    def study(self) -> optuna.Study:
        """The Optuna study of the last stage."""
        return list(self._studies.values())[-1]

    def __repr__(self) -> str:
        lines = [f"CascadeResult of study {self.study_name}, seed {self.seed}", f"  {self.best!r}"]
        for row in self.cost[self.cost["runs"] > 0].itertuples():
            inherited = f" and {row.inherited} inherited" if row.inherited else ""
            failed = f", {row.failed} failed" if row.failed else ""
            lines.append(
                f"  {row.stage} ({row.simulator}): {row.trials} parameter sets, {row.runs} runs{inherited}{failed}"
            )
        return "\n".join(lines)
