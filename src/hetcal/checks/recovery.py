"""Can the intervals be trusted? The posterior is asked for truths that are known."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.calibrate.likelihood import EmulatedLikelihood, living
from hetcal.calibrate.posterior_result import PosteriorResult
from hetcal.calibrate.study_runs import StudyRuns, speaker
from hetcal.checks.coverage import (
    AS_CLAIMED,
    DRAWS,
    ENOUGH_POWER,
    WHERE,
    coverage_table,
    long_ranks,
    sentences,
)
from hetcal.checks.kept import keep_recovery
from hetcal.checks.known_truths import LEVELS, KnownTruths, box_truths, prior_truths, simulate_truths
from hetcal.checks.many_posteriors import ManyPosteriors, many_posteriors
from hetcal.emulators.hetgp import HetGP
from hetcal.streams import check_seed, generator

if TYPE_CHECKING:
    import pandas as pd

_LOCAL = 100
_FOLDS = 5


@dataclass(frozen=True, eq=False)
class RecoveryTest:
    """How often intervals held the truth, and whether they can be trusted.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a level (free, local, prior or box), stratum ("all", or "took off": data sets that are alive) and
        parameter: n data sets; cover50 and cover90, shares of truths inside of the central intervals, each
        with low and high, between which right intervals come to lie in 95 % of tests; inside, whether the
        ranks' distribution stays in
        its simultaneous 95 % envelope, and p, the chance that right ranks stray as far; bias and rmse of the
        posterior mean in prior standard deviations, on the scale of prior probability (an rmse of 1: nothing
        learned); power, the probability that intervals which claim 90 % and cover 75 % are found with this n;
        verdict: "as claimed", "too narrow", "too wide", "too low" or "too high", with a false-alarm rate of 5 % over
        the whole table.
    ranks : pandas.DataFrame
        One row a level, data set and parameter: alive; truth and mean (prior probability); below, the posterior
        probability below the truth; rank of the truth among `draws` independent draws.
    sets : dict of KnownTruths
        The data sets by level, to be given to another method. Their rows are the data sets' numbers in `ranks`.
    says : list of str
        The verdict in sentences, the most important first.
    trusted : bool
        No interval was found wrong, and wrong ones would have been found.
    power : float
        Of the level with most data sets.
    draws : int
        Draws among which each truth was ranked.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from hetcal.checks.recovery import recovery_test
    >>> @hc.simulator(parameters=["rate"], outputs={"cases": (3,)}, version="1")
    ... def model(theta, seed):
    ...     return {"cases": np.random.default_rng(seed).poisson(theta["rate"], 3)}
    ...
    >>> space = hc.Space([hc.Parameter("rate", hc.uniform(1, 5))])
    >>> problem = hc.Problem(space, model, [hc.Target("cases", observed=[2, 3, 4])])
    >>> posterior = hc.Posterior(problem, initial=24, rounds=0, predictive=0).run(hc.Ledger(), seed=1)
    >>> test = recovery_test(posterior, n=20, seed=1)
    >>> test.table.loc[0, ["level", "stratum", "parameter", "n"]].tolist()
    ['free', 'all', 'rate', 20]
    """

    table: pd.DataFrame
    ranks: pd.DataFrame
    sets: dict[str, KnownTruths]
    says: list[str]
    trusted: bool
    power: float
    draws: int = DRAWS

    def __repr__(self) -> str:
        return "\n".join([*self.says, self.table.round(3).to_string(index=False)])


def recovery_test(
    post: PosteriorResult,
    n: int = 200,
    seed: int = 1,
    workers: int = 1,
    executor: Any = None,
    time_limit: float | None = None,
    progress: bool | None = None,
) -> RecoveryTest:
    """Test whether a posterior's intervals hold the truth as often as they claim.

    On three levels, each with data sets whose truth is known, observed as the data were:

    - free: runs that are there, one a location and at most n. Their summaries are learned without their location, and
      the emulators forget it: their means are conditioned on the others, in five folds, while its runs still count in
      lengthscales, noise, take-off and the choice of summaries;
    - local: half as many truths as n, at most 100, drawn from the posterior and simulated afresh. Their posterior is
      given both data sets, the real and the simulated: ranks of truths from a posterior are uniform only then;
    - prior: n truths drawn from the prior and simulated afresh.

    Data that are statistics of an ensemble are simulated as such, as many runs a truth as the data are of, which are
    made afresh on every level: there is no level free. Their emulators only learn the part of the space that the rounds
    look at, a box around the posterior; elsewhere the likelihood is 0, and truths over the whole prior would test
    nothing but that. So level prior is replaced by level box: n truths drawn from the prior within the box. The
    posteriors that they are compared with have that prior too, so ranks of right ones are uniform.

    One set of emulators serves all of them. Data sets that died out have summaries and emulators of their own; where
    too few runs did, they are explained by the probability of that alone.

    Parameters
    ----------
    post : PosteriorResult
    n : int
        Data sets over the prior. 20 cannot tell intervals that cover 75 % from those that cover 90 %; 200 can.
    seed : int
        Of truths, runs and draws.
    workers, executor, time_limit, progress
        For the simulations, as in `hetcal.run_ensemble`. They go into the posterior's ledger and are not made twice.

    Returns
    -------
    RecoveryTest

    Raises
    ------
    ValueError
        If n is no whole number of at least 2, or no run gave data.

    References
    ----------
    Talts, Betancourt, Simpson, Vehtari and Gelman (2018), Validating Bayesian inference algorithms with
    simulation-based calibration; Säilynoja, Bürkner and Vehtari (2022) for the envelope; Säilynoja, Schmitt, Bürkner
    and Vehtari (2025), Posterior SBC, for the local level.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from hetcal.checks.recovery import recovery_test
    >>> @hc.simulator(parameters=["rate"], outputs={"cases": (3,)}, version="1")
    ... def model(theta, seed):
    ...     return {"cases": np.random.default_rng(seed).poisson(theta["rate"], 3)}
    ...
    >>> space = hc.Space([hc.Parameter("rate", hc.uniform(1, 5))])
    >>> problem = hc.Problem(space, model, [hc.Target("cases", observed=[2, 3, 4])])
    >>> posterior = hc.Posterior(problem, initial=24, rounds=0, predictive=0).run(hc.Ledger(), seed=1)
    >>> test = recovery_test(posterior, n=20, seed=1)
    >>> round(test.power, 2), test.trusted
    (0.21, False)
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 2:
        raise ValueError(f"n is {n!r}: give a whole number of data sets of at least 2, such as 200")
    check_seed(seed)
    method, space = post.method, post.problem.space
    options = {"workers": workers, "executor": executor, "time_limit": time_limit, "progress": progress}
    rows = generator(seed, "recovery", LEVELS.index("local")).integers(
        len(post.samples), size=min(_LOCAL, -(-n // 2))
    )
    truths = {"local": space.to_unit(post.samples.to_numpy()[rows])}
    sets, found, notes = {}, {}, []
    dead = method.fit_dead(post.ledger, post.seed)
    box = post.likelihood.box
    if box is not None:
        truths["box"] = box_truths(box, n, seed)
    else:
        truths["prior"] = prior_truths(method, n, seed)
        free = _first_runs(post, dead, n, seed)
        if free is None:
            notes.append(
                "The runs that are there are not spread as the prior is, so they do not serve as data."
            )
        else:
            sets["free"], found["free"] = free[0], _from_other_locations(post, *free, dead, seed)
    for level in truths:
        also = post.observed if level == "local" else None
        sets[level] = simulate_truths(method, truths[level], level, post.ledger, post.study, seed, **options)
        rng = generator(seed, "recovery", LEVELS.index(level), 2)
        found[level] = many_posteriors(post.likelihood, sets[level], DRAWS, rng, also, dead, box=box)
    for level, there in found.items():
        where, unresolved = WHERE[level], int((~there.resolved).sum())
        if sets[level].failed:
            of = "runs" if method.realisations == 1 else "ensembles of runs"
            notes.append(f"{where}, {sets[level].failed} {of} failed and are left out.")
        if unresolved:
            notes.append(f"{where}, {unresolved} posteriors are too narrow to be computed and are left out.")
        sets[level], found[level] = sets[level].rows(there.resolved), there.rows(there.resolved)
    if dead is None and not all(known.alive.all() for known in sets.values()):
        notes.append("Data sets that died out are explained by the probability of dying out alone.")
    table = coverage_table(sets, found, space.names)
    says = sentences(table)
    trusted = bool((table["verdict"] == AS_CLAIMED).all() and table["power"].max() >= ENOUGH_POWER)
    ranks = long_ranks(sets, found, space.names)
    test = RecoveryTest(table, ranks, sets, says + notes, trusted, float(table["power"].max()))
    keep_recovery(post, test)
    return test


def _first_runs(
    post: PosteriorResult, dead: EmulatedLikelihood | None, n: int, seed: int
) -> tuple[KnownTruths, tuple[np.ndarray, np.ndarray]] | None:
    """Runs that the posterior learned from, one a location, with summaries learned without it; None: no such runs."""
    space = post.problem.space
    there = {row.tobytes() for row in space.to_unit(post.prior_runs()["theta"])}
    study = StudyRuns(post.problem, post.ledger, post.study, speaker(False))
    data, unit, location = post.method.training_data(study, int(study.asks()["round"].max()), post.seed)
    first = np.unique(location, return_index=True)[1]
    first = first[[unit[i].tobytes() in there for i in first]]
    if not len(first):
        return None
    chosen = generator(seed, "recovery", LEVELS.index("free")).permutation(first)[:n]
    alive = living(post.method.alive, data)
    own = (_of_runs(post.likelihood, alive)[chosen], _of_runs(dead, ~alive)[chosen])
    sets = KnownTruths(unit, data, alive).rows(chosen)
    return sets, own


def _of_runs(likelihood: EmulatedLikelihood | None, learned: np.ndarray) -> np.ndarray:
    """Summaries of runs without their locations, NaN for those that the likelihood did not learn from; (N, k)."""
    if likelihood is None:
        return np.empty((len(learned), 0))
    known = likelihood.summaries.of_runs
    values = np.full((len(learned), known.shape[1]), np.nan)
    values[learned] = known
    return values


def _from_other_locations(
    post: PosteriorResult,
    sets: KnownTruths,
    summaries: tuple[np.ndarray, np.ndarray],
    dead: EmulatedLikelihood | None,
    seed: int,
) -> ManyPosteriors:
    """Posterior of each run by emulators that forgot its location."""
    rng = generator(seed, "recovery", LEVELS.index("free"), 2)
    parts = []
    for fold in np.array_split(np.arange(len(sets)), min(_FOLDS, len(sets))):
        kept = without(post.likelihood, sets.unit[fold])
        of_dead = None if dead is None else without(dead, sets.unit[fold])
        own = (summaries[0][fold], summaries[1][fold])
        parts.append(many_posteriors(kept, sets.rows(fold), DRAWS, rng, dead=of_dead, summaries=own))
    return ManyPosteriors.joined(parts)


def without(likelihood: EmulatedLikelihood, unit: np.ndarray) -> EmulatedLikelihood:
    """The likelihood whose emulators forgot some locations (m, d), their hyperparameters kept."""
    forgotten = {row.tobytes() for row in unit}
    return replace(
        likelihood, emulators={name: _forget(e, forgotten) for name, e in likelihood.emulators.items()}
    )


def _forget(emulator: HetGP, forgotten: set[bytes]) -> HetGP:
    state = emulator.state
    assert state is not None
    kept = np.array([row.tobytes() not in forgotten for row in state.X0])
    fewer = replace(
        state,
        X0=state.X0[kept],
        Z0=state.Z0[kept],
        mult=state.mult[kept],
        Z=state.Z[np.repeat(kept, state.mult)],
        Delta=None if state.Delta is None else state.Delta[kept],
        Lambda=None if state.Lambda is None else state.Lambda[kept],
    )
    forgetful = copy.copy(emulator)
    forgetful.state, forgetful.process = fewer, fewer.process(emulator.covariance)
    forgetful.noise_process = fewer.noise_process(emulator.covariance)
    return forgetful
