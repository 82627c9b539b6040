"""Scores on held-out locations: how well emulators predict places that they never learned from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.emulators.base import find_replicates
from hetcal.emulators.hetgp_state import log_density
from hetcal.emulators.transforms import as_transform

if TYPE_CHECKING:
    import pandas as pd

    from hetcal.calibrate.search import Search
    from hetcal.emulators.total import WeightedTotal

HELD_OUT = "held out"
COLUMNS = (
    "round",
    "target",
    "locations",
    "r2",
    "log_score",
    "log_score_se",
    "coverage_50",
    "coverage_90",
)
_Z = {"coverage_50": 0.6744897501960817, "coverage_90": 1.6448536269514722}


def score_held_out(emulator: Any, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Score one emulator on runs at locations that it was not fitted to.

    All on the emulator's own (latent) scale, where it claims normal errors. What is predicted is the mean of a
    location's r runs; its claimed variance is mean_var + noise_var / r.

    Parameters
    ----------
    emulator : HetGP or another Emulator
    X : numpy.ndarray
        Points of the unit cube, shape (N, d); equal rows are replicates.
    y : numpy.ndarray
        Losses, shape (N,), NaN where a run has none.

    Returns
    -------
    dict
        locations (those with a valid run); r2, the share of the variance between location means that is predicted;
        log_score, the mean log density of a location's mean, and its standard error over locations; coverage_50 and
        coverage_90, the shares of location means inside of central intervals. NaN where too few locations are left.

    References
    ----------
    Gneiting, Raftery (2007), Journal of the American Statistical Association 102, 359.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from hetcal.calibrate.held_out_locations import score_held_out
    >>> X = np.repeat(np.linspace(0, 1, 20), 5)[:, None]
    >>> y = np.random.default_rng(0).normal(np.sin(6 * X[:, 0]), 0.3)
    >>> here = np.isin(np.arange(100) // 5, [4, 9, 14])
    >>> emulator = hc.HetGP(noise="homoskedastic").fit(X[~here], y[~here])
    >>> score_held_out(emulator, X[here], y[here])["locations"]
    3
    """
    valid = np.isfinite(y)
    if not valid.any():
        return {"locations": 0} | dict.fromkeys(COLUMNS[3:], math.nan)
    found = find_replicates(X[valid], as_transform(emulator.transform).forward(y[valid]))
    said = emulator.predict(found.X, scale="latent")
    variance = said.mean_var + said.noise_var / found.count
    error = found.mean - said.mean
    n, spread = len(error), ((found.mean - found.mean.mean()) ** 2).sum()
    score = log_density(found.mean, said.mean, variance)
    within = {name: float(np.mean(np.abs(error) <= z * np.sqrt(variance))) for name, z in _Z.items()}
    return {
        "locations": n,
        "r2": 1 - float((error**2).sum() / spread) if spread > 0 else math.nan,
        "log_score": float(score.mean()),
        "log_score_se": float(score.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan,
        **within,
    }


def note_held_out(search: Search, total: WeightedTotal, round: int) -> None:
    """Keep the scores of a round's emulators in the ledger; nothing where no location is held out."""
    asks = search.asks()
    asks = asks[asks["purpose"] == HELD_OUT].reset_index(drop=True)
    if not len(asks) or f"held out {round}" in search.ledger.checkpoints(search.study):
        return
    runs = search.runs(asks)
    X = search.problem.space.to_unit(runs.theta)
    scores = [
        {"round": round, "target": name, **score_held_out(emulator, X, runs.losses[name].to_numpy())}
        for name, emulator in total.emulators.items()
    ]
    search.ledger.checkpoint(search.study, f"held out {round}", scores)


def held_out_frame(known: dict[str, Any]) -> pd.DataFrame:
    """All scores among a study's checkpoints, one row a round and target; empty where no location is held out."""
    import pandas as pd

    rounds = [note for name, note in known.items() if name.startswith("held out ")]
    frame = pd.DataFrame([score for scores in rounds for score in scores], columns=list(COLUMNS))
    return frame.sort_values("round", kind="stable", ignore_index=True)
