"""The page that compares models of the same data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hetcal.report.canvas import BLUE, GREEN, ORANGE, VERMILLION, Picture, legend_above, picture, wrapped
from hetcal.report.page import write_page
from hetcal.report.part import Part, file_names
from hetcal.report.tables import Table
from hetcal.report.words import capital, data_of, number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from hetcal.comparison import ModelComparison
    from hetcal.targets import Target

_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE)


def write_comparison(comparison: ModelComparison, folder: str | Path) -> Path:
    """Write models.html, models.json and figures into a folder; returns the page's path.

    Parameters
    ----------
    comparison : ModelComparison
    folder : str or pathlib.Path
        Made where missing.

    Returns
    -------
    pathlib.Path

    Examples
    --------
    See `hetcal.comparison.ModelComparison`, whose ``report`` this is.
    """
    folder = Path(folder)
    results = comparison.results
    part = Part(
        template="models.html",
        sections={"models": "The models beside each other", "bands": "What each predicts"},
        answer=list(comparison.says),
        cautions=[],
        pictures={"bands": _bands(comparison), "models": _parameters(comparison)},
        context={
            "overview": _overview(comparison),
            "intervals": _intervals(comparison),
            "scores": _scores(comparison),
            "held_out": _held_out(comparison),
            "shared": ", ".join(comparison.shared),
        },
        summary={
            "models": comparison.table.to_dict("records"),
            "intervals": comparison.intervals.to_dict("records"),
            "held_out": comparison.held_out.to_dict("records"),
            "scores": comparison.scores.to_dict("records"),
            "says": list(comparison.says),
        },
        emulators={},
        settings=[],
        studies=[(result.study, result.seed) for result in results.values()],
    )
    lines = "\n".join(f"    {name!r}: result_{i}," for i, name in enumerate(results))
    code = f"import hetcal as hc\n\nhc.compare_models({{\n{lines}\n}}).report('models')"
    simulators = [result.problem.simulator for result in results.values()]
    return write_page(folder, "models", "Models of the same data, compared", [part], simulators, code)


def _overview(comparison: ModelComparison) -> Table:
    rows = [
        [row.model, str(row.parameters), str(row.data), f"{row.runs:,}", row.verdict]
        for row in comparison.table.itertuples()
    ]
    return Table("Models", ["model", "parameters", "fitted data", "runs", "verdict"], rows)


def _intervals(comparison: ModelComparison) -> Table:
    """A row a parameter, a column a model."""
    names = list(dict.fromkeys(comparison.intervals["parameter"]))
    models = list(comparison.results)
    cells = {
        (
            row.parameter,
            row.model,
        ): f"{number(row.median)} ({number(row.low)} to {number(row.high)}), {row.source}"
        for row in comparison.intervals.itertuples()
    }
    rows = [[name, *(cells.get((name, model), "–") for model in models)] for name in names]
    return Table("Parameters: median and 90 % interval", ["parameter", *models], rows)


def _scores(comparison: ModelComparison) -> Table | None:
    scores = comparison.scores
    if not len(scores):
        return None
    folds = list(dict.fromkeys(scores["fold"]))
    rows = []
    for (model, fitted), part in scores.groupby(["model", "fitted"], sort=False):
        by_fold = part.set_index("fold")
        cells = [f"{by_fold.loc[f, 'score']:.1f} ± {by_fold.loc[f, 'error']:.1f}" for f in folds]
        rows.append([f"{model}, fitted to {fitted}", *cells])
    return Table(
        "Log predictive density of the hidden data given the others; higher is better, ± is Monte-Carlo error",
        ["model", *folds],
        rows,
    )


def _held_out(comparison: ModelComparison) -> Table | None:
    if not len(comparison.held_out):
        return None
    rows = [
        [
            row["model"],
            f"{row['target']} {row['name']}".strip(),
            number(row["observed"]),
            f"{number(row['median'])} ({number(row['low'])} to {number(row['high'])})",
            number(row["p"], 2),
        ]
        for row in comparison.held_out.to_dict("records")
    ]
    return Table(
        "Data that no model was fitted to",
        ["model", "what", "observed", "predicted: median (90 %)", "p"],
        rows,
    )


def _bands(comparison: ModelComparison) -> list[Picture]:
    """Each shared series with the predictive bands of every model."""
    files = file_names(list(comparison.shared))
    pictures = []
    for output in comparison.shared:
        targets = {
            name: next(t for t in result.method.targets if t.output == output)
            for name, result in comparison.results.items()
        }
        first = next(iter(targets.values()))
        if first.observed.ndim != 1 or first.observed.size < 5:
            continue
        bands = {name: comparison.results[name].predictive.bands[t.name] for name, t in targets.items()}
        pictures.append(
            picture(
                f"models-{files[output]}",
                f"{data_of(first)} and what each model predicts.",
                f"{capital(data_of(first))}: data, and for each model the median and the band that holds each datum "
                "with 90 % under its posterior.",
                partial(_series, bands=bands, target=first),
            )
        )
    return pictures


def _series(axes: Axes, bands: dict[str, pd.DataFrame], target: Target) -> None:
    x = np.arange(len(target.observed))
    for k, (name, band) in enumerate(bands.items()):
        colour = _COLOURS[k % len(_COLOURS)]
        axes.fill_between(x, band["low_90"], band["high_90"], color=colour, alpha=0.25, lw=0, label=name)
        axes.plot(x, band["median"], color=colour, lw=1.8)
    axes.plot(x, target.observed, "o", color="black", ms=4.5, label="data")
    axes.set_xlabel("day")
    axes.set_ylabel(wrapped(data_of(target), 30))
    legend_above(axes, 3)


def _parameters(comparison: ModelComparison) -> list[Picture]:
    """Intervals of the parameters that at least two models have."""
    frame = comparison.intervals
    counts = frame["parameter"].value_counts()
    names = [name for name in dict.fromkeys(frame["parameter"]) if counts[name] > 1]
    pictures = []
    for name, file in file_names(names).items():
        rows = frame[frame["parameter"] == name]
        pictures.append(
            picture(
                f"models-parameter-{file}",
                f"{name} by model.",
                f"{name}: median and 90 % interval under each model. The same word need not mean the same quantity.",
                partial(_intervals_of, rows=rows, name=name),
                height=1.4 + 0.4 * len(rows),
            )
        )
    return pictures


def _intervals_of(axes: Axes, rows: pd.DataFrame, name: str) -> None:
    y = np.arange(len(rows))[::-1]
    axes.hlines(y, rows["low"], rows["high"], color=BLUE, lw=5)
    axes.plot(rows["median"], y, "o", color="black", ms=5)
    axes.set_yticks(y, [wrapped(model, 20) for model in rows["model"]])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(name)
