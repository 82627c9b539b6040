"""benchmarks/reproduce_emulators.py in small: what is known of its test function, its ways, its tables."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hetcal as hc
from hetcal.simulators import run_many, run_one

pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))

import reproduce_emulators  # noqa: E402
import resumable  # noqa: E402
from emulator_comparison import tables, ways  # noqa: E402
from emulator_comparison.testbed import KnownLosses  # noqa: E402

TINY = ways.Size(3, 2, 2, 12, 3, 4, 1, 3, 8, 20, 200)

# The test function


@pytest.fixture(scope="module")
def bed():
    return KnownLosses(6, 4, truth=1)


def test_means_and_covariances_of_losses_are_those_of_runs(bed):
    """20,000 runs at two places: no mean and no (co)variance more than 5 standard errors off. False alarm 2e-5."""
    n, problem = 20_000, bed.problem()
    for u in np.vstack([bed.minimum[0], np.random.default_rng(0).random(6)]):
        losses = problem.evaluate(bed.batch(np.tile(u, (n, 1)), np.arange(n)))
        apart = losses[[t.name for t in problem.targets]].to_numpy() - bed.means(u[None])[0]
        products = np.einsum("ni,nj->nij", apart, apart)
        assert np.all(np.abs(apart.mean(axis=0)) < 5 * apart.std(axis=0) / np.sqrt(n))
        off = products.mean(axis=0) - bed.noise_covariance(u[None])[0]
        assert np.all(np.abs(off) < 5 * products.std(axis=0) / np.sqrt(n))
        assert losses["total"].mean() == pytest.approx(bed.total(u[None])[0], rel=0.02)
        assert losses["total"].var() == pytest.approx(bed.total_noise(u[None])[0], rel=0.1)


def test_a_batch_is_its_runs_one_by_one(bed):
    theta = np.random.default_rng(1).random((5, 6))
    many = run_many(bed, theta, np.arange(5))
    one = [run_one(bed, row, seed) for seed, row in enumerate(theta)]
    assert all(np.array_equal(a.outputs, b.outputs) for a, b in zip(many, one, strict=True))


def test_indices_are_those_of_a_sample_of_the_means(bed):
    """Jansen's estimator from 2 x 16,384 points, whose standard error is below .01."""

    def means(u):
        return np.column_stack([bed.means(u), bed.total(u)])

    table = hc.sobol(means, bed.problem().space, seed=1, bootstrap=100, dummy=False).table
    assert np.allclose(table["total"].to_numpy().reshape(5, 6), bed.total_indices, atol=0.03)


def test_nothing_is_below_the_minimum(bed):
    x, lowest = bed.minimum
    near = np.clip(x + np.random.default_rng(2).normal(0, 0.01, (2000, 6)), 0, 1)
    anywhere = np.random.default_rng(3).random((200_000, 6))
    assert bed.total(x[None])[0] == pytest.approx(lowest)
    assert bed.total(near).min() >= lowest and bed.total(anywhere).min() > lowest


@pytest.mark.parametrize(("d", "k"), [(3, 1), (5, 3), (23, 11), (25, 2)])
def test_it_looks_like_a_calibration(d, k):
    """Positive losses over more than an order of magnitude, few parameters each, some idle, noise that varies."""
    bed = KnownLosses(d, k, truth=7)
    u = np.random.default_rng(0).random((2000, d))
    losses, indices = bed.means(u), bed.total_indices
    assert losses.min() > 0 and np.all(losses.max(axis=0) > 15 * losses.min(axis=0))
    assert np.all((indices[:-1] > 0).sum(axis=1) <= 3) and (indices[-1] == 0).sum() >= (d > 3) + 5 * (d == 23)
    relative = np.sqrt(bed.total_noise(u)) / bed.total(u)
    assert relative.max() > 3 * relative.min()
    if k > 1:
        noise = bed.noise_covariance(bed.minimum[0][None])[0]
        assert 0.2 < noise[0, 1] / np.sqrt(noise[0, 0] * noise[1, 1]) < 0.5


def test_functions_of_other_truths_differ_and_sizes_out_of_range_are_refused():
    assert KnownLosses(5, 3, 0).minimum[1] != KnownLosses(5, 3, 1).minimum[1]
    assert KnownLosses(5, 3, 0).minimum[1] == KnownLosses(5, 3, 0).minimum[1]
    with pytest.raises(ValueError, match="3 to 25 parameters.*not 26 parameters and 3 losses"):
        KnownLosses(26, 3, 0)


# Ways


@pytest.fixture(scope="module")
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ways.SIZES, "tiny", TINY)
        yield "tiny"


