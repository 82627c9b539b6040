"""The likelihood of ensemble statistics: against closed forms where the model is known, and what follows others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

import hetcal as hc
from hetcal.calibrate.ensemble_likelihood import fit_ensemble
from hetcal.calibrate.ensemble_statistics import statistics_of
from hetcal.designs import sobol_points

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.FitWarning")

N = 20


def runs(unit: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """A normal number whose mean follows a and spread b, an event whose chance follows a, and one that follows it."""
    rng = np.random.default_rng(seed)
    a, b = unit.T
    happens = rng.random(len(unit)) < expit(3 * (a - 0.5))
    y = a + 0.2 * happens + rng.normal(0, 0.1 + 0.2 * b)
    follower = np.where(happens, 0.9, 0.0) + rng.normal(0, 1e-3, len(unit))
    return {"event": happens.astype(float), "y": y, "follower": follower, "same": np.ones(len(unit))}


def described(data: dict[str, np.ndarray]) -> tuple[hc.EnsembleTarget, ...]:
    """Targets that say what these runs, all of them one ensemble, came to."""
    n = len(data["y"])

    def of(output, statistic, value, name):
        return hc.EnsembleTarget(
            output, observed=value, loss="rss", statistic=statistic, realisations=n, name=name
        )

    return (
        of("event", "share_positive", data["event"].mean(), "share"),
        of("y", "mean", data["y"].mean(), "mean"),
        of("y", "sd", data["y"].std(ddof=1), "spread"),
        of("follower", "mean", data["follower"].mean(), "follower"),
        of("same", "mean", 1.0, "same"),
    )


@pytest.fixture(scope="module")
def likelihood(needs_r):
    unit = np.repeat(sobol_points(2, 100, np.random.default_rng(1)), 40, axis=0)
    return fit_ensemble(
        described(runs(np.full((N, 2), 0.5), 7)), runs(unit, 2), unit, hc.HetGP(noise="heteroskedastic")
    )


def statistics(likelihood, data):
    return likelihood.summaries({t.name: t.observed[None] for t in described(data)})


def test_what_follows_others_and_what_never_varies_is_left_out_and_named(likelihood):
    assert [s.name for s in likelihood.statistics] == ["share", "mean", "spread"]
    assert likelihood.left_out["same"] == "same is left out: same is 1 in all runs"
    assert "of what varies of follower is what varies of event > 0" in likelihood.left_out["follower"]


def test_likelihood_is_that_of_the_model_where_runs_are_many(likelihood):
    """At the cube's middle against the closed form: Binomial, the mean given the share, chi-squared."""
    a, b = 0.55, 0.4
    seen = [runs(np.full((N, 2), 0.5), 100 + i) for i in range(40)]
    observed = np.vstack([statistics(likelihood, data) for data in seen])
    p, sd = expit(3 * (a - 0.5)), 0.1 + 0.2 * b
    share, mean, spread = observed.T
    exact = stats.binom(N, p).logpmf(np.round(N * share))
    exact += stats.norm(a + 0.2 * share, sd / np.sqrt(N)).logpdf(mean)
    variance = sd**2 + 0.04 * p * (1 - p)
    exact += stats.chi2(N - 1).logpdf((N - 1) * spread**2 / variance)
    found = likelihood.log_likelihood(np.array([[a, b]]), observed)[:, 0]
    # Up to a constant: by how much log L differs between data sets. The emulators know the mean to .01, the logit to .1
    # and the spread to 3 %, which is a quarter of the sampling errors.
    apart = (found - found.mean()) - (exact - exact.mean())
    assert np.sqrt((apart**2).mean()) < 0.5 and np.corrcoef(found, exact)[0, 1] > 0.97


def test_posteriors_cover_as_they_claim(likelihood):
    """100 truths from the prior: the ranks of a and b; false-alarm rate .001 each of 4 binomial tests."""
    rng = np.random.default_rng(11)
    grid = (np.stack(np.meshgrid(*[np.arange(60)] * 2), axis=-1).reshape(-1, 2) + 0.5) / 60
    truths = rng.random((100, 2))
    observed = np.vstack(
        [statistics(likelihood, runs(np.tile(u, (N, 1)), 1000 + i)) for i, u in enumerate(truths)]
    )
    logs = likelihood.log_likelihood(grid, observed)
    weight = np.exp(logs - logs.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    for j in range(2):
        below = np.array([w[grid[:, j] < u[j]].sum() for w, u in zip(weight, truths, strict=True)])
        for level in (0.5, 0.9):
            inside = int((np.abs(below - 0.5) < level / 2).sum())
            assert 0.0005 < stats.binom(100, level).cdf(inside) < 0.9995


def test_slopes_are_derivatives_of_log_likelihood(likelihood):
    at, seen = np.array([[0.4, 0.3], [0.7, 0.6]]), statistics(likelihood, runs(np.full((N, 2), 0.5), 3))
    moments = likelihood.moments(at)
    precision, slope = likelihood.slopes(moments, seen)
    p = expit(moments.mean[-1])
    # The share's own law, at given means: the derivative of a binomial log likelihood in the logit.
    assert np.allclose(slope[-1], N * (seen[0, 0] - p)) and np.allclose(precision[-1, -1], N * p * (1 - p))
    centre, covariance = likelihood._means_law(moments.mean.T, moments.noise_var.T, seen[0])
    assert np.allclose(slope[0], (seen[0, 1] - centre[:, 0]) / covariance[:, 0, 0])
    assert np.allclose(precision[0, 0], 1 / covariance[:, 0, 0])
    assert np.all(likelihood.variance(at, seen) > 0)


def test_nothing_is_likely_outside_of_the_box(likelihood):
    narrow = replace(likelihood, box=np.array([[0.2, 0.0], [0.6, 1.0]]))
    seen = statistics(likelihood, runs(np.full((N, 2), 0.5), 3))
    logs = narrow.log_likelihood(np.array([[0.1, 0.5], [0.4, 0.5], [0.7, 0.5]]), seen)[0]
    assert np.isinf(logs[[0, 2]]).all() and np.isfinite(logs[1])


def test_a_box_with_few_locations_learns_from_the_nearest_too(needs_r):
    unit = np.repeat(sobol_points(2, 80, np.random.default_rng(1)), 4, axis=0)
    targets = described(runs(np.full((N, 2), 0.5), 7))
    box = np.array([[0.4, 0.4], [0.6, 0.6]])
    local = fit_ensemble(targets, runs(unit, 2), unit, hc.HetGP(noise="homoskedastic"), None, box)
    X = local.processes[0].X
    assert len(X) == 30 and np.all((X > 0.1) & (X < 0.9))


def test_elements_that_are_kept_are_numbers_of_their_own():
    target = hc.EnsembleTarget(
        "arrival", observed=[3.0, 5.0], loss="rss", statistic="mean", realisations=5, kept=[4, 1]
    )
    found = statistics_of([target])
    assert [s.name for s in found] == ["arrival[4]", "arrival[1]"]
    outputs = {"arrival": np.arange(12.0).reshape(2, 6)}
    assert [s.number.of(outputs).tolist() for s in found] == [[4.0, 10.0], [1.0, 7.0]]
    assert target.loss_and_error(outputs["arrival"])[0] == (7 - 3) ** 2 + (4 - 5) ** 2
