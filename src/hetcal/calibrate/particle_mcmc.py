"""Particle-marginal Metropolis-Hastings: the exact posterior of a simulator that can be stepped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.calibrate.chains import central_intervals, effective_sample_size, split_rhat
from hetcal.calibrate.particle import ObservedSeries, check_particles, filter_log_likelihood
from hetcal.observation import Observation
from hetcal.parameters import Space
from hetcal.simulators import Stepper, check_simulator, check_step
from hetcal.streams import generator
from hetcal.threads import one_blas_thread

if TYPE_CHECKING:
    import pandas as pd

# Standard deviation of the log likelihood that costs least, for independent proposals (Pitt et al. 2012).
NOISE = 0.92
# It is measured all over the rough posterior: a chain sticks where it is largest, seldom at the centre.
NOISE_POINTS = 20
NOISE_REPEATS = 5
PILOT_PARTICLES = 100
LEAST_PARTICLES = 50  # fewer save no time
PILOT_ROUNDS = 8
BURN_IN_BLOCKS = 3
# Degrees of freedom of the independent proposal: tails heavier than a posterior's.
TAILS = 5.0
# Share of proposals that do not depend on where the chain stands.
INDEPENDENT = 0.8

# Of points (n, d) of the unit cube and a number of particles: estimates (n,).
LogLikelihoods = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class ParticleMCMC:
    """Posterior of a stepped simulator's parameters given series, without emulator and without summaries.

    Particle-marginal Metropolis-Hastings: a Markov chain on the parameters in which a particle filter's estimate
    stands for the likelihood. Because the estimate is unbiased, the chain's law is the exact posterior, for any
    number of particles. Use it as the anchor that emulated posteriors are compared with, where the simulator has
    steps and one filter costs milliseconds.

    The start is found by adaptive importance sampling from the prior. Four in five proposals are drawn from a
    multivariate t, the others are a random walk; both are fitted to all chains' draws three times in the burn-in
    and then stay as they are.

    Parameters
    ----------
    space : Space
        Parameters with their priors, exactly those of the simulator.
    simulator : Stepper
        A simulator with `initial`, `observe` and `step`; its steps are compared with its whole runs first.
    observed : dict of str to array
        By output, the observed series (days,); NaN for a day without a datum.
    observation : Observation, or a dict of them by output
        The law of a datum given the simulator's value.
    particles : int, optional
        Number of particles; where left out, so many that the log likelihood has a standard deviation of about
        0.9 over the posterior, and at least 50.
    iterations, burn_in : int
        Iterations of each chain that are kept, and those made and dropped before.
    chains : int
        Number of chains, at least 2.

    Raises
    ------
    TypeError, ValueError
        When simulator, space and data do not belong together, naming what.

    References
    ----------
    Andrieu, Doucet, Holenstein (2010), Journal of the Royal Statistical Society B 72, 269. Pitt, Silva, Giordani,
    Kohn (2012), Journal of Econometrics 171, 134, for the number of particles. Cappé, Guillin, Marin, Robert
    (2004), Journal of Computational and Graphical Statistics 13, 907, for the start.

    Examples
    --------
    >>> import hetcal as hc
    >>> problem = hc.studies.flu1978.study().problem
    >>> method = hc.ParticleMCMC(
    ...     problem.space,
    ...     problem.simulator,
    ...     {"in_bed": hc.data.flu1978()["in_bed"]},
    ...     hc.observation.PoissonObservation(),
    ...     particles=50,
    ...     iterations=20,
    ...     burn_in=30,
    ... )
    >>> method.run(seed=1).intervals(0.9).columns.tolist()    # a real answer takes the default iterations
    ['parameter', 'median', 'low', 'high']
    """

    space: Space
    simulator: Stepper
    observed: Mapping[str, Any]
    observation: Observation | Mapping[str, Observation]
    particles: int | None = None
    iterations: int = 2_000
    burn_in: int = 600
    chains: int = 4

    def __post_init__(self) -> None:
        check_simulator(self.simulator)
        if set(self.space.names) != set(self.simulator.parameters):
            raise ValueError(
                f"simulator {self.simulator.name!r} takes {', '.join(self.simulator.parameters)}; the space has "
                f"{', '.join(self.space.names)}"
            )
        if self.particles is not None:
            check_particles(self.particles)
        for setting, least in (("iterations", 8), ("burn_in", 3 * BURN_IN_BLOCKS), ("chains", 2)):
            value = getattr(self, setting)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(f"{setting} is {value!r}: give a whole number of at least {least}")
        ObservedSeries.of(self.simulator, self.observed, self.observation)

    @one_blas_thread
    def run(self, seed: int = 0) -> ParticlePosterior:
        """Sample the posterior.

        Parameters
        ----------
        seed : int
            The same seed gives the same numbers, on any number of threads.

        Returns
        -------
        ParticlePosterior

        Raises
        ------
        ValueError
            When no parameters of the prior make the data possible, or the simulator's steps disagree with its
            whole runs.
        """
        started = time.perf_counter()
        data = ObservedSeries.of(self.simulator, self.observed, self.observation)
        rng = generator(seed, "calibration")

        def log_likelihoods(points: np.ndarray, particles: int) -> np.ndarray:
            rows = self.space.from_unit(points).tolist()
            return np.array(
                [
                    filter_log_likelihood(self.simulator, self._named(row), data, particles, rng)
                    for row in rows
                ]
            )

        points, weights = self._pilot(log_likelihoods, rng)
        centre = weights @ points
        check_step(self.simulator, self._named(self.space.from_unit(centre)[0].tolist()), seed=seed)
        starts = points[rng.choice(len(points), self.chains, p=weights)]
        probes = points[rng.choice(len(points), NOISE_POINTS, p=weights)]
        particles, noise = self._particles(log_likelihoods, probes)
        walkers = _Walkers(starts, log_likelihoods(starts, particles), log_likelihoods, particles, rng)
        proposal = _Proposal.fit(points, weights)
        for block in np.array_split(np.arange(self.burn_in), BURN_IN_BLOCKS):
            draws = walkers.advance(len(block), proposal)[0].reshape(-1, self.space.dimension)
            proposal = _Proposal.fit(draws, np.full(len(draws), 1.0 / len(draws)))
        unit, log_likelihood, accepted = walkers.advance(self.iterations, proposal)
        return ParticlePosterior(
            method=self,
            seed=seed,
            unit=unit,
            log_likelihood=log_likelihood,
            acceptance=accepted,
            particles=particles,
            noise=noise,
            seconds=time.perf_counter() - started,
        )

    def _named(self, row: list[float]) -> dict[str, float]:
        return dict(zip(self.space.names, row, strict=True))

    def _pilot(
        self, log_likelihoods: LogLikelihoods, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weighted points of a rough posterior, by importance sampling that learns its proposal in rounds."""
        d = self.space.dimension
        n = 100 * d
        points, log_proposal = rng.random((2 * n, d)), np.zeros(2 * n)
        weights = np.full(2 * n, 0.5 / n)
        for k in range(PILOT_ROUNDS):
            if k > 0:
                proposal = _Proposal.fit(points, weights)
                drawn = proposal.draw(rng, 2 * n)
                points = drawn[np.all((drawn > 0.0) & (drawn < 1.0), axis=1)][:n]
                log_proposal = proposal.log_density(points)
            values = log_likelihoods(points, PILOT_PARTICLES)
            if values.max() == -math.inf:
                raise ValueError(
                    f"none of {len(points)} parameter sets drawn from the prior makes the observed "
                    f"{', '.join(self.observed)} possible: check data and prior, or let the observation model "
                    "allow for more (a floor above 0, more dispersion)"
                )
            weights, temperature = _tempered(values, log_proposal, least=0.1 * n)
            if temperature == 1.0:
                break
        return points, weights

    def _particles(self, log_likelihoods: LogLikelihoods, probes: np.ndarray) -> tuple[int, float]:
        """Number of particles, and the standard deviation of the log likelihood at the probes with it."""
        particles = self.particles or PILOT_PARTICLES
        for _ in range(PILOT_ROUNDS):
            values = np.array([log_likelihoods(probes, particles) for _ in range(NOISE_REPEATS)])
            variance = values.var(axis=0, ddof=1) if np.isfinite(values).all() else np.inf
            noise = float(np.sqrt(np.mean(variance)))
            if self.particles is not None or 0.85 * NOISE < noise < 1.15 * NOISE:
                break
            wanted = max(LEAST_PARTICLES, round(particles * min((noise / NOISE) ** 2, 4.0)))
            if wanted == particles:
                break
            particles = wanted
        return particles, noise


