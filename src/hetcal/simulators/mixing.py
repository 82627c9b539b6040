"""Mixing between patches: how people of one patch spend their contacts among the others.

A mixing gives each pair of patches a weight; `mixing_matrix` scales the weights of each row to sum k. What stands
in front of a whole row (the home population to some power) cancels there, so no mixing has it.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

EARTH_RADIUS_KM = 6371.0


def distances(lat: Any, lon: Any) -> np.ndarray:
    """Great-circle distances (n, n) in km between places in degrees (n,), by the haversine formula; R = 6371 km.

    Raises
    ------
    ValueError
        When a latitude is outside [-90, 90] or a longitude is not finite.

    Examples
    --------
    >>> from hetcal.simulators.mixing import distances
    >>> distances([0, 0], [0, 180]).round(1).tolist()
    [[0.0, 20015.1], [20015.1, 0.0]]
    """
    degrees = np.array([lat, lon], dtype=float)
    bad = np.flatnonzero(~((abs(degrees[0]) <= 90) & np.isfinite(degrees[1])))
    if len(bad):
        raise ValueError(
            f"place {bad[0]} lies at latitude {degrees[0, bad[0]]}, longitude {degrees[1, bad[0]]}: give degrees, the "
            "latitude within [-90, 90]"
        )
    phi, theta = np.radians(degrees)
    half = np.sin((phi[:, None] - phi) / 2) ** 2
    half += np.cos(phi)[:, None] * np.cos(phi) * np.sin((theta[:, None] - theta) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(half, 1.0)))


def mixing_matrix(weights: Any, k: float) -> np.ndarray:
    """Matrix W (n, n) of the share of contacts that people of patch i make in patch j; each row sums to 1.

    Off the diagonal, row i is k times its weights over their sum; the diagonal is what stays at home, 1 - k. A row
    without any weight stays at home altogether.

    Parameters
    ----------
    weights : array_like, (n, n)
        At least 0; the diagonal is not read.
    k : float
        Probability per tick that a person mixes away from home, within [0, 1].

    Raises
    ------
    ValueError
        When weights are not square, negative or not finite, or when k is outside [0, 1] (a row of movements above 1).

    Examples
    --------
    >>> from hetcal.simulators.mixing import mixing_matrix
    >>> mixing_matrix([[0, 3, 1], [1, 0, 1], [0, 0, 0]], k=0.2).round(3).tolist()
    [[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]]
    """
    raw = np.array(weights, dtype=float)
    if raw.ndim != 2 or raw.shape[0] != raw.shape[1]:
        raise ValueError(f"weights of the mixing have shape {raw.shape}: give one row and one column a patch")
    if not 0.0 <= k <= 1.0:
        raise ValueError(f"k is {k}: it is the sum of a row of movements, a probability within [0, 1]")
    np.fill_diagonal(raw, 0.0)
    bad = np.argwhere(~((raw >= 0) & np.isfinite(raw)))
    if len(bad):
        i, j = bad[0]
        raise ValueError(
            f"weight of the mixing from {i} to {j} is {raw[i, j]}: give finite numbers of at least 0"
        )
    total = raw.sum(axis=1)
    away = np.where(total > 0, k, 0.0)
    matrix = raw * (away / np.where(total > 0, total, 1.0))[:, None]
    np.fill_diagonal(matrix, 1.0 - away)
    return matrix


@runtime_checkable
class Mixing(Protocol):
    """What the spatial models ask of a mixing; write a frozen dataclass with these two to have your own.

    Attributes
    ----------
    uses_distance : bool
        Whether the exponent c matters. Where it does not, c is no parameter of the model.

    Examples
    --------
    >>> import hetcal as hc
    >>> isinstance(hc.simulators.Gravity(), hc.simulators.Mixing)
    True
    """

    @property
    def uses_distance(self) -> bool:
        """Whether the exponent c matters."""

    def weights(self, population: np.ndarray, km: np.ndarray, cluster: np.ndarray, c: float) -> np.ndarray:
        """Weights (n, n) from populations (n,), distances (n, n), clusters by number (n,) and the exponent c."""


@dataclass(frozen=True)
class Gravity:
    """Weight p_j^b d^-c: large and near patches draw people.

    Use it where nothing is known but sizes and distances.

    Parameters
    ----------
    b : float
        Exponent of the population that is visited.

    Raises
    ------
    ValueError
        When b is not finite, or two patches lie at the same place.

    References
    ----------
    Truscott and Ferguson (2012), PLoS Computational Biology 8:e1002699.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> people, km = np.array([10.0, 20, 40]), np.array([[0, 1.0, 2], [1, 0, 1], [2, 1, 0]])
    >>> hc.simulators.Gravity().weights(people, km, np.zeros(3, int), c=2.0)[0].tolist()
    [0.0, 20.0, 10.0]
    """

    b: float = 1.0

    uses_distance: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_exponents(self, "b")

    def weights(self, population: np.ndarray, km: np.ndarray, cluster: np.ndarray, c: float) -> np.ndarray:
        """Weights (n, n)."""
        return population**self.b * _decay(km, c)


@dataclass(frozen=True)
class CompetingDestinations:
    """Gravity times (sum over third patches m of p_m^b d_jm^-c)^delta: what else lies near j.

    Use it with delta below 0 where places near each other share their visitors, above 0 where they draw more together.

    Parameters
    ----------
    b, delta : float
        Exponents of the population visited and of its surroundings.

    Raises
    ------
    ValueError
        When an exponent is not finite, there are fewer than three patches, or two lie at the same place.

    References
    ----------
    Fotheringham (1983), Environment and Planning A 15:15-36. Truscott and Ferguson (2012).

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> people, km = np.array([10.0, 20, 40]), np.array([[0, 1.0, 2], [1, 0, 1], [2, 1, 0]])
    >>> mixing = hc.simulators.CompetingDestinations(delta=1.0)
    >>> mixing.weights(people, km, np.zeros(3, int), c=2.0)[0].tolist()
    [0.0, 800.0, 200.0]
    """

    b: float = 1.0
    delta: float = -1.0

    uses_distance: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_exponents(self, "b", "delta")

    def weights(self, population: np.ndarray, km: np.ndarray, cluster: np.ndarray, c: float) -> np.ndarray:
        """Weights (n, n)."""
        n = len(population)
        if n < 3:
            raise ValueError(f"CompetingDestinations needs three patches or more, not {n}: use Gravity")
        gravity = population**self.b * _decay(km, c)
        surroundings = np.empty((n, n))
        for i in range(n):  # a difference of sums over all m would lose digits
            surroundings[i] = gravity[:, np.arange(n) != i].sum(axis=1)
        np.fill_diagonal(surroundings, 1.0)
        return gravity * surroundings**self.delta


@dataclass(frozen=True)
class Radiation:
    """Weight p_j / ((p_i + s)(p_i + p_j + s)), s the people who live nearer to i than j, i and j not counted.

    Use it for commuting, where a person takes the nearest good chance; it has no exponent to fit, so c is no parameter.

    References
    ----------
    Simini, Gonzalez, Maritan and Barabasi (2012), Nature 484:96-100.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> people, km = np.array([10.0, 20, 40]), np.array([[0, 1.0, 2], [1, 0, 1], [2, 1, 0]])
    >>> hc.simulators.Radiation().weights(people, km, np.zeros(3, int), c=0.0)[0, 2] == 40 / (30 * 70)
    True
    """

    uses_distance: ClassVar[bool] = False

    def weights(self, population: np.ndarray, km: np.ndarray, cluster: np.ndarray, c: float) -> np.ndarray:
        """Weights (n, n)."""
        home = population[:, None]
        nearer = _people_met(population, km, np.less)
        return _no_diagonal(population / ((home + nearer) * (home + population + nearer)))


@dataclass(frozen=True)
class Stouffer:
    """Weight (p_j / people no farther from i than j)^b: the chances taken over the chances met on the way.

    Parameters
    ----------
    b : float
        Exponent.
    include_home : bool
        Whether the people of i count among the chances met on the way.

    Raises
    ------
    ValueError
        When b is not finite.

    References
    ----------
    Stouffer (1940), American Sociological Review 5:845-867. Truscott and Ferguson (2012).

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> people, km = np.array([10.0, 20, 40]), np.array([[0, 1.0, 2], [1, 0, 1], [2, 1, 0]])
    >>> hc.simulators.Stouffer().weights(people, km, np.zeros(3, int), c=0.0)[0, 2] == 40 / 70
    True
    """

    b: float = 1.0
    include_home: bool = True

    uses_distance: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_exponents(self, "b")

    def weights(self, population: np.ndarray, km: np.ndarray, cluster: np.ndarray, c: float) -> np.ndarray:
        """Weights (n, n)."""
        met = _people_met(population, km, np.less_equal)
        met += population[:, None] if self.include_home else 0.0
        np.fill_diagonal(met, 1.0)
        return _no_diagonal((population / met) ** self.b)


@dataclass(frozen=True)
class Chain:
    """Gravity p_j d^-c within a cluster and between neighbours in the order of clusters, nothing beyond.

    Use it for regions along a road: who mixes is symmetric, how much is not, since each row sums to k. The order of
    clusters is that of their first patches.

    Raises
    ------
    ValueError
        When two patches lie at the same place.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> people, km = np.array([10.0, 20, 40]), np.array([[0, 1.0, 2], [1, 0, 1], [2, 1, 0]])
    >>> hc.simulators.Chain().weights(people, km, np.arange(3), c=2.0)[0].tolist()
    [0.0, 20.0, 0.0]
    """

    uses_distance: ClassVar[bool] = True

    def weights(self, population: np.ndarray, km: np.ndarray, cluster: np.ndarray, c: float) -> np.ndarray:
        """Weights (n, n)."""
        return population * _decay(km, c) * (abs(cluster[:, None] - cluster) <= 1)


@dataclass(frozen=True, eq=False)
class GivenWeights:
    """Weights that were measured (flights, telephones, class registers), by patch in the order of the patches.

    Parameters
    ----------
    table : array_like, (n, n)
        From row to column, at least 0; the diagonal is not read.

    Raises
    ------
    ValueError
        When the table is not square or has another number of patches than the model.

    Examples
    --------
    >>> import hetcal as hc
    >>> hc.simulators.GivenWeights([[0, 2], [1, 0]]).table.shape
    (2, 2)
    """

    table: Any

    uses_distance: ClassVar[bool] = False

    def __post_init__(self) -> None:
        table = np.array(self.table, dtype=float)
        mixing_matrix(table, 1.0)  # checks
        table.setflags(write=False)
        object.__setattr__(self, "table", table)

    def weights(self, population: np.ndarray, km: np.ndarray, cluster: np.ndarray, c: float) -> np.ndarray:
        """Weights (n, n)."""
        return self.table


def _check_exponents(mixing: Any, *names: str) -> None:
    for name in names:
        value = getattr(mixing, name)
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise ValueError(f"{name} of {type(mixing).__name__} is {value!r}: give a finite number")


def _no_diagonal(weights: np.ndarray) -> np.ndarray:
    np.fill_diagonal(weights, 0.0)
    return weights


def _people_met(population: np.ndarray, km: np.ndarray, nearer: np.ufunc) -> np.ndarray:
    """People (n, n) of the patches other than i that lie nearer to i than j does."""
    met = np.empty(km.shape)
    for i, row in enumerate(km):
        others = nearer(row, row[:, None])
        others[:, i] = False
        met[i] = others @ population
    return met


def _decay(km: np.ndarray, c: float) -> np.ndarray:
    """d^-c off the diagonal, 0 on it."""
    apart = km + np.eye(len(km))
    if not (apart > 0).all():
        i, j = np.argwhere(apart <= 0)[0]
        raise ValueError(
            f"patches {i} and {j} lie at the same place, 0 km apart: give them places of their own"
        )
    return _no_diagonal(apart**-c)
