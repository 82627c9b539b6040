"""What a report says, as numbers: computed once, then told in words, tables and figures."""

from __future__ import annotations

import math
import platform
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal import rbridge
from hetcal.sensitivity import forest_check, sobol, sobol_by_loss
from hetcal.sensitivity.by_loss import TOTAL
from hetcal.sensitivity.forest import FEWEST
from hetcal.sensitivity.sobol import can_draw

if TYPE_CHECKING:
    import pandas as pd

    from hetcal.calibrate.result import CalibrationResult
    from hetcal.sensitivity import ForestCheck, SobolByLoss
    from hetcal.sensitivity.sobol import SobolResult

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_PACKAGES = ("hetcal", "numpy", "scipy", "pandas", "numba", "matplotlib")
# Fewer rows where parameters are many: a report takes seconds.
_SOBOL_ROWS, _SOBOL_POINTS, SOBOL_DRAWS = 2_000, 50_000, 40
# Up to so many losses a report has figures of each; of more it shows the worst, tells the others in tables, and draws
# fewer functions from their emulators.
FEW_LOSSES, _MANY_DRAWS = 4, 12


@dataclass(frozen=True, eq=False)
class Check:
    """The winner's fresh runs beside the data of one target.

    Attributes
    ----------
    target : Target
    simulated : numpy.ndarray
        What the target compares, of n valid runs, shape (n, *observed.shape).
    axis : str
        What the last index counts: "day" or "data point".
    """

    target: Any
    simulated: np.ndarray
    axis: str

    @cached_property
    def quantiles(self) -> np.ndarray:
        """Quantiles at `QUANTILES`, shape (5, *observed.shape); NaN where no run gave every output."""
        if not len(self.simulated):
            return np.full((len(QUANTILES), *self.target.observed.shape), np.nan)
        return np.quantile(self.simulated, QUANTILES, axis=0)

    @cached_property
    def outside(self) -> np.ndarray:
        """Which data lie outside of the band that holds 90 % of the runs."""
        observed = self.target.observed
        return (observed < self.quantiles[0]) | (observed > self.quantiles[-1])

    @property
    def is_series(self) -> bool:
        """Whether the data are to be drawn as a line, one after another."""
        return self.target.observed.size > 40 or (
            self.target.statistic is None and self.target.observed.shape[-1] > 4
        )

    def place(self, index: tuple[int, ...]) -> str:
        """What a reader calls one datum."""
        if self.target.observed.size == 1:
            return self.target.label or self.target.name
        return f"{self.axis} {', '.join(str(i) for i in index)}"


@dataclass(frozen=True)
class Quarter:
    """Runs in a quarter (by probability) of one parameter's prior, between ``low`` and ``high``."""

    failed: int
    total: int
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Findings:
    """All that a report tells.

    Attributes
    ----------
    result : CalibrationResult
    study : Study or None
    sobol : SobolResult
        Of the emulated total loss over the prior, with both parts of its error.
    sobol_left : SobolResult or None
        The same over the box of what is not ruled out; None where that is a point.
    by_loss : SobolByLoss or None
        Over the prior, of each loss and of the total, where there are several.
    forest : ForestCheck or None
        These against a random forest on the first design; None where its locations are too few, or R's package
        randomForest is missing.
    diagnostics : pandas.DataFrame
    checks : list of Check
        One a target.
    runs : pandas.DataFrame
        Runs of the study: parameters, status, seconds, error.
    fresh : numpy.ndarray
        Total losses of the winner's fresh runs, shape (n,).
    gap_se : float
        Standard error of the winner's loss minus the noise floor, run by run.
    """

    result: CalibrationResult
    study: Any
    sobol: SobolResult
    sobol_left: SobolResult | None
    by_loss: SobolByLoss | None
    forest: ForestCheck | None
    diagnostics: pd.DataFrame
    checks: list[Check]
    runs: pd.DataFrame
    fresh: np.ndarray
    gap_se: float

    @property
    def ranked(self) -> list[str]:
        """Parameters from the one the loss depends on most to the least."""
        table = self.sobol.table.sort_values("total", ascending=False, kind="stable")
        return table["parameter"].tolist()

    @property
    def failed(self) -> np.ndarray:
        """Which runs gave nothing."""
        return (self.runs["status"] == "failed").to_numpy()

    @cached_property
    def quarters(self) -> dict[str, list[Quarter]]:
        """How many runs failed in each quarter of each parameter's prior."""
        space = self.result.problem.space
        unit = space.to_unit(self.runs[list(space.names)].to_numpy(dtype=float))
        ends = space.from_unit(np.linspace(0, 1, 5)[:, None].repeat(space.dimension, axis=1))
        places = np.minimum((4 * unit).astype(int), 3)
        return {
            name: [
                Quarter(
                    int(self.failed[places[:, j] == q].sum()),
                    int((places[:, j] == q).sum()),
                    *ends[q : q + 2, j],
                )
                for q in range(4)
            ]
            for j, name in enumerate(space.names)
        }

    @cached_property
    def believed(self) -> pd.DataFrame:
        """Columns round, mean, sd: lowest mean loss that was believed of any location after each round."""
        import pandas as pd

        known = self.result.ledger.checkpoints(self.result.study)
        rounds = sorted({int(r) for r in self.result.history["round"]})
        notes = [{"round": r, **known[f"round {r}"]} for r in rounds if f"round {r}" in known]
        return pd.DataFrame(notes, columns=["round", "mean", "sd"])


