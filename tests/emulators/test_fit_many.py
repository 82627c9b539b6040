"""Fits in worker processes are those made here, to the bit, warnings and errors included."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

import hetcal as hc
from hetcal import rbridge
from hetcal.emulators.fit_many import FitTask, fit_many
from hetcal.emulators.hetgp import FitWarning

pytestmark = [
    pytest.mark.usefixtures("needs_r"),
    pytest.mark.filterwarnings("ignore::hetcal.emulators.hetgp.FitWarning"),
]


def tasks(k=2):
    """Fits of k targets, each with its own noise."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.random((15, 2)), 4, axis=0)
    seeds = np.arange(len(X))
    return [
        FitTask(
            hc.HetGP(noise="likelihood"),
            X,
            np.sin(4 * X[:, 0]) + j * X[:, 1] + rng.normal(0, 0.1 + 0.5 * X[:, 0]),
            seeds,
        )
        for j in range(k)
    ]


def same(a, b):
    """Whether two fits agree in every bit of their state and predictions."""
    one, two = vars(a.state), vars(b.state)
    X = np.random.default_rng(1).random((30, 2))
    return all(np.array_equal(one[k], two[k]) for k in one) and a.predict(X).frame.equals(b.predict(X).frame)


@pytest.fixture(scope="module")
def pool(needs_r):
    with rbridge.RPool(2) as opened:
        yield opened


def test_workers_give_the_numbers_of_this_process(pool):
    here, there = fit_many(tasks()), fit_many(tasks(), pool)
    assert all(same(a, b) for a, b in zip(here, there, strict=True))
    # Warm starts cross as well.
    warm = [
        FitTask(t.emulator, t.X, t.y, start=e.hyperparameters) for t, e in zip(tasks(), here, strict=True)
    ]
    assert all(same(a, b) for a, b in zip(fit_many(warm), fit_many(warm, pool), strict=True))


def test_workers_give_the_stacks_of_this_process(pool):
    learners = ("regr.mars", ("regr.randomForest", {"ntree": 50}))
    stacks = [FitTask(hc.StackedGP(learners, folds=3), t.X, t.y) for t in tasks()]
    here, there = fit_many(stacks), fit_many(stacks, pool)
    assert all(same(a, b) for a, b in zip(here, there, strict=True))
    assert all(a.fitted.level0.models == b.fitted.level0.models for a, b in zip(here, there, strict=True))
    assert all(a.leave_one_out().equals(b.leave_one_out()) for a, b in zip(here, there, strict=True))


def test_the_pattern_stays_unfitted(pool):
    pattern = hc.HetGP(noise="homoskedastic")
    several = [FitTask(pattern, t.X, t.y) for t in tasks(2)]
    fit_many(several)
    fit_many(several, pool)
    assert pattern.state is None


@pytest.mark.parametrize("here", [True, False])
def test_warnings_come_back_with_the_name_of_the_fit(pool, here):
    crossed = [
        FitTask(t.emulator, t.X, t.y, seeds=np.tile([1, 2, 3, 4], 15), name=f"'target {i}'")
        for i, t in enumerate(tasks(2))
    ]
    with pytest.warns(hc.emulators.CrossedSeedsWarning) as caught:
        fit_many(crossed, 1 if here else pool)
    said = [str(w.message) for w in caught if w.category is hc.emulators.CrossedSeedsWarning]
    assert sorted(text.split(":")[0] for text in said) == ["'target 0'", "'target 1'"]


@pytest.mark.parametrize("here", [True, False])
def test_a_fit_that_fails_is_named(pool, here):
    class Faulty:
        def fit(self, X, y, seeds, start, name):
            rbridge.call("fit_hetgp", X0=1.0)

    several = [FitTask(Faulty(), np.zeros(1), np.zeros(1), name=f"'target {i}'") for i in range(2)]
    with pytest.raises(rbridge.RError, match="missing") as caught:
        fit_many(several, 1 if here else pool)
    assert caught.value.__notes__[0] in ("in the fit of 'target 0'", "in the fit of 'target 1'")


def test_fit_warnings_are_errors_where_warnings_are(pool):
    class Unsure(hc.HetGP):
        def fit(self, X, y, seeds=None, start=None, name="emulator"):
            warnings.warn(f"the fit of {name} stopped", FitWarning, stacklevel=2)
            return self

    several = [FitTask(Unsure(), np.zeros(1), np.zeros(1), name=f"'target {i}'") for i in range(2)]
    with warnings.catch_warnings(), pytest.raises(FitWarning, match="the fit of 'target"):
        warnings.simplefilter("error")
        fit_many(several, pool)


def test_a_pickled_process_leaves_its_factors_behind(by_hand):
    process = by_hand(np.random.default_rng(0).random((300, 2)), np.zeros(300), 0.5).process
    process.prepare()
    sent = pickle.dumps(process)
    assert len(sent) < 20_000
    X = np.random.default_rng(1).random((20, 2))
    again = pickle.loads(sent)
    assert np.array_equal(again.predict(X), process.predict(X))
