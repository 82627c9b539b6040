"""What all spatial models keep to: people conserved, equal batches, settings and parameters, refusals."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import EVERYTHING, TRUTH, everything, repeat, three_cluster, three_patches

import hetcal as hc
from hetcal.simulators import (
    Campaign,
    Chain,
    GivenWeights,
    Gravity,
    Radiation,
    SpatialABM,
    SpatialCMP,
    SpatialMeanField,
    check_simulator,
    fingerprint,
    run_many,
)

KINDS = (SpatialABM, SpatialCMP, SpatialMeanField)
THETA = {"beta": 0.5, "k": 0.15, "c": 1.0}
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@pytest.fixture
def threads():
    """Numba's thread count, put back afterwards."""
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    beta=st.floats(0, 5),
    k=st.floats(0, 1),
    c=st.floats(0, 3),
    seed=st.integers(0, 2**53),
    birth_rate=st.sampled_from([0.0, 20.0, 1000.0]),
    death_rate=st.sampled_from([0.0, 8.0, 1000.0]),
    importation_rate=st.sampled_from([0.0, 500.0]),
    efficacy=st.floats(0, 1),
    day=st.integers(0, 69),
    latent_mean=st.floats(0.1, 40),
    infectious_mean=st.floats(0.1, 40),
)
def test_people_are_conserved_every_tick(
    kind, beta, k, c, seed, efficacy, day, birth_rate, death_rate, **changes
):
    rates = {"birth_rate": birth_rate, "death_rate": death_rate}
    model = everything(kind, record="patches", campaigns=[Campaign("a", day, efficacy)], **rates, **changes)
    run = model({"beta": beta, "k": k, "c": c}, seed)
    states, cases, start = run["patch_states"], run["patch_incidence"], model.patches["pop"].to_numpy()
    people = np.column_stack([start, states.sum(axis=0)])
    room = 1e-9 * start[:, None]
    assert np.all(states >= -room) and np.all(cases >= 0)
    if birth_rate == 0:
        assert np.all(np.diff(people) <= room)
    if death_rate == 0:
        assert np.all(np.diff(people) >= -room)
        assert np.all(np.diff(states[3] + states[4]) >= -room)  # nobody loses immunity
        seeds = np.array([[2], [0], [1]])
        infected = states[1:4].sum(axis=0)
        np.testing.assert_allclose(infected, seeds + cases.cumsum(axis=1), atol=room.max())
    assert np.all(run["infectious"] == [states[2, :2].sum(axis=0), states[2, 2]]) or kind is SpatialMeanField
    for name, value in run.items():
        assert np.all(np.isfinite(value)), name


@every_kind
def test_batch_equals_one_by_one_on_any_number_of_threads(kind, threads):
    model = everything(kind, record="patches", free=("latent_mean", "efficacy_a", "seasonality"))
    rng = np.random.default_rng(1)
    low, high = np.array([0.1, 0, 0, 3, 0, 0]), np.array([1.5, 0.5, 3, 9, 1, 1])
    theta, seeds = low + (high - low) * rng.random((300, 6)), np.arange(300) * 2**44
    seeds[-1] = 2**63 - 1
    single = [model(dict(zip(model.parameters, row)), int(seed)) for row, seed in zip(theta, seeds)]
    for count in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        threads(count)
        batch = model.batch(theta, seeds)
        assert batch.keys() == model.outputs.keys()
        for name, shape in model.outputs.items():
            assert batch[name].shape == (300, *shape)
            np.testing.assert_array_equal(batch[name], [run[name] for run in single])
    backwards = model.batch(theta[::-1], seeds[::-1])
    np.testing.assert_array_equal(backwards["patch_states"][::-1], batch["patch_states"])


