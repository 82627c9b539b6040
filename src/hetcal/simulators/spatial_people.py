"""The infected of one run of SpatialABM, person by person: the run is told again with names in the place of counts.

Waiting times and the choice of the dead come from the uniforms of the run, so the records add up to its outputs. Given
the counts of a patch nothing else matters for its people, so patches are told one after the other.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from hetcal.simulators.chain_binomial import kernel, seed_key
from hetcal.simulators.delays import cell_key, guide_of, ticks
from hetcal.simulators.spatial_kernels import (
    EXPOSED,
    INFECTIOUS,
    SUSCEPTIBLE,
    WAIT_INFECTIOUS,
    WAIT_LATENT,
    WHO_DIED,
    YEAR,
    Runs,
    Scene,
    patch_keys,
    place_of_dead,
)

# Rows of the books of a patch with the infections and the susceptible births of each day.
CASES, BORN = 5, 6


@kernel()
def waits(tick: int, people: int, law: np.ndarray, guide: np.ndarray, key: np.uint64) -> np.ndarray:
    """Ticks (people,) that those wait whose waiting in a patch begins on this tick."""
    cell = cell_key(key, tick)
    drawn = np.empty(people, dtype=np.int64)
    for person in range(people):
        drawn[person] = ticks(law, guide, cell, person)
    return drawn


@kernel()
def places_of_dead(dead: int, waiting: int, key: np.uint64, event: int) -> np.ndarray:
    """Places (dead,) in the queue of those who die, one after the other, each among those left."""
    places = np.empty(dead, dtype=np.int64)
    for k in range(dead):
        places[k] = place_of_dead(key, event, k, waiting)
    return places


class Queue:
    """People who wait in a patch, by the tick of their next event modulo the number of slots."""

    def __init__(self, law: np.ndarray, key: np.uint64) -> None:
        self.law, self.guide, self.key = law, guide_of(law), key
        self.slots: list[list[int]] = [[] for _ in range(len(law) + 1)]
        self.size = 0

    def put(self, people: list[int], tick: int) -> np.ndarray:
        """Let people begin to wait; returns when they will have waited, (people,)."""
        due = tick + waits(tick, len(people), self.law, self.guide, self.key)
        for person, end in zip(people, due.tolist()):
            self.slots[end % len(self.slots)].append(person)
        self.size += len(people)
        return due

    def due(self, tick: int) -> list[int]:
        """Those whose waiting ends on a tick."""
        slot = tick % len(self.slots)
        ready, self.slots[slot] = self.slots[slot], []
        self.size -= len(ready)
        return ready

    def bury(self, left: int, tick: int, key: np.uint64, event: int) -> list[int]:
        """Take out those who die on a tick, where only `left` are alive after it."""
        dead = []
        for place in places_of_dead(self.size - left, self.size, key, event):
            slot = (tick + 1) % len(self.slots)
            while place >= len(self.slots[slot]):
                place -= len(self.slots[slot])
                slot = (slot + 1) % len(self.slots)
            dead.append(self.slots[slot].pop(place))
        self.size = left
        return dead


class Susceptibles:
    """Days of birth of the susceptible people of a patch in uniformly random order, so that the last ones leave."""

    def __init__(self, people: int, mean_age: float, rng: np.random.Generator) -> None:
        self.born = (-YEAR * rng.exponential(mean_age, people)).tolist()
        self.rng = rng

    def leave(self, people: int) -> list[float]:
        """Days of birth of people who are no longer susceptible."""
        kept = len(self.born) - people
        gone = self.born[kept:]
        del self.born[kept:]
        return gone

    def enter(self, people: int, tick: int) -> None:
        """Put newborns at random places."""
        for _ in range(people):
            self.born.append(float(tick))
            place = self.rng.integers(len(self.born))
            self.born[place], self.born[-1] = self.born[-1], self.born[place]


def infected_people(runs: Runs, scene: Scene, books: np.ndarray, mean_age: float) -> pd.DataFrame:
    """Everybody infected in the only run, from its books (7, P, days) of the patches; see SpatialABM.individuals."""
    keys = patch_keys(seed_key(runs.seeds[0]), len(scene.population))
    rows: list[np.ndarray] = []
    for j, seeds in enumerate(scene.seeds):
        book, n = books[:, j], int(scene.seeds[j] + books[CASES, j].sum())
        rng = np.random.default_rng(np.random.SeedSequence(int(runs.seeds[0]), spawn_key=(j,)))
        pool = Susceptibles(int(scene.population[j]), mean_age, rng)
        exposed = Queue(runs.latent[0], keys[WAIT_LATENT, j])
        infectious = Queue(runs.infectious[0], keys[WAIT_INFECTIOUS, j])
        table, known = np.full((n, 6), np.nan), 0
        table[:, 0] = j
        _, born, infected, onset, recovery, death = table.T
        for tick in range(-1, scene.days):
            infectious.due(tick)
            turning = exposed.due(tick)
            if turning:
                onset[turning] = tick
                recovery[turning] = infectious.put(turning, tick)
            cases = int(book[CASES, tick] if tick >= 0 else seeds)
            if cases:
                fresh = list(range(known, known + cases))
                known += cases
                born[fresh], infected[fresh] = pool.leave(cases), tick
                exposed.put(fresh, tick)
            if tick >= 0:
                for queue, state, event in (
                    (exposed, EXPOSED, 2 * tick),
                    (infectious, INFECTIOUS, 2 * tick + 1),
                ):
                    dead = queue.bury(int(book[state, tick]), tick, keys[WHO_DIED, j], event)
                    death[dead], recovery[dead] = tick, np.nan
                newborn = int(book[BORN, tick])
                pool.leave(len(pool.born) + newborn - int(book[SUSCEPTIBLE, tick]))
                pool.enter(newborn, tick)
        recovery[recovery >= scene.days] = np.nan
        rows.append(table)
    table = np.concatenate(rows)
    return pd.DataFrame(
        {
            "patch": table[:, 0].astype(int),
            "infected": table[:, 2].astype(int),
            "infectious": table[:, 3],
            "recovered": table[:, 4],
            "died": table[:, 5],
            "age": (table[:, 2] - table[:, 1]) / YEAR,
        }
    )