def test_every_way_spends_the_same_and_is_compared_with_the_truth(needs_r, tiny):
    chosen = [way for way in ways.ways() if way != ways.STACK]
    rows = pd.concat([ways.run_rows(way, tiny, 0) for way in chosen])
    assert rows["way"].tolist() == chosen and rows["lowest"].nunique() == 1
    # Trials cannot split the replicates of one.
    assert np.all((TINY.runs - TINY.trial_replicates < rows["runs"]) & (rows["runs"] <= TINY.runs))
    assert np.all(rows["true"] >= rows["lowest"])
    claims = ~rows["way"].isin(["random search", "TPE"])
    off = (rows["claimed"] - rows["true"])[claims] / rows["claimed_se"][claims]
    assert off.abs().max() < 5
    assert rows["believed"].notna().sum() == 3
    assert np.all((rows["hits"] <= rows["said"]) & (rows["hits"] <= rows["important"]))


def test_a_correlation_ratio_is_the_share_that_a_parameter_explains():
    """Of y = x1 + noise of variance 1/4 of its own: .8, and 0 of a parameter that does nothing, within 4 SE of .02."""
    rng = np.random.default_rng(0)
    theta = rng.random((2000, 2))
    y = theta[:, 0] + rng.normal(0, np.sqrt(1 / 48), 2000)
    assert np.allclose(ways.correlation_ratios(theta, y), [0.8, 0.0], atol=0.05)


def test_truths_of_the_tables_are_not_those_that_settings_were_fixed_on():
    assert max(of.repeats for of in ways.SIZES.values()) < ways.TRIED


# Tables


def made(way, ratio, off=0.0, n=40, seed=0, score=1.0, size="5 x 3"):
    rng = np.random.default_rng(seed)
    true = 10 * ratio * np.exp(0.02 * rng.standard_normal(n))
    rows = pd.DataFrame({"way": way, "size": size, "repeat": range(n), "lowest": 10.0, "true": true})
    claimed = true * (1 + off + 0.03 * rng.standard_normal(n))
    rows = rows.assign(claimed=claimed, claimed_se=0.03 * true, believed=np.nan, believed_sd=np.nan)
    return rows.assign(runs=367, important=10, said=10, hits=round(10 * score), F1=score, cpu=1.0)


def test_a_way_that_is_better_is_found_so(capsys):
    rows = pd.concat([made(ways.OURS, 1.05), made("far", 1.3, seed=1), made("as good", 1.05, seed=2)])
    pairs = tables.paired(tables.scored(rows)).set_index(["row", "against"])["p Holm"]
    assert pairs["log F over lowest F", "far"] < 1e-6 and pairs["log F over lowest F", "as good"] > 0.05
    tables.show_comparison(rows)
    said = capsys.readouterr().out
    assert said.count("goal met") == 4 and "MISSED" not in said


def test_what_is_worse_or_claims_too_much_is_said(capsys):
    rows = pd.concat([made(ways.OURS, 1.3, off=0.05, score=0.5), made("better", 1.1, seed=1)])
    tables.show_comparison(rows)
    said = capsys.readouterr().out
    assert "MISSED: 5 x 3, log F over lowest F" in said and "the best is better" in said
    assert "MISSED: 5 x 3, important" in said and "MISSED: 5 x 3, claim of ours less the truth: +5" in said
    table = tables.claims(rows).set_index("way")
    assert table.loc["better", "in 90 %"] > 0.75 and table.loc[ways.OURS, "mean z"] > 1


def test_goals_are_not_decided_before_all_repeats_are_there(capsys):
    tables.show_comparison(pd.concat([made(ways.OURS, 1.05, n=7), made("far", 1.3, n=7, seed=1)]))
    assert capsys.readouterr().out.count("not decided before 40 repeats") == 4


# Going on


def test_what_is_there_is_not_computed_again(tiny, tmp_path, capsys):
    part = reproduce_emulators.parts(2)[tiny]
    assert len(part.units) == 2 * len(ways.ways()) and part.file == "tiny"
    part = replace(part, units=[("random search", tiny, 0), ("no such way", tiny, 0)], compute=in_small)
    resumable.compute(tmp_path, part, part.units, 1)
    assert resumable.todo(tmp_path, part) == [("no such way", tiny, 0)]
    assert "KeyError" in capsys.readouterr().out
    rows = resumable.read(tmp_path, part)
    assert rows["runs"].tolist() == [92] and (rows["cpu"] > 0).all()


def in_small(way, size, repeat):
    """A process of its own knows nothing of the tiny size."""
    ways.SIZES[size] = TINY
    return ways.run_rows(way, size, repeat)


def test_make_knows_it_and_bench_leaves_it_out():
    said = {
        target: subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for target in ("bench", "reproduce-emulators")
    }
    assert "reproduce_emulators" not in said["bench"] and "resumable" not in said["bench"]
    assert "benchmarks/reproduce_emulators.py" in said["reproduce-emulators"]
