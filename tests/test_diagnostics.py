"""Diagnostics keep their false-alarm rate where an emulator is right, and name what is wrong where it is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hetcal import HetGP, load_emulator
from hetcal.diagnostics import diagnose
from hetcal.emulators.gaussian_process import correlation
from hetcal.emulators.hetgp_state import HetGPState, NoiseChoice, write_state

LENGTHSCALE, NOISE = 0.5, 0.05


@pytest.fixture(scope="module")
def emulator_with(tmp_path_factory):
    """An emulator whose hyperparameters are given, with data drawn from a law of the test's choice; no R."""

    def make(seed, locations=100, replicates=5, d=2, varies=False, noise=None, draw=None, choice=None):
        rng = np.random.default_rng(seed)
        X, theta = rng.random((locations, d)), np.full(d, LENGTHSCALE)
        claimed = 0.01 * np.exp(4 * X[:, 0]) if varies else np.full(locations, NOISE)
        K = correlation(X, X, theta, "Matern5_2") + 1e-9 * np.eye(locations)
        f = np.linalg.cholesky(K) @ rng.standard_normal(locations)
        true = claimed if noise is None else noise(X)
        standard = (
            rng.standard_normal((locations, replicates))
            if draw is None
            else draw(rng, (locations, replicates))
        )
        Z = f[:, None] + np.sqrt(true)[:, None] * standard
        latent = {
            "Lambda": claimed,
            "Delta": np.log(claimed),
            "theta_g": theta,
            "k_theta_g": 1.0,
            "nmean": -3.0,
        }
        state = HetGPState(
            X0=X,
            Z0=Z.mean(axis=1),
            mult=np.full(locations, replicates),
            Z=Z.ravel(),
            theta=theta,
            g=NOISE,
            nu_hat=1.0,
            beta0=0.0,
            eps=1e-9,
            log_likelihood=0.0,
            message="CONVERGENCE",
            **(latent | {"nu_hat_var": 1.0} if varies else {}),
        )
        chosen = NoiseChoice("heteroskedastic" if varies else "homoskedastic", 0.0, 0.1)
        folder = tmp_path_factory.mktemp("emulator")
        settings = {
            "covariance": "Matern5_2",
            "noise_option": "auto",
            "transform": None,
            "bounds": None,
            "homoskedastic_g": None,
        }
        write_state(folder, state, choice or chosen, settings)
        return load_emulator(folder)

    return make


def table(emulator) -> pd.DataFrame:
    return diagnose({"y": emulator}).set_index("diagnostic")


def verdicts(emulators) -> pd.DataFrame:
    """Share of each verdict by diagnostic."""
    rows = pd.concat([diagnose({"y": e}) for e in emulators])
    return (
        rows.groupby("diagnostic", sort=False)["verdict"].value_counts(normalize=True).unstack(fill_value=0.0)
    )


@pytest.mark.parametrize("varies", [False, True])
def test_false_alarms_are_as_rare_as_promised(emulator_with, varies):
    shares = verdicts(emulator_with(seed, varies=varies) for seed in range(150))
    assert len(shares) == 11
    # Nominal: at most 5 % "look or bad" a row and 0.1 % "bad". Of 150, 11.4 % or more arise with probability 0.1 %,
    # 2 % or more "bad" with 0.05 %; for 22 rows the test fails by chance with probability 3 %, the seeds are fixed.
    assert (1 - shares["good"]).max() < 0.114
    assert shares.get("bad", pd.Series([0.0])).max() < 0.02


def test_overall_bands_are_not_so_wide_that_nothing_falls_out(emulator_with):
    shares = verdicts(emulator_with(seed) for seed in range(150))
    continuous = ["mean log score", "R2", "sd of standardised residuals", "largest |z|"]
    # Nominal 5 %: fewer than 1 of 150 arises with probability 0.05 %.
    assert (1 - shares.loc[continuous, "good"]).min() >= 1 / 150


def test_coverage_band_is_the_binomial_one(emulator_with):
    rows = table(emulator_with(0, locations=100))
    # Of 100 draws with probability .9, 84 and 95 are the 2.5 % and 97.5 % quantiles; of 25 with .9, 19 and 25.
    assert rows.loc["coverage 90 %", ["low", "high"]].tolist() == [0.84, 0.95]
    assert rows.loc["coverage 90 %, noisiest quarter", ["low", "high"]].tolist() == [0.76, 1.0]


