"""The verdict: how often a model that is right is refused, and what a model cannot make."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import hetcal as hc
from hetcal.calibrate.outside import outside_of_runs
from hetcal.calibrate.posterior import Posterior
from hetcal.checks.predictive import predictive_checks
from hetcal.checks.verdict import verdict_of
from hetcal.designs import sobol_points

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.FitWarning")

SD = 0.15
DAYS = 10
X = np.linspace(0, 1, DAYS)


class Line:
    """A straight line with noise, and its value at 2, which is held out."""

    name, version, parameters = "line", "1", ("a", "b")
    outputs = {"y": (DAYS,), "later": ()}

    def __call__(self, theta, seed):
        rows = np.array([[theta["a"], theta["b"]]])
        return {name: values[0] for name, values in self.batch(rows, np.array([seed])).items()}

    def batch(self, theta, seeds):
        noise = np.stack([np.random.default_rng(s).normal(0, SD, DAYS + 1) for s in seeds])
        later = theta[:, 0] + 2 * theta[:, 1] + noise[:, -1]
        return {"y": theta[:, :1] + theta[:, 1:] * X + noise[:, :-1], "later": later}


class Amortised:
    """Posteriors of many data sets from one emulated likelihood, as `PosteriorResult` shows them."""

    def __init__(self, method, seed, points=2**13):
        self.method, self.seed, self.rng = method, seed, np.random.default_rng(seed)
        self.space, self.simulator = method.problem.space, method.problem.simulator
        self.result = method.run(seed=seed)
        self.likelihood, self.first = self.result.likelihood, self.result.prior_runs()
        self.grid = sobol_points(self.space.dimension, points, self.rng)

    def simulate(self, theta, first):
        return self.simulator.batch(theta, np.arange(first, first + len(theta)))

    def posterior(self, data, n=500, index=0, **options):
        """The posterior given data by target name."""
        fitted = {t.name: np.reshape(data[t.name], t.observed.shape)[None] for t in self.method.targets}
        logs = self.likelihood.log_likelihood(self.grid, self.likelihood.summaries(fitted))[0]
        weight = np.exp(logs - logs.max())
        chosen = self.rng.choice(len(self.grid), size=n, p=weight / weight.sum())
        theta = self.space.from_unit(self.grid[chosen])
        runs = {"theta": theta, "outputs": self.simulate(theta, 10**9 + 1000 * index)}
        targets = [replace(t, observed=data[t.name]) for t in self.method.problem.targets]
        problem = hc.Problem(self.space, self.simulator, targets)
        return SimpleNamespace(
            problem=problem,
            method=replace(self.method, problem=problem, **options),
            seed=index,
            predictive_runs=lambda: runs,
            prior_runs=lambda: self.first,
        )


def judge(result):
    return verdict_of(result, predictive_checks(result))


@pytest.fixture(scope="module")
def line(needs_r):
    space = hc.Space([hc.Parameter(name, hc.uniform(0, 1)) for name in ("a", "b")])
    targets = [
        hc.Target("y", observed=np.zeros(DAYS), loss="rss"),
        hc.Target("later", observed=0.0, loss="rss", weight=0),
    ]
    emulator = hc.HetGP(noise="homoskedastic")
    method = Posterior(
        hc.Problem(space, Line(), targets),
        initial=100,
        replicates=5,
        rounds=0,
        predictive=0,
        emulator=emulator,
    )
    return Amortised(method, seed=4)


@pytest.fixture(scope="module")
def lines(line):
    """Data sets of the line, fitted and held out."""
    data = line.simulate(np.random.default_rng(8).random((80, 2)), 10**6)
    return [{"y": y, "later": later} for y, later in zip(data["y"], data["later"], strict=True)]


def test_a_right_model_is_told_so_in_at_least_95_of_100_data_sets(line, lines):
    kinds = [judge(line.posterior(data, index=i)).kind for i, data in enumerate(lines)]
    # A model that is right 95 % of the time is below the bound with probability 1e-3: this test's false-alarm rate.
    assert kinds.count("fits") >= stats.binom.ppf(1e-3, len(lines), 0.95)
    # Measured on 200 other data sets: 0.5 %.
    assert kinds.count("no parameters fit") <= stats.binom.ppf(1 - 1e-3, len(lines), 0.01)


def test_no_line_makes_a_parabola(line, lines):
    for i, data in enumerate(lines[:10]):
        verdict = judge(line.posterior(data | {"y": data["y"] + 8 * (X - 0.5) ** 2}, index=i))
        assert verdict.kind == "no parameters fit" and verdict.sentence.startswith("No parameters fit: y")
        row = verdict.table.set_index("target").loc["y"]
        assert row["failed"] > 0 and row["discrepancy"] > row["scatter"] and not row["modest"]


def test_a_held_out_number_that_is_missed_grossly_is_the_answer(line, lines):
    verdict = judge(line.posterior(lines[0] | {"later": lines[0]["later"] + 3}))
    assert verdict.kind == "no parameters fit"
    assert verdict.sentence.startswith("No parameters fit: later, held out: ")
    assert str(verdict).splitlines()[0] == verdict.sentence and "- later: a discrepancy of" in str(verdict)
    assert list(verdict.table.loc[verdict.table["failed"] > 0, "target"]) == ["later"]


def test_a_modest_discrepancy_or_the_one_stated_carries_a_small_misfit(line, lines):
    y = lines[0]["y"].copy()
    y[4] = y.mean() + 0.68  # 4.3 standard deviations of a day
    data = lines[0] | {"y": y}
    plain = judge(line.posterior(data))
    assert plain.kind == "fits with discrepancy" and "on day 4" in plain.reasons[0]
    found = plain.table.set_index("target").loc["y"]
    assert 0 < found["discrepancy"] <= found["scatter"] == pytest.approx(SD, rel=0.2)
    # The parabola is carried by a discrepancy of its own size only where it is stated.
    parabola = lines[1] | {"y": lines[1]["y"] + 8 * (X - 0.5) ** 2}
    stated = judge(line.posterior(parabola, discrepancy=0.8))
    assert (
        stated.kind == "fits with discrepancy" and "the discrepancy of 0.8 that was stated" in stated.sentence
    )
    assert judge(line.posterior(parabola, discrepancy=0.05)).kind == "no parameters fit"
    # One that is stated and does not carry what the model's own scatter would is not called the cause.
    small = judge(line.posterior(data, discrepancy=0.001))
    assert (
        small.kind == "fits with discrepancy"
        and "(the 0.001 that was stated does not carry it)" in small.sentence
    )
    assert judge(line.posterior(lines[2], discrepancy=0.05)).kind == "fits"


def test_few_runs_judge_gross_misfit_only_and_say_so(line, lines):
    right = judge(line.posterior(lines[3], n=15))
    assert right.kind == "fits" and right.reasons == (
        "only 15 fresh runs are like the data: bands are rough; run more with predictive=500",
    )
    wrong = judge(line.posterior(lines[3] | {"later": 9.0}, n=15))
    assert wrong.kind == "no parameters fit" and "later, held out" in wrong.sentence


def test_the_answer_is_the_same_again(line, lines):
    result = line.posterior(lines[4] | {"y": lines[4]["y"][::-1] ** 2})
    assert str(judge(result)) == str(judge(result)) and predictive_checks(result).table.equals(
        predictive_checks(result).table
    )


def test_without_fresh_runs_nothing_is_judged(line):
    result = line.method.run(seed=4)
    assert result.predictive.n == 0 and not len(result.predictive.table) and result.predictive.bands == {}
    assert result.verdict.kind == "not checked"
    assert result.verdict.sentence.startswith("Not checked: there are no fresh runs at posterior draws")


def test_data_outside_of_everything_are_the_answer_without_fresh_runs_too(line):
    told = (
        "the data as a whole are unlike any simulated run",
        "data that are the same in every run are another number",
    )
    verdict = replace(line.method.run(seed=4), outside=told).verdict
    assert verdict.kind == "no parameters fit" and verdict.reasons[:2] == told
    assert verdict.sentence == f"No parameters fit: {told[0]}; {told[1]}."


def test_no_parameters_fit_is_not_said_for_sure_of_an_unsettled_posterior(line):
    result = line.method.run(seed=4)
    unsure = result.history.assign(sd_log_likelihood=12.34)
    verdict = replace(result, outside=("nothing is alike",), history=unsure).verdict
    assert verdict.kind == "no parameters fit"
    assert verdict.sentence == (
        "No parameters found fit, but there may be others: the emulators do not know the likelihood yet (standard "
        "deviation of log L 12.3); nothing is alike."
    )


def test_outside_of_everything_is_said_as_seldom_as_stated(line):
    """500 data sets of the prior; at 0.5 % more than the bound has a probability of 1e-3."""
    data = line.simulate(np.random.default_rng(9).random((500, 2)), 2 * 10**6)["y"]
    said = [bool(outside_of_runs(line.likelihood, {"y": y[None]})) for y in data]
    assert sum(said) <= stats.binom.ppf(1 - 1e-3, 500, 0.005)
    assert outside_of_runs(line.likelihood, {"y": 6 * data[:1]})


def test_without_runs_spread_as_the_prior_that_part_is_said_to_be_missing(line, lines):
    result = line.posterior(lines[3])
    result.prior_runs = lambda: {
        "theta": line.first["theta"][:0],
        "outputs": {n: v[:0] for n, v in line.first["outputs"].items()},
    }
    checks = predictive_checks(result)
    assert checks.table["prior_p"].isna().all() and np.isnan(checks.outside)
    verdict = verdict_of(result, checks)
    assert verdict.kind == "fits" and verdict.reasons == (
        "no runs are spread as the prior is: whether the data are far from all of them is not checked",
    )


def test_none_alive_is_the_answer(line, lines):
    verdict = judge(line.posterior(lines[5], n=40, alive=lambda data: data["y"].sum(axis=1) > 1e6))
    assert verdict.kind == "no parameters fit"
    assert verdict.sentence.startswith("No parameters fit: none of 40 runs at posterior draws is alive")


@pytest.fixture(scope="module")
def flu(needs_r):
    observed = hc.data.flu1978()["in_bed"]
    space = hc.Space(
        [
            hc.Parameter("R0", hc.uniform(1.2, 8.0)),
            hc.Parameter("infectious_days", hc.uniform(0.5, 6.0)),
            hc.Parameter("I0", hc.log_uniform(1, 12)),
        ]
    )
    targets = [
        hc.Target("in_bed", observed=observed, label="boys in bed"),
        hc.Target("total_infected", observed=512, weight=0, label="boys infected"),
    ]
    method = Posterior(
        hc.Problem(space, hc.simulators.StochasticSIR(population=763, days=14), targets),
        observation={"in_bed": hc.observation.PoissonObservation()},
        alive=lambda data: data["in_bed"].sum(axis=1) > 60,
        initial=100,
        replicates=8,
        rounds=0,
        predictive=300,
    )
    return Amortised(method, seed=2)


def test_the_flu_of_1978_is_not_made_by_an_sir(flu):
    verdict = flu.result.verdict
    assert verdict.kind == "no parameters fit"
    assert "boys infected, held out: 512 observed, where the fitted model makes 7" in verdict.sentence
    found = verdict.table.set_index("target").loc["total_infected"]
    assert found["held_out"] and found["discrepancy"] > 3 * found["scatter"]


def test_an_sir_makes_no_outbreak_that_oscillates_and_no_second_wave(flu):
    theta = np.array([[3.5, 2.2, 4.0]] * 4)
    out = flu.simulate(theta, 10**6)
    assert (out["in_bed"].sum(axis=1) > 60).all()
    right, wrong = [], []
    for i in range(4):
        in_bed, total = out["in_bed"][i], out["total_infected"][i]
        swung = np.round(in_bed * np.where(np.arange(14) % 2, 1.9, 0.1))
        again = np.r_[in_bed[:7], np.zeros(3), np.round(in_bed.max() * np.array([0.5, 1.0, 1.0, 0.5]))]
        right.append(judge(flu.posterior({"in_bed": in_bed, "total_infected": total}, index=i)).kind)
        for series in (swung, again):
            wrong.append(judge(flu.posterior({"in_bed": series, "total_infected": total}, index=i)).kind)
    # Measured: right in 98 of 100, so that two or more wrong of four have a probability of 2e-3.
    assert right.count("fits") >= 3
    assert wrong == ["no parameters fit"] * 8
