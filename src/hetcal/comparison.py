"""Models of the same data beside each other: verdicts, what each says of the parameters, scores on held-out data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.calibrate.anchor import exact_sampler, known_anchor
from hetcal.calibrate.held_out import held_out_scores
from hetcal.checks.statistics import rounded
from hetcal.simulators.identity import content_hash

if TYPE_CHECKING:
    import pandas as pd

    from hetcal.calibrate.posterior_result import PosteriorResult

# Scores this many standard errors apart are told apart.
_APART = 2.0
# Below so many effective draws, or above such a split R-hat, a score's error is not to be believed, and only a
# difference in log density beyond the last counts.
_EFFECTIVE, _MET, _FAR = 30.0, 1.05, 3.0


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """Models of the same data.

    Attributes
    ----------
    results : dict of PosteriorResult
        By the models' names.
    table : pandas.DataFrame
        One row a model: model, parameters (number), data (number of fitted data), runs, verdict (its kind), sentence.
    intervals : pandas.DataFrame
        One row a model and parameter: model, parameter, median, low, high (90 %), of the exact posterior where it was
        computed and met, else of the emulated one; source ("exact" or "emulated").
    held_out : pandas.DataFrame
        One row a model and datum of a target of weight 0: model, target, name, observed, median, low, high, p.
    scores : pandas.DataFrame
        One row a model, what it was fitted to, and a fold of days: model, fitted, fold, data, score (log predictive
        density of the hidden data of the shared series; higher is better), error (Monte-Carlo). Empty where no two
        models can be stepped.
    shared : tuple of str
        Outputs that all models are fitted to, on which they are scored.
    says : tuple of str
        What follows, in sentences.

    Examples
    --------
    >>> import hetcal as hc
    >>> problem = hc.studies.flu1978.study().problem
    >>> law = {"in_bed": hc.observation.NegativeBinomialObservation(10)}
    >>> options = {"observation": law, "initial": 40, "replicates": 5, "rounds": 0, "predictive": 100}
    >>> narrow, wide = (hc.Posterior(problem, **options, discrepancy=d).run(seed=1) for d in (0.0, 1.0))
    >>> comparison = hc.compare_models({"right": narrow, "lacking": wide}, score=False)
    >>> comparison.table["model"].tolist()
    ['right', 'lacking']
    """

    results: dict[str, PosteriorResult]
    table: pd.DataFrame
    intervals: pd.DataFrame
    held_out: pd.DataFrame
    scores: pd.DataFrame
    shared: tuple[str, ...]
    says: tuple[str, ...]

    def report(self, folder: Any) -> Any:
        """Write models.html and models.json into a folder; returns the page's path."""
        from hetcal.report import write_comparison

        return write_comparison(self, folder)

    def __repr__(self) -> str:
        return "\n".join([*self.says, self.table.drop(columns="sentence").to_string(index=False)])


def compare_models(
    results: Mapping[str, PosteriorResult],
    folds: Mapping[str, Sequence[int]] | None = None,
    score: bool = True,
    iterations: int = 1_000,
    burn_in: int = 600,
) -> ModelComparison:
    """Compare models of the same data.

    Scores need models that can be stepped, fitted to series with an observation model: each is fitted anew, exactly,
    to the days that are not held out, with all of its series and with the shared ones alone. They are kept in the
    models' ledgers.

    Parameters
    ----------
    results : dict of PosteriorResult
        At least two, by name.
    folds : dict of str to sequence of int, optional
        Days to hide: see `hetcal.calibrate.held_out.held_out_scores`.
    score : bool
        Whether to compute scores; they take minutes.
    iterations, burn_in : int
        Of the chains behind the scores, as of `ParticleMCMC`.

    Returns
    -------
    ModelComparison

    Raises
    ------
    ValueError
        For fewer than two models, or models that share no output.

    Examples
    --------
    See `ModelComparison`.
    """
    import pandas as pd

    if len(results) < 2:
        raise ValueError(f"{len(results)} models are nothing to compare: give at least two")
    outputs = [{t.output for t in result.method.targets} for result in results.values()]
    shared = tuple(sorted(set.intersection(*outputs)))
    if not shared:
        raise ValueError("the models share no fitted output: there is nothing to score them on")
    rows, intervals, held_out = [], [], []
    for name, result in results.items():
        verdict = result.verdict
        rows.append(
            {
                "model": name,
                "parameters": result.problem.space.dimension,
                "data": sum(t.observed.size for t in result.method.targets),
                "runs": len(result.ledger.runs(result.problem.simulator, result.study)),
                "verdict": verdict.kind,
                "sentence": verdict.sentence,
            }
        )
        intervals.append(_intervals(name, result))
        checks = result.predictive.table
        checks = checks[checks["kind"] == "held out"]
        held_out.append(
            checks[["target", "name", "observed", "median", "low", "high", "p"]].assign(model=name)
        )
    _check_same_data(results, shared)
    scores, refused = _scores(results, shared, folds, (iterations, burn_in)) if score else (_no_scores(), [])
    table, outside = pd.DataFrame(rows), pd.concat(held_out, ignore_index=True)
    return ModelComparison(
        dict(results),
        table,
        pd.concat(intervals, ignore_index=True),
        outside,
        scores,
        shared,
        (*_of_verdicts(table), *refused, *_of_scores(scores, shared), *_of_held_out(results, outside)),
    )


