"""Fresh runs at draws from the posterior against the reference: courses, attack rates, arrivals on the map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hetcal.report.canvas import BLUE, SKY, SURFACE, legend_above
from hetcal.report.exhibits import Exhibit
from hetcal.report.words import listed
from hetcal.streams import generator
from hetcal.studies.three_cluster import DAYS, SEEDED, chain, reference
from hetcal.studies.three_cluster_exhibits_shared import CLUSTERS, share

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hetcal.studies.answers import Answers

WEEKS = 70  # hardly a run has new cases later
FRESH = 1  # the stream of these runs


@dataclass(frozen=True, eq=False)
class Validation:
    """Outputs of fresh runs, one a draw from the posterior, and of the reference's runs; by name, (runs, ...)."""

    fresh: dict[str, np.ndarray]
    reference: dict[str, np.ndarray]


def validation(answers: Answers, draws: int) -> Validation:
    """Run the model with seeds that nobody has seen at draws from the posterior, and the reference once more."""
    model, data, posterior = chain(record="series"), reference(), answers.posterior
    assert posterior is not None
    samples = posterior.samples
    rows = generator(posterior.seed, "reporting", FRESH).permutation(len(samples))[:draws]
    fresh = answers.simulate(model, samples.iloc[rows], 1, stream=FRESH)
    again = answers.simulate(model, pd.DataFrame([data.truth]), data.seeds)
    return Validation({n: v[:, 0] for n, v in fresh.items()}, {n: v[0] for n, v in again.items()})


def weekly(outputs: dict[str, np.ndarray], place: int, people: int) -> np.ndarray:
    """New cases a week per 10,000 people of a cluster, (runs, weeks)."""
    daily = outputs["incidence"][:, place, : 7 * WEEKS]
    return daily.reshape(len(daily), WEEKS, 7).sum(axis=2) * 1e4 / people


def courses(found: Validation) -> Exhibit:
    """New cases a week in each cluster."""
    model = chain()
    people = model.patches.groupby("cluster")["pop"].sum()
    n, m = len(found.fresh["invaded_C"]), len(found.reference["invaded_C"])
    figures, outside, weeks = {}, 0, 0
    for name, label in CLUSTERS.items():
        kept = {"fresh": np.ones(n, dtype=bool), "reference": np.ones(m, dtype=bool)}
        whose = f"{n} runs and {m} of the reference"
        if name == "C":
            kept = {who: getattr(found, who)["invaded_C"] > 0 for who in kept}
            reached = [kept[who].sum() for who in kept]
            whose = f"only the runs that reach C: {reached[0]} of {n}, in the reference {reached[1]} of {m}"
        place = model.clusters.index(name)
        bands, lines = (weekly(getattr(found, who), place, people[name])[kept[who]] for who in kept)
        if len(bands) >= 10 and len(lines):
            low, high = np.quantile(bands, [0.05, 0.95], axis=0)
            outside += int(((lines < low) | (lines > high)).sum())
            weeks += lines.size
        figures[f"{label}: new cases a week; {whose}."] = partial(_paint_course, bands=bands, lines=lines)
    text = (
        f"The model was run afresh {n} times, each time at another draw from the posterior and with a seed that "
        f"nobody had used. Of all weeks of the {m} runs of the reference {100 * outside / max(weeks, 1):.0f} % lie "
        "outside of the band that should hold 90 % of them. In B near and in C there is either a large outbreak or "
        "hardly any; an average of both would describe neither."
    )
    return Exhibit("Fresh runs against the reference", text, figures)


def _paint_course(axes: Axes, bands: np.ndarray, lines: np.ndarray) -> None:
    week = np.arange(1, WEEKS + 1)
    if len(bands):
        for low, high, alpha, label in ((0.05, 0.95, 0.35, "90 %"), (0.25, 0.75, 0.9, "50 %")):
            ends = np.quantile(bands, [low, high], axis=0)
            axes.fill_between(week, *ends, color=SKY, alpha=alpha, lw=0, label=f"{label} of fresh runs")
    for i, line in enumerate(lines):
        axes.plot(
            week, line, color="black", lw=0.8, alpha=0.5, label="reference, each run" if i == 0 else None
        )
    axes.set_xlim(1, WEEKS)
    axes.set_ylim(0)
    axes.set_xlabel("week")
    axes.set_ylabel("new cases per 10,000 people")
    legend_above(axes, 2)


def attack_rates(found: Validation) -> Exhibit:
    """How many are immune at the end, run by run, and how often each cluster is reached."""
    n = len(found.fresh["invaded_C"])
    rows = []
    for name, label in CLUSTERS.items():
        for who, outputs in (("fresh", found.fresh), ("reference", found.reference)):
            reached, immune = outputs[f"invaded_{name}"] > 0, 100 * outputs[f"attack_rate_{name}"]
            low, high = np.quantile(immune, [0.05, 0.95])
            rows.append(
                {
                    "cluster": label,
                    "runs": who,
                    "reached": share(int(reached.sum()), len(reached)),
                    "large outbreak": share(int(_large(outputs, name).sum()), len(reached)),
                    "immune at the end, 90 % of runs": f"{low:.1f} to {high:.1f} %",
                }
            )
    large = _large(found.fresh, "C")
    text = (
        f"C has a large outbreak in {share(int(large.sum()), n)} of fresh runs and in "
        f"{share(int(_large(found.reference, 'C').sum()), len(found.reference['invaded_C']))} of the reference's "
        "(brackets: 95 % intervals). With 20 runs this share is known poorly, whatever the model. Between nothing "
        "and nearly everybody there is hardly anything: an average attack rate in C is one that never happens."
    )
    caption = (
        "People immune at the end, by infection or by vaccination, each dot a run. B far and B near begin at what "
        "the campaigns gave them."
    )
    return Exhibit(
        "All or nothing: attack rates run by run",
        text,
        {caption: partial(_paint_rates, found=found)},
        pd.DataFrame(rows),
        "How often clusters are reached and have a large outbreak (more than 5 % of their people infected), with "
        "Wilson's 95 % intervals",
    )


