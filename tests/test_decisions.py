"""Decisions: against closed forms, on paired seeds, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import hetcal as hc
from hetcal.calibrate.likelihood import EmulatedLikelihood
from hetcal.decisions import compare_scenarios
from hetcal.decisions.smoothing import Smooth, spline_features
from hetcal.emulators import Prediction

CHANCE = 2.0


@hc.simulator(
    parameters=["a", "b", "act"],
    outputs={"y": (), "seen": (), "luck": (), "days": (3,), "fitted": ()},
    version="1",
)
def linear(theta, seed):
    """Acting changes y by a + b/2 - 0.4 in expectation, and by chance with standard deviation 2."""
    z = np.random.default_rng(seed).standard_normal(6)
    effect = theta["a"] + 0.5 * theta["b"] - 0.4 + CHANCE * z[1]
    return {
        "y": 5 + theta["act"] * effect + 3 * z[0],
        "seen": theta["a"] + z[2],
        "luck": z[1],
        "days": z[3:],
        "fitted": theta["a"],
    }


NORMAL = stats.norm(0, 1)
SPACE = hc.Space(
    [hc.Parameter("a", NORMAL), hc.Parameter("b", NORMAL), hc.Parameter("act", hc.uniform(-1, 2))]
)
ACT = {"no": {"act": 0.0}, "yes": {"act": 1.0}}


def posterior(simulator=linear, space=SPACE, **more):
    """What compare_scenarios uses of a posterior, with standard normal draws."""
    problem = hc.Problem(space, simulator, [hc.Target("fitted", observed=[0.0], loss="rss")])
    samples = space.frame(np.random.default_rng(1).standard_normal((4000, space.dimension)))
    return SimpleNamespace(problem=problem, samples=samples, ledger=hc.Ledger(), seed=1, study="test", **more)


@pytest.fixture(scope="module")
def given():
    return posterior()


@pytest.fixture(scope="module")
def result(given):
    return compare_scenarios(given, ACT, "y", draws=2000)


def unit_loss(mean, sd):
    """Expected gain of choosing after learning an effect of normal law over choosing before."""
    return sd * stats.norm.pdf(mean / sd) - abs(mean) * stats.norm.cdf(-abs(mean) / sd)


# All tolerances of the closed forms are 4 standard errors or more (false-alarm rate below 1e-4 each) of 2,000 draws.


def test_effect_and_intervals_of_a_linear_model_are_the_exact_ones(result):
    row = result.table.iloc[1]
    sd = np.sqrt(1.25)
    assert (
        abs(row.effect + 0.4) < 4 * row.effect_se and abs(row.effect_se - np.sqrt((1.25 + 1) / 2000)) < 0.004
    )
    ends = stats.norm.ppf([0.05, 0.95], -0.4, sd)
    # Four seeds a draw: taken for what parameters do, the means of draws would give ends 0.63 further out.
    assert np.abs([row.effect_low, row.effect_high] - ends).max() < 0.25
    alone = stats.norm.ppf([0.05, 0.95], -0.4, np.sqrt(1.25 + CHANCE**2))
    assert np.abs([row.single_low, row.single_high] - alone).max() < 0.35


def test_probabilities_of_best_are_the_exact_ones(result):
    sd = np.sqrt(1.25)
    assert result.best == "yes" and result.table["best"].sum() == pytest.approx(1)
    assert abs(result.table["best"].iloc[1] - stats.norm.cdf(0.4 / sd)) < 0.06
    assert abs(result.table["best_single"].iloc[1] - stats.norm.cdf(0.4 / np.hypot(sd, CHANCE))) < 0.035


def test_value_of_information_is_the_closed_form(result):
    what = result.what_would_change_it.set_index("what")
    assert abs(what.gain["a"] - unit_loss(-0.4, 1.0)) < 0.07
    assert abs(what.gain["b"] - unit_loss(-0.4, 0.5)) < 0.05
    assert abs(what.gain["all parameters"] - unit_loss(-0.4, np.sqrt(1.25))) < 0.07
    assert abs(what.variance_removed["a"] - 0.8) < 0.1 and abs(what.variance_removed["b"] - 0.2) < 0.1
    assert abs(what.changes_choice["a"] - stats.norm.cdf(-0.4)) < 0.07
    # A look at a with noise of its own variance: half of a's variance, 0.4 of the effect's.
    seen = what.loc["seen of another outbreak, 'no'"]
    assert abs(seen.variance_removed - 0.4) < 0.13 and abs(seen.gain - unit_loss(-0.4, np.sqrt(0.5))) < 0.07
    assert seen.best_if_low > 0.75 > 0.5 > seen.best_if_high


def test_what_says_nothing_is_worth_nothing(result):
    what = result.what_would_change_it.set_index("what")
    assert what.variance_removed["days of another outbreak, 'no'"] < 0.02
    assert what.gain["act"] < 0.005
    # It decides the effect in its own outbreak, but says nothing of the next one.
    assert what.variance_removed["luck of another outbreak, 'no'"] < 0.02
    assert not any("fitted" in name for name in what.index)


def test_chance_is_not_taken_for_an_effect_of_parameters():
    @hc.simulator(parameters=["a", "act"], outputs={"y": (), "fitted": ()}, version="1")
    def constant(theta, seed):
        z = np.random.default_rng(seed).standard_normal(2)
        return {"y": z[0] + theta["act"] * (2 * z[1] - 0.4), "fitted": theta["a"]}

    space = hc.Space([SPACE["a"], SPACE["act"]])
    table = compare_scenarios(posterior(constant, space), ACT, "y", draws=1000).table
    # Of the draws' means over four seeds 0.34 are above 0; the expected effect is -0.4 everywhere.
    assert table["best"].iloc[1] > 0.9
    assert table.effect_high.iloc[1] - table.effect_low.iloc[1] < 0.8


def test_what_no_smooth_curve_follows_is_kept_as_uncertainty():
    @hc.simulator(parameters=["a", "b", "act"], outputs={"y": (), "fitted": ()}, version="1")
    def jagged(theta, seed):
        z = np.random.default_rng(seed).standard_normal(2)
        return {"y": z[0] + theta["act"] * (np.sign(np.sin(60 * theta["a"])) + z[1]), "fitted": theta["a"]}

    result = compare_scenarios(posterior(jagged), ACT, "y", draws=1000)
    # The expected effect is -1 or 1, half and half: variance 1, and no parameter's curve explains it.
    assert abs(result.table["best"].iloc[1] - 0.5) < 0.1
    effect = result.effects.loc[result.effects["scenario"] == "yes", "effect"]
    assert abs(effect.var() - 1) < 0.25


def test_small_effects_with_little_chance_stay_on_their_side_of_zero():
    @hc.simulator(parameters=["a", "b", "act"], outputs={"y": (), "fitted": ()}, version="1")
    def skewed(theta, seed):
        z = np.random.default_rng(seed).standard_normal(2)
        effect = np.exp(theta["a"] + 0.5 * theta["b"])
        return {"y": z[0] - theta["act"] * effect * (1 + 0.5 * z[1]), "fitted": theta["a"]}

    row = compare_scenarios(posterior(skewed), ACT, "y", draws=1000).table.iloc[1]
    low, high = -np.exp([1.645 * np.sqrt(1.25), -1.645 * np.sqrt(1.25)])
    # Constant chance would blur the small effects, of 0.16, by 0.8, and P(best) would be 0.9.
    assert row.best > 0.995
    assert abs(row.effect_high - high) < 0.06 and abs(row.effect_low - low) < 1.6


def test_scenarios_that_do_nothing_tie(given):
    result = compare_scenarios(given, {"one": {"act": 1.0}, "two": {"act": 1.0}, "three": {"act": 1.0}}, "y")
    assert np.allclose(result.table[["best", "best_single"]], 1 / 3)
    assert result.says == "The scenarios make no difference to y: every pair of runs ended alike."
    assert result.runs == 0
    assert (result.what_would_change_it["gain"] == 0).all()


def test_differences_that_do_not_matter_tie(given):
    result = compare_scenarios(given, ACT, "y", least=100.0)
    assert np.allclose(result.table[["best", "best_single"]], 0.5)
    assert (result.what_would_change_it["changes_choice"] == 0).all()


def test_higher_may_be_better(given, result):
    higher = compare_scenarios(given, ACT, "y", better="higher", draws=2000)
    assert higher.best == "no"
    assert higher.table["best"].iloc[0] == pytest.approx(result.table["best"].iloc[1], abs=1e-12)
    assert "'yes' changes y by -0." in higher.says


def test_arms_share_draws_and_seeds_and_pairing_shrinks_the_error(given, result):
    runs = given.ledger.runs(linear).assign(y=given.ledger.outputs(linear, "y"))
    no, yes = (runs[runs["act"] == act].set_index("seed").sort_index() for act in (0.0, 1.0))
    assert len(no) == len(yes) == 8000 and (no.index == yes.index).all()
    assert (no[["a", "b"]].to_numpy() == yes[["a", "b"]].to_numpy()).all()
    assert no.groupby(["a", "b"]).size().eq(4).all()
    paired = (yes["y"] - no["y"]).var()
    # 1.25 + 4 against 1.25 + 4 + 2 * 9.
    assert paired < 0.3 * (yes["y"].var() + no["y"].var())
    effects = result.effects[result.effects["scenario"] == "yes"]
    assert len(effects) == len(result.draws) == 2000
    assert effects["effect_single"].var() == pytest.approx(paired, rel=0.15)


def test_nothing_is_run_twice_and_workers_change_nothing(given, result):
    again = compare_scenarios(given, ACT, "y", draws=2000)
    assert again.runs == 0 and again.table.equals(result.table)
    assert again.what_would_change_it.equals(result.what_would_change_it) and again.says == result.says
    assert len(given.ledger.given(linear)) == 0
    small = posterior()
    assert compare_scenarios(small, ACT, "y", draws=50, workers=2).runs == 400
    more = compare_scenarios(small, ACT, "y", draws=60)
    assert more.runs == 80
    assert more.table.equals(compare_scenarios(posterior(), ACT, "y", draws=60).table)


def test_other_changes_under_the_same_names_are_other_runs(given):
    def changed(factor):
        arms = {"no": {"act": 0.0}, "changed": {"act": 1.0, "a": lambda a: factor * a}}
        return compare_scenarios(given, arms, "y", draws=50)

    assert changed(0.5).runs == changed(0.6).runs == 200


def test_pairs_with_a_failed_arm_are_left_out_and_counted():
    @hc.simulator(parameters=["a", "b", "act"], outputs={"y": (), "fitted": ()}, version="1")
    def fragile(theta, seed):
        z = np.random.default_rng(seed).standard_normal(2)
        if theta["act"] == 1.0 and abs(z[1]) < 0.125:
            raise RuntimeError("no beds left")
        return {"y": theta["a"] + theta["act"] + z[0], "fitted": theta["a"]}

    stand_in = posterior(fragile)
    result = compare_scenarios(stand_in, ACT, "y", draws=200)
    failed = (stand_in.ledger.runs(fragile)["status"] == "failed").sum()
    assert 40 < failed == result.left_out and result.pairs == 800
    assert np.allclose(result.table[["effect", "effect_low", "effect_high"]].iloc[1], 1.0)
    assert f"{result.left_out} of 800 pairs are left out since a run failed." in result.says


def test_too_many_failures_are_no_answer():
    @hc.simulator(parameters=["a", "b", "act"], outputs={"y": (), "fitted": ()}, version="1")
    def hopeless(theta, seed):
        if theta["act"] == 1.0:
            raise RuntimeError("no")
        return {"y": 0.0, "fitted": 0.0}

    with pytest.raises(ValueError, match="200 of 200 pairs of runs have an arm that failed"):
        compare_scenarios(posterior(hopeless), ACT, "y", draws=50)


FLU = hc.Space(
    [
        hc.Parameter("R0", hc.uniform(1.2, 8.0)),
        hc.Parameter("infectious_days", hc.uniform(0.5, 6.0)),
        hc.Parameter("I0", hc.log_uniform(1, 12)),
    ]
)
SCHOOL = hc.simulators.StochasticSIR(population=763, days=14)


@pytest.fixture(scope="module")
def flu():
    problem = hc.Problem(FLU, SCHOOL, [hc.Target("in_bed", observed=hc.data.flu1978()["in_bed"])])
    samples = FLU.frame(np.random.default_rng(1).normal([3.7, 2.2, 3.0], [0.2, 0.1, 0.5], (500, 3)))
    return SimpleNamespace(problem=problem, samples=samples, ledger=hc.Ledger(), seed=2, study="flu")


def test_settings_parameters_functions_and_other_simulators_make_scenarios(flu):
    result = compare_scenarios(
        flu,
        {
            "as it was": {},
            "half the school": {"population": 381},
            "masks": {"R0": lambda r0: 0.5 * r0},
            "one case": {"I0": 1.0},
            "another school": hc.simulators.StochasticSIR(population=381, days=14),
        },
        "total_infected",
        draws=100,
    )
    table = result.table.set_index("scenario")
    assert table["mean"]["half the school"] == table["mean"]["another school"]
    assert -400 < table.effect["half the school"] < -340
    assert -600 < table.effect["masks"] < -200
    assert result.runs == 4 * 400
    what = result.what_would_change_it["what"].tolist()
    assert "incidence of another outbreak, 'as it was'" in what
    assert not any(name.startswith("in_bed") for name in what)


def test_only_those_outbreaks_count_that_are_asked_for(flu):
    arms = {"as it was": {}, "half": {"population": 381}}
    every = compare_scenarios(flu, arms, "total_infected", draws=100)
    large = compare_scenarios(
        flu, arms, "total_infected", draws=100, only=lambda out: out["total_infected"] > 60
    )
    assert large.pairs < every.pairs == 400 and large.left_out == 0
    assert 0.9 * 400 < large.pairs
    assert large.table["mean"].iloc[0] > every.table["mean"].iloc[0] + 1
    # A small outbreak is the same in both schools.
    assert large.table["effect"].iloc[1] < every.table["effect"].iloc[1]
    for rule, sentence in [
        (lambda out: out["total_infected"] > 1e6, "0 of 100 draws have two pairs of runs to compare"),
        (lambda out: out["total_infected"], "only gives float64 of shape .400,. for 400 runs"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            compare_scenarios(flu, arms, "total_infected", draws=100, only=rule)


def test_the_outcome_may_be_a_function_of_the_outputs(flu):
    def peak(outputs):
        return outputs["in_bed"].max(axis=1)

    result = compare_scenarios(flu, {"as it was": {}, "half": {"population": 381}}, peak, draws=100)
    assert result.outcome == "peak" and result.best == "half"
    assert 240 < result.table["mean"].iloc[0] < 340
    assert result.table["effect"].iloc[1] == pytest.approx(-0.5 * result.table["mean"].iloc[0], rel=0.1)


@pytest.mark.parametrize(
    "scenarios, outcome, sentence",
    [
        ({"as it was": {}}, "total_infected", "1 scenario.s.: a decision needs at least two"),
        ([{}, {}], "total_infected", "give a dict of name to what is changed"),
        (
            {"a": {}, "b": {"isolation": 4}},
            "total_infected",
            "scenario 'b' changes 'isolation', which StochasticSIR does not have: its parameters are R0, "
            "infectious_days, I0; its settings .*days, .*population, steps_per_day",
        ),
        ({"a": {}, "b": {"days": -1}}, "total_infected", "scenario 'b': days of StochasticSIR is -1"),
        ({"a": {}, "b": {"R0": "high"}}, "total_infected", "R0 of scenario 'b' is 'high'"),
        ({"a": {}, "b": {"R0": np.nan}}, "total_infected", "R0 of scenario 'b' is nan: give a finite number"),
        (
            {"a": {}, "b": linear},
            "total_infected",
            "'b' takes a, b, act; the posterior is of R0, infectious_days",
        ),
        ({"a": {}, "b": 3}, "total_infected", "simulator 3 has no attribute"),
        (
            {"a": {}, "b": {}},
            "deaths",
            "outcome 'deaths' is no output of the simulator of scenario 'a': there are",
        ),
        (
            {"a": {}, "b": {}},
            "in_bed",
            r"outcome 'in_bed' has shape \(14,\), and a decision needs one number",
        ),
        ({"a": {}, "b": {}}, 7, "outcome is 7: give the name of an output"),
        ({"a": {}, "b": {}}, lambda out: out["in_bed"], r"gives shape \(\d+, 14\) for \d+ runs"),
    ],
)
def test_scenarios_and_outcomes_that_cannot_be_compared(flu, scenarios, outcome, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        compare_scenarios(flu, scenarios, outcome, draws=50)


def test_function_simulators_have_no_settings(given):
    with pytest.raises(ValueError, match="it has no settings; give another simulator instead"):
        compare_scenarios(given, {"a": {}, "b": {"version": "2"}}, "y")


@pytest.mark.parametrize(
    "option, sentence",
    [
        ({"better": "best"}, 'better is "lower" or "higher", not \'best\''),
        ({"least": -1.0}, "least is -1.0: give the difference that does not matter"),
        ({"level": 90}, "level is 90: give a probability"),
        ({"draws": 10}, "draws is 10: give a whole number of at least 50"),
        ({"seeds": 1}, "seeds is 1: give a whole number of at least 2"),
    ],
)
def test_options_out_of_range(given, option, sentence):
    with pytest.raises(ValueError, match=sentence):
        compare_scenarios(given, ACT, "y", **option)


class Offset:
    """An emulator of the first coordinate's normal quantile that is uncertain by one common offset."""

    def __init__(self, mean_var, noise_var):
        self.mean_var, self.noise_var = mean_var, noise_var

    def predict(self, unit):
        n = len(unit)
        return Prediction(NORMAL.ppf(unit[:, 0]), np.full(n, self.mean_var), np.full(n, self.noise_var))

    def sample_from(self, unit, normals):
        return NORMAL.ppf(unit[:, 0]) + np.sqrt(self.mean_var) * normals[:, :1]


