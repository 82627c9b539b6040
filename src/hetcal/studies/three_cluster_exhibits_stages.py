"""From the cheap model to the dear one: what each stage recovers, and what it costs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hetcal.calibrate import CascadeResult
from hetcal.report.canvas import BLUE, GREEN, GREY, ORANGE, VERMILLION, legend_above
from hetcal.report.exhibits import Exhibit
from hetcal.studies.three_cluster import TRUTH
from hetcal.studies.three_cluster_variants import published

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hetcal.studies.answers import Answers

MARKS = {"beta": (BLUE, "D"), "k": (VERMILLION, "o"), "c": (GREEN, "s")}


def recovered(answers: Answers) -> pd.DataFrame:
    """What the published variants, this study's cascade and its posterior recover.

    Parameters
    ----------
    answers : Answers

    Returns
    -------
    pandas.DataFrame
        calibration, by ("published" or "this study"), runs (on the dear model to learn from, inherited ones included;
        NaN where there are none), loss (of the winner; NaN where it is not known), and for each parameter its ratio to
        the truth with the ends of its 90 % interval, beta, beta_low, beta_high and so on; NaN where it was held, or
        has no interval.
    """
    rows = [
        {"calibration": row["variant"], "by": "published", "runs": row["total"], "loss": row["loss"]}
        | {name: row[name] for name in TRUTH}
        for row in published().to_dict("records")
    ]
    result: Any = answers.result
    rows += _stages(result) if isinstance(result, CascadeResult) else []
    if answers.posterior is not None:
        used = answers.posterior.runs
        runs = used["total"] - used["predictive"]  # those that only check it are not counted
        row: dict[str, Any] = {"calibration": "posterior", "by": "this study", "runs": runs}
        for name, *found in answers.posterior.intervals(0.9).itertuples(index=False, name=None):
            row |= {f"{name}{end}": value / TRUTH[name] for end, value in zip(("", "_low", "_high"), found)}
        rows.append(row)
    columns = [f"{name}{end}" for name in TRUTH for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["calibration", "by", "runs", "loss", *columns])


def _stages(result: CascadeResult) -> list[dict[str, Any]]:
    cost = result.cost.set_index("stage")
    rows = []
    for name, stage in result.stages.items():
        dear = cost.loc[name, "simulator"] == result.problem.simulator.name
        best = stage.best()
        row: dict[str, Any] = {"calibration": name, "by": "this study", "loss": best.loss}
        row["runs"] = float(cost.loc[name, "total"]) if dear else np.nan
        held = stage.stage.hold
        rows.append(row | {p: best.theta[p] / TRUTH[p] for p in TRUTH if p not in held})
    return rows


def stages(answers: Answers) -> Exhibit:
    """Recovered over true parameters, and runs, of every calibration."""
    table = recovered(answers)
    of = table.set_index(["by", "calibration"])
    best, first = of.loc[("published", "F")], of.loc[("published", "CMP")]
    text = (
        f"The cheap model finds beta within {100 * abs(first['beta'] - 1):.0f} % but a k that is {first['k']:.1f} "
        "times too large, for it is late and has to make up. Of the published searches with the dear model, more "
        "trials of few seeds (A) ended farther from the truth than fewer trials of more seeds (B); the best (F), "
        f"which inherits all trials before it, took {best['runs']:,.0f} runs and still has a c that is "
        f"{100 * (1 - best['c']):.0f} % too small."
    )
    if answers.posterior is not None:
        own = of.loc[("this study", "posterior")]
        off = " and ".join(f"{name} within {max(100 * abs(own[name] - 1), 1):.0f} %" for name in ("k", "c"))
        text += (
            f" The posterior of this study, with {own['runs']:,.0f} runs, has {off} of the truth and says how sure "
            "it is: its intervals are above."
        )
    shown = pd.DataFrame(
        {
            "calibration": [f"{row.calibration}, {row.by}" for row in table.itertuples()],
            "runs of the dear model": [_count(runs) for runs in table["runs"]],
            "loss": table["loss"],
            **{
                f"{name} over truth": [_ratio(row, name) for row in table.to_dict("records")]
                for name in TRUTH
            },
        }
    )
    caption = (
        "What each calibration found over the truth, 1 where it is right; bars: 90 % intervals of the posterior. "
        "The cheap model held c."
    )
    note = "Published losses are of 20 seeds and lie within chance of each other; runs include inherited ones"
    return Exhibit(
        "From the cheap model to the dear one", text, {caption: partial(_paint, table=table)}, shown, note
    )


def _count(runs: float) -> str:
    return "–" if np.isnan(runs) else f"{runs:,.0f}"


def _ratio(row: dict[str, Any], name: str) -> str:
    if np.isnan(row[name]):
        return "held"
    ends = "" if np.isnan(row[f"{name}_low"]) else f" ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"
    return f"{row[name]:.2f}{ends}"


def _paint(axes: Axes, table: pd.DataFrame) -> None:
    axes.figure.set_figheight(1.8 + 0.42 * len(table))
    y = np.arange(len(table))[::-1]
    axes.axvline(1, color=ORANGE, lw=2, zorder=0)
    for lift, (name, (colour, marker)) in zip((0.22, 0.0, -0.22), MARKS.items()):
        axes.hlines(y + lift, table[f"{name}_low"], table[f"{name}_high"], color=colour, lw=3)
        axes.plot(table[name], y + lift, marker, color=colour, ms=7, label=name)
    for border in y[:-1] - 0.5:
        axes.axhline(border, color="#dddddd", lw=0.8)
    axes.set_xscale("log")
    ticks = (0.15, 0.25, 0.5, 1, 2, 3)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    names = [
        f"{name} ({runs:,.0f} runs)" if runs == runs else name
        for name, runs in zip(table["calibration"], table["runs"])
    ]
    axes.set_yticks(y, names)
    axes.set_ylim(-0.6, len(table) - 0.4)
    axes.set_xlabel("found over true value (orange: right)")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(GREY)
    legend_above(axes, 3)
