"""Cascade: Optuna studies rebuilt from the ledger, on simulators whose optimum is known in closed form."""

from __future__ import annotations

import functools
import math
import warnings

import numpy as np
import optuna
import pandas as pd
import pytest
from scipy import stats

import hetcal as hc
from hetcal.calibrate.stage_search import stream
from hetcal.streams import PURPOSES

SPACE = hc.Space([hc.Parameter("a", hc.uniform(-2, 4)), hc.Parameter("b", hc.log_uniform(0.1, 10))])
BEST = {"a": 0.7, "b": 2.0}


@hc.simulator(parameters=["b", "a"], outputs={"y": (2,), "hit": ()}, version="1")
def dear(theta, seed):
    """The means of `y` are 0 at the optimum only; half of the runs hit where a is .7."""
    rng = np.random.default_rng(seed)
    y = np.array([theta["a"] - 0.7, math.log(theta["b"] / 2)])
    return {"y": y + rng.normal(0, 0.5, 2), "hit": float(rng.random() < 1 / (1 + math.exp(0.7 - theta["a"])))}


@hc.simulator(parameters=["a", "b"], outputs={"y": (2,)}, version="1")
def cheap(theta, seed):
    """Without noise, and off by .3 in a."""
    return {"y": np.array([theta["a"] - 0.4, math.log(theta["b"] / 2)])}


@hc.simulator(parameters=["b", "a"], outputs={"y": (2,)}, version="1")
def cliff(theta, seed):
    if theta["a"] > 1.0:
        raise ValueError("over the cliff")
    return {"y": np.array([theta["a"] - 0.7, math.log(theta["b"] / 2)])}


MEAN = hc.EnsembleTarget("y", observed=[0, 0], loss="rss", statistic="mean")
SHARE = hc.EnsembleTarget(
    "hit", observed=0.5, loss="gaussian", sd=0.1, statistic="share_positive", realisations=20
)
DEAR = hc.Problem(SPACE, dear, [MEAN, SHARE])
CHEAP = hc.Problem(SPACE, cheap, [hc.Target("y", observed=[0, 0], loss="rss")])
CLIFF = hc.Problem(SPACE, cliff, [hc.Target("y", observed=[0, 0], loss="rss")])
FINAL = {"finalists": 3, "finalist_replicates": 12, "winner_replicates": 60}


def stages(**more):
    return [
        hc.Stage(CHEAP, trials=40, replicates=1, sampler="cmaes", name="cheap"),
        hc.Stage(DEAR, trials=10, replicates=6, narrow=0.5, name="few", **more),
        hc.Stage(DEAR, trials=8, replicates=15, narrow={"b": "good"}, name="many", **more),
    ]


def cascade(listed=None, **more):
    return hc.Cascade(stages() if listed is None else listed, **(FINAL | more))


def same(one, other):
    assert one.best == other.best
    pd.testing.assert_frame_equal(one.history, other.history)
    pd.testing.assert_frame_equal(one.cost, other.cost)
    for name, study in one.studies.items():
        twin = other.studies[name]
        for trial, other_trial in zip(study.trials, twin.trials, strict=True):
            assert (trial.params, trial.value, trial.state) == (
                other_trial.params,
                other_trial.value,
                other_trial.state,
            )


@pytest.fixture(scope="module")
def result():
    return cascade().run(hc.Ledger(), seed=1)


def test_it_finds_the_optimum_of_the_dear_simulator_and_says_how_good_it_is(result):
    """A loss of 15 runs has an error of .1 and the box is what `few` left; .45 is 1.3 times the noise of one run."""
    best = result.best
    assert abs(best.theta["a"] - 0.7) < 0.45 and abs(math.log(best.theta["b"] / 2)) < 0.45
    assert best.replicates == 60 and best.optimism == best.loss - best.believed
    assert set(best.losses) == {"y", "hit"}
    # The data's 20 runs have a share of variance .25 / 20, or a little less, over a squared scale of .01, halved.
    assert 0.7 < best.noise_floor / 0.625 < 1.05
    assert 0 < best.loss_se < 1


