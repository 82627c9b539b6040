"""One likelihood of the 1978 influenza by the particle filter, against the same filter in plain numpy."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.special import gammaln

from hetcal.calibrate.particle import particle_filter
from hetcal.data import flu1978
from hetcal.observation import PoissonObservation
from hetcal.simulators import StochasticSIR

PARTICLES = 200
REPEATS = 30
THETA = {"R0": 3.9, "infectious_days": 2.1, "I0": 2.7}


def numpy_filter(
    model: StochasticSIR, theta: dict[str, float], observed: np.ndarray, particles: int, seed: int
) -> float:
    """Bootstrap filter, vectorised over particles, with Generator.binomial."""
    rng = np.random.default_rng(seed)
    recovery = 1.0 / (theta["infectious_days"] * model.steps_per_day)
    hazard = theta["R0"] * recovery / model.population
    infected = math.floor(theta["I0"]) + (rng.random(particles) < theta["I0"] % 1.0)
    susceptible = model.population - infected
    total = 0.0
    for day, count in enumerate(observed):
        mean = np.maximum(infected, 0.5)
        log_weights = count * np.log(mean) - mean - gammaln(count + 1.0)
        highest = log_weights.max()
        weights = np.exp(log_weights - highest)
        total += highest + math.log(weights.mean())
        if day == len(observed) - 1:
            break
        positions = (rng.random() + np.arange(particles)) / particles
        chosen = np.searchsorted(np.cumsum(weights / weights.sum()), positions).clip(max=particles - 1)
        susceptible, infected = susceptible[chosen], infected[chosen]
        for _ in range(model.steps_per_day):
            cases = rng.binomial(susceptible, -np.expm1(-hazard * infected))
            recovered = rng.binomial(infected, recovery)
            susceptible = susceptible - cases
            infected = infected + cases - recovered
    return total


def timed(estimate: Callable[[int], float]) -> tuple[float, np.ndarray]:
    """Median seconds of an estimate, and the estimates by seed."""
    seconds, values = [], []
    for seed in range(REPEATS):
        started = time.perf_counter()
        values.append(estimate(seed))
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), np.array(values)


def main() -> None:
    """Print both times, their ratio and that both estimate the same likelihood."""
    flu = flu1978()
    observed = flu["in_bed"].to_numpy(dtype=float)
    model = StochasticSIR(population=flu.attrs["population"], days=len(flu))

    def ours(seed: int) -> float:
        return particle_filter(model, THETA, {"in_bed": observed}, PoissonObservation(), PARTICLES, seed)

    ours(0)  # compiles
    fast, estimates = timed(ours)
    slow, peer = timed(lambda seed: numpy_filter(model, THETA, observed, PARTICLES, seed))
    print(
        f"particle filter, {PARTICLES} particles, 14 days of {model.steps_per_day} steps: {1e3 * fast:.1f} ms, "
        f"numpy {np.__version__}: {1e3 * slow:.1f} ms, ratio {slow / fast:.1f}x"
    )
    likelihoods = [np.exp(values - peer.max()) for values in (estimates, peer)]
    error = math.hypot(*(each.std(ddof=1) / math.sqrt(REPEATS) for each in likelihoods))
    gap = abs(likelihoods[0].mean() - likelihoods[1].mean()) / error
    print(
        f"particle filter, same likelihood: log L {estimates.mean():.2f} (sd {estimates.std():.2f}), numpy "
        f"{peer.mean():.2f} (sd {peer.std():.2f}); mean likelihoods {gap:.1f} standard errors apart"
    )


if __name__ == "__main__":
    main()
