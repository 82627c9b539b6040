"""Targets: what the simulator shall reproduce, and how a miss is counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetcal.losses import LOSSES, Loss, check_observed

STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda x: x.mean(axis=0),
    "median": lambda x: np.median(x, axis=0),
    "sd": lambda x: x.std(axis=0, ddof=1),
    "share_positive": lambda x: (x > 0).mean(axis=0),
}


@dataclass(frozen=True, eq=False)
class _Observed:
    """What targets of single runs and of ensembles have in common."""

    output: str
    observed: Any
    loss: str = "poisson_deviance"
    weight: float = 1.0
    name: str = ""
    statistic: Any = None
    floor: float | None = None
    trials: Any = None
    dispersion: Any = None
    sd: Any = None
    label: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.output)
        if self.loss not in LOSSES:
            raise ValueError(f"target {self.name!r}: loss is one of {', '.join(LOSSES)}, not {self.loss!r}")
        data = np.atleast_1d(np.asarray(self.observed, dtype=float))
        if data.size == 0 or not np.all(np.isfinite(data)):
            where = np.flatnonzero(~np.isfinite(data.ravel()))
            raise ValueError(
                f"target {self.name!r}: observed data must be finite, "
                + (
                    f"but number {where[0]} is {data.ravel()[where[0]]}"
                    if data.size
                    else "but there are none"
                )
                + "; leave it out with statistic=lambda x: x[kept]"
            )
        object.__setattr__(self, "observed", data)
        if not (isinstance(self.weight, (int, float, np.number)) and 0 <= self.weight < math.inf):
            raise ValueError(
                f"target {self.name!r}: a weight is a finite number of at least 0, not {self.weight!r}"
            )
        for option in ("trials", "dispersion", "sd"):
            if getattr(self, option) is not None and self.family.extra != option:
                raise ValueError(f"target {self.name!r}: loss {self.loss!r} takes no {option}=")
        if self._extra.size > 1 and self._extra.shape != data.shape:
            raise ValueError(
                f"target {self.name!r}: {self.family.extra} has shape {self._extra.shape} but {data.shape} was "
                "observed: give one number, or one a datum"
            )
        if self.floor is not None and (self.family.floor is None or not self.floor > 0):
            raise ValueError(
                f"target {self.name!r}: floor={self.floor!r}: "
                + ("it must be positive" if self.family.floor else f"loss {self.loss!r} takes none")
            )
        check_observed(self.family, self.observed, self._extra, self.name)

    @property
    def family(self) -> Loss:
        """The loss family."""
        return LOSSES[self.loss]

    @property
    def _extra(self) -> np.ndarray:
        if self.family.extra is None:
            return np.ones(1)
        value = getattr(self, self.family.extra)
        return np.asarray(math.nan if value is None else value, dtype=float)

    @property
    def least(self) -> float:
        """Least value that the loss takes data and means for; 0 where it has no floor."""
        return self._floor or 0.0

    @property
    def _floor(self) -> float | None:
        return self.family.floor if self.floor is None else self.floor

    def _evaluate(self, simulated: np.ndarray) -> np.ndarray:
        simulated = np.asarray(simulated, dtype=float)
        if simulated.shape[1:] == ():
            simulated = simulated[:, None]
        if simulated.shape[1:] != self.observed.shape:
            raise ValueError(
                f"target {self.name!r}: output {self.output!r} gives shape {simulated.shape[1:]} a run but "
                f"{self.observed.shape} was observed: give the observed data of that shape, or a statistic"
            )
        return self.family.evaluate(self.observed, simulated, self._floor, self._extra)

    def _refuse_non_finite(self, losses: np.ndarray, valid: np.ndarray) -> None:
        wrong = valid & ~np.isfinite(losses)
        if wrong.any():
            raise ValueError(
                f"target {self.name!r}: {self.loss} is not finite for {wrong.sum()} of {valid.sum()} valid runs "
                f"({wrong.sum() / valid.sum():.0%}): choose a loss that is defined there, or a floor"
            )

    def describe(self) -> dict[str, Any]:
        """Plain description, for reports and a study's settings."""
        return {
            "name": self.name,
            "output": self.output,
            "loss": self.loss,
            "weight": float(self.weight),
            "observed": self.observed.tolist(),
            "floor": self._floor,
            "statistic": self.statistic
            if isinstance(self.statistic, str)
            else getattr(self.statistic, "__name__", None),
        } | ({self.family.extra: np.asarray(self._extra).tolist()} if self.family.extra else {})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.loss}, {self.observed.size} data, weight {self.weight:g})"


