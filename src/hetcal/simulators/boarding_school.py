"""Influenza in a boarding school: who falls ill goes to bed and infects nobody there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numba
import numpy as np

from hetcal.simulators.chain_binomial import (
    binomial_quantile,
    check_counts,
    check_isolation,
    check_ranges,
    drawn,
    isolated_a_step,
    isolation,
    kernel,
    keyed_uniform,
    named_row,
    one_parallel_call,
    rounded,
    rows_and_seeds,
    seed_key,
)

# Columns of a state; those of the stages in bed follow, then those of convalescence.
SUSCEPTIBLE, EXPOSED, INFECTIOUS, EVER_ILL, FIRST_STAGE = range(5)


@kernel()
def start(
    theta: np.ndarray,
    population: int,
    bed_stages: int,
    convalescent_stages: int,
    key: np.uint64,
    state: np.ndarray,
) -> None:
    """A growing epidemic at the start of day 0, into state, zero before; as many events as state has columns."""
    r0, latent_days, infectious_days, ill_fraction, bed_days, convalescent_days, i0 = theta
    quadratic, linear = latent_days * infectious_days, latent_days + infectious_days
    growth = (-linear + math.sqrt(linear**2 + 4.0 * quadratic * max(r0 - 1.0, 0.0))) / (2.0 * quadratic)
    left = population
    state[INFECTIOUS] = rounded(i0, key, 0)
    left -= state[INFECTIOUS]
    state[EXPOSED] = min(rounded(i0 * latent_days * (growth + 1.0 / infectious_days), key, 1), left)
    left -= state[EXPOSED]
    entering = i0 * ill_fraction / infectious_days
    for j in range(bed_stages + convalescent_stages):
        leave = bed_stages / bed_days if j < bed_stages else convalescent_stages / convalescent_days
        here = entering / (growth + leave)
        state[FIRST_STAGE + j] = min(rounded(here, key, 2 + j), left)
        left -= state[FIRST_STAGE + j]
        state[EVER_ILL] += state[FIRST_STAGE + j]
        entering = here * leave
    state[SUSCEPTIBLE] = left


@kernel()
def one_day(
    state: np.ndarray,
    theta: np.ndarray,
    population: int,
    steps_per_day: int,
    bed_stages: int,
    convalescent_stages: int,
    isolation: float,
    key: np.uint64,
    event: int,
) -> None:
    """Bring a state to the day after; its events are numbered from `event`, 4 and one for each stage a step."""
    r0, latent_days, infectious_days, ill_fraction, bed_days, convalescent_days, _ = theta
    onset = min(1.0 / (latent_days * steps_per_day), 1.0)
    end = min(1.0 / (infectious_days * steps_per_day), 1.0)
    hazard_each = r0 * end / population
    end += isolation * (1.0 - end)
    rise = min(bed_stages / (bed_days * steps_per_day), 1.0)
    recovery = min(convalescent_stages / (convalescent_days * steps_per_day), 1.0)
    log_latent, log_infectious, log_well = np.log1p(-onset), np.log1p(-end), np.log1p(-ill_fraction)
    log_bed, log_convalescent = np.log1p(-rise), np.log1p(-recovery)
    for _ in range(steps_per_day):
        hazard = hazard_each * state[INFECTIOUS]
        u, infected = keyed_uniform(key, event), 0
        if u > 1.0 - state[SUSCEPTIBLE] * hazard:
            infected = binomial_quantile(u, state[SUSCEPTIBLE], 1.0 - math.exp(-hazard), -hazard)
        onsets = drawn(state[EXPOSED], onset, log_latent, key, event + 1)
        ends = drawn(state[INFECTIOUS], end, log_infectious, key, event + 2)
        entering = drawn(ends, ill_fraction, log_well, key, event + 3)
        state[SUSCEPTIBLE] -= infected
        state[EXPOSED] += infected - onsets
        state[INFECTIOUS] += onsets - ends
        state[EVER_ILL] += entering
        event += 4
        for j in range(FIRST_STAGE, FIRST_STAGE + bed_stages):
            leaving = drawn(state[j], rise, log_bed, key, event)
            state[j] += entering - leaving
            entering = leaving
            event += 1
        for j in range(FIRST_STAGE + bed_stages, len(state)):
            leaving = drawn(state[j], recovery, log_convalescent, key, event)
            state[j] += entering - leaving
            entering = leaving
            event += 1


@kernel()
def active(state: np.ndarray) -> bool:
    """Whether anything can still happen."""
    return state[EXPOSED] + state[INFECTIOUS] + state[FIRST_STAGE:].sum() > 0


@kernel()
def run(
    theta: np.ndarray,
    seed: int,
    population: int,
    days: int,
    steps_per_day: int,
    bed_stages: int,
    convalescent_stages: int,
    isolation_day: int,
    isolation_rate: float,
    series: np.ndarray,
    totals: np.ndarray,
) -> None:
    """One epidemic into series (4, days), zero before, and totals (2,), in the order of the outputs."""
    columns = FIRST_STAGE + bed_stages + convalescent_stages
    key, event = seed_key(seed), columns
    state = np.zeros(columns, dtype=np.int64)
    start(theta, population, bed_stages, convalescent_stages, key, state)
    for day in range(days):
        if not active(state):
            break
        series[1, day] = state[FIRST_STAGE : FIRST_STAGE + bed_stages].sum()
        series[2, day] = state[FIRST_STAGE + bed_stages :].sum()
        susceptible, ever_ill = state[SUSCEPTIBLE], state[EVER_ILL]
        one_day(
            state,
            theta,
            population,
            steps_per_day,
            bed_stages,
            convalescent_stages,
            isolated_a_step(day, isolation_day, isolation_rate, steps_per_day),
            key,
            event,
        )
        event += columns * steps_per_day
        series[0, day] = susceptible - state[SUSCEPTIBLE]
        series[3, day] = state[EVER_ILL] - ever_ill
    totals[0] = population - state[SUSCEPTIBLE]
    totals[1] = state[EVER_ILL]


@kernel(parallel=True)
def run_all(
    theta: np.ndarray,
    seeds: np.ndarray,
    population: int,
    days: int,
    steps_per_day: int,
    bed_stages: int,
    convalescent_stages: int,
    isolation_day: int,
    isolation_rate: float,
    series: np.ndarray,
    totals: np.ndarray,
) -> None:
    """`run` at every row of theta."""
    for k in numba.prange(len(seeds)):
        run(
            theta[k],
            seeds[k],
            population,
            days,
            steps_per_day,
            bed_stages,
            convalescent_stages,
            isolation_day,
            isolation_rate,
            series[k],
            totals[k],
        )


@kernel()
def start_all(
    theta: np.ndarray,
    population: int,
    bed_stages: int,
    convalescent_stages: int,
    keys: np.ndarray,
) -> np.ndarray:
    """States at the start, one row a key."""
    states = np.zeros((len(keys), FIRST_STAGE + bed_stages + convalescent_stages), dtype=np.int64)
    for k in range(len(keys)):
        start(theta, population, bed_stages, convalescent_stages, keys[k], states[k])
    return states


@kernel()
def step_all(
    states: np.ndarray,
    theta: np.ndarray,
    population: int,
    steps_per_day: int,
    bed_stages: int,
    convalescent_stages: int,
    isolation: float,
    keys: np.ndarray,
) -> np.ndarray:
    """`one_day` of every row of states, each by its own key."""
    after = states.copy()
    for k in range(len(keys)):
        if active(after[k]):
            one_day(
                after[k],
                theta,
                population,
                steps_per_day,
                bed_stages,
                convalescent_stages,
                isolation,
                keys[k],
                0,
            )
    return after


@dataclass(frozen=True)
class BoardingSchool:
    """Chain-binomial epidemic in which those who fall ill go to bed and infect nobody there.

    Use it for outbreaks in a school or a camp of which the sick-list is known: in bed is not infectious. Each
    person is susceptible, exposed (infected, not yet infectious), infectious (about and mixing); then with
    probability ill_fraction ill in bed, convalescent, and well; the others are well without having been in bed.
    Runs of the same seed use the same random numbers at the same moments whatever theta is.

    With dt = 1/steps_per_day, each step draws from the state at its start

        infections ~ Binomial(S, 1 - exp(-beta dt I / N)),    beta = R0 / infectious_days,
        onsets     ~ Binomial(E, dt / latent_days),
        ends       ~ Binomial(I, dt / infectious_days),    of them ill ~ Binomial(ends, ill_fraction),

    and the ill pass through bed_stages stages in bed, each left with probability bed_stages dt / bed_days, and as
    many as convalescent_stages after them. So the means of all times are exactly those named, the times in bed and
    of convalescence have (discrete) Erlang laws, and one infectious person in a large susceptible population
    infects R0 others on average exactly, whatever the share that falls ill.

    Day 0 lies in an outbreak that has grown for a while: beside I0 infectious there are as many exposed, in bed and
    convalescent as belong to them in the exponential growth of the differential equation at these parameters (at
    R0 below 1, as if numbers had stood still). Each number is its whole part plus one more with the probability of
    the rest.

    The defaults are a simple one of the structures that make the two series of the 1978 influenza
    (`hetcal.data.flu1978`) nearly as probable as any, under negative binomial counts of dispersion 20 and the
    priors of the study ``flu1978_bed``. Log marginal likelihood, by importance sampling with a particle filter
    (Monte-Carlo error 0.1 to 0.3), for 1, 2, 3, 4, 6 stages in bed and one of convalescence: -148.1, -126.0,
    -119.0, -116.2, -114.3; for 2 and 3 stages in bed and two of convalescence -126.6 and -118.4. For a start (2
    and 1 stages) with I0 infectious alone -127.2, with I0 exposed alone -127.7, as it is -126.0.

    From the start of isolation_day on, the infectious stop mixing at isolation_rate as well: a share
    1 - exp(-isolation_rate dt) of those whom a step does not end. Who falls ill goes to bed at once, the others
    to a room where they infect nobody. Until that day the numbers are those without isolation.

    Parameters of a run: R0; latent_days, infectious_days (until bed), at least one step; ill_fraction in [0, 1];
    bed_days, convalescent_days, at least one step a stage; I0, the number infectious and mixing on day 0. Outputs:
    incidence (days,), new infections during each day; in_bed and convalescent (days,), at the start of each day;
    new_ill (days,), those who go to bed during each day; total_infected and total_ill (), by the end, with those of
    the start.

    Parameters
    ----------
    population : int
        Number of people N.
    days : int
        Days simulated.
    steps_per_day : int
        Steps a day; more are nearer to continuous time and cost more.
    bed_stages, convalescent_stages : int
        Stages of each time: 1 is a geometric time, more are more regular.
    isolation_day : int, optional
        First day of isolation, 0 for the day of the start; never where left out.
    isolation_rate : float
        Rate of isolation a day, at least 0; at 1 an infectious person is found after a day on average.

    Raises
    ------
    ValueError
        When a setting is outside its range; when a run's parameter is outside its range, naming it.

    References
    ----------
    Bailey (1975), The Mathematical Theory of Infectious Diseases, ch. 14 (chain binomials).

    Examples
    --------
    >>> import hetcal as hc
    >>> school = hc.simulators.BoardingSchool(population=763, days=14)
    >>> theta = {
    ...     "R0": 4.0,
    ...     "latent_days": 0.7,
    ...     "infectious_days": 0.7,
    ...     "ill_fraction": 0.7,
    ...     "bed_days": 2.8,
    ...     "convalescent_days": 1.7,
    ...     "I0": 2,
    ... }
    >>> run = school(theta, seed=1)
    >>> run["in_bed"].shape, bool(run["total_ill"] < run["total_infected"])
    ((14,), True)
    """

    population: int
    days: int
    steps_per_day: int = 24
    bed_stages: int = 4
    convalescent_stages: int = 1
    isolation_day: int | None = None
    isolation_rate: float = 1.0

    name: ClassVar[str] = "BoardingSchool"
    version: ClassVar[str] = "1"
    parameters: ClassVar[tuple[str, ...]] = (
        "R0",
        "latent_days",
        "infectious_days",
        "ill_fraction",
        "bed_days",
        "convalescent_days",
        "I0",
    )

    def __post_init__(self) -> None:
        check_counts(self, "population", "days", "steps_per_day", "bed_stages", "convalescent_stages")
        check_isolation(self)

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of each output."""
        series = dict.fromkeys(("incidence", "in_bed", "convalescent", "new_ill"), (self.days,))
        return {**series, "total_infected": (), "total_ill": ()}

    def __call__(self, theta: dict[str, float], seed: int) -> dict[str, Any]:
        """One run at the named parameters."""
        row, seeds = named_row(self, theta), np.array([seed], dtype=np.int64)
        self._check(row[np.newaxis], seeds)
        series, totals = np.zeros((4, self.days)), np.empty(2)
        run(row, seeds[0], *self._settings, series, totals)
        return dict(zip(self.outputs, [*series, *totals], strict=True))

    def initial(self, theta: dict[str, float], n: int, rng: np.random.Generator) -> np.ndarray:
        """States (n, k) at the start of day 0.

        Susceptible, exposed, infectious, ever ill, the stages in bed, the stages of convalescence.
        """
        row = named_row(self, theta)
        self._check(row[np.newaxis], np.zeros(1, dtype=np.int64))
        keys = rng.integers(0, 2**64, n, dtype=np.uint64)
        return start_all(row, self.population, self.bed_stages, self.convalescent_stages, keys)

    def observe(self, states: np.ndarray) -> dict[str, np.ndarray]:
        """in_bed and convalescent (n,) of the day that starts with these states."""
        stages = states[:, FIRST_STAGE:]
        return {
            "in_bed": stages[:, : self.bed_stages].sum(axis=1),
            "convalescent": stages[:, self.bed_stages :].sum(axis=1),
        }

    def step(
        self, states: np.ndarray, theta: dict[str, float], day: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """States (n, k) a day later, the day's incidence (n,) and new_ill (n,)."""
        after = step_all(
            states,
            np.array([theta[name] for name in self.parameters], dtype=np.float64),
            self.population,
            self.steps_per_day,
            self.bed_stages,
            self.convalescent_stages,
            isolated_a_step(day, *isolation(self), self.steps_per_day),
            rng.integers(0, 2**64, len(states), dtype=np.uint64),
        )
        return after, {
            "incidence": states[:, SUSCEPTIBLE] - after[:, SUSCEPTIBLE],
            "new_ill": after[:, EVER_ILL] - states[:, EVER_ILL],
        }

    def batch(self, theta: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
        """Runs at the rows of theta (n, 7) with seeds (n,), on numba's threads; equal to one by one."""
        theta, seeds = rows_and_seeds(self, theta, seeds)
        self._check(theta, seeds)
        series, totals = np.zeros((len(seeds), 4, self.days)), np.empty((len(seeds), 2))
        with one_parallel_call:
            run_all(theta, seeds, *self._settings, series, totals)
        return dict(zip(self.outputs, [*np.swapaxes(series, 0, 1), *totals.T], strict=True))

    @property
    def _settings(self) -> tuple[Any, ...]:
        stages = (self.bed_stages, self.convalescent_stages)
        return self.population, self.days, self.steps_per_day, *stages, *isolation(self)

    def _check(self, theta: np.ndarray, seeds: np.ndarray) -> None:
        step = 1.0 / self.steps_per_day
        ranges = {
            "R0": (0.0, None),
            "latent_days": (step, None),
            "infectious_days": (step, None),
            "ill_fraction": (0.0, 1),
            "bed_days": (self.bed_stages * step, None),
            "convalescent_days": (self.convalescent_stages * step, None),
            "I0": (0.0, self.population),
        }
        check_ranges(self, theta, seeds, ranges)
