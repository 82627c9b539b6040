"""The particle filter against exact likelihoods, and its Markov chains against an exact posterior."""

from __future__ import annotations

import math
from dataclasses import replace

import numba
import numpy as np
import pytest
from scipy import stats
from threadpoolctl import threadpool_limits

from hetcal.calibrate import particle_mcmc
from hetcal.calibrate.particle import particle_filter
from hetcal.calibrate.particle_mcmc import ParticleMCMC
from hetcal.observation import GaussianObservation, NegativeBinomialObservation, PoissonObservation
from hetcal.parameters import Parameter, Space, uniform
from hetcal.simulators import StochasticSIR
from hetcal.simulators.stepping import run_steps

CLASS = StochasticSIR(population=7, days=5, steps_per_day=2)
THETA = {"R0": 2.5, "infectious_days": 1.5, "I0": 1.6}
IN_BED = np.array([1.0, 3.0, 4.0, 2.0, 1.0])
INCIDENCE = np.array([2.0, 2.0, np.nan, 0.0, 1.0])


class LinearGaussian:
    """x' = memory x + N(0, 1), from N(0, 4)."""

    name, version, parameters, outputs = "linear", "1", ("memory",), {"level": (12,)}

    def initial(self, theta, n, rng):
        return rng.normal(0.0, 2.0, size=(n, 1))

    def observe(self, states):
        return {"level": states[:, 0]}

    def step(self, states, theta, day, rng):
        return theta["memory"] * states + rng.normal(size=states.shape), {}

    def __call__(self, theta, seed):
        return {
            name: days[0] for name, days in run_steps(self, theta, 1, np.random.default_rng(seed)).items()
        }


def kalman(memory: float, observed: np.ndarray, sd: float) -> float:
    """Exact log likelihood of LinearGaussian."""
    mean, variance, total = 0.0, 4.0, 0.0
    for y in observed:
        if np.isfinite(y):
            spread = variance + sd**2
            total += stats.norm.logpdf(y, mean, math.sqrt(spread))
            mean, variance = mean + variance / spread * (y - mean), variance * sd**2 / spread
        mean, variance = memory * mean, memory**2 * variance + 1.0
    return total


def forward(theta: dict[str, float], in_bed=None, incidence=None, model=PoissonObservation()) -> float:
    """Exact likelihood of a tiny SIR, by the sum over all its states."""
    n, steps = CLASS.population, CLASS.steps_per_day
    states = np.array([(s, i) for s in range(n + 1) for i in range(n + 1 - s)])
    s, i = states.T
    recovery = 1.0 / (theta["infectious_days"] * steps)
    infection = 1.0 - np.exp(-theta["R0"] * recovery * i / n)
    cases = s[:, None] - s[None, :]
    recovered = i[:, None] + cases - i[None, :]
    one = stats.binom.pmf(cases, s[:, None], infection[:, None])
    one = one * stats.binom.pmf(recovered, i[:, None], recovery)
    day = np.linalg.matrix_power(one, steps)
    whole = math.floor(theta["I0"])
    more = theta["I0"] - whole
    reached = np.where(i == whole, 1 - more, np.where(i == whole + 1, more, 0.0)) * (s == n - i)
    for t in range(CLASS.days):
        if in_bed is not None and np.isfinite(in_bed[t]):
            reached = reached * np.exp(model.log_density(in_bed[t], i))
        seen = 1.0
        if incidence is not None and np.isfinite(incidence[t]):
            seen = np.exp(model.log_density(incidence[t], np.maximum(cases, 0)))
        reached = reached @ (day * seen)
    return float(reached.sum())


def ratios(simulator, theta, observed, observation, exact: float, particles: int, n: int) -> np.ndarray:
    """Estimates of the likelihood over the exact one."""
    return np.exp(
        [
            particle_filter(simulator, theta, observed, observation, particles, seed) - exact
            for seed in range(n)
        ]
    )


