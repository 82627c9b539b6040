"""Study many_losses: its data, its weights, what its parameters do, and both kinds of emulators beside each other."""

from __future__ import annotations

import re

import numpy as np
import pytest

import hetcal as hc
from hetcal.streams import simulator_seeds
from hetcal.studies import many_losses
from hetcal.studies.answers import Answers
from hetcal.studies.many_losses_exhibits import exhibits

STUDY = many_losses.study()
PROBLEM = STUDY.problem
RUNS = 200


def losses_at(n=RUNS, **changes):
    """Losses of runs at the truth, with changes, on seeds that are always the same."""
    theta = [{**many_losses.TRUTH, **changes}[name] for name in PROBLEM.simulator.parameters]
    seeds = simulator_seeds(5, "validation", 0, 0, n)
    return PROBLEM.evaluate(PROBLEM.simulator.batch(np.tile(theta, (n, 1)), seeds))


@pytest.fixture(scope="module")
def at_truth():
    return losses_at()


def test_twelve_parameters_and_eight_losses_of_seven_families():
    assert PROBLEM.space.dimension == 12 and len(PROBLEM.targets) == 8
    assert {target.loss for target in PROBLEM.targets} == {
        "binomial",
        "half_poisson_deviance",
        "negative_binomial",
        "gaussian",
        "log_rss",
        "log_gaussian",
        "rss",
    }
    PROBLEM.space.to_unit(PROBLEM.space.array(many_losses.TRUTH))  # outside of a prior raises
    assert "many_losses" in hc.studies.SHIPPED and hc.studies.load("many_losses").name == "many_losses"
    with pytest.raises(ValueError, match="unknown budget 'large'"):
        many_losses.study("large")
    assert many_losses.study("full").method.initial > STUDY.method.initial


def test_data_are_one_outbreak_that_no_calibration_sees_and_noise_about_it():
    data = many_losses.observed(PROBLEM.simulator)
    for target in PROBLEM.targets:
        assert np.array_equal(np.atleast_1d(data[target.name]), np.atleast_1d(target.observed))
    row = [[many_losses.TRUTH[name] for name in PROBLEM.simulator.parameters]]
    seed = simulator_seeds(many_losses.DATA_SEED, "truth", 0, 0, 1)
    for study_seed in (0, many_losses.DATA_SEED):
        assert seed[0] not in set(STUDY.method.ask(hc.Ledger(), study_seed)["seed"])
    run = PROBLEM.simulator.batch(np.array(row), seed)
    expected = 0.01 * run["incidence"][0, 0, :360].reshape(12, 30).sum(axis=1)
    counts = data["cases_A"]
    assert np.all(counts == np.round(counts)) and not np.allclose(counts, expected)
    # Poisson: within four of its standard deviations
    assert np.all(np.abs(counts - expected) <= 4 * np.sqrt(expected) + 4)
    # absent pupils are a fifth of the infectious, which the loss does not know: it profiles that factor
    absent = next(target for target in PROBLEM.targets if target.name == "absent_A")
    infectious = run["infectious"][0, 0, 42:127:7]
    assert np.log(absent.observed / infectious).mean() == pytest.approx(np.log(0.2), abs=4 * 0.15 / 13**0.5)
    assert absent.losses(2 * run["infectious"]) == pytest.approx(absent.losses(run["infectious"]))


def test_no_loss_outvotes_the_others_at_the_truth(at_truth):
    each = {target.name: target.weight * at_truth[target.name].mean() for target in PROBLEM.targets}
    # the survey's minus log likelihood holds a constant, so its height says nothing
    each["immune_B_near"] -= PROBLEM.targets[2].weight * PROBLEM.targets[2].family.lowest(
        PROBLEM.targets[2].observed, None, np.asarray(400.0)
    )
    assert sum(each.values()) == pytest.approx(each["cases_A"] / 0.18, rel=0.4)
    assert all(1 < value < 8 for value in each.values()), each


def test_the_truth_is_better_than_the_prior_and_two_parameters_do_nothing(at_truth):
    design = hc.designs.sobol(PROBLEM.space, 200, seed=3).frame
    seeds = simulator_seeds(5, "validation", 1, 0, 200)
    prior = PROBLEM.evaluate(PROBLEM.simulator.batch(PROBLEM.theta(design), seeds))["total"]
    assert np.quantile(prior, 0.03) > at_truth["total"].mean()
    # births and routine vaccination of a year are 2 % of the people: on common seeds F hardly moves
    spread = at_truth["total"].std() / RUNS**0.5
    for name, low, high in (("birth_rate", 5.0, 45.0), ("routine_efficacy", 0.5, 1.0)):
        moved = losses_at(**{name: high})["total"] - losses_at(**{name: low})["total"]
        assert abs(moved.mean()) < 6 * spread
    assert losses_at(50, beta=0.6)["total"].mean() > at_truth["total"].mean() + 30 * spread


def test_both_kinds_of_emulators_side_by_side(needs_r, tmp_path):
    few = hc.Problem(PROBLEM.space, PROBLEM.simulator, [PROBLEM.targets[i] for i in (5, 7)])
    method = hc.BayesianCalibration(
        few,
        initial=20,
        replicates=2,
        hold_out=0.25,
        rounds=0,
        candidates=500,
        finalists=2,
        finalist_replicates=5,
        winner_replicates=20,
    )
    with hc.Ledger(tmp_path / "runs.sqlite") as ledger:
        result = method.run(ledger, 1)
        before = len(ledger.runs(few.simulator))
        found, predicted, came_back = exhibits(Answers(result, None, None))
        # the first design is shared: the stack adds its finalists and winner, and 400 runs stand at the truth
        assert len(ledger.runs(few.simulator)) - before == 400 + 2 * 5 + 20
    assert list(found.table.columns) == ["", "GP-BO", "GPSG-BO"]
    assert predicted.table["loss"].tolist() == ["absent_A", "relative_risk"]
    assert set(came_back.table["parameter"]) == set(many_losses.TRUTH)
    counts = re.findall(r"(GP\w*-BO): (\d+) recovered, (\d+) not, (\d+) false", came_back.text)
    assert [name for name, *_ in counts] == ["GP-BO", "GPSG-BO"]
    for name, *told in counts:
        tally = came_back.table.loc[came_back.table["by"] == name, "verdict"].value_counts()
        assert [tally.get(v, 0) for v in ("recovered", "not recovered", "false recovery")] == list(
            map(int, told)
        )
