"""The report's tables, as text that is ready to print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.report.words import (
    data_of,
    emulated_as,
    index_with_interval,
    loss_name,
    number,
    value_of,
    with_error,
)
from hetcal.simulators import fingerprint, settings

if TYPE_CHECKING:
    import pandas as pd

    from hetcal.parameters import Parameter
    from hetcal.report.findings import Check, Findings

_PURPOSES = {
    "given": "brought in from elsewhere",
    "design": "first design",
    "held out": "held out, to score emulators on",
    "search": "search rounds",
    "finalists": "finalists, on common seeds",
    "reporting": "best fit, on fresh seeds",
}
_NOISE = {"homoskedastic": "constant noise", "heteroskedastic": "noise that varies over the space"}
_REASONS = 10


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes
    ----------
    caption : str
    head : list of str
    rows : list of list of str
        The first cell of a row names it.
    """

    caption: str
    head: list[str]
    rows: list[list[str]]


def parameters(findings: Findings) -> Table:
    """Prior, best fit, range not ruled out yet, total sensitivity, unit."""
    result = findings.result
    ranges = result.ranges.table.set_index("parameter")
    total = findings.sobol.table.set_index("parameter")
    rows = []
    for parameter in result.problem.space.parameters:
        row, index = ranges.loc[parameter.name], total.loc[parameter.name]
        rows.append(
            [
                f"{parameter.name}: {parameter.label}" if parameter.label else parameter.name,
                prior(parameter),
                value_of(parameter, result.best.theta[parameter.name]),
                f"{value_of(parameter, row['low'])} to {value_of(parameter, row['high'])}",
                index_with_interval(*index[["total", "total_low", "total_high"]]),
                parameter.unit or "–",
            ]
        )
    return Table(
        "Parameters in the order of the study. Total sensitivity is the share of the loss's variance over the prior "
        f"in which the parameter has a part, in brackets its interval ({findings.sobol.label}).",
        ["parameter", "prior", "best fit", "not ruled out yet", "total sensitivity", "unit"],
        rows,
    )


def prior(parameter: Parameter) -> str:
    """A prior in words: its family and what it spans."""
    family = {"uniform": "uniform", "loguniform": "log-uniform", "reciprocal": "log-uniform"}
    name = parameter.prior.dist.name
    if name in family:
        low, high = parameter.support
        return f"{family[name]}, {number(low)} to {number(high)}"
    low, high = parameter.prior.ppf([0.025, 0.975])
    return f"{name}, 95 % in {number(low)} to {number(high)}"


def ties(findings: Findings) -> Table | None:
    """Finalists that could not be told from the winner."""
    best, space = findings.result.best, findings.result.problem.space
    if not best.ties:
        return None
    labelled = {"best fit": best.theta} | {f"tie {i}": tie for i, tie in enumerate(best.ties, 1)}
    rows = [
        [label, *(value_of(p, theta[p.name]) for p in space.parameters)] for label, theta in labelled.items()
    ]
    caption = (
        "Ties: other finalists whose mean loss cannot be told from the best fit's on the same random seeds (the "
        "difference is within two standard errors)"
    )
    return Table(caption, ["", *space.names], rows)


def losses(findings: Findings) -> Table:
    """Mean loss of each target at the winner."""
    best, problem = findings.result.best, findings.result.problem
    outside = {
        check.target.name: f"{check.outside.sum()} of {check.outside.size}" for check in findings.checks
    }
    rows = [
        [
            _titled(t),
            loss_name(t),
            f"{t.weight:g}",
            outside[t.name],
            number(best.losses[t.name]),
            number(t.weight * best.losses[t.name]),
        ]
        for t in problem.run_targets
    ]
    if len(rows) > 1:
        total = str(sum(t.observed.size for t in problem.run_targets if t.weight > 0))
        rows.append(["total", "weighted sum", "", f"of {total}", "", with_error(best.loss, best.loss_se)])
    caption = (
        f"Mean loss at the best fit, over {best.replicates} fresh runs; data outside: observed numbers outside of the "
        "band that holds 90 % of those runs"
    )
    if any(t.weight == 0 for t in problem.run_targets):
        caption += "; a target of weight 0 is shown but not counted"
    return Table(caption, ["target", "loss", "weight", "data outside", "mean loss", "weighted"], rows)


