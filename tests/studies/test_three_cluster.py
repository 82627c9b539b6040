"""The measles chain as a study: its references, its targets, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest

import hetcal as hc
from hetcal.studies import three_cluster


@pytest.fixture(scope="module")
def data():
    return three_cluster.reference()


def test_the_reference_is_20_runs_at_the_truth_whose_statistics_are_compared(data):
    runs = data.runs
    assert runs["seed"].tolist() == list(range(1, 21)) and data.truth == {"beta": 0.5, "k": 0.01, "c": 1.5}
    one = three_cluster.chain()(data.truth, seed=7)
    assert runs.loc[6, "peak_day_A"] == one["peak_day_A"]
    found = data.statistics
    assert found["c_inv_frac"] == (runs["arrival_C"] < 1095).mean()
    assert (
        found["std_peak_A"] == runs["peak_day_A"].std()
        and found["mean_AR_BN"] == runs["attack_rate_B_near"].mean()
    )
    # Of 3,000 seeds, with the standard errors of 20; false alarm .003 each.
    assert abs(found["mean_AR_A"] - 0.98016) < 3 * 0.00019 / 20**0.5
    assert abs(found["mean_peak_A"] - 96.51) < 3 * 2.11 / 20**0.5
    assert abs(found["c_inv_frac"] - 0.316) < 3 * 0.104


def test_another_seed_is_another_reference_and_the_same_seed_the_same(data):
    other = three_cluster.reference(seed=0)
    assert not set(other.seeds) & set(data.seeds)
    assert other.statistics["mean_peak_A"] != data.statistics["mean_peak_A"]
    assert three_cluster.reference(seed=0).statistics == other.statistics
    faster = three_cluster.reference(seed=0, truth={"beta": 0.6, "k": 0.01, "c": 1.5})
    assert faster.statistics["mean_peak_A"] < other.statistics["mean_peak_A"] - 5


def test_the_published_numbers_have_no_runs():
    published = three_cluster.reference("as published")
    assert published.statistics["mean_peak_A"] == 96.7 and not len(published.runs)
    with pytest.raises(ValueError, match="nobody knows when patches were reached"):
        three_cluster.problem(reference=published, arrivals=True)
    with pytest.raises(ValueError, match="its course in A is not known"):
        three_cluster.cheap_problem(three_cluster.chain(), published)
    with pytest.raises(ValueError, match="no runs to be made at seed=3"):
        three_cluster.reference("as published", seed=3)
    with pytest.raises(ValueError, match="unknown reference 'mine'"):
        three_cluster.reference("mine")


def test_the_loss_is_the_published_one(data):
    published = three_cluster.reference("as published")
    problem = three_cluster.problem(reference=published)
    total = problem.contributions(data.outputs)["total"].mean()
    by_hand = sum(
        ((data.statistics[name] - of.published) / of.scale) ** 2
        for name, of in three_cluster.COMPARED.items()
    )
    assert total == pytest.approx(by_hand)


def test_arrivals_are_of_patches_that_every_run_reached_and_nobody_seeded(data):
    target = three_cluster.problem(reference=data, arrivals=True).targets[-1]
    days = data.outputs["patch_arrival"]
    ids = hc.data.three_cluster()["id"].to_numpy()
    assert (days[:, target.kept] < 1095).all() and not set(three_cluster.SEEDED) & set(ids[list(target.kept)])
    assert len(target.kept) == (days < 1095).all(axis=0).sum() - 3 >= 12
    assert np.allclose(target.observed, days[:, target.kept].mean(axis=0))
