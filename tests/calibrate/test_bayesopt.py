"""BayesianCalibration end to end on R's hetGP, with simulators that are cheap enough to run to the end."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

import hetcal as hc
from hetcal.emulators import CrossedSeedsWarning
from hetcal.streams import simulator_seeds

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.hetgp.FitWarning")

SPACE = hc.Space([hc.Parameter("a", hc.uniform(-1, 3)), hc.Parameter("b", hc.log_uniform(0.1, 10))])
BEST = {"a": 0.7, "b": 2.0}
SETTINGS = {"initial": 16, "replicates": 4, "batch": 4, "rounds": 3, "exploit_every": 3, "candidates": 2000}
FINAL = {"finalists": 4, "finalist_replicates": 20, "winner_replicates": 60}


@hc.simulator(parameters=["b", "a"], outputs={"y": (2,)}, version="1")
def bowl(theta, seed):
    """Both outputs are 0 on average at the optimum only; the noise grows with a."""
    noise = np.random.default_rng(seed).normal(0, 0.1 + 0.05 * (theta["a"] + 1), 2)
    return {"y": np.array([theta["a"] - 0.7, 2 * np.log(theta["b"] / 2)]) + noise}


@hc.simulator(parameters=["b", "a"], outputs={"y": (2,)}, version="1")
def cliff(theta, seed):
    if theta["a"] > 1.5:
        raise ValueError("over the cliff")
    noise = np.random.default_rng(seed).normal(0, 0.1, 2)
    return {"y": np.array([theta["a"] - 0.7, 2 * np.log(theta["b"] / 2)]) + noise}


class FailsAtFirst:
    """`bowl`, but the runs of one finalist fail until it is mended."""

    name, version, parameters, outputs, fingerprint = "flaky", "1", ("b", "a"), {"y": (2,)}, "flaky"
    mended = False

    def __init__(self, where, seed):
        self.where, self.seeds = where, simulator_seeds(seed, "finalists", 0, 0, FINAL["finalist_replicates"])

    def __call__(self, theta, seed):
        if theta == self.where and seed in self.seeds and not self.mended:
            raise OSError("the disk is full")
        return bowl(theta, seed)


def method(simulator=bowl, noise="homoskedastic", **more):
    targets = more.pop("targets", [hc.Target("y", observed=[0, 0], loss="rss")])
    problem = hc.Problem(SPACE, simulator, targets)
    return hc.BayesianCalibration(problem, emulator=hc.HetGP(noise=noise), **(SETTINGS | FINAL | more))


def same(one, other):
    assert one.best == other.best
    pd.testing.assert_frame_equal(one.history, other.history)
    pd.testing.assert_frame_equal(one.ranges.table, other.ranges.table)


@pytest.fixture(scope="module")
def result(needs_r):
    return method().run(hc.Ledger(), seed=1)


def test_it_finds_the_optimum_and_says_how_good_it_is(result):
    """The loss at the optimum is 2 x (.1 + .05 x 1.7)^2 = .0685; 60 fresh runs give it to .009 (six errors: .06)."""
    best = result.best
    assert abs(best.theta["a"] - 0.7) < 0.25 and abs(np.log(best.theta["b"] / 2)) < 0.2
    assert abs(best.loss - 0.0685) < 0.06 and 0 < best.loss_se < 0.03
    # Two runs of the truth differ by twice the variance.
    assert 0.5 < best.noise_floor / (2 * 0.0685) < 2
    assert best.optimism == best.loss - best.believed
    assert best.replicates == 60


def test_the_truth_is_not_ruled_out_and_the_prior_shrinks(result):
    table = result.ranges.table.set_index("parameter")
    for name, value in BEST.items():
        assert table.loc[name, "low"] <= value <= table.loc[name, "high"]
    assert result.ranges.volume < 0.5


def test_the_history_is_tidy(result):
    history = result.history
    assert history.groupby(["round", "purpose"]).size().to_dict() == {
        (0, "design"): 16,
        (1, "search"): 4,
        (2, "search"): 4,
        (3, "search"): 4,
    }
    assert (history["replicates"] == 4).all() and (history["valid"] == 4).all()
    assert history.loc[history["purpose"] == "search", "believed"].notna().all()
    assert history.groupby("round")["believed_best"].nunique().eq(1).all()
    assert result.stopped == "budget"
    assert result.runs == {"total": 28 * 4 + 4 * 20 + 60, "failed": 0, "reused": 0}
    # What was searched is better than where it began.
    assert (
        history.loc[history["round"] == 3, "loss"].mean()
        < history.loc[history["round"] == 0, "loss"].median()
    )


def test_seeds_of_the_branches_do_not_meet(result):
    asks = result.ledger.asks(result.study, bowl)
    by_purpose = asks.groupby("purpose")["seeds"].apply(lambda s: set(np.concatenate(s.to_list()).tolist()))
    assert set(by_purpose.index) == {"design", "search", "finalists", "reporting"}
    assert len(set.union(*by_purpose)) == sum(len(s) for s in by_purpose)
    own = asks[asks["purpose"].isin(["design", "search"])]["seeds"]
    assert len(set(np.concatenate(own.to_list()).tolist())) == 28 * 4
    # Finalists share theirs.
    assert asks[asks["purpose"] == "finalists"]["seeds"].apply(tuple).nunique() == 1


def test_exploitation_rounds_go_where_the_believed_mean_is_lowest(result):
    """Round 3 has kappa 0: every pick is believed better than all but the best of what was known."""
    history = result.history
    exploited, before = history[history["round"] == 3], history[history["round"] == 2]
    best_before = result.ledger.checkpoints(result.study)["round 2"]["mean"]
    assert exploited["believed"].max() <= best_before + 1e-9
    assert exploited["believed_sd"].mean() < before["believed_sd"].mean()


def test_two_workers_give_the_same_result(result):
    same(method().run(hc.Ledger(), seed=1, workers=2), result)


def test_another_seed_gives_another_study(result):
    other = method(rounds=0).run(hc.Ledger(), seed=2)
    assert other.study != result.study
    assert not np.array_equal(other.history["a"][:16], result.history["a"][:16])


def test_asking_and_telling_is_the_same_as_running(result):
    calibration, ledger = method(), hc.Ledger()
    asked = 0
    while len(batch := calibration.ask(ledger, seed=1)):
        pd.testing.assert_frame_equal(batch, calibration.ask(ledger, seed=1))
        outputs = np.array(
            [
                bowl({"a": a, "b": b}, int(s))["y"]
                for a, b, s in batch[["a", "b", "seed"]].itertuples(index=False)
            ]
        )
        told = batch[["a", "b", "seed"]].assign(**{"y.0": outputs[:, 0], "y.1": outputs[:, 1]})
        # In any order, as a cluster gives them back.
        ledger.add_runs(told.sample(frac=1, random_state=asked), bowl)
        asked += len(batch)
    assert asked == result.runs["total"]
    same(calibration.result(ledger, seed=1), result)


def test_an_unfinished_study_has_no_result(needs_r):
    ledger, calibration = hc.Ledger(), method()
    calibration.ask(ledger, seed=1)
    with pytest.raises(
        ValueError, match=r"not finished: 64 runs of round 0 \(design\) are missing; run it again"
    ):
        calibration.result(ledger, seed=1)


def test_a_finished_study_simulates_nothing_again(result, tmp_path):
    before = len(result.ledger.runs(bowl))
    same(method().run(result.ledger, seed=1), result)
    same(method().result(result.ledger, seed=1), result)
    assert len(result.ledger.runs(bowl)) == before


def test_the_name_of_a_study_follows_what_it_is_and_nothing_else():
    names = {
        method().study_name(1),
        method().study_name(2),
        method(rounds=4).study_name(1),
        method(noise="auto").study_name(1),
        method(acquisition=hc.LCB(kappa=3.0)).study_name(1),
        method(simulator=cliff).study_name(1),
        method(targets=[hc.Target("y", observed=[0, 1], loss="rss")]).study_name(1),
        method(targets=[hc.Target("y", observed=[0, 0], loss="rss", weight=2)]).study_name(1),
        method(targets=[hc.Target("y", observed=[0.0], loss="rss", statistic=np.max)]).study_name(1),
        method(targets=[hc.Target("y", observed=[0.0], loss="rss", statistic=np.min)]).study_name(1),
        method(targets=[hc.Target("y", observed=[0, 0], loss="rss", transform=None)]).study_name(1),
    }
    assert len(names) == 11
    assert method().study_name(1) == method().study_name(np.int64(1))


def test_runs_that_are_there_are_taken_over(needs_r):
    """Half of the design's work was done elsewhere: it trains the emulator and nothing of it is run again."""
    ledger = hc.Ledger()
    problem = method().problem
    elsewhere = hc.designs.lhs(SPACE, 10, seed=5)
    hc.run_ensemble(problem, elsewhere, replicates=3, ledger=ledger, seed=9)
    outside = pd.DataFrame({"a": [5.0], "b": [1.0], "seed": [3], "y.0": [1.0], "y.1": [1.0]})
    ledger.add_runs(outside, bowl)
    found = method(rounds=0).run(ledger, seed=1)
    assert found.history.groupby("purpose").size().to_dict() == {"design": 16, "given": 10}
    assert found.emulators["y"].state.X0.shape == (26, 2)
    assert found.runs["reused"] == 30
    assert len(ledger.runs(bowl)) == 31 + 64 + 4 * 20 + 60