@dataclass(frozen=True, eq=False, repr=False)
class Target(_Observed):
    """Loss of a single run against observed data.

    Parameters
    ----------
    output : str
        The simulator's output that is compared.
    observed : array_like
        The data, of the output's shape (or of the statistic's).
    loss : str
        "rss", "log_rss", "sqrt_rss" (sums of squared differences, of logs, of roots), "binomial" (minus log
        likelihood, p clipped to [.001, .999], needs `trials`), "poisson_deviance", "negative_binomial" (deviance,
        needs `dispersion` k: variance mu + mu^2/k), "gaussian" (half the squared residuals over `sd`).
    weight : float
        Share in the total, at least 0.
    name : str, optional
        The output's name where none is given.
    statistic : callable, optional
        Applied to the output of each run before it is compared.
    floor : float, optional
        Least simulated mean of count losses and log_rss (.5 where none is given): a run that dies out has a large
        loss, not an infinite one.
    trials, dispersion, sd : float or array_like, optional
        The family's own constant, one number or one a datum.
    label : str
        What a figure's axis calls the data, with its unit ("boys in bed"); the output's name where none is given.
    transform : "auto", None, "log" or ("log", bound)
        Scale on which this loss is emulated. "auto" is log(loss - bound) with a bound one unit (of log likelihood,
        or a thousandth of the data's sum of squares) below the lowest possible loss.

    Raises
    ------
    ValueError
        If the data are not finite or cannot belong to the family, an option does not belong to the loss, or the
        weight is negative.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> hc.Target("cases", observed=[3, 8, 26]).losses(np.array([[3.0, 8.0, 26.0]]))
    array([0.])
    """

    transform: Any = "auto"

    def losses(self, simulated: np.ndarray) -> np.ndarray:
        """Loss of each run.

        Parameters
        ----------
        simulated : numpy.ndarray
            The output of n runs, shape (n, *shape); NaN rows are runs without it.

        Returns
        -------
        numpy.ndarray
            Shape (n,), NaN where the run has no such output.

        Raises
        ------
        ValueError
            If the loss is not finite on a valid output.
        """
        simulated = np.asarray(simulated, dtype=float)
        valid = np.isfinite(simulated).all(axis=tuple(range(1, simulated.ndim)))
        out = np.full(len(simulated), np.nan)
        if valid.any():
            out[valid] = self._evaluate(self._reduced(simulated[valid]))
        self._refuse_non_finite(out, valid)
        return out

    def compared(self, simulated: np.ndarray) -> np.ndarray:
        """What is compared with the data: the statistic of each of n finite runs (n, *shape); (n, *observed.shape)."""
        reduced = np.asarray(self._reduced(np.asarray(simulated, dtype=float)))
        return reduced.reshape(len(reduced), *self.observed.shape)

    def pair_losses(self, reference: np.ndarray, simulated: np.ndarray) -> np.ndarray:
        """Loss of runs against other runs in the place of the data, both (n, *shape) and finite; (n,)."""
        return self.family.evaluate(
            self.compared(reference), self.compared(simulated), self._floor, self._extra
        )

    def _reduced(self, simulated: np.ndarray) -> np.ndarray:
        """The statistic of each run, or the runs as they are; what a user's function raises names the target."""
        if self.statistic is None:
            return simulated
        try:
            return np.stack([np.asarray(self.statistic(x), dtype=float) for x in simulated])
        except Exception as error:
            raise ValueError(
                f"target {self.name!r}: its statistic stops with {type(error).__name__}: {error}; it gets the output "
                f"of one run, shape {simulated.shape[1:]}, and returns what was observed, {self.observed.shape}"
            ) from error

    @property
    def emulated_scale(self) -> Any:
        """The transform in the form that `HetGP` takes; a logarithm that could meet 0 raises ``ValueError``."""
        lowest = self.family.lowest(self.observed, self._floor, self._extra)
        if self.transform == "auto":
            return ("log", lowest - self.family.unit(self.observed, self._floor, self._extra))
        self.check_transform(self.transform)
        return self.transform

    def check_transform(self, transform: Any) -> None:
        """Raise ``ValueError`` where ``transform`` is a logarithm that this loss could drive to minus infinity."""
        if transform is None:
            return
        bound = _log_bound(transform)
        if bound is None:
            raise ValueError(
                f'target {self.name!r}: transform is "auto", None, "log" or ("log", bound) with a finite bound, not '
                f"{transform!r}"
            )
        lowest = self.family.lowest(self.observed, self._floor, self._extra)
        if lowest <= bound:
            raise ValueError(
                f"target {self.name!r}: {self.loss} can be as low as {lowest:g}, so log(loss - {bound:g}) can fail: "
                f'give transform=("log", c) with c below {lowest:g}, "auto", or None'
            )