def misses(check: Check) -> Table | None:
    """The data of one target outside of the band that holds 90 % of the runs."""
    where = np.argwhere(check.outside)
    if not len(where):
        return None
    rows = []
    for index in (tuple(int(i) for i in w) for w in where):
        low, middle, high = (check.quantiles[q][index] for q in (0, 2, 4))
        observed = check.target.observed[index]
        runs = np.moveaxis(check.simulated, 0, -1)[index]
        share = float(np.mean(runs >= observed if observed > high else runs <= observed))
        side = "above" if observed > high else "below"
        side = f"{side} every run" if share == 0 else f"{side}; {number(100 * share, 2)} % of runs as far out"
        rows.append(
            [check.place(index), number(observed), number(middle), f"{number(low)} to {number(high)}", side]
        )
    return Table(
        f"What the model does not reproduce in {data_of(check.target)}: {len(rows)} of {check.outside.size} data "
        "points outside of the band that holds 90 % of the runs at the best fit",
        ["data point", "observed", "median run", "90 % of runs", "where it lies"],
        rows,
    )


def other_outputs(findings: Findings) -> Table | None:
    """Single numbers that the simulator gives at the winner and no target compares."""
    compared = {t.output for t in findings.result.problem.run_targets}
    rows = []
    for name, values in findings.result.winner_outputs().items():
        if name not in compared and values.ndim == 1 and np.isfinite(values).any():
            low, middle, high = np.nanquantile(values, [0.05, 0.5, 0.95])
            rows.append([name, number(middle), f"{number(low)} to {number(high)}"])
    if not rows:
        return None
    caption = "What else the model says at the best fit: outputs that no target compares with data"
    return Table(caption, ["output", "median run", "90 % of runs"], rows)


def diagnostics(findings: Findings, emulator: str) -> Table:
    """Leave-one-out diagnostics of one emulator."""
    frame = findings.diagnostics
    rows = [
        [r.diagnostic, number(r.value), f"{number(r.low)} to {number(r.high)}", r.verdict, r.advice]
        for r in frame[frame["emulator"] == emulator].itertuples()
    ]
    fitted = findings.result.emulators[emulator]
    return Table(
        f"Emulator of the loss of {emulator}: {fitted.runs:,} runs at {len(fitted.locations):,} parameter "
        f"sets; {_NOISE[fitted.choice.chosen]}; loss y emulated as {emulated_as(fitted)}",
        ["diagnostic", "value", "expected", "verdict", "advice"],
        rows,
    )


def learners(findings: Findings, emulator: str) -> Table | None:
    """What each learner of a stack contributes; None for an emulator without learners."""
    fitted = findings.result.emulators[emulator]
    if not hasattr(fitted, "contributions"):
        return None
    rows = [
        [r.learner, number(r.rmse), number(r.r2), number(r.rmse_without), r.note]
        for r in fitted.contributions.itertuples()
    ]
    return Table(
        f"Learners in the stack of {emulator}: each predicts the means of parameter sets whose fold it has not seen; "
        f"errors are root mean squares of {emulated_as(fitted)}",
        ["learner", "error", "R2", "error of the stack without it", "left out because"],
        rows,
    )


def runs(findings: Findings) -> Table:
    """What the runs were for, and how many failed."""
    result = findings.result
    asks = result.ledger.asks(result.study, result.problem.simulator)
    rows = []
    for purpose, label in _PURPOSES.items():
        asked = asks[asks["purpose"] == purpose]
        if len(asked):
            made = result.ledger.runs(result.problem.simulator, result.study, purpose)
            rows.append(_counts(label, len(asked), made))
    rows.append(_counts("all", len(asks), findings.runs))
    return Table(
        "Runs by purpose. Finalists are the best sets of the search, compared once more. A partial run gave some "
        "outputs only. Simulating seconds are summed over processes and include runs that an earlier study had made.",
        ["purpose", "parameter sets", "runs", "failed", "partial", "simulating (s)"],
        rows,
    )


