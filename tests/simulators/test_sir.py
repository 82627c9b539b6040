"""The law of StochasticSIR against theory, and its common random numbers."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from hetcal.simulators import StochasticSIR, check_step, run_many


def prior_draws(n: int, seed: int) -> np.ndarray:
    """Flu prior: R0, infectious days, I0."""
    u = np.random.default_rng(seed).random((n, 3))
    return np.column_stack([1.2 + 6.8 * u[:, 0], 0.5 + 5.5 * u[:, 1], 12.0 ** u[:, 2]])


def repeat(model: StochasticSIR, theta: tuple[float, ...], n: int) -> dict[str, np.ndarray]:
    """n runs at one theta."""
    return model.batch(np.tile(np.array(theta, dtype=float), (n, 1)), np.arange(n))


def difference_map(model: StochasticSIR, r0: float, days: float, i0: float) -> np.ndarray:
    """in_bed of the deterministic map that large populations follow."""
    s, i, in_bed = model.population - i0, i0, []
    recovery = 1 / (days * model.steps_per_day)
    for _ in range(model.days):
        in_bed.append(i)
        for _ in range(model.steps_per_day):
            cases = s * (1 - np.exp(-r0 * recovery * i / model.population))
            s, i = s - cases, i + cases - i * recovery
    return np.array(in_bed)


def differential_equation(model: StochasticSIR, r0: float, days: float, i0: float) -> np.ndarray:
    """in_bed of the SIR differential equation."""
    n = model.population

    def slope(t: float, y: np.ndarray) -> list[float]:
        new = r0 / days * y[0] * y[1] / n
        return [-new, new - y[1] / days]

    grid = np.arange(model.days)
    return integrate.solve_ivp(slope, (0, grid[-1]), [n - i0, i0], t_eval=grid, rtol=1e-10, atol=1e-6).y[1]


@pytest.mark.parametrize("r0", [1.5, 3.6])
def test_final_size_of_a_large_epidemic(r0):
    # Of 2,000 runs those that take off: z = 1 - s(0) exp(-R0 z). The mean's bias is O(1/N), below 0.0005 of N
    # here (measured 1e-5 to 2e-4); at 5 standard errors plus that the false-alarm rate is below 1e-6.
    population = 20_000
    total = repeat(StochasticSIR(population, 150, 4), (r0, 2.2, 5), 2_000)["total_infected"] / population
    large = total[total > 0.1]
    expected = optimize.brentq(lambda z: 1 - z - (1 - 5 / population) * np.exp(-r0 * z), 0.05, 1)
    assert abs(large.mean() - expected) < 0.0005 + 5 * large.std() / np.sqrt(len(large))
    assert not np.any((total > 0.02) & (total < 0.5 * expected))  # all or nothing


@pytest.mark.parametrize("r0, infectious_days", [(1.5, 2.0), (2.5, 0.5), (4.0, 2.2)])
def test_extinction_probability_of_the_branching_process(r0, infectious_days):
    # One person infectious for T ~ geometric(p) steps on {1, 2, ...} infects Poisson(T R0 p): the smallest
    # fixed point of its generating function. Two-sided binomial test, false-alarm rate 1e-5 each.
    steps, n = 4, 20_000
    p = 1 / (infectious_days * steps)

    def generating(s: float) -> float:
        stay = np.exp(-r0 * p * (1 - s))
        return p * stay / (1 - (1 - p) * stay)

    extinct = optimize.brentq(lambda s: generating(s) - s, 0, 1 - 1e-6)
    total = repeat(StochasticSIR(100_000, 60, steps), (r0, infectious_days, 1), n)["total_infected"]
    died_out = int((total < 1_000).sum())
    assert stats.binomtest(died_out, n, extinct).pvalue > 1e-5
    if infectious_days == 0.5:  # two steps: the formula of continuous time is measurably wrong
        assert stats.binomtest(died_out, n, 1 / r0).pvalue < 1e-6


def test_large_populations_follow_the_difference_and_the_differential_equation():
    model = StochasticSIR(1_000_000, 14)
    in_bed = repeat(model, (3.6, 2.2, 10_000), 200)["in_bed"]
    # Mean of 200 runs: 5 standard errors (below 1e-5 over 13 days) and the O(1) bias of the mean.
    error = 5 * in_bed.std(axis=0) / np.sqrt(200) + 5
    assert np.all(abs(in_bed.mean(axis=0) - difference_map(model, 3.6, 2.2, 10_000)) < error)
    equation = differential_equation(model, 3.6, 2.2, 10_000)
    assert abs(in_bed.mean(axis=0) - equation).max() < 0.025 * equation.max()  # as the docstring says


def test_more_steps_are_nearer_to_the_differential_equation():
    gaps = []
    for steps in (6, 12, 24, 48):
        model = StochasticSIR(1_000_000, 14, steps)
        equation = differential_equation(model, 3.6, 2.2, 10_000)
        mean = repeat(model, (3.6, 2.2, 10_000), 50)["in_bed"].mean(axis=0)
        gaps.append(abs(mean - equation).max())
    ratios = np.array(gaps[:-1]) / gaps[1:]  # first order: halving the step halves the gap
    assert np.all((ratios > 1.6) & (ratios < 2.4))


@pytest.fixture
def threads():
    """Numba's thread count, put back afterwards."""
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


