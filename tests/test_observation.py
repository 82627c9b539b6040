"""Observation models against scipy's laws, their own moments and the losses of the same family."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hetcal.losses import LOSSES
from hetcal.observation import (
    GaussianObservation,
    NegativeBinomialObservation,
    Observation,
    PoissonObservation,
)

EXPECTED = np.array([0.2, 1.0, 7.5, 298.0])
OBSERVED = np.arange(0, 400, 7)[:, np.newaxis]
MODELS = [PoissonObservation(), NegativeBinomialObservation(20), GaussianObservation(3.0)]


def test_poisson_is_scipys_above_the_floor():
    ours = PoissonObservation(floor=0.5).log_density(OBSERVED, EXPECTED)
    assert ours == pytest.approx(stats.poisson.logpmf(OBSERVED, np.maximum(EXPECTED, 0.5)), rel=1e-10)


def test_negative_binomial_is_scipys():
    ours = NegativeBinomialObservation(20, floor=0.5).log_density(OBSERVED, EXPECTED)
    mean = np.maximum(EXPECTED, 0.5)
    assert ours == pytest.approx(stats.nbinom.logpmf(OBSERVED, 20, 20 / (20 + mean)), rel=1e-9)


def test_gaussian_is_scipys():
    ours = GaussianObservation(3.0).log_density(OBSERVED, EXPECTED)
    assert ours == pytest.approx(stats.norm.logpdf(OBSERVED, EXPECTED, 3.0), rel=1e-12)


def test_without_a_floor_a_count_where_none_is_expected_is_impossible():
    strict = PoissonObservation(floor=0)
    assert strict.log_density(1, 0.0) == -np.inf
    assert strict.log_density(0, 0.0) == 0.0
    assert NegativeBinomialObservation(5, floor=0).log_density([0, 1], 0.0).tolist() == [0.0, -np.inf]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_draws_have_the_stated_mean_and_variance(model):
    # Four z-tests each of mean and variance at 5 standard errors, for three laws: false-alarm rate 2e-5.
    n = 40_000
    draws = model.draw(np.tile(EXPECTED, (n, 1)), np.random.default_rng(1))
    mean = EXPECTED if isinstance(model, GaussianObservation) else np.maximum(EXPECTED, 0.5)
    variance = model.variance(EXPECTED)
    squares = (draws - mean) ** 2
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 5 * np.sqrt(variance / n))
    assert np.all(np.abs(squares.mean(axis=0) - variance) < 5 * squares.std(axis=0) / np.sqrt(n))
    assert isinstance(model, Observation)


@pytest.mark.parametrize(
    "model, loss, extra",
    [
        (PoissonObservation(), "poisson_deviance", 0.0),
        (NegativeBinomialObservation(20), "negative_binomial", 20.0),
    ],
)
def test_the_loss_of_the_same_name_is_the_deviance(model, loss, extra):
    observed = np.array([3.0, 40.0, 298.0])
    simulated = np.array([[2.0, 60.0, 250.0], [0.0, 30.0, 310.0]])
    losses = LOSSES[loss].evaluate(observed, simulated, 0.5, np.full(3, extra))
    log_densities = model.log_density(observed, simulated).sum(axis=1)
    assert -0.5 * np.diff(losses) == pytest.approx(np.diff(log_densities), rel=1e-10)


@pytest.mark.parametrize("sd", [0, -1.0, np.nan, np.inf, "2", None, True])
def test_a_bad_sd_is_refused(sd):
    with pytest.raises(ValueError, match="sd of GaussianObservation is .*above 0"):
        GaussianObservation(sd)


def test_bad_floor_and_dispersion_are_refused():
    with pytest.raises(ValueError, match="floor of PoissonObservation is -1.*at least 0"):
        PoissonObservation(floor=-1)
    with pytest.raises(ValueError, match="dispersion of NegativeBinomialObservation is 0.*above 0"):
        NegativeBinomialObservation(0)
    with pytest.raises(ValueError, match="floor of NegativeBinomialObservation is nan"):
        NegativeBinomialObservation(5, floor=np.nan)


@pytest.mark.parametrize("bad", [-1.0, 2.5])
@pytest.mark.parametrize("model", MODELS[:2], ids=lambda model: type(model).__name__)
def test_what_is_no_count_is_refused(model, bad):
    with pytest.raises(ValueError, match=f"law of counts and {bad:g} was observed"):
        model.check(np.array([3.0, bad]))
    MODELS[2].check(np.array([3.0, bad]))
