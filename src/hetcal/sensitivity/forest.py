"""Cross-check of Sobol' indices by a random forest, which shares nothing with the emulators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hetcal import rbridge
from hetcal.emulators.base import find_replicates
from hetcal.sensitivity.by_loss import SEED, SobolByLoss
from hetcal.sensitivity.jansen import check_whole
from hetcal.streams import check_seed

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 10


@dataclass(frozen=True, eq=False, repr=False)
class ForestCheck:
    """Total indices beside the importance of the same parameters to a random forest.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a loss and parameter: loss, parameter, total (the index), importance (half the increase of the squared
        error out of bag, over the variance between locations; it nears the total index where the forest predicts
        well, and can be a little below 0).
    agreement : pandas.DataFrame
        One row a loss: loss, locations, explained (share of the variance between locations that the forest predicts
        out of bag), correlation and rank_correlation (Pearson's and Spearman's, of importance with total index over
        the parameters). A low correlation where the forest explains much says that emulator and forest contradict
        each other. Ranks of parameters that do nothing are chance, and where most do nothing so is the rank
        correlation.

    Examples
    --------
    >>> from hetcal.sensitivity import ForestCheck
    >>> ForestCheck.__dataclass_fields__.keys() >= {"table", "agreement"}
    True
    """

    table: pd.DataFrame
    agreement: pd.DataFrame

    def __repr__(self) -> str:
        return (
            "Total Sobol' indices against a random forest\n"
            f"{self.agreement.round(3).to_string(index=False)}"
        )


def forest_check(
    indices: SobolByLoss, X: np.ndarray, losses: pd.DataFrame, trees: int = 500, seed: int = 0
) -> ForestCheck:
    """Hold total indices against the importance of the parameters to a random forest on the same runs.

    Indices of emulators are only as good as the emulators. A forest errs in other ways, so where both put the
    parameters in the same order neither has gone far astray. Give it runs that are spread over the prior, those of a
    first design: a search crowds where losses are low, and importance there is something else.

    Parameters
    ----------
    indices : SobolByLoss
        On the natural scale, over the whole prior.
    X : numpy.ndarray
        Points of the runs in the unit cube, shape (N, d); equal rows are replicates, which are averaged.
    losses : pandas.DataFrame
        Of the same runs, a column a loss of `indices`, NaN where a run lacks one; `Problem.evaluate` gives it.
    trees : int
    seed : int
        Of the forests.

    Returns
    -------
    ForestCheck

    Raises
    ------
    ValueError
        If a loss is missing, rows do not fit together, fewer than 10 locations have a loss, or the indices are of
        another scale or region.
    hetcal.rbridge.RMissing
        If R or its package randomForest is not installed.

    References
    ----------
    Breiman (2001), Machine Learning 45, 5; Gregorutti, Michel, Saint-Pierre (2017), Statistics and Computing 27, 659,
    for the limit of permutation importance.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import hetcal as hc
    >>> from hetcal.emulators.total import WeightedTotal
    >>> from hetcal.sensitivity import forest_check
    >>> space = hc.Space([hc.Parameter("a", hc.uniform(0, 1)), hc.Parameter("b", hc.uniform(0, 1))])
    >>> x = hc.designs.sobol(space, 64, seed=1).unit
    >>> y = np.random.default_rng(1).normal(3 * x[:, 0] + x[:, 1], 0.1)
    >>> total = WeightedTotal({"cases": hc.HetGP(noise="homoskedastic").fit(x, y)}, {"cases": 1.0})
    >>> check = forest_check(
    ...     hc.sobol_by_loss(total, space, n=500, draws=4), x, pd.DataFrame({"cases": y, "total": y})
    ... )
    >>> check.agreement["rank_correlation"].round(3).tolist()
    [1.0, 1.0]
    """
    import pandas as pd
    from scipy.stats import spearmanr

    X = np.asarray(X, dtype=float)
    totals = indices.totals.drop(index=SEED)
    check_whole("trees", trees, 1)
    if indices.scale != "natural" or indices.within:
        raise ValueError(
            f"a forest is held against indices on the natural scale, over the whole prior, not on the {indices.scale} "
            f"scale{' within ' + ', '.join(indices.within) if indices.within else ''}: leave out scale= and within= of "
            "sobol_by_loss"
        )
    missing = [name for name in totals.columns if name not in losses.columns]
    if missing:
        raise ValueError(f"losses lack {', '.join(missing)}: give a column a loss, as Problem.evaluate does")
    if X.shape != (len(losses), len(totals)):
        raise ValueError(f"X needs shape ({len(losses)}, {len(totals)}) for these losses, not {X.shape}")
    tables, agreement = [], []
    for name in totals.columns:
        y = losses[name].to_numpy(dtype=float)
        valid = np.isfinite(y)
        places = find_replicates(X[valid], y[valid]) if valid.any() else None
        if places is None or len(places.mean) < FEWEST:
            count = 0 if places is None else len(places.mean)
            raise ValueError(
                f"loss {name!r}: {count} locations are too few for a forest: give at least {FEWEST}"
            )
        forest = rbridge.call(
            "forest_importance", X=places.X, y=places.mean, trees=trees, seed=check_seed(seed) % 2**31
        )
        importance = forest["importance"] / (2 * places.mean.var(ddof=1))
        tables.append(
            pd.DataFrame(
                {
                    "loss": name,
                    "parameter": totals.index,
                    "total": totals[name].to_numpy(),
                    "importance": importance,
                }
            )
        )
        agreement.append(
            {
                "loss": name,
                "locations": len(places.mean),
                "explained": forest["explained"],
                "correlation": float(np.corrcoef(totals[name], importance)[0, 1]),
                "rank_correlation": float(spearmanr(totals[name], importance)[0]),
            }
        )
    return ForestCheck(pd.concat(tables, ignore_index=True), pd.DataFrame(agreement))
