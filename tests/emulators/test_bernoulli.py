"""The Bernoulli emulator: probabilities that are right where the law is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from hetcal.emulators.bernoulli import fit_bernoulli


def law(X):
    return special.expit(6 * X[:, 0] - 2 + 2 * np.sin(5 * X[:, 1]))


def test_probabilities_are_those_of_the_law():
    rng = np.random.default_rng(1)
    X = rng.random((150, 2))
    events = rng.binomial(10, law(X))
    emulator = fit_bernoulli(X, events, np.full(150, 10))
    fresh = rng.random((2000, 2))
    error = emulator.probability(fresh) - law(fresh)
    # 1,500 runs: a binomial error of about .03 a neighbourhood of 200 runs.
    assert np.sqrt((error**2).mean()) < 0.05
    logit = emulator.predict_logit(fresh)
    z = (logit.mean - special.logit(law(fresh))) / np.sqrt(logit.mean_var)
    # False alarm: |z| of a smooth law exceeds 2 for 5 % of points, far more only where the variance is wrong.
    assert (np.abs(z) < 2).mean() > 0.85


def test_an_event_that_always_happens_is_near_certain_and_finite():
    X = np.random.default_rng(2).random((30, 3))
    probability = fit_bernoulli(X, np.full(30, 5), np.full(30, 5)).probability(X)
    assert np.all((probability > 0.95) & (probability < 1))


def test_more_runs_of_a_location_count_for_more():
    X = np.array([[0.2], [0.8]])
    few = fit_bernoulli(X, [1, 1], [2, 2])
    many = fit_bernoulli(X, [100, 100], [200, 200])
    assert np.all(many.predict_logit(X).mean_var < few.predict_logit(X).mean_var)


def test_covariance_and_noise_say_what_more_runs_will_lessen():
    rng = np.random.default_rng(3)
    X = rng.random((40, 2))
    events, trials = rng.binomial(20, law(X)).astype(float), np.full(40, 20.0)
    before = fit_bernoulli(X, events, trials)
    at = np.vstack([X[:1], rng.random((30, 2))])
    between = before.covariance_between(at, at)
    logit = before.predict_logit(at)
    assert np.allclose(np.diag(between), logit.mean_var) and np.linalg.eigvalsh(between).min() > -1e-8
    # Runs that give what is believed: Laplace's variance falls by the rule of a Gaussian observation.
    more = 40
    events[0] += more * special.expit(logit.mean[0])
    trials[0] += more
    after = fit_bernoulli(X, events, trials)
    assert (after.scale, after.length) == (before.scale, before.length)
    expected = logit.mean_var - between[:, 0] ** 2 / (between[0, 0] + logit.noise_var[0] / more)
    assert np.allclose(after.predict_logit(at).mean_var, expected, rtol=0.05)
    assert expected[0] < 0.7 * logit.mean_var[0]


@pytest.mark.parametrize("events, trials", [([3], [2]), ([-1], [2]), ([0], [0])])
def test_impossible_counts_are_refused(events, trials):
    with pytest.raises(ValueError, match="events must lie between 0 and the number of trials"):
        fit_bernoulli(np.array([[0.5]]), events, trials)
