"""Synthetic-truth recovery: does a calibration find parameters that are known, and which can it not find?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.calibrate.bayesopt import BayesianCalibration
from hetcal.calibrate.result import CalibrationResult
from hetcal.ensemble import execute
from hetcal.ledger import Ledger
from hetcal.problem import Problem
from hetcal.sensitivity.sobol import can_draw, sobol
from hetcal.simulators.base import split_outputs
from hetcal.streams import simulator_seeds

if TYPE_CHECKING:
    import pandas as pd

_NARROW = 0.5  # of the prior's width: a range below it says something
_ROWS, _POINTS, _DRAWS = 2_000, 50_000, 40
RECOVERED, OPEN, FALSE = "recovered", "not recovered", "false recovery"


@dataclass(frozen=True, eq=False)
class SyntheticRecovery:
    """A calibration to data whose truth is known.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a parameter: parameter, truth, low and high (the range not ruled out, natural units), share (of the
        prior's width, by probability), best (the winner's value), covers (the range holds the truth), verdict,
        total, total_low, total_high (total Sobol' index of the weighted loss over the prior). Verdicts: "recovered",
        the range holds the truth and is narrower than half of the prior; "false recovery", it is as narrow but
        misses the truth; "not recovered", it is wider. A loss that does not depend on a parameter (total index near
        0) cannot recover it.
    result : CalibrationResult
        Of the calibration to the simulated data.
    truth : dict of float
        Natural units.

    Examples
    --------
    >>> import hetcal as hc
    >>> problem = hc.studies.flu1978.study().problem
    >>> method = hc.BayesianCalibration(problem, initial=20, batch=2, rounds=1)
    >>> found = hc.synthetic_recovery(method, {"R0": 3.6, "infectious_days": 2.2, "I0": 3.0}, seed=1)
    >>> found.table["parameter"].tolist(), sum(found.counts.values())
    (['R0', 'infectious_days', 'I0'], 3)
    """

    table: pd.DataFrame
    result: CalibrationResult
    truth: dict[str, float]

    @property
    def counts(self) -> dict[str, int]:
        """Parameters by verdict."""
        return {v: int((self.table["verdict"] == v).sum()) for v in (RECOVERED, OPEN, FALSE)}

    @property
    def says(self) -> str:
        """What came back and what did not, in a sentence."""
        told = [f"{self.counts[RECOVERED]} of {len(self.table)} parameters recovered{self._named(RECOVERED)}"]
        told.append(f"{self.counts[OPEN]} not recovered{self._named(OPEN)}")
        count = self.counts[FALSE]
        told.append(f"{count} false {'recovery' if count == 1 else 'recoveries'}{self._named(FALSE)}")
        return "; ".join(told)

    def _named(self, verdict: str) -> str:
        rows = self.table[self.table["verdict"] == verdict]
        named = ", ".join(f"{r.parameter} (total index {r.total:.2f})" for r in rows.itertuples())
        return f": {named}" if named else ""

    def report(self, folder: str | Path) -> Path:
        """Write report.html, summary.json, figures and emulators into a folder; returns the report's path.

        Parameters
        ----------
        folder : str or pathlib.Path
            Made where missing.
        """
        from hetcal.report import write_report

        return write_report(self, folder)

    def __repr__(self) -> str:
        return f"Synthetic truth: {self.says}\n{self.table.round(3).to_string(index=False)}"


def synthetic_recovery(
    method: BayesianCalibration,
    truth: Mapping[str, float],
    seed: int = 1,
    ledger: Ledger | None = None,
    workers: int = 1,
    executor: Any = None,
    time_limit: float | None = None,
    progress: bool | None = None,
) -> SyntheticRecovery:
    """Calibrate to data simulated at a known truth, and tell which parameters came back.

    Use it before a calibration to real data: parameters that do not come back from data of a known truth will not be
    found in real ones either. The data are one run at the truth, made with a seed of a branch that no calibration
    draws from, and put in the place of every target's; families, weights and settings stay. That run trains nothing.
    The range whose width and cover decide is the one not ruled out; it carries no percentage, so covers are no test
    of a probability.

    Parameters
    ----------
    method : BayesianCalibration
    truth : mapping of str to float
        Every parameter, natural units, inside of its prior.
    seed : int
        Of the data and of the calibration.
    ledger : Ledger, optional
        Where the calibration's runs are kept; killed and called again, it goes on. In memory where none is given.
    workers, executor, time_limit, progress
        As in `BayesianCalibration.run`.

    Returns
    -------
    SyntheticRecovery

    Raises
    ------
    TypeError
        If `method` is no BayesianCalibration.
    ValueError
        If names of the truth are wrong, it lies outside of a prior, or its run lacks an output.

    References
    ----------
    Reiker et al. (2021), Nat Commun 12:7212, for the verdict.

    Examples
    --------
    >>> import hetcal as hc
    >>> problem = hc.studies.flu1978.study().problem
    >>> method = hc.BayesianCalibration(problem, initial=20, batch=2, rounds=1)
    >>> found = hc.synthetic_recovery(method, {"R0": 3.6, "infectious_days": 2.2, "I0": 3.0}, seed=1)
    >>> set(found.table["verdict"]) <= {"recovered", "not recovered", "false recovery"}
    True
    """
    if not isinstance(method, BayesianCalibration):
        raise TypeError(f"method is {method!r}: give a hetcal.BayesianCalibration(problem, ...)")
    space = method.problem.space
    if not isinstance(truth, Mapping):
        raise ValueError(f"truth is {truth!r}: give a dict of {', '.join(space.names)}")
    point = space.array(truth)
    space.to_unit(point)  # outside of a prior raises
    known = replace(method, problem=_of_truth(method.problem, point, seed, time_limit))
    result = known.run(ledger, seed, workers, executor, time_limit, progress=progress)
    return recovery_of(result, dict(zip(space.names, point[0].tolist())))


def _of_truth(problem: Problem, point: np.ndarray, seed: int, time_limit: float | None) -> Problem:
    """The problem with data that were simulated at a point (1, d)."""
    simulator = problem.simulator
    theta, seeds = problem.theta(problem.space.frame(point)), simulator_seeds(seed, "truth", 0, 0, 1)
    # In a ledger of its own: a run at the truth must not be taken over as a training run.
    with Ledger() as apart:
        execute(simulator, theta, seeds, apart, time_limit=time_limit, progress=False)
        _, flat, _ = apart.lookup(simulator, theta, seeds)
        errors = apart.runs(simulator)["error"].dropna()
    outputs = split_outputs(simulator.outputs, flat)
    targets = []
    for target in problem.run_targets:
        if not np.all(np.isfinite(outputs[target.output])):
            why = f" ({errors.iloc[0]})" if len(errors) else ""
            raise ValueError(
                f"the run at the truth gave no {target.output!r}{why}: give another truth, or another seed"
            )
        targets.append(replace(target, observed=target.compared(outputs[target.output])[0]))
    return Problem(problem.space, simulator, targets)


def recovery_of(result: CalibrationResult, truth: Mapping[str, float]) -> SyntheticRecovery:
    """Verdicts of a calibration that is finished, to data whose truth is known.

    Parameters
    ----------
    result : CalibrationResult
    truth : mapping of str to float
        Every parameter, natural units.

    Returns
    -------
    SyntheticRecovery

    Examples
    --------
    >>> import hetcal as hc
    >>> from hetcal.checks.truth_recovery import recovery_of
    >>> problem = hc.studies.flu1978.study().problem
    >>> result = hc.BayesianCalibration(problem, initial=20, batch=2, rounds=1).run(seed=1)
    >>> len(recovery_of(result, {"R0": 3.6, "infectious_days": 2.2, "I0": 3.0}).table)
    3
    """
    space = result.problem.space
    values = np.array([truth[name] for name in space.names], dtype=float)
    indices = sobol(
        result.emulator,
        space,
        n=min(_ROWS, _POINTS // (space.dimension + 2)),
        seed=result.seed,
        draws=_DRAWS if can_draw(result.emulator) else 0,
    ).table.set_index("parameter")
    table = result.ranges.table.copy()
    table.insert(1, "truth", values)
    table["best"] = [result.best.theta[name] for name in space.names]
    table["covers"] = (table["low"] <= values) & (values <= table["high"])
    narrow = table["share"] < _NARROW
    table["verdict"] = np.where(~narrow, OPEN, np.where(table["covers"], RECOVERED, FALSE))
    table = table.join(indices[["total", "total_low", "total_high"]], on="parameter")
    return SyntheticRecovery(table, result, dict(truth))
