"""Targets: what the simulator shall reproduce, and how a miss is counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetcal.observed import Observed

STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda x: x.mean(axis=0),
    "median": lambda x: np.median(x, axis=0),
    "sd": lambda x: x.std(axis=0, ddof=1),
    "share_positive": lambda x: (x > 0).mean(axis=0),
}


@dataclass(frozen=True, eq=False, repr=False)
class Target(Observed):
    """Loss of a single run against observed data.

    Parameters
    ----------
    output : str
        The simulator's output that is compared.
    observed : array_like
        The data, of the output's shape (or of the statistic's).
    loss : str
        "rss", "log_rss", "sqrt_rss" (sums of squared differences, of logs, of roots), "binomial" (minus log
        likelihood, p clipped to [.001, .999], needs `trials`), "poisson_deviance", "half_poisson_deviance" (half of
        it, on the scale of a log likelihood), "negative_binomial" (deviance, needs `dispersion` k: variance
        mu + mu^2/k), "gaussian" (half the squared residuals over `sd`), "log_gaussian" (minus log likelihood of the
        residuals of logs with their own standard deviation s, s^2 = RSS / (n - 1):
        n (log(2 pi) / 2 + log s) + (n - 1) / 2; needs `least_sd`).
    weight : float
        Share in the total, at least 0.
    name : str, optional
        The output's name where none is given.
    statistic : callable, optional
        Applied to the output of each run before it is compared.
    floor : float, optional
        Least simulated mean of count losses, log_rss and log_gaussian (.5 where none is given): a run that dies out has
        a large loss, not an infinite one. Data of log_rss and log_gaussian between 0 and .5, such as rates, need one.
    trials, dispersion, sd : float or array_like, optional
        The family's own constant, one number or one a datum.
    least_sd : float, optional
        Least s of log_gaussian: a run that comes nearer than that has the lowest loss, which may be negative.
    bias : float or "profiled", optional
        Of log_rss and log_gaussian: the factor by which the simulator's numbers lie above the observed kind (densities
        by another method of counting); they are divided by it, after the floor. "profiled" takes for each run the
        factor that makes its loss least, the geometric mean of simulated over observed. A bias that is a parameter
        belongs into the simulator.
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

    @property
    def is_series(self) -> bool:
        """Whether the data are those of one day after the other."""
        return self.observed.ndim == 1 and self.observed.size > 1

    def compared(self, simulated: np.ndarray) -> np.ndarray:
        """What is compared with the data: the statistic of each of n finite runs (n, *shape); (n, *observed.shape).

        A bias is taken out.
        """
        if not len(simulated):
            return np.empty((0, *self.observed.shape))
        reduced = np.asarray(self._reduced(np.asarray(simulated, dtype=float)))
        return self._without_bias(reduced.reshape(len(reduced), *self.observed.shape))

    def pair_losses(self, reference: np.ndarray, simulated: np.ndarray) -> np.ndarray:
        """Loss of runs against other runs in the place of the data, both (n, *shape) and finite; (n,)."""
        floor = self._floor if self.bias is None else None  # those without bias have it
        return self.family.evaluate(self.compared(reference), self.compared(simulated), floor, self._extra)

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
class EnsembleTarget(Observed):
    """Loss of a statistic over the replicates of a location, with its standard error.

    For data that are themselves ensemble statistics (the share of outbreaks that invade, a mean over seasons).

    Parameters
    ----------
    output, observed, loss, weight, name, floor, trials, dispersion, sd, least_sd, bias, label
        As in `Target`.
    statistic : {"mean", "median", "sd", "share_positive"} or callable
        Takes the outputs of a location's M replicates, shape (M, *shape), to what was observed.
    realisations : int, optional
        How many runs, or outbreaks, the observed statistic was made of; a noise floor counts what chance did to them.
        Where it is not given the data are taken to be exact.
    kept : sequence of int, optional
        Elements of the output, numbered in its flattened order, that were observed; all of them where it is not given.
        The statistic then takes (M, number kept).
    names : sequence of str, optional
        What a report calls the elements of the output, all of them in its flattened order ("Aachen", "Bonn"); their
        numbers in brackets where it is not given.

    Raises
    ------
    ValueError
        As `Target`, and if the statistic is unknown, `realisations` is no whole number of at least 1, `kept` names
        elements twice, below 0, or others than as many as were observed, or `names` are too few or two of them alike.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> target = hc.EnsembleTarget("cases", observed=[2.0], loss="rss", statistic="mean")
    >>> target.loss_and_error(np.array([[1.0], [3.0]]))[0]
    0.0
    """

    realisations: int | None = None
    kept: Any = None
    names: Any = None

    def __post_init__(self) -> None:
        if not callable(self.statistic) and self.statistic not in STATISTICS:
            raise ValueError(
                f"target {self.name or self.output!r}: statistic is a function of an (M, ...) array or one of "
                f"{', '.join(STATISTICS)}, not {self.statistic!r}"
            )
        super().__post_init__()
        count = self.realisations
        if count is not None and (
            isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < self.fewest
        ):
            raise ValueError(
                f"target {self.name!r}: realisations is a whole number of at least {self.fewest}, not {count!r}"
            )
        if self.kept is not None:
            kept = np.atleast_1d(np.asarray(self.kept))
            whole = kept.dtype.kind in "iu" and kept.min() >= 0 and len(np.unique(kept)) == kept.size
            if not whole or kept.shape != self.observed.shape:
                raise ValueError(
                    f"target {self.name!r}: kept names the elements of {self.output!r} that were observed, "
                    f"{self.observed.size} different whole numbers of at least 0, not {self.kept!r}"
                )
            object.__setattr__(self, "kept", tuple(kept.tolist()))
        if self.names is not None:
            names = tuple(map(str, np.ravel(self.names)))
            if len(set(names)) < len(names) or len(names) <= max(self.elements):
                raise ValueError(
                    f"target {self.name!r}: names are what all elements of {self.output!r} are called, at least "
                    f"{max(self.elements) + 1} different ones, not {self.names!r}"
                )
            object.__setattr__(self, "names", names)

    def describe(self) -> dict[str, Any]:
        """Plain description, for reports and a study's settings."""
        return super().describe() | {"realisations": self.realisations, "kept": self.kept}

    @property
    def elements(self) -> tuple[int, ...]:
        """Elements of the flattened output that are compared, in the order of the observed values."""
        return tuple(range(self.observed.size)) if self.kept is None else self.kept

    @property
    def data_names(self) -> tuple[str, ...]:
        """What each datum is called: "" where there is one only."""
        if self.observed.size == 1:
            return ("",)
        if self.names is None:
            return tuple(f"[{element}]" for element in self.elements)
        return tuple(self.names[element] for element in self.elements)

    def of_ensembles(self, ensembles: Sequence[np.ndarray]) -> np.ndarray:
        """The statistic of each of n ensembles, (M, *shape) each and complete; (n, *observed.shape)."""
        if not len(ensembles):
            return np.empty((0, *self.observed.shape))
        return self._without_bias(self._statistics(ensembles).reshape(len(ensembles), *self.observed.shape))

    @property
    def fewest(self) -> int:
        """Fewest replicates that the statistic is defined for."""
        return 2 if self.statistic == "sd" else 1

    @property
    def noise_is_known(self) -> bool:
        """Whether `contributions` can take the expected noise out of the loss."""
        # The jackknife's variance of a median is not consistent.
        return self.loss in ("rss", "gaussian") and self.statistic != "median"

    def check_replicates(self, replicates: int, debias: bool) -> None:
        """Raise ``ValueError`` where so many replicates give no loss, or none whose noise can be taken out."""
        if replicates < self.fewest:
            raise ValueError(
                f"target {self.name!r}: a standard deviation needs at least 2 replicates, not {replicates}"
            )
        if not debias:
            return
        if not self.noise_is_known:
            raise ValueError(
                f"target {self.name!r}: the noise of {self.loss} of a {self.statistic} is not known; it is of rss and "
                "gaussian, of all statistics but the median: choose among those, or give debias=False"
            )
        if replicates < self.fewest + 1:
            raise ValueError(
                f"target {self.name!r}: the noise of its statistic is seen in at least {self.fewest + 1} replicates, "
                f"not {replicates}: give more, or debias=False"
            )

    def loss_and_error(self, simulated: np.ndarray, debias: bool = False) -> tuple[float, float]:
        """Loss of one location and its jackknife standard error.

        Parameters
        ----------
        simulated : numpy.ndarray
            Outputs of the M replicates that have them, shape (M, *shape).
        debias : bool
            See `contributions`.

        Returns
        -------
        tuple of float
            Loss and standard error; both NaN for too few replicates, the error NaN for fewer than three.
        """
        each = self.contributions(simulated, debias)
        if len(each) < self.fewest + debias:
            return math.nan, math.nan
        loss = float(each.mean()) if debias else self._statistic_loss(simulated)
        return loss, float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 2 else math.nan

    def contributions(self, simulated: np.ndarray, debias: bool = False) -> np.ndarray:
        """What each replicate of a location adds to its loss: values whose mean is the loss.

        They are the jackknife's pseudo-values: their spread over the root of M is the loss's standard error, and on
        common seeds those of two locations are compared pair by pair.

        Parameters
        ----------
        simulated : numpy.ndarray
            Outputs of the M replicates that have them, shape (M, *shape).
        debias : bool
            Subtract the noise that a squared misfit of M replicates has on average, the statistic's variance over
            the squared scale. Without, more replicates have a lower loss wherever they are. The variance is the
            jackknife's: s^2 / M for a mean, p (1 - p) / (M - 1) for a share. The loss can then be below 0.

        Returns
        -------
        numpy.ndarray
            Shape (M,), NaN for fewer replicates than the statistic, or its variance, needs.

        References
        ----------
        Efron (1982), The jackknife, the bootstrap and other resampling plans.

        Examples
        --------
        >>> import numpy as np
        >>> import hetcal as hc
        >>> target = hc.EnsembleTarget("cases", observed=[2.0], loss="rss", statistic="mean")
        >>> float(target.contributions(np.array([[1.0], [3.0]]), debias=True).mean())
        -1.0
        """
        simulated = np.asarray(simulated, dtype=float)
        m = len(simulated)
        if m < self.fewest + debias:
            return np.full(m, math.nan)
        self.check_replicates(m, debias)
        loss = self._statistic_loss(simulated)
        if m == self.fewest:
            return np.full(m, loss)
        left_out = self._left_out(simulated)
        each = m * loss - (m - 1) * self._evaluate(left_out)
        if debias:
            # Of squares, the noise is the loss of a miss by one standard error in every datum.
            loss -= float(self._evaluate((self.observed + _jackknife_error(left_out))[None])[0])
        return each + (loss - each.mean())

    def chance_loss(self, simulated: np.ndarray) -> float:
        """Loss that chance alone gives data made of `realisations` such runs: a miss by one standard error of those.

        Parameters
        ----------
        simulated : numpy.ndarray
            Outputs of M replicates of a location, shape (M, *shape).

        Returns
        -------
        float
            0 where the data are exact, NaN for too few replicates.
        """
        if self.realisations is None:
            return 0.0
        simulated = np.asarray(simulated, dtype=float)
        m = len(simulated)
        if m <= self.fewest:
            return math.nan
        mean = self._statistics([simulated])[0]
        miss = _jackknife_error(self._left_out(simulated)) * math.sqrt(m / self.realisations)
        return float(self.family.evaluate(mean + miss, mean[None], self._floor, self._extra)[0])

    def _left_out(self, simulated: np.ndarray) -> np.ndarray:
        """The statistic without each of the replicates in turn, (M, *observed.shape)."""
        return self._statistics([np.delete(simulated, i, axis=0) for i in range(len(simulated))])

    def _statistics(self, ensembles: Sequence[np.ndarray]) -> np.ndarray:
        """The statistic of each ensemble, (n, *observed.shape)."""
        statistic = self.statistic if callable(self.statistic) else STATISTICS[self.statistic]
        if self.kept is not None:
            ensembles = [x.reshape(len(x), -1)[:, self.kept] for x in ensembles]
        return np.array([np.atleast_1d(np.asarray(statistic(x), dtype=float)) for x in ensembles])

    def _statistic_loss(self, simulated: np.ndarray) -> float:
        """The loss of an ensemble."""
        losses = self._evaluate(self._statistics([np.asarray(simulated, dtype=float)]))
        self._refuse_non_finite(losses, np.ones(1, dtype=bool))
        return float(losses[0])


def _jackknife_error(left_out: np.ndarray) -> np.ndarray:
    """Standard error of a statistic from its values without each of M runs, (M, *s) to (*s)."""
    return np.sqrt((len(left_out) - 1) * left_out.var(axis=0))
