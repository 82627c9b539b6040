"""What the statistics of 20 runs can say of log beta, log k and c at best: Fisher's information, with its own error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measles_comparison.setting import NAMES, TRUTHS, simulator, true_coordinates

from hetcal.studies.three_cluster import DAYS, REALISATIONS, SEEDED
from hetcal.streams import generator, simulator_seeds

# Of log beta, log k and c: each moves the logit of the share of runs that invade by about half of one.
STEPS = np.array([0.03, 0.2, 0.15])
BATCH, MOST = 1000, 8000
ENOUGH = 0.04  # relative standard error of the bounds at which no more seeds are run
_BOOTSTRAP = 200
STATISTICS = ("share invaded", "mean AR A", "mean peak", "sd peak")


def points(truth: int) -> np.ndarray:
    """Natural parameters (7, 3): the truth, then a step up and one down of each coordinate."""
    at = np.tile(true_coordinates(truth), (7, 1))
    for j, step in enumerate(STEPS):
        at[1 + 2 * j, j] += step
        at[2 + 2 * j, j] -= step
    return np.column_stack([np.exp(at[:, :2]), at[:, 2]])


def simulate(truth: int, first: int, n: int) -> dict[str, np.ndarray]:
    """Runs first to first + n of each point, on common seeds: numbers (7, n, 5) and arrivals by patch (7, n, 45)."""
    seeds = simulator_seeds(truth, "validation", 0, 0, first + n)[first:]
    numbers, arrivals = [], []
    for point in points(truth):
        out = simulator().batch(np.tile(point, (n, 1)), seeds)
        names = ("invaded_C", "attack_rate_A", "peak_day_A", "attack_rate_B_near", "attack_rate_C")
        numbers.append(np.column_stack([out[name] for name in names]))
        arrivals.append(out["patch_arrival"])
    return {"numbers": np.array(numbers), "arrivals": np.array(arrivals, dtype=np.float32)}


@dataclass(frozen=True)
class Bound:
    """Smallest standard errors of the coordinates (3,), the correlation of log k and c, and slopes (s, 3)."""

    se: np.ndarray
    correlation: float
    slopes: np.ndarray
    statistics: int


def bound(numbers: np.ndarray, arrivals: np.ndarray | None = None) -> Bound:
    """The bound from runs of the seven points on common seeds, local and Gaussian.

    Covariances are those of the statistics' influence functions, so that what a mean and a standard deviation of the
    same runs say twice counts once. Noise in the slopes adds to the information on average: that is subtracted.
    """
    invaded, attack, peak = (numbers[:, :, j] for j in range(3))
    # A share is nearly straight as its logit: steps as large as its noise asks for stay local.
    p = np.clip(invaded.mean(axis=1, keepdims=True), 0.5 / invaded.shape[1], 1 - 0.5 / invaded.shape[1])
    invaded = p[0] * (1 - p[0]) * (np.log(p / (1 - p)) + (invaded - p) / (p * (1 - p)))
    mean, sd = peak.mean(axis=1, keepdims=True), peak.std(axis=1, keepdims=True)
    each = [invaded, attack, peak, sd + ((peak - mean) ** 2 - sd**2) / (2 * sd)]
    runs = np.stack(each, axis=2)
    if arrivals is not None:
        runs = np.concatenate([runs, arrivals], axis=2)
    n = runs.shape[1]
    differences = np.stack([(runs[1 + 2 * j] - runs[2 + 2 * j]) / (2 * STEPS[j]) for j in range(3)], axis=2)
    slopes = differences.mean(axis=0)
    # An inverse of a covariance that is estimated is too large on average (Hartlap, Simon and Schneider 2007).
    unbiased = (n - runs.shape[2] - 2) / (n - 1)
    precision = REALISATIONS * unbiased * np.linalg.inv(np.cov(runs[0].T))
    around = differences - slopes
    noise = np.einsum("nsa,st,ntb->ab", around, precision, around, optimize=True) / (n - 1) / n
    spread = np.linalg.inv(slopes.T @ precision @ slopes - noise)
    se = np.sqrt(np.diag(spread))
    return Bound(se, float(spread[1, 2] / (se[1] * se[2])), slopes, runs.shape[2])


def reached(arrivals: np.ndarray) -> np.ndarray:
    """Patches that every run reached and nobody seeded."""
    seeded = simulator().patches["id"].isin(SEEDED).to_numpy()
    return np.flatnonzero((arrivals < DAYS).all(axis=(0, 1)) & ~seeded)


def bound_rows(truth: int, folder: Path | None = None, batch: int = BATCH, most: int = MOST) -> pd.DataFrame:
    """The bounds at a truth, without and with arrival times, from as many seeds as make their error small.

    Runs are kept in the folder, and are not made again.
    """
    file = None if folder is None else folder / f"bound_{truth}.npz"
    there: dict[str, Any] = dict(np.load(file)) if file is not None and file.exists() else {}
    while True:
        n = there["numbers"].shape[1] if there else 0
        if n:
            rows = _rows(truth, there["numbers"], there["arrivals"].astype(float))
            error = rows[[f"error {name}" for name in NAMES]].to_numpy().max()
            if error < ENOUGH or n >= most:
                return rows
        more = simulate(truth, n, batch)
        there = {k: np.concatenate([there[k], v], axis=1) if there else v for k, v in more.items()}
        if file is not None:
            np.savez_compressed(file, **there)


def _rows(truth: int, numbers: np.ndarray, arrivals: np.ndarray) -> pd.DataFrame:
    kept = arrivals[:, :, reached(arrivals)]
    rng = generator(truth, "bootstrap", 0)
    n, rows = numbers.shape[1], []
    drawn = rng.integers(n, size=(_BOOTSTRAP, n))
    for what, also in (("six statistics", None), ("with arrivals", kept)):
        best = bound(numbers, also)
        again = [bound(numbers[:, i], None if also is None else also[:, i]) for i in drawn]
        row: dict[str, Any] = {"truth": truth, "what": what, "statistics": best.statistics, "seeds": n}
        row |= TRUTHS[truth] | {"share invaded": numbers[0, :, 0].mean()}
        row |= {f"SE {name}": se for name, se in zip(NAMES, best.se, strict=True)}
        error = np.std([b.se for b in again], axis=0) / best.se
        row |= {f"error {name}": e for name, e in zip(NAMES, error, strict=True)}
        row |= {"corr(k,c)": best.correlation, "error corr": np.std([b.correlation for b in again])}
        for j, name in enumerate(NAMES):
            row |= {f"d {s} / d {name}": v for s, v in zip(STATISTICS, best.slopes[:4, j], strict=True)}
        rows.append(row)
    return pd.DataFrame(rows)
