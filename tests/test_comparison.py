"""Models of the same data beside each other: scores, verdicts, held-out data, and the page that tells them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

import hetcal as hc

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.FitWarning", "ignore:Only .* effective")

DAYS = 10
LAW = hc.observation.PoissonObservation()


@dataclass(frozen=True)
class Cases:
    """Cases that grow by a factor a day, or stay as they are; every day's logarithm has a little noise."""

    grows: bool
    version = "1"
    outputs = {"cases": (DAYS,), "last": ()}  # noqa: RUF012

    @property
    def name(self):
        return "growing" if self.grows else "constant"

    @property
    def parameters(self):
        return ("first", "growth") if self.grows else ("first",)

    def initial(self, theta, n, rng):
        return np.full((n, 1), float(theta["first"]))

    def observe(self, states):
        return {"cases": states[:, 0]}

    def step(self, states, theta, day, rng):
        factor = np.exp(theta.get("growth", 0.0) + rng.normal(0, 0.05, states.shape))
        return states * factor, {}

    def __call__(self, theta, seed):
        rng = np.random.default_rng(seed)
        states, days = self.initial(theta, 1, rng), np.empty(DAYS)
        for day in range(DAYS):
            days[day] = self.observe(states)["cases"][0]
            states, _ = self.step(states, theta, day, rng)
        return {"cases": days, "last": np.array(days[-1])}


OBSERVED = np.array([5, 8, 7, 11, 12, 19, 17, 26, 28, 41])
PRIORS = {"first": hc.uniform(2, 40), "growth": hc.uniform(-0.1, 0.5)}


def fitted(grows, **options):
    simulator = Cases(grows)
    space = hc.Space([hc.Parameter(name, PRIORS[name]) for name in simulator.parameters])
    targets = [
        hc.Target("cases", observed=OBSERVED, loss="poisson_deviance"),
        hc.Target("last", observed=40.0, weight=0, label="cases on the last day"),
    ]
    options = {"observation": {"cases": LAW}, "initial": 40, "replicates": 5, "rounds": 0} | options
    method = hc.Posterior(
        hc.Problem(space, simulator, targets),
        emulator=hc.HetGP(noise="homoskedastic"),
        **{"predictive": 100} | options,
    )
    return method.run(seed=1)


@pytest.fixture(scope="module")
def results(needs_r):
    return {"right": fitted(True), "wrong": fitted(False)}


@pytest.fixture(scope="module")
def comparison(results):
    return hc.compare_models(results, folds={"last 2 days": [8, 9]}, iterations=500, burn_in=200)


def test_the_right_model_is_ranked_over_the_wrong_one_on_held_out_days(comparison):
    scores = comparison.scores.set_index("model")
    assert scores["fitted"].eq("its own series").all() and scores["data"].eq(2).all()
    # Poisson with a mean near 14 gives the last two days, 28 and 41, a chance below 1e-8; the truth gives 1e-3.
    assert scores.loc["right", "score"] > scores.loc["wrong", "score"] + 8
    told = "right predicts cases on held-out last 2 days better than wrong"
    assert any(s.startswith(told) for s in comparison.says)


def test_verdicts_and_held_out_data_are_told_by_model(comparison):
    table = comparison.table.set_index("model")
    assert table["parameters"].to_dict() == {"right": 2, "wrong": 1}
    assert table["data"].eq(DAYS).all() and table["runs"].eq(40 * 5 + 100).all()
    assert table["verdict"].to_dict() == {"right": "fits", "wrong": "no parameters fit"}
    told = [s for s in comparison.says if "cases on the last day" in s]
    assert len(told) >= 2 and told[-2].startswith("right predicts ")
    held_out = comparison.held_out.set_index("model")
    assert held_out.loc["right", "low"] < 40 < held_out.loc["right", "high"]
    assert held_out.loc["wrong", "high"] < 30


def test_scores_are_kept_in_the_ledger(comparison, results):
    again = hc.compare_models(results, folds={"last 2 days": [8, 9]}, iterations=500, burn_in=200)
    assert again.scores.equals(comparison.scores)
    noted = [n for r in results.values() for n in r.ledger.checkpoints(r.study) if n.startswith("held out")]
    assert len(noted) == 2


def test_an_exact_posterior_that_mixed_is_the_one_compared(results):
    anchor = results["right"].exact(iterations=200, burn_in=100)
    assert anchor.mixed
    table = hc.compare_models(results, score=False).intervals.set_index(["model", "parameter"])
    assert table["source"].to_dict() == {
        ("right", "first"): "exact",
        ("right", "growth"): "exact",
        ("wrong", "first"): "emulated",
    }
    expected = anchor.comparison.loc[0, ["exact_low", "exact_high"]].tolist()
    assert table.loc[("right", "first"), ["low", "high"]].tolist() == expected


def test_the_page_tells_both_models(comparison, tmp_path):
    path = comparison.report(tmp_path)
    assert path == tmp_path / "models.html"
    text = path.read_text(encoding="utf-8")
    assert text.index("right: The model fits") < text.index("The models beside each other")
    assert "last 2 days" in text and "Data that no model was fitted to" in text
    numbers = json.loads((tmp_path / "models.json").read_text(encoding="utf-8"))
    assert numbers["models"][1]["verdict"] == "no parameters fit"
    assert len(numbers["scores"]) == 2 and numbers["says"] == list(comparison.says)
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {
        "models-cases.png",
        "models-parameter-first.png",
    }


def test_models_without_an_observation_model_are_compared_without_scores(results):
    blind = fitted(False, observation={}, predictive=60)
    found = hc.compare_models({"right": results["right"], "blind": blind}, iterations=20, burn_in=30)
    assert found.scores["model"].eq("right").all() and any("blind was not scored" in s for s in found.says)


def test_fewer_than_two_models_or_other_data_are_refused(results):
    with pytest.raises(ValueError, match="1 models are nothing to compare"):
        hc.compare_models({"right": results["right"]})
