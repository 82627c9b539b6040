"""What every emulator offers: the protocol, the prediction with its two variances, replicates, loading."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hetcal.emulators.transforms import Transform

if TYPE_CHECKING:
    import pandas as pd


class CrossedSeedsWarning(UserWarning):
    """Seeds are shared between locations, so the noise is not independent as HetGP assumes.

    Examples
    --------
    >>> import warnings
    >>> from hetcal.emulators import CrossedSeedsWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", CrossedSeedsWarning)
    ...
    """


@dataclass(frozen=True, eq=False)
class Prediction:
    """What an emulator says at m points.

    Attributes
    ----------
    mean : numpy.ndarray
        Expected value, shape (m,).
    mean_var : numpy.ndarray
        Uncertainty of that mean: shrinks as runs are added. Shape (m,).
    noise_var : numpy.ndarray
        The simulator's own run-to-run variance: does not shrink. Shape (m,).
    cov : numpy.ndarray or None
        Covariance of the mean between the points, shape (m, m), where asked.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> X = np.repeat(np.linspace(0, 1, 10), 5)[:, None]
    >>> y = np.random.default_rng(0).normal(np.sin(6 * X[:, 0]), 0.3)
    >>> prediction = hc.HetGP(noise="homoskedastic").fit(X, y).predict(np.array([[0.2], [0.5]]))
    >>> prediction.frame.shape, prediction.mean.round()
    ((2, 3), array([1., 0.]))
    """

    mean: np.ndarray
    mean_var: np.ndarray
    noise_var: np.ndarray
    cov: np.ndarray | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """Columns mean, mean_var, noise_var."""
        import pandas as pd

        return pd.DataFrame({"mean": self.mean, "mean_var": self.mean_var, "noise_var": self.noise_var})

    def __repr__(self) -> str:
        return f"Prediction({len(self.mean)} points: mean, mean_var, noise_var{'' if self.cov is None else ', cov'})"


class Emulator(Protocol):
    """Stands in for the simulator: fitted on runs, asked at any point of the unit cube.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> X = np.repeat(np.linspace(0, 1, 10), 5)[:, None]
    >>> y = np.random.default_rng(0).normal(np.sin(6 * X[:, 0]), 0.3)
    >>> emulator = hc.HetGP(noise="homoskedastic").fit(X, y)
    >>> emulator.sample(np.array([[0.2], [0.5]]), n=100, seed=1).shape
    (100, 2)
    """

    def fit(self, X: np.ndarray, y: np.ndarray) -> Emulator:
        """Fit to X (N, d) in the unit cube, rows repeating for replicates, and y (N,); returns itself."""

    def predict(self, X: np.ndarray, cov: bool = False, scale: str = "natural") -> Prediction:
        """Both variances at X (m, d)."""

    def sample(self, X: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Joint draws of the mean at X (m, d); (n, m)."""

    def save(self, folder: str | Path) -> None:
        """Write the emulator to one folder."""


@dataclass(frozen=True, eq=False)
class Replicates:
    """Runs folded by location: what an emulator pays for.

    Attributes
    ----------
    X : numpy.ndarray
        Unique locations in order of first appearance, shape (n, d).
    mean : numpy.ndarray
        Mean of the replicates, shape (n,).
    count : numpy.ndarray
        Number of replicates, shape (n,).
    y : numpy.ndarray
        All values, those of one location side by side, shape (N,).
    location : numpy.ndarray
        Location of each row as it was given, shape (N,).
    """

    X: np.ndarray
    mean: np.ndarray
    count: np.ndarray
    y: np.ndarray
    location: np.ndarray


