"""Functions drawn from all that an emulator leaves open: its hyperparameters and, given them, the response."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from hetcal.emulators.discrepancy import DiscrepancyGP
from hetcal.emulators.function_draws import FEATURES, Waves
from hetcal.emulators.gaussian_process import GaussianProcess, in_blocks, square_root
from hetcal.emulators.hetgp import HetGP
from hetcal.emulators.hetgp_state import HetGPState
from hetcal.emulators.hyperparameters import draw_hyperparameters
from hetcal.emulators.stacked import StackedGP
from hetcal.emulators.total import WeightedTotal
from hetcal.streams import generator
from hetcal.threads import one_blas_thread

# The covariance over many draws is exact for any number of waves, since each set of hyperparameters has its own.
_WAVES, _PER_SET = 256, 4
# Locations beyond which hyperparameters stay as fitted: they are well known there, and to draw them takes hours.
_MOST = 600
# cos(2 pi r) for |r| <= 1/2 as a polynomial in r^2; the first left out is below 2e-12.
_COSINE = np.array([(-1) ** k * (2 * math.pi) ** (2 * k) / math.factorial(2 * k) for k in range(13)])


@njit(nogil=True, cache=True, fastmath=True)
def _add_waves(X, frequencies, phases, weights, cosine, out):  # pragma: no cover - compiled
    """Add to out (m, k) the sum over waves of weights (k, waves) x cos(2 pi (frequency . x + phase))."""
    turn = np.empty(phases.shape[0])
    for i in range(X.shape[0]):
        turn[:] = phases
        for j in range(X.shape[1]):
            for f in range(turn.shape[0]):
                turn[f] += X[i, j] * frequencies[j, f]
        for f in range(turn.shape[0]):
            r = turn[f] - math.floor(turn[f] + 0.5)
            r *= r
            value = cosine[12]
            for k in range(11, -1, -1):
                value = value * r + cosine[k]
            turn[f] = value
        for k in range(weights.shape[0]):
            total = 0.0
            for f in range(turn.shape[0]):
                total += weights[k, f] * turn[f]
            out[i, k] += total


class _Functions:
    """Some functions from one conditioned process: waves of its spectral density, moved onto the data by kriging."""

    @one_blas_thread
    def __init__(
        self, process: GaussianProcess, rng: np.random.Generator, weights: np.ndarray, noise: np.ndarray
    ) -> None:
        self.process = process
        d = process.X.shape[1]
        normals = rng.standard_normal((d, _WAVES))
        self.phases = rng.random(_WAVES)
        if process.covariance == "Gaussian":
            scale = np.sqrt(2.0 / process.theta)[:, None]
        else:  # a Matern of smoothness nu has the spectral density of a t distribution with 2 nu degrees
            degrees = 5 if process.covariance == "Matern5_2" else 3
            scale = np.sqrt(degrees / rng.chisquare(degrees, (d, _WAVES))) / process.theta[:, None]
        self.frequencies = normals * scale / (2 * math.pi)
        self.weights = weights * math.sqrt(2 * process.scale / _WAVES)
        residual = process.Z[:, None] - self._prior(process.X)
        residual -= noise * np.sqrt(process.scale * process.nugget)[:, None]
        # The trend is estimated anew for each function, which gives the kriging variance with unknown mean.
        ones = process.solve(np.ones(len(process.Z)))
        self.trend = ones @ residual / ones.sum()
        self.update = process.solve(residual - self.trend)

    def _prior(self, X: np.ndarray) -> np.ndarray:
        out = np.zeros((len(X), len(self.weights)))
        _add_waves(X, self.frequencies, self.phases, self.weights, _COSINE, out)
        return out

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Values at a block of points (m, d); (m, functions)."""
        return self._prior(X) + self.process.correlate(X) @ self.update + self.trend


def _first_noise(state: HetGPState) -> float:
    return float(state.nu_hat * state.noise_ratio[0])


def _is_stack(part: Any) -> bool:
    return isinstance(part, StackedGP)


