"""The search of one stage of a cascade: batches of trials from an Optuna study that is rebuilt from the ledger."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hetcal.calibrate.method import Method
from hetcal.calibrate.optuna_study import Told, make_study, propose
from hetcal.calibrate.search_box import SearchBox
from hetcal.calibrate.stage import GIVEN, Stage
from hetcal.calibrate.study_runs import StudyRuns, of_purpose
from hetcal.ledger import Ledger
from hetcal.problem import Problem
from hetcal.simulators.identity import content_hash, fingerprint
from hetcal.streams import generator, simulator_seeds

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Trial:
    """A trial of a stage, its own or an inherited one.

    Attributes
    ----------
    origin : str
        Name of the stage that simulated it.
    theta : dict of float
        Natural units.
    seeds : numpy.ndarray
        Of its runs, (M,).
    valid : int
        Runs that count in the loss.
    loss, debiased, loss_se : float
        Loss as it is, without its expected noise, and its standard error; NaN where they cannot be known.
    value : float
        What the sampler is told; NaN for a failed trial.
    """

    origin: str
    theta: dict[str, float]
    seeds: np.ndarray
    valid: int
    loss: float
    debiased: float
    loss_se: float
    value: float


@dataclass(frozen=True, eq=False)
class StageSearch(Method["StageRuns", "StageRuns"]):
    """A stage in its place in a cascade.

    Parameters
    ----------
    problem : Problem
        The stage's.
    stage : Stage
    after : StageSearch, optional
        The stage that decides what is held or narrowed.
    carried : sequence of StageSearch
        The stages whose trials are inherited.
    with_given : bool
        Inherit runs that were brought into the ledger before.
    """

    problem: Problem
    stage: Stage
    after: StageSearch | None = None
    carried: tuple[StageSearch, ...] = ()
    with_given: bool = False

    def settings(self) -> dict[str, Any]:
        """The stage's settings by name, for reports."""
        stage = self.stage
        names = (
            "name",
            "trials",
            "replicates",
            "sampler",
            "hold",
            "narrow",
            "batch",
            "debias",
            "common_seeds",
        )
        return {name: getattr(stage, name) for name in names} | {
            "after": self.after.stage.name if self.after else None,
            "carry": [search.stage.name for search in self.carried] + [GIVEN] * self.with_given,
        }

    def _identity(self, seed: int) -> str:
        before = [search._identity(seed) for search in (*([self.after] if self.after else []), *self.carried)]
        return content_hash([super()._identity(seed), before], "stage")

    def _place(self, round: int) -> str:
        return (
            f"stage {self.stage.name!r}, batch {round} of {math.ceil(self.stage.trials / self.stage.batch)}"
        )

    def _view(self, ledger: Ledger, seed: int, say: Callable[[str], None]) -> StageRuns:
        return StageRuns(self.problem, ledger, self.study_name(seed), say, search=self, seed=seed)

    def _decide(self, study: StageRuns, asks: pd.DataFrame, seed: int) -> bool:
        """Write the next batch of trials; False when all were simulated."""
        if self.with_given and not len(asks):
            study.take_over(study.ledger.given(self.problem.simulator))
        done = int((asks["purpose"] == "search").sum())
        n = min(self.stage.batch, self.stage.trials - done)
        if n <= 0:
            return False
        round = done // self.stage.batch + 1
        params = [params for params, _ in study.proposals(round, n)]
        theta = self.problem.theta(pd.DataFrame([study.box.theta(each) for each in params]))
        study.ask(round, "search", theta, [self._seeds(seed, done + i) for i in range(n)])
        return True

    def _seeds(self, seed: int, trial: int) -> np.ndarray:
        common = self.stage.common_seeds
        return simulator_seeds(
            seed, "cascade", stream(self.stage.name), 0 if common else trial, self.stage.replicates
        )

    def _result(self, study: StageRuns, seed: int) -> StageRuns:
        return study


