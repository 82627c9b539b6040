"""An outbreak in many patches without chance: expected numbers of people, day by day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hetcal.simulators.chain_binomial import kernel
from hetcal.simulators.delays import delay_laws
from hetcal.simulators.spatial import SpatialModel
from hetcal.simulators.spatial_kernels import (
    BIRTHS,
    DEATHS,
    EFFICACY,
    EXPOSED,
    IMPORTATION,
    INFECTIOUS,
    INFECTIOUS_MEAN,
    LATENT,
    RECOVERED,
    ROUTINE,
    SUSCEPTIBLE,
    VACCINATED,
    YEAR,
    Books,
    Runs,
    Scene,
    close_tick,
    daily,
    open_books,
    pressures,
    start,
    total,
)


@kernel()
def schedule(queue: np.ndarray, tick: int, j: int, people: float, weights: np.ndarray) -> None:
    """Put the next events of people into the queue (ticks, P), by the weight of each waiting time."""
    if people > 1e-30:  # less would be denormal numbers, which take a processor long
        slot = (tick + 1) % len(queue)
        for x in range(len(weights)):
            queue[slot, j] += people * weights[x]
            slot = slot + 1 if slot + 1 < len(queue) else 0


@kernel()
def move(
    state: np.ndarray,
    to_onset: np.ndarray,
    to_recovery: np.ndarray,
    onsets: np.ndarray,
    tick: int,
    j: int,
    infectious: np.ndarray,
) -> None:
    """Recoveries, then onsets of a patch at the start of a tick, by the queues."""
    slot = tick % len(to_recovery)
    state[INFECTIOUS, j] = max(state[INFECTIOUS, j] - to_recovery[slot, j], 0.0)
    state[RECOVERED, j] += to_recovery[slot, j]
    to_recovery[slot, j] = 0.0
    slot = tick % len(to_onset)
    turning = to_onset[slot, j]
    to_onset[slot, j] = 0.0
    state[EXPOSED, j] = max(state[EXPOSED, j] - turning, 0.0)
    state[INFECTIOUS, j] += turning
    onsets[j] += turning
    schedule(to_recovery, tick, j, turning, infectious)


@kernel()
def weights_of(law: np.ndarray, death: float) -> np.ndarray:
    """Share of people who leave after 1, 2, ... ticks, alive."""
    weights = np.empty(len(law))
    before = 0.0
    for x in range(len(law)):
        weights[x] = (law[x] - before) * (1.0 - death) ** (x + 1)
        before = law[x]
    return weights


@kernel()
def infections(
    numbers: np.ndarray, scene: Scene, state: np.ndarray, tick: int, j: int, hazard: float
) -> float:
    """Expected infections in a patch on a tick, those of importation among them."""
    susceptible = state[SUSCEPTIBLE, j]
    cases = -susceptible * math.expm1(-hazard)
    if scene.importation_days[0] <= tick <= scene.importation_days[1]:
        cases += min(total(state, j) * numbers[IMPORTATION] / YEAR / 1000.0, susceptible - cases)
    return cases


@kernel()
def vital_flows(numbers: np.ndarray, scene: Scene, state: np.ndarray, j: int) -> float:
    """Expected births and deaths of a patch into its state; returns susceptible births."""
    births = total(state, j) * daily(numbers[BIRTHS])
    state[:, j] *= 1.0 - daily(numbers[DEATHS])
    protected = births * scene.coverage[j] * numbers[ROUTINE]
    state[SUSCEPTIBLE, j] += births - protected
    state[VACCINATED, j] += protected
    return births - protected


@kernel(nogil=True)
def run(k: int, runs: Runs, scene: Scene, books: Books) -> None:
    """Run k into the books; waiting times are geometric where there are no laws."""
    numbers, state, patches = runs.numbers[k], books.state[k], len(scene.population)
    geometric = runs.latent.shape[1] == 0
    onset, recovery = -math.expm1(-1.0 / numbers[LATENT]), -math.expm1(-1.0 / numbers[INFECTIOUS_MEAN])
    death = daily(numbers[DEATHS])
    latent, infectious = weights_of(runs.latent[k], death), weights_of(runs.infectious[k], death)
    to_onset = np.zeros((len(latent) + 1, patches))
    to_recovery = np.zeros((len(infectious) + 1, patches))
    hazard, infected, onsets, born = (
        np.zeros(patches),
        np.zeros(patches),
        np.zeros(patches),
        np.zeros(patches),
    )
    start(scene, state)
    open_books(scene, books.arrival[k], books.clusters[k])
    for j in range(patches):
        # As if infected on the tick before the first, on which nobody died.
        schedule(to_onset, -1, j, scene.seeds[j] / (1.0 - death), latent)
    for tick in range(scene.days):
        for j in range(patches):
            if not geometric:
                move(state, to_onset, to_recovery, onsets, tick, j, infectious)
        pressures(numbers, runs.mixing[k], state, tick, hazard)
        for j in range(patches):
            infected[j] = infections(numbers, scene, state, tick, j, hazard[j])
            if geometric:
                turning, ending = state[EXPOSED, j] * onset, state[INFECTIOUS, j] * recovery
                onsets[j] += turning
                state[EXPOSED, j] -= turning
                state[INFECTIOUS, j] += turning - ending
                state[RECOVERED, j] += ending
            else:
                schedule(to_onset, tick, j, infected[j], latent)
            state[SUSCEPTIBLE, j] -= infected[j]
            state[EXPOSED, j] += infected[j]
        for g in range(len(scene.campaign_day)):
            if scene.campaign_day[g] == tick:
                for j in range(patches):
                    if scene.campaign_member[g, j]:
                        moved = state[SUSCEPTIBLE, j] * numbers[EFFICACY + g]
                        state[SUSCEPTIBLE, j] -= moved
                        state[VACCINATED, j] += moved
        for j in range(patches):
            born[j] = vital_flows(numbers, scene, state, j)
        close_tick(k, scene, tick, state, infected, born, onsets, books)


@dataclass(frozen=True, eq=False)
class SpatialMeanField(SpatialModel):
    """Deterministic SEIR outbreak in patches that mix: expected numbers, with either law of waiting times.

    Use it to see what chance does, and what waiting times do. The seed is not used. Parameters, outputs and settings
    are those of `SpatialABM`, and so is the order of a day. With sojourns "delays", people wait as those of
    `SpatialABM` do (a convolution with the two laws of whole ticks); with "geometric", as those of `SpatialCMP`. A
    patch or cluster counts as reached on the first day by which one person in all is expected to have become
    infectious there, so nearly everything is reached in the end: the mean field cannot tell that an outbreak may fail
    to cross a gap.

    Parameters
    ----------
    patches, days, mixing, seeding, campaigns, latent_mean, infectious_mean, seasonality, seasonal_day,
    importation_rate, importation_days, birth_rate, death_rate, routine_efficacy, free, record
        As in `SpatialABM`.
    sojourns : {"delays", "geometric"}
        Law of the waiting times.
    latent_sd, infectious_sd : float
        As in `SpatialABM`; with geometric sojourns there is nothing to give.

    Raises
    ------
    TypeError, ValueError
        When a setting or a run's parameter cannot be used, naming it and its value.

    Examples
    --------
    >>> import hetcal as hc
    >>> peaks = []
    >>> for sojourns in ("delays", "geometric"):
    ...     chain = hc.simulators.SpatialMeanField(
    ...         hc.data.three_cluster(),
    ...         days=200,
    ...         mixing=hc.simulators.Chain(),
    ...         seeding={"cluster_a:node_9": 15},
    ...         sojourns=sojourns,
    ...     )
    ...     peaks.append(float(chain({"beta": 0.5, "k": 0.01, "c": 1.5}, seed=0)["peak_day_A"]))
    ...
    >>> peaks
    [95.0, 109.0]
    """

    sojourns: str = "delays"
    latent_sd: float = 2.0
    infectious_sd: float = 2.0

    name: ClassVar[str] = "SpatialMeanField"
    version: ClassVar[str] = "1"
    spreads: ClassVar[tuple[str, ...]] = ("latent_sd", "infectious_sd")

    def __post_init__(self) -> None:
        if self.sojourns not in ("delays", "geometric"):
            raise ValueError(f"sojourns of {self.name} is {self.sojourns!r}: give 'delays' or 'geometric'")
        super().__post_init__()
        for name in self.spreads:
            if self.sojourns == "geometric" and (name in self.free or getattr(self, name) != 2.0):
                raise ValueError(f"{name} of {self.name} has no effect with geometric sojourns: leave it out")

    def _laws(self, *columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.sojourns == "geometric":
            return super()._laws(*columns)
        return delay_laws(*columns)

    def _simulate(self, k: int, runs: Runs, scene: Scene, books: Books) -> None:
        run(k, runs, scene, books)
