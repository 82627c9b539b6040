"""An outbreak in many patches, person by person: everybody infected has waiting times of their own."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from hetcal.simulators.chain_binomial import binomial_quantile, kernel, keyed_uniform, named_row, seed_key
from hetcal.simulators.delays import cell_key, delay_laws, guide_of, ticks
from hetcal.simulators.spatial import SpatialModel
from hetcal.simulators.spatial_kernels import (
    BIRTHS,
    CAMPAIGN,
    DEATHS,
    EFFICACY,
    EXPOSED,
    INFECT,
    INFECTIOUS,
    RECOVERED,
    SUSCEPTIBLE,
    VACCINATED,
    WAIT_INFECTIOUS,
    WAIT_LATENT,
    WHO_DIED,
    Books,
    Runs,
    Scene,
    close_tick,
    hypergeometric_quantile,
    imported,
    open_books,
    over,
    patch_keys,
    place_of_dead,
    pressures,
    stand_still,
    start,
    vital_events,
)
from hetcal.simulators.spatial_people import infected_people
from hetcal.simulators.spatial_settings import is_within


@kernel()
def schedule(
    queue: np.ndarray, tick: int, j: int, people: int, law: np.ndarray, guide: np.ndarray, key: np.uint64
) -> None:
    """Draw how long each of these people stays, and put their next events into the queue (ticks, P)."""
    cell = cell_key(key, tick)
    for person in range(people):
        queue[(tick + ticks(law, guide, cell, person)) % len(queue), j] += 1


@kernel()
def bury(queue: np.ndarray, tick: int, j: int, dead: int, waiting: int, key: np.uint64, event: int) -> None:
    """Take dead people, chosen uniformly among those of patch j that wait in the queue, out of it on a tick.

    They are counted off in the order of their next events, which does not depend on the length of the queue.
    """
    for k in range(dead):
        chosen = place_of_dead(key, event, k, waiting)
        slot = (tick + 1) % len(queue)
        while chosen >= queue[slot, j]:
            chosen -= queue[slot, j]
            slot = (slot + 1) % len(queue)
        queue[slot, j] -= 1


@kernel()
def vaccinate(
    efficacy: float, member: np.ndarray, state: np.ndarray, keys: np.ndarray, campaign: int
) -> None:
    """Move int(n efficacy) of the n susceptibles of a group to the vaccinated, uniformly without replacement."""
    total = int((state[SUSCEPTIBLE] * member).sum())
    taken = int(total * efficacy)
    for j in range(len(member)):
        if member[j]:
            here = int(state[SUSCEPTIBLE, j])
            moved = hypergeometric_quantile(keyed_uniform(keys[CAMPAIGN, j], campaign), here, total, taken)
            state[SUSCEPTIBLE, j] -= moved
            state[VACCINATED, j] += moved
            total -= here
            taken -= moved


@kernel(nogil=True)
def run(k: int, runs: Runs, scene: Scene, books: Books) -> None:
    """Run k into the books."""
    numbers, state, patches = runs.numbers[k], books.state[k], len(scene.population)
    keys = patch_keys(seed_key(runs.seeds[k]), patches)
    latent, infectious = runs.latent[k], runs.infectious[k]
    latent_guide, infectious_guide = guide_of(latent), guide_of(infectious)
    to_onset = np.zeros((len(latent) + 1, patches), dtype=np.int64)
    to_recovery = np.zeros((len(infectious) + 1, patches), dtype=np.int64)
    hazard, infected, onsets = np.zeros(patches), np.zeros(patches), np.zeros(patches)
    born, dead = np.zeros(patches), np.zeros(5, dtype=np.int64)
    vital = numbers[BIRTHS] > 0.0 or numbers[DEATHS] > 0.0
    start(scene, state)
    open_books(scene, books.arrival[k], books.clusters[k])
    for j in range(patches):
        # As if infected on the tick before the first.
        schedule(to_onset, -1, j, scene.seeds[j], latent, latent_guide, keys[WAIT_LATENT, j])
    for tick in range(scene.days):
        for j in range(patches):
            slot = tick % len(to_recovery)
            state[INFECTIOUS, j] -= to_recovery[slot, j]
            state[RECOVERED, j] += to_recovery[slot, j]
            to_recovery[slot, j] = 0
            slot = tick % len(to_onset)
            turning = to_onset[slot, j]
            if turning > 0:
                to_onset[slot, j] = 0
                state[EXPOSED, j] -= turning
                state[INFECTIOUS, j] += turning
                onsets[j] += turning
                schedule(
                    to_recovery, tick, j, turning, infectious, infectious_guide, keys[WAIT_INFECTIOUS, j]
                )
        pressures(numbers, runs.mixing[k], state, tick, hazard)
        for j in range(patches):
            susceptible, cases = int(state[SUSCEPTIBLE, j]), 0
            if susceptible > 0 and hazard[j] > 0.0:
                u = keyed_uniform(keys[INFECT, j], tick)
                if u > 1.0 - susceptible * hazard[j]:  # else none: P(0) >= 1 - mean
                    cases = binomial_quantile(u, susceptible, -math.expm1(-hazard[j]), -hazard[j])
            cases += min(imported(numbers, scene, state, keys, tick, j), susceptible - cases)
            infected[j] = cases
            if cases > 0:
                state[SUSCEPTIBLE, j] -= cases
                state[EXPOSED, j] += cases
                schedule(to_onset, tick, j, cases, latent, latent_guide, keys[WAIT_LATENT, j])
        for g in range(len(scene.campaign_day)):
            if scene.campaign_day[g] == tick:
                vaccinate(numbers[EFFICACY + g], scene.campaign_member[g], state, keys, g)
        if vital:
            for j in range(patches):
                born[j] = vital_events(numbers, scene, state, keys, tick, j, dead)
                if dead[EXPOSED] > 0:
                    waiting = int(state[EXPOSED, j]) + dead[EXPOSED]
                    bury(to_onset, tick, j, dead[EXPOSED], waiting, keys[WHO_DIED, j], 2 * tick)
                if dead[INFECTIOUS] > 0:
                    waiting = int(state[INFECTIOUS, j]) + dead[INFECTIOUS]
                    bury(to_recovery, tick, j, dead[INFECTIOUS], waiting, keys[WHO_DIED, j], 2 * tick + 1)
        close_tick(k, scene, tick, state, infected, born, onsets, books)
        if over(numbers, scene, state, tick):
            stand_still(tick, state, books.patches[k])
            break


@dataclass(frozen=True, eq=False)
class SpatialABM(SpatialModel):
    """Individual-level SEIR outbreak in patches that mix, day by day.

    Use it where waiting times matter: everybody infected has a latent and an infectious time of their own, so the
    speed and the scatter of an outbreak are those of the disease and not of a compartment. `SpatialCMP` is the same
    outbreak with geometric times, `SpatialMeanField` either without chance; all take the same parameters and give
    the same outputs.

    Latent times are max(1, round(X)) ticks with X lognormal, infectious times the same with X gamma, of the means and
    standard deviations given. On tick t, in this order: (1) those infectious whose time is over recover; (2) those
    exposed whose time is over become infectious; (3) each susceptible of patch j is infected with probability
    1 - exp(-lambda_j),

        lambda_j = beta (1 + seasonality sin(2 pi (t - seasonal_day)/365)) sum_i I_i W_ij / N_j,

    and importations follow; (4) campaigns; (5) births and deaths; (6) the day is recorded. So who is infected on tick
    t with latent time e and infectious time d is infectious in step 3 of the ticks t + e to t + e + d - 1, and one
    infectious person in a large susceptible population infects beta times the mean infectious time, 8 beta at the
    defaults. Seeds are infected on the tick before the first.

    W (`mixing_matrix`) has rows that sum to 1: k is the probability per tick to mix away from home, which `mixing`
    shares out among the other patches with exponent c.

    A campaign moves int(n efficacy) of the n susceptibles of its clusters, chosen uniformly among all of them without
    replacement, to the vaccinated. Importation infects Binomial(N, importation_rate/365/1000) people a patch and day,
    at most as many as are susceptible. Births and deaths have probabilities (1 + rate/1000)^(1/365) - 1 a day; the
    newborn are susceptible, or vaccinated with probability mcv1 routine_efficacy.

    People of a patch who are susceptible, recovered or vaccinated are exchangeable, so they are counted; those exposed
    or infectious stand in a queue by the day of their next event. Work is done where somebody changes state: it grows
    with infections and with days, not with people times days. `individuals` names the people of a run one by one.

    Runs of one seed use the same uniforms for the infections of a patch and day (by inversion), for the waiting times
    of the n-th person infected there, for campaigns, births and deaths, whatever theta and the other settings are. So
    runs that differ in a campaign are the same until its day, and can be compared in pairs.

    Parameters of a run: beta; k; c where the mixing has an exponent; then the settings that are named as free.
    Outputs, for each cluster X in the order of their first patches: attack_rate_X, recovered and vaccinated at the
    end over all people then; vaccinated_X, the vaccinated over all people then; infections_X, number of people ever
    infected, seeds and importations among them; peak_day_X, first day on which most were infectious; arrival_X, first
    day on which somebody was infectious; invaded_X, 1 where that happened, else 0, so campaigns do not count;
    immune_days_X (5,), first days on which recovered and vaccinated were 10, 30, 50, 70 and 90 % of the people.
    patch_arrival (P,) is arrival by patch. **A day that never comes is the number of days of the run**, one after
    the last, so that outputs are always finite. With record "series" also infectious and incidence (clusters, days),
    people infectious at the end of each day and infected during it; with "patches" also patch_incidence (P, days) and
    patch_states (5, P, days), the susceptible, exposed, infectious, recovered and vaccinated at the end of each day.

    Parameters
    ----------
    patches : pandas.DataFrame
        One row a patch: id, pop (people), lat, lon (degrees); cluster where outputs are wanted for several; mcv1, the
        share of newborns reached by routine vaccination, where there is any.
    days : int
        Days simulated.
    mixing : Mixing
        How contacts are shared out: `Gravity`, `Chain`, `Radiation`, `Stouffer`, `CompetingDestinations`,
        `GivenWeights`, or your own.
    seeding : dict of str to int
        People infected before the first tick, by patch.
    campaigns : sequence of Campaign
        Vaccination campaigns; several on one day follow each other in this order.
    latent_mean, infectious_mean : float
        Means of the waiting times before rounding, days.
    seasonality, seasonal_day : float
        Share by which beta rises and falls over a year, and the day on which it rises through its mean.
    importation_rate : float
        People infected elsewhere, per 1000 people and year.
    importation_days : (int, int), optional
        First and last day of importation; the whole run where left out.
    birth_rate, death_rate : float
        Per 1000 people and year; 20 and 8 are usual, 0 is none.
    routine_efficacy : float
        Share of the newborns reached by routine vaccination who become immune.
    free : sequence of str
        Settings that are parameters of a run instead, by name: any of the rates, means and standard deviations here,
        and efficacy_X for the campaigns in X ("efficacy_B_far"; "efficacy_B_far+B_near" for one in both).
    record : {"summary", "series", "patches"}
        What is put out beside the summaries; a ledger keeps every output of every run.
    latent_sd, infectious_sd : float
        Standard deviations of the waiting times before rounding, days.

    Raises
    ------
    TypeError, ValueError
        When a setting cannot be used, naming it and its value; when a run's parameter is outside its range.

    References
    ----------
    Keeling and Rohani (2008), Modeling Infectious Diseases in Humans and Animals, ch. 7 (patches that mix).

    Examples
    --------
    >>> import hetcal as hc
    >>> chain = hc.simulators.SpatialABM(
    ...     hc.data.three_cluster(),
    ...     days=200,
    ...     mixing=hc.simulators.Chain(),
    ...     seeding={"cluster_a:node_9": 5},
    ...     campaigns=[hc.simulators.Campaign("B_near", day=10, efficacy=0.5)],
    ... )
    >>> chain.parameters
    ('beta', 'k', 'c')
    >>> run = chain({"beta": 0.5, "k": 0.01, "c": 1.5}, seed=1)
    >>> run["attack_rate_A"].round(2), run["vaccinated_B_near"].round(3), run["patch_arrival"].shape
    (0.98, 0.5, (45,))
    """

    latent_sd: float = 2.0
    infectious_sd: float = 2.0

    name: ClassVar[str] = "SpatialABM"
    version: ClassVar[str] = "1"
    spreads: ClassVar[tuple[str, ...]] = ("latent_sd", "infectious_sd")

    def individuals(self, theta: dict[str, float], seed: int, mean_age: float = 50.0) -> pd.DataFrame:
        """Everybody infected in the run of these parameters and seed, person by person.

        Ages at the start are exponential with the mean given (the stable law of a population with mean_age times
        birth_rate = 1000); they do not influence the run.

        Parameters
        ----------
        theta : dict of str to float
            Parameters of the run.
        seed : int
            Its seed.
        mean_age : float
            Mean age of the people at the start, years.

        Returns
        -------
        DataFrame, one row a person, in order of infection
            ``patch`` and ``cluster`` (str); ``infected``, ``infectious``, ``recovered`` and ``died`` (days, -1 for
            seeds; missing where it did not happen in the run, and ``died`` for those who died before they recovered
            only); ``age`` at infection (years).

        Raises
        ------
        ValueError
            When a parameter is outside its range, or the mean age not positive.

        Examples
        --------
        >>> import hetcal as hc
        >>> patches = hc.data.three_cluster().head(3)
        >>> model = hc.simulators.SpatialABM(patches, days=100, seeding={"cluster_a:node_1": 1})
        >>> theta = {"beta": 0.5, "k": 0.01, "c": 1.5}
        >>> people = model.individuals(theta, seed=1)
        >>> len(people) == model(theta, seed=1)["infections_A"], people["infected"].iloc[0]
        (True, -1)
        """
        if not is_within(mean_age, 1e-6, 1e6):
            raise ValueError(f"mean_age is {mean_age!r}: give a number of years above 0")
        model = replace(self, record="patches")
        rows, seeds = named_row(model, theta)[np.newaxis], np.array([seed], dtype=np.int64)
        books = model._run(rows, seeds)
        people = infected_people(model._runs(rows, seeds), model._scene(), books.patches[0], mean_age)
        places = self.patches.iloc[people["patch"]]
        people["patch"] = places["id"].to_numpy()
        people.insert(1, "cluster", places["cluster"].to_numpy())
        return people.sort_values("infected", kind="stable", ignore_index=True)

    def _laws(self, *columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return delay_laws(*columns)

    def _simulate(self, k: int, runs: Runs, scene: Scene, books: Books) -> None:
        run(k, runs, scene, books)