@every_kind
def test_free_settings_do_what_settings_do(kind):
    names = {
        "latent_mean": 5.0,
        "infectious_mean": 6.5,
        "seasonality": 0.3,
        "seasonal_day": 100.0,
        "importation_rate": 500.0,
        "birth_rate": 100.0,
        "death_rate": 150.0,
        "routine_efficacy": 0.4,
        "efficacy_a": 0.9,
        "efficacy_a+b": 0.1,
    }
    if kind is not SpatialCMP:
        names |= {"latent_sd": 1.0, "infectious_sd": 3.0}
    free = everything(kind, free=tuple(names))
    campaigns = [Campaign("a", 12, 0.9), Campaign(("a", "b"), 25, 0.1)]
    fixed = everything(kind, campaigns=campaigns, **{n: v for n, v in names.items() if "efficacy_a" not in n})
    assert free.parameters == ("beta", "k", "c", *names)
    one, two = free({**THETA, **names}, 3), fixed(THETA, 3)
    before = everything(kind)(THETA, 3)
    for name, value in two.items():
        np.testing.assert_array_equal(one[name], value)
    assert one["attack_rate_a"] != before["attack_rate_a"]


@every_kind
def test_records_add_outputs_and_change_none(kind):
    summary, series, patches = (
        everything(kind, record=record) for record in ("summary", "series", "patches")
    )
    runs = [model(THETA, 7) for model in (summary, series, patches)]
    assert sum(np.size(value) for value in runs[0].values()) * 8 < 1_000
    for name, value in runs[0].items():
        np.testing.assert_array_equal(value, runs[2][name])
    np.testing.assert_array_equal(runs[1]["incidence"], runs[2]["incidence"])
    sick, states = runs[2]["infectious"], runs[2]["patch_states"]
    immune, people = states[3:, :2].sum(axis=(0, 1)), states[:, :2].sum(axis=(0, 1))
    assert runs[0]["peak_day_a"] == sick[0].argmax()
    assert runs[0]["attack_rate_a"] == pytest.approx(immune[-1] / people[-1])
    assert runs[0]["vaccinated_a"] == pytest.approx(states[4, :2, -1].sum() / people[-1])
    reached = [np.flatnonzero(immune >= level * people) for level in (0.1, 0.3, 0.5, 0.7, 0.9)]
    days = [found[0] if len(found) else 70 for found in reached]
    assert runs[0]["immune_days_a"].tolist() == days
    slow = replace(summary, campaigns=(), importation_rate=0.0)({**THETA, "beta": 0.0}, 7)
    assert slow["immune_days_a"].tolist()[1:] == [70] * 4
    assert runs[0]["infections_b"] == pytest.approx(1 + runs[2]["patch_incidence"][2].sum())
    assert runs[0]["arrival_a"] == runs[0]["patch_arrival"][:2].min() or kind is SpatialMeanField


@every_kind
def test_zero_mixing_stays_where_it_began(kind):
    run = everything(kind, importation_rate=0.0, seeding={"a1": 3}, record="patches")({**THETA, "k": 0.0}, 1)
    assert np.all(run["patch_incidence"][1:] == 0) and run["patch_incidence"][0].sum() > 0
    assert run["patch_arrival"][1:].tolist() == [70, 70] and run["invaded_b"] == 0
    assert run["arrival_b"] == run["peak_day_b"] == 70


@every_kind
def test_without_infections_nothing_happens_but_campaigns(kind):
    quiet = three_cluster(kind, seeding={})
    run = quiet(TRUTH, 1)
    assert run["invaded_B_near"] == run["attack_rate_C"] == run["infections_A"] == 0
    assert run["attack_rate_B_near"] == run["vaccinated_B_near"] == pytest.approx(0.5, abs=0.005)
    assert run["arrival_B_near"] == 1095 and run["immune_days_B_near"].tolist()[:2] == [10, 10]
    none = three_cluster(kind, campaigns=())({**TRUTH, "beta": 0.0}, 1)
    assert none["infections_A"] == 15 and none["attack_rate_A"] == pytest.approx(15 / 626_470)
    assert none["invaded_A"] == 1 and none["invaded_B_far"] == 0


@every_kind
def test_where_all_are_vaccinated_nobody_is_infected(kind):
    # Only those who are infected on the day of the campaign can be; the seeds are not yet infectious then, but for a
    # share of 3e-5 with a latent time of one day.
    still = {"birth_rate": 0.0, "death_rate": 0.0, "importation_days": (1, 40)}
    run = everything(kind, campaigns=[Campaign(("a", "b"), 0, 1.0)], **still)(THETA, 1)
    assert run["infections_a"] + run["infections_b"] == pytest.approx(3, abs=0.01)
    assert run["attack_rate_a"] == pytest.approx(1.0) and run["vaccinated_a"] == pytest.approx(178 / 180)


