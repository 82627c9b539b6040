"""Parameters and the space they span: priors, and the way between natural units and the unit cube."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# An unbounded prior has no finite value at 0 and 1: its ends are these quantiles.
_TAIL = 1e-9


def uniform(low: float, high: float) -> Any:
    """Uniform prior on [low, high].

    Parameters
    ----------
    low, high : float
        Ends of the range, in the parameter's unit; ``low < high``.

    Returns
    -------
    scipy.stats frozen distribution

    Raises
    ------
    ValueError
        If the range is empty or not finite.

    Examples
    --------
    >>> import hetcal as hc
    >>> float(hc.uniform(1, 3).mean())
    2.0
    """
    from scipy import stats

    _check_range(low, high)
    return stats.uniform(low, high - low)


def log_uniform(low: float, high: float) -> Any:
    """Prior that is uniform on the logarithm, for a positive parameter known to an order of magnitude.

    Parameters
    ----------
    low, high : float
        Ends of the range, in the parameter's unit; ``0 < low < high``.

    Returns
    -------
    scipy.stats frozen distribution

    Raises
    ------
    ValueError
        If the range is empty, not finite or not positive.

    Examples
    --------
    >>> import hetcal as hc
    >>> round(float(hc.log_uniform(1, 100).median()), 6)
    10.0
    """
    from scipy import stats

    _check_range(low, high)
    if low <= 0:
        raise ValueError(f"log_uniform needs low > 0, not {low}: use uniform for a range that holds 0")
    return stats.loguniform(low, high)


def _check_range(low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"a prior's range needs finite low < high, not low={low}, high={high}")


@dataclass(frozen=True)
class Parameter:
    """One unknown of the simulator, with its prior.

    Parameters
    ----------
    name : str
        The simulator's name for it.
    prior : scipy.stats frozen continuous distribution
        `uniform`, `log_uniform` or any other, ``scipy.stats.gamma(2)`` for instance.
    unit : str, optional
        Unit for tables and axes.
    label : str, optional
        What a reader calls it; the name where none is given.

    Raises
    ------
    TypeError
        If the prior is not a frozen scipy.stats distribution, or is discrete.
    ValueError
        If the name is empty or the prior has no support.

    Examples
    --------
    >>> import hetcal as hc
    >>> hc.Parameter("R0", hc.uniform(1.2, 8.0), label="basic reproduction number").name
    'R0'
    """

    name: str
    prior: Any
    unit: str = ""
    label: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"a parameter's name is a non-empty text, not {self.name!r}")
        if hasattr(self.prior, "pmf"):
            raise TypeError(
                f"parameter {self.name!r} has a discrete prior: emulators interpolate between neighbouring "
                "values and the unit cube has no inverse for steps. Use a continuous prior and let the "
                "simulator round, or run one study a value"
            )
        if not (hasattr(self.prior, "ppf") and hasattr(self.prior, "cdf")) or not hasattr(self.prior, "dist"):
            raise TypeError(
                f"the prior of parameter {self.name!r} must be hetcal.uniform, hetcal.log_uniform or a frozen "
                f"scipy.stats distribution such as scipy.stats.gamma(2), not {self.prior!r}"
            )
        quantiles = np.asarray(self.prior.ppf([0.05, 0.5, 0.95]), dtype=float)
        if not np.all(np.isfinite(quantiles)) or quantiles[0] == quantiles[-1]:
            raise ValueError(
                f"the prior of parameter {self.name!r} has no support: its 5, 50 and 95 % quantiles are "
                f"{quantiles.tolist()}; check its arguments {self.prior.args} {self.prior.kwds}"
            )

    @property
    def title(self) -> str:
        """Label with unit, for axes and tables."""
        text = self.label or self.name
        return f"{text} ({self.unit})" if self.unit else text

    @property
    def support(self) -> tuple[float, float]:
        """Lowest and highest value in natural units that the unit interval reaches."""
        low, high = self._quantile(np.array([0.0, 1.0]))
        return float(low), float(high)

    def _quantile(self, u: np.ndarray) -> np.ndarray:
        low, high = self.prior.support()
        if not math.isfinite(low):
            u = np.maximum(u, _TAIL)
        if not math.isfinite(high):
            u = np.minimum(u, 1 - _TAIL)
        return self.prior.ppf(u)

    def __repr__(self) -> str:
        low, high = self.support
        prior = f"{self.prior.dist.name}[{low:.6g}, {high:.6g}]"
        return f"Parameter({self.name!r}, {prior}{', unit=' + repr(self.unit) if self.unit else ''})"


@dataclass(frozen=True)
class Space:
    """The box of parameters that a study searches.

    Methods work in the unit cube, people see natural units; the two are joined by the priors' quantile
    functions, so that points spread evenly over the cube are draws from the prior.

    Parameters
    ----------
    parameters : sequence of Parameter
        At least one; names must differ.

    Raises
    ------
    ValueError
        If there is no parameter or a name stands twice.

    Examples
    --------
    >>> import hetcal as hc
    >>> space = hc.Space([hc.Parameter("R0", hc.uniform(1, 5)), hc.Parameter("days", hc.log_uniform(1, 4))])
    >>> space.from_unit([[0.5, 0.5]]).round(6).tolist()
    [[3.0, 2.0]]
    >>> space.to_unit([[3.0, 2.0]]).round(6).tolist()
    [[0.5, 0.5]]
    """

    parameters: tuple[Parameter, ...]

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        parameters = tuple(parameters)
        wrong = [p for p in parameters if not isinstance(p, Parameter)]
        if wrong:
            raise TypeError(f"a Space holds hetcal.Parameter objects, not {wrong[0]!r}")
        names = [p.name for p in parameters]
        if not names:
            raise ValueError("a Space needs at least one Parameter")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"parameter names must differ: {', '.join(twice)} stand(s) more than once")
        object.__setattr__(self, "parameters", parameters)

    @property
    def names(self) -> tuple[str, ...]:
        """Parameter names in the order of the columns."""
        return tuple(p.name for p in self.parameters)

    @property
    def dimension(self) -> int:
        """Number of parameters, d."""
        return len(self.parameters)

    def __getitem__(self, name: str) -> Parameter:
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(f"no parameter {name!r} in this space: it has {', '.join(self.names)}")

    def from_unit(self, u: Any) -> np.ndarray:
        """Natural units of points of the unit cube, (n, d) to (n, d)."""
        u = self._rows(u)
        if np.any((u < 0) | (u > 1)):
            raise ValueError(f"unit coordinates lie in [0, 1], not {u[(u < 0) | (u > 1)][0]}")
        return np.column_stack([p._quantile(u[:, j]) for j, p in enumerate(self.parameters)])

    def to_unit(self, theta: Any) -> np.ndarray:
        """Unit-cube coordinates of points in natural units, (n, d) to (n, d); outside of a prior raises."""
        theta = self._rows(theta)
        for j, parameter in enumerate(self.parameters):
            low, high = parameter.support
            slack = 1e-9 * max(abs(low), abs(high), high - low)
            outside = (theta[:, j] < low - slack) | (theta[:, j] > high + slack)
            if np.any(outside):
                raise ValueError(
                    f"{parameter.name} = {theta[outside, j][0]:g} lies outside of its prior "
                    f"[{low:g}, {high:g}]: widen the prior or drop the point"
                )
        return np.column_stack(
            [np.clip(p.prior.cdf(theta[:, j]), 0.0, 1.0) for j, p in enumerate(self.parameters)]
        )

    def contains(self, theta: Any) -> np.ndarray:
        """Which rows of ``theta`` (n, d), natural units, lie inside of every prior's support; (n,) bool."""
        theta = self._rows(theta)
        inside = [
            (theta[:, j] >= p.support[0]) & (theta[:, j] <= p.support[1])
            for j, p in enumerate(self.parameters)
        ]
        return np.all(inside, axis=0)

    def array(self, theta: Any) -> np.ndarray:
        """Natural-unit points as an (n, d) array, from a frame, a dict (one point) or an array."""
        if hasattr(theta, "frame"):
            theta = theta.frame
        if isinstance(theta, Mapping):
            self._check_names(theta.keys())
            for name, value in theta.items():
                if isinstance(value, bool) or not isinstance(value, numbers.Real):
                    raise ValueError(f"parameter {name!r} is {value!r}: give a number")
            return self._rows([[theta[name] for name in self.names]])
        if hasattr(theta, "columns"):
            self._check_names(theta.columns)
            return self._rows(theta[list(self.names)].to_numpy(dtype=float))
        return self._rows(theta)

    def frame(self, theta: Any) -> pd.DataFrame:
        """Points in natural units, (n, d), as a frame with a column a parameter."""
        import pandas as pd

        return pd.DataFrame(self._rows(theta), columns=list(self.names))

    def describe(self) -> list[dict[str, Any]]:
        """Plain description of the parameters and priors, for reports and a study's settings."""
        rows: list[dict[str, Any]] = []
        for p in self.parameters:
            arguments = [float(a) for a in p.prior.args] + [
                f"{k}={float(v)}" for k, v in p.prior.kwds.items()
            ]
            low, high = p.support
            rows.append(
                {
                    "name": p.name,
                    "label": p.label or p.name,
                    "unit": p.unit,
                    "prior": p.prior.dist.name,
                    "arguments": arguments,
                    "low": low,
                    "high": high,
                    "quantiles": [float(f"{q:.10g}") for q in p.prior.ppf([0.1, 0.3, 0.5, 0.7, 0.9])],
                }
            )
        return rows

    def _check_names(self, names: Any) -> None:
        unknown = [str(n) for n in names if n not in self.names]
        missing = [n for n in self.names if n not in names]
        if unknown or missing:
            faults = [f"unknown: {', '.join(unknown)}"] if unknown else []
            faults += [f"missing: {', '.join(missing)}"] if missing else []
            raise ValueError(f"parameters are {', '.join(self.names)}; {'; '.join(faults)}")

    def _rows(self, values: Any) -> np.ndarray:
        rows = np.atleast_2d(np.asarray(values, dtype=float))
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise ValueError(
                f"points need {self.dimension} columns ({', '.join(self.names)}), not shape {np.shape(values)}"
            )
        if not np.all(np.isfinite(rows)):
            where = np.argwhere(~np.isfinite(rows))[0]
            raise ValueError(f"{self.names[where[1]]} is not finite in row {where[0]}")
        return np.ascontiguousarray(rows)

    def __repr__(self) -> str:
        return "Space([\n" + "".join(f"    {p!r},\n" for p in self.parameters) + "])"
