"""The law of VillageOutbreak against a plain loop and theory, and its common random numbers."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import hetcal as hc
from hetcal.simulators import VillageOutbreak, fingerprint, run_many

MEASLES = {
    "household_rate": 0.3,
    "first_class_rate": 0.3,
    "second_class_rate": 0.02,
    "village_rate": 0.004,
    "incubation_days": 9.0,
    "incubation_spread": 0.15,
}
NOBODY = dict.fromkeys(list(MEASLES)[:4], 0.0)
BY_DAY = dict.fromkeys(("onsets", "preschool", "first_class", "second_class"), [11, 15, 22, 30])
BY_DAY["household_gaps"] = [3, 7, 11, 15, 20]
CLASSES = np.array(["preschool", "1st class", "2nd class"])


def small(**changes: Any) -> VillageOutbreak:
    """24 children in 8 households of 1 to 5, two of them introduced."""
    rng = np.random.default_rng(3)
    rash = rng.integers(0, 6, 24).astype(float)
    fields: dict[str, Any] = {
        "household": tuple("abbcccddddeeeeefffgghhhh"),
        "school_class": tuple(CLASSES[rng.integers(0, 3, 24)].tolist()),
        "rash_after": tuple(rash),
        "end_after": tuple(np.maximum(rash + rng.integers(-1, 4, 24), 0.0)),
        "introduced": ((2, 1), (12, 3)),
        "days": 40,
    }
    return VillageOutbreak(**(fields | changes))


def hagelloch(**changes: Any) -> VillageOutbreak:
    return VillageOutbreak.from_children(
        hc.data.hagelloch1861(), **({"days": 56, "introduced": (184, 173)} | changes)
    )


def repeat(model: VillageOutbreak, theta: dict[str, float], n: int, first: int = 0) -> dict[str, np.ndarray]:
    """n runs at one theta."""
    return model.batch(np.tile(list(theta.values()), (n, 1)), np.arange(first, first + n))


def plain_outbreak(
    model: VillageOutbreak, theta: dict[str, float], rng: np.random.Generator
) -> dict[str, Any]:
    """One outbreak child by child, by exponential waits and a draw of who is infected (Gillespie)."""
    n = len(model.household)
    house, room = np.array(model.household), np.array(model.school_class)
    rate = np.array(
        [
            {"1st class": theta["first_class_rate"], "2nd class": theta["second_class_rate"]}.get(r, 0)
            for r in room
        ]
    )
    spread = model.infectiousness_spread
    weight = rng.lognormal(-(spread**2) / 2, spread, n) if spread else np.ones(n)
    end = np.array(model.end_after)
    leave = {"end": end, "rash": np.minimum(model.rash_after, end), "prodrome": 0 * end}[model.mixes_until]
    prodrome, begin, routes = np.full(n, np.inf), np.full(n, np.inf), np.zeros(3)
    for child, day in model.introduced:
        prodrome[child] = day + rng.random()
        begin[child] = prodrome[child] - model.lead_days
    closing = np.inf if model.school_closes is None else model.school_closes
    times: list[float] = []
    now = begin.min()
    infected: list[tuple[float, np.ndarray]] = []
    while now < model.days:
        known = np.isfinite(prodrome)
        times = [*begin[known], *(prodrome + leave)[known], *(prodrome + end)[known], closing, model.days]
        following = min(t for t in times if t > now)
        hazard = np.zeros((n, 3))
        for j in np.flatnonzero((begin <= now) & (now < prodrome + end)):
            hazard[:, 0] += weight[j] * theta["household_rate"] * (house == house[j])
            if now < prodrome[j] + leave[j]:
                if now < closing:
                    hazard[:, 1] += weight[j] * rate * (room == room[j])
                hazard[:, 2] += weight[j] * theta["village_rate"]
        hazard[known] = 0.0
        total = hazard.sum()
        wait = rng.exponential(1 / total) if total > 0 else np.inf
        if now + wait >= following:
            now = following
            continue
        now += wait
        i = rng.choice(n, p=hazard.sum(axis=1) / total)
        prodrome[i] = now + theta["incubation_days"] * rng.lognormal(0.0, theta["incubation_spread"])
        begin[i] = max(now, prodrome[i] - model.lead_days)
        infected.append((prodrome[i], hazard[i] / hazard[i].sum()))
    day = np.floor(np.where(prodrome < model.days, prodrome, -1)).astype(int)
    ill = day >= 0
    series = {
        name: np.bincount(day[ill & (room == c)], minlength=model.days)
        for name, c in zip(("preschool", "first_class", "second_class"), CLASSES)
    }
    gaps = np.zeros(21)
    for label in set(house[ill]):
        after = np.sort(day[ill & (house == label)])
        gaps += np.histogram(after[1:] - after[0], bins=[*range(21), 10**6])[0]
    routes = sum((share for when, share in infected if when < model.days), np.zeros(3))
    onsets = sum(series.values())
    return series | {
        "onsets": onsets,
        "household_gaps": gaps,
        "routes": routes,
        "total_ill": ill.sum(),
        "peak_day": np.argmax(onsets),
    }


@pytest.mark.parametrize(
    "model",
    [
        small(),
        small(mixes_until="rash", infectiousness_spread=0.8, lead_days=2.0),
        small(mixes_until="prodrome", school_closes=9),
    ],
    ids=["default", "at home from the rash, unequal", "at home at once, school closes"],
)
def test_the_law_is_that_of_a_plain_loop(model):
    # Two-sample Kolmogorov-Smirnov of 26 quantities: false-alarm rate below 26e-6 a case.
    rng, n = np.random.default_rng(1), 1_000
    plain = [plain_outbreak(model, MEASLES, rng) for _ in range(n)]
    ours = repeat(model, MEASLES, 4 * n)
    both = []
    for name in ours:
        theirs = np.array([run[name] for run in plain], dtype=float)
        mine = ours[name]
        if name in BY_DAY:  # how many by these days
            mine, theirs = (np.cumsum(x, axis=1)[:, BY_DAY[name]] for x in (mine, theirs))
        for a, b in zip(np.atleast_2d(mine.T), np.atleast_2d(theirs.T), strict=True):
            assert stats.ks_2samp(a, b, method="asymp").pvalue > 1e-6, name
        both.append((mine, theirs))
    # and of pairs, by their mean product: 5 standard errors, false-alarm rate below 1e-6 each
    for j in (0, 2):
        (mine, theirs), gaps = both[j], both[4]
        a, b = mine[:, 2] * gaps[0][:, 2], theirs[:, 2] * gaps[1][:, 2]
        assert abs(a.mean() - b.mean()) < 5 * np.hypot(a.std() / np.sqrt(4 * n), b.std() / np.sqrt(n))


def test_a_pair_in_one_household_is_infected_as_often_as_theory_says():
    # 20,000 runs at 4.5 standard errors: false-alarm rate 1e-5 each.
    fields = {"household": ("a", "a"), "school_class": ("preschool",) * 2, "rash_after": (2.0, 2.0)}
    theta = MEASLES | NOBODY | {"household_rate": 0.2}
    for spread in (0.0, 1.0):
        model = VillageOutbreak(
            **fields, end_after=(5.0, 5.0), introduced=((0, 1),), days=60, infectiousness_spread=spread
        )
        infected = repeat(model, theta, 20_000)["total_ill"] - 1
        expected = model.next_generation(theta)[0, 1]
        assert abs(infected.mean() - expected) < 4.5 * 0.5 / np.sqrt(20_000)
        if spread == 0.0:
            assert expected == pytest.approx(1 - np.exp(-0.2 * 6.0))


def test_incubation_is_lognormal():
    # A second child infected at once, when the first becomes infectious; Kolmogorov-Smirnov on whole days, 1e-6.
    model = VillageOutbreak(("a", "a"), ("preschool",) * 2, (2.0,) * 2, (5.0,) * 2, ((0, 1),), 60)
    theta = MEASLES | {"household_rate": 1e6, "incubation_days": 10.0, "incubation_spread": 0.3}
    onsets = repeat(model, theta, 5_000)["onsets"]
    onsets[:, 1] -= 1
    rng = np.random.default_rng(2)
    expected = np.floor(1 + rng.random(50_000) - 1.0 + 10.0 * rng.lognormal(0, 0.3, 50_000))
    assert stats.ks_2samp(np.argmax(onsets, axis=1), expected, method="asymp").pvalue > 1e-6


@pytest.fixture
def threads():
    """Numba's thread count, put back afterwards."""
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


