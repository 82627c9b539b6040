"""SpatialABM against a plain loop over people, the timing of its states, and the published scenario."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from plain_outbreak import person_by_person
from scenes import TRUTH, everything, plain_arguments, repeat, three_cluster, three_patches
from scipy import stats

from hetcal.simulators import Campaign, SpatialABM
from hetcal.simulators.spatial_kernels import hypergeometric_quantile

SEASON = {"beta": 0.45, "k": 0.15, "c": 1.0}


def one_patch(people=1_000_000, days=100, **changes):
    patches = pd.DataFrame({"id": ["p"], "pop": [people], "lat": [0.0], "lon": [0.0]})
    return SpatialABM(patches, days=days, **changes)


def compared(ours, plain):
    """Pairs of samples: final states by patch, arrivals, peak, infections, and sums over patches."""
    final, arrival, peak, infections = plain
    states, our_arrival = ours["patch_states"][..., -1], ours["patch_arrival"]
    for j in range(final.shape[2]):
        yield our_arrival[:, j], arrival[:, j]
        for x in range(5):
            yield states[:, x, j], final[:, x, j]
    sick = ours["infectious"].sum(axis=1)
    yield np.where(sick.max(axis=1) > 0, sick.argmax(axis=1), sick.shape[1]), peak
    yield ours["infections_a"] + ours["infections_b"], infections
    yield states[:, 3, 0] - states[:, 3, 2], final[:, 3, 0] - final[:, 3, 2]
    yield our_arrival.max(axis=1), arrival.max(axis=1)
    people = [states.sum(axis=(1, 2)), final.sum(axis=(1, 2))]
    yield people[0], people[1]


def p_values(ours, plain):
    """Two-sample Kolmogorov-Smirnov of 23 quantities; for counts they are larger than uniform ones."""
    return [stats.ks_2samp(mine, theirs, method="asymp").pvalue for mine, theirs in compared(ours, plain)]


@pytest.fixture(scope="module")
def plain():
    model = everything(SpatialABM)
    return person_by_person(1, 6_000, *plain_arguments(model, **SEASON), np.array([6.0, 2.0, 8.0, 2.0]))


def test_law_of_the_plain_loop_over_people(plain):
    # Births, deaths, campaigns, importation, seasons and routine vaccination on; false-alarm rate 23e-6.
    ours = repeat(everything(SpatialABM, record="patches"), SEASON, 6_000)
    assert min(p_values(ours, plain)) > 1e-6
    # Means within 4.5 standard errors each, false-alarm rate 23 x 7e-6.
    for mine, theirs in compared(ours, plain):
        error = np.hypot(mine.std(), theirs.std()) / np.sqrt(6_000)
        assert abs(mine.mean() - theirs.mean()) <= 4.5 * error


@pytest.mark.parametrize(
    "change",
    [
        {"latent_sd": 0.5},
        {"infectious_mean": 7.0},
        {"birth_rate": 500.0},
        {"death_rate": 450.0},
        {"routine_efficacy": 0.3},
        {"importation_days": (10, 40)},
        {"seasonal_day": 0.0},
        {"campaigns": [Campaign("a", 12, 0.3), Campaign(("a", "b"), 26, 0.5)]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_law_would_be_seen(plain, change):
    ours = repeat(everything(SpatialABM, record="patches", **change), SEASON, 6_000)
    assert min(p_values(ours, plain)) < 1e-6


def test_timing_identity():
    # Seeds are as infected on tick -1: with latent time e and infectious time d they are infectious in the
    # transmission steps of the ticks e - 1 to e + d - 2, here 29 to 36; whom they infect is exposed until the end.
    model = one_patch(
        days=58, seeding={"p": 200}, record="patches", latent_mean=30, latent_sd=0, infectious_sd=0
    )
    run = model({"beta": 1.0, "k": 0.0, "c": 0.0}, seed=1)
    infectious, cases = run["patch_states"][2, 0], run["patch_incidence"][0]
    assert infectious.tolist() == [0] * 29 + [200] * 8 + [0] * 21
    assert ((cases > 0) == (infectious > 0)).all()  # P(no case on a day) = exp(-200)
    assert run["arrival_all"] == 29
    # The same for each person of a run with spread: who is infectious when, against the counts of the run.
    spread = replace(model, days=200, latent_sd=5.0, infectious_sd=3.0)
    people = spread.individuals({"beta": 0.3, "k": 0.0, "c": 0.0}, seed=1)
    counts = spread({"beta": 0.3, "k": 0.0, "c": 0.0}, seed=1)["patch_states"][2, 0]
    for day in range(200):
        over = people["recovered"].fillna(1e9) <= day
        assert ((people["infectious"] <= day) & ~over).sum() == counts[day]


def test_reproduction_number_is_eight_beta():
    # First generation only: those whom 300 seeds infect are exposed for 60 days. Each infects Poisson(beta T), mean
    # 8 beta, variance 8 beta + 4 beta^2 (T has mean 8.00 and sd 2.02); 200 runs, 5 standard errors, 0.1 % depletion.
    model = one_patch(days=58, seeding={"p": 300}, latent_mean=30, latent_sd=0)
    for beta in (0.1, 0.5):
        each = (repeat(model, {"beta": beta, "k": 0.0, "c": 0.0}, 200)["infections_all"] - 300) / 300
        error = np.sqrt((8 * beta + 4.1 * beta**2) / 60_000)
        assert abs(each.mean() - 8 * beta) < 5 * error + 0.001 * 8 * beta


def test_waiting_times_of_individuals_have_their_laws():
    # Kolmogorov-Smirnov against the continuous law at the edges of the rounding: exact for the discrete law.
    model = one_patch(people=60_000, days=300, seeding={"p": 20})
    people = model.individuals({"beta": 0.5, "k": 0.0, "c": 0.0}, seed=3)
    assert len(people) > 50_000 and people["recovered"].notna().all()
    sigma = np.sqrt(np.log(1 + (2 / 6) ** 2))
    laws = [stats.lognorm(sigma, scale=6 * np.exp(-(sigma**2) / 2)), stats.gamma(16, scale=0.5)]
    for law, waits in zip(
        laws, [people["infectious"] - people["infected"], people["recovered"] - people["infectious"]]
    ):
        edges = np.arange(1, waits.max() + 1)
        gap = abs(np.array([(waits <= x).mean() for x in edges]) - law.cdf(edges + 0.5)).max()
        assert gap < np.sqrt(np.log(2e6) / 2 / len(waits))  # Dvoretzky, Kiefer, Wolfowitz: below 1e-6
        assert waits.min() >= 1


def test_individuals_add_up_to_the_run():
    model = everything(SpatialABM, record="patches", death_rate=1000.0)
    theta = {"beta": 0.8, "k": 0.15, "c": 1.0}
    run, people = model(theta, seed=5), model.individuals(theta, seed=5)
    numbers = people["patch"].map({"a1": 0, "a2": 1, "b1": 2}).to_numpy()
    assert people["died"].notna().sum() > 3 and set(people["cluster"]) == {"a", "b"}
    assert len(people) == run["infections_a"] + run["infections_b"]
    never = people.fillna({"infectious": 1e9, "recovered": 1e9, "died": 1e9})
    for day in range(model.days):
        begun, over = never["infected"] <= day, (never["recovered"] <= day) | (never["died"] <= day)
        exposed = begun & (never["infectious"] > day) & ~over
        sick = (never["infectious"] <= day) & ~over
        recovered = (never["recovered"] <= day) & ~(never["died"] <= day)
        for j in range(3):
            here = numbers == j
            assert (here & (people["infected"] == day)).sum() == run["patch_incidence"][j, day]
            assert (here & exposed).sum() == run["patch_states"][1, j, day]
            assert (here & sick).sum() == run["patch_states"][2, j, day]
            assert (here & recovered).sum() >= run["patch_states"][3, j, day]  # the recovered die, unrecorded
    assert people["infected"].is_monotonic_increasing and (people["age"] > 0).all()


def test_ages_at_infection():
    # No births: exponential ages at the start, older by the time since. A hundredth of a year for the days.
    people = one_patch(people=60_000, days=300, seeding={"p": 20}).individuals(
        {"beta": 0.5, "k": 0, "c": 0}, 1, 30.0
    )
    at_start = people["age"] - people["infected"] / 365
    assert stats.kstest(at_start, stats.expon(scale=30).cdf).pvalue > 1e-6
    # Many births: children born during the run are among the infected, in the share that the susceptible hold.
    model = one_patch(people=5_000, days=300, importation_rate=30.0, birth_rate=1000.0)
    people = model.individuals({"beta": 0.0, "k": 0, "c": 0}, seed=1)
    late = people[people["infected"] > 200]
    born = (late["age"] < late["infected"] / 365).mean()
    share = np.mean(
        1 - 2.0 ** (-late["infected"] / 365)
    )  # of all who live on a day, of whom few are infected
    assert abs(born - share) < 5 * np.sqrt(0.25 / len(late)) + 0.01


def test_hypergeometric_quantiles_are_exact():
    rng = np.random.default_rng(1)
    for good, total, taken in [
        (1, 2, 1),
        (30, 50, 20),
        (400, 1000, 850),
        (61_496, 261_724, 222_465),
        (5, 10**6, 10**5),
    ]:
        u = rng.random(200)
        ours = [hypergeometric_quantile(x, good, total, taken) for x in u]
        law = stats.hypergeom(total, good, taken)
        # scipy's own sums carry an error of about 1e-11 at these sizes: our x must be right for a u that near.
        ours = np.array(ours)
        assert np.all(law.cdf(ours) >= u - 1e-9) and np.all(law.cdf(ours - 1) <= u + 1e-9)
    assert [hypergeometric_quantile(0.5, *case) for case in ((0, 5, 3), (5, 5, 3), (2, 5, 0), (2, 5, 5))] == [
        0,
        3,
        0,
        2,
    ]


def test_campaign_takes_the_whole_part_of_the_pool_and_shares_it_out_by_chance():
    # Two-sided chi-square of how many of 7 vaccinated live in a1, against the multivariate hypergeometric law.
    patches = three_patches().assign(pop=[9, 4, 6])
    model = SpatialABM(patches, days=3, campaigns=[Campaign("a", 1, 0.6)], record="patches")
    vaccinated = repeat(model, {"beta": 0.5, "k": 0.1, "c": 1.0}, 4_000)["patch_states"][:, 4, :, -1]
    assert np.all(vaccinated[:, :2].sum(axis=1) == int(13 * 0.6)) and np.all(vaccinated[:, 2] == 0)
    law = stats.hypergeom(13, 9, 7).pmf(np.arange(3, 8)) * 4_000
    counts = [(vaccinated[:, 0] == x).sum() for x in range(3, 8)]
    assert stats.chisquare(counts, law * sum(counts) / law.sum()).pvalue > 1e-6


@pytest.fixture(scope="module")
def scenario():
    return repeat(three_cluster(SpatialABM), TRUTH, 300)


def test_published_scenario(scenario):
    # Means and shares of 3,000 seeds of another implementation: 4.5 standard errors of the difference, false-alarm
    # rate below 5e-5 for all seven.
    invaded = scenario["invaded_C"]
    assert abs(invaded.mean() - 0.316) < 4.5 * np.sqrt(0.316 * 0.684 * (1 / 300 + 1 / 3000))
    for name, mean, spread in [
        ("attack_rate_A", 0.98016, 0.00019),
        ("attack_rate_B_near", 0.625, 0.185),
        ("attack_rate_B_far", 0.8510, 0.0003),
        ("peak_day_A", 96.51, 2.11),
    ]:
        assert abs(scenario[name].mean() - mean) < 4.5 * spread * np.sqrt(1 / 300 + 1 / 3000) + 5e-6
    assert scenario["peak_day_A"].std(ddof=1) == pytest.approx(2.11, rel=4.5 / np.sqrt(2 * 270))
    assert scenario["attack_rate_C"].std(ddof=1) == pytest.approx(0.456, abs=4.5 * 0.0105)


def test_invasion_is_all_or_nothing(scenario):
    large = scenario["attack_rate_C"] > 0.5
    assert np.all((scenario["attack_rate_C"][large] > 0.9785) & (scenario["attack_rate_C"][large] < 0.9815))
    assert np.all(
        (scenario["attack_rate_B_near"][large] > 0.893) & (scenario["attack_rate_B_near"][large] < 0.902)
    )
    small = ~large
    assert np.all(scenario["attack_rate_C"][small] < 0.001)
    assert np.all(scenario["vaccinated_B_near"] > 0.4999) and np.all(scenario["vaccinated_C"] == 0)
    assert np.all(scenario["arrival_C"][small & (scenario["invaded_C"] == 0)] == 1095)


def test_runs_that_differ_in_a_campaign_are_paired():
    model = three_cluster(SpatialABM, days=120, record="series")
    later = three_cluster(SpatialABM, days=120, record="series", campaigns=[Campaign("A", 80, 0.5)])
    none = three_cluster(SpatialABM, days=120, record="series", campaigns=())
    runs = [each(TRUTH, seed=4)["incidence"] for each in (model, later, none)]
    np.testing.assert_array_equal(runs[1][:, :81], runs[2][:, :81])
    assert runs[1][0, 81:].sum() < 0.9 * runs[2][0, 81:].sum()
    np.testing.assert_array_equal(runs[0][0, :60], runs[2][0, :60])  # A feels little of a campaign in B


def test_runs_of_one_seed_stay_in_step_as_theta_moves():
    # The peak day of A: between beta .5 and .505, runs of the same seed differ far less than runs of others.
    model = three_cluster(SpatialABM, days=200)
    here, there = (repeat(model, {**TRUTH, "beta": beta}, 100)["peak_day_A"] for beta in (0.5, 0.505))
    assert (here - there).std() < 0.75 * (here - np.roll(there, 1)).std()
