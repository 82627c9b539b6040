"""What chance alone costs the published loss, and why that loss cannot rank what it finds."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hetcal.report.canvas import BLUE, GREY, ORANGE, VERMILLION, legend_above, plain_log
from hetcal.report.exhibits import Exhibit
from hetcal.streams import generator
from hetcal.studies.three_cluster import COMPARED, REALISATIONS, TRUTH, chain, reference
from hetcal.studies.three_cluster_exhibits_shared import Sizes, statistics_of
from hetcal.studies.three_cluster_exhibits_sweeps import FACTORS, UNITS
from hetcal.studies.three_cluster_variants import published

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hetcal.studies.answers import Answers

SEEDS = (12, 20, 60)
WINNERS = ("B", "F")
RESAMPLES = 1_000
COLOURS = dict(zip(SEEDS, (ORANGE, BLUE, VERMILLION)))


def losses(outputs: dict[str, np.ndarray], m: int, resamples: int, seed: int) -> np.ndarray:
    """Published losses of ensembles of m runs, each drawn with replacement from runs at one parameter set.

    Parameters
    ----------
    outputs : dict of numpy.ndarray
        Of the runs, by name, (seeds,).
    m, resamples : int
    seed : int
        Of the draws.

    Returns
    -------
    numpy.ndarray
        (resamples,).
    """
    total = len(outputs["invaded_C"])
    drawn = generator(seed, "bootstrap").integers(0, total, (resamples, m))
    observed = reference("as published").statistics
    ensembles = {of.output: outputs[of.output][drawn] for of in COMPARED.values()}
    missed = [(statistics_of(ensembles, what) - observed[what]) / of.scale for what, of in COMPARED.items()]
    return np.square(missed).sum(axis=0)


def profile(answers: Answers, sizes: Sizes) -> dict[int, np.ndarray]:
    """Losses along beta, all else at the truth: by number of seeds, (betas, resamples); the truth in the middle."""
    betas = TRUTH["beta"] * np.array(FACTORS["beta"])
    design = pd.DataFrame([TRUTH] * len(betas)).assign(beta=betas)
    away = design["beta"] != TRUTH["beta"]
    near = answers.simulate(chain(), design[~away], sizes.floor, common=True)
    far = answers.simulate(chain(), design[away], sizes.profile, common=True)
    each = [{n: v[i] for n, v in far.items()} for i in range(len(betas) - 1)]
    each.insert(len(betas) // 2, {n: v[0] for n, v in near.items()})
    return {m: np.array([losses(outputs, m, RESAMPLES, i) for i, outputs in enumerate(each)]) for m in SEEDS}


def noise_floor(answers: Answers, sizes: Sizes) -> Exhibit:
    """The published loss at the truth, and along beta."""
    along = profile(answers, sizes)
    middle = len(FACTORS["beta"]) // 2
    winners = published().set_index("variant")["loss"][list(WINNERS)]
    rows, wins = [], {}
    for m, values in along.items():
        floor = values[middle]
        wins[m] = float((values.argmin(axis=0) == middle).mean())
        low, median, high = np.quantile(floor, [0.05, 0.5, 0.95])
        rows.append(
            {
                "seeds": str(m),
                "median": median,
                "5 %": low,
                "95 %": high,
                **{
                    f"above the {loss:g} of {v}": f"{100 * (floor > loss).mean():.0f} %"
                    for v, loss in winners.items()
                },
                "true beta is lowest of five": f"{100 * wins[m]:.0f} %",
            }
        )
    table = pd.DataFrame(rows)
    floor = along[REALISATIONS][middle]
    worse = float((floor > winners["F"]).mean())
    few, many = min(wins), max(wins)
    text = (
        f"Even the true parameters do not get a loss of 0: with {REALISATIONS} seeds they get {np.median(floor):.1f} "
        f"at the median, and in {100 * worse:.0f} % of repeats they do worse than the best published winner "
        f"({winners['F']:g}). So a low loss does not say who is nearer to the truth. Of five values of beta the true "
        f"one has the lowest loss in {100 * wins[few]:.0f} % of repeats with {few} seeds and in "
        f"{100 * wins[many]:.0f} % with {many}; guessing would give 20 %. More seeds a trial help before more trials "
        "do."
    )
    floors = (
        "The published loss at the true parameters, by number of seeds: median and what 90 % of repeats give. "
        "Dashed: what the published winners were reported with."
    )
    beta = (
        "The loss along beta, all else at the truth: median and 90 % of repeats. Ranges of neighbours overlap, so "
        "one evaluation of each does not rank them."
    )
    figures = {
        floors: partial(_paint_floor, along=along, winners=winners),
        beta: partial(_paint_profile, along=along),
    }
    note = (
        "The published loss at the true parameters against the published reference, over 1,000 repeats; B and F are "
        "published winners"
    )
    return Exhibit("Why this loss cannot rank its winners", text, figures, table, note)


def _paint_floor(axes: Axes, along: dict[int, np.ndarray], winners: pd.Series) -> None:
    middle = len(FACTORS["beta"]) // 2
    for x, (m, values) in enumerate(along.items()):
        low, median, high = np.quantile(values[middle], [0.05, 0.5, 0.95])
        axes.vlines(x, low, high, color=COLOURS[m], lw=7)
        axes.plot(x, median, "o", color="white", mec="black", ms=8)
    for name, loss in winners.items():
        axes.axhline(loss, color=GREY, ls="--", lw=1.2)
        axes.annotate(
            f"winner {name}:\n{loss:g}", (len(along) - 0.5, loss), xytext=(0, 3), textcoords="offset points"
        )
    axes.set_yscale("log")
    plain_log(axes.yaxis)
    axes.set_xlim(-0.5, len(along) + 0.2)
    axes.set_xticks(range(len(along)), [str(m) for m in along])
    axes.set_xlabel("seeds a parameter set, M")
    axes.set_ylabel("loss at the true parameters")


def _paint_profile(axes: Axes, along: dict[int, np.ndarray]) -> None:
    betas = TRUTH["beta"] * np.array(FACTORS["beta"])
    for offset, (m, values) in zip((-0.0028, 0.0, 0.0028), along.items()):
        low, median, high = np.quantile(values, [0.05, 0.5, 0.95], axis=1)
        axes.vlines(betas + offset, low, high, color=COLOURS[m], lw=4)
        axes.plot(betas + offset, median, "o", color=COLOURS[m], mec="black", ms=6, label=f"{m} seeds")
    axes.axvline(TRUTH["beta"], color=GREY, ls=":", lw=1.2, zorder=0)
    axes.set_yscale("log")
    plain_log(axes.yaxis)
    axes.set_xticks(betas, [f"{beta:.3f}" for beta in betas])
    axes.set_xlabel(f"{UNITS['beta']} (the truth is {TRUTH['beta']:g})")
    axes.set_ylabel("loss")
    legend_above(axes, 3)
