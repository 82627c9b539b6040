"""Figures: data with the winner's runs, convergence, sensitivity, emulator diagnostics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hetcal.report.canvas import (
    BLUE,
    GREY,
    HEIGHT,
    ORANGE,
    SKY,
    VERMILLION,
    Picture,
    legend_above,
    picture,
    plain_log,
    spans_magnitudes,
    wrapped,
)
from hetcal.report.words import capital, data_of, emulated_as, loss_title, missed_places, number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hetcal.report.findings import Check, Findings
    from hetcal.sensitivity.sobol import SobolResult

_TRAJECTORIES = 6
_DOTS = 200


def data(check: Check, file: str) -> Picture:
    """Observed data of one target with the winner's fresh runs."""
    count = int(check.outside.sum())
    missed = f"{count} of {check.outside.size} data points {'lies' if count == 1 else 'lie'} outside of the 90 % band"
    if 0 < count <= 8 and check.outside.size > 1:
        missed += f" ({missed_places(check)})"
    counted = "" if check.target.weight > 0 else " This target has weight 0: it was not fitted."
    if check.is_series:
        kind = f"bands hold 50 % and 90 % of {len(check.simulated)} fresh runs, thin lines are single runs"
        paint, height = _series, HEIGHT
    else:
        kind = f"bars hold 50 % and 90 % of {len(check.simulated)} fresh runs"
        paint, height = _strip, min(9.0, 2.1 + 0.34 * check.target.observed.size)
    caption = (
        f"{capital(data_of(check.target))} at the best fit: {kind}. {missed}; about one in ten would, point by point, "
        f"if the model were right.{counted}"
    )
    return picture(
        f"data-{file}",
        f"Data and simulated {kind} of {data_of(check.target)}; {missed}.",
        caption,
        lambda axes: paint(axes, check),
        height,
    )


def _series(axes: Axes, check: Check) -> None:
    observed = check.target.observed
    # Rows of a matrix stand one after another, with a gap between them.
    rows = observed.reshape(-1, observed.shape[-1])
    length = rows.shape[1]
    bands = check.quantiles.reshape(5, *rows.shape)
    runs = check.simulated.reshape(-1, *rows.shape)[:_TRAJECTORIES]
    outside = check.outside.reshape(rows.shape)
    for i in range(len(rows)):
        x = np.arange(length) + i * (length + 1)
        first = i == 0
        axes.fill_between(
            x, bands[0, i], bands[4, i], color=SKY, alpha=0.3, lw=0, label="90 % of runs" if first else None
        )
        axes.fill_between(
            x, bands[1, i], bands[3, i], color=SKY, alpha=0.65, lw=0, label="50 % of runs" if first else None
        )
        for j, run in enumerate(runs[:, i]):
            axes.plot(
                x, run, color=BLUE, lw=0.7, alpha=0.7, label="single runs" if first and j == 0 else None
            )
        axes.plot(x, rows[i], "o", color="black", ms=4.5, label="data" if first else None)
        if outside[i].any():
            axes.plot(x[outside[i]], rows[i][outside[i]], "o", mfc="none", mec=VERMILLION, mew=1.8, ms=10)
    if outside.any():
        axes.plot([], [], "o", mfc="none", mec=VERMILLION, mew=1.8, ms=9, label="outside of 90 %")
    order = "day" if check.axis == "day" else "data point, counted from 0"
    axes.set_xlabel(order if len(rows) == 1 else f"{order}, rows of {length} one after another")
    axes.set_ylabel(wrapped(check.target.label or check.target.output, 30))
    legend_above(axes, 3)


