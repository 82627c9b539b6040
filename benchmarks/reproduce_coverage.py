"""Do intervals cover what they claim? 200 epidemics with known truths, four ways of stating uncertainty.

Run `make reproduce-coverage`. Every row is kept in results/coverage and is not computed again; delete the folder to
start afresh. `--part particle` computes only the rows of the particle filter, `--part there` prints with those rows
of it that are there, `--processes 1` leaves a core to others.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from scipy.stats import chi2  # noqa: E402

import hetcal as hc  # noqa: E402
from hetcal.calibrate.chains import effective_sample_size, split_rhat  # noqa: E402
from hetcal.calibrate.not_ruled_out import implausibility  # noqa: E402
from hetcal.checks.ecdf import uniformity_p  # noqa: E402
from hetcal.checks.known_truths import KnownTruths, prior_truths, simulate_truths  # noqa: E402
from hetcal.checks.recovery import recovery_test  # noqa: E402
from hetcal.emulators.total import WeightedTotal  # noqa: E402

Function = Callable[[np.ndarray], np.ndarray]

N = 200
N_LOSS = 60  # data sets for which the loss is emulated, a fit each
SEED = 1
LEAST_BED_DAYS = 60
ITERATIONS, BURN_IN = 500, 300
MET = 1.05  # split R-hat above which chains are run again, longer

SPACE = hc.Space(
    [
        hc.Parameter("R0", hc.uniform(1.2, 8.0)),
        hc.Parameter("infectious_days", hc.uniform(0.5, 6.0)),
        hc.Parameter("I0", hc.log_uniform(1, 12)),
    ]
)


def took_off(data: dict[str, np.ndarray]) -> np.ndarray:
    """Whether an outbreak took off: more than 60 bed-days."""
    return data["in_bed"].sum(axis=1) > LEAST_BED_DAYS


def method() -> hc.Posterior:
    """The posterior under test: emulators from 500 locations of 4 runs, 2,000 in all."""
    flu = hc.data.flu1978()
    model = hc.simulators.StochasticSIR(population=763, days=14)
    problem = hc.Problem(SPACE, model, [hc.Target("in_bed", observed=flu["in_bed"])])
    observation = {"in_bed": hc.observation.PoissonObservation()}
    return hc.Posterior(problem, observation, took_off, initial=500, replicates=4, rounds=0, predictive=0)


def data_sets(ledger: hc.Ledger) -> KnownTruths:
    """The data sets that all are compared on."""
    posterior = method()
    unit = prior_truths(posterior, N, SEED)
    return simulate_truths(posterior, unit, "prior", ledger, posterior.study_name(SEED), SEED)


def particle_posterior(index: int, truth: np.ndarray, data: np.ndarray) -> pd.DataFrame:
    """One data set's rows by particle-marginal Metropolis-Hastings, longer where its chains have not met."""
    seconds = 0.0
    for longer in (1, 4):
        sampler = hc.ParticleMCMC(
            SPACE,
            method().problem.simulator,
            {"in_bed": data},
            hc.observation.PoissonObservation(),
            iterations=longer * ITERATIONS,
            burn_in=longer * BURN_IN,
        )
        posterior = sampler.run(seed=index)
        seconds += posterior.seconds
        chains = [posterior.unit[:, :, j] for j in range(SPACE.dimension)]
        rhat = [split_rhat(c) for c in chains]
        if max(rhat) <= MET:
            break
    return pd.DataFrame(
        {
            "data_set": index,
            "parameter": SPACE.names,
            "truth": truth,
            "mean": [c.mean() for c in chains],
            "below": [(c < t).mean() for c, t in zip(chains, truth, strict=True)],
            "rhat": rhat,
            "ess": [effective_sample_size(c) for c in chains],
            "iterations": longer * ITERATIONS,
            "seconds": seconds,
            "bed_days": data.sum(),
        }
    )


def particle_rows(sets: KnownTruths, file: Path, processes: int, only_there: bool) -> pd.DataFrame:
    """Rows of the particle filter, those that are not in the file yet computed now."""
    known = set(pd.read_csv(file)["data_set"]) if file.exists() else set()
    todo = [] if only_there else sorted(set(range(len(sets))) - known)
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        arguments = zip(*((i, sets.unit[i], sets.data["in_bed"][i]) for i in todo), strict=True)
        rows: Iterator[pd.DataFrame] = pool.map(particle_posterior, *arguments) if todo else iter(())
        for row in rows:
            row.to_csv(file, mode="a", header=not file.exists(), index=False)
    return pd.read_csv(file).sort_values(["data_set"], kind="stable", ignore_index=True)


