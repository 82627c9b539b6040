"""What parameters make of an outcome, cleaned of chance: smooth regression, and the split of variances.

With few seeds a draw, the mean over a draw's seeds varies between draws by chance too, and must not be taken for an
effect of the parameters. So means are regressed on the draws by natural cubic splines with a ridge penalty of highest
marginal likelihood; what the regression leaves over is split, by the variance within draws, into chance and lack of
fit, and each mean is shrunk accordingly.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

_KNOTS = (0.05, 0.275, 0.5, 0.725, 0.95)
_LEAST_CHANCE = 1e-3  # of the mean variance between seeds
_PENALTIES = 10.0 ** np.arange(-4, 7, 0.25)


def spline_features(x: np.ndarray) -> np.ndarray:
    """Natural cubic splines of each column of x (n, d), and products of columns; (n, p), standardised.

    Straight beyond the outer knots, so that tails are not overfitted. Where the rows allow, products are of whole
    splines, else of columns. Columns of x that do not vary have no features.
    """
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0))[:, spread > 1e-12 * np.maximum(np.abs(x).max(axis=0), 1e-300)]
    z = x / x.std(axis=0)
    splines = [np.column_stack([column, _bends(column)]) for column in z.T]
    pairs = list(combinations(range(len(splines)), 2))
    number = sum(splines[a].shape[1] * splines[b].shape[1] for a, b in pairs)
    parts = splines if number <= len(x) / 5 else [column[:, np.newaxis] for column in z.T]
    products = [np.einsum("ni,nj->nij", parts[a], parts[b]).reshape(len(x), -1) for a, b in pairs]
    features = np.hstack([np.empty((len(x), 0)), *splines, *products])
    features -= features.mean(axis=0)
    sd = features.std(axis=0)
    return features[:, sd > 1e-9] / sd[sd > 1e-9]


def _bends(x: np.ndarray) -> np.ndarray:
    """The curved part of a natural cubic spline basis (Hastie, Tibshirani and Friedman 2009, eq. 5.4)."""
    knots = np.unique(np.quantile(x, _KNOTS))
    if len(knots) < 3:
        return np.empty((len(x), 0))
    cubes = np.maximum(x[:, np.newaxis] - knots, 0.0) ** 3
    slopes = (cubes[:, :-1] - cubes[:, -1:]) / (knots[-1] - knots[:-1])
    return slopes[:, :-1] - slopes[:, -1:]


@dataclass(frozen=True, eq=False)
class Smooth:
    """Bayesian ridge regression of y (n, k) on features: fitted values, and draws of what they might be.

    Attributes
    ----------
    fitted : numpy.ndarray
        (n, k).
    covariance : numpy.ndarray
        Of the residuals of a row of weight 1, (k, k).
    directions : numpy.ndarray
        Columns whose independent standard normal multiples are the uncertainty of the fit, in units of the residuals;
        (n, q).
    """

    fitted: np.ndarray
    covariance: np.ndarray
    directions: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> Smooth:
        """Fit by the penalty of highest marginal likelihood, one for all columns of y.

        Rows have residual variances in inverse proportion to their weights, all 1 where none are given.
        """
        n = len(y)
        weight = np.ones(n) if weight is None else weight / weight.mean()
        heavy = np.sqrt(weight)[:, np.newaxis]
        mean = np.average(y, axis=0, weights=weight)
        features = features - np.average(features, axis=0, weights=weight)
        u, s, axes = np.linalg.svd(heavy * features, full_matrices=False)
        kept = s > 1e-9 * max(s.max(initial=0.0), 1e-300)
        u, s, axes = u[:, kept], s[kept], axes[kept]
        scaled = heavy * (y - mean)
        projected = u.T @ scaled
        total = (scaled**2).sum(axis=0)
        rest = np.maximum(total - (projected**2).sum(axis=0), 0.0)
        varying = total > 0
        best, shrink = -np.inf, np.zeros(len(s))
        for penalty in n * _PENALTIES:
            left = penalty / (s**2 + penalty)
            scale = np.maximum(rest + left @ projected**2, 1e-12 * total)[varying]
            value = -0.5 * ((n - 1) * np.log(scale) - np.log(left).sum()).sum()
            if value > best:
                best, shrink = value, 1 - left
        slopes = features @ (axes.T / s)
        fitted = mean + slopes @ (shrink[:, np.newaxis] * projected)
        residuals = heavy * (y - fitted)
        covariance = residuals.T @ residuals / max(n - 1 - shrink.sum(), 1.0)
        directions = np.hstack([np.full((n, 1), 1 / np.sqrt(n)), slopes * np.sqrt(shrink)])
        return cls(fitted, covariance, directions)

    def draws(self, m: int, rng: np.random.Generator) -> np.ndarray:
        """Functions that the data allow, at the n points; (m, n, k)."""
        root = _root(self.covariance)
        normals = rng.standard_normal((m, self.directions.shape[1], len(root)))
        return self.fitted + self.directions @ normals @ root.T


def conditional_means(
    features: np.ndarray,
    y: np.ndarray,
    count: np.ndarray,
    squares: np.ndarray,
    m: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draws of each row's expected value given its parameters; (m, n, k).

    Chance may be larger at some parameters than at others: its covariance is a pooled one times a smooth function of
    the parameters, and lack of fit is taken to vary alike.

    Parameters
    ----------
    features : numpy.ndarray
        Of the parameters of each draw, (n, p).
    y : numpy.ndarray
        Means over the seeds of each draw, (n, k).
    count : numpy.ndarray
        Number of seeds behind each, (n,), at least 2.
    squares : numpy.ndarray
        Sums over the seeds of the products of deviations from those means, (n, k, k).
    """
    scale = _scale_of_chance(features, count, squares)
    within = (squares / scale[:, np.newaxis, np.newaxis]).sum(axis=0) / (count - 1).sum()
    smooth = Smooth.fit(features, y, 1 / scale)
    lack = _positive(smooth.covariance - within * np.mean(1.0 / count))
    out = smooth.draws(m, rng)
    for number in np.unique(count):
        rows = np.flatnonzero(count == number)
        sd = np.sqrt(scale[rows])[:, np.newaxis]
        gain = lack @ np.linalg.pinv(lack + within / number, hermitian=True)
        root = _root(_positive(lack - gain @ lack))
        out[:, rows] += (y[rows] - out[:, rows]) @ gain.T
        out[:, rows] += sd * (rng.standard_normal((m, len(rows), len(root))) @ root.T)
    return out


def _scale_of_chance(features: np.ndarray, count: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """How large the variance between seeds is at each draw, (n,), up to a factor: its reciprocals have mean 1."""
    pooled = squares.sum(axis=0) / (count - 1).sum()
    relative = np.einsum("nij,ij->n", squares, np.linalg.pinv(pooled, hermitian=True)) / (count - 1)
    if not relative.any():
        return np.ones(len(count))
    logs = np.log(np.maximum(relative / relative.mean(), _LEAST_CHANCE))
    scale = np.exp(Smooth.fit(features, logs[:, np.newaxis]).fitted[:, 0])
    return scale * np.mean(1 / scale)


def _positive(matrix: np.ndarray) -> np.ndarray:
    """The nearest symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def _root(matrix: np.ndarray) -> np.ndarray:
    """A square root R with R R' = matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return vectors * np.sqrt(np.maximum(values, 0.0))
