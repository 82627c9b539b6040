"""Targets: data, statistics, partial runs, transforms, and losses of ensembles with their error."""

from __future__ import annotations

import numpy as np
import pytest

from hetcal.targets import EnsembleTarget, Target


@pytest.mark.parametrize("weight", [-1, np.nan, np.inf, "2", None])
def test_weights_that_are_none_are_refused(weight):
    with pytest.raises(ValueError, match="target 'y': a weight is a finite number of at least 0"):
        Target("y", observed=[1.0], weight=weight)


@pytest.mark.parametrize(
    "data, sentence",
    [([1, np.nan, 3], "number 1 is nan"), ([np.inf], "number 0 is inf"), ([], "there are none")],
)
def test_data_that_are_not_finite_are_refused(data, sentence):
    with pytest.raises(ValueError, match=f"observed data must be finite.*{sentence}"):
        Target("y", observed=data)


def test_runs_without_the_output_have_no_loss_and_the_others_keep_theirs():
    runs = np.array([[1.0, 2.0], [np.nan, np.nan], [1.0, np.nan], [np.inf, 1.0], [3.0, 2.0]])
    losses = Target("y", observed=[1, 2], loss="rss").losses(runs)
    np.testing.assert_array_equal(losses, [0, np.nan, np.nan, np.nan, 4])


def test_a_loss_that_is_not_finite_on_valid_runs_tells_the_share():
    with pytest.raises(
        ValueError, match="'y': sqrt_rss is not finite for 1 of 4 valid runs .25%.*or a floor"
    ):
        Target("y", observed=[1, 2], loss="sqrt_rss").losses(
            np.array([[1.0, 2], [1, -2], [2, 2], [0, 0], [np.nan, 1]])
        )


def test_outputs_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"gives shape \(3,\) a run but \(2,\) was observed"):
        Target("y", observed=[1, 2]).losses(np.ones((4, 3)))


def test_a_statistic_is_taken_of_each_run():
    target = Target("y", observed=[4.0], loss="rss", statistic=np.max)
    np.testing.assert_array_equal(
        target.losses(np.array([[1.0, 4.0], [np.nan, 1], [0.0, 1.0]])), [0, np.nan, 9]
    )
    two = Target("y", observed=[4.0, 1.0], loss="rss", statistic=lambda x: np.array([x.max(), x.min()]))
    np.testing.assert_array_equal(two.losses(np.array([[1.0, 4.0, 2.0], [3.0, 3.0, 3.0]])), [0, 5])


def test_a_statistic_that_stops_is_told_with_its_target():
    with pytest.raises(ValueError, match=r"target 'peak': its statistic stops with KeyError: 'day'.*\(3,\)"):
        Target("y", observed=[2.0], name="peak", statistic=lambda x: {}["day"]).losses(np.ones((2, 3)))


def test_losses_between_runs_put_one_in_the_place_of_the_data():
    rng = np.random.default_rng(1)
    reference, simulated = rng.poisson(5, (6, 3)).astype(float), rng.poisson(5, (6, 3)).astype(float)
    target = Target("y", observed=[9, 9, 9])
    expected = [Target("y", observed=a).losses(b[None])[0] for a, b in zip(reference, simulated)]
    np.testing.assert_allclose(target.pair_losses(reference, simulated), expected)
    peak = Target("y", observed=[9], loss="rss", statistic=np.max)
    expected = (reference.max(axis=1) - simulated.max(axis=1)) ** 2
    np.testing.assert_allclose(peak.pair_losses(reference, simulated), expected)


@pytest.mark.parametrize("transform", ["sqrt", ("log",), ("log", "a"), ("sqrt", 1), 3, ("log", np.nan)])
def test_unknown_transforms_are_refused_by_name(transform):
    with pytest.raises(ValueError, match='target \'y\': transform is "auto", None, "log" or'):
        _ = Target("y", observed=[1, 2], transform=transform).emulated_scale


