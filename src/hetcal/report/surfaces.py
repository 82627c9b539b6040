"""The emulated loss over the space: a surface a pair of parameters, or a curve for a single one."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from hetcal.calibrate.not_ruled_out import implausibility
from hetcal.report.canvas import (
    BLUE,
    GREY,
    ORANGE,
    SKY,
    SURFACE,
    VERMILLION,
    Picture,
    legend_above,
    picture,
    plain_log,
    spans_magnitudes,
    wrapped,
)
from hetcal.report.words import is_logarithmic, loss_title, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

    from hetcal.report.findings import Findings

_SHOWN = 4  # parameters whose pairs are drawn where there are more
_GRID = 61
_LEVELS = 21
_THRESHOLD = 3.0  # implausibility of what is not ruled out


def loss_pictures(findings: Findings) -> list[Picture]:
    """The loss as the emulator has it: surfaces of pairs, or a curve where there is one parameter."""
    if findings.result.problem.space.dimension == 1:
        return [_curve(findings)]
    return _surfaces(findings)


def shown(findings: Findings) -> list[str]:
    """Parameters whose pairs are drawn: all where they are few, else the most sensitive."""
    names = findings.result.problem.space.names
    chosen = names if len(names) <= _SHOWN else findings.ranked[:_SHOWN]
    return [name for name in names if name in chosen]


def _unit_axis(findings: Findings, j: int) -> np.ndarray:
    """Grid of one unit coordinate, cut short of the ends of unbounded priors."""
    low, high = findings.result.problem.space.parameters[j].prior.support()
    return np.linspace(0.0 if np.isfinite(low) else 0.005, 1.0 if np.isfinite(high) else 0.995, _GRID)


def _natural(findings: Findings, j: int, unit: np.ndarray) -> np.ndarray:
    """Natural units of one unit coordinate."""
    space = findings.result.problem.space
    points = np.full((len(unit), space.dimension), 0.5)
    points[:, j] = unit
    return space.from_unit(points)[:, j]


def _winner(findings: Findings) -> np.ndarray:
    """The winner in the unit cube, (1, d)."""
    space = findings.result.problem.space
    return space.to_unit(space.array(findings.result.best.theta))


def _surfaces(findings: Findings) -> list[Picture]:
    result, space = findings.result, findings.result.problem.space
    winner = _winner(findings)
    pairs = list(combinations([space.names.index(name) for name in shown(findings)], 2))
    slices = {}
    for i, j in pairs:
        u, v = _unit_axis(findings, i), _unit_axis(findings, j)
        points = np.repeat(winner, len(u) * len(v), axis=0)
        points[:, i], points[:, j] = np.tile(u, len(v)), np.repeat(v, len(u))
        mean = result.emulator.predict(points).mean.reshape(len(v), len(u))
        distance = implausibility(result.emulator, points, winner, result.best).reshape(len(v), len(u))
        slices[i, j] = mean, distance
    norm = _norm(np.concatenate([mean.ravel() for mean, _ in slices.values()]))
    return [_surface(findings, i, j, *slices[i, j], norm) for i, j in pairs]


def _norm(values: np.ndarray) -> Normalize:
    from matplotlib.colors import LogNorm, Normalize

    kind = LogNorm if spans_magnitudes(values) else Normalize
    return kind(float(values.min()), float(values.max()))


def _levels(norm: Normalize) -> np.ndarray:
    """Steps of the colours, even on the norm's own scale."""
    levels = np.asarray(norm.inverse(np.linspace(0, 1, _LEVELS)))
    # Rounding must not leave the lowest and highest values without a colour.
    levels[0], levels[-1] = norm.vmin, norm.vmax
    return levels