def test_the_winners_loss_is_what_its_fresh_runs_give(result):
    asks = result.ledger.asks(result.study_name, dear)
    (seeds,) = asks.loc[asks["purpose"] == "reporting", "seeds"]
    runs = [dear(result.best.theta, int(seed)) for seed in seeds]
    loss = MEAN.loss_and_error(np.array([run["y"] for run in runs]), debias=True)[0]
    loss += SHARE.loss_and_error(np.array([run["hit"] for run in runs]), debias=True)[0]
    np.testing.assert_allclose(result.best.loss, loss)


def test_the_study_is_an_optuna_study(result):
    study = result.study
    assert isinstance(study, optuna.Study) and study is result.studies["many"]
    assert set(result.studies) == {"cheap", "few", "many"}
    values = [t.value for t in study.trials]
    assert study.best_value == min(values)
    assert study.trials_dataframe()["params_b"].between(0.1, 10).all()
    assert study.trials[-1].user_attrs["stage"] == "many"
    assert study.trials[-1].distributions["b"].log


def test_optunas_own_plots_take_the_study(result):
    from optuna.visualization import matplotlib as plots

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = plots.plot_optimization_history(result.study)
        contour = plots.plot_contour(result.study, params=["a", "b"])
    points = axes.collections[0].get_offsets()
    np.testing.assert_allclose(np.asarray(points)[:, 1], [t.value for t in result.study.trials])
    assert contour.get_xlabel() == "a" and contour.get_yscale() == "log"


def test_earlier_trials_are_in_the_study_with_their_own_seeds_and_runs_are_counted_once(result):
    history = result.history
    many = history[history["stage"] == "many"]
    inherited = many[many["inherited"]]
    box = result.study.trials[0].distributions["b"]
    few = history[(history["stage"] == "few") & history["b"].between(box.low, box.high)]
    assert 2 <= len(inherited) <= 10 and (inherited["origin"] == "few").all()
    columns = ["a", "b", "replicates", "loss", "loss_se", "value"]
    pd.testing.assert_frame_equal(
        inherited[columns].reset_index(drop=True), few[columns].reset_index(drop=True)
    )
    assert len(result.study.trials) == len(many) == len(inherited) + 8
    assert many["runs"].iloc[-1] == 6 * len(inherited) + 8 * 15
    cost = result.cost.set_index("stage")
    assert cost["runs"].to_dict() == {"cheap": 40, "few": 60, "many": 120, "finalists": 36, "winner": 60}
    assert cost.loc["many", "total"] == many["runs"].iloc[-1]
    assert cost.loc["few", "inherited"] == 0
    ledger = result.ledger
    assert cost["runs"].sum() == len(ledger.runs(dear)) + len(ledger.runs(cheap))


def test_the_value_is_the_loss_without_its_noise(result):
    own = result.history[result.history["stage"] == "few"]
    row = own.iloc[0]
    asks = result.ledger.asks(result.stages["few"].study, dear)
    runs = [dear({"a": row["a"], "b": row["b"]}, int(seed)) for seed in asks["seeds"].iloc[0]]
    y, hit = np.array([run["y"] for run in runs]), np.array([run["hit"] for run in runs])
    raw, debiased = (
        MEAN.loss_and_error(y, debias)[0] + SHARE.loss_and_error(hit, debias)[0] for debias in (False, True)
    )
    np.testing.assert_allclose([row["loss"], row["debiased"], row["value"]], [raw, debiased, debiased])
    noise = y.var(axis=0, ddof=1).sum() / 6 + 0.5 * hit.mean() * (1 - hit.mean()) / 5 / 0.01
    np.testing.assert_allclose(raw - debiased, noise)
    assert (own["loss_se"] > 0).all()