def _log_bound(transform: Any) -> float | None:
    """Bound of a logarithm as users write it; None for anything else."""
    if transform == "log":
        return 0.0
    pair = isinstance(transform, (tuple, list)) and len(transform) == 2 and transform[0] == "log"
    if pair and isinstance(transform[1], (int, float, np.number)) and math.isfinite(transform[1]):
        return float(transform[1])
    return None


@dataclass(frozen=True, eq=False, repr=False)
class EnsembleTarget(_Observed):
    """Loss of a statistic over the replicates of a location, with its standard error.

    For data that are themselves ensemble statistics (the share of outbreaks that invade, a mean over seasons).

    Parameters
    ----------
    output, observed, loss, weight, name, floor, trials, dispersion, sd, label
        As in `Target`.
    statistic : {"mean", "median", "sd", "share_positive"} or callable
        Takes the outputs of a location's M replicates, shape (M, *shape), to what was observed.

    Raises
    ------
    ValueError
        As `Target`, and if the statistic is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> target = hc.EnsembleTarget("cases", observed=[2.0], loss="rss", statistic="mean")
    >>> target.loss_and_error(np.array([[1.0], [3.0]]))[0]
    0.0
    """

    def __post_init__(self) -> None:
        if not callable(self.statistic) and self.statistic not in STATISTICS:
            raise ValueError(
                f"target {self.name or self.output!r}: statistic is a function of an (M, ...) array or one of "
                f"{', '.join(STATISTICS)}, not {self.statistic!r}"
            )
        super().__post_init__()

    def loss_and_error(self, simulated: np.ndarray) -> tuple[float, float]:
        """Loss of one location and its jackknife standard error.

        Parameters
        ----------
        simulated : numpy.ndarray
            Outputs of the M replicates that have them, shape (M, *shape).

        Returns
        -------
        tuple of float
            Loss and standard error; both NaN without replicates, the error NaN for fewer than three.
        """
        simulated = np.asarray(simulated, dtype=float)
        m = len(simulated)
        if m == 0:
            return math.nan, math.nan
        statistic = self.statistic if callable(self.statistic) else STATISTICS[self.statistic]
        value = self._statistic_loss(statistic, simulated)
        if m < 3:
            return value, math.nan
        left_out = np.array(
            [self._statistic_loss(statistic, np.delete(simulated, i, axis=0)) for i in range(m)]
        )
        return value, math.sqrt((m - 1) / m * float(((left_out - left_out.mean()) ** 2).sum()))

    def _statistic_loss(self, statistic: Callable[[np.ndarray], Any], simulated: np.ndarray) -> float:
        losses = self._evaluate(np.atleast_1d(np.asarray(statistic(simulated), dtype=float))[None])
        self._refuse_non_finite(losses, np.ones(1, dtype=bool))
        return float(losses[0])
