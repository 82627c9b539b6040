"""Figures of a posterior: predictive bands, marginals and pairs, placement, decisions, rank plots."""

from __future__ import annotations

from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from hetcal.checks.ecdf import ecdf_band
from hetcal.report.canvas import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    VERMILLION,
    Picture,
    legend_above,
    picture,
    plain_log,
    wrapped,
)
from hetcal.report.part import file_names
from hetcal.report.words import called, capital, data_of, is_logarithmic, listed, quantity, value_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from hetcal.parameters import Parameter
    from hetcal.report.posterior_findings import PosteriorFindings
    from hetcal.observed import Observed

_SHOWN = 4  # parameters whose pairs are drawn where there are more
_DOTS = 1000
CURVES = (BLUE, VERMILLION, GREEN, ORANGE, GREY, "#CC79A7", "black")
LEVELS = {
    "free": "runs that are there, their location forgotten by the emulators",
    "local": "truths drawn from the posterior",
    "prior": "truths drawn from the prior",
    "box": "truths drawn from the part of the prior that the emulators learned",
}


def bands(findings: PosteriorFindings) -> list[Picture]:
    """Data of each target with what fresh runs at posterior draws show."""
    return [] if findings.predictive is None else bands_of(findings, list(findings.predictive.bands))


def bands_of(findings: PosteriorFindings, names: list[str]) -> list[Picture]:
    """`bands` of some of the targets."""
    predictive = findings.predictive
    assert predictive is not None
    targets = {target.name: target for target in findings.result.problem.targets}
    files = file_names(list(predictive.bands))
    pictures = []
    for name in names:
        table = predictive.bands[name]
        missed = table[(table["observed"] < table["low_all"]) | (table["observed"] > table["high_all"])]
        named = listed(missed["name"].tolist()) if 0 < len(missed) <= 6 and len(table) > 1 else ""
        outside = _outside(len(missed), len(table))
        held = " Held out: it had no part in the fit." if targets[name].weight == 0 else ""
        pictures.append(
            picture(
                f"predictive-{files[name]}",
                f"{data_of(targets[name])} and what the posterior predicts; {outside}.",
                f"{capital(data_of(targets[name]))}: data and what {predictive.n} fresh "
                f"{findings.words.FRESH} at draws from the posterior show; {outside}"
                f"{f' ({named})' if named else ''}.{held}",
                partial(_band, table=table, target=targets[name]),
                height=3.7 if len(table) > 4 else 1.6 + 0.4 * len(table),
            )
        )
    return pictures


def _outside(missed: int, size: int) -> str:
    if size == 1:
        return "the datum lies outside of the wide band" if missed else "the datum lies within the bands"
    return f"{missed} of {size} data points outside of the wide band"


def _band(axes: Axes, table: pd.DataFrame, target: Observed) -> None:
    observed = table["observed"].to_numpy()
    outside = ((observed < table["low_all"]) | (observed > table["high_all"])).to_numpy()
    kinds = (("all", 0.2, "95 %, all at once"), ("90", 0.35, "90 %, each"), ("50", 0.6, "50 %, each"))
    x = np.arange(len(table))
    if len(table) > 4:
        for kind, alpha, label in kinds:
            axes.fill_between(
                x, table[f"low_{kind}"], table[f"high_{kind}"], color=SKY, alpha=alpha, lw=0, label=label
            )
        axes.plot(x, observed, "o", color="black", ms=4.5, label="data")
        axes.plot(
            x[outside], observed[outside], "o", mfc="none", mec=VERMILLION, mew=1.8, ms=10, label="outside"
        )
        if target.is_series:
            axes.set_xlabel("day")
        else:
            axes.set_xticks(x, table["name"], rotation=90, fontsize=8)
        axes.set_ylabel(wrapped(data_of(target), 30))
    else:
        y = x[::-1]
        for (kind, _, label), width, colour in zip(kinds, (3, 6, 10), (GREY, SKY, BLUE), strict=True):
            axes.hlines(y, table[f"low_{kind}"], table[f"high_{kind}"], color=colour, lw=width, label=label)
        axes.plot(observed, y, "o", color="black", ms=6, label="data")
        axes.plot(
            observed[outside], y[outside], "o", mfc="none", mec=VERMILLION, mew=1.8, ms=11, label="outside"
        )
        axes.set_yticks(y, table["name"])
        axes.set_ylim(-0.6, len(table) - 0.4)
        axes.set_xlabel(wrapped(data_of(target), 44))
    legend_above(axes, 3)