def test_a_changed_study_takes_over_the_same_runs(needs_r):
    """Another weight is another study: what was brought in trains it as it trained the first."""
    ledger = hc.Ledger()
    hc.run_ensemble(method().problem, hc.designs.lhs(SPACE, 10, seed=5), replicates=3, ledger=ledger, seed=9)
    doubled = [hc.Target("y", observed=[0, 0], loss="rss", weight=2)]
    first = method(rounds=0).run(ledger, seed=1)
    second = method(rounds=0, targets=doubled).run(ledger, seed=1)
    for found in (first, second):
        assert found.history.groupby("purpose").size().to_dict() == {"design": 16, "given": 10}


def test_failed_runs_made_again_may_change_the_winner_and_then_its_fresh_runs(result):
    ledger, flaky = hc.Ledger(), FailsAtFirst(result.best.theta, seed=1)
    first = method(simulator=flaky).run(ledger, seed=1)
    flaky.mended = True
    second = method(simulator=flaky).run(ledger, seed=1, retry_failed=True)
    assert first.best.theta != second.best.theta
    assert second.best == result.best
    for name, values in result.winner_outputs().items():
        np.testing.assert_array_equal(second.winner_outputs()[name], values)
    same(method(simulator=flaky).result(ledger, seed=1), second)


