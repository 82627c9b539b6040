"""What a report tells of many losses at once: a heat map, all emulators on one figure, tables instead of figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hetcal.report.canvas import BLUE, VERMILLION, WIDTH, Picture, figure_picture, picture, wrapped
from hetcal.report.findings import FEW_LOSSES
from hetcal.report.tables import Table
from hetcal.report.words import convergence_of, listed, number
from hetcal.sensitivity.by_loss import SEED, TOTAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hetcal.report.findings import Check, Findings
    from hetcal.sensitivity.by_loss import SobolByLoss

_WIDE = 1.5 * WIDTH
_SHOWN = 0.015  # smaller indices are left out of the heat map: emulators leave as much to parameters that do nothing


def are_many(findings: Findings) -> bool:
    """Whether the losses are too many for figures of each."""
    return len(findings.result.emulators) > FEW_LOSSES


def shown_checks(findings: Findings) -> list[Check]:
    """Targets whose data are drawn: all where they are few, else those that the model misses most."""
    checks = [check for check in findings.checks if len(check.simulated)]
    if len(checks) <= FEW_LOSSES:
        return checks
    missed = sorted(checks, key=lambda check: -check.outside.mean())[:FEW_LOSSES]
    return [check for check in checks if check in missed]


def heat_map(indices: SobolByLoss) -> Picture:
    """Total indices, a row a parameter (by its index for the total) and a column a loss."""
    totals = indices.totals
    order = totals.drop(index=SEED)[TOTAL].sort_values(ascending=False, kind="stable").index
    totals = totals.loc[[*order, SEED], [TOTAL, *totals.columns.drop(TOTAL)]]
    values = totals.to_numpy()
    rows, columns = values.shape

    def paint(axes: Axes) -> None:
        axes.imshow(np.clip(values, 0, 1), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for i, j in np.argwhere(values >= _SHOWN):
            text = f"{values[i, j]:.2f}"
            axes.text(
                j,
                i,
                text.lstrip("0") if text.startswith("0") else text,
                ha="center",
                va="center",
                fontsize=9,
                color="white" if values[i, j] > 0.55 else "black",
            )
        axes.set_yticks(np.arange(rows), [*(wrapped(name, 26) for name in order), "random seed"])
        axes.set_xticks(
            np.arange(columns), ["weighted total", *(wrapped(name, 22) for name in totals.columns[1:])]
        )
        axes.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0)
        for label in axes.get_xticklabels():
            label.set(rotation=45, ha="left", rotation_mode="anchor")
        # The seed and the total stand apart: they are no parameter and no loss.
        axes.axhline(rows - 1.5, color="black", lw=1.5)
        axes.axvline(0.5, color="black", lw=1.5)
        axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", lw=1)
        axes.tick_params(which="minor", length=0)
        for side in axes.spines.values():
            side.set_visible(False)

    most = {loss: totals[loss].drop(index=SEED).idxmax() for loss in totals.columns[1:]}
    named = ", ".join(f"{loss}: {name}" for loss, name in most.items())
    return picture(
        "sensitivity-by-loss",
        f"Total Sobol indices of {rows - 1} parameters for {columns - 1} losses. Most sensitive to: {named}.",
        "Total Sobol' indices over the prior for each loss and for their weighted total, parameters ordered by the "
        "latter. A dark cell: this loss depends much on this parameter. An empty cell: less than .015. A row without "
        "any dark cell is a parameter that no loss here can tell. Last row: the share of a single run's variance that "
        "the random seed alone makes.",
        paint,
        height=1.9 + 0.27 * rows,
        width=WIDTH if columns <= 6 else _WIDE,
    )


def predicted_panels(findings: Findings) -> Picture:
    """Observed against leave-one-out prediction of all emulators, a panel each."""
    emulators = findings.result.emulators
    across = 3
    down = -(-len(emulators) // across)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(down, across, squeeze=False).ravel()
        for axes, (name, emulator) in zip(panels, emulators.items(), strict=False):
            left_out = emulator.leave_one_out()
            outside = (left_out["z"].abs() > 1.645).to_numpy()
            both = left_out[["mean", "observed"]].to_numpy()
            axes.plot([both.min(), both.max()], [both.min(), both.max()], color="black", lw=0.8, ls="--")
            axes.plot(*both[~outside].T, ".", color=BLUE, ms=3, alpha=0.7)
            axes.plot(*both[outside].T, "x", color=VERMILLION, ms=4)
            axes.set_title(wrapped(name, 24), fontsize=10)
            axes.tick_params(labelsize=8.5)
            axes.locator_params(nbins=4)
        for axes in panels[len(emulators) :]:
            axes.set_visible(False)
        figure.supxlabel("predicted from all other sets, on the emulator's scale", fontsize=10)
        figure.supylabel("observed mean", fontsize=10)

    return figure_picture(
        "predicted-all",
        f"Observed against leave-one-out predicted losses of {len(emulators)} emulators.",
        "Each dot is a parameter set, predicted from all others and compared with the mean of its runs; on the dashed "
        "line the prediction is perfect. Crosses: the 90 % interval misses; about one in ten should.",
        paint,
        width=_WIDE,
        height=0.6 + 2.0 * down,
    )


def emulator_table(findings: Findings) -> Table:
    """All emulators in a row each, where full diagnostics of each would be too long."""
    frame = findings.diagnostics.set_index(["emulator", "diagnostic"])
    shown = ["R2", "mean log score", "sd of standardised residuals", "coverage 50 %", "coverage 90 %"]
    rows = []
    for name, emulator in findings.result.emulators.items():
        own = frame.loc[name]
        verdicts = own["verdict"].value_counts()
        worst = next(v for v in ("bad", "look", "good") if v in verdicts)
        rows.append(
            [
                name,
                f"{emulator.runs:,}",
                *(number(own.loc[d, "value"]) for d in shown),
                worst,
            ]
        )
    return Table(
        "Emulators of all losses by leave-one-out; worst: the worst verdict among all diagnostics of each, which "
        "summary.json holds. Below, in full, those with a bad one.",
        ["emulator", "runs", "R2", "log score", "sd of residuals", "50 %", "90 %", "worst"],
        rows,
    )


def diagnosed(findings: Findings) -> list[str]:
    """Emulators whose diagnostics are told in full: all where they are few, else those that fail badly."""
    if not are_many(findings):
        return list(findings.result.emulators)
    frame = findings.diagnostics
    bad = set(frame.loc[frame["verdict"] == "bad", "emulator"])
    return [name for name in findings.result.emulators if name in bad]


def fits(findings: Findings) -> list[str]:
    """How the last fits ended, a sentence for all that ended alike."""
    by_end: dict[str, list[str]] = {}
    for name, fitted in findings.result.emulators.items():
        by_end.setdefault(convergence_of(fitted), []).append(name)
    return [
        f"The last fit of the emulator{'s' if len(names) > 1 else ''} of {listed(names)} {end}."
        for end, names in by_end.items()
    ]


def held_out(findings: Findings) -> Table | None:
    """Scores on held-out locations after the first design and after the last round."""
    from scipy.stats import binom

    frame = findings.result.held_out
    if not len(frame):
        return None
    first, last = (
        frame[frame["round"] == r].set_index("target") for r in (frame["round"].min(), frame["round"].max())
    )
    rows = []
    for target, now in last.iterrows():
        error = now["log_score_se"]
        score = number(now["log_score"]) + (f" ± {number(error, 2)}" if np.isfinite(error) else "")
        coverage = (number(now[f"coverage_{level}"], 2) for level in (50, 90))
        then = _decimals(first.loc[target, "r2"])
        rows.append([str(target), f"{now['locations']:.0f}", then, _decimals(now["r2"]), score, *coverage])
    n = int(last["locations"].min())
    bands = (
        f"{level} % intervals of a sound emulator hold {number(binom.ppf(0.025, n, level / 100) / n, 2)} to "
        f"{number(binom.ppf(0.975, n, level / 100) / n, 2)}"
        for level in (50, 90)
    )
    expected = f" With {n} sets {' and '.join(bands)} of the location means in 95 of 100 cases." if n else ""
    return Table(
        "Held-out parameter sets, which no emulator ever learned from: predicted after the first design and after "
        f"round {int(frame['round'].max())}, on the emulators' own scales.{expected}",
        ["loss", "sets", "R2, first design", "R2", "log score", "50 %", "90 %"],
        rows,
    )


def _decimals(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "–"


def forest(findings: Findings) -> Table | None:
    """Agreement of total indices with a random forest's importance."""
    if findings.forest is None:
        return None
    rows = [
        [
            "weighted total" if r.loss == TOTAL else r.loss,
            f"{r.locations:,}",
            f"{r.explained:.2f}",
            f"{r.correlation:.2f}",
            f"{r.rank_correlation:.2f}",
        ]
        for r in findings.forest.agreement.itertuples()
    ]
    return Table(
        "Cross-check by a random forest on the first design, which shares nothing with the emulators: the share of the "
        "loss's variance that it explains, and the correlation of its importances with the total indices, of their "
        "values and of their ranks. A low correlation of values beside a high share would mean that emulator and "
        "forest contradict each other. Ranks of parameters that do nothing are chance.",
        ["loss", "parameter sets", "explained", "correlation", "of ranks"],
        rows,
    )