def marginals(findings: PosteriorFindings) -> list[Picture]:
    """Each parameter's posterior with its prior, and with the exact posterior where there is one."""
    result = findings.result
    files = file_names(list(result.problem.space.names))
    table = result.intervals(0.9).set_index("parameter")
    pictures = []
    for parameter in result.problem.space.parameters:
        low, high = table.loc[parameter.name, ["low", "high"]]
        exact = "" if findings.anchor is None else " Outlined: the exact posterior, by a particle filter."
        pictures.append(
            picture(
                f"posterior-{files[parameter.name]}",
                f"Posterior of {parameter.name}: 90 % between {value_of(parameter, low, high - low)} and "
                f"{quantity(parameter, high, high - low)}.",
                f"{capital(called(parameter)) if parameter.label else parameter.name}: posterior and, dashed, prior. "
                "90 % of the posterior lie between "
                f"{value_of(parameter, low, high - low)} and {quantity(parameter, high, high - low)}.{exact}",
                partial(_marginal, findings=findings, parameter=parameter),
                height=2.6,
            )
        )
    return pictures


def _marginal(axes: Axes, findings: PosteriorFindings, parameter: Parameter) -> None:
    draws = findings.result.samples[parameter.name].to_numpy()
    exact = None if findings.anchor is None else findings.anchor.samples[parameter.name].to_numpy()
    everything = draws if exact is None else np.concatenate([draws, exact])
    low, high = np.quantile(everything, [0.001, 0.999])
    edges = np.linspace(low, high, 41)
    if is_logarithmic(parameter):
        edges = np.geomspace(low, high, 41)
        axes.set_xscale("log")
        plain_log(axes.xaxis)
    else:
        # Five digits of a narrow interval need room.
        axes.locator_params(axis="x", nbins=5)
    axes.hist(draws, bins=edges, density=True, color=SKY, alpha=0.8, label="posterior")
    if exact is not None:
        axes.hist(
            exact, bins=edges[::2], density=True, histtype="step", color=VERMILLION, lw=1.6, label="exact"
        )
    axes.plot(edges, parameter.prior.pdf(edges), "--", color=GREY, lw=1.2, label="prior")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(wrapped(f"{called(parameter)}{f' [{parameter.unit}]' if parameter.unit else ''}", 44))
    legend_above(axes, 3)


