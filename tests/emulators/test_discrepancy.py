"""Emulators beside a cheap model: their own sums, what they gain from a good one and lose to a bad one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

import hetcal as hc
from hetcal.emulators.bernoulli import fit_bernoulli
from hetcal.emulators.discrepancy import (
    DiscrepancyGP,
    beside_cheap,
    better_left_out,
    fit_bernoulli_beside,
    location_means,
)
from hetcal.sensitivity.posterior_functions import PosteriorFunctions

PATTERN = hc.HetGP(noise="homoskedastic")


def dear(X):
    return np.sin(12 * X[:, 0]) + 0.5 * X[:, 0] * X[:, 1]


def cheap(X):
    return 0.8 * np.sin(12 * X[:, 0])


def runs(law, n, replicates, seed, sd=0.1):
    rng = np.random.default_rng(seed)
    X = np.repeat(rng.random((n, 2)), replicates, axis=0)
    return X, law(X) + rng.normal(0, sd, len(X))


@pytest.fixture(scope="module")
def of_cheap(needs_r):
    return hc.HetGP(noise="homoskedastic").fit(*runs(cheap, 100, 10, 1))


@pytest.fixture(scope="module")
def few():
    return runs(dear, 15, 10, 2)


@pytest.fixture(scope="module")
def beside(of_cheap, few):
    return beside_cheap(PATTERN, of_cheap).fit(*few)


def test_it_is_the_cheap_mean_and_a_hetgp_of_the_rest(of_cheap, few, beside):
    X, y = few
    rest = hc.HetGP(noise="homoskedastic").fit(X, y - of_cheap.predict(X).mean)
    at = np.random.default_rng(3).random((50, 2))
    there, known = rest.predict(at, cov=True), of_cheap.predict(at).mean
    own = beside.predict(at, cov=True)
    np.testing.assert_allclose(own.mean, there.mean + known, atol=1e-9)
    np.testing.assert_allclose(own.mean_var, there.mean_var, rtol=1e-9)
    np.testing.assert_allclose(own.cov, there.cov, atol=1e-12)
    np.testing.assert_allclose(beside.predict(at, scale="latent").mean, there.mean, atol=1e-9)
    np.testing.assert_allclose(beside.sample(at, 5, 1), rest.sample(at, 5, 1) + known, atol=1e-8)
    np.testing.assert_allclose(beside.draw(5, 1)(at), rest.draw(5, 1)(at) + known, atol=1e-8)
    loo, of_rest = beside.leave_one_out(), rest.leave_one_out()
    np.testing.assert_allclose(loo["z"], of_rest["z"], atol=1e-8)
    np.testing.assert_allclose(
        loo["observed"] - loo["mean"], of_rest["observed"] - of_rest["mean"], atol=1e-8
    )
    np.testing.assert_allclose(np.sort(location_means(beside)), np.sort(y.reshape(15, 10).mean(axis=1)))
    updated = beside_cheap(PATTERN, of_cheap).fit(X, y).update(at[:1], dear(at[:1]))
    np.testing.assert_allclose(
        updated.predict(at).mean,
        rest.update(at[:1], dear(at[:1]) - known[:1]).predict(at).mean + known,
        atol=1e-8,
    )


def test_functions_of_sensitivity_have_its_mean(beside):
    at = np.random.default_rng(4).random((20, 2))
    mean, _ = PosteriorFunctions(beside, 200, 1)(at)
    apart = mean.mean(axis=1) - beside.predict(at).mean
    # Hyperparameters vary too; a missing cheap mean would be off by .5 on average.
    assert np.abs(apart).max() < 0.15


def test_fifteen_locations_do_beside_a_cheap_model_what_they_cannot_alone(few, beside):
    at = np.random.default_rng(5).random((1000, 2))
    alone = hc.HetGP(noise="homoskedastic").fit(*few)

    def rmse(emulator):
        return np.sqrt(np.mean((emulator.predict(at).mean - dear(at)) ** 2))

    assert rmse(beside) < 0.5 * rmse(alone)
    assert better_left_out(alone, beside) is beside
    z = (beside.predict(at).mean - dear(at)) / np.sqrt(beside.predict(at).mean_var)
    assert np.sqrt((z**2).mean()) < 2


def test_a_cheap_model_that_says_the_opposite_is_left_out(needs_r):
    X, y = runs(dear, 60, 5, 6)
    opposite = hc.HetGP(noise="homoskedastic").fit(*runs(lambda X: -3 * np.sin(25 * X[:, 1]), 100, 10, 7))
    alone = hc.HetGP(noise="homoskedastic").fit(X, y)
    assert better_left_out(alone, beside_cheap(PATTERN, opposite).fit(X, y)) is alone


def test_it_is_saved_and_loaded(beside, tmp_path):
    beside.save(tmp_path / "e")
    back = hc.load_emulator(tmp_path / "e")
    at = np.random.default_rng(8).random((20, 2))
    assert isinstance(back, DiscrepancyGP)
    for name in ("mean", "mean_var", "noise_var"):
        np.testing.assert_array_equal(getattr(back.predict(at), name), getattr(beside.predict(at), name))
    assert "beside the cheap model" in repr(back)


def test_settings_that_do_not_fit(of_cheap):
    with pytest.raises(ValueError, match="on the scale of y, not by transform='log'"):
        DiscrepancyGP(transform="log", cheap=of_cheap)
    with pytest.raises(TypeError, match="cheap is None: give a fitted HetGP"):
        DiscrepancyGP()


def counts(logit, n, trials, seed):
    rng = np.random.default_rng(seed)
    X = rng.random((n, 2))
    return X, rng.binomial(trials, expit(logit(X))), np.full(n, trials)


def steep(X):
    return 14 * (X[:, 0] - 0.5) + 4 * np.sin(9 * X[:, 1])


def test_probabilities_follow_the_cheap_logit_where_it_helps():
    of_cheap = fit_bernoulli(*counts(lambda X: steep(X) + 1, 400, 20, 9))
    X, events, trials = counts(steep, 20, 6, 10)
    alone, beside = fit_bernoulli(X, events, trials), fit_bernoulli_beside(of_cheap, X, events, trials)
    assert beside.trend is not None and beside.evidence > alone.evidence
    at = np.random.default_rng(11).random((1000, 2))

    def rmse(emulator):
        return np.sqrt(np.mean((emulator.probability(at) - expit(steep(at))) ** 2))

    assert rmse(beside) < 0.7 * rmse(alone)


def test_a_cheap_logit_of_the_wrong_sign_is_left_out():
    wrong = fit_bernoulli(*counts(lambda X: -steep(X), 400, 20, 12))
    assert fit_bernoulli_beside(wrong, *counts(steep, 40, 10, 13)).trend is None