def _strip(axes: Axes, check: Check) -> None:
    observed, outside = check.target.observed.ravel(), check.outside.ravel()
    bands, runs = check.quantiles.reshape(5, -1), check.simulated.reshape(len(check.simulated), -1)
    y = np.arange(len(observed))[::-1]
    # The golden ratio spreads the dots over the height without a pattern and without chance.
    height = 0.16 + 0.2 * ((np.arange(min(len(runs), _DOTS)) * 0.6180339887) % 1)
    for j in range(len(observed)):
        axes.plot(
            runs[:_DOTS, j],
            y[j] - height,
            ".",
            color=BLUE,
            ms=2.5,
            alpha=0.5,
            label="single runs" if j == 0 else None,
        )
    axes.hlines(y, bands[0], bands[4], color=SKY, lw=4, label="90 % of runs")
    axes.hlines(y, bands[1], bands[3], color=BLUE, lw=8, label="50 % of runs")
    axes.plot(observed, y, "o", color="black", ms=6, label="data")
    if outside.any():
        axes.plot(
            observed[outside],
            y[outside],
            "o",
            mfc="none",
            mec=VERMILLION,
            mew=1.8,
            ms=11,
            label="outside of 90 %",
        )
    shown = np.concatenate([observed, bands.ravel()])
    if spans_magnitudes(shown):
        axes.set_xscale("log")
        plain_log(axes.xaxis)
    indices = [tuple(int(i) for i in index) for index in np.ndindex(check.target.observed.shape)]
    axes.set_yticks(y, [wrapped(check.place(index), 16) for index in indices])
    axes.set_ylim(-0.7, len(observed) - 0.5)
    axes.set_xlabel(wrapped(check.target.output, 44))
    axes.margins(x=0.06)
    legend_above(axes, 3)


def convergence(findings: Findings) -> Picture:
    """Believed best and observed losses by round, the winner's fresh value and the noise floor."""
    history, believed, best = findings.result.history, findings.believed, findings.result.best
    end = float(history["round"].max()) + 1.5

    def paint(axes: Axes) -> None:
        losses = history["loss"].to_numpy()
        if spans_magnitudes(np.append(losses, best.noise_floor)):
            axes.set_yscale("log")
        for searched, colour, label in ((False, GREY, "first design"), (True, BLUE, "search")):
            rows = history[(history["purpose"] == "search") == searched]
            place = rows.groupby("round").cumcount() / rows.groupby("round")["round"].transform("size")
            axes.errorbar(
                rows["round"] + 0.7 * (place - 0.5), rows["loss"], yerr=rows["loss_se"].fillna(0),
                fmt=".", color=colour, ms=4, elinewidth=0.6, alpha=0.6, label=label,
            )  # fmt: skip
        axes.plot(believed["round"], believed["mean"], color=ORANGE, lw=2, label="believed best")
        axes.fill_between(
            believed["round"],
            believed["mean"] - believed["sd"],
            believed["mean"] + believed["sd"],
            color=ORANGE,
            alpha=0.35,
            lw=0,
        )
        axes.errorbar(
            [end], [best.loss], yerr=[2 * np.nan_to_num(best.loss_se)],
            fmt="*", color=VERMILLION, ms=12, elinewidth=1.5, label="best fit, fresh runs",
        )  # fmt: skip
        if np.isfinite(best.noise_floor):
            axes.axhline(best.noise_floor, color="black", ls="--", lw=1, label="noise floor")
        if axes.get_yscale() == "log":
            plain_log(axes.yaxis)
        ticks = [t for t in axes.get_xticks() if t == int(t) and 0 <= t < end - 1]
        axes.set_xticks([*ticks, end], [f"{t:.0f}" for t in ticks] + ["fresh"])
        axes.set_xlabel("round of the search (0: first design)")
        axes.set_ylabel(wrapped(f"mean {loss_title(findings)}"))
        legend_above(axes, 3)

    last = believed.iloc[-1]
    return picture(
        "convergence",
        f"Losses by round: the believed best ends at {number(last['mean'])} after round {int(last['round'])}, the "
        f"best fit has {number(best.loss)} on fresh runs, the noise floor is {number(best.noise_floor)}.",
        "Each dot is one parameter set, the mean over its runs; bars are one standard error, two for the best fit. "
        "The orange line is the lowest mean loss that the emulator believed in after each round, with its standard "
        "deviation; it may rise where a lucky set turns out worse. The star comes from runs that the search never "
        "saw.",
        paint,
        height=4.2,
    )


def sensitivity(findings: Findings) -> list[Picture]:
    """First-order and total Sobol indices with intervals and the dummy line, over the prior and over what is left."""
    places = {"the prior": findings.sobol, "what is not ruled out": findings.sobol_left}
    return [_sensitivity(result, place) for place, result in places.items() if result is not None]


