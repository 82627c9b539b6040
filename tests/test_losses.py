"""Each loss against numbers worked out by hand, its floor, its lowest value, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hetcal.losses import LOSSES, CurveResidual, LogRelativeRisk
from hetcal.targets import EnsembleTarget, Target

OBSERVED = [2.0, 0.0, 5.0]
OPTIONS = {
    "binomial": {"trials": 10},
    "negative_binomial": {"dispersion": 2.0},
    "gaussian": {"sd": 2.0},
    "log_gaussian": {"least_sd": 0.1},
}

# Simulated 4, 1, 5 against observed 2, 0, 5.
BY_HAND = {
    "rss": 5.0,  # 4 + 1 + 0
    "log_rss": 0.9609060,  # 2 (ln 2)^2, with the observed 0 raised to the floor .5
    "sqrt_rss": 1.3431458,  # (2 - 1.4142136)^2 + 1
    "binomial": 13.9042630,  # -(2 ln .4 + 8 ln .6) - 10 ln .9 + 10 ln 2
    "poisson_deviance": 3.2274113,  # 2 (2 ln .5 + 2) + 2
    "half_poisson_deviance": 1.6137056,  # 2 ln .5 - 2 + 4 + 1
    "log_gaussian": 2.6572768,  # RSS 2 (ln 2)^2, so s = ln 2: 3 (ln(2 pi) / 2 + ln(ln 2)) + 1
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


def test_a_log_gaussian_loss_has_its_declared_lowest_value_below_zero():
    one = target("log_gaussian", [3.0, 7.0, 20.0], least_sd=0.05)
    # 3 (.9189385 + ln .05) + 1
    lowest = -5.2303812
    np.testing.assert_allclose(one.losses(np.array([[3.0, 7.0, 20.0], [3.1, 7.1, 20.1]])), lowest, atol=1e-6)
    assert one.emulated_scale == ("log", pytest.approx(lowest - 1, abs=1e-6))
    with pytest.raises(
        ValueError, match=r"log_gaussian can be as low as -5.23038, so log\(loss - 0\) can fail"
    ):
        target("log_gaussian", [3.0, 7.0, 20.0], least_sd=0.05, transform="log").check_transform("log")
    away = one.losses(np.array([[6.0, 14.0, 20.0], [0.0, 0.0, 0.0]]))
    # RSS 2 (ln 2)^2 over 2: s = ln 2
    np.testing.assert_allclose(away[0], 2.6572768, atol=1e-6)
    assert np.isfinite(away).all() and away[1] > away[0]


# Simulated 2, 4, 16 against observed 1, 2, 4: ratios 2, 2, 4.
BIASED = [
    ("log_rss", None, 2.8827181),  # 6 (ln 2)^2
    ("log_rss", 2.0, 0.4804530),  # (ln 2)^2
    (
        "log_rss",
        "profiled",
        0.3203020,
    ),  # ratios over their geometric mean 2^(4/3): (1/9 + 1/9 + 4/9) (ln 2)^2
    ("log_gaussian", 2.0, 1.6175561),  # s = ln 2 / sqrt 2
    ("log_gaussian", "profiled", 1.0093584),  # s = ln 2 / sqrt 3
]


@pytest.mark.parametrize("loss, bias, by_hand", BIASED)
def test_a_bias_is_taken_out_by_hand(loss, bias, by_hand):
    one = target(loss, [1.0, 2.0, 4.0], bias=bias)
    runs = np.array([[2.0, 4.0, 16.0], [2.0, 4.0, 8.0]])
    np.testing.assert_allclose(one.losses(runs)[0], by_hand, atol=1e-6)
    if bias is not None:
        np.testing.assert_allclose(one.losses(runs)[1], one.family.lowest(one.observed, None, one._extra))
        np.testing.assert_allclose(one.compared(runs)[1], [1, 2, 4])
        assert one.describe()["bias"] == bias
    # A run in the place of the data has the same bias.
    np.testing.assert_allclose(
        one.pair_losses(runs, runs)[0], one.losses(runs[1:])[0] if bias else 0, atol=1e-9
    )


positive = st.floats(0.6, 1e4)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(positive, min_size=3, max_size=3),
    st.lists(positive, min_size=3, max_size=3),
    st.floats(0.01, 100),
)
def test_the_profiled_bias_is_the_best_of_all_and_takes_out_any_factor(y, mu, bias):
    y, mu = np.array(y), np.array([mu])
    for loss in ("log_rss", "log_gaussian"):
        profiled = target(loss, y, bias="profiled").losses(mu)[0]
        assert profiled <= target(loss, y, bias=bias).losses(mu)[0] + 1e-9
        np.testing.assert_allclose(
            target(loss, y, bias="profiled").losses(mu * (1 + bias))[0], profiled, atol=1e-7
        )


@pytest.mark.parametrize("bias", [None, 3.0, "profiled"])
@pytest.mark.parametrize("loss", ["log_rss", "log_gaussian"])
def test_runs_that_die_out_have_a_finite_loss_with_a_bias_too(loss, bias):
    one = target(loss, [0.0, 2.0, 40.0], bias=bias, floor=0.1)
    losses = one.losses(np.array([[0.0, 0.0, 0.0], [0.0, 6.0, 0.0], [np.nan, 1.0, 1.0]]))
    assert np.isfinite(losses[:2]).all() and np.isnan(losses[2])
    # Of the first: floors .1 over the bias against .1, 2, 40.
    ratios = np.log(0.1 / np.array([0.1, 2.0, 40.0]))
    ratios -= ratios.mean() if bias == "profiled" else np.log(bias or 1.0)
    if loss == "log_rss":
        np.testing.assert_allclose(losses[0], (ratios**2).sum())


def test_a_bias_counts_in_statistics_of_ensembles_too():
    one = EnsembleTarget("y", observed=[1.0, 2.0], loss="log_rss", statistic="mean", bias=2.0)
    runs = np.array([[1.0, 4.0], [3.0, 12.0]])
    np.testing.assert_allclose(one.loss_and_error(runs)[0], np.log(2) ** 2)
    np.testing.assert_allclose(one.of_ensembles([runs]), [[1.0, 4.0]])


def test_relative_risks_by_hand():
    statistic = LogRelativeRisk(reference=0, floor=0.5)
    one = Target("severe", observed=np.log([0.5, 0.25]), loss="rss", statistic=statistic)
    # Rates 20, 20, 10: risks 1 and .5; without cases in two groups the floor: .5 / 20 = 1 / 40.
    losses = one.losses(np.array([[20.0, 20.0, 10.0], [40.0, 20.0, 10.0], [20.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    two, last = np.log(2) ** 2, np.log([20.0, 10.0])
    np.testing.assert_allclose(losses, [2 * two, 0, (last**2).sum(), two + np.log(4) ** 2], atol=1e-12)
    matrix = statistic(np.array([[20.0, 10.0, 5.0], [8.0, 4.0, 1.0]]))
    np.testing.assert_allclose(np.exp(matrix), [[0.5, 0.25], [0.5, 0.125]])
    np.testing.assert_allclose(np.exp(LogRelativeRisk(-1, 0.5)(np.array([4.0, 8.0]))), [0.5])


def test_residuals_from_a_curve_by_hand():
    # Prevalence 10, 30, 60 with rates 1, 5, 8; at 20 the curve is 3, at 45 it is 6.5, beyond its ends 1 and 8.
    points = np.array([[[20.0, 45.0, 5.0, 90.0], [4.0, 6.5, 0.0, 2.0]]])
    plain = CurveResidual([10, 30, 60], [1, 5, 8])
    one = Target("points", observed=np.zeros(4), loss="rss", statistic=plain)
    np.testing.assert_allclose(one.losses(points), 1 + 0 + 1 + 36)
    logs = CurveResidual([10, 30, 60], [1, 5, 8], floor=0.25)
    one = Target("points", observed=np.zeros(4), loss="rss", statistic=logs)
    np.testing.assert_allclose(one.losses(points), np.log(4 / 3) ** 2 + 0 + np.log(4) ** 2 + np.log(4) ** 2)
    assert one.emulated_scale == ("log", -1e-3)
    assert one.describe()["statistic"] == "CurveResidual(x=(10.0, 30.0, 60.0), y=(1.0, 5.0, 8.0), floor=0.25)"


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: LogRelativeRisk(0, floor=0), "floor is 0: give the least rate"),
        (lambda: CurveResidual([1], [1]), "at least two finite numbers"),
        (lambda: CurveResidual([1, 1], [1, 2]), "x ascending"),
        (lambda: CurveResidual([1, 2], [1, 2, 3]), "as long as each other"),
        (lambda: CurveResidual([1, 2], [1, np.nan]), "at least two finite numbers"),
        (lambda: CurveResidual([1, 2], [1, 2], floor=np.nan), "floor is nan: give the least value"),
        (
            lambda: CurveResidual([1, 2], [1, 2])(np.ones(3)),
            r"points have shape \(3,\): give two rows, x and y",
        ),
        (lambda: LogRelativeRisk(3, 0.1)(np.ones(3)), "reference is group 3 of 3"),
    ],
)
def test_statistics_refuse_what_they_cannot_take(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


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
    rates = LOSSES[loss].logs and bool(np.any((0 < y) & (y < 0.5)))  # which ask for a floor
    one = target(loss, y, **({"floor": 0.2} if rates else {}))
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


def test_rates_and_shares_have_logs_of_their_own_where_a_floor_is_given():
    value = target("log_rss", [0.1, 0.2], floor=0.01).losses(np.array([[0.2, 0.1], [0.1, 0.0]]))
    np.testing.assert_allclose(value, [2 * np.log(2) ** 2, np.log(20) ** 2])


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
        (
            "log_rss",
            [0.2, 0.1, 0],
            {},
            "0.1 was observed, and log_rss takes all below 0.5 for 0.5.*give floor=",
        ),
        ("log_gaussian", [3, 0.25], {}, "0.25 was observed, and log_gaussian takes all below 0.5"),
        ("binomial", [3, 12], {}, "12 observed of 10 trials"),
        ("binomial", [3, 1], {"trials": None}, "needs trials=, a positive number"),
        ("gaussian", [3, 1], {"sd": 0}, "needs sd=, a positive number"),
        ("negative_binomial", [3, 1], {"dispersion": np.nan}, "needs dispersion=, a positive"),
        ("gaussian", [3, 1], {"sd": [1, 2, 3]}, r"sd has shape \(3,\) but \(2,\) was observed"),
        ("binomial", [3, 1], {"trials": [5, 5, 5]}, r"trials has shape \(3,\) but \(2,\) was observed"),
        ("rss", [3, 1], {"sd": 1.0}, "loss 'rss' takes no sd="),
        ("rss", [3, 1], {"bias": 2.0}, "loss 'rss' takes no bias=, log_rss and log_gaussian do"),
        ("log_rss", [3, 1], {"bias": -2.0}, 'bias is a positive number or "profiled", not -2.0'),
        ("log_rss", [3, 1], {"bias": "fitted"}, "not 'fitted'"),
        ("log_rss", [3, 1], {"bias": np.nan}, "not nan"),
        ("log_gaussian", [3, 1], {"least_sd": None}, "log_gaussian needs least_sd=, a positive number"),
        ("log_gaussian", [3, 1], {"least_sd": [1, 2]}, "at least 2 data, and one least_sd= for all of them"),
        ("log_gaussian", [3], {}, "at least 2 data"),
        ("half_poisson_deviance", [3, -1], {}, "needs data of at least 0, not -1"),
        ("rss", [3, 1], {"floor": 0.5}, "loss 'rss' takes none"),
        ("poisson_deviance", [3, 1], {"floor": 0.0}, "floor=0.0: it must be positive"),
        ("poisson_deviance", [3, 1], {"floor": np.nan}, "it must be positive"),
        ("poisson", [3, 1], {}, "loss is one of rss, log_rss,.* not 'poisson'"),
    ],
)
def test_what_a_loss_cannot_take_is_refused(loss, data, more, sentence):
    with pytest.raises(ValueError, match=sentence):
        target(loss, data, **more)