def far_from_one(values: np.ndarray) -> float:
    """Standard errors between the mean of the ratios and 1."""
    return abs(values.mean() - 1.0) / (values.std(ddof=1) / math.sqrt(len(values)))


@pytest.mark.parametrize("particles", [30, 1_000])
def test_linear_gaussian_agrees_with_the_kalman_filter(particles):
    # Unbiasedness on the natural scale; 5 standard errors: false-alarm rate below 1e-5 each.
    rng = np.random.default_rng(3)
    observed = run_steps(LinearGaussian(), {"memory": 0.8}, 1, rng)["level"][0] + rng.normal(0.0, 1.0, 12)
    observed[4] = np.nan
    exact = kalman(0.8, observed, 1.0)
    values = ratios(
        LinearGaussian(),
        {"memory": 0.8},
        {"level": observed},
        GaussianObservation(1.0),
        exact,
        particles,
        400,
    )
    assert far_from_one(values) < 5
    if particles == 1_000:
        assert np.log(values).std() < 0.15  # so that agreement says something


@pytest.mark.parametrize(
    "observed",
    [{"in_bed": IN_BED}, {"incidence": INCIDENCE}, {"in_bed": IN_BED, "incidence": INCIDENCE}],
    ids=["levels", "counts", "both"],
)
@pytest.mark.parametrize("model", [PoissonObservation(), NegativeBinomialObservation(4.0, floor=0.1)])
def test_tiny_sir_agrees_with_enumeration(observed, model):
    # Mean of 1,500 estimates with 40 particles; 5 standard errors: false-alarm rate below 1e-5 each.
    exact = math.log(forward(THETA, **observed, model=model))
    values = ratios(CLASS, THETA, observed, model, exact, 40, 1_500)
    assert far_from_one(values) < 5
    assert values.std() / math.sqrt(1_500) < 0.02


def test_an_observation_model_for_each_output():
    models = {"in_bed": PoissonObservation(), "incidence": PoissonObservation()}
    data = {"in_bed": IN_BED, "incidence": INCIDENCE}
    together = particle_filter(CLASS, THETA, data, models["in_bed"], 50, seed=4)
    assert particle_filter(CLASS, THETA, data, models, 50, seed=4) == together
    models["incidence"] = NegativeBinomialObservation(2.0)
    assert particle_filter(CLASS, THETA, data, models, 50, seed=4) != together


def test_when_all_particles_die_the_log_likelihood_is_minus_infinity():
    theta = {"R0": 0.0, "infectious_days": 0.5, "I0": 1.0}  # well again after one step
    observed = {"in_bed": [1, 5, 1, 0, 0]}
    assert particle_filter(CLASS, theta, observed, PoissonObservation(floor=0), 50) == -math.inf
    assert particle_filter(CLASS, theta, observed, PoissonObservation(), 50) > -math.inf


def test_weights_below_the_smallest_number_are_safe():
    estimate = particle_filter(CLASS, THETA, {"in_bed": [5_000] * 5}, PoissonObservation(), 50)
    assert -1e6 < estimate < -1e4


@pytest.mark.parametrize(
    "observed, observation, message",
    [
        ({}, PoissonObservation(), "observed has no series"),
        ({"bed": IN_BED}, PoissonObservation(), "observed 'bed' is no series .*in_bed"),
        ({"total_infected": 5.0}, PoissonObservation(), "observed 'total_infected' is no series"),
        ({"in_bed": IN_BED[:3]}, PoissonObservation(), r"has shape \(3,\), the simulator's is \(5,\)"),
        ({"in_bed": np.full(5, np.nan)}, PoissonObservation(), "no datum"),
        ({"in_bed": IN_BED + 0.5}, PoissonObservation(), "law of counts and 1.5"),
        ({"in_bed": IN_BED}, {"incidence": PoissonObservation()}, "given for incidence but in_bed"),
    ],
)
def test_data_that_do_not_fit_are_refused(observed, observation, message):
    with pytest.raises(ValueError, match=message):
        particle_filter(CLASS, THETA, observed, observation)