class PosteriorFunctions:
    """Consistent functions drawn from an emulator, or from a total of several, hyperparameters and all.

    Of a stack they are functions of level 1 at what the learners predict, and of the stack's excess.

    Parameters
    ----------
    emulator : HetGP, StackedGP or WeightedTotal
    n : int
        Number of functions.
    seed : int
    """

    def __init__(self, emulator: HetGP | StackedGP | WeightedTotal, n: int, seed: int) -> None:
        self.n = n
        self.total = (
            emulator if isinstance(emulator, WeightedTotal) else WeightedTotal({"y": emulator}, {"y": 1.0})
        )
        self.single = not isinstance(emulator, WeightedTotal)
        self.parts = list(self.total.emulators.values())
        if any(part.state is None for part in self.parts):
            raise ValueError("this emulator is not fitted yet: call fit(X, y) first")
        sets = -(-n // _PER_SET)
        # One stream for all: targets of the same runs err alike, in their hyperparameters too.
        states = [
            draw_hyperparameters(part.state, part.covariance, sets, generator(seed, "sensitivity", 2))
            if len(part.state.Z0) <= _MOST
            else [part.state] * sets
            for part in self.parts
        ]
        # Noise of each set over the fit's own, (targets, n); that of a stack's runs is not its level 1's.
        self.noise_level = np.array(
            [
                [1.0 if _is_stack(part) else _first_noise(s) / _first_noise(part.state) for s in drawn]
                for part, drawn in zip(self.parts, states, strict=True)
            ]
        ).repeat(_PER_SET, axis=1)[:, :n]
        trained = [part.fitted.rows if _is_stack(part) else part.state.X0 for part in self.parts]
        places, rows = np.unique(np.vstack(trained), axis=0, return_inverse=True)
        rows = np.split(rows.reshape(-1), np.cumsum([len(X) for X in trained])[:-1])
        root = square_root(np.asarray(self.total.correlation, dtype=float))
        self.functions: list[list[_Functions]] = []
        for s in range(sets):
            # Errors of targets correlate because they stem from the same runs: same waves, mixed normals.
            rng = generator(seed, "sensitivity", 3, s)
            count = min(_PER_SET, n - s * _PER_SET)
            weights = np.tensordot(root, rng.standard_normal((len(self.parts), count, _WAVES)), 1)
            noise = np.tensordot(root, rng.standard_normal((len(self.parts), len(places), count)), 1)
            self.functions.append(
                [
                    _Functions(
                        states[t][s].process(part.covariance),
                        generator(seed, "sensitivity", 4, s),
                        weights[t],
                        noise[t][rows[t]],
                    )
                    for t, part in enumerate(self.parts)
                ]
            )

        self.excess = self._draw_excess(root, seed) if any(_is_stack(part) for part in self.parts) else []

    def _draw_excess(self, root: np.ndarray, seed: int) -> list[Waves | None]:
        """What is beyond level 1, of each part that is a stack; the same waves for all and mixed normals."""
        rng = generator(seed, "sensitivity", 5)
        normals = np.tensordot(root, rng.standard_normal((len(self.parts), 2 * FEATURES, self.n)), 1)
        return [
            (
                Waves(part.process.theta, "Matern5_2", 1.0, self.n, generator(seed, "sensitivity", 6), own)
                if _is_stack(part)
                else None
            )
            for part, own in zip(self.parts, normals, strict=True)
        ]

    def __call__(self, X: np.ndarray, scale: str = "natural") -> tuple[np.ndarray, np.ndarray]:
        """Mean response and noise variance of each function at points (m, d) of the unit cube; each (m, n)."""
        flat = self.latent(X)
        if self.single and scale == "latent":
            mean, noise = flat[0, 0], flat[0, 2]
        else:
            total = self.total.on_scale(flat, scale)
            mean, noise = total.mean, total.noise_var
        return mean.reshape(len(X), self.n), noise.reshape(len(X), self.n)

    def latent(self, X: np.ndarray) -> np.ndarray:
        """Latent mean, mean_var (0, for a function is known) and noise_var of each target: (targets, 3, m x n)."""
        latent = np.zeros((len(self.parts), 3, len(X), self.n))
        for t, part in enumerate(self.parts):
            places = part.process.place(X) if _is_stack(part) else None
            inputs = X if places is None else places.inputs
            noise = part.state.noise_var(part.noise_process, X) if places is None else places.noise_var
            latent[t, 2] = noise[:, None] * self.noise_level[t]
            for s, drawn in enumerate(self.functions):
                columns = slice(s * _PER_SET, min((s + 1) * _PER_SET, self.n))
                self._fill(latent[t, 0, :, columns], drawn[t], inputs)
            if places is not None:
                latent[t, 0] = part.process.beyond_level1(latent[t, 0], places, self.excess[t])
            if isinstance(part, DiscrepancyGP):
                latent[t, 0] += part.trend(X)[:, None]
        return latent.reshape(len(self.parts), 3, -1)

    def _fill(self, out: np.ndarray, functions: _Functions, X: np.ndarray) -> None:
        functions.process.prepare(variance=False)

        def block(rows: slice) -> None:
            out[rows] = functions(X[rows])

        in_blocks(block, len(X), 256)
