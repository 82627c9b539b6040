"""Runs per second of StochasticSIR against numpy vectorised over runs, at draws of the flu prior."""

from __future__ import annotations

import time
from collections.abc import Callable

import numba
import numpy as np

from hetcal.simulators import StochasticSIR

RUNS = 20_000


def prior_draws(n: int, seed: int) -> np.ndarray:
    """R0 uniform on 1.2-8, infectious days uniform on 0.5-6, I0 log-uniform on 1-12."""
    u = np.random.default_rng(seed).random((n, 3))
    return np.column_stack([1.2 + 6.8 * u[:, 0], 0.5 + 5.5 * u[:, 1], 12.0 ** u[:, 2]])


def numpy_sir(model: StochasticSIR, theta: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """All runs step by step with Generator.binomial, without common random numbers."""
    rng = np.random.default_rng(seed)
    n = len(theta)
    incidence, in_bed = np.zeros((n, model.days)), np.zeros((n, model.days))
    recovery = 1.0 / (theta[:, 1] * model.steps_per_day)
    hazard = theta[:, 0] * recovery / model.population
    infected = np.floor(theta[:, 2]).astype(np.int64)
    infected += rng.random(n) < theta[:, 2] - infected
    susceptible = model.population - infected
    for day in range(model.days):
        in_bed[:, day] = infected
        for _ in range(model.steps_per_day):
            cases = rng.binomial(susceptible, -np.expm1(-hazard * infected))
            recovered = rng.binomial(infected, recovery)
            susceptible -= cases
            infected += cases - recovered
            incidence[:, day] += cases
    total = (model.population - susceptible).astype(np.float64)
    return {"incidence": incidence, "in_bed": in_bed, "total_infected": total}


def best_time(call: Callable[[], object], repeats: int = 5) -> float:
    """Least of a few times, in seconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Print runs per second of both, on all of numba's threads and on one."""
    model = StochasticSIR(population=763, days=14)
    theta, seeds = prior_draws(RUNS, 1), np.arange(RUNS)
    compiled = model.batch(theta, seeds)  # compiles
    peer = numpy_sir(model, theta, 1)
    theirs = best_time(lambda: numpy_sir(model, theta, 1), repeats=2)
    threads = numba.get_num_threads()
    for count in sorted({1, threads}):
        numba.set_num_threads(count)
        ours = best_time(lambda: model.batch(theta, seeds))
        print(
            f"SIR, {RUNS} runs of 14 days, {model.steps_per_day} steps a day, {count} thread(s): "
            f"{ours:.3f} s ({RUNS / ours:,.0f} runs/s), numpy {np.__version__}: {theirs:.2f} s "
            f"({RUNS / theirs:,.0f} runs/s), ratio {theirs / ours:.1f}x"
        )
    mean, other = (outputs["total_infected"].mean() for outputs in (compiled, peer))
    spread = np.hypot(compiled["total_infected"].std(), peer["total_infected"].std())
    gap = abs(mean - other) / (spread / np.sqrt(RUNS))
    print(
        f"SIR, same law: mean total infected {mean:.1f}, numpy {other:.1f}, {gap:.1f} standard errors apart"
    )


if __name__ == "__main__":
    main()
