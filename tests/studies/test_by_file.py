"""Rows that came back, matched with the runs that were asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hetcal.studies.by_file import match

ASKED = np.array([[0.1], [0.2], [0.2], [0.3]])
# As our own seeds: of 15 digits and of 16; two of them are one number when rounded to 15 digits.
SEEDS = np.array([562_949_953_421_311, 2_251_799_813_685_247, 2_251_799_813_685_251, 2_251_799_813_685_249])


def matched(x, seed):
    frame = pd.DataFrame({"x": [x], "seed": [seed]})
    return match(frame, ["x"], ASKED, SEEDS, Path("results.csv"), "ask first").tolist()


@pytest.mark.parametrize("row", range(4))
def test_a_seed_as_it_was_asked_finds_its_run(row):
    assert matched(ASKED[row, 0], int(SEEDS[row])) == [row]
    assert matched(ASKED[row, 0] * (1 + 1e-7), float(SEEDS[row])) == [row]


@pytest.mark.parametrize("row", range(4))
@pytest.mark.parametrize("shift", [-2, 2, 20])
def test_another_seed_was_never_asked_for(row, shift):
    with pytest.raises(ValueError, match="row 1 .* was never asked for: ask first; nothing was written"):
        matched(ASKED[row, 0], int(SEEDS[row]) + shift if row else int(SEEDS[row]) + shift // 2)


def test_a_seed_rounded_to_15_digits_finds_the_only_run_that_it_fits():
    assert matched(0.3, float(f"{SEEDS[3]:.15g}")) == [3]
    with pytest.raises(ValueError, match="row 1 .* has a rounded seed that fits several runs"):
        matched(0.2, float(f"{SEEDS[1]:.15g}"))


@pytest.mark.parametrize(
    "x, seed", [(0.1, float("nan")), (0.10001, SEEDS[0]), (0.1, SEEDS[1]), (float("nan"), SEEDS[0])]
)
def test_other_points_and_gaps_were_never_asked_for(x, seed):
    with pytest.raises(ValueError, match="was never asked for"):
        matched(x, seed)