def _large(outputs: dict[str, np.ndarray], name: str) -> np.ndarray:
    return outputs[f"attack_rate_{name}"] - outputs[f"vaccinated_{name}"] > 0.05


def _paint_rates(axes: Axes, found: Validation) -> None:
    axes.figure.set_figheight(3.9)
    spread = generator(0, "reporting", 2)
    for y, name in enumerate(reversed(CLUSTERS)):
        for who, lift, colour, size in (("fresh", 0.17, BLUE, 4), ("reference", -0.2, "black", 5)):
            rate = 100 * getattr(found, who)[f"attack_rate_{name}"]
            height = y + lift + spread.uniform(-0.13, 0.13, len(rate))
            axes.plot(
                rate, height, "o", color=colour, ms=size, alpha=0.5, mew=0, label=who if y == 0 else None
            )
    axes.set_yticks(range(len(CLUSTERS)), list(reversed(CLUSTERS.values())))
    axes.set_xlim(-3, 103)
    axes.set_xlabel("people immune at the end of a run, %")
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    legend_above(axes, 2)
    axes.get_legend().get_texts()[0].set_text("fresh runs")


def arrivals(found: Validation) -> Exhibit:
    """When each patch is reached, and how often, on the map."""
    patches, days = chain().patches, found.fresh["patch_arrival"]
    n = len(days)
    reached = (days < DAYS).sum(axis=0)
    median = np.array([np.median(day[day < DAYS]) if (day < DAYS).any() else np.nan for day in days.T])
    rows, first_days = [], {}
    for name, label in CLUSTERS.items():
        here = np.flatnonzero((patches["cluster"] == name) & ~patches["id"].isin(SEEDED))
        inside = days[:, here]
        there = inside.min(axis=1) < DAYS
        row = {"cluster": label, "runs that reach it": share(int(there.sum()), n)}
        row["patches reached then"] = row["first day, median (90 % of runs)"] = row["most often first"] = "–"
        if there.any():
            low, first_days[name], high = np.quantile(inside[there].min(axis=1), [0.05, 0.5, 0.95])
            often = np.bincount(inside[there].argmin(axis=1), minlength=len(here))
            row["patches reached then"] = f"{100 * (inside[there] < DAYS).mean():.0f} %"
            row["first day, median (90 % of runs)"] = f"{first_days[name]:.0f} ({low:.0f} to {high:.0f})"
            first = patches.loc[here[often.argmax()], "id"]
            row["most often first"] = f"{first}: {share(int(often.max()), int(there.sum()))}"
        rows.append(row)
    told = [f"{CLUSTERS[name]} on day {day:.0f}" for name, day in first_days.items() if name != "A"]
    text = (
        f"Where it gets there at all, measles reaches {listed(told)} at the median. Which patch is first follows "
        "from distance and size, so days of arrival by patch can tell c, which the six statistics hardly can: a "
        "surveillance that dates the first case of each place is worth having."
    )
    caption = (
        f"Above: median day on which a patch is reached, of the runs that reach it. Below: share of {n} runs that "
        "reach it. Size by people, squares: B far. The land between the clusters is left out."
    )
    shown = {"median day of arrival": median, "runs that reach it, %": 100 * reached / n}
    figures = {caption: partial(_paint_maps, patches=patches, shown=shown)}
    note = "Patches without the three that were seeded; in brackets counts and 95 % intervals"
    return Exhibit("Where and when it arrives", text, figures, pd.DataFrame(rows), note)


def _paint_maps(axes: Axes, patches: pd.DataFrame, shown: dict[str, np.ndarray]) -> None:
    figure = axes.figure
    axes.remove()
    figure.set_figheight(3.9)
    groups = {"A": ("A",), "B far and near": ("B_far", "B_near"), "C": ("C",)}
    panels = figure.subplots(len(shown), len(groups), sharey=True, sharex="col")
    for row, (label, values) in zip(panels, shown.items()):
        for panel, names in zip(row, groups.values()):
            here = patches["cluster"].isin(names).to_numpy()
            for far, marker in ((True, "s"), (False, "o")):
                own = here & ((patches["cluster"] == "B_far").to_numpy() == far)
                drawn = panel.scatter(
                    patches["lon"][own],
                    patches["lat"][own],
                    s=patches["pop"][own] / 600,
                    c=values[own],
                    cmap=SURFACE,
                    vmin=0,
                    vmax=100 if "%" in label else np.nanmax(values),
                    marker=marker,
                    edgecolor="black",
                    linewidth=0.6,
                    plotnonfinite=True,
                )
            middle = patches["lon"][here].mean()
            panel.set_xlim(middle - 0.85, middle + 0.85)
            panel.set_ylim(patches["lat"].min() - 0.15, patches["lat"].max() + 0.15)
            ticks = np.arange(np.ceil(2 * middle - 1.4), 2 * middle + 1.4) / 2
            panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            panel.set_aspect(1 / np.cos(np.radians(40)))
        row[0].set_ylabel("latitude, °N")
        figure.colorbar(drawn, ax=list(row), label=label, shrink=0.9)
    for panel, title in zip(panels[0], groups):
        panel.set_title(title, fontsize=10.5)
    panels[-1][1].set_xlabel("longitude, °E")