def test_boxes_follow_from_the_stage_before(result):
    history = result.history
    start = history[history["stage"] == "cheap"].nsmallest(1, "value").iloc[0]
    np.testing.assert_allclose(start[["a", "b"]].astype(float), [0.4, 2.0], atol=0.2)
    box = result.studies["few"].trials[0].distributions
    np.testing.assert_allclose([box["a"].low, box["a"].high], [start["a"] - 1.5, start["a"] + 1.5])
    np.testing.assert_allclose(math.log10(box["b"].high / box["b"].low), 1.0)
    good = history[history["stage"] == "few"].nsmallest(3, "value")["b"]
    box = result.studies["many"].trials[0].distributions
    assert box["b"].low < good.min() and good.max() < box["b"].high
    ratio = math.log(box["b"].high / box["b"].low) / math.log(good.max() / good.min())
    assert ratio == pytest.approx(1.5) or ratio > 1.5
    assert (box["a"].low, box["a"].high) == (-2, 4)


def test_seeds_of_trials_do_not_meet_unless_they_shall(result):
    assert PURPOSES["cascade"] == 15
    asks = pd.concat(
        [result.ledger.asks(study.study, study.problem.simulator) for study in result.stages.values()]
        + [result.ledger.asks(result.study_name, dear)]
    )
    own = asks[asks["purpose"] == "search"]["seeds"]
    assert len(np.unique(np.concatenate(own.to_list()))) == 40 + 60 + 120
    fresh = asks[asks["purpose"] != "search"]["seeds"]
    assert not set(np.concatenate(own.to_list())) & set(np.concatenate(fresh.to_list()))
    assert len({stream(name) for name in ("cheap", "few", "many", "original", "A", "B", "F")}) == 7
    common = cascade([hc.Stage(DEAR, trials=6, replicates=5, common_seeds=True)]).run(seed=1)
    asks = common.ledger.asks(common.stages["stage 1"].study, dear)
    assert asks["seeds"].apply(tuple).nunique() == 1


def test_two_workers_give_the_same_result(result):
    same(cascade().run(hc.Ledger(), seed=1, workers=2), result)


def test_a_finished_cascade_simulates_nothing_again(result):
    before = len(result.ledger.runs(dear))
    same(cascade().run(result.ledger, seed=1), result)
    same(cascade().result(result.ledger, seed=1), result)
    assert len(result.ledger.runs(dear)) == before
    assert len(cascade().ask(result.ledger, seed=1)) == 0


class Interrupted(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "random", optuna.samplers.NSGAIISampler])
def test_stopped_after_any_batch_it_comes_to_the_same_result(sampler, tmp_path, monkeypatch):
    """Every call of `execute` is a life of its own: the ledger is closed after it, and all else forgotten."""
    from hetcal.calibrate import method as module

    listed = [
        hc.Stage(CHEAP, trials=9, replicates=1, sampler=sampler, batch=5, name="first"),
        hc.Stage(DEAR, trials=18, replicates=3, sampler=sampler, batch=6, narrow={"a": 0.5}, name="second"),
    ]
    whole = cascade(listed).run(hc.Ledger(), seed=3)
    real, lives = module.execute, 0

    def mortal(*arguments, **options):
        if real(*arguments, **options):
            raise Interrupted

    monkeypatch.setattr(module, "execute", mortal)
    while True:
        with hc.Ledger(tmp_path / "runs.sqlite") as ledger:
            lives += 1
            try:
                found = cascade(listed).run(ledger, seed=3)
            except Interrupted:
                continue
            same(found, whole)
            break
    assert lives == 2 + 3 + 2 + 1


