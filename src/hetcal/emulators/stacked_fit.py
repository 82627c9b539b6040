"""What a fit of a stack gave: learners, the scale of their predictions, level 1, and the calibrated variance."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.emulators.base import Replicates, find_replicates
from hetcal.emulators.hetgp import FitWarning, HetGP
from hetcal.emulators.hetgp_state import HetGPState, log_density
from hetcal.emulators.stacked_learners import FittedLearners, fit_learners
from hetcal.emulators.stacked_process import Places, StackedProcess
from hetcal.emulators.stacked_variance import HeldOut, MeanVariance, fit_mean_variance

if TYPE_CHECKING:
    import pandas as pd


class LearnerWarning(UserWarning):
    """A learner of a stack failed and was left out."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """From a learner's predictions to level 1's inputs, which lie in a unit cube with room around the training ones.

    Attributes
    ----------
    low, width : numpy.ndarray
        By learner, (k,). Training lies from 1/4 to 3/4; predictions beyond the cube are held at its sides.
    """

    low: np.ndarray
    width: np.ndarray

    @classmethod
    def of(cls, predicted: np.ndarray) -> Scaling:
        """From out-of-fold predictions (n, k)."""
        low, spread = predicted.min(axis=0), np.ptp(predicted, axis=0)
        return cls(low - 0.5 * spread, 2.0 * spread)

    def inputs(self, predicted: np.ndarray) -> np.ndarray:
        """Inputs of level 1, (m, k)."""
        return np.clip((predicted - self.low) / self.width, 0.0, 1.0)

    def predicted(self, inputs: np.ndarray) -> np.ndarray:
        """Predictions from inputs, (m, k)."""
        return self.low + inputs * self.width


@dataclass(frozen=True, eq=False)
class StackFit:
    """Everything that a fit of a stack gave.

    Attributes
    ----------
    rows : numpy.ndarray
        What both levels learn from, (n, d): locations, or single runs where folds were of runs.
    count : numpy.ndarray
        Runs of each, (n,).
    level0 : FittedLearners
    failed : dict of str to str
        Why learners were left out.
    scaling : Scaling
    level1 : HetGP
        Of the rows' means over the scaled out-of-fold predictions, and the parameters where `with_parameters`. Its
        noise holds what the learners miss beside the noise of a mean.
    with_parameters : bool
    mean_variance : MeanVariance or None
        None where level 1's own variance is all.
    held_out_var : numpy.ndarray or None
        Variance of the mean at each location, learned without its fold, (n,).
    held_out_noise_var : numpy.ndarray or None
        Noise variance of one run at each location, (n,).
    """

    rows: np.ndarray
    count: np.ndarray
    level0: FittedLearners
    failed: dict[str, str]
    scaling: Scaling
    level1: HetGP
    with_parameters: bool
    mean_variance: MeanVariance | None = None
    held_out_var: np.ndarray | None = None
    held_out_noise_var: np.ndarray | None = None

    @property
    def state(self) -> HetGPState:
        """State of level 1."""
        assert self.level1.state is not None
        return self.level1.state

    @property
    def locations(self) -> np.ndarray:
        """Where the runs were, (n, d)."""
        return find_replicates(self.rows, np.zeros(len(self.rows))).X

    @property
    def process(self) -> StackedProcess:
        """The process of the latent mean over the parameters."""
        learned, d = self.mean_variance, self.rows.shape[1]
        factor, length = (1.0, 1.0) if learned is None else (learned.factor, learned.lengthscale)
        return StackedProcess(self.level1.process, factor, np.full(d, length), self.place)

    def place(self, X: np.ndarray) -> Places:
        """What both levels say of points (m, d) of the unit cube."""
        predicted = self.level0.predict(X)
        inputs = self.scaling.inputs(predicted)
        if self.with_parameters:
            inputs = np.hstack([inputs, X])
        mean, level1_var = self.level1.process.predict(inputs)
        noise_var, excess = self.level1._noise(inputs), np.zeros(len(X))
        if self.mean_variance is not None:
            at = predicted.var(axis=1), mean
            excess = self.mean_variance.excess(level1_var, *at)
            noise_var = self.mean_variance.noise_var(noise_var, *at)
        return Places(X, inputs, mean, level1_var, excess, noise_var)

    def updated(self, X: np.ndarray, y: np.ndarray) -> StackFit:
        """With more runs (N, d), (N,) at level 1; new locations enter with what the learners predict there."""
        by_location = self.mean_variance is not None
        data = find_replicates(X, y) if by_location else single_runs(find_replicates(X, y))
        known = {row.tobytes(): i for i, row in enumerate(self.rows)} if by_location else {}
        at = np.array([known.get(row.tobytes(), -1) for row in data.X])
        new, old = at < 0, at[at >= 0]
        count, means = self.count.copy(), self.state.Z0.copy()
        count[old] += data.count[~new]
        means[old] += (data.mean[~new] - means[old]) * data.count[~new] / count[old]
        level1 = copy.copy(self.level1)
        level1._condition(replace(self.state, Z0=means, Z=means))
        grown = replace(self, level1=level1, count=count)
        if not new.any():
            return grown
        places = self.place(data.X[new])
        level1.update(_apart(np.vstack([self.state.X0, places.inputs]))[len(means) :], data.mean[new])
        return replace(
            grown,
            rows=np.vstack([self.rows, places.X]),
            count=np.concatenate([count, data.count[new]]),
            held_out_var=_longer(self.held_out_var, self.process.variance(places)),
            held_out_noise_var=_longer(self.held_out_noise_var, places.noise_var),
        )

    def leave_one_out(self) -> pd.DataFrame:
        """Each location from all others, on the latent scale; see `HetGP.leave_one_out`."""
        frame = self.level1.leave_one_out()
        if self.held_out_var is not None:
            frame["mean_var"] = self.held_out_var
            frame["noise_var"] = self.held_out_noise_var
        frame["replicates"] = self.count
        variance = frame["mean_var"] + frame["noise_var"] / frame["replicates"]
        frame["sd"] = np.sqrt(variance)
        frame["z"] = (frame["observed"] - frame["mean"]) / frame["sd"]
        frame["log_score"] = log_density(frame["observed"], frame["mean"], variance)
        return frame

    def contributions(self) -> pd.DataFrame:
        """See `StackedGP.contributions`."""
        import pandas as pd

        state, names = self.state, self.level0.names
        predicted = self.scaling.predicted(state.X0[:, : len(names)])
        rows = [
            (name, _rmse(state.Z0, predicted[:, k]), self._rmse_without(k), "")
            for k, name in enumerate(names)
        ]
        rows += [(name, np.nan, np.nan, why) for name, why in self.failed.items()]
        rows.append(("stack", _rmse(state.Z0, state.leave_one_out(self.level1.process)[0]), np.nan, ""))
        frame = pd.DataFrame(rows, columns=["learner", "rmse", "rmse_without", "note"])
        frame.insert(2, "r2", 1 - (frame["rmse"] / state.Z0.std()) ** 2)
        return frame

    def _rmse_without(self, column: int) -> float:
        state, process = self.state, self.level1.process
        if state.X0.shape[1] == 1:
            return float("nan")
        less = replace(process, X=np.delete(state.X0, column, 1), theta=np.delete(process.theta, column))
        return _rmse(state.Z0, less.leave_one_out(state.noise_ratio / state.mult)[0])


def fit_stack(
    data: Replicates,
    learners: dict[str, dict[str, Any]],
    folds: int,
    level1: HetGP,
    with_parameters: bool,
    by_location: bool,
    rng: np.random.Generator,
    start: dict[str, Any] | None,
    name: str,
) -> StackFit:
    """Fit both levels.

    Parameters
    ----------
    data : Replicates
        On the scale that is emulated.
    learners : dict
        Hyperparameters by name.
    folds : int
    level1 : HetGP
        Unfitted; its lengthscale bounds are set here.
    with_parameters : bool
        Level 1 sees the parameters too.
    by_location : bool
        Folds of locations and a calibrated variance; folds of single runs and level 1's own variance otherwise.
    rng : numpy.random.Generator
        Of the folds and of the learners' seeds.
    start : dict or None
        Hyperparameters of an earlier fit.
    name : str
        What warnings call this fit.

    Returns
    -------
    StackFit
    """
    # Means and not runs are learned: a forest of rows that repeat puts each location in a leaf of its own, and a
    # hundred runs of one place would outweigh all others, though its mean is no better a guide to the rest. At level 1
    # replicates would pin the noise, and what the learners miss were taken for a rough function of their predictions.
    data = data if by_location else single_runs(data)
    fold = rng.permutation(np.arange(len(data.X)) % folds)
    out_of_fold, level0, failed = fit_learners(
        data.X, data.mean, fold, learners, rng.integers(2**31 - 1, size=len(learners))
    )
    _tell(failed, level0.names, name)
    scaling = Scaling.of(out_of_fold)
    inputs = _apart(scaling.inputs(out_of_fold))
    # Lengthscales from .1 to 10 standard deviations of a learner's predictions, or sides of the cube.
    unit = out_of_fold.std(axis=0, ddof=1) / scaling.width
    if with_parameters:
        inputs, unit = np.hstack([inputs, data.X]), np.concatenate([unit, np.ones(data.X.shape[1])])
    level1.bounds = 0.1 * unit, 10.0 * unit
    warm = _warm_start(start, level0.names, len(unit))
    level1.fit(inputs, data.mean, start=warm, name=f"{name} (level 1)")
    fit = StackFit(data.X, data.count, level0, failed, scaling, level1, with_parameters)
    if not by_location:
        return fit
    left_out = level1.leave_one_out()
    mean = left_out["mean"].to_numpy()
    location = np.repeat(np.arange(len(data.count)), data.count)
    held_out = HeldOut(
        X=data.X,
        residual=data.mean - mean,
        mean_var=left_out["mean_var"].to_numpy(),
        noise_var=left_out["noise_var"].to_numpy(),
        squares=np.bincount(location, weights=(data.y - data.mean[location]) ** 2),
        replicates=data.count,
        mean=mean,
        disagreement=out_of_fold.var(axis=1),
        fold=fold,
    )
    if data.count.max() == 1:
        warnings.warn(
            f"{name}: no location has two runs, so what the learners miss cannot be told from noise, and mean_var is "
            "likely too small: give every location at least two",
            FitWarning,
            stacklevel=3,
        )
    mean_variance, held_out_var, held_out_noise_var = fit_mean_variance(held_out)
    return replace(
        fit, mean_variance=mean_variance, held_out_var=held_out_var, held_out_noise_var=held_out_noise_var
    )


def single_runs(data: Replicates) -> Replicates:
    """Each run as if it were a location of its own."""
    n = np.arange(len(data.y))
    return Replicates(np.repeat(data.X, data.count, axis=0), data.y, np.ones_like(n), data.y, n)


def _tell(failed: dict[str, str], kept: tuple[str, ...], name: str) -> None:
    if not kept:
        told = "; ".join(f"{learner}: {why}" for learner, why in failed.items())
        raise ValueError(f"{name}: every learner of the stack failed ({told})")
    for learner, why in failed.items():
        warnings.warn(
            f"{name}: the stack goes on without {learner}, which failed: {why}", LearnerWarning, stacklevel=4
        )


def _apart(inputs: np.ndarray) -> np.ndarray:
    """Inputs (n, k) with equal rows a hair apart: trees predict the same for many locations, which stay locations."""
    _, first = np.unique(inputs, axis=0, return_index=True)
    again = np.setdiff1d(np.arange(len(inputs)), first)
    apart = inputs.copy()
    apart[again, 0] += 1e-9 * (1 + again) * np.where(inputs[again, 0] < 0.5, 1, -1)  # and stay in the cube
    return apart


def _longer(of_rows: np.ndarray | None, more: np.ndarray) -> np.ndarray | None:
    return None if of_rows is None else np.concatenate([of_rows, more])


def _warm_start(start: dict[str, Any] | None, names: tuple[str, ...], inputs: int) -> dict[str, Any] | None:
    """Level 1's start, where the earlier fit had the same inputs."""
    if start is None or tuple(start.get("learners", ())) != names or len(start["theta"]) != inputs:
        return None
    return {k: v for k, v in start.items() if k != "learners"}


def _rmse(observed: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.sqrt(np.mean((observed - predicted) ** 2)))
