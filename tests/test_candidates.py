"""Candidates: where they lie, what truncation does, and that local search ends in the valleys."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hetcal.acquisition import LCB, Thompson
from hetcal.candidates import candidate_points, refined, truncated_normal
from hetcal.emulators.hetgp import HetGP
from hetcal.emulators.hetgp_state import HetGPState
from hetcal.emulators.total import WeightedTotal

NONE = np.empty((0, 2))


def total_of(seed, d=2, n=40, tilt=0.0):
    """A quadratic bowl around .4 in every coordinate, made without R; `tilt` correlates the first two."""
    X = np.random.default_rng(seed).random((n, d))
    z = X - 0.4
    y = (z**2).sum(axis=1) + (2 * tilt * z[:, 0] * z[:, 1] if d > 1 else 0.0)
    made = HetGP(transform="log")
    made._condition(
        HetGPState(
            X, y, np.full(n, 2), np.repeat(y, 2), np.full(d, 2.0), 1e-4, 1.0, float(y.mean()), 1e-8, 0.0, ""
        )
    )
    return WeightedTotal({"a": made}, {"a": 1.0})


@pytest.mark.parametrize("d", [1, 3])
def test_candidates_fill_the_box_and_gather_round_the_best(d):
    total = total_of(4, d=d, n=40)
    points = candidate_points(total, 2000, np.empty((0, d)), seed=1, round=2)
    assert points.shape == (2040, d)
    assert points.min() >= 0 and points.max() <= 1
    assert np.array_equal(points[-40:], total.locations)
    assert np.array_equal(points, candidate_points(total, 2000, np.empty((0, d)), seed=1, round=2))
    assert not np.array_equal(points, candidate_points(total, 2000, np.empty((0, d)), seed=1, round=3))
    best = total.locations[np.argmin(total.moments(total.latent(total.locations)).centre)]
    near = np.abs(points - best).max(axis=1) < 0.1
    assert near[1000:2000].mean() > 2 * near[:1000].mean()


def test_neighbourhoods_of_failed_locations_are_left_out():
    total = total_of(4, n=40)
    failed = np.array([[0.31, 0.42], [0.98, 0.97]])
    every = candidate_points(total, 4000, np.empty((0, 2)), 1, 2)
    kept = candidate_points(total, 4000, failed, 1, 2)

    def distance(points, others):
        return np.sqrt(((points[:, None] - others[None]) ** 2).sum(axis=2)).min(axis=1)

    own = np.sort(np.sqrt(((total.locations[:, None] - total.locations[None]) ** 2).sum(axis=2)), axis=1)[
        :, 1
    ]
    close = (distance(every, failed) <= np.median(own)) & (
        distance(every, failed) <= distance(every, total.locations)
    )
    assert 0 < close.sum() < 0.1 * len(every)
    assert np.array_equal(kept, every[~close])
    # Locations that ran stay candidates, so that they can be given more replicates.
    assert np.array_equal(kept[-40:], total.locations)


def test_local_candidates_follow_the_valley():
    """In a bowl whose first two coordinates trade off, so do the candidates drawn with the best points' covariance."""
    total = total_of(1, d=3, n=300, tilt=0.9)
    points = candidate_points(total, 4000, np.empty((0, 3)), 1, 0)
    around, along = points[2000:3000], points[3000:4000]
    assert np.corrcoef(along[:, :2].T)[0, 1] < np.corrcoef(around[:, :2].T)[0, 1] - 0.1
    assert np.corrcoef(along[:, :2].T)[0, 1] < -0.5


# Truncation


@pytest.mark.parametrize("centre, sd", [(0.5, 0.1), (0.02, 0.3), (0.9, 5.0), (0.0, 0.05)])
def test_one_coordinate_is_a_truncated_normal(centre, sd):
    """Kolmogorov and Smirnov's test at 1e-4, with a seed that is fixed."""
    points = truncated_normal(
        np.full((5000, 1), centre), np.full((5000, 1), sd), np.eye(1), np.random.default_rng(0)
    )
    law = stats.truncnorm((0 - centre) / sd, (1 - centre) / sd, centre, sd)
    assert stats.kstest(points[:, 0], law.cdf).pvalue > 1e-4