def test_batch_equals_one_by_one_on_any_number_of_threads(threads):
    model = StochasticSIR(763, 14)
    theta, seeds = prior_draws(300, 1), np.arange(300) * 2**44
    single = [model(dict(zip(model.parameters, row)), int(seed)) for row, seed in zip(theta, seeds)]
    for count in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        threads(count)
        batch = model.batch(theta, seeds)
        for name in model.outputs:
            np.testing.assert_array_equal(batch[name], [run[name] for run in single])


def test_same_seed_stays_in_step_as_theta_moves():
    # Pooled over prior draws that take off: trajectories of one seed at theta and 1 % beside it, each centred
    # by the mean over its 40 seeds, so that the correlation is that of the noise alone.
    model = StochasticSIR(763, 14)
    here = prior_draws(40, 2)
    residuals = []
    for shift, first_seed in ((1.0, 0), (1.01, 0), (1.0, 10**6)):
        theta = np.repeat(here * [shift, shift, 1], 40, axis=0)
        seeds = np.tile(first_seed + np.arange(40), 40)
        in_bed = model.batch(theta, seeds)["in_bed"].reshape(40, 40, 14)
        residuals.append(in_bed - in_bed.mean(axis=1, keepdims=True))
    large = (residuals[0].std(axis=1).max(axis=1) > 10) & (here[:, 0] > 1.5)
    base, beside, other = (r[large].ravel() for r in residuals)
    assert large.sum() > 20
    assert np.corrcoef(base, beside)[0, 1] > 0.9
    assert abs(np.corrcoef(base, other)[0, 1]) < 0.1


def test_fractional_initial_number_is_right_on_average():
    # 40,000 Bernoulli(0.3): 4.5 standard errors, false-alarm rate 1e-5.
    first = repeat(StochasticSIR(763, 1), (2.0, 2.0, 2.3), 40_000)["in_bed"][:, 0]
    assert set(first) == {2.0, 3.0}
    assert abs(first.mean() - 2.3) < 4.5 * np.sqrt(0.3 * 0.7 / 40_000)