def prior_draws(n: int, seed: int) -> np.ndarray:
    u = np.random.default_rng(seed).random((n, 6))
    low, high = np.array([0.02, 0.01, 0.0005, 0.0003, 7.0, 0.03]), np.array([2.0, 2.0, 0.2, 0.03, 13.0, 0.35])
    return low * (high / low) ** u


@pytest.mark.parametrize(
    "changes", [{}, {"mixes_until": "rash", "infectiousness_spread": 0.5, "school_closes": 20}]
)
def test_batch_equals_one_by_one_on_any_number_of_threads(threads, changes):
    model = hagelloch(**changes)
    theta, seeds = prior_draws(60, 1), np.arange(60) * 2**44
    single = [model(dict(zip(model.parameters, row)), int(seed)) for row, seed in zip(theta, seeds)]
    for count in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        threads(count)
        batch = model.batch(theta, seeds)
        assert list(batch) == list(model.outputs)
        for name in model.outputs:
            np.testing.assert_array_equal(batch[name], [run[name] for run in single])


def test_same_seed_stays_in_step_as_theta_moves():
    # Centred by the mean over the seeds, so that the correlation is that of the noise alone. Days on which prodromes
    # begin are whole: even a small delay moves some across midnight, so weeks are looked at beside days.
    model = hagelloch()
    theta = MEASLES | {"second_class_rate": 0.005, "village_rate": 0.002}
    beside, near = ({name: f * value for name, value in theta.items()} for f in (1.01, 1.002))
    runs = [repeat(model, t, 400, first)["onsets"] for t, first in ((theta, 0), (near, 0), (theta, 10**6))]
    here, close, other = (run - run.mean(axis=0) for run in runs)
    assert np.corrcoef(here.ravel(), close.ravel())[0, 1] > 0.9
    assert abs(np.corrcoef(here.ravel(), other.ravel())[0, 1]) < 0.2
    weekly = [run.reshape(400, 8, 7).sum(axis=2) for run in (runs[0], repeat(model, beside, 400)["onsets"])]
    here, close = (run - run.mean(axis=0) for run in weekly)
    assert np.corrcoef(here.ravel(), close.ravel())[0, 1] > 0.9


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 40),
    houses=st.integers(1, 12),
    rates=st.tuples(*[st.floats(0, 5)] * 4),
    incubation=st.tuples(st.floats(0.1, 30), st.floats(0, 2)),
    lead=st.floats(0, 5),
    spread=st.floats(0, 2),
    until=st.sampled_from(["end", "rash", "prodrome"]),
    closes=st.one_of(st.none(), st.integers(0, 40)),
    seed=st.integers(0, 2**53),
)
def test_children_are_conserved(n, houses, rates, incubation, lead, spread, until, closes, seed):
    rng = np.random.default_rng(seed)
    household = rng.integers(0, houses, n)
    introduced = tuple((int(i), int(rng.integers(0, 30))) for i in rng.permutation(n)[: 1 + seed % 3])
    model = VillageOutbreak(
        tuple(household.tolist()),
        tuple(CLASSES[rng.integers(0, 3, n)].tolist()),
        tuple(rng.integers(0, 8, n).astype(float)),
        tuple(rng.integers(0, 10, n).astype(float)),
        introduced,
        30,
        lead,
        until,
        spread,
        closes,
    )
    run = model(dict(zip(model.parameters, [*rates, *incubation])), seed)
    assert all(np.all(np.isfinite(values)) and np.all(np.asarray(values) >= 0) for values in run.values())
    np.testing.assert_array_equal(run["preschool"] + run["first_class"] + run["second_class"], run["onsets"])
    assert len(introduced) <= run["total_ill"] == run["onsets"].sum() <= n
    assert run["routes"].sum() + len(introduced) == pytest.approx(run["total_ill"])
    reached = run["total_ill"] - run["household_gaps"].sum()
    assert len({household[i] for i, _ in introduced}) <= reached <= len(set(household))
    assert run["onsets"][int(run["peak_day"])] == run["onsets"].max()
    if closes == 0 and min(day for _, day in introduced) >= lead:
        assert run["routes"][1] == 0


