"""The law of BoardingSchool against a plain loop and theory, and its common random numbers."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats

from hetcal.simulators import BoardingSchool, check_step, run_many

FLU = {
    "R0": 4.4,
    "latent_days": 0.7,
    "infectious_days": 0.8,
    "ill_fraction": 0.75,
    "bed_days": 2.8,
    "convalescent_days": 1.7,
    "I0": 2.3,
}


def repeat(model: BoardingSchool, theta: dict[str, float], n: int, first: int = 0) -> dict[str, np.ndarray]:
    """n runs at one theta."""
    return model.batch(np.tile(list(theta.values()), (n, 1)), np.arange(first, first + n))


def prior_draws(n: int, seed: int) -> np.ndarray:
    u = np.random.default_rng(seed).random((n, 7))
    return np.array([1.2, 0.2, 0.2, 0.3, 1.0, 0.5, 0.5]) + u * [8.0, 2.0, 3.0, 0.7, 4.0, 4.0, 10.0]


def growing_start(theta: dict[str, float], stages: tuple[int, int]) -> np.ndarray:
    """Expected numbers on day 0, I0 infectious: exposed, infectious, stages in bed, of convalescence.

    The leading eigenvector of the linearised differential equation.
    """
    sigma, gamma = 1 / theta["latent_days"], 1 / theta["infectious_days"]
    leave = [stages[0] / theta["bed_days"]] * stages[0] + [stages[1] / theta["convalescent_days"]] * stages[1]
    flow = np.diag(np.r_[-sigma, -gamma, -np.array(leave)])
    flow[0, 1], flow[1, 0], flow[2, 1] = theta["R0"] * gamma, sigma, gamma * theta["ill_fraction"]
    for j in range(3, len(flow)):
        flow[j, j - 1] = leave[j - 3]
    values, vectors = linalg.eig(flow)
    leading = np.real(vectors[:, np.argmax(values.real)])
    return theta["I0"] * leading / leading[1]


def plain_loop(model: BoardingSchool, theta: dict[str, float], n: int, seed: int) -> dict[str, np.ndarray]:
    """n runs in plain numpy, drawn by Generator.binomial."""
    rng, dt = np.random.default_rng(seed), 1 / model.steps_per_day
    stages = (model.bed_stages, model.convalescent_stages)
    expected = growing_start(theta, stages)
    at_start = (np.floor(expected) + (rng.random((n, len(expected))) < expected % 1)).astype(int)
    e, i, *rooms = at_start.T
    s, ill = model.population - at_start.sum(axis=1), sum(rooms)
    leave = [stages[0] * dt / theta["bed_days"]] * stages[0]
    leave += [stages[1] * dt / theta["convalescent_days"]] * stages[1]
    out = {name: np.zeros((n, model.days)) for name in ("incidence", "in_bed", "convalescent", "new_ill")}
    for day in range(model.days):
        out["in_bed"][:, day] = sum(rooms[: stages[0]])
        out["convalescent"][:, day] = sum(rooms[stages[0] :])
        isolating = model.isolation_day is not None and day >= model.isolation_day
        for _ in range(model.steps_per_day):
            infected = rng.binomial(
                s, 1 - np.exp(-theta["R0"] / theta["infectious_days"] * dt * i / model.population)
            )
            onsets = rng.binomial(e, dt / theta["latent_days"])
            ends = rng.binomial(i, dt / theta["infectious_days"])
            if isolating:
                ends = ends + rng.binomial(i - ends, 1 - np.exp(-model.isolation_rate * dt))
            to_bed = rng.binomial(ends, theta["ill_fraction"])
            leaving = [rng.binomial(room, p) for room, p in zip(rooms, leave)]
            entering = [to_bed, *leaving[:-1]]
            s, e, i = s - infected, e + infected - onsets, i + onsets - ends
            rooms = [room + new - old for room, new, old in zip(rooms, entering, leaving)]
            ill = ill + to_bed
            out["incidence"][:, day] += infected
            out["new_ill"][:, day] += to_bed
    return {**out, "total_infected": model.population - s, "total_ill": ill}


@pytest.mark.parametrize(
    "model",
    [
        BoardingSchool(763, 9, 6),
        BoardingSchool(763, 9, 8, bed_stages=1, convalescent_stages=3),
        BoardingSchool(763, 9, 6, isolation_day=3, isolation_rate=0.7),
    ],
    ids=["default", "other stages", "isolation"],
)
def test_the_law_is_that_of_a_plain_loop(model):
    # Two-sample Kolmogorov-Smirnov of 38 quantities each: false-alarm rate below 38e-6 a case.
    ours, plain = repeat(model, FLU, 3_000), plain_loop(model, FLU, 3_000, seed=1)
    for name, values in plain.items():
        for mine, theirs in zip(np.atleast_2d(ours[name].T), np.atleast_2d(values.T)):
            assert stats.ks_2samp(mine, theirs, method="asymp").pvalue > 1e-6, name
    # and of the pairs of days and series, by the mean product: 5 standard errors, false-alarm rate below 1e-5 each
    for a, b in (("in_bed", "convalescent"), ("incidence", "new_ill")):
        product, other = (x[a][:, 4] * x[b][:, 6] for x in (ours, plain))
        error = np.hypot(product.std(), other.std()) / np.sqrt(3_000)
        assert abs(product.mean() - other.mean()) < 5 * error


@pytest.mark.parametrize(
    "r0, infectious_days, ill_fraction", [(0.9, 2.0, 0.3), (3.0, 0.25, 1.0), (3.0, 1.5, 0.6)]
)
def test_r0_is_exact_in_a_large_population(r0, infectious_days, ill_fraction):
    # One infectious person in 10^7 and nobody else; the exposed of the next generation stay so (a latent time of
    # 10^6 days). Mean of 40,000 runs, 4.5 standard errors: false-alarm rate 1e-5 each.
    model = BoardingSchool(10_000_000, 60, 4)
    states = np.zeros((40_000, 4 + model.bed_stages + 1), dtype=np.int64)
    states[:, 0], states[:, 2] = 10_000_000 - 1, 1
    theta = FLU | {
        "R0": r0,
        "infectious_days": infectious_days,
        "ill_fraction": ill_fraction,
        "latent_days": 1e6,
    }
    rng, infected = np.random.default_rng(2), np.zeros(len(states))
    for day in range(60):
        states, counted = model.step(states, theta, day, rng)
        infected += counted["incidence"]
    assert (states[:, 2] == 0).all()
    assert abs(infected.mean() - r0) < 4.5 * infected.std() / np.sqrt(len(infected))
    assert abs(states[:, 3].mean() - ill_fraction) < 4.5 * 0.5 / np.sqrt(len(infected)) + 1e-12


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_times_in_bed_and_of_convalescence_are_sums_of_geometric_times(stages):
    # 50,000 persons put to bed at once, whole days of 4 steps; 80 binomial shares at 5 standard errors:
    # false-alarm rate below 5e-5 each.
    n, steps = 50_000, 4
    theta = FLU | {"R0": 0.0, "bed_days": 3.0, "convalescent_days": 2.0}
    model = BoardingSchool(n, 40, steps, bed_stages=stages, convalescent_stages=stages)
    states = np.zeros((1, 4 + 2 * stages), dtype=np.int64)
    states[0, 4] = n
    grid = np.arange(41 * steps)
    bed, convalescent = (stats.nbinom(stages, stages / (d * steps)).pmf(grid - stages) for d in (3.0, 2.0))
    up, well = np.cumsum(bed), np.cumsum(np.convolve(bed, convalescent)[: len(grid)])
    assert (grid * bed).sum() / steps == pytest.approx(3.0, rel=1e-2)  # the mean that is promised
    rng = np.random.default_rng(stages)
    for day in range(40):
        seen = model.observe(states)
        for name, share in (("in_bed", 1 - up[day * steps]), ("convalescent", (up - well)[day * steps])):
            assert abs(seen[name][0] / n - share) <= 5 * np.sqrt(share * (1 - share) / n) + 2 / n
        states, _ = model.step(states, theta, day, rng)


@pytest.fixture
def threads():
    """Numba's thread count, put back afterwards."""
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


