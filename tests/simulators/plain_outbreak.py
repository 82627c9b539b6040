"""The spatial models written down plainly: every person looked at on every day, and counts by numpy's binomials."""

from __future__ import annotations

import math

import numba
import numpy as np

# Fates of a person.
SUSCEPTIBLE, EXPOSED, INFECTIOUS, RECOVERED, VACCINATED, DEAD, UNBORN = range(7)


@numba.njit(cache=True)
def person_by_person(
    seed, runs, days, population, seeds, w, beta, season, campaigns, importation, window, vital, covered, law
):
    """Final states (runs, 5, P), arrival (runs, P), peak day (runs,), infections (runs,) of SpatialABM's process.

    season (amplitude, day); campaigns rows (day, efficacy, member of each patch); vital (births, deaths per 1000 and
    year); law (mean and sd of the lognormal latent and of the gamma infectious time).
    """
    np.random.seed(seed)
    patches = len(population)
    birth = (1.0 + vital[0] / 1000.0) ** (1.0 / 365.0) - 1.0
    death = (1.0 + vital[1] / 1000.0) ** (1.0 / 365.0) - 1.0
    sigma = math.sqrt(math.log(1.0 + (law[1] / law[0]) ** 2))
    mu = math.log(law[0]) - sigma**2 / 2.0
    shape, scale = (law[2] / law[3]) ** 2, law[3] ** 2 / law[2]
    most = 4 * population.sum()
    final, arrival = np.zeros((runs, 5, patches)), np.full((runs, patches), float(days))
    peak, infections = np.full(runs, float(days)), np.zeros(runs)
    fate, timer, home = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    order = np.empty(most, np.int64)
    for r in range(runs):
        n = 0
        for j in range(patches):
            for x in range(population[j]):
                fate[n], home[n] = SUSCEPTIBLE, j
                if x < seeds[j]:
                    fate[n] = EXPOSED
                    timer[n] = max(1, round(np.random.lognormal(mu, sigma)))
                    infections[r] += 1
                n += 1
        highest = 0
        for t in range(days):
            for a in range(n):
                if fate[a] == INFECTIOUS:
                    timer[a] -= 1
                    if timer[a] == 0:
                        fate[a] = RECOVERED
            for a in range(n):
                if fate[a] == EXPOSED:
                    timer[a] -= 1
                    if timer[a] == 0:
                        fate[a] = INFECTIOUS
                        timer[a] = max(1, round(np.random.gamma(shape, scale)))
                        arrival[r, home[a]] = min(arrival[r, home[a]], t)
            alive, sick = np.zeros(patches), np.zeros(patches)
            for a in range(n):
                if fate[a] <= VACCINATED:
                    alive[home[a]] += 1
                    sick[home[a]] += fate[a] == INFECTIOUS
            factor = beta * (1.0 + season[0] * math.sin(2.0 * math.pi * (t - season[1]) / 365.0))
            risk = np.zeros(patches)
            for j in range(patches):
                pressure = 0.0
                for i in range(patches):
                    pressure += sick[i] * w[i, j]
                risk[j] = 1.0 - math.exp(-factor * pressure / alive[j])
            for a in range(n):
                if fate[a] == SUSCEPTIBLE and np.random.random() < risk[home[a]]:
                    fate[a], timer[a] = EXPOSED, max(1, round(np.random.lognormal(mu, sigma)))
                    infections[r] += 1
            if window[0] <= t <= window[1]:
                for j in range(patches):
                    abroad = 0
                    for _ in range(int(alive[j])):
                        abroad += np.random.random() < importation / 365.0 / 1000.0
                    here = 0
                    for a in range(n):
                        if fate[a] == SUSCEPTIBLE and home[a] == j:
                            order[here] = a
                            here += 1
                    for k in range(min(abroad, here)):
                        x = k + np.random.randint(here - k)
                        order[k], order[x] = order[x], order[k]
                        fate[order[k]], timer[order[k]] = EXPOSED, max(
                            1, round(np.random.lognormal(mu, sigma))
                        )
                        infections[r] += 1
            for g in range(len(campaigns)):
                if campaigns[g, 0] == t:
                    here = 0
                    for a in range(n):
                        if fate[a] == SUSCEPTIBLE and campaigns[g, 2 + home[a]] > 0.0:
                            order[here] = a
                            here += 1
                    for k in range(int(here * campaigns[g, 1])):
                        x = k + np.random.randint(here - k)
                        order[k], order[x] = order[x], order[k]
                        fate[order[k]] = VACCINATED
            now = n
            for a in range(now):
                if fate[a] <= VACCINATED:
                    if np.random.random() < birth:
                        home[n] = home[a]
                        fate[n] = VACCINATED if np.random.random() < covered[home[a]] else SUSCEPTIBLE
                        n += 1
                    if np.random.random() < death:
                        fate[a] = DEAD
            ill = 0
            for a in range(n):
                ill += fate[a] == INFECTIOUS
            if ill > highest:
                highest = ill
                peak[r] = t
        for a in range(n):
            if fate[a] <= VACCINATED:
                final[r, fate[a], home[a]] += 1
    return final, arrival, peak, infections


def by_counts(
    rng, runs, days, population, seeds, w, beta, season, campaigns, importation, window, vital, covered, means
):
    """The same of SpatialCMP's process, all runs at once by numpy's binomials; means of the geometric times."""
    birth, death = ((1 + rate / 1000) ** (1 / 365) - 1 for rate in vital)
    s, e = np.tile(population - seeds, (runs, 1)), np.tile(seeds, (runs, 1))
    i, r, v, turned = (np.zeros_like(s) for _ in range(4))
    arrival = np.full(s.shape, float(days))
    sick, infections = np.zeros((runs, days)), np.full(runs, float(np.sum(seeds)))
    for t in range(days):
        alive = s + e + i + r + v
        factor = beta * (1 + season[0] * np.sin(2 * np.pi * (t - season[1]) / 365))
        cases = rng.binomial(s, 1 - np.exp(-factor * (i @ w) / alive))
        onsets = rng.binomial(e, 1 - np.exp(-1 / means[0]))
        recoveries = rng.binomial(i, 1 - np.exp(-1 / means[1]))
        if window[0] <= t <= window[1]:
            cases += np.minimum(rng.binomial(alive, importation / 365 / 1000), s - cases)
        s, e, i, r = s - cases, e + cases - onsets, i + onsets - recoveries, r + recoveries
        infections += cases.sum(axis=1)
        turned += onsets
        arrival[(turned > 0) & (arrival == days)] = t
        for day, efficacy, *member in campaigns:
            if day == t:
                moved = rng.binomial(s, efficacy * (np.array(member) > 0))
                s, v = s - moved, v + moved
        births = rng.binomial(s + e + i + r + v, birth)
        s, e, i, r, v = (x - rng.binomial(x, death) for x in (s, e, i, r, v))
        protected = rng.binomial(births, covered)
        s, v = s + births - protected, v + protected
        sick[:, t] = i.sum(axis=1)
    peak = np.where(sick.max(axis=1) > 0, sick.argmax(axis=1), days)
    return np.stack([s, e, i, r, v], axis=1), arrival, peak, infections
