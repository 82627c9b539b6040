"""The weighted total of several emulated targets, on the loss's own scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hetcal.emulators.base import Prediction
from hetcal.emulators.gaussian_process import square_root
from hetcal.emulators.transforms import Log, as_transform
from hetcal.streams import generator


@dataclass(frozen=True, eq=False)
class Moments:
    """Epistemic centre and spread of the total, on the scale where bounds are taken.

    Attributes
    ----------
    centre, spread : numpy.ndarray
        Mean and standard deviation of log(F - bound) where `lognormal`, of F itself otherwise; shape (m,).
    lognormal : bool
    bound : float
        The total's lower bound, 0 where not `lognormal`.
    """

    centre: np.ndarray
    spread: np.ndarray
    lognormal: bool
    bound: float

    def natural(self, centre: np.ndarray) -> np.ndarray:
        """Values of F at points of this scale."""
        return self.bound + np.exp(centre) if self.lognormal else centre

    def scaled(self, value: float) -> float:
        """A value of F on this scale."""
        return float(np.log(value - self.bound)) if self.lognormal else value


@dataclass(frozen=True, eq=False)
class WeightedTotal:
    """F = sum of weight x loss, from one emulator a target.

    Parameters
    ----------
    emulators : mapping of str to HetGP
        Fitted emulators by target name.
    weights : mapping of str to float
        Positive weights by target name.
    correlation : numpy.ndarray, optional
        Correlation of the losses of one run, shape (k, k); it is taken for the noise and for the emulators' errors,
        which stem from the same runs. Independent where none is given.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from hetcal.emulators.total import WeightedTotal
    >>> X = np.repeat(np.linspace(0, 1, 10), 5)[:, None]
    >>> y = np.random.default_rng(0).normal(np.sin(6 * X[:, 0]), 0.3)
    >>> total = WeightedTotal({"cases": hc.HetGP(noise="homoskedastic").fit(X, y)}, {"cases": 2.0})
    >>> total.predict(np.array([[0.2], [0.5]])).mean.shape
    (2,)
    """

    emulators: Mapping[str, Any]
    weights: Mapping[str, float]
    correlation: Any = None

    def __post_init__(self) -> None:
        if set(self.emulators) != set(self.weights) or not self.emulators:
            raise ValueError(
                f"emulators are for {', '.join(self.emulators)}, weights for {', '.join(self.weights)}: "
                "both need the same targets"
            )
        if self.correlation is None:
            object.__setattr__(self, "correlation", np.eye(len(self.emulators)))

    @property
    def dimension(self) -> int:
        """Number of parameters."""
        return next(iter(self.emulators.values())).locations.shape[1]

    @cached_property
    def locations(self) -> np.ndarray:
        """Locations where every target has runs, (n, d); elsewhere nothing is known of the total."""
        first, *others = (e.locations for e in self.emulators.values())
        for X in others:
            known = {row.tobytes() for row in X}
            first = first[[row.tobytes() in known for row in first]]
        if not len(first):
            raise ValueError(
                f"no location has valid runs of all targets ({', '.join(self.emulators)}): see which outputs are "
                "missing where, and narrow the priors or drop a target"
            )
        return first

    @property
    def transforms(self) -> list[Any]:
        """Transform of each target, in the order of the emulators."""
        return [as_transform(e.transform) for e in self.emulators.values()]

    def latent(self, X: np.ndarray) -> np.ndarray:
        """Latent mean, mean_var and noise_var of each target: (k, 3, m)."""
        parts = [e.predict(X, scale="latent") for e in self.emulators.values()]
        return np.array([[p.mean, p.mean_var, p.noise_var] for p in parts])

    def combine(self, latent: np.ndarray, independent: bool = False) -> Prediction:
        """The total's prediction on its own scale from latent numbers (k, 3, m)."""
        k = len(self.emulators)
        correlation = np.eye(k) if independent else np.asarray(self.correlation)
        transforms = self.transforms
        weights = np.array([self.weights[name] for name in self.emulators])
        natural = np.array([t.moments(*part) for t, part in zip(transforms, latent, strict=True)])
        mean_var, noise_var = weights**2 @ natural[:, 1], weights**2 @ natural[:, 2]
        for i in range(k):
            for j in range(i):
                if correlation[i, j]:
                    pair = _pair_covariances(
                        [transforms[i], transforms[j]], latent[[i, j]], correlation[i, j]
                    )
                    mean_var = mean_var + 2 * weights[i] * weights[j] * pair[0]
                    noise_var = noise_var + 2 * weights[i] * weights[j] * pair[1]
        # Pairs of losses are exact, yet rounding can leave a sum of many a hair below 0.
        return Prediction(weights @ natural[:, 0], np.maximum(mean_var, 0.0), np.maximum(noise_var, 0.0))

    def moments(self, latent: np.ndarray) -> Moments:
        """Where bounds are taken: a lognormal matched to the total's epistemic moments where every target is
        emulated on a log scale, the total itself otherwise.

        Noise enters the centre, since it moves the expected loss, and never the spread.
        """
        transforms = self.transforms
        if not all(isinstance(t, Log) for t in transforms):
            total = self.combine(latent)
            return Moments(total.mean, np.sqrt(total.mean_var), False, 0.0)
        weights = [self.weights[name] for name in self.emulators]
        bound = float(sum(w * t.bound for w, t in zip(weights, transforms, strict=True)))
        if len(transforms) == 1:
            mean, mean_var, noise_var = latent[0]
            return Moments(np.log(weights[0]) + mean + 0.5 * noise_var, np.sqrt(mean_var), True, bound)
        total = self.combine(latent)
        above = total.mean - bound
        squared = np.log1p(total.mean_var / above**2)
        return Moments(np.log(above) - 0.5 * squared, np.sqrt(squared), True, bound)

    @cached_property
    def lowest_centre(self) -> float:
        """The lowest centre of `moments` among the evaluated locations."""
        return float(self.moments(self.latent(self.locations)).centre.min())

    def predict(self, X: np.ndarray, cov: bool = False, scale: str = "natural") -> Prediction:
        """Total at X (m, d), in the unit cube, with both variances.

        ``scale="latent"`` gives the numbers of `moments`, with the noise on the total's own scale relative to its
        height above the bound.
        """
        if cov:
            raise ValueError("the total gives no covariance between points: ask the targets' emulators")
        return self.on_scale(self.latent(np.atleast_2d(np.asarray(X, dtype=float))), scale)

    def on_scale(self, latent: np.ndarray, scale: str) -> Prediction:
        """What `predict` says, from latent numbers (k, 3, m) of the targets."""
        total = self.combine(latent)
        if scale == "natural":
            return total
        if scale != "latent":
            raise ValueError(f'scale is "natural" or "latent", not {scale!r}')
        moments = self.moments(latent)
        noise = total.noise_var / (total.mean - moments.bound) ** 2 if moments.lognormal else total.noise_var
        return Prediction(
            moments.centre, moments.spread**2, np.log1p(noise) if moments.lognormal else noise
        )

    def sample(self, X: np.ndarray, n: int = 100, seed: int = 0) -> np.ndarray:
        """Joint draws of the mean total at X (m, d); (n, m); the targets' errors correlated as in `predict`."""
        X = np.atleast_2d(np.asarray(X, dtype=float))
        normals = generator(seed, "emulator", 2).standard_normal((len(self.emulators), n, len(X)))
        mixed = np.einsum("ij,jnm->inm", square_root(np.asarray(self.correlation)), normals)
        return sum(
            self.weights[name] * emulator.sample_from(X, own)
            for own, (name, emulator) in zip(mixed, self.emulators.items(), strict=True)
        )

    def __repr__(self) -> str:
        return "WeightedTotal(" + " + ".join(f"{w:g} x {name}" for name, w in self.weights.items()) + ")"


