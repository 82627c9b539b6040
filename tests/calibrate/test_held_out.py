"""Scores on held-out days against exact ones of a Gaussian model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hetcal.calibrate.held_out import day_folds, held_out_scores
from hetcal.calibrate.particle_mcmc import ParticleMCMC
from hetcal.observation import GaussianObservation
from hetcal.parameters import Parameter, Space, uniform
from hetcal.simulators.stepping import run_steps

DAYS = 6


class LocalLevel:
    """A random walk with steps N(0, 1) from `level`, seen directly and doubled."""

    name, version, parameters = "local level", "1", ("level",)
    outputs = {"seen": (DAYS,), "double": (DAYS,)}

    def initial(self, theta, n, rng):
        return np.full((n, 1), theta["level"])

    def observe(self, states):
        return {"seen": states[:, 0], "double": 2.0 * states[:, 0]}

    def step(self, states, theta, day, rng):
        return states + rng.normal(size=states.shape), {}

    def __call__(self, theta, seed):
        runs = run_steps(self, theta, 1, np.random.default_rng(seed))
        return {name: days[0] for name, days in runs.items()}


SEEN = np.array([0.3, 1.9, 1.2, 3.4, np.nan, 2.0])
DOUBLE = np.array([1.0, 2.5, 1.7, 5.0, 6.1, 5.5])
SPACE = Space([Parameter("level", uniform(-20.0, 40.0))])  # so wide that it is flat


def method(observed, **settings) -> ParticleMCMC:
    return ParticleMCMC(SPACE, LocalLevel(), observed, GaussianObservation(1.0), **settings)


def exact(observed: dict[str, np.ndarray], hidden: list[int], scored: tuple[str, ...]) -> float:
    """Log density of the hidden data by the joint normal law, under a flat prior of the level."""
    walk = np.minimum.outer(np.arange(DAYS), np.arange(DAYS)) + 1e6
    scale = np.concatenate([np.full(DAYS, 2.0 if name == "double" else 1.0) for name in observed])
    covariance = np.tile(walk, (len(observed), len(observed))) * np.outer(scale, scale) + np.eye(len(scale))
    data = np.concatenate(list(observed.values()))
    day = np.tile(np.arange(DAYS), len(observed))
    of = np.repeat(list(observed), DAYS)
    shown = np.isfinite(data) & ~np.isin(day, hidden)
    with_hidden = shown | (np.isfinite(data) & np.isin(day, hidden) & np.isin(of, scored))

    def log_density(kept: np.ndarray) -> float:
        return stats.multivariate_normal.logpdf(
            data[kept], np.zeros(kept.sum()), covariance[np.ix_(kept, kept)]
        )

    return log_density(with_hidden) - log_density(shown)


@pytest.mark.parametrize(
    "observed, scored", [({"seen": SEEN}, None), ({"seen": SEEN, "double": DOUBLE}, ["seen"])]
)
def test_scores_are_those_of_the_exact_law(observed, scored):
    # 3 folds at 4.5 standard errors: false-alarm rate about 2e-5. So few particles that the filter is noisy.
    folds = {"last": [3, 4, 5], "middle": [1, 4], "first": [0]}
    table = held_out_scores(
        method(observed, particles=25, iterations=1_200), folds, outputs=scored, draws=2_400, seed=3
    ).set_index("fold")
    for fold, hidden in folds.items():
        row = table.loc[fold]
        assert row["error"] < 0.12
        assert abs(row["score"] - exact(observed, hidden, scored or tuple(observed))) < 4.5 * row["error"]
        assert row["data"] == np.isfinite(SEEN[hidden]).sum()
        assert row["score per datum"] == pytest.approx(row["score"] / row["data"])
    assert table["rhat"].max() < 1.02


def test_the_folds_hide_each_day_once_and_the_last():
    folds = day_folds(14)
    assert folds.pop("last 4 days") == [10, 11, 12, 13]
    assert sorted(day for days in folds.values() for day in days) == list(range(14)) and len(folds) == 3


def test_the_same_seed_gives_the_same_scores():
    quick = method({"double": DOUBLE}, particles=20, iterations=40, burn_in=30)
    first, again, other = (held_out_scores(quick, {"a": [2]}, draws=40, seed=seed) for seed in (1, 1, 2))
    columns = ["fold", "data", "score", "error"]
    assert first[columns].equals(again[columns]) and first["score"][0] != other["score"][0]


@pytest.mark.parametrize(
    "settings, sentence",
    [
        ({"folds": {"late": [6]}}, "fold 'late' hides day 6: days are 0 to 5"),
        ({"folds": {"back": [-1]}}, "fold 'back' hides day -1"),
        ({"folds": {"empty": []}}, "fold 'empty' hides no datum of seen"),
        ({"folds": {"unknown": [4]}}, "fold 'unknown' hides no datum of seen"),
        ({"folds": {"all": range(6)}}, "observed 'seen' has no datum"),
        ({"folds": [[1, 2]]}, "give a dict of name to days"),
        ({"outputs": ["beds"]}, "outputs is beds: observed are seen"),
        ({"draws": 0}, "draws is 0"),
    ],
)
def test_bad_folds_are_named(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        held_out_scores(method({"seen": SEEN}), **settings)
