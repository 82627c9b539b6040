"""Effective sample size and split R-hat against closed forms, and on chains that have not met."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hetcal.calibrate.chains import effective_sample_size, split_rhat


def test_effective_sample_size_of_an_autoregression():
    # (1 - a) / (1 + a) of the draws. Over seeds 0-99 the relative sd is about 5 %: 25 % is 5 of them.
    rng, a, n = np.random.default_rng(2), 0.7, 5_000
    draws = rng.normal(size=(4, n))
    for t in range(1, n):
        draws[:, t] = a * draws[:, t - 1] + math.sqrt(1 - a * a) * draws[:, t]
    assert effective_sample_size(draws) == pytest.approx(4 * n * (1 - a) / (1 + a), rel=0.25)
    assert split_rhat(draws) < 1.01


def test_chains_that_have_not_met_are_seen():
    draws = np.random.default_rng(2).normal(size=(4, 500))
    drift = draws + np.linspace(0, 2, 500)
    assert split_rhat(draws + np.array([[0.0], [0], [0], [1]])) > 1.05
    assert split_rhat(drift) > 1.1  # each chain looks like the others, its halves do not
    assert effective_sample_size(drift) < 100
    assert split_rhat(np.zeros((2, 10))) == 1.0
    assert split_rhat(np.zeros((2, 10)) + [[0], [1]]) == np.inf
    assert effective_sample_size(np.zeros((2, 10))) == 0.0
