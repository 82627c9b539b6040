"""HetGP: fitted by R's hetGP, predicted natively, read by both languages."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal import rbridge
from hetcal.emulators.base import Prediction, check_more_data, check_scale, training_replicates
from hetcal.emulators.conditioning import at_locations, carried_to_all, spread_locations, with_runs
from hetcal.emulators.function_draws import FunctionDraws
from hetcal.emulators.gaussian_process import COVARIANCES, GaussianProcess
from hetcal.emulators.hetgp_state import (
    HetGPState,
    NoiseChoice,
    choose_noise,
    log_density,
    read_state,
    write_state,
)
from hetcal.emulators.transforms import Transform, as_transform, to_json
from hetcal.streams import generator

if TYPE_CHECKING:
    import pandas as pd

# Bounds of lengthscales among many parameters, those of Reiker et al. (2021).
_MANY, _BOUNDS_OF_MANY = 8, (0.01, 10.0)

NOISE = ("auto", "heteroskedastic", "homoskedastic", "likelihood")


class FitWarning(UserWarning):
    """An emulator's fit stopped for another reason than convergence."""


@dataclass(eq=False)
class HetGP:
    """Heteroskedastic Gaussian process emulator, fitted by R's hetGP.

    The default emulator: for a stochastic simulator with replicates, which cost nothing beyond their location, up to
    some thousand of these. R fits the hyperparameters; prediction runs natively and equals R's ``predict``.

    Parameters
    ----------
    covariance : {"Matern5_2", "Matern3_2", "Gaussian"}
        Smoothness of the mean response.
    noise : {"auto", "heteroskedastic", "homoskedastic", "likelihood"}
        "auto" fits both and takes the heteroskedastic model where its leave-one-out log predictive density by
        location is better by more than its standard error; "likelihood" leaves the choice to hetGP, whose
        likelihoods of the two models are not comparable.
    transform : None, "log" or ("log", bound)
        Scale on which y is emulated; predictions come back on y's own.
    bounds : (lower, upper), optional
        Bounds of the lengthscales, numbers or arrays (d,). Where not given hetGP's own, or, from 8 parameters on, where
        those are too narrow for parameters that do little, .01 and 10.
    fit_points : int, optional
        For many locations: R fits the hyperparameters to so many of them, at least d + 3, spread over the space and the
        low values; lengthscales and the level of the noise then move to where all runs are likeliest.

    Attributes
    ----------
    state : HetGPState
        The fit, after `fit`.
    choice : NoiseChoice
        Which noise model was taken.
    process, noise_process : GaussianProcess
        The conditioned processes of the mean and of the log noise (None where the noise is constant).

    References
    ----------
    Binois, Gramacy and Ludkovski (2018), Practical heteroskedastic Gaussian process modeling for large simulation
    experiments, JCGS 27; R package hetGP.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> X = np.repeat(np.linspace(0, 1, 20), 5)[:, None]
    >>> y = np.random.default_rng(0).normal(np.sin(6 * X[:, 0]), 0.05 + 0.5 * X[:, 0])
    >>> hc.HetGP().fit(X, y).predict(np.array([[0.5]]))
    Prediction(1 points: mean, mean_var, noise_var)
    """

    covariance: str = "Matern5_2"
    noise: str = "auto"
    transform: Any = None
    bounds: tuple[Any, Any] | None = None
    fit_points: int | None = None
    state: HetGPState | None = field(default=None, init=False)
    choice: NoiseChoice | None = field(default=None, init=False)
    process: GaussianProcess = field(init=False, repr=False)
    noise_process: GaussianProcess | None = field(default=None, init=False, repr=False)
    _homoskedastic_g: float | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.covariance not in COVARIANCES:
            raise ValueError(f"covariance is one of {', '.join(COVARIANCES)}, not {self.covariance!r}")
        if self.noise not in NOISE:
            raise ValueError(f"noise is one of {', '.join(NOISE)}, not {self.noise!r}")
        as_transform(self.transform)
        self.check_design(1, 0)

    # Fitting

    def fit(
        self,
        X: Any,
        y: Any,
        seeds: Any = None,
        start: dict[str, Any] | None = None,
        name: str = "emulator",
    ) -> HetGP:
        """Fit to runs.

        Parameters
        ----------
        X : array_like
            Points of the unit cube, shape (N, d); equal rows are replicates.
        y : array_like
            Values, shape (N,), finite.
        seeds : array_like, optional
            Seeds of the runs, shape (N,), only to warn where they are shared between locations.
        start : dict, optional
            `hyperparameters` of an earlier fit, from which the optimisation starts.
        name : str
            What warnings call this fit.

        Returns
        -------
        HetGP
            Itself.

        Raises
        ------
        ValueError
            If the data are not finite, constant, outside of the unit cube or of too few locations, or `fit_points`
            are too few for the parameters.
        hetcal.rbridge.RError, hetcal.rbridge.RMissing
            If R fails, or is not there.
        """
        everything = training_replicates(X, y, seeds, as_transform(self.transform), name)
        self.check_design(everything.X.shape[1], len(everything.X))
        rows, data = None, everything
        if self.fit_points is not None and self.fit_points < len(everything.X):
            rows = spread_locations(everything, self.fit_points)
            data = at_locations(everything, rows)
        lower, upper = self._lengthscale_bounds(everything.X.shape[1])
        # hetGP's limit of 100 iterations often ends before the optimum; for a start, and its own choice, it is enough.
        fits = rbridge.call(
            "fit_hetgp",
            X0=data.X,
            Z0=data.mean,
            mult=data.count.astype(float),
            Z=data.y,
            covariance=self.covariance,
            noise="heteroskedastic" if self.noise == "auto" else self.noise,
            lower=lower,
            upper=upper,
            maxit=500 if rows is None and self.noise != "likelihood" else 100,
            warm=None if start is None else {k: np.array(v, dtype=float, ndmin=1) for k, v in start.items()},
        )
        states = {
            kind: HetGPState(X0=data.X, Z0=data.mean, mult=data.count, Z=data.y, **_fields(state))
            for kind, state in fits.items()
            if state is not None
        }
        if rows is not None:
            more = everything, rows, self.covariance, self.bounds
            states = {kind: carried_to_all(state, *more) for kind, state in states.items()}
        compared = {"het": states["het"]} if self.noise == "heteroskedastic" else states
        self.choice = choose_noise(compared, self.covariance)
        self._condition(states["het" if self.choice.chosen == "heteroskedastic" else "hom"])
        self._homoskedastic_g = states["hom"].g if "hom" in states else None
        assert self.state is not None
        if not self.state.converged:
            warnings.warn(self.state.why_it_stopped(name), FitWarning, stacklevel=2)
        return self

    @property
    def locations(self) -> np.ndarray:
        """Where the runs were, (n, d)."""
        return self._fitted.X0

    @property
    def runs(self) -> int:
        """How many runs it was fitted to."""
        return int(self._fitted.mult.sum())

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Plain numbers from which a later fit can start."""
        state = self._fitted
        start: dict[str, Any] = {"theta": state.theta.tolist()}
        if self._homoskedastic_g is not None:
            start["g_hom"] = self._homoskedastic_g
        if state.heteroskedastic:
            start |= {"k_theta_g": state.k_theta_g, "g": state.g}
        return start

    def update(self, X: Any, y: Any) -> HetGP:
        """Add runs with the hyperparameters as they are, for cheap steps between fits.

        The same as hetGP's ``update(model, Xnew, Znew, maxit = 0)``: new replicates sharpen their location, a new
        location takes its noise from the noise process.

        Parameters
        ----------
        X : array_like
            Points of the unit cube, shape (N, d).
        y : array_like
            Values, shape (N,).

        Returns
        -------
        HetGP
            Itself.
        """
        old = self._fitted
        X, y = check_more_data(X, y, old.X0.shape[1])
        self._condition(with_runs(old, self.noise_process, X, as_transform(self.transform).forward(y)))
        return self

    def _condition(self, state: HetGPState) -> None:
        self.state = state
        self.process = state.process(self.covariance)
        self.noise_process = state.noise_process(self.covariance)

    def check_design(self, dimension: int, locations: int) -> None:
        """Raise what `fit` would for so many parameters and locations: before anything is simulated."""
        n = dimension + 3 if self.fit_points is None else self.fit_points
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < dimension + 3:
            raise ValueError(
                f"fit_points is {n!r}: give a whole number of at least {dimension + 3} (parameters + 3), better "
                f"{10 * dimension} or more, or None to fit all locations"
            )

    def _lengthscale_bounds(self, dimension: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        bounds = (_BOUNDS_OF_MANY if dimension >= _MANY else None) if self.bounds is None else self.bounds
        if bounds is None:
            return None, None
        lower, upper = (np.broadcast_to(np.asarray(b, dtype=float), (dimension,)).copy() for b in bounds)
        if not np.all((0 < lower) & (lower < upper)):
            raise ValueError(f"bounds need 0 < lower < upper, not {self.bounds}")
        return lower, upper

    @property
    def _fitted(self) -> HetGPState:
        if self.state is None:
            raise ValueError("this emulator is not fitted yet: call fit(X, y) first")
        return self.state

    # Answers

    def _noise(self, X: np.ndarray) -> np.ndarray:
        """Latent noise variance at X (m, d); (m,)."""
        return self._fitted.noise_var(self.noise_process, X)

    def _points(self, X: Any) -> np.ndarray:
        X = np.atleast_2d(np.asarray(X, dtype=float))
        if X.ndim != 2 or X.shape[1] != self._fitted.X0.shape[1]:
            raise ValueError(f"X needs {self._fitted.X0.shape[1]} columns, not shape {X.shape}")
        return X

    def predict(self, X: Any, cov: bool = False, scale: str = "natural") -> Prediction:
        """Mean with both variances.

        Parameters
        ----------
        X : array_like
            Points of the unit cube, shape (m, d).
        cov : bool
            Also give the covariance of the mean between the points.
        scale : {"natural", "latent"}
            "natural": y's own; "latent": the Gaussian process's own numbers, those that R prints.

        Returns
        -------
        Prediction
        """
        check_scale(scale)
        X = self._points(X)
        mean, mean_var = self.process.predict(X)
        noise_var = self._noise(X)
        between = self.process.covariance_between(X, X) if cov else None
        if scale == "latent":
            return Prediction(mean, mean_var, noise_var, between)
        transform = as_transform(self.transform)
        natural = transform.moments(mean, mean_var, noise_var)
        if between is not None:
            between = transform.covariance(mean, between, noise_var)
        return Prediction(*natural, between)

    def sample(self, X: Any, n: int = 100, seed: int = 0, scale: str = "natural") -> np.ndarray:
        """Joint draws of the mean response (not of noisy runs).

        Parameters
        ----------
        X : array_like
            Points of the unit cube, shape (m, d).
        n : int
            Number of draws.
        seed : int
        scale : {"natural", "latent"}

        Returns
        -------
        numpy.ndarray
            Shape (n, m).
        """
        check_scale(scale)
        X = self._points(X)
        return self.sample_from(X, generator(seed, "emulator").standard_normal((n, len(X))), scale)

    def sample_from(self, X: np.ndarray, normals: np.ndarray, scale: str = "natural") -> np.ndarray:
        """`sample` from standard normals (n, m), which a total correlates between its targets."""
        draws = self.process.sample(X, normals)
        return draws if scale == "latent" else as_transform(self.transform).noise_mean(draws, self._noise(X))

    def draw(self, n: int = 100, seed: int = 0) -> FunctionDraws:
        """Consistent functions drawn from the emulator's uncertainty, to be evaluated anywhere.

        Where `sample` draws at points known beforehand, these can be asked again and again, at any number of points.

        Parameters
        ----------
        n : int
            Number of functions.
        seed : int

        Returns
        -------
        FunctionDraws
            Call it with points (m, d) of the unit cube for values (n, m) of the mean response.
        """
        transform = as_transform(self.transform)

        def back(draws: np.ndarray, X: np.ndarray) -> np.ndarray:
            return transform.noise_mean(draws, self._noise(X))

        _ = self._fitted
        return FunctionDraws(self.process, n, generator(seed, "emulator", 1), back)

    def leave_one_out(self) -> pd.DataFrame:
        """How well each location is predicted from all others, on the latent scale.

        Returns
        -------
        pandas.DataFrame
            One row a location: observed (mean of its replicates), mean, sd (of the observed mean: emulator and
            noise together), z, log_score, mean_var, noise_var (of one run), replicates.
        """
        import pandas as pd

        state = self._fitted
        mean, mean_var, noise_of_mean = state.leave_one_out(self.process)
        sd = np.sqrt(mean_var + noise_of_mean)
        return pd.DataFrame(
            {
                "observed": state.Z0,
                "mean": mean,
                "sd": sd,
                "z": (state.Z0 - mean) / sd,
                "log_score": log_density(state.Z0, mean, sd**2),
                "mean_var": mean_var,
                "noise_var": state.nu_hat * state.noise_ratio,
                "replicates": state.mult,
            }
        )

    # Files

    def save(self, folder: str | Path) -> None:
        """Write ``emulator.json`` and ``arrays.f64`` (little-endian float64), readable from Python and from R.

        Parameters
        ----------
        folder : str or pathlib.Path
            Made where missing. Read it back with `hetcal.load_emulator` or, in R, ``hetcal::read_emulator``.
        """
        settings = {
            "covariance": self.covariance,
            "noise_option": self.noise,
            "transform": to_json(as_transform(self.transform)),
            "bounds": None if self.bounds is None else [np.asarray(b).tolist() for b in self.bounds],
            "homoskedastic_g": self._homoskedastic_g,
            "fit_points": self.fit_points,
        }
        write_state(folder, self._fitted, self.choice, settings)

    @classmethod
    def load(cls, folder: str | Path) -> HetGP:
        """Read what `save` wrote; see `hetcal.load_emulator`."""
        state, choice, settings = read_state(folder)
        emulator = cls(*(settings[name] for name in ("covariance", "noise_option", "transform", "bounds")))
        emulator.fit_points = settings.get("fit_points")
        emulator.choice = choice
        emulator._homoskedastic_g = settings["homoskedastic_g"]
        emulator._condition(state)
        return emulator

    def __repr__(self) -> str:
        transform: Transform = as_transform(self.transform)
        text = f"HetGP({self.covariance}, noise={self.noise}, transform={transform}"
        if self.state is None:
            return text + ", not fitted)"
        return text + f"; fitted to {self.runs} runs at {len(self.state.Z0)} locations, {self.choice})"


def _fields(state: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in state.items() if k in HetGPState.__dataclass_fields__}
