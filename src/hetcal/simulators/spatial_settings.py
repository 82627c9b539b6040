"""Settings of the spatial models that are more than a number, and what is refused of them."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Campaign:
    """A vaccination campaign: on one day, a share of all who are susceptible in a group of clusters.

    Parameters
    ----------
    cluster : str or tuple of str
        The cluster, or the clusters, whose susceptibles are pooled.
    day : int
        The tick after whose infections it takes place.
    efficacy : float
        Share of the susceptibles that is moved to the vaccinated, within [0, 1]. The exposed and the infectious
        are not touched.

    Raises
    ------
    ValueError
        When the day or the efficacy is outside its range, or no cluster is named.

    Examples
    --------
    >>> import hetcal as hc
    >>> hc.simulators.Campaign("B_far", day=10, efficacy=0.85)
    Campaign(cluster='B_far', day=10, efficacy=0.85)
    """

    cluster: str | tuple[str, ...]
    day: int
    efficacy: float

    def __post_init__(self) -> None:
        if not self.clusters:
            raise ValueError("a campaign names no cluster: give one, or a tuple of them")
        if not is_whole(self.day) or self.day < 0:
            raise ValueError(
                f"day of campaign {self.name} is {self.day!r}: give the whole number of a day, at least 0"
            )
        if not is_within(self.efficacy, 0.0, 1.0):
            raise ValueError(
                f"efficacy of campaign {self.name} is {self.efficacy!r}: give a share within [0, 1]"
            )

    @property
    def clusters(self) -> tuple[str, ...]:
        """The clusters by name."""
        return (self.cluster,) if isinstance(self.cluster, str) else tuple(self.cluster)

    @property
    def name(self) -> str:
        """The clusters joined by a plus; efficacy_ and this is the name of its efficacy as a free parameter."""
        return "+".join(self.clusters)


def is_whole(value: Any) -> bool:
    """True for whole numbers, not for bools."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_within(value: Any, low: float, high: float) -> bool:
    """True for numbers within a range, not for bools and NaN."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return number and low <= float(value) <= high


def checked_patches(patches: Any) -> pd.DataFrame:
    """A copy of the patches with a cluster each, rows numbered from 0.

    Raises
    ------
    TypeError
        When patches are no frame.
    ValueError
        When a column is missing, an id repeats, or a number is not usable, naming the patch.
    """
    if not isinstance(patches, pd.DataFrame):
        raise TypeError(f"patches is {patches!r}: give a DataFrame with the columns id, pop, lat, lon")
    missing = [name for name in ("id", "pop", "lat", "lon") if name not in patches]
    if missing or len(patches) == 0:
        raise ValueError(
            f"patches has no {'column ' + missing[0] if missing else 'rows'}: give one row a patch with the columns "
            "id, pop, lat, lon, and if you like cluster and mcv1"
        )
    frame = patches.reset_index(drop=True).copy()
    if "cluster" not in frame:
        frame["cluster"] = "all"
    again = frame["id"][frame["id"].duplicated()]
    if len(again):
        raise ValueError(f"patch {again.iloc[0]!r} is there twice: give every patch an id of its own")
    for patch, people in zip(frame["id"], frame["pop"]):
        if not is_within(people, 1, 2**31) or people != int(people):
            raise ValueError(f"pop of patch {patch!r} is {people}: give a whole number of people above 0")
    for name, low, high in (("lat", -90, 90), ("lon", -360, 360), ("mcv1", 0, 1)):
        for patch, value in zip(frame["id"], frame[name] if name in frame else ()):
            if not is_within(value, low, high):
                raise ValueError(
                    f"{name} of patch {patch!r} is {value}: give a number within [{low}, {high}]"
                )
    for patch, cluster in zip(frame["id"], frame["cluster"]):
        if not isinstance(cluster, str) or not cluster or "." in cluster:
            raise ValueError(
                f"cluster of patch {patch!r} is {cluster!r}: give a text without dots, it names outputs"
            )
    return frame


def checked_seeding(seeding: Mapping[str, int], patches: pd.DataFrame) -> dict[str, int]:
    """People infected before the first tick, by patch.

    Raises
    ------
    ValueError
        When a patch is unknown, or a number is negative, not whole, or larger than the patch.
    """
    people = dict(zip(patches["id"], patches["pop"]))
    for patch, number in seeding.items():
        if patch not in people:
            raise ValueError(f"seeding names patch {patch!r}, which is none of the {len(people)} patches")
        if not is_whole(number) or not 0 <= number <= people[patch]:
            raise ValueError(
                f"seeding of patch {patch!r} is {number!r}: give a whole number from 0 to its {people[patch]} people"
            )
    return {patch: int(number) for patch, number in seeding.items()}


def checked_campaigns(
    campaigns: Sequence[Campaign], clusters: tuple[str, ...], days: int
) -> tuple[Campaign, ...]:
    """The campaigns of a run.

    Raises
    ------
    ValueError
        When one names an unknown cluster or takes place after the run, or is no Campaign.
    """
    for campaign in campaigns:
        if not isinstance(campaign, Campaign):
            raise ValueError(f"campaigns holds {campaign!r}: give Campaign(cluster, day, efficacy)")
        for cluster in campaign.clusters:
            if cluster not in clusters:
                raise ValueError(
                    f"campaign {campaign.name} names cluster {cluster!r}: there are {', '.join(clusters)}"
                )
        if campaign.day >= days:
            raise ValueError(
                f"day of campaign {campaign.name} is {campaign.day}, after the last of the run, {days - 1}: choose an "
                "earlier one or leave the campaign out"
            )
    return tuple(campaigns)


def checked_window(window: tuple[int, int] | None, days: int) -> tuple[int, int]:
    """First and last day of importation, those of the run where left out.

    Raises
    ------
    ValueError
        When it is no pair of days of the run in their order.
    """
    if window is None:
        return 0, days - 1
    pair = isinstance(window, (tuple, list)) and len(window) == 2 and all(is_whole(day) for day in window)
    if not pair or not 0 <= window[0] <= window[1] < days:
        raise ValueError(
            f"importation_days is {window!r}: give the first and the last day, within 0 and {days - 1}"
        )
    return int(window[0]), int(window[1])


def check_number(model: str, name: str, value: Any, low: float, high: float) -> None:
    """Refuse a setting that is no number of its range."""
    if not is_within(value, low, high) or not math.isfinite(value):
        raise ValueError(
            f"{name} of {model} is {value!r}: give a number of at least {low:g} and at most {high:g}"
        )


def membership(campaigns: Sequence[Campaign], cluster: pd.Series) -> np.ndarray:
    """Which patches belong to which campaign, (campaigns, patches)."""
    rows = [cluster.isin(campaign.clusters).to_numpy() for campaign in campaigns]
    return np.array(rows, dtype=np.bool_).reshape(len(rows), len(cluster))