class AmongTheKnown:
    """Chooses locations that were evaluated, which are the last of the candidates."""

    def choose(self, total, candidates, batch, replicates, seed=0):
        return np.arange(len(candidates) - batch, len(candidates))


def test_a_known_location_gets_replicates_and_not_a_twin(needs_r):
    """The way through the quantiles and back is exact to rounding only; a twin at 1e-16 would be paid twice and
    would spoil leave-one-out."""
    calibration = method(
        rounds=2, candidates=100, batch=6, exploit_every=None, initial=64, acquisition=AmongTheKnown()
    )
    ledger = hc.Ledger()
    found = calibration.run(ledger, seed=3)
    theta = found.history[["a", "b"]].to_numpy()
    unit = SPACE.to_unit(theta)
    assert not np.array_equal(SPACE.from_unit(unit), theta)
    search = calibration._view(ledger, 3, print)
    assert np.array_equal(search.natural(unit), theta[:, ::-1])
    X = found.emulators["y"].state.X0
    apart = np.abs(X[:, None] - X[None]).max(axis=2) + np.eye(len(X))
    assert apart.min() > 1e-12
    asked = found.history.groupby(["a", "b"]).size()
    assert asked.max() > 1 and len(asked) == len(X)


def test_failing_regions_stop_nothing_and_are_not_proposed_again(needs_r):
    found = method(simulator=cliff, rounds=4).run(hc.Ledger(), seed=1)
    history = found.history
    failed = history["a"] > 1.5
    assert 4 <= failed[:16].sum() <= 8
    assert (history.loc[failed, "valid"] == 0).all() and history.loc[failed, "loss"].isna().all()
    assert history.loc[~failed, "loss"].notna().all()
    assert found.runs["failed"] == 4 * failed.sum()
    # At the edge a pick may fall over; deep in the failing region, a quarter of the prior, one corner is looked into.
    assert (history.loc[history["purpose"] == "search", "a"] > 2.0).sum() <= 1
    assert abs(found.best.theta["a"] - 0.7) < 0.3
    assert found.emulators["y"].state.X0.shape[0] == (~failed).sum()