@dataclass(eq=False)
class StageRuns(StudyRuns):
    """A stage's study in a ledger; no state of its own beside caches of what follows from it.

    Parameters
    ----------
    problem, ledger, study, say
        See `StudyRuns`.
    search : StageSearch
    seed : int
        The cascade's.
    """

    search: Any = None
    seed: int = 0
    _tried: list[Trial] = field(default_factory=list)
    _proposed: dict[int, list[Any]] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        """The stage's settings."""
        return self.search.stage

    def _of(self, search: StageSearch) -> StageRuns:
        return search._view(self.ledger, self.seed, self.say)

    @cached_property
    def box(self) -> SearchBox:
        """Where this stage searches."""
        stage, space = self.stage, self.problem.space
        if not stage.looks_back:
            return SearchBox(space, {name: float(value) for name, value in stage.hold.items()}, {})
        before = self._of(self.search.after)
        best = before.best().theta
        held = {n: best[n] if value == "best" else float(value) for n, value in stage.hold.items()}
        ranges = {}
        for name, share in stage.narrow.items():
            cdf = space[name].prior.cdf
            if share == "good":
                good = cdf([trial.theta[name] for trial in before.ranked()[: _quarter(before)]])
                # Half as much again; a quarter whose trials agree to a hair still leaves room.
                margin = max(0.25 * np.ptp(good), 0.01)
                ranges[name] = (max(0.0, good.min() - margin), min(1.0, good.max() + margin))
            else:
                low = min(max(0.0, float(cdf(best[name])) - share / 2), 1.0 - share)
                ranges[name] = (low, low + share)
        return SearchBox(space, held, ranges)

    @cached_property
    def inherited(self) -> list[Trial]:
        """Trials of other origin that lie in the box, no parameter set with the same seeds twice."""
        candidates = [known for search in self.search.carried for known in self._of(search).known()]
        given = of_purpose(self.asks(), "given")
        candidates += self._listed(GIVEN, given)
        found = {
            (*theta.values(), *seeds.tolist()): (origin, theta, seeds)
            for origin, theta, seeds in candidates
            if self.box.params(theta) is not None
        }
        # Runs that are too few for this stage's statistics are no failure.
        return [t for t in self._evaluated(list(found.values())) if np.isfinite(t.value) or not t.valid]

    def known(self) -> list[tuple[str, dict[str, float], np.ndarray]]:
        """Origin, parameters and seeds of all trials."""
        inherited = [(trial.origin, trial.theta, trial.seeds) for trial in self.inherited]
        return inherited + self._listed(self.stage.name, of_purpose(self.asks(), "search"))

    def _listed(self, origin: str, asks: pd.DataFrame) -> list[tuple[str, dict[str, float], np.ndarray]]:
        thetas = asks[list(self.problem.space.names)].astype(float).to_dict("records")
        return [(origin, theta, seeds) for theta, seeds in zip(thetas, asks["seeds"], strict=True)]

    def own(self) -> list[Trial]:
        """This stage's trials, in the order asked."""
        asks = of_purpose(self.asks(), "search")
        self._tried += self._evaluated(self._listed(self.stage.name, asks.iloc[len(self._tried) :]))
        return list(self._tried)

    def trials(self) -> list[Trial]:
        """All trials that its sampler knows, inherited ones first."""
        return [*self.inherited, *self.own()]

    def _evaluated(self, known: list[tuple[str, dict[str, float], np.ndarray]]) -> list[Trial]:
        """Trials with their losses, by this stage's targets."""
        if not known:
            return []
        asks = pd.DataFrame([theta for _, theta, _ in known])
        runs = self.runs(asks.assign(seeds=pd.Series([seeds for _, _, seeds in known], dtype=object)))
        return [
            self._trial(*each, {name: values[runs.ask == i] for name, values in runs.outputs.items()})
            for i, each in enumerate(known)
        ]

    def _trial(
        self, origin: str, theta: dict[str, float], seeds: np.ndarray, outputs: dict[str, np.ndarray]
    ) -> Trial:
        raw = self.problem.contributions(outputs)["total"].dropna()
        loss = debiased = float(raw.mean())
        ensembles = [t for t in self.problem.ensemble_targets if t.weight > 0]
        if ensembles:
            debiased = math.nan
            if all(t.noise_is_known for t in ensembles):
                debiased = float(self.problem.contributions(outputs, debias=True)["total"].mean())
        fewest = max([t.fewest for t in ensembles], default=1)
        return Trial(
            origin=origin,
            theta=theta,
            seeds=seeds,
            valid=len(raw),
            loss=loss,
            debiased=debiased,
            loss_se=float(raw.std() / math.sqrt(len(raw))) if len(raw) > fewest else math.nan,
            value=debiased if self.stage.debias else loss,
        )

    def ranked(self) -> list[Trial]:
        """Trials with a value, the lowest first.

        Raises
        ------
        ValueError
            If there is none, with what the runs said.
        """
        found = [trial for trial in self.trials() if np.isfinite(trial.value)]
        if not found:
            errors = self.ledger.runs(self.problem.simulator, self.study)["error"].dropna()
            raise ValueError(
                f"no trial of stage {self.stage.name!r} has a loss: "
                + (str(errors.iloc[0]) if len(errors) else "its runs lack an output that a target needs")
            )
        return sorted(found, key=lambda trial: trial.value)

    def best(self) -> Trial:
        """The trial of the lowest value: a lucky one among noisy ones, good enough to steer by."""
        return self.ranked()[0]

    def proposals(self, round: int, n: int) -> list[Any]:
        """What the sampler proposes as batch `round`, with what it keeps in those trials; the same at any time."""
        if round not in self._proposed:
            told = _failures_as_worst(self._told(self.stage.batch * (round - 1)))
            study = make_study(self.study, told, self.box.distributions())
            draw = int(generator(self.seed, "cascade", stream(self.stage.name), round, 1).integers(2**31))
            self._proposed[round] = propose(
                study,
                self.stage.make_sampler(self._start(told[: len(self.inherited)])),
                draw,
                self.box.distributions(),
                n,
            )
        return self._proposed[round]

    @staticmethod
    def _start(inherited: list[Told]) -> dict[str, float] | None:
        valid = [trial for trial in inherited if np.isfinite(trial.value)]
        return min(valid, key=lambda trial: trial.value).params if valid else None

    def _told(self, own: int | None = None) -> list[Told]:
        """Inherited trials and the first `own` of this stage, as Optuna shall know them."""
        trials = [*self.inherited, *self.own()[:own]]
        memories: list[dict[str, Any]] = [{} for _ in trials]
        if self.stage.sampler not in ("tpe", "random"):
            batch = self.stage.batch
            for i in range(0, len(trials) - len(self.inherited), batch):
                n = min(batch, self.stage.trials - i)
                for j, (_, memory) in enumerate(self.proposals(i // batch + 1, n)):
                    memories[len(self.inherited) + i + j] = memory
        told = []
        for trial, memory in zip(trials, memories, strict=True):
            notes: dict[str, Any] = {"stage": trial.origin, "replicates": len(trial.seeds), **trial.theta}
            notes |= {"loss": trial.loss, "loss_se": trial.loss_se}
            params = self.box.params(trial.theta)
            assert params is not None
            told.append(Told(params, trial.value, notes, memory))
        return told

    def optuna_study(self) -> optuna.Study:
        """All trials as an Optuna study."""
        return make_study(self.study, self._told(), self.box.distributions())

    def table(self) -> pd.DataFrame:
        """One row a trial, inherited ones first: see `CascadeResult.history`."""
        rows = [
            {
                "stage": self.stage.name,
                "trial": number,
                **trial.theta,
                "replicates": len(trial.seeds),
                "valid": trial.valid,
                "loss": trial.loss,
                "loss_se": trial.loss_se,
                "debiased": trial.debiased,
                "value": trial.value,
                "inherited": number < len(self.inherited),
                "origin": trial.origin,
            }
            for number, trial in enumerate(self.trials())
        ]
        table = pd.DataFrame(rows)
        table["runs"] = table["replicates"].cumsum()
        return table


def stream(name: str) -> int:
    """Where a stage of this name has its random numbers."""
    return int(content_hash(name, "name of a stage")[:8], 16)


def _failures_as_worst(told: list[Told]) -> list[Told]:
    """Trials as a sampler sees them: what failed is as bad as the worst; samplers pass over failures otherwise, and
    propose them for ever."""
    worst = max((trial.value for trial in told if np.isfinite(trial.value)), default=math.nan)
    return [trial if np.isfinite(trial.value) else replace(trial, value=worst) for trial in told]


def _quarter(study: StageRuns) -> int:
    return max(2, math.ceil(len(study.ranked()) / 4))


def shares_simulator(one: Stage, other: Stage) -> bool:
    """Whether runs of one stage are runs of the other."""
    simulators = one.problem.simulator, other.problem.simulator
    return fingerprint(simulators[0]) == fingerprint(simulators[1])
