"""A posterior's numbers for summary.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hetcal.report.posterior_findings import PosteriorFindings


def posterior_summary(findings: PosteriorFindings) -> dict[str, Any]:
    """The report's numbers on a posterior.

    Parameters
    ----------
    findings : PosteriorFindings

    Returns
    -------
    dict
        Keys verdict (kind, sentence, reasons; None where nothing was checked) and posterior (study, seed, runs,
        intervals by level and parameter, effective, stopped, summaries (or, of ensembles, statistics and
        learned_within), exact, self_test, scenarios).
    """
    result, verdict, anchor = findings.result, findings.verdict, findings.anchor
    return {
        "verdict": None
        if verdict is None
        else {"kind": verdict.kind, "sentence": verdict.sentence, "reasons": list(verdict.reasons)},
        "posterior": {
            "study": result.study,
            "seed": result.seed,
            "runs": {"total": len(findings.runs), "failed": int((findings.runs["status"] == "failed").sum())},
            "intervals": {f"{level:.0%}": result.intervals(level).to_dict("records") for level in (0.5, 0.9)},
            "effective": result.effective,
            "stopped": result.stopped,
            **findings.words.numbers(findings),
            "exact": None
            if anchor is None
            else {
                "comparison": anchor.comparison.to_dict("records"),
                "bits_lost": anchor.bits_lost,
                "rhat": anchor.rhat,
                "effective": anchor.effective,
                "particles": anchor.particles,
            },
            "self_test": None
            if findings.recovery is None
            else {
                "trusted": findings.recovery.trusted,
                "says": list(findings.recovery.says),
                "table": findings.recovery.table.to_dict("records"),
            },
            "scenarios": None
            if findings.scenarios is None
            else {
                "best": findings.scenarios.best,
                "says": findings.scenarios.says,
                "table": findings.scenarios.table.to_dict("records"),
                "what_would_change_it": findings.scenarios.what_would_change_it.to_dict("records"),
            },
        },
    }
