"""The part of a report that tells of a posterior: verdict, intervals, decisions, report card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hetcal.report import posterior_figures as figures
from hetcal.report import posterior_tables as tables
from hetcal.report.ensemble_figures import statistics
from hetcal.report.card import methods_paragraph, report_card, what_next
from hetcal.report.part import Part, file_names
from hetcal.report.posterior_summary import posterior_summary
from hetcal.report.posterior_words import answer, cautions, sections
from hetcal.report.tables import Table

if TYPE_CHECKING:
    from hetcal.report.canvas import Picture
    from hetcal.report.posterior_findings import PosteriorFindings


def posterior_part(findings: PosteriorFindings) -> Part:
    """All that a report tells of a posterior."""
    result = findings.result
    methods = methods_paragraph(findings)
    files = file_names(list(result.likelihood.emulators))
    return Part(
        template="posterior.html",
        sections=sections(findings),
        answer=answer(findings),
        cautions=cautions(findings),
        pictures=_pictures(findings),
        context={
            "result": result,
            "verdict": findings.verdict,
            "failing": tables.failing(findings),
            "intervals": tables.intervals(findings),
            "anchor": findings.anchor,
            "recovery": findings.recovery,
            "recovery_table": tables.recovery(findings),
            "emulator_table": tables.emulators(findings),
            "drivers": tables.drivers(findings),
            "scenarios": findings.scenarios,
            "scenario_table": tables.scenarios(findings),
            "would_change": tables.would_change(findings),
            "card": report_card(findings),
            "methods": methods,
            "words": findings.words,
            "next_steps": what_next(findings),
        },
        summary=posterior_summary(findings),
        emulators={
            f"emulators/summaries/{files[name]}": emulator
            for name, emulator in result.likelihood.emulators.items()
        },
        settings=[
            Table(
                f"Settings of {type(result.method).__name__}",
                ["setting", "value"],
                [[name, str(value)] for name, value in result.method.settings().items()],
            )
        ],
        code=f"hc.{type(result.method).__name__}(problem, ...)",
        studies=[(result.study, result.seed)],
        extra_files={"methods.txt": methods + "\n"},
    )


def _pictures(findings: PosteriorFindings) -> dict[str, list[Picture]]:
    """The figures by the section they stand in."""
    placed, arms = figures.placement(findings), figures.effects(findings)
    return {
        "verdict": statistics(findings) if findings.of_ensembles else figures.bands(findings),
        "intervals": [*figures.marginals(findings), *figures.pairs(findings)],
        "trust": [*figures.ranks(findings), *([placed] if placed else [])],
        "decisions": [arms] if arms else [],
    }
