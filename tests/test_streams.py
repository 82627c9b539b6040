"""Branches of randomness never meet and never depend on what else is drawn."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hetcal.streams import PURPOSES, check_seed, generator, simulator_seeds


def test_branches_of_different_purposes_never_meet():
    """Over all purposes, 6 rounds, 8 locations, two studies: 10,000 seeds each; none meet by construction."""
    ranges = []
    for purpose in PURPOSES:
        seeds = np.concatenate(
            [
                simulator_seeds(study, purpose, round, location, 100)
                for study in (0, 1)
                for round in range(6)
                for location in range(8)
            ]
        )
        assert seeds.dtype == np.int64
        assert seeds.min() >= 0 and seeds.max() < 2**53
        # 9,600 of 2**48 values: two of them are equal with a chance below 2e-7.
        assert len(np.unique(seeds)) == len(seeds)
        ranges.append((seeds.min() >> 48, seeds.max() >> 48))
    assert ranges == [(i, i) for i in PURPOSES.values()]
    assert len(set(PURPOSES.values())) == len(PURPOSES)
    # The whole range of a purpose, not only what was drawn, stays below what a float64 holds exactly.
    assert (max(PURPOSES.values()) + 1) * 2**48 <= 2**53


def test_generators_of_all_branches_differ():
    first = {
        (seed, purpose, index): generator(seed, purpose, *index).random()
        for seed in (0, 1)
        for purpose in PURPOSES
        for index in [(), (0,), (1,), (0, 0), (0, 1), (1, 0)]
    }
    assert len(set(first.values())) == len(first)


def test_seeds_survive_a_float():
    seeds = simulator_seeds(3, "reporting", 0, 0, 1000)
    assert np.array_equal(seeds.astype(float).astype(np.int64), seeds)


@pytest.mark.parametrize("n", [1, 2, 7, 99])
def test_more_replicates_keep_the_first(n):
    assert np.array_equal(
        simulator_seeds(5, "calibration", 2, 3, 100)[:n], simulator_seeds(5, "calibration", 2, 3, n)
    )


def test_the_same_branch_gives_the_same_numbers_in_any_process():
    code = (
        "from hetcal.streams import *; print(*simulator_seeds(7, 'calibration', 1, 2, 3), "
        "repr(float(generator(7, 'design', 1).random())))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert answer[:3] == [str(s) for s in simulator_seeds(7, "calibration", 1, 2, 3)]
    assert answer[3] == repr(float(generator(7, "design", 1).random()))


def test_seeds_are_uniform():
    # Chi-square over 64 bins of 20,000 seeds at 1e-6.
    from scipy import stats

    seeds = simulator_seeds(1, "ensemble", 0, 0, 20_000) & (2**48 - 1)
    assert stats.chisquare(np.bincount(seeds >> 42, minlength=64)).pvalue > 1e-6


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1", None, np.float64(2)])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(ValueError, match="whole number of at least 0"):
        check_seed(seed)
    with pytest.raises(ValueError, match="whole number of at least 0"):
        generator(seed, "design")


def test_zero_is_a_seed_and_numpy_integers_are_the_same():
    assert generator(0, "design").random() == generator(np.int64(0), "design").random()
    assert generator(0, "design").random() != generator(1, "design").random()


def test_unknown_purposes_are_refused():
    with pytest.raises(ValueError, match="unknown purpose 'desing': choose one of design"):
        generator(1, "desing")
