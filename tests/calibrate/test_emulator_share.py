"""Posteriors under single functions of the emulators."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from hetcal.calibrate.emulator_share import function_posteriors


def test_a_function_that_nowhere_counts_is_left_out():
    logs = np.log(np.array([[0.2, 0.6, 0.2], [0.4, 0.2, 0.4], [1.0, 1.0, 1.0]]))
    logs[2] = -5000.0
    likelihood = SimpleNamespace(by_function=lambda unit, observed, functions, rng: logs)
    weight, evidence = function_posteriors(
        likelihood, np.zeros((3, 1)), np.zeros((1, 1)), 3, np.random.default_rng(0)
    )
    # Draws are from the mixture of all functions, so each counts by its likelihood over theirs.
    ratio = np.exp(logs[:2]) / np.exp(logs[:2]).sum(axis=0)
    assert np.allclose(weight, ratio / ratio.sum(axis=1, keepdims=True))
    assert np.allclose(evidence / evidence.sum(), ratio.sum(axis=1) / ratio.sum())