# The loss band and the set that is not ruled out


def lowest(function: Function, centre: np.ndarray, fixed: int | None, rng: np.random.Generator) -> np.ndarray:
    """Minimiser over the cube of a function of points, one coordinate held where `fixed` says."""
    best, half = centre, 1.0
    for _ in range(10):
        box = np.maximum(best - half, 0), np.minimum(best + half, 1)
        points = box[0] + rng.random((2048, len(best))) * (box[1] - box[0])
        points[0] = best
        if fixed is not None:
            points[:, fixed] = centre[fixed]
        best, half = points[np.argmin(function(points))], 0.55 * half
    return best


def loss_rows(
    index: int, truth: np.ndarray, data: np.ndarray, unit: np.ndarray, runs: np.ndarray
) -> pd.DataFrame:
    """Whether truths lie in the band and in the set that a loss of the same runs leaves."""
    target = hc.Target("in_bed", observed=data)
    emulator = hc.HetGP(noise="homoskedastic", transform=target.emulated_scale)
    emulator.fit(unit, target.losses(runs))
    total = WeightedTotal({"in_bed": emulator}, {"in_bed": 1.0})
    rng = np.random.default_rng(index)

    def mean(points: np.ndarray) -> np.ndarray:
        return emulator.predict(points).mean

    slices = [lowest(mean, truth, j, rng) for j in range(len(truth))]
    start = min([truth, *slices], key=lambda point: mean(point[None])[0])
    best = min(
        [start, lowest(mean, np.full(len(truth), 0.5), None, rng)], key=lambda point: mean(point[None])[0]
    )
    best = lowest(mean, best, None, rng)
    winner = SimpleNamespace(loss=mean(best[None])[0], loss_se=0.0)

    def distance(points: np.ndarray) -> np.ndarray:
        return implausibility(total, points, best[None], winner)

    rises = [mean(point[None])[0] - winner.loss for point in slices]
    return pd.DataFrame(
        {
            "data_set": index,
            "parameter": SPACE.names,
            "in_band50": [rise <= chi2.ppf(0.5, 1) for rise in rises],
            "in_band90": [rise <= chi2.ppf(0.9, 1) for rise in rises],
            "not_ruled_out": [
                distance(lowest(distance, truth, j, rng)[None])[0] <= 3 for j in range(len(truth))
            ],
            "all_not_ruled_out": distance(truth[None])[0] <= 3,
        }
    )


def all_loss_rows(sets: KnownTruths, post: hc.calibrate.PosteriorResult, file: Path) -> pd.DataFrame:
    """Rows of the first data sets, those that are not in the file yet computed now."""
    runs = post.prior_runs()
    unit = SPACE.to_unit(runs["theta"])
    known = set(pd.read_csv(file)["data_set"]) if file.exists() else set()
    for i in sorted(set(range(N_LOSS)) - known):
        row = loss_rows(i, sets.unit[i], sets.data["in_bed"][i], unit, runs["outputs"]["in_bed"])
        row.to_csv(file, mode="a", header=not file.exists(), index=False)
    return pd.read_csv(file)


# The table


def counted(way: str, rows: pd.DataFrame, alive: np.ndarray) -> pd.DataFrame:
    """Coverage, envelope and error by stratum and parameter from rows data_set, parameter, truth, mean, below, rank."""
    out = []
    for stratum in ("all", "took off"):
        kept = rows if stratum == "all" else rows[alive[rows["data_set"]]]
        for name, each in kept.groupby("parameter", sort=False):
            away = np.abs(each["below"] - 0.5)
            error = np.sqrt(12 * ((each["mean"] - each["truth"]) ** 2).mean())
            p = uniformity_p(each["rank"].to_numpy())
            row = [
                way,
                stratum,
                name,
                len(each),
                (away <= 0.25).mean(),
                (away <= 0.45).mean(),
                p,
                p > 0.05,
                error,
            ]
            out.append(row)
    columns = ["way", "stratum", "parameter", "n", "cover50", "cover90", "p", "inside", "rmse"]
    return pd.DataFrame(out, columns=columns)