def test_asking_and_telling_is_the_same_as_running(result):
    ledger, simulators = hc.Ledger(), {"cheap": cheap, "few": dear, "many": dear}
    while len(batch := cascade().ask(ledger, seed=1)):
        (stage,) = batch["stage"].unique()
        simulator = simulators[stage]
        told = batch[["a", "b", "seed"]].copy()
        runs = [simulator({"a": a, "b": b}, int(s)) for a, b, s in told.itertuples(index=False)]
        for name, shape in simulator.outputs.items():
            told[name] = [run[name] for run in runs] if shape else [float(run[name]) for run in runs]
        ledger.add_runs(told.sample(frac=1, random_state=1), simulator)
    same(cascade().result(ledger, seed=1), result)


def test_cascades_share_the_stages_that_they_have_in_common(result):
    """Another last stage runs only that one; another trial count begins with the same trials."""
    ledger = hc.Ledger()
    cascade(stages()[:2]).run(ledger, seed=1)
    before = len(ledger.runs(dear))
    longer = cascade().run(ledger, seed=1)
    pd.testing.assert_frame_equal(longer.history, result.history)
    assert longer.best == result.best
    # Its finalists may be those of the shorter one.
    assert len(ledger.runs(dear)) - before <= 120 + 36 + 60
    shorter = cascade([hc.Stage(DEAR, trials=4, replicates=3, name="x")]).run(seed=1)
    extended = cascade([hc.Stage(DEAR, trials=8, replicates=3, name="x")]).run(seed=1)
    pd.testing.assert_frame_equal(extended.history.iloc[:4], shorter.history)


def test_failed_trials_are_told_as_failed_and_their_region_is_left():
    found = cascade([hc.Stage(CLIFF, trials=40, replicates=2, name="edge")]).run(seed=1)
    history = found.history
    failed = history["a"] > 1.0
    # Half of the box fails, a third of it far from the optimum: 10 of 30 trials that know nothing.
    assert failed[:10].sum() >= 2 and (history["a"][10:] > 2).sum() <= 4
    assert history.loc[failed, "value"].isna().all() and (history.loc[failed, "valid"] == 0).all()
    states = [trial.state.name for trial in found.study.trials]
    assert states == ["FAIL" if f else "COMPLETE" for f in failed]
    assert found.cost.set_index("stage").loc["edge", "failed"] == 2 * failed.sum()
    assert found.best.theta["a"] <= 1.0
    assert (found.ledger.runs(cliff)["status"] == "failed").sum() == 2 * failed.sum()


def test_where_all_fails_the_simulators_own_words_are_told():
    @hc.simulator(parameters=["a", "b"], outputs={"y": (2,)}, version="1")
    def broken(theta, seed):
        raise RuntimeError("no licence for the solver")

    problem = hc.Problem(SPACE, broken, [hc.Target("y", observed=[0, 0], loss="rss")])
    with pytest.raises(
        ValueError, match="no trial of stage 'stage 1' has a loss: .*no licence for the solver"
    ):
        cascade([hc.Stage(problem, trials=5, replicates=1)]).run(seed=1)


def test_a_single_finalist_is_not_run_for_comparison():
    found = cascade([hc.Stage(DEAR, trials=6, replicates=5)], finalists=1).run(seed=1)
    assert found.cost["runs"].tolist() == [30, 0, 60]
    first = found.history.nsmallest(1, "value").iloc[0]
    assert found.best.theta == {"a": first["a"], "b": first["b"]} and found.best.ties == ()


def test_held_parameters_are_not_searched():
    first = hc.Stage(CHEAP, trials=12, replicates=1, hold={"b": 2.0}, name="first")
    then = hc.Stage(DEAR, trials=6, replicates=4, hold={"a": "best"}, after="first", carry=False, name="then")
    found = cascade([first, then]).run(seed=1)
    history = found.history
    assert (history.loc[history["stage"] == "first", "b"] == 2.0).all()
    start = history[history["stage"] == "first"].nsmallest(1, "value")["a"].iloc[0]
    assert (history.loc[history["stage"] == "then", "a"] == start).all()
    assert set(found.studies["then"].trials[0].params) == {"b"}
    assert found.studies["first"].trials[0].user_attrs["b"] == 2.0


