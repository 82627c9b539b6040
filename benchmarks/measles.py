"""One seed of the measles chain (45 patches, 1.6 million people, 1,095 days) against a loop over people and days."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable
from dataclasses import replace

import numba
import numpy as np

import hetcal as hc
from hetcal.simulators import Campaign, Chain, SpatialABM, SpatialCMP, SpatialMeanField

TRUTH = {"beta": 0.5, "k": 0.01, "c": 1.5}
SEEDS = range(100, 110)


@numba.njit(cache=True)
def every_person_every_day(
    seed: int, days: int, home: np.ndarray, fate: np.ndarray, timer: np.ndarray, w: np.ndarray, beta: float
) -> np.ndarray:
    """The same process with a state and a timer for every person, looked at on each day; recovered by patch.

    fate: 0 susceptible, 1 exposed, 2 infectious, 3 recovered or vaccinated. The campaigns are in fate already.
    """
    np.random.seed(seed)
    patches = len(w)
    people, sick, risk = np.zeros(patches), np.zeros(patches), np.zeros(patches)
    sigma = math.sqrt(math.log(1.0 + (2.0 / 6.0) ** 2))
    mu = math.log(6.0) - sigma**2 / 2.0
    for person in range(len(home)):
        people[home[person]] += 1.0
    for _ in range(days):
        sick[:] = 0.0
        for person in range(len(home)):
            if fate[person] == 2:
                timer[person] -= 1
                if timer[person] == 0:
                    fate[person] = 3
            elif fate[person] == 1:
                timer[person] -= 1
                if timer[person] == 0:
                    fate[person], timer[person] = 2, max(1, round(np.random.gamma(16.0, 0.5)))
            if fate[person] == 2:
                sick[home[person]] += 1.0
        for j in range(patches):
            pressure = 0.0
            for i in range(patches):
                pressure += sick[i] * w[i, j]
            risk[j] = -math.expm1(-beta * pressure / people[j])
        for person in range(len(home)):
            if fate[person] == 0 and risk[home[person]] > 0.0 and np.random.random() < risk[home[person]]:
                fate[person], timer[person] = 1, max(1, round(np.random.lognormal(mu, sigma)))
    recovered = np.zeros(patches)
    for person in range(len(home)):
        recovered[home[person]] += fate[person] == 3
    return recovered


def chain(kind: type, times: int = 1, **changes: object) -> object:
    """The published scenario, of so many times its people."""
    patches = hc.data.three_cluster()
    patches["pop"] *= times
    settings = {
        "days": 1095,
        "mixing": Chain(),
        "seeding": {"cluster_a:node_9": 5, "cluster_a:node_15": 5, "cluster_a:node_1": 5},
        "campaigns": [Campaign("B_far", 10, 0.85), Campaign("B_near", 10, 0.5)],
    }
    return kind(patches, **{**settings, **changes})


def milliseconds(call: Callable[[int], object], seeds: range = SEEDS) -> float:
    """Median CPU time of a call, over seeds."""
    times = []
    for seed in seeds:
        started = time.process_time()
        call(seed)
        times.append(time.process_time() - started)
    return 1e3 * float(np.median(times))


def plain_seconds(model: SpatialABM, seed: int, days: int) -> tuple[float, float]:
    """CPU seconds of the loop over people for some days, and the attack rate of A."""
    patches, rng = model.patches, np.random.default_rng(seed)
    home = np.repeat(np.arange(len(patches), dtype=np.int8), patches["pop"])
    fate, timer = np.zeros(len(home), dtype=np.int8), np.zeros(len(home), dtype=np.int16)
    cluster = patches["cluster"].to_numpy()[home]
    for campaign in model.campaigns:
        pool = np.flatnonzero(cluster == campaign.cluster)
        fate[rng.choice(pool, int(len(pool) * campaign.efficacy), replace=False)] = 3
    for patch, number in model.seeding.items():
        first = int(np.flatnonzero(home == patches.index[patches["id"] == patch][0])[0])
        fate[first : first + number], timer[first : first + number] = 1, 6
    arguments = (home, fate, timer, model.mixing_matrix(0.01, 1.5), 0.5)
    every_person_every_day(seed, 0, *arguments)  # compiles
    started = time.process_time()
    recovered = every_person_every_day(seed, days, *arguments)
    seconds = time.process_time() - started
    in_a = (patches["cluster"] == "A").to_numpy()
    return seconds, float(recovered[in_a].sum() / patches["pop"][in_a].sum())


def peak_megabytes() -> float:
    """Most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print times, ratios and memory."""
    before = peak_megabytes()
    model = chain(SpatialABM)
    runs = [model(TRUTH, seed) for seed in SEEDS]  # compiles
    ours = milliseconds(lambda seed: model(TRUTH, seed))
    n = 200
    theta, seeds = np.tile(list(TRUTH.values()), (n, 1)), np.arange(n)
    started = time.perf_counter()
    model.batch(theta, seeds)
    rate = n / (time.perf_counter() - started)
    after = peak_megabytes()
    infections = np.mean([sum(run[f"infections_{name}"] for name in model.clusters) for run in runs])
    people, days = int(model.patches["pop"].sum()), model.days
    print(
        f"ABM, {len(model.patches)} patches, {people:,} people, {days:,} days: {ours:.1f} ms CPU a seed (median of "
        f"{len(SEEDS)}; {infections:,.0f} infections), {rate:.0f} seeds a second of the clock on "
        f"{numba.get_num_threads()} thread(s)"
    )
    print(
        f"ABM, memory after a batch of {n}: {after:.0f} MB at most, {before:.0f} MB of it before the first run "
        "(Python, numpy, pandas, numba)"
    )
    theirs, attack_rate = plain_seconds(model, 1, days)
    mine = np.mean([run["attack_rate_A"] for run in runs])
    print(
        f"ABM, loop over all people and days by numba {numba.__version__}: {theirs:.1f} s CPU, ratio "
        f"{1e3 * theirs / ours:.0f}x (attack rate of A {attack_rate:.4f}, ours {mine:.4f})"
    )
    # As many infections among 10 times the people: the outbreak dies out below its threshold, fed by importation.
    steady = {"seeding": {}, "campaigns": [], "days": 365, "importation_rate": 20.0}
    below = {**TRUTH, "beta": 0.05}
    small = chain(SpatialABM, **steady)
    large = chain(SpatialABM, times=10, **{**steady, "importation_rate": 2.0})
    count = [sum(each(below, 1)[f"infections_{name}"] for name in each.clusters) for each in (small, large)]
    cost = [milliseconds(lambda seed: each(below, seed)) for each in (small, large)]
    print(
        f"ABM, 10x the people, {count[0]:,.0f} and {count[1]:,.0f} infections in a year: {cost[0]:.1f} and "
        f"{cost[1]:.1f} ms, {cost[1] / cost[0]:.2f}x"
    )
    longer = replace(model, days=10 * days)
    cost = milliseconds(lambda seed: longer(TRUTH, seed))
    watched = replace(longer, importation_rate=1e-12)
    watching = milliseconds(lambda seed: watched(TRUTH, seed))
    print(
        f"ABM, 10x the days: {cost:.1f} ms, {cost / ours:.2f}x, since a run ends when nothing can happen; "
        f"{watching:.1f} ms, {watching / ours:.2f}x, where it goes on to wait for an importation"
    )
    vital = replace(model, birth_rate=20.0, death_rate=8.0)
    print(f"ABM with births and deaths: {milliseconds(lambda seed: vital(TRUTH, seed)):.1f} ms CPU a seed")
    cheap = chain(SpatialCMP)
    cheap(TRUTH, 1)
    print(f"CMP: {milliseconds(lambda seed: cheap(TRUTH, seed)):.1f} ms CPU a seed")
    for sojourns in ("geometric", "delays"):
        field = chain(SpatialMeanField, sojourns=sojourns)
        field(TRUTH, 1)
        print(f"mean field, {sojourns}: {milliseconds(lambda seed: field(TRUTH, seed)):.1f} ms CPU")


if __name__ == "__main__":
    main()
