"""Kriging on arrays: covariances, prediction, joint draws, leave-one-out. It knows nothing of R.

The equations are those of hetGP (Binois, Gramacy and Ludkovski 2018): constant trend estimated by generalised
least squares, product covariances, replicates folded into one row a location with the noise divided by their
number. Covariance matrices are made in blocks of rows, the blocks on all cores; everything else is done with one
BLAS thread, so that the numbers are the same whatever the number of cores.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from scipy.linalg import blas, lapack

from hetcal.threads import one_blas_thread, single_blas_thread

COVARIANCES = ("Gaussian", "Matern3_2", "Matern5_2")

# A block of the covariance matrix that stays in a core's second-level cache while exp and the product run.
_BLOCK_ELEMENTS = 131_072


@njit(nogil=True, cache=True, fastmath={"nsz", "arcp", "contract", "reassoc"})
def _matern5_2(x, y, polynomial, exponent):  # pragma: no cover - compiled
    for j in range(y.shape[0]):
        a = math.fabs(x - y[j])
        exponent[j] -= a
        polynomial[j] *= 1.0 + a * (1.0 + a * (1.0 / 3.0))


@njit(nogil=True, cache=True, fastmath={"nsz", "arcp", "contract", "reassoc"})
def _matern3_2(x, y, polynomial, exponent):  # pragma: no cover - compiled
    for j in range(y.shape[0]):
        a = math.fabs(x - y[j])
        exponent[j] -= a
        polynomial[j] *= 1.0 + a


@njit(nogil=True, cache=True, fastmath={"nsz", "arcp", "contract", "reassoc"})
def _gaussian(x, y, polynomial, exponent):  # pragma: no cover - compiled
    for j in range(y.shape[0]):
        a = x - y[j]
        exponent[j] -= a * a


@njit(nogil=True, cache=True)
def _product(kind, x1, x2t, polynomial, exponent):  # pragma: no cover - compiled
    for i in range(x1.shape[0]):
        exponent[i, :] = 0.0
        polynomial[i, :] = 1.0
        for k in range(x1.shape[1]):
            if kind == 0:
                _gaussian(x1[i, k], x2t[k], polynomial[i], exponent[i])
            elif kind == 1:
                _matern3_2(x1[i, k], x2t[k], polynomial[i], exponent[i])
            else:
                _matern5_2(x1[i, k], x2t[k], polynomial[i], exponent[i])


def correlation(x1: np.ndarray, x2: np.ndarray, theta: np.ndarray, covariance: str) -> np.ndarray:
    """Product correlation between two sets of points, in hetGP's parametrisation.

    Parameters
    ----------
    x1, x2 : numpy.ndarray
        Points, shapes (n1, d) and (n2, d).
    theta : numpy.ndarray
        Lengthscales, shape (d,); for the Gaussian their squares, as in hetGP.
    covariance : {"Gaussian", "Matern3_2", "Matern5_2"}

    Returns
    -------
    numpy.ndarray
        Shape (n1, n2).

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.emulators.gaussian_process import correlation
    >>> correlation(np.zeros((1, 1)), np.ones((1, 1)), np.ones(1), "Gaussian").round(4)
    array([[0.3679]])
    """
    per_unit = _per_unit(theta, covariance)
    columns = np.ascontiguousarray((x2 * per_unit).T)
    out = np.empty((len(x1), columns.shape[1]))
    in_blocks(
        lambda rows: _correlate(x1[rows] * per_unit, columns, covariance, out[rows]),
        len(x1),
        block_rows(columns.shape[1]),
    )
    return out


def _per_unit(theta: np.ndarray, covariance: str) -> np.ndarray:
    """Factor that turns a difference of coordinates into the covariance's own argument."""
    if covariance == "Gaussian":
        return 1.0 / np.sqrt(theta)
    return math.sqrt(5.0 if covariance == "Matern5_2" else 3.0) / np.asarray(theta)


