"""Twelve parameters and eight losses of the three-cluster chain, and data of one outbreak whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hetcal.losses import LogRelativeRisk
from hetcal.observation import NegativeBinomialObservation, PoissonObservation
from hetcal.parameters import Parameter, Space, log_uniform, uniform
from hetcal.problem import Problem
from hetcal.streams import generator, simulator_seeds
from hetcal.studies.three_cluster_problem import SEEDED, chain
from hetcal.targets import Target

TRUTH = {
    "beta": 0.5,
    "k": 0.01,
    "c": 1.5,
    "seasonality": 0.15,
    "seasonal_day": 60.0,
    "importation_rate": 3e-4,
    "birth_rate": 25.0,
    "latent_mean": 6.0,
    "latent_sd": 2.0,
    "infectious_mean": 8.0,
    "infectious_sd": 2.0,
    "routine_efficacy": 0.85,
}
DAYS = 365
SURVEYED = 400  # people asked for a blood sample
REPORTED = {"A": 0.01, "B_near": 0.1}  # share of the infections that become a reported case
DISPERSION = 10.0  # of reports from B near
ABSENT = 0.2  # share of the infectious who are missed at school; the calibration does not know it
DATA_SEED = 2021
WEEKS = 6, 18  # first and last in which absent pupils were counted

PRIORS = (
    Parameter("beta", uniform(0.25, 1.0), unit="1/day", label="infections a day by one infectious"),
    Parameter("k", log_uniform(1e-3, 0.1), label="share of contacts away from home"),
    Parameter("c", uniform(0.5, 3.0), label="exponent of distance"),
    Parameter("seasonality", uniform(0.0, 0.4), label="share by which beta rises over the year"),
    Parameter("seasonal_day", uniform(0, 180), unit="day", label="day on which beta rises through its mean"),
    Parameter("importation_rate", log_uniform(1e-5, 1e-2), unit="per 1000 and year", label="importations"),
    Parameter("birth_rate", uniform(5, 45), unit="per 1000 and year", label="births"),
    Parameter("latent_mean", uniform(4, 12), unit="day", label="mean latent time"),
    Parameter("latent_sd", uniform(0.5, 4), unit="day", label="sd of the latent time"),
    Parameter("infectious_mean", uniform(4, 12), unit="day", label="mean infectious time"),
    Parameter("infectious_sd", uniform(0.5, 4), unit="day", label="sd of the infectious time"),
    Parameter("routine_efficacy", uniform(0.5, 1.0), label="efficacy of routine vaccination"),
)


@dataclass(frozen=True)
class Surveyed:
    """How many of so many people are expected to be immune, of the share that is."""

    people: int

    def __call__(self, share: np.ndarray) -> np.ndarray:
        return self.people * share


@dataclass(frozen=True)
class Reported:
    """Cases that a cluster is expected to report in each period, of the daily infections (clusters, days)."""

    place: int
    share: float
    days: int

    def __call__(self, incidence: np.ndarray) -> np.ndarray:
        periods = incidence.shape[1] // self.days
        own = incidence[self.place, : periods * self.days]
        return self.share * own.reshape(periods, self.days).sum(axis=1)


@dataclass(frozen=True)
class Weekly:
    """A cluster's infectious people on one day of each week, of the daily ones (clusters, days)."""

    place: int
    first: int
    last: int

    def __call__(self, infectious: np.ndarray) -> np.ndarray:
        return infectious[self.place, 7 * self.first : 7 * self.last + 1 : 7]


@dataclass(frozen=True)
class Among:
    """Chosen elements of an output."""

    kept: tuple[int, ...]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return values[list(self.kept)]


@dataclass(frozen=True)
class Risks:
    """Logarithms of the attack rates of all clusters but A over that of A, of the daily infections."""

    people: tuple[float, ...]

    def __call__(self, incidence: np.ndarray) -> np.ndarray:
        return LogRelativeRisk(reference=0, floor=1e-3)(incidence.sum(axis=1) / np.array(self.people))


def model() -> Any:
    """The chain's simulator over a year, with nine of its settings as parameters."""
    return chain(days=DAYS, free=tuple(TRUTH)[3:], record="series")


def space() -> Space:
    """The twelve parameters with their priors."""
    return Space(list(PRIORS))


