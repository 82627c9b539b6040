"""Posteriors given ensemble statistics: exact where the law is known, closer by rounds, resumed, bad input."""

from __future__ import annotations

import numpy as np
import pytest

import hetcal as hc

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.FitWarning")

SPACE = hc.Space([hc.Parameter("rate", hc.uniform(0, 1)), hc.Parameter("chance", hc.uniform(0, 1))])


@hc.simulator(parameters=["rate", "chance"], outputs={"y": (), "event": ()}, version="1")
def model(theta, seed):
    rng = np.random.default_rng(seed)
    return {
        "y": np.exp(3 * theta["rate"]) + rng.normal(0, 0.02),
        "event": float(rng.random() < theta["chance"]),
    }


def target(output, value, statistic, **options):
    options = {"realisations": 25} | options
    return hc.EnsembleTarget(output, observed=value, loss="rss", statistic=statistic, **options)


MEAN, SHARE = target("y", 4.5, "mean"), target("event", 0.6, "share_positive")
METHOD = hc.EnsemblePosterior(
    hc.Problem(SPACE, model, [SHARE, MEAN]), initial=30, replicates=4, batch=40, rounds=4, predictive=3
)


@pytest.fixture(scope="module")
def result(needs_r):
    return METHOD.run(seed=2)


def test_the_posterior_is_the_exact_one(result):
    # rate: 4.5 +- .02/5, so log(4.5)/3 +- .0003; chance: Beta(16, 11).
    rate, chance = result.samples["rate"], result.samples["chance"]
    sd = 0.02 / 5 / 4.5 / 3
    assert abs(rate.mean() - np.log(4.5) / 3) < 2 * sd and 0.8 * sd < rate.std() < 2 * sd
    # 280 runs know the chance near the posterior to about .04, which adds to the data's .094; false alarm .003.
    assert abs(chance.mean() - 16 / 27) < 0.12 and 0.085 < chance.std() < 0.15


def test_rounds_look_closer(result):
    notes = result.ledger.checkpoints(result.study)
    first, last = (np.ptp(np.array(notes[f"round {i}"]["box"]), axis=0) for i in (0, 4))
    assert last[0] < 0.03 and last[0] < first[0] / 3 and last[1] > 0.5
    asks = result.ledger.asks(result.study, model)
    placed = asks[asks["purpose"] == "placement"]
    assert placed["seeds"].map(len).sum() == 160
    late = placed[placed["round"] == 4]
    assert (np.abs(late["rate"] - np.log(4.5) / 3) < 0.02).all()
    # Predictive runs come in ensembles of the data's size.
    assert asks[asks["purpose"] == "predictive"]["seeds"].map(len).tolist() == [25, 25, 25]


def test_a_study_resumes_to_the_same_answer(result, tmp_path):
    for _ in range(3):
        with hc.Ledger(tmp_path / "runs.db") as ledger:
            todo = METHOD.ask(ledger, seed=2)
            outputs = [model({"rate": r.rate, "chance": r.chance}, int(r.seed)) for r in todo.itertuples()]
            frame = todo[["rate", "chance", "seed"]].assign(
                y=[o["y"] for o in outputs], event=[o["event"] for o in outputs]
            )
            ledger.add_runs(frame, model)
    with hc.Ledger(tmp_path / "runs.db") as ledger:
        assert METHOD.run(ledger, seed=2).samples.equals(result.samples)


def test_data_outside_of_everything_simulated_are_told_first(needs_r):
    problem = hc.Problem(SPACE, model, [target("y", 40.0, "mean"), SHARE])
    far = hc.EnsemblePosterior(problem, initial=30, rounds=0, predictive=0).run(seed=1)
    assert far.outside[0].startswith("y is 40, outside of everything simulated (")
    assert repr(far).startswith(far.outside[0])


@pytest.mark.parametrize(
    "targets, message",
    [
        ([hc.Target("y", observed=1.0, loss="rss")], "'y' is of single runs: use hetcal.Posterior"),
        (
            [target("y", 1.0, "median")],
            "the sampling law of its statistic is not known; it is of share_positive",
        ),
        ([target("y", 1.0, "mean", realisations=None)], "how many realisations it was observed in"),
        (
            [
                target("y", 1.0, "mean", weight=0),
                hc.EnsembleTarget("event", 0.5, "rss", 1e-9, statistic="median"),
            ],
            "law",
        ),
        ([MEAN, target("event", 0.5, "share_positive", realisations=20)], "20 and 25 realisations"),
    ],
)
def test_targets_without_a_sampling_law_are_refused(targets, message):
    with pytest.raises(ValueError, match=message):
        hc.EnsemblePosterior(hc.Problem(SPACE, model, targets))


@pytest.mark.parametrize("kept", [[0, 0], [-1, 1], [0.5, 1], [0, 1, 2]])
def test_elements_that_are_none_are_refused(kept):
    with pytest.raises(
        ValueError, match="kept names the elements of 'y' that were observed, 2 different whole"
    ):
        hc.EnsembleTarget("y", observed=[1.0, 2.0], loss="rss", statistic="mean", kept=kept)


def test_an_element_that_the_output_has_not_is_refused():
    far = hc.EnsembleTarget("y", observed=[1.0], loss="rss", statistic="mean", kept=[1])
    with pytest.raises(ValueError, match="kept names element 1 but output 'y' has shape"):
        hc.Problem(SPACE, model, [far])