@pytest.mark.parametrize("mean_var, noise_var", [(0.5, 0.5), (0.2, 0.8), (1e-6, 1.0)])
def test_runs_to_train_the_emulator_remove_the_share_of_its_variance(mean_var, noise_var):
    # Flat prior, data 0: the parameter's variance is mean_var + noise_var, of which the offset's is the first.
    likelihood = EmulatedLikelihood(None, {"a": Offset(mean_var, noise_var)}, np.eye(1), None)
    stand_in = posterior(likelihood=likelihood, observed=np.zeros((1, 1)))
    stand_in.samples[["b", "act"]] = 0.0
    what = compare_scenarios(stand_in, ACT, "y", draws=1000).what_would_change_it.set_index("what")
    found = what.variance_removed["more runs to train the emulators"]
    # 100 functions: standard error of a variance 14 %, so 4 of them; the true share is mean_var.
    assert abs(found - mean_var) < 0.6 * mean_var + 0.03


def test_splines_follow_a_curve_and_draws_hold_the_truth():
    rng = np.random.default_rng(3)
    x = rng.uniform(-2, 2, (800, 2))
    truth = np.sin(2 * x[:, :1]) + x[:, :1] * x[:, 1:]
    smooth = Smooth.fit(spline_features(x), truth + 0.5 * rng.standard_normal((800, 1)))
    assert np.sqrt(((smooth.fitted - truth) ** 2).mean()) < 0.15
    assert abs(smooth.covariance[0, 0] - 0.25) < 0.06
    low, high = np.quantile(smooth.draws(400, rng), [0.025, 0.975], axis=0)
    assert 0.05 < (high - low).mean() < 0.3


def test_through_a_real_posterior(needs_r):
    space = hc.Space([hc.Parameter("rate", hc.uniform(1, 5))])

    @hc.simulator(parameters=["rate"], outputs={"cases": (3,), "total": ()}, version="1")
    def model(theta, seed):
        cases = np.random.default_rng(seed).poisson(theta["rate"], 3)
        return {"cases": cases, "total": cases.sum()}

    problem = hc.Problem(space, model, [hc.Target("cases", observed=[2, 3, 4])])
    found = hc.Posterior(problem, initial=24).run(hc.Ledger(), seed=1)
    runs = len(found.ledger.runs(model))
    halved = {"as it was": {}, "half": {"rate": lambda rate: 0.5 * rate}}
    result = compare_scenarios(found, halved, "total", draws=200)
    assert len(found.ledger.runs(model)) == runs + result.runs
    assert result.best == "half" and result.table["best"].iloc[1] > 0.98
    assert result.table["effect"].iloc[1] == pytest.approx(-1.5 * found.samples["rate"].mean(), rel=0.15)
    share = result.what_would_change_it.set_index("what").variance_removed["more runs to train the emulators"]
    assert 0 <= share < 0.5
