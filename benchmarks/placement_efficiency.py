"""Runs that a posterior needs: placed in rounds where they tell most, against a space-filling design.

Data sets of the flu SIR with known truths from the prior that took off. For each, the width of the 90 % intervals of
R0 and infectious_days (geometric mean, in the prior's units) as a function of runs. The answer: how many space-filling
runs give the width that rounds of placement reach. Rows are kept in results/placement and not computed again.
"""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from scipy import stats  # noqa: E402

import hetcal as hc  # noqa: E402
from hetcal.calibrate.chains import central_intervals  # noqa: E402
from hetcal.calibrate.sampler import sample_posterior  # noqa: E402
from hetcal.streams import generator  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 150
LEAST_BED_DAYS = 60

# Space-filling designs by number of runs: locations and seeds of each. Two such designs serve every data set.
SPREAD = {100: (50, 2), 200: (100, 2), 400: (200, 2), 800: (400, 2)}
DESIGNS = 2

# Placement starts from the smallest of those designs.
INITIAL, REPLICATES, BATCH, ROUNDS = 50, 2, 100, 3

SPACE = hc.Space(
    [
        hc.Parameter("R0", hc.uniform(1.2, 8.0)),
        hc.Parameter("infectious_days", hc.uniform(0.5, 6.0)),
        hc.Parameter("I0", hc.log_uniform(1, 12)),
    ]
)
MODEL = hc.simulators.StochasticSIR(population=763, days=14)
LAW = hc.observation.PoissonObservation()


def took_off(data: dict[str, np.ndarray]) -> np.ndarray:
    """Whether an outbreak took off: more than 60 bed-days."""
    return data["in_bed"].sum(axis=1) > LEAST_BED_DAYS


