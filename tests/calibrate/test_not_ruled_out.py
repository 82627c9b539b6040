"""What is not ruled out: holds the truth and the winner, shrinks with knowledge, has its ends where they are."""

from __future__ import annotations

import numpy as np
import pytest

import hetcal as hc
from hetcal.calibrate.not_ruled_out import implausibility, not_ruled_out
from hetcal.calibrate.winner import Winner
from hetcal.emulators.hetgp import HetGP
from hetcal.emulators.hetgp_state import HetGPState
from hetcal.emulators.total import WeightedTotal

SPACE = hc.Space([hc.Parameter("a", hc.uniform(0, 10)), hc.Parameter("b", hc.log_uniform(1, 100))])


def bowl(noise=1e-4, transform=None):
    """An emulator, made without R, of 3 ((a - .4)^2 + .0625 (b - .5)^2) + 1 in unit coordinates."""
    X = hc.designs.sobol(SPACE, 128, seed=1).unit
    y = 3 * ((X[:, 0] - 0.4) ** 2 + 0.0625 * (X[:, 1] - 0.5) ** 2) + 1
    made = HetGP(transform=transform)
    y = np.log(y) if transform else y
    made._condition(
        HetGPState(
            X,
            y,
            np.full(128, 5),
            np.repeat(y, 5),
            np.array([1.5, 1.5]),
            noise,
            1.0,
            float(y.mean()),
            1e-8,
            0.0,
            "",
        )
    )
    return WeightedTotal({"y": made}, {"y": 1.0})


def winner(loss=1.0, se=0.01, a=4.0, b=10.0):
    return Winner({"a": a, "b": b}, loss, se, 0.0, 0.0, loss, (), 100, {})


def test_implausibility_by_hand():
    total, at = bowl(), np.array([[0.4, 0.5], [0.6, 0.5], [0.4, 0.9]])
    here = total.emulators["y"].predict(at)
    found = implausibility(total, at, np.array([[0.4, 0.5]]), winner(loss=1.02, se=0.01))
    expected = np.maximum(here.mean - 1.02, 0) / np.sqrt(here.mean_var + here.mean_var[0] + 0.01**2)
    np.testing.assert_allclose(found, expected)
    # Without replicates there is no seed error, and nothing becomes NaN.
    assert np.isfinite(implausibility(total, at, at[:1], winner(se=np.nan))).all()


def test_on_the_log_scale_the_seed_error_is_relative():
    total, at = bowl(transform="log"), np.array([[0.6, 0.5]])
    latent = total.emulators["y"].predict(np.array([[0.4, 0.5], [0.6, 0.5]]), scale="latent")
    found = implausibility(total, at, np.array([[0.4, 0.5]]), winner(loss=1.02, se=0.03))
    centre = latent.mean[1] + latent.noise_var[1] / 2
    sd = np.sqrt(latent.mean_var.sum() + (0.03 / 1.02) ** 2)
    np.testing.assert_allclose(found, np.maximum(centre - np.log(1.02), 0) / sd)


def test_ranges_are_those_of_the_bowl():
    """|m - 1| <= 3 x .01 (the emulator's own error is smaller): (a - .4)^2 + .0625 (b - .5)^2 <= .01, an ellipse."""
    left = not_ruled_out(bowl(), SPACE, winner(), seed=1)
    assert left.table["parameter"].tolist() == ["a", "b"]
    np.testing.assert_allclose(left.table["low"], [3.0, 10**0.2], rtol=0.06)
    np.testing.assert_allclose(left.table["high"], [5.0, 10**1.8], rtol=0.06)
    np.testing.assert_allclose(left.table["share"], [0.2, 0.8], atol=0.03)
    assert abs(left.volume - np.pi * 0.1 * 0.4) < 0.02
    assert "percent" not in repr(left) and "not ruled out yet" in repr(left)


