"""The shipped influenza study: the numbers that its story tells are true."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

import hetcal as hc

STUDY = hc.studies.load("flu1978")
OBSERVED = hc.data.flu1978()["in_bed"].to_numpy(dtype=float)
RUNS = 4_000


def deterministic(theta):
    """Boys in bed on each day, and all infected, in the ODE of the same model."""
    reproduction, days, start = theta

    def change(_, state):
        new = reproduction / days * state[0] * state[1] / 763
        return -new, new - state[1] / days

    path = solve_ivp(change, (0, 14), (763 - start, start), t_eval=np.arange(15.0), rtol=1e-8, atol=1e-8).y
    return path[1][:14], 763 - path[0][-1]


def fit(loss):
    """R0, infectious days and I0 with the least loss of the deterministic curve."""
    found = minimize(
        lambda log_theta: loss(deterministic(np.exp(log_theta))[0]),
        np.log([3.5, 2.0, 2.0]),
        method="Nelder-Mead",
        options={"xatol": 1e-5, "fatol": 1e-5},
    )
    return np.exp(found.x)


def deviance(mean):
    return 2 * np.sum(mean - OBSERVED + OBSERVED * np.log(OBSERVED / mean))


def simulated(theta):
    """Total losses, days of the peak and all infected of single runs."""
    outputs = STUDY.problem.simulator.batch(np.tile(theta, (RUNS, 1)), np.arange(RUNS, dtype=np.int64))
    losses = STUDY.problem.evaluate(outputs)["total"].to_numpy()
    return losses, outputs["in_bed"].argmax(axis=1), outputs["total_infected"]


def test_the_deterministic_fits_of_the_story():
    assert fit(lambda mean: np.sum((mean - OBSERVED) ** 2)) == pytest.approx([3.92, 2.19, 2.1], rel=0.01)
    assert fit(deviance) == pytest.approx([3.93, 2.08, 1.5], rel=0.01)
    assert deterministic((3.7, 2.2, 1.0))[1] == pytest.approx(740, abs=2)


def test_more_boys_at_the_start_make_runs_more_alike():
    # Fixed seeds. Standard errors: loss 54 and 5, share died out .0036, spread of the peak's day .011.
    losses, peaks, infected = simulated((3.92, 2.19, 2.1))
    losses_6, peaks_6, infected_6 = simulated((3.7, 2.2, 6))
    assert losses.mean() == pytest.approx(1_200, abs=160) and losses_6.mean() == pytest.approx(210, abs=20)
    assert (infected < 30).mean() == pytest.approx(0.05, abs=0.012) and (infected_6 < 30).mean() < 0.002
    spread, spread_6 = (day[total >= 30].std() for day, total in ((peaks, infected), (peaks_6, infected_6)))
    assert spread == pytest.approx(0.94, abs=0.04) and spread_6 == pytest.approx(0.66, abs=0.04)
    assert infected_6.mean() == pytest.approx(740, abs=2)


def test_the_data_of_the_story():
    assert OBSERVED.sum() == 1_559 and 1_559 / 512 == pytest.approx(3.0, abs=0.05)
    for number in ("512", "740", "1,559", "3.7", "2.2", "1,200", "about 210", "0.94", "0.66"):
        assert number in STUDY.story
    assert "outbreaks" not in STUDY.name and len(STUDY.look_at) >= 3


def test_unknown_budgets_are_refused():
    with pytest.raises(ValueError, match="unknown budget 'large'"):
        hc.studies.flu1978.study("large")
