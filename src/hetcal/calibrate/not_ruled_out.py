"""The set of parameters that the loss does not rule out yet, by implausibility.

A loss of single runs is not minus a log likelihood, so this set carries no percentage: bands around the minimum
of a mean loss, taken as likelihood ratios, can miss the truth every time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hetcal.designs import sobol_points
from hetcal.emulators.total import WeightedTotal
from hetcal.parameters import Space
from hetcal.streams import generator

if TYPE_CHECKING:
    import pandas as pd

    from hetcal.calibrate.winner import Winner

_POINTS = 2**15
# Where fewer of them are left, the set is followed along lines as well: so many walkers, points a line, and sweeps.
_FEW, _WALKERS, _LINE, _SWEEPS = 100, 32, 16, 4


@dataclass(frozen=True, eq=False)
class NotRuledOut:
    """What is left of the prior.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a parameter: parameter, low, high (natural units), and ``share`` of its prior's width (by
        probability) that the range spans.
    volume : float
        Share of the prior that is not ruled out.
    unit : numpy.ndarray
        The points that are left, unit cube, shape (m, d).
    """

    table: pd.DataFrame
    volume: float
    unit: np.ndarray

    def __repr__(self) -> str:
        return f"not ruled out yet ({self.volume:.2%} of the prior):\n{self.table.to_string(index=False)}"


def implausibility(
    total: WeightedTotal, X: np.ndarray, winner_unit: np.ndarray, winner: Winner
) -> np.ndarray:
    """How far each point's mean loss lies above the winner's, in standard deviations of what is not known.

    max(0, m - best) / sqrt(mean_var + mean_var at the winner + squared seed error of the winner's fresh loss), on the
    scale where the total's bounds are taken. One-sided: a point that is believed better than the winner is not ruled
    out by that.

    Parameters
    ----------
    total : WeightedTotal
    X : numpy.ndarray
        Points of the unit cube, shape (m, d).
    winner_unit : numpy.ndarray
        The winner in the unit cube, shape (1, d).
    winner : Winner

    Returns
    -------
    numpy.ndarray
        Shape (m,).

    References
    ----------
    Craig et al. (1997); Vernon, Goldstein and Bower (2010) for history matching.
    """
    here, there = total.moments(total.latent(X)), total.moments(total.latent(winner_unit))
    best = here.scaled(winner.loss)
    seed_error = winner.loss_se / (winner.loss - here.bound) if here.lognormal else winner.loss_se
    sd = np.sqrt(here.spread**2 + there.spread[0] ** 2 + np.nan_to_num(seed_error) ** 2)
    return np.maximum(here.centre - best, 0.0) / sd


def not_ruled_out(
    total: WeightedTotal, space: Space, winner: Winner, seed: int, threshold: float = 3.0
) -> NotRuledOut:
    """Range of each parameter over the points whose implausibility is at most ``threshold``.

    Parameters
    ----------
    total : WeightedTotal
    space : Space
    winner : Winner
    seed : int
    threshold : float

    Returns
    -------
    NotRuledOut
        The winner always belongs to it.
    """
    import pandas as pd

    rng = generator(seed, "sensitivity", 1)
    winner_unit = space.to_unit(space.array(winner.theta))
    spread = sobol_points(space.dimension, _POINTS, rng)

    def remains(points: np.ndarray) -> np.ndarray:
        return implausibility(total, points, winner_unit, winner) <= threshold

    left = spread[remains(spread)]
    volume = len(left) / len(spread)
    # Where little is left, the ends of the ranges come from points spread over the box around it.
    edges = np.vstack([left, winner_unit])
    if len(left) < _FEW:
        edges = np.vstack([edges, _along_lines(remains, edges, generator(seed, "sensitivity", 7))])
    for _ in range(4):
        margin = 0.1 * np.ptp(edges, axis=0) + 0.01
        low, high = np.maximum(edges.min(axis=0) - margin, 0), np.minimum(edges.max(axis=0) + margin, 1)
        box = low + rng.random((8192, space.dimension)) * (high - low)
        edges = np.vstack([edges, box[remains(box)]])
    low, high = edges.min(axis=0), edges.max(axis=0)
    ends = space.from_unit(np.vstack([low, high]))
    table = pd.DataFrame({"parameter": space.names, "low": ends[0], "high": ends[1], "share": high - low})
    return NotRuledOut(table, volume, edges)


def _along_lines(
    remains: Callable[[np.ndarray], np.ndarray], start: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Points that remain, found by walking from others (m, d) along one axis after the other.

    Among many parameters a set that spans the whole prior of some can be too thin for points at random to fall into;
    a line through a point of it meets it wherever it goes.
    """
    d = start.shape[1]
    walkers = start[-1 - np.arange(_WALKERS) % len(start)]
    found = [walkers]
    for _ in range(_SWEEPS):
        for j in rng.permutation(d):
            lines = np.repeat(walkers[:, None], _LINE, axis=1)
            far = (np.arange(_LINE // 2) + rng.random((_WALKERS, _LINE // 2))) / (_LINE // 2)
            step = 10.0 ** (-3 * rng.random(far.shape)) * rng.choice([-1, 1], size=far.shape)
            lines[:, :, j] = np.clip(np.hstack([far, walkers[:, j, None] + step]), 0.0, 1.0)
            good = remains(lines.reshape(-1, d)).reshape(_WALKERS, _LINE)
            found.append(lines[good])
            chosen = np.argmax(good * rng.random(good.shape), axis=1)
            walkers = np.where(good.any(axis=1)[:, None], lines[np.arange(_WALKERS), chosen], walkers)
    return np.vstack(found)