def test_where_the_box_is_wide_the_correlation_is_kept():
    """Errors of a correlation from 20,000 points are below .006: the limit is four of them."""
    correlation = np.array([[1.0, 0.8, -0.3], [0.8, 1.0, 0.0], [-0.3, 0.0, 1.0]])
    points = truncated_normal(
        np.full((20_000, 3), 0.5), np.full((20_000, 3), 0.05), correlation, np.random.default_rng(1)
    )
    np.testing.assert_allclose(np.corrcoef(points.T), correlation, atol=0.025)
    np.testing.assert_allclose(points.std(axis=0), 0.05, rtol=0.03)


def test_no_point_leaves_the_box_however_strong_the_correlation():
    correlation = np.full((4, 4), 0.99) + 0.01 * np.eye(4)
    centre = np.tile([0.0, 1.0, 0.0, 1.0], (2000, 1))
    points = truncated_normal(centre, np.full((2000, 4), 0.4), correlation, np.random.default_rng(2))
    assert np.all(np.isfinite(points)) and points.min() >= 0 and points.max() <= 1


# Local search


@pytest.mark.parametrize("d", [2, 8])
def test_local_search_comes_closer_than_the_best_of_many_candidates(d):
    total, lcb = total_of(2, d=d, n=60 * d), LCB(kappa=0.0)
    candidates = np.random.default_rng(3).random((5000, d))
    pool = refined(lcb, total, candidates, batch=4, failed=np.empty((0, d)), seed=1, round=1)
    assert len(pool) > 1000 and pool.min() >= 0 and pool.max() <= 1

    def lowest(points):
        return lcb.score(total, total.latent(points)).min()

    # The best candidates stay, and what search finds is at the bottom, which a descent of another kind locates.
    best = candidates[np.argmin(lcb.score(total, total.latent(candidates)))]
    assert (pool == best).all(axis=1).any()
    from scipy.optimize import minimize

    def value(x):
        return lcb.score(total, total.latent(x[None]))[0]

    bottom = minimize(value, np.full(d, 0.4), method="L-BFGS-B", bounds=[(0, 1)] * d).fun
    assert lowest(pool) - bottom < 0.2 * (lowest(candidates) - bottom) + 1e-9


def test_local_search_follows_its_seed_and_round():
    total = total_of(2)
    candidates = np.random.default_rng(3).random((3000, 2))
    pools = [
        refined(LCB(), total, candidates, 4, NONE, seed, round) for seed, round in ((1, 1), (1, 1), (1, 2))
    ]
    assert np.array_equal(pools[0], pools[1])
    assert not np.array_equal(pools[0], pools[2])


def test_an_acquisition_without_a_score_keeps_the_candidates():
    candidates = np.random.default_rng(3).random((300, 2))
    assert refined(Thompson(), total_of(2), candidates, 4, NONE, 1, 1) is candidates


def test_local_search_does_not_enter_failed_neighbourhoods():
    total = total_of(2)
    failed = np.array([[0.4, 0.4]])
    candidates = candidate_points(total, 4000, failed, 1, 1)
    pool = refined(LCB(kappa=0.0), total, candidates, 4, failed, 1, 1)
    every = refined(LCB(kappa=0.0), total, candidates, 4, NONE, 1, 1)
    to_failed = np.linalg.norm(pool - failed, axis=1)
    own = np.linalg.norm(pool[:, None] - total.locations[None], axis=2).min(axis=1)
    spacing = np.linalg.norm(total.locations[:, None] - total.locations[None], axis=2)
    typical = np.median(np.sort(spacing, axis=1)[:, 1])
    assert 0 < len(pool) < len(every)
    assert np.all((to_failed > typical) | (own < to_failed))
