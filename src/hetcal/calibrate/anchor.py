"""The exact posterior beside an emulated one: what the summaries lost, and whether the two agree."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.calibrate.chains import central_intervals
from hetcal.calibrate.particle_mcmc import ParticleMCMC

if TYPE_CHECKING:
    import pandas as pd

    from hetcal.calibrate.posterior_result import PosteriorResult

_KEPT = 1000
# Above this split R-hat the chains have not met.
_RHAT = 1.05


@dataclass(frozen=True, eq=False)
class Anchor:
    """The exact posterior of a stepped simulator, beside the emulated one of the same data and observation law.

    Attributes
    ----------
    samples : pandas.DataFrame
        Draws from the exact posterior, natural units, a column a parameter.
    comparison : pandas.DataFrame
        By parameter: parameter; median, low, high (emulated, 90 %); exact_median, exact_low, exact_high;
        width_ratio, emulated over exact width; shift, of the means, in the exact posterior's standard deviations.
    bits_lost : float
        Information that the exact posterior has over the emulated one: half the log2 of the ratio of their
        covariances' determinants, in the unit cube. Below 0 where the emulated one is the narrower.
    rhat, effective : float
        Largest split R-hat and least effective sample size of the chains.
    particles : int

    Examples
    --------
    >>> import hetcal as hc
    >>> problem = hc.studies.flu1978.study().problem
    >>> law = hc.observation.PoissonObservation()
    >>> method = hc.Posterior(problem, observation={"in_bed": law}, initial=40, replicates=5, rounds=0, predictive=0)
    >>> anchor = method.run(seed=1).exact(iterations=20, burn_in=30)    # a real answer takes the default iterations
    >>> anchor.comparison["parameter"].tolist()
    ['R0', 'infectious_days', 'I0']
    """

    samples: pd.DataFrame
    comparison: pd.DataFrame
    bits_lost: float
    rhat: float
    effective: float
    particles: int

    @property
    def mixed(self) -> bool:
        """Whether the chains have met, so that the exact posterior may be called so."""
        return self.rhat <= _RHAT

    @property
    def agrees(self) -> bool:
        """Whether every mean lies within one exact standard deviation of the other and no interval is much narrower."""
        table = self.comparison
        return bool((table["shift"].abs() < 1).all() and (table["width_ratio"] > 0.7).all())


def exact_sampler(
    result: PosteriorResult, iterations: int, burn_in: int, outputs: Collection[str] | None = None
) -> ParticleMCMC:
    """The sampler of the exact posterior of the same data and observation law, of all fitted outputs or some.

    Raises
    ------
    TypeError, ValueError
        Where the problem has none, saying why.
    """
    method = result.method
    if method.discrepancy:
        raise ValueError(
            "a particle filter knows no discrepancy on roots of counts: compare with discrepancy=0"
        )
    series = {}
    for target in method.targets:
        if outputs is not None and target.output not in outputs:
            continue
        if target.statistic is not None:
            raise ValueError(
                f"target {target.name!r} compares a statistic, which a particle filter cannot weigh day by day: give "
                "the series itself as the target"
            )
        if target.name not in method.observation:
            raise ValueError(
                f"target {target.name!r} has no observation model: state one in observation={{...}}"
            )
        if target.output in series:
            raise ValueError(
                f"output {target.output!r} is fitted by two targets: a particle filter weighs one"
            )
        series[target.output] = (target.observed, method.observation[target.name])
    return ParticleMCMC(
        result.problem.space,
        result.problem.simulator,
        {output: data for output, (data, _) in series.items()},
        {output: law for output, (_, law) in series.items()},
        iterations=iterations,
        burn_in=burn_in,
    )


def exact_anchor(result: PosteriorResult, iterations: int, burn_in: int) -> Anchor:
    """See `PosteriorResult.exact`."""
    sampler = exact_sampler(result, iterations, burn_in)
    kept = result.ledger.checkpoints(result.study)
    name = f"exact {iterations} {burn_in}"
    if name not in kept:
        result.ledger.checkpoint(result.study, name, _note(sampler, result.seed))
        kept = result.ledger.checkpoints(result.study)
    return _beside(result, kept[name])


def _note(sampler: ParticleMCMC, seed: int) -> dict[str, Any]:
    """What is kept of a run of the sampler."""
    posterior = sampler.run(seed)
    draws = posterior.unit.reshape(-1, posterior.unit.shape[-1])
    rows = np.linspace(0, len(draws) - 1, min(_KEPT, len(draws))).astype(int)
    summary = posterior.summary
    return {
        "unit": draws[rows].tolist(),
        "rhat": float(summary["rhat"].max()),
        "effective": float(summary["ess"].min()),
        "particles": posterior.particles,
    }


def _beside(result: PosteriorResult, note: dict[str, Any]) -> Anchor:
    space = result.problem.space
    exact_unit, unit = np.array(note["unit"]), space.to_unit(result.samples.to_numpy())
    samples = space.frame(space.from_unit(exact_unit))
    exact = central_intervals(samples, 0.9).add_prefix("exact_").drop(columns="exact_parameter")
    table = result.intervals(0.9).join(exact)
    widths = [
        np.ptp(space.to_unit(table[ends].to_numpy().T.copy()), axis=0)
        for ends in (["low", "high"], ["exact_low", "exact_high"])
    ]
    table["width_ratio"] = widths[0] / np.maximum(widths[1], 1e-12)
    table["shift"] = (unit.mean(axis=0) - exact_unit.mean(axis=0)) / np.maximum(exact_unit.std(axis=0), 1e-12)
    volumes = [np.linalg.slogdet(np.atleast_2d(np.cov(draws.T)))[1] for draws in (unit, exact_unit)]
    bits = 0.5 * (volumes[0] - volumes[1]) / np.log(2)
    return Anchor(samples, table, float(bits), note["rhat"], note["effective"], note["particles"])


def known_anchor(result: PosteriorResult) -> Anchor | None:
    """The exact posterior that was computed for this study before, with the most iterations; None where none was."""
    kept = result.ledger.checkpoints(result.study)
    names = [name for name in kept if name.startswith("exact ")]
    if not names:
        return None
    return _beside(result, kept[max(names, key=lambda name: int(name.split()[1]))])
