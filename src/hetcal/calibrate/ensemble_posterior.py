"""Posterior given ensemble statistics: for data that are shares, means and spreads over realisations.

Emulators learn from single runs, so a location counts for what its seeds are worth. Each round looks closer: emulators
learn from the part of the space that the posterior of the round before leaves, and a margin around it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from hetcal.calibrate.cheap_model import cheap_runs, make
from hetcal.calibrate.ensemble_likelihood import EnsembleLikelihood, fit_ensemble, in_or_near
from hetcal.calibrate.ensemble_statistics import KINDS
from hetcal.calibrate.rounds import COUNTS, Fit, Learning, Rounds
from hetcal.calibrate.sampler import cut_off
from hetcal.calibrate.study_runs import StudyRuns
from hetcal.emulators.hetgp import HetGP
from hetcal.problem import Problem
from hetcal.simulators.identity import fingerprint
from hetcal.targets import EnsembleTarget

# Quantiles of a posterior that the next round keeps, and the margin on either side, in distances between them.
_TAIL, _MARGIN = 0.01, 0.5

# Standard deviations by which some statistic is missed everywhere in a part of the space that does not hold the truth.
_IMPLAUSIBLE = 4.0

# Share of a data set's realisations that must be left where some failed.
_LEFT = 0.9


@dataclass(frozen=True, eq=False)
class EnsemblePosterior(Rounds):
    """Posterior of the parameters from ensemble statistics.

    For data that describe several realisations: the share of outbreaks that invade a region, the mean attack rate, the
    standard deviation of the day of the peak. Each has its sampling law (see `hetcal.calibrate.ensemble_likelihood`),
    so runs need not come in ensembles of the data's size: locations with 2 seeds and with 60 both count for what they
    are worth. For data that are one realisation use `Posterior`.

    Statistics that say nothing of their own are found and named, in the order of the targets: a standard deviation of
    what happens or not follows the share of runs in which it does.

    Parameters
    ----------
    problem : Problem
        With EnsembleTargets of the statistics "share_positive", "mean" and "sd", each with its number of realisations,
        all of the same runs. Targets of weight 0 are held out and may be of any statistic.
    emulator : HetGP
        Unfitted pattern, copied for each number of a run.
    initial, replicates, batch, rounds, predictive
        As of `Posterior`; predictive counts draws, each of which is run as often as the data were.
    cheap : simulator, optional
        A cheaper model of the same, with its parameters and outputs. It is run where the posterior is looked for, and
        what is emulated is the discrepancy of the problem's simulator from it, so that fewer runs of the latter are
        needed. A number in which it does not follow the simulator is emulated without it. Its runs, 1,000 for a part
        of the space, are made as they are needed, by `ask` too.

    Raises
    ------
    ValueError
        If a target is of single runs, has another statistic, no realisations, or none is fitted.

    References
    ----------
    Binois, Huang, Gramacy and Ludkovski (2019) for new locations against replicates; Vernon, Goldstein and Bower (2010)
    for looking closer in waves.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> @hc.simulator(parameters=["rate"], outputs={"cases": ()}, version="1")
    ... def model(theta, seed):
    ...     return {"cases": np.random.default_rng(seed).poisson(theta["rate"])}
    ...
    >>> space = hc.Space([hc.Parameter("rate", hc.uniform(1, 50))])
    >>> mean = hc.EnsembleTarget("cases", observed=20.0, loss="rss", statistic="mean", realisations=25)
    >>> method = hc.EnsemblePosterior(hc.Problem(space, model, [mean]), initial=20, batch=40, rounds=2, predictive=0)
    >>> interval = method.run(seed=1).intervals(0.9)  # the standard error is (20 / 25)^(1/2)
    >>> bool(1.2 < (interval["high"] - interval["low"])[0] / (2 * 1.64 * 0.89) * 1.3 < 1.5)
    True
    """

    problem: Problem
    emulator: HetGP = field(default_factory=lambda: HetGP(noise="heteroskedastic"))
    initial: int = 60
    replicates: int = 4
    batch: int = 120
    rounds: int | None = None
    predictive: int = 100
    cheap: Any = None

    # Statistics are taken as they are, and no realisation is left out.
    observation = MappingProxyType({})
    alive = None
    discrepancy = 0.0

    def __post_init__(self) -> None:
        self._check_counts(COUNTS, optional=("rounds",))
        if self.problem.run_targets:
            raise ValueError(
                f"target {self.problem.run_targets[0].name!r} is of single runs: use hetcal.Posterior, or give "
                "hetcal.EnsembleTarget"
            )
        for target in self.problem.ensemble_targets:
            if target.weight > 0 and target.statistic not in KINDS:
                raise ValueError(
                    f"target {target.name!r}: the sampling law of its statistic is not known; it is of "
                    f"{', '.join(KINDS)}"
                )
            if target.realisations is None:
                raise ValueError(
                    f"target {target.name!r} does not say how many realisations it was observed in: give realisations="
                )
        if not self.targets:
            raise ValueError("every target has weight 0: give at least one to be fitted a weight above 0")
        counts = sorted({t.realisations or 0 for t in self.problem.ensemble_targets})
        if len(counts) > 1:
            raise ValueError(
                f"targets were observed in {' and '.join(map(str, counts))} realisations: they must be of the same runs"
            )

        if self.cheap is not None:
            _ = self._cheap_problem

    @cached_property
    def _cheap_problem(self) -> Problem:
        """The problem with the cheap model in the place of the simulator."""
        if isinstance(self.cheap, Problem):
            raise ValueError("cheap is a problem: give its simulator, cheap=problem.simulator")
        try:
            return Problem(self.problem.space, self.cheap, self.problem.targets)
        except (TypeError, ValueError) as error:
            raise type(error)(f"cheap={self.cheap!r} does not stand in for the simulator: {error}") from error

    def settings(self) -> dict[str, Any]:
        """The method's settings by name; a cheap model by its name and fingerprint."""
        settings = super().settings()
        if self.cheap is None:
            del settings["cheap"]
        else:
            settings["cheap"] = f"{self.cheap.name} {self.cheap.version} {fingerprint(self.cheap)}"
        return settings

    @property
    def targets(self) -> tuple[EnsembleTarget, ...]:
        """Targets that are fitted."""
        return tuple(t for t in self.problem.ensemble_targets if t.weight > 0)

    def data_sets(
        self, points: np.ndarray, outputs: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The runs of a point make a data set for each number of realisations of the data: see `Rounds.data_sets`.

        Where a tenth of them failed at most, those that are left make it.
        """
        groups = self._ensembles(points)
        data = {
            t.name: t.of_ensembles([outputs[t.output][group] for group in groups])
            for t in self.problem.ensemble_targets
        }
        return points[[group[0] for group in groups]], data

    def besides(
        self, points: np.ndarray, outputs: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Means over the realisations of outputs that are no target's."""
        groups = self._ensembles(points)
        compared = {t.output for t in self.problem.ensemble_targets}
        means = {
            f"mean {name}": np.array([y[group].mean(axis=0) for group in groups])
            for name, y in outputs.items()
            if name not in compared
        }
        return points[[group[0] for group in groups]], means

    def _ensembles(self, points: np.ndarray) -> list[np.ndarray]:
        """Rows of points (N, d) that make a data set each, in the order of their first."""
        size = self.realisations
        location = np.unique(points, axis=0, return_inverse=True)[1].reshape(-1)
        found: list[np.ndarray] = []
        for rows in np.split(np.argsort(location, kind="stable"), np.cumsum(np.bincount(location))[:-1]):
            parts = (rows[i : i + size] for i in range(0, len(rows), size))
            found += [part for part in parts if len(part) >= max(_LEFT * size, 2)]
        return sorted(found, key=lambda rows: int(rows[0]))

    @property
    def assumed(self) -> str:
        """How the data were observed, in words."""
        return f"{', '.join(t.name for t in self.targets)} of {self.realisations} realisations"

    def _observed(self) -> dict[str, np.ndarray]:
        return {t.name: t.observed[None] for t in self.targets}

    def _learn(self, study: Learning, round: int, seed: int, before: dict[str, Any]) -> EnsembleLikelihood:
        runs = study.training(round)
        good = runs.status == "ok"
        if not good.any():
            raise ValueError(f"no run of {self.problem.simulator.name!r} gave every output: see their errors")
        unit = self.problem.space.to_unit(runs.theta[good])
        outputs = {t.output: runs.outputs[t.output][good] for t in self.targets}
        d = unit.shape[1]
        box = np.array(before["box"] if before else [np.zeros(d), np.ones(d)])
        cheap = None
        if self.cheap is not None:
            beside = np.unique(unit[in_or_near(box, unit)], axis=0)
            cheap = cheap_runs(self._cheap_study(study), round, box, beside, seed)
        return fit_ensemble(self.targets, outputs, unit, self.emulator, before.get("fits"), box, cheap)

    def _cheap_study(self, study: StudyRuns) -> StudyRuns:
        """The cheap model's runs beside those of a study."""
        name = f"{study.study}-cheap"
        return StudyRuns(self._cheap_problem, study.ledger, name, study.say, study.seconds, where=study.where)

    def _retry_beside(self, study: StudyRuns) -> None:
        if self.cheap is not None:
            own = self._cheap_study(study)
            make(own, own.asked_runs(), retry_failed=True)

    def _note(self, fit: Fit) -> dict[str, Any]:
        """The part of the space in which the next round learns: all of it where nothing in this one fits.

        Where draws pile up at an end of this one's, the next reaches to the end of the prior there.
        """
        unit = self.problem.space.to_unit(fit.samples.to_numpy())
        low, high = np.quantile(unit, [_TAIL, 1 - _TAIL], axis=0)
        margin = _MARGIN * (high - low)
        low, high = np.maximum(low - margin, 0.0), np.minimum(high + margin, 1.0)
        too_low, too_high = cut_off(unit, fit.likelihood.box)
        low[too_low], high[too_high] = 0.0, 1.0
        if fit.likelihood.implausibility(unit, fit.observed).min() > _IMPLAUSIBLE:
            low, high = np.zeros_like(low), np.ones_like(high)
        return {"box": [low.tolist(), high.tolist()]}

    def _outside(self, likelihood: EnsembleLikelihood) -> tuple[str, ...]:
        return likelihood.outside(likelihood.summaries(self._observed())[0])

    @property
    def realisations(self) -> int:
        return int(self.targets[0].realisations or 0)
