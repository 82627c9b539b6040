"""Laws of whole ticks against the continuous laws that they round."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hetcal.simulators.delays import delay_laws, gamma_ticks, guide_of, lognormal_ticks, ticks


@pytest.mark.parametrize("mean, sd", [(6.0, 2.0), (0.3, 0.5), (40.0, 20.0), (8.0, 0.01)])
def test_laws_round_to_at_least_one(mean, sd):
    sigma = np.sqrt(np.log(1 + (sd / mean) ** 2))
    continuous = {
        lognormal_ticks: stats.lognorm(sigma, scale=mean / np.exp(sigma**2 / 2)),
        gamma_ticks: stats.gamma((mean / sd) ** 2, scale=sd**2 / mean),
    }
    for discrete, law in continuous.items():
        values = discrete(mean, sd)
        assert values[-1] == 1.0 and np.all(np.diff(values) >= 0)
        np.testing.assert_allclose(values, law.cdf(np.arange(1, len(values) + 1) + 0.5), atol=1e-9)


def test_times_of_the_scenario():
    latent, infectious = (1 + np.sum(1 - law) for law in (lognormal_ticks(6.0, 2.0), gamma_ticks(8.0, 2.0)))
    assert latent == pytest.approx(6.0, abs=1e-3) and infectious == pytest.approx(8.0, abs=1e-3)


def test_without_spread_everybody_waits_the_mean():
    for law in (lognormal_ticks(6.0, 0.0), gamma_ticks(6.0, 0.0)):
        assert law[4] == 0.0 and law[5] == 1.0


def test_draws_have_their_law():
    # Chi-square over the values of 200,000 draws, false-alarm rate 1e-6; each draw is one uniform by inversion.
    for law in (lognormal_ticks(6.0, 2.0), gamma_ticks(0.4, 1.0)):
        guide, n = guide_of(law), 200_000
        drawn = np.array([ticks(law, guide, np.uint64(77), person) for person in range(n)])
        expected = np.diff(law, prepend=0.0) * n
        often = expected > 10
        counts = np.bincount(drawn, minlength=len(law) + 1)[1:]
        seen = np.append(counts[often], n - counts[often].sum())
        hoped = np.append(expected[often], n - expected[often].sum())
        assert stats.chisquare(seen, hoped).pvalue > 1e-6


def test_laws_of_runs_are_ended_by_ones():
    means = np.array([6.0, 20.0, 6.0])
    latent, _ = delay_laws(means, means, np.full(3, 2.0), np.full(3, 2.0))
    assert np.all(latent[:, -1] == 1.0)
    np.testing.assert_array_equal(latent[0], latent[2])
    own = lognormal_ticks(6.0, 2.0)
    np.testing.assert_array_equal(latent[0, : len(own)], own)