def test_a_logarithm_that_could_meet_zero_is_refused_and_a_bound_below_is_not():
    with pytest.raises(ValueError, match=r"'y': poisson_deviance can be as low as 0.*with c below 0"):
        _ = Target("y", observed=[1, 2], transform="log").emulated_scale
    with pytest.raises(ValueError, match="can be as low as 0"):
        _ = Target("y", observed=[1, 2], transform=("log", 0.5)).emulated_scale
    assert Target("y", observed=[1, 2], transform=("log", -0.5)).emulated_scale == ("log", -0.5)
    assert Target("y", observed=[1, 2], transform=None).emulated_scale is None
    assert Target("y", observed=[1, 2]).emulated_scale == ("log", -1.0)
    # A binomial likelihood with trials to spare never comes near 0, so its logarithm is safe.
    assert Target("y", observed=[5], loss="binomial", trials=10, transform="log").emulated_scale == "log"
    # A thousandth of the data's sum of squares about their mean: (1 + 1) / 1000.
    assert Target("y", observed=[1, 3], loss="rss").emulated_scale == ("log", -0.002)


def test_ensemble_losses_by_hand():
    runs = np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 3.0]])

    def loss(statistic):
        return EnsembleTarget("y", observed=[1.0, 1.0], loss="rss", statistic=statistic).loss_and_error(runs)[
            0
        ]

    assert loss("mean") == 4.0  # (3 - 1)^2 + (1 - 1)^2
    assert loss("median") == 5.0  # (3 - 1)^2 + (0 - 1)^2
    np.testing.assert_allclose(loss("sd"), 1 + (3**0.5 - 1) ** 2)
    np.testing.assert_allclose(loss("share_positive"), (1 / 3 - 1) ** 2)
    np.testing.assert_allclose(loss(lambda x: x.max(axis=0)), 16 + 4)


def test_the_standard_error_of_a_mean_is_the_textbook_one():
    # With observed 0 the gaussian loss is a square; of a linear one the jackknife is s / sqrt(M) to rounding.
    rng = np.random.default_rng(2)
    runs = rng.normal(1000, 1, (50, 1))
    target = EnsembleTarget("y", observed=[0.0], loss="gaussian", sd=1.0, statistic="mean")
    loss, error = target.loss_and_error(runs)
    np.testing.assert_allclose(loss, runs.mean() ** 2 / 2)
    np.testing.assert_allclose(error, runs.mean() * runs.std(ddof=1) / np.sqrt(50), rtol=1e-3)


@pytest.mark.parametrize(
    "statistic, loss", [("mean", "poisson_deviance"), ("sd", "rss"), ("share_positive", "rss")]
)
def test_the_standard_error_is_the_spread_over_repeated_ensembles(statistic, loss):
    """Means of 400 jackknife errors against the sd of 400 losses: the sd has a relative error of 3.5 %.

    Where the loss is nearly linear in the statistic the two agree; 20 % off is beyond five of those errors.
    """
    rng = np.random.default_rng(3)
    observed = {"mean": [8.0, 4.0], "sd": [0.5, 4.0], "share_positive": [0.2, 0.9]}[statistic]
    target = EnsembleTarget("y", observed=observed, loss=loss, statistic=statistic)
    mean = [0.8, 0.6] if statistic == "share_positive" else [5.0, 6.0]
    answers = np.array([target.loss_and_error(rng.poisson(mean, (60, 2)).astype(float)) for _ in range(400)])
    assert abs(answers[:, 1].mean() / answers[:, 0].std(ddof=1) - 1) < 0.2


def test_few_replicates_have_no_error_and_none_has_no_loss():
    target = EnsembleTarget("y", observed=[1.0], loss="rss", statistic="mean")
    assert np.isnan(target.loss_and_error(np.empty((0, 1)))).all()
    loss, error = target.loss_and_error(np.array([[1.0], [3.0]]))
    assert loss == 1.0 and np.isnan(error)
    assert np.isfinite(target.loss_and_error(np.array([[1.0], [3.0], [4.0]]))).all()


