"""The latent mean of a stack over the parameters: level 1 at what the learners predict, and what they get wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hetcal.emulators.base import check_scale
from hetcal.emulators.function_draws import FunctionDraws, Waves
from hetcal.emulators.gaussian_process import GaussianProcess, correlation, in_blocks, square_root
from hetcal.threads import one_blas_thread


class Places(NamedTuple):
    """Points of the unit cube as the stack sees them.

    Attributes
    ----------
    X : numpy.ndarray
        The points, (m, d).
    inputs : numpy.ndarray
        Their inputs of level 1, (m, k).
    mean : numpy.ndarray
        Mean, (m,).
    level1_var : numpy.ndarray
        Level 1's own variance of it, (m,).
    excess : numpy.ndarray
        Variance beyond ``factor`` x `level1_var`, (m,).
    noise_var : numpy.ndarray
        Of one run, (m,).
    """

    X: np.ndarray
    inputs: np.ndarray
    mean: np.ndarray
    level1_var: np.ndarray
    excess: np.ndarray
    noise_var: np.ndarray


class Whitened(NamedTuple):
    """What posterior covariances of a stack are made of; see `StackedProcess.whiten`."""

    places: Places
    level1: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class StackedProcess:
    """A process over the unit cube: ``factor`` x level 1's covariance, and the excess as one more error.

    The excess is an error of mean 0 and standard deviation sqrt(excess(x)) with a Matern 5/2 correlation in the unit
    cube, of the lengthscale under which the held-out residuals are likeliest: it is the same function wherever a draw
    is asked, and a batch that looks at one place is surer of its neighbours.

    Attributes
    ----------
    level1 : GaussianProcess
    factor : float
        Of level 1's covariance.
    theta : numpy.ndarray
        Lengthscales of the excess, (d,).
    place : callable
        Points (m, d) to `Places`.
    """

    level1: GaussianProcess
    factor: float
    theta: np.ndarray
    place: Callable[[np.ndarray], Places]

    @property
    def scale(self) -> float:
        """Process variance."""
        return self.factor * self.level1.scale

    def predict(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the mean at points (m, d), each (m,)."""
        places = self.place(X)
        return places.mean, self.variance(places)

    def variance(self, places: Places) -> np.ndarray:
        """Variance of the mean, (m,)."""
        return self.factor * places.level1_var + places.excess

    def covariance_between(self, X1: np.ndarray, X2: np.ndarray) -> np.ndarray:
        """Posterior covariance of the mean between two sets of points (m1, d) and (m2, d); (m1, m2)."""
        one = self.place(X1)
        return self.between(one, one if X2 is X1 else self.place(X2))

    def between(self, one: Places, two: Places) -> np.ndarray:
        """`covariance_between` for points whose level-0 predictions are there."""
        own = self.level1.covariance_between(one.inputs, two.inputs)
        return self.factor * own + self._excess_between(one, two)

    def _excess_between(self, one: Places, two: Places) -> np.ndarray:
        together = correlation(one.X, two.X, self.theta, "Matern5_2")
        return together * np.outer(np.sqrt(one.excess), np.sqrt(two.excess))

    @one_blas_thread
    def sample(self, places: Places, normals: np.ndarray) -> np.ndarray:
        """Joint draws of the mean at places from standard normals (n, m); (n, m)."""
        return places.mean + normals @ square_root(self.between(places, places)).T

    def beyond_level1(self, drawn: np.ndarray, places: Places, excess: Waves) -> np.ndarray:
        """Draws of the whole, (m, n), from those of level 1 (m, n) and standard ones of the excess."""
        out = places.mean[:, None] + np.sqrt(self.factor) * (drawn - places.mean[:, None])
        root = np.sqrt(places.excess)[:, None]

        def block(rows: slice) -> None:
            out[rows] += root[rows] * excess(places.X[rows])

        in_blocks(block, len(out), 256)
        return out

    def whiten(self, X: np.ndarray) -> Whitened:
        """For points (m, d), what `covariance_to` needs of them."""
        places = self.place(X)
        return Whitened(places, self.level1.whiten(places.inputs))

    def covariance_to(self, X: np.ndarray, white: Whitened, j: int) -> np.ndarray:
        """Posterior covariance (m,) of points X with the j-th of them, from their `whiten`."""
        places = white.places
        one = Places(*(part[j : j + 1] for part in places))
        own = self.level1.covariance_to(places.inputs, white.level1, j)
        return self.factor * own + self._excess_between(places, one)[:, 0]


class StackedDraws:
    """n functions drawn jointly from a stack; call it with points of the unit cube.

    Each is a draw of level 1 at what the learners predict, its deviation from the mean scaled as the variance is, and
    a draw of the excess.

    Parameters
    ----------
    process : StackedProcess
    n : int
        Number of functions.
    rng : numpy.random.Generator
    back : callable
        (latent draws (n, m), places) to y's own scale.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(rng.random((30, 2)), 3, axis=0)
    >>> y = rng.normal(np.sin(6 * X[:, 0]) + X[:, 1], 0.2)
    >>> functions = hc.StackedGP(learners=("regr.mars", "regr.brnn"), folds=5).fit(X, y).draw(n=20, seed=1)
    >>> functions(rng.random((50, 2))).shape
    (20, 50)
    """

    def __init__(self, process: StackedProcess, n: int, rng: np.random.Generator, back: Any) -> None:
        self.process, self.n, self._back = process, n, back
        self._level1 = FunctionDraws(process.level1, n, rng, lambda draws, X: draws)
        self._waves = Waves(process.theta, "Matern5_2", 1.0, n, rng)

    def __call__(self, X: np.ndarray, scale: str = "natural") -> np.ndarray:
        """Values at points (m, d) of the unit cube; (n, m), each row one function."""
        check_scale(scale)
        places = self.process.place(np.atleast_2d(np.asarray(X, dtype=float)))
        out = self.process.beyond_level1(self._level1(places.inputs, "latent").T, places, self._waves)
        return out.T if scale == "latent" else self._back(out.T, places)