@settings(max_examples=200, deadline=None)
@given(
    population=st.integers(1, 5_000),
    r0=st.floats(0, 20),
    infectious_days=st.floats(0.125, 30),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**53),
)
def test_people_are_conserved(population, r0, infectious_days, share, seed):
    model = StochasticSIR(population, 20, 8)
    i0 = share * population
    run = model({"R0": r0, "infectious_days": infectious_days, "I0": i0}, seed)
    assert run["in_bed"][0] in (np.floor(i0), np.ceil(i0))
    assert run["in_bed"][0] + run["incidence"].sum() == run["total_infected"] <= population
    assert run["incidence"].min() >= 0
    ever = run["in_bed"][0] + np.concatenate([[0], np.cumsum(run["incidence"])[:-1]])
    assert np.all((run["in_bed"] >= 0) & (run["in_bed"] <= ever))
    assert np.all(np.diff(ever - run["in_bed"]) >= 0)  # nobody recovers twice


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"R0": -0.1}, "R0 is -0.1 in run 0"),
        ({"R0": np.nan}, "R0 is nan"),
        ({"infectious_days": 0.0}, "infectious_days is 0.0"),
        ({"infectious_days": 0.01}, "at least 0.0416667"),
        ({"I0": -1.0}, "I0 is -1.0"),
        ({"I0": 764}, "at most 763"),
        ({"beta": 1.0}, "parameter 'beta' is unknown"),
    ],
)
def test_bad_theta_is_named(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        StochasticSIR(763, 14)({"R0": 3.0, "infectious_days": 2.0, "I0": 1.0, **change}, 1)


def test_other_bad_input_is_named():
    model = StochasticSIR(763, 14)
    with pytest.raises(ValueError, match="'I0' is missing"):
        model({"R0": 3.0, "infectious_days": 2.0}, 1)
    with pytest.raises(ValueError, match="seed is -1"):
        model({"R0": 3.0, "infectious_days": 2.0, "I0": 1}, -1)
    with pytest.raises(ValueError, match=r"theta has shape \(2, 2\)"):
        model.batch(np.ones((2, 2)), np.arange(2))
    with pytest.raises(ValueError, match="steps_per_day of StochasticSIR is 0"):
        StochasticSIR(763, 14, 0)
    with pytest.raises(ValueError, match="population of StochasticSIR is 7.5"):
        StochasticSIR(7.5, 14)


def test_only_the_bad_row_of_a_batch_fails():
    theta = np.array([[3.0, 2.0, 1.0], [3.0, -2.0, 1.0], [3.0, 2.0, 5.0]])
    results = run_many(StochasticSIR(763, 14), theta, np.arange(3))
    assert [r.status for r in results] == ["ok", "failed", "ok"]
    assert "infectious_days is -2.0" in results[1].error


FLU = {"R0": 3.6, "infectious_days": 2.2, "I0": 3.0}


def test_runs_without_isolation_are_those_of_before():
    # Recorded when the model had no isolation.
    in_bed = [
        [3, 6, 6, 11, 43, 102, 235, 277, 257, 221, 164, 109, 71, 41],
        [3, 13, 50, 106, 222, 276, 269, 230, 163, 106, 68, 45, 27, 18],
    ]
    for model in (StochasticSIR(763, 14), StochasticSIR(763, 14, isolation_rate=3.0)):
        assert [model(FLU, seed)["in_bed"].tolist() for seed in (0, 1)] == in_bed


def isolating_loop(model: StochasticSIR, theta: dict[str, float], n: int, seed: int) -> dict[str, np.ndarray]:
    """n runs with isolation in plain numpy, everybody's fate drawn by Generator.binomial."""
    rng = np.random.default_rng(seed)
    dt = 1 / model.steps_per_day
    s, i, isolated = (
        np.full(n, model.population - int(theta["I0"])),
        np.full(n, int(theta["I0"])),
        np.zeros(n, int),
    )
    in_bed, incidence = np.zeros((n, model.days)), np.zeros((n, model.days))
    for day in range(model.days):
        in_bed[:, day] = i + isolated
        rate = model.isolation_rate if day >= model.isolation_day else 0.0
        for _ in range(model.steps_per_day):
            cases = rng.binomial(
                s, 1 - np.exp(-theta["R0"] / theta["infectious_days"] * dt * i / model.population)
            )
            stay = i - rng.binomial(i, dt / theta["infectious_days"])
            found = rng.binomial(stay, 1 - np.exp(-rate * dt))
            isolated = isolated - rng.binomial(isolated, dt / theta["infectious_days"]) + found
            s, i = s - cases, stay - found + cases
            incidence[:, day] += cases
    return {"in_bed": in_bed, "incidence": incidence, "total_infected": model.population - s}


@pytest.mark.parametrize("day, rate", [(0, 0.3), (4, 1.0), (5, 40.0)])
def test_the_law_of_isolation(day, rate):
    # Two-sample Kolmogorov-Smirnov of 21 quantities each: false-alarm rate 21e-6 a case, and less for counts.
    model = StochasticSIR(763, 10, 6, isolation_day=day, isolation_rate=rate)
    ours, plain = repeat(model, tuple(FLU.values()), 3_000), isolating_loop(model, FLU, 3_000, seed=1)
    for name, values in plain.items():
        for mine, theirs in zip(np.atleast_2d(ours[name].T), np.atleast_2d(values.T)):
            assert stats.ks_2samp(mine, theirs, method="asymp").pvalue > 1e-6
    without = repeat(StochasticSIR(763, 10, 6), tuple(FLU.values()), 3_000)
    assert stats.ks_2samp(ours["total_infected"], without["total_infected"]).pvalue < 1e-6  # it would be seen


@pytest.mark.parametrize("r0, rate", [(3.6, 1.0), (2.0, 0.2)])
def test_isolation_lowers_the_reproduction_number_by_its_share_of_the_infectious_time(r0, rate):
    # 100 infectious in 10^6, rates a step p and q: the mixing time is geometric with mean 1/(p + q - pq) steps, so
    # one infects r0 p / (p + q - pq). The generation that the first infect is counted by its expectation; here the
    # final size below the threshold, I0 / (1 - R): mean of 2,000 runs, 5 standard errors and 0.5 % for depletion.
    steps, days, r0 = 12, 2.0, 0.5 * r0
    p, q = 1 / (days * steps), -np.expm1(-rate / steps)
    reproduction = r0 * p / (p + q - p * q)
    assert reproduction < 0.95
    model = StochasticSIR(1_000_000, 150, steps, isolation_day=0, isolation_rate=rate)
    total = repeat(model, (r0, days, 100), 2_000)["total_infected"]
    expected = 100 / (1 - reproduction)
    assert abs(total.mean() - expected) < 5 * total.std() / np.sqrt(2_000) + 0.005 * expected


@pytest.mark.parametrize("setting", [{"isolation_day": 14}, {"isolation_day": 2, "isolation_rate": 0.0}])
def test_isolation_too_late_or_at_no_rate_changes_nothing(setting):
    theta, seeds = prior_draws(200, 3), np.arange(200)
    ours, without = (
        model.batch(theta, seeds) for model in (StochasticSIR(763, 14, **setting), StochasticSIR(763, 14))
    )
    for name, values in without.items():
        np.testing.assert_array_equal(ours[name], values)


def test_isolation_is_paired_by_seed():
    # The same until its day; afterwards fewer are infected, and the pairs differ less than runs of other seeds.
    theta, seeds = np.tile([3.6, 2.2, 6.0], (500, 1)), np.arange(500)
    ours = StochasticSIR(763, 14, isolation_day=4).batch(theta, seeds)
    without = StochasticSIR(763, 14).batch(theta, seeds)
    np.testing.assert_array_equal(ours["in_bed"][:, :5], without["in_bed"][:, :5])
    np.testing.assert_array_equal(ours["incidence"][:, :4], without["incidence"][:, :4])
    fewer = without["total_infected"] - ours["total_infected"]
    assert np.all(fewer > -40) and fewer.mean() > 5
    apart = without["total_infected"] - np.roll(ours["total_infected"], 1)
    assert fewer.std() < apart.std()


def test_isolated_runs_step_as_they_run_and_equal_one_by_one(threads):
    # Three calls of check_step, each wrong once in a million at most.
    model = StochasticSIR(763, 14, isolation_day=3, isolation_rate=0.8)
    for seed in range(3):
        check_step(model, FLU, seed=seed)
    theta, seeds = prior_draws(60, 4), np.arange(60)
    single = [model(dict(zip(model.parameters, row)), int(seed)) for row, seed in zip(theta, seeds)]
    for count in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        threads(count)
        for name, values in model.batch(theta, seeds).items():
            np.testing.assert_array_equal(values, [run[name] for run in single])


@settings(max_examples=100, deadline=None)
@given(
    r0=st.floats(0, 20),
    infectious_days=st.floats(0.125, 30),
    day=st.integers(0, 25),
    rate=st.floats(0, 1e3),
    seed=st.integers(0, 2**53),
)
def test_people_are_conserved_under_isolation(r0, infectious_days, day, rate, seed):
    model = StochasticSIR(500, 20, 8, isolation_day=day, isolation_rate=rate)
    run = model({"R0": r0, "infectious_days": infectious_days, "I0": 7.5}, seed)
    assert run["in_bed"][0] + run["incidence"].sum() == run["total_infected"] <= 500
    ever = run["in_bed"][0] + np.concatenate([[0], np.cumsum(run["incidence"])[:-1]])
    assert np.all((run["in_bed"] >= 0) & (run["in_bed"] <= ever))
    assert np.all(np.diff(ever - run["in_bed"]) >= 0)  # nobody recovers twice


@pytest.mark.parametrize(
    "setting, sentence",
    [
        ({"isolation_day": -1}, "isolation_day of StochasticSIR is -1: give the whole number of a day"),
        ({"isolation_day": 2.5}, "isolation_day of StochasticSIR is 2.5"),
        ({"isolation_day": True}, "isolation_day of StochasticSIR is True"),
        ({"isolation_rate": -0.1}, "isolation_rate of StochasticSIR is -0.1: give a finite number"),
        ({"isolation_rate": np.nan}, "isolation_rate of StochasticSIR is nan"),
        ({"isolation_rate": np.inf}, "isolation_rate of StochasticSIR is inf"),
        ({"isolation_rate": "1"}, "isolation_rate of StochasticSIR is '1'"),
    ],
)
def test_bad_isolation_is_named(setting, sentence):
    with pytest.raises(ValueError, match=sentence):
        StochasticSIR(763, 14, **setting)