# A statistic of runs of sd 2 or share .3, observed a little off, with the loss that endless runs have.
ENSEMBLES = {
    "mean": (lambda rng, m: rng.normal(5, 2, m), 5.6, {"loss": "gaussian", "sd": 0.5}, 0.72),
    "share_positive": (lambda rng, m: 1.0 * (rng.random(m) < 0.3), 0.4, {"loss": "rss"}, 0.01),
    "sd": (lambda rng, m: rng.normal(5, 2, m), 2.5, {"loss": "rss"}, 0.25),
}


@pytest.mark.parametrize("statistic", list(ENSEMBLES))
def test_without_its_noise_the_loss_of_an_ensemble_does_not_depend_on_its_size(statistic):
    """Means of 800 losses at M = 12 and 60: debiased within 4.5 standard errors of that of endless runs (a false
    alarm in 40,000 tests), as they are farther off than that, and farther the fewer replicates there are."""
    draw, observed, loss, endless = ENSEMBLES[statistic]
    target = EnsembleTarget("y", observed=observed, statistic=statistic, **loss)
    rng = np.random.default_rng(4)
    off = {}
    for m in (12, 60):
        runs = [draw(rng, m) for _ in range(800)]
        for debias in (False, True):
            losses = np.array([target.loss_and_error(x, debias)[0] for x in runs]) - endless
            off[m, debias] = losses.mean() / (losses.std(ddof=1) / 800**0.5), losses.mean()
    assert abs(off[12, True][0]) < 4.5 and abs(off[60, True][0]) < 4.5
    assert off[12, False][0] > 4.5 and off[12, False][1] > 2 * off[60, False][1] > 0


def test_the_noise_of_means_and_shares_is_the_textbook_one_and_counts_over_the_scale():
    rng = np.random.default_rng(5)
    runs = rng.normal(3, 2, (9, 2))
    scale = np.array([0.5, 4.0])
    target = EnsembleTarget("y", observed=[1.0, 5.0], loss="gaussian", sd=scale, statistic="mean")
    noise = target.loss_and_error(runs)[0] - target.loss_and_error(runs, debias=True)[0]
    np.testing.assert_allclose(noise, 0.5 * (runs.var(axis=0, ddof=1) / 9 / scale**2).sum())
    share = EnsembleTarget("y", observed=0.5, loss="rss", statistic="share_positive")
    invaded = np.array([1.0] * 4 + [0.0] * 8)
    noise = share.loss_and_error(invaded)[0] - share.loss_and_error(invaded, debias=True)[0]
    np.testing.assert_allclose(noise, (1 / 3) * (2 / 3) / 11)


def test_contributions_are_pseudo_values():
    rng = np.random.default_rng(6)
    runs = rng.poisson(4, (15, 2)).astype(float)
    target = EnsembleTarget("y", observed=[4.0, 5.0], loss="rss", statistic="sd")
    for debias in (False, True):
        each = target.contributions(runs, debias)
        loss, error = target.loss_and_error(runs, debias)
        np.testing.assert_allclose([each.mean(), each.std(ddof=1) / 15**0.5], [loss, error])
    # Of a mean, the square of one number: that of each run about the mean, plus the loss.
    mean = EnsembleTarget("y", observed=0.0, loss="rss", statistic="mean")
    values = np.array([1.0, 2.0, 6.0])
    np.testing.assert_allclose(
        mean.contributions(values), 9 + 2 * 3 * (values - 3) - ((values - 3) ** 2 - 14 / 3) / 2
    )


@pytest.mark.parametrize(
    "more, m, debias, sentence",
    [
        ({"statistic": "sd"}, 1, False, "a standard deviation needs at least 2 replicates, not 1"),
        ({"statistic": "sd"}, 2, True, "seen in at least 3 replicates, not 2: give more, or debias=False"),
        ({"statistic": "mean"}, 1, True, "seen in at least 2 replicates, not 1"),
        ({"statistic": "median"}, 9, True, "the noise of rss of a median is not known"),
        (
            {"statistic": "mean", "loss": "poisson_deviance"},
            9,
            True,
            "of poisson_deviance of a mean is not known",
        ),
    ],
)
def test_too_few_replicates_and_noise_that_is_not_known_are_refused(more, m, debias, sentence):
    target = EnsembleTarget("y", observed=[1.0], **({"loss": "rss"} | more))
    with pytest.raises(ValueError, match=f"target 'y': .*{sentence}"):
        target.check_replicates(m, debias)


