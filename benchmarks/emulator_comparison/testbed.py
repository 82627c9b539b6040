"""A test function with the face of a calibration: noisy losses of many parameters, of which everything is known.

It is a model of nothing. Each loss is a residual sum of squares between a series of data and a noisy series, so it is
positive, spans orders of magnitude, and has a law that varies over the space: its relative noise is largest where it is
lowest. A loss knows three of the parameters: a curved valley of the first two, an interaction of the last two. Losses
disagree on where the best place is, some parameters act on none, and how noisy a run is all its losses share.

The mean of each loss is a polynomial, so that minima, Sobol' indices and noise follow without sampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

import hetcal as hc

DATA = 12  # of each loss
_NOISE_SD = 0.5  # of a datum, at the middle of the space
_SHARED = 0.3  # standard deviation of the logarithm of what all noise of a run is multiplied by
_NODES = 5  # Gauss points of a parameter: exact for its degree 4 times Legendre's 4
_STARTS = 30

Expansion = dict[tuple[tuple[int, int], ...], float]


@dataclass(frozen=True)
class Shape:
    """One loss: its three parameters, where it is lowest without noise, and how steep and bent it is there.

    Attributes
    ----------
    knows : tuple of int
        Parameters a (across the valley), b (along it) and c.
    lowest : tuple of float
        Their values without misfit.
    slopes : tuple of float
        Of the three parts of the misfit.
    bend, mix, tilt : float
        Of the valley, of the interaction of b and c, and of the noise's variance along a (between -1 and 1).
    scale, weight : float
        Of the loss, and in the total.
    """

    knows: tuple[int, int, int]
    lowest: tuple[float, float, float]
    slopes: tuple[float, float, float]
    bend: float
    mix: float
    tilt: float
    scale: float
    weight: float

    def misfit(self, u: np.ndarray) -> np.ndarray:
        """The three parts at points (n, d) of the unit cube; (n, 3)."""
        a, b, c = (u[:, j] - at for j, at in zip(self.knows, self.lowest, strict=True))
        parts = (a - self.bend * b**2, b * (1 + self.mix * c), c)
        return np.stack([slope * part for slope, part in zip(self.slopes, parts, strict=True)], axis=1)

    def noise(self, u: np.ndarray) -> np.ndarray:
        """Variance of a datum, in squared units of the misfit; (n,)."""
        return _NOISE_SD**2 * (1 + self.tilt * (2 * u[:, self.knows[0]] - 1))

    def mean(self, u: np.ndarray) -> np.ndarray:
        """Expected loss, (n,)."""
        return self.scale * ((self.misfit(u) ** 2).sum(axis=1) + DATA * self.noise(u))

    @cached_property
    def expansion(self) -> Expansion:
        """Coefficients of the mean in orthonormal Legendre polynomials, by the parameters' degrees above 0."""
        x, w = np.polynomial.legendre.leggauss(_NODES)
        basis = np.polynomial.legendre.legvander(x, _NODES - 1) * np.sqrt(2 * np.arange(_NODES) + 1)
        u = np.full((_NODES**3, max(self.knows) + 1), 0.5)
        u[:, self.knows] = np.stack(np.meshgrid(*[(x + 1) / 2] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        project = (w / 2)[:, None] * basis
        values = self.mean(u).reshape((_NODES,) * 3)
        coefficients = np.einsum("xyz,xi,yj,zk->ijk", values, project, project, project)
        return {
            tuple(sorted((j, n) for j, n in zip(self.knows, degrees) if n)): float(c)
            for degrees, c in np.ndenumerate(coefficients)
        }


def _total_index(expansion: Expansion, parameters: int) -> np.ndarray:
    """Total Sobol' index of each parameter."""
    parts = {key: c**2 for key, c in expansion.items() if key}
    index = np.zeros(parameters)
    for key, part in parts.items():
        index[[j for j, _ in key]] += part
    return index / sum(parts.values())


class KnownLosses:
    """The test function as a simulator.

    Parameters
    ----------
    parameters : int
        3 to 25.
    losses : int
    truth : int
        Seed of the function: which parameters act on what, where, and how.
    """

    name = "known_losses_test_function"
    version = "1"

    def __init__(self, parameters: int, losses: int, truth: int) -> None:
        if not 3 <= parameters <= 25 or losses < 1:
            raise ValueError(
                f"give 3 to 25 parameters and a loss at least, not {parameters} parameters and {losses} losses"
            )
        rng = np.random.default_rng(np.random.SeedSequence(truth, spawn_key=(parameters, losses)))
        # In the place of a walk through its code: all follows from these.
        self.fingerprint = f"{parameters} parameters, {losses} losses, truth {truth}"
        self.parameters = tuple(f"p{j + 1}" for j in range(parameters))
        self.outputs = {f"series_{w + 1}": (DATA,) for w in range(losses)}
        acting = rng.permutation(parameters)[: max(3, round(0.7 * parameters))]
        best = rng.uniform(0.25, 0.75, parameters)
        self.shapes = tuple(_draw_shape(rng, knows, best) for knows in _triples(rng, acting, losses))
        # What is observed, and three orthonormal series along which a misfit shows.
        self.observed = rng.normal(0.0, 3.0, (losses, DATA))
        self.along = np.stack([np.linalg.qr(rng.standard_normal((DATA, 3)))[0] for _ in range(losses)])

    def __call__(self, theta: dict[str, float], seed: int) -> dict[str, np.ndarray]:
        """One run."""
        at = np.array([[theta[name] for name in self.parameters]])
        return {name: series[0] for name, series in self.batch(at, np.array([seed])).items()}

    def batch(self, theta: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
        """Runs at the rows of theta (n, d), each with its seed."""
        drawn = np.stack(
            [np.random.default_rng(s).standard_normal(1 + len(self.shapes) * DATA) for s in seeds]
        )
        shared = np.exp(0.5 * (_SHARED * drawn[:, :1] - 0.5 * _SHARED**2))
        own = drawn[:, 1:].reshape(len(theta), len(self.shapes), DATA)
        out = {}
        for w, (name, shape) in enumerate(zip(self.outputs, self.shapes, strict=True)):
            misfit = shape.misfit(theta)
            series = shared * np.sqrt(shape.noise(theta))[:, None] * own[:, w]
            for part in range(3):
                series = series + misfit[:, [part]] * self.along[w, :, part]
            out[name] = np.sqrt(shape.scale) * (series + self.observed[w])
        return out

    def problem(self) -> hc.Problem:
        """Calibration of all parameters, uniform on the unit cube, to all losses."""
        space = hc.Space([hc.Parameter(name, hc.uniform(0.0, 1.0)) for name in self.parameters])
        targets = [
            hc.Target(
                name,
                np.sqrt(s.scale) * seen,
                loss="rss",
                weight=s.weight,
                name=name.replace("series", "loss"),
            )
            for name, s, seen in zip(self.outputs, self.shapes, self.observed, strict=True)
        ]
        return hc.Problem(space, self, targets)

    # What is known

    @property
    def weights(self) -> np.ndarray:
        """Of the losses in the total, (k,)."""
        return np.array([shape.weight for shape in self.shapes])

    def means(self, u: np.ndarray) -> np.ndarray:
        """Expected losses at points (n, d), (n, k)."""
        return np.stack([shape.mean(u) for shape in self.shapes], axis=1)

    def total(self, u: np.ndarray) -> np.ndarray:
        """Expected weighted total, (n,)."""
        return self.means(u) @ self.weights

    def noise_covariance(self, u: np.ndarray) -> np.ndarray:
        """Covariance of the losses of one run at points (n, d), (n, k, k)."""
        # Of what multiplies the variances, the mean is 1.
        square = np.exp(_SHARED**2)
        noise = np.stack([s.scale * s.noise(u) for s in self.shapes], axis=1)
        misfit = np.stack([s.scale * (s.misfit(u) ** 2).sum(axis=1) for s in self.shapes], axis=1)
        covariance = (square - 1) * DATA**2 * noise[:, :, None] * noise[:, None, :]
        k = np.arange(len(self.shapes))
        covariance[:, k, k] += 4 * misfit * noise + 2 * square * DATA * noise**2
        return covariance

    def total_noise(self, u: np.ndarray) -> np.ndarray:
        """Variance of the weighted total of one run, (n,)."""
        return np.einsum("i,nij,j->n", self.weights, self.noise_covariance(u), self.weights)

    @cached_property
    def minimum(self) -> tuple[np.ndarray, float]:
        """Where the expected total is lowest, and how low; the best of many descents."""
        from scipy.optimize import minimize

        d = len(self.parameters)

        def value_and_slope(x: np.ndarray) -> tuple[float, np.ndarray]:
            # A polynomial may be asked a hair off the real axis: its slope without differences.
            return self.total(x[None])[0], self.total(x + 1e-30j * np.eye(d)).imag / 1e-30

        starts = np.vstack([np.full(d, 0.5), np.random.default_rng(0).random((_STARTS, d))])
        ends = [minimize(value_and_slope, x, jac=True, bounds=[(0, 1)] * d, tol=1e-12) for x in starts]
        best = min(ends, key=lambda end: end.fun)
        return best.x, float(best.fun)

    @cached_property
    def total_indices(self) -> np.ndarray:
        """Total Sobol' indices of the expected losses and of their weighted total, (k + 1, d)."""
        total: Expansion = {}
        for shape in self.shapes:
            for key, c in shape.expansion.items():
                total[key] = total.get(key, 0.0) + shape.weight * c
        each = [shape.expansion for shape in self.shapes]
        return np.array([_total_index(e, len(self.parameters)) for e in [*each, total]])


def _triples(rng: np.random.Generator, acting: np.ndarray, losses: int) -> list[np.ndarray]:
    """Three different parameters for each loss; all are known to some loss where there are losses enough."""
    waiting: list[int] = []
    triples = []
    for _ in range(losses):
        if len(waiting) < 3:
            waiting += [j for j in rng.permutation(acting).tolist() if j not in waiting]
        triples.append(np.array(waiting[:3]))
        waiting = waiting[3:]
    return triples


def _draw_shape(rng: np.random.Generator, knows: np.ndarray, best: np.ndarray) -> Shape:
    """A loss of these parameters, lowest near the common best."""
    lowest = np.clip(best[knows] + rng.normal(0.0, 0.05, 3), 0.1, 0.9)
    return Shape(
        knows=tuple(knows.tolist()),
        lowest=tuple(lowest.tolist()),
        slopes=(rng.uniform(10, 16), rng.uniform(4, 10), rng.uniform(2, 8)),
        bend=rng.choice([-1, 1]) * rng.uniform(0.6, 1.5),
        mix=rng.choice([-1, 1]) * rng.uniform(0.5, 1.5),
        tilt=rng.choice([-1, 1]) * rng.uniform(0.3, 0.8),
        scale=(scale := 10 ** rng.uniform(-1, 1)),
        weight=10 ** rng.uniform(-0.3, 0.3) / scale,
    )
