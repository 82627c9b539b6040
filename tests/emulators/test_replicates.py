"""Replicates are found whatever the order of the rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetcal.emulators.base import check_training_data, find_replicates
from hetcal.emulators.total import replicate_correlation


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), locations=st.integers(1, 12), d=st.integers(1, 4))
def test_folding_is_that_of_a_loop_over_rows(seed, locations, d):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 3, (locations, d)) / 2
    X = points[rng.integers(0, locations, 30)]
    y = rng.normal(size=30)
    found = find_replicates(X, y)
    expected: dict = {}
    for row, value in zip(X.tolist(), y):
        expected.setdefault(tuple(row), []).append(value)
    assert found.X.tolist() == [list(k) for k in expected]
    assert found.count.tolist() == [len(v) for v in expected.values()]
    np.testing.assert_allclose(found.mean, [np.mean(v) for v in expected.values()], rtol=1e-12, atol=1e-14)
    assert found.y.tolist() == sum(expected.values(), [])
    assert np.array_equal(found.X[found.location], X)


def test_the_order_of_rows_changes_the_order_of_locations_only():
    rng = np.random.default_rng(1)
    X, y = np.repeat(rng.random((9, 2)), 4, axis=0), rng.normal(size=36)
    order = rng.permutation(36)
    one, other = find_replicates(X, y), find_replicates(X[order], y[order])
    by_row = [np.lexsort(r.X.T) for r in (one, other)]
    assert np.array_equal(one.X[by_row[0]], other.X[by_row[1]])
    np.testing.assert_allclose(one.mean[by_row[0]], other.mean[by_row[1]])
    assert (other.count == 4).all()


def test_minus_zero_is_zero():
    assert find_replicates(np.array([[0.0], [-0.0]]), np.array([1.0, 3.0])).count.tolist() == [2]


@pytest.mark.parametrize(
    "X, y, sentence",
    [
        (np.zeros((3, 1)), np.zeros(4), r"not \(3, 1\) and \(4,\)"),
        (np.zeros(3), np.zeros(3), r"not \(3,\) and \(3,\)"),
        (np.array([[1.2]] * 5), np.arange(5.0), r"unit cube \[0, 1\]: use space.to_unit"),
        (np.array([[np.nan]] * 5), np.arange(5.0), "unit cube"),
        (np.linspace(0, 1, 6)[:, None], [1, 2, np.nan, 3, 4, 5], "y is nan in row 2: leave failed runs out"),
        (np.linspace(0, 1, 6)[:, None], [1, 2, 3, 3, np.inf, 5], "y is inf in row 4"),
        (
            np.repeat([[0.1], [0.2], [0.3]], 5, axis=0),
            np.arange(15.0),
            "3 locations are too few for 1 param.* 4",
        ),
        (np.linspace(0, 1, 6)[:, None], np.full(6, 7.5), "all 6 values are 7.5: there is nothing to emulate"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(X, y, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_training_data(X, y)


def test_correlation_of_the_losses_of_one_run_is_the_pooled_one():
    """6,000 runs: the standard error of a correlation of .8 is .005; the limit is six of them."""
    rng = np.random.default_rng(3)
    location = np.repeat(np.arange(300), 20)
    level = 50 * rng.normal(size=(300, 2))[location]
    noise = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 6000)
    found = replicate_correlation(level + noise, location)
    assert abs(found[0, 1] - 0.8) < 0.03 and found[0, 1] == found[1, 0]
    np.testing.assert_allclose(np.diag(found), 1)
    assert np.array_equal(replicate_correlation(noise, np.arange(6000)), np.eye(2))


def test_a_correlation_takes_for_each_pair_the_runs_that_have_both():
    """Each loss is missing in half of the runs at random: 1 in 8 has all three. 3,000 locations of 4 runs leave about
    3,000 pairs, less a mean each: standard errors below .025, the limit is five of them."""
    rng = np.random.default_rng(5)
    C = np.array([[1, 0.8, -0.3], [0.8, 1, 0.2], [-0.3, 0.2, 1]])
    location = np.repeat(np.arange(3000), 4)
    losses = rng.standard_normal((12_000, 3)) @ np.linalg.cholesky(C).T + 5 * rng.random((3000, 3))[location]
    losses[rng.random(losses.shape) < 0.5] = np.nan
    found = replicate_correlation(losses, location)
    assert np.abs(found - C).max() < 0.125
    # Rows without anything change nothing, and a loss that no other is seen with is correlated with none.
    more = np.vstack([losses, np.full((50, 3), np.nan)])
    assert np.array_equal(replicate_correlation(more, np.append(location, np.arange(50))), found)
    alone = np.where(np.isfinite(losses[:, :1]), np.nan, rng.standard_normal((12_000, 1)))
    assert np.array_equal(replicate_correlation(np.hstack([losses[:, :1], alone]), location), np.eye(2))


def test_pairs_that_contradict_each_other_give_a_correlation_all_the_same():
    """Three pairs seen in different runs, all with correlation -.9: no three numbers can have that."""
    rng = np.random.default_rng(6)
    blocks = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        block = np.full((400, 3), np.nan)
        block[:, [i, j]] = rng.multivariate_normal([0, 0], [[1, -0.9], [-0.9, 1]], 400)
        blocks.append(block)
    found = replicate_correlation(np.vstack(blocks), np.repeat(np.arange(300), 4))
    assert np.linalg.eigvalsh(found)[0] > -1e-12 and np.allclose(np.diag(found), 1)
    assert np.all(found[np.triu_indices(3, 1)] < -0.4)


def test_a_loss_without_noise_is_correlated_with_none_and_spoils_no_other():
    rng = np.random.default_rng(7)
    location = np.repeat(np.arange(500), 4)
    a = rng.standard_normal(2000)
    losses = np.column_stack([a, a + 0.1 * rng.standard_normal(2000), location.astype(float)])
    found = replicate_correlation(losses, location)
    assert found[0, 1] > 0.95 and np.array_equal(found[2], [0, 0, 1])
