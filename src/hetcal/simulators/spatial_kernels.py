"""What the spatial models share in compiled code: arrays, random numbers, births and deaths, and their books.

Every random number is a hash of (seed, purpose, patch, tick): a patch keeps its numbers when another is added, and runs
of one seed stay in step as theta moves.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hetcal.simulators.chain_binomial import GOLDEN, drawn, kernel, keyed_uniform, mix

# Rows of a state (5, patches); the vaccinated stand apart from those who recovered.
SUSCEPTIBLE, EXPOSED, INFECTIOUS, RECOVERED, VACCINATED = range(5)

# Columns of the numbers of a run; the efficacies of the campaigns follow.
(
    BETA,
    SEASONALITY,
    SEASONAL_DAY,
    IMPORTATION,
    BIRTHS,
    DEATHS,
    ROUTINE,
    LATENT,
    INFECTIOUS_MEAN,
    EFFICACY,
) = range(10)

# Columns of the books of a cluster; the days on which its immune reach LEVELS follow.
INFECTIONS, PEAK, PEAK_DAY, ARRIVAL, CROSSING = range(5)
LEVELS = np.array([0.1, 0.3, 0.5, 0.7, 0.9])

# Purposes of random numbers, each with a key of its own for every patch.
(
    INFECT,
    WAIT_LATENT,
    WAIT_INFECTIOUS,
    IMPORT,
    CAMPAIGN,
    BORN,
    DIED,
    WHO_DIED,
    ONSET,
    RECOVERY,
    PURPOSES,
) = range(11)

YEAR = 365.0


class Scene(NamedTuple):
    """The settings of a model as its kernels take them."""

    days: int
    population: np.ndarray  # (P,)
    cluster: np.ndarray  # (P,) by number
    seeds: np.ndarray  # (P,) infected before the first tick
    coverage: np.ndarray  # (P,) of newborns by routine vaccination
    campaign_day: np.ndarray  # (G,)
    campaign_member: np.ndarray  # (G, P)
    importation_days: np.ndarray  # (2,) first and last


class Runs(NamedTuple):
    """n runs: their seeds and numbers, and what follows from theta."""

    seeds: np.ndarray  # (n,)
    numbers: np.ndarray  # (n, EFFICACY + G)
    mixing: np.ndarray  # (n, P, P)
    latent: np.ndarray  # (n, K) distribution function at 1, 2, ... ticks; K = 0 where the model needs none
    infectious: np.ndarray  # (n, K)


class Books(NamedTuple):
    """What n runs leave behind; the last three are of length 0 where they are not asked for."""

    state: np.ndarray  # (n, 5, P) at the end
    arrival: np.ndarray  # (n, P)
    clusters: np.ndarray  # (n, C, CROSSING + len(LEVELS))
    series: np.ndarray  # (n, 2, C, days): infectious at the end of a day, infections during it
    patches: np.ndarray  # (n, 7, P, days): state at the end of a day, infections and susceptible births during it


@kernel()
def patch_keys(key: np.uint64, patches: int) -> np.ndarray:
    """Keys (PURPOSES, patches) of a run."""
    keys = np.empty((PURPOSES, patches), dtype=np.uint64)
    for purpose in range(PURPOSES):
        own = mix(key + np.uint64(purpose + 1) * GOLDEN)
        for j in range(patches):
            keys[purpose, j] = mix(own + np.uint64(j + 1) * GOLDEN)
    return keys


@kernel()
def total(state: np.ndarray, j: int) -> float:
    """People alive in a patch."""
    return state[0, j] + state[1, j] + state[2, j] + state[3, j] + state[4, j]


@kernel()
def start(scene: Scene, state: np.ndarray) -> None:
    """The state before the first tick: everybody susceptible but those infected as seeds."""
    state[:] = 0.0
    state[EXPOSED] = scene.seeds
    state[SUSCEPTIBLE] = scene.population - scene.seeds


@kernel()
def pressures(
    numbers: np.ndarray, mixing: np.ndarray, state: np.ndarray, tick: int, hazard: np.ndarray
) -> None:
    """Hazard (P,) of infection in each patch on a tick, from the state as it is."""
    patches = len(hazard)
    hazard[:] = 0.0
    for i in range(patches):
        infectious = state[INFECTIOUS, i]
        if infectious > 0.0:
            for j in range(patches):
                hazard[j] += infectious * mixing[i, j]
    season = 1.0 + numbers[SEASONALITY] * math.sin(2.0 * math.pi * (tick - numbers[SEASONAL_DAY]) / YEAR)
    beta = numbers[BETA] * season
    for j in range(patches):
        people = total(state, j)
        hazard[j] = beta * hazard[j] / people if people > 0.0 else 0.0


@kernel()
def imported(
    numbers: np.ndarray, scene: Scene, state: np.ndarray, keys: np.ndarray, tick: int, j: int
) -> int:
    """How many people of a patch come home infected on a tick, before the cap at its susceptibles."""
    p = numbers[IMPORTATION] / YEAR / 1000.0
    if p <= 0.0 or tick < scene.importation_days[0] or tick > scene.importation_days[1]:
        return 0
    return drawn(int(total(state, j)), p, math.log1p(-p), keys[IMPORT, j], tick)


@kernel()
def daily(rate: float) -> float:
    """Probability a day of an event of a yearly rate per 1000."""
    return math.expm1(math.log1p(rate / 1000.0) / YEAR) if rate > 0.0 else 0.0


@kernel()
def vital_events(
    numbers: np.ndarray,
    scene: Scene,
    state: np.ndarray,
    keys: np.ndarray,
    tick: int,
    j: int,
    dead: np.ndarray,
) -> float:
    """Births and deaths of a patch on a tick into its state; the dead (5,) by state; returns susceptible births."""
    birth, death = daily(numbers[BIRTHS]), daily(numbers[DEATHS])
    births = 0
    if birth > 0.0:
        births = drawn(int(total(state, j)), birth, math.log1p(-birth), keys[BORN, j], 2 * tick)
    for x in range(5):
        dead[x] = 0
        if death > 0.0 and state[x, j] > 0.0:
            dead[x] = drawn(int(state[x, j]), death, math.log1p(-death), keys[DIED, j], 5 * tick + x)
            state[x, j] -= dead[x]
    covered = scene.coverage[j] * numbers[ROUTINE]
    protected = 0
    if births > 0 and covered > 0.0:
        log_q = math.log1p(-covered) if covered < 1.0 else -np.inf
        protected = drawn(births, covered, log_q, keys[BORN, j], 2 * tick + 1)
    state[SUSCEPTIBLE, j] += births - protected
    state[VACCINATED, j] += protected
    return births - protected


@kernel()
def place_of_dead(key: np.uint64, event: int, k: int, waiting: int) -> int:
    """Place in a queue, as long as waiting before the first death, of the person who dies as number k of an event."""
    return int(keyed_uniform(mix(key + np.uint64(event + 1) * GOLDEN), k) * (waiting - k))


@kernel()
def hypergeometric_quantile(u: float, good: int, total: int, taken: int) -> int:
    """Smallest x whose distribution function reaches u: x good ones among those taken of all.

    The probabilities are summed from the mode outwards, as far as they count: a few standard deviations.
    """
    bad = total - good
    low, high = max(0, taken - bad), min(good, taken)
    mode = min(max(int((taken + 1.0) * (good + 1.0) / (total + 2.0)), low), high)
    below, weight, x = 0.0, 1.0, mode
    while x > low and weight > 1e-18:
        weight *= float(x) * (bad - taken + x) / (float(good - x + 1) * (taken - x + 1))
        x -= 1
        below += weight
    above, weight, x = 0.0, 1.0, mode
    while x < high and weight > 1e-18:
        weight *= float(good - x) * (taken - x) / (float(x + 1) * (bad - taken + x + 1))
        x += 1
        above += weight
    goal = u * (below + 1.0 + above)
    reached, weight, x = below, 1.0, mode  # reached is the sum below x
    if goal <= reached:
        while x > low:
            weight *= float(x) * (bad - taken + x) / (float(good - x + 1) * (taken - x + 1))
            x -= 1
            reached -= weight
            if reached < goal:
                break
        return x
    reached += weight
    while reached < goal and x < high:
        weight *= float(good - x) * (taken - x) / (float(x + 1) * (bad - taken + x + 1))
        x += 1
        reached += weight
    return x


@kernel()
def open_books(scene: Scene, arrival: np.ndarray, clusters: np.ndarray) -> None:
    """Nothing has happened: no infections but the seeds, and every day that of never."""
    arrival[:] = scene.days
    clusters[:] = scene.days
    clusters[:, INFECTIONS : PEAK + 1] = 0.0
    for j in range(len(arrival)):
        clusters[scene.cluster[j], INFECTIONS] += scene.seeds[j]


@kernel()
def close_tick(
    k: int,
    scene: Scene,
    tick: int,
    state: np.ndarray,
    infected: np.ndarray,
    born: np.ndarray,
    onsets: np.ndarray,
    books: Books,
) -> None:
    """Enter the end of a tick into the books of run k; onsets are all who ever turned infectious, by patch."""
    arrival, clusters, series, patches = (
        books.arrival[k],
        books.clusters[k],
        books.series[k],
        books.patches[k],
    )
    sums = np.zeros((len(clusters), 4))
    for j in range(len(arrival)):
        c = scene.cluster[j]
        if onsets[j] >= 1.0 and arrival[j] > tick:
            arrival[j] = tick
        clusters[c, INFECTIONS] += infected[j]
        sums[c, 0] += state[INFECTIOUS, j]
        sums[c, 1] += state[RECOVERED, j] + state[VACCINATED, j]
        sums[c, 2] += total(state, j)
        sums[c, 3] += onsets[j]
        if series.shape[2] > 0:
            series[0, c, tick] += state[INFECTIOUS, j]
            series[1, c, tick] += infected[j]
        if patches.shape[2] > 0:
            patches[:5, j, tick] = state[:, j]
            patches[5, j, tick] = infected[j]
            patches[6, j, tick] = born[j]
    for c in range(len(clusters)):
        if sums[c, 3] >= 1.0 and clusters[c, ARRIVAL] > tick:
            clusters[c, ARRIVAL] = tick
        if sums[c, 0] > clusters[c, PEAK]:
            clusters[c, PEAK] = sums[c, 0]
            clusters[c, PEAK_DAY] = tick
        for level in range(len(LEVELS)):
            if clusters[c, CROSSING + level] > tick and sums[c, 1] >= LEVELS[level] * sums[c, 2] > 0.0:
                clusters[c, CROSSING + level] = tick


@kernel()
def over(numbers: np.ndarray, scene: Scene, state: np.ndarray, tick: int) -> bool:
    """Whether nothing can happen any more after this tick."""
    if numbers[BIRTHS] > 0.0 or numbers[DEATHS] > 0.0:
        return False
    for j in range(state.shape[1]):
        if state[EXPOSED, j] > 0.0 or state[INFECTIOUS, j] > 0.0:
            return False
    if numbers[IMPORTATION] > 0.0 and tick < scene.importation_days[1]:
        return False
    return len(scene.campaign_day) == 0 or tick >= scene.campaign_day.max()


@kernel()
def stand_still(tick: int, state: np.ndarray, patches: np.ndarray) -> None:
    """Fill the days after the last tick of the patches' series with the state that stays."""
    for t in range(tick + 1, patches.shape[2]):
        patches[:5, :, t] = state
