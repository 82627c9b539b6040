"""Problem: what does not fit together is refused when it is built; losses of what a ledger holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hetcal as hc
from hetcal.emulators.hetgp import HetGP


@hc.simulator(parameters=["b", "a"], outputs={"y": (2,), "total": ()}, version="1")
def line(theta, seed):
    if theta["a"] > 0.95:
        raise RuntimeError("too steep")
    y = np.array([theta["a"], 10 * theta["b"]]) + seed % 2
    return {"y": y, "total": np.nan if theta["a"] > 0.9 else y.sum()}


SPACE = hc.Space([hc.Parameter("a", hc.uniform(0, 1)), hc.Parameter("b", hc.uniform(0, 1))])
Y = hc.Target("y", observed=[1, 2], loss="rss")
SUM = hc.Target("total", observed=3, loss="rss", weight=2, name="sum")


@pytest.mark.parametrize(
    "space, targets, sentence",
    [
        (["a", "b", "c"], [Y], "unknown to the simulator: c"),
        (["a"], [Y], "without a prior: b"),
        (["a", "b"], [], "at least one Target"),
        (["a", "b"], [Y, hc.Target("y", observed=[1, 1])], "names must differ: y; give name="),
        (["a", "b"], [hc.Target("z", observed=[1])], "wants output 'z'; simulator 'line' has y, total"),
        (
            ["a", "b"],
            [hc.Target("y", observed=[1, 2, 3])],
            r"\(3,\) data observed but output 'y' has shape \(2,\)",
        ),
        (
            ["a", "b"],
            [hc.Target("total", observed=[1, 2], name="sum")],
            r"\(2,\) data observed but output 'total'",
        ),
        (["a", "b"], [hc.Target("total", observed=3)], "cannot be called 'total'.*give name="),
        (["a", "b"], [hc.Target("y", observed=[1, 2], name="b")], "cannot be called 'b'"),
        (["a", "b"], [hc.Target("y", observed=[1, 2], weight=0)], "every target has weight 0"),
        (
            ["a", "b"],
            [hc.Target("y", observed=[1, 2], transform="log")],
            "can be as low as 0, so log.* can fail",
        ),
        (["a", "b"], [hc.Target("y", observed=[1, 2], transform="sqrt")], 'transform is "auto", None'),
    ],
)
def test_what_does_not_fit_together_is_refused_when_the_problem_is_built(space, targets, sentence):
    with pytest.raises(ValueError, match=sentence):
        hc.Problem(hc.Space([hc.Parameter(n, hc.uniform(0, 1)) for n in space]), line, targets)


def test_a_simulator_without_fixed_content_is_refused_before_anything_runs():
    generator = np.random.default_rng(0)

    @hc.simulator(parameters=["a", "b"], outputs={"y": (2,)}, version="1")
    def drifting(theta, seed):
        return {"y": generator.normal(size=2)}

    with pytest.raises(TypeError, match="'generator' .*is a random generator.*make it from the seed"):
        hc.Problem(SPACE, drifting, [Y])


def test_what_is_no_target_or_simulator_is_refused():
    with pytest.raises(TypeError, match="targets are hetcal.Target or hetcal.EnsembleTarget"):
        hc.Problem(SPACE, line, ["y"])
    with pytest.raises(TypeError, match=r"targets is Target\('y'.*: give a list"):
        hc.Problem(SPACE, line, Y)
    with pytest.raises(TypeError, match="space is .*: give a hetcal.Space"):
        hc.Problem(SPACE.parameters, line, [Y])
    with pytest.raises((TypeError, ValueError)):
        hc.Problem(SPACE, lambda theta, seed: {}, [Y])


@pytest.mark.parametrize("transform", ["log", ("log", 0.5)])
def test_an_emulator_with_a_wrong_logarithm_is_refused_before_anything_runs(transform):
    with pytest.raises(ValueError, match="rss can be as low as 0"):
        hc.BayesianCalibration(hc.Problem(SPACE, line, [Y]), emulator=HetGP(transform=transform))


@pytest.fixture(scope="module")
def ledger():
    problem = hc.Problem(SPACE, line, [Y])
    ledger = hc.Ledger()
    theta = pd.DataFrame({"b": [0.2, 0.2, 0.2], "a": [0.5, 0.92, 0.99]})
    hc.run_ensemble(problem, theta, replicates=4, ledger=ledger, seeds=[0, 1, 2, 4])
    return ledger


def test_losses_of_a_ledger_by_hand(ledger):
    losses = hc.Problem(SPACE, line, [Y, SUM]).losses(ledger)
    assert list(losses.columns) == ["a", "b", "seed", "y", "sum", "total"]
    a = losses[losses["a"] == 0.5].sort_values("seed")
    # Even seeds: y = (.5, 2) against (1, 2); odd ones are 1 higher.
    np.testing.assert_allclose(a["y"], [0.25, 1.25, 0.25, 0.25])


def test_an_empty_ledger_has_empty_tables_of_losses():
    problem = hc.Problem(
        SPACE, line, [Y, hc.EnsembleTarget("y", observed=[1, 2], name="mean", statistic="mean")]
    )
    assert list(problem.losses(hc.Ledger()).columns) == ["a", "b", "seed", "y", "total"]
    table = problem.ensemble_losses(hc.Ledger())
    assert list(table.columns) == ["a", "b", "replicates", "mean", "mean_se"] and table.empty


def test_the_total_is_the_weighted_sum_and_changes_without_running(ledger):
    losses = hc.Problem(SPACE, line, [Y, SUM]).losses(ledger)
    first = losses[losses["a"] == 0.5]
    np.testing.assert_allclose(first["total"], first["y"] + 2 * first["sum"])
    partial, failed = losses[losses["a"] == 0.92], losses[losses["a"] == 0.99]
    # A partial run has the losses of the outputs it has, and no total; a failed one has none.
    assert partial["y"].notna().all() and partial[["sum", "total"]].isna().all().all()
    assert failed[["y", "sum", "total"]].isna().all().all() and len(failed) == 4
    # A target of weight 0 is shown, and is missed by nobody.
    free = hc.Target("total", observed=3, loss="rss", weight=0, name="sum")
    losses = hc.Problem(SPACE, line, [Y, free]).losses(ledger)
    np.testing.assert_allclose(losses["total"], losses["y"])
    assert len(ledger.runs(line)) == 12


def test_ensemble_losses_by_location_with_partial_runs(ledger):
    targets = [
        hc.EnsembleTarget("y", observed=[1.0, 2.0], loss="rss", statistic="mean"),
        hc.EnsembleTarget("total", observed=2.0, loss="rss", statistic="median", name="sum"),
    ]
    frame = hc.Problem(SPACE, line, targets).ensemble_losses(ledger)
    assert list(frame.columns) == ["a", "b", "replicates", "y", "y_se", "sum", "sum_se"]
    assert frame["replicates"].tolist() == [4, 4, 4]
    # Mean of three even seeds and an odd one: (.75, 2.25) against (1, 2).
    np.testing.assert_allclose(frame["y"][0], 0.0625 + 0.0625)
    # The median of 2.5, 2.5, 2.5 and 4.5 does not move when one is left out.
    np.testing.assert_allclose([frame["sum"][0], frame["sum_se"][0]], [0.25, 0.0])
    assert np.isfinite(frame["y"][1]) and np.isnan(frame["sum"][1])
    assert np.isnan(frame["y"][2])


def test_the_order_of_parameters_is_the_simulators_wherever_it_matters():
    problem = hc.Problem(SPACE, line, [Y])
    frame = SPACE.frame([[0.1, 0.2]])
    assert problem.theta(frame).tolist() == [[0.2, 0.1]]
    assert problem.describe()["parameters"][0]["name"] == "a"


def test_contributions_of_complete_runs_have_the_losses_as_means():
    rng = np.random.default_rng(1)
    y = rng.normal(1, 1, (12, 2))
    share = hc.EnsembleTarget(
        "total", observed=0.5, loss="rss", statistic="share_positive", weight=3, name="share"
    )
    idle = hc.Target("y", observed=[0, 0], loss="rss", weight=0, name="idle")
    problem = hc.Problem(SPACE, line, [Y, share, idle])
    outputs = {"y": y, "total": y.sum(axis=1) - 2}
    for debias in (False, True):
        table = problem.contributions(outputs, debias)
        loss, error = share.loss_and_error(outputs["total"], debias)
        runs = Y.losses(y)
        np.testing.assert_allclose(table["share"].mean(), loss)
        np.testing.assert_allclose(table["total"].mean(), runs.mean() + 3 * loss)
        np.testing.assert_allclose(table["total"], runs + 3 * table["share"])
        np.testing.assert_allclose(table["share"].std() / 12**0.5, error)


def test_a_run_without_an_output_counts_in_the_losses_of_the_others():
    share = hc.EnsembleTarget("total", observed=0.5, loss="rss", statistic="share_positive", name="share")
    problem = hc.Problem(SPACE, line, [Y, share])
    y = np.array([[1.0, 2.0], [2.0, 2.0], [np.nan, np.nan], [1.0, 5.0], [np.nan, np.nan]])
    total = np.array([1.0, -1.0, 1.0, np.nan, np.nan])
    table = problem.contributions({"y": y, "total": total})
    np.testing.assert_allclose(table["total"].mean(), (0 + 1 + 9) / 3 + (2 / 3 - 0.5) ** 2)
    assert table["total"].isna().tolist() == [False, False, False, False, True]
    # Without any run that has it, a target has no loss, nor has the whole.
    assert problem.contributions({"y": y, "total": np.full(5, np.nan)})["total"].isna().all()


def test_the_error_of_a_total_with_partial_runs_is_its_spread_over_repeated_ensembles():
    """400 totals of 40 runs, a third of them without one output; the sd of the totals has an error of 3.5 %."""
    share = hc.EnsembleTarget(
        "total", observed=0.2, loss="rss", statistic="share_positive", weight=20, name="share"
    )
    problem = hc.Problem(SPACE, line, [Y, share])
    rng = np.random.default_rng(2)
    totals = []
    for _ in range(400):
        y = rng.normal(1, 1, (40, 2))
        total = np.where(rng.random(40) < 1 / 3, np.nan, y.sum(axis=1) - 2)
        totals.append(problem.contributions({"y": y, "total": total})["total"].to_numpy())
    claimed = np.mean([t.std(ddof=1) / 40**0.5 for t in totals])
    assert abs(claimed / np.std([t.mean() for t in totals], ddof=1) - 1) < 0.2


def test_other_weights_make_another_problem_of_the_same_runs():
    share = hc.EnsembleTarget("total", observed=0.5, loss="rss", statistic="share_positive", name="share")
    problem = hc.Problem(SPACE, line, [Y, share])
    for weights in ([0.001, 10], {"share": 10, "y": 0.001}, np.array([0.001, 10])):
        other = problem.weighted(weights)
        assert [t.weight for t in other.targets] == [0.001, 10]
        assert isinstance(other.targets[1], hc.EnsembleTarget) and other.simulator is problem.simulator
    assert [t.weight for t in problem.targets] == [Y.weight, 1.0]
    for weights, sentence in (
        (3, "weights is 3: give a list of one for each of y, share, or a dict by name"),
        ([1.0], "1 weights for 2 targets: give one for each of y, share"),
        ({"y": 1.0}, "weights are for y; targets are y, share"),
        ([1.0, -1.0], "target 'share': a weight is a finite number of at least 0, not -1.0"),
        ([0.0, 0.0], "every target has weight 0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            problem.weighted(weights)
