"""benchmarks/reproduce_measles.py in small: its bound, its counts of runs, its tables, and that it goes on."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, ndtr
from scipy.stats import binom

from hetcal.studies.three_cluster_variants import published

pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))

import resumable  # noqa: E402
from measles_comparison import bound, calibrations, setting, tables  # noqa: E402


@pytest.fixture(scope="module")
def runs():
    return bound.simulate(0, 0, 120)


# The bound


def test_the_bound_of_known_laws_is_that_of_their_formula():
    """False alarm below 1e-4: with 200,000 runs the bound's own error is .4 %, and 2 % are allowed."""
    rng, n = np.random.default_rng(1), 200_000
    logit, at_attack, at_peak = (
        np.array([6.0, 2.7, -4.0]),
        np.array([0.085, 0, 0]),
        np.array([-61, -8.3, 0.6]),
    )
    steps = np.zeros((7, 3))
    for j, step in enumerate(bound.STEPS):
        steps[1 + 2 * j, j], steps[2 + 2 * j, j] = step, -step
    u, z = rng.random(n), rng.standard_normal((2, n))
    p = expit(np.log(3 / 7) + steps @ logit)
    numbers = np.stack(
        [u < p[:, None], (steps @ at_attack)[:, None] + 2e-4 * z[0], (steps @ at_peak)[:, None] + 2 * z[1]],
        axis=2,
    )
    slopes = np.array([0.21 * logit, at_attack, at_peak])
    information = slopes.T @ np.diag(20 / np.array([0.21, 4e-8, 4.0])) @ slopes
    best = np.linalg.inv(information)
    found = bound.bound(numbers.astype(float))
    assert np.allclose(found.se, np.sqrt(np.diag(best)), rtol=0.02)
    assert found.correlation == pytest.approx(best[1, 2] / np.sqrt(best[1, 1] * best[2, 2]), abs=0.02)


def test_noise_in_the_slopes_is_not_taken_for_information():
    """400 numbers that depend on nothing would seem to bring twice the information of the three that do."""
    rng, n, step = np.random.default_rng(2), 2000, 0.22
    numbers = rng.standard_normal((7, n, 3))
    for j in range(3):
        numbers[1 + 2 * j, :, j] += step
        numbers[2 + 2 * j, :, j] -= step
    # The first is whether something happens: as much moved in its own standard deviations.
    moved = np.array([0, step, -step, 0, 0, 0, 0])
    numbers[:, :, 0] = rng.random((7, n)) < 0.5 + 0.5 * moved[:, None]
    nothing = rng.standard_normal((7, n, 400))
    plain, more = bound.bound(numbers), bound.bound(numbers, nothing)
    seeming = (more.slopes[4:] ** 2).sum(axis=0) * bound.STEPS**2 / step**2
    assert np.all(seeming > 1.5)
    # Of a relative error of .07 each.
    assert np.all(np.abs(np.log(more.se / plain.se)) < 0.28)


def test_the_bound_of_the_chain_has_the_signs_and_the_size_that_are_specified(runs):
    """Of 120 seeds; the bounds of .0005, .060 and .129 have relative errors of .06, .08 and .16 then."""
    found = bound.bound(runs["numbers"])
    assert np.all(np.abs(np.log(found.se / [0.0005, 0.060, 0.129])) < [0.3, 0.35, 0.6])
    assert found.correlation > 0
    share, attack, peak = found.slopes[:3]
    assert share[0] > 0 and share[1] > 0 and share[2] < 0
    assert attack[0] == pytest.approx(0.085, rel=0.05) and np.all(np.abs(attack[1:]) < 1e-3)
    assert peak[0] == pytest.approx(-61, rel=0.1) and peak[1] == pytest.approx(-8.3, rel=0.2)
    kept = bound.reached(runs["arrivals"])
    assert 10 < len(kept) < 43
    assert bound.bound(runs["numbers"], runs["arrivals"][:, :, kept]).se[2] < 0.85 * found.se[2]


def test_the_published_loss_cannot_tell_its_winners_from_the_truth(runs):
    table = tables.losses_at_truth(runs["numbers"][0], np.random.default_rng(1)).set_index("M")
    # Where its median is 2.7, in 3,000 runs.
    assert published().set_index("variant").loc["F", "loss"] < table.loc[20, "median"] < 5
    assert table["95 %"].is_monotonic_decreasing
    # More seeds do not bring it to 0.
    assert table.loc[200, "5 %"] > table.loc[20, "5 %"]


