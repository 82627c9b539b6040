"""Writes the report: figures as PNG, the numbers as JSON, and one HTML file that holds all a reader needs."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hetcal.report import tables
from hetcal.report.cautions import cautions
from hetcal.report.figures import convergence, data, emulator_checks, sensitivity
from hetcal.report.findings import Findings, gather
from hetcal.report.summary import summary
from hetcal.report.surfaces import loss_pictures, shown
from hetcal.report.words import (
    NO_ESTIMATE,
    SECTIONS,
    answer,
    convergence_of,
    number,
    optimism,
    percent,
    section,
)

if TYPE_CHECKING:
    from hetcal.calibrate.result import CalibrationResult
    from hetcal.report.canvas import Picture

# Base64 makes a third more of it, and the file is to stay below 3 MB.
_EMBEDDED_BYTES = 2_000_000


def write_report(
    result: CalibrationResult, folder: str | Path, study: Any = None, command: str | None = None
) -> Path:
    """Write report.html, summary.json, figures and emulators into a folder.

    The HTML file needs no other file and no network. The same result gives the same files, but for seconds and
    versions.

    Parameters
    ----------
    result : CalibrationResult
    folder : str or pathlib.Path
        Made where missing; files of an earlier report are overwritten.
    study : Study, optional
        Its title, source, story and what to look at are told in the report.
    command : str, optional
        The command that makes this result again, as the report prints it; lines of Python where none is given.

    Returns
    -------
    pathlib.Path
        Of report.html.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import hetcal as hc
    >>> from hetcal.report import write_report
    >>> problem = hc.studies.flu1978.study().problem
    >>> result = hc.BayesianCalibration(problem, initial=20, batch=2, rounds=1).run(seed=1)
    >>> with TemporaryDirectory() as folder:
    ...     write_report(result, folder).name
    ...
    'report.html'
    """
    folder = Path(folder)
    findings = gather(result, study)
    pictures = _pictures(findings)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for picture in (p for group in pictures.values() for p in group):
        (folder / "figures" / f"{picture.name}.png").write_bytes(picture.png)
    for name, file in file_names(list(result.emulators)).items():
        result.emulators[name].save(folder / "emulators" / file)
    numbers = json.dumps(summary(findings), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "summary.json").write_text(numbers + "\n", encoding="utf-8")
    path = folder / "report.html"
    path.write_text(_html(findings, pictures, command), encoding="utf-8")
    return path


def file_names(names: list[str]) -> dict[str, str]:
    """A file name for each name, safe on any file system and without doubles.

    Examples
    --------
    >>> from hetcal.report.html import file_names
    >>> file_names(["in_bed", "a/b", "a b"])
    {'in_bed': 'in_bed', 'a/b': 'a_b', 'a b': 'a_b-2'}
    """
    files: dict[str, str] = {}
    for name in names:
        base = re.sub(r"[^\w-]+", "_", name).strip("_")[:80] or "target"
        file, count = base, 1
        while file.lower() in (taken.lower() for taken in files.values()):
            count += 1
            file = f"{base}-{count}"
        files[name] = file
    return files


def _pictures(findings: Findings) -> dict[str, list[Picture]]:
    """The figures by the section they stand in."""
    files = file_names([check.target.name for check in findings.checks])
    return {
        "data": [data(check, files[check.target.name]) for check in findings.checks if len(check.simulated)],
        "loss": loss_pictures(findings),
        "convergence": [convergence(findings)],
        "sensitivity": [sensitivity(findings)],
        "emulators": [
            picture
            for name in findings.result.emulators
            for picture in emulator_checks(findings, name, files[name])
        ],
    }


def _html(findings: Findings, pictures: dict[str, list[Picture]], command: str | None) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("hetcal.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    result, study, space = findings.result, findings.study, findings.result.problem.space
    return environment.get_template("report.html").render(
        title=findings.title,
        study=study,
        story=_paragraphs(study),
        result=result,
        answer=answer(findings),
        cautions=cautions(findings),
        no_estimate=NO_ESTIMATE,
        sections={name: title for name, title in SECTIONS.items() if name != "story" or study is not None},
        section=section,
        pictures=pictures,
        embedded=_embedded(pictures),
        misses=[table for check in findings.checks if (table := tables.misses(check))],
        other_outputs=tables.other_outputs(findings),
        losses=tables.losses(findings),
        parameters=tables.parameters(findings),
        ties=tables.ties(findings),
        shown=shown(findings),
        dimension=space.dimension,
        volume=percent(result.ranges.volume),
        optimism=optimism(findings),
        fits={name: convergence_of(fitted) for name, fitted in result.emulators.items()},
        diagnostics=[tables.diagnostics(findings, name) for name in result.emulators],
        runs=tables.runs(findings),
        reasons=tables.failure_reasons(findings),
        places=tables.failure_places(findings),
        failure_share=tables.failure_share(findings),
        repeated=tables.repeated_sets(findings),
        simulating=number(float(findings.runs["seconds"].sum())),
        seconds={
            label: number(result.seconds[name])
            for name, label in (("fitting", "fitting"), ("total", "everything"))
            if name in result.seconds
        },
        settings=tables.method_settings(findings),
        simulator=tables.simulator(findings),
        versions=tables.versions(findings),
        code=command or _code(findings),
    )


def _embedded(pictures: dict[str, list[Picture]]) -> dict[str, str]:
    """Base64 of the figures that the file has room for, by name."""
    embedded, size = {}, 0
    for picture in (p for group in pictures.values() for p in group):
        size += len(picture.png)
        if size <= _EMBEDDED_BYTES:
            embedded[picture.name] = base64.b64encode(picture.png).decode("ascii")
    return embedded


def _paragraphs(study: Any) -> list[str]:
    if study is None:
        return []
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", study.story) if part.strip()]


def _code(findings: Findings) -> str:
    """Lines that make this result again."""
    result, priors = findings.result, section("parameters")
    return (
        "import hetcal as hc\n\n"
        f"problem = hc.Problem(space, simulator, targets)  # priors: section {priors}; simulator: below\n"
        f"method = hc.{type(result.method).__name__}(problem, ...)  # settings: below\n"
        f'result = method.run(hc.Ledger("runs.sqlite"), seed={result.seed})\n'
        'result.report("results")'
    )
