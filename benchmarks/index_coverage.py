"""Do the intervals of emulated Sobol' indices cover the true ones? Sobol's g with noise, closed form, 200 repeats.

Each repeat draws a new scrambled design and new noise, fits an emulator through R and asks `hetcal.sobol` for the
indices with both errors. Repeats are kept in results/ as rows of a table; those that are there are not made again.

Why these settings: coefficients from decisive (0) to inert (99); noise of 20 % of the output's standard deviation, in
the middle of what stochastic simulators with five replicates show; a Matern of smoothness 3/2, because g has a kink in
every parameter (--covariance Matern5_2 shows what too smooth a covariance costs); constant noise, because it is.

One cell is expected to leave the envelope: an inert parameter's total lies at the edge of what is possible, 0, and its
estimate always above, so that from few runs narrow intervals (50 %) miss it while those of 90 and 95 % hold it.
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import hetcal as hc
from hetcal.emulators.hetgp import FitWarning
from hetcal.streams import generator

A = np.array([0.0, 1.0, 4.5, 9.0, 99.0])
SIZES, REPLICATES, NOISE = (100, 300), 5, 0.2
ROWS, DRAWS, RESAMPLES = 1000, 100, 100
NAIVE = 20  # repeats that also show the naive way
LEVELS = (0.5, 0.9, 0.95)
SPACE = hc.Space([hc.Parameter(f"x{i}", hc.uniform(0, 1)) for i in range(1, len(A) + 1)])

_OWN = 1 / (3 * (1 + A) ** 2)
VARIANCE = np.prod(1 + _OWN) - 1
FIRST = _OWN / VARIANCE
TOTAL = _OWN * np.prod(1 + _OWN) / (1 + _OWN) / VARIANCE
SEED_SHARE = NOISE**2 / (1 + NOISE**2)


def g(x: np.ndarray) -> np.ndarray:
    """Sobol's g at points (m, d) of the unit cube."""
    return np.prod((np.abs(4 * x - 2) + A) / (1 + A), axis=1)


def emulator(size: int, repeat: int, covariance: str) -> hc.HetGP:
    """Fitted to a new design with new noise."""
    X = np.repeat(hc.designs.sobol(SPACE, size, seed=repeat).unit, REPLICATES, axis=0)
    y = generator(repeat, "truth", size).normal(g(X), NOISE * np.sqrt(VARIANCE))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return hc.HetGP(covariance=covariance, noise="homoskedastic").fit(X, y)


def naive_totals(fitted: hc.HetGP, repeat: int) -> np.ndarray:
    """Totals when the emulator's error is drawn anew at each point, as if errors of neighbours were independent."""
    rng = generator(repeat, "sensitivity", 9)

    def noisy(x: np.ndarray) -> np.ndarray:
        prediction = fitted.predict(x)
        return rng.normal(prediction.mean, np.sqrt(prediction.mean_var))

    return hc.sobol(noisy, SPACE, n=ROWS, seed=repeat, bootstrap=39).table["total"].to_numpy()


def one(size: int, repeat: int, covariance: str) -> dict[str, float]:
    """What one repeat leaves in the table."""
    fitted = emulator(size, repeat, covariance)
    result = hc.sobol(fitted, SPACE, n=ROWS, seed=repeat, bootstrap=RESAMPLES, draws=DRAWS)
    row: dict[str, float] = {"size": size, "repeat": repeat}
    for kind in ("first", "total"):
        for part in ("", "_emulator_sd", "_sampling_sd"):
            row |= {f"{kind}{part}_{j}": v for j, v in enumerate(result.table[kind + part])}
    naive = naive_totals(fitted, repeat) if repeat < NAIVE else np.full(len(A), np.nan)
    row |= {f"naive_{j}": v for j, v in enumerate(naive)}
    share = result.seed_share
    return row | {"seed": share.share, "seed_sd": float(np.hypot(share.emulator_sd, share.sampling_sd))}


def scores(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Distance of each estimate from the truth in stated standard deviations, (repeats, d); the seed's (repeats, 1)."""
    found = {}
    for kind, truth in (("first", FIRST), ("total", TOTAL)):
        estimate, *parts = (
            table[[f"{kind}{part}_{j}" for j in range(len(A))]].to_numpy()
            for part in ("", "_emulator_sd", "_sampling_sd")
        )
        found[kind] = (estimate - truth) / np.hypot(*parts)
    found["seed"] = ((table["seed"] - SEED_SHARE) / table["seed_sd"]).to_numpy()[:, None]
    return found


def tell(table: pd.DataFrame) -> None:
    """Print coverage by size, level and index, with the envelope."""
    for size, rows in table.groupby("size"):
        z = scores(rows)
        repeats = len(rows)
        print(
            f"\n{size:.0f} x {REPLICATES} runs, {repeats} repeats; coverage of x1 ... x{len(A)}, then of the seed"
        )
        for level in LEVELS:
            # Simultaneous: 11 indices share a false-alarm rate of 5 %.
            tail = 0.025 / (2 * len(A) + 1)
            low, high = stats.binom.ppf([tail, 1 - tail], repeats, level) / repeats
            covered = {
                kind: np.mean(np.abs(v) < stats.norm.ppf(0.5 + level / 2), axis=0) for kind, v in z.items()
            }
            every = np.concatenate(list(covered.values()))
            told = ", ".join(f"{kind} " + " ".join(f"{c:.3f}" for c in v) for kind, v in covered.items())
            print(
                f"{level:.0%} intervals: {told}; envelope {low:.3f} to {high:.3f}: {np.sum(every < low)} below, "
                f"{np.sum(every > high)} above"
            )
        naive = rows[[f"naive_{j}" for j in range(len(A))]].mean().to_numpy()
        ours = rows[[f"total_{j}" for j in range(len(A))]].mean().to_numpy()
        for name, values in (("true", TOTAL), ("ours", ours), ("naive", naive)):
            print(f"totals, {name}: " + " ".join(f"{v:.4f}" for v in values))
        print(f"sum of totals: true {TOTAL.sum():.3f}, ours {ours.sum():.3f}, naive {naive.sum():.3f}")


def main() -> None:
    """Make the repeats that are missing, then print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--covariance", default="Matern3_2")
    parser.add_argument("--out", type=Path, default=Path("results"))
    options = parser.parse_args()
    path = options.out / f"index_coverage_{options.covariance}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["size", "repeat"])
    there = set(zip(known["size"].astype(int), known["repeat"].astype(int), strict=True))
    began, made = time.process_time(), 0
    for repeat in range(options.repeats):
        for size in SIZES:
            if (size, repeat) in there:
                continue
            row = one(size, repeat, options.covariance)
            new = not path.exists()
            with path.open("a", newline="") as file:
                writer = csv.DictWriter(file, list(row))
                if new:
                    writer.writeheader()
                writer.writerow(row)
            made += 1
    table = pd.read_csv(path)
    print(
        f"Sobol' g, {options.covariance}, noise {NOISE:.0%} of the output's sd, n = {ROWS:,}, {DRAWS} draws"
    )
    print(f"{made} repeats made now in {(time.process_time() - began) / 60:.1f} CPU minutes")
    tell(table[table["repeat"] < options.repeats])


if __name__ == "__main__":
    main()
