"""Where truths lie in their posteriors, counted: a table, and what it means in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.checks.ecdf import uniformity_p
from hetcal.checks.known_truths import KnownTruths
from hetcal.checks.many_posteriors import ManyPosteriors

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 99
FALSE_ALARM = 0.05
OVERCONFIDENT = 0.75
ENOUGH_POWER = 0.8
AS_CLAIMED = "as claimed"
WHERE = {
    "free": "With the runs that are there as data",
    "local": "Near the data",
    "prior": "Over the prior",
    "box": "Over the part of the prior that the emulators learned",
}


def power(n: int, alpha: float = FALSE_ALARM, covers: float = OVERCONFIDENT) -> float:
    """Probability that n data sets show that 90 % intervals cover less, by a two-sided binomial test at alpha.

    Examples
    --------
    >>> from hetcal.checks.coverage import power
    >>> round(power(20), 2), round(power(200), 2)
    (0.38, 1.0)
    """
    from scipy.stats import binom

    counts = np.arange(n + 1)
    return float(binom.pmf(counts, n, covers)[_two_sided(counts, n, 0.9) <= alpha].sum())


def coverage_table(
    sets: dict[str, KnownTruths], found: dict[str, ManyPosteriors], names: tuple[str, ...]
) -> pd.DataFrame:
    """The table of `RecoveryTest`, from data sets and where their truths lie, both by level."""
    import pandas as pd

    rows = list(_rows(sets, found, names))
    alpha = _each(len(rows))
    for row in rows:
        row["inside"] = row["p"] > FALSE_ALARM
        row["power"] = power(row["n"], alpha)
        row["verdict"] = _verdict(row, row.pop("below"), alpha)
    return pd.DataFrame(rows)


def _each(rows: int) -> float:
    """False-alarm rate of each test: two a row, the share inside 90 % and the ranks (Bonferroni)."""
    return FALSE_ALARM / (2 * rows)


def _two_sided(count: Any, n: int, share: float) -> Any:
    from scipy.stats import binom

    return np.minimum(1.0, 2 * np.minimum(binom.cdf(count, n, share), binom.sf(count - 1, n, share)))


def _rows(
    sets: dict[str, KnownTruths], found: dict[str, ManyPosteriors], names: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    from scipy.stats import binom

    for level, known in sets.items():
        strata = {"all": np.ones(len(known), dtype=bool)}
        if known.alive.any() and not known.alive.all():
            strata["took off"] = known.alive
        for stratum, chosen in strata.items():
            n, there = int(chosen.sum()), found[level].rows(chosen)
            error = np.sqrt(12) * (there.mean - known.unit[chosen])
            for j, name in enumerate(names):
                row = {"level": level, "stratum": stratum, "parameter": name, "n": n}
                for share in (0.5, 0.9):
                    label = f"{100 * share:.0f}"
                    row[f"cover{label}"] = float((np.abs(there.below[:, j] - 0.5) <= share / 2).mean())
                    row[f"low{label}"], row[f"high{label}"] = binom.interval(0.95, n, share) / np.float64(n)
                row["p"] = uniformity_p(there.ranks[:, j], DRAWS)
                row["bias"] = float(error[:, j].mean())
                row["rmse"] = float(np.sqrt((error[:, j] ** 2).mean()))
                yield row | {"below": there.below[:, j]}


def _verdict(row: dict[str, Any], below: np.ndarray, alpha: float) -> str:
    """What is wrong with a row's intervals, if anything is."""
    n = row["n"]
    if _two_sided(round(row["cover90"] * n), n, 0.9) <= alpha:
        return "too narrow" if row["cover90"] < 0.9 else "too wide"
    if row["p"] > alpha:
        return AS_CLAIMED
    # Ranks far from uniform with the right share inside: moved to one side, or of another width within.
    if abs(below.mean() - 0.5) * np.sqrt(12 * n) > 2.5:
        return "too low" if below.mean() > 0.5 else "too high"
    return "too narrow" if below.var() > 1 / 12 else "too wide"


def long_ranks(
    sets: dict[str, KnownTruths], found: dict[str, ManyPosteriors], names: tuple[str, ...]
) -> pd.DataFrame:
    """One row a level, data set and parameter."""
    import pandas as pd

    frames = []
    for level, known in sets.items():
        t, d = known.unit.shape
        there = found[level]
        columns = {"truth": known.unit, "mean": there.mean, "below": there.below, "rank": there.ranks}
        frame = {"level": level, "data_set": np.repeat(np.arange(t), d), "alive": np.repeat(known.alive, d)}
        frame |= {"parameter": list(names) * t} | {name: values.ravel() for name, values in columns.items()}
        frames.append(pd.DataFrame(frame))
    return pd.concat(frames, ignore_index=True)


# What it says


def sentences(table: pd.DataFrame) -> list[str]:
    """The verdict of a table, the most important first.

    All data sets share one set of emulators, whose own luck is in every one of them: what is said is of that set.
    """
    alpha, strength = _each(len(table)), float(table["power"].max())
    wrong = table[table["verdict"] != AS_CLAIMED]
    if len(wrong):
        safe = set(wrong["verdict"]) == {"too wide"}
        names = " and ".join(dict.fromkeys(wrong["parameter"]))
        head = f"The intervals of {names} " + ("are wider than they need be" if safe else "cannot be trusted")
        head += ", for this set of emulators."
        # What is said of all data sets of a level need not be said again of those that took off.
        kept = wrong.drop_duplicates(["level", "parameter", "verdict"])
        return [head, *(_finding(row, alpha) for row in kept.to_dict("records"))]
    largest = int(table["n"].max())
    found = f"intervals that claim 90 % and cover 75 % would be found with probability {strength:.2f}"
    if strength < ENOUGH_POWER:
        needed = next(k for k in range(largest, 10_000, 5) if power(k, alpha) >= ENOUGH_POWER)
        return [f"Cannot tell with {largest} data sets: {found}. Give n={needed} or more."]
    whole = table[table["stratum"] == "all"]
    covers = "; ".join(
        f"{WHERE[level].lower()} {_range(rows['cover90'])} of {rows['n'].iloc[0]} "
        f"(expected {_expected(rows['n'].iloc[0], alpha)})"
        for level, rows in whole.groupby("level", sort=False)
    )
    return [
        f"The 90 % intervals can be trusted, for this set of emulators: they hold the truth, {covers}; {found}."
    ]


def _range(shares: Any) -> str:
    low, high = (f"{100 * value:.0f}" for value in (min(shares), max(shares)))
    return f"{low} %" if low == high else f"{low} to {high} %"


def _expected(n: int, alpha: float) -> str:
    from scipy.stats import binom

    return _range(binom.interval(1 - alpha, n, 0.9) / np.float64(n))


def _finding(row: dict[str, Any], alpha: float) -> str:
    who = f"{row['n']} data sets" + ("" if row["stratum"] == "all" else " that took off")
    cover = f"the 90 % intervals hold {100 * row['cover90']:.0f} % of {who} " + (
        f"(expected {_expected(row['n'], alpha)})"
    )
    where, name, verdict = WHERE[row["level"]], row["parameter"], row["verdict"]
    return f"{where}, the posterior of {name} is {verdict}: {cover}; ranks as uneven have p = {row['p']:.2g}."
