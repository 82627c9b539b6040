"""What would change a decision: the value of knowing a parameter, a datum, the emulator, or more runs.

The value of knowing something is what the outcome would be better by, on average, if one chose after learning it. By
Strong, Oakley and Brennan (2014) the expected effects given what is learned are a regression of the draws' effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.calibrate.emulator_share import function_posteriors
from hetcal.decisions.effects import Effects
from hetcal.decisions.smoothing import Smooth, spline_features
from hetcal.streams import generator

if TYPE_CHECKING:
    import pandas as pd

_DRAWS = 100
_COMPONENTS = 3  # of a series
_LEAST_EFFECTIVE = 20
_NUMBERS = ("variance_removed", "gain", "gain_se", "changes_choice", "best_if_low", "best_if_high")


def what_would_change_it(
    effects: Effects, parameters: tuple[str, ...], data: dict[str, np.ndarray], first: str, seed: int
) -> list[dict[str, Any]]:
    """Rows for each parameter, for all of them, for data of another outbreak under the first arm, for more runs.

    Parameters
    ----------
    effects : Effects
    parameters : tuple of str
        Names of the columns of ``effects.theta``.
    data : dict of numpy.ndarray
        Outputs of the first arm that are not fitted, (draws, seeds, size) each, of all draws.
    first : str
        Name of the first arm.
    seed : int
    """
    rows = []
    for k, parameter in enumerate(parameters):
        smooth = Smooth.fit(spline_features(effects.theta[:, k : k + 1]), effects.differences)
        rows.append(
            _row(effects, parameter, "parameter", smooth, seed) | _thirds(effects, effects.theta[:, k])
        )
    everything = [_gain(effects, draw) for draw in effects.means]
    rows.append(
        {
            "what": "all parameters",
            "kind": "parameter",
            "variance_removed": 1.0 if effects.spread[effects.other] > 0 else np.nan,
            "gain": float(np.mean([gain for gain, _ in everything])),
            "gain_se": _error(effects, effects.means[0], [gain for gain, _ in everything]),
            "changes_choice": float(np.mean([changes for _, changes in everything])),
            "best_if_low": np.nan,
            "best_if_high": np.nan,
        }
    )
    for name, values in data.items():
        rows.append(_datum(effects, name, values[effects.rows], first, seed))
    return [*(row for row in rows if row), _more_runs(effects, seed)]


def _row(effects: Effects, what: str, kind: str, smooth: Smooth, seed: int) -> dict[str, Any]:
    """The value of knowing what the expected effects were regressed on."""
    gain, changes = _gain(effects, smooth.fitted)
    drawn = smooth.draws(_DRAWS, generator(seed, "scenarios", 2))
    return {
        "what": what,
        "kind": kind,
        "variance_removed": _share(smooth.fitted[:, effects.other].var(), effects),
        "gain": gain,
        "gain_se": _error(effects, smooth.fitted, [_gain(effects, draw)[0] for draw in drawn]),
        "changes_choice": changes,
        "best_if_low": np.nan,
        "best_if_high": np.nan,
    }


def _share(variance: float, effects: Effects) -> float:
    """A variance as a share of that of the effect spoken of."""
    total = effects.spread[effects.other]
    return round(float(np.clip(variance / total, 0.0, 1.0)), 9) if total > 0 else np.nan


def _gain(effects: Effects, expected: np.ndarray, weight: np.ndarray | None = None) -> tuple[float, float]:
    """Mean gain of choosing by known expected differences (n, A), and how often that changes the choice."""
    losses = effects.sign * expected
    better_by = losses[:, effects.chosen] - losses.min(axis=1)
    changed = better_by > effects.least
    # Against the arm of best mean of these very numbers, so that knowing nothing gains nothing.
    advantage = np.average(losses, axis=0, weights=weight).min() - np.average(
        losses.min(axis=1), weights=weight
    )
    rounding = 1e-9 * np.abs(losses).max()
    return float(advantage) if advantage > rounding else 0.0, float(np.average(changed, weights=weight))


def _error(effects: Effects, expected: np.ndarray, gains: list[float]) -> float:
    """Simulation error of a gain: what functions the runs allow, and finitely many draws."""
    losses = effects.sign * expected
    each = losses[:, losses.mean(axis=0).argmin()] - losses.min(axis=1)
    each *= each > 1e-9 * np.abs(losses).max()
    return float(np.hypot(np.std(gains), each.std() / np.sqrt(len(each))))


def _thirds(effects: Effects, x: np.ndarray) -> dict[str, float]:
    """Probability that the chosen arm is best where x is in its lowest and in its highest third."""
    low, high = np.quantile(x, [1 / 3, 2 / 3])
    best = effects.best[:, :, effects.chosen].mean(axis=0)
    if low == high:
        return {}
    return {"best_if_low": float(best[x <= low].mean()), "best_if_high": float(best[x >= high].mean())}


def _datum(effects: Effects, name: str, values: np.ndarray, first: str, seed: int) -> dict[str, Any]:
    """The value of one output of another outbreak under the first arm, seen before choosing.

    What is seen comes from each draw's first seed, the effect from its others, so that they share parameters only.
    """
    complete = np.isfinite(effects.values).all(axis=2) & np.isfinite(values).all(axis=2)
    usable = complete.sum(axis=1) >= 2
    if usable.mean() < 0.5:
        return {}
    at = complete.argmax(axis=1)
    n = np.arange(len(at))
    seen = values[n, at]
    single = effects.values - effects.values[:, :, :1]
    single[n, at] = np.nan
    with np.errstate(invalid="ignore"):
        rest = np.nanmean(single[usable], axis=1)
    smooth = Smooth.fit(spline_features(_components(seen[usable])), rest)
    row = _row(effects, f"{name} of another outbreak, {first!r}", "datum", smooth, seed)
    return row | (_thirds(effects, seen[:, 0]) if seen.shape[1] == 1 else {})


def _components(x: np.ndarray) -> np.ndarray:
    """The first principal components of a series, standardised; a single number as it is."""
    if x.shape[1] == 1:
        return x
    sd = x.std(axis=0)
    z = (x - x.mean(axis=0))[:, sd > 0] / sd[sd > 0]
    u, s, _ = np.linalg.svd(z, full_matrices=False)
    return (u * s)[:, :_COMPONENTS]


def _more_runs(effects: Effects, seed: int) -> dict[str, Any]:
    """The value of many more draws and seeds: what the simulation error of the mean effects leaves open."""
    n = len(effects.differences)
    covariance = np.atleast_2d(np.cov(effects.differences.T)) / n
    drawn = generator(seed, "scenarios", 3).multivariate_normal(effects.mean, covariance, 4000, method="eigh")
    gain, changes = _gain(effects, drawn)
    error = effects.standard_error[effects.other] ** 2
    total = effects.spread[effects.other] + error
    return {
        "what": "more draws and seeds",
        "kind": "runs",
        "variance_removed": float(error / total) if total > 0 else np.nan,
        "gain": gain,
        "gain_se": np.nan,
        "changes_choice": changes,
        "best_if_low": np.nan,
        "best_if_high": np.nan,
    }


def emulator_value(effects: Effects, posterior: Any, draws: pd.DataFrame, seed: int) -> list[dict[str, Any]]:
    """The value of so many runs that the emulated likelihood is exact; no row where there is no emulator.

    Functions are drawn from the emulators' uncertainty. Each has a likelihood of its own, of which the posterior's is
    the mean, and so a posterior of its own by reweighting the draws. How much the effect's mean differs between those
    is what the emulators of the summaries leave open. (That of P(alive) is taken as it is.)
    """
    likelihood = getattr(posterior, "likelihood", None)
    if likelihood is None:
        return []
    unit = posterior.problem.space.to_unit(draws.to_numpy()[effects.rows])
    weight, evidence = function_posteriors(
        likelihood, unit, posterior.observed, _DRAWS, generator(seed, "scenarios", 4)
    )
    effective = 1 / (weight**2).sum(axis=1)
    row: dict[str, Any] = {"what": "more runs to train the emulators", "kind": "runs"}
    row |= {column: np.nan for column in _NUMBERS}
    if np.average(effective, weights=evidence) < _LEAST_EFFECTIVE:
        return [row]
    expected = effects.means.mean(axis=0)
    by_function = weight @ expected
    centre = np.average(by_function, axis=0, weights=evidence)
    raw = np.average((by_function - centre) ** 2, axis=0, weights=evidence)
    inside = weight @ expected**2 - by_function**2
    chance = np.average(inside / effective[:, None], axis=0, weights=evidence)
    variance = np.maximum(raw - chance, 0.0)
    shrunk = centre + (by_function - centre) * np.sqrt(variance / np.maximum(raw, 1e-300))
    gain, changes = _gain(effects, shrunk, evidence)
    share = _share(float(variance[effects.other]), effects)
    return [row | {"variance_removed": share, "gain": gain, "changes_choice": changes}]
