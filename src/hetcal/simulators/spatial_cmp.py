"""An outbreak in many patches by counts: everybody leaves a state with the same probability on every day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hetcal.simulators.chain_binomial import (
    binomial_quantile,
    drawn,
    kernel,
    keyed_uniform,
    seed_key,
)
from hetcal.simulators.spatial import SpatialModel
from hetcal.simulators.spatial_kernels import (
    BIRTHS,
    CAMPAIGN,
    DEATHS,
    EFFICACY,
    EXPOSED,
    INFECT,
    INFECTIOUS,
    INFECTIOUS_MEAN,
    LATENT,
    ONSET,
    RECOVERED,
    RECOVERY,
    SUSCEPTIBLE,
    VACCINATED,
    Books,
    Runs,
    Scene,
    close_tick,
    imported,
    open_books,
    over,
    patch_keys,
    pressures,
    stand_still,
    start,
    vital_events,
)


@kernel()
def vaccinate(
    efficacy: float, member: np.ndarray, state: np.ndarray, keys: np.ndarray, campaign: int
) -> None:
    """Move each susceptible of a group to the vaccinated with this probability."""
    log_q = math.log1p(-efficacy) if efficacy < 1.0 else -np.inf
    for j in range(len(member)):
        if member[j] and efficacy > 0.0:
            moved = drawn(int(state[SUSCEPTIBLE, j]), efficacy, log_q, keys[CAMPAIGN, j], campaign)
            state[SUSCEPTIBLE, j] -= moved
            state[VACCINATED, j] += moved


@kernel(nogil=True)
def run(k: int, runs: Runs, scene: Scene, books: Books) -> None:
    """Run k into the books."""
    numbers, state, patches = runs.numbers[k], books.state[k], len(scene.population)
    keys = patch_keys(seed_key(runs.seeds[k]), patches)
    onset, recovery = -math.expm1(-1.0 / numbers[LATENT]), -math.expm1(-1.0 / numbers[INFECTIOUS_MEAN])
    hazard, infected, onsets = np.zeros(patches), np.zeros(patches), np.zeros(patches)
    born, dead = np.zeros(patches), np.zeros(5, dtype=np.int64)
    vital = numbers[BIRTHS] > 0.0 or numbers[DEATHS] > 0.0
    start(scene, state)
    open_books(scene, books.arrival[k], books.clusters[k])
    for tick in range(scene.days):
        pressures(numbers, runs.mixing[k], state, tick, hazard)
        for j in range(patches):
            susceptible, cases = int(state[SUSCEPTIBLE, j]), 0
            if susceptible > 0 and hazard[j] > 0.0:
                u = keyed_uniform(keys[INFECT, j], tick)
                if u > 1.0 - susceptible * hazard[j]:  # else none: P(0) >= 1 - mean
                    cases = binomial_quantile(u, susceptible, -math.expm1(-hazard[j]), -hazard[j])
            cases += min(imported(numbers, scene, state, keys, tick, j), susceptible - cases)
            turning = drawn(int(state[EXPOSED, j]), onset, -1.0 / numbers[LATENT], keys[ONSET, j], tick)
            ending = drawn(
                int(state[INFECTIOUS, j]), recovery, -1.0 / numbers[INFECTIOUS_MEAN], keys[RECOVERY, j], tick
            )
            infected[j] = cases
            onsets[j] += turning
            state[SUSCEPTIBLE, j] -= cases
            state[EXPOSED, j] += cases - turning
            state[INFECTIOUS, j] += turning - ending
            state[RECOVERED, j] += ending
        for g in range(len(scene.campaign_day)):
            if scene.campaign_day[g] == tick:
                vaccinate(numbers[EFFICACY + g], scene.campaign_member[g], state, keys, g)
        if vital:
            for j in range(patches):
                born[j] = vital_events(numbers, scene, state, keys, tick, j, dead)
        close_tick(k, scene, tick, state, infected, born, onsets, books)
        if over(numbers, scene, state, tick):
            stand_still(tick, state, books.patches[k])
            break


@dataclass(frozen=True, eq=False)
class SpatialCMP(SpatialModel):
    """Compartmental SEIR outbreak in patches that mix: binomial counts, geometric waiting times.

    Use it as the cheap relative of `SpatialABM`. Parameters, outputs and settings are the same, but there are no
    standard deviations: each exposed person becomes infectious with probability 1 - exp(-1/latent_mean) a day and
    recovers with 1 - exp(-1/infectious_mean), 6.51 and 8.51 ticks on average at the defaults. With the same means
    an outbreak is slower: what differs from the individuals' is the law of the waiting times, not chance.

    On a tick all draws are made from the counts at its start (Binomial(S, 1 - exp(-lambda)) infections, onsets,
    recoveries), so who is infected on tick t is infectious from the counts of tick t + 2 on at the earliest. Campaigns
    vaccinate Binomial(S, efficacy) in each patch, after the infections of their day; then come births and deaths.
    Runs of one seed use the same uniform for the same event of a patch and day, whatever theta is, and share those
    of infections, importations, births and deaths with `SpatialABM`.

    Parameters
    ----------
    patches, days, mixing, seeding, campaigns, latent_mean, infectious_mean, seasonality, seasonal_day,
    importation_rate, importation_days, birth_rate, death_rate, routine_efficacy, free, record
        As in `SpatialABM`.

    Raises
    ------
    TypeError, ValueError
        When a setting or a run's parameter cannot be used, naming it and its value.

    References
    ----------
    Bailey (1975), The Mathematical Theory of Infectious Diseases, ch. 14 (chain binomials).

    Examples
    --------
    >>> import hetcal as hc
    >>> chain = hc.simulators.SpatialCMP(
    ...     hc.data.three_cluster(), days=200, mixing=hc.simulators.Chain(), seeding={"cluster_a:node_9": 15}
    ... )
    >>> run = chain({"beta": 0.5, "k": 0.01, "c": 1.5}, seed=1)
    >>> run["attack_rate_A"].round(2), bool(run["arrival_B_far"] < run["arrival_B_near"])
    (0.98, True)
    """

    name: ClassVar[str] = "SpatialCMP"
    version: ClassVar[str] = "1"

    def _simulate(self, k: int, runs: Runs, scene: Scene, books: Books) -> None:
        run(k, runs, scene, books)
