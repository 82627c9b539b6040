"""What the exhibits of the three-cluster chain share: how many runs they take, and names in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hetcal.studies.three_cluster import COMPARED
from hetcal.targets import STATISTICS

CLUSTERS = {"A": "A", "B_far": "B far", "B_near": "B near", "C": "C"}


@dataclass(frozen=True)
class Sizes:
    """How many runs the exhibits take.

    Attributes
    ----------
    sweep, corner : int
        Seeds a parameter set, of each model, along the axes of the sweeps and off them.
    truth : int
        Seeds at the truth, of each model, from which sampling errors are known.
    floor, profile : int
        Seeds at the truth, and at each other beta of the profile.
    curves : int
        Seeds of each model with chance in the comparison of epidemic curves.
    draws : int
        Fresh runs, each at a draw from the posterior.
    """

    sweep: int
    corner: int
    truth: int
    floor: int
    profile: int
    curves: int
    draws: int


SIZES = {
    "quick": Sizes(sweep=20, corner=4, truth=100, floor=400, profile=60, curves=30, draws=100),
    "full": Sizes(sweep=100, corner=20, truth=400, floor=2_000, profile=300, curves=200, draws=400),
}


def statistics_of(outputs: dict[str, np.ndarray], what: str) -> np.ndarray:
    """One of the compared statistics over the seeds, (n,) from outputs (n, seeds)."""
    of = COMPARED[what]
    return STATISTICS[of.statistic](np.swapaxes(outputs[of.output], 0, 1))


def wilson(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share.

    References
    ----------
    Wilson (1927), Journal of the American Statistical Association 22, 209.

    Examples
    --------
    >>> from hetcal.studies.three_cluster_exhibits_shared import wilson
    >>> [round(end, 3) for end in wilson(9, 20)]
    [0.258, 0.658]
    """
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(count, total, alpha=0.05, method="wilson")
    return float(low), float(high)


def share(count: int, total: int) -> str:
    """A share with its count and its 95 % interval.

    Examples
    --------
    >>> from hetcal.studies.three_cluster_exhibits_shared import share
    >>> share(9, 20)
    '45 % (9 of 20; 26 to 66 %)'
    """
    low, high = wilson(count, total)
    return f"{100 * count / total:.0f} % ({count} of {total}; {100 * low:.0f} to {100 * high:.0f} %)"
