"""SpatialCMP against numpy's binomials, and both models against the mean field."""

from __future__ import annotations

import numpy as np
import pytest
from plain_outbreak import by_counts
from scenes import EVERYTHING, TRUTH, everything, plain_arguments, repeat, three_cluster, three_patches
from scipy import stats

from hetcal.simulators import SpatialABM, SpatialCMP, SpatialMeanField

SEASON = {"beta": 0.7, "k": 0.15, "c": 1.0}
RUNS = 6_000


def compared(ours, plain):
    """Pairs of samples: final states by patch, arrivals, peak and infections."""
    final, arrival, peak, infections = plain
    sick = ours["infectious"].sum(axis=1)
    for j in range(final.shape[2]):
        yield ours["patch_arrival"][:, j], arrival[:, j]
        for x in range(5):
            yield ours["patch_states"][:, x, j, -1], final[:, x, j]
    yield np.where(sick.max(axis=1) > 0, sick.argmax(axis=1), sick.shape[1]), peak
    yield ours["infections_a"] + ours["infections_b"], infections


def test_law_of_numpys_binomials():
    # Two-sample Kolmogorov-Smirnov of 20 quantities, false-alarm rate 20e-6; means at 4.5 standard errors, 20 x 7e-6.
    model = everything(SpatialCMP, record="patches")
    plain = by_counts(np.random.default_rng(1), RUNS, *plain_arguments(model, **SEASON), (6.0, 8.0))
    for mine, theirs in compared(repeat(model, SEASON, RUNS), plain):
        assert stats.ks_2samp(mine, theirs, method="asymp").pvalue > 1e-6
        assert abs(mine.mean() - theirs.mean()) <= 4.5 * np.hypot(mine.std(), theirs.std()) / np.sqrt(RUNS)
    other = repeat(everything(SpatialCMP, record="patches", latent_mean=7.0), SEASON, RUNS)
    assert min(stats.ks_2samp(*pair, method="asymp").pvalue for pair in compared(other, plain)) < 1e-6


def test_published_scenario():
    # Of 400 seeds of another implementation; 4.5 standard errors of the difference each.
    ours = repeat(three_cluster(SpatialCMP), TRUTH, 400)
    assert abs(ours["invaded_C"].mean() - 0.285) < 4.5 * np.sqrt(2 * 0.285 * 0.715 / 400)
    for name, mean, spread in [
        ("attack_rate_A", 0.98485, 0.00018),
        ("attack_rate_B_near", 0.618, 0.186),
        ("attack_rate_B_far", 0.8511, 0.0012),
        ("peak_day_A", 111.1, 3.0),
    ]:
        assert abs(ours[name].mean() - mean) < 4.5 * spread * np.sqrt(2 / 400) + 5e-6
    assert ours["peak_day_A"].std(ddof=1) == pytest.approx(3.0, rel=4.5 / np.sqrt(400))
    assert ours["attack_rate_C"].std(ddof=1) == pytest.approx(0.445, abs=4.5 * 0.014)


@pytest.mark.parametrize("sojourns, day", [("geometric", 108), ("delays", 95)])
def test_mean_field_of_the_published_scenario(sojourns, day):
    run = three_cluster(SpatialMeanField, days=200, sojourns=sojourns)(TRUTH, seed=0)
    assert run["peak_day_A"] == day


@pytest.mark.parametrize("kind, sojourns", [(SpatialABM, "delays"), (SpatialCMP, "geometric")])
def test_large_populations_follow_the_mean_field(kind, sojourns):
    # Everything on, 20,000 times as many people and seeds: the mean of 40 runs against expected numbers, with 5
    # standard errors and a relative bias of O(1/N). States of each patch on each day of 70.
    patches = three_patches()
    patches["pop"] *= 20_000
    changes = {**EVERYTHING, "record": "patches", "seeding": {"a1": 40_000, "b1": 20_000}}
    theta = {"beta": 0.45, "k": 0.15, "c": 1.0}
    model, field = kind(patches, **changes), SpatialMeanField(patches, sojourns=sojourns, **changes)
    states, expected = repeat(model, theta, 40)["patch_states"], field(theta, seed=0)["patch_states"]
    gap = abs(states.mean(axis=0) - expected)
    error = states.std(axis=0) / np.sqrt(40)
    people = expected.sum(axis=0)
    assert np.all(gap < 5 * error + 2e-6 * people + 1)


def test_the_mean_field_does_not_use_its_seed():
    model = everything(SpatialMeanField)
    one, two = model(SEASON, 1), model(SEASON, 2)
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name])


def test_counts_share_their_uniforms_with_individuals():
    # The first infections come from the same uniforms: cases of one day in A, paired over seeds, correlate.
    seeds = {"days": 14, "record": "series", "campaigns": ()}
    one, two = (
        repeat(three_cluster(kind, **seeds), TRUTH, 400)["incidence"][:, 0]
        for kind in (SpatialABM, SpatialCMP)
    )
    assert np.corrcoef(one[:, 8], two[:, 8])[0, 1] > 0.2  # five standard errors above none