@pytest.mark.parametrize("isolation_day", [None, 3])
def test_batch_equals_one_by_one_on_any_number_of_threads(threads, isolation_day):
    model = BoardingSchool(763, 14, isolation_day=isolation_day)
    theta, seeds = prior_draws(100, 1), np.arange(100) * 2**44
    single = [model(dict(zip(model.parameters, row)), int(seed)) for row, seed in zip(theta, seeds)]
    for count in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        threads(count)
        batch = model.batch(theta, seeds)
        assert list(batch) == list(model.outputs)
        for name in model.outputs:
            np.testing.assert_array_equal(batch[name], [run[name] for run in single])


def test_same_seed_stays_in_step_as_theta_moves():
    # Centred by the mean over the seeds, so that the correlation is that of the noise alone.
    model, beside = BoardingSchool(763, 14), {name: 1.01 * value for name, value in FLU.items()}
    runs = [
        repeat(model, theta, 400, first)["in_bed"] for theta, first in ((FLU, 0), (beside, 0), (FLU, 10**6))
    ]
    here, near, other = (run - run.mean(axis=0) for run in runs)
    assert np.corrcoef(here.ravel(), near.ravel())[0, 1] > 0.9
    assert abs(np.corrcoef(here.ravel(), other.ravel())[0, 1]) < 0.2


