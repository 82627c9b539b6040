"""What the data can say of which parameter, before anything is fitted: sweeps over one and over two parameters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hetcal.report.canvas import BLUE, GREEN, ORANGE, VERMILLION, legend_above, plain_log
from hetcal.report.exhibits import Exhibit
from hetcal.simulators import SpatialABM, SpatialCMP
from hetcal.streams import generator
from hetcal.studies.three_cluster import COMPARED, REALISATIONS, TRUTH, chain
from hetcal.studies.three_cluster_exhibits_shared import Sizes, statistics_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hetcal.studies.answers import Answers

MODELS = {"ABM": SpatialABM, "CMP": SpatialCMP}
# What the parameters are multiplied by; beta has to be moved little to stay near the data.
FACTORS = {
    "beta": (0.94, 0.97, 1.0, 1.03, 1.06),
    "k": (0.5, 0.71, 1.0, 1.41, 2.0),
    "c": (0.67, 0.83, 1.0, 1.17, 1.33),
}
UNITS = {"beta": "beta, 1/day", "k": "k, share of contacts away from home", "c": "c, exponent of distance"}
DRAWN = {
    "c_inv_frac": ("share of runs that invade C", VERMILLION, "o"),
    "mean_AR_A": ("mean attack rate in A", GREEN, "s"),
    "mean_peak_A": ("mean day of the peak in A", BLUE, "D"),
    "std_peak_A": ("sd of the day of the peak in A", ORANGE, "^"),
}
STEP = 0.1  # the change of a parameter whose effect is told
RESAMPLES = 300


@dataclass(frozen=True, eq=False)
class Sweep:
    """Runs of one model at parameters that differ from the truth in one respect, all on the same seeds.

    Attributes
    ----------
    values : numpy.ndarray
        Of the parameter, (5,), the truth in the middle.
    outputs : dict of numpy.ndarray
        (5, seeds, ...).
    at_truth : dict of numpy.ndarray
        Of more runs at the truth, (seeds, ...), from which sampling errors are known.
    """

    parameter: str
    values: np.ndarray
    outputs: dict[str, np.ndarray]
    at_truth: dict[str, np.ndarray]

    @property
    def seeds(self) -> int:
        """Seeds a parameter set."""
        return self.outputs["invaded_C"].shape[1]

    def change(self, what: str, seeds: Any = slice(None)) -> float:
        """Change of a statistic when the parameter grows by a tenth, by a parabola through the sweep of these seeds."""
        x = np.log(self.values / TRUTH[self.parameter])
        output = COMPARED[what].output
        found = statistics_of({output: self.outputs[output][:, seeds]}, what)
        return float(np.polynomial.polynomial.polyfit(x, found, 2)[1] * np.log1p(STEP))

    def sampling_error(self, what: str) -> float:
        """Standard deviation of a statistic over sets of 20 runs at the truth, drawn with replacement."""
        output = COMPARED[what].output
        runs = self.at_truth[output]
        drawn = generator(0, "bootstrap").integers(0, len(runs), (RESAMPLES, REALISATIONS))
        return float(statistics_of({output: runs[drawn]}, what).std(ddof=1))


def sweep(answers: Answers, kind: str, parameter: str, sizes: Sizes) -> Sweep:
    """Sweep one parameter around the truth.

    Parameters
    ----------
    answers : Answers
    kind : {"ABM", "CMP"}
    parameter : {"beta", "k", "c"}
    sizes : Sizes

    Returns
    -------
    Sweep
    """
    values = TRUTH[parameter] * np.array(FACTORS[parameter])
    design = pd.DataFrame([TRUTH] * len(values)).assign(**{parameter: values})
    model = chain(MODELS[kind])
    more = answers.simulate(model, pd.DataFrame([TRUTH]), sizes.truth)
    outputs = answers.simulate(model, design, sizes.sweep, common=True)
    return Sweep(parameter, values, outputs, {name: found[0] for name, found in more.items()})


def sensitivities(sweeps: dict[str, dict[str, Sweep]]) -> pd.DataFrame:
    """What a tenth more of each parameter does to each statistic.

    Parameters
    ----------
    sweeps : dict
        By model, then by parameter.

    Returns
    -------
    pandas.DataFrame
        model, statistic, parameter, change (in the statistic's own unit), change_se (bootstrap over the seeds that
        all points of a sweep share), sampling_error (of 20 runs), effect (change over sampling_error), effect_se.
    """
    rows = []
    for model, by_parameter in sweeps.items():
        for what in COMPARED:
            for parameter, one in by_parameter.items():
                drawn = generator(1, "bootstrap").integers(0, one.seeds, (RESAMPLES, one.seeds))
                error = np.std([one.change(what, seeds) for seeds in drawn], ddof=1)
                size, change = one.sampling_error(what), one.change(what)
                rows.append((model, what, parameter, change, error, size, change / size, error / size))
    columns = "model statistic parameter change change_se sampling_error effect effect_se".split()
    return pd.DataFrame(rows, columns=columns)


def one_by_one(answers: Answers, sizes: Sizes) -> Exhibit:
    """Which statistic moves with which parameter."""
    sweeps = {model: {p: sweep(answers, model, p, sizes) for p in FACTORS} for model in MODELS}
    table = sensitivities(sweeps)
    of = table.set_index(["model", "statistic", "parameter"])["effect"]["ABM"]
    text = (
        "Before anything is fitted: what 20 outbreaks could tell. A tenth more beta moves the peak in A by "
        f"{abs(of['mean_peak_A', 'beta']):.0f} sampling errors and the attack rate there by "
        f"{abs(of['mean_AR_A', 'beta']):.0f}, so beta will be known well. A tenth more k moves the peak by "
        f"{abs(of['mean_peak_A', 'k']):.1f} and the share of invaded ends by {abs(of['c_inv_frac', 'k']):.1f}; a "
        f"tenth more c moves that share by {abs(of['c_inv_frac', 'c']):.1f} and the peak by "
        f"{abs(of['mean_peak_A', 'c']):.1f}. So all that is known of c comes from whether C is invaded, yes or no, "
        "20 times; other statistics that seem to move with it follow the same share."
    )
    figures = {}
    for parameter, called in (("beta", "Beta"), ("k", "k"), ("c", "c")):
        caption = (
            f"{called} (ABM drawn through, CMP dashed), all else at the truth, {sizes.sweep} common seeds a point. "
            "One sampling error is what a statistic of 20 runs is off by through chance; in the grey band nothing "
            "is seen."
        )
        figures[caption] = partial(_paint_sweep, sweeps={m: s[parameter] for m, s in sweeps.items()})
    caption = "Effect of a tenth more of a parameter, in sampling errors of 20 runs. Pale: less than one."
    figures[caption] = partial(_paint_effects, table=table)
    return Exhibit("What moves with what", text, figures, _wide(table), _NOTE)


_NOTE = (
    "Change of each statistic when a parameter grows by a tenth, ± standard error: days for peaks, percentage "
    "points for all others"
)


def _wide(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for what, of in COMPARED.items():
        row: dict[str, Any] = {"statistic": of.label}
        for one in table[table["statistic"] == what].itertuples():
            scale = 1 if "peak" in what else 100
            row[f"{one.model}, {one.parameter}"] = f"{scale * one.change:+.2f} ± {scale * one.change_se:.2f}"
        rows.append(row)
    return pd.DataFrame(rows)


def _paint_sweep(axes: Axes, sweeps: dict[str, Sweep]) -> None:
    axes.figure.set_figheight(4.4)
    axes.axhspan(-1, 1, color="#dddddd", lw=0)
    for model, one in sweeps.items():
        for what, (label, colour, marker) in DRAWN.items():
            found = statistics_of(one.outputs, what)
            z = (found - found[len(found) // 2]) / one.sampling_error(what)
            line = "-" if model == "ABM" else "--"
            axes.plot(
                one.values,
                z,
                line,
                color=colour,
                marker=marker,
                ms=5,
                label=label if model == "ABM" else None,
            )
    axes.set_yscale("symlog", linthresh=2, linscale=1)
    ticks = [-100, -10, -2, -1, 0, 1, 2, 10, 100]
    axes.set_yticks(ticks, [f"{tick:+d}" if tick else "0" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylabel("change, sampling errors of 20 runs")
    axes.set_xlabel(UNITS[one.parameter])
    if one.parameter == "k":
        axes.set_xscale("log")
        plain_log(axes.xaxis)
    legend_above(axes, 1)


def _paint_effects(axes: Axes, table: pd.DataFrame) -> None:
    axes.figure.set_figheight(4.4)
    wide = table.pivot(index="statistic", columns=["model", "parameter"], values="effect")
    columns = [(model, parameter) for model in MODELS for parameter in FACTORS]
    values = wide.loc[list(COMPARED), columns].to_numpy()
    axes.imshow(np.clip(values, -5, 5), cmap="PuOr", vmin=-7, vmax=7, aspect="auto")
    for i, j in np.ndindex(*values.shape):
        size = abs(values[i, j])
        number = "0" if size < 0.05 else f"{values[i, j]:+.0f}" if size >= 9.95 else f"{values[i, j]:+.1f}"
        axes.text(
            j, i, number, ha="center", va="center", fontsize=9.5, color="white" if size > 4 else "black"
        )
    axes.axvline(2.5, color="black", lw=1.5)
    axes.set_xticks(range(6), [f"{parameter}\n{model}" for model, parameter in columns])
    axes.set_yticks(range(len(COMPARED)), [_two_lines(of.label) for of in COMPARED.values()])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _two_lines(label: str) -> str:
    words = label.split()
    half = (len(words) + 1) // 2
    return " ".join(words[:half]) + "\n" + " ".join(words[half:])


def surface(answers: Answers, kind: str, sizes: Sizes) -> tuple[pd.DataFrame, Any, Any]:
    """Runs over k and c, and what is fitted to them.

    Returns
    -------
    runs : pandas.DataFrame
        k, c, invaded, peak: a row a run.
    invasion, peak : functions
        Of arrays k and c: the share of runs that invade C by a logistic regression, and the mean day of the peak in A
        by least squares, both on log k, c and their product.
    """
    from statsmodels.api import GLM, OLS
    from statsmodels.genmod.families import Binomial

    k, c = np.meshgrid(*(TRUTH[name] * np.array(FACTORS[name]) for name in ("k", "c")), indexing="ij")
    grid = pd.DataFrame({"k": k.ravel(), "c": c.ravel()}).assign(beta=TRUTH["beta"])
    on_axes = (grid["k"] == TRUTH["k"]) | (grid["c"] == TRUTH["c"])
    parts = []
    for design, seeds in ((grid[on_axes], sizes.sweep), (grid[~on_axes], sizes.corner)):
        found = answers.simulate(chain(MODELS[kind]), design, seeds, common=True)
        part = design.loc[design.index.repeat(seeds), ["k", "c"]]
        parts.append(part.assign(invaded=found["invaded_C"].ravel(), peak=found["peak_day_A"].ravel()))
    runs = pd.concat(parts, ignore_index=True)
    terms = _terms(runs["k"].to_numpy(), runs["c"].to_numpy())
    share = GLM(runs["invaded"].to_numpy(), terms, family=Binomial()).fit()
    day = OLS(runs["peak"].to_numpy(), terms).fit()
    return runs, lambda k, c: share.predict(_terms(k, c)), lambda k, c: day.predict(_terms(k, c))


def _terms(k: np.ndarray, c: np.ndarray) -> np.ndarray:
    u, v = np.log(k / TRUTH["k"]), c - TRUTH["c"]
    return np.column_stack([np.ones(len(u)), u, v, u * v])


def two_at_once(answers: Answers, sizes: Sizes) -> Exhibit:
    """How k and c stand in for each other."""
    found = {model: surface(answers, model, sizes) for model in MODELS}
    _, invasion, peak = found["ABM"]
    at = np.array([TRUTH["k"]] * 3), np.array([1.4, 1.5, 1.6])
    other = np.array([0.9, 1.0, 1.1]) * TRUTH["k"], np.array([TRUTH["c"]] * 3)
    slope_c, slope_k = (np.diff(_logit(invasion(*points))[[0, 2]])[0] for points in (at, other))
    ratio = -slope_k / np.log(1.1 / 0.9) / (slope_c / 0.2) * np.log(2)
    days = (peak(*other)[2] - peak(*other)[0]) / np.log(1.1 / 0.9) * np.log(2)
    text = (
        f"Twice as many contacts away from home (k) and an exponent of distance (c) that is {ratio:.1f} larger "
        "invade C equally often: along such a line the invaded share cannot tell them apart. The peak in A can, for "
        f"it comes {-days:.0f} days earlier with twice the k whatever c is. The cheap model (CMP) sees the same "
        "valley, but its peaks come two weeks later: fitted to the same data it answers with another k."
    )
    figures = {}
    for model, (runs, invades, peaks) in found.items():
        caption = (
            f"{model}: share of runs that invade C (colours) and mean day of the peak in A (dashed lines), fitted to "
            f"{len(runs):,} runs at 25 parameter sets (dots). Star: the truth."
        )
        figures[caption] = partial(_paint_surface, runs=runs, invasion=invades, peak=peaks)
    return Exhibit("How k and c stand in for each other", text, figures)


def _logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def _paint_surface(axes: Axes, runs: pd.DataFrame, invasion: Any, peak: Any) -> None:
    k, c = np.meshgrid(np.geomspace(0.005, 0.02, 60), np.linspace(1.0, 2.0, 60))
    of_k, of_c = k.ravel(), c.ravel()
    share = 100 * invasion(of_k, of_c).reshape(k.shape)
    filled = axes.contourf(k, c, share, levels=np.linspace(0, 100, 11), cmap="Blues")
    day = peak(of_k, of_c).reshape(k.shape)
    days = axes.contour(k, c, day, levels=5, colors="black", linestyles="--", linewidths=1)
    top = int(0.86 * len(c))  # where the colours are pale
    places = [(k[top, abs(day[top] - level).argmin()], c[top, 0]) for level in days.levels]
    inside = [place for place in places if 0.0055 < place[0] < 0.0185]
    axes.clabel(days, fmt="day %d", fontsize=9, manual=inside)
    points = runs[["k", "c"]].drop_duplicates()
    axes.plot(points["k"], points["c"], "o", mfc="white", mec="black", ms=3.5)
    axes.plot(TRUTH["k"], TRUTH["c"], "*", mfc=ORANGE, mec="black", ms=15)
    axes.set_xscale("log")
    plain_log(axes.xaxis)
    axes.set_xlabel(UNITS["k"])
    axes.set_ylabel(UNITS["c"])
    axes.figure.colorbar(filled, ax=axes, label="runs that invade C, %", ticks=range(0, 101, 20))
