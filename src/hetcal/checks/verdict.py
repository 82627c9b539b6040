"""The verdict: can the model reproduce the data at all?"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.checks.predictive import Predictive, predictive_checks
from hetcal.checks.seen import far_from_all, see
from hetcal.checks.shortfall import in_units, needed, own_scatter
from hetcal.checks.statistics import FEW, TOGETHER, looked_at, rounded

if TYPE_CHECKING:
    import pandas as pd

    from hetcal.observed import Observed

# Chances of a false alarm, 5 % together: of all posterior-predictive checks, and of data far from all prior runs. The
# rest, 0.5 %, is that of `PosteriorResult.outside`.
ALPHA_FITTED = 0.04
ALPHA_OUTSIDE = 0.005

_COLUMNS = [
    "target",
    "held_out",
    "looked_at",
    "failed",
    "worst",
    "adjusted",
    "scatter",
    "discrepancy",
    "modest",
]
_COLUMNS += ["carried", "excess"]


@dataclass(frozen=True, eq=False)
class Verdict:
    """Whether a model reproduces the data.

    Attributes
    ----------
    kind : str
        "fits", "fits with discrepancy", "no parameters fit", or "not checked" where there are no fresh runs.
    sentence : str
        The answer.
    reasons : tuple of str
        What misfits, the most telling first, by statistic, datum or day.
    table : pandas.DataFrame
        One row a target: target, held_out, looked_at (number of data and statistics), failed (how many of them), worst
        (name of the one furthest out), adjusted (its adjusted p), scatter (own standard deviation of single data in the
        model, stabilised scale), discrepancy (that would carry the misfit; 0 where nothing failed), modest (whether
        that is no more than the scatter, or than the discrepancy stated).

    Examples
    --------
    >>> from hetcal.checks.verdict import Verdict
    >>> print(Verdict("fits", "The model fits.", (), None))
    The model fits.
    """

    kind: str
    sentence: str
    reasons: tuple[str, ...]
    table: pd.DataFrame = field(repr=False)

    def __str__(self) -> str:
        return "\n".join([self.sentence, *(f"- {reason}" for reason in self.reasons)])


def verdict_of(result: Any, checks: Predictive) -> Verdict:
    """Judge a posterior by its predictive checks.

    *Fits*: no check fails. Checks are the posterior-predictive ones of `predictive_checks`, with p adjusted for their
    number, at 4 % together; the distance of the fitted data from the runs of the first design, at 0.5 %, where these
    make data sets; and what `PosteriorResult.outside` says, at 0.5 %. A model that is right is therefore told so in at
    least 95 % of data sets; more often (measured: 97.5 %), since a posterior has seen the data that it predicts.

    *Fits with discrepancy*: some fail for the model taken as right, but the discrepancy stated by the method carries
    them, or a modest one would. Modest is a standard deviation, on the stabilised scale (roots of counts), of no more
    than the model's own scatter of single data given their neighbours: nobody could see it in a single run. The least
    one that puts what failed inside its simultaneous band is told, a target at a time.

    *No parameters fit*: no modest discrepancy carries what failed, fitted or held out, or the fitted data are further
    from all runs of the first design than these are from each other, or `PosteriorResult.outside` says that they are
    outside of everything simulated, which then comes first. Where the posterior is not settled
    (`PosteriorResult.unsettled`) the sentence says that others may.

    Parameters
    ----------
    result : PosteriorResult
    checks : Predictive

    Returns
    -------
    Verdict

    References
    ----------
    Gelman, Meng and Stern (1996); Kennedy and O'Hagan (2001), for the discrepancy; Westfall and Young (1993).

    Examples
    --------
    See `Verdict`.
    """
    stated = result.method.discrepancy
    right = checks if stated == 0 else predictive_checks(result, 0.0)
    table = _by_target(result, right, checks)
    failed = table[table["failed"] > 0].sort_values(
        ["modest", "adjusted", "excess"], ascending=[True, True, False]
    )
    far, far_cause = _far(result, right, checks)
    told = [sentence.rstrip(".") for sentence in getattr(result, "outside", ())]
    outside = told or far
    misses = {name: _reasons(result, right, name) for name in failed["target"]}
    reasons = [*outside, *(reason for texts in misses.values() for reason in texts)]
    reasons += [_carrying(result, row) for row in failed.itertuples()]
    if 0 < right.n < FEW:
        reasons.append(
            f"only {right.n} fresh runs are like the data: bands are rough; run more with predictive=500"
        )
    if not len(result.prior_runs()["theta"]):
        reasons.append(
            "no runs are spread as the prior is: whether the data are far from all of them is not checked"
        )
    none_alive = right.n == 0 and right.fresh.dead > 0
    if none_alive:
        outside.append(
            f"none of {right.fresh.dead} runs at posterior draws is alive by the rule given, as the data are"
        )
        reasons = list(outside)
    if told or far_cause == "none" or none_alive or not failed["modest"].astype(bool).all():
        first = [*outside, *(texts[0] for texts in misses.values())][:2]
        kind, sentence = "no parameters fit", f"No parameters fit: {'; '.join(first)}."
        if unsettled := getattr(result, "unsettled", ()):
            sentence = f"No parameters found fit, but there may be others: {'; '.join([*unsettled, *first])}."
    elif right.n == 0:
        kind = "not checked"
        sentence = "Not checked: there are no fresh runs at posterior draws; run with predictive=500."
    elif len(failed) or far:
        kind, sentence = "fits with discrepancy", _with_discrepancy(result, failed, far_cause)
    else:
        kind, sentence = "fits", _fits(result, right)
    return Verdict(kind, sentence, tuple(reasons), table.drop(columns=["carried", "excess"]))


def _by_target(result: Any, right: Predictive, checks: Predictive) -> pd.DataFrame:
    """The verdict's table, and how far the worst is beyond its prediction, in widths of that."""
    import pandas as pd

    targets, rows = result.problem.targets, []
    for target in targets if right.n else ():
        own = right.table[right.table["target"] == target.name]
        worst = own.loc[_excess(own).idxmax()]
        names = list(own.loc[own["adjusted"] <= ALPHA_FITTED, "name"])
        scatter, size = own_scatter(target, right.fresh.seen[target.name]), 0.0
        carried = modest = True
        if names:
            expected = right.fresh.expected[target.name]
            others = [looked_at(t, right.fresh.seen[t.name])[3] for t in targets if t is not target]
            beside = np.hstack([np.empty((right.n, 0)), *others])
            size = needed(result, target, expected, names, ALPHA_FITTED, beside)
            with_stated = checks.table.loc[checks.table["target"] == target.name, "adjusted"]
            carried = result.method.discrepancy > 0 and bool((with_stated > ALPHA_FITTED).all())
            modest = carried or size <= scatter
        rows.append(
            {
                "target": target.name,
                "held_out": target.weight == 0,
                "looked_at": len(own),
                "failed": len(names),
                "worst": worst["name"],
                "adjusted": own["adjusted"].min(),
                "scatter": scatter,
                "discrepancy": size,
                "modest": modest,
                "carried": carried,
                "excess": _excess(own).max(),
            }
        )
    return pd.DataFrame(rows, columns=_COLUMNS)