@pytest.mark.parametrize(
    "model",
    [
        BoardingSchool(763, 14),
        BoardingSchool(763, 14, 8, bed_stages=3, convalescent_stages=2),
        BoardingSchool(763, 14, isolation_day=4, isolation_rate=0.5),
    ],
    ids=["default", "other stages", "isolation"],
)
def test_it_steps_as_it_runs(model):
    # Each wrong once in a million at most.
    check_step(model, FLU)
    states = model.initial(FLU, 20, np.random.default_rng(0))
    before = states.copy()
    model.step(states, FLU, 0, np.random.default_rng(0))
    assert np.array_equal(states, before)


@settings(max_examples=200, deadline=None)
@given(
    population=st.integers(1, 3_000),
    r0=st.floats(0, 20),
    days=st.tuples(*[st.floats(0.125, 30)] * 2, *[st.floats(0.375, 30)] * 2),
    ill_fraction=st.floats(0, 1),
    share=st.floats(0, 1),
    stages=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    isolation_day=st.one_of(st.none(), st.integers(0, 25)),
    seed=st.integers(0, 2**53),
)
def test_people_are_conserved(population, r0, days, ill_fraction, share, stages, isolation_day, seed):
    model = BoardingSchool(population, 20, 8, *stages, isolation_day=isolation_day, isolation_rate=2.0)
    theta = [r0, days[0], days[1], ill_fraction, days[2], days[3], share * population]
    named = dict(zip(model.parameters, theta))
    run = model(named, seed)
    assert all(np.all(values >= 0) for values in run.values())
    ill_before = run["total_ill"] - run["new_ill"].sum()
    assert ill_before == run["in_bed"][0] + run["convalescent"][0]
    assert run["total_ill"] <= run["total_infected"] <= population
    ill = ill_before + np.concatenate([[0], np.cumsum(run["new_ill"])[:-1]])
    infected = run["total_infected"] - np.cumsum(run["incidence"][::-1])[::-1]
    well = ill - run["in_bed"] - run["convalescent"]  # who has been ill
    assert np.all(np.diff(well) >= 0) and np.all(well >= 0) and np.all(ill <= infected)
    if ill_fraction in (0.0, 1.0):
        assert run["new_ill"].sum() == 0 or ill_fraction == 1.0
    states = model.initial(named, 3, np.random.default_rng(seed))
    for day in range(20):
        states, _ = model.step(states, named, day, np.random.default_rng(day))
        alive = states[:, :3].sum(axis=1) + states[:, 4:].sum(axis=1)
        assert np.all(states >= 0) and np.all(alive <= population)