@every_kind
def test_everybody_seeded(kind):
    run = everything(kind, seeding={"a1": 120, "a2": 60, "b1": 90}, birth_rate=0.0)(THETA, 1)
    assert run["infections_a"] == 180 and run["vaccinated_a"] == 0 and run["peak_day_a"] < 20


@every_kind
@pytest.mark.parametrize("mixing", [Gravity(), Chain(), Radiation(), GivenWeights([[0.0]])], ids=repr)
def test_one_patch(kind, mixing):
    patches = three_patches().head(1)
    model = kind(patches, days=150, seeding={"a1": 5}, mixing=mixing)
    theta = {name: THETA[name] for name in model.parameters}
    run = model(theta, 1)
    assert 0.9 < run["attack_rate_a"] <= 1 and run["patch_arrival"].shape == (1,)
    assert model.mixing_matrix(0.3).tolist() == [[1.0]]  # there is nowhere to go
    assert model({**theta, "k": 1.0}, 1)["infections_a"] == run["infections_a"]


def test_births_and_deaths_at_their_rates():
    # A year in 200 runs: people (1 + (births - deaths)/1000 and cross terms), newborns vaccinated at 0.9 x 0.8, 0.5 x
    # 0.8, 0.7 x 0.8. Five standard errors.
    for kind in (SpatialABM, SpatialCMP):
        settings = {
            "days": 365,
            "seeding": {},
            "campaigns": (),
            "importation_rate": 0.0,
            "importation_days": None,
        }
        model = everything(kind, **settings, birth_rate=200.0, death_rate=80.0, record="patches")
        last = repeat(model, THETA, 200)["patch_states"][..., -1]
        birth, death = 1.2 ** (1 / 365) - 1, 1.08 ** (1 / 365) - 1
        growth = (1 + birth - death) ** 365
        expected = model.patches["pop"].to_numpy() * growth
        people = last.sum(axis=1)
        assert np.all(abs(people.mean(axis=0) - expected) < 5 * people.std(axis=0) / np.sqrt(200))
        alive = expected * (1 - ((1 - death) / (1 + birth - death)) ** 365)  # of those born in the run
        vaccinated = last[:, 4]
        goal = alive * np.array([0.72, 0.4, 0.56])
        assert np.all(abs(vaccinated.mean(axis=0) - goal) < 5 * vaccinated.std(axis=0) / np.sqrt(200))


def test_a_patch_keeps_its_numbers_when_another_is_added():
    alone = SpatialABM(three_patches().head(1), days=70, seeding={"a1": 2}, record="patches")
    among = SpatialABM(three_patches(), days=70, seeding={"a1": 2}, record="patches")
    theta = {**THETA, "k": 0.0}
    one, three = alone(theta, 2)["patch_states"], among(theta, 2)["patch_states"]
    np.testing.assert_array_equal(one[:, 0], three[:, 0])


@every_kind
def test_models_are_simulators_that_travel(kind):
    model = everything(kind, record="series")
    check_simulator(model)
    copy = pickle.loads(pickle.dumps(model))
    assert fingerprint(copy) == fingerprint(model) == fingerprint(everything(kind, record="series"))
    for name, value in model(THETA, 1).items():
        np.testing.assert_array_equal(copy(THETA, 1)[name], value)
    for change in (
        {"campaigns": ()},
        {"days": 71},
        {"mixing": Chain()},
        {"seeding": {"a1": 3}},
        {"birth_rate": 1.0},
    ):
        assert fingerprint(everything(kind, **{"record": "series", **change})) != fingerprint(model)
    results = run_many(model, np.array([[0.5, 0.1, 1.0], [0.5, 1.5, 1.0]]), np.arange(2))
    assert [result.status for result in results] == ["ok", "failed"]
    assert "k is 1.5 in run 0: it must be at least 0 and at most 1.0" in results[1].error


