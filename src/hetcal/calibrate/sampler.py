"""Draws from an emulated posterior over the unit cube, and how many independent ones they are worth."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.designs import sobol_points
from hetcal.parameters import Space
from hetcal.streams import generator

if TYPE_CHECKING:
    import pandas as pd

LEAST_EFFECTIVE = 400

# Points spread over the cube at first, and of each round.
_POINTS = 2**12
_ROUNDS = 20
# Effective number of points to which a proposal is fitted, that of a part and most parts for each dimension, the share
# of the part that spans all, and degrees of freedom of their tails. With one part, or to 100 points, thin curved
# posteriors in 6 to 8 dimensions came out up to a quarter too narrow, and their effective number did not tell.
_FITTED, _A_PART, _PARTS, _WHOLE, _TAILS = 400, 3, 4, 0.2, 5.0
# Locations that the first proposal is fitted to, for each dimension.
_START = 10
# Share of the largest weight below which a point counts for nothing.
_NOTHING = 1e-8
# Standard normal scores beyond this are the edge of the cube.
_EDGE = 7.0

# Draws pile up at an end of a box where so many of them are within so much of its width from there.
_PILED, _WITHIN = 0.01, 0.05


def cut_off(unit: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Whether draws (n, d) pile up at an end of their box (2, d) that is none of the unit cube's; (2, d)."""
    depth = (unit - box[0]) / (box[1] - box[0])
    piled = np.array([np.mean(depth < _WITHIN, axis=0), np.mean(depth > 1 - _WITHIN, axis=0)]) > _PILED
    return piled & [box[0] > 0, box[1] < 1]


def sample_posterior(
    likelihood: Any,
    space: Space,
    observed: np.ndarray,
    seed: int,
    n: int = 4000,
    box: np.ndarray | None = None,
    locations: np.ndarray | None = None,
) -> tuple[pd.DataFrame, float]:
    """Equally weighted draws from the posterior given observed summaries (1, k), and their effective number.

    By importance sampling in rounds. The draws are in random order. Where the posterior's own would be worth fewer than
    400 independent ones it warns, and draws from the likelihood flattened by a power until they are worth that, so that
    what is not resolved does not shrink to the few points that were met. (emcee's walkers, tried where rounds ended
    below that, did not get through those either.)

    A box, ends (2, d) in the unit cube, is for a likelihood that is 0 outside of it: points are then spread over the
    box, where they would else hardly meet it. A posterior that is narrower still is looked for among locations (m, d)
    too, those that emulators learned from: the best of them are where the first proposal is fitted. Without, a peak of
    a millionth of the cube is passed over where all that is far from runs, and not known, outweighs it at any higher
    temperature.
    """
    rng = generator(seed, "emulator", 2)
    low, high = np.array([[0.0], [1.0]]) if box is None else box

    def log_likelihood(points: np.ndarray) -> np.ndarray:
        return likelihood.log_likelihood(low + (high - low) * points, observed)[0]

    start = None
    if locations is not None:
        inside = np.clip((locations - low) / (high - low), 0.0, 1.0)
        start = inside[np.argsort(-log_likelihood(inside), kind="stable")[: _START * space.dimension]]
    points = sobol_points(space.dimension, _POINTS, rng)
    points, log_weight = importance_sample(
        points, log_likelihood(points), log_likelihood, rng, _POINTS, n, start
    )
    weight = normalised(log_weight)
    effective = min(effective_number(weight), float(n))
    if effective < LEAST_EFFECTIVE:
        weight = _flattened(log_weight)
        warnings.warn(
            f"the posterior is not resolved: {n} draws from it would be worth {effective:.0f} independent ones, so "
            "they are from a flattened, wider one; give more runs, fewer parameters or narrower priors",
            stacklevel=2,
        )
    draws = low + (high - low) * points[systematic(weight, n, rng)]
    return space.frame(space.from_unit(rng.permutation(draws))), effective


