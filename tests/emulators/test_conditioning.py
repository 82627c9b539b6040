"""Hyperparameters from some locations, predictions from all: which are taken, and that nothing else is lost."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hetcal as hc
from hetcal.emulators.base import find_replicates
from hetcal.emulators import conditioning
from hetcal.emulators.conditioning import at_locations, carried_to_all, condition_on_all, spread_locations
from hetcal.emulators.hetgp_state import log_density
from hetcal.emulators.hyperparameters import HyperparameterLikelihood

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.hetgp.FitWarning")


def mean_of(X):
    return np.sin(4 * X[:, 0]) + X.sum(axis=1)


def sd_of(X):
    return 0.05 + 0.4 * X[:, 0]


def simulated(n, replicates=3, seed=0):
    rng = np.random.default_rng(seed)
    X = np.repeat(rng.random((n, 2)), replicates, axis=0)
    return X, mean_of(X) + sd_of(X) * rng.normal(size=len(X))


@pytest.fixture(scope="module", params=["homoskedastic", "heteroskedastic"])
def partly(request, needs_r, tmp_path_factory):
    """An emulator whose hyperparameters come from 30 of 150 locations, and the folder it is saved in."""
    emulator = hc.HetGP(noise=request.param, fit_points=30).fit(*simulated(150))
    folder = tmp_path_factory.mktemp("emulator")
    emulator.save(folder)
    return emulator, folder


def test_chosen_locations_are_distinct_spread_and_partly_low():
    X, y = simulated(200)
    more = np.vstack([X, np.repeat(X[60:61], 9, axis=0)])
    data = find_replicates(more, np.append(y, y[60:61].repeat(9)))
    rows = spread_locations(data, 40)
    assert len(np.unique(rows)) == 40 and np.array_equal(rows, np.sort(rows))
    assert 20 in rows  # where the replicates are
    assert np.array_equal(rows, spread_locations(data, 40))
    lowest = np.argsort(data.mean)[:40]
    assert np.isin(rows, lowest).sum() >= 10

    def gaps(chosen):
        away = np.linalg.norm(data.X[chosen, None] - data.X[None, chosen], axis=2)
        return np.median(np.sort(away, axis=1)[:, 1])

    # Far more even than any of 200 draws at random.
    rng = np.random.default_rng(0)
    assert gaps(rows) > 1.2 * max(gaps(rng.choice(200, 40, replace=False)) for _ in range(200))


def test_locations_that_coincide_are_each_taken_once():
    data = find_replicates(np.array([[0.5], [0.5 + 1e-17], [0.5 + 1e-9], [0.2], [0.9]]), np.arange(5.0))
    assert len(spread_locations(data, len(data.X))) == len(data.X)


def test_runs_at_some_locations_are_theirs():
    X, y = simulated(20)
    data = find_replicates(X, y)
    rows = np.array([1, 4, 7])
    part = at_locations(data, rows)
    again = find_replicates(*(v[np.isin(data.location, rows)] for v in (X, y)))
    for name in ("X", "mean", "count", "y"):
        np.testing.assert_allclose(getattr(part, name), getattr(again, name), rtol=1e-14)


@pytest.mark.parametrize("noise", ["homoskedastic", "heteroskedastic"])
def test_conditioning_on_the_fitted_locations_changes_nothing(noise, needs_r):
    """Trend, process variance and log noise that R found come back from the closed forms."""
    X, y = simulated(30)
    fitted = hc.HetGP(noise=noise).fit(X, y).state
    again = condition_on_all(fitted, find_replicates(X, y), np.arange(30), "Matern5_2")
    np.testing.assert_allclose(again.beta0, fitted.beta0, rtol=1e-6)
    np.testing.assert_allclose(again.nu_hat, fitted.nu_hat, rtol=1e-6)
    np.testing.assert_allclose(again.noise_ratio, fitted.noise_ratio, rtol=1e-6)


@pytest.fixture(scope="module")
def of_many_parameters(needs_r):
    """A fit to 60 of 300 locations with 12 parameters, of which three count, and what to carry it to."""
    rng = np.random.default_rng(3)
    X = np.repeat(rng.random((300, 12)), 2, axis=0)
    data = find_replicates(X, mean_of(X[:, :2]) + sd_of(X) * rng.normal(size=len(X)))
    rows = spread_locations(data, 60)
    some = at_locations(data, rows)
    fitted = hc.HetGP(noise="heteroskedastic").fit(np.repeat(some.X, some.count, axis=0), some.y).state
    return fitted, data, rows


def test_all_locations_tell_which_parameters_count(of_many_parameters):
    """Against the same runs with the hyperparameters of the 60: error of the mean at 2,000 fresh points."""
    fitted, data, rows = of_many_parameters
    at = np.random.default_rng(4).random((2000, 12))
    errors = [
        np.mean((carry(fitted, data, rows, "Matern5_2").process("Matern5_2").predict(at)[0] - truth) ** 2)
        for truth in [mean_of(at[:, :2])]
        for carry in (condition_on_all, carried_to_all)
    ]
    assert errors[1] < 0.6 * errors[0]


def test_what_is_carried_has_the_likeliest_lengthscales_within_bounds(of_many_parameters, monkeypatch):
    fitted, data, rows = of_many_parameters
    free, bound = (carried_to_all(fitted, data, rows, "Matern5_2", b) for b in (None, (0.3, 4.0)))
    assert np.all((0.3 <= bound.theta) & (bound.theta <= 4.0)) and free.theta.max() > 4.0
    likelihood = HyperparameterLikelihood(free, "Matern5_2")
    near, rng = likelihood.start(), np.random.default_rng(5)
    value, inside = likelihood(near)[0], np.append(free.theta < 99, True)
    for step in (0.3, 0.1):
        around = [near + inside * step * rng.standard_normal(13) for _ in range(100)]
        assert max(likelihood(point)[0] for point in around) < value + 0.05
    monkeypatch.setattr(conditioning, "_MOST_MOVED_TO", 150)
    half = carried_to_all(fitted, data, rows, "Matern5_2")
    assert len(half.Z0) == 300
    np.testing.assert_allclose(np.log(half.theta / free.theta)[:2], 0, atol=0.7)


def test_as_many_fit_points_as_locations_is_the_plain_fit(needs_r):
    X, y = simulated(12)
    plain, many = (hc.HetGP(noise="homoskedastic", fit_points=n).fit(X, y) for n in (None, 12))
    at = np.random.default_rng(1).random((9, 2))
    assert plain.predict(at).frame.equals(many.predict(at).frame)


def test_r_predicts_the_same_from_the_folder(partly, r):
    emulator, folder = partly
    at = np.random.default_rng(1).random((40, 2))
    theirs = r("predict_emulator", folder=str(folder), x=at)
    ours, loo = emulator.predict(at, scale="latent"), emulator.leave_one_out()
    scale = emulator.state.nu_hat
    assert len(emulator.state.Z0) == 150
    for mine, their, unit in (
        (ours.mean, theirs["mean"], np.sqrt(scale)),
        (ours.mean_var, theirs["mean_var"], scale),
        (ours.noise_var, theirs["noise_var"], scale),
        (loo["mean"], theirs["loo_mean"], np.sqrt(scale)),
        (loo["mean_var"], theirs["loo_var"], scale),
    ):
        assert np.abs(np.asarray(mine) - their).max() < 1e-8 * unit


def test_a_folder_keeps_the_setting_and_older_ones_load(partly):
    emulator, folder = partly
    again = hc.load_emulator(folder)
    assert again.fit_points == 30
    at = np.random.default_rng(1).random((9, 2))
    assert again.predict(at).frame.equals(emulator.predict(at).frame)
    path = folder / "emulator.json"
    text = path.read_text()
    meta = json.loads(text)
    del meta["fit_points"]
    path.write_text(json.dumps(meta))
    assert hc.load_emulator(folder).fit_points is None
    path.write_text(text)


def test_updates_and_later_starts_work_as_after_a_plain_fit(partly):
    emulator, folder = partly
    later = hc.load_emulator(folder).update(*simulated(10, seed=5))
    assert len(later.state.Z0) == 160
    assert set(emulator.hyperparameters) >= {"theta"}
    X, y = simulated(150)
    warm = hc.HetGP(noise=emulator.noise, fit_points=30).fit(X, y, start=emulator.hyperparameters)
    at = np.random.default_rng(1).random((40, 2))
    one, two = emulator.predict(at), warm.predict(at)
    assert np.all(np.abs(one.mean - two.mean) < 3 * np.sqrt(one.mean_var + two.mean_var))


def test_all_locations_count_for_mean_and_noise(partly, needs_r):
    """On fresh locations: better than the 30 alone, and as good as the truth within what 150 locations can tell."""
    emulator, _ = partly
    X, y = simulated(150)
    rows = spread_locations(find_replicates(X, y), 30)
    own = np.isin(find_replicates(X, y).location, rows)
    alone = hc.HetGP(noise=emulator.noise).fit(X[own], y[own])
    at, new = simulated(2000, replicates=1, seed=9)

    def score(mean, var):
        return log_density(new, mean, var).mean()

    scores = [score(p.mean, p.mean_var + p.noise_var) for p in (emulator.predict(at), alone.predict(at))]
    assert scores[0] > scores[1] + 0.01
    truth = score(mean_of(at), sd_of(at) ** 2)
    if emulator.noise == "heteroskedastic":
        assert scores[0] > truth - 0.1
        noise = emulator.predict(at).noise_var
        assert np.corrcoef(np.log(noise), np.log(sd_of(at)))[0, 1] > 0.9


@pytest.mark.parametrize("points", [0, 2.5, True, "30"])
def test_fit_points_are_a_whole_number(points):
    with pytest.raises(ValueError, match="fit_points is .*: give a whole number of at least"):
        hc.HetGP(fit_points=points)


def test_too_few_fit_points_for_the_parameters_are_refused():
    with pytest.raises(
        ValueError, match=r"fit_points is 4: give a whole number of at least 5 \(parameters \+ 3\)"
    ):
        hc.HetGP(fit_points=4).fit(*simulated(20))
