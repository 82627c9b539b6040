"""What a report says of a posterior in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hetcal.report.card import exact_sentence
from hetcal.report.words import called, capital, listed, quantity, value_of

if TYPE_CHECKING:
    from hetcal.report.posterior_findings import PosteriorFindings

SECTIONS = {
    "verdict": "Can the model reproduce the data?",
    "intervals": "What the data say about the parameters",
    "trust": "Can the intervals be trusted?",
    "decisions": "What it means for a decision",
    "next": "Report card, and what to do next",
}
_NAMED = 4


def sections(findings: PosteriorFindings) -> dict[str, str]:
    """Sections of this posterior's part."""
    absent = {"decisions"} if findings.scenarios is None else set()
    return {name: title for name, title in SECTIONS.items() if name not in absent}


def answer(findings: PosteriorFindings) -> list[str]:
    """The answer: the verdict first, then what the data say about the parameters, then the decision."""
    sentences = []
    if findings.verdict is not None:
        sentences.append(findings.verdict.sentence)
    sentences.append(_intervals(findings))
    if findings.scenarios is not None:
        sentences.append(findings.scenarios.says)
    return sentences


def _intervals(findings: PosteriorFindings) -> str:
    space = findings.result.problem.space
    anchored = findings.anchor is not None and findings.anchor.mixed and not findings.anchor.agrees
    if anchored:
        assert findings.anchor is not None
        table = findings.anchor.comparison.set_index("parameter")
        ends, which = ("exact_low", "exact_high"), "the exact likelihood puts"
    else:
        table, ends, which = (
            findings.result.intervals(0.9).set_index("parameter"),
            ("low", "high"),
            "the data put",
        )
    parts = []
    for p in space.parameters[:_NAMED]:
        low, high = table.loc[p.name, list(ends)]
        parts.append(
            f"{called(p)} between {value_of(p, low, high - low)} and {quantity(p, high, high - low)}"
        )
    if space.dimension > _NAMED:
        parts.append(f"{space.dimension - _NAMED} more in the table")
    if findings.fits:
        each = " each" if space.dimension > 1 else ""
        return f"With 90 % probability{each}, {which} {listed(parts)}."
    differ = "; those of the summaries differ, see below" if anchored else ""
    many = "s" if space.dimension > 1 else ""
    return (
        f"If the model were right, {which} {listed(parts)} (90 % interval{many}{differ}); since it does not reproduce "
        "the data, these are properties of the model and no statement about the world."
    )


def cautions(findings: PosteriorFindings) -> list[str]:
    """Sentences under "Before you use it"."""
    result, notes = findings.result, []
    if findings.verdict is None:
        notes.append(
            "No predictive runs were asked for, so nothing says whether the model can make the data at all."
        )
    if findings.recovery is None:
        notes.append(
            "The intervals of this study have not been tested on simulated data sets: `hetcal self-test` does that."
        )
    elif not findings.recovery.trusted:
        ended = "fails" if findings.found_wrong else "was too small"
        notes.append(f"The self-test {ended}: {findings.recovery.says[0]}")
    if findings.anchor is not None and not findings.anchor.mixed:
        notes.append(f"The exact posterior cannot be used yet: {exact_sentence(findings)}.")
    elif findings.anchor is not None and not findings.anchor.agrees:
        notes.append(f"Emulated and exact posterior differ: {exact_sentence(findings)}.")
    if result.effective < 400:
        notes.append(
            f"Only {result.effective:.0f} effective draws from the posterior: ends of intervals are rough."
        )
    if result.unsettled:
        notes.append(
            f"{capital(' and '.join(result.unsettled))}: intervals may miss the truth altogether. Raise rounds= before "
            "you use them."
        )
    return [*notes, *findings.words.cautions(findings)]
