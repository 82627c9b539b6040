"""Summaries of outputs, learned from runs: what the data say about each parameter, a number each.

Series are made of stable variance (long ones reduced to principal components), and each parameter is regressed on them
and their products. The regression's prediction is the summary: of all functions of the data it is the one that a
posterior mean needs (Fearnhead and Prangle 2012), where plain components keep what the runs vary in, not what the
parameters move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hetcal.targets import Target

_COUNTS = ("poisson_deviance", "negative_binomial", "binomial")
_COMPONENTS = 15
_PENALTIES = 10.0 ** np.arange(-1, 5)
_FOLDS = 5

# Below this cross-validated share of its prior variance a parameter has no summary of its own.
_LEAST_R2 = 0.02


def _stable(target: Target, x: np.ndarray) -> np.ndarray:
    """Data on a scale of about constant variance."""
    if target.loss in _COUNTS or target.loss == "sqrt_rss":
        return np.sqrt(np.maximum(x, 0.0) + 0.375)
    return np.log(np.maximum(x, target.least)) if target.loss == "log_rss" else x


def _natural(target: Target, z: np.ndarray) -> np.ndarray:
    """The way back from `_stable`."""
    if target.loss in _COUNTS or target.loss == "sqrt_rss":
        return np.maximum(z, 0.0) ** 2 - 0.375
    return np.exp(z) if target.loss == "log_rss" else z


def stabilise(targets: tuple[Target, ...], data: dict[str, np.ndarray]) -> np.ndarray:
    """Targets' data of n runs side by side, with about constant variance: roots of counts; (n, q)."""
    stable = [_stable(t, data[t.name]).reshape(len(data[t.name]), -1) for t in targets]
    return np.hstack(stable)


def _with_products(z: np.ndarray) -> np.ndarray:
    rows, columns = np.triu_indices(z.shape[1])
    return np.hstack([z, z[:, rows] * z[:, columns]])


@dataclass(frozen=True, eq=False)
class Summaries:
    """Learned summaries, one a parameter that the data say something about.

    Attributes
    ----------
    names : tuple of str
        Parameters that have a summary, k of them.
    dropped : tuple of str
        Parameters that the data say nothing about.
    r2 : dict of float
        Cross-validated share of each parameter's prior variance that its summary explains.
    """

    targets: tuple[Target, ...]
    names: tuple[str, ...]
    dropped: tuple[str, ...]
    r2: dict[str, float]
    kept: np.ndarray
    centre: np.ndarray
    axes: np.ndarray
    feature_mean: np.ndarray
    feature_sd: np.ndarray
    coefficients: np.ndarray
    offset: np.ndarray
    curved: bool

    def __call__(self, data: dict[str, np.ndarray]) -> np.ndarray:
        """Summaries of data by target name, (n, *shape) each; (n, k), in unit-cube units."""
        z = (stabilise(self.targets, data)[:, self.kept] - self.centre) @ self.axes
        features = _with_products(z) if self.curved else z
        return self.offset + (features - self.feature_mean) / self.feature_sd @ self.coefficients

    def __repr__(self) -> str:
        shares = ", ".join(f"{name} (R2 {self.r2[name]:.2f})" for name in self.names)
        return f"Summaries({shares}" + (f"; none for {', '.join(self.dropped)})" if self.dropped else ")")


