"""Calibration of many losses: held-out locations, replicates at the centre, partial runs, stopping, history."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hetcal as hc
from hetcal.calibrate.held_out_locations import score_held_out
from hetcal.emulators.base import CrossedSeedsWarning
from hetcal.emulators.hetgp import HetGP
from hetcal.emulators.hetgp_state import HetGPState

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.hetgp.FitWarning")

SPACE = hc.Space(
    [
        hc.Parameter("a", hc.uniform(-1, 3)),
        hc.Parameter("b", hc.log_uniform(0.1, 10)),
        hc.Parameter("c", hc.uniform(0, 1)),
    ]
)
BEST = {"a": 0.7, "b": 2.0}


@hc.simulator(parameters=["b", "a", "c"], outputs={"cases": (2,), "deaths": (), "age": ()}, version="1")
def clinic(theta, seed):
    """Three outputs that share noise; c does nothing; one run in four has no deaths, one in four no age."""
    rng = np.random.default_rng(seed)
    shared = rng.normal()
    a, b = theta["a"] - 0.7, np.log(theta["b"] / 2)
    noise = 0.1 * (shared + rng.normal(size=4))
    missing = rng.random(2) < 0.25
    return {
        "cases": np.array([a, 2 * b]) + noise[:2],
        "deaths": np.nan if missing[0] else a - b + noise[2],
        "age": np.nan if missing[1] else a + b + noise[3],
    }


TARGETS = [
    hc.Target("cases", observed=[0, 0], loss="rss"),
    hc.Target("deaths", observed=0.0, loss="gaussian", sd=0.3, weight=0.2),
    hc.Target("age", observed=0.0, loss="gaussian", sd=0.3, weight=0.1),
]
SETTINGS = {
    "initial": 24,
    "replicates": 4,
    "batch": 3,
    "rounds": 2,
    "exploit_every": None,
    "candidates": 1000,
}
FINAL = {"finalists": 3, "finalist_replicates": 16, "winner_replicates": 40}


def method(**more):
    problem = hc.Problem(SPACE, more.pop("simulator", clinic), more.pop("targets", TARGETS))
    return hc.BayesianCalibration(
        problem, emulator=hc.HetGP(noise="homoskedastic"), **(SETTINGS | FINAL | more)
    )


FULL = {"centroid": 30, "hold_out": 0.25}


@pytest.fixture(scope="module")
def result(needs_r):
    return method(**FULL).run(hc.Ledger(), seed=1)


def unit_of(history, purpose):
    rows = history[history["purpose"] == purpose]
    return SPACE.to_unit(rows[list(SPACE.names)].to_numpy())


def test_no_emulator_ever_sees_a_held_out_location(result):
    held = unit_of(result.history, "held out")
    assert len(held) == 6
    for emulator in result.emulators.values():
        apart = np.abs(emulator.state.X0[:, None] - held[None]).max(axis=2)
        assert apart.min() > 1e-6
    asks = result.ledger.asks(result.study, clinic)
    seeds = {p: set(np.concatenate(g.to_list())) for p, g in asks.groupby("purpose")["seeds"]}
    assert not seeds["held out"] & set.union(*(s for p, s in seeds.items() if p != "held out"))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), initial=st.integers(12, 40), share=st.sampled_from([0.1, 0.2, 0.5]))
def test_held_out_and_learned_locations_are_the_first_design_shared_out(seed, initial, share):
    """Whatever the seed, and even where the ledger holds runs of every location already."""
    if round(share * initial) < 2:
        return
    calibration, ledger = method(initial=initial, hold_out=share, centroid=7), hc.Ledger()
    design = hc.designs.sobol(SPACE, initial, seed=seed).frame
    brought = design.assign(seed=np.arange(initial), deaths=0.1, age=0.1, **{"cases.0": 0.1, "cases.1": 0.2})
    ledger.add_runs(brought, clinic)
    calibration.ask(ledger, seed=seed)
    asks = ledger.asks(calibration.study_name(seed), clinic)
    sets = {p: {tuple(row) for row in g.to_numpy()} for p, g in asks.groupby("purpose")[list(SPACE.names)]}
    assert len(sets["held out"]) == round(share * initial)
    middle = tuple(SPACE.from_unit(np.full((1, 3), 0.5))[0])
    whole = {tuple(row) for row in design.to_numpy()}
    assert sets["design"] - {middle} == whole - sets["held out"] and middle in sets["design"]
    assert sets["given"] == whole - sets["held out"]


def test_the_centre_gets_its_replicates_and_trains(result):
    centre = np.abs(unit_of(result.history, "design") - 0.5).max(axis=1) < 1e-9
    rows = result.history[result.history["purpose"] == "design"][centre]
    assert rows["replicates"].tolist() == [30]
    state = result.emulators["cases"].state
    assert state.mult[np.abs(state.X0 - 0.5).max(axis=1) < 1e-9].tolist() == [30]
    assert len(result.history) == 24 + 1 + 2 * 3


def test_losses_that_a_run_lacks_train_the_others(result):
    runs = {name: int(e.state.mult.sum()) for name, e in result.emulators.items()}
    asked = 18 * 4 + 30 + 2 * 3 * 4
    assert runs["cases"] == asked
    for name in ("deaths", "age"):
        # A quarter is missing; five standard errors of a binomial share.
        assert abs(runs[name] / asked - 0.75) < 5 * np.sqrt(0.1875 / asked)
    C = result.emulator.correlation
    assert np.allclose(C, C.T) and np.linalg.eigvalsh(C)[0] > -1e-12 and np.abs(C - np.eye(3)).max() > 0.02
    assert abs(result.best.theta["a"] - 0.7) < 0.4 and abs(np.log(result.best.theta["b"] / 2)) < 0.4


def test_the_history_tells_every_loss_of_every_location(result):
    history = result.history
    assert history.groupby("purpose").size().to_dict() == {"design": 19, "held out": 6, "search": 6}
    losses = history[[f"loss of {t.name}" for t in TARGETS]].to_numpy()
    # Means over runs that have each loss; the total is over runs that have all, so it is near their weighted sum.
    weighted = losses @ [t.weight for t in TARGETS]
    some = history["valid"] > 1
    assert np.corrcoef(np.log(weighted[some]), np.log(history.loc[some, "loss"]))[0, 1] > 0.95
    problem = result.problem
    runs = result.ledger.runs(clinic).merge(history.iloc[[0]][list(SPACE.names)])
    outputs = {
        name: result.ledger.outputs(clinic, name)[result.ledger.runs(clinic)["run_id"].isin(runs["run_id"])]
        for name in clinic.outputs
    }
    expected = problem.evaluate(outputs).mean()
    for target in TARGETS:
        np.testing.assert_allclose(
            history.loc[history.index[0], f"loss of {target.name}"], expected[target.name]
        )


def test_scores_on_held_out_locations_stand_in_the_result_for_every_round_and_loss(result):
    frame = result.held_out
    assert frame.columns.tolist() == [
        "round",
        "target",
        "locations",
        "r2",
        "log_score",
        "log_score_se",
        "coverage_50",
        "coverage_90",
    ]
    assert frame[["round", "target"]].to_numpy().tolist() == [[r, t.name] for r in range(3) for t in TARGETS]
    assert (
        (frame["locations"] <= 6).all()
        and (frame["r2"] <= 1).all()
        and frame["coverage_90"].between(0, 1).all()
    )
    # Those of the last round, made anew from the last emulators.
    asks = result.ledger.asks(result.study, clinic)
    asks = asks[asks["purpose"] == "held out"]
    runs = method(**FULL)._view(result.ledger, 1, print).runs(asks.reset_index(drop=True))
    for row in frame[frame["round"] == 2].to_dict("records"):
        again = score_held_out(
            result.emulators[row["target"]], SPACE.to_unit(runs.theta), runs.losses[row["target"]].to_numpy()
        )
        assert {k: row[k] for k in again} == again


def test_without_hold_out_there_is_an_empty_frame_and_nothing_else_changes(needs_r):
    plain = method(rounds=0).run(hc.Ledger(), seed=1)
    assert len(plain.held_out) == 0 and "r2" in plain.held_out.columns
    assert set(plain.history["purpose"]) == {"design"}


def test_an_interrupted_study_comes_to_the_same_scores(result, tmp_path):
    """The ledger is opened anew for every batch, as after a kill; runs come back in another order."""
    path, rounds = tmp_path / "study.sqlite", 0
    while True:
        with hc.Ledger(path) as ledger:
            batch = method(**FULL).ask(ledger, seed=1)
            if not len(batch):
                break
            outputs = [
                clinic(dict(row), int(s))
                for row, s in zip(batch[list(SPACE.names)].to_dict("records"), batch["seed"])
            ]
            told = batch[[*SPACE.names, "seed"]].assign(
                deaths=[float(o["deaths"]) for o in outputs],
                age=[float(o["age"]) for o in outputs],
                **{f"cases.{i}": [float(o["cases"][i]) for o in outputs] for i in range(2)},
            )
            ledger.add_runs(told.sample(frac=1, random_state=rounds), clinic)
            rounds += 1
    with hc.Ledger(path) as ledger:
        again = method(**FULL).result(ledger, seed=1)
    assert again.best == result.best
    pd.testing.assert_frame_equal(again.history, result.history)
    pd.testing.assert_frame_equal(again.held_out, result.held_out)


def test_own_seeds_do_not_warn_at_the_centre(needs_r):
    with warnings.catch_warnings():
        warnings.simplefilter("error", CrossedSeedsWarning)
        method(rounds=0, **FULL).run(hc.Ledger(), seed=2)


# Stopping


def test_a_satisfactory_loss_stops_the_search_once_it_is_surely_reached(needs_r):
    """The loss at the optimum is 2 x .02 + ... = about .1; over the prior most lie above 1."""
    found = method(rounds=8, satisfactory=1.0).run(hc.Ledger(), seed=1)
    assert found.stopped == "satisfactory"
    last = int(found.history["round"].max())
    assert last < 8
    known = found.ledger.checkpoints(found.study)
    reached = [known[f"round {r}"]["mean"] + 2 * known[f"round {r}"]["sd"] <= 1.0 for r in range(last + 1)]
    assert reached == [False] * last + [True]
    out_of_reach = method(rounds=1, satisfactory=-1.0).run(hc.Ledger(), seed=1)
    assert out_of_reach.stopped == "budget" and out_of_reach.history["round"].max() == 1


# Scores


def matern(X, Y, lengths):
    h = np.sqrt(5) * np.abs(X[:, None] - Y[None]) / lengths
    return np.prod((1 + h + h**2 / 3) * np.exp(-h), axis=2)


def test_coverage_is_as_claimed_where_the_emulator_is_right():
    """120 functions drawn from the very process that the emulator assumes, 25 held-out locations of 1 to 8 runs each.

    Coverage of each data set is averaged over independent ones, so the mean lies within 4.5 of its own standard
    errors but with a chance of 1e-5. Without the noise of location means, or with that of single runs, coverage would
    be off by more than ten.
    """
    lengths, scale, noise = np.array([0.6, 0.9]), 2.0, 0.3
    rows = []
    for repeat in range(120):
        rng = np.random.default_rng(repeat)
        X, r = rng.random((65, 2)), rng.integers(1, 9, 65)
        f = np.linalg.cholesky(scale * matern(X, X, lengths) + 1e-9 * np.eye(65)) @ rng.standard_normal(65)
        y = np.repeat(f, r) + np.sqrt(noise) * rng.standard_normal(r.sum())
        place = np.repeat(np.arange(65), r)
        learned = place < 40
        means = np.bincount(place, weights=y) / r
        made = HetGP()
        made._condition(
            HetGPState(
                X[:40], means[:40], r[:40], y[learned], lengths, noise / scale, scale, 0.0, 1e-8, 0.0, ""
            )
        )
        rows.append(score_held_out(made, X[place[~learned]], y[~learned]))
        said = made.predict(X[40:], scale="latent")
        expected = 1 - ((means[40:] - said.mean) ** 2).sum() / ((means[40:] - means[40:].mean()) ** 2).sum()
        np.testing.assert_allclose(rows[-1]["r2"], expected)
    table = pd.DataFrame(rows)
    assert (table["locations"] == 25).all()
    for level in (0.5, 0.9):
        covered = table[f"coverage_{100 * level:.0f}"]
        assert abs(covered.mean() - level) < 4.5 * covered.std() / np.sqrt(120)


def test_runs_without_a_loss_count_for_nothing():
    made = HetGP(transform="log")
    X = np.random.default_rng(0).random((20, 2))
    y = X.sum(axis=1)
    made._condition(
        HetGPState(X, y, np.full(20, 2), np.repeat(y, 2), np.ones(2), 0.1, 1.0, 1.0, 1e-8, 0.0, "")
    )
    at = np.random.default_rng(1).random((4, 2))
    losses = np.exp(at.sum(axis=1))
    some = np.append(losses, np.nan)
    assert score_held_out(made, np.vstack([at, at[:1]]), some) == score_held_out(made, at, losses)
    nothing = score_held_out(made, at, np.full(4, np.nan))
    assert nothing["locations"] == 0 and np.isnan(nothing["r2"])


# Refusals


@pytest.mark.parametrize(
    "more, sentence",
    [
        ({"centroid": -1}, "centroid is a whole number of at least 0, not -1"),
        ({"hold_out": -0.1}, "hold_out is the share of initial locations that are held out, .* not -0.1"),
        ({"hold_out": 1.0}, "at least 0 and below 1, not 1.0"),
        ({"hold_out": True}, "at least 0 and below 1, not True"),
        ({"hold_out": "all"}, "at least 0 and below 1, not 'all'"),
        (
            {"hold_out": 0.05},
            "hold_out=0.05 of initial=24 locations holds out 1, too few to score on: give hold_out=0.083",
        ),
        (
            {"hold_out": 0.9},
            "hold_out=0.9 leaves 2 of initial=24 locations to learn from, too few for 3 parameters: at least 6",
        ),
        ({"satisfactory": np.inf}, "satisfactory is a finite loss, or None to run the budget, not inf"),
        ({"satisfactory": "low"}, "satisfactory is a finite loss"),
    ],
)
def test_settings_out_of_range_are_refused(more, sentence):
    with pytest.raises(ValueError, match=sentence):
        method(**more)
