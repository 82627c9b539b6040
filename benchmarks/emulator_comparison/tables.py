"""Tables of what is there, and the sentences that they come to."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from emulator_comparison.ways import OURS, SIZES
from resumable import show

# What is compared, the lower the better, and by how much ours may be worse than the best.
ROWS = {
    "log F over lowest F": np.log(1.05),
    "important parameters missed": 0.05,
    "claim off by": 0.05,
}
LEVEL = 0.95
CLAIM_MEAN, CLAIM_SE = 0.02, 0.01


def scored(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with what is compared: see `ROWS`; the second is 1 - F1, the last is relative to F."""
    return rows.assign(
        **{
            "log F over lowest F": np.log(rows["true"] / rows["lowest"]),
            "important parameters missed": 1 - rows["F1"],
            "claim off by": (rows["claimed"] / rows["true"] - 1).abs(),
        }
    )


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Each way's means by size; rows from `scored`. Of F the mean ratio and the worst, of important ones the shares."""
    out = []
    for (size, way), part in rows.groupby(["size", "way"], sort=False):
        ratio = part["true"] / part["lowest"]
        row = {"size": size, "way": way, "n": len(part), "runs": int(part["runs"].max())}
        row |= {"F/lowest": np.exp(np.log(ratio).mean()), "median": ratio.median(), "worst": ratio.max()}
        found, right = part["hits"] / part["important"], part["hits"] / part["said"].clip(lower=1)
        row |= {"found": found.mean(), "right": right.mean(), "F1": part["F1"].mean()}
        out.append(row | {"cpu": part["cpu"].mean()})
    return pd.DataFrame(out)


def claims(rows: pd.DataFrame) -> pd.DataFrame:
    """How far claims are from the truth, relative to it, and in their own standard errors; what emulators believed too.

    One row a size, way and claim: mean with its standard error, sd, mean and sd of z, share of truths in the 90 %
    interval.
    """
    kinds = {"result": ("claimed", "claimed_se")}
    if "believed" in rows:
        kinds["emulator"] = ("believed", "believed_sd")
    out = []
    for (size, way), part in rows.groupby(["size", "way"], sort=False):
        for kind, (value, error) in kinds.items():
            some = part[part[value].notna()]
            if not len(some):
                continue
            off = some[value] / some["true"] - 1
            z = (some[value] - some["true"]) / some[error]
            row = {"size": size, "way": way, "claim": kind, "n": len(some), "mean": off.mean()}
            row |= {
                "SE": off.std() / np.sqrt(len(some)),
                "sd": off.std(),
                "mean z": z.mean(),
                "sd z": z.std(),
            }
            out.append(row | {"in 90 %": (z.abs() < 1.6449).mean()})
    return pd.DataFrame(out)


def paired(rows: pd.DataFrame) -> pd.DataFrame:
    """Ours less each other way on the same repeats; rows from `scored`.

    The mean difference (negative: ours is better), the upper end of its one-sided 95 % interval by Student's t, and
    Wilcoxon's one-sided test that ours is better, also after Holm over all rows.
    """
    from scipy.stats import t, wilcoxon
    from statsmodels.stats.multitest import multipletests

    out: list[dict[str, Any]] = []
    ours = rows[rows["way"] == OURS]
    for (size, way), theirs in rows[rows["way"] != OURS].groupby(["size", "way"], sort=False):
        both = ours.merge(theirs, on=["size", "repeat"], suffixes=("", " theirs"))
        for name in ROWS:
            apart = (both[name] - both[f"{name} theirs"]).to_numpy()
            n, mean = len(apart), apart.mean() if len(apart) else np.nan
            row = {"size": size, "row": name, "against": way, "n": n, "ours less theirs": mean}
            half = apart.std(ddof=1) / np.sqrt(n) * t.ppf(LEVEL, n - 1) if n > 1 else np.nan
            same = n == 0 or not np.any(apart)
            with warnings.catch_warnings():
                # Of few or equal differences it falls back on the normal approximation.
                warnings.simplefilter("ignore", UserWarning)
                p = 1.0 if same else wilcoxon(apart, alternative="less").pvalue
            out.append(row | {"upper limit": mean + half, "ours better": (apart < 0).mean(), "p": p})
    table = pd.DataFrame(out)
    if len(table):
        table["p Holm"] = multipletests(table["p"], method="holm")[1]
    return table


def verdicts(rows: pd.DataFrame, pairs: pd.DataFrame) -> list[str]:
    """A sentence for each size and row: whether ours is best, or its limit near enough to the best."""
    said = []
    for size, part in rows.groupby("size", sort=False):
        if OURS not in set(part["way"]):
            continue
        n = int((part["way"] == OURS).sum())
        # Of a repeat that is under way nothing is compared.
        part = part[part.groupby("repeat")["way"].transform("nunique") == part["way"].nunique()]
        if not len(part):
            continue
        for name, margin in ROWS.items():
            means = part.groupby("way")[name].mean()
            best = means.idxmin()
            met, why = best == OURS, "the best"
            if not met:
                pair = pairs[(pairs["size"] == size) & (pairs["row"] == name) & (pairs["against"] == best)]
                limit = pair["upper limit"].iloc[0]
                met = limit <= margin
                why = f"the best is {best}, {means[best]:.3f}; ours worse by {limit:.3f} at most ({margin:.3f} may be)"
            said.append(_goal(met, size, n, f"{name}: ours {means[OURS]:.3f}, {why}"))
    return said


def claim_verdicts(table: pd.DataFrame) -> list[str]:
    """A sentence for each size on the claim of ours; rows from `claims`."""
    said = []
    for row in table[(table["way"] == OURS) & (table["claim"] == "result")].itertuples():
        met = abs(row.mean) < CLAIM_MEAN and row.SE < CLAIM_SE
        most = f"below {100 * CLAIM_MEAN:.0f} % and {100 * CLAIM_SE:.0f} %"
        what = f"claim of ours less the truth: {100 * row.mean:+.2f} % on average, SE {100 * row.SE:.2f} % ({most})"
        said.append(_goal(met, row.size, row.n, what))
    return said


def _goal(met: bool, size: str, n: int, what: str) -> str:
    done = "" if n >= SIZES[size].repeats else f"not decided before {SIZES[size].repeats} repeats, so far "
    return f"goal {done}{'met' if met else 'MISSED'}: {size}, {what}; {n} repeats"


def show_comparison(rows: pd.DataFrame) -> None:
    """All tables and sentences."""
    rows = scored(rows)
    show(
        "Expected total F at the recommended point over the lowest there is (geometric mean, median, worst), and "
        "parameters with a total index of at least .1: share found, share of the named that are (cpu: seconds)",
        summary(rows),
    )
    claimed = claims(rows)
    show("Claimed F less the true one, over the true one; z in the claim's own standard errors", claimed)
    pairs = paired(rows)
    if len(pairs):
        show("Ours less each other way on the same functions; lower is better", pairs, 4)
    print()
    for sentence in verdicts(rows, pairs) + claim_verdicts(claimed):
        print(sentence)
