"""Candidates: points among which an acquisition chooses, at first many and cheap, then few and good."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats
from scipy.linalg import cholesky

from hetcal.designs import sobol_points
from hetcal.emulators.total import WeightedTotal
from hetcal.streams import generator

# How many of the best candidates are refined, and after how many steps they join the others.
_REFINED = 1000
_STEPS = (5, 10, 20)

# Of candidates that a batch is chosen from, as a multiple of its size.
_PER_PICK = 8


def candidate_points(total: WeightedTotal, n: int, failed: np.ndarray, seed: int, round: int) -> np.ndarray:
    """Candidates for the next batch: half spread over the cube, half normal around the best locations.

    Of the second half, half have the covariance of the best tenth of the locations, which a search has come to look
    at along the valleys of the loss; the others are round, so that no direction is given up.

    Parameters
    ----------
    total : WeightedTotal
    n : int
        Number of new candidates; the evaluated locations are added, so that more replicates can be asked for.
    failed : numpy.ndarray
        Locations (f, d) without a valid run; candidates nearer to one of them than to any valid location, and
        within the typical spacing of the design, are left out.
    seed, round : int

    Returns
    -------
    numpy.ndarray
        Points of the unit cube, (m, d).

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from hetcal.candidates import candidate_points
    >>> from hetcal.emulators.total import WeightedTotal
    >>> X = np.repeat(np.linspace(0, 1, 10), 5)[:, None]
    >>> y = np.random.default_rng(0).normal(np.sin(6 * X[:, 0]), 0.3)
    >>> total = WeightedTotal({"cases": hc.HetGP(noise="homoskedastic").fit(X, y)}, {"cases": 1.0})
    >>> candidate_points(total, 64, failed=np.empty((0, 1)), seed=1, round=0).shape
    (74, 1)
    """
    rng = generator(seed, "candidates", round)
    locations, d = total.locations, total.dimension
    spread = sobol_points(d, n // 2, rng)
    order = np.argsort(total.moments(total.latent(locations)).centre, kind="stable")
    centres = locations[order[: max(1, min(10, len(order) // 5))]]
    centre = centres[rng.integers(len(centres), size=n - len(spread))]
    round_ones = len(centre) - len(centre) // 2
    width = rng.choice([0.02, 0.06, 0.18], size=(round_ones, 1))
    around = truncated_normal(centre[:round_ones], width * np.ones(d), np.eye(d), rng)
    best = locations[order[: max(2 * d, len(order) // 10)]]
    sd, correlation = _shape(best)
    share = rng.choice([0.25, 0.5, 1.0], size=(len(centre) - round_ones, 1))
    along = truncated_normal(centre[round_ones:], share * sd, correlation, rng)
    return _valid(np.vstack([spread, around, along, locations]), locations, failed)


def _valid(points: np.ndarray, locations: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """Those points that are not nearer to a failed location than to any that ran, within the locations' spacing."""
    from scipy.spatial import cKDTree

    if len(failed) == 0:
        return points
    tree = cKDTree(locations)
    spacing = float(np.median(tree.query(locations, k=2)[0][:, 1]))
    to_failed = cKDTree(failed).query(points)[0]
    return points[(to_failed > spacing) | (tree.query(points)[0] < to_failed)]


def _shape(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations (d,) and correlation (d, d) of points, drawn to the identity where they are few."""
    n, d = points.shape
    sd = np.maximum(points.std(axis=0), 0.01)
    scaled = (points - points.mean(axis=0)) / sd
    return sd, (scaled.T @ scaled + d * np.eye(d)) / (n + d)


def truncated_normal(
    centre: np.ndarray, sd: np.ndarray, correlation: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A point of the unit cube around each centre, normal and truncated coordinate by coordinate.

    Each coordinate is drawn by inversion from its normal given those before it, within what the cube leaves.

    Parameters
    ----------
    centre : numpy.ndarray
        Shape (n, d), in the cube.
    sd : numpy.ndarray
        Before truncation, (n, d).
    correlation : numpy.ndarray
        Before truncation, (d, d).
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        Shape (n, d).

    References
    ----------
    Geweke (1991), Efficient simulation from the multivariate normal subject to linear constraints.
    """
    root = cholesky(correlation, lower=True)
    normals = np.empty(centre.shape)
    points = np.empty(centre.shape)
    for j in range(centre.shape[1]):
        given = centre[:, j] + sd[:, j] * (normals[:, :j] @ root[j, :j])
        own = sd[:, j] * root[j, j]
        low, high = stats.norm.cdf((0 - given) / own), stats.norm.cdf((1 - given) / own)
        quantile = np.clip(low + rng.random(len(centre)) * (high - low), 1e-300, 1 - 1e-16)
        normals[:, j] = stats.norm.ppf(quantile)
        points[:, j] = np.clip(given + own * normals[:, j], 0.0, 1.0)
    return points


def refined(
    acquisition: Any,
    total: WeightedTotal,
    candidates: np.ndarray,
    batch: int,
    failed: np.ndarray,
    seed: int,
    round: int,
) -> np.ndarray:
    """The best of many candidates, and what 20 steps of local search make of the best 1,000.

    Each step moves a point some way towards one of the best tenth and along the difference of two others (differential
    evolution), in about half of its coordinates, and keeps the move where it lowers the score: steps take on the
    shape of the valley, and need no derivative of the acquisition. Points join as they are after 5, 10 and 20 steps,
    so that a batch finds more than one point in every valley.

    Parameters
    ----------
    acquisition : LCB, EI or another
        Without a ``score`` and a ``shortlist`` of its own the candidates are left as they are.
    total : WeightedTotal
    candidates : numpy.ndarray
        Points of the unit cube, (m, d).
    batch : int
        How many are to be chosen.
    failed : numpy.ndarray
        As in `candidate_points`.
    seed, round : int

    Returns
    -------
    numpy.ndarray
        Shape (k, d).

    References
    ----------
    Storn and Price (1997), Differential evolution, Journal of Global Optimization 11.
    """
    if not (hasattr(acquisition, "score") and hasattr(acquisition, "shortlist")):
        return candidates
    rows, _ = acquisition.shortlist(total, candidates, max(_REFINED, _PER_PICK * batch))
    best = candidates[rows]
    rng = generator(seed, "candidates", round, 2)
    points = best[:_REFINED].copy()
    score = acquisition.score(total, total.latent(points))
    stages = [best]
    for step in range(1, max(_STEPS) + 1):
        leaders = np.argsort(score, kind="stable")[: max(1, len(points) // 10)]
        leader = points[leaders[rng.integers(len(leaders), size=len(points))]]
        one, other = rng.integers(len(points), size=(2, len(points)))
        moved = points + 0.5 * (leader - points) + 0.5 * (points[one] - points[other])
        moved = np.where(rng.random(points.shape) < 0.5, np.clip(moved, 0.0, 1.0), points)
        now = acquisition.score(total, total.latent(moved))
        points = np.where((now < score)[:, None], moved, points)
        score = np.minimum(now, score)
        if step in _STEPS:
            stages.append(points)
    return _valid(np.unique(np.vstack(stages), axis=0), total.locations, failed)
