"""The verdict: how often a model that is right is refused, and what a model cannot make."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import hetcal as hc
from hetcal.calibrate.posterior import Posterior
from hetcal.checks.predictive import predictive_checks
from hetcal.checks.verdict import verdict_of
from hetcal.designs import sobol_points

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.FitWarning")

SD = 0.15
DAYS = 10
X = np.linspace(0, 1, DAYS)


class Line:
    """A straight line with noise, and its value at 2, which is held out."""

    name, version, parameters = "line", "1", ("a", "b")
    outputs = {"y": (DAYS,), "later": ()}

    def __call__(self, theta, seed):
        rows = np.array([[theta["a"], theta["b"]]])
        return {name: values[0] for name, values in self.batch(rows, np.array([seed])).items()}

    def batch(self, theta, seeds):
        noise = np.stack([np.random.default_rng(s).normal(0, SD, DAYS + 1) for s in seeds])
        later = theta[:, 0] + 2 * theta[:, 1] + noise[:, -1]
        return {"y": theta[:, :1] + theta[:, 1:] * X + noise[:, :-1], "later": later}


class Amortised:
    """Posteriors of many data sets from one emulated likelihood, as `PosteriorResult` shows them."""

    def __init__(self, method, seed, points=2**13):
        self.method, self.seed, self.rng = method, seed, np.random.default_rng(seed)
        self.space, self.simulator = method.problem.space, method.problem.simulator
        result = method.run(seed=seed)
        self.likelihood, self.first = result.likelihood, result.prior_runs()
        self.grid = sobol_points(self.space.dimension, points, self.rng)

    def simulate(self, theta, first):
        return self.simulator.batch(theta, np.arange(first, first + len(theta)))

    def posterior(self, data, n=500, index=0, **options):
        """The posterior given data by target name."""
        fitted = {t.name: np.reshape(data[t.name], t.observed.shape)[None] for t in self.method.targets}
        logs = self.likelihood.log_likelihood(self.grid, self.likelihood.summaries(fitted))[0]
        weight = np.exp(logs - logs.max())
        chosen = self.rng.choice(len(self.grid), size=n, p=weight / weight.sum())
        theta = self.space.from_unit(self.grid[chosen])
        runs = {"theta": theta, "outputs": self.simulate(theta, 10**9 + 1000 * index)}
        targets = [replace(t, observed=data[t.name]) for t in self.method.problem.targets]
        problem = hc.Problem(self.space, self.simulator, targets)
        return SimpleNamespace(
            problem=problem,
            method=replace(self.method, problem=problem, **options),
            seed=index,
            predictive_runs=lambda: runs,
            prior_runs=lambda: self.first,
        )


def judge(result):
    return verdict_of(result, predictive_checks(result))


@pytest.fixture(scope="module")
def line(needs_r):
    space = hc.Space([hc.Parameter(name, hc.uniform(0, 1)) for name in ("a", "b")])
    targets = [
        hc.Target("y", observed=np.zeros(DAYS), loss="rss"),
        hc.Target("later", observed=0.0, loss="rss", weight=0),
    ]
    emulator = hc.HetGP(noise="homoskedastic")
    method = Posterior(
        hc.Problem(space, Line(), targets), initial=100, replicates=5, predictive=0, emulator=emulator
    )
    return Amortised(method, seed=4)


def test_a_right_model_is_told_so_in_at_least_95_of_100_data_sets(line):
    theta = np.random.default_rng(8).random((100, 2))
    data = line.simulate(theta, 10**6)
    kinds = [
        judge(line.posterior({"y": data["y"][i], "later": data["later"][i]}, index=i)).kind
        for i in range(100)
    ]
    # At 95 % a count below 88 has probability 1e-3 or less: the false-alarm rate of this test.
    assert kinds.count("fits") >= stats.binom.ppf(1e-3, 100, 0.95)
