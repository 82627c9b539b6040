"""Indices of many losses: closed forms, the total as hc.sobol has it, the seed's row, the random forest beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hetcal as hc
from hetcal import rbridge
from hetcal.emulators.total import WeightedTotal
from hetcal.sensitivity import forest_check

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.hetgp.FitWarning")

SPACE = hc.Space([hc.Parameter(name, hc.uniform(0, 1)) for name in "abc"])
# Slopes of three losses over three parameters, of which the last does nothing.
SLOPES = {"cases": [4.0, 1.0, 0.0], "deaths": [0.0, 3.0, 0.0], "age": [1.0, 1.0, 0.0]}
WEIGHTS = {"cases": 1.0, "deaths": 2.0, "age": 0.5}
NOISE = 0.2


def runs():
    """120 locations of two runs, each loss linear; the losses of a run share half of their noise."""
    X = np.repeat(hc.designs.sobol(SPACE, 120, seed=3).unit, 2, axis=0)
    rng = np.random.default_rng(4)
    shared = rng.standard_normal(len(X))
    losses = pd.DataFrame(
        {
            name: X @ slope + NOISE * (shared + rng.standard_normal(len(X))) / np.sqrt(2)
            for name, slope in SLOPES.items()
        }
    )
    losses["total"] = losses @ pd.Series(WEIGHTS)
    return X, losses


@pytest.fixture(scope="module")
def total(needs_r):
    X, losses = runs()
    fitted = {name: hc.HetGP(noise="homoskedastic").fit(X, losses[name].to_numpy()) for name in SLOPES}
    return WeightedTotal(fitted, WEIGHTS, np.full((3, 3), 0.5) + 0.5 * np.eye(3))


@pytest.fixture(scope="module")
def indices(total):
    return hc.sobol_by_loss(total, SPACE, n=4000, seed=1, bootstrap=99, draws=20)


def shares(slopes):
    squares = np.square(slopes)
    return squares / squares.sum()


def test_indices_of_weighted_linear_losses_are_their_shares_of_the_variance(indices):
    """Standard errors at n = 4,000 are below .015 and emulators of linear losses err by less: limits are six."""
    combined = sum(WEIGHTS[name] * np.array(slope) for name, slope in SLOPES.items())
    for name, slope in {**SLOPES, "total": combined}.items():
        rows = indices.table[indices.table["loss"] == name].set_index("parameter").loc[list("abc")]
        np.testing.assert_allclose(rows["first"], shares(slope), atol=0.09)
        np.testing.assert_allclose(rows["total"], shares(slope), atol=0.09)
    # Var of a uniform is 1/12. Noise of the total: weights 1, 2, .5 with correlation .5.
    weights = np.array(list(WEIGHTS.values()))
    noise = NOISE**2 * weights @ (0.5 + 0.5 * np.eye(3)) @ weights
    expected = noise / (noise + np.square(combined).sum() / 12)
    assert abs(indices.totals.loc["seed", "total"] - expected) < 0.25 * expected
    expected = NOISE**2 / (NOISE**2 + np.square(SLOPES["deaths"]).sum() / 12)
    assert abs(indices.totals.loc["seed", "deaths"] - expected) < 0.25 * expected


@pytest.mark.parametrize("draws", [0, 6])
@pytest.mark.parametrize("scale", ["natural", "latent"])
def test_the_total_has_the_numbers_of_sobol(total, draws, scale):
    options = {
        "n": 300,
        "seed": 2,
        "bootstrap": 99,
        "draws": draws,
        "scale": scale,
        "within": {"a": (0.2, 0.9)},
    }
    ours, alone = hc.sobol_by_loss(total, SPACE, **options), hc.sobol(total, SPACE, **options)
    found = ours.of("total")
    pd.testing.assert_frame_equal(found.table, alone.table, rtol=1e-9)
    pd.testing.assert_frame_equal(found.dummy, alone.dummy, rtol=1e-9)
    if draws:
        np.testing.assert_allclose(found.seed_share, alone.seed_share, rtol=1e-9)
    assert found.seed_share is None or draws
    for name in ("n", "evaluations", "scale", "level", "bootstrap", "draws", "within", "label"):
        assert getattr(found, name) == getattr(alone, name)


def test_without_draws_each_loss_has_the_numbers_of_its_own_emulator(total):
    ours = hc.sobol_by_loss(total, SPACE, n=300, seed=2, bootstrap=99, draws=0)
    alone = hc.sobol(total.emulators["deaths"], SPACE, n=300, seed=2, bootstrap=99, draws=0)
    rows = ours.table[ours.table["loss"] == "deaths"].iloc[:3]
    np.testing.assert_allclose(
        rows[["first", "first_low", "total_high"]], alone.table[["first", "first_low", "total_high"]]
    )
    assert rows["total_emulator_sd"].isna().all() and ours.draws == 0


def test_the_table_is_tidy_and_wide_on_demand(indices):
    assert list(indices.table["loss"].unique()) == ["cases", "deaths", "age", "total"]
    assert len(indices.table) == 4 * 4 and indices.table.iloc[:, 2:].notna().all(axis=1).sum() == 4 * 3
    seeds = indices.table[indices.table["parameter"] == "seed"]
    assert seeds["first"].isna().all() and (seeds["total_low"] <= seeds["total"]).all()
    assert indices.totals.index.tolist() == ["a", "b", "c", "seed"]
    assert indices.totals.columns.tolist() == ["cases", "deaths", "age", "total"]
    assert "20 functions drawn" in repr(indices) and "natural scale" in repr(indices)


def test_a_forest_puts_parameters_in_the_same_order_and_is_that_of_r(indices):
    X, losses = runs()
    losses.loc[::7, "deaths"] = np.nan
    check = forest_check(indices, X, losses, trees=200, seed=5)
    agreement = check.agreement.set_index("loss")
    assert agreement.loc["cases", "rank_correlation"] > 0.999
    assert (agreement["correlation"] > 0.9).all()
    # Where two parameters do nothing their order is chance.
    assert agreement.loc["deaths", "rank_correlation"] >= 0.5
    assert (agreement["explained"] > 0.5).all() and (agreement["locations"] == 120).all()
    # R's own call on the means of each location's runs.
    means = losses["cases"].to_numpy().reshape(-1, 2).mean(axis=1)
    direct = rbridge.call("forest_importance", X=X[::2], y=means, trees=200, seed=5)["importance"]
    found = check.table[check.table["loss"] == "cases"]["importance"]
    np.testing.assert_allclose(found, direct / (2 * means.var(ddof=1)), rtol=1e-12)
    again = forest_check(indices, X, losses, trees=200, seed=5)
    assert again.table.equals(check.table)
    assert not forest_check(indices, X, losses, trees=200, seed=6).table.equals(check.table)
    assert "rank_correlation" in repr(check)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"losses": lambda f: f.drop(columns="age")}, "losses lack age: give a column a loss"),
        ({"X": lambda X: X[:, :2]}, r"X needs shape \(240, 3\) for these losses, not \(240, 2\)"),
        (
            {"losses": lambda f: f.assign(cases=f["cases"].where(f.index < 10))},
            "loss 'cases': 5 locations are too few for a forest",
        ),
        ({"losses": lambda f: f.assign(deaths=np.nan)}, "loss 'deaths': 0 locations are too few"),
        ({"trees": lambda t: 0}, "trees must be a whole number of at least 1, not 0"),
        ({"seed": lambda s: -1}, "a seed is a whole number of at least 0"),
    ],
)
def test_what_a_forest_cannot_be_asked_is_told(indices, change, sentence):
    X, losses = runs()
    given = {"X": X, "losses": losses, "trees": 10, "seed": 1}
    given |= {name: alter(given[name]) for name, alter in change.items()}
    with pytest.raises(ValueError, match=sentence):
        forest_check(indices, **given)


def test_a_forest_is_not_held_against_another_scale_or_region(total):
    X, losses = runs()
    few = {"n": 100, "bootstrap": 39, "draws": 0}
    for options, given in (
        ({"scale": "latent"}, "the latent scale:"),
        ({"within": {"a": (0.0, 0.5)}}, "scale within a:"),
    ):
        other = hc.sobol_by_loss(total, SPACE, **few, **options)
        with pytest.raises(
            ValueError, match=f"the whole prior, not on .*{given} leave out scale= and within="
        ):
            forest_check(other, X, losses)


def test_refusals_are_sentences(total):
    with pytest.raises(TypeError, match="takes a weighted total such as result.emulator, not HetGP"):
        hc.sobol_by_loss(total.emulators["age"], SPACE)
    with pytest.raises(TypeError, match="space must be a hetcal.Space, not list"):
        hc.sobol_by_loss(total, [1])
    with pytest.raises(ValueError, match="unknown scale 'log': choose one of natural, latent"):
        hc.sobol_by_loss(total, SPACE, scale="log")
    with pytest.raises(ValueError, match="no loss 'births': there are cases, deaths, age, total"):
        hc.sobol_by_loss(total, SPACE, n=100, bootstrap=39, draws=0).of("births")
    with pytest.raises(ValueError, match="draws=1 shows no spread"):
        hc.sobol_by_loss(total, SPACE, draws=1)
    with pytest.raises(ValueError, match="n must be a whole number of at least 2, not 1"):
        hc.sobol_by_loss(total, SPACE, n=1)