def _pair_covariances(
    transforms: list[Any], latent: np.ndarray, correlation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Covariances of two losses of one run on their own scales, the emulators' and the noise's, (m,) each.

    Exact for the normals and lognormals that latent numbers (2, 3, m) stand for.
    """
    mean_cov, noise_cov = correlation * np.sqrt(latent[0, 1:] * latent[1, 1:])
    logs = [isinstance(t, Log) for t in transforms]
    height = np.ones(latent.shape[2])
    for (mean, mean_var, noise_var), log in zip(latent, logs, strict=True):
        if log:
            height = height * np.exp(mean + 0.5 * (mean_var + noise_var))
    if all(logs):
        return height * np.expm1(mean_cov), height * np.exp(mean_cov) * np.expm1(noise_cov)
    return height * mean_cov, height * noise_cov


def replicate_correlation(losses: np.ndarray, location: np.ndarray) -> np.ndarray:
    """Correlation of the losses of one run, pooled over locations.

    Each pair of losses is compared over the runs that have both; a loss that a run lacks costs the others nothing.

    Parameters
    ----------
    losses : numpy.ndarray
        Latent losses, shape (N, k), NaN where a run lacks one.
    location : numpy.ndarray
        Location of each run, shape (N,).

    Returns
    -------
    numpy.ndarray
        Shape (k, k), a correlation matrix; 0 between losses of which no location has replicates, or one never varies.
    """
    if np.all(np.isfinite(losses)):
        return _pooled_correlation(losses, location)
    correlation = np.eye(losses.shape[1])
    for i in range(len(correlation)):
        for j in range(i):
            pair = losses[:, [i, j]]
            both = np.isfinite(pair).all(axis=1)
            if both.any():
                correlation[i, j] = correlation[j, i] = _pooled_correlation(pair[both], location[both])[0, 1]
    return _nearest_correlation(correlation)


def _pooled_correlation(losses: np.ndarray, location: np.ndarray) -> np.ndarray:
    """`replicate_correlation` of runs that have every loss."""
    count = np.bincount(location)
    means = np.stack(
        [np.bincount(location, weights=column) / np.maximum(count, 1) for column in losses.T], axis=1
    )
    residual = (losses - means[location])[count[location] > 1]
    covariance = residual.T @ residual
    sd = np.sqrt(np.diag(covariance))
    quiet = sd == 0
    sd[quiet] = 1.0
    correlation = covariance / np.outer(sd, sd)
    correlation[quiet, quiet] = 1.0
    return correlation


def _nearest_correlation(matrix: np.ndarray) -> np.ndarray:
    """A correlation matrix close by, where pairs seen in different runs contradict each other."""
    values, vectors = np.linalg.eigh(matrix)
    if values[0] >= 0:
        return matrix
    clipped = (vectors * np.maximum(values, 0.0)) @ vectors.T
    sd = np.sqrt(np.diag(clipped))
    return clipped / np.outer(sd, sd)
