"""Measles in a village: every child lives in a household, may go to a class, and meets the whole village."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hetcal.simulators.chain_binomial import (
    check_counts,
    check_ranges,
    named_row,
    one_parallel_call,
    rows_and_seeds,
)
from hetcal.simulators.village_events import LONGEST_GAP, run, run_all

if TYPE_CHECKING:
    import pandas as pd

CLASSES = ("preschool", "1st class", "2nd class")
UNTIL = ("end", "rash", "prodrome")


@dataclass(frozen=True)
class VillageOutbreak:
    """Measles among children who live in households, go to school classes and share a village.

    Use it where household and class of every child are known, as in Hagelloch 1861 (`hetcal.data.hagelloch1861`);
    `from_children` reads such a table. Runs of the same seed use the same random numbers whatever theta is.

    Each child is susceptible; infected and latent; infectious, first about and then perhaps at home; no more
    infectious. While infectious it infects every susceptible child of its household at household_rate a day, every one
    of its class at first_class_rate or second_class_rate, while it is about and the school open, and every one of the
    village at village_rate, while it is about. The prodrome (fever and cough) begins a lognormal time after
    infection, of median incubation_days and with incubation_spread as standard deviation of its logarithm (Sartwell
    1950). A child is infectious from lead_days before its prodrome, though not before it is infected, to end_after
    days after it.

    Time is continuous. Each child has a resistance, exponential with mean 1, and is infected when the hazards that it
    has met add up to it (Sellke 1983); that, its incubation and its infectiousness come from uniforms keyed by seed
    and child, so that outcomes move smoothly with theta.

    Parameters of a run: household_rate, first_class_rate, second_class_rate, village_rate, a day and pair of children;
    incubation_days, above 0; incubation_spread. Outputs, all of children whose prodrome begins before the end: onsets
    (days,), prodromes that begin on each day, and those of preschool, first_class and second_class (days,);
    household_gaps (21,), children by the days from the first prodrome of their household to their own, 20 and more
    together, the first ones left out; routes (3,), how many were infected at home, in class
    and in the village, each by its share of the hazard at that moment, introduced children left out; total_ill ();
    peak_day (), the first with most onsets.

    Parameters
    ----------
    household : tuple
        Label of each child's household.
    school_class : tuple of str
        Of each child: "preschool", "1st class" or "2nd class".
    rash_after, end_after : tuple of float
        Days from each child's prodrome to its rash, and to the end of its infectiousness.
    introduced : tuple of (int, int)
        Children infected from outside: position in the tuples above, and day on which the prodrome begins, at an hour
        by chance.
    days : int
        Days simulated.
    lead_days : float
        Days by which infectiousness precedes the prodrome, at least 0.
    mixes_until : {"end", "rash", "prodrome"}
        When an infectious child leaves class and village and stays at home.
    infectiousness_spread : float
        Children differ in infectiousness by a lognormal factor of mean 1 whose logarithm has this standard deviation.
    school_closes : int, optional
        First day on which there is no school any more; never where left out.

    Raises
    ------
    ValueError
        When a setting is outside its range or the tuples differ in length; when a run's parameter is outside its
        range, naming it.

    References
    ----------
    Sellke (1983), Journal of Applied Probability 20, 390. Sartwell (1950), American Journal of Hygiene 51, 310. Neal
    and Roberts (2004), Biostatistics 5, 249, for the infectious time: one day before the prodrome to three after the
    rash. Britton, Kypraios and O'Neill (2011), Scandinavian Journal of Statistics 38, 578, for three levels of mixing.

    Examples
    --------
    >>> import hetcal as hc
    >>> village = hc.simulators.VillageOutbreak.from_children(hc.data.hagelloch1861(), days=56, introduced=(184, 173))
    >>> theta = {
    ...     "household_rate": 0.3,
    ...     "first_class_rate": 0.3,
    ...     "second_class_rate": 0.005,
    ...     "village_rate": 0.002,
    ...     "incubation_days": 10.5,
    ...     "incubation_spread": 0.12,
    ... }
    >>> run = village(theta, seed=1)
    >>> run["onsets"].shape, bool(run["routes"].sum() + 2 == run["total_ill"])
    ((56,), True)
    """

    household: tuple[Any, ...]
    school_class: tuple[str, ...]
    rash_after: tuple[float, ...]
    end_after: tuple[float, ...]
    introduced: tuple[tuple[int, int], ...]
    days: int
    lead_days: float = 1.0
    mixes_until: str = "end"
    infectiousness_spread: float = 0.0
    school_closes: int | None = None

    name: ClassVar[str] = "VillageOutbreak"
    version: ClassVar[str] = "1"
    parameters: ClassVar[tuple[str, ...]] = (
        "household_rate",
        "first_class_rate",
        "second_class_rate",
        "village_rate",
        "incubation_days",
        "incubation_spread",
    )

    def __post_init__(self) -> None:
        check_counts(self, "days")
        self._check_children()
        for name in ("lead_days", "infectiousness_spread"):
            if not _at_least_0(getattr(self, name)):
                raise ValueError(
                    f"{name} of VillageOutbreak is {getattr(self, name)!r}: give a finite number of at least 0"
                )
        if self.mixes_until not in UNTIL:
            raise ValueError(
                f"mixes_until of VillageOutbreak is {self.mixes_until!r}: choose one of {', '.join(UNTIL)}"
            )
        if self.school_closes is not None and not _whole(self.school_closes):
            raise ValueError(
                f"school_closes of VillageOutbreak is {self.school_closes!r}: give the whole number of a day, 0 for "
                "the first, or None for never"
            )

    @classmethod
    def from_children(
        cls,
        children: pd.DataFrame,
        days: int,
        introduced: Iterable[int],
        infectious_after_rash: float = 3.0,
        **settings: Any,
    ) -> VillageOutbreak:
        """The village of a table with columns id, household, school_class, prodrome, rash and death.

        Each child is infectious until infectious_after_rash days after its rash, or its death. Ids in `introduced` are
        infected from outside, so that their prodromes begin on the day of the table.
        """
        introduced = tuple(introduced)
        place = {int(child): i for i, child in enumerate(children["id"])}
        prodrome = children["prodrome"].to_numpy(dtype=int)
        rash = children["rash"].to_numpy(dtype=float) - prodrome
        death = children["death"].to_numpy(dtype=float, na_value=np.inf) - prodrome
        unknown = [child for child in introduced if child not in place]
        if unknown:
            raise ValueError(
                f"introduced child {unknown[0]!r} is not in the table: give ids of its column id"
            )
        return cls(
            household=tuple(children["household"].tolist()),
            school_class=tuple(children["school_class"]),
            rash_after=tuple(rash.tolist()),
            end_after=tuple(np.minimum(rash + infectious_after_rash, death).tolist()),
            introduced=tuple((place[child], int(prodrome[place[child]])) for child in introduced),
            days=days,
            **settings,
        )

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of each output."""
        series = dict.fromkeys(("onsets", "preschool", "first_class", "second_class"), (self.days,))
        return {
            **series,
            "household_gaps": (LONGEST_GAP + 1,),
            "routes": (3,),
            "total_ill": (),
            "peak_day": (),
        }

    def __call__(self, theta: dict[str, float], seed: int) -> dict[str, Any]:
        """One run at the named parameters."""
        row, seeds = named_row(self, theta), np.array([seed], dtype=np.int64)
        self._check(row[np.newaxis], seeds)
        series, gaps, routes, totals = (
            np.zeros((4, self.days)),
            np.zeros(LONGEST_GAP + 1),
            np.zeros(3),
            np.empty(2),
        )
        run(row, seeds[0], *self._settings, series, gaps, routes, totals)
        return dict(zip(self.outputs, [*series, gaps, routes, *totals], strict=True))

    def batch(self, theta: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
        """Runs at the rows of theta (n, 6) with seeds (n,), on numba's threads; equal to one by one."""
        theta, seeds = rows_and_seeds(self, theta, seeds)
        self._check(theta, seeds)
        n = len(seeds)
        series, totals = np.zeros((n, 4, self.days)), np.empty((n, 2))
        gaps, routes = np.zeros((n, LONGEST_GAP + 1)), np.zeros((n, 3))
        with one_parallel_call:
            run_all(theta, seeds, *self._settings, series, gaps, routes, totals)
        return dict(zip(self.outputs, [*np.swapaxes(series, 0, 1), gaps, routes, *totals.T], strict=True))

    def next_generation(self, theta: dict[str, float]) -> np.ndarray:
        """Probability that a child, the row, would infect another, the column, with nobody else infected; (n, n).

        Its largest eigenvalue is a basic reproduction number: how many children a typical one infects early on, where
        no child can be infected twice. The school is open.
        """
        row = named_row(self, theta)
        self._check(row[np.newaxis], np.zeros(1, dtype=np.int64))
        house, classes, home, end, *_ = self._settings
        same_class = (classes[:, None] == classes) * np.where(classes > 0, row[classes], 0.0)
        met = (self.lead_days + end)[:, None] * row[0] * (house[:, None] == house)
        met = met + (self.lead_days + home)[:, None] * (same_class + row[3])
        np.fill_diagonal(met, 0.0)
        # The mean over a lognormal infectiousness by Gauss-Hermite quadrature.
        nodes, weights = np.polynomial.hermite_e.hermegauss(31)
        spread = self.infectiousness_spread
        factors = np.exp(spread * nodes - 0.5 * spread**2)
        parts = (w * -np.expm1(-f * met) for f, w in zip(factors, weights, strict=True))
        return np.asarray(sum(parts) / weights.sum())

    @cached_property
    def _settings(self) -> tuple[Any, ...]:
        _, house = np.unique([str(label) for label in self.household], return_inverse=True)
        introduced = np.full(len(house), -1, dtype=np.int64)
        for child, day in self.introduced:
            introduced[child] = day
        end = np.array(self.end_after, dtype=np.float64)
        home = {"end": end, "rash": np.minimum(self.rash_after, end), "prodrome": np.zeros(len(end))}
        return (
            house.astype(np.int64).reshape(-1),
            np.array([CLASSES.index(name) for name in self.school_class], dtype=np.int64),
            home[self.mixes_until],
            end,
            introduced,
            float(self.lead_days),
            float(self.infectiousness_spread),
            np.inf if self.school_closes is None else float(self.school_closes),
        )

    def _check_children(self) -> None:
        n = len(self.household)
        for name in ("school_class", "rash_after", "end_after"):
            if len(getattr(self, name)) != n or n == 0:
                raise ValueError(
                    f"{name} of VillageOutbreak has {len(getattr(self, name))} children and household {n}: give one "
                    "entry a child in each"
                )
        for i, label in enumerate(self.school_class):
            if label not in CLASSES:
                raise ValueError(f"school_class[{i}] is {label!r}: choose one of {', '.join(CLASSES)}")
        for name in ("rash_after", "end_after"):
            for i, value in enumerate(getattr(self, name)):
                if not _at_least_0(value):
                    raise ValueError(f"{name}[{i}] is {value!r}: give a finite number of days of at least 0")
        children = [pair[0] for pair in self.introduced]
        good = all(_whole(i) and i < n and _whole(day) and day < self.days for i, day in self.introduced)
        if not children or not good or len(set(children)) < len(children):
            raise ValueError(
                f"introduced of VillageOutbreak is {self.introduced!r}: give at least one pair of a child's position, "
                f"below {n} and each once, and a day below {self.days}"
            )

    def _check(self, theta: np.ndarray, seeds: np.ndarray) -> None:
        ranges: dict[str, Any] = dict.fromkeys(self.parameters, (0.0, None))
        check_ranges(self, theta, seeds, ranges | {"incubation_days": (1e-3, None)})


def _at_least_0(value: Any) -> bool:
    real = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return bool(real and 0.0 <= value < math.inf)


def _whole(value: Any) -> bool:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return bool(whole and value >= 0)
