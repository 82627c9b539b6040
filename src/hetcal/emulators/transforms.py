"""Transforms of what is emulated, with the moments on the way back.

A latent value z = g(y) is emulated as Gaussian with two variances: ``mean_var`` (uncertainty of the mean) and
``noise_var`` (the simulator's own). On y's scale they become

    mean      = E[y]
    mean_var  = Var_emulator(E_noise[y])
    noise_var = E_emulator(Var_noise[y])
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Transform(Protocol):
    """A one-to-one map to the scale that is emulated, and the way back for moments and draws."""

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Latent values of y; a value outside of the transform's range raises ``ValueError``."""

    def moments(
        self, mean: np.ndarray, mean_var: np.ndarray, noise_var: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, mean_var and noise_var on y's scale from those of the latent scale."""

    def covariance(self, mean: np.ndarray, cov: np.ndarray, noise_var: np.ndarray) -> np.ndarray:
        """Covariance (m, m) of E_noise[y] between points, from that of the latent mean."""

    def noise_mean(self, latent_mean: np.ndarray, noise_var: np.ndarray) -> np.ndarray:
        """E_noise[y] at a known latent mean: what a draw of the mean is on y's scale."""


@dataclass(frozen=True)
class Identity:
    """y is emulated as it is."""

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Return y."""
        return y

    def moments(
        self, mean: np.ndarray, mean_var: np.ndarray, noise_var: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the moments unchanged."""
        return mean, mean_var, noise_var

    def covariance(self, mean: np.ndarray, cov: np.ndarray, noise_var: np.ndarray) -> np.ndarray:
        """Return the covariance unchanged."""
        return cov

    def noise_mean(self, latent_mean: np.ndarray, noise_var: np.ndarray) -> np.ndarray:
        """Return the latent mean."""
        return latent_mean

    def __str__(self) -> str:
        return "none"


@dataclass(frozen=True)
class Log:
    """log(y - bound) is emulated, for losses that span orders of magnitude.

    Parameters
    ----------
    bound : float
        Declared lower bound of y, which y never reaches.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.emulators.transforms import Log
    >>> Log().moments(np.array([0.0]), np.array([0.0]), np.array([0.0]))[0]
    array([1.])
    """

    bound: float = 0.0

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Latent values log(y - bound)."""
        y = np.asarray(y, dtype=float)
        low = y.min(initial=math.inf)
        if low <= self.bound:
            raise ValueError(
                f"log(y - c) with bound c = {self.bound:g} needs every value above it, but one is {low:g}: "
                'declare a lower bound, transform=("log", c), or transform=None'
            )
        return np.log(y - self.bound)

    def moments(
        self, mean: np.ndarray, mean_var: np.ndarray, noise_var: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Closed-form lognormal moments."""
        centre = np.exp(mean + 0.5 * (mean_var + noise_var))
        back_mean_var = centre**2 * np.expm1(mean_var)
        back_noise_var = centre**2 * np.exp(mean_var) * np.expm1(noise_var)
        return self.bound + centre, back_mean_var, back_noise_var

    def covariance(self, mean: np.ndarray, cov: np.ndarray, noise_var: np.ndarray) -> np.ndarray:
        """Closed form for lognormals."""
        centre = np.exp(mean + 0.5 * (np.diag(cov) + noise_var))
        return np.outer(centre, centre) * np.expm1(cov)

    def noise_mean(self, latent_mean: np.ndarray, noise_var: np.ndarray) -> np.ndarray:
        """Mean over the noise, exp(latent mean + noise_var / 2) + bound."""
        return self.bound + np.exp(latent_mean + 0.5 * noise_var)

    def __str__(self) -> str:
        if self.bound == 0:
            return "log(y)"
        return f"log(y {'+' if self.bound < 0 else '-'} {abs(self.bound):g})"


def as_transform(transform: Any) -> Transform:
    """Transform from how a user writes it: None, "log", ("log", bound), or an `Identity` or `Log` itself."""
    if transform is None:
        return Identity()
    if transform == "log":
        return Log()
    if isinstance(transform, (tuple, list)) and len(transform) == 2 and transform[0] == "log":
        if isinstance(transform[1], (int, float, np.number)) and math.isfinite(transform[1]):
            return Log(float(transform[1]))
    if isinstance(transform, (Identity, Log)):
        return transform
    raise ValueError(f'transform is None, "log" or ("log", bound) with a finite bound, not {transform!r}')


def to_json(transform: Transform) -> Any:
    """Plain form of a transform, for a saved emulator."""
    return ["log", transform.bound] if isinstance(transform, Log) else None
