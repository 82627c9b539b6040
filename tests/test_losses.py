"""Each loss against numbers worked out by hand, its floor, its lowest value, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hetcal.losses import LOSSES
from hetcal.targets import Target

OBSERVED = [2.0, 0.0, 5.0]
OPTIONS = {"binomial": {"trials": 10}, "negative_binomial": {"dispersion": 2.0}, "gaussian": {"sd": 2.0}}

# Simulated 4, 1, 5 against observed 2, 0, 5.
BY_HAND = {
    "rss": 5.0,  # 4 + 1 + 0
    "log_rss": 0.9609060,  # 2 (ln 2)^2, with the observed 0 raised to the floor .5
    "sqrt_rss": 1.3431458,  # (2 - 1.4142136)^2 + 1
    "binomial": 13.9042630,  # -(2 ln .4 + 8 ln .6) - 10 ln .9 + 10 ln 2
    "poisson_deviance": 3.2274113,  # 2 (2 ln .5 + 2) + 2
    "negative_binomial": 2.0929925,  # 2 (2 ln .5 - 4 ln(4/6)) - 4 ln(2/3)
    "gaussian": 0.625,  # (1 + .25) / 2
}


def target(loss, observed=OBSERVED, **more):
    return Target("y", observed=observed, loss=loss, **(OPTIONS.get(loss, {}) | more))


def test_every_loss_has_a_number_worked_out_by_hand():
    assert set(BY_HAND) == set(LOSSES)


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_by_hand(loss):
    runs = np.array([[4.0, 1.0, 5.0], OBSERVED, [4.0, 1.0, 5.0]])
    losses = target(loss).losses(runs)
    np.testing.assert_allclose(losses[[0, 2]], BY_HAND[loss], atol=1e-6)
    assert losses[1] < losses[0]


def test_an_outbreak_that_dies_out_has_a_large_loss_and_not_an_infinite_one():
    dead = np.zeros((1, 3))
    # 2 (2 ln(2/.5) - 1.5) + 2 x .5 + 2 (5 ln(5/.5) - 4.5)
    np.testing.assert_allclose(target("poisson_deviance").losses(dead), 17.5710285, atol=1e-6)
    np.testing.assert_allclose(
        target("poisson_deviance", floor=0.1).losses(dead),
        2 * (2 * np.log(20) - 1.9) + 0.2 + 2 * (5 * np.log(50) - 4.9),
    )
    # (ln 4)^2 + 0 + (ln 10)^2
    np.testing.assert_allclose(target("log_rss").losses(dead), 7.2237102, atol=1e-6)
    # -(2 ln .001 + 8 ln .999) - 10 ln .999 - (5 ln .001 + 5 ln .999)
    np.testing.assert_allclose(target("binomial").losses(dead), 48.3772982, atol=1e-6)
    assert np.isfinite(target("negative_binomial").losses(dead)).all()


def test_count_losses_are_deviances_of_their_families():
    y, mu = np.array([3.0, 7.0, 0.0]), np.array([4.5, 6.0, 0.8])

    def deviance(log_pmf):
        return 2 * sum(log_pmf(a, max(a, 1e-12)) - log_pmf(a, m) for a, m in zip(y, mu))

    np.testing.assert_allclose(
        target("poisson_deviance", y).losses(mu[None])[0], deviance(stats.poisson.logpmf), rtol=1e-9
    )
    k = 1.7
    np.testing.assert_allclose(
        target("negative_binomial", y, dispersion=k).losses(mu[None])[0],
        deviance(lambda a, m: stats.nbinom.logpmf(a, k, k / (k + m))),
        rtol=1e-9,
    )
    coefficients = -sum(stats.binom.logpmf(a, 10, m / 10) for a, m in zip(y, mu))
    log_choose = sum(np.log([120.0, 120.0, 1.0]))
    np.testing.assert_allclose(
        target("binomial", y).losses(mu[None])[0], coefficients + log_choose, rtol=1e-12
    )


@pytest.mark.parametrize("loss", LOSSES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_simulation_beats_the_lowest_value_and_auto_stays_above_its_bound(loss, data):
    numbers = st.integers(0, 40).map(lambda quarters: quarters / 4)
    y = np.array(data.draw(st.lists(numbers, min_size=3, max_size=3)))
    simulated = np.array(data.draw(st.lists(numbers, min_size=3, max_size=3)))
    one = target(loss, y)
    lowest = one.family.lowest(one.observed, one._floor, one._extra)
    value = one.losses(simulated[None])[0]
    assert value >= lowest - 1e-9 * (1 + abs(lowest))
    name, bound = one.emulated_scale
    assert name == "log" and value > bound


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_of_a_matrix_are_those_of_its_elements(loss):
    y, mu = np.arange(1.0, 7.0), np.arange(2.0, 8.0)[::-1].copy()
    flat = target(loss, y).losses(mu[None])
    np.testing.assert_allclose(target(loss, y.reshape(2, 3)).losses(mu.reshape(1, 2, 3)), flat)


def test_the_families_own_constants_may_differ_by_datum():
    sd = np.array([1.0, 2.0, 4.0])
    value = target("gaussian", sd=sd).losses(np.array([[4.0, 1.0, 9.0]]))
    np.testing.assert_allclose(value, 0.5 * (4 + 0.25 + 1))


@pytest.mark.parametrize(
    "loss, data, more, sentence",
    [
        ("poisson_deviance", [3, -1], {}, "needs data of at least 0, not -1"),
        ("sqrt_rss", [3, -1], {}, "needs data of at least 0, not -1"),
        ("log_rss", [3, -1], {}, "needs data of at least 0, not -1"),
        ("binomial", [3, 12], {}, "12 observed of 10 trials"),
        ("binomial", [3, 1], {"trials": None}, "needs trials=, a positive number"),
        ("gaussian", [3, 1], {"sd": 0}, "needs sd=, a positive number"),
        ("negative_binomial", [3, 1], {"dispersion": np.nan}, "needs dispersion=, a positive"),
        ("gaussian", [3, 1], {"sd": [1, 2, 3]}, r"sd has shape \(3,\) but \(2,\) was observed"),
        ("binomial", [3, 1], {"trials": [5, 5, 5]}, r"trials has shape \(3,\) but \(2,\) was observed"),
        ("rss", [3, 1], {"sd": 1.0}, "loss 'rss' takes no sd="),
        ("rss", [3, 1], {"floor": 0.5}, "loss 'rss' takes none"),
        ("poisson_deviance", [3, 1], {"floor": 0.0}, "floor=0.0: it must be positive"),
        ("poisson_deviance", [3, 1], {"floor": np.nan}, "it must be positive"),
        ("poisson", [3, 1], {}, "loss is one of rss, log_rss,.* not 'poisson'"),
    ],
)
def test_what_a_loss_cannot_take_is_refused(loss, data, more, sentence):
    with pytest.raises(ValueError, match=sentence):
        target(loss, data, **more)