# Calibrations


def test_tpe_counts_the_runs_of_all_stages_and_its_best_trial_only_improves(monkeypatch):
    monkeypatch.setitem(setting.TPE, "TPE cumulative", ((4, 5), (6, 4), (8, 2)))
    rows = calibrations.tpe_rows("TPE cumulative", 1, 0, budgets=(3, 20, 30, 44, 60))
    assert rows["budget"].unique().tolist() == [20, 30, 44, 60]  # no trial within 3 runs
    assert rows["runs"].unique().tolist() == [20, 26, 44, 60]
    for _, of in rows.groupby("by"):
        assert of["loss"].is_monotonic_decreasing
    inside = np.abs(rows["error c"]) < 2.5
    assert inside.all() and set(rows["by"]) == {"value", "loss"}


def test_ours_stands_where_its_round_within_the_budget_stood(needs_r):
    rows = calibrations.our_rows(
        setting.OURS, 0, 0, rounds=1, budgets=(50, 120, 170, 300), initial=60, replicates=2, batch=60
    )
    assert rows["budget"].tolist() == [120, 170, 300] and rows["runs"].tolist() == [120, 120, 180]
    same = [c for c in rows if c not in ("budget", "way")]
    pd.testing.assert_series_equal(rows.loc[0, same], rows.loc[1, same], check_names=False)
    for name in setting.NAMES:
        quantiles = rows[[f"q{q} {name}" for q in (5, 25, 50, 75, 95)]].to_numpy()
        assert np.all(np.diff(quantiles, axis=1) > 0)
        at = setting.true_coordinates(0)[setting.NAMES.index(name)]
        assert np.allclose(rows[f"q50 {name}"] - at, rows[f"error {name}"])
    # The prior's standard deviation of log beta is .6.
    assert rows["error log beta"].abs().max() < 0.2


def test_amortised_intervals_are_of_each_reference_by_emulators_of_one(needs_r):
    rows = calibrations.coverage_rows(False, 1, n=3, rounds=0, initial=60, replicates=2)
    assert rows["reference"].tolist() == [0, 1, 2] and (rows["runs"] == 120).all()
    below = rows[[f"below {name}" for name in setting.NAMES]].to_numpy()
    assert np.all((below >= 0) & (below <= 1)) and len(np.unique(rows["error log k"])) == 3


def test_references_and_calibrations_share_no_seed():
    seeds = [setting.number(t, r) for t in range(len(setting.TRUTHS)) for r in range(setting.REFERENCES)]
    seeds += [setting.number(0, 1000 + i) for i in range(setting.AMORTISED)]
    assert len(set(seeds)) == len(seeds) and max(seeds) < calibrations.CALIBRATION
    first, second = setting.data(0, 0), setting.data(0, 1)
    assert not set(first.seeds) & set(second.seeds)


def test_budgets_hold_every_way():
    for stages in setting.TPE.values():
        assert sum(seeds * trials for seeds, trials in stages) == setting.BUDGETS[-1]


# Tables


@pytest.mark.parametrize("n", [10, 40, 41])
def test_limits_of_a_median_are_missed_as_often_as_they_may_be(n):
    low, high = tables.limits(np.arange(n))
    assert low == n - 1 - high
    assert binom.cdf(low, n, 0.5) <= 0.05 < binom.cdf(low + 1, n, 0.5)


def errors(way, size, n=40, seed=0):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {"way": way, "truth": np.arange(n) % 5, "reference": np.arange(n) // 5, "budget": 300}
    )
    return rows.assign(runs=300, **{f"error {name}": size * rng.standard_normal(n) for name in setting.NAMES})


def test_errors_of_the_bounds_size_have_ratio_one_and_better_ones_are_found_better():
    bounds = pd.DataFrame(
        {"truth": range(5), "what": "six statistics"} | {f"SE {name}": 1.0 for name in setting.NAMES}
    )
    ways = [errors("ours", 1.0), errors("TPE far", 6.0, seed=1), errors("TPE as near", 1.0, seed=2)]
    rows = tables.scaled(pd.concat(ways), bounds)
    table = tables.efficiency(rows).set_index(["way", "parameter"])
    assert ((table["low90"] < table["median"]) & (table["median"] < table["high90"])).all()
    # The median of 40 has standard error .18; false alarm below .001 each.
    assert np.all(np.abs(table.loc["ours", "median"] - 1) < 0.6)
    pairs = tables.paired(rows).set_index("against")
    assert (pairs.loc["TPE far", "p Holm"] < 0.001).all() and (pairs.loc["TPE far", "ratio"] < 0.5).all()
    assert (pairs.loc["TPE as near", "p Holm"] > 0.05).all()


