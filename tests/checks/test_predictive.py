"""Predictive checks: against values by hand, and how often they alarm where the prediction is right."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import hetcal as hc
from hetcal.checks.predictive import predictive_checks
from hetcal.checks.seen import Seen, far_from_all
from hetcal.checks.shortfall import needed, own_scatter
from hetcal.checks.statistics import TOGETHER, adjusted, critical, deviations, looked_at, scales, two_sided
from hetcal.observation import PoissonObservation

DAYS = 12
MEAN = 40 * np.exp(-0.5 * ((np.arange(DAYS) - 5) / 2.0) ** 2) + 1


def stand_in(targets, fresh, first=None, **method):
    """A result as the checks see it: outputs by name of fresh runs and of the first design."""

    def runs(outputs):
        n = len(next(iter(outputs.values())))
        return {"theta": np.arange(n, dtype=float)[:, None], "outputs": outputs}

    settings = {"observation": {}, "discrepancy": 0.0, "alive": None} | method
    settings["targets"] = tuple(t for t in targets if t.weight > 0)
    settings["data_sets"] = lambda points, outputs: (
        points,
        {t.name: t.compared(outputs[t.output]) for t in targets},
    )
    first = {name: values[:0] for name, values in fresh.items()} if first is None else first
    return SimpleNamespace(
        problem=SimpleNamespace(targets=tuple(targets)),
        method=SimpleNamespace(**settings),
        seed=3,
        predictive_runs=lambda: runs(fresh),
        prior_runs=lambda: runs(first),
    )


def poisson(n, seed):
    return np.random.default_rng(seed).poisson(MEAN, (n, DAYS)).astype(float)


def test_statistics_of_a_series_are_those_by_hand():
    target = hc.Target("cases", observed=[1, 4, 9, 2, 0, 0])
    names, kinds, observed, _ = looked_at(
        target, np.random.default_rng(1).poisson(3, (50, 6)).astype(float) + 1
    )
    found = dict(zip(names, observed, strict=True))
    assert found["total"] == 16 and found["peak"] == 9 and found["day of the peak"] == 2
    # 8 of 16 is reached after 1 + 4 and a third of the 9 of day 2.
    assert found["day by which half is reached"] == pytest.approx(2 + 3 / 9)
    assert found["steepest fall in a day"] == 7 and found["total of the last third"] == 0
    # Second differences 2, -12, 5, 2.
    assert found["ups and downs from day to day"] == pytest.approx(21 / 4)
    assert kinds[:6] == ["datum"] * 6 and set(kinds[6:]) == {"statistic"}


def test_what_runs_do_not_have_is_left_out():
    target = hc.Target("y", observed=[1.0, -1.0, 2.0, 0.5], loss="rss")
    names = looked_at(target, np.random.default_rng(1).normal(size=(50, 4)))[0]
    assert "day by which half is reached" not in names and "peak" in names
    assert looked_at(hc.Target("y", observed=[1, 2, 3]), np.ones((5, 3)))[0] == ["day 0", "day 1", "day 2"]
    assert looked_at(hc.Target("y", observed=5), np.ones((5, 1)))[0] == [""]
    assert looked_at(hc.Target("y", observed=np.ones((1, 2))), np.ones((5, 1, 2)))[0] == ["(0, 0)", "(0, 1)"]


def test_distance_of_a_run_leaves_that_run_out():
    target = hc.Target("y", observed=np.zeros(4), loss="rss")
    runs = np.random.default_rng(2).normal(size=(60, 4)) @ np.diag([1.0, 2.0, 3.0, 4.0])
    names, _, observed, simulated = looked_at(target, runs)
    column = names.index(TOGETHER)
    rest = runs[1:]
    apart = runs[0] - rest.mean(axis=0)
    alone = np.sqrt(apart @ np.linalg.solve(np.cov(rest.T), apart))
    assert simulated[0, column] == pytest.approx(alone, rel=1e-4)
    apart = runs.mean(axis=0)
    assert observed[column] == pytest.approx(
        np.sqrt(apart @ np.linalg.solve(np.cov(runs.T), apart)), rel=1e-4
    )


def test_p_of_counts_is_two_sided_and_ties_count_half():
    simulated = np.array([0, 0, 0, 0, 1, 1, 1, 2, 3])[:, None]
    assert two_sided(np.array([0.0]), simulated)[0] == pytest.approx(2 * (2 + 0.5) / 10)
    assert two_sided(np.array([9.0]), simulated)[0] == pytest.approx(2 * 0.5 / 10)
    assert two_sided(np.array([1.0]), simulated)[0] == pytest.approx(2 * (3.5 + 0.5) / 10)


def test_a_right_prediction_alarms_as_often_as_stated():
    """200 data sets; at 5 % a count outside these bounds has probability 1e-3 for either of two counts."""
    simulated, data = poisson(999, 1), poisson(200, 2)
    alarms = left = 0
    for observed in data:
        target = hc.Target("cases", observed=observed)
        _, _, values, runs = looked_at(target, simulated)
        alarms += adjusted(deviations(values[None], runs)[0], runs).min() <= 0.05
        left += bool((deviations(observed[None], simulated) > critical(simulated, 0.05)).any())
    low, high = stats.binom.ppf([2.5e-4, 1 - 2.5e-4], 200, 0.05)
    assert low <= alarms <= high and low <= left <= high


def test_p_under_the_prior_is_uniform_where_data_come_from_it():
    rng = np.random.default_rng(4)
    rates = rng.uniform(1, 20, 1_650)
    series = rng.poisson(rates[:, None], (1_650, 5)).astype(float)
    p = []
    for i in range(80):
        target = hc.Target("cases", observed=series[i])
        result = stand_in([target], {"cases": series[:10]}, {"cases": series[150:]})
        p.append(predictive_checks(result).table.set_index("name").loc["total", "prior_p"])
    # False-alarm rate 1e-3.
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_table_and_bands_name_the_day_that_is_out_and_what_is_held_out():
    observed = np.round(MEAN)
    observed[8] = 60
    targets = [
        hc.Target("cases", observed=observed),
        hc.Target("dead", observed=400, weight=0),
    ]
    fresh = {"cases": poisson(400, 5), "dead": np.random.default_rng(6).poisson(4, 400).astype(float)}
    checks = predictive_checks(stand_in(targets, fresh))
    table = checks.table.set_index(["target", "name"])
    assert table.loc[("cases", "day 8"), "adjusted"] < 0.01 < table.loc[("cases", "day 3"), "adjusted"]
    assert table.loc[("dead", ""), "kind"] == "held out" and table.loc[("dead", ""), "adjusted"] < 0.01
    assert table["prior_p"].isna().all() and np.isnan(checks.outside)
    bands = checks.bands["cases"]
    widths = [bands[f"high_{which}"] - bands[f"low_{which}"] for which in ("50", "90", "all")]
    assert (widths[0] < widths[1]).all() and (widths[1] < widths[2]).all() and (bands["low_all"] >= 0).all()
    out = bands["name"][(bands["observed"] > bands["high_all"]) | (bands["observed"] < bands["low_all"])]
    assert list(out) == ["day 8"]


def test_observation_and_alive_rule_are_those_of_the_method():
    target = hc.Target("cases", observed=np.round(MEAN))
    fresh = {"cases": np.vstack([np.tile(MEAN, (300, 1)), np.zeros((100, DAYS))])}
    method = {"observation": {"cases": PoissonObservation()}, "alive": lambda d: d["cases"].sum(axis=1) > 50}
    checks = predictive_checks(stand_in([target], fresh, **method))
    assert checks.n == 300 and checks.fresh.dead == 100
    spread = checks.fresh.seen["cases"][:, 5].std()
    assert spread == pytest.approx(np.sqrt(MEAN[5]), rel=0.2)
    assert not checks.fresh.expected["cases"][:, 5].std()


def test_runs_with_something_not_finite_are_left_out_and_few_runs_are_called_rough():
    fresh = {"cases": poisson(30, 1)}
    fresh["cases"][:5, 3] = np.nan
    target = hc.Target("cases", observed=np.full(DAYS, 5.0))
    checks = predictive_checks(stand_in([target], fresh))
    assert checks.n == 25 and checks.rough


def test_constant_runs_are_right_or_infinitely_wrong():
    simulated = np.tile([3.0, 0.1], (50, 1))
    assert deviations(np.array([[3.0, 0.1 + 1e-12]]), simulated).tolist() == [[0.0, 0.0]]
    assert np.isinf(deviations(np.array([[4.0, 0.2]]), simulated)).all()
    assert scales(simulated, np.array([True, False]))[1].tolist() == [0.0, 0.0]


def test_scatter_of_single_data_is_not_that_of_all_together():
    rng = np.random.default_rng(1)
    z = 5 * rng.standard_normal((2_000, 1)) + 0.3 * rng.standard_normal((2_000, 40))
    # The mean of two neighbours, shrunk hardly at all, adds half a variance: 0.3 * sqrt(1.5).
    assert own_scatter(hc.Target("y", observed=np.zeros(40), loss="rss"), z) == pytest.approx(0.367, rel=0.03)


def test_data_smoother_than_the_model_are_carried_by_no_discrepancy():
    target = hc.Target("y", observed=np.zeros(20), loss="rss")
    runs = np.random.default_rng(1).normal(size=(500, 20))
    result = stand_in([target], {"y": runs})
    assert np.isinf(needed(result, target, runs, ["ups and downs from day to day"], 0.04, np.empty((500, 0))))


def test_distance_from_all_prior_runs_alarms_as_often_as_stated():
    """A two-parameter model; at 5 % the bound on 200 data sets has a false-alarm rate of 1e-3."""
    rng = np.random.default_rng(7)
    theta = np.repeat(rng.random((60, 2)), 5, axis=0)
    x = np.arange(6.0)

    def series(rows):
        return 5 * rows[:, :1] + rows[:, 1:] * x + 0.5 * rng.standard_normal((len(rows), 6))

    first = Seen(theta, {}, {"y": series(theta)}, 0)
    data = series(rng.random((200, 2)))
    p = [far_from_all((hc.Target("y", observed=d, loss="rss"),), first) for d in data]
    assert np.sum(np.array(p) <= 0.05) <= stats.binom.ppf(1 - 1e-3, 200, 0.05)
    assert far_from_all((hc.Target("y", observed=data[0] + 3 * (-1) ** x, loss="rss"),), first) < 0.01