def ratios(ours: pd.DataFrame, exact: pd.DataFrame, sets: KnownTruths) -> pd.DataFrame:
    """Root mean squared error over the particle filter's on the same data sets, by bootstrap of these.

    By size of the outbreak too, which shows where it is lost.
    """
    bed_days = sets.data["in_bed"].sum(axis=1)
    strata = {
        "all": bed_days >= 0,
        "took off": sets.alive,
        "died out": ~sets.alive,
        "took off, up to 400 bed-days": sets.alive & (bed_days <= 400),
        "over 400 bed-days": bed_days > 400,
    }
    both = ours.merge(exact, on=["data_set", "parameter"], suffixes=("", "_exact"))
    both = both.assign(
        ours=(both["mean"] - both["truth"]) ** 2, exact=(both["mean_exact"] - both["truth_exact"]) ** 2
    )
    rng, out = np.random.default_rng(SEED), []
    for stratum, chosen in strata.items():
        kept = both[chosen[both["data_set"]]]
        for name, each in kept.groupby("parameter", sort=False):
            squares = each[["ours", "exact"]].to_numpy()
            drawn = squares[rng.integers(len(squares), size=(4000, len(squares)))].mean(axis=1)
            low, high = np.quantile(np.sqrt(drawn[:, 0] / drawn[:, 1]), [0.05, 0.95])
            ratio = np.sqrt(squares[:, 0].mean() / squares[:, 1].mean())
            out.append([stratum, name, len(each), ratio, low, high])
    return pd.DataFrame(out, columns=["stratum", "parameter", "n", "ratio", "low90", "high90"])


def show(title: str, table: pd.DataFrame) -> None:
    """A table under its title."""
    print(f"\n{title}\n{table.round(3).to_string(index=False)}", flush=True)


def main() -> None:
    """Compute what is missing and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("results/coverage"))
    parser.add_argument("--part", choices=["all", "particle", "there"], default="all")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    # Runs take no time, and a ledger kept from an earlier session would hold runs of other budgets.
    with hc.Ledger() as ledger:
        sets = data_sets(ledger)
        file = options.out / "particle.csv"
        exact = particle_rows(sets, file, options.processes, options.part == "there")
        if options.part == "particle":
            return
        post = method().run(ledger, seed=SEED)
        test = recovery_test(post, n=N, seed=SEED)
        losses = all_loss_rows(sets, post, options.out / "loss.csv")
    print(
        f"{N} data sets from the prior, {sets.alive.sum()} took off; emulators of 500 x 4 runs, seed {SEED}"
    )
    print("\n".join(test.says))
    show("Recovery test, all levels", test.table)
    ours = test.ranks[test.ranks["level"] == "prior"]
    met = exact.groupby("data_set")["rhat"].transform("max") <= MET
    print(
        f"\nparticle filter: {exact['data_set'].nunique()} data sets, {exact['seconds'].sum() / 180:.0f} minutes; "
        f"{exact.loc[exact['iterations'] > ITERATIONS, 'data_set'].nunique()} were run longer, "
        f"{exact.loc[~met, 'data_set'].nunique()} are left out since their chains never met (R-hat above {MET})"
    )
    exact = exact[met].assign(rank=lambda rows: np.minimum(100 * rows["below"], 99).astype(int))
    tables = [counted("emulated likelihood", ours, sets.alive), counted("particle filter", exact, sets.alive)]
    show("Coverage (rmse in prior standard deviations)", pd.concat(tables))
    show(
        "RMSE, emulated over particle filter, same data sets (goal: at most 1.25)",
        ratios(ours, exact, sets),
    )
    kept = losses.assign(stratum=np.where(sets.alive[losses["data_set"]], "took off", "died out"))
    whole = pd.concat([kept.assign(stratum="all"), kept[kept["stratum"] == "took off"]])
    shares = (
        whole.groupby(["stratum", "parameter"], sort=False).mean(numeric_only=False).drop(columns="data_set")
    )
    shares.insert(0, "n", whole.groupby(["stratum", "parameter"], sort=False).size())
    show("Share of truths in what a loss of the same 2,000 runs leaves", shares.astype(float).reset_index())


if __name__ == "__main__":
    main()