def _sensitivity(result: SobolResult, place: str) -> Picture:
    table = result.table.sort_values("total", kind="stable")
    share = result.seed_share

    def paint(axes: Axes) -> None:
        y = np.arange(len(table)) + 1.0
        for kind, colour, marker, shift in (("total", VERMILLION, "D", 0.15), ("first", BLUE, "o", -0.15)):
            value = table[kind].to_numpy()
            low, high = (table[f"{kind}_{end}"].clip(0, 1) for end in ("low", "high"))
            around = np.maximum(0, [value - low, high - value])
            label = "total" if kind == "total" else "first order"
            axes.errorbar(
                value, y + shift, xerr=around, fmt=marker, color=colour, ms=5, elinewidth=1.4, label=label
            )
        names = [wrapped(name, 20) for name in table["parameter"]]
        if share is not None:
            ends = [[share.share - share.low], [share.high - share.share]]
            axes.errorbar([share.share], [0], xerr=ends, fmt="s", color=GREY, ms=5, label="random seed")
            y, names = np.append(0.0, y), ["random seed", *names]
        if result.dummy is not None:
            line = float(result.dummy["line"].iloc[0])
            axes.axvline(line, color="black", ls="--", lw=1, label="dummy parameter")
        axes.axvline(0, color=GREY, lw=0.6)
        axes.set_yticks(y, names)
        axes.set_ylim(y[0] - 0.6, y[-1] + 0.6)
        axes.set_xlabel(f"share of the loss's variance over {place}\n(bars: {result.label})")
        legend_above(axes, 3)

    named = [f"{row.parameter} {row.total:.2f}" for row in table[::-1].head(4).itertuples()]
    seed = (
        ""
        if share is None
        else f" The random seed alone makes {percent(share.share)} of a single run's variance."
    )
    box = " (the smallest box around it, since indices need independent parameters)" if result.within else ""
    return picture(
        "sensitivity" if not result.within else "sensitivity-left",
        f"Sobol indices of the loss over {place}. Largest total indices: {', '.join(named)}.",
        f"Sobol' indices of the emulated mean loss on its {result.scale} scale, over {place}{box}. Bars are "
        f"{100 * result.level:g} % intervals, cut to 0 to 1, and hold {result.label}. A dummy parameter that does "
        "nothing shows what sampling alone produces: a first-order index left of the dashed line cannot be told from "
        f"zero.{seed}",
        paint,
        height=2.4 + 0.3 * len(table),
    )


def emulator_checks(findings: Findings, emulator: str, file: str) -> list[Picture]:
    """Observed against leave-one-out prediction, and standardised residuals, of one emulator."""
    fitted = findings.result.emulators[emulator]
    left_out = fitted.leave_one_out()
    observed, mean, sd, z = (left_out[name].to_numpy() for name in ("observed", "mean", "sd", "z"))
    inside = np.abs(z) <= 1.645
    scale = emulated_as(fitted)

    def predicted(axes: Axes) -> None:
        ends = [min(observed.min(), mean.min()), max(observed.max(), mean.max())]
        axes.plot(ends, ends, color="black", lw=1, ls="--", label="perfect prediction")
        axes.errorbar(
            mean,
            observed,
            xerr=1.645 * sd,
            fmt=".",
            color=BLUE,
            ms=5,
            elinewidth=0.6,
            alpha=0.7,
            label="parameter set, 90 % interval",
        )
        axes.set_xlabel(f"predicted from all other sets: {scale}, y the loss")
        axes.set_ylabel(f"observed mean of {scale}")
        legend_above(axes)

    def residuals(axes: Axes) -> None:
        axes.axhspan(-1.645, 1.645, color=SKY, alpha=0.3, lw=0, label="90 % should lie here")
        axes.axhline(0, color="black", lw=0.8)
        axes.plot(mean[inside], z[inside], ".", color=BLUE, ms=6)
        axes.plot(
            mean[~inside],
            z[~inside],
            "x",
            color=VERMILLION,
            ms=5,
            label=f"outside: {np.mean(~inside):.0%}".replace("%", " %"),
        )
        axes.set_xlabel(f"predicted from all other sets: {scale}, y the loss")
        axes.set_ylabel("residual in standard deviations")
        legend_above(axes)

    return [
        picture(
            f"predicted-{file}",
            f"Observed against leave-one-out predicted losses of {emulator} at {len(z)} parameter sets; "
            f"{inside.mean():.0%} of the 90 % intervals hold the observed value.",
            f"{emulator}: each parameter set predicted from all others, against what its runs gave.",
            predicted,
        ),
        picture(
            f"residuals-{file}",
            f"Standardised leave-one-out residuals of {emulator}: sd {z.std(ddof=1):.2f}, largest "
            f"{np.abs(z).max():.1f}.",
            f"{emulator}: errors of those predictions in units of what the emulator claimed. A pattern from left to "
            "right, or a funnel, would mean that the emulator is wrong somewhere.",
            residuals,
        ),
    ]