def pairs(findings: PosteriorFindings) -> list[Picture]:
    """Draws from the posterior, a figure a pair of parameters; the most correlated ones where they are many."""
    result, space = findings.result, findings.result.problem.space
    correlation = np.atleast_2d(np.corrcoef(space.to_unit(result.samples.to_numpy()).T))
    chosen = list(combinations(range(space.dimension), 2))
    if len(chosen) > _SHOWN * (_SHOWN - 1) // 2:
        chosen.sort(key=lambda pair: -abs(correlation[pair]))
        chosen = chosen[: _SHOWN * (_SHOWN - 1) // 2]
    files = file_names(list(space.names))
    pictures = []
    for i, j in chosen:
        a, b = space.parameters[i], space.parameters[j]
        value = float(correlation[i, j])
        pictures.append(
            picture(
                f"pair-{files[a.name]}-{files[b.name]}",
                f"Posterior draws of {a.name} and {b.name}; correlation {value:.2f}.",
                f"{a.name} and {b.name}: draws from the posterior; their correlation is {value:.2f}.",
                partial(_pair, findings=findings, a=a, b=b),
            )
        )
    return pictures


def _pair(axes: Axes, findings: PosteriorFindings, a: Parameter, b: Parameter) -> None:
    draws = findings.result.samples[:_DOTS]
    axes.plot(draws[a.name], draws[b.name], ".", color=BLUE, ms=3, alpha=0.4, label="posterior")
    if findings.anchor is not None:
        exact = findings.anchor.samples[:_DOTS]
        axes.plot(
            exact[a.name], exact[b.name], ".", color=VERMILLION, ms=2.5, alpha=0.35, label="exact posterior"
        )
    for axis, parameter, scale in ((axes.xaxis, a, axes.set_xscale), (axes.yaxis, b, axes.set_yscale)):
        if is_logarithmic(parameter):
            scale("log")
            plain_log(axis)
        else:
            axis.get_major_locator().set_params(nbins=5)
        axis.set_label_text(
            wrapped(f"{called(parameter)}{f' [{parameter.unit}]' if parameter.unit else ''}", 36)
        )
    legend_above(axes)


def placement(findings: PosteriorFindings) -> Picture | None:
    """How the intervals moved from round to round; none where there was one round only."""
    result = findings.result
    history = result.history
    if len(history) < 2:
        return None
    space = result.problem.space

    def paint(axes: Axes) -> None:
        for j, parameter in enumerate(space.parameters[: len(CURVES)]):
            ends = history[[f"{parameter.name} low", f"{parameter.name} high"]].to_numpy()
            points = np.tile(np.full(space.dimension, 0.5), (2 * len(ends), 1))
            points = space.from_unit(points)
            points[:, j] = ends.T.ravel()
            low, high = space.to_unit(points)[:, j].reshape(2, -1)
            axes.fill_between(history["runs"], low, high, color=CURVES[j], alpha=0.25, lw=0)
            axes.plot(history["runs"], low, color=CURVES[j], lw=1.4, label=parameter.name)
            axes.plot(history["runs"], high, color=CURVES[j], lw=1.4)
        axes.set_ylim(0, 1)
        axes.set_xlabel("simulator runs so far")
        axes.set_ylabel("90 % interval, as probability\nunder the prior")
        legend_above(axes, 3)

    last = history.iloc[-1]
    return picture(
        "placement",
        f"Intervals by runs, over {len(history)} rounds, up to {int(last['runs'])} runs.",
        "The 90 % interval of each parameter after each round, on the scale of the prior (0 to 1). New runs go where "
        f"the likelihood is uncertain in the middle of the posterior. The placement ended: {result.stopped}.",
        paint,
    )


def ranks(findings: PosteriorFindings) -> list[Picture]:
    """Where the truths of simulated data sets stand in their posteriors, a figure a level of the self-test."""
    test = findings.recovery
    if test is None:
        return []
    return [
        picture(
            f"ranks-{level}",
            f"Ranks of the truth among posterior draws, level {level}: excess over what uniform ranks give.",
            f"Self-test, {LEVELS[level]}: how many truths stand below each share of their posterior's draws, less what "
            "is expected. Right intervals keep every curve inside the band 95 times in 100; a curve that first rises "
            "above it and then falls below means intervals that are too narrow.",
            partial(_ranks, ranks=part, draws=test.draws),
        )
        for level, part in test.ranks.groupby("level", sort=False)
    ]


def _ranks(axes: Axes, ranks: pd.DataFrame, draws: int) -> None:
    n = int(ranks.groupby("parameter").size().max())
    band = ecdf_band(n, draws)
    z = band["z"].to_numpy()
    axes.fill_between(
        z, band["low"] - z, band["high"] - z, color=SKY, alpha=0.35, lw=0, label="95 % envelope"
    )
    axes.axhline(0, color=GREY, lw=0.8)
    for colour, (name, part) in zip(CURVES, ranks.groupby("parameter", sort=False), strict=False):
        below = np.searchsorted(np.sort(part["rank"]), z * (draws + 1)) / len(part)
        axes.plot(z, below - z, color=colour, lw=1.4, label=name)
    axes.set_xlabel("share of posterior draws")
    axes.set_ylabel("share of truths below, less expected")
    legend_above(axes, 3)


def effects(findings: PosteriorFindings) -> Picture | None:
    """The outcome of each scenario over the posterior."""
    scenarios = findings.scenarios
    if scenarios is None:
        return None
    table, outcome = scenarios.table, scenarios.outcome
    event = bool(set(np.unique(table[["low", "high"]])) <= {0.0, 1.0} and table["mean"].between(0, 1).all())
    names = table["scenario"].tolist()

    def paint(axes: Axes) -> None:
        y = np.arange(len(names))[::-1]
        if not event:
            axes.hlines(y, table["low"], table["high"], color=SKY, lw=5, label="90 % of single outbreaks")
        axes.hlines(
            y,
            table["expected_low"],
            table["expected_high"],
            color=BLUE,
            lw=9,
            label="expectation, 90 % interval",
        )
        axes.plot(table["mean"], y, "o", color="black", ms=6, label="mean")
        axes.set_yticks(y, [wrapped(name, 22) for name in names])
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlabel(wrapped(f"probability of {outcome}" if event else outcome, 44))
        legend_above(axes, 2)

    told = "" if event else "Light bars: single outbreaks, chance and parameters together. "
    best = table.set_index("scenario")["best"]
    return picture(
        "scenarios",
        f"{scenarios.outcome} under {len(names)} scenarios; best is {scenarios.best}, probability "
        f"{best[scenarios.best]:.2f}.",
        f"{scenarios.outcome} under each scenario. {told}Dark bars: its expectation, which is uncertain as far as the "
        "parameters are.",
        paint,
        height=1.9 + 0.45 * len(names),
    )
