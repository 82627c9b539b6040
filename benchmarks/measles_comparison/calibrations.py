"""One unit of work each: a study of ours, of TPE, of the published variants, and intervals from one emulator set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from measles_comparison.setting import (
    AMORTISED,
    BUDGETS,
    COVERAGE_ROUNDS,
    LONG,
    NAMES,
    OURS,
    ROUNDS,
    coordinates,
    data,
    number,
    posterior,
    search,
    simulator,
    true_coordinates,
    ways,
)

import hetcal as hc
from hetcal.calibrate.sampler import sample_posterior
from hetcal.studies import three_cluster
from hetcal.studies.three_cluster import DAYS, Reference
from hetcal.studies.three_cluster_variants import DEAR_STAGES, VARIANTS, variant

# Where calibrations have their seeds, beside those of the references.
CALIBRATION = 1_000_000


def _at(kind: str, values: Any) -> dict[str, float]:
    return {f"{kind} {name}": float(value) for name, value in zip(NAMES, values, strict=True)}


def our_rows(
    way: str,
    truth: int,
    reference: int,
    rounds: int | None = None,
    budgets: tuple[int, ...] = BUDGETS,
    **settings: Any,
) -> pd.DataFrame:
    """A reference's posterior after the last round within each budget."""
    if rounds is None:
        rounds = ROUNDS if reference < LONG else COVERAGE_ROUNDS
        budgets = budgets if reference < LONG else BUDGETS[:3]
    method = posterior(data(truth, reference), rounds, **(ways()[way] | settings))
    with hc.Ledger() as ledger:
        result = method.run(ledger, seed=CALIBRATION + number(truth, reference), progress=False)
        notes = ledger.checkpoints(result.study)
        history = result.history
    rows = []
    for budget in budgets:
        within = history[history["runs"] <= budget]
        if not len(within):
            continue
        last = within.iloc[-1]
        stood = notes[f"round {int(last['round'])}"]["stood"]
        row = {
            "way": way,
            "truth": truth,
            "reference": reference,
            "budget": budget,
            "runs": int(last["runs"]),
        }
        row |= {
            "round": int(last["round"]),
            "locations": int(last["locations"]),
            "sd log L": last["sd_log_likelihood"],
        }
        row |= _at("error", np.array(stood["q50"]) - true_coordinates(truth))
        for kind, values in stood.items():
            row |= _at(kind, values)
        rows.append(row)
    return pd.DataFrame(rows)


def tpe_rows(way: str, truth: int, reference: int, budgets: tuple[int, ...] = BUDGETS) -> pd.DataFrame:
    """The best trial within each budget of a TPE way; runs of all stages count.

    Where stages of different numbers of seeds were compared on losses without their expected noise, also the best by
    the loss as it is: more seeds look better then, and chance fools less.
    """
    method = search(way, data(truth, reference))
    with hc.Ledger() as ledger:
        result = method.run(ledger, seed=CALIBRATION + number(truth, reference), progress=False)
        trials = result.history[result.history["stage"] == method.stages[-1].name]
    rows = []
    for budget in budgets:
        within = trials[trials["runs"] <= budget]
        if not len(within):
            continue
        for by in ("value", "loss") if len(method.stages) > 1 else ("value",):
            best = within.loc[[within[by].idxmin()]]
            row = {"way": way, "truth": truth, "reference": reference, "budget": budget, "by": by}
            row |= {"runs": int(within["runs"].iloc[-1]), "loss": best[by].iloc[0]}
            rows.append(row | _at("error", coordinates(best)[0] - true_coordinates(truth)))
    return pd.DataFrame(rows)


def variant_rows(seed: int) -> pd.DataFrame:
    """The published variants on the published reference, each winner's loss on 20 fresh seeds beside it.

    The compartmental model is fitted to the course of the self-consistent reference: of the published one only six
    numbers are known.
    """
    dear = three_cluster.problem(simulator(), three_cluster.reference("as published"))
    cheap = three_cluster.cheap_problem(three_cluster.chain(hc.simulators.SpatialCMP))
    rows = []
    with hc.Ledger() as ledger:
        for name in VARIANTS:
            result = variant(name, cheap, dear, winner_replicates=20).run(ledger, seed=seed, progress=False)
            row: dict[str, Any] = {"variant": name, "seed": seed, "runs": 0, "total": 0}
            if name in DEAR_STAGES:
                own = result.cost.set_index("stage").loc[name]
                row |= {"runs": own["runs"], "total": own["total"]}
            theta, truth = result.best.theta, three_cluster.TRUTH
            row |= {"believed": result.best.believed, "loss": result.best.loss}
            rows.append(row | {p: theta[p] / truth[p] for p in ("beta", "k", "c")})
    return pd.DataFrame(rows)


def amortised(n: int = AMORTISED) -> list[Reference]:
    """References at the first truth, none of them among those that are compared by error."""
    return [data(0, 1000 + i) for i in range(n)]


def reached_in_all(references: list[Reference]) -> list[int]:
    """Patches that every run of every reference reached, and nobody seeded."""
    days = np.concatenate([each.outputs["patch_arrival"] for each in references])
    seeded = simulator().patches["id"].isin(three_cluster.SEEDED).to_numpy()
    return np.flatnonzero((days < DAYS).all(axis=0) & ~seeded).tolist()


def coverage_rows(
    arrivals: bool, learned: int, n: int = AMORTISED, rounds: int = COVERAGE_ROUNDS, **settings: Any
) -> pd.DataFrame:
    """Intervals of n references at the first truth, by the emulators that were learned for one of them."""
    references = amortised(n)
    kept = reached_in_all(references) if arrivals else None
    method = posterior(references[learned], rounds, kept, **(ways()[OURS] | settings))
    with hc.Ledger() as ledger:
        result = method.run(ledger, seed=CALIBRATION + number(0, 1000 + learned), progress=False)
        runs = int(result.history["runs"].iloc[-1])
    truth, rows = true_coordinates(0), []
    for i, each in enumerate(references):
        seen = posterior(each, rounds, kept)._observed()
        likelihood, space = result.likelihood, method.problem.space
        samples, effective = sample_posterior(
            likelihood, space, likelihood.summaries(seen), number(0, 1000 + i), box=likelihood.box
        )
        at = coordinates(samples)
        row: dict[str, Any] = {"what": "with arrivals" if arrivals else "six statistics", "learned": learned}
        row |= {"reference": i, "runs": runs, "patches": len(kept or ()), "effective": effective}
        row |= _at("below", (at < truth).mean(axis=0)) | _at("error", np.median(at, axis=0) - truth)
        rows.append(row | _at("sd", at.std(axis=0)))
    return pd.DataFrame(rows)
