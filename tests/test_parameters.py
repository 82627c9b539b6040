"""Priors both ways, and the priors and points that are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import hetcal as hc
from hetcal.parameters import Parameter, Space, log_uniform, uniform

PRIORS = {
    "uniform": uniform(-3, 5),
    "log_uniform": log_uniform(1e-4, 1e3),
    "normal": stats.norm(10, 2),
    "gamma": stats.gamma(2, scale=3),
    "beta": stats.beta(2, 5),
    "lognormal": stats.lognorm(0.5, scale=4),
    "triangular": stats.triang(0.3, loc=1, scale=2),
    "truncated normal": stats.truncnorm(-1, 2, loc=3, scale=2),
    "Student": stats.t(3),
}


@pytest.mark.parametrize("name", PRIORS)
@settings(max_examples=60, deadline=None)
@given(u=st.floats(1e-6, 1 - 1e-6))
def test_the_unit_cube_and_back(name, u):
    space = Space([Parameter("x", PRIORS[name])])
    theta = space.from_unit([[u]])
    np.testing.assert_allclose(space.to_unit(theta), [[u]], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(theta[0, 0], PRIORS[name].ppf(u), rtol=1e-13)


@settings(max_examples=100, deadline=None)
@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6), share=st.floats(0, 1))
def test_natural_units_and_back_wherever_the_range_lies(low, width, share):
    high = low + width
    space = Space([Parameter("x", uniform(low, high))])
    theta = min(low + share * width, high)
    back = space.from_unit(space.to_unit([[theta]]))[0, 0]
    assert abs(back - theta) <= 4 * np.finfo(float).eps * max(abs(low), abs(high), width)


@settings(max_examples=100, deadline=None)
@given(u=st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_every_corner_of_the_cube_has_finite_natural_units_that_are_inside(u):
    space = Space(
        [Parameter("a", stats.norm()), Parameter("b", stats.expon()), Parameter("c", uniform(0, 1))]
    )
    theta = space.from_unit([u])
    assert np.isfinite(theta).all()
    assert space.contains(theta).all()
    np.testing.assert_allclose(space.to_unit(theta), [u], atol=1.1e-9)


def test_points_spread_evenly_over_the_cube_are_draws_from_the_prior():
    # Kolmogorov-Smirnov at 1e-6 a prior, fixed seed.
    u = np.random.default_rng(1).random((4000, 1))
    for name, prior in PRIORS.items():
        theta = Space([Parameter("x", prior)]).from_unit(u)[:, 0]
        assert stats.kstest(theta, prior.cdf).pvalue > 1e-6, name


def test_an_unbounded_prior_ends_at_its_far_quantiles():
    low, high = Parameter("x", stats.norm(5, 2)).support
    np.testing.assert_allclose([low, high], 5 + 2 * np.array([-1, 1]) * 5.997807, atol=1e-4)
    low, high = Parameter("x", stats.expon()).support
    assert low == 0 and 20.7 < high < 20.8


@pytest.mark.parametrize("prior", [stats.poisson(3), stats.binom(10, 0.2), stats.randint(1, 7)])
def test_discrete_priors_are_refused_with_the_reason(prior):
    with pytest.raises(TypeError, match="'n' has a discrete prior: emulators interpolate.*simulator round"):
        Parameter("n", prior)


@pytest.mark.parametrize("prior", [stats.norm, (0, 1), "uniform", stats.multivariate_normal([0, 0]), None])
def test_what_is_no_frozen_distribution_is_refused(prior):
    with pytest.raises(TypeError, match="the prior of parameter 'x' must be hetcal.uniform"):
        Parameter("x", prior)


@pytest.mark.parametrize(
    "prior", [stats.uniform(1, 0), stats.gamma(-1), stats.norm(0, -1), stats.norm(np.nan, 1)]
)
def test_priors_without_support_are_refused(prior):
    with pytest.raises(ValueError, match="'x' has no support.*check its arguments"):
        Parameter("x", prior)


@pytest.mark.parametrize("low, high", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1), (-np.inf, 0)])
def test_empty_and_infinite_ranges_are_refused(low, high):
    for make in (uniform, log_uniform):
        with pytest.raises(ValueError, match="finite low < high, not low="):
            make(low, high)


def test_log_uniform_refuses_zero_and_says_what_to_use():
    with pytest.raises(ValueError, match="low > 0, not 0: use uniform"):
        log_uniform(0, 1)


def test_duplicate_empty_and_foreign_parameters_are_refused():
    x = Parameter("x", uniform(0, 1))
    with pytest.raises(ValueError, match="x, y stand"):
        Space([x, Parameter("y", uniform(0, 1)), x, Parameter("y", uniform(1, 2))])
    with pytest.raises(ValueError, match="at least one Parameter"):
        Space([])
    with pytest.raises(TypeError, match="not 'x'"):
        Space(["x"])
    with pytest.raises(ValueError, match="non-empty text, not ''"):
        Parameter("", uniform(0, 1))


def test_points_outside_of_the_prior_are_named():
    space = Space([Parameter("R0", uniform(1, 5)), Parameter("days", log_uniform(1, 4))])
    with pytest.raises(ValueError, match=r"days = 4.5 lies outside of its prior \[1, 4\]"):
        space.to_unit([[2, 3], [2, 4.5]])
    with pytest.raises(ValueError, match=r"lie in \[0, 1\], not 1.5"):
        space.from_unit([[0.5, 1.5]])
    with pytest.raises(ValueError, match="days is not finite in row 1"):
        space.to_unit([[2, 3], [2, np.nan]])
    with pytest.raises(ValueError, match=r"need 2 columns \(R0, days\), not shape \(1, 3\)"):
        space.to_unit([[1, 2, 3]])
    assert space.contains([[2, 3], [2, 4.5], [0.9, 2]]).tolist() == [True, False, False]


def test_points_may_come_as_frame_dict_design_or_array_in_any_order_of_columns():
    space = Space([Parameter("a", uniform(0, 1)), Parameter("b", uniform(0, 10))])
    frame = pd.DataFrame({"b": [3.0, 4.0], "a": [0.1, 0.2]})
    assert space.array(frame).tolist() == [[0.1, 3.0], [0.2, 4.0]]
    assert space.array({"b": 3, "a": 0.1}).tolist() == [[0.1, 3.0]]
    assert space.array(hc.designs.grid(space, 2)).tolist() == [[0, 0], [0, 10], [1, 0], [1, 10]]
    pd.testing.assert_frame_equal(space.frame([[0.1, 3.0], [0.2, 4.0]]), frame[["a", "b"]])
    with pytest.raises(ValueError, match="parameters are a, b; unknown: c; missing: b"):
        space.array({"a": 1, "c": 2})
    with pytest.raises(ValueError, match="missing: b"):
        space.array(frame[["a"]])


def test_the_description_tells_priors_apart():
    def described(prior):
        return Space([Parameter("x", prior)]).describe()

    different = [
        uniform(0, 1),
        uniform(0, 2),
        log_uniform(1, 2),
        stats.gamma(2),
        stats.gamma(2, scale=3),
        stats.norm(),
    ]
    texts = [str(described(p)) for p in different]
    assert len(set(texts)) == len(texts)
    assert described(uniform(0, 1)) == described(uniform(0, 1))


def test_titles_carry_label_and_unit():
    assert Parameter("d", uniform(0, 1), unit="day", label="infectious days").title == "infectious days (day)"
    assert Parameter("d", uniform(0, 1)).title == "d"
    with pytest.raises(KeyError, match="no parameter 'e' in this space: it has d"):
        Space([Parameter("d", uniform(0, 1))])["e"]
