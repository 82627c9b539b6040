"""Summaries of outputs, learned from runs: what the data say about each parameter, a number each.

Series are made of stable variance (long ones reduced to principal components), and each parameter is regressed on them
by kernel ridge regression. The regression's prediction is the summary: of all functions of the data it is the one that
a posterior mean needs (Fearnhead and Prangle 2012), where plain components keep what the runs vary in, not what the
parameters move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hetcal.emulators.gaussian_process import correlation
from hetcal.observed import Observed
from hetcal.targets import Target

_COUNTS = ("poisson_deviance", "negative_binomial", "binomial")
_COMPONENTS = 15
_FOLDS = 5

# Of the regression; features have a mean variance of one.
_LENGTHS = np.array([3.0, 6.0, 12.0, 24.0, 48.0])
_PENALTIES = 10.0 ** np.arange(-6, 4)

# Runs that the regression is made from and that its settings are chosen by, and runs of one location among them: it
# costs their number cubed, and a location with thousands of replicates must not decide it alone.
_SUPPORT = 1500
_VALIDATION = 600
_REPLICATES = 20

# Below this cross-validated share of its prior variance a parameter has no summary of its own.
_LEAST_R2 = 0.02


class NothingToLearnError(ValueError):
    """Runs from which no summary can be learned; the message says why."""


def least_locations(dimension: int) -> int:
    """Locations that are needed to learn summaries of so many parameters."""
    return 4 * (dimension + 1)


def _stable(target: Observed, x: np.ndarray) -> np.ndarray:
    """Data on a scale of about constant variance."""
    if target.loss in _COUNTS or target.loss == "sqrt_rss":
        return np.sqrt(np.maximum(x, 0.0) + 0.375)
    return np.log(np.maximum(x, target.least)) if target.loss == "log_rss" else x


def _natural(target: Observed, z: np.ndarray) -> np.ndarray:
    """The way back from `_stable`."""
    if target.loss in _COUNTS or target.loss == "sqrt_rss":
        return np.maximum(z, 0.0) ** 2 - 0.375
    return np.exp(z) if target.loss == "log_rss" else z


def stabilise(targets: tuple[Observed, ...], data: dict[str, np.ndarray]) -> np.ndarray:
    """Targets' data of n runs side by side, with about constant variance: roots of counts; (n, q)."""
    stable = [_stable(t, data[t.name]).reshape(len(data[t.name]), -1) for t in targets]
    return np.hstack(stable)