def test_a_model_does_not_see_later_changes_of_its_patches():
    patches = three_patches()
    model = SpatialABM(patches, days=30, seeding={"a1": 2})
    before = model(THETA, 1)["patch_arrival"]
    patches["pop"] = 1
    np.testing.assert_array_equal(model(THETA, 1)["patch_arrival"], before)


def test_distances_that_do_not_matter_are_no_parameter():
    model = everything(SpatialABM, mixing=Radiation())
    assert model.parameters == ("beta", "k")
    with pytest.raises(ValueError, match="parameter 'c' is unknown: SpatialABM takes beta, k"):
        model(THETA, 1)


def test_decisions_replace_settings_by_name():
    model = three_cluster(SpatialABM, days=300)
    known = hc.simulators.settings(model)
    assert {"campaigns", "seeding", "importation_rate"} <= known.keys()
    strong = replace(model, campaigns=[Campaign("B_far", 10, 0.95), Campaign("B_near", 10, 0.95)])
    late = replace(model, campaigns=[Campaign("B_far", 90, 0.85), Campaign("B_near", 90, 0.5)])
    runs = [repeat(each, TRUTH, 40) for each in (model, strong, late)]
    assert runs[1]["invaded_C"].mean() < runs[0]["invaded_C"].mean()
    assert runs[2]["infections_B_far"].mean() > runs[0]["infections_B_far"].mean()


def frame(**changes):
    return three_patches().assign(**changes)