@hc.simulator(parameters=["b", "a"], outputs={"y": (2,), "late": ()}, version="1")
def half_blind(theta, seed):
    """Beyond a = .5, where `y` fits best, there is never a `late`."""
    rng = np.random.default_rng(seed)
    y = np.array([theta["a"] - 2, np.log(theta["b"])]) + rng.normal(0, 0.1, 2)
    return {"y": y, "late": np.nan if theta["a"] > 0.5 else rng.normal(0, 0.1)}


def test_the_winner_has_all_targets_where_another_place_fits_those_that_it_has_better(needs_r):
    targets = [hc.Target("y", observed=[0, 0], loss="rss"), hc.Target("late", observed=0, loss="rss")]
    found = method(simulator=half_blind, targets=targets).run(hc.Ledger(), seed=1)
    assert found.emulators["y"].state.X0.shape[0] > found.emulators["late"].state.X0.shape[0]
    assert 0.2 < found.best.theta["a"] <= 0.5 and np.isfinite(found.best.loss)


def test_a_simulator_that_always_fails_is_told_by_its_own_words(needs_r):
    @hc.simulator(parameters=["b", "a"], outputs={"y": (2,)}, version="1")
    def broken(theta, seed):
        raise RuntimeError("no licence for the solver")

    with pytest.raises(ValueError, match="no run has a valid 'y'.*no licence for the solver"):
        method(simulator=broken).run(hc.Ledger(), seed=1)


def test_constant_outputs_get_a_sentence_that_names_the_target(needs_r):
    @hc.simulator(parameters=["b", "a"], outputs={"y": (2,)}, version="1")
    def flat(theta, seed):
        return {"y": np.array([1.0, 2.0])}

    with pytest.raises(
        ValueError, match="'y': all 64 values are .* there is nothing to emulate; check the target"
    ):
        method(simulator=flat).run(hc.Ledger(), seed=1)


def test_patience_stops_where_nothing_improves(needs_r):
    found = method(rounds=12, patience=2).run(hc.Ledger(), seed=1)
    assert found.stopped == "no improvement"
    assert 2 <= found.history["round"].max() < 12


def test_two_targets_have_an_emulator_each_and_one_weighted_total(needs_r):
    targets = [
        hc.Target("y", observed=[0.0], loss="rss", statistic=lambda y: y[:1], name="first", weight=2.0),
        hc.Target("y", observed=[0.0], loss="rss", statistic=lambda y: y[1:], name="second"),
        hc.Target("y", observed=[0.0], loss="rss", statistic=np.max, name="idle", weight=0.0),
    ]
    found = method(targets=targets, rounds=2).run(hc.Ledger(), seed=1)
    assert set(found.emulators) == {"first", "second"}
    assert dict(found.emulator.weights) == {"first": 2.0, "second": 1.0}
    assert set(found.best.losses) == {"first", "second", "idle"}
    np.testing.assert_allclose(found.best.loss, 2 * found.best.losses["first"] + found.best.losses["second"])
    assert abs(found.best.theta["a"] - 0.7) < 0.4


@pytest.mark.parametrize(
    "acquisition", [hc.EI(), hc.Thompson(300), hc.LCB(kappa="brochu", form="joint")], ids=str
)
def test_other_acquisitions_work_behind_the_same_interface(acquisition, needs_r):
    found = method(acquisition=acquisition, rounds=2).run(hc.Ledger(), seed=1)
    assert len(found.history) == 24
    assert found.best.loss < 0.5


def test_own_seeds_do_not_warn(needs_r):
    with warnings.catch_warnings():
        warnings.simplefilter("error", CrossedSeedsWarning)
        method(rounds=0).run(hc.Ledger(), seed=1)


