"""What a study found, and how a terminal tells it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.ensemble import execute
from hetcal.frames import seed_array, theta_array
from hetcal.simulators import fingerprint, split_outputs
from hetcal.streams import simulator_seeds

if TYPE_CHECKING:
    from hetcal.calibrate import CalibrationResult, PosteriorResult
    from hetcal.decisions import Scenarios
    from hetcal.report import Exhibit


@dataclass(frozen=True, eq=False)
class Answers:
    """What a study found.

    Attributes
    ----------
    result : CalibrationResult or PosteriorResult
        Of the study's method.
    posterior : PosteriorResult or None
        Of the study's posterior, or of a method that is one.
    scenarios : Scenarios or None
    exhibits : tuple of Exhibit
        What the study shows beside; their runs come from `simulate`.
    workers : int
        Processes that the study was given; an exhibit that calibrates gives them to its method.

    Examples
    --------
    >>> from hetcal.studies.answers import Answers
    >>> Answers("result", None, None).posterior is None
    True
    """

    result: CalibrationResult | PosteriorResult
    posterior: PosteriorResult | None
    scenarios: Scenarios | None
    exhibits: tuple[Exhibit, ...] = ()
    workers: int = 1

    def simulate(
        self, simulator: Any, design: Any, replicates: Any, stream: int = 0, common: bool = False
    ) -> dict[str, np.ndarray]:
        """Runs for an exhibit, kept in the study's ledger: those that are there are not made again.

        They are made by this process, and train no emulator of this or another study.

        Parameters
        ----------
        simulator : simulator
            The study's or another.
        design : DataFrame or array_like, shape (n, d)
            Parameter sets in natural units; an array in the order of the simulator's parameters.
        replicates : int or array_like of int
            Seeds a parameter set; or the seeds themselves, those of a reference, which all sets then share.
        stream : int
            Exhibits of different streams have different seeds.
        common : bool
            All parameter sets share their seeds, to be compared in pairs. Otherwise each has its own.

        Returns
        -------
        dict of numpy.ndarray
            By output name, (n, replicates, *shape); NaN where a run failed.
        """
        columns = list(simulator.parameters)
        theta = theta_array(design[columns] if hasattr(design, "columns") else design, columns)
        if np.ndim(replicates):
            seeds = np.tile(seed_array(replicates), (len(theta), 1))
        else:
            each = (0 if common else location for location in range(len(theta)))
            seeds = np.stack(
                [simulator_seeds(self.result.seed, "exhibits", stream, i, replicates) for i in each]
            )
        digest = hashlib.sha256(fingerprint(simulator).encode() + theta.tobytes() + seeds.tobytes())
        ledger = self.result.ledger
        # Asked for, so that no study takes them for runs that were brought in.
        ledger.ask(f"exhibits/{digest.hexdigest()[:16]}", stream, "exhibits", simulator, theta, list(seeds))
        rows = np.repeat(theta, seeds.shape[1], axis=0)
        execute(simulator, rows, seeds.ravel(), ledger)
        _, flat, _ = ledger.lookup(simulator, rows, seeds.ravel())
        outputs = split_outputs(simulator.outputs, flat)
        return {name: values.reshape(seeds.shape + values.shape[1:]) for name, values in outputs.items()}


def lines(answers: Answers) -> Iterator[str]:
    """What was found, a line each."""
    from hetcal.calibrate import CalibrationResult

    if answers.posterior is not None:
        yield from _of_posterior(answers.posterior)
    if answers.scenarios is not None:
        yield answers.scenarios.says
    if isinstance(answers.result, CalibrationResult):
        yield from _of_search(answers.result)


def _of_posterior(posterior: PosteriorResult) -> Iterator[str]:
    from hetcal.checks.statistics import rounded

    if posterior.method.predictive or posterior.outside:
        yield f"verdict: {posterior.verdict.sentence}"
    units = {parameter.name: parameter.unit for parameter in posterior.problem.space.parameters}
    for row in posterior.intervals(0.9).itertuples():
        # Three digits, or more where the interval is narrower than they tell.
        fine = row.high - row.low < 0.02 * abs(row.median)
        median, low, high = (
            rounded(value, row.high - row.low) if fine else f"{value:.3g}" for value in row[2:5]
        )
        text = f"{row.parameter}: {median} (90% interval {low} to {high})"
        yield f"{text} {units[row.parameter]}".strip()


def _of_search(result: CalibrationResult) -> Iterator[str]:
    best, ranges, runs = result.best, result.ranges, result.runs
    units = {parameter.name: parameter.unit for parameter in result.problem.space.parameters}
    point = (f"{name} = {value:.4g} {units[name]}".strip() for name, value in best.theta.items())
    yield f"best: {', '.join(point)}"
    yield (
        f"loss: {best.loss:.4g} ± {best.loss_se:.2g} (standard error) on {best.replicates} fresh runs; the noise floor "
        f"is {best.noise_floor:.4g}; tied with it: {len(best.ties)}"
    )
    yield f"optimism: {best.optimism:+.3g}, the loss on fresh runs less the {best.believed:.4g} the search believed"
    each = ", ".join(f"{row.parameter} {row.low:.3g} to {row.high:.3g}" for row in ranges.table.itertuples())
    share = f"{ranges.volume:.2%}" if ranges.volume >= 1e-4 else "less than 0.01%"
    yield f"not ruled out yet: {each}; jointly {share} of the prior"
    if runs["failed"]:
        errors = result.ledger.runs(result.problem.simulator, result.study).query("status == 'failed'")[
            "error"
        ]
        often = errors.mode().iloc[0].partition("\n")[0]
        yield f"failed runs: {runs['failed']} of {runs['total']}, most often: {often}"