class Wrong:
    """A mixing that forgets a patch."""

    uses_distance = True

    def weights(self, population, km, cluster, c):
        return np.ones((2, 2))


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"patches": 3}, "patches is 3: give a DataFrame with the columns id, pop, lat, lon"),
        ({"patches": three_patches().drop(columns="pop")}, "patches has no column pop"),
        ({"patches": three_patches().head(0)}, "patches has no rows"),
        ({"patches": frame(id=["a", "b", "a"])}, "patch 'a' is there twice"),
        (
            {"patches": frame(pop=[120, 0, 90])},
            "pop of patch 'a2' is 0: give a whole number of people above 0",
        ),
        ({"patches": frame(pop=[120, 7.5, 90])}, "pop of patch 'a2' is 7.5"),
        ({"patches": frame(pop=[120, np.nan, 90])}, "pop of patch 'a2' is nan"),
        ({"patches": frame(lat=[0, 91, 0])}, "lat of patch 'a2' is 91"),
        ({"patches": frame(mcv1=[0.5, 0.5, 1.5])}, "mcv1 of patch 'b1' is 1.5"),
        (
            {"patches": frame(cluster=["a", "a", "b.c"])},
            "cluster of patch 'b1' is 'b.c': give a text without dots",
        ),
        ({"patches": frame(lat=0.0, lon=0.0)}, "patches 0 and 1 lie at the same place"),
        ({"days": 0}, "days of SpatialABM is 0"),
        ({"seeding": {"x": 1}}, "seeding names patch 'x', which is none of the 3 patches"),
        ({"seeding": {"a2": 61}}, "seeding of patch 'a2' is 61: give a whole number from 0 to its 60 people"),
        ({"seeding": {"a2": -1}}, "seeding of patch 'a2' is -1"),
        ({"seeding": {"a2": 1.5}}, "seeding of patch 'a2' is 1.5"),
        ({"campaigns": [("a", 3, 0.5)]}, r"campaigns holds \('a', 3, 0.5\): give Campaign"),
        ({"campaigns": [Campaign("c", 3, 0.5)]}, "campaign c names cluster 'c': there are a, b"),
        ({"campaigns": [Campaign("a", 70, 0.5)]}, "day of campaign a is 70, after the last of the run, 69"),
        ({"importation_days": (5, 70)}, r"importation_days is \(5, 70\): .* within 0 and 69"),
        ({"importation_days": (9, 5)}, r"importation_days is \(9, 5\)"),
        ({"importation_days": 5}, "importation_days is 5"),
        ({"mixing": "gravity"}, "mixing of SpatialABM is 'gravity': give one such as Gravity"),
        (
            {"mixing": GivenWeights(np.ones((2, 2)))},
            r"mixing GivenWeights gives weights of shape \(2, 2\): .* 3 patches",
        ),
        ({"mixing": Wrong()}, r"mixing Wrong gives weights of shape \(2, 2\)"),
        ({"record": "all"}, "record of SpatialABM is 'all': give 'summary', 'series' or 'patches'"),
        ({"free": ("epsilon",)}, "free of SpatialABM names 'epsilon': choose from"),
        ({"free": ("latent_sd", "latent_sd")}, "free of SpatialABM names 'latent_sd' twice"),
        ({"free": ("beta",)}, "free of SpatialABM names 'beta'"),
        ({"birth_rate": -1.0}, "birth_rate of SpatialABM is -1.0: give a number of at least 0"),
        ({"death_rate": np.nan}, "death_rate of SpatialABM is nan"),
        ({"importation_rate": np.inf}, "importation_rate of SpatialABM is inf"),
        ({"routine_efficacy": 1.1}, "routine_efficacy of SpatialABM is 1.1: .* at most 1"),
        ({"seasonality": 1.1}, "seasonality of SpatialABM is 1.1"),
        ({"seasonal_day": "1"}, "seasonal_day of SpatialABM is '1'"),
        ({"latent_mean": 0.0}, "latent_mean of SpatialABM is 0.0: give a number of at least 0.1"),
        ({"infectious_sd": -1.0}, "infectious_sd of SpatialABM is -1.0"),
    ],
)
def test_bad_settings_are_named(change, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        SpatialABM(**{"patches": three_patches(), **EVERYTHING, **change})


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: Campaign("a", -1, 0.5), "day of campaign a is -1"),
        (lambda: Campaign("a", 1.5, 0.5), "day of campaign a is 1.5"),
        (
            lambda: Campaign(("a", "b"), 1, 1.5),
            r"efficacy of campaign a\+b is 1.5: give a share within \[0, 1\]",
        ),
        (lambda: Campaign("a", 1, np.nan), "efficacy of campaign a is nan"),
        (lambda: Campaign((), 1, 0.5), "a campaign names no cluster"),
        (lambda: everything(SpatialMeanField, sojourns="erlang"), "sojourns of SpatialMeanField is 'erlang'"),
        (
            lambda: everything(SpatialMeanField, sojourns="geometric", latent_sd=1.0),
            "latent_sd of SpatialMeanField has no effect with geometric sojourns",
        ),
        (lambda: everything(SpatialCMP, free=("latent_sd",)), "free of SpatialCMP names 'latent_sd'"),
        (
            lambda: SpatialABM(three_patches().drop(columns="mcv1"), days=9, routine_efficacy=0.5),
            "routine_efficacy of SpatialABM needs a column mcv1",
        ),
        (lambda: everything(SpatialABM).mixing_matrix(1.2, 1.0), "k of SpatialABM is 1.2"),
        (lambda: everything(SpatialABM).mixing_matrix(0.2, np.nan), "c of SpatialABM is nan"),
        (lambda: everything(SpatialABM).individuals(THETA, 1, mean_age=0.0), "mean_age is 0.0"),
    ],
)
def test_other_bad_settings_are_named(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


@every_kind
@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"beta": -0.1}, "beta is -0.1 in run 0"),
        ({"beta": np.inf}, "beta is inf"),
        ({"k": 1.01}, "k is 1.01 in run 0: it must be at least 0 and at most 1.0"),
        ({"c": -1.0}, "c is -1.0"),
        ({"efficacy_a": 1.5}, "efficacy_a is 1.5"),
        ({"latent_mean": 0.0}, "latent_mean is 0.0 in run 0: it must be at least 0.1"),
        ({"R0": 1.0}, "parameter 'R0' is unknown"),
    ],
)
def test_bad_theta_is_named(kind, change, sentence):
    model = everything(kind, free=("latent_mean", "efficacy_a"))
    theta = {**THETA, "latent_mean": 6.0, "efficacy_a": 0.5}
    with pytest.raises(ValueError, match=sentence):
        model({**theta, **change}, 1)
    with pytest.raises(ValueError, match="seed is -1"):
        model(theta, -1)
    with pytest.raises(ValueError, match=r"theta has shape \(2, 2\)"):
        model.batch(np.ones((2, 2)), np.arange(2))
