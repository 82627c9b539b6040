"""Simulators with a state-space form: how one is written, run day by day and checked against its own runs.

A particle filter needs to stop many runs on every day and go on from the likelier ones. So a simulator offers,
beside its whole runs, the start of a run, a step of one day and what is observed.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from hetcal.simulators.base import Simulator, run_many, split_outputs
from hetcal.streams import generator, simulator_seeds

# Probability, at most, that check_step refuses a simulator whose steps and whole runs agree.
FALSE_ALARM = 1e-6


@runtime_checkable
class Stepper(Simulator, Protocol):
    """A simulator that can also be run one day at a time, many particles at once.

    Write these three methods, in numpy or numba, and exact posteriors (`ParticleMCMC`) become possible. States
    are an array (n, k), one row a particle, of any kind of numbers; methods return new arrays and leave the
    states they are given as they are. The state must hold all that the future depends on. theta is checked by
    `initial`, once a run. `check_step` compares the result with whole runs.

    Outputs that are read off the state at the start of a day (in bed on day t) come from `observe`; those that
    are counted in the course of a day (new cases on day t) come from `step`. Day t stands at index t of the
    output of a whole run, whose shape is (days,).

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> class Births:
    ...     name, version, parameters = "births", "1", ("rate",)
    ...     outputs = {"alive": (3,), "born": (3,)}
    ...     def initial(self, theta, n, rng):
    ...         return np.ones((n, 1))
    ...     def observe(self, states):
    ...         return {"alive": states[:, 0]}
    ...     def step(self, states, theta, day, rng):
    ...         born = rng.poisson(theta["rate"] * states)
    ...         return states + born, {"born": born[:, 0]}
    ...     def __call__(self, theta, seed):
    ...         days = hc.simulators.run_steps(self, theta, 1, np.random.default_rng(seed))
    ...         return {name: values[0] for name, values in days.items()}
    ...
    >>> Births()({"rate": 0.5}, seed=1)["alive"].shape
    (3,)
    """

    def initial(self, theta: dict[str, float], n: int, rng: np.random.Generator) -> np.ndarray:
        """States (n, k) at the start of day 0."""

    def observe(self, states: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs (n,) of the day that starts with these states; empty where there are none."""

    def step(
        self, states: np.ndarray, theta: dict[str, float], day: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """States (n, k) at the start of the next day, and outputs (n,) counted during this one."""


def check_stepper(simulator: Any) -> None:
    """Check that a simulator has the methods of a `Stepper`.

    Raises
    ------
    TypeError
        Naming the method that is missing.

    Examples
    --------
    >>> import hetcal as hc
    >>> hc.simulators.check_stepper(hc.simulators.StochasticSIR(population=763, days=14))
    """
    for method in ("initial", "observe", "step"):
        if not callable(getattr(simulator, method, None)):
            raise TypeError(
                f"simulator {simulator.name!r} has no method {method!r}: a particle filter runs it one day at a "
                "time, by initial(theta, n, rng), observe(states) and step(states, theta, day, rng); see "
                "hetcal.simulators.Stepper"
            )


def run_steps(
    simulator: Stepper, theta: dict[str, float], n: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Whole runs of n particles made by steps.

    Use it to write a stepper's own ``__call__``, and to see what its steps do.

    Parameters
    ----------
    simulator : Stepper
    theta : dict of str to float
    n : int
        Number of particles.
    rng : numpy.random.Generator

    Returns
    -------
    dict of numpy.ndarray
        By output that `observe` or `step` gives, shape (n, days).

    Raises
    ------
    ValueError
        When an output is not declared, not a series of the same number of days as the others, or not (n,).

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> school = hc.simulators.StochasticSIR(population=763, days=14)
    >>> theta = {"R0": 3.6, "infectious_days": 2.2, "I0": 3}
    >>> hc.simulators.run_steps(school, theta, 10, np.random.default_rng(1))["in_bed"].shape
    (10, 14)
    """
    states = simulator.initial(theta, n, rng)
    observed = simulator.observe(states)
    after, counted = simulator.step(states, theta, 0, rng)
    by_day = {name: [values] for name, values in (observed | counted).items()}
    for day in range(1, _days(simulator, list(by_day))):
        states = after
        observed = simulator.observe(states)
        after, counted = simulator.step(states, theta, day, rng)
        for name, values in (observed | counted).items():
            by_day[name].append(values)
    for name, days in by_day.items():
        for day, values in enumerate(days):
            if np.shape(values) != (n,):
                raise ValueError(
                    f"simulator {simulator.name!r}: {name!r} of day {day} has shape {np.shape(values)} for {n} "
                    f"particles: give one value a particle, ({n},)"
                )
    return {name: np.column_stack(days) for name, days in by_day.items()}


def _days(simulator: Simulator, names: list[str]) -> int:
    """Length of the series that are given day by day."""
    for name in names:
        shape = simulator.outputs.get(name)
        if shape is None or len(shape) != 1 or shape != simulator.outputs[names[0]]:
            raise ValueError(
                f"simulator {simulator.name!r}: observe and step give {name!r}, declared with shape {shape}; "
                "outputs by day are declared series (days,), all of the same length"
            )
    if not names:
        raise ValueError(f"simulator {simulator.name!r}: neither observe nor step gives an output")
    return simulator.outputs[names[0]][0]


def check_step(simulator: Stepper, theta: dict[str, float], runs: int = 2_000, seed: int = 0) -> None:
    """Compare the law of runs made by steps with that of whole runs.

    Use it once after writing a stepper: a step that forgets something gives a wrong likelihood without a sign.
    Every output's values on each day, and their changes from day to day, are compared by two-sample
    Kolmogorov-Smirnov tests, together at a false-alarm rate of one in a million (Bonferroni). With 2,000 runs a
    shift by 0.4 standard deviations on any one day is found nearly always.

    Parameters
    ----------
    simulator : Stepper
    theta : dict of str to float
        Where to compare; a point at which much happens shows most.
    runs : int
        Number of runs made each way.
    seed : int

    Raises
    ------
    TypeError
        When a method is missing.
    ValueError
        When the two disagree, naming the output, the day and the means; when whole runs fail.

    Examples
    --------
    >>> import hetcal as hc
    >>> school = hc.simulators.StochasticSIR(population=763, days=14)
    >>> hc.simulators.check_step(school, {"R0": 3.6, "infectious_days": 2.2, "I0": 3}, runs=500)
    """
    from scipy import stats

    check_stepper(simulator)
    by_steps = run_steps(simulator, theta, runs, generator(seed, "validation"))
    row = [theta[name] for name in simulator.parameters]
    results = run_many(simulator, np.tile(row, (runs, 1)), simulator_seeds(seed, "validation", 0, 0, runs))
    failed = [result for result in results if result.status != "ok"]
    if failed:
        raise ValueError(
            f"simulator {simulator.name!r}: {len(failed)} of {runs} whole runs failed at {theta}, so its steps "
            f"cannot be checked there: {failed[0].error}"
        )
    whole = split_outputs(simulator.outputs, np.array([result.outputs for result in results]))
    worst: tuple[Any, ...] = (1.0,)
    tests = 0
    for name, ours in by_steps.items():
        for what, a, b in (
            ("", ours, whole[name]),
            ("change of ", np.diff(ours, axis=1), np.diff(whole[name], axis=1)),
        ):
            for day in range(a.shape[1]):
                p = stats.ks_2samp(a[:, day], b[:, day], method="asymp").pvalue
                worst = min(worst, (p, f"{what}{name}", day, a[:, day], b[:, day]), key=lambda item: item[0])
                tests += 1
    if worst[0] < FALSE_ALARM / tests:
        p, label, day, a, b = worst
        raise ValueError(
            f"the steps of simulator {simulator.name!r} do not agree with its whole runs: {label} on day {day} "
            f"has mean {a.mean():.4g}, sd {a.std():.3g} by steps and mean {b.mean():.4g}, sd {b.std():.3g} in "
            f"whole runs (p = {p:.1g}, {runs} runs each); mend initial, observe or step, or the day they stand for"
        )
