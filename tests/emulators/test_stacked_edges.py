"""StackedGP where there are few replicates or none, ties, constant learners, and what is refused before any run."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import hetcal as hc
from hetcal.emulators import FitWarning, LearnerWarning
from hetcal.emulators.stacked_learners import named_learners

pytestmark = [
    pytest.mark.usefixtures("needs_r"),
    pytest.mark.filterwarnings("ignore:.*optimi.er:hetcal.emulators.hetgp.FitWarning"),
]

QUICK = {"learners": ("regr.mars",), "noise": "homoskedastic", "folds": 5}


def response(X):
    return np.sin(5 * X[:, 0]) + 3 * (X[:, 1] - 0.5) * (X[:, 2] - 0.5)


def design(counts, noise, seed=0):
    """Runs at locations with so many replicates each."""
    rng = np.random.default_rng(seed)
    X = np.repeat(rng.random((len(counts), 3)), counts, axis=0)
    return X, response(X) + noise * rng.standard_normal(len(X))


@pytest.mark.parametrize("replicates", [2, 3, 4])
def test_a_simulator_without_noise_has_none(replicates):
    stack = hc.StackedGP(**QUICK).fit(*design(np.full(40, replicates), 0.0))
    prediction = stack.predict(np.random.default_rng(1).random((200, 3)))
    assert prediction.noise_var.max() < 1e-9
    assert (
        prediction.mean_var.mean() > 0.01
    )  # the product that mars of degree 1 misses has a variance of .0625


def test_few_replicates_say_what_they_can():
    """15 degrees of freedom: the pooled variance lies between .26 and 2.6 times the noise (1 false alarm in 500)."""
    counts = np.where(np.arange(60) < 15, 2, 1)
    stack = hc.StackedGP(**QUICK).fit(*design(counts, 0.1))
    X = np.random.default_rng(1).random((500, 3))
    prediction = stack.predict(X)
    noise = np.unique(prediction.noise_var.round(12))
    assert len(noise) == 1 and 0.26 < noise[0] / 0.1**2 < 2.6
    # Level 1 alone takes what mars misses for noise, and its 90 % intervals of the mean held it in 32 of 100 places.
    z = np.abs(response(X) - prediction.mean) / np.sqrt(prediction.mean_var)
    assert np.mean(z < 1.6449) > 0.7


def test_a_design_without_replicates_is_warned_of():
    with pytest.warns(FitWarning, match="cases: no location has two runs, .* mean_var is likely too small"):
        hc.StackedGP(**QUICK).fit(*design(np.ones(30, dtype=int), 0.1), name="cases")


def test_locations_that_a_learner_predicts_alike_at_the_end_of_its_range_can_be_added():
    rng = np.random.default_rng(2)
    X = np.repeat(rng.random((40, 3)) * [0.5, 1, 1], 2, axis=0)
    stack = hc.StackedGP(**QUICK).fit(X, 4 * X[:, 0] + 0.1 * rng.standard_normal(80))
    far = np.array([[1.0, 1.0, 0.5], [0.99, 1.0, 0.2]])
    stack.update(far, [6.0, 6.0])
    assert len(stack.locations) == 42 and stack.state.X0.max() <= 1
    np.testing.assert_array_equal(np.unique(stack.state.X0, axis=0).shape, (42, 1))


def test_runs_that_are_none_cannot_be_added():
    X, y = design(np.full(20, 2), 0.1)
    stack = hc.StackedGP(**QUICK).fit(X, y)
    for new, values, says in [
        (X[:1], [np.nan], "y be finite"),
        (X[:2], [1.0], r"y \(N,\), not"),
        (X[:1, :2], [1.0], r"shape \(N, 3\)"),
    ]:
        with pytest.raises(ValueError, match=says):
            stack.update(new, values)
    assert np.isfinite(stack.predict(X[:1]).mean).all()


def test_a_learner_that_always_says_the_mean_is_left_out():
    with pytest.warns(LearnerWarning, match="without regr.featureless, which failed: it predicts the same"):
        stack = hc.StackedGP(("regr.mars", "regr.featureless"), noise="homoskedastic", folds=5).fit(
            *design(np.full(30, 2), 0.1)
        )
    assert stack.fitted.level0.names == ("regr.mars",)


def test_hyperparameters_of_numpys_types_are_plain_numbers():
    named = named_learners({"regr.mars": {"degree": np.int64(2), "thresh": np.float64(0.01)}})
    assert named == {"regr.mars": {"degree": 2, "thresh": 0.01}}
    assert {type(v) for v in named["regr.mars"].values()} == {int, float}


def test_equal_stacks_are_equal_files(tmp_path):
    runs = design(np.full(30, 2), 0.1)
    for name in "ab":
        hc.StackedGP(**QUICK).fit(*runs).save(tmp_path / name)
    for file in ("learners.rds", "emulator.json", "level1/emulator.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize(
    "options, error, says",
    [
        ({"learners": ("regr.randomforest",)}, ValueError, "mlr does not know"),
        ({"learners": ("regr.cubist",)}, hc.rbridge.RMissing, "package Cubist is not installed"),
        ({"folds": 50}, ValueError, "18 locations are fewer than 50 folds"),
        ({"fit_points": 4, "with_parameters": True}, ValueError, "fit_points is 4: .* of at least 6"),
    ],
)
def test_a_stack_that_cannot_be_fitted_is_refused_before_the_first_run(options, error, says):
    @hc.simulator(parameters=["a", "b"], outputs={"y": ()}, version="1")
    def model(theta, seed):
        return {"y": theta["a"] + np.random.default_rng(seed).normal()}

    space = hc.Space([hc.Parameter(name, hc.uniform(0, 1)) for name in "ab"])
    problem = hc.Problem(space, model, [hc.Target("y", observed=0.5, loss="rss")])
    emulator = hc.StackedGP(**QUICK | options)
    ledger = hc.Ledger()
    with pytest.raises(error, match=says):
        hc.BayesianCalibration(problem, emulator=emulator, initial=20, hold_out=0.1).run(ledger)
    assert len(ledger.runs(model)) == 0
    with pytest.raises(ValueError, match="fit_points is 4: give a whole number of at least 5"):
        hc.BayesianCalibration(problem, emulator=hc.HetGP(fit_points=4), initial=20).run(ledger)
    assert len(ledger.runs(model)) == 0


def test_a_stack_of_replicates_fits_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hc.StackedGP(**QUICK).fit(*design(np.full(40, 3), 0.1))