def _surface(
    findings: Findings, i: int, j: int, mean: np.ndarray, distance: np.ndarray, norm: Normalize
) -> Picture:
    result, space = findings.result, findings.result.problem.space
    a, b = space.parameters[i], space.parameters[j]
    x, y = _natural(findings, i, _unit_axis(findings, i)), _natural(findings, j, _unit_axis(findings, j))
    theta = findings.result.history[list(space.names)].to_numpy()
    divided = bool(distance.min() <= _THRESHOLD < distance.max())
    useless = (result.history["valid"] == 0).to_numpy()

    def paint(axes: Axes) -> None:
        drawn = axes.contourf(x, y, mean, levels=_levels(norm), norm=norm, cmap=SURFACE)
        bar = axes.figure.colorbar(drawn, ax=axes, pad=0.02)
        bar.set_label(wrapped(f"mean {loss_title(findings)}", 30))
        if spans_magnitudes(np.array([norm.vmin, norm.vmax])):
            plain_log(bar.ax.yaxis)
        axes.plot(
            theta[~useless, i],
            theta[~useless, j],
            "o",
            mfc="white",
            mec="black",
            mew=0.5,
            ms=3.2,
            label="simulated",
        )
        if useless.any():
            axes.plot(
                theta[useless, i],
                theta[useless, j],
                "x",
                color=VERMILLION,
                ms=6,
                mew=2,
                label="every run failed" if len(result.emulators) == 1 else "no run with every loss",
            )
        if divided:
            axes.contour(x, y, distance, levels=[_THRESHOLD], colors="white", linestyles="--", linewidths=1.6)
        axes.plot(
            *([result.best.theta[p.name]] for p in (a, b)),
            "*",
            color=ORANGE,
            mec="black",
            ms=15,
            label="best fit",
        )
        for parameter, axis, scale in ((a, axes.xaxis, axes.set_xscale), (b, axes.yaxis, axes.set_yscale)):
            if is_logarithmic(parameter):
                scale("log")
                plain_log(axis)
        axes.set_xlim(x[0], x[-1])
        axes.set_ylim(y[0], y[-1])
        axes.set_xlabel(wrapped(a.title, 40))
        axes.set_ylabel(wrapped(b.title, 30))
        legend_above(axes, 3)

    lowest = np.unravel_index(np.argmin(mean), mean.shape)
    others = " The other parameters stand at the best fit." if space.dimension > 2 else ""
    line = ""
    if divided:
        line = " On the best fit's side of the white dashed lines nothing is ruled out yet"
        line += (
            "; the ranges in the table are wider, as they let the other parameters vary too."
            if others
            else "."
        )
    return picture(
        f"loss-{i}-{j}",
        f"Emulated mean loss over {a.title} and {b.title}: lowest, {number(mean.min())}, near "
        f"{number(x[lowest[1]])} and {number(y[lowest[0]])}; highest {number(mean.max())}.",
        f"{a.name} and {b.name}.{others}{line}",
        paint,
        height=4.1,
    )


def _curve(findings: Findings) -> Picture:
    result, (parameter,) = findings.result, findings.result.problem.space.parameters
    unit = _unit_axis(findings, 0)
    x = _natural(findings, 0, unit)
    prediction = result.emulator.predict(unit[:, None])
    sd = np.sqrt(prediction.mean_var)
    history = result.history

    def paint(axes: Axes) -> None:
        axes.fill_between(
            x,
            prediction.mean - 2 * sd,
            prediction.mean + 2 * sd,
            color=SKY,
            alpha=0.4,
            lw=0,
            label="its uncertainty (2 sd)",
        )
        axes.plot(x, prediction.mean, color=BLUE, lw=2, label="emulated mean")
        axes.errorbar(
            history[parameter.name],
            history["loss"],
            yerr=history["loss_se"].fillna(0),
            fmt=".",
            color=GREY,
            elinewidth=0.7,
            label="simulated",
        )
        axes.axvline(result.best.theta[parameter.name], color=VERMILLION, lw=1.2, ls="--", label="best fit")
        if is_logarithmic(parameter):
            axes.set_xscale("log")
            plain_log(axes.xaxis)
        if spans_magnitudes(prediction.mean):
            axes.set_yscale("log")
            plain_log(axes.yaxis)
        axes.set_xlabel(wrapped(parameter.title, 48))
        axes.set_ylabel(wrapped(f"mean {loss_title(findings)}"))
        legend_above(axes)

    return picture(
        "loss",
        f"Emulated mean loss over {parameter.title}: lowest, {number(prediction.mean.min())}, near "
        f"{number(x[np.argmin(prediction.mean)])}.",
        f"The emulated mean loss over {parameter.name}; dots are simulated means with one standard error.",
        paint,
        height=4.1,
    )
