"""Recovery of a known truth: parameters that do nothing never count as recovered, and those that matter come back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hetcal as hc
from hetcal.checks.truth_recovery import recovery_of
from hetcal.streams import simulator_seeds

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.hetgp.FitWarning")

ACTIVE, INERT = ("a", "b"), ("c", "d")
SPACE = hc.Space([hc.Parameter(name, hc.uniform(0, 2)) for name in ACTIVE + INERT])
TRUTH = {"a": 0.6, "b": 1.3, "c": 0.4, "d": 1.7}


@hc.simulator(parameters=[*ACTIVE, *INERT], outputs={"x": (3,), "y": (3,)}, version="1")
def two_sums(theta, seed):
    """x and y tell of a and b; c and d do nothing."""
    noise = np.random.default_rng(seed).normal(0, 0.15, (2, 3))
    return {"x": theta["a"] + noise[0], "y": 1.5 * theta["b"] - theta["a"] / 2 + noise[1]}


@hc.simulator(parameters=[*ACTIVE, *INERT], outputs={"x": (3,), "y": (3,)}, version="1")
def no_y(theta, seed):
    if theta["b"] > 1:
        raise RuntimeError("b is too large for the solver")
    return two_sums(theta, seed)


def last_two(y):
    return y[1:]


def method(simulator=two_sums):
    # The data in these targets are far from the truth and must not matter.
    targets = [
        hc.Target("x", observed=[9.0] * 3, loss="gaussian", sd=0.15, weight=2.0),
        hc.Target("y", observed=[0.7] * 2, loss="gaussian", sd=0.1, statistic=last_two),
    ]
    return hc.BayesianCalibration(
        hc.Problem(SPACE, simulator, targets),
        emulator=hc.HetGP(noise="homoskedastic"),
        initial=60,
        replicates=4,
        batch=5,
        rounds=4,
        candidates=2000,
        finalists=3,
        finalist_replicates=20,
        winner_replicates=40,
    )


@pytest.fixture(scope="module")
def found(needs_r):
    return hc.synthetic_recovery(method(), TRUTH, seed=3, ledger=hc.Ledger())


def test_what_matters_comes_back_and_what_does_nothing_does_not(found):
    table = found.table.set_index("parameter")
    assert table["verdict"].to_dict() == dict.fromkeys(ACTIVE, "recovered") | dict.fromkeys(
        INERT, "not recovered"
    )
    assert found.counts == {"recovered": 2, "not recovered": 2, "false recovery": 0}
    assert (table.loc[list(INERT), "share"] > 0.95).all() and (table.loc[list(INERT), "total"] < 0.05).all()
    assert (table.loc[list(ACTIVE), "total_low"] > 0.05).all()
    for name in SPACE.names:
        assert table.loc[name, "truth"] == TRUTH[name]
        assert table.loc[name, "low"] <= table.loc[name, "best"] <= table.loc[name, "high"]
    assert "2 of 4 parameters recovered: a (total index" in repr(found)
    assert "2 not recovered: c" in found.says and found.says.endswith("; 0 false recoveries")


def test_the_data_are_one_run_at_the_truth_that_trains_nothing(found):
    """Its seed is of a branch of its own, and it stands in no ask and no ledger of the calibration."""
    (seed,) = simulator_seeds(3, "truth", 0, 0, 1)
    run = two_sums(TRUTH, int(seed))
    x, y = found.result.problem.targets
    assert np.array_equal(x.observed, run["x"]) and np.array_equal(y.observed, run["y"][1:])
    assert (x.weight, x.loss, y.weight) == (2.0, "gaussian", 1.0)
    runs = found.result.ledger.runs(two_sums)
    assert seed not in set(runs["seed"]) and len(runs) == found.result.runs["total"]


def test_it_goes_on_from_its_ledger_to_the_same_table(found):
    before = len(found.result.ledger.runs(two_sums))
    again = hc.synthetic_recovery(method(), TRUTH, seed=3, ledger=found.result.ledger)
    pd.testing.assert_frame_equal(again.table, found.table)
    assert len(found.result.ledger.runs(two_sums)) == before


def test_a_narrow_range_without_the_truth_is_a_false_recovery(found):
    """The same calibration, held against a truth that its data do not have."""
    elsewhere = {"a": 1.9, "b": 1.3, "c": 0.4, "d": 1.7}
    table = recovery_of(found.result, elsewhere).table.set_index("parameter")
    assert table["verdict"].to_dict() == {"a": "false recovery", "b": "recovered"} | dict.fromkeys(
        INERT, "not recovered"
    )
    assert table["covers"].to_dict() == {"a": False, "b": True, "c": True, "d": True}


@pytest.mark.parametrize(
    "truth, sentence",
    [
        (TRUTH | {"b": 2.5}, r"b = 2.5 lies outside of its prior \[0, 2\]"),
        ({"a": 1.0, "b": 1.0, "c": 1.0}, "missing: d"),
        (TRUTH | {"R0": 3.0}, "unknown: R0"),
        (TRUTH | {"a": np.nan}, "a is not finite"),
        (TRUTH | {"a": "x"}, "parameter 'a' is 'x': give a number"),
        ([1.0, 1.0, 1.0, 1.0], "truth is .*: give a dict of a, b, c, d"),
    ],
)
def test_no_truth_outside_of_the_prior(truth, sentence):
    with pytest.raises(ValueError, match=sentence):
        hc.synthetic_recovery(method(), truth)


def test_a_truth_without_data_is_told_by_the_simulators_words():
    with pytest.raises(ValueError, match="the run at the truth gave no 'x' .*b is too large for the solver"):
        hc.synthetic_recovery(method(no_y), TRUTH)


def test_only_what_rules_out_can_recover():
    with pytest.raises(TypeError, match="give a hetcal.BayesianCalibration"):
        hc.synthetic_recovery(method().problem, TRUTH)
