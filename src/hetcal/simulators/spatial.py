"""Parameters, outputs and runs that all models of an outbreak in many patches share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numba
import numpy as np
import pandas as pd

from hetcal.simulators.chain_binomial import (
    check_counts,
    check_ranges,
    named_row,
    rows_and_seeds,
)
from hetcal.simulators.mixing import Gravity, Mixing, distances, mixing_matrix
from hetcal.simulators.spatial_kernels import (
    ARRIVAL,
    CROSSING,
    INFECTIONS,
    LEVELS,
    PEAK_DAY,
    RECOVERED,
    VACCINATED,
    Books,
    Runs,
    Scene,
)
from hetcal.simulators.spatial_settings import (
    Campaign,
    check_number,
    checked_campaigns,
    checked_patches,
    checked_seeding,
    checked_window,
    membership,
)

# Parameters of every run, and the settings that are numbers in the order in which the kernels take them.
RANGES = {"beta": (0.0, 1e6), "k": (0.0, 1.0), "c": (0.0, 100.0)}
NUMBERS = {
    "seasonality": (0.0, 1.0),
    "seasonal_day": (-1e6, 1e6),
    "importation_rate": (0.0, 1000.0),
    "birth_rate": (0.0, 1000.0),
    "death_rate": (0.0, 1000.0),
    "routine_efficacy": (0.0, 1.0),
    "latent_mean": (0.1, 365.0),
    "infectious_mean": (0.1, 365.0),
}
SPREAD = (0.0, 365.0)

# Runs that are prepared at once: a mixing matrix a run is not kept for a whole batch.
AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class SpatialModel:
    """Base of SpatialABM, SpatialCMP and SpatialMeanField: use one of these.

    Settings are checked when the model is made; the frame of patches is copied then. What follows from them is computed
    anew in every call, so a model cannot be out of step with its settings.
    """

    patches: pd.DataFrame = field(repr=False)
    days: int
    mixing: Mixing = Gravity()
    seeding: Mapping[str, int] = field(default_factory=dict)
    campaigns: Sequence[Campaign] = ()
    latent_mean: float = 6.0
    infectious_mean: float = 8.0
    seasonality: float = 0.0
    seasonal_day: float = 0.0
    importation_rate: float = 0.0
    importation_days: tuple[int, int] | None = None
    birth_rate: float = 0.0
    death_rate: float = 0.0
    routine_efficacy: float = 0.0
    free: Sequence[str] = ()
    record: str = "summary"

    name: ClassVar[str]
    version: ClassVar[str]
    spreads: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_counts(self, "days")
        put = object.__setattr__
        put(self, "patches", checked_patches(self.patches))
        put(self, "seeding", checked_seeding(self.seeding, self.patches))
        put(self, "campaigns", checked_campaigns(self.campaigns, self.clusters, self.days))
        put(self, "free", (self.free,) if isinstance(self.free, str) else tuple(self.free))
        checked_window(self.importation_days, self.days)
        if not isinstance(self.mixing, Mixing):
            raise ValueError(
                f"mixing of {self.name} is {self.mixing!r}: give one such as Gravity() or Chain()"
            )
        if self.record not in ("summary", "series", "patches"):
            raise ValueError(
                f"record of {self.name} is {self.record!r}: give 'summary', 'series' or 'patches'"
            )
        for name in self.free:
            if name not in self._settable or self.free.count(name) > 1:
                raise ValueError(
                    f"free of {self.name} names {name!r}{' twice' if name in self._settable else ''}: choose from "
                    f"{', '.join(self._settable)}"
                )
        for name in (*NUMBERS, *self.spreads):
            check_number(self.name, name, getattr(self, name), *self._settable[name])
        routine = self.routine_efficacy > 0 or "routine_efficacy" in self.free
        if routine and "mcv1" not in self.patches:
            raise ValueError(
                f"routine_efficacy of {self.name} needs a column mcv1 of patches: the share of newborns reached"
            )
        self.mixing_matrix(1.0, 1.0)  # the mixing can be had for these patches

    @property
    def clusters(self) -> tuple[str, ...]:
        """Clusters in the order of their first patches."""
        return tuple(dict.fromkeys(self.patches["cluster"]))

    @property
    def parameters(self) -> tuple[str, ...]:
        """beta, k, c where the mixing has an exponent, and the free settings."""
        return ("beta", "k", *(("c",) if self.mixing.uses_distance else ()), *self.free)

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of each output."""
        shapes: dict[str, tuple[int, ...]] = {}
        for cluster in self.clusters:
            for scalar in ("attack_rate", "vaccinated", "infections", "peak_day", "arrival", "invaded"):
                shapes[f"{scalar}_{cluster}"] = ()
            shapes[f"immune_days_{cluster}"] = (len(LEVELS),)
        shapes["patch_arrival"] = (len(self.patches),)
        if self.record != "summary":
            shapes |= dict.fromkeys(("infectious", "incidence"), (len(self.clusters), self.days))
        if self.record == "patches":
            shapes["patch_incidence"] = (len(self.patches), self.days)
            shapes["patch_states"] = (5, len(self.patches), self.days)
        return shapes

    def __call__(self, theta: dict[str, float], seed: int) -> dict[str, Any]:
        """One run at the named parameters."""
        rows, seeds = named_row(self, theta)[np.newaxis], np.array([seed], dtype=np.int64)
        books = self._run(rows, seeds)
        return {name: values[0] for name, values in self._read(books).items()}

    def batch(self, theta: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
        """Runs at the rows of theta (n, d) with seeds (n,), on as many threads as numba has; equal to one by one."""
        theta, seeds = rows_and_seeds(self, theta, seeds)
        check_ranges(self, theta, seeds, RANGES | self._settable)
        books, scene = self._books(len(seeds)), self._scene()
        for first in range(0, len(seeds), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            runs, own = self._runs(theta[some], seeds[some]), Books(*(array[some] for array in books))
            with ThreadPoolExecutor(numba.get_num_threads()) as pool:
                list(pool.map(lambda k: self._simulate(k, runs, scene, own), range(len(runs.seeds))))
        return self._read(books)

    def mixing_matrix(self, k: float, c: float = 0.0) -> np.ndarray:
        """Matrix W (P, P) of the share of contacts that people of patch i make in patch j.

        Raises
        ------
        ValueError
            When k or c is outside its range, or the mixing gives weights of a wrong shape.
        """
        for name, value in (("k", k), ("c", c)):
            check_number(self.name, name, value, *RANGES[name])
        return self._mixing_matrices(np.array([k]), np.array([c]))[0]

    def _mixing_matrices(self, k: np.ndarray, c: np.ndarray) -> np.ndarray:
        population = self.patches["pop"].to_numpy(dtype=float)
        km = distances(self.patches["lat"], self.patches["lon"])
        cluster = self._cluster_numbers()
        matrices = np.empty((len(k), *km.shape))
        for exponent in np.unique(c):
            weights = np.asarray(self.mixing.weights(population, km, cluster, float(exponent)), dtype=float)
            if weights.shape != km.shape:
                raise ValueError(
                    f"mixing {type(self.mixing).__name__} gives weights of shape {weights.shape}: there are "
                    f"{len(population)} patches, so give {km.shape}"
                )
            for row in np.flatnonzero(c == exponent):
                matrices[row] = mixing_matrix(weights, float(k[row]))
        return matrices

    @property
    def _settable(self) -> dict[str, tuple[float, float]]:
        """Ranges of the settings that can be free."""
        efficacies = {f"efficacy_{campaign.name}": (0.0, 1.0) for campaign in self.campaigns}
        return NUMBERS | dict.fromkeys(self.spreads, SPREAD) | efficacies

    def _cluster_numbers(self) -> np.ndarray:
        return pd.factorize(self.patches["cluster"])[0].astype(np.int64)

    def _scene(self) -> Scene:
        covered = self.patches["mcv1"] if "mcv1" in self.patches else np.zeros(len(self.patches))
        return Scene(
            self.days,
            self.patches["pop"].to_numpy(dtype=np.int64),
            self._cluster_numbers(),
            np.array([self.seeding.get(patch, 0) for patch in self.patches["id"]], dtype=np.int64),
            np.array(covered, dtype=np.float64),
            np.array([campaign.day for campaign in self.campaigns], dtype=np.int64),
            membership(self.campaigns, self.patches["cluster"]),
            np.array(checked_window(self.importation_days, self.days), dtype=np.int64),
        )

    def _runs(self, theta: np.ndarray, seeds: np.ndarray) -> Runs:
        """What the kernels need of these rows of theta."""
        column = dict(zip(self.parameters, theta.T))

        def values(name: str, default: Any) -> np.ndarray:
            return np.broadcast_to(np.asarray(column.get(name, default), dtype=np.float64), (len(seeds),))

        numbers = [values("beta", 0.0), *(values(name, getattr(self, name)) for name in NUMBERS)]
        numbers += [values(f"efficacy_{campaign.name}", campaign.efficacy) for campaign in self.campaigns]
        spreads = [values(name, getattr(self, name)) for name in self.spreads]
        laws = self._laws(
            values("latent_mean", self.latent_mean), values("infectious_mean", self.infectious_mean), *spreads
        )
        matrices = self._mixing_matrices(column["k"], values("c", 0.0))
        return Runs(seeds, np.column_stack(numbers), matrices, *laws)

    def _laws(self, *columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distribution functions (n, K) of the latent and the infectious time of each run; none here."""
        return np.zeros((len(columns[0]), 0)), np.zeros((len(columns[0]), 0))

    def _simulate(self, k: int, runs: Runs, scene: Scene, books: Books) -> None:
        """Run k into the books, without Python's lock."""
        raise NotImplementedError  # not unfinished: each kind of model has its own

    def _run(self, theta: np.ndarray, seeds: np.ndarray) -> Books:
        """Books of one run."""
        check_ranges(self, theta, seeds, RANGES | self._settable)
        books = self._books(1)
        self._simulate(0, self._runs(theta, seeds), self._scene(), books)
        return books

    def _books(self, n: int) -> Books:
        patches, clusters = len(self.patches), len(self.clusters)
        series = self.days if self.record != "summary" else 0
        return Books(
            np.empty((n, 5, patches)),
            np.empty((n, patches)),
            np.empty((n, clusters, CROSSING + len(LEVELS))),
            np.zeros((n, 2, clusters, series)),
            np.zeros((n, 7, patches, self.days if self.record == "patches" else 0)),
        )

    def _read(self, books: Books) -> dict[str, np.ndarray]:
        """The outputs (n, ...) in their order."""
        found: dict[str, np.ndarray] = {}
        numbers = self._cluster_numbers()
        for number, cluster in enumerate(self.clusters):
            state = books.state[:, :, numbers == number].sum(axis=2)
            people = np.maximum(state.sum(axis=1), 1.0)
            own = books.clusters[:, number]
            found[f"attack_rate_{cluster}"] = (state[:, RECOVERED] + state[:, VACCINATED]) / people
            found[f"vaccinated_{cluster}"] = state[:, VACCINATED] / people
            found[f"infections_{cluster}"] = own[:, INFECTIONS]
            found[f"peak_day_{cluster}"] = own[:, PEAK_DAY]
            found[f"arrival_{cluster}"] = own[:, ARRIVAL]
            found[f"invaded_{cluster}"] = (own[:, ARRIVAL] < self.days).astype(np.float64)
            found[f"immune_days_{cluster}"] = own[:, CROSSING:]
        found["patch_arrival"] = books.arrival
        if self.record != "summary":
            found |= {"infectious": books.series[:, 0], "incidence": books.series[:, 1]}
        if self.record == "patches":
            found |= {"patch_incidence": books.patches[:, 5], "patch_states": books.patches[:, :5]}
        return found