@pytest.mark.parametrize("setting", [{"isolation_day": 14}, {"isolation_day": 2, "isolation_rate": 0.0}])
def test_isolation_too_late_or_at_no_rate_changes_nothing(setting):
    theta, seeds = prior_draws(100, 3), np.arange(100)
    ours, without = (
        m.batch(theta, seeds) for m in (BoardingSchool(763, 14, **setting), BoardingSchool(763, 14))
    )
    for name, values in without.items():
        np.testing.assert_array_equal(ours[name], values)


def test_isolation_is_paired_by_seed():
    ours, without = (
        repeat(m, FLU, 400) for m in (BoardingSchool(763, 14, isolation_day=3), BoardingSchool(763, 14))
    )
    np.testing.assert_array_equal(ours["in_bed"][:, :4], without["in_bed"][:, :4])
    np.testing.assert_array_equal(ours["incidence"][:, :3], without["incidence"][:, :3])
    fewer = without["total_ill"] - ours["total_ill"]
    assert fewer.mean() > 10
    assert fewer.std() < (without["total_ill"] - np.roll(ours["total_ill"], 1)).std()


def test_nobody_infectious_and_nobody_susceptible():
    quiet = BoardingSchool(763, 14)(FLU | {"I0": 0.0}, 1)
    assert all(np.all(values == 0) for values in quiet.values())
    full = BoardingSchool(30, 14)(FLU | {"I0": 30}, 1)
    assert full["total_infected"] == 30 and full["incidence"].sum() == 0
    # in one step each: exposed, infectious, in bed, convalescent
    fast = FLU | {"latent_days": 0.5, "infectious_days": 0.5, "bed_days": 2.0, "convalescent_days": 0.5}
    run = BoardingSchool(763, 14, 2)(fast | {"ill_fraction": 1.0}, 2)
    assert run["total_ill"] <= run["total_infected"] and run["in_bed"][1:].max() > 100


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"R0": -0.1}, "R0 is -0.1 in run 0"),
        ({"latent_days": 0.01}, "latent_days is 0.01 in run 0: it must be at least 0.0416667 and finite"),
        ({"infectious_days": np.nan}, "infectious_days is nan"),
        ({"ill_fraction": 1.1}, "ill_fraction is 1.1 in run 0: it must be at least 0 and at most 1"),
        ({"bed_days": 0.05}, "bed_days is 0.05 in run 0: it must be at least 0.166667"),
        ({"convalescent_days": np.inf}, "convalescent_days is inf"),
        ({"I0": 764}, "at most 763"),
        ({"beta": 1.0}, "parameter 'beta' is unknown: BoardingSchool takes R0, latent_days"),
    ],
)
def test_bad_theta_is_named(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        BoardingSchool(763, 14)(FLU | change, 1)
    if "beta" not in change:
        with pytest.raises(ValueError, match=sentence):
            BoardingSchool(763, 14).initial(FLU | change, 2, np.random.default_rng(0))


def test_other_bad_input_is_named():
    with pytest.raises(ValueError, match="bed_stages of BoardingSchool is 0: give a whole number above 0"):
        BoardingSchool(763, 14, bed_stages=0)
    with pytest.raises(ValueError, match="isolation_day of BoardingSchool is -3"):
        BoardingSchool(763, 14, isolation_day=-3)
    with pytest.raises(ValueError, match=r"theta has shape \(2, 3\)"):
        BoardingSchool(763, 14).batch(np.ones((2, 3)), np.arange(2))
    theta = np.array([list(FLU.values())] * 3)
    theta[1, 3] = 2.0
    results = run_many(BoardingSchool(763, 14), theta, np.arange(3))
    assert [r.status for r in results] == ["ok", "failed", "ok"]
    assert "ill_fraction is 2.0" in results[1].error
