"""Kriging on arrays against the textbook's equations written out with plain inverses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hetcal.emulators.gaussian_process import (
    COVARIANCES,
    GaussianProcess,
    correlation,
    in_blocks,
    square_root,
)


def textbook_correlation(x1, x2, theta, covariance):
    out = np.ones((len(x1), len(x2)))
    for i, a in enumerate(x1):
        for j, b in enumerate(x2):
            for k in range(len(theta)):
                h = abs(a[k] - b[k])
                if covariance == "Gaussian":
                    out[i, j] *= math.exp(-(h**2) / theta[k])
                elif covariance == "Matern3_2":
                    s = math.sqrt(3) * h / theta[k]
                    out[i, j] *= (1 + s) * math.exp(-s)
                else:
                    s = math.sqrt(5) * h / theta[k]
                    out[i, j] *= (1 + s + s * s / 3) * math.exp(-s)
    return out


def textbook(process, X1, X2):
    """Mean at X1 and covariance between X1 and X2, trend by generalised least squares, plain inverses."""
    K = textbook_correlation(process.X, process.X, process.theta, process.covariance) + np.diag(
        process.nugget
    )
    Ki = np.linalg.inv(K)
    k1 = textbook_correlation(X1, process.X, process.theta, process.covariance)
    k2 = textbook_correlation(X2, process.X, process.theta, process.covariance)
    beta = Ki.sum(axis=0) @ process.Z / Ki.sum()
    mean = beta + k1 @ Ki @ (process.Z - beta)
    prior = textbook_correlation(X1, X2, process.theta, process.covariance)
    t1, t2 = 1 - k1 @ Ki.sum(axis=1), 1 - k2 @ Ki.sum(axis=1)
    return mean, process.scale * (prior - k1 @ Ki @ k2.T + np.outer(t1, t2) / Ki.sum())


def make(covariance, d, n=25, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.random((n, d))
    Z = np.sin(5 * X[:, 0]) + X.sum(axis=1) + 0.1 * rng.normal(size=n)
    nugget, theta = rng.uniform(0.01, 0.1, n), rng.uniform(0.4, 1.5, d)
    K = textbook_correlation(X, X, theta, covariance) + np.diag(nugget)
    ones = np.linalg.solve(K, np.ones(n))
    return GaussianProcess(X, Z, nugget, theta, covariance, float(ones @ Z / ones.sum()), 2.5), rng.random(
        (12, d)
    )


CASES = [(covariance, d) for covariance in COVARIANCES for d in (1, 2, 5)]


@pytest.mark.parametrize("covariance, d", CASES)
def test_correlation_is_the_textbooks(covariance, d):
    rng = np.random.default_rng(d)
    x1, x2, theta = rng.random((7, d)), rng.random((5, d)), rng.uniform(0.1, 3, d)
    ours = correlation(x1, x2, theta, covariance)
    np.testing.assert_allclose(ours, textbook_correlation(x1, x2, theta, covariance), rtol=1e-13)
    assert np.array_equal(np.diag(correlation(x1, x1, theta, covariance)), np.ones(7))


@pytest.mark.parametrize("covariance, d", CASES)
def test_prediction_and_covariance_are_the_textbooks(covariance, d):
    process, X = make(covariance, d)
    mean, between = textbook(process, X, X[:5])
    ours_mean, ours_var = process.predict(X)
    np.testing.assert_allclose(ours_mean, mean, atol=1e-10)
    np.testing.assert_allclose(process.covariance_between(X, X[:5]), between, atol=1e-10)
    np.testing.assert_allclose(ours_var[:5], np.diag(between), atol=1e-10)
    np.testing.assert_allclose(process.covariance_to(X, process.whiten(X), 3), between[:, 3], atol=1e-10)
    assert np.isnan(process.predict(X, variance=False)[1]).all()


@pytest.mark.parametrize("covariance, d", CASES)
def test_leave_one_out_is_a_prediction_from_the_others(covariance, d):
    process, _ = make(covariance, d)
    mean, var = process.leave_one_out(process.nugget)
    for i in (0, 7, 24):
        rest = np.arange(25) != i
        other = GaussianProcess(
            process.X[rest],
            process.Z[rest],
            process.nugget[rest],
            process.theta,
            covariance,
            0.0,
            process.scale,
        )
        expected, between = textbook(other, process.X[i : i + 1], process.X[i : i + 1])
        np.testing.assert_allclose([mean[i], var[i]], [expected[0], between[0, 0]], atol=1e-9)


def test_a_square_root_gives_its_matrix_back_even_where_it_is_singular():
    process, X = make("Gaussian", 2)
    twice = np.vstack([X, X, process.X])
    for points in (X, twice):
        covariance = process.covariance_between(points, points)
        root = square_root(covariance)
        assert np.abs(root @ root.T - covariance).max() < 1e-10 * process.scale


def test_joint_draws_have_the_law_they_should():
    """20,000 draws at 12 points. Each covariance is within six of its own standard errors, each mean too:
    below 1e-6 for all 90 together; fixed seed."""
    process, X = make("Matern5_2", 2)
    mean, covariance = textbook(process, X, X)
    draws = process.sample(X, np.random.default_rng(4).standard_normal((20_000, len(X))))
    sd = np.sqrt(np.diag(covariance))
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 6 * sd / np.sqrt(20_000))
    error = np.sqrt((np.outer(sd, sd) ** 2 + covariance**2) / 20_000)
    assert np.all(np.abs(np.cov(draws.T) - covariance) < 6 * error)


def test_a_point_does_not_depend_on_what_else_is_asked():
    process, _ = make("Matern5_2", 2)
    X = np.random.default_rng(5).random((20_000, 2))
    mean, var = process.predict(X)
    some = [0, 4999, 19_999]
    alone = process.predict(X[some])
    np.testing.assert_allclose(alone[0], mean[some], rtol=0, atol=1e-13)
    np.testing.assert_allclose(alone[1], var[some], rtol=0, atol=1e-12)
    assert process.predict(X[:0])[0].shape == (0,)


def test_a_location_without_noise_is_known():
    process, _ = make("Matern5_2", 2)
    exact = GaussianProcess(
        process.X, process.Z, np.full(25, 1e-10), process.theta, "Matern5_2", process.trend, process.scale
    )
    mean, var = exact.predict(process.X)
    np.testing.assert_allclose(mean, process.Z, atol=1e-3)
    assert np.all(var >= 0) and np.all(var < 1e-6)


def test_locations_that_coincide_without_noise_are_refused_with_the_mend():
    X = np.array([[0.2], [0.2], [0.5]])
    process = GaussianProcess(X, np.arange(3.0), np.zeros(3), np.ones(1), "Gaussian", 0.0, 1.0)
    with pytest.raises(
        ValueError, match="covariance of 3 locations is not positive definite.*give them as replicates"
    ):
        _ = process.factor


def test_work_in_blocks_covers_everything_once_and_errors_come_out():
    seen = np.zeros(1003, dtype=int)

    def work(rows):
        seen[rows] += 1

    in_blocks(work, 1003, 10)
    assert (seen == 1).all()

    def fails(rows):
        raise RuntimeError("in a block")

    with pytest.raises(RuntimeError, match="in a block"):
        in_blocks(fails, 100, 10)
