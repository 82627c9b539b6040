"""The part of a report that tells which parameters of a known truth came back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hetcal.checks.truth_recovery import FALSE, OPEN, RECOVERED
from hetcal.report.canvas import BLUE, GREY, VERMILLION, Picture, legend_above, picture, wrapped
from hetcal.report.part import Part
from hetcal.report.tables import Table
from hetcal.report.words import capital, index_with_interval, percent, value_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hetcal.checks.truth_recovery import SyntheticRecovery

_COLOURS = {RECOVERED: BLUE, OPEN: GREY, FALSE: VERMILLION}


def recovery_part(recovery: SyntheticRecovery) -> Part:
    """What came back, before the report of the calibration that was asked."""
    return Part(
        template="recovery.html",
        sections={"recovery": "Does a known truth come back?"},
        answer=[f"The data of this report are simulated at a known truth. {capital(recovery.says)}."],
        cautions=[],
        pictures={"recovery": [_ranges(recovery)]},
        context={"recovery_table": _table(recovery)},
        summary={
            "recovery": {
                "truth": recovery.truth,
                "counts": recovery.counts,
                "parameters": recovery.table.to_dict("records"),
            }
        },
        emulators={},
        settings=[],
        studies=[],
    )


def _table(recovery: SyntheticRecovery) -> Table:
    space = recovery.result.problem.space
    rows = []
    for r in recovery.table.sort_values("total", ascending=False, kind="stable").itertuples():
        parameter = space[r.parameter]
        rows.append(
            [
                r.parameter,
                value_of(parameter, r.truth),
                f"{value_of(parameter, r.low)} to {value_of(parameter, r.high)}",
                percent(r.share),
                r.verdict,
                index_with_interval(r.total, r.total_low, r.total_high),
            ]
        )
    return Table(
        "Parameters by how much the loss depends on them. Recovered: the range not ruled out holds the truth and is "
        "narrower than half of the prior; false recovery: as narrow, without the truth; not recovered: wider.",
        ["parameter", "truth", "not ruled out", "share of the prior", "verdict", "total sensitivity"],
        rows,
    )


def _ranges(recovery: SyntheticRecovery) -> Picture:
    """Range and truth of each parameter on the scale of prior probability, most sensitive on top."""
    table = recovery.table.sort_values("total", kind="stable")
    space = recovery.result.problem.space
    columns = {c: dict(zip(table["parameter"], table[c], strict=True)) for c in ("low", "truth", "high")}
    order = [space.names.index(name) for name in table["parameter"]]
    low, truth, high = (space.to_unit(space.array(values))[0][order] for values in columns.values())

    def paint(axes: Axes) -> None:
        y = np.arange(len(table))
        for verdict, colour in _COLOURS.items():
            rows = (table["verdict"] == verdict).to_numpy()
            if rows.any():
                axes.hlines(y[rows], low[rows], high[rows], color=colour, lw=6, alpha=0.6, label=verdict)
        axes.plot(truth, y, "D", color="black", ms=5, label="truth")
        axes.set_yticks(y, [wrapped(name, 22) for name in table["parameter"]])
        axes.set_ylim(-0.7, len(table) - 0.3)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("share of the prior below")
        legend_above(axes, 2)

    return picture(
        "recovery",
        f"Ranges not ruled out and the truth of {len(table)} parameters. {capital(recovery.says)}.",
        "Bars: what is not ruled out of each parameter, on the scale of its prior's probability; the most sensitive "
        "on top. A bar from end to end says that these data tell nothing of the parameter.",
        paint,
        height=1.5 + 0.3 * len(table),
    )