def test_trials_of_a_stage_that_held_a_parameter_are_carried_where_it_is_free():
    first = hc.Stage(DEAR, trials=5, replicates=3, hold={"b": 2.0}, name="first")
    free = hc.Stage(DEAR, trials=2, replicates=3, name="free")
    elsewhere = hc.Stage(DEAR, trials=2, replicates=3, hold={"b": 3.0}, carry=["first"], name="elsewhere")
    found = cascade([first, free, elsewhere]).run(seed=1)
    assert len(found.studies["free"].trials) == 7 and len(found.studies["elsewhere"].trials) == 2
    assert found.studies["free"].trials[0].params["b"] == 2.0


def test_runs_that_were_brought_in_are_inherited():
    ledger = hc.Ledger()
    hc.run_ensemble(DEAR, hc.designs.lhs(SPACE, 6, seed=5), replicates=4, ledger=ledger, seed=9)
    hc.run_ensemble(DEAR, [[0.5, 1.0]], replicates=1, ledger=ledger, seed=9)
    found = cascade([hc.Stage(DEAR, trials=4, replicates=4)]).run(ledger, seed=1)
    # A single run has no noise that could be seen: it is left out, and is no failure.
    assert found.history["origin"].tolist() == ["given"] * 6 + ["stage 1"] * 4
    assert found.cost.loc[0, "inherited"] == 24
    alone = cascade([hc.Stage(DEAR, trials=4, replicates=4, carry=False)]).run(ledger, seed=1)
    assert len(alone.history) == 4


def test_a_prior_that_optuna_does_not_know_is_searched_by_its_quantile():
    space = hc.Space([hc.Parameter("a", stats.norm(0, 2)), hc.Parameter("b", hc.log_uniform(0.1, 10))])
    problem = hc.Problem(space, cheap, [hc.Target("y", observed=[0, 0], loss="rss")])
    listed = [
        hc.Stage(problem, trials=25, replicates=1, name="wide"),
        hc.Stage(problem, trials=5, replicates=1, narrow=0.2, name="tight"),
    ]
    found = cascade(listed).run(seed=1)
    assert abs(found.best.theta["a"] - 0.4) < 0.5
    trial = found.study.trials[-1]
    assert set(trial.params) == {"a (quantile)", "b"}
    np.testing.assert_allclose(stats.norm(0, 2).ppf(trial.params["a (quantile)"]), trial.user_attrs["a"])
    spread = trial.distributions["a (quantile)"]
    np.testing.assert_allclose(spread.high - spread.low, 0.2)


def test_studies_of_mixed_size_favour_large_ensembles_unless_debiased():
    """At one point, 2 and 30 seeds: noise of 2 x .25 / M and of .125 / (.01 M) stays in the raw losses only."""
    theta = {"a": 0.7, "b": 2.0}
    raw, debiased = {}, {}
    for m in (4, 30):
        losses = []
        for repeat in range(120):
            runs = [dear(theta, 1000 * repeat + seed) for seed in range(m)]
            outputs = {name: np.array([run[name] for run in runs]) for name in ("y", "hit")}
            losses.append([DEAR.contributions(outputs, debias)["total"].mean() for debias in (False, True)])
        (raw[m], debiased[m]), error = np.mean(losses, axis=0), np.std(losses, axis=0)[1] / 120**0.5
        np.testing.assert_allclose(raw[m], 0.5 / m + 12.5 / m, rtol=0.5)
        assert abs(debiased[m]) < 4.5 * error
    assert raw[4] > 4 * raw[30]


def test_nothing_of_optunas_own_is_left_or_said(capfd):
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", optuna.exceptions.ExperimentalWarning)
            found = cascade(stages()[:2]).run(seed=2)
            assert found.study.trials
        assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    finally:
        optuna.logging.set_verbosity(optuna.logging.INFO)
    assert capfd.readouterr() == ("", "")


