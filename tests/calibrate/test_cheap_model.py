"""A posterior beside a cheap model: what it gains, that it is kept and resumed, and that it is looked wider where
nothing fits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import hetcal as hc
from hetcal.calibrate.cheap_model import CheapRuns
from hetcal.calibrate.ensemble_likelihood import fit_ensemble

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.FitWarning")

N = 20


def law(theta):
    """A number that rises in steps over a, and the chance of an event."""
    a, b = theta["a"], theta["b"]
    return np.sin(9 * a) / 3 + 3 * a + b / 2, 1 / (1 + np.exp(-8 * (b - 0.5)))


def model(name, lower):
    @hc.simulator(parameters=["a", "b"], outputs={"y": (), "event": ()}, version="1", name=name)
    def simulate(theta, seed):
        rng = np.random.default_rng(seed)
        mean, chance = law(theta)
        return {"y": mean - lower + rng.normal(0, 0.2), "event": float(rng.random() < chance)}

    return simulate


@pytest.fixture(scope="module")
def problem():
    space = hc.Space([hc.Parameter("a", hc.uniform(0, 1)), hc.Parameter("b", hc.uniform(0, 1))])
    mean, chance = law({"a": 0.6, "b": 0.5})
    targets = [
        hc.EnsembleTarget("event", observed=chance, loss="rss", statistic="share_positive", realisations=N),
        hc.EnsembleTarget("y", observed=mean, loss="rss", statistic="mean", realisations=N),
    ]
    return hc.Problem(space, model("dear", 0.0), targets)


SETTINGS = {"initial": 30, "replicates": 4, "batch": 40, "rounds": 3, "predictive": 0}


@pytest.fixture(scope="module")
def method(problem):
    return hc.EnsemblePosterior(problem, cheap=model("cheap", 0.3), **SETTINGS)


@pytest.fixture(scope="module")
def ledger():
    return hc.Ledger()


@pytest.fixture(scope="module")
def result(needs_r, method, ledger):
    return method.run(ledger, seed=1, progress=False)


def exact(problem, n=20_000):
    """Weights of points of the prior by the exact likelihood of the data."""
    unit = np.random.default_rng(1).random((n, 2))
    mean, chance = law({"a": unit[:, 0], "b": unit[:, 1]})
    share, seen = (t.observed for t in problem.targets)
    log = stats.binom.logpmf(round(N * float(share)), N, chance) + stats.norm.logpdf(
        seen, mean, 0.2 / N**0.5
    )
    weight = np.exp(log - log.max())
    return unit, weight / weight.sum()


def test_the_posterior_is_that_of_the_dear_model(problem, method, result):
    """Four studies. Over 12 seeds means lay .46 (standard deviation) exact standard deviations off, since 240 runs know
    less than the law: the root mean square of eight exceeds .75 once in 160. Widths were 1.05 +- .15 of the exact.
    """
    unit, weight = exact(problem)
    centre = weight @ unit
    sd = np.sqrt(weight @ (unit - centre) ** 2)
    studies = [result, *(method.run(hc.Ledger(), seed=seed, progress=False) for seed in (2, 3, 4))]
    own = np.array([study.samples.to_numpy() for study in studies])
    off = (own.mean(axis=1) - centre) / sd
    assert np.sqrt(np.mean(off**2)) < 0.75 and np.abs(off).max() < 1.5
    assert 0.75 < np.mean(own.std(axis=1) / sd) < 1.35


def test_cheap_runs_are_kept_beside_and_do_not_count_as_runs(problem, method, ledger, result):
    assert len(ledger.runs(problem.simulator)) == result.history["runs"].iloc[-1] == 240
    assert len(ledger.runs(method.cheap)) >= 1000


def test_a_finished_study_is_the_same_when_it_is_asked_again(method, ledger, result):
    before = len(ledger.runs(method.cheap))
    again = method.run(ledger, seed=1, progress=False)
    assert again.samples.equals(result.samples) and len(ledger.runs(method.cheap)) == before


def test_a_study_cut_off_after_a_round_goes_on_to_the_same_numbers(method, problem, ledger, result):
    import pandas as pd

    other = hc.Ledger()
    while len(todo := method.ask(other, seed=1)):
        runs = [
            problem.simulator(dict(zip("ab", row[:2], strict=True)), int(row[2]))
            for row in todo[["a", "b", "seed"]].to_numpy()
        ]
        other.add_runs(todo[["a", "b", "seed"]].join(pd.DataFrame(runs)), problem.simulator)
    assert method.result(other, seed=1).samples.equals(result.samples)


def test_cheap_runs_are_made_by_the_workers(problem, needs_r):
    @hc.simulator(parameters=["a", "b"], outputs={"y": (), "event": ()}, version="1")
    def worker_only(theta, seed):
        import multiprocessing

        if multiprocessing.parent_process() is None:
            raise RuntimeError("made in the calling process")
        return {"y": theta["a"] + seed % 7, "event": float(seed % 2)}

    ledger = hc.Ledger()
    small = SETTINGS | {"initial": 15, "replicates": 2, "rounds": 0}
    hc.EnsemblePosterior(problem, cheap=worker_only, **small).run(ledger, seed=1, workers=2, progress=False)
    runs = ledger.runs(worker_only)
    assert len(runs) >= 1000 and (runs["status"] == "ok").all()


def test_failed_cheap_runs_are_made_again_where_asked(problem, tmp_path, needs_r):
    mended = tmp_path / "mended"

    @hc.simulator(parameters=["a", "b"], outputs={"y": (), "event": ()}, version="1")
    def fails(theta, seed):
        if seed % 3 == 0 and not mended.exists():
            raise RuntimeError("no licence")
        return {"y": theta["a"] + seed % 7, "event": float(seed % 2)}

    ledger, small = hc.Ledger(), SETTINGS | {"initial": 15, "replicates": 2, "rounds": 0}
    method = hc.EnsemblePosterior(problem, cheap=fails, **small)
    method.run(ledger, seed=1, progress=False)
    before = ledger.runs(fails)["status"]
    assert 0.2 < (before == "failed").mean() < 0.5
    mended.touch()
    method.run(ledger, seed=1, progress=False)
    assert ledger.runs(fails)["status"].equals(before)
    method.run(ledger, seed=1, retry_failed=True, progress=False)
    after = ledger.runs(fails)["status"]
    assert (after == "ok").all() and len(after) == len(before)


def test_without_it_a_study_has_the_name_that_it_had(problem, method):
    plain = hc.EnsemblePosterior(problem, **SETTINGS)
    assert "cheap" not in plain.settings()
    assert plain.study_name(1) != method.study_name(1)
    assert replace(method, cheap=model("cheap", 0.4)).settings() == method.settings() | {
        "cheap": replace(method, cheap=model("cheap", 0.4)).settings()["cheap"]
    }


def test_a_model_that_cannot_stand_in_is_refused(problem):
    @hc.simulator(parameters=["a"], outputs={"y": (), "event": ()}, version="1")
    def fewer(theta, seed):
        return {"y": 0.0, "event": 0.0}

    with pytest.raises(
        ValueError, match="does not stand in for the simulator: simulator 'fewer' takes a; the space"
    ):
        hc.EnsemblePosterior(problem, cheap=fewer)
    with pytest.raises(ValueError, match="cheap is a problem: give its simulator, cheap=problem.simulator"):
        hc.EnsemblePosterior(problem, cheap=problem)
    with pytest.raises(TypeError, match="cheap=3 does not stand in"):
        hc.EnsemblePosterior(problem, cheap=3)


def test_what_the_cheap_model_explains_is_emulated_beside_it(problem, needs_r):
    def outputs(unit, lower, seed):
        rng = np.random.default_rng(seed)
        y = np.sin(20 * unit[:, 0]) - lower + rng.normal(0, 0.2, len(unit))
        return {"y": y, "event": (rng.random(len(unit)) < unit[:, 1]).astype(float)}

    few, many = (np.repeat(np.random.default_rng(n).random((n, 2)), 5, axis=0) for n in (25, 200))
    cheap = CheapRuns(many, outputs(many, 0.3, 1))
    fits = [
        fit_ensemble(problem.targets, outputs(few, 0.0, 2), few, hc.HetGP(noise="homoskedastic"), cheap=given)
        for given in (None, cheap)
    ]
    assert ["beside the cheap model" in repr(fit.emulators["y"]) for fit in fits] == [False, True]
    at = np.random.default_rng(3).random((500, 2))
    alone, beside = (
        np.abs(fit.emulators["y"].predict(at).mean - np.sin(20 * at[:, 0])).mean() for fit in fits
    )
    assert beside < 0.5 * alone


def test_implausibility_is_the_distance_in_standard_deviations(problem, needs_r):
    unit = np.repeat(np.random.default_rng(2).random((100, 2)), 20, axis=0)
    rng = np.random.default_rng(3)
    mean, chance = law({"a": unit[:, 0], "b": unit[:, 1]})
    outputs = {
        "y": mean + rng.normal(0, 0.2, len(unit)),
        "event": (rng.random(len(unit)) < chance).astype(float),
    }
    likelihood = fit_ensemble(problem.targets, outputs, unit, hc.HetGP(noise="homoskedastic"))
    at = np.array([[0.6, 0.5], [0.2, 0.5], [0.6, 0.95]])
    centre, p = law({"a": at[:, 0], "b": at[:, 1]})
    share, seen = (float(t.observed) for t in problem.targets)
    expected = np.maximum(
        np.abs(seen - centre) / (0.2 / N**0.5), np.abs(share - p) / np.sqrt(p * (1 - p) / N)
    )
    found = likelihood.implausibility(at, np.array([[share, seen]]))
    np.testing.assert_allclose(found, expected, rtol=0.25, atol=0.6)


def test_where_nothing_fits_the_next_round_learns_everywhere(problem, needs_r):
    impossible = [replace(problem.targets[0]), replace(problem.targets[1], observed=9.0)]
    wide = hc.EnsemblePosterior(hc.Problem(problem.space, problem.simulator, impossible), **SETTINGS)
    ledger = hc.Ledger()
    result = wide.run(ledger, seed=1, progress=False)
    assert ledger.checkpoints(result.study)["round 1"]["box"] == [[0.0, 0.0], [1.0, 1.0]]
    assert result.outside
