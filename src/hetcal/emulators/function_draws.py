"""Consistent draws of whole functions from a Gaussian process, to be evaluated anywhere.

Exact joint draws at m points cost m^3 and cannot be asked again at other points. A pathwise draw is a function: a
sample of the prior from its spectral density, moved onto the data by the exact kriging update.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from hetcal.designs import sobol_points
from hetcal.emulators.gaussian_process import GaussianProcess, in_blocks
from hetcal.threads import one_blas_thread

FEATURES = 2048


def _frequencies(theta: np.ndarray, covariance: str, rng: np.random.Generator) -> np.ndarray:
    """Frequencies (features, d) of a covariance's spectral density, spread evenly over it."""
    u = np.clip(sobol_points(len(theta), FEATURES, rng), 1e-12, 1 - 1e-12)
    if covariance == "Gaussian":
        return stats.norm.ppf(u) * np.sqrt(2.0 / theta)
    # The spectral density of a Matern of smoothness nu is a t distribution with 2 nu degrees of freedom.
    return stats.t.ppf(u, 5 if covariance == "Matern5_2" else 3) / theta


class Waves:
    """n functions drawn from a process of mean 0, before any data; call with points (m, d) for values (m, n).

    Parameters
    ----------
    theta : numpy.ndarray
        Lengthscales, (d,).
    covariance : str
    scale : float
        Variance.
    n : int
        Number of functions.
    rng : numpy.random.Generator
    normals : numpy.ndarray, optional
        Standard normals (2 x `FEATURES`, n) to draw them from, which several processes may correlate.
    """

    def __init__(
        self,
        theta: np.ndarray,
        covariance: str,
        scale: float,
        n: int,
        rng: np.random.Generator,
        normals: np.ndarray | None = None,
    ) -> None:
        self._omega = _frequencies(theta, covariance, rng)
        if normals is None:
            normals = rng.standard_normal((2 * FEATURES, n))
        self._weights = normals * np.sqrt(scale / FEATURES)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Values at points (m, d); (m, n)."""
        angle = X @ self._omega.T
        cosines, sines = np.split(self._weights, 2)
        return np.cos(angle) @ cosines + np.sin(angle, out=angle) @ sines


@dataclass(frozen=True, eq=False)
class FunctionDraws:
    """n functions drawn jointly from an emulator; call it with points of the unit cube.

    Attributes
    ----------
    process : GaussianProcess
    n : int
        Number of functions.
    rng : numpy.random.Generator
        Used once, when the functions are drawn.
    back : callable
        (latent draws (n, m), points (m, d)) to y's own scale.

    References
    ----------
    Wilson et al. (2020), Efficiently sampling functions from Gaussian process posteriors; Rahimi and Recht (2007);
    Chiles and Delfiner (1999) for conditioning by kriging.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> X = np.repeat(np.linspace(0, 1, 10), 5)[:, None]
    >>> y = np.random.default_rng(0).normal(np.sin(6 * X[:, 0]), 0.3)
    >>> functions = hc.HetGP(noise="homoskedastic").fit(X, y).draw(n=100, seed=1)
    >>> functions(np.random.default_rng(0).random((50, 1))).shape
    (100, 50)
    """

    process: GaussianProcess
    n: int
    rng: np.random.Generator = field(repr=False)
    back: Callable[[np.ndarray, np.ndarray], np.ndarray] = field(repr=False)
    _prior: Waves = field(init=False, repr=False)
    _trend: np.ndarray = field(init=False, repr=False)
    _update: np.ndarray = field(init=False, repr=False)

    @one_blas_thread
    def __post_init__(self) -> None:
        process = self.process
        prior = Waves(process.theta, process.covariance, process.scale, self.n, self.rng)
        object.__setattr__(self, "_prior", prior)
        noise = (
            self.rng.standard_normal((len(process.Z), self.n))
            * np.sqrt(process.scale * process.nugget)[:, None]
        )
        residual = -(self._prior(process.X) + noise)
        # The trend is estimated anew for each function, which gives the kriging variance with unknown mean.
        ones = process.solve(np.ones(len(process.Z)))
        trend = ones @ residual / ones.sum()
        object.__setattr__(self, "_trend", trend)
        object.__setattr__(self, "_update", process.solve(residual - trend))

    def __call__(self, X: np.ndarray, scale: str = "natural") -> np.ndarray:
        """Values at points (m, d) of the unit cube; (n, m), each row one function."""
        if scale not in ("natural", "latent"):
            raise ValueError(f'scale is "natural" or "latent", not {scale!r}')
        X = np.atleast_2d(np.asarray(X, dtype=float))
        out = np.empty((len(X), self.n))
        process = self.process
        process.prepare(variance=False)

        def block(rows: slice) -> None:
            k = process.correlate(X[rows])
            out[rows] = self._prior(X[rows])
            out[rows] += k @ self._update + self._trend
            out[rows] += (process.trend + k @ process.weights)[:, None]

        in_blocks(block, len(X), 256)
        return out.T if scale == "latent" else self.back(out.T, X)