def _correlate(rows: np.ndarray, columns: np.ndarray, covariance: str, out: np.ndarray) -> None:
    """Fill ``out`` (m, n) with the correlation of scaled rows (m, d) and scaled, transposed columns (d, n)."""
    exponent = np.empty_like(out)
    _product(COVARIANCES.index(covariance), np.ascontiguousarray(rows), columns, out, exponent)
    np.exp(exponent, out=exponent)
    np.multiply(out, exponent, out=out)


def block_rows(n: int) -> int:
    """Rows of a block whose covariances with n locations stay in cache."""
    return max(1, _BLOCK_ELEMENTS // max(1, n))


def in_blocks(work: Callable[[slice], None], n: int, size: int) -> None:
    """Call ``work`` on slices of range(n), on all cores; work must release the GIL to gain from it."""
    blocks = [slice(i, min(i + size, n)) for i in range(0, n, size)]
    cores = min(len(blocks), len(os.sched_getaffinity(0)))
    # One BLAS thread a block also keeps the numbers the same on any number of cores.
    with single_blas_thread():
        if cores < 2:
            for block in blocks:
                work(block)
        else:
            with ThreadPoolExecutor(cores) as pool:
                list(pool.map(work, blocks))


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """A conditioned Gaussian process with a constant trend.

    Attributes
    ----------
    X : numpy.ndarray
        Unique locations, shape (n, d).
    Z : numpy.ndarray
        Mean of the replicates at each location, shape (n,).
    nugget : numpy.ndarray
        Noise over number of replicates plus jitter, in units of `scale`, shape (n,).
    theta : numpy.ndarray
        Lengthscales, shape (d,).
    covariance : str
        One of `COVARIANCES`.
    trend : float
        The constant mean.
    scale : float
        Process variance.
    """

    X: np.ndarray
    Z: np.ndarray
    nugget: np.ndarray
    theta: np.ndarray
    covariance: str
    trend: float
    scale: float

    def __getstate__(self) -> dict[str, Any]:
        # A factor is made again in a moment and would be most of what crosses between processes.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    @one_blas_thread
    def factor(self) -> np.ndarray:
        """Lower Cholesky factor of the correlation of the observations, shape (n, n), Fortran order."""
        K = correlation(self.X, self.X, self.theta, self.covariance)
        K[np.diag_indices_from(K)] += self.nugget
        L, info = lapack.dpotrf(K.T, lower=1, clean=1)
        if info != 0:
            raise ValueError(
                f"the covariance of {len(self.X)} locations is not positive definite (order {info}): locations "
                "that nearly coincide and no noise; give them as replicates or raise the lengthscale bounds"
            )
        return L

    @cached_property
    @one_blas_thread
    def inverse_factor(self) -> np.ndarray:
        """Inverse of `factor`, so that many variances are one triangular product."""
        return lapack.dtrtri(self.factor, lower=1)[0]

    @one_blas_thread
    def solve(self, b: np.ndarray) -> np.ndarray:
        """K^-1 b for b of shape (n,) or (n, m)."""
        return lapack.dpotrs(self.factor, b, lower=1)[0]

    @cached_property
    def weights(self) -> np.ndarray:
        """K^-1 (Z - trend), shape (n,)."""
        return self.solve(self.Z - self.trend)

    @cached_property
    def _ones(self) -> np.ndarray:
        return self.solve(np.ones(len(self.Z)))

    @cached_property
    def _columns(self) -> tuple[np.ndarray, np.ndarray]:
        per_unit = _per_unit(self.theta, self.covariance)
        return per_unit, np.ascontiguousarray((self.X * per_unit).T)

    def correlate(self, X: np.ndarray) -> np.ndarray:
        """Correlation of a block of points (m, d) with the locations, (m, n), on the calling thread."""
        per_unit, columns = self._columns
        out = np.empty((len(X), columns.shape[1]))
        _correlate(X * per_unit, columns, self.covariance, out)
        return out

    def predict(self, X: np.ndarray, variance: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the mean at points (m, d), each (m,); the variance is NaN where not asked."""
        mean, var = np.empty(len(X)), np.full(len(X), np.nan)
        self.prepare(variance)

        def block(rows: slice) -> None:
            k = self.correlate(X[rows])
            mean[rows] = self.trend + k @ self.weights
            if variance:
                var[rows] = self.variance_from(k)

        in_blocks(block, len(X), block_rows(len(self.X)))
        return mean, var

    def prepare(self, variance: bool = True) -> None:
        """Make what predictions share, once, before blocks of them run side by side."""
        _ = self.weights, self._columns
        if variance:
            _ = self.inverse_factor, self._ones

    def project(self, k: np.ndarray) -> np.ndarray:
        """L^-1 k for correlations k (m, n) with the locations; (n, m)."""
        return blas.dtrmm(1.0, self.inverse_factor, k.T, lower=1)

    def variance_from(self, k: np.ndarray) -> np.ndarray:
        """Variance of the mean from correlations k (m, n) with the locations; (m,)."""
        w = self.project(k)
        trend = 1.0 - k @ self._ones
        explained = np.einsum("ij,ij->j", w, w)
        return self.scale * np.maximum(0.0, 1.0 - explained + trend * trend / self._ones.sum())

    @one_blas_thread
    def whiten(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For points (m, d), L^-1 k (n, m) and 1 - 1^T K^-1 k (m,): what posterior covariances are made of."""
        k = correlation(X, self.X, self.theta, self.covariance)
        return self.project(k), 1.0 - k @ self._ones

    @one_blas_thread
    def covariance_between(self, X1: np.ndarray, X2: np.ndarray) -> np.ndarray:
        """Posterior covariance of the mean between two sets of points (m1, d) and (m2, d); (m1, m2)."""
        w1, t1 = self.whiten(X1)
        w2, t2 = (w1, t1) if X2 is X1 else self.whiten(X2)
        out = correlation(X1, X2, self.theta, self.covariance)

        def block(rows: slice) -> None:
            out[rows] -= w1.T[rows] @ w2
            out[rows] += np.outer(t1[rows] / self._ones.sum(), t2)
            out[rows] *= self.scale

        in_blocks(block, len(X1), 256)
        return out

    @one_blas_thread
    def covariance_to(self, X: np.ndarray, white: tuple[np.ndarray, np.ndarray], j: int) -> np.ndarray:
        """Posterior covariance (m,) of points X with the j-th of them, from their `whiten`."""
        w, t = white
        per_unit, _ = self._columns
        prior = np.empty((1, len(X)))
        columns = np.ascontiguousarray((X * per_unit).T)
        _correlate(X[j : j + 1] * per_unit, columns, self.covariance, prior)
        return self.scale * (prior[0] - w.T @ w[:, j] + t * (t[j] / self._ones.sum()))

    @one_blas_thread
    def sample(self, X: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Joint draws of the mean at points (m, d) from standard normals (n, m); (n, m)."""
        mean, _ = self.predict(X, variance=False)
        root = square_root(self.covariance_between(X, X))
        out = np.empty(normals.shape)

        def block(rows: slice) -> None:
            np.add(mean, normals[rows] @ root.T, out=out[rows])

        in_blocks(block, len(normals), 128)
        return out

    @one_blas_thread
    def leave_one_out(self, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the mean at each location from all others, trend estimated anew; each (n,).

        ``noise`` (n,) is the part of the nugget that is noise of the observed mean and not of the process.
        """
        total = self._ones.sum()
        diagonal = np.einsum("ij,ij->j", self.inverse_factor, self.inverse_factor) - self._ones**2 / total
        residual = self.weights - self._ones * (self._ones @ (self.Z - self.trend)) / total
        return self.Z - residual / diagonal, self.scale * (1.0 / diagonal - noise)


@one_blas_thread
def square_root(covariance: np.ndarray) -> np.ndarray:
    """A matrix R with R R^T = covariance, to rounding, for a matrix that may be singular."""
    jitter = 1e-12 * float(np.mean(np.diag(covariance)))
    steadied = np.array(covariance, order="F")
    steadied[np.diag_indices_from(steadied)] += jitter
    root, info = lapack.dpotrf(steadied, lower=1, clean=1, overwrite_a=1)
    if info == 0:
        return root
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))
