"""Bayesian calibration: emulate the losses, simulate where they could still be low, report an honest winner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.acquisition import LCB, candidate_points
from hetcal.calibrate.method import Method
from hetcal.calibrate.result import CalibrationResult, build_history
from hetcal.calibrate.search import Search
from hetcal.calibrate.study_runs import Runs, of_purpose
from hetcal.calibrate.winner import compare_finalists, fresh_block, honest_winner
from hetcal.designs import sobol
from hetcal.emulators.hetgp import HetGP
from hetcal.ledger import Ledger
from hetcal.problem import Problem
from hetcal.streams import check_seed, generator, simulator_seeds

if TYPE_CHECKING:
    import pandas as pd

_COUNTS = {
    "initial": 4,
    "replicates": 1,
    "batch": 1,
    "rounds": 0,
    "exploit_every": 2,
    "patience": 1,
    "candidates": 100,
    "finalists": 1,
    "finalist_replicates": 2,
    "winner_replicates": 2,
}


@dataclass(frozen=True, eq=False)
class BayesianCalibration(Method[Search, CalibrationResult]):
    """Calibrate a noisy simulator with an emulator a target and a lower confidence bound.

    A first design with replicates; then rounds of fit, choose, simulate; then finalists on common fresh seeds and
    the winner on another block. Everything is kept in the ledger: killed anywhere and run again, a study goes on
    to the same result.

    Parameters
    ----------
    problem : Problem
        With per-run targets only.
    emulator : HetGP
        Unfitted pattern, copied for each target. Where it has no transform, each target says its own.
    acquisition : LCB, EI or Thompson
    initial : int
        Locations of the first design (scrambled Sobol).
    replicates : int
        Seeds a location, of its own.
    batch, rounds : int
        Locations a round, and rounds after the first design.
    exploit_every : int, optional
        Every so many rounds only the believed mean counts (kappa 0). None: never.
    patience : int, optional
        Stop when the believed best loss has not improved by more than its standard error for so many rounds.
        For pure minimisation; None runs the whole budget.
    candidates : int
        New points among which a batch is chosen.
    finalists, finalist_replicates : int
        How many locations are compared in the end, on how many common seeds.
    winner_replicates : int
        Fresh seeds of the winner's reported loss.

    Raises
    ------
    ValueError
        If a count is out of range or the problem has ensemble targets, which have no loss for a single run; in `run`,
        if the simulator gives other outputs for the same parameters and seed.

    References
    ----------
    Reiker et al. (2021), Nat Commun 12:7212, for the loop; Binois et al. (2018) for the emulator; Desautels et al.
    (2014) for batches.

    Examples
    --------
    >>> import hetcal as hc
    >>> problem = hc.studies.flu1978.study().problem
    >>> result = hc.BayesianCalibration(problem, initial=20, batch=2, rounds=1).run(seed=1)
    >>> result.stopped, result.runs["total"]
    ('budget', 1420)
    """

    problem: Problem
    emulator: Any = field(default_factory=HetGP)
    acquisition: Any = field(default_factory=LCB)
    initial: int = 60
    replicates: int = 10
    batch: int = 8
    rounds: int = 12
    exploit_every: int | None = 4
    patience: int | None = None
    candidates: int = 20_000
    finalists: int = 8
    finalist_replicates: int = 100
    winner_replicates: int = 400

    def __post_init__(self) -> None:
        for name, kind, has in (
            ("problem", "hetcal.Problem(...)", "run_targets"),
            ("emulator", "hetcal.HetGP()", "fit"),
            ("acquisition", "hetcal.LCB()", "choose"),
        ):
            value = getattr(self, name)
            if isinstance(value, type) or not hasattr(value, has):
                raise TypeError(f"{name} is {value!r}: give an object such as {kind}")
        if self.problem.ensemble_targets:
            raise ValueError(
                f"target {self.problem.ensemble_targets[0].name!r} is a statistic of an ensemble and has no loss for "
                "a single run: give hetcal.Target here"
            )
        self._check_counts(_COUNTS, optional=("exploit_every", "patience"))
        if self.candidates < self.batch:
            raise ValueError(f"candidates={self.candidates} are too few for batch={self.batch}: raise it")
        if self.initial < self.problem.space.dimension + 3:
            raise ValueError(
                f"initial={self.initial} locations are too few for {self.problem.space.dimension} parameters: give "
                f"at least {self.problem.space.dimension + 3}, better {10 * self.problem.space.dimension}"
            )
        if self.emulator.transform is not None:
            for target in self.problem.run_targets:
                target.check_transform(self.emulator.transform)

    def _view(self, ledger: Ledger, seed: int, say: Callable[[str], None]) -> Search:
        return Search(self.problem, ledger, self.study_name(seed), say, emulator=self.emulator)

    def _place(self, round: int) -> str:
        return f"round {round}" + (f" of {self.rounds}" if 1 <= round <= self.rounds else "")

    def _decide(self, search: Search, asks: pd.DataFrame, seed: int) -> bool:
        """Write the next ask; False when there is none."""
        purposes = set(asks["purpose"])
        if "design" not in purposes:
            self._ask_design(search, purposes, seed)
        elif "finalists" in purposes:
            return self._ask_reporting(search, asks, seed)
        else:
            done = int(asks["round"].max())
            if done < self.rounds and not self._stops(search, done):
                self._ask_batch(search, done, seed)
            else:
                self._ask_finalists(search, done, seed)
        return True

    def _ask_design(self, search: Search, purposes: set[str], seed: int) -> None:
        if "given" not in purposes:
            search.take_over(search.ledger.given(self.problem.simulator))
        theta = self.problem.theta(sobol(self.problem.space, self.initial, seed).frame)
        search.ask(0, "design", theta, self._seeds(seed, 0, len(theta)))

    def _ask_batch(self, search: Search, done: int, seed: int) -> None:
        round = done + 1
        search.say(f"{self._place(round)}: fitting")
        total = search.fit(done)
        search.incumbent(done)
        search.say(f"{self._place(round)}: choosing {self.batch} locations")
        candidates = candidate_points(
            total, self.candidates, search.failed_locations(done), check_seed(seed), round
        )
        exploit = self.exploit_every is not None and round % self.exploit_every == 0
        acquisition = LCB(kappa=0.0) if exploit else self.acquisition
        draw = int(generator(seed, "candidates", round, 1).integers(2**31))
        chosen = candidates[acquisition.choose(total, candidates, self.batch, self.replicates, draw)]
        search.believe(f"search {round}", total.predict(chosen))
        theta = search.natural(chosen)
        search.ask(round, "search", theta, self._seeds(seed, round, len(theta)))

    def _stops(self, search: Search, done: int) -> bool:
        """Whether the believed best has stood still, within its error, for `patience` rounds."""
        if self.patience is None or done < self.patience:
            return False
        now, then = search.incumbent(done), search.incumbent(done - self.patience)
        return then["mean"] - now["mean"] < now["sd"]

    def _ask_finalists(self, search: Search, done: int, seed: int) -> None:
        round = done + 1
        search.say(f"{self._place(round)}: fitting for the finalists")
        total = search.fit(done)
        search.incumbent(done)
        candidates = candidate_points(
            total, self.candidates, search.failed_locations(done), check_seed(seed), round
        )
        minimum = candidates[np.argmin(total.predict(candidates).mean)]
        order = np.argsort(total.predict(total.locations).mean, kind="stable")
        evaluated = total.locations[order[: self.finalists]]
        points = np.unique(np.vstack([minimum, evaluated])[: self.finalists], axis=0)
        search.believe("finalists", total.predict(points))
        common = simulator_seeds(seed, "finalists", 0, 0, self.finalist_replicates)
        theta = search.natural(points)
        search.ask(round, "finalists", theta, [common] * len(points))

    def _ask_reporting(self, search: Search, asks: pd.DataFrame, seed: int) -> bool:
        """Ask for the winner's fresh block; False where that was done. Failed runs made again can change the winner."""
        runs = search.runs(of_purpose(asks, "finalists"))
        winner = runs.asks.iloc[[self._compare(runs).winner]]
        if len(fresh_block(asks, winner[list(self.problem.space.names)].iloc[0])):
            return False
        search.say("choosing the winner")
        seeds = simulator_seeds(seed, "reporting", 0, 0, self.winner_replicates)
        search.ask(int(asks["round"].max()) + 1, "reporting", self.problem.theta(winner), [seeds])
        return True

    @staticmethod
    def _compare(finalists: Runs) -> Any:
        return compare_finalists(finalists.total.reshape(len(finalists.asks), -1))

    def _seeds(self, seed: int, round: int, n: int) -> list[np.ndarray]:
        return [simulator_seeds(seed, "calibration", round, i, self.replicates) for i in range(n)]

    def _result(self, search: Search, seed: int) -> CalibrationResult:
        asks = search.asks()
        known = search.ledger.checkpoints(search.study)
        last = int(asks.loc[asks["purpose"].isin(["design", "search"]), "round"].max())
        names = list(self.problem.space.names)
        finalists = search.runs(of_purpose(asks, "finalists"))
        comparison = self._compare(finalists)
        points = [dict(row) for row in finalists.asks[names].to_dict("records")]
        reporting = search.runs(fresh_block(asks, points[comparison.winner]))
        winner = honest_winner(
            self.problem,
            points[comparison.winner],
            [points[j] for j in comparison.ties],
            known["believed finalists"]["mean"][comparison.winner],
            reporting.outputs,
            reporting.losses,
        )
        return CalibrationResult(
            method=self,
            seed=seed,
            study=search.study,
            ledger=search.ledger,
            best=winner,
            emulator=search.fit(last),
            history=build_history(search, last),
            stopped="budget" if last == self.rounds else "no improvement",
            seconds=search.seconds,
        )