@pytest.mark.parametrize("transform", [None, "log"])
def test_the_winner_always_belongs_to_it(transform):
    left = not_ruled_out(bowl(transform=transform), SPACE, winner(loss=1.5, se=1e-9, a=9.0, b=90.0), seed=1)
    assert left.table["low"][0] <= 9.0 + 1e-9 and left.table["high"][0] >= 9.0 - 1e-9
    assert left.table["high"][1] >= 90.0 - 1e-6
    assert (left.table["low"] >= [0, 1]).all() and (left.table["high"] <= [10, 100]).all()


def test_the_less_is_known_the_more_is_left():
    volumes = [not_ruled_out(bowl(), SPACE, winner(se=se), seed=1).volume for se in (0.001, 0.01, 0.1, 10.0)]
    assert volumes == sorted(volumes) and volumes[0] < 0.05 and volumes[-1] == 1.0
    noisy = not_ruled_out(bowl(noise=0.5), SPACE, winner(se=0.001), seed=1)
    assert noisy.volume > volumes[0]


def test_it_follows_its_seed():
    one, same = (not_ruled_out(bowl(), SPACE, winner(), seed=1) for _ in range(2))
    assert one.table.equals(same.table) and np.array_equal(one.unit, same.unit)


def test_it_holds_the_truth_where_the_emulator_is_fitted_to_runs(needs_r):
    """20 noisy quadratics with a random optimum; a set of three standard deviations may miss one of them.

    Were each miss as likely as .01, two or more would come with a chance of .017; three and more of .001.
    """
    space = hc.Space([hc.Parameter("x", hc.uniform(0, 1)), hc.Parameter("z", hc.uniform(0, 1))])
    missed, shares = 0, []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        best = rng.uniform(0.2, 0.8, 2)
        X = np.repeat(hc.designs.sobol(space, 30, seed=seed).unit, 5, axis=0)
        y = 1 + 4 * ((X - best) ** 2).sum(axis=1) + 0.2 * rng.standard_normal(len(X))
        total = WeightedTotal({"y": HetGP(noise="homoskedastic").fit(X, y)}, {"y": 1.0})
        fine = hc.designs.grid(space, 41).unit
        point = fine[np.argmin(total.predict(fine).mean)]
        fresh = 1 + 4 * ((point - best) ** 2).sum() + 0.2 * rng.standard_normal(100)
        found = Winner(
            {"x": point[0], "z": point[1]}, fresh.mean(), fresh.std(ddof=1) / 10, 0.0, 0.0, 1.0, (), 100, {}
        )
        left = not_ruled_out(total, space, found, seed=seed).table
        shares.append(left["share"].mean())
        missed += not np.all((left["low"] <= best) & (best <= left["high"]))
    assert missed <= 2
    assert np.mean(shares) < 0.75


class Bowl:
    """Stands where a total does: a known loss of 16 parameters, of which only the first four matter."""

    dimension = 16

    def latent(self, X):
        return 100 * ((X[:, :4] - [0.5, 0.4, 0.6, 0.5]) ** 2).sum(axis=1)

    def moments(self, latent):
        from hetcal.emulators.total import Moments

        return Moments(latent, np.full(len(latent), 0.03), False, 0.0)


def test_a_set_too_thin_for_random_points_is_followed_to_the_ends_of_what_does_not_matter():
    """Volume of the ball of radius .036 in four dimensions: 8e-6, so of 32,768 points at random a quarter of one falls
    into it. Its ranges are .072 wide for what matters and the whole prior for what does not."""
    names = [f"p{i}" for i in range(16)]
    space = hc.Space([hc.Parameter(name, hc.uniform(0, 1)) for name in names])
    theta = dict.fromkeys(names, 0.5) | {"p1": 0.4, "p2": 0.6}
    at = Winner(theta, 0.0, 1e-6, 0.0, 0.0, 0.0, (), 100, {})
    found = not_ruled_out(Bowl(), space, at, seed=1)
    share = found.table["share"].to_numpy()
    true = 2 * np.sqrt(3 * np.sqrt(2) * 0.03 / 100)
    assert np.all((0.7 * true < share[:4]) & (share[:4] <= true))
    assert np.all(share[4:] > 0.98)
    assert np.all(implausibility(Bowl(), found.unit, space.to_unit(space.array(theta)), at) <= 3)
