"""A posterior far narrower than the space, beside all that is not known, is found where runs were placed."""

from __future__ import annotations

import numpy as np
import pytest

import hetcal as hc
from hetcal.calibrate.sampler import sample_posterior

CENTRE, SD = np.array([0.3, 0.6, 0.45]), np.array([3e-4, 0.02, 0.05])
SPACE = hc.Space([hc.Parameter(name, hc.uniform(0, 1)) for name in "abc"])
# Of the peak, against a plateau that makes up a fifth of the posterior.
PEAK = float(np.prod(SD)) * (2 * np.pi) ** 1.5
PLATEAU = PEAK / 4


class Peak:
    """A peak of a few millionths of the cube on a plateau; 0 outside of a box."""

    def __init__(self, box=((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))):
        self.box = np.array(box)

    def log_likelihood(self, unit, observed):
        peak = np.exp(-0.5 * (((unit - CENTRE) / SD) ** 2).sum(axis=1))
        inside = ((unit >= self.box[0]) & (unit <= self.box[1])).all(axis=1)
        with np.errstate(divide="ignore"):
            return np.log(np.where(inside, peak + PLATEAU, 0.0))[None]


def locations(rng, n=60):
    """Spread over the cube, and as many again within a few standard deviations of the peak."""
    return np.concatenate([rng.random((n, 3)), CENTRE + 2 * SD * rng.standard_normal((n, 3))])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_peak_on_a_plateau_is_found_with_its_share(seed):
    known = locations(np.random.default_rng(seed))
    samples, effective = sample_posterior(Peak(), SPACE, np.zeros((1, 1)), seed, locations=known)
    assert effective > 1000
    near = (np.abs(samples.to_numpy() - CENTRE) < 5 * SD).all(axis=1)
    # 0.8, and of 1,000 draws a standard error of .013; false alarm below 1e-4 a seed.
    assert abs(near.mean() - 0.8) < 0.05
    own = samples.to_numpy()[near]
    assert (np.abs(own.mean(axis=0) - CENTRE) < 0.15 * SD).all()
    assert (np.abs(own.std(axis=0) / SD - 1) < 0.15).all()


def test_locations_outside_of_the_box_do_no_harm():
    box = ((0.299, 0.5, 0.2), (0.301, 0.7, 0.7))
    samples, effective = sample_posterior(
        Peak(box),
        SPACE,
        np.zeros((1, 1)),
        1,
        box=np.array(box),
        locations=locations(np.random.default_rng(1)),
    )
    assert effective > 1000
    assert ((samples >= box[0]) & (samples <= box[1])).all(axis=None)
    assert np.abs(samples["a"].std() / SD[0] - 1) < 0.2