def test_the_result_says_what_it_is(result):
    text = repr(result)
    assert text.startswith(f"CascadeResult of study {result.study_name}, seed 1\n  Winner(a=")
    assert "  few (dear): 10 parameter sets, 60 runs\n  many (dear): 8 parameter sets, 120 runs and " in text
    assert repr(stages()[1]) == "Stage('few': dear, 10 trials x 6 seeds, tpe)"


def test_what_is_planned_is_known_before():
    planned = cascade().planned.set_index("stage")
    assert planned["runs"].to_dict() == {"cheap": 40, "few": 60, "many": 120}
    assert planned["inherited"].to_dict() == {"cheap": 0, "few": 0, "many": 60}
    assert planned["total"].to_dict() == {"cheap": 40, "few": 60, "many": 180}


def test_the_name_of_a_cascade_follows_what_it_is():
    partial = functools.partial(optuna.samplers.TPESampler, multivariate=True)
    others = [
        cascade(),
        cascade(finalists=2),
        cascade(stages(batch=2)),
        cascade(stages(sampler="random")),
        cascade(stages(sampler=partial)),
        cascade(stages(sampler=optuna.samplers.QMCSampler)),
        cascade(stages(debias=False)),
        cascade(stages(carry=False)),
        cascade(stages(targets=["y"])),
        cascade(stages()[:1]),
    ]
    assert len({one.study_name(1) for one in others}) == len(others)
    assert cascade().study_name(1) == cascade().study_name(np.int64(1)) != cascade().study_name(2)


@pytest.mark.parametrize(
    "more, sentence",
    [
        ({"trials": 0}, "trials of stage 'x' is a whole number of at least 1, not 0"),
        ({"trials": 2.0}, "trials of stage 'x' is a whole number of at least 1, not 2.0"),
        ({"replicates": 0}, "replicates of stage 'x' is a whole number of at least 1, not 0"),
        ({"replicates": True}, "replicates of stage 'x' is a whole number of at least 1, not True"),
        (
            {"replicates": 1},
            "stage 'x': target 'y': the noise of its statistic is seen in at least 2 replicates",
        ),
        ({"batch": -1}, "batch of stage 'x' is a whole number of at least 1, not -1"),
        (
            {"sampler": "gp"},
            "sampler of stage 'x' is one of tpe, cmaes, random or a function of seed= .*, not 'gp'",
        ),
        (
            {"targets": ["deaths"]},
            "stage 'x' wants target 'deaths'; its problem, of simulator 'dear', has y, hit",
        ),
        ({"targets": []}, "targets of stage 'x' is a list of one name or more"),
        ({"hold": {"c": 1.0}}, "stage 'x' holds 'c', which is no parameter: there are a, b"),
        ({"hold": {"a": 9.0}}, r"stage 'x' holds a at 9, outside of its prior \[-2, 4\]"),
        ({"hold": {"a": "worst"}}, "stage 'x' holds a at 'worst': give a number, or \"best\""),
        ({"hold": {"a": 1.0, "b": 1.0}}, "stage 'x' holds every parameter: leave at least one"),
        ({"hold": ["a"]}, "hold of stage 'x' is a dict of parameters"),
        ({"narrow": {"c": 0.5}}, "stage 'x' narrows 'c', which is no parameter"),
        ({"narrow": 1.5}, "stage 'x' narrows a to 1.5: give a share of its prior between 0 and 1"),
        ({"narrow": {"a": 0.5}, "hold": {"a": 1.0}}, "stage 'x' both holds and narrows 'a'"),
        ({"carry": "first"}, "carry of stage 'x' is True, False or a list of stages' names, not 'first'"),
        ({"name": "given"}, "name of stage 'given' is 'given'"),
    ],
)
def test_stages_out_of_range_are_refused(more, sentence):
    with pytest.raises(ValueError, match=sentence):
        hc.Stage(DEAR, **({"name": "x"} | more))