def test_constant_noise_where_it_varies_shows_in_the_noisiest_quarter(emulator_with):
    shares = verdicts(
        emulator_with(seed, replicates=10, noise=lambda X: 0.002 * np.exp(5.5 * X[:, 0]))
        for seed in range(20)
    )
    assert shares.loc["coverage 90 %, noisiest quarter", "good"] < 0.2
    assert shares.loc["coverage 90 %, quietest quarter", "good"] > 0.8
    advice = table(emulator_with(3, replicates=10, noise=lambda X: 0.002 * np.exp(5.5 * X[:, 0])))["advice"]
    assert 'noise="heteroskedastic"' in advice["coverage 90 %, noisiest quarter"]


def test_heavy_tails_ask_for_another_transform(emulator_with):
    def lognormal(rng, shape):
        return (np.exp(2 * rng.standard_normal(shape)) - np.exp(2)) / np.sqrt(np.exp(8) - np.exp(4))

    rows = table(emulator_with(1, noise=lambda X: np.ones(len(X)), draw=lognormal, replicates=2))
    assert rows.loc["largest |z|", "verdict"] == "bad"
    assert "transform" in rows.loc["largest |z|", "advice"]


def test_an_emulator_that_is_too_careful_is_never_called_bad(emulator_with):
    rows = table(emulator_with(2, noise=lambda X: np.full(len(X), 1e-6), replicates=1, d=5))
    assert "look" in set(rows["verdict"])
    assert "bad" not in set(rows["verdict"])


def test_low_r2_says_what_is_missing(emulator_with):
    few = table(emulator_with(0, locations=12, d=6, replicates=50)).loc["R2"]
    assert (few["verdict"], "more locations" in few["advice"]) == ("look", True)
    noisy = table(emulator_with(4, varies=True, locations=40, d=6, replicates=1)).loc["R2"]
    assert noisy["value"] < 0.5 and noisy["verdict"] != "good"


def test_without_replicates_constant_noise_has_no_quarters(emulator_with):
    rows = table(emulator_with(0, replicates=1))
    quarters = rows[rows.index.str.contains("quarter")]
    assert len(quarters) == 4
    assert quarters["value"].isna().all()
    assert quarters["advice"].str.contains("replicates").all()


@pytest.mark.parametrize(
    ("choice", "verdict", "words"),
    [
        (NoiseChoice("homoskedastic", -0.2, 0.05), "good", "Constant noise predicts"),
        (NoiseChoice("homoskedastic", 0.01, 0.05), "good", "equally well"),
        (NoiseChoice("homoskedastic", 0.2, 0.05), "look", 'noise="heteroskedastic"'),
        (NoiseChoice("homoskedastic"), "look", 'noise="auto"'),
    ],
)
def test_noise_model_is_judged_by_its_gain(emulator_with, choice, verdict, words):
    row = table(emulator_with(0, choice=choice)).loc["noise model: homoskedastic"]
    assert row["verdict"] == verdict
    assert words in row["advice"]


def test_every_emulator_has_its_rows_in_order(emulator_with):
    both = diagnose({"a": emulator_with(0), "b": emulator_with(1)})
    assert both["emulator"].tolist() == ["a"] * 11 + ["b"] * 11
    assert both["advice"].str.endswith((".", "compares.")).all()
    assert both["verdict"].isin(["good", "look", "bad"]).all()


@pytest.mark.usefixtures("needs_r")
def test_fits_by_r_constant_noise_is_caught_and_varying_noise_is_not():
    rng = np.random.default_rng(5)
    X = np.repeat(rng.random((80, 1)), 10, axis=0)
    y = np.sin(6 * X[:, 0]) + np.exp(-4 + 4 * X[:, 0]) * rng.standard_normal(len(X))
    constant = table(HetGP(noise="homoskedastic").fit(X, y))
    assert constant.loc["coverage 90 %, noisiest quarter", "verdict"] != "good"
    varying = table(HetGP().fit(X, y))
    assert varying.loc["coverage 90 %, noisiest quarter", "verdict"] == "good"
    assert varying.loc["noise model: heteroskedastic", "value"] > 0
