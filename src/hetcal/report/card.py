"""The report card of a posterior, the paragraph for a methods section, and what to run next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hetcal.report import summary_words
from hetcal.report.findings import versions
from hetcal.report.tables import Table
from hetcal.report.words import data_of, listed, number, percent
from hetcal.simulators import fingerprint

if TYPE_CHECKING:
    from hetcal.report.posterior_findings import PosteriorFindings

_WORTH = 0.95  # an interval that would shrink to more than this share of its width is not worth the trouble
_OBSERVED = 5  # data that are listed as worth observing; of more their number is told


def report_card(findings: PosteriorFindings) -> Table:
    """What was run, emulated, assumed and checked, each with a judgement."""
    result = findings.result
    failed = int((findings.runs["status"] == "failed").sum())
    bad = findings.diagnostics[findings.diagnostics["verdict"] == "bad"]
    rows = [
        ["run", _runs(findings), "look" if failed else "good"],
        findings.words.card_row(findings),
        [
            "emulators",
            f"{len(bad)} of {len(findings.diagnostics)} leave-one-out checks fail"
            + (f" ({listed(sorted(set(bad['emulator'])))})" if len(bad) else ""),
            "bad" if len(bad) else "good",
        ],
        ["assumed", findings.words.assumed(findings), ""],
        [
            "draws",
            f"{number(result.effective)} effective draws",
            "good" if result.effective >= 400 else "look",
        ],
        ["interval", f"{result.stopped}", "good" if "stopped moving" in result.stopped else "look"],
        _self_test(findings),
        _exact(findings),
        _verdict(findings),
    ]
    return Table("Report card", ["", "what was found", "judgement"], rows)


def _runs(findings: PosteriorFindings) -> str:
    runs, names = findings.runs, list(findings.result.problem.space.names)
    failed = int((runs["status"] == "failed").sum())
    fresh = findings.result.runs["predictive"]
    checked = f" ({fresh:,} of them at draws from the posterior, to check it)" if fresh else ""
    sets = len(runs[names].drop_duplicates())
    return f"{len(runs):,} runs at {sets:,} parameter sets{checked}, {failed:,} failed"


def _self_test(findings: PosteriorFindings) -> list[str]:
    if findings.recovery is None:
        return [
            "self-test",
            "not run: `hetcal self-test` simulates data sets whose parameters are known",
            "look",
        ]
    judged = "good" if findings.recovery.trusted else "bad" if findings.found_wrong else "look"
    return ["self-test", findings.recovery.says[0], judged]


def _exact(findings: PosteriorFindings) -> list[str]:
    if findings.anchor is None:
        return ["exact posterior", "not computed", ""]
    judged = "look" if not findings.anchor.mixed else "good" if findings.anchor.agrees else "bad"
    return ["exact posterior", exact_sentence(findings), judged]


def exact_sentence(findings: PosteriorFindings) -> str:
    """How the emulated posterior stands to the exact one."""
    anchor = findings.anchor
    assert anchor is not None
    if not anchor.mixed:
        return f"its chains have not met (split R-hat {anchor.rhat:.2f}), so it is no anchor yet"
    table = anchor.comparison
    far = table[table["shift"].abs() >= 1]
    wide = ", ".join(f"{row.parameter} {row.width_ratio:.1f}" for row in table.itertuples())
    lost = (
        f"{anchor.bits_lost:.1f} bits lost to the summaries"
        if anchor.bits_lost > 0
        else "nothing lost to summaries"
    )
    text = f"widths of the emulated intervals over the exact ones: {wide}; {lost}"
    if len(far):
        moved = ", ".join(f"{row.parameter} by {abs(row.shift):.1f}" for row in far.itertuples())
        text += (
            f"; the two disagree in {moved} exact standard deviations: where the model cannot make the data, summaries "
            "and likelihood ask different questions of it"
        )
    return text


def _verdict(findings: PosteriorFindings) -> list[str]:
    if findings.verdict is None:
        return ["verdict", "not checked: predictive=0", "look"]
    judged = {"fits": "good", "no parameters fit": "bad"}
    return ["verdict", findings.verdict.sentence, judged.get(findings.verdict.kind, "look")]


def methods_paragraph(findings: PosteriorFindings) -> str:
    """A paragraph for the methods section of a paper, with numbers and citations.

    Parameters
    ----------
    findings : PosteriorFindings

    Returns
    -------
    str
    """
    result, likelihood = findings.result, findings.result.likelihood
    method, model, known = result.method, result.problem.simulator, versions()
    kinds = {e.choice.chosen for e in likelihood.emulators.values() if e.choice is not None}
    package = f"Binois, Gramacy and Ludkovski 2018; R package hetGP {known.get('hetGP', '')}".rstrip()
    sentences = [
        f"We calibrated {model.name} (version {model.version}, fingerprint {fingerprint(model)[:12]}) with "
        f"{_parameters(result.problem.space.dimension)} to {listed([data_of(t) for t in method.targets])}, using "
        f"{_runs(findings)}; every parameter set had random seeds of its own.",
        f"We assumed {findings.words.assumed(findings)}.",
        *findings.words.methods(findings, listed(sorted(kinds)) if kinds else "", package),
    ]
    sentences.append(
        f"Runs were placed where the likelihood was uncertain in the middle of the posterior ({result.stopped})."
        if len(result.history) > 1
        else "All runs were there before or came from one space-filling design."
    )
    sentences.append(
        f"The posterior was sampled by {len(result.samples):,} draws (effective number {number(result.effective)})."
    )
    if findings.anchor is not None:
        sentences.append(
            f"As an exact anchor we ran particle-marginal Metropolis-Hastings (Andrieu, Doucet and Holenstein 2010), "
            f"with {findings.anchor.particles} particles (largest split R-hat {findings.anchor.rhat:.2f}): "
            f"{exact_sentence(findings)}."
        )
    if findings.recovery is not None:
        sentences.append(
            "Intervals were tested on simulated data sets (simulation-based calibration, Talts et al. 2018; envelopes "
            f"of Säilynoja, Bürkner and Vehtari 2022): {findings.recovery.says[0]}"
        )
    if findings.verdict is not None:
        sentences.append(
            f"Prior- and posterior-predictive checks by datum and statistic gave: {findings.verdict.sentence}"
        )
    sentences.append(f"Computed with hetcal {known['hetcal']} and Python {known['Python']}.")
    return " ".join(sentences)


def _parameters(count: int) -> str:
    return "1 unknown parameter" if count == 1 else f"{count} unknown parameters"


def what_next(findings: PosteriorFindings) -> Table:
    """What to run or to observe next, each with the gain expected; the largest gain first."""
    rows = []
    if findings.result.unsettled:
        rows.append(
            [
                "more rounds",
                "first of all: intervals and verdict may be wrong before",
                f"raise rounds=, since {' and '.join(findings.result.unsettled)}",
            ]
        )
    elif not findings.fits:
        assert findings.verdict is not None
        reasons = "; ".join(findings.verdict.reasons[:2])
        rows.append(
            [
                "another model",
                "first of all: no more runs and no other summary mend a model that cannot make the data",
                f"What it has to mend: {reasons}",
            ]
        )
    elif findings.needs_discrepancy:
        rows.append(
            [
                "a discrepancy",
                "first of all: the intervals then allow for what the model lacks",
                "state discrepancy=, of the size that the verdict gives, and fit again",
            ]
        )
    data = sorted(_more_data(findings), key=lambda g: g[0])
    gains = [_more_runs(findings), _another_summary(findings), *data[:_OBSERVED]]
    rows += [row for _, row in sorted((g for g in gains if g is not None), key=lambda g: g[0])]
    if len(data) > _OBSERVED:
        rows.append(
            [f"observe one of {len(data) - _OBSERVED} more", "less than that of the data above", "likewise"]
        )
    if findings.recovery is None:
        rows.append(
            [
                "a self-test",
                "shows whether the intervals cover what they claim",
                "`hetcal self-test`, some minutes",
            ]
        )
    return Table("What to do next", ["what", "gain expected", "how"], rows)


def _narrows(widths: dict[str, float]) -> str:
    worth = {name: width for name, width in widths.items() if width < _WORTH}
    if not worth:
        return f"hardly any: no interval would shrink below {percent(min(widths.values()))} of its width"
    parts = [f"{name} to {percent(width)} of its width" for name, width in worth.items()]
    return f"intervals would shrink: {listed(parts)}"


def _more_runs(findings: PosteriorFindings) -> tuple[float, list[str]]:
    widths = findings.narrowed_by_runs
    return min(widths.values()), [
        "more runs (locations and replicates)",
        f"{_narrows(widths)}, as far as the emulators know their own error"
        + ("; summaries learned from more runs may be better too" if findings.words is summary_words else ""),
        "raise rounds=: placement decides between new parameter sets and more seeds at known ones",
    ]


def _another_summary(findings: PosteriorFindings) -> tuple[float, list[str]] | None:
    anchor = findings.anchor
    if anchor is None or not anchor.mixed:
        return None
    table = anchor.comparison
    widths = {row.parameter: min(1 / row.width_ratio, 1.0) for row in table.itertuples()}
    return min(widths.values()), [
        "better summaries",
        _narrows(widths) + " (those of the exact posterior)",
        "a target with a statistic= that says more, or the particle filter itself (hc.ParticleMCMC)",
    ]


def _more_data(findings: PosteriorFindings) -> list[tuple[float, list[str]]]:
    rows = []
    for what, part in findings.narrowed_by_data.groupby("what", sort=False):
        widths = dict(zip(part["parameter"], part["width"], strict=True))
        if min(widths.values()) < _WORTH:
            rows.append(
                (
                    float(np.min(list(widths.values()))),
                    [
                        f"observe {what}",
                        _narrows(widths),
                        "if it were known exactly, by regression on runs like the data: add a target for it",
                    ],
                )
            )
    return rows