def repeated_sets(findings: Findings) -> str:
    """Why more parameter sets were asked for than there are; empty where none was asked for again."""
    result = findings.result
    asks = result.ledger.asks(result.study, result.problem.simulator)
    trained = asks[asks["purpose"].isin(("given", "design", "search"))]
    distinct = len(trained.drop_duplicates(list(result.problem.space.names)))
    if distinct == len(trained):
        return ""
    return (
        f"Design and search asked {len(trained):,} times for {distinct:,} different parameter sets: the search may "
        "return to a promising one, with new random seeds."
    )


def _counts(label: str, locations: int, made: pd.DataFrame) -> list[str]:
    states = [f"{(made['status'] == status).sum():,}" for status in ("failed", "partial")]
    return [label, f"{locations:,}", f"{len(made):,}", *states, number(made["seconds"].sum())]


def failure_reasons(findings: Findings) -> Table | None:
    """Why runs failed or lack an output, the commonest reason first."""
    wrong = findings.runs[findings.runs["status"] != "ok"]
    if not len(wrong):
        return None
    reasons = (
        wrong.groupby(["status", "error"], sort=True, dropna=False)
        .size()
        .sort_values(ascending=False, kind="stable")
    )
    rows = [[f"{n:,}", str(status), _short(error)] for (status, error), n in reasons.head(_REASONS).items()]
    if len(reasons) > _REASONS:
        rows.append([f"{reasons.iloc[_REASONS:].sum():,}", "", f"{len(reasons) - _REASONS} further reasons"])
    return Table("Why runs failed, as the simulator gave it", ["runs", "status", "reason"], rows)


def failure_places(findings: Findings) -> Table | None:
    """Share of failed runs in each quarter of each parameter's prior."""
    if not findings.failed.any():
        return None
    rows = []
    for name, quarters in findings.quarters.items():
        counts = (f"{q.failed:,} of {q.total:,}" if q.total else "no run" for q in quarters)
        ends = (f"({number(q.low, 2)} to {number(q.high, 2)})" for q in quarters)
        rows.append([name, *map(" ".join, zip(counts, ends, strict=True))])
    return Table(
        "Where runs failed: failed of all runs in each quarter of the prior (by probability), with the quarter's ends",
        ["parameter", "lowest quarter", "second", "third", "highest quarter"],
        rows,
    )


def failure_share(findings: Findings) -> str:
    """P(failure) over the runs of the study, with its Clopper-Pearson interval."""
    from statsmodels.stats.proportion import proportion_confint

    failed, total = int(findings.failed.sum()), len(findings.runs)
    low, high = proportion_confint(failed, total, alpha=0.05, method="beta")
    return (
        f"{failed:,} of {total:,} runs failed: P(failure) = {number(failed / total, 2)} "
        f"(95 % interval {number(low, 2)} to {number(high, 2)}, for runs placed as these were)"
    )


def method_settings(findings: Findings) -> Table:
    """Every setting of the method."""
    result = findings.result
    # The method's own emulator does not know yet which transform each target's loss takes.
    rows = [[f"emulator of {name}", repr(fitted)] for name, fitted in result.emulators.items()]
    rows += [[n, str(value)] for n, value in result.method.settings().items() if n != "emulator"]
    return Table(f"Settings of {type(result.method).__name__}", ["setting", "value"], rows)


def simulator(model: Any) -> Table:
    """What was simulated."""
    rows = [["name", model.name], ["version", str(model.version)], ["fingerprint", fingerprint(model)[:16]]]
    rows += [[name, _short(value)] for name, value in settings(model).items()]
    return Table("Simulator; the fingerprint changes with its source and settings", ["", "value"], rows)


def versions(found: dict[str, str]) -> Table:
    """Versions of what the numbers hang on."""
    return Table("Versions", ["package", "version"], [list(item) for item in found.items()])


def _titled(target: Any) -> str:
    return f"{target.name}: {target.label}" if target.label else target.name


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:199] + "…"
