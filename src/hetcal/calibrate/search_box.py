"""The box that a stage searches, and the way between parameters in natural units and Optuna's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hetcal.parameters import Parameter, Space

# Priors that Optuna knows; others are searched by their quantile.
_SCALES = {"uniform": False, "loguniform": True, "reciprocal": True}


@dataclass(frozen=True, eq=False)
class SearchBox:
    """Where a stage searches.

    Parameters
    ----------
    space : Space
    held : dict of float
        Parameters that are not searched, natural units.
    ranges : dict of (float, float)
        Parameters that are searched in part of their prior, ends in the unit cube.

    Examples
    --------
    >>> import hetcal as hc
    >>> from hetcal.calibrate.search_box import SearchBox
    >>> space = hc.Space([hc.Parameter("a", hc.uniform(0, 4)), hc.Parameter("b", hc.log_uniform(1, 100))])
    >>> box = SearchBox(space, held={"a": 1.0}, ranges={"b": (0.0, 0.5)})
    >>> box.theta({"b": 10.0})
    {'a': 1.0, 'b': 10.0}
    >>> box.params({"a": 1.0, "b": 50.0}) is None
    True
    """

    space: Space
    held: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]

    @property
    def free(self) -> list[Parameter]:
        """Parameters that are searched."""
        return [p for p in self.space.parameters if p.name not in self.held]

    def distributions(self) -> dict[str, Any]:
        """Optuna's distributions: natural units for uniform and log-uniform priors, quantiles for others."""
        from optuna.distributions import FloatDistribution

        found = {}
        for p in self.free:
            low, high = self._ends[p.name]
            found[_key(p)] = FloatDistribution(low, high, log=_SCALES.get(p.prior.dist.name, False))
        return found

    @cached_property
    def _ends(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest of Optuna's parameters, by name."""
        found = {}
        for p in self.free:
            low, high = self.ranges.get(p.name, (0.0, 1.0))
            if p.prior.dist.name in _SCALES:
                low, high = p.prior.ppf([low, high])
                low, high = max(low, p.support[0]), min(high, p.support[1])
            found[p.name] = float(low), float(high)
        return found

    def theta(self, params: Mapping[str, float]) -> dict[str, float]:
        """A parameter set in natural units, from Optuna's parameters."""
        found = {}
        for p in self.space.parameters:
            if p.name in self.held:
                found[p.name] = float(self.held[p.name])
            elif p.prior.dist.name in _SCALES:
                found[p.name] = float(params[_key(p)])
            else:
                found[p.name] = float(p._quantile(np.array([params[_key(p)]]))[0])
        return found

    def params(self, theta: Mapping[str, float]) -> dict[str, float] | None:
        """Optuna's parameters of a parameter set in natural units; None where it lies outside of the box."""
        for name, value in self.held.items():
            if not np.isclose(theta[name], value, rtol=1e-9, atol=0):
                return None
        found = {}
        for p in self.free:
            value = theta[p.name] if p.prior.dist.name in _SCALES else float(p.prior.cdf(theta[p.name]))
            low, high = self._ends[p.name]
            slack = 1e-9 * (high - low)
            if not low - slack <= value <= high + slack:
                return None
            found[_key(p)] = min(max(value, low), high)
        return found


def _key(p: Parameter) -> str:
    return p.name if p.prior.dist.name in _SCALES else f"{p.name} (quantile)"
