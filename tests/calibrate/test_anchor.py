"""The exact posterior beside the emulated one: against a closed form, kept, refused where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import hetcal as hc
from hetcal.calibrate.anchor import known_anchor

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.FitWarning")

DAYS, START, DRIFT, ERROR = 8, 0.1, 0.1, 0.15
OBSERVED = np.array([0.5, 0.62, 0.85, 0.8, 1.1, 1.2, 1.22, 1.55])
LENGTH = {"iterations": 300, "burn_in": 150}


class Drift:
    """A random walk with drift b from a random start about a."""

    name, version, parameters, outputs = "drift", "1", ("a", "b"), {"y": (DAYS,)}  # noqa: RUF012

    def initial(self, theta, n, rng):
        return np.column_stack([theta["a"] + rng.normal(0, START, n), np.full(n, theta["b"])])

    def observe(self, states):
        return {"y": states[:, 0]}

    def step(self, states, theta, day, rng):
        walked = states[:, 0] + states[:, 1] + rng.normal(0, DRIFT, len(states))
        return np.column_stack([walked, states[:, 1]]), {}

    def __call__(self, theta, seed):
        days = hc.simulators.run_steps(self, theta, 1, np.random.default_rng(seed))
        return {name: values[0] for name, values in days.items()}


SPACE = hc.Space([hc.Parameter("a", hc.uniform(0, 1)), hc.Parameter("b", hc.uniform(-0.5, 0.5))])
LAW = {"y": hc.observation.GaussianObservation(ERROR)}


def posterior(observation=LAW, **target):
    target = {"observed": OBSERVED, "loss": "gaussian", "sd": 0.2} | target
    problem = hc.Problem(SPACE, Drift(), [hc.Target("y", **target)])
    return hc.Posterior(
        problem,
        observation=observation,
        emulator=hc.HetGP(noise="homoskedastic"),
        initial=40,
        replicates=5,
        rounds=0,
        predictive=0,
    )


@pytest.fixture(scope="module")
def result(needs_r):
    return posterior().run(seed=1)


def closed_form():
    """5, 50 and 95 % points of a and b, from the walk's own likelihood on a grid."""
    day = np.arange(DAYS)
    covariance = START**2 + DRIFT**2 * np.minimum.outer(day, day) + ERROR**2 * np.eye(DAYS)
    a, b = np.meshgrid(np.linspace(0, 1, 301), np.linspace(-0.5, 0.5, 301), indexing="ij")
    mean = a[..., None] + b[..., None] * day
    density = np.exp(stats.multivariate_normal(np.zeros(DAYS), covariance).logpdf(OBSERVED - mean))
    ends = []
    for axis, grid in ((1, a[:, 0]), (0, b[0])):
        cumulative = np.cumsum(density.sum(axis=axis)) / density.sum()
        ends.append(np.interp([0.05, 0.5, 0.95], cumulative, grid))
    return np.array(ends)


def test_the_anchor_of_a_linear_gaussian_walk_is_its_closed_form_and_is_kept(result):
    assert known_anchor(result) is None
    anchor = result.exact(**LENGTH)
    table, exact = anchor.comparison, closed_form()
    width = exact[:, 2] - exact[:, 0]
    found = table[["exact_low", "exact_median", "exact_high"]].to_numpy()
    # Of about 600 independent draws an end of an interval has a standard error of 0.03 widths.
    assert (np.abs(found - exact).max(axis=1) < 0.12 * width).all()
    assert anchor.mixed and anchor.effective > 200
    # Summaries are linear in the data and so sufficient; the emulators of 200 runs are not quite sure.
    assert anchor.agrees and table["shift"].abs().max() < 0.3
    assert table["width_ratio"].between(0.9, 1.4).all() and 0 < anchor.bits_lost < 1
    assert table[["low", "high"]].equals(result.intervals(0.9)[["low", "high"]])
    runs = len(result.ledger.runs(result.problem.simulator))
    again = result.exact(**LENGTH)
    assert again.samples.equals(anchor.samples) and len(result.ledger.runs(result.problem.simulator)) == runs
    assert known_anchor(result).samples.equals(anchor.samples)


def test_the_anchor_of_most_iterations_is_the_one_that_is_known(result):
    longer = result.exact(**LENGTH)
    short = result.exact(iterations=10, burn_in=30)
    assert len(short.samples) == 40 and not short.samples.equals(longer.samples[:40])
    assert len(known_anchor(result).samples) == len(longer.samples) == 1000


def test_a_posterior_that_stands_apart_or_is_too_narrow_does_not_agree(result):
    anchor = result.exact(**LENGTH)
    apart = anchor.comparison.assign(shift=[0.0, -1.1])
    assert not replace(anchor, comparison=apart).agrees
    narrow = anchor.comparison.assign(width_ratio=[1.0, 0.6])
    assert not replace(anchor, comparison=narrow).agrees
    wide = anchor.comparison.assign(width_ratio=[1.0, 3.0])
    assert replace(anchor, comparison=wide).agrees
    assert not replace(anchor, rhat=1.2).mixed


@pytest.mark.parametrize(
    "method, sentence",
    [
        (posterior(observation={}), "target 'y' has no observation model"),
        (
            posterior(observed=OBSERVED[:2], statistic=lambda y: y[..., :2]),
            "target 'y' compares a statistic, which a particle filter cannot weigh day by day",
        ),
        (replace(posterior(), discrepancy=0.2), "a particle filter knows no discrepancy"),
    ],
)
def test_without_an_exact_posterior_it_is_said_why(result, method, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(result, method=method).exact(**LENGTH)