def templates(simulator: Any) -> list[Target]:
    """The eight targets without data: zeros, or ones where a family wants them, stand in their place."""
    places, patches = simulator.clusters, simulator.patches
    people = tuple(patches.groupby("cluster", sort=False)["pop"].sum().astype(float))
    reached = (patches["cluster"] == "A") & ~patches["id"].isin(SEEDED)
    patches_of_a = tuple(np.flatnonzero(reached).tolist())
    months, quarters = DAYS // 30, DAYS // 90
    # Chance switches four of the losses between two heights, a large outbreak or none: their logarithms have bounds so
    # far below that they are nearly the losses themselves, since a lognormal would not hold both.
    return [
        Target(
            "incidence",
            observed=np.zeros(months),
            loss="half_poisson_deviance",
            weight=0.05,
            name="cases_A",
            statistic=Reported(places.index("A"), REPORTED["A"], 30),
            label="reported cases in A by month",
        ),
        Target(
            "incidence",
            observed=np.zeros(quarters),
            loss="negative_binomial",
            dispersion=DISPERSION,
            floor=20.0,  # rashes that are no measles
            weight=0.003,
            name="cases_B_near",
            statistic=Reported(places.index("B_near"), REPORTED["B_near"], 90),
            label="reported cases in B near by quarter",
            transform=("log", -1000.0),
        ),
        Target(
            "attack_rate_B_near",
            observed=0.0,
            loss="binomial",
            trials=SURVEYED,
            weight=0.05,
            name="immune_B_near",
            statistic=Surveyed(SURVEYED),
            label="immune of 400 in B near",
            transform=("log", 0.0),
        ),
        Target(
            "invaded_C",
            observed=0.0,
            loss="binomial",
            trials=1,
            weight=1.0,
            label="whether C was reached",
            transform=("log", -10.0),
        ),
        Target("peak_day_A", observed=0.0, loss="gaussian", sd=3.0, weight=4.0, label="day of the peak in A"),
        Target(
            "infectious",
            observed=np.ones(WEEKS[1] - WEEKS[0] + 1),
            loss="log_rss",
            bias="profiled",
            weight=5.0,
            name="absent_A",
            statistic=Weekly(places.index("A"), *WEEKS),
            label="absent from school in A by week",
        ),
        Target(
            "patch_arrival",
            observed=np.ones(len(patches_of_a)),
            loss="log_gaussian",
            least_sd=0.1,
            weight=0.5,
            name="arrival_A",
            statistic=Among(patches_of_a),
            label="day of arrival in 12 places of A",
        ),
        Target(
            "incidence",
            observed=np.zeros(len(places) - 1),
            loss="rss",
            weight=0.1,
            name="relative_risk",
            statistic=Risks(people),
            label="log attack rate of B far, B near and C over that of A",
            transform=("log", -50.0),
        ),
    ]


def observed(simulator: Any) -> dict[str, np.ndarray]:
    """What was written down of one outbreak at the truth, by target.

    The run has a seed of the branch "truth", from which no calibration draws; reports, surveys and notes scatter about
    what happened by laws of their own.
    """
    row = np.array([[TRUTH[name] for name in simulator.parameters]])
    run = simulator.batch(row, simulator_seeds(DATA_SEED, "truth", 0, 0, 1))
    happened = {target.name: target.compared(run[target.output])[0] for target in templates(simulator)}
    rng = generator(DATA_SEED, "truth", 1)
    infectious = Weekly(0, *WEEKS)(run["infectious"][0])
    return {
        "cases_A": PoissonObservation().draw(happened["cases_A"], rng),
        "cases_B_near": NegativeBinomialObservation(DISPERSION).draw(happened["cases_B_near"], rng),
        "immune_B_near": rng.binomial(SURVEYED, happened["immune_B_near"] / SURVEYED),
        "invaded_C": happened["invaded_C"],
        "peak_day_A": np.round(rng.normal(happened["peak_day_A"], 3.0)),
        "absent_A": np.round(ABSENT * infectious * np.exp(rng.normal(0, 0.15, infectious.shape))),
        "arrival_A": happened["arrival_A"] * np.exp(rng.normal(0, 0.1, happened["arrival_A"].shape)),
        "relative_risk": rng.normal(happened["relative_risk"], 0.1),
    }


def problem() -> Problem:
    """The twelve parameters, the simulator, and the eight targets with the data of the known truth.

    Examples
    --------
    >>> import hetcal as hc
    >>> chosen = hc.studies.many_losses.problem()
    >>> chosen.space.dimension, sorted({target.loss for target in chosen.targets})[:4]
    (12, ['binomial', 'gaussian', 'half_poisson_deviance', 'log_gaussian'])
    """
    simulator = model()
    data = observed(simulator)
    targets = [replace(target, observed=data[target.name]) for target in templates(simulator)]
    return Problem(space(), simulator, targets)
