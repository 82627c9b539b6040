"""Tables of what is there, and the sentences that they come to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from measles_comparison.setting import NAMES, OURS, REFERENCES, TRUTHS
from resumable import show

from hetcal.checks.ecdf import uniformity_p
from hetcal.studies import three_cluster
from hetcal.studies.three_cluster_variants import published

# The published loss at the true parameters: its law by seeds of a trial, from ensembles of the runs there are.
ENSEMBLES = (10, 20, 60, 200)
_DRAWN = 4000
NORMAL = 0.6744898  # the median of |z|

GOAL, GOAL_RUNS, GOAL_NEAR = 1.5, 1200, 0.7
ALL = len(TRUTHS) * REFERENCES
# No bound of any coordinate is as small: a posterior of such a standard deviation stands on one draw.
COLLAPSED = 1e-5


# The published loss


def losses_at_truth(runs: np.ndarray, rng: np.random.Generator, drawn: int = _DRAWN) -> pd.DataFrame:
    """The published loss of ensembles at the true parameters, drawn from runs (n, 5) of `bound.simulate`."""
    compared = three_cluster.COMPARED
    columns = {
        "invaded_C": 0,
        "attack_rate_A": 1,
        "peak_day_A": 2,
        "attack_rate_B_near": 3,
        "attack_rate_C": 4,
    }
    rows = []
    for m in ENSEMBLES:
        ensembles = runs[rng.integers(len(runs), size=(drawn, m))]
        loss = np.zeros(drawn)
        for of in compared.values():
            x = ensembles[:, :, columns[of.output]]
            seen = x.std(axis=1, ddof=1) if of.statistic == "sd" else x.mean(axis=1)
            loss += ((seen - of.published) / of.scale) ** 2
        low, middle, high = np.quantile(loss, [0.05, 0.5, 0.95])
        rows.append({"M": m, "5 %": low, "median": middle, "95 %": high, "max": loss.max()})
    return pd.DataFrame(rows)


def show_losses(runs: np.ndarray) -> None:
    """The table, and what it says of the published winners."""
    table = losses_at_truth(runs, np.random.default_rng(1))
    show(f"Published loss at the TRUE parameters ({len(runs)} runs, drawn in ensembles of M)", table, 2)
    at20 = table.set_index("M").loc[20]
    winners = published().set_index("variant")["loss"]
    below = [f"{name} {loss:g}" for name, loss in winners.items() if loss < at20["median"]]
    within = [f"{name} {loss:g}" for name, loss in winners.items() if loss < at20["95 %"]]
    print(
        f"Of the published winners {' and '.join(below)} lie below the median of the truth's own losses at M=20, "
        f"{' and '.join(within)} below their 95 %: this loss cannot rank its winners."
    )


def show_variants(rows: pd.DataFrame) -> None:
    """The published table beside our runs of it."""
    own = rows.groupby("variant", sort=False)
    table = published().rename(columns={n: f"published {n}" for n in ("loss", "beta", "k", "c")})
    for name in ("believed", "loss", "beta", "k", "c"):
        median, low, high = (own[name].quantile(q) for q in (0.5, 0.0, 1.0))
        said = [f"{median[v]:.3g} ({low[v]:.3g}-{high[v]:.3g})" for v in table["variant"]]
        table[f"own {name}"] = said
    table["own total"] = [int(own["total"].max()[v]) for v in table["variant"]]
    show(
        f"Variants: published, and ours of {rows['seed'].nunique()} seeds as median (range); recovered over true, loss "
        "as believed and on 20 fresh seeds (of CMP its own loss)",
        table.fillna("").astype(str),
    )


# The bound


def show_bounds(rows: pd.DataFrame) -> None:
    """Smallest standard errors, and their own."""
    names = ["truth", "what", "statistics", "seeds", "share invaded"]
    names += [f"{kind} {name}" for kind in ("SE", "error") for name in NAMES] + ["corr(k,c)", "error corr"]
    show(
        "Bound on standard errors from 20 runs (error: relative standard error of the bound)", rows[names], 5
    )
    worst = rows[[f"error {name}" for name in NAMES]].to_numpy().max()
    print(f"largest error of a bound: {100 * worst:.1f} % (goal: below 5 %)")
    first = rows[(rows["truth"] == 0) & (rows["what"] == "six statistics")]
    if len(first):
        print("specified at the first truth: SE log beta .0005, log k .060, c .129, corr(k,c) .43")
        slopes = [n for n in rows.columns if n.startswith("d ")]
        p = first["share invaded"].iloc[0]
        for name in slopes:
            value = first[name].iloc[0]
            logit = f" (of its logit {value / (p * (1 - p)):.2f})" if "share" in name else ""
            print(f"  {name} = {value:.3f}{logit}")


# Errors


def limits(values: np.ndarray, level: float = 0.9) -> tuple[float, float]:
    """Ends of the interval of the median by order statistics, each missed with probability (1 - level) / 2 at most."""
    from scipy.stats import binom

    n = len(values)
    below = int(binom.ppf((1 - level) / 2, n, 0.5))
    if binom.cdf(below, n, 0.5) > (1 - level) / 2:
        below -= 1
    if below < 0:
        return float("nan"), float("nan")
    ordered = np.sort(values)
    return float(ordered[below]), float(ordered[n - 1 - below])


def scaled(rows: pd.DataFrame, bounds: pd.DataFrame) -> pd.DataFrame:
    """Errors in standard errors of the bound at each truth, as columns ``ratio``; without truths that lack a bound."""
    bounds = bounds[bounds["what"] == "six statistics"].set_index("truth")
    rows = rows[rows["truth"].isin(bounds.index)].copy()
    if "by" in rows:
        rows["way"] = rows["way"].where(rows["by"] != "loss", rows["way"] + " by raw loss")
    for name in NAMES:
        rows[f"ratio {name}"] = rows[f"error {name}"].abs() / (
            NORMAL * rows["truth"].map(bounds[f"SE {name}"])
        )
    return rows


def efficiency(rows: pd.DataFrame) -> pd.DataFrame:
    """Median |error| / (.6745 SE) by way, budget and parameter with its 90 % interval; rows from `scaled`."""
    out = []
    for (way, budget), part in rows.groupby(["way", "budget"], sort=False):
        for name in NAMES:
            ratio = part[f"ratio {name}"].to_numpy()
            low, high = limits(ratio)
            row = {
                "way": way,
                "budget": budget,
                "runs": int(part["runs"].max()),
                "n": len(part),
                "parameter": name,
            }
            row |= {"median": np.median(ratio), "low90": low, "high90": high}
            if "q5 " + name in part and part["q5 " + name].notna().all():
                error = part[f"error {name}"] / part[f"sd {name}"]
                row |= {"mean z": error.mean(), "sd z": error.std()}
                row |= {"sd/SE": (part[f"sd {name}"] * ratio * NORMAL / part[f"error {name}"].abs()).median()}
                for share, low_q, high_q in ((50, 25, 75), (90, 5, 95)):
                    truth = part[f"q50 {name}"] - part[f"error {name}"]
                    inside = (part[f"q{low_q} {name}"] <= truth) & (truth <= part[f"q{high_q} {name}"])
                    row |= {f"in{share}": inside.mean()}
            out.append(row)
    return pd.DataFrame(out)


def paired(rows: pd.DataFrame) -> pd.DataFrame:
    """Ours against each other way at each budget, on the same references.

    The ratio of the errors' sizes, ours over theirs, in the median; how often ours is smaller; Wilcoxon's one-sided
    test of their logarithms, and its p after Holm over all rows.
    """
    from scipy.stats import wilcoxon
    from statsmodels.stats.multitest import multipletests

    index = ["truth", "reference", "budget"]
    ours = rows[rows["way"] == OURS]
    out: list[dict[str, Any]] = []
    for way in rows["way"].unique():
        if way == OURS:
            continue
        both = ours.merge(rows[rows["way"] == way], on=index, suffixes=("", " theirs"))
        for budget, part in both.groupby("budget"):
            for name in NAMES:
                # An error of exactly 0 has no logarithm.
                apart = np.log(part[f"ratio {name}"] + 1e-9) - np.log(part[f"ratio {name} theirs"] + 1e-9)
                row = {"against": way, "budget": budget, "n": len(part), "parameter": name}
                row |= {"ratio": np.exp(np.median(apart)), "ours nearer": (apart < 0).mean()}
                out.append(row | {"p": wilcoxon(apart, alternative="less").pvalue})
    table = pd.DataFrame(out)
    if len(table):
        table["p Holm"] = multipletests(table["p"], method="holm")[1]
    return table


def show_errors(rows: pd.DataFrame, bounds: pd.DataFrame) -> None:
    """Errors against runs, what the goal says, and the comparison."""
    rows = scaled(rows, bounds)
    if not len(rows):
        print("\nerrors: no truth with a bound has been compared yet")
        return
    table = efficiency(rows)
    show(
        f"Median |error| / (.6745 SE) over {rows[['truth', 'reference']].drop_duplicates().shape[0]} references, with "
        "its 90 % interval (runs: most that one used)",
        table[["way", "budget", "runs", "n", "parameter", "median", "low90", "high90"]],
        2,
    )
    if "mean z" in table:
        stated = table[table["mean z"].notna()]
        columns = ["way", "budget", "n", "parameter", "mean z", "sd z", "sd/SE", "in50", "in90"]
        show("Ours: what it said of its errors (z in its own standard deviations)", stated[columns], 2)
    alone = rows[(rows["way"] == OURS) & (rows["budget"] == GOAL_RUNS)]
    lost = int((alone[[f"sd {name}" for name in NAMES]].min(axis=1) < COLLAPSED).sum()) if len(alone) else 0
    if lost:
        print(f"ours: {lost} of {len(alone)} posteriors at {GOAL_RUNS} runs have collapsed to a point")
    goal = table[(table["way"] == OURS) & (table["budget"] == GOAL_RUNS)]
    for row in goal.itertuples():
        met = "met" if row.median <= GOAL and row.high90 < GOAL else "MISSED"
        if row.n < ALL:
            met = f"not decided before all {ALL} references are there, so far {met}"
        print(
            f"goal {met}: {row.parameter} at {GOAL_RUNS} runs: {row.median:.2f}, upper limit {row.high90:.2f} "
            f"(both at most {GOAL}), {row.n} references"
        )
    by_truth = []
    for (way, budget, truth), part in rows.groupby(["way", "budget", "truth"], sort=False):
        if way == OURS and budget == GOAL_RUNS:
            row = {"truth": truth, "n": len(part)} | {f"true {k}": f"{v:g}" for k, v in TRUTHS[truth].items()}
            by_truth.append(row | {name: part[f"ratio {name}"].median() for name in NAMES})
    if by_truth:
        show(f"Ours at {GOAL_RUNS} runs by truth, medians", pd.DataFrame(by_truth), 2)
    pairs = paired(rows)
    if len(pairs):
        show("Ours against each way, same references and budget (ratio of errors in the median)", pairs, 4)
        tpe = pairs[pairs["against"].str.startswith("TPE")]
        if len(tpe):
            lost = tpe[tpe["p Holm"] > 0.05]
            met = "met" if not len(lost) else "MISSED"
            if tpe["n"].min() < ALL:
                met = f"not decided before all {ALL} references are there, so far {met}"
            print(
                f"goal {met}: better than TPE in {len(tpe) - len(lost)} of {len(tpe)} "
                "cells of variant, budget and parameter (Holm, .05)"
            )


# Coverage


def envelope(n: int, share: float, cells: int, level: float = 0.95) -> tuple[float, float]:
    """Ends between which a share of n lies in all of so many cells with probability `level` at least."""
    from scipy.stats import binom

    low, high = binom.interval(1 - (1 - level) / cells, n, share)
    return low / n, high / n


def coverage(rows: pd.DataFrame) -> pd.DataFrame:
    """Coverage by what was known, emulator set and parameter, with the envelope of a set's six shares."""
    out = []
    for (what, learned), part in rows.groupby(["what", "learned"], sort=False):
        for name in NAMES:
            below = part[f"below {name}"].to_numpy()
            n, away = len(below), np.abs(below - 0.5)
            row: dict[str, Any] = {"what": what, "emulators": learned, "runs": part["runs"].iloc[0]}
            row |= {"n": n, "parameter": name}
            inside = True
            for share in (0.5, 0.9):
                seen, (low, high) = (away <= share / 2).mean(), envelope(n, share, 2 * len(NAMES))
                inside &= bool(low <= seen <= high)
                row |= {f"in{100 * share:.0f}": seen, f"envelope{100 * share:.0f}": f"{low:.3f}-{high:.3f}"}
            z = part[f"error {name}"] / part[f"sd {name}"]
            ranks = np.minimum(100 * below, 99).astype(int)
            row |= {"inside": inside, "p of ranks": uniformity_p(ranks), "mean z": z.mean(), "sd z": z.std()}
            out.append(row | {"sd": part[f"sd {name}"].median(), "sd of errors": part[f"error {name}"].std()})
    return pd.DataFrame(out)


def show_coverage(rows: pd.DataFrame) -> None:
    """Coverage, and the share of references with c near."""
    table = coverage(rows)
    show("Coverage over amortised references at the first truth, by emulator set", table)
    for what, part in table.groupby("what", sort=False):
        print(
            f"{what}: {int(part['inside'].sum())} of {len(part)} parameters and emulator sets inside the envelope"
        )
    c = three_cluster.TRUTH["c"]
    for (what, learned), part in rows.groupby(["what", "learned"], sort=False):
        near = (part["error c"].abs() <= 0.1 * c).mean()
        goal = f", goal at least {100 * GOAL_NEAR:.0f} %" if "arrivals" in what else ""
        patches = f" of {int(part['patches'].iloc[0])} patches" if part["patches"].iloc[0] else ""
        print(
            f"c within 10 %: {100 * near:.0f} % of {len(part)} references {what}{patches}, emulators {learned}{goal}"
        )


def show_ablations(rows: pd.DataFrame, bounds: pd.DataFrame) -> None:
    """Ours without the cheap simulator and with one that says the opposite."""
    rows = scaled(rows, bounds)
    if len(rows):
        show("With and without a cheap simulator, same references", efficiency(rows), 2)
