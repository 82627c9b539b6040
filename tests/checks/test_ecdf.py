"""The simultaneous envelope of ranks: its false-alarm rate, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest

from hetcal.checks.ecdf import ecdf_band, uniformity_p


@pytest.mark.parametrize(("n", "draws"), [(200, 99), (20, 99), (50, 9)])
def test_uniform_ranks_leave_the_band_in_one_test_of_twenty(n, draws):
    # 4,000 tests at a false-alarm rate of 5 % leave the band 200 +- 14 times; discreteness can only make it less.
    # Bounds of 4.5 standard deviations: false alarm below 1e-5 a case.
    ranks = np.random.default_rng(1).integers(0, draws + 1, (4000, n))
    counts = np.array([np.cumsum(np.bincount(row, minlength=draws + 1))[:-1] for row in ranks])
    band = ecdf_band(n, draws)
    share = counts / n
    outside = np.any(
        (share < band["low"].to_numpy() - 1e-9) | (share > band["high"].to_numpy() + 1e-9), axis=1
    )
    assert 0.02 < outside.mean() < 0.065
    if n == 200:
        assert outside.mean() > 0.0345


def test_the_p_value_says_whether_the_curve_leaves_the_band():
    rng = np.random.default_rng(2)
    band = ecdf_band(50, 19)
    for shape in np.linspace(0.4, 1.6, 60):
        ranks = np.floor(20 * rng.beta(shape, 1.0, 50)).astype(int)
        share = np.cumsum(np.bincount(ranks, minlength=20))[:-1] / 50
        leaves = ((share < band["low"] - 1e-9) | (share > band["high"] + 1e-9)).any()
        assert leaves == (uniformity_p(ranks, 19) <= 0.05)


def test_p_values_of_uniform_ranks_are_uniform():
    rng = np.random.default_rng(3)
    p = np.array([uniformity_p(rng.integers(0, 100, 100)) for _ in range(500)])
    # Kolmogorov's bound at a false-alarm rate of 1e-4: 2.23 / sqrt(500).
    assert np.abs(np.sort(p) - np.arange(1, 501) / 500).max() < 0.1


def test_one_rank_has_its_exact_probability():
    # One rank of 0 to 9 leaves at its worst point with chance min(rank, 9 - rank) + 1 in 5.
    assert [round(uniformity_p(np.array([rank]), 9), 10) for rank in range(5)] == [0.2, 0.4, 0.6, 0.8, 1.0]


@pytest.mark.parametrize(
    "ranks", [lambda u: 100 * (0.5 + 0.6 * (u - 0.5)), lambda u: 100 * u**1.5, lambda u: 100 * u**0.66]
)
def test_wrong_widths_and_shifts_are_found(ranks):
    u = np.random.default_rng(4).random(400)
    assert uniformity_p(np.floor(ranks(u)).astype(int)) < 1e-4


def test_improper_ranks_are_refused():
    with pytest.raises(ValueError, match="ranks are whole numbers from 0 to 99"):
        uniformity_p(np.array([0, 100]))
    with pytest.raises(ValueError, match="at least one rank and one draw, not 0 and 99"):
        uniformity_p(np.array([], dtype=int))
    with pytest.raises(ValueError, match="level is 95: give a probability"):
        ecdf_band(20, level=95)
