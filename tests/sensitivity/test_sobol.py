"""Sobol' indices: closed forms, coverage of the intervals, the dummy, the peers, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from closed_forms import ishigami, linear_normals, sobol_g
from scipy import stats

from hetcal import rbridge
from hetcal.parameters import Parameter, Space, log_uniform, uniform
from hetcal.sensitivity import jansen, sobol

CASES = [ishigami, sobol_g, linear_normals]
SQUARE = Space([Parameter("a", uniform(0, 1)), Parameter("b", uniform(0, 1))])


@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_the_closed_forms(case):
    """Of 400 repeats, 95 % intervals may cover between 93 and 97 %.

    Each count is held to its 1e-5 tails at those ends, so all 23 counts of the three cases together give a
    false alarm with a chance below 5e-4; a coverage of 85 % would be found with a chance of 85 %.
    """
    repeats = 400
    function, space, first, total = case()
    covered = np.zeros((2, space.dimension))
    inside = 0
    for seed in range(repeats):
        result = sobol(function, space, n=1000, seed=seed, bootstrap=199)
        table = result.table
        covered[0] += (table["first_low"] <= first) & (first <= table["first_high"])
        covered[1] += (table["total_low"] <= total) & (total <= table["total_high"])
        inside += abs(result.dummy["first"][0]) <= result.dummy["line"][0]
    least, most = stats.binom.ppf(1e-5, repeats, 0.93), stats.binom.isf(1e-5, repeats, 0.97)
    assert np.all((covered >= least) & (covered <= most)), covered / repeats
    assert least <= inside <= most, inside / repeats


@pytest.mark.parametrize("case", CASES)
def test_estimates_meet_the_closed_forms(case):
    # n = 100,000: standard errors are below .007 (first) and .005 (total), so a miss of five of them has a
    # chance below 1e-6 each.
    function, space, first, total = case()
    table = sobol(function, space, n=100_000, seed=1, bootstrap=39).table
    np.testing.assert_allclose(table["first"], first, atol=0.04)
    np.testing.assert_allclose(table["total"], total, atol=0.025)


def test_indices_are_the_formulas_and_the_interval_is_the_basic_bootstrap():
    rng = np.random.default_rng(3)
    n, d = 60, 2
    f_a, f_b, f_ab = rng.normal(1e6, 1, n), rng.normal(1e6, 1, n), rng.normal(1e6, 1, (n, d))
    indices = jansen(f_a, f_b, f_ab, bootstrap=20_000, seed=1)

    def estimates(rows):
        scale = (2 * n - 1) * np.var(f_a[rows], ddof=1)
        first = 1 - ((f_b[rows, None] - f_ab[rows]) ** 2).sum(axis=0) / scale
        return np.concatenate([first, ((f_a[rows, None] - f_ab[rows]) ** 2).sum(axis=0) / scale])

    point = estimates(np.arange(n))
    np.testing.assert_allclose(np.concatenate([indices.first, indices.total]), point, rtol=1e-9)
    resampled = np.array([estimates(rng.integers(0, n, n)) for _ in range(20_000)])
    low, high = 2 * point - np.quantile(resampled, [0.975, 0.025], axis=0)
    # Quantiles of 20,000 resamples each: their standard error is below 2 % of the interval's width.
    slack = 0.1 * (high - low)
    assert np.all(np.abs(np.concatenate([indices.first_low, indices.total_low]) - low) < slack)
    assert np.all(np.abs(np.concatenate([indices.first_high, indices.total_high]) - high) < slack)


def test_equals_r_on_the_same_sample():
    rng = np.random.default_rng(5)
    f_a, f_b, f_ab = rng.gamma(2, size=500), rng.gamma(2, size=500), rng.gamma(2, size=(500, 4))
    ours = jansen(f_a, f_b, f_ab, bootstrap=39)
    theirs = rbridge.call("jansen", f_x1=f_a, f_x2=f_b, f_x12=f_ab)
    np.testing.assert_allclose(theirs["first"], ours.first, rtol=0, atol=1e-10)
    np.testing.assert_allclose(theirs["total"], ours.total, rtol=0, atol=1e-10)


def test_agrees_with_salib():
    """SALib's total is ours after rescaling its divisor; its first order is another estimator of the same."""
    from SALib.analyze import sobol as salib_analyze
    from SALib.sample import sobol as salib_sample

    function, space, first, _ = ishigami()
    problem = {"num_vars": 3, "names": list(space.names), "bounds": [[-np.pi, np.pi]] * 3}
    points = salib_sample.sample(problem, 1024, calc_second_order=False, seed=1)
    output = function(points)
    theirs = salib_analyze.analyze(problem, output, calc_second_order=False, num_resamples=10, seed=1)
    f_a, f_ab, f_b = output[::5], np.column_stack([output[i::5] for i in (1, 2, 3)]), output[4::5]
    ours = jansen(f_a, f_b, f_ab)
    n = len(f_a)
    divisor = np.var(np.concatenate([f_a, f_b])) * 2 * n / ((2 * n - 1) * np.var(f_a, ddof=1))
    np.testing.assert_allclose(ours.total, theirs["ST"] * divisor, rtol=1e-10)
    assert np.all(np.abs(ours.first - theirs["S1"]) < ours.first_high - ours.first_low)
    assert not np.allclose(ours.first, theirs["S1"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(theirs["S1"], first, atol=0.05)


def test_several_outputs_equal_one_at_a_time():
    function, space, _, _ = sobol_g()

    def three(x):
        return np.column_stack([function(x), x[:, 0], 5e3 + x[:, 1] * x[:, 2]])

    together = sobol(three, space, n=800, seed=0, bootstrap=99)
    assert list(together.table.columns[:2]) == ["output", "parameter"]
    for output in range(3):
        alone = sobol(lambda x: three(x)[:, output], space, n=800, seed=0, bootstrap=99)
        rows = together.table[together.table["output"] == output].drop(columns="output")
        np.testing.assert_allclose(rows.iloc[:, 1:], alone.table.iloc[:, 1:], rtol=1e-9, atol=1e-12)
        line = together.dummy["line"][output]
        np.testing.assert_allclose(line, alone.dummy["line"][0], rtol=1e-9)


def test_a_parameter_that_does_nothing_is_the_dummy():
    result = sobol(lambda x: np.exp(x[:, 0]), SQUARE, n=500, seed=4, bootstrap=99)
    inert = result.table.iloc[1]
    for column in ("first", "first_low", "first_high", "total", "total_low", "total_high"):
        assert inert[column] == result.dummy[column][0]
    assert inert["total"] == 0
    assert "a" in set(result.table["parameter"]) and "dummy" not in set(result.table["parameter"])
    without = sobol(lambda x: np.exp(x[:, 0]), SQUARE, n=500, seed=4, bootstrap=99, dummy=False)
    assert without.dummy is None
    np.testing.assert_allclose(without.table.iloc[:, 1:], result.table.iloc[:, 1:], rtol=1e-9, atol=1e-12)


def test_function_sees_the_priors_in_blocks_that_it_may_change():
    space = Space([Parameter("rate", log_uniform(1e-3, 1e3)), Parameter("shift", stats.norm(5, 2))])
    seen = []

    def function(x):
        seen.append(x.copy())
        x[:, 0] = np.log(x[:, 0])
        return x[:, 0] + x[:, 1]

    result = sobol(function, space, n=40_000, seed=0, bootstrap=39)
    assert max(map(len, seen)) < 40_000 and sum(map(len, seen)) == result.evaluations == 160_000
    # ln(rate) is uniform with variance (ln 1e6)^2 / 12 = 15.9, shift has 4; standard error below .01.
    share = np.log(1e6) ** 2 / 12 / (np.log(1e6) ** 2 / 12 + 4)
    np.testing.assert_allclose(result.table["first"], [share, 1 - share], atol=0.05)
    points = np.concatenate(seen)
    assert stats.kstest(points[:40_000, 1], "norm", args=(5, 2)).pvalue > 1e-6


class UnitSum:
    """Stands where an emulator does: the sum of the unit coordinates, cubed on the natural scale."""

    def predict(self, X, cov=False, scale="natural"):
        total = X.sum(axis=1)
        return SimpleNamespace(mean=total if scale == "latent" else total**3)


def test_emulators_are_asked_in_the_unit_cube_on_the_scale_that_is_printed():
    space = Space([Parameter("a", uniform(100, 300)), Parameter("b", log_uniform(1, 1e6))])
    latent = sobol(UnitSum(), space, n=500, seed=2, bootstrap=99, scale="latent")
    direct = sobol(lambda x: x.sum(axis=1), SQUARE, n=500, seed=2, bootstrap=99)
    np.testing.assert_allclose(latent.table.iloc[:, 1:], direct.table.iloc[:, 1:], rtol=1e-9, atol=1e-12)
    natural = sobol(UnitSum(), space, n=500, seed=2, bootstrap=99)
    assert abs(natural.table["total"] - latent.table["total"]).max() > 0.01
    assert "latent scale" in repr(latent) and "natural scale" in repr(natural)
    assert "sampling error only" in repr(latent)


def test_the_seed_decides_everything():
    function, space, _, _ = sobol_g()
    one = sobol(function, space, n=300, seed=0, bootstrap=99).table
    assert one.equals(sobol(function, space, n=300, seed=0, bootstrap=99).table)
    assert not one["first"].equals(sobol(function, space, n=300, seed=1, bootstrap=99).table["first"])


@pytest.mark.parametrize(
    ("function", "settings", "sentence"),
    [
        (lambda x: np.full(len(x), 3.5), {}, r"the output is constant \(3.5\)"),
        (lambda x: np.column_stack([x[:, 0], 0 * x[:, 0]]), {}, r"output 1 is constant \(0\)"),
        (lambda x: np.where(x[:, 0] < 0.5, np.nan, 1), {}, r"not finite for \d+ of 500 points, first at \("),
        (lambda x: x, {"n": 1}, "n must be a whole number of at least 2, not 1"),
        (lambda x: x[:-1, 0], {}, r"must return \(500,\) or \(500, outputs\), not shape \(499,\)"),
        (lambda x: 1.0, {}, r"not shape \(\)"),
        (lambda x: x[:, 0], {"bootstrap": 38}, "bootstrap must be a whole number of at least 39, not 38"),
        (lambda x: x[:, 0], {"level": 95}, "level must lie between 0 and 1, not 95"),
        (lambda x: x[:, 0], {"seed": -1}, "a seed is a whole number of at least 0, not -1"),
        (lambda x: x[:, 0], {"scale": "log"}, "unknown scale 'log': choose one of natural, latent"),
        (lambda x: x[:, 0], {"scale": "latent"}, "belongs to emulators"),
        (lambda x: (x[:, 0] == x[:, 0].min()) + 0.0, {}, "some resamples are constant: raise n"),
    ],
)
def test_refusals_are_sentences(function, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        sobol(function, SQUARE, **{"n": 500, **settings})


def test_wrong_kinds_are_named():
    with pytest.raises(TypeError, match="space must be a hetcal.Space, not list"):
        sobol(lambda x: x[:, 0], [1, 2])
    with pytest.raises(TypeError, match="a function of an .N, 2. array .* not str"):
        sobol("in_bed", SQUARE)
    with pytest.raises(ValueError, match=r"f_a and f_b need one shape"):
        jansen(np.ones(3), np.ones(4), np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"the shape of f_a, \(3,\), with d after n, not \(2, 3\)"):
        jansen(np.arange(3), np.arange(3), np.ones((2, 3)))
    with pytest.raises(ValueError, match="f_b is not finite in 1 of 3 values"):
        jansen(np.arange(3.0), np.array([1, 2, np.inf]), np.ones((3, 2)))
