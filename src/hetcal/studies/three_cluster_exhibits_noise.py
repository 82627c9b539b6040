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


def losses(
    outputs: dict[str, np.ndarray], m: int, resamples: int, seed: int, invasion: float | None = None
) -> np.ndarray:
    """Published losses of ensembles of m runs, each drawn with replacement from runs at one parameter set.

    Parameters
    ----------
    outputs : dict of numpy.ndarray
        Of the runs, by name, (seeds,).
    m, resamples : int
    seed : int
        Of the draws.
    invasion : float, optional
        Probability to draw a run that invades C, where it is known better than from these runs.

    Returns
    -------
    numpy.ndarray
        (resamples,).
    """
    total = len(outputs["invaded_C"])
    rng = generator(seed, "bootstrap")
    drawn = rng.integers(0, total, (resamples, m))
    kinds = [np.flatnonzero((outputs["invaded_C"] > 0) == kind) for kind in (False, True)]
    if invasion is not None and all(map(len, kinds)):
        without, within = (rng.choice(kind, (resamples, m)) for kind in kinds)
        drawn = np.where(rng.random((resamples, m)) < invasion, within, without)
    observed = reference("as published").statistics
    ensembles = {of.output: outputs[of.output][drawn] for of in COMPARED.values()}
    missed = [(statistics_of(ensembles, what) - observed[what]) / of.scale for what, of in COMPARED.items()]
    return np.square(missed).sum(axis=0)


def profile(answers: Answers, sizes: Sizes) -> dict[int, np.ndarray]:
    """Losses along beta, all else at the truth: by number of seeds, (betas, resamples); the truth in the middle.

    How often C is invaded hardly shows in the runs of one beta; a logistic regression on log beta knows it from all.
    """
    from statsmodels.api import GLM
    from statsmodels.genmod.families import Binomial

    betas = TRUTH["beta"] * np.array(FACTORS["beta"])
    design = pd.DataFrame([TRUTH] * len(betas)).assign(beta=betas)
    away = design["beta"] != TRUTH["beta"]
    near = answers.simulate(chain(), design[~away], sizes.floor, common=True)
    far = answers.simulate(chain(), design[away], sizes.profile, common=True)
    each = [{n: v[i] for n, v in far.items()} for i in range(len(betas) - 1)]
    each.insert(len(betas) // 2, {n: v[0] for n, v in near.items()})
    invaded = [outputs["invaded_C"] for outputs in each]
    terms = np.column_stack([np.ones(len(betas)), np.log(betas / TRUTH["beta"])])
    rows = np.repeat(np.arange(len(betas)), [len(one) for one in invaded])
    invasion = GLM(np.concatenate(invaded), terms[rows], family=Binomial()).fit().predict(terms)
    return {
        m: np.array([losses(outputs, m, RESAMPLES, i, invasion[i]) for i, outputs in enumerate(each)])
        for m in SEEDS
    }


def noise_floor(answers: Answers, sizes: Sizes) -> Exhibit:
    """The published loss at the truth, and along beta."""
    along = profile(answers, sizes)
    middle = len(FACTORS["beta"]) // 2
    winners = published().set_index("variant")["loss"][list(WINNERS)]
    rows, wins = [], {}
    for m, values in along.items():
        floor = values[middle]
        wins[m] = np.bincount(values.argmin(axis=0), minlength=len(values)) / values.shape[1]
        low, median, high = np.quantile(floor, [0.05, 0.5, 0.95])
        row = {"seeds": str(m), "median": median, "5 %": low, "95 %": high}
        row |= {
            f"above the {loss:g} of {v}": f"{100 * (floor > loss).mean():.0f} %"
            for v, loss in winners.items()
        }
        rows.append(row | {"true beta is lowest of five": f"{100 * wins[m][middle]:.0f} %"})
    floor, few, many = along[REALISATIONS][middle], min(wins), max(wins)
    favourite = int(wins[many].argmax())
    text = (
        f"Even the true parameters do not get a loss of 0: with {REALISATIONS} seeds they get {np.median(floor):.1f} "
        f"at the median, and in {100 * (floor > winners['F']).mean():.0f} % of repeats they do worse than the best "
        f"published winner ({winners['F']:g}). So a low loss does not say who is nearer to the truth. Of five values "
        f"of beta the true one has the lowest loss in {100 * wins[few][middle]:.0f} % of repeats with {few} seeds "
        f"and in {100 * wins[many][middle]:.0f} % with {many}; guessing would give 20 %."
    )
    if favourite != middle:
        text += (
            f" With {many} seeds beta {TRUTH['beta'] * FACTORS['beta'][favourite]:.3f} wins most often: the "
            "reference is a draw of chance too (9 of its 20 runs invade C, where a third would be usual), and more "
            "seeds find its minimum more surely, not the truth."
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
    return Exhibit("Why this loss cannot rank its winners", text, figures, pd.DataFrame(rows), note)


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