def data_sets(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Truths (n, 3) in the unit cube and their data (n, 14); the first ones stay the same when n grows."""
    rng = generator(1, "truth", 4)
    unit = rng.random((10 * max(n, 100), 3))[: 4 * n]
    clean = MODEL.batch(SPACE.from_unit(unit), np.arange(len(unit)) + 2**40)["in_bed"]
    data = np.stack([LAW.draw(x, generator(1, "truth", 5, i)) for i, x in enumerate(clean)])
    alive = took_off({"in_bed": data})
    return unit[alive][:n], data[alive][:n]


def method(data: np.ndarray, locations: int, replicates: int, rounds: int) -> hc.Posterior:
    """The posterior of one data set."""
    problem = hc.Problem(SPACE, MODEL, [hc.Target("in_bed", observed=data)])
    return hc.Posterior(
        problem,
        {"in_bed": LAW},
        took_off,
        initial=locations,
        replicates=replicates,
        batch=BATCH,
        rounds=rounds,
        predictive=0,
    )


def row(way: str, repeat: int, runs: int, truth: np.ndarray, unit: np.ndarray) -> dict[str, object]:
    """What is kept of a posterior: its intervals against the truth, in the unit cube, from draws (n, 3) in it."""
    samples = pd.DataFrame(unit, columns=list(SPACE.names))
    wide, half = central_intervals(samples, 0.9), central_intervals(samples, 0.5)
    kept = interval_row(way, repeat, runs, truth, wide["low"].to_numpy(), wide["high"].to_numpy())
    for j, name in enumerate(SPACE.names):
        kept[f"in50 {name}"] = float(half["low"][j] <= truth[j] <= half["high"][j])
        kept[f"error {name}"] = unit[:, j].mean() - truth[j]
    return kept


def interval_row(
    way: str, repeat: int, runs: int, truth: np.ndarray, low: np.ndarray, high: np.ndarray
) -> dict[str, object]:
    """What is kept of 90 % intervals in the unit cube."""
    kept: dict[str, object] = {"way": way, "repeat": repeat, "runs": runs}
    for j, name in enumerate(SPACE.names):
        kept[f"width {name}"] = high[j] - low[j]
        kept[f"in90 {name}"] = float(low[j] <= truth[j] <= high[j])
    return kept


def spread_rows(
    design: int, runs: int, repeats: list[int], truths: np.ndarray, data: np.ndarray
) -> list[dict]:
    """Posteriors of some data sets from one space-filling design, fitted once."""
    likelihood = method(data[0], *SPREAD[runs], rounds=0).run(seed=design).likelihood
    rows = []
    for i in repeats:
        samples, _ = sample_posterior(likelihood, SPACE, likelihood.summaries({"in_bed": data[i][None]}), i)
        kept = row("spread", i, runs, truths[i], SPACE.to_unit(samples.to_numpy()))
        rows.append(kept | {"design": design})
    return rows


def placed_rows(repeat: int, truth: np.ndarray, data: np.ndarray) -> list[dict]:
    """A data set's intervals after each round of placement, and its posterior after the last."""
    result = method(data, INITIAL, REPLICATES, ROUNDS).run(seed=1000 + repeat)
    rows = []
    for _, note in result.history.iloc[:-1].iterrows():
        ends = [
            SPACE.to_unit(note[[f"{n} {end}" for n in SPACE.names]].to_numpy(dtype=float)[None])[0]
            for end in ("low", "high")
        ]
        rows.append(interval_row("placed", repeat, int(note["runs"]), truth, *ends))
    last = int(result.history["runs"].iloc[-1])
    return [*rows, row("placed", repeat, last, truth, SPACE.to_unit(result.samples.to_numpy()))]


def falling(width: np.ndarray) -> np.ndarray:
    """Isotonic regression: the nearest curve that only falls, by pooling neighbours that rise."""
    blocks: list[list[float]] = []
    for w in width:
        blocks.append([float(w), 1.0])
        while len(blocks) > 1 and blocks[-2][0] < blocks[-1][0]:
            (w1, n1), (w2, n2) = blocks.pop(-2), blocks.pop()
            blocks.append([(w1 * n1 + w2 * n2) / (n1 + n2), n1 + n2])
    return np.concatenate([np.full(int(n), w) for w, n in blocks])


def spread_runs(log_runs: np.ndarray, curve: np.ndarray, width: float) -> float:
    """Space-filling runs that give a log width; the greatest number tried where even that is wider."""
    curve = falling(curve)
    if width <= curve[-1]:
        return float(np.exp(log_runs[-1]))
    return float(np.exp(np.interp(-width, -curve, log_runs)))


def summarise(table: pd.DataFrame) -> None:
    """Print widths, coverage, errors, and the ratio of runs at equal width with its confidence limit."""
    names = list(SPACE.names)
    table = table.assign(log_width=np.log(table[["width R0", "width infectious_days"]]).mean(axis=1))
    for (way, runs), part in table.groupby(["way", "runs"]):
        said = [
            f"{way:6} {runs:5d} runs, {len(part)} data sets: width {np.exp(part['log_width'].mean()):.3f}"
        ]
        for n in names:
            width = np.exp(np.log(part[f"width {n}"]).mean())
            said.append(f"{n} width {width:.3f}, 90 % covers {part[f'in90 {n}'].mean():.2f}")
            if part[f"error {n}"].notna().all():
                rmse = np.sqrt((part[f"error {n}"] ** 2).mean())
                said[-1] += f", 50 % {part[f'in50 {n}'].mean():.2f}, RMSE {rmse:.3f}"
        print("; ".join(said))
    # Designs of one size differ; a data set's width under space-filling is the mean over them.
    widths = table.pivot_table(index="repeat", columns=["way", "runs"], values="log_width").dropna()
    spread, log_runs = widths["spread"].to_numpy(), np.log(widths["spread"].columns.to_numpy(dtype=float))
    rng = np.random.default_rng(1)
    again = rng.integers(len(widths), size=(2000, len(widths)))
    for runs in widths["placed"].columns[1:]:
        if 2 * runs in SPREAD:
            apart = (widths["placed", runs] - widths["spread", 2 * runs]).to_numpy()
            limit = apart.mean() + stats.t.ppf(0.95, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
            print(
                f"placement, {runs} runs: {np.exp(apart.mean()):.3f} of the width of {2 * runs} space-filling runs "
                f"(one-sided 95 % limit {np.exp(limit):.3f}, goal 1; paired over {len(apart)} data sets)"
            )
        placed = widths["placed", runs].to_numpy()
        ratio = spread_runs(log_runs, spread.mean(axis=0), placed.mean()) / runs
        ratios = [spread_runs(log_runs, spread[b].mean(axis=0), placed[b].mean()) / runs for b in again]
        at_least = "at least " if ratio >= 0.999 * max(SPREAD) / runs else ""
        print(
            f"placement, {runs} runs: a space-filling design needs {at_least}{ratio:.1f}x as many for the same width "
            f"(one-sided 95 % limit {np.quantile(ratios, 0.05):.1f}x, goal 2x; paired over {len(widths)} data sets)"
        )


def main() -> None:
    """Compute what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "placement")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / "rows.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["way", "repeat", "runs", "design"])
    truths, data = data_sets(options.repeats)

    def keep(rows: list[dict]) -> None:
        nonlocal table
        table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
        table.to_csv(path.with_suffix(".new"), index=False)
        os.replace(path.with_suffix(".new"), path)

    def missing(way: str, runs: int, design: float = np.nan) -> list[int]:
        same = table["design"].isna() if np.isnan(design) else table["design"] == design
        there = set(table.loc[(table["way"] == way) & (table["runs"] == runs) & same, "repeat"])
        return [i for i in range(options.repeats) if i not in there]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hc.emulators.FitWarning)
        for repeat in missing("placed", INITIAL * REPLICATES + ROUNDS * BATCH):
            table = table[~((table["way"] == "placed") & (table["repeat"] == repeat))]
            keep(placed_rows(repeat, truths[repeat], data[repeat]))
        for runs in SPREAD:
            for design in range(DESIGNS):
                todo = missing("spread", runs, design)
                if todo:
                    keep(spread_rows(design, runs, todo, truths, data))
    summarise(table[table["repeat"] < options.repeats])


if __name__ == "__main__":
    main()