def test_a_standard_deviation_of_one_seed_is_refused():
    target = hc.EnsembleTarget("hit", observed=0.5, loss="rss", statistic="sd", name="spread")
    problem = hc.Problem(SPACE, dear, [target])
    with pytest.raises(
        ValueError, match="target 'spread': a standard deviation needs at least 2 replicates, not 1"
    ):
        hc.Stage(problem, replicates=1, debias=False)


@pytest.mark.parametrize(
    "listed, sentence",
    [
        ([], "a Cascade needs at least one Stage"),
        ([hc.Stage(DEAR, name="x"), hc.Stage(DEAR, name="x")], "stages' names must differ: x"),
        ([hc.Stage(DEAR, narrow=0.5)], "stage 'stage 1' holds or narrows .* but is the first: give numbers"),
        (
            [hc.Stage(DEAR), hc.Stage(DEAR, carry=["x"])],
            "carry of stage 'stage 2' names 'x'; the stages before",
        ),
        ([hc.Stage(DEAR), hc.Stage(DEAR, narrow=0.5, after="x")], "after of stage 'stage 2' names 'x'"),
        (
            [hc.Stage(CHEAP, name="x"), hc.Stage(DEAR, carry=["x"])],
            "carries over trials of 'x', which are runs of another simulator, 'cheap'",
        ),
    ],
)
def test_cascades_that_do_not_fit_together_are_refused(listed, sentence):
    with pytest.raises(ValueError, match=sentence):
        hc.Cascade(listed)


def test_parameters_that_the_stage_before_does_not_have_are_refused():
    @hc.simulator(parameters=["a"], outputs={"y": (2,)}, version="1")
    def small(theta, seed):
        return {"y": np.zeros(2)}

    def first(low, high):
        space = hc.Space([hc.Parameter("a", hc.uniform(low, high))])
        return hc.Stage(hc.Problem(space, small, [hc.Target("y", observed=[0, 0], loss="rss")]), name="first")

    with pytest.raises(ValueError, match="holds or narrows 'b' by stage 'first', which has only a"):
        hc.Cascade([first(0, 1), hc.Stage(DEAR, narrow={"b": 0.5})])
    with pytest.raises(ValueError, match=r"whose prior \[0, 9\] reaches beyond its own \[-2, 4\]"):
        hc.Cascade([first(0, 9), hc.Stage(DEAR, hold={"a": "best"})])


def test_what_is_no_problem_stage_ledger_or_count_is_refused():
    with pytest.raises(TypeError, match="problem is None: give an object such as hetcal.Problem"):
        hc.Stage(None)
    with pytest.raises(TypeError, match="stages are hetcal.Stage.* objects, not 3"):
        hc.Cascade([3])
    with pytest.raises(ValueError, match="finalists is a whole number of at least 1, not 0"):
        cascade(finalists=0)
    with pytest.raises(ValueError, match="winner_replicates is a whole number of at least 2, not 1"):
        cascade(winner_replicates=1)
    with pytest.raises(TypeError, match=r"ledger is 'runs.sqlite': give hetcal.Ledger"):
        cascade().run("runs.sqlite")


def test_a_ledger_of_another_study_has_no_result_and_gets_none():
    ledger = hc.Ledger()
    other = cascade([hc.Stage(CHEAP, trials=4, replicates=1)]).run(ledger, seed=1)
    before = ledger.studies()
    with pytest.raises(ValueError, match=f"holds nothing of this cascade at seed 1, .*{other.study_name}"):
        cascade().result(ledger, seed=1)
    with pytest.raises(ValueError, match="a seed is a whole number of at least 0"):
        cascade().run(ledger, seed=-1)
    pd.testing.assert_frame_equal(ledger.studies(), before)


def test_an_unfinished_cascade_has_no_result():
    ledger = hc.Ledger()
    cascade().ask(ledger, seed=1)
    with pytest.raises(ValueError, match="not finished: 4 runs of round 1"):
        cascade().result(ledger, seed=1)