def test_too_few_replicates_have_no_loss():
    target = EnsembleTarget("y", observed=[1.0], loss="rss", statistic="sd")
    assert np.isnan(target.loss_and_error(np.array([[1.0]]))).all()
    assert np.isnan(target.loss_and_error(np.array([[1.0], [2.0]]), debias=True)).all()
    assert np.isnan(target.contributions(np.array([[1.0], [2.0]]), debias=True)).all()


def test_the_loss_of_chance_is_the_noise_of_the_data():
    """Twenty runs of sd 2, and of a share of .3, in the place of the data; variances of 2,000 runs are known to 4 %."""
    rng = np.random.default_rng(7)
    runs = rng.normal(5, 2, 2000)
    target = EnsembleTarget("y", observed=5.0, loss="rss", statistic="mean", realisations=20)
    assert abs(target.chance_loss(runs) / (4 / 20) - 1) < 0.15
    share = EnsembleTarget(
        "y", observed=0.5, loss="gaussian", sd=0.1, statistic="share_positive", realisations=20
    )
    assert abs(share.chance_loss(1.0 * (rng.random(2000) < 0.3)) / (0.5 * 0.21 / 20 / 0.01) - 1) < 0.15
    exact = EnsembleTarget("y", observed=5.0, loss="rss", statistic="mean")
    assert exact.chance_loss(runs) == 0.0
    assert np.isnan(target.chance_loss(runs[:1]))


@pytest.mark.parametrize("count", [0, 1.5, True, -3])
def test_realisations_that_are_none_are_refused(count):
    with pytest.raises(ValueError, match="realisations is a whole number of at least 1, not"):
        EnsembleTarget("y", observed=5.0, loss="rss", statistic="mean", realisations=count)


def test_scalar_outputs_of_ensembles_need_no_extra_axis():
    target = EnsembleTarget("y", observed=0.5, loss="rss", statistic="share_positive")
    assert target.loss_and_error(np.array([0.0, 1.0, 2.0, 0.0]))[0] == 0


@pytest.mark.parametrize("statistic", [None, "average", 3])
def test_unknown_statistics_are_refused(statistic):
    with pytest.raises(ValueError, match="statistic is a function of an .* or one of mean, median, sd"):
        EnsembleTarget("y", observed=[1.0], statistic=statistic)


def test_a_target_says_what_it_is():
    target = Target("cases", observed=[1, 2], weight=0.5, name="weekly")
    assert repr(target) == "Target('weekly', poisson_deviance, 2 data, weight 0.5)"
    described = Target("y", observed=[1], loss="binomial", trials=10, statistic=np.max).describe()
    assert described["trials"] == 10 and described["observed"] == [1.0] and "max" in described["statistic"]


def test_elements_are_called_by_their_names_or_numbers():
    some = {"observed": [1.0, 2.0], "loss": "rss", "statistic": "mean", "kept": [2, 0]}
    assert EnsembleTarget("days", **some).data_names == ("[2]", "[0]")
    named = EnsembleTarget("days", names=["Aachen", "Bonn", "Celle"], **some)
    assert named.data_names == ("Celle", "Aachen") and not named.is_series
    assert Target("days", observed=[1, 2]).data_names == ("day 0", "day 1")
    assert Target("days", observed=np.ones((1, 2))).data_names == ("(0, 0)", "(0, 1)")
    for wrong in (["Aachen", "Bonn"], ["Aachen", "Bonn", "Bonn"]):
        with pytest.raises(
            ValueError, match="names are what all elements of 'days' are called, at least 3 different"
        ):
            EnsembleTarget("days", names=wrong, **some)
