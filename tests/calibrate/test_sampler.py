"""Draws from posteriors whose mean and spread are known: narrow, correlated, cut, flat, in two places."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import hetcal as hc
from hetcal.calibrate.sampler import sample_posterior


def unit_space(d):
    return hc.Space([hc.Parameter(f"p{j}", hc.uniform(0, 1)) for j in range(d)])


def draws_from(log_likelihood, d, seed=1):
    likelihood = SimpleNamespace(log_likelihood=lambda unit, observed: log_likelihood(unit)[None])
    frame, effective = sample_posterior(likelihood, unit_space(d), np.zeros((1, 1)), seed)
    return frame.to_numpy(), effective


def gaussian(centre, sd, rho):
    """Log density with equal correlations, up to a constant."""
    d = len(centre)
    precision = np.linalg.inv(sd**2 * ((1 - rho) * np.eye(d) + rho))
    return lambda unit: -0.5 * np.einsum("mi,ij,mj->m", unit - centre, precision, unit - centre)


@pytest.mark.parametrize(
    "d, sd, rho",
    [
        (1, 0.01, 0.0),
        (2, 0.01, 0.98),
        (3, 0.01, 0.0),
        (3, 0.02, 0.98),
        (4, 0.01, 0.0),
        (4, 0.03, 0.9),
        (7, 0.1, 0.5),
    ],
)
def test_narrow_and_correlated_posteriors_are_found_whole(d, sd, rho):
    """400 independent draws miss a mean by .2 sd, or an sd by 14 %, in one of 10,000 cases a parameter."""
    for seed in range(6):
        centre = np.random.default_rng(seed).uniform(0.35, 0.65, d)
        draws, effective = draws_from(gaussian(centre, sd, rho), d, seed)
        assert effective >= 400
        assert np.all(np.abs(draws.mean(axis=0) - centre) < 0.2 * sd)
        assert np.all(np.abs(draws.std(axis=0) / sd - 1) < 0.15)


def test_a_posterior_at_the_edge_of_the_prior_is_cut_there():
    draws, _ = draws_from(gaussian(np.zeros(2), 0.1, 0.0), 2)
    half = stats.halfnorm(scale=0.1)
    assert np.allclose(draws.mean(axis=0), half.mean(), atol=0.2 * half.std())
    assert np.allclose(draws.std(axis=0), half.std(), rtol=0.15)


def test_no_information_gives_the_prior():
    draws, effective = draws_from(lambda unit: np.zeros(len(unit)), 3)
    assert effective >= 3900
    assert np.allclose(draws.mean(axis=0), 0.5, atol=0.03) and np.allclose(
        draws.std(axis=0), 12**-0.5, rtol=0.05
    )


def test_two_places_keep_their_shares():
    left, right = gaussian(np.array([0.2, 0.2]), 0.04, 0.0), gaussian(np.array([0.8, 0.7]), 0.04, 0.0)
    draws, _ = draws_from(lambda unit: np.logaddexp(left(unit) + np.log(3), right(unit)), 2)
    assert abs((draws[:, 0] < 0.5).mean() - 0.75) < 0.08


def test_draws_stand_in_random_order_and_follow_the_seed():
    target = gaussian(np.full(7, 0.5), 0.1, 0.5)
    draws, _ = draws_from(target, 7)
    again, _ = draws_from(target, 7)
    assert np.array_equal(draws, again)
    first, rest = draws[:500], draws[500:]
    assert np.all(np.abs(first.mean(axis=0) - rest.mean(axis=0)) < 0.2 * 0.1)
