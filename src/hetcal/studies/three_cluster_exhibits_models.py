"""Why the cheap model peaks late: the law of its waiting times, not that it ignores chance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hetcal.report.canvas import BLUE, GREEN, ORANGE, VERMILLION, legend_above
from hetcal.report.exhibits import Exhibit
from hetcal.simulators import SpatialABM, SpatialCMP, SpatialMeanField
from hetcal.simulators.delays import gamma_ticks, lognormal_ticks, probabilities
from hetcal.studies.three_cluster import TRUTH, chain
from hetcal.studies.three_cluster_exhibits_shared import Sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hetcal.studies.answers import Answers

DAYS = 220  # the outbreak in A is over by then


@dataclass(frozen=True)
class _Model:
    """One way to simulate the outbreak in A, and how its curve is drawn."""

    kind: type
    settings: dict[str, Any]
    waiting: str
    colour: str
    line: str


MODELS = {
    "ABM": _Model(SpatialABM, {}, "of the disease", BLUE, "-"),
    "mean field, delays": _Model(SpatialMeanField, {}, "of the disease", GREEN, "--"),
    "CMP": _Model(SpatialCMP, {}, "geometric", VERMILLION, "-"),
    "mean field, geometric": _Model(SpatialMeanField, {"sojourns": "geometric"}, "geometric", ORANGE, "--"),
}


def curves(answers: Answers, seeds: int) -> dict[str, dict[str, np.ndarray]]:
    """Infectious people in A and days of the peak, of each model at the truth.

    Returns
    -------
    dict
        By model: infectious (seeds, days), peak (seeds,); a single row for models without chance.
    """
    found = {}
    for name, model in MODELS.items():
        simulator = chain(model.kind, days=DAYS, record="series", **model.settings)
        outputs = answers.simulate(simulator, pd.DataFrame([TRUTH]), 1 if _exact(model) else seeds)
        place = simulator.clusters.index("A")
        found[name] = {"infectious": outputs["infectious"][0, :, place], "peak": outputs["peak_day_A"][0]}
    return found


def _exact(model: _Model) -> bool:
    return model.kind is SpatialMeanField


def late(answers: Answers, sizes: Sizes) -> Exhibit:
    """Epidemic curves in A of four models at the same parameters."""
    found = curves(answers, sizes.curves)
    day = {name: float(of["peak"].mean()) for name, of in found.items()}
    rows = []
    for name, model in MODELS.items():
        peak = found[name]["peak"]
        rows.append(
            {
                "model": name,
                "waiting times": model.waiting,
                "chance": "no" if _exact(model) else "yes",
                "day of the peak, mean": f"{day[name]:.1f}"
                + ("" if _exact(model) else f" ± {peak.std(ddof=1) / np.sqrt(len(peak)):.1f}"),
                "sd from run to run": "–" if _exact(model) else f"{peak.std(ddof=1):.1f}",
                "later than the ABM, days": f"{day[name] - day['ABM']:+.1f}",
            }
        )
    text = (
        f"At the same parameters the cheap compartmental model (CMP) peaks {day['CMP'] - day['ABM']:.0f} days after "
        "the individual-level one (ABM). Not because it leaves out chance, for it does not: a model without any "
        "chance but with the disease's own waiting times peaks within "
        f"{abs(day['mean field, delays'] - day['ABM']):.1f} days of the ABM, and one without chance and with the "
        f"CMP's waiting times {day['mean field, geometric'] - day['ABM']:.0f} days late. A compartment lets some "
        "people go on at once and others wait for weeks, which slows the start. A cheap model should have the right "
        "waiting times; otherwise its beta and k make up for the wrong ones."
    )
    in_a = "Infectious people in A, as a share of its people; bands hold 90 % of the runs of a day. Same beta, k and c."
    waits = "How long people are exposed and infectious, by each law: the means are nearly the same, the spread is not."
    return Exhibit(
        "Why the cheap model is late",
        text,
        {in_a: partial(_paint_curves, found=found), waits: _paint_laws},
        pd.DataFrame(rows),
        f"Day of the peak in A at the true parameters; {sizes.curves} runs of models with chance, ± standard error",
    )


def _paint_curves(axes: Axes, found: dict[str, dict[str, np.ndarray]]) -> None:
    axes.figure.set_figheight(4.4)
    patches = chain().patches
    people = patches.loc[patches["cluster"] == "A", "pop"].sum()
    for name, model in MODELS.items():
        percent = 100 * found[name]["infectious"] / people
        days = np.arange(percent.shape[1])
        axes.plot(days, percent.mean(axis=0), model.line, color=model.colour, lw=2, label=name)
        if len(percent) > 1:
            low, high = np.quantile(percent, [0.05, 0.95], axis=0)
            axes.fill_between(days, low, high, color=model.colour, alpha=0.2, lw=0)
    axes.set_xlim(20, 190)
    axes.set_ylim(0)
    axes.set_xlabel("day")
    axes.set_ylabel("infectious people in A, %")
    legend_above(axes, 2)


def _paint_laws(axes: Axes) -> None:
    model = chain()
    axes.figure.set_figheight(4.4)
    days = np.arange(1, 31)
    for mean, sd, law, what, colour in (
        (model.latent_mean, model.latent_sd, lognormal_ticks, "exposed", BLUE),
        (model.infectious_mean, model.infectious_sd, gamma_ticks, "infectious", VERMILLION),
    ):
        own = np.zeros(len(days))
        weights = probabilities(law(mean, sd))[: len(days)]
        own[: len(weights)] = weights
        leaves = -np.expm1(-1 / mean)
        axes.plot(days, 100 * own, "-", color=colour, lw=2, label=f"{what}, ABM")
        axes.plot(
            days, 100 * leaves * (1 - leaves) ** (days - 1), "--", color=colour, lw=2, label=f"{what}, CMP"
        )
    axes.set_xlim(0.5, 30)
    axes.set_ylim(0)
    axes.set_xlabel("days in that state")
    axes.set_ylabel("people, %")
    legend_above(axes, 2)
