"""The published calibrations of the three-cluster measles chain, as stages of a cascade, and what they came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hetcal.calibrate.cascade import Cascade
from hetcal.calibrate.stage import Stage

if TYPE_CHECKING:
    import pandas as pd

    from hetcal.problem import Problem

# Trials and seeds a trial on the dear simulator, and whose trials are inherited.
DEAR_STAGES: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "original": (24, 12, ()),
    "A": (60, 12, ()),
    "B": (24, 20, ()),
    "F": (20, 60, ("original", "A", "B")),
}

VARIANTS = ("CMP", *DEAR_STAGES)

# What the write-up says of each: its own runs, the loss of its winner at 20 seeds, recovered over true parameters.
_PUBLISHED = [
    ("CMP", "100 trials", None, None, 1.06, 2.59, None),
    ("original", "24 x 12", 288, 65.4, 1.17, 0.21, 0.59),
    ("A", "60 x 12", 720, 16.3, 1.30, 0.16, 0.47),
    ("B", "24 x 20", 480, 1.29, 1.06, 0.70, 0.77),
    ("F", "20 x 60 and 108 earlier", 1200, 0.568, 0.99, 0.91, 0.72),
]


def variant(
    name: str,
    cheap: Problem,
    dear: Problem,
    exponent: float = 1.5,
    debias: bool = False,
    finalists: int = 1,
    **options: Any,
) -> Cascade:
    """One of the published calibrations.

    First 100 trials of one run each on the cheap simulator, the distance exponent held; then trials of many seeds on
    the dear one, by Optuna's TPE one after another, on losses as they are. F inherits all trials of original, A and B,
    which are made too where the ledger does not have them.

    Parameters
    ----------
    name : {"CMP", "original", "A", "B", "F"}
    cheap, dear : Problem
        With parameters beta, k and c.
    exponent : float
        Where the cheap stage holds c.
    debias : bool
        Subtract the expected noise of the dear losses, which the published ones keep.
    finalists : int
        As published, the best trial is the winner.
    **options
        Further settings of `Cascade`.

    Returns
    -------
    Cascade

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from hetcal.studies.three_cluster_variants import variant
    >>> @hc.simulator(parameters=["beta", "k", "c"], outputs={"y": ()}, version="1")
    ... def model(theta, seed):
    ...     return {"y": theta["beta"] + np.random.default_rng(seed).normal()}
    ...
    >>> space = hc.Space([hc.Parameter(name, hc.uniform(0, 3)) for name in ("beta", "k", "c")])
    >>> cheap = hc.Problem(space, model, [hc.Target("y", observed=0.5, loss="rss")])
    >>> mean = hc.EnsembleTarget("y", observed=0.5, loss="rss", statistic="mean")
    >>> variant("F", cheap, hc.Problem(space, model, [mean])).planned[["stage", "runs", "total"]].values.tolist()
    [['CMP', 100, 100], ['original', 288, 288], ['A', 720, 720], ['B', 480, 480], ['F', 1200, 2688]]
    """
    if name not in VARIANTS:
        raise ValueError(f"unknown variant {name!r}: choose one of {', '.join(VARIANTS)}")
    cmp: dict[str, Any] = {"replicates": 1, "debias": False, "batch": 1, "carry": False, "name": "CMP"}
    stages = [Stage(cheap, trials=100, hold={"c": exponent}, **cmp)]
    wanted = () if name == "CMP" else (*DEAR_STAGES[name][2], name)
    for stage in wanted:
        trials, seeds, carry = DEAR_STAGES[stage]
        how: dict[str, Any] = {"batch": 1, "debias": debias, "carry": carry, "name": stage}
        stages.append(Stage(dear, trials=trials, replicates=seeds, **how))
    return Cascade(stages, finalists=finalists, **options)


def published() -> pd.DataFrame:
    """The published table, with the runs of inherited trials beside each variant's own.

    Returns
    -------
    pandas.DataFrame
        variant, design, runs (on the dear simulator), total (inherited ones included), loss (of the winner, at 20
        seeds, as published), beta, k, c (recovered over true; NaN where c was held). Empty numbers are NaN.

    Examples
    --------
    >>> from hetcal.studies.three_cluster_variants import published
    >>> published().set_index("variant")["total"].dropna().astype(int).to_dict()
    {'original': 288, 'A': 720, 'B': 480, 'F': 2688}
    """
    import pandas as pd

    table = pd.DataFrame(_PUBLISHED, columns=["variant", "design", "runs", "loss", "beta", "k", "c"]).astype(
        {name: float for name in ("runs", "loss", "beta", "k", "c")}
    )
    inherited = [
        sum(trials * seeds for trials, seeds, _ in (DEAR_STAGES[stage] for stage in DEAR_STAGES[name][2]))
        if name in DEAR_STAGES
        else 0
        for name in table["variant"]
    ]
    table.insert(3, "total", table["runs"] + inherited)
    return table
