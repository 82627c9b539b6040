"""Moments on the way back, against Monte-Carlo and Gauss-Hermite."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetcal.emulators.transforms import Identity, Log, as_transform, to_json


def by_quadrature(inverse, mean, mean_var, noise_var, nodes=80):
    """E[y], Var_emulator(E_noise[y]), E_emulator(Var_noise[y]) by nested Gauss-Hermite."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    w = w / w.sum()
    y = inverse(mean + np.sqrt(mean_var) * x[:, None] + np.sqrt(noise_var) * x[None, :])
    over_noise = y @ w
    var_noise = (y - over_noise[:, None]) ** 2 @ w
    centre = w @ over_noise
    return centre, w @ (over_noise - centre) ** 2, w @ var_noise


@settings(max_examples=100, deadline=None)
@given(
    mean=st.floats(-3, 3),
    mean_var=st.floats(0, 1.5),
    noise_var=st.floats(0, 1.5),
    bound=st.sampled_from([0.0, -1.0, 2.5]),
)
def test_log_moments_are_those_of_quadrature(mean, mean_var, noise_var, bound):
    arrays = [np.array([v]) for v in (mean, mean_var, noise_var)]
    ours = [float(v[0]) for v in Log(bound).moments(*arrays)]
    expected = by_quadrature(lambda z: bound + np.exp(z), mean, mean_var, noise_var)
    np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-12)


def test_log_moments_are_those_of_simulation():
    """4,000 draws of the latent mean, 4,000 of the noise: relative errors below 1.5 % (mean) and 6 % (variances);
    five of them are the limits, fixed seed."""
    rng = np.random.default_rng(1)
    mean, mean_var, noise_var = 0.7, 0.09, 0.25
    emulator = mean + np.sqrt(mean_var) * rng.standard_normal(4000)
    noise = np.sqrt(noise_var) * rng.standard_normal(4000)
    over_noise = np.exp(emulator) * np.exp(noise).mean()
    var_noise = np.exp(emulator) ** 2 * np.exp(noise).var()
    ours = Log().moments(*(np.array([v]) for v in (mean, mean_var, noise_var)))
    np.testing.assert_allclose(ours[0], over_noise.mean(), rtol=0.05)
    np.testing.assert_allclose(ours[1], over_noise.var(), rtol=0.3)
    np.testing.assert_allclose(ours[2], var_noise.mean(), rtol=0.3)


def test_log_covariance_agrees_with_the_variances_and_with_draws():
    rng = np.random.default_rng(2)
    root = rng.normal(size=(3, 3)) * 0.4
    cov, mean, noise_var = root @ root.T, np.array([0.1, -0.4, 1.0]), np.array([0.1, 0.3, 0.0])
    back = Log(-2.0).covariance(mean, cov, noise_var)
    np.testing.assert_allclose(np.diag(back), Log(-2.0).moments(mean, np.diag(cov), noise_var)[1], rtol=1e-12)
    # 400,000 draws: relative errors of a covariance below 2 %, the limit is six of them.
    draws = Log(-2.0).noise_mean(rng.multivariate_normal(mean, cov, 400_000), noise_var)
    scale = np.sqrt(np.outer(np.diag(back), np.diag(back)))
    assert np.abs(np.cov(draws.T) - back).max() < 0.12 * scale.max()
    np.testing.assert_allclose(
        draws.mean(axis=0), Log(-2.0).moments(mean, np.diag(cov), noise_var)[0], atol=0.03
    )


def test_nothing_is_changed_without_a_transform():
    values = np.array([1.0, 2.0]), np.array([0.1, 0.2]), np.array([0.3, 0.4])
    assert all(a is b for a, b in zip(Identity().moments(*values), values))
    assert Identity().noise_mean(values[0], values[2]) is values[0]


def test_log_there_and_back_with_a_bound():
    y = np.array([0.5, 3.0, 1e6])
    np.testing.assert_allclose(Log(-1).noise_mean(Log(-1).forward(y), np.zeros(3)), y)


@pytest.mark.parametrize("y, bound", [([1.0, 0.0], 0.0), ([1.0, -2.0], 0.0), ([3.0, 2.0], 2.5)])
def test_a_value_at_or_below_the_bound_is_refused(y, bound):
    with pytest.raises(
        ValueError, match=rf"bound c = {bound:g} .*but one is {min(y):g}: declare a lower bound"
    ):
        Log(bound).forward(np.array(y))


@pytest.mark.parametrize("written", [None, "log", ("log", -1.5), ["log", 2]])
def test_how_users_write_a_transform_survives_a_file(written):
    transform = as_transform(written)
    assert as_transform(to_json(transform)) == transform
    assert as_transform(transform) is transform


@pytest.mark.parametrize("written", ["sqrt", ("log",), ("sqrt", 1), 3, ("log", "a"), ("log", np.nan), np.log])
def test_what_is_no_transform_is_refused(written):
    with pytest.raises(ValueError, match='transform is None, "log" or'):
        as_transform(written)


def test_a_transform_that_a_file_cannot_hold_is_refused_from_the_start():
    class Root:
        def forward(self, y):
            return np.sqrt(y)

        def moments(self, mean, mean_var, noise_var):
            return mean**2, mean_var, noise_var

    with pytest.raises(ValueError, match='transform is None, "log" or'):
        as_transform(Root())


def test_transforms_say_what_they_are():
    assert [str(as_transform(t)) for t in (None, "log", ("log", -1), ("log", 2))] == [
        "none",
        "log(y)",
        "log(y + 1)",
        "log(y - 2)",
    ]