def test_what_cannot_be_filtered_is_refused():
    class Hidden(LinearGaussian):
        def observe(self, states):
            return {}

    class Broken(LinearGaussian):
        def step(self, states, theta, day, rng):
            return np.full_like(states, np.nan), {}

    data, gaussian = {"level": np.zeros(12)}, GaussianObservation(1.0)
    with pytest.raises(ValueError, match="neither observe nor step gives the observed level"):
        particle_filter(Hidden(), {"memory": 0.5}, data, gaussian)
    with pytest.raises(ValueError, match="gave level = nan on day 1"):
        particle_filter(Broken(), {"memory": 0.5}, data, gaussian)
    with pytest.raises(ValueError, match="particles is 0"):
        particle_filter(LinearGaussian(), {"memory": 0.5}, data, gaussian, particles=0)
    with pytest.raises(TypeError, match="observation of 'level' is 'gaussian'"):
        particle_filter(LinearGaussian(), {"memory": 0.5}, data, "gaussian")


SPACE = Space(
    [
        Parameter("infectious_days", uniform(0.6, 4.0)),
        Parameter("R0", uniform(0.2, 8.0)),
        Parameter("I0", uniform(1.0, 2.0)),
    ]
)


def method(**settings) -> ParticleMCMC:
    """Markov chains for the tiny SIR."""
    return ParticleMCMC(SPACE, CLASS, {"in_bed": IN_BED}, PoissonObservation(), **settings)


