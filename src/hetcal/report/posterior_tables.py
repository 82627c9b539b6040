"""Tables of a posterior, as text that is ready to print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hetcal.checks.coverage import AS_CLAIMED
from hetcal.checks.verdict import ALPHA_FITTED
from hetcal.report.tables import Table, prior
from hetcal.report.words import data_of, index_with_interval, number, quantity, value_of

if TYPE_CHECKING:
    from hetcal.parameters import Parameter
    from hetcal.report.posterior_findings import PosteriorFindings

_FAILING = 12
_DATA = 5  # of those that would change a decision
_SHOWN = ("R2", "coverage 90 %")  # of the diagnostics, where nothing stands out


def intervals(findings: PosteriorFindings) -> Table:
    """Prior, median and intervals of each parameter, and the exact ones where they were computed."""
    result = findings.result
    wide, narrow = (result.intervals(level).set_index("parameter") for level in (0.9, 0.5))
    exact = None if findings.anchor is None else findings.anchor.comparison.set_index("parameter")
    rows = []
    for parameter in result.problem.space.parameters:
        name = parameter.name

        width = float(np.ptp(wide.loc[name, ["low", "high"]]))

        def span(low: float, high: float, parameter: Parameter = parameter, width: float = width) -> str:
            return f"{value_of(parameter, low, width)} to {value_of(parameter, high, width)}"

        row = [
            f"{name}: {parameter.label}" if parameter.label else name,
            prior(parameter),
            quantity(parameter, wide.loc[name, "median"], width),
            span(*narrow.loc[name, ["low", "high"]]),
            span(*wide.loc[name, ["low", "high"]]),
        ]
        if exact is not None:
            row += [
                f"{value_of(parameter, exact.loc[name, 'exact_median'])} "
                f"({span(*exact.loc[name, ['exact_low', 'exact_high']])})",
                f"{exact.loc[name, 'width_ratio']:.2f}",
            ]
        rows.append(row)
    head = ["parameter", "prior", "median", "50 % interval", "90 % interval"]
    caption = "Posterior of the parameters, from the emulated likelihood"
    if exact is not None:
        head += ["exact: median (90 %)", "width, emulated / exact"]
        caption += ", beside the exact one by a particle filter (particle-marginal Metropolis-Hastings)"
    return Table(caption, head, rows)


def failing(findings: PosteriorFindings) -> Table | None:
    """The predictive checks that fail, the clearest first."""
    if findings.predictive is None:
        return None
    table, called = findings.predictive.table, {t.name: data_of(t) for t in findings.result.problem.targets}
    failed = table[table["adjusted"] <= ALPHA_FITTED].sort_values(["adjusted", "p"], kind="stable")
    if not len(failed):
        return None
    rows = [
        [
            f"{called[row['target']]}: {row['name']}" if row["name"] else called[row["target"]],
            row["kind"],
            number(row["observed"]),
            f"{number(row['median'])} ({number(row['low'])} to {number(row['high'])})",
            number(row["adjusted"], 2),
            number(row["prior_p"], 2),
        ]
        for row in failed.head(_FAILING).to_dict("records")
    ]
    return Table(
        f"Checks that fail, the clearest first ({len(failed)} of {len(table)}). p: how often a right model shows any "
        "deviation as large, over all checks at once; p under the prior: of this one alone, before fitting",
        ["what", "kind", "observed", "predicted: median (90 %)", "p", "p under the prior"],
        rows,
    )


def scenarios(findings: PosteriorFindings) -> Table | None:
    """Outcome, effect and probability of being best of each scenario."""
    if findings.scenarios is None:
        return None
    rows = [
        [
            row.scenario,
            f"{number(row.mean)} ({number(row.low)} to {number(row.high)})",
            f"{number(row.effect)} ({number(row.effect_low)} to {number(row.effect_high)})" if i else "–",
            f"{number(row.single_low)} to {number(row.single_high)}" if i else "–",
            f"{row.best:.2f}",
            f"{row.best_single:.2f}",
        ]
        for i, row in enumerate(findings.scenarios.table.itertuples())
    ]
    return Table(
        f"{findings.scenarios.outcome} by scenario: mean with the 90 % range of single outbreaks; expected effect "
        "against the first with the interval that the posterior leaves; probability of being best in expectation and "
        "in a single outbreak",
        ["scenario", "outcome", "expected effect", "effect in one outbreak", "best", "best in one outbreak"],
        rows,
    )


def would_change(findings: PosteriorFindings) -> Table | None:
    """What could be learned that would change the decision."""
    if findings.scenarios is None:
        return None
    frame = findings.scenarios.what_would_change_it
    data = frame[frame["kind"] == "datum"].sort_values("variance_removed", ascending=False, kind="stable")
    frame = frame.drop(index=data.index[_DATA:])
    more = f" ({len(data) - _DATA} more data would remove less)" if len(data) > _DATA else ""
    rows = [
        [
            row.what,
            row.kind,
            "–" if row.variance_removed != row.variance_removed else f"{100 * row.variance_removed:.0f} %",
            number(row.gain, 2),
            "–" if row.changes_choice != row.changes_choice else f"{100 * row.changes_choice:.0f} %",
        ]
        for row in frame.itertuples()
    ]
    return Table(
        "What would change the decision: how much of the effect's uncertainty knowing it would remove, what would be "
        f"gained by choosing after knowing it, how often another scenario would be chosen{more}",
        ["what", "kind", "uncertainty removed", "gain", "choice changes"],
        rows,
    )


def recovery(findings: PosteriorFindings) -> Table | None:
    """Coverage of the intervals on data sets whose parameters are known."""
    if findings.recovery is None:
        return None
    frame = findings.recovery.table
    rows = [
        [
            f"{row.level}, {row.stratum}",
            row.parameter,
            str(row.n),
            f"{100 * row.cover50:.0f} %",
            f"{100 * row.cover90:.0f} %",
            "good" if row.inside else "look" if row.verdict == AS_CLAIMED else "bad",
        ]
        for row in frame.itertuples()
    ]
    return Table(
        "Self-test: how often the intervals hold the truth of simulated data sets (50 and 90 % are claimed), and "
        "whether the ranks of the truth stay inside the simultaneous 95 % envelope",
        ["level", "parameter", "data sets", "50 % covers", "90 % covers", "ranks"],
        rows,
    )


def emulators(findings: PosteriorFindings) -> Table:
    """Leave-one-out checks, a row an emulator."""
    frame, fitted = findings.diagnostics, findings.result.likelihood.emulators
    rows = []
    for emulator, own in frame.groupby("emulator", sort=False):
        value = own.set_index("diagnostic")["value"]
        state, wrong = fitted[emulator].state, own[own["verdict"] != "good"]
        rows.append(
            [
                str(emulator),
                f"{state.mult.sum():,} runs at {len(state.Z0):,} parameter sets",
                *(number(value.get(name, float("nan")), 2) for name in _SHOWN),
                "; ".join(
                    f"{row.diagnostic} {number(row.value, 2)} ({row.verdict})".replace(" –", "")
                    for row in wrong.itertuples()
                )
                or "none",
            ]
        )
    return Table(
        "Emulators, each parameter set predicted from all others. Checks stand out that 95 of 100 sound emulators pass "
        "(look), or 999 of 1,000 (bad)",
        ["emulator", "learned from", *_SHOWN, "checks that stand out"],
        rows,
    )


def drivers(findings: PosteriorFindings) -> Table:
    """Total Sobol' indices of every summary, and the seed's share."""
    names = list(findings.result.problem.space.names)
    rows = []
    for summary, result in findings.sobol.items():
        table = result.table.set_index("parameter")
        cells = [index_with_interval(*table.loc[n, ["total", "total_low", "total_high"]]) for n in names]
        share = result.seed_share
        seed = "–" if share is None else index_with_interval(share.share, share.low, share.high)
        rows.append([f"{findings.words.A_NUMBER}{summary}", *cells, seed])
    return Table(
        f"Which parameters move what over {findings.words.OVER}: total Sobol' index of its emulated mean, with an "
        "interval that holds the emulator's and the sampling error; random seed: its own total index, of single runs",
        ["", *names, "random seed"],
        rows,
    )