def test_who_is_reached_without_some_of_the_routes():
    model = small()
    alone = repeat(model, MEASLES | NOBODY, 50)
    assert (alone["total_ill"] == 2).all() and (alone["household_gaps"] == 0).all()
    assert (alone["onsets"][:, [1, 3]] == 1).all() and (alone["peak_day"] == 1).all()
    home = repeat(model, MEASLES | NOBODY | {"household_rate": 1e3}, 50)
    assert (home["total_ill"] == 2 + 5).all()  # households b and e
    assert (home["routes"] == [5, 0, 0]).all()
    everywhere = repeat(model, MEASLES | {"village_rate": 1e3}, 50)
    assert (everywhere["total_ill"] == 24).all()


def test_school_closes():
    seeds, theta = np.arange(100), prior_draws(100, 3)
    never, late, tenth = (hagelloch(school_closes=day).batch(theta, seeds) for day in (None, 56, 10))
    for name, values in never.items():
        np.testing.assert_array_equal(late[name], values)
    # nobody infected from then on has a prodrome within two days, by the priors of the incubation time
    np.testing.assert_array_equal(tenth["onsets"][:, :12], never["onsets"][:, :12])
    assert tenth["routes"][:, 1].sum() < 0.8 * never["routes"][:, 1].sum()
    # closed before anybody is infectious: as if no class infected
    closed = small(school_closes=0).batch(theta, seeds)
    theta[:, 1:3] = 0.0
    for name, values in small().batch(theta, seeds).items():
        np.testing.assert_allclose(closed[name], values, rtol=1e-9, atol=1e-9)


