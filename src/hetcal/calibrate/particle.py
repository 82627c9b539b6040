"""The likelihood of a time series under a noisy simulator, estimated without bias by a particle filter.

Many runs (particles) are simulated side by side. After each day those that make the day's datum likely are copied
and the others dropped; the product of the days' mean likelihoods estimates the likelihood of the series.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetcal.observation import Observation
from hetcal.simulators import Stepper, check_stepper
from hetcal.streams import generator


def particle_filter(
    simulator: Stepper,
    theta: dict[str, float],
    observed: Mapping[str, Any],
    observation: Observation | Mapping[str, Observation],
    particles: int = 200,
    seed: int = 0,
) -> float:
    """Estimate the log likelihood of observed series at one parameter set.

    The bootstrap filter with systematic resampling. Its exponential is unbiased for the likelihood, whatever the
    number of particles; the estimate itself is low by about half its variance, which is inversely proportional to
    the number of particles.

    Parameters
    ----------
    simulator : Stepper
        A simulator with `initial`, `observe` and `step`.
    theta : dict of str to float
        Parameters in natural units.
    observed : dict of str to array
        By output, the observed series (days,); NaN for a day without a datum.
    observation : Observation, or a dict of them by output
        The law of a datum given the simulator's value.
    particles : int
        Number of particles, at least 1.
    seed : int

    Returns
    -------
    float
        -inf when no particle makes the data possible.

    Raises
    ------
    TypeError
        When the simulator has no steps.
    ValueError
        For data that do not match the simulator's series or the observation model, naming them.

    References
    ----------
    Gordon, Salmond, Smith (1993), IEE Proceedings F 140, 107. Kitagawa (1996), Journal of Computational and
    Graphical Statistics 5, 1, for the resampling. Del Moral (2004), Feynman-Kac Formulae, for the unbiasedness.

    Examples
    --------
    >>> import hetcal as hc
    >>> from hetcal.calibrate.particle import particle_filter
    >>> boys = hc.data.flu1978()["in_bed"]
    >>> school = hc.simulators.StochasticSIR(population=763, days=14)
    >>> theta = {"R0": 3.6, "infectious_days": 2.2, "I0": 3}
    >>> law = hc.observation.PoissonObservation()
    >>> -70 < particle_filter(school, theta, {"in_bed": boys}, law, seed=1) < -55
    True
    """
    check_particles(particles)
    data = ObservedSeries.of(simulator, observed, observation)
    return filter_log_likelihood(simulator, theta, data, particles, generator(seed, "calibration"))


def check_particles(particles: Any) -> None:
    """Refuse what is no number of particles."""
    if isinstance(particles, bool) or not isinstance(particles, (int, np.integer)) or particles < 1:
        raise ValueError(f"particles is {particles!r}: give a whole number of at least 1")


@dataclass(frozen=True)
class ObservedSeries:
    """Observed series with their observation models, checked once against the simulator that is to make them.

    `series` has (observed (days,), observation model) by output.
    """

    days: int
    series: dict[str, tuple[np.ndarray, Observation]]

    @classmethod
    def of(
        cls,
        simulator: Stepper,
        observed: Mapping[str, Any],
        observation: Observation | Mapping[str, Observation],
    ) -> ObservedSeries:
        """Check and bring together what the user gave."""
        check_stepper(simulator)
        if not isinstance(observed, Mapping) or not observed:
            raise ValueError(
                "observed has no series: give a dict of output to observed series, {'in_bed': [...]}"
            )
        models = observation if isinstance(observation, Mapping) else dict.fromkeys(observed, observation)
        if set(models) != set(observed):
            raise ValueError(
                f"observation models are given for {', '.join(map(str, models))} but {', '.join(observed)} are "
                "observed: give one for each output, or a single one for all"
            )
        series = {}
        for name, values in observed.items():
            shape = simulator.outputs.get(name)
            if shape is None or len(shape) != 1:
                raise ValueError(
                    f"observed {name!r} is no series of simulator {simulator.name!r}: it has "
                    + ", ".join(f"{output} {shape}" for output, shape in simulator.outputs.items())
                )
            values = np.asarray(values, dtype=float)
            if values.shape != shape:
                raise ValueError(
                    f"observed {name!r} has shape {values.shape}, the simulator's is {shape}: give a value a day, "
                    "NaN where none was observed"
                )
            known = np.isfinite(values)
            if not known.any() or np.isinf(values).any():
                raise ValueError(f"observed {name!r} has no datum or an infinite one: {values}")
            if not isinstance(models[name], Observation):
                raise TypeError(
                    f"observation of {name!r} is {models[name]!r}: give a hetcal.observation model such as "
                    "PoissonObservation()"
                )
            models[name].check(values[known])
            series[name] = (values, models[name])
        lengths = {len(values) for values, _ in series.values()}
        if len(lengths) > 1:
            raise ValueError(f"observed series differ in length: {sorted(lengths)}; pad with NaN")
        return cls(lengths.pop(), series)

    def log_weights(self, outputs: Mapping[str, np.ndarray], day: int) -> np.ndarray | None:
        """Log density of a day's data at each particle, or None where none of these outputs was observed."""
        total = None
        for name, expected in outputs.items():
            if name not in self.series:
                continue
            values, model = self.series[name]
            if math.isnan(values[day]):
                continue
            each = model.log_density(values[day], expected)
            if math.isnan(each.max()):  # a NaN among them is the greatest
                raise ValueError(
                    f"a step gave {name} = {np.asarray(expected)[np.isnan(each)][0]} on day {day}"
                )
            total = each if total is None else total + each
        return total


def filter_log_likelihood(
    simulator: Stepper,
    theta: dict[str, float],
    data: ObservedSeries,
    particles: int,
    rng: np.random.Generator,
) -> float:
    """`particle_filter` on checked data."""
    states = simulator.initial(theta, particles, rng)
    total = 0.0
    unseen = set(data.series)
    for day in range(data.days):
        outputs = simulator.observe(states)
        unseen.difference_update(outputs)
        gained, states = _resample(states, data.log_weights(outputs, day), rng)
        total += gained
        if day == data.days - 1 and not unseen:
            break  # all is read off at the start of a day
        states, outputs = simulator.step(states, theta, day, rng)
        if unseen.difference(outputs) and day == 0:
            raise ValueError(
                f"simulator {simulator.name!r}: neither observe nor step gives the observed "
                f"{', '.join(sorted(unseen.difference(outputs)))}"
            )
        gained, states = _resample(states, data.log_weights(outputs, day), rng)
        total += gained
        if total == -math.inf:
            break
    return total


def _resample(
    states: np.ndarray, log_weights: np.ndarray | None, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Log of the mean weight, and states drawn in proportion to the weights by systematic resampling."""
    if log_weights is None:
        return 0.0, states
    highest = log_weights.max()
    if highest == -math.inf:
        return -math.inf, states
    reached = np.cumsum(np.exp(log_weights - highest))
    n = len(states)
    positions = (rng.random() + np.arange(n)) * (reached[-1] / n)
    chosen = np.minimum(np.searchsorted(reached, positions, side="right"), n - 1)
    return float(highest + math.log(reached[-1] / n)), states[chosen]
