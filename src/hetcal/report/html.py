"""Writes the report of a calibration, a posterior, or both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hetcal.calibrate import CalibrationResult, PosteriorResult
from hetcal.checks import SyntheticRecovery
from hetcal.report.exhibits import Exhibit, exhibits_part
from hetcal.report.findings import gather
from hetcal.report.page import write_page
from hetcal.report.part import Part
from hetcal.report.posterior_findings import gather_posterior
from hetcal.report.posterior_part import posterior_part
from hetcal.report.recovery_part import recovery_part
from hetcal.report.search_part import search_part

if TYPE_CHECKING:
    from hetcal.decisions import Scenarios


def write_report(
    result: CalibrationResult | PosteriorResult | SyntheticRecovery,
    folder: str | Path,
    study: Any = None,
    command: str | None = None,
    posterior: PosteriorResult | None = None,
    scenarios: Scenarios | None = None,
    exhibits: Sequence[Exhibit] = (),
) -> Path:
    """Write report.html, summary.json, figures and emulators into a folder.

    The HTML file needs no other file and no network. The same result gives the same files, but for seconds and
    versions.

    Parameters
    ----------
    result : CalibrationResult, PosteriorResult or SyntheticRecovery
    folder : str or pathlib.Path
        Made where missing; files of an earlier report are overwritten.
    study : Study, optional
        Its title, source, story and what to look at are told in the report.
    command : str, optional
        The command that makes this result again, as the report prints it; lines of Python where none is given.
    posterior : PosteriorResult, optional
        Beside a CalibrationResult: its verdict, intervals and decisions then come first.
    scenarios : Scenarios, optional
        Decisions under that posterior.
    exhibits : sequence of Exhibit, optional
        What else the study shows.

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
    if isinstance(result, PosteriorResult):
        posterior = result
    parts, what = [], "Calibration of"
    if isinstance(result, SyntheticRecovery):
        parts.append(recovery_part(result))
        what, command = "Recovery of a known truth by", command or _recovery_code(result)
        result = result.result
    if posterior is not None:
        parts.append(posterior_part(gather_posterior(posterior, study, scenarios)))
    if isinstance(result, CalibrationResult):
        parts.append(search_part(gather(result, study), alone=posterior is None))
    if exhibits:
        parts.append(exhibits_part(exhibits))
    title = study.title if study is not None else f"{what} {result.problem.simulator.name}"
    return write_page(
        folder, "report", title, parts, [result.problem.simulator], command or _code(parts), study
    )


def _code(parts: list[Part]) -> str:
    """Lines that make this result again."""
    runs = "\n".join(
        f'result = {part.code}.run(hc.Ledger("runs.sqlite"), seed={part.studies[0][1]})'
        for part in reversed(parts)
        if part.code
    )
    return (
        "import hetcal as hc\n\n"
        "problem = hc.Problem(space, simulator, targets)  # priors: above; simulator and settings: below\n"
        f'{runs}\nresult.report("results")'
    )


def _recovery_code(recovery: SyntheticRecovery) -> str:
    """Lines that make this recovery again."""
    return (
        "import hetcal as hc\n\n"
        f"method = hc.{type(recovery.result.method).__name__}(problem, ...)  # settings: above\n"
        f"truth = {recovery.truth}\n"
        f"recovery = hc.synthetic_recovery(method, truth, seed={recovery.result.seed})\n"
        'recovery.report("results")'
    )
