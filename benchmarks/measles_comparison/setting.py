"""Truths, references, budgets and ways of calibrating, all frozen before any of them was compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

import hetcal as hc
from hetcal.studies import three_cluster
from hetcal.studies.three_cluster import Reference

# The study's own, and four where C is invaded in some runs: by the local slopes of its logit, in .25 to .42 of them.
TRUTHS = [
    {"beta": 0.50, "k": 0.010, "c": 1.5},
    {"beta": 0.45, "k": 0.020, "c": 1.7},
    {"beta": 0.60, "k": 0.005, "c": 1.2},
    {"beta": 0.55, "k": 0.015, "c": 2.0},
    {"beta": 0.47, "k": 0.008, "c": 1.2},
]
REFERENCES = 8  # of each truth
LONG = 3  # of these, followed to the largest budget by ours; the others to the goal's
AMORTISED = 200  # of the first truth, for coverage
EMULATOR_SETS = 3  # each learned in full for one of them
BUDGETS = (300, 600, 1200, 2700)
NAMES = ("log beta", "log k", "c")

# Seeds a trial and trials of each stage; in the last, trials are carried from stage to stage.
TPE = {
    "TPE M=12": ((12, 225),),
    "TPE M=20": ((20, 135),),
    "TPE M=60": ((60, 45),),
    "TPE cumulative": ((12, 60), (20, 24), (60, 25)),
}
OURS = "ours"
WITHOUT = "ours without CMP"

# 120 runs at first, then 120 a round: 240 after round 1, 600 after round 4, 1,200 after round 9, 2,640 after round 21.
INITIAL = 30
ROUNDS = 21
COVERAGE_ROUNDS = 9


@lru_cache(maxsize=1)
def simulator() -> Any:
    """The individual-level model."""
    return three_cluster.chain()


def number(truth: int, reference: int) -> int:
    """A reference's own seed; calibrations of it have another, of another purpose."""
    return 10_000 * (truth + 1) + reference


def data(truth: int, reference: int) -> Reference:
    """20 runs at a truth, of seeds that nothing else has."""
    return three_cluster.reference(seed=number(truth, reference), truth=TRUTHS[truth])


def coordinates(frame: pd.DataFrame) -> np.ndarray:
    """log beta, log k and c (n, 3) of parameters in natural units."""
    return np.column_stack([np.log(frame["beta"]), np.log(frame["k"]), frame["c"]])


def true_coordinates(truth: int) -> np.ndarray:
    """log beta, log k and c (3,) of a truth."""
    return coordinates(pd.DataFrame([TRUTHS[truth]]))[0]


def ways() -> dict[str, dict[str, Any]]:
    """Ways that are ours, with the settings of the posterior.

    `OURS` has the compartmental model beside it; in the ablations there is none, and one that says the opposite.
    """
    cheap = three_cluster.chain(hc.simulators.SpatialCMP)
    return {
        OURS: {"cheap": cheap},
        WITHOUT: {},
        "ours with a wrong-signed CMP": {"cheap": WrongSigned(cheap)},
    }


@dataclass(frozen=True, eq=False)
class WrongSigned:
    """A simulator that answers for the opposite place of the prior: what rises with a parameter falls."""

    right: Any
    name: str = "wrong-signed"
    version: str = "1"

    @property
    def parameters(self) -> tuple[str, ...]:
        """As of the right one."""
        return self.right.parameters

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """As of the right one."""
        return self.right.outputs

    def __call__(self, theta: dict[str, float], seed: int) -> dict[str, Any]:
        """The right one's run at the mirror image of theta."""
        space = three_cluster.space()
        unit = space.to_unit(np.array([[theta[name] for name in space.names]]))
        return self.right(dict(zip(space.names, space.from_unit(1.0 - unit)[0].tolist(), strict=True)), seed)


class Noted(hc.EnsemblePosterior):
    """An ensemble posterior that notes where it stood after each round."""

    def _note(self, fit: Any) -> dict[str, Any]:
        at = coordinates(fit.samples)
        note = {"sd": at.std(axis=0).tolist()} | {
            f"q{100 * q:.0f}": np.quantile(at, q, axis=0).tolist() for q in (0.05, 0.25, 0.5, 0.75, 0.95)
        }
        return super()._note(fit) | {"stood": note}


def posterior(reference: Reference, rounds: int, kept: list[int] | None = None, **settings: Any) -> Noted:
    """Our way for a reference; with the mean arrivals of some patches where `kept` names them."""
    problem = three_cluster.problem(simulator(), reference, arrivals=kept is not None)
    if kept is not None:
        *others, arrivals = problem.targets
        seen = reference.outputs["patch_arrival"][:, kept].mean(axis=0)
        arrivals = replace(arrivals, observed=seen, kept=kept, weight=2.0 / len(kept))
        problem = hc.Problem(problem.space, problem.simulator, [*others, arrivals])
    return Noted(problem, rounds=rounds, predictive=0, **{"initial": INITIAL} | settings)


def search(way: str, reference: Reference) -> hc.Cascade:
    """A TPE way for a reference: one trial after another, on the published loss.

    Stages of different numbers of seeds are compared on losses without their expected noise; the others have the loss
    as published. The best trial is the winner.
    """
    problem = three_cluster.problem(simulator(), reference)
    stages = [
        hc.Stage(
            problem, trials=trials, replicates=seeds, batch=1, debias=len(TPE[way]) > 1, name=f"M={seeds}"
        )
        for seeds, trials in TPE[way]
    ]
    return hc.Cascade(stages, finalists=1, winner_replicates=3)
