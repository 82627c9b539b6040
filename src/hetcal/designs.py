"""Designs: sets of points in a Space, made to be simulated or to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.parameters import Space
from hetcal.streams import generator

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Design:
    """Points of a space.

    Attributes
    ----------
    space : Space
        The space they lie in.
    unit : numpy.ndarray
        Unit-cube coordinates, shape (n, d).

    Examples
    --------
    >>> import hetcal as hc
    >>> design = hc.designs.sobol(hc.Space([hc.Parameter("x", hc.uniform(0, 2))]), 4, seed=1)
    >>> len(design), design.unit.shape
    (4, (4, 1))
    """

    space: Space
    unit: np.ndarray

    @property
    def frame(self) -> pd.DataFrame:
        """The points in natural units, a column a parameter."""
        return self.space.frame(self.space.from_unit(self.unit))

    def __len__(self) -> int:
        return len(self.unit)

    def __repr__(self) -> str:
        return f"Design({len(self)} points, {', '.join(self.space.names)})"


def sobol(space: Space, n: int, seed: int = 0) -> Design:
    """Scrambled Sobol points: the default for a first design and for averages over the prior.

    Parameters
    ----------
    space : Space
    n : int
        Number of points; powers of two are balanced best.
    seed : int
        Seed of the scrambling.

    Returns
    -------
    Design

    Raises
    ------
    ValueError
        If ``n < 1`` or the seed is not a whole number of at least 0.

    References
    ----------
    Owen (1998), scrambling Sobol' and Niederreiter-Xing points; `scipy.stats.qmc.Sobol`.

    Examples
    --------
    >>> import hetcal as hc
    >>> space = hc.Space([hc.Parameter("x", hc.uniform(0, 1))])
    >>> len(hc.designs.sobol(space, 8))
    8
    """
    return Design(space, sobol_points(space.dimension, n, generator(seed, "design", 0)))


def sobol_points(dimension: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Scrambled Sobol points of the unit cube, shape (n, dimension).

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> hc.designs.sobol_points(2, 8, np.random.default_rng(1)).shape
    (8, 2)
    """
    engine = _engine("Sobol", dimension, rng, scramble=True)
    # Drawing a whole power of two keeps the balance of the first n, and scipy from warning.
    power = int(np.ceil(np.log2(_check_count(n))))
    return engine.random_base2(power)[:n]


def lhs(space: Space, n: int, seed: int = 0) -> Design:
    """Latin hypercube: each parameter's range is cut in n slices and every slice holds one point.

    Parameters
    ----------
    space : Space
    n : int
        Number of points.
    seed : int

    Returns
    -------
    Design

    Raises
    ------
    ValueError
        If ``n < 1`` or the seed is not a whole number of at least 0.

    References
    ----------
    McKay, Beckman and Conover (1979); `scipy.stats.qmc.LatinHypercube`.

    Examples
    --------
    >>> import hetcal as hc
    >>> space = hc.Space([hc.Parameter("x", hc.uniform(0, 1))])
    >>> sorted((hc.designs.lhs(space, 4).unit[:, 0] * 4).astype(int).tolist())
    [0, 1, 2, 3]
    """
    engine = _engine("LatinHypercube", space.dimension, generator(seed, "design", 1))
    return Design(space, engine.random(_check_count(n)))


