"""The weighted total: moments of sums of correlated log losses, and the scale where bounds are taken."""

from __future__ import annotations

import numpy as np
import pytest

from hetcal.emulators.total import WeightedTotal
from hetcal.emulators.transforms import Log


@pytest.fixture
def pair(by_hand):
    """Two log emulators on the same 20 locations, bounds -1 and 0."""
    X = np.random.default_rng(0).random((20, 2))
    return {
        "a": by_hand(X, np.sin(4 * X[:, 0]), 0.7, transform=("log", -1.0), noise=0.1, scale=0.5),
        "b": by_hand(X, X[:, 1] - 0.5, 0.9, transform="log", noise=0.2, varying=True, scale=0.4),
    }


AT = np.random.default_rng(1).random((6, 2))


@pytest.mark.parametrize("rho", [0.6, -0.9])
def test_moments_are_those_of_simulated_correlated_targets(pair, rho):
    """Epistemic and noise parts drawn apart with latent correlation, 1,000,000 draws each.

    Relative Monte-Carlo errors are below .3 % for means and .4 % for variances: a limit of 2 % is five of them.
    """
    weights = {"a": 2.0, "b": 0.5}
    total = WeightedTotal(pair, weights, np.array([[1, rho], [rho, 1]]))
    latent = total.latent(AT)
    ours = total.predict(AT)
    rng = np.random.default_rng(2)
    root = np.linalg.cholesky(np.array([[1, rho], [rho, 1]]))
    for j in range(len(AT)):
        mean, mean_var, noise_var = latent[:, :, j].T
        centre = mean + (rng.standard_normal((1_000_000, 2)) @ root.T) * np.sqrt(mean_var)
        noise = (rng.standard_normal((1_000_000, 2)) @ root.T) * np.sqrt(noise_var)
        scale = np.array([2.0, 0.5])
        over_noise = (scale * (np.exp(centre + noise_var / 2) + [-1.0, 0.0])).sum(axis=1)
        runs = (scale * np.exp(centre + noise)).sum(axis=1)
        np.testing.assert_allclose(ours.mean[j], over_noise.mean(), rtol=0.01, atol=0.01)
        np.testing.assert_allclose(ours.mean_var[j], over_noise.var(), rtol=0.02)
        np.testing.assert_allclose(ours.mean_var[j] + ours.noise_var[j], runs.var(), rtol=0.02)


def test_independent_targets_add_exactly(pair):
    total = WeightedTotal(pair, {"a": 2.0, "b": 0.5})
    a, b = (e.predict(AT) for e in pair.values())
    ours = total.predict(AT)
    np.testing.assert_allclose(ours.mean, 2 * a.mean + 0.5 * b.mean)
    np.testing.assert_allclose(ours.mean_var, 4 * a.mean_var + 0.25 * b.mean_var)
    np.testing.assert_allclose(ours.noise_var, 4 * a.noise_var + 0.25 * b.noise_var)


def test_the_matched_lognormal_has_the_totals_epistemic_moments(pair):
    total = WeightedTotal(pair, {"a": 2.0, "b": 0.5})
    latent = total.latent(AT)
    moments, natural = total.moments(latent), total.combine(latent)
    assert moments.lognormal and moments.bound == -2.0
    mean, variance, _ = Log(moments.bound).moments(moments.centre, moments.spread**2, np.zeros(6))
    np.testing.assert_allclose(mean, natural.mean)
    np.testing.assert_allclose(variance, natural.mean_var)
    np.testing.assert_allclose(moments.natural(moments.centre), moments.bound + np.exp(moments.centre))
    np.testing.assert_allclose([moments.scaled(v) for v in natural.mean], np.log(natural.mean + 2.0))


def test_one_log_target_is_bounded_on_its_own_log_scale(pair):
    total = WeightedTotal({"a": pair["a"]}, {"a": 3.0})
    moments, latent = total.moments(total.latent(AT)), pair["a"].predict(AT, scale="latent")
    # Noise moves the expected loss and is no reason to explore.
    np.testing.assert_allclose(moments.centre, np.log(3.0) + latent.mean + latent.noise_var / 2)
    np.testing.assert_allclose(moments.spread, np.sqrt(latent.mean_var))
    assert moments.bound == -3.0
    on_scale = total.predict(AT, scale="latent")
    np.testing.assert_allclose(on_scale.mean, moments.centre)
    np.testing.assert_allclose(on_scale.mean_var, latent.mean_var)


