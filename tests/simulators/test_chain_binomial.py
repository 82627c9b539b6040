"""Binomials by inversion and the uniforms they are drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hetcal.simulators import chain_binomial as kernels


@pytest.mark.parametrize("n", [1, 2, 7, 60, 400])
@pytest.mark.parametrize("p", [0.0, 1e-6, 0.003, 0.1, 0.37, 0.5, 0.63, 0.95, 1.0])
def test_small_binomials_are_inverted_exactly(n, p):
    assert n * p * (1 - p) <= kernels.LARGE_VARIANCE
    u = np.append(np.random.default_rng(n).random(300), [1e-9, 1e-4, 1 - 1e-4, 1 - 1e-9])
    with np.errstate(divide="ignore"):
        log_q = np.log1p(-p)
    ours = [kernels.binomial_quantile(v, n, p, log_q) for v in u]
    distribution = stats.binom.cdf(np.arange(n + 1), n, p)  # scipy's own ppf is wrong at p = 1
    np.testing.assert_array_equal(ours, np.searchsorted(distribution, u))


@pytest.mark.parametrize("n, p", [(763, 0.3), (2_000, 0.06), (5_000, 0.97), (10**6, 2e-4), (10**6, 0.4)])
def test_large_binomials_differ_by_one_at_most_and_hardly_ever(n, p):
    # Documented: fewer than 2 in 100,000 differ. More than 12 of 200,000 uniforms has probability below 4e-4.
    u = np.append(np.random.default_rng(5).random(200_000), [1e-12, 1e-9, 1e-6, 1 - 1e-6, 1 - 1e-9])
    log_q = np.log1p(-p)
    ours = np.array([kernels.binomial_quantile(v, n, p, log_q) for v in u])
    difference = ours - stats.binom.ppf(u, n, p)
    assert abs(difference).max() <= 1
    assert (difference != 0).sum() <= 12


@pytest.mark.parametrize("n, p", [(40, 0.2), (763, 0.05), (763, 0.4), (10**6, 0.01)])
def test_draws_are_binomial(n, p):
    # Chi-square over 20 classes of about equal probability, 100,000 seeds, false-alarm rate 1e-4 each.
    keys = [np.uint64(kernels.seed_key(seed)) for seed in range(100_000)]
    x = [kernels.binomial_quantile(kernels.keyed_uniform(k, 3), n, p, np.log1p(-p)) for k in keys]
    edges = np.unique(stats.binom.ppf(np.linspace(0, 1, 21)[1:-1], n, p))
    expected = np.diff(np.concatenate([[0], stats.binom.cdf(edges, n, p), [1]]))
    observed = np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1)
    assert stats.chisquare(observed, expected * len(x)).pvalue > 1e-4


def test_normal_quantile():
    u = np.concatenate([np.logspace(-15, -1, 200), np.linspace(0.01, 0.99, 300)])
    np.testing.assert_allclose(
        [kernels.normal_quantile(v) for v in u], stats.norm.ppf(u), rtol=2e-9, atol=2e-9
    )


def test_keyed_uniforms_are_uniform_and_independent():
    # 600 seeds x 200 events; each check has a false-alarm rate of 1e-4.
    keys = [np.uint64(kernels.seed_key(seed)) for seed in range(600)]
    u = np.array([[kernels.keyed_uniform(k, event) for event in range(200)] for k in keys])
    assert 0 < u.min() and u.max() < 1
    assert len(np.unique(u)) == u.size
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-4
    of_seeds = [stats.kstest(row, "uniform").pvalue for row in u]
    assert stats.kstest(of_seeds, "uniform").pvalue > 1e-4
    for first, second in ((u[:, :-1], u[:, 1:]), (u[:-1], u[1:]), (u[:, :-2], u[:, 2:])):
        counts = np.histogram2d(first.ravel(), second.ravel(), bins=10)[0].ravel()
        assert stats.chisquare(counts).pvalue > 1e-4
        r = np.corrcoef(first.ravel(), second.ravel())[0, 1]
        assert abs(r) < stats.norm.ppf(1 - 0.5e-4) / np.sqrt(first.size)