def _excess(table: pd.DataFrame) -> pd.Series:
    """How far each observed value is from its median, in half-widths of its 90 % range."""
    apart = (table["observed"] - table["median"]).abs()
    side = np.where(
        table["observed"] > table["median"], table["high"] - table["median"], table["median"] - table["low"]
    )
    return apart / np.maximum(side, 1e-9 * table["median"].abs() + 1e-300)


def _far(result: Any, right: Predictive, checks: Predictive) -> tuple[list[str], str]:
    """What to say where fitted data are far from all prior runs, and what carries it: "stated", "modest" or "none"."""
    if not right.outside <= ALPHA_OUTSIDE:
        return [], ""
    labels = _list([_label(t) for t in result.method.targets])
    text = f"{labels}: the data are further from every run of the first design than runs of other parameters are from"
    share = f"{right.outside:.1%}" if right.outside * (right.first.n + 1) > 1.5 else "none"
    text += f" each other ({share} of {right.first.n} runs as far from the next)"
    if result.method.discrepancy > 0 and checks.outside > ALPHA_OUTSIDE:
        return [text], "stated"
    modest = {
        t.name: own_scatter(t, right.fresh.seen[t.name]) if right.n else 0.0 for t in result.problem.targets
    }
    again = far_from_all(result.method.targets, see(result, result.prior_runs(), modest, 1))
    return [text], "modest" if again > ALPHA_OUTSIDE else "none"


