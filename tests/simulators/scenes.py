"""Outbreaks that the tests of the spatial models share."""

from __future__ import annotations

import numpy as np
import pandas as pd

import hetcal as hc
from hetcal.simulators import Campaign, Chain, Gravity

TRUTH = {"beta": 0.5, "k": 0.01, "c": 1.5}

LARGEST_OF_A = ("cluster_a:node_9", "cluster_a:node_15", "cluster_a:node_1")


def three_cluster(kind, **changes):
    """The published scenario of 45 patches and 1,095 days."""
    settings = {
        "days": 1095,
        "mixing": Chain(),
        "seeding": dict.fromkeys(LARGEST_OF_A, 5),
        "campaigns": [Campaign("B_far", 10, 0.85), Campaign("B_near", 10, 0.5)],
    }
    return kind(hc.data.three_cluster(), **{**settings, **changes})


def three_patches() -> pd.DataFrame:
    """Two patches in one cluster, one in another."""
    return pd.DataFrame(
        {
            "id": ["a1", "a2", "b1"],
            "cluster": ["a", "a", "b"],
            "pop": [120, 60, 90],
            "lat": [0.0, 0.2, 1.0],
            "lon": [0.0, 0.1, 0.5],
            "mcv1": [0.9, 0.5, 0.7],
        }
    )


# Everything is on, and often enough to be seen in 270 people and 70 days.
EVERYTHING = {
    "days": 70,
    "mixing": Gravity(),
    "seeding": {"a1": 2, "b1": 1},
    "campaigns": [Campaign("a", 12, 0.3), Campaign(("a", "b"), 25, 0.55)],
    "seasonality": 0.6,
    "seasonal_day": 20.0,
    "importation_rate": 300.0,
    "importation_days": (5, 40),
    "birth_rate": 800.0,
    "death_rate": 600.0,
    "routine_efficacy": 0.8,
}


def everything(kind, **changes):
    """Three small patches with all that the models can do."""
    return kind(three_patches(), **{**EVERYTHING, **changes})


def plain_arguments(model, beta, k, c):
    """The settings of a model as the plain loops take them."""
    patches = model.patches
    campaigns = [
        [campaign.day, campaign.efficacy, *patches["cluster"].isin(campaign.clusters).astype(float)]
        for campaign in model.campaigns
    ]
    return (
        model.days,
        patches["pop"].to_numpy(np.int64),
        np.array([model.seeding.get(patch, 0) for patch in patches["id"]]),
        model.mixing_matrix(k, c),
        beta,
        np.array([model.seasonality, model.seasonal_day]),
        np.array(campaigns),
        model.importation_rate,
        np.array(model.importation_days),
        np.array([model.birth_rate, model.death_rate]),
        patches["mcv1"].to_numpy() * model.routine_efficacy,
    )


def repeat(model, theta, n, first=0):
    """n runs at one theta."""
    row = [theta[name] for name in model.parameters]
    return model.batch(np.tile(np.array(row, dtype=float), (n, 1)), np.arange(first, first + n))
