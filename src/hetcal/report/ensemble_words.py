"""What a report says of a likelihood of ensemble statistics; `summary_words` says the same of one of summaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hetcal.emulators.discrepancy import DiscrepancyGP
from hetcal.report.words import listed

if TYPE_CHECKING:
    from hetcal.calibrate.ensemble_likelihood import EnsembleLikelihood
    from hetcal.report.posterior_findings import PosteriorFindings

HOW = (
    "The data are statistics of several realisations, and each has a sampling law: a share is binomial, means are "
    "normal, a standard deviation follows a chi-squared law. What these laws need, the probability of an event, the "
    "mean and the noise of a number, is emulated over the parameters from single runs; the emulators' own uncertainty "
    "is part of the likelihood. With the priors it gives a posterior, and intervals that carry a probability."
)
OBSERVED = "at each as often as the data were, and the same statistics were taken of these runs"
A_NUMBER = ""
OVER = "the part of the prior that the emulators learned"
FRESH = "ensembles of runs"
_LAWS = {
    "share": "binomial counts for {}",
    "mean": "a normal law for {}, given the shares of the same runs",
    "sd": "a chi-squared law for {}",
}
_NAMED = 8  # statistics that a sentence names


def assumed(findings: PosteriorFindings) -> str:
    """How data come from runs."""
    method = findings.result.method
    return (
        f"the data are those of {method.realisations} independent realisations of the model (no discrepancy); the "
        "priors of the table of parameters"
    )


def card_row(findings: PosteriorFindings) -> list[str]:
    """What was learned of the data, for the report card."""
    likelihood = findings.result.likelihood
    text = f"{len(likelihood.statistics)} of {len(likelihood.statistics) + len(likelihood.left_out)} count: "
    text += _named([s.name for s in likelihood.statistics])
    return ["statistics", "; ".join([text, *likelihood.left_out.values()]), "good"]


def cautions(findings: PosteriorFindings) -> list[str]:
    """What a reader has to know of the likelihood before using it."""
    left_out = findings.result.likelihood.left_out
    if not left_out:
        return []
    which = (
        "One statistic says nothing of its own and does"
        if len(left_out) == 1
        else "Some statistics say nothing"
    )
    which += "" if len(left_out) == 1 else " of their own and do"
    return [f"{which} not count: {listed(list(left_out))}. The report card says why."]


def methods(findings: PosteriorFindings, noise: str, package: str) -> list[str]:
    """Sentences of a methods section on the likelihood."""
    likelihood = findings.result.likelihood
    laws = [_LAWS[kind].format(_named(names)) for kind, names in _by_kind(likelihood).items()]
    sentences = [
        f"The likelihood is that of statistics of {findings.result.method.realisations} realisations: {listed(laws)}."
    ]
    if likelihood.left_out:
        sentences.append(f"Redundant statistics did not count: {'; '.join(likelihood.left_out.values())}.")
    if likelihood.emulators:
        sentences.append(
            f"Means and noise of single runs were emulated by Gaussian processes with {noise} noise ({package}), the "
            "correlation of the numbers of one run was pooled over parameter sets, and the likelihood adds the "
            "emulators' own uncertainty."
        )
    cheap = getattr(findings.result.method, "cheap", None)
    if cheap is not None:
        beside = [name for name, e in likelihood.emulators.items() if isinstance(e, DiscrepancyGP)]
        beside += [name for name, p in likelihood.shares.items() if p.trend is not None]
        sentences.append(
            f"What was emulated of {_named(beside)} is the discrepancy from the cheaper model {cheap.name}, which was "
            "run in the same places."
            if beside
            else f"The cheaper model {cheap.name} was run in the same places, but did not help to predict any number."
        )
    if likelihood.shares:
        sentences.append(
            "Probabilities were emulated by Gaussian processes on the logit (Laplace's approximation)."
        )
    sentences.append(
        "Emulators were fitted, in rounds, to the part of the prior that the posterior of the round before left."
    )
    return sentences


def numbers(findings: PosteriorFindings) -> dict[str, Any]:
    """What was learned of the data, for summary.json."""
    likelihood = findings.result.likelihood
    space = findings.result.problem.space
    ends = space.from_unit(likelihood.box)
    return {
        "statistics": {
            "realisations": findings.result.method.realisations,
            "fitted": _by_kind(likelihood),
            "left_out": likelihood.left_out,
        },
        "learned_within": {name: ends[:, j].tolist() for j, name in enumerate(space.names)},
    }


def _by_kind(likelihood: EnsembleLikelihood) -> dict[str, list[str]]:
    """Names of the statistics that count, by their law."""
    found: dict[str, list[str]] = {}
    for statistic in likelihood.statistics:
        found.setdefault(statistic.kind, []).append(statistic.name)
    return found


def _named(names: list[str]) -> str:
    """Names, or how many there are of a target that has many."""
    if len(names) <= _NAMED:
        return listed(names)
    single = [name for name in names if "[" not in name]
    many: dict[str, int] = {}
    for name in names:
        if "[" in name:
            many[name.partition("[")[0]] = many.get(name.partition("[")[0], 0) + 1
    return listed([*single, *(f"{count} of {name}" for name, count in many.items())])
