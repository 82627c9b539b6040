"""Small calibrations that the report's tests share; R fits them once a session."""

from __future__ import annotations

import numpy as np
import pytest

import hetcal as hc

SMALL = {
    "replicates": 4,
    "batch": 4,
    "rounds": 3,
    "finalists": 3,
    "finalist_replicates": 20,
    "winner_replicates": 60,
    "candidates": 1000,
}
SIX = [f"p{i}" for i in range(6)]


@hc.simulator(parameters=["x"], outputs={"y": (), "z": ()}, version="1")
def bowl(theta, seed):
    """One parameter, one number that is compared and one that is not."""
    rng = np.random.default_rng(seed)
    return {"y": np.array(3 * theta["x"] ** 2 + rng.normal(0, 0.2)), "z": np.array(rng.normal(100, 1))}


@hc.simulator(parameters=["a", "b"], outputs={"matrix": (2, 3), "count": (), "walk": (6,)}, version="1")
def mixed(theta, seed):
    """Outputs of all shapes; fails at times where a is large, gives no count at times."""
    rng = np.random.default_rng(seed)
    if theta["a"] > 0.75 and rng.random() < 0.8:
        raise RuntimeError("the model <em>broke</em>")
    count = np.nan if rng.random() < 0.05 else float(rng.poisson(5000 * theta["b"]))
    return {
        "matrix": rng.poisson(50 * theta["a"] * np.arange(1, 7).reshape(2, 3)).astype(float),
        "count": np.array(count),
        "walk": rng.normal(theta["a"], 0.1, 6),
    }


@hc.simulator(parameters=SIX, outputs={"y": (8,)}, version="1")
def six(theta, seed):
    """Six parameters, each half as important as the one before."""
    rate = sum(theta[name] * 0.5**i for i, name in enumerate(SIX))
    return {"y": np.random.default_rng(seed).poisson(20 * rate * np.arange(1, 9)).astype(float)}


def ends(walk):
    """The last two days of a walk."""
    return walk[-2:]


@pytest.fixture(scope="session")
def one_parameter(needs_r):
    space = hc.Space([hc.Parameter("x", hc.log_uniform(0.1, 10), unit="kg", label="mass of $x_1 <b>")])
    target = hc.Target("y", observed=3.0, loss="gaussian", sd=0.3, name="../<i>weird</i>")
    method = hc.BayesianCalibration(hc.Problem(space, bowl, [target]), initial=20, **SMALL)
    return method.run(hc.Ledger(), seed=0)


@pytest.fixture(scope="session")
def several_targets(needs_r):
    """Failing runs, partial runs, a matrix, a number, a statistic that is far off and a target of weight 0."""
    space = hc.Space(
        [hc.Parameter("a", hc.uniform(0, 1)), hc.Parameter("b", hc.uniform(0, 3), unit="per day")]
    )
    targets = [
        hc.Target("matrix", observed=25 * np.arange(1, 7).reshape(2, 3)),
        hc.Target("count", observed=9000, weight=0.1),
        hc.Target("walk", observed=[0.5, 2.0], statistic=ends, loss="rss", name="end of walk"),
        hc.Target("walk", observed=[0.5] * 6, loss="rss", weight=0, name="all of walk"),
    ]
    method = hc.BayesianCalibration(hc.Problem(space, mixed, targets), initial=24, **SMALL)
    return method.run(hc.Ledger(), seed=0)


@pytest.fixture(scope="session")
def six_parameters(needs_r):
    space = hc.Space([hc.Parameter(name, hc.uniform(0, 1)) for name in SIX])
    target = hc.Target("y", observed=20 * np.arange(1, 9))
    method = hc.BayesianCalibration(hc.Problem(space, six, [target]), initial=40, **SMALL)
    return method.run(hc.Ledger(), seed=0)
