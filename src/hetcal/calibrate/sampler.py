"""Draws from an emulated posterior over the unit cube, and how many independent ones they are worth."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from hetcal.calibrate.likelihood import EmulatedLikelihood
from hetcal.designs import sobol_points
from hetcal.parameters import Space
from hetcal.streams import generator

if TYPE_CHECKING:
    import pandas as pd

LEAST_EFFECTIVE = 400

# Points spread over the cube at first, and of each round.
_POINTS = 2**12
_ROUNDS = 10
# Effective number of points to which a proposal is fitted, and degrees of freedom of its tails.
_FITTED, _TAILS = 100, 5.0
# Standard normal scores beyond this are the edge of the cube.
_EDGE = 7.0
_STEPS = 500
_STAGES = 10


def sample_posterior(
    likelihood: EmulatedLikelihood, space: Space, observed: np.ndarray, seed: int, n: int = 4000
) -> tuple[pd.DataFrame, float]:
    """Equally weighted draws from the posterior given observed summaries (1, k), and their effective number.

    By importance sampling in rounds; where that leaves too few effective points, by emcee from where it ended. The
    draws are in random order. Warns where they are worth fewer than 400 independent ones.
    """
    rng = generator(seed, "emulator", 2)

    def log_likelihood(unit: np.ndarray) -> np.ndarray:
        return likelihood.log_likelihood(unit, observed)[0]

    points = sobol_points(space.dimension, _POINTS, rng)
    points, log_weight = importance_sample(points, log_likelihood(points), log_likelihood, rng, _POINTS, n)
    weight = normalised(log_weight)
    effective = effective_number(weight)
    if effective < LEAST_EFFECTIVE:
        draws, effective = _emcee(log_likelihood, points, _flattened(log_weight), n, rng)
    else:
        # Systematic: equally spaced positions on the cumulated weights, less noisy than independent draws.
        positions = (rng.random() + np.arange(n)) / n
        draws = points[np.searchsorted(np.cumsum(weight), positions).clip(max=len(points) - 1)]
    effective = min(effective, float(n))
    if effective < LEAST_EFFECTIVE:
        warnings.warn(
            f"the {n} draws from the posterior are worth {effective:.0f} independent ones: ends of intervals are "
            "uncertain; give fewer parameters or narrower priors",
            stacklevel=2,
        )
    return space.frame(space.from_unit(rng.permutation(draws))), effective


def importance_sample(
    points: np.ndarray,
    log_likelihood: np.ndarray,
    evaluate: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
    number: int,
    enough: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted points of a posterior over the unit cube, by adaptive multiple importance sampling.

    In rounds a multivariate t is fitted to all points so far, their weights flattened until many of them count, and
    points are drawn from it (Cornuet, Marin, Mira and Robert 2012). All points stay and are weighted against the
    mixture of all they were drawn from. The prior is part of it, so that no weight exceeds the likelihood times a
    constant: what a proposal misses and the first points have seen keeps its weight, and the next proposal grows.
    In standard normal scores, where the prior is normal and has no edges.

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

    Returns
    -------
    tuple of numpy.ndarray
        The points (m, d), and the logarithms of their weights (m,), not normalised.
    """
    from scipy.special import ndtr, ndtri
    from scipy.stats import multivariate_t

    def log_ratio(proposal: multivariate_t, scores: np.ndarray) -> np.ndarray:
        d = scores.shape[1]
        log_prior = -0.5 * (scores**2).sum(axis=1) - 0.5 * d * np.log(2 * np.pi)
        return np.log(number) + proposal.logpdf(scores) - log_prior

    scores = np.clip(ndtri(points), -_EDGE, _EDGE)
    of_prior = np.log(len(points))
    log_mixture = np.full(len(points), of_prior)
    proposals: list[multivariate_t] = []
    for _ in range(_ROUNDS):
        log_weight = log_likelihood - log_mixture
        if effective_number(normalised(log_weight)) >= enough:
            break
        flat = _flattened(log_weight)
        centre = flat @ scores
        spread = (scores - centre).T @ (flat[:, None] * (scores - centre))
        proposals.append(multivariate_t(*_rounded(centre, spread), df=_TAILS))
        fresh = proposals[-1].rvs(number, random_state=rng).reshape(number, -1)
        fresh = fresh[np.all(np.abs(fresh) < _EDGE, axis=1)]
        of_fresh = np.full(len(fresh), of_prior)
        for proposal in proposals:
            of_fresh = np.logaddexp(of_fresh, log_ratio(proposal, fresh))
        log_mixture = np.concatenate([np.logaddexp(log_mixture, log_ratio(proposals[-1], scores)), of_fresh])
        scores = np.concatenate([scores, fresh])
        log_likelihood = np.concatenate([log_likelihood, evaluate(ndtr(fresh))])
    return ndtr(scores), log_likelihood - log_mixture


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


def _emcee(
    log_likelihood: Callable[[np.ndarray], np.ndarray],
    points: np.ndarray,
    weight: np.ndarray,
    n: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float]:
    """Draws by emcee's ensemble of walkers (Foreman-Mackey et al. 2013), and their effective number.

    Walkers start at different points, drawn by their weights. Stages are added, the first third of all steps left out,
    until the draws are worth enough.
    """
    import emcee

    def log_posterior(unit: np.ndarray) -> np.ndarray:
        inside = np.all((unit >= 0) & (unit <= 1), axis=1)
        out = np.full(len(unit), -np.inf)
        out[inside] = log_likelihood(unit[inside])
        return out

    d = points.shape[1]
    walkers = max(8 * d, 32)
    moves = [
        (emcee.moves.DEMove(), 0.7),
        (emcee.moves.DESnookerMove(), 0.1),
        (emcee.moves.StretchMove(), 0.2),
    ]
    sampler = emcee.EnsembleSampler(walkers, d, log_posterior, moves=moves, vectorize=True)
    sampler.random_state = np.random.RandomState(int(rng.integers(2**31))).get_state()
    # The largest of log weight + Gumbel noise: draws without replacement, of whatever number.
    order = np.argsort(-np.log(weight + 1e-300) - rng.gumbel(size=len(weight)))
    state = np.clip(points[order[:walkers]], 1e-6, 1 - 1e-6)
    for _ in range(_STAGES):
        state = sampler.run_mcmc(state, _STEPS, progress=False)
        discard = sampler.iteration // 3
        time = float(np.max(sampler.get_autocorr_time(discard=discard, tol=0)))
        chain = sampler.get_chain(discard=discard, flat=True)
        # A chain of less than 20 autocorrelation times does not know them.
        known = sampler.iteration - discard >= 20 * time
        effective = len(chain) / max(time, 1.0) if known else 0.0
        if effective >= n / 4:
            break
    return chain[np.linspace(0, len(chain) - 1, n).astype(int)], effective
