"""What was observed, and the loss family that counts how far a simulated output is from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np

from hetcal.losses import LOSSES, Loss, check_observed


@dataclass(frozen=True, eq=False)
class Observed:
    """What targets of single runs and of ensembles have in common: `Target` and `EnsembleTarget` say the rest."""

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
    least_sd: Any = None
    bias: Any = None

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
        for option in ("trials", "dispersion", "sd", "least_sd"):
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
        small = self.observed[(self.observed > 0) & (self.observed < (self.family.floor or 0.0))]
        if self.family.logs and self.floor is None and small.size:
            raise ValueError(
                f"target {self.name!r}: {small.min():g} was observed, and {self.loss} takes all below "
                f"{self.family.floor:g} for {self.family.floor:g}, the least of counts: give floor=, the least value "
                "that differs from none, such as a tenth of the smallest datum"
            )
        check_observed(self.family, self.observed, self._extra, self.name)
        if self.bias is None:
            return
        if not self.family.logs:
            raise ValueError(
                f"target {self.name!r}: loss {self.loss!r} takes no bias=, log_rss and log_gaussian do"
            )
        number = isinstance(self.bias, (int, float, np.number)) and 0 < self.bias < math.inf
        if not number and not (isinstance(self.bias, str) and self.bias == "profiled"):
            raise ValueError(
                f'target {self.name!r}: bias is a positive number or "profiled", not {self.bias!r}'
            )

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
    def is_series(self) -> bool:
        """Whether the data are those of one day after the other."""
        return False

    @property
    def data_names(self) -> tuple[str, ...]:
        """What each datum is called: "" where there is one only, its day in a series, its place in a larger array."""
        if self.observed.size == 1:
            return ("",)
        if self.is_series:
            return tuple(f"day {i}" for i in range(self.observed.size))
        return tuple(str(tuple(int(i) for i in index)) for index in np.ndindex(self.observed.shape))

    @property
    def least(self) -> float:
        """Least value that the loss takes data and means for; 0 where it has no floor."""
        return self._floor or 0.0

    @property
    def _floor(self) -> float | None:
        return self.family.floor if self.floor is None else self.floor

    def _evaluate(self, simulated: np.ndarray) -> np.ndarray:
        simulated = self._shaped(simulated)
        if self.bias is None:
            return self.family.evaluate(self.observed, simulated, self._floor, self._extra)
        observed = np.maximum(self.observed, self.least)
        return self.family.evaluate(observed, self._without_bias(simulated), None, self._extra)

    def _without_bias(self, simulated: np.ndarray) -> np.ndarray:
        """What was simulated (n, *observed.shape), divided by the bias; the floor is taken before."""
        if self.bias is None:
            return simulated
        simulated = np.maximum(simulated, self.least)
        if self.bias != "profiled":
            return simulated / self.bias
        ratios = np.log(simulated / np.maximum(self.observed, self.least))
        return simulated / np.exp(ratios.mean(axis=tuple(range(1, ratios.ndim)), keepdims=True))

    def _shaped(self, simulated: np.ndarray) -> np.ndarray:
        simulated = np.asarray(simulated, dtype=float)
        if simulated.shape[1:] == ():
            simulated = simulated[:, None]
        if simulated.shape[1:] != self.observed.shape:
            raise ValueError(
                f"target {self.name!r}: output {self.output!r} gives shape {simulated.shape[1:]} a run but "
                f"{self.observed.shape} was observed: give the observed data of that shape, or a statistic"
            )
        return simulated

    def _refuse_non_finite(self, losses: np.ndarray, valid: np.ndarray) -> None:
        wrong = valid & ~np.isfinite(losses)
        if wrong.any():
            raise ValueError(
                f"target {self.name!r}: {self.loss} is not finite for {wrong.sum()} of {valid.sum()} valid runs "
                f"({wrong.sum() / valid.sum():.0%}): choose a loss that is defined there, or a floor"
            )

    def describe(self) -> dict[str, Any]:
        """Plain description, for reports and a study's settings."""
        return (
            {
                "name": self.name,
                "output": self.output,
                "loss": self.loss,
                "weight": float(self.weight),
                "observed": self.observed.tolist(),
                "floor": self._floor,
                "statistic": str(self.statistic)
                if isinstance(self.statistic, str) or is_dataclass(self.statistic)
                else getattr(self.statistic, "__name__", None),
            }
            | ({self.family.extra: np.asarray(self._extra).tolist()} if self.family.extra else {})
            | ({} if self.bias is None else {"bias": self.bias})
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.loss}, {self.observed.size} data, weight {self.weight:g})"