def test_children_who_stay_at_home_infect_fewer():
    theta = MEASLES | {"second_class_rate": 0.005, "village_rate": 0.001}
    runs = {until: repeat(hagelloch(mixes_until=until), theta, 300) for until in ("end", "rash", "prodrome")}
    means = [runs[until]["total_ill"].mean() for until in ("end", "rash", "prodrome")]
    assert means[0] > means[1] + 1 > means[2] + 2


def test_hagelloch_is_read_as_recorded():
    model = hagelloch()
    assert len(model.household) == 188 and model.introduced == ((183, 0), (172, 2))
    measles = hc.data.hagelloch1861().set_index("id")
    after = dict(zip(measles.index, model.end_after))
    assert after[1] == 26 + 3 - 22
    died = measles[measles["death"].notna()]
    soon = died[died["death"] < died["rash"] + 3]
    assert len(soon) == 2 and all(after[i] == row.death - row.prodrome for i, row in soon.iterrows())
    generation = model.next_generation(MEASLES)
    assert generation.shape == (188, 188) and (generation.diagonal() == 0).all()
    assert 20 < np.linalg.eigvals(generation).real.max() < 188
    assert fingerprint(model) != fingerprint(hagelloch(mixes_until="rash"))


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"household_rate": -0.1}, "household_rate is -0.1 in run 0: it must be at least 0 and finite"),
        ({"village_rate": np.nan}, "village_rate is nan"),
        ({"incubation_days": 0.0}, "incubation_days is 0.0 in run 0: it must be at least 0.001"),
        ({"incubation_spread": np.inf}, "incubation_spread is inf"),
        (
            {"beta": 1.0},
            "parameter 'beta' is unknown: VillageOutbreak takes household_rate, first_class_rate",
        ),
    ],
)
def test_bad_theta_is_named(change, sentence):
    for call in (lambda t: small()(t, 1), small().next_generation):
        with pytest.raises(ValueError, match=sentence):
            call(MEASLES | change)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"days": 0}, "days of VillageOutbreak is 0: give a whole number above 0"),
        ({"household": ("a",)}, "school_class of VillageOutbreak has 24 children and household 1"),
        (
            {"school_class": ("3rd class",) * 24},
            r"school_class\[0\] is '3rd class': choose one of preschool, 1st",
        ),
        ({"rash_after": (-1.0,) * 24}, r"rash_after\[0\] is -1.0: give a finite number of days"),
        ({"end_after": (np.nan,) * 24}, r"end_after\[0\] is nan"),
        ({"introduced": ()}, r"introduced of VillageOutbreak is \(\): give at least one pair"),
        ({"introduced": ((24, 0),)}, r"introduced of VillageOutbreak is \(\(24, 0\),\)"),
        ({"introduced": ((1, 0), (1, 2))}, "each once"),
        ({"introduced": ((1, 40),)}, "a day below 40"),
        ({"lead_days": -1.0}, "lead_days of VillageOutbreak is -1.0: give a finite number of at least 0"),
        ({"infectiousness_spread": np.inf}, "infectiousness_spread of VillageOutbreak is inf"),
        (
            {"mixes_until": "fever"},
            "mixes_until of VillageOutbreak is 'fever': choose one of end, rash, prodrome",
        ),
        ({"school_closes": 2.5}, "school_closes of VillageOutbreak is 2.5: give the whole number of a day"),
    ],
)
def test_bad_settings_are_named(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        small(**changes)


def test_other_bad_input_is_named():
    with pytest.raises(ValueError, match="introduced child 999 is not in the table"):
        hagelloch(introduced=(184, 999))
    with pytest.raises(ValueError, match=r"theta has shape \(2, 3\)"):
        small().batch(np.ones((2, 3)), np.arange(2))
    theta = np.array([list(MEASLES.values())] * 3)
    theta[1, 0] = -2.0
    results = run_many(small(), theta, np.arange(3))
    assert [r.status for r in results] == ["ok", "failed", "ok"]
    assert "household_rate is -2.0" in results[1].error