def importance_sample(
    points: np.ndarray,
    log_likelihood: np.ndarray,
    evaluate: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
    number: int,
    enough: float,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted points of a posterior over the unit cube, by adaptive multiple importance sampling.

    In rounds a mixture of multivariate t is fitted to all points so far, their weights flattened until many of them
    count, and points are drawn from it (Cornuet, Marin, Mira and Robert 2012); its parts lie along posteriors that are
    curved (Givens and Raftery 1996). All points stay and are weighted against the mixture of all they were drawn from.
    The prior is part of it, so that no weight exceeds the likelihood times a constant: what a proposal misses and the
    first points have seen keeps its weight, and the next proposal grows. In standard normal scores, where the prior is
    normal and has no edges.

    Parameters
    ----------
    points : numpy.ndarray
        Spread evenly over the cube, (m, d).
    log_likelihood : numpy.ndarray
        At those points, (m,).
    evaluate : callable
        Gives the log likelihood (m,) at points (m, d).
    rng : numpy.random.Generator
    number : int
        Points drawn in a round.
    enough : float
        Effective number of points at which to stop.
    start : numpy.ndarray, optional
        Points (k, d) to which the first proposal is fitted.

    Returns
    -------
    tuple of numpy.ndarray
        The points (m, d), and the logarithms of their weights (m,), not normalised.
    """
    from scipy.special import ndtr, ndtri

    def log_ratio(proposal: _Mixture, scores: np.ndarray) -> np.ndarray:
        d = scores.shape[1]
        log_prior = -0.5 * (scores**2).sum(axis=1) - 0.5 * d * np.log(2 * np.pi)
        return np.log(number) + proposal.log_density(scores) - log_prior

    scores = np.clip(ndtri(points), -_EDGE, _EDGE)
    of_prior = np.log(len(points))
    log_mixture = np.full(len(points), of_prior)
    proposals: list[_Mixture] = []
    for _ in range(_ROUNDS):
        log_weight = log_likelihood - log_mixture
        # First points that miss a peak altogether look like enough.
        untried = start is not None and not proposals
        if not untried and effective_number(normalised(log_weight)) >= enough:
            break
        if start is not None and not proposals:
            of_start = np.clip(ndtri(start), -_EDGE, _EDGE)
            proposals.append(_Mixture(of_start, np.full(len(start), 1 / len(start)), rng))
        else:
            flat = _flattened(log_weight)
            # What counts for nothing even flattened will not count when it is flattened less.
            counts = flat > _NOTHING * flat.max()
            scores, flat = scores[counts], flat[counts]
            log_likelihood, log_mixture = log_likelihood[counts], log_mixture[counts]
            proposals.append(_Mixture(scores, flat / flat.sum(), rng))
        fresh = proposals[-1].draw(number, rng)
        fresh = fresh[np.all(np.abs(fresh) < _EDGE, axis=1)]
        of_fresh = np.full(len(fresh), of_prior)
        for proposal in proposals:
            of_fresh = np.logaddexp(of_fresh, log_ratio(proposal, fresh))
        log_mixture = np.concatenate([np.logaddexp(log_mixture, log_ratio(proposals[-1], scores)), of_fresh])
        scores = np.concatenate([scores, fresh])
        log_likelihood = np.concatenate([log_likelihood, evaluate(ndtr(fresh))])
    return ndtr(scores), log_likelihood - log_mixture


class _Mixture:
    """Multivariate t, one that spans all weighted points and, where they are many, one for each part of them."""

    def __init__(self, scores: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> None:
        from scipy.spatial import cKDTree

        d = scores.shape[1]
        parts = min(int(effective_number(weight) / (_A_PART * d)), _PARTS * d)
        fits, shares = [_fitted(scores, weight)], [1.0]
        if parts > 1:
            # Each point belongs to the nearest of some that are drawn among those that count.
            heavy = systematic(weight, _POINTS, rng)
            scale = np.sqrt(np.diag(fits[0][1]))
            centres = scores[rng.choice(np.unique(heavy), parts, replace=False)] / scale
            nearest = cKDTree(centres).query(scores[heavy] / scale)[1]
            for part in range(parts):
                own = heavy[nearest == part]
                if len(np.unique(own)) > 2 * d:
                    fits.append(_fitted(scores[own], np.full(len(own), 1 / len(own))))
                    shares.append((1 - _WHOLE) / _WHOLE * len(own) / len(heavy))
        self._shares = np.array(shares) / sum(shares)
        self._centres = np.array([centre for centre, _ in fits])
        self._roots = np.linalg.cholesky([spread for _, spread in fits])

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Points (n, d)."""
        part = np.repeat(np.arange(len(self._shares)), rng.multinomial(n, self._shares))
        normal = rng.standard_normal((n, self._centres.shape[1]))
        tail = np.sqrt(_TAILS / rng.chisquare(_TAILS, n))
        return self._centres[part] + tail[:, None] * np.einsum("nij,nj->ni", self._roots[part], normal)

    def log_density(self, scores: np.ndarray) -> np.ndarray:
        """At points (m, d); (m,)."""
        d = scores.shape[1]
        power = 0.5 * (_TAILS + d)
        scale = math.lgamma(power) - math.lgamma(0.5 * _TAILS) - 0.5 * d * math.log(_TAILS * math.pi)
        density = np.zeros(len(scores))
        for share, centre, root in zip(self._shares, self._centres, self._roots, strict=True):
            z = (scores - centre) @ np.linalg.inv(root).T
            height = math.log(share) - np.log(np.diag(root)).sum()
            # Tails fall as a power: no density is too small for a float.
            density += np.exp(height - power * np.log1p(np.einsum("md,md->m", z, z) / _TAILS))
        return scale + np.log(density)


def _fitted(scores: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and covariance of weighted points, for a proposal."""
    centre = weight @ scores
    return _rounded(centre, (scores - centre).T @ (weight[:, None] * (scores - centre)))


def systematic(weight: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Rows (n,) drawn by normalised weights: equally spaced on their sums, less noisy than independent draws."""
    positions = (rng.random() + np.arange(n)) / n
    return np.searchsorted(np.cumsum(weight), positions).clip(max=len(weight) - 1)


def _rounded(centre: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A proposal's centre and covariance to six digits, so that draws do not hang on the order of summation."""
    scale = np.array([float(f"{s:.6g}") for s in np.sqrt(np.diag(spread)) + 1e-6])
    correlation = np.round(spread / np.outer(scale, scale), 6) + 1e-5 * np.eye(len(scale))
    return np.round(centre / scale, 6) * scale, correlation * np.outer(scale, scale)


def effective_number(weight: np.ndarray) -> float:
    """Effective number of points of normalised weights (Kish)."""
    return 1.0 / float((weight**2).sum())


def normalised(log_weight: np.ndarray) -> np.ndarray:
    """Weights that sum to one from their logarithms."""
    weight = np.exp(log_weight - log_weight.max())
    return weight / weight.sum()


def _flattened(log_weight: np.ndarray) -> np.ndarray:
    """Weights at the highest temperature, by halves, that keeps an effective number of points."""
    for halvings in range(40):
        weight = normalised(log_weight * 0.5**halvings)
        if effective_number(weight) >= _FITTED:
            break
    return weight
