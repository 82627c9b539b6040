"""What a report says about a posterior, as numbers: gathered once, then told in words, tables and figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.calibrate.anchor import Anchor, known_anchor
from hetcal.calibrate.ensemble_likelihood import EnsembleLikelihood
from hetcal.calibrate.emulator_share import remaining_width
from hetcal.checks.coverage import AS_CLAIMED
from hetcal.checks.kept import known_recovery
from hetcal.diagnostics import diagnose
from hetcal.report import ensemble_words, summary_words
from hetcal.report.findings import SOBOL_DRAWS
from hetcal.sensitivity import sobol
from hetcal.streams import generator

if TYPE_CHECKING:
    import pandas as pd

    from hetcal.calibrate.posterior_result import PosteriorResult
    from hetcal.checks.predictive import Predictive
    from hetcal.checks.recovery import RecoveryTest
    from hetcal.checks.verdict import Verdict
    from hetcal.decisions import Scenarios
    from hetcal.sensitivity.sobol import SobolResult

_SOBOL_ROWS = 2_048


@dataclass(frozen=True, eq=False)
class PosteriorFindings:
    """All that a report tells of a posterior.

    Attributes
    ----------
    result : PosteriorResult
    study : Study or None
    verdict : Verdict or None
        None where no predictive runs were asked for.
    predictive : Predictive or None
    anchor : Anchor or None
        The exact posterior, where it was computed.
    recovery : RecoveryTest or None
        The self-test, where it was run.
    scenarios : Scenarios or None
    runs : pandas.DataFrame
        Runs of the study: parameters, status, seconds, error.
    diagnostics : pandas.DataFrame
        Of the emulators.
    """

    result: PosteriorResult
    study: Any
    verdict: Verdict | None
    predictive: Predictive | None
    anchor: Anchor | None
    recovery: RecoveryTest | None
    scenarios: Scenarios | None
    runs: pd.DataFrame
    diagnostics: pd.DataFrame

    @property
    def fits(self) -> bool:
        """Whether the intervals may be read as such: some parameters fit, or nothing was checked."""
        return self.verdict is None or self.verdict.kind != "no parameters fit"

    @property
    def needs_discrepancy(self) -> bool:
        """Whether the model fits only with a discrepancy that was not stated."""
        kind = None if self.verdict is None else self.verdict.kind
        return kind == "fits with discrepancy" and self.result.method.discrepancy == 0

    @property
    def found_wrong(self) -> bool:
        """Whether the self-test found an interval wrong; one of few data sets may just not tell."""
        return self.recovery is not None and bool((self.recovery.table["verdict"] != AS_CLAIMED).any())

    @property
    def of_ensembles(self) -> bool:
        """Whether the data are statistics of ensembles."""
        return isinstance(self.result.likelihood, EnsembleLikelihood)

    @property
    def words(self) -> Any:
        """The module that says what is particular to the kind of likelihood."""
        return ensemble_words if self.of_ensembles else summary_words

    @cached_property
    def sobol(self) -> dict[str, SobolResult]:
        """Sobol' indices of every emulated number, over the prior or the part of it that its emulator knows."""
        result, space = self.result, self.result.problem.space
        within = None
        if self.of_ensembles:
            within = dict(
                zip(space.names, map(tuple, space.from_unit(result.likelihood.box).T.tolist()), strict=True)
            )
        options: dict[str, Any] = {
            "n": _SOBOL_ROWS,
            "seed": result.seed,
            "draws": SOBOL_DRAWS,
            "within": within,
        }
        return {
            name: sobol(emulator, space, **options) for name, emulator in result.likelihood.emulators.items()
        }

    @cached_property
    def narrowed_by_runs(self) -> dict[str, float]:
        """By parameter: width of its interval, if more runs made these emulators exact, over its width now."""
        rng = generator(self.result.seed, "reporting", 1)
        return remaining_width(self.result, rng)

    @cached_property
    def narrowed_by_data(self) -> pd.DataFrame:
        """Columns what, parameter, width: of its interval over that now, if an output that is not fitted were known.

        By regression of the parameters' draws on what their predictive runs gave.
        """
        import pandas as pd

        result = self.result
        runs = result.predictive_runs()
        rows: list[dict[str, Any]] = []
        if not len(runs["theta"]):
            return pd.DataFrame(rows, columns=["what", "parameter", "width"])
        theta, besides = result.method.besides(runs["theta"], runs["outputs"])
        for name, values in besides.items():
            flat = values.reshape(len(theta), -1).astype(float)
            for parameter, draws in zip(result.problem.space.names, theta.T, strict=True):
                width = np.sqrt(1 - _explained(flat, draws))
                rows.append({"what": name, "parameter": parameter, "width": width})
        return pd.DataFrame(rows, columns=["what", "parameter", "width"])


def _explained(x: np.ndarray, y: np.ndarray) -> float:
    """Share of y's variance that a regression on x's first components and their squares explains, adjusted."""
    if len(y) < 50 or np.ptp(y) == 0:
        return 0.0
    centred = x - x.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    kept = left[:, : min(5, int((size > 1e-9 * max(size[0], 1e-300)).sum()))]
    if not kept.shape[1]:
        return 0.0
    columns = np.column_stack([np.ones(len(y)), kept, kept**2])
    error = y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]
    spare = len(y) - columns.shape[1]
    return float(np.clip(1 - (error @ error / spare) / y.var(ddof=1), 0.0, 1.0))


def gather_posterior(
    result: PosteriorResult, study: Any = None, scenarios: Scenarios | None = None
) -> PosteriorFindings:
    """Compute what a report of this posterior tells.

    Parameters
    ----------
    result : PosteriorResult
    study : Study, optional
    scenarios : Scenarios, optional

    Returns
    -------
    PosteriorFindings
    """
    checked = result.method.predictive > 0
    return PosteriorFindings(
        result=result,
        study=study,
        verdict=result.verdict if checked or result.outside else None,
        predictive=result.predictive if checked else None,
        anchor=known_anchor(result),
        recovery=known_recovery(result),
        scenarios=scenarios,
        runs=result.ledger.runs(result.problem.simulator, result.study),
        diagnostics=diagnose(result.likelihood.emulators),
    )
