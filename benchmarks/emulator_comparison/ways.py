"""The ways that are compared, their settings, and one unit of work: a study of one way on one test function.

All of these were fixed on functions of truths from `TRIED` on, which no table shows, before those of the tables were
drawn. A function of the tables has the number of its repeat as its truth. All ways of a repeat have its function, its
seed and as many runs; those with emulators have the same first design too.

Random search and TPE recommend as their users do: the trial with the best mean of its own runs, which is also what
they claim. "+ finalists" is the same search with the end that ours has: fewer trials, the best of them compared on
common seeds, the winner's loss from fresh ones. A trial has two runs: TPE did worse with four, and by its own best
trial with one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from emulator_comparison.testbed import KnownLosses

import hetcal as hc

OURS, STACK = "GP-BO, ours", "GPSG-BO, ours"
PUBLISHED = ("joint", "marginal")
TRIED = 1000  # truths that settings were fixed on

IMPORTANT = 0.1  # total index from which on a parameter counts for a loss, or for the total
_SAMPLES = 1000  # rows of a sample for an emulator's indices
_BINS = 8  # of a correlation ratio
_STUDY = 1_000_000  # where studies have their seeds


@dataclass(frozen=True)
class Size:
    """A test function's size and what a study of it may spend."""

    parameters: int
    losses: int
    repeats: int
    initial: int
    replicates: int
    batch: int
    rounds: int
    finalists: int
    finalist_replicates: int
    winner_replicates: int
    candidates: int
    trial_replicates: int = 2
    fit_points: int | None = None

    @property
    def finale(self) -> int:
        """Runs of the end: finalists and fresh ones."""
        return self.finalists * self.finalist_replicates + self.winner_replicates

    @property
    def runs(self) -> int:
        """All runs of a study."""
        return (self.initial + self.batch * self.rounds) * self.replicates + self.finale

    @property
    def ends(self) -> dict[str, int]:
        """Settings of the end, as methods take them."""
        names = ("finalists", "finalist_replicates", "winner_replicates")
        return {name: getattr(self, name) for name in names}


SIZES = {
    "5 x 3": Size(5, 3, 40, 24, 4, 6, 4, 5, 15, 100, 10_000),
    "23 x 11": Size(23, 11, 4, 150, 2, 50, 3, 8, 25, 600, 20_000, fit_points=80),
}


def searches(of: Size) -> dict[str, dict[str, Any]]:
    """Ways with emulators, and what they differ in."""
    gp = hc.HetGP(fit_points=of.fit_points)
    published = {
        f"GP-BO, LCB {form}": {"emulator": gp, "acquisition": hc.LCB(kappa="brochu", form=form)}
        for form in PUBLISHED
    }
    return {OURS: {"emulator": gp}, STACK: {"emulator": hc.StackedGP()}} | published


TRIALS = {
    "random search": ("random", False),
    "TPE": ("tpe", False),
    "random search + finalists": ("random", True),
    "TPE + finalists": ("tpe", True),
}


def ways() -> list[str]:
    """All ways, ours first."""
    return [OURS, STACK, *(f"GP-BO, LCB {form}" for form in PUBLISHED), *TRIALS]


def run_rows(way: str, size: str, repeat: int) -> pd.DataFrame:
    """One study: its recommended point and claim beside the truth, and which parameters it found important."""
    of = SIZES[size]
    bed = KnownLosses(of.parameters, of.losses, repeat)
    with hc.Ledger() as ledger:
        found = (_trials if way in TRIALS else _search)(way, of, bed, ledger, _STUDY + repeat)
    theta = found.pop("theta")
    at = np.array([[theta[name] for name in bed.parameters]])
    best, true = bed.minimum[1], float(bed.total(at)[0])
    row = {"way": way, "size": size, "repeat": repeat, "lowest": best, "true": true}
    row |= _compared(found.pop("indices"), bed.total_indices) | found
    return pd.DataFrame([row])


def _search(way: str, of: Size, bed: KnownLosses, ledger: hc.Ledger, seed: int) -> dict[str, Any]:
    """A way with emulators."""
    counts = ("initial", "replicates", "batch", "rounds", "candidates")
    settings = {name: getattr(of, name) for name in counts} | of.ends | searches(of)[way]
    result = hc.BayesianCalibration(bed.problem(), **settings).run(ledger, seed=seed, progress=False)
    best = result.best
    here = result.problem.space.to_unit(np.array([[best.theta[name] for name in bed.parameters]]))
    after = result.emulator.predict(here)
    return {
        "theta": best.theta,
        "claimed": best.loss,
        "claimed_se": best.loss_se,
        "believed": float(after.mean[0]),
        "believed_sd": float(np.sqrt(after.mean_var[0])),
        "runs": result.runs["total"],
        "indices": _emulated_indices(result),
    }


def _trials(way: str, of: Size, bed: KnownLosses, ledger: hc.Ledger, seed: int) -> dict[str, Any]:
    """A way of trials, as its users have it or with our end."""
    sampler, ends = TRIALS[way]
    problem = bed.problem()
    trials = (of.runs - ends * of.finale) // of.trial_replicates
    stage = hc.Stage(problem, trials=trials, replicates=of.trial_replicates, sampler=sampler, batch=1)
    # The two runs of a winner that a cascade asks for at least are neither used nor counted where it has no end.
    end = of.ends if ends else {"finalists": 1, "winner_replicates": 2}
    result = hc.Cascade([stage], **end).run(ledger, seed=seed, progress=False)
    history = result.history
    found = {"theta": result.best.theta, "claimed": result.best.loss, "claimed_se": result.best.loss_se}
    if not ends:
        best = history.loc[history["loss"].idxmin()]
        found |= {"claimed": best["loss"], "claimed_se": best["loss_se"]}
    names = list(problem.space.names)
    losses = problem.losses(ledger).merge(history[names].drop_duplicates(), on=names)
    values = losses[[*(t.name for t in problem.targets), "total"]].to_numpy()
    found["indices"] = np.array([correlation_ratios(losses[names].to_numpy(), y) for y in values.T])
    return found | {"runs": trials * of.trial_replicates + ends * of.finale}


# Which parameters count


def _emulated_indices(result: hc.CalibrationResult) -> np.ndarray:
    """Total Sobol' indices of each loss and of the total by their emulators' means, (k + 1, d)."""
    space = result.problem.space
    totals = hc.sobol_by_loss(result.emulator, space, n=_SAMPLES, bootstrap=100, draws=0).totals
    return totals.loc[list(space.names)].to_numpy().T


def correlation_ratios(theta: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Share of the variance of y (n,) that the bins of each parameter (n, d) explain, what chance explains taken off.

    What trials without an emulator say of a parameter's first-order effect.
    """
    n, shares = len(y), []
    for column in theta.T:
        bin = pd.qcut(column, _BINS, labels=False, duplicates="drop")
        within = pd.Series(y).groupby(bin).transform("mean").to_numpy()
        left = ((y - within) ** 2).sum() / (n - bin.max() - 1)
        shares.append(1 - left / y.var(ddof=1))
    return np.array(shares)


def _compared(indices: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """How many parameters were found important, of losses and total, and how many of them are."""
    said, true = indices >= IMPORTANT, truth >= IMPORTANT
    hits = int((said & true).sum())
    score = 2 * hits / int(said.sum() + true.sum())
    return {"important": int(true.sum()), "said": int(said.sum()), "hits": hits, "F1": score}