def exact_moments() -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and sd of the tiny SIR by Gauss-Legendre quadrature, natural units."""
    nodes = [np.polynomial.legendre.leggauss(k) for k in (14, 14, 3)]
    unit = np.stack(np.meshgrid(*[0.5 * (x + 1) for x, _ in nodes], indexing="ij"), axis=-1).reshape(-1, 3)
    weights = np.einsum("i,j,k->ijk", *[w for _, w in nodes]).ravel()
    theta = SPACE.from_unit(unit)
    rows = [dict(zip(SPACE.names, row)) for row in theta]
    weights = weights * [forward(row, in_bed=IN_BED) for row in rows]
    weights /= weights.sum()
    mean = weights @ theta
    return mean, np.sqrt(weights @ (theta - mean) ** 2)


def test_markov_chains_find_the_exact_posterior():
    # Means at 5 Monte-Carlo standard errors by the effective sample size, three of them: false-alarm rate about
    # 1e-5; sds within 10 %, about 4 standard errors.
    # Two particles, so that the estimates' noise is there to be got right.
    mean, sd = exact_moments()
    posterior = method(particles=2, iterations=2_500).run(seed=1)
    table = posterior.summary.set_index("parameter").loc[list(SPACE.names)]
    assert table["ess"].min() > 500
    assert table["rhat"].max() < 1.02
    assert np.all(np.abs(table["mean"] - mean) < 5 * sd / np.sqrt(table["ess"]))
    assert table["sd"].to_numpy() == pytest.approx(sd, rel=0.1)
    assert posterior.noise > 0.5
    assert posterior.samples.shape == (10_000, 3)
    inside = posterior.samples["R0"].between(*posterior.intervals(0.9).iloc[1][["low", "high"]])
    assert inside.mean() == pytest.approx(0.9, abs=0.01)  # chains repeat the draws at the ends
    assert "particles" in repr(posterior)


def test_the_number_of_particles_is_chosen_by_the_noise_it_leaves():
    # The choice is judged by 40 estimates: 0.92 within 15 % of it.
    flu = StochasticSIR(population=763, days=14, steps_per_day=4)
    in_bed = {"in_bed": flu({"R0": 3.6, "infectious_days": 2.2, "I0": 4.0}, seed=3)["in_bed"]}
    space = Space([*SPACE.parameters[:2], Parameter("I0", uniform(1.0, 12.0))])
    posterior = ParticleMCMC(space, flu, in_bed, GaussianObservation(3.0), iterations=8, burn_in=9).run(
        seed=2
    )
    assert posterior.particles > 50
    assert posterior.noise == pytest.approx(0.92, rel=0.16)


def test_a_biased_chain_would_be_seen():
    # The same comparison with another model for the data: what the test above could detect.
    mean, sd = exact_moments()
    other = ParticleMCMC(SPACE, CLASS, {"in_bed": IN_BED}, PoissonObservation(floor=2.0), iterations=1_000)
    table = other.run(seed=1).summary
    assert np.any(np.abs(table["mean"] - mean) > 5 * sd / np.sqrt(table["ess"]))


def test_the_same_seed_gives_the_same_numbers_on_any_number_of_threads():
    before = numba.get_num_threads()
    runs = []
    for count in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(count)
        with threadpool_limits(limits=count):
            runs.append(method(particles=20, iterations=50, burn_in=30).run(seed=5))
    numba.set_num_threads(before)
    assert np.array_equal(runs[0].unit, runs[1].unit)
    assert np.array_equal(runs[0].log_likelihood, runs[1].log_likelihood)
    assert not np.array_equal(runs[0].unit, method(particles=20, iterations=50, burn_in=30).run(seed=6).unit)


def test_chains_start_where_the_pilot_ended_before_its_goal(monkeypatch):
    # One round from the prior: its weights are tempered, a longer burn-in makes up for it. 5 standard errors.
    monkeypatch.setattr(particle_mcmc, "PILOT_ROUNDS", 1)
    observed = run_steps(LinearGaussian(), {"memory": 0.8}, 1, np.random.default_rng(3))["level"][0]
    grid = np.linspace(0.0005, 0.9995, 1_000)
    weights = np.exp([kalman(memory, observed, 0.3) - kalman(0.8, observed, 0.3) for memory in grid])
    mean = weights @ grid / weights.sum()
    space = Space([Parameter("memory", uniform(0.0, 1.0))])
    chains = ParticleMCMC(
        space, LinearGaussian(), {"level": observed}, GaussianObservation(0.3), particles=100
    )
    table = replace(chains, iterations=300, burn_in=90).run(seed=1).summary
    assert abs(table["mean"][0] - mean) < 5 * table["sd"][0] / math.sqrt(table["ess"][0])
    assert table["ess"][0] > 100


def test_a_step_that_disagrees_ends_a_run():
    class Faster(StochasticSIR):
        def step(self, states, theta, day, rng):
            return super().step(states, theta | {"infectious_days": 0.5}, day, rng)

    wrong = ParticleMCMC(SPACE, Faster(7, 5, 2), {"in_bed": IN_BED}, PoissonObservation())
    with pytest.raises(ValueError, match="do not agree with its whole runs"):
        wrong.run(seed=1)


def test_data_that_no_parameters_make_possible():
    space = Space(
        [
            Parameter("infectious_days", uniform(0.5, 0.5000001)),
            Parameter("R0", uniform(0.0, 1e-9)),
            Parameter("I0", uniform(1.0, 2.0)),
        ]
    )
    impossible = ParticleMCMC(space, CLASS, {"in_bed": [1, 5, 5, 5, 5]}, PoissonObservation(floor=0))
    with pytest.raises(
        ValueError, match="none of 600 parameter sets .* in_bed possible: check data and prior"
    ):
        impossible.run(seed=1)


def test_settings_are_checked_at_once():
    with pytest.raises(ValueError, match="chains is 1"):
        method(chains=1)
    with pytest.raises(ValueError, match="iterations is 2.5"):
        method(iterations=2.5)
    with pytest.raises(ValueError, match="particles is 0"):
        method(particles=0)
    with pytest.raises(ValueError, match="takes memory; the space has infectious_days, R0, I0"):
        ParticleMCMC(SPACE, LinearGaussian(), {"level": np.zeros(12)}, GaussianObservation(1.0))
    with pytest.raises(ValueError, match="level is 90"):
        method(particles=10, iterations=8, burn_in=9).run(seed=0).intervals(90)