def _intervals(name: str, result: PosteriorResult) -> pd.DataFrame:
    anchor = known_anchor(result)
    table, source = result.intervals(0.9), "emulated"
    if anchor is not None and anchor.mixed:
        table, source = anchor.comparison[["parameter", "exact_median", "exact_low", "exact_high"]], "exact"
        table = table.rename(columns=lambda column: column.removeprefix("exact_"))
    return table.assign(model=name, source=source)


def _no_scores() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns=["model", "fitted", "fold", "data", "score", "error"])


def _scores(
    results: Mapping[str, PosteriorResult], shared: tuple[str, ...], folds: Any, length: tuple[int, int]
) -> tuple[pd.DataFrame, list[str]]:
    """Scores of the models that have an exact posterior, and why the others have none."""
    import pandas as pd

    frames, refused = [], []
    for name, result in results.items():
        try:
            sampler = exact_sampler(result, *length)
        except (TypeError, ValueError) as error:
            refused.append(f"{name} was not scored on held-out days: {error}.")
            continue
        series = {"its own series": tuple(sampler.observed)}
        if set(sampler.observed) != set(shared):
            series["the shared series alone"] = shared
        for fitted, outputs in series.items():
            note = f"held out {content_hash([sorted(outputs), shared, folds, length], 'scores')[:12]}"
            kept = result.ledger.checkpoints(result.study)
            if note not in kept:
                part = exact_sampler(result, *length, outputs)
                frame = held_out_scores(part, folds, outputs=shared, seed=result.seed)
                result.ledger.checkpoint(result.study, note, frame.drop(columns="seconds").to_dict("records"))
                kept = result.ledger.checkpoints(result.study)
            frames.append(pd.DataFrame(kept[note]).assign(model=name, fitted=fitted))
    if not frames:
        return _no_scores(), refused
    table = pd.concat(frames, ignore_index=True)
    return table[["model", "fitted", *(c for c in table.columns if c not in ("model", "fitted"))]], refused


def _check_same_data(results: Mapping[str, PosteriorResult], shared: tuple[str, ...]) -> None:
    for output in shared:
        data = [next(t for t in r.method.targets if t.output == output).observed for r in results.values()]
        if any(not np.array_equal(data[0], other) for other in data[1:]):
            raise ValueError(
                f"the models were fitted to different data of {output!r}: compare models of the same"
            )


def _of_verdicts(table: pd.DataFrame) -> list[str]:
    return [f"{row.model}: {row.sentence}" for row in table.itertuples()]


def _of_scores(scores: pd.DataFrame, shared: tuple[str, ...]) -> list[str]:
    """How the models' scores differ, fold by fold, those fitted to their own series."""
    own = scores[scores["fitted"] == "its own series"]
    if own["model"].nunique() < 2:
        return []
    sentences = []
    for fold, rows in own.groupby("fold", sort=False):
        ranked = rows.sort_values("score", ascending=False)
        best, second = ranked.iloc[0], ranked.iloc[1]
        gap, error = best["score"] - second["score"], float(np.hypot(best["error"], second["error"]))
        told = f"{gap:.1f} ± {error:.1f}"
        poor = rows[(rows["effective"] < _EFFECTIVE) | (rows["rhat"] > _MET)]["model"].tolist()
        if gap > _APART * error + (_FAR if poor else 0.0):
            sentences.append(
                f"{best['model']} predicts {', '.join(shared)} on held-out {fold} better than {second['model']}, by "
                f"{told} (log density of {int(best['data'])} data)."
            )
        elif poor:
            sentences.append(
                f"On held-out {fold} the difference is {told} for {best['model']}, but the chains of {', '.join(poor)} "
                "are too short to rely on its error."
            )
        else:
            sentences.append(f"On held-out {fold} the best two cannot be told apart ({told}).")
    return sentences


def _of_held_out(results: Mapping[str, PosteriorResult], held_out: pd.DataFrame) -> list[str]:
    """What each model says of data that it was not fitted to."""
    sentences = []
    for row in held_out.itertuples():
        targets = {t.name: t for t in results[row.model].method.held_out}
        called = targets[row.target].label or row.target
        place = f", {row.name}" if row.name else ""
        median, low, high, observed = (
            rounded(value, row.high - row.low) for value in (row.median, row.low, row.high, row.observed)
        )
        sentences.append(
            f"{row.model} predicts {median} ({low} to {high}) {called}{place}; observed: {observed}."
        )
    return sentences