def test_a_target_without_a_logarithm_keeps_the_natural_scale(by_hand, pair):
    X = pair["a"].state.X0
    total = WeightedTotal({"a": pair["a"], "c": by_hand(X, X[:, 0], 0.7)}, {"a": 1.0, "c": 4.0})
    moments, natural = total.moments(total.latent(AT)), total.predict(AT)
    assert not moments.lognormal and moments.bound == 0
    assert np.array_equal(moments.centre, natural.mean)
    assert np.array_equal(moments.spread, np.sqrt(natural.mean_var))
    assert np.array_equal(moments.natural(moments.centre), moments.centre)
    assert moments.scaled(1.5) == 1.5


def test_draws_of_the_total_have_its_moments(pair):
    """20,000 draws: means within six standard errors; variances, lognormal, within 15 % (their error is 2 %)."""
    total = WeightedTotal(pair, {"a": 2.0, "b": 0.5})
    draws, prediction = total.sample(AT, 20_000, seed=3), total.predict(AT)
    assert draws.shape == (20_000, 6)
    assert np.all(np.abs(draws.mean(axis=0) - prediction.mean) < 6 * np.sqrt(prediction.mean_var / 20_000))
    np.testing.assert_allclose(draws.var(axis=0), prediction.mean_var, rtol=0.15)


def test_draws_of_correlated_targets_are_as_wide_as_the_prediction(pair):
    """The targets' roots differ a little, so the variance is met to 20 %; drawn independently it is off by .5."""
    C = np.array([[1.0, 0.8], [0.8, 1.0]])
    total = WeightedTotal(pair, {"a": 1.0, "b": 1.0}, C)
    ratio = total.sample(AT, 20_000, seed=3).var(axis=0) / total.predict(AT).mean_var
    apart = WeightedTotal(pair, {"a": 1.0, "b": 1.0}).sample(AT, 20_000, seed=3).var(axis=0)
    assert np.all(np.abs(ratio - 1) < 0.2)
    assert np.median(total.sample(AT, 20_000, seed=3).var(axis=0) / apart) > 1.3


def test_targets_of_one_study_and_of_the_next_seed_draw_from_different_streams(pair):
    same = {"a": pair["a"], "b": pair["a"]}
    only = [WeightedTotal(same, {"a": w, "b": 1 - w}) for w in (1 - 1e-12, 1e-12)]
    second_of_one = only[1].sample(AT, 3, seed=1)
    first_of_next = only[0].sample(AT, 3, seed=2)
    assert np.abs(second_of_one - first_of_next).max() > 1e-3


def test_locations_are_those_that_every_target_has(pair, by_hand):
    X = pair["a"].state.X0
    some = by_hand(X[[3, 17, 5]], np.array([0.1, 0.2, 0.4]), 0.7)
    for order in ({"a": pair["a"], "c": some}, {"c": some, "a": pair["a"]}):
        located = WeightedTotal(order, {"a": 1.0, "c": 1.0}).locations
        assert sorted(map(tuple, located)) == sorted(map(tuple, X[[3, 17, 5]]))
    elsewhere = by_hand(1 - X[:3], np.array([0.1, 0.2, 0.4]), 0.7)
    with pytest.raises(ValueError, match=r"no location has valid runs of all targets \(a, d\)"):
        _ = WeightedTotal({"a": pair["a"], "d": elsewhere}, {"a": 1.0, "d": 1.0}).locations


def test_what_does_not_fit_together_is_refused(pair):
    with pytest.raises(ValueError, match="emulators are for a, b, weights for a"):
        WeightedTotal(pair, {"a": 1.0})
    with pytest.raises(ValueError, match="emulators are for"):
        WeightedTotal({}, {})
    total = WeightedTotal(pair, {"a": 2.0, "b": 0.5})
    with pytest.raises(ValueError, match='"natural" or "latent", not \'log\''):
        total.predict(AT, scale="log")
    with pytest.raises(ValueError, match="no covariance between points"):
        total.predict(AT, cov=True)
    assert repr(total) == "WeightedTotal(2 x a + 0.5 x b)"
