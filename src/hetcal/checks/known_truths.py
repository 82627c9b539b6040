"""Data sets whose truth is known: simulated, and observed as the data were."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetcal.calibrate.likelihood import living
from hetcal.calibrate.rounds import Rounds
from hetcal.calibrate.summaries import observe
from hetcal.ensemble import execute
from hetcal.ledger import Ledger
from hetcal.simulators.base import split_outputs
from hetcal.streams import generator, simulator_seeds

# Each level has random streams of its own.
LEVELS = ("free", "local", "prior", "box")


@dataclass(frozen=True, eq=False)
class KnownTruths:
    """Data sets with their truths.

    Attributes
    ----------
    unit : numpy.ndarray
        True parameters in the unit cube, (n, d).
    data : dict of numpy.ndarray
        By the name of each fitted target, (n, *shape).
    alive : numpy.ndarray
        Which data sets took off, (n,).
    failed : int
        Truths whose runs gave no data set, left out.
    """

    unit: np.ndarray
    data: dict[str, np.ndarray]
    alive: np.ndarray
    failed: int = 0

    def __len__(self) -> int:
        return len(self.unit)

    def rows(self, chosen: np.ndarray) -> KnownTruths:
        """Some of the data sets."""
        data = {name: values[chosen] for name, values in self.data.items()}
        return KnownTruths(self.unit[chosen], data, self.alive[chosen], self.failed)


def prior_truths(method: Rounds, n: int, seed: int) -> np.ndarray:
    """Draws from the prior, in the unit cube, (n, d)."""
    return generator(seed, "recovery", LEVELS.index("prior")).random((n, method.problem.space.dimension))


def box_truths(box: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Draws from the part of the prior that lies in a box (2, d) of the unit cube, (n, d)."""
    return box[0] + (box[1] - box[0]) * generator(seed, "recovery", LEVELS.index("box")).random(
        (n, box.shape[1])
    )


def simulate_truths(
    method: Rounds, unit: np.ndarray, level: str, ledger: Ledger, study: str, seed: int, **options: Any
) -> KnownTruths:
    """Simulate a data set at each point (n, d) of the unit cube, one run or as many as the data are of, and observe it.

    The runs are asked for as a study of their own, so that no posterior learns from them.

    Parameters
    ----------
    method : Rounds
        Says simulator, targets, observation and what is alive.
    unit : numpy.ndarray
    level : str
        One of `LEVELS`.
    ledger : Ledger
        Runs that are there are not made again.
    study : str
        Name of the posterior's study.
    seed : int
    **options
        Of `hetcal.ensemble.execute`: workers, executor, time_limit, progress.
    """
    problem, number = method.problem, LEVELS.index(level)
    theta = problem.theta(problem.space.frame(problem.space.from_unit(unit)))
    runs = method.realisations
    seeds = [simulator_seeds(seed, "recovery", number, i, runs) for i in range(len(unit))]
    rows, places = np.concatenate(seeds), np.repeat(np.arange(len(unit)), runs)
    # Truths drawn from another posterior are another study.
    name = f"{study} recovery {hashlib.sha256(theta.tobytes()).hexdigest()[:12]}"
    ledger.ask(name, number, "recovery", problem.simulator, theta, seeds)
    execute(problem.simulator, theta[places], rows, ledger, **options)
    status, flat, _ = ledger.lookup(problem.simulator, theta[places], rows)
    good = status == "ok"
    if not good.any():
        raise ValueError(
            f"none of {len(rows)} runs of {problem.simulator.name!r} gave every output: see their errors"
        )
    outputs = split_outputs(problem.simulator.outputs, flat[good])
    rng = generator(seed, "recovery", number, 1)
    found, data = method.data_sets(unit[places[good]], outputs)
    seen = observe(method.targets, data, method.observation, method.discrepancy, rng)
    return KnownTruths(found, seen, living(method.alive, seen), len(unit) - len(found))