def maximin_lhs(space: Space, n: int, seed: int = 0, sweeps: int = 30) -> Design:
    """Latin hypercube whose closest pair is as far apart as exchanges can make it.

    For small first designs (up to some hundreds of points), where no two runs should tell the same story.

    Parameters
    ----------
    space : Space
    n : int
        Number of points.
    seed : int
    sweeps : int
        Rounds over the points; each tries n exchanges with the point that is closest to another.

    Returns
    -------
    Design

    Raises
    ------
    ValueError
        If ``n < 1`` or the seed is not a whole number of at least 0.

    References
    ----------
    Johnson, Moore and Ylvisaker (1990); Morris and Mitchell (1995) for the exchange.

    Examples
    --------
    >>> import hetcal as hc
    >>> space = hc.Space([hc.Parameter("x", hc.uniform(0, 1))])
    >>> hc.designs.maximin_lhs(space, 4).unit.shape
    (4, 1)
    """
    rng = generator(seed, "design", 2)
    points = lhs(space, n, seed).unit.copy()
    if n < 3 or space.dimension == 1:
        return Design(space, points)
    squared = ((points[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
    np.fill_diagonal(squared, np.inf)
    for _ in range(sweeps * n):
        worst, neighbour = np.unravel_index(int(np.argmin(squared)), squared.shape)
        i = int(rng.choice([worst, neighbour]))
        k = int(rng.integers(n))
        j = int(rng.integers(space.dimension))
        if k in (worst, neighbour):
            continue
        pair = [i, k]
        moved = points[pair].copy()
        moved[:, j] = moved[::-1, j]
        distance = ((moved[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
        distance[:, pair] = np.inf
        between = float(((moved[0] - moved[1]) ** 2).sum())
        if min(distance.min(), between) > squared[pair].min():
            distance[0, k] = distance[1, i] = between
            points[pair] = moved
            squared[pair, :] = distance
            squared[:, pair] = distance.T
    return Design(space, points)


def grid(space: Space, levels: int | Sequence[int]) -> Design:
    """Full factorial grid over the unit cube, end points included.

    For pictures in one to three dimensions; the number of points is the product of the levels.

    Parameters
    ----------
    space : Space
    levels : int or sequence of int
        Points along each parameter, at least 2.

    Returns
    -------
    Design
        Last parameter runs fastest.

    Raises
    ------
    ValueError
        If the number of levels does not fit the space or one is below 2.

    Examples
    --------
    >>> import hetcal as hc
    >>> space = hc.Space([hc.Parameter("x", hc.uniform(0, 1))])
    >>> hc.designs.grid(space, 3).frame["x"].tolist()
    [0.0, 0.5, 1.0]
    """
    counts = [levels] * space.dimension if isinstance(levels, int) else list(levels)
    if len(counts) != space.dimension or min(counts) < 2:
        raise ValueError(
            f"levels must be one number of at least 2 a parameter ({space.dimension}), not {levels!r}"
        )
    axes = np.meshgrid(*[np.linspace(0, 1, c) for c in counts], indexing="ij")
    return Design(space, np.column_stack([a.ravel() for a in axes]))


def slice_through(
    space: Space, centre: Mapping[str, float], vary: str | Sequence[str], n: int = 50
) -> Design:
    """Line or plane through a point: the named parameters move, the others stay.

    Parameters
    ----------
    space : Space
    centre : mapping
        The point, natural units, all parameters.
    vary : str or sequence of str
        One or two parameter names; two give an n x n plane.
    n : int
        Points along each varied parameter.

    Returns
    -------
    Design

    Raises
    ------
    ValueError
        If a name is unknown, or more than two vary.

    Examples
    --------
    >>> import hetcal as hc
    >>> space = hc.Space([hc.Parameter("x", hc.uniform(0, 1)), hc.Parameter("y", hc.uniform(0, 1))])
    >>> hc.designs.slice_through(space, {"x": 0.2, "y": 0.3}, "x", n=3).frame["x"].tolist()
    [0.0, 0.5, 1.0]
    """
    names = [vary] if isinstance(vary, str) else list(vary)
    unknown = [v for v in names if v not in space.names]
    if unknown or not 1 <= len(names) <= 2:
        raise ValueError(f"vary one or two of {', '.join(space.names)}, not {', '.join(map(str, names))}")
    if _check_count(n) < 2:
        raise ValueError("a slice needs n of at least 2")
    moved = grid(Space([space[v] for v in names]), n).unit
    unit = np.repeat(space.to_unit(space.array(centre)), len(moved), axis=0)
    unit[:, [space.names.index(v) for v in names]] = moved
    return Design(space, unit)


def _check_count(n: int) -> int:
    if not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"the number of points is a whole number of at least 1, not {n!r}")
    return int(n)


def _engine(name: str, dimension: int, rng: np.random.Generator, **options: Any) -> Any:
    """A scipy.stats.qmc engine; its argument for the generator is called rng since scipy 1.15, seed before."""
    from scipy.stats import qmc

    try:
        return getattr(qmc, name)(dimension, rng=rng, **options)
    except TypeError:
        return getattr(qmc, name)(dimension, seed=rng, **options)
