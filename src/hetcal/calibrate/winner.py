"""The winner: chosen on one block of common fresh seeds, reported on another that nobody has seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hetcal.targets import EnsembleTarget

if TYPE_CHECKING:
    import pandas as pd

    from hetcal.problem import Problem


@dataclass(frozen=True)
class Winner:
    """The best parameter set, re-evaluated on fresh seeds.

    Attributes
    ----------
    theta : dict of float
        Parameters, natural units.
    loss, loss_se : float
        Mean total loss of its fresh runs and its standard error.
    noise_floor : float
        Mean total loss that the model has against its own runs at the winner in the place of the data: what a
        perfect model would still lose to chance. A winner far above it does not reproduce the data.
    optimism : float
        Fresh loss minus the loss that the search believed; positive where the search believed too much.
    believed : float
        Loss that the search believed.
    ties : tuple of dict
        Other finalists that are within two paired standard errors.
    replicates : int
        Fresh runs behind `loss`.
    losses : dict of float
        Mean loss of each target, unweighted.

    Examples
    --------
    >>> import hetcal as hc
    >>> problem = hc.studies.flu1978.study().problem
    >>> best = hc.BayesianCalibration(problem, initial=20, batch=2, rounds=1).run(seed=1).best
    >>> best.replicates, best.loss > best.noise_floor
    (400, True)
    """

    theta: dict[str, float]
    loss: float
    loss_se: float
    noise_floor: float
    optimism: float
    believed: float
    ties: tuple[dict[str, float], ...]
    replicates: int
    losses: dict[str, float]

    def __repr__(self) -> str:
        point = ", ".join(f"{k}={v:.4g}" for k, v in self.theta.items())
        return (
            f"Winner({point}; loss {self.loss:.5g} ± {self.loss_se:.2g} on {self.replicates} fresh runs, noise floor "
            f"{self.noise_floor:.5g}, optimism {self.optimism:+.3g}, {len(self.ties)} ties)"
        )


@dataclass(frozen=True, eq=False)
class Comparison:
    """Finalists compared on common seeds.

    Attributes
    ----------
    winner : int
        The finalist with the lowest mean loss.
    ties : list of int
        Others whose paired difference to it is within two standard errors.
    """

    winner: int
    ties: list[int]


def compare_finalists(losses: np.ndarray) -> Comparison:
    """Choose among finalists by their losses on common seeds.

    Parameters
    ----------
    losses : numpy.ndarray
        Total losses, shape (finalists, seeds), NaN where a run failed.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If no finalist has a valid run.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.calibrate.winner import compare_finalists
    >>> compare_finalists(np.array([[1.0, 2.0, 3.0], [1.1, 2.0, 2.9], [9.0, 9.0, 9.0]])).ties
    [1]
    """
    valid = np.isfinite(losses)
    if not valid.any():
        raise ValueError("every run of every finalist failed: look at the errors in the ledger")
    # A lucky run among failures is no evidence: who has less than half of the best one's valid runs stands back.
    competing = valid.sum(axis=1) >= 0.5 * valid.sum(axis=1).max()
    # Seeds that failed for one of the others are dropped for all, unless that would leave too few to compare.
    shared = valid[competing].all(axis=0)
    usable = losses[:, shared] if shared.sum() >= 0.5 * losses.shape[1] else losses
    means = np.array(
        [np.nanmean(row) if able else np.nan for row, able in zip(usable, competing, strict=True)]
    )
    winner = int(np.nanargmin(means))
    ties = []
    for j in np.flatnonzero(competing):
        paired = usable[j] - usable[winner]
        paired = paired[np.isfinite(paired)]
        if (
            j != winner
            and len(paired) > 1
            and paired.mean() <= 2 * paired.std(ddof=1) / math.sqrt(len(paired))
        ):
            ties.append(int(j))
    return Comparison(winner, ties)


def fresh_block(asks: pd.DataFrame, theta: Mapping[str, float]) -> pd.DataFrame:
    """The ask for a winner's fresh runs among a study's asks, one row; empty where it was not made yet."""
    here = np.all([asks[name] == value for name, value in theta.items()], axis=0)
    return asks[here & (asks["purpose"] == "reporting")].reset_index(drop=True)


def noise_floor(problem: Problem, outputs: dict[str, np.ndarray]) -> float:
    """Mean total loss of runs at one location against other runs there in the place of the data.

    Parameters
    ----------
    problem : Problem
        Statistics of ensembles are compared with those of so many runs as the data were made of.
    outputs : dict of numpy.ndarray
        Outputs of n >= 2 valid runs, shape (n, *shape).

    Returns
    -------
    float
        NaN for fewer than two runs.
    """
    total = 0.0
    for target in problem.targets:
        if target.weight == 0:
            continue
        simulated = outputs[target.output]
        simulated = simulated[np.isfinite(simulated.reshape(len(simulated), -1)).all(axis=1)]
        if len(simulated) < 2:
            return math.nan
        if isinstance(target, EnsembleTarget):
            loss = target.chance_loss(simulated)
        else:
            loss = float(target.pair_losses(np.roll(simulated, 1, axis=0), simulated).mean())
        total += target.weight * loss
    return total


def honest_winner(
    problem: Problem,
    theta: dict[str, float],
    ties: list[dict[str, float]],
    believed: float,
    outputs: dict[str, np.ndarray],
    losses: pd.DataFrame,
) -> Winner:
    """Put the winner together from its reporting block.

    Parameters
    ----------
    problem : Problem
    theta, ties
        The winner and the finalists tied with it, natural units.
    believed : float
        Loss that the search believed.
    outputs : dict of numpy.ndarray
        Outputs of the reporting block, shape (n, *shape).
    losses : pandas.DataFrame
        Losses of the same runs, a column a target and ``total``.
    """
    valid = np.isfinite(losses["total"].to_numpy())
    if not valid.any():
        raise ValueError(f"every fresh run of the winner {theta} failed: look at the errors in the ledger")
    totals = losses["total"].to_numpy()[valid]
    loss = float(totals.mean())
    return Winner(
        theta=theta,
        loss=loss,
        loss_se=float(totals.std(ddof=1) / math.sqrt(len(totals))) if len(totals) > 1 else math.nan,
        noise_floor=noise_floor(problem, {name: values[valid] for name, values in outputs.items()}),
        optimism=loss - believed,
        believed=believed,
        ties=tuple(ties),
        replicates=len(totals),
        losses={t.name: float(losses[t.name][valid].mean()) for t in problem.targets},
    )
