"""StackedGP: regression learners of R's mlr, and R's hetGP on what they predict."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.emulators.base import Prediction, check_more_data, check_scale, training_replicates
from hetcal.emulators.hetgp import HetGP
from hetcal.emulators.hetgp_state import HetGPState, NoiseChoice
from hetcal.emulators.stacked_files import read_stack, write_stack
from hetcal.emulators.stacked_fit import StackFit, fit_stack
from hetcal.emulators.stacked_learners import check_learners, named_learners
from hetcal.emulators.stacked_process import Places, StackedDraws, StackedProcess
from hetcal.emulators.transforms import as_transform, to_json
from hetcal.streams import check_seed, generator

if TYPE_CHECKING:
    import pandas as pd

VARIANCES = ("calibrated", "published")


@dataclass(eq=False)
class StackedGP:
    """Stacked generalisation: learners of R's mlr at level 0, R's hetGP on their predictions at level 1.

    When to use: with many parameters, where a Gaussian process over all of them needs more runs than there are, and
    learners that ignore or bend single parameters need fewer; or beside `HetGP`, to see whether it predicts held-out
    locations better. It costs a fit of each learner for each fold, and predictions go through R.

    Level 0 learns the means of the locations from the unit-cube coordinates less a half and their squares, and
    predicts each location from folds that do not hold it; the folds are the same for all learners. Level 1 is a
    `HetGP` of the same means over these predictions. Its own variance knows little of what the learners get wrong, so
    ``mean_var`` is that of the held-out locations' squared residuals, less their noise, smoothed over the learners'
    disagreement and the mean, where that is larger, times one factor calibrated by their log score. ``noise_var`` is
    what replicates show, smoothed likewise. Without replicates what the learners get wrong cannot be told from noise,
    and level 1's is all there is: give at least two runs a location.

    Parameters
    ----------
    learners : sequence or mapping
        Names of mlr's regression learners, each alone or with its hyperparameters: ``("regr.mars",
        ("regr.randomForest", {"ntree": 200}))`` or ``{"regr.brnn": {"neurons": 3}}``.
    folds : int
        Folds of locations.
    with_parameters : bool
        Level 1 also sees the parameters themselves.
    variance : {"calibrated", "published"}
        "published": level 1's variance alone and folds of single runs, as in the reference; for comparison.
    noise : {"auto", "heteroskedastic", "homoskedastic", "likelihood"}
        Noise model of level 1; see `HetGP`.
    transform : None, "log" or ("log", bound)
        Scale on which y is emulated; predictions come back on y's own.
    fit_points : int, optional
        Of level 1: locations that its hyperparameters are fitted to; see `HetGP`.
    seed : int
        Of the folds and the learners.

    Attributes
    ----------
    fitted : StackFit
        Both levels and the calibration, after `fit`.
    locations : numpy.ndarray
        Where the runs were, (n, d).

    References
    ----------
    Reiker et al. (2021), Emulator-based Bayesian optimization for efficient multi-objective calibration of an
    individual-based model of malaria, Nat Commun 12:7212; Wolpert (1992), Stacked generalization.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(rng.random((30, 2)), 3, axis=0)
    >>> y = rng.normal(np.sin(6 * X[:, 0]) + X[:, 1], 0.2)
    >>> stack = hc.StackedGP(learners=("regr.mars", "regr.brnn"), folds=5).fit(X, y)
    >>> stack.predict(np.array([[0.5, 0.5]]))
    Prediction(1 points: mean, mean_var, noise_var)
    >>> stack.contributions["learner"].tolist()
    ['regr.mars', 'regr.brnn', 'stack']
    """

    learners: Any = ("regr.brnn", "regr.mars", "regr.randomForest")
    folds: int = 10
    with_parameters: bool = False
    variance: str = "calibrated"
    noise: str = "auto"
    transform: Any = None
    fit_points: int | None = 400
    seed: int = 0
    fitted: StackFit | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        named_learners(self.learners)
        if isinstance(self.folds, bool) or not isinstance(self.folds, (int, np.integer)) or self.folds < 2:
            raise ValueError(f"folds is a whole number of at least 2, not {self.folds!r}")
        if self.variance not in VARIANCES:
            raise ValueError(f"variance is one of {', '.join(VARIANCES)}, not {self.variance!r}")
        check_seed(self.seed)
        HetGP(noise=self.noise, transform=self.transform, fit_points=self.fit_points)

    # Fitting

    def fit(
        self,
        X: Any,
        y: Any,
        seeds: Any = None,
        start: dict[str, Any] | None = None,
        name: str = "emulator",
    ) -> StackedGP:
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
            `hyperparameters` of an earlier fit, from which level 1 starts.
        name : str
            What warnings call this fit.

        Returns
        -------
        StackedGP
            Itself.

        Raises
        ------
        ValueError
            If the data are not finite, constant, outside of the unit cube or of fewer locations than folds; if mlr
            does not know a learner or a hyperparameter; if every learner fails.
        hetcal.rbridge.RMissing
            If R, mlr or a learner's package is not there.

        Warns
        -----
        LearnerWarning
            A learner failed and is left out.
        FitWarning
            Level 1 as for `HetGP`; no location has two runs.
        """
        data = training_replicates(X, y, seeds, as_transform(self.transform), name)
        self.check_design(data.X.shape[1], len(data.X), name)
        self.fitted = fit_stack(
            data,
            named_learners(self.learners),
            self.folds,
            level1=HetGP(noise=self.noise, fit_points=self.fit_points),
            with_parameters=self.with_parameters,
            by_location=self.variance == "calibrated",
            rng=generator(self.seed, "emulator", 3),
            start=start,
            name=name,
        )
        return self

    def check_design(self, dimension: int, locations: int, name: str = "StackedGP") -> None:
        """Raise what `fit` would for so many parameters and locations: before anything is simulated."""
        if locations < self.folds:
            raise ValueError(
                f"{name}: {locations} locations are fewer than {self.folds} folds: give more locations, or "
                f"folds={locations} or less"
            )
        learners = named_learners(self.learners)
        inputs = len(learners) + (dimension if self.with_parameters else 0)
        HetGP(fit_points=self.fit_points).check_design(inputs, locations)
        check_learners(learners)

    def update(self, X: Any, y: Any) -> StackedGP:
        """Add runs to level 1, with the learners, hyperparameters and calibration as they are.

        Parameters
        ----------
        X : array_like
            Points of the unit cube, shape (N, d).
        y : array_like
            Values, shape (N,).

        Returns
        -------
        StackedGP
            Itself.
        """
        X, y = check_more_data(X, y, self._fit.rows.shape[1])
        self.fitted = self._fit.updated(X, as_transform(self.transform).forward(y))
        return self

    @property
    def _fit(self) -> StackFit:
        if self.fitted is None:
            raise ValueError("this emulator is not fitted yet: call fit(X, y) first")
        return self.fitted

    # What others ask of a fitted emulator

    @property
    def state(self) -> HetGPState | None:
        """State of level 1, whose inputs are the learners' predictions; None before `fit`."""
        return None if self.fitted is None else self.fitted.level1.state

    @property
    def choice(self) -> NoiseChoice | None:
        """Which noise model level 1 took."""
        return None if self.fitted is None else self.fitted.level1.choice

    @property
    def covariance(self) -> str:
        """Covariance of level 1."""
        return HetGP().covariance if self.fitted is None else self.fitted.level1.covariance

    @property
    def locations(self) -> np.ndarray:
        """Where the runs were, (n, d)."""
        return self._fit.locations

    @property
    def runs(self) -> int:
        """How many runs it was fitted to."""
        return int(self._fit.count.sum())

    @property
    def process(self) -> StackedProcess:
        """The process of the latent mean over the parameters."""
        return self._fit.process

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Plain numbers from which a later fit can start."""
        return {"learners": list(self._fit.level0.names), **self._fit.level1.hyperparameters}

    @property
    def contributions(self) -> pd.DataFrame:
        """How well each learner predicts the means of locations that it has not seen, on the latent scale.

        Returns
        -------
        pandas.DataFrame
            One row a learner and a last one for the stack: learner, rmse, r2, rmse_without (of the stack where level
            1 does not see the learner, its other hyperparameters kept) and note (why a learner was left out).
        """
        return self._fit.contributions()

    def leave_one_out(self) -> pd.DataFrame:
        """How well each location is predicted from all others, on the latent scale.

        Level 0 has not seen the location's fold, level 1 not the location.

        Returns
        -------
        pandas.DataFrame
            As of `HetGP.leave_one_out`; one row a run where ``variance="published"``.
        """
        return self._fit.leave_one_out()

    # Answers

    def _points(self, X: Any) -> np.ndarray:
        d = self._fit.rows.shape[1]
        X = np.atleast_2d(np.asarray(X, dtype=float))
        if X.ndim != 2 or X.shape[1] != d or not np.all(np.isfinite(X)):
            raise ValueError(f"X needs {d} columns of finite numbers, not shape {X.shape}")
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
            "natural": y's own; "latent": the scale that is emulated.

        Returns
        -------
        Prediction
        """
        transform, process = self._transform(scale), self.process
        places = process.place(self._points(X))
        noise_var = places.noise_var
        between = process.between(places, places) if cov else None
        natural = transform.moments(places.mean, process.variance(places), noise_var)
        if between is not None:
            between = transform.covariance(places.mean, between, noise_var)
        return Prediction(natural[0], natural[1], natural[2], between)

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
        X = self._points(X)
        return self.sample_from(X, generator(seed, "emulator").standard_normal((n, len(X))), scale)

    def sample_from(self, X: np.ndarray, normals: np.ndarray, scale: str = "natural") -> np.ndarray:
        """`sample` from standard normals (n, m), which a total correlates between its targets."""
        transform, process = self._transform(scale), self.process
        places = process.place(X)
        return transform.noise_mean(process.sample(places, normals), places.noise_var)

    def draw(self, n: int = 100, seed: int = 0) -> StackedDraws:
        """Consistent functions drawn from the emulator's uncertainty, to be evaluated anywhere.

        Parameters
        ----------
        n : int
            Number of functions.
        seed : int

        Returns
        -------
        StackedDraws
            Call it with points (m, d) of the unit cube for values (n, m) of the mean response.
        """
        transform = as_transform(self.transform)

        def back(draws: np.ndarray, places: Places) -> np.ndarray:
            return transform.noise_mean(draws, places.noise_var)

        return StackedDraws(self.process, n, generator(seed, "emulator", 1), back)

    def _transform(self, scale: str) -> Any:
        check_scale(scale)
        return as_transform(self.transform if scale == "natural" else None)

    # Files

    def save(self, folder: str | Path) -> None:
        """Write ``emulator.json``, ``learners.rds`` (R's own file of the learners) and level 1's folder.

        Parameters
        ----------
        folder : str or pathlib.Path
            Made where missing. Read it back with `hetcal.load_emulator` or, in R, ``hetcal::read_emulator``.
        """
        settings = {
            "learners": named_learners(self.learners),
            "folds": int(self.folds),
            "with_parameters": self.with_parameters,
            "variance": self.variance,
            "noise": self.noise,
            "transform": to_json(as_transform(self.transform)),
            "fit_points": self.fit_points,
            "seed": int(self.seed),
        }
        write_stack(folder, self._fit, settings)

    @classmethod
    def load(cls, folder: str | Path) -> StackedGP:
        """Read what `save` wrote; see `hetcal.load_emulator`."""
        settings, fitted = read_stack(folder)
        emulator = cls(**settings)
        emulator.fitted = fitted
        return emulator

    def __repr__(self) -> str:
        text = (
            f"StackedGP({', '.join(named_learners(self.learners))}, transform={as_transform(self.transform)}"
        )
        if self.fitted is None:
            return text + ", not fitted)"
        failed = self.fitted.failed
        without = f", without {', '.join(failed)}" if failed else ""
        locations = len(self.fitted.locations)
        return text + f"; fitted to {self.runs} runs at {locations} locations{without}, {self.choice})"
