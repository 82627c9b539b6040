"""Cascade: Optuna searches one after another, from a cheap simulator to a dear one, no trial thrown away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hetcal.calibrate.cascade_result import CascadeResult
from hetcal.calibrate.finale import Finale
from hetcal.calibrate.stage import GIVEN, Stage
from hetcal.calibrate.stage_search import StageSearch, shares_simulator
from hetcal.ledger import Ledger
from hetcal.problem import Problem


@dataclass(frozen=True, eq=False)
class Cascade:
    """Calibrate in stages, each an Optuna study that may start from what those before it found.

    The ledger is the only store: Optuna's studies are rebuilt from it in memory, so killed anywhere and run again a
    cascade goes on to the same result, whatever the workers. Every stage is a study of its own in the ledger, and
    cascades that have a stage in common share its runs.

    Parameters
    ----------
    stages : sequence of Stage
        In the order in which they are run; the winner is sought among the trials of the last. Problems may have
        different simulators; what is held at or narrowed around an earlier result goes by parameters' names.
    finalists, finalist_replicates : int
        How many of the last stage's best trials are compared in the end, on how many common fresh seeds. A single one
        is the winner without comparison.
    winner_replicates : int
        Fresh seeds of the winner's reported loss.

    Raises
    ------
    TypeError, ValueError
        If there is no stage, two have one name, or a stage names a stage, parameter or simulator that is not there.

    References
    ----------
    Akiba et al. (2019), Optuna: a next-generation hyperparameter optimization framework, KDD.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> @hc.simulator(parameters=["a"], outputs={"y": ()}, version="1")
    ... def cheap(theta, seed):
    ...     return {"y": theta["a"] + 0.2}
    ...
    >>> @hc.simulator(parameters=["a"], outputs={"y": ()}, version="1")
    ... def dear(theta, seed):
    ...     return {"y": theta["a"] + np.random.default_rng(seed).normal()}
    ...
    >>> space = hc.Space([hc.Parameter("a", hc.uniform(-5, 5))])
    >>> fit = hc.Problem(space, cheap, [hc.Target("y", observed=[1.0], loss="rss")])
    >>> mean = hc.EnsembleTarget("y", observed=[1.0], loss="rss", statistic="mean")
    >>> cascade = hc.Cascade(
    ...     [
    ...         hc.Stage(fit, trials=30, replicates=1, name="cheap"),
    ...         hc.Stage(hc.Problem(space, dear, [mean]), trials=10, narrow=0.2, name="dear"),
    ...     ]
    ... )
    >>> result = cascade.run(seed=1)
    >>> abs(result.best.theta["a"] - 1.0) < 0.5
    True
    """

    stages: Sequence[Stage]
    finalists: int = 5
    finalist_replicates: int = 50
    winner_replicates: int = 200

    def __post_init__(self) -> None:
        listed: Any = self.stages
        stages = [listed] if isinstance(listed, Stage) else list(listed)
        for stage in stages:
            if not isinstance(stage, Stage):
                raise TypeError(f"stages are hetcal.Stage(...) objects, not {stage!r}")
        if not stages:
            raise ValueError("a Cascade needs at least one Stage")
        stages = [s if s.name else replace(s, name=f"stage {i}") for i, s in enumerate(stages, 1)]
        names = [stage.name for stage in stages]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"stages' names must differ: {', '.join(twice)}; give name=")
        object.__setattr__(self, "stages", tuple(stages))
        self._check_counts()
        _ = self._searches

    def _check_counts(self) -> None:
        last = self.stages[-1]
        for name, least in (("finalists", 1), ("finalist_replicates", 2), ("winner_replicates", 2)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(f"{name} is a whole number of at least {least}, not {value!r}")
            if name != "finalists":
                for target in last.problem.ensemble_targets:
                    target.check_replicates(int(value), last.debias)

    @cached_property
    def _searches(self) -> dict[str, StageSearch]:
        """The stages with those that they look back to, by name."""
        found: dict[str, StageSearch] = {}
        for stage in self.stages:
            after = None
            if stage.looks_back:
                after = _earlier(found, stage, "after", stage.after or next(reversed(found), None))
                _check_parameters(stage, after.stage)
            carried = []
            names = () if isinstance(stage.carry, bool) else stage.carry
            for name in found if stage.carry is True else names:
                if name == GIVEN:
                    continue
                earlier = _earlier(found, stage, "carry", name)
                if shares_simulator(stage, earlier.stage):
                    carried.append(earlier)
                elif stage.carry is not True:
                    raise ValueError(
                        f"stage {stage.name!r} carries over trials of {name!r}, which are runs of another simulator, "
                        f"{earlier.problem.simulator.name!r}: hold or narrow parameters by it instead"
                    )
            given = stage.carry is True or GIVEN in names
            found[stage.name] = StageSearch(stage.problem, stage, after, tuple(carried), given)
        return found

    @property
    def _finale(self) -> Finale:
        last = self._searches[self.stages[-1].name]
        counts = self.finalists, self.finalist_replicates, self.winner_replicates
        return Finale(self.problem, last, *counts)

    @property
    def problem(self) -> Problem:
        """The problem of the last stage."""
        return self.stages[-1].problem

    @property
    def planned(self) -> pd.DataFrame:
        """What will be simulated, one row a stage, without finalists and winner.

        stage, simulator, trials, replicates, runs, inherited (runs of the trials of earlier stages, if all lie in
        the stage's box), total (both).
        """
        behind: dict[str, set[str]] = {}
        runs = {stage.name: stage.trials * stage.replicates for stage in self.stages}
        rows = []
        for stage in self.stages:
            carried = [search.stage.name for search in self._searches[stage.name].carried]
            behind[stage.name] = set(carried).union(*(behind[name] for name in carried))
            inherited = sum(runs[name] for name in behind[stage.name])
            row = (stage.name, stage.problem.simulator.name, stage.trials, stage.replicates)
            rows.append((*row, runs[stage.name], inherited, runs[stage.name] + inherited))
        columns = ["stage", "simulator", "trials", "replicates", "runs", "inherited", "total"]
        return pd.DataFrame(rows, columns=columns)

    def run(
        self,
        ledger: Ledger | None = None,
        seed: int = 0,
        workers: int = 1,
        executor: Any = None,
        time_limit: float | None = None,
        retry_failed: bool = False,
        progress: bool | None = None,
    ) -> CascadeResult:
        """Run all stages to their end, or on from where they stopped.

        Parameters
        ----------
        ledger, seed, workers, executor, time_limit, retry_failed, progress
            As in `BayesianCalibration.run`.

        Returns
        -------
        CascadeResult
        """
        ledger = Ledger() if ledger is None else ledger
        how: dict[str, Any] = {"workers": workers, "executor": executor, "time_limit": time_limit}
        how |= {"retry_failed": retry_failed, "progress": progress}
        stages = {name: search.run(ledger, seed, **how) for name, search in self._searches.items()}
        return self._collect(ledger, seed, stages, self._finale.run(ledger, seed, **how))

    def ask(self, ledger: Ledger, seed: int = 0) -> pd.DataFrame:
        """The runs that the cascade needs next, for people who simulate elsewhere.

        Bring the outputs back with ``ledger.add_runs(frame, simulator)``, the simulator of that stage, and ask again.

        Parameters
        ----------
        ledger : Ledger
        seed : int

        Returns
        -------
        pandas.DataFrame
            Columns: the parameters, seed, purpose, round, stage; empty when the cascade is finished.
        """
        for search in self._searches.values():
            todo = search.ask(ledger, seed)
            if len(todo):
                return todo.assign(stage=search.stage.name)
        return self._finale.ask(ledger, seed).assign(stage=self.stages[-1].name)

    def result(self, ledger: Ledger, seed: int = 0) -> CascadeResult:
        """The result of a finished cascade, without simulating.

        Raises
        ------
        ValueError
            If runs are still missing, or the ledger holds nothing of this cascade.
        """
        known = ledger.studies()["study"].tolist()
        own = [*(search.study_name(seed) for search in self._searches.values()), self.study_name(seed)]
        if not set(own).intersection(known):
            raise ValueError(
                f"the ledger holds nothing of this cascade at seed {seed}, such as study {own[0]}; it holds "
                f"{', '.join(known) or 'no study'}: run the cascade with it, or give the ledger, settings and seed "
                "that it was run with"
            )
        stages = {name: search.result(ledger, seed) for name, search in self._searches.items()}
        return self._collect(ledger, seed, stages, self._finale.result(ledger, seed))

    def study_name(self, seed: int = 0) -> str:
        """Name in the ledger of the study that has the finalists and the winner; it follows from all settings."""
        return self._finale.study_name(seed)

    def settings(self) -> dict[str, Any]:
        """The settings by name, for reports."""
        stages = [search.settings() for search in self._searches.values()]
        return {"stages": stages} | self._finale.settings()

    def _collect(self, ledger: Ledger, seed: int, stages: dict[str, Any], finale: Any) -> CascadeResult:
        winner, seconds = finale
        for study in stages.values():
            seconds = {name: seconds[name] + study.seconds[name] for name in seconds}
        return CascadeResult(self, seed, ledger, self.study_name(seed), winner, stages, seconds)


def _earlier(found: dict[str, StageSearch], stage: Stage, option: str, name: str | None) -> StageSearch:
    """The stage of that name, which must come before."""
    if name is None:
        raise ValueError(
            f"stage {stage.name!r} holds or narrows parameters by the stage before, but is the first: give numbers"
        )
    if name not in found:
        raise ValueError(
            f"{option} of stage {stage.name!r} names {name!r}; the stages before it are "
            f"{', '.join(found) or 'none'}"
        )
    return found[name]


def _check_parameters(stage: Stage, after: Stage) -> None:
    """Refuse to hold or narrow by a stage what it does not have, or what may lie outside of the prior."""
    space, other = stage.problem.space, after.problem.space
    best = [name for name, value in stage.hold.items() if value == "best"]
    for name in (*best, *stage.narrow):
        if name not in other.names:
            raise ValueError(
                f"stage {stage.name!r} holds or narrows {name!r} by stage {after.name!r}, which has only "
                f"{', '.join(other.names)}"
            )
    for name in best:
        (low, high), (least, most) = other[name].support, space[name].support
        if low < least or high > most:
            raise ValueError(
                f"stage {stage.name!r} holds {name} at the best of stage {after.name!r}, whose prior "
                f"[{low:g}, {high:g}] reaches beyond its own [{least:g}, {most:g}]: make them equal, or narrow"
            )
