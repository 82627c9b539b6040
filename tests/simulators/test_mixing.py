"""Mixing against cases computed by hand and the shares of the three-cluster chain."""

from __future__ import annotations

import numpy as np
import pytest

import hetcal as hc
from hetcal.simulators import Chain, CompetingDestinations, GivenWeights, Gravity, Radiation, Stouffer
from hetcal.simulators.mixing import distances, mixing_matrix

# Three patches on a line at 0, 1 and 3 km with 100, 200 and 400 people.
PEOPLE = np.array([100.0, 200.0, 400.0])
KM = np.array([[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]])
CLUSTER = np.array([0, 1, 2])


def weights(mixing, c=2.0):
    return mixing.weights(PEOPLE, KM, CLUSTER, c)


def test_distances_of_known_places():
    # A degree of a great circle is 6371 pi / 180 = 111.195 km; Paris to London is 343.6 km on this sphere.
    line = distances([0, 0, 1], [0, 1, 0])
    np.testing.assert_allclose(line[0], [0, 111.19493, 111.19493], atol=1e-4)
    np.testing.assert_allclose(line, line.T)
    assert distances([48.8566, 51.5074], [2.3522, -0.1278])[0, 1] == pytest.approx(343.6, abs=0.1)
    assert distances([90, -90], [0, 77])[0, 1] == pytest.approx(6371 * np.pi)


def test_gravity_by_hand():
    np.testing.assert_allclose(weights(Gravity()), [[0, 200, 400 / 9], [100, 0, 100], [100 / 9, 50, 0]])
    np.testing.assert_allclose(weights(Gravity(b=0.5), c=0.0)[0], [0, 200**0.5, 20])


def test_competing_destinations_by_hand():
    # From 0 to 1, what is near 1 other than 0 is patch 2: 400/4. From 0 to 2, what is near 2 is patch 1: 200/4.
    found = weights(CompetingDestinations(delta=0.5))
    np.testing.assert_allclose(found[0], [0, 200 * 100**0.5, 400 / 9 * 50**0.5])
    np.testing.assert_allclose(found[2], [100 / 9 * 200**0.5, 50 * 100**0.5, 0])
    np.testing.assert_allclose(weights(CompetingDestinations(delta=0.0)), weights(Gravity()))


def test_radiation_by_hand():
    # From 1: patch 0 is nearer than 2, so 100 people stand between 1 and 2 and none between 1 and 0.
    found = weights(Radiation())
    np.testing.assert_allclose(found[1], [100 / (200 * 300), 0, 400 / (300 * 700)])
    np.testing.assert_allclose(found[0], [0, 200 / (100 * 300), 400 / (300 * 700)])
    np.testing.assert_allclose(found[2], [100 / (600 * 700), 200 / (400 * 600), 0])


def test_stouffer_by_hand():
    np.testing.assert_allclose(weights(Stouffer())[0], [0, 200 / 300, 400 / 700])
    np.testing.assert_allclose(weights(Stouffer(b=2.0))[1], [(100 / 300) ** 2, 0, (400 / 700) ** 2])
    np.testing.assert_allclose(weights(Stouffer(include_home=False))[0], [0, 1, 400 / 600])


def test_patches_at_the_same_distance_are_met_together_but_do_not_stand_between():
    km = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 2.0], [1.0, 2.0, 0.0]])
    radiation = Radiation().weights(PEOPLE, km, CLUSTER, 0.0)
    np.testing.assert_allclose(radiation[0], [0, 200 / (100 * 300), 400 / (100 * 500)])
    np.testing.assert_allclose(Stouffer().weights(PEOPLE, km, CLUSTER, 0.0)[0], [0, 200 / 700, 400 / 700])


def test_chain_by_hand():
    np.testing.assert_allclose(weights(Chain()), [[0, 200, 0], [100, 0, 100], [0, 50, 0]])
    within = Chain().weights(PEOPLE, KM, np.array([0, 2, 2]), 2.0)
    np.testing.assert_allclose(within, [[0, 0, 0], [0, 0, 100], [0, 50, 0]])