def find_replicates(X: np.ndarray, y: np.ndarray) -> Replicates:
    """Fold rows with equal X into locations.

    Parameters
    ----------
    X : numpy.ndarray
        Shape (N, d).
    y : numpy.ndarray
        Shape (N,).

    Returns
    -------
    Replicates

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.emulators.base import find_replicates
    >>> find_replicates(np.array([[0.1], [0.2], [0.1]]), np.array([1.0, 2.0, 3.0])).mean
    array([2., 2.])
    """
    _, first, inverse = np.unique(X, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    location = rank[inverse.reshape(-1)]
    count = np.bincount(location)
    mean = np.bincount(location, weights=y) / count
    return Replicates(X[first[order]], mean, count, y[np.argsort(location, kind="stable")], location)


def check_training_data(X: Any, y: Any, name: str = "y") -> tuple[np.ndarray, np.ndarray]:
    """X (N, d) in the unit cube and y (N,) as float arrays; anything an emulator cannot learn from raises."""
    X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    if X.ndim != 2 or y.ndim != 1 or len(X) != len(y):
        raise ValueError(f"X needs shape (N, d) and y (N,), not {X.shape} and {y.shape}")
    if not np.all(np.isfinite(X)) or np.any((X < 0) | (X > 1)):
        raise ValueError("X must lie in the unit cube [0, 1]: use space.to_unit(theta) first")
    if not np.all(np.isfinite(y)):
        row = int(np.flatnonzero(~np.isfinite(y))[0])
        raise ValueError(
            f"{name} is {y[row]} in row {row}: leave failed runs out, they are never a training point"
        )
    locations, needed = len(np.unique(X, axis=0)), X.shape[1] + 3
    if locations < needed:
        raise ValueError(
            f"{name}: {locations} locations are too few for {X.shape[1]} parameters: give at least {needed}, "
            f"better {10 * X.shape[1]}"
        )
    if np.ptp(y) == 0:
        raise ValueError(
            f"{name}: all {len(y)} values are {y[0]:g}: there is nothing to emulate; check the target, or drop it"
        )
    return X, y


def check_more_data(X: Any, y: Any, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """X (N, d) in the unit cube and y (N,) as float arrays; what a fitted emulator cannot be updated with raises."""
    X, y = np.atleast_2d(np.asarray(X, dtype=float)), np.asarray(y, dtype=float)
    if X.shape[1] != dimension or y.shape != (len(X),) or not np.all(np.isfinite(X)):
        raise ValueError(f"X needs shape (N, {dimension}) and y (N,), not {X.shape} and {y.shape}")
    if np.any((X < 0) | (X > 1)) or not np.all(np.isfinite(y)):
        raise ValueError("X must lie in the unit cube and y be finite")
    return X, y


def training_replicates(X: Any, y: Any, seeds: Any, transform: Transform, name: str) -> Replicates:
    """What an emulator is fitted to: runs checked, transformed and folded by location; seeds only to warn."""
    X, y = check_training_data(X, y, name)
    data = find_replicates(X, transform.forward(y))
    if seeds is not None:
        warn_crossed_seeds(np.asarray(seeds), data.location, name)
    return data


def check_scale(scale: str) -> None:
    """Raise where a scale is neither y's own nor the one that is emulated."""
    if scale not in ("natural", "latent"):
        raise ValueError(f'scale is "natural" or "latent", not {scale!r}')


def warn_crossed_seeds(seeds: np.ndarray, location: np.ndarray, name: str) -> None:
    """Warn where a seed is used at more than one location; seeds and location have shape (N,)."""
    if seeds.shape != location.shape:
        raise ValueError(f"seeds need shape {location.shape}, not {seeds.shape}")
    pairs = np.unique(np.column_stack([seeds, location]), axis=0)
    shared = int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())
    if shared:
        warnings.warn(
            f"{name}: {shared} seeds are used at more than one location. HetGP takes the noise of different "
            "locations as independent and its intervals come out too narrow; give every location seeds of its own",
            CrossedSeedsWarning,
            stacklevel=4,
        )


def load_emulator(folder: str | Path) -> Any:
    """Read an emulator back from the folder that `save` wrote; R reads the same one.

    Nothing is unpickled: the folder holds JSON files and numbers. A stack's learners are objects of R's, read by R
    when they are first asked: load stacks of people you trust.

    Parameters
    ----------
    folder : str or pathlib.Path

    Returns
    -------
    HetGP, StackedGP or DiscrepancyGP

    Raises
    ------
    FileNotFoundError
        If the folder holds no emulator.
    ValueError
        If its format is unknown or the numbers are not all there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import hetcal as hc
    >>> X = np.repeat(np.linspace(0, 1, 10), 5)[:, None]
    >>> y = np.random.default_rng(0).normal(np.sin(6 * X[:, 0]), 0.3)
    >>> with TemporaryDirectory() as folder:
    ...     hc.HetGP(noise="homoskedastic").fit(X, y).save(folder)
    ...     emulator = hc.load_emulator(folder)
    ...
    >>> emulator.predict(np.array([[0.2], [0.5]]))
    Prediction(2 points: mean, mean_var, noise_var)
    """
    path = Path(folder) / "emulator.json"
    if not path.exists():
        raise FileNotFoundError(f"no emulator in {folder}: it holds no emulator.json")
    try:
        kind = json.loads(path.read_text(encoding="utf-8"))["format"]
        if kind == "hetcal HetGP 1":
            from hetcal.emulators.hetgp import HetGP

            return HetGP.load(folder)
        if kind == "hetcal StackedGP 1":
            from hetcal.emulators.stacked import StackedGP

            return StackedGP.load(folder)
        if kind == "hetcal DiscrepancyGP 1":
            from hetcal.emulators.discrepancy import DiscrepancyGP

            return DiscrepancyGP.load(folder)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is cut or changed ({type(error).__name__}: {error}): save the emulator again"
        ) from error
    raise ValueError(
        f"{path} has format {kind!r}; this version of hetcal reads 'hetcal HetGP 1', 'hetcal StackedGP 1' and "
        "'hetcal DiscrepancyGP 1'"
    )