def _label(target: Observed) -> str:
    return target.label or target.name


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _reasons(result: Any, right: Predictive, name: str) -> list[str]:
    """What of a target failed: runs of days on one side together, then its statistics."""
    target = next(t for t in result.problem.targets if t.name == name)
    rows = right.table[(right.table["target"] == name) & (right.table["adjusted"] <= ALPHA_FITTED)]
    held = ", held out" if target.weight == 0 else ""
    is_datum = rows["name"].isin(list(right.bands[name]["name"])) & (rows["name"] != "")
    texts = []
    for side, above in (("above", True), ("below", False)):
        days = rows[is_datum & ((rows["observed"] > rows["median"]) == above)]
        if len(days):
            worst = days.loc[_excess(days).idxmax()]
            where = _list(list(days["name"])).replace(" day ", " ")
            where = where.replace("day ", "days ", 1) if len(days) > 1 else where
            texts.append(
                f"{_label(target)}{held}: {side} what the fitted model makes on {where}; {worst['observed']:.4g} "
                f"observed on {worst['name']}, {_range(worst)} predicted"
            )
    for _, row in rows[~is_datum].iterrows():
        if row["name"] == TOGETHER:
            texts.append(
                f"{_label(target)}{held}: all days together are {row['observed']:.2g} standard deviations from the "
                f"middle of the fitted model's runs, which are {_range(row)} from it themselves"
            )
            continue
        what = f": {row['name']}" if row["name"] else ""
        texts.append(
            f"{_label(target)}{what}{held}: {row['observed']:.4g} observed, where the fitted model makes {_range(row)}"
        )
    return texts


def _range(row: Any) -> str:
    width = row["high"] - row["low"]
    low, high = rounded(row["low"], width), rounded(row["high"], width)
    return low if low == high else f"{low} to {high}"


def _carrying(result: Any, row: Any) -> str:
    """What discrepancy a target needs."""
    target = next(t for t in result.problem.targets if t.name == row.target)
    if math.isinf(row.discrepancy):
        return f"{_label(target)}: no discrepancy carries this; the data vary less than the model does"
    beside = (
        "no more than" if row.discrepancy <= row.scatter else f"{row.discrepancy / row.scatter:.2g} times"
    )
    return (
        f"{_label(target)}: a discrepancy of {row.discrepancy:.2g} ({in_units(target, row.discrepancy)}) would carry "
        f"this, {beside} the model's own scatter of {row.scatter:.2g}"
    )


def _with_discrepancy(result: Any, failed: pd.DataFrame, far_cause: str) -> str:
    stated = result.method.discrepancy
    left = failed[~failed["carried"].astype(bool)]
    if not len(left) and far_cause != "modest":
        return (
            f"The model fits with discrepancy: taken as right it does not, but the discrepancy of {stated:g} that was "
            "stated carries the misfit."
        )
    short = f" (the {stated:g} that was stated does not carry it)" if stated > 0 else ""
    sizes = [
        f"{row.discrepancy:.2g} in {_label(t)} ({in_units(t, row.discrepancy)})"
        for row in left.itertuples()
        for t in result.problem.targets
        if t.name == row.target
    ]
    if not sizes:
        return (
            "The model fits with discrepancy: one as small as its own scatter puts the data among its runs"
            f"{short}."
        )
    return (
        f"The model fits with discrepancy: {_list(sizes)}, no more than its own scatter{short}; "
        "state discrepancy= and fit again."
    )


def _fits(result: Any, right: Predictive) -> str:
    held = [_label(t) for t in result.problem.targets if t.weight == 0]
    also = f", {_list(held)} held out among them," if held else ""
    return (
        f"The model fits: of {len(right.table)} data and statistics{also} none is further out than chance allows, "
        "which a right model is told in at least 95 % of data sets."
    )