@dataclass(frozen=True, eq=False)
class Summaries:
    """Learned summaries, one a parameter that the data say something about.

    Attributes
    ----------
    names : tuple of str
        Parameters that have a summary, k of them.
    dropped : tuple of str
        Parameters that the data say nothing about.
    constant : tuple of str
        Data that are the same in all runs, such as ``in_bed[0]``, and tell nothing.
    redundant : dict of str
        Parameters whose summary is left out because others, named in the sentence, hold all that it says.
    r2 : dict of float
        Cross-validated share of each parameter's variance over the training runs that its summary explains.
    support : numpy.ndarray
        Features of the runs that the summaries were learned from, (s, q).
    rows, location : numpy.ndarray
        Which of the runs given those are, and their locations, (s,).
    left_out : numpy.ndarray
        Their summaries, each learned without the run's own location, (s, k): a summary tells more of the runs that it
        was learned from than of data.
    of_runs : numpy.ndarray
        Summaries of all runs given, each learned without the run's own location, (N, k).
    fixed : numpy.ndarray
        Stabilised values of the constant data.
    """

    targets: tuple[Target, ...]
    names: tuple[str, ...]
    dropped: tuple[str, ...]
    constant: tuple[str, ...]
    redundant: dict[str, str]
    r2: dict[str, float]
    kept: np.ndarray
    centre: np.ndarray
    axes: np.ndarray
    support: np.ndarray
    lengths: np.ndarray
    weights: np.ndarray
    offset: np.ndarray
    rows: np.ndarray
    location: np.ndarray
    left_out: np.ndarray
    of_runs: np.ndarray
    fixed: np.ndarray

    def features(self, data: dict[str, np.ndarray]) -> np.ndarray:
        """Stabilised data (n, q) of mean variance one over the runs that the summaries were learned from."""
        return (stabilise(self.targets, data)[:, self.kept] - self.centre) @ self.axes

    def __call__(self, data: dict[str, np.ndarray]) -> np.ndarray:
        """Summaries of data by target name, (n, *shape) each; (n, k), in unit-cube units."""
        z = self.features(data)
        out = np.empty((len(z), len(self.names)))
        for length in np.unique(self.lengths):
            same = self.lengths == length
            out[:, same] = self.offset[same] + _kernel(z, self.support, length) @ self.weights[:, same]
        return out

    def without(self, name: str, why: str) -> Summaries:
        """The same summaries without a redundant one."""
        left = np.array([n != name for n in self.names])
        return replace(
            self,
            names=tuple(n for n in self.names if n != name),
            redundant=self.redundant | {name: why},
            lengths=self.lengths[left],
            weights=self.weights[:, left],
            offset=self.offset[left],
            left_out=self.left_out[:, left],
            of_runs=self.of_runs[:, left],
        )

    def __repr__(self) -> str:
        shares = ", ".join(f"{name} (R2 {self.r2[name]:.2f})" for name in self.names)
        none = [*self.dropped, *self.redundant]
        return f"Summaries({shares}" + (f"; none for {', '.join(none)})" if none else ")")


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
    NothingToLearnError
        If the outputs are constant, there are too few locations, or the data say nothing about any parameter.

    References
    ----------
    Fearnhead and Prangle (2012), Constructing summary statistics for approximate Bayesian computation; Saunders,
    Gammerman and Vovk (1998) for kernel ridge regression.
    """
    z = stabilise(targets, data)
    kept = z.std(axis=0) > 1e-12
    if not kept.any():
        raise NothingToLearnError(
            "every output is the same in all runs: there is nothing to learn from; check the targets"
        )
    locations, needed = len(np.unique(location)), least_locations(unit.shape[1])
    if locations < needed:
        raise NothingToLearnError(
            f"{locations} locations are too few to learn summaries of {unit.shape[1]} parameters: run at least {needed}"
        )
    chosen = _evenly(location, _SUPPORT)
    fixed = z[0, ~kept]
    everything, everywhere = z[:, kept], location
    z, T, location = z[chosen][:, kept], unit[chosen], location[chosen]
    centre = z.mean(axis=0)
    axes = np.eye(z.shape[1])
    if len(axes) > _COMPONENTS:
        axes = np.linalg.svd(z - centre, full_matrices=False)[2][:_COMPONENTS].T
    axes = axes / ((z - centre) @ axes).std(axis=0).mean()
    support = (z - centre) @ axes
    lengths, penalties, r2 = _choose(support, T, location)
    informative = r2 >= _LEAST_R2
    if not informative.any():
        raise NothingToLearnError(
            "the outputs say nothing about any parameter (cross-validated R2 "
            + ", ".join(f"{n} {v:.3f}" for n, v in zip(names, r2, strict=True))
            + "): give other targets, or more runs"
        )
    offset = T.mean(axis=0)
    everything = (everything - centre) @ axes
    others = np.setdiff1d(np.arange(len(everything)), chosen)
    of_runs = np.full((len(everything), T.shape[1]), np.nan)
    weights, left_out = np.empty(T.shape), np.full(T.shape, np.nan)
    groups = np.split(
        np.argsort(location, kind="stable"), np.cumsum(np.unique(location, return_counts=True)[1])[:-1]
    )
    for j in np.flatnonzero(informative):
        K = _kernel(support, support, lengths[j])
        K[np.diag_indices_from(K)] += penalties[j]
        inverse = np.linalg.inv(K)
        weights[:, j] = inverse @ (T[:, j] - offset[j])
        without = {}
        for g in groups:
            own = np.linalg.solve(inverse[np.ix_(g, g)], weights[g, j])
            left_out[g, j] = T[g, j] - own
            without[location[g[0]]] = weights[:, j] - inverse[:, g] @ own
        of_runs[chosen, j] = left_out[:, j]
        for place in np.unique(everywhere[others]):
            rows = others[everywhere[others] == place]
            near = _kernel(everything[rows], support, lengths[j])
            of_runs[rows, j] = offset[j] + near @ without.get(place, weights[:, j])
    return Summaries(
        targets,
        tuple(n for n, ok in zip(names, informative, strict=True) if ok),
        tuple(n for n, ok in zip(names, informative, strict=True) if not ok),
        tuple(name for name, varies in zip(data_names(targets), kept, strict=True) if not varies),
        {},
        dict(zip(names, map(float, r2), strict=True)),
        kept,
        centre,
        axes,
        support,
        lengths[informative],
        weights[:, informative],
        offset[informative],
        chosen,
        location,
        left_out[:, informative],
        of_runs[:, informative],
        fixed,
    )


def data_names(targets: tuple[Target, ...]) -> list[str]:
    """A name for each datum, in the order of `stabilise`."""
    named = []
    for t in targets:
        shape = np.shape(t.observed)
        places = [f"[{', '.join(map(str, i))}]" for i in np.ndindex(shape)]
        named += [t.name + place for place in places] if len(places) > 1 else [t.name]
    return named


def _evenly(location: np.ndarray, most: int) -> np.ndarray:
    """Rows of at most so many runs: the first replicates of every location before the second ones."""
    order = np.argsort(location, kind="stable")
    first = np.r_[True, np.diff(location[order]) != 0]
    replicate = np.empty(len(order), dtype=int)
    replicate[order] = np.arange(len(order)) - np.maximum.accumulate(
        np.where(first, np.arange(len(order)), 0)
    )
    ranked = np.argsort(replicate, kind="stable")
    ranked = ranked[: max(int((replicate < _REPLICATES).sum()), 1)]
    if len(ranked) > most and (replicate[ranked[: most + 1]] == 0).all():
        ranked = ranked[np.linspace(0, (replicate == 0).sum() - 1, most).astype(int)]
    return np.sort(ranked[:most])


def _kernel(x1: np.ndarray, x2: np.ndarray, length: float) -> np.ndarray:
    return correlation(x1, x2, np.full(x1.shape[1], length**2), "Gaussian")


def _choose(X: np.ndarray, T: np.ndarray, location: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Length and penalty for each column of T with the least error in folds of whole locations, and its R2."""
    some = _evenly(location, _VALIDATION)
    X, T = X[some], T[some]
    fold = np.unique(location[some], return_inverse=True)[1].reshape(-1) % _FOLDS
    errors = np.zeros((len(_LENGTHS), len(_PENALTIES), T.shape[1]))
    for i, length in enumerate(_LENGTHS):
        K = _kernel(X, X, length)
        for k in range(_FOLDS):
            rest, held = fold != k, fold == k
            mean = T[rest].mean(axis=0)
            values, vectors = np.linalg.eigh(K[np.ix_(rest, rest)])
            projected, target = K[np.ix_(held, rest)] @ vectors, vectors.T @ (T[rest] - mean)
            for j, penalty in enumerate(_PENALTIES):
                guess = mean + projected @ (target / (np.maximum(values, 0) + penalty)[:, None])
                errors[i, j] += ((guess - T[held]) ** 2).sum(axis=0)
    flat = errors.reshape(-1, T.shape[1])
    length, penalty = np.divmod(flat.argmin(axis=0), len(_PENALTIES))
    r2 = 1 - flat.min(axis=0) / ((T - T.mean(axis=0)) ** 2).sum(axis=0)
    return _LENGTHS[length], _PENALTIES[penalty], r2


def observe(
    targets: tuple[Observed, ...],
    data: dict[str, np.ndarray],
    observation: Mapping[str, Any],
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
