"""The state of a HetGP fit: hetGP's numbers, what they mean, and the folder that both languages read."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hetcal.emulators.gaussian_process import GaussianProcess

_FORMAT = "hetcal HetGP 1"
# Most noise that is believed anywhere, over the variance of all runs together.
_MOST_NOISE = 10.0
_ARRAYS = ("X0", "Z0", "mult", "Z", "theta", "theta_g", "Delta", "Lambda")


@dataclass(frozen=True, eq=False)
class HetGPState:
    """Everything that a fit gave, as numbers; names as in hetGP's own object.

    Attributes
    ----------
    X0, Z0, mult, Z : numpy.ndarray
        Locations (n, d), their means (n,), replicates (n,) and all values (N,), those of one location side by side.
    theta : numpy.ndarray
        Lengthscales (d,).
    g, nu_hat, beta0, eps : float
        Noise ratio (of the latent noise process where there is one), process variance, trend, jitter.
    log_likelihood : float
        As hetGP reports it; hom and het values are not comparable.
    message : str
        Why the optimiser stopped.
    theta_g, k_theta_g, nmean, nu_hat_var, Delta, Lambda
        The latent log-noise process of a heteroskedastic fit; None for a homoskedastic one.
    """

    X0: np.ndarray
    Z0: np.ndarray
    mult: np.ndarray
    Z: np.ndarray
    theta: np.ndarray
    g: float
    nu_hat: float
    beta0: float
    eps: float
    log_likelihood: float
    message: str
    theta_g: np.ndarray | None = None
    k_theta_g: float | None = None
    nmean: float | None = None
    nu_hat_var: float | None = None
    Delta: np.ndarray | None = None
    Lambda: np.ndarray | None = None

    @property
    def heteroskedastic(self) -> bool:
        """Whether the noise varies over the space."""
        return self.Lambda is not None

    @property
    def noise_ratio(self) -> np.ndarray:
        """Noise variance over `nu_hat` at each location, (n,)."""
        return self.Lambda if self.Lambda is not None else np.full(len(self.Z0), self.g)

    @property
    def converged(self) -> bool:
        """Whether the optimiser stopped where it should."""
        return "CONVERGENCE" in self.message or "All hyperparameters given" in self.message

    def why_it_stopped(self, name: str) -> str:
        """A sentence on the fit ``name`` that did not converge; R says NEW_X for its iteration limit."""
        limit = "R's limit of iterations, most often with the noise model still gaining a little"
        return (
            f"the fit of {name} stopped before it converged ({limit if self.message == 'NEW_X' else self.message}): "
            "look at its leave-one-out diagnostics; more replicates or wider lengthscale bounds may help"
        )

    def process(self, covariance: str) -> GaussianProcess:
        """The process of the mean."""
        nugget = self.noise_ratio / self.mult + self.eps
        return GaussianProcess(self.X0, self.Z0, nugget, self.theta, covariance, self.beta0, self.nu_hat)

    def noise_process(self, covariance: str) -> GaussianProcess | None:
        """The process of the log noise ratio, None for constant noise."""
        if self.Delta is None or self.theta_g is None or self.nmean is None or self.nu_hat_var is None:
            return None
        nugget = self.eps + self.g / self.mult
        return GaussianProcess(
            self.X0, self.Delta, nugget, self.theta_g, covariance, self.nmean, self.nu_hat_var
        )

    def noise_var(self, process: GaussianProcess | None, X: np.ndarray) -> np.ndarray:
        """Latent noise variance of a run at X (m, d), (m,), from the process of the log noise ratio.

        hetGP's, but no more than ten times the variance of all runs: where the replicates of most locations agree and
        those of some do not, the logarithm extrapolates to noise that no number holds.
        """
        if process is None:
            return np.full(len(X), self.nu_hat * self.g)
        most = np.log(_MOST_NOISE * np.var(self.Z) / self.nu_hat)
        return self.nu_hat * np.exp(np.minimum(process.predict(X, variance=False)[0], most))

    def leave_one_out(self, process: GaussianProcess) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, its variance and the noise variance of the observed mean, at each location from all others."""
        noise = self.noise_ratio / self.mult
        mean, mean_var = process.leave_one_out(noise)
        return mean, mean_var, self.nu_hat * noise


