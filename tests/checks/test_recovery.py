"""The recovery test: it trusts a posterior that is right, finds one that is too narrow, and simulates nothing twice."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

import hetcal as hc
from hetcal.calibrate.likelihood import EmulatedLikelihood
from hetcal.checks import recovery
from hetcal.checks.coverage import power
from hetcal.checks.ecdf import uniformity_p
from hetcal.checks.known_truths import KnownTruths
from hetcal.checks.many_posteriors import many_posteriors
from hetcal.checks.recovery import recovery_test, without

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.FitWarning")

SD = 0.08


@hc.simulator(parameters=["a", "b"], outputs={"y": (6,)}, version="1")
def line(theta, seed):
    noise = np.random.default_rng(seed).normal(0, SD, 6)
    if theta["a"] > 0.97:
        raise ValueError("too steep a start")
    return {"y": theta["a"] + theta["b"] * np.arange(6) / 5 + noise}


SPACE = hc.Space([hc.Parameter(name, hc.uniform(0, 1)) for name in ("a", "b")])
OBSERVED = np.array([0.42, 0.50, 0.47, 0.71, 0.74, 0.83])
PROBLEM = hc.Problem(SPACE, line, [hc.Target("y", observed=OBSERVED, loss="gaussian", sd=SD)])
METHOD = hc.Posterior(PROBLEM, emulator=hc.HetGP(noise="homoskedastic"), rounds=0, predictive=0)


@pytest.fixture(scope="module")
def post(needs_r):
    ledger = hc.Ledger()
    hc.run_ensemble(PROBLEM, hc.designs.sobol(SPACE, 80, seed=3), replicates=6, ledger=ledger, seed=3)
    return METHOD.run(ledger, seed=1)


@pytest.fixture(scope="module")
def recovered(post):
    return recovery_test(post, n=200, seed=1)


def test_a_right_posterior_is_trusted(recovered):
    # False alarm of the test itself: at most 5 % over the whole table; the seed is fixed.
    assert recovered.trusted and recovered.power > 0.99
    assert recovered.says[0].startswith(
        "The 90 % intervals can be trusted, for this set of emulators: they hold the truth, with the runs that"
    )
    table = recovered.table
    assert (table["level"] + " " + table["parameter"]).tolist() == [
        f"{level} {name}" for level in ("free", "local", "prior") for name in ("a", "b")
    ]
    assert table["n"].between(75, 200).all() and table["n"].iloc[-1] > 185
    # What exact posteriors of six data reach: sd 0.05 and 0.1 of a prior sd of 0.29.
    assert table.loc[4, "rmse"] < 0.25 and table.loc[5, "rmse"] < 0.45


def test_failed_runs_are_told(recovered):
    failed = recovered.sets["prior"].failed
    assert 0 < failed < 20 and len(recovered.sets["prior"]) == 200 - failed
    assert f"Over the prior, {failed} runs failed and are left out." in recovered.says


class Overconfident(EmulatedLikelihood):
    """Half the covariance: 90 % intervals cover 75 %."""

    def log_likelihood(self, unit, observed):
        return 2 * super().log_likelihood(unit, observed)


def test_intervals_that_are_too_narrow_are_found(post):
    # Power .99 for each parameter over the prior, by the table's own statement.
    parts = {f.name: getattr(post.likelihood, f.name) for f in fields(post.likelihood)}
    narrow = Overconfident(**parts)
    test = recovery_test(replace(post, likelihood=narrow), n=200, seed=1)
    assert not test.trusted and test.power > 0.98
    told = re.fullmatch(
        "The intervals of (.) and (.) cannot be trusted, for this set of emulators.", test.says[0]
    )
    assert set(told.groups()) == {"a", "b"}
    prior = test.table[test.table["level"] == "prior"]
    assert prior["verdict"].eq("too narrow").all() and prior["cover90"].between(0.65, 0.85).all()
    assert any(s.startswith("Over the prior, the posterior of a is too narrow: the 90 %") for s in test.says)


def test_again_it_simulates_nothing_and_says_the_same(post, recovered):
    runs = len(post.ledger.runs(line))
    again = recovery_test(post, n=200, seed=1)
    assert again.table.equals(recovered.table) and len(post.ledger.runs(line)) == runs
    few = recovery_test(post, n=20, seed=1)
    # The first 20 truths over the prior are those of the 200, and their runs are there.
    assert len(post.ledger.runs(line)) == runs
    assert not few.trusted and few.says[0].startswith(
        "Cannot tell with 20 data sets: intervals that claim 90 %"
    )
    other = recovery_test(post, n=20, seed=0)
    assert not np.array_equal(other.sets["prior"].unit, few.sets["prior"].unit)
    # No posterior learns from runs that test one.
    METHOD.ask(post.ledger, seed=5)
    taken = post.ledger.asks(METHOD.study_name(5), line)
    assert set(taken["purpose"]) == {"given"} and taken["seeds"].map(len).sum() <= 480


def test_runs_that_are_not_spread_as_the_prior_do_not_serve_as_data(needs_r):
    ledger = hc.Ledger()
    design = hc.designs.sobol(SPACE, 60, seed=3).frame * [0.5, 1.0]
    hc.run_ensemble(PROBLEM, design, replicates=4, ledger=ledger, seed=3)
    test = recovery_test(METHOD.run(ledger, seed=1), n=8)
    assert set(test.table["level"]) == {"local", "prior"}
    assert any(s.startswith("The runs that are there are not spread as the prior is") for s in test.says)


def test_summaries_of_the_free_level_are_learned_without_their_location(post, recovered):
    free, own = recovery._first_runs(post, None, 200, 1)
    assert np.array_equal(free.unit, recovered.sets["free"].unit) and len(
        np.unique(free.unit, axis=0)
    ) == len(free)
    summaries = post.likelihood.summaries
    # The data are those that the posterior learned from, to the run: their features are in the support.
    apart = cdist(summaries.features(free.data), summaries.support)
    assert apart.min(axis=1).max() < 1e-9
    assert np.array_equal(own[0], summaries.left_out[apart.argmin(axis=1)])
    # Known to the regression, a run's summary is nearer to its truth than left out.
    truth = free.unit[:, [SPACE.names.index(name) for name in summaries.names]]
    assert ((summaries(free.data) - truth) ** 2).mean() < ((own[0] - truth) ** 2).mean()


def test_runs_that_a_posterior_placed_are_no_draws_from_the_prior(post):
    ledger = hc.Ledger()
    first = replace(METHOD, rounds=1, initial=40, replicates=4, batch=20).run(ledger, seed=1)
    design = first.prior_runs()
    assert len(np.unique(design["theta"], axis=0)) <= 40 < len(first.ledger.runs(line)) / 4
    METHOD.ask(ledger, seed=2)
    second = METHOD.run(ledger, seed=2)
    assert second.runs["given"] > len(design["theta"])
    given = second.prior_runs()
    assert sorted(map(tuple, given["theta"])) == sorted(map(tuple, design["theta"]))
    assert len(post.prior_runs()["theta"]) > 400


def test_emulators_forget_a_location_as_leave_one_out_does(post):
    emulator = next(iter(post.likelihood.emulators.values()))
    row = emulator.state.X0[[7]]
    forgot = next(iter(without(post.likelihood, row).emulators.values()))
    assert len(forgot.state.X0) == len(emulator.state.X0) - 1
    expected = emulator.leave_one_out().loc[7]
    # Leaving one out there also moves the trend.
    assert abs(forgot.predict(row).mean[0] - expected["mean"]) < 0.05 * expected["sd"]


@pytest.mark.parametrize("n", [1, 2.5, True, "200"])
def test_improper_numbers_of_data_sets_are_refused(n):
    with pytest.raises(ValueError, match="n is .*: give a whole number of data sets of at least 2"):
        recovery_test(None, n=n)


def test_power_is_that_of_the_binomial_test():
    # 20 repeats pass intervals that cover 75 % with probability .62, 200 find them.
    assert abs(power(20) - 0.383) < 0.001 and power(200) > 0.999
    assert abs(power(200, covers=0.9) - 0.05) < 0.02


# Posteriors of many data sets, against what is known exactly


@dataclass(frozen=True)
class Gaussian:
    """Three correlated normal summaries of sd `sd`, one a parameter."""

    sd: float
    alive: object = None

    def summaries(self, data):
        return data["y"]

    @property
    def covariance(self):
        return self.sd**2 * (0.4 * np.eye(3) + 0.6)

    def log_likelihood(self, unit, observed):
        return np.stack([stats.multivariate_normal(s, self.covariance).logpdf(unit) for s in observed])


@pytest.mark.parametrize("sd", [0.0002, 0.02])
def test_posteriors_much_narrower_than_the_grid_are_resolved(sd):
    model, rng = Gaussian(sd), np.random.default_rng(1)
    unit = 0.2 + 0.6 * rng.random((60, 3))
    seen = unit + rng.multivariate_normal(np.zeros(3), model.covariance, 60)
    found = many_posteriors(model, KnownTruths(unit, {"y": seen}, np.ones(60, dtype=bool)), 99, rng)
    assert found.resolved.all() and found.effective.min() > 200
    exact = stats.norm.cdf((unit - seen) / sd)
    # Standard error of a weighted share with 300 effective points: at most .029.
    assert np.abs(found.below - exact).max() < 0.1 and np.abs(found.mean - seen).max() < 0.25 * sd
    assert np.abs(found.ranks / 99 - exact).max() < 0.25


def test_truths_from_a_posterior_need_both_data_sets():
    """Ranks are uniform only if the posterior that truths are drawn from is kept as their prior."""
    model, rng = Gaussian(0.05), np.random.default_rng(2)
    known = np.full((1, 3), 0.5)
    unit = rng.multivariate_normal(known[0], model.covariance, 400)
    seen = unit + rng.multivariate_normal(np.zeros(3), model.covariance, 400)
    sets = KnownTruths(unit, {"y": seen}, np.ones(400, dtype=bool))
    right = many_posteriors(model, sets, 99, rng, also=known)
    # False-alarm rate 3 x 0.001.
    assert all(uniformity_p(right.ranks[:, j]) > 0.001 for j in range(3))
    assert np.abs(right.mean - (seen + known) / 2).max() < 0.02


def test_a_data_set_that_died_out_has_the_prior_times_the_chance_of_dying_out():
    chance = SimpleNamespace(probability=lambda unit: unit[:, 0])
    truths = KnownTruths(np.full((1, 3), 0.5), {"y": np.zeros((1, 3))}, np.zeros(1, dtype=bool))
    found = many_posteriors(Gaussian(0.1, chance), truths, 99, np.random.default_rng(1))
    # Density 2 (1 - u): mean 1/3, and 3/4 below one half.
    assert np.abs(found.mean[0] - [1 / 3, 1 / 2, 1 / 2]).max() < 0.005
    assert np.abs(found.below[0] - [0.75, 0.5, 0.5]).max() < 0.01


def test_data_sets_that_died_out_are_explained_by_their_own_likelihood():
    model, rng = Gaussian(0.1), np.random.default_rng(3)
    unit = 0.3 + 0.4 * rng.random((4, 3))
    seen = unit + rng.multivariate_normal(np.zeros(3), model.covariance, 4)
    alive = np.array([True, False, True, False])
    found = many_posteriors(
        model, KnownTruths(unit, {"y": seen}, alive), 99, np.random.default_rng(1), dead=Gaussian(0.02)
    )
    exact = stats.norm.cdf((unit - seen) / np.where(alive, 0.1, 0.02)[:, None])
    assert np.abs(found.below - exact).max() < 0.05


@hc.simulator(parameters=["a", "b"], outputs={"y": (6,)}, version="1")
def fading(theta, seed):
    """As `line`; dies out half of the time, and then shows a alone, from far below."""
    rng = np.random.default_rng(seed)
    y = theta["a"] + theta["b"] * np.arange(6) / 5 + rng.normal(0, SD, 6)
    return {"y": y if rng.random() < 0.5 else theta["a"] - 10 + rng.normal(0, SD, 6)}


def test_a_likelihood_of_dead_data_learns_from_dead_runs_alone(needs_r):
    problem = hc.Problem(SPACE, fading, PROBLEM.targets)
    method = replace(METHOD, problem=problem, alive=lambda data: data["y"][:, 0] > -5, initial=60)
    ledger = hc.Ledger()
    assert method.run(ledger, seed=1).likelihood.alive is not None
    dead = method.fit_dead(ledger, seed=1)
    unit = np.array([[0.2, 0.5], [0.7, 0.5], [0.2, 0.9]])
    values = dead.log_likelihood(unit, dead.summaries({"y": np.full((1, 6), 0.2 - 10)}))[0]
    # Dead data tell a, not b.
    assert values[0] - values[1] > 10 and abs(values[0] - values[2]) < 3


def test_without_dead_runs_there_is_no_likelihood_of_them(post):
    assert METHOD.fit_dead(post.ledger, post.seed) is None