@pytest.mark.parametrize(
    "more, sentence",
    [
        ({"initial": 4}, "initial=4 locations are too few for 2 parameters: give at least 5, better 20"),
        ({"initial": 3}, "initial is a whole number of at least 4, not 3"),
        ({"batch": 0}, "batch is a whole number of at least 1"),
        ({"rounds": 2.0}, "rounds is a whole number of at least 0, not 2.0"),
        ({"rounds": True}, "rounds is a whole number of at least 0, not True"),
        ({"winner_replicates": 1}, "winner_replicates is a whole number of at least 2"),
        ({"exploit_every": 1}, "exploit_every is a whole number of at least 2"),
        ({"patience": 0}, "patience is a whole number of at least 1, not 0"),
        ({"patience": 1.5}, "patience is a whole number of at least 1, not 1.5"),
        ({"candidates": 100, "batch": 200}, "candidates=100 are too few for batch=200: raise it"),
    ],
)
def test_settings_out_of_range_are_refused(more, sentence):
    with pytest.raises(ValueError, match=sentence):
        method(**more)


@pytest.mark.parametrize("part", [{"acquisition": "lcb"}, {"acquisition": hc.LCB}, {"emulator": hc.HetGP}])
def test_parts_that_are_none_are_refused_before_anything_runs(part):
    ((name, value),) = part.items()
    problem = hc.Problem(SPACE, bowl, [hc.Target("y", observed=[0, 0], loss="rss")])
    with pytest.raises(TypeError, match=f"{name} is .*: give an object such as hetcal"):
        hc.BayesianCalibration(problem, **part)
    with pytest.raises(TypeError, match="problem is None: give an object such as hetcal.Problem"):
        hc.BayesianCalibration(None)


def test_ensemble_targets_are_refused_with_the_reason():
    target = hc.EnsembleTarget("y", observed=[0, 0], loss="rss", statistic="mean")
    with pytest.raises(
        ValueError, match="target 'y' is a statistic of an ensemble and has no loss for a single run"
    ):
        method(targets=[target])


@pytest.mark.parametrize("seed", [-1, 1.5, None])
def test_what_is_no_seed_is_refused_and_nothing_is_written(seed):
    ledger = hc.Ledger()
    with pytest.raises(ValueError, match="a seed is a whole number of at least 0"):
        method().run(ledger, seed=seed)
    assert len(ledger.studies()) == 0


def test_the_name_of_a_study_is_the_same_in_every_process():
    code = (
        "import hetcal as hc, numpy as np\n"
        "space = hc.Space([hc.Parameter(n, hc.uniform(1, 2)) for n in ('R0', 'infectious_days', 'I0')])\n"
        "sir = hc.simulators.StochasticSIR(population=50, days=3)\n"
        "targets = [hc.Target('in_bed', observed=[9], loss='rss', statistic=lambda x: x.max())]\n"
        "print(hc.BayesianCalibration(hc.Problem(space, sir, targets)).study_name(3))"
    )
    names = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": h},
        ).stdout
        for h in ("0", "7")
    }
    assert len(names) == 1 and names.pop().startswith("StochasticSIR-")


def test_a_simulator_without_noise_is_calibrated_too(needs_r):
    @hc.simulator(parameters=["b", "a"], outputs={"y": (2,)}, version="1")
    def exact(theta, seed):
        return {"y": np.array([theta["a"] - 0.7, 2 * np.log(theta["b"] / 2)])}

    found = method(simulator=exact, noise="auto", replicates=1, rounds=4).run(hc.Ledger(), seed=1)
    assert abs(found.best.theta["a"] - 0.7) < 0.15 and abs(np.log(found.best.theta["b"] / 2)) < 0.1
    assert found.best.loss_se < 1e-15 and found.best.noise_floor == 0
    assert found.ranges.volume < 0.2


def test_a_simulator_that_ignores_its_seed_is_refused():
    @hc.simulator(parameters=["a", "b"], outputs={"y": (3,)}, version="1")
    def unseeded(theta, seed):
        return {"y": np.random.default_rng().normal(theta["a"], 1, 3)}

    space = hc.Space([hc.Parameter("a", hc.uniform(0, 1)), hc.Parameter("b", hc.uniform(0, 1))])
    problem = hc.Problem(space, unseeded, [hc.Target("y", observed=[0.5] * 3, loss="rss")])
    with pytest.raises(
        ValueError, match="'unseeded' gave other outputs when its run with seed [0-9]+ was made again"
    ):
        hc.BayesianCalibration(problem, initial=6, replicates=2, rounds=0).run(seed=1)


def test_a_path_is_no_ledger():
    with pytest.raises(TypeError, match=r"ledger is 'runs.sqlite': give hetcal.Ledger\('runs.sqlite'\)"):
        method().run("runs.sqlite")
