"""Kernels of `VillageOutbreak`: an outbreak among known children, from event to event."""

from __future__ import annotations

import math

import numba
import numpy as np

from hetcal.simulators.chain_binomial import kernel, keyed_uniform, normal_quantile, seed_key

# Children of a household are counted by the days after its first case; this many and more together.
LONGEST_GAP = 20

# Each child's own random numbers, and columns of theta.
RESISTANCE, INCUBATION, INFECTIOUSNESS, HOUR = range(4)
HOUSEHOLD, VILLAGE, MEDIAN, SPREAD = 0, 3, 4, 5


@kernel()
def forces(
    theta: np.ndarray,
    open_classes: bool,
    active: np.ndarray,
    stage: np.ndarray,
    weight: np.ndarray,
    house: np.ndarray,
    classes: np.ndarray,
    at_home: np.ndarray,
    in_class: np.ndarray,
) -> float:
    """Hazards in each household and class (3,), written there, and in the village, returned."""
    at_home[:] = 0.0
    in_class[:] = 0.0
    village = 0.0
    for j in active:
        if stage[j] >= 1:
            at_home[house[j]] += theta[HOUSEHOLD] * weight[j]
        if stage[j] == 1:
            village += theta[VILLAGE] * weight[j]
            if open_classes and classes[j] > 0:
                in_class[classes[j]] += theta[classes[j]] * weight[j]
    return village


@kernel()
def count(
    prodrome: np.ndarray,
    share: np.ndarray,
    house: np.ndarray,
    classes: np.ndarray,
    series: np.ndarray,
    gaps: np.ndarray,
    routes: np.ndarray,
    totals: np.ndarray,
) -> None:
    """What is told of the children whose prodromes began before the end."""
    days = series.shape[1]
    first, opener = np.full(house.max() + 1, days), np.full(house.max() + 1, -1)
    for j in range(len(house)):
        if prodrome[j] < days:
            day = int(prodrome[j])
            series[0, day] += 1
            series[1 + classes[j], day] += 1
            routes += share[j]
            if day < first[house[j]]:
                first[house[j]], opener[house[j]] = day, j
    for j in range(len(house)):
        if prodrome[j] < days and opener[house[j]] != j:
            gaps[min(int(prodrome[j]) - first[house[j]], LONGEST_GAP)] += 1
    totals[0], totals[1] = series[0].sum(), np.argmax(series[0])


@kernel()
def run(
    theta: np.ndarray,
    seed: int,
    house: np.ndarray,
    classes: np.ndarray,
    home_after: np.ndarray,
    end_after: np.ndarray,
    introduced: np.ndarray,
    lead_days: float,
    infectiousness_spread: float,
    closing: float,
    series: np.ndarray,
    gaps: np.ndarray,
    routes: np.ndarray,
    totals: np.ndarray,
) -> None:
    """One outbreak into series (4, days), gaps (21,) and routes (3,), zero before, and totals (2,), in continuous time.

    From event to event: hazards are constant between them, so when the next resistance is used up is known.
    """
    n, key, days = len(house), seed_key(seed), series.shape[1]
    left, weight, hazard = np.empty(n), np.empty(n), np.zeros(n)
    prodrome, share = np.full(n, np.inf), np.zeros((n, 3))
    stage = np.full(
        n, -1
    )  # -1 susceptible, 0 latent, 1 infectious and about, 2 infectious at home, 3 no more
    change = np.full(n, np.inf)  # when the next stage begins
    at_home, in_class = np.zeros(house.max() + 1), np.zeros(3)
    for j in range(n):
        left[j] = -math.log(keyed_uniform(key, 4 * j + RESISTANCE))
        z = normal_quantile(keyed_uniform(key, 4 * j + INFECTIOUSNESS))
        weight[j] = math.exp(infectiousness_spread * z - 0.5 * infectiousness_spread**2)
        if introduced[j] >= 0:
            prodrome[j] = introduced[j] + keyed_uniform(key, 4 * j + HOUR)
            change[j], stage[j] = prodrome[j] - lead_days, 0
    active, village = np.flatnonzero(stage == 0), 0.0
    now = change.min()
    while len(active) and now < days:
        j = active[np.argmin(change[active])]
        until = min(change[j], closing) if now < closing else change[j]
        wait, infected = until - now, -1
        for i in range(n):
            if stage[i] < 0:
                hazard[i] = at_home[house[i]] + in_class[classes[i]] + village
                if left[i] < hazard[i] * wait:
                    wait, infected = left[i] / hazard[i], i
        for i in range(n):
            if stage[i] < 0:
                left[i] -= hazard[i] * wait
        if infected >= 0:
            i, now = infected, now + wait
            z = normal_quantile(keyed_uniform(key, 4 * i + INCUBATION))
            prodrome[i] = now + theta[MEDIAN] * math.exp(theta[SPREAD] * z)
            change[i], stage[i] = max(now, prodrome[i] - lead_days), 0
            share[i, 0] = at_home[house[i]] / hazard[i]
            share[i, 1] = in_class[classes[i]] / hazard[i]
            share[i, 2] = village / hazard[i]
            active = np.append(active, i)
            continue
        if now < closing <= change[j]:
            now = closing
        else:
            now = change[j]
            stage[j] += 1
            after = home_after[j] if stage[j] == 1 else end_after[j]
            change[j] = prodrome[j] + after
            if stage[j] == 3:
                active = active[active != j]
        village = forces(theta, now < closing, active, stage, weight, house, classes, at_home, in_class)
    count(prodrome, share, house, classes, series, gaps, routes, totals)


@kernel(parallel=True)
def run_all(
    theta: np.ndarray,
    seeds: np.ndarray,
    house: np.ndarray,
    classes: np.ndarray,
    home_after: np.ndarray,
    end_after: np.ndarray,
    introduced: np.ndarray,
    lead_days: float,
    infectiousness_spread: float,
    closing: float,
    series: np.ndarray,
    gaps: np.ndarray,
    routes: np.ndarray,
    totals: np.ndarray,
) -> None:
    """`run` at every row of theta."""
    for k in numba.prange(len(seeds)):
        run(
            theta[k],
            seeds[k],
            house,
            classes,
            home_after,
            end_after,
            introduced,
            lead_days,
            infectiousness_spread,
            closing,
            series[k],
            gaps[k],
            routes[k],
            totals[k],
        )
