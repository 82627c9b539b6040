"""Bayesian calibration: emulate the losses, simulate where they could still be low, report an honest winner."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.acquisition import LCB
from hetcal.calibrate.held_out_locations import HELD_OUT, held_out_frame, note_held_out
from hetcal.calibrate.method import Method
from hetcal.calibrate.result import CalibrationResult, build_history
from hetcal.calibrate.search import Search
from hetcal.calibrate.study_runs import Runs, of_purpose
from hetcal.calibrate.winner import compare_finalists, fresh_block, honest_winner
from hetcal.candidates import candidate_points, refined
from hetcal.designs import sobol
from hetcal.emulators.hetgp import HetGP
from hetcal.emulators.total import WeightedTotal
from hetcal.ledger import Ledger
from hetcal.problem import Problem
from hetcal.streams import check_seed, generator, simulator_seeds

if TYPE_CHECKING:
    import pandas as pd

_COUNTS = {
    "initial": 4,
    "replicates": 1,
    "centroid": 0,
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
    centroid : int
        Replicates at one more location of the first design, the middle of the space (every parameter at the median of
        its prior). Where locations have few replicates these pin down how large the noise is.
    hold_out : float
        Share of the first design's locations, with all their seeds, that no emulator ever learns from. After every
        round the emulators are scored on them: see `CalibrationResult.held_out`.
    batch, rounds : int
        Locations a round, and rounds after the first design.
    exploit_every : int, optional
        Every so many rounds only what is believed counts and not how unsure it is (kappa 0). None: never.
    patience : int, optional
        Stop when the believed best loss has not improved by more than its standard error for so many rounds.
        For pure minimisation; None runs the whole budget.
    satisfactory : float, optional
        Stop when the believed best loss lies below this by two standard deviations of the belief. For a fit that is
        good enough; None runs the whole budget.
    candidates : int
        New points among which a batch is chosen.
    finalists, finalist_replicates : int
        How many locations are compared in the end, on how many common seeds.
    winner_replicates : int
        Fresh seeds of the winner's reported loss.

    Raises
    ------
    ValueError
        If a count is out of range, if `hold_out` leaves too few locations to learn from or to score on, or if the
        problem has ensemble targets, which have no loss for a single run; in `run`, if the simulator gives other
        outputs for the same parameters and seed.

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
    centroid: int = 0
    hold_out: float = 0.0
    batch: int = 8
    rounds: int = 12
    exploit_every: int | None = 4
    patience: int | None = None
    satisfactory: float | None = None
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
        self._check_locations()
        if self.satisfactory is not None and not _is_number(self.satisfactory):
            raise ValueError(
                f"satisfactory is a finite loss, or None to run the budget, not {self.satisfactory!r}"
            )
        if self.emulator.transform is not None:
            for target in self.problem.run_targets:
                target.check_transform(self.emulator.transform)

    def _check_locations(self) -> None:
        """Refuse a first design that leaves too few locations to learn from, or to score emulators on."""
        d = self.problem.space.dimension
        if self.initial < d + 3:
            raise ValueError(
                f"initial={self.initial} locations are too few for {d} parameters: give at least {d + 3}, better "
                f"{10 * d}"
            )
        if not _is_number(self.hold_out) or not 0 <= self.hold_out < 1:
            raise ValueError(
                f"hold_out is the share of initial locations that are held out, at least 0 and below 1, not "
                f"{self.hold_out!r}"
            )
        held = self._held_count
        if self.hold_out > 0 and held < 2:
            raise ValueError(
                f"hold_out={self.hold_out:g} of initial={self.initial} locations holds out {held}, too few to score "
                f"on: give hold_out={2 / self.initial:.2g} or more, better more initial locations, or hold_out=0"
            )
        if self.initial - held < d + 3:
            raise ValueError(
                f"hold_out={self.hold_out:g} leaves {self.initial - held} of initial={self.initial} locations to "
                f"learn from, too few for {d} parameters: at least {d + 3} must stay"
            )

    @property
    def _held_count(self) -> int:
        return round(self.hold_out * self.initial)

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
            if self._stopped(search, done) is None:
                self._ask_batch(search, done, seed)
            else:
                self._ask_finalists(search, done, seed)
        return True

    def _ask_design(self, search: Search, purposes: set[str], seed: int) -> None:
        problem = self.problem
        if hasattr(self.emulator, "check_design"):
            self.emulator.check_design(problem.space.dimension, self.initial - self._held_count)
        theta = problem.theta(sobol(problem.space, self.initial, seed).frame)
        seeds = self._seeds(seed, 0, self.initial)
        held = np.sort(generator(seed, "validation", 0).permutation(self.initial)[: self._held_count])
        if len(held) and HELD_OUT not in purposes:
            own = [simulator_seeds(seed, "validation", 0, int(i), self.replicates) for i in held]
            search.ask(0, HELD_OUT, theta[held], own)
        if "given" not in purposes:
            given = search.ledger.given(problem.simulator)
            search.take_over(given[~_among(problem.theta(given), theta[held])])
        theta, seeds = np.delete(theta, held, axis=0), [s for i, s in enumerate(seeds) if i not in held]
        if self.centroid:
            middle = problem.space.from_unit(np.full((1, problem.space.dimension), 0.5))
            theta = np.vstack([theta, problem.theta(problem.space.frame(middle))])
            seeds.append(simulator_seeds(seed, "calibration", 0, self.initial, self.centroid))
        # Last, because it tells that the first round has been asked for.
        search.ask(0, "design", theta, seeds)

    def _ask_batch(self, search: Search, done: int, seed: int) -> None:
        round = done + 1
        search.say(f"{self._place(round)}: fitting")
        total = self._learn(search, done)
        search.say(f"{self._place(round)}: choosing {self.batch} locations")
        failed = search.failed_locations(done)
        candidates = candidate_points(total, self.candidates, failed, check_seed(seed), round)
        exploit = self.exploit_every is not None and round % self.exploit_every == 0
        acquisition = LCB(kappa=0.0) if exploit else self.acquisition
        candidates = refined(acquisition, total, candidates, self.batch, failed, check_seed(seed), round)
        draw = int(generator(seed, "candidates", round, 1).integers(2**31))
        chosen = candidates[acquisition.choose(total, candidates, self.batch, self.replicates, draw)]
        search.believe(f"search {round}", total.predict(chosen))
        theta = search.natural(chosen)
        search.ask(round, "search", theta, self._seeds(seed, round, len(theta)))

    @staticmethod
    def _learn(search: Search, done: int) -> WeightedTotal:
        """Emulators after a round, what they believe and how they do on held-out locations noted in the ledger."""
        total = search.fit(done)
        search.incumbent(done)
        note_held_out(search, total, done)
        return total

    def _stopped(self, search: Search, done: int) -> str | None:
        """Why the search ends after a round; None where it goes on."""
        if self.satisfactory is not None:
            now = search.incumbent(done)
            if now["mean"] + 2 * now["sd"] <= self.satisfactory:
                return "satisfactory"
        if done >= self.rounds:
            return "budget"
        if self.patience is None or done < self.patience:
            return None
        now, then = search.incumbent(done), search.incumbent(done - self.patience)
        return "no improvement" if then["mean"] - now["mean"] < now["sd"] else None

    def _ask_finalists(self, search: Search, done: int, seed: int) -> None:
        round = done + 1
        search.say(f"{self._place(round)}: fitting for the finalists")
        total = self._learn(search, done)
        failed = search.failed_locations(done)
        candidates = candidate_points(total, self.candidates, failed, check_seed(seed), round)
        candidates = refined(LCB(kappa=0.0), total, candidates, 1, failed, check_seed(seed), round)
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
            held_out=held_out_frame(known),
            stopped=str(self._stopped(search, last)),
            seconds=search.seconds,
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and math.isfinite(value)


def _among(theta: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which rows of theta (n, d) are one of the others (m, d), to rounding; (n,)."""
    found = np.zeros(len(theta), dtype=bool)
    for other in others:  # one by one: all pairs at once would be gigabytes
        found |= np.isclose(theta, other, rtol=1e-9, atol=0).all(axis=1)
    return found
