"""Figures of posteriors given ensemble statistics: all single statistics on one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hetcal.report.canvas import BLUE, GREY, SKY, VERMILLION, Picture, legend_above, picture, wrapped
from hetcal.report.posterior_figures import bands_of
from hetcal.report.words import data_of, number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from hetcal.report.posterior_findings import PosteriorFindings


def statistics(findings: PosteriorFindings) -> list[Picture]:
    """Observed statistics among those that the posterior predicts: single ones in one figure, others in their own."""
    if findings.predictive is None:
        return []
    single = {name: table for name, table in findings.predictive.bands.items() if len(table) == 1}
    others = [name for name in findings.predictive.bands if name not in single]
    return [*([_single(findings, single)] if single else []), *bands_of(findings, others)]


def _single(findings: PosteriorFindings, tables: dict[str, pd.DataFrame]) -> Picture:
    assert findings.predictive is not None
    targets = {target.name: target for target in findings.result.problem.targets}
    rows = {name: table.iloc[0] for name, table in tables.items()}
    scale = {name: max((row["high_90"] - row["low_90"]) / 2, 1e-300) for name, row in rows.items()}
    outside = [name for name, row in rows.items() if not row["low_all"] <= row["observed"] <= row["high_all"]]

    def paint(axes: Axes) -> None:
        y = dict(zip(rows, np.arange(len(rows))[::-1], strict=True))
        kinds = (("all", 3, GREY, "95 %"), ("90", 6, SKY, "90 %"), ("50", 10, BLUE, "50 %"))
        for count, (name, row) in enumerate(rows.items()):
            for kind, width, colour, label in kinds:
                ends = [(row[f"{end}_{kind}"] - row["median"]) / scale[name] for end in ("low", "high")]
                axes.hlines(y[name], *ends, color=colour, lw=width, label=None if count else label)
            at = (row["observed"] - row["median"]) / scale[name]
            axes.plot(at, y[name], "o", color="black", ms=6, label=None if count else "data")
            if name in outside:
                axes.plot(at, y[name], "o", mfc="none", mec=VERMILLION, mew=1.8, ms=11)
        held = {name: " (held out)" if targets[name].weight == 0 else "" for name in rows}
        labels = [
            f"{wrapped(data_of(targets[name]) + held[name], 34)}\n{number(row['observed'])} observed, "
            f"{number(row['median'])} predicted"
            for name, row in rows.items()
        ]
        axes.set_yticks([y[name] for name in rows], labels, fontsize=9)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel("difference from what is predicted, in\nhalf-widths of the 90 % range")
        legend_above(axes, 4)

    told = (
        f"{len(outside)} of {len(rows)} outside of the 95 % range" if outside else "all within the 95 % range"
    )
    return picture(
        "predictive-statistics",
        f"Observed statistics among those predicted; {told}.",
        f"The observed statistics (dots) among those of {findings.predictive.n} fresh ensembles at draws from the "
        f"posterior (bars); {told}. Each row has a scale of its own.",
        paint,
        height=1.8 + 0.62 * len(rows),
    )
