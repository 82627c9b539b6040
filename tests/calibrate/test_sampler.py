"""Draws from posteriors narrow, correlated, curved, cut at the prior's edge, flat, in two places, on a shell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import hetcal as hc
from hetcal.calibrate.sampler import cut_off, importance_sample, normalised, sample_posterior
from hetcal.designs import sobol_points

# 4,000 draws worth at least 400: a mean has a standard error of at most .05 sd and a standard deviation one of at most
# 3.5 %, so that .15 sd and 15 % are 3 and more than 4 of them; at the 4,000 that most are worth they are 9 and 13, and
# the false-alarm rate of a whole run is below 1 in 10,000. Seeds are fixed.
MEAN, SD = 0.15, 0.15


class Closed:
    """A likelihood given by a function of points of the unit cube; counts them."""

    def __init__(self, log_density):
        self.log_density, self.asked = log_density, 0

    def log_likelihood(self, unit, observed):
        self.asked += len(unit)
        return self.log_density(unit)[None]


def draw(log_density, d, seed):
    space = hc.Space([hc.Parameter(f"x{i}", hc.uniform(0, 1)) for i in range(d)])
    samples, effective = sample_posterior(Closed(log_density), space, np.zeros((1, 1)), seed)
    assert samples.shape == (4000, d) and effective >= 400
    return samples.to_numpy(), effective


def normal(centre, sd, correlation=0.0):
    d = len(centre)
    covariance = sd**2 * (correlation + (1 - correlation) * np.eye(d))
    return stats.multivariate_normal(centre, covariance).logpdf


@pytest.mark.parametrize(
    "d, sd, correlation",
    [
        (2, 0.005, 0.99),
        (3, 0.01, 0),
        (3, 0.02, 0.98),
        (4, 0.01, 0),
        (4, 0.03, 0.9),
        (7, 0.03, 0),
        (7, 0.05, 0.9),
        (7, 0.01, 0),
        (25, 0.05, 0),
    ],
)
def test_narrow_and_correlated_posteriors_are_whole(d, sd, correlation):
    for seed in range(8):
        centre = np.random.default_rng(seed).uniform(0.2, 0.8, d)
        samples, _ = draw(normal(centre, sd, correlation), d, seed)
        assert np.all(np.abs(samples.mean(axis=0) - centre) < MEAN * sd)
        assert np.all(np.abs(samples.std(axis=0) / sd - 1) < SD)
        if correlation:
            found = np.corrcoef(samples.T)[np.triu_indices(d, 1)]
            # The standard error of Fisher's z of 400 draws is .05.
            assert np.all(np.abs(np.arctanh(found) - np.arctanh(correlation)) < 0.25)


@pytest.mark.parametrize("d", [2, 4, 7])
def test_posteriors_that_hug_the_edge_of_the_prior_are_right(d):
    # The most likely point is at, beyond and within the edge, by turns.
    centre, sd = np.resize([0.0, 1.03, 0.97], d), 0.05
    truth = stats.truncnorm((0 - centre) / sd, (1 - centre) / sd, centre, sd)
    samples, _ = draw(normal(centre, sd), d, seed=0)
    assert np.all((samples >= 0) & (samples <= 1))
    assert np.all(np.abs(samples.mean(axis=0) - truth.mean()) < MEAN * truth.std())
    assert np.all(np.abs(samples.std(axis=0) / truth.std() - 1) < SD)
    # A twentieth of the draws lies beyond each 5 % quantile: standard error .011 with 400 draws.
    for q in (0.05, 0.95):
        assert np.all(np.abs((samples < truth.ppf(q)).mean(axis=0) - q) < 0.05)


@pytest.mark.parametrize("d", [2, 7])
def test_data_that_say_nothing_give_the_prior(d):
    samples, effective = draw(lambda unit: np.zeros(len(unit)), d, seed=1)
    assert effective == 4000
    for column in samples.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("d, sd", [(2, 0.02), (4, 0.04), (7, 0.08)])
def test_both_modes_hold_their_share(d, sd):
    low, high = normal(np.full(d, 0.3), sd), normal(np.full(d, 0.7), sd)
    for seed in range(4):
        samples, effective = draw(
            lambda unit: np.logaddexp(np.log(0.7) + low(unit), np.log(0.3) + high(unit)), d, seed
        )
        first = samples.mean(axis=1) < 0.5
        # Five standard errors of a share among `effective` draws.
        assert abs(first.mean() - 0.7) < 5 * np.sqrt(0.21 / effective)
        for mode, centre in ((first, 0.3), (~first, 0.7)):
            assert np.all(np.abs(samples[mode].mean(axis=0) - centre) < 2 * MEAN * sd)
            assert np.all(np.abs(samples[mode].std(axis=0) / sd - 1) < 2 * SD)


@pytest.mark.parametrize("d, thin", [(6, 0.02), (8, 0.05)])
def test_thin_curved_posteriors_are_whole(d, thin):
    # A parabola in d dimensions along the first, up to 15 times as long as it is thick.
    along = stats.truncnorm(-0.5 / 0.15, 0.5 / 0.15, 0.5, 0.15)

    def parabola(unit):
        curve = 0.2 + 2.4 * (unit[:, :1] - 0.5) ** 2
        return along.logpdf(unit[:, 0]) - 0.5 * (((unit[:, 1:] - curve) / thin) ** 2).sum(axis=1)

    for seed in range(4):
        samples, _ = draw(parabola, d, seed)
        assert abs(samples[:, 0].mean() - 0.5) < MEAN * along.std()
        assert abs(samples[:, 0].std() / along.std() - 1) < SD
        off = samples[:, 1:] - (0.2 + 2.4 * (samples[:, :1] - 0.5) ** 2)
        assert np.all(np.abs(off.std(axis=0) / thin - 1) < SD)


def shell(unit):
    """A thin shell in many dimensions, that no single multivariate t covers well."""
    return -0.5 * ((np.linalg.norm(unit - 0.5, axis=1) - 0.3) / 0.005) ** 2


def test_a_shell_is_whole():
    d = 7
    samples, effective = draw(shell, d, seed=2)
    radius = np.linalg.norm(samples - 0.5, axis=1)
    error = 0.3 / np.sqrt(d) / np.sqrt(effective)
    assert np.all(np.abs(samples.mean(axis=0) - 0.5) < 5 * error)
    # The density of the radius is r^6 times a normal one: its mean is .3 + 6 sd^2 / .3.
    assert abs(radius.mean() - 0.3005) < 5 * 0.005 / np.sqrt(effective) + 1e-5
    assert abs(radius.std() / 0.005 - 1) < 5 / np.sqrt(2 * effective) + 0.01


@pytest.mark.parametrize("log_density, d", [(normal(np.full(3, 0.4), 0.02), 3), (shell, 7)])
def test_draws_are_in_random_order_and_the_same_for_a_seed(log_density, d):
    samples, effective = draw(log_density, d, seed=5)
    assert np.array_equal(samples, draw(log_density, d, seed=5)[0])
    assert not np.array_equal(samples, draw(log_density, d, seed=6)[0])
    # In random order neighbours are uncorrelated: standard error .016 over 4,000 draws, of which 10 at most are tested.
    for column in samples.T:
        assert abs(np.corrcoef(column[1:], column[:-1])[0, 1]) < 0.08
    # The first 500 tell of the whole: their mean has a standard error of less than .045 sd.
    assert np.all(np.abs(samples[:500].mean(axis=0) - samples.mean(axis=0)) < 0.2 * samples.std(axis=0))


def test_a_posterior_takes_no_more_points_than_rounds_allow():
    likelihood = Closed(normal(np.full(4, 0.4), 0.01))
    space = hc.Space([hc.Parameter(f"x{i}", hc.uniform(0, 1)) for i in range(4)])
    sample_posterior(likelihood, space, np.zeros((1, 1)), 0)
    # 20 rounds may be taken; a normal posterior needs fewer than half of them.
    assert likelihood.asked < 11 * 2**12


def test_few_draws_are_said_and_do_not_shrink_to_points():
    # A needle: 200 sd across each of 12 parameters, curved so that no proposal gets through.
    space = hc.Space([hc.Parameter(f"x{i}", hc.uniform(0, 1)) for i in range(12)])

    def bent(unit):
        return -0.5 * (((unit[:, 1:] - unit[:, :-1] ** 2) / 0.005) ** 2).sum(axis=1)

    with pytest.warns(
        UserWarning, match="worth .* independent ones, so they are from a flattened, wider one"
    ):
        samples, effective = sample_posterior(Closed(bent), space, np.zeros((1, 1)), 0)
    assert effective < 400
    # Not the few points that were met: the posterior's own weights leave no more than these.
    assert len(samples.drop_duplicates()) > 400


def test_weights_integrate_what_the_first_points_hardly_see():
    d, sd = 3, 0.01
    centre = np.array([0.21, 0.5, 0.83])
    rng = np.random.default_rng(4)
    points = sobol_points(d, 2**12, rng)
    density = normal(centre, sd)
    assert 1 / (normalised(density(points)) ** 2).sum() < 5
    points, log_weight = importance_sample(points, density(points), density, rng, 2**11, 1000)
    # The weights are relative to the prior: they sum to the evidence, which is 1; its error is below 5 % at 1,000.
    assert abs(np.exp(log_weight).sum() - 1) < 0.2
    assert np.all(np.abs(normalised(log_weight) @ points - centre) < 5 * sd / np.sqrt(1000))


def test_draws_that_pile_up_at_an_end_of_their_box_are_told():
    rng = np.random.default_rng(0)
    box = np.array([[0.2, 0.0, 0.3], [0.6, 0.5, 0.7]])
    inside = stats.norm(0.5, 0.1).ppf(rng.uniform(0.01, 0.99, (5000, 3)))
    none = box[0] + (box[1] - box[0]) * inside
    assert not cut_off(none, box).any()
    # The second box begins where the cube does: what lies there is cut off by the prior and not by the box.
    piled = np.where([True, True, False], box[0] + 0.03 * rng.random((5000, 3)), none)
    assert cut_off(piled, box).tolist() == [[True, False, False], [False] * 3]
    piled[:, 2] = box[1, 2] - rng.exponential(0.03, 5000)
    assert cut_off(piled, box).tolist() == [[True, False, False], [False, False, True]]
