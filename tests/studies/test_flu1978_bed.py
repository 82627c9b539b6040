"""The study of the influenza with beds apart from infection: its problem, and what its story says."""

from __future__ import annotations

import numpy as np
import pytest

import hetcal as hc
from hetcal.studies import flu1978_bed

STUDY = flu1978_bed.study()


def test_both_series_are_fitted_and_the_number_ill_is_held_out():
    assert [t.name for t in STUDY.method.targets] == ["in_bed", "convalescent"]
    (held,) = STUDY.method.held_out
    assert held.output == "total_ill" and held.observed == [512]
    flu = hc.data.flu1978()
    assert STUDY.problem.targets[1].observed.tolist() == flu["convalescent"].tolist()
    assert STUDY.problem.simulator.population == 763
    assert set(STUDY.method.observation) == {"in_bed", "convalescent"}


def test_an_outbreak_is_more_than_sixty_days_in_bed():
    flu = hc.data.flu1978()
    few = np.zeros((1, 14))
    few[0, :6] = 10
    assert flu1978_bed.took_off({"in_bed": flu["in_bed"].to_numpy()[np.newaxis]}).tolist() == [True]
    assert flu1978_bed.took_off({"in_bed": few}).tolist() == [False]
    few[0, 6] = 1
    assert flu1978_bed.took_off({"in_bed": few}).tolist() == [True]


def test_the_model_of_the_story_makes_outbreaks_of_the_size_that_was():
    # 2,000 runs at one point of the posterior, whose 90 % interval of the number ill the story tells.
    simulator = STUDY.problem.simulator
    theta = [5.7, 0.8, 0.8, 0.72, 3.0, 1.6, 2.2]
    runs = simulator.batch(np.tile(theta, (2_000, 1)), np.arange(2_000))
    ill = runs["total_ill"][flu1978_bed.took_off(runs)]
    assert np.median(ill) == pytest.approx(0.72 * 760, abs=10) and len(ill) > 1_900
    assert "570" in STUDY.story and 480 < np.median(ill) < 687


def test_unknown_budgets_are_refused():
    with pytest.raises(ValueError, match="unknown budget 'large'"):
        flu1978_bed.study("large")
    assert flu1978_bed.study("full").method.initial > STUDY.method.initial
