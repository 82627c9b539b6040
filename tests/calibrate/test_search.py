"""Which rounds fit hyperparameters, what the others do, and that resuming or sharing out changes no number."""

from __future__ import annotations

import numpy as np
import pytest

import hetcal as hc
from hetcal.calibrate import search as search_module

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.hetgp.FitWarning")


@hc.simulator(parameters=["a", "b"], outputs={"u": (), "v": ()}, version="1")
def bowl(theta, seed):
    rng = np.random.default_rng(seed)
    far = (theta["a"] - 0.3) ** 2 + (theta["b"] - 0.6) ** 2
    return {"u": 10 * np.exp(far + 0.1 * rng.normal()), "v": 10 * np.exp(2 * far + 0.2 * rng.normal())}


SPACE = hc.Space([hc.Parameter("a", hc.uniform(0, 1)), hc.Parameter("b", hc.uniform(0, 1))])


def study(**settings):
    """Two losses; 16 locations to start, 3 more in each of 4 rounds."""
    targets = [hc.Target(name, observed=9.0, loss="rss", transform=("log", -1.0)) for name in ("u", "v")]
    given = dict(initial=16, replicates=3, batch=3, rounds=4, candidates=300, finalists=2)
    given |= dict(finalist_replicates=5, winner_replicates=10, emulator=hc.HetGP(noise="homoskedastic"))
    return hc.BayesianCalibration(hc.Problem(SPACE, bowl, targets), **(given | settings))


@pytest.fixture
def many_locations(monkeypatch):
    """As if 16 locations were many."""
    monkeypatch.setattr(search_module, "_FIT_ALWAYS", 10)


def fitted_rounds(ledger, method):
    known = ledger.checkpoints(method.study_name(1))
    return sorted(int(name.split()[1]) for name in known if name.startswith("fit "))


def test_few_locations_are_fitted_in_every_round(needs_r):
    ledger, method = hc.Ledger(), study()
    method.run(ledger, seed=1)
    assert fitted_rounds(ledger, method) == [0, 1, 2, 3, 4]


def test_many_are_fitted_when_they_grew_by_a_fifth(needs_r, many_locations):
    ledger, method = hc.Ledger(), study()
    result = method.run(ledger, seed=1)
    # 16 locations, then 19, 22, 25, 28 where none is asked for again: 22 is 1.2 x 16 and more, 28 is 1.2 x 22.
    asks = ledger.asks(method.study_name(1))
    assert len(asks[asks["round"] <= 4].drop_duplicates(["a", "b"])) == 28
    assert fitted_rounds(ledger, method) == [0, 2, 4]
    assert result.emulators["u"].state.message != "updated"


def test_between_fits_the_runs_are_added_and_the_hyperparameters_kept(needs_r, many_locations):
    ledger, method = hc.Ledger(), study(rounds=3)
    result = method.run(ledger, seed=1)
    assert fitted_rounds(ledger, method) == [0, 2]
    known = ledger.checkpoints(method.study_name(1))
    for name, emulator in result.emulators.items():
        assert emulator.state.message == "updated"
        assert emulator.hyperparameters["theta"] == known["fit 2"][name]["theta"]
        assert int(emulator.state.mult.sum()) == 3 * (16 + 3 * 3)


def test_a_resumed_study_and_one_with_workers_have_the_same_numbers(needs_r, many_locations):
    method, at = study(rounds=3), np.random.default_rng(0).random((50, 2))
    ledger = hc.Ledger()
    whole = method.run(ledger, seed=1)
    shared = study(rounds=3).run(seed=1, workers=2)
    # Run by run as from a cluster: every round starts from what the ledger holds, with no emulator in memory.
    piecewise, pieces = hc.Ledger(), 0
    while len(todo := method.ask(piecewise, seed=1)):
        runs = todo[["a", "b", "seed"]].copy()
        outputs = [bowl({"a": a, "b": b}, int(s)) for a, b, s in runs.itertuples(index=False)]
        for name in ("u", "v"):
            runs[name] = [o[name] for o in outputs]
        piecewise.add_runs(runs, bowl)
        pieces += 1
    assert pieces == 6
    again = method.result(piecewise, seed=1)
    for other in (method.result(ledger, seed=1), shared, again):
        assert other.best.theta == whole.best.theta and other.best.loss == whole.best.loss
        for name, emulator in whole.emulators.items():
            assert other.emulators[name].predict(at).frame.equals(emulator.predict(at).frame)
