"""Effects between arms, over parameters and by chance, from outcomes on paired seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hetcal.decisions.smoothing import conditional_means, spline_features
from hetcal.streams import generator

_LEAST_DRAWS = 25
_DRAWS = 100  # of what the expected effects might be, given the runs


@dataclass(frozen=True, eq=False)
class Effects:
    """Paired differences to the first of A arms, at n draws of the parameters.

    Attributes
    ----------
    rows : numpy.ndarray
        Numbers of the draws that have at least two complete pairs, (n,).
    theta : numpy.ndarray
        Their parameters, (n, d).
    values : numpy.ndarray
        Outcomes (n, seeds, A); NaN in all arms of a pair that is left out.
    differences : numpy.ndarray
        Of each draw's mean outcomes to the first arm's, (n, A).
    means : numpy.ndarray
        Draws of the expected differences given the parameters, (m, n, A).
    levels : numpy.ndarray
        Draws of the expected outcomes given the parameters, (m, n, A).
    best : numpy.ndarray
        Each arm's share in being best, for each of `means`, (m, n, A).
    sign : int
        1 where lower is better, else -1.
    """

    rows: np.ndarray
    theta: np.ndarray
    values: np.ndarray
    differences: np.ndarray
    means: np.ndarray
    levels: np.ndarray
    best: np.ndarray
    sign: int
    least: float
    pairs: int
    left_out: int

    @property
    def mean(self) -> np.ndarray:
        """Mean difference of each arm to the first, (A,)."""
        return self.differences.mean(axis=0)

    @property
    def standard_error(self) -> np.ndarray:
        """Simulation error of `mean`: finitely many draws and seeds; (A,)."""
        return self.differences.std(axis=0, ddof=1) / np.sqrt(len(self.differences))

    @property
    def best_error(self) -> np.ndarray:
        """Simulation error of the probability of being best: the expected effects', and finitely many draws'; (A,)."""
        of_draws = self.best.mean(axis=0).std(axis=0) / np.sqrt(len(self.rows))
        return np.hypot(self.best.mean(axis=1).std(axis=0), of_draws)

    @property
    def chosen(self) -> int:
        """The arm of best mean."""
        return int((self.sign * self.mean).argmin())

    @property
    def other(self) -> int:
        """The arm whose effect is spoken of: the chosen one, or the next best where the first is chosen."""
        return self.chosen or 1 + int((self.sign * self.mean[1:]).argmin())

    @property
    def spread(self) -> np.ndarray:
        """Variance over the parameters of the expected differences, (A,)."""
        return self.means.var(axis=1).mean(axis=0)


def share_best(losses: np.ndarray, least: float) -> np.ndarray:
    """Each arm's share in being best, (..., A): arms within `least` of the lowest share equally."""
    near = losses <= losses.min(axis=-1, keepdims=True) + least
    return near / near.sum(axis=-1, keepdims=True)


def estimate_effects(
    theta: np.ndarray, values: np.ndarray, asked: np.ndarray, sign: int, least: float, seed: int
) -> Effects:
    """Effects from outcomes (n, seeds, A) at parameters (n, d), of those pairs that are asked for (n, seeds).

    Raises
    ------
    ValueError
        If fewer than half of the pairs asked for are complete, or fewer than 25 draws have two of them.
    """
    complete = asked & np.isfinite(values).all(axis=2)
    pairs, whole = int(asked.sum()), int(complete.sum())
    if whole < 0.5 * pairs:
        raise ValueError(
            f"{pairs - whole} of {pairs} pairs of runs have an arm that failed: what is left says little of the rest; "
            "look at the errors in the ledger"
        )
    rows = np.flatnonzero(complete.sum(axis=1) >= 2)
    if len(rows) < _LEAST_DRAWS:
        raise ValueError(
            f"{len(rows)} of {len(values)} draws have two pairs of runs to compare, {_LEAST_DRAWS} are needed: give "
            "more draws or seeds, or a wider rule of which runs count (only)"
        )
    values = np.where(complete[:, :, np.newaxis], values, np.nan)[rows]
    single = values - values[:, :, :1]
    differences = np.nanmean(single, axis=1)
    count = complete[rows].sum(axis=1)
    features = spline_features(theta[rows])

    def expected(of_runs: np.ndarray, of_draws: np.ndarray, stream: int) -> np.ndarray:
        deviations = np.nan_to_num(of_runs - of_draws[:, np.newaxis])
        squares = np.einsum("nsi,nsj->nij", deviations, deviations)
        return conditional_means(
            features, of_draws, count, squares, _DRAWS, generator(seed, "scenarios", stream)
        )

    levels = expected(values, np.nanmean(values, axis=1), 5)
    means = expected(single[:, :, 1:], differences[:, 1:], 1)
    means = np.concatenate([np.zeros((*means.shape[:2], 1)), means], axis=2)
    return Effects(
        rows,
        theta[rows],
        values,
        differences,
        means,
        levels,
        share_best(sign * means, least),
        sign,
        least,
        pairs,
        pairs - whole,
    )
