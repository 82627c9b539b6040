"""Designs: balanced, reproducible, spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from hetcal import designs
from hetcal.parameters import Parameter, Space, log_uniform, uniform

SPACE = Space(
    [Parameter("a", uniform(0, 10)), Parameter("b", log_uniform(1, 100)), Parameter("c", uniform(-1, 1))]
)


def slices(unit, n):
    return np.sort(np.minimum((unit * n).astype(int), n - 1), axis=0)


@pytest.mark.parametrize("make", [designs.sobol, designs.lhs, designs.maximin_lhs])
def test_designs_are_reproducible_and_follow_their_seed(make):
    first = make(SPACE, 16, seed=0)
    assert np.array_equal(first.unit, make(SPACE, 16, seed=0).unit)
    assert not np.array_equal(first.unit, make(SPACE, 16, seed=1).unit)
    assert first.unit.shape == (16, 3) and (first.unit >= 0).all() and (first.unit <= 1).all()
    np.testing.assert_allclose(SPACE.to_unit(first.frame), first.unit, atol=1e-12)


def test_sobol_is_balanced_in_every_axis_and_every_plane():
    unit = designs.sobol(SPACE, 64, seed=3).unit
    assert np.array_equal(slices(unit, 64), np.repeat(np.arange(64)[:, None], 3, axis=1))
    # The first two coordinates are a (0, 6, 2)-net: one point in each elementary box of volume 1/64.
    for p in range(7):
        box = (unit[:, 0] * 2**p).astype(int) * 2 ** (6 - p) + (unit[:, 1] * 2 ** (6 - p)).astype(int)
        assert np.array_equal(np.sort(box), np.arange(64))


@pytest.mark.parametrize("n", [1, 3, 60])
def test_sobol_of_any_length_is_the_head_of_the_next_power(n):
    power = 2 ** int(np.ceil(np.log2(n)))
    assert np.array_equal(designs.sobol(SPACE, n, seed=2).unit, designs.sobol(SPACE, power, seed=2).unit[:n])


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 40), seed=st.integers(0, 2**40))
def test_latin_hypercubes_hold_one_point_a_slice(n, seed):
    expected = np.repeat(np.arange(n)[:, None], 3, axis=1)
    assert np.array_equal(slices(designs.lhs(SPACE, n, seed).unit, n), expected)
    assert np.array_equal(slices(designs.maximin_lhs(SPACE, n, seed, sweeps=3).unit, n), expected)


def test_maximin_spreads_further_than_plain_hypercubes():
    """On each of 10 seeds its closest pair is farther apart than that of all of 10 plain ones."""
    plain = [pdist(designs.lhs(SPACE, 30, seed).unit).min() for seed in range(10)]
    maximin = [pdist(designs.maximin_lhs(SPACE, 30, seed).unit).min() for seed in range(10)]
    assert min(maximin) > max(plain)
    assert np.mean(maximin) > 2 * np.mean(plain)


def test_grid_is_the_full_factorial_with_its_ends():
    frame = designs.grid(SPACE, [2, 3, 2]).frame
    assert len(frame) == 12
    assert frame["a"].tolist() == [0.0] * 6 + [10.0] * 6
    np.testing.assert_allclose(frame["b"].to_numpy()[:6], [1, 1, 10, 10, 100, 100])
    assert frame["c"].tolist() == [-1.0, 1.0] * 6
    for levels in (1, [2, 3], [2, 3, 1]):
        with pytest.raises(ValueError, match="at least 2 a parameter"):
            designs.grid(SPACE, levels)


def test_slices_move_what_they_are_told_and_nothing_else():
    centre = {"a": 2.0, "b": 5.0, "c": 0.25}
    line = designs.slice_through(SPACE, centre, "b", n=5).frame
    np.testing.assert_allclose(line["b"], [1, 10**0.5, 10, 10**1.5, 100])
    np.testing.assert_allclose(line[["a", "c"]], [[2.0, 0.25]] * 5)
    plane = designs.slice_through(SPACE, centre, ["c", "a"], n=3).frame
    np.testing.assert_allclose(plane["c"], [-1, -1, -1, 0, 0, 0, 1, 1, 1], atol=1e-12)
    np.testing.assert_allclose(plane["a"], [0, 5, 10] * 3)
    np.testing.assert_allclose(plane["b"], [5.0] * 9)


def test_faults_of_designs_are_named():
    with pytest.raises(ValueError, match="vary one or two of a, b, c, not d"):
        designs.slice_through(SPACE, {"a": 2.0, "b": 5.0, "c": 0.25}, "d")
    with pytest.raises(ValueError, match="missing: c"):
        designs.slice_through(SPACE, {"a": 2.0, "b": 5.0}, "a")
    with pytest.raises(ValueError, match="n of at least 2"):
        designs.slice_through(SPACE, {"a": 2.0, "b": 5.0, "c": 0.25}, "a", n=1)
    for make in (designs.sobol, designs.lhs, designs.maximin_lhs):
        for n in (0, -3, 2.0):
            with pytest.raises(ValueError, match="whole number of at least 1"):
                make(SPACE, n)
        with pytest.raises(ValueError, match="at least 0, not -1"):
            make(SPACE, 4, seed=-1)
