"""What a report says of a likelihood of learned summaries; `ensemble_words` says the same of one of statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hetcal.report.words import data_of, listed

if TYPE_CHECKING:
    from hetcal.report.posterior_findings import PosteriorFindings

HOW = (
    "The likelihood of the data is emulated: outputs of runs are summarised, each summary has an emulator of its mean "
    "and its noise, and the emulators' own uncertainty is part of the likelihood. With the priors it gives a "
    "posterior, and intervals that carry a probability."
)
OBSERVED = "and its runs were observed as the data were"
A_NUMBER = "summary of "
OVER = "the prior"
FRESH = "runs"


def assumed(findings: PosteriorFindings) -> str:
    """How data come from runs."""
    method = findings.result.method
    laws = [
        f"{data_of(t)} observed by {method.observation[t.name]!r}"
        if t.name in method.observation
        else f"{data_of(t)} observed without error"
        for t in method.targets
    ]
    lacking = (
        f"a discrepancy of {method.discrepancy}" if method.discrepancy else "no discrepancy (the model right)"
    )
    return f"{listed(laws)}; {lacking}; the priors of the table of parameters"


def card_row(findings: PosteriorFindings) -> list[str]:
    """What was learned of the data, for the report card."""
    summaries = findings.result.likelihood.summaries
    text = "; ".join(f"{name}: R2 {summaries.r2[name]:.2f}" for name in summaries.names)
    if summaries.dropped:
        text += f"; none of its own for {listed(summaries.dropped)}"
    return ["summaries", text, "look" if summaries.dropped else "good"]


def cautions(findings: PosteriorFindings) -> list[str]:
    """What a reader has to know of the likelihood before using it."""
    dropped = findings.result.likelihood.summaries.dropped
    if not dropped:
        return []
    return [
        f"The data say next to nothing about {listed(dropped)}: no summary could be learned for it, and its "
        "posterior is near its prior unless it goes with another parameter's."
    ]


def methods(findings: PosteriorFindings, noise: str, package: str) -> list[str]:
    """Sentences of a methods section on the likelihood."""
    likelihood = findings.result.likelihood
    summaries = likelihood.summaries
    sentences = [
        "Outputs were brought to stable variance and summarised by regressing each parameter on them (Fearnhead and "
        "Prangle 2012), with cross-validated R2 of "
        f"{listed([f'{summaries.r2[n]:.2f} ({n})' for n in summaries.names])}.",
        f"Each summary was emulated by a Gaussian process with {noise} noise ({package}), and the residual correlation "
        "of the summaries of one run was pooled over parameter sets; the likelihood adds the emulators' own "
        "uncertainty.",
    ]
    if likelihood.alive is not None:
        sentences.append(
            "Whether a run was alive by the rule stated was emulated by a Bernoulli Gaussian process; summaries are "
            "conditional on it."
        )
    return sentences


def numbers(findings: PosteriorFindings) -> dict[str, Any]:
    """What was learned of the data, for summary.json."""
    summaries = findings.result.likelihood.summaries
    return {"summaries": {"r2": summaries.r2, "dropped": summaries.dropped}}