def versions() -> dict[str, str]:
    """Versions of Python, R and the packages that the numbers hang on."""
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found | {name: v for name, v in rbridge.versions().items() if v is not None}


def gather(result: CalibrationResult, study: Any = None) -> Findings:
    """Compute what a report of this result tells.

    Parameters
    ----------
    result : CalibrationResult
    study : Study, optional

    Returns
    -------
    Findings
    """
    problem = result.problem
    many = len(result.emulators) > FEW_LOSSES
    rows = min(_SOBOL_ROWS, _SOBOL_POINTS // (1 + many) // (problem.space.dimension + 2))
    draws = _MANY_DRAWS if many else SOBOL_DRAWS
    outputs = result.winner_outputs()
    options: dict[str, Any] = {
        "n": rows,
        "seed": result.seed,
        "draws": draws if can_draw(result.emulator) else 0,
    }
    several = len(result.emulators) > 1
    by_loss = sobol_by_loss(result.emulator, problem.space, **options) if several else None
    return Findings(
        result=result,
        study=study,
        sobol=sobol(result.emulator, problem.space, **options) if by_loss is None else by_loss.of(TOTAL),
        sobol_left=_sobol_left(result, options),
        by_loss=by_loss,
        forest=None if by_loss is None else _forest(result, by_loss),
        diagnostics=result.diagnostics(),
        checks=_checks(result, outputs),
        runs=result.ledger.runs(problem.simulator, result.study),
        fresh=problem.evaluate(outputs)["total"].to_numpy(dtype=float),
        gap_se=_gap_se(result, outputs),
    )


def _forest(result: CalibrationResult, by_loss: SobolByLoss) -> ForestCheck | None:
    X, losses = result.design_losses()
    losses = losses[[*result.emulators, TOTAL]]
    places = [len(np.unique(X[np.isfinite(y)], axis=0)) for y in losses.to_numpy().T]
    if min(places) < FEWEST:
        return None
    try:
        return forest_check(by_loss, X, losses, seed=result.seed)
    except rbridge.RMissing:  # a report can do without this check
        return None


def _sobol_left(result: CalibrationResult, options: dict[str, Any]) -> SobolResult | None:
    ranges = result.ranges.table
    if (ranges["share"] < 1e-6).any():
        return None
    return sobol(result.emulator, result.problem.space, **options, within=ranges)


def _gap_se(result: CalibrationResult, outputs: dict[str, np.ndarray]) -> float:
    """Standard error of the mean loss minus the noise floor, the mean loss of each run against the one before it.

    A rare run raises both alike, so their difference is known better than either.
    """
    counted = [t for t in result.problem.run_targets if t.weight > 0]
    n = len(outputs[counted[0].output])
    if n < 2:
        return math.nan
    gaps = np.zeros(n)
    for target in counted:
        runs = outputs[target.output]
        gaps += target.weight * (target.losses(runs) - target.pair_losses(np.roll(runs, 1, axis=0), runs))
    gaps -= gaps.mean()
    # Neighbouring gaps share a run, so their covariance counts twice.
    alone = float(gaps.var(ddof=1))
    both = alone + 2 * float(np.mean(gaps * np.roll(gaps, 1)))
    return math.sqrt((both if both > 0 else alone) / n)


def _checks(result: CalibrationResult, outputs: dict[str, np.ndarray]) -> list[Check]:
    simulator = result.problem.simulator
    checks = []
    for target in result.problem.run_targets:
        runs = outputs[target.output]
        runs = runs[np.isfinite(runs.reshape(len(runs), -1)).all(axis=1)]
        simulated = target.compared(runs) if len(runs) else runs.reshape(0, *target.observed.shape)
        daily = target.statistic is None and target.observed.shape == (getattr(simulator, "days", None),)
        checks.append(Check(target, simulated, "day" if daily else "data point"))
    return checks