def stated(size, n, sd=1.0, seed=0):
    """Errors of ours at 1,200 runs, with what it said of them."""
    rows = errors("ours", size, n, seed).assign(budget=1200, runs=1200)
    for name in setting.NAMES:
        for q, z in ((5, -1.64), (25, -0.67), (50, 0), (75, 0.67), (95, 1.64)):
            rows[f"q{q} {name}"] = rows[f"error {name}"] + z * sd
        rows[f"sd {name}"] = sd
    return rows


def test_what_is_said_of_the_goal_follows_from_the_rows(capsys):
    bounds = pd.DataFrame(
        {"truth": range(5), "what": "six statistics"} | {f"SE {name}": 1.0 for name in setting.NAMES}
    )
    theirs = errors("TPE far", 9.0, seed=1).assign(budget=1200)
    tables.show_errors(pd.concat([stated(0.8, 40), theirs]), bounds)
    said = capsys.readouterr().out
    assert said.count("goal met:") == 4 and "collapsed" not in said and "true c" in said
    tables.show_errors(stated(2.0, 40), bounds)
    assert capsys.readouterr().out.count("goal MISSED:") == 3
    tables.show_errors(pd.concat([stated(0.8, 7), stated(0.8, 3, sd=1e-9)]), bounds)
    said = capsys.readouterr().out
    assert "3 of 10 posteriors at 1200 runs have collapsed" in said and "goal met:" not in said
    assert said.count("not decided before all 40 references are there") == 3


def test_coverage_tells_right_intervals_from_narrow_ones():
    rng, n = np.random.default_rng(3), 200
    rows = pd.DataFrame({"what": "six statistics", "learned": 0, "runs": 1200}, index=range(n))
    for name, sd in zip(setting.NAMES, (1.0, 1.0, 0.5), strict=True):
        error = rng.standard_normal(n)
        rows = rows.assign(**{f"error {name}": error, f"sd {name}": sd, f"below {name}": ndtr(-error / sd)})
    table = tables.coverage(rows).set_index("parameter")
    assert table["inside"].tolist() == [True, True, False]
    assert table.loc["c", "in90"] < 0.7 and table.loc["c", "sd z"] > 1.7


# Going on


def test_what_is_there_is_not_computed_again(tmp_path, capsys):
    compute = partial(bound.bound_rows, folder=tmp_path, batch=40, most=40)
    part = resumable.Part("bound", ("truth",), [(0,), (1,)], compute)
    resumable.compute(tmp_path, part, resumable.todo(tmp_path, part)[:1], 1)
    assert resumable.todo(tmp_path, part) == [(1,)]
    before = (tmp_path / "bound_0.npz").stat().st_mtime_ns
    resumable.compute(tmp_path, part, resumable.todo(tmp_path, part), 1)
    rows = resumable.read(tmp_path, part)
    assert rows["truth"].tolist() == [0, 0, 1, 1] and (rows["seeds"] == 40).all()
    assert not resumable.todo(tmp_path, part)
    assert (tmp_path / "bound_0.npz").stat().st_mtime_ns == before
    assert "bound (1,)" in capsys.readouterr().out


def test_a_unit_that_fails_is_said_and_left_for_the_next_time(tmp_path, capsys):
    part = resumable.Part(
        "tpe", ("way",), [("no such way",)], partial(calibrations.tpe_rows, truth=0, reference=0)
    )
    resumable.compute(tmp_path, part, part.units, 1)
    assert "KeyError" in capsys.readouterr().out
    assert resumable.todo(tmp_path, part) == [("no such way",)]


def test_make_bench_leaves_it_out():
    said = {
        target: subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for target in ("bench", "reproduce-measles")
    }
    assert "reproduce_measles" not in said["bench"] and "benchmarks/measles.py" in said["bench"]
    assert "benchmarks/reproduce_measles.py" in said["reproduce-measles"]