def learn_summaries(
    targets: tuple[Target, ...],
    data: dict[str, np.ndarray],
    unit: np.ndarray,
    location: np.ndarray,
    names: tuple[str, ...],
) -> Summaries:
    """Learn summaries from runs.

    Parameters
    ----------
    targets : tuple of Target
        Those that are fitted.
    data : dict of numpy.ndarray
        By target name, what would have been observed of each run, (N, *shape).
    unit : numpy.ndarray
        Their parameters in the unit cube, (N, d).
    location : numpy.ndarray
        Location of each run, (N,); folds of the cross-validation keep locations together.
    names : tuple of str
        Names of the d parameters.

    Returns
    -------
    Summaries

    Raises
    ------
    ValueError
        If the outputs are constant, there are too few locations, or the data say nothing about any parameter.

    References
    ----------
    Fearnhead and Prangle (2012), Constructing summary statistics for approximate Bayesian computation.
    """
    z = stabilise(targets, data)
    kept = z.std(axis=0) > 1e-12
    if not kept.any():
        raise ValueError(
            "every output is the same in all runs: there is nothing to learn from; check the targets"
        )
    locations, needed = len(np.unique(location)), 4 * (unit.shape[1] + 1)
    if locations < needed:
        raise ValueError(
            f"{locations} locations are too few to learn summaries of {unit.shape[1]} parameters: run at least {needed}"
        )
    centre = z[:, kept].mean(axis=0)
    basis = np.eye(int(kept.sum()))
    if len(basis) > _COMPONENTS:
        basis = np.linalg.svd(z[:, kept] - centre, full_matrices=False)[2][:_COMPONENTS].T
    number = basis.shape[1]
    components = (z[:, kept] - centre) @ basis
    curved = len(z) >= 4 * (number + number * (number + 1) // 2)
    features = _with_products(components) if curved else components
    mean, sd = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-12)
    scaled = (features - mean) / sd
    coefficients, offset, r2 = _ridge(scaled, unit, location)
    informative = r2 >= _LEAST_R2
    if not informative.any():
        raise ValueError(
            "the outputs say nothing about any parameter (cross-validated R2 "
            + ", ".join(f"{n} {v:.3f}" for n, v in zip(names, r2, strict=True))
            + "): give other targets, or more runs"
        )
    return Summaries(
        targets,
        tuple(n for n, ok in zip(names, informative, strict=True) if ok),
        tuple(n for n, ok in zip(names, informative, strict=True) if not ok),
        dict(zip(names, map(float, r2), strict=True)),
        kept,
        centre,
        basis,
        mean,
        sd,
        coefficients[:, informative],
        offset[informative],
        curved,
    )


def _ridge(X: np.ndarray, T: np.ndarray, location: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ridge regression of each column of T, its penalty chosen by folds of whole locations."""
    fold = location % _FOLDS
    errors = np.zeros((len(_PENALTIES), T.shape[1]))
    for k in range(_FOLDS):
        rest, held = fold != k, fold == k
        mean = T[rest].mean(axis=0)
        values, vectors = np.linalg.eigh(X[rest].T @ X[rest])
        projected, target = X[held] @ vectors, vectors.T @ (X[rest].T @ (T[rest] - mean))
        for i, penalty in enumerate(_PENALTIES):
            guess = mean + projected @ (target / (np.maximum(values, 0) + penalty)[:, None])
            errors[i] += ((guess - T[held]) ** 2).sum(axis=0)
    best = errors.argmin(axis=0)
    values, vectors = np.linalg.eigh(X.T @ X)
    offset = T.mean(axis=0)
    target = vectors.T @ (X.T @ (T - offset))
    coefficients = vectors @ (target / (np.maximum(values, 0)[:, None] + _PENALTIES[best]))
    return coefficients, offset, 1 - errors.min(axis=0) / ((T - offset) ** 2).sum(axis=0)


def observe(
    targets: tuple[Target, ...],
    data: dict[str, np.ndarray],
    observation: dict[str, Any],
    discrepancy: float,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Data as they might have been observed of runs: the observation's law, and the stated discrepancy."""
    seen = {}
    for target in targets:
        x = np.asarray(data[target.name], dtype=float)
        if target.name in observation:
            x = np.asarray(observation[target.name].draw(x, rng), dtype=float)
        if discrepancy > 0:
            x = _natural(target, _stable(target, x) + discrepancy * rng.standard_normal(x.shape))
        seen[target.name] = x
    return seen
