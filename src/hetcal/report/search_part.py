"""The part of a report that tells of a search for the best fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hetcal.report import many_losses, tables
from hetcal.report.cautions import cautions
from hetcal.report.figures import convergence, data, emulator_checks, sensitivity
from hetcal.report.part import Part, file_names
from hetcal.report.summary import summary
from hetcal.report.surfaces import loss_pictures, shown
from hetcal.report.words import ENDED, NO_ESTIMATE, SECTIONS, answer, number, optimism, percent

if TYPE_CHECKING:
    from hetcal.report.canvas import Picture
    from hetcal.report.findings import Findings


def search_part(findings: Findings, alone: bool = True) -> Part:
    """All that a report tells of a calibration by loss; alone on its page, or after a posterior."""
    result, drawn = findings.result, many_losses.shown_checks(findings)
    return Part(
        template="search.html",
        sections=SECTIONS,
        answer=answer(findings, alone),
        cautions=cautions(findings),
        pictures=_pictures(findings),
        context={
            "result": result,
            "no_estimate": NO_ESTIMATE,
            "misses": [table for check in drawn if (table := tables.misses(check))],
            "other_outputs": tables.other_outputs(findings),
            "losses": tables.losses(findings),
            "parameters": tables.parameters(findings),
            "ties": tables.ties(findings),
            "shown": shown(findings),
            "dimension": result.problem.space.dimension,
            "volume": percent(result.ranges.volume),
            "optimism": optimism(findings),
            "fits": many_losses.fits(findings),
            "overview": many_losses.emulator_table(findings) if many_losses.are_many(findings) else None,
            "held_out": many_losses.held_out(findings),
            "forest": many_losses.forest(findings),
            "drawn": [check.target.name for check in drawn],
            "diagnostics": [tables.diagnostics(findings, name) for name in many_losses.diagnosed(findings)],
            "learners": [table for name in result.emulators if (table := tables.learners(findings, name))],
            "runs": tables.runs(findings),
            "reasons": tables.failure_reasons(findings),
            "places": tables.failure_places(findings),
            "failure_share": tables.failure_share(findings),
            "repeated": tables.repeated_sets(findings),
            "ended": ENDED[result.stopped],
            "simulating": number(float(findings.runs["seconds"].sum())),
            "seconds": {
                label: number(result.seconds[name])
                for name, label in (("fitting", "fitting"), ("total", "everything"))
                if name in result.seconds
            },
        },
        summary=summary(findings),
        emulators={
            f"emulators/{file}": result.emulators[name]
            for name, file in file_names(list(result.emulators)).items()
        },
        settings=[tables.method_settings(findings)],
        code=f"hc.{type(result.method).__name__}(problem, ...)",
        studies=[(result.study, result.seed)],
    )


def _pictures(findings: Findings) -> dict[str, list[Picture]]:
    """The figures by the section they stand in."""
    files = file_names([check.target.name for check in findings.checks])
    checks = many_losses.shown_checks(findings)
    return {
        "data": [data(check, files[check.target.name]) for check in checks],
        "loss": loss_pictures(findings),
        "convergence": [convergence(findings)],
        "sensitivity": sensitivity(findings),
        "losses": [many_losses.heat_map(findings.by_loss)] if findings.by_loss is not None else [],
        "emulators": _emulators(findings, files),
    }


def _emulators(findings: Findings, files: dict[str, str]) -> list[Picture]:
    if many_losses.are_many(findings):
        return [many_losses.predicted_panels(findings)]
    return [
        picture
        for name in findings.result.emulators
        for picture in emulator_checks(findings, name, files[name])
    ]