@dataclass(frozen=True)
class NoiseChoice:
    """Which noise model was taken, and by how much.

    Attributes
    ----------
    chosen : str
        "heteroskedastic" or "homoskedastic".
    gain, gain_se : float
        Mean leave-one-out log predictive density by location of the heteroskedastic model over the homoskedastic
        one, and its standard error; NaN where no comparison was made.
    """

    chosen: str
    gain: float = math.nan
    gain_se: float = math.nan

    def __str__(self) -> str:
        if math.isnan(self.gain):
            return self.chosen
        return f"{self.chosen} (gain of varying noise {self.gain:+.3f} ± {self.gain_se:.3f} nats a location)"


def log_density(x: np.ndarray, mean: np.ndarray, var: np.ndarray) -> np.ndarray:
    """Log density of normals."""
    return -0.5 * (np.log(2 * np.pi * var) + (x - mean) ** 2 / var)


def choose_noise(states: dict[str, HetGPState], covariance: str) -> NoiseChoice:
    """Choose between a "hom" and a "het" state by leave-one-out log predictive density of the locations' means.

    The heteroskedastic model must be better by more than the standard error of the difference.
    """
    if len(states) == 1:
        return NoiseChoice("heteroskedastic" if "het" in states else "homoskedastic")
    scores = {}
    for kind, state in states.items():
        mean, mean_var, noise = state.leave_one_out(state.process(covariance))
        scores[kind] = log_density(state.Z0, mean, mean_var + noise)
    difference = scores["het"] - scores["hom"]
    gain, gain_se = float(difference.mean()), float(difference.std(ddof=1) / math.sqrt(len(difference)))
    return NoiseChoice("heteroskedastic" if gain > gain_se else "homoskedastic", gain, gain_se)


def write_state(
    folder: str | Path, state: HetGPState, choice: NoiseChoice | None, settings: dict[str, Any]
) -> None:
    """Write a state with the emulator's settings to a folder; R reads it by ``read_emulator``."""
    numbers = {
        k: np.asarray(v, dtype="<f8") for k, v in asdict(state).items() if v is not None and k != "message"
    }
    meta = {
        "format": _FORMAT,
        **settings,
        "noise": "heteroskedastic" if state.heteroskedastic else "homoskedastic",
        "message": state.message,
        "choice": None if choice is None else _without_nan(asdict(choice)),
        "arrays": {k: list(v.shape) if v.ndim else [1] for k, v in numbers.items()},
    }
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    data = b"".join(np.ascontiguousarray(v).tobytes() for v in numbers.values())
    # Renaming whole files, so that a kill leaves no half of one; the sum tells numbers and settings of two saves apart.
    meta["sha256"] = hashlib.sha256(data).hexdigest()
    for name, content in (("arrays.f64", data), ("emulator.json", json.dumps(meta, indent=1).encode())):
        (target / f"{name}.new").write_bytes(content)
        os.replace(target / f"{name}.new", target / name)


def read_state(folder: str | Path) -> tuple[HetGPState, NoiseChoice | None, dict[str, Any]]:
    """Read what `write_state` wrote; numbers that are not all there raise ``ValueError``."""
    binary = Path(folder) / "arrays.f64"
    meta = json.loads((Path(folder) / "emulator.json").read_text(encoding="utf-8"))
    content = binary.read_bytes()
    sizes = {name: math.prod(shape) for name, shape in meta["arrays"].items()}
    if len(content) != 8 * sum(sizes.values()):
        raise ValueError(
            f"{binary} should hold {sum(sizes.values())} numbers but is {len(content)} bytes long: save the emulator "
            "again"
        )
    if hashlib.sha256(content).hexdigest() != meta["sha256"]:
        raise ValueError(
            f"{binary} and emulator.json in its folder are of two different saves: save the emulator again"
        )
    values = np.frombuffer(content, dtype="<f8")
    arrays: dict[str, Any] = {}
    start = 0
    for name, size in sizes.items():
        part = values[start : start + size].reshape(meta["arrays"][name]).astype(float)
        arrays[name] = part if name in _ARRAYS else float(part[0])
        start += size
    arrays["mult"] = arrays["mult"].astype(np.int64)
    choice = None
    if meta["choice"] is not None:
        choice = NoiseChoice(**{k: math.nan if v is None else v for k, v in meta["choice"].items()})
    return HetGPState(message=meta["message"], **arrays), choice, meta


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}