@pytest.mark.parametrize(
    "mixing",
    [Gravity(), CompetingDestinations(), Radiation(), Stouffer(), Chain()],
    ids=lambda m: type(m).__name__,
)
def test_rows_sum_to_one_with_k_away_from_home(mixing):
    matrix = mixing_matrix(weights(mixing), 0.3)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(np.diag(matrix), 0.7)
    assert np.all(matrix >= 0)
    np.testing.assert_array_equal(mixing_matrix(weights(mixing), 0.0), np.eye(3))


def test_shares_of_outflow_of_the_three_cluster_chain():
    # Spec of the scenario at c = 1.5, three digits; shares of people, so rows weigh by population.
    patches = hc.data.three_cluster()
    model = hc.simulators.SpatialABM(patches, days=2, mixing=Chain())
    matrix = model.mixing_matrix(k=1.0, c=1.5)
    people = patches["pop"].to_numpy()[:, None] * matrix
    shares = {
        (a, b): people[np.ix_(patches["cluster"] == a, patches["cluster"] == b)].sum()
        / patches["pop"][patches["cluster"] == a].sum()
        for a in model.clusters
        for b in model.clusters
    }
    expected = {
        ("A", "A"): 0.990,
        ("A", "B_far"): 0.010,
        ("B_far", "A"): 0.028,
        ("B_far", "B_far"): 0.695,
        ("B_far", "B_near"): 0.277,
        ("B_near", "B_far"): 0.390,
        ("B_near", "B_near"): 0.539,
        ("B_near", "C"): 0.071,
        ("C", "B_near"): 0.035,
        ("C", "C"): 0.965,
    }
    assert {pair: round(share, 3) for pair, share in shares.items() if share > 0} == expected


def test_distances_of_the_three_cluster_chain():
    patches = hc.data.three_cluster()
    km = distances(patches["lat"], patches["lon"])

    def between(a, b):
        return km[np.ix_(patches["cluster"] == a, patches["cluster"] == b)]

    pairs = [("A", "B_far"), ("A", "B_near"), ("B_far", "B_near"), ("B_near", "C"), ("A", "C")]
    medians = [np.median(between(*pair)) for pair in pairs]
    np.testing.assert_allclose(medians, [382, 416, 48, 191, 600], atol=0.6)  # told as whole km
    assert [round(between(*pair).min()) for pair in (pairs[0], pairs[2], pairs[3])] == [326, 16, 134]


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: mixing_matrix(np.ones((3, 2)), 0.1), r"weights of the mixing have shape \(3, 2\)"),
        (lambda: mixing_matrix(np.ones((3, 3)), 1.2), "k is 1.2: it is the sum of a row of movements"),
        (lambda: mixing_matrix(np.ones((3, 3)), -0.1), "k is -0.1"),
        (lambda: mixing_matrix(np.ones((3, 3)), np.nan), "k is nan"),
        (lambda: mixing_matrix([[0, -1], [1, 0]], 0.1), "weight of the mixing from 0 to 1 is -1.0"),
        (lambda: mixing_matrix([[0, 1], [np.inf, 0]], 0.1), "weight of the mixing from 1 to 0 is inf"),
        (lambda: GivenWeights([[1, 2]]), r"weights of the mixing have shape \(1, 2\)"),
        (lambda: Gravity(b=np.inf), "b of Gravity is inf: give a finite number"),
        (lambda: CompetingDestinations(delta="1"), "delta of CompetingDestinations is '1'"),
        (lambda: Stouffer(b=None), "b of Stouffer is None"),
        (lambda: Gravity().weights(PEOPLE, 0 * KM, CLUSTER, 1.0), "patches 0 and 1 lie at the same place"),
        (
            lambda: CompetingDestinations().weights(PEOPLE[:2], KM[:2, :2], CLUSTER[:2], 1.0),
            "three patches or more",
        ),
        (lambda: distances([91.0], [0.0]), "place 0 lies at latitude 91.0"),
        (lambda: distances([0.0, 1.0], [0.0, np.nan]), "place 1 lies at latitude 1.0, longitude nan"),
    ],
)
def test_bad_input_is_named(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