@dataclass(frozen=True)
class _Proposal:
    """A multivariate t for independent proposals, and a random walk of the same shape."""

    mean: np.ndarray
    root: np.ndarray
    inverse: np.ndarray

    @classmethod
    def fit(cls, points: np.ndarray, weights: np.ndarray) -> _Proposal:
        mean = weights @ points
        centred = points - mean
        covariance = (weights[:, np.newaxis] * centred).T @ centred
        root = np.linalg.cholesky(covariance + 1e-8 * np.eye(len(mean)))
        return cls(mean, root, np.linalg.inv(root))

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        z = rng.standard_normal((n, len(self.mean)))
        return self.mean + (z / np.sqrt(rng.chisquare(TAILS, (n, 1)) / TAILS)) @ self.root.T

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Of the t, up to a constant."""
        z = (points - self.mean) @ self.inverse.T
        return -0.5 * (TAILS + len(self.mean)) * np.log1p((z**2).sum(axis=1) / TAILS)

    def walk(self, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        n, d = points.shape
        return points + 2.56 / math.sqrt(d) * rng.standard_normal((n, d)) @ self.root.T


@dataclass
class _Walkers:
    """All chains: where each stands, and the estimate of its log likelihood that it keeps until it moves."""

    points: np.ndarray
    values: np.ndarray
    log_likelihoods: LogLikelihoods
    particles: int
    rng: np.random.Generator

    def advance(self, n: int, proposal: _Proposal) -> tuple[np.ndarray, np.ndarray, float]:
        """The next n draws (chains, n, d), their log likelihoods, and the share of proposals accepted."""
        draws, values, accepted = [], [], 0
        for _ in range(n):
            accepted += int(self._step(proposal).sum())
            draws.append(self.points.copy())
            values.append(self.values.copy())
        return np.stack(draws, axis=1), np.stack(values, axis=1), accepted / (n * len(self.points))

    def _step(self, proposal: _Proposal) -> np.ndarray:
        """Move each chain once; which of them did."""
        chains = len(self.points)
        independent = self.rng.random(chains) < INDEPENDENT
        to = np.where(
            independent[:, np.newaxis], proposal.draw(self.rng, chains), proposal.walk(self.points, self.rng)
        )
        inside = np.all((to > 0.0) & (to < 1.0), axis=1)
        values = np.full(chains, -math.inf)
        values[inside] = self.log_likelihoods(to[inside], self.particles)
        correction = np.where(independent, proposal.log_density(self.points) - proposal.log_density(to), 0.0)
        threshold = self.values - correction - self.rng.standard_exponential(chains)
        # A chain whose start has no likelihood moves to any point that has.
        moved = (values > -math.inf) & (values > threshold)
        self.points[moved], self.values[moved] = to[moved], values[moved]
        return moved


def _tempered(values: np.ndarray, log_proposal: np.ndarray, least: float) -> tuple[np.ndarray, float]:
    """Importance weights at the highest temperature up to 1 that keeps an effective number of points."""

    def weights_at(temperature: float) -> np.ndarray:
        log_weights = np.where(np.isfinite(values), temperature * values, -math.inf) - log_proposal
        weights = np.exp(log_weights - log_weights.max())
        return weights / weights.sum()

    low, high = 0.0, 1.0
    if 1.0 / (weights_at(1.0) ** 2).sum() >= least:
        return weights_at(1.0), 1.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        if 1.0 / (weights_at(middle) ** 2).sum() >= least:
            low = middle
        else:
            high = middle
    return weights_at(low), low


@dataclass(frozen=True, eq=False)
class ParticlePosterior:
    """Draws of `ParticleMCMC` with what is needed to judge them.

    Attributes
    ----------
    method : ParticleMCMC
    seed : int
    unit : (chains, iterations, d) array
        Draws in the unit cube.
    log_likelihood : (chains, iterations) array
        The filter's estimates at the draws.
    acceptance : float
        Share of proposals accepted.
    particles : int
    noise : float
        Standard deviation of the log likelihood over the posterior with this number of particles.
    seconds : float
        Time taken, pilot and burn-in included.

    Examples
    --------
    >>> import hetcal as hc
    >>> problem = hc.studies.flu1978.study().problem
    >>> method = hc.ParticleMCMC(
    ...     problem.space,
    ...     problem.simulator,
    ...     {"in_bed": hc.data.flu1978()["in_bed"]},
    ...     hc.observation.PoissonObservation(),
    ...     particles=50,
    ...     iterations=20,
    ...     burn_in=30,
    ... )
    >>> posterior = method.run(seed=1)
    >>> posterior.samples.shape    # 4 chains of 20
    (80, 3)
    """

    method: ParticleMCMC
    seed: int
    unit: np.ndarray
    log_likelihood: np.ndarray
    acceptance: float
    particles: int
    noise: float
    seconds: float

    @property
    def samples(self) -> pd.DataFrame:
        """Draws in natural units, a column a parameter, chain after chain."""
        space = self.method.space
        return space.frame(space.from_unit(self.unit.reshape(-1, space.dimension)))

    def intervals(self, level: float = 0.9) -> pd.DataFrame:
        """Equal-tailed intervals: columns parameter, median, low, high."""
        return central_intervals(self.samples, level)

    @property
    def summary(self) -> pd.DataFrame:
        """By parameter: mean, sd, the ends of the 90 % interval, split R-hat and effective sample size."""
        table = self.intervals(0.9)
        samples = self.samples
        table.insert(1, "mean", samples.mean().to_numpy())
        table.insert(2, "sd", samples.std().to_numpy())
        by_chain = samples.to_numpy().reshape(self.unit.shape)
        table["rhat"] = [split_rhat(by_chain[:, :, j]) for j in range(len(table))]
        table["ess"] = [effective_sample_size(by_chain[:, :, j]) for j in range(len(table))]
        return table

    def __repr__(self) -> str:
        return (
            f"Posterior of {self.method.simulator.name} by particle-marginal Metropolis-Hastings: "
            f"{len(self.unit)} chains of {self.unit.shape[1]}, {self.particles} particles (sd of log L "
            f"{self.noise:.2f}), {100 * self.acceptance:.0f} % accepted, {self.seconds:.0f} s\n"
            + self.summary.to_string(index=False, float_format=lambda value: f"{value:.4g}")
        )
